/* SPDX-License-Identifier: MIT */
#include "tunneld/seal/noise.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

enum { BLAKE2B_BLOCK = 128 };

/* 33 bytes, no more than HASHLEN, so that h begins as the name padded with zeros (5.2, InitializeSymmetric). */
static const char protocol_name[] = "Noise_IK_25519_ChaChaPoly_BLAKE2b";

/* RFC 2104 over BLAKE2b; Noise asks for HMAC and not for BLAKE2's own keying (4.3). Keys here never exceed a block. */
void noise_hmac(uint8_t out[NOISE_HASH], const uint8_t *key, size_t key_len, const uint8_t *in, size_t len)
{
	crypto_generichash_state st;
	uint8_t pad[BLAKE2B_BLOCK], inner[NOISE_HASH];

	assert(key_len <= sizeof pad);
	memset(pad, 0x36, sizeof pad);
	for (size_t i = 0; i < key_len; i++)
		pad[i] ^= key[i];
	crypto_generichash_init(&st, NULL, 0, NOISE_HASH);
	crypto_generichash_update(&st, pad, sizeof pad);
	crypto_generichash_update(&st, in, len);
	crypto_generichash_final(&st, inner, sizeof inner);

	for (size_t i = 0; i < sizeof pad; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	crypto_generichash_init(&st, NULL, 0, NOISE_HASH);
	crypto_generichash_update(&st, pad, sizeof pad);
	crypto_generichash_update(&st, inner, sizeof inner);
	crypto_generichash_final(&st, out, NOISE_HASH);

	sodium_memzero(&st, sizeof st);
	sodium_memzero(pad, sizeof pad);
	sodium_memzero(inner, sizeof inner);
}

void noise_hkdf(uint8_t out1[NOISE_HASH], uint8_t out2[NOISE_HASH], const uint8_t ck[NOISE_HASH], const uint8_t *ikm, size_t len)
{
	uint8_t temp[NOISE_HASH], block[NOISE_HASH + 1];

	noise_hmac(temp, ck, NOISE_HASH, ikm, len);
	block[0] = 1;
	noise_hmac(out1, temp, sizeof temp, block, 1);
	memcpy(block, out1, NOISE_HASH);
	block[NOISE_HASH] = 2;
	noise_hmac(out2, temp, sizeof temp, block, sizeof block);
	sodium_memzero(temp, sizeof temp);
	sodium_memzero(block, sizeof block);
}

static void mix_hash(struct noise *x, const void *in, size_t len)
{
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, NOISE_HASH);
	crypto_generichash_update(&st, x->h, sizeof x->h);
	crypto_generichash_update(&st, in, len);
	crypto_generichash_final(&st, x->h, sizeof x->h);
	sodium_memzero(&st, sizeof st);
}

/* MixKey, 5.2: with HASHLEN 64 the key is the first 32 bytes of the second output. */
static void mix_key(struct noise *x, const uint8_t ikm[NOISE_KEY])
{
	uint8_t ck[NOISE_HASH], temp[NOISE_HASH];

	noise_hkdf(ck, temp, x->ck, ikm, NOISE_KEY);
	memcpy(x->ck, ck, sizeof ck);
	memcpy(x->k, temp, NOISE_KEY);
	x->n = 0;
	sodium_memzero(ck, sizeof ck);
	sodium_memzero(temp, sizeof temp);
}

/* DH and MixKey in one. A result of all zeros means a key of low order: refused, as 12.1 allows and WireGuard does. */
static enum err mix_dh(struct noise *x, const uint8_t private_key[NOISE_KEY], const uint8_t public_key[NOISE_KEY])
{
	uint8_t dh[NOISE_KEY];
	enum err e = ERR_FORGED;

	if (crypto_scalarmult(dh, private_key, public_key) == 0) {
		mix_key(x, dh);
		e = ERR_OK;
	}
	sodium_memzero(dh, sizeof dh);
	return e;
}

/* ChaChaPoly's nonce, 12.3: 32 bits of zeros, then n in little-endian. */
static void nonce_of(uint8_t nonce[12], uint64_t n)
{
	memset(nonce, 0, 4);
	for (int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(n >> (8 * i));
}

static void encrypt_and_hash(struct noise *x, const uint8_t *plain, size_t len, uint8_t *out)
{
	uint8_t nonce[12];

	nonce_of(nonce, x->n++);
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, x->h, sizeof x->h, NULL, nonce, x->k);
	mix_hash(x, out, len + NOISE_TAG);
}

/* len counts the tag. */
static enum err decrypt_and_hash(struct noise *x, const uint8_t *cipher, size_t len, uint8_t *plain)
{
	uint8_t nonce[12];

	nonce_of(nonce, x->n++);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(plain, NULL, NULL, cipher, len, x->h, sizeof x->h, nonce, x->k))
		return ERR_FORGED;
	mix_hash(x, cipher, len);
	return ERR_OK;
}

void noise_init(struct noise *x, bool initiator, const uint8_t s[NOISE_KEY], const uint8_t s_public[NOISE_KEY],
		const uint8_t *rs, const void *prologue, size_t prologue_len)
{
	assert(initiator == (rs != NULL));
	memset(x, 0, sizeof *x);
	x->initiator = initiator;
	memcpy(x->h, protocol_name, sizeof protocol_name - 1);
	memcpy(x->ck, x->h, sizeof x->ck);
	mix_hash(x, prologue, prologue_len);
	memcpy(x->s, s, NOISE_KEY);
	memcpy(x->s_public, s_public, NOISE_KEY);
	if (rs)
		memcpy(x->rs, rs, NOISE_KEY);
	/* The pre-message: <- s */
	mix_hash(x, initiator ? x->rs : x->s_public, NOISE_KEY);
}

static void take_ephemeral(struct noise *x, const uint8_t e[NOISE_KEY])
{
	memcpy(x->e, e, NOISE_KEY);
	crypto_scalarmult_base(x->e_public, x->e);
}

enum err noise_write_1(struct noise *x, const uint8_t e[NOISE_KEY], const uint8_t *payload, size_t len, uint8_t *out)
{
	enum err err;

	assert(x->initiator);
	take_ephemeral(x, e);
	memcpy(out, x->e_public, NOISE_KEY);
	mix_hash(x, x->e_public, NOISE_KEY);
	if ((err = mix_dh(x, x->e, x->rs)))                                 /* es */
		return err;
	encrypt_and_hash(x, x->s_public, NOISE_KEY, out + NOISE_KEY);       /* s */
	if ((err = mix_dh(x, x->s, x->rs)))                                 /* ss */
		return err;
	encrypt_and_hash(x, payload, len, out + NOISE_KEY + NOISE_KEY + NOISE_TAG);
	return ERR_OK;
}

enum err noise_read_1_static(struct noise *x, const uint8_t *message)
{
	enum err err;

	assert(!x->initiator);
	memcpy(x->re, message, NOISE_KEY);
	mix_hash(x, x->re, NOISE_KEY);
	if ((err = mix_dh(x, x->s, x->re)))                                 /* es */
		return err;
	return decrypt_and_hash(x, message + NOISE_KEY, NOISE_KEY + NOISE_TAG, x->rs); /* s */
}

enum err noise_read_1_payload(struct noise *x, const uint8_t *message, size_t message_len, uint8_t *payload)
{
	const size_t at = NOISE_KEY + NOISE_KEY + NOISE_TAG;
	enum err err;

	assert(!x->initiator && message_len >= NOISE_MESSAGE_1);
	if ((err = mix_dh(x, x->s, x->rs)))                                 /* ss */
		return err;
	return decrypt_and_hash(x, message + at, message_len - at, payload);
}

enum err noise_write_2(struct noise *x, const uint8_t e[NOISE_KEY], const uint8_t *payload, size_t len, uint8_t *out)
{
	enum err err;

	assert(!x->initiator);
	take_ephemeral(x, e);
	memcpy(out, x->e_public, NOISE_KEY);
	mix_hash(x, x->e_public, NOISE_KEY);
	if ((err = mix_dh(x, x->e, x->re)) || (err = mix_dh(x, x->e, x->rs))) /* ee, se */
		return err;
	encrypt_and_hash(x, payload, len, out + NOISE_KEY);
	return ERR_OK;
}

enum err noise_read_2(struct noise *x, const uint8_t *message, size_t message_len, uint8_t *payload)
{
	enum err err;

	assert(x->initiator && message_len >= NOISE_MESSAGE_2);
	memcpy(x->re, message, NOISE_KEY);
	mix_hash(x, x->re, NOISE_KEY);
	if ((err = mix_dh(x, x->e, x->re)) || (err = mix_dh(x, x->s, x->re))) /* ee, se */
		return err;
	return decrypt_and_hash(x, message + NOISE_KEY, message_len - NOISE_KEY, payload);
}

void noise_split(const struct noise *x, uint8_t send[NOISE_KEY], uint8_t receive[NOISE_KEY])
{
	uint8_t k1[NOISE_HASH], k2[NOISE_HASH];

	/* The first key is for what the initiator sends. */
	noise_hkdf(k1, k2, x->ck, NULL, 0);
	memcpy(send, x->initiator ? k1 : k2, NOISE_KEY);
	memcpy(receive, x->initiator ? k2 : k1, NOISE_KEY);
	sodium_memzero(k1, sizeof k1);
	sodium_memzero(k2, sizeof k2);
}

void noise_wipe(struct noise *x)
{
	sodium_memzero(x, sizeof *x);
}
