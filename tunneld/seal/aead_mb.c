/* SPDX-License-Identifier: MIT */
/* AES-256-GCM and ChaCha20-Poly1305 by Intel's Multi-Buffer Crypto library (Debian: libipsec-mb-dev), by its direct calls. */
#include "tunneld/seal/aead.h"

#include <assert.h>
#include <string.h>

#ifdef PLAIT_IPSEC_MB
#include <intel-ipsec-mb.h>

_Static_assert(sizeof(struct gcm_key_data) <= AEAD_FOREIGN_KEY, "aead.h has room for its key");
_Static_assert(AEAD_TAG == crypto_verify_16_BYTES, "tags are compared whole");

/* Its table of functions for this CPU, chosen once; nothing else in it is used. Kept for the life of the process. */
static const IMB_MGR *functions(void)
{
	/* Where AES is in software it takes a time that depends on the key. */
	static const uint64_t wanted = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
	static const IMB_MGR *chosen;
	static bool looked;
	IMB_MGR *m;

	if (looked)
		return chosen;
	looked = true;
	m = alloc_mb_mgr(0);
	if (!m)
		return NULL;
	init_mb_mgr_auto(m, NULL);
	if ((m->features & wanted) != wanted || imb_get_errno(m) ||
	    (m->features & IMB_FEATURE_SELF_TEST && !(m->features & IMB_FEATURE_SELF_TEST_PASS)))
		free_mb_mgr(m);
	else
		chosen = m;
	return chosen;
}

static bool available(void) { return functions() != NULL; }

static uint8_t *key_place(const struct data_key *k)
{
	uintptr_t at = ((uintptr_t)k->foreign + AEAD_ALIGN - 1) & ~(uintptr_t)(AEAD_ALIGN - 1);

	return (uint8_t *)at;
}

/* --- AES-256-GCM --- */

static struct gcm_key_data *gcm_key(const struct data_key *k) { return (struct gcm_key_data *)(void *)key_place(k); }

static void aes_key(struct data_key *k, const uint8_t key[AEAD_KEY])
{
	IMB_AES256_GCM_PRE(functions(), key, gcm_key(k));
}

static void aes_seal(const struct data_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *header, size_t header_len,
		     const uint8_t *text, size_t len, uint8_t *out)
{
	struct gcm_context_data context;

	IMB_AES256_GCM_ENC(functions(), gcm_key(k), &context, out, text, len, nonce, header, header_len, out + len, AEAD_TAG);
}

static bool aes_open(const struct data_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *header, size_t header_len,
		     uint8_t *bytes, size_t len)
{
	struct gcm_context_data context;
	uint8_t tag[AEAD_TAG];

	assert(len >= AEAD_TAG);
	len -= AEAD_TAG;
	IMB_AES256_GCM_DEC(functions(), gcm_key(k), &context, bytes, bytes, len, nonce, header, header_len, tag, AEAD_TAG);
	return !crypto_verify_16(tag, bytes + len); /* in a time that tells nothing */
}

/* --- ChaCha20-Poly1305 --- */

static void chacha_key(struct data_key *k, const uint8_t key[AEAD_KEY])
{
	memcpy(key_place(k), key, AEAD_KEY);
}

static void chacha_seal(const struct data_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *header, size_t header_len,
			const uint8_t *text, size_t len, uint8_t *out)
{
	struct chacha20_poly1305_context_data context;
	const IMB_MGR *m = functions();

	IMB_CHACHA20_POLY1305_INIT(m, key_place(k), &context, nonce, header, header_len);
	IMB_CHACHA20_POLY1305_ENC_UPDATE(m, key_place(k), &context, out, text, len);
	IMB_CHACHA20_POLY1305_ENC_FINALIZE(m, &context, out + len, AEAD_TAG);
	sodium_memzero(&context, sizeof context); /* the one-time key is in it */
}

static bool chacha_open(const struct data_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *header, size_t header_len,
			uint8_t *bytes, size_t len)
{
	struct chacha20_poly1305_context_data context;
	const IMB_MGR *m = functions();
	uint8_t tag[AEAD_TAG];

	assert(len >= AEAD_TAG);
	len -= AEAD_TAG;
	IMB_CHACHA20_POLY1305_INIT(m, key_place(k), &context, nonce, header, header_len);
	IMB_CHACHA20_POLY1305_DEC_UPDATE(m, key_place(k), &context, bytes, bytes, len);
	IMB_CHACHA20_POLY1305_DEC_FINALIZE(m, &context, tag, AEAD_TAG);
	sodium_memzero(&context, sizeof context);
	return !crypto_verify_16(tag, bytes + len);
}

#else /* the library was not there when this was built */

static bool available(void) { return false; }
#define aes_key NULL
#define aes_seal NULL
#define aes_open NULL
#define chacha_key NULL
#define chacha_seal NULL
#define chacha_open NULL
#endif

const struct aead aead_mb_aes = { "Intel IPsec MB", available, aes_key, aes_seal, aes_open };
const struct aead aead_mb_chacha = { "Intel IPsec MB", available, chacha_key, chacha_seal, chacha_open };
