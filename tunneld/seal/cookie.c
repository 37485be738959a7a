/* SPDX-License-Identifier: MIT */
#include "tunneld/seal/cookie.h"

#include "common/bytes.h"
#include "tunneld/wire/datagram.h"

static void label_key(uint8_t out[COOKIE_KEY], const char label[8], const uint8_t public_key[32])
{
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, COOKIE_KEY);
	crypto_generichash_update(&st, (const uint8_t *)label, 8);
	crypto_generichash_update(&st, public_key, 32);
	crypto_generichash_final(&st, out, COOKIE_KEY);
}

void mac_keys_of(struct mac_keys *k, const uint8_t public_key[32])
{
	label_key(k->mac1, "mac1----", public_key);
	label_key(k->cookie, "cookie--", public_key);
}

static void mac_of(uint8_t out[COOKIE_MAC], const uint8_t *message, size_t len, const uint8_t *key, size_t key_len)
{
	crypto_generichash(out, COOKIE_MAC, message, len, key, key_len);
}

void mac_add(uint8_t *message, size_t len, const struct mac_keys *to, const uint8_t *cookie)
{
	uint8_t *mac1 = message + len - 2 * COOKIE_MAC, *mac2 = mac1 + COOKIE_MAC;

	mac_of(mac1, message, (size_t)(mac1 - message), to->mac1, sizeof to->mac1);
	if (cookie)
		mac_of(mac2, message, (size_t)(mac2 - message), cookie, COOKIE_MAC);
	else
		memset(mac2, 0, COOKIE_MAC);
}

bool mac1_valid(const uint8_t *message, size_t len, const struct mac_keys *us)
{
	const uint8_t *mac1 = message + len - 2 * COOKIE_MAC;
	uint8_t want[COOKIE_MAC];

	mac_of(want, message, (size_t)(mac1 - message), us->mac1, sizeof us->mac1);
	return sodium_memcmp(want, mac1, COOKIE_MAC) == 0;
}

void cookie_jar_init(struct cookie_jar *j, const uint8_t public_key[32], uint32_t handshakes_per_s, struct chance *chance)
{
	memset(j, 0, sizeof *j);
	mac_keys_of(&j->keys, public_key);
	j->secret_born_us = USEC_NEVER;
	j->handshake_every_us = USEC_PER_S / (handshakes_per_s ? handshakes_per_s : 200);
	chance_draw(chance, j->source_key, sizeof j->source_key);
}

/* GCRA: one every `every`, and those of `burst` at once. True: conforms. */
static bool rate_allows(usec_t *due, usec_t every, usec_t burst, usec_t now_us)
{
	usec_t at = usec_max(*due, now_us);

	if (at - now_us > every * (burst - 1))
		return false;
	*due = at + every;
	return true;
}

bool cookie_loaded(struct cookie_jar *j, usec_t now_us)
{
	/* A second's worth may come at once. */
	usec_t burst = j->handshake_every_us ? USEC_PER_S / j->handshake_every_us : USEC_PER_S;

	if (!rate_allows(&j->load_due_us, j->handshake_every_us, burst, now_us))
		j->loaded_until_us = usec_add(now_us, COOKIE_LOAD_LINGER);
	return now_us < j->loaded_until_us;
}

/* Bytes that name the source: the whole address and port for a cookie, the network that one host has for its share. */
static size_t source_bytes(uint8_t out[24], const struct addr *from, bool with_port)
{
	struct wr w = wr_of(out, 24);

	wr_u8(&w, from->family);
	wr_bytes(&w, from->ip, from->family == 4 ? 4 : with_port ? 16 : 8);
	if (with_port) {
		wr_u16(&w, from->port);
		wr_u32(&w, from->scope);
	}
	return wr_len(&w);
}

static void cookie_of(struct cookie_jar *j, uint8_t cookie[COOKIE_MAC], const struct addr *from, struct chance *chance,
		      usec_t now_us)
{
	uint8_t source[24];
	size_t len = source_bytes(source, from, true);

	if (j->secret_born_us == USEC_NEVER || usec_since(now_us, j->secret_born_us) >= COOKIE_SECRET_MAX_AGE) {
		chance_draw(chance, j->secret, sizeof j->secret);
		j->secret_born_us = now_us;
	}
	mac_of(cookie, source, len, j->secret, sizeof j->secret);
}

bool mac2_valid(struct cookie_jar *j, const uint8_t *message, size_t len, const struct addr *from, struct chance *chance,
		usec_t now_us)
{
	const uint8_t *mac2 = message + len - COOKIE_MAC;
	uint8_t cookie[COOKIE_MAC], want[COOKIE_MAC];

	cookie_of(j, cookie, from, chance, now_us);
	mac_of(want, message, (size_t)(mac2 - message), cookie, sizeof cookie);
	sodium_memzero(cookie, sizeof cookie);
	return sodium_memcmp(want, mac2, COOKIE_MAC) == 0;
}

bool cookie_source_allowed(struct cookie_jar *j, const struct addr *from, usec_t now_us)
{
	uint8_t source[24], hash[crypto_shorthash_BYTES];
	size_t len = source_bytes(source, from, false);

	crypto_shorthash(hash, source, len, j->source_key);
	return rate_allows(&j->source_due_us[(hash[0] | hash[1] << 8) % COOKIE_SOURCES], COOKIE_SOURCE_EVERY,
			   COOKIE_SOURCE_BURST, now_us);
}

/* Cookie reply: type 1 | reserved 3 | receiver index 4 | nonce 24 | XChaCha20-Poly1305(cookie), bound to the message by its mac1. */
void cookie_reply(struct cookie_jar *j, uint8_t out[COOKIE_MESSAGE], uint32_t index, const uint8_t *message, size_t len,
		  const struct addr *from, struct chance *chance, usec_t now_us)
{
	struct wr w = wr_of(out, COOKIE_MESSAGE);
	uint8_t nonce[COOKIE_NONCE], cookie[COOKIE_MAC];

	chance_draw(chance, nonce, sizeof nonce);
	cookie_of(j, cookie, from, chance, now_us);
	wr_u32(&w, (uint32_t)DATAGRAM_COOKIE << 24);
	wr_u32(&w, index);
	wr_bytes(&w, nonce, sizeof nonce);
	crypto_aead_xchacha20poly1305_ietf_encrypt(wr_room(&w, COOKIE_MAC + COOKIE_TAG), NULL, cookie, sizeof cookie,
						   message + len - 2 * COOKIE_MAC, COOKIE_MAC, NULL, nonce, j->keys.cookie);
	assert(!w.bad && wr_left(&w) == 0);
	sodium_memzero(cookie, sizeof cookie);
}

enum err cookie_open(uint8_t cookie[COOKIE_MAC], const uint8_t reply[COOKIE_MESSAGE], const struct mac_keys *to,
		     const uint8_t *message, size_t len)
{
	const uint8_t *nonce = reply + 8, *sealed = nonce + COOKIE_NONCE;

	return crypto_aead_xchacha20poly1305_ietf_decrypt(cookie, NULL, NULL, sealed, COOKIE_MAC + COOKIE_TAG,
							  message + len - 2 * COOKIE_MAC, COOKIE_MAC, nonce, to->cookie)
		? ERR_FORGED : ERR_OK;
}
