/* SPDX-License-Identifier: MIT */
#include "tests/sim/link.h"

const char *link_fate_text(enum link_fate f)
{
	static const char *const text[] = {
		[LINK_DELIVERED] = "delivered", [LINK_DOWN] = "link is down", [LINK_TOO_BIG] = "larger than the MTU",
		[LINK_QUEUE_FULL] = "queue is full", [LINK_LOST] = "lost",
	};
	return text[f];
}

void link_init(struct link *l, const struct link_config *config, struct rnd chance)
{
	*l = (struct link){ .config = *config, .up = true, .chance = chance };
}

uint32_t link_mean_loss_ppm(const struct link_config *c)
{
	uint64_t ppm = c->loss_ppm;

	if (c->bad_enter_ppm)
		ppm += (uint64_t)c->bad_loss_ppm * c->bad_enter_ppm / (c->bad_enter_ppm + c->bad_leave_ppm);
	return (uint32_t)(ppm > 1000000 ? 1000000 : ppm);
}

static bool lost_on_the_wire(struct link *l)
{
	const struct link_config *c = &l->config;

	if (rnd_chance(&l->chance, l->bad ? c->bad_leave_ppm : c->bad_enter_ppm))
		l->bad = !l->bad;
	if (l->bad && rnd_chance(&l->chance, c->bad_loss_ppm))
		return true;
	return rnd_chance(&l->chance, c->loss_ppm);
}

struct link_verdict link_send(struct link *l, size_t bytes, usec_t now_us)
{
	const struct link_config *c = &l->config;
	struct link_verdict v = { .fate = LINK_DELIVERED };
	usec_t start, waiting = usec_since(l->free_at, now_us);

	l->packets++;
	l->bytes += bytes;
	if (!l->up)
		v.fate = LINK_DOWN;
	else if (bytes > c->mtu)
		v.fate = LINK_TOO_BIG;
	else if (waiting * c->rate / USEC_PER_S + bytes > c->queue_bytes)
		v.fate = LINK_QUEUE_FULL;
	if (v.fate != LINK_DELIVERED) {
		l->lost_packets++;
		return v;
	}
	start = usec_max(l->free_at, now_us);
	l->free_at = start + (bytes * USEC_PER_S + c->rate - 1) / c->rate;
	/* A packet lost on the wire has taken its time in the queue all the same. */
	if (lost_on_the_wire(l)) {
		l->lost_packets++;
		v.fate = LINK_LOST;
		return v;
	}
	v.corrupted = rnd_chance(&l->chance, c->corrupt_ppm);
	v.copies = 1 + rnd_chance(&l->chance, c->dup_ppm);
	v.arrival_us[0] = l->free_at + c->delay_us + (c->jitter_us ? rnd_below(&l->chance, c->jitter_us) : 0);
	if (rnd_chance(&l->chance, c->reorder_ppm))
		v.arrival_us[0] += rnd_below(&l->chance, c->reorder_us + 1);
	else
		v.arrival_us[0] = l->last_arrival = usec_max(v.arrival_us[0], l->last_arrival);
	v.arrival_us[1] = v.arrival_us[0] + rnd_below(&l->chance, c->delay_us + 1);
	return v;
}
