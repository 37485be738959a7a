/* SPDX-License-Identifier: MIT */
/*
 * What an acceptable segment's ACK means: what was delivered and how fast, what is lost (SACK, RACK of RFC 8985, RFC 6582
 * without), the reduction (PRR, RFC 6937) and its undoing, the peer's window.
 */
#include "tunneld/tcp/subflow_internal.h"

enum { REO_WND_PERSIST = 16 };

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
	usec_t sent_us = s->sent_us, rtt = usec_since(now_us, sent_us);
	struct ssn end = ssn_add(s->seq, s->len);
	bool again = s->flags & SENT_RETRANS;

	note_newest(sf, d, s);
	/* Karn's rule is one of the whole ACK: what was sent before the copy that it answers may have arrived long since, unheard. */
	if (s->sent_us >= d->newest_us) {
		d->newest_us = s->sent_us;
		d->rtt_us = again ? 0 : rtt ? rtt : 1;
	}
	if (!again) {
		if (s->flags & SENT_LOST)
			d->late_original = true;
		/* RFC 8985 6.2 step 3 */
		if (ssn_lt(end, sf->rack_fack))
			sf->reordering_seen = true;
	}
	if (ssn_lt(sf->rack_fack, end))
		sf->rack_fack = end;
	/*
	 * RFC 8985 6.2 step 2: an answer too quick for the retransmission answers the original. That one has arrived then, and says as
	 * much of what was sent before it as any other; where nothing else arrives any more, nobody else says it.
	 */
	if (again && rtt < sf->rtt.min_rtt_us) {
		sent_us = s->first_us;
		rtt = usec_since(now_us, sent_us);
	}
	if (sent_us > sf->rack_sent_us || (sent_us == sf->rack_sent_us && ssn_lt(sf->rack_end, end))) {
		sf->rack_sent_us = sent_us;
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
	bool again = false;

	while (board_count(b)) {
		struct sent *s = board_at(b, b->head);
		int32_t n = ssn_diff(ack, s->seq);

		if (n <= 0)
			break;
		if ((uint32_t)n < s->len) {
			/*
			 * Somebody has cut it, and this part may have lain there for long: before a hole that was filled just now, with
			 * the rest of it missing. It tells no round trip, and not that its original was late.
			 */
			if (!(s->flags & SENT_SACKED))
				d->acked += (uint32_t)n;
			d->newest_us = usec_max(d->newest_us, s->sent_us);
			again = again || s->flags & SENT_RETRANS;
			board_trim_head(b, (uint32_t)n);
			break;
		}
		again = again || s->flags & SENT_RETRANS;
		if (!(s->flags & SENT_SACKED)) {
			delivered_one(sf, d, s, now_us);
			d->acked += s->len;
		}
		board_pop(b);
	}
	/* RFC 6298 3: what is acknowledged together with a retransmission may have waited for it. */
	if (again)
		d->rtt_us = 0;
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

/* What this ACK shows to be lost, in bytes: RACK, and without SACK duplicate ACKs and partial ones. */
static uint32_t newly_lost(struct subflow *sf, bool advanced, usec_t now_us)
{
	struct scoreboard *b = &sf->board;
	uint32_t lost = 0;

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
	return lost;
}

/* Congestion control learns what came, of flight bytes that were out before. */
static void tell_cc(struct subflow *sf, const struct delivery *d, uint32_t flight, uint32_t lost, bool advanced, usec_t now_us)
{
	/* RFC 3042 2: SACKs beyond a hole do not open the window, unless segments come out of order here as a rule. */
	bool duplicate_ack = !advanced && !sf->reordering_seen;
	const struct cc_ack ack = {
		.acked = d->acked + d->sacked, .lost = lost, .in_flight = flight, .in_flight_now = sf->board.in_flight, .rtt_us = d->rtt_us,
		.srtt_us = sf->rtt.srtt_us, .min_rtt_us = sf->rtt.min_rtt_us,
		.rate = delivery_rate(sf, d, now_us), .rate_app_limited = d->rate_app_limited,
		.prior_delivered = d->prior_delivered, .tx_in_flight = d->tx_in_flight,
		.delivered = sf->delivered, .lost_total = sf->lost_total,
		.app_limited = !sf->cwnd_limited, .no_growth = sf->in_recovery || duplicate_ack,
	};

	sf->cc.ops->acked(&sf->cc, &ack, now_us);
	if (sf->cwnd_limited && ssn_leq(sf->cwnd_limited_seq, sf->snd_una))
		sf->cwnd_limited = false;
	subflow_update_pacing(sf);
}

/*
 * RFC 7323 4: the echoed timestamp measures what Karn's rule leaves out, where new data is acknowledged. In steps of the clock, so the
 * longest that it may have been.
 */
static usec_t echoed_rtt(const struct subflow *sf, const struct segment *seg, usec_t now_us)
{
	int32_t took;

	if (!sf->ts_ok || !(seg->tcp.has & OPT_TIMESTAMP) || !seg->tcp.ts_ecr)
		return 0;
	took = (int32_t)(subflow_ts_clock(sf, now_us) - seg->tcp.ts_ecr);
	return took < 0 || (usec_t)took * USEC_PER_MS > sf->config.rto_max_us ? 0 : ((usec_t)took + 1) * USEC_PER_MS;
}

static void take_ack(struct subflow *sf, const struct segment *seg, usec_t now_us, struct subflow_facts *f)
{
	struct scoreboard *b = &sf->board;
	struct delivery d = { 0 };
	struct ssn una = sf->snd_una;
	uint32_t flight = b->in_flight;
	usec_t sample;
	bool moved = take_window(sf, seg), advanced = ssn_lt(una, seg->ack);
	uint32_t lost;

	if (advanced) {
		sf->snd_una = seg->ack;
		f->acked = true;
		f->acked_from = una;
		f->acked_to = seg->ack;
		take_cumulative(sf, seg->ack, &d, now_us);
		sf->bytes_acked += d.acked;
		sf->last_progress_us = now_us;
		sf->dup_acks = 0;
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
	sample = d.rtt_us ? d.rtt_us : advanced ? echoed_rtt(sf, seg, now_us) : 0;
	if (sample)
		rtt_sample(&sf->rtt, sample, now_us);
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
	lost = newly_lost(sf, advanced, now_us);
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
	if (d.acked + d.sacked)
		tell_cc(sf, &d, flight, lost, advanced, now_us);
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

void subflow_acknowledged(struct subflow *sf, const struct segment *seg, usec_t now_us, struct subflow_facts *f)
{
	take_ack(sf, seg, now_us, f);
	if (!sf->snd_wnd || sf->persist_deadline_us != USEC_NEVER)
		subflow_watch_window(sf, now_us);
	if (f->fin_acked)
		fin_acked(sf, now_us, f);
}
