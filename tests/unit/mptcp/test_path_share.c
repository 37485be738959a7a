/* SPDX-License-Identifier: MIT */
/* What the subflows of one path know of each other; how evenly they share it is the simulator's to show. */
#include "tests/unit/mptcp/engine_net.h"
#include "tunneld/mptcp/engine_state.h"

static const struct sub *first_of(struct net *n, conn_id conn) { return engine_conn(n->side[0].e, conn)->subs[0]; }

/* RFC 9040: the round trip is the path's. Whoever is alone there has his own. */
static void test_an_answer_is_as_long_under_way_as_others_say(void)
{
	struct net n;
	conn_id one;
	const struct path *path;

	start(&n, false, false, 1);
	path = engine_path(n.side[0].e, 0);
	n.side[0].to_write = 60000000;
	connect_to(&n);
	one = n.side[0].conn;
	run(&n, n.now + 300 * MS);
	CU_ASSERT_TRUE_FATAL(n.side[0].written < 60000000);
	CU_ASSERT_EQUAL(first_of(&n, one)->sf.company_us, 0);

	n.side[0].written = 0;
	n.side[0].opened = false;
	n.side[1].tolerant = true; /* it counts the bytes of both as one stream */
	connect_to(&n);
	/* Nobody writes to the first any more; what it has taken is on its way for a while yet. */
	for (int i = 0; i < 100 && path->share.busy < 2; i++)
		run(&n, n.now + MS);
	run(&n, n.now + MS);
	CU_ASSERT_EQUAL_FATAL(path->share.busy, 2);
	CU_ASSERT_TRUE(first_of(&n, one)->sf.company_us >= 40 * MS);
	CU_ASSERT_TRUE(first_of(&n, n.side[0].conn)->sf.company_us >= 40 * MS);

	tell(&n, 0, EV_ABORT);
	run(&n, n.now + 300 * MS);
	CU_ASSERT_TRUE(path->share.busy <= 1);
	CU_ASSERT_EQUAL(first_of(&n, one)->sf.company_us, 0);
	n.side[0].conn = one;
	tell(&n, 0, EV_ABORT);
	run(&n, n.now + 5 * USEC_PER_S);
	nothing_left(&n);
	stop(&n);
}

UNIT_MAIN("path_share", T(test_an_answer_is_as_long_under_way_as_others_say))
