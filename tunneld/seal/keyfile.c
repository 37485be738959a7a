/* SPDX-License-Identifier: MIT */
/* Keys as text: base64 of 32 bytes, 44 characters, exactly as `wg genkey` and `wg pubkey` print them. */
#include "tunneld/seal/seal.h"

#include <sodium.h>
#include <string.h>

enum err key_from_text(uint8_t key[KEY_SIZE], const char *text)
{
	size_t len = strlen(text), got;
	const char *end;

	/* A file ends with a newline; nothing else may surround the key. */
	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	/* Padding is required and the unused bits of the last digit must be 0, so one key has one text. */
	if (len != KEY_TEXT - 1 ||
	    sodium_base642bin(key, KEY_SIZE, text, len, NULL, &got, &end, sodium_base64_VARIANT_ORIGINAL) ||
	    got != KEY_SIZE || end != text + len) {
		sodium_memzero(key, KEY_SIZE);
		return ERR_MALFORMED;
	}
	return ERR_OK;
}

void key_to_text(const uint8_t key[KEY_SIZE], char text[KEY_TEXT])
{
	sodium_bin2base64(text, KEY_TEXT, key, KEY_SIZE, sodium_base64_VARIANT_ORIGINAL);
}

void key_public(const uint8_t private_key[KEY_SIZE], uint8_t public_key[KEY_SIZE])
{
	crypto_scalarmult_base(public_key, private_key);
}

void key_generate(uint8_t private_key[KEY_SIZE])
{
	if (sodium_init() < 0)
		sodium_misuse();
	randombytes_buf(private_key, KEY_SIZE);
	/* RFC 7748 5, decodeScalar25519 */
	private_key[0] &= 248;
	private_key[31] = (uint8_t)((private_key[31] & 127) | 64);
}
