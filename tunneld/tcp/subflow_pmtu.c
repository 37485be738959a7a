/* SPDX-License-Identifier: MIT */
/*
 * Packetization layer path MTU discovery (RFC 8899, in the manner of RFC 4821 for TCP), where nobody else does it: plain form.
 * Nothing is ever fragmented, and a black hole says nothing: full segments that go unanswered twice in a row are sent again
 * small, and from there one larger segment at a time finds out how much the path takes. Sealed paths are probed by paths_size.c.
 */
#include "tunneld/tcp/subflow_internal.h"

enum {
	BASE_MSS = 1188,       /* BASE_PLPMTU of RFC 8899 5.1.2, 1200, less our fixed header */
	PROBE_TRIES = 2,
	PROBE_STEP_LEAST = 16, /* the search is over when what is left to find is less */
	PROBE_CWND_SEGS = 4,   /* RFC 4821 7.4: a lost probe must be found by the segments after it */
};
#define RAISE_US (UINT64_C(600) * USEC_PER_S) /* PMTU_RAISE_TIMER, RFC 8899 5.1.1 */

static uint16_t timestamps(const struct subflow *sf) { return sf->ts_ok ? TS_BYTES : 0; }
static uint16_t size_now(const struct subflow *sf) { return (uint16_t)(sf->snd_mss + timestamps(sf)); }

void subflow_too_big(struct subflow *sf, uint16_t mss, usec_t now_us)
{
	struct scoreboard *b = &sf->board;

	if (mss < MSS_LEAST)
		mss = MSS_LEAST;
	if (sf->state == SF_CLOSED || mss >= size_now(sf))
		return;
	count(sf->config.counters, CNT_MssLowered);
	/* Until the search says otherwise: whoever told us may have lied. */
	sf->pmtu.known_bad = size_now(sf);
	sf->pmtu.probe = 0;
	sf->pmtu.tries = 0;
	sf->pmtu.search_us = now_us;
	subflow_set_mss(sf, mss);
	for (uint32_t p = b->head; p != b->tail; p++)
		if (board_at(b, p)->len > sf->snd_mss && !(board_at(b, p)->flags & SENT_SACKED))
			board_mark_lost(b, p);
	if (board_count(b))
		subflow_arm_rto(sf, now_us);
}

void subflow_path_mss(struct subflow *sf, uint16_t mss, bool other_path)
{
	if (mss == sf->pmtu.path && !other_path)
		return;
	sf->pmtu.path = mss;
	sf->pmtu.most = sf->peer_mss && sf->peer_mss < mss ? sf->peer_mss : mss;
	sf->pmtu.known_bad = sf->pmtu.probe = 0;
	sf->pmtu.tries = 0;
	subflow_set_mss(sf, mss);
}

static void probe_failed(struct subflow *sf)
{
	if (++sf->pmtu.tries >= PROBE_TRIES) {
		sf->pmtu.known_bad = sf->pmtu.probe;
		sf->pmtu.tries = 0;
	}
	sf->pmtu.probe = 0;
}

void subflow_pmtu_timeout(struct subflow *sf, usec_t now_us)
{
	const struct sent *head = board_at(&sf->board, sf->board.head);
	uint16_t next = size_now(sf) > BASE_MSS ? BASE_MSS : MSS_LEAST;
	uint32_t sent = head->len < sf->snd_mss ? head->len : sf->snd_mss; /* in pieces, if it was cut before they became smaller */

	if (sf->pmtu.probe)
		probe_failed(sf); /* from here on it goes in pieces, and their ACK would say nothing */
	/* RFC 8899 4.3: once is a loss, twice in a row is a black hole. What is small already cannot be its prey. */
	if (!sf->config.probe_mtu || !sf->rtt.timeouts || size_now(sf) <= MSS_LEAST || sent + timestamps(sf) <= next)
		return;
	count(sf->config.counters, CNT_PmtuBlackHole);
	subflow_too_big(sf, next, now_us);
	rtt_restart(&sf->rtt);
}

uint32_t subflow_pmtu_probe(struct subflow *sf, uint32_t options_room, uint32_t len, usec_t now_us)
{
	uint16_t low = size_now(sf), high = sf->pmtu.known_bad;
	uint32_t payload;

	if (!sf->config.probe_mtu || !high || sf->pmtu.probe || now_us < sf->pmtu.search_us || sf->in_recovery || sf->in_rto_recovery ||
	    sf->cc.cwnd < PROBE_CWND_SEGS * (uint32_t)sf->cc.mss)
		return 0;
	if (high - low < PROBE_STEP_LEAST) {
		sf->pmtu.search_us = usec_add(now_us, RAISE_US);
		sf->pmtu.known_bad = sf->pmtu.most;
		return 0;
	}
	payload = (uint32_t)(low + high) / 2 - timestamps(sf) - options_room;
	if (len < payload)
		return 0;
	sf->pmtu.probe = (uint16_t)((low + high) / 2);
	sf->pmtu.probe_seq = sf->snd_nxt;
	sf->pmtu.probe_end = ssn_add(sf->snd_nxt, payload);
	count(sf->config.counters, CNT_PmtuProbe);
	return payload;
}

/* What the last ACK says of the probe. Returns how many bytes of it were lost just now: that is no congestion, RFC 4821 7.5. */
uint32_t subflow_pmtu_acked(struct subflow *sf, usec_t now_us)
{
	struct scoreboard *b = &sf->board;
	const struct sent *s;
	uint32_t p;

	(void)now_us;
	if (!sf->pmtu.probe)
		return 0;
	p = ssn_lt(sf->snd_una, sf->pmtu.probe_end) && board_count(b) ? board_find(b, ssn_max(sf->pmtu.probe_seq, sf->snd_una)) : b->tail;
	s = p == b->tail ? NULL : board_at(b, p);
	if (!s || s->flags & SENT_SACKED) {
		if (sf->config.mss < sf->pmtu.probe)
			sf->config.mss = sf->pmtu.probe;
		sf->cc.mss = sf->snd_mss = (uint16_t)(sf->pmtu.probe - timestamps(sf));
		sf->pmtu.probe = 0;
		sf->pmtu.tries = 0;
		count(sf->config.counters, CNT_MssRaised);
		return 0;
	}
	if (!(s->flags & SENT_LOST))
		return 0;
	probe_failed(sf);
	return s->len;
}
