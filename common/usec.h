/* SPDX-License-Identifier: MIT */
/* Time is microseconds since an arbitrary start, monotonic, and always an argument. */
#ifndef PLAIT_USEC_H
#define PLAIT_USEC_H

#include <stdint.h>

typedef uint64_t usec_t;

#define USEC_NEVER  UINT64_MAX /* a deadline that does not come */
#define USEC_PER_MS UINT64_C(1000)
#define USEC_PER_S  UINT64_C(1000000)

static inline usec_t usec_min(usec_t a, usec_t b) { return a < b ? a : b; }
static inline usec_t usec_max(usec_t a, usec_t b) { return a > b ? a : b; }

/* t + d, saturating at USEC_NEVER. */
static inline usec_t usec_add(usec_t t, usec_t d) { return t > USEC_NEVER - d ? USEC_NEVER : t + d; }

/* Time from earlier to later; 0 if it has not come yet. */
static inline usec_t usec_since(usec_t later, usec_t earlier) { return later > earlier ? later - earlier : 0; }

#endif
