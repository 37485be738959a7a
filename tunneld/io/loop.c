/* SPDX-License-Identifier: MIT */
#include "tunneld/io/loop.h"

#include <assert.h>
#include <ev.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "tunneld/io/clock.h"

enum { SIGNALS_MAX = 4 };

_Static_assert((int)LOOP_READ == EV_READ && (int)LOOP_WRITE == EV_WRITE, "loop.h names libev's bits");
_Static_assert(sizeof(ev_io) <= sizeof ((struct loop_fd *)0)->io, "an ev_io fits");

static ev_io *io_of(struct loop_fd *w) { return (ev_io *)(void *)w->io; }

struct loop_signal {
	ev_signal sig;
	void (*caught)(void *owner, int signal);
	void *owner;
};

struct loop {
	struct ev_loop *ev;
	ev_prepare prepare;
	void (*idle)(void *owner);
	void *idle_owner;
	int timer_fd;            /* a timerfd: epoll_wait() would round pacing up to whole milliseconds */
	struct loop_fd timer;
	usec_t timer_at_us;      /* as the owner set it; USEC_NEVER = never */
	/*
	 * What the timerfd is armed for, never later than that. A timer that every packet pushes back stays where it is: it
	 * fires early, once, and is armed anew. That is a wake-up for each such span in place of a system call for each packet.
	 */
	usec_t armed_us;
	void (*expired)(void *owner);
	void *expired_owner;
	struct loop_signal signals[SIGNALS_MAX];
	unsigned signal_count;
	ev_async wake;
	/*
	 * inside: held by whoever works on this loop. gate: held while waiting for it, so that one who wants in comes before the
	 * loop's next turn; by inside alone a busy loop would have it back before anybody wakes up.
	 */
	bool shared;
	pthread_mutex_t gate, inside;
};

static void on_prepare(struct ev_loop *ev, ev_prepare *w, int revents)
{
	struct loop *l = w->data;

	(void)ev, (void)revents;
	if (l->idle)
		l->idle(l->idle_owner);
}

static void arm(struct loop *l, usec_t at_us)
{
	struct itimerspec at = { 0 };

	l->armed_us = at_us;
	at.it_value.tv_sec = (time_t)(at_us / USEC_PER_S);
	at.it_value.tv_nsec = (long)(at_us % USEC_PER_S * 1000);
	if (!at_us)
		at.it_value.tv_nsec = 1; /* all zero would disarm */
	timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void on_timer(void *owner, int events)
{
	struct loop *l = owner;
	uint64_t times;

	(void)events;
	/* A re-arm between expiry and here makes the read say EAGAIN: then it has not expired. */
	if (read(l->timer_fd, &times, sizeof times) != sizeof times)
		return;
	l->armed_us = USEC_NEVER;
	if (clock_now() < l->timer_at_us) {
		loop_time_set(l, l->timer_at_us);
		return;
	}
	l->timer_at_us = USEC_NEVER;
	if (l->expired)
		l->expired(l->expired_owner);
}

static void on_wake(struct ev_loop *ev, ev_async *w, int revents)
{
	(void)ev, (void)w, (void)revents; /* on_prepare() comes next */
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (!l->ev || l->timer_fd < 0) {
		loop_free(l);
		return NULL;
	}
	l->timer_at_us = l->armed_us = USEC_NEVER;
	loop_fd_init(&l->timer, l, l->timer_fd, on_timer, l);
	loop_fd_want(&l->timer, LOOP_READ);
	ev_prepare_init(&l->prepare, on_prepare);
	l->prepare.data = l;
	ev_prepare_start(l->ev, &l->prepare);
	ev_async_init(&l->wake, on_wake);
	ev_async_start(l->ev, &l->wake);
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	if (l->timer_fd >= 0)
		close(l->timer_fd);
	if (l->ev)
		ev_loop_destroy(l->ev);
	if (l->shared) {
		pthread_mutex_destroy(&l->gate);
		pthread_mutex_destroy(&l->inside);
	}
	free(l);
}

struct ev_loop *loop_ev(struct loop *l) { return l->ev; }
void loop_end(struct loop *l) { ev_break(l->ev, EVBREAK_ALL); }
void loop_wake(struct loop *l) { ev_async_send(l->ev, &l->wake); }

void loop_run(struct loop *l)
{
	if (l->shared)
		loop_enter(l);
	ev_run(l->ev, 0);
	if (l->shared)
		pthread_mutex_unlock(&l->inside);
}

/* --- several threads --- */

void loop_enter(struct loop *l)
{
	pthread_mutex_lock(&l->gate);
	pthread_mutex_lock(&l->inside);
	pthread_mutex_unlock(&l->gate);
}

void loop_leave(struct loop *l)
{
	pthread_mutex_unlock(&l->inside);
	loop_wake(l); /* what is wanted of the sockets and the timer may be different now */
}

static void before_sleep(struct ev_loop *ev)
{
	pthread_mutex_unlock(&((struct loop *)ev_userdata(ev))->inside);
}

static void after_sleep(struct ev_loop *ev)
{
	loop_enter(ev_userdata(ev));
}

int loop_share(struct loop *l)
{
	int error = pthread_mutex_init(&l->gate, NULL);

	if (error)
		return error;
	error = pthread_mutex_init(&l->inside, NULL);
	if (error) {
		pthread_mutex_destroy(&l->gate);
		return error;
	}
	l->shared = true;
	ev_set_userdata(l->ev, l);
	ev_set_loop_release_cb(l->ev, before_sleep, after_sleep);
	return 0;
}

static void on_fd(struct ev_loop *ev, ev_io *io, int revents)
{
	struct loop_fd *w = io->data;

	(void)ev;
	w->ready(w->owner, revents & (LOOP_READ | LOOP_WRITE));
}

void loop_fd_init(struct loop_fd *w, struct loop *l, int fd, void (*ready)(void *owner, int events), void *owner)
{
	ev_io *io = io_of(w);

	*w = (struct loop_fd){ .fd = fd, .loop = l, .ready = ready, .owner = owner };
	ev_io_init(io, on_fd, fd, 0);
	io->data = w;
}

void loop_fd_want(struct loop_fd *w, int events)
{
	ev_io *io = io_of(w);
	bool active;

	if (!w->loop)
		return; /* never initialised: nothing is wanted of it */
	active = ev_is_active(io);
	if ((active ? io->events & (LOOP_READ | LOOP_WRITE) : 0) == events)
		return;
	if (active)
		ev_io_stop(w->loop->ev, io);
	if (!events)
		return;
	ev_io_set(io, w->fd, events);
	ev_io_start(w->loop->ev, io);
}

void loop_on_idle(struct loop *l, void (*idle)(void *owner), void *owner)
{
	l->idle = idle;
	l->idle_owner = owner;
}

void loop_on_time(struct loop *l, void (*expired)(void *owner), void *owner)
{
	l->expired = expired;
	l->expired_owner = owner;
}

void loop_time_set(struct loop *l, usec_t at_us)
{
	l->timer_at_us = at_us;
	if (at_us < l->armed_us)
		arm(l, at_us);
}

static void on_signal(struct ev_loop *ev, ev_signal *w, int revents)
{
	struct loop_signal *s = w->data;

	(void)ev, (void)revents;
	s->caught(s->owner, w->signum);
}

void loop_on_signal(struct loop *l, int signal, void (*caught)(void *owner, int signal), void *owner)
{
	struct loop_signal *s;

	assert(l->signal_count < SIGNALS_MAX);
	s = &l->signals[l->signal_count++];
	s->caught = caught;
	s->owner = owner;
	ev_signal_init(&s->sig, on_signal, signal);
	s->sig.data = s;
	ev_signal_start(l->ev, &s->sig);
}
