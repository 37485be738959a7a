/* SPDX-License-Identifier: MIT */
#include <sodium.h>

#include "tests/unit/unit.h"
#include "tunneld/seal/seal.h"

/* RFC 7748 6.1, Alice: as `wg genkey` and `wg pubkey` would print them. */
static const char alice[] = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
static const char alice_public[] = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";

static void test_text_of_a_key_is_base64(void)
{
	uint8_t key[KEY_SIZE], public_key[KEY_SIZE];
	char text[KEY_TEXT];

	CU_ASSERT_EQUAL(key_from_text(key, alice), ERR_OK);
	CU_ASSERT_EQUAL(key[0], 0x77);
	CU_ASSERT_EQUAL(key[31], 0x2a);
	key_public(key, public_key);
	key_to_text(public_key, text);
	CU_ASSERT_STRING_EQUAL(text, alice_public);
	key_to_text(key, text);
	CU_ASSERT_STRING_EQUAL(text, alice);
}

static void test_a_file_may_end_with_a_newline(void)
{
	uint8_t key[KEY_SIZE];
	char text[64];

	snprintf(text, sizeof text, "%s\n", alice);
	CU_ASSERT_EQUAL(key_from_text(key, text), ERR_OK);
	snprintf(text, sizeof text, "%s \r\n", alice);
	CU_ASSERT_EQUAL(key_from_text(key, text), ERR_OK);
}

static void test_every_short_prefix_is_refused_and_leaves_nothing(void)
{
	static const uint8_t zero[KEY_SIZE];
	uint8_t key[KEY_SIZE];
	char text[64];

	for (int n = 0; n < KEY_TEXT - 1; n++) {
		snprintf(text, sizeof text, "%.*s", n, alice);
		memset(key, 0xaa, sizeof key);
		CU_ASSERT_EQUAL(key_from_text(key, text), ERR_MALFORMED);
		CU_ASSERT(memcmp(key, zero, sizeof key) == 0);
	}
}

static void test_what_is_not_one_key_is_refused(void)
{
	static const char *const bad[] = {
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo",     /* no padding */
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo==",
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCp=",    /* unused bits set */
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LC-=",    /* not this alphabet */
		" dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=",
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=x",
		"dwdtCnMYpX08FsFyUbJmRd9M 4frwJkqsXf7pR25LCo=",
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\ndwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n",
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCoA",    /* 33 bytes */
	};
	uint8_t key[KEY_SIZE];

	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
		CU_ASSERT_EQUAL(key_from_text(key, bad[k]), ERR_MALFORMED);
}

static void test_generated_keys_are_clamped_and_differ(void)
{
	uint8_t a[KEY_SIZE], b[KEY_SIZE];

	key_generate(a);
	key_generate(b);
	CU_ASSERT(memcmp(a, b, KEY_SIZE) != 0);
	CU_ASSERT_EQUAL(a[0] & 7, 0);
	CU_ASSERT_EQUAL(a[31] & 0xc0, 0x40);
}

UNIT_MAIN("keyfile",
	T(test_text_of_a_key_is_base64),
	T(test_a_file_may_end_with_a_newline),
	T(test_every_short_prefix_is_refused_and_leaves_nothing),
	T(test_what_is_not_one_key_is_refused),
	T(test_generated_keys_are_clamped_and_differ))
