/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/send_queue.h"

#include <assert.h>
#include <string.h>

void send_queue_init(struct send_queue *q, struct dsn first)
{
	*q = (struct send_queue){ .start = first, .end = first };
}

void send_queue_close(struct send_queue *q, struct page_pool *p)
{
	page_table_close(&q->pages, p);
	q->start = q->end;
}

size_t send_queue_append(struct send_queue *q, struct page_pool *p, const uint8_t *bytes, size_t len, uint64_t reserve_bytes)
{
	size_t done = 0;

	while (done < len) {
		size_t at = page_offset(q->end), n = PAGE_SIZE_BYTES - at;
		uint8_t *page;

		if (n > len - done)
			n = len - done;
		if (!page_table_span(&q->pages, page_of(q->start), page_steps(q->start, q->end) + 1))
			break;
		page = page_table_need(&q->pages, p, page_of(q->end), reserve_bytes);
		if (!page)
			break;
		memcpy(page + at, bytes + done, n);
		q->end = dsn_add(q->end, n);
		done += n;
	}
	return done;
}

uint8_t *send_queue_place(struct send_queue *q, struct page_pool *p, size_t most, size_t *len, uint64_t reserve_bytes)
{
	struct dsn from = dsn_add(q->end, q->offered);
	size_t at = page_offset(from);
	uint8_t *page;

	if (!page_table_span(&q->pages, page_of(q->start), page_steps(q->start, from) + 1))
		return NULL;
	page = page_table_need(&q->pages, p, page_of(from), reserve_bytes);
	if (!page)
		return NULL;
	*len = most < PAGE_SIZE_BYTES - at ? most : PAGE_SIZE_BYTES - at;
	q->offered += *len;
	return page + at;
}

void send_queue_placed(struct send_queue *q, struct page_pool *p, size_t len)
{
	struct dsn offered = dsn_add(q->end, q->offered);
	uint64_t have = page_steps(q->start, dsn_add(offered, UINT64_MAX)) + 1, keep = 0;

	assert(len <= q->offered && q->offered);
	q->end = dsn_add(q->end, len);
	q->offered = 0;
	/* The last page with a byte in it stays; where nothing is held, none does. */
	if (!dsn_eq(q->start, q->end))
		keep = page_steps(q->start, dsn_add(q->end, UINT64_MAX)) + 1;
	for (uint64_t n = keep; n < have; n++)
		page_table_drop(&q->pages, p, page_of(q->start) + n);
}

void send_queue_free_to(struct send_queue *q, struct page_pool *p, struct dsn upto)
{
	assert(dsn_leq(upto, q->end));
	if (dsn_leq(upto, q->start))
		return;
	for (uint64_t n = 0, steps = page_steps(q->start, upto); n < steps; n++)
		page_table_drop(&q->pages, p, page_of(q->start) + n);
	q->start = upto;
	/* An idle connection holds no page: the last one goes as soon as nothing in it is needed. */
	if (dsn_eq(q->start, q->end) && !q->offered)
		page_table_drop(&q->pages, p, page_of(upto));
}

void send_queue_copy(const struct send_queue *q, struct dsn from, size_t len, uint8_t *out)
{
	assert(dsn_leq(q->start, from) && dsn_leq(dsn_add(from, len), q->end));
	while (len) {
		size_t at = page_offset(from), n = PAGE_SIZE_BYTES - at;

		if (n > len)
			n = len;
		memcpy(out, page_table_at(&q->pages, page_of(from)) + at, n);
		out += n;
		from = dsn_add(from, n);
		len -= n;
	}
}

checksum_t send_queue_sum(const struct send_queue *q, struct dsn from, size_t len)
{
	checksum_t sum = 0;
	size_t done = 0;

	assert(dsn_leq(q->start, from) && dsn_leq(dsn_add(from, len), q->end));
	while (done < len) {
		size_t at = page_offset(from), n = PAGE_SIZE_BYTES - at;

		if (n > len - done)
			n = len - done;
		sum = checksum_add(sum, done, checksum_partial(page_table_at(&q->pages, page_of(from)) + at, n));
		from = dsn_add(from, n);
		done += n;
	}
	return sum;
}
