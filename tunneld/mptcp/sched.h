/* SPDX-License-Identifier: MIT */
/*
 * The scheduler: which subflow carries the next bytes. A table of functions over plain facts, so that a
 * decision is tested without a connection. Every one of them uses a backup only while nothing better lives.
 */
#ifndef PLAIT_MPTCP_SCHED_H
#define PLAIT_MPTCP_SCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/usec.h"

/* So long without data, alone on its path, and the queue that srtt has in it is gone. */
#define SCHED_IDLE_US USEC_PER_S

struct sched_candidate {
	usec_t srtt_us;
	usec_t idle_rtt_us;       /* the least of late, if alone on its path and idle for SCHED_IDLE_US; else 0 */
	uint64_t rate;            /* bytes a second it carries; 0: not known yet */
	uint32_t in_flight;       /* bytes */
	uint32_t sendable;        /* bytes it would take now; 0: full, or paced */
	bool backup;              /* only while nothing else lives, RFC 8684 3.3.8 */
	bool avoid;               /* it underperforms: only while nothing else lives */
	bool silent;              /* stale, or its path does not answer: then avoid is true, too, and others that underperform go before */
	double score;             /* backup.h: less is better; for ties */
	bool excluded;            /* not for these bytes (they are in flight on it already) */
};

struct sched_view {
	const struct sched_candidate *sub;
	unsigned count;
	uint64_t queued;          /* bytes that wait to be sent; SCHED_ENDLESS: and the application holds back more */
	uint64_t window;          /* bytes the connection's window still takes */
};

#define SCHED_ENDLESS UINT64_MAX
enum { SCHED_NONE = -1 }; /* none now: full, or worth waiting for a faster one */

struct sched_ops {
	const char *name;
	bool copies;              /* every subflow that pick() would take gets every byte: see sched_eligible() */
	int (*pick)(const struct sched_view *v);
};

extern const struct sched_ops sched_minrtt, sched_blest, sched_ecf, sched_redundant;
/* NULL: no scheduler of that name. NULL or "default" as name: the default. */
const struct sched_ops *sched_by_name(const char *name);
/* All of them, for people: "ecf, blest, ...". */
const char *sched_names(void);
/* May it carry data, or does one of better standing live? */
bool sched_eligible(const struct sched_view *v, unsigned i);

#endif
