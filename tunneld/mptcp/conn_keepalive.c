/* SPDX-License-Identifier: MIT */
/*
 * Keep-alives of plain form (RFC 9293 3.8.4), a subflow's own: they find out that an idle peer has vanished, and hold the
 * bindings of the NATs in between. In sealed form paths are probed, and their subflows need none.
 */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/engine_state.h"

/* RFC 9293 3.8.4: one that is not answered tells nothing. */
enum { KEEP_PROBES = 5 };
#define KEEP_WAIT_US (15 * USEC_PER_S)

/* The application's own, where it has set them. */
static usec_t idle_of(const struct conn *c)
{
	if (c->engine->config.form == SEGMENT_PLAIN && c->carried.ours.keep_idle_s)
		return c->carried.ours.keep_idle_s * USEC_PER_S;
	return c->engine->config.keepalive_us;
}

static usec_t wait_of(const struct conn *c)
{
	return c->carried.ours.keep_interval_s ? c->carried.ours.keep_interval_s * USEC_PER_S : usec_min(idle_of(c), KEEP_WAIT_US);
}

static unsigned probes_of(const struct conn *c)
{
	return c->carried.ours.keep_count ? c->carried.ours.keep_count : KEEP_PROBES;
}

void conn_keepalive_begin(struct sub *s, usec_t now_us)
{
	usec_t idle_us = idle_of(s->conn);

	s->keep_us = idle_us ? usec_add(now_us, idle_us) : USEC_NEVER;
}

bool conn_keepalive_due(struct sub *s, usec_t now_us)
{
	usec_t idle_us = idle_of(s->conn), idle_until_us = usec_add(s->sf.last_rcv_us, idle_us);

	if (s->keep_us > now_us)
		return false;
	if (s->sf.last_rcv_us >= s->keep_sent_us)
		s->keep_probes = 0;
	/* Data that waits for its acknowledgement asks by itself. */
	if (idle_until_us > now_us || board_count(&s->sf.board)) {
		s->keep_us = idle_until_us > now_us ? idle_until_us : usec_add(now_us, idle_us);
		return false;
	}
	if (s->keep_probes < probes_of(s->conn)) {
		s->keep_probes++;
		s->keep_sent_us = now_us;
		s->keep_us = usec_add(now_us, wait_of(s->conn));
		count(s->conn->engine->counters, CNT_KeepAliveTx);
		subflow_keepalive(&s->sf);
		s->want_out = true;
		return false;
	}
	count(s->conn->engine->counters, CNT_KeepAliveLost);
	s->end = "the peer does not answer keep-alives";
	conn_sub_rst(s, s->path, REASON_UNSPECIFIED, true);
	conn_sub_lost(s, now_us);
	return true;
}
