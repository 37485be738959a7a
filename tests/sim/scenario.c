/* SPDX-License-Identifier: MIT */
#include "tests/sim/scenario.h"

#include <string.h>

#include "tests/sim/sim.h"

enum { RUN_S = 20 };

struct side { unsigned mbit, delay_ms, loss_ppm, dead_from_ms, dead_until_ms; bool backup; unsigned jitter_ms; };
struct scenario {
	const char *name;
	bool upload;
	struct side path[PATHS_MAX];
	unsigned trickle_bytes;  /* not 0: a message of so many bytes every trickle_ms in place of a bulk transfer */
	unsigned trickle_ms;
	unsigned streams;        /* at once; 0: one */
	unsigned run_s;          /* 0: RUN_S */
	unsigned seeds;          /* 0: one; else the share is their mean: where luck decides much of one run */
	double share, jain;      /* at least these, or it fails: the time is virtual, and every run the same */
};

/* mbit, one-way delay, loss, silent from..until */
static const struct scenario scenarios[] = {
	{ .name = "one 100M 10ms",                 .path = { { 100, 5, 0, 0, 0, false, 0 } }, .share = 0.93 },
	{ .name = "100M 10ms + 50M 40ms",          .path = { { 100, 5, 0, 0, 0, false, 0 }, { 50, 20, 0, 0, 0, false, 0 } }, .share = 0.93 },
	{ .name = "100M 10ms + 50M 40ms upload",   .path = { { 100, 5, 0, 0, 0, false, 0 }, { 50, 20, 0, 0, 0, false, 0 } }, .upload = true, .share = 0.93 },
	{ .name = "80M 20ms + 20M 200ms",          .path = { { 80, 10, 0, 0, 0, false, 0 }, { 20, 100, 0, 0, 0, false, 0 } }, .share = 0.91 },
	{ .name = "40M 20ms + 20M 60ms",           .path = { { 40, 10, 0, 0, 0, false, 0 }, { 20, 30, 0, 0, 0, false, 0 } }, .share = 0.92 },
	{ .name = "four 25M 10..80ms",             .path = { { 25, 5, 0, 0, 0, false, 0 }, { 25, 10, 0, 0, 0, false, 0 }, { 25, 20, 0, 0, 0, false, 0 }, { 25, 40, 0, 0, 0, false, 0 } }, .share = 0.90 },
	{ .name = "500M 2ms + 500M 4ms",           .path = { { 500, 1, 0, 0, 0, false, 0 }, { 500, 2, 0, 0, 0, false, 0 } }, .share = 0.93 },
	{ .name = "100M 10ms + 50M 40ms, 0.1% loss", .path = { { 100, 5, 1000, 0, 0, false, 0 }, { 50, 20, 1000, 0, 0, false, 0 } }, .share = 0.92 },
	{ .name = "100M 10ms + 50M 40ms, 1% loss", .path = { { 100, 5, 10000, 0, 0, false, 0 }, { 50, 20, 10000, 0, 0, false, 0 } }, .share = 0.85 },
	{ .name = "100M 10ms silent at 2s, + 50M 40ms", .path = { { 100, 5, 0, 2000, 0, false, 0 }, { 50, 20, 0, 0, 0, false, 0 } } },
	{ .name = "100M 10ms + 50M 40ms silent at 2s",  .path = { { 100, 5, 0, 0, 0, false, 0 }, { 50, 20, 0, 2000, 0, false, 0 } } },
	{ .name = "100M 10ms silent 2s..6s, + 50M 40ms", .path = { { 100, 5, 0, 2000, 6000, false, 0 }, { 50, 20, 0, 0, 0, false, 0 } } },
	{ .name = "200B every 20ms, 100M silent at 2s, + 50M backup", .path = { { 100, 5, 0, 2000, 0, false, 0 }, { 50, 20, 0, 0, 0, true, 0 } }, .trickle_bytes = 200, .trickle_ms = 20 },
	{ .name = "200B every 20ms, 30% loss at 2s.. on 100M, + 50M backup", .path = { { 100, 5, 300000, 0, 0, false, 0 }, { 50, 20, 0, 0, 0, true, 0 } }, .trickle_bytes = 200, .trickle_ms = 20 },
	{ .name = "200B every 20ms up, 10% loss on 100M 20ms, + 50M 20ms backup", .upload = true, .path = { { 100, 10, 100000, 0, 0, false, 0 }, { 50, 10, 0, 0, 0, true, 0 } }, .trickle_bytes = 200, .trickle_ms = 20 },
	{ .name = "200B every 20ms up, 30% loss on 100M 20ms, + 50M 20ms backup", .upload = true, .path = { { 100, 10, 300000, 0, 0, false, 0 }, { 50, 10, 0, 0, 0, true, 0 } }, .trickle_bytes = 200, .trickle_ms = 20 },
	{ .name = "200B every 20ms up, 50% loss on 100M 20ms, + 50M 20ms backup", .upload = true, .path = { { 100, 10, 500000, 0, 0, false, 0 }, { 50, 10, 0, 0, 0, true, 0 } }, .trickle_bytes = 200, .trickle_ms = 20 },
	{ .name = "200B every 20ms, 100M 100ms silent at 2s, + 50M 100ms backup", .path = { { 100, 50, 0, 2000, 0, false, 0 }, { 50, 50, 0, 0, 0, true, 0 } }, .trickle_bytes = 200, .trickle_ms = 20 },
	{ .name = "10 streams, 100M 10ms + 50M 40ms",  .path = { { 100, 5, 0, 0, 0, false, 0 }, { 50, 20, 0, 0, 0, false, 0 } }, .streams = 10, .share = 0.93, .jain = 0.9 },
	{ .name = "40 streams, 100M 10ms + 50M 40ms",  .path = { { 100, 5, 0, 0, 0, false, 0 }, { 50, 20, 0, 0, 0, false, 0 } }, .streams = 40, .share = 0.90, .jain = 0.9 },
	{ .name = "10 streams, one 100M 10ms",         .path = { { 100, 5, 0, 0, 0, false, 0 } }, .streams = 10, .share = 0.93, .jain = 0.9 },
	{ .name = "40 streams, one 20M 20ms",          .path = { { 20, 10, 0, 0, 0, false, 0 } }, .streams = 40, .share = 0.90, .jain = 0.9 },
	/* The beginning alone: round trips that differ must not look like a queue. */
	{ .name = "40M 20ms + 20M 60ms, first 2 s",          .path = { { 40, 10, 0, 0, 0, false, 0 }, { 20, 30, 0, 0, 0, false, 0 } }, .run_s = 2, .share = 0.80 },
	{ .name = "1000M 1ms + 1000M 1ms, first 1 s",            .path = { { 1000, 1, 0, 0, 0, false, 0 }, { 1000, 1, 0, 0, 0, false, 0 } }, .run_s = 1, .share = 0.80 },
	{ .name = "one 100M 10ms, jitter 20 ms, first 2 s",  .path = { { 100, 5, 0, 0, 0, false, .jitter_ms = 20 } }, .run_s = 2, .seeds = 25, .share = 0.35 },
	{ .name = "one 20M 60ms, jitter 30 ms, first 2 s",   .path = { { 20, 30, 0, 0, 0, false, .jitter_ms = 30 } }, .run_s = 2, .share = 0.50 },
	{ .name = "one 100M 60ms, jitter 30 ms",             .path = { { 100, 30, 0, 0, 0, false, .jitter_ms = 30 } }, .share = 0.75 },
};

/* Bytes a second; r: the last run's. */
static double goodput_of(const struct scenario *s, const struct plan *p, uint64_t seed, bool trace, struct result *r)
{
	unsigned seeds = s->seeds ? s->seeds : 1;
	double sum = 0;

	for (unsigned i = 0; i < seeds; i++) {
		world_run(p, seed + i, trace ? stdout : NULL, r);
		sum += (double)r->delivered_bytes / ((double)(p->stop_us - r->first_us) / 1e6);
		if (r->failed)
			break;
	}
	return sum / seeds;
}

static unsigned run_s(const struct scenario *s) { return s->run_s ? s->run_s : RUN_S; }

static void plan_of(struct plan *p, const struct scenario *s, const char *scheduler, const char *congestion, uint64_t *rate)
{
	*p = (struct plan){ .clients = 1, .bench = true, .heard_is_up = true, .check_every = 1000 };
	p->client_engine = plan_engine(false);
	p->gateway_engine = plan_engine(true);
	p->client_engine.scheduler = p->gateway_engine.scheduler = scheduler;
	if (congestion)
		p->client_engine.congestion = p->gateway_engine.congestion = congestion;
	*rate = 0;
	for (unsigned i = 0; i < PATHS_MAX && s->path[i].mbit; i++) {
		const struct side *side = &s->path[i];
		struct link_config c = {
			.rate = side->mbit * UINT64_C(125000), .delay_us = side->delay_ms * USEC_PER_MS, .loss_ppm = side->loss_ppm,
			.jitter_us = side->jitter_ms * USEC_PER_MS, .mtu = 1500,
		};

		/* A queue of 50 ms, as home routers have at least. */
		c.queue_bytes = (uint32_t)(c.rate / 20);
		p->paths[0]++;
		p->path[0][i] = (struct path_plan){ .up = c, .down = c, .backup = side->backup };
		*rate += side->backup ? 0 : c.rate;
		if (side->dead_from_ms)
			p->fault[p->faults++] = (struct fault){ .kind = FAULT_BLACKOUT, .path = (uint8_t)i, .directions = 3,
				.at_us = side->dead_from_ms * USEC_PER_MS };
		if (side->dead_until_ms)
			p->fault[p->faults++] = (struct fault){ .kind = FAULT_RESTORE, .path = (uint8_t)i,
				.at_us = side->dead_until_ms * USEC_PER_MS };
	}
	p->streams = s->streams ? s->streams : 1;
	for (unsigned k = 0; k < p->streams; k++) {
		/* One after another, within a second: who comes late is to have as much. */
		p->stream[k] = (struct stream_plan){ .open_us = USEC_PER_S + k * (USEC_PER_S / p->streams), .dial = OPEN_OK };
		for (unsigned i = 0; i < 2; i++) {
			p->stream[k].ends[i] = (struct end_plan){ .write_max = 65536, .read_max = 1 << 30, .abort_us = USEC_NEVER, .shut_after_eof = true };
			if ((i == 0) == s->upload)
				p->stream[k].ends[i].total = UINT64_C(1) << 40;
		}
	}
	if (s->trickle_bytes) {
		struct end_plan *e = &p->stream[0].ends[!s->upload];

		e->write_max = s->trickle_bytes;
		e->gap_ppm = 1000000;
		e->gap_us = s->trickle_ms * USEC_PER_MS;
	}
	p->stop_us = (1 + run_s(s)) * USEC_PER_S;
}

/* 1 where all streams got the same. */
static double jain_of(const struct result *r, unsigned streams)
{
	double sum = 0, squares = 0;

	for (unsigned i = 0; i < streams; i++) {
		sum += (double)r->delivered_stream[i];
		squares += (double)r->delivered_stream[i] * (double)r->delivered_stream[i];
	}
	return squares > 0 ? sum * sum / squares / streams : 0;
}

unsigned scenarios_run(const char *only, const char *scheduler, const char *congestion, bool trace)
{
	unsigned run = 0, failed = 0;

	printf("%-60s %8s %7s %9s %7s %6s\n", "scenario", "Mbit/s", "share", "gap ms", "sent/1", "Jain");
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
		const struct scenario *s = &scenarios[i];
		struct result r;
		struct plan p;
		uint64_t rate;
		double goodput, share, jain;
		bool poor;

		if (only && strncmp(only, s->name, strlen(only)))
			continue;
		plan_of(&p, s, scheduler, congestion, &rate);
		goodput = goodput_of(s, &p, 1 + i, trace, &r);
		share = goodput / (double)rate;
		jain = jain_of(&r, p.streams);
		/* The floors are for what we run by default. */
		poor = !scheduler && !congestion && (share < s->share || jain < s->jain);
		printf("%-60s %8.1f", s->name, goodput / 125000);
		if (s->trickle_bytes)
			printf(" %7s", "-");
		else
			printf(" %7.3f", share);
		printf(" %9.1f %7.3f", (double)r.gap_us / 1000, (double)r.payload_bytes / (double)(r.delivered_bytes + !r.delivered_bytes));
		if (p.streams > 1)
			printf(" %6.3f", jain);
		printf("%s%s%s\n", r.failed ? "  FAILED " : "", r.failure, poor ? "  FAILED: less than it must be" : "");
		failed += r.failed || poor;
		run++;
	}
	printf("scenarios: %u passed, %u failed\n", run - failed, failed);
	return failed;
}
