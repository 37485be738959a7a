/* SPDX-License-Identifier: MIT */
/* What we send: data on the current session, and handshakes when they are due. */
#include "tunneld/seal/seal_state.h"

/* Nothing heard since the last of these. See STRIKES. */
static void strike(struct seal *s, struct peer *p, usec_t now_us)
{
	p->strike_due_us = usec_add(now_us, STRIKE_EVERY);
	if (++p->strikes < STRIKES)
		return;
	p->strikes = 0;
	peer_want(s, p, now_us);
}

size_t seal_output(struct seal *s, seal_peer peer, uint8_t path_no, enum datagram_type type, const uint8_t *bytes, size_t len,
		   uint8_t *out, usec_t now_us)
{
	struct peer *p = &s->peers[peer];
	struct slot *slot;

	assert(peer < s->peers_max && path_no < SESSION_PATHS);
	assert(type == DATAGRAM_DATA || type == DATAGRAM_PATH);
	assert(len <= DATAGRAM_MAX - DATAGRAM_DATA_OVERHEAD);
	if (!seal_ready(s, peer, now_us)) {
		count(s->counters, CNT_SealNoSession);
		if (p->used)
			peer_want(s, p, now_us);
		return 0;
	}
	slot = &p->slots[p->current];
	if (p->initiator) {
		if (session_tired(&slot->session, now_us))
			peer_want(s, p, now_us);
		if (now_us >= p->strike_due_us)
			strike(s, p, now_us);
	}
	p->bytes_sealed += len;
	return session_seal(&slot->session, path_no, type, bytes, len, out);
}

static void expire(struct peer *p, usec_t now_us)
{
	p->expire_due_us = USEC_NEVER;
	for (int k = 0; k < SLOTS; k++) {
		struct slot *slot = &p->slots[k];

		if (slot->state == SLOT_FREE)
			continue;
		if (now_us >= slot->expires_us)
			slot_free(p, slot);
		else
			p->expire_due_us = usec_min(p->expire_due_us, slot->expires_us);
	}
}

/* 350 ms, 700, 1400, 2800, 4000, 4000 ...; three to five quarters of it, so that many clients of a gateway that came back spread. */
static usec_t retry_after(struct seal *s, uint32_t attempt)
{
	usec_t base = attempt < 4 ? RETRY_FIRST << attempt : RETRY_LAST;

	return base * 3 / 4 + chance_u64(&s->chance) % (base / 2);
}

/* The time in our next initiation: the clock's, but always later than the last, whatever the clock does. */
static void next_time(struct seal *s, uint8_t time[HELLO_TIME], usec_t now_us)
{
	s->last_time_us = usec_max(s->last_time_us + 1, usec_since(now_us, s->born_us));
	hello_time(time, s->wall_us + s->last_time_us);
}

static void initiate(struct seal *s, struct peer *p, uint8_t *out, usec_t now_us)
{
	struct slot *slot = seal_slot_take(s, p);
	struct hello hello = { .epoch = s->epoch, .capabilities = s->capabilities, .index = slot->index };
	uint8_t e[NOISE_KEY];
	enum err err;

	if (p->has_cookie && usec_since(now_us, p->cookie_born_us) >= COOKIE_MAX_AGE) {
		sodium_memzero(p->cookie, sizeof p->cookie);
		p->has_cookie = false;
	}
	next_time(s, hello.time, now_us);
	chance_draw(&s->chance, e, sizeof e);
	noise_init(&slot->noise, true, s->private_key, s->public_key, p->public_key, HANDSHAKE_PROLOGUE,
		   sizeof HANDSHAKE_PROLOGUE - 1);
	err = initiation_write(&slot->noise, slot->message, &hello, e);
	sodium_memzero(e, sizeof e);
	assert(err == ERR_OK); /* seal_peer_add() refused keys with which this can fail */
	(void)err;
	mac_add(slot->message, INITIATION_SIZE, &p->keys, p->has_cookie ? p->cookie : NULL);
	slot->state = SLOT_SENT;
	slot->sent_us = now_us;
	slot_expires(s, p, slot, usec_add(now_us, SENT_LIFE));
	memcpy(out, slot->message, INITIATION_SIZE);
	count(s->counters, CNT_HandshakeInitiationTx);
}

bool seal_handshake(struct seal *s, seal_peer *peer, uint32_t *attempt, uint8_t *out, size_t *len, usec_t now_us)
{
	usec_t next = USEC_NEVER;

	if (now_us < s->deadline_us)
		return false;
	for (seal_peer i = 0; i < s->peers_max; i++) {
		struct peer *p = &s->peers[i];

		if (!p->used)
			continue;
		if (now_us >= p->expire_due_us)
			expire(p, now_us);
		if (now_us >= p->handshake_due_us) {
			initiate(s, p, out, now_us);
			*peer = i;
			*attempt = p->attempt;
			*len = INITIATION_SIZE;
			p->handshake_due_us = usec_add(now_us, retry_after(s, p->attempt));
			p->attempt++;
			/* The deadline stays: peers after this one may be due as well. */
			return true;
		}
		next = usec_min(next, usec_min(p->handshake_due_us, p->expire_due_us));
	}
	s->deadline_us = next;
	return false;
}

usec_t seal_deadline(const struct seal *s)
{
	return s->deadline_us;
}
