/* SPDX-License-Identifier: MIT */
/* What a segment means to a connection, in the order of its layers. Facts of the subflow come in, nothing is sent here. */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"

enum {
	JOIN_AFTER_BYTES = 14000,        /* RFC 8684 3.9: about one initial window, then joins are worth it */
	JOIN_AFTER_US = 200 * 1000,      /*   ... or a connection that has lasted this long */
};

/* True: s is gone. */
bool conn_subflow_facts(struct sub *s, const struct subflow_facts *f, usec_t now_us)
{
	struct conn *c = s->conn;

	s->want_out = true;
	if (f->acked) {
		const struct path *p = engine_path(c->engine, s->path);

		if (p && p->rtt_us)
			subflow_path_rtt(&s->sf, p->rtt_us, now_us);
		s->acked_us = now_us;
		sent_map_acked(&s->sent, f->acked_to);
		conn_announce_acked(s, f->acked_to);
		if (s->stage == SUB_LIVE)
			conn_sub_alive(s, now_us);
	}
	if (c->fallen && s->stage != SUB_OPENING)
		conn_fallen_facts(s, f, now_us);
	if (f->retransmit_timeout)
		conn_facts_timeout(s);
	if (f->retransmit_timeout || f->tail_probe || f->silent) {
		engine_probe(c->engine, s->path, now_us);
		if (!f->retransmit_timeout || (s->stage != SUB_LIVE && s->stage != SUB_CLOSING) || !pm_move(s))
			conn_sub_suspect(s, now_us);
	}
	conn_mode_facts(s, f, now_us);
	if (f->acked)
		conn_mode_measure(s, now_us);
	if (f->fin && s->stage == SUB_LIVE && (c->peer_fin ? c->fin_acked : conn_another_usable(s))) {
		/* RFC 8684 3.3.3: a FIN ends the subflow, not the connection. What may still need it keeps it. */
		s->stage = SUB_CLOSING;
		subflow_close(&s->sf, now_us);
	}
	if (f->gave_up) {
		if (s->join && s->stage != SUB_LIVE)
			count(c->engine->counters, CNT_JoinTimeout);
		s->end = "no answer";
		conn_sub_tell_given_up(s);
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

/* RFC 8684 3.3: a fatal DSS error ends the subflow. */
static void reset_bad(struct sub *s, enum mptcp_reason why, usec_t now_us)
{
	conn_facts_corrupt(s, "its DSS options make no sense", why);
	conn_sub_rst(s, s->path, why, false);
	conn_sub_lost(s, now_us);
}

/*
 * RFC 8684 3.7: options passed on the SYNs and do not pass now: data was acknowledged without a DATA_ACK ever, or came without
 * a mapping ever. True: that is so.
 */
static bool stripped(const struct sub *s, const struct segment *seg, const struct subflow_facts *f)
{
	const struct conn *c = s->conn;
	struct ssn data = ssn_add(s->sf.iss, 1u + s->syn_data_out);

	if (c->engine->config.form != SEGMENT_PLAIN || seg->mptcp_count || s->stage != SUB_LIVE || seg->flags & TCP_SYN)
		return false;
	if (!s->proven && f->acked && ssn_lt(data, f->acked_to) && s->sent.count)
		return true;
	/*
	 * So it is where the peer closes and has said nothing before, or on the only subflow says nothing any more: MPTCP would have
	 * sent a DATA_FIN, and its FIN would have a DATA_ACK. What it has gone back to is TCP, and its application has closed.
	 */
	if (f->fin && ((!s->proven && !s->heard_dss) || conn_may_fall_back(s)))
		return true;
	return !s->heard_dss && !s->mapped && f->payload && ssn_leq(f->payload_seq, s->sf.rcv_nxt);
}

/* False: s is gone. */
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
	if (dss)
		s->heard_dss = true;
	if (dss && dss->dss.has_ack) {
		struct dsn una = c->snd_una;

		s->data_ack_us = now_us;
		conn_data_acked(c, s, seg, dss->dss.data_ack, dss->dss.ack_is_64, now_us);
		if (dsn_lt(una, c->snd_una))
			pm_join_useful(s);
		/* RFC 8684 3.7: a DATA_ACK of what we have sent; then the peer has heard our mappings, and we its DATA_ACK. */
		s->proven |= dsn_lt(c->snd_first, c->snd_una);
	}
	if (c->state == M_CLOSED)
		return false;
	switch (conn_mapping_declared(s, seg, map, now_us)) {
	case MAP_OK:
		break;
	case MAP_CORRUPT:
		if (conn_corrupt(s, map->dsn, now_us))
			return false;
		map->len = 0;
		break;
	case MAP_UNUSABLE:
		map->len = 0;
		break;
	case MAP_INFINITE:
		if (conn_fall_back(s, false, now_us))
			return true;
		reset_bad(s, REASON_MIDDLEBOX, now_us);
		return false;
	case MAP_BAD:
		reset_bad(s, REASON_MPTCP_ERROR, now_us);
		return false;
	}
	if (seg->tcp.has & OPT_USER_TIMEOUT)
		conn_mode_user_timeout_received(c, seg->tcp.user_timeout);
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
		case MP_EXPERIMENTAL:
			pm_option(s, &seg->mptcp[i], now_us);
			break;
		case FAULT_ANNOUNCE:
			conn_fault_heard(s, &seg->mptcp[i], now_us);
			break;
		case MP_FAIL:
			if (conn_fail_received(s, now_us))
				return false;
			break;
		default:
			break;
		}
	return true;
}

/* Its SYN has come on that path, and is not answered yet: a copy that came by another way is no reason to leave it. */
static bool waits_on_a_good_path(const struct sub *s)
{
	const struct path *p = engine_path(s->conn->engine, s->path);

	return s->conn->dialling && p && p->state == PATH_UP;
}

/* False: the payload ended the subflow. */
static bool took_payload(struct sub *s, const struct subflow_facts *f, const struct mapping *map, usec_t now_us, bool *fin)
{
	switch (conn_payload(s, f, map, now_us, fin)) {
	case PAY_OK:
		return true;
	case PAY_GONE:
		return false;
	case PAY_RESET:
		break;
	}
	conn_facts_corrupt(s, "its data has no mapping, or a wrong checksum", REASON_MIDDLEBOX);
	conn_sub_rst(s, s->path, REASON_MIDDLEBOX, false);
	conn_sub_lost(s, now_us);
	return false;
}

/*
 * The next of a run: it was all said by the segment before, mapping included, and only the bytes are new (D12). Its run is
 * answered once, when the host asks for output. False: it needs all of conn_segment().
 */
static bool next_of_run(struct sub *s, path_id path, const struct segment *seg, usec_t now_us)
{
	static const struct mapping none = { 0 };
	struct conn *c = s->conn;
	struct subflow_facts f;

	if (s->stage != SUB_LIVE || s->path != path || c->state != M_ESTAB || c->fallen || c->join_us != USEC_NEVER ||
	    s->backup.cause != CAUSE_NONE || s->remove_us != USEC_NEVER || !s->mappings.count ||
	    !subflow_predicted(&s->sf, seg, conn_rcv_window(c), now_us))
		return false;
	c->last_rcv = s;
	f = (struct subflow_facts){
		.payload = true, .payload_seq = seg->seq, .payload_at = seg->payload, .payload_len = seg->payload_len,
	};
	(void)took_payload(s, &f, &none, now_us, &f.fin);
	return true;
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
	if (c->state == M_CLOSED || next_of_run(s, path, seg, now_us))
		return;
	if (conn_fastclose_received(s, seg, now_us))
		return;
	/* The SYN/ACK goes where the last SYN came from, and the subflow stays where its handshake ended (D9). */
	if (s->stage == SUB_OPENING && (!s->initiator || synack_seg) && !(seg->flags & TCP_RST) && !waits_on_a_good_path(s))
		conn_sub_path(s, path);
	else if (path != s->path)
		s->other_path_segs++;

	subflow_input(&s->sf, seg, conn_rcv_window(c), now_us, &f);
	if (f.reset) {
		conn_reset_received(s, seg, now_us);
		return;
	}
	if (f.rejected) {
		/* Old data may still bring a new ACK. */
		if (!conn_subflow_facts(s, &f, now_us) || c->state != M_CLOSED)
			conn_free_acked(c);
		return;
	}
	/* pm_move(): a subflow is where its initiator is. */
	if (!s->initiator && s->stage != SUB_OPENING && c->engine->config.form == SEGMENT_SEALED)
		conn_sub_path(s, path);
	c->last_rcv = s;
	s->remove_us = USEC_NEVER;

	if (s->stage == SUB_OPENING && s->initiator && f.established) {
		if (!s->join) {
			if (!conn_synack(s, seg, now_us))
				return;
		} else if (!pm_join_synack(s, seg)) {
			return;
		}
	} else if (s->stage == SUB_OPENING && !s->initiator && s->sf.state != SF_SYN_RECEIVED) {
		if (s->join ? !pm_join_third_ack(s, seg) : !conn_third_ack(s, seg, now_us))
			return;
		if (s->stage == SUB_LIVE && s->join)
			conn_reinject_stale(c, now_us);
	} else if (s->stage == SUB_PRE_ESTABLISHED && !(seg->flags & TCP_SYN)) {
		/* RFC 8684 3.2: the fourth packet */
		s->stage = SUB_LIVE;
		conn_mode_live(s, now_us);
		conn_keepalive_begin(s, now_us);
		s->third_ack_us = USEC_NEVER;
		c->ever_joined = true;
		/* In plain form that is yet to be seen: a middlebox may let the handshake pass and nothing of what follows. */
		if (!s->remote.family) {
			c->dead_us = USEC_NEVER;
			pm_join_done(s);
		}
		count(c->engine->counters, CNT_MPJoinEstab);
		conn_reinject_stale(c, now_us);
		/* What was waiting for a way out, a DATA_FIN included, may go at once. */
		if (c->fin_sent && !c->fin_acked)
			c->fin_resend_us = now_us;
	}
	if (seg->flags & TCP_SYN) {
		conn_subflow_facts(s, &f, now_us);
		return;
	}
	if (c->remote_key_known && s->stage != SUB_OPENING) {
		bool plain = c->fallen;

		if (!c->fallen && stripped(s, seg, &f)) {
			if (!conn_fall_back(s, true, now_us)) {
				reset_bad(s, REASON_MIDDLEBOX, now_us);
				return;
			}
			count(c->engine->counters, CNT_MPCapableDataFallback);
		}
		if (!c->fallen && !options(s, seg, &map, now_us))
			return;
		if (plain && segment_mptcp(seg, MP_FAIL))
			(void)conn_fail_received(s, now_us); /* what has fallen back stays */
		if (seg->payload_len && !c->fallen)
			conn_mapping_remember(s, seg, &map);
		if (f.payload && !took_payload(s, &f, &map, now_us, &f.fin))
			return;
	}
	if (!conn_subflow_facts(s, &f, now_us) || c->state != M_CLOSED) {
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
