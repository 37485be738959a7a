/* SPDX-License-Identifier: MIT */
/* What is sent and how much at once: SACK blocks, windows, pacing, sizes. */
#include "tests/unit/tcp/talk.h"

static void test_sack_blocks_come_newest_first_and_are_repeated(void)
{
	TALK(t);

	talk_open(&t);
	for (uint32_t i = 1; i <= 4; i++)
		talk_data(&t, 1 + 2000 * i, 100);
	talk_data(&t, 2101, 100); /* the oldest block grows */
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL_FATAL(t.out.tcp.sack_count, 4);
	CU_ASSERT_EQUAL(t.out.tcp.sack[0].start.v, PEER_ISS + 2001);
	CU_ASSERT_EQUAL(t.out.tcp.sack[0].end.v, PEER_ISS + 2201);
	CU_ASSERT_EQUAL(t.out.tcp.sack[1].start.v, PEER_ISS + 8001);
	CU_ASSERT_EQUAL(t.out.tcp.sack[2].start.v, PEER_ISS + 6001);
	CU_ASSERT_EQUAL(t.out.tcp.sack[3].start.v, PEER_ISS + 4001);
}

static void test_sack_on_data_takes_its_room_from_the_payload(void)
{
	TALK(t);

	talk_open(&t);
	talk_data(&t, 2001, 100);
	CU_ASSERT_EQUAL(talk_send(&t, 5000), TALK_MSS - 20 - 12); /* one block: 4 + 8 bytes */
	CU_ASSERT_EQUAL(t.out.tcp.sack_count, 1);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING); /* and the ACK has gone with it */
}

static void test_the_window_told_is_the_connections_own(void)
{
	TALK(t);

	talk_open(&t);
	t.sf.quick_acks = 0;
	subflow_ack_now(&t.sf);
	subflow_output(&t.sf, 64000, 20, t.now, &t.out, &t.data);
	CU_ASSERT_EQUAL(t.out.window, 64000 >> 4);
	/* Another subflow has filled a part: RFC 8684 3.3.1 counts from the DATA_ACK ... */
	subflow_ack_now(&t.sf);
	subflow_output(&t.sf, 32000, 20, t.now, &t.out, &t.data);
	CU_ASSERT_EQUAL(t.out.window, 32000 >> 4);
	/* ... but what this subflow was promised is taken. */
	talk_in_full(&t, TCP_ACK, 1 + 40000, 1, 100, 60000, NULL);
	CU_ASSERT_TRUE(t.f.payload);
}

static void test_a_scale_is_used_only_if_both_offer_it(void)
{
	TALK(t);
	struct subflow_config c = talk_config(&t);
	struct tcp_options o = { .has = OPT_MSS, .mss = 1400 };

	CU_ASSERT_EQUAL(subflow_connect(&t.sf, &c, ssn_of(OUR_ISS), 0), ERR_OK);
	talk_out(&t);
	CU_ASSERT_EQUAL(t.out.tcp.wscale, 4);
	CU_ASSERT_EQUAL(t.out.window, UINT16_MAX); /* 100000, unscaled in a SYN: RFC 7323 2.2 */
	talk_in_full(&t, TCP_SYN | TCP_ACK, 0, 1, 0, 3000, &o);
	CU_ASSERT_EQUAL(t.sf.snd_wnd, 3000);
	talk_out(&t);
	CU_ASSERT_EQUAL(t.out.window, UINT16_MAX);
	CU_ASSERT_FALSE(t.sf.sack_ok);
	talk_in(&t, TCP_ACK, 1, 1, 0);
	CU_ASSERT_EQUAL(t.sf.snd_wnd, 60000);
}

/* Over a second, no more than the rate and a batch; woken in batches, not for each segment. */
static void test_pacing_keeps_the_rate_and_sends_in_batches(void)
{
	TALK(t);
	uint64_t sent = 0;
	unsigned wakes = 0;
	usec_t end;

	talk_open(&t);
	t.sf.bytes_sent = 1000 * 1000; /* past the initial window, which is not paced */
	t.sf.snd_wnd = t.sf.cc.cwnd = 100 * 1000 * 1000;
	t.sf.cc.pacing_rate = 10 * 1000 * 1000;
	end = t.now + USEC_PER_S;
	while (t.now < end) {
		uint32_t took;

		wakes++;
		while ((took = talk_send(&t, 100000)))
			sent += took;
		CU_ASSERT_FATAL(t.sf.pace_next_us > t.now);
		t.now = t.sf.pace_next_us;
	}
	CU_ASSERT_TRUE(sent <= 10 * 1000 * 1000 + 50 * 1000);
	CU_ASSERT_TRUE(sent >= 10 * 1000 * 1000 - 50 * 1000);
	CU_ASSERT_TRUE(wakes <= 1100);
}

static void test_a_late_clock_is_caught_up_with_but_idleness_is_not(void)
{
	TALK(t);
	uint64_t sent = 0;
	uint32_t took;

	talk_open(&t);
	t.sf.bytes_sent = 1000 * 1000;
	t.sf.snd_wnd = t.sf.cc.cwnd = 100 * 1000 * 1000;
	t.sf.cc.pacing_rate = 10 * 1000 * 1000;
	t.now += USEC_PER_S;
	while ((took = talk_send(&t, 100000)))
		sent += took;
	CU_ASSERT_TRUE(sent <= 32 * 1000); /* 1 ms of batch and 2 ms of lateness */
	CU_ASSERT_TRUE(sent >= 10 * 1000);
}

static void test_windows_are_obeyed_exactly(void)
{
	TALK(t);
	uint64_t sent = 0;
	uint32_t took, segs = 0;

	talk_open(&t);
	for (; (took = talk_send(&t, 100000)); segs++)
		sent += took;
	/* RFC 6928 2: ten segments, and not more bytes than the window even where options make segments smaller. */
	CU_ASSERT_EQUAL(segs, 10);
	CU_ASSERT_TRUE(sent <= t.sf.cc.cwnd && sent + t.sf.snd_mss > t.sf.cc.cwnd);
}

static void test_what_is_lost_goes_before_what_is_new(void)
{
	TALK(t);

	talk_open(&t);
	for (int i = 0; i < 8; i++)
		talk_send(&t, 900);
	t.now += 10 * USEC_PER_MS;
	talk_sack(&t, 1, 1801, 7201);
	CU_ASSERT_TRUE(t.f.loss_detected);
	CU_ASSERT_EQUAL(subflow_sendable(&t.sf, t.now), 0);
	t.sf.pace_next_us = 0;
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 1);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 901);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
}

/* RFC 6937: in recovery no more goes out than has arrived, and in the end it is ssthresh. */
static void test_recovery_sends_in_proportion(void)
{
	TALK(t);
	uint64_t out = 0;
	uint32_t delivered = 0, ssthresh;

	talk_open(&t);
	t.sf.cc.cwnd = t.sf.cc.ssthresh = 40 * 1000;
	for (int i = 0; i < 40; i++) {
		t.sf.pace_next_us = 0;
		CU_ASSERT_EQUAL(talk_send(&t, 980), 980);
	}
	t.now += 10 * USEC_PER_MS;
	for (uint32_t i = 1; i < 40; i++) {
		talk_sack(&t, 1, 981, 981 + 980 * i);
		delivered += 980;
		t.sf.pace_next_us = 0;
		while (talk_out(&t) == SF_WANT_RETRANSMIT)
			out += t.data.len;
		for (uint32_t took; (t.sf.pace_next_us = 0, took = talk_send(&t, 980));)
			out += took;
		if (t.sf.in_recovery) {
			CU_ASSERT_TRUE(out <= delivered + 2 * 980);
		}
	}
	ssthresh = t.sf.cc.ssthresh;
	CU_ASSERT_TRUE(ssthresh >= 28000 && ssthresh < 28500); /* CUBIC: seven tenths */
	CU_ASSERT_TRUE(t.sf.board.in_flight <= ssthresh + 1000);
	CU_ASSERT_TRUE(t.sf.board.in_flight >= ssthresh - 2000);
}

static void test_timestamps_are_echoed_and_old_ones_refused(void)
{
	TALK(t);
	struct subflow_config c = talk_config(&t);
	struct tcp_options o = { .has = OPT_MSS | OPT_SACK_OK | OPT_TIMESTAMP, .mss = 1400, .ts_val = 7000 };
	struct tcp_options old = { .has = OPT_TIMESTAMP, .ts_val = 6000 }, newer = { .has = OPT_TIMESTAMP, .ts_val = 7500 };

	c.timestamps = true;
	CU_ASSERT_EQUAL(subflow_connect(&t.sf, &c, ssn_of(OUR_ISS), 0), ERR_OK);
	talk_out(&t);
	CU_ASSERT_TRUE(t.out.tcp.has & OPT_TIMESTAMP);
	talk_in_full(&t, TCP_SYN | TCP_ACK, 0, 1, 0, 60000, &o);
	talk_out(&t);
	CU_ASSERT_EQUAL(t.out.tcp.ts_ecr, 7000);
	CU_ASSERT_EQUAL(t.sf.snd_mss, TALK_MSS - 12);
	talk_in_full(&t, TCP_ACK, 1, 1, 100, 60000, &old); /* RFC 7323 5.3: PAWS */
	CU_ASSERT_TRUE(t.f.rejected);
	CU_ASSERT_FALSE(t.f.payload);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	talk_in_full(&t, TCP_ACK, 1, 1, 100, 60000, &newer);
	CU_ASSERT_TRUE(t.f.payload);
	subflow_ack_now(&t.sf);
	talk_out(&t);
	CU_ASSERT_EQUAL(t.out.tcp.ts_ecr, 7500);
	/* RFC 7323 5.5: after 24 days without a segment an old one may well be a new one. */
	t.now += UINT64_C(25) * 24 * 3600 * USEC_PER_S;
	talk_in_full(&t, TCP_ACK, 1, 1, 100, 60000, &old);
	CU_ASSERT_TRUE(t.f.payload);
}

static void test_timestamps_begin_where_the_owner_says_and_wrap(void)
{
	TALK(t);
	struct subflow_config c = talk_config(&t);
	struct tcp_options o = { .has = OPT_MSS | OPT_SACK_OK | OPT_TIMESTAMP, .mss = 1400, .ts_val = 7000 };

	c.timestamps = true;
	c.ts_offset = UINT32_MAX;
	CU_ASSERT_EQUAL(subflow_connect(&t.sf, &c, ssn_of(OUR_ISS), 0), ERR_OK);
	talk_out(&t);
	CU_ASSERT_EQUAL(t.out.tcp.ts_val, UINT32_MAX);
	t.now += 3 * USEC_PER_MS;
	talk_in_full(&t, TCP_SYN | TCP_ACK, 0, 1, 0, 60000, &o);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(t.out.tcp.ts_val, 2); /* RFC 7323 5.4: a step a millisecond */
	CU_ASSERT_EQUAL(t.out.tcp.ts_ecr, 7000);
}

static void test_the_first_of_what_an_ack_covers_is_echoed(void)
{
	TALK(t);
	struct subflow_config c = talk_config(&t);
	struct tcp_options o = { .has = OPT_MSS | OPT_SACK_OK | OPT_TIMESTAMP, .mss = 1400, .ts_val = 7000 };
	bool fin;

	c.timestamps = true;
	CU_ASSERT_EQUAL(subflow_connect(&t.sf, &c, ssn_of(OUR_ISS), 0), ERR_OK);
	talk_out(&t);
	talk_in_full(&t, TCP_SYN | TCP_ACK, 0, 1, 0, 60000, &o);
	talk_out(&t);
	t.sf.quick_acks = 0;
	for (uint32_t i = 0; i < 2; i++) {
		o = (struct tcp_options){ .has = OPT_TIMESTAMP, .ts_val = 8000 + i };
		talk_in_full(&t, TCP_ACK, 1 + 900 * i, 1, 900, 60000, &o);
		subflow_received(&t.sf, t.f.payload_seq, t.f.payload_len, t.now, &fin);
	}
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(talk_ack(&t), 1801);
	CU_ASSERT_EQUAL(t.out.tcp.ts_ecr, 8000); /* RFC 7323 4.3 */
}

static void test_what_answers_another_handshake_is_reset(void)
{
	TALK(t);
	struct subflow_config c = talk_config(&t);

	CU_ASSERT_EQUAL(subflow_connect(&t.sf, &c, ssn_of(OUR_ISS), 0), ERR_OK);
	talk_out(&t);
	talk_in(&t, TCP_SYN | TCP_ACK, 0, 500, 0); /* RFC 9293 3.10.7.3: an old duplicate */
	CU_ASSERT_TRUE(t.f.rejected);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(t.out.flags, TCP_RST);
	CU_ASSERT_EQUAL(talk_seq(&t), 500);
	CU_ASSERT_EQUAL(t.sf.state, SF_SYN_SENT);
}

static void test_both_may_open_at_once(void)
{
	TALK(t);
	struct subflow_config c = talk_config(&t);
	struct tcp_options o = { .has = OPT_MSS | OPT_SACK_OK | OPT_WSCALE, .mss = 1400, .wscale = 4 };

	CU_ASSERT_EQUAL(subflow_connect(&t.sf, &c, ssn_of(OUR_ISS), 0), ERR_OK);
	talk_out(&t);
	talk_in_full(&t, TCP_SYN, 0, 0, 0, 60000, &o);
	CU_ASSERT_EQUAL(t.sf.state, SF_SYN_RECEIVED);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(t.out.flags, TCP_SYN | TCP_ACK);
	CU_ASSERT_EQUAL(talk_seq(&t), 0);
	talk_in_full(&t, TCP_SYN | TCP_ACK, 0, 1, 0, 60000, &o);
	CU_ASSERT_TRUE(t.f.established);
	CU_ASSERT_EQUAL(board_count(&t.sf.board), 0);
}

/* Without data nobody answers an answer. */
static void test_pure_acks_are_not_answered_in_any_state(void)
{
	TALK(t);

	talk_open(&t);
	talk_in(&t, TCP_FIN | TCP_ACK, 1, 1, 0);
	talk_out(&t);
	CU_ASSERT_EQUAL(t.sf.state, SF_CLOSE_WAIT);
	talk_in(&t, TCP_ACK, 2, 1, 0);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
	subflow_close(&t.sf, t.now);
	talk_out(&t);
	talk_in(&t, TCP_ACK, 2, 1, 0);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
	CU_ASSERT_EQUAL(t.sf.state, SF_LAST_ACK);
}

UNIT_MAIN("subflow_output",
	T(test_sack_blocks_come_newest_first_and_are_repeated),
	T(test_sack_on_data_takes_its_room_from_the_payload),
	T(test_the_window_told_is_the_connections_own),
	T(test_a_scale_is_used_only_if_both_offer_it),
	T(test_pacing_keeps_the_rate_and_sends_in_batches),
	T(test_a_late_clock_is_caught_up_with_but_idleness_is_not),
	T(test_windows_are_obeyed_exactly),
	T(test_what_is_lost_goes_before_what_is_new),
	T(test_recovery_sends_in_proportion),
	T(test_timestamps_are_echoed_and_old_ones_refused),
	  T(test_timestamps_begin_where_the_owner_says_and_wrap),
	T(test_the_first_of_what_an_ack_covers_is_echoed),
	T(test_what_answers_another_handshake_is_reset),
	T(test_both_may_open_at_once),
	T(test_pure_acks_are_not_answered_in_any_state))
