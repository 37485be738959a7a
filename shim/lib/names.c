/* SPDX-License-Identifier: MIT */
/*
 * getpeername(), getsockname(): the kernel first. Only an answer that one of tunneld's holes could
 * have given (127.64.0.0/10, ::1) is asked about, and tunneld says whose it is by the socket
 * itself; so an unrelated loopback connection costs one question at most and keeps its names.
 */
#include "shim/lib/shim.h"

#include <netinet/tcp.h>
#include <string.h>

static struct addr unmapped(const struct addr *a)
{
	struct addr out = *a;

	for (int i = 0; i < 12; i++)
		if (a->family != 6 || a->ip[i] != (i < 10 ? 0 : 0xff))
			return out;
	out.family = 4;
	memset(out.ip, 0, sizeof out.ip);
	memcpy(out.ip, a->ip + 12, 4);
	return out;
}

static bool is_loopback6(const struct addr *a)
{
	for (int i = 0; i < 15; i++)
		if (a->ip[i])
			return false;
	return a->family == 6 && a->ip[15] == 1;
}

static bool may_be_hole(const struct addr *a)
{
	struct addr u = unmapped(a);

	return u.family == 4 ? u.ip[0] == 127 && (u.ip[1] & 0xc0) == 64 : is_loopback6(&u);
}

static bool is_loopback(const struct addr *a)
{
	struct addr u = unmapped(a);

	return u.family == 4 ? u.ip[0] == 127 : is_loopback6(&u);
}

/* As the kernel: cut to the room given, the whole length told. */
static void name_give(void *sa, socklen_t *len, socklen_t room, const union sockaddr_any *name,
		      socklen_t name_len)
{
	memcpy(sa, name, room < name_len ? room : name_len);
	*len = name_len;
}

long getpeername_hook(int fd, void *sa, socklen_t *len)
{
	struct local_answer answer;
	union sockaddr_any name;
	socklen_t name_len = sizeof name, room;
	struct addr peer;
	long r;

	if (!sa || !len)
		return sys_getpeername(fd, sa, len);
	room = *len;
	r = sys_getpeername(fd, sa, len);
	if (r || sys_getpeername(fd, &name, &name_len) ||
	    !addr_of_sockaddr(&peer, &name, name_len) || !may_be_hole(&peer) ||
	    tcp_kind_of(fd) == NOT_TCP)
		return r;
	if (park_ask(fd, LOCAL_NAMES, NULL, &answer))
		/* Its tunneld is gone, and with it the stream: the kernel will say so at the next
		 * read. */
		return unmapped(&peer).family == 4 ? -ENOTCONN : 0;
	if (answer.kind != LOCAL_NAMED)
		return 0;
	name_len = addr_to_sockaddr(&name, &answer.addr, name.sa.sa_family);
	name_give(sa, len, room, &name, name_len);
	return 0;
}

long getsockname_hook(int fd, void *sa, socklen_t *len)
{
	struct local_answer answer;
	union sockaddr_any name, other;
	socklen_t name_len = sizeof name, other_len = sizeof other, room;
	struct addr local, peer;
	long r;

	if (!sa || !len)
		return sys_getsockname(fd, sa, len);
	room = *len;
	r = sys_getsockname(fd, sa, len);
	if (r || sys_getsockname(fd, &name, &name_len) ||
	    !addr_of_sockaddr(&local, &name, name_len) || !is_loopback(&local) ||
	    tcp_kind_of(fd) == NOT_TCP)
		return r;
	/* Connected: the peer tells. Else only a pending connect has a local address of ours. */
	if (!sys_getpeername(fd, &other, &other_len)) {
		if (!addr_of_sockaddr(&peer, &other, other_len) || !may_be_hole(&peer))
			return 0;
	} else if (tcp_state_of(fd) != TCP_SYN_SENT) {
		return 0;
	}
	if (park_ask(fd, LOCAL_NAMES, NULL, &answer) || answer.kind != LOCAL_NAMED ||
	    !answer.local.family)
		return 0;
	name_len = addr_to_sockaddr(&name, &answer.local, name.sa.sa_family);
	name_give(sa, len, room, &name, name_len);
	return 0;
}

#ifndef PLAIT_CMD /* plait run's trap uses the hooks, and keeps libc's own calls */
EXPORT int getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
	return (int)hook_return(getpeername_hook(fd, sa, len));
}

EXPORT int getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
	return (int)hook_return(getsockname_hook(fd, sa, len));
}
#endif
