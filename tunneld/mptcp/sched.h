/* SPDX-License-Identifier: MIT */
/*
 * The scheduler: which subflow carries the next bytes. A table of functions over plain facts, so that a
 * decision is tested without a connection.
 */
#ifndef PLAIT_MPTCP_SCHED_H
#define PLAIT_MPTCP_SCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/usec.h"

struct sched_candidate {
	usec_t srtt_us;
	uint32_t cwnd, in_flight; /* bytes */
	uint32_t sendable;        /* bytes it would take now; 0: full */
	bool backup;              /* only while nothing else lives, RFC 8684 3.3.8 */
	bool avoid;               /* stale, or its path does not answer: only while nothing else lives */
	bool excluded;            /* not for these bytes (they are in flight on it already) */
};

struct sched_view {
	const struct sched_candidate *sub;
	unsigned count;
	uint64_t queued;          /* bytes that wait to be sent, the connection's window included */
	uint64_t window;          /* bytes the connection's window still takes */
};

enum { SCHED_NONE = -1 }; /* none now: full, or worth waiting for a faster one */

struct sched_ops {
	const char *name;
	int (*pick)(const struct sched_view *v);
};

extern const struct sched_ops sched_minrtt;
/* NULL: no scheduler of that name. NULL or "default" as name: minrtt. */
const struct sched_ops *sched_by_name(const char *name);

#endif
