/* SPDX-License-Identifier: MIT */
#include "common/ranges.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static void expect(const struct ranges *r, unsigned count, const uint64_t *edges)
{
	CU_ASSERT_EQUAL_FATAL(r->count, count);
	for (unsigned i = 0; i < count; i++) {
		CU_ASSERT_EQUAL(r->at[i].start, edges[2 * i]);
		CU_ASSERT_EQUAL(r->at[i].end, edges[2 * i + 1]);
	}
}

static void test_ranges_that_touch_become_one(void)
{
	struct ranges r = { 0 };

	CU_ASSERT_EQUAL(ranges_add(&r, 10, 20), ERR_OK);
	CU_ASSERT_EQUAL(ranges_add(&r, 30, 40), ERR_OK);
	expect(&r, 2, (const uint64_t[]){ 10, 20, 30, 40 });
	CU_ASSERT_EQUAL(ranges_add(&r, 20, 30), ERR_OK);
	expect(&r, 1, (const uint64_t[]){ 10, 40 });
	ranges_free(&r);
}

static void test_a_range_may_swallow_many(void)
{
	struct ranges r = { 0 };

	for (uint64_t i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(ranges_add(&r, 10 * i, 10 * i + 1), ERR_OK);
	CU_ASSERT_EQUAL(ranges_add(&r, 5, 75), ERR_OK);
	expect(&r, 4, (const uint64_t[]){ 0, 1, 5, 75, 80, 81, 90, 91 });
	ranges_free(&r);
}

static void test_dropping_cuts_and_frees(void)
{
	struct ranges r = { 0 };

	CU_ASSERT_EQUAL(ranges_add(&r, 10, 20), ERR_OK);
	CU_ASSERT_EQUAL(ranges_add(&r, 30, 40), ERR_OK);
	ranges_drop_before(&r, 35);
	expect(&r, 1, (const uint64_t[]){ 35, 40 });
	ranges_drop_before(&r, 40);
	CU_ASSERT_EQUAL(r.count, 0);
	CU_ASSERT_PTR_NULL(r.at);
}

static void test_a_range_too_many_changes_nothing(void)
{
	struct ranges r = { 0 };

	for (uint64_t i = 0; i < RANGES_MAX; i++)
		CU_ASSERT_EQUAL(ranges_add(&r, 10 * i, 10 * i + 1), ERR_OK);
	CU_ASSERT_EQUAL(ranges_add(&r, 5, 6), ERR_FULL);
	CU_ASSERT_EQUAL(r.count, RANGES_MAX);
	CU_ASSERT_EQUAL(ranges_add(&r, 1, 3), ERR_OK); /* what joins needs no room */
	ranges_free(&r);
}

/* Against the plainest model there is: one flag an offset. */
static void test_ranges_agree_with_a_bitmap(void)
{
	enum { SPAN = 300 };

	for (unsigned seed = 1; seed <= 200; seed++) {
		struct ranges r = { 0 };
		bool model[SPAN] = { 0 };

		srand(seed);
		for (int n = 0; n < 60; n++) {
			unsigned start = (unsigned)rand() % SPAN, end = start + (unsigned)rand() % 30;

			if (end > SPAN)
				end = SPAN;
			if (rand() % 8) {
				CU_ASSERT_EQUAL_FATAL(ranges_add(&r, start, end), ERR_OK);
				memset(model + start, 1, end - start);
			} else {
				ranges_drop_before(&r, start);
				memset(model, 0, start);
			}
			for (unsigned i = 0; i < SPAN; i++)
				CU_ASSERT_EQUAL_FATAL(ranges_find(&r, i) >= 0, model[i]);
			for (unsigned i = 1; i < r.count; i++)
				CU_ASSERT_TRUE_FATAL(r.at[i - 1].end < r.at[i].start);
			start = (unsigned)rand() % SPAN;
			end = start + (unsigned)rand() % (SPAN - start);
			bool all = true;
			for (unsigned i = start; i < end; i++)
				all &= model[i];
			CU_ASSERT_EQUAL_FATAL(ranges_have(&r, start, end), all);
		}
		ranges_free(&r);
	}
}

UNIT_MAIN("ranges",
	T(test_ranges_that_touch_become_one),
	T(test_a_range_may_swallow_many),
	T(test_dropping_cuts_and_frees),
	T(test_a_range_too_many_changes_nothing),
	T(test_ranges_agree_with_a_bitmap))
