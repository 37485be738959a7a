/* SPDX-License-Identifier: MIT */
/*
 * SYN cookies (RFC 4987 3.6), plain form only: when many connections are half open, a SYN is answered without keeping anything
 * of it. What must be known again rides in our sequence number (the time, the peer's MSS, 24 bits of a keyed hash), in the
 * timestamp it echoes (window scale, SACK), and our MPTCP key is a hash, too: the third ACK brings it back with the peer's.
 */
#ifndef PLAIT_MPTCP_SYN_COOKIE_H
#define PLAIT_MPTCP_SYN_COOKIE_H

#include "tunneld/mptcp/engine_state.h"

/* A SYN/ACK goes out that nobody remembers. mptcp: with MP_CAPABLE; checksum: its flag A. */
void syn_cookie_answer(struct engine *e, path_id path, const struct segment *syn, bool mptcp, bool checksum, usec_t now_us);

/*
 * Does this ACK answer one of ours, of the last minute or two? Then *syn is the SYN it began with, *iss the number of our
 * SYN/ACK, and *key the MPTCP key in it.
 */
bool syn_cookie_check(struct engine *e, path_id path, const struct segment *ack, struct segment *syn, struct ssn *iss, uint64_t *key,
		      usec_t now_us);

#endif
