/* SPDX-License-Identifier: MIT */
/*
 * The two number spaces as two types, so that the compiler keeps them apart. Comparison is modulo
 * the space's size (RFC 9293 3.4), valid while the two numbers are less than half of it apart.
 */
#ifndef PLAIT_SEQ_H
#define PLAIT_SEQ_H

#include <stdbool.h>
#include <stdint.h>

struct dsn { uint64_t v; }; /* connection level, RFC 8684 3.3.1 */
struct ssn { uint32_t v; }; /* one subflow,      RFC 9293 3.4   */

static inline struct dsn dsn_of(uint64_t v) { return (struct dsn){ v }; }
static inline struct dsn dsn_add(struct dsn a, uint64_t n) { return (struct dsn){ a.v + n }; }
static inline int64_t dsn_diff(struct dsn a, struct dsn b) { return (int64_t)(a.v - b.v); } /* a - b */
static inline bool dsn_eq(struct dsn a, struct dsn b) { return a.v == b.v; }
static inline bool dsn_lt(struct dsn a, struct dsn b) { return dsn_diff(a, b) < 0; }
static inline bool dsn_leq(struct dsn a, struct dsn b) { return dsn_diff(a, b) <= 0; }
static inline struct dsn dsn_max(struct dsn a, struct dsn b) { return dsn_lt(a, b) ? b : a; }
static inline struct dsn dsn_min(struct dsn a, struct dsn b) { return dsn_lt(a, b) ? a : b; }

/* The 64-bit number nearest to `near` whose low 32 bits are `low`. RFC 8684 3.3.1 */
static inline struct dsn dsn_promote(uint32_t low, struct dsn near)
{
	return dsn_add(near, (uint64_t)(int64_t)(int32_t)(low - (uint32_t)near.v));
}

static inline struct ssn ssn_of(uint32_t v) { return (struct ssn){ v }; }
static inline struct ssn ssn_add(struct ssn a, uint32_t n) { return (struct ssn){ a.v + n }; }
static inline int32_t ssn_diff(struct ssn a, struct ssn b) { return (int32_t)(a.v - b.v); } /* a - b */
static inline bool ssn_eq(struct ssn a, struct ssn b) { return a.v == b.v; }
static inline bool ssn_lt(struct ssn a, struct ssn b) { return ssn_diff(a, b) < 0; }
static inline bool ssn_leq(struct ssn a, struct ssn b) { return ssn_diff(a, b) <= 0; }
static inline struct ssn ssn_max(struct ssn a, struct ssn b) { return ssn_lt(a, b) ? b : a; }
static inline struct ssn ssn_min(struct ssn a, struct ssn b) { return ssn_lt(a, b) ? a : b; }

#endif
