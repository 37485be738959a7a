/* SPDX-License-Identifier: MIT */
#include "tunneld/io/park_slot.h"

#include "tunneld/io/park_alive.h"
#include "tunneld/io/park_socket.h"

#include <assert.h>
#include <errno.h>
#include <libgen.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define WALK_SHARE 20       /* the next look waits so many times what the last walk through /proc took */
/* A verdict that overtook the application's connect(), which is about 10 us behind. */
#define SPIN_SECONDS 0.0003
#define SOON_SECONDS 0.001
/* From our answer to the application's connect(); it may be stopped in between. */
#define SYN_PATIENCE 10.0

enum {
	LOOKS = 1024,           /* pending connects looked at in one tick */
	SO_NETNS_COOKIE_ = 71,  /* Linux 5.14 */
};

/* --- verdicts --- */

/* True: done, *fd is the end. False: it comes later, or never. */
static bool complete_now(struct park *p, struct slot *s, int *fd);
static void fail_now(struct park *p, struct slot *s);

void slot_due(struct park *p, struct slot *s)
{
	if (s->state == DUE)
		return;
	s->state = DUE;
	p->due_count++;
	p->spin_until = ev_now(p->loop) + SPIN_SECONDS;
	ev_idle_start(p->loop, &p->spin);
}

/*
 * Where the application is: 1 in SYN_SENT to us, 0 not yet, -1 gone: it gave up, or its socket went
 * elsewhere. The hole swallows all SYNs, so SYN_SENT is where it stays until we end it.
 */
static int application_waits(struct park *p, struct slot *s)
{
	int state = socket_tcp_state(s->copy);

	if (state == TCP_SYN_SENT) {
		s->seen = true;
		s->local = socket_local(s->copy);
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
	if (socket_int(s->end, SOL_SOCKET, SO_ERROR, 0) || !hole_answered(s->end)) {
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
		slot_due(p, s);
		return false;
	}
	r = waits < 0 ? -ECONNREFUSED : hole_answer(s->hole, &s->local, &connected);
	if (r == -EMFILE || r == -ENFILE || r == -EADDRNOTAVAIL) {
		/* Ours to wait for: a descriptor comes free, the 4-tuple leaves TIME_WAIT. */
		s->completes = true;
		slot_due(p, s);
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
		slot_due(p, s);
		return;
	}
	if (waits > 0) {
		struct memo *verdict = memos_add(&p->verdicts, s->cookie);

		verdict->error = s->error;
		verdict->reason = s->reason;
		verdict->dest = s->dest;
		shutdown(s->copy, SHUT_RDWR);
	}
	slot_count_failed(p, s->error);
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
		/* A callback below may end other slots, the next one among them: begin again after
		 * one. */
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

/* Turns the loop without sleep, for a moment; then the timer, whose grain is a millisecond. */
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
		/* Usually a millisecond settles it; a stopped application must not cost us a busy
		 * loop. */
		w->repeat = w->repeat < 0.02 ? w->repeat * 2 : w->repeat;
		ev_timer_again(loop, w);
	} else {
		ev_timer_stop(loop, w);
		ev_timer_set(w, SOON_SECONDS, SOON_SECONDS);
	}
}

/* --- who gave up --- */

/* Returns how long the next one has to wait. */
static ev_tstamp walk(struct park *p, struct suspect *suspects, size_t count)
{
	ev_tstamp began = ev_time();

	alive_look(suspects, count);
	for (size_t i = 0; i < count; i++) {
		struct slot *s = slot_of_id(p, suspects[i].tag);

		if (s && !suspects[i].found && s->copy >= 0)
			slot_cancel(p, s);
	}
	return (ev_time() - began) * WALK_SHARE;
}

static void on_look(struct ev_loop *loop, ev_timer *w, int events)
{
	struct park *p = w->data;
	struct suspect suspects[LOOKS];
	ev_tstamp pause = 0;
	size_t count = 0;

	(void)events;
	if (!p->look_at)
		p->look_at = p->oldest;
	for (unsigned n = 0; n < LOOKS && p->look_at; n++) {
		struct slot *s = &p->slots[p->look_at - 1];

		p->look_at = s->next;
		if (s->copy < 0 || ev_now(loop) - s->since < LOOK_SECONDS)
			continue;
		if (application_waits(p, s) < 0)
			slot_cancel(p, s);
		else if (s->pid > 0 && alive_at(s->pid, s->their_fd, s->inode) == ALIVE_NOT_HERE)
			suspects[count++] = (struct suspect){ .inode = s->inode, .tag = s->id, .pid = s->pid };
	}
	if (count)
		pause = walk(p, suspects, count);
	w->repeat = pause > LOOK_SECONDS ? pause : LOOK_SECONDS;
	if (!p->stats.pending)
		ev_timer_stop(loop, w);
	else
		ev_timer_again(loop, w);
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

void park_unable(struct park *p, park_id id, int error, enum local_reason reason)
{
	static const struct linger now = { .l_onoff = 1 };
	struct slot *s = slot_of_id(p, id);

	assert(error > 0);
	if (!s || s->state == LIVE || s->state == OPENING)
		return;
	s->error = error;
	s->reason = reason;
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
	slot_count_failed(p, error);
	slot_release(p, s);
}

void park_fail(struct park *p, park_id id, int error)
{
	park_unable(p, id, error, LOCAL_NO_REASON);
}

void park_slow(struct park *p, park_id id, enum local_reason reason)
{
	struct slot *s = slot_of_id(p, id);

	assert(s && s->in_callback);
	s->reason = reason;
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

void park_set_tag(struct park *p, park_id id, uint8_t tag)
{
	struct slot *s = slot_of_id(p, id);

	if (s)
		s->tag = tag;
}

uint8_t park_tag(struct park *p, park_id id)
{
	const struct slot *s = slot_of_id(p, id);

	return s ? s->tag : 0;
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
	if (slots_init(p, config->streams_max) || memos_init(&p->verdicts, PARK_VERDICTS) ||
	    memos_init(&p->old_names, PARK_OLD_NAMES))
		goto no_memory;
	ev_timer_init(&p->look, on_look, LOOK_SECONDS, LOOK_SECONDS);
	ev_timer_init(&p->soon, on_soon, SOON_SECONDS, SOON_SECONDS);
	ev_idle_init(&p->spin, on_spin);
	p->spin.data = p->look.data = p->soon.data = p;

	if (!slot_hole(p, 4, 0)) {
		*why = "no black hole can be made on IPv4 loopback";
		goto fail;
	}
	p->netns = socket_u64(p->holes[0][0].listener, SO_NETNS_COOKIE_);
	(void)slot_hole(p, 6, 0); /* a host without IPv6 has no use for it */
	if (!control_open(p, config->socket, why))
		goto fail;
	questions_init(p);
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
	questions_close(p);
	ev_timer_stop(p->loop, &p->look);
	ev_timer_stop(p->loop, &p->soon);
	ev_idle_stop(p->loop, &p->spin);
	if (p->listener >= 0)
		close(p->listener);
	if (p->path_ino && !lstat(p->path, &st) && st.st_dev == p->path_dev &&
	    st.st_ino == p->path_ino)
		unlink(p->path);
	slots_close(p);
	memos_close(&p->verdicts);
	memos_close(&p->old_names);
	free(p);
}
