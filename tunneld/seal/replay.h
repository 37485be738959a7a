/* SPDX-License-Identifier: MIT */
/*
 * One path's replay window, RFC 6479's ring of words: a counter is taken once, and only while it is not
 * more than REPLAY_WINDOW behind the highest one taken. One more word than the window needs, so that
 * the word being entered can be cleared whole.
 *
 * 8192 is 9 ms of 1400-byte datagrams at 10 Gbit/s: more than GSO trains, receive queues and a bonded
 * link reorder, at 1 KiB a path. Slow paths do not matter: each path has a window of its own.
 */
#ifndef PLAIT_SEAL_REPLAY_H
#define PLAIT_SEAL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum { REPLAY_WINDOW = 8192, REPLAY_WORDS = REPLAY_WINDOW / 64 + 1 };

struct replay {
	uint64_t next;                 /* one above the highest counter taken; 0 = none yet */
	uint64_t words[REPLAY_WORDS];  /* not meaningful while next is 0 */
};

/* The 64-bit counter nearest to what comes next whose low half is `low`; never one below zero. */
static inline uint64_t replay_expand(const struct replay *r, uint32_t low)
{
	uint64_t near = r->next + (uint64_t)(int64_t)(int32_t)(low - (uint32_t)r->next);

	/* Far below zero is a number near 2^64: then the high half can only be 0. */
	return near >> 63 ? low : near;
}

/* May counter be taken? ERR_OK, ERR_REPLAYED (taken already), ERR_FULL (left of the window: too old to tell). */
static inline enum err replay_check(const struct replay *r, uint64_t counter)
{
	if (counter >= r->next)
		return ERR_OK;
	if (r->next - 1 - counter >= REPLAY_WINDOW)
		return ERR_FULL;
	return r->words[counter / 64 % REPLAY_WORDS] >> (counter % 64) & 1 ? ERR_REPLAYED : ERR_OK;
}

/* Takes a counter that replay_check() allowed and whose datagram is authentic. True: it is the newest so far. */
bool replay_take(struct replay *r, uint64_t counter);

#endif
