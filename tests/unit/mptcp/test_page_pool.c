/* SPDX-License-Identifier: MIT */
/* Pools that have one bank: what they hold, what they bring back, and threads that do so at once. */
#include "tests/unit/unit.h"
#include "tunneld/mptcp/page_pool.h"

#include <pthread.h>
#include <stdatomic.h>

enum { MAX = 8 << 20, PAGES = MAX / PAGE_SIZE_BYTES, THREADS = 4, ROUNDS = 20000 };

static uint8_t *held[PAGES + 1];

/* As many as there are, at most. */
static unsigned take(struct page_pool *p, unsigned most, uint64_t reserve)
{
	unsigned n = 0;

	while (n < most && (held[n] = page_pool_get(p, reserve)))
		n++;
	return n;
}

static void give(struct page_pool *p, unsigned n)
{
	while (n)
		page_pool_put(p, held[--n]);
}

static void test_one_pool_may_have_all_of_the_bank(void)
{
	struct bank b;
	struct page_pool one, other;

	page_bank_init(&b, MAX, 2);
	page_pool_share(&one, &b);
	page_pool_share(&other, &b);
	CU_ASSERT_EQUAL(take(&one, PAGES + 1, 0), PAGES);
	CU_ASSERT_EQUAL(one.used_bytes, MAX);
	CU_ASSERT_EQUAL(page_pool_free(&other), 0);
	CU_ASSERT_PTR_NULL(page_pool_get(&other, 0));
	give(&one, PAGES);
	/* Nothing used, nothing kept: the other has all of it at once. */
	CU_ASSERT_EQUAL(b.left_bytes, MAX);
	CU_ASSERT_EQUAL(take(&other, PAGES + 1, 0), PAGES);
	give(&other, PAGES);
	page_pool_close(&one);
	page_pool_close(&other);
}

static void test_a_pool_keeps_little_that_it_does_not_use(void)
{
	struct bank b;
	struct page_pool one, other;
	unsigned n;

	page_bank_init(&b, MAX, 2);
	page_pool_share(&one, &b);
	page_pool_share(&other, &b);
	n = take(&one, PAGES, 0);
	while (n > 1) {
		page_pool_put(&one, held[--n]);
		CU_ASSERT_TRUE(one.drawn_bytes - one.used_bytes <= MAX / 32 / 2);
	}
	CU_ASSERT_TRUE(page_pool_free(&other) >= MAX - MAX / 32 - PAGE_SIZE_BYTES);
	give(&one, n);
	page_pool_close(&one);
	page_pool_close(&other);
	CU_ASSERT_EQUAL(b.left_bytes, MAX);
}

static void test_a_reserve_is_of_the_whole_bank(void)
{
	struct bank b;
	struct page_pool one, other;
	uint8_t *page;

	page_bank_init(&b, MAX, 2);
	page_pool_share(&one, &b);
	page_pool_share(&other, &b);
	CU_ASSERT_EQUAL(take(&one, PAGES, MAX / 4), PAGES / 4 * 3);
	/* It is short for the other too, which has taken nothing. */
	CU_ASSERT_PTR_NULL(page_pool_get(&other, MAX / 4));
	CU_ASSERT_PTR_NOT_NULL_FATAL(page = page_pool_get(&other, MAX / 8));
	page_pool_put(&other, page);
	give(&one, PAGES / 4 * 3);
	page_pool_close(&one);
	page_pool_close(&other);
}

/* The least that the config allows, and a limit that is no number of pages. */
static void test_a_small_and_odd_bank_is_used_to_its_last_page(void)
{
	struct bank b;
	struct page_pool one;
	unsigned n;

	page_bank_init(&b, 5 * PAGE_SIZE_BYTES + 77, 65);
	page_pool_share(&one, &b);
	CU_ASSERT_EQUAL(n = take(&one, PAGES, 0), 5);
	CU_ASSERT_EQUAL(b.left_bytes, 77);
	give(&one, n);
	page_pool_close(&one);
	CU_ASSERT_EQUAL(b.left_bytes, b.max_bytes);
}

/* --- threads --- */

static struct bank common;
static _Atomic uint64_t in_use;
static atomic_uint beyond, taken, refused;

/* Takes up to a number of pages and gives them back, that number another each round. */
static void *hammer(void *seed)
{
	uint32_t chance = *(uint32_t *)seed;
	uint8_t *mine[PAGES];
	struct page_pool p;

	page_pool_share(&p, &common);
	for (unsigned round = 0, n = 0; round < ROUNDS; round++) {
		unsigned want = (chance = chance * 1664525 + 1013904223) >> 8 & (PAGES / 2 - 1);

		while (n < want && (mine[n] = page_pool_get(&p, 0))) {
			n++;
			taken++;
			if (atomic_fetch_add(&in_use, PAGE_SIZE_BYTES) + PAGE_SIZE_BYTES > MAX)
				beyond++;
		}
		refused += n < want;
		while (n > want / 2) {
			/* First out of the sum: another thread may have it as soon as it is back. */
			in_use -= PAGE_SIZE_BYTES;
			page_pool_put(&p, mine[--n]);
		}
		if (round == ROUNDS - 1)
			for (; n; in_use -= PAGE_SIZE_BYTES)
				page_pool_put(&p, mine[--n]);
	}
	page_pool_close(&p);
	return NULL;
}

static void test_threads_together_never_hold_more_than_the_bank(void)
{
	pthread_t thread[THREADS];
	uint32_t seed[THREADS];

	page_bank_init(&common, MAX, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		seed[i] = i + 1;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, hammer, &seed[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	CU_ASSERT_EQUAL(beyond, 0);
	CU_ASSERT_TRUE(taken > 0);
	CU_ASSERT_EQUAL(in_use, 0);
	CU_ASSERT_EQUAL(common.left_bytes, MAX);
}

UNIT_MAIN("page_pool", T(test_one_pool_may_have_all_of_the_bank), T(test_a_pool_keeps_little_that_it_does_not_use),
	  T(test_a_reserve_is_of_the_whole_bank), T(test_a_small_and_odd_bank_is_used_to_its_last_page),
	  T(test_threads_together_never_hold_more_than_the_bank))
