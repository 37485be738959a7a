/* SPDX-License-Identifier: MIT */
/*
 * The profile "delay" (make sim PROFILE=delay): messages of up to 200 bytes every 20 ms over two paths, of which one is well. The
 * other falls silent or begins to lose 5 to 60 %, in one direction or in both. How long the bytes of a message may take, from the
 * time they are written to when they can be read (docs/failover.md):
 *  - silence: two round trips of the bad path and 30 ms until it is doubted, and once through the good one;
 *  - loss: the limit for an underperforming subflow (UPERF_TIMEOUT), and one round trip;
 *  - connect(): 1.25 round trips of the bad path, 3.75 where a probe is answered late, and one of the good;
 *  - two seconds more for a message if that limit is too small for the good path, too.
 */
#ifndef PLAIT_SIM_DELAY_H
#define PLAIT_SIM_DELAY_H

#include <stdbool.h>

#include "tests/sim/plan.h"

void delay_of_seed(struct plan *p, uint64_t seed);

enum { DELAYS_MAX = 2048 };

/* One direction of the first stream: what was written, and cannot be read yet. */
struct delays {
	struct { uint64_t end; usec_t at_us; } written[DELAYS_MAX]; /* a ring */
	unsigned first, count;
	usec_t worst_us, worst_at_us;
};

void delays_written(struct delays *d, uint64_t end, usec_t now_us);
void delays_readable(struct delays *d, uint64_t end, usec_t now_us);

#endif
