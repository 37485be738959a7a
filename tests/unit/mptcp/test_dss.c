/* SPDX-License-Identifier: MIT */
/* Mappings and their checksums where a segment is not a mapping, RFC 8684 3.3.1 and 3.7. Two engines; see engine_net.h. */
#include "tests/unit/mptcp/engine_net.h"

static uint64_t counted(const struct net *n, int side, enum counter k) { return n->side[side].counters.v[k]; }

static void transfer(enum segment_form form, bool checksum, unsigned paths, unsigned loss)
{
	struct net n;

	start_as(&n, form, false, checksum, paths);
	n.split = true;
	n.loss[0] = n.loss[1] = loss;
	n.side[0].to_write = 800000;
	n.side[1].to_write = 600000;
	n.side[0].shut_after_write = n.side[1].shut_after_write = true;
	connect_to(&n);
	run(&n, n.now + 600 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 800000);
	CU_ASSERT_EQUAL(n.side[0].received, 600000);
	for (int i = 0; i < SIDES; i++) {
		CU_ASSERT_TRUE(n.side[i].closed && !n.side[i].reset);
		CU_ASSERT_EQUAL(counted(&n, i, CNT_DataCsumErr), 0);
		/* A retransmission may be cut otherwise; where it overlaps what is to be verified it has to come again. */
		CU_ASSERT_TRUE(loss || !counted(&n, i, CNT_DssNotMatching));
	}
	nothing_left(&n);
	stop(&n);
}

static void test_a_mapping_over_two_segments(void) { transfer(SEGMENT_PLAIN, false, 1, 0); }
static void test_a_checksum_over_two_segments(void) { transfer(SEGMENT_PLAIN, true, 1, 0); }
static void test_a_checksum_over_two_segments_of_which_one_is_lost(void) { transfer(SEGMENT_PLAIN, true, 1, 5); }
static void test_checksums_over_two_segments_on_two_lossy_paths(void)
{
	transfer(SEGMENT_PLAIN, true, 2, 5);
	transfer(SEGMENT_SEALED, true, 2, 5);
}

static int spoil_path;
static unsigned hits;
static bool spoil(struct net *n, int from, path_id path, struct segment *seg)
{
	if (from == 0 && path == (path_id)spoil_path && seg->payload_len > 300 && n->side[1].received > 100000 && !hits++)
		((uint8_t *)(uintptr_t)seg->payload)[seg->payload_len - 1] ^= 0x10;
	return true;
}

static void test_a_wrong_checksum_over_two_segments_delivers_nothing_while_another_subflow_lives(void)
{
	struct net n;

	start_as(&n, SEGMENT_PLAIN, false, true, 2);
	n.split = true;
	n.box = spoil;
	hits = 0;
	spoil_path = 1;
	n.side[0].to_write = 3000000;
	connect_to(&n);
	run(&n, n.now + 60 * USEC_PER_S);
	CU_ASSERT_TRUE(hits > 0);
	CU_ASSERT_EQUAL(counted(&n, 1, CNT_DataCsumErr), 1);
	CU_ASSERT_EQUAL(counted(&n, 1, CNT_MPFailTx), 1);
	CU_ASSERT_EQUAL(n.side[1].received, 3000000);
	stop(&n);
}

/* RFC 8684 3.7: the only subflow goes on as TCP, and from there on data may be altered: here one byte was. */
static void test_a_wrong_checksum_over_two_segments_of_the_only_subflow(void)
{
	struct net n;
	struct conn_info info;

	start_as(&n, SEGMENT_PLAIN, false, true, 1);
	n.split = true;
	n.box = spoil;
	hits = 0;
	spoil_path = 0;
	n.side[1].tolerant = true;
	n.side[0].to_write = 600000;
	n.side[1].to_write = 10000;
	connect_to(&n);
	run(&n, n.now + 60 * USEC_PER_S);
	CU_ASSERT_EQUAL(counted(&n, 1, CNT_DataCsumErr), 1);
	CU_ASSERT_EQUAL(counted(&n, 1, CNT_DSSCorruptionFallback), 1);
	CU_ASSERT_EQUAL(n.side[1].received, 600000);
	CU_ASSERT_TRUE(n.side[1].wrong <= 1);
	CU_ASSERT_EQUAL(n.side[0].received, 10000);
	CU_ASSERT_EQUAL(engine_conn_info(n.side[1].e, n.side[1].conn, &info), ERR_OK);
	CU_ASSERT_TRUE(info.fallback);
	stop(&n);
}

/* A rerouted subflow whose path lets options through no more: RFC 8684 3.7, last rule. */
static bool bare;
static bool strip_second(struct net *n, int from, path_id path, struct segment *seg)
{
	(void)n, (void)from;
	if (bare && path == 1 && seg->payload_len)
		seg->mptcp_count = 0;
	return true;
}

static unsigned middlebox_rsts;
static bool strip_and_count(struct net *n, int from, path_id path, struct segment *seg)
{
	if (seg->flags & TCP_RST && seg->mptcp_count && seg->mptcp[0].subtype == MP_TCPRST)
		middlebox_rsts += seg->mptcp[0].tcprst.reason == REASON_MIDDLEBOX;
	return strip_second(n, from, path, seg);
}

static void test_a_subflow_that_loses_its_options_on_the_way_is_reset(void)
{
	struct net n;

	start_as(&n, SEGMENT_PLAIN, false, false, 2);
	n.box = strip_and_count;
	bare = false;
	middlebox_rsts = 0;
	n.side[0].to_write = 500000;
	connect_to(&n);
	run(&n, n.now + 2 * USEC_PER_S);
	bare = true;
	n.side[0].to_write = 4000000;
	run(&n, n.now + 120 * USEC_PER_S);
	CU_ASSERT_EQUAL(n.side[1].received, 4000000);
	CU_ASSERT_TRUE(middlebox_rsts >= 1);
	stop(&n);
}

UNIT_MAIN("dss", T(test_a_mapping_over_two_segments), T(test_a_checksum_over_two_segments),
	  T(test_a_checksum_over_two_segments_of_which_one_is_lost), T(test_checksums_over_two_segments_on_two_lossy_paths),
	  T(test_a_wrong_checksum_over_two_segments_delivers_nothing_while_another_subflow_lives),
	  T(test_a_wrong_checksum_over_two_segments_of_the_only_subflow),
	  T(test_a_subflow_that_loses_its_options_on_the_way_is_reset))
