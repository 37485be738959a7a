/* SPDX-License-Identifier: MIT */
/*
 * Where syscall.S jumps to. Its jump leaves registers and stack as the caller of syscall() made
 * them, so seven arguments arrive here by the ordinary convention, the one on the stack of x86_64
 * included.
 */
#include "shim/lib/shim.h"

long syscall_hooked(long n, long a, long b, long c, long d, long e, long f);
long syscall_failed(long r);

__attribute__((used)) long syscall_hooked(long n, long a, long b, long c, long d, long e, long f)
{
	int fd = (int)a;

	switch (n) {
	case SYS_connect:
		return hook_return(connect_hook(fd, (const void *)b, (socklen_t)c));
	case SYS_sendto:
		return hook_return(sendto_hook(fd, (const void *)b, (size_t)c, (int)d,
					       (const void *)e, (socklen_t)f));
	case SYS_sendmsg:
		return hook_return(sendmsg_hook(fd, (const void *)b, (int)c));
	case SYS_sendmmsg:
		return hook_return(sendmmsg_hook(fd, (void *)b, (unsigned)c, (int)d));
	case SYS_getpeername:
		return hook_return(getpeername_hook(fd, (void *)b, (void *)c));
	case SYS_getsockname:
		return hook_return(getsockname_hook(fd, (void *)b, (void *)c));
	case SYS_setsockopt:
		return hook_return(setsockopt_hook(fd, (int)b, (int)c, (const void *)d, (socklen_t)e));
	default: /* SYS_getsockopt */
		return hook_return(getsockopt_hook(fd, (int)b, (int)c, (void *)d, (void *)e));
	}
}

__attribute__((used)) long syscall_failed(long r)
{
	return hook_return(r);
}
