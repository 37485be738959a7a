/* SPDX-License-Identifier: MIT */
#include "shim/cmd/trap.h"

#include "shim/cmd/plait.h"
#include "shim/cmd/trap_state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* --- beside the program: it is the process that was started, nothing stands above it --- */

/*
 * One process serves all that descend from program. It outlives it where something was left in the
 * background, but lets go of stderr then, or a pipe from it would not end.
 */
static _Noreturn void serve_beside(pid_t program, int from, int theirs)
{
	static struct trap t;
	static const int deaf[] = { SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGPIPE, SIGTSTP, SIGTTOU };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), pidfd, probe;
	char c;

	for (size_t i = 0; i < sizeof deaf / sizeof *deaf; i++)
		signal(deaf[i], SIG_IGN);
	/* May we take what is the program's? A ptrace_scope above 0 asks for an ancestor. */
	probe = trap_borrow(program, theirs);
	c = probe >= 0 ? 'y' : 'n';
	close(probe);
	if (write(from, &c, 1) != 1 || c == 'n')
		_exit(1);
	t.listener = listener_receive(from);
	if (t.listener < 0)
		_exit(1);
	/* While it waits for the word: after that it may be gone before we look. */
	pidfd = (int)syscall(SYS_pidfd_open, program, 0);
	(void)!write(from, "k", 1);
	close(from);
	setsid();
	(void)!chdir("/");
	dup2(null, 0);
	dup2(null, 1);
	if (pidfd < 0)
		dup2(null, 2);
	while (!trap_serve_once(&t, pidfd)) {
		struct pollfd gone = { .fd = pidfd, .events = POLLIN };

		if (pidfd >= 0 && poll(&gone, 1, 0) > 0) {
			dup2(null, 2);
			close(pidfd);
			pidfd = -1;
		}
	}
	_exit(0);
}

int trap_beside(void)
{
	int pair[2], listener, saved;
	pid_t self = getpid(), child;
	char c = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return errno;
	/* Twice, so that it is no child of the program, which did not start it. */
	child = fork();
	if (child < 0) {
		saved = errno;
		close(pair[0]);
		close(pair[1]);
		return saved;
	}
	if (!child) {
		close(pair[1]);
		if (fork())
			_exit(0);
		serve_beside(self, pair[0], pair[1]);
	}
	close(pair[0]);
	waitpid(child, NULL, 0);
	if (read(pair[1], &c, 1) != 1 || c != 'y') {
		close(pair[1]);
		return EPERM;
	}
	listener = trap_filter_install();
	saved = errno;
	if (listener >= 0 && (!listener_send(pair[1], listener) || read(pair[1], &c, 1) != 1))
		/* Under a filter that nobody serves every connect is refused, not direct. */
		saved = ENOSYS;
	else if (listener >= 0)
		saved = 0;
	close(listener);
	close(pair[1]);
	return saved;
}

/* --- above the program --- */

static _Noreturn void become(const char *file, char **argv, int to, const sigset_t *mask)
{
	int listener = trap_filter_install();

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
		bool empty = trap_serve_once(&t, signals);

		while (read(signals, &s, sizeof s) == sizeof s)
			if (s.ssi_signo != SIGCHLD)
				kill(child, (int)s.ssi_signo);
		if (waitpid(child, &status, WNOHANG) != child)
			continue;
		/* What it left in the background is served on, by a copy of us that nobody waits
		 * for. */
		if (!empty && !fork())
			while (!trap_serve_once(&t, -1))
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
