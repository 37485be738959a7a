/* SPDX-License-Identifier: MIT */
/*
 * The input is a story of two seals and the network between them: who speaks, what is delivered, cut, changed, made
 * up or forgotten, and how time passes. What must hold: nothing is read or written out of bounds (sanitizers); what
 * is opened was sealed by the other end, as it was and on its path, and is opened once; every datagram that is
 * dropped is counted, once; nobody but a demanded cookie answers a stranger.
 */
#include "tests/fuzz/fuzz_main.h"

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "tunneld/seal/seal_state.h"

/* Not assert(): must hold in a build with NDEBUG too. */
#define HOLDS(what) do { if (!(what)) abort(); } while (0)

enum { CLIENT, GATEWAY, WIRE = 32, SAID = 512, TEXT = 12, ROOM = 1024 };
enum op {
	OP_TIMERS, OP_SAY, OP_DELIVER, OP_FLIP, OP_CUT, OP_RAW, OP_RAW_MAC, OP_WAIT_MS, OP_WAIT_S, OP_REKEY, OP_FORGET, OP_LEARN,
	OP_CONVERSE, OPS,
};

struct end { struct seal *s; struct counters counters; uint8_t public_key[KEY_SIZE]; seal_peer peer; bool knows; };
struct story {
	struct end end[2];
	struct { uint8_t bytes[ROOM]; size_t len; int to; bool made_up; } wire[WIRE];
	unsigned wires;
	struct { uint8_t path_no; bool taken; } said[2][SAID];
	uint32_t says[2];
	usec_t now;
};

static void start(struct story *y, int which)
{
	struct end *e = &y->end[which];
	uint8_t key[KEY_SIZE], seed[32] = { (uint8_t)(1 + which) };
	struct seal_config config = {
		.private_key = key, .capabilities = CAP_AES_256_GCM, .peers_max = 1, .responder = which == GATEWAY,
		.handshakes_per_s = 5, .wall_us = 1, .counters = &e->counters,
	};

	memset(key, 50 + which, sizeof key);
	key_public(key, e->public_key);
	HOLDS(e->s = seal_new(&config, seed, y->now));
}

static void learn(struct story *y, int which)
{
	struct end *e = &y->end[which];

	if (e->knows)
		return;
	HOLDS(seal_peer_add(e->s, y->end[!which].public_key, &e->peer) == ERR_OK);
	e->knows = true;
	if (which == CLIENT)
		seal_connect(e->s, e->peer, y->now);
}

static void post(struct story *y, int to, const uint8_t *bytes, size_t len, bool made_up)
{
	unsigned k = y->wires++ % WIRE;

	if (!len || len > ROOM)
		return;
	memcpy(y->wire[k].bytes, bytes, len);
	y->wire[k].len = len;
	y->wire[k].to = to;
	y->wire[k].made_up = made_up;
}

static uint64_t counted(const struct end *e)
{
	uint64_t sum = 0;

	for (int i = 0; i < CNT_MAX; i++)
		sum += e->counters.v[i];
	return sum;
}

static void deliver(struct story *y, int to, const uint8_t *bytes, size_t len, uint8_t host, bool made_up)
{
	struct addr from = { .family = host & 1 ? 4 : 6, .ip = { 10, host }, .port = 4500 };
	struct end *e = &y->end[to];
	uint64_t before = counted(e), replays = e->counters.v[CNT_SealConfirmRx];
	uint8_t *exact = malloc(len ? len : 1); /* so that ASan sees one byte too far */
	struct seal_in in;
	uint32_t n;

	HOLDS(exact);
	if (len)
		memcpy(exact, bytes, len);
	seal_input(e->s, exact, len, &from, y->now, &in);
	switch (in.result) {
	case SEAL_DROPPED:
		/* A confirmation that is good may also be the one that makes its session current. */
		HOLDS(counted(e) == before + 1 || e->counters.v[CNT_SealConfirmRx] == replays + 1);
		HOLDS(in.reply_len == 0);
		break;
	case SEAL_DATA:
	case SEAL_PATH:
		HOLDS(!made_up && e->knows && in.peer == e->peer);
		HOLDS((in.result == SEAL_DATA) == (bytes[0] == DATAGRAM_DATA));
		HOLDS(in.len == TEXT && in.bytes >= exact && in.bytes + in.len <= exact + len);
		HOLDS(in.peer_epoch == y->end[!to].s->epoch);
		HOLDS(be_get32(in.bytes) == (uint32_t)!to);
		n = be_get32(in.bytes + 4);
		HOLDS(n < y->says[!to] && be_get32(in.bytes + 8) == in.path_no);
		HOLDS(!y->said[!to][n].taken && y->said[!to][n].path_no == in.path_no);
		y->said[!to][n].taken = true;
		break;
	case SEAL_READY:
		HOLDS(!made_up && e->knows && in.new_session);
		break;
	case SEAL_REPLY:
		/* To what was made up nobody answers but for a cookie, and that is no longer than the question. */
		HOLDS(!made_up || (in.reply_len == COOKIE_MESSAGE && in.reply_len <= len));
		break;
	}
	HOLDS(in.reply_len <= sizeof in.reply);
	post(y, !to, in.reply, in.reply_len, false);
	free(exact);
}

static void timers(struct story *y, int which)
{
	struct end *e = &y->end[which];
	uint8_t out[512];
	uint32_t attempt;
	seal_peer peer;
	size_t len;

	while (seal_handshake(e->s, &peer, &attempt, out, &len, y->now)) {
		HOLDS(which == CLIENT && e->knows && len <= sizeof out);
		post(y, !which, out, len, false);
	}
	HOLDS(seal_deadline(e->s) > y->now);
}

static void say(struct story *y, int which, uint8_t path_no, enum datagram_type type)
{
	struct end *e = &y->end[which];
	uint8_t out[TEXT + DATAGRAM_DATA_OVERHEAD], text[TEXT];
	size_t len;

	if (!e->knows || y->says[which] == SAID)
		return;
	be_put32(text, (uint32_t)which);
	be_put32(text + 4, y->says[which]);
	be_put32(text + 8, path_no);
	len = seal_output(e->s, e->peer, path_no, type, text, TEXT, out, y->now);
	HOLDS((len != 0) == seal_ready(e->s, e->peer, y->now));
	if (!len)
		return;
	HOLDS(len == sizeof out);
	y->said[which][y->says[which]++].path_no = path_no;
	post(y, !which, out, len, false);
}

static void act(struct story *y, struct rd *r)
{
	uint8_t op = rd_u8(r), a = rd_u8(r), b = rd_u8(r), raw[ROOM];
	unsigned k = a % WIRE, n = y->wires < WIRE ? y->wires : WIRE;
	int which = b & 1;
	size_t len;
	const uint8_t *p;

	switch ((enum op)(op % OPS)) {
	case OP_TIMERS:
		timers(y, which);
		break;
	case OP_SAY:
		say(y, which, a % SESSION_PATHS, b & 2 ? DATAGRAM_PATH : DATAGRAM_DATA);
		break;
	case OP_DELIVER:
		if (k < n)
			deliver(y, y->wire[k].to, y->wire[k].bytes, y->wire[k].len, b, y->wire[k].made_up);
		break;
	case OP_FLIP:
		/* Type, index and counter first: that is where something can go wrong. mac2 is looked at under load only. */
		if (k < n && y->wire[k].len) {
			bool handshake = y->wire[k].bytes[0] <= DATAGRAM_RESPONSE;
			uint8_t mask = rd_u8(r);

			memcpy(raw, y->wire[k].bytes, len = y->wire[k].len);
			raw[b % len] ^= mask;
			deliver(y, y->wire[k].to, raw, len, 1, y->wire[k].made_up || (mask && !handshake));
		}
		break;
	case OP_CUT:
		if (k < n && b < y->wire[k].len)
			deliver(y, y->wire[k].to, y->wire[k].bytes, b, 1, true);
		break;
	case OP_RAW:
	case OP_RAW_MAC:
		len = rd_left(r) < a ? rd_left(r) : a;
		if (!(p = rd_bytes(r, len)) || !len)
			break;
		memcpy(raw, p, len);
		if (op % OPS == OP_RAW_MAC && len > HANDSHAKE_MACS)
			mac_add(raw, len, &y->end[which].s->jar.keys, NULL);
		deliver(y, which, raw, len, b, true);
		post(y, which, raw, len, true);
		break;
	case OP_WAIT_MS:
		y->now += a * USEC_PER_MS;
		break;
	case OP_WAIT_S:
		y->now += a * USEC_PER_S;
		break;
	case OP_REKEY:
		if (y->end[CLIENT].knows)
			seal_rekey(y->end[CLIENT].s, y->end[CLIENT].peer, y->now);
		break;
	case OP_FORGET:
		if (y->end[which].knows && a < 40)
			seal_peer_remove(y->end[which].s, y->end[which].peer), y->end[which].knows = false;
		break;
	case OP_LEARN:
		learn(y, which);
		break;
	case OP_CONVERSE:
		/* A whole handshake, so that stories soon get anywhere. */
		timers(y, CLIENT);
		for (int i = 0; i < 3 && y->wires; i++) {
			k = (y->wires - 1) % WIRE;
			deliver(y, y->wire[k].to, y->wire[k].bytes, y->wire[k].len, 1, y->wire[k].made_up);
		}
		break;
	case OPS:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct story y;
	struct rd r = rd_of(bytes, len);

	memset(&y, 0, sizeof y);
	y.now = USEC_PER_S;
	for (int which = 0; which < 2; which++)
		start(&y, which);
	for (int which = 0; which < 2; which++)
		learn(&y, which);
	while (rd_left(&r))
		act(&y, &r);
	for (int which = 0; which < 2; which++)
		seal_free(y.end[which].s);
	return 0;
}

#ifndef PLAIT_LIBFUZZER
static size_t fuzz_generate(uint64_t seed, uint8_t *bytes)
{
	uint64_t state = seed;
	size_t len = 30 + fuzz_random(&state) % 600;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)fuzz_random(&state);
	if (fuzz_random(&state) & 7) {
		bytes[0] = OP_CONVERSE;
		/* Mostly steps of three bytes, so that what is posted is also delivered: the newest few of the wire. */
		for (size_t i = 3; i + 2 < len; i += 3) {
			static const uint8_t often[] = { OP_SAY, OP_SAY, OP_DELIVER, OP_DELIVER, OP_DELIVER, OP_CONVERSE, OP_REKEY };

			if (fuzz_random(&state) % 4)
				bytes[i] = often[fuzz_random(&state) % sizeof often];
			if (bytes[i] % OPS == OP_DELIVER)
				bytes[i + 1] = (uint8_t)(i / 9 + fuzz_random(&state) % 8);
		}
	}
	return len;
}
#endif
