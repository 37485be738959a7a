/* SPDX-License-Identifier: MIT */
/* Which MPTCP options a segment of ours carries. RFC 8684 3, appendix A. */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"
#include "tunneld/mptcp/token.h"
#include "tunneld/wire/checksum.h"
#include "tunneld/wire/option_rules.h"

#include <string.h>

static void put_option(struct segment *seg, const struct mptcp_option *opt)
{
	if (seg->mptcp_count < SEGMENT_MPTCP_MAX)
		seg->mptcp[seg->mptcp_count++] = *opt;
}

static struct dsn data_ack_of(const struct conn *c)
{
	return dsn_add(c->reorder.ready, c->peer_fin_in_order ? 1 : 0);
}

static struct mptcp_option dss_of(const struct conn *c)
{
	struct mptcp_option opt = { .subtype = DSS };

	if (c->remote_key_known) {
		opt.dss.has_ack = true;
		/* RFC 8684 3.3.1: data that came with 64 bits is acknowledged with 64. */
		opt.dss.ack_is_64 = c->peer_dsn64;
		opt.dss.data_ack = c->peer_dsn64 ? data_ack_of(c).v : (uint32_t)data_ack_of(c).v;
	}
	return opt;
}

enum { SYNS_WITH_OPTION = 3 }; /* as Linux: syn_retrans_before_tcp_fallback */

/* RFC 8684 3.9.3: after so many without an answer it may be the option that is in the way. */
bool conn_syn_is_plain(const struct sub *s)
{
	return s->remote.family && s->initiator && (s->conn->blackhole || s->syn_sent > SYNS_WITH_OPTION);
}

void conn_options_handshake(const struct sub *s, struct segment *seg)
{
	const struct conn *c = s->conn;
	bool ack = seg->flags & TCP_ACK;
	struct mptcp_option opt = { 0 };
	uint8_t hmac[32];

	if (!s->join) {
		/* RFC 8684 3.7: the peer knows nothing of MPTCP, or what is between us lets it through no more. */
		if (c->fallen || conn_syn_is_plain(s))
			return;
		opt.subtype = MP_CAPABLE;
		opt.capable.version = 1;
		opt.capable.flags = (uint8_t)(MPC_HMAC_SHA256 | (c->checksum ? MPC_CHECKSUM : 0) |
					      (c->no_joins_here ? MPC_NO_JOIN_HERE : 0));
		opt.capable.keys = ack ? 1 : 0;
		opt.capable.sender_key = c->local_key;
	} else {
		opt.subtype = MP_JOIN;
		opt.join.form = ack ? JOIN_SYNACK : JOIN_SYN;
		opt.join.backup = s->backup_local;
		opt.join.addr_id = s->local_addr_id;
		opt.join.token = c->remote_token;
		opt.join.nonce = s->local_nonce;
		if (ack) {
			token_join_hmac(c->local_key, c->remote_key, s->local_nonce, s->remote_nonce, hmac);
			memcpy(opt.join.hmac, hmac, 8);
		}
	}
	put_option(seg, &opt);
}

void conn_option_third_ack(const struct sub *s, struct segment *seg)
{
	const struct conn *c = s->conn;
	struct mptcp_option opt = { .subtype = MP_JOIN, .join = { .form = JOIN_ACK } };
	uint8_t hmac[32];

	token_join_hmac(c->local_key, c->remote_key, s->local_nonce, s->remote_nonce, hmac);
	memcpy(opt.join.hmac, hmac, sizeof opt.join.hmac);
	put_option(seg, &opt);
}

/* RFC 8684 3.1: both keys on the third ACK, and again until the peer shows by a DSS that it has them. */
bool conn_keys_owed(const struct sub *s)
{
	return s->initiator && !s->join && !s->conn->fully && !s->conn->fallen;
}

static struct mptcp_option both_keys(const struct conn *c)
{
	return (struct mptcp_option){
		.subtype = MP_CAPABLE,
		.capable = {
			.version = 1, .keys = 2, .sender_key = c->local_key, .receiver_key = c->remote_key,
			.flags = (uint8_t)(MPC_HMAC_SHA256 | (c->checksum ? MPC_CHECKSUM : 0)),
		},
	};
}

/* Most that conn_options() adds to a segment with payload. */
uint32_t conn_options_room(const struct sub *s)
{
	const struct conn *c = s->conn;
	uint32_t room = 4 + 4 + 4 + 4 + 2; /* DATA_ACK 4, DSN 4 */

	if (c->fallen)
		return c->infinite_owed ? 20 : 0;
	if (c->peer_dsn64)
		room += 4;
	if (c->engine->config.form == SEGMENT_PLAIN)
		room += 4;
	if (c->checksum)
		room += 2;
	if (conn_keys_owed(s) && room < 24)
		room = 24;
	return ((room + 3) & ~3u) + conn_announce_room(s);
}

uint32_t conn_relative_out(const struct sub *s, struct ssn seq)
{
	return (uint32_t)ssn_diff(seq, s->sf.iss) - s->syn_data_out;
}

void conn_option_mapping(const struct sub *s, struct segment *seg, const struct subflow_data *d, bool fin)
{
	struct conn *c = s->conn;
	struct mptcp_option opt;
	uint32_t ssn = conn_relative_out(s, d->seq);
	uint16_t len = (uint16_t)(d->len + fin); /* at most MAP_BYTES_MAX of conn_map.c */

	if (conn_keys_owed(s) && ssn == 1) {
		opt = both_keys(c);
		opt.capable.has_length = true;
		opt.capable.data_len = len = (uint16_t)d->len;
		opt.capable.has_checksum = c->checksum;
		if (c->checksum)
			opt.capable.checksum = dss_checksum(d->tag, ssn, len, send_queue_sum(&c->queue, dsn_of(d->tag), d->len));
		put_option(seg, &opt);
		return;
	}
	opt = dss_of(c);
	opt.dss.has_map = true;
	/*
	 * RFC 8684 3.3.1: 32 bits unless they could wrap within a segment's lifetime. In sealed form the replay window ends
	 * that lifetime long before.
	 */
	opt.dss.dsn_is_64 = c->engine->config.form == SEGMENT_PLAIN;
	opt.dss.dsn = opt.dss.dsn_is_64 ? d->tag : (uint32_t)d->tag;
	opt.dss.ssn = ssn;
	opt.dss.len = len;
	opt.dss.data_fin = fin;
	opt.dss.has_checksum = c->checksum;
	if (c->checksum)
		opt.dss.checksum = dss_checksum(d->tag, ssn, len, send_queue_sum(&c->queue, dsn_of(d->tag), d->len));
	put_option(seg, &opt);
}

bool conn_ack_news(const struct conn *c)
{
	return c->remote_key_known && (dsn_lt(c->ack_told, data_ack_of(c)) || dsn_lt(c->rcv_told, c->rcv_edge));
}

uint32_t conn_ack_room(const struct conn *c) { return c->peer_dsn64 ? 12 : 8; }

void conn_option_data_ack(const struct sub *s, struct segment *seg)
{
	struct mptcp_option opt = dss_of(s->conn);

	put_option(seg, &opt);
}

bool conn_fin_ready(const struct conn *c)
{
	return c->shutdown && dsn_eq(c->snd_nxt, c->queue.end) &&
	       (c->state == M_FINWAIT_1 || c->state == M_CLOSING || c->state == M_LAST_ACK);
}

void conn_options_ack(struct sub *s, struct segment *seg, usec_t now_us)
{
	struct conn *c = s->conn;
	const struct mptcp_option *signal;
	struct mptcp_option opt;
	bool fin = c->fin_sent && !c->fin_acked && s->stage == SUB_LIVE;
	size_t room;

	if (c->state == M_FASTCLOSE_WAIT) {
		put_option(seg, &(struct mptcp_option){ .subtype = MP_FASTCLOSE, .fastclose = { .receiver_key = c->remote_key } });
		count(c->engine->counters, CNT_MPFastcloseTx);
		return;
	}
	if (conn_keys_owed(s) && s->stage == SUB_LIVE && !c->keys_before_fin) {
		opt = both_keys(c);
		put_option(seg, &opt);
		/*
		 * A DATA_FIN follows at once: a peer that has no data for us has no DSS to send, and owes none for keys that it has
		 * had before (Linux sends none). Without them a third ACK that was lost would make it fall back.
		 */
		c->keys_before_fin = fin;
		if (fin) {
			subflow_ack_now(&s->sf);
			s->want_out = true;
		}
		return;
	}
	c->keys_before_fin = false;
	opt = dss_of(c);
	if (fin) {
		/* RFC 8684 3.3.3: a DATA_FIN without payload: SSN 0, length 1. */
		opt.dss.has_map = opt.dss.data_fin = true;
		opt.dss.dsn_is_64 = c->engine->config.form == SEGMENT_PLAIN;
		opt.dss.dsn = opt.dss.dsn_is_64 ? c->queue.end.v : (uint32_t)c->queue.end.v;
		opt.dss.len = 1;
		opt.dss.has_checksum = c->checksum;
		if (c->checksum)
			opt.dss.checksum = dss_checksum(c->queue.end.v, 0, 1, 0);
	}
	conn_mode_user_timeout_put(s, seg, now_us);
	room = TCP_OPTIONS_MAX - (seg->tcp.has & OPT_TIMESTAMP ? 12u : 0u) - (seg->tcp.has & OPT_USER_TIMEOUT ? 4u : 0u) -
	       ((mptcp_option_size(&opt) + 3) & ~(size_t)3);
	/* RFC 8684 3.4.1: a signal rides beside the DSS where both fit, ADD_ADDR on an ACK of its own. */
	signal = pm_signal_take(s, room, s->sf.last_snd_us);
	if (!signal || !option_rules_alone(signal->subtype))
		put_option(seg, &opt);
	if (signal)
		put_option(seg, signal);
	conn_option_fail(c, seg);
}
