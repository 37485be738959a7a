/* SPDX-License-Identifier: MIT */
/* How the engine finds a connection: by its id, deadline, output, token, or a subflow's ports. */
#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"

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

struct conn *engine_conn(const struct engine *e, conn_id id)
{
	uint32_t i = id & ((1u << e->index_bits) - 1);
	struct conn *c;

	if (i >= e->config.connections_max)
		return NULL;
	c = e->slots[i].conn;
	return c && c->id == id ? c : NULL;
}

/* As the host sees it: what it was told is over is unknown. */
struct conn *engine_conn_of_host(const struct engine *e, conn_id id)
{
	struct conn *c = engine_conn(e, id);

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

void engine_no_deadline(struct conn *c)
{
	struct engine *e = c->engine;
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

void engine_run_timers(struct engine *e, usec_t now_us)
{
	while (e->heap_count && e->heap[1]->deadline_us <= now_us) {
		struct conn *c = e->heap[1];

		engine_no_deadline(c);
		conn_timeout(c, now_us);
		/* Its next deadline is set when its output runs dry. */
		engine_ready(c);
	}
}

usec_t engine_deadline(const struct engine *e)
{
	if (e->ready_first || e->raw_count || e->probes != PATH_NONE)
		return 0;
	return usec_min(conn_room_deadline(e), e->heap_count ? e->heap[1]->deadline_us : USEC_NEVER);
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

void engine_ready_pop(struct engine *e)
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
		engine_ready_pop(e);
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

void engine_token_remove(struct conn *c)
{
	struct conn **at;

	if (!c->token_listed)
		return;
	for (at = &c->engine->by_token[token_slot(c->engine, c->local_token)]; *at != c; at = &(*at)->token_next)
		;
	*at = c->token_next;
	c->token_listed = false;
}

struct conn *engine_token_find(const struct engine *e, uint32_t token)
{
	struct conn *c = e->by_token[token_slot(e, token)];

	while (c && c->local_token != token)
		c = c->token_next;
	return c;
}

uint32_t engine_space(const struct engine *e, path_id path)
{
	return e->config.form == SEGMENT_PLAIN ? path : e->paths[path].peer;
}

/* Whatever a stranger chooses, port_secret keeps him from choosing the slot. */
static uint64_t addr_key(const struct engine *e, const struct addr *a)
{
	uint64_t half[2];

	memcpy(half, a->ip, sizeof half);
	return ((half[0] ^ e->port_secret) * (half[1] + e->port_secret * 3)) ^ half[1];
}

static uint32_t port_slot(const struct engine *e, uint32_t space, uint16_t local_port, const struct addr *remote,
			  uint16_t remote_port)
{
	uint64_t key = (uint64_t)space << 32 | (uint64_t)local_port << 16 | remote_port;

	if (remote)
		key += addr_key(e, remote);
	key ^= e->port_secret;
	key *= UINT64_C(0x9e3779b97f4a7c15);
	key ^= key >> 32;
	key *= e->port_secret;
	return (uint32_t)(key >> 33) & e->by_port_mask;
}

static struct sub **sub_slot(const struct sub *s)
{
	struct engine *e = s->conn->engine;

	return &e->by_port[port_slot(e, s->space, s->local_port, s->remote.family ? &s->remote : NULL, s->remote_port)];
}

void engine_sub_add(struct sub *s)
{
	struct engine *e = s->conn->engine;
	struct sub **slot = sub_slot(s);

	s->port_next = *slot;
	*slot = s;
	e->sub_count++;
}

void engine_sub_remove(struct sub *s)
{
	struct engine *e = s->conn->engine;
	struct sub **at = sub_slot(s);

	while (*at != s)
		at = &(*at)->port_next;
	*at = s->port_next;
	e->sub_count--;
}

struct sub *engine_sub_find(const struct engine *e, uint32_t space, uint16_t local_port, const struct addr *remote,
			    uint16_t remote_port)
{
	struct sub *s = e->by_port[port_slot(e, space, local_port, remote, remote_port)];

	while (s && (s->local_port != local_port || s->remote_port != remote_port || s->space != space ||
		     (remote && !addr_same_ip(&s->remote, remote))))
		s = s->port_next;
	return s;
}

void engine_conn_remove(struct conn *c)
{
	struct engine *e = c->engine;
	struct conn_slot *s = &e->slots[c->id & ((1u << e->index_bits) - 1)];

	ready_remove(c);
	engine_no_deadline(c);
	engine_token_remove(c);
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
