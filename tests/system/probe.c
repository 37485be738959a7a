/* SPDX-License-Identifier: MIT */
/*
 * What connect() and its relatives do, one line a check: run natively and under libplait.so, the lines must be the
 * same (tests/system/shim.sh). A line says what was seen, not whether it is right: the kernel is the reference.
 *
 *	probe server ADDRESS4 ADDRESS6        serves the ports below until killed; "ready" on stdout
 *	probe client ADDRESS4 ADDRESS6 [NAME...]   all checks, or those named
 *	probe peer FD                         used by the client itself, across exec
 *
 * Routes expected by the caller: 10.97.0.0/16 prohibit, 10.98.0.0/16 unreachable, 10.99.0.0/16 none.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ECHO = 7001, REFUSED = 7002, SILENT = 7003, RESET = 7004 };

static struct sockaddr_in server4;
static struct sockaddr_in6 server6;
static const char *self;
static char line[1024];
static size_t line_len;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list args;
	int n;

	if (line_len && line_len + 2 < sizeof line)
		line_len += (size_t)snprintf(line + line_len, sizeof line - line_len, ", ");
	va_start(args, format);
	n = vsnprintf(line + line_len, sizeof line - line_len, format, args);
	va_end(args);
	if (n > 0)
		line_len += (size_t)n;
	if (line_len >= sizeof line)
		line_len = sizeof line - 1;
}

/* A result as text: the number, or the errno's name. */
static const char *got(long r)
{
	static char text[4][32];
	static int turn;
	char *t = text[turn++ % 4];

	if (r >= 0)
		snprintf(t, sizeof text[0], "%ld", r);
	else
		snprintf(t, sizeof text[0], "%s", strerrorname_np(errno));
	return t;
}

static const char *err_name(int e) { return e ? strerrorname_np(e) : "0"; }

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct sockaddr_in at4(const char *ip, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	inet_pton(AF_INET, ip, &a.sin_addr);
	return a;
}
static struct sockaddr_in to4(int port)
{
	struct sockaddr_in a = server4;

	a.sin_port = htons((uint16_t)port);
	return a;
}
static struct sockaddr_in6 to6(int port)
{
	struct sockaddr_in6 a = server6;

	a.sin6_port = htons((uint16_t)port);
	return a;
}
static struct sockaddr_in6 mapped(int port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };

	a.sin6_addr.s6_addr[10] = a.sin6_addr.s6_addr[11] = 0xff;
	memcpy(a.sin6_addr.s6_addr + 12, &server4.sin_addr, 4);
	return a;
}

static int tcp(int flags) { return socket(AF_INET, SOCK_STREAM | flags, 0); }
static int conn4(int fd, int port)
{
	struct sockaddr_in a = to4(port);

	return connect(fd, (struct sockaddr *)&a, sizeof a);
}
static int conn6(int fd, int port)
{
	struct sockaddr_in6 a = to6(port);

	return connect(fd, (struct sockaddr *)&a, sizeof a);
}
static int so_error(int fd)
{
	int e = -1;
	socklen_t len = sizeof e;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
	return e;
}

/* 0 and EINPROGRESS are one answer of a non-blocking connect: who is quicker is chance. */
static const char *started(int r)
{
	return r == 0 || errno == EINPROGRESS ? "started" : got(r);
}
static int wait_for(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, ms) > 0 ? p.revents : 0;
}
/* One byte there and back, or the errno. */
static const char *echo(int fd)
{
	char c = 'x';

	if (send(fd, &c, 1, MSG_NOSIGNAL) != 1 || !(wait_for(fd, POLLIN, 2000) & POLLIN))
		return got(-1);
	return recv(fd, &c, 1, 0) == 1 && c == 'x' ? "echo" : "no echo";
}
static void say_name(const char *what, int r, const struct sockaddr_storage *sa, socklen_t len, bool with_port)
{
	char ip[64] = "?";
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;

	if (r) {
		say("%s %s", what, got(r));
		return;
	}
	inet_ntop(sa->ss_family, sa->ss_family == AF_INET ? (const void *)&in->sin_addr : (const void *)&in6->sin6_addr, ip,
		  sizeof ip);
	say("%s %s:%d family %d len %u", what, ip, with_port ? ntohs(in->sin_port) : in->sin_port != 0, sa->ss_family, len);
}
static void say_peer(int fd)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof sa;
	int r = getpeername(fd, (struct sockaddr *)&sa, &len);

	say_name("peer", r, &sa, len, true);
}
static void say_local(int fd)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof sa;
	int r = getsockname(fd, (struct sockaddr *)&sa, &len);

	say_name("local", r, &sa, len, false);
}

/* --- the checks --- */

static void blocking(void)
{
	int fd = tcp(0);

	say("%s", got(conn4(fd, ECHO)));
	say("%s flags %x", echo(fd), (unsigned)fcntl(fd, F_GETFL));
	close(fd);
}

static void blocking_refused_then_reused(void)
{
	int fd = tcp(0);

	say("%s", got(conn4(fd, REFUSED)));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", got(conn4(fd, REFUSED)));
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	close(fd);
}

static void no_way_there(void)
{
	static const char *const where[] = { "10.97.1.1", "10.98.1.1", "10.99.1.1", "224.0.0.1", "255.255.255.255", "240.0.0.1" };

	for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
		struct sockaddr_in a = at4(where[i], 80);
		int fd = tcp(0);

		say("%s %s", where[i], got(connect(fd, (struct sockaddr *)&a, sizeof a)));
		close(fd);
	}
}

static void non_blocking(void)
{
	int fd = tcp(SOCK_NONBLOCK | SOCK_CLOEXEC);

	say("%s", started(conn4(fd, ECHO)));
	say("poll %x", wait_for(fd, POLLOUT | POLLIN, 2000));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("flags %x %x", (unsigned)fcntl(fd, F_GETFL), (unsigned)fcntl(fd, F_GETFD));
	say("again %s", got(conn4(fd, ECHO)));
	say("again %s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	close(fd);
}

static void non_blocking_set_by_fcntl(void)
{
	int fd = tcp(0);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	say("%s", started(conn4(fd, ECHO)));
	say("poll %x", wait_for(fd, POLLOUT, 2000));
	fcntl(fd, F_SETFL, 0);
	say("%s", got(conn4(fd, ECHO)));
	say("%s", got(conn4(fd, ECHO)));
	close(fd);
}

static void silent_returns_at_once(void)
{
	int fd = tcp(SOCK_NONBLOCK);
	double t = now();

	say("%s", got(conn4(fd, SILENT)));
	say("%s", now() - t < 0.3 ? "at once" : "late");
	say("again %s", got(conn4(fd, SILENT)));
	say("elsewhere %s", got(conn4(fd, ECHO)));
	say("poll %x", wait_for(fd, POLLOUT | POLLIN, 300));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say_peer(fd);
	say_local(fd);
	say("send %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	say("recv %s", got(recv(fd, line, 0, 0)));
	close(fd);
}

static void non_blocking_refused(void)
{
	int fd = tcp(SOCK_NONBLOCK);

	say("%s", started(conn4(fd, REFUSED)));
	/* POLLIN and POLLRDHUP are left out: see "failed_socket_ends". */
	say("poll %x", wait_for(fd, POLLOUT, 2000));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("peer %s", got(getpeername(fd, (struct sockaddr *)line, &(socklen_t){ 0 })));
	close(fd);
}

static void refused_and_connected_again(void)
{
	int fd = tcp(SOCK_NONBLOCK);

	say("%s", started(conn4(fd, REFUSED)));
	wait_for(fd, POLLOUT, 2000);
	say("unread: %s", got(conn4(fd, ECHO)));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", started(conn4(fd, REFUSED)));
	wait_for(fd, POLLOUT, 2000);
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("read: %s", got(conn4(fd, ECHO)));
	say("%s", started(conn4(fd, ECHO)));
	wait_for(fd, POLLOUT, 2000);
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", echo(fd));
	close(fd);
}

static void refused_while_waited_for(void)
{
	int fd = tcp(SOCK_NONBLOCK);

	say("%s", started(conn4(fd, REFUSED)));
	fcntl(fd, F_SETFL, 0);
	say("%s", got(conn4(fd, REFUSED)));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", got(conn4(fd, ECHO)));
	close(fd);
}

static void failed_socket_ends(void)
{
	int fd = tcp(SOCK_NONBLOCK);

	conn4(fd, REFUSED);
	wait_for(fd, POLLOUT, 2000);
	say("poll in %x", wait_for(fd, POLLIN | POLLRDHUP, 0));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("send %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	say("recv %s", got(recv(fd, line + 512, 1, 0)));
	close(fd);
	fd = tcp(SOCK_NONBLOCK);
	conn4(fd, REFUSED);
	wait_for(fd, POLLOUT, 2000);
	say("unread: send %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	close(fd);
}

static const char *events_of(int ep, int ms)
{
	static char text[32];
	struct epoll_event e = { 0 };
	int n = epoll_wait(ep, &e, 1, ms);

	snprintf(text, sizeof text, n == 1 ? "%x" : "none", e.events);
	return text;
}

static void epoll_after(void)
{
	int fd = tcp(SOCK_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP };

	say("%s", started(conn4(fd, ECHO)));
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	say("%s", events_of(ep, 2000));
	say("SO_ERROR %s", err_name(so_error(fd)));
	close(fd);
	close(ep);
}

static void epoll_edge_before(void)
{
	int fd = tcp(SOCK_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	say("fresh %s", events_of(ep, 0));
	say("%s", started(conn4(fd, ECHO)));
	say("%s", events_of(ep, 2000));
	say("%s", events_of(ep, 50));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", echo(fd));
	close(fd);
	close(ep);
}

static void epoll_edge_silent(void)
{
	int fd = tcp(SOCK_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };

	say("%s", got(conn4(fd, SILENT)));
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	say("%s", events_of(ep, 700));
	close(fd);
	say("%s", events_of(ep, 0));
	close(ep);
}

static void with_select(void)
{
	int fd = tcp(SOCK_NONBLOCK), n;
	struct timeval t = { .tv_sec = 2 };
	fd_set w;

	FD_ZERO(&w);
	FD_SET(fd, &w);
	say("%s", started(conn4(fd, ECHO)));
	n = select(fd + 1, NULL, &w, NULL, &t);
	say("select %d %d SO_ERROR %s", n, FD_ISSET(fd, &w) != 0, err_name(so_error(fd)));
	close(fd);
}

static void options_survive(void)
{
	static const struct { int level, name; const char *text; int value; } options[] = {
		{ IPPROTO_TCP, TCP_NODELAY,      "nodelay",     1 },
		{ SOL_SOCKET,  SO_KEEPALIVE,     "keepalive",   1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE,     "keepidle",   77 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, "user",     9000 },
		{ SOL_SOCKET,  SO_RCVBUF,        "rcvbuf",  50000 },
		{ SOL_SOCKET,  SO_REUSEADDR,     "reuse",       1 },
		{ IPPROTO_IP,  IP_TOS,           "tos",      0x10 },
		{ SOL_SOCKET,  SO_PRIORITY,      "priority",    3 },
	};
	int fd = tcp(0);

	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
	say("%s", got(conn4(fd, ECHO)));
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		int v = -1;
		socklen_t len = sizeof v;

		getsockopt(fd, options[i].level, options[i].name, &v, &len);
		say("%s %d", options[i].text, v);
	}
	close(fd);
}

static void names(void)
{
	int fd = tcp(0);
	char small[8];
	socklen_t len;

	say_local(fd);
	say("%s", got(conn4(fd, ECHO)));
	say_peer(fd);
	say_local(fd);
	memset(small, 'z', sizeof small);
	len = 4;
	say("short %s", got(getpeername(fd, (struct sockaddr *)small, &len)));
	say("len %u bytes %02x%02x%02x%02x%02x", len, small[0], small[1], small[2], small[3], small[4]);
	len = 0;
	say("none %s len %u", got(getsockname(fd, (struct sockaddr *)small, &len)), len);
	len = (socklen_t)-1;
	say("negative %s", got(getpeername(fd, (struct sockaddr *)line, &len)));
	close(fd);
	fd = tcp(SOCK_NONBLOCK);
	conn4(fd, SILENT);
	say_local(fd);
	close(fd);
}

static void disconnect_and_reconnect(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = tcp(0);

	say("%s", got(conn4(fd, ECHO)));
	say("%s", got(connect(fd, &none, sizeof none)));
	say_peer(fd);
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	say_peer(fd);
	close(fd);
}

static void disconnect_while_pending(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = tcp(SOCK_NONBLOCK);

	say("%s", got(conn4(fd, SILENT)));
	say("%s", got(connect(fd, &none, sizeof none)));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", started(conn4(fd, ECHO)));
	say("poll %x", wait_for(fd, POLLOUT, 2000));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", echo(fd));
	say_peer(fd);
	close(fd);
}

static void shutdown_while_pending(void)
{
	int fd = tcp(SOCK_NONBLOCK);

	say("%s", got(conn4(fd, SILENT)));
	say("%s", got(shutdown(fd, SHUT_RDWR)));
	say("poll %x", wait_for(fd, POLLOUT, 0));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", started(conn4(fd, ECHO)));
	wait_for(fd, POLLOUT, 2000);
	say("%s", echo(fd));
	close(fd);
}

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

static void child_says(int pipe_fd)
{
	char text[256];
	ssize_t n = read(pipe_fd, text, sizeof text - 1);

	text[n > 0 ? n : 0] = 0;
	say("child: %s", text);
}

static void across_fork_and_exec(void)
{
	int fd = tcp(0), p[2];
	char number[16];
	pid_t pid;

	say("%s", got(conn4(fd, ECHO)));
	for (int exec = 0; exec < 2; exec++) {
		if (pipe(p))
			return;
		pid = fork();
		if (!pid) {
			if (exec) {
				snprintf(number, sizeof number, "%d", fd);
				dup2(p[1], 1);
				execl(self, self, "peer", number, (char *)NULL);
				_exit(1);
			}
			line_len = 0;
			say("%s", echo(fd));
			say_peer(fd);
			if (write(p[1], line, line_len) < 0)
				_exit(1);
			_exit(0);
		}
		close(p[1]);
		child_says(p[0]);
		close(p[0]);
		waitpid(pid, NULL, 0);
	}
	close(fd);
}

static void fork_before_connect(void)
{
	int fd = tcp(0), p[2];
	pid_t pid;

	if (pipe(p))
		return;
	pid = fork();
	if (!pid) {
		line_len = 0;
		say("%s", got(conn4(fd, ECHO)));
		if (write(p[1], line, line_len) < 0)
			_exit(1);
		_exit(0);
	}
	close(p[1]);
	child_says(p[0]);
	close(p[0]);
	waitpid(pid, NULL, 0);
	say("%s", echo(fd));
	say_peer(fd);
	close(fd);
}

static void vfork_exec(void)
{
	int fd = tcp(0), p[2], other;
	char number[16];
	pid_t pid;

	say("%s", got(conn4(fd, ECHO)));
	snprintf(number, sizeof number, "%d", fd);
	if (pipe(p))
		return;
	other = p[1];
	pid = vfork();
	if (!pid) {
		dup2(other, 1);
		execl(self, self, "peer", number, (char *)NULL);
		_exit(1);
	}
	close(p[1]);
	child_says(p[0]);
	close(p[0]);
	waitpid(pid, NULL, 0);
	close(fd);
}

static int pass_fd(int fd)
{
	int pair[2], got_fd = -1;
	char c = 0;
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = { { 0 } };
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
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

static void fastopen_sendto(void)
{
	struct sockaddr_in a = to4(ECHO), r = to4(REFUSED), s = to4(SILENT);
	int fd = tcp(0);
	char c;

	say("%s", got(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof a)));
	say("recv %s", got(recv(fd, &c, 1, 0)));
	say("again %s", got(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&a, sizeof a)));
	say_peer(fd);
	close(fd);
	fd = tcp(0);
	say("refused %s", got(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&r, sizeof r)));
	say("%s", got(conn4(fd, ECHO)));
	close(fd);
	fd = tcp(SOCK_NONBLOCK);
	say("%s", got(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof a)));
	say("poll %x", wait_for(fd, POLLOUT, 2000));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", echo(fd));
	close(fd);
	fd = tcp(0);
	say("dontwait %s", got(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_DONTWAIT, (struct sockaddr *)&s, sizeof s)));
	say("again %s", got(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_DONTWAIT, (struct sockaddr *)&s, sizeof s)));
	close(fd);
}

static void fastopen_sendmsg(void)
{
	struct sockaddr_in a = to4(ECHO);
	struct iovec iov = { "xy", 2 };
	struct msghdr m = { .msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr mm[2] = { { .msg_hdr = m }, { .msg_hdr = m } };
	int fd = tcp(0);
	char c[8];

	say("%s", got(sendmsg(fd, &m, MSG_FASTOPEN)));
	say("recv %s", got(recv(fd, c, 2, MSG_WAITALL)));
	say_peer(fd);
	close(fd);
	fd = tcp(0);
	mm[1].msg_hdr.msg_name = NULL;
	mm[1].msg_hdr.msg_namelen = 0;
	say("mmsg %s %u", got(sendmmsg(fd, mm, 1, MSG_FASTOPEN)), mm[0].msg_len);
	say("recv %s", got(recv(fd, c, 2, MSG_WAITALL)));
	close(fd);
}

static void fastopen_connect(void)
{
	int fd = tcp(0), one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof one);
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	say_peer(fd);
	close(fd);
}

static void by_syscall(void)
{
	struct sockaddr_in a = to4(ECHO), sa = { 0 };
	socklen_t len = sizeof sa;
	int fd = tcp(0), e = -1;

	say("%s", got(syscall(SYS_connect, fd, &a, sizeof a)));
	say("%s", echo(fd));
	say("%s port %d", got(syscall(SYS_getpeername, fd, &sa, &len)), ntohs(sa.sin_port));
	len = sizeof e;
	say("%s %d", got(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, &e, &len)), e);
	say("sendto %s", got(syscall(SYS_sendto, fd, "x", 1UL, MSG_NOSIGNAL, NULL, 0)));
	close(fd);
	fd = tcp(0);
	say("fastopen %s", got(syscall(SYS_sendto, fd, "x", 1UL, MSG_FASTOPEN, &a, sizeof a)));
	say_peer(fd);
	close(fd);
	say("bad %s", got(syscall(SYS_connect, -1, &a, sizeof a)));
	say("unknown %s", got(syscall(100000)));
	say("pid %s", syscall(SYS_getpid) == getpid() ? "same" : "other");
	say("mmap %s", syscall(SYS_mmap, NULL, 4096UL, 3, 0x22, -1, 0) > 0 ? "six arguments" : got(-1));
}

static void by_other_name(void)
{
	int (*other)(int, const struct sockaddr *, socklen_t) = NULL;
	struct sockaddr_in a = to4(ECHO);
	int fd = tcp(0);

#ifndef PROBE_STATIC /* built so, there is no other name to look for */
	other = (int (*)(int, const struct sockaddr *, socklen_t))(uintptr_t)dlsym(RTLD_DEFAULT, "__connect");
#endif
	say("%s", other ? got(other(fd, (struct sockaddr *)&a, sizeof a)) : "none");
	say_peer(fd);
	close(fd);
}

static void ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	say_local(fd);
	say("%s", got(conn6(fd, ECHO)));
	say("%s", echo(fd));
	say_peer(fd);
	say_local(fd);
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	say("refused %s", got(conn6(fd, REFUSED)));
	say("%s", got(conn6(fd, ECHO)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	say("%s", started(conn6(fd, REFUSED)));
	wait_for(fd, POLLOUT, 2000);
	say("SO_ERROR %s", err_name(so_error(fd)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 1 }, sizeof(int));
	say("only %s", got(conn6(fd, ECHO)));
	say("%s", echo(fd));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	say("silent %s", got(conn6(fd, SILENT)));
	say_local(fd);
	close(fd);
}

static void ipv4_mapped(void)
{
	struct sockaddr_in6 a = mapped(ECHO), r = mapped(REFUSED);
	struct sockaddr_in four = to4(ECHO);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	say("%s", got(connect(fd, (struct sockaddr *)&a, sizeof a)));
	say("%s", echo(fd));
	say_peer(fd);
	say_local(fd);
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	say("refused %s", got(connect(fd, (struct sockaddr *)&r, sizeof r)));
	say("%s", got(connect(fd, (struct sockaddr *)&a, sizeof a)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 1 }, sizeof(int));
	say("only %s", got(connect(fd, (struct sockaddr *)&a, sizeof a)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	say("AF_INET on it %s", got(connect(fd, (struct sockaddr *)&four, sizeof four)));
	close(fd);
	fd = tcp(0);
	say("AF_INET6 on AF_INET %s", got(connect(fd, (struct sockaddr *)&a, sizeof a)));
	close(fd);
}

static void bound_first(void)
{
	struct sockaddr_in a = server4, any = at4("0.0.0.0", 0), port = at4("0.0.0.0", 21567);
	struct sockaddr_in6 six = server6;
	int fd = tcp(0);

	a.sin_port = 0;
	six.sin6_port = 0;
	say("%s", got(bind(fd, (struct sockaddr *)&a, sizeof a)));
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	say_local(fd);
	close(fd);
	fd = tcp(0);
	say("any %s", got(bind(fd, (struct sockaddr *)&any, sizeof any)));
	say("%s", got(conn4(fd, ECHO)));
	say_local(fd);
	close(fd);
	fd = tcp(0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	say("port %s", got(bind(fd, (struct sockaddr *)&port, sizeof port)));
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	{
		struct sockaddr_in sa = { 0 };
		socklen_t len = sizeof sa;

		getsockname(fd, (struct sockaddr *)&sa, &len);
		/* Where the port was taken it is one of the kernel's choosing, and no two are alike. */
		say("%s:%s", inet_ntoa(sa.sin_addr), sa.sin_port == port.sin_port ? "as bound" : "another");
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	close(fd);
	fd = tcp(0);
	bind(fd, (struct sockaddr *)&a, sizeof a);
	say("refused %s", got(conn4(fd, REFUSED)));
	say("%s", got(conn4(fd, ECHO)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	bind(fd, (struct sockaddr *)&six, sizeof six);
	say("IPv6 %s", got(conn6(fd, ECHO)));
	say("%s", echo(fd));
	say_local(fd);
	close(fd);
}

static void send_time_out(void)
{
	struct timeval t = { .tv_usec = 400000 };
	int fd = tcp(0);
	double begin = now();

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
	say("%s", got(conn4(fd, SILENT)));
	begin = now() - begin;
	say("%s", begin > 0.35 && begin < 0.8 ? "in time" : "at the wrong time");
	say("again %s", got(conn4(fd, SILENT)));
	close(fd);
	fd = tcp(0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	close(fd);
}

static volatile sig_atomic_t rang;
static void ring(int sig)
{
	(void)sig;
	rang = 1;
}

static void interrupted(void)
{
	struct sigaction sa = { .sa_handler = ring };
	struct itimerval in200 = { .it_value = { .tv_usec = 200000 } };
	struct timeval t = { .tv_usec = 600000 };
	int fd = tcp(0);
	double begin;

	rang = 0;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &in200, NULL);
	say("%s", got(conn4(fd, SILENT)));
	say("rang %d", (int)rang);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	say("again %s", got(conn4(fd, SILENT)));
	close(fd);
	fd = tcp(0);
	rang = 0;
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
	setitimer(ITIMER_REAL, &in200, NULL);
	begin = now();
	say("with a time-out %s", got(conn4(fd, SILENT)));
	say("rang %d %s", (int)rang, now() - begin < 0.4 ? "early" : "late");
	close(fd);
	signal(SIGALRM, SIG_DFL);
}

/* A restartable connect goes on after the handler and ends with the alarm that closes the door for good. */
static pthread_t main_thread;
static void *ring_and_shut(void *arg)
{
	usleep(150000);
	pthread_kill(main_thread, SIGUSR1);
	usleep(150000);
	shutdown(*(int *)arg, SHUT_RDWR);
	return NULL;
}
static void restarted(void)
{
	struct sigaction sa = { .sa_handler = ring, .sa_flags = SA_RESTART };
	pthread_t t;
	int fd = tcp(0);

	rang = 0;
	main_thread = pthread_self();
	sigaction(SIGUSR1, &sa, NULL);
	pthread_create(&t, NULL, ring_and_shut, &fd);
	say("%s", got(conn4(fd, SILENT)));
	say("rang %d", (int)rang);
	pthread_join(t, NULL);
	close(fd);
}

static void *connect_silent(void *arg)
{
	conn4(*(int *)arg, SILENT);
	return NULL;
}
static void cancelled(void)
{
	pthread_t t;
	void *result = NULL;
	int fd = tcp(0);

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){ .tv_sec = 3 }, sizeof(struct timeval));
	pthread_create(&t, NULL, connect_silent, &fd);
	usleep(200000);
	pthread_cancel(t);
	pthread_join(t, &result);
	say("%s", result == PTHREAD_CANCELED ? "cancelled" : "ran on");
	close(fd);
}

static void *twenty(void *arg)
{
	int *bad = arg;

	for (int i = 0; i < 20; i++) {
		int fd = tcp(0);

		*bad += conn4(fd, ECHO) != 0 || strcmp(echo(fd), "echo") != 0;
		close(fd);
	}
	return NULL;
}
static void threads(void)
{
	pthread_t t[8];
	int bad[8] = { 0 }, sum = 0;

	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, twenty, &bad[i]);
	for (int i = 0; i < 8; i++) {
		pthread_join(t[i], NULL);
		sum += bad[i];
	}
	say("bad %d", sum);
}

static void others_unharmed(void)
{
	int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0), l = tcp(0), c = tcp(0), s, pair[2];
	struct sockaddr_in sa = at4("127.0.0.1", 0), peer = { 0 }, d = to4(9);
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/nonexistent/socket" };
	socklen_t len = sizeof sa;
	char x;

	bind(a, (struct sockaddr *)&sa, sizeof sa);
	getsockname(a, (struct sockaddr *)&sa, &len);
	say("udp %s", got(connect(b, (struct sockaddr *)&sa, sizeof sa)));
	say("send %s", got(send(b, "x", 1, 0)));
	say("recv %s", got(recv(a, &x, 1, 0)));
	len = sizeof peer;
	say("peer %s %d", got(getpeername(b, (struct sockaddr *)&peer, &len)), peer.sin_port == sa.sin_port);
	say("sendto %s", got(sendto(b, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&sa, sizeof sa)));
	say("unspec %s", got(connect(b, &none, sizeof none)));
	say("udp far %s", got(connect(b, (struct sockaddr *)&d, sizeof d)));
	say_peer(b);
	sa.sin_port = 0;
	bind(l, (struct sockaddr *)&sa, sizeof sa);
	listen(l, 5);
	len = sizeof sa;
	getsockname(l, (struct sockaddr *)&sa, &len);
	say("local %s", inet_ntoa(sa.sin_addr));
	say("loopback %s", got(connect(c, (struct sockaddr *)&sa, sizeof sa)));
	len = sizeof peer;
	s = accept(l, (struct sockaddr *)&peer, &len);
	say("accept %s %s", inet_ntoa(peer.sin_addr), s >= 0 ? "ok" : "no");
	getpeername(c, (struct sockaddr *)&peer, &len);
	say("peer %s %d", inet_ntoa(peer.sin_addr), peer.sin_port == sa.sin_port);
	say("on a listener %s", got(conn4(l, ECHO)));
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	say("unix %s", got(connect(pair[0], (struct sockaddr *)&un, sizeof un)));
	len = sizeof un;
	say("unix peer %s", got(getpeername(pair[0], (struct sockaddr *)&un, &len)));
	for (int fd = a; fd <= pair[1]; fd++)
		close(fd);
}

static void wrong_arguments(void)
{
	struct sockaddr_in a = to4(ECHO);
	struct sockaddr_in6 six = to6(ECHO);
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/x" };
	int fd = tcp(0);

	say("bad fd %s", got(connect(-1, (struct sockaddr *)&a, sizeof a)));
	say("no socket %s", got(connect(0, (struct sockaddr *)&a, sizeof a)));
	say("short %s", got(connect(fd, (struct sockaddr *)&a, 8)));
	say("one byte %s", got(connect(fd, (struct sockaddr *)&a, 1)));
	say("null %s", got(connect(fd, NULL, sizeof a)));
	say("long %s", got(connect(fd, (struct sockaddr *)&a, 1000)));
	say("nowhere %s", got(connect(fd, (struct sockaddr *)(uintptr_t)16, sizeof a)));
	say("unix %s", got(connect(fd, (struct sockaddr *)&un, sizeof un)));
	say("six on four %s", got(connect(fd, (struct sockaddr *)&six, sizeof six)));
	say("still %s", got(conn4(fd, ECHO)));
	say("short when connected %s", got(connect(fd, (struct sockaddr *)&a, 8)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	say("short six %s", got(connect(fd, (struct sockaddr *)&six, 20)));
	say("rfc2133 %s", got(connect(fd, (struct sockaddr *)&six, 24)));
	close(fd);
	say("names of nothing %s %s", got(getpeername(-1, (struct sockaddr *)&a, &(socklen_t){ 16 })),
	    got(getsockname(0, (struct sockaddr *)&a, &(socklen_t){ 16 })));
	say("null names %s", got(getpeername(-1, NULL, NULL)));
	say("sendto bad %s", got(sendto(-1, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof a)));
}

static void remote_reset(void)
{
	int fd = tcp(0);
	char c;

	say("%s", got(conn4(fd, RESET)));
	say("send %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	say("poll %x", wait_for(fd, POLLIN, 2000) & (POLLERR | POLLHUP | POLLIN));
	say("recv %s", got(recv(fd, &c, 1, 0)));
	say("recv %s", got(recv(fd, &c, 1, 0)));
	say("send %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	say_peer(fd);
	close(fd);
	fd = tcp(0);
	conn4(fd, RESET);
	say("send %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	wait_for(fd, POLLIN, 2000);
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("again %s", got(conn4(fd, ECHO)));
	close(fd);
}

static void half_close(void)
{
	int fd = tcp(0);
	char c[4];

	say("%s", got(conn4(fd, ECHO)));
	say("send %s", got(send(fd, "abc", 3, 0)));
	say("%s", got(shutdown(fd, SHUT_WR)));
	say("recv %s", got(recv(fd, c, 3, MSG_WAITALL)));
	say("end %s", got(recv(fd, c, 1, 0)));
	say("peer %s", got(getpeername(fd, (struct sockaddr *)line + 32, &(socklen_t){ 0 })));
	close(fd);
}

static void few_syn_retries(void)
{
	int fd = tcp(0);
	double t = now();

	setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &(int){ 1 }, sizeof(int));
	say("%s", got(conn4(fd, SILENT)));
	t = now() - t;
	say("%s", t > 0.9 && t < 5 ? "in time" : "at the wrong time");
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", got(conn4(fd, ECHO)));
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

static const struct check {
	const char *name;
	void (*run)(void);
} checks[] = {
#define C(f) { #f, f }
	C(blocking), C(blocking_refused_then_reused), C(no_way_there), C(non_blocking), C(non_blocking_set_by_fcntl),
	C(silent_returns_at_once), C(non_blocking_refused), C(refused_and_connected_again), C(refused_while_waited_for),
	C(failed_socket_ends), C(epoll_after), C(epoll_edge_before), C(epoll_edge_silent), C(with_select),
	C(options_survive), C(names), C(disconnect_and_reconnect), C(disconnect_while_pending), C(shutdown_while_pending),
	C(dup_before), C(connect_on_a_dup), C(across_fork_and_exec), C(fork_before_connect), C(vfork_exec),
	C(passed_over_unix), C(descriptors_are_not_kept), C(fastopen_sendto), C(fastopen_sendmsg), C(fastopen_connect),
	C(by_syscall), C(by_other_name), C(ipv6), C(ipv4_mapped), C(bound_first), C(send_time_out), C(interrupted),
	C(restarted), C(cancelled), C(threads), C(others_unharmed), C(wrong_arguments), C(remote_reset), C(half_close),
	C(few_syn_retries), C(no_descriptor_left),
};

/* --- the server: a process a port, a thread a connection where that is needed --- */

static void *serve_echo(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buffer[4096];
	ssize_t n;

	while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0 && send(fd, buffer, (size_t)n, MSG_NOSIGNAL) == n)
		;
	close(fd);
	return NULL;
}

static int listener(int family, int port, int backlog)
{
	int fd = socket(family, SOCK_STREAM, 0);
	struct sockaddr_in a = to4(port);
	struct sockaddr_in6 six = to6(port);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if ((family == AF_INET ? bind(fd, (struct sockaddr *)&a, sizeof a) : bind(fd, (struct sockaddr *)&six, sizeof six)) ||
	    listen(fd, backlog)) {
		perror("probe: listen");
		exit(1);
	}
	return fd;
}

static void serve(int fd, bool reset)
{
	for (;;) {
		int c = accept(fd, NULL, NULL);
		pthread_t t;
		char x;

		if (c < 0)
			continue;
		if (reset) {
			(void)!recv(c, &x, 1, 0);
			setsockopt(c, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
			close(c);
		} else if (pthread_create(&t, NULL, serve_echo, (void *)(intptr_t)c)) {
			close(c);
		} else {
			pthread_detach(t);
		}
	}
}

static int server(void)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (int i = 0; i < 2; i++) {
		int e = listener(families[i], ECHO, 64), r = listener(families[i], RESET, 64);
		int fill = socket(families[i], SOCK_STREAM, 0);

		listener(families[i], SILENT, 0);
		/* The queue of SILENT is full with this one. */
		if (families[i] == AF_INET ? conn4(fill, SILENT) : conn6(fill, SILENT))
			perror("probe: filler");
		if (!fork())
			serve(e, false);
		if (!fork())
			serve(r, true);
	}
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && !strcmp(argv[1], "peer")) {
		say("%s", echo(atoi(argv[2])));
		say_peer(atoi(argv[2]));
		line[line_len] = 0;
		fputs(line, stdout);
		return 0;
	}
	server4.sin_family = AF_INET;
	server6.sin6_family = AF_INET6;
	if (argc < 4 || inet_pton(AF_INET, argv[2], &server4.sin_addr) != 1 || inet_pton(AF_INET6, argv[3], &server6.sin6_addr) != 1) {
		fprintf(stderr, "usage: probe server|client ADDRESS4 ADDRESS6 [NAME...]\n");
		return 2;
	}
	self = "/proc/self/exe";
	if (!strcmp(argv[1], "server"))
		return server();
	for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
		bool wanted = argc == 4;

		for (int k = 4; k < argc; k++)
			wanted = wanted || !strcmp(argv[k], checks[i].name);
		if (!wanted)
			continue;
		line_len = 0;
		checks[i].run();
		line[line_len] = 0;
		printf("%s | %s\n", checks[i].name, line);
	}
	return 0;
}
