/* SPDX-License-Identifier: MIT */
/* What the clock means to a connection. */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"

enum {
	STUCK_US = 1000 * 1000,
	STUCK_TRIES = 4, MUTE_US = 3 * 1000 * 1000,
	ZERO_WINDOW_MAX_US = 60 * 1000 * 1000,
	THIRD_ACKS_MAX = 6,              /* of a join without a fourth packet */
};

static usec_t shortest_rto(const struct conn *c)
{
	usec_t rto = USEC_NEVER;

	for (uint8_t i = 0; i < c->sub_count; i++)
		if (conn_sub_usable(c->subs[i]))
			rto = usec_min(rto, c->subs[i]->sf.rtt.rto_us);
	return rto == USEC_NEVER ? USEC_PER_S : rto;
}

/*
 * RFC 8684 3.7, the other direction of its last rule: what a subflow acknowledges is not acknowledged as data any more, since
 * options do not come back on it. It is broken, as one that lost them on the way there. True: one was reset.
 */
static bool reset_mute(struct conn *c, usec_t now_us)
{
	for (uint8_t i = 0; i < c->sub_count; i++) {
		struct sub *s = c->subs[i];

		if (s->stage != SUB_LIVE || c->engine->config.form != SEGMENT_PLAIN || s->acked_us < usec_add(s->data_ack_us, MUTE_US))
			continue;
		conn_facts_corrupt(s, "its options do not come back", REASON_MIDDLEBOX);
		conn_sub_rst(s, s->path, REASON_MIDDLEBOX, false);
		conn_sub_lost(s, now_us);
		return true;
	}
	return false;
}

/*
 * RFC 8684 3.7: the only subflow acknowledges what is sent, and does so without a DATA_ACK. A peer that has gone back to TCP,
 * perhaps since nothing of its own was ever acknowledged as data, takes what comes for what is next: nothing may go there twice.
 */
static bool fall_back_mute(struct conn *c, usec_t now_us)
{
	struct sub *s = c->sub_count == 1 ? c->subs[0] : NULL;

	if (!s || s->stage != SUB_LIVE || s->acked_us <= s->data_ack_us || !conn_may_fall_back(s) || !conn_fall_back(s, true, now_us))
		return false;
	count(c->engine->counters, CNT_MPCapableDataFallback);
	return true;
}

static void stuck(struct conn *c, usec_t now_us)
{
	/* Subflows have delivered all, and yet it is not acknowledged as data: the peer dropped it, or one took its memory along. */
	if (fall_back_mute(c, now_us))
		return;
	c->stuck_us = usec_add(now_us, STUCK_US);
	if (++c->stuck_tries >= STUCK_TRIES) {
		c->stuck_tries = 0;
		if (reset_mute(c, now_us))
			return;
	}
	count(c->engine->counters, CNT_MPTCPRetrans);
	conn_reinject_add(c, c->snd_una, dsn_min(c->snd_nxt, dsn_add(c->snd_una, 64 * 1024)), UINT32_MAX);
}

static void zero_window(struct conn *c, usec_t now_us)
{
	usec_t wait = shortest_rto(c) << (c->zero_window_tries < 10 ? c->zero_window_tries : 10);

	c->zero_window_us = usec_add(now_us, usec_min(wait, ZERO_WINDOW_MAX_US));
	c->zero_window_tries++;
	count(c->engine->counters, CNT_WinProbe);
	/* RFC 9293 3.8.6.1: one byte beyond the edge; the answer carries the window of now. */
	if (dsn_lt(c->snd_nxt, c->queue.end) && dsn_leq(c->snd_edge, c->snd_nxt))
		c->snd_edge = dsn_add(c->snd_nxt, 1);
}

/* RFC 9293 3.8.6.1: a window that is closed by a peer that answers is waited for, however long its application does not read. */
static bool reader_waits(const struct conn *c, usec_t now_us)
{
	if ((c->snd_wnd && !c->zero_window_tries) || dsn_leq(c->queue.end, c->snd_una))
		return false;
	for (uint8_t i = 0; i < c->sub_count; i++)
		if (usec_since(now_us, c->subs[i]->sf.last_rcv_us) < 2 * (usec_t)ZERO_WINDOW_MAX_US)
			return true;
	return false;
}

void conn_timeout(struct conn *c, usec_t now_us)
{
	c->burst_sub = -1;
	if (c->state == M_CLOSED)
		return;
	for (uint8_t i = 0; i < c->sub_count;) {
		struct sub *s = c->subs[i];
		struct subflow_facts f = { 0 };

		if (s->third_ack_us <= now_us && s->third_acks >= THIRD_ACKS_MAX) {
			count(c->engine->counters, CNT_JoinTimeout);
			conn_sub_tell_given_up(s);
			conn_sub_lost(s, now_us);
			if (c->state == M_CLOSED)
				return;
			i = 0;
			continue;
		}
		if (s->third_ack_us <= now_us) {
			s->third_ack_us = usec_add(now_us, usec_max(s->sf.rtt.rto_us, 50 * USEC_PER_MS) << s->third_acks++);
			subflow_ack_now(&s->sf);
			s->want_out = true;
		}
		if (pm_remove_due(s, now_us) || conn_keepalive_due(s, now_us)) {
			if (c->state == M_CLOSED)
				return;
			i = 0;
			continue;
		}
		if (subflow_deadline(&s->sf) <= now_us) {
			path_share_company(s);
			subflow_timeout(&s->sf, now_us, &f);
			if (conn_subflow_facts(s, &f, now_us)) {
				if (c->state == M_CLOSED)
					return;
				i = 0;
				continue;
			}
		}
		i++;
	}
	if (c->open_deadline_us <= now_us && c->dialling) {
		/* The destination gave no answer: that is one, too. The host is told to stop dialling. */
		conn_dialled(c, OPEN_TIMED_OUT, 0, now_us);
		c->orphan = false;
		c->tell = TELL_RESET;
		return;
	}
	if (c->open_deadline_us <= now_us) {
		c->open_deadline_us = USEC_NEVER;
		conn_fail(c, OPEN_TIMED_OUT, 0, true, now_us);
		return;
	}
	if (c->abort_us <= now_us) {
		conn_abort(c, now_us);
		return;
	}
	/* A join that lasted until now was not one of those that come and go; it may only have had nothing to carry. */
	if (c->dead_us <= now_us && conn_has_living_sub(c))
		c->dead_us = USEC_NEVER;
	if (c->close_us <= now_us && c->state != M_TIME_WAIT && reader_waits(c, now_us))
		c->close_us = usec_add(now_us, c->engine->config.close_timeout_us);
	if (c->dead_us <= now_us || (c->close_us <= now_us && c->state != M_TIME_WAIT)) {
		count(c->engine->counters, c->dead_us <= now_us ? CNT_ConnDead : CNT_ConnCloseTimeout);
		conn_fail(c, OPEN_TIMED_OUT, 0, true, now_us);
		return;
	}
	if (c->close_us <= now_us) {
		/*
		 * All is said both ways; a subflow that does not answer its FIN is not waited for. One in TIME-WAIT goes by
		 * itself: RFC 9293 3.10.7.4, eighth, the peer's FIN, when it comes again, has its time begin anew.
		 */
		c->close_us = USEC_NEVER;
		for (uint8_t i = 0; i < c->sub_count;) {
			if (c->subs[i]->sf.state == SF_TIME_WAIT)
				i++;
			else
				conn_sub_free(c->subs[i]);
		}
		if (!c->sub_count) {
			conn_sub_gone(c, now_us);
			return;
		}
	}
	if (!conn_mode_time(c, now_us))
		return;
	if (conn_fail_due(c, now_us) && c->state == M_CLOSED)
		return;
	if (c->zero_window_us <= now_us)
		zero_window(c, now_us);
	if (c->stuck_us <= now_us)
		stuck(c, now_us);
	if (c->state == M_CLOSED)
		return;
	if (c->join_us <= now_us)
		pm_joins(c, now_us);
	conn_announce_time(c, now_us);
	conn_free_acked(c);
	conn_drop_dead_subs(c, now_us);
}
