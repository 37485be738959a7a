/* SPDX-License-Identifier: MIT */
/*
 * Noise_IK_25519_ChaChaPoly_BLAKE2b (noiseprotocol.org/noise.html, revision 34), the handshake alone:
 * no framing, no time, no peers. Section numbers in this file and in noise.c are of that document.
 *
 *	IK:
 *	  <- s
 *	  ...
 *	  -> e, es, s, ss
 *	  <- e, ee, se
 *
 * Every function that can fail leaves the state unusable for another try: work on a copy and keep it
 * only when all went well. Everything in these structs is secret; noise_wipe() on every exit.
 */
#ifndef PLAIT_SEAL_NOISE_H
#define PLAIT_SEAL_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { NOISE_KEY = 32, NOISE_HASH = 64, NOISE_TAG = 16 };
enum {
	NOISE_MESSAGE_1 = NOISE_KEY + NOISE_KEY + NOISE_TAG + NOISE_TAG, /* with an empty payload */
	NOISE_MESSAGE_2 = NOISE_KEY + NOISE_TAG,
};

struct noise {
	/* SymmetricState and its CipherState, 5.1 and 5.2; k is valid after the first MixKey. */
	uint8_t ck[NOISE_HASH], h[NOISE_HASH], k[NOISE_KEY];
	uint64_t n;
	/* HandshakeState, 5.3. rs of a responder is valid after noise_read_static(). */
	bool initiator;
	uint8_t s[NOISE_KEY], s_public[NOISE_KEY];
	uint8_t e[NOISE_KEY], e_public[NOISE_KEY];
	uint8_t rs[NOISE_KEY], re[NOISE_KEY];
};

/* s: our static private key. rs: the responder's public key for an initiator, NULL for a responder. All copied. */
void noise_init(struct noise *x, bool initiator, const uint8_t s[NOISE_KEY], const uint8_t s_public[NOISE_KEY],
		const uint8_t *rs, const void *prologue, size_t prologue_len);

/* -> e, es, s, ss, payload: writes NOISE_MESSAGE_1 + len bytes. e: a fresh private key. ERR_FORGED: rs is of low order. */
MUST_CHECK enum err noise_write_1(struct noise *x, const uint8_t e[NOISE_KEY], const uint8_t *payload, size_t len, uint8_t *out);
/*
 * The same, read in two steps, since the responder looks the key up in between: first e, es, s, which
 * gives x->rs; then ss and the payload (message_len - NOISE_MESSAGE_1 bytes). message_len is at least NOISE_MESSAGE_1.
 */
MUST_CHECK enum err noise_read_1_static(struct noise *x, const uint8_t *message);
MUST_CHECK enum err noise_read_1_payload(struct noise *x, const uint8_t *message, size_t message_len, uint8_t *payload);

/* <- e, ee, se, payload: NOISE_MESSAGE_2 + len bytes. */
MUST_CHECK enum err noise_write_2(struct noise *x, const uint8_t e[NOISE_KEY], const uint8_t *payload, size_t len, uint8_t *out);
MUST_CHECK enum err noise_read_2(struct noise *x, const uint8_t *message, size_t message_len, uint8_t *payload);

/* Split(), 5.2: our sending and receiving keys. x->h is the handshake hash. */
void noise_split(const struct noise *x, uint8_t send[NOISE_KEY], uint8_t receive[NOISE_KEY]);
void noise_wipe(struct noise *x);

/* HMAC-BLAKE2b and HKDF with two outputs, 4.3. */
void noise_hmac(uint8_t out[NOISE_HASH], const uint8_t *key, size_t key_len, const uint8_t *in, size_t len);
void noise_hkdf(uint8_t out1[NOISE_HASH], uint8_t out2[NOISE_HASH], const uint8_t ck[NOISE_HASH], const uint8_t *ikm, size_t len);

#endif
