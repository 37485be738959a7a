/* SPDX-License-Identifier: MIT */
/* What only plain form has: local ports that are the host's, remote addresses, and joins between the two. */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/engine_state.h"

#include <assert.h>
#include <sodium/crypto_shorthash.h>
#include <stdlib.h>

/* From Linux's own range for such ports, and by chance: RFC 6056 3.3.1. */
enum { PORT_FIRST = 32768, PORTS = 28232, PORT_TRIES = 64 };

bool pm_leads_to(const struct path *p, const struct addr *remote)
{
	return !remote || !p->local.family || p->local.family == remote->family;
}

/*
 * RFC 7323 5.4: a start of each connection's own, which tells nothing of the others'. The same two ends get the same one again,
 * as Linux does it: what is new between them is newer than what a TIME-WAIT remembers (RFC 6191 2).
 */
uint32_t pm_ts_offset(const struct engine *e, path_id path, uint16_t local_port, const struct addr *remote)
{
	uint8_t in[16 + 16 + 2 + 2], out[crypto_shorthash_BYTES];
	struct wr w = wr_of(in, sizeof in);

	wr_bytes(&w, e->paths[path].local.ip, 16);
	wr_bytes(&w, remote->ip, 16);
	wr_u16(&w, local_port);
	wr_u16(&w, remote->port);
	crypto_shorthash(out, in, sizeof in, e->hash_secret);
	return be_get32(out);
}

/* --- ports --- */

static bool port_use(struct path *p, uint16_t port)
{
	uint64_t bit = UINT64_C(1) << (port & 63);

	if (!p->ports && !(p->ports = calloc(1, sizeof *p->ports)))
		return false;
	if ((p->ports->used[port >> 6] | p->ports->freed[port >> 6]) & bit)
		return false;
	p->ports->used[port >> 6] |= bit;
	return true;
}

void pm_port_unused(struct engine *e, path_id path, uint16_t port)
{
	struct path *p = engine_path(e, path);

	if (p && p->ports)
		p->ports->used[port >> 6] &= ~(UINT64_C(1) << (port & 63));
}

static void port_free(struct engine *e, path_id path, uint16_t port)
{
	struct path *p = engine_path(e, path);
	uint64_t bit = UINT64_C(1) << (port & 63);

	if (!p || !p->ports || !(p->ports->used[port >> 6] & bit))
		return;
	p->ports->used[port >> 6] &= ~bit;
	p->ports->freed[port >> 6] |= bit;
	p->ports->freed_count++;
	e->freed_ports++;
}

uint16_t pm_plain_port(struct engine *e, path_id path)
{
	struct path *p = &e->paths[path];

	if (p->local.port)
		return p->local.port;
	for (unsigned tries = 0; tries < PORT_TRIES; tries++) {
		uint16_t port = (uint16_t)(PORT_FIRST + engine_chance(e) % PORTS);

		if (port_use(p, port))
			return port;
	}
	return 0;
}

void pm_port_release(struct sub *s)
{
	const struct conn *c = s->conn;

	if (!s->port_held)
		return;
	s->port_held = false;
	/* What the peer opened towards that port goes on with it. */
	for (uint8_t i = 0; i < c->sub_count; i++)
		if (c->subs[i] != s && c->subs[i]->space == s->space && c->subs[i]->local_port == s->local_port) {
			c->subs[i]->port_held = true;
			return;
		}
	port_free(c->engine, s->space, s->local_port);
}

/* The lowest freed port of the first path that has one. */
bool pm_port_output(struct engine *e, struct action *act)
{
	if (!e->freed_ports)
		return false;
	for (path_id id = 0; id < e->config.paths_max; id++) {
		struct path_ports *ports = e->paths[id].ports;
		unsigned word = 0, bit;

		if (!ports || !ports->freed_count)
			continue;
		while (!ports->freed[word])
			word++;
		bit = (unsigned)__builtin_ctzll(ports->freed[word]);
		ports->freed[word] &= ports->freed[word] - 1;
		ports->freed_count--;
		e->freed_ports--;
		*act = (struct action){
			.kind = ACT_PORT_FREE, .port = { .path = id, .local_port = (uint16_t)(word * 64 + bit) },
		};
		return true;
	}
	assert(false);
	return false;
}

/* --- what is being opened --- */

bool pm_move_opening(struct sub *s, path_id path)
{
	struct engine *e = s->conn->engine;
	bool is_plain = s->remote.family;
	uint16_t port = s->local_port;

	/* Another address of ours makes it another subflow for everybody else. */
	if (is_plain) {
		if (!(port = pm_plain_port(e, path)))
			return false;
		engine_sub_remove(s);
		pm_port_release(s);
	}
	conn_sub_path(s, path);
	if (is_plain) {
		s->space = path;
		s->local_port = port;
		s->port_held = !e->paths[path].local.port;
		s->sf.config.ts_offset = pm_ts_offset(e, path, port, &s->remote);
		engine_sub_add(s);
	}
	return true;
}

/* The last SYN went nowhere: it is sent again at once, and from here, as if it were the first. */
static void syn_again(struct sub *s, usec_t now_us)
{
	s->syn_sent = 0;
	subflow_path_alive(&s->sf, now_us);
	s->want_out = true;
	engine_ready(s->conn);
}

void pm_new_port(struct sub *s, usec_t now_us)
{
	struct engine *e = s->conn->engine;
	uint16_t port = pm_plain_port(e, s->path);

	if (!port)
		return; /* its SYN will be sent again, and by then there may be one */
	engine_sub_remove(s);
	pm_port_unused(e, s->path, s->local_port);
	s->local_port = port;
	s->sf.config.ts_offset = pm_ts_offset(e, s->path, port, &s->remote);
	engine_sub_add(s);
	syn_again(s, now_us);
}

static uint64_t path_bit(path_id id) { return UINT64_C(1) << (id & 63); }

static bool tried_beside(const struct sub *s, path_id id)
{
	const struct conn *c = s->conn;

	for (uint8_t i = 0; i < c->sub_count; i++)
		if (c->subs[i] != s && c->subs[i]->path == id)
			return true;
	return false;
}

/* A path that may lead to where s goes, of which nobody has said that it does not, and that no other subflow is trying. */
static path_id path_without_answer(const struct sub *s)
{
	const struct engine *e = s->conn->engine;

	for (path_id id = e->peers[s->conn->peer].paths; id != PATH_NONE; id = e->paths[id].peer_next) {
		const struct path *p = &e->paths[id];

		if (p->may_initiate && p->state != PATH_DOWN && pm_leads_to(p, &s->remote) && !(s->no_routes & path_bit(id)) &&
		    !tried_beside(s, id))
			return id;
	}
	return PATH_NONE;
}

path_id pm_path_beside(const struct sub *s)
{
	path_id next = s->path;

	for (uint32_t n = 0; n < s->conn->engine->config.paths_max; n++) {
		next = pm_path_after(s, next);
		if (next == s->path || next == PATH_NONE)
			break;
		if (!tried_beside(s, next) && !(s->no_routes & path_bit(next)))
			return next;
	}
	return PATH_NONE;
}

void pm_race_beside(struct sub *s, usec_t now_us)
{
	struct conn *c = s->conn;
	struct sub *beside;
	path_id next = pm_path_beside(s);

	if (next == PATH_NONE)
		return;
	beside = pm_sub_new(c, next, &s->remote);
	if (beside && !conn_sub_connect(beside, now_us)) {
		conn_sub_free(beside);
		beside = NULL;
	}
	if (!beside)
		return;
	beside->no_routes = s->no_routes;
	count(c->engine->counters, CNT_SynRaced);
}

enum err pm_lost(struct sub *s, const struct event *ev, usec_t now_us)
{
	struct conn *c = s->conn;
	struct engine *e = c->engine;
	struct ssn seq = ssn_of(ev->lost.seq);
	path_id next;

	/* RFC 5927 4.1: what is not in flight cannot have been lost. */
	if (ev->lost.has_seq && (ssn_lt(seq, s->sf.snd_una) || !ssn_lt(seq, s->sf.snd_nxt))) {
		count(e->counters, CNT_IcmpNotInFlight);
		return ERR_UNEXPECTED;
	}
	if (ev->lost.mtu_payload) {
		subflow_too_big(&s->sf, (uint16_t)(ev->lost.mtu_payload - segment_header_fixed(e->config.form)), now_us);
		s->want_out = true;
		engine_ready(c);
		return ERR_OK;
	}
	if (s->stage != SUB_OPENING || !s->initiator)
		return ERR_OK; /* RFC 9293 3.9.2.2: a soft error: what is open may find its way again; else its timers end it */
	count(e->counters, CNT_NoRoute);
	if (s->join) {
		path_id path = s->path;
		uint8_t to = s->join_to;

		conn_sub_free(s);
		pm_join_failed(c, path, to, true, now_us);
		conn_sub_gone(c, now_us);
		return ERR_OK;
	}
	/* Every path has its turn; with the last it is the answer. */
	for (uint8_t i = 0; i < c->sub_count; i++)
		c->subs[i]->no_routes |= path_bit(s->path);
	next = path_without_answer(s);
	if (next == PATH_NONE && c->sub_count > 1) {
		conn_sub_free(s);
		engine_ready(c);
		return ERR_OK;
	}
	if (next == PATH_NONE || !pm_move_opening(s, next)) {
		conn_fail(c, ev->lost.why, 0, false, now_us);
		return ERR_OK;
	}
	count(e->counters, CNT_SynRaced);
	syn_again(s, now_us);
	return ERR_OK;
}

/* --- the peer's addresses --- */

bool pm_remote_add(struct conn *c, uint8_t id, const struct addr *addr, usec_t now_us)
{
	struct remote_addr *row = NULL;

	if (addr_is_multicast(addr) || addr_is_unspecified(addr) || !addr->port)
		return false;
	for (unsigned i = 0; i < CONN_REMOTES_MAX; i++) {
		struct remote_addr *r = &c->remotes[i];

		/* RFC 8684 3.4.1: an id stays with its address; with another port it is one more to try. */
		if (r->used && r->id == id && !addr_same_ip(&r->addr, addr))
			return false;
		if (r->used && r->id == id && r->addr.port == addr->port) {
			row = r;
			break;
		}
		if (!row && !r->used)
			row = r;
	}
	if (!row)
		return false;
	*row = (struct remote_addr){ .used = true, .id = id, .addr = *addr };
	/* RFC 8684 3.4.1: announced again, it may be tried again. */
	pm_join_forgive(c, id);
	if (c->client && c->fully)
		c->join_us = usec_min(c->join_us, now_us);
	return true;
}

void pm_remote_remove(struct conn *c, uint8_t id)
{
	for (unsigned i = 0; i < CONN_REMOTES_MAX; i++)
		if (c->remotes[i].id == id)
			c->remotes[i].used = false;
}

/* --- joins --- */

static unsigned subs_to(const struct conn *c, const struct addr *remote)
{
	unsigned n = 0;

	for (uint8_t i = 0; i < c->sub_count; i++)
		n += addr_eq(&c->subs[i]->remote, remote) && c->subs[i]->stage != SUB_CLOSING;
	return n;
}

static bool can_join(struct conn *c, path_id id, const struct remote_addr *to, usec_t now_us)
{
	return to->used && pm_leads_to(&c->engine->paths[id], &to->addr) &&
	       pm_may_try(c, id, to->id, conn_has_living_sub(c), now_us, &c->join_us);
}

/*
 * No full mesh, but every path of ours and every address of the peer's is used at least once. A path goes to the address with
 * the fewest subflows yet, the one known for longest first; then the other way round.
 */
void pm_plain_joins(struct conn *c, usec_t now_us)
{
	struct engine *e = c->engine;

	for (path_id id = e->peers[c->peer].paths; id != PATH_NONE; id = e->paths[id].peer_next) {
		const struct remote_addr *best = NULL;

		for (unsigned i = 0; i < CONN_REMOTES_MAX && !pm_subs_on(c, id); i++) {
			const struct remote_addr *to = &c->remotes[i];

			if (can_join(c, id, to, now_us) && (!best || subs_to(c, &to->addr) < subs_to(c, &best->addr)))
				best = to;
		}
		if (best)
			pm_join(c, id, best, now_us);
	}
	for (unsigned i = 0; i < CONN_REMOTES_MAX; i++) {
		const struct remote_addr *to = &c->remotes[i];
		path_id best = PATH_NONE;

		if (!to->used || subs_to(c, &to->addr))
			continue;
		for (path_id id = e->peers[c->peer].paths; id != PATH_NONE; id = e->paths[id].peer_next)
			if (can_join(c, id, to, now_us) && (best == PATH_NONE || pm_subs_on(c, id) < pm_subs_on(c, best)))
				best = id;
		if (best != PATH_NONE)
			pm_join(c, best, to, now_us);
	}
}
