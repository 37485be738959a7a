/* SPDX-License-Identifier: MIT */
/*
 * A sorted list of disjoint, non-touching half-open ranges of 64-bit offsets. Grows as it must, up to
 * RANGES_MAX; gives its memory back when empty. All zero is a valid empty list.
 */
#ifndef PLAIT_RANGES_H
#define PLAIT_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum { RANGES_MAX = 8192 }; /* a window of which every second segment was lost, on a fast long path */

struct range { uint64_t start, end; };

struct ranges {
	struct range *at;
	uint32_t count, room;
};

void ranges_free(struct ranges *r);
/* Adds [start, end), joining what it touches. ERR_FULL: a range too many, or no memory; nothing changed. */
MUST_CHECK enum err ranges_add(struct ranges *r, uint64_t start, uint64_t end);
/* Removes everything before offset. */
void ranges_drop_before(struct ranges *r, uint64_t offset);
/* Does one range hold all of [start, end)? An empty range is held by any list. */
bool ranges_have(const struct ranges *r, uint64_t start, uint64_t end);
/* Index of the range that holds offset, or -1. */
int ranges_find(const struct ranges *r, uint64_t offset);

#endif
