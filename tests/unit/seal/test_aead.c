/* SPDX-License-Identifier: MIT */
/* Every provider of a cipher gives the published vectors, gives what the others give, and takes nothing that is forged. */
#include "tests/unit/unit.h"
#include "tests/unit/seal/vectors.h"
#include "tunneld/seal/aead.h"

enum { PROVIDERS_MAX = 4, TEXT_MAX = 1600 };

static struct data_key keys[PROVIDERS_MAX];

static unsigned providers(enum cipher cipher)
{
	unsigned n = 0;

	while (aead_of(cipher, n))
		n++;
	return n;
}

struct bytes { uint8_t at[512]; size_t len; };

static void test_every_provider_gives_the_published_vectors(void)
{
	struct vectors line;
	struct bytes key = { 0 }, nonce = { 0 }, aad = { 0 }, plain = { 0 };
	uint8_t out[512 + AEAD_TAG];
	char what[32] = "";
	unsigned checked = 0;

	CU_ASSERT_FATAL(vectors_open(&line, __FILE__, "primitives.txt"));
	while (vectors_next(&line)) {
		struct bytes *to = !strcmp(line.name, "key") ? &key : !strcmp(line.name, "nonce") ? &nonce :
			!strcmp(line.name, "aad") ? &aad : !strcmp(line.name, "plain") ? &plain : NULL;
		enum cipher cipher = strcmp(what, "aes256gcm") ? CIPHER_CHACHA20_POLY1305 : CIPHER_AES_256_GCM;

		if (to) {
			memcpy(to->at, line.bytes, line.len);
			to->len = line.len;
			continue;
		}
		if (strcmp(line.name, "sealed") != 0) {
			memcpy(what, line.name, sizeof what);
			continue;
		}
		if (!strcmp(what, "hmac_blake2b"))
			continue;
		for (unsigned i = 0; i < providers(cipher); i++) {
			const struct aead *a = aead_of(cipher, i);

			a->key(&keys[i], key.at);
			a->seal(&keys[i], nonce.at, aad.at, aad.len, plain.at, plain.len, out);
			CU_ASSERT(memcmp(out, line.bytes, line.len) == 0);
			CU_ASSERT(a->open(&keys[i], nonce.at, aad.at, aad.len, out, line.len));
			CU_ASSERT(memcmp(out, plain.at, plain.len) == 0);
			checked++;
		}
	}
	CU_ASSERT_EQUAL(checked, providers(CIPHER_AES_256_GCM) + providers(CIPHER_CHACHA20_POLY1305));
	CU_ASSERT(checked >= 1);
}

/* What one seals all others open; the datagram's own header length, and every length around the ciphers' strides. */
static void test_providers_are_each_others_equal(void)
{
	static uint8_t text[TEXT_MAX], sealed[TEXT_MAX + AEAD_TAG], other[TEXT_MAX + AEAD_TAG];
	static const uint8_t key[AEAD_KEY] = { 9, 8, 7 }, header[9] = { 4, 1, 2, 3, 4, 5, 6, 7, 8 };
	uint8_t nonce[AEAD_NONCE] = { 0 };

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)(i * 31 + i / 256);
	for (enum cipher cipher = 0; cipher < CIPHERS; cipher++) {
		unsigned n = providers(cipher);

		for (unsigned i = 0; i < n; i++)
			aead_of(cipher, i)->key(&keys[i], key);
		for (size_t len = 0; len <= TEXT_MAX; len += len < 600 ? 1 : 37) {
			nonce[11] = (uint8_t)len;
			nonce[10] = (uint8_t)(len >> 8);
			for (unsigned i = 0; i < n; i++) {
				const struct aead *a = aead_of(cipher, i), *b = aead_of(cipher, (i + 1) % n);

				a->seal(&keys[i], nonce, header, sizeof header, text, len, sealed);
				memcpy(other, text, len);
				a->seal(&keys[i], nonce, header, sizeof header, other, len, other); /* in place */
				CU_ASSERT(memcmp(sealed, other, len + AEAD_TAG) == 0);
				CU_ASSERT(b->open(&keys[(i + 1) % n], nonce, header, sizeof header, sealed, len + AEAD_TAG));
				CU_ASSERT(memcmp(sealed, text, len) == 0);
			}
		}
	}
}

static void test_one_bit_anywhere_is_a_forgery(void)
{
	static const uint8_t key[AEAD_KEY] = { 1 };
	uint8_t nonce[AEAD_NONCE] = { 2 }, header[9] = { 3 }, text[40] = { 4 }, sealed[sizeof text + AEAD_TAG], tried[sizeof sealed];

	for (enum cipher cipher = 0; cipher < CIPHERS; cipher++)
		for (unsigned i = 0; i < providers(cipher); i++) {
			const struct aead *a = aead_of(cipher, i);

			a->key(&keys[i], key);
			a->seal(&keys[i], nonce, header, sizeof header, text, sizeof text, sealed);
			for (size_t bit = 0; bit < sizeof sealed * 8; bit++) {
				memcpy(tried, sealed, sizeof sealed);
				tried[bit / 8] ^= (uint8_t)(1 << bit % 8);
				CU_ASSERT_FALSE(a->open(&keys[i], nonce, header, sizeof header, tried, sizeof tried));
			}
			for (size_t bit = 0; bit < sizeof header * 8; bit++) {
				memcpy(tried, sealed, sizeof sealed);
				header[bit / 8] ^= (uint8_t)(1 << bit % 8);
				CU_ASSERT_FALSE(a->open(&keys[i], nonce, header, sizeof header, tried, sizeof tried));
				header[bit / 8] ^= (uint8_t)(1 << bit % 8);
			}
			memcpy(tried, sealed, sizeof sealed);
			CU_ASSERT_FALSE(a->open(&keys[i], nonce, header, sizeof header, tried, AEAD_TAG));
		}
}

UNIT_MAIN("aead",
	T(test_every_provider_gives_the_published_vectors),
	T(test_providers_are_each_others_equal),
	T(test_one_bit_anywhere_is_a_forgery))
