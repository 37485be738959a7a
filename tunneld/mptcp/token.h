/* SPDX-License-Identifier: MIT */
/*
 * What RFC 8684 derives from the 64-bit keys of a connection: token, IDSN, and the HMACs of joins and
 * ADD_ADDR. Keys are numbers as the option carries them; the digest is over their network order.
 */
#ifndef PLAIT_MPTCP_TOKEN_H
#define PLAIT_MPTCP_TOKEN_H

#include "common/addr.h"
#include "common/seq.h"

/* RFC 8684 3.2: token = first 32 bits of SHA-256(key); 3.1: IDSN = last 64 bits of it. */
void token_of_key(uint64_t key, uint32_t *token, struct dsn *idsn);

/* HMAC-SHA256 with a key of any length. */
void token_hmac(const uint8_t *key, size_t key_len, const uint8_t *msg, size_t msg_len, uint8_t out[32]);

/*
 * RFC 8684 3.2: key = sender_key then receiver_key, message = sender_nonce then receiver_nonce.
 * HMAC-A is the joiner's (sender = joiner), HMAC-B the other's.
 */
void token_join_hmac(uint64_t sender_key, uint64_t receiver_key, uint32_t sender_nonce, uint32_t receiver_nonce,
		     uint8_t out[32]);

/* RFC 8684 3.4.1: the rightmost 64 bits; the port is two zero bytes where it is absent. */
uint64_t token_add_addr_hmac(uint64_t sender_key, uint64_t receiver_key, uint8_t addr_id, const struct addr *addr,
			     bool has_port);

#endif
