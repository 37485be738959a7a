/* SPDX-License-Identifier: MIT */
#ifndef PLAIT_SIM_GRID_H
#define PLAIT_SIM_GRID_H

/* `make sim-grid`: prints tables, takes about two minutes. How many runs failed. */
unsigned grid_run(void);
/* Two subflows of a connection beside one of another: prints what each controller takes. How many take what they should not. */
unsigned fairness_run(void);

#endif
