/* SPDX-License-Identifier: MIT */
/* The profile "return": a path that was away is used again soon, and whole. */
#include "tests/sim/return.h"

#include <string.h>

#include "tests/sim/random.h"
#include "tests/sim/sim.h"

enum { USED_MS = 2000, FROM_MS = 3000, UNTIL_MS = 6000, SHARE_PERCENT = 90, HEAD_BYTES = 200 /* no data in less */ };
enum { MESSAGE_BYTES = 300, GAP_MS = 20 };

static struct link_config link_of(struct rnd *r)
{
	struct link_config c = { .rate = rnd_log(r, 625000, 6250000), .delay_us = rnd_log(r, 2500, 50000), .mtu = 1500 };

	c.queue_bytes = (uint32_t)(c.rate * rnd_range(r, 50, 200) / 1000);
	return c;
}

/* The first by a quarter and more: what goes on no other when both are idle. */
static bool shortest(const struct plan *p, unsigned path)
{
	for (unsigned i = 0; i < p->paths[0]; i++)
		if (i != path && p->path[0][path].up.delay_us * 5 / 4 + USEC_PER_MS > p->path[0][i].up.delay_us)
			return false;
	return true;
}

void return_of_seed(struct plan *p, uint64_t seed)
{
	struct rnd messages = rnd_fork(seed, "return, messages", 0);
	static const enum fault_kind goes[] = { FAULT_BLACKOUT, FAULT_BLACKOUT, FAULT_CARRIER_LOST, FAULT_INTERFACE_GONE };
	struct rnd r = rnd_fork(seed, "return", 0);
	struct fault f = { .directions = 3 };
	bool upload = rnd_percent(&r, 50);

	*p = (struct plan){ .check_every = 1000, .clients = 1, .streams = 1, .bench = true, .heard_is_up = rnd_percent(&r, 50),
			    .probe_most_us = USEC_PER_S /* as paths_life.c has it */, .back_messages = rnd_percent(&messages, 40) };
	p->paths[0] = rnd_percent(&r, 70) ? 2 : 3;
	for (unsigned i = 0; i < p->paths[0]; i++) {
		p->path[0][i].up = p->path[0][i].down = link_of(&r);
		p->back_rate += p->path[0][i].up.rate;
	}
	f.path = (uint8_t)rnd_below(&r, p->paths[0]);
	f.kind = goes[rnd_below(&r, sizeof goes / sizeof *goes)];
	f.at_us = rnd_range(&r, 4000, 8000) * USEC_PER_MS;
	p->fault[p->faults++] = f;
	p->back_us = f.at_us + (rnd_percent(&r, 80) ? rnd_range(&r, 2000, 10000) : rnd_range(&r, 10000, 45000)) * USEC_PER_MS;
	f.kind = f.kind == FAULT_BLACKOUT ? FAULT_RESTORE : FAULT_INTERFACE_BACK;
	f.at_us = p->back_us;
	p->fault[p->faults++] = f;
	p->back_path = f.path;
	p->stream[0] = (struct stream_plan){ .open_us = USEC_PER_S, .dial = OPEN_OK };
	for (unsigned i = 0; i < 2; i++) {
		struct end_plan *e = &p->stream[0].ends[i];

		*e = (struct end_plan){ .total = (i == 0) == upload ? UINT64_C(1) << 40 : 0, .write_max = 65536,
			.read_max = 1 << 30, .abort_us = USEC_NEVER, .shut_after_eof = true };
		if (p->back_messages) {
			e->write_max = MESSAGE_BYTES;
			e->gap_ppm = 1000000;
			e->gap_us = GAP_MS * USEC_PER_MS;
		}
	}
	p->client_engine = plan_engine(false);
	p->gateway_engine = plan_engine(true);
	p->stop_us = p->back_us + UNTIL_MS * USEC_PER_MS;
}

void returns_arrived(struct world *w, const struct packet *p)
{
	if (!w->returns.used_us && w->now_us >= w->plan->back_us && p->path == w->plan->back_path && p->kind == PACKET_SEGMENT &&
	    p->len > HEAD_BYTES)
		w->returns.used_us = w->now_us;
}

void returns_delivered(struct world *w)
{
	if (w->returns.begun || w->now_us < w->plan->back_us + FROM_MS * USEC_PER_MS)
		return;
	w->returns.begun = true;
	w->returns.before_bytes = w->delivered_bytes;
}

/* Both ends: its subflow is there, and is used as if nothing had been. */
static void judge_mode(struct world *w, const struct host *h)
{
	path_id id = (path_id)w->plan->back_path; /* client 0's, so it is the same at both ends */
	struct subflow_info s;
	bool there = false;

	for (conn_id conn = engine_next_conn(h->engine, 0); conn; conn = engine_next_conn(h->engine, conn))
		for (uint32_t i = 0; engine_subflow_info(h->engine, conn, i, &s) == ERR_OK; i++) {
			if (s.path != id || !s.usable)
				continue;
			there = true;
			if (strcmp(s.mode, "primary") != 0)
				world_fail(w, "path %u came back, and %u ms later subflow %u on it is %s (%s) at %s", id, UNTIL_MS, s.id, s.mode,
					   s.uperf_cause, world_host_name(h->number));
		}
	if (!there)
		world_fail(w, "path %u came back, and %u ms later no subflow is on it at %s", id, UNTIL_MS, world_host_name(h->number));
}

static void judge_share(struct world *w)
{
	/* A full segment: IPv4, UDP and seal, TCP with timestamps and a mapping. */
	uint64_t could = w->plan->back_rate * (1500 - SEALED_OVERHEAD - 44) / 1500 * (UNTIL_MS - FROM_MS) / 1000;
	uint64_t got = w->returns.begun ? w->delivered_bytes - w->returns.before_bytes : 0;

	TRACE(w, "then %llu bytes of %llu", (unsigned long long)got, (unsigned long long)could);
	if (got < could * SHARE_PERCENT / 100)
		world_fail(w, "path %u came back, and 3 s later the stream has %llu %% of what the links take", w->plan->back_path,
			   (unsigned long long)(got * 100 / could));
}

void returns_judge(struct world *w)
{
	const struct plan *p = w->plan;
	usec_t most_us = USED_MS * USEC_PER_MS + 2 * p->path[0][p->back_path].up.delay_us;

	TRACE(w, "path %u was used again after %llu ms", p->back_path, (unsigned long long)usec_since(w->returns.used_us, p->back_us) / 1000);
	if ((!p->back_messages || shortest(p, p->back_path)) && (!w->returns.used_us || w->returns.used_us > p->back_us + most_us))
		world_fail(w, "path %u came back, and was used again after %llu ms; %llu ms is the most it may take", p->back_path,
			   (unsigned long long)usec_since(w->returns.used_us ? w->returns.used_us : w->now_us, p->back_us) / 1000,
			   (unsigned long long)most_us / 1000);
	else if (!p->back_messages)
		judge_share(w);
	else
		for (unsigned i = 0; i < 2; i++)
			judge_mode(w, &w->hosts[i]);
}
