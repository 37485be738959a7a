/* SPDX-License-Identifier: MIT */
/* What an abrupt close leaves behind, and when: seeds, fast close by RST; RFC 8684 3.5. Sequences are in tests/script/fastclose. */
#include "tests/unit/mptcp/engine_net.h"

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

UNIT_MAIN("fastclose", T(test_the_rst_form_frees_all_at_once), T(test_the_ack_form_waits_for_the_rst),
	  T(test_crossing_ones_end_both))
