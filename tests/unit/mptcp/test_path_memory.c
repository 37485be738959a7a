/* SPDX-License-Identifier: MIT */
/* RFC 9040: what a subflow begins with on a path that others have used. */
#include "tests/unit/mptcp/engine_net.h"

enum { MUCH = 2 << 20, LITTLE = 20000, TEN_MINUTES_S = 600 };

static struct subflow_info first_subflow(struct net *n)
{
	struct subflow_info s = { 0 };

	CU_ASSERT_EQUAL_FATAL(engine_subflow_info(n->side[0].e, n->side[0].conn, 0, &s), ERR_OK);
	return s;
}

/* A new connection has just opened; nothing was written on it. */
static uint32_t window_at_birth(struct net *n)
{
	n->side[0].opened = false;
	connect_to(n);
	run(n, n->now + 50 * MS);
	CU_ASSERT_TRUE_FATAL(n->side[0].opened);
	return first_subflow(n).cwnd;
}

/* Sends that much on the newest connection, all of which is acknowledged then. */
static void send_all(struct net *n, uint64_t bytes)
{
	n->side[0].to_write = n->side[0].written + bytes;
	run(n, n->now + 5 * USEC_PER_S);
	CU_ASSERT_EQUAL_FATAL(n->side[1].received, n->side[0].to_write);
}

static void end_it(struct net *n)
{
	tell(n, 0, EV_ABORT);
	n->side[0].conn = 0;
	run(n, n->now + USEC_PER_S);
}

static void test_the_next_starts_with_half_of_what_the_last_had(void)
{
	struct net n;
	uint32_t fresh, at_end, next;

	start(&n, false, false, 1);
	fresh = window_at_birth(&n);
	CU_ASSERT_TRUE(fresh <= 10 * MTU);
	send_all(&n, MUCH);
	at_end = first_subflow(&n).cwnd;
	end_it(&n);
	next = window_at_birth(&n);
	CU_ASSERT_TRUE(next > 2 * fresh);
	CU_ASSERT_TRUE(next <= at_end / 2 + MTU);
	stop(&n);
}

static void test_one_that_comes_beside_another_takes_its_place(void)
{
	struct net n;
	uint32_t fresh, other, next;

	start(&n, false, false, 1);
	fresh = window_at_birth(&n);
	send_all(&n, MUCH);
	other = first_subflow(&n).cwnd;
	next = window_at_birth(&n);
	CU_ASSERT_TRUE(next > fresh);
	CU_ASSERT_TRUE(next <= other / 4 + MTU); /* half of the half that is its part */
	stop(&n);
}

static void test_a_path_of_which_little_was_seen_is_not_known(void)
{
	struct net n;
	uint32_t fresh;

	start(&n, false, false, 1);
	fresh = window_at_birth(&n);
	send_all(&n, LITTLE);
	end_it(&n);
	CU_ASSERT_EQUAL(window_at_birth(&n), fresh);
	stop(&n);
}

static void test_what_is_old_is_forgotten(void)
{
	struct net n;
	uint32_t fresh;

	start(&n, false, false, 1);
	fresh = window_at_birth(&n);
	send_all(&n, MUCH);
	end_it(&n);
	n.now += TEN_MINUTES_S * USEC_PER_S;
	CU_ASSERT_EQUAL(window_at_birth(&n), fresh);
	stop(&n);
}

UNIT_MAIN("path_memory",
	T(test_the_next_starts_with_half_of_what_the_last_had),
	T(test_one_that_comes_beside_another_takes_its_place),
	T(test_a_path_of_which_little_was_seen_is_not_known),
	T(test_what_is_old_is_forgotten))
