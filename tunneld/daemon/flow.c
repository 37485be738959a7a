/* SPDX-License-Identifier: MIT */
/*
 * Local streams: applications or destinations on one side, the engine's connections on the other. Bytes wait in the kernel or in
 * the engine, never here: reads go straight into the engine's pages, writes straight out of them.
 */
#include "tunneld/daemon/flow.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tunneld/io/clock.h"
#include "tunneld/io/log.h"
#include "tunneld/daemon/verdict.h"

#define TEXT(a) addr_print((a), (char[ADDR_TEXT_MAX]){ 0 })

enum {
	READ_LEAST = 16 << 10, READ_MOST = 256 << 10,
	STRETCHES = 17, /* READ_MOST in the engine's pages, the first begun already */
};

/* --- the table --- */

void flow_is(struct daemon *d, struct flow *f, enum flow_state now)
{
	d->flow_states[f->state]--;
	d->flow_states[now]++;
	f->state = now;
}

/* One more of all workers together; true: it is counted. */
static bool within_limit(struct daemon *d)
{
	if (d->config->workers == 1)
		return true; /* the table is the limit */
	if (atomic_fetch_add(&d->first->connections, 1) < d->config->connections_max)
		return true;
	d->first->connections--;
	return false;
}

struct flow *flow_new(struct daemon *d, struct engine *engine, enum flow_state as, const struct addr *destination)
{
	struct flow *f = d->free_flow;
	uint32_t index, generation;

	if (!f || !within_limit(d)) {
		count(&d->counters, CNT_FlowsFull);
		return NULL;
	}
	d->free_flow = f->next;
	index = f->index;
	generation = f->generation + 1;
	*f = (struct flow){ .daemon = d, .engine = engine, .index = index, .generation = generation ? generation : 1, .destination = *destination };
	f->stream.fd = f->dial.fd = -1;
	f->since_us = d->now_us;
	f->give_up_us = USEC_NEVER;
	flow_is(d, f, as);
	d->flow_count++;
	return f;
}

uint64_t flow_host(const struct flow *f) { return (uint64_t)f->generation << 32 | f->index; }

static struct flow *flow_of_host(struct daemon *d, uint64_t host)
{
	uint32_t index = (uint32_t)host;
	struct flow *f = index < d->connections_max ? &d->flows[index] : NULL;

	return f && f->state != FLOW_FREE && flow_host(f) == host ? f : NULL;
}

static struct flow **park_bucket(struct daemon *d, park_id park)
{
	return &d->by_park[(park * UINT64_C(0x9e3779b97f4a7c15) >> 32) & d->by_park_mask];
}

struct flow *flow_of_park(struct daemon *d, park_id park)
{
	struct flow *f = *park_bucket(d, park);

	while (f && f->park != park)
		f = f->next;
	return f;
}

void flow_park_known(struct daemon *d, struct flow *f, park_id park)
{
	struct flow **b = park_bucket(d, park);

	f->park = park;
	f->next = *b;
	*b = f;
	d->load.streams++;
}

/* What it holds outside has been dealt with. */
void flow_free(struct daemon *d, struct flow *f)
{
	assert(f->state != FLOW_FREE && f->stream.fd < 0 && f->dial.fd < 0);
	if (f->park) {
		struct flow **at = park_bucket(d, f->park);

		while (*at != f)
			at = &(*at)->next;
		*at = f->next;
		d->load.streams--;
	}
	flow_is(d, f, FLOW_FREE);
	f->next = d->free_flow;
	d->free_flow = f;
	d->flow_count--;
	if (d->config->workers > 1)
		d->first->connections--;
}

enum err flow_event(struct flow *f, struct event *ev) { return engine_input(f->engine, ev, f->daemon->now_us); }

/* Who is at the other end, for a log line. */
const char *flow_peer_text(const struct flow *f)
{
	return f->engine == f->daemon->engine ? f->daemon->peers[f->peer].name : "plain";
}

/* --- ends --- */

static void engine_end(struct flow *f, enum event_kind how)
{
	struct event ev = { .kind = how, .conn = f->conn };

	if (f->conn)
		(void)flow_event(f, &ev);
	f->conn = 0;
}

void flow_engine_abort(struct flow *f) { engine_end(f, EV_ABORT); }

/* The local side goes by RST, or fails its connect; the engine's side is dead already. */
void flow_local_reset(struct daemon *d, struct flow *f, enum open_result why)
{
	if (f->dial.fd >= 0)
		dial_cancel(&f->dial);
	if (f->stream.fd >= 0) {
		stream_reset(&f->stream);
		if (f->park)
			application_closed(d, f->park);
	} else if (f->park) {
		count(&d->counters, CNT_ConnectsFailed);
		application_fail(d, f->park, verdict_errno(why), LOCAL_NO_REASON);
	}
	flow_free(d, f);
}

/* --- bytes --- */

static size_t iovecs(struct iovec *iov, const struct stretch *from, unsigned count)
{
	size_t total = 0;

	for (unsigned i = 0; i < count; i++) {
		iov[i] = (struct iovec){ from[i].bytes, from[i].len };
		total += from[i].len;
	}
	return total;
}

/*
 * One read of at most want bytes into the engine's own pages: *n of them, of *total that there was room for. Without room
 * (*total is 0) nothing is read, and ACT_ROOM comes when there is some again.
 */
static enum stream_result read_bytes(struct flow *f, uint32_t want, size_t *n, size_t *total)
{
	struct event ev = { .kind = EV_WRITE, .write = { .conn = f->conn } };
	struct stretch space[STRETCHES];
	struct iovec iov[STRETCHES];
	unsigned count = engine_write_space(f->engine, f->conn, space, STRETCHES, want);
	enum stream_result r;

	*n = *total = 0;
	if (!count)
		return STREAM_AGAIN;
	*total = iovecs(iov, space, count);
	r = stream_readv(&f->stream, iov, count, n);
	ev.write.len = *n;
	(void)flow_event(f, &ev); /* also where there was nothing: the pages go back */
	f->bytes_in += *n;
	return r;
}

/*
 * The local side is dead already, by RST. What it had sent before is in its socket still, and goes first: often it says why
 * (an HTTP server that refuses an upload answers, and closes without reading the rest).
 */
static void stream_died(struct daemon *d, struct flow *f)
{
	size_t n, total;

	while (!f->read_ended && f->conn && read_bytes(f, READ_MOST, &n, &total) == STREAM_OK)
		;
	count(&d->counters, CNT_StreamsReset);
	stream_close(&f->stream);
	if (f->park)
		application_closed(d, f->park);
	engine_end(f, EV_ABORT_AFTER);
	flow_free(d, f);
}

/* Engine to application, as far as it takes them. False: f is no more. */
static bool deliver(struct daemon *d, struct flow *f)
{
	struct stretch waiting[STRETCHES];
	struct iovec iov[STRETCHES];
	unsigned count;

	while ((count = engine_readable_stretches(f->engine, f->conn, waiting, STRETCHES))) {
		struct event ev = { .kind = EV_CONSUMED, .consumed = { .conn = f->conn } };
		size_t total = iovecs(iov, waiting, count), n;
		enum stream_result r = stream_writev(&f->stream, iov, count, &n);

		if (r == STREAM_RESET) {
			stream_died(d, f);
			return false;
		}
		if (n) {
			f->bytes_out += n;
			ev.consumed.len = n;
			(void)flow_event(f, &ev);
		}
		if (n < total) {
			f->full = true;
			stream_want_write(&f->stream, true);
			return true;
		}
	}
	f->full = false;
	stream_want_write(&f->stream, false);
	return true;
}

/* One read, of at most share bytes. False: no more to read now, or f is no more. */
static bool read_once(struct daemon *d, struct flow *f, size_t share)
{
	uint32_t most = f->read_bytes ? f->read_bytes : READ_LEAST, want = most < share ? most : (uint32_t)share;
	struct event ev;
	size_t n, total;

	switch (read_bytes(f, want, &n, &total)) {
	case STREAM_AGAIN:
		if (!total)
			stream_want_read(&f->stream, false);
		return false;
	case STREAM_RESET:
		stream_died(d, f);
		return false;
	case STREAM_EOF:
		f->read_ended = true;
		stream_want_read(&f->stream, false);
		ev = (struct event){ .kind = EV_SHUTDOWN, .conn = f->conn };
		(void)flow_event(f, &ev);
		return false;
	case STREAM_OK:
		break;
	}
	if (n == total) {
		f->read_bytes = want * 2 < READ_MOST ? want * 2 : READ_MOST;
		return true;
	}
	/* Less than there was room for: the socket is empty. If it is not by now, the loop says so. */
	if (n < want / 4)
		f->read_bytes = want / 2 > READ_LEAST ? want / 2 : READ_LEAST;
	return false;
}

/* Application to engine, while there is room and it is its turn. */
static void on_readable(void *owner, size_t share)
{
	struct flow *f = owner;
	struct daemon *d = f->daemon;
	uint64_t before = f->bytes_in;

	d->now_us = clock_now();
	while (f->bytes_in - before < share && read_once(d, f, share))
		;
}

static void on_writable(void *owner)
{
	struct flow *f = owner;

	f->daemon->now_us = clock_now();
	(void)deliver(f->daemon, f);
}

static void on_reset(void *owner)
{
	struct flow *f = owner;

	f->daemon->now_us = clock_now();
	stream_died(f->daemon, f);
}

const struct stream_events flow_stream_events = { .readable = on_readable, .writable = on_writable, .reset = on_reset };

/* The local side is connected by fd. */
void flow_opened(struct daemon *d, struct flow *f, int fd)
{
	int error = stream_open(&f->stream, &d->streams, fd, f);

	if (error) {
		log_line(LOG_WARN, "%s: %s", TEXT(&f->destination), strerror(error));
		flow_engine_abort(f);
		if (f->park)
			application_closed(d, f->park);
		flow_free(d, f);
		return;
	}
	flow_is(d, f, FLOW_OPEN);
	f->give_up_us = USEC_NEVER;
	if (deliver(d, f) && f->eof_waits) {
		f->write_ended = true;
		stream_end_writing(&f->stream);
	}
}

/* --- from the engine --- */

/* While it dials the engine does not know our name for it. */
static struct flow *flow_of_action(struct daemon *d, const struct engine *from, const struct action *act)
{
	struct flow *f = flow_of_host(d, act->host);

	if (f && f->conn == act->conn && f->engine == from)
		return f;
	for (uint32_t i = 0; d->flow_states[FLOW_DIALLING] && i < d->connections_max; i++)
		if (d->flows[i].state == FLOW_DIALLING && d->flows[i].conn == act->conn && d->flows[i].engine == from)
			return &d->flows[i];
	return NULL;
}

void flow_action(struct daemon *d, struct engine *from, const struct action *act)
{
	struct flow *f;

	if (act->kind == ACT_DIAL) {
		flow_dial(d, from, act);
		return;
	}
	f = flow_of_action(d, from, act);
	if (!f)
		return; /* ended here while the engine was telling */
	switch (act->kind) {
	case ACT_OPENED:
		flow_connected(d, f, act);
		break;
	case ACT_DATA:
		/* Without a reader the offer stays unanswered; deliver() finds the bytes when there is one. */
		if (f->state == FLOW_OPEN && !f->full)
			(void)deliver(d, f);
		break;
	case ACT_EOF:
		if (f->state == FLOW_OPEN) {
			f->write_ended = true;
			stream_end_writing(&f->stream);
		} else {
			f->eof_waits = true;
		}
		break;
	case ACT_ROOM:
		if (f->state == FLOW_OPEN && !f->read_ended)
			stream_want_read(&f->stream, true);
		break;
	case ACT_OPTIONS:
		flow_dial_options(f, &act->options);
		break;
	case ACT_RESET:
		f->conn = 0;
		flow_local_reset(d, f, act->reset.why == OPEN_OK ? OPEN_RESET : act->reset.why);
		break;
	case ACT_CLOSED:
		f->conn = 0;
		if (f->state != FLOW_OPEN) {
			flow_local_reset(d, f, OPEN_RESET);
			break;
		}
		stream_close(&f->stream);
		if (f->park)
			application_closed(d, f->park);
		flow_free(d, f);
		break;
	case ACT_SEND:
	case ACT_DIAL:
	case ACT_PORT_FREE:
	case ACT_PROBE:
		break; /* not about a stream */
	}
}

/* --- time, ends --- */

void flow_time(struct daemon *d)
{
	usec_t next = USEC_NEVER;

	if (d->now_us < d->waiting_deadline_us)
		return;
	for (uint32_t i = 0; i < d->connections_max && d->flow_states[FLOW_WAITING]; i++) {
		struct flow *f = &d->flows[i];

		if (f->state != FLOW_WAITING)
			continue;
		if (d->now_us >= f->give_up_us)
			flow_local_reset(d, f, OPEN_TIMED_OUT);
		else
			next = usec_min(next, f->give_up_us);
	}
	d->waiting_deadline_us = next;
}

void flow_abort_peer(struct daemon *d, peer_id peer)
{
	for (uint32_t i = 0; i < d->connections_max; i++) {
		struct flow *f = &d->flows[i];

		if (f->state == FLOW_FREE || f->state == FLOW_WAITING || f->peer != peer || f->engine != d->engine)
			continue;
		flow_engine_abort(f);
		/* Not yet answered: a kernel would have gone on sending its SYN. */
		if (f->state == FLOW_OPENING)
			flow_wait(d, f);
		else
			flow_local_reset(d, f, OPEN_RESET);
	}
}

void flow_abort_every(struct daemon *d)
{
	for (uint32_t i = 0; i < d->connections_max; i++) {
		if (d->flows[i].state == FLOW_FREE)
			continue;
		flow_engine_abort(&d->flows[i]);
		flow_local_reset(d, &d->flows[i], OPEN_REFUSED);
	}
}

void flow_stop_accepting(struct daemon *d)
{
	for (uint32_t i = 0; i < d->connections_max; i++) {
		struct flow *f = &d->flows[i];

		if (f->state != FLOW_WAITING && f->state != FLOW_OPENING && f->state != FLOW_DIALLING)
			continue;
		flow_engine_abort(f);
		if (f->park) {
			count(&d->counters, CNT_ConnectsFailed);
			application_fail(d, f->park, ENETUNREACH, LOCAL_ENDING);
			flow_free(d, f);
		} else {
			/* Refused, as by a machine that shuts down. */
			flow_local_reset(d, f, OPEN_REFUSED);
		}
	}
}

int flow_open_all(struct daemon *d)
{
	uint32_t n = d->connections_max, buckets = 64;
	int error;

	while (buckets < n)
		buckets *= 2;
	d->flows = calloc(n, sizeof *d->flows);
	d->by_park = calloc(buckets, sizeof *d->by_park);
	if (!d->flows || !d->by_park) {
		log_line(LOG_ERROR, "out of memory for %u connections", n);
		return 1;
	}
	d->by_park_mask = buckets - 1;
	for (uint32_t i = n; i--;) {
		d->flows[i].index = i;
		d->flows[i].daemon = d;
		d->flows[i].stream.fd = d->flows[i].dial.fd = -1;
		d->flows[i].next = d->free_flow;
		d->free_flow = &d->flows[i];
	}
	d->flow_states[FLOW_FREE] = n;
	d->waiting_deadline_us = USEC_NEVER;
	error = stream_set_open(&d->streams, d->loop, &flow_stream_events);
	if (error) {
		log_line(LOG_ERROR, "epoll: %s", strerror(error));
		return 1;
	}
	return d->config->client && !d->worker ? flow_park_open(d) : 0;
}

void flow_close_all(struct daemon *d)
{
	if (d->park)
		park_free(d->park);
	if (d->streams.watch.loop)
		stream_set_close(&d->streams);
	free(d->flows);
	free(d->by_park);
}
