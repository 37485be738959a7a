/* SPDX-License-Identifier: MIT */
/* What the files of subflow.h share; nobody else includes it. */
#ifndef PLAIT_TCP_SUBFLOW_INTERNAL_H
#define PLAIT_TCP_SUBFLOW_INTERNAL_H

#include "tunneld/tcp/subflow.h"

enum { WSCALE_MAX = 14, TS_BYTES = 12, QUICK_ACKS = 16 };
enum { DUP_THRESHOLD = 3 /* duplicate ACKs, RFC 5681 3.2 */ };
enum { MSS_LEAST = 516 /* 576, the least of any IPv4 path, less IPv6 and UDP and our fixed header */ };

/* Options of the peer's SYN or SYN/ACK: scale, SACK, timestamps, MSS. */
void subflow_learn_options(struct subflow *sf, const struct segment *syn);
void subflow_to_closed(struct subflow *sf);
/* The peer's FIN is in order: RFC 9293 3.10.7.4, eighth. */
void subflow_fin_arrived(struct subflow *sf, usec_t now_us);
void subflow_enter_time_wait(struct subflow *sf, usec_t now_us);
/* RFC 8985 6.2 step 5: marks what was sent long enough before what has been delivered. Returns how many bytes. */
uint32_t subflow_detect_loss(struct subflow *sf, usec_t now_us);
void subflow_enter_recovery(struct subflow *sf, usec_t now_us);
void subflow_watch_window(struct subflow *sf, usec_t now_us);
void subflow_arm_rto(struct subflow *sf, usec_t now_us);
void subflow_arm_tlp(struct subflow *sf, usec_t now_us);
usec_t subflow_probe_timeout_us(const struct subflow *sf); /* PTO, RFC 8985 7.2 */
/* Anew, from what is outstanding now. */
void subflow_arm_silence(struct subflow *sf);
void subflow_update_pacing(struct subflow *sf);
uint32_t subflow_ts_clock(const struct subflow *sf, usec_t now_us); /* TSval of now */
/* --- subflow_ack.c: RFC 9293 3.10.7.4, fifth: seg's ACK is acceptable, its window may be new. --- */
void subflow_acknowledged(struct subflow *sf, const struct segment *seg, usec_t now_us, struct subflow_facts *f);
/* --- subflow_pmtu.c --- */
void subflow_pmtu_timeout(struct subflow *sf, usec_t now_us); /* the head of the board went unanswered */
/* Payload of a probe to be made of the next segment, of which len are there; 0: none now. */
uint32_t subflow_pmtu_probe(struct subflow *sf, uint32_t options_room, uint32_t len, usec_t now_us);
uint32_t subflow_pmtu_acked(struct subflow *sf, usec_t now_us);
/* Does the congestion window allow the next retransmission? One segment always may be out. */
bool subflow_may_repeat(const struct subflow *sf);
/* The window the peer may use, right edge from rcv_nxt. */
static inline uint32_t subflow_rcv_room(const struct subflow *sf, uint32_t rcv_wnd)
{
	int32_t told = ssn_diff(sf->rcv_adv, sf->rcv_nxt);

	return told > 0 && (uint32_t)told > rcv_wnd ? (uint32_t)told : rcv_wnd;
}

#endif
