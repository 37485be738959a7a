/* SPDX-License-Identifier: MIT */
#include "tunneld/io/park_memo.h"
#include "tests/unit/unit.h"

static void test_the_newest_of_a_cookie_is_found(void)
{
	struct memos m;

	CU_ASSERT_EQUAL(memos_init(&m, 8), ERR_OK);
	memos_add(&m, 5)->error = 1;
	memos_add(&m, 5)->error = 2;
	CU_ASSERT_EQUAL(memos_find(&m, 5)->error, 2);
	memos_drop(&m, 5);
	CU_ASSERT_PTR_NULL(memos_find(&m, 5));
	memos_drop(&m, 5);
	memos_close(&m);
}

static void test_it_keeps_as_many_as_there_is_room(void)
{
	struct memos m;

	CU_ASSERT_EQUAL(memos_init(&m, 8), ERR_OK);
	/* Multiples of 8 share a chain. */
	for (uint64_t c = 8; c <= 8 * 20; c += 8)
		memos_add(&m, c)->error = (int)c;
	for (uint64_t c = 8; c <= 8 * 12; c += 8)
		CU_ASSERT_PTR_NULL(memos_find(&m, c));
	for (uint64_t c = 8 * 13; c <= 8 * 20; c += 8) {
		CU_ASSERT_PTR_NOT_NULL_FATAL(memos_find(&m, c));
		CU_ASSERT_EQUAL(memos_find(&m, c)->error, (int)c);
	}
	memos_close(&m);
}

static void test_dropping_and_adding_at_random_never_loses_a_chain(void)
{
	struct memos m;
	uint32_t seed = 4711;
	int kept[32] = { 0 };

	CU_ASSERT_EQUAL(memos_init(&m, 64), ERR_OK);
	for (int i = 0; i < 20000; i++) {
		uint32_t c;

		seed = seed * 1664525 + 1013904223;
		c = seed >> 20 & 31;
		if (seed & 1 << 30) {
			memos_add(&m, c * 64 + 1)->error = i + 1;
			kept[c] = i + 1;
		} else {
			memos_drop(&m, c * 64 + 1);
			kept[c] = 0;
		}
		for (uint32_t k = 0; k < 32; k++) {
			struct memo *found = memos_find(&m, k * 64 + 1);

			/* Adding 64 others may push one out; it is then gone, never wrong. */
			if (found && found->error != kept[k])
				CU_FAIL_FATAL("another record under this cookie");
			if (!found)
				kept[k] = 0;
		}
	}
	memos_close(&m);
}

UNIT_MAIN("park_memo",
	T(test_the_newest_of_a_cookie_is_found),
	T(test_it_keeps_as_many_as_there_is_room),
	T(test_dropping_and_adding_at_random_never_loses_a_chain))
