/* SPDX-License-Identifier: MIT */
/* Fixed worlds, to compare schedulers and controllers: goodput as a share of the links' rates, longest gap. */
#ifndef PLAIT_SIM_SCENARIO_H
#define PLAIT_SIM_SCENARIO_H

#include <stdbool.h>

/* Prints one line a scenario whose name begins with `only` (NULL: all). scheduler, congestion: NULL = the default. Failures. */
unsigned scenarios_run(const char *only, const char *scheduler, const char *congestion, bool trace);

#endif
