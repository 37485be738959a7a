/* SPDX-License-Identifier: MIT */
#include "tunneld/io/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_errors(void *owner, int events)
{
	struct stream_set *set = owner;
	struct epoll_event got;

	(void)events;
	/* One at a time: the callback may close any stream, and a closed one must not be told of again. */
	while (epoll_wait(set->error_epoll, &got, 1, 0) == 1) {
		struct stream *s = got.data.ptr;
		int error = 0;
		socklen_t len = sizeof error;

		getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		/* EPOLLHUP without an error is FIN both ways: read() has told it. */
		if (error)
			set->events->reset(s->owner);
	}
}

int stream_set_open(struct stream_set *set, struct loop *loop, const struct stream_events *events)
{
	*set = (struct stream_set){ .loop = loop, .events = events };
	set->error_epoll = epoll_create1(EPOLL_CLOEXEC);
	if (set->error_epoll < 0)
		return errno;
	loop_fd_init(&set->watch, loop, set->error_epoll, on_errors, set);
	loop_fd_want(&set->watch, LOOP_READ);
	return 0;
}

void stream_set_close(struct stream_set *set)
{
	loop_fd_want(&set->watch, 0);
	close(set->error_epoll);
}

static void on_ready(void *owner, int events)
{
	struct stream *s = owner;
	const struct stream_events *tell = s->set->events;

	/* The writer first: it frees memory. Either callback may close the stream. */
	if (events & LOOP_WRITE && s->want_write)
		tell->writable(s->owner);
	if (events & LOOP_READ && s->fd >= 0 && s->want_read)
		tell->readable(s->owner);
}

/* What close() does: RST, or FIN. */
static void linger(int fd, bool hard)
{
	struct linger l = { .l_onoff = hard, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
}

int stream_open(struct stream *s, struct stream_set *set, int fd, void *owner)
{
	struct epoll_event errors = { .events = EPOLLET, .data.ptr = s }; /* EPOLLERR and EPOLLHUP are always told */
	int one = 1, flags = fcntl(fd, F_GETFL), error;

	*s = (struct stream){ .fd = fd, .set = set, .owner = owner };
	if ((!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK)) ||
	    epoll_ctl(set->error_epoll, EPOLL_CTL_ADD, fd, &errors)) {
		error = errno;
		close(fd);
		s->fd = -1;
		return error;
	}
	/*
	 * Until stream_close() says otherwise the end of this fd is a RST: if we are killed, the application must
	 * not take what it has for the whole.
	 */
	linger(fd, true);
	/* The far application's own pauses are the ones to keep, not Nagle's on this hop. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	/* RFC 6093: urgent data is data. The mark does not travel, the byte must not be lost. */
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
	loop_fd_init(&s->watch, set->loop, fd, on_ready, s);
	return 0;
}

static void want(struct stream *s)
{
	if (s->fd >= 0)
		loop_fd_want(&s->watch, (s->want_read ? LOOP_READ : 0) | (s->want_write ? LOOP_WRITE : 0));
}

void stream_want_read(struct stream *s, bool wanted)
{
	s->want_read = wanted;
	want(s);
}

void stream_want_write(struct stream *s, bool wanted)
{
	s->want_write = wanted;
	want(s);
}

enum stream_result stream_readv(struct stream *s, const struct iovec *iov, unsigned count, size_t *n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count };
	ssize_t got;

	do
		got = count == 1 ? recv(s->fd, iov->iov_base, iov->iov_len, 0) : recvmsg(s->fd, &msg, 0);
	while (got < 0 && errno == EINTR);
	*n = got > 0 ? (size_t)got : 0;
	if (got > 0)
		return STREAM_OK;
	if (!got)
		return STREAM_EOF;
	return errno == EAGAIN ? STREAM_AGAIN : STREAM_RESET;
}

enum stream_result stream_writev(struct stream *s, const struct iovec *iov, unsigned count, size_t *n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count };
	ssize_t put;

	do
		put = count == 1 ? send(s->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL) : sendmsg(s->fd, &msg, MSG_NOSIGNAL);
	while (put < 0 && errno == EINTR);
	*n = put > 0 ? (size_t)put : 0;
	if (put >= 0)
		return STREAM_OK;
	return errno == EAGAIN || errno == ENOBUFS ? STREAM_AGAIN : STREAM_RESET;
}

enum stream_result stream_read(struct stream *s, void *buf, size_t size, size_t *n)
{
	return stream_readv(s, &(struct iovec){ buf, size }, 1, n);
}

enum stream_result stream_write(struct stream *s, const void *bytes, size_t len, size_t *n)
{
	return stream_writev(s, &(struct iovec){ (void *)(uintptr_t)bytes, len }, 1, n);
}

void stream_end_writing(struct stream *s)
{
	if (s->fd >= 0)
		shutdown(s->fd, SHUT_WR);
}

static void closed(struct stream *s)
{
	loop_fd_want(&s->watch, 0);
	close(s->fd); /* leaves the error set by itself */
	s->fd = -1;
}

void stream_close(struct stream *s)
{
	if (s->fd < 0)
		return;
	linger(s->fd, false);
	closed(s);
}

void stream_reset(struct stream *s)
{
	if (s->fd >= 0)
		closed(s);
}
