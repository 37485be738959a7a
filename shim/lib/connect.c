/* SPDX-License-Identifier: MIT */
/*
 * connect(): the parked connect of docs/DESIGN.md D2. The application's own socket connects to a
 * black hole that tunneld names, and stays in SYN_SENT, blocking or not, until tunneld completes or
 * fails it.
 */
#include "shim/lib/shim.h"

#include <fcntl.h>
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
 * failed one gives its error, AF_UNSPEC dissolves; only a fresh socket wants to know more and says
 * EINVAL. So a socket that another thread just gave back cannot slip out to the real destination.
 */
static long connect_again(int fd, sa_family_t family)
{
	struct local_answer none;
	long r = connect_wait(fd, &family, sizeof family);

	if (family != AF_UNSPEC)
		return park_verdict(fd, r);
	/* tunneld must hear of it, or the verdict of this attempt would meet the next one. */
	if (!r)
		(void)park_ask(fd, LOCAL_FORGET, NULL, &none);
	return r;
}

/* Into SYN_SENT without waiting, whatever the descriptor is set to: the flag belongs to all who share
 * it. */
long connect_start(int fd, const union sockaddr_any *to, socklen_t len)
{
	struct msghdr m;

	memset(&m, 0, sizeof m);
	m.msg_name = (void *)(uintptr_t)to;
	m.msg_namelen = len;
	return sys_sendmsg(fd, &m, MSG_FASTOPEN | MSG_DONTWAIT | MSG_NOSIGNAL);
}

/*
 * The verdict may come while a signal handler runs, and the kernel restarts a connect() that it
 * interrupted: with the hole's address that would be a new attempt, of which tunneld knows nothing.
 * So a caller that waits waits by an address too short for one.
 */
long connect_hole(int fd, const union sockaddr_any *to, socklen_t len)
{
	sa_family_t family = to->sa.sa_family;
	int error = 0;
	socklen_t error_len = sizeof error;
	long r;

	if (sys_fcntl(fd, F_GETFL) & O_NONBLOCK)
		return sys_connect(fd, to, len);
	r = connect_start(fd, to, len);
	if (r == -EOPNOTSUPP) /* net.ipv4.tcp_fastopen forbids it */
		return connect_wait(fd, to, len);
	if (r != -EINPROGRESS)
		return r < 0 ? r : 0;
	r = connect_wait(fd, &family, sizeof family);
	if (r == -EALREADY) /* SO_SNDTIMEO; what the first call says of it */
		return -EINPROGRESS;
	if (r != -EINVAL)
		return r;
	/* It was ended before we slept again: a fresh socket, and the error. */
	(void)sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
	return error ? -error : -ECONNABORTED;
}

long connect_hook(int fd, const void *sa, socklen_t len)
{
	union {
		struct sockaddr_storage room;
		union sockaddr_any any;
	} copy;
	struct addr dest;
	union sockaddr_any to;
	socklen_t to_len = 0;
	enum tcp_kind kind = tcp_kind_of(fd);
	bool direct, listed;
	long r;

	/* The kernel's own complaints about lengths come before any other. */
	if (kind == NOT_TCP || len < sizeof copy.any.sa.sa_family || len > sizeof copy)
		return connect_wait(fd, sa, len);
	if (!copy_in(&copy, sa, len))
		return -EFAULT;
	if (kind == MPTCP_SOCKET && tcp_state_of(fd) != TCP_CLOSE)
		return connect_wait(fd, &copy, len);
	if (kind == TCP_SOCKET) {
		r = connect_again(fd, copy.any.sa.sa_family);
		if (r != -EINVAL)
			return r;
	}
	if (!addr_of_sockaddr(&dest, &copy, len))
		return connect_wait(fd, &copy, len);
	if (!route_is_ours(&dest, &listed)) {
		if (listed)
			park_tell_direct(fd, &dest, LOCAL_LISTED);
		return connect_wait(fd, &copy, len);
	}
	r = park_route(fd, &dest, copy.any.sa.sa_family, &to, &to_len, &direct);
	if (r)
		return r;
	if (direct)
		return connect_wait(fd, &copy, len);
	return park_verdict(fd, connect_hole(fd, &to, to_len));
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
