/* SPDX-License-Identifier: MIT */
/*
 * The engine's door: the input is a story of two engines and the network between them, which delivers, drops, doubles,
 * delays, spoils and forges. Forged options know the keys, so that the checks behind them are reached too. What must hold:
 * nothing is read or written out of bounds (sanitizers), every invariant that can be checked from inside (engine_check()),
 * each engine comes to rest, and memory stays below its limit.
 */
#include "tests/fuzz/fuzz_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "tunneld/mptcp/convert.h"
#include "tunneld/mptcp/engine.h"
#include "tunneld/mptcp/token.h"
#include "tunneld/wire/option_rules.h"

/* Not assert(): must hold in a build with NDEBUG too. */
#define HOLDS(what) do { if (!(what)) { dprintf(2, "%s:%d: %s\n", __FILE__, __LINE__, #what); abort(); } } while (0)

enum { A, B, WIRE = 48, CONNS = 4, PATHS = 3, ROOM = 1500, REST_MAX = 20000, MEMORY = 4 << 20 };
enum op {
	OP_DELIVER, OP_DELIVER_ALL, OP_DROP, OP_DOUBLE, OP_LATE, OP_SPOIL, OP_FORGE, OP_RAW, OP_WAIT, OP_WAIT_LONG, OP_CONNECT, OP_DIALLED,
	OP_WRITE, OP_READ, OP_SHUTDOWN, OP_ABORT, OP_PATH, OP_LOST, OP_FAULT, OP_CONVERSE, OP_OPTIONS, OPS,
};

struct packet { int to; path_id path; uint16_t local_port; struct addr remote; size_t len; uint8_t bytes[ROOM]; };
struct end {
	struct engine *e;
	struct counters counters;
	conn_id conns[CONNS];
	bool dialling[CONNS];
	uint64_t key;
	bool key_known;
};
struct story {
	struct rd in;
	struct end end[2];
	struct packet wire[WIRE];
	unsigned wires;
	bool plain, announce;
	usec_t now;
};

static struct addr local_of(int which, path_id path)
{
	return (struct addr){ .family = 4, .ip = { 10, (uint8_t)which, (uint8_t)path, 1 } };
}

static void path_event(struct story *y, int which, path_id path, enum path_state state, bool gone, bool backup)
{
	struct event ev = {
		.kind = EV_PATH,
		.path = {
			.path = path, .state = state, .gone = gone, .backup = backup, .may_initiate = which == A,
			.addr_id = (uint8_t)(path + 1), .mtu_payload = 1400, .rtt_us = 20000, .name = "p",
			.local = local_of(which, path), .remote = local_of(!which, path), .peer_uperf = true, .peer_long_prio = true, .peer_carried = true,
			.service = (uint8_t)(path >> 1), .announce = y->announce, .no_joins = y->announce && !path,
		},
	};

	(void)!engine_input(y->end[which].e, &ev, y->now);
}

static void start(struct story *y, uint8_t how)
{
	y->plain = how & 1;
	y->announce = how & 8;
	y->now = 1000000;
	for (int i = A; i <= B; i++) {
		uint8_t seed[32] = { (uint8_t)(i + 1) };
		struct engine_config c = {
			.connections_max = CONNS, .paths_max = PATHS + 1, .memory_max = MEMORY, .checksum = how & 2,
			.fastclose = how & 4 ? FASTCLOSE_ACK : FASTCLOSE_RST, .form = y->plain ? SEGMENT_PLAIN : SEGMENT_SEALED,
			.gateway = i == B, .facts = how & 16 ? 8 : 0, .counters = &y->end[i].counters,
			.uperf_timeout_ms = how & 32 ? 400 : 0, .user_timeout_ms = how & 64 ? 5000 : 0,
		};

		HOLDS(y->end[i].e = engine_new(&c, seed, y->now));
		for (path_id p = 0; p < 2; p++)
			path_event(y, i, p, PATH_UP, false, p && how & 128);
	}
}

/* --- what an engine wants --- */

static void learn_key(struct story *y, int from, const struct packet *p)
{
	struct segment s = { 0 };
	const struct mptcp_option *mpc;

	if (segment_parse(&s, p->bytes, p->len, y->plain ? SEGMENT_PLAIN : SEGMENT_SEALED) != ERR_OK)
		return;
	mpc = segment_mptcp(&s, MP_CAPABLE);
	if (mpc && mpc->capable.keys) {
		y->end[from].key = mpc->capable.sender_key;
		y->end[from].key_known = true;
	}
}

static void send_packet(struct story *y, int from, const struct action *a)
{
	struct packet *p;

	HOLDS(a->send.len <= ROOM);
	HOLDS(!y->plain == !a->send.remote);
	if (y->wires == WIRE)
		return; /* a full network drops */
	p = &y->wire[y->wires++];
	p->to = !from;
	p->path = a->send.path;
	p->len = a->send.len;
	memcpy(p->bytes, a->send.bytes, a->send.len);
	if (y->plain) {
		p->path = a->send.remote->ip[2];
		p->local_port = a->send.remote->port;
		p->remote = local_of(from, a->send.path);
		p->remote.port = a->send.local_port;
	}
	learn_key(y, from, p);
}

static void pump(struct story *y, int which)
{
	struct end *e = &y->end[which];
	struct engine_stats stats;
	struct fact fact;
	struct action a;
	unsigned count = 0;

	while (engine_output(e->e, &a, y->now)) {
		HOLDS(++count < REST_MAX);
		if (a.kind == ACT_SEND)
			send_packet(y, which, &a);
		for (unsigned i = 0; a.kind == ACT_DIAL && i < CONNS; i++)
			if (!e->conns[i] || i == CONNS - 1) {
				e->conns[i] = a.conn;
				e->dialling[i] = true;
				break;
			}
		for (unsigned i = 0; i < CONNS && (a.kind == ACT_RESET || a.kind == ACT_CLOSED); i++)
			if (e->conns[i] == a.conn)
				e->conns[i] = 0;
	}
	while (engine_next_fact(e->e, &fact))
		;
	engine_check(e->e);
	engine_stats(e->e, &stats);
	HOLDS(stats.memory_used <= stats.memory_max);
	HOLDS(engine_deadline(e->e) > 0);
}

static void input(struct story *y, int which, struct event *ev)
{
	(void)!engine_input(y->end[which].e, ev, y->now); /* what it does not like is a value */
	engine_check(y->end[which].e);
	pump(y, which);
}

/* --- the network --- */

static void deliver(struct story *y, const struct packet *p)
{
	struct event ev = {
		.kind = EV_SEGMENT,
		.segment = { .path = p->path, .len = p->len, .local_port = p->local_port, .listening = p->to == B, .remote = p->remote },
	};
	uint8_t *exact = malloc(p->len ? p->len : 1);

	HOLDS(exact);
	memcpy(exact, p->bytes, p->len);
	ev.segment.bytes = exact;
	input(y, p->to, &ev);
	free(exact);
}

static void take(struct story *y, unsigned i, struct packet *out)
{
	*out = y->wire[i];
	memmove(&y->wire[i], &y->wire[i + 1], (y->wires - i - 1) * sizeof y->wire[0]);
	y->wires--;
}

static unsigned pick(struct story *y) { return rd_u8(&y->in) % y->wires; }

static void deliver_first(struct story *y)
{
	static struct packet p;

	take(y, 0, &p);
	deliver(y, &p);
}

static void spoil(struct story *y)
{
	struct packet *p = &y->wire[pick(y)];
	size_t at = rd_u8(&y->in), head = y->plain ? 0 : 4;

	if (at & 1 && p->len > head)
		at = head + at / 2; /* the header more often than the rest */
	if (p->len)
		p->bytes[at % p->len] ^= rd_u8(&y->in);
	if (rd_u8(&y->in) % 8 == 0 && p->len)
		p->len -= rd_u8(&y->in) % p->len;
}

static uint64_t a_key(struct story *y, int to)
{
	uint8_t which = rd_u8(&y->in);

	return which & 4 ? which : which & 1 && y->end[to].key_known ? y->end[to].key : y->end[!to].key;
}

static void option_of(struct story *y, int to, struct mptcp_option *o, const struct segment *s)
{
	const struct mptcp_option *old = segment_mptcp(s, DSS);
	uint64_t mine = y->end[!to].key, theirs = y->end[to].key;
	uint8_t hmac[32];

	*o = (struct mptcp_option){ .subtype = rd_u8(&y->in) % 10 };
	switch (o->subtype) {
	case MP_CAPABLE:
		o->capable.version = 1;
		o->capable.flags = rd_u8(&y->in);
		o->capable.keys = rd_u8(&y->in) % 3;
		o->capable.sender_key = a_key(y, !to);
		o->capable.receiver_key = a_key(y, to);
		o->capable.has_length = o->capable.keys == 2 && rd_u8(&y->in) & 1;
		o->capable.data_len = rd_u8(&y->in);
		break;
	case MP_JOIN:
		o->join.form = rd_u8(&y->in) % 3;
		o->join.backup = rd_u8(&y->in) & 1;
		o->join.addr_id = rd_u8(&y->in) % 4;
		{
			struct dsn idsn;

			token_of_key(a_key(y, to), &o->join.token, &idsn);
		}
		o->join.nonce = rd_u8(&y->in);
		token_join_hmac(mine, theirs, o->join.nonce, o->join.nonce, hmac);
		memcpy(o->join.hmac, hmac, sizeof o->join.hmac);
		break;
	case DSS:
		if (old)
			*o = *old;
		o->dss.has_ack ^= rd_u8(&y->in) % 4 == 0;
		o->dss.has_map ^= rd_u8(&y->in) % 4 == 0;
		o->dss.data_ack += (uint64_t)(int64_t)(int8_t)rd_u8(&y->in) * 64;
		o->dss.dsn += (uint64_t)(int64_t)(int8_t)rd_u8(&y->in) * 64;
		o->dss.ssn += (uint32_t)(int32_t)(int8_t)rd_u8(&y->in) * 16;
		o->dss.len = (uint16_t)(o->dss.len + (int8_t)rd_u8(&y->in));
		o->dss.data_fin ^= rd_u8(&y->in) % 8 == 0;
		o->dss.has_checksum ^= rd_u8(&y->in) % 8 == 0;
		if (rd_u8(&y->in) % 8 == 0)
			o->dss.len = 0;
		if (!o->dss.has_map)
			o->dss.has_checksum = o->dss.data_fin = false;
		if (!o->dss.ack_is_64)
			o->dss.data_ack = (uint32_t)o->dss.data_ack;
		if (!o->dss.dsn_is_64)
			o->dss.dsn = (uint32_t)o->dss.dsn;
		break;
	case ADD_ADDR:
		o->add_addr.echo = rd_u8(&y->in) & 1;
		o->add_addr.has_port = rd_u8(&y->in) & 1;
		o->add_addr.addr_id = rd_u8(&y->in) % 5;
		o->add_addr.addr = local_of(!to, rd_u8(&y->in) % PATHS);
		o->add_addr.addr.port = o->add_addr.has_port ? 80 : 0;
		o->add_addr.hmac = token_add_addr_hmac(mine, theirs, o->add_addr.addr_id, &o->add_addr.addr, o->add_addr.has_port);
		break;
	case REMOVE_ADDR:
		o->remove_addr.count = 1 + rd_u8(&y->in) % ADDR_ID_MAX;
		for (unsigned i = 0; i < o->remove_addr.count; i++)
			o->remove_addr.ids[i] = rd_u8(&y->in) % 4;
		break;
	case MP_PRIO:
		o->prio.backup = rd_u8(&y->in) & 1;
		o->prio.has_max_rto = rd_u8(&y->in) & 1;
		o->prio.max_rto_ms = rd_u8(&y->in) * 8u;
		break;
	case MP_FAIL:
		o->fail.dsn = dsn_of(old ? old->dss.data_ack : rd_u8(&y->in));
		break;
	case MP_FASTCLOSE:
		o->fastclose.receiver_key = a_key(y, to);
		break;
	case MP_TCPRST:
		o->tcprst.transient = rd_u8(&y->in) & 1;
		o->tcprst.reason = rd_u8(&y->in) % 8;
		break;
	default:
		o->fault.cause = rd_u8(&y->in) % 16;
		o->fault.dst_addr_id = rd_u8(&y->in) % 4;
		o->fault.src_addr_id = rd_u8(&y->in) % 4;
		break;
	}
}

/* A segment that is on its way becomes another one: flags, numbers, options; some options gone, some new. */
static void forge(struct story *y)
{
	enum segment_form form = y->plain ? SEGMENT_PLAIN : SEGMENT_SEALED;
	struct packet *p = &y->wire[pick(y)];
	static uint8_t bytes[ROOM];
	struct wr to = wr_of(bytes, sizeof bytes);
	struct segment s = { 0 };
	uint8_t how = rd_u8(&y->in);

	if (segment_parse(&s, p->bytes, p->len, form) != ERR_OK)
		return;
	if (how & 1 && s.mptcp_count)
		s.mptcp_count--;
	if (how & 2 && s.mptcp_count < SEGMENT_MPTCP_MAX)
		option_of(y, p->to, &s.mptcp[s.mptcp_count++], &s);
	else if (how & 4 && s.mptcp_count)
		option_of(y, p->to, &s.mptcp[0], &s);
	if (how & 8)
		s.flags = (s.flags & (uint8_t)~(TCP_SYN | TCP_RST | TCP_FIN)) | (rd_u8(&y->in) & (TCP_FIN | TCP_RST));
	if (how & 16)
		s.seq = ssn_add(s.seq, (uint32_t)(int32_t)(int8_t)rd_u8(&y->in));
	if (how & 32)
		s.ack = ssn_add(s.ack, (uint32_t)(int32_t)(int8_t)rd_u8(&y->in));
	if (how & 64)
		s.window = (uint16_t)(rd_u8(&y->in) * 4);
	if (how & 128)
		s.mptcp_count = 0;
	option_rules_fit(&s);
	if (segment_emit(&to, &s, form) != ERR_OK)
		return;
	p->len = wr_len(&to);
	memcpy(p->bytes, bytes, p->len);
}

static void raw(struct story *y)
{
	struct packet p = { .to = rd_u8(&y->in) & 1, .path = rd_u8(&y->in) % PATHS };

	p.len = rd_u8(&y->in);
	for (size_t i = 0; i < p.len; i++)
		p.bytes[i] = rd_u8(&y->in);
	p.local_port = 80;
	p.remote = local_of(!p.to, 0);
	p.remote.port = (uint16_t)(1000 + rd_u8(&y->in) % 4);
	deliver(y, &p);
}

/* --- the hosts --- */

static void wait_us(struct story *y, usec_t longest)
{
	usec_t d = longest;

	for (int i = A; i <= B; i++) {
		usec_t next = engine_deadline(y->end[i].e);

		if (next != USEC_NEVER)
			d = usec_min(d, next > y->now ? next - y->now : 1);
	}
	y->now += d;
	pump(y, A);
	pump(y, B);
}

static void connect_now(struct story *y)
{
	struct event ev = { .kind = EV_CONNECT, .connect = { .destination = local_of(B, 0) } };

	ev.connect.destination.port = 80;
	input(y, A, &ev);
	for (unsigned i = 0; i < CONNS; i++)
		if (!y->end[A].conns[i]) {
			y->end[A].conns[i] = ev.connect.conn;
			break;
		}
}

static void host(struct story *y, enum op op)
{
	uint8_t who = rd_u8(&y->in), n = who >> 1 & (CONNS - 1);
	int which = who & 1;
	struct end *e = &y->end[which];
	struct event ev = { .conn = e->conns[n] };
	static const uint8_t text[4096];

	switch (op) {
	case OP_DIALLED:
		ev = (struct event){
			.kind = EV_DIALLED, .dialled = { .conn = y->end[B].conns[n], .result = who & 0x80 ? OPEN_REFUSED : OPEN_OK },
		};
		input(y, B, &ev);
		return;
	case OP_WRITE:
		ev = (struct event){ .kind = EV_WRITE, .write = { .conn = e->conns[n], .bytes = text, .len = rd_u8(&y->in) * 16u } };
		break;
	case OP_READ:
		{
			const uint8_t *bytes;
			size_t len = engine_readable(e->e, e->conns[n], &bytes);

			ev = (struct event){ .kind = EV_CONSUMED, .consumed = { .conn = e->conns[n], .len = who & 0x80 ? len / 2 : len } };
		}
		break;
	case OP_SHUTDOWN:
		ev.kind = EV_SHUTDOWN;
		break;
	case OP_OPTIONS:
		ev = (struct event){
			.kind = EV_OPTIONS,
			.options = { .conn = e->conns[n], .user_timeout_ms = who * 100u, .carried = { .keep_idle_s = who, .tos = n } },
		};
		break;
	default:
		ev.kind = who & 0x80 ? EV_ABORT_AFTER : EV_ABORT;
		e->conns[n] = 0;
		break;
	}
	input(y, which, &ev);
}

static void path_op(struct story *y)
{
	uint8_t how = rd_u8(&y->in);

	path_event(y, how & 1, (how >> 1) % PATHS, how >> 3 & 3 ? PATH_UP : how & 32 ? PATH_DOWN : PATH_SUSPECT, how & 64, how & 128);
	pump(y, how & 1);
}

static void lost(struct story *y)
{
	const struct packet *p = &y->wire[pick(y)];
	uint8_t how = rd_u8(&y->in);
	struct event ev = {
		.kind = EV_LOST,
		.lost = {
			.path = p->remote.ip[2], .local_port = p->remote.port, .has_seq = how & 1, .mtu_payload = how & 2 ? 600 : 0,
			.seq = be_get32(p->bytes + 4), .remote = local_of(p->to, p->path), .why = OPEN_HOST_UNREACHABLE,
		},
	};

	ev.lost.remote.port = p->local_port;
	if (y->plain && p->len >= 12)
		input(y, !p->to, &ev);
}

static void fault(struct story *y)
{
	uint8_t how = rd_u8(&y->in);
	struct event ev = {
		.kind = EV_FAULT, .fault = { .path = how % PATHS, .id = 1, .cause = 0x0a + how % 5, .transient = how & 64 },
	};

	input(y, how >> 7, &ev);
}

static void converse(struct story *y)
{
	for (unsigned i = 0; i < 12 && y->wires; i++)
		deliver_first(y);
	y->now += 5000;
	pump(y, A);
	pump(y, B);
}

static void step(struct story *y)
{
	static struct packet p;
	enum op op = rd_u8(&y->in) % OPS;

	if (!y->wires && (op == OP_DELIVER || (op >= OP_DELIVER_ALL && op <= OP_FORGE) || op == OP_LOST))
		op = OP_WAIT;
	switch (op) {
	case OP_DELIVER:
		take(y, pick(y), &p);
		deliver(y, &p);
		break;
	case OP_DELIVER_ALL:
		for (unsigned i = 0; i < WIRE && y->wires; i++)
			deliver_first(y);
		break;
	case OP_DROP:
		take(y, pick(y), &p);
		break;
	case OP_DOUBLE:
		p = y->wire[pick(y)];
		deliver(y, &p);
		break;
	case OP_LATE:
		take(y, 0, &p);
		y->wire[y->wires++] = p;
		break;
	case OP_SPOIL:
		spoil(y);
		break;
	case OP_FORGE:
		forge(y);
		break;
	case OP_RAW:
		raw(y);
		break;
	case OP_WAIT:
		wait_us(y, 50000);
		break;
	case OP_WAIT_LONG:
		wait_us(y, 70 * USEC_PER_S);
		break;
	case OP_CONNECT:
		connect_now(y);
		break;
	case OP_PATH:
		path_op(y);
		break;
	case OP_LOST:
		lost(y);
		break;
	case OP_FAULT:
		fault(y);
		break;
	case OP_CONVERSE:
		converse(y);
		break;
	default:
		host(y, op);
		break;
	}
}

/* Most stories would end before a connection is open: this one begins with it. */
static void open_first(struct story *y)
{
	connect_now(y);
	converse(y);
	for (unsigned i = 0; i < CONNS; i++) {
		struct event ev = { .kind = EV_DIALLED, .dialled = { .conn = y->end[B].conns[i] } };

		if (y->end[B].conns[i])
			input(y, B, &ev);
	}
	converse(y);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct story y;
	uint8_t how;

	memset(&y, 0, sizeof y);
	y.in = rd_of(bytes, len);
	start(&y, rd_u8(&y.in));
	how = rd_u8(&y.in);
	if (how & 1)
		open_first(&y);
	while (rd_left(&y.in))
		step(&y);
	for (int i = A; i <= B; i++)
		engine_free(y.end[i].e);
	return 0;
}

#ifndef PLAIT_LIBFUZZER
static size_t fuzz_generate(uint64_t seed, uint8_t *bytes)
{
	size_t len = 64 + fuzz_random(&seed) % 600;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)fuzz_random(&seed);
	bytes[1] |= 1;
	return len;
}
#endif
