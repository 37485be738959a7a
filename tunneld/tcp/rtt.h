/* SPDX-License-Identifier: MIT */
/* Round-trip time and retransmission timeout of one subflow, RFC 6298, with a windowed minimum for RACK and pacing. */
#ifndef PLAIT_TCP_RTT_H
#define PLAIT_TCP_RTT_H

#include <stdint.h>

#include "common/usec.h"

struct rtt {
	usec_t srtt_us, rttvar_us;   /* 0: no sample yet */
	usec_t mdev_us, mdev_max_us; /* deviation sample by sample, and its most in this round trip */
	usec_t round_us;             /* when this round trip began */
	usec_t rto_us;               /* backed off: what the next timer gets */
	usec_t latest_us;
	usec_t min_rtt_us;           /* least in the last RTT_MIN_WINDOW_US to twice that; 0: no sample yet */
	usec_t min_next_us, min_since_us;
	usec_t rto_min_us, rto_max_us, rto_initial_us, hint_us;
	uint8_t backoff;             /* how often rto_us was doubled since the last sample, RFC 6298 5.5 */
	uint8_t timeouts;            /* in a row: nothing new was acknowledged since */
};

#define RTT_MIN_WINDOW_US (30 * USEC_PER_S)

/* hint_us: what the path already knows (RFC 9040); 0 = nothing. initial_us is taken as it is, min_us is for measured times. */
void rtt_init(struct rtt *r, usec_t min_us, usec_t max_us, usec_t initial_us, usec_t hint_us);
/* A sample of a segment sent once only (Karn's rule, RFC 6298 3). Ends the backoff. */
void rtt_sample(struct rtt *r, usec_t sample_us, usec_t now_us);
/* The handshake is done and its round trip could not be measured, since the SYN went twice; it took most_us, 0: not known. */
void rtt_no_sample(struct rtt *r, usec_t most_us);
/* The timeout without backoff. */
usec_t rtt_base_rto(const struct rtt *r);
/* The timer fired: RFC 6298 5.5. */
void rtt_back_off(struct rtt *r);
/*
 * New data was acknowledged. By a sample or not: without one the timeout stays as it is (Karn's algorithm, RFC 6298 5), since what
 * was acknowledged may be the copy that too short a timeout had sent again.
 */
void rtt_progress(struct rtt *r);
/* The timeouts had another reason than the round trip, and it is over. */
void rtt_restart(struct rtt *r);

#endif
