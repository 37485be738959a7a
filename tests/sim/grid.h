/* SPDX-License-Identifier: MIT */
#ifndef PLAIT_SIM_GRID_H
#define PLAIT_SIM_GRID_H

/* `make sim-grid`: prints tables, takes about two minutes. How many runs failed. */
unsigned grid_run(void);

#endif
