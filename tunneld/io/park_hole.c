/* SPDX-License-Identifier: MIT */
#include "tunneld/io/park_hole.h"

#include "common/sockaddr.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int tcp_socket(int family)
{
	return socket(family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		      IPPROTO_TCP);
}

static int tcp_state(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ? -1 : info.tcpi_state;
}

/* A random address of the range keeps the holes of many daemons apart, and strangers from finding
 * them by habit. */
static struct addr place(int family, uint32_t chance)
{
	struct addr a = { .family = (uint8_t)family };

	if (family == 4) {
		a.ip[0] = 127;
		a.ip[1] = (uint8_t)(64 | (chance & 63));
		a.ip[2] = (uint8_t)(chance >> 6);
		a.ip[3] = (uint8_t)(1 + (chance >> 14) % 254);
	} else {
		a.ip[15] = 1;
	}
	return a;
}

static int bind_at(int fd, const struct addr *a)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(&sa, a);

	return bind(fd, (struct sockaddr *)&sa, len);
}

static int connect_to(int fd, const struct addr *a)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(&sa, a);

	return connect(fd, (struct sockaddr *)&sa, len);
}

static bool local_of(int fd, struct addr *a)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;

	return !getsockname(fd, (struct sockaddr *)&sa, &len) && !sockaddr_to_addr(a, &sa, len);
}

/* Loopback delivers inside the system call: a SYN that is not answered when connect() returns was
 * swallowed. */
static bool swallows(const struct hole *h)
{
	int fd = tcp_socket(h->at.family);
	bool dark = false;

	if (fd < 0)
		return false;
	if (connect_to(fd, &h->at) < 0 && errno == EINPROGRESS)
		dark = tcp_state(fd) == TCP_SYN_SENT;
	close(fd);
	errno = EPROTO;
	return dark;
}

bool hole_open(struct hole *h, int family, uint32_t chance)
{
	static const int one = 1;
	int saved;

	*h = (struct hole){ .listener = tcp_socket(family), .filler = tcp_socket(family) };
	h->at = place(family, chance);
	if (h->listener < 0 || h->filler < 0)
		goto fail;
	/* Bound alone first, so that the port is nobody else's; shared afterwards, with sockets of
	 * our user only. */
	if (bind_at(h->listener, &h->at) || !local_of(h->listener, &h->at) ||
	    setsockopt(h->listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) ||
	    listen(h->listener, 0))
		goto fail;
	/* The kernel's queue is full when it holds more than the backlog: 0 + 1. */
	if (connect_to(h->filler, &h->at) < 0 && errno != EINPROGRESS)
		goto fail;
	if (swallows(h))
		return true;
fail:
	saved = errno;
	hole_close(h);
	errno = saved;
	return false;
}

void hole_close(struct hole *h)
{
	if (h->listener >= 0)
		close(h->listener);
	if (h->filler >= 0)
		close(h->filler);
	*h = (struct hole){ .listener = -1, .filler = -1 };
}

bool hole_answered(int fd)
{
	int state = tcp_state(fd);

	/* CLOSE_WAIT: a quick application has already sent all it has and shut its side. */
	return state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT;
}

int hole_answer(const struct hole *h, const struct addr *application, bool *connected)
{
	static const int one = 1;
	int fd = tcp_socket(h->at.family), saved;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) || bind_at(fd, &h->at))
		goto fail;
	*connected = !connect_to(fd, application);
	if (!*connected && errno != EINPROGRESS && errno != EINTR)
		goto fail;
	*connected = *connected || hole_answered(fd);
	return fd;
fail:
	saved = errno;
	close(fd);
	return -saved;
}

int hole_door(struct addr *at, int family, uint32_t chance)
{
	int fd = tcp_socket(family), saved;

	if (fd < 0)
		return -errno;
	*at = place(family, chance);
	if (!bind_at(fd, at) && local_of(fd, at) && !listen(fd, 1))
		return fd;
	saved = errno;
	close(fd);
	return -saved;
}
