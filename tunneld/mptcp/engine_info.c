/* SPDX-License-Identifier: MIT */
/* What the host may know of the engine's insides, and what must be true of them. */
#include "tunneld/mptcp/engine.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"

#include <assert.h>

conn_id engine_next_conn(const struct engine *e, conn_id after)
{
	uint32_t i = after ? (after & ((1u << e->index_bits) - 1)) + 1 : 0;

	for (; i < e->config.connections_max; i++)
		if (e->slots[i].conn)
			return e->slots[i].conn->id;
	return 0;
}

static uint32_t cap32(uint64_t v) { return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v; }

conn_id engine_conn_of_token(const struct engine *e, uint32_t token)
{
	const struct conn *c = engine_token_find(e, token);

	return c ? c->id : 0;
}

enum err engine_conn_info(const struct engine *e, conn_id id, struct conn_info *out)
{
	const struct conn *c = engine_conn(e, id);

	if (!c)
		return ERR_UNKNOWN;
	*out = (struct conn_info){
		.conn = c->id, .host = c->orphan ? 0 : c->host, .peer = c->peer,
		.token = c->local_token, .remote_token = c->remote_token, .state = conn_state_name(c->state),
		.client = c->client, .checksum = c->checksum, .fallback = c->fallen, .destination = c->destination,
		.snd_una = c->snd_una.v, .snd_nxt = c->snd_nxt.v, .rcv_nxt = c->reorder.ready.v,
		.snd_wnd = c->snd_wnd, .rcv_wnd = conn_rcv_window(c),
		.bytes_sent = c->bytes_sent, .bytes_received = c->bytes_received, .reinjected_bytes = c->reinjected_bytes,
		.snd_buffer = send_queue_held(&c->queue), .rcv_buffer = reorder_waiting(&c->reorder) + c->reorder.ooo_bytes,
		.subflow_count = c->sub_count, .user_timeout_ms = conn_user_timeout_ms(c),
	};
	return ERR_OK;
}

enum err engine_subflow_info(const struct engine *e, conn_id id, uint32_t nth, struct subflow_info *out)
{
	const struct conn *c = engine_conn(e, id);
	const struct sub *s;

	if (!c || nth >= c->sub_count)
		return ERR_UNKNOWN;
	s = c->subs[nth];
	*out = (struct subflow_info){
		.id = s->id, .path = s->path, .local_addr_id = s->local_addr_id, .remote_addr_id = s->remote_addr_id,
		.local_port = s->local_port, .remote_port = s->remote_port, .state = subflow_state_name(s->sf.state),
		.mode = backup_mode_name(conn_sub_mode(s)),
		.backup = s->backup_local || s->backup_remote, .stale = s->stale, .usable = conn_sub_usable(s),
		.rto_ms = cap32(s->sf.rtt.rto_us / USEC_PER_MS), .cwnd = s->sf.cc.cwnd,
		.in_flight = subflow_in_flight_seq(&s->sf), .map_left = conn_map_left(s),
		.uperf_cause = backup_cause_name(s->backup.cause), .uperf_timeout_ms = conn_uperf_timeout_ms(s),
		.uperf_remote_ms = s->backup.remote_ms, .score = conn_sub_score(s, e->now_us),
		.srtt_ms = (double)s->sf.rtt.srtt_us / 1000, .rttvar_ms = (double)s->sf.rtt.rttvar_us / 1000,
		.min_rtt_ms = (double)s->sf.rtt.min_rtt_us / 1000, .mss = s->sf.snd_mss,
		.bytes_sent = s->sf.bytes_sent, .bytes_received = s->sf.bytes_received,
		.retransmitted_segments = s->sf.retransmitted_segments, .retransmitted_bytes = s->sf.retransmitted_bytes,
		.snd_una = s->sf.snd_una.v, .snd_nxt = s->sf.snd_nxt.v, .rcv_nxt = s->sf.rcv_nxt.v, .rcv_wnd = s->sf.snd_wnd,
		.remote = s->remote,
	};
	if (s->remote.family && s->path != PATH_NONE) {
		out->local = e->paths[s->path].local;
		out->local.port = s->local_port;
	}
	return ERR_OK;
}

void engine_stats(const struct engine *e, struct engine_stats *out)
{
	*out = (struct engine_stats){
		.memory_used = e->pool.used_bytes, .memory_max = e->pool.bank->max_bytes,
		.memory_kept = (uint64_t)e->pool.free_count * PAGE_SIZE_BYTES,
		.connections = e->conn_count, .subflows = e->sub_count,
	};
	for (uint32_t i = 0; i < e->config.paths_max; i++)
		out->paths += e->paths[i].used;
}

uint64_t engine_memory_used(const struct engine *e) { return e->pool.used_bytes; }

uint32_t engine_connections(const struct engine *e) { return e->conn_count; }

void engine_trim(struct engine *e) { page_pool_trim(&e->pool); }

void engine_check(const struct engine *e)
{
	uint32_t conns = 0, subs = 0;
	uint64_t pages = 0;

	for (uint32_t i = 0; i < e->config.connections_max; i++) {
		const struct conn *c = e->slots[i].conn;

		if (!c)
			continue;
		conns++;
		subs += c->sub_count;
		pages += c->queue.pages.pages + c->reorder.pages.pages;
		assert((c->id & ((1u << e->index_bits) - 1)) == i && c->id != 0);
		assert(!c->token_listed || engine_token_find(e, c->local_token) == c);
		for (uint32_t k = 0; k < c->sub_count; k++) {
			const struct sub *s = c->subs[k];

			assert(engine_sub_find(e, s->space, s->local_port, s->remote.family ? &s->remote : NULL,
					       s->remote_port) == s);
		}
		/* Nothing waits without a deadline: what is not ready has one, unless it is idle. */
		if (!c->ready && (dsn_lt(c->snd_una, c->snd_nxt) || c->state == M_OPENING))
			assert(c->heap_index != CONN_NOT_IN_HEAP || c->dialling);
		conn_check(c);
	}
	for (uint32_t i = 0; i < e->config.paths_max; i++) {
		const struct path_share *p = &e->paths[i].share;
		uint64_t out = 0, granted = 0;
		uint32_t busy = 0;

		if (!e->paths[i].used)
			continue;
		for (const struct sub *s = e->paths[i].subs; s; s = s->path_next) {
			out += s->share.out;
			busy += s->share.out != 0;
			granted += s->share.grant;
		}
		assert(out == p->in_flight && busy == p->busy && granted == p->granted);
		/* Nobody waits in vain. */
		assert(!(p->row[0].first || p->row[1].first) || p->busy || p->granted);
	}
	assert(conns == e->conn_count && subs == e->sub_count);
	assert(pages * PAGE_SIZE_BYTES == e->pool.used_bytes && e->pool.used_bytes <= e->pool.drawn_bytes &&
	       e->pool.drawn_bytes <= e->pool.bank->max_bytes);
	for (uint32_t i = 1; i <= e->heap_count; i++) {
		assert(e->heap[i]->heap_index == i);
		assert(i == 1 || e->heap[i / 2]->deadline_us <= e->heap[i]->deadline_us);
	}
}
