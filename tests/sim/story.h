/* SPDX-License-Identifier: MIT */
/* The sequences that the documents in docs/traces/ tell, played by the engines; each says itself whether it came out as it must. */
#ifndef PLAIT_SIM_STORY_H
#define PLAIT_SIM_STORY_H

#include <stdbool.h>

/* Plays those whose name is `only` (NULL: all); trace: as text. Failures. */
unsigned stories_run(const char *only, bool trace);

#endif
