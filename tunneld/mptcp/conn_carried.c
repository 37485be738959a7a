/* SPDX-License-Identifier: MIT */
/*
 * What an application has set on its socket and means the whole way: USER_TIMEOUT (RFC 5482), which is the connection's own, and
 * keep-alives and the type of service, which the peer's host sets on its socket to the destination. The latter travel in an
 * option that nobody acknowledges; it is repeated, and its serial number tells a late copy from news.
 */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/engine_state.h"
#include "tunneld/mptcp/pm_signal.h"
#include "tunneld/wire/option_rules.h"

static void tell(struct conn *c, const struct sub *s, usec_t now_us)
{
	const struct path *p = engine_path(c->engine, s->path);
	struct mptcp_option opt = { .subtype = MP_EXPERIMENTAL, .experiment = EXPERIMENT_CARRIED };

	if (!p || !p->peer_carried)
		return;
	opt.carried = c->carried.ours;
	opt.carried.serial = c->carried.serial;
	pm_signal(c, NULL, &opt, now_us);
}

void conn_carried_live(struct sub *s, usec_t now_us)
{
	if (!s->join && s->conn->carried.serial)
		tell(s->conn, s, now_us);
}

void conn_carried_set(struct conn *c, uint32_t user_timeout_ms, const struct carried_options *o, usec_t now_us)
{
	uint32_t adv = user_timeout_ms ? user_timeout_ms : c->engine->config.user_timeout_ms;
	bool news = !carried_options_same(o, &c->carried.ours), uto_news = adv != c->adv_uto_ms;
	bool told = false;

	c->adv_uto_ms = adv;
	c->carried.ours = *o;
	c->carried.serial = (uint8_t)(c->carried.serial + news);
	for (uint8_t i = 0; i < c->sub_count; i++) {
		struct sub *s = c->subs[i];

		if (s->stage != SUB_LIVE)
			continue;
		if (news)
			conn_keepalive_begin(s, now_us);
		if (!told && news)
			tell(c, s, now_us);
		/* RFC 5482 3: it is about the connection, so one subflow says it. */
		if (!told && uto_news && adv) {
			s->send_uto = (uint8_t)option_rules_repeats(MP_EXPERIMENTAL);
			s->tell_us = now_us;
		}
		told = true;
	}
	engine_ready(c);
}

void conn_carried_received(struct sub *s, const struct carried_options *o)
{
	struct conn *c = s->conn;

	count(c->engine->counters, CNT_CarriedRx);
	/* Ours are the client's; and a client that keeps to the protocol says nothing before its destination is connected. */
	if (c->client || c->orphan || c->dialling || (c->carried.heard && (int8_t)(o->serial - c->carried.peer_serial) <= 0))
		return;
	c->carried.heard = true;
	c->carried.peer_serial = o->serial;
	c->carried.peers = *o;
	c->tell |= TELL_OPTIONS;
	engine_ready(c);
}
