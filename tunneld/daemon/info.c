/* SPDX-License-Identifier: MIT */
/*
 * What the application is told of its stream in the tunnel where it asks (PLAIT_INFO of libplait(7)): the engine's numbers
 * of the connection, and of all its subflows together, since an application has one socket for them.
 */
#include "tunneld/daemon/state.h"

#include <string.h>

static uint64_t us_of_ms(double ms) { return ms > 0 ? (uint64_t)(ms * 1000) : 0; }

/* The round trip that matters is the one that the scheduler prefers: the least. */
static void fastest(struct local_info *out, const struct subflow_info *s)
{
	if (out->srtt_us && (s->srtt_ms <= 0 || us_of_ms(s->srtt_ms) >= out->srtt_us))
		return;
	out->srtt_us = us_of_ms(s->srtt_ms);
	out->rttvar_us = us_of_ms(s->rttvar_ms);
	out->min_rtt_us = us_of_ms(s->min_rtt_ms);
	out->rto_us = s->rto_ms * UINT64_C(1000);
	out->mss = s->mss;
}

bool flow_info(const struct flow *f, struct local_info *out)
{
	uint64_t cwnd = 0, unacked = 0, sent_end;
	struct conn_info c;
	struct subflow_info s;

	if (!f->conn || engine_conn_info(f->engine, f->conn, &c) != ERR_OK)
		return false;
	sent_end = c.snd_una + c.snd_buffer;
	*out = (struct local_info){
		.fallback = c.fallback, .checksum = c.checksum, .token = c.token,
		.write_seq = sent_end, .snd_una = c.snd_una, .rcv_nxt = c.rcv_nxt,
		.bytes_sent = c.bytes_sent, .bytes_received = c.bytes_received, .bytes_reinjected = c.reinjected_bytes,
		.notsent = sent_end > c.snd_nxt ? sent_end - c.snd_nxt : 0,
		.snd_wnd = c.snd_wnd, .rcv_wnd = c.rcv_wnd,
	};
	/* snd_nxt has a DATA_FIN in it when that is sent. */
	out->bytes_acked = c.bytes_sent - (c.snd_nxt - c.snd_una < c.bytes_sent ? c.snd_nxt - c.snd_una : c.bytes_sent);
	for (uint32_t i = 0; engine_subflow_info(f->engine, f->conn, i, &s) == ERR_OK; i++) {
		out->bytes_retrans += s.retransmitted_bytes;
		out->segs_retrans += s.retransmitted_segments;
		if (!s.usable)
			continue;
		out->subflows++;
		cwnd += s.cwnd;
		unacked += s.in_flight;
		fastest(out, &s);
	}
	if (out->mss) {
		out->cwnd = cwnd / out->mss;
		out->unacked = (unacked + out->mss - 1) / out->mss;
	}
	return true;
}
