/* SPDX-License-Identifier: MIT */
/*
 * What stands in the way of a plain path: a box that understands TCP and not MPTCP (RFC 8684 6 names them all).
 * It changes segments as they pass; the checksum of TCP is right afterwards, since the box is one end of that.
 */
#ifndef PLAIT_SIM_MIDDLEBOX_H
#define PLAIT_SIM_MIDDLEBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/usec.h"
#include "tests/sim/random.h"

struct middlebox_config {
	bool strip_syn;          /* takes unknown options off every SYN */
	usec_t strip_from_us;    /* and from this time on off every segment; USEC_NEVER: never */
	bool strip_one_way;      /* only off what goes to the client */
	bool sequence;           /* gives each direction sequence numbers of its own, as some firewalls do, SACK blocks too */
	uint16_t split;          /* cuts payloads longer than this in two, the options on both, as segmentation offload does; 0: never */
	uint32_t rewrite_ppm;    /* chance that a payload byte is another afterwards: an application-level gateway */
};

struct middlebox {
	struct middlebox_config config;
	struct rnd chance;
	uint64_t stripped, split, rewritten;
};

enum { MIDDLEBOX_OUT_MAX = 2, MIDDLEBOX_SEGMENT_MAX = 65536 };
struct middlebox_out { size_t len; uint8_t bytes[MIDDLEBOX_SEGMENT_MAX]; };

void middlebox_init(struct middlebox *m, const struct middlebox_config *config, struct rnd chance);
bool middlebox_idle(const struct middlebox_config *config);
/*
 * Passes one segment of plain form, of the flow between these two ports. Returns how many come out, each of them in
 * out[], which is static memory that the next call writes again. A segment that does not parse passes as it is.
 */
unsigned middlebox_pass(struct middlebox *m, bool to_gateway, uint16_t client_port, uint16_t gateway_port, const uint8_t *bytes,
			size_t len, usec_t now_us, const struct middlebox_out **out);

#endif
