/* SPDX-License-Identifier: MIT */
#include "tunneld/io/park.h"

#include "common/local_msg.h"
#include "common/sockaddr.h"
#include "tunneld/io/park_alive.h"
#include "tunneld/io/park_hole.h"
#include "tunneld/io/park_memo.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <libgen.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LOOK_SECONDS     0.25  /* how often pending connects are looked at */
#define WALK_SECONDS     1.0   /* at most one walk through /proc in this time */
#define QUESTION_SECONDS 1.0   /* a connection that asks nothing is closed */
#define SPIN_SECONDS     0.0003 /* a verdict that overtook the application's connect(): it is about 10 us behind */
#define SOON_SECONDS     0.001
#define SYN_PATIENCE     10.0  /* from our answer to the application's connect(); it may be stopped in between */
#define EMFILE_SECONDS   0.1   /* accept() has no descriptor: wait, do not spin */

enum {
	STREAMS_DEFAULT = 16384,
	QUESTIONS = 256,       /* open at once; more wait in the backlog */
	HOLES = 64,            /* of each family */
	LOOKS = 512,           /* pending connects looked at in one tick */
	SUSPECTS = 64,         /* of one walk through /proc */
	IPPROTO_MPTCP_ = 262,
	SO_NETNS_COOKIE_ = 71, /* Linux 5.14 */
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
	park_id id;
	uint64_t cookie;
	struct addr dest, local, hole_at;
	struct hole *hole;      /* NULL: EARLY */
	int copy;               /* the application's socket, while pending; else -1 */
	int end;                /* our end, until it is the daemon's; EARLY: the door, then the accepted socket */
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
	ev_tstamp walked, spin_until;
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

static uint32_t chance(void)
{
	uint32_t v = 0;

	/* 4 bytes never come short; without the call (EINTR at boot) holes merely lie at one place. */
	(void)!getrandom(&v, sizeof v, 0);
	return v;
}

/* --- asking the kernel about a socket --- */

static int option_int(int fd, int level, int option, int otherwise)
{
	int v = otherwise;
	socklen_t len = sizeof v;

	return getsockopt(fd, level, option, &v, &len) ? otherwise : v;
}

static uint64_t option_u64(int fd, int option)
{
	uint64_t v = 0;
	socklen_t len = sizeof v;

	return getsockopt(fd, SOL_SOCKET, option, &v, &len) ? 0 : v;
}

static uint64_t cookie_of(int fd) { return option_u64(fd, SO_COOKIE); }

static int tcp_state_of(int fd)
{
	uint8_t v = 0; /* tcpi_state, the first byte */
	socklen_t len = sizeof v;

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &v, &len) ? -1 : v;
}

static struct addr local_of(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	struct addr a = { 0 };

	if (getsockname(fd, (struct sockaddr *)&sa, &len) || sockaddr_to_addr(&a, &sa, len))
		return (struct addr){ 0 };
	return addr_unmap(&a);
}

static struct addr peer_of(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	struct addr a = { 0 };

	if (getpeername(fd, (struct sockaddr *)&sa, &len) || sockaddr_to_addr(&a, &sa, len))
		return (struct addr){ 0 };
	return addr_unmap(&a);
}

/* The source address a direct connection would have had: what a route lookup says, by a UDP socket that sends nothing. */
static struct addr source_towards(const struct addr *dest)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(&sa, dest);
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct addr a = { 0 };

	if (fd < 0)
		return a;
	if (!connect(fd, (struct sockaddr *)&sa, len))
		a = local_of(fd);
	close(fd);
	return a;
}

/* --- slots --- */

static uint32_t *head_of(struct park *p, uint64_t cookie)
{
	return &p->heads[(cookie ^ cookie >> 16) & p->heads_mask];
}

static struct slot *slot_of_cookie(struct park *p, uint64_t cookie)
{
	for (uint32_t i = *head_of(p, cookie); i; i = p->slots[i - 1].next_hash)
		if (p->slots[i - 1].cookie == cookie)
			return &p->slots[i - 1];
	return NULL;
}

static struct slot *slot_of_id(struct park *p, park_id id)
{
	uint32_t i = (uint32_t)id;
	struct slot *s = i && i <= p->slot_count ? &p->slots[i - 1] : NULL;

	return s && s->state != FREE && s->id == id ? s : NULL;
}

static bool is_waiting(const struct slot *s) { return s->state != FREE && s->state != LIVE; }

static struct slot *slot_take(struct park *p, uint64_t cookie)
{
	uint32_t i = p->free_slot, *head = head_of(p, cookie);
	struct slot *s;

	if (!i)
		return NULL;
	s = &p->slots[i - 1];
	p->free_slot = s->next_free;
	*s = (struct slot){ .state = PENDING, .park = p, .cookie = cookie, .copy = -1, .end = -1, .next_hash = *head };
	*head = i;
	if (!++p->generation)
		p->generation = 1;
	s->id = (park_id)p->generation << 32 | i;
	s->since = ev_now(p->loop);
	s->prev = p->newest;
	if (p->newest)
		p->slots[p->newest - 1].next = i;
	else
		p->oldest = i;
	p->newest = i;
	p->stats.pending++;
	ev_timer_start(p->loop, &p->look); /* no effect when it runs */
	return s;
}

/* Off the pending list: it lives or is over. */
static void slot_not_pending(struct park *p, struct slot *s)
{
	if (s->prev)
		p->slots[s->prev - 1].next = s->next;
	else
		p->oldest = s->next;
	if (s->next)
		p->slots[s->next - 1].prev = s->prev;
	else
		p->newest = s->prev;
	if (p->look_at == (uint32_t)(s - p->slots) + 1)
		p->look_at = s->next;
	s->prev = s->next = 0;
	if (s->state == DUE)
		p->due_count--;
	if (s->copy >= 0)
		close(s->copy);
	s->copy = -1;
	ev_io_stop(p->loop, &s->io);
	p->stats.pending--;
}

static void slot_release(struct park *p, struct slot *s)
{
	uint32_t self = (uint32_t)(s - p->slots) + 1, *link = head_of(p, s->cookie);

	if (is_waiting(s)) {
		slot_not_pending(p, s);
		if (s->end >= 0)
			close(s->end);
	} else {
		p->stats.live--;
	}
	if (s->hole)
		s->hole->used--;
	while (*link != self)
		link = &p->slots[*link - 1].next_hash;
	*link = s->next_hash;
	s->state = FREE;
	s->next_free = p->free_slot;
	p->free_slot = self;
}

/* The daemon hears of it unless it is itself the cause. */
static void slot_cancel(struct park *p, struct slot *s)
{
	park_id id = s->id;
	bool over = s->state == DUE && !s->completes; /* it has failed it already */

	slot_release(p, s);
	p->stats.cancelled++;
	if (!over)
		p->callbacks.on_cancel(p->ctx, id);
}

static int slot_live(struct park *p, struct slot *s)
{
	int fd = s->end;

	slot_not_pending(p, s);
	s->state = LIVE;
	s->end = -1;
	p->stats.live++;
	p->stats.completed++;
	return fd;
}

/* --- holes --- */

static struct hole *hole_pick(struct park *p, int family)
{
	int f = family == 4 ? 0 : 1;
	struct hole *best = NULL;

	for (size_t i = 0; i < p->hole_count[f]; i++)
		if (!best || p->holes[f][i].used < best->used)
			best = &p->holes[f][i];
	/* Not comfortable: dig one more. When that fails, the old ones still serve until the kernel finds no port. */
	if ((!best || best->used >= HOLE_COMFORT) && p->hole_count[f] < HOLES &&
	    hole_open(&p->holes[f][p->hole_count[f]], family, chance())) {
		best = &p->holes[f][p->hole_count[f]++];
		p->stats.holes++;
	}
	return best;
}

/* --- verdicts --- */

static void count_failed(struct park *p, int error)
{
	size_t known = sizeof p->stats.failed_by_errno / sizeof *p->stats.failed_by_errno;

	p->stats.failed++;
	p->stats.failed_by_errno[error > 0 && (size_t)error < known ? error : 0]++;
}

/* True: done, *fd is the end. False: it comes later, or never. */
static bool complete_now(struct park *p, struct slot *s, int *fd);
static void fail_now(struct park *p, struct slot *s);

static void due(struct park *p, struct slot *s)
{
	if (s->state == DUE)
		return;
	s->state = DUE;
	p->due_count++;
	p->spin_until = ev_now(p->loop) + SPIN_SECONDS;
	ev_idle_start(p->loop, &p->spin);
}

/*
 * Where the application is: 1 in SYN_SENT to us, 0 not yet, -1 gone: it gave up, or its socket went elsewhere. The hole swallows all SYNs, so SYN_SENT
 * is where it stays until we end it.
 */
static int application_waits(struct park *p, struct slot *s)
{
	int state = tcp_state_of(s->copy);

	if (state == TCP_SYN_SENT) {
		s->seen = true;
		s->local = local_of(s->copy);
		return 1;
	}
	if (state == TCP_CLOSE && !s->seen && ev_now(p->loop) - s->since < SYN_PATIENCE)
		return 0;
	return -1;
}

static void on_answer_ready(struct ev_loop *loop, ev_io *w, int events)
{
	struct slot *s = w->data;
	struct park *p = s->park;
	park_id id = s->id;

	(void)loop, (void)events;
	if (option_int(s->end, SOL_SOCKET, SO_ERROR, 0) || !hole_answered(s->end)) {
		slot_cancel(p, s);
		return;
	}
	p->callbacks.on_stream(p->ctx, id, slot_live(p, s));
}

static bool complete_now(struct park *p, struct slot *s, int *fd)
{
	bool connected = false;
	int r, waits = application_waits(p, s);

	if (waits == 0) {
		s->completes = true;
		due(p, s);
		return false;
	}
	r = waits < 0 ? -ECONNREFUSED : hole_answer(s->hole, &s->local, &connected);
	if (r == -EMFILE || r == -ENFILE || r == -EADDRNOTAVAIL) {
		/* Ours to wait for: a descriptor comes free, the 4-tuple leaves TIME_WAIT. */
		s->completes = true;
		due(p, s);
		return false;
	}
	if (r < 0) {
		slot_cancel(p, s);
		return false;
	}
	s->end = r;
	if (connected) {
		*fd = slot_live(p, s);
		return true;
	}
	if (s->state == DUE)
		p->due_count--;
	s->state = OPENING;
	/* From here on only the application's own hold on its socket may keep it open. */
	close(s->copy);
	s->copy = -1;
	ev_io_init(&s->io, on_answer_ready, s->end, EV_WRITE);
	s->io.data = s;
	ev_io_start(p->loop, &s->io);
	return false;
}

/* The verdict is known before the application can wake, then its one error event is made. */
static void fail_now(struct park *p, struct slot *s)
{
	int waits = application_waits(p, s);

	if (waits == 0) {
		s->completes = false;
		due(p, s);
		return;
	}
	if (waits > 0) {
		memos_add(&p->verdicts, s->cookie)->error = s->error;
		shutdown(s->copy, SHUT_RDWR);
	}
	count_failed(p, s->error);
	slot_release(p, s);
}

static void due_again(struct park *p)
{
	uint32_t next;

	for (uint32_t i = p->oldest; i && p->due_count; i = next) {
		struct slot *s = &p->slots[i - 1];
		park_id id = s->id;
		int fd;

		next = s->next;
		if (s->state != DUE)
			continue;
		/* A callback below may end other slots, the next one among them: begin again after one. */
		if (!s->completes) {
			fail_now(p, s);
		} else if (complete_now(p, s, &fd)) {
			p->callbacks.on_stream(p->ctx, id, fd);
			next = p->oldest;
		} else if (!slot_of_id(p, id)) {
			next = p->oldest;
		}
	}
}

/* A turn of the loop without sleeping, for a moment; then the timer, whose grain is a millisecond. */
static void on_spin(struct ev_loop *loop, ev_idle *w, int events)
{
	struct park *p = w->data;

	(void)events;
	sched_yield(); /* on one processor the application could not come */
	due_again(p);
	if (p->due_count && ev_now(loop) < p->spin_until)
		return;
	ev_idle_stop(loop, w);
	if (p->due_count)
		ev_timer_start(loop, &p->soon);
}

static void on_soon(struct ev_loop *loop, ev_timer *w, int events)
{
	struct park *p = w->data;

	(void)events;
	due_again(p);
	if (p->due_count) {
		/* Usually a millisecond settles it; a stopped application must not cost us a busy loop. */
		w->repeat = w->repeat < 0.02 ? w->repeat * 2 : w->repeat;
		ev_timer_again(loop, w);
	} else {
		ev_timer_stop(loop, w);
		ev_timer_set(w, SOON_SECONDS, SOON_SECONDS);
	}
}

/* --- who gave up --- */

static void walk(struct park *p, struct slot **suspects, size_t count)
{
	uint64_t inodes[SUSPECTS];
	park_id ids[SUSPECTS];
	bool found[SUSPECTS];

	for (size_t i = 0; i < count; i++) {
		inodes[i] = suspects[i]->inode;
		ids[i] = suspects[i]->id;
	}
	alive_anywhere(inodes, found, count);
	for (size_t i = 0; i < count; i++) {
		struct slot *s = slot_of_id(p, ids[i]);

		if (s && !found[i] && s->copy >= 0)
			slot_cancel(p, s);
	}
}

static void on_look(struct ev_loop *loop, ev_timer *w, int events)
{
	struct park *p = w->data;
	struct slot *suspects[SUSPECTS];
	size_t suspect_count = 0;

	(void)events;
	if (!p->look_at)
		p->look_at = p->oldest;
	for (unsigned n = 0; n < LOOKS && p->look_at; n++) {
		struct slot *s = &p->slots[p->look_at - 1];
		enum alive alive;

		p->look_at = s->next;
		if (s->copy < 0 || ev_now(loop) - s->since < LOOK_SECONDS)
			continue;
		if (application_waits(p, s) < 0) {
			slot_cancel(p, s);
			continue;
		}
		alive = s->pid > 0 ? alive_in(s->pid, s->their_fd, s->inode) : ALIVE_CANNOT_TELL;
		if (alive == ALIVE_NOT_HERE && suspect_count < SUSPECTS)
			suspects[suspect_count++] = s;
	}
	if (suspect_count && ev_now(loop) - p->walked >= WALK_SECONDS) {
		p->walked = ev_now(loop);
		walk(p, suspects, suspect_count);
	}
	if (!p->stats.pending)
		ev_timer_stop(loop, w);
	else
		ev_timer_again(loop, w);
}

/* --- the questions --- */

static struct local_answer unable(enum local_reason reason, int error)
{
	return (struct local_answer){ .kind = LOCAL_UNABLE, .reason = reason, .error = error };
}

static struct local_answer ends_with(int error)
{
	return (struct local_answer){ .kind = LOCAL_ERROR, .error = error };
}

static void on_door(struct ev_loop *loop, ev_io *w, int events)
{
	struct slot *s = w->data;
	struct park *p = s->park;
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	struct addr peer;
	int fd = accept4(s->end, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	/* Somebody else who found the door is not let in: the application's own socket says where it connects from. */
	s->local = local_of(s->copy);
	if (sockaddr_to_addr(&peer, &sa, len) || !addr_eq(&peer, &s->local)) {
		close(fd);
		return;
	}
	ev_io_stop(loop, w);
	close(s->end);
	s->end = fd;
	s->door = false;
	close(s->copy);
	s->copy = -1;
	if (s->completes)
		p->callbacks.on_stream(p->ctx, s->id, slot_live(p, s));
}

/* MPTCP sockets cannot be opened simultaneously: they are accepted now, and reset if it comes to nothing. */
static bool early(struct park *p, struct slot *s, int family)
{
	int fd = hole_door(&s->hole_at, family, chance());

	if (fd < 0)
		return false;
	s->state = EARLY;
	s->end = fd;
	s->door = true;
	p->stats.early++;
	ev_io_init(&s->io, on_door, fd, EV_READ);
	s->io.data = s;
	ev_io_start(p->loop, &s->io);
	return true;
}

static bool bypassed(const struct park *p, const struct addr *dest)
{
	for (size_t i = 0; i < p->bypass_count; i++)
		if (cidr_has(&p->bypass[i], dest))
			return true;
	return false;
}

/* What the kernel would have refused before any packet; 0: nothing. */
static int refuses(int fd, const struct addr *dest, int domain, const struct addr *bound)
{
	struct addr to = addr_unmap(dest);

	if (domain == AF_INET && dest->family != 4)
		return EAFNOSUPPORT;
	if (domain == AF_INET6 && dest->family == 4)
		return EINVAL; /* too short an address for it */
	if (domain == AF_INET6 && to.family == 4 && option_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0))
		return ENETUNREACH;
	/* An IPv4 packet from 127/8 never leaves the host: the kernel's answer is EINVAL. */
	if (bound->family == 4 && addr_is_loopback(bound) && !addr_is_loopback(&to))
		return EINVAL;
	return 0;
}

static bool bound_to_device(int fd)
{
	char name[64] = "";
	socklen_t len = sizeof name;

	return !getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len) && len > 1 && strcmp(name, "lo") != 0;
}

/* The socket is consumed: kept in a slot or left to the caller to close (*kept). */
static struct local_answer answer_park(struct park *p, const struct local_ask *ask, int fd, const struct ucred *who, bool *kept)
{
	struct park_caller caller = { .pid = who->pid, .uid = who->uid };
	struct addr to = addr_unmap(&ask->dest), bound = local_of(fd);
	int domain = option_int(fd, SOL_SOCKET, SO_DOMAIN, 0), protocol = option_int(fd, SOL_SOCKET, SO_PROTOCOL, 0);
	uint64_t cookie = cookie_of(fd);
	struct local_answer answer;
	struct memo *verdict;
	struct stat st;
	struct slot *s;
	park_id id;
	int error;

	if ((domain != AF_INET && domain != AF_INET6) || (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP_) || !cookie ||
	    fstat(fd, &st)) {
		p->stats.malformed++;
		return ends_with(EOPNOTSUPP);
	}
	p->stats.asked++;
	switch (tcp_state_of(fd)) {
	case TCP_CLOSE:
		break;
	case TCP_SYN_SENT:
		return ends_with(EALREADY);
	default:
		return ends_with(EISCONN);
	}
	s = slot_of_cookie(p, cookie);
	if (s) {
		/* The same socket again: its pending attempt was dissolved, or its stream ended and it was disconnected. */
		if (is_waiting(s))
			slot_cancel(p, s);
		else
			park_closed(p, s->id);
	}
	/* A connect that failed unnoticed is answered by the next connect(), as the kernel does: with its error, or, when the
	 * error was read already, with ECONNABORTED. Then the socket is fresh. */
	verdict = memos_find(&p->verdicts, cookie);
	if (verdict) {
		error = option_int(fd, SOL_SOCKET, SO_ERROR, 0) ? verdict->error : ECONNABORTED;
		memos_drop(&p->verdicts, cookie);
		return ends_with(error);
	}
	error = refuses(fd, &ask->dest, domain, &bound);
	if (error)
		return ends_with(error);
	if (bypassed(p, &to)) {
		p->stats.bypassed++;
		return (struct local_answer){ .kind = LOCAL_DIRECT };
	}
	/* Its loopback is another one: it would meet no hole there. */
	if (p->netns && option_u64(fd, SO_NETNS_COOKIE_) != p->netns)
		return unable(LOCAL_NETNS, ENETUNREACH);
	if (bound_to_device(fd))
		return unable(LOCAL_DEVICE, ENETUNREACH);
	s = slot_take(p, cookie);
	if (!s) {
		p->stats.refused_full++;
		return unable(LOCAL_FULL, ENOBUFS);
	}
	s->dest = to;
	s->pid = who->pid;
	s->their_fd = ask->fd;
	s->inode = st.st_ino;
	s->copy = fd;
	*kept = true;
	if (protocol == IPPROTO_MPTCP_) {
		if (!early(p, s, to.family)) {
			slot_release(p, s);
			return unable(LOCAL_NO_LOOPBACK, ENETUNREACH);
		}
	} else {
		s->hole = hole_pick(p, to.family);
		if (!s->hole) {
			slot_release(p, s);
			return unable(LOCAL_NO_LOOPBACK, ENETUNREACH);
		}
		s->hole->used++;
		s->hole_at = s->hole->at;
	}
	memcpy(caller.comm, ask->comm, sizeof caller.comm);
	if (!addr_is_unspecified(&bound) || bound.port)
		caller.local = bound;

	id = s->id;
	s->in_callback = true;
	answer = (struct local_answer){ .kind = LOCAL_HOLE, .addr = s->hole_at };
	p->callbacks.on_connect(p->ctx, id, &s->dest, &caller);
	assert(slot_of_id(p, id) == s);
	s->in_callback = false;
	if (s->direct) {
		p->stats.bypassed++;
		answer = (struct local_answer){ .kind = LOCAL_DIRECT };
		slot_release(p, s);
	} else if (s->error) {
		count_failed(p, s->error);
		answer = ends_with(s->error);
		slot_release(p, s);
	} else if (s->completes && s->state == PENDING) {
		due(p, s);
	}
	return answer;
}

static struct local_answer answer_verdict(struct park *p, const struct local_ask *ask, int fd)
{
	struct memo *verdict = memos_find(&p->verdicts, cookie_of(fd));
	struct local_answer answer;

	p->stats.verdicts_asked++;
	if (!verdict || verdict->read)
		return (struct local_answer){ .kind = LOCAL_NONE };
	answer = ends_with(verdict->error);
	verdict->read = true;
	if (ask->kind == LOCAL_TAKE_VERDICT)
		memos_drop(&p->verdicts, verdict->cookie);
	return answer;
}

/* Names go with a 4-tuple: the same socket, disconnected and connected elsewhere, has its own again. */
static struct local_answer answer_names(struct park *p, int fd)
{
	uint64_t cookie = cookie_of(fd);
	struct addr peer = peer_of(fd), local = local_of(fd), source;
	const struct addr *dest = NULL;
	struct slot *s = slot_of_cookie(p, cookie);
	struct memo *old;

	p->stats.names_asked++;
	if (s && peer.family ? addr_eq(&peer, &s->hole_at) : s && tcp_state_of(fd) == TCP_SYN_SENT) {
		dest = &s->dest;
	} else if ((old = memos_find(&p->old_names, cookie))) {
		if (addr_eq(&peer, &old->hole) && addr_eq(&local, &old->local))
			dest = &old->dest;
	}
	if (!dest)
		return (struct local_answer){ .kind = LOCAL_NONE };
	source = source_towards(dest);
	source.port = source.family ? local.port : 0;
	return (struct local_answer){ .kind = LOCAL_NAMED, .addr = *dest, .local = source };
}

static void answer_forget(struct park *p, int fd)
{
	struct slot *s = slot_of_cookie(p, cookie_of(fd));

	if (s && is_waiting(s) && tcp_state_of(fd) == TCP_CLOSE)
		slot_cancel(p, s);
}

static void question_close(struct question *q)
{
	struct park *p = q->park;

	ev_io_stop(p->loop, &q->io);
	ev_timer_stop(p->loop, &q->timer);
	close(q->fd);
	q->fd = -1;
	if (p->questions_open-- == QUESTIONS && !ev_is_active(&p->accept_later))
		ev_io_start(p->loop, &p->accept_io);
}

/* The one descriptor of a message, or -1: none, or not exactly one. Never leaks a further one. */
static int one_descriptor(struct msghdr *m)
{
	int fd = -1, count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

		for (size_t i = 0; i < n; i++) {
			int got;

			memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
			if (count++)
				close(got);
			else
				fd = got;
		}
	}
	if (count > 1 && fd >= 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* False: nothing there yet. */
static bool question_read(struct question *q)
{
	struct park *p = q->park;
	uint8_t bytes[LOCAL_ANSWER_BYTES + 1];
	union {
		char room[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { bytes, sizeof bytes };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t n = recvmsg(q->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct local_answer answer = { .kind = LOCAL_NONE };
	struct local_ask ask;
	struct ucred who = { 0 };
	socklen_t len = sizeof who;
	bool kept = false;
	int fd;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	fd = n >= 0 ? one_descriptor(&m) : -1;
	if (n <= 0) {
		/* Closed without a question: probing whether we live is no offence. */
	} else if (m.msg_flags & MSG_CTRUNC) {
		/* The descriptor did not fit our table: out of descriptors. */
		p->stats.refused_full++;
		answer = unable(LOCAL_FULL, ENOBUFS);
	} else if (fd < 0 || local_ask_parse(&ask, bytes, (size_t)n)) {
		p->stats.malformed++;
		answer.kind = 0;
	} else if (getsockopt(q->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) ||
		   (!p->any_user && who.uid != 0 && who.uid != geteuid())) {
		p->stats.refused_user++;
		answer = unable(LOCAL_USER, EACCES);
	} else {
		switch (ask.kind) {
		case LOCAL_PARK:
			answer = answer_park(p, &ask, fd, &who, &kept);
			break;
		case LOCAL_READ_VERDICT:
		case LOCAL_TAKE_VERDICT:
			answer = answer_verdict(p, &ask, fd);
			break;
		case LOCAL_NAMES:
			answer = answer_names(p, fd);
			break;
		case LOCAL_FORGET:
			answer_forget(p, fd);
			break;
		case LOCAL_ASK_KINDS:
			break;
		}
	}
	/* Our copy goes before the answer: the caller's next close() must be the last one. */
	if (fd >= 0 && !kept)
		close(fd);
	if (n > 0 && answer.kind) {
		local_answer_emit(&answer, bytes);
		/* A caller that died in between hears nothing; its slot is found by the look. */
		(void)!send(q->fd, bytes, LOCAL_ANSWER_BYTES, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	return true;
}

static void on_question(struct ev_loop *loop, ev_io *w, int events)
{
	struct question *q = w->data;

	(void)loop, (void)events;
	if (question_read(q))
		question_close(q);
}

static void on_question_late(struct ev_loop *loop, ev_timer *w, int events)
{
	struct question *q = w->data;

	(void)loop, (void)events;
	q->park->stats.malformed++;
	question_close(q);
}

static void on_accept(struct ev_loop *loop, ev_io *w, int events)
{
	struct park *p = w->data;
	struct question *q = p->questions;
	int fd;

	(void)events;
	/* A few at a time, so that streams are served in between. */
	for (int n = 0; n < 16 && p->questions_open < QUESTIONS; n++) {
		fd = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
				ev_io_stop(loop, w);
				ev_timer_set(&p->accept_later, EMFILE_SECONDS, 0);
				ev_timer_start(loop, &p->accept_later);
			}
			return;
		}
		while (q->fd >= 0)
			q++;
		q->fd = fd;
		p->questions_open++;
		/* It has usually been asked by now. */
		if (question_read(q)) {
			close(fd);
			q->fd = -1;
			p->questions_open--;
			q = p->questions;
			continue;
		}
		ev_io_set(&q->io, fd, EV_READ);
		ev_io_start(loop, &q->io);
		ev_timer_set(&q->timer, QUESTION_SECONDS, 0);
		ev_timer_start(loop, &q->timer);
	}
	if (p->questions_open == QUESTIONS)
		ev_io_stop(loop, w);
}

static void on_accept_later(struct ev_loop *loop, ev_timer *w, int events)
{
	struct park *p = w->data;

	(void)events;
	ev_timer_stop(loop, w);
	if (p->questions_open < QUESTIONS)
		ev_io_start(loop, &p->accept_io);
}

/* --- the door --- */

bool park_complete(struct park *p, park_id id, int *fd)
{
	struct slot *s = slot_of_id(p, id);

	if (!s || (s->state != PENDING && s->state != EARLY))
		return false;
	if (s->in_callback) {
		s->completes = true;
		return false;
	}
	if (s->state == EARLY) {
		s->completes = true;
		if (s->door)
			return false;
		*fd = slot_live(p, s);
		return true;
	}
	return complete_now(p, s, fd);
}

void park_fail(struct park *p, park_id id, int error)
{
	static const struct linger now = { .l_onoff = 1 };
	struct slot *s = slot_of_id(p, id);

	assert(error > 0);
	if (!s || s->state == LIVE || s->state == OPENING)
		return;
	s->error = error;
	s->completes = false;
	if (s->in_callback || s->state == DUE)
		return;
	if (s->state == PENDING) {
		fail_now(p, s);
		return;
	}
	/* Accepted early: a reset is all that can still be said. */
	if (!s->door)
		setsockopt(s->end, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	count_failed(p, error);
	slot_release(p, s);
}

void park_direct(struct park *p, park_id id)
{
	struct slot *s = slot_of_id(p, id);

	assert(s && s->in_callback);
	s->direct = true;
}

void park_closed(struct park *p, park_id id)
{
	struct slot *s = slot_of_id(p, id);
	struct memo *old;

	if (!s || s->state != LIVE)
		return;
	old = memos_add(&p->old_names, s->cookie);
	old->dest = s->dest;
	old->local = s->local;
	old->hole = s->hole_at;
	slot_release(p, s);
}

void park_set_bypass(struct park *p, const struct cidr *bypass, size_t count)
{
	p->bypass = bypass;
	p->bypass_count = count;
}

void park_stats(const struct park *p, struct park_stats *out) { *out = p->stats; }

/* A socket file that nobody listens on any more is taken over; one that answers is somebody's. */
static bool control_open(struct park *p, const char *path, const char **why)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char dir[sizeof un.sun_path];
	struct stat st;
	mode_t mask;
	int fd, bound;

	if (strlen(path) >= sizeof un.sun_path) {
		*why = "the socket's path is too long";
		errno = ENAMETOOLONG;
		return false;
	}
	strcpy(un.sun_path, path);
	strcpy(p->path, path);
	strcpy(dir, path);
	if (mkdir(dirname(dir), p->any_user ? 0755 : 0700) && errno != EEXIST) {
		*why = "the socket's directory cannot be made";
		return false;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && (!connect(fd, (struct sockaddr *)&un, sizeof un) || errno == EAGAIN)) {
		close(fd);
		*why = "another tunneld serves this socket";
		errno = EADDRINUSE;
		return false;
	}
	if (fd >= 0 && errno == ECONNREFUSED && !lstat(path, &st) && S_ISSOCK(st.st_mode))
		unlink(path);
	if (fd >= 0)
		close(fd);
	p->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mask = umask(p->any_user ? 0111 : 0177);
	bound = p->listener < 0 ? -1 : bind(p->listener, (struct sockaddr *)&un, sizeof un);
	umask(mask);
	if (bound || listen(p->listener, SOMAXCONN)) {
		*why = "the socket cannot be bound";
		return false;
	}
	if (!stat(path, &st)) {
		p->path_dev = st.st_dev;
		p->path_ino = st.st_ino;
	}
	return true;
}

struct park *park_new(struct ev_loop *loop, const struct park_config *config,
		      const struct park_callbacks *callbacks, void *ctx, const char **why)
{
	struct park *p = calloc(1, sizeof *p);
	uint32_t heads = 1024;
	int saved;

	if (!p)
		goto no_memory;
	p->loop = loop;
	p->callbacks = *callbacks;
	p->ctx = ctx;
	p->bypass = config->bypass;
	p->bypass_count = config->bypass_count;
	p->any_user = config->any_user;
	p->listener = -1;
	p->slot_count = config->streams_max ? (uint32_t)config->streams_max : STREAMS_DEFAULT;
	while (heads < p->slot_count)
		heads *= 2;
	p->heads_mask = heads - 1;
	p->heads = calloc(heads, sizeof *p->heads);
	p->slots = calloc(p->slot_count, sizeof *p->slots);
	if (!p->heads || !p->slots || memos_init(&p->verdicts, PARK_VERDICTS) || memos_init(&p->old_names, PARK_OLD_NAMES))
		goto no_memory;
	for (uint32_t i = p->slot_count; i; i--) {
		p->slots[i - 1].next_free = p->free_slot;
		p->free_slot = i;
	}
	for (size_t i = 0; i < QUESTIONS; i++) {
		struct question *q = &p->questions[i];

		q->fd = -1;
		q->park = p;
		ev_init(&q->io, on_question);
		ev_init(&q->timer, on_question_late);
		q->io.data = q->timer.data = q;
	}
	ev_timer_init(&p->look, on_look, LOOK_SECONDS, LOOK_SECONDS);
	ev_timer_init(&p->soon, on_soon, SOON_SECONDS, SOON_SECONDS);
	ev_idle_init(&p->spin, on_spin);
	ev_init(&p->accept_later, on_accept_later);
	p->spin.data = p->look.data = p->soon.data = p->accept_later.data = p->accept_io.data = p;

	if (!hole_pick(p, 4)) {
		*why = "no black hole can be made on IPv4 loopback";
		goto fail;
	}
	p->netns = option_u64(p->holes[0][0].listener, SO_NETNS_COOKIE_);
	(void)hole_pick(p, 6); /* a host without IPv6 has no use for it */
	if (!control_open(p, config->socket, why))
		goto fail;
	ev_io_init(&p->accept_io, on_accept, p->listener, EV_READ);
	p->accept_io.data = p;
	ev_io_start(loop, &p->accept_io);
	return p;

no_memory:
	*why = "not enough memory";
	errno = ENOMEM;
fail:
	saved = errno;
	if (p) {
		/* Whatever lies at the path is not ours. */
		p->path_ino = p->listener >= 0 ? p->path_ino : 0;
		park_free(p);
	}
	errno = saved;
	return NULL;
}

void park_free(struct park *p)
{
	struct stat st;

	if (!p)
		return;
	for (uint32_t i = 0; p->slots && i < p->slot_count; i++) {
		struct slot *s = &p->slots[i];

		if (s->state == FREE)
			continue;
		/* Nobody is left to ask for a verdict: what can still be said is that there is no tunneld. */
		if (is_waiting(s) && s->copy >= 0 && tcp_state_of(s->copy) == TCP_SYN_SENT)
			shutdown(s->copy, SHUT_RDWR);
		slot_release(p, s);
	}
	for (size_t i = 0; i < QUESTIONS; i++)
		if (p->questions[i].fd >= 0 && p->questions[i].park)
			question_close(&p->questions[i]);
	ev_io_stop(p->loop, &p->accept_io);
	ev_timer_stop(p->loop, &p->accept_later);
	ev_timer_stop(p->loop, &p->look);
	ev_timer_stop(p->loop, &p->soon);
	ev_idle_stop(p->loop, &p->spin);
	if (p->listener >= 0)
		close(p->listener);
	if (p->path_ino && !lstat(p->path, &st) && st.st_dev == p->path_dev && st.st_ino == p->path_ino)
		unlink(p->path);
	for (int f = 0; f < 2; f++)
		for (size_t i = 0; i < p->hole_count[f]; i++)
			hole_close(&p->holes[f][i]);
	memos_close(&p->verdicts);
	memos_close(&p->old_names);
	free(p->heads);
	free(p->slots);
	free(p);
}
