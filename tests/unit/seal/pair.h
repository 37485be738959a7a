/* SPDX-License-Identifier: MIT */
/*
 * A client and a gateway, each a struct seal, and the conversation between them in virtual time. The test is
 * the network: it holds each datagram and says when, whether and from where it arrives.
 */
#ifndef PLAIT_TEST_PAIR_H
#define PLAIT_TEST_PAIR_H

#include <stdlib.h>

#include "common/bytes.h"
#include "tests/unit/unit.h"
#include "tunneld/seal/seal_state.h"

#define SEC USEC_PER_S
#define WALL_START (UINT64_C(1700000000) * USEC_PER_S)

struct packet { uint8_t bytes[2048]; size_t len; };

struct end {
	struct seal *s;
	struct counters counters;
	uint8_t private_key[KEY_SIZE], public_key[KEY_SIZE];
	seal_peer peer;               /* the other end, as this one numbers it */
	struct addr at[SESSION_PATHS];
};

struct pair {
	struct end client, gateway;
	usec_t now;
	struct seal_in in;            /* what came of the last deliver() */
};

static inline struct addr address(uint8_t host, uint16_t port)
{
	return (struct addr){ .family = 4, .ip = { 192, 0, 2, host }, .port = port };
}

static inline void end_start(struct end *e, uint8_t name, bool responder, uint32_t capabilities, uint8_t seed_byte, usec_t now)
{
	struct seal_config config = {
		.private_key = e->private_key, .capabilities = capabilities, .peers_max = 2, .responder = responder,
		.handshakes_per_s = 20, .wall_us = WALL_START + now, .counters = &e->counters,
	};
	uint8_t seed[32] = { name, seed_byte };

	memset(e->private_key, name, KEY_SIZE);
	key_public(e->private_key, e->public_key);
	e->s = seal_new(&config, seed, now);
	for (unsigned i = 0; i < SESSION_PATHS; i++)
		e->at[i] = address((uint8_t)(name + i), 4500);
}

static inline void pair_start_with(struct pair *p, uint32_t client_capabilities, uint32_t gateway_capabilities)
{
	memset(p, 0, sizeof *p);
	p->now = 1000 * SEC;
	end_start(&p->client, 20, false, client_capabilities, 1, p->now);
	end_start(&p->gateway, 90, true, gateway_capabilities, 1, p->now);
	CU_ASSERT_EQUAL_FATAL(seal_peer_add(p->client.s, p->gateway.public_key, &p->client.peer), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(seal_peer_add(p->gateway.s, p->client.public_key, &p->gateway.peer), ERR_OK);
}
static inline void pair_start(struct pair *p) { pair_start_with(p, CAP_AES_256_GCM, CAP_AES_256_GCM); }

static inline void pair_stop(struct pair *p)
{
	seal_free(p->client.s);
	seal_free(p->gateway.s);
}

/* A copy arrives at `to` from `from`; p->in tells what came of it. The opened bytes stand in a place of ours until the next. */
static inline enum seal_result deliver_from(struct pair *p, struct end *to, const struct packet *d, const struct addr *from)
{
	static struct packet copy;

	copy = *d;
	seal_input(to->s, copy.bytes, copy.len, from, p->now, &p->in);
	return p->in.result;
}
static inline struct end *other(struct pair *p, struct end *e) { return e == &p->client ? &p->gateway : &p->client; }
static inline enum seal_result deliver(struct pair *p, struct end *to, const struct packet *d)
{
	return deliver_from(p, to, d, &other(p, to)->at[0]);
}

static inline struct packet reply(const struct pair *p)
{
	struct packet d = { .len = p->in.reply_len };

	memcpy(d.bytes, p->in.reply, d.len);
	return d;
}

/* The handshake datagram that is due at e; len 0: none. */
static inline struct packet due(struct pair *p, struct end *e, uint32_t *attempt)
{
	struct packet d = { .len = 0 };
	seal_peer peer;
	uint32_t n;

	if (!seal_handshake(e->s, &peer, attempt ? attempt : &n, d.bytes, &d.len, p->now))
		d.len = 0;
	return d;
}

/* Time passes until e has a handshake to send, and nothing more at that moment. */
static inline struct packet wait_due(struct pair *p, struct end *e)
{
	struct packet d;

	while ((d = due(p, e, NULL)).len == 0) {
		CU_ASSERT_NOT_EQUAL_FATAL(seal_deadline(e->s), USEC_NEVER);
		p->now = usec_max(p->now, seal_deadline(e->s));
	}
	CU_ASSERT_EQUAL(due(p, e, NULL).len, 0);
	return d;
}

static inline struct packet say_as(struct pair *p, struct end *e, uint8_t path_no, enum datagram_type type, const char *text)
{
	struct packet d;

	d.len = seal_output(e->s, e->peer, path_no, type, (const uint8_t *)text, strlen(text), d.bytes, p->now);
	return d;
}
static inline struct packet say(struct pair *p, struct end *e, uint8_t path_no, const char *text)
{
	return say_as(p, e, path_no, DATAGRAM_DATA, text);
}

static inline bool heard(const struct pair *p, const char *text)
{
	return p->in.result == SEAL_DATA && p->in.len == strlen(text) && memcmp(p->in.bytes, text, p->in.len) == 0;
}

/* A whole handshake without loss; the first data of the client confirms it. */
static inline void shake_hands(struct pair *p)
{
	struct packet d;

	seal_connect(p->client.s, p->client.peer, p->now);
	seal_rekey(p->client.s, p->client.peer, p->now);
	d = wait_due(p, &p->client); /* at once, or a retry that is under way already */
	CU_ASSERT_EQUAL_FATAL(deliver(p, &p->gateway, &d), SEAL_REPLY);
	d = reply(p);
	CU_ASSERT_EQUAL_FATAL(deliver(p, &p->client, &d), SEAL_READY);
	d = reply(p);
	CU_ASSERT_EQUAL_FATAL(deliver(p, &p->gateway, &d), SEAL_READY);
}

static inline uint64_t counted(const struct end *e, enum counter which) { return e->counters.v[which]; }
static inline uint64_t counted_all(const struct end *e)
{
	uint64_t sum = 0;

	for (int i = 0; i < CNT_MAX; i++)
		sum += e->counters.v[i];
	return sum;
}

/* Representations, padding included: for what was copied whole, or must be wiped. */
static inline bool same_bytes(const void *a, const void *b, size_t len) { return memcmp(a, b, len) == 0; }

/* Everything a datagram could change but the load measure and the chance, which a demanded cookie may use. */
struct memory { struct seal s; uint8_t *peers; };
static inline struct memory remember(const struct end *e)
{
	size_t size = e->s->peers_max * sizeof *e->s->peers;
	struct memory m = { .s = *e->s, .peers = malloc(size) };

	memcpy(m.peers, e->s->peers, size);
	return m;
}
static inline bool unchanged(const struct end *e, const struct memory *m)
{
	struct seal now = *e->s;

	now.jar = m->s.jar;
	now.chance = m->s.chance;
	return same_bytes(&now, &m->s, sizeof now) &&
		same_bytes(e->s->peers, m->peers, e->s->peers_max * sizeof *e->s->peers);
}
static inline void forget(struct memory *m) { free(m->peers); }

#endif
