/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"
#include "tunneld/mptcp/reorder.h"

#include <stdlib.h>
#include <string.h>

static const struct dsn base = { 0xfffffffffffffff0 }; /* so that every test wraps */

static enum err put(struct reorder *q, struct page_pool *p, uint64_t off, const char *text, size_t *fresh)
{
	return reorder_insert(q, p, dsn_add(base, off), (const uint8_t *)text, strlen(text), 0, fresh);
}

static bool reads(struct reorder *q, const char *text)
{
	const uint8_t *bytes;
	size_t n = reorder_readable(q, &bytes);

	return n == strlen(text) && (!n || !memcmp(bytes, text, n));
}

static void test_first_copy_of_an_overlap_wins(void)
{
	struct page_pool p;
	struct reorder q;
	size_t fresh;

	page_pool_init(&p, 1 << 20);
	reorder_init(&q, base);
	CU_ASSERT_EQUAL(put(&q, &p, 4, "efgh", &fresh), ERR_OK);
	CU_ASSERT_EQUAL(fresh, 4);
	CU_ASSERT_TRUE(reads(&q, ""));
	CU_ASSERT_EQUAL(put(&q, &p, 2, "CDEFGHIJ", &fresh), ERR_OK);
	CU_ASSERT_EQUAL(fresh, 4);
	CU_ASSERT_EQUAL(q.count, 1);
	CU_ASSERT_EQUAL(put(&q, &p, 0, "abcd", &fresh), ERR_OK);
	CU_ASSERT_EQUAL(fresh, 2);
	CU_ASSERT_EQUAL(q.count, 0);
	CU_ASSERT_TRUE(reads(&q, "abCDefghIJ"));
	reorder_check(&q);
	reorder_close(&q, &p);
	page_pool_close(&p);
}

static void test_what_came_before_is_no_news(void)
{
	struct page_pool p;
	struct reorder q;
	size_t fresh;

	page_pool_init(&p, 1 << 20);
	reorder_init(&q, base);
	CU_ASSERT_EQUAL(put(&q, &p, 0, "abcdef", &fresh), ERR_OK);
	CU_ASSERT_EQUAL(put(&q, &p, 2, "XX", &fresh), ERR_OK);
	CU_ASSERT_EQUAL(fresh, 0);
	reorder_consumed(&q, &p, 6);
	CU_ASSERT_EQUAL(p.used_bytes, 0);
	CU_ASSERT_EQUAL(put(&q, &p, 4, "XXg", &fresh), ERR_OK);
	CU_ASSERT_EQUAL(fresh, 1);
	CU_ASSERT_TRUE(reads(&q, "g"));
	reorder_close(&q, &p);
	page_pool_close(&p);
}

static void test_a_full_pool_keeps_nothing_and_in_order_bytes_have_a_reserve(void)
{
	struct page_pool p;
	struct reorder q;
	size_t fresh;
	const uint8_t byte = 'x';

	page_pool_init(&p, 2 * PAGE_SIZE_BYTES);
	reorder_init(&q, dsn_of(0));
	/* Out of order: one page must stay free, so only one may be taken. */
	CU_ASSERT_EQUAL(reorder_insert(&q, &p, dsn_of(PAGE_SIZE_BYTES + 5), &byte, 1, PAGE_SIZE_BYTES, &fresh), ERR_OK);
	CU_ASSERT_EQUAL(reorder_insert(&q, &p, dsn_of(5), &byte, 1, PAGE_SIZE_BYTES, &fresh), ERR_FULL);
	CU_ASSERT_EQUAL(fresh, 0);
	CU_ASSERT_EQUAL(reorder_insert(&q, &p, dsn_of(0), &byte, 1, PAGE_SIZE_BYTES, &fresh), ERR_OK);
	CU_ASSERT_EQUAL(reorder_insert(&q, &p, dsn_of(2 * PAGE_SIZE_BYTES), &byte, 1, 0, &fresh), ERR_FULL);
	reorder_check(&q);
	CU_ASSERT_EQUAL(q.next.v, 1);
	CU_ASSERT_EQUAL(q.ooo_bytes, 1);
	reorder_close(&q, &p);
	page_pool_close(&p);
}

/* Any order, any overlap: what is read is what the first copies said. */
static void test_random_arrivals_against_a_flat_model(void)
{
	enum { SPAN = 5 * PAGE_SIZE_BYTES };
	static uint8_t model[SPAN], have[SPAN], piece[4000];
	uint32_t x = 4711;

	for (unsigned round = 0; round < 30; round++) {
		struct page_pool p;
		struct reorder q;
		size_t read = 0, total_fresh = 0;

		memset(have, 0, sizeof have);
		page_pool_init(&p, 1 << 22);
		reorder_init(&q, base);
		while (read < SPAN) {
			const uint8_t *bytes;
			size_t n, fresh, news = 0;
			uint32_t at, len;

			x = x * 1664525 + 1013904223;
			at = (uint32_t)read + (x >> 8) % (2 * PAGE_SIZE_BYTES);
			x = x * 1664525 + 1013904223;
			len = 1 + (x >> 8) % sizeof piece;
			if (at >= SPAN)
				at = (uint32_t)read;
			if (at + len > SPAN)
				len = SPAN - at;
			for (uint32_t i = 0; i < len; i++) {
				piece[i] = (uint8_t)(x >> 16) + (uint8_t)i;
				if (!have[at + i]) {
					have[at + i] = 1;
					model[at + i] = piece[i];
					news++;
				}
			}
			CU_ASSERT_EQUAL_FATAL(reorder_insert(&q, &p, dsn_add(base, at), piece, len, 0, &fresh), ERR_OK);
			CU_ASSERT_EQUAL_FATAL(fresh, news);
			total_fresh += fresh;
			reorder_check(&q);
			n = reorder_readable(&q, &bytes);
			if (n && x & 1 << 20) {
				n = 1 + (x >> 3) % n;
				CU_ASSERT_EQUAL_FATAL(memcmp(bytes, model + read, n), 0);
				reorder_consumed(&q, &p, n);
				read += n;
			}
		}
		CU_ASSERT_EQUAL(total_fresh, SPAN);
		CU_ASSERT_EQUAL(p.used_bytes, 0);
		reorder_close(&q, &p);
		page_pool_close(&p);
	}
}

static void test_what_is_held_is_not_ready_and_can_be_discarded(void)
{
	struct page_pool p;
	struct reorder q;
	size_t fresh;

	page_pool_init(&p, 1 << 20);
	reorder_init(&q, base);
	CU_ASSERT_EQUAL(put(&q, &p, 0, "ab", &fresh), ERR_OK);
	reorder_hold(&q, true, dsn_add(base, 4));
	CU_ASSERT_EQUAL(put(&q, &p, 2, "cdefgh", &fresh), ERR_OK);
	CU_ASSERT_EQUAL(put(&q, &p, 10, "kl", &fresh), ERR_OK);
	CU_ASSERT_TRUE(reads(&q, "abcd"));
	reorder_check(&q);
	/* e and f were wrong: what came behind them waits again for them. */
	reorder_discard(&q, dsn_add(base, 1), dsn_add(base, 6)); /* what is ready stays */
	reorder_hold(&q, false, base);
	reorder_check(&q);
	CU_ASSERT_TRUE(reads(&q, "abcd"));
	CU_ASSERT_EQUAL(q.ooo_bytes, 4);
	reorder_discard(&q, dsn_add(base, 11), dsn_add(base, 20));
	CU_ASSERT_EQUAL(q.ooo_bytes, 3);
	CU_ASSERT_EQUAL(put(&q, &p, 4, "EF", &fresh), ERR_OK);
	CU_ASSERT_TRUE(reads(&q, "abcdEFgh"));
	CU_ASSERT_EQUAL(put(&q, &p, 8, "ij", &fresh), ERR_OK);
	CU_ASSERT_TRUE(reads(&q, "abcdEFghijk"));
	/* In the middle of what waits. */
	CU_ASSERT_EQUAL(put(&q, &p, 20, "uvwxyz", &fresh), ERR_OK);
	reorder_discard(&q, dsn_add(base, 22), dsn_add(base, 24));
	CU_ASSERT_EQUAL(q.count, 2);
	CU_ASSERT_EQUAL(q.ooo_bytes, 4);
	reorder_check(&q);
	reorder_close(&q, &p);
	page_pool_close(&p);
}

UNIT_MAIN("reorder", T(test_first_copy_of_an_overlap_wins), T(test_what_came_before_is_no_news),
	  T(test_a_full_pool_keeps_nothing_and_in_order_bytes_have_a_reserve), T(test_random_arrivals_against_a_flat_model),
	  T(test_what_is_held_is_not_ready_and_can_be_discarded))
