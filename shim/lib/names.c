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

/*
 * Puts a name where the kernel puts its own: cut to the room given, the whole length told. The
 * kernel goes first, with the caller's own pointers and a name of the same length, so what cannot
 * be written is its EFAULT and never a crash here.
 */
static long name_give(long nr, int fd, void *sa, socklen_t *len, const union sockaddr_any *name,
		      socklen_t name_len)
{
	socklen_t room;
	long r;

	if (!copy_in(&room, len, sizeof room))
		return -EFAULT;
	r = sys6(nr, fd, (long)sa, (long)len, SYS_MARK, 0, 0);
	if (r)
		return r;
	memcpy(sa, name, room < name_len ? room : name_len);
	return 0;
}

long getpeername_hook(int fd, void *sa, socklen_t *len)
{
	struct local_answer answer;
	union sockaddr_any name;
	socklen_t name_len = sizeof name;
	struct addr peer;

	if (sys_getpeername(fd, &name, &name_len) || !addr_of_sockaddr(&peer, &name, name_len) ||
	    !may_be_hole(&peer) || tcp_kind_of(fd) == NOT_TCP)
		return sys_getpeername(fd, sa, len);
	if (park_ask(fd, LOCAL_NAMES, NULL, &answer))
		/* Its tunneld is gone, and with it the stream: the kernel will say so at the next
		 * read. */
		return unmapped(&peer).family == 4 ? -ENOTCONN : sys_getpeername(fd, sa, len);
	if (answer.kind != LOCAL_NAMED)
		return sys_getpeername(fd, sa, len);
	name_len = addr_to_sockaddr(&name, &answer.addr, name.sa.sa_family);
	return name_give(SYS_getpeername, fd, sa, len, &name, name_len);
}

/* Is the kernel's local address one that we gave by steering it to a hole? */
static bool local_is_ours(int fd, const struct addr *local)
{
	union sockaddr_any other;
	socklen_t other_len = sizeof other;
	struct addr peer;

	if (!is_loopback(local) || !local->port || tcp_kind_of(fd) == NOT_TCP)
		return false;
	/* Connected: the peer tells. Else it is pending, or it was connected and has ended. */
	if (!sys_getpeername(fd, &other, &other_len))
		return addr_of_sockaddr(&peer, &other, other_len) && may_be_hole(&peer);
	return tcp_state_of(fd) != TCP_LISTEN;
}

long getsockname_hook(int fd, void *sa, socklen_t *len)
{
	struct local_answer answer;
	union sockaddr_any name;
	socklen_t name_len = sizeof name;
	struct addr local;

	if (sys_getsockname(fd, &name, &name_len) || !addr_of_sockaddr(&local, &name, name_len) ||
	    !local_is_ours(fd, &local) || park_ask(fd, LOCAL_NAMES, NULL, &answer) ||
	    answer.kind != LOCAL_NAMED || !answer.local.family)
		return sys_getsockname(fd, sa, len);
	name_len = addr_to_sockaddr(&name, &answer.local, name.sa.sa_family);
	return name_give(SYS_getsockname, fd, sa, len, &name, name_len);
}

bool name_may_be_ours(int fd)
{
	union sockaddr_any name;
	socklen_t len = sizeof name;
	struct addr local;

	return !sys_getsockname(fd, &name, &len) && addr_of_sockaddr(&local, &name, len) && local_is_ours(fd, &local);
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
