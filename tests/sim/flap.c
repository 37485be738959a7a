/* SPDX-License-Identifier: MIT */
/* The profile "flap": links that go and come, one way or both, lose and reorder; streams of small messages and of bulk. */
#include "tests/sim/flap.h"

#include <string.h>

enum { HORIZON_S = 60 };

static void fault_add(struct plan *p, struct fault f)
{
	unsigned i;

	if (p->faults == FAULTS_MAX)
		return;
	for (i = p->faults++; i && p->fault[i - 1].at_us > f.at_us; i--)
		p->fault[i] = p->fault[i - 1];
	p->fault[i] = f;
}

static struct link_config link_of(struct rnd *r)
{
	struct link_config c = { .rate = rnd_log(r, 125000, 12500000), .delay_us = rnd_log(r, 1000, 150000), .mtu = 1500 };

	c.queue_bytes = (uint32_t)(c.rate * rnd_range(r, 20, 200) / 1000);
	if (c.queue_bytes < 12000)
		c.queue_bytes = 12000;
	if (rnd_percent(r, 40))
		c.jitter_us = rnd_log(r, 100, c.delay_us + 100);
	if (rnd_percent(r, 40)) {
		c.reorder_ppm = (uint32_t)rnd_log(r, 1000, 100000);
		c.reorder_us = rnd_log(r, 500, 2 * c.delay_us);
	}
	if (rnd_percent(r, 30))
		c.loss_ppm = (uint32_t)rnd_log(r, 100, 30000);
	return c;
}

/* Dark for a while, again and again; the other way round a link that is there only now and then. */
static void flaps(struct plan *p, struct rnd *r, uint8_t path)
{
	usec_t period = rnd_log(r, 200000, 20 * USEC_PER_S), at = rnd_range(r, 1, 10) * USEC_PER_S;
	uint8_t directions = rnd_percent(r, 60) ? 3 : (uint8_t)rnd_range(r, 1, 2);

	for (unsigned n = 0; n < 40 && at < HORIZON_S * USEC_PER_S; n++) {
		usec_t dark = period / 10 + rnd_below(r, period);

		fault_add(p, (struct fault){ .at_us = at, .kind = FAULT_BLACKOUT, .path = path, .directions = directions });
		fault_add(p, (struct fault){ .at_us = at + dark, .kind = FAULT_RESTORE, .path = path });
		at += dark + period / 10 + rnd_below(r, period);
	}
}

static void loses(struct plan *p, struct rnd *r, uint8_t path)
{
	usec_t at = rnd_range(r, 1, 10) * USEC_PER_S;

	for (unsigned n = 0; n < 20 && at < HORIZON_S * USEC_PER_S; n++) {
		struct fault f = { .at_us = at, .kind = FAULT_LINK, .path = path, .up = p->path[0][path].up, .down = p->path[0][path].down };

		f.up.loss_ppm = (uint32_t)rnd_range(r, 50000, 600000);
		if (rnd_percent(r, 70))
			f.down.loss_ppm = f.up.loss_ppm;
		fault_add(p, f);
		f.at_us = at += rnd_log(r, 300000, 15 * USEC_PER_S);
		f.up = p->path[0][path].up;
		f.down = p->path[0][path].down;
		fault_add(p, f);
		at += rnd_log(r, 300000, 15 * USEC_PER_S);
	}
}

static struct end_plan end_of(struct rnd *r, bool trickle)
{
	struct end_plan e = { .write_max = 65536, .read_max = 1 << 20, .abort_us = USEC_NEVER, .shut_after_eof = false };

	e.total = trickle ? 200 * rnd_range(r, 500, 2500) : rnd_log(r, 10000, 3000000);
	if (trickle) {
		e.write_max = 200;
		e.gap_ppm = 1000000;
		e.gap_us = 20 * USEC_PER_MS;
	}
	return e;
}

void flap_of_seed(struct plan *p, uint64_t seed)
{
	struct rnd r = rnd_fork(seed, "flap", 0);
	unsigned backups = 0;

	*p = (struct plan){ .check_every = 16, .clients = 1, .watch_modes = true, .heard_is_up = rnd_percent(&r, 50) };
	p->paths[0] = (unsigned)rnd_range(&r, 2, PATHS_MAX);
	p->streams = (unsigned)rnd_range(&r, 1, 3);
	for (unsigned i = 0; i < p->paths[0]; i++) {
		struct path_plan *path = &p->path[0][i];

		path->up = path->down = link_of(&r);
		if (rnd_percent(&r, 30)) {
			path->down = link_of(&r);
			path->down.mtu = path->up.mtu;
		}
		path->backup = i && backups + 1 < p->paths[0] && rnd_percent(&r, 35);
		backups += path->backup;
	}
	for (unsigned i = 0; i < p->paths[0]; i++)
		switch (rnd_below(&r, 4)) {
		case 0: flaps(p, &r, (uint8_t)i); break;
		case 1: loses(p, &r, (uint8_t)i); break;
		case 2: flaps(p, &r, (uint8_t)i); loses(p, &r, (uint8_t)i); break;
		default: break;
		}
	for (unsigned i = 0; i < p->streams; i++) {
		bool trickle = rnd_percent(&r, 50);

		p->stream[i] = (struct stream_plan){ .open_us = rnd_log(&r, USEC_PER_S, 20 * USEC_PER_S), .dial = OPEN_OK,
			.dial_us = rnd_percent(&r, 50) ? 0 : rnd_log(&r, 100, 100000) };
		for (unsigned k = 0; k < 2; k++)
			p->stream[i].ends[k] = end_of(&r, trickle);
	}
	p->heal_us = (HORIZON_S + 1) * USEC_PER_S;
	if (p->faults && p->fault[p->faults - 1].at_us >= p->heal_us)
		p->heal_us = p->fault[p->faults - 1].at_us + 1;
	p->client_engine = plan_engine(false);
	p->gateway_engine = plan_engine(true);
	/* Nothing may be given up for the time it takes: every stream is to complete. */
	p->client_engine.dead_timeout_us = p->gateway_engine.dead_timeout_us = 300 * USEC_PER_S;
	p->client_engine.connect_timeout_us = 300 * USEC_PER_S;
	p->client_engine.close_timeout_us = p->gateway_engine.close_timeout_us = 300 * USEC_PER_S;
	if (rnd_percent(&r, 40))
		p->client_engine.uperf_timeout_ms = p->gateway_engine.uperf_timeout_ms = (uint32_t)rnd_log(&r, 150, 3000);
	p->must_complete = true;
}
