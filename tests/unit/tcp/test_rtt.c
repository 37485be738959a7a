/* SPDX-License-Identifier: MIT */
#include "tunneld/tcp/rtt.h"

#include "tests/unit/unit.h"

#define MS USEC_PER_MS

static void test_first_sample_sets_both(void)
{
	struct rtt r;

	rtt_init(&r, 1, 60 * USEC_PER_S, USEC_PER_S, 0);
	CU_ASSERT_EQUAL(r.rto_us, USEC_PER_S); /* RFC 6298 2.1 */
	rtt_sample(&r, 100 * MS, 0);
	CU_ASSERT_EQUAL(r.srtt_us, 100 * MS);
	CU_ASSERT_EQUAL(r.rttvar_us, 50 * MS);
	CU_ASSERT_EQUAL(r.rto_us, 300 * MS);
}

static void test_later_samples_are_smoothed(void)
{
	struct rtt r;

	rtt_init(&r, 1, 60 * USEC_PER_S, USEC_PER_S, 0);
	rtt_sample(&r, 100 * MS, 0);
	rtt_sample(&r, 60 * MS, 100 * MS);
	CU_ASSERT_EQUAL(r.mdev_us, (3 * 50 * MS + 40 * MS) / 4);
	CU_ASSERT_EQUAL(r.rttvar_us, 50 * MS - (50 * MS - r.mdev_us) / 4);
	CU_ASSERT_EQUAL(r.srtt_us, (7 * 100 * MS + 60 * MS) / 8);
	CU_ASSERT_EQUAL(r.rto_us, r.srtt_us + 4 * r.rttvar_us);
}

/* A hundred even samples within one round trip do not make the path an even one. */
static void test_variation_falls_once_a_round_trip_and_rises_at_once(void)
{
	struct rtt r;
	usec_t before;

	rtt_init(&r, 1, 60 * USEC_PER_S, USEC_PER_S, 0);
	rtt_sample(&r, 100 * MS, 0);
	for (usec_t at = 1; at < 100; at++)
		rtt_sample(&r, 100 * MS, at * MS / 2);
	CU_ASSERT_EQUAL(r.rttvar_us, 50 * MS);
	for (usec_t at = 1; at < 100; at++)
		rtt_sample(&r, 100 * MS, at * 100 * MS);
	CU_ASSERT_TRUE(r.rttvar_us < 1 * MS);
	before = r.rto_us;
	rtt_sample(&r, 180 * MS, 100 * 100 * MS);
	CU_ASSERT_TRUE(r.rttvar_us >= 20 * MS);
	CU_ASSERT_TRUE(r.rto_us > before + 80 * MS);
}

static void test_a_long_even_path_leaves_time_for_a_delayed_ack(void)
{
	struct rtt r;

	rtt_init(&r, 200 * MS, 60 * USEC_PER_S, USEC_PER_S, 0);
	for (usec_t at = 0; at < 1000; at++)
		rtt_sample(&r, 600 * MS, at * 600 * MS);
	CU_ASSERT_EQUAL(r.rto_us, 650 * MS);
}

static void test_backoff_doubles_up_to_the_limit_and_a_sample_ends_it(void)
{
	struct rtt r;

	rtt_init(&r, 200 * MS, USEC_PER_S, USEC_PER_S, 0);
	rtt_sample(&r, 10 * MS, 0);
	CU_ASSERT_EQUAL(r.rto_us, 200 * MS);
	rtt_back_off(&r);
	CU_ASSERT_EQUAL(r.rto_us, 400 * MS);
	rtt_back_off(&r);
	CU_ASSERT_EQUAL(r.rto_us, 800 * MS);
	for (int i = 0; i < 300; i++)
		rtt_back_off(&r);
	CU_ASSERT_EQUAL(r.rto_us, USEC_PER_S);
	rtt_progress(&r);
	CU_ASSERT_EQUAL(r.timeouts, 0);
	CU_ASSERT_EQUAL(r.rto_us, USEC_PER_S);
	rtt_sample(&r, 10 * MS, 0);
	CU_ASSERT_EQUAL(r.rto_us, 200 * MS);
	rtt_back_off(&r);
	rtt_restart(&r);
	CU_ASSERT_EQUAL(r.rto_us, 200 * MS);
}

static void test_a_hint_stands_in_where_the_handshake_gave_no_sample(void)
{
	struct rtt r;

	rtt_init(&r, 10 * MS, 60 * USEC_PER_S, 30 * MS, 20 * MS);
	CU_ASSERT_EQUAL(r.rto_us, 30 * MS); /* the first timeout is the owner's choice */
	rtt_back_off(&r);
	rtt_no_sample(&r, 0);
	CU_ASSERT_EQUAL(r.rto_us, 60 * MS);
	rtt_no_sample(&r, 500 * MS);
	CU_ASSERT_EQUAL(r.rto_us, 60 * MS);
	rtt_no_sample(&r, 15 * MS);
	CU_ASSERT_EQUAL(r.rto_us, 45 * MS);
	CU_ASSERT_EQUAL(r.srtt_us, 0);
	rtt_sample(&r, 40 * MS, 0);
	CU_ASSERT_EQUAL(r.srtt_us, 40 * MS);
}

static void test_minimum_forgets_what_is_long_past(void)
{
	struct rtt r;

	rtt_init(&r, 1, 60 * USEC_PER_S, USEC_PER_S, 0);
	rtt_sample(&r, 10 * MS, 0);
	for (usec_t at = 1; at < 4; at++)
		rtt_sample(&r, 50 * MS, at * RTT_MIN_WINDOW_US * 2 / 3);
	CU_ASSERT_EQUAL(r.min_rtt_us, 10 * MS);
	for (usec_t at = 4; at < 8; at++)
		rtt_sample(&r, 50 * MS, at * RTT_MIN_WINDOW_US * 2 / 3);
	CU_ASSERT_EQUAL(r.min_rtt_us, 50 * MS);
}

UNIT_MAIN("rtt",
	T(test_first_sample_sets_both),
	T(test_later_samples_are_smoothed),
	T(test_variation_falls_once_a_round_trip_and_rises_at_once),
	T(test_a_long_even_path_leaves_time_for_a_delayed_ack),
	T(test_backoff_doubles_up_to_the_limit_and_a_sample_ends_it),
	T(test_a_hint_stands_in_where_the_handshake_gave_no_sample),
	T(test_minimum_forgets_what_is_long_past))
