/* SPDX-License-Identifier: MIT */
/*
 * The path manager: which path an open uses, when further subflows are joined, addresses (RFC 8684 3.2, 3.4). Paths are
 * the host's; the side that may initiate on them (the client) joins, the other answers.
 */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/engine_state.h"
#include "tunneld/mptcp/token.h"

enum {
	PRIO_REPEATS = 2,         /* MP_PRIO is not acknowledged, RFC 8684 3.3.8 */
	REMOTE_PORT = 1,          /* the port of a sealed peer; ours tell subflows apart */
	PORT_FIRST = 1024,
};

/* Lower is better. */
static unsigned path_rank(const struct path *p)
{
	return (p->state == PATH_UP ? 0u : p->state == PATH_SUSPECT ? 2u : 4u) + (p->backup ? 1u : 0u);
}

path_id pm_best_path(struct engine *e, peer_id peer, const struct addr *remote)
{
	path_id best = PATH_NONE;

	for (path_id id = e->peers[peer].paths; id != PATH_NONE; id = e->paths[id].peer_next) {
		const struct path *p = &e->paths[id], *b = best == PATH_NONE ? NULL : &e->paths[best];

		if (!p->may_initiate || !pm_leads_to(p, remote))
			continue;
		/* An RTT that is not known is taken as worse than any that is. */
		if (!b || path_rank(p) < path_rank(b) ||
		    (path_rank(p) == path_rank(b) && p->rtt_us && (!b->rtt_us || p->rtt_us < b->rtt_us)))
			best = id;
	}
	return best;
}

path_id pm_next_path(const struct sub *s)
{
	struct engine *e = s->conn->engine;
	const struct addr *remote = s->remote.family ? &s->remote : NULL;
	peer_id peer = s->conn->peer;
	path_id after = s->path;
	bool any_up = false;
	path_id first = PATH_NONE;
	bool passed = false;

	for (path_id id = e->peers[peer].paths; id != PATH_NONE; id = e->paths[id].peer_next)
		any_up |= e->paths[id].may_initiate && e->paths[id].state == PATH_UP && id != after &&
			  pm_leads_to(&e->paths[id], remote);
	for (path_id id = e->peers[peer].paths; id != PATH_NONE; id = e->paths[id].peer_next) {
		const struct path *p = &e->paths[id];

		if (id == after) {
			passed = true;
			continue;
		}
		if (!p->may_initiate || (any_up && p->state != PATH_UP) || !pm_leads_to(p, remote))
			continue;
		if (passed)
			return id;
		if (first == PATH_NONE)
			first = id;
	}
	return first != PATH_NONE ? first : after;
}

static uint16_t new_port(struct engine *e, path_id path)
{
	peer_id peer = e->paths[path].peer;
	struct peer *p = &e->peers[peer];

	for (unsigned tries = 0; tries < 65536; tries++) {
		uint16_t port;

		if (!p->next_port)
			p->next_port = (uint16_t)engine_chance(e);
		port = ++p->next_port;
		if (port >= PORT_FIRST && !engine_sub_find(e, peer, port, NULL, REMOTE_PORT))
			return port;
	}
	return 0;
}

struct sub *pm_sub_new(struct conn *c, path_id path, const struct addr *remote)
{
	struct engine *e = c->engine;
	uint16_t port = remote ? pm_plain_port(e, path) : new_port(e, path);
	struct sub *s = port ? conn_sub_new(c, path, port, remote, remote ? remote->port : REMOTE_PORT) : NULL;

	if (s) {
		s->initiator = true;
		s->port_held = remote && !e->paths[path].local.port;
	} else if (port && remote) {
		pm_port_unused(e, path, port);
	}
	return s;
}

bool pm_race(struct sub *s)
{
	path_id next = pm_next_path(s);

	if (next == s->path || next == PATH_NONE || !pm_move_opening(s, next))
		return false;
	count(s->conn->engine->counters, CNT_SynRaced);
	return true;
}

/* Up, or else in doubt. */
static path_id another_path(const struct engine *e, peer_id peer, path_id than)
{
	path_id doubtful = PATH_NONE;

	for (path_id id = e->peers[peer].paths; id != PATH_NONE; id = e->paths[id].peer_next) {
		if (id == than || e->paths[id].state == PATH_DOWN)
			continue;
		if (e->paths[id].state == PATH_UP)
			return id;
		doubtful = id;
	}
	return doubtful;
}

bool pm_move(struct sub *s)
{
	struct conn *c = s->conn;
	struct engine *e = c->engine;
	path_id other = PATH_NONE;

	/* In sealed form ports belong to the session, not to a path. */
	if (c->state != M_OPENING && e->config.form != SEGMENT_SEALED)
		return false;
	if (c->state == M_TIME_WAIT && s->stage == SUB_CLOSING)
		/* The last DATA_ACK goes with our FIN; there will be no other subflow for it. */
		other = another_path(e, c->peer, s->path);
	else if (s->initiator && !s->join && !c->fully)
		/* RFC 8684 3.2: no join before a DSS of the peer has come. */
		other = pm_next_path(s);
	else if (!s->initiator && !s->join && s->stage == SUB_LIVE && c->sub_count == 1)
		/* We cannot join, and the initiator may not know that we need it. */
		other = another_path(e, c->peer, s->path);
	if (other == s->path || other == PATH_NONE || !pm_move_opening(s, other))
		return false;
	count(e->counters, CNT_SynRaced);
	return true;
}

/* --- options --- */

void pm_option(struct sub *s, const struct mptcp_option *opt, usec_t now_us)
{
	struct conn *c = s->conn;
	struct counters *k = c->engine->counters;

	switch (opt->subtype) {
	case MP_PRIO:
		/* RFC 8684 3.3.8: for the subflow it came on, and our sending only. */
		count(k, CNT_MPPrioRx);
		s->backup_remote = opt->prio.backup;
		if (opt->prio.has_max_rto)
			conn_mode_uperf_received(s, opt->prio.max_rto_ms);
		engine_ready(c);
		break;
	case MP_EXPERIMENTAL:
		conn_mode_uperf_received(s, opt->uperf.max_rto_ms);
		break;
	case ADD_ADDR:
		/* In sealed form the paths are the host's: an address of the peer is believed or not, and counted. */
		if (!opt->add_addr.echo &&
		    opt->add_addr.hmac != token_add_addr_hmac(c->remote_key, c->local_key, opt->add_addr.addr_id,
							      &opt->add_addr.addr, opt->add_addr.has_port)) {
			count(k, CNT_AddAddrBadHmac);
			break;
		}
		count(k, opt->add_addr.echo ? CNT_EchoAdd : CNT_AddAddr);
		break;
	case REMOVE_ADDR:
		count(k, CNT_RmAddr);
		for (uint8_t i = 0; i < opt->remove_addr.count; i++)
			for (uint8_t n = 0; n < c->sub_count; n++)
				/* RFC 8684 3.4.2: a subflow that still works is not closed by it: its path is probed first. */
				if (c->subs[n]->remote_addr_id == opt->remove_addr.ids[i])
					engine_probe(c->engine, c->subs[n]->path, now_us);
		break;
	default:
		break;
	}
}

/* --- the host's paths --- */

static void path_up(struct engine *e, path_id id, enum path_state before, usec_t now_us)
{
	struct path *p = &e->paths[id];

	for (struct sub *s = p->subs; s; s = s->path_next) {
		s->dead_since_us = USEC_NEVER;
		/* Only what was stopped by the path starts anew: to one that is making progress this is no news. */
		/* A SYN on a path that was well all the time waits for its destination, which needs no more SYNs. */
		if (s->sf.rtt.backoff && (s->stage != SUB_OPENING || before != PATH_UP))
			subflow_path_alive(&s->sf, now_us);
		conn_sub_alive(s, now_us);
		conn_mode_settle(s, now_us);
		/* The peer may have given the subflow up meanwhile: then this ACK is answered by a RST, and it is joined anew. */
		if (before != PATH_UP && s->stage == SUB_LIVE)
			subflow_ack_now(&s->sf);
		s->want_out = true;
		engine_ready(s->conn);
	}
}

static void path_away(struct engine *e, path_id id, bool gone, usec_t now_us)
{
	struct path *p = &e->paths[id];
	struct sub *next;

	for (struct sub *s = p->subs; s; s = next) {
		struct conn *c = s->conn;

		next = s->path_next;
		/* What it sent last goes out on another path at once: the timer of the first try means nothing there. */
		if (pm_move(s)) {
			subflow_path_alive(&s->sf, now_us);
			if (s->stage == SUB_LIVE)
				subflow_ack_now(&s->sf);
			s->want_out = true;
			engine_ready(c);
			continue;
		}
		if (s->dead_since_us == USEC_NEVER)
			s->dead_since_us = now_us;
		conn_sub_suspect(s, now_us);
		conn_mode_enter(s, CAUSE_PATH, now_us);
		engine_ready(c);
	}
	/* Losing one subflow may end its connection and so others of this list: begin again each time. */
	while (gone && p->subs) {
		p->subs->end = "its path is gone";
		conn_sub_lost(p->subs, now_us);
	}
}

void pm_path_event(struct engine *e, path_id id, enum path_state before, bool gone, usec_t now_us)
{
	struct path *p = &e->paths[id];

	for (struct sub *s = p->subs; s; s = s->path_next) {
		subflow_set_mss(&s->sf, conn_path_mss(e, id));
		if (s->backup_local != p->backup) {
			s->backup_local = s->prio_backup = p->backup;
			s->send_prio = PRIO_REPEATS;
			if (s->stage == SUB_LIVE)
				subflow_ack_now(&s->sf);
			s->want_out = true;
			engine_ready(s->conn);
		}
	}
	for (struct sub *s = p->subs; s; s = s->path_next) {
		struct subflow_config sc;

		conn_subflow_config(s->conn, id, &sc);
		if (sc.mss != s->sf.config.mss)
			subflow_set_mss(&s->sf, sc.mss);
	}
	if (p->state != PATH_UP) {
		if (before == PATH_UP || gone)
			path_away(e, id, gone, now_us);
		return;
	}
	/* Up, or still up: for the subflows that were in doubt it is the answer to their probe. */
	path_up(e, id, before, now_us);
	if (before == PATH_UP || !p->may_initiate)
		return;
	for (struct conn *c = e->peers[p->peer].conns; c; c = c->peer_next) {
		if (!c->client || (!c->fully && c->sub_count))
			continue;
		for (unsigned i = 0; i < CONN_RETRY_PATHS; i++)
			if (c->retry[i].path == id)
				c->retry[i].path = PATH_NONE;
		if (c->join_us > now_us && (c->bytes_sent + c->bytes_received || !conn_has_living_sub(c)))
			c->join_us = now_us;
		engine_deadline_at(c, c->join_us);
	}
}
