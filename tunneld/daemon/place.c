/* SPDX-License-Identifier: MIT */
/*
 * A client's streams among its workers. Applications are the first's, which has the park; each new stream goes to the least loaded
 * worker that has a live path to a gateway, and is that worker's until it ends: flow, connection and socket. Between the two go
 * letters, a handful in a stream's life and none on the way of its bytes. With one worker there are none.
 */
#include "tunneld/daemon/flow.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunneld/io/clock.h"
#include "tunneld/io/log.h"

enum { BYTES_A_STREAM = 16 << 10 }; /* queued bytes that weigh as much as one more stream */

enum letter_kind {
	LETTER_GATEWAY,   /* to a worker: that gateway may be connected to */
	LETTER_CONNECT,   /* to a worker: a stream that was placed there */
	LETTER_STREAM,    /* to a worker: the application's end of it */
	LETTER_CANCEL,    /* to all workers: the application has gone */
	LETTER_OPTIONS,   /* to a worker: the application has set one on its socket */
	LETTER_FAULT,     /* to all others: what a router said of a path */
	LETTER_COMPLETE,  /* to the first: the far side is connected */
	LETTER_FAIL,      /* to the first: it is not, because of error */
	LETTER_CLOSED,    /* to the first: the application's end has been closed */
};

struct letter {
	enum letter_kind kind;
	unsigned from;
	park_id park;
	union {
		int fd;                  /* STREAM; the letter owns it */
		struct { int error; enum local_reason reason; }; /* FAIL */
		peer_id gateway;         /* GATEWAY */
		struct park_options options; /* OPTIONS */
		struct fault_word fault; /* FAULT */
		struct { struct addr to; struct park_caller who; } connect;
	};
};

/* --- the post --- */

int post_open(struct post *p)
{
	return pthread_mutex_init(&p->lock, NULL);
}

void post_close(struct post *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->letters[i].kind == LETTER_STREAM)
			close(p->letters[i].fd);
	free(p->letters);
	free(p->taken);
	pthread_mutex_destroy(&p->lock);
}

static struct letter *room(struct post *p)
{
	size_t more = p->room ? 2 * p->room : 64;
	struct letter *letters;

	if (p->count < p->room)
		return &p->letters[p->count];
	letters = reallocarray(p->letters, more, sizeof *letters);
	if (!letters)
		return NULL;
	p->letters = letters;
	p->room = more;
	return &p->letters[p->count];
}

/* False: out of memory, which is counted; a letter's fd is closed. */
static bool post(struct daemon *from, struct daemon *to, const struct letter *l)
{
	struct letter *at;

	pthread_mutex_lock(&to->post.lock);
	at = room(&to->post);
	if (at) {
		*at = *l;
		at->from = from->worker;
		to->post.count++;
		to->post.waits = true;
	}
	pthread_mutex_unlock(&to->post.lock);
	if (at) {
		loop_wake(to->loop);
		return true;
	}
	count(&from->counters, CNT_LettersLost);
	if (l->kind == LETTER_STREAM)
		close(l->fd);
	return false;
}

static struct daemon *worker_of(struct daemon *d, unsigned number)
{
	struct daemon *w = d->first;

	while (w && w->worker != number)
		w = w->next;
	return w;
}

/* --- where to --- */

static uint64_t load_of(const struct daemon *w)
{
	return w->load.streams + w->load.queued_bytes / BYTES_A_STREAM;
}

/* Of the ready and not full ones the least loaded; the first, where there is none. */
static struct daemon *least_loaded(struct daemon *d)
{
	struct daemon *best = NULL;

	for (struct daemon *w = d; w; w = w->next)
		if (w->load.ready && w->load.streams < w->connections_max && (!best || load_of(w) < load_of(best)))
			best = w;
	return best ? best : d;
}

bool place_elsewhere(struct daemon *d, park_id park, const struct addr *to, const struct park_caller *who)
{
	struct daemon *w = d->next ? least_loaded(d) : d;
	struct letter l = { .kind = LETTER_CONNECT, .park = park, .connect = { .to = *to, .who = *who } };

	if (w == d || !post(d, w, &l))
		return false;
	/* It counts from now on: the next one may come before that worker's next turn. */
	w->load.streams++;
	park_set_tag(d->park, park, (uint8_t)w->worker);
	return true;
}

void place_stream(struct daemon *d, park_id park, int fd)
{
	const struct letter l = { .kind = LETTER_STREAM, .park = park, .fd = fd };
	struct daemon *w = worker_of(d, park_tag(d->park, park));

	if (!post(d, w, &l))
		park_closed(d->park, park);
}

void place_cancel(struct daemon *d, park_id park)
{
	const struct letter l = { .kind = LETTER_CANCEL, .park = park };

	for (struct daemon *w = d->next; w; w = w->next)
		(void)post(d, w, &l);
}

void place_options(struct daemon *d, park_id park, const struct park_options *now)
{
	(void)post(d, worker_of(d, park_tag(d->park, park)), &(struct letter){ .kind = LETTER_OPTIONS, .park = park, .options = *now });
}

bool place_info(struct daemon *d, park_id park, struct local_info *out)
{
	struct daemon *w = worker_of(d, park_tag(d->park, park));
	const struct flow *f;
	bool known;

	if (w == d)
		return false;
	worker_enter(w);
	f = flow_of_park(w, park);
	known = f && flow_info(f, out);
	worker_leave(w);
	return known;
}

void place_gateway(struct daemon *d, peer_id gateway)
{
	const struct letter l = { .kind = LETTER_GATEWAY, .gateway = gateway };

	for (struct daemon *w = d->next; w; w = w->next)
		(void)post(d, w, &l);
}

void place_fault_word(struct daemon *d, const struct fault_word *word)
{
	for (struct daemon *w = d->first; w; w = w->next)
		if (w != d)
			(void)post(d, w, &(struct letter){ .kind = LETTER_FAULT, .fault = *word });
}

/* --- the application's end, wherever the park is --- */

bool application_complete(struct daemon *d, park_id park, int *fd)
{
	if (d->park)
		return park_complete(d->park, park, fd);
	(void)post(d, d->first, &(struct letter){ .kind = LETTER_COMPLETE, .park = park });
	return false;
}

void application_fail(struct daemon *d, park_id park, int error, enum local_reason reason)
{
	if (d->park)
		park_unable(d->park, park, error, reason);
	else
		(void)post(d, d->first, &(struct letter){ .kind = LETTER_FAIL, .park = park, .error = error, .reason = reason });
}

void application_closed(struct daemon *d, park_id park)
{
	if (d->park)
		park_closed(d->park, park);
	else
		(void)post(d, d->first, &(struct letter){ .kind = LETTER_CLOSED, .park = park });
}

/* --- letters are read --- */

static void on_connect(struct daemon *d, const struct letter *l)
{
	/* flow_new() counts it again. */
	d->load.streams--;
	if (d->ending) {
		application_fail(d, l->park, ENETUNREACH, LOCAL_ENDING);
		return;
	}
	flow_connect(d, d->engine, l->park, &l->connect.to, &l->connect.who);
}

/* Nobody here waits for it any more: the application hears a reset. */
void place_stray(struct daemon *d, park_id park, int fd)
{
	static const struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(fd);
	application_closed(d, park);
}

static void read_letter(struct daemon *d, const struct letter *l)
{
	int fd;

	switch (l->kind) {
	case LETTER_GATEWAY:
		net_join_gateway(d, l->gateway);
		break;
	case LETTER_CONNECT:
		on_connect(d, l);
		break;
	case LETTER_STREAM:
		flow_streams(d, l->park, l->fd);
		break;
	case LETTER_CANCEL:
		flow_cancel(d, l->park);
		break;
	case LETTER_OPTIONS:
		flow_options(d, l->park, &l->options);
		break;
	case LETTER_FAULT:
		fault_word(d, &l->fault);
		break;
	case LETTER_COMPLETE:
		if (park_complete(d->park, l->park, &fd))
			place_stream(d, l->park, fd);
		/* Else on_park_stream() or on_park_cancel() comes, or it is over. */
		break;
	case LETTER_FAIL:
		park_unable(d->park, l->park, l->error, l->reason);
		break;
	case LETTER_CLOSED:
		park_closed(d->park, l->park);
		break;
	}
}

void place_turn(struct daemon *d)
{
	struct post *p = &d->post;
	struct letter *letters;
	size_t n, swap;

	if (!d->first->next || !p->waits)
		return;
	pthread_mutex_lock(&p->lock);
	letters = p->letters;
	n = p->count;
	p->letters = p->taken;
	p->taken = letters;
	swap = p->room;
	p->room = p->taken_room;
	p->taken_room = swap;
	p->count = 0;
	p->waits = false;
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < n; i++)
		read_letter(d, &letters[i]);
}

void place_tell_load(struct daemon *d)
{
	peer_id gateway;

	if (!d->config->client || !d->first->next)
		return;
	d->load.queued_bytes = engine_memory_used(d->engine);
	d->load.ready = !d->ending && net_gateway(d, &gateway);
}
