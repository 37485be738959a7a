/* SPDX-License-Identifier: MIT */
/*
 * For the tests of the engine: two engines back to back over two paths in virtual time. Each path has a delay and a loss of its own, and can be cut.
 * The hosts on both sides echo what the test wants to see: what was opened, read, ended.
 *
 * In plain form path N of side S has the address 10.0.N.(S+1); the second listens on port 80 of both its addresses.
 */
#ifndef PLAIT_TEST_ENGINE_NET_H
#define PLAIT_TEST_ENGINE_NET_H

#include "tests/unit/unit.h"
#include "tunneld/mptcp/engine.h"

#include <stdlib.h>
#include <string.h>

#define MS USEC_PER_MS

enum { PATHS = 2, FLIGHT = 8192, MTU = 1400, SIDES = 2 };

struct packet {
	usec_t at;
	int to;
	path_id path;
	uint16_t local_port;         /* as the receiver sees it; plain form */
	struct addr remote;
	size_t len;
	uint8_t bytes[MTU + 64];
};

struct side {
	struct engine *e;
	struct counters counters;
	conn_id conn;
	bool opened, eof, closed, reset, dialled;
	enum open_result result, why;
	uint8_t icmp_code;
	struct addr destination;
	uint64_t received, sum;      /* what the application read */
	uint64_t to_write, written, wsum;
	bool shut_after_write, shut;
	bool full;                   /* the application does not read */
	bool tolerant;               /* of wrong bytes, which it counts */
	unsigned wrong;
	unsigned probes;
	unsigned ports_freed;
};

struct net;
/* A middlebox, or a bug, on the sender's path: may change the segment, payload included. False: it is lost. */
typedef bool (*box_fn)(struct net *n, int from, path_id path, struct segment *seg);
/* What a test wants other than usual, set before start. */
static void (*tweak)(struct engine_config *g, int side);

struct net {
	bool plain;
	box_fn box;
	bool split;                  /* the middlebox makes two segments of one; both carry its options */
	usec_t now;
	struct side side[SIDES];
	struct packet *flight[FLIGHT];
	unsigned count;
	usec_t delay[PATHS];
	unsigned loss[PATHS];        /* per cent */
	bool cut[PATHS];
	uint32_t chance;
	enum open_result dial_result;
	uint8_t dial_icmp;
	bool hold_dial;
	uint64_t sent[PATHS];
};

static uint32_t roll(struct net *n) { return (n->chance = n->chance * 1664525 + 1013904223) >> 8; }

static struct addr plain_addr(int side, path_id path)
{
	return (struct addr){ .family = 4, .ip = { 10, 0, (uint8_t)path, (uint8_t)(side + 1) } };
}

static bool announcing;          /* the server tells its addresses */

static void path_event(struct net *n, int side, path_id path, enum path_state state, bool gone)
{
	struct event ev = {
		.kind = EV_PATH,
		.path = {
			.path = path, .peer = 0, .state = state, .gone = gone, .may_initiate = side == 0, .addr_id = (uint8_t)(path + 1),
			.mtu_payload = MTU, .name = path ? "two" : "one", .announce = announcing && side == 1,
		},
	};

	if (n->plain)
		ev.path.local = plain_addr(side, path);
	CU_ASSERT_EQUAL(engine_input(n->side[side].e, &ev, n->now), ERR_OK);
}

static void start_as(struct net *n, enum segment_form form, bool fastclose_ack, bool checksum, unsigned paths)
{
	*n = (struct net){ .now = 1000000, .delay = { 10 * MS, 30 * MS }, .chance = 7, .plain = form == SEGMENT_PLAIN };
	for (int i = 0; i < SIDES; i++) {
		struct engine_config g = {
			.form = form, .connections_max = 8, .paths_max = 4, .memory_max = 32 << 20, .gateway = i == 1, .checksum = checksum,
			.fastclose = fastclose_ack ? FASTCLOSE_ACK : FASTCLOSE_RST, .counters = &n->side[i].counters,
			.connect_timeout_us = 20 * USEC_PER_S, .close_timeout_us = 20 * USEC_PER_S, .dead_timeout_us = 30 * USEC_PER_S,
		};
		uint8_t seed[32] = { (uint8_t)(i + 1) };

		if (tweak)
			tweak(&g, i);

		n->side[i].e = engine_new(&g, seed, n->now);
		CU_ASSERT_PTR_NOT_NULL_FATAL(n->side[i].e);
	}
	for (unsigned p = 0; p < paths; p++)
		for (int i = 0; i < SIDES; i++)
			path_event(n, i, p, PATH_UP, false);
}

static inline void start(struct net *n, bool fastclose_ack, bool checksum, unsigned paths)
{
	start_as(n, SEGMENT_SEALED, fastclose_ack, checksum, paths);
}

static void stop(struct net *n)
{
	for (unsigned i = 0; i < n->count; i++)
		free(n->flight[i]);
	for (int i = 0; i < SIDES; i++) {
		struct engine_stats st;

		engine_stats(n->side[i].e, &st);
		engine_check(n->side[i].e);
		engine_free(n->side[i].e);
	}
}

static inline void tell(struct net *n, int side, enum event_kind kind)
{
	struct event ev = { .kind = kind, .conn = n->side[side].conn };

	(void)!engine_input(n->side[side].e, &ev, n->now);
}

static void write_more(struct net *n, int side)
{
	struct side *s = &n->side[side];
	uint8_t buf[4096];

	while (s->conn && s->written < s->to_write && engine_room(s->e, s->conn)) {
		struct event ev = { .kind = EV_WRITE, .write = { .conn = s->conn, .bytes = buf, .len = sizeof buf } };

		if (ev.write.len > s->to_write - s->written)
			ev.write.len = (size_t)(s->to_write - s->written);
		for (size_t i = 0; i < ev.write.len; i++)
			buf[i] = (uint8_t)((s->written + i) * 31 >> 3);
		if (engine_input(s->e, &ev, n->now) != ERR_OK || !ev.write.taken)
			break;
		s->written += ev.write.taken;
	}
	if (s->conn && s->shut_after_write && !s->shut && s->written == s->to_write && (s->opened || side)) {
		s->shut = true;
		tell(n, side, EV_SHUTDOWN);
	}
}

static void dialled(struct net *n)
{
	struct event ev = { .kind = EV_DIALLED, .dialled = { .conn = n->side[1].conn, .result = n->dial_result, .icmp_code = n->dial_icmp } };

	(void)!engine_input(n->side[1].e, &ev, n->now);
}

/* Through the middlebox: parsed, shown, written anew. */
static bool boxed(struct net *n, int from, path_id path, struct packet *p)
{
	enum segment_form form = n->plain ? SEGMENT_PLAIN : SEGMENT_SEALED;
	static uint8_t payload[MTU + 64];
	struct segment seg;
	struct wr w;

	CU_ASSERT_EQUAL_FATAL(segment_parse(&seg, p->bytes, p->len, form), ERR_OK);
	if (seg.payload_len)
		memcpy(payload, seg.payload, seg.payload_len);
	seg.payload = payload;
	if (n->box && !n->box(n, from, path, &seg))
		return false;
	if (n->split && seg.payload_len > 200) {
		struct packet *second = malloc(sizeof *second);
		struct segment half = seg;

		*second = *p;
		seg.payload_len = (uint16_t)(seg.payload_len / 2 | 1);
		half.payload += seg.payload_len;
		half.payload_len = (uint16_t)(half.payload_len - seg.payload_len);
		half.seq = ssn_add(seg.seq, seg.payload_len);
		seg.flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
		w = wr_of(second->bytes, sizeof second->bytes);
		CU_ASSERT_EQUAL_FATAL(segment_emit(&w, &half, form), ERR_OK);
		second->len = wr_len(&w);
		if (roll(n) % 100 < n->loss[path] || n->count == FLIGHT)
			free(second);
		else
			n->flight[n->count++] = second;
	}
	w = wr_of(p->bytes, sizeof p->bytes);
	CU_ASSERT_EQUAL_FATAL(segment_emit(&w, &seg, form), ERR_OK);
	p->len = wr_len(&w);
	return true;
}

static void send_packet(struct net *n, int from, const struct action *a)
{
	struct packet *p;

	n->sent[a->send.path]++;
	if (n->cut[a->send.path] || roll(n) % 100 < n->loss[a->send.path] || n->count == FLIGHT)
		return;
	CU_ASSERT_TRUE_FATAL(a->send.len <= sizeof p->bytes);
	CU_ASSERT_TRUE(a->send.len <= MTU);
	p = malloc(sizeof *p);
	p->at = n->now + n->delay[a->send.path];
	p->to = !from;
	p->path = a->send.path;
	p->len = a->send.len;
	memcpy(p->bytes, a->send.bytes, a->send.len);
	CU_ASSERT_EQUAL(a->send.remote != NULL, n->plain);
	if (a->send.remote) {
		p->path = a->send.remote->ip[2];
		p->local_port = a->send.remote->port;
		p->remote = plain_addr(from, a->send.path);
		p->remote.port = a->send.local_port;
	}
	if ((n->box || n->split) && !boxed(n, from, a->send.path, p)) {
		free(p);
		return;
	}
	n->flight[n->count++] = p;
}

static void act(struct net *n, int side, const struct action *a)
{
	struct side *s = &n->side[side];

	switch (a->kind) {
	case ACT_SEND:
		send_packet(n, side, a);
		return;
	case ACT_DIAL:
		s->conn = a->conn;
		s->destination = a->dial.destination;
		s->dialled = true;
		if (!n->hold_dial)
			dialled(n);
		return;
	case ACT_OPENED:
		s->opened = a->opened.result == OPEN_OK;
		s->result = a->opened.result;
		s->icmp_code = a->opened.icmp_code;
		if (!s->opened)
			s->conn = 0;
		return;
	case ACT_DATA: {
		struct event ev = { .kind = EV_CONSUMED, .consumed = { .conn = a->conn, .len = a->data.len } };

		if (s->full)
			return;
		for (size_t i = 0; i < a->data.len; i++, s->received++)
			if (s->tolerant)
				s->wrong += a->data.bytes[i] != (uint8_t)(s->received * 31 >> 3);
			else
				CU_ASSERT_EQUAL_FATAL(a->data.bytes[i], (uint8_t)(s->received * 31 >> 3));
		CU_ASSERT_EQUAL(engine_input(s->e, &ev, n->now), ERR_OK);
		return;
	}
	case ACT_EOF:
		s->eof = true;
		return;
	case ACT_ROOM:
	case ACT_OPTIONS:
		return;
	case ACT_RESET:
		s->reset = true;
		s->why = a->reset.why;
		s->conn = 0;
		return;
	case ACT_CLOSED:
		s->closed = true;
		s->conn = 0;
		return;
	case ACT_PROBE:
		s->probes++;
		return;
	case ACT_PORT_FREE:
		s->ports_freed++;
		return;
	}
}

/* Runs until nothing moves, or until the time. */
static void run(struct net *n, usec_t until)
{
	while (n->now <= until) {
		usec_t next = USEC_NEVER;
		unsigned first = 0;

		for (int i = 0; i < SIDES; i++) {
			struct action a;

			write_more(n, i);
			while (engine_output(n->side[i].e, &a, n->now)) {
				act(n, i, &a);
				write_more(n, i);
			}
			engine_check(n->side[i].e);
		}
		for (int i = 0; i < SIDES; i++)
			next = usec_min(next, engine_deadline(n->side[i].e));
		for (unsigned k = 0; k < n->count; k++)
			if (n->flight[k]->at < next || (n->flight[k]->at == next && n->flight[first]->at != next)) {
				next = n->flight[k]->at;
				first = k;
			}
		if (next == USEC_NEVER || next > until)
			break;
		n->now = usec_max(n->now, next);
		if (n->count && n->flight[first]->at <= n->now) {
			struct packet *p = n->flight[first];
			struct event ev = {
				.kind = EV_SEGMENT,
				.segment = {
					.path = p->path, .bytes = p->bytes, .len = p->len, .local_port = p->local_port,
					.remote = p->remote, .listening = p->local_port == 80,
				},
			};

			memmove(n->flight + first, n->flight + first + 1, (--n->count - first) * sizeof *n->flight);
			(void)!engine_input(n->side[p->to].e, &ev, n->now);
			free(p);
		}
	}
	n->now = usec_max(n->now, until);
}

static void connect_to(struct net *n)
{
	struct event ev = { .kind = EV_CONNECT, .connect = { .destination = { .family = 4, .ip = { 192, 0, 2, 9 }, .port = 80 } } };

	if (n->plain) {
		ev.connect.destination = plain_addr(1, 0);
		ev.connect.destination.port = 80;
	}
	CU_ASSERT_EQUAL_FATAL(engine_input(n->side[0].e, &ev, n->now), ERR_OK);
	n->side[0].conn = ev.connect.conn;
}

static inline void nothing_left(struct net *n)
{
	for (int i = 0; i < SIDES; i++) {
		struct engine_stats st;

		engine_stats(n->side[i].e, &st);
		CU_ASSERT_EQUAL(st.connections, 0);
		CU_ASSERT_EQUAL(st.subflows, 0);
		CU_ASSERT_EQUAL(st.memory_used, 0);
	}
}

#endif
