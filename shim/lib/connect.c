/* SPDX-License-Identifier: MIT */
/*
 * connect(): the parked connect of docs/DESIGN.md D2. The application's own socket connects to a
 * black hole that tunneld names, and stays in SYN_SENT, blocking or not, until tunneld completes or
 * fails it.
 */
#include "shim/lib/shim.h"

#include <netinet/tcp.h>
#include <string.h>

enum tcp_kind tcp_kind_of(int fd)
{
	int protocol = 0;
	socklen_t len = sizeof protocol;

	if (sys_getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len))
		return NOT_TCP;
	return protocol == IPPROTO_TCP               ? TCP_SOCKET
	       : protocol == 262 /* IPPROTO_MPTCP */ ? MPTCP_SOCKET
						     : NOT_TCP;
}

int tcp_state_of(int fd)
{
	/* tcpi_state is the first byte; the kernel fills what there is room for. */
	uint8_t state = 0;
	socklen_t len = sizeof state;
	long r = sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &len);

	return r ? (int)r : state;
}

static long connect_wait(int fd, const void *sa, socklen_t len)
{
	int old = cancel_open();
	long r = sys_connect(fd, sa, len);

	cancel_shut(old);
	return r;
}

/*
 * Does the kernel have an answer without the destination? The first two bytes of the address are
 * enough for one: a pending connect is waited for or is EALREADY, a connected one is EISCONN, a
 * failed one gives its error, AF_UNSPEC dissolves, a pointer to nowhere is EFAULT; only a fresh
 * socket wants to know more and says EINVAL. So a socket that another thread just gave back cannot
 * slip out to the real destination.
 */
static long connect_again(int fd, const void *sa)
{
	struct local_answer none;
	sa_family_t family;
	long r = connect_wait(fd, sa, sizeof family);

	if (r == -EFAULT)
		return r;
	memcpy(&family, sa, sizeof family);
	if (family != AF_UNSPEC)
		return park_verdict(fd, r);
	/* tunneld must hear of it, or the verdict of this attempt would meet the next one. */
	if (!r)
		(void)park_ask(fd, LOCAL_FORGET, NULL, &none);
	return r;
}

long connect_hook(int fd, const void *sa, socklen_t len)
{
	struct addr dest;
	union sockaddr_any to;
	socklen_t to_len = 0;
	enum tcp_kind kind;
	bool direct;
	long r;

	if (!sa || len < sizeof to.sa.sa_family)
		return connect_wait(fd, sa, len);
	kind = tcp_kind_of(fd);
	if (kind == NOT_TCP || (kind == MPTCP_SOCKET && tcp_state_of(fd) != TCP_CLOSE))
		return connect_wait(fd, sa, len);
	if (kind == TCP_SOCKET) {
		r = connect_again(fd, sa);
		if (r != -EINVAL)
			return r;
	}
	if (len > sizeof(struct sockaddr_storage) || !addr_of_sockaddr(&dest, sa, len) ||
	    !route_is_ours(&dest))
		return connect_wait(fd, sa, len);
	r = park_route(fd, &dest, ((const struct sockaddr *)sa)->sa_family, &to, &to_len, &direct);
	if (r)
		return r;
	if (direct)
		return connect_wait(fd, sa, len);
	return park_verdict(fd, connect_wait(fd, &to, to_len));
}

#ifndef PLAIT_CMD /* plait run's trap uses the hooks, and keeps libc's own calls */
EXPORT int connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	return (int)hook_return(connect_hook(fd, sa, len));
}

/* glibc exports it under this name too. */
int __connect(int fd, const struct sockaddr *sa, socklen_t len);
EXPORT int __connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	return (int)hook_return(connect_hook(fd, sa, len));
}
#endif
