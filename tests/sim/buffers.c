/* SPDX-License-Identifier: MIT */
#include "tests/sim/buffers.h"

#include <string.h>

#include "tests/sim/sim.h"

enum { PATHS = 2, QUEUE_MS = 50, MB = 1 << 20, KB = 1 << 10 };
_Static_assert(sizeof ((struct buffers *)0)->at_mark / sizeof(uint64_t) == STREAMS_MAX, "a place for each stream");
_Static_assert(sizeof ((struct buffers *)0)->memory_end / sizeof(uint64_t) == HOSTS_MAX, "a place for each engine");

struct clause {
	const char *name;
	struct { unsigned mbit, delay_ms; } path[PATHS];
	uint64_t memory[2];      /* the gateway's engine, the client's; 0: 256 MiB */
	unsigned streams, late;  /* so many at once, one if 0; and so many of them only at mark_s - 2 */
	uint64_t total;          /* of each, from the server; 0: more than there is time for */
	uint32_t loss_ppm;       /* of both paths */
	unsigned stall_ms;       /* the client's readers stop so long, now and then */
	bool never_read;         /* the first half of them never do */
	bool stop_reading;       /* or some megabytes later no more; then the others come */
	unsigned run_s, mark_s;  /* 0: from its open to its orderly end */
	/* What must be seen. 0: not looked at. */
	double share, jain;      /* from the mark on, at least */
	uint64_t snd_least, snd_most, rcv_least, rcv_most; /* the largest that they were */
	uint64_t used_least;     /* memory of the gateway's engine, at its most */
	uint64_t held_most;      /* of one stream: what the server has written and the client has not read, at its most */
	bool given_back;         /* at the end no engine holds a byte, and all connections are open */
};

/*
 * 125 KB/s a Mbit/s. The product of 50 + 50 Mbit/s and 200 ms is 2.5 MB: a buffer that is below keeps the links from being
 * full. Twice of it is asked for by RFC 6182 5.3, four times where something is lost, as when slow start meets a queue of 50 ms.
 */
static const struct clause clauses[] = {
	{ .name = "they follow all paths: 50M 10ms + 50M 200ms", .path = { { 50, 5 }, { 50, 100 } }, .run_s = 20, .mark_s = 10,
	  .share = 0.90, .snd_least = 2500 * KB, .snd_most = 20 * MB, .rcv_least = 2500 * KB, .rcv_most = 16 * MB },
	{ .name = "they follow all paths: 80M 20ms + 20M 200ms, 1% loss", .path = { { 80, 10 }, { 20, 100 } }, .loss_ppm = 10000,
	  .run_s = 20, .mark_s = 4, .share = 0.93, .snd_most = 20 * MB },
	{ .name = "they follow all paths: 20M 20ms + 20M 20ms", .path = { { 20, 10 }, { 20, 10 } }, .run_s = 10, .mark_s = 4,
	  .share = 0.90, .snd_most = 1 * MB, .rcv_most = 2 * MB },
	{ .name = "they follow all paths: 300M 40ms + 5M 40ms", .path = { { 300, 20 }, { 5, 20 } }, .run_s = 10, .mark_s = 4,
	  .share = 0.88, .snd_least = 1500 * KB, .snd_most = 12 * MB, .rcv_least = 1500 * KB, .rcv_most = 16 * MB },
	{ .name = "within the sender's memory", .path = { { 100, 100 }, { 100, 100 } }, .memory = { 4 * MB, 0 }, .streams = 30,
	  .run_s = 12, .mark_s = 4, .jain = 0.8, .used_least = 2 * MB },
	{ .name = "within the receiver's memory", .path = { { 100, 50 }, { 100, 50 } }, .memory = { 0, 4 * MB }, .streams = 30,
	  .run_s = 12, .mark_s = 4, .jain = 0.8 },
	{ .name = "fair: who comes late has as much", .path = { { 50, 20 }, { 50, 20 } }, .memory = { 2 * MB, 2 * MB }, .streams = 24,
	  .late = 12, .run_s = 20, .mark_s = 10, .share = 0.85, .jain = 0.8 },
	{ .name = "fair: beside streams that nobody reads", .path = { { 50, 20 }, { 50, 20 } }, .memory = { 2 * MB, 2 * MB },
	  .streams = 24, .never_read = true, .run_s = 40, .mark_s = 10, .share = 0.50, .jain = 0.9 },
	{ .name = "fair: beside streams that are no longer read", .path = { { 100, 20 }, { 100, 20 } }, .memory = { 0, 3 * MB },
	  .streams = 24, .stop_reading = true, .late = 12, .run_s = 15, .mark_s = 6, .share = 0.45, .jain = 0.8 },
	{ .name = "a reader that stops holds the writer back", .path = { { 100, 5 }, { 50, 20 } }, .never_read = true, .streams = 1,
	  .run_s = 30, .mark_s = 5, .held_most = 2 * MB },
	{ .name = "held back again and again, and never aborted", .path = { { 50, 5 }, { 50, 20 } }, .memory = { 1 * MB, 1 * MB },
	  .streams = 20, .total = 3 * MB, .stall_ms = 3000 },
	{ .name = "given back when idle", .path = { { 100, 5 }, { 50, 50 } }, .streams = 20, .total = 3 * MB, .run_s = 20, .mark_s = 5,
	  .given_back = true },
};

/* --- seen --- */

void buffers_watch(struct host *h)
{
	struct world *w = h->world;
	struct buffers *b = &w->buffers;
	struct engine_stats stats;
	struct conn_info info;

	if (!b->marked && w->now_us >= w->plan->mark_us) {
		b->marked = true;
		for (unsigned i = 0; i < w->plan->streams; i++)
			b->at_mark[i] = w->streams[i].client.offered;
	}
	engine_stats(h->engine, &stats);
	if (stats.memory_used > b->memory_most[h->number])
		b->memory_most[h->number] = stats.memory_used;
	for (conn_id c = engine_next_conn(h->engine, 0); c; c = engine_next_conn(h->engine, c)) {
		if (engine_conn_info(h->engine, c, &info) != ERR_OK)
			continue;
		b->snd_most = info.snd_buffer > b->snd_most ? info.snd_buffer : b->snd_most;
		b->rcv_most = info.rcv_wnd > b->rcv_most ? info.rcv_wnd : b->rcv_most;
	}
}

void buffers_collect(struct world *w, struct result *out)
{
	out->buffers = w->buffers;
	for (unsigned i = 0; i <= w->plan->clients; i++) {
		struct engine_stats stats;

		engine_stats(w->hosts[i].engine, &stats);
		out->buffers.memory_end[i] = stats.memory_used;
	}
	for (unsigned i = 0; i < w->plan->streams; i++) {
		const struct stream *s = &w->streams[i];

		if (s->gateway[0].written - s->client.consumed > out->held_most)
			out->held_most = s->gateway[0].written - s->client.consumed;
	}
}

/* --- played --- */

static bool reads(const struct clause *c, unsigned stream)
{
	return !(c->never_read || c->stop_reading) || stream >= (c->streams + 1) / 2;
}

static void plan_of(struct plan *p, const struct clause *c)
{
	*p = (struct plan){ .clients = 1, .bench = c->run_s, .heard_is_up = true, .check_every = 1000, .watch_buffers = true,
			    .small_memory = c->memory[0] || c->memory[1],
			    .must_complete = true };
	for (unsigned i = 0; i < 2; i++) {
		struct engine_config *e = i ? &p->client_engine : &p->gateway_engine;

		*e = plan_engine(!i);
		e->memory_max = c->memory[i] ? c->memory[i] : 256 * MB;
	}
	for (unsigned i = 0; i < PATHS; i++) {
		struct link_config l = { .rate = c->path[i].mbit * UINT64_C(125000), .delay_us = c->path[i].delay_ms * USEC_PER_MS,
					 .loss_ppm = c->loss_ppm, .mtu = 1500 };

		l.queue_bytes = (uint32_t)(l.rate * QUEUE_MS / 1000);
		p->path[0][i] = (struct path_plan){ .up = l, .down = l };
		p->paths[0]++;
	}
	p->mark_us = (1 + c->mark_s) * USEC_PER_S;
	p->stop_us = (1 + c->run_s) * USEC_PER_S;
	p->streams = c->streams ? c->streams : 1;
	for (unsigned k = 0; k < p->streams; k++) {
		struct stream_plan *s = &p->stream[k];

		s->open_us = k < p->streams - c->late ? USEC_PER_S + k * 10 * USEC_PER_MS : p->mark_us - 2 * USEC_PER_S;
		s->dial = OPEN_OK;
		for (unsigned i = 0; i < 2; i++)
			s->ends[i] = (struct end_plan){ .write_max = 65536, .read_max = 1 << 30, .abort_us = USEC_NEVER,
							.shut_after_eof = c->run_s };
		s->ends[1].total = c->total ? c->total : UINT64_C(1) << 40;
		if (!reads(c, k)) {
			s->ends[0].read_max = c->never_read ? 1 : 64 * KB;
			s->ends[0].stall_ppm = c->never_read ? 1000000 : 3000;
			s->ends[0].stall_us = 3600 * USEC_PER_S;
		} else if (c->stall_ms) {
			s->ends[0].read_max = 64 * KB;
			s->ends[0].stall_ppm = 50000;
			s->ends[0].stall_us = c->stall_ms * USEC_PER_MS;
		}
	}
}

/* --- judged --- */

/* Of what those who read got since the mark: the share of the links, and how evenly. */
static void shares_of(const struct clause *c, const struct plan *p, const struct result *r, double *share, double *jain)
{
	double sum = 0, squares = 0, rate = 0;
	unsigned count = 0;

	for (unsigned i = 0; i < p->streams; i++) {
		double got = (double)(r->delivered_stream[i] - r->buffers.at_mark[i]);

		if (!reads(c, i))
			continue;
		sum += got;
		squares += got * got;
		count++;
	}
	for (unsigned i = 0; i < p->paths[0]; i++)
		rate += (double)p->path[0][i].down.rate;
	*share = sum / ((double)(p->stop_us - p->mark_us) / 1e6) / rate;
	*jain = squares > 0 ? sum * sum / squares / count : 0;
}

static void judge(const struct clause *c, const struct plan *p, struct result *r)
{
	const struct buffers *b = &r->buffers;
	const char *wrong = NULL;
	double share = 0, jain = 0;

	if (c->run_s)
		shares_of(c, p, r, &share, &jain);
	if (c->run_s && r->connections != 2 * p->streams)
		wrong = "a stream was not opened, or was ended";
	else if (share < c->share || jain < c->jain)
		wrong = "too little, or not fairly";
	else if (b->snd_most < c->snd_least || b->rcv_most < c->rcv_least)
		wrong = "a buffer did not grow";
	else if ((c->snd_most && b->snd_most > c->snd_most) || (c->rcv_most && b->rcv_most > c->rcv_most))
		wrong = "a buffer grew too far";
	else if (b->memory_most[HOST_GATEWAY] < c->used_least)
		wrong = "memory was not made use of";
	else if (c->held_most && r->held_most > c->held_most)
		wrong = "the writer was not held back";
	else if (c->given_back && b->memory_end[0] + b->memory_end[1])
		wrong = "memory was not given back";
	if (!wrong)
		return;
	r->failed = true;
	snprintf(r->failure, sizeof r->failure, "%s: share %.3f, Jain %.3f, send buffer %llu, window %llu, memory at most %llu and %llu, "
		 "at the end %llu and %llu, held back at %llu; %u connections", wrong, share, jain, (unsigned long long)b->snd_most,
		 (unsigned long long)b->rcv_most, (unsigned long long)b->memory_most[0], (unsigned long long)b->memory_most[1],
		 (unsigned long long)b->memory_end[0], (unsigned long long)b->memory_end[1], (unsigned long long)r->held_most, r->connections);
}

unsigned buffers_run(const char *only)
{
	unsigned passed = 0, failed = 0;

	for (size_t i = 0; i < sizeof clauses / sizeof *clauses; i++) {
		const struct clause *c = &clauses[i];
		struct result r;
		struct plan p;

		if (only && strncmp(only, c->name, strlen(only)))
			continue;
		plan_of(&p, c);
		world_run(&p, 1 + i, NULL, &r);
		if (!r.failed)
			judge(c, &p, &r);
		failed += r.failed;
		passed += !r.failed;
		if (r.failed)
			printf("seed %zu, buffers \"%s\": %s\n", 1 + i, c->name, r.failure);
		fflush(stdout);
	}
	printf("buffers: %u passed, %u failed\n", passed, failed);
	return failed;
}
