/* SPDX-License-Identifier: MIT */
/*
 * Pages of payload for all connections of an engine, with one limit; and a sparse table of pages
 * addressed by dsn, which send_queue and reorder share. A table without pages takes no memory.
 *
 * The limit is a bank's (common/bank.h). Engines of several threads may have one bank: what is in it any of them may draw, a
 * chunk at a time, and brings back when it has two that it does not use. So an idle engine holds none of it, and a page costs no other
 * thread a cache line.
 */
#ifndef PLAIT_MPTCP_PAGE_POOL_H
#define PLAIT_MPTCP_PAGE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bank.h"
#include "common/seq.h"

enum { PAGE_SHIFT = 14, PAGE_SIZE_BYTES = 1 << PAGE_SHIFT };

struct page_pool {
	struct bank *bank, own; /* own: where nobody gave another */
	uint64_t used_bytes, drawn_bytes; /* used <= drawn, which is what is taken from the bank; pages on the free list are not used */
	uint8_t *free_list;             /* a free page begins with the next one's address */
	uint32_t free_count, free_keep; /* beyond free_keep a page goes back to the system */
};

void page_bank_init(struct bank *b, uint64_t max_bytes, unsigned pools);
void page_pool_init(struct page_pool *p, uint64_t max_bytes); /* with a bank of its own; p stays where it is */
void page_pool_share(struct page_pool *p, struct bank *b); /* b is borrowed until page_pool_close() */
void page_pool_close(struct page_pool *p); /* all pages must be back */
/* What p may still take, as long as nobody else does. */
static inline uint64_t page_pool_free(const struct page_pool *p)
{
	return p->bank->left_bytes + p->drawn_bytes - p->used_bytes;
}
/* NULL when less than reserve_bytes would be left, or the system has none. Not zeroed. */
uint8_t *page_pool_get(struct page_pool *p, uint64_t reserve_bytes);
void page_pool_put(struct page_pool *p, uint8_t *page);
void page_pool_trim(struct page_pool *p); /* the free list is freed */

/* Pages of dsns; slot of a dsn is (dsn >> PAGE_SHIFT) & (slots - 1), so no two live pages may be `slots` pages apart. */
struct page_table {
	uint8_t **slot;
	uint32_t slots; /* power of two, or 0 */
	uint32_t pages; /* slots that hold a page */
};

/* Frees what is left. */
void page_table_close(struct page_table *t, struct page_pool *p);
/* Page numbers wrap as dsns do. */
static inline uint64_t page_of(struct dsn d) { return d.v >> PAGE_SHIFT; }
static inline size_t page_offset(struct dsn d) { return (size_t)(d.v & (PAGE_SIZE_BYTES - 1)); }
/* How many page borders lie in (from, to]. */
static inline uint64_t page_steps(struct dsn from, struct dsn to)
{
	return (to.v - (from.v - page_offset(from))) >> PAGE_SHIFT;
}
/* Makes room for `pages` pages from first on, which is the lowest held; false: no memory. */
bool page_table_span(struct page_table *t, uint64_t first, uint64_t pages);
static inline uint8_t *page_table_at(const struct page_table *t, uint64_t page)
{
	return t->slots ? t->slot[page & (t->slots - 1)] : NULL;
}
/* The page, taken from the pool if it is not there; NULL: the pool is full. Must be within the span. */
uint8_t *page_table_need(struct page_table *t, struct page_pool *p, uint64_t page, uint64_t reserve_bytes);
void page_table_drop(struct page_table *t, struct page_pool *p, uint64_t page);

#endif
