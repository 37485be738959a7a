/* SPDX-License-Identifier: MIT */
/*
 * When a peak is over, its memory goes back to the system: pages that the engine keeps, and what the C library holds of freed
 * connections. Over is: a quarter of the peak or less, for REST_US together. So what is in steady use is left alone, and the
 * work is paid by a fall of three quarters each time.
 */
#ifndef PLAIT_DAEMON_REST_H
#define PLAIT_DAEMON_REST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/usec.h"

#define REST_US (2 * USEC_PER_S)
enum { REST_LEAST_BYTES = 1 << 20 }; /* smaller peaks are not worth it */

struct rest {
	uint64_t peak_bytes; /* since the last time */
	usec_t due_us;       /* USEC_NEVER: no peak is over */
};

static inline void rest_init(struct rest *r) { *r = (struct rest){ .due_us = USEC_NEVER }; }
/* held_bytes are in use now. True: give back, now. */
bool rest_now(struct rest *r, uint64_t held_bytes, usec_t now_us);

#endif
