/* SPDX-License-Identifier: MIT */
#include "tests/probe/probe.h"

#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>

struct sockaddr_in server4 = { .sin_family = AF_INET };
struct sockaddr_in6 server6 = { .sin6_family = AF_INET6 };
const char *const self = "/proc/self/exe";
volatile sig_atomic_t rang;

static char line[4096];
static size_t line_len;

void say(const char *format, ...)
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

const char *said(void)
{
	line[line_len] = 0;
	return line;
}

void say_nothing(void)
{
	line_len = 0;
}

const char *got(long r)
{
	static char text[8][32];
	static int turn;
	char *t = text[turn++ % 8];

	if (r >= 0)
		snprintf(t, sizeof text[0], "%ld", r);
	else
		snprintf(t, sizeof text[0], "%s", strerrorname_np(errno));
	return t;
}

const char *err_name(int e)
{
	return e ? strerrorname_np(e) : "0";
}

const char *started(int r)
{
	return r == 0 || errno == EINPROGRESS ? "started" : got(r);
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

const char *timely(double begin, double low, double high)
{
	static char text[32];
	double t = now() - begin;

	if (t >= low && t < high)
		return "in time";
	snprintf(text, sizeof text, "after %.2f s", t);
	return text;
}

struct sockaddr_in at4(const char *ip, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	inet_pton(AF_INET, ip, &a.sin_addr);
	return a;
}

struct sockaddr_in to4(int port)
{
	struct sockaddr_in a = server4;

	a.sin_port = htons((uint16_t)port);
	return a;
}

struct sockaddr_in6 to6(int port)
{
	struct sockaddr_in6 a = server6;

	a.sin6_port = htons((uint16_t)port);
	return a;
}

struct sockaddr_in6 mapped(int port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };

	a.sin6_addr.s6_addr[10] = a.sin6_addr.s6_addr[11] = 0xff;
	memcpy(a.sin6_addr.s6_addr + 12, &server4.sin_addr, 4);
	return a;
}

int tcp(int flags)
{
	return socket(AF_INET, SOCK_STREAM | flags, 0);
}
int tcp6(int flags)
{
	return socket(AF_INET6, SOCK_STREAM | flags, 0);
}

int conn4(int fd, int port)
{
	struct sockaddr_in a = to4(port);

	return connect(fd, (struct sockaddr *)&a, sizeof a);
}

int conn6(int fd, int port)
{
	struct sockaddr_in6 a = to6(port);

	return connect(fd, (struct sockaddr *)&a, sizeof a);
}

int unspec(int fd)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	return connect(fd, &none, sizeof none);
}

int opened(int port)
{
	int fd = tcp(0);

	if (conn4(fd, port))
		say("connect to %d: %s", port, got(-1));
	return fd;
}

int so_error(int fd)
{
	int e = -1;
	socklen_t len = sizeof e;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
	return e;
}

int on(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof value);
}

int value_of(int fd, int level, int option)
{
	int v = 0;
	socklen_t len = sizeof v;

	return getsockopt(fd, level, option, &v, &len) ? -1 : v;
}

int wait_for(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, ms) > 0 ? p.revents : 0;
}

const char *echo(int fd)
{
	char c = 'x';

	if (send(fd, &c, 1, MSG_NOSIGNAL) != 1 || !(wait_for(fd, POLLIN, 2000) & POLLIN))
		return got(-1);
	return recv(fd, &c, 1, 0) == 1 && c == 'x' ? "echo" : "no echo";
}

void say_name(const char *what, int r, const struct sockaddr_storage *sa, socklen_t len,
	      bool with_port)
{
	char ip[64] = "?";
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;
	const void *at = sa->ss_family == AF_INET ? (const void *)&in->sin_addr
						  : (const void *)&in6->sin6_addr;

	if (r) {
		say("%s %s", what, got(r));
		return;
	}
	inet_ntop(sa->ss_family, at, ip, sizeof ip);
	say("%s %s:%d family %d len %u", what, ip,
	    with_port ? ntohs(in->sin_port) : in->sin_port != 0, sa->ss_family, len);
}

void say_peer(int fd)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof sa;
	int r = getpeername(fd, (struct sockaddr *)&sa, &len);

	say_name("peer", r, &sa, len, true);
}

void say_local(int fd)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof sa;
	int r = getsockname(fd, (struct sockaddr *)&sa, &len);

	say_name("local", r, &sa, len, false);
}

void say_child(void (*body)(void *), void *arg)
{
	char text[1024];
	size_t have = 0;
	ssize_t n;
	int p[2];
	pid_t pid;

	if (pipe(p))
		return;
	pid = fork();
	if (!pid) {
		say_nothing();
		dup2(p[1], 1);
		close(p[0]);
		close(p[1]);
		body(arg);
		fflush(stdout);
		if (line_len && write(1, line, line_len) < 0)
			_exit(1);
		_exit(0);
	}
	close(p[1]);
	while (have < sizeof text - 1 && (n = read(p[0], text + have, sizeof text - 1 - have)) > 0)
		have += (size_t)n;
	text[have] = 0;
	close(p[0]);
	waitpid(pid, NULL, 0);
	say("child: %s", text);
}

void say_watched(const char name[5])
{
	char text[64];
	int fd = opened(REPORT);
	ssize_t n;

	send(fd, name, 4, MSG_NOSIGNAL);
	n = wait_for(fd, POLLIN, 4000) ? recv(fd, text, sizeof text - 1, MSG_WAITALL) : 0;
	text[n > 0 ? n : 0] = 0;
	say("server %s", text);
	close(fd);
}

void ring(int sig)
{
	(void)sig;
	rang++;
}
