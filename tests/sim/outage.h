/* SPDX-License-Identifier: MIT */
/*
 * The profile "outage" (make sim PROFILE=outage): every path goes, silently or with its interface, and the first of them comes back
 * after up to 55 s, which a connection must live through whole (break-before-make, 60 s); or all go with their interfaces and come
 * back after 75 s or more, when the client must have given up. (A path that is only silent keeps its subflow: nobody told that it
 * went, and the stream may well go on when it answers again.)
 */
#ifndef PLAIT_SIM_OUTAGE_H
#define PLAIT_SIM_OUTAGE_H

#include "tests/sim/plan.h"

void outage_of_seed(struct plan *p, uint64_t seed);

#endif
