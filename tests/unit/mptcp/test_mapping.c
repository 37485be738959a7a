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
	mappings_close(&m);
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
	CU_ASSERT_EQUAL(add(&m, 1 + 10u * MAPPINGS_MAX, 1, 5), ERR_FULL);
	CU_ASSERT_EQUAL(m.count, MAPPINGS_MAX);
	mappings_close(&m);
}

/* Pieces in any order and of any parity, once each. */
static void test_a_checksum_is_complete_when_all_of_its_bytes_have_come(void)
{
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct mapping map = { .ssn = 11, .dsn = { 1000 }, .len = 7 };
	struct mappings m = { 0 };
	const struct map_check *k;
	struct mapping old;
	struct dsn low;
	bool news;

	CU_ASSERT_FALSE(mappings_check_lowest(&m, &low));
	CU_ASSERT_EQUAL(mappings_check_add(&m, &map, 8, 77, &news), ERR_OK);
	CU_ASSERT_EQUAL(mappings_check_add(&m, &map, 8, 77, &news), ERR_OK);
	CU_ASSERT_EQUAL(m.check_count, 1);
	CU_ASSERT_EQUAL(mappings_check_add(&m, &map, 8, 78, &news), ERR_MALFORMED);
	map.len = 5; /* a part */
	CU_ASSERT_EQUAL(mappings_check_add(&m, &map, 5, 5, &news), ERR_OK);
	CU_ASSERT_FALSE(news);
	map.ssn = 12; /* a part that says something else */
	CU_ASSERT_EQUAL(mappings_check_add(&m, &map, 5, 5, &news), ERR_MALFORMED);
	map.ssn = 10;
	map.len = 9; /* more than that, and something else */
	CU_ASSERT_EQUAL(mappings_check_add(&m, &map, 9, 5, &news), ERR_MALFORMED);
	map.ssn = 11;
	/* Only what it brought itself waits for it; and no more when it has come again by another way. */
	CU_ASSERT_FALSE(mappings_check_lowest(&m, &low));
	mappings_check_brings(&m, 14, dsn_of(1003));
	CU_ASSERT_TRUE(mappings_check_lowest(&m, &low) && low.v == 1003);
	mappings_check_brings(&m, 11, dsn_of(1000));
	CU_ASSERT_TRUE(mappings_check_lowest(&m, &low) && low.v == 1000);
	CU_ASSERT_FALSE(mappings_check_supersede(&m, UINT64_MAX, dsn_of(1001), dsn_of(1005), &old));
	CU_ASSERT_FALSE(mappings_check_supersede(&m, 12, dsn_of(990), dsn_of(1005), &old));
	CU_ASSERT_TRUE(mappings_check_supersede(&m, UINT64_MAX, dsn_of(990), dsn_of(1005), &old));
	CU_ASSERT_EQUAL(old.dsn.v, 1000);
	CU_ASSERT_EQUAL(old.len, 5);
	CU_ASSERT_TRUE(mappings_check_lowest(&m, &low) && low.v == 1005);
	CU_ASSERT_TRUE(mappings_check_supersede(&m, UINT64_MAX, dsn_of(1005), dsn_of(2000), &old));
	CU_ASSERT_FALSE(mappings_check_lowest(&m, &low));
	mappings_check_sum(&m, 16, bytes + 6, 3); /* 16 and 17, and one that is beyond it */
	mappings_check_sum(&m, 10, bytes, 4);     /* one before it, then 11 to 13 */
	CU_ASSERT_PTR_NULL(mappings_check_next(&m));
	mappings_check_sum(&m, 14, bytes + 4, 2);
	k = mappings_check_next(&m);
	CU_ASSERT_PTR_NOT_NULL_FATAL(k);
	CU_ASSERT_EQUAL(k->sum, checksum_partial(bytes + 1, 7));
	CU_ASSERT_EQUAL(k->total, 8);
	CU_ASSERT_PTR_NULL(mappings_check_next(&m));
	CU_ASSERT_FALSE(mappings_check_lowest(&m, &low));
	/* A late copy does not begin it anew; what is past is forgotten. */
	map.len = 7;
	CU_ASSERT_EQUAL(mappings_check_add(&m, &map, 8, 77, &news), ERR_OK);
	CU_ASSERT_FALSE(mappings_check_lowest(&m, &low));
	mappings_done(&m, 18);
	CU_ASSERT_EQUAL(m.check_count, 0);
	mappings_close(&m);
}

/* A sender that cuts anew what it sends again: the bytes count for both, and each is complete by itself. */
static void test_checksums_of_other_cuts_stand_side_by_side(void)
{
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct mapping one = { .ssn = 15, .dsn = { 1005 }, .len = 4 }, two = { .ssn = 11, .dsn = { 1001 }, .len = 6 };
	struct mappings m = { 0 };
	const struct map_check *k;
	struct dsn low;
	bool news;

	CU_ASSERT_EQUAL(mappings_check_add(&m, &one, 4, 77, &news), ERR_OK);
	mappings_check_brings(&m, 15, dsn_of(1005));
	mappings_check_sum(&m, 15, bytes + 4, 2);
	CU_ASSERT_EQUAL(mappings_check_add(&m, &two, 6, 78, &news), ERR_OK);
	CU_ASSERT_TRUE(news);
	mappings_check_sum(&m, 11, bytes, 4);
	CU_ASSERT_PTR_NULL(mappings_check_next(&m)); /* what came before it was declared is for the caller to add */
	CU_ASSERT_EQUAL(m.check[0].got, 2);
	CU_ASSERT_EQUAL(m.check[1].got, 4);
	CU_ASSERT_TRUE(mappings_check_lowest(&m, &low) && low.v == 1005); /* the first still waits for its own end */
	mappings_check_sum(&m, 17, bytes + 6, 2);
	k = mappings_check_next(&m);
	CU_ASSERT_PTR_NOT_NULL_FATAL(k);
	CU_ASSERT_EQUAL(k->sum, checksum_partial(bytes + 4, 4));
	CU_ASSERT_FALSE(mappings_check_lowest(&m, &low));
	mappings_close(&m);
}

UNIT_MAIN("mapping", T(test_a_mapping_covers_many_segments_until_they_came),
	  T(test_the_same_again_is_fine_and_a_contradiction_is_not), T(test_the_store_is_bounded),
	  T(test_a_checksum_is_complete_when_all_of_its_bytes_have_come),
	  T(test_checksums_of_other_cuts_stand_side_by_side))
