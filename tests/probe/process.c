/* SPDX-License-Identifier: MIT */
/* Descriptors and processes: dup, fork, exec, spawn, passing, and closing everything. */
#include "tests/probe/probe.h"

#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static void dup_before(void)
{
	int fd = tcp(0), other = dup(fd);

	say("%s", got(conn4(fd, ECHO)));
	close(fd);
	say("%s", echo(other));
	say_peer(other);
	close(other);
}

static void connect_on_a_dup(void)
{
	int fd = tcp(0), other = fcntl(fd, F_DUPFD_CLOEXEC, 100);

	say("%s", got(conn4(other, ECHO)));
	close(other);
	say("%s", echo(fd));
	say_peer(fd);
	close(fd);
}

static void use(void *arg)
{
	int fd = *(int *)arg;

	say("%s", echo(fd));
	say_peer(fd);
}

static void exec_peer(void *arg)
{
	char number[16];

	snprintf(number, sizeof number, "%d", *(int *)arg);
	execl(self, self, "peer", number, (char *)NULL);
}

static void across_fork_and_exec(void)
{
	int fd = opened(ECHO);

	say_child(use, &fd);
	say_child(exec_peer, &fd);
	close(fd);
}

static void connect_here(void *arg)
{
	say("%s", got(conn4(*(int *)arg, ECHO)));
}

static void fork_before_connect(void)
{
	int fd = tcp(0);

	say_child(connect_here, &fd);
	say("%s", echo(fd));
	say_peer(fd);
	close(fd);
}

static void vfork_exec(void)
{
	int fd = opened(ECHO), p[2], status = -1;
	char number[16], text[256];
	ssize_t n;
	pid_t pid;

	snprintf(number, sizeof number, "%d", fd);
	if (pipe(p))
		return;
	pid = vfork();
	if (!pid) {
		dup2(p[1], 1);
		execl(self, self, "peer", number, (char *)NULL);
		_exit(1);
	}
	close(p[1]);
	n = read(p[0], text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	close(p[0]);
	waitpid(pid, &status, 0);
	say("child: %s, status %d", text, status);
	close(fd);
}

static int pass_fd(int fd)
{
	int pair[2], got_fd = -1;
	char c = 0;
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof control };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -1;
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(h), &fd, sizeof fd);
	if (sendmsg(pair[0], &m, 0) == 1) {
		close(fd);
		m.msg_controllen = sizeof control;
		if (recvmsg(pair[1], &m, 0) == 1)
			memcpy(&got_fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof got_fd);
	}
	close(pair[0]);
	close(pair[1]);
	return got_fd;
}

static void passed_over_unix(void)
{
	int fd = tcp(0);

	say("%s", got(conn4(fd, ECHO)));
	fd = pass_fd(fd);
	say("%s", echo(fd));
	say_peer(fd);
	close(fd);
	fd = tcp(SOCK_NONBLOCK);
	say("%s", started(conn4(fd, REFUSED)));
	fd = pass_fd(fd);
	wait_for(fd, POLLOUT, 2000);
	say("SO_ERROR %s", err_name(so_error(fd)));
	close(fd);
}

static void descriptors_are_not_kept(void)
{
	int before = dup(0), after, fd;

	close(before);
	for (int i = 0; i < 50; i++) {
		fd = tcp(i & 1 ? SOCK_NONBLOCK : 0);
		conn4(fd, i % 3 ? ECHO : REFUSED);
		so_error(fd);
		close(fd);
	}
	after = dup(0);
	close(after);
	say("%d", after - before);
	fd = tcp(0);
	say("%s", got(conn4(fd, ECHO)));
	syscall(SYS_close_range, 3, ~0u, 0);
	fd = tcp(0);
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	syscall(SYS_close, fd);
	fd = tcp(0);
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	for (int i = 3; i < 1024; i++)
		close(i);
	fd = tcp(0);
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	close(fd);
}

static void no_descriptor_left(void)
{
	int fds[4096], n = 0, fd = tcp(0);

	while (n < 4096 && (fds[n] = dup(0)) >= 0)
		n++;
	say("%s", n < 4096 ? "full" : "not full");
	/* natively 0; the shim needs one descriptor for its question and says so */
	say("%s", conn4(fd, ECHO) == 0 ? "0" : got(-1));
	while (n)
		close(fds[--n]);
	close(fd);
}

static void spawn(char **environment)
{
	posix_spawn_file_actions_t actions;
	char number[16], *argv[] = { (char *)(uintptr_t)self, (char[]){ "peer" }, number, NULL };
	char text[256];
	int fd = opened(ECHO), p[2], r;
	ssize_t n;
	pid_t pid;

	snprintf(number, sizeof number, "%d", 77);
	if (pipe(p))
		return;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 77);
	posix_spawn_file_actions_adddup2(&actions, p[1], 1);
	r = posix_spawn(&pid, self, &actions, NULL, argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	close(p[1]);
	n = read(p[0], text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	if (!r)
		waitpid(pid, NULL, 0);
	say("%d, child: %s", r, text);
	close(p[0]);
	close(fd);
}

static void spawned(void)
{
	spawn(environ);
}

static void spawned_with_no_environment(void)
{
	char *none[] = { NULL };

	spawn(none);
}

static void tell_of(void *arg)
{
	char c;

	say("flags %s", got(fcntl(*(int *)arg, F_GETFD)));
	say("recv %s", got(recv(*(int *)arg, &c, 1, MSG_DONTWAIT)));
}

static void closed_by_exec(void)
{
	int fd = tcp(SOCK_CLOEXEC), other;

	say("%s", got(conn4(fd, ECHO)));
	say_child(exec_peer, &fd);
	other = dup(fd);
	say("dup flags %d %d", fcntl(other, F_GETFD), fcntl(fd, F_GETFD));
	say_child(tell_of, &other);
	close(other);
	close(fd);
}

static void close_it(void *arg)
{
	say("close %s", got(close(*(int *)arg)));
}

static void wait_there(void *arg)
{
	int fd = *(int *)arg;

	say("poll %x", wait_for(fd, POLLOUT, 2000));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", echo(fd));
}

static void pending_across_fork(void)
{
	int fd = tcp(SOCK_NONBLOCK);

	say("%s", got(conn4(fd, SILENT)));
	say_child(close_it, &fd);
	say("poll %x", wait_for(fd, POLLOUT, 30));
	say("again %s", got(conn4(fd, SILENT)));
	close(fd);
	fd = tcp(SOCK_NONBLOCK);
	say("%s", started(conn4(fd, ECHO)));
	say_child(wait_there, &fd);
	say("%s", echo(fd));
	close(fd);
	fd = tcp(SOCK_NONBLOCK);
	say("%s", started(conn4(fd, REFUSED)));
	say_child(wait_there, &fd);
	say("parent SO_ERROR %s", err_name(so_error(fd)));
	close(fd);
}

static void dup_over_a_pending_one(void)
{
	int fd = tcp(SOCK_NONBLOCK), other = opened(ECHO);

	say("%s", got(conn4(fd, SILENT)));
	say("%d", dup2(other, fd) == fd);
	say("%s", echo(fd));
	say_peer(fd);
	close(other);
	say("%s", echo(fd));
	close(fd);
}

static void fork_by_syscall(void)
{
	int fd = opened(ECHO), status = -1;
	pid_t pid;

	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid)
		_exit(strcmp(echo(fd), "echo") ? 1 : 42);
	waitpid(pid, &status, 0);
	say("clone %d", WEXITSTATUS(status));
	{
		uint64_t args[11] = { [4] = SIGCHLD };

		pid = (pid_t)syscall(SYS_clone3, args, sizeof args);
	}
	if (!pid) {
		int other = tcp(0);

		_exit(conn4(other, ECHO) || strcmp(echo(other), "echo") ? 1 : 43);
	}
	waitpid(pid, &status, 0);
	say("clone3 %d", WEXITSTATUS(status));
	say("%s", echo(fd));
	close(fd);
}

static volatile bool storm_ends;
static void *close_ranges(void *arg)
{
	while (!storm_ends) {
		for (int i = 0; i < 20; i++)
			fcntl(0, F_DUPFD, 600);
		syscall(SYS_close_range, 600, ~0u, 0);
	}
	return arg;
}

static void close_range_storm(void)
{
	pthread_t t;
	int bad = 0;

	storm_ends = false;
	pthread_create(&t, NULL, close_ranges, NULL);
	for (int i = 0; i < 60; i++) {
		int fd = tcp(0);

		bad += conn4(fd, ECHO) != 0 || strcmp(echo(fd), "echo") != 0;
		close(fd);
	}
	storm_ends = true;
	pthread_join(t, NULL);
	say("bad %d", bad);
}

static void take_from_parent(void *arg)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getppid(), 0),
	    fd = (int)syscall(SYS_pidfd_getfd, pidfd, *(int *)arg, 0);

	close(*(int *)arg);
	say("%s", fd >= 0 ? echo(fd) : got(-1));
	say_peer(fd);
}

static void taken_by_pidfd(void)
{
	int fd = opened(ECHO);

	say_child(take_from_parent, &fd);
	say("%s", echo(fd));
	close(fd);
}

static void as_a_daemon(void *arg)
{
	pid_t pid = fork();
	int status = -1;

	(void)arg;
	if (!pid) {
		int fd;

		setsid();
		if (fork())
			_exit(0);
		if (chdir("/"))
			_exit(1);
		fd = opened(ECHO);
		say("%s", echo(fd));
		say_peer(fd);
		if (write(1, said(), strlen(said())) < 0)
			_exit(1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
}

static void daemonised(void)
{
	say_child(as_a_daemon, NULL);
}

static void *connect_in_thread(void *arg)
{
	*(int *)arg = opened(ECHO);
	return NULL;
}

static void unshared_descriptors(void)
{
	pthread_t t;
	int fd = -1;

	say("%s", got(unshare(CLONE_FILES)));
	pthread_create(&t, NULL, connect_in_thread, &fd);
	pthread_join(t, NULL);
	say("%s", echo(fd));
	say_peer(fd);
	close(fd);
}

static void passed_many_times(void)
{
	int fd = opened(ECHO), bad = 0;

	for (int i = 0; i < 30 && fd >= 0; i++) {
		fd = pass_fd(fd);
		bad += fd < 0 || strcmp(echo(fd), "echo") != 0;
	}
	say("bad %d", bad);
	say_peer(fd);
	close(fd);
}

const struct check process_checks[] = {
	CHECK(dup_before),
	CHECK(connect_on_a_dup),
	CHECK(across_fork_and_exec),
	CHECK(fork_before_connect),
	CHECK(vfork_exec),
	CHECK(passed_over_unix),
	CHECK(descriptors_are_not_kept),
	CHECK(no_descriptor_left),
	CHECK(spawned),
	CHECK(spawned_with_no_environment),
	CHECK(closed_by_exec),
	CHECK(pending_across_fork),
	CHECK(dup_over_a_pending_one),
	CHECK(fork_by_syscall),
	CHECK(close_range_storm),
	CHECK(taken_by_pidfd),
	CHECK(daemonised),
	CHECK(unshared_descriptors),
	CHECK(passed_many_times),
	CHECKS_END,
};
