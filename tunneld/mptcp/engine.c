/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/engine.h"

#include "tunneld/mptcp/convert.h"
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
	e->cc = config->congestion ? cc_by_name(config->congestion) : &cc_cubic;
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
	if (!e->cc || !e->sched || !take_tables(e)) {
		engine_free(e);
		return NULL;
	}
	page_pool_init(&e->pool, e->config.memory_max);
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
	free(e->paths);
	free(e->peers);
	free(e->slots);
	free(e->by_port);
	free(e->by_token);
	free(e->heap);
	free(e->raw);
	sodium_memzero(e->seed, sizeof e->seed);
	free(e);
}

/* --- connection ids: index in the low bits, generation above; never 0 --- */

static uint32_t generations(const struct engine *e) { return UINT32_MAX >> e->index_bits; }

bool engine_conn_add(struct engine *e, struct conn *c)
{
	uint32_t i = e->free_slot;
	struct conn_slot *s;

	if (i == UINT32_MAX)
		return false;
	s = &e->slots[i];
	e->free_slot = s->next_free;
	s->conn = c;
	c->id = s->generation << e->index_bits | i;
	e->conn_count++;
	c->peer_next = e->peers[c->peer].conns;
	if (c->peer_next)
		c->peer_next->peer_prev = c;
	e->peers[c->peer].conns = c;
	return true;
}

static struct conn *conn_of(const struct engine *e, conn_id id)
{
	uint32_t i = id & ((1u << e->index_bits) - 1);
	struct conn *c;

	if (i >= e->config.connections_max)
		return NULL;
	c = e->slots[i].conn;
	return c && c->id == id ? c : NULL;
}

/* As the host sees it: what it was told is over is unknown. */
static struct conn *conn_of_host(const struct engine *e, conn_id id)
{
	struct conn *c = conn_of(e, id);

	return c && !c->orphan ? c : NULL;
}

/* --- deadlines: a heap of connections --- */

static void heap_put(struct engine *e, struct conn *c, uint32_t i)
{
	e->heap[i] = c;
	c->heap_index = i;
}

static void heap_up(struct engine *e, uint32_t i)
{
	struct conn *c = e->heap[i];

	for (; i > 1 && e->heap[i / 2]->deadline_us > c->deadline_us; i /= 2)
		heap_put(e, e->heap[i / 2], i);
	heap_put(e, c, i);
}

static void heap_down(struct engine *e, uint32_t i)
{
	struct conn *c = e->heap[i];

	for (;;) {
		uint32_t child = i * 2;

		if (child > e->heap_count)
			break;
		if (child < e->heap_count && e->heap[child + 1]->deadline_us < e->heap[child]->deadline_us)
			child++;
		if (e->heap[child]->deadline_us >= c->deadline_us)
			break;
		heap_put(e, e->heap[child], i);
		i = child;
	}
	heap_put(e, c, i);
}

static void heap_remove(struct engine *e, struct conn *c)
{
	uint32_t i = c->heap_index;
	struct conn *last;

	if (i == CONN_NOT_IN_HEAP)
		return;
	c->heap_index = CONN_NOT_IN_HEAP;
	last = e->heap[e->heap_count--];
	if (last == c)
		return;
	heap_put(e, last, i);
	heap_up(e, i);
	heap_down(e, last->heap_index);
}

/*
 * The key only ever moves forward here: a timer that every ACK pushes back costs nothing, and the connection is looked at
 * once when the old time comes.
 */
void engine_deadline_at(struct conn *c, usec_t at_us)
{
	struct engine *e = c->engine;

	if (at_us == USEC_NEVER)
		return;
	if (c->heap_index == CONN_NOT_IN_HEAP) {
		c->deadline_us = at_us;
		e->heap[++e->heap_count] = c;
		heap_up(e, e->heap_count);
	} else if (at_us < c->deadline_us) {
		c->deadline_us = at_us;
		heap_up(e, c->heap_index);
	}
}

static void run_timers(struct engine *e, usec_t now_us)
{
	while (e->heap_count && e->heap[1]->deadline_us <= now_us) {
		struct conn *c = e->heap[1];

		heap_remove(e, c);
		conn_timeout(c, now_us);
		/* Its next deadline is set when its output runs dry. */
		engine_ready(c);
	}
}

usec_t engine_deadline(const struct engine *e)
{
	if (e->ready_first || e->raw_count || e->probes != PATH_NONE)
		return 0;
	return e->heap_count ? e->heap[1]->deadline_us : USEC_NEVER;
}

/* --- who has output --- */

void engine_ready(struct conn *c)
{
	struct engine *e = c->engine;

	if (c->ready)
		return;
	c->ready = true;
	c->ready_next = NULL;
	if (e->ready_last)
		e->ready_last->ready_next = c;
	else
		e->ready_first = c;
	e->ready_last = c;
}

static void ready_pop(struct engine *e)
{
	struct conn *c = e->ready_first;

	e->ready_first = c->ready_next;
	if (!e->ready_first)
		e->ready_last = NULL;
	c->ready = false;
	e->ready_burst = 0;
}

static void ready_remove(struct conn *c)
{
	struct engine *e = c->engine;
	struct conn *before = NULL;

	if (!c->ready)
		return;
	if (e->ready_first == c) {
		ready_pop(e);
		return;
	}
	for (before = e->ready_first; before->ready_next != c; before = before->ready_next)
		;
	before->ready_next = c->ready_next;
	if (e->ready_last == c)
		e->ready_last = before;
	c->ready = false;
}

/* --- tokens and ports --- */

static uint32_t token_slot(const struct engine *e, uint32_t token) { return token & e->by_token_mask; }

void engine_token_add(struct conn *c)
{
	struct conn **slot = &c->engine->by_token[token_slot(c->engine, c->local_token)];

	c->token_next = *slot;
	*slot = c;
	c->token_listed = true;
}

struct conn *engine_token_find(const struct engine *e, uint32_t token)
{
	struct conn *c = e->by_token[token_slot(e, token)];

	while (c && c->local_token != token)
		c = c->token_next;
	return c;
}

static uint32_t port_slot(const struct engine *e, peer_id peer, uint16_t local_port, uint16_t remote_port)
{
	uint64_t key = (uint64_t)peer << 32 | (uint64_t)local_port << 16 | remote_port;

	key ^= e->port_secret;
	key *= UINT64_C(0x9e3779b97f4a7c15);
	key ^= key >> 32;
	key *= e->port_secret;
	return (uint32_t)(key >> 33) & e->by_port_mask;
}

void engine_sub_add(struct sub *s)
{
	struct engine *e = s->conn->engine;
	struct sub **slot = &e->by_port[port_slot(e, s->conn->peer, s->local_port, s->remote_port)];

	s->port_next = *slot;
	*slot = s;
	e->sub_count++;
}

void engine_sub_remove(struct sub *s)
{
	struct engine *e = s->conn->engine;
	struct sub **at = &e->by_port[port_slot(e, s->conn->peer, s->local_port, s->remote_port)];

	while (*at != s)
		at = &(*at)->port_next;
	*at = s->port_next;
	e->sub_count--;
}

struct sub *engine_sub_find(const struct engine *e, peer_id peer, uint16_t local_port, uint16_t remote_port)
{
	struct sub *s = e->by_port[port_slot(e, peer, local_port, remote_port)];

	while (s && (s->local_port != local_port || s->remote_port != remote_port || s->conn->peer != peer))
		s = s->port_next;
	return s;
}

void engine_conn_remove(struct conn *c)
{
	struct engine *e = c->engine;
	struct conn_slot *s = &e->slots[c->id & ((1u << e->index_bits) - 1)];
	struct conn **at;

	ready_remove(c);
	heap_remove(e, c);
	if (c->token_listed) {
		for (at = &e->by_token[token_slot(e, c->local_token)]; *at != c; at = &(*at)->token_next)
			;
		*at = c->token_next;
	}
	if (c->peer_prev)
		c->peer_prev->peer_next = c->peer_next;
	else
		e->peers[c->peer].conns = c->peer_next;
	if (c->peer_next)
		c->peer_next->peer_prev = c->peer_prev;
	s->conn = NULL;
	s->generation = s->generation % generations(e) + 1;
	if (s->generation > generations(e))
		s->generation = 1;
	s->next_free = e->free_slot;
	e->free_slot = (uint32_t)(s - e->slots);
	e->conn_count--;
}

/* --- paths --- */

struct path *engine_path(struct engine *e, path_id id)
{
	return id < e->config.paths_max && e->paths[id].used ? &e->paths[id] : NULL;
}

void engine_probe(struct engine *e, path_id id, usec_t now_us)
{
	struct path *p = engine_path(e, id);

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
		p->peer = ev->path.peer;
		p->state = PATH_DOWN;
		p->peer_next = e->peers[p->peer].paths;
		e->peers[p->peer].paths = id;
	}
	before = p->state;
	p->state = ev->path.gone ? PATH_DOWN : ev->path.state;
	p->backup = ev->path.backup;
	p->may_initiate = ev->path.may_initiate;
	p->addr_id = ev->path.addr_id;
	p->mtu_payload = ev->path.mtu_payload ? ev->path.mtu_payload : 1200;
	if (ev->path.rtt_us)
		p->rtt_us = ev->path.rtt_us;
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
	struct segment seg;
	struct sub *s;
	enum err err;

	if (!p) {
		count(e->counters, CNT_EngineNoPath);
		return ERR_UNKNOWN;
	}
	if (e->config.form == SEGMENT_PLAIN) {
		seg.src_port = p->remote.port;
		seg.dst_port = p->local.port;
	}
	err = segment_parse(&seg, ev->segment.bytes, ev->segment.len, e->config.form);
	if (err != ERR_OK) {
		count(e->counters, err == ERR_TRUNCATED ? CNT_SegmentTruncated : CNT_SegmentMalformed);
		return err;
	}
	if (seg.ignored)
		count_n(e->counters, CNT_OptionIgnored, seg.ignored);
	s = engine_sub_find(e, p->peer, seg.dst_port, seg.src_port);
	if (s)
		conn_segment(s, ev->segment.path, &seg, now_us);
	else
		conn_stranger(e, ev->segment.path, &seg, now_us);
	return ERR_OK;
}

static enum err connect_event(struct engine *e, struct event *ev, usec_t now_us)
{
	struct conn *c;
	struct sub *s;
	path_id path;
	struct subflow_config sc;
	struct wr w;

	ev->connect.conn = 0;
	if (ev->connect.peer >= ENGINE_PEERS_MAX)
		return ERR_UNKNOWN;
	path = pm_best_path(e, ev->connect.peer);
	if (path == PATH_NONE) {
		count(e->counters, CNT_ConnectNoPath);
		return ERR_UNKNOWN;
	}
	c = conn_new(e, ev->connect.peer, true, now_us);
	if (!c)
		return ERR_FULL;
	c->host = ev->connect.host;
	c->destination = ev->connect.destination;
	c->open_deadline_us = usec_add(now_us, e->config.connect_timeout_us);
	w = wr_of(c->syn_data, sizeof c->syn_data);
	convert_emit_connect(&w, &c->destination);
	c->syn_data_len = (uint8_t)wr_len(&w);
	s = conn_sub_new(c, path, pm_port(e, c->peer), 1);
	if (!s) {
		conn_free(c);
		return ERR_FULL;
	}
	s->initiator = true;
	conn_subflow_config(c, path, &sc);
	if (subflow_connect(&s->sf, &sc, ssn_of((uint32_t)engine_chance(e)), now_us) != ERR_OK) {
		conn_free(c);
		return ERR_FULL;
	}
	subflow_syn_payload(&s->sf, c->syn_data_len);
	s->syn_data_out = c->syn_data_len;
	s->want_out = true;
	count(e->counters, CNT_MPCapableSYNTX);
	engine_ready(c);
	ev->connect.conn = c->id;
	return ERR_OK;
}

static enum err write_event(struct engine *e, struct event *ev, usec_t now_us)
{
	struct conn *c = conn_of_host(e, ev->write.conn);
	size_t room, n, want;

	ev->write.taken = 0;
	if (!c)
		return ERR_UNKNOWN;
	if (c->shutdown || (c->state != M_ESTAB && c->state != M_CLOSE_WAIT))
		return ERR_UNEXPECTED;
	room = conn_room(c);
	n = want = ev->write.len < room ? ev->write.len : room;
	/* A quarter of the pool is kept for what arrives: a sender can wait, a receiver has promised its window. */
	n = send_queue_append(&c->queue, &e->pool, ev->write.bytes, n, e->pool.max_bytes / 4);
	ev->write.taken = n;
	c->bytes_sent += n;
	if (n < ev->write.len || conn_room(c) == 0)
		c->short_write = true;
	if (n < want)
		c->room_us = usec_add(now_us, CONN_ROOM_RETRY_US);
	engine_ready(c);
	return ERR_OK;
}

enum err engine_input(struct engine *e, struct event *ev, usec_t now_us)
{
	struct conn *c;

	run_timers(e, now_us);
	switch (ev->kind) {
	case EV_PATH:
		return path_event(e, ev, now_us);
	case EV_SEGMENT:
		return segment_event(e, ev, now_us);
	case EV_CONNECT:
		return connect_event(e, ev, now_us);
	case EV_WRITE:
		return write_event(e, ev, now_us);
	case EV_TIME:
		return ERR_OK;
	case EV_DIALLED:
		c = conn_of_host(e, ev->dialled.conn);
		if (!c)
			return ERR_UNKNOWN;
		if (!c->dialling)
			return ERR_UNEXPECTED;
		c->host = ev->dialled.host;
		conn_dialled(c, ev->dialled.result, ev->dialled.icmp_code, now_us);
		return ERR_OK;
	case EV_CONSUMED:
		c = conn_of_host(e, ev->consumed.conn);
		if (!c)
			return ERR_UNKNOWN;
		if (ev->consumed.len > reorder_waiting(&c->reorder))
			return ERR_UNEXPECTED;
		conn_consumed(c, ev->consumed.len, now_us);
		engine_ready(c);
		return ERR_OK;
	case EV_SHUTDOWN:
		c = conn_of_host(e, ev->conn);
		if (!c)
			return ERR_UNKNOWN;
		if (c->shutdown)
			return ERR_OK;
		conn_input_close(c, IN_CLOSE, now_us);
		return ERR_OK;
	case EV_ABORT:
		c = conn_of_host(e, ev->conn);
		if (!c)
			return ERR_UNKNOWN;
		conn_abort(c, now_us);
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

static bool raw_output(struct engine *e, struct action *act)
{
	struct raw_segment *r;

	if (!e->raw_count)
		return false;
	r = &e->raw[e->raw_head];
	e->raw_head = (e->raw_head + 1) & (e->raw_room - 1);
	e->raw_count--;
	memcpy(e->out, r->bytes, r->len);
	*act = (struct action){ .kind = ACT_SEND, .send = { .path = r->path, .bytes = e->out, .len = r->len } };
	return true;
}

void engine_raw(struct engine *e, path_id path, struct segment *seg)
{
	struct raw_segment *r = &e->raw[(e->raw_head + e->raw_count) & (e->raw_room - 1)];
	struct wr w = wr_of(r->bytes, sizeof r->bytes);
	enum err err;

	if (e->raw_count == e->raw_room || !engine_path(e, path)) {
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
	r->len = (uint8_t)wr_len(&w);
	e->raw_count++;
}

bool engine_output(struct engine *e, struct action *act, usec_t now_us)
{
	run_timers(e, now_us);
	if (probe_output(e, act) || raw_output(e, act))
		return true;
	while (e->ready_first) {
		struct conn *c = e->ready_first;

		if (e->ready_burst >= READY_BURST && c->ready_next) {
			ready_pop(e);
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
			continue;
		}
		ready_pop(e);
		heap_remove(e, c);
		if (c->state != M_CLOSED)
			engine_deadline_at(c, conn_deadline(c, now_us));
		if (e->raw_count)
			return engine_output(e, act, now_us);
	}
	return false;
}

size_t engine_room(const struct engine *e, conn_id id)
{
	struct conn *c = conn_of_host(e, id);
	size_t room;

	if (!c || c->shutdown || (c->state != M_OPENING && c->state != M_ESTAB && c->state != M_CLOSE_WAIT))
		return 0;
	room = c->state == M_OPENING ? 0 : conn_room(c);
	if (!room)
		c->short_write = true;
	return room;
}

size_t engine_readable(const struct engine *e, conn_id id, const uint8_t **bytes)
{
	struct conn *c = conn_of_host(e, id);

	*bytes = NULL;
	return c ? reorder_readable(&c->reorder, bytes) : 0;
}

/* --- facts --- */

conn_id engine_next_conn(const struct engine *e, conn_id after)
{
	uint32_t i = after ? (after & ((1u << e->index_bits) - 1)) + 1 : 0;

	for (; i < e->config.connections_max; i++)
		if (e->slots[i].conn)
			return e->slots[i].conn->id;
	return 0;
}

static uint32_t cap32(uint64_t v) { return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v; }

enum err engine_conn_info(const struct engine *e, conn_id id, struct conn_info *out)
{
	const struct conn *c = conn_of(e, id);

	if (!c)
		return ERR_UNKNOWN;
	*out = (struct conn_info){
		.conn = c->id, .host = c->orphan ? 0 : c->host, .peer = c->peer,
		.token = c->local_token, .remote_token = c->remote_token, .state = conn_state_name(c->state),
		.client = c->client, .checksum = c->checksum, .destination = c->destination,
		.snd_una = c->snd_una.v, .snd_nxt = c->snd_nxt.v, .rcv_nxt = c->reorder.next.v,
		.snd_wnd = c->snd_wnd, .rcv_wnd = conn_rcv_window(c),
		.bytes_sent = c->bytes_sent, .bytes_received = c->bytes_received, .reinjected_bytes = c->reinjected_bytes,
		.snd_buffer = send_queue_held(&c->queue), .rcv_buffer = reorder_waiting(&c->reorder) + c->reorder.ooo_bytes,
		.subflow_count = c->sub_count,
	};
	return ERR_OK;
}

enum err engine_subflow_info(const struct engine *e, conn_id id, uint32_t nth, struct subflow_info *out)
{
	const struct conn *c = conn_of(e, id);
	const struct sub *s;

	if (!c || nth >= c->sub_count)
		return ERR_UNKNOWN;
	s = c->subs[nth];
	*out = (struct subflow_info){
		.id = s->id, .path = s->path, .local_addr_id = s->local_addr_id, .remote_addr_id = s->remote_addr_id,
		.local_port = s->local_port, .remote_port = s->remote_port, .state = subflow_state_name(s->sf.state),
		.mode = backup_mode_name(backup_mode_of(s->backup_local, s->backup_remote, s->stale)),
		.backup = s->backup_local || s->backup_remote, .stale = s->stale,
		.rto_ms = cap32(s->sf.rtt.rto_us / USEC_PER_MS), .cwnd = s->sf.cc.cwnd,
		.in_flight = subflow_in_flight_seq(&s->sf),
		.srtt_ms = (double)s->sf.rtt.srtt_us / 1000, .rttvar_ms = (double)s->sf.rtt.rttvar_us / 1000,
		.bytes_sent = s->sf.bytes_sent, .bytes_received = s->sf.bytes_received,
		.retransmitted_segments = s->sf.retransmitted_segments,
	};
	return ERR_OK;
}

void engine_stats(const struct engine *e, struct engine_stats *out)
{
	*out = (struct engine_stats){
		.memory_used = e->pool.used_bytes, .memory_max = e->pool.max_bytes,
		.connections = e->conn_count, .subflows = e->sub_count,
	};
	for (uint32_t i = 0; i < e->config.paths_max; i++)
		out->paths += e->paths[i].used;
}

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

			assert(engine_sub_find(e, c->peer, s->local_port, s->remote_port) == s);
		}
		/* Nothing waits without a deadline: what is not ready has one, unless it is idle. */
		if (!c->ready && (dsn_lt(c->snd_una, c->snd_nxt) || c->state == M_OPENING))
			assert(c->heap_index != CONN_NOT_IN_HEAP || c->dialling);
		conn_check(c);
	}
	assert(conns == e->conn_count && subs == e->sub_count);
	assert(pages * PAGE_SIZE_BYTES == e->pool.used_bytes && e->pool.used_bytes <= e->pool.max_bytes);
	for (uint32_t i = 1; i <= e->heap_count; i++) {
		assert(e->heap[i]->heap_index == i);
		assert(i == 1 || e->heap[i / 2]->deadline_us <= e->heap[i]->deadline_us);
	}
}
