/* SPDX-License-Identifier: MIT */
#include "tunneld/io/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a turn may read in all: some 2 ms of sealing. */
#define TURN_BYTES ((size_t)1 << 20)

/* Asks the kernel for what is wanted; 0 or errno. Errors and FIN both ways are always told. */
static int ask(struct stream *s, int op)
{
	struct epoll_event e = { .data.ptr = s };

	e.events = (s->want_read ? EPOLLIN : 0) | (s->want_write ? EPOLLOUT : 0);
	s->asked = (uint8_t)((s->want_read ? LOOP_READ : 0) | (s->want_write ? LOOP_WRITE : 0));
	return epoll_ctl(s->set->epoll, op, s->fd, &e) ? errno : 0;
}

/* What is asked for and no longer wanted stays until it happens: a want that comes and goes costs no call. */
static void want(struct stream *s)
{
	if (s->fd < 0)
		return;
	if (s->hung_up) {
		s->hung_up = !s->want_read && !s->want_write;
		if (!s->hung_up)
			ask(s, EPOLL_CTL_ADD);
	} else if ((s->want_read && !(s->asked & LOOP_READ)) || (s->want_write && !(s->asked & LOOP_WRITE))) {
		ask(s, EPOLL_CTL_MOD);
	}
}

static void told(struct stream_set *set, unsigned i, uint32_t events, size_t share)
{
	struct stream *s = set->turn[i];
	int error = 0;
	socklen_t len = sizeof error;

	if (events & (EPOLLERR | EPOLLHUP))
		getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		set->events->reset(s->owner);
		return;
	}
	/* The writer first: it frees memory. Either callback may close the stream. */
	if (events & EPOLLOUT && s->want_write)
		set->events->writable(s->owner);
	if (set->turn[i] && events & (EPOLLIN | EPOLLHUP) && s->want_read)
		set->events->readable(s->owner, share);
	if (!set->turn[i])
		return;
	if (events & (EPOLLERR | EPOLLHUP) && !s->want_read && !s->want_write) {
		s->hung_up = true;
		epoll_ctl(set->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	} else if ((events & EPOLLIN && !s->want_read) || (events & EPOLLOUT && !s->want_write)) {
		ask(s, EPOLL_CTL_MOD);
	}
}

static void on_ready(void *owner, int ready)
{
	struct stream_set *set = owner;
	struct epoll_event got[STREAMS_A_TURN];
	int count = epoll_wait(set->epoll, got, STREAMS_A_TURN, 0);

	(void)ready;
	for (int i = 0; i < count; i++)
		set->turn[i] = got[i].data.ptr;
	for (int i = 0; i < count; i++)
		if (set->turn[i])
			told(set, (unsigned)i, got[i].events, TURN_BYTES / (size_t)count);
	memset(set->turn, 0, sizeof set->turn);
}

int stream_set_open(struct stream_set *set, struct loop *loop, const struct stream_events *events)
{
	*set = (struct stream_set){ .events = events };
	set->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (set->epoll < 0)
		return errno;
	loop_fd_init(&set->watch, loop, set->epoll, on_ready, set);
	loop_fd_want(&set->watch, LOOP_READ);
	return 0;
}

void stream_set_close(struct stream_set *set)
{
	loop_fd_want(&set->watch, 0);
	close(set->epoll);
}

/* What close() does: RST, or FIN. */
static void linger(int fd, bool hard)
{
	struct linger l = { .l_onoff = hard, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
}

int stream_open(struct stream *s, struct stream_set *set, int fd, void *owner)
{
	int one = 1, error;

	*s = (struct stream){ .fd = fd, .set = set, .owner = owner, .want_read = true };
	error = ask(s, EPOLL_CTL_ADD);
	if (error) {
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
	return 0;
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
	for (unsigned i = 0; i < STREAMS_A_TURN; i++)
		if (s->set->turn[i] == s)
			s->set->turn[i] = NULL;
	close(s->fd); /* leaves the set by itself */
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
