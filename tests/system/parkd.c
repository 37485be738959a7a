/* SPDX-License-Identifier: MIT */
/*
 * The smallest daemon that libplait.so can talk to: parks connects, dials each destination itself and copies bytes. No
 * tunnel, no engine. It proves the shim alone, and is the floor for what the shim costs.
 *
 *	parkd SOCKET [--delay MS] [--from ADDRESS] [--bypass CIDR] [--any-user] [--streams N]
 *
 * --delay answers late; --from binds the dialling socket, so that a server sees who came through parkd. "ready" on
 * stdout when it serves; SIGTERM prints its statistics as one line of JSON and ends it.
 */
#include "tunneld/io/park.h"

#include "common/sockaddr.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 256 * 1024, STREAMS = 16384 };

struct pipe_way {
	char *buffer;
	size_t at, len;
	bool ended, shut;      /* end of file read; and passed on */
};

struct stream {
	park_id id;
	int fd[2];             /* 0: the application, 1: the destination; -1: not yet */
	bool dialled;
	bool broken;           /* one side was reset */
	ev_io io[2];
	ev_timer delay;
	struct pipe_way way[2]; /* way[0]: from fd[0] to fd[1] */
	struct stream *next;
};

static struct ev_loop *loop;
static struct park *park;
static struct stream *streams;
static double delay_s;
static struct addr from;

static void stream_end(struct stream *s, bool reset)
{
	static const struct linger now = { .l_onoff = 1 };
	struct stream **link = &streams;

	for (int i = 0; i < 2; i++) {
		ev_io_stop(loop, &s->io[i]);
		if (s->fd[i] < 0)
			continue;
		if (reset)
			setsockopt(s->fd[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
		close(s->fd[i]);
		free(s->way[i].buffer);
	}
	ev_timer_stop(loop, &s->delay);
	park_closed(park, s->id);
	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
	free(s);
}

static void want(struct stream *s, int side, int events)
{
	ev_io *io = &s->io[side];

	if ((io->events & (EV_READ | EV_WRITE)) == events && ev_is_active(io) == (events != 0))
		return;
	ev_io_stop(loop, io);
	ev_io_set(io, s->fd[side], events);
	if (events)
		ev_io_start(loop, io);
}

/* Moves what can be moved one way; false: the stream broke. */
static bool move(struct stream *s, int side)
{
	struct pipe_way *w = &s->way[side];
	int in = s->fd[side], out = s->fd[!side];

	for (int turns = 0; turns < 8; turns++) {
		ssize_t n;

		if (!w->len && !w->ended) {
			n = recv(in, w->buffer, BUFFER_BYTES, 0);
			if (n < 0 && errno == EAGAIN)
				break;
			if (n < 0)
				return false;
			w->ended = n == 0;
			w->at = 0;
			w->len = (size_t)n;
		}
		if (!w->len)
			break;
		n = send(out, w->buffer + w->at, w->len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return false;
		w->at += (size_t)n;
		w->len -= (size_t)n;
	}
	if (w->ended && !w->len && !w->shut && !s->broken) {
		shutdown(out, SHUT_WR);
		w->shut = true;
	}
	return true;
}

static void pump(struct stream *s)
{
	if (!move(s, 0) || !move(s, 1)) {
		/* As tunneld: what was sent before the reset goes before it. */
		s->broken = true;
		for (int side = 0; side < 2; side++)
			(void)move(s, side);
		stream_end(s, true);
		return;
	}
	if (s->way[0].shut && s->way[1].shut) {
		stream_end(s, false);
		return;
	}
	for (int side = 0; side < 2; side++) {
		int events = 0;

		if (!s->way[side].ended && !s->way[side].len)
			events |= EV_READ;
		if (s->way[!side].len)
			events |= EV_WRITE;
		want(s, side, events);
	}
}

static void on_ready(struct ev_loop *l, ev_io *io, int events)
{
	(void)l, (void)events;
	pump(io->data);
}

static void stream_open(struct stream *s, int fd)
{
	static const int one = 1;

	s->fd[0] = fd;
	for (int i = 0; i < 2; i++) {
		setsockopt(s->fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		/* As tunneld: urgent bytes are bytes, docs/decisions.md. */
		setsockopt(s->fd[i], SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
		s->way[i].buffer = malloc(BUFFER_BYTES);
		if (!s->way[i].buffer)
			abort();
		ev_io_init(&s->io[i], on_ready, s->fd[i], EV_READ);
		s->io[i].data = s;
	}
	pump(s);
}

static void verdict(struct stream *s, int error)
{
	int fd;

	if (error) {
		park_fail(park, s->id, error);
		stream_end(s, false);
	} else if (park_complete(park, s->id, &fd)) {
		stream_open(s, fd);
	}
}

static void on_delay(struct ev_loop *l, ev_timer *t, int events)
{
	struct stream *s = t->data;
	int error = 0;
	socklen_t len = sizeof error;

	(void)l, (void)events;
	getsockopt(s->fd[1], SOL_SOCKET, SO_ERROR, &error, &len);
	verdict(s, error);
}

static void on_dialled(struct ev_loop *l, ev_io *io, int events)
{
	struct stream *s = io->data;

	(void)events;
	ev_io_stop(l, io);
	s->dialled = true;
	if (delay_s > 0) {
		ev_timer_init(&s->delay, on_delay, delay_s, 0);
		s->delay.data = s;
		ev_timer_start(l, &s->delay);
	} else {
		on_delay(l, &s->delay, 0);
	}
}

static void on_connect(void *ctx, park_id id, const struct addr *dest, const struct park_caller *who)
{
	struct stream *s = calloc(1, sizeof *s);
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(&sa, dest);

	(void)ctx, (void)who;
	if (!s)
		abort();
	s->id = id;
	s->fd[0] = -1;
	s->delay.data = s;
	s->next = streams;
	streams = s;
	ev_init(&s->io[0], on_ready);
	s->fd[1] = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ev_io_init(&s->io[1], on_dialled, s->fd[1], EV_WRITE);
	s->io[1].data = s;
	if (from.family && from.family == dest->family) {
		struct sockaddr_storage me;
		socklen_t me_len = sockaddr_of(&me, &from);

		if (bind(s->fd[1], (struct sockaddr *)&me, me_len))
			perror("parkd: bind");
	}
	if (connect(s->fd[1], (struct sockaddr *)&sa, len) && errno != EINPROGRESS) {
		park_fail(park, id, errno);
		stream_end(s, false);
		return;
	}
	ev_io_start(loop, &s->io[1]);
}

static struct stream *stream_of(park_id id)
{
	for (struct stream *s = streams; s; s = s->next)
		if (s->id == id)
			return s;
	return NULL;
}

static void on_stream(void *ctx, park_id id, int fd)
{
	(void)ctx;
	stream_open(stream_of(id), fd);
}

static void on_direct(void *ctx, const struct addr *dest, const struct park_caller *who,
		      enum local_reason why)
{
	char text[ADDR_TEXT_MAX];

	(void)ctx;
	printf("direct %s %s %d %s\n", addr_print(dest, text), who->comm, (int)why,
	       local_reason_text(why));
	fflush(stdout);
}

static void on_cancel(void *ctx, park_id id)
{
	(void)ctx;
	stream_end(stream_of(id), true);
}

static void on_term(struct ev_loop *l, ev_signal *w, int events)
{
	(void)w, (void)events;
	ev_break(l, EVBREAK_ALL);
}

static void print_stats(void)
{
	struct park_stats t;

	park_stats(park, &t);
	printf("{\"asked\":%llu,\"completed\":%llu,\"failed\":%llu,\"cancelled\":%llu,\"bypassed\":%llu,\"early\":%llu,"
	       "\"pending\":%llu,\"live\":%llu,\"malformed\":%llu,\"refused_user\":%llu,\"refused_full\":%llu,"
	       "\"names_asked\":%llu,\"verdicts_asked\":%llu,\"holes\":%llu}\n",
	       (unsigned long long)t.asked, (unsigned long long)t.completed, (unsigned long long)t.failed,
	       (unsigned long long)t.cancelled, (unsigned long long)t.bypassed, (unsigned long long)t.early,
	       (unsigned long long)t.pending, (unsigned long long)t.live, (unsigned long long)t.malformed,
	       (unsigned long long)t.refused_user, (unsigned long long)t.refused_full,
	       (unsigned long long)t.names_asked, (unsigned long long)t.verdicts_asked, (unsigned long long)t.holes);
	fflush(stdout);
}

static void on_usr1(struct ev_loop *l, ev_signal *w, int events)
{
	(void)l, (void)w, (void)events;
	print_stats();
}

int main(int argc, char **argv)
{
	static const struct park_callbacks callbacks = { on_connect, on_stream, on_cancel, on_direct, NULL, NULL };
	struct park_config config = { .socket = argc > 1 ? argv[1] : NULL, .streams_max = STREAMS };
	static struct cidr bypass[8];
	const char *why;
	ev_signal term, intr, usr1;

	for (int i = 2; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(argv[i], "--any-user")) {
			config.any_user = true;
			continue;
		}
		if (!strcmp(argv[i], "--delay"))
			delay_s = atof(value) / 1000;
		else if (!strcmp(argv[i], "--streams"))
			config.streams_max = (size_t)atol(value);
		else if (!strcmp(argv[i], "--from") && !addr_parse(&from, value))
			;
		else if (!strcmp(argv[i], "--bypass") && config.bypass_count < 8 && !cidr_parse(&bypass[config.bypass_count], value))
			config.bypass_count++;
		else
			config.socket = NULL;
		i++;
	}
	if (!config.socket) {
		fprintf(stderr, "usage: parkd SOCKET [--delay MS] [--from ADDRESS] [--bypass CIDR] [--any-user] [--streams N]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	config.bypass = bypass;
	loop = ev_default_loop(0);
	park = park_new(loop, &config, &callbacks, NULL, &why);
	if (!park) {
		fprintf(stderr, "parkd: %s: %s: %s\n", config.socket, why, strerror(errno));
		return 1;
	}
	ev_signal_init(&term, on_term, SIGTERM);
	ev_signal_init(&intr, on_term, SIGINT);
	ev_signal_init(&usr1, on_usr1, SIGUSR1);
	ev_signal_start(loop, &term);
	ev_signal_start(loop, &intr);
	ev_signal_start(loop, &usr1);
	puts("ready");
	fflush(stdout);
	ev_run(loop, 0);
	print_stats();
	while (streams)
		stream_end(streams, false);
	park_free(park);
	return 0;
}
