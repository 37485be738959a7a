/* SPDX-License-Identifier: MIT */
/*
 * Data sequence mappings received on one subflow, RFC 8684 3.3.1: what stretch of the subflow is what
 * stretch of the connection. One mapping may cover many segments, and
 * one that covers no more than its own segment is never stored. Offsets are relative ssns, unwrapped: SYN is 0.
 */
#ifndef PLAIT_MPTCP_MAPPING_H
#define PLAIT_MPTCP_MAPPING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/seq.h"

enum { MAPPINGS_MAX = 4096 }; /* beyond a hole there is as many as what is in flight has */

struct mapping {
	uint64_t ssn;      /* first byte, unwrapped relative ssn */
	struct dsn dsn;
	uint32_t len;      /* bytes of payload: a DATA_FIN is not counted here */
};

/* Ascending by ssn, disjoint. Taken on the first mapping that must be remembered. */
struct mappings {
	struct mapping *row;
	uint16_t count, room;
};

void mappings_close(struct mappings *m);
/*
 * Declares a mapping. A mapping once declared is immutable: ERR_OK also for one that says the same again or a
 * part of it, ERR_MALFORMED for one that contradicts, ERR_FULL beyond MAPPINGS_MAX.
 */
MUST_CHECK enum err mappings_add(struct mappings *m, const struct mapping *one);
/* The mapping that covers ssn, or NULL. */
const struct mapping *mappings_find(const struct mappings *m, uint64_t ssn);
/* All below ssn has been received: mappings that end there are forgotten. */
void mappings_done(struct mappings *m, uint64_t ssn);

#endif
