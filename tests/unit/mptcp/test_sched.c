/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"
#include "tunneld/mptcp/sched.h"

#define MS 1000
#define KB 1024u
#define MBIT 125000u

static int pick(const struct sched_ops *ops, const struct sched_candidate *sub, unsigned n, uint64_t queued, uint64_t window)
{
	return ops->pick(&(struct sched_view){ sub, n, queued, window });
}

static const struct sched_ops *const all[] = { &sched_minrtt, &sched_blest, &sched_ecf, &sched_redundant };
enum { ALL = sizeof all / sizeof *all };

static void test_the_fastest_with_room_is_taken(void)
{
	struct sched_candidate two[] = {
		{ .srtt_us = 40 * MS, .rate = 10 * MBIT, .sendable = 10 * KB },
		{ .srtt_us = 20 * MS, .rate = 10 * MBIT, .sendable = 10 * KB },
	};

	for (unsigned i = 0; i < ALL; i++) {
		two[1].excluded = false;
		CU_ASSERT_EQUAL(pick(all[i], two, 2, 100 * KB, 1000 * KB), 1);
		two[1].excluded = true;
		CU_ASSERT_EQUAL(pick(all[i], two, 2, 100 * KB, 1000 * KB), 0);
		CU_ASSERT_EQUAL(pick(all[i], two, 0, 100 * KB, 1000 * KB), SCHED_NONE);
	}
}

static void test_ecf_uses_both_for_a_long_queue_and_waits_with_a_short_tail(void)
{
	/* The quick one sends 10 Mbit/s: 100 KB in 80 ms. The slow one's way is 95 ms longer. */
	struct sched_candidate two[] = {
		{ .srtt_us = 10 * MS, .rate = 10 * MBIT, .in_flight = 64 * KB },
		{ .srtt_us = 200 * MS, .rate = 10 * MBIT, .sendable = 64 * KB },
	};

	CU_ASSERT_EQUAL(pick(&sched_ecf, two, 2, 4096 * KB, 8192 * KB), 1);
	CU_ASSERT_EQUAL(pick(&sched_ecf, two, 2, 130 * KB, 8192 * KB), 1);
	CU_ASSERT_EQUAL(pick(&sched_ecf, two, 2, 100 * KB, 8192 * KB), SCHED_NONE);
	/* The application has more and is held back: nothing is a tail. */
	CU_ASSERT_EQUAL(pick(&sched_ecf, two, 2, SCHED_ENDLESS, 8192 * KB), 1);
	/* It does not wait for one that nothing will ever free. */
	two[0].in_flight = 0;
	CU_ASSERT_EQUAL(pick(&sched_ecf, two, 2, 100 * KB, 8192 * KB), 1);
	two[0].in_flight = 64 * KB;
	CU_ASSERT_EQUAL(pick(&sched_minrtt, two, 2, 100 * KB, 8192 * KB), 1);
}

static void test_a_slow_path_does_not_eat_the_window_of_a_fast_one(void)
{
	/* In the slow one's 300 ms the quick one sends 3750 KB. */
	struct sched_candidate two[] = {
		{ .srtt_us = 10 * MS, .rate = 100 * MBIT, .in_flight = 125 * KB },
		{ .srtt_us = 300 * MS, .rate = 10 * MBIT, .sendable = 64 * KB },
	};

	CU_ASSERT_EQUAL(pick(&sched_blest, two, 2, SCHED_ENDLESS, 3000 * KB), SCHED_NONE);
	CU_ASSERT_EQUAL(pick(&sched_blest, two, 2, SCHED_ENDLESS, 4000 * KB), 1);
	CU_ASSERT_EQUAL(pick(&sched_ecf, two, 2, SCHED_ENDLESS, 3000 * KB), SCHED_NONE);
	CU_ASSERT_EQUAL(pick(&sched_minrtt, two, 2, SCHED_ENDLESS, 3000 * KB), 1);
	/* What waits fits into the window: nobody stands still. */
	CU_ASSERT_EQUAL(pick(&sched_blest, two, 2, 2000 * KB, 3000 * KB), 1);
}

/* A round trip that was measured with a queue of its own, which is gone, does not keep a subflow from use for ever. */
static void test_an_idle_subflow_is_as_long_as_its_way(void)
{
	struct sched_candidate two[] = {
		{ .srtt_us = 10 * MS, .rate = 50 * MBIT, .in_flight = 64 * KB },
		{ .srtt_us = 200 * MS, .rate = 5 * MBIT, .sendable = 64 * KB },
	};

	CU_ASSERT_EQUAL(pick(&sched_blest, two, 2, SCHED_ENDLESS, 400 * KB), SCHED_NONE);
	two[1].idle_rtt_us = 12 * MS;
	CU_ASSERT_EQUAL(pick(&sched_blest, two, 2, SCHED_ENDLESS, 400 * KB), 1);
	CU_ASSERT_EQUAL(pick(&sched_ecf, two, 2, SCHED_ENDLESS, 400 * KB), 1);
}

static void test_all_that_are_quicker_count_together(void)
{
	struct sched_candidate three[] = {
		{ .srtt_us = 10 * MS, .rate = 10 * MBIT, .in_flight = 64 * KB },
		{ .srtt_us = 20 * MS, .rate = 10 * MBIT, .in_flight = 64 * KB },
		{ .srtt_us = 200 * MS, .rate = 10 * MBIT, .sendable = 64 * KB },
	};

	CU_ASSERT_EQUAL(pick(&sched_ecf, three, 3, 200 * KB, 8192 * KB), SCHED_NONE);
	three[1].in_flight = 0;
	CU_ASSERT_EQUAL(pick(&sched_ecf, three, 3, 200 * KB, 8192 * KB), 2);
}

static void test_backups_and_the_silent_wait_for_their_turn(void)
{
	for (unsigned i = 0; i < ALL; i++) {
		struct sched_candidate three[] = {
			{ .srtt_us = 10 * MS, .sendable = 10 * KB, .avoid = true },
			{ .srtt_us = 20 * MS, .sendable = 10 * KB, .backup = true },
			{ .srtt_us = 90 * MS, .sendable = 10 * KB },
		};
		const struct sched_view v = { three, 3, 100 * KB, 1000 * KB };

		CU_ASSERT_EQUAL(all[i]->pick(&v), 2);
		CU_ASSERT_TRUE(sched_eligible(&v, 2) && !sched_eligible(&v, 1) && !sched_eligible(&v, 0));
		three[2].sendable = 0; /* full: RFC 8684 3.3.8, a backup is used only when no other lives */
		CU_ASSERT_EQUAL(all[i]->pick(&v), SCHED_NONE);
		CU_ASSERT_EQUAL(pick(all[i], three, 2, 100 * KB, 1000 * KB), 1);
		CU_ASSERT_EQUAL(pick(all[i], three, 1, 100 * KB, 1000 * KB), 0);
	}
}

static void test_who_is_slow_goes_before_who_is_silent(void)
{
	struct sched_candidate subs[] = {
		{ .srtt_us = 10 * MS, .sendable = 10 * KB, .avoid = true, .silent = true },
		{ .srtt_us = 90 * MS, .sendable = 10 * KB, .avoid = true, .backup = true },
	};
	struct sched_view v = { .sub = subs, .count = 2, .queued = 1000, .window = 1000 };

	CU_ASSERT_EQUAL(sched_minrtt.pick(&v), 1);
	CU_ASSERT_FALSE(sched_eligible(&v, 0));
	subs[1].silent = true;
	CU_ASSERT_EQUAL(sched_minrtt.pick(&v), 0);
}

static void test_names(void)
{
	CU_ASSERT_PTR_EQUAL(sched_by_name(NULL), &sched_ecf);
	for (unsigned i = 0; i < ALL; i++) {
		CU_ASSERT_PTR_EQUAL(sched_by_name(all[i]->name), all[i]);
		CU_ASSERT_PTR_NOT_NULL(strstr(sched_names(), all[i]->name));
	}
	CU_ASSERT_PTR_NULL(sched_by_name("fastest"));
}

UNIT_MAIN("sched", T(test_the_fastest_with_room_is_taken),
	  T(test_ecf_uses_both_for_a_long_queue_and_waits_with_a_short_tail), T(test_an_idle_subflow_is_as_long_as_its_way), T(test_all_that_are_quicker_count_together),
	  T(test_a_slow_path_does_not_eat_the_window_of_a_fast_one), T(test_backups_and_the_silent_wait_for_their_turn),
	  T(test_who_is_slow_goes_before_who_is_silent), T(test_names))
