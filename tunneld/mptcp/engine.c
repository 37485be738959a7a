/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/engine.h"

#include "tunneld/mptcp/convert.h"
#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"

#include <assert.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>
#include <stdlib.h>
#include <string.h>

enum {
	READY_BURST = 64,        /* actions one connection has before the next one's turn */
	RAW_MIN = 64, RAW_MAX = 8192,
	PROBE_EVERY_US = 100000, /* a path is not asked for more often */
	GENERATION_MIN_BITS = 8,
};

const char *open_result_text(enum open_result r)
{
	static const char *const text[] = {
		[OPEN_OK] = "connected", [OPEN_REFUSED] = "connection refused", [OPEN_TIMED_OUT] = "timed out",
		[OPEN_NET_UNREACHABLE] = "network unreachable", [OPEN_HOST_UNREACHABLE] = "host unreachable",
		[OPEN_PROHIBITED] = "prohibited", [OPEN_NO_RESOURCES] = "out of resources", [OPEN_NO_PATH] = "no path",
		[OPEN_PROTOCOL_ERROR] = "protocol error", [OPEN_RESET] = "connection reset",
		[OPEN_PORT_UNREACHABLE] = "port unreachable",
	};

	return (unsigned)r < sizeof text / sizeof *text ? text[r] : "?";
}

/* --- chance --- */

uint64_t engine_chance(struct engine *e)
{
	uint8_t in[40], hash[32];
	struct wr w = wr_of(in, sizeof in);
	struct rd r;
	uint64_t v;

	wr_bytes(&w, e->seed, sizeof e->seed);
	wr_u64(&w, e->chance_counter++);
	crypto_hash_sha256(hash, in, sizeof in);
	r = rd_of(hash, sizeof hash);
	v = rd_u64(&r);
	sodium_memzero(in, sizeof in);
	sodium_memzero(hash, sizeof hash);
	return v;
}

/* --- birth and death --- */

static uint32_t pow2_at_least(uint64_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static bool take_tables(struct engine *e)
{
	const struct engine_config *g = &e->config;
	uint32_t ports = pow2_at_least(2ull * g->connections_max * 2), tokens = pow2_at_least(2ull * g->connections_max);

	e->raw_room = pow2_at_least(g->connections_max * 2ull);
	if (e->raw_room < RAW_MIN)
		e->raw_room = RAW_MIN;
	if (e->raw_room > RAW_MAX)
		e->raw_room = RAW_MAX;
	e->by_port_mask = ports - 1;
	e->by_token_mask = tokens - 1;
	e->paths = calloc(g->paths_max, sizeof *e->paths);
	e->peers = calloc(ENGINE_PEERS_MAX, sizeof *e->peers);
	e->slots = calloc(g->connections_max, sizeof *e->slots);
	e->by_port = calloc(ports, sizeof *e->by_port);
	e->by_token = calloc(tokens, sizeof *e->by_token);
	e->heap = calloc(g->connections_max + 1ull, sizeof *e->heap);
	e->raw = calloc(e->raw_room, sizeof *e->raw);
	return e->paths && e->peers && e->slots && e->by_port && e->by_token && e->heap && e->raw;
}

struct engine *engine_new(const struct engine_config *config, const uint8_t seed[32], usec_t now_us)
{
	struct engine *e;

	(void)now_us;
	if (!config->connections_max || config->connections_max > 1u << 20 || !config->paths_max ||
	    config->paths_max > ENGINE_PATHS_MAX)
		return NULL;
	e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->config = *config;
	e->cc = cc_by_name(config->congestion);
	e->sched = sched_by_name(config->scheduler);
	e->counters = config->counters ? config->counters : &e->own_counters;
	memcpy(e->seed, seed, sizeof e->seed);
	if (!e->config.subflows_max || e->config.subflows_max > CONN_SUBFLOWS_MAX)
		e->config.subflows_max = CONN_SUBFLOWS_MAX;
	if (!e->config.connect_timeout_us)
		e->config.connect_timeout_us = 127 * USEC_PER_S;
	if (!e->config.dead_timeout_us)
		e->config.dead_timeout_us = 60 * USEC_PER_S;
	if (!e->config.close_timeout_us)
		e->config.close_timeout_us = 60 * USEC_PER_S;
	if (!e->config.memory_max)
		e->config.memory_max = UINT64_C(1) << 30;
	if (e->config.memory)
		page_pool_share(&e->pool, e->config.memory);
	else
		page_pool_init(&e->pool, e->config.memory_max);
	if (!e->cc || !e->sched || !take_tables(e) || !engine_facts_open(e)) {
		engine_free(e);
		return NULL;
	}
	e->probes = PATH_NONE;
	for (uint32_t i = 0; i < ENGINE_PEERS_MAX; i++)
		e->peers[i].paths = PATH_NONE;
	for (e->index_bits = 1; 1u << e->index_bits < config->connections_max; e->index_bits++)
		;
	assert(e->index_bits + GENERATION_MIN_BITS <= 32);
	for (uint32_t i = 0; i < config->connections_max; i++) {
		e->slots[i].generation = 1;
		e->slots[i].next_free = i + 1 < config->connections_max ? i + 1 : UINT32_MAX;
	}
	e->port_secret = engine_chance(e) | 1;
	for (unsigned i = 0; i < sizeof e->hash_secret / sizeof(uint64_t); i++) {
		uint64_t some = engine_chance(e);

		memcpy(e->hash_secret + i * sizeof some, &some, sizeof some);
	}
	return e;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	for (uint32_t i = 0; e->slots && i < e->config.connections_max; i++)
		if (e->slots[i].conn)
			conn_free(e->slots[i].conn);
	page_pool_close(&e->pool);
	for (uint32_t i = 0; e->paths && i < e->config.paths_max; i++)
		free(e->paths[i].ports);
	free(e->paths);
	free(e->peers);
	free(e->slots);
	free(e->by_port);
	free(e->by_token);
	free(e->heap);
	free(e->raw);
	engine_facts_close(e);
	sodium_memzero(e->seed, sizeof e->seed);
	free(e);
}

/* --- paths --- */

struct path *engine_path(struct engine *e, path_id id)
{
	return id < e->config.paths_max && e->paths[id].used ? &e->paths[id] : NULL;
}

void engine_news_wanted(struct engine *e, path_id id)
{
	struct path *p = engine_path(e, id);

	if (p)
		p->news_wanted = true;
}

void engine_probe(struct engine *e, path_id id, usec_t now_us)
{
	struct path *p = engine_path(e, id);

	engine_news_wanted(e, id);
	if (!p || p->probe_wanted || (p->probed_us && usec_since(now_us, p->probed_us) < PROBE_EVERY_US))
		return;
	p->probe_wanted = true;
	p->probed_us = now_us;
	p->probe_next = e->probes;
	e->probes = id;
}

static void path_unlist(struct engine *e, path_id id)
{
	struct path *p = &e->paths[id];
	path_id *at;

	for (at = &e->peers[p->peer].paths; *at != id; at = &e->paths[*at].peer_next)
		;
	*at = p->peer_next;
	if (p->probe_wanted) {
		for (at = &e->probes; *at != id; at = &e->paths[*at].probe_next)
			;
		*at = p->probe_next;
	}
	/* The host gives back what hangs on a path it takes away. */
	if (p->ports)
		e->freed_ports -= p->ports->freed_count;
	free(p->ports);
	*p = (struct path){ 0 };
}

static enum err path_event(struct engine *e, const struct event *ev, usec_t now_us)
{
	path_id id = ev->path.path;
	enum path_state before;
	struct path *p;

	if (id >= e->config.paths_max || ev->path.peer >= ENGINE_PEERS_MAX)
		return ERR_FULL;
	p = &e->paths[id];
	if (p->used && p->peer != ev->path.peer) {
		before = p->state;
		p->state = PATH_DOWN;
		pm_path_event(e, id, before, true, now_us);
		path_unlist(e, id);
	}
	if (!p->used) {
		if (ev->path.gone)
			return ERR_OK;
		p->used = true;
		path_share_open(&p->share, e->config.form == SEGMENT_SEALED);
		p->peer = ev->path.peer;
		p->state = PATH_DOWN;
		p->peer_next = e->peers[p->peer].paths;
		e->peers[p->peer].paths = id;
	}
	before = p->state;
	p->news_wanted |= before != ev->path.state || ev->path.gone || p->backup != ev->path.backup ||
			  p->mtu_payload != (ev->path.mtu_payload ? ev->path.mtu_payload : 1200) || p->peer_uperf != ev->path.peer_uperf ||
			  p->peer_carried != ev->path.peer_carried ||
			  p->announce != ev->path.announce;
	p->state = ev->path.gone ? PATH_DOWN : ev->path.state;
	p->backup = ev->path.backup;
	p->may_initiate = ev->path.may_initiate;
	p->cost = ev->path.cost;
	p->peer_uperf = ev->path.peer_uperf;
	p->peer_long_prio = ev->path.peer_long_prio;
	p->peer_carried = ev->path.peer_carried;
	if (before == PATH_UP && p->state != PATH_UP)
		p->fault_us = now_us;
	p->addr_id = ev->path.addr_id;
	p->service = ev->path.service;
	p->announce = ev->path.announce;
	p->no_joins = ev->path.no_joins;
	p->mtu_payload = ev->path.mtu_payload ? ev->path.mtu_payload : 1200;
	if (ev->path.rtt_us)
		p->rtt_us = ev->path.rtt_us;
	if (!addr_same_ip(&p->local, &ev->path.local) || ev->path.gone)
		pm_mptcp_forget(e, id);
	p->local = ev->path.local;
	p->remote = ev->path.remote;
	if (ev->path.name) {
		size_t n = strlen(ev->path.name);

		if (n >= sizeof p->name)
			n = sizeof p->name - 1;
		memcpy(p->name, ev->path.name, n);
		p->name[n] = 0;
	}
	pm_path_event(e, id, before, ev->path.gone, now_us);
	if (ev->path.gone)
		path_unlist(e, id);
	return ERR_OK;
}

/* --- the door --- */

static enum err segment_event(struct engine *e, const struct event *ev, usec_t now_us)
{
	struct path *p = engine_path(e, ev->segment.path);
	bool listening = e->config.gateway;
	struct segment seg;
	struct sub *s;
	enum err err;

	if (!p) {
		count(e->counters, CNT_EngineNoPath);
		return ERR_UNKNOWN;
	}
	seg.remote = NULL;
	if (e->config.form == SEGMENT_PLAIN) {
		bool given = ev->segment.remote.family;

		seg.remote = given ? &ev->segment.remote : &p->remote;
		seg.src_port = seg.remote->port;
		seg.dst_port = given ? ev->segment.local_port : p->local.port;
		listening = given ? ev->segment.listening : listening;
	}
	err = segment_parse(&seg, ev->segment.bytes, ev->segment.len, e->config.form);
	if (err != ERR_OK) {
		count(e->counters, err == ERR_TRUNCATED ? CNT_SegmentTruncated : CNT_SegmentMalformed);
		return err;
	}
	/* Where there are probes only their answers count: what else the peer sends says nothing of our direction. */
	if (e->config.form == SEGMENT_PLAIN)
		p->heard_us = now_us;
	if (seg.ignored)
		count_n(e->counters, CNT_OptionIgnored, seg.ignored);
	s = engine_sub_find(e, engine_space(e, ev->segment.path), seg.dst_port, seg.remote, seg.src_port);
	if (s && listening && conn_time_wait_over(s, &seg)) {
		struct conn *c = s->conn;

		count(e->counters, CNT_TimeWaitReused);
		conn_sub_free(s);
		conn_sub_gone(c, now_us);
		s = NULL;
	}
	if (s)
		conn_segment(s, ev->segment.path, &seg, now_us);
	else
		conn_stranger(e, ev->segment.path, &seg, listening, now_us);
	return ERR_OK;
}

/* A wish is followed where it can be: a path of this peer that works. */
static bool path_wished(const struct engine *e, const struct event *ev, const struct addr *remote)
{
	path_id wish = ev->connect.wish - 1;

	for (path_id id = e->peers[ev->connect.peer].paths; id != PATH_NONE; id = e->paths[id].peer_next)
		if (id == wish)
			return e->paths[id].may_initiate && e->paths[id].state == PATH_UP &&
			       pm_leads_to(&e->paths[id], remote);
	return false;
}

static enum err connect_event(struct engine *e, struct event *ev, usec_t now_us)
{
	struct conn *c;
	struct sub *s;
	path_id path;
	const struct addr *remote = e->config.form == SEGMENT_PLAIN ? &ev->connect.destination : NULL;
	struct wr w;

	ev->connect.conn = 0;
	if (ev->connect.peer >= ENGINE_PEERS_MAX)
		return ERR_UNKNOWN;
	if (addr_is_multicast(&ev->connect.destination)) { /* RFC 9293 3.9.1.1, MUST-46; broadcast, too */
		count(e->counters, CNT_ConnectMulticast);
		return ERR_MALFORMED;
	}
	path = pm_best_path(e, ev->connect.peer, remote);
	if (path == PATH_NONE) {
		count(e->counters, CNT_ConnectNoPath);
		return ERR_UNKNOWN;
	}
	if (ev->connect.wish && path_wished(e, ev, remote))
		path = ev->connect.wish - 1;
	c = conn_new(e, ev->connect.peer, true, 0, now_us);
	if (!c)
		return ERR_FULL;
	c->wish = path + 1u == ev->connect.wish ? ev->connect.wish : 0;
	c->host = ev->connect.host;
	c->destination = ev->connect.destination;
	conn_carried_set(c, ev->connect.user_timeout_ms, &ev->connect.carried, now_us);
	c->open_deadline_us = usec_add(now_us, e->config.connect_timeout_us);
	/* In plain form we are at the destination itself: there is no Convert header. */
	if (!remote) {
		w = wr_of(c->syn_data, sizeof c->syn_data);
		convert_emit_connect(&w, &c->destination);
		c->syn_data_len = (uint8_t)wr_len(&w);
	} else {
		c->remotes[0] = (struct remote_addr){ .used = true, .addr = *remote };
	}
	c->blackhole = remote && pm_mptcp_fails(e, path, remote, now_us);
	s = pm_sub_new(c, path, remote);
	if (!s || !conn_sub_connect(s, now_us)) {
		conn_free(c);
		return ERR_FULL;
	}
	count(e->counters, CNT_MPCapableSYNTX);
	engine_ready(c);
	ev->connect.conn = c->id;
	return ERR_OK;
}

static struct sub *sub_of_event(struct engine *e, path_id path, uint16_t local_port, const struct addr *remote)
{
	if (e->config.form != SEGMENT_PLAIN || !engine_path(e, path))
		return NULL;
	return engine_sub_find(e, engine_space(e, path), local_port, remote, remote->port);
}

/* Somebody else on this machine has that port. Whoever was to begin with it begins again with another. */
static enum err port_taken(struct engine *e, const struct event *ev, usec_t now_us)
{
	struct path *p = engine_path(e, ev->port.path);
	struct sub *s = p ? p->subs : NULL;

	if (e->config.form != SEGMENT_PLAIN || !p)
		return ERR_UNKNOWN;
	while (s && (s->local_port != ev->port.local_port || !s->port_held || s->stage != SUB_OPENING))
		s = s->path_next;
	if (!s)
		return ERR_UNKNOWN;
	count(e->counters, CNT_PortTaken);
	pm_new_port(s, now_us);
	return ERR_OK;
}

enum err engine_input(struct engine *e, struct event *ev, usec_t now_us)
{
	struct path *p;
	struct conn *c;
	struct sub *s;

	e->now_us = now_us;
	engine_run_timers(e, now_us);
	switch (ev->kind) {
	case EV_PATH:
		return path_event(e, ev, now_us);
	case EV_SEGMENT:
		return segment_event(e, ev, now_us);
	case EV_CONNECT:
		return connect_event(e, ev, now_us);
	case EV_WRITE:
		return engine_write(e, ev, now_us);
	case EV_HEARD:
		p = engine_path(e, ev->heard.path);
		if (!p)
			return ERR_UNKNOWN;
		p->heard_us = usec_max(p->heard_us, ev->heard.asked_us);
		return ERR_OK;
	case EV_FAULT:
		return engine_fault_event(e, ev, now_us);
	case EV_TIME:
		return ERR_OK;
	case EV_PORT_TAKEN:
		return port_taken(e, ev, now_us);
	case EV_LOST:
		s = sub_of_event(e, ev->lost.path, ev->lost.local_port, &ev->lost.remote);
		if (!s)
			return ERR_UNKNOWN;
		return pm_lost(s, ev, now_us);
	case EV_DIALLED:
		c = engine_conn_of_host(e, ev->dialled.conn);
		if (!c)
			return ERR_UNKNOWN;
		if (!c->dialling)
			return ERR_UNEXPECTED;
		c->host = ev->dialled.host;
		conn_dialled(c, ev->dialled.result, ev->dialled.icmp_code, now_us);
		return ERR_OK;
	case EV_CONSUMED:
		c = engine_conn_of_host(e, ev->consumed.conn);
		if (!c)
			return ERR_UNKNOWN;
		if (ev->consumed.len > reorder_waiting(&c->reorder))
			return ERR_UNEXPECTED;
		conn_consumed(c, ev->consumed.len, now_us);
		engine_ready(c);
		return ERR_OK;
	case EV_SHUTDOWN:
		c = engine_conn_of_host(e, ev->conn);
		if (!c)
			return ERR_UNKNOWN;
		if (c->shutdown)
			return ERR_OK;
		conn_input_close(c, IN_CLOSE, now_us);
		return ERR_OK;
	case EV_OPTIONS:
		c = engine_conn_of_host(e, ev->options.conn);
		if (!c)
			return ERR_UNKNOWN;
		conn_carried_set(c, ev->options.user_timeout_ms, &ev->options.carried, now_us);
		return ERR_OK;
	case EV_ABORT:
		c = engine_conn_of_host(e, ev->conn);
		if (!c)
			return ERR_UNKNOWN;
		conn_abort(c, now_us);
		return ERR_OK;
	case EV_ABORT_AFTER:
		c = engine_conn_of_host(e, ev->conn);
		if (!c)
			return ERR_UNKNOWN;
		conn_abort_after(c, now_us);
		return ERR_OK;
	}
	return ERR_UNEXPECTED;
}

static bool probe_output(struct engine *e, struct action *act)
{
	struct path *p;

	if (e->probes == PATH_NONE)
		return false;
	p = &e->paths[e->probes];
	*act = (struct action){ .kind = ACT_PROBE, .probe = { .path = e->probes } };
	e->probes = p->probe_next;
	p->probe_wanted = false;
	return true;
}

/* The next, NULL: none. What waits for a path that went meanwhile has nowhere to go. */
static struct raw_segment *raw_next(struct engine *e)
{
	while (e->raw_count) {
		struct raw_segment *r = &e->raw[e->raw_head];

		e->raw_head = (e->raw_head + 1) & (e->raw_room - 1);
		e->raw_count--;
		if (engine_path(e, r->path))
			return r;
		count(e->counters, CNT_ResetTxDrop);
		if (r->reply)
			e->replies[r->reply - 1].used = false;
	}
	return NULL;
}

static bool raw_output(struct engine *e, struct action *act)
{
	struct raw_segment *r = raw_next(e);
	size_t len;

	if (!r)
		return false;
	len = r->len;
	memcpy(e->out, r->bytes, r->len);
	if (r->reply) {
		struct raw_reply *reply = &e->replies[r->reply - 1];

		memcpy(e->out + len, reply->bytes, reply->len);
		len += reply->len;
		reply->used = false;
	}
	*act = (struct action){
		.kind = ACT_SEND,
		.send = {
			.path = r->path, .bytes = e->out, .len = len, .local_port = r->local_port,
			.remote = r->remote.family ? &r->remote : NULL,
		},
	};
	return true;
}

/* The number of a free one, RAW_REPLIES: none. */
static uint8_t reply_free(const struct engine *e)
{
	uint8_t i = 0;

	while (i < RAW_REPLIES && e->replies[i].used)
		i++;
	return i;
}

void engine_raw(struct engine *e, path_id path, struct segment *seg, const uint8_t *payload, size_t len)
{
	struct raw_segment *r = &e->raw[(e->raw_head + e->raw_count) & (e->raw_room - 1)];
	struct wr w = wr_of(r->bytes, sizeof r->bytes);
	uint8_t reply = len ? reply_free(e) : RAW_REPLIES;
	enum err err;

	assert(len <= RAW_REPLY_MAX);
	if (e->raw_count == e->raw_room || !engine_path(e, path) || (len && reply == RAW_REPLIES)) {
		count(e->counters, CNT_ResetTxDrop);
		return;
	}
	seg->payload = NULL;
	seg->payload_len = 0;
	err = segment_emit(&w, seg, e->config.form);
	assert(err == ERR_OK); /* a RST with two options fits */
	if (err != ERR_OK)
		return;
	r->path = path;
	r->local_port = seg->src_port;
	r->remote = seg->remote ? *seg->remote : (struct addr){ 0 };
	r->len = (uint8_t)wr_len(&w);
	r->reply = 0;
	if (len) {
		r->reply = (uint8_t)(reply + 1);
		e->replies[reply] = (struct raw_reply){ .len = (uint16_t)len, .used = true };
		memcpy(e->replies[reply].bytes, payload, len);
	}
	e->raw_count++;
}

bool engine_output(struct engine *e, struct action *act, usec_t now_us)
{
	e->now_us = now_us;
	engine_run_timers(e, now_us);
	conn_room_serve(e, now_us);
	if (probe_output(e, act) || raw_output(e, act) || pm_port_output(e, act))
		return true;
	while (e->ready_first) {
		struct conn *c = e->ready_first;

		if (e->ready_burst >= READY_BURST && c->ready_next) {
			engine_ready_pop(e);
			engine_ready(c);
			continue;
		}
		if (conn_output(c, act, now_us)) {
			e->ready_burst++;
			act->conn = c->id;
			act->host = c->host;
			return true;
		}
		if (c->state == M_CLOSED && !c->tell && (c->orphan || !c->host_done)) {
			conn_free(c);
			/* Its end may have left RSTs. */
			if (e->raw_count)
				return engine_output(e, act, now_us);
			continue;
		}
		conn_facts_look(c);
		conn_writer_note(c);
		engine_ready_pop(e);
		/* It may make this one ready again, or others. */
		for (uint8_t i = 0; i < c->sub_count; i++) {
			path_share_note(c->subs[i], now_us);
			path_share_done(c->subs[i]);
		}
		engine_no_deadline(c);
		if (c->state != M_CLOSED)
			engine_deadline_at(c, conn_deadline(c, now_us));
		if (e->raw_count)
			return engine_output(e, act, now_us);
	}
	return false;
}
