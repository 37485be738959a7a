/* SPDX-License-Identifier: MIT */
/*
 * Two subflows and the link between them, in virtual time: every run is its seed. Bytes are a pattern of their offset,
 * so that what arrives can be checked without being kept.
 */
#ifndef PLAIT_TEST_LOOP_H
#define PLAIT_TEST_LOOP_H

#include <stdlib.h>
#include <string.h>

#include "tunneld/tcp/subflow.h"

enum { LOOP_PATTERN = 251, LOOP_OVERHEAD = 60, LOOP_PACKETS = 8192 };

/* Chances are of 65536. */
struct loop_link {
	uint64_t rate;             /* bytes a second; 0: no limit */
	usec_t delay_us;           /* one way */
	uint32_t queue_bytes;      /* beyond it a packet is dropped */
	unsigned loss, dup, reorder;
	usec_t reorder_us;         /* a reordered one comes up to so much later */
	usec_t dead_from_us, dead_to_us; /* silently dead in between */
	usec_t held_from_us, held_to_us; /* what would arrive in between arrives at the end of it */
};

struct loop_packet {
	struct segment seg;
	usec_t at;
	uint64_t order;            /* of sending, so that equal times keep their order */
	uint8_t to;
};

struct loop_end {
	struct subflow sf;
	struct loop_link link;     /* what this end sends goes through it */
	usec_t link_free_us;
	uint64_t to_send, sent;    /* payload */
	uint64_t got;              /* in order */
	uint64_t read;             /* of that, by the application */
	uint64_t buffer;           /* receive buffer */
	uint64_t read_rate;        /* bytes a second; 0: at once */
	usec_t done_us;            /* the peer's FIN came in order */
	usec_t longest_gap_us, last_got_us;
	uint64_t segments, acks, dropped;
	bool established, closing, peer_fin, stingy, dead;
};

struct loop {
	struct loop_end end[2];
	struct counters counters;
	struct loop_packet *packets; /* a heap, soonest first */
	uint32_t count;
	uint64_t orders;
	uint64_t chance;
	usec_t now;
	const char *broken;        /* the first thing that was wrong */
};

static uint8_t loop_pattern[65536 + LOOP_PATTERN];

static inline uint32_t loop_chance(struct loop *l)
{
	l->chance = l->chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(l->chance >> 33);
}
static inline bool loop_happens(struct loop *l, unsigned of_65536) { return (loop_chance(l) & 0xffff) < of_65536; }

static inline bool loop_sooner(const struct loop_packet *a, const struct loop_packet *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static inline void loop_heap_push(struct loop *l, const struct loop_packet *p)
{
	uint32_t i = l->count;

	if (l->count == LOOP_PACKETS)
		return;
	l->count++;
	while (i && loop_sooner(p, &l->packets[(i - 1) / 2])) {
		l->packets[i] = l->packets[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	l->packets[i] = *p;
}

static inline struct loop_packet loop_heap_pop(struct loop *l)
{
	struct loop_packet top = l->packets[0], last = l->packets[--l->count];
	uint32_t i = 0;

	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c + 1 < l->count && loop_sooner(&l->packets[c + 1], &l->packets[c]))
			c++;
		if (c >= l->count || !loop_sooner(&l->packets[c], &last))
			break;
		l->packets[i] = l->packets[c];
		i = c;
	}
	l->packets[i] = last;
	return top;
}

/* Every time while it is small; what is in flight on a fast link is walked seldom. */
static inline void loop_check(struct loop *l, const struct loop_end *e)
{
	if (board_count(&e->sf.board) < 100 || l->orders % 64 == 0)
		subflow_check(&e->sf);
}

static inline void loop_transmit(struct loop *l, unsigned from, const struct segment *seg)
{
	struct loop_end *e = &l->end[from];
	struct loop_link *k = &e->link;
	struct loop_packet p = { .seg = *seg, .to = (uint8_t)!from, .order = l->orders++ };
	usec_t start = usec_max(l->now, e->link_free_us), took;

	e->segments++;
	e->acks += !seg->payload_len;
	if (loop_happens(l, k->loss) || (l->now >= k->dead_from_us && l->now < k->dead_to_us)) {
		e->dropped++;
		return;
	}
	if (k->rate) {
		if ((start - l->now) * k->rate / USEC_PER_S > k->queue_bytes) {
			e->dropped++;
			return;
		}
		took = (LOOP_OVERHEAD + seg->payload_len) * USEC_PER_S / k->rate;
		e->link_free_us = start + took;
		start += took;
	}
	p.at = start + k->delay_us;
	if (k->reorder_us && loop_happens(l, k->reorder))
		p.at += loop_chance(l) % k->reorder_us;
	if (p.at >= k->held_from_us && p.at < k->held_to_us)
		p.at = k->held_to_us;
	loop_heap_push(l, &p);
	if (loop_happens(l, k->dup)) {
		p.at += 1 + loop_chance(l) % 1000;
		p.order = l->orders++;
		loop_heap_push(l, &p);
	}
}

static inline uint32_t loop_window(const struct loop_end *e)
{
	uint64_t held = e->got - e->read;

	return held < e->buffer ? (uint32_t)(e->buffer - held) : 0;
}

static inline void loop_wrong(struct loop *l, const char *what)
{
	if (!l->broken)
		l->broken = what;
}

static inline void loop_facts(struct loop *l, unsigned i, const struct subflow_facts *f)
{
	struct loop_end *e = &l->end[i];

	e->established |= f->established;
	if (f->fin) {
		e->peer_fin = true;
		e->done_us = l->now;
		if (e->got != l->end[!i].to_send)
			loop_wrong(l, "FIN before the last byte");
	}
	e->dead |= f->gave_up || f->reset;
	if (f->gave_up || f->reset)
		loop_wrong(l, "ended before its time");
}

static inline void loop_arrive(struct loop *l, const struct loop_packet *p)
{
	struct loop_end *e = &l->end[p->to];
	struct subflow_facts f;
	struct segment seg = p->seg;
	bool fin = false;

	if (e->sf.state == SF_CLOSED) {
		struct segment rst;

		/* A late segment after the end: its sender is past caring, too, or it is told. */
		if (e->peer_fin && subflow_refuse(&seg, &rst) && l->end[!p->to].sf.state != SF_TIME_WAIT)
			return;
		return;
	}
	subflow_input(&e->sf, &seg, loop_window(e), l->now, &f);
	if (f.payload) {
		uint64_t at = e->sf.rcv_off - 1 + (uint64_t)(int64_t)ssn_diff(f.payload_seq, e->sf.rcv_nxt), before = e->sf.rcv_off;

		for (uint32_t i = 0; i < f.payload_len; i += 1 + f.payload_len / 16)
			if (f.payload_at[i] != (uint8_t)((at + i) % LOOP_PATTERN))
				loop_wrong(l, "other bytes than were sent");
		if (at + f.payload_len > l->end[!p->to].to_send)
			loop_wrong(l, "more bytes than were sent");
		/* Now and then a segment is not kept, as for want of memory. */
		if (!e->stingy || loop_chance(l) % 50) {
			subflow_received(&e->sf, f.payload_seq, f.payload_len, l->now, &fin);
			f.fin |= fin;
		}
		if (e->sf.rcv_off != before) {
			uint64_t off = e->sf.rcv_off - 1 - (e->sf.state != SF_ESTABLISHED && f.fin);

			if (e->last_got_us && l->now - e->last_got_us > e->longest_gap_us)
				e->longest_gap_us = l->now - e->last_got_us;
			e->last_got_us = l->now;
			e->got = off;
		}
	}
	loop_facts(l, p->to, &f);
	loop_check(l, e);
}

/* Everything that may go now. */
static inline void loop_drain(struct loop *l, unsigned i)
{
	struct loop_end *e = &l->end[i];
	struct segment seg;
	struct subflow_data d;
	bool was_closed = loop_window(e) == 0;

	if (!e->read_rate)
		e->read = e->got;
	else if (e->read < e->got && l->now * e->read_rate / USEC_PER_S > e->read)
		e->read = l->now * e->read_rate / USEC_PER_S < e->got ? l->now * e->read_rate / USEC_PER_S : e->got;
	if (was_closed && loop_window(e) > e->buffer / 2)
		subflow_ack_now(&e->sf);
	for (unsigned n = 0;; n++) {
		uint32_t took;

		memset(&seg, 0, sizeof seg);
		if (n > 100000) {
			loop_wrong(l, "output without end");
			return;
		}
		if (subflow_output(&e->sf, loop_window(e), 20, l->now, &seg, &d) == SF_WANT_NOTHING) {
			if (e->sent >= e->to_send)
				break;
			took = subflow_send(&e->sf, (uint32_t)(e->to_send - e->sent > 60000 ? 60000 : e->to_send - e->sent), e->sent,
					    e->sent == e->to_send, loop_window(e), 20, l->now, &seg, &d);
			if (!took)
				break;
			e->sent += took;
		}
		if (d.len) {
			if (d.tag + d.len > e->sent)
				loop_wrong(l, "a tag beyond what was sent");
			seg.payload = loop_pattern + d.tag % LOOP_PATTERN;
			seg.payload_len = (uint16_t)d.len;
		}
		if (seg.payload_len + segment_options_size(&seg) > e->sf.config.mss)
			loop_wrong(l, "a segment larger than the path");
		loop_transmit(l, i, &seg);
		loop_check(l, e);
	}
	if (e->sent == e->to_send && !e->closing && e->sf.state >= SF_ESTABLISHED && (i == 0 || e->peer_fin)) {
		e->closing = true;
		subflow_close(&e->sf, l->now);
		loop_drain(l, i);
	}
}

static inline struct subflow_config loop_config(struct loop *l)
{
	return (struct subflow_config){
		.cc = &cc_cubic, .mss = 1400, .rcv_wscale = 8, .rto_min_us = 200 * USEC_PER_MS, .rto_max_us = 60 * USEC_PER_S,
		.rto_initial_us = USEC_PER_S, .delayed_ack_us = 25 * USEC_PER_MS, .syn_retries = 200, .time_wait_us = 60 * USEC_PER_S,
		.counters = &l->counters,
	};
}

/* Set end[].link, to_send, buffer and the like before. iss near the wrap, so that it happens. */
static inline void loop_begin(struct loop *l, const struct subflow_config *a, const struct subflow_config *b, uint64_t seed)
{
	struct segment syn = { 0 };
	struct subflow_data d;
	enum err err;

	l->chance = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	l->packets = malloc(LOOP_PACKETS * sizeof *l->packets);
	l->now = USEC_PER_S;
	for (unsigned i = 0; i < sizeof loop_pattern; i++)
		loop_pattern[i] = (uint8_t)(i % LOOP_PATTERN);
	for (int i = 0; i < 2; i++)
		if (!l->end[i].buffer)
			l->end[i].buffer = 8 * 1024 * 1024;
	err = subflow_connect(&l->end[0].sf, a, ssn_of((uint32_t)0 - 20000 - loop_chance(l) % 100000), l->now);
	/* The first SYN is carried by hand, so that there is a passive end; it cannot be lost. */
	if (err == ERR_OK && subflow_output(&l->end[0].sf, loop_window(&l->end[0]), 20, l->now, &syn, &d) == SF_WANT_CONTROL) {
		l->now += l->end[0].link.delay_us;
		err = subflow_listen(&l->end[1].sf, b, ssn_of((uint32_t)0 - 30000 - loop_chance(l) % 100000), &syn, l->now);
		subflow_accept(&l->end[1].sf, l->now);
	}
	if (err != ERR_OK)
		loop_wrong(l, "did not begin");
}

static inline usec_t loop_next(const struct loop *l)
{
	usec_t at = l->count ? l->packets[0].at : USEC_NEVER;

	for (int i = 0; i < 2; i++) {
		const struct loop_end *e = &l->end[i];

		at = usec_min(at, subflow_deadline(&e->sf));
		if (e->sent < e->to_send && e->sf.pace_next_us > l->now && subflow_sendable(&e->sf, e->sf.pace_next_us))
			at = usec_min(at, e->sf.pace_next_us);
		/* A slow reader's clock. */
		if (e->read_rate && e->read < e->got)
			at = usec_min(at, l->now + 10 * USEC_PER_MS);
	}
	return at;
}

/* Until both are closed or the time is over. Returns whether both ended in order. */
static inline bool loop_run(struct loop *l, usec_t until_us)
{
	unsigned still = 0;

	while (!l->broken && l->now < until_us) {
		usec_t at;

		loop_drain(l, 0);
		loop_drain(l, 1);
		if (l->end[0].sf.state == SF_CLOSED && l->end[1].sf.state == SF_CLOSED)
			break;
		at = loop_next(l);
		if (at == USEC_NEVER) {
			loop_wrong(l, "nothing will ever happen again");
			break;
		}
		still = at <= l->now ? still + 1 : 0;
		if (still > 20000) {
			loop_wrong(l, "time stands still");
			break;
		}
		if (at > l->now)
			l->now = at;
		while (l->count && l->packets[0].at <= l->now) {
			struct loop_packet p = loop_heap_pop(l);

			loop_arrive(l, &p);
		}
		for (unsigned i = 0; i < 2; i++)
			if (subflow_deadline(&l->end[i].sf) <= l->now) {
				struct subflow_facts f;

				subflow_timeout(&l->end[i].sf, l->now, &f);
				loop_facts(l, i, &f);
				loop_check(l, &l->end[i]);
			}
	}
	return !l->broken && l->end[0].got == l->end[1].to_send && l->end[1].got == l->end[0].to_send &&
	       l->end[0].sf.state == SF_CLOSED && l->end[1].sf.state == SF_CLOSED;
}

static inline void loop_end_all(struct loop *l)
{
	for (int i = 0; i < 2; i++)
		subflow_close_now(&l->end[i].sf);
	free(l->packets);
	l->packets = NULL;
}

#endif
