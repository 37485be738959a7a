/* SPDX-License-Identifier: MIT */
#include "tunneld/io/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/sockaddr.h"

/*
 * The application's own keep-alives end at its first hop. A destination that vanished without a word is
 * missed here, after seven and a half idle minutes, and the reset travels back.
 */
static void keep_alive(int fd)
{
	static const int on = 1, idle_s = 300, interval_s = 30, count = 5;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

static void on_writable(void *owner, int events)
{
	struct dial *d = owner;
	int fd = d->fd, error = 0;
	socklen_t len = sizeof error;

	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	loop_fd_want(&d->watch, 0);
	d->fd = -1;
	if (error) {
		close(fd);
		fd = -1;
	}
	d->done(d->owner, fd, error);
}

int dial_start(struct dial *d, struct loop *l, const struct addr *to,
	       void (*done)(void *owner, int fd, int error), void *owner)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = sockaddr_of(&sa, to), state_len = 1;
	uint8_t tcp_state; /* the first byte of struct tcp_info */
	int error;

	*d = (struct dial){ .done = done, .owner = owner };
	d->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (d->fd < 0)
		return errno;
	keep_alive(d->fd);
	if (!connect(d->fd, (struct sockaddr *)&sa, sa_len) || errno == EINPROGRESS) {
		/* A neighbour has answered by now: then it need not wait for its turn in the loop. */
		if (!getsockopt(d->fd, IPPROTO_TCP, TCP_INFO, &tcp_state, &state_len) && tcp_state == TCP_ESTABLISHED) {
			int fd = d->fd;

			d->fd = -1;
			done(owner, fd, 0);
			return 0;
		}
		loop_fd_init(&d->watch, l, d->fd, on_writable, d);
		loop_fd_want(&d->watch, LOOP_WRITE); /* a connect done already is writable too */
		return 0;
	}
	error = errno;
	close(d->fd);
	d->fd = -1;
	return error;
}

void dial_cancel(struct dial *d)
{
	if (d->fd < 0)
		return;
	loop_fd_want(&d->watch, 0);
	close(d->fd);
	d->fd = -1;
}
