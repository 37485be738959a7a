/* SPDX-License-Identifier: MIT */
/*
 * The outer datagrams of the sealed encapsulation, framed as WireGuard's messages are:
 *
 *   1 initiation  type 1 | reserved 3 | sender index 4 | ephemeral 32 | static 48 | payload n+16 | mac1 16 | mac2 16
 *   2 response    type 1 | reserved 3 | sender index 4 | receiver index 4 | ephemeral 32 | payload n+16 | mac1 16 | mac2 16
 *   3 cookie      type 1 | reserved 3 | receiver index 4 | nonce 24 | cookie 32
 *   4 data        type 1 | receiver index 4 | counter 4 (low half of 64) | AEAD(segment)
 *   5 path        the same, sealing a path message (probe, reply, close) in place of a segment
 *
 * Unlike WireGuard, types 4 and 5 have no reserved bytes and a short counter: every byte of header is
 * paid on every segment. The high half of the counter is recovered from the replay window.
 * The receiver index names the session, and in its low four bits the path: each path has its own
 * counter and replay window, so that a slow path never falls out of a fast path's window; the nonce
 * is path number (4 bytes) and counter (8).
 *
 * The high bits of an index steer: a responder with several workers puts the worker's number there, so that the kernel can bring
 * it what is sent to that index; an initiator puts there a number that stays the same for the two keys, plus the number of its own
 * worker, and its initiations come to the worker of that sum modulo their count. So all sessions of one worker of a client are one
 * worker's of the responder, and a client's several workers come to several.
 */
#ifndef PLAIT_WIRE_DATAGRAM_H
#define PLAIT_WIRE_DATAGRAM_H

#include <stdint.h>

enum datagram_type { DATAGRAM_INITIATION = 1, DATAGRAM_RESPONSE, DATAGRAM_COOKIE, DATAGRAM_DATA, DATAGRAM_PATH };
enum {
	DATAGRAM_DATA_HEADER = 9, DATAGRAM_TAG = 16,
	DATAGRAM_DATA_OVERHEAD = DATAGRAM_DATA_HEADER + DATAGRAM_TAG,
	SESSION_PATHS = 16, /* paths of one session */
	DATAGRAM_STEER_BITS = 6, DATAGRAM_STEER_SHIFT = 32 - DATAGRAM_STEER_BITS,
	DATAGRAM_WORKERS_MAX = 1 << DATAGRAM_STEER_BITS,
	DATAGRAM_MAX = 65535,
};

#endif
