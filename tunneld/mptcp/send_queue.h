/* SPDX-License-Identifier: MIT */
/*
 * Bytes the application wrote, from the first that may still be needed to the last written, addressed by
 * dsn. The queue knows nothing of subflows; its owner says what may go. Every byte is held once.
 */
#ifndef PLAIT_MPTCP_SEND_QUEUE_H
#define PLAIT_MPTCP_SEND_QUEUE_H

#include "tunneld/mptcp/page_pool.h"
#include "tunneld/wire/checksum.h"

struct send_queue {
	struct dsn start; /* first byte held */
	struct dsn end;   /* dsn the next written byte gets; start <= end */
	size_t offered;   /* bytes beyond end that somebody is writing to, see send_queue_place() */
	struct page_table pages;
};

void send_queue_init(struct send_queue *q, struct dsn first);
void send_queue_close(struct send_queue *q, struct page_pool *p);
/* Takes a prefix of bytes and says how long: short when the pool less reserve_bytes is full. */
size_t send_queue_append(struct send_queue *q, struct page_pool *p, const uint8_t *bytes, size_t len, uint64_t reserve_bytes);
/*
 * The place of the next bytes, those that were offered by the last calls passed over: *len of them, at most `most`, lie there
 * in one piece. NULL: the pool less reserve_bytes is full.
 */
uint8_t *send_queue_place(struct send_queue *q, struct page_pool *p, size_t most, size_t *len, uint64_t reserve_bytes);
/* len bytes were written to the places; the rest of what was offered is given back. */
void send_queue_placed(struct send_queue *q, struct page_pool *p, size_t len);
/* Forgets all below upto, which must not be beyond end. */
void send_queue_free_to(struct send_queue *q, struct page_pool *p, struct dsn upto);
/* [from, from + len) must be held. */
void send_queue_copy(const struct send_queue *q, struct dsn from, size_t len, uint8_t *out);
/* Sum of the same bytes, for a DSS checksum. */
checksum_t send_queue_sum(const struct send_queue *q, struct dsn from, size_t len);
static inline size_t send_queue_held(const struct send_queue *q) { return (size_t)dsn_diff(q->end, q->start); }

#endif
