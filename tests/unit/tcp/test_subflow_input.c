/* SPDX-License-Identifier: MIT */
/* Receiving: order, SACK, delayed ACKs; and what acknowledgements mean: loss, recovery, undo. */
#include "tests/unit/tcp/talk.h"

static void quiet(struct talk *t)
{
	talk_open(t);
	t->sf.quick_acks = 0;
}

static void test_every_second_segment_is_acknowledged_at_once(void)
{
	TALK(t);

	quiet(&t);
	talk_data(&t, 1, 1000);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
	CU_ASSERT_EQUAL(subflow_deadline(&t.sf), t.now + usec_max(5 * USEC_PER_MS, t.sf.rtt.srtt_us / 4));
	talk_data(&t, 1001, 1000);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(talk_ack(&t), 2001);
	talk_data(&t, 2001, 10);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
	talk_wait(&t);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(talk_ack(&t), 2011);
}

static void test_a_hole_is_reported_newest_block_first(void)
{
	TALK(t);

	quiet(&t);
	talk_data(&t, 1001, 500);
	talk_out(&t);
	talk_data(&t, 3001, 500);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(talk_ack(&t), 1);
	CU_ASSERT_EQUAL(t.out.tcp.sack_count, 2);
	CU_ASSERT_EQUAL(t.out.tcp.sack[0].start.v, PEER_ISS + 3001);
	CU_ASSERT_EQUAL(t.out.tcp.sack[1].start.v, PEER_ISS + 1001);
	talk_data(&t, 1, 1000);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL); /* part of the hole is filled: at once */
	CU_ASSERT_EQUAL(talk_ack(&t), 1501);
	CU_ASSERT_EQUAL(t.out.tcp.sack_count, 1);
}

static void test_a_duplicate_is_reported_once_as_dsack(void)
{
	TALK(t);

	quiet(&t);
	talk_data(&t, 1, 1000);
	talk_data(&t, 1, 1000);
	CU_ASSERT_FALSE(t.f.payload);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(t.out.tcp.sack_count, 1);
	CU_ASSERT_EQUAL(t.out.tcp.sack[0].start.v, PEER_ISS + 1);
	CU_ASSERT_EQUAL(t.out.tcp.sack[0].end.v, PEER_ISS + 1001);
	subflow_ack_now(&t.sf);
	talk_out(&t);
	CU_ASSERT_EQUAL(t.out.tcp.sack_count, 0);
}

static void test_payload_is_cut_to_the_window_and_to_what_is_new(void)
{
	TALK(t);

	quiet(&t);
	talk_data(&t, 1, 1000);
	talk_in(&t, TCP_ACK, 501, 1, 1000);
	CU_ASSERT_EQUAL(t.f.payload_seq.v, PEER_ISS + 1001);
	CU_ASSERT_EQUAL(t.f.payload_len, 500);
	CU_ASSERT_PTR_EQUAL(t.f.payload_at, talk_bytes + 500);
	talk_in(&t, TCP_ACK, 1001 + TALK_WND, 1, 10);
	CU_ASSERT_TRUE(t.f.rejected);
}

static void test_what_the_owner_does_not_keep_is_not_acknowledged(void)
{
	TALK(t);

	quiet(&t);
	talk_in(&t, TCP_ACK, 1, 1, 1000);
	CU_ASSERT_TRUE(t.f.payload);
	subflow_ack_now(&t.sf);
	talk_out(&t);
	CU_ASSERT_EQUAL(talk_ack(&t), 1);
}

/* Ten segments out; returns nothing, the clock stands. */
static void flight(struct talk *t)
{
	talk_open(t);
	t->sf.cc.pacing_rate = 0;
	for (int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL_FATAL(talk_send(t, 900), 900);
	t->now += 10 * USEC_PER_MS;
}

static void test_rack_finds_a_hole_once_later_segments_are_there(void)
{
	TALK(t);

	flight(&t);
	talk_sack(&t, 1, 901, 2701);
	if (!t.f.loss_detected) { /* two segments: within the reordering window yet, RFC 8985 6.2 */
		talk_sack(&t, 1, 901, 3601);
	}
	CU_ASSERT_TRUE(t.f.loss_detected);
	CU_ASSERT_TRUE(t.sf.in_recovery);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 1);
	CU_ASSERT_EQUAL(t.data.len, 900);
	CU_ASSERT_TRUE(t.data.retransmission);
	t.now += 10 * USEC_PER_MS;
	talk_in(&t, TCP_ACK, 1, 9001, 0);
	CU_ASSERT_FALSE(t.sf.in_recovery);
	CU_ASSERT_TRUE(t.sf.cc.cwnd >= t.sf.cc.ssthresh && t.sf.cc.cwnd < t.sf.cc.ssthresh + t.sf.cc.mss);
	CU_ASSERT_EQUAL(subflow_deadline(&t.sf), USEC_NEVER);
}

static void test_reordering_is_not_taken_for_loss(void)
{
	TALK(t);

	flight(&t);
	talk_sack(&t, 1, 901, 1801);
	CU_ASSERT_FALSE(t.f.loss_detected);
	CU_ASSERT_NOT_EQUAL(t.sf.rack_deadline_us, USEC_NEVER); /* it waits a quarter of the RTT */
	talk_in(&t, TCP_ACK, 1, 1801, 0);
	CU_ASSERT_TRUE(t.sf.reordering_seen);
	CU_ASSERT_FALSE(t.sf.in_recovery);
	CU_ASSERT_EQUAL(t.sf.retransmitted_segments, 0);
}

/* The next segment was cut on its way, and its first part waited behind the hole: what the repair acknowledges is old. */
static void test_a_part_that_waited_behind_a_hole_tells_nothing(void)
{
	TALK(t);
	usec_t srtt;

	flight(&t);
	srtt = t.sf.rtt.srtt_us;
	while (!t.f.retransmit_timeout) {
		talk_wait(&t);
		while (!t.f.retransmit_timeout && talk_out(&t) != SF_WANT_NOTHING)
			; /* the tail loss probe, lost as well */
	}
	CU_ASSERT_TRUE(t.sf.in_rto_recovery);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 1);
	t.now += 10 * USEC_PER_MS;
	talk_in(&t, TCP_ACK, 1, 1001, 0); /* segments of 900 */
	CU_ASSERT_TRUE(t.sf.in_rto_recovery);
	CU_ASSERT_EQUAL(t.sf.rtt.srtt_us, srtt);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 1001);
}

static void test_the_tail_is_probed_before_the_timeout(void);
static void test_every_half_of_the_number_space_is_alike(void)
{
	static const uint32_t begins[] = { 0, 1, 0x7ffffff0, 0x80000000, 0xc0000000, 0xfffffff0 };
	uint32_t ours = talk_our_iss, peers = talk_peer_iss;

	for (unsigned i = 0; i < sizeof begins / sizeof *begins; i++) {
		talk_our_iss = begins[i];
		talk_peer_iss = begins[(i + 3) % (sizeof begins / sizeof *begins)];
		test_rack_finds_a_hole_once_later_segments_are_there();
		test_reordering_is_not_taken_for_loss();
		test_the_tail_is_probed_before_the_timeout();
		{
			TALK(t);

			flight(&t);
			talk_in(&t, TCP_ACK, 1, 901, 0);
			CU_ASSERT_FALSE(t.sf.reordering_seen);
			CU_ASSERT_TRUE(ssn_leq(t.sf.dsack_round, t.sf.snd_una));
		}
	}
	talk_our_iss = ours;
	talk_peer_iss = peers;
}

static void test_the_tail_is_probed_before_the_timeout(void)
{
	TALK(t);

	flight(&t);
	talk_wait(&t);
	CU_ASSERT_TRUE(t.f.tail_probe);
	CU_ASSERT_FALSE(t.f.retransmit_timeout);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 8101); /* the last one */
	t.now += 10 * USEC_PER_MS;
	talk_sack(&t, 1, 8101, 9001);
	while (!t.f.loss_detected && t.sf.rack_deadline_us != USEC_NEVER)
		talk_wait(&t);
	CU_ASSERT_TRUE(t.sf.board.lost_segs >= 1); /* and so the rest is known to be lost without a timeout */
	CU_ASSERT_EQUAL(t.counters.v[CNT_RetransmitTimeout], 0);
}

/* RFC 9040: others' answers on its path have come to take longer, after its timers were set. */
static void test_nothing_is_overdue_before_others_are(void)
{
	TALK(t);
	usec_t sent_us, late_us, next_us;
	uint64_t tag;
	uint32_t len;

	flight(&t);
	sent_us = subflow_oldest_us(&t.sf);
	CU_ASSERT_TRUE_FATAL(t.sf.tlp_deadline_us < sent_us + 60 * USEC_PER_MS && t.sf.silence_deadline_us < sent_us + 100 * USEC_PER_MS);
	late_us = subflow_late_at(&t.sf);
	subflow_company(&t.sf, 120 * USEC_PER_MS);
	CU_ASSERT_TRUE(subflow_late_at(&t.sf) > late_us);
	do
		talk_wait(&t);
	while (!t.f.tail_probe && !t.f.silent && !t.f.retransmit_timeout);
	CU_ASSERT_TRUE(t.f.tail_probe);
	CU_ASSERT_TRUE(t.now >= sent_us + 120 * USEC_PER_MS);
	while (!t.f.silent && !t.f.retransmit_timeout)
		talk_wait(&t);
	CU_ASSERT_TRUE(t.f.silent && t.now >= sent_us + 160 * USEC_PER_MS);
	CU_ASSERT_FALSE(subflow_late(&t.sf, sent_us + 120 * USEC_PER_MS, &tag, &len, &next_us));
	CU_ASSERT_TRUE(subflow_late(&t.sf, sent_us + 220 * USEC_PER_MS, &tag, &len, &next_us));
}

static void test_a_timeout_sends_one_segment_and_backs_off(void)
{
	TALK(t);

	flight(&t);
	do
		talk_wait(&t), talk_out(&t);
	while (!t.f.retransmit_timeout);
	CU_ASSERT_EQUAL(t.want, SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 1);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
	CU_ASSERT_EQUAL(t.sf.rtt.backoff, 1);
	CU_ASSERT_EQUAL(t.sf.cc.cwnd, t.sf.cc.mss);
}

/* RFC 5682: the ACKs were only late; the window comes back. */
static void test_a_spurious_timeout_is_undone(void)
{
	TALK(t);
	uint32_t before;

	flight(&t);
	before = t.sf.cc.cwnd;
	t.sf.tlp_deadline_us = t.sf.silence_deadline_us = USEC_NEVER;
	do
		talk_wait(&t);
	while (!t.f.retransmit_timeout);
	talk_out(&t);
	t.now += 1;
	talk_in(&t, TCP_ACK, 1, 1801, 0); /* the second segment was sent only once */
	CU_ASSERT_EQUAL(t.counters.v[CNT_SpuriousRecovery], 1);
	CU_ASSERT_TRUE(t.sf.cc.cwnd >= before);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_NOTHING);
}

static void test_an_ack_with_an_mptcp_option_is_no_duplicate(void)
{
	TALK(t);
	struct segment s = { .seq = ssn_of(PEER_ISS + 1), .ack = ssn_of(OUR_ISS + 1), .flags = TCP_ACK, .window = 60000 };

	flight(&t);
	s.mptcp_count = 1;
	s.mptcp[0].subtype = ADD_ADDR;
	subflow_input(&t.sf, &s, TALK_WND, t.now, &t.f);
	CU_ASSERT_FALSE(t.f.dup_ack);
	s.mptcp[0].subtype = DSS;
	subflow_input(&t.sf, &s, TALK_WND, t.now, &t.f);
	CU_ASSERT_TRUE(t.f.dup_ack);
}

static void test_a_peer_without_sack_is_served_by_three_duplicates(void)
{
	TALK(t);

	flight(&t);
	t.sf.sack_ok = false;
	for (int i = 0; i < 3; i++)
		talk_in(&t, TCP_ACK, 1, 1, 0);
	CU_ASSERT_TRUE(t.sf.in_recovery);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 1);
}

/* RFC 2018 8: the receiver may throw SACKed data away; a timeout must not rely on it. */
static void test_reneging_is_survived(void)
{
	TALK(t);

	flight(&t);
	board_mark_sacked(&t.sf.board, t.sf.board.head);
	t.sf.tlp_deadline_us = t.sf.silence_deadline_us = USEC_NEVER;
	do
		talk_wait(&t);
	while (!t.f.retransmit_timeout);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 1);
}

static void test_the_peers_window_is_obeyed_and_old_segments_do_not_change_it(void)
{
	TALK(t);

	talk_open(&t);
	talk_in_full(&t, TCP_ACK, 1, 1, 0, 30, NULL); /* 480 bytes */
	CU_ASSERT_EQUAL(subflow_sendable(&t.sf, t.now), 480);
	CU_ASSERT_EQUAL(talk_send(&t, 5000), 480);
	CU_ASSERT_EQUAL(subflow_sendable(&t.sf, t.now), 0);
	talk_in_full(&t, TCP_ACK, 0, 1, 0, 60000, NULL); /* older: RFC 9293 3.10.7.4, SND.WL1 */
	CU_ASSERT_EQUAL(t.sf.snd_wnd, 480);
}

static void test_path_alive_sends_at_once_and_forgets_the_backoff(void)
{
	TALK(t);

	flight(&t);
	for (int i = 0; i < 12; i++)
		talk_wait(&t), talk_out(&t);
	CU_ASSERT_TRUE(t.sf.rtt.backoff > 3);
	subflow_path_alive(&t.sf, t.now);
	CU_ASSERT_EQUAL(t.sf.rtt.backoff, 0);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 1);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 901);
}

static void test_a_smaller_path_cuts_retransmissions_too(void)
{
	TALK(t);

	flight(&t);
	do
		talk_wait(&t), talk_out(&t);
	while (!t.f.retransmit_timeout);
	subflow_set_mss(&t.sf, 500);
	subflow_path_alive(&t.sf, t.now);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(t.data.len, 480);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 481);
	CU_ASSERT_EQUAL(t.data.len, 420);
	CU_ASSERT_EQUAL(t.data.tag, 480);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(talk_seq(&t), 901);
}

/* RFC 9293 3.8.6, MUST-66, and SHLD-2: an RST may carry text. */
static void test_an_rst_with_text_closes_at_a_closed_window(void)
{
	TALK(t);
	struct segment s = {
		.seq = ssn_of(PEER_ISS + 1), .ack = ssn_of(OUR_ISS + 1), .flags = TCP_RST | TCP_ACK,
		.payload = talk_bytes, .payload_len = 10,
	};

	quiet(&t);
	t.sf.rcv_adv = t.sf.rcv_nxt;
	subflow_input(&t.sf, &s, 0, t.now, &t.f);
	CU_ASSERT_TRUE(t.f.reset);
	CU_ASSERT_EQUAL(t.sf.state, SF_CLOSED);
}

UNIT_MAIN("subflow_input",
	T(test_every_second_segment_is_acknowledged_at_once),
	T(test_a_hole_is_reported_newest_block_first),
	T(test_a_duplicate_is_reported_once_as_dsack),
	T(test_payload_is_cut_to_the_window_and_to_what_is_new),
	T(test_what_the_owner_does_not_keep_is_not_acknowledged),
	T(test_rack_finds_a_hole_once_later_segments_are_there),
	T(test_reordering_is_not_taken_for_loss), T(test_every_half_of_the_number_space_is_alike),
	  T(test_a_part_that_waited_behind_a_hole_tells_nothing),
	T(test_the_tail_is_probed_before_the_timeout),
	T(test_nothing_is_overdue_before_others_are),
	T(test_a_timeout_sends_one_segment_and_backs_off),
	T(test_a_spurious_timeout_is_undone),
	T(test_an_ack_with_an_mptcp_option_is_no_duplicate),
	T(test_a_peer_without_sack_is_served_by_three_duplicates),
	T(test_reneging_is_survived),
	T(test_the_peers_window_is_obeyed_and_old_segments_do_not_change_it),
	T(test_path_alive_sends_at_once_and_forgets_the_backoff),
	T(test_a_smaller_path_cuts_retransmissions_too),
	T(test_an_rst_with_text_closes_at_a_closed_window))
