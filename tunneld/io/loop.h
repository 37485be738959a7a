/* SPDX-License-Identifier: MIT */
/*
 * tunneld/io: the operating system and libev. What is here: the loop, UDP batches, local streams,
 * dialling, interfaces, the parked connects, the status sockets, the clock. What is not: anything
 * about TCP segments, MPTCP or keys; nothing here includes those folders. A file of io tells its
 * owner what happened by a callback and never calls another file of io but loop and clock.
 * Read first: loop.h, then udp.h and stream.h (the data path), then the rest in any order.
 *
 * The loop: file descriptors, one precise timer, signals, and a hook that runs each time everything
 * that was ready has been told, just before the loop sleeps.
 */
#ifndef PLAIT_IO_LOOP_H
#define PLAIT_IO_LOOP_H

#include <stdbool.h>

#include "common/usec.h"

struct loop;
struct ev_loop;

enum { LOOP_READ = 1, LOOP_WRITE = 2 }; /* libev's, checked in loop.c */

/* Embedded in its owner, who stops it before closing fd. */
struct loop_fd {
	/* An ev_io. ev.h stays in loop.c: its EV_WRITE and the engine's would meet in the daemon. */
	void *io[8];
	int fd;
	struct loop *loop;
	void (*ready)(void *owner, int events);
	void *owner;
};

struct loop *loop_new(void); /* NULL: errno */
void loop_free(struct loop *l);
struct ev_loop *loop_ev(struct loop *l); /* for those in io who bring watchers of their own */
void loop_run(struct loop *l); /* until loop_end() */
void loop_end(struct loop *l);

/*
 * For a loop that a thread of its own runs: others may work on what belongs to it between loop_enter() and loop_leave(). They
 * come in while it sleeps, and before its next turn where it does not. 0 or errno, before loop_run(). Nothing in it is shared
 * else, but for loop_wake(): it turns once, from any thread, whether or not loop_share() was called.
 */
int loop_share(struct loop *l);
void loop_enter(struct loop *l);
void loop_leave(struct loop *l);
void loop_wake(struct loop *l);

void loop_fd_init(struct loop_fd *w, struct loop *l, int fd, void (*ready)(void *owner, int events), void *owner);
/* events: what to wait for from now on; 0 = nothing. Cheap when unchanged. */
void loop_fd_want(struct loop_fd *w, int events);

/* Before sleeping. The hook may do work that makes more fds ready, but must not block. */
void loop_on_idle(struct loop *l, void (*idle)(void *owner), void *owner);
/* The one timer: expired() once at or after at_us; USEC_NEVER disarms. Microseconds, not epoll's milliseconds. */
void loop_on_time(struct loop *l, void (*expired)(void *owner), void *owner);
void loop_time_set(struct loop *l, usec_t at_us);
/* At most four signals. */
void loop_on_signal(struct loop *l, int signal, void (*caught)(void *owner, int signal), void *owner);

#endif
