/* SPDX-License-Identifier: MIT */
/*
 * The profile "return" (make sim PROFILE=return): one stream of bulk, or of messages, over two paths or three. One of them goes
 * away, silently, with its carrier or with its interface, for 2 to 10 s or for as long as 45 s, and comes back, with another
 * address if the interface was gone. What is asked of every seed (docs/failover.md):
 *  - a segment with data has come through it within 2 s and a round trip (messages: if it is the shortest path);
 *  - bulk: from 3 s to 6 s after it came back the stream is given more than 90 % of what the links together take of its bytes;
 *  - messages, which a subflow may survive that bulk would give up: after 6 s its subflow is in primary mode at both ends.
 */
#ifndef PLAIT_SIM_RETURN_H
#define PLAIT_SIM_RETURN_H

#include "tests/sim/plan.h"

struct world;
struct packet;

void return_of_seed(struct plan *p, uint64_t seed);

struct returns {
	usec_t used_us;          /* 0: not since it came back */
	bool begun;              /* the time that counts has */
	uint64_t before_bytes;   /* delivered until then */
};

void returns_arrived(struct world *w, const struct packet *p);
void returns_delivered(struct world *w); /* before it counts what is new */
void returns_judge(struct world *w);     /* at the end */

#endif
