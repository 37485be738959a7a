/* SPDX-License-Identifier: MIT */
/* The profile "delay": how long a message may wait for a path that fails beside a good one. */
#include "tests/sim/delay.h"

#include <assert.h>

enum { OPENS = 6, MESSAGES = 500, GAP_MS = 20, SLACK_MS = 20, DOUBT_MS = 30, UNFIT_MS = 2000, RACE_LEAST_MS = 20 };

void delays_written(struct delays *d, uint64_t end, usec_t now_us)
{
	unsigned i = (d->first + d->count) % DELAYS_MAX;

	assert(d->count < DELAYS_MAX);
	d->written[i].end = end;
	d->written[i].at_us = now_us;
	d->count++;
}

void delays_readable(struct delays *d, uint64_t end, usec_t now_us)
{
	while (d->count && d->written[d->first].end <= end) {
		usec_t took_us = now_us - d->written[d->first].at_us;

		if (took_us > d->worst_us) {
			d->worst_us = took_us;
			d->worst_at_us = now_us;
		}
		d->first = (d->first + 1) % DELAYS_MAX;
		d->count--;
	}
}

static struct link_config link_of(struct rnd *r, usec_t delay_us)
{
	struct link_config c = { .rate = rnd_log(r, 125000, 12500000), .delay_us = delay_us, .mtu = 1500 };

	/* The messages alone never fill it. */
	c.queue_bytes = (uint32_t)(c.rate / 10);
	return c;
}

static struct end_plan end_of(bool writes)
{
	return (struct end_plan){
		.total = writes ? 100 * MESSAGES : 0, .write_max = 200, .gap_ppm = 1000000, .gap_us = GAP_MS * USEC_PER_MS,
		.read_max = 1 << 20, .abort_us = USEC_NEVER,
	};
}

/* Others connect meanwhile: while the path is well, when it has just failed, and when that is known. */
static void opens(struct plan *p, struct rnd *r, usec_t fault_us)
{
	for (p->streams = 1; p->streams < 1 + OPENS; p->streams++) {
		struct stream_plan *s = &p->stream[p->streams];

		*s = (struct stream_plan){ .dial = OPEN_OK, .ends = { end_of(false), end_of(false) } };
		s->open_us = fault_us + rnd_log(r, 1000, 4 * USEC_PER_S) - 500;
		s->ends[0].total = s->ends[1].total = rnd_range(r, 1, 2000);
	}
}

void delay_of_seed(struct plan *p, uint64_t seed)
{
	struct rnd r = rnd_fork(seed, "delay", 0);
	struct path_plan *path;
	struct fault f = { .path = (uint8_t)rnd_below(&r, 2), .directions = rnd_percent(&r, 60) ? 3 : (uint8_t)rnd_range(&r, 1, 2) };
	usec_t rtt_us[2], limit_us, adv_us, race_us;
	unsigned writers = rnd_percent(&r, 30) ? 3 : (unsigned)rnd_range(&r, 1, 2);
	uint32_t uperf_ms;

	*p = (struct plan){ .check_every = 16, .clients = 1, .streams = 1, .must_complete = true };
	path = p->path[0];
	p->paths[0] = 2;
	for (unsigned i = 0; i < 2; i++) {
		usec_t delay_us = rnd_log(&r, 2500, 100000);

		rtt_us[i] = 2 * delay_us;
		path[i].up = link_of(&r, delay_us);
		path[i].down = link_of(&r, delay_us);
	}
	uperf_ms = rnd_percent(&r, 50) ? 0 : (uint32_t)rnd_log(&r, 100, 1000);
	path[!f.path].backup = rnd_percent(&r, 70);
	p->stream[0] = (struct stream_plan){ .open_us = USEC_PER_S, .dial = OPEN_OK, .ends = { end_of(writers & 1), end_of(writers & 2) } };
	f.at_us = rnd_range(&r, 3000, 6000) * USEC_PER_MS;
	p->client_engine = plan_engine(false);
	p->gateway_engine = plan_engine(true);
	p->client_engine.uperf_timeout_ms = p->gateway_engine.uperf_timeout_ms = uperf_ms;
	/* The default is twice the timeout that is measured, where that is more: lost acknowledgements lengthen it, too. */
	adv_us = 4 * (usec_max(rtt_us[f.path], 50 * USEC_PER_MS) + 200 * USEC_PER_MS);
	if (rnd_percent(&r, 50)) {
		f.kind = FAULT_BLACKOUT;
		/* An acknowledgement waits for a second message: that belongs to the round trip. */
		limit_us = 2 * (rtt_us[f.path] + GAP_MS * USEC_PER_MS) + DOUBT_MS * USEC_PER_MS + rtt_us[!f.path] / 2;
	} else {
		uint32_t ppm = (uint32_t)rnd_range(&r, 50000, 600000);

		f.kind = FAULT_LINK;
		f.up = path[f.path].up;
		f.down = path[f.path].down;
		f.up.loss_ppm = f.directions & 1 ? ppm : 0;
		f.down.loss_ppm = f.directions & 2 ? ppm : 0;
		limit_us = (uperf_ms ? uperf_ms * USEC_PER_MS : adv_us) + usec_max(rtt_us[0], rtt_us[1]);
	}
	p->fault[p->faults++] = f;
	/*
	 * A SYN is raced after 1.25 round trips as measured, which has more in it than the way; the second one if the answer to an
	 * older probe was still under way; where probes are answered, it is the fourth that tries another path.
	 */
	race_us = usec_max(rtt_us[f.path] * 3 / 2, RACE_LEAST_MS * USEC_PER_MS);
	p->open_most_us = (f.kind == FAULT_BLACKOUT ? 3 : 15) * race_us + rtt_us[!f.path] + SLACK_MS * USEC_PER_MS;
	if (rnd_percent(&r, 50))
		opens(p, &r, f.at_us);
	p->heal_us = 30 * USEC_PER_S;
	p->delay_most_us = limit_us + SLACK_MS * USEC_PER_MS;
	/* With a limit that no path keeps all underperform, and the score has to tell the bad one from the good one. */
	if (uperf_ms && uperf_ms * USEC_PER_MS < 4 * rtt_us[!f.path])
		p->delay_most_us += UNFIT_MS * USEC_PER_MS;
}
