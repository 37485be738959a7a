/* SPDX-License-Identifier: MIT */
/* Connections that share a pool that is too small for all of them. */
#include "tests/unit/mptcp/engine_net.h"

#include "tunneld/mptcp/page_pool.h"

enum { POOL = 2 << 20, TINY = 4 * PAGE_SIZE_BYTES, FEW = 6 };

static uint64_t memory;

static void little_memory(struct engine_config *g, int side)
{
	if (!side)
		g->memory_max = memory;
}

/* FEW connections open, both paths cut: what is written stays. */
static void open_few(struct net *n, conn_id conn[FEW], uint64_t memory_max)
{
	memory = memory_max;
	tweak = little_memory;
	start(n, false, false, 2);
	tweak = NULL;
	for (int i = 0; i < FEW; i++) {
		connect_to(n);
		run(n, n->now + 500 * MS);
		CU_ASSERT_TRUE_FATAL(n->side[0].opened);
		conn[i] = n->side[0].conn;
	}
	n->cut[0] = n->cut[1] = true;
}

/* As the daemon reads: into the engine's own pages, until there are no more. How many bytes went in. */
static size_t fill(struct net *n, conn_id conn)
{
	struct stretch space[8];
	size_t sum = 0;
	unsigned count;

	while ((count = engine_write_space(n->side[0].e, conn, space, 8, 64 << 10))) {
		struct event ev = { .kind = EV_WRITE, .write = { .conn = conn } };

		for (unsigned i = 0; i < count; i++)
			ev.write.len += space[i].len;
		CU_ASSERT_EQUAL_FATAL(engine_input(n->side[0].e, &ev, n->now), ERR_OK);
		sum += ev.write.taken;
	}
	return sum;
}

static bool told_room(struct net *n, conn_id conn)
{
	struct action a;
	bool told = false;

	while (engine_output(n->side[0].e, &a, n->now))
		told = told || (a.kind == ACT_ROOM && a.conn == conn);
	return told;
}

static void test_who_found_no_page_is_told_when_there_is_one(void)
{
	struct net n;
	conn_id conn[FEW];

	open_few(&n, conn, TINY);
	/* Writers have three pages, and who begins has one or two. */
	for (int i = 0; i < FEW; i++)
		CU_ASSERT_EQUAL(fill(&n, conn[i]) > 0, i < 2);
	CU_ASSERT_FALSE(told_room(&n, conn[FEW - 1]));
	for (int i = 0; i < FEW - 1; i++) {
		n.side[0].conn = conn[i];
		tell(&n, 0, EV_ABORT);
	}
	(void)told_room(&n, conn[FEW - 1]);
	/* Nothing of its own will happen to it: it has to look for itself, and soon. */
	CU_ASSERT_TRUE_FATAL(engine_deadline(n.side[0].e) <= n.now + 20 * MS);
	n.now += 20 * MS;
	CU_ASSERT_TRUE(told_room(&n, conn[FEW - 1]));
	CU_ASSERT_TRUE(fill(&n, conn[FEW - 1]) > 0);
	stop(&n);
}

static void test_the_first_leaves_room_for_the_last(void)
{
	struct net n;
	conn_id conn[FEW];
	size_t had[FEW];

	open_few(&n, conn, POOL);
	for (int i = 0; i < FEW; i++)
		had[i] = fill(&n, conn[i]);
	/* A quarter of what is free: each takes, with nobody giving anything back, three quarters of what the one before took. */
	for (int i = 0; i < FEW; i++)
		CU_ASSERT_TRUE(had[i] >= PAGE_SIZE_BYTES && had[i] <= POOL / 8 + PAGE_SIZE_BYTES);
	CU_ASSERT_TRUE(had[FEW - 1] >= had[0] / 8);
	stop(&n);
}

/* All of them are known to write, each by one byte: then nobody takes more than an equal part, whoever comes first. */
static void test_many_writers_have_equal_parts(void)
{
	struct net n;
	conn_id conn[FEW];
	size_t had[FEW];

	open_few(&n, conn, POOL);
	for (int i = 0; i < FEW; i++) {
		struct event ev = { .kind = EV_WRITE, .write = { .conn = conn[i], .bytes = (const uint8_t *)"x", .len = 1 } };

		CU_ASSERT_EQUAL_FATAL(engine_input(n.side[0].e, &ev, n.now), ERR_OK);
	}
	(void)told_room(&n, conn[0]);
	for (int i = 0; i < FEW; i++)
		had[i] = fill(&n, conn[i]);
	for (int i = 0; i < FEW; i++) {
		CU_ASSERT_TRUE(had[i] <= POOL / 4 * 3 / FEW);
		CU_ASSERT_TRUE(had[i] >= had[0] / 2);
	}
	stop(&n);
}

UNIT_MAIN("conn_buffers", T(test_many_writers_have_equal_parts),
	  T(test_who_found_no_page_is_told_when_there_is_one), T(test_the_first_leaves_room_for_the_last))
