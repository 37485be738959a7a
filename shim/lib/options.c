/* SPDX-License-Identifier: MIT */
/*
 * getsockopt(): SO_ERROR of a connect that tunneld failed reads ECONNRESET, the true reason is asked;
 * SO_PEERNAME is a name; TCP_INFO and MPTCP_INFO, if the user wants it (info.c). setsockopt(): what is set before connect()
 * tunneld reads there; of what is set later and is carried on it is told. Every other option is the kernel's, at the cost of a comparison.
 */
#include "shim/lib/shim.h"

#include <netinet/tcp.h>
#include <string.h>

/* The kernel has filled value: as many bytes as there was room for, *len of them. */
static void error_translate(int fd, void *value, const socklen_t *len)
{
	static const int reset = ECONNRESET;
	int error = 0;

	if (!*len || *len > sizeof error)
		return;
	memcpy(&error, value, *len);
	/* No other errno has this lowest byte. */
	if (error != reset)
		return;
	error = park_reason(fd, LOCAL_READ_VERDICT);
	memcpy(value, &error, *len);
}

/* SOL_SOCKET, SO_PEERNAME: getpeername() by another name, with rules of its own for the length. */
static long peername(int fd, void *value, socklen_t *len)
{
	union sockaddr_any name;
	socklen_t name_len = sizeof name, room;
	long r = sys_getsockopt(fd, SOL_SOCKET, SO_PEERNAME, value, len);

	if (r || getpeername_hook(fd, &name, &name_len) || !copy_in(&room, len, sizeof room))
		return r;
	memcpy(value, &name, room < name_len ? room : name_len);
	return 0;
}

long getsockopt_hook(int fd, int level, int option, void *value, socklen_t *len)
{
	long r;

	if (level == SOL_SOCKET && option == SO_PEERNAME)
		return peername(fd, value, len);
	if (((level == IPPROTO_TCP && option == TCP_INFO) || (level == SOL_MPTCP_ && option == MPTCP_INFO_)) &&
	    route_info_is_tunnels())
		return info_hook(fd, level, option, value, len);
	r = sys_getsockopt(fd, level, option, value, len);
	if (!r && level == SOL_SOCKET && option == SO_ERROR)
		error_translate(fd, value, len);
	return r;
}

bool option_is_carried(int level, int option)
{
	switch (level) {
	case SOL_SOCKET:
		return option == SO_KEEPALIVE;
	case IPPROTO_TCP:
		return option == TCP_USER_TIMEOUT || option == TCP_KEEPIDLE || option == TCP_KEEPINTVL || option == TCP_KEEPCNT;
	case IPPROTO_IP:
		return option == IP_TOS;
	case IPPROTO_IPV6:
		return option == IPV6_TCLASS;
	default:
		return false;
	}
}

long setsockopt_hook(int fd, int level, int option, const void *value, socklen_t len)
{
	long r = sys_setsockopt(fd, level, option, value, len);
	struct local_answer answer;

	/* The kernel has it, and tunneld reads it there: a tunneld that is gone took the stream with it. */
	if (!r && option_is_carried(level, option) && name_may_be_ours(fd))
		(void)park_ask(fd, LOCAL_OPTIONS, NULL, &answer);
	return r;
}

#ifndef PLAIT_CMD /* plait run's trap uses the hooks, and keeps libc's own calls */
EXPORT int getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	return (int)hook_return(getsockopt_hook(fd, level, option, value, len));
}

EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	return (int)hook_return(setsockopt_hook(fd, level, option, value, len));
}
#endif
