/* SPDX-License-Identifier: MIT */
/* Joins: who opens a further subflow when, and how the other side answers. RFC 8684 3.2. */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/engine_state.h"
#include "tunneld/mptcp/token.h"

#include <sodium/utils.h>
#include <string.h>

enum {
	/* Unlike RFC 6928: a join comes only when there is more to send, and what goes beyond ten segments is paced over a round trip. */
	JOIN_FIRST_SEGS = 32,
	JOIN_BACKOFF_US = 500 * 1000, JOIN_BACKOFF_MAX_US = 60 * 1000 * 1000,
	JOIN_SYN_RETRIES = 4,
};

/* --- joins, from the side that initiates --- */

/* What is held against a path; NULL: nothing. make: begin a row. */
static struct join_retry *retry_of(struct conn *c, path_id path, uint8_t remote_id, bool make)
{
	struct join_retry *worst = &c->retry[0];

	for (unsigned i = 0; i < CONN_RETRY_PATHS; i++) {
		if (c->retry[i].path == path && c->retry[i].remote_id == remote_id)
			return &c->retry[i];
		if (c->retry[i].path == PATH_NONE || (worst->path != PATH_NONE && c->retry[i].at_us < worst->at_us))
			worst = &c->retry[i];
	}
	if (!make)
		return NULL;
	*worst = (struct join_retry){ .path = path, .remote_id = remote_id };
	return worst;
}

static void failed(struct conn *c, path_id path, uint8_t remote_id, bool refused, usec_t least_us, usec_t now_us)
{
	struct join_retry *r = retry_of(c, path, remote_id, true);
	usec_t wait = 0;

	/* The first loss of a subflow that worked is made good at once: its path may well be fine. */
	if (r->failures || refused)
		wait = (usec_t)JOIN_BACKOFF_US << (r->failures < 7 ? r->failures : 7);
	wait = usec_max(wait, least_us);
	if (r->failures < 255)
		r->failures++;
	r->refused = refused;
	r->at_us = usec_add(now_us, usec_min(wait, JOIN_BACKOFF_MAX_US));
	if (c->fully)
		c->join_us = usec_min(c->join_us, r->at_us);
}

void pm_join_failed(struct conn *c, path_id path, uint8_t remote_id, bool refused, usec_t now_us)
{
	failed(c, path, remote_id, refused, 0, now_us);
}

/* RFC 8684 3.6: when to try again takes the reason into account. Beginning anew is what reason 4 is for. */
static usec_t least_wait(uint8_t reason)
{
	switch (reason) {
	case REASON_NO_RESOURCES:
		return 5 * USEC_PER_S;
	case REASON_PROHIBITED:
		return 10 * USEC_PER_S;
	case REASON_PERFORMANCE:
		return USEC_PER_S;
	case REASON_MIDDLEBOX:
		return 30 * USEC_PER_S;
	default:
		return 0;
	}
}

void pm_join_reset(struct conn *c, path_id path, uint8_t remote_id, const struct mptcp_option *why, usec_t now_us)
{
	/* RFC 8684 3.6: permanent: not again for this connection over this path (while there is another way: see pm_may_try()). */
	failed(c, path, remote_id, why && !why->tcprst.transient, why ? least_wait(why->tcprst.reason) : 0, now_us);
}

void pm_join_done(struct sub *s)
{
	struct join_retry *r = retry_of(s->conn, s->path, s->join_to, false);

	if (r)
		r->path = PATH_NONE;
}

void pm_join_useful(struct sub *s)
{
	if (!s->useful && s->remote.family)
		pm_join_done(s);
	s->useful = true;
	s->conn->dead_us = USEC_NEVER;
}

void pm_join_forgive(struct conn *c, uint8_t remote_id)
{
	for (unsigned i = 0; i < CONN_RETRY_PATHS; i++)
		if (c->retry[i].remote_id == remote_id)
			c->retry[i].path = PATH_NONE;
}

static bool may_join(const struct conn *c)
{
	if (c->fallen || c->no_joins)
		return false;
	switch (c->state) {
	case M_ESTAB:
	case M_FINWAIT_1:
	case M_FINWAIT_2:
	case M_CLOSE_WAIT:
	case M_CLOSING:
	case M_LAST_ACK:
		/* RFC 8684 3.2: not before a DSS has come. Once all subflows were lost, trying is the only way to find out. */
		return c->client && (c->fully || !c->sub_count);
	default:
		return false;
	}
}

unsigned pm_subs_on(const struct conn *c, path_id path)
{
	unsigned n = 0;

	for (uint8_t i = 0; i < c->sub_count; i++)
		n += c->subs[i]->path == path && c->subs[i]->stage != SUB_CLOSING;
	return n;
}

void pm_join(struct conn *c, path_id path, const struct remote_addr *to, usec_t now_us)
{
	struct engine *e = c->engine;
	struct subflow_config sc;
	struct sub *s = pm_sub_new(c, path, to ? &to->addr : NULL);

	if (!s)
		return;
	s->join = true;
	if (to)
		s->join_to = s->remote_addr_id = to->id;
	s->local_addr_id = e->paths[path].addr_id;
	s->local_nonce = (uint32_t)engine_chance(e);
	conn_subflow_config(s, &sc, now_us);
	sc.syn_retries = JOIN_SYN_RETRIES;
	sc.first_segs = JOIN_FIRST_SEGS;
	if (subflow_connect(&s->sf, &sc, conn_iss(s, now_us), now_us) != ERR_OK) {
		conn_sub_free(s);
		return;
	}
	s->want_out = true;
	count(e->counters, CNT_MPJoinSynTx);
	engine_ready(c);
}

bool pm_may_try(struct conn *c, path_id id, uint8_t remote_id, bool living, usec_t now_us, usec_t *again)
{
	const struct path *p = &c->engine->paths[id];
	const struct join_retry *r = retry_of(c, id, remote_id, false);

	/* A path that does not answer is tried only when there is nothing better left. */
	if (!p->may_initiate || (p->state != PATH_UP && (living || p->state == PATH_DOWN)))
		return false;
	if (r && r->refused && conn_has_answering_sub(c))
		return false;
	if (r && r->at_us > now_us) {
		*again = usec_min(*again, r->at_us);
		return false;
	}
	return true;
}

void pm_joins(struct conn *c, usec_t now_us)
{
	struct engine *e = c->engine;
	usec_t again = USEC_NEVER;
	bool living = conn_has_living_sub(c);

	c->join_us = USEC_NEVER;
	if (!may_join(c))
		return;
	if (e->config.form == SEGMENT_PLAIN) {
		pm_plain_joins(c, now_us);
		return;
	}
	for (path_id id = e->peers[c->peer].paths; id != PATH_NONE; id = e->paths[id].peer_next)
		if (!pm_subs_on(c, id) && pm_may_try(c, id, 0, living, now_us, &again))
			pm_join(c, id, NULL, now_us);
	c->join_us = again;
}

/* Client: SYN/ACK of a join. False: the subflow is gone. RFC 8684 3.2 */
bool pm_join_synack(struct sub *s, const struct segment *seg)
{
	struct conn *c = s->conn;
	const struct mptcp_option *j = segment_mptcp(seg, MP_JOIN);
	uint8_t hmac[32];

	if (j && j->join.form == JOIN_SYNACK) {
		token_join_hmac(c->remote_key, c->local_key, j->join.nonce, s->local_nonce, hmac);
		if (!sodium_memcmp(hmac, j->join.hmac, 8)) {
			s->remote_nonce = j->join.nonce;
			s->remote_addr_id = j->join.addr_id;
			s->backup_remote = j->join.backup;
			s->stage = SUB_PRE_ESTABLISHED;
			s->third_ack_us = usec_add(s->sf.last_rcv_us, s->sf.rtt.rto_us);
			subflow_ack_now(&s->sf);
			return true;
		}
	}
	count(c->engine->counters, CNT_MPJoinSynAckHMacFailure);
	{
		path_id path = s->path;
		uint8_t to = s->join_to;
		usec_t now_us = s->sf.last_rcv_us;

		conn_sub_rst(s, path, REASON_MPTCP_ERROR, false);
		conn_sub_free(s);
		pm_join_failed(c, path, to, true, now_us);
		conn_sub_gone(c, now_us);
	}
	return false;
}

/* --- joins, from the side that answers --- */

/* RFC 8684 3.6: limits and memory are of now; a token that nobody knows will not come back. */
static void refuse_join(struct engine *e, path_id path, const struct segment *seg, enum mptcp_reason reason)
{
	conn_refuse_why(e, path, seg, reason, reason != REASON_MPTCP_ERROR);
}

/* Would the subflow that seg asks for go where s goes? In plain form a path of ours leads everywhere. */
static bool same_way(const struct sub *s, path_id path, const struct segment *seg)
{
	return s->path == path && (!seg->remote || addr_same_ip(&s->remote, seg->remote));
}

void pm_join_syn(struct engine *e, path_id path, const struct segment *seg, const struct mptcp_option *j, usec_t now_us)
{
	struct conn *c = engine_token_find(e, j->join.token);
	struct subflow_config sc;
	struct sub *s;

	count(e->counters, CNT_MPJoinSynRx);
	/*
	 * RFC 8684 3.2: an unknown token is answered with RST; a token of another peer is unknown to this one. In M_TIME-WAIT it
	 * is known: who joins then has not heard our last DATA_ACK.
	 */
	if (!c || c->peer != e->paths[path].peer || !c->remote_key_known || c->fallen || c->state == M_CLOSED ||
	    c->state == M_FASTCLOSE_WAIT) {
		count(e->counters, CNT_MPJoinNoTokenFound);
		refuse_join(e, path, seg, REASON_MPTCP_ERROR);
		return;
	}
	if (c->sub_count >= e->config.subflows_max) {
		/* One that has stopped answering makes room: the peer knows best which of its subflows are alive. */
		struct sub *old = NULL;

		for (uint8_t i = 0; i < c->sub_count; i++) {
			const struct path *its = engine_path(e, c->subs[i]->path);

			/* Not one that is merely late: what it has in flight would be for nothing. */
			if (same_way(c->subs[i], path, seg) || !its || its->state != PATH_UP || c->subs[i]->sf.rtt.timeouts > 1)
				old = c->subs[i];
		}
		/* In M_TIME-WAIT the loss of the last one would be the end. */
		if (old && c->state == M_TIME_WAIT)
			conn_sub_free(old);
		else if (old)
			conn_sub_lost(old, now_us);
	}
	s = conn_sub_new(c, path, seg->dst_port, seg->remote, seg->src_port);
	if (!s) {
		count(e->counters, CNT_MPJoinRejected);
		refuse_join(e, path, seg, REASON_PROHIBITED);
		conn_sub_gone(c, now_us);
		return;
	}
	s->join = true;
	s->local_addr_id = e->paths[path].addr_id;
	s->remote_addr_id = j->join.addr_id;
	s->backup_remote = j->join.backup;
	s->remote_nonce = j->join.nonce;
	s->local_nonce = (uint32_t)engine_chance(e);
	conn_subflow_config(s, &sc, now_us);
	sc.syn_retries = JOIN_SYN_RETRIES;
	sc.first_segs = JOIN_FIRST_SEGS;
	if (subflow_listen(&s->sf, &sc, conn_iss(s, now_us), seg, now_us) != ERR_OK) {
		conn_sub_free(s);
		refuse_join(e, path, seg, REASON_NO_RESOURCES);
		return;
	}
	subflow_accept(&s->sf, now_us);
	s->want_out = true;
	engine_ready(c);
}

/* Third ACK of a join: HMAC-A. False: the subflow is gone. */
bool pm_join_third_ack(struct sub *s, const struct segment *seg)
{
	struct conn *c = s->conn;
	const struct mptcp_option *j = segment_mptcp(seg, MP_JOIN);
	uint8_t hmac[32];
	usec_t now_us = s->sf.last_rcv_us;

	if (j && j->join.form == JOIN_ACK) {
		token_join_hmac(c->remote_key, c->local_key, s->remote_nonce, s->local_nonce, hmac);
		if (!sodium_memcmp(hmac, j->join.hmac, sizeof j->join.hmac)) {
			s->stage = SUB_LIVE;
			conn_mode_live(s, now_us);
			conn_keepalive_begin(s, now_us);
			if (!s->remote.family)
				c->dead_us = USEC_NEVER;
			c->ever_joined = true;
			subflow_ack_now(&s->sf); /* the fourth packet */
			count(c->engine->counters, CNT_MPJoinEstab);
			if (c->fin_sent && !c->fin_acked)
				c->fin_resend_us = now_us;
			return true;
		}
	}
	/* RFC 8684 3.2: without a valid HMAC the subflow is reset. */
	count(c->engine->counters, CNT_MPJoinAckHMacFailure);
	conn_sub_rst(s, s->path, REASON_MPTCP_ERROR, false);
	conn_sub_free(s);
	conn_sub_gone(c, now_us);
	return false;
}
