/* SPDX-License-Identifier: MIT */
/*
 * What stands between a stranger and our Diffie-Hellman: mac1 (the sender knows our public key), and
 * under load mac2 (the sender receives at the address it sends from), both as in WireGuard's paper 5.3 and
 * 5.4.4-5.4.7, with BLAKE2b for BLAKE2s. Also the load measure and a share for each source address.
 */
#ifndef PLAIT_SEAL_COOKIE_H
#define PLAIT_SEAL_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/err.h"
#include "common/usec.h"
#include "tunneld/seal/chance.h"

enum {
	COOKIE_MAC = 16, COOKIE_KEY = 32, COOKIE_NONCE = 24, COOKIE_TAG = 16,
	COOKIE_MESSAGE = 8 + COOKIE_NONCE + COOKIE_MAC + COOKIE_TAG,
	COOKIE_SOURCES = 1024,
};
#define COOKIE_SECRET_MAX_AGE (120 * USEC_PER_S)
#define COOKIE_MAX_AGE        (115 * USEC_PER_S) /* at the initiator: less by the time a datagram may take */
#define COOKIE_LOAD_LINGER    (1 * USEC_PER_S)   /* how long we stay under load after the last excess */
#define COOKIE_SOURCE_EVERY   (50 * USEC_PER_MS) /* one source's share: 20 a second, */
#define COOKIE_SOURCE_BURST   5                  /* of which so many at once */

/* Keys that both ends derive from the public key of who is to receive the message. */
struct mac_keys { uint8_t mac1[COOKIE_KEY], cookie[COOKIE_KEY]; };
void mac_keys_of(struct mac_keys *k, const uint8_t public_key[32]);

/* Writes mac1 and mac2 into the last 32 of len bytes; mac2 is zero without a cookie. */
void mac_add(uint8_t *message, size_t len, const struct mac_keys *to, const uint8_t *cookie);
bool mac1_valid(const uint8_t *message, size_t len, const struct mac_keys *us);

/* The side that demands cookies. */
struct cookie_jar {
	struct mac_keys keys;            /* of our own public key */
	uint8_t secret[COOKIE_KEY];
	usec_t secret_born_us;           /* USEC_NEVER: none yet */
	usec_t handshake_every_us;       /* the load at which cookies are demanded, as an interval */
	usec_t load_due_us;              /* GCRA: theoretical arrival of the next handshake */
	usec_t loaded_until_us;
	uint8_t source_key[16];          /* hides which sources share a row */
	usec_t source_due_us[COOKIE_SOURCES];
};
void cookie_jar_init(struct cookie_jar *j, const uint8_t public_key[32], uint32_t handshakes_per_s, struct chance *chance);

/* One more handshake with a valid mac1 came: are we under load? */
bool cookie_loaded(struct cookie_jar *j, usec_t now_us);
bool mac2_valid(struct cookie_jar *j, const uint8_t *message, size_t len, const struct addr *from, struct chance *chance,
		usec_t now_us);
/* Is this source within its share? Its /64 with IPv6. */
bool cookie_source_allowed(struct cookie_jar *j, const struct addr *from, usec_t now_us);
/* The cookie reply to message, whose sender index is given; COOKIE_MESSAGE bytes. */
void cookie_reply(struct cookie_jar *j, uint8_t out[COOKIE_MESSAGE], uint32_t index, const uint8_t *message, size_t len,
		  const struct addr *from, struct chance *chance, usec_t now_us);

/* The side that was asked: message is ours that the reply answers. ERR_FORGED. */
MUST_CHECK enum err cookie_open(uint8_t cookie[COOKIE_MAC], const uint8_t reply[COOKIE_MESSAGE], const struct mac_keys *to,
				const uint8_t *message, size_t len);

#endif
