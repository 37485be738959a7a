/* SPDX-License-Identifier: MIT */
/* What one arriving segment means: RFC 9293 3.10.7 in its order, RFC 5961's checks. What its ACK means: subflow_ack.c. */
#include "tunneld/tcp/subflow_internal.h"

#include <assert.h>

enum { CHALLENGE_ACKS_PER_S = 100, FULL_SEGMENTS_PER_ACK = 2, ACK_DELAY_LEAST_US = 5000 };

#define PAWS_US (UINT64_C(24) * 24 * 3600 * USEC_PER_S)

/* --- small things --- */

/* RFC 5961 7: a limit, so that the answers cannot be used against others. */
static void challenge_ack(struct subflow *sf, usec_t now_us)
{
	if (usec_since(now_us, sf->challenge_second_us) >= USEC_PER_S) {
		sf->challenge_second_us = now_us;
		sf->challenge_acks = 0;
	}
	if (sf->challenge_acks >= CHALLENGE_ACKS_PER_S) {
		count(sf->config.counters, CNT_ChallengeAckLimited);
		return;
	}
	sf->challenge_acks++;
	sf->ack_now = true;
	count(sf->config.counters, CNT_ChallengeAck);
}

static uint64_t offset_of(const struct subflow *sf, struct ssn seq)
{
	return sf->rcv_off + (uint64_t)(int64_t)ssn_diff(seq, sf->rcv_nxt);
}

static bool may_receive(const struct subflow *sf)
{
	return sf->state == SF_ESTABLISHED || sf->state == SF_FIN_WAIT_1 || sf->state == SF_FIN_WAIT_2;
}

/* RFC 9293 3.10.7.4, first: is any of the segment inside the window? */
static bool acceptable(const struct subflow *sf, const struct segment *seg, uint32_t room)
{
	/* RFC 9293 3.8.6 (MUST-66): a closed window keeps data out, not the RST that comes with it. */
	uint32_t len = seg->flags & TCP_RST ? 0 : segment_seq_len(seg);
	int32_t from = ssn_diff(seg->seq, sf->rcv_nxt);

	if (len == 0)
		return from >= 0 && (uint32_t)from <= room;
	return from + (int64_t)len > 0 && from < (int64_t)room;
}

static void note_dsack(struct subflow *sf, struct ssn start, struct ssn end)
{
	sf->dsack_start = start;
	sf->dsack_end = end;
	sf->dsack_pending = true;
}

/*
 * Whether a segment that is not acceptable tells by its ACK what is news all the same: old data whose ACK was lost, or data
 * before a closed window. RFC 9293 allows only the latter. Where nothing is authentic, a guessed sequence number must not do.
 */
static bool ack_is_news(const struct subflow *sf, const struct segment *seg, uint32_t room)
{
	int32_t from = ssn_diff(seg->seq, sf->rcv_nxt);

	if ((seg->flags & (TCP_ACK | TCP_SYN)) != TCP_ACK || sf->state == SF_SYN_RECEIVED || !ssn_lt(sf->snd_una, seg->ack) ||
	    ssn_lt(sf->snd_nxt, seg->ack))
		return false;
	return sf->config.authentic || (from <= 0 && -(int64_t)from <= (int64_t)(room > UINT16_MAX ? room : UINT16_MAX));
}

/* RFC 7323 5.3, R1: PAWS. An RST is never refused for its age. */
static bool timestamp_fails(const struct subflow *sf, const struct segment *seg, usec_t now_us)
{
	return sf->ts_ok && seg->tcp.has & OPT_TIMESTAMP && !(seg->flags & TCP_RST) &&
	       (int32_t)(seg->tcp.ts_val - sf->ts_recent) < 0 && usec_since(now_us, sf->ts_recent_us) < PAWS_US;
}

/*
 * RFC 7323 5.3, R3: what to echo, and what PAWS measures against. Only of a segment that passed every other check: one
 * forged timestamp from the future would have all that follows refused.
 */
static void note_timestamp(struct subflow *sf, const struct segment *seg, usec_t now_us)
{
	/* RFC 7323 4.3 (2): of what one ACK covers the first is echoed, so that its delay is part of the round trip. */
	if (!sf->ts_ok || !(seg->tcp.has & OPT_TIMESTAMP) || !ssn_leq(seg->seq, sf->last_ack))
		return;
	sf->ts_recent = seg->tcp.ts_val;
	sf->ts_recent_us = now_us;
}

/* Two ends that disagree must not answer each other's answers for ever: only what takes sequence numbers has one each time. */
static void answer_refused(struct subflow *sf, const struct segment *seg, usec_t now_us)
{
	if (segment_seq_len(seg))
		sf->ack_now = true;
	else
		challenge_ack(sf, now_us);
}

/* --- states --- */

static void established(struct subflow *sf, usec_t now_us, struct subflow_facts *f)
{
	sf->state = SF_ESTABLISHED;
	sf->syn_due = false;
	f->established = true;
	rtt_no_sample(&sf->rtt, sf->syn_us ? usec_since(now_us, sf->syn_us) : 0);
}

/* What acknowledges nothing of ours is of an older connection: tell its sender. */
static void foreign_ack(struct subflow *sf, const struct segment *seg)
{
	if (seg->flags & TCP_RST)
		return;
	sf->rst_due = true;
	sf->rst_seq = seg->ack;
}

/* RFC 9293 3.10.7.3 */
static void input_syn_sent(struct subflow *sf, const struct segment *seg, usec_t now_us, struct subflow_facts *f)
{
	bool ack = seg->flags & TCP_ACK;

	if (ack && (ssn_leq(seg->ack, sf->iss) || ssn_lt(sf->snd_nxt, seg->ack))) {
		f->rejected = true;
		foreign_ack(sf, seg);
		return;
	}
	if (seg->flags & TCP_RST) {
		f->rejected = !ack;
		if (ack) {
			subflow_to_closed(sf);
			f->reset = f->closed = true;
		}
		return;
	}
	if (!(seg->flags & TCP_SYN)) {
		f->rejected = true;
		return;
	}
	sf->irs = seg->seq;
	sf->rcv_nxt = sf->rcv_adv = ssn_add(seg->seq, 1);
	sf->rcv_off = 1;
	sf->snd_wl1 = seg->seq;
	sf->snd_wl2 = ack ? seg->ack : sf->iss;
	subflow_learn_options(sf, seg);
	sf->ts_recent_us = now_us;
	sf->last_ack = sf->rcv_nxt;
	sf->snd_wnd = sf->max_wnd = seg->window;
	if (!ack) {
		/* Simultaneous open: our SYN goes again, with an ACK. */
		sf->state = SF_SYN_RECEIVED;
		sf->syn_due = true;
		return;
	}
	subflow_acknowledged(sf, seg, now_us, f);
	established(sf, now_us, f);
	sf->ack_now = true;
}

static void payload_and_fin(struct subflow *sf, const struct segment *seg, uint32_t room, usec_t now_us, struct subflow_facts *f)
{
	struct ssn start = ssn_max(seg->seq, sf->rcv_nxt), end = ssn_add(seg->seq, seg->payload_len);
	struct ssn edge = ssn_add(sf->rcv_nxt, room);

	if (seg->flags & TCP_FIN && !sf->fin_received && ssn_leq(end, edge)) {
		sf->fin_received = true;
		sf->fin_rcv_seq = end;
	}
	end = ssn_min(end, edge);
	if (sf->fin_received)
		end = ssn_min(end, sf->fin_rcv_seq); /* there is nothing after a FIN */
	if (seg->payload_len && ssn_lt(start, end)) {
		if (ranges_have(&sf->ooo, offset_of(sf, start), offset_of(sf, end))) {
			note_dsack(sf, start, end);
			sf->ack_now = true;
			count(sf->config.counters, CNT_DuplicateSegment);
		} else {
			f->payload = true;
			f->payload_seq = start;
			f->payload_at = seg->payload + ssn_diff(start, seg->seq);
			f->payload_len = (uint32_t)ssn_diff(end, start);
		}
	}
	if (sf->fin_received && ssn_eq(sf->fin_rcv_seq, sf->rcv_nxt)) {
		f->fin = true;
		subflow_fin_arrived(sf, now_us);
	}
}

void subflow_input(struct subflow *sf, const struct segment *seg, uint32_t rcv_wnd, usec_t now_us, struct subflow_facts *f)
{
	uint32_t room = subflow_rcv_room(sf, rcv_wnd);

	*f = (struct subflow_facts){ 0 };
	sf->last_rcv_us = now_us;
	if (sf->state == SF_CLOSED) {
		f->rejected = true;
		return;
	}
	if (sf->state == SF_SYN_SENT) {
		input_syn_sent(sf, seg, now_us, f);
		return;
	}
	/* The peer's SYN again: our SYN/ACK was lost, or is still to be decided. */
	if (sf->state == SF_SYN_RECEIVED && (seg->flags & (TCP_SYN | TCP_RST)) == TCP_SYN && ssn_eq(seg->seq, sf->irs)) {
		if (seg->flags & TCP_ACK && ssn_lt(sf->iss, seg->ack) && ssn_leq(seg->ack, sf->snd_nxt)) {
			subflow_acknowledged(sf, seg, now_us, f); /* the other half of a simultaneous open */
			established(sf, now_us, f);
			sf->ack_now = true;
			return;
		}
		sf->syn_due = true;
		f->rejected = true;
		return;
	}
	if (timestamp_fails(sf, seg, now_us)) {
		count(sf->config.counters, CNT_PAWSRejected);
		f->rejected = true;
		answer_refused(sf, seg, now_us);
		return;
	}
	if (!acceptable(sf, seg, room)) {
		f->rejected = true;
		if (seg->flags & TCP_RST)
			return;
		if (seg->flags & TCP_SYN) {
			challenge_ack(sf, now_us);
			return;
		}
		if (seg->payload_len && ssn_lt(seg->seq, sf->rcv_nxt)) {
			count(sf->config.counters, CNT_DuplicateSegment);
			note_dsack(sf, seg->seq, ssn_add(seg->seq, seg->payload_len));
		}
		answer_refused(sf, seg, now_us);
		if (sf->state == SF_TIME_WAIT && seg->flags & TCP_FIN)
			subflow_enter_time_wait(sf, now_us);
		if (ack_is_news(sf, seg, room))
			subflow_acknowledged(sf, seg, now_us, f);
		return;
	}
	if (seg->flags & TCP_RST) {
		/* RFC 5961 3.2: exactly the next number, or it may be a guess. */
		if (!sf->config.authentic && !ssn_eq(seg->seq, sf->rcv_nxt)) {
			challenge_ack(sf, now_us);
			f->rejected = true;
			return;
		}
		subflow_to_closed(sf);
		f->reset = f->closed = true;
		return;
	}
	if (seg->flags & TCP_SYN) { /* RFC 5961 4.2 */
		challenge_ack(sf, now_us);
		f->rejected = true;
		return;
	}
	if (!(seg->flags & TCP_ACK)) {
		f->rejected = true;
		return;
	}
	if (sf->state == SF_SYN_RECEIVED) {
		if (!ssn_lt(sf->snd_una, seg->ack) || ssn_lt(sf->snd_nxt, seg->ack)) {
			f->rejected = true;
			foreign_ack(sf, seg);
			return;
		}
		established(sf, now_us, f);
	}
	/* RFC 5961 5.2: an ACK of what was never sent, or older than any window, is a guess. */
	if (ssn_lt(sf->snd_nxt, seg->ack) || ssn_diff(sf->snd_una, seg->ack) > (int64_t)sf->max_wnd) {
		challenge_ack(sf, now_us);
		count(sf->config.counters, CNT_AckOutOfRange);
		f->rejected = true;
		return;
	}
	note_timestamp(sf, seg, now_us);
	if (ssn_leq(sf->snd_una, seg->ack)) {
		subflow_acknowledged(sf, seg, now_us, f);
		if (f->closed)
			return;
	}
	if (seg->payload_len || seg->flags & TCP_FIN) {
		if (may_receive(sf))
			payload_and_fin(sf, seg, room, now_us, f);
		else
			sf->ack_now = true;
	}
}

bool subflow_predicted(struct subflow *sf, const struct segment *seg, uint32_t rcv_wnd, usec_t now_us)
{
	if (sf->state != SF_ESTABLISHED || (seg->flags & ~TCP_PSH) != TCP_ACK || !ssn_eq(seg->seq, sf->rcv_nxt) ||
	    !ssn_eq(seg->ack, sf->snd_una) || seg->tcp.has != (sf->ts_ok ? OPT_TIMESTAMP : 0) || timestamp_fails(sf, seg, now_us) ||
	    seg->mptcp_count || sf->ooo.count || sf->fin_received || ssn_lt(seg->seq, sf->snd_wl1) || ssn_lt(seg->ack, sf->snd_wl2) ||
	    !sf->snd_wnd || (uint32_t)seg->window << sf->snd_wscale != sf->snd_wnd || sf->persist_deadline_us != USEC_NEVER ||
	    !seg->payload_len || seg->payload_len > subflow_rcv_room(sf, rcv_wnd))
		return false;
	count(sf->config.counters, CNT_HeaderPredicted);
	note_timestamp(sf, seg, now_us);
	sf->last_rcv_us = now_us;
	sf->snd_wl1 = seg->seq;
	sf->snd_wl2 = seg->ack;
	return true;
}

static void note_recent(struct subflow *sf, uint64_t start)
{
	enum { N = sizeof sf->ooo_recent / sizeof *sf->ooo_recent };
	int i = ranges_find(&sf->ooo, start);
	unsigned at = 0;

	/* Its range is named once: the newer offset takes the place of the older, at the front. */
	while (i >= 0 && at < N - 1 &&
	       (sf->ooo_recent[at] < sf->ooo.at[i].start || sf->ooo_recent[at] >= sf->ooo.at[i].end))
		at++;
	for (; at; at--)
		sf->ooo_recent[at] = sf->ooo_recent[at - 1];
	sf->ooo_recent[0] = start;
}

/*
 * An answer that comes as late as the link is long would hide for as long that the link is dead; and on a short link there
 * is little to wait for.
 */
static usec_t ack_delay_us(const struct subflow *sf)
{
	usec_t part = usec_max(ACK_DELAY_LEAST_US, sf->rtt.srtt_us / 4);

	return sf->rtt.srtt_us ? usec_min(sf->config.delayed_ack_us, part) : sf->config.delayed_ack_us;
}

bool subflow_received(struct subflow *sf, struct ssn seq, uint32_t len, usec_t now_us, bool *fin)
{
	uint64_t start = offset_of(sf, seq), end = start + len;
	bool moved = false;

	*fin = false;
	if ((int64_t)(end - sf->rcv_off) <= 0)
		return false;
	if ((int64_t)(start - sf->rcv_off) > 0) {
		/* RFC 5681 4.2: out of order is answered at once, so that the sender learns of the hole. */
		if (ranges_add(&sf->ooo, start, end) != ERR_OK)
			count(sf->config.counters, CNT_OutOfOrderFull); /* not SACKed: it will be sent again */
		else
			sf->bytes_received += len;
		note_recent(sf, start);
		sf->ack_now = true;
		return false;
	}
	sf->bytes_received += end - sf->rcv_off;
	if (sf->ooo.count) {
		int i = ranges_find(&sf->ooo, end);

		/* RFC 5681 4.2: what fills a hole is answered at once. */
		sf->ack_now = true;
		if (i >= 0)
			end = sf->ooo.at[i].end;
		ranges_drop_before(&sf->ooo, end);
	}
	moved = end != sf->rcv_off;
	sf->rcv_nxt = ssn_add(sf->rcv_nxt, (uint32_t)(end - sf->rcv_off));
	sf->rcv_off = end;
	if (ssn_lt(sf->rcv_adv, sf->rcv_nxt))
		sf->rcv_adv = sf->rcv_nxt;
	sf->ack_pending_bytes += len;
	if (sf->fin_received && ssn_eq(sf->fin_rcv_seq, sf->rcv_nxt)) {
		*fin = true;
		subflow_fin_arrived(sf, now_us);
	}
	/* RFC 9293 3.8.6.3: at least every second full segment; none waits longer than delayed_ack_us. */
	if (sf->quick_acks) {
		sf->quick_acks--;
		sf->ack_now = true;
	} else if (sf->ack_pending_bytes > (FULL_SEGMENTS_PER_ACK - 1) * (uint32_t)sf->snd_mss) {
		sf->ack_now = true;
	} else if (sf->ack_deadline_us == USEC_NEVER) {
		sf->ack_deadline_us = usec_add(now_us, ack_delay_us(sf));
	}
	return moved;
}
