/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"
#include "tunneld/mptcp/token.h"

#include <assert.h>
#include <sodium/crypto_shorthash.h>
#include <sodium/utils.h>
#include <stdlib.h>

enum {
	RTO_MIN_US = 200 * 1000, RTO_MAX_US = 60 * 1000 * 1000,
	SYN_RTO_UNKNOWN_US = 250 * 1000,  /* D9: a SYN unanswered this long is raced on the next path, if no RTT is known */
	SYN_RTO_MIN_US = 20 * 1000,
	DELAYED_ACK_US = 25 * 1000,
	SYN_RETRIES = 255,                /* the connection's own deadline ends an open */
	EDGE_PRESSED = 64 * 1024,         /* right edge beyond next while the pool is nearly full */
	SEALED_TIME_WAIT_US = 1000 * 1000,
	PLAIN_TIME_WAIT_US = 60 * 1000 * 1000,
};

struct conn *conn_new(struct engine *e, peer_id peer, bool client, uint64_t key, usec_t now_us)
{
	struct conn *c;
	struct dsn idsn;

	if (e->free_slot == UINT32_MAX) {
		count(e->counters, CNT_ConnectionsFull);
		return NULL;
	}
	c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->engine = e;
	c->peer = peer;
	c->client = client;
	c->state = M_OPENING;
	c->checksum = e->config.checksum;
	/* RFC 8684 3.1: the key is unguessable and its token is not that of a live connection; 0 is never a key. */
	do {
		c->local_key = key ? key : engine_chance(e);
		token_of_key(c->local_key, &c->local_token, &idsn);
	} while (!c->local_key || (!key && engine_token_find(e, c->local_token)));
	if (key && engine_token_find(e, c->local_token)) {
		free(c);
		return NULL;
	}
	/* RFC 8684 3.1: MP_CAPABLE takes the IDSN; the first byte of data has IDSN + 1. */
	send_queue_init(&c->queue, dsn_add(idsn, 1));
	c->snd_first = c->snd_una = c->snd_nxt = c->snd_edge = c->opportunistic = c->queue.start;
	c->opportunistic.v--;
	c->snd_limit = CONN_WINDOW_FIRST;
	c->rcv_limit = conn_window_first(e);
	c->open_deadline_us = c->fin_resend_us = c->zero_window_us = c->stuck_us = USEC_NEVER;
	c->join_us = c->dead_us = c->close_us = c->fail_us = c->abort_us = USEC_NEVER;
	c->round_us = c->una_us = now_us;
	c->adv_uto_ms = e->config.user_timeout_ms;
	c->chosen_sub = UINT32_MAX;
	c->burst_sub = -1;
	for (unsigned i = 0; i < CONN_RETRY_PATHS; i++)
		c->retry[i].path = PATH_NONE;
	if (!engine_conn_add(e, c)) {
		free(c);
		return NULL;
	}
	engine_token_add(c);
	return c;
}

void conn_free(struct conn *c)
{
	struct page_pool *pool = &c->engine->pool;

	conn_announce_gone(c);
	while (c->sub_count)
		conn_sub_free(c->subs[c->sub_count - 1]);
	conn_facts_down(c);
	if (c->writes)
		bank_writer(pool->bank, false);
	conn_room_leave(c);
	send_queue_close(&c->queue, pool);
	reorder_close(&c->reorder, pool);
	free(c->reinjects);
	pm_signals_close(c);
	engine_conn_remove(c);
	sodium_memzero(&c->local_key, sizeof c->local_key);
	sodium_memzero(&c->remote_key, sizeof c->remote_key);
	free(c);
}

void conn_remote_key(struct conn *c, uint64_t key)
{
	struct dsn idsn;

	assert(!c->remote_key_known);
	c->remote_key = key;
	c->remote_key_known = true;
	token_of_key(key, &c->remote_token, &idsn);
	reorder_init(&c->reorder, dsn_add(idsn, 1));
	c->rcv_edge = c->rcv_told = c->ack_told = c->round_start = c->reorder.next;
	conn_update_rcv_edge(c);
}

/* --- windows --- */

uint32_t conn_rcv_window(const struct conn *c)
{
	int64_t room;

	/* Before the peer's key is known there is no sequence space, but a SYN/ACK announces what it will be. */
	if (!c->remote_key_known)
		return (uint32_t)c->rcv_limit;
	room = dsn_diff(c->rcv_edge, c->reorder.ready);
	return room > 0 ? (uint32_t)room : 0;
}

void conn_update_rcv_edge(struct conn *c)
{
	const struct page_pool *pool = &c->engine->pool;
	struct dsn edge;

	if (!c->remote_key_known)
		return;
	edge = dsn_add(c->reorder.read, c->rcv_limit);
	if (page_pool_free(pool) < pool->bank->max_bytes / 4)
		edge = dsn_min(edge, dsn_add(c->reorder.ready, EDGE_PRESSED));
	/* RFC 8684 3.3.1: the right edge never moves left. */
	c->rcv_edge = dsn_max(c->rcv_edge, edge);
}

size_t conn_room(const struct conn *c)
{
	uint64_t unacked = (uint64_t)dsn_diff(c->queue.end, c->snd_una), limit = conn_send_limit(c);
	const struct page_pool *pool = &c->engine->pool;

	if (page_pool_free(pool) < pool->bank->max_bytes / 4 + 2 * PAGE_SIZE_BYTES && unacked)
		return 0;
	return unacked < limit ? (size_t)(limit - unacked) : 0;
}

/* --- subflows --- */

uint16_t conn_path_mss(struct engine *e, path_id path)
{
	const struct path *p = engine_path(e, path);
	uint32_t header = e->config.form == SEGMENT_SEALED ? 16 : 12;

	return (uint16_t)(p && p->mtu_payload > header + 100 ? p->mtu_payload - header : 1100);
}

void conn_subflow_config(const struct sub *s, struct subflow_config *out, usec_t now_us)
{
	struct engine *e = s->conn->engine;
	const struct path *p = engine_path(e, s->path);
	usec_t rtt = p ? p->rtt_us : 0, limit_us = e->config.uperf_timeout_ms * USEC_PER_MS;

	*out = (struct subflow_config){
		.cc = e->cc, .cc_group = &s->conn->cc_group, .authentic = e->config.form == SEGMENT_SEALED,
		.mss = conn_path_mss(e, s->path),
		.silent_mss = s->remote.family == 6 ? SUBFLOW_SILENT_MSS6 : SUBFLOW_SILENT_MSS4,
		.rcv_wscale = CONN_RCV_WSCALE,
		.timestamps = e->config.form == SEGMENT_PLAIN, .probe_mtu = e->config.form == SEGMENT_PLAIN,
		/* The limit is to be reached by a timeout, not from birth. */
		.rto_min_us = limit_us && limit_us / 2 < RTO_MIN_US ? limit_us / 2 : RTO_MIN_US,
		.rto_max_us = RTO_MAX_US,
		/* D9: a little more than a round trip, then the next path has its chance; together less than two and a half. */
		.rto_initial_us = rtt ? usec_max(rtt + rtt / 4, SYN_RTO_MIN_US) : SYN_RTO_UNKNOWN_US,
		.delayed_ack_us = DELAYED_ACK_US,
		.syn_retries = SYN_RETRIES,
		.rtt_hint_us = rtt,
		.time_wait_us = e->config.form == SEGMENT_SEALED ? SEALED_TIME_WAIT_US : PLAIN_TIME_WAIT_US,
		.counters = e->counters,
	};
	if (out->timestamps)
		out->ts_offset = pm_ts_offset(e, s->path, s->local_port, &s->remote);
	out->rate_hint = path_rate_hint(e, s->path, now_us, &out->rate_rtt_us);
}

/*
 * RFC 9293 3.4.1, RFC 6528 3: a clock of 4 us, which begins elsewhere for each pair of ends: a number tells nothing of another
 * connection's, and of the same two ends the later one has the higher. A quarter of a second of it is chance, so that it says no
 * time either; in less nobody is back with the same ports.
 */
struct ssn conn_iss(struct sub *s, usec_t now_us)
{
	struct engine *e = s->conn->engine;
	const struct path *p = engine_path(e, s->path);
	uint8_t in[4 + 16 + 16 + 2 + 2 + 1] = { 0 }, out[crypto_shorthash_BYTES];
	struct wr w = wr_of(in, sizeof in);

	wr_u32(&w, s->conn->peer);
	if (s->remote.family && p)
		wr_bytes(&w, p->local.ip, 16);
	wr_bytes(&w, s->remote.ip, 16);
	wr_u16(&w, s->local_port);
	wr_u16(&w, s->remote_port);
	wr_u8(&w, 1);
	crypto_shorthash(out, in, wr_len(&w), e->hash_secret);
	return ssn_of(be_get32(out) + (uint32_t)(now_us / 4) + (uint32_t)(engine_chance(e) & UINT16_MAX));
}

struct sub *conn_sub_new(struct conn *c, path_id path, uint16_t local_port, const struct addr *remote, uint16_t remote_port)
{
	uint32_t space = engine_space(c->engine, path);
	/* Of what is tried side by side for an open, one will remain. */
	uint32_t most = c->state == M_OPENING ? CONN_SUBFLOWS_MAX : c->engine->config.subflows_max;
	struct sub *s;

	if (c->sub_count >= most ||
	    engine_sub_find(c->engine, space, local_port, remote, remote_port))
		return NULL;
	s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->conn = c;
	s->id = c->next_sub_id++;
	s->space = space;
	s->local_port = local_port;
	if (remote)
		s->remote = *remote;
	s->remote_port = remote_port;
	s->path = PATH_NONE;
	s->copied = c->snd_una;
	s->third_ack_us = s->dead_since_us = s->tell_us = s->late_us = s->remove_us = s->keep_us = USEC_NEVER;
	backup_init(&s->backup);
	conn_sub_path(s, path);
	c->subs[c->sub_count++] = s;
	engine_sub_add(s);
	return s;
}

static void path_unlink(struct sub *s)
{
	struct path *p = engine_path(s->conn->engine, s->path);

	if (!p)
		return;
	if (s->path_prev)
		s->path_prev->path_next = s->path_next;
	else
		p->subs = s->path_next;
	if (s->path_next)
		s->path_next->path_prev = s->path_prev;
	s->path_next = s->path_prev = NULL;
	path_share_leave(&p->share, s);
	s->path = PATH_NONE;
}

void conn_sub_path(struct sub *s, path_id path)
{
	struct path *p = engine_path(s->conn->engine, path);

	if (s->path == path)
		return;
	path_unlink(s);
	if (!p)
		return;
	p->news_wanted = true;
	s->path = path;
	s->path_next = p->subs;
	if (p->subs)
		p->subs->path_prev = s;
	p->subs = s;
	/* Another path may carry less. */
	subflow_path_mss(&s->sf, conn_path_mss(s->conn->engine, path), true);
	s->backup_local = conn_path_backup(s->conn, path);
	if (s->join)
		s->local_addr_id = p->addr_id;
}

bool conn_path_backup(const struct conn *c, path_id path)
{
	return c->engine->paths[path].backup || (c->wish && c->wish != path + 1u);
}

void conn_sub_free(struct sub *s)
{
	struct conn *c = s->conn;
	uint8_t i;

	conn_facts_sub_down(s);
	path_learn(s, s->sf.last_rcv_us);
	for (i = 0; c->subs[i] != s; i++)
		;
	c->subs[i] = c->subs[--c->sub_count];
	c->subs[c->sub_count] = NULL;
	c->burst_sub = -1;
	c->turn = 0;
	if (c->last_rcv == s)
		c->last_rcv = NULL;
	pm_signal_sub_gone(s);
	conn_unverified_gone(s);
	conn_half_open_over(s);
	engine_sub_remove(s);
	pm_port_release(s);
	path_unlink(s);
	/* TIME-WAIT, where there is one, does not remain after a RST. */
	if (!s->join && !s->initiator) {
		struct engine *e = c->engine;

		e->old_syns[e->old_syn_next++ % OLD_SYNS] = (struct old_syn){ c->peer, s->remote_port, s->sf.irs };
	}
	subflow_close_now(&s->sf);
	sent_map_close(&s->sent);
	mappings_close(&s->mappings);
	free(s);
}

void conn_sub_rst(struct sub *s, path_id path, enum mptcp_reason reason, bool transient)
{
	conn_sub_rst_with(s, path, reason, transient, NULL);
}

void conn_sub_rst_with(struct sub *s, path_id path, enum mptcp_reason reason, bool transient, const struct mptcp_option *first)
{
	struct segment rst = { .remote = s->remote.family ? &s->remote : NULL };

	subflow_reset(&s->sf, &rst, s->conn->engine->now_us);
	rst.src_port = s->local_port;
	rst.dst_port = s->remote_port;
	rst.mptcp_count = 0;
	/* RFC 8684 3.7: no options after falling back. */
	if (!s->conn->fallen) {
		if (first)
			rst.mptcp[rst.mptcp_count++] = *first;
		rst.mptcp[rst.mptcp_count++] = (struct mptcp_option){
			.subtype = MP_TCPRST, .tcprst = { .transient = transient, .reason = (uint8_t)reason },
		};
		count(s->conn->engine->counters, CNT_MPRstTx);
	}
	engine_raw(s->conn->engine, path, &rst, NULL, 0);
}

bool conn_sub_usable(const struct sub *s)
{
	return s->stage == SUB_LIVE && (s->sf.state == SF_ESTABLISHED || s->sf.state == SF_CLOSE_WAIT);
}

enum backup_mode conn_sub_mode(const struct sub *s)
{
	return backup_mode_of(s->backup_local, s->backup_remote, conn_sub_avoid(s));
}

bool conn_sub_silent(const struct sub *s)
{
	const struct path *p = engine_path(s->conn->engine, s->path);

	return s->stale || !p || p->state != PATH_UP;
}

bool conn_sub_avoid(const struct sub *s)
{
	return s->backup.cause != CAUSE_NONE || conn_sub_silent(s);
}

bool conn_has_living_sub(const struct conn *c)
{
	for (uint8_t i = 0; i < c->sub_count; i++)
		if (c->subs[i]->stage == SUB_LIVE)
			return true;
	return false;
}

bool conn_has_answering_sub(const struct conn *c)
{
	for (uint8_t i = 0; i < c->sub_count; i++)
		if (c->subs[i]->stage == SUB_LIVE && !c->subs[i]->stale)
			return true;
	return false;
}

void conn_check(const struct conn *c)
{
	assert(dsn_leq(c->queue.start, c->snd_una) && dsn_leq(c->snd_una, dsn_add(c->snd_nxt, c->fin_sent)));
	assert(dsn_leq(c->snd_nxt, c->queue.end));
	if (c->remote_key_known) {
		reorder_check(&c->reorder);
		assert(dsn_leq(c->reorder.next, c->rcv_edge) || c->peer_fin);
	}
	assert(!c->fin_sent || c->shutdown);
	assert(!c->orphan || !c->tell);
	for (uint8_t i = 0; i < c->sub_count; i++) {
		const struct sub *s = c->subs[i];
		struct ssn at = s->sent.count ? sent_map_at(&s->sent, 0)->seq : s->sf.snd_nxt;

		assert(s->conn == c);
		assert(!conn_map_left(s) || (dsn_leq(c->queue.start, conn_map_next(s)) && dsn_leq(conn_map_next(s), c->snd_nxt)));
		for (uint32_t k = 0; k < s->sent.count; k++) {
			const struct sent_range *r = sent_map_at(&s->sent, k);

			assert(ssn_eq(r->seq, at) && r->len > 0);
			at = ssn_add(at, r->len);
			/* RFC 8684 3.3.1: what a subflow has in flight it can send again. */
			assert(dsn_leq(c->queue.start, r->dsn) && dsn_leq(dsn_add(r->dsn, r->len), c->snd_nxt));
		}
	}
}
