/* SPDX-License-Identifier: MIT */
/* Connections that share a pool that is too small for all of them. */
#include "tests/unit/mptcp/engine_net.h"

#include "tunneld/mptcp/page_pool.h"

enum { POOL = 2 << 20, TINY = 4 * PAGE_SIZE_BYTES, FEW = 6 };

static uint64_t memory;
static struct bank bank;

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
static size_t fill(struct net *n, int side, conn_id conn)
{
	struct stretch space[8];
	size_t sum = 0;
	unsigned count;

	while ((count = engine_write_space(n->side[side].e, conn, space, 8, 64 << 10))) {
		struct event ev = { .kind = EV_WRITE, .write = { .conn = conn } };

		for (unsigned i = 0; i < count; i++)
			ev.write.len += space[i].len;
		CU_ASSERT_EQUAL_FATAL(engine_input(n->side[side].e, &ev, n->now), ERR_OK);
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
		CU_ASSERT_EQUAL(fill(&n, 0, conn[i]) > 0, i < 2);
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
	CU_ASSERT_TRUE(fill(&n, 0, conn[FEW - 1]) > 0);
	stop(&n);
}

static void test_the_first_leaves_room_for_the_last(void)
{
	struct net n;
	conn_id conn[FEW];
	size_t had[FEW];

	open_few(&n, conn, POOL);
	for (int i = 0; i < FEW; i++)
		had[i] = fill(&n, 0, conn[i]);
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
		had[i] = fill(&n, 0, conn[i]);
	for (int i = 0; i < FEW; i++) {
		CU_ASSERT_TRUE(had[i] <= POOL / 4 * 3 / FEW);
		CU_ASSERT_TRUE(had[i] >= had[0] / 2);
	}
	stop(&n);
}

/* --- two engines with one bank, as workers have --- */

static void one_bank(struct engine_config *g, int side)
{
	(void)side;
	g->memory = &bank;
}

/* Of each connection, its two ends' names; both paths are cut. */
static void open_shared(struct net *n, conn_id conn[SIDES][FEW], uint64_t memory_max)
{
	page_bank_init(&bank, memory_max, SIDES);
	tweak = one_bank;
	start(n, false, false, 2);
	tweak = NULL;
	for (int i = 0; i < FEW; i++) {
		connect_to(n);
		run(n, n->now + 500 * MS);
		CU_ASSERT_TRUE_FATAL(n->side[0].opened);
		for (int side = 0; side < SIDES; side++)
			conn[side][i] = n->side[side].conn;
	}
	n->cut[0] = n->cut[1] = true;
	for (int side = 0; side < SIDES; side++)
		n->side[side].conn = 0;
}

static void stop_shared(struct net *n)
{
	stop(n);
	CU_ASSERT_EQUAL(bank.left_bytes, bank.max_bytes);
	CU_ASSERT_EQUAL(bank.writers, 0);
}

static void test_an_engine_has_what_another_leaves(void)
{
	conn_id conn[SIDES][FEW];
	struct engine_stats stats;
	struct net n;
	size_t sum = 0;

	open_shared(&n, conn, POOL);
	for (int i = 0; i < FEW; i++)
		sum += fill(&n, 0, conn[0][i]);
	/* By halves it would be three quarters of one. */
	CU_ASSERT_TRUE(sum > POOL / 2);
	engine_stats(n.side[0].e, &stats);
	CU_ASSERT_TRUE(stats.memory_used >= sum && stats.memory_used <= POOL / 4 * 3);
	CU_ASSERT_EQUAL(stats.memory_max, POOL);
	stop_shared(&n);
}

/* As test_many_writers_have_equal_parts(): those of both engines count. */
static void test_writers_of_two_engines_have_equal_parts(void)
{
	conn_id conn[SIDES][FEW];
	size_t had[SIDES][FEW];
	struct net n;

	open_shared(&n, conn, POOL);
	for (int side = 0; side < SIDES; side++)
		for (int i = 0; i < FEW; i++) {
			struct event ev = { .kind = EV_WRITE, .write = { .conn = conn[side][i], .bytes = (const uint8_t *)"x", .len = 1 } };

			CU_ASSERT_EQUAL_FATAL(engine_input(n.side[side].e, &ev, n.now), ERR_OK);
		}
	for (int side = 0; side < SIDES; side++) {
		struct action a;

		while (engine_output(n.side[side].e, &a, n.now))
			;
	}
	CU_ASSERT_EQUAL(bank.writers, SIDES * FEW);
	for (int side = 0; side < SIDES; side++)
		for (int i = 0; i < FEW; i++)
			had[side][i] = fill(&n, side, conn[side][i]);
	for (int side = 0; side < SIDES; side++)
		for (int i = 0; i < FEW; i++) {
			CU_ASSERT_TRUE(had[side][i] <= POOL / 4 * 3 / FEW / SIDES);
			CU_ASSERT_TRUE(had[side][i] >= had[0][0] / 2);
		}
	stop_shared(&n);
}

/* What this one waits for another gives back, and no event of its own says so: it looks. */
static void test_pages_that_another_engine_gives_back_are_found(void)
{
	conn_id conn[SIDES][FEW];
	struct action a;
	struct net n;
	int held = 0;

	open_shared(&n, conn, TINY);
	for (int i = 0; i < FEW; i++)
		held += fill(&n, 1, conn[1][i]) > 0;
	CU_ASSERT_TRUE_FATAL(held > 0);
	CU_ASSERT_EQUAL(fill(&n, 0, conn[0][0]), 0);
	for (int tries = 0; tries < 3; tries++) {
		CU_ASSERT_FALSE(told_room(&n, conn[0][0]));
		CU_ASSERT_TRUE_FATAL(engine_deadline(n.side[0].e) <= n.now + 10 * MS);
		n.now = engine_deadline(n.side[0].e);
	}
	for (int i = 0; i < FEW; i++) {
		struct event ev = { .kind = EV_ABORT, .conn = conn[1][i] };

		CU_ASSERT_EQUAL(engine_input(n.side[1].e, &ev, n.now), ERR_OK);
	}
	while (engine_output(n.side[1].e, &a, n.now))
		;
	n.now += 10 * MS;
	CU_ASSERT_TRUE(told_room(&n, conn[0][0]));
	CU_ASSERT_TRUE(fill(&n, 0, conn[0][0]) > 0);
	stop_shared(&n);
}

UNIT_MAIN("conn_buffers", T(test_many_writers_have_equal_parts), T(test_an_engine_has_what_another_leaves),
	  T(test_writers_of_two_engines_have_equal_parts), T(test_pages_that_another_engine_gives_back_are_found),
	  T(test_who_found_no_page_is_told_when_there_is_one), T(test_the_first_leaves_room_for_the_last))
