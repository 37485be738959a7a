/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <string.h>

#include "common/bytes.h"

static const uint8_t numbers[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0xf2 };

static void test_numbers_are_in_network_order(void)
{
	struct rd r = rd_of(numbers, sizeof numbers);
	uint8_t out[sizeof numbers];
	struct wr w = wr_of(out, sizeof out);

	CU_ASSERT_EQUAL(rd_u8(&r), 0x01);
	CU_ASSERT_EQUAL(rd_u16(&r), 0x0203);
	CU_ASSERT_EQUAL(rd_u24(&r), 0x040506);
	CU_ASSERT_EQUAL(rd_u32(&r), 0x0708090a);
	CU_ASSERT_EQUAL(rd_u64(&r), 0x0b0c0d0e0f1011f2);
	CU_ASSERT_FALSE(r.bad);
	CU_ASSERT_EQUAL(rd_left(&r), 0);

	wr_u8(&w, 0x01);
	wr_u16(&w, 0x0203);
	wr_u24(&w, 0x040506);
	wr_u32(&w, 0x0708090a);
	wr_u64(&w, 0x0b0c0d0e0f1011f2);
	CU_ASSERT_FALSE(w.bad);
	CU_ASSERT_EQUAL(wr_len(&w), sizeof numbers);
	CU_ASSERT_EQUAL(memcmp(out, numbers, sizeof numbers), 0);
}

static void test_high_bits_do_not_spill(void)
{
	static const uint8_t ones[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct rd r = rd_of(ones, 8);

	CU_ASSERT_EQUAL(rd_u64(&r), UINT64_MAX);
	r = rd_of(ones, 8);
	CU_ASSERT_EQUAL(rd_u32(&r), UINT32_MAX);
	CU_ASSERT_EQUAL(rd_u24(&r), 0xffffff);
}

/* One byte short yields 0, marks the reader bad for good, and eats nothing. */
static void test_short_reads_yield_zero_and_stay_bad(void)
{
	for (unsigned size = 1; size <= 8; size++) {
		struct rd r = rd_of(numbers, size - 1);
		uint64_t v = 1;

		switch (size) {
		case 1: v = rd_u8(&r); break;
		case 2: v = rd_u16(&r); break;
		case 3: v = rd_u24(&r); break;
		case 4: v = rd_u32(&r); break;
		case 8: v = rd_u64(&r); break;
		default: continue;
		}
		CU_ASSERT_EQUAL(v, 0);
		CU_ASSERT_TRUE(r.bad);
		CU_ASSERT_EQUAL(rd_left(&r), size - 1);
		CU_ASSERT_EQUAL(rd_u8(&r), 0);
		CU_ASSERT_TRUE(r.bad);
	}
}

static void test_short_copy_is_zeros(void)
{
	struct rd r = rd_of(numbers, 3);
	uint8_t out[4] = { 9, 9, 9, 9 };

	rd_copy(&r, out, 4);
	CU_ASSERT_TRUE(r.bad);
	CU_ASSERT_EQUAL(memcmp(out, "\0\0\0\0", 4), 0);
}

static void test_a_nested_reader_stays_inside_its_parent(void)
{
	struct rd r = rd_of(numbers, 6), sub = rd_sub(&r, 2);

	CU_ASSERT_EQUAL(rd_u16(&sub), 0x0102);
	CU_ASSERT_EQUAL(rd_u8(&sub), 0);
	CU_ASSERT_TRUE(sub.bad);
	CU_ASSERT_FALSE(r.bad);
	CU_ASSERT_EQUAL(rd_u8(&r), 0x03);
	sub = rd_sub(&r, 4);
	CU_ASSERT_TRUE(sub.bad);
	CU_ASSERT_TRUE(r.bad);
	CU_ASSERT_EQUAL(rd_left(&sub), 0);
}

static void test_short_writes_write_nothing_and_stay_bad(void)
{
	for (unsigned size = 1; size <= 8; size++) {
		uint8_t out[8] = { 0 };
		struct wr w = wr_of(out, size - 1);

		switch (size) {
		case 1: wr_u8(&w, 0xff); break;
		case 2: wr_u16(&w, 0xffff); break;
		case 3: wr_u24(&w, 0xffffff); break;
		case 4: wr_u32(&w, UINT32_MAX); break;
		case 7: wr_bytes(&w, numbers, 7); break;
		case 8: wr_u64(&w, UINT64_MAX); break;
		default: continue;
		}
		CU_ASSERT_TRUE(w.bad);
		CU_ASSERT_EQUAL(wr_len(&w), 0);
		CU_ASSERT_EQUAL(memcmp(out, "\0\0\0\0\0\0\0\0", 8), 0);
		if (size > 1) {
			wr_u8(&w, 1); /* would fit, but what came before it is missing */
			CU_ASSERT_EQUAL(wr_len(&w), 0);
		}
	}
}

static void test_nothing_is_always_there(void)
{
	struct rd r = rd_of(NULL, 0);
	struct wr w = wr_of(NULL, 0);

	CU_ASSERT_FALSE(rd_sub(&r, 0).bad);
	CU_ASSERT_FALSE(r.bad);
	wr_bytes(&w, NULL, 0);
	CU_ASSERT_FALSE(w.bad);
}

UNIT_MAIN("bytes",
	T(test_numbers_are_in_network_order),
	T(test_high_bits_do_not_spill),
	T(test_short_reads_yield_zero_and_stay_bad),
	T(test_short_copy_is_zeros),
	T(test_a_nested_reader_stays_inside_its_parent),
	T(test_short_writes_write_nothing_and_stay_bad),
	T(test_nothing_is_always_there))
