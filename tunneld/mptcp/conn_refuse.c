/* SPDX-License-Identifier: MIT */
/* Answers to what no connection comes of: nothing is kept for any of them. */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/convert.h"
#include "tunneld/mptcp/engine_state.h"

void conn_refuse(struct engine *e, path_id path, const struct segment *seg, const struct mptcp_option *why)
{
	struct segment rst;

	if (!subflow_refuse(seg, &rst))
		return;
	rst.remote = seg->remote;
	rst.src_port = seg->dst_port;
	rst.dst_port = seg->src_port;
	rst.mptcp_count = 0;
	if (why) {
		rst.mptcp[rst.mptcp_count++] = *why;
		count(e->counters, CNT_MPRstTx);
	}
	engine_raw(e, path, &rst, NULL, 0);
}

void conn_refuse_why(struct engine *e, path_id path, const struct segment *seg, enum mptcp_reason reason, bool transient)
{
	struct mptcp_option why = {
		.subtype = MP_TCPRST, .tcprst = { .transient = transient, .reason = (uint8_t)reason },
	};

	conn_refuse(e, path, seg, &why);
}

/*
 * RFC 8803 6.2.2: no RST, which could overtake the Error TLV; the client sends one when it has read it, and another SYN when this
 * was lost. So there is nothing to remember, and what is malformed costs no memory.
 */
bool conn_refuse_convert(struct engine *e, path_id path, const struct segment *syn, const struct convert_message *m, enum err parsed)
{
	uint16_t mss = syn->tcp.has & OPT_MSS ? syn->tcp.mss : CONVERT_ANSWER_LEAST, ours = conn_path_mss(e, path);
	struct segment answer = {
		.src_port = syn->dst_port, .dst_port = syn->src_port, .flags = TCP_SYN | TCP_ACK,
		.seq = ssn_of((uint32_t)engine_chance(e)), .ack = ssn_add(syn->seq, segment_seq_len(syn)), .window = UINT16_MAX,
		.tcp = { .has = OPT_MSS, .mss = ours },
		.mptcp_count = 1,
		.mptcp[0] = {
			.subtype = MP_CAPABLE,
			.capable = { .version = 1, .keys = 1, .sender_key = engine_chance(e), .flags = MPC_HMAC_SHA256 },
		},
	};
	uint8_t bytes[CONVERT_MAX];
	struct wr w;

	mss = (uint16_t)((mss < ours ? mss : ours) - segment_options_size(&answer));
	w = wr_of(bytes, mss < sizeof bytes ? mss : sizeof bytes);
	if (!convert_emit_refusal(&w, m, parsed, syn->payload, syn->payload_len))
		return false;
	engine_raw(e, path, &answer, bytes, wr_len(&w));
	return true;
}
