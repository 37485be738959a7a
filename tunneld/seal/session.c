/* SPDX-License-Identifier: MIT */
#include "tunneld/seal/session.h"

#include "common/bytes.h"

#include <assert.h>
#include <string.h>

void session_init(struct session *x, enum cipher cipher, const uint8_t send[32], const uint8_t receive[32], bool initiator,
		  uint32_t remote_index, usec_t born_us)
{
	assert((remote_index & (SESSION_PATHS - 1)) == 0);
	x->aead = aead_of(cipher, 0);
	assert(x->aead);
	x->aead->key(&x->send, send);
	x->aead->key(&x->receive, receive);
	x->cipher = cipher;
	x->initiator = initiator;
	x->remote_index = remote_index;
	x->born_us = born_us;
	x->sealed = x->opened = 0;
	for (int i = 0; i < SESSION_PATHS; i++) {
		x->send_counter[i] = 0;
		x->replay[i].next = 0;
	}
}

/* The windows are no secret and are a page each few paths: left alone, session_init() empties them. */
void session_wipe(struct session *x)
{
	sodium_memzero(&x->send, sizeof x->send);
	sodium_memzero(&x->receive, sizeof x->receive);
}

bool session_cipher_available(enum cipher cipher)
{
	return aead_of(cipher, 0) != NULL;
}

const char *session_cipher_name(enum cipher cipher)
{
	return cipher == CIPHER_AES_256_GCM ? "AES-256-GCM" : "ChaCha20-Poly1305";
}

/* path number 4 | counter 8, network order: with path 0 exactly Noise's nonce for AESGCM (12.4). */
static void nonce_of(uint8_t nonce[12], uint8_t path_no, uint64_t counter)
{
	be_put32(nonce, path_no);
	be_put64(nonce + 4, counter);
}

size_t session_seal(struct session *x, uint8_t path_no, enum datagram_type type, const uint8_t *bytes, size_t len, uint8_t *out)
{
	uint64_t counter = x->send_counter[path_no]++;
	uint8_t nonce[12], *cipher = out + DATAGRAM_DATA_HEADER;

	assert(path_no < SESSION_PATHS && !session_spent(x));
	x->sealed++;
	out[0] = (uint8_t)type;
	be_put32(out + 1, x->remote_index | path_no);
	be_put32(out + 5, (uint32_t)counter);
	nonce_of(nonce, path_no, counter);
	x->aead->seal(&x->send, nonce, out, DATAGRAM_DATA_HEADER, bytes, len, cipher);
	return DATAGRAM_DATA_OVERHEAD + len;
}

enum err session_open(struct session *x, uint8_t *bytes, size_t len, bool *newest)
{
	uint8_t path_no = bytes[4] & (SESSION_PATHS - 1), nonce[12], *cipher = bytes + DATAGRAM_DATA_HEADER;
	struct replay *replay = &x->replay[path_no];
	uint64_t counter = replay_expand(replay, be_get32(bytes + 5));
	enum err err = replay_check(replay, counter);

	assert(len >= DATAGRAM_DATA_OVERHEAD);
	/* Before the cipher: a duplicate costs nothing. The window itself moves only for what is authentic. */
	if (err)
		return err;
	nonce_of(nonce, path_no, counter);
	if (!x->aead->open(&x->receive, nonce, bytes, DATAGRAM_DATA_HEADER, cipher, len - DATAGRAM_DATA_HEADER))
		return ERR_FORGED;
	*newest = replay_take(replay, counter);
	x->opened++;
	return ERR_OK;
}
