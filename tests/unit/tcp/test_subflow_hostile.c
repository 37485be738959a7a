/* SPDX-License-Identifier: MIT */
/* Any segment in any state, mixed with anything the owner may do: the invariants hold, and what is sent stays true. */
#include <stdlib.h>

#include "tests/unit/tcp/talk.h"

struct hostile {
	struct talk t;
	uint64_t sent;        /* payload given to subflow_send; tags are offsets */
	uint64_t chance;
	uint32_t syn_payload;
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
	default: return chance(h, 20) ? a + chance(h, b - a + 1) : (uint32_t)h->chance;
	}
}

static void true_data(struct hostile *h)
{
	const struct subflow *sf = &h->t.sf;
	const struct subflow_data *d = &h->t.data;
	uint32_t offset = d->seq.v - sf->iss.v - 1;

	if (!d->len)
		return;
	if (h->t.out.flags & TCP_SYN) {
		MUST(h, d->len == h->syn_payload && d->tag == SUBFLOW_SYN_TAG);
		return;
	}
	if (d->tag == SUBFLOW_SYN_TAG) {
		MUST(h, offset + d->len <= h->syn_payload);
		return;
	}
	MUST(h, d->tag == offset - h->syn_payload && d->tag + d->len <= h->sent);
	MUST(h, d->seq.v == h->t.out.seq.v);
}

static void drain(struct hostile *h)
{
	unsigned n = 0;

	while (talk_out(&h->t) != SF_WANT_NOTHING && n++ < 20000) {
		true_data(h);
		MUST(h, h->t.data.len + segment_options_size(&h->t.out) + 20 <= TALK_MSS || h->t.out.flags & TCP_SYN);
	}
	MUST(h, n < 20000);
}

static void segment_in(struct hostile *h)
{
	struct subflow *sf = &h->t.sf;
	struct segment s = {
		.seq = ssn_of(near(h, sf->rcv_nxt.v, sf->rcv_adv.v, 5000)), .ack = ssn_of(near(h, sf->snd_una.v, sf->snd_nxt.v, 5000)),
		.flags = TCP_ACK, .window = (uint16_t)(chance(h, 4) ? chance(h, 65536) : chance(h, 2)),
		.payload = talk_bytes, .payload_len = (uint16_t)(chance(h, 3) ? 0 : chance(h, 3000)),
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
	subflow_input(sf, &s, chance(h, 3) ? TALK_WND : chance(h, 3000), h->t.now, &h->t.f);
	subflow_check(sf);
	if (h->t.f.payload) {
		MUST(h, h->t.f.payload_at >= s.payload && h->t.f.payload_at + h->t.f.payload_len <= s.payload + s.payload_len);
		MUST(h, h->t.f.payload_len > 0 && !h->t.f.rejected);
		if (chance(h, 8))
			subflow_received(sf, h->t.f.payload_seq, chance(h, 4) ? h->t.f.payload_len : 1 + chance(h, h->t.f.payload_len),
					 h->t.now, &fin);
		subflow_check(sf);
	}
}

static void one_life(struct hostile *h)
{
	struct talk *t = &h->t;
	struct subflow_config c = talk_config(t);
	struct segment syn = {
		.seq = ssn_of(chance(h, UINT32_MAX)), .flags = TCP_SYN, .window = (uint16_t)chance(h, 65536),
		.tcp = { .has = (uint8_t)chance(h, 16), .mss = (uint16_t)chance(h, 2000), .wscale = (uint8_t)chance(h, 16) },
	};

	c.timestamps = chance(h, 2);
	c.cc = chance(h, 2) ? &cc_cubic : &cc_reno;
	t->now = USEC_PER_S;
	if (chance(h, 2)) {
		CU_ASSERT_EQUAL(subflow_connect(&t->sf, &c, ssn_of(chance(h, UINT32_MAX)), t->now), ERR_OK);
	} else {
		CU_ASSERT_EQUAL(subflow_listen(&t->sf, &c, ssn_of(chance(h, UINT32_MAX)), &syn, t->now), ERR_OK);
	}
	if (chance(h, 3) == 0)
		subflow_syn_payload(&t->sf, (uint8_t)(h->syn_payload = chance(h, 256)));
	subflow_accept(&t->sf, t->now);
	drain(h);
	if (chance(h, 4)) { /* mostly a handshake that goes well */
		syn.flags = TCP_SYN | TCP_ACK;
		syn.ack = t->sf.snd_nxt;
		if (t->sf.state == SF_SYN_RECEIVED) {
			syn.flags = TCP_ACK;
			syn.seq = t->sf.rcv_nxt;
		}
		subflow_input(&t->sf, &syn, TALK_WND, t->now, &t->f);
	}
	for (int step = 0; step < 300 && t->sf.state != SF_CLOSED && h->ok; step++) {
		switch (chance(h, 12)) {
		case 0: case 1: case 2: case 3:
			segment_in(h);
			break;
		case 4: case 5: case 6: {
			uint32_t took;

			memset(&t->out, 0, sizeof t->out);
			took = subflow_send(&t->sf, 1 + chance(h, 3000), h->sent, true, TALK_WND, 20, t->now, &t->out, &t->data);
			h->sent += took;
			if (took) {
				true_data(h);
				MUST(h, took == t->data.len && took + segment_options_size(&t->out) + 20 <= TALK_MSS);
			}
			break;
		}
		case 7:
			if (subflow_deadline(&t->sf) != USEC_NEVER) {
				talk_wait(t);
				MUST(h, t->sf.state == SF_CLOSED || subflow_deadline(&t->sf) > t->now || t->sf.board.lost_segs);
			}
			break;
		case 8:
			t->now += chance(h, 50000);
			if (subflow_deadline(&t->sf) <= t->now)
				subflow_timeout(&t->sf, t->now, &t->f);
			break;
		case 9:
			if (chance(h, 30) == 0)
				subflow_close(&t->sf, t->now);
			if (chance(h, 10) == 0)
				subflow_path_alive(&t->sf, t->now);
			if (chance(h, 30) == 0)
				subflow_set_mss(&t->sf, (uint16_t)(200 + chance(h, 800)));
			if (chance(h, 30) == 0)
				subflow_window_told(&t->sf, chance(h, 100000));
			break;
		default:
			drain(h);
			MUST(h, t->sf.state == SF_CLOSED || subflow_deadline(&t->sf) > t->now);
			break;
		}
		subflow_check(&t->sf);
	}
	if (t->sf.state != SF_CLOSED) {
		drain(h);
		subflow_reset(&t->sf, &t->out);
	}
	MUST(h, subflow_deadline(&t->sf) == USEC_NEVER && !t->sf.board.ring && !t->sf.ooo.at);
}

static void test_nothing_breaks_it(void)
{
	for (uint64_t seed = 1; seed <= 3000; seed++) {
		struct hostile h = { .chance = seed * UINT64_C(0x9e3779b97f4a7c15), .ok = true };

		one_life(&h);
		if (!h.ok)
			fprintf(stderr, "seed %llu, line %d, %s\n", (unsigned long long)seed, h.line, subflow_state_name(h.t.sf.state));
		CU_ASSERT_TRUE(h.ok);
		subflow_close_now(&h.t.sf);
		if (!h.ok)
			break;
	}
}

UNIT_MAIN("subflow_hostile",
	T(test_nothing_breaks_it))
