/* SPDX-License-Identifier: MIT */
/* What a segment, the clock or the host's answer means to a connection. Facts of the subflow come in, nothing is sent here. */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/convert.h"
#include "tunneld/mptcp/engine_state.h"
#include "tunneld/mptcp/token.h"
#include "tunneld/wire/checksum.h"

#include <assert.h>
#include <stdlib.h>

enum {
	ROUND_MIN_US = 5000,             /* shortest round of autotuning: a timer's grain is not a measure */
	JOIN_AFTER_BYTES = 14000,        /* RFC 8684 3.9: about one initial window, then joins are worth it */
	JOIN_AFTER_US = 200 * 1000,      /*   ... or a connection that has lasted this long */
	STUCK_US = 1000 * 1000,
	REFUSED_LINGER_US = 10 * 1000 * 1000,
	UNMAPPED_MAX = 64,               /* segments in a row at the front without a mapping: RST, RFC 8684 3.3.1 */
	ZERO_WINDOW_MAX_US = 60 * 1000 * 1000,
	THIRD_ACKS_MAX = 6,              /* of a join without a fourth packet */
};

/* --- data acknowledgements --- */

void conn_free_acked(struct conn *c)
{
	struct dsn low = c->snd_una;

	/* RFC 8684 3.3.1: kept until it is acknowledged as data and on every subflow it was sent on. */
	for (uint8_t i = 0; i < c->sub_count; i++)
		low = dsn_min(low, sent_map_lowest(&c->subs[i]->sent, low));
	send_queue_free_to(&c->queue, &c->engine->pool, low);
}

static void tune_send_limit(struct conn *c)
{
	uint64_t cwnd = 0, want, most = c->engine->pool.max_bytes / 8;

	for (uint8_t i = 0; i < c->sub_count; i++)
		cwnd += c->subs[i]->sf.cc.cwnd;
	want = 2 * cwnd + 64 * 1024;
	if (most > CONN_WINDOW_MAX)
		most = CONN_WINDOW_MAX;
	if (want > most)
		want = most;
	if (want > c->snd_limit)
		c->snd_limit = want;
}

static void data_acked(struct conn *c, const struct sub *s, const struct segment *seg, uint64_t value, bool is_64, usec_t now_us)
{
	struct dsn ack = is_64 ? dsn_of(value) : dsn_promote((uint32_t)value, c->snd_una);
	struct dsn most = dsn_add(c->snd_nxt, c->fin_sent ? 1 : 0), edge;

	/* RFC 8684 3.3.1: a sanity test, because a wrong promotion must not free what was not received. */
	if (dsn_lt(most, ack)) {
		count(c->engine->counters, CNT_DataAckBeyondSent);
		return;
	}
	c->snd_wnd = (uint32_t)seg->window << s->sf.snd_wscale;
	edge = dsn_add(ack, c->snd_wnd);
	if (dsn_lt(c->snd_edge, edge)) {
		c->snd_edge = edge;
		c->zero_window_us = USEC_NEVER;
		c->zero_window_tries = 0;
	}
	if (dsn_lt(c->snd_una, dsn_min(ack, c->queue.end))) {
		c->snd_una = dsn_min(ack, c->queue.end);
		c->stuck_us = USEC_NEVER;
		c->fin_tries = 0;
		if (c->close_us != USEC_NEVER && c->state != M_TIME_WAIT)
			c->close_us = usec_add(now_us, c->engine->config.close_timeout_us);
		tune_send_limit(c);
		if (c->short_write && conn_room(c) >= c->snd_limit / 4) {
			c->short_write = false;
			if (!c->orphan && !c->shutdown)
				c->tell |= TELL_ROOM;
		}
	}
	if (c->fin_sent && !c->fin_acked && dsn_lt(c->queue.end, ack)) {
		c->fin_acked = true;
		/* In M_FASTCLOSE_WAIT it is MP_FASTCLOSE's clock. */
		if (c->state != M_FASTCLOSE_WAIT)
			c->fin_resend_us = USEC_NEVER;
		conn_input_close(c, IN_DATA_FIN_ACKED, now_us);
	}
}

/* --- received data --- */

static void check_data_fin(struct conn *c, usec_t now_us)
{
	if (!c->peer_fin || c->peer_fin_in_order || !dsn_eq(c->reorder.next, c->peer_fin_dsn))
		return;
	c->peer_fin_in_order = true;
	conn_input_close(c, IN_DATA_FIN, now_us);
}

void conn_data_progress(struct conn *c, usec_t now_us)
{
	(void)now_us;
	if (c->orphan)
		return;
	if (reorder_waiting(&c->reorder)) {
		if (!c->offered)
			c->tell |= TELL_DATA;
	} else if (c->peer_fin_in_order && !c->eof_told) {
		c->tell |= TELL_EOF;
	}
	if (c->host_done && (c->eof_told || c->tell & TELL_EOF))
		c->tell |= TELL_CLOSED;
}

static void data_fin(struct sub *s, struct dsn at, usec_t now_us)
{
	struct conn *c = s->conn;

	/* Each is answered, a repeated one too: our DATA_ACK may have been lost. */
	subflow_ack_now(&s->sf);
	if (c->peer_fin) {
		if (!dsn_eq(c->peer_fin_dsn, at))
			count(c->engine->counters, CNT_DssNotMatching);
		return;
	}
	/* RFC 8684 3.3: what is outside of the window means nothing. */
	if (dsn_lt(at, c->reorder.next) || dsn_lt(c->rcv_edge, at)) {
		count(c->engine->counters, CNT_NoDSSInWindow);
		return;
	}
	c->peer_fin = true;
	c->peer_fin_dsn = at;
	check_data_fin(c, now_us);
}

/* Unwrapped relative ssn of a sequence number near rcv_nxt: the SYN is 0, its payload does not count (RFC 8684 B). */
static uint64_t relative(const struct sub *s, struct ssn seq)
{
	return s->sf.rcv_off + (uint64_t)(int64_t)ssn_diff(seq, s->sf.rcv_nxt) - s->syn_data_in;
}

/* The mapping a segment declares; len 0: none. */
static bool declared(struct sub *s, const struct segment *seg, struct mapping *out, usec_t now_us)
{
	const struct mptcp_option *dss = segment_mptcp(seg, DSS), *mpc = segment_mptcp(seg, MP_CAPABLE);
	struct conn *c = s->conn;
	bool has_checksum;
	uint16_t value, len;

	*out = (struct mapping){ 0 };
	if (dss && dss->dss.has_map) {
		uint32_t fin = dss->dss.data_fin;
		struct dsn dsn = dss->dss.dsn_is_64 ? dsn_of(dss->dss.dsn) :
						      dsn_promote((uint32_t)dss->dss.dsn, c->reorder.next);

		c->peer_dsn64 = dss->dss.dsn_is_64;
		if (dss->dss.len == 0) {
			/* An infinite mapping means fallback to TCP, which a sealed path cannot need. */
			count(c->engine->counters, CNT_InfiniteMapRx);
			return false;
		}
		has_checksum = dss->dss.has_checksum;
		value = dss->dss.checksum;
		len = dss->dss.len;
		out->dsn = dsn;
		out->len = len - fin;
		/* Nearest unwrapped number to where this segment stands. */
		if (out->len) {
			uint64_t here = relative(s, seg->seq);

			out->ssn = here + (uint64_t)(int64_t)(int32_t)(dss->dss.ssn - (uint32_t)here);
		}
		if (fin)
			data_fin(s, dsn_add(dsn, out->len), now_us);
	} else if (mpc && mpc->capable.has_length) {
		struct dsn first;
		uint32_t token;

		/* RFC 8684 3.1: MP_CAPABLE with a length stands for the mapping of the first data. */
		token_of_key(c->remote_key, &token, &first);
		has_checksum = mpc->capable.has_checksum;
		value = mpc->capable.checksum;
		len = mpc->capable.data_len;
		out->dsn = dsn_add(first, 1);
		out->ssn = 1;
		out->len = len;
	} else {
		return true;
	}
	if (has_checksum != c->checksum) {
		/* RFC 8684 3.3: a checksum that was not agreed on, or one that is missing */
		count(c->engine->counters, CNT_DSSCorruptionReset);
		return false;
	}
	/* The checksum covers the whole mapping: it can be checked here when that is this segment. */
	if (c->checksum && out->len && out->ssn == relative(s, seg->seq) && out->len == seg->payload_len &&
	    !dss_checksum_ok(out->dsn.v, (uint32_t)out->ssn, len, checksum_partial(seg->payload, seg->payload_len), value)) {
		count(c->engine->counters, CNT_DataCsumErr);
		return false;
	}
	return true;
}

static uint64_t ooo_reserve(const struct conn *c) { return c->engine->pool.max_bytes / 8; }

/* Takes one mapped stretch of payload. Returns how many bytes were kept (and may be acknowledged). */
static uint32_t take(struct sub *s, struct dsn dsn, const uint8_t *bytes, uint32_t len)
{
	struct conn *c = s->conn;
	struct counters *k = c->engine->counters;
	struct dsn end = dsn_add(dsn, len), limit = c->rcv_edge;
	size_t fresh;

	if (c->peer_fin && dsn_lt(c->peer_fin_dsn, limit))
		limit = c->peer_fin_dsn;
	if (dsn_lt(limit, end)) {
		count(k, CNT_NoDSSInWindow);
		if (dsn_leq(limit, dsn))
			return 0;
		end = limit;
		len = (uint32_t)dsn_diff(end, dsn);
	}
	if (reorder_insert(&c->reorder, &c->engine->pool, dsn, bytes, len, ooo_reserve(c), &fresh) != ERR_OK) {
		count(k, CNT_ReorderFull);
		return 0;
	}
	if (fresh < len)
		count(k, CNT_DuplicateData);
	return len;
}

static bool payload(struct sub *s, const struct subflow_facts *f, const struct mapping *now_declared, usec_t now_us, bool *fin)
{
	struct conn *c = s->conn;
	struct ssn seq = f->payload_seq;
	const uint8_t *at = f->payload_at;
	uint32_t left = f->payload_len;
	struct dsn before = c->reorder.next;

	while (left) {
		uint64_t ssn = relative(s, seq);
		const struct mapping *m = now_declared;
		uint32_t n, kept;

		if (!m->len || ssn < m->ssn || ssn >= m->ssn + m->len)
			m = mappings_find(&s->mappings, ssn);
		if (!m) {
			/*
			 * Unlike RFC 8684 3.3.1 unmapped data is not acknowledged: it comes again with its mapping, and until then it
			 * takes no memory. At the front, where a mapping can no longer come, it counts towards a RST.
			 */
			count(c->engine->counters, CNT_DSSNoMatch);
			if (ssn_eq(seq, s->sf.rcv_nxt) && ++s->unmapped_segs > UNMAPPED_MAX)
				return false;
			break;
		}
		n = (uint32_t)(m->ssn + m->len - ssn);
		if (n > left)
			n = left;
		kept = take(s, dsn_add(m->dsn, ssn - m->ssn), at, n);
		if (kept) {
			bool f_in = false;

			s->unmapped_segs = 0;
			if (subflow_received(&s->sf, seq, kept, now_us, &f_in) && f_in)
				*fin = true;
		}
		if (kept < n)
			break;
		seq = ssn_add(seq, n);
		at += n;
		left -= n;
	}
	if (left)
		subflow_ack_now(&s->sf);
	if (s->mappings.count)
		mappings_done(&s->mappings, relative(s, s->sf.rcv_nxt));
	if (!dsn_eq(before, c->reorder.next)) {
		c->bytes_received += (uint64_t)dsn_diff(c->reorder.next, before);
		check_data_fin(c, now_us);
		conn_data_progress(c, now_us);
	}
	return true;
}

/* --- opening --- */

static void opened(struct conn *c, struct sub *s, usec_t now_us)
{
	unsigned what;
	bool ok = conn_step(&c->state, IN_OPENED, &what);

	assert(ok);
	(void)ok;
	s->stage = SUB_LIVE;
	c->opened_us = now_us;
	c->open_deadline_us = USEC_NEVER;
	c->round_us = now_us;
	c->snd_edge = dsn_add(c->snd_una, s->sf.snd_wnd);
	c->snd_wnd = s->sf.snd_wnd;
	count(c->engine->counters, CNT_MPCurrEstab);
	/* A destination that speaks first was told "no room" before the third ACK came. */
	if (c->short_write && !c->shutdown) {
		c->short_write = false;
		c->tell |= TELL_ROOM;
	}
	if (c->shutdown)
		conn_input_close(c, IN_CLOSE, now_us);
}

/* RFC 8684 3.1: what a SYN/ACK or SYN must say for us to go on with MPTCP. */
static bool capable_ok(const struct mptcp_option *mpc, uint8_t keys)
{
	return mpc && mpc->capable.keys == keys && mpc->capable.version == 1 && mpc->capable.flags & MPC_HMAC_SHA256 &&
	       !(mpc->capable.flags & MPC_EXTENSIBILITY);
}

/* Client: the SYN/ACK of the first subflow. False: the connection has ended. */
static bool synack(struct sub *s, const struct segment *seg, usec_t now_us)
{
	struct conn *c = s->conn;
	const struct mptcp_option *mpc = segment_mptcp(seg, MP_CAPABLE);
	struct convert_message m;
	struct rd r = rd_of(seg->payload, seg->payload_len);
	bool fin;

	if (!capable_ok(mpc, 1)) {
		count(c->engine->counters, CNT_MPCapableFallbackSYNACK);
		conn_fail(c, OPEN_PROTOCOL_ERROR, 0, true, now_us);
		return false;
	}
	if (c->syn_data_len) {
		if (convert_parse(&r, &m) != ERR_OK) {
			count(c->engine->counters, CNT_ConvertMalformed);
			conn_fail(c, OPEN_PROTOCOL_ERROR, 0, true, now_us);
			return false;
		}
		if (m.error) {
			enum open_result why = convert_result(m.error_code, m.error_value, &c->icmp_code);

			conn_fail(c, why, c->icmp_code, true, now_us);
			return false;
		}
		s->syn_data_in = (uint8_t)m.total_bytes;
		subflow_received(&s->sf, ssn_add(seg->seq, 1), m.total_bytes, now_us, &fin);
	}
	c->checksum |= (mpc->capable.flags & MPC_CHECKSUM) != 0;
	conn_remote_key(c, mpc->capable.sender_key);
	opened(c, s, now_us);
	c->answered = true;
	c->result = OPEN_OK;
	c->tell |= TELL_OPENED;
	subflow_ack_now(&s->sf);
	return true;
}

/* Gateway: the first segment that brings the client's key. */
static bool third_ack(struct sub *s, const struct segment *seg, usec_t now_us)
{
	struct conn *c = s->conn;
	const struct mptcp_option *mpc = segment_mptcp(seg, MP_CAPABLE);

	if (!mpc || mpc->capable.keys != 2)
		return true; /* lost or late: the client repeats its key until it hears a DSS, RFC 8684 3.1 */
	if (!capable_ok(mpc, 2) || mpc->capable.receiver_key != c->local_key) {
		count(c->engine->counters, CNT_MPCapableBadKey);
		conn_fail(c, OPEN_PROTOCOL_ERROR, 0, true, now_us);
		return false;
	}
	if (c->orphan) { /* it was told that the dial failed */
		conn_fail(c, OPEN_REFUSED, 0, true, now_us);
		return false;
	}
	conn_remote_key(c, mpc->capable.sender_key);
	c->fully = true;
	opened(c, s, now_us);
	subflow_ack_now(&s->sf); /* carries a DSS: the client knows that its key has come */
	return true;
}

static void refuse(struct engine *e, path_id path, const struct segment *seg, enum mptcp_reason reason, bool with_reason)
{
	struct segment rst;

	if (!subflow_refuse(seg, &rst))
		return;
	rst.src_port = seg->dst_port;
	rst.dst_port = seg->src_port;
	rst.mptcp_count = 0;
	if (with_reason) {
		rst.mptcp[rst.mptcp_count++] = (struct mptcp_option){ .subtype = MP_TCPRST, .tcprst = { .reason = (uint8_t)reason } };
		count(e->counters, CNT_MPRstTx);
	}
	engine_raw(e, path, &rst);
}

/* A SYN with MP_CAPABLE: a connection begins when its destination could be dialled. */
static void accept_syn(struct engine *e, path_id path, const struct segment *seg, const struct mptcp_option *mpc, usec_t now_us)
{
	struct rd r = rd_of(seg->payload, seg->payload_len);
	bool convert = e->config.form == SEGMENT_SEALED;
	struct convert_message m = { 0 };
	struct subflow_config sc;
	struct conn *c;
	struct sub *s;
	bool fin;

	count(e->counters, CNT_MPCapableSYNRX);
	for (uint32_t i = 0; i < OLD_SYNS; i++)
		if (e->old_syns[i].peer == e->paths[path].peer && e->old_syns[i].port == seg->src_port &&
		    ssn_eq(e->old_syns[i].iss, seg->seq) && i < e->old_syn_next) {
			/* D9 races SYNs over all paths: one may arrive after its connection has come and gone. */
			count(e->counters, CNT_SynOld);
			refuse(e, path, seg, REASON_UNSPECIFIED, true);
			return;
		}
	if (!e->config.gateway || mpc->capable.keys != 0 || mpc->capable.version < 1 || !(mpc->capable.flags & MPC_HMAC_SHA256) ||
	    mpc->capable.flags & MPC_EXTENSIBILITY) {
		count(e->counters, CNT_SynRefused);
		refuse(e, path, seg, REASON_PROHIBITED, true);
		return;
	}
	if (convert && (convert_parse(&r, &m) != ERR_OK || !m.connect)) {
		count(e->counters, CNT_ConvertMalformed);
		refuse(e, path, seg, REASON_MPTCP_ERROR, true);
		return;
	}
	c = conn_new(e, e->paths[path].peer, false, now_us);
	if (!c || !(s = conn_sub_new(c, path, seg->dst_port, seg->src_port))) {
		refuse(e, path, seg, REASON_NO_RESOURCES, true);
		if (c)
			conn_free(c);
		return;
	}
	c->destination = m.destination;
	c->checksum |= (mpc->capable.flags & MPC_CHECKSUM) != 0;
	c->open_deadline_us = usec_add(now_us, e->config.connect_timeout_us);
	conn_subflow_config(c, path, &sc);
	if (subflow_listen(&s->sf, &sc, ssn_of((uint32_t)engine_chance(e)), seg, now_us) != ERR_OK) {
		conn_free(c);
		return;
	}
	if (convert) {
		s->syn_data_in = (uint8_t)m.total_bytes;
		subflow_received(&s->sf, ssn_add(seg->seq, 1), m.total_bytes, now_us, &fin);
	}
	c->dialling = true;
	c->tell = TELL_DIAL;
	engine_ready(c);
}

/*
 * A RST with MP_FASTCLOSE for a subflow that has gone already (another RST overtook it): the key still names the
 * connection, and without its subflow it would learn of its end only by its timeout.
 */
static void late_fastclose(struct engine *e, path_id path, const struct mptcp_option *fc, usec_t now_us)
{
	uint32_t token;
	struct dsn idsn;
	struct conn *c;

	token_of_key(fc->fastclose.receiver_key, &token, &idsn);
	c = engine_token_find(e, token);
	if (!c || c->local_key != fc->fastclose.receiver_key || c->peer != e->paths[path].peer || !c->remote_key_known ||
	    c->state == M_CLOSED)
		return;
	count(e->counters, CNT_MPFastcloseRx);
	conn_fail(c, OPEN_RESET, 0, true, now_us);
}

void conn_stranger(struct engine *e, path_id path, const struct segment *seg, usec_t now_us)
{
	const struct mptcp_option *opt;

	if (seg->flags & TCP_RST && (opt = segment_mptcp(seg, MP_FASTCLOSE))) {
		late_fastclose(e, path, opt, now_us);
		return;
	}

	if ((seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN) {
		opt = segment_mptcp(seg, MP_JOIN);
		if (opt && opt->join.form == JOIN_SYN) {
			pm_join_syn(e, path, seg, opt, now_us);
			return;
		}
		opt = segment_mptcp(seg, MP_CAPABLE);
		if (opt) {
			accept_syn(e, path, seg, opt, now_us);
			return;
		}
	}
	count(e->counters, CNT_SegmentNoSubflow);
	refuse(e, path, seg, REASON_UNSPECIFIED, false);
}

void conn_dialled(struct conn *c, enum open_result result, uint8_t icmp_code, usec_t now_us)
{
	struct wr w = wr_of(c->syn_data, sizeof c->syn_data);
	struct sub *s = c->sub_count ? c->subs[0] : NULL;

	c->dialling = false;
	c->result = result;
	engine_ready(c);
	if (result != OPEN_OK) {
		/* For the host it is over; the client is told in the SYN/ACK's payload. */
		c->orphan = true;
		c->tell = 0;
		c->open_deadline_us = usec_add(now_us, REFUSED_LINGER_US);
	} else {
		/* It may have come late; the client has its own limit. */
		c->open_deadline_us = usec_add(now_us, c->engine->config.connect_timeout_us);
	}
	if (!s)
		return;
	if (c->engine->config.form == SEGMENT_SEALED) {
		convert_emit_answer(&w, result, icmp_code);
		c->syn_data_len = s->syn_data_out = (uint8_t)wr_len(&w);
		subflow_syn_payload(&s->sf, c->syn_data_len);
	} else if (result != OPEN_OK) {
		conn_fail(c, result, icmp_code, true, now_us);
		return;
	}
	subflow_accept(&s->sf, now_us);
	s->want_out = true;
}

/* --- what a subflow told --- */

/* True: s is gone. */
static bool facts(struct sub *s, const struct subflow_facts *f, usec_t now_us)
{
	struct conn *c = s->conn;

	s->want_out = true;
	if (f->acked) {
		sent_map_acked(&s->sent, f->acked_to);
		if (s->stage == SUB_LIVE)
			conn_sub_alive(s, now_us);
	}
	if (f->retransmit_timeout || f->tail_probe) {
		engine_probe(c->engine, s->path, now_us);
		if (!f->retransmit_timeout || (s->stage != SUB_LIVE && s->stage != SUB_CLOSING) || !pm_move(s))
			conn_sub_suspect(s, now_us);
	}
	if (f->fin && s->stage == SUB_LIVE && (c->peer_fin ? c->fin_acked : conn_another_usable(s))) {
		/* RFC 8684 3.3.3: a FIN ends the subflow, not the connection. What may still need it keeps it. */
		s->stage = SUB_CLOSING;
		subflow_close(&s->sf, now_us);
	}
	if (f->gave_up) {
		if (s->join && s->stage != SUB_LIVE)
			count(c->engine->counters, CNT_JoinTimeout);
		conn_sub_lost(s, now_us);
		return true;
	}
	if (f->closed || s->sf.state == SF_CLOSED) {
		if (s->stage == SUB_CLOSING) {
			conn_reinject_all(s);
			conn_sub_free(s);
			conn_free_acked(c);
			conn_sub_gone(c, now_us);
		} else {
			conn_sub_lost(s, now_us);
		}
		return true;
	}
	return false;
}

/*
 * RFC 9293 3.10.7.4, CLOSING and LAST-ACK: a peer that has forgotten the connection has had our DATA_FIN; only its DATA_ACK
 * was lost. True: so it is here.
 */
static bool only_last_ack_lost(struct conn *c, usec_t now_us)
{
	if (!c->fin_sent || c->fin_acked || !dsn_eq(c->snd_una, c->queue.end) || (c->state != M_CLOSING && c->state != M_LAST_ACK))
		return false;
	c->fin_acked = true;
	c->fin_resend_us = USEC_NEVER;
	conn_input_close(c, IN_DATA_FIN_ACKED, now_us);
	return true;
}

static void reset_received(struct sub *s, const struct segment *seg, usec_t now_us)
{
	struct conn *c = s->conn;
	const struct mptcp_option *why = segment_mptcp(seg, MP_TCPRST);
	uint8_t reason = why ? why->tcprst.reason : REASON_UNSPECIFIED;

	if (why)
		count(c->engine->counters, CNT_MPRstRx);
	if (c->state == M_OPENING && !s->join) {
		conn_fail(c, reason == REASON_PROHIBITED ? OPEN_PROHIBITED : reason == REASON_NO_RESOURCES ? OPEN_NO_RESOURCES :
			  c->client && c->engine->config.form == SEGMENT_PLAIN ? OPEN_REFUSED : OPEN_RESET, 0, false, now_us);
		return;
	}
	if (s->join && s->initiator && s->stage != SUB_LIVE && s->stage != SUB_CLOSING) {
		path_id path = s->path;
		bool refused = reason == REASON_PROHIBITED || reason == REASON_MPTCP_ERROR;

		count(c->engine->counters, CNT_MPJoinRejected);
		conn_sub_free(s);
		pm_join_failed(c, path, refused, now_us);
		/*
		 * seeds: fast close by RST. The peer does not know the token, and nothing else of the connection lives: it was
		 * closed there and we missed it.
		 */
		if (reason == REASON_MPTCP_ERROR && !conn_has_living_sub(c) && !only_last_ack_lost(c, now_us)) {
			conn_fail(c, OPEN_RESET, 0, true, now_us);
			return;
		}
		conn_sub_gone(c, now_us);
		return;
	}
	/* A RST of one subflow alone gives its reason; without one the peer knows nothing of it. */
	if (!why && s->stage == SUB_LIVE && c->sub_count == 1)
		only_last_ack_lost(c, now_us);
	conn_sub_lost(s, now_us);
}

/* MP_FASTCLOSE, RFC 8684 3.5, on a RST or an ACK. True: the connection has ended. */
static bool fastclose(struct sub *s, const struct segment *seg, usec_t now_us)
{
	struct conn *c = s->conn;
	const struct mptcp_option *fc = segment_mptcp(seg, MP_FASTCLOSE);

	if (!fc)
		return false;
	count(c->engine->counters, CNT_MPFastcloseRx);
	/* RFC 8684 3.5: a wrong key leaves the connection alive (the RST, if it is one, still ends its subflow). */
	if (fc->fastclose.receiver_key != c->local_key || !c->remote_key_known) {
		count(c->engine->counters, CNT_MPFastcloseBadKey);
		return false;
	}
	/* The key is proof enough: the sequence number of its RST may be beyond data that was lost. */
	conn_fail(c, OPEN_RESET, 0, true, now_us);
	return true;
}

static bool options(struct sub *s, const struct segment *seg, struct mapping *map, usec_t now_us)
{
	struct conn *c = s->conn;
	const struct mptcp_option *dss = segment_mptcp(seg, DSS);

	if (dss && !c->fully) {
		/* RFC 8684 3.1: the peer has our key for certain; joins are allowed now. */
		c->fully = true;
		if (c->client)
			c->join_us = usec_add(c->opened_us, JOIN_AFTER_US);
	}
	if (dss && dss->dss.has_ack)
		data_acked(c, s, seg, dss->dss.data_ack, dss->dss.ack_is_64, now_us);
	if (c->state == M_CLOSED)
		return false;
	if (!declared(s, seg, map, now_us)) {
		struct segment rst;

		/* RFC 8684 3.3: a fatal DSS error ends the subflow with reason 1. */
		subflow_reset(&s->sf, &rst);
		rst.src_port = s->local_port;
		rst.dst_port = s->remote_port;
		rst.mptcp_count = 1;
		rst.mptcp[0] = (struct mptcp_option){ .subtype = MP_TCPRST, .tcprst = { .reason = REASON_MPTCP_ERROR } };
		engine_raw(c->engine, s->path, &rst);
		conn_sub_lost(s, now_us);
		return false;
	}
	for (uint8_t i = 0; i < seg->mptcp_count; i++)
		switch (seg->mptcp[i].subtype) {
		case MP_CAPABLE:
			/* RFC 8684 3.1: both keys again: no DSS of ours has arrived yet, and until then no DATA_FIN can be sent. */
			if (!seg->payload_len)
				subflow_ack_now(&s->sf);
			break;
		case MP_JOIN:
			/* RFC 8684 3.2: so is the third ACK of a join, until its fourth packet arrives. */
			if (s->stage == SUB_LIVE)
				subflow_ack_now(&s->sf);
			break;
		case ADD_ADDR:
		case REMOVE_ADDR:
		case MP_PRIO:
			pm_option(s, &seg->mptcp[i], now_us);
			break;
		case MP_FAIL:
			count(c->engine->counters, CNT_MPFailRx);
			break;
		default:
			break;
		}
	return true;
}

/* A segment that covers less than its mapping: the rest of the mapping is for later ones. */
static void remember(struct sub *s, const struct segment *seg, struct mapping *map)
{
	uint64_t here = relative(s, seg->seq);

	if (!map->len || (map->ssn >= here && map->ssn + map->len <= here + seg->payload_len))
		return;
	if (mappings_add(&s->mappings, map) != ERR_OK) {
		count(s->conn->engine->counters, CNT_DssNotMatching);
		map->len = 0;
	}
}

void conn_segment(struct sub *s, path_id path, const struct segment *seg, usec_t now_us)
{
	struct conn *c = s->conn;
	struct subflow_facts f = { 0 };
	struct mapping map = { 0 };
	bool synack_seg = (seg->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);

	engine_ready(c);
	s->want_out = true;
	c->burst_sub = -1;
	if (c->state == M_CLOSED)
		return;
	if (fastclose(s, seg, now_us))
		return;
	/* The SYN/ACK goes where the last SYN came from, and the subflow stays where its handshake ended (D9). */
	if (s->stage == SUB_OPENING && (!s->initiator || synack_seg) && !(seg->flags & TCP_RST))
		conn_sub_path(s, path);
	else if (path != s->path)
		s->other_path_segs++;

	subflow_input(&s->sf, seg, conn_rcv_window(c), now_us, &f);
	if (f.reset) {
		reset_received(s, seg, now_us);
		return;
	}
	if (f.rejected) {
		/* Old data may still bring a new ACK. */
		if (!facts(s, &f, now_us) || c->state != M_CLOSED)
			conn_free_acked(c);
		return;
	}
	/* pm_move(): a subflow is where its initiator is. */
	if (!s->initiator && s->stage != SUB_OPENING && c->engine->config.form == SEGMENT_SEALED)
		conn_sub_path(s, path);
	c->last_rcv = s;

	if (s->stage == SUB_OPENING && s->initiator && f.established) {
		if (!s->join) {
			if (!synack(s, seg, now_us))
				return;
		} else if (!pm_join_synack(s, seg)) {
			return;
		}
	} else if (s->stage == SUB_OPENING && !s->initiator && s->sf.state != SF_SYN_RECEIVED) {
		if (s->join ? !pm_join_third_ack(s, seg) : !third_ack(s, seg, now_us))
			return;
		if (s->stage == SUB_LIVE && s->join)
			conn_reinject_stale(c, now_us);
	} else if (s->stage == SUB_PRE_ESTABLISHED && !(seg->flags & TCP_SYN)) {
		/* RFC 8684 3.2: the fourth packet */
		s->stage = SUB_LIVE;
		s->third_ack_us = USEC_NEVER;
		c->dead_us = USEC_NEVER;
		pm_join_done(c, s->path);
		count(c->engine->counters, CNT_MPJoinEstab);
		conn_reinject_stale(c, now_us);
		/* What was waiting for a way out, a DATA_FIN included, may go at once. */
		if (c->fin_sent && !c->fin_acked)
			c->fin_resend_us = now_us;
	}
	if (seg->flags & TCP_SYN) {
		facts(s, &f, now_us);
		return;
	}
	if (c->remote_key_known && s->stage != SUB_OPENING) {
		if (!options(s, seg, &map, now_us))
			return;
		if (seg->payload_len)
			remember(s, seg, &map);
		if (f.payload && !payload(s, &f, &map, now_us, &f.fin)) {
			struct segment rst;

			subflow_reset(&s->sf, &rst);
			rst.src_port = s->local_port;
			rst.dst_port = s->remote_port;
			rst.mptcp_count = 1;
			rst.mptcp[0] = (struct mptcp_option){ .subtype = MP_TCPRST, .tcprst = { .reason = REASON_MIDDLEBOX } };
			engine_raw(c->engine, s->path, &rst);
			conn_sub_lost(s, now_us);
			return;
		}
	}
	if (!facts(s, &f, now_us) || c->state != M_CLOSED) {
		conn_free_acked(c);
		if ((uint64_t)dsn_diff(c->snd_una, c->queue.start) > c->snd_limit)
			conn_drop_dead_subs(c, now_us);
	}
	if (c->client && c->fully && c->join_us != USEC_NEVER && c->join_us > now_us &&
	    c->bytes_sent + c->bytes_received >= JOIN_AFTER_BYTES)
		c->join_us = now_us;
	if (c->join_us <= now_us)
		pm_joins(c, now_us);
}

/* --- the application read --- */

static usec_t longest_rtt(const struct conn *c)
{
	usec_t rtt = ROUND_MIN_US;

	for (uint8_t i = 0; i < c->sub_count; i++)
		rtt = usec_max(rtt, c->subs[i]->sf.rtt.srtt_us);
	return rtt;
}

void conn_consumed(struct conn *c, size_t len, usec_t now_us)
{
	struct engine *e = c->engine;
	int64_t opened_by, left;

	reorder_consumed(&c->reorder, &e->pool, len);
	c->offered = false;
	if (usec_since(now_us, c->round_us) >= longest_rtt(c)) {
		/* Dynamic right-sizing: twice of what was read in a round trip, so that the window is never the limit. */
		uint64_t copied = (uint64_t)dsn_diff(c->reorder.read, c->round_start), most = e->pool.max_bytes / 8;

		if (most > CONN_WINDOW_MAX)
			most = CONN_WINDOW_MAX;
		if (2 * copied > c->rcv_limit && c->rcv_limit < most && e->pool.used_bytes < e->pool.max_bytes / 2)
			c->rcv_limit = 2 * copied + 64 * 1024 < most ? 2 * copied + 64 * 1024 : most;
		c->round_start = c->reorder.read;
		c->round_us = now_us;
	}
	conn_update_rcv_edge(c);
	conn_data_progress(c, now_us);
	/* RFC 9293 3.8.6.2.2: tell the peer when it is worth while, at once when it may be standing still. */
	opened_by = dsn_diff(c->rcv_edge, c->rcv_told);
	left = dsn_diff(c->rcv_told, c->reorder.next);
	if (opened_by > 0 && ((uint64_t)opened_by >= c->rcv_limit / 4 || (left < 4096 && opened_by >= 4096))) {
		struct sub *s = c->last_rcv;

		for (uint8_t i = 0; (!s || conn_sub_avoid(s)) && i < c->sub_count; i++)
			if (conn_sub_usable(c->subs[i]) && (!s || !conn_sub_avoid(c->subs[i])))
				s = c->subs[i];
		if (s) {
			subflow_ack_now(&s->sf);
			s->want_out = true;
		}
	}
}

/* --- the clock --- */

static usec_t shortest_rto(const struct conn *c)
{
	usec_t rto = USEC_NEVER;

	for (uint8_t i = 0; i < c->sub_count; i++)
		if (conn_sub_usable(c->subs[i]))
			rto = usec_min(rto, c->subs[i]->sf.rtt.rto_us);
	return rto == USEC_NEVER ? USEC_PER_S : rto;
}

static void stuck(struct conn *c, usec_t now_us)
{
	/* Subflows have delivered all, and yet it is not acknowledged as data: the peer dropped it, or one took its memory along. */
	c->stuck_us = usec_add(now_us, STUCK_US);
	count(c->engine->counters, CNT_MPTCPRetrans);
	conn_reinject_add(c, c->snd_una, dsn_min(c->snd_nxt, dsn_add(c->snd_una, 64 * 1024)), UINT32_MAX);
}

static void zero_window(struct conn *c, usec_t now_us)
{
	usec_t wait = shortest_rto(c) << (c->zero_window_tries < 10 ? c->zero_window_tries : 10);

	c->zero_window_us = usec_add(now_us, usec_min(wait, ZERO_WINDOW_MAX_US));
	c->zero_window_tries++;
	count(c->engine->counters, CNT_WinProbe);
	/* RFC 9293 3.8.6.1: one byte beyond the edge; the answer carries the window of now. */
	if (dsn_lt(c->snd_nxt, c->queue.end) && dsn_leq(c->snd_edge, c->snd_nxt))
		c->snd_edge = dsn_add(c->snd_nxt, 1);
}

/* The pool had no page for a write. No event of this connection says when it has: others free them. */
static void look_for_room(struct conn *c, usec_t now_us)
{
	const struct page_pool *pool = &c->engine->pool;

	c->room_us = USEC_NEVER;
	if (!c->short_write || c->orphan || c->shutdown)
		return;
	if (pool->used_bytes + PAGE_SIZE_BYTES > pool->max_bytes - pool->max_bytes / 4 || !conn_room(c)) {
		c->room_us = usec_add(now_us, CONN_ROOM_RETRY_US);
		return;
	}
	c->short_write = false;
	c->tell |= TELL_ROOM;
}

void conn_timeout(struct conn *c, usec_t now_us)
{
	c->burst_sub = -1;
	if (c->state == M_CLOSED)
		return;
	for (uint8_t i = 0; i < c->sub_count;) {
		struct sub *s = c->subs[i];
		struct subflow_facts f = { 0 };

		if (s->third_ack_us <= now_us && s->third_acks >= THIRD_ACKS_MAX) {
			count(c->engine->counters, CNT_JoinTimeout);
			conn_sub_lost(s, now_us);
			if (c->state == M_CLOSED)
				return;
			i = 0;
			continue;
		}
		if (s->third_ack_us <= now_us) {
			s->third_ack_us = usec_add(now_us, usec_max(s->sf.rtt.rto_us, 50 * USEC_PER_MS) << s->third_acks++);
			subflow_ack_now(&s->sf);
			s->want_out = true;
		}
		if (subflow_deadline(&s->sf) <= now_us) {
			subflow_timeout(&s->sf, now_us, &f);
			if (facts(s, &f, now_us)) {
				if (c->state == M_CLOSED)
					return;
				i = 0;
				continue;
			}
		}
		i++;
	}
	if (c->open_deadline_us <= now_us && c->dialling) {
		/* The destination gave no answer: that is one, too. The host is told to stop dialling. */
		conn_dialled(c, OPEN_TIMED_OUT, 0, now_us);
		if (c->state != M_CLOSED) {
			c->orphan = false;
			c->tell = TELL_RESET;
		}
		return;
	}
	if (c->open_deadline_us <= now_us) {
		c->open_deadline_us = USEC_NEVER;
		conn_fail(c, OPEN_TIMED_OUT, 0, true, now_us);
		return;
	}
	if (c->dead_us <= now_us || (c->close_us <= now_us && c->state != M_TIME_WAIT)) {
		count(c->engine->counters, c->dead_us <= now_us ? CNT_ConnDead : CNT_ConnCloseTimeout);
		conn_fail(c, OPEN_TIMED_OUT, 0, true, now_us);
		return;
	}
	if (c->close_us <= now_us) {
		/* All is said both ways; a subflow that does not answer its FIN is not waited for. */
		c->close_us = USEC_NEVER;
		while (c->sub_count)
			conn_sub_free(c->subs[0]);
		conn_sub_gone(c, now_us);
		return;
	}
	if (c->zero_window_us <= now_us)
		zero_window(c, now_us);
	if (c->room_us <= now_us)
		look_for_room(c, now_us);
	if (c->stuck_us <= now_us)
		stuck(c, now_us);
	if (c->join_us <= now_us)
		pm_joins(c, now_us);
	conn_free_acked(c);
	conn_drop_dead_subs(c, now_us);
}
