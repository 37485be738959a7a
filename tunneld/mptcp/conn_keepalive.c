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

void conn_keepalive_begin(struct sub *s, usec_t now_us)
{
	usec_t idle_us = s->conn->engine->config.keepalive_us;

	if (idle_us)
		s->keep_us = usec_add(now_us, idle_us);
}

bool conn_keepalive_due(struct sub *s, usec_t now_us)
{
	usec_t idle_us = s->conn->engine->config.keepalive_us, idle_until_us = usec_add(s->sf.last_rcv_us, idle_us);

	if (s->keep_us > now_us)
		return false;
	if (s->sf.last_rcv_us >= s->keep_sent_us)
		s->keep_probes = 0;
	/* Data that waits for its acknowledgement asks by itself. */
	if (idle_until_us > now_us || board_count(&s->sf.board)) {
		s->keep_us = idle_until_us > now_us ? idle_until_us : usec_add(now_us, idle_us);
		return false;
	}
	if (s->keep_probes < KEEP_PROBES) {
		s->keep_probes++;
		s->keep_sent_us = now_us;
		s->keep_us = usec_add(now_us, usec_min(idle_us, KEEP_WAIT_US));
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
