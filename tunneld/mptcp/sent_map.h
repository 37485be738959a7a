/* SPDX-License-Identifier: MIT */
/*
 * What one subflow has in flight, as stretches of its sequence space tied to dsns: the send side's mapping.
 * It tells which data a sick subflow holds (to reinject it) and which bytes must be kept until the
 * subflow has them acknowledged (RFC 8684 3.3.1: also data acknowledged elsewhere is still retransmitted).
 */
#ifndef PLAIT_MPTCP_SENT_MAP_H
#define PLAIT_MPTCP_SENT_MAP_H

#include "common/err.h"
#include "common/seq.h"

struct sent_range {
	struct ssn seq;
	uint32_t len;
	struct dsn dsn;
	bool reinjected; /* handed to other subflows already */
};

/* A ring of ranges, ascending and contiguous in seq. */
struct sent_map {
	struct sent_range *ring;
	uint32_t head, count, room; /* room: power of two or 0 */
	uint32_t disordered;        /* ranges whose dsn is below that of the one before them */
};

void sent_map_close(struct sent_map *m);
/* Room for one more range, so that sent_map_add() cannot fail. */
MUST_CHECK enum err sent_map_reserve(struct sent_map *m);
void sent_map_add(struct sent_map *m, struct ssn seq, uint32_t len, struct dsn dsn, bool reinjection);
void sent_map_acked(struct sent_map *m, struct ssn upto);
static inline struct sent_range *sent_map_at(const struct sent_map *m, uint32_t i)
{
	return &m->ring[(m->head + i) & (m->room - 1)];
}
/* Lowest dsn that is still in flight; none: what is given. */
struct dsn sent_map_lowest(const struct sent_map *m, struct dsn none);

#endif
