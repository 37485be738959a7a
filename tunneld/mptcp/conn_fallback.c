/* SPDX-License-Identifier: MIT */
/*
 * Back to regular TCP, RFC 8684 3.7: one subflow, no options, its sequence space is the data's. Only in plain form: a sealed
 * datagram passes whole or not at all, so nothing between two tunnelds can take options away, and what looks like it is an error.
 */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"

#include <assert.h>

enum { INFINITE_ACKS = 8, FAIL_TRIES = 3, FAIL_WAIT_MIN_US = 200 * 1000 };

/* --- may it? --- */

/* RFC 8684 3.7: all data in flight must be contiguous, then its place on the subflow says all there is to know of it. */
static bool contiguous(const struct sub *s)
{
	const struct conn *c = s->conn;
	struct dsn at = c->snd_nxt;

	for (uint32_t i = s->sent.count; i > 0; i--) {
		const struct sent_range *r = sent_map_at(&s->sent, i - 1);

		if (!dsn_eq(dsn_add(r->dsn, r->len), at))
			return false;
		at = r->dsn;
	}
	return !c->reinject_count;
}

bool conn_may_fall_back(const struct sub *s)
{
	const struct conn *c = s->conn;

	return c->engine->config.form == SEGMENT_PLAIN && !c->ever_joined && c->sub_count == 1 && !s->join && contiguous(s);
}

/* --- falling --- */

/* What the first subflow knows without MP_CAPABLE: no key, so the sequence numbers of the data begin where we like. */
static void fall_unopened(struct conn *c)
{
	c->remote_key_known = true;
	c->remote_key = 0;
	reorder_init(&c->reorder, dsn_of(1));
	c->rcv_edge = c->rcv_told = c->round_start = c->reorder.next;
	conn_update_rcv_edge(c);
}

bool conn_fall_back(struct sub *s, bool say, usec_t now_us)
{
	struct conn *c = s->conn;

	assert(!c->fallen);
	if (!conn_may_fall_back(s)) {
		count(c->engine->counters, CNT_FallbackFailed);
		return false;
	}
	if (!c->remote_key_known)
		fall_unopened(c);
	c->fallen = true;
	c->failing = c->checksum = false;
	c->fail_us = USEC_NEVER;
	/* Nobody finds it by its token any more: it must not be joined. */
	engine_token_remove(c);
	/* RFC 8684 3.7: as with any TCP, what has come counts, whatever its checksum was. */
	reorder_hold(&c->reorder, false, c->reorder.next);
	c->fall_dsn = c->reorder.next;
	c->fall_ssn = conn_relative_in(s, s->sf.rcv_nxt);
	mappings_close(&s->mappings);
	pm_signals_close(c);
	c->join_us = c->stuck_us = c->fin_resend_us = USEC_NEVER;
	/* RFC 8684 3.7: the peer is told by an infinite mapping, on all until it has acknowledged the first new segment. */
	c->infinite_owed = say;
	c->infinite_end = s->sf.snd_nxt;
	c->infinite_dsn = c->snd_una;
	c->infinite_ssn = conn_relative_out(s, s->sf.snd_nxt) - (uint32_t)dsn_diff(c->snd_nxt, c->snd_una);
	if (c->peer_fin && !c->peer_fin_in_order)
		c->peer_fin = false; /* it comes again, as the subflow's FIN */
	if (c->fin_sent && !c->fin_acked)
		subflow_close(&s->sf, now_us);
	conn_fallen_acked(s, now_us);
	s->want_out = true;
	engine_ready(c);
	return true;
}

/* --- regular TCP --- */

struct mapping conn_fallen_mapping(const struct sub *s, uint64_t ssn, uint32_t len)
{
	const struct conn *c = s->conn;

	return (struct mapping){ .ssn = ssn, .dsn = dsn_add(c->fall_dsn, ssn - c->fall_ssn), .len = len };
}

/* RFC 8684 3.7: only subflow ACKs clear the send buffer. */
void conn_fallen_acked(struct sub *s, usec_t now_us)
{
	struct conn *c = s->conn;
	struct dsn una = sent_map_lowest(&s->sent, c->snd_nxt);

	if (c->infinite_owed && ssn_lt(c->infinite_end, s->sf.snd_una))
		c->infinite_owed = false;
	c->snd_wnd = s->sf.snd_wnd;
	if (dsn_lt(c->snd_una, una) || dsn_lt(c->snd_edge, dsn_add(una, c->snd_wnd)))
		conn_send_progress(c, s, una, now_us);
}

void conn_fallen_facts(struct sub *s, const struct subflow_facts *f, usec_t now_us)
{
	struct conn *c = s->conn;

	conn_fallen_acked(s, now_us);
	if (f->fin && !c->peer_fin) {
		c->peer_fin = true;
		c->peer_fin_dsn = c->reorder.ready;
		conn_check_data_fin(c, now_us);
	}
	if (f->fin_acked && c->fin_sent && !c->fin_acked) {
		c->fin_acked = true;
		conn_input_close(c, IN_DATA_FIN_ACKED, now_us);
	}
}

bool conn_option_infinite(const struct sub *s, struct segment *seg, bool data)
{
	struct conn *c = s->conn;

	if (!c->infinite_owed)
		return false;
	/* Who has nothing to send says it on some ACKs; SACK blocks are worth more. */
	if (!data && (seg->tcp.has & OPT_SACK || c->infinite_acks >= INFINITE_ACKS))
		return false;
	c->infinite_acks += !data;
	seg->mptcp[seg->mptcp_count++] = (struct mptcp_option){
		.subtype = DSS,
		.dss = { .has_map = true, .dsn_is_64 = true, .dsn = c->infinite_dsn.v, .ssn = c->infinite_ssn, .len = 0 },
	};
	count(c->engine->counters, CNT_InfiniteMapTx);
	return true;
}

/* --- checksums that fail --- */

static void reset_failed(struct sub *s, struct dsn from, usec_t now_us)
{
	struct conn *c = s->conn;
	struct mptcp_option fail = { .subtype = MP_FAIL, .fail = { from } };

	conn_facts_corrupt(s, "its data has a wrong checksum", REASON_MIDDLEBOX);
	count(c->engine->counters, CNT_MPFailTx);
	if (c->failing) {
		/* RFC 8684 3.7: all data from there on is discarded. */
		c->failing = false;
		reorder_discard(&c->reorder, from, dsn_max(c->rcv_edge, dsn_add(c->reorder.next, 1)));
		reorder_hold(&c->reorder, false, from);
	}
	/* RFC 8684 3.7: with other subflows it goes at once; the data comes again on those. */
	conn_sub_rst_with(s, s->path, REASON_MIDDLEBOX, c->engine->config.form == SEGMENT_SEALED, &fail);
	conn_sub_lost(s, now_us);
}

bool conn_corrupt(struct sub *s, struct dsn from, usec_t now_us)
{
	struct conn *c = s->conn;

	count(c->engine->counters, CNT_DataCsumErr);
	if (!conn_may_fall_back(s)) {
		reset_failed(s, from, now_us);
		return true;
	}
	/* RFC 8684 3.7: the only subflow: MP_FAIL goes back on an ACK, and the peer answers with MP_FAIL and an infinite mapping. */
	if (!c->failing) {
		c->failing = true;
		c->fail_dsn = from;
		c->fail_tries = 0;
		c->fail_us = now_us;
	}
	return false;
}

bool conn_fail_received(struct sub *s, usec_t now_us)
{
	struct conn *c = s->conn;

	count(c->engine->counters, CNT_MPFailRx);
	if (c->fallen) {
		c->fail_owed = true; /* our answer was lost */
	} else if (c->failing) {
		/* Its answer to ours: what comes from now on is plain. */
		if (!conn_fall_back(s, true, now_us)) {
			reset_failed(s, c->fail_dsn, now_us);
			return true;
		}
		count(c->engine->counters, CNT_DSSCorruptionFallback);
		return false;
	} else if (conn_fall_back(s, true, now_us)) {
		/* RFC 8684 3.7: MP_FAIL in the other direction, too. */
		count(c->engine->counters, CNT_DSSCorruptionFallback);
		c->fail_dsn = c->reorder.ready;
		c->fail_owed = true;
	} else {
		/* RFC 8684 3.7: not contiguous: the subflow cannot be kept. What we say is of the peer's data, as what he said is of ours. */
		reset_failed(s, c->reorder.ready, now_us);
		return true;
	}
	subflow_ack_now(&s->sf);
	s->want_out = true;
	return false;
}

bool conn_fail_due(struct conn *c, usec_t now_us)
{
	struct sub *s = c->sub_count ? c->subs[0] : NULL;

	if (c->fail_us > now_us)
		return false;
	c->fail_us = USEC_NEVER;
	if (!c->failing || !s)
		return false;
	if (c->fail_tries++ >= FAIL_TRIES) {
		reset_failed(s, c->fail_dsn, now_us);
		return true;
	}
	c->fail_owed = true;
	c->fail_us = usec_add(now_us, usec_max(s->sf.rtt.rto_us, FAIL_WAIT_MIN_US) << c->fail_tries);
	subflow_ack_now(&s->sf);
	s->want_out = true;
	return false;
}

bool conn_option_fail(struct conn *c, struct segment *seg)
{
	if (!c->fail_owed)
		return false;
	c->fail_owed = false;
	seg->mptcp[seg->mptcp_count++] = (struct mptcp_option){ .subtype = MP_FAIL, .fail = { c->fail_dsn } };
	count(c->engine->counters, CNT_MPFailTx);
	return true;
}
