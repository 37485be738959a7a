/* SPDX-License-Identifier: MIT */
/* Handshake, closing in every order, resets, blind attacks. */
#include "tests/unit/tcp/talk.h"

static void test_syn_is_repeated_then_given_up(void)
{
	TALK(t);
	struct subflow_config c = talk_config(&t);

	CU_ASSERT_EQUAL(subflow_connect(&t.sf, &c, ssn_of(OUR_ISS), 0), ERR_OK);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
		talk_wait(&t);
		CU_ASSERT_TRUE(t.f.retransmit_timeout);
		CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
		CU_ASSERT_EQUAL(t.out.flags, TCP_SYN);
	}
	CU_ASSERT_EQUAL(t.now, 1 * USEC_PER_S + 2 * USEC_PER_S + 4 * USEC_PER_S); /* RFC 6298 5.5 */
	talk_wait(&t);
	CU_ASSERT_TRUE(t.f.gave_up);
	CU_ASSERT_EQUAL(t.sf.state, SF_CLOSED);
	CU_ASSERT_EQUAL(subflow_deadline(&t.sf), USEC_NEVER);
}

static void test_payload_of_the_syn_goes_with_it(void)
{
	TALK(t);
	struct subflow_config c = talk_config(&t);

	CU_ASSERT_EQUAL(subflow_connect(&t.sf, &c, ssn_of(OUR_ISS), 0), ERR_OK);
	subflow_syn_payload(&t.sf, 24);
	talk_out(&t);
	CU_ASSERT_EQUAL(t.data.len, 24);
	CU_ASSERT_EQUAL(t.data.tag, SUBFLOW_SYN_TAG);
	talk_in(&t, TCP_SYN | TCP_ACK, 0, 25, 0);
	CU_ASSERT_TRUE(t.f.established);
	CU_ASSERT_EQUAL(board_count(&t.sf.board), 0);
	talk_out(&t);
	CU_ASSERT_EQUAL(talk_seq(&t), 25);
}

/* A peer that acknowledges only the SYN gets the payload again, as ordinary data. */
static void test_unacknowledged_payload_of_the_syn_is_sent_again(void)
{
	TALK(t);
	struct subflow_config c = talk_config(&t);

	CU_ASSERT_EQUAL(subflow_connect(&t.sf, &c, ssn_of(OUR_ISS), 0), ERR_OK);
	subflow_syn_payload(&t.sf, 24);
	talk_out(&t);
	talk_in(&t, TCP_SYN | TCP_ACK, 0, 1, 0);
	CU_ASSERT_TRUE(t.f.established);
	talk_out(&t);
	talk_wait(&t);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 1);
	CU_ASSERT_EQUAL(t.data.len, 24);
	CU_ASSERT_EQUAL(t.data.tag, SUBFLOW_SYN_TAG);
	CU_ASSERT_FALSE(t.out.flags & TCP_SYN);
}

static void passive(struct talk *t)
{
	struct subflow_config c;
	struct segment syn = {
		.seq = ssn_of(PEER_ISS), .flags = TCP_SYN, .window = 60000,
		.tcp = { .has = OPT_MSS | OPT_SACK_OK | OPT_WSCALE, .mss = 1400, .wscale = 2 },
	};

	memset(t, 0, sizeof *t);
	c = talk_config(t);
	CU_ASSERT_EQUAL_FATAL(subflow_listen(&t->sf, &c, ssn_of(OUR_ISS), &syn, 0), ERR_OK);
}

static void test_a_syn_is_answered_only_once_accepted(void)
{
	TALK(t);

	passive(&t);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
	talk_in(&t, TCP_SYN, 0, 0, 0); /* the SYN again: absorbed */
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
	subflow_accept(&t.sf, t.now);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(t.out.flags, TCP_SYN | TCP_ACK);
	CU_ASSERT_EQUAL(talk_ack(&t), 1);
	talk_in(&t, TCP_SYN, 0, 0, 0); /* our SYN/ACK was lost */
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(t.out.flags, TCP_SYN | TCP_ACK);
	talk_in(&t, TCP_ACK, 1, 7, 0); /* acknowledges what was never sent */
	CU_ASSERT_TRUE(t.f.rejected);
	CU_ASSERT_EQUAL(t.sf.state, SF_SYN_RECEIVED);
	talk_in(&t, TCP_ACK, 1, 1, 0);
	CU_ASSERT_TRUE(t.f.established);
	CU_ASSERT_EQUAL(t.sf.snd_wnd, 60000 << 2);
}

static void test_we_close_first(void)
{
	TALK(t);

	talk_open(&t);
	talk_send(&t, 100);
	subflow_close(&t.sf, t.now);
	CU_ASSERT_EQUAL(subflow_sendable(&t.sf, t.now), 0);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(t.out.flags, TCP_FIN | TCP_ACK);
	CU_ASSERT_EQUAL(talk_seq(&t), 101);
	CU_ASSERT_EQUAL(t.sf.state, SF_FIN_WAIT_1);
	talk_in(&t, TCP_ACK, 1, 102, 0);
	CU_ASSERT_TRUE(t.f.fin_acked);
	CU_ASSERT_EQUAL(t.sf.state, SF_FIN_WAIT_2);
	CU_ASSERT_FALSE(talk_data(&t, 1, 50)); /* half closed: it still listens */
	CU_ASSERT_TRUE(t.f.payload);
	talk_in(&t, TCP_FIN | TCP_ACK, 51, 102, 0);
	CU_ASSERT_TRUE(t.f.fin);
	CU_ASSERT_EQUAL(t.sf.state, SF_TIME_WAIT);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(talk_ack(&t), 52);
	talk_in(&t, TCP_FIN | TCP_ACK, 51, 102, 0); /* our last ACK was lost */
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	talk_wait(&t);
	CU_ASSERT_TRUE(t.f.closed);
}

static void test_the_peer_closes_first(void)
{
	TALK(t);

	talk_open(&t);
	talk_in(&t, TCP_FIN | TCP_ACK, 1, 1, 0);
	CU_ASSERT_EQUAL(t.sf.state, SF_CLOSE_WAIT);
	talk_out(&t);
	CU_ASSERT_TRUE(talk_send(&t, 10) == 10); /* we may still speak */
	subflow_close(&t.sf, t.now);
	talk_out(&t);
	CU_ASSERT_EQUAL(t.sf.state, SF_LAST_ACK);
	talk_in(&t, TCP_ACK, 2, 12, 0);
	CU_ASSERT_TRUE(t.f.closed);
	CU_ASSERT_EQUAL(t.sf.state, SF_CLOSED);
}

static void test_both_close_at_once(void)
{
	TALK(t);

	talk_open(&t);
	subflow_close(&t.sf, t.now);
	talk_out(&t);
	talk_in(&t, TCP_FIN | TCP_ACK, 1, 1, 0);
	CU_ASSERT_EQUAL(t.sf.state, SF_CLOSING);
	talk_out(&t);
	talk_in(&t, TCP_ACK, 2, 2, 0);
	CU_ASSERT_EQUAL(t.sf.state, SF_TIME_WAIT);
}

/* The FIN may arrive before the data that it follows. */
static void test_fin_waits_for_the_hole_before_it(void)
{
	TALK(t);
	bool fin;

	talk_open(&t);
	talk_in(&t, TCP_FIN | TCP_ACK, 101, 1, 100);
	CU_ASSERT_TRUE(t.f.payload);
	CU_ASSERT_FALSE(t.f.fin);
	subflow_received(&t.sf, t.f.payload_seq, t.f.payload_len, t.now, &fin);
	CU_ASSERT_FALSE(fin);
	CU_ASSERT_TRUE(talk_data(&t, 1, 100));
	CU_ASSERT_EQUAL(t.sf.state, SF_CLOSE_WAIT);
	talk_out(&t);
	CU_ASSERT_EQUAL(talk_ack(&t), 202);
}

static void test_a_fin_unanswered_is_sent_again(void)
{
	TALK(t);

	talk_open(&t);
	subflow_close(&t.sf, t.now);
	talk_out(&t);
	do
		talk_wait(&t);
	while (talk_out(&t) == SF_WANT_NOTHING);
	CU_ASSERT_EQUAL(t.out.flags, TCP_FIN | TCP_ACK);
	CU_ASSERT_EQUAL(talk_seq(&t), 1);
}

static void test_rst_must_have_the_exact_number(void)
{
	TALK(t);

	talk_open(&t);
	talk_in(&t, TCP_RST, 500, 1, 0); /* RFC 5961 3.2: in the window, but a guess */
	CU_ASSERT_FALSE(t.f.reset);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(t.counters.v[CNT_ChallengeAck], 1);
	talk_in(&t, TCP_RST, 1000000, 1, 0);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
	talk_in(&t, TCP_RST, 1, 1, 0);
	CU_ASSERT_TRUE(t.f.reset);
	CU_ASSERT_EQUAL(t.sf.state, SF_CLOSED);
}

/* Where the seal vouches for each segment nobody guesses: a RST that overtook lost data still counts. */
static void test_an_authentic_rst_need_only_be_in_the_window(void)
{
	TALK(t);

	talk_open(&t);
	t.sf.config.authentic = true;
	talk_in(&t, TCP_RST, 1000000, 1, 0);
	CU_ASSERT_FALSE(t.f.reset);
	talk_in(&t, TCP_RST, 500, 1, 0);
	CU_ASSERT_TRUE(t.f.reset);
}

static void test_a_syn_in_the_window_is_challenged(void)
{
	TALK(t);

	talk_open(&t);
	talk_in(&t, TCP_SYN, 1, 0, 0);
	CU_ASSERT_TRUE(t.f.rejected);
	CU_ASSERT_EQUAL(t.sf.state, SF_ESTABLISHED);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(t.out.flags, TCP_ACK);
}

static void test_challenges_are_limited(void)
{
	TALK(t);
	int answers = 0;

	talk_open(&t);
	for (int i = 0; i < 500; i++) {
		talk_in(&t, TCP_SYN, 1, 0, 0);
		answers += talk_out(&t) == SF_WANT_CONTROL;
	}
	CU_ASSERT_EQUAL(answers, 100);
	CU_ASSERT_EQUAL(t.counters.v[CNT_ChallengeAckLimited], 400);
	t.now += USEC_PER_S;
	talk_in(&t, TCP_SYN, 1, 0, 0);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
}

static void test_data_with_a_guessed_ack_is_refused(void)
{
	TALK(t);

	talk_open(&t);
	talk_in(&t, TCP_ACK, 1, 5000, 100); /* acknowledges what was never sent, RFC 5961 5.2 */
	CU_ASSERT_TRUE(t.f.rejected);
	CU_ASSERT_FALSE(t.f.payload);
	CU_ASSERT_EQUAL(t.counters.v[CNT_AckOutOfRange], 1);
}

static void test_reset_in_syn_sent_needs_an_ack_of_the_syn(void)
{
	TALK(t);
	struct subflow_config c = talk_config(&t);

	CU_ASSERT_EQUAL(subflow_connect(&t.sf, &c, ssn_of(OUR_ISS), 0), ERR_OK);
	talk_out(&t);
	talk_in(&t, TCP_RST | TCP_ACK, 0, 9, 0);
	CU_ASSERT_EQUAL(t.sf.state, SF_SYN_SENT);
	talk_in(&t, TCP_RST, 0, 0, 0);
	CU_ASSERT_EQUAL(t.sf.state, SF_SYN_SENT);
	talk_in(&t, TCP_RST | TCP_ACK, 0, 1, 0);
	CU_ASSERT_TRUE(t.f.reset);
}

static void test_a_stray_segment_is_refused_as_the_rfc_says(void)
{
	struct segment seg = { .seq = ssn_of(10), .flags = TCP_SYN, .payload_len = 5, .src_port = 1, .dst_port = 2 }, rst;

	CU_ASSERT_TRUE(subflow_refuse(&seg, &rst));
	CU_ASSERT_EQUAL(rst.flags, TCP_RST | TCP_ACK);
	CU_ASSERT_EQUAL(rst.ack.v, 16);
	CU_ASSERT_EQUAL(rst.dst_port, 1);
	seg.flags = TCP_ACK;
	seg.ack = ssn_of(77);
	CU_ASSERT_TRUE(subflow_refuse(&seg, &rst));
	CU_ASSERT_EQUAL(rst.flags, TCP_RST);
	CU_ASSERT_EQUAL(rst.seq.v, 77);
	seg.flags = TCP_RST;
	CU_ASSERT_FALSE(subflow_refuse(&seg, &rst)); /* never a reset for a reset */
}

UNIT_MAIN("subflow",
	T(test_syn_is_repeated_then_given_up),
	T(test_payload_of_the_syn_goes_with_it),
	T(test_unacknowledged_payload_of_the_syn_is_sent_again),
	T(test_a_syn_is_answered_only_once_accepted),
	T(test_we_close_first),
	T(test_the_peer_closes_first),
	T(test_both_close_at_once),
	T(test_fin_waits_for_the_hole_before_it),
	T(test_a_fin_unanswered_is_sent_again),
	T(test_rst_must_have_the_exact_number),
	T(test_an_authentic_rst_need_only_be_in_the_window),
	T(test_a_syn_in_the_window_is_challenged),
	T(test_challenges_are_limited),
	T(test_data_with_a_guessed_ack_is_refused),
	T(test_reset_in_syn_sent_needs_an_ack_of_the_syn),
	T(test_a_stray_segment_is_refused_as_the_rfc_says))
