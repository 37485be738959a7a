/* SPDX-License-Identifier: MIT */
#include "tunneld/status/events.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tunneld/io/http.h"

/* What waits for all listeners together. Of the connections that http.c takes (32), some are left for others. */
enum { KEPT = 4096, KEPT_BYTES = 2 << 20, LISTENERS_MAX = 16 };
#define QUIET_US (10 * USEC_PER_S) /* then an empty line, by which a listener that has gone is noticed */

struct events {
	pthread_mutex_t lock;     /* of lines and their numbers: every worker adds, the first alone does the rest */
	char *lines[KEPT];        /* number n is at n % KEPT */
	uint64_t first, next;     /* numbers kept: [first, next) */
	size_t bytes;             /* of them, at most KEPT_BYTES or one line */
	struct counters *counters; /* the first worker's */
	atomic_uint listeners;
	atomic_bool news;
	uint64_t beats;
	usec_t beat_us;           /* USEC_NEVER: nobody listens */
};

struct listener {
	struct events *events;
	uint64_t next, beats;
	size_t at;                /* of its line, already taken */
	bool greeted;
};

struct events *events_new(struct counters *counters)
{
	struct events *e = calloc(1, sizeof *e);

	if (e) {
		pthread_mutex_init(&e->lock, NULL); /* with no attributes it does not fail */
		e->beat_us = USEC_NEVER;
		e->counters = counters;
	}
	return e;
}

void events_free(struct events *e)
{
	for (unsigned i = 0; e && i < KEPT; i++)
		free(e->lines[i]);
	if (e)
		pthread_mutex_destroy(&e->lock);
	free(e);
}

static void drop_first(struct events *e)
{
	char **line = &e->lines[e->first++ % KEPT];

	e->bytes -= strlen(*line);
	free(*line);
	*line = NULL;
}

bool events_wanted(const struct events *e) { return e->listeners > 0; }

void events_add(struct events *e, json_t *event)
{
	char *text = NULL, *line;
	size_t len;

	if (e->listeners)
		text = json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(9));
	json_decref(event);
	if (!text)
		return;
	len = strlen(text);
	line = realloc(text, len + 2);
	if (!line) {
		free(text);
		return;
	}
	memcpy(line + len, "\n", 2);
	pthread_mutex_lock(&e->lock);
	while (e->first < e->next && (e->next - e->first == KEPT || e->bytes + len + 1 > KEPT_BYTES))
		drop_first(e);
	e->lines[e->next++ % KEPT] = line;
	e->bytes += len + 1;
	pthread_mutex_unlock(&e->lock);
	e->news = true;
}

bool events_wake(struct events *e, usec_t now_us)
{
	bool beat = now_us >= e->beat_us;

	if (!e->news && !beat)
		return false;
	if (beat)
		e->beats++;
	e->news = false;
	e->beat_us = e->listeners ? now_us + QUIET_US : USEC_NEVER;
	return e->listeners > 0;
}

bool events_waiting(const struct events *e) { return e->news; }

usec_t events_deadline(const struct events *e) { return e->beat_us; }

/* --- a listener --- */

static size_t missed(struct listener *l, char *out, size_t room)
{
	uint64_t lost = l->events->first - l->next;
	int n = snprintf(out, room, "{\"event\":\"missed\",\"count\":%" PRIu64 "}\n", lost);

	if (n < 0 || (size_t)n >= room)
		return 0;
	l->next = l->events->first;
	count_n(l->events->counters, CNT_EventsMissed, lost);
	return (size_t)n;
}

static size_t take(struct listener *l, char *out, size_t room)
{
	struct events *e = l->events;
	size_t got = 0;

	if (!l->greeted) {
		static const char greeting[] = "{\"event\":\"listening\"}\n";

		if (room < sizeof greeting)
			return 0;
		memcpy(out, greeting, sizeof greeting - 1);
		got = sizeof greeting - 1;
		l->greeted = true;
	}
	while (got < room && l->next < e->next) {
		const char *line;
		size_t left, n;

		if (l->next < e->first) {
			if (l->at) {
				/* Its line went while it was half taken. */
				l->at = 0;
				out[got++] = '\n';
				continue;
			}
			n = missed(l, out + got, room - got);
			if (!n)
				break;
			got += n;
			continue;
		}
		line = e->lines[l->next % KEPT] + l->at;
		left = strlen(line);
		n = left < room - got ? left : room - got;
		memcpy(out + got, line, n);
		got += n;
		l->at += n;
		if (n == left) {
			l->at = 0;
			l->next++;
		}
	}
	if (!got && l->beats != e->beats)
		out[got++] = '\n';
	l->beats = e->beats;
	return got;
}

static size_t more(void *stream, char *out, size_t room)
{
	struct listener *l = stream;
	size_t got;

	pthread_mutex_lock(&l->events->lock);
	got = take(l, out, room);
	pthread_mutex_unlock(&l->events->lock);
	return got;
}

static void done(void *stream)
{
	struct listener *l = stream;
	struct events *e = l->events;

	pthread_mutex_lock(&e->lock);
	if (l->next < e->first) /* nobody will tell him */
		count_n(e->counters, CNT_EventsMissed, e->first - l->next);
	if (!--e->listeners) {
		e->beat_us = USEC_NEVER;
		while (e->first < e->next)
			drop_first(e);
	}
	pthread_mutex_unlock(&e->lock);
	free(l);
}

bool events_answer(struct events *e, usec_t now_us, struct http_answer *out)
{
	struct listener *l = e->listeners < LISTENERS_MAX ? calloc(1, sizeof *l) : NULL;

	if (!l) {
		count(e->counters, CNT_EventsRefused);
		return false;
	}
	pthread_mutex_lock(&e->lock);
	*l = (struct listener){ .events = e, .next = e->next, .beats = e->beats };
	pthread_mutex_unlock(&e->lock);
	e->listeners++;
	e->beat_us = usec_min(e->beat_us, now_us + QUIET_US);
	out->content_type = "application/x-ndjson";
	out->more = more;
	out->done = done;
	out->stream = l;
	return true;
}
