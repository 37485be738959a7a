/* SPDX-License-Identifier: MIT */
#include "tests/sim/story.h"

#include <string.h>

#include "tests/sim/sim.h"

/* Two paths of 10 and 20 ms, 20 Mbit/s each; one stream. Both ends write a little now and then. */
static void begin(struct plan *p, unsigned paths, enum segment_form form)
{
	*p = (struct plan){ .clients = 1, .streams = 1, .bench = true, .heard_is_up = true, .check_every = 1, .segments_only = true };
	p->client_engine = plan_engine(false);
	p->gateway_engine = plan_engine(true);
	p->client_engine.form = p->gateway_engine.form = form;
	p->client_engine.fastclose = p->gateway_engine.fastclose = FASTCLOSE_RST;
	p->server_addresses = form == SEGMENT_PLAIN;
	p->paths[0] = paths;
	for (unsigned i = 0; i < paths; i++) {
		struct link_config c = { .rate = 2500000, .delay_us = (i + 1) * 5 * USEC_PER_MS, .queue_bytes = 100000, .mtu = 1500 };

		p->path[0][i] = (struct path_plan){ .up = c, .down = c, .box = { .strip_from_us = USEC_NEVER } };
	}
	p->stream[0] = (struct stream_plan){ .open_us = USEC_PER_S, .dial = OPEN_OK };
	for (unsigned i = 0; i < 2; i++)
		p->stream[0].ends[i] = (struct end_plan){
			.total = 20000, .write_max = 1000, .gap_ppm = 1000000, .gap_us = 700 * USEC_PER_MS, .read_max = 1 << 30,
			.abort_us = USEC_NEVER,
		};
	p->stop_us = 20 * USEC_PER_S;
}

static void at(struct plan *p, unsigned ms, enum fault_kind kind, uint8_t path, uint8_t directions)
{
	p->fault[p->faults++] = (struct fault){ .at_us = ms * USEC_PER_MS, .kind = kind, .path = path, .directions = directions };
}

/*
 * seeds: fast close by RST. The server's application aborts, and none of its RSTs arrives. The client's next data is answered by
 * RST on each subflow, then its MP_JOIN by RST with MP_TCPRST: it knows, and its application gets ECONNRESET.
 */
static void all_rsts_lost(struct plan *p, enum segment_form form)
{
	begin(p, 2, form);
	p->stream[0].ends[1].abort_us = 2 * USEC_PER_S;
	for (uint8_t i = 0; i < 2; i++) {
		at(p, 2900, FAULT_LOSE_RSTS, i, 2);
		at(p, 3200, FAULT_RESTORE, i, 3);
	}
}

static bool all_rsts_lost_ends(const struct result *r)
{
	/* Forgotten at once at the one end, found out at the other, and nothing goes on after that. */
	return r->ends[1].death == DEATH_ABORTED && r->ends[0].death == DEATH_RESET && r->ends[0].why == OPEN_RESET &&
	       !r->connections && r->segments < 150 && r->last_segment_us < 6 * USEC_PER_S;
}

static void sealed_all_rsts_lost(struct plan *p) { all_rsts_lost(p, SEGMENT_SEALED); }
static void plain_all_rsts_lost(struct plan *p) { all_rsts_lost(p, SEGMENT_PLAIN); }

/* The same where they arrive: one way, and it is over. */
static void rsts_arrive(struct plan *p)
{
	begin(p, 2, SEGMENT_SEALED);
	p->stream[0].ends[1].abort_us = 2 * USEC_PER_S;
}

static bool rsts_arrive_end(const struct result *r)
{
	return r->ends[1].death == DEATH_ABORTED && r->ends[0].death == DEATH_RESET && r->ends[0].why == OPEN_RESET &&
	       !r->connections && r->last_segment_us < 3100 * USEC_PER_MS;
}

/* RFC 8684 3.5, option A: MP_FASTCLOSE on an ACK of one subflow, RST on the other; the answer is a RST. Its first copy is lost. */
static void ack_form(struct plan *p)
{
	begin(p, 2, SEGMENT_SEALED);
	p->gateway_engine.fastclose = FASTCLOSE_ACK;
	p->stream[0].ends[1].abort_us = 2 * USEC_PER_S;
	for (uint8_t i = 0; i < 2; i++) {
		at(p, 3000, FAULT_BLACKOUT, i, 2);
		at(p, 3100, FAULT_RESTORE, i, 3);
	}
}

static bool ack_form_ends(const struct result *r)
{
	return r->ends[1].death == DEATH_ABORTED && r->ends[0].death == DEATH_RESET && !r->connections &&
	       r->last_segment_us < 5 * USEC_PER_S;
}

/* seeds: appendix C. The only path goes, and with it the only subflow; the connection waits, and a new subflow joins it. */
static void break_before_make(struct plan *p)
{
	begin(p, 1, SEGMENT_SEALED);
	p->stream[0].ends[0].total = p->stream[0].ends[1].total = 6000;
	at(p, 2500, FAULT_INTERFACE_GONE, 0, 3);
	at(p, 5500, FAULT_INTERFACE_BACK, 0, 3);
}

static bool break_before_make_ends(const struct result *r)
{
	return r->ends[0].death == DEATH_CLOSED && r->ends[1].death == DEATH_CLOSED && r->ends[0].consumed == 6000 &&
	       r->ends[1].consumed == 6000 && !r->connections;
}

/*
 * RFC 8899 4.3: in the middle of a transfer both paths, which took 9,000 bytes, begin to swallow what is longer than 1,400, and no ICMP
 * says so. Segments get shorter, and everything arrives.
 */
static void long_segments_vanish(struct plan *p, enum segment_form form)
{
	begin(p, 2, form);
	p->stream[0].ends[1] = (struct end_plan){ .total = 12000000, .write_max = 65536, .read_max = 1 << 30, .abort_us = USEC_NEVER };
	p->stream[0].ends[0].total = 0;
	for (unsigned i = 0; i < 2; i++) {
		struct link_config *down = &p->path[0][i].down, *up = &p->path[0][i].up;

		up->mtu = down->mtu = 9000;
		at(p, 2500, FAULT_LINK, (uint8_t)i, 3);
		p->fault[i].up = p->fault[i].down = *up;
		p->fault[i].up.mtu = p->fault[i].down.mtu = 1400;
		p->fault[i].up.mute = p->fault[i].down.mute = true;
	}
}

static void sealed_long_vanish(struct plan *p) { long_segments_vanish(p, SEGMENT_SEALED); }
static void plain_long_vanish(struct plan *p) { long_segments_vanish(p, SEGMENT_PLAIN); }

/* 12 MB take 2.4 s of two links of 20 Mbit/s; the rest is silence, and the search. In segments of 1,188 bytes or more, but for a few. */
static bool long_vanish_ends(const struct result *r)
{
	return r->ends[0].death == DEATH_CLOSED && r->ends[1].death == DEATH_CLOSED && r->ends[0].consumed == 12000000 &&
	       r->last_segment_us < 9 * USEC_PER_S && r->segments < 2 * 12000000 / 1100;
}

static const struct story {
	const char *name, *title;
	void (*plan)(struct plan *p);
	bool (*good)(const struct result *r);
} stories[] = {
	{ "fastclose-rst", "Fast close by RST", rsts_arrive, rsts_arrive_end },
	{ "fastclose-rst-all-lost", "Fast close by RST, every RST lost (sealed form)", sealed_all_rsts_lost, all_rsts_lost_ends },
	{ "fastclose-rst-all-lost-plain", "Fast close by RST, every RST lost (plain form)", plain_all_rsts_lost, all_rsts_lost_ends },
	{ "fastclose-ack", "Fast close by ACK, its first copy lost", ack_form, ack_form_ends },
	{ "break-before-make", "Break before make", break_before_make, break_before_make_ends },
	{ "long-segments-vanish", "Long segments vanish (sealed form)", sealed_long_vanish, long_vanish_ends },
	{ "long-segments-vanish-plain", "Long segments vanish (plain form)", plain_long_vanish, long_vanish_ends },
};

unsigned stories_run(const char *only, bool trace)
{
	unsigned failed = 0, passed = 0;

	for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
		const struct story *s = &stories[i];
		struct result r;
		struct plan p;

		if (only && strcmp(only, s->name))
			continue;
		s->plan(&p);
		if (trace)
			printf("%s. Written by \"make traces\"; c0.N is path N of the client, gw the gateway.\n\n", s->title);
		world_run(&p, 1 + i, trace ? stdout : NULL, &r);
		if (!r.failed && !s->good(&r)) {
			r.failed = true;
			snprintf(r.failure, sizeof r.failure, "ends: client %d (%s), server %d; %u connections left, %llu segments, the last at %.3f s",
				 r.ends[0].death, open_result_text(r.ends[0].why), r.ends[1].death, r.connections,
				 (unsigned long long)r.segments, (double)r.last_segment_us / 1e6);
		}
		failed += r.failed;
		passed += !r.failed;
		if (r.failed)
			printf("story %s: %s\n", s->name, r.failure);
	}
	if (!trace)
		printf("stories: %u passed, %u failed\n", passed, failed);
	return failed;
}
