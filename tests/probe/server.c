/* SPDX-License-Identifier: MIT */
/* The other end: a process a port, a thread a connection where that is needed. */
#include "tests/probe/probe.h"

#include <sys/prctl.h>
#include <time.h>

static const struct linger hard = { .l_onoff = 1 };

static void serve_echo(int fd)
{
	char buffer[65536];
	ssize_t n;

	while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0 &&
	       send(fd, buffer, (size_t)n, MSG_NOSIGNAL) == n)
		;
}

static void serve_reset(int fd)
{
	char x;

	(void)!recv(fd, &x, 1, 0);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

static void read_to_the_end(int fd)
{
	char buffer[4096];

	while (recv(fd, buffer, sizeof buffer, 0) > 0)
		;
}

static void serve_source(int fd)
{
	send(fd, "hello", 5, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	read_to_the_end(fd);
}

static void serve_urgent(int fd)
{
	char x;

	if (recv(fd, &x, 1, 0) != 1)
		return;
	send(fd, "ab", 2, MSG_NOSIGNAL);
	send(fd, "!", 1, MSG_NOSIGNAL | MSG_OOB);
	send(fd, "cd", 2, MSG_NOSIGNAL);
	read_to_the_end(fd);
}

/* What WATCH saw, by name; REPORT waits for it. */
static struct {
	char name[4];
	char text[64];
} seen[64];
static unsigned seen_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;

static void serve_watch(int fd)
{
	char name[4], buffer[4096];
	long bytes = 0;
	ssize_t n;

	if (recv(fd, name, sizeof name, MSG_WAITALL) != sizeof name)
		return;
	if (name[0] == '?') { /* it wants something that it will not read */
		send(fd, "unread", 6, MSG_NOSIGNAL);
	}
	while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0)
		bytes += n;
	pthread_mutex_lock(&lock);
	memcpy(seen[seen_count % 64].name, name, sizeof name);
	snprintf(seen[seen_count % 64].text, sizeof seen[0].text, "%ld bytes then %s", bytes,
		 n ? strerrorname_np(errno) : "end");
	seen_count++;
	pthread_cond_broadcast(&news);
	pthread_mutex_unlock(&lock);
}

static void serve_report(int fd)
{
	struct timespec until;
	char name[4];
	const char *text = NULL;

	if (recv(fd, name, sizeof name, MSG_WAITALL) != sizeof name)
		return;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 3;
	pthread_mutex_lock(&lock);
	for (int late = 0; !text && !late;) {
		for (unsigned i = 0; i < seen_count && i < 64; i++)
			if (!memcmp(seen[i].name, name, sizeof name))
				text = seen[i].text;
		if (!text)
			late = pthread_cond_timedwait(&news, &lock, &until);
	}
	text = text ? text : "saw no end";
	send(fd, text, strlen(text), MSG_NOSIGNAL);
	pthread_mutex_unlock(&lock);
}

struct job {
	int fd;
	void (*serve)(int fd);
};

static void *work(void *arg)
{
	struct job *j = arg;

	j->serve(j->fd);
	close(j->fd);
	free(j);
	return NULL;
}

static void *accept_all(void *arg)
{
	struct job *listener = arg;

	for (;;) {
		struct job *j = malloc(sizeof *j);
		pthread_t t;

		if (!j)
			abort();
		*j = *listener;
		j->fd = accept(listener->fd, NULL, NULL);
		if (j->fd < 0 || pthread_create(&t, NULL, work, j)) {
			close(j->fd);
			free(j);
		} else {
			pthread_detach(t);
		}
	}
}

static int listener(int family, int port, int backlog)
{
	int fd = socket(family, SOCK_STREAM, 0);
	struct sockaddr_in a = to4(port);
	struct sockaddr_in6 six = to6(port);
	int r;

	on(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	r = family == AF_INET ? bind(fd, (struct sockaddr *)&a, sizeof a)
			      : bind(fd, (struct sockaddr *)&six, sizeof six);
	if (r || listen(fd, backlog)) {
		perror("probe: listen");
		exit(1);
	}
	return fd;
}

int server(void)
{
	static const int families[] = { AF_INET, AF_INET6 };
	static const struct {
		int port;
		void (*serve)(int fd);
	} ports[] = {
		{ ECHO, serve_echo },	  { RESET, serve_reset },   { WATCH, serve_watch },
		{ REPORT, serve_report }, { SOURCE, serve_source }, { URGENT, serve_urgent },
	};
	enum { PORTS = sizeof ports / sizeof *ports };
	static struct job jobs[2][PORTS];
	pthread_t t;

	for (int i = 0; i < 2; i++) {
		int fill = socket(families[i], SOCK_STREAM, 0);

		listener(families[i], SILENT, 0);
		/* The queue of SILENT is full with this one. */
		if (families[i] == AF_INET ? conn4(fill, SILENT) : conn6(fill, SILENT))
			perror("probe: filler");
		for (int k = 0; k < PORTS; k++) {
			jobs[i][k].fd = listener(families[i], ports[k].port, 512);
			jobs[i][k].serve = ports[k].serve;
			if (pthread_create(&t, NULL, accept_all, &jobs[i][k]))
				abort();
		}
	}
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
