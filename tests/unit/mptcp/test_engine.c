/* SPDX-License-Identifier: MIT */
/* Two engines, see engine_net.h. */
#include "tests/unit/mptcp/engine_net.h"
#include "tunneld/mptcp/conn.h"
#include "tunneld/mptcp/engine_state.h"

static void test_open_transfer_and_close_on_one_path(void)
{
	struct net n;

	start(&n, false, false, 1);
	n.side[0].to_write = 200000;
	n.side[1].to_write = 300000;
	n.side[0].shut_after_write = n.side[1].shut_after_write = true;
	connect_to(&n);
	run(&n, n.now + 30 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].opened);
	CU_ASSERT_EQUAL(n.side[1].destination.port, 80);
	CU_ASSERT_EQUAL(n.side[1].received, 200000);
	CU_ASSERT_EQUAL(n.side[0].received, 300000);
	for (int i = 0; i < SIDES; i++)
		CU_ASSERT_TRUE(n.side[i].eof && n.side[i].closed && !n.side[i].reset);
	nothing_left(&n);
	stop(&n);
}

static void test_two_lossy_paths_with_checksums_carry_all(void)
{
	struct net n;

	start(&n, false, true, 2);
	n.loss[0] = 3;
	n.loss[1] = 5;
	n.side[0].to_write = 1500000;
	n.side[1].to_write = 500000;
	n.side[0].shut_after_write = n.side[1].shut_after_write = true;
	connect_to(&n);
	run(&n, n.now + 120 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 1500000);
	CU_ASSERT_EQUAL(n.side[0].received, 500000);
	CU_ASSERT_TRUE(n.side[0].closed && n.side[1].closed);
	CU_ASSERT_TRUE(n.side[1].counters.v[CNT_MPJoinEstab] >= 1);
	CU_ASSERT_TRUE(n.sent[1] > 100);
	CU_ASSERT_EQUAL(n.side[1].counters.v[CNT_DataCsumErr], 0);
	nothing_left(&n);
	stop(&n);
}

static void test_a_silent_path_is_left_and_its_data_goes_by_the_other(void)
{
	struct net n;
	usec_t cut_at;

	start(&n, false, false, 2);
	n.side[0].to_write = 20000000;
	connect_to(&n);
	run(&n, n.now + 300 * MS);
	CU_ASSERT_TRUE_FATAL(n.side[1].received > 0 && n.side[1].received < 15000000);
	n.cut[0] = true;
	cut_at = n.now;
	{
		uint64_t before = n.side[1].received;

		run(&n, cut_at + 400 * MS);
		CU_ASSERT_TRUE(n.side[1].received > before + 50000);
	}
	CU_ASSERT_TRUE(n.side[0].probes > 0);
	n.cut[0] = false;
	path_event(&n, 0, 0, PATH_UP, false);
	run(&n, cut_at + 60 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 20000000);
	tell(&n, 0, EV_ABORT);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[1].reset);
	nothing_left(&n);
	stop(&n);
}

static void test_what_a_dead_subflow_holds_is_bounded_and_it_goes(void)
{
	struct net n;
	struct conn_info info;
	struct engine_stats st;

	start(&n, false, false, 2);
	n.side[0].to_write = 60000000;
	connect_to(&n);
	run(&n, n.now + 300 * MS);
	n.cut[0] = true;
	path_event(&n, 0, 0, PATH_SUSPECT, false);
	for (int i = 0; i < 20; i++) {
		run(&n, n.now + 100 * MS);
		CU_ASSERT_EQUAL_FATAL(engine_conn_info(n.side[0].e, n.side[0].conn, &info), ERR_OK);
		CU_ASSERT_TRUE(info.snd_buffer < 16u << 20);
	}
	run(&n, n.now + 60 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 60000000);
	engine_stats(n.side[0].e, &st);
	CU_ASSERT_EQUAL(st.subflows, 1);
	CU_ASSERT_EQUAL(st.memory_used, 0);
	stop(&n);
}

static void test_break_before_make(void)
{
	struct net n;

	start(&n, false, false, 2);
	n.side[0].to_write = 3000000;
	n.side[0].shut_after_write = n.side[1].shut_after_write = true;
	connect_to(&n);
	run(&n, n.now + 500 * MS);
	for (unsigned p = 0; p < 2; p++) {
		path_event(&n, 0, p, PATH_DOWN, true);
		n.cut[p] = true;
	}
	run(&n, n.now + 10 * USEC_PER_S);
	CU_ASSERT_FALSE(n.side[0].reset || n.side[1].reset);
	n.cut[1] = false;
	path_event(&n, 0, 1, PATH_UP, false);
	run(&n, n.now + 60 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 3000000);
	CU_ASSERT_TRUE(n.side[0].closed && n.side[1].closed);
	nothing_left(&n);
	stop(&n);
}

static void test_a_syn_is_raced_on_the_next_path(void)
{
	struct net n;

	start(&n, false, false, 2);
	n.cut[0] = n.cut[1] = true;
	connect_to(&n);
	run(&n, n.now + 10 * MS);
	n.cut[n.sent[0] ? 1 : 0] = false;
	run(&n, n.now + 600 * MS);
	CU_ASSERT_TRUE(n.side[0].opened);
	CU_ASSERT_TRUE(n.side[0].counters.v[CNT_SynRaced] >= 1);
	stop(&n);
}

/* A path is well by the answer to a probe that went with the SYN, and not by one that had gone before: it may have died between. */
static void test_an_answer_to_an_older_probe_keeps_no_syn_where_it_is(void)
{
	for (int older = 0; older < 2; older++) {
		struct net n;
		struct event heard = { .kind = EV_HEARD };

		start(&n, false, false, 2);
		n.cut[0] = n.cut[1] = true;
		connect_to(&n);
		heard.heard.asked_us = older ? n.now - 1 : n.now;
		run(&n, n.now + 10 * MS);
		heard.heard.path = n.sent[0] ? 0 : 1;
		CU_ASSERT_EQUAL(engine_input(n.side[0].e, &heard, n.now), ERR_OK);
		run(&n, n.now + 300 * MS);
		CU_ASSERT_EQUAL(n.sent[0] + n.sent[1], 2);
		CU_ASSERT_EQUAL(n.side[0].counters.v[CNT_SynRaced], older);
		stop(&n);
	}
}

static void test_a_rst_for_a_path_that_went_is_not_sent(void)
{
	struct net n;
	struct action a;
	unsigned sent[2] = { 0 };

	start(&n, false, false, 2);
	connect_to(&n);
	run(&n, n.now + USEC_PER_S);
	CU_ASSERT_EQUAL_FATAL(engine_conn_of_host(n.side[0].e, n.side[0].conn)->sub_count, 2);
	while (engine_output(n.side[0].e, &a, n.now))
		;
	tell(&n, 0, EV_ABORT);
	path_event(&n, 0, 1, PATH_DOWN, true);
	while (engine_output(n.side[0].e, &a, n.now))
		if (a.kind == ACT_SEND)
			sent[a.send.path]++;
	CU_ASSERT_EQUAL(sent[0], 1);
	CU_ASSERT_EQUAL(sent[1], 0);
	CU_ASSERT_EQUAL(n.side[0].counters.v[CNT_ResetTxDrop], 1);
	stop(&n);
}

static void test_a_refused_dial_comes_back_by_name(void)
{
	struct net n;

	start(&n, false, false, 1);
	n.dial_result = OPEN_HOST_UNREACHABLE;
	n.dial_icmp = 1;
	connect_to(&n);
	run(&n, n.now + 20 * USEC_PER_S);
	CU_ASSERT_FALSE(n.side[0].opened);
	CU_ASSERT_EQUAL(n.side[0].result, OPEN_HOST_UNREACHABLE);
	CU_ASSERT_EQUAL(n.side[0].icmp_code, 1);
	nothing_left(&n);
	stop(&n);
}

static void test_nobody_answers(void)
{
	struct net n;

	start(&n, false, false, 2);
	n.cut[0] = n.cut[1] = true;
	connect_to(&n);
	run(&n, n.now + 60 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[0].result, OPEN_TIMED_OUT);
	nothing_left(&n);
	stop(&n);
}

static void test_abort_while_the_gateway_dials_cancels_the_dial(void)
{
	struct net n;

	start(&n, false, false, 1);
	n.hold_dial = true;
	connect_to(&n);
	run(&n, n.now + 100 * MS);
	CU_ASSERT_TRUE(n.side[1].dialled);
	tell(&n, 0, EV_ABORT);
	run(&n, n.now + 100 * MS);
	CU_ASSERT_TRUE(n.side[1].reset);
	nothing_left(&n);
	stop(&n);
}

static void fastclose_by(int side, bool ack_form)
{
	struct net n;

	start(&n, ack_form, false, 2);
	n.side[0].to_write = 100000;
	connect_to(&n);
	run(&n, n.now + 2 * USEC_PER_S);
	CU_ASSERT_TRUE_FATAL(n.side[0].opened && n.side[1].received == 100000);
	tell(&n, side, EV_ABORT);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[!side].reset);
	CU_ASSERT_EQUAL(n.side[!side].why, OPEN_RESET);
	CU_ASSERT_FALSE(n.side[side].reset);
	nothing_left(&n);
	stop(&n);
}

static void test_fast_close_by_rst_from_either_side(void)
{
	fastclose_by(0, false);
	fastclose_by(1, false);
}

static void test_fast_close_by_ack_from_either_side(void)
{
	fastclose_by(0, true);
	fastclose_by(1, true);
}

static void test_a_fast_close_that_nobody_heard_is_learnt_by_the_next_data(void)
{
	struct net n;

	start(&n, false, false, 2);
	n.side[0].to_write = 50000;
	connect_to(&n);
	run(&n, n.now + 2 * USEC_PER_S);
	n.cut[0] = n.cut[1] = true;
	tell(&n, 1, EV_ABORT);
	run(&n, n.now + 1 * USEC_PER_S);
	n.cut[0] = n.cut[1] = false;
	CU_ASSERT_FALSE(n.side[0].reset);
	n.side[0].to_write += 1000;
	run(&n, n.now + 10 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].reset);
	CU_ASSERT_EQUAL(n.side[0].why, OPEN_RESET);
	CU_ASSERT_EQUAL(n.side[1].counters.v[CNT_MPJoinNoTokenFound] > 0, true);
	nothing_left(&n);
	stop(&n);
}

static void test_half_close_leaves_the_other_direction_open(void)
{
	struct net n;

	start(&n, false, false, 2);
	n.side[0].to_write = 1000;
	n.side[0].shut_after_write = true;
	connect_to(&n);
	run(&n, n.now + 30 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[1].eof);
	CU_ASSERT_FALSE(n.side[0].closed || n.side[1].closed || n.side[0].reset || n.side[1].reset);
	n.side[1].to_write = 700000;
	n.side[1].shut_after_write = true;
	run(&n, n.now + 30 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[0].received, 700000);
	CU_ASSERT_TRUE(n.side[0].closed && n.side[1].closed);
	nothing_left(&n);
	stop(&n);
}

static void test_a_reader_that_stops_stops_the_writer_and_starts_it_again(void)
{
	struct net n;
	const uint8_t *bytes;
	size_t len;

	start(&n, false, false, 1);
	n.side[0].to_write = 5000000;
	n.side[1].full = true;
	connect_to(&n);
	run(&n, n.now + 20 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].written < 2000000);
	n.side[1].full = false;
	while ((len = engine_readable(n.side[1].e, n.side[1].conn, &bytes)) != 0 && n.side[1].received < 1) {
		struct event ev = { .kind = EV_CONSUMED, .consumed = { .conn = n.side[1].conn, .len = len } };

		n.side[1].received += len;
		CU_ASSERT_EQUAL(engine_input(n.side[1].e, &ev, n.now), ERR_OK);
	}
	run(&n, n.now + 30 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 5000000);
	tell(&n, 1, EV_ABORT);
	run(&n, n.now + 5 * USEC_PER_S);
	nothing_left(&n);
	stop(&n);
}

/* Both have closed, and what was written stays where it is for as long as the reader rests and his host answers; then it ends. */
static void test_a_reader_that_rests_after_the_close_is_waited_for(void)
{
	for (int vanishes = 0; vanishes < 2; vanishes++) {
		struct net n;
		const uint8_t *bytes;
		size_t len;

		start(&n, false, false, 1);
		n.side[0].to_write = 400000;
		n.side[0].shut_after_write = n.side[1].shut_after_write = true;
		n.side[1].to_write = 10;
		n.side[1].full = true;
		connect_to(&n);
		run(&n, n.now + 900 * USEC_PER_S);
		CU_ASSERT_TRUE(n.side[0].shut && n.side[1].shut && n.side[0].eof);
		CU_ASSERT_FALSE(n.side[0].reset || n.side[1].reset || n.side[0].closed || n.side[1].closed);
		if (vanishes) {
			n.cut[0] = n.cut[1] = true;
			run(&n, n.now + 400 * USEC_PER_S);
			CU_ASSERT_TRUE(n.side[0].reset);
			stop(&n);
			return;
		}
		n.side[1].full = false;
		while ((len = engine_readable(n.side[1].e, n.side[1].conn, &bytes)) != 0 && n.side[1].received < 1) {
			struct event ev = { .kind = EV_CONSUMED, .consumed = { .conn = n.side[1].conn, .len = len } };

			n.side[1].received += len;
			CU_ASSERT_EQUAL(engine_input(n.side[1].e, &ev, n.now), ERR_OK);
		}
		run(&n, n.now + 180 * USEC_PER_S);
		CU_ASSERT_EQUAL(n.side[1].received, 400000);
		CU_ASSERT_TRUE(n.side[0].closed && n.side[1].closed);
		nothing_left(&n);
		stop(&n);
	}
}

static void test_an_idle_connection_holds_no_pages(void)
{
	struct net n;
	struct engine_stats st;

	start(&n, false, false, 2);
	n.side[0].to_write = n.side[1].to_write = 100000;
	connect_to(&n);
	run(&n, n.now + 5 * USEC_PER_S);
	for (int i = 0; i < SIDES; i++) {
		engine_stats(n.side[i].e, &st);
		CU_ASSERT_EQUAL(st.memory_used, 0);
		CU_ASSERT_EQUAL(st.connections, 1);
		CU_ASSERT_EQUAL(st.subflows, 2);
		CU_ASSERT_EQUAL(engine_deadline(n.side[i].e), USEC_NEVER);
	}
	stop(&n);
}

UNIT_MAIN("engine", T(test_open_transfer_and_close_on_one_path), T(test_two_lossy_paths_with_checksums_carry_all),
	  T(test_a_silent_path_is_left_and_its_data_goes_by_the_other),
	  T(test_what_a_dead_subflow_holds_is_bounded_and_it_goes), T(test_break_before_make),
	  T(test_a_syn_is_raced_on_the_next_path), T(test_a_rst_for_a_path_that_went_is_not_sent),
	  T(test_an_answer_to_an_older_probe_keeps_no_syn_where_it_is), T(test_a_refused_dial_comes_back_by_name), T(test_nobody_answers),
	  T(test_abort_while_the_gateway_dials_cancels_the_dial), T(test_fast_close_by_rst_from_either_side),
	  T(test_fast_close_by_ack_from_either_side), T(test_a_fast_close_that_nobody_heard_is_learnt_by_the_next_data),
	  T(test_half_close_leaves_the_other_direction_open), T(test_a_reader_that_stops_stops_the_writer_and_starts_it_again),
	  T(test_a_reader_that_rests_after_the_close_is_waited_for),
	  T(test_an_idle_connection_holds_no_pages))
