/* SPDX-License-Identifier: MIT */
/* What an abrupt close leaves behind, and when: seeds, fast close by RST; RFC 8684 3.5. Sequences are in tests/script/fastclose. */
#include "tests/unit/mptcp/engine_net.h"

static const usec_t ABORT_LINGER = 2 * USEC_PER_S; /* conn_abort_after() */

/* In the middle of a transfer that neither side reads: both hold what they can. */
static void busy(struct net *n, enum segment_form form, bool ack_form)
{
	start_as(n, form, ack_form, false, 2);
	n->side[0].full = n->side[1].full = true;
	n->side[0].to_write = n->side[1].to_write = 8000000;
	connect_to(n);
	run(n, n->now + 3 * USEC_PER_S);
}

static void test_the_rst_form_frees_all_at_once(void)
{
	static const enum segment_form forms[] = { SEGMENT_SEALED, SEGMENT_PLAIN };

	for (unsigned f = 0; f < 2; f++)
		for (int who = 0; who < SIDES; who++) {
			struct net n;
			struct engine_stats before, after;
			struct action a;
			unsigned rsts = 0;

			busy(&n, forms[f], false);
			engine_stats(n.side[who].e, &before);
			CU_ASSERT_TRUE(before.connections == 1 && before.subflows == 2 && before.memory_used > 200000);
			tell(&n, who, EV_ABORT);
			/* No time passes: as soon as its RSTs are handed out there is nothing. */
			while (engine_output(n.side[who].e, &a, n.now))
				rsts += a.kind == ACT_SEND;
			engine_stats(n.side[who].e, &after);
			CU_ASSERT_EQUAL(rsts, 2);
			CU_ASSERT_TRUE(after.connections == 0 && after.subflows == 0 && after.memory_used == 0);
			CU_ASSERT_EQUAL(n.side[who].counters.v[CNT_MPFastcloseTx], 2);
			stop(&n);
		}
}

static void test_the_ack_form_waits_for_the_rst(void)
{
	struct net n;
	struct engine_stats st;

	busy(&n, SEGMENT_SEALED, true);
	tell(&n, 0, EV_ABORT);
	run(&n, n.now + MS);
	engine_stats(n.side[0].e, &st);
	CU_ASSERT_EQUAL(st.connections, 1);
	CU_ASSERT_EQUAL(st.subflows, 1);
	run(&n, n.now + USEC_PER_S);
	CU_ASSERT_TRUE(n.side[1].reset);
	CU_ASSERT_EQUAL(n.side[1].why, OPEN_RESET);
	nothing_left(&n);
	stop(&n);
}

static void test_crossing_ones_end_both(void)
{
	for (int ack_form = 0; ack_form < 2; ack_form++) {
		struct net n;

		busy(&n, SEGMENT_PLAIN, ack_form);
		tell(&n, 0, EV_ABORT);
		tell(&n, 1, EV_ABORT);
		run(&n, n.now + 2 * USEC_PER_S);
		nothing_left(&n);
		stop(&n);
	}
}

/* What an application wrote before its RST, on paths of 10 and 30 ms, with loss or without. */
static void aborted_after(struct net *n, uint64_t bytes, unsigned loss)
{
	start_as(n, SEGMENT_SEALED, false, false, 2);
	connect_to(n);
	run(n, n->now + USEC_PER_S);
	CU_ASSERT_TRUE_FATAL(n->side[1].dialled);
	n->loss[0] = n->loss[1] = loss;
	n->side[1].to_write = bytes;
	write_more(n, 1);
	CU_ASSERT_EQUAL(n->side[1].written, bytes);
	tell(n, 1, EV_ABORT_AFTER);
	n->side[1].conn = 0;
}

static void test_what_was_written_before_a_reset_arrives_before_it(void)
{
	for (unsigned loss = 0; loss <= 20; loss += 20) {
		struct net n;

		aborted_after(&n, 4000, loss);
		run(&n, n.now + 10 * USEC_PER_S);
		CU_ASSERT_EQUAL(n.side[0].received, 4000);
		CU_ASSERT_TRUE(n.side[0].reset && !n.side[0].eof);
		CU_ASSERT_EQUAL(n.side[0].why, OPEN_RESET);
		nothing_left(&n);
		stop(&n);
	}
}

static void test_a_reset_waits_for_dead_paths_two_seconds(void)
{
	struct engine_stats st;
	struct net n;

	aborted_after(&n, 4000, 0);
	n.cut[0] = n.cut[1] = true;
	run(&n, n.now + ABORT_LINGER - MS);
	engine_stats(n.side[1].e, &st);
	CU_ASSERT_EQUAL(st.connections, 1);
	run(&n, n.now + 2 * MS);
	engine_stats(n.side[1].e, &st);
	CU_ASSERT_EQUAL(st.connections, 0);
	CU_ASSERT_EQUAL(n.side[0].received, 0);
	stop(&n);
}

static void test_a_reset_with_nothing_before_it_waits_for_nothing(void)
{
	struct engine_stats st;
	struct net n;

	aborted_after(&n, 0, 0);
	run(&n, n.now);
	engine_stats(n.side[1].e, &st);
	CU_ASSERT_EQUAL(st.connections, 0);
	run(&n, n.now + USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].reset);
	nothing_left(&n);
	stop(&n);
}

/* Nobody waits for a queue of megabytes: 64 KiB beyond what is on its way, and the receiver's window is shut anyway. */
static void test_a_long_queue_is_not_waited_for(void)
{
	struct engine_stats st;
	struct net n;

	busy(&n, SEGMENT_SEALED, false);
	tell(&n, 0, EV_ABORT_AFTER);
	run(&n, n.now + ABORT_LINGER + MS);
	engine_stats(n.side[0].e, &st);
	CU_ASSERT_EQUAL(st.connections, 0);
	CU_ASSERT_EQUAL(st.memory_used, 0);
	run(&n, n.now + USEC_PER_S);
	CU_ASSERT_TRUE(n.side[1].reset);
	nothing_left(&n);
	stop(&n);
}

UNIT_MAIN("fastclose", T(test_the_rst_form_frees_all_at_once), T(test_the_ack_form_waits_for_the_rst),
	  T(test_crossing_ones_end_both),
	  T(test_what_was_written_before_a_reset_arrives_before_it), T(test_a_reset_waits_for_dead_paths_two_seconds),
	  T(test_a_reset_with_nothing_before_it_waits_for_nothing), T(test_a_long_queue_is_not_waited_for))
