/* SPDX-License-Identifier: MIT */
/*
 * What a struct seal holds, for seal.c, seal_input.c, seal_output.c and the tests; nobody else.
 *
 * Each peer has SLOTS places for keys. WireGuard's three key pairs are SLOT_PREVIOUS, SLOT_CURRENT and SLOT_NEXT;
 * of the last there may be several, as there may be several initiations in flight (SLOT_SENT): we retry long
 * before a slow path's round trip is over, and race paths, and whichever exchange completes first must count.
 * `serial` orders them: a slot that becomes current frees all older ones but the session it replaces.
 *
 *	initiator:  FREE -> SENT -(response)-> CURRENT -> PREVIOUS -> FREE
 *	responder:  FREE -> NEXT -(first data: key confirmation)-> CURRENT -> PREVIOUS -> FREE
 */
#ifndef PLAIT_SEAL_STATE_H
#define PLAIT_SEAL_STATE_H

#include "tunneld/seal/chance.h"
#include "tunneld/seal/cookie.h"
#include "tunneld/seal/handshake.h"
#include "tunneld/seal/seal.h"
#include "tunneld/seal/session.h"

enum { SLOTS = 5, SLOT_BITS = 3, PATH_BITS = 4, SEAL_PEERS_MAX = 1 << 16, NO_SLOT = -1 };

/* The first retry comes after this, then twice as long each time up to the last; each varies by a quarter either way. */
#define RETRY_FIRST (350 * USEC_PER_MS)
#define RETRY_LAST  (4 * USEC_PER_S)
#define SENT_LIFE   (10 * USEC_PER_S) /* a response may take this long */
/*
 * Silence: so many times, at least this far apart, we sealed something with nothing authentic heard since.
 * Counted in strikes and not by a timer, because the last datagrams of every exchange go unanswered.
 */
#define STRIKE_EVERY (500 * USEC_PER_MS)
enum { STRIKES = 5 };

enum { NO_NUMBER = UINT8_MAX };

enum slot_state { SLOT_FREE, SLOT_SENT, SLOT_NEXT, SLOT_CURRENT, SLOT_PREVIOUS };

struct slot {
	enum slot_state state;
	bool announced;              /* the host has been told of this session */
	uint32_t index;              /* ours, on the wire with a path's number in the low bits; fresh with each use */
	uint64_t serial;
	usec_t expires_us;
	uint64_t peer_epoch;
	uint32_t peer_capabilities;
	/* SLOT_SENT only */
	struct noise noise;
	uint8_t message[INITIATION_SIZE]; /* as sent: cookies are bound to its mac1 */
	uint8_t cookies_answered;
	usec_t sent_us;
	/* SLOT_NEXT, CURRENT, PREVIOUS only */
	struct session session;
};

struct peer {
	bool used, initiator;        /* initiator: the host asked us to connect */
	uint8_t public_key[KEY_SIZE];
	struct mac_keys keys;        /* of public_key: for what we send */
	uint8_t steer;               /* initiator: the high bits of our indexes */
	uint8_t home;                /* responder: the same of the client's first worker */
	uint8_t number;              /* responder: of the client's worker; NO_NUMBER: of the first that comes */
	int8_t current;              /* slot, or NO_SLOT */
	uint8_t strikes;
	usec_t strike_due_us;
	usec_t handshake_due_us;     /* USEC_NEVER: none wanted */
	uint32_t attempt;
	usec_t expire_due_us;        /* no slot expires earlier */
	uint64_t serial;
	uint8_t last_time[HELLO_TIME]; /* responder: of the newest initiation taken */
	bool has_cookie;
	uint8_t cookie[COOKIE_MAC];
	usec_t cookie_born_us;
	usec_t last_handshake_us;
	uint64_t bytes_sealed, bytes_opened;
	struct addr endpoint[SESSION_PATHS]; /* where each path's newest datagram came from; family 0: nothing came yet */
	struct slot slots[SLOTS];
};

struct seal {
	struct counters *counters;
	bool responder;
	uint32_t capabilities, peers_max;
	uint8_t worker, workers;     /* workers: 1 at least */
	uint32_t index_mask;         /* bits of an index, path bits shifted off, that name peer and slot; the rest are chance */
	uint64_t epoch;
	uint64_t wall_us;            /* at born_us */
	usec_t born_us, last_time_us;
	usec_t deadline_us;          /* nothing is due earlier */
	uint8_t private_key[KEY_SIZE], public_key[KEY_SIZE];
	struct chance chance;
	struct cookie_jar jar;
	struct peer *peers;
};

/*
 * Responder: the peer that is the client's worker which that index of an initiation is of; known is any peer of the client. Made
 * if there is none, and *added is true then. NULL: that would be too many.
 */
struct peer *peer_of_worker(struct seal *s, struct peer *known, uint32_t index, bool *added);

/* A slot for a new handshake, with a fresh index and serial: a free one, else the oldest SENT or NEXT. The caller sets its state. */
struct slot *seal_slot_take(struct seal *s, struct peer *p);
/* Wiped, and nothing of it is found any more. */
void slot_free(struct peer *p, struct slot *slot);
/* When slot expires, now known. */
void slot_expires(struct seal *s, struct peer *p, struct slot *slot, usec_t at_us);
/* The slot of a receiver index, in one of the states of the bit mask, or NULL. */
struct slot *slot_find(struct seal *s, uint32_t index, unsigned states, struct peer **peer);
/* From the keys that x agreed on; x and the slot's handshake are spent. */
void slot_session(struct seal *s, struct slot *slot, const struct noise *x, const struct hello *hello, usec_t born_us);
/* slot becomes the session to use, and what it replaces the previous one. */
void slot_promote(struct seal *s, struct peer *p, struct slot *slot, usec_t now_us);

/* An initiation to p is due now, unless one is due already. */
void peer_want(struct seal *s, struct peer *p, usec_t now_us);
static inline seal_peer peer_number(const struct seal *s, const struct peer *p) { return (seal_peer)(p - s->peers); }

/* After now_us s has something to do at at_us. */
static inline void seal_due(struct seal *s, usec_t at_us) { s->deadline_us = usec_min(s->deadline_us, at_us); }

#endif
