/* SPDX-License-Identifier: MIT */
/*
 * Two engines back to back over two paths in virtual time. Each path has a delay and a loss of its own, and can be cut.
 * The hosts on both sides echo what the test wants to see: what was opened, read, ended.
 */
#include "tests/unit/unit.h"
#include "tunneld/mptcp/engine.h"

#include <stdlib.h>
#include <string.h>

#define MS USEC_PER_MS

enum { PATHS = 2, FLIGHT = 8192, MTU = 1400, SIDES = 2 };

struct packet { usec_t at; int to; path_id path; size_t len; uint8_t bytes[MTU + 64]; };

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
	unsigned probes;
};

struct net {
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

static void path_event(struct net *n, int side, path_id path, enum path_state state, bool gone)
{
	struct event ev = {
		.kind = EV_PATH,
		.path = {
			.path = path, .peer = 0, .state = state, .gone = gone, .may_initiate = side == 0, .addr_id = (uint8_t)(path + 1),
			.mtu_payload = MTU, .name = path ? "two" : "one",
		},
	};

	CU_ASSERT_EQUAL(engine_input(n->side[side].e, &ev, n->now), ERR_OK);
}

static void start(struct net *n, bool fastclose_ack, bool checksum, unsigned paths)
{
	*n = (struct net){ .now = 1000000, .delay = { 10 * MS, 30 * MS }, .chance = 7 };
	for (int i = 0; i < SIDES; i++) {
		struct engine_config g = {
			.connections_max = 8, .paths_max = 4, .memory_max = 32 << 20, .gateway = i == 1, .checksum = checksum,
			.fastclose = fastclose_ack ? FASTCLOSE_ACK : FASTCLOSE_RST, .counters = &n->side[i].counters,
			.connect_timeout_us = 20 * USEC_PER_S, .close_timeout_us = 20 * USEC_PER_S, .dead_timeout_us = 30 * USEC_PER_S,
		};
		uint8_t seed[32] = { (uint8_t)(i + 1) };

		n->side[i].e = engine_new(&g, seed, n->now);
		CU_ASSERT_PTR_NOT_NULL_FATAL(n->side[i].e);
	}
	for (unsigned p = 0; p < paths; p++)
		for (int i = 0; i < SIDES; i++)
			path_event(n, i, p, PATH_UP, false);
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

static void tell(struct net *n, int side, enum event_kind kind)
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
			CU_ASSERT_EQUAL_FATAL(a->data.bytes[i], (uint8_t)(s->received * 31 >> 3));
		CU_ASSERT_EQUAL(engine_input(s->e, &ev, n->now), ERR_OK);
		return;
	}
	case ACT_EOF:
		s->eof = true;
		return;
	case ACT_ROOM:
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
			struct event ev = { .kind = EV_SEGMENT, .segment = { .path = p->path, .bytes = p->bytes, .len = p->len } };

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

	CU_ASSERT_EQUAL_FATAL(engine_input(n->side[0].e, &ev, n->now), ERR_OK);
	n->side[0].conn = ev.connect.conn;
}

static void nothing_left(struct net *n)
{
	for (int i = 0; i < SIDES; i++) {
		struct engine_stats st;

		engine_stats(n->side[i].e, &st);
		CU_ASSERT_EQUAL(st.connections, 0);
		CU_ASSERT_EQUAL(st.subflows, 0);
		CU_ASSERT_EQUAL(st.memory_used, 0);
	}
}

static void test_open_transfer_and_close_on_one_path(void)
{
	struct net n;

	start(&n, false, false, 1);
	n.side[0].to_write = 200000;
	n.side[1].to_write = 300000;
	n.side[0].shut_after_write = n.side[1].shut_after_write = true;
	connect_to(&n);
	run(&n, n.now + 30 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].opened);
	CU_ASSERT_EQUAL(n.side[1].destination.port, 80);
	CU_ASSERT_EQUAL(n.side[1].received, 200000);
	CU_ASSERT_EQUAL(n.side[0].received, 300000);
	for (int i = 0; i < SIDES; i++)
		CU_ASSERT_TRUE(n.side[i].eof && n.side[i].closed && !n.side[i].reset);
	nothing_left(&n);
	stop(&n);
}

static void test_two_lossy_paths_with_checksums_carry_all(void)
{
	struct net n;

	start(&n, false, true, 2);
	n.loss[0] = 3;
	n.loss[1] = 5;
	n.side[0].to_write = 1500000;
	n.side[1].to_write = 500000;
	n.side[0].shut_after_write = n.side[1].shut_after_write = true;
	connect_to(&n);
	run(&n, n.now + 120 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 1500000);
	CU_ASSERT_EQUAL(n.side[0].received, 500000);
	CU_ASSERT_TRUE(n.side[0].closed && n.side[1].closed);
	CU_ASSERT_TRUE(n.side[1].counters.v[CNT_MPJoinEstab] >= 1);
	CU_ASSERT_TRUE(n.sent[1] > 100);
	CU_ASSERT_EQUAL(n.side[1].counters.v[CNT_DataCsumErr], 0);
	nothing_left(&n);
	stop(&n);
}

static void test_a_silent_path_is_left_and_its_data_goes_by_the_other(void)
{
	struct net n;
	usec_t cut_at;

	start(&n, false, false, 2);
	n.side[0].to_write = 20000000;
	connect_to(&n);
	run(&n, n.now + 300 * MS);
	CU_ASSERT_TRUE_FATAL(n.side[1].received > 0 && n.side[1].received < 15000000);
	n.cut[0] = true;
	cut_at = n.now;
	{
		uint64_t before = n.side[1].received;

		run(&n, cut_at + 400 * MS);
		CU_ASSERT_TRUE(n.side[1].received > before + 50000);
	}
	CU_ASSERT_TRUE(n.side[0].probes > 0);
	n.cut[0] = false;
	path_event(&n, 0, 0, PATH_UP, false);
	run(&n, cut_at + 60 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 20000000);
	tell(&n, 0, EV_ABORT);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[1].reset);
	nothing_left(&n);
	stop(&n);
}

static void test_what_a_dead_subflow_holds_is_bounded_and_it_goes(void)
{
	struct net n;
	struct conn_info info;
	struct engine_stats st;

	start(&n, false, false, 2);
	n.side[0].to_write = 60000000;
	connect_to(&n);
	run(&n, n.now + 300 * MS);
	n.cut[0] = true;
	path_event(&n, 0, 0, PATH_SUSPECT, false);
	for (int i = 0; i < 20; i++) {
		run(&n, n.now + 100 * MS);
		CU_ASSERT_EQUAL_FATAL(engine_conn_info(n.side[0].e, n.side[0].conn, &info), ERR_OK);
		CU_ASSERT_TRUE(info.snd_buffer < 16u << 20);
	}
	run(&n, n.now + 60 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 60000000);
	engine_stats(n.side[0].e, &st);
	CU_ASSERT_EQUAL(st.subflows, 1);
	CU_ASSERT_EQUAL(st.memory_used, 0);
	stop(&n);
}

static void test_break_before_make(void)
{
	struct net n;

	start(&n, false, false, 2);
	n.side[0].to_write = 3000000;
	n.side[0].shut_after_write = n.side[1].shut_after_write = true;
	connect_to(&n);
	run(&n, n.now + 500 * MS);
	for (unsigned p = 0; p < 2; p++) {
		path_event(&n, 0, p, PATH_DOWN, true);
		n.cut[p] = true;
	}
	run(&n, n.now + 10 * USEC_PER_S);
	CU_ASSERT_FALSE(n.side[0].reset || n.side[1].reset);
	n.cut[1] = false;
	path_event(&n, 0, 1, PATH_UP, false);
	run(&n, n.now + 60 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 3000000);
	CU_ASSERT_TRUE(n.side[0].closed && n.side[1].closed);
	nothing_left(&n);
	stop(&n);
}

static void test_a_syn_is_raced_on_the_next_path(void)
{
	struct net n;

	start(&n, false, false, 2);
	n.cut[0] = n.cut[1] = true;
	connect_to(&n);
	run(&n, n.now + 10 * MS);
	n.cut[n.sent[0] ? 1 : 0] = false;
	run(&n, n.now + 600 * MS);
	CU_ASSERT_TRUE(n.side[0].opened);
	CU_ASSERT_TRUE(n.side[0].counters.v[CNT_SynRaced] >= 1);
	stop(&n);
}

static void test_a_refused_dial_comes_back_by_name(void)
{
	struct net n;

	start(&n, false, false, 1);
	n.dial_result = OPEN_HOST_UNREACHABLE;
	n.dial_icmp = 1;
	connect_to(&n);
	run(&n, n.now + 20 * USEC_PER_S);
	CU_ASSERT_FALSE(n.side[0].opened);
	CU_ASSERT_EQUAL(n.side[0].result, OPEN_HOST_UNREACHABLE);
	CU_ASSERT_EQUAL(n.side[0].icmp_code, 1);
	nothing_left(&n);
	stop(&n);
}

static void test_nobody_answers(void)
{
	struct net n;

	start(&n, false, false, 2);
	n.cut[0] = n.cut[1] = true;
	connect_to(&n);
	run(&n, n.now + 60 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[0].result, OPEN_TIMED_OUT);
	nothing_left(&n);
	stop(&n);
}

static void test_abort_while_the_gateway_dials_cancels_the_dial(void)
{
	struct net n;

	start(&n, false, false, 1);
	n.hold_dial = true;
	connect_to(&n);
	run(&n, n.now + 100 * MS);
	CU_ASSERT_TRUE(n.side[1].dialled);
	tell(&n, 0, EV_ABORT);
	run(&n, n.now + 100 * MS);
	CU_ASSERT_TRUE(n.side[1].reset);
	nothing_left(&n);
	stop(&n);
}

static void fastclose_by(int side, bool ack_form)
{
	struct net n;

	start(&n, ack_form, false, 2);
	n.side[0].to_write = 100000;
	connect_to(&n);
	run(&n, n.now + 2 * USEC_PER_S);
	CU_ASSERT_TRUE_FATAL(n.side[0].opened && n.side[1].received == 100000);
	tell(&n, side, EV_ABORT);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[!side].reset);
	CU_ASSERT_EQUAL(n.side[!side].why, OPEN_RESET);
	CU_ASSERT_FALSE(n.side[side].reset);
	nothing_left(&n);
	stop(&n);
}

static void test_fast_close_by_rst_from_either_side(void)
{
	fastclose_by(0, false);
	fastclose_by(1, false);
}

static void test_fast_close_by_ack_from_either_side(void)
{
	fastclose_by(0, true);
	fastclose_by(1, true);
}

static void test_a_fast_close_that_nobody_heard_is_learnt_by_the_next_data(void)
{
	struct net n;

	start(&n, false, false, 2);
	n.side[0].to_write = 50000;
	connect_to(&n);
	run(&n, n.now + 2 * USEC_PER_S);
	n.cut[0] = n.cut[1] = true;
	tell(&n, 1, EV_ABORT);
	run(&n, n.now + 1 * USEC_PER_S);
	n.cut[0] = n.cut[1] = false;
	CU_ASSERT_FALSE(n.side[0].reset);
	n.side[0].to_write += 1000;
	run(&n, n.now + 10 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].reset);
	CU_ASSERT_EQUAL(n.side[0].why, OPEN_RESET);
	CU_ASSERT_EQUAL(n.side[1].counters.v[CNT_MPJoinNoTokenFound] > 0, true);
	nothing_left(&n);
	stop(&n);
}

static void test_half_close_leaves_the_other_direction_open(void)
{
	struct net n;

	start(&n, false, false, 2);
	n.side[0].to_write = 1000;
	n.side[0].shut_after_write = true;
	connect_to(&n);
	run(&n, n.now + 30 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[1].eof);
	CU_ASSERT_FALSE(n.side[0].closed || n.side[1].closed || n.side[0].reset || n.side[1].reset);
	n.side[1].to_write = 700000;
	n.side[1].shut_after_write = true;
	run(&n, n.now + 30 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[0].received, 700000);
	CU_ASSERT_TRUE(n.side[0].closed && n.side[1].closed);
	nothing_left(&n);
	stop(&n);
}

static void test_a_reader_that_stops_stops_the_writer_and_starts_it_again(void)
{
	struct net n;
	const uint8_t *bytes;
	size_t len;

	start(&n, false, false, 1);
	n.side[0].to_write = 5000000;
	n.side[1].full = true;
	connect_to(&n);
	run(&n, n.now + 20 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].written < 2000000);
	n.side[1].full = false;
	while ((len = engine_readable(n.side[1].e, n.side[1].conn, &bytes)) != 0 && n.side[1].received < 1) {
		struct event ev = { .kind = EV_CONSUMED, .consumed = { .conn = n.side[1].conn, .len = len } };

		n.side[1].received += len;
		CU_ASSERT_EQUAL(engine_input(n.side[1].e, &ev, n.now), ERR_OK);
	}
	run(&n, n.now + 30 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 5000000);
	tell(&n, 1, EV_ABORT);
	run(&n, n.now + 5 * USEC_PER_S);
	nothing_left(&n);
	stop(&n);
}

static void test_an_idle_connection_holds_no_pages(void)
{
	struct net n;
	struct engine_stats st;

	start(&n, false, false, 2);
	n.side[0].to_write = n.side[1].to_write = 100000;
	connect_to(&n);
	run(&n, n.now + 5 * USEC_PER_S);
	for (int i = 0; i < SIDES; i++) {
		engine_stats(n.side[i].e, &st);
		CU_ASSERT_EQUAL(st.memory_used, 0);
		CU_ASSERT_EQUAL(st.connections, 1);
		CU_ASSERT_EQUAL(st.subflows, 2);
		CU_ASSERT_EQUAL(engine_deadline(n.side[i].e), USEC_NEVER);
	}
	stop(&n);
}

UNIT_MAIN("engine", T(test_open_transfer_and_close_on_one_path), T(test_two_lossy_paths_with_checksums_carry_all),
	  T(test_a_silent_path_is_left_and_its_data_goes_by_the_other),
	  T(test_what_a_dead_subflow_holds_is_bounded_and_it_goes), T(test_break_before_make),
	  T(test_a_syn_is_raced_on_the_next_path), T(test_a_refused_dial_comes_back_by_name), T(test_nobody_answers),
	  T(test_abort_while_the_gateway_dials_cancels_the_dial), T(test_fast_close_by_rst_from_either_side),
	  T(test_fast_close_by_ack_from_either_side), T(test_a_fast_close_that_nobody_heard_is_learnt_by_the_next_data),
	  T(test_half_close_leaves_the_other_direction_open), T(test_a_reader_that_stops_stops_the_writer_and_starts_it_again),
	  T(test_an_idle_connection_holds_no_pages))
