/* SPDX-License-Identifier: MIT */
/*
 * The park's own insides, shared by park.c (verdicts, who gave up, the door of park.h), park_slot.c
 * (slots and holes) and park_question.c (the control socket). Nobody else includes it.
 */
#ifndef PLAIT_IO_PARK_SLOT_H
#define PLAIT_IO_PARK_SLOT_H

#include <ev.h>
#include <sys/un.h>

#include "tunneld/io/park.h"
#include "tunneld/io/park_hole.h"
#include "tunneld/io/park_memo.h"

#define LOOK_SECONDS 0.25 /* how often pending connects are looked at */

enum {
	QUESTIONS = 256, /* open at once; more wait in the backlog */
	HOLES = 64,      /* of each family */
};

/*
 * FREE -> PENDING            asked; the application connects to its hole
 *      -> DUE                the verdict came before the application's SYN: tried again soon
 *      -> OPENING            our answering socket is on its way (loopback: rare)
 *      -> LIVE               the daemon has its end
 * EARLY: accepted at a door of its own; LIVE once the daemon completes it.
 */
enum slot_state { FREE, PENDING, DUE, OPENING, EARLY, LIVE };

struct slot {
	enum slot_state state;
	bool in_callback;       /* inside on_connect(): the answer is not given yet */
	bool direct, seen;      /* seen: was once in SYN_SENT */
	bool completes;         /* DUE or EARLY: the verdict; else error is it */
	int error;
	enum local_reason reason;
	park_id id;
	uint8_t tag;            /* the owner's, park_set_tag() */
	uint64_t cookie;
	struct addr dest, local, hole_at;
	char device[16];        /* what it was bound to; back on it when the connect fails */
	uint16_t bound_port;    /* by the application, before it connected; 0: none */
	struct hole *hole;      /* NULL: EARLY */
	int copy;               /* the application's socket, while pending; else -1 */
	int end; /* our end, until it is the daemon's; EARLY: the door, then the accepted socket */
	bool door;              /* end is still the listening door */
	pid_t pid;
	uint32_t their_fd;
	uint64_t inode;
	ev_tstamp since;
	ev_io io;               /* OPENING: end writable; EARLY: door readable */
	struct park *park;
	uint32_t next_hash, next_free; /* index + 1 */
	uint32_t prev, next;    /* the pending list, index + 1, oldest first */
};

struct question {
	ev_io io;
	ev_timer timer;
	int fd;                 /* -1: unused */
	struct park *park;
};

struct park {
	struct ev_loop *loop;
	struct park_callbacks callbacks;
	void *ctx;
	const struct cidr *bypass;
	size_t bypass_count;
	bool any_user;
	char path[sizeof ((struct sockaddr_un *)NULL)->sun_path];
	dev_t path_dev;
	ino_t path_ino;
	int listener;
	ev_io accept_io;
	ev_timer accept_later, look, soon;
	ev_idle spin;
	ev_tstamp spin_until;
	struct question questions[QUESTIONS];
	size_t questions_open;
	struct slot *slots;
	uint32_t *heads, heads_mask, slot_count, free_slot, oldest, newest, look_at, due_count;
	uint32_t generation;
	uint64_t netns;         /* ours; 0: a kernel that does not say */
	struct hole holes[2][HOLES];
	size_t hole_count[2];   /* IPv4, IPv6 */
	struct memos verdicts, old_names;
	struct park_stats stats;
};

/* --- park_slot.c --- */

uint32_t park_chance(void);
MUST_CHECK enum err slots_init(struct park *p, size_t count);
void slots_close(struct park *p);
struct slot *slot_of_cookie(struct park *p, uint64_t cookie);
struct slot *slot_of_id(struct park *p, park_id id); /* NULL: it is over */
bool slot_waits(const struct slot *s);               /* neither free nor live */
struct slot *slot_take(struct park *p, uint64_t cookie); /* pending; NULL: full */
void slot_release(struct park *p, struct slot *s);
/* Releases, and the daemon hears of it unless it is itself the cause. */
void slot_cancel(struct park *p, struct slot *s);
/* The daemon has it from now on: its end, for on_stream(). */
int slot_live(struct park *p, struct slot *s);
void slot_count_failed(struct park *p, int error);
/* The least used hole of a family, dug if need be; NULL: none can be. port: what the application has
 * bound, 0: nothing; a hole that this port is not yet connected to. */
struct hole *slot_hole(struct park *p, int family, uint16_t port);

/* --- park.c --- */

/* There is a verdict (s->completes or s->error), the application's SYN has yet to come. */
void slot_due(struct park *p, struct slot *s);

/* --- park_question.c --- */

void questions_init(struct park *p); /* p->listener is there; starts to listen */
void questions_close(struct park *p);

#endif
