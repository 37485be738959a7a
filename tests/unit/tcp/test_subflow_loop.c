/* SPDX-License-Identifier: MIT */
/* Two subflows talk to each other over links that lose, reorder and repeat: all arrives, all ends, and it is fast enough. */
#include "tests/unit/tcp/loop.h"

#include "tests/unit/unit.h"

#define MBIT (1000 * 1000 / 8)

static bool run(struct loop *l, uint64_t seed, usec_t limit_us)
{
	struct subflow_config c = loop_config(l);
	bool ok;

	loop_begin(l, &c, &c, seed);
	ok = loop_run(l, limit_us);
	if (!ok)
		fprintf(stderr, "seed %llu at %llu us: %s; %s %llu of %llu, %s %llu of %llu\n", (unsigned long long)seed,
			(unsigned long long)l->now, l->broken ? l->broken : "not done in time",
			subflow_state_name(l->end[0].sf.state), (unsigned long long)l->end[1].got, (unsigned long long)l->end[0].to_send,
			subflow_state_name(l->end[1].sf.state), (unsigned long long)l->end[0].got, (unsigned long long)l->end[1].to_send);
	return ok;
}

static void test_all_arrives_whatever_the_link_does(void)
{
	for (uint64_t seed = 1; seed <= 150; seed++) {
		struct loop l = { .chance = seed * 77 };

		for (int i = 0; i < 2; i++) {
			l.end[i].link = (struct loop_link){
				.rate = (1 + loop_chance(&l) % 100) * MBIT, .delay_us = loop_chance(&l) % 80000,
				.queue_bytes = 5000 + loop_chance(&l) % 200000, .loss = loop_chance(&l) % (65536 / 5),
				.dup = loop_chance(&l) % 6000, .reorder = loop_chance(&l) % 20000, .reorder_us = 1 + loop_chance(&l) % 30000,
			};
			if (seed % 5 == 0)
				l.end[i].link.loss = 0;
			l.end[i].to_send = seed % 3 ? loop_chance(&l) % 300000 : loop_chance(&l) % 5000;
			l.end[i].stingy = seed % 7 == 0;
			if (seed % 4 == 0)
				l.end[i].buffer = 3000 + loop_chance(&l) % 30000;
			if (seed % 4 == 0 && seed % 8)
				l.end[i].read_rate = 20000 + loop_chance(&l) % 500000;
		}
		if (seed % 10 == 0) {
			l.end[0].link.dead_from_us = l.end[1].link.dead_from_us = 1100 * USEC_PER_MS;
			l.end[0].link.dead_to_us = l.end[1].link.dead_to_us = 5000 * USEC_PER_MS;
		}
		CU_ASSERT_TRUE(run(&l, seed, 3600 * USEC_PER_S));
		loop_end_all(&l);
	}
}

/* Seconds for n bytes one way over a clean link of that rate, from the SYN to the FIN. */
static double seconds(struct loop *l, uint64_t rate, usec_t rtt_us, double queue_bdp, uint64_t n)
{
	for (int i = 0; i < 2; i++) {
		l->end[i].link.rate = rate;
		l->end[i].link.delay_us = rtt_us / 2;
		l->end[i].link.queue_bytes = (uint32_t)((double)rate * (double)rtt_us / 1e6 * queue_bdp);
	}
	l->end[0].to_send = n;
	CU_ASSERT_TRUE(run(l, 1, 7200 * USEC_PER_S));
	return (double)(l->end[1].done_us - USEC_PER_S) / 1e6;
}

static void test_a_clean_link_is_filled(void)
{
	struct loop l = { 0 };
	uint64_t rate = 10 * MBIT, n = 20 * rate;
	double took = seconds(&l, rate, 40 * USEC_PER_MS, 1, n);

	CU_ASSERT_TRUE((double)n / took > 0.9 * (double)rate);
	CU_ASSERT_EQUAL(l.counters.v[CNT_RetransmitTimeout], 0);
	loop_end_all(&l);
}

static void test_a_long_fat_link_is_filled(void)
{
	struct loop l = { 0 };
	uint64_t rate = 200 * MBIT, n = 10 * rate;
	double took = seconds(&l, rate, 100 * USEC_PER_MS, 1, n);

	CU_ASSERT_TRUE((double)n / took > 0.8 * (double)rate);
	CU_ASSERT_EQUAL(l.counters.v[CNT_RetransmitTimeout], 0);
	loop_end_all(&l);
}

/* One in a hundred is lost: repaired without timeouts, but for chance upon chance. */
static void test_random_loss_is_repaired_without_timeouts(void)
{
	struct loop l = { 0 };

	l.end[0].link.loss = l.end[1].link.loss = 655;
	seconds(&l, 10 * MBIT, 40 * USEC_PER_MS, 1, 5 * 1000 * 1000);
	CU_ASSERT_TRUE(l.counters.v[CNT_RetransmitTimeout] <= 2);
	CU_ASSERT_TRUE(l.counters.v[CNT_FastRecovery] > 10);
	/* What is sent again is what was lost, nearly. */
	CU_ASSERT_TRUE(l.end[0].sf.retransmitted_segments < l.end[0].dropped + l.end[0].dropped / 4 + 5);
	loop_end_all(&l);
}

/* Reordering within a quarter of the RTT must not look like loss for long. */
static void test_reordering_alone_costs_little(void)
{
	struct loop l = { 0 };
	uint64_t rate = 10 * MBIT, n = 10 * rate;
	double took;

	l.end[0].link.reorder = 6000;
	l.end[0].link.reorder_us = 8 * USEC_PER_MS;
	took = seconds(&l, rate, 40 * USEC_PER_MS, 2, n);
	CU_ASSERT_TRUE((double)n / took > 0.85 * (double)rate);
	loop_end_all(&l);
}

/* Two seconds of silence: the stream goes on within one more backed-off timeout. */
static void test_a_dead_time_is_survived(void)
{
	struct loop l = { 0 };

	for (int i = 0; i < 2; i++) {
		l.end[i].link.dead_from_us = 3 * USEC_PER_S;
		l.end[i].link.dead_to_us = 5 * USEC_PER_S;
	}
	seconds(&l, 10 * MBIT, 40 * USEC_PER_MS, 1, 10 * 1000 * 1000);
	CU_ASSERT_TRUE(l.end[1].longest_gap_us >= 2 * USEC_PER_S);
	CU_ASSERT_TRUE(l.end[1].longest_gap_us < 5 * USEC_PER_S);
	loop_end_all(&l);
}

/* Half a second of nothing, and then all of it: late, not lost. Hardly anything is sent twice, and the window stays. */
static void test_a_delay_is_not_taken_for_a_loss(void)
{
	for (int way = 0; way < 2; way++) {
		struct loop l = { 0 };

		l.end[way].link.held_from_us = 4 * USEC_PER_S;
		l.end[way].link.held_to_us = 4500 * USEC_PER_MS;
		seconds(&l, 10 * MBIT, 40 * USEC_PER_MS, 2, 10 * 1000 * 1000);
		CU_ASSERT_TRUE(l.counters.v[CNT_SpuriousRecovery] >= 1);
		CU_ASSERT_TRUE(l.end[0].sf.retransmitted_segments <= l.end[0].dropped + 5);
		CU_ASSERT_TRUE(l.end[1].done_us < 10500 * USEC_PER_MS); /* 8.4 s of sending, the half second, and little more */
		loop_end_all(&l);
	}
}

static void test_a_slow_reader_is_waited_for(void)
{
	struct loop l = { 0 };

	l.end[1].buffer = 20000;
	l.end[1].read_rate = 100000;
	seconds(&l, 100 * MBIT, 10 * USEC_PER_MS, 4, 1000 * 1000);
	CU_ASSERT_EQUAL(l.counters.v[CNT_RetransmitTimeout], 0);
	CU_ASSERT_EQUAL(l.end[0].sf.retransmitted_segments, 0);
	loop_end_all(&l);
}

static void test_timestamps_and_peers_without_options_work_too(void)
{
	for (int i = 0; i < 4; i++) {
		struct loop l = { 0 };
		struct subflow_config a = loop_config(&l), b = a;

		a.timestamps = true;
		b.timestamps = i & 1;
		b.mss = i & 2 ? 300 : 1400;
		for (int k = 0; k < 2; k++)
			l.end[k].link = (struct loop_link){ .delay_us = 5000, .loss = 1000, .reorder = 1000, .reorder_us = 1000 };
		l.end[0].to_send = l.end[1].to_send = 300000;
		loop_begin(&l, &a, &b, (uint64_t)i + 1);
		if (i == 3)
			l.end[0].sf.sack_ok = l.end[1].sf.sack_ok = false;
		CU_ASSERT_TRUE(loop_run(&l, 3600 * USEC_PER_S));
		loop_end_all(&l);
	}
}

static void test_reno_fills_the_link_too(void)
{
	struct loop l = { 0 };
	struct subflow_config c = loop_config(&l);
	uint64_t rate = 10 * MBIT;

	c.cc = &cc_reno;
	for (int i = 0; i < 2; i++)
		l.end[i].link = (struct loop_link){ .rate = rate, .delay_us = 20000, .queue_bytes = 50000 };
	l.end[0].to_send = 10 * rate;
	loop_begin(&l, &c, &c, 1);
	CU_ASSERT_TRUE(loop_run(&l, 600 * USEC_PER_S));
	CU_ASSERT_TRUE(l.end[1].done_us < 12500 * USEC_PER_MS);
	loop_end_all(&l);
}

UNIT_MAIN("subflow_loop",
	T(test_all_arrives_whatever_the_link_does),
	T(test_a_clean_link_is_filled),
	T(test_a_long_fat_link_is_filled),
	T(test_random_loss_is_repaired_without_timeouts),
	T(test_reordering_alone_costs_little),
	T(test_a_dead_time_is_survived),
	T(test_a_delay_is_not_taken_for_a_loss),
	T(test_a_slow_reader_is_waited_for),
	T(test_timestamps_and_peers_without_options_work_too),
	T(test_reno_fills_the_link_too))
