/* SPDX-License-Identifier: MIT */
/* What becomes of data that hangs on a subflow which does not answer, and when such a subflow is given up. */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"

#include <stdlib.h>

enum {
	PATH_AWAY_US = 30 * 1000 * 1000, /* a subflow whose path is not up for longer is dropped, if another lives */
};

void conn_reinject_add(struct conn *c, struct dsn start, struct dsn end, uint32_t from)
{
	uint32_t i;

	start = dsn_max(start, c->snd_una);
	if (dsn_leq(end, start))
		return;
	if (c->reinject_count == c->reinject_room) {
		uint32_t room = c->reinject_room ? c->reinject_room * 2 : 8;
		struct reinject *more = realloc(c->reinjects, room * sizeof *more);

		/* Without memory the subflow's own retransmission, or stuck_us, has to do. */
		if (!more)
			return;
		c->reinjects = more;
		c->reinject_room = room;
	}
	for (i = c->reinject_count; i > 0 && dsn_lt(start, c->reinjects[i - 1].start); i--)
		c->reinjects[i] = c->reinjects[i - 1];
	c->reinjects[i] = (struct reinject){ start, end, from };
	c->reinject_count++;
}

bool conn_another_usable(const struct sub *s)
{
	const struct conn *c = s->conn;
	bool silent = conn_sub_silent(s);

	for (uint8_t i = 0; i < c->sub_count; i++) {
		const struct sub *other = c->subs[i];

		/* One that underperforms, too, is better than one that does not answer at all. */
		if (other != s && conn_sub_usable(other) && (silent ? !conn_sub_silent(other) : !conn_sub_avoid(other)))
			return true;
	}
	return false;
}

void conn_reinject_all(struct sub *s)
{
	for (uint32_t i = 0; i < s->sent.count; i++) {
		struct sent_range *r = sent_map_at(&s->sent, i);

		if (r->reinjected)
			continue;
		r->reinjected = true;
		conn_reinject_add(s->conn, r->dsn, dsn_add(r->dsn, r->len), s->id);
	}
}

void conn_sub_reinject(struct sub *s, usec_t now_us)
{
	(void)now_us;
	if (!s->sent.count || !conn_another_usable(s))
		return;
	conn_reinject_all(s);
	engine_ready(s->conn);
}

/* A new way is open: what hangs on subflows that do not answer goes there. */
void conn_reinject_stale(struct conn *c, usec_t now_us)
{
	for (uint8_t i = 0; i < c->sub_count; i++)
		if (conn_sub_avoid(c->subs[i]))
			conn_sub_reinject(c->subs[i], now_us);
}

void conn_sub_suspect(struct sub *s, usec_t now_us)
{
	if (s->stage != SUB_LIVE && s->stage != SUB_CLOSING)
		return;
	if (!s->stale) {
		s->stale = true;
		s->conn->burst_sub = -1;
		engine_news_wanted(s->conn->engine, s->path);
		count(s->conn->engine->counters, CNT_SubflowStale);
		/* A path that was refused while this one answered is the only way now, or the way to learn that the peer knows us no more. */
		if (s->conn->client && !conn_has_answering_sub(s->conn))
			s->conn->join_us = usec_min(s->conn->join_us, now_us);
	}
	conn_sub_reinject(s, now_us);
}

/* It answers after all: what no other subflow has taken yet need not go twice. */
static void reinject_cancel(struct sub *s)
{
	struct conn *c = s->conn;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < c->reinject_count; i++) {
		const struct reinject *r = &c->reinjects[i];

		if (r->from != s->id) {
			c->reinjects[kept++] = *r;
			continue;
		}
		for (uint32_t k = 0; k < s->sent.count; k++) {
			struct sent_range *sent = sent_map_at(&s->sent, k);

			if (dsn_lt(sent->dsn, r->end) && dsn_lt(r->start, dsn_add(sent->dsn, sent->len)))
				sent->reinjected = false;
		}
	}
	c->reinject_count = kept;
}

void conn_sub_alive(struct sub *s, usec_t now_us)
{
	if (s->stale) {
		s->stale = false;
		s->conn->burst_sub = -1;
		if (!conn_sub_avoid(s))
			reinject_cancel(s);
		count(s->conn->engine->counters, CNT_SubflowRecover);
		conn_reinject_stale(s->conn, now_us);
		engine_ready(s->conn);
	}
}

static void sub_ended(struct sub *s, usec_t now_us)
{
	struct conn *c = s->conn;
	bool came_to_be = s->stage == SUB_LIVE || s->stage == SUB_CLOSING;

	if (s->end_why)
		pm_join_reset(c, s->path, s->join_to, s->end_why, now_us);
	else
		/* RFC 8684 3.9.3: an address that never answered is not tried again, unless it is announced again. */
		pm_join_failed(c, s->path, s->join_to, !came_to_be && s->join && s->remote.family, now_us);
}

void conn_sub_lost(struct sub *s, usec_t now_us)
{
	struct conn *c = s->conn;
	path_id path = s->path;

	/* Marked or not: what others were to carry may hang on this one by its id, which is nobody's from now on. */
	conn_reinject_all(s);
	if (c->client && path != PATH_NONE)
		sub_ended(s, now_us);
	conn_sub_free(s);
	conn_free_acked(c);
	engine_ready(c);
	conn_sub_gone(c, now_us);
}

/* Where a RST of s may go but on its own path. */
static path_id another_path(const struct sub *s)
{
	const struct conn *c = s->conn;
	const struct sub *by = NULL;

	if (c->engine->config.form != SEGMENT_SEALED)
		return PATH_NONE;
	for (uint8_t i = 0; i < c->sub_count; i++)
		if (c->subs[i] != s && conn_sub_usable(c->subs[i]) && (!by || !conn_sub_avoid(c->subs[i])))
			by = c->subs[i];
	return by ? by->path : PATH_NONE;
}

/*
 * The peer, if it only receives, would never learn that the subflow is gone, and never join again. In sealed form ports belong
 * to the session and not to a path, so the RST takes a path that works. RFC 8684 3.6: it is transient, the path may come back.
 */
void conn_sub_tell_dropped(struct sub *s, enum mptcp_reason reason)
{
	path_id by = another_path(s);

	if (by != PATH_NONE)
		conn_sub_rst(s, by, reason, true);
}

/*
 * RFC 9293 3.8.3: R2 closes the connection, here: the subflow. A peer that was only away is told so when it is reached, in
 * place of asking and being answered by a RST then. Who never answered a SYN has nothing that could end.
 */
void conn_sub_tell_given_up(struct sub *s)
{
	path_id by = another_path(s);

	if (by == PATH_NONE)
		by = s->path;
	if (s->stage != SUB_OPENING && by != PATH_NONE)
		conn_sub_rst(s, by, REASON_PERFORMANCE, true);
}

/*
 * A subflow that has stopped answering keeps bytes that everyone else has acknowledged. RFC 8684 3.3.1 lets them go when the
 * subflow is declared dead: it is, once it holds more than a window of them, or its path has been away for long.
 */
void conn_drop_dead_subs(struct conn *c, usec_t now_us)
{
	bool heavy = (uint64_t)dsn_diff(c->snd_una, c->queue.start) > c->snd_limit;

	for (uint8_t i = 0; i < c->sub_count;) {
		struct sub *s = c->subs[i];
		bool long_away = usec_since(now_us, s->dead_since_us) > PATH_AWAY_US && s->dead_since_us != USEC_NEVER;
		bool holds = heavy && (dsn_eq(sent_map_lowest(&s->sent, c->queue.end), c->queue.start) ||
				       (conn_map_left(s) && dsn_eq(conn_map_next(s), c->queue.start)));

		if (s->stage == SUB_LIVE && conn_sub_avoid(s) && conn_another_usable(s) && (long_away || holds)) {
			count(c->engine->counters, CNT_SubflowDropped);
			s->end = "unanswered for long";
			conn_sub_tell_dropped(s, holds ? REASON_OUTSTANDING_DATA : REASON_PERFORMANCE);
			conn_sub_lost(s, now_us);
			conn_free_acked(c);
			i = 0;
			heavy = (uint64_t)dsn_diff(c->snd_una, c->queue.start) > c->snd_limit;
			continue;
		}
		i++;
	}
}
