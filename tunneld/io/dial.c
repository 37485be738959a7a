/* SPDX-License-Identifier: MIT */
#include "tunneld/io/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/sockaddr.h"

/*
 * Where an application has no keep-alives of its own: a destination that vanished without a word is missed here, after seven and a
 * half idle minutes, and the reset travels back.
 */
enum { KEEP_IDLE_S = 300, KEEP_INTERVAL_S = 30, KEEP_COUNT = 5 };

static void set(int fd, int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof value); }

static void keep_alive(int fd, int idle_s, int interval_s, int count)
{
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, count);
}

void dial_options(int fd, int family, uint16_t idle_s, uint16_t interval_s, uint8_t count, uint8_t tos)
{
	if (idle_s)
		keep_alive(fd, idle_s, interval_s ? interval_s : KEEP_INTERVAL_S, count ? count : KEEP_COUNT);
	else
		keep_alive(fd, KEEP_IDLE_S, KEEP_INTERVAL_S, KEEP_COUNT);
	if (family == 4)
		set(fd, IPPROTO_IP, IP_TOS, tos);
	else
		set(fd, IPPROTO_IPV6, IPV6_TCLASS, tos);
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
	set(d->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	keep_alive(d->fd, KEEP_IDLE_S, KEEP_INTERVAL_S, KEEP_COUNT);
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
