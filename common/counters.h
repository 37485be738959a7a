/* SPDX-License-Identifier: MIT */
/*
 * Counters, one line each in counters.def: every refusal has one, named by its reason. A worker owns
 * one struct counters and hands its address down; nobody else writes it.
 */
#ifndef PLAIT_COUNTERS_H
#define PLAIT_COUNTERS_H

#include <stdint.h>

enum counter {
#define COUNTER(name, help) CNT_##name,
#include "common/counters.def"
#undef COUNTER
	CNT_MAX
};

struct counters {
	uint64_t v[CNT_MAX];
};

static inline void count(struct counters *c, enum counter which) { c->v[which]++; }
static inline void count_n(struct counters *c, enum counter which, uint64_t n) { c->v[which] += n; }

extern const char *const counter_names[CNT_MAX]; /* as in counters.def */
extern const char *const counter_helps[CNT_MAX];

#endif
