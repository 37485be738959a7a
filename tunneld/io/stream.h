/* SPDX-License-Identifier: MIT */
/*
 * One local TCP stream: the daemon's end of an application's connection, or the gateway's connection
 * to a destination. Bytes are not kept here: what cannot be written now stays with the engine, what
 * there is no room for stays in the kernel (back-pressure is not reading).
 *
 * A RST is noticed also while nothing is read or written: all streams of one set stand in an epoll
 * instance of their own that asks for nothing but errors.
 */
#ifndef PLAIT_IO_STREAM_H
#define PLAIT_IO_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tunneld/io/loop.h"

struct stream_events {
	void (*readable)(void *owner);
	void (*writable)(void *owner);
	void (*reset)(void *owner);    /* RST, or the kernel gave up; reading and writing have ended */
};

/* Shared by all streams of a loop; outlives them. */
struct stream_set {
	struct loop *loop;
	int error_epoll;
	struct loop_fd watch;
	const struct stream_events *events;
};

/* Embedded in its owner. fd -1: closed. */
struct stream {
	int fd;
	struct loop_fd watch;
	struct stream_set *set;
	void *owner;
	bool want_read, want_write;
};

enum stream_result { STREAM_OK, STREAM_AGAIN, STREAM_EOF, STREAM_RESET };

int stream_set_open(struct stream_set *set, struct loop *loop, const struct stream_events *events); /* 0 or errno */
void stream_set_close(struct stream_set *set);

/* Takes fd, connected; makes it non-blocking, with TCP_NODELAY. Waits for nothing yet. 0 or errno (then fd is closed). */
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
