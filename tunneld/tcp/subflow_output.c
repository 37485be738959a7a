/* SPDX-License-Identifier: MIT */
/* What a subflow sends: handshake, retransmissions, probes, new data, FIN, ACKs. One segment a call. */
#include "tunneld/tcp/subflow_internal.h"

#include <assert.h>

enum {
	/* What goes at once when pacing: enough to be worth a wake-up, and a mapping of its own. */
	BATCH_US = 1000, BATCH_SEGS = 2, BATCH_BYTES = 64 * 1024, BATCH_LONG_US = 2500, BATCH_SEGS_GOOD = 4,
	LATE_US = 2000,                                           /* a clock this late is caught up with */
	UNPACED_SEGS = 10,                                        /* the initial window */
	IDLE_RTOS = 1,
	PROBE_SLACK_US = 5000, /* a peer that is a process among others may take as long to answer */
};

void subflow_ack_now(struct subflow *sf)
{
	if (sf->state != SF_CLOSED && sf->state != SF_SYN_SENT)
		sf->ack_now = true;
}

void subflow_keepalive(struct subflow *sf)
{
	if (sf->state != SF_CLOSED && sf->state != SF_SYN_SENT && sf->state != SF_SYN_RECEIVED)
		sf->window_probe_due = true;
}

/* --- header --- */

/* RFC 2018 4: the block with the newest segment first, the others after it; a duplicate before all (RFC 2883). */
static void put_sack(struct subflow *sf, struct tcp_options *o, unsigned blocks)
{
	enum { RECENT = sizeof sf->ooo_recent / sizeof *sf->ooo_recent };
	int put[SACK_BLOCKS_MAX];
	unsigned puts = 0;

	o->sack_count = 0;
	if (sf->dsack_pending && o->sack_count < blocks) {
		o->sack[o->sack_count++] = (struct sack_block){ sf->dsack_start, sf->dsack_end };
		sf->dsack_pending = false;
	}
	for (uint32_t n = 0; n < RECENT + sf->ooo.count && puts < sf->ooo.count && o->sack_count < blocks; n++) {
		int i = n < RECENT ? ranges_find(&sf->ooo, sf->ooo_recent[n]) : (int)(n - RECENT);
		bool again = i < 0;
		const struct range *r;

		for (unsigned k = 0; k < puts; k++)
			again |= put[k] == i;
		if (again)
			continue;
		put[puts++] = i;
		r = &sf->ooo.at[i];
		o->sack[o->sack_count++] = (struct sack_block){
			ssn_add(sf->rcv_nxt, (uint32_t)(r->start - sf->rcv_off)),
			ssn_add(sf->rcv_nxt, (uint32_t)(r->end - sf->rcv_off)),
		};
	}
	if (o->sack_count)
		o->has |= OPT_SACK;
}

static unsigned sack_blocks(const struct subflow *sf, uint32_t options_room)
{
	uint32_t used = (sf->ts_ok ? TS_BYTES : 0) + options_room + 4, blocks = sf->ooo.count + sf->dsack_pending, room;

	if (!blocks || !sf->sack_ok || used + 8 > TCP_OPTIONS_MAX)
		return 0;
	room = (TCP_OPTIONS_MAX - used) / 8;
	if (blocks > room)
		blocks = room;
	return blocks < SACK_BLOCKS_MAX ? blocks : SACK_BLOCKS_MAX;
}

/* RFC 7323 5.4: one step a millisecond, from a start of this connection's own. */
uint32_t subflow_ts_clock(const struct subflow *sf, usec_t now_us)
{
	return (uint32_t)(now_us / USEC_PER_MS) + sf->config.ts_offset;
}

/* Clears what an ACK settles: every segment but the first SYN carries one. */
static void fill(struct subflow *sf, struct segment *seg, struct ssn seq, uint8_t flags, uint32_t rcv_wnd, unsigned sacks,
		 usec_t now_us)
{
	/* As the connection has it: RFC 8684 3.3.1 counts it from the DATA_ACK, so what this subflow was once told is no part of it. */
	uint32_t wnd = rcv_wnd >> sf->config.rcv_wscale;

	seg->seq = seq;
	seg->ack = sf->rcv_nxt;
	seg->flags = flags;
	seg->window = wnd > UINT16_MAX ? UINT16_MAX : (uint16_t)wnd;
	seg->tcp.has = 0;
	seg->tcp.sack_count = 0;
	if (sf->ts_ok) {
		seg->tcp.has |= OPT_TIMESTAMP;
		seg->tcp.ts_val = subflow_ts_clock(sf, now_us);
		seg->tcp.ts_ecr = sf->ts_recent;
	}
	if (sacks)
		put_sack(sf, &seg->tcp, sacks);
	if (flags & TCP_ACK) {
		struct ssn edge = ssn_add(sf->rcv_nxt, (uint32_t)seg->window << sf->config.rcv_wscale);

		sf->rcv_adv = ssn_max(sf->rcv_adv, edge);
		sf->last_ack = sf->rcv_nxt;
		sf->ack_now = false;
		sf->ack_pending_bytes = 0;
		sf->ack_deadline_us = USEC_NEVER;
	}
	sf->last_snd_us = now_us;
}

/* --- timers and pacing --- */

void subflow_arm_rto(struct subflow *sf, usec_t now_us) { sf->rto_deadline_us = usec_add(now_us, sf->rtt.rto_us); }

void subflow_company(struct subflow *sf, usec_t answer_us) { sf->company_us = answer_us; }

/* RFC 8985 7.2 */
usec_t subflow_probe_timeout_us(const struct subflow *sf)
{
	usec_t pto = usec_max(2 * sf->rtt.srtt_us, sf->company_us);

	/* What is no more than one segment may be waiting for the peer's delayed ACK. */
	if (sf->board.in_flight <= sf->snd_mss)
		pto += sf->config.delayed_ack_us;
	return pto + PROBE_SLACK_US;
}

void subflow_arm_tlp(struct subflow *sf, usec_t now_us)
{
	sf->tlp_deadline_us = USEC_NEVER;
	if (!sf->sack_ok || sf->in_recovery || sf->in_rto_recovery || sf->board.sacked_segs || sf->tlp_out ||
	    !board_count(&sf->board) || !sf->rtt.srtt_us || sf->state == SF_SYN_RECEIVED)
		return;
	sf->tlp_from_us = now_us;
	/* Where the timeout would come first, it is the probe that goes then, and the timeout starts anew. */
	sf->tlp_deadline_us = usec_min(usec_add(now_us, subflow_probe_timeout_us(sf)), sf->rto_deadline_us);
}

/*
 * Each segment sent puts the tail loss probe off; in a stream of small messages it would come with the timeout. Silence is
 * counted from the oldest that is on its way, and is none while anything is being acknowledged. After a timeout, too: one answer
 * there makes others believe in the subflow, and the next timeout is far.
 */
void subflow_arm_silence(struct subflow *sf)
{
	const struct scoreboard *b = &sf->board;
	usec_t wait;

	sf->silence_deadline_us = USEC_NEVER;
	if (!sf->sack_ok || b->oldest == BOARD_NONE || !sf->rtt.srtt_us || sf->state == SF_SYN_RECEIVED)
		return;
	wait = usec_max(2 * sf->rtt.srtt_us, sf->rtt.srtt_us + 4 * sf->rtt.rttvar_us);
	wait = usec_max(wait, sf->company_us) + sf->config.delayed_ack_us + PROBE_SLACK_US;
	sf->silence_deadline_us = usec_max(board_at(b, b->oldest)->sent_us + wait,
					   usec_max(sf->delivered_us, sf->last_progress_us) + wait / 2);
}

void subflow_update_pacing(struct subflow *sf)
{
	uint64_t rate;

	if (!sf->rtt.srtt_us || sf->cc.ops->by_rate)
		return;
	rate = (uint64_t)(sf->in_recovery ? sf->cc.ssthresh : sf->cc.cwnd) * USEC_PER_S / sf->rtt.srtt_us;
	/* Fast enough that the window, not the pace, is the limit: twice in slow start, 1.25 after. */
	sf->cc.pacing_rate = sf->cc.cwnd < sf->cc.ssthresh ? 2 * rate : rate + rate / 4;
}

void subflow_fair_share(struct subflow *sf, uint32_t cwnd, uint64_t rate)
{
	sf->fair_cwnd = cwnd;
	sf->fair_rate = rate;
}

static uint32_t window_of(const struct subflow *sf)
{
	return sf->fair_cwnd > sf->cc.cwnd && !sf->in_recovery && !sf->in_rto_recovery ? sf->fair_cwnd : sf->cc.cwnd;
}

/* Bytes a second; 0: not paced (yet). */
static uint64_t pace_of(const struct subflow *sf)
{
	uint64_t rate = sf->cc.pacing_rate;

	return rate && sf->fair_rate > rate && !sf->in_recovery && !sf->in_rto_recovery ? sf->fair_rate : rate;
}

/* How much time's worth goes at once. */
static usec_t batch_us(const struct subflow *sf)
{
	uint64_t rate = pace_of(sf);
	usec_t batch = usec_min(BATCH_US, BATCH_BYTES * USEC_PER_S / rate), one = sf->cc.mss * USEC_PER_S / rate;

	batch = usec_max(batch, usec_min(BATCH_LONG_US, BATCH_SEGS_GOOD * one));
	return usec_max(batch, BATCH_SEGS * one);
}

static void pace(struct subflow *sf, uint32_t len, usec_t now_us)
{
	uint64_t rate = pace_of(sf);
	usec_t batch, most, earliest;

	if (!rate || sf->bytes_sent <= UNPACED_SEGS * (uint64_t)sf->cc.mss)
		return;
	batch = batch_us(sf);
	most = batch + LATE_US;
	earliest = now_us > most ? now_us - most : 0;
	sf->pace_clock_us = usec_max(sf->pace_clock_us, earliest) + (uint64_t)len * USEC_PER_S / rate;
	if (sf->pace_clock_us > now_us)
		sf->pace_next_us = sf->pace_clock_us + batch;
}

void subflow_turn(struct subflow *sf, uint32_t bytes) { sf->turn = bytes; }

static bool paced_out(const struct subflow *sf, usec_t now_us) { return sf->pace_next_us > now_us && !sf->turn; }

/* For the rate at which it is delivered: draft-ietf-ccwg-bbr 4.1.2.2. */
static void stamp(struct subflow *sf, struct sent *s, bool first, usec_t now_us)
{
	usec_t elapsed;

	if (first)
		sf->first_sent_us = sf->delivered_us = now_us;
	elapsed = usec_since(now_us, sf->first_sent_us);
	s->delivered = sf->delivered;
	s->delivered_us = sf->delivered_us;
	s->send_elapsed_us = elapsed > UINT32_MAX ? UINT32_MAX : (uint32_t)elapsed;
	s->tx_in_flight = sf->board.in_flight;
	if (sf->app_limited_until)
		s->flags |= SENT_APP_LIMITED;
	else
		s->flags &= (uint8_t)~SENT_APP_LIMITED;
}

void subflow_app_limited(struct subflow *sf, usec_t now_us)
{
	if (!sf->app_limited_until && subflow_sendable(sf, now_us) >= sf->snd_mss)
		sf->app_limited_until = sf->delivered + sf->board.in_flight + !sf->board.in_flight;
}

uint64_t subflow_rate(const struct subflow *sf)
{
	if (sf->cc.bandwidth)
		return sf->cc.bandwidth;
	return sf->rtt.srtt_us ? (uint64_t)sf->cc.cwnd * USEC_PER_S / sf->rtt.srtt_us : 0;
}

/* --- segments --- */

static enum subflow_want send_syn(struct subflow *sf, uint32_t rcv_wnd, usec_t now_us, struct segment *seg,
				  struct subflow_data *data)
{
	bool passive = sf->state == SF_SYN_RECEIVED;
	struct tcp_options *o = &seg->tcp;

	if (!ssn_eq(sf->snd_nxt, sf->iss)) {
		sf->retransmitted_segments++;
		if (board_count(&sf->board))
			board_sent_again(&sf->board, sf->board.head, now_us);
	} else {
		if (!board_push(&sf->board, sf->iss, 1u + sf->syn_payload, SUBFLOW_SYN_TAG, now_us))
			return SF_WANT_NOTHING; /* no memory now: syn_due stands, the timer brings us back */
		stamp(sf, board_at(&sf->board, sf->board.head), true, now_us);
		board_at(&sf->board, sf->board.head)->flags |= SENT_SYN | SENT_APP_LIMITED;
		sf->snd_nxt = ssn_add(sf->iss, 1u + sf->syn_payload);
		sf->syn_us = now_us;
	}
	sf->syn_due = false;
	fill(sf, seg, sf->iss, passive ? TCP_SYN | TCP_ACK : TCP_SYN, rcv_wnd, 0, now_us);
	seg->window = rcv_wnd > UINT16_MAX ? UINT16_MAX : (uint16_t)rcv_wnd; /* RFC 7323 2.2: not scaled */
	if (!passive)
		seg->ack = ssn_of(0);
	o->has = OPT_MSS;
	o->mss = sf->config.mss;
	if (!passive || sf->sack_ok)
		o->has |= OPT_SACK_OK;
	if (!passive || sf->snd_wscale || sf->config.rcv_wscale) {
		o->has |= OPT_WSCALE;
		o->wscale = sf->config.rcv_wscale;
	}
	if (passive ? sf->ts_ok : sf->config.timestamps) {
		o->has |= OPT_TIMESTAMP;
		o->ts_val = subflow_ts_clock(sf, now_us);
		o->ts_ecr = passive ? sf->ts_recent : 0;
	}
	*data = (struct subflow_data){ .seq = ssn_add(sf->iss, 1), .len = sf->syn_payload, .tag = SUBFLOW_SYN_TAG };
	subflow_arm_rto(sf, now_us);
	return SF_WANT_CONTROL;
}

static enum subflow_want send_again(struct subflow *sf, uint32_t position, uint32_t rcv_wnd, uint32_t options_room, usec_t now_us,
				    struct segment *seg, struct subflow_data *data)
{
	struct sent *s = board_at(&sf->board, position);
	unsigned sacks = sack_blocks(sf, options_room);
	uint32_t room = sf->snd_mss - options_room - (sacks ? 4 + 8 * sacks : 0);
	uint32_t left = s->len - (s->flags & SENT_FIN ? 1 : 0) - s->again, len;
	uint8_t flags;

	/* Rather no SACK, which pure ACKs carry too, than this segment in two, the second of a few bytes. */
	if (left > room && left <= sf->snd_mss - (s->flags & SENT_RETRANS || !sf->options_may_miss ? options_room : 0)) {
		sacks = 0;
		room = left;
	}
	len = left < room ? left : room;
	flags = (uint8_t)(TCP_ACK | (s->flags & SENT_FIN && len == left ? TCP_FIN : 0) | (len ? TCP_PSH : 0));
	fill(sf, seg, ssn_add(s->seq, s->again), flags, rcv_wnd, sacks, now_us);
	*data = (struct subflow_data){
		.seq = ssn_add(s->seq, s->again), .len = len, .retransmission = true,
		.tag = s->tag == SUBFLOW_SYN_TAG ? SUBFLOW_SYN_TAG : s->tag + s->again,
	};
	if (len < left) {
		s->again += len;
		s->flags |= SENT_RETRANS; /* Karn: an ACK of a part is no sample either */
	} else {
		board_sent_again(&sf->board, position, now_us);
		stamp(sf, s, sf->board.in_flight == s->len, now_us);
	}
	sf->retransmitted_segments++;
	sf->retransmitted_bytes += len;
	if (sf->in_recovery || sf->in_rto_recovery)
		sf->undo_retransmits++;
	if (sf->in_recovery)
		sf->prr_out += len;
	pace(sf, len, now_us);
	if (sf->rto_deadline_us == USEC_NEVER)
		subflow_arm_rto(sf, now_us);
	return SF_WANT_RETRANSMIT;
}

static bool push_sent(struct subflow *sf, uint32_t len, uint64_t tag, uint8_t flags, usec_t now_us)
{
	struct sent *s = board_push(&sf->board, sf->snd_nxt, len, tag, now_us);

	if (!s)
		return false;
	s->flags |= flags;
	stamp(sf, s, sf->board.in_flight == len, now_us);
	sf->snd_nxt = ssn_add(sf->snd_nxt, len);
	if (sf->rto_deadline_us == USEC_NEVER)
		subflow_arm_rto(sf, now_us);
	subflow_arm_tlp(sf, now_us);
	if (board_count(&sf->board) == 1)
		subflow_arm_silence(sf);
	return true;
}

static bool send_fin(struct subflow *sf, uint32_t rcv_wnd, uint32_t options_room, usec_t now_us, struct segment *seg)
{
	struct ssn seq = sf->snd_nxt;

	if (!push_sent(sf, 1, 0, SENT_FIN, now_us))
		return false;
	sf->fin_sent = true;
	sf->fin_seq = seq;
	sf->state = sf->state == SF_CLOSE_WAIT ? SF_LAST_ACK : SF_FIN_WAIT_1;
	fill(sf, seg, seq, TCP_FIN | TCP_ACK, rcv_wnd, sack_blocks(sf, options_room), now_us);
	return true;
}

bool subflow_may_repeat(const struct subflow *sf)
{
	uint32_t flight = sf->board.in_flight;

	return !flight || flight + sf->snd_mss <= sf->cc.cwnd;
}

enum subflow_want subflow_output(struct subflow *sf, uint32_t rcv_wnd, uint32_t options_room, usec_t now_us,
				 struct segment *seg, struct subflow_data *data)
{
	struct scoreboard *b = &sf->board;

	*data = (struct subflow_data){ 0 };
	if (sf->state == SF_CLOSED)
		return SF_WANT_NOTHING;
	if (sf->rst_due) {
		sf->rst_due = false;
		fill(sf, seg, sf->rst_seq, TCP_RST, 0, 0, now_us);
		return SF_WANT_CONTROL;
	}
	if (sf->state == SF_SYN_SENT || sf->state == SF_SYN_RECEIVED)
		return sf->syn_due && sf->accepted ? send_syn(sf, rcv_wnd, now_us, seg, data) : SF_WANT_NOTHING;
	if (sf->probe_due) {
		sf->probe_due = false;
		if (board_count(b)) {
			uint32_t p = b->tail - 1; /* RFC 8985 7.3: the last segment, so that its SACK shows what is missing */

			sf->tlp_out = true;
			sf->tlp_end = ssn_add(board_at(b, p)->seq, board_at(b, p)->len);
			count(sf->config.counters, CNT_TailLossProbe);
			return send_again(sf, p, rcv_wnd, options_room, now_us, seg, data);
		}
	}
	if (b->lost_segs && subflow_may_repeat(sf) && !paced_out(sf, now_us))
		return send_again(sf, board_next_lost(b), rcv_wnd, options_room, now_us, seg, data);
	if (sf->fin_queued && !sf->fin_sent && (sf->state == SF_ESTABLISHED || sf->state == SF_CLOSE_WAIT) &&
	    send_fin(sf, rcv_wnd, options_room, now_us, seg))
		return SF_WANT_CONTROL;
	if (sf->window_probe_due) {
		/* An old sequence number: nobody accepts it, and so it is answered with an ACK that has the window. */
		sf->window_probe_due = false;
		fill(sf, seg, ssn_add(sf->snd_una, UINT32_MAX), TCP_ACK, rcv_wnd, sack_blocks(sf, 0), now_us);
		return SF_WANT_CONTROL;
	}
	if (sf->ack_now) {
		fill(sf, seg, sf->snd_nxt, TCP_ACK, rcv_wnd, sack_blocks(sf, 0), now_us);
		return SF_WANT_CONTROL;
	}
	return SF_WANT_NOTHING;
}

/* RFC 3042 2: what the first two duplicate ACKs let go. With SACK the bytes told of leave the flight by themselves. */
static uint32_t limited_transmit(const struct subflow *sf)
{
	return sf->dup_acks && sf->dup_acks < DUP_THRESHOLD ? sf->dup_acks * (uint32_t)sf->snd_mss : 0;
}

uint32_t subflow_sendable(const struct subflow *sf, usec_t now_us)
{
	uint32_t flight = sf->board.in_flight, used = (uint32_t)ssn_diff(sf->snd_nxt, sf->snd_una), cwnd = window_of(sf), room;

	if ((sf->state != SF_ESTABLISHED && sf->state != SF_CLOSE_WAIT) || sf->fin_queued || sf->board.lost_segs)
		return 0;
	if (!sf->sack_ok && !sf->in_recovery)
		cwnd += limited_transmit(sf);
	if (flight >= cwnd || paced_out(sf, now_us))
		return 0;
	if (used >= sf->snd_wnd)
		return sf->window_probe_byte && !used;
	room = cwnd - flight;
	/*
	 * RFC 6928 2: an upper bound in bytes. Options make segments carry less than the MSS, so ten of them leave a
	 * remainder, which must not let an eleventh go. (Nothing is acknowledged while all that was sent is in use.)
	 */
	if (room < sf->snd_mss && flight && sf->bytes_sent == used)
		return 0;
	if (room < sf->snd_mss)
		room = sf->snd_mss; /* windows count whole segments: no small one because of a remainder */
	return room < sf->snd_wnd - used ? room : sf->snd_wnd - used;
}

uint32_t subflow_burst(const struct subflow *sf, usec_t now_us)
{
	uint32_t sendable = subflow_sendable(sf, now_us);
	uint64_t rate = pace_of(sf), paced;
	usec_t since;

	if (!rate || sf->bytes_sent <= UNPACED_SEGS * (uint64_t)sf->cc.mss)
		return sendable;
	/* As pace() will count: until its clock is ahead. */
	since = usec_min(usec_since(now_us, sf->pace_clock_us), batch_us(sf) + LATE_US);
	paced = (uint64_t)since * rate / USEC_PER_S + 1;
	return paced < sendable ? (uint32_t)paced : sendable;
}

uint32_t subflow_send(struct subflow *sf, uint32_t len, uint64_t tag, bool push, uint32_t rcv_wnd, uint32_t options_room,
		      usec_t now_us, struct segment *seg, struct subflow_data *data)
{
	uint32_t sendable = subflow_sendable(sf, now_us), room, take;
	unsigned sacks = sack_blocks(sf, options_room);
	struct ssn seq = sf->snd_nxt;

	*data = (struct subflow_data){ 0 };
	if (!sendable || !len)
		return 0;
	room = sf->snd_mss - options_room - (sacks ? 4 + 8 * sacks : 0);
	take = len < sendable ? len : sendable;
	if (!sacks && sf->pmtu.known_bad && take > room) {
		uint32_t probe = subflow_pmtu_probe(sf, options_room, take, now_us);

		room = probe ? probe : room;
	}
	take = take < room ? take : room;
	if (!board_count(&sf->board) && sf->last_snd_us &&
	    usec_since(now_us, sf->last_snd_us) > IDLE_RTOS * usec_max(sf->rtt.rto_us, USEC_PER_S))
		sf->cc.ops->idle(&sf->cc, usec_since(now_us, sf->last_snd_us), now_us);
	if (!push_sent(sf, take, tag, 0, now_us))
		return 0;
	sf->window_probe_byte = false;
	sf->persist_deadline_us = USEC_NEVER;
	if (sf->board.in_flight + sf->snd_mss > sf->cc.cwnd ||
	    (sf->cc.cwnd < sf->cc.ssthresh && 2 * (uint64_t)sf->board.in_flight > sf->cc.cwnd)) {
		sf->cwnd_limited = true;
		sf->cwnd_limited_seq = sf->snd_nxt;
	}
	fill(sf, seg, seq, (uint8_t)(TCP_ACK | (push && take == len ? TCP_PSH : 0)), rcv_wnd, sacks, now_us);
	*data = (struct subflow_data){ .seq = seq, .len = take, .tag = tag };
	sf->bytes_sent += take;
	if (sf->in_recovery)
		sf->prr_out += take;
	pace(sf, take, now_us);
	return take;
}
