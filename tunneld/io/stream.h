/* SPDX-License-Identifier: MIT */
/*
 * One local TCP stream: the daemon's end of an application's connection, or the gateway's connection
 * to a destination. Bytes are not kept here: what cannot be written now stays with the engine, what
 * there is no room for stays in the kernel (back-pressure is not reading).
 *
 * All streams of one set stand in an epoll instance of their own, and the loop watches that. A few of those that are ready
 * get their turn, then datagrams and timers do, then the next few: the kernel hands them out in rotation. Whoever has a
 * thousand busy streams would otherwise read a megabyte of each before the first acknowledgement is seen. A RST is noticed
 * also while nothing is read or written, because that set always tells errors.
 */
#ifndef PLAIT_IO_STREAM_H
#define PLAIT_IO_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tunneld/io/loop.h"

struct stream_events {
	void (*readable)(void *owner, size_t share); /* read about that many bytes, then it is the turn of others */
	void (*writable)(void *owner);
	void (*reset)(void *owner);    /* RST, or the kernel gave up; reading and writing have ended */
};

enum { STREAMS_A_TURN = 8 };

/* Shared by all streams of a loop; outlives them. */
struct stream_set {
	int epoll;
	struct loop_fd watch;
	const struct stream_events *events;
	struct stream *turn[STREAMS_A_TURN]; /* those whose turn it is; NULL: closed meanwhile */
};

/* Embedded in its owner. fd -1: closed. */
struct stream {
	int fd;
	struct stream_set *set;
	void *owner;
	bool want_read, want_write;
	bool hung_up;             /* FIN both ways has been told of: the kernel would tell it for ever */
	uint8_t asked;            /* LOOP_READ, LOOP_WRITE: what the kernel was asked for, at least what is wanted */
};

enum stream_result { STREAM_OK, STREAM_AGAIN, STREAM_EOF, STREAM_RESET };

int stream_set_open(struct stream_set *set, struct loop *loop, const struct stream_events *events); /* 0 or errno */
void stream_set_close(struct stream_set *set);

/* Takes fd, connected and non-blocking; sets TCP_NODELAY. Waits for bytes to read. 0 or errno (then fd is closed). */
int stream_open(struct stream *s, struct stream_set *set, int fd, void *owner);
void stream_want_read(struct stream *s, bool want);
void stream_want_write(struct stream *s, bool want);
/* STREAM_OK with *n > 0, AGAIN, EOF (the other side's FIN), RESET. */
enum stream_result stream_read(struct stream *s, void *buf, size_t size, size_t *n);
/* STREAM_OK with *n > 0 taken by the kernel, AGAIN, RESET. */
enum stream_result stream_write(struct stream *s, const void *bytes, size_t len, size_t *n);
/* The same from, to several pieces. */
enum stream_result stream_readv(struct stream *s, const struct iovec *iov, unsigned count, size_t *n);
enum stream_result stream_writev(struct stream *s, const struct iovec *iov, unsigned count, size_t *n);
void stream_end_writing(struct stream *s);  /* FIN after what was written */
void stream_close(struct stream *s);        /* in order: FIN if not yet sent */
void stream_reset(struct stream *s);        /* RST; what the kernel still holds is dropped */

#endif
