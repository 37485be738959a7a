/* SPDX-License-Identifier: MIT */
/* The profile "outage": no path at all for a while, then one of them, or one with a new address. */
#include "tests/sim/outage.h"

#include "tests/sim/random.h"

enum { LIVES_MS = 55 * 1000, DIES_MS = 75 * 1000, DIES_MOST_MS = 100 * 1000, ENDS_MS = 62 * 1000 };

static void fault_add(struct plan *p, usec_t at_us, enum fault_kind kind, uint8_t path)
{
	unsigned i;

	for (i = p->faults++; i && p->fault[i - 1].at_us > at_us; i--)
		p->fault[i] = p->fault[i - 1];
	p->fault[i] = (struct fault){ .at_us = at_us, .kind = kind, .path = path, .directions = 3 };
}

static struct link_config link_of(struct rnd *r)
{
	struct link_config c = { .rate = rnd_log(r, 125000, 12500000), .delay_us = rnd_log(r, 1000, 150000), .mtu = 1500 };

	c.queue_bytes = (uint32_t)(c.rate * rnd_range(r, 50, 200) / 1000);
	if (c.queue_bytes < 12000)
		c.queue_bytes = 12000;
	if (rnd_percent(r, 40))
		c.loss_ppm = (uint32_t)rnd_log(r, 100, 30000);
	return c;
}

static struct end_plan end_of(struct rnd *r)
{
	struct end_plan e = { .write_max = 65536, .read_max = 1 << 20, .abort_us = USEC_NEVER };

	/* Words now and then, for longer than any outage; or as much as fits. */
	if (rnd_percent(r, 60)) {
		e.total = 200 * rnd_range(r, 2000, 6000);
		e.write_max = 200;
		e.gap_ppm = 1000000;
		e.gap_us = 25 * USEC_PER_MS;
	} else {
		e.total = rnd_log(r, 100000, 20000000);
	}
	return e;
}

void outage_of_seed(struct plan *p, uint64_t seed)
{
	struct rnd r = rnd_fork(seed, "outage", 0);
	bool lives = rnd_percent(&r, 70);
	usec_t begin_us = rnd_range(&r, 2000, 8000) * USEC_PER_MS,
	       long_us = (lives ? rnd_log(&r, 500, LIVES_MS) : rnd_range(&r, DIES_MS, DIES_MOST_MS)) * USEC_PER_MS;
	unsigned first;

	*p = (struct plan){ .check_every = 16, .clients = 1, .heard_is_up = rnd_percent(&r, 50) };
	p->paths[0] = (unsigned)rnd_range(&r, 1, 3);
	p->streams = (unsigned)rnd_range(&r, 1, 3);
	first = (unsigned)rnd_below(&r, p->paths[0]);
	for (unsigned i = 0; i < p->paths[0]; i++) {
		/* One after the other within a moment; the last of them is when the outage begins. */
		usec_t gone_us = begin_us - (i == first ? 0 : rnd_below(&r, 300 * USEC_PER_MS)), back_us = begin_us + long_us;
		bool seen = rnd_percent(&r, 50) || !lives;

		p->path[0][i].up = p->path[0][i].down = link_of(&r);
		p->path[0][i].backup = i && rnd_percent(&r, 30);
		fault_add(p, gone_us, seen ? FAULT_INTERFACE_GONE : FAULT_BLACKOUT, (uint8_t)i);
		if (i != first)
			back_us += rnd_range(&r, 0, 5000) * USEC_PER_MS;
		if (!seen && rnd_percent(&r, 30))
			fault_add(p, back_us, FAULT_REBIND, (uint8_t)i);
		fault_add(p, back_us, seen ? FAULT_INTERFACE_BACK : FAULT_RESTORE, (uint8_t)i);
	}
	for (unsigned i = 0; i < p->streams; i++)
		p->stream[i] = (struct stream_plan){
			.open_us = rnd_range(&r, 1000, 1500) * USEC_PER_MS, .dial = OPEN_OK, .ends = { end_of(&r), end_of(&r) },
		};
	p->heal_us = p->fault[p->faults - 1].at_us + USEC_PER_S;
	p->client_engine = plan_engine(false);
	p->gateway_engine = plan_engine(true);
	p->must_complete = lives;
	if (!lives) {
		p->outage_us = begin_us;
		p->ends_us = begin_us + ENDS_MS * USEC_PER_MS;
	}
}
