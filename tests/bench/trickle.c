/* SPDX-License-Identifier: MIT */
/*
 * trickle: how long data waits while a path fails and comes back, over any TCP. Knows nothing of plait. Both ends run on
 * one machine, so they share a clock.
 *
 * usage: trickle serve ADDRESS PORT
 *        trickle up | down ADDRESS PORT SECONDS    messages of 200 bytes every 20 ms; delay of each, from the time it
 *                                                  was due to when its last byte was read
 *        trickle bulk ADDRESS PORT SECONDS         as fast as it goes from the server; bytes read in each 100 ms
 *        trickle connect ADDRESS PORT              milliseconds until connect() succeeds
 * Each prints one JSON line; `start` is CLOCK_MONOTONIC in seconds, as /proc/uptime nearly is.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 200, BUFFER = 128 << 10, SECONDS_MAX = 600, SLOTS = SECONDS_MAX * 10 };
#define NS_PER_S     INT64_C(1000000000)
#define INTERVAL_NS  (20 * INT64_C(1000000))
#define SLOT_NS      (100 * INT64_C(1000000))

/* The first 9 bytes: what is asked for, and for how many milliseconds. */
struct ask { char what; uint64_t ms; };
enum { ASK_BYTES = 9, ASK_UP = 'u', ASK_DOWN = 'd', ASK_BULK = 'b' };

/* The first 8 bytes of a message: when it was due. 0 is the last message. */
struct delays { uint64_t count, late_100; int64_t worst_ns, worst_at_ns, sum_ns; };

static char buffer[BUFFER];

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "trickle: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put(int fd, const void *bytes, size_t n)
{
	const char *at = bytes;

	while (n) {
		ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);

		if (sent <= 0)
			die("send");
		at += sent;
		n -= (size_t)sent;
	}
}

static bool get(int fd, void *bytes, size_t n)
{
	char *at = bytes;

	while (n) {
		ssize_t got = recv(fd, at, n, 0);

		if (got < 0)
			die("recv");
		if (got == 0)
			return false;
		at += got;
		n -= (size_t)got;
	}
	return true;
}

static void write_messages(int fd, uint64_t ms)
{
	int64_t begin = now_ns(), due = begin, end = begin + (int64_t)ms * (NS_PER_S / 1000);
	char message[MESSAGE] = { 0 };

	for (; due < end; due += INTERVAL_NS) {
		struct timespec t = { .tv_sec = due / NS_PER_S, .tv_nsec = due % NS_PER_S };

		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
			;
		memcpy(message, &due, sizeof due);
		put(fd, message, sizeof message);
	}
	memset(message, 0, sizeof message);
	put(fd, message, sizeof message);
}

static struct delays read_messages(int fd)
{
	struct delays d = { 0 };
	char message[MESSAGE];
	int64_t due, waited;

	while (get(fd, message, sizeof message)) {
		memcpy(&due, message, sizeof due);
		if (!due)
			return d;
		waited = now_ns() - due;
		d.count++;
		d.sum_ns += waited;
		d.late_100 += waited > 100 * INT64_C(1000000);
		if (waited > d.worst_ns) {
			d.worst_ns = waited;
			d.worst_at_ns = due;
		}
	}
	fprintf(stderr, "trickle: the stream ended after %" PRIu64 " messages\n", d.count);
	exit(1);
}

static void serve_one(int fd)
{
	char head[ASK_BYTES];
	struct ask a;
	struct delays d;

	if (!get(fd, head, sizeof head))
		exit(0);
	a.what = head[0];
	memcpy(&a.ms, head + 1, sizeof a.ms);
	switch (a.what) {
	case ASK_UP:
		d = read_messages(fd);
		put(fd, &d, sizeof d);
		break;
	case ASK_DOWN:
		write_messages(fd, a.ms);
		get(fd, head, 1);
		break;
	default:
		memset(buffer, 'x', sizeof buffer);
		while (send(fd, buffer, sizeof buffer, MSG_NOSIGNAL) > 0)
			;
	}
	exit(0);
}

static struct sockaddr_in address(const char *text, const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

	if (inet_pton(AF_INET, text, &a.sin_addr) != 1) {
		fprintf(stderr, "trickle: %s is no IPv4 address\n", text);
		exit(2);
	}
	return a;
}

static int serve(const char *text, const char *port)
{
	struct sockaddr_in a = address(text, port);
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

	signal(SIGCHLD, SIG_IGN);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 64))
		die("listen");
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		if (fork() == 0) {
			close(listener);
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
			serve_one(fd);
		}
		close(fd);
	}
}

static int reach(const char *text, const char *port)
{
	struct sockaddr_in a = address(text, port);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static void ask(int fd, char what, uint64_t ms)
{
	char head[ASK_BYTES] = { what };

	memcpy(head + 1, &ms, sizeof ms);
	put(fd, head, sizeof head);
}

static void say_delays(const struct delays *d, int64_t start)
{
	printf("{\"start\":%.3f,\"messages\":%" PRIu64 ",\"worst_ms\":%.1f,\"worst_at_s\":%.2f,\"mean_ms\":%.2f,\"over_100ms\":%" PRIu64 "}\n",
	       (double)start / 1e9, d->count, (double)d->worst_ns / 1e6, (double)(d->worst_at_ns - start) / 1e9,
	       d->count ? (double)d->sum_ns / 1e6 / (double)d->count : 0, d->late_100);
}

static void messages(int fd, bool up, uint64_t ms)
{
	int64_t start = now_ns();
	struct delays d;

	ask(fd, up ? ASK_UP : ASK_DOWN, ms);
	if (up) {
		write_messages(fd, ms);
		if (!get(fd, &d, sizeof d))
			die("the server's answer");
	} else {
		d = read_messages(fd);
		put(fd, "x", 1);
	}
	say_delays(&d, start);
}

static void bulk(int fd, uint64_t ms)
{
	static uint64_t slot[SLOTS];
	int64_t start = now_ns(), end = start + (int64_t)ms * (NS_PER_S / 1000), at;
	unsigned slots = (unsigned)(ms / 100);

	ask(fd, ASK_BULK, ms);
	while ((at = now_ns()) < end) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t got;

		if (poll(&p, 1, (int)((end - at) / 1000000) + 1) <= 0)
			continue;
		got = recv(fd, buffer, sizeof buffer, 0);
		if (got <= 0)
			die("recv");
		at = now_ns();
		if (at < end)
			slot[(at - start) / SLOT_NS] += (uint64_t)got;
	}
	printf("{\"start\":%.3f,\"slot_ms\":100,\"bytes\":[", (double)start / 1e9);
	for (unsigned i = 0; i < slots; i++)
		printf("%s%" PRIu64, i ? "," : "", slot[i]);
	printf("]}\n");
}

int main(int argc, char **argv)
{
	uint64_t ms = argc > 4 ? (uint64_t)(atof(argv[4]) * 1000) : 0;
	int64_t begin;
	int fd;

	if (argc == 4 && !strcmp(argv[1], "serve"))
		return serve(argv[2], argv[3]);
	if (argc < 4 || (ms == 0 && strcmp(argv[1], "connect")) || ms > SECONDS_MAX * UINT64_C(1000)) {
		fprintf(stderr, "usage: trickle serve|connect ADDRESS PORT | up|down|bulk ADDRESS PORT SECONDS\n");
		return 2;
	}
	begin = now_ns();
	fd = reach(argv[2], argv[3]);
	if (!strcmp(argv[1], "connect"))
		printf("{\"start\":%.3f,\"connect_ms\":%.2f}\n", (double)begin / 1e9, (double)(now_ns() - begin) / 1e6);
	else if (!strcmp(argv[1], "bulk"))
		bulk(fd, ms);
	else
		messages(fd, !strcmp(argv[1], "up"), ms);
	return 0;
}
