/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/reorder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ISLANDS_MAX = 1 << 15 };

void reorder_init(struct reorder *q, struct dsn first)
{
	*q = (struct reorder){ .read = first, .next = first, .ready = first };
}

void reorder_close(struct reorder *q, struct page_pool *p)
{
	page_table_close(&q->pages, p);
	free(q->islands);
	q->islands = NULL;
	q->count = q->room = 0;
	q->ooo_bytes = 0;
	q->read = q->ready = q->next;
}

/* Index of the first island that ends at or after d: the one d could touch. From the end: arrivals mostly extend the last. */
static uint32_t island_at(const struct reorder *q, struct dsn d)
{
	uint32_t lo = 0, hi = q->count;

	if (hi && dsn_lt(q->islands[hi - 1].end, d))
		return hi;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (dsn_lt(q->islands[mid].end, d))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Makes pages for [from, to) before anything is written, so that an insert is whole or not at all. */
static bool pages_for(struct reorder *q, struct page_pool *p, struct dsn from, struct dsn to, uint64_t reserve_bytes)
{
	struct dsn last = dsn_add(to, UINT64_MAX);
	uint64_t steps = page_steps(from, last);

	if (!page_table_span(&q->pages, page_of(q->read), page_steps(q->read, last) + 1))
		return false;
	for (uint64_t n = 0; n <= steps; n++)
		if (!page_table_need(&q->pages, p, page_of(from) + n, reserve_bytes))
			return false; /* a page too many stays in the table: the next insert uses it or consumption frees it */
	return true;
}

static void put(struct reorder *q, struct dsn at, const uint8_t *bytes, size_t len)
{
	while (len) {
		size_t off = page_offset(at), n = PAGE_SIZE_BYTES - off;

		if (n > len)
			n = len;
		memcpy(page_table_at(&q->pages, page_of(at)) + off, bytes, n);
		bytes += n;
		at = dsn_add(at, n);
		len -= n;
	}
}

static bool island_room(struct reorder *q)
{
	uint32_t room = q->room ? q->room * 2 : 8;
	struct reorder_gap *more;

	if (q->count < q->room)
		return true;
	if (room > ISLANDS_MAX || !(more = realloc(q->islands, room * sizeof *more)))
		return false;
	q->islands = more;
	q->room = room;
	return true;
}

/* Writes the parts of [from, to) that no island has; islands i..j-1 overlap or touch it. Returns how many bytes. */
static size_t put_between(struct reorder *q, struct dsn from, struct dsn to, const uint8_t *bytes, uint32_t i, uint32_t j)
{
	struct dsn at = from;
	size_t fresh = 0;

	for (; i < j; i++) {
		if (dsn_lt(at, q->islands[i].start)) {
			size_t n = (size_t)dsn_diff(dsn_min(q->islands[i].start, to), at);

			put(q, at, bytes + (size_t)dsn_diff(at, from), n);
			fresh += n;
		}
		at = dsn_max(at, q->islands[i].end);
	}
	if (dsn_lt(at, to)) {
		put(q, at, bytes + (size_t)dsn_diff(at, from), (size_t)dsn_diff(to, at));
		fresh += (size_t)dsn_diff(to, at);
	}
	return fresh;
}

static void islands_remove(struct reorder *q, uint32_t i, uint32_t n)
{
	memmove(q->islands + i, q->islands + i + n, (q->count - i - n) * sizeof *q->islands);
	q->count -= n;
}

static void set_ready(struct reorder *q)
{
	q->ready = q->held ? dsn_max(q->ready, dsn_min(q->hold, q->next)) : q->next;
}

void reorder_hold(struct reorder *q, bool held, struct dsn at)
{
	q->held = held;
	q->hold = at;
	set_ready(q);
}

/* What is in front of an island that begins there, or the island itself, is cut off. */
static void cut_islands(struct reorder *q, struct dsn from, struct dsn to)
{
	for (uint32_t i = 0; i < q->count;) {
		struct reorder_gap *g = &q->islands[i], was = *g;

		if (dsn_leq(was.end, from) || dsn_leq(to, was.start)) {
			i++;
			continue;
		}
		q->ooo_bytes -= (uint64_t)dsn_diff(dsn_min(was.end, to), dsn_max(was.start, from));
		if (dsn_lt(was.start, from) && dsn_lt(to, was.end)) {
			/* In two; without room for another, what is behind is forgotten, too, and comes again. */
			g->end = from;
			if (island_room(q)) {
				memmove(q->islands + i + 2, q->islands + i + 1, (q->count - i - 1) * sizeof *q->islands);
				q->islands[i + 1] = (struct reorder_gap){ to, was.end };
				q->count++;
			} else {
				q->ooo_bytes -= (uint64_t)dsn_diff(was.end, to);
			}
			return;
		}
		if (dsn_lt(was.start, from)) {
			g->end = from;
			i++;
		} else if (dsn_lt(to, was.end)) {
			g->start = to;
			i++;
		} else {
			islands_remove(q, i, 1);
		}
	}
}

void reorder_discard(struct reorder *q, struct dsn from, struct dsn to)
{
	from = dsn_max(from, q->ready);
	if (dsn_leq(to, from))
		return;
	cut_islands(q, from, to);
	if (dsn_lt(from, q->next)) {
		struct dsn end = q->next;

		q->next = from;
		if (dsn_lt(to, end) && island_room(q)) {
			memmove(q->islands + 1, q->islands, q->count * sizeof *q->islands);
			q->islands[0] = (struct reorder_gap){ to, end };
			q->count++;
			q->ooo_bytes += (uint64_t)dsn_diff(end, to);
		}
	}
	set_ready(q);
}

static enum err insert(struct reorder *q, struct page_pool *p, struct dsn dsn, const uint8_t *bytes, size_t len,
		       uint64_t reserve_bytes, size_t *fresh)
{
	struct dsn from = dsn_max(dsn, q->next), to = dsn_add(dsn, len);
	uint32_t i, j;

	*fresh = 0;
	if (dsn_leq(to, from))
		return ERR_OK;
	bytes += (size_t)dsn_diff(from, dsn);
	if (!pages_for(q, p, from, to, dsn_eq(from, q->next) ? 0 : reserve_bytes))
		return ERR_FULL;

	if (q->count == 0 && dsn_eq(from, q->next)) { /* the common case */
		put(q, from, bytes, (size_t)dsn_diff(to, from));
		*fresh = (size_t)dsn_diff(to, from);
		q->next = to;
		return ERR_OK;
	}

	i = island_at(q, from);
	for (j = i; j < q->count && dsn_leq(q->islands[j].start, to); j++)
		;
	if (dsn_eq(from, q->next)) {
		*fresh = put_between(q, from, to, bytes, i, j);
		q->next = j > i ? dsn_max(to, q->islands[j - 1].end) : to;
		for (uint32_t k = i; k < j; k++)
			q->ooo_bytes -= (uint64_t)dsn_diff(q->islands[k].end, q->islands[k].start);
		assert(i == 0);
		islands_remove(q, 0, j);
		return ERR_OK;
	}
	if (i == j) {
		if (!island_room(q))
			return ERR_FULL;
		*fresh = put_between(q, from, to, bytes, i, j);
		memmove(q->islands + i + 1, q->islands + i, (q->count - i) * sizeof *q->islands);
		q->islands[i] = (struct reorder_gap){ from, to };
		q->count++;
	} else {
		*fresh = put_between(q, from, to, bytes, i, j);
		q->islands[i].start = dsn_min(q->islands[i].start, from);
		q->islands[i].end = dsn_max(q->islands[j - 1].end, to);
		islands_remove(q, i + 1, j - i - 1);
	}
	q->ooo_bytes += *fresh;
	return ERR_OK;
}

enum err reorder_insert(struct reorder *q, struct page_pool *p, struct dsn dsn, const uint8_t *bytes, size_t len,
			uint64_t reserve_bytes, size_t *fresh)
{
	enum err err = insert(q, p, dsn, bytes, len, reserve_bytes, fresh);

	set_ready(q);
	return err;
}

const uint8_t *reorder_peek(const struct reorder *q, struct dsn from, size_t *len)
{
	const uint8_t *page = dsn_lt(from, q->read) ? NULL : page_table_at(&q->pages, page_of(from));

	*len = PAGE_SIZE_BYTES - page_offset(from);
	return page ? page + page_offset(from) : NULL;
}

size_t reorder_readable_from(const struct reorder *q, size_t nth, const uint8_t **bytes)
{
	struct dsn from = dsn_add(q->read, nth);
	size_t n = (size_t)reorder_waiting(q), off = page_offset(from);

	if (n <= nth) {
		*bytes = NULL;
		return 0;
	}
	n -= nth;
	*bytes = page_table_at(&q->pages, page_of(from)) + off;
	return n < PAGE_SIZE_BYTES - off ? n : PAGE_SIZE_BYTES - off;
}

size_t reorder_readable(const struct reorder *q, const uint8_t **bytes)
{
	return reorder_readable_from(q, 0, bytes);
}

void reorder_consumed(struct reorder *q, struct page_pool *p, size_t len)
{
	struct dsn upto = dsn_add(q->read, len);

	assert(dsn_leq(upto, q->ready));
	for (uint64_t n = 0, steps = page_steps(q->read, upto); n < steps; n++)
		page_table_drop(&q->pages, p, page_of(q->read) + n);
	q->read = upto;
	if (!dsn_eq(q->read, q->next) || q->count || !q->pages.pages)
		return;
	/* Nothing is held: not even the page that the next byte would go to, nor those of an insert that failed. */
	page_table_drop(&q->pages, p, page_of(upto));
	for (uint32_t i = 0; q->pages.pages; i++)
		page_table_drop(&q->pages, p, i);
}

void reorder_check(const struct reorder *q)
{
	struct dsn last = q->next;
	uint64_t ooo = 0;

	assert(dsn_leq(q->read, q->ready) && dsn_leq(q->ready, q->next) && (q->held || dsn_eq(q->ready, q->next)));
	for (uint32_t i = 0; i < q->count; i++) {
		assert(dsn_lt(last, q->islands[i].start) && dsn_lt(q->islands[i].start, q->islands[i].end));
		last = q->islands[i].end;
		ooo += (uint64_t)dsn_diff(q->islands[i].end, q->islands[i].start);
	}
	assert(ooo == q->ooo_bytes);
	assert(q->count || dsn_lt(q->read, q->next) || q->ooo_bytes == 0);
}
