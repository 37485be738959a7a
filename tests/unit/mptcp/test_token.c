/* SPDX-License-Identifier: MIT */
/* Vectors: Linux's unit tests, and a kernel-to-kernel conversation that was captured and recomputed. */
#include "tests/unit/unit.h"
#include "tunneld/mptcp/token.h"

#include <string.h>

static const uint64_t key_a = 0xf7dc5d3aedc6e2b6, key_b = 0xb9b0402ea0ab764d;
static const uint32_t nonce_a = 0xc05a60cb, nonce_b = 0xd2b77965;

static bool is_hex(const uint8_t *bytes, size_t len, const char *hex)
{
	char text[128];

	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, sizeof text - 2 * i, "%02x", bytes[i]);
	return !strcmp(text, hex);
}

static void test_key_gives_token_and_idsn(void)
{
	static const struct { uint64_t key; uint32_t token; uint64_t idsn; } rows[] = {
		{ 0x0000000000000001, 0xcd266215, 0x19ec509083d00a50 },
		{ 0x0102030405060708, 0x66840dda, 0xf5a101d3d29d6f72 },
		{ 0xffffffffffffffff, 0x12a3ae44, 0x57fb595bbbacf0ca },
		{ 0xf7dc5d3aedc6e2b6, 0x904803e6, 0xf41af92499da7444 },
		{ 0xb9b0402ea0ab764d, 0x288920a7, 0xb9b6189e7550700e },
	};

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint32_t token;
		struct dsn idsn;

		token_of_key(rows[i].key, &token, &idsn);
		CU_ASSERT_EQUAL(token, rows[i].token);
		CU_ASSERT_EQUAL(idsn.v, rows[i].idsn);
	}
}

static void test_hmac_agrees_with_linux(void)
{
	static const char *const rows[][3] = {
		{ "0b0b0b0b0b0b0b0b", "48692054", "8385e24fb4235ac37556b6b886db106284a1da671699f46db1f235ec622dcafa" },
		{ "aaaaaaaaaaaaaaaa", "dddddddd", "2c5e219164ff1dca1c4a92318d847bb6b9d44492984e1eb71aff9022f71046e9" },
		{ "0102030405060708", "cdcdcdcd", "e73b9ba9969969cefb04aa0d6df18ec2fcc075b6f23b4d8c4da736a5dbbc6e7d" },
	};

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint8_t out[32];

		token_hmac((const uint8_t *)rows[i][0], strlen(rows[i][0]), (const uint8_t *)rows[i][1], strlen(rows[i][1]), out);
		CU_ASSERT_TRUE(is_hex(out, sizeof out, rows[i][2]));
	}
}

static void test_join_hmacs_of_the_capture(void)
{
	uint8_t out[32];

	token_join_hmac(key_b, key_a, nonce_b, nonce_a, out);
	CU_ASSERT_TRUE(is_hex(out, 32, "93463088571743c2e7cb37eaeb132ce82da6678afe3453c2b3b627a5a3d0f5da"));
	token_join_hmac(key_a, key_b, nonce_a, nonce_b, out);
	CU_ASSERT_TRUE(is_hex(out, 32, "d425b4ae99c307d9f897d1cc6d2918bef745433cd71c2fa3b47342c3e55bd63f"));
}

static void test_add_addr_hmac_is_the_rightmost_half_word(void)
{
	struct addr a = { .family = 4, .ip = { 10, 77, 2, 2 } };

	CU_ASSERT_EQUAL(token_add_addr_hmac(key_b, key_a, 1, &a, false), 0x664b226bd8581449);
	/* The port counts only where the option has one. */
	a.port = 99;
	CU_ASSERT_EQUAL(token_add_addr_hmac(key_b, key_a, 1, &a, false), 0x664b226bd8581449);
	CU_ASSERT_NOT_EQUAL(token_add_addr_hmac(key_b, key_a, 1, &a, true), 0x664b226bd8581449);
}

UNIT_MAIN("token", T(test_key_gives_token_and_idsn), T(test_hmac_agrees_with_linux), T(test_join_hmacs_of_the_capture),
	  T(test_add_addr_hmac_is_the_rightmost_half_word))
