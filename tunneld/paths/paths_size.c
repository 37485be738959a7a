/* SPDX-License-Identifier: MIT */
/*
 * The longest datagram that gets through, by probes of that length and nobody's word (RFC 8899).
 */
#include "tunneld/paths/paths_internal.h"

#include "common/bytes.h"
#include "tunneld/wire/datagram.h"

enum {
	SIZE_TRIES = 3, SIZE_UP_TRIES = 2,
	SIZE_GRAIN = 8, /* nobody looks for less than this */
};
/* Where in size_sent what was tried is noted: the tries first. */
enum { SLOT_LONGEST = SIZE_TRIES, SLOT_UP, SLOT_LADDER };
#define SIZE_WAIT_US       (200 * USEC_PER_MS)
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
	wr_u8(&w, MSG_PROBE);
	wr_u64(&w, e->size_sent[slot].token);
	path_send_own(p, e, bytes, size); /* the rest stays zero */
}

/* All usual sizes below the one that is not answered, at once: the largest answered one is where to go. */
static void size_ladder(struct paths *p, struct path_end *e, usec_t now_us)
{
	unsigned mtu = e->mtu_payload + headers_of(e), slot = SLOT_LADDER;

	while ((mtu = smaller_mtu(mtu)) >= headers_of(e) + MTU_PAYLOAD_LEAST && slot < sizeof e->size_sent / sizeof *e->size_sent)
		size_probe(p, e, (uint16_t)(mtu - headers_of(e)), slot++, now_us);
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
	unsigned smaller = smaller_mtu(e->mtu_payload + headers_of(e));

	e->size_failed = e->mtu_payload;
	e->size_tries = 0;
	if (e->size_answered) {
		e->mtu_payload = e->size_answered;
	} else if (smaller < headers_of(e) + MTU_PAYLOAD_LEAST) {
		e->size_tries = SIZE_TRIES;
		e->size_next_us = now_us + SIZE_AGAIN_US;
		return;
	} else {
		e->mtu_payload = (uint16_t)(smaller - headers_of(e));
	}
	count(p->config.counters, CNT_PathMtuLowered);
	p->config.events->changed(p->config.owner, e, false);
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
	if (e->size_tries == SIZE_TRIES) {
		bool known = e->size_answered;

		size_lower(p, e, now_us);
		if (e->size_tries)
			return;
		if (known) {
			size_search_up(e, now_us);
			path_size_time(p, e, now_us);
			return;
		}
	}
	/* Whatever was found before, the longest may fit by now. */
	if (!e->size_tries) {
		e->size_answered = 0;
		if (e->mtu_payload < e->mtu_payload_most)
			size_probe(p, e, e->mtu_payload_most, SLOT_LONGEST, now_us);
	} else {
		size_ladder(p, e, now_us);
	}
	size_probe(p, e, e->mtu_payload, e->size_tries++, now_us);
	e->size_next_us = now_us + usec_max(SIZE_WAIT_US, 3 * e->srtt_us);
}

void paths_size_doubt(struct paths *p, struct path_end *e, usec_t now_us)
{
	/* One trial at a time, however many say so. */
	if (e->size_tries || e->life != LIFE_UP)
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

	if (slot >= sizeof e->size_sent / sizeof *e->size_sent || !e->size_sent[slot].size || e->size_sent[slot].token != token)
		return;
	size = e->size_sent[slot].size;
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
