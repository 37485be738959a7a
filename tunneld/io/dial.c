/* SPDX-License-Identifier: MIT */
#include "tunneld/io/dial.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/sockaddr.h"

/* The code of the ICMP "destination unreachable" that ended the connect, or -1. Needs IP_RECVERR set before. */
static int icmp_code_of(int fd)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct sock_extended_err) + sizeof(struct sockaddr_in6))];
	} control;
	struct msghdr msg = { .msg_control = &control, .msg_controllen = sizeof control };
	struct sock_extended_err err;

	if (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
		    !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
			continue;
		memcpy(&err, CMSG_DATA(c), sizeof err);
		if (err.ee_origin == SO_EE_ORIGIN_ICMP || err.ee_origin == SO_EE_ORIGIN_ICMP6)
			return err.ee_code;
	}
	return -1;
}

static void on_writable(void *owner, int events)
{
	struct dial *d = owner;
	int fd = d->fd, error = 0, icmp_code = -1;
	socklen_t len = sizeof error;

	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	loop_fd_want(&d->watch, 0);
	d->fd = -1;
	if (error) {
		icmp_code = icmp_code_of(fd);
		close(fd);
		fd = -1;
	}
	d->done(d->owner, fd, error, icmp_code);
}

int dial_start(struct dial *d, struct loop *l, const struct addr *to,
	       void (*done)(void *owner, int fd, int error, int icmp_code), void *owner)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = addr_to_sockaddr(to, &sa);
	int error;

	*d = (struct dial){ .done = done, .owner = owner };
	d->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (d->fd < 0)
		return errno;
	if (!connect(d->fd, (struct sockaddr *)&sa, sa_len) || errno == EINPROGRESS) {
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
