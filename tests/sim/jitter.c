/* SPDX-License-Identifier: MIT */
/* The profile "jitter": paths with nothing wrong but that their packets are late now and then. */
#include "tests/sim/jitter.h"

#include "tests/sim/random.h"
#include "tests/sim/sim.h"

enum { RUN_S = 30, GAP_MS = 20, MESSAGE_BYTES = 200, MORE_MS = 40 };

static struct link_config link_of(struct rnd *r)
{
	struct link_config c = { .rate = rnd_log(r, 250000, 6250000), .delay_us = rnd_log(r, 2500, 75000), .mtu = 1500 };

	c.jitter_us = rnd_below(r, c.delay_us + MORE_MS * USEC_PER_MS);
	if (rnd_percent(r, 40)) {
		c.reorder_ppm = (uint32_t)rnd_log(r, 500, 20000);
		c.reorder_us = rnd_log(r, 20000, 400000);
	}
	c.queue_bytes = (uint32_t)(c.rate * rnd_range(r, 50, 200) / 1000);
	return c;
}

void jitter_of_seed(struct plan *p, uint64_t seed)
{
	struct rnd r = rnd_fork(seed, "jitter", 0);
	unsigned writers = (unsigned)rnd_range(&r, 1, 3);
	bool bulk = rnd_percent(&r, 40);

	*p = (struct plan){ .check_every = 1000, .clients = 1, .streams = 1, .bench = true, .heard_is_up = true,
			    .calm = bulk ? CALM_BULK : CALM_MESSAGES };
	p->paths[0] = rnd_percent(&r, 70) ? 2 : 3;
	for (unsigned i = 0; i < p->paths[0]; i++) {
		p->path[0][i].up = link_of(&r);
		p->path[0][i].down = link_of(&r);
	}
	p->stream[0] = (struct stream_plan){ .open_us = USEC_PER_S, .dial = OPEN_OK };
	for (unsigned i = 0; i < 2; i++) {
		struct end_plan *e = &p->stream[0].ends[i];

		*e = (struct end_plan){ .total = writers & 1u << i ? UINT64_C(1) << 40 : 0, .write_max = bulk ? 65536 : MESSAGE_BYTES,
			.read_max = 1 << 30, .abort_us = USEC_NEVER, .shut_after_eof = true };
		if (!bulk) {
			e->gap_ppm = 1000000;
			e->gap_us = GAP_MS * USEC_PER_MS;
		}
	}
	p->client_engine = plan_engine(false);
	p->gateway_engine = plan_engine(true);
	p->stop_us = RUN_S * USEC_PER_S;
}

void jitter_judge(struct world *w, struct result *out)
{
	unsigned most = w->plan->calm == CALM_BULK ? JITTER_BULK_PERCENT : JITTER_MESSAGES_PERCENT;
	uint64_t payload = 0;

	for (unsigned i = 0; i < 2; i++) {
		const struct host *h = &w->hosts[i];
		struct conn_info info;

		out->doubts += h->counters.v[CNT_SubflowStale];
		out->avoided += h->counters.v[CNT_SubflowUnderperforms];
		/* Bulk loses what its own queues do not take, a whole flight at times. */
		if (w->plan->calm == CALM_MESSAGES && h->counters.v[CNT_SubflowUnderperforms])
			world_fail(w, "%s: a subflow underperforms, though packets are only late", world_host_name(h->number));
		for (conn_id conn = engine_next_conn(h->engine, 0); conn; conn = engine_next_conn(h->engine, conn))
			if (engine_conn_info(h->engine, conn, &info) == ERR_OK)
				out->in_vain += info.reinjected_bytes;
		payload += h->payload_bytes;
	}
	TRACE(w, "%llu doubts, %llu bytes of %llu in vain", (unsigned long long)out->doubts, (unsigned long long)out->in_vain,
	      (unsigned long long)payload);
	if (out->in_vain * 100 > payload * most)
		world_fail(w, "%llu of %llu bytes were sent again in vain: more than %u %%", (unsigned long long)out->in_vain,
			   (unsigned long long)payload, most);
}
