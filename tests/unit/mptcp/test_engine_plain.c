/* SPDX-License-Identifier: MIT */
/* Two engines in plain form: ports, addresses and joins as every TCP on the other side expects them. See engine_net.h. */
#include "tests/unit/mptcp/engine_net.h"
#include "tunneld/mptcp/conn.h"
#include "tunneld/mptcp/engine_state.h"

static void plain(struct net *n, unsigned paths) { start_as(n, SEGMENT_PLAIN, false, false, paths); }

static void test_open_transfer_and_close(void)
{
	struct net n;

	plain(&n, 1);
	n.side[0].to_write = 200000;
	n.side[1].to_write = 300000;
	n.side[0].shut_after_write = n.side[1].shut_after_write = true;
	connect_to(&n);
	run(&n, n.now + 120 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].opened);
	/* The destination of the accepting side is the address that was connected to. */
	CU_ASSERT_EQUAL(n.side[1].destination.port, 80);
	CU_ASSERT_EQUAL(n.side[1].destination.ip[3], 2);
	CU_ASSERT_EQUAL(n.side[1].received, 200000);
	CU_ASSERT_EQUAL(n.side[0].received, 300000);
	CU_ASSERT_TRUE(n.side[0].closed && n.side[1].closed);
	CU_ASSERT_EQUAL(n.side[0].ports_freed, 1);
	CU_ASSERT_EQUAL(n.side[1].ports_freed, 0);
	nothing_left(&n);
	stop(&n);
}

static void test_every_path_joins_the_destination(void)
{
	struct net n;
	struct subflow_info a, b;

	plain(&n, 2);
	n.side[0].to_write = 3000000;
	connect_to(&n);
	run(&n, n.now + 20 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 3000000);
	CU_ASSERT_EQUAL_FATAL(engine_subflow_info(n.side[0].e, n.side[0].conn, 0, &a), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(engine_subflow_info(n.side[0].e, n.side[0].conn, 1, &b), ERR_OK);
	CU_ASSERT_TRUE(addr_eq(&a.remote, &b.remote));
	CU_ASSERT_FALSE(addr_same_ip(&a.local, &b.local));
	CU_ASSERT_TRUE(a.local_port >= 32768 && b.local_port >= 32768);
	CU_ASSERT_TRUE(n.sent[1] > 100);
	tell(&n, 0, EV_ABORT);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[1].reset);
	CU_ASSERT_EQUAL(n.side[0].ports_freed, 2);
	nothing_left(&n);
	stop(&n);
}

static void test_a_port_that_is_taken_is_replaced_and_never_given_back(void)
{
	struct net n;
	struct action a;
	struct event ev = { .kind = EV_PORT_TAKEN };
	uint16_t first;

	plain(&n, 1);
	connect_to(&n);
	CU_ASSERT_TRUE_FATAL(engine_output(n.side[0].e, &a, n.now) && a.kind == ACT_SEND);
	first = ev.port.local_port = a.send.local_port;
	CU_ASSERT_EQUAL(engine_input(n.side[0].e, &ev, n.now), ERR_OK);
	CU_ASSERT_TRUE_FATAL(engine_output(n.side[0].e, &a, n.now) && a.kind == ACT_SEND);
	CU_ASSERT_NOT_EQUAL(a.send.local_port, first);
	send_packet(&n, 0, &a);
	run(&n, n.now + USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].opened);
	CU_ASSERT_EQUAL(n.side[0].ports_freed, 0);
	stop(&n);
}

static void test_an_open_tries_every_path_and_fails_when_none_leads_there(void)
{
	struct net n;
	struct action a;

	plain(&n, 2);
	connect_to(&n);
	for (int tries = 0; tries < 2 && !n.side[0].result; tries++) {
		while (engine_output(n.side[0].e, &a, n.now)) {
			struct event ev = { .kind = EV_LOST };

			if (a.kind != ACT_SEND) {
				act(&n, 0, &a);
				continue;
			}
			ev.lost.why = OPEN_HOST_UNREACHABLE;
			ev.lost.path = a.send.path;
			ev.lost.local_port = a.send.local_port;
			ev.lost.remote = *a.send.remote;
			n.sent[a.send.path]++;
			CU_ASSERT_EQUAL(engine_input(n.side[0].e, &ev, n.now), ERR_OK);
		}
	}
	CU_ASSERT_EQUAL(n.side[0].result, OPEN_HOST_UNREACHABLE);
	CU_ASSERT_EQUAL(n.sent[0], 1);
	CU_ASSERT_EQUAL(n.sent[1], 1);
	nothing_left(&n);
	stop(&n);
}

/* Paths that take longer than we wait before we try the next: what was tried first is still waited for, and the rest is given up. */
static void test_the_first_syn_that_is_answered_opens(void)
{
	struct net n;
	path_id first;

	plain(&n, 2);
	n.delay[0] = n.delay[1] = 400 * MS;
	connect_to(&n);
	run(&n, n.now + 10 * MS);
	first = n.sent[0] ? 0 : 1;
	run(&n, n.now + 740 * MS);
	CU_ASSERT_FALSE(n.side[0].opened);
	CU_ASSERT_EQUAL(n.side[0].counters.v[CNT_SynRaced], 1);
	CU_ASSERT_TRUE(n.sent[0] && n.sent[1]);
	run(&n, n.now + 100 * MS);
	CU_ASSERT_TRUE_FATAL(n.side[0].opened);
	CU_ASSERT_EQUAL(n.side[0].ports_freed, 1);
	CU_ASSERT_EQUAL(engine_conn_of_host(n.side[0].e, n.side[0].conn)->sub_count, 1);
	CU_ASSERT_EQUAL(engine_conn_of_host(n.side[0].e, n.side[0].conn)->subs[0]->path, first);
	stop(&n);
}

/* Of two that are tried, one learns that no way leads there: the other goes on, and is the answer in the end. */
static void test_an_attempt_without_a_route_is_given_up_alone(void)
{
	struct event ev = { .kind = EV_LOST };
	struct net n;
	struct action a;

	plain(&n, 2);
	n.cut[0] = n.cut[1] = true;
	connect_to(&n);
	while (!n.side[0].counters.v[CNT_SynRaced])
		run(&n, usec_max(n.now, engine_deadline(n.side[0].e)));
	for (int tries = 0; tries < 2; tries++) {
		const struct conn *c = engine_conn_of_host(n.side[0].e, n.side[0].conn);

		CU_ASSERT_EQUAL_FATAL(c->sub_count, 2 - tries);
		CU_ASSERT_FALSE(n.side[0].result);
		ev.lost.why = OPEN_HOST_UNREACHABLE;
		ev.lost.path = c->subs[0]->path;
		ev.lost.local_port = c->subs[0]->local_port;
		ev.lost.remote = c->subs[0]->remote;
		CU_ASSERT_EQUAL(engine_input(n.side[0].e, &ev, n.now), ERR_OK);
		while (engine_output(n.side[0].e, &a, n.now))
			act(&n, 0, &a);
	}
	CU_ASSERT_EQUAL(n.side[0].result, OPEN_HOST_UNREACHABLE);
	CU_ASSERT_EQUAL(n.side[0].ports_freed, 2);
	nothing_left(&n);
	stop(&n);
}

static void test_a_stranger_gets_a_rst_where_he_is(void)
{
	struct net n;
	static const uint8_t ack[] = { 0x50, 0x10, 0, 0, 0, 0, 0, 9, 0, 0, 0, 5 };
	struct event ev = {
		.kind = EV_SEGMENT,
		.segment = { .bytes = ack, .len = sizeof ack, .local_port = 80, .listening = true },
	};
	struct action a;

	plain(&n, 1);
	ev.segment.remote = (struct addr){ .family = 4, .ip = { 198, 51, 100, 7 }, .port = 4711 };
	CU_ASSERT_EQUAL(engine_input(n.side[1].e, &ev, n.now), ERR_OK);
	CU_ASSERT_TRUE_FATAL(engine_output(n.side[1].e, &a, n.now) && a.kind == ACT_SEND);
	CU_ASSERT_TRUE(addr_eq(a.send.remote, &ev.segment.remote));
	CU_ASSERT_EQUAL(a.send.local_port, 80);
	CU_ASSERT_EQUAL(a.send.bytes[1], TCP_RST);
	CU_ASSERT_EQUAL(a.send.bytes[7], 5); /* RFC 9293 3.10.7.1: SEQ=SEG.ACK */
	CU_ASSERT_FALSE(engine_output(n.side[1].e, &a, n.now));
	stop(&n);
}

static void syn_from(struct net *n, uint32_t who)
{
	/* SYN, MSS 1460, MP_CAPABLE; nobody is there to answer the SYN/ACK. */
	uint8_t syn[] = { 0x70, 2, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 5, 0xb4, 30, 4, 1, 1 };
	struct event ev = {
		.kind = EV_SEGMENT,
		.segment = {
			.bytes = syn, .len = sizeof syn, .local_port = 80, .listening = true,
			.remote = { .family = 4, .ip = { 203, 0, (uint8_t)(who >> 8), (uint8_t)who }, .port = 1234 },
		},
	};

	CU_ASSERT_EQUAL(engine_input(n->side[1].e, &ev, n->now), ERR_OK);
}

static void test_a_flood_of_syns_takes_no_memory_and_keeps_nobody_out(void)
{
	struct net n;
	struct engine_stats st;
	struct action a;
	unsigned answers = 0;

	plain(&n, 1);
	for (uint32_t i = 0; i < 1000; i++) {
		syn_from(&n, i);
		while (engine_output(n.side[1].e, &a, n.now))
			answers += a.kind == ACT_SEND;
	}
	engine_stats(n.side[1].e, &st);
	CU_ASSERT_EQUAL(st.connections, 2); /* a quarter of 8 */
	CU_ASSERT_EQUAL(n.side[1].counters.v[CNT_SynCookieTx], 998);
	CU_ASSERT_EQUAL(answers, 998); /* the two that are kept wait for their dial */
	n.side[0].to_write = 100000;
	n.side[1].to_write = 200000;
	n.side[0].shut_after_write = n.side[1].shut_after_write = true;
	connect_to(&n);
	run(&n, n.now + 10 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].opened);
	CU_ASSERT_EQUAL(n.side[1].counters.v[CNT_SynCookieRx], 1);
	CU_ASSERT_EQUAL(n.side[1].destination.port, 80);
	CU_ASSERT_EQUAL(n.side[1].received, 100000);
	CU_ASSERT_EQUAL(n.side[0].received, 200000);
	CU_ASSERT_TRUE(n.side[0].closed && n.side[1].closed);
	stop(&n);
}

/* A SYN with everything a cookie keeps in the timestamp, from a port of one client; the SYN/ACK's timestamp, and its number. */
static uint32_t syn_at(struct net *n, uint16_t port, uint32_t *seq)
{
	/* MSS 1460, SACK, timestamp 9, window scale 7 */
	uint8_t syn[32] = { 0xa0, TCP_SYN, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7 };
	struct event ev = {
		.kind = EV_SEGMENT,
		.segment = {
			.bytes = syn, .len = sizeof syn, .local_port = 80, .listening = true,
			.remote = { .family = 4, .ip = { 203, 0, 113, 5 }, .port = port },
		},
	};
	struct action a;

	CU_ASSERT_EQUAL(engine_input(n->side[1].e, &ev, n->now), ERR_OK);
	do {
		CU_ASSERT_TRUE_FATAL(engine_output(n->side[1].e, &a, n->now));
	} while (a.kind != ACT_SEND);
	*seq = be_get32(a.send.bytes + 4);
	CU_ASSERT_EQUAL_FATAL(a.send.bytes[18], 8);
	CU_ASSERT_EQUAL(be_get32(a.send.bytes + 24), 9);
	return be_get32(a.send.bytes + 20);
}

/* RFC 7323 5.4: no clock of the host is seen, two connections' have nothing to do with each other, and one's never goes back. */
static void test_timestamps_tell_nothing_of_other_connections(void)
{
	struct net n;
	struct event ev = { .kind = EV_SEGMENT, .segment = { .local_port = 80, .listening = true } };
	struct subflow_info info;
	uint32_t seq, one, two, later;
	struct action a;
	conn_id accepted = 0;
	uint8_t ack[24] = { 0x80, TCP_ACK, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 8, 10, 0, 0, 0, 11 };

	plain(&n, 1);
	for (uint32_t i = 0; i < 2; i++)
		syn_from(&n, i);
	while (engine_output(n.side[1].e, &a, n.now))
		; /* the two that are kept are dialled; from here on cookies answer */
	one = syn_at(&n, 1111, &seq);
	two = syn_at(&n, 2222, &seq);
	CU_ASSERT_TRUE(one - two > 10000 && two - one > 10000);
	CU_ASSERT_TRUE(one - (uint32_t)(n.now / MS) > 10000 && (uint32_t)(n.now / MS) - one > 10000);
	n.now += 500 * MS;
	later = syn_at(&n, 1111, &seq);
	CU_ASSERT_TRUE(later - one >= 400 && later - one <= 600);

	/* The third ACK: what was kept in the timestamp is found again, and what the connection sends is not older. */
	be_put32(ack + 8, seq + 1);
	be_put32(ack + 18, later);
	ev.segment.bytes = ack;
	ev.segment.len = sizeof ack;
	ev.segment.remote = (struct addr){ .family = 4, .ip = { 203, 0, 113, 5 }, .port = 1111 };
	CU_ASSERT_EQUAL(engine_input(n.side[1].e, &ev, n.now), ERR_OK);
	CU_ASSERT_EQUAL(n.side[1].counters.v[CNT_SynCookieRx], 1);
	while (engine_output(n.side[1].e, &a, n.now))
		if (a.kind == ACT_DIAL)
			accepted = a.conn;
	CU_ASSERT_EQUAL_FATAL(engine_subflow_info(n.side[1].e, accepted, 0, &info), ERR_OK);
	{
		const struct sub *s = engine_conn_of_host(n.side[1].e, accepted)->subs[0];

		CU_ASSERT_TRUE(s->sf.sack_ok);
		CU_ASSERT_EQUAL(s->sf.snd_wscale, 7);
		CU_ASSERT_TRUE((int32_t)((uint32_t)(n.now / MS) + s->sf.config.ts_offset - later) >= 0);
		CU_ASSERT_EQUAL(s->sf.config.ts_offset, pm_ts_offset(n.side[1].e, 0, 80, &ev.segment.remote));
	}
	stop(&n);
}

/* What is still under way when the application has reset its connection must not dial once more, and be heard there a second time. */
static void test_a_cookie_is_good_for_one_connection(void)
{
	struct net n;
	struct event ev = { .kind = EV_SEGMENT, .segment = { .local_port = 80, .listening = true } }, over = { .kind = EV_ABORT };
	uint8_t ack[28] = { 0x80, TCP_ACK, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 8, 10, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 'G', 'E', 'T', 13 };
	struct action a;
	unsigned dials = 0, resets = 0;
	uint32_t seq;

	plain(&n, 1);
	for (uint32_t i = 0; i < 2; i++)
		syn_from(&n, i);
	while (engine_output(n.side[1].e, &a, n.now))
		; /* the two that are kept are dialled; from here on cookies answer */
	be_put32(ack + 18, syn_at(&n, 1111, &seq));
	be_put32(ack + 8, seq + 1);
	ev.segment.bytes = ack;
	ev.segment.len = sizeof ack;
	ev.segment.remote = (struct addr){ .family = 4, .ip = { 203, 0, 113, 5 }, .port = 1111 };
	for (int times = 0; times < 2; times++) {
		CU_ASSERT_EQUAL(engine_input(n.side[1].e, &ev, n.now), ERR_OK);
		while (engine_output(n.side[1].e, &a, n.now)) {
			if (a.kind == ACT_DIAL) {
				over.conn = a.conn;
				dials++;
			}
			resets += a.kind == ACT_SEND && a.send.bytes[1] & TCP_RST;
		}
		if (!times)
			CU_ASSERT_EQUAL(engine_input(n.side[1].e, &over, n.now), ERR_OK);
	}
	CU_ASSERT_EQUAL(dials, 1);
	CU_ASSERT_EQUAL(resets, 2);
	CU_ASSERT_EQUAL(n.side[1].counters.v[CNT_SynOld], 1);
	stop(&n);
}

/*
 * A SYN that goes on the next path shows that path's MSS and a timestamp of that connection's: older ones after it, were it
 * another's, would all be dropped there (RFC 7323 5.3).
 */
static void test_a_syn_shows_what_the_path_has_that_it_takes(void)
{
	const struct conn *c;
	struct net n;
	struct action a;
	unsigned syns = 0, moved = 0;
	path_id first = 0;

	plain(&n, 2);
	n.side[0].e->paths[1].mtu_payload -= 100;
	connect_to(&n);
	c = engine_conn_of_host(n.side[0].e, n.side[0].conn);
	for (const struct sub *s; syns < 3; n.now = engine_deadline(n.side[0].e)) {
		struct event ev = { .kind = EV_TIME };

		CU_ASSERT_EQUAL(engine_input(n.side[0].e, &ev, n.now), ERR_OK);
		while (engine_output(n.side[0].e, &a, n.now)) {
			struct segment seg;

			if (a.kind != ACT_SEND)
				continue;
			CU_ASSERT_EQUAL_FATAL(segment_parse(&seg, a.send.bytes, a.send.len, SEGMENT_PLAIN), ERR_OK);
			for (uint8_t i = 0; (s = c->subs[i])->local_port != a.send.local_port; i++)
				CU_ASSERT_TRUE_FATAL(i + 1 < c->sub_count);
			CU_ASSERT_EQUAL(seg.flags, TCP_SYN);
			CU_ASSERT_EQUAL(seg.tcp.ts_val, (uint32_t)(n.now / MS) + s->sf.config.ts_offset);
			CU_ASSERT_EQUAL(s->sf.config.ts_offset,
					pm_ts_offset(n.side[0].e, a.send.path, a.send.local_port, a.send.remote));
			CU_ASSERT_EQUAL(seg.tcp.mss, conn_path_mss(n.side[0].e, a.send.path));
			if (!syns++)
				first = a.send.path;
			moved += a.send.path != first;
		}
	}
	CU_ASSERT_TRUE(moved >= 1);
	stop(&n);
}

/* RFC 6528 3 */
static void test_sequence_numbers_of_the_same_two_ends_go_on_by_the_clock(void)
{
	struct net n;
	struct conn c = { 0 };
	struct sub s = { .conn = &c, .remote = { .family = 4, .ip = { 203, 0, 113, 5 } }, .local_port = 80, .remote_port = 1111 };
	usec_t later = 600 * USEC_PER_S;
	struct ssn first, again, other;

	plain(&n, 1);
	c.engine = n.side[1].e;
	first = conn_iss(&s, 0);
	again = conn_iss(&s, later);
	CU_ASSERT_TRUE(ssn_diff(again, first) > (int32_t)(later / 4) - 65536 && ssn_diff(again, first) < (int32_t)(later / 4) + 65536);
	s.remote_port++;
	other = conn_iss(&s, later);
	CU_ASSERT_TRUE(ssn_diff(other, again) > 1000000 || ssn_diff(other, again) < -1000000);
	stop(&n);
}

static void test_a_cookie_is_for_one_address_and_one_time(void)
{
	struct net n;
	struct action a;
	struct event ev = { .kind = EV_SEGMENT, .segment = { .local_port = 80, .listening = true } };
	uint8_t ack[12] = { 0x50, TCP_ACK, 0xff, 0xff, 0, 0, 0, 1 };

	plain(&n, 1);
	for (uint32_t i = 0; i < 3; i++)
		syn_from(&n, i);
	do {
		CU_ASSERT_TRUE_FATAL(engine_output(n.side[1].e, &a, n.now));
	} while (a.kind != ACT_SEND);
	memcpy(ack + 8, a.send.bytes + 4, 4);
	ack[11]++; /* it ends in no 0xff with this seed */
	ev.segment.bytes = ack;
	ev.segment.len = sizeof ack;
	ev.segment.remote = *a.send.remote;
	ev.segment.remote.ip[3]++;
	CU_ASSERT_EQUAL(engine_input(n.side[1].e, &ev, n.now), ERR_OK);
	CU_ASSERT_EQUAL(n.side[1].counters.v[CNT_SynCookieBad], 1);
	ev.segment.remote.ip[3]--;
	n.now += 129 * USEC_PER_S;
	CU_ASSERT_EQUAL(engine_input(n.side[1].e, &ev, n.now), ERR_OK);
	CU_ASSERT_EQUAL(n.side[1].counters.v[CNT_SynCookieRx], 0);
	CU_ASSERT_EQUAL(n.side[1].counters.v[CNT_SegmentNoSubflow], 2);
	stop(&n);
}

static void test_a_path_in_doubt_keeps_the_size_that_was_found(void)
{
	struct net n;
	struct subflow_info a;
	struct event big = { .kind = EV_LOST };

	plain(&n, 1);
	n.side[0].to_write = 100000;
	connect_to(&n);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 100000);
	CU_ASSERT_EQUAL_FATAL(engine_subflow_info(n.side[0].e, n.side[0].conn, 0, &a), ERR_OK);
	big.lost.local_port = a.local_port;
	big.lost.remote = a.remote;
	big.lost.mtu_payload = 1000;
	CU_ASSERT_EQUAL(engine_input(n.side[0].e, &big, n.now), ERR_OK);
	CU_ASSERT_EQUAL(n.side[0].counters.v[CNT_MssLowered], 1);
	path_event(&n, 0, 0, PATH_SUSPECT, false);
	path_event(&n, 0, 0, PATH_UP, false);
	/* Nothing to lower: it still is that small. */
	CU_ASSERT_EQUAL(engine_input(n.side[0].e, &big, n.now), ERR_OK);
	CU_ASSERT_EQUAL(n.side[0].counters.v[CNT_MssLowered], 1);
	stop(&n);
}

/* RFC 8684 3.1. Chance is set back, so that the second connection draws the first one's key. */
static void test_a_key_whose_token_is_taken_is_drawn_anew(void)
{
	struct net n;
	const struct conn *first, *second;
	uint64_t before;

	plain(&n, 1);
	before = n.side[0].e->chance_counter;
	connect_to(&n);
	first = engine_conn_of_host(n.side[0].e, n.side[0].conn);
	CU_ASSERT_PTR_NOT_NULL_FATAL(first);
	n.side[0].e->chance_counter = before;
	CU_ASSERT_EQUAL(engine_chance(n.side[0].e), first->local_key);
	n.side[0].e->chance_counter = before;
	connect_to(&n);
	second = engine_conn_of_host(n.side[0].e, n.side[0].conn);
	CU_ASSERT_PTR_NOT_NULL_FATAL(second);
	CU_ASSERT_NOT_EQUAL(second->local_key, first->local_key);
	CU_ASSERT_NOT_EQUAL(second->local_token, first->local_token);
	CU_ASSERT_PTR_EQUAL(engine_token_find(n.side[0].e, first->local_token), first);
	CU_ASSERT_PTR_EQUAL(engine_token_find(n.side[0].e, second->local_token), second);
	stop(&n);
}

UNIT_MAIN("engine_plain", T(test_open_transfer_and_close), T(test_every_path_joins_the_destination),
	  T(test_a_port_that_is_taken_is_replaced_and_never_given_back),
	  T(test_an_open_tries_every_path_and_fails_when_none_leads_there), T(test_the_first_syn_that_is_answered_opens),
	  T(test_an_attempt_without_a_route_is_given_up_alone), T(test_a_stranger_gets_a_rst_where_he_is),
	  T(test_a_flood_of_syns_takes_no_memory_and_keeps_nobody_out), T(test_a_cookie_is_for_one_address_and_one_time),
	  T(test_sequence_numbers_of_the_same_two_ends_go_on_by_the_clock),
	  T(test_timestamps_tell_nothing_of_other_connections), T(test_a_syn_shows_what_the_path_has_that_it_takes),
	  T(test_a_cookie_is_good_for_one_connection),
	  T(test_a_path_in_doubt_keeps_the_size_that_was_found), T(test_a_key_whose_token_is_taken_is_drawn_anew))
