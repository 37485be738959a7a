/* SPDX-License-Identifier: MIT */
/*
 * Many threads that connect, and change their mind at random moments: closes, cancels, signals,
 * shutdowns, resets. What must hold is that every connect that is waited for ends as it should, and
 * (tests/system/storm.sh looks) that nothing stays behind in tunneld.
 *
 *	storm ADDRESS THREADS CONNECTS SEED     against `probe server` on ADDRESS
 *
 * "N connects, N bad" on stdout; exit 1 if any was bad, or if a thread is stuck.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ECHO = 7001, REFUSED = 7002, SILENT = 7003, THREADS_MAX = 64 };

static struct sockaddr_in server = { .sin_family = AF_INET };
static unsigned threads, connects;
static volatile bool over;

struct worker {
	pthread_t thread;
	uint32_t chance;
	unsigned done, bad;
	bool ended;
	char last[96];
};
static struct worker workers[THREADS_MAX];

static unsigned draw(struct worker *w, unsigned below)
{
	w->chance = w->chance * 1664525u + 1013904223u;
	return (w->chance >> 8) % below;
}

static void bad(struct worker *w, const char *what, int error)
{
	w->bad++;
	snprintf(w->last, sizeof w->last, "%s: %s", what, strerrorname_np(error));
}

static void pause_us(unsigned us)
{
	struct timespec t = { .tv_nsec = (long)us * 1000 };

	nanosleep(&t, NULL);
}

static int start(int port, int flags)
{
	struct sockaddr_in a = server;
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

	a.sin_port = htons((uint16_t)port);
	errno = 0;
	if (fd >= 0)
		(void)connect(fd, (struct sockaddr *)&a, sizeof a);
	return fd;
}

static bool echo(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c = 'x';
	int r;

	if (send(fd, &c, 1, MSG_NOSIGNAL) != 1)
		return false;
	do
		r = poll(&p, 1, 20000);
	while (r < 0 && errno == EINTR);
	return r == 1 && recv(fd, &c, 1, 0) == 1 && c == 'x';
}

/* Waits for what a non-blocking or interrupted connect comes to. */
static int outcome(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int e = 0, r;
	socklen_t len = sizeof e;

	do
		r = poll(&p, 1, 20000);
	while (r < 0 && errno == EINTR);
	if (r != 1)
		return ETIME;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
	return e;
}

static void one_that_is_used(struct worker *w)
{
	static const struct linger hard = { .l_onoff = 1 };
	int fd = start(ECHO, draw(w, 2) ? SOCK_NONBLOCK : 0), e = errno;

	if (e == EINPROGRESS || e == EINTR)
		e = outcome(fd);
	if (e)
		bad(w, "echo's connect", e);
	else if (!echo(fd))
		bad(w, "echo", errno);
	if (!draw(w, 4))
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
}

static void one_that_is_refused(struct worker *w)
{
	int fd = start(REFUSED, draw(w, 2) ? SOCK_NONBLOCK : 0), e = errno;

	if (e == EINPROGRESS || e == EINTR)
		e = outcome(fd);
	if (e != ECONNREFUSED)
		bad(w, "a refused one", e);
	close(fd);
}

static void one_that_is_left(struct worker *w)
{
	int fd = start(draw(w, 2) ? SILENT : ECHO, SOCK_NONBLOCK);
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (draw(w, 2))
		pause_us(draw(w, 3000));
	switch (draw(w, 4)) {
	case 0:
		shutdown(fd, SHUT_RDWR);
		break;
	case 1:
		(void)connect(fd, &none, sizeof none);
		break;
	default:
		break;
	}
	close(fd);
}

static void one_that_times_out(struct worker *w)
{
	struct timeval t = { .tv_usec = 1000 + draw(w, 20000) };
	struct sockaddr_in a = server;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_port = htons(SILENT);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
	if (!connect(fd, (struct sockaddr *)&a, sizeof a) || (errno != EINPROGRESS && errno != EINTR))
		bad(w, "a silent one", errno);
	close(fd);
}

static void *block(void *arg)
{
	struct sockaddr_in a = server;

	a.sin_port = htons(SILENT);
	while (connect(*(int *)arg, (struct sockaddr *)&a, sizeof a) && errno == EINTR)
		;
	return NULL;
}

static void one_that_is_cancelled(struct worker *w)
{
	struct timeval t = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	pthread_t other;
	void *r;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
	if (!pthread_create(&other, NULL, block, &fd)) {
		pause_us(draw(w, 3000));
		pthread_cancel(other);
		pthread_join(other, &r);
		if (r != PTHREAD_CANCELED)
			bad(w, "a cancelled one ran on", errno);
	}
	close(fd);
}

static void *work(void *arg)
{
	static void (*const kinds[])(struct worker *) = {
		one_that_is_used,   one_that_is_used, one_that_is_refused,
		one_that_is_left,   one_that_is_left, one_that_is_left,
		one_that_times_out, one_that_is_cancelled,
	};
	struct worker *w = arg;

	for (; w->done < connects; w->done++)
		kinds[draw(w, sizeof kinds / sizeof *kinds)](w);
	w->ended = true;
	return NULL;
}

static void ring(int sig) { (void)sig; }

static void *disturb(void *arg)
{
	uint32_t chance = 77;

	while (!over) {
		unsigned i = (chance = chance * 1664525u + 1013904223u) >> 8;

		if (!workers[i % threads].ended)
			pthread_kill(workers[i % threads].thread, SIGUSR1);
		pause_us(500);
	}
	return arg;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = ring };
	unsigned done = 0, wrong = 0;
	pthread_t other;
	uint32_t seed;

	if (argc != 5 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) {
		fprintf(stderr, "usage: storm ADDRESS THREADS CONNECTS SEED\n");
		return 2;
	}
	threads = (unsigned)atoi(argv[2]);
	connects = (unsigned)atoi(argv[3]);
	seed = (uint32_t)atoi(argv[4]);
	threads = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
	/* Without SA_RESTART: connects end with EINTR, at any moment. */
	sigaction(SIGUSR1, &sa, NULL);
	for (unsigned i = 0; i < threads; i++) {
		workers[i].chance = seed * 2654435761u + i;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			return 1;
	}
	if (pthread_create(&other, NULL, disturb, NULL))
		return 1;
	for (unsigned i = 0; i < threads; i++) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 500;
		if (pthread_timedjoin_np(workers[i].thread, NULL, &until)) {
			printf("thread %u is stuck after %u\n", i, workers[i].done);
			return 1;
		}
		workers[i].ended = true;
	}
	over = true;
	pthread_join(other, NULL);
	for (unsigned i = 0; i < threads; i++) {
		done += workers[i].done;
		wrong += workers[i].bad;
		if (workers[i].bad)
			fprintf(stderr, "thread %u: %s\n", i, workers[i].last);
	}
	printf("%u connects, %u bad\n", done, wrong);
	return wrong != 0;
}
