/* SPDX-License-Identifier: MIT */
/* Birth, options, closing and death of a subflow. */
#include "tunneld/tcp/subflow_internal.h"

#include <assert.h>

enum { START_BYTES_MAX = 1 << 20, SND_MSS_LEAST = 64 };

const char *subflow_state_name(enum subflow_state s)
{
	static const char *const names[] = {
		[SF_CLOSED] = "CLOSED",         [SF_SYN_SENT] = "SYN-SENT",     [SF_SYN_RECEIVED] = "SYN-RECEIVED",
		[SF_ESTABLISHED] = "ESTABLISHED", [SF_FIN_WAIT_1] = "FIN-WAIT-1", [SF_FIN_WAIT_2] = "FIN-WAIT-2",
		[SF_CLOSE_WAIT] = "CLOSE-WAIT", [SF_CLOSING] = "CLOSING",       [SF_LAST_ACK] = "LAST-ACK",
		[SF_TIME_WAIT] = "TIME-WAIT",
	};

	return names[s];
}

static void init(struct subflow *sf, const struct subflow_config *config, struct ssn iss, usec_t now_us)
{
	*sf = (struct subflow){ .config = *config, .iss = iss, .snd_una = iss, .snd_nxt = iss };
	/* What they are compared with is in the half of the number space around iss; 0 may be in its future. */
	sf->rack_end = sf->rack_fack = sf->dsack_round = iss;
	sf->ack_deadline_us = sf->rto_deadline_us = sf->tlp_deadline_us = sf->silence_deadline_us = USEC_NEVER;
	sf->rack_deadline_us = sf->time_wait_deadline_us = sf->persist_deadline_us = USEC_NEVER;
	sf->snd_mss = sf->pmtu.path = config->mss;
	sf->quick_acks = QUICK_ACKS;
	sf->reo_wnd_mult = 1;
	sf->last_progress_us = sf->delivered_us = now_us;
	sf->syn_due = true;
	board_init(&sf->board);
	rtt_init(&sf->rtt, config->rto_min_us, config->rto_max_us, config->rto_initial_us, config->rtt_hint_us);
	sf->cc.ops = config->cc;
	sf->cc.mss = config->mss;
	sf->cc.ops->init(&sf->cc, now_us);
	if (config->first_segs)
		sf->cc.cwnd = cc_first_window(config->first_segs, config->mss);
	if (config->rate_hint) {
		/* RFC 9040 3.3: half of what was known to fit, at the pace it fitted at. */
		uint64_t half = config->rate_hint * config->rate_rtt_us / USEC_PER_S / 2;

		half = half < START_BYTES_MAX ? half : START_BYTES_MAX;
		sf->cc.cwnd = half > sf->cc.cwnd ? (uint32_t)half : sf->cc.cwnd;
		sf->cc.pacing_rate = config->rate_hint;
	}
	cc_join(&sf->cc, config->cc_group);
}

enum err subflow_connect(struct subflow *sf, const struct subflow_config *config, struct ssn iss, usec_t now_us)
{
	init(sf, config, iss, now_us);
	sf->state = SF_SYN_SENT;
	sf->accepted = true;
	return ERR_OK;
}

enum err subflow_listen(struct subflow *sf, const struct subflow_config *config, struct ssn iss, const struct segment *syn,
			usec_t now_us)
{
	if ((syn->flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
		return ERR_UNEXPECTED;
	init(sf, config, iss, now_us);
	sf->state = SF_SYN_RECEIVED;
	sf->irs = syn->seq;
	sf->rcv_nxt = ssn_add(syn->seq, 1);
	sf->rcv_adv = sf->rcv_nxt;
	sf->rcv_off = 1;
	subflow_learn_options(sf, syn);
	sf->ts_recent_us = now_us;
	sf->last_ack = sf->rcv_nxt;
	sf->snd_wnd = sf->max_wnd = syn->window; /* never scaled in a SYN, RFC 7323 2.2 */
	sf->snd_wl1 = syn->seq;
	sf->snd_wl2 = iss;
	return ERR_OK;
}

void subflow_accept(struct subflow *sf, usec_t now_us)
{
	(void)now_us;
	sf->accepted = true;
}

bool subflow_syn_was_sent(struct subflow *sf, usec_t now_us)
{
	if (!board_push(&sf->board, sf->iss, 1, SUBFLOW_SYN_TAG, now_us))
		return false;
	/* When it was sent is not known: Karn's rule holds. */
	board_at(&sf->board, sf->board.head)->flags |= SENT_SYN | SENT_RETRANS;
	sf->snd_nxt = ssn_add(sf->iss, 1);
	sf->accepted = true;
	sf->syn_due = false;
	subflow_arm_rto(sf, now_us);
	return true;
}

void subflow_syn_payload(struct subflow *sf, uint8_t len)
{
	assert(ssn_eq(sf->snd_nxt, sf->iss));
	sf->syn_payload = len;
}

void subflow_learn_options(struct subflow *sf, const struct segment *syn)
{
	const struct tcp_options *o = &syn->tcp;
	uint16_t silent = sf->config.silent_mss ? sf->config.silent_mss : SUBFLOW_SILENT_MSS4;
	uint16_t mss = o->has & OPT_MSS ? o->mss : silent;

	sf->sack_ok = o->has & OPT_SACK_OK;
	/* RFC 7323 2.3: scales above 14 count as 14. Without the option from both sides there is no scaling. */
	sf->snd_wscale = o->wscale > WSCALE_MAX ? WSCALE_MAX : o->wscale;
	if (!(o->has & OPT_WSCALE))
		sf->snd_wscale = sf->config.rcv_wscale = 0;
	sf->ts_ok = sf->config.timestamps && o->has & OPT_TIMESTAMP;
	sf->ts_recent = o->ts_val;
	sf->peer_mss = mss < SND_MSS_LEAST ? SND_MSS_LEAST : mss;
	sf->snd_mss = sf->config.mss < mss ? sf->config.mss : mss;
	if (sf->snd_mss < SND_MSS_LEAST)
		sf->snd_mss = SND_MSS_LEAST;
	sf->pmtu.most = sf->snd_mss;
	if (sf->ts_ok)
		sf->snd_mss = (uint16_t)(sf->snd_mss - TS_BYTES);
	/* Before the first data: the window still is the initial one. */
	sf->cc.cwnd = (uint32_t)((uint64_t)sf->cc.cwnd * sf->snd_mss / sf->cc.mss);
	sf->cc.mss = sf->snd_mss;
}

void subflow_set_mss(struct subflow *sf, uint16_t mss)
{
	uint16_t most = sf->peer_mss && sf->peer_mss < mss ? sf->peer_mss : mss;
	uint16_t payload;

	sf->config.mss = mss;
	if (most < SND_MSS_LEAST)
		most = SND_MSS_LEAST;
	payload = (uint16_t)(most - (sf->ts_ok ? TS_BYTES : 0));
	if (payload > sf->snd_mss && !sf->peer_mss)
		return;
	sf->cc.mss = sf->snd_mss = payload;
}

void subflow_window_told(struct subflow *sf, uint32_t wnd)
{
	if (wnd <= sf->snd_wnd || sf->state == SF_CLOSED)
		return;
	sf->snd_wnd = wnd;
	if (wnd > sf->max_wnd)
		sf->max_wnd = wnd;
	sf->persist_deadline_us = USEC_NEVER;
	sf->window_probe_due = sf->window_probe_byte = false;
}

void subflow_to_closed(struct subflow *sf)
{
	sf->state = SF_CLOSED;
	sf->ack_now = sf->syn_due = sf->rst_due = sf->probe_due = sf->window_probe_due = false;
	sf->ack_deadline_us = sf->rto_deadline_us = sf->tlp_deadline_us = sf->silence_deadline_us = USEC_NEVER;
	sf->rack_deadline_us = sf->time_wait_deadline_us = sf->persist_deadline_us = USEC_NEVER;
	cc_leave(&sf->cc);
	board_free(&sf->board);
	ranges_free(&sf->ooo);
}

void subflow_close_now(struct subflow *sf) { subflow_to_closed(sf); }

void subflow_close(struct subflow *sf, usec_t now_us)
{
	(void)now_us;
	switch (sf->state) {
	case SF_SYN_SENT:
		subflow_to_closed(sf);
		return;
	case SF_SYN_RECEIVED:
	case SF_ESTABLISHED:
	case SF_CLOSE_WAIT:
		sf->fin_queued = true;
		return;
	default:
		return; /* it is on its way already */
	}
}

void subflow_enter_time_wait(struct subflow *sf, usec_t now_us)
{
	sf->state = SF_TIME_WAIT;
	sf->rto_deadline_us = sf->tlp_deadline_us = sf->rack_deadline_us = sf->silence_deadline_us = USEC_NEVER;
	sf->time_wait_deadline_us = usec_add(now_us, sf->config.time_wait_us);
}

void subflow_fin_arrived(struct subflow *sf, usec_t now_us)
{
	sf->rcv_nxt = ssn_add(sf->rcv_nxt, 1);
	sf->rcv_off++;
	sf->rcv_adv = ssn_max(sf->rcv_adv, sf->rcv_nxt);
	sf->ack_now = true;
	ranges_free(&sf->ooo); /* nothing is after a FIN, whatever came before it was known */
	switch (sf->state) {
	case SF_SYN_RECEIVED:
	case SF_ESTABLISHED:
		sf->state = SF_CLOSE_WAIT;
		return;
	case SF_FIN_WAIT_1:
		sf->state = SF_CLOSING; /* had our FIN been acknowledged, this were FIN-WAIT-2 by now */
		return;
	case SF_FIN_WAIT_2:
		subflow_enter_time_wait(sf, now_us);
		return;
	default:
		return;
	}
}

void subflow_reset(struct subflow *sf, struct segment *seg, usec_t now_us)
{
	/* RFC 9293 3.10.5: in a synchronised state <SEQ=SND.NXT><CTL=RST>; ours says ACK too, as Linux does. */
	seg->seq = sf->snd_nxt;
	seg->ack = sf->rcv_nxt;
	seg->flags = sf->state == SF_SYN_SENT ? TCP_RST : TCP_RST | TCP_ACK;
	seg->window = 0;
	seg->tcp = (struct tcp_options){ 0 };
	if (sf->ts_ok) /* RFC 7323 3.2, 5.2 */
		seg->tcp = (struct tcp_options){ .has = OPT_TIMESTAMP, .ts_val = subflow_ts_clock(sf, now_us), .ts_ecr = sf->ts_recent };
	seg->payload = NULL;
	seg->payload_len = 0;
	subflow_to_closed(sf);
}

bool subflow_refuse(const struct segment *seg, struct segment *rst)
{
	if (seg->flags & TCP_RST)
		return false;
	*rst = (struct segment){ .src_port = seg->dst_port, .dst_port = seg->src_port, .flags = TCP_RST };
	if (seg->flags & TCP_ACK) {
		rst->seq = seg->ack;
	} else {
		rst->flags |= TCP_ACK;
		rst->ack = ssn_add(seg->seq, segment_seq_len(seg));
	}
	if (seg->tcp.has & OPT_TIMESTAMP) /* RFC 7323 5.2 */
		rst->tcp = (struct tcp_options){ .has = OPT_TIMESTAMP, .ts_ecr = seg->tcp.ts_val };
	return true;
}

void subflow_check(const struct subflow *sf)
{
	if (sf->state == SF_CLOSED)
		return;
	assert(ssn_leq(sf->snd_una, sf->snd_nxt));
	board_check(&sf->board);
	assert(board_count(&sf->board) == 0 || ssn_eq(board_at(&sf->board, sf->board.head)->seq, sf->snd_una));
	assert(board_count(&sf->board) != 0 || ssn_eq(sf->snd_una, sf->snd_nxt));
	/* What is outstanding has a deadline. */
	assert(board_count(&sf->board) == 0 || sf->rto_deadline_us != USEC_NEVER);
	assert(sf->ooo.count == 0 || sf->ooo.at[0].start > sf->rcv_off);
}
