/* SPDX-License-Identifier: MIT */
/*
 * crowd: many streams at once. Knows nothing of plait, but may be told whose memory and CPU time to look at.
 *
 * usage: crowd serve ADDRESS PORT
 *        crowd idle ADDRESS PORT STREAMS SECONDS [PID...]    opens them, echoes 64 bytes on each, holds them; what each
 *                                                            process took by then in memory, and in CPU while they were held
 *        crowd short ADDRESS PORT WORKERS SECONDS [PID...]   connections one after another in each worker, 1 KiB each
 *        crowd busy ADDRESS PORT STREAMS SECONDS [PID...]    all receive as fast as they can; the spread between them
 * Prints one JSON line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, SHORT = 1024, EVENTS = 256, STREAMS_MAX = 60000, WORKERS_MAX = 64, PIDS_MAX = 4, BUFFER = 64 << 10 };

static char buffer[BUFFER];

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- what a process has taken --- */

struct taken { long rss_bytes; double cpu_s; };

static struct taken taken(const char *pid)
{
	char path[64], text[1024], *p;
	unsigned long user = 0, system = 0;
	long pages = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	f = fopen(path, "r");
	if (!f || !fgets(text, sizeof text, f) || !(p = strrchr(text, ')')) || /* after the name, which may hold anything */
	    sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u %*u %ld", /* NOLINT */
	           &user, &system, &pages) != 3)
		die(path);
	fclose(f);
	return (struct taken){ pages * sysconf(_SC_PAGESIZE), (double)(user + system) / (double)sysconf(_SC_CLK_TCK) };
}

/* --- server: one process, an epoll --- */

/* The first byte says what is wanted: 'e' the message back, 's' SHORT bytes and the end, 'b' bytes without end. */
static bool serve_one(int s, bool writable, int ep)
{
	ssize_t n;

	/* One helping each time around: to fill one until it blocks is to serve whoever drains it, and nobody else. */
	if (writable)
		return send(s, buffer, sizeof buffer, MSG_NOSIGNAL) > 0 || errno == EAGAIN;
	n = recv(s, buffer, MESSAGE, 0);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	if (buffer[0] == 'e')
		return send(s, buffer, (size_t)n, MSG_NOSIGNAL) == n;
	if (buffer[0] == 's') {
		if (send(s, buffer, SHORT, MSG_NOSIGNAL) != SHORT)
			return false;
		shutdown(s, SHUT_WR);
		return true;
	}
	return !epoll_ctl(ep, EPOLL_CTL_MOD, s, &(struct epoll_event){ .events = EPOLLOUT, .data.fd = s });
}

static _Noreturn void serve(const struct sockaddr_in *a)
{
	struct epoll_event got[EVENTS];
	int one = 1, ep = epoll_create1(0), l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), s;

	if (setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(l, (const struct sockaddr *)a, sizeof *a) < 0 || listen(l, 4096) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, l, &(struct epoll_event){ .events = EPOLLIN, .data.fd = l }))
		die("listen");
	for (;;) {
		int n = epoll_wait(ep, got, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			s = got[i].data.fd;
			if (s != l) {
				if (!serve_one(s, got[i].events & EPOLLOUT, ep))
					close(s);
				continue;
			}
			while ((s = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
				epoll_ctl(ep, EPOLL_CTL_ADD, s, &(struct epoll_event){ .events = EPOLLIN, .data.fd = s });
			}
		}
	}
}

/* --- clients --- */

static int open_to(const struct sockaddr_in *a)
{
	int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);

	if (s < 0 || connect(s, (const struct sockaddr *)a, sizeof *a) < 0)
		die("connect");
	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return s;
}

static void ask(int s, char what)
{
	char message[MESSAGE] = { what };

	if (send(s, message, sizeof message, MSG_NOSIGNAL) != sizeof message)
		die("send");
}

static void idle(const struct sockaddr_in *a, unsigned streams, double seconds, char **pids, int count)
{
	struct taken before[PIDS_MAX], held[PIDS_MAX], after;
	double start = now();

	for (int i = 0; i < count; i++)
		before[i] = taken(pids[i]);
	for (unsigned i = 0; i < streams; i++) {
		int s = open_to(a);

		ask(s, 'e');
		if (recv(s, buffer, MESSAGE, MSG_WAITALL) != MESSAGE)
			die("echo");
	}
	printf("{\"streams\":%u,\"opened_in_s\":%.2f,\"processes\":[", streams, now() - start);
	sleep(2); /* delayed acknowledgements, joins: all that an opening still brings */
	for (int i = 0; i < count; i++)
		held[i] = taken(pids[i]);
	start = now();
	usleep((useconds_t)(seconds * 1e6));
	for (int i = 0; i < count; i++) {
		after = taken(pids[i]);
		printf("%s{\"rss_bytes_per_stream\":%.0f,\"idle_cpu_share\":%.4f}", i ? "," : "",
		       (double)(held[i].rss_bytes - before[i].rss_bytes) / streams,
		       (after.cpu_s - held[i].cpu_s) / (now() - start));
	}
	printf("]}\n");
}

static void short_ones(const struct sockaddr_in *a, unsigned workers, double seconds, char **pids, int count)
{
	uint64_t *done = mmap(NULL, WORKERS_MAX * sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), total = 0;
	struct taken before[PIDS_MAX];
	double end = now() + seconds;

	for (int i = 0; i < count; i++)
		before[i] = taken(pids[i]);
	for (unsigned w = 0; w < workers; w++)
		if (!fork()) {
			while (now() < end) {
				int s = open_to(a);

				ask(s, 's');
				if (recv(s, buffer, SHORT, MSG_WAITALL) != SHORT || recv(s, buffer, 1, 0))
					die("short");
				close(s);
				done[w]++;
			}
			_exit(0);
		}
	for (int status; wait(&status) > 0;)
		if (status)
			exit(1);
	for (unsigned w = 0; w < workers; w++)
		total += done[w];
	printf("{\"workers\":%u,\"connections\":%" PRIu64 ",\"per_s\":%.0f,\"processes\":[", workers, total,
	       (double)total / (now() - end + seconds));
	for (int i = 0; i < count; i++)
		printf("%s{\"cpu_us_per_connection\":%.1f}", i ? "," : "", (taken(pids[i]).cpu_s - before[i].cpu_s) * 1e6 / (double)total);
	printf("]}\n");
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void busy(const struct sockaddr_in *a, unsigned streams, double seconds, char **pids, int count)
{
	const unsigned low = streams / 20;
	static uint64_t bytes[STREAMS_MAX];
	struct epoll_event got[EVENTS];
	struct taken before[PIDS_MAX];
	int ep = epoll_create1(0);
	double start, mean = 0, squares = 0, took;
	uint64_t total = 0;

	for (unsigned i = 0; i < streams; i++) {
		int s = open_to(a);

		fcntl(s, F_SETFL, O_NONBLOCK);
		epoll_ctl(ep, EPOLL_CTL_ADD, s, &(struct epoll_event){ .events = EPOLLIN, .data.u64 = (uint64_t)s << 32 | i });
		ask(s, 'b');
	}
	for (int warm = 1; warm >= 0; warm--) {
		memset(bytes, 0, sizeof bytes);
		for (int i = 0; i < count; i++)
			before[i] = taken(pids[i]);
		start = now();
		while (now() < start + (warm ? 1 : seconds)) {
			int n = epoll_wait(ep, got, EVENTS, 100);

			for (int i = 0; i < n; i++) {
				ssize_t k = recv((int)(got[i].data.u64 >> 32), buffer, sizeof buffer, 0);

				if (!k || (k < 0 && errno != EAGAIN))
					die("busy");
				bytes[(uint32_t)got[i].data.u64] += k > 0 ? (uint64_t)k : 0;
			}
		}
		took = now() - start;
	}
	for (unsigned i = 0; i < streams; i++) {
		total += bytes[i];
		squares += (double)bytes[i] * (double)bytes[i];
	}
	mean = (double)total / streams;
	qsort(bytes, streams, sizeof *bytes, by_value);
	/* Jain's index: 1 where all got the same. */
	printf("{\"streams\":%u,\"gbit_s\":%.3f,\"jain\":%.3f,\"p5_of_mean\":%.3f,\"p95_of_mean\":%.3f,\"processes\":[", streams,
	       (double)total * 8 / took / 1e9, squares > 0 ? mean * mean * streams / squares : 0,
	       (double)bytes[low] / mean, (double)bytes[streams - 1 - low] / mean);
	for (int i = 0; i < count; i++)
		printf("%s{\"cpu_s_per_gb\":%.3f}", i ? "," : "", (taken(pids[i]).cpu_s - before[i].cpu_s) * 1e9 / (double)total);
	printf("]}\n");
}

int main(int argc, char **argv)
{
	struct rlimit files;
	struct sockaddr_in a = { .sin_family = AF_INET };
	unsigned n;
	double seconds;

	if (argc < 4 || inet_pton(AF_INET, argv[2], &a.sin_addr) != 1 || (argc < 6 && strcmp(argv[1], "serve") != 0)) {
		fputs("usage: see the head of crowd.c\n", stderr);
		return 2;
	}
	a.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (!strcmp(argv[1], "serve"))
		serve(&a);
	n = (unsigned)strtoul(argv[4], NULL, 10);
	seconds = strtod(argv[5], NULL);
	if (!n || n > STREAMS_MAX || argc - 6 > PIDS_MAX) {
		fputs("crowd: how many?\n", stderr);
		return 2;
	}
	if (!strcmp(argv[1], "idle"))
		idle(&a, n, seconds, argv + 6, argc - 6);
	else if (!strcmp(argv[1], "short"))
		short_ones(&a, n < WORKERS_MAX ? n : WORKERS_MAX, seconds, argv + 6, argc - 6);
	else
		busy(&a, n, seconds, argv + 6, argc - 6);
	return 0;
}
