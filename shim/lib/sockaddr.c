/* SPDX-License-Identifier: MIT */
/* struct addr <-> the kernel's form; and the memory functions that the compiler may call for us. */
#include "shim/lib/shim.h"

#include <string.h>

#define SIN6_LEN_RFC2133 24 /* without sin6_scope_id: the kernel takes it, and so do we */

bool addr_of_sockaddr(struct addr *out, const void *sa, socklen_t len)
{
	union sockaddr_any any;

	memset(out, 0, sizeof *out);
	if (!sa || len < sizeof any.sa.sa_family)
		return false;
	memset(&any, 0, sizeof any);
	memcpy(&any, sa, len < sizeof any ? len : sizeof any);
	if (any.sa.sa_family == AF_INET && len >= sizeof any.in) {
		out->family = 4;
		out->port = (uint16_t)(any.in.sin_port << 8 | any.in.sin_port >> 8);
		memcpy(out->ip, &any.in.sin_addr, 4);
		return true;
	}
	if (any.sa.sa_family == AF_INET6 && len >= SIN6_LEN_RFC2133) {
		out->family = 6;
		out->port = (uint16_t)(any.in6.sin6_port << 8 | any.in6.sin6_port >> 8);
		memcpy(out->ip, &any.in6.sin6_addr, 16);
		out->scope = len >= sizeof any.in6 ? any.in6.sin6_scope_id : 0;
		return true;
	}
	return false;
}

socklen_t addr_to_sockaddr(union sockaddr_any *out, const struct addr *a, int domain)
{
	memset(out, 0, sizeof *out);
	if (domain == AF_INET) {
		out->in.sin_family = AF_INET;
		out->in.sin_port = (in_port_t)(a->port << 8 | a->port >> 8);
		memcpy(&out->in.sin_addr, a->ip, 4);
		return sizeof out->in;
	}
	out->in6.sin6_family = AF_INET6;
	out->in6.sin6_port = (in_port_t)(a->port << 8 | a->port >> 8);
	out->in6.sin6_scope_id = a->scope;
	if (a->family == 6) {
		memcpy(&out->in6.sin6_addr, a->ip, 16);
	} else {
		out->in6.sin6_addr.s6_addr[10] = out->in6.sin6_addr.s6_addr[11] = 0xff;
		memcpy(out->in6.sin6_addr.s6_addr + 12, a->ip, 4);
	}
	return sizeof out->in6;
}

bool copy_in(void *to, const void *from, size_t n)
{
	long r = sys_peek(to, from, n);

	/* Not allowed (a sandbox): then as libc does it. */
	if (r == -EPERM || r == -ENOSYS || r == -EACCES) {
		memcpy(to, from, n);
		return true;
	}
	return r == (long)n;
}

long copy_out(void *to, const void *from, size_t n)
{
	return !n || sys_poke(to, from, n) == (long)n ? 0 : -EFAULT;
}

#ifndef PLAIT_CMD
/* Hidden by the version script: ours alone, so that nobody's malloc debugger or sanitizer is called
 * from a hook. */
void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	while (n--)
		*t++ = *f++;
	return to;
}

void *memset(void *to, int v, size_t n)
{
	unsigned char *t = to;

	while (n--)
		*t++ = (unsigned char)v;
	return to;
}
#endif
