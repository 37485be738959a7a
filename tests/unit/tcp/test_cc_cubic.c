/* SPDX-License-Identifier: MIT */
/* CUBIC and Reno by themselves: what an ACK, a loss, a timeout and idleness make of the window. */
#include "tunneld/tcp/cc.h"

#include "tests/unit/unit.h"

enum { MSS = 1000 };
#define RTT (50 * USEC_PER_MS)

static struct cc born(const struct cc_ops *ops)
{
	struct cc cc = { .ops = ops, .mss = MSS };

	ops->init(&cc, USEC_PER_S);
	return cc;
}

/* One round trip in which the whole window is acknowledged, two segments an ACK. */
static void round_trip(struct cc *cc, usec_t *now, usec_t rtt)
{
	uint32_t window = cc->cwnd;

	for (uint32_t acked = 0; acked < window; acked += 2 * MSS) {
		struct cc_ack ack = { .acked = 2 * MSS, .in_flight = window, .rtt_us = rtt, .srtt_us = rtt, .min_rtt_us = RTT };

		*now += rtt * 2 * MSS / window;
		cc->ops->acked(cc, &ack, *now);
	}
}

static void test_names(void)
{
	CU_ASSERT_PTR_EQUAL(cc_by_name("cubic"), &cc_cubic);
	CU_ASSERT_PTR_EQUAL(cc_by_name("reno"), &cc_reno);
	CU_ASSERT_PTR_EQUAL(cc_by_name("bbr"), &cc_bbr);
	CU_ASSERT_PTR_EQUAL(cc_by_name("lia"), &cc_lia);
	CU_ASSERT_PTR_EQUAL(cc_by_name("olia"), &cc_olia);
	CU_ASSERT_PTR_EQUAL(cc_by_name(NULL), &cc_bbr);
	CU_ASSERT_PTR_NULL(cc_by_name("vegas"));
}

static void test_slow_start_doubles_while_the_rtt_stands(void)
{
	struct cc cc = born(&cc_cubic);
	usec_t now = USEC_PER_S;

	CU_ASSERT_EQUAL(cc.cwnd, 10 * MSS); /* RFC 6928 */
	for (int i = 0; i < 5; i++)
		round_trip(&cc, &now, RTT);
	CU_ASSERT_EQUAL(cc.cwnd, 320 * MSS);
	CU_ASSERT_EQUAL(cc.ssthresh, UINT32_MAX);
}

/* RFC 9406: a growing round trip ends slow start before a loss does, and a jump that goes away does not. */
static void test_hystart_hears_the_queue(void)
{
	struct cc cc = born(&cc_cubic);
	usec_t now = USEC_PER_S, rtt = RTT;

	for (int i = 0; i < 3; i++)
		round_trip(&cc, &now, rtt);
	for (int i = 0; i < 10 && cc.ssthresh == UINT32_MAX; i++)
		round_trip(&cc, &now, rtt += 10 * USEC_PER_MS);
	CU_ASSERT_NOT_EQUAL(cc.ssthresh, UINT32_MAX);
	CU_ASSERT_TRUE(cc.cwnd < 1000 * MSS); /* doubling would have made it 80000 */

	cc = born(&cc_cubic);
	for (int i = 0; i < 3; i++)
		round_trip(&cc, &now, RTT);
	round_trip(&cc, &now, RTT + 10 * USEC_PER_MS);
	for (int i = 0; i < 8 && cc.cwnd < 10000 * MSS; i++)
		round_trip(&cc, &now, RTT);
	CU_ASSERT_EQUAL(cc.ssthresh, UINT32_MAX);
	CU_ASSERT_TRUE(cc.cwnd >= 10000 * MSS);
}

static void test_a_loss_takes_three_tenths_and_the_cubic_brings_it_back(void)
{
	struct cc cc = born(&cc_cubic);
	usec_t now = USEC_PER_S, start;

	cc.cwnd = cc.ssthresh = 200 * MSS;
	cc.ops->loss(&cc, cc.cwnd, now);
	CU_ASSERT_EQUAL(cc.cwnd, 140 * MSS);
	CU_ASSERT_EQUAL(cc.ssthresh, 140 * MSS);
	start = now;
	while (cc.cwnd < 199 * MSS && now < start + 100 * USEC_PER_S)
		round_trip(&cc, &now, RTT);
	/* RFC 9438 4.2: K = cbrt(200 * 0.3 / 0.4) = 5.31 s, and one segment below that 1.36 s earlier; Reno's would need 5.7 s. */
	CU_ASSERT_TRUE(now - start > 3700 * USEC_PER_MS && now - start < 4200 * USEC_PER_MS);
}

static void test_it_is_flat_around_the_old_window_and_steep_beyond(void)
{
	struct cc cc = born(&cc_cubic);
	usec_t now = USEC_PER_S, rtt = 200 * USEC_PER_MS; /* long: Reno is far behind */
	uint32_t at[13];

	cc.cwnd = cc.ssthresh = 2000 * MSS;
	cc.ops->loss(&cc, cc.cwnd, now);
	for (int s = 0; s < 13; s++) {
		usec_t end = now + 2 * USEC_PER_S;

		while (now < end)
			round_trip(&cc, &now, rtt);
		at[s] = cc.cwnd;
	}
	/* K is 11.4 s: fast at first, slow in the middle, fast in the end. */
	CU_ASSERT_TRUE(at[0] - 1400 * MSS > 4 * (at[5] - at[4]));
	CU_ASSERT_TRUE(at[12] - at[11] > 4 * (at[6] - at[5]));
	CU_ASSERT_TRUE(at[5] > 1950 * MSS && at[5] < 2050 * MSS);
}

static void test_fast_convergence_leaves_room(void)
{
	struct cc cc = born(&cc_cubic), slow;
	usec_t now = USEC_PER_S, end;

	cc.cwnd = cc.ssthresh = 1000 * MSS;
	cc.ops->loss(&cc, cc.cwnd, now);
	slow = cc;
	cc.ops->loss(&cc, cc.cwnd, now); /* again, below the old window */
	slow.cwnd = 490 * MSS;           /* as if it had only become smaller */
	end = now + 6 * USEC_PER_S;
	while (now < end)
		round_trip(&cc, &now, RTT);
	now -= 6 * USEC_PER_S;
	while (now < end)
		round_trip(&slow, &now, RTT);
	CU_ASSERT_TRUE(cc.cwnd < slow.cwnd); /* RFC 9438 4.7 */
}

/* RFC 9438 4.3: where windows are small, CUBIC is no slower than Reno. */
static void test_short_paths_get_at_least_renos_window(void)
{
	struct cc cubic = born(&cc_cubic), reno = born(&cc_reno);
	usec_t a = USEC_PER_S, b = USEC_PER_S;

	cubic.cwnd = reno.cwnd = cubic.ssthresh = reno.ssthresh = 20 * MSS;
	cubic.ops->loss(&cubic, 20 * MSS, a);
	reno.ops->loss(&reno, 20 * MSS, b);
	CU_ASSERT_EQUAL(reno.cwnd, 10 * MSS);
	for (int i = 0; i < 40; i++) {
		round_trip(&cubic, &a, 2 * USEC_PER_MS);
		round_trip(&reno, &b, 2 * USEC_PER_MS);
	}
	CU_ASSERT_TRUE(reno.cwnd >= 45 * MSS && reno.cwnd <= 52 * MSS); /* one segment a round trip */
	CU_ASSERT_TRUE(cubic.cwnd * 10 > reno.cwnd * 8);
}

static void test_timeout_begins_from_one_segment_and_undo_brings_all_back(void)
{
	const struct cc_ops *const both[] = { &cc_cubic, &cc_reno };

	for (int i = 0; i < 2; i++) {
		struct cc cc = born(both[i]);

		cc.cwnd = 100 * MSS;
		cc.ssthresh = 90 * MSS;
		cc.ops->timeout(&cc, 100 * MSS, USEC_PER_S);
		CU_ASSERT_EQUAL(cc.cwnd, MSS);
		CU_ASSERT_EQUAL(cc.ssthresh, i ? 50 * MSS : 70 * MSS);
		cc.ops->undo(&cc, USEC_PER_S);
		CU_ASSERT_EQUAL(cc.cwnd, 100 * MSS);
		CU_ASSERT_EQUAL(cc.ssthresh, 90 * MSS);
		cc.cwnd = 5 * MSS;
		cc.ops->undo(&cc, USEC_PER_S); /* once only */
		CU_ASSERT_EQUAL(cc.cwnd, 5 * MSS);
	}
}

static void test_a_window_that_is_not_used_does_not_grow(void)
{
	const struct cc_ops *const both[] = { &cc_cubic, &cc_reno };

	for (int i = 0; i < 2; i++) {
		struct cc cc = born(both[i]);
		struct cc_ack ack = { .acked = MSS, .in_flight = MSS, .rtt_us = RTT, .srtt_us = RTT, .min_rtt_us = RTT, .app_limited = true };

		for (int k = 0; k < 1000; k++)
			cc.ops->acked(&cc, &ack, USEC_PER_S + (usec_t)k * RTT);
		CU_ASSERT_EQUAL(cc.cwnd, 10 * MSS);
	}
}

static void test_idleness_restarts_with_the_initial_window(void)
{
	struct cc cc = born(&cc_cubic);

	cc.cwnd = 400 * MSS;
	cc.ops->idle(&cc, 10 * USEC_PER_S, 20 * USEC_PER_S);
	CU_ASSERT_EQUAL(cc.cwnd, 10 * MSS);
	CU_ASSERT_EQUAL(cc.ssthresh, 300 * MSS); /* and slow start leads back, RFC 5681 4.1 */
}

static void test_the_window_never_falls_below_two_segments_by_loss(void)
{
	const struct cc_ops *const both[] = { &cc_cubic, &cc_reno };

	for (int i = 0; i < 2; i++) {
		struct cc cc = born(both[i]);

		for (int k = 0; k < 50; k++)
			cc.ops->loss(&cc, cc.cwnd, USEC_PER_S);
		CU_ASSERT_EQUAL(cc.cwnd, 2 * MSS);
	}
}

/* RFC 6928 2 */
static void test_the_initial_window_is_bounded_in_bytes(void)
{
	CU_ASSERT_EQUAL(cc_initial_window(536), 5360);
	CU_ASSERT_EQUAL(cc_initial_window(1448), 14480);
	CU_ASSERT_EQUAL(cc_initial_window(1460), 14600);
	CU_ASSERT_EQUAL(cc_initial_window(4380), 14600);
	CU_ASSERT_EQUAL(cc_initial_window(8911), 17822);
	CU_ASSERT_EQUAL(cc_first_window(32, 1448), 46336);
	CU_ASSERT_EQUAL(cc_first_window(32, 8911), 46720);
}

UNIT_MAIN("cc_cubic",
	T(test_the_initial_window_is_bounded_in_bytes), T(test_names),
	T(test_slow_start_doubles_while_the_rtt_stands),
	T(test_hystart_hears_the_queue),
	T(test_a_loss_takes_three_tenths_and_the_cubic_brings_it_back),
	T(test_it_is_flat_around_the_old_window_and_steep_beyond),
	T(test_fast_convergence_leaves_room),
	T(test_short_paths_get_at_least_renos_window),
	T(test_timeout_begins_from_one_segment_and_undo_brings_all_back),
	T(test_a_window_that_is_not_used_does_not_grow),
	T(test_idleness_restarts_with_the_initial_window),
	T(test_the_window_never_falls_below_two_segments_by_loss))
