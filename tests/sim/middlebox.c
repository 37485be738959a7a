/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <string.h>

#include "tests/sim/middlebox.h"
#include "tunneld/wire/segment.h"

void middlebox_init(struct middlebox *m, const struct middlebox_config *config, struct rnd chance)
{
	*m = (struct middlebox){ .config = *config, .chance = chance };
}

bool middlebox_idle(const struct middlebox_config *c)
{
	return !c->strip_syn && c->strip_from_us == USEC_NEVER && !c->sequence && !c->split && !c->rewrite_ppm;
}

/* The number added to a direction's sequence numbers: fixed by the flow, so that the box need remember nothing. */
static uint32_t shift_of(uint16_t client_port, uint16_t gateway_port, bool to_gateway)
{
	uint32_t x = (uint32_t)client_port << 16 ^ gateway_port ^ (to_gateway ? 0x5bd1e995u : 0x85ebca6bu);

	x ^= x >> 15;
	x *= 0x2c1b3c6du;
	return x ^ x >> 12;
}

static void shift(struct segment *s, bool to_gateway, uint16_t client_port, uint16_t gateway_port)
{
	uint32_t back = shift_of(client_port, gateway_port, !to_gateway);

	s->seq.v += shift_of(client_port, gateway_port, to_gateway);
	if (s->flags & TCP_ACK)
		s->ack.v -= back;
	for (unsigned i = 0; s->tcp.has & OPT_SACK && i < s->tcp.sack_count; i++) {
		s->tcp.sack[i].start.v -= back;
		s->tcp.sack[i].end.v -= back;
	}
}

static void put(struct middlebox_out *out, const struct segment *s)
{
	struct wr w = wr_of(out->bytes, sizeof out->bytes);
	enum err err = segment_emit(&w, s, SEGMENT_PLAIN);

	assert(err == ERR_OK);
	out->len = wr_len(&w);
}

unsigned middlebox_pass(struct middlebox *m, bool to_gateway, uint16_t client_port, uint16_t gateway_port, const uint8_t *bytes,
			size_t len, usec_t now_us, const struct middlebox_out **out)
{
	static struct middlebox_out outs[MIDDLEBOX_OUT_MAX];
	const struct middlebox_config *c = &m->config;
	uint8_t payload[MIDDLEBOX_SEGMENT_MAX];
	struct segment s = { 0 };

	*out = outs;
	if (len > sizeof outs[0].bytes || segment_parse(&s, bytes, len, SEGMENT_PLAIN) != ERR_OK || s.ignored) {
		assert(len <= sizeof outs[0].bytes);
		memcpy(outs[0].bytes, bytes, len);
		outs[0].len = len;
		return 1;
	}
	if (s.mptcp_count && (!c->strip_one_way || !to_gateway) &&
	    ((c->strip_syn && s.flags & TCP_SYN) || c->strip_from_us <= now_us)) {
		s.mptcp_count = 0;
		m->stripped++;
	}
	if (c->sequence)
		shift(&s, to_gateway, client_port, gateway_port);
	if (s.payload_len && rnd_chance(&m->chance, c->rewrite_ppm)) {
		memcpy(payload, s.payload, s.payload_len);
		payload[rnd_below(&m->chance, s.payload_len)] ^= (uint8_t)rnd_range(&m->chance, 1, 255);
		s.payload = payload;
		m->rewritten++;
	}
	if (c->split && s.payload_len > c->split && !(s.flags & TCP_SYN)) {
		struct segment rest = s;

		rest.seq.v += c->split;
		rest.payload += c->split;
		rest.payload_len = (uint16_t)(s.payload_len - c->split);
		s.payload_len = c->split;
		s.flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
		put(&outs[0], &s);
		put(&outs[1], &rest);
		m->split++;
		return 2;
	}
	put(&outs[0], &s);
	return 1;
}
