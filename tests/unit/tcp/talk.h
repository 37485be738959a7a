/* SPDX-License-Identifier: MIT */
/* A subflow and the hand-written segments of its peer, so that tests read as conversations. Sequence numbers are relative. */
#ifndef PLAIT_TEST_TALK_H
#define PLAIT_TEST_TALK_H

#include <string.h>

#include "tunneld/tcp/subflow.h"
#include "tests/unit/unit.h"

enum { TALK_MSS = 1000, TALK_WND = 100000 };
/* A test may begin elsewhere in the number space. */
static uint32_t talk_our_iss = 5000, talk_peer_iss = 900;
#define OUR_ISS talk_our_iss
#define PEER_ISS talk_peer_iss

struct talk {
	struct subflow sf;
	struct counters counters;
	struct subflow_facts f;    /* of the last input */
	struct segment out;        /* last output */
	struct subflow_data data;
	enum subflow_want want;
	usec_t now;
};

static uint8_t talk_bytes[65536];

/* TALK(t); in place of struct talk t: it frees itself. */
#define TALK(name) __attribute__((cleanup(talk_end))) struct talk name = { 0 }
__attribute__((unused))
static void talk_end(struct talk *t) { subflow_close_now(&t->sf); }

__attribute__((unused))
static struct subflow_config talk_config(struct talk *t)
{
	return (struct subflow_config){
		.cc = &cc_cubic, .mss = TALK_MSS, .rcv_wscale = 4, .rto_min_us = 200 * USEC_PER_MS, .rto_max_us = 60 * USEC_PER_S,
		.rto_initial_us = USEC_PER_S, .delayed_ack_us = 40 * USEC_PER_MS, .syn_retries = 3, .time_wait_us = USEC_PER_S,
		.counters = &t->counters,
	};
}

/* The next thing it owes, or SF_WANT_NOTHING. */
__attribute__((unused))
static enum subflow_want talk_out(struct talk *t)
{
	memset(&t->out, 0, sizeof t->out);
	t->want = subflow_output(&t->sf, TALK_WND, 20, t->now, &t->out, &t->data);
	subflow_check(&t->sf);
	return t->want;
}

/* A segment of the peer: flags, its sequence and acknowledgement relative to the ISNs, payload. */
__attribute__((unused))
static void talk_in_full(struct talk *t, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t len, uint16_t wnd,
			 const struct tcp_options *o)
{
	struct segment s = {
		.seq = ssn_of(PEER_ISS + seq), .ack = ssn_of(OUR_ISS + ack), .flags = flags, .window = wnd,
		.payload = talk_bytes, .payload_len = len,
	};

	if (o)
		s.tcp = *o;
	subflow_input(&t->sf, &s, TALK_WND, t->now, &t->f);
	subflow_check(&t->sf);
}

__attribute__((unused))
static void talk_in(struct talk *t, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t len)
{
	talk_in_full(t, flags, seq, ack, len, 60000, NULL);
}

__attribute__((unused))
static void talk_sack(struct talk *t, uint32_t ack, uint32_t start, uint32_t end)
{
	struct tcp_options o = {
		.has = OPT_SACK, .sack_count = 1, .sack = { { ssn_of(OUR_ISS + start), ssn_of(OUR_ISS + end) } },
	};

	talk_in_full(t, TCP_ACK, 1, ack, 0, 60000, &o);
}

/* Data in, kept by the owner. */
__attribute__((unused))
static bool talk_data(struct talk *t, uint32_t seq, uint16_t len)
{
	bool fin = false;

	talk_in(t, TCP_ACK, seq, 1, len);
	if (t->f.payload)
		subflow_received(&t->sf, t->f.payload_seq, t->f.payload_len, t->now, &fin);
	subflow_check(&t->sf);
	return fin;
}

/* New data out, one segment; the bytes it took. */
__attribute__((unused))
static uint32_t talk_send(struct talk *t, uint32_t len)
{
	uint32_t took;

	memset(&t->out, 0, sizeof t->out);
	took = subflow_send(&t->sf, len, 0, true, TALK_WND, 20, t->now, &t->out, &t->data);
	subflow_check(&t->sf);
	return took;
}

/* As far as ESTABLISHED with an RTT of 10 ms; the clock then stands at 1 s. */
__attribute__((unused))
static void talk_open(struct talk *t)
{
	struct subflow_config c;
	struct tcp_options o = { .has = OPT_MSS | OPT_SACK_OK | OPT_WSCALE, .mss = 1400, .wscale = 4 };

	memset(t, 0, sizeof *t);
	c = talk_config(t);
	t->now = USEC_PER_S - 10 * USEC_PER_MS;
	CU_ASSERT_EQUAL_FATAL(subflow_connect(&t->sf, &c, ssn_of(OUR_ISS), t->now), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(talk_out(t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(t->out.flags, TCP_SYN);
	t->now += 10 * USEC_PER_MS;
	talk_in_full(t, TCP_SYN | TCP_ACK, 0, 1, 0, 60000, &o);
	CU_ASSERT_TRUE_FATAL(t->f.established);
	CU_ASSERT_EQUAL_FATAL(talk_out(t), SF_WANT_CONTROL);
	CU_ASSERT_EQUAL(t->out.flags, TCP_ACK);
	talk_in(t, TCP_ACK, 1, 1, 0); /* a first scaled window */
	CU_ASSERT_EQUAL_FATAL(talk_out(t), SF_WANT_NOTHING);
}

/* Lets the clock come to the next deadline. */
__attribute__((unused))
static void talk_wait(struct talk *t)
{
	usec_t at = subflow_deadline(&t->sf);

	CU_ASSERT_NOT_EQUAL_FATAL(at, USEC_NEVER);
	if (at > t->now)
		t->now = at;
	subflow_timeout(&t->sf, t->now, &t->f);
	subflow_check(&t->sf);
}

static inline uint32_t talk_seq(const struct talk *t) { return t->out.seq.v - OUR_ISS; }
static inline uint32_t talk_ack(const struct talk *t) { return t->out.ack.v - PEER_ISS; }

#endif
