/* SPDX-License-Identifier: MIT */
/* What the steps of the closure FSM (conn_state.h) ask for; fast close, RFC 8684 3.5; the end of a connection by a fault. */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"
#include "tunneld/mptcp/token.h"

/* What ends with its connection. */
static void reset_sub(struct sub *s, bool fast)
{
	struct conn *c = s->conn;
	/* RFC 8684 3.5: the receiver's key; with MP_TCPRST beside it, as Linux does. */
	struct mptcp_option fc = { .subtype = MP_FASTCLOSE, .fastclose = { .receiver_key = c->remote_key } };

	if (s->sf.state == SF_CLOSED || s->sf.state == SF_TIME_WAIT)
		return;
	/* RFC 9293 3.10.5: nothing for a SYN that was not answered; its answer will be. A gateway is to stop dialling, though. */
	if (s->sf.state == SF_SYN_SENT && c->engine->config.form == SEGMENT_PLAIN) {
		subflow_close_now(&s->sf);
		return;
	}
	if (fast)
		count(c->engine->counters, CNT_MPFastcloseTx);
	conn_sub_rst_with(s, s->path, REASON_UNSPECIFIED, false, fast ? &fc : NULL);
}

void conn_close_subflows(struct conn *c, usec_t now_us)
{
	for (uint8_t i = 0; i < c->sub_count;) {
		struct sub *s = c->subs[i];

		if (s->stage != SUB_LIVE && s->stage != SUB_CLOSING) {
			reset_sub(s, false);
			conn_sub_free(s);
			i = 0;
			continue;
		}
		if (s->stage == SUB_LIVE) {
			s->stage = SUB_CLOSING;
			subflow_close(&s->sf, now_us);
		}
		s->want_out = true;
		i++;
	}
	/* A peer that has not heard our last DATA_ACK says its DATA_FIN again: we are here as long as it may. */
	c->close_us = usec_add(now_us, c->engine->config.close_timeout_us);
	c->join_us = c->dead_us = USEC_NEVER;
	c->reinject_count = 0;
	engine_ready(c);
}

void conn_input_close(struct conn *c, enum conn_step_input in, usec_t now_us)
{
	unsigned what;

	if (in == IN_CLOSE)
		c->shutdown = true;
	engine_ready(c);
	if (!conn_step(&c->state, in, &what)) {
		/* A shutdown while opening is remembered and done when it is open; the rest means nothing here. */
		if (in != IN_CLOSE || c->state != M_OPENING)
			count(c->engine->counters, CNT_CloseUnexpected);
		return;
	}
	if (what & DO_SEND_DATA_FIN)
		c->close_us = usec_add(now_us, c->engine->config.close_timeout_us);
	if (what & DO_CLOSE_SUBFLOWS)
		conn_close_subflows(c, now_us);
	if (what & DO_END)
		c->host_done = true;
	if (what & (DO_END | DO_ACK_DATA_FIN))
		conn_data_progress(c, now_us);
	if (c->state == M_FINWAIT_2)
		c->close_us = USEC_NEVER;
}

static void end(struct conn *c, enum conn_step_input in)
{
	unsigned what;

	while (c->sub_count)
		conn_sub_free(c->subs[0]);
	c->fail_us = USEC_NEVER;
	conn_free_acked(c);
	conn_step(&c->state, in, &what);
	c->dialling = false;
	c->open_deadline_us = c->fin_resend_us = c->zero_window_us = c->stuck_us = USEC_NEVER;
	c->join_us = c->dead_us = c->close_us = c->abort_us = USEC_NEVER;
	engine_ready(c);
}

void conn_fail(struct conn *c, enum open_result why, uint8_t icmp_code, bool send_reset, usec_t now_us)
{
	bool opening = c->state == M_OPENING, known = !(c->tell & TELL_DIAL), told = c->host_done;

	(void)now_us;
	if (send_reset)
		for (uint8_t i = 0; i < c->sub_count; i++)
			reset_sub(c->subs[i], c->remote_key_known && !c->fallen && !c->host_done);
	end(c, IN_ABORTED);
	c->result = why;
	c->icmp_code = icmp_code;
	if (c->orphan || !known)
		c->tell = 0;
	else if (told) /* all data went both ways before: what is readable is still told, then the end */
		return;
	else if (opening && c->client)
		c->tell = TELL_OPENED;
	else
		c->tell = TELL_RESET;
	if (!c->tell)
		c->orphan = true;
}

void conn_abort(struct conn *c, usec_t now_us)
{
	/* RFC 8684 3.5, and PROTOCOL 9: not after the DATA_FINs; then a plain RST says enough. */
	bool fast = c->remote_key_known && !c->fallen && c->state != M_TIME_WAIT;
	struct sub *last = NULL;

	c->orphan = true;
	c->tell = 0;
	c->abort_us = USEC_NEVER;
	if (fast && c->engine->config.fastclose == FASTCLOSE_ACK && conn_has_living_sub(c)) {
		/* Procedure A: MP_FASTCLOSE on an ACK of one subflow, RST on the others; its RST is awaited. */
		for (uint8_t i = 0; i < c->sub_count; i++)
			if (conn_sub_usable(c->subs[i]) && (!last || (conn_sub_avoid(last) && !conn_sub_avoid(c->subs[i]))))
				last = c->subs[i];
	}
	for (uint8_t i = 0; i < c->sub_count;) {
		struct sub *s = c->subs[i];

		if (s == last) {
			i++;
			continue;
		}
		reset_sub(s, fast && !last);
		conn_sub_free(s);
		i = 0;
	}
	if (!last) {
		end(c, IN_ABORTED);
		return;
	}
	conn_input_close(c, IN_FASTCLOSE_SENT, now_us);
	c->close_us = USEC_NEVER;
	c->fin_resend_us = now_us; /* MP_FASTCLOSE goes by the same clock as a DATA_FIN */
	c->fin_tries = 0;
}

void conn_abort_after(struct conn *c, usec_t now_us)
{
	struct dsn at = dsn_min(c->queue.end, dsn_add(c->snd_nxt, ABORT_LINGER_BYTES));

	if (c->state == M_OPENING || !dsn_lt(c->snd_una, at) || !conn_has_living_sub(c)) {
		conn_abort(c, now_us);
		return;
	}
	c->orphan = true;
	c->tell = 0;
	c->abort_at = at;
	c->abort_us = usec_add(now_us, ABORT_LINGER_US);
	engine_ready(c);
}

static bool nowhere_to_join(const struct conn *c)
{
	for (unsigned i = 0; i < CONN_REMOTES_MAX; i++)
		if (c->remotes[i].used)
			return false;
	return c->engine->config.form == SEGMENT_PLAIN;
}

void conn_sub_gone(struct conn *c, usec_t now_us)
{
	unsigned what;

	engine_ready(c);
	if (c->sub_count)
		return;
	switch (c->state) {
	case M_OPENING:
		conn_fail(c, OPEN_NO_PATH, 0, false, now_us);
		break;
	case M_TIME_WAIT:
	case M_FASTCLOSE_WAIT:
		conn_step(&c->state, IN_SUBFLOWS_CLOSED, &what);
		c->close_us = USEC_NEVER;
		break;
	case M_CLOSED:
		break;
	default:
		if (c->fallen) {
			conn_fail(c, OPEN_TIMED_OUT, 0, false, now_us);
			break;
		}
		/* Its peer takes no joins where it was called (RFC 8684 3.1, C), and has named no other address: nothing can bring it back. */
		if (c->client && nowhere_to_join(c)) {
			conn_fail(c, OPEN_RESET, 0, false, now_us);
			break;
		}
		/* Break before make: the client comes back when a path does. */
		if (c->dead_us == USEC_NEVER)
			c->dead_us = usec_add(now_us, c->engine->config.dead_timeout_us);
		if (c->client)
			c->join_us = now_us;
	}
}

/* --- the peer ended it, or one subflow of it --- */

/*
 * RFC 9293 3.10.7.4, CLOSING and LAST-ACK: a peer that has forgotten the connection has had our DATA_FIN; only its DATA_ACK
 * was lost. True: so it is here.
 */
static bool only_last_ack_lost(struct conn *c, usec_t now_us)
{
	if (!c->fin_sent || c->fin_acked || !dsn_eq(c->snd_una, c->queue.end) || (c->state != M_CLOSING && c->state != M_LAST_ACK))
		return false;
	c->fin_acked = true;
	c->fin_resend_us = USEC_NEVER;
	conn_input_close(c, IN_DATA_FIN_ACKED, now_us);
	return true;
}

void conn_reset_received(struct sub *s, const struct segment *seg, usec_t now_us)
{
	struct conn *c = s->conn;
	const struct mptcp_option *why = segment_mptcp(seg, MP_TCPRST);
	uint8_t reason = why ? why->tcprst.reason : REASON_UNSPECIFIED;

	if (why)
		count(c->engine->counters, CNT_MPRstRx);
	conn_facts_reset(s, why);
	if (c->state == M_OPENING && !s->join) {
		conn_fail(c, reason == REASON_PROHIBITED ? OPEN_PROHIBITED : reason == REASON_NO_RESOURCES ? OPEN_NO_RESOURCES :
			  c->client && c->engine->config.form == SEGMENT_PLAIN ? OPEN_REFUSED : OPEN_RESET, 0, false, now_us);
		return;
	}
	if (s->join && s->initiator && s->stage != SUB_LIVE && s->stage != SUB_CLOSING) {
		path_id path = s->path;
		uint8_t to = s->join_to;
		bool token = reason == REASON_MPTCP_ERROR && s->stage == SUB_OPENING;

		count(c->engine->counters, CNT_MPJoinRejected);
		conn_sub_free(s);
		/* RFC 8684 3.9.3: what does not speak MPTCP there is not asked again, unless it is announced again. */
		if (!why && c->engine->config.form == SEGMENT_PLAIN)
			pm_join_failed(c, path, to, true, now_us);
		else
			pm_join_reset(c, path, to, why, now_us);
		/*
		 * seeds: fast close by RST. The peer does not know the token, and nothing else of the connection answers: it was
		 * closed there and we missed it.
		 */
		if (token && !conn_has_answering_sub(c) && !only_last_ack_lost(c, now_us)) {
			conn_fail(c, OPEN_RESET, 0, true, now_us);
			return;
		}
		conn_sub_gone(c, now_us);
		return;
	}
	if (c->fallen && c->state != M_TIME_WAIT && !only_last_ack_lost(c, now_us)) {
		conn_fail(c, OPEN_RESET, 0, false, now_us);
		return;
	}
	/* A RST of one subflow alone gives its reason; without one the peer knows nothing of it. */
	if (!why && s->stage == SUB_LIVE && c->sub_count == 1)
		only_last_ack_lost(c, now_us);
	s->end_why = why;
	conn_sub_lost(s, now_us);
}

/* MP_FASTCLOSE, RFC 8684 3.5, on a RST or an ACK. True: the connection has ended. */
bool conn_fastclose_received(struct sub *s, const struct segment *seg, usec_t now_us)
{
	struct conn *c = s->conn;
	const struct mptcp_option *fc = segment_mptcp(seg, MP_FASTCLOSE);

	if (!fc)
		return false;
	count(c->engine->counters, CNT_MPFastcloseRx);
	/* RFC 8684 3.5: a wrong key leaves the connection alive (the RST, if it is one, still ends its subflow). */
	if (fc->fastclose.receiver_key != c->local_key || !c->remote_key_known) {
		count(c->engine->counters, CNT_MPFastcloseBadKey);
		return false;
	}
	/*
	 * RFC 8684 3.5: the other subflows, and in the ACK form this one, are answered by RST; not by another MP_FASTCLOSE, and
	 * no RST by a RST. The key is proof enough: the sequence number of its RST may be beyond data that was lost.
	 */
	if (seg->flags & TCP_RST && segment_mptcp(seg, MP_TCPRST))
		count(c->engine->counters, CNT_MPRstRx);
	for (uint8_t i = 0; i < c->sub_count; i++)
		if (c->subs[i] != s || !(seg->flags & TCP_RST))
			reset_sub(c->subs[i], false);
	conn_fail(c, OPEN_RESET, 0, false, now_us);
	return true;
}

/*
 * A RST with MP_FASTCLOSE for a subflow that has gone already (another RST overtook it): the key still names the
 * connection, and without its subflow it would learn of its end only by its timeout.
 */
void conn_late_fastclose(struct engine *e, path_id path, const struct mptcp_option *fc, usec_t now_us)
{
	uint32_t token;
	struct dsn idsn;
	struct conn *c;

	token_of_key(fc->fastclose.receiver_key, &token, &idsn);
	c = engine_token_find(e, token);
	if (!c || c->local_key != fc->fastclose.receiver_key || c->peer != e->paths[path].peer || !c->remote_key_known ||
	    c->state == M_CLOSED)
		return;
	count(e->counters, CNT_MPFastcloseRx);
	for (uint8_t i = 0; i < c->sub_count; i++)
		reset_sub(c->subs[i], false);
	conn_fail(c, OPEN_RESET, 0, false, now_us);
}
