/* SPDX-License-Identifier: MIT */
/*
 * BBR by itself, over a link made of three numbers: rate, round trip, queue. Each step of the loop is one segment that
 * arrives and is acknowledged; what is sent goes by the controller's window and pace.
 */
#include "tunneld/tcp/cc.h"

#include "tests/unit/unit.h"

enum { MSS = 1000, SEGS_MAX = 1 << 16 };

struct link {
	uint64_t rate;              /* bytes a second */
	usec_t rtt_us;              /* without a queue */
	uint32_t queue;             /* bytes */
	uint32_t loss_every;        /* each n-th segment is lost on the wire; 0: none */
	/* flight */
	struct { usec_t sent, back, prior_us; uint64_t prior; uint32_t send_elapsed, tx; bool lost; } seg[SEGS_MAX];
	uint32_t head, tail;
	usec_t free_at, delivered_at, first_sent, pace_at, now;
	uint64_t delivered, lost, sent, dropped;
	uint32_t in_flight, most_queue;
};

static struct link the_link;

static struct cc born(void)
{
	struct cc cc = { .ops = &cc_bbr, .mss = MSS };

	cc.ops->init(&cc, USEC_PER_S);
	return cc;
}

static void send_all(struct link *l, struct cc *cc)
{
	while (l->in_flight + MSS <= cc->cwnd && l->pace_at <= l->now && l->tail - l->head < SEGS_MAX) {
		usec_t start = usec_max(l->free_at, l->now);
		uint32_t queued = (uint32_t)((start - l->now) * l->rate / USEC_PER_S), at = l->tail++ % SEGS_MAX;
		bool dropped = queued > l->queue;

		if (!l->in_flight)
			l->first_sent = l->delivered_at = l->now;
		if (queued > l->most_queue)
			l->most_queue = queued;
		if (!dropped)
			l->free_at = start + MSS * USEC_PER_S / l->rate;
		l->dropped += dropped;
		l->in_flight += MSS;
		l->sent++;
		l->seg[at].sent = l->now;
		l->seg[at].back = (dropped ? start : l->free_at) + l->rtt_us;
		l->seg[at].prior = l->delivered;
		l->seg[at].prior_us = l->delivered_at;
		l->seg[at].send_elapsed = (uint32_t)(l->now - l->first_sent);
		l->seg[at].tx = l->in_flight;
		l->seg[at].lost = dropped || (l->loss_every && l->sent % l->loss_every == 0);
		l->pace_at = usec_max(l->pace_at, l->now) + (cc->pacing_rate ? MSS * USEC_PER_S / cc->pacing_rate : 0);
	}
}

/* Until then; returns what was delivered a second in that time. */
static uint64_t run(struct link *l, struct cc *cc, usec_t us)
{
	usec_t end = l->now + us;
	uint64_t before = l->delivered;

	while (l->now < end) {
		uint32_t at;
		usec_t next = l->in_flight ? l->seg[l->head % SEGS_MAX].back : USEC_NEVER;

		send_all(l, cc);
		if (l->in_flight)
			next = l->seg[l->head % SEGS_MAX].back;
		if (l->in_flight + MSS <= cc->cwnd && l->pace_at < next) {
			l->now = l->pace_at;
			continue;
		}
		at = l->head++ % SEGS_MAX;
		l->now = usec_max(l->now, next);
		l->in_flight -= MSS;
		if (l->seg[at].lost) {
			l->lost += MSS;
			continue;
		}
		l->delivered += MSS;
		l->delivered_at = l->now;
		l->first_sent = l->seg[at].sent;
		usec_t took = usec_max(l->seg[at].send_elapsed, l->now - l->seg[at].prior_us), rtt = l->now - l->seg[at].sent;
		struct cc_ack ack = {
			.acked = MSS, .in_flight = l->in_flight + MSS, .in_flight_now = l->in_flight, .rtt_us = rtt, .srtt_us = rtt,
			.min_rtt_us = l->rtt_us, .rate = took ? (l->delivered - l->seg[at].prior) * USEC_PER_S / took : 0,
			.prior_delivered = l->seg[at].prior, .tx_in_flight = l->seg[at].tx, .delivered = l->delivered,
			.lost_total = l->lost,
		};
		cc->ops->acked(cc, &ack, l->now);
	}
	return (l->delivered - before) * USEC_PER_S / us;
}

static struct link *fresh(uint64_t rate, usec_t rtt_us, uint32_t queue, uint32_t loss_every)
{
	the_link = (struct link){ .rate = rate, .rtt_us = rtt_us, .queue = queue, .loss_every = loss_every, .now = USEC_PER_S };
	return &the_link;
}

static void test_finds_the_rate_and_keeps_the_queue_low(void)
{
	struct link *l = fresh(5000000, 40 * USEC_PER_MS, 1000000, 0);
	struct cc cc = born();

	run(l, &cc, 2 * USEC_PER_S);
	l->most_queue = 0;
	CU_ASSERT_TRUE(run(l, &cc, 20 * USEC_PER_S) > 4850000);
	CU_ASSERT_TRUE(cc.bandwidth > 4800000 && cc.bandwidth < 5300000);
	/* PROBE_UP builds a quarter of what the path holds, and no more. */
	CU_ASSERT_TRUE(l->most_queue < 5000000 / 25 / 2);
	CU_ASSERT_EQUAL(l->dropped, 0);
}

static void test_random_loss_does_not_starve_it(void)
{
	static const uint32_t every[] = { 1000, 100, 20, 10 }; /* 0.1, 1, 5, 10 % */

	for (unsigned i = 0; i < sizeof every / sizeof *every; i++) {
		struct link *l = fresh(10000000, 20 * USEC_PER_MS, 500000, every[i]);
		struct cc cc = born();

		run(l, &cc, 3 * USEC_PER_S);
		/* nine tenths of what comes through at all */
		CU_ASSERT_TRUE(run(l, &cc, 20 * USEC_PER_S) > 9000000 - 9000000 / every[i]);
	}
}

static void test_a_shallow_queue_is_not_flooded(void)
{
	struct link *l = fresh(5000000, 40 * USEC_PER_MS, 20000, 0); /* a tenth of what the path holds */
	struct cc cc = born();

	run(l, &cc, 3 * USEC_PER_S);
	l->sent = l->dropped = 0;
	CU_ASSERT_TRUE(run(l, &cc, 20 * USEC_PER_S) > 4250000);
	CU_ASSERT_TRUE(l->dropped * 50 < l->sent); /* below 2 % */
}

static void test_follows_the_rate_down_and_up(void)
{
	struct link *l = fresh(10000000, 20 * USEC_PER_MS, 400000, 0);
	struct cc cc = born();

	run(l, &cc, 3 * USEC_PER_S);
	l->rate = 2500000;
	run(l, &cc, 10 * USEC_PER_S);
	CU_ASSERT_TRUE(cc.bandwidth < 2700000);
	CU_ASSERT_TRUE(run(l, &cc, 10 * USEC_PER_S) > 2300000);
	l->rate = 10000000;
	run(l, &cc, 10 * USEC_PER_S);
	CU_ASSERT_TRUE(run(l, &cc, 10 * USEC_PER_S) > 9200000);
}

static void test_a_longer_way_becomes_the_least_round_trip(void)
{
	struct link *l = fresh(5000000, 20 * USEC_PER_MS, 1000000, 0);
	struct cc cc = born();

	run(l, &cc, 3 * USEC_PER_S);
	l->rtt_us = 80 * USEC_PER_MS;
	run(l, &cc, 20 * USEC_PER_S); /* PROBE_RTT, then the old minimum is out of date */
	CU_ASSERT_TRUE(run(l, &cc, 20 * USEC_PER_S) > 4750000);
}

static void test_a_timeout_starts_over_and_undo_brings_it_back(void)
{
	struct link *l = fresh(5000000, 40 * USEC_PER_MS, 1000000, 0);
	struct cc cc = born();
	uint32_t before;

	run(l, &cc, 5 * USEC_PER_S);
	before = cc.cwnd;
	cc.ops->timeout(&cc, l->in_flight, l->now);
	CU_ASSERT_EQUAL(cc.cwnd, MSS);
	cc.ops->undo(&cc, l->now);
	CU_ASSERT_EQUAL(cc.cwnd, before);
	cc.ops->timeout(&cc, l->in_flight, l->now);
	run(l, &cc, USEC_PER_S);
	CU_ASSERT_TRUE(run(l, &cc, 5 * USEC_PER_S) > 4750000); /* the model stands */
}

UNIT_MAIN("cc_bbr", T(test_finds_the_rate_and_keeps_the_queue_low), T(test_random_loss_does_not_starve_it),
	  T(test_a_shallow_queue_is_not_flooded), T(test_follows_the_rate_down_and_up),
	  T(test_a_longer_way_becomes_the_least_round_trip), T(test_a_timeout_starts_over_and_undo_brings_it_back))
