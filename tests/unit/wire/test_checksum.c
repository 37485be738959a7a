/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <string.h>

#include "tunneld/wire/checksum.h"

/* RFC 1071 1, read literally. */
static checksum_t slow(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (checksum_t)sum;
}

static void fill(uint8_t *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		p[i] = (uint8_t)(seed >> 56);
	}
}

static void test_captured_mappings_have_their_checksums(void)
{
	FILE *f = fopen("tests/unit/wire/vectors/checksums.txt", "r");
	char line[256];
	unsigned seen = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	while (fgets(line, sizeof line, f)) {
		uint64_t dsn;
		uint32_t ssn;
		unsigned len, byte, count, want;
		uint8_t payload[256];
		checksum_t sum;

		if (line[0] == '#')
			continue;
		CU_ASSERT_EQUAL(sscanf(line, "%" SCNx64 "%" SCNu32 "%u%x%u%x", &dsn, &ssn, &len, &byte, &count, &want), 6);
		memset(payload, (int)byte, count);
		sum = checksum_partial(payload, count);
		CU_ASSERT_EQUAL(dss_checksum(dsn, ssn, (uint16_t)len, sum), want);
		CU_ASSERT_TRUE(dss_checksum_ok(dsn, ssn, (uint16_t)len, sum, (uint16_t)want));
		CU_ASSERT_FALSE(dss_checksum_ok(dsn + 1, ssn, (uint16_t)len, sum, (uint16_t)want));
		CU_ASSERT_FALSE(dss_checksum_ok(dsn, ssn, (uint16_t)len, sum, (uint16_t)(want ^ 1)));
		seen++;
	}
	fclose(f);
	CU_ASSERT_EQUAL(seen, 3);
}

/* RFC 1071 3, the worked example */
static void test_rfc_1071_example(void)
{
	static const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

	CU_ASSERT_EQUAL(checksum_partial(bytes, sizeof bytes), 0xddf2);
}

static void test_every_length_and_alignment_is_as_the_slow_way(void)
{
	uint8_t b[300];

	fill(b, sizeof b, 11);
	for (size_t at = 0; at < 8; at++)
		for (size_t len = 0; len + at < sizeof b; len++)
			CU_ASSERT_EQUAL(checksum_partial(b + at, len), slow(b + at, len));
}

static void test_all_ones_do_not_overflow(void)
{
	static uint8_t b[1 << 20];

	memset(b, 0xff, sizeof b);
	CU_ASSERT_EQUAL(checksum_partial(b, sizeof b), 0xffff);
	CU_ASSERT_EQUAL(checksum_partial(b, sizeof b - 1), slow(b, sizeof b - 1));
}

/* A mapping cut anywhere, odd or even, has the sum of its parts. */
static void test_parts_add_up_to_the_whole(void)
{
	uint8_t b[97];
	checksum_t whole;

	fill(b, sizeof b, 12);
	whole = checksum_partial(b, sizeof b);
	for (size_t i = 0; i <= sizeof b; i++) {
		for (size_t k = i; k <= sizeof b; k++) {
			checksum_t sum = checksum_add(checksum_partial(b, i), i, checksum_partial(b + i, k - i));

			sum = checksum_add(sum, k, checksum_partial(b + k, sizeof b - k));
			CU_ASSERT_EQUAL(sum, whole);
		}
	}
}

static void test_every_single_bit_is_noticed(void)
{
	uint8_t b[64];
	uint16_t good;

	fill(b, sizeof b, 13);
	good = dss_checksum(5, 6, sizeof b, checksum_partial(b, sizeof b));
	for (size_t bit = 0; bit < 8 * sizeof b; bit++) {
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CU_ASSERT_FALSE(dss_checksum_ok(5, 6, sizeof b, checksum_partial(b, sizeof b), good));
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	CU_ASSERT_TRUE(dss_checksum_ok(5, 6, sizeof b, checksum_partial(b, sizeof b), good));
}

/* One's complement has two zeros: a sender may write either. */
static void test_both_zeros_are_right(void)
{
	/* the sum of these is 0xffff, so the field is 0x0000 */
	CU_ASSERT_EQUAL(dss_checksum(0, 0, 0xfffe, 1), 0);
	CU_ASSERT_TRUE(dss_checksum_ok(0, 0, 0xfffe, 1, 0));
	CU_ASSERT_TRUE(dss_checksum_ok(0, 0, 0xfffe, 1, 0xffff));
}

UNIT_MAIN("checksum",
	T(test_captured_mappings_have_their_checksums),
	T(test_rfc_1071_example),
	T(test_every_length_and_alignment_is_as_the_slow_way),
	T(test_all_ones_do_not_overflow),
	T(test_parts_add_up_to_the_whole),
	T(test_every_single_bit_is_noticed),
	T(test_both_zeros_are_right))
