/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <string.h>

#include "tunneld/wire/print.h"

static struct segment syn(void)
{
	return (struct segment){
		.flags = TCP_SYN, .payload_len = 24, .window = 65535,
		.tcp = { .has = OPT_MSS | OPT_SACK_OK | OPT_WSCALE, .mss = 1400, .wscale = 8 },
		.mptcp_count = 1, .mptcp = { { .subtype = MP_CAPABLE, .capable = { .version = 1, .flags = MPC_HMAC_SHA256 } } },
	};
}

static void test_lines_read_as_promised(void)
{
	char buf[SEGMENT_TEXT_MAX];
	struct segment s = syn();

	CU_ASSERT_STRING_EQUAL(segment_print(&s, buf, sizeof buf),
			       "S 0:24(24) win 65535 <mss 1400,sackOK,wscale 8,mp_capable v1>");

	s = (struct segment){ .flags = TCP_SYN | TCP_ACK, .seq = { 7 }, .ack = { 25 }, .window = 10 };
	CU_ASSERT_STRING_EQUAL(segment_print(&s, buf, sizeof buf), "S. 7:7(0) ack 25 win 10");

	s = (struct segment){ .flags = TCP_ACK | TCP_PSH | TCP_FIN | TCP_ECE | TCP_CWR, .seq = { 0xfffffff0 }, .payload_len = 32,
		.tcp = { .has = OPT_TIMESTAMP | OPT_SACK | OPT_USER_TIMEOUT, .ts_val = 1, .ts_ecr = 4294967295, .sack_count = 2,
			 .sack = { { { 1 }, { 2 } }, { { 3 }, { 4294967295 } } }, .user_timeout = 0x8003 }, .ignored = 2 };
	CU_ASSERT_STRING_EQUAL(segment_print(&s, buf, sizeof buf), "FP.EW 4294967280:16(32) ack 0 win 0 "
			       "<ts 1 4294967295,sack 1:2 3:4294967295,user_timeout 3min> ignored 2");

	s = (struct segment){ .flags = TCP_RST, .ack = { 5 }, .mptcp_count = 2,
		.mptcp = { { .subtype = MP_FASTCLOSE }, { .subtype = MP_TCPRST, .tcprst = { .reason = 3, .transient = true } } } };
	CU_ASSERT_STRING_EQUAL(segment_print(&s, buf, sizeof buf), "R 0:0(0) win 0 <mp_fastclose,mp_tcprst reason 3 transient>");
}

static void test_text_is_cut_short_and_always_ends(void)
{
	char whole[SEGMENT_TEXT_MAX], buf[SEGMENT_TEXT_MAX];
	struct segment s = syn();
	size_t len = strlen(segment_print(&s, whole, sizeof whole));

	for (size_t size = 1; size <= len; size++) {
		memset(buf, 'x', sizeof buf);
		CU_ASSERT_PTR_EQUAL(segment_print(&s, buf, size), buf);
		CU_ASSERT_EQUAL(strlen(buf), size - 1);
		CU_ASSERT_EQUAL(buf[size], 'x');
		if (size >= 4)
			CU_ASSERT_STRING_EQUAL(buf + size - 4, "...");
		if (size >= 4)
			CU_ASSERT_EQUAL(memcmp(buf, whole, size - 4), 0);
	}
	segment_print(&s, buf, len + 1);
	CU_ASSERT_STRING_EQUAL(buf, whole);
	buf[0] = 'x';
	segment_print(&s, buf, 0);
	CU_ASSERT_EQUAL(buf[0], 'x');
}

static void test_keys_are_not_printed(void)
{
	char buf[SEGMENT_TEXT_MAX];
	struct segment s = { .flags = TCP_ACK, .mptcp_count = 3, .mptcp = {
		{ .subtype = MP_CAPABLE, .capable = { .keys = 2, .sender_key = 1111111111, .receiver_key = 1111111111 } },
		{ .subtype = MP_FASTCLOSE, .fastclose = { .receiver_key = 1111111111 } },
		{ .subtype = ADD_ADDR, .add_addr = { .hmac = 1111111111, .addr = { .family = 4 } } } } };

	segment_print(&s, buf, sizeof buf);
	CU_ASSERT_PTR_NULL(strstr(buf, "1111111111"));
	CU_ASSERT_PTR_NULL(strstr(buf, "423a35c7"));
}

/* SEGMENT_TEXT_MAX is enough for the longest a header can hold. */
static void test_longest_segment_is_not_cut(void)
{
	char buf[SEGMENT_TEXT_MAX];
	struct segment s = { .flags = 0xff, .seq = { UINT32_MAX }, .ack = { UINT32_MAX }, .window = 65535, .payload_len = 65535,
		.tcp = { .has = 0xff, .mss = 65535, .wscale = 255, .ts_val = UINT32_MAX, .ts_ecr = UINT32_MAX, .sack_count = 4,
			 .sack = { { { UINT32_MAX }, { UINT32_MAX } }, { { UINT32_MAX }, { UINT32_MAX } },
				   { { UINT32_MAX }, { UINT32_MAX } }, { { UINT32_MAX }, { UINT32_MAX } } } },
		.mptcp_count = 1, .mptcp = { { .subtype = DSS, .dss = { .has_ack = true, .ack_is_64 = true, .has_map = true,
			.dsn_is_64 = true, .data_fin = true, .has_checksum = true, .data_ack = UINT64_MAX, .dsn = UINT64_MAX,
			.ssn = UINT32_MAX, .len = 65535, .checksum = 65535 } } }, .ignored = 255 };

	segment_print(&s, buf, sizeof buf);
	CU_ASSERT_PTR_NULL(strstr(buf, "..."));
	CU_ASSERT_PTR_NOT_NULL(strstr(buf, "> ignored 255"));
}

UNIT_MAIN("print",
	T(test_lines_read_as_promised),
	T(test_text_is_cut_short_and_always_ends),
	T(test_keys_are_not_printed),
	T(test_longest_segment_is_not_cut))
