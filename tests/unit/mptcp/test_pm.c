/* SPDX-License-Identifier: MIT */
/* Addresses announced and removed, priorities changed: RFC 8684 3.3.8, 3.4 and appendix A. Two engines; see engine_net.h. */
#include "tests/unit/mptcp/engine_net.h"

static unsigned add_addrs, echoes, removes, prios, rsts, signal_row, row_most, drop_echoes;
static bool with_dss, spoil_hmac;
static struct mptcp_option last;

/* Counts what goes by; drops so many echoes. */
static bool watch(struct net *n, int from, path_id path, struct segment *seg)
{
	bool signal = false;

	(void)n;
	(void)path;
	for (unsigned i = 0; i < seg->mptcp_count; i++) {
		struct mptcp_option *o = &seg->mptcp[i];

		switch (o->subtype) {
		case ADD_ADDR:
			signal = true;
			last = *o;
			with_dss |= segment_mptcp(seg, DSS) != NULL || seg->payload_len;
			if (!o->add_addr.echo) {
				add_addrs++;
				o->add_addr.hmac ^= spoil_hmac;
				break;
			}
			echoes++;
			if (echoes <= drop_echoes)
				return false;
			break;
		case REMOVE_ADDR:
			signal = true;
			removes++;
			last = *o;
			break;
		case MP_PRIO:
			signal = true;
			prios++;
			break;
		default:
			break;
		}
	}
	rsts += seg->flags & TCP_RST;
	if (from == 1) {
		signal_row = signal ? signal_row + 1 : 0;
		row_most = signal_row > row_most ? signal_row : row_most;
	}
	return true;
}

/* The server has two addresses, the client one. */
static void begin(struct net *n, enum segment_form form, bool announce)
{
	add_addrs = echoes = removes = prios = rsts = signal_row = row_most = drop_echoes = 0;
	with_dss = spoil_hmac = false;
	announcing = announce;
	start_as(n, form, false, false, 1);
	n->box = watch;
	path_event(n, 1, 1, PATH_UP, false);
}

static uint64_t counted(const struct net *n, int side, enum counter k) { return n->side[side].counters.v[k]; }

static unsigned subflows(const struct net *n, int side)
{
	struct conn_info info;

	CU_ASSERT_EQUAL(engine_conn_info(n->side[side].e, n->side[side].conn, &info), ERR_OK);
	return info.subflow_count;
}

/* The first on path 0, the joined one on path 1. */
static void two_subflows(struct net *n)
{
	n->side[0].to_write = 400000;
	connect_to(n);
	run(n, n->now + 100 * MS);
	path_event(n, 0, 1, PATH_UP, false);
	run(n, n->now + 5 * USEC_PER_S);
	CU_ASSERT_EQUAL_FATAL(subflows(n, 1), 2);
}

static void test_an_announced_address_is_echoed_and_joined(void)
{
	struct net n;
	struct subflow_info sub;

	begin(&n, SEGMENT_PLAIN, true);
	n.side[0].to_write = 100000;
	connect_to(&n);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_EQUAL(add_addrs, 1);
	CU_ASSERT_EQUAL(echoes, 1);
	CU_ASSERT_EQUAL(counted(&n, 1, CNT_EchoAdd), 1);
	CU_ASSERT_EQUAL(counted(&n, 0, CNT_MPJoinSynTx), 1);
	CU_ASSERT_EQUAL_FATAL(subflows(&n, 0), 2);
	CU_ASSERT_EQUAL(engine_subflow_info(n.side[0].e, n.side[0].conn, 1, &sub), ERR_OK);
	CU_ASSERT_EQUAL(sub.remote.ip[2], 1);
	CU_ASSERT_EQUAL(sub.remote.port, 80); /* RFC 8684 3.4.1: no port: that of the first */
	CU_ASSERT_EQUAL(sub.remote_addr_id, 2);
	/* RFC 8684 3.4.1: on an ACK of its own. */
	CU_ASSERT_FALSE(with_dss);
	stop(&n);
}

static void test_an_announcement_is_repeated_until_its_echo_comes(void)
{
	struct net n;

	begin(&n, SEGMENT_PLAIN, true);
	drop_echoes = 2;
	connect_to(&n);
	run(&n, n.now + 60 * USEC_PER_S);
	CU_ASSERT_EQUAL(add_addrs, 3);
	CU_ASSERT_EQUAL(echoes, 3);
	CU_ASSERT_EQUAL(counted(&n, 1, CNT_EchoAdd), 1);
	CU_ASSERT_EQUAL(counted(&n, 0, CNT_MPJoinSynTx), 1);
	stop(&n);
}

static void test_an_announcement_that_nobody_echoes_ends(void)
{
	struct net n;

	begin(&n, SEGMENT_PLAIN, true);
	drop_echoes = 1000;
	connect_to(&n);
	run(&n, n.now + 600 * USEC_PER_S);
	CU_ASSERT_EQUAL(add_addrs, 4);
	CU_ASSERT_EQUAL(counted(&n, 1, CNT_AddAddrUnanswered), 1);
	stop(&n);
}

static void test_a_wrong_hmac_is_silently_ignored(void)
{
	struct net n;

	begin(&n, SEGMENT_PLAIN, true);
	spoil_hmac = true;
	connect_to(&n);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_TRUE(add_addrs >= 1);
	CU_ASSERT_EQUAL(echoes, 0);
	CU_ASSERT_EQUAL(counted(&n, 0, CNT_AddAddrBadHmac), add_addrs);
	CU_ASSERT_EQUAL(counted(&n, 0, CNT_MPJoinSynTx), 0);
	CU_ASSERT_EQUAL(subflows(&n, 0), 1);
	stop(&n);
}

static void test_ipv6_with_a_port_goes_without_timestamps(void)
{
	struct net n;
	struct event ev = {
		.kind = EV_PATH,
		.path = { .path = 2, .state = PATH_UP, .addr_id = 9, .announce = true, .mtu_payload = MTU,
			  .local = { .family = 6, .ip = { 0x20, 1, 0xd, 0xb8, [15] = 7 }, .port = 8080 } },
	};

	begin(&n, SEGMENT_PLAIN, true);
	path_event(&n, 1, 1, PATH_DOWN, true);
	connect_to(&n);
	run(&n, n.now + USEC_PER_S);
	CU_ASSERT_EQUAL(engine_input(n.side[1].e, &ev, n.now), ERR_OK);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_EQUAL(add_addrs, 1);
	CU_ASSERT_EQUAL(echoes, 1);
	CU_ASSERT_TRUE(last.add_addr.echo && last.add_addr.has_port);
	CU_ASSERT_EQUAL(last.add_addr.addr.port, 8080);
	CU_ASSERT_EQUAL(last.add_addr.addr.family, 6);
	CU_ASSERT_EQUAL(counted(&n, 1, CNT_EchoAdd), 1);
	stop(&n);
}

static void test_a_vanished_address_is_removed_at_both_ends(void)
{
	static const enum segment_form forms[] = { SEGMENT_SEALED, SEGMENT_PLAIN };

	for (unsigned f = 0; f < 2; f++) {
		struct net n;

		begin(&n, forms[f], false);
		two_subflows(&n);
		n.cut[1] = true;
		path_event(&n, 0, 1, PATH_DOWN, true);
		CU_ASSERT_EQUAL(subflows(&n, 0), 1);
		run(&n, n.now + 5 * USEC_PER_S);
		CU_ASSERT_EQUAL(removes, 3); /* RFC 8684 A: redundantly */
		CU_ASSERT_EQUAL(last.remove_addr.count, 1);
		CU_ASSERT_EQUAL(last.remove_addr.ids[0], 2);
		/* In sealed form a RST by the other path says it first; else keepalives must have stayed unanswered. */
		CU_ASSERT_EQUAL(subflows(&n, 1), 1);
		CU_ASSERT_EQUAL(counted(&n, 1, CNT_RmSubflow), forms[f] == SEGMENT_PLAIN);
		stop(&n);
	}
}

static bool lie;
static bool remove_liar(struct net *n, int from, path_id path, struct segment *seg)
{
	(void)n;
	(void)path;
	if (lie && from == 0 && !seg->payload_len && seg->mptcp_count == 1) {
		lie = false;
		seg->mptcp[seg->mptcp_count++] =
			(struct mptcp_option){ .subtype = REMOVE_ADDR, .remove_addr = { .count = 2, .ids = { 2, 77 } } };
	}
	return true;
}

static void test_what_still_answers_is_not_removed(void)
{
	struct net n;

	begin(&n, SEGMENT_PLAIN, false);
	n.box = remove_liar;
	two_subflows(&n);
	lie = true;
	n.side[1].to_write = 1000;
	run(&n, n.now + 10 * USEC_PER_S);
	CU_ASSERT_FALSE(lie);
	CU_ASSERT_EQUAL(counted(&n, 1, CNT_RmAddr), 1);
	CU_ASSERT_EQUAL(counted(&n, 1, CNT_RmAddrDrop), 1); /* 77 names nothing, RFC 8684 3.8 */
	CU_ASSERT_EQUAL(counted(&n, 1, CNT_RmSubflow), 0);
	CU_ASSERT_EQUAL(subflows(&n, 1), 2);
	stop(&n);
}

static void test_mp_prio_is_said_on_its_own_subflow_and_again(void)
{
	struct net n;
	struct subflow_info a, b;
	struct event ev = {
		.kind = EV_PATH,
		.path = { .path = 1, .state = PATH_UP, .may_initiate = true, .addr_id = 2, .mtu_payload = MTU, .backup = true },
	};

	begin(&n, SEGMENT_SEALED, false);
	two_subflows(&n);
	CU_ASSERT_EQUAL(engine_input(n.side[0].e, &ev, n.now), ERR_OK);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_EQUAL(prios, 3);
	CU_ASSERT_EQUAL(counted(&n, 1, CNT_MPPrioRx), 3);
	CU_ASSERT_EQUAL(engine_subflow_info(n.side[1].e, n.side[1].conn, 0, &a), ERR_OK);
	CU_ASSERT_EQUAL(engine_subflow_info(n.side[1].e, n.side[1].conn, 1, &b), ERR_OK);
	CU_ASSERT_FALSE(a.backup);
	CU_ASSERT_TRUE(b.backup);
	stop(&n);
}

static void test_no_more_than_two_signals_in_a_row(void)
{
	struct net n;

	begin(&n, SEGMENT_PLAIN, true);
	for (path_id p = 1; p < 4; p++) {
		struct event ev = {
			.kind = EV_PATH,
			.path = { .path = p, .state = PATH_UP, .addr_id = (uint8_t)(p + 1), .announce = true, .mtu_payload = MTU,
				  .local = { .family = 4, .ip = { 203, 0, 113, (uint8_t)p } } },
		};

		CU_ASSERT_EQUAL(engine_input(n.side[1].e, &ev, n.now), ERR_OK);
	}
	connect_to(&n);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_EQUAL(counted(&n, 1, CNT_EchoAdd), 3);
	CU_ASSERT_EQUAL(add_addrs, 3);
	CU_ASSERT_TRUE(row_most <= 2 || n.side[1].to_write == 0);
	stop(&n);
}

UNIT_MAIN("pm", T(test_an_announced_address_is_echoed_and_joined), T(test_an_announcement_is_repeated_until_its_echo_comes),
	  T(test_an_announcement_that_nobody_echoes_ends), T(test_a_wrong_hmac_is_silently_ignored),
	  T(test_ipv6_with_a_port_goes_without_timestamps), T(test_a_vanished_address_is_removed_at_both_ends),
	  T(test_what_still_answers_is_not_removed), T(test_mp_prio_is_said_on_its_own_subflow_and_again),
	  T(test_no_more_than_two_signals_in_a_row))
