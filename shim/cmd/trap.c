/* SPDX-License-Identifier: MIT */
#include "shim/cmd/trap.h"

#include "shim/cmd/plait.h"
#include "shim/lib/shim.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

enum {
	/* Blocking connects waited for at once; further ones wait in the kernel from the start. */
	WAITS = 512,
	/* Signals are held back while we wait; then the kernel waits: a failure is ECONNRESET. */
	WAIT_MS = 2000,
	PIDFD_THREAD_ = O_EXCL,
};

/* --- the filter --- */

/* The low half of an argument, on little-endian machines. */
#define ARG(n) ((uint32_t)offsetof(struct seccomp_data, args[n]))
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
/* Unless A is equal to v, skip so many. */
#define UNLESS(v, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (v), 0, (skip))
#define IF_SET(bits, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bits), (yes), (no))
#define DENY(e) RETURN(SECCOMP_RET_ERRNO | (e))

static const struct sock_filter filter[] = {
	LOAD(offsetof(struct seccomp_data, arch)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 4, 0),
	/* i386 on x86_64: socketcall and connect are shut, or it would go directly. */
	LOAD(offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 102, 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 362, 0, 5), /* to the ALLOW of a marked call */
	DENY(ENETUNREACH),

	LOAD(offsetof(struct seccomp_data, nr)),
	/* Marked by libplait.so: it has decided already. */
	UNLESS(SYS_connect, 4),
	LOAD(ARG(3)),
	UNLESS(SYS_MARK, 1),
	RETURN(SECCOMP_RET_ALLOW),
	RETURN(SECCOMP_RET_USER_NOTIF),

	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpeername, 1, 0),
	UNLESS(SYS_getsockname, 4),
	LOAD(ARG(3)),
	UNLESS(SYS_MARK, 1),
	RETURN(SECCOMP_RET_ALLOW),
	RETURN(SECCOMP_RET_USER_NOTIF),

	UNLESS(SYS_getsockopt, 9),
	LOAD(ARG(5)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_MARK, 6, 0),
	LOAD(ARG(1)),
	UNLESS(SOL_SOCKET, 4),
	LOAD(ARG(2)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_ERROR, 1, 0),
	UNLESS(SO_PEERNAME, 1),
	RETURN(SECCOMP_RET_USER_NOTIF),
	RETURN(SECCOMP_RET_ALLOW),

	/* Connecting sends: "no fast open here", and programs connect the ordinary way. */
	UNLESS(SYS_sendto, 4),
	LOAD(ARG(3)),
	IF_SET(MSG_FASTOPEN, 0, 1),
	DENY(EOPNOTSUPP),
	RETURN(SECCOMP_RET_ALLOW),
	UNLESS(SYS_sendmsg, 6),
	LOAD(ARG(3)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_MARK, 3, 0),
	LOAD(ARG(2)),
	IF_SET(MSG_FASTOPEN, 0, 1),
	DENY(EOPNOTSUPP),
	RETURN(SECCOMP_RET_ALLOW),
	UNLESS(SYS_sendmmsg, 4),
	LOAD(ARG(3)),
	IF_SET(MSG_FASTOPEN, 0, 1),
	DENY(EOPNOTSUPP),
	RETURN(SECCOMP_RET_ALLOW),

	/* Operations of a ring are no system calls: without rings, programs use those. */
	UNLESS(SYS_io_uring_setup, 1),
	DENY(ENOSYS),
#if defined(__x86_64__)
	/* x32 numbers */
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
	DENY(ENOSYS),
#endif
	RETURN(SECCOMP_RET_ALLOW),
};

/* The listener of the filter that from now on holds for this process and its children, or -1. */
static int filter_install(void)
{
	struct sock_fprog program = {
		.len = (unsigned short)(sizeof filter / sizeof *filter),
		.filter = (struct sock_filter *)(uintptr_t)filter,
	};
	long fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	/* WAIT_KILLABLE_RECV: or an answer that consumed something (SO_ERROR) could be lost to a
	 * signal. */
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		     SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
		     &program);
	if (fd < 0 && errno == EINVAL) /* before Linux 5.19 */
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			     &program);
	return (int)fd;
}

/* --- the other process --- */

struct wait {
	uint64_t id;
	int fd;
	double until;
	bool times_out; /* at until SO_SNDTIMEO is over, not only our patience */
	int then;       /* the errno of that: EINPROGRESS, or EALREADY for a repeated connect */
};

struct trap {
	int listener;
	struct wait waits[WAITS];
	size_t wait_count;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The caller's descriptor as one of ours, or -errno. */
static int borrow(pid_t tid, int fd)
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

	if (t->wait_count == WAITS) {
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
	bool blocks = !(fcntl(fd, F_GETFL) & O_NONBLOCK), direct;
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
	if (!addr_of_sockaddr(&dest, &sa, len) || !route_is_ours(&dest))
		goto pass;
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

static void on_notice(struct trap *t)
{
	struct seccomp_notif n;
	int fd;

	memset(&n, 0, sizeof n);
	if (ioctl(t->listener, SECCOMP_IOCTL_NOTIF_RECV, &n))
		return;
	fd = borrow((pid_t)n.pid, (int)n.data.args[0]);
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
	else
		on_name(t, &n, fd);
	close(fd);
}

/* --- the supervisor --- */

/* True: no process is left under the filter. */
static bool serve_once(struct trap *t, int signals)
{
	struct pollfd fds[2 + WAITS];
	int ms = -1;

	fds[0] = (struct pollfd){ .fd = t->listener, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = signals, .events = POLLIN };
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

static int listener_receive(int from)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = { { 0 } };
	char c;
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof control };
	struct cmsghdr *h;
	int fd = -1;

	if (recvmsg(from, &m, MSG_CMSG_CLOEXEC) == 1 && (h = CMSG_FIRSTHDR(&m)) &&
	    h->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(h), sizeof fd);
	return fd;
}

static bool listener_send(int to, int fd)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = { { 0 } };
	struct iovec iov = { "l", 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof control };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(h), &fd, sizeof fd);
	return sendmsg(to, &m, 0) == 1;
}

static _Noreturn void become(const char *file, char **argv, int to, const sigset_t *mask)
{
	int listener = filter_install();

	if (listener < 0 || !listener_send(to, listener))
		_exit(complain(125, "no seccomp user notification here (%s): %s cannot be served",
			       strerror(errno), file));
	close(listener);
	close(to);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execv(file, argv);
	_exit(complain(126, "%s: %s", file, strerror(errno)));
}

int trap_run(const char *file, char **argv)
{
	static struct trap t;
	static const int forwarded[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
	sigset_t mask, old;
	int pair[2], status = 0, signals;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return complain(125, "socketpair: %s", strerror(errno));
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++)
		sigaddset(&mask, forwarded[i]);
	sigprocmask(SIG_BLOCK, &mask, &old);
	child = fork();
	if (child < 0)
		return complain(125, "fork: %s", strerror(errno));
	if (!child)
		become(file, argv, pair[1], &old);
	close(pair[1]);
	/* The terminal tells both; the program decides. */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	t.listener = listener_receive(pair[0]);
	close(pair[0]);
	if (t.listener < 0) {
		waitpid(child, &status, 0);
		return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
	}
	for (;;) {
		struct signalfd_siginfo s;
		bool empty = serve_once(&t, signals);

		while (read(signals, &s, sizeof s) == sizeof s)
			if (s.ssi_signo != SIGCHLD)
				kill(child, (int)s.ssi_signo);
		if (waitpid(child, &status, WNOHANG) != child)
			continue;
		/* What it left in the background is served on, by a copy of us that nobody waits
		 * for. */
		if (!empty && !fork())
			while (!serve_once(&t, -1))
				;
		break;
	}
	if (WIFSIGNALED(status)) {
		signal(WTERMSIG(status), SIG_DFL);
		sigprocmask(SIG_SETMASK, &old, NULL);
		raise(WTERMSIG(status));
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
