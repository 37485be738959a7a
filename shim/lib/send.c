/* SPDX-License-Identifier: MIT */
/*
 * sendto(), sendmsg(), sendmmsg(): only where they connect, that is MSG_FASTOPEN with an address.
 * Everything else is one flag test and the system call. The connecting send keeps its flag and only
 * its address is replaced by the hole: MSG_DONTWAIT and what is sent of the data are then the
 * kernel's own behaviour without a cookie. One that waits connects first and then sends.
 */
#include "shim/lib/shim.h"

#include <fcntl.h>
#include <string.h>

/* One connecting send, by whichever call brought it. */
static long fastopen(int fd, struct msghdr *m, int flags)
{
	struct msghdr probe;
	sa_family_t family;
	struct addr dest;
	union sockaddr_any to;
	socklen_t to_len = 0;
	bool direct, listed;
	long r;

	if (m->msg_namelen > sizeof to || !copy_in(&to, m->msg_name, m->msg_namelen) ||
	    !addr_of_sockaddr(&dest, &to, m->msg_namelen) || tcp_kind_of(fd) != TCP_SOCKET)
		return sys_sendmsg(fd, m, flags);
	if (!route_is_ours(&dest, &listed)) {
		if (listed)
			park_tell_direct(fd, &dest, LOCAL_LISTED);
		return sys_sendmsg(fd, m, flags);
	}
	family = to.sa.sa_family;

	/* As connect_again(): EINVAL from a fresh socket alone. */
	probe = *m;
	probe.msg_name = &family;
	probe.msg_namelen = sizeof family;
	r = park_verdict(fd, sys_sendmsg(fd, &probe, flags));
	if (r != -EINVAL)
		return r;
	r = park_route(fd, &dest, family, &to, &to_len, &direct);
	if (r)
		return r;
	if (direct)
		return sys_sendmsg(fd, m, flags);
	if (flags & MSG_DONTWAIT || sys_fcntl(fd, F_GETFL) & O_NONBLOCK) {
		probe.msg_name = &to;
		probe.msg_namelen = to_len;
		return park_verdict(fd, sys_sendmsg(fd, &probe, flags));
	}
	/* It waits until it is connected, and then sends: in two steps, see connect_hole(). */
	r = park_verdict(fd, connect_hole(fd, &to, to_len));
	probe.msg_name = NULL;
	probe.msg_namelen = 0;
	return r ? r : sys_sendmsg(fd, &probe, flags & ~MSG_FASTOPEN);
}

long sendto_hook(int fd, const void *buf, size_t len, int flags, const void *sa, socklen_t sa_len)
{
	int old = cancel_open();
	long r;

	if (flags & MSG_FASTOPEN) {
		struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
		struct msghdr m;

		memset(&m, 0, sizeof m);
		m.msg_name = (void *)(uintptr_t)sa;
		m.msg_namelen = sa_len;
		m.msg_iov = &iov;
		m.msg_iovlen = 1;
		r = fastopen(fd, &m, flags);
	} else {
		r = sys_sendto(fd, buf, len, flags, sa, sa_len);
	}
	cancel_shut(old);
	return r;
}

long sendmsg_hook(int fd, const struct msghdr *m, int flags)
{
	int old = cancel_open();
	long r;

	struct msghdr copy;

	if (flags & MSG_FASTOPEN && copy_in(&copy, m, sizeof copy) && copy.msg_name) {
		r = fastopen(fd, &copy, flags);
	} else {
		r = sys_sendmsg(fd, m, flags);
	}
	cancel_shut(old);
	return r;
}

long sendmmsg_hook(int fd, struct mmsghdr *m, unsigned count, int flags)
{
	int old = cancel_open();
	long r = 0;

	struct mmsghdr copy;

	if (flags & MSG_FASTOPEN && count && copy_in(&copy, m, sizeof copy) &&
	    copy.msg_hdr.msg_name) {
		/* The first one connects; the rest are further sends, and a caller that is told 1
		 * sends them itself. */
		r = fastopen(fd, &copy.msg_hdr, flags);
		if (r >= 0) {
			m->msg_len = (unsigned)r;
			r = 1;
		}
	} else {
		r = sys6(SYS_sendmmsg, fd, (long)m, (long)count, flags, SYS_MARK, 0);
	}
	cancel_shut(old);
	return r;
}

#ifndef PLAIT_CMD /* plait run's trap uses the hooks, and keeps libc's own calls */
EXPORT ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *sa,
		      socklen_t sa_len)
{
	return hook_return(sendto_hook(fd, buf, len, flags, sa, sa_len));
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	return hook_return(sendmsg_hook(fd, m, flags));
}

EXPORT int sendmmsg(int fd, struct mmsghdr *m, unsigned count, int flags)
{
	return (int)hook_return(sendmmsg_hook(fd, m, count, flags));
}
#endif
