/* SPDX-License-Identifier: MIT */
/*
 * All the seal's chance, from one seed given at birth, so that a run can be replayed. Each draw
 * replaces the key by output of its own: what was drawn cannot be computed from what is left.
 */
#ifndef PLAIT_SEAL_CHANCE_H
#define PLAIT_SEAL_CHANCE_H

#include <assert.h>
#include <sodium.h>
#include <stdint.h>
#include <string.h>

struct chance { uint8_t key[randombytes_SEEDBYTES]; };

static inline void chance_draw(struct chance *c, void *out, size_t len)
{
	uint8_t block[sizeof c->key + 64];

	assert(len <= sizeof block - sizeof c->key);
	randombytes_buf_deterministic(block, sizeof c->key + len, c->key);
	memcpy(c->key, block, sizeof c->key);
	memcpy(out, block + sizeof c->key, len);
	sodium_memzero(block, sizeof block);
}

static inline uint64_t chance_u64(struct chance *c)
{
	uint64_t v;

	chance_draw(c, &v, sizeof v);
	return v;
}

#endif
