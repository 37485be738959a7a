/* SPDX-License-Identifier: MIT */
/*
 * The profile "jitter" (make sim PROFILE=jitter): nothing is wrong. Two paths or three that lose nothing, whose packets are late by
 * chance, by up to what the way itself takes and 40 ms more, and on some one of 50 to 2000 by up to 400 ms; one stream of messages
 * or of bulk. Every doubt is a false alarm; they are counted, and the run's last lines tell how many. What is asked of every seed:
 *  - no subflow with messages underperforms; bulk loses what its own queues do not take, which may be a flight;
 *  - not more bytes than these percent are sent again in vain.
 */
#ifndef PLAIT_SIM_JITTER_H
#define PLAIT_SIM_JITTER_H

#include "tests/sim/plan.h"

struct world;
struct result;

enum { JITTER_MESSAGES_PERCENT = 1, JITTER_BULK_PERCENT = 4 };

void jitter_of_seed(struct plan *p, uint64_t seed);
void jitter_judge(struct world *w, struct result *out); /* at the end */

#endif
