/* SPDX-License-Identifier: MIT */
/*
 * blast: one plain TCP program for every system that is compared, so that the only difference is what lies below
 * the socket. Knows nothing of plait.
 *
 * usage: blast serve ADDRESS PORT
 *        blast up | down ADDRESS PORT BYTES      goodput, CPU of the whole machine, longest gap at the receiver
 *        blast connect | echo ADDRESS PORT COUNT microseconds: of connect() and connect plus the first answer;
 *                                                of a 64-byte echo
 * Each prints one JSON line. CPU seconds are user + system + interrupts of all CPUs, from /proc/stat: what a tunnel
 * makes others do (softirqs, the other tunneld) counts as well, and so does everything else on the machine.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 256 << 10, MESSAGE = 64, COUNT_MAX = 100000, WORKERS = 8 };

/* What a client asks for: its first 9 bytes. */
enum ask { ASK_UP = 'u', ASK_DOWN = 'd', ASK_ECHO = 'e' };

static char buffer[BUFFER];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "blast: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double machine_cpu_s(void)
{
	unsigned long long user, nice, system, idle, iowait, irq, softirq;
	FILE *f = fopen("/proc/stat", "r");

	if (!f || fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait, &irq, /* NOLINT */
	                 &softirq) != 7)
		die("/proc/stat");
	fclose(f);
	return (double)(user + nice + system + irq + softirq) / (double)sysconf(_SC_CLK_TCK);
}

static struct sockaddr_in address_of(const char *text, const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };

	errno = EINVAL;
	if (inet_pton(AF_INET, text, &a.sin_addr) != 1)
		die(text);
	return a;
}

static int open_to(const struct sockaddr_in *a)
{
	int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);

	if (s < 0 || connect(s, (const struct sockaddr *)a, sizeof *a) < 0)
		die("connect");
	if (setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
		die("TCP_NODELAY");
	return s;
}

static void write_all(int s, const char *from, size_t len)
{
	while (len) {
		ssize_t n = write(s, from, len);

		if (n < 0)
			die("write");
		from += n;
		len -= (size_t)n;
	}
}

/* False: the stream ended first. */
static bool read_all(int s, char *to, size_t len)
{
	while (len) {
		ssize_t n = read(s, to, len);

		if (n < 0)
			die("read");
		if (!n)
			return false;
		to += n;
		len -= (size_t)n;
	}
	return true;
}

static void send_bytes(int s, uint64_t count)
{
	while (count) {
		size_t n = count < BUFFER ? (size_t)count : BUFFER;

		write_all(s, buffer, n);
		count -= n;
	}
}

struct received {
	uint64_t bytes;
	double longest_gap_s, last;
};

/* To the end of the stream, or count bytes. */
static struct received receive_bytes(int s, uint64_t count)
{
	struct received r = { 0 };

	while (r.bytes < count) {
		ssize_t n = read(s, buffer, BUFFER);
		double t = now();

		if (n < 0)
			die("read");
		if (!n)
			break;
		if (r.bytes && t - r.last > r.longest_gap_s)
			r.longest_gap_s = t - r.last;
		r.bytes += (uint64_t)n;
		r.last = t;
	}
	return r;
}

static void ask(int s, enum ask what, uint64_t count)
{
	char head[9] = { (char)what };

	memcpy(head + 1, &count, sizeof count);
	write_all(s, head, sizeof head);
}

static void serve_one(int s)
{
	char head[9];
	uint64_t count;
	struct received r;
	int one = 1;

	if (setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
		die("TCP_NODELAY");
	if (!read_all(s, head, sizeof head))
		return;
	memcpy(&count, head + 1, sizeof count);
	switch ((enum ask)head[0]) {
	case ASK_UP:
		r = receive_bytes(s, count);
		write_all(s, (const char *)&r, sizeof r);
		break;
	case ASK_DOWN:
		send_bytes(s, count);
		break;
	case ASK_ECHO:
		while (read_all(s, buffer, MESSAGE))
			write_all(s, buffer, MESSAGE);
		break;
	}
}

static _Noreturn void serve(const struct sockaddr_in *a)
{
	int one = 1, l = socket(AF_INET, SOCK_STREAM, 0);

	if (setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(l, (const struct sockaddr *)a, sizeof *a) < 0 || listen(l, 1024) < 0)
		die("listen");
	/* Workers stand ready, so that a fork is not part of anybody's latency; one that died is replaced. */
	for (int workers = 0;; workers--) {
		while (workers < WORKERS) {
			if (!fork())
				for (;;) {
					int s = accept(l, NULL, NULL);

					if (s < 0)
						exit(0);
					serve_one(s);
					close(s);
				}
			workers++;
		}
		wait(NULL);
	}
}

static void transfer(const struct sockaddr_in *a, enum ask what, uint64_t count)
{
	int s = open_to(a);
	double cpu_s = machine_cpu_s(), start = now(), end, gb;
	struct received r;

	ask(s, what, count);
	if (what == ASK_UP) {
		send_bytes(s, count);
		if (!read_all(s, (char *)&r, sizeof r)) {
			errno = EPIPE;
			die("no answer");
		}
	} else {
		r = receive_bytes(s, count);
	}
	end = now();
	cpu_s = machine_cpu_s() - cpu_s;
	gb = (double)r.bytes / 1e9;
	printf("{\"bytes\":%" PRIu64 ",\"seconds\":%.3f,\"gbit_s\":%.4f,\"cpu_s_per_gb\":%.3f,\"longest_gap_ms\":%.0f}\n",
	       r.bytes, end - start, gb * 8 / (end - start), cpu_s / gb, r.longest_gap_s * 1e3);
	exit(r.bytes != count);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void quantiles(const char *name, double *us, size_t n)
{
	qsort(us, n, sizeof *us, by_value);
	printf("\"%s_p50_us\":%.1f,\"%s_p99_us\":%.1f", name, us[n / 2], name, us[n - 1 - n / 100]);
}

static void latency(const struct sockaddr_in *a, bool reconnect, size_t n)
{
	static double connect_us[COUNT_MAX], answer_us[COUNT_MAX];
	int s = reconnect ? -1 : open_to(a);

	if (!n || n > COUNT_MAX) {
		errno = EINVAL;
		die("count");
	}
	if (!reconnect)
		ask(s, ASK_ECHO, 0);
	for (size_t i = 0; i < n; i++) {
		double start = now();

		if (reconnect) {
			s = open_to(a);
			connect_us[i] = (now() - start) * 1e6;
			ask(s, ASK_ECHO, 0);
		}
		write_all(s, buffer, MESSAGE);
		if (!read_all(s, buffer, MESSAGE)) {
			errno = EPIPE;
			die("echo");
		}
		answer_us[i] = (now() - start) * 1e6;
		if (reconnect)
			close(s);
	}
	printf("{\"count\":%zu,", n);
	if (reconnect) {
		quantiles("connect", connect_us, n);
		printf(",");
		quantiles("first_answer", answer_us, n);
	} else {
		quantiles("echo", answer_us, n);
	}
	printf("}\n");
}

int main(int argc, char **argv)
{
	struct sockaddr_in a;
	uint64_t count;

	if (argc < 4 || (argc < 5 && strcmp(argv[1], "serve") != 0)) {
		fputs("usage: see the head of blast.c\n", stderr);
		return 2;
	}
	a = address_of(argv[2], argv[3]);
	if (!strcmp(argv[1], "serve"))
		serve(&a);
	count = strtoull(argv[4], NULL, 10);
	if (!strcmp(argv[1], "up"))
		transfer(&a, ASK_UP, count);
	else if (!strcmp(argv[1], "down"))
		transfer(&a, ASK_DOWN, count);
	else
		latency(&a, !strcmp(argv[1], "connect"), (size_t)count);
	return 0;
}
