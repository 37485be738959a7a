/* SPDX-License-Identifier: MIT */
/*
 * The profile "flap" (make sim PROFILE=flap), and what it asks of every seed on top of what all seeds are asked:
 *  - no oscillation: no subflow leaves the underperforming mode more than BACKUP_LEAVES_MAX times in any 60 s (mptcp/backup.h);
 *  - no new data goes on an underperforming subflow while the connection has a better one that could be used;
 *  - every stream opens, and ends in order with every byte.
 */
#ifndef PLAIT_SIM_FLAP_H
#define PLAIT_SIM_FLAP_H

#include "tests/sim/plan.h"
#include "tunneld/mptcp/engine.h"

void flap_of_seed(struct plan *p, uint64_t seed);

enum { WATCHED_MAX = 64 };

/* What was seen last of each subflow of one engine. */
struct mode_watch {
	struct watched {
		conn_id conn;
		uint32_t sub;
		uint64_t bytes_sent;
		uint32_t map_left;             /* what it had declared and must send yet, whatever it is now */
		bool underperforms;
		unsigned leaves;               /* in all */
		usec_t left_us[BACKUP_LEAVES_MAX]; /* the last, as a ring */
	} of[WATCHED_MAX];
	unsigned next;
};

/* After each segment sent. False: *why says what is wrong. */
bool modes_look(struct mode_watch *w, const struct engine *e, usec_t now_us, char *why, size_t why_len);

#endif
