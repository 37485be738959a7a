/* SPDX-License-Identifier: MIT */
/*
 * The two ciphers of a session, by whoever has them fastest on this machine. libsodium is always there; Intel's
 * Multi-Buffer Crypto library is used where it was found at build time and the CPU is one it is made for: with AVX-512 it
 * does AES-256-GCM five times as fast, ChaCha20-Poly1305 twice. Both give the same bytes: tests/unit/seal/test_aead.c
 * holds them against the published vectors and against each other. No state, no allocation after the first use.
 */
#ifndef PLAIT_SEAL_AEAD_H
#define PLAIT_SEAL_AEAD_H

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cipher { CIPHER_CHACHA20_POLY1305, CIPHER_AES_256_GCM, CIPHERS };

enum { AEAD_KEY = 32, AEAD_NONCE = 12, AEAD_TAG = 16, AEAD_FOREIGN_KEY = 1008, AEAD_ALIGN = 64 };

/* A key ready for use: AES's schedule and GCM's table stay expanded, which is a third of the cost of a datagram. Not to be moved. */
struct data_key {
	union {
		crypto_aead_aes256gcm_state aes; /* 16-byte aligned by its type */
		uint8_t chacha[AEAD_KEY];
		uint8_t foreign[AEAD_FOREIGN_KEY + AEAD_ALIGN]; /* aligned within, wherever this lies */
	};
};

struct aead {
	const char *provider;
	bool (*available)(void);
	void (*key)(struct data_key *k, const uint8_t key[AEAD_KEY]);
	/* out: len + AEAD_TAG bytes, apart from text or the same. */
	void (*seal)(const struct data_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *header, size_t header_len,
		     const uint8_t *text, size_t len, uint8_t *out);
	/* In place, len including the tag. False: forged, and what was in bytes is lost. */
	bool (*open)(const struct data_key *k, const uint8_t nonce[AEAD_NONCE], const uint8_t *header, size_t header_len,
		     uint8_t *bytes, size_t len);
};

/* The nth best of those that work here, 0 being the one to use; NULL: there are no more. */
const struct aead *aead_of(enum cipher cipher, unsigned nth);

/* aead_mb.c; not available where it was not built. */
extern const struct aead aead_mb_aes, aead_mb_chacha;

#endif
