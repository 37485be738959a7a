/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"
#include "tunneld/mptcp/sent_map.h"

static void add(struct sent_map *m, uint32_t seq, uint32_t len, uint64_t dsn)
{
	CU_ASSERT_EQUAL_FATAL(sent_map_reserve(m), ERR_OK);
	sent_map_add(m, ssn_of(seq), len, dsn_of(dsn), false);
}

static uint64_t lowest(const struct sent_map *m) { return sent_map_lowest(m, dsn_of(UINT64_MAX)).v; }

static void test_contiguous_data_is_one_range(void)
{
	struct sent_map m = { 0 };

	add(&m, 0xfffffff0, 32, 100);
	add(&m, 0x10, 32, 132);
	CU_ASSERT_EQUAL(m.count, 1);
	add(&m, 0x30, 10, 500);
	CU_ASSERT_EQUAL(m.count, 2);
	sent_map_acked(&m, ssn_of(0x18));
	CU_ASSERT_EQUAL(lowest(&m), 140);
	sent_map_acked(&m, ssn_of(0x3a));
	CU_ASSERT_EQUAL(m.count, 0);
	CU_ASSERT_EQUAL(lowest(&m), UINT64_MAX);
	sent_map_close(&m);
}

static void test_the_lowest_dsn_is_found_behind_newer_data(void)
{
	struct sent_map m = { 0 };

	add(&m, 0, 10, 1000);
	add(&m, 10, 10, 50); /* a reinjection */
	add(&m, 20, 10, 1010);
	CU_ASSERT_EQUAL(lowest(&m), 50);
	sent_map_acked(&m, ssn_of(10));
	CU_ASSERT_EQUAL(lowest(&m), 50);
	sent_map_acked(&m, ssn_of(15));
	CU_ASSERT_EQUAL(lowest(&m), 55);
	sent_map_acked(&m, ssn_of(20));
	CU_ASSERT_EQUAL(lowest(&m), 1010);
	CU_ASSERT_EQUAL(m.disordered, 0);
	sent_map_close(&m);
}

static void test_random_use_keeps_the_lowest_right(void)
{
	struct sent_map m = { 0 };
	uint32_t x = 99, seq = 0, acked = 0;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t low = UINT64_MAX;

		x = x * 1664525 + 1013904223;
		if (x >> 31 || !m.count) {
			uint32_t len = 1 + (x >> 8) % 100;

			add(&m, seq, len, (x >> 4) % 5000);
			seq += len;
		} else {
			acked += (x >> 8) % (seq - acked + 1);
			sent_map_acked(&m, ssn_of(acked));
		}
		for (uint32_t k = 0; k < m.count; k++)
			if (sent_map_at(&m, k)->dsn.v < low)
				low = sent_map_at(&m, k)->dsn.v;
		CU_ASSERT_EQUAL_FATAL(lowest(&m), low);
	}
	sent_map_close(&m);
}

UNIT_MAIN("sent_map", T(test_contiguous_data_is_one_range), T(test_the_lowest_dsn_is_found_behind_newer_data),
	  T(test_random_use_keeps_the_lowest_right))
