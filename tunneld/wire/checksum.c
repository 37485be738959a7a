/* SPDX-License-Identifier: MIT */
#include "tunneld/wire/checksum.h"

#include <string.h>

#include "common/bytes.h"

static checksum_t fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (checksum_t)sum;
}

static checksum_t swap(checksum_t sum) { return (checksum_t)(sum << 8 | sum >> 8); }

checksum_t checksum_partial(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	const union { uint16_t word; uint8_t first; } order = { 1 };
	uint64_t sum = 0, odd = 0;
	checksum_t folded;

	/*
	 * RFC 1071 2(B): the sum may be taken in the machine's byte order and swapped at the end. 32-bit
	 * words in a 64-bit sum cannot overflow below 2^34 bytes; two sums let the additions overlap.
	 */
	for (; len >= 32; p += 32, len -= 32) {
		uint32_t words[8];

		memcpy(words, p, sizeof words);
		sum += (uint64_t)words[0] + words[2] + words[4] + words[6];
		odd += (uint64_t)words[1] + words[3] + words[5] + words[7];
	}
	sum = (sum & 0xffffffff) + (sum >> 32) + (odd & 0xffffffff) + (odd >> 32);
	for (; len >= 2; p += 2, len -= 2) {
		uint16_t word;

		memcpy(&word, p, sizeof word);
		sum += word;
	}
	if (len) {
		uint8_t last[2] = { *p, 0 };
		uint16_t word;

		memcpy(&word, last, sizeof word);
		sum += word;
	}
	folded = fold(sum);
	return order.first ? swap(folded) : folded;
}

checksum_t checksum_add(checksum_t a, size_t a_len, checksum_t b)
{
	return fold((uint64_t)a + (a_len & 1 ? swap(b) : b));
}

uint16_t dss_checksum(uint64_t dsn, uint32_t ssn, uint16_t len, checksum_t payload)
{
	/* RFC 8684 3.3.1, figure 10: DSN 64, SSN 32, length 16, zeros 16 */
	uint64_t sum = (dsn >> 32) + (dsn & 0xffffffff) + ssn + len + payload;

	return (uint16_t)~fold(sum);
}

bool dss_checksum_ok(uint64_t dsn, uint32_t ssn, uint16_t len, checksum_t payload, uint16_t checksum)
{
	uint64_t sum = (dsn >> 32) + (dsn & 0xffffffff) + ssn + len + payload + checksum;

	return fold(sum) == 0xffff;
}
