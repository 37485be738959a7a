/* SPDX-License-Identifier: MIT */
#include "tests/sim/link.h"
#include "tests/unit/unit.h"

static const struct link_config megabyte = { .rate = 1000000, .delay_us = 10000, .queue_bytes = 10000, .mtu = 1500 };

static struct link link_of(struct link_config c, uint64_t seed)
{
	struct link l;

	link_init(&l, &c, rnd_fork(seed, "link", 0));
	return l;
}

static void test_packet_takes_its_size_by_the_rate_plus_the_delay(void)
{
	struct link l = link_of(megabyte, 1);
	struct link_verdict v = link_send(&l, 1000, 5000);

	CU_ASSERT_EQUAL(v.fate, LINK_DELIVERED);
	CU_ASSERT_EQUAL(v.copies, 1);
	CU_ASSERT_EQUAL(v.arrival_us[0], 5000 + 1000 + 10000);
}

static void test_packets_wait_for_those_before_them(void)
{
	struct link l = link_of(megabyte, 1);

	for (unsigned i = 1; i <= 5; i++)
		CU_ASSERT_EQUAL(link_send(&l, 1000, 0).arrival_us[0], i * 1000 + 10000);
	/* an idle time empties the queue */
	CU_ASSERT_EQUAL(link_send(&l, 1000, 20000).arrival_us[0], 31000);
}

static void test_full_queue_drops_the_newcomer_and_drains_by_the_rate(void)
{
	struct link l = link_of(megabyte, 1);

	for (unsigned i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(link_send(&l, 1000, 0).fate, LINK_DELIVERED);
	CU_ASSERT_EQUAL(link_send(&l, 1000, 0).fate, LINK_QUEUE_FULL);
	CU_ASSERT_EQUAL(link_send(&l, 1000, 999).fate, LINK_QUEUE_FULL);
	CU_ASSERT_EQUAL(link_send(&l, 1000, 1000).fate, LINK_DELIVERED);
}

static void test_down_link_and_large_packet_deliver_nothing(void)
{
	struct link l = link_of(megabyte, 1);
	struct link_verdict v = link_send(&l, 1501, 0);

	CU_ASSERT_EQUAL(v.fate, LINK_TOO_BIG);
	CU_ASSERT_EQUAL(v.copies, 0);
	l.up = false;
	v = link_send(&l, 100, 0);
	CU_ASSERT_EQUAL(v.fate, LINK_DOWN);
	CU_ASSERT_EQUAL(v.copies, 0);
	CU_ASSERT_EQUAL(l.lost_packets, 2);
}

/* n packets, far enough apart not to queue; how many arrive? */
static unsigned arrivals(struct link *l, unsigned n)
{
	unsigned arrived = 0;

	for (unsigned i = 0; i < n; i++)
		arrived += link_send(l, 100, (usec_t)i * 1000).copies != 0;
	return arrived;
}

static void test_bernoulli_loss_is_near_its_rate(void)
{
	struct link_config c = megabyte;
	struct link l;
	unsigned arrived;

	c.loss_ppm = 100000;
	l = link_of(c, 7);
	arrived = arrivals(&l, 20000);
	CU_ASSERT(arrived > 17800 && arrived < 18200);
	CU_ASSERT_EQUAL(link_mean_loss_ppm(&c), 100000);
}

static void test_gilbert_loss_is_near_its_mean_and_comes_in_bursts(void)
{
	struct link_config c = megabyte;
	struct link l;
	unsigned bursts = 0, lost = 0;
	bool before = false;

	c.bad_enter_ppm = 10000;
	c.bad_leave_ppm = 100000;
	c.bad_loss_ppm = 1000000;
	l = link_of(c, 7);
	for (unsigned i = 0; i < 50000; i++) {
		bool now = link_send(&l, 100, (usec_t)i * 1000).fate == LINK_LOST;

		lost += now;
		bursts += now && !before;
		before = now;
	}
	CU_ASSERT_EQUAL(link_mean_loss_ppm(&c), 90909);
	CU_ASSERT(lost > 4000 && lost < 5100);
	CU_ASSERT(lost / bursts >= 8 && lost / bursts <= 12);
}

static void test_jitter_alone_never_reorders_and_reordering_does(void)
{
	struct link_config c = megabyte;
	struct link l;
	usec_t last = 0;
	unsigned overtaken = 0;

	c.jitter_us = 5000;
	l = link_of(c, 3);
	for (unsigned i = 0; i < 1000; i++) {
		usec_t at = link_send(&l, 100, (usec_t)i * 200).arrival_us[0];

		CU_ASSERT(at >= last);
		last = at;
	}
	c.reorder_ppm = 200000;
	c.reorder_us = 5000;
	l = link_of(c, 3);
	last = 0;
	for (unsigned i = 0; i < 1000; i++) {
		usec_t at = link_send(&l, 100, (usec_t)i * 200).arrival_us[0];

		overtaken += at < last;
		last = at;
	}
	CU_ASSERT(overtaken > 20);
}

static void test_duplicates_and_corruption_come_at_their_rates(void)
{
	struct link_config c = megabyte;
	struct link l;
	unsigned twice = 0, corrupted = 0;

	c.dup_ppm = 50000;
	c.corrupt_ppm = 20000;
	l = link_of(c, 11);
	for (unsigned i = 0; i < 20000; i++) {
		struct link_verdict v = link_send(&l, 100, (usec_t)i * 1000);

		twice += v.copies == 2;
		CU_ASSERT(v.copies < 2 || v.arrival_us[1] >= v.arrival_us[0]);
		corrupted += v.corrupted;
	}
	CU_ASSERT(twice > 850 && twice < 1150);
	CU_ASSERT(corrupted > 300 && corrupted < 500);
}

static void test_same_seed_same_fate(void)
{
	struct link_config c = megabyte;
	struct link a, b, other;
	unsigned differs = 0;

	c.loss_ppm = c.dup_ppm = c.reorder_ppm = 300000;
	c.jitter_us = c.reorder_us = 3000;
	a = link_of(c, 5);
	b = link_of(c, 5);
	other = link_of(c, 6);
	for (unsigned i = 0; i < 1000; i++) {
		struct link_verdict va = link_send(&a, 700, (usec_t)i * 300), vb = link_send(&b, 700, (usec_t)i * 300);

		CU_ASSERT(va.fate == vb.fate && va.copies == vb.copies && va.arrival_us[0] == vb.arrival_us[0]);
		differs += link_send(&other, 700, (usec_t)i * 300).fate != va.fate;
	}
	CU_ASSERT(differs > 100);
}

UNIT_MAIN("sim/link",
	T(test_packet_takes_its_size_by_the_rate_plus_the_delay),
	T(test_packets_wait_for_those_before_them),
	T(test_full_queue_drops_the_newcomer_and_drains_by_the_rate),
	T(test_down_link_and_large_packet_deliver_nothing),
	T(test_bernoulli_loss_is_near_its_rate),
	T(test_gilbert_loss_is_near_its_mean_and_comes_in_bursts),
	T(test_jitter_alone_never_reorders_and_reordering_does),
	T(test_duplicates_and_corruption_come_at_their_rates),
	T(test_same_seed_same_fate))
