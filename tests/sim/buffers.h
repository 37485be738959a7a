/* SPDX-License-Identifier: MIT */
/*
 * What buffers are to do, a clause a run: follow what all paths carry in the longest round trip, keep within the engine's memory,
 * be shared fairly, hold the application back and never abort it, and be given back when nothing is in them.
 */
#ifndef PLAIT_SIM_BUFFERS_H
#define PLAIT_SIM_BUFFERS_H

#include <stdbool.h>
#include <stdint.h>

struct host;
struct result;
struct world;

/* From when on, and what there was to see of it. */
struct buffers {
	uint64_t snd_most, rcv_most;   /* of one connection: bytes held to be sent, bytes that its window lets come */
	uint64_t memory_most[3], memory_end[3]; /* of each engine: 0 is the gateway's */
	bool marked;                   /* plan->mark_us has been */
	uint64_t at_mark[40];          /* what each stream had delivered then */
};

void buffers_watch(struct host *h);  /* whenever an engine has said all it has to say */
void buffers_collect(struct world *w, struct result *out);

unsigned buffers_run(const char *only);

#endif
