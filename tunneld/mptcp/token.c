/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/token.h"

#include "common/bytes.h"

#include <sodium/crypto_auth_hmacsha256.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

void token_of_key(uint64_t key, uint32_t *token, struct dsn *idsn)
{
	uint8_t bytes[8], hash[32];
	struct wr w = wr_of(bytes, sizeof bytes);
	struct rd r;

	wr_u64(&w, key);
	crypto_hash_sha256(hash, bytes, sizeof bytes);
	r = rd_of(hash, sizeof hash);
	*token = rd_u32(&r);
	r = rd_of(hash + 24, 8);
	*idsn = dsn_of(rd_u64(&r));
	sodium_memzero(bytes, sizeof bytes);
	sodium_memzero(hash, sizeof hash);
}

void token_hmac(const uint8_t *key, size_t key_len, const uint8_t *msg, size_t msg_len, uint8_t out[32])
{
	crypto_auth_hmacsha256_state st;

	crypto_auth_hmacsha256_init(&st, key, key_len);
	crypto_auth_hmacsha256_update(&st, msg, msg_len);
	crypto_auth_hmacsha256_final(&st, out);
	sodium_memzero(&st, sizeof st);
}

void token_join_hmac(uint64_t sender_key, uint64_t receiver_key, uint32_t sender_nonce, uint32_t receiver_nonce,
		     uint8_t out[32])
{
	uint8_t key[16], msg[8];
	struct wr k = wr_of(key, sizeof key), m = wr_of(msg, sizeof msg);

	wr_u64(&k, sender_key);
	wr_u64(&k, receiver_key);
	wr_u32(&m, sender_nonce);
	wr_u32(&m, receiver_nonce);
	token_hmac(key, sizeof key, msg, sizeof msg, out);
	sodium_memzero(key, sizeof key);
}

uint64_t token_add_addr_hmac(uint64_t sender_key, uint64_t receiver_key, uint8_t addr_id, const struct addr *addr,
			     bool has_port)
{
	uint8_t key[16], msg[1 + 16 + 2], hash[32];
	struct wr k = wr_of(key, sizeof key), m = wr_of(msg, sizeof msg);
	struct rd r;

	wr_u64(&k, sender_key);
	wr_u64(&k, receiver_key);
	wr_u8(&m, addr_id);
	wr_bytes(&m, addr->ip, addr->family == 6 ? 16 : 4);
	wr_u16(&m, has_port ? addr->port : 0);
	token_hmac(key, sizeof key, msg, wr_len(&m), hash);
	sodium_memzero(key, sizeof key);
	r = rd_of(hash + 24, 8);
	return rd_u64(&r);
}
