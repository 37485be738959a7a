/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"
#include "tunneld/mptcp/mapping.h"

static enum err add(struct mappings *m, uint64_t ssn, uint64_t dsn, uint32_t len)
{
	return mappings_add(m, &(struct mapping){ ssn, { dsn }, len });
}

static void test_a_mapping_covers_many_segments_until_they_came(void)
{
	struct mappings m = { 0 };

	CU_ASSERT_EQUAL(add(&m, 1, 1000, 3000), ERR_OK);
	CU_ASSERT_PTR_NOT_NULL(mappings_find(&m, 1));
	CU_ASSERT_PTR_NOT_NULL(mappings_find(&m, 3000));
	CU_ASSERT_PTR_NULL(mappings_find(&m, 3001));
	mappings_done(&m, 3000);
	CU_ASSERT_EQUAL(m.count, 1);
	mappings_done(&m, 3001);
	CU_ASSERT_EQUAL(m.count, 0);
	CU_ASSERT_PTR_NULL(m.row);
}

static void test_the_same_again_is_fine_and_a_contradiction_is_not(void)
{
	struct mappings m = { 0 };

	CU_ASSERT_EQUAL(add(&m, 100, 5000, 100), ERR_OK);
	CU_ASSERT_EQUAL(add(&m, 100, 5000, 100), ERR_OK);
	CU_ASSERT_EQUAL(add(&m, 120, 5020, 10), ERR_OK);
	CU_ASSERT_EQUAL(m.count, 1);
	CU_ASSERT_EQUAL(add(&m, 150, 7000, 10), ERR_MALFORMED);
	CU_ASSERT_EQUAL(m.count, 1);
	/* Longer at both ends, and in agreement: what is new is taken. */
	CU_ASSERT_EQUAL(add(&m, 50, 4950, 300), ERR_OK);
	CU_ASSERT_EQUAL(m.count, 3);
	for (uint64_t s = 50; s < 350; s++) {
		const struct mapping *one = mappings_find(&m, s);

		CU_ASSERT_PTR_NOT_NULL_FATAL(one);
		CU_ASSERT_EQUAL(one->dsn.v + (s - one->ssn), 4900 + s);
	}
	mappings_close(&m);
}

static void test_the_store_is_bounded(void)
{
	struct mappings m = { 0 };

	for (unsigned i = 0; i < MAPPINGS_MAX; i++)
		CU_ASSERT_EQUAL(add(&m, 1 + 10u * i, 1000 + 20u * i, 5), ERR_OK);
	CU_ASSERT_EQUAL(add(&m, 5000, 1, 5), ERR_FULL);
	CU_ASSERT_EQUAL(m.count, MAPPINGS_MAX);
	mappings_close(&m);
}

UNIT_MAIN("mapping", T(test_a_mapping_covers_many_segments_until_they_came),
	  T(test_the_same_again_is_fine_and_a_contradiction_is_not), T(test_the_store_is_bounded))
