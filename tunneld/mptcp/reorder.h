/* SPDX-License-Identifier: MIT */
/*
 * Received bytes by dsn, from the first the application has not consumed to the right edge of what was
 * offered. The first copy of a byte wins. All before `next` is contiguous, all before `ready` readable.
 */
#ifndef PLAIT_MPTCP_REORDER_H
#define PLAIT_MPTCP_REORDER_H

#include "common/err.h"
#include "tunneld/mptcp/page_pool.h"

struct reorder_gap { struct dsn start, end; }; /* a received range beyond next, [start, end) */

struct reorder {
	struct dsn read;  /* first byte not consumed */
	struct dsn next;  /* first byte not received; read <= ready <= next */
	struct dsn ready; /* RCV.NXT: all before it may be read and acknowledged. Never moves back; next, unless held */
	bool held;        /* not beyond `hold`: there a checksum is still to be verified */
	struct dsn hold;
	/* Received beyond next: ascending, disjoint, not touching; islands[0].start > next. */
	struct reorder_gap *islands;
	uint32_t count, room;
	uint64_t ooo_bytes;
	struct page_table pages;
};

void reorder_init(struct reorder *q, struct dsn first);
void reorder_close(struct reorder *q, struct page_pool *p);
/*
 * Takes [dsn, dsn + len) as far as it is not here yet. *fresh is how many bytes were new. ERR_FULL: pages or
 * islands ran out and nothing was kept (the caller does not acknowledge it). reserve_bytes is left in the pool
 * for others when the bytes are out of order, so that in-order bytes always find room.
 * What lies below next is a duplicate; the caller has cut off what is beyond the window.
 */
MUST_CHECK enum err reorder_insert(struct reorder *q, struct page_pool *p, struct dsn dsn, const uint8_t *bytes, size_t len,
				   uint64_t reserve_bytes, size_t *fresh);
/* From `at` on nothing is ready until it is released (held: false) or held elsewhere. What is ready already stays so. */
void reorder_hold(struct reorder *q, bool held, struct dsn at);
/* Forgets [from, to) as far as it is not ready: it has turned out to be wrong. */
void reorder_discard(struct reorder *q, struct dsn from, struct dsn to);
/* Longest run of readable bytes that lies in one piece, from read. 0: none. */
size_t reorder_readable(const struct reorder *q, const uint8_t **bytes);
/* What lies from `from` on in one piece, ready or not; the caller knows that it has come. NULL: it was consumed. */
const uint8_t *reorder_peek(const struct reorder *q, struct dsn from, size_t *len);
/* The same, from the nth readable byte on. */
size_t reorder_readable_from(const struct reorder *q, size_t nth, const uint8_t **bytes);
/* The application took len of them; at most ready - read. */
void reorder_consumed(struct reorder *q, struct page_pool *p, size_t len);
static inline uint64_t reorder_waiting(const struct reorder *q) { return (uint64_t)dsn_diff(q->ready, q->read); }
/* Asserts what must be true. */
void reorder_check(const struct reorder *q);

#endif
