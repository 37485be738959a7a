/* SPDX-License-Identifier: MIT */
#include "shim/cmd/trap_state.h"

#include "shim/lib/shim.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
	/* Signals are held back while we wait; then the kernel waits: a failure is ECONNRESET. */
	WAIT_MS = 2000,
	PIDFD_THREAD_ = O_EXCL,
};

/* --- the other process --- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int trap_borrow(pid_t tid, int fd)
{
	long pidfd = syscall(SYS_pidfd_open, tid, PIDFD_THREAD_), copy;

	if (pidfd < 0 && errno == EINVAL) {
		/* Before Linux 6.9 a pidfd is of a process: its number is the leading thread's. */
		char path[40], text[40];
		pid_t tgid = 0;
		FILE *f;

		snprintf(path, sizeof path, "/proc/%ld/status", (long)tid);
		f = fopen(path, "re");
		while (f && fgets(text, sizeof text, f))
			if (sscanf(text, "Tgid: %d", &tgid) == 1)
				break;
		if (f)
			fclose(f);
		pidfd = tgid ? syscall(SYS_pidfd_open, tgid, 0) : -1;
	}
	if (pidfd < 0)
		return -errno;
	copy = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (copy < 0)
		copy = -errno;
	close((int)pidfd);
	return (int)copy;
}

static bool peek(pid_t tid, uint64_t from, void *to, size_t len)
{
	struct iovec here = { to, len }, there = { (void *)(uintptr_t)from, len };

	return process_vm_readv(tid, &here, 1, &there, 1, 0) == (ssize_t)len;
}

static bool poke(pid_t tid, uint64_t to, const void *from, size_t len)
{
	struct iovec here = { (void *)(uintptr_t)from, len },
		     there = { (void *)(uintptr_t)to, len };

	return !len || process_vm_writev(tid, &here, 1, &there, 1, 0) == (ssize_t)len;
}

/* --- answers --- */

static void answer(struct trap *t, uint64_t id, long result)
{
	struct seccomp_notif_resp r = { .id = id };

	if (result < 0)
		r.error = (int)result;
	else
		r.val = result;
	(void)ioctl(t->listener, SECCOMP_IOCTL_NOTIF_SEND, &r); /* ENOENT: the caller died */
}

static void let_pass(struct trap *t, uint64_t id)
{
	struct seccomp_notif_resp r = { .id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

	(void)ioctl(t->listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
}

/* --- connect --- */

/* What the kernel says when it is asked without a destination, see connect_again() of shim/lib. */
static long connect_state(int fd, sa_family_t family)
{
	struct sockaddr probe = { .sa_family = family };

	return park_verdict(fd, sys_connect(fd, &probe, sizeof probe.sa_family));
}

/* As connect_start(), or where that may not be as the descriptor is set. */
static long trap_connect(int fd, const union sockaddr_any *to, socklen_t len, bool blocks)
{
	long r;

	if (!blocks)
		return sys_connect(fd, to, len);
	r = connect_start(fd, to, len);
	if (r == -EOPNOTSUPP) {
		/* net.ipv4.tcp_fastopen forbids it: for a moment the flag after all. */
		int flags = fcntl(fd, F_GETFL);

		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
		r = sys_connect(fd, to, len);
		fcntl(fd, F_SETFL, flags);
	}
	return r;
}

static void wait_begin(struct trap *t, uint64_t id, int fd, int then)
{
	struct timeval limit = { 0 };
	socklen_t len = sizeof limit;
	struct wait *w;
	double seconds = WAIT_MS / 1000.0, theirs;

	if (t->wait_count == TRAP_WAITS) {
		/* It is in SYN_SENT: the kernel waits, and does not look at the address. */
		let_pass(t, id);
		close(fd);
		return;
	}
	(void)getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &len);
	theirs = (double)limit.tv_sec + (double)limit.tv_usec / 1e6;
	w = &t->waits[t->wait_count++];
	*w = (struct wait){ .id = id, .fd = fd, .then = then };
	w->times_out = theirs > 0 && theirs <= seconds;
	w->until = now() + (w->times_out ? theirs : seconds);
}

static void wait_end(struct trap *t, struct wait *w)
{
	close(w->fd);
	*w = t->waits[--t->wait_count];
}

static void wait_look(struct trap *t, struct wait *w, short events)
{
	bool gone = ioctl(t->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &w->id) != 0;
	long r;

	if (gone) {
		wait_end(t, w);
		return;
	}
	if (events) {
		r = connect_state(w->fd, AF_INET);
		if (r == -EALREADY)
			return;
		if (r == -EINVAL) {
			/* Ended by shutdown(), tunneld's or the program's own, which leaves a fresh
			 * socket and the error. */
			int error = 0;
			socklen_t len = sizeof error;

			(void)sys_getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len);
			r = error ? park_verdict(w->fd, -error) : -ECONNABORTED;
		}
		answer(t, w->id, r);
	} else if (now() < w->until) {
		return;
	} else if (w->times_out) {
		answer(t, w->id, -w->then);
	} else {
		let_pass(t, w->id);
	}
	wait_end(t, w);
}

/* tunneld is shown the name of the program, not ours. */
static void take_name_of(pid_t tid)
{
	char path[40], name[17] = "plait";
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%ld/comm", (long)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, name, sizeof name - 1) : 0;
	if (n > 0)
		name[n - 1] = 0;
	if (fd >= 0)
		close(fd);
	prctl(PR_SET_NAME, name, 0, 0, 0);
}

static void on_connect(struct trap *t, const struct seccomp_notif *n, int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = (socklen_t)n->data.args[2], to_len = 0;
	pid_t tid = (pid_t)n->pid;
	union sockaddr_any to;
	struct addr dest;
	bool blocks = !(fcntl(fd, F_GETFL) & O_NONBLOCK), direct, listed;
	enum tcp_kind kind = tcp_kind_of(fd);
	long r;

	memset(&sa, 0, sizeof sa);
	if (kind == NOT_TCP || len > sizeof sa || !peek(tid, n->data.args[1], &sa, len) ||
	    ioctl(t->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n->id))
		goto pass;
	if (len >= sizeof sa.ss_family && sa.ss_family == AF_UNSPEC &&
	    tcp_state_of(fd) == TCP_SYN_SENT) {
		answer(t, n->id, connect_hook(fd, &sa, len));
		goto out;
	}
	if (!addr_of_sockaddr(&dest, &sa, len))
		goto pass;
	if (!route_is_ours(&dest, &listed)) {
		if (listed) {
			take_name_of(tid);
			park_tell_direct(fd, &dest, LOCAL_LISTED);
		}
		goto pass;
	}
	/* Never passed on in a state in which the kernel might look at the address. */
	if (tcp_state_of(fd) == TCP_SYN_SENT && blocks) {
		wait_begin(t, n->id, fd, EALREADY);
		return;
	}
	r = kind == TCP_SOCKET              ? connect_state(fd, sa.ss_family)
	    : tcp_state_of(fd) == TCP_CLOSE ? -EINVAL
					    : -EISCONN;
	if (r != -EINVAL) {
		answer(t, n->id, r);
		goto out;
	}
	take_name_of(tid);
	r = park_route(fd, &dest, sa.ss_family, &to, &to_len, &direct);
	if (direct)
		goto pass;
	if (!r)
		r = trap_connect(fd, &to, to_len, blocks);
	if (r == -EINPROGRESS && blocks) {
		wait_begin(t, n->id, fd, EINPROGRESS);
		return;
	}
	answer(t, n->id, r);
	goto out;
pass:
	let_pass(t, n->id);
out:
	close(fd);
}

/* --- names and options --- */

static void on_name(struct trap *t, const struct seccomp_notif *n, int fd)
{
	struct sockaddr_storage sa;
	socklen_t room, len;
	pid_t tid = (pid_t)n->pid;
	long r;

	memset(&sa, 0, sizeof sa);
	if (tcp_kind_of(fd) == NOT_TCP || !peek(tid, n->data.args[2], &room, sizeof room) ||
	    room > INT32_MAX) {
		let_pass(t, n->id);
		return;
	}
	len = sizeof sa;
	r = n->data.nr == SYS_getpeername ? getpeername_hook(fd, &sa, &len)
					  : getsockname_hook(fd, &sa, &len);
	if (!r && (!poke(tid, n->data.args[1], &sa, room < len ? room : len) ||
		   !poke(tid, n->data.args[2], &len, sizeof len)))
		r = -EFAULT;
	answer(t, n->id, r);
}

/* SO_ERROR and SO_PEERNAME: the filter lets no other option come here. */
static void on_option(struct trap *t, const struct seccomp_notif *n, int fd)
{
	struct sockaddr_storage value;
	socklen_t room, len;
	pid_t tid = (pid_t)n->pid;
	int option = (int)n->data.args[2];
	long r;

	memset(&value, 0, sizeof value);
	if (tcp_kind_of(fd) == NOT_TCP || !peek(tid, n->data.args[4], &room, sizeof room) ||
	    room > sizeof value) {
		let_pass(t, n->id);
		return;
	}
	len = room;
	r = getsockopt_hook(fd, SOL_SOCKET, option, &value, &len);
	if (!r && (!poke(tid, n->data.args[3], &value, len) ||
		   !poke(tid, n->data.args[4], &len, sizeof len)))
		r = -EFAULT;
	answer(t, n->id, r);
}

/* Those that option_is_carried() names: the filter lets no other come here. */
static void on_set_option(struct trap *t, const struct seccomp_notif *n, int fd)
{
	int value = 0;
	socklen_t len = (socklen_t)n->data.args[4];

	/* All are numbers; the kernel takes an int where a byte would do, and says itself what it does not take. */
	if (tcp_kind_of(fd) == NOT_TCP || len > sizeof value || !peek((pid_t)n->pid, n->data.args[3], &value, len) ||
	    ioctl(t->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n->id)) {
		let_pass(t, n->id);
		return;
	}
	answer(t, n->id, setsockopt_hook(fd, (int)n->data.args[1], (int)n->data.args[2], &value, len));
}

static void on_notice(struct trap *t)
{
	struct seccomp_notif n;
	int fd;

	memset(&n, 0, sizeof n);
	if (ioctl(t->listener, SECCOMP_IOCTL_NOTIF_RECV, &n))
		return;
	fd = trap_borrow((pid_t)n.pid, (int)n.data.args[0]);
	if (fd == -EBADF) {
		let_pass(t, n.id); /* the kernel says so itself */
		return;
	}
	if (fd < 0) {
		/* The socket is out of reach (a process that may not be traced): not a reason to go
		 * directly. */
		if (n.data.nr == SYS_connect)
			answer(t, n.id, -ENETUNREACH);
		else
			let_pass(t, n.id);
		return;
	}
	if (n.data.nr == SYS_connect) {
		on_connect(t, &n, fd); /* keeps or closes it */
		return;
	}
	if (n.data.nr == SYS_getsockopt)
		on_option(t, &n, fd);
	else if (n.data.nr == SYS_setsockopt)
		on_set_option(t, &n, fd);
	else
		on_name(t, &n, fd);
	close(fd);
}

bool trap_serve_once(struct trap *t, int other)
{
	struct pollfd fds[2 + TRAP_WAITS];
	int ms = -1;

	fds[0] = (struct pollfd){ .fd = t->listener, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = other, .events = POLLIN };
	for (size_t i = 0; i < t->wait_count; i++) {
		double left = (t->waits[i].until - now()) * 1000;
		/* 250: a caller that was killed is noticed. */
		int wait_ms = left < 0 ? 0 : left > 250 ? 250 : (int)left + 1;

		fds[2 + i] = (struct pollfd){ .fd = t->waits[i].fd, .events = POLLOUT };
		if (ms < 0 || wait_ms < ms)
			ms = wait_ms;
	}
	if (poll(fds, 2 + t->wait_count, ms) < 0)
		return false;
	for (size_t i = t->wait_count; i--; )
		wait_look(t, &t->waits[i], fds[2 + i].revents);
	if (fds[0].revents & POLLIN)
		on_notice(t);
	return fds[0].revents & (POLLHUP | POLLERR);
}
