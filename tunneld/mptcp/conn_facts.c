/* SPDX-License-Identifier: MIT */
/*
 * What happened, for the host to tell (fact.h), and FAULT_ANNOUNCE in both directions (seeds: fault management). Subflows
 * that came or changed their mode are noticed by comparing with what was told last, when a connection's output is done.
 */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/engine_state.h"
#include "tunneld/wire/option_rules.h"

#include <stdlib.h>
#include <string.h>

enum {
	ANNOUNCE_COPIES = 5,      /* on pure ACKs, which nobody acknowledges */
	ANNOUNCE_MOST = 10,       /* and with data, of which a copy's arrival can be known */
	ANNOUNCE_CONNS = 2,       /* connections that announce one fault: one may end meanwhile */
	ANNOUNCES_OF_CONN = 4,    /* under way at a time */
};
#define ANNOUNCE_LEAST_US (50 * USEC_PER_MS)

const char *fact_kind_name(enum fact_kind k)
{
	static const char *const names[FACT_KINDS] = {
		[FACT_CONN_UP] = "connection_up", [FACT_CONN_DOWN] = "connection_down",
		[FACT_SUBFLOW_UP] = "subflow_up", [FACT_SUBFLOW_DOWN] = "subflow_down", [FACT_SUBFLOW_MODE] = "subflow_mode",
		[FACT_TIMEOUT] = "timeout", [FACT_RESET] = "reset", [FACT_CORRUPT] = "corrupt",
		[FACT_FAULT_HEARD] = "fault_heard", [FACT_FAULT_TOLD] = "fault_told",
	};

	return (unsigned)k < FACT_KINDS ? names[k] : "?";
}

/* --- the ring --- */

bool engine_facts_open(struct engine *e)
{
	if (!e->config.facts)
		return true;
	e->facts = calloc(e->config.facts, sizeof *e->facts);
	e->announces = calloc(ENGINE_ANNOUNCES, sizeof *e->announces);
	return e->facts && e->announces;
}

void engine_facts_close(struct engine *e)
{
	free(e->facts);
	free(e->announces);
}

bool engine_next_fact(struct engine *e, struct fact *out)
{
	if (!e->fact_count)
		return false;
	*out = e->facts[e->fact_head];
	e->fact_head = (e->fact_head + 1) % e->config.facts;
	e->fact_count--;
	return true;
}

static void push(struct engine *e, const struct fact *f)
{
	if (!e->facts)
		return;
	if (e->fact_count == e->config.facts) {
		count(e->counters, CNT_FactsDropped);
		return;
	}
	e->facts[(e->fact_head + e->fact_count++) % e->config.facts] = *f;
}

static struct fact of_conn(const struct conn *c, enum fact_kind kind)
{
	struct fact f = {
		.kind = kind, .conn = c->id, .token = c->local_token, .peer = c->peer, .host = c->host, .path = FACT_NO_PATH,
	};

	if (c->sub_count)
		f.remote = c->subs[0]->remote;
	return f;
}

static uint32_t cap32(uint64_t v) { return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v; }

static struct fact of_sub(const struct sub *s, enum fact_kind kind)
{
	struct fact f = of_conn(s->conn, kind);

	f.path = s->path == PATH_NONE ? FACT_NO_PATH : s->path;
	f.subflow = s->id;
	f.remote = s->remote;
	f.local_addr_id = s->local_addr_id;
	f.remote_addr_id = s->remote_addr_id;
	f.rto_ms = cap32(s->sf.rtt.rto_us / USEC_PER_MS);
	f.srtt_ms = (double)s->sf.rtt.srtt_us / 1000;
	f.in_flight = subflow_in_flight_seq(&s->sf);
	f.backoff = s->sf.rtt.timeouts;
	f.limit_ms = conn_uperf_timeout_ms(s);
	return f;
}

/* --- what happened --- */

void conn_facts_look(struct conn *c)
{
	struct fact f;

	if (!c->engine->facts)
		return;
	if (!c->up_told && c->state == M_ESTAB) {
		c->up_told = true;
		f = of_conn(c, FACT_CONN_UP);
		push(c->engine, &f);
	}
	for (uint8_t i = 0; i < c->sub_count; i++) {
		struct sub *s = c->subs[i];
		enum backup_mode mode = conn_sub_mode(s);

		if (s->stage != SUB_LIVE)
			continue;
		if (!s->up_told) {
			s->up_told = true;
			s->mode_told = (uint8_t)mode;
			f = of_sub(s, FACT_SUBFLOW_UP);
			f.to = backup_mode_name(mode);
			push(c->engine, &f);
		} else if (s->mode_told != (uint8_t)mode) {
			f = of_sub(s, FACT_SUBFLOW_MODE);
			f.from = backup_mode_name((enum backup_mode)s->mode_told);
			f.to = backup_mode_name(mode);
			s->mode_told = (uint8_t)mode;
			push(c->engine, &f);
		}
	}
}

void conn_facts_sub_down(const struct sub *s)
{
	struct fact f;

	/* One that nobody was told of: a join that never came to be matters when it says why. */
	if (!s->up_told && !s->end)
		return;
	f = of_sub(s, FACT_SUBFLOW_DOWN);
	f.to = s->end ? s->end : s->stage == SUB_CLOSING ? "closed" : s->conn->state == M_CLOSED ? "connection ended" : "lost";
	f.from = backup_mode_name((enum backup_mode)s->mode_told);
	f.has_cause = s->end_has_cause;
	f.cause = s->end_cause;
	f.transient = s->end_transient;
	push(s->conn->engine, &f);
}

void conn_facts_down(const struct conn *c)
{
	struct fact f;

	if (!c->up_told)
		return;
	f = of_conn(c, FACT_CONN_DOWN);
	f.to = c->result == OPEN_OK ? "closed" : open_result_text(c->result);
	push(c->engine, &f);
}

void conn_facts_timeout(const struct sub *s)
{
	/* The first is everyday loss. */
	if (s->sf.rtt.timeouts >= 2 && s->stage == SUB_LIVE) {
		struct fact f = of_sub(s, FACT_TIMEOUT);

		push(s->conn->engine, &f);
	}
}

void conn_facts_reset(struct sub *s, const struct mptcp_option *why)
{
	struct fact f = of_sub(s, FACT_RESET);

	s->end = "reset by the peer";
	s->end_has_cause = f.has_cause = why;
	if (why) {
		s->end_cause = f.cause = why->tcprst.reason;
		s->end_transient = f.transient = why->tcprst.transient;
	}
	push(s->conn->engine, &f);
}

void conn_facts_corrupt(struct sub *s, const char *what, enum mptcp_reason reason)
{
	struct fact f = of_sub(s, FACT_CORRUPT);

	s->end = f.to = what;
	s->end_has_cause = f.has_cause = true;
	s->end_cause = f.cause = (uint8_t)reason;
	push(s->conn->engine, &f);
}

/* --- FAULT_ANNOUNCE received: a hint, which changes nothing here --- */

void conn_fault_heard(struct sub *by, const struct mptcp_option *opt, usec_t now_us)
{
	struct conn *c = by->conn;
	struct fact f = of_conn(c, FACT_FAULT_HEARD);

	count(c->engine->counters, CNT_FaultAnnounceRx);
	f.subflow = by->id;
	f.has_cause = true;
	f.cause = opt->fault.cause;
	f.transient = opt->fault.transient;
	f.middlebox = opt->fault.middlebox;
	/* The peer's source is our remote. */
	f.local_addr_id = opt->fault.dst_addr_id;
	f.remote_addr_id = opt->fault.src_addr_id;
	for (uint8_t i = 0; i < c->sub_count; i++)
		if (c->subs[i]->remote_addr_id == f.remote_addr_id && c->subs[i]->local_addr_id == f.local_addr_id) {
			f.path = c->subs[i]->path;
			f.remote = c->subs[i]->remote;
		}
	/* In sealed form both ends number a path alike. */
	for (path_id id = c->engine->peers[c->peer].paths; f.path == FACT_NO_PATH && id != PATH_NONE; id = c->engine->paths[id].peer_next)
		if (c->engine->config.form == SEGMENT_SEALED && c->engine->paths[id].addr_id == f.remote_addr_id)
			f.path = id;
	/* Whether it is true, a probe of ours tells. */
	if (f.path != FACT_NO_PATH)
		engine_probe(c->engine, f.path, now_us);
	push(c->engine, &f);
}

/* --- FAULT_ANNOUNCE sent --- */

static struct announce *announce_at(const struct engine *e, uint8_t number)
{
	return number ? &e->announces[number - 1] : NULL;
}

static struct announce *announce_first(const struct conn *c)
{
	return announce_at(c->engine, c->announce);
}

static struct announce *announce_after(const struct conn *c, const struct announce *a)
{
	return announce_at(c->engine, a->next);
}

/* What lasts matters to every choice to come; a router's name tells more than a probe's silence. */
static uint8_t announce_weight(const struct event *ev)
{
	return (uint8_t)((ev->fault.transient ? 0 : 2) + (ev->fault.middlebox.family ? 1 : 0));
}

static void announce_end(struct conn *c, struct announce *a, bool arrived)
{
	struct engine *e = c->engine;
	uint8_t number = (uint8_t)(a - e->announces + 1), *at = &c->announce;
	struct fact f = of_conn(c, FACT_FAULT_TOLD);

	f.fault = a->fault;
	f.path = a->path;
	f.arrived = arrived;
	f.copies = a->copies;
	push(e, &f);
	while (*at != number)
		at = &e->announces[*at - 1].next;
	*at = a->next;
	*a = (struct announce){ .used = false };
}

/* Behind all that weigh as much. NULL: there is no room, or only what weighs as much would make some. */
static struct announce *announce_add(struct conn *c, uint8_t weight)
{
	struct engine *e = c->engine;
	struct announce *last = NULL;
	unsigned count = 0, free = 0;
	uint8_t *at = &c->announce;

	for (struct announce *a = announce_first(c); a; a = announce_after(c, a), count++)
		last = a;
	if (count == ANNOUNCES_OF_CONN) {
		if (last->weight >= weight)
			return NULL;
		announce_end(c, last, false);
	}
	while (free < ENGINE_ANNOUNCES && e->announces[free].used)
		free++;
	if (free == ENGINE_ANNOUNCES)
		return NULL;
	while (*at && e->announces[*at - 1].weight >= weight)
		at = &e->announces[*at - 1].next;
	e->announces[free] = (struct announce){ .used = true, .weight = weight, .next = *at };
	*at = (uint8_t)(free + 1);
	return &e->announces[free];
}

/* What goes next by this subflow: what was said least often, of those the heaviest. */
static struct announce *announce_due(const struct sub *s, bool with_data)
{
	struct announce *best = NULL;

	for (struct announce *a = announce_first(s->conn); a; a = announce_after(s->conn, a))
		if (a->due && a->by == s->id && (with_data || a->on_ack) && (!best || a->copies < best->copies))
			best = a;
	return best;
}

/* Another subflow than those on the path the fault is of, which works. */
static struct sub *carrier(const struct conn *c, path_id not_on)
{
	struct sub *best = NULL;

	for (uint8_t i = 0; i < c->sub_count; i++) {
		struct sub *s = c->subs[i];

		if (s->stage != SUB_LIVE || s->path == not_on || s->path == PATH_NONE || !conn_sub_usable(s) || conn_sub_avoid(s) ||
		    c->engine->paths[s->path].state != PATH_UP)
			continue;
		if (!best || (s->sf.rtt.srtt_us && s->sf.rtt.srtt_us < best->sf.rtt.srtt_us))
			best = s;
	}
	return best;
}

static bool announce_on(struct conn *c, const struct event *ev, usec_t now_us)
{
	const struct path *p = &c->engine->paths[ev->fault.path];
	struct announce *a;

	if (!c->fully || c->state == M_CLOSED || c->state == M_TIME_WAIT || !carrier(c, ev->fault.path))
		return false;
	for (a = announce_first(c); a; a = announce_after(c, a))
		if (a->fault == ev->fault.id)
			return true;
	a = announce_add(c, announce_weight(ev));
	if (!a)
		return false;
	a->fault = ev->fault.id;
	a->path = ev->fault.path;
	a->next_us = now_us;
	a->option = (struct mptcp_option){ .subtype = FAULT_ANNOUNCE, .fault = {
		.cause = ev->fault.cause, .transient = ev->fault.transient, .middlebox = ev->fault.middlebox,
		.src_addr_id = p->addr_id, .dst_addr_id = p->addr_id,
	} };
	for (uint8_t i = 0; i < c->sub_count; i++)
		if (c->subs[i]->path == ev->fault.path) {
			a->option.fault.src_addr_id = c->subs[i]->local_addr_id;
			a->option.fault.dst_addr_id = c->subs[i]->remote_addr_id;
		}
	conn_announce_time(c, now_us);
	engine_ready(c);
	return true;
}

/* Who hears of it only now would take it for a new one. */
static void announce_over(struct conn *c, uint64_t fault)
{
	for (struct announce *a = announce_first(c); a; a = announce_after(c, a))
		if (a->fault == fault) {
			announce_end(c, a, false);
			return;
		}
}

enum err engine_fault_event(struct engine *e, const struct event *ev, usec_t now_us)
{
	struct path *p = engine_path(e, ev->fault.path);
	unsigned told = 0;

	if (!p || !e->announces)
		return ERR_UNKNOWN;
	for (struct conn *c = ev->fault.over ? e->peers[p->peer].conns : NULL; c; c = c->peer_next)
		announce_over(c, ev->fault.id);
	if (ev->fault.over)
		return ERR_OK;
	/* Those that have a subflow there know it by its ids in any form; then whoever can say it. */
	for (struct sub *s = p->subs; s && told < ANNOUNCE_CONNS; s = s->path_next)
		if (!ev->fault.remote.family || addr_same_ip(&ev->fault.remote, &s->remote))
			told += announce_on(s->conn, ev, now_us);
	for (struct conn *c = e->peers[p->peer].conns; c && !told && e->config.form == SEGMENT_SEALED; c = c->peer_next)
		told += announce_on(c, ev, now_us);
	return told ? ERR_OK : ERR_UNEXPECTED;
}

static void announce_time(struct conn *c, struct announce *a, usec_t now_us)
{
	struct sub *s;

	if (a->copies >= ANNOUNCE_MOST || (a->copies >= ANNOUNCE_COPIES && !a->with_data)) {
		announce_end(c, a, false);
		return;
	}
	s = carrier(c, a->path);
	if (s) {
		/* The first goes at once, others wait a turn for data to ride on: its acknowledgement says that they arrived. */
		if (!a->copies || (a->due && a->by == s->id)) {
			subflow_ack_now(&s->sf);
			s->want_out = true;
			engine_ready(c);
			a->on_ack = true;
		}
		a->due = true;
		a->by = s->id;
	}
	a->next_us = usec_add(now_us, usec_max(s ? 2 * s->sf.rtt.srtt_us : 0, ANNOUNCE_LEAST_US) << (a->copies < 4 ? a->copies : 4));
}

void conn_announce_time(struct conn *c, usec_t now_us)
{
	struct announce *next;

	for (struct announce *a = announce_first(c); a; a = next) {
		next = announce_after(c, a);
		if (a->next_us <= now_us)
			announce_time(c, a, now_us);
	}
}

usec_t conn_announce_deadline(const struct conn *c)
{
	usec_t at = USEC_NEVER;

	for (const struct announce *a = announce_first(c); a; a = announce_after(c, a))
		at = usec_min(at, a->next_us);
	return at;
}

uint32_t conn_announce_room(const struct sub *s)
{
	const struct announce *a = announce_due(s, true);

	return a ? (uint32_t)((mptcp_option_size(&a->option) + 3) & ~(size_t)3) : 0;
}

void conn_announce_put(struct sub *s, struct segment *seg, const struct subflow_data *d)
{
	struct announce *a = announce_due(s, d->len != 0);

	if (!a || s->conn->fallen || seg->mptcp_count == SEGMENT_MPTCP_MAX || d->retransmission)
		return;
	if (!d->len && !pm_signal_may(s, s->sf.last_snd_us))
		return;
	seg->mptcp[seg->mptcp_count++] = a->option;
	/*
	 * With data there is less room: a pure ACK takes it. Where even that has too little, because of SACK blocks, this copy goes
	 * without the address and the others with it; beside a DATA_FIN with its checksum there is none: the next segment takes it.
	 */
	if (!d->len && segment_options_size(seg) > TCP_OPTIONS_MAX)
		seg->mptcp[seg->mptcp_count - 1].fault.middlebox.family = 0;
	if (segment_options_size(seg) > TCP_OPTIONS_MAX) {
		seg->mptcp_count--;
		if (!d->len || ssn_lt(ssn_add(d->seq, d->len), ssn_add(s->map.seq, s->map.len)))
			return; /* a later segment of this mapping has room, or the next turn's ACK */
		subflow_ack_now(&s->sf);
		s->want_out = true;
		a->on_ack = true;
		return;
	}
	a->due = a->on_ack = false;
	a->copies++;
	count(s->conn->engine->counters, CNT_FaultAnnounceTx);
	if (d->len) {
		a->with_data = true;
		a->end = ssn_add(d->seq, d->len);
		a->retransmitted = s->sf.retransmitted_segments;
	} else {
		pm_signal_went(s, s->sf.last_snd_us);
	}
}

void conn_announce_acked(const struct sub *s, struct ssn to)
{
	struct announce *next;

	for (struct announce *a = announce_first(s->conn); a; a = next) {
		next = announce_after(s->conn, a);
		if (!a->with_data || a->by != s->id || ssn_lt(to, a->end))
			continue;
		if (s->sf.retransmitted_segments == a->retransmitted)
			announce_end(s->conn, a, true);
		else
			a->with_data = false; /* a retransmission does not carry it, and may be what was acknowledged */
	}
}

void conn_announce_gone(struct conn *c)
{
	while (c->announce)
		announce_end(c, announce_first(c), false);
}
