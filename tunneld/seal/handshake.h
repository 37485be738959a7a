/* SPDX-License-Identifier: MIT */
/*
 * The two handshake messages as bytes: Noise's messages framed as in wire/datagram.h, and the payloads
 * they seal. The macs at their end are added and looked at by the caller (cookie.h).
 */
#ifndef PLAIT_SEAL_HANDSHAKE_H
#define PLAIT_SEAL_HANDSHAKE_H

#include "tunneld/seal/cookie.h"
#include "tunneld/seal/noise.h"

/* Mixed into every handshake, so that it cannot be carried over into another protocol. */
#define HANDSHAKE_PROLOGUE "plait sealed datagrams v1"

enum {
	HELLO_TIME = 12,                         /* TAI64N: 8 bytes of seconds, 4 of nanoseconds */
	HELLO_1 = HELLO_TIME + 8 + 4 + 4,        /* initiation: time, epoch 8, capabilities 4, sender index 4 */
	HELLO_2 = 8 + 4 + 4,                     /* response: epoch, capabilities, sender index */
	HELLO_MAX = 256,                         /* longer payloads are of versions to come: their tail is ignored */
	INITIATION_HEADER = 8, RESPONSE_HEADER = 12, HANDSHAKE_MACS = 2 * COOKIE_MAC,
	INITIATION_SIZE = INITIATION_HEADER + NOISE_MESSAGE_1 + HELLO_1 + HANDSHAKE_MACS,
	INITIATION_MAX = INITIATION_SIZE - HELLO_1 + HELLO_MAX,
	RESPONSE_SIZE = RESPONSE_HEADER + NOISE_MESSAGE_2 + HELLO_2 + HANDSHAKE_MACS,
	RESPONSE_MAX = RESPONSE_SIZE - HELLO_2 + HELLO_MAX,
};

/*
 * What an end says of itself. Unlike WireGuard 5.4.2 the index is among it, and so authentic: else one changed
 * datagram would leave the initiator with a session that the responder does not know under that index.
 */
struct hello {
	uint8_t time[HELLO_TIME];                /* initiation only; big-endian, so that memcmp() orders it */
	uint64_t epoch;
	uint32_t capabilities;
	uint32_t index;                          /* the message's sender index, which stands in clear outside as well */
};

/* wall_us: microseconds since 1970. */
void hello_time(uint8_t time[HELLO_TIME], uint64_t wall_us);

/* INITIATION_SIZE bytes; macs are left to the caller. x comes from noise_init() and then waits for the response. */
MUST_CHECK enum err initiation_write(struct noise *x, uint8_t *out, const struct hello *hello, const uint8_t e[NOISE_KEY]);
/* In two steps: x->rs is known, though not yet proven, after the first. ERR_FORGED also if the index is not the one in clear. len is INITIATION_SIZE to INITIATION_MAX. */
MUST_CHECK enum err initiation_read_static(struct noise *x, const uint8_t *in);
MUST_CHECK enum err initiation_read(struct noise *x, const uint8_t *in, size_t len, struct hello *hello);

MUST_CHECK enum err response_write(struct noise *x, uint8_t *out, uint32_t receiver, const struct hello *hello,
				   const uint8_t e[NOISE_KEY]);
/* len is RESPONSE_SIZE to RESPONSE_MAX. */
MUST_CHECK enum err response_read(struct noise *x, const uint8_t *in, size_t len, struct hello *hello);

#endif
