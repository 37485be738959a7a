/* SPDX-License-Identifier: MIT */
/*
 * One life of a subflow among any segments, in any state, mixed with anything its owner may do. The invariants hold, and
 * what is sent stays true. Chance comes from a seed (the unit test) or from given bytes (the fuzzer).
 */
#ifndef PLAIT_TEST_HOSTILE_H
#define PLAIT_TEST_HOSTILE_H

#include <string.h>

#include "tunneld/tcp/subflow.h"

enum { HOSTILE_MSS = 1000, HOSTILE_WND = 100000, HOSTILE_STEPS = 300 };

static uint8_t hostile_bytes[4096];

struct hostile {
	struct subflow sf;
	struct counters counters;
	struct subflow_facts f;
	struct segment out;
	struct subflow_data data;
	usec_t now;
	uint64_t sent;        /* payload given to subflow_send; tags are offsets */
	uint64_t chance;      /* the seed, where there are no bytes */
	struct rd bytes;
	bool from_bytes;
	uint32_t syn_payload;
	uint32_t predicted;   /* segments */
	bool ok;
	int line;             /* where it was not */
};

#define MUST(h, what)                     \
	do {                              \
		if ((h)->ok && !(what)) { \
			(h)->ok = false;  \
			(h)->line = __LINE__; \
		}                         \
	} while (0)

static uint32_t chance(struct hostile *h, uint32_t below)
{
	if (!below)
		return 0;
	if (h->from_bytes) {
		uint32_t v = below <= 256 ? rd_u8(&h->bytes) : below <= 65536 ? rd_u16(&h->bytes) : rd_u32(&h->bytes);

		return v % below;
	}
	h->chance = h->chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(h->chance >> 33) % below;
}

static uint32_t near(struct hostile *h, uint32_t a, uint32_t b, uint32_t spread)
{
	switch (chance(h, 8)) {
	case 0: return a;
	case 1: return b;
	case 2: return b + 1;
	case 3: return a - 1;
	case 4: return a + chance(h, spread);
	case 5: return a - chance(h, spread);
	case 6: return a + (b - a) / 2;
	default: return chance(h, 20) ? a + chance(h, b - a + 1) : chance(h, UINT32_MAX);
	}
}

static void true_data(struct hostile *h)
{
	const struct subflow *sf = &h->sf;
	const struct subflow_data *d = &h->data;
	uint32_t offset = d->seq.v - sf->iss.v - 1;

	if (!d->len)
		return;
	if (h->out.flags & TCP_SYN) {
		MUST(h, d->len == h->syn_payload && d->tag == SUBFLOW_SYN_TAG);
		return;
	}
	if (d->tag == SUBFLOW_SYN_TAG) {
		MUST(h, offset + d->len <= h->syn_payload);
		return;
	}
	MUST(h, d->tag == offset - h->syn_payload && d->tag + d->len <= h->sent);
	MUST(h, d->seq.v == h->out.seq.v);
}

static enum subflow_want owed(struct hostile *h)
{
	enum subflow_want want;

	memset(&h->out, 0, sizeof h->out);
	want = subflow_output(&h->sf, HOSTILE_WND, 20, h->now, &h->out, &h->data);
	subflow_check(&h->sf);
	return want;
}

static void drain(struct hostile *h)
{
	unsigned n = 0;

	while (owed(h) != SF_WANT_NOTHING && n++ < 20000) {
		true_data(h);
		MUST(h, h->data.len + segment_options_size(&h->out) + 20 <= HOSTILE_MSS || h->out.flags & TCP_SYN);
	}
	MUST(h, n < 20000);
}

/* What header prediction takes for the next of a run is just that: the long way finds the same, and leaves the same behind. */
static void in(struct hostile *h, const struct segment *s, uint32_t room)
{
	struct subflow shadow = h->sf; /* its ring and ranges are the same: prediction touches neither */
	bool predicted = subflow_predicted(&shadow, s, room, h->now);

	subflow_input(&h->sf, s, room, h->now, &h->f);
	if (!predicted)
		return;
	h->predicted++;
	MUST(h, !memcmp(&h->sf, &shadow, sizeof shadow));
	MUST(h, h->f.payload && ssn_eq(h->f.payload_seq, s->seq) && h->f.payload_at == s->payload && h->f.payload_len == s->payload_len);
	MUST(h, !h->f.acked && !h->f.dup_ack && !h->f.rejected && !h->f.established && !h->f.fin && !h->f.closed && !h->f.reset &&
	     !h->f.loss_detected && !h->f.fin_acked);
}

static void segment_in(struct hostile *h)
{
	struct subflow *sf = &h->sf;
	struct segment s = {
		.seq = ssn_of(near(h, sf->rcv_nxt.v, sf->rcv_adv.v, 5000)), .ack = ssn_of(near(h, sf->snd_una.v, sf->snd_nxt.v, 5000)),
		.flags = TCP_ACK, .window = (uint16_t)(chance(h, 4) ? chance(h, 65536) : chance(h, 2)),
		.payload = hostile_bytes, .payload_len = (uint16_t)(chance(h, 3) ? 0 : chance(h, 3000)),
	};
	bool fin;

	switch (chance(h, 25)) {
	case 0: s.flags = (uint8_t)chance(h, 256); break;
	case 1: s.flags |= TCP_FIN; break;
	case 2: s.flags = TCP_SYN | (chance(h, 2) ? TCP_ACK : 0); break;
	case 3: s.flags |= chance(h, 3) ? 0 : TCP_RST; break;
	default: break;
	}
	if ((s.flags & TCP_SYN) && (s.flags & (TCP_FIN | TCP_RST))) /* the parser refuses these */
		s.flags &= (uint8_t)~(TCP_FIN | TCP_RST);
	if (chance(h, 2)) {
		s.tcp.has = OPT_SACK;
		s.tcp.sack_count = (uint8_t)(1 + chance(h, SACK_BLOCKS_MAX));
		for (uint8_t i = 0; i < s.tcp.sack_count; i++) {
			s.tcp.sack[i].start = ssn_of(near(h, sf->snd_una.v, sf->snd_nxt.v, 3000));
			s.tcp.sack[i].end = ssn_of(chance(h, 4) ? s.tcp.sack[i].start.v + chance(h, 4000) : near(h, sf->snd_una.v, sf->snd_nxt.v, 9));
		}
	}
	if (chance(h, 4) == 0)
		s.tcp.has |= OPT_TIMESTAMP | (chance(h, 2) ? OPT_MSS | OPT_WSCALE | OPT_SACK_OK : 0);
	s.tcp.ts_val = chance(h, 2000);
	s.tcp.wscale = (uint8_t)chance(h, 20);
	s.tcp.mss = (uint16_t)chance(h, 2000);
	if (chance(h, 3) == 0) { /* often the next bytes and nothing else, or nearly so */
		s.seq = sf->rcv_nxt;
		s.ack = sf->snd_una;
		s.flags = (uint8_t)(TCP_ACK | (chance(h, 2) ? TCP_PSH : 0));
		s.tcp.has &= OPT_TIMESTAMP;
		s.payload_len = (uint16_t)chance(h, 2000);
		if (chance(h, 4))
			s.window = (uint16_t)(sf->snd_wnd >> sf->snd_wscale);
	}
	in(h, &s, chance(h, 3) ? HOSTILE_WND : chance(h, 3000));
	subflow_check(sf);
	if (h->f.payload) {
		MUST(h, h->f.payload_at >= s.payload && h->f.payload_at + h->f.payload_len <= s.payload + s.payload_len);
		MUST(h, h->f.payload_len > 0 && !h->f.rejected);
		if (chance(h, 8))
			subflow_received(sf, h->f.payload_seq, chance(h, 4) ? h->f.payload_len : 1 + chance(h, h->f.payload_len),
					 h->now, &fin);
		subflow_check(sf);
	}
}

static inline void hostile_life(struct hostile *h)
{
	struct subflow_config c = {
		.mss = HOSTILE_MSS, .rcv_wscale = 4, .rto_min_us = 200 * USEC_PER_MS, .rto_max_us = 60 * USEC_PER_S,
		.rto_initial_us = USEC_PER_S, .delayed_ack_us = 40 * USEC_PER_MS, .syn_retries = 3, .time_wait_us = USEC_PER_S,
		.counters = &h->counters, .authentic = chance(h, 2),
	};
	enum err err;
	struct segment syn = {
		.seq = ssn_of(chance(h, UINT32_MAX)), .flags = TCP_SYN, .window = (uint16_t)chance(h, 65536),
		.tcp = { .has = (uint8_t)chance(h, 16), .mss = (uint16_t)chance(h, 2000), .wscale = (uint8_t)chance(h, 16) },
	};

	c.timestamps = chance(h, 2);
	c.cc = chance(h, 2) ? &cc_cubic : &cc_reno;
	h->now = USEC_PER_S;
	if (chance(h, 2)) {
		err = subflow_connect(&h->sf, &c, ssn_of(chance(h, UINT32_MAX)), h->now);
	} else {
		err = subflow_listen(&h->sf, &c, ssn_of(chance(h, UINT32_MAX)), &syn, h->now);
	}
	MUST(h, err == ERR_OK);
	if (chance(h, 3) == 0)
		subflow_syn_payload(&h->sf, (uint8_t)(h->syn_payload = chance(h, 256)));
	subflow_accept(&h->sf, h->now);
	drain(h);
	if (chance(h, 4)) { /* mostly a handshake that goes well */
		syn.flags = TCP_SYN | TCP_ACK;
		syn.ack = h->sf.snd_nxt;
		if (h->sf.state == SF_SYN_RECEIVED) {
			syn.flags = TCP_ACK;
			syn.seq = h->sf.rcv_nxt;
		}
		subflow_input(&h->sf, &syn, HOSTILE_WND, h->now, &h->f);
	}
	for (int step = 0; step < HOSTILE_STEPS && h->sf.state != SF_CLOSED && h->ok && !h->bytes.bad; step++) {
		switch (chance(h, 12)) {
		case 0: case 1: case 2: case 3:
			segment_in(h);
			break;
		case 4: case 5: case 6: {
			uint32_t took;

			memset(&h->out, 0, sizeof h->out);
			took = subflow_send(&h->sf, 1 + chance(h, 3000), h->sent, true, HOSTILE_WND, 20, h->now, &h->out, &h->data);
			h->sent += took;
			if (took) {
				true_data(h);
				MUST(h, took == h->data.len && took + segment_options_size(&h->out) + 20 <= HOSTILE_MSS);
			}
			break;
		}
		case 7:
			if (subflow_deadline(&h->sf) != USEC_NEVER) {
				h->now = usec_max(h->now, subflow_deadline(&h->sf));
				subflow_timeout(&h->sf, h->now, &h->f);
				MUST(h, h->sf.state == SF_CLOSED || subflow_deadline(&h->sf) > h->now || h->sf.board.lost_segs);
			}
			break;
		case 8:
			h->now += chance(h, 50000);
			if (subflow_deadline(&h->sf) <= h->now)
				subflow_timeout(&h->sf, h->now, &h->f);
			break;
		case 9:
			if (chance(h, 30) == 0)
				subflow_close(&h->sf, h->now);
			if (chance(h, 10) == 0)
				subflow_path_alive(&h->sf, h->now);
			if (chance(h, 30) == 0)
				subflow_set_mss(&h->sf, (uint16_t)(200 + chance(h, 800)));
			if (chance(h, 30) == 0)
				subflow_window_told(&h->sf, chance(h, 100000));
			break;
		default:
			drain(h);
			MUST(h, h->sf.state == SF_CLOSED || subflow_deadline(&h->sf) > h->now);
			break;
		}
		subflow_check(&h->sf);
	}
	if (h->sf.state != SF_CLOSED) {
		drain(h);
		subflow_reset(&h->sf, &h->out, h->now);
	}
	MUST(h, subflow_deadline(&h->sf) == USEC_NEVER && !h->sf.board.ring && !h->sf.ooo.at);
}

#endif
