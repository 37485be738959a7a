/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"
#include "tunneld/mptcp/sched.h"

#define MS 1000
#define KB 1024u

static int pick(const struct sched_candidate *sub, unsigned n, uint64_t queued, uint64_t window)
{
	return sched_minrtt.pick(&(struct sched_view){ sub, n, queued, window });
}

static void test_the_fastest_with_room_is_taken(void)
{
	struct sched_candidate two[] = {
		{ .srtt_us = 40 * MS, .cwnd = 64 * KB, .sendable = 10 * KB },
		{ .srtt_us = 20 * MS, .cwnd = 64 * KB, .sendable = 10 * KB },
	};

	CU_ASSERT_EQUAL(pick(two, 2, 100 * KB, 1000 * KB), 1);
	two[1].excluded = true;
	CU_ASSERT_EQUAL(pick(two, 2, 100 * KB, 1000 * KB), 0);
	CU_ASSERT_EQUAL(pick(two, 0, 100 * KB, 1000 * KB), SCHED_NONE);
}

static void test_a_long_queue_uses_both(void)
{
	struct sched_candidate two[] = {
		{ .srtt_us = 20 * MS, .cwnd = 64 * KB, .in_flight = 64 * KB },
		{ .srtt_us = 60 * MS, .cwnd = 64 * KB, .sendable = 64 * KB },
	};

	CU_ASSERT_EQUAL(pick(two, 2, 4096 * KB, 8192 * KB), 1);
}

static void test_a_short_tail_waits_for_the_fast_one(void)
{
	struct sched_candidate two[] = {
		{ .srtt_us = 10 * MS, .cwnd = 64 * KB, .in_flight = 64 * KB },
		{ .srtt_us = 200 * MS, .cwnd = 64 * KB, .sendable = 64 * KB },
	};

	CU_ASSERT_EQUAL(pick(two, 2, 10 * KB, 1000 * KB), SCHED_NONE);
	/* ... but not for one that nothing will ever free. */
	two[0].in_flight = 0;
	CU_ASSERT_EQUAL(pick(two, 2, 10 * KB, 1000 * KB), 1);
}

static void test_a_slow_path_does_not_eat_the_window_of_a_fast_one(void)
{
	struct sched_candidate two[] = {
		{ .srtt_us = 10 * MS, .cwnd = 256 * KB, .in_flight = 256 * KB },
		{ .srtt_us = 300 * MS, .cwnd = 64 * KB, .sendable = 64 * KB },
	};

	CU_ASSERT_EQUAL(pick(two, 2, 4096 * KB, 100 * KB), SCHED_NONE);
	CU_ASSERT_EQUAL(pick(two, 2, 65536 * KB, 60000 * KB), 1);
}

static void test_backups_and_the_silent_wait_for_their_turn(void)
{
	struct sched_candidate three[] = {
		{ .srtt_us = 10 * MS, .cwnd = 64 * KB, .sendable = 10 * KB, .avoid = true },
		{ .srtt_us = 20 * MS, .cwnd = 64 * KB, .sendable = 10 * KB, .backup = true },
		{ .srtt_us = 90 * MS, .cwnd = 64 * KB, .sendable = 10 * KB },
	};

	CU_ASSERT_EQUAL(pick(three, 3, 100 * KB, 1000 * KB), 2);
	three[2].sendable = 0; /* full: RFC 8684 3.3.8, a backup is used only when no other lives */
	CU_ASSERT_EQUAL(pick(three, 3, 100 * KB, 1000 * KB), SCHED_NONE);
	CU_ASSERT_EQUAL(pick(three, 2, 100 * KB, 1000 * KB), 1);
	CU_ASSERT_EQUAL(pick(three, 1, 100 * KB, 1000 * KB), 0);
}

static void test_names(void)
{
	CU_ASSERT_PTR_EQUAL(sched_by_name(NULL), &sched_minrtt);
	CU_ASSERT_PTR_EQUAL(sched_by_name("minrtt"), &sched_minrtt);
	CU_ASSERT_PTR_NULL(sched_by_name("fastest"));
}

UNIT_MAIN("sched", T(test_the_fastest_with_room_is_taken), T(test_a_long_queue_uses_both),
	  T(test_a_short_tail_waits_for_the_fast_one), T(test_a_slow_path_does_not_eat_the_window_of_a_fast_one),
	  T(test_backups_and_the_silent_wait_for_their_turn), T(test_names))
