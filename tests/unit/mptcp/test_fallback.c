/* SPDX-License-Identifier: MIT */
/* Back to regular TCP, RFC 8684 3.1 and 3.7, and what is remembered of it, 3.9.3. Two engines in plain form and a middlebox. */
#include "tests/unit/mptcp/engine_net.h"

static unsigned syns, options_seen, infinites, fails, fail_rsts, hits;
static bool late;               /* options_seen counts only from then on */
static box_fn strip;

static void look(const struct segment *seg)
{
	for (unsigned i = 0; i < seg->mptcp_count; i++) {
		const struct mptcp_option *o = &seg->mptcp[i];
		bool infinite = o->subtype == DSS && o->dss.has_map && !o->dss.len;

		infinites += infinite;
		fails += o->subtype == MP_FAIL && !(seg->flags & TCP_RST);
		fail_rsts += o->subtype == MP_FAIL && seg->flags & TCP_RST;
		options_seen += late && !infinite && o->subtype != MP_FAIL;
	}
}

static bool box(struct net *n, int from, path_id path, struct segment *seg)
{
	syns += from == 0 && seg->flags == TCP_SYN;
	look(seg);
	return !strip || strip(n, from, path, seg);
}

static void begin(struct net *n, box_fn s, bool checksum)
{
	syns = options_seen = infinites = fails = fail_rsts = hits = 0;
	late = false;
	strip = s;
	start_as(n, SEGMENT_PLAIN, false, checksum, 1);
	n->box = box;
}

static uint64_t counted(const struct net *n, int side, enum counter k) { return n->side[side].counters.v[k]; }

static bool fallen(const struct net *n, int side)
{
	struct conn_info info;

	CU_ASSERT_EQUAL(engine_conn_info(n->side[side].e, n->side[side].conn, &info), ERR_OK);
	return info.fallback;
}

/* Opens, carries data both ways, ends in order; fell back on the way. */
static void all_goes_by_tcp(box_fn s)
{
	struct net n;

	begin(&n, s, false);
	n.side[0].to_write = 100000;
	n.side[1].to_write = 150000;
	connect_to(&n);
	run(&n, n.now + 20 * USEC_PER_S);
	CU_ASSERT_TRUE_FATAL(n.side[0].opened);
	CU_ASSERT_TRUE(fallen(&n, 0) && fallen(&n, 1));
	CU_ASSERT_EQUAL(n.side[1].received, 100000);
	CU_ASSERT_EQUAL(n.side[0].received, 150000);
	/* RFC 8684 3.7: never again an option. */
	late = true;
	n.side[0].to_write += 50000;
	n.side[1].to_write += 50000;
	n.side[0].shut_after_write = n.side[1].shut_after_write = true;
	run(&n, n.now + 200 * USEC_PER_S);
	CU_ASSERT_EQUAL(options_seen, 0);
	CU_ASSERT_EQUAL(n.side[1].received, 150000);
	CU_ASSERT_EQUAL(n.side[0].received, 200000);
	for (int i = 0; i < SIDES; i++)
		CU_ASSERT_TRUE(n.side[i].eof && n.side[i].closed && !n.side[i].reset);
	CU_ASSERT_EQUAL(counted(&n, 0, CNT_MPJoinSynTx), 0);
	nothing_left(&n);
	stop(&n);
}

static bool no_syn(struct net *n, int from, path_id path, struct segment *seg)
{
	(void)n, (void)path;
	if (from == 0 && seg->flags == TCP_SYN)
		seg->mptcp_count = 0;
	return true;
}
static bool no_synack(struct net *n, int from, path_id path, struct segment *seg)
{
	(void)n, (void)path;
	if (from == 1 && seg->flags & TCP_SYN)
		seg->mptcp_count = 0;
	return true;
}
static bool none_from_client(struct net *n, int from, path_id path, struct segment *seg)
{
	(void)n, (void)path;
	if (from == 0 && !(seg->flags & TCP_SYN))
		seg->mptcp_count = 0;
	return true;
}
static bool none_from_server(struct net *n, int from, path_id path, struct segment *seg)
{
	(void)n, (void)path;
	if (from == 1 && !(seg->flags & TCP_SYN))
		seg->mptcp_count = 0;
	return true;
}
static bool none_with_data(struct net *n, int from, path_id path, struct segment *seg)
{
	(void)n, (void)from, (void)path;
	if (seg->payload_len)
		seg->mptcp_count = 0;
	return true;
}
static bool none_but_on_syns(struct net *n, int from, path_id path, struct segment *seg)
{
	(void)n, (void)from, (void)path;
	if (!(seg->flags & TCP_SYN))
		seg->mptcp_count = 0;
	return true;
}

static void test_option_gone_from_the_syn(void) { all_goes_by_tcp(no_syn); }
static void test_option_gone_from_the_synack(void) { all_goes_by_tcp(no_synack); }
static void test_options_gone_from_the_third_ack_on(void) { all_goes_by_tcp(none_from_client); }
static void test_options_gone_from_all_but_syns(void) { all_goes_by_tcp(none_but_on_syns); }
static void test_options_gone_from_segments_with_data(void) { all_goes_by_tcp(none_with_data); }

/* The way back: data is acknowledged without a DATA_ACK, and the server learns of it by an infinite mapping. */
static void test_options_gone_from_the_way_back(void)
{
	all_goes_by_tcp(none_from_server);
	CU_ASSERT_TRUE(infinites >= 1);
}

/* --- negotiation --- */

static uint8_t set_flags, clear_flags, version;
static bool change_syn(struct net *n, int from, path_id path, struct segment *seg)
{
	(void)n, (void)path;
	if (from == 0 && seg->flags == TCP_SYN && seg->mptcp_count) {
		seg->mptcp[0].capable.flags = (uint8_t)((seg->mptcp[0].capable.flags | set_flags) & ~clear_flags);
		seg->mptcp[0].capable.version = version;
	}
	return true;
}
static bool change_synack(struct net *n, int from, path_id path, struct segment *seg)
{
	(void)n, (void)path;
	if (from == 1 && seg->flags & TCP_SYN && seg->mptcp_count) {
		seg->mptcp[0].capable.flags = (uint8_t)((seg->mptcp[0].capable.flags | set_flags) & ~clear_flags);
		seg->mptcp[0].capable.version = version;
	}
	return true;
}

static void negotiation(box_fn s, uint8_t v, uint8_t set, uint8_t clear, bool falls)
{
	version = v;
	set_flags = set;
	clear_flags = clear;
	if (falls) {
		all_goes_by_tcp(s);
	} else {
		struct net n;

		begin(&n, s, false);
		n.side[0].to_write = 10000;
		connect_to(&n);
		run(&n, n.now + 5 * USEC_PER_S);
		CU_ASSERT_FALSE(fallen(&n, 0) || fallen(&n, 1));
		CU_ASSERT_EQUAL(n.side[1].received, 10000);
		stop(&n);
	}
}

static void test_versions_and_flags(void)
{
	negotiation(change_syn, 1, 0, 0, false);
	negotiation(change_syn, 3, 0, 0, false);                 /* RFC 8684 3.1: ours is lower, and ours it is */
	negotiation(change_syn, 0, 0, 0, true);
	negotiation(change_syn, 1, MPC_EXTENSIBILITY, 0, true);
	negotiation(change_syn, 1, 0, MPC_CRYPTO, true);         /* no algorithm: invalid */
	negotiation(change_syn, 1, 0x1e, 0, false);              /* others are offered besides ours */
	negotiation(change_synack, 1, 0x02, 0, true);            /* but one must be chosen */
	negotiation(change_synack, 1, 0, MPC_CRYPTO, true);
	negotiation(change_synack, 1, MPC_EXTENSIBILITY, 0, true);
	negotiation(change_synack, 0, 0, 0, true);
	negotiation(change_synack, 2, 0, 0, true);               /* higher than what was offered */
}

static int asks;
static void one_asks(struct engine_config *g, int side) { g->checksum = side == asks; }

static void test_either_side_asks_for_checksums(void)
{
	tweak = one_asks;
	for (asks = 0; asks < SIDES; asks++) {
		struct net n;

		begin(&n, NULL, false);
		n.side[0].to_write = n.side[1].to_write = 50000;
		connect_to(&n);
		run(&n, n.now + 5 * USEC_PER_S);
		for (int i = 0; i < SIDES; i++) {
			struct conn_info info;

			CU_ASSERT_EQUAL(engine_conn_info(n.side[i].e, n.side[i].conn, &info), ERR_OK);
			CU_ASSERT_TRUE(info.checksum && !info.fallback);
			CU_ASSERT_EQUAL(n.side[i].received, 50000);
		}
		stop(&n);
	}
	tweak = NULL;
}

static void test_c_means_no_join_to_that_address(void)
{
	struct net n;

	set_flags = MPC_NO_JOIN_HERE;
	clear_flags = 0;
	version = 1;
	begin(&n, change_synack, false);
	path_event(&n, 0, 1, PATH_UP, false);
	path_event(&n, 1, 1, PATH_UP, false);
	n.side[0].to_write = 500000;
	connect_to(&n);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 500000);
	CU_ASSERT_FALSE(fallen(&n, 0));
	CU_ASSERT_EQUAL(counted(&n, 0, CNT_MPJoinSynTx), 0);
	stop(&n);
}

/* --- heuristics --- */

static bool drop_capable_syn(struct net *n, int from, path_id path, struct segment *seg)
{
	(void)n, (void)path;
	return from == 1 || seg->flags != TCP_SYN || !seg->mptcp_count;
}

static void test_a_syn_goes_without_the_option_after_three_and_is_remembered(void)
{
	struct net n;

	begin(&n, drop_capable_syn, false);
	connect_to(&n);
	run(&n, n.now + 10 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].opened && fallen(&n, 0));
	CU_ASSERT_EQUAL(syns, 4);
	CU_ASSERT_EQUAL(counted(&n, 0, CNT_Blackhole), 1);
	tell(&n, 0, EV_ABORT);
	run(&n, n.now + USEC_PER_S);
	CU_ASSERT_TRUE(n.side[1].reset);
	/* The next one need not find out again, until the cache forgets. */
	n.side[0].opened = false;
	syns = 0;
	connect_to(&n);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].opened && fallen(&n, 0));
	CU_ASSERT_EQUAL(syns, 1);
	tell(&n, 0, EV_ABORT);
	run(&n, n.now + 3601 * USEC_PER_S);
	n.side[0].opened = false;
	strip = NULL;
	connect_to(&n);
	run(&n, n.now + 5 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].opened && !fallen(&n, 0));
	stop(&n);
}

/* --- checksums --- */

static uint64_t spoil_after;
static bool spoil_once(struct net *n, int from, path_id path, struct segment *seg)
{
	(void)path;
	if (from == 0 && seg->payload_len > 100 && n->side[1].received > spoil_after && !hits++)
		((uint8_t *)(uintptr_t)seg->payload)[50] ^= 1;
	return true;
}

static void test_a_wrong_checksum_on_the_only_subflow_ends_mptcp_not_the_connection(void)
{
	struct net n;

	begin(&n, spoil_once, true);
	spoil_after = 50000;
	n.side[0].to_write = 400000;
	n.side[1].to_write = 100000;
	connect_to(&n);
	run(&n, n.now + 20 * USEC_PER_S);
	CU_ASSERT_TRUE(hits > 0);
	CU_ASSERT_TRUE(fallen(&n, 0) && fallen(&n, 1));
	CU_ASSERT_TRUE(fails >= 2); /* RFC 8684 3.7: in both directions */
	CU_ASSERT_EQUAL(fail_rsts, 0);
	CU_ASSERT_TRUE(infinites >= 1);
	/* What failed was not taken: it came again, whole. */
	CU_ASSERT_EQUAL(n.side[1].received, 400000);
	CU_ASSERT_EQUAL(n.side[0].received, 100000);
	late = true;
	n.side[0].shut_after_write = n.side[1].shut_after_write = true;
	run(&n, n.now + 200 * USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].closed && n.side[1].closed);
	CU_ASSERT_EQUAL(options_seen, 0);
	nothing_left(&n);
	stop(&n);
}

static bool spoil_second(struct net *n, int from, path_id path, struct segment *seg)
{
	return path == 1 ? spoil_once(n, from, path, seg) : true;
}

static void test_a_wrong_checksum_on_one_of_two_resets_it_with_mp_fail(void)
{
	struct net n;

	begin(&n, spoil_second, true);
	spoil_after = 500000;
	path_event(&n, 0, 1, PATH_UP, false);
	path_event(&n, 1, 1, PATH_UP, false);
	n.side[0].to_write = 4000000;
	connect_to(&n);
	run(&n, n.now + 60 * USEC_PER_S);
	CU_ASSERT_TRUE(hits > 0);
	CU_ASSERT_EQUAL(fail_rsts, 1);
	CU_ASSERT_EQUAL(fails, 0);
	CU_ASSERT_FALSE(fallen(&n, 0) || fallen(&n, 1));
	CU_ASSERT_EQUAL(n.side[1].received, 4000000);
	stop(&n);
}

static void test_a_reset_of_plain_tcp_is_a_reset(void)
{
	struct net n;

	begin(&n, no_syn, false);
	n.side[0].to_write = 10000;
	connect_to(&n);
	run(&n, n.now + 3 * USEC_PER_S);
	late = true;
	tell(&n, 1, EV_ABORT);
	run(&n, n.now + USEC_PER_S);
	CU_ASSERT_TRUE(n.side[0].reset);
	CU_ASSERT_EQUAL(n.side[0].why, OPEN_RESET);
	CU_ASSERT_EQUAL(options_seen, 0);
	nothing_left(&n);
	stop(&n);
}

UNIT_MAIN("fallback", T(test_option_gone_from_the_syn), T(test_option_gone_from_the_synack),
	  T(test_options_gone_from_the_third_ack_on), T(test_options_gone_from_all_but_syns),
	  T(test_options_gone_from_segments_with_data), T(test_options_gone_from_the_way_back), T(test_versions_and_flags),
	  T(test_either_side_asks_for_checksums), T(test_c_means_no_join_to_that_address),
	  T(test_a_syn_goes_without_the_option_after_three_and_is_remembered),
	  T(test_a_wrong_checksum_on_the_only_subflow_ends_mptcp_not_the_connection),
	  T(test_a_wrong_checksum_on_one_of_two_resets_it_with_mp_fail), T(test_a_reset_of_plain_tcp_is_a_reset))
