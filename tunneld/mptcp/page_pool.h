/* SPDX-License-Identifier: MIT */
/*
 * Pages of payload for all connections of an engine, with one limit; and a sparse table of pages
 * addressed by dsn, which send_queue and reorder share. A table without pages takes no memory.
 */
#ifndef PLAIT_MPTCP_PAGE_POOL_H
#define PLAIT_MPTCP_PAGE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/seq.h"

enum { PAGE_SHIFT = 14, PAGE_SIZE_BYTES = 1 << PAGE_SHIFT };

struct page_pool {
	uint64_t used_bytes, max_bytes; /* used <= max; pages on the free list are not used */
	uint8_t *free_list;             /* a free page begins with the next one's address */
	uint32_t free_count, free_keep; /* beyond free_keep a page goes back to the system */
};

void page_pool_init(struct page_pool *p, uint64_t max_bytes);
void page_pool_close(struct page_pool *p); /* all pages must be back */
/* NULL when it would take the pool beyond max_bytes - reserve_bytes, or the system has none. Not zeroed. */
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
