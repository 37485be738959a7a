/* SPDX-License-Identifier: MIT */
/* Birth and death of the seal, its peers and their slots. seal_input.c and seal_output.c use them. */
#include "tunneld/seal/seal.h"

#include <stdlib.h>

#include "tunneld/seal/seal_state.h"

struct seal *seal_new(const struct seal_config *config, const uint8_t seed[32], usec_t now_us)
{
	struct seal *s;

	if (sodium_init() < 0 || config->peers_max == 0 || config->peers_max > SEAL_PEERS_MAX)
		return NULL;
	assert(config->workers <= DATAGRAM_WORKERS_MAX && config->worker < (config->workers ? config->workers : 1));
	if (!(s = calloc(1, sizeof *s)))
		return NULL;
	/* Pages of slots that nobody uses are never touched, so peers_max may be generous. */
	if (!(s->peers = calloc(config->peers_max, sizeof *s->peers))) {
		free(s);
		return NULL;
	}
	assert((uintptr_t)s->peers % _Alignof(struct peer) == 0);
	s->counters = config->counters;
	s->responder = config->responder;
	s->peers_max = config->peers_max;
	s->worker = config->worker;
	s->workers = config->workers ? config->workers : 1;
	while (s->index_mask < (s->peers_max << SLOT_BITS) - 1)
		s->index_mask = s->index_mask << 1 | 1;
	s->capabilities = config->capabilities;
	if (!session_cipher_available(CIPHER_AES_256_GCM))
		s->capabilities &= ~(uint32_t)CAP_AES_256_GCM;
	s->wall_us = config->wall_us;
	s->born_us = now_us;
	s->deadline_us = USEC_NEVER;
	memcpy(s->private_key, config->private_key, KEY_SIZE);
	key_public(s->private_key, s->public_key);
	memcpy(s->chance.key, seed, sizeof s->chance.key);
	s->epoch = chance_u64(&s->chance);
	cookie_jar_init(&s->jar, s->public_key, config->handshakes_per_s, &s->chance);
	return s;
}

void seal_free(struct seal *s)
{
	if (!s)
		return;
	for (seal_peer i = 0; i < s->peers_max; i++)
		if (s->peers[i].used)
			seal_peer_remove(s, i);
	free(s->peers);
	sodium_memzero(s, sizeof *s);
	free(s);
}

/* The same after a restart of ours, or the responder's other workers would not know that we have restarted. */
static uint8_t steer_of(const uint8_t initiator[KEY_SIZE], const uint8_t responder[KEY_SIZE])
{
	uint8_t hash[crypto_generichash_BYTES_MIN];

	crypto_generichash(hash, sizeof hash, initiator, KEY_SIZE, responder, KEY_SIZE);
	return hash[0] & (DATAGRAM_WORKERS_MAX - 1);
}

uint8_t seal_worker_of(const struct seal *s, const uint8_t client_key[KEY_SIZE])
{
	return steer_of(client_key, s->public_key) % s->workers;
}

enum err seal_peer_add(struct seal *s, const uint8_t public_key[KEY_SIZE], seal_peer *out)
{
	uint8_t dh[KEY_SIZE];
	struct peer *p = NULL;
	int bad;

	for (seal_peer i = 0; i < s->peers_max; i++) {
		if (!s->peers[i].used) {
			if (!p)
				p = &s->peers[i];
		} else if (memcmp(s->peers[i].public_key, public_key, KEY_SIZE) == 0) {
			*out = i;
			return ERR_UNEXPECTED;
		}
	}
	/* All zeros come out for a key of low order (RFC 7748 6.1): every handshake with it would fail. */
	bad = crypto_scalarmult(dh, s->private_key, public_key);
	sodium_memzero(dh, sizeof dh);
	if (bad)
		return ERR_MALFORMED;
	if (!p)
		return ERR_FULL;
	p->used = true;
	memcpy(p->public_key, public_key, KEY_SIZE);
	mac_keys_of(&p->keys, public_key);
	p->steer = (steer_of(s->public_key, public_key) + s->worker) % DATAGRAM_WORKERS_MAX;
	p->home = steer_of(public_key, s->public_key);
	p->number = p->home % s->workers == s->worker ? 0 : NO_NUMBER;
	p->current = NO_SLOT;
	p->handshake_due_us = p->expire_due_us = USEC_NEVER;
	*out = peer_number(s, p);
	return ERR_OK;
}

struct peer *peer_of_worker(struct seal *s, struct peer *known, uint32_t index, bool *added)
{
	uint8_t number = ((index >> DATAGRAM_STEER_SHIFT) - known->home) % DATAGRAM_WORKERS_MAX;
	struct peer *unused = NULL, *waiting = NULL;
	unsigned count = 0;

	*added = false;
	for (seal_peer i = 0; i < s->peers_max; i++) {
		struct peer *p = &s->peers[i];

		if (!p->used) {
			unused = unused ? unused : p;
			continue;
		}
		if (memcmp(p->public_key, known->public_key, KEY_SIZE) != 0)
			continue;
		if (p->number == number)
			return p;
		if (p->number == NO_NUMBER)
			waiting = p;
		count++;
	}
	if (waiting) {
		waiting->number = number;
		return waiting;
	}
	if (!unused || count >= SEAL_CLIENT_WORKERS)
		return NULL;
	/* What is not named is zero since birth or seal_peer_remove(). */
	unused->used = true;
	memcpy(unused->public_key, known->public_key, KEY_SIZE);
	unused->keys = known->keys;
	unused->home = known->home;
	unused->number = number;
	unused->current = NO_SLOT;
	unused->handshake_due_us = unused->expire_due_us = USEC_NEVER;
	*added = true;
	return unused;
}

void seal_peer_remove(struct seal *s, seal_peer peer)
{
	struct peer *p = &s->peers[peer];

	assert(peer < s->peers_max && p->used);
	for (int k = 0; k < SLOTS; k++)
		if (p->slots[k].state != SLOT_FREE)
			slot_free(p, &p->slots[k]);
	/* All but the slots, which are wiped already and must not be touched for nothing. */
	sodium_memzero(p, offsetof(struct peer, slots));
}

_Static_assert(SEAL_PEERS_MAX << SLOT_BITS <= 1 << (DATAGRAM_STEER_SHIFT - PATH_BITS), "every peer's slots have a number below the steer");

/* steer 6 | random | peer | slot 3 | path 4 */
static uint32_t index_of(const struct seal *s, seal_peer peer, unsigned k, uint32_t random)
{
	const uint32_t low = (UINT32_C(1) << DATAGRAM_STEER_SHIFT) - 1;
	uint32_t steer = s->peers[peer].initiator ? s->peers[peer].steer : s->worker;

	return (((peer << SLOT_BITS | k) | (random & ~s->index_mask)) << PATH_BITS & low) | steer << DATAGRAM_STEER_SHIFT;
}

struct slot *slot_find(struct seal *s, uint32_t index, unsigned states, struct peer **peer)
{
	uint32_t at = index >> PATH_BITS;
	uint32_t k = at & ((1 << SLOT_BITS) - 1), number = (at & s->index_mask) >> SLOT_BITS;
	struct slot *slot;

	if (k >= SLOTS || number >= s->peers_max)
		return NULL;
	*peer = &s->peers[number];
	slot = &(*peer)->slots[k];
	return slot->index == (index & ~(uint32_t)(SESSION_PATHS - 1)) && states >> slot->state & 1 ? slot : NULL;
}

struct slot *seal_slot_take(struct seal *s, struct peer *p)
{
	struct slot *best = NULL;

	for (int k = 0; k < SLOTS; k++) {
		struct slot *slot = &p->slots[k];

		if (slot->state == SLOT_FREE) {
			best = slot;
			break;
		}
		if ((slot->state == SLOT_SENT || slot->state == SLOT_NEXT) && (!best || slot->serial < best->serial))
			best = slot;
	}
	assert(best); /* at most two slots are neither: current and previous */
	if (best->state != SLOT_FREE)
		slot_free(p, best);
	best->index = index_of(s, peer_number(s, p), (unsigned)(best - p->slots), (uint32_t)chance_u64(&s->chance));
	best->serial = ++p->serial;
	best->announced = false;
	best->cookies_answered = 0;
	return best;
}

void slot_free(struct peer *p, struct slot *slot)
{
	if (slot->state == SLOT_CURRENT)
		p->current = NO_SLOT;
	noise_wipe(&slot->noise);
	session_wipe(&slot->session);
	sodium_memzero(slot->message, sizeof slot->message);
	slot->state = SLOT_FREE;
}

void slot_expires(struct seal *s, struct peer *p, struct slot *slot, usec_t at_us)
{
	slot->expires_us = at_us;
	p->expire_due_us = usec_min(p->expire_due_us, at_us);
	seal_due(s, at_us);
}

void slot_session(struct seal *s, struct slot *slot, const struct noise *x, const struct hello *hello, usec_t born_us)
{
	uint8_t send[32], receive[32];
	bool aes = s->capabilities & hello->capabilities & CAP_AES_256_GCM;

	noise_split(x, send, receive);
	session_init(&slot->session, aes ? CIPHER_AES_256_GCM : CIPHER_CHACHA20_POLY1305, send, receive, x->initiator,
		     hello->index, born_us);
	sodium_memzero(send, sizeof send);
	sodium_memzero(receive, sizeof receive);
	noise_wipe(&slot->noise);
	slot->peer_epoch = hello->epoch;
	slot->peer_capabilities = hello->capabilities;
}

void slot_promote(struct seal *s, struct peer *p, struct slot *slot, usec_t now_us)
{
	for (int k = 0; k < SLOTS; k++) {
		struct slot *old = &p->slots[k];

		if (old == slot || old->state == SLOT_FREE || old->serial > slot->serial)
			continue;
		/* A peer that restarted has forgotten its old sessions, and the host must not hear of its past any more. */
		if (old->state == SLOT_CURRENT && old->peer_epoch == slot->peer_epoch) {
			old->state = SLOT_PREVIOUS;
			continue;
		}
		slot_free(p, old);
	}
	slot->state = SLOT_CURRENT;
	p->current = (int8_t)(slot - p->slots);
	p->strikes = 0;
	p->last_handshake_us = now_us;
	count(s->counters, CNT_SealSession);
}

void peer_want(struct seal *s, struct peer *p, usec_t now_us)
{
	if (!p->initiator || p->handshake_due_us != USEC_NEVER)
		return;
	p->attempt = 0;
	p->handshake_due_us = now_us;
	seal_due(s, now_us);
}

void seal_connect(struct seal *s, seal_peer peer, usec_t now_us)
{
	struct peer *p = &s->peers[peer];

	assert(peer < s->peers_max && p->used);
	p->initiator = true;
	if (!seal_ready(s, peer, now_us))
		peer_want(s, p, now_us);
}

void seal_rekey(struct seal *s, seal_peer peer, usec_t now_us)
{
	assert(peer < s->peers_max && s->peers[peer].used);
	peer_want(s, &s->peers[peer], now_us);
}

bool seal_ready(const struct seal *s, seal_peer peer, usec_t now_us)
{
	const struct peer *p = &s->peers[peer];
	const struct slot *slot;

	assert(peer < s->peers_max);
	if (!p->used || p->current == NO_SLOT)
		return false;
	slot = &p->slots[p->current];
	return now_us < slot->expires_us && !session_spent(&slot->session);
}

void seal_peer_info(const struct seal *s, seal_peer peer, struct seal_peer_info *out)
{
	const struct peer *p = &s->peers[peer];
	const struct slot *slot = p->used && p->current != NO_SLOT ? &p->slots[p->current] : NULL;

	assert(peer < s->peers_max && p->used);
	*out = (struct seal_peer_info){
		.ready = slot != NULL,
		.last_handshake_us = p->last_handshake_us,
		.cipher = slot ? session_cipher_name(slot->session.cipher) : NULL,
		.peer_capabilities = slot ? slot->peer_capabilities : 0,
		.bytes_sealed = p->bytes_sealed,
		.bytes_opened = p->bytes_opened,
		.peer_epoch = slot ? slot->peer_epoch : 0,
		.peer_worker = p->number == NO_NUMBER ? 0 : p->number,
	};
	memcpy(out->public_key, p->public_key, KEY_SIZE);
}
