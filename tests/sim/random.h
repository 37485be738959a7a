/* SPDX-License-Identifier: MIT */
/*
 * All chance of a run. splitmix64, forked by name, so that a new question asked in one place (a further
 * kind of fault, say) does not change the answers everywhere else: old seeds keep most of their meaning.
 */
#ifndef PLAIT_SIM_RANDOM_H
#define PLAIT_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct rnd { uint64_t state; };

static inline uint64_t rnd_next(struct rnd *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}
/* A stream of its own for a seed, a purpose and an index. */
static inline struct rnd rnd_fork(uint64_t seed, const char *purpose, uint64_t index)
{
	struct rnd r = { seed * UINT64_C(0xd1342543de82ef95) + index };

	for (; *purpose; purpose++)
		r.state = (rnd_next(&r) ^ (uint8_t)*purpose) * UINT64_C(0x100000001b3);
	return r;
}
/* 0 <= result < n; n > 0 */
static inline uint64_t rnd_below(struct rnd *r, uint64_t n) { return rnd_next(r) % n; }
/* lo <= result <= hi */
static inline uint64_t rnd_range(struct rnd *r, uint64_t lo, uint64_t hi) { return lo + rnd_below(r, hi - lo + 1); }
/* True in ppm of a million cases. */
static inline bool rnd_chance(struct rnd *r, uint32_t ppm) { return ppm && rnd_below(r, 1000000) < ppm; }
static inline bool rnd_percent(struct rnd *r, unsigned percent) { return rnd_below(r, 100) < percent; }
/* lo <= result <= hi, every power of two as likely as the next: sizes and times. */
static inline uint64_t rnd_log(struct rnd *r, uint64_t lo, uint64_t hi)
{
	unsigned bits = 0;
	uint64_t v;

	while ((hi - lo) >> bits)
		bits++;
	v = rnd_below(r, UINT64_C(1) << rnd_range(r, 0, bits));
	return lo + (v > hi - lo ? hi - lo : v);
}

#endif
