/* SPDX-License-Identifier: MIT */
/* What time does: closed windows, tail probes and what came of them, path_alive, TIME-WAIT. */
#include "tests/unit/tcp/talk.h"

/* Lets time pass until something is to be sent. */
static void wait_for_output(struct talk *t)
{
	for (int i = 0; i < 50; i++) {
		talk_wait(t);
		if (talk_out(t) != SF_WANT_NOTHING)
			return;
	}
	CU_FAIL_FATAL("nothing is ever sent");
}

static void closed_window(struct talk *t)
{
	talk_open(t);
	talk_in_full(t, TCP_ACK, 1, 1, 0, 0, NULL);
	CU_ASSERT_EQUAL(subflow_sendable(&t->sf, t->now), 0);
}

static void test_a_closed_window_is_asked_for_ever_more_seldom(void)
{
	TALK(t);
	usec_t last, gap = 0;

	closed_window(&t);
	last = t.now;
	for (int i = 0; i < 5; i++) {
		wait_for_output(&t);
		CU_ASSERT_EQUAL(t.out.flags, TCP_ACK);
		CU_ASSERT_EQUAL(t.data.len, 0);
		CU_ASSERT_EQUAL(talk_seq(&t), 0); /* outside the peer's window, so that it must answer */
		CU_ASSERT_TRUE(t.now - last > gap);
		gap = t.now - last;
		last = t.now;
		talk_in_full(&t, TCP_ACK, 1, 1, 0, 0, NULL);
	}
	talk_in_full(&t, TCP_ACK, 1, 1, 0, 100, NULL);
	CU_ASSERT_EQUAL(subflow_sendable(&t.sf, t.now), 1600);
	CU_ASSERT_EQUAL(subflow_deadline(&t.sf), USEC_NEVER);
}

static void test_one_byte_may_go_beyond_a_closed_window(void)
{
	TALK(t);

	closed_window(&t);
	wait_for_output(&t);
	CU_ASSERT_EQUAL(subflow_sendable(&t.sf, t.now), 1);
	CU_ASSERT_EQUAL(talk_send(&t, 500), 1);
	CU_ASSERT_EQUAL(subflow_sendable(&t.sf, t.now), 0);
	/* RFC 9293 3.8.6.1: a peer that goes on answering is not given up, however long it takes, and no loss is made of it. */
	for (int i = 0; i < 40; i++) {
		t.now += 1;
		talk_in_full(&t, TCP_ACK, 1, 1, 0, 0, NULL);
		wait_for_output(&t);
		CU_ASSERT_EQUAL(t.data.len, 1);
		CU_ASSERT_FALSE(t.f.retransmit_timeout);
	}
	CU_ASSERT_EQUAL(t.sf.state, SF_ESTABLISHED);
	CU_ASSERT_EQUAL(t.counters.v[CNT_RetransmitTimeout], 0);
	talk_in_full(&t, TCP_ACK, 1, 2, 0, 1000, NULL);
	CU_ASSERT_TRUE(t.f.acked);
	CU_ASSERT_TRUE(subflow_sendable(&t.sf, t.now) > 0);
}

static void test_a_window_told_elsewhere_opens_this_one(void)
{
	TALK(t);

	closed_window(&t);
	subflow_window_told(&t.sf, 5000);
	CU_ASSERT_EQUAL(subflow_sendable(&t.sf, t.now), 5000);
	CU_ASSERT_EQUAL(subflow_deadline(&t.sf), USEC_NEVER);
	subflow_window_told(&t.sf, 10); /* never closes */
	CU_ASSERT_EQUAL(subflow_sendable(&t.sf, t.now), 5000);
}

/* Three segments out, the tail unanswered, the probe sent. */
static void probed(struct talk *t)
{
	talk_open(t);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL_FATAL(talk_send(t, 900), 900);
	do
		talk_wait(t);
	while (!t->f.tail_probe);
	CU_ASSERT_EQUAL(talk_out(t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(t), 1801);
	CU_ASSERT_EQUAL(talk_out(t), SF_WANT_NOTHING);
	t->now += 10 * USEC_PER_MS;
}

static void test_a_needless_tail_probe_costs_nothing(void)
{
	TALK(t);
	uint32_t cwnd;
	struct tcp_options dsack = {
		.has = OPT_SACK, .sack_count = 1, .sack = { { ssn_of(OUR_ISS + 1801), ssn_of(OUR_ISS + 2701) } },
	};

	probed(&t);
	cwnd = t.sf.cc.cwnd;
	talk_in(&t, TCP_ACK, 1, 2701, 0);
	talk_in_full(&t, TCP_ACK, 1, 2701, 0, 60000, &dsack);
	CU_ASSERT_FALSE(t.sf.tlp_out);
	talk_send(&t, 900);
	talk_in(&t, TCP_ACK, 1, 3601, 0);
	CU_ASSERT_EQUAL(t.counters.v[CNT_TailLossRepaired], 0);
	CU_ASSERT_TRUE(t.sf.cc.cwnd >= cwnd);
}

/* RFC 8985 7.4.2: the probe hid a loss, which congestion control must hear of. */
static void test_a_probe_that_repaired_a_loss_counts_as_one(void)
{
	TALK(t);
	uint32_t cwnd;

	probed(&t);
	cwnd = t.sf.cc.cwnd;
	talk_in(&t, TCP_ACK, 1, 2701, 0);
	CU_ASSERT_EQUAL(t.counters.v[CNT_TailLossRepaired], 0); /* it may still have been late only */
	talk_send(&t, 900);
	t.now += 10 * USEC_PER_MS;
	talk_in(&t, TCP_ACK, 1, 3601, 0);
	CU_ASSERT_EQUAL(t.counters.v[CNT_TailLossRepaired], 1);
	CU_ASSERT_TRUE(t.sf.cc.cwnd < cwnd);
}

static void test_one_probe_only_until_it_is_answered(void)
{
	TALK(t);

	probed(&t);
	do {
		talk_wait(&t);
		CU_ASSERT_FALSE(t.f.tail_probe);
	} while (!t.f.retransmit_timeout);
}

/* The path is alive, and nothing has timed out: the window is not sent again for that. */
static void test_path_alive_without_a_timeout_only_probes(void)
{
	TALK(t);
	uint32_t cwnd;

	talk_open(&t);
	for (int i = 0; i < 5; i++)
		talk_send(&t, 900);
	cwnd = t.sf.cc.cwnd;
	subflow_path_alive(&t.sf, t.now);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 3601);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
	CU_ASSERT_EQUAL(t.sf.cc.cwnd, cwnd);
}

static void test_path_alive_repeats_the_syn_at_once(void)
{
	TALK(t);
	struct subflow_config c = talk_config(&t);

	CU_ASSERT_EQUAL(subflow_connect(&t.sf, &c, ssn_of(OUR_ISS), 0), ERR_OK);
	talk_out(&t);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
	subflow_path_alive(&t.sf, 1000);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(t.out.flags, TCP_SYN);
}

static void test_an_unanswering_peer_is_given_up_in_the_end(void)
{
	TALK(t);

	talk_open(&t);
	talk_send(&t, 900);
	for (int i = 0; i < 100 && t.sf.state != SF_CLOSED; i++) {
		talk_wait(&t);
		talk_out(&t);
	}
	CU_ASSERT_TRUE(t.f.gave_up);
	CU_ASSERT_TRUE(t.now > 100 * USEC_PER_S); /* RFC 9293 3.8.3: R2 is at least 100 s */
	CU_ASSERT_EQUAL(subflow_deadline(&t.sf), USEC_NEVER);
}

static void test_time_wait_begins_anew_with_each_fin(void)
{
	TALK(t);
	usec_t first;

	talk_open(&t);
	subflow_close(&t.sf, t.now);
	talk_out(&t);
	talk_in(&t, TCP_FIN | TCP_ACK, 1, 2, 0);
	CU_ASSERT_EQUAL(t.sf.state, SF_TIME_WAIT);
	talk_out(&t);
	first = t.sf.time_wait_deadline_us;
	t.now += 100;
	talk_in(&t, TCP_ACK, 2, 2, 0); /* no FIN: no answer, no new time */
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
	CU_ASSERT_EQUAL(t.sf.time_wait_deadline_us, first);
	talk_in(&t, TCP_FIN | TCP_ACK, 1, 2, 0);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(t.sf.time_wait_deadline_us, first + 100);
}

UNIT_MAIN("subflow_timer",
	T(test_a_closed_window_is_asked_for_ever_more_seldom),
	T(test_one_byte_may_go_beyond_a_closed_window),
	T(test_a_window_told_elsewhere_opens_this_one),
	T(test_a_needless_tail_probe_costs_nothing),
	T(test_a_probe_that_repaired_a_loss_counts_as_one),
	T(test_one_probe_only_until_it_is_answered),
	T(test_path_alive_without_a_timeout_only_probes),
	T(test_path_alive_repeats_the_syn_at_once),
	T(test_an_unanswering_peer_is_given_up_in_the_end),
	T(test_time_wait_begins_anew_with_each_fin))
