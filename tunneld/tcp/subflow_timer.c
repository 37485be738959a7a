/* SPDX-License-Identifier: MIT */
/* What time alone does to a subflow: RTO (RFC 6298), tail loss probe and RACK timer (RFC 8985), delayed ACK, TIME-WAIT. */
#include "tunneld/tcp/subflow_internal.h"

enum { RETRIES_MAX = 15, RESTART_SEGS = 10, LATE_SLACK_US = 10000 };

static void handshake_timeout(struct subflow *sf, usec_t now_us, struct subflow_facts *f)
{
	f->retransmit_timeout = true;
	rtt_back_off(&sf->rtt);
	if (++sf->syn_sent_count > sf->config.syn_retries) {
		subflow_to_closed(sf);
		f->gave_up = f->closed = true;
		return;
	}
	sf->syn_due = true;
	subflow_arm_rto(sf, now_us);
}

static void retransmission_timeout(struct subflow *sf, usec_t now_us, struct subflow_facts *f)
{
	struct scoreboard *b = &sf->board;
	bool first = !sf->in_rto_recovery;

	if (!sf->snd_wnd && board_at(b, b->head)->sent_us <= sf->last_rcv_us) {
		/* RFC 9293 3.8.6.1: the peer answers that its window is closed, for as long as it likes. Nothing is lost. */
		board_mark_lost(b, b->head);
		rtt_back_off(&sf->rtt);
		subflow_arm_rto(sf, now_us);
		return;
	}
	f->retransmit_timeout = true;
	count(sf->config.counters, CNT_RetransmitTimeout);
	if (sf->rtt.timeouts >= RETRIES_MAX) { /* RFC 9293 3.8.3, R2 */
		subflow_to_closed(sf);
		f->gave_up = f->closed = true;
		return;
	}
	subflow_pmtu_timeout(sf, now_us);
	if (board_at(b, b->head)->flags & SENT_SACKED)
		board_mark_all_lost(b); /* the receiver has thrown away what it had SACKed: RFC 2018 8 */
	else
		for (uint32_t p = b->head; p != b->tail; p++)
			board_mark_lost(b, p);
	/* RFC 5681 3.1 (4): ssthresh falls once for a loss, not again for each timeout in a row. */
	if (first)
		sf->cc.ops->timeout(&sf->cc, (uint32_t)ssn_diff(sf->snd_nxt, sf->snd_una), now_us);
	else
		sf->cc.cwnd = sf->cc.mss;
	sf->frto = first;
	sf->in_recovery = false;
	sf->in_rto_recovery = true;
	sf->recover = sf->snd_nxt;
	sf->undo_retransmits = 0;
	sf->tlp_out = false;
	sf->tlp_deadline_us = sf->rack_deadline_us = sf->silence_deadline_us = USEC_NEVER;
	sf->pace_next_us = sf->pace_clock_us = 0;
	rtt_back_off(&sf->rtt);
	subflow_arm_rto(sf, now_us);
}

/* What was to be overdue by now need not be, if answers on the path have come to take longer since the timer was set. */
static void look_at_company(struct subflow *sf, usec_t now_us)
{
	if (!sf->company_us)
		return;
	if (sf->tlp_deadline_us <= now_us)
		sf->tlp_deadline_us = usec_min(usec_add(sf->tlp_from_us, subflow_probe_timeout_us(sf)), sf->rto_deadline_us);
	if (sf->silence_deadline_us <= now_us)
		subflow_arm_silence(sf);
}

void subflow_timeout(struct subflow *sf, usec_t now_us, struct subflow_facts *f)
{
	*f = (struct subflow_facts){ 0 };
	if (sf->state == SF_CLOSED)
		return;
	if (sf->time_wait_deadline_us <= now_us) {
		subflow_to_closed(sf);
		f->closed = true;
		return;
	}
	if (sf->ack_deadline_us <= now_us) {
		sf->ack_deadline_us = USEC_NEVER;
		sf->ack_now = true;
	}
	if (sf->rack_deadline_us <= now_us && subflow_detect_loss(sf, now_us)) {
		f->loss_detected = true;
		subflow_enter_recovery(sf, now_us);
		if (sf->in_recovery && !sf->cc.ops->by_rate && sf->cc.cwnd < sf->board.in_flight + sf->cc.mss)
			sf->cc.cwnd = sf->board.in_flight + sf->cc.mss;
	}
	look_at_company(sf, now_us);
	if (sf->tlp_deadline_us <= now_us) {
		sf->tlp_deadline_us = USEC_NEVER;
		sf->probe_due = true;
		f->tail_probe = true;
		/* RFC 8985 7.3: the RTO starts anew with the probe. */
		subflow_arm_rto(sf, now_us);
	}
	if (sf->silence_deadline_us <= now_us) {
		sf->silence_deadline_us = USEC_NEVER; /* until something is acknowledged */
		f->silent = true;
		/* RFC 8985 7.3's probe, now: the answer to it is not delayed. */
		sf->probe_due |= sf->sack_ok && !sf->tlp_out && !sf->board.lost_segs && !sf->in_recovery && !sf->in_rto_recovery;
	}
	if (sf->persist_deadline_us <= now_us) {
		sf->window_probe_due = sf->window_probe_byte = true;
		if (sf->persist_backoff < 16)
			sf->persist_backoff++;
		sf->persist_deadline_us =
			usec_add(now_us, usec_min(sf->rtt.rto_us << sf->persist_backoff, sf->config.rto_max_us));
		count(sf->config.counters, CNT_WindowProbe);
	}
	if (sf->rto_deadline_us > now_us)
		return;
	if (sf->state == SF_SYN_SENT || sf->state == SF_SYN_RECEIVED)
		handshake_timeout(sf, now_us, f);
	else if (board_count(&sf->board))
		retransmission_timeout(sf, now_us, f);
	else
		sf->rto_deadline_us = USEC_NEVER;
}

usec_t subflow_deadline(const struct subflow *sf)
{
	usec_t at = usec_min(usec_min(sf->ack_deadline_us, sf->persist_deadline_us), sf->time_wait_deadline_us);

	at = usec_min(at, usec_min(sf->rto_deadline_us, usec_min(sf->tlp_deadline_us, sf->rack_deadline_us)));
	at = usec_min(at, sf->silence_deadline_us);
	if (sf->board.lost_segs && subflow_may_repeat(sf))
		at = usec_min(at, sf->pace_next_us);
	return at;
}

usec_t subflow_oldest_us(const struct subflow *sf)
{
	return board_count(&sf->board) ? board_at(&sf->board, sf->board.head)->first_us : USEC_NEVER;
}

/*
 * A segment is acknowledged after one round trip; lost once, after two and what RACK waits for reordering. An
 * acknowledgement may be delayed on top of that.
 */
usec_t subflow_lateness_us(const struct subflow *sf)
{
	usec_t srtt_us = sf->rtt.srtt_us;

	return usec_max(3 * srtt_us, srtt_us + sf->company_us) + sf->config.delayed_ack_us + LATE_SLACK_US;
}

usec_t subflow_late_at(const struct subflow *sf)
{
	const struct scoreboard *b = &sf->board;
	uint32_t p = (int32_t)(b->late_next - b->head) < 0 ? b->head : b->late_next;

	if (!board_count(b) || p == b->tail || !sf->rtt.srtt_us)
		return USEC_NEVER;
	return board_at(b, p)->first_us + subflow_lateness_us(sf);
}

bool subflow_late(struct subflow *sf, usec_t now_us, uint64_t *tag, uint32_t *len, usec_t *next_us)
{
	usec_t allowed = subflow_lateness_us(sf);
	const struct sent *s;
	uint32_t p;

	*next_us = USEC_NEVER;
	if (sf->state == SF_CLOSED || !sf->rtt.srtt_us)
		return false;
	while ((p = board_late_next(&sf->board)) != BOARD_NONE) {
		s = board_at(&sf->board, p);
		if (s->first_us + allowed > now_us) {
			*next_us = s->first_us + allowed;
			return false;
		}
		sf->board.late_next = p + 1;
		*tag = s->tag;
		*len = s->len - (s->flags & SENT_FIN ? 1 : 0);
		if (*len && s->tag != SUBFLOW_SYN_TAG)
			return true;
	}
	return false;
}

void subflow_path_rtt(struct subflow *sf, usec_t rtt_us, usec_t now_us)
{
	if (sf->state == SF_CLOSED || !sf->rtt.backoff)
		return;
	rtt_sample(&sf->rtt, rtt_us, now_us);
	if (board_count(&sf->board))
		subflow_arm_rto(sf, now_us);
}

void subflow_path_alive(struct subflow *sf, usec_t now_us)
{
	struct scoreboard *b = &sf->board;
	bool waited = sf->rtt.timeouts > 0;

	if (sf->state == SF_CLOSED || !board_count(b))
		return;
	rtt_restart(&sf->rtt);
	subflow_arm_rto(sf, now_us);
	if (sf->state == SF_SYN_SENT || sf->state == SF_SYN_RECEIVED) {
		sf->syn_due = sf->accepted;
		return;
	}
	if (!waited) {
		/* No timeout yet: what is on its way may well arrive. A probe brings the SACK that tells. */
		sf->probe_due = sf->sack_ok && !sf->tlp_out && !b->lost_segs;
		return;
	}
	for (uint32_t p = b->head; p != b->tail; p++)
		board_mark_lost(b, p);
	/* The path was cut, not congested: slow start leads back to where the window was. */
	if (sf->in_rto_recovery)
		sf->cc.ops->undo(&sf->cc, now_us);
	if (sf->cc.ssthresh > sf->cc.cwnd)
		sf->cc.ssthresh = sf->cc.cwnd;
	if (sf->cc.cwnd > RESTART_SEGS * sf->cc.mss)
		sf->cc.cwnd = RESTART_SEGS * sf->cc.mss;
	sf->frto = sf->in_recovery = sf->tlp_out = false;
	sf->in_rto_recovery = true;
	sf->recover = sf->snd_nxt;
	sf->pace_next_us = sf->pace_clock_us = 0;
	sf->tlp_deadline_us = sf->rack_deadline_us = sf->silence_deadline_us = USEC_NEVER;
}
