/* SPDX-License-Identifier: MIT */
#include "tunneld/seal/aead.h"

#include <string.h>

/* --- libsodium --- */

static bool always(void) { return true; }
static bool aes_available(void) { return crypto_aead_aes256gcm_is_available(); }

static void aes_key(struct data_key *k, const uint8_t key[AEAD_KEY])
{
	crypto_aead_aes256gcm_beforenm(&k->aes, key);
}

static void aes_seal(const struct data_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *header, size_t header_len,
		     const uint8_t *text, size_t len, uint8_t *out)
{
	crypto_aead_aes256gcm_encrypt_afternm(out, NULL, text, len, header, header_len, NULL, nonce, &k->aes);
}

static bool aes_open(const struct data_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *header, size_t header_len,
		     uint8_t *bytes, size_t len)
{
	return !crypto_aead_aes256gcm_decrypt_afternm(bytes, NULL, NULL, bytes, len, header, header_len, nonce, &k->aes);
}

static void chacha_key(struct data_key *k, const uint8_t key[AEAD_KEY])
{
	memcpy(k->chacha, key, AEAD_KEY);
}

static void chacha_seal(const struct data_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *header, size_t header_len,
			const uint8_t *text, size_t len, uint8_t *out)
{
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, text, len, header, header_len, NULL, nonce, k->chacha);
}

static bool chacha_open(const struct data_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *header, size_t header_len,
			uint8_t *bytes, size_t len)
{
	return !crypto_aead_chacha20poly1305_ietf_decrypt(bytes, NULL, NULL, bytes, len, header, header_len, nonce, k->chacha);
}

static const struct aead sodium_aes = { "libsodium", aes_available, aes_key, aes_seal, aes_open };
static const struct aead sodium_chacha = { "libsodium", always, chacha_key, chacha_seal, chacha_open };

/* --- who does it --- */

const struct aead *aead_of(enum cipher cipher, unsigned nth)
{
	/* The fastest first, as measured: docs/decisions.md. */
	static const struct aead *const rows[CIPHERS][2] = {
		[CIPHER_AES_256_GCM]       = { &aead_mb_aes,    &sodium_aes },
		[CIPHER_CHACHA20_POLY1305] = { &aead_mb_chacha, &sodium_chacha },
	};

	for (unsigned i = 0; i < sizeof rows[0] / sizeof *rows[0]; i++)
		if (rows[cipher][i]->available() && !nth--)
			return rows[cipher][i];
	return NULL;
}
