/* SPDX-License-Identifier: MIT */
/*
 * The longest datagram that gets through, by probes of that length and nobody's word (RFC 8899).
 */
#include "tunneld/paths/paths_internal.h"

#include "common/bytes.h"
#include "tunneld/wire/datagram.h"

enum {
	SIZE_TRIES = 3, SIZE_TRIES_MOST = 20, SIZE_UP_TRIES = 4,
	SIZE_CHANCE = 500, /* one in so many trials may take mere loss for a limit */
	SIZE_GRAIN = 8, /* nobody looks for less than this */
};
/* Where in size_sent what was tried is noted: the tries first. */
enum { SLOT_LONGEST = SIZE_TRIES, SLOT_UP, SLOT_LADDER, SIZE_SLOTS = 16 };
#define SIZE_WAIT_US       (200 * USEC_PER_MS)
#define SIZE_HOLD_US       (10 * USEC_PER_S)  /* after a trial that showed nothing */
#define SIZE_AGAIN_US      (600 * USEC_PER_S) /* RFC 8899 5.1.1, PMTU_RAISE_TIMER */
#define TOKEN_SIZE         (UINT64_C(1) << 63) /* a size's token, so that no other probe's answer is taken for it */
#define TOKEN_SLOT         56                 /* and so that two of one moment differ */

uint16_t path_mtu_payload(uint32_t mtu, uint8_t family)
{
	unsigned headers = (family == 4 ? 20 : 40) + 8 + DATAGRAM_DATA_OVERHEAD;

	if (!mtu)
		mtu = MTU_ASSUMED;
	if (mtu > MTU_MOST)
		mtu = MTU_MOST;
	return (uint16_t)(mtu > headers + MTU_PAYLOAD_LEAST ? mtu - headers : MTU_PAYLOAD_LEAST);
}

static unsigned headers_of(const struct path_end *e)
{
	return (e->remote.family == 4 ? 20 : 40) + 8 + DATAGRAM_DATA_OVERHEAD;
}

/* The next smaller MTU that links and tunnels are known to have; 0: none. */
static uint16_t smaller_mtu(unsigned mtu)
{
	static const uint16_t usual[] = { 4352, 1500, 1492, 1460, 1420, 1380, 1340, 1280, 1200, 1000, 576 };

	for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
		if (usual[i] < mtu)
			return usual[i];
	return 0;
}

static void size_probe(struct paths *p, struct path_end *e, uint16_t size, unsigned slot, usec_t now_us)
{
	static _Thread_local uint8_t bytes[MTU_MOST];
	struct wr w = wr_of(bytes, sizeof bytes);

	e->size_sent[slot].token = now_us | TOKEN_SIZE | (uint64_t)slot << TOKEN_SLOT;
	e->size_sent[slot].size = size;
	e->size_sent[slot].sent++;
	wr_u8(&w, MSG_PROBE);
	wr_u64(&w, e->size_sent[slot].token);
	path_send_own(p, e, bytes, size); /* the rest stays zero */
}

static bool is_rung(const struct path_end *e, unsigned slot)
{
	return slot >= SLOT_LADDER && slot < SIZE_SLOTS && e->size_sent[slot].sent;
}

/*
 * All usual sizes below the one that is not answered, at once: the largest answered one is where to go. When that is known
 * it alone is asked again, beside the longest: on a path that loses much, more is to be compared than three tries.
 */
static void size_ladder(struct paths *p, struct path_end *e, usec_t now_us)
{
	bool settled = e->size_tries >= SIZE_TRIES && e->size_answered;
	unsigned mtu = e->mtu_payload + headers_of(e), slot = SLOT_LADDER;

	while ((mtu = smaller_mtu(mtu)) >= headers_of(e) + MTU_PAYLOAD_LEAST && slot < SIZE_SLOTS) {
		if (!settled || mtu == e->size_answered + headers_of(e))
			size_probe(p, e, (uint16_t)(mtu - headers_of(e)), slot, now_us);
		slot++;
	}
}

/*
 * Is it their length that the long ones have in common, or were they lost as any others? If length were no matter, those who are
 * answered were drawn from all that were sent alike (Fisher's exact test). Compared are those that are known to get through at times.
 * Three misses alone say little: where half is lost each way it is 0.42 that three in a row are.
 */
static bool size_is_to_blame(const struct path_end *e)
{
	unsigned sent = 0, answered = 0;
	double chance = 1;

	for (unsigned slot = SLOT_LADDER; slot < SIZE_SLOTS; slot++)
		if (is_rung(e, slot) && e->size_sent[slot].size <= e->size_answered) {
			sent += e->size_sent[slot].sent;
			answered += e->size_sent[slot].answered;
		}
	for (unsigned i = 1; i <= e->size_tries; i++)
		chance *= (double)(sent - answered + i) / (sent + i);
	return chance * SIZE_CHANCE < 1;
}

/* RFC 8899 5.3.2: between what is known to get through and what is known not to, by halves. Data go on meanwhile. */
static void size_search_up(struct path_end *e, usec_t now_us)
{
	e->size_up = 0;
	e->size_up_tries = 0;
	if (e->size_failed > e->mtu_payload + SIZE_GRAIN)
		e->size_up = (uint16_t)((e->size_failed + e->mtu_payload) / 2);
	e->size_next_us = e->size_up ? now_us : now_us + SIZE_AGAIN_US;
}

static void size_lower(struct paths *p, struct path_end *e, usec_t now_us)
{
	e->size_failed = e->mtu_payload;
	e->size_tries = 0;
	e->mtu_payload = e->size_answered;
	count(p->config.counters, CNT_PathMtuLowered);
	p->config.events->changed(p->config.owner, e, false);
	size_search_up(e, now_us);
}

/* The longest is tried from the start. Whatever was found before, what the interface has may fit by now. */
static void size_begin(struct paths *p, struct path_end *e, usec_t now_us)
{
	e->size_answered = 0;
	for (unsigned slot = SLOT_LADDER; slot < SIZE_SLOTS; slot++)
		e->size_sent[slot].sent = e->size_sent[slot].answered = 0;
	if (e->mtu_payload < e->mtu_payload_most)
		size_probe(p, e, e->mtu_payload_most, SLOT_LONGEST, now_us);
}

void path_size_time(struct paths *p, struct path_end *e, usec_t now_us)
{
	if (e->life != LIFE_UP || now_us < e->size_next_us)
		return;
	if (e->size_up && e->size_up_tries == SIZE_UP_TRIES) {
		e->size_failed = e->size_up;
		size_search_up(e, now_us);
		if (!e->size_up)
			return;
	}
	if (e->size_up) {
		size_probe(p, e, e->size_up, SLOT_UP, now_us);
		e->size_up_tries++;
		e->size_next_us = now_us + usec_max(SIZE_WAIT_US, 3 * e->srtt_us);
		return;
	}
	if (e->size_tries >= SIZE_TRIES && size_is_to_blame(e)) {
		size_lower(p, e, now_us);
		path_size_time(p, e, now_us);
		return;
	}
	if (e->size_tries == SIZE_TRIES_MOST) {
		e->size_tries = 0;
		e->size_next_us = now_us + SIZE_AGAIN_US;
		e->size_hold_us = now_us + SIZE_HOLD_US;
		return;
	}
	if (e->size_tries)
		size_ladder(p, e, now_us);
	else
		size_begin(p, e, now_us);
	size_probe(p, e, e->mtu_payload, e->size_tries++ % SIZE_TRIES, now_us);
	e->size_next_us = now_us + usec_max(SIZE_WAIT_US, 3 * e->srtt_us);
}

void paths_size_doubt(struct paths *p, struct path_end *e, usec_t now_us)
{
	/* One trial at a time, however many say so. */
	if (e->size_tries || e->life != LIFE_UP || now_us < e->size_hold_us)
		return;
	e->size_up = 0;
	e->size_next_us = usec_min(e->size_next_us, now_us);
	path_due(p, e);
}

/* A probe of that token was answered: the size it had gets through. */
void path_size_answered(struct paths *p, struct path_end *e, uint64_t token, usec_t now_us)
{
	unsigned slot = (unsigned)(token >> TOKEN_SLOT & 31);
	uint16_t size;

	if (slot >= SIZE_SLOTS || !e->size_sent[slot].size || e->size_sent[slot].token != token)
		return;
	size = e->size_sent[slot].size;
	if (is_rung(e, slot)) {
		e->size_sent[slot].answered++;
		e->size_sent[slot].token = 0; /* once */
	}
	if (size < e->mtu_payload) {
		if (size > e->size_answered && e->size_tries)
			e->size_answered = size;
		return;
	}
	if (size > e->mtu_payload_most)
		return;
	if (size >= e->size_failed)
		e->size_failed = 0; /* given up too early, or the way is wider by now */
	if (size > e->mtu_payload) {
		e->mtu_payload = size;
		p->config.events->changed(p->config.owner, e, false);
	}
	e->size_tries = 0;
	size_search_up(e, now_us);
}

/* Its size is not known (any more): tried as soon as it lives. */
void path_size_unknown(struct path_end *e, usec_t now_us)
{
	e->size_tries = 0;
	e->size_up = e->size_failed = e->size_answered = 0;
	e->size_hold_us = 0;
	e->size_next_us = now_us;
}

void paths_too_big(struct paths *p, struct path_end *e, size_t len)
{
	size_t fits = len > DATAGRAM_DATA_OVERHEAD ? (len - DATAGRAM_DATA_OVERHEAD) * 15 / 16 : 0;

	if (fits < MTU_PAYLOAD_LEAST)
		fits = MTU_PAYLOAD_LEAST;
	if (fits >= e->mtu_payload)
		return;
	e->mtu_payload = (uint16_t)fits;
	e->size_tries = 0;
	p->config.events->changed(p->config.owner, e, false);
}
