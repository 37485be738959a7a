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
#include "tunneld/wire/checksum.h"

enum { MAP_CHECKS_MAX = 1024, MAPPINGS_MAX = 4096 }; /* beyond a hole there is as many as what is in flight has */

struct mapping {
	uint64_t ssn;      /* first byte, unwrapped relative ssn */
	struct dsn dsn;
	uint32_t len;      /* bytes of payload: a DATA_FIN is not counted here */
};

/*
 * A checksum over a mapping that came in more segments than one: nothing of it may be delivered or DATA_ACKed before it was
 * verified. It is known to the end of its stretch of the subflow, so that a late copy does not begin it anew.
 */
struct map_check {
	struct mapping map;
	uint16_t total;    /* its length as declared: with the DATA_FIN */
	uint16_t checksum;
	checksum_t sum;    /* of the `got` bytes that have come */
	uint32_t got;
	bool done;
	struct dsn open;   /* the first byte that it brought and that waits to be verified; the mapping's end: none does */
};

/* Ascending by ssn, disjoint. Taken on the first mapping that must be remembered. */
struct mappings {
	struct mapping *row;
	uint16_t count, room;
	struct map_check *check;
	uint16_t check_count, check_room;
};

void mappings_close(struct mappings *m);
/*
 * Declares a mapping. A mapping once declared is immutable: ERR_OK also for one that says the same again or a
 * part of it, ERR_MALFORMED for one that contradicts, ERR_FULL beyond MAPPINGS_MAX.
 */
MUST_CHECK enum err mappings_add(struct mappings *m, const struct mapping *one);
/*
 * Declares what is to be verified. The same again, or a part of it, is fine: *news is false. One that reaches beyond another is
 * verified besides. ERR_MALFORMED for one that contradicts, ERR_FULL.
 */
MUST_CHECK enum err mappings_check_add(struct mappings *m, const struct mapping *map, uint16_t total, uint16_t checksum,
				     bool *news);
/* The one added last is no more. */
void mappings_check_undo(struct mappings *m);
/* Bytes that had not come before. */
void mappings_check_sum(struct mappings *m, uint64_t ssn, const uint8_t *bytes, uint32_t len);
/* The next that is complete and has not been told of; NULL: none. Holds until the next call. */
const struct map_check *mappings_check_next(struct mappings *m);
/* The bytes from dsn on, which are about to be kept, come by the mapping that covers ssn. */
void mappings_check_brings(struct mappings *m, uint64_t ssn, struct dsn dsn);
/*
 * Bytes [from, to) have come by another way than the mapping that covers ssn (UINT64_MAX: none does). Where they begin at what
 * this one still owes, it owes less: out is then the stretch whose old copy is of no use any more. False: nothing of the kind.
 * To be called until it is false.
 */
bool mappings_check_supersede(struct mappings *m, uint64_t ssn, struct dsn from, struct dsn to, struct mapping *out);
/* The lowest dsn that waits to be verified. False: none does. */
bool mappings_check_lowest(const struct mappings *m, struct dsn *out);
/* The mapping that covers ssn, or NULL. */
const struct mapping *mappings_find(const struct mappings *m, uint64_t ssn);
/* All below ssn has been received: mappings that end there are forgotten. */
void mappings_done(struct mappings *m, uint64_t ssn);

#endif
