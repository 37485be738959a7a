/* SPDX-License-Identifier: MIT */
/*
 * The path manager: which path an open uses, when further subflows are joined, addresses (RFC 8684 3.2, 3.4). Paths are
 * the host's; the side that may initiate on them (the client) joins, the other answers.
 */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/engine_state.h"
#include "tunneld/mptcp/token.h"

enum {
	REMOVE_PROBES = 3, REMOVE_WAIT_MIN_US = 100 * 1000, /* keepalives before a removed address is believed to be gone */
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

path_id pm_next_path(const struct sub *s) { return pm_path_after(s, s->path); }

path_id pm_path_after(const struct sub *s, path_id after)
{
	struct engine *e = s->conn->engine;
	const struct addr *remote = s->remote.family ? &s->remote : NULL;
	peer_id peer = s->conn->peer;
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
		other = s->remote.family ? pm_path_beside(s) : pm_next_path(s);
	else if (!s->initiator && !s->join && s->stage == SUB_LIVE && c->sub_count == 1)
		/* We cannot join, and the initiator may not know that we need it. */
		other = another_path(e, c->peer, s->path);
	if (other == s->path || other == PATH_NONE || !pm_move_opening(s, other))
		return false;
	count(e->counters, CNT_SynRaced);
	return true;
}

/* --- addresses of the peer --- */

static void add_addr(struct sub *s, const struct mptcp_option *opt, usec_t now_us)
{
	struct conn *c = s->conn;
	struct counters *k = c->engine->counters;
	struct mptcp_option echo = *opt;

	if (opt->add_addr.echo) {
		count(k, pm_signal_echoed(c, opt) ? CNT_EchoAdd : CNT_EchoAddUnexpected);
		return;
	}
	/* RFC 8684 3.4.1: without a valid HMAC it is silently ignored. */
	if (opt->add_addr.hmac != token_add_addr_hmac(c->remote_key, c->local_key, opt->add_addr.addr_id, &opt->add_addr.addr,
						      opt->add_addr.has_port)) {
		count(k, CNT_AddAddrBadHmac);
		return;
	}
	count(k, CNT_AddAddr);
	/* RFC 8684 3.4.1: the same back, without the HMAC. Repeated ones too: our echo may have been lost. */
	echo.add_addr.echo = true;
	echo.add_addr.hmac = 0;
	pm_signal(c, NULL, &echo, now_us);
	if (s->remote.family) {
		struct addr to = opt->add_addr.addr;

		/* RFC 8684 3.4.1: without a port it is that of the subflow the announcement came on. */
		if (!opt->add_addr.has_port)
			to.port = s->remote.port;
		if (!pm_remote_add(c, opt->add_addr.addr_id, &to, now_us))
			count(k, CNT_AddAddrDrop);
	}
}

/*
 * RFC 8684 3.4.2: first a keepalive on the path, and only if nobody answers is it removed. What still works is for the peer to
 * close, with a FIN.
 */
static void remove_addr(struct conn *c, uint8_t id, usec_t now_us)
{
	bool known = false;

	pm_remote_remove(c, id);
	for (uint8_t i = 0; i < c->sub_count; i++) {
		struct sub *s = c->subs[i];

		if (s->remote_addr_id != id || s->stage == SUB_OPENING)
			continue;
		known = true;
		if (s->remove_us != USEC_NEVER)
			continue;
		s->remove_probes = 0;
		s->remove_us = now_us;
		engine_probe(c->engine, s->path, now_us);
	}
	/* RFC 8684 3.8: of an unknown id nothing is said. */
	if (!known)
		count(c->engine->counters, CNT_RmAddrDrop);
}

bool pm_remove_due(struct sub *s, usec_t now_us)
{
	struct conn *c = s->conn;

	if (s->remove_us > now_us)
		return false;
	if (s->remove_probes < REMOVE_PROBES) {
		s->remove_us = usec_add(now_us, usec_max(s->sf.rtt.rto_us, REMOVE_WAIT_MIN_US) << s->remove_probes++);
		subflow_keepalive(&s->sf);
		s->want_out = true;
		return false;
	}
	count(c->engine->counters, CNT_RmSubflow);
	s->end = "its address was removed";
	conn_sub_rst(s, s->path, REASON_UNSPECIFIED, true);
	conn_sub_lost(s, now_us);
	return true;
}

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
		if (opt->experiment == EXPERIMENT_UPERF)
			conn_mode_uperf_received(s, opt->uperf.max_rto_ms);
		else
			conn_carried_received(s, &opt->carried);
		break;
	case ADD_ADDR:
		add_addr(s, opt, now_us);
		break;
	case REMOVE_ADDR:
		count(k, CNT_RmAddr);
		for (uint8_t i = 0; i < opt->remove_addr.count; i++)
			remove_addr(c, opt->remove_addr.ids[i], now_us);
		break;
	default:
		break;
	}
}

/* --- addresses of ours --- */

static bool known_to_peer(const struct conn *c, path_id path, uint8_t addr_id)
{
	for (uint8_t i = 0; i < c->sub_count; i++)
		if (c->subs[i]->path == path)
			return true;
	return c->announced & UINT64_C(1) << (addr_id & 63);
}

void pm_announce(struct conn *c, usec_t now_us)
{
	struct engine *e = c->engine;

	/* The side that joins needs to tell nobody. RFC 8684 3.2: and no join, so no address either, before the peer has our key. */
	if (c->client || !c->fully || c->fallen || c->orphan)
		return;
	for (path_id id = e->peers[c->peer].paths; id != PATH_NONE; id = e->paths[id].peer_next) {
		const struct path *p = &e->paths[id];
		struct mptcp_option opt = { .subtype = ADD_ADDR };

		if (!p->announce || p->service != c->service || p->state != PATH_UP || !p->addr_id || !p->local.family ||
		    known_to_peer(c, id, p->addr_id))
			continue;
		opt.add_addr.addr_id = p->addr_id;
		opt.add_addr.addr = p->local;
		/* RFC 8684 3.4.1: without a port it is the one in use. */
		opt.add_addr.has_port = p->local.port && c->sub_count && p->local.port != c->subs[0]->local_port;
		if (!opt.add_addr.has_port)
			opt.add_addr.addr.port = 0;
		opt.add_addr.hmac = token_add_addr_hmac(c->local_key, c->remote_key, p->addr_id, &opt.add_addr.addr, opt.add_addr.has_port);
		if (pm_signal(c, NULL, &opt, now_us))
			c->announced |= UINT64_C(1) << (p->addr_id & 63);
	}
}

static void announce_gone(struct conn *c, path_id path, usec_t now_us)
{
	const struct path *p = &c->engine->paths[path];
	struct mptcp_option opt = { .subtype = REMOVE_ADDR };

	if (!c->fully)
		return;
	for (uint8_t i = 0; i < c->sub_count; i++) {
		const struct sub *s = c->subs[i];
		bool have = s->path != path || s->stage == SUB_OPENING;

		for (uint8_t n = 0; n < opt.remove_addr.count; n++)
			have |= opt.remove_addr.ids[n] == s->local_addr_id;
		if (!have)
			opt.remove_addr.ids[opt.remove_addr.count++] = s->local_addr_id;
	}
	/* RFC 8684 3.4.2: also one that is not in use, if it was announced. */
	if (c->announced & UINT64_C(1) << (p->addr_id & 63)) {
		bool have = false;

		c->announced &= ~(UINT64_C(1) << (p->addr_id & 63));
		pm_signal_forget(c, p->addr_id);
		for (uint8_t n = 0; n < opt.remove_addr.count; n++)
			have |= opt.remove_addr.ids[n] == p->addr_id;
		if (!have && opt.remove_addr.count < ADDR_ID_MAX)
			opt.remove_addr.ids[opt.remove_addr.count++] = p->addr_id;
	}
	if (opt.remove_addr.count)
		pm_signal(c, NULL, &opt, now_us);
}

/* --- the host's paths --- */

static void path_up(struct engine *e, path_id id, enum path_state before, usec_t now_us)
{
	struct path *p = &e->paths[id];

	p->news_wanted = false;
	for (struct sub *s = p->subs; s; s = s->path_next) {
		if (before == PATH_UP && !s->sf.rtt.timeouts && !s->stale && s->backup.cause == CAUSE_NONE &&
		    s->dead_since_us == USEC_NEVER)
			continue;
		p->news_wanted = true; /* it may not be settled by this */
		s->dead_since_us = USEC_NEVER;
		/* Only what was stopped by the path starts anew: to one that is making progress this is no news. */
		/* A SYN on a path that was well all the time waits for its destination, which needs no more SYNs. */
		/*
		 * Where the path itself takes about as long as the timeout, somebody is overloaded: RFC 6298 5.5's backoff is then
		 * all that keeps ten thousand subflows from sending again each time that one probe is answered.
		 */
		if (s->sf.rtt.timeouts &&
		    (before != PATH_UP || (s->stage != SUB_OPENING && 2 * p->rtt_us < s->sf.rtt.rto_us)))
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
	if (!gone)
		return;
	/* RFC 8684 3.4.2: the peer is told, on what is left or comes back. */
	for (struct conn *c = e->peers[p->peer].conns; c; c = c->peer_next)
		announce_gone(c, id, now_us);
	/* Losing one subflow may end its connection and so others of this list: begin again each time. */
	while (p->subs) {
		p->subs->end = "its path is gone";
		conn_sub_tell_dropped(p->subs, REASON_UNSPECIFIED);
		conn_sub_lost(p->subs, now_us);
	}
}

void pm_path_event(struct engine *e, path_id id, enum path_state before, bool gone, usec_t now_us)
{
	struct path *p = &e->paths[id];
	struct mptcp_option prio;

	if (!p->news_wanted)
		return;
	for (struct sub *s = p->subs; s; s = s->path_next) {
		s->conn->burst_sub = -1; /* another may be the better one now */
		bool backup = conn_path_backup(s->conn, id);

		subflow_path_mss(&s->sf, conn_path_mss(e, id), false);
		if (s->backup_local != backup) {
			s->backup_local = backup;
			prio = conn_mode_prio(s, backup);
			pm_signal(s->conn, s, &prio, now_us);
		}
	}
	if (p->state != PATH_UP) {
		if (before == PATH_UP || gone)
			path_away(e, id, gone, now_us);
		return;
	}
	/* Up, or still up: for the subflows that were in doubt it is the answer to their probe. */
	path_up(e, id, before, now_us);
	for (struct conn *c = before != PATH_UP || p->announce ? e->peers[p->peer].conns : NULL; c; c = c->peer_next) {
		if (before != PATH_UP)
			pm_signal_forget(c, p->addr_id);
		pm_announce(c, now_us);
	}
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
