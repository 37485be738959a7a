/* SPDX-License-Identifier: MIT */
/*
 * Liveness of a connection's subflows: when one underperforms and when it is well again (backup.h), data that is late on one
 * and goes on another, the limits that peers tell each other, and USER_TIMEOUT.
 */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/engine_state.h"
#include "tunneld/wire/option_rules.h"

enum {
	LATE_QUEUE_MAX = 64,                    /* reinjections that wait: more late data can wait, too */
	TELL_AGAIN_US = 100 * 1000,             /* between repeats of an option that nobody acknowledges */
	QUALITY_BYTES = 30 * 1000,              /* what a share of loss is measured over, */
	QUALITY_US = 1000 * 1000,               /*   or for so long */
};

static uint32_t given(uint32_t value, uint32_t otherwise) { return value ? value : otherwise; }

/* --- limits --- */

uint32_t conn_uperf_timeout_ms(const struct sub *s)
{
	const struct engine_config *k = &s->conn->engine->config;
	uint32_t adv = given(k->uperf_timeout_ms, backup_adv_default_ms(rtt_base_rto(&s->sf.rtt)));

	return backup_timeout_ms(given(k->uperf_u_limit_ms, BACKUP_U_LIMIT_MS), adv, s->backup.remote_ms,
				 given(k->uperf_l_limit_ms, BACKUP_L_LIMIT_MS));
}

uint32_t conn_user_timeout_ms(const struct conn *c)
{
	const struct engine_config *k = &c->engine->config;
	uint32_t least;

	if (!c->adv_uto_ms && !c->remote_uto_ms)
		return 0;
	/* The draft: larger than UPERF_TIMEOUT. */
	least = backup_timeout_ms(given(k->uperf_u_limit_ms, BACKUP_U_LIMIT_MS), given(k->uperf_timeout_ms, BACKUP_ADV_DEFAULT_MS), 0,
				  given(k->uperf_l_limit_ms, BACKUP_L_LIMIT_MS)) + 1;
	return backup_timeout_ms(USER_TIMEOUT_U_LIMIT_MS, c->adv_uto_ms, c->remote_uto_ms, least);
}

/* --- the mode --- */

void conn_mode_enter(struct sub *s, enum backup_cause cause, usec_t now_us)
{
	if (s->stage != SUB_LIVE && s->stage != SUB_CLOSING)
		return;
	engine_news_wanted(s->conn->engine, s->path);
	if (backup_enter(&s->backup, cause, now_us)) {
		count(s->conn->engine->counters, CNT_SubflowUnderperforms);
		s->conn->burst_sub = -1;
	}
	conn_sub_reinject(s, now_us);
	engine_ready(s->conn);
}

void conn_mode_settle(struct sub *s, usec_t now_us)
{
	const struct path *p = engine_path(s->conn->engine, s->path);
	bool clean = subflow_oldest_us(&s->sf) == USEC_NEVER && p && p->state == PATH_UP;

	if (!backup_settle(&s->backup, clean, now_us))
		return;
	count(s->conn->engine->counters, CNT_SubflowPerforms);
	s->conn->burst_sub = -1;
	conn_reinject_stale(s->conn, now_us);
	engine_ready(s->conn);
}

void conn_mode_facts(struct sub *s, const struct subflow_facts *f, usec_t now_us)
{
	if (s->stage != SUB_LIVE)
		return;
	if (f->silent && backup_doubt(&s->backup, now_us))
		conn_mode_enter(s, CAUSE_SILENT, now_us);
	/* As soon as the RTO reaches the limit; without data under way it means nothing. */
	if ((f->retransmit_timeout || f->acked) && subflow_oldest_us(&s->sf) != USEC_NEVER &&
	    s->sf.rtt.rto_us >= conn_uperf_timeout_ms(s) * USEC_PER_MS)
		conn_mode_enter(s, CAUSE_RTO, now_us);
	else if (s->backup.cause != CAUSE_NONE)
		conn_mode_settle(s, now_us);
}

/* --- late data --- */

static bool reinjected_already(const struct sub *s, struct dsn at)
{
	for (uint32_t i = 0; i < s->sent.count; i++) {
		const struct sent_range *r = sent_map_at(&s->sent, i);

		if (dsn_leq(r->dsn, at) && dsn_lt(at, dsn_add(r->dsn, r->len)))
			return r->reinjected;
	}
	return false;
}

static void late(struct sub *s, usec_t now_us)
{
	struct conn *c = s->conn;
	uint64_t tag;
	uint32_t len;

	s->late_us = USEC_NEVER;
	if (!conn_sub_usable(s) || c->sub_count < 2 || !conn_another_usable(s))
		return;
	if (c->reinject_count >= LATE_QUEUE_MAX) {
		s->late_us = usec_add(now_us, s->sf.rtt.srtt_us);
		return;
	}
	while (subflow_late(&s->sf, now_us, &tag, &len, &s->late_us)) {
		if (dsn_leq(dsn_add(dsn_of(tag), len), c->snd_una) || reinjected_already(s, dsn_of(tag)))
			continue;
		conn_reinject_add(c, dsn_of(tag), dsn_add(dsn_of(tag), len), s->id);
		count(c->engine->counters, CNT_LateReinjected);
		engine_ready(c);
	}
}

/* --- the clock --- */

static usec_t unacked_limit_us(const struct sub *s)
{
	usec_t oldest = subflow_oldest_us(&s->sf);

	if (s->stage != SUB_LIVE || s->backup.cause != CAUSE_NONE || oldest == USEC_NEVER)
		return USEC_NEVER;
	return usec_add(oldest, conn_uperf_timeout_ms(s) * USEC_PER_MS);
}

static usec_t user_timeout_us(const struct conn *c)
{
	uint32_t ms = conn_user_timeout_ms(c);

	if (!ms || c->state == M_OPENING || dsn_leq(c->queue.end, c->snd_una))
		return USEC_NEVER;
	return usec_add(c->una_us, ms * USEC_PER_MS);
}

bool conn_mode_time(struct conn *c, usec_t now_us)
{
	for (uint8_t i = 0; i < c->sub_count; i++) {
		struct sub *s = c->subs[i];

		if (unacked_limit_us(s) <= now_us)
			conn_mode_enter(s, CAUSE_UNACKED, now_us);
		if (s->backup.cause != CAUSE_NONE)
			conn_mode_settle(s, now_us);
		late(s, now_us);
		if (s->tell_us <= now_us) {
			s->tell_us = USEC_NEVER;
			subflow_ack_now(&s->sf);
			s->want_out = true;
		}
	}
	if (user_timeout_us(c) > now_us)
		return true;
	/* RFC 5482 3: data remained unacknowledged for USER_TIMEOUT: the connection has failed, not one subflow. */
	count(c->engine->counters, CNT_ConnUserTimeout);
	conn_fail(c, OPEN_TIMED_OUT, 0, true, now_us);
	return false;
}

usec_t conn_mode_deadline(const struct conn *c)
{
	usec_t at = user_timeout_us(c);

	for (uint8_t i = 0; i < c->sub_count; i++) {
		const struct sub *s = c->subs[i];

		at = usec_min(at, usec_min(unacked_limit_us(s), backup_deadline(&s->backup)));
		at = usec_min(at, usec_min(s->tell_us, s->late_us));
		/* What is on its way is not looked at by the segment, but from the first that may be late. */
		if (s->late_us == USEC_NEVER && c->sub_count > 1 && conn_sub_usable(s) && conn_another_usable(s))
			at = usec_min(at, subflow_late_at(&s->sf));
	}
	return at;
}

/* --- what is told --- */

struct mptcp_option conn_mode_prio(const struct sub *s, bool backup)
{
	const struct path *p = engine_path(s->conn->engine, s->path);
	uint32_t adv = s->conn->engine->config.uperf_timeout_ms;

	/* Who was not told of the long form takes it for no MP_PRIO at all, the B bit included. */
	return (struct mptcp_option){
		.subtype = MP_PRIO,
		.prio = { .backup = backup, .has_max_rto = adv && p && p->peer_long_prio, .max_rto_ms = adv },
	};
}

void conn_mode_live(struct sub *s, usec_t now_us)
{
	struct conn *c = s->conn;
	const struct path *p = engine_path(c->engine, s->path);
	struct mptcp_option opt = { .subtype = MP_EXPERIMENTAL, .experiment = EXPERIMENT_UPERF, .uperf = { .max_rto_ms = c->engine->config.uperf_timeout_ms } };

	if (c->engine->config.uperf_timeout_ms && p && (p->peer_uperf || p->peer_long_prio)) {
		if (!p->peer_uperf)
			opt = conn_mode_prio(s, s->backup_local);
		pm_signal(c, s, &opt, now_us);
	}
	if (c->adv_uto_ms && !s->join) {
		s->send_uto = (uint8_t)option_rules_repeats(MP_EXPERIMENTAL);
		s->tell_us = now_us;
	}
	conn_carried_live(s, now_us);
}

/* RFC 5482 3.2: seconds, or minutes where they do not fit 15 bits; rounded up, since 0 is reserved. */
static uint16_t uto_of_ms(uint32_t ms)
{
	uint32_t s = (ms + 999) / 1000;

	return (uint16_t)(s < 0x8000 ? s : 0x8000 | (s + 59) / 60);
}

void conn_mode_user_timeout_put(struct sub *s, struct segment *seg, usec_t now_us)
{
	if (!s->send_uto)
		return;
	seg->tcp.has |= OPT_USER_TIMEOUT;
	seg->tcp.user_timeout = uto_of_ms(s->conn->adv_uto_ms);
	s->tell_us = --s->send_uto ? usec_add(now_us, TELL_AGAIN_US) : USEC_NEVER;
}

/* The value holds for the subflow it came on. */
void conn_mode_uperf_received(struct sub *s, uint32_t max_rto_ms)
{
	count(s->conn->engine->counters, CNT_UperfRx);
	s->backup.remote_ms = max_rto_ms;
	engine_ready(s->conn);
}

void conn_mode_user_timeout_received(struct conn *c, uint16_t uto)
{
	count(c->engine->counters, CNT_UserTimeoutRx);
	/* RFC 5482 3.2: 0 is reserved and ignored. */
	if (uto & 0x7fff)
		c->remote_uto_ms = (uto & 0x7fffu) * (uto & 0x8000 ? 60000u : 1000u);
	engine_ready(c);
}

/* --- the score --- */

void conn_mode_measure(struct sub *s, usec_t now_us)
{
	uint64_t sent = s->sf.bytes_sent + s->sf.retransmitted_bytes - s->quality.sent;
	uint64_t again = s->sf.retransmitted_bytes - s->quality.again;
	double share;

	if (!sent || (sent < QUALITY_BYTES && usec_since(now_us, s->quality.at_us) < QUALITY_US))
		return;
	share = (double)again / (double)sent;
	s->quality.loss = s->quality.at_us ? (3 * s->quality.loss + share) / 4 : share;
	s->quality.sent += sent;
	s->quality.again += again;
	s->quality.at_us = now_us;
}

struct score conn_sub_score(const struct sub *s, usec_t now_us)
{
	const struct path *p = engine_path(s->conn->engine, s->path);
	usec_t fault_us = p && p->fault_us ? p->fault_us : 0;
	struct score_facts f = {
		.srtt_us = s->sf.rtt.srtt_us, .rto_us = s->sf.rtt.rto_us, .base_rto_us = rtt_base_rto(&s->sf.rtt),
		.loss = s->quality.loss, .rate = subflow_rate(&s->sf), .cost = p ? p->cost : 0, .fault_ago_us = USEC_NEVER,
	};

	if (s->backup.cause != CAUSE_NONE || s->backup.left_us != USEC_NEVER)
		fault_us = usec_max(fault_us, s->backup.since_us);
	if (fault_us)
		f.fault_ago_us = usec_since(now_us, fault_us);
	return score_of(&f);
}
