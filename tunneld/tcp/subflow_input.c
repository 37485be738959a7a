/* SPDX-License-Identifier: MIT */
/* What one arriving segment means: RFC 9293 3.10.7 in its order, RFC 5961's checks, SACK, RACK (RFC 8985), PRR. */
#include "tunneld/tcp/subflow_internal.h"

#include <assert.h>

enum { CHALLENGE_ACKS_PER_S = 100, DUP_THRESHOLD = 3, FULL_SEGMENTS_PER_ACK = 2, REO_WND_PERSIST = 16, ACK_DELAY_LEAST_US = 5000 };

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
	uint32_t len = segment_seq_len(seg);
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

/* RFC 7323 5.3: PAWS, and what to echo. */
static bool timestamp_fails(struct subflow *sf, const struct segment *seg, usec_t now_us)
{
	if (!sf->ts_ok || !(seg->tcp.has & OPT_TIMESTAMP))
		return false;
	if (!(seg->flags & TCP_RST) && (int32_t)(seg->tcp.ts_val - sf->ts_recent) < 0 &&
	    usec_since(now_us, sf->ts_recent_us) < PAWS_US)
		return true;
	/* RFC 7323 4.3 (2): of what one ACK covers the first is echoed, so that its delay is part of the round trip. */
	if (ssn_leq(seg->seq, sf->last_ack)) {
		sf->ts_recent = seg->tcp.ts_val;
		sf->ts_recent_us = now_us;
	}
	return false;
}

/* --- loss detection --- */

struct delivery {
	uint32_t acked, sacked;      /* bytes newly delivered, by snd_una and by SACK */
	usec_t rtt_us;
	/* of the newest segment, for the delivery rate */
	bool any;
	uint64_t prior_delivered;
	usec_t prior_us, sent_us;
	uint32_t send_elapsed_us, tx_in_flight;
	bool rate_app_limited;
	bool late_original;          /* thought lost, not sent again, and here it is: F-RTO's question */
	bool duplicate;              /* told by DSACK */
	struct ssn duplicate_end;
	usec_t newest_us;
};

/* draft-ietf-ccwg-bbr 4.1.2.3: the newest segment tells over which time the delivery is counted. */
static void note_newest(struct subflow *sf, struct delivery *d, const struct sent *s)
{
	if (s->flags & SENT_SYN) /* the handshake's pace is no rate */
		return;
	if (d->any && (s->delivered < d->prior_delivered || (s->delivered == d->prior_delivered && s->sent_us < d->sent_us)))
		return;
	d->any = true;
	d->prior_delivered = s->delivered;
	d->prior_us = s->delivered_us;
	d->sent_us = s->sent_us;
	d->send_elapsed_us = s->send_elapsed_us;
	d->tx_in_flight = s->tx_in_flight;
	d->rate_app_limited = s->flags & SENT_APP_LIMITED;
	sf->first_sent_us = s->sent_us;
}

/* Bytes a second, 0: none. The slower of sending and arriving: ACKs may come in a lump. */
static uint64_t delivery_rate(const struct subflow *sf, const struct delivery *d, usec_t now_us)
{
	usec_t took = usec_max(d->send_elapsed_us, usec_since(now_us, d->prior_us));

	/* An answer to the original of what was sent again would look too quick. */
	if (!d->any || !took || took < sf->rtt.min_rtt_us)
		return 0;
	return (sf->delivered - d->prior_delivered) * USEC_PER_S / took;
}

static void delivered_one(struct subflow *sf, struct delivery *d, const struct sent *s, usec_t now_us)
{
	usec_t rtt = usec_since(now_us, s->sent_us);
	struct ssn end = ssn_add(s->seq, s->len);
	bool again = s->flags & SENT_RETRANS;

	note_newest(sf, d, s);
	if (!again) {
		if (s->sent_us >= d->newest_us) {
			d->newest_us = s->sent_us;
			d->rtt_us = rtt ? rtt : 1;
		}
		if (s->flags & SENT_LOST)
			d->late_original = true;
		/* RFC 8985 6.2 step 3 */
		if (ssn_lt(end, sf->rack_fack))
			sf->reordering_seen = true;
	}
	if (ssn_lt(sf->rack_fack, end))
		sf->rack_fack = end;
	/* RFC 8985 6.2 step 2: an answer too quick for the retransmission answers the original. */
	if (again && rtt < sf->rtt.min_rtt_us)
		return;
	if (s->sent_us > sf->rack_sent_us || (s->sent_us == sf->rack_sent_us && ssn_lt(sf->rack_end, end))) {
		sf->rack_sent_us = s->sent_us;
		sf->rack_end = end;
		sf->rack_rtt_us = rtt;
	}
}

/* RFC 8985 6.2 step 4 */
static usec_t reordering_window(const struct subflow *sf)
{
	if (!sf->reordering_seen && (sf->in_recovery || sf->board.sacked_segs >= DUP_THRESHOLD))
		return 0;
	return usec_min(sf->reo_wnd_mult * sf->rtt.min_rtt_us / 4, sf->rtt.srtt_us);
}

uint32_t subflow_detect_loss(struct subflow *sf, usec_t now_us)
{
	struct scoreboard *b = &sf->board;
	usec_t window = reordering_window(sf);
	uint32_t lost = 0;

	sf->rack_deadline_us = USEC_NEVER;
	if (!sf->rack_sent_us)
		return 0;
	while (b->oldest != BOARD_NONE) {
		uint32_t p = b->oldest;
		const struct sent *s = board_at(b, p);
		usec_t due;

		if (s->sent_us > sf->rack_sent_us ||
		    (s->sent_us == sf->rack_sent_us && ssn_leq(sf->rack_end, ssn_add(s->seq, s->len))))
			break;
		due = usec_add(s->sent_us, sf->rack_rtt_us + window);
		if (due > now_us) {
			sf->rack_deadline_us = due;
			break;
		}
		lost += s->len;
		board_mark_lost(b, p);
	}
	sf->lost_total += lost;
	return lost;
}

void subflow_enter_recovery(struct subflow *sf, usec_t now_us)
{
	if (sf->in_recovery || sf->in_rto_recovery)
		return;
	sf->in_recovery = true;
	sf->recover = sf->snd_nxt;
	sf->prr_flight_size = (uint32_t)ssn_diff(sf->snd_nxt, sf->snd_una); /* RFC 6937 2: RecoverFS */
	sf->prr_delivered = sf->prr_out = 0;
	sf->undo_retransmits = 0;
	sf->tlp_out = false; /* one reduction answers the loss, RFC 8985 7.4.2 */
	if (sf->reo_wnd_persist && --sf->reo_wnd_persist == 0)
		sf->reo_wnd_mult = 1;
	sf->cc.ops->loss(&sf->cc, sf->board.in_flight, now_us);
	count(sf->config.counters, CNT_FastRecovery);
}

static void undo(struct subflow *sf, usec_t now_us)
{
	board_unmark_lost(&sf->board);
	sf->undo_retransmits = 0;
	sf->cc.ops->undo(&sf->cc, now_us);
	sf->in_recovery = sf->in_rto_recovery = sf->frto = false;
	count(sf->config.counters, CNT_SpuriousRecovery);
}

/* RFC 6937 3.1: as much goes out as the reduction allows for what has arrived. */
static void proportional_rate(struct subflow *sf, uint32_t delivered, bool safe)
{
	uint32_t flight = sf->board.in_flight, ssthresh = sf->cc.ssthresh, mss = sf->cc.mss;
	int64_t more;

	sf->prr_delivered += delivered;
	if (flight > ssthresh) {
		uint64_t share = (uint64_t)sf->prr_delivered * ssthresh;

		more = (int64_t)((share + sf->prr_flight_size - 1) / (sf->prr_flight_size ? sf->prr_flight_size : 1)) - sf->prr_out;
	} else {
		int64_t limit = (int64_t)sf->prr_delivered - sf->prr_out;

		if (limit < (int64_t)delivered)
			limit = delivered;
		/* Faster only while each ACK shows that the repair works: RFC 6937's SSRB, else its CRB. */
		more = safe ? limit + mss : limit;
		if (more > (int64_t)ssthresh - flight)
			more = (int64_t)ssthresh - flight;
	}
	if (more < 0)
		more = 0;
	if (sf->prr_out == 0 && more < (int64_t)mss)
		more = mss; /* the fast retransmission itself */
	sf->cc.cwnd = flight + (uint32_t)more;
}

static void leave_recovery(struct subflow *sf)
{
	if (sf->in_recovery && !sf->cc.ops->by_rate)
		sf->cc.cwnd = sf->cc.ssthresh;
	sf->in_recovery = sf->in_rto_recovery = sf->frto = false;
}

/* --- acknowledgements --- */

static void take_cumulative(struct subflow *sf, struct ssn ack, struct delivery *d, usec_t now_us)
{
	struct scoreboard *b = &sf->board;

	while (board_count(b)) {
		struct sent *s = board_at(b, b->head);
		int32_t n = ssn_diff(ack, s->seq);

		if (n <= 0)
			break;
		if ((uint32_t)n < s->len) {
			if (!(s->flags & SENT_SACKED)) {
				delivered_one(sf, d, s, now_us);
				d->acked += (uint32_t)n;
			}
			board_trim_head(b, (uint32_t)n);
			break;
		}
		if (!(s->flags & SENT_SACKED)) {
			delivered_one(sf, d, s, now_us);
			d->acked += s->len;
		}
		board_pop(b);
	}
}

static bool known_block(const struct scoreboard *b, struct sack_block *k)
{
	for (unsigned i = 0; i < sizeof b->seen / sizeof *b->seen; i++) {
		if (ssn_eq(b->seen[i].start, b->seen[i].end) || ssn_lt(k->start, b->seen[i].start) ||
		    ssn_lt(b->seen[i].end, k->start))
			continue;
		if (ssn_leq(k->end, b->seen[i].end))
			return true;
		k->start = b->seen[i].end; /* only what it has grown by */
	}
	return false;
}

static void take_sack(struct subflow *sf, const struct segment *seg, struct delivery *d, usec_t now_us)
{
	struct scoreboard *b = &sf->board;

	for (uint8_t i = 0; i < seg->tcp.sack_count; i++) {
		struct sack_block k = seg->tcp.sack[i], whole = k;

		if (!ssn_lt(k.start, k.end))
			continue;
		/* RFC 2883 4: a first block below the ACK, or inside the second block, tells of a duplicate. */
		if (i == 0 && (ssn_leq(k.end, seg->ack) ||
			       (seg->tcp.sack_count > 1 && ssn_leq(seg->tcp.sack[1].start, k.start) &&
				ssn_leq(k.end, seg->tcp.sack[1].end)))) {
			count(sf->config.counters, CNT_DSACKReceived);
			d->duplicate = true;
			d->duplicate_end = k.end;
			continue;
		}
		if (ssn_leq(k.end, sf->snd_una) || ssn_lt(sf->snd_nxt, k.end) || known_block(b, &k))
			continue;
		for (uint32_t p = board_find(b, k.start); p != b->tail; p++) {
			struct sent *s = board_at(b, p);

			if (ssn_lt(k.end, ssn_add(s->seq, s->len)))
				break;
			if (s->flags & SENT_SACKED || ssn_lt(s->seq, whole.start))
				continue;
			delivered_one(sf, d, s, now_us);
			d->sacked += s->len;
			board_mark_sacked(b, p);
		}
		if (board_count(b)) {
			b->seen[b->seen_next].start = whole.start;
			b->seen[b->seen_next].end = whole.end;
			b->seen_next = (uint8_t)((b->seen_next + 1) % (sizeof b->seen / sizeof *b->seen));
		}
	}
}

/* RFC 9293 3.10.7.4, fifth, ESTABLISHED; returns whether the window moved. */
static bool take_window(struct subflow *sf, const struct segment *seg)
{
	uint32_t wnd = (uint32_t)seg->window << (seg->flags & TCP_SYN ? 0 : sf->snd_wscale);
	bool moved;

	if (!(ssn_lt(sf->snd_wl1, seg->seq) || (ssn_eq(sf->snd_wl1, seg->seq) && ssn_leq(sf->snd_wl2, seg->ack))))
		return false;
	moved = wnd != sf->snd_wnd;
	sf->snd_wnd = wnd;
	sf->snd_wl1 = seg->seq;
	sf->snd_wl2 = seg->ack;
	if (wnd > sf->max_wnd)
		sf->max_wnd = wnd;
	return moved;
}

static bool only_dss(const struct segment *seg)
{
	for (uint8_t i = 0; i < seg->mptcp_count; i++)
		if (seg->mptcp[i].subtype != DSS)
			return false;
	return true;
}

/* RFC 8985 6.2 step 4: what was sent again had not been lost. Look longer before thinking so. */
static void duplicate_told(struct subflow *sf, usec_t now_us)
{
	sf->reordering_seen = true;
	if (ssn_leq(sf->dsack_round, sf->snd_una)) {
		sf->dsack_round = sf->snd_nxt;
		if (sf->reo_wnd_mult < UINT8_MAX)
			sf->reo_wnd_mult++;
	}
	sf->reo_wnd_persist = REO_WND_PERSIST;
	/* Every retransmission was needless: so was the reduction. */
	if (sf->undo_retransmits && --sf->undo_retransmits == 0)
		undo(sf, now_us);
}

/* RFC 8985 7.4.2: all up to the probe is acknowledged. Did the probe repair a loss, or was it needless? */
static void tail_probe_answered(struct subflow *sf, const struct segment *seg, const struct delivery *d, bool advanced,
				usec_t now_us)
{
	if (d->duplicate && ssn_eq(d->duplicate_end, sf->tlp_end)) {
		sf->tlp_out = false;
	} else if (ssn_lt(sf->tlp_end, seg->ack)) {
		sf->tlp_out = false;
		sf->cc.ops->loss(&sf->cc, sf->board.in_flight, now_us);
		count(sf->config.counters, CNT_TailLossRepaired);
	} else if (!advanced && !d->sacked) {
		sf->tlp_out = false; /* a second ACK, for the second copy */
	}
}

static void take_ack(struct subflow *sf, const struct segment *seg, usec_t now_us, struct subflow_facts *f)
{
	struct scoreboard *b = &sf->board;
	struct delivery d = { 0 };
	struct ssn una = sf->snd_una;
	uint32_t flight = b->in_flight;
	bool moved = take_window(sf, seg), advanced = ssn_lt(una, seg->ack);
	uint32_t lost = 0;

	if (advanced) {
		sf->snd_una = seg->ack;
		f->acked = true;
		f->acked_from = una;
		f->acked_to = seg->ack;
		take_cumulative(sf, seg->ack, &d, now_us);
		sf->bytes_acked += d.acked;
		sf->last_progress_us = now_us;
		sf->dup_acks = 0;
		/* RFC 6298 5.7 keeps the backed-off timer only until new data is acknowledged. */
		rtt_progress(&sf->rtt);
	} else if (board_count(b) && !seg->payload_len && !moved && !(seg->flags & (TCP_SYN | TCP_FIN)) && only_dss(seg)) {
		/* RFC 5681 2; with other MPTCP options it is a message, not a duplicate: RFC 8684 3.4.1. */
		f->dup_ack = true;
		if (sf->dup_acks < UINT8_MAX)
			sf->dup_acks++;
	}
	if (sf->sack_ok && seg->tcp.has & OPT_SACK)
		take_sack(sf, seg, &d, now_us);
	if (!advanced && !d.sacked && !f->dup_ack && !d.duplicate)
		return;
	sf->delivered += d.acked + d.sacked;
	if (d.acked + d.sacked)
		sf->delivered_us = now_us;
	if (d.rtt_us)
		rtt_sample(&sf->rtt, d.rtt_us, now_us);
	if (sf->tlp_out && ssn_leq(sf->tlp_end, seg->ack))
		tail_probe_answered(sf, seg, &d, advanced, now_us);
	else if (d.duplicate)
		duplicate_told(sf, now_us);
	/*
	 * RFC 5682 3: after a timeout an original is answered: it was late, not lost. Unlike there we go on repairing until
	 * then; an original that was not reached yet shows itself as well as new data would.
	 */
	if (sf->frto && d.late_original)
		undo(sf, now_us);
	if (!sf->sack_ok && sf->dup_acks == DUP_THRESHOLD && board_count(b)) {
		lost += board_at(b, b->head)->len;
		sf->lost_total += lost;
		board_mark_lost(b, b->head);
	} else if (!sf->sack_ok && advanced && sf->in_recovery && board_count(b) && ssn_lt(sf->snd_una, sf->recover)) {
		board_mark_lost(b, b->head); /* a partial ACK: NewReno, RFC 6582 3.2 */
	}
	lost += subflow_detect_loss(sf, now_us);
	if (sf->pmtu.probe) {
		uint32_t probe = subflow_pmtu_acked(sf, now_us);

		lost -= probe < lost ? probe : lost;
	}
	if ((sf->in_recovery || sf->in_rto_recovery) && ssn_leq(sf->recover, sf->snd_una))
		leave_recovery(sf);
	if (lost) {
		f->loss_detected = true;
		subflow_enter_recovery(sf, now_us);
	}
	if (sf->in_recovery && !sf->cc.ops->by_rate)
		proportional_rate(sf, d.acked + d.sacked, advanced && !lost);
	if (sf->app_limited_until && sf->delivered > sf->app_limited_until)
		sf->app_limited_until = 0;
	if (d.acked + d.sacked) {
		const struct cc_ack ack = {
			.acked = d.acked + d.sacked, .lost = lost, .in_flight = flight, .in_flight_now = b->in_flight, .rtt_us = d.rtt_us,
			.srtt_us = sf->rtt.srtt_us, .min_rtt_us = sf->rtt.min_rtt_us,
			.rate = delivery_rate(sf, &d, now_us), .rate_app_limited = d.rate_app_limited,
			.prior_delivered = d.prior_delivered, .tx_in_flight = d.tx_in_flight,
			.delivered = sf->delivered, .lost_total = sf->lost_total,
			.app_limited = !sf->cwnd_limited, .in_recovery = sf->in_recovery,
		};

		sf->cc.ops->acked(&sf->cc, &ack, now_us);
		if (sf->cwnd_limited && ssn_leq(sf->cwnd_limited_seq, sf->snd_una))
			sf->cwnd_limited = false;
		subflow_update_pacing(sf);
	}
	if (!board_count(b)) {
		sf->rto_deadline_us = sf->tlp_deadline_us = sf->rack_deadline_us = sf->silence_deadline_us = USEC_NEVER;
	} else if (advanced || d.sacked) {
		subflow_arm_silence(sf);
		subflow_arm_rto(sf, now_us);
		subflow_arm_tlp(sf, now_us);
	}
	if (advanced && sf->fin_sent && ssn_lt(sf->fin_seq, seg->ack))
		f->fin_acked = true;
}

/* RFC 9293 3.8.6.1: a closed window with nothing outstanding is asked for, or a lost update would be the end. */
void subflow_watch_window(struct subflow *sf, usec_t now_us)
{
	bool closed = !sf->snd_wnd && !board_count(&sf->board) && (sf->state == SF_ESTABLISHED || sf->state == SF_CLOSE_WAIT);

	if (!closed) {
		sf->persist_deadline_us = USEC_NEVER;
		sf->persist_backoff = 0;
		sf->window_probe_due = sf->window_probe_byte = false;
	} else if (sf->persist_deadline_us == USEC_NEVER) {
		sf->persist_deadline_us = usec_add(now_us, sf->rtt.rto_us);
	}
}

/* Our FIN is acknowledged: RFC 9293 3.10.7.4, fifth. */
static void fin_acked(struct subflow *sf, usec_t now_us, struct subflow_facts *f)
{
	switch (sf->state) {
	case SF_FIN_WAIT_1:
		sf->state = SF_FIN_WAIT_2;
		return;
	case SF_CLOSING:
		subflow_enter_time_wait(sf, now_us);
		return;
	case SF_LAST_ACK:
		subflow_to_closed(sf);
		f->closed = true;
		return;
	default:
		return;
	}
}

static void acknowledged(struct subflow *sf, const struct segment *seg, usec_t now_us, struct subflow_facts *f)
{
	take_ack(sf, seg, now_us, f);
	if (!sf->snd_wnd || sf->persist_deadline_us != USEC_NEVER)
		subflow_watch_window(sf, now_us);
	if (f->fin_acked)
		fin_acked(sf, now_us, f);
}

/* --- states --- */

static void established(struct subflow *sf, struct subflow_facts *f)
{
	sf->state = SF_ESTABLISHED;
	sf->syn_due = false;
	f->established = true;
	rtt_no_sample(&sf->rtt);
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
	take_ack(sf, seg, now_us, f);
	established(sf, f);
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
			take_ack(sf, seg, now_us, f); /* the other half of a simultaneous open */
			established(sf, f);
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
		sf->ack_now = true;
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
		/* Two ends that disagree must not answer each other's answers for ever. */
		if (segment_seq_len(seg))
			sf->ack_now = true;
		else
			challenge_ack(sf, now_us);
		if (sf->state == SF_TIME_WAIT && seg->flags & TCP_FIN)
			subflow_enter_time_wait(sf, now_us);
		/* Old data whose ACK was lost; what it acknowledges is still news. RFC 9293 would drop that, too. */
		if ((seg->flags & (TCP_ACK | TCP_SYN)) != TCP_ACK || !ssn_lt(sf->snd_una, seg->ack) ||
		    ssn_lt(sf->snd_nxt, seg->ack) || sf->state == SF_SYN_RECEIVED)
			return;
		acknowledged(sf, seg, now_us, f);
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
		established(sf, f);
	}
	/* RFC 5961 5.2: an ACK of what was never sent, or older than any window, is a guess. */
	if (ssn_lt(sf->snd_nxt, seg->ack) || ssn_diff(sf->snd_una, seg->ack) > (int64_t)sf->max_wnd) {
		challenge_ack(sf, now_us);
		count(sf->config.counters, CNT_AckOutOfRange);
		f->rejected = true;
		return;
	}
	if (ssn_leq(sf->snd_una, seg->ack)) {
		acknowledged(sf, seg, now_us, f);
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
