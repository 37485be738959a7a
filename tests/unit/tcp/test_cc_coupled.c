/* SPDX-License-Identifier: MIT */
/* LIA and OLIA by themselves: how the windows of one connection grow together. */
#include "tunneld/tcp/cc.h"

#include "tests/unit/unit.h"

enum { MSS = 1000 };

static void born(struct cc *cc, const struct cc_ops *ops, struct cc_group *g, uint32_t segs)
{
	*cc = (struct cc){ .ops = ops, .mss = MSS };
	ops->init(cc, USEC_PER_S);
	cc_join(cc, g);
	cc->cwnd = cc->ssthresh = segs * MSS; /* congestion avoidance */
}

static void acked(struct cc *cc, usec_t rtt, uint32_t bytes)
{
	struct cc_ack ack = { .acked = bytes, .in_flight = cc->cwnd, .rtt_us = rtt, .srtt_us = rtt, .min_rtt_us = rtt };

	cc->ops->acked(cc, &ack, 2 * USEC_PER_S);
}

/* By how many bytes both together grow in a round trip of n segments each. */
static int64_t growth(struct cc *a, struct cc *b, usec_t rtt)
{
	int64_t before;

	acked(a, rtt, 1); /* both are known by a round trip now */
	acked(b, rtt, 1);
	before = (int64_t)a->cwnd + b->cwnd;
	for (uint32_t left = a->cwnd / MSS, i = 0; i < left; i++)
		acked(a, rtt, MSS);
	for (uint32_t left = b->cwnd / MSS, i = 0; i < left; i++)
		acked(b, rtt, MSS);
	return (int64_t)a->cwnd + b->cwnd - before;
}

static void test_alone_each_grows_as_reno(void)
{
	static const struct cc_ops *const all[] = { &cc_lia, &cc_olia };

	for (unsigned i = 0; i < 2; i++) {
		struct cc_group g = { .count = 0 };
		struct cc one;

		born(&one, all[i], &g, 40);
		acked(&one, 50000, 1);
		for (unsigned n = 0; n < 40; n++)
			acked(&one, 50000, MSS);
		CU_ASSERT_TRUE(one.cwnd >= 40900 && one.cwnd <= 41100); /* one segment a round trip */
	}
}

/* RFC 6356 1: two through one bottleneck take what one would. Two of Reno would grow by two segments. */
static void test_two_alike_grow_as_one_together(void)
{
	static const struct cc_ops *const all[] = { &cc_lia, &cc_olia };

	for (unsigned i = 0; i < 2; i++) {
		struct cc_group g = { .count = 0 };
		struct cc a, b;
		int64_t by;

		born(&a, all[i], &g, 40);
		born(&b, all[i], &g, 40);
		by = growth(&a, &b, 50000);
		CU_ASSERT_TRUE(by > 400 && by < 1100);
	}
}

/* RFC 6356 2.1: never faster on one path than one TCP there. */
static void test_lia_is_nowhere_faster_than_reno(void)
{
	struct cc_group g = { .count = 0 };
	struct cc slow, fast;

	born(&slow, &cc_lia, &g, 4);
	born(&fast, &cc_lia, &g, 100);
	acked(&slow, 10000, 1);
	acked(&fast, 200000, 1);
	for (unsigned n = 0; n < 4; n++)
		acked(&slow, 10000, MSS);
	CU_ASSERT_TRUE(slow.cwnd <= 5 * MSS + 50);
}

/* OLIA 3: the path that lost less though its window is small gets what the widest gives. */
static void test_olia_moves_towards_the_better_path(void)
{
	struct cc_group g = { .count = 0 };
	struct cc wide, good;

	born(&wide, &cc_olia, &g, 80);
	born(&good, &cc_olia, &g, 20);
	acked(&wide, 50000, 100 * MSS);
	wide.ops->loss(&wide, wide.cwnd, USEC_PER_S);
	wide.ops->loss(&wide, wide.cwnd, USEC_PER_S); /* and again: nothing between */
	wide.cwnd = wide.ssthresh = 80 * MSS;
	for (unsigned n = 0; n < 300; n++)
		acked(&good, 50000, MSS);
	good.cwnd = good.ssthresh = 20 * MSS;
	for (unsigned n = 0; n < 80; n++)
		acked(&wide, 50000, MSS);
	for (unsigned n = 0; n < 20; n++)
		acked(&good, 50000, MSS);
	CU_ASSERT_TRUE(good.cwnd > 20 * MSS + 300);
	CU_ASSERT_TRUE(wide.cwnd <= 80 * MSS + 300);
}

static void test_who_leaves_no_longer_counts(void)
{
	struct cc_group g = { .count = 0 };
	struct cc a, b;

	born(&a, &cc_lia, &g, 40);
	born(&b, &cc_lia, &g, 40);
	CU_ASSERT_EQUAL(g.count, 2);
	acked(&b, 50000, 1);
	cc_leave(&b);
	CU_ASSERT_EQUAL(g.count, 1);
	CU_ASSERT_PTR_EQUAL(g.member[0], &a);
	acked(&a, 50000, 1);
	for (unsigned n = 0; n < 40; n++)
		acked(&a, 50000, MSS);
	CU_ASSERT_TRUE(a.cwnd >= 40900);
	cc_leave(&b); /* once is enough, twice does no harm */
	CU_ASSERT_EQUAL(g.count, 1);
}

UNIT_MAIN("cc_coupled", T(test_alone_each_grows_as_reno), T(test_two_alike_grow_as_one_together),
	  T(test_lia_is_nowhere_faster_than_reno), T(test_olia_moves_towards_the_better_path), T(test_who_leaves_no_longer_counts))
