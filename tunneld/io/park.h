/* SPDX-License-Identifier: MIT */
/*
 * Parked connects: the daemon's half of libplait.so. What is here: the control socket on which the
 * shim asks, the black holes that keep an application's connect() pending, and the two ways to end
 * it, simultaneous open or one clean error. What is not: what happens to the bytes afterwards.
 *
 * The conversation, one SOCK_SEQPACKET connection a question (common/local_msg.h):
 *	shim -> park   PARK dest + the application's socket (SCM_RIGHTS), still unconnected
 *	park -> shim   PARKED hole  |  DIRECT  |  ERROR errno
 *	shim           connect(socket, hole), blocking or not as the application set it: SYN_SENT
 *	park           park_complete(): a socket bound to the hole connects to the application's
 *	               address and the crossing SYNs establish both; or park_fail(): shutdown() on
 *	               our copy, and the true errno is kept for the shim to ask
 *
 * A socket is known by its SO_COOKIE, which the kernel never gives twice and which dup, fork, exec
 * and SCM_RIGHTS do not change. Each question carries the socket itself, so nobody can ask about,
 * or park, a socket that is not his.
 *
 * We keep the application's socket open only while it is pending. That hides its close() from us,
 * so pending ones are looked at every 250 ms: no longer in SYN_SENT (timed out, AF_UNSPEC) is told
 * by TCP_INFO; closed is told by /proc/PID/fd of the caller, then of every process we may look into
 * (a twentieth of the time at most goes into such walks). What cannot be told (a caller of another user, another PID
 * namespace) stays until its verdict, which then leaves nothing behind either.
 *
 * Kept: a name while its stream lives and then among the last PARK_OLD_NAMES that ended; a verdict
 * until the next connect() of its socket or until PARK_VERDICTS newer ones came.
 */
#ifndef PLAIT_IO_PARK_H
#define PLAIT_IO_PARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/addr.h"
#include "common/local_msg.h"

struct ev_loop;
struct park;

typedef uint64_t park_id; /* 0 is none; never given twice in one process */

enum { PARK_OLD_NAMES = 4096, PARK_VERDICTS = 4096 };

/* What the application has set on its socket and means the whole way, as it is now. */
struct park_options {
	uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT; 0: not set */
	/* SO_KEEPALIVE, with TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT; idle 0: it is off */
	uint16_t keep_idle_s, keep_interval_s;
	uint8_t keep_count;
	uint8_t tos;              /* IP_TOS or IPV6_TCLASS, whichever its family goes by */
};

/* Who asks: the kernel's word but for comm, which the caller says himself. */
struct park_caller {
	pid_t pid;          /* 0: in a PID namespace that we cannot see */
	uid_t uid;
	char comm[16];      /* NUL-terminated, printable */
	struct addr local;  /* what the application bound; family 0: nothing */
	char device[16];    /* SO_BINDTODEVICE, taken off for the way to us: IF_NAMESIZE; "": none */
	uint32_t mark;      /* SO_MARK; 0: none */
	struct park_options options; /* as they were at connect() */
};

/*
 * Callbacks run from the loop, and from inside park_complete() never. An id is over after
 * on_cancel(), after park_fail() or park_direct(), and after park_closed().
 */
struct park_callbacks {
	/*
	 * An application wants dest. Answer now or later with park_complete() or park_fail(), or
	 * from inside this call alone with park_direct().
	 */
	void (*on_connect)(void *ctx, park_id id, const struct addr *dest,
			   const struct park_caller *who);
	/* The end that park_complete() could not give at once: non-blocking, close-on-exec, the
	 * callee's. */
	void (*on_stream)(void *ctx, park_id id, int fd);
	/* The application closed, disconnected, timed out or died. Nothing is owed to it. */
	void (*on_cancel)(void *ctx, park_id id);
	/* One that we do not carry: it connects to dest itself. NULL: nobody wants to know. */
	void (*on_direct)(void *ctx, const struct addr *dest, const struct park_caller *who,
			  enum local_reason why);
	/* How is this stream doing? False: nothing is known of it. NULL: nothing is ever known. */
	bool (*on_info)(void *ctx, park_id id, struct local_info *out);
	/* It has set one of them since. NULL: nobody wants to know. */
	void (*on_options)(void *ctx, park_id id, const struct park_options *now);
};

struct park_config {
	const char *socket; /* path; its directory is made if only the last part is missing */
	bool any_user;      /* true: everybody may ask (mode 0666); false: we and root (0600) */
	const struct cidr *bypass;  /* destinations that go direct; borrowed while the park lives */
	size_t bypass_count;
	size_t streams_max; /* pending and live together; 0: 16384. Memory is taken at once. */
};

struct park_stats {
	uint64_t pending, live;     /* now */
	uint64_t asked, completed, failed, cancelled, bypassed;
	uint64_t early; /* accepted early: sockets that no black hole can hold (MPTCP) */
	uint64_t malformed;         /* messages that our shim does not send */
	uint64_t refused_user, refused_full;
	uint64_t failed_by_errno[134];
	uint64_t names_asked, verdicts_asked, infos_asked, options_told, holes;
};

/* NULL: errno is set and *why a text that stays valid. */
struct park *park_new(struct ev_loop *loop, const struct park_config *config,
		      const struct park_callbacks *callbacks, void *ctx, const char **why);
/* Pending connects end with ECONNRESET, without callbacks; live streams are their owners'. Unlinks
 * the socket. */
void park_free(struct park *p);

/*
 * The far side is connected. True: *fd is the daemon's connected end, as for on_stream(). False: it
 * comes by on_stream(), or on_cancel() says that nobody waits for it any more. An id that is over
 * is false and silent.
 */
bool park_complete(struct park *p, park_id id, int *fd);
/* The connect fails with this errno; also after a park_complete() that was false, as long as
 * on_stream() did not come. */
void park_fail(struct park *p, park_id id, int error);
/*
 * The same where not the destination is to blame: the application's stderr is told the reason.
 * Inside on_connect() the shim may then connect directly, if it is set so.
 */
void park_unable(struct park *p, park_id id, int error, enum local_reason reason);
/* Inside on_connect() only: it is going to take its time, and stderr is told why. */
void park_slow(struct park *p, park_id id, enum local_reason reason);
/* Let this one go direct: inside on_connect() only. */
void park_direct(struct park *p, park_id id);
/* The owner closed the fd it was given: the name is old. */
void park_closed(struct park *p, park_id id);
/* A number of the owner's, kept with what is not over; 0 at first, and for what is over. */
void park_set_tag(struct park *p, park_id id, uint8_t tag);
uint8_t park_tag(struct park *p, park_id id);
/* The list of park_config, replaced on reload; borrowed. */
void park_set_bypass(struct park *p, const struct cidr *bypass, size_t count);

void park_stats(const struct park *p, struct park_stats *out);

#endif
