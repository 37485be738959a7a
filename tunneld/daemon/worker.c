/* SPDX-License-Identifier: MIT */
/*
 * Workers: threads with a daemon each, which share nothing but the config. A gateway's: the kernel brings a datagram to the worker
 * that its index names, so a client's worker, its paths and its connections are one worker's. A client's: each has its own
 * session and sockets to the gateway, and streams are placed by the first (place.c). The main thread runs the first.
 */
#include "tunneld/daemon/flow.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tunneld/io/clock.h"
#include "tunneld/io/log.h"

uint32_t worker_connections(const struct config *c)
{
	uint32_t share = (c->connections_max + c->workers - 1) / c->workers;

	return c->workers == 1 || share > c->connections_max / 2 ? c->connections_max : 2 * share;
}

static int one_open(struct daemon *first, struct daemon **at, unsigned number, int (*open)(struct daemon *w))
{
	struct daemon *w = *at = calloc(1, sizeof *w);
	int error;

	if (!w || post_open(&w->post)) {
		free(w);
		*at = NULL;
		log_line(LOG_ERROR, "worker %u: out of memory", number);
		return 1;
	}
	w->worker = number;
	w->first = first;
	w->config = first->config;
	w->connections_max = first->connections_max;
	w->events = first->events;
	w->started_us = w->now_us = first->now_us;
	if (open(w))
		return 1;
	error = loop_share(w->loop);
	if (error)
		log_line(LOG_ERROR, "worker %u: %s", number, strerror(error));
	return error != 0;
}

int worker_open_all(struct daemon *d, int (*open)(struct daemon *w))
{
	struct daemon **at = &d->next;

	for (unsigned n = 1; n < d->config->workers; n++, at = &(*at)->next)
		if (one_open(d, at, n, open))
			return 1;
	return 0;
}

static void *run(void *owner)
{
	struct daemon *w = owner;

	loop_run(w->loop);
	return NULL;
}

int worker_run_all(struct daemon *d)
{
	sigset_t all, before;
	int error = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the first's */
	for (struct daemon *w = d->next; w && !error; w = w->next) {
		error = pthread_create(&w->thread, NULL, run, w);
		w->runs = !error;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		log_line(LOG_ERROR, "a worker's thread: %s", strerror(error));
	else if (d->next)
		log_line(LOG_INFO, "%u workers", d->config->workers);
	return error != 0;
}

void worker_enter(struct daemon *w)
{
	if (w->worker)
		loop_enter(w->loop);
	w->now_us = clock_now();
}

void worker_leave(struct daemon *w)
{
	if (w->worker)
		loop_leave(w->loop);
}

void worker_ended(struct daemon *w)
{
	w->ended = true;
	loop_wake(w->first->loop);
}

bool worker_all_ended(struct daemon *d)
{
	for (struct daemon *w = d->next; w; w = w->next)
		if (w->runs && !w->ended)
			return false;
	return true;
}

void worker_close_all(struct daemon *d, void (*close)(struct daemon *w))
{
	struct daemon *w, *next;

	for (w = d->next; w; w = next) {
		next = w->next;
		if (w->runs) {
			/* After a start that failed half way they have not been told. */
			loop_enter(w->loop);
			w->ending = true;
			w->end_us = 0;
			loop_leave(w->loop);
			pthread_join(w->thread, NULL);
		}
		close(w);
	}
	d->next = NULL;
}
