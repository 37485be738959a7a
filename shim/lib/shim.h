/* SPDX-License-Identifier: MIT */
/*
 * libplait.so, inside. What is here: hooks on connection set-up and names (connect.c, send.c,
 * names.c, options.c, syscall.S), the rule which destinations are ours (route.c) and the question
 * to tunneld (park.c). What is not: any hook on a data call, any table of descriptors, allocation,
 * lock, thread or libc call but
 * __errno_location(). What a socket is, the kernel and tunneld are asked each time.
 * Read first: connect.c; then tunneld/io/park.h for the other half of the conversation.
 *
 * Inside the library a result is the kernel's: negative errno. hook_return() turns it into libc's
 * manner at the exported symbol, and nowhere else.
 */
#ifndef PLAIT_SHIM_H
#define PLAIT_SHIM_H

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "common/local_msg.h"
#include "shim/lib/sys.h"

#define EXPORT __attribute__((visibility("default")))

extern int *__errno_location(void);

static inline long hook_return(long r)
{
	if (r < 0) {
		*__errno_location() = (int)-r;
		return -1;
	}
	return r;
}

/*
 * A blocking call of ours must be a cancellation point as libc's own is: asynchronous cancellation
 * around the one system call, which is how libc did it itself. Weak: absent from a libc, nothing
 * happens.
 */
extern int pthread_setcanceltype(int type, int *old) __attribute__((weak));
static inline int cancel_open(void)
{
	int old = 0;

	if (pthread_setcanceltype)
		pthread_setcanceltype(1 /* PTHREAD_CANCEL_ASYNCHRONOUS, in glibc and musl */, &old);
	return old;
}
static inline void cancel_shut(int old)
{
	if (pthread_setcanceltype)
		pthread_setcanceltype(old, &old);
}

/* A kernel address that fits both families. */
union sockaddr_any {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* route.c */
enum say_level { SAY_ERROR, SAY_WARN, SAY_INFO, SAY_DEBUG };

/* *listed: it is not because PLAIT_BYPASS says so, and neither this host nor this link. */
bool route_is_ours(const struct addr *dest, bool *listed);
/* PLAIT_INFO=tunnel: TCP_INFO and MPTCP_INFO tell of the tunnel. */
bool route_info_is_tunnels(void);
/* The socket paths to try in order; NULL after the last. */
const char *route_socket(unsigned nth);
/*
 * "libplait: connect to DEST: WHAT" on stderr, if PLAIT_LOG asks for the level. The first error or
 * warning of a process only: a loop of refused connects would say nothing new. dest may be NULL.
 */
void route_say(enum say_level level, const struct addr *dest, const char *what);
/* There is no tunnel for this one: says so, and what PLAIT_FALLBACK makes of it. True: connect it
 * directly. */
bool route_without_tunnel(const struct addr *dest, const char *why);

/* sockaddr.c. What a pointer of the application points to, as the kernel would copy it. False:
 * EFAULT. */
bool copy_in(void *to, const void *from, size_t n);
/* The other way: 0 or -EFAULT. */
long copy_out(void *to, const void *from, size_t n);
/* Between the kernel's form and ours. False: not an IP address, or too short to
 * be one. */
bool addr_of_sockaddr(struct addr *out, const void *sa, socklen_t len);
/* In the form of a socket of this domain: an IPv4 address on an AF_INET6 socket is v4-mapped.
 * Returns the length. */
socklen_t addr_to_sockaddr(union sockaddr_any *out, const struct addr *a, int domain);

/* park.c. Asks tunneld: 0, or -errno when nobody answers as tunneld does. */
long park_ask(int fd, enum local_ask_kind kind, const struct addr *dest,
	      struct local_answer *answer);
/*
 * Where a connect of fd, known to be unconnected TCP, has to go: 0 and *to filled, or -errno, the
 * end of it. *direct: connect to the destination itself.
 */
long park_route(int fd, const struct addr *dest, int domain, union sockaddr_any *to,
		socklen_t *to_len, bool *direct);
/* tunneld is told, and not waited for, that fd goes to dest itself. */
void park_tell_direct(int fd, const struct addr *dest, enum local_reason why);
/* The errno behind an ECONNRESET that may be tunneld's shutdown(). kind: LOCAL_READ_VERDICT or
 * LOCAL_TAKE_VERDICT. */
int park_reason(int fd, enum local_ask_kind kind);
/* The same for a connect that ended with r. */
long park_verdict(int fd, long r);

/* connect.c: what the exported symbols and syscall() share. */
long connect_hook(int fd, const void *sa, socklen_t len);
long connect_start(int fd, const union sockaddr_any *to, socklen_t len);
/* Connects to a hole, blocking or not as the descriptor is. */
long connect_hole(int fd, const union sockaddr_any *to, socklen_t len);
enum tcp_kind { NOT_TCP, TCP_SOCKET, MPTCP_SOCKET };
enum tcp_kind tcp_kind_of(int fd);
int tcp_state_of(int fd); /* enum of <linux/tcp_states.h>, or -errno */

long sendto_hook(int fd, const void *buf, size_t len, int flags, const void *sa, socklen_t sa_len);
long sendmsg_hook(int fd, const struct msghdr *m, int flags);
long sendmmsg_hook(int fd, struct mmsghdr *m, unsigned count, int flags);
long getpeername_hook(int fd, void *sa, socklen_t *len);
long getsockname_hook(int fd, void *sa, socklen_t *len);
/* Could this socket be one that we steered to a hole? Asks the kernel only. */
bool name_may_be_ours(int fd);
/* info.c: TCP_INFO, and everything of SOL_MPTCP that is MPTCP_INFO, where route_info_is_tunnels(). */
enum { SOL_MPTCP_ = 284, MPTCP_INFO_ = 1 };
long info_hook(int fd, int level, int option, void *value, socklen_t *len);
long getsockopt_hook(int fd, int level, int option, void *value, socklen_t *len);
long setsockopt_hook(int fd, int level, int option, const void *value, socklen_t len);
/* One that means something beyond the first hop, so that tunneld carries it (docs/decisions.md, "Socket options"). */
bool option_is_carried(int level, int option);

#endif
