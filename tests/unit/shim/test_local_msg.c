/* SPDX-License-Identifier: MIT */
#include "common/local_msg.h"
#include "tests/unit/unit.h"

#include <string.h>

static const uint8_t park[LOCAL_ASK_BYTES] = {
	'P', 'L', 'A', '1', LOCAL_PARK, 0, 0, 0,  0, 0, 0, 7,
	4, 0, 0x1f, 0x90, 0, 0, 0, 0,  192, 0, 2, 9,  0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
	'c', 'u', 'r', 'l',
};

static const uint8_t hole[LOCAL_ANSWER_BYTES] = {
	'P', 'L', 'A', '1', LOCAL_HOLE, 0, 0, 0,
	6, 0, 0, 80, 0, 0, 0, 2,  0xfe, 0x80, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 1,
};

static void test_a_question_is_read_and_written_the_same(void)
{
	uint8_t again[LOCAL_ASK_BYTES];
	struct local_ask ask;

	CU_ASSERT_EQUAL(local_ask_parse(&ask, park, sizeof park), ERR_OK);
	CU_ASSERT_EQUAL(ask.kind, LOCAL_PARK);
	CU_ASSERT_EQUAL(ask.fd, 7);
	CU_ASSERT_EQUAL(ask.dest.family, 4);
	CU_ASSERT_EQUAL(ask.dest.port, 8080);
	CU_ASSERT_EQUAL(ask.dest.ip[3], 9);
	CU_ASSERT_STRING_EQUAL(ask.comm, "curl");
	local_ask_emit(&ask, again);
	CU_ASSERT_EQUAL(memcmp(park, again, sizeof park), 0);
}

static void test_an_answer_is_read_and_written_the_same(void)
{
	uint8_t again[LOCAL_ANSWER_MOST];
	struct local_answer answer;

	CU_ASSERT_EQUAL(local_answer_parse(&answer, hole, sizeof hole), ERR_OK);
	CU_ASSERT_EQUAL(answer.kind, LOCAL_HOLE);
	CU_ASSERT_EQUAL(answer.addr.family, 6);
	CU_ASSERT_EQUAL(answer.addr.scope, 2);
	CU_ASSERT_EQUAL(answer.addr.port, 80);
	CU_ASSERT_EQUAL(answer.local.family, 0);
	CU_ASSERT_EQUAL(local_answer_emit(&answer, again), sizeof hole);
	CU_ASSERT_EQUAL(memcmp(hole, again, sizeof hole), 0);
}

static void test_a_tale_of_the_tunnel_is_read_and_written_the_same(void)
{
	uint8_t bytes[LOCAL_ANSWER_MOST];
	struct local_answer told = { .kind = LOCAL_TOLD }, again;
	uint64_t n = 0;

#define X(name) n++, told.info.name = n << 56 | n;
	LOCAL_INFO_LIST(X)
#undef X
	CU_ASSERT_EQUAL(n * 8, LOCAL_INFO_BYTES);
	CU_ASSERT_EQUAL(local_answer_emit(&told, bytes), LOCAL_ANSWER_MOST);
	CU_ASSERT_EQUAL(local_answer_parse(&again, bytes, sizeof bytes), ERR_OK);
	CU_ASSERT_EQUAL(memcmp(&again.info, &told.info, sizeof told.info), 0);
	for (size_t len = 0; len < sizeof bytes; len++)
		CU_ASSERT_EQUAL(local_answer_parse(&again, bytes, len), ERR_TRUNCATED);
	/* The others have no more than their own length. */
	bytes[4] = LOCAL_NONE;
	CU_ASSERT_EQUAL(local_answer_parse(&again, bytes, sizeof bytes), ERR_MALFORMED);
}

static void test_any_other_length_is_refused(void)
{
	uint8_t long_one[LOCAL_ANSWER_BYTES + 1] = { 0 };
	struct local_answer answer;
	struct local_ask ask;

	for (size_t n = 0; n < sizeof park; n++)
		CU_ASSERT_EQUAL(local_ask_parse(&ask, park, n), ERR_TRUNCATED);
	for (size_t n = 0; n < sizeof hole; n++)
		CU_ASSERT_EQUAL(local_answer_parse(&answer, hole, n), ERR_TRUNCATED);
	memcpy(long_one, park, sizeof park);
	CU_ASSERT_EQUAL(local_ask_parse(&ask, long_one, sizeof park + 1), ERR_MALFORMED);
	memcpy(long_one, hole, sizeof hole);
	CU_ASSERT_EQUAL(local_answer_parse(&answer, long_one, sizeof hole + 1), ERR_MALFORMED);
}

static enum err ask_with(size_t at, uint8_t value)
{
	uint8_t bytes[LOCAL_ASK_BYTES];
	struct local_ask ask;

	memcpy(bytes, park, sizeof bytes);
	bytes[at] = value;
	return local_ask_parse(&ask, bytes, sizeof bytes);
}

static void test_a_question_that_is_none_is_refused(void)
{
	CU_ASSERT_EQUAL(ask_with(0, 'Q'), ERR_MALFORMED);
	CU_ASSERT_EQUAL(ask_with(4, 0), ERR_MALFORMED);
	CU_ASSERT_EQUAL(ask_with(4, LOCAL_ASK_KINDS), ERR_MALFORMED);
	CU_ASSERT_EQUAL(ask_with(12, 5), ERR_MALFORMED);
	/* A connect without a destination, a question for names with one. */
	CU_ASSERT_EQUAL(ask_with(12, 0), ERR_MALFORMED);
	CU_ASSERT_EQUAL(ask_with(4, LOCAL_NAMES), ERR_MALFORMED);
	/* A reason for going directly that does not exist. */
	CU_ASSERT_EQUAL(ask_with(4, LOCAL_WENT_DIRECT), ERR_OK);
	CU_ASSERT_EQUAL(ask_with(5, LOCAL_REASONS), ERR_MALFORMED);
}

static enum err answer_with(uint8_t kind, uint8_t reason, uint8_t error_high, uint8_t error_low, uint8_t family)
{
	uint8_t bytes[LOCAL_ANSWER_BYTES];
	struct local_answer answer;

	memcpy(bytes, hole, sizeof bytes);
	bytes[4] = kind;
	bytes[5] = reason;
	bytes[6] = error_high;
	bytes[7] = error_low;
	bytes[8] = family;
	return local_answer_parse(&answer, bytes, sizeof bytes);
}

static void test_an_answer_that_is_none_is_refused(void)
{
	CU_ASSERT_EQUAL(answer_with(LOCAL_ERROR, 0, 0, 111, 0), ERR_OK);
	CU_ASSERT_EQUAL(answer_with(LOCAL_ERROR, 0, 0, 0, 0), ERR_MALFORMED);
	CU_ASSERT_EQUAL(answer_with(LOCAL_ERROR, 0, 0x10, 0, 0), ERR_MALFORMED);
	CU_ASSERT_EQUAL(answer_with(LOCAL_HOLE, 0, 0, 0, 0), ERR_MALFORMED);
	CU_ASSERT_EQUAL(answer_with(LOCAL_UNABLE, LOCAL_REASONS, 0, 101, 0), ERR_MALFORMED);
	CU_ASSERT_EQUAL(answer_with(LOCAL_ANSWER_KINDS, 0, 0, 0, 4), ERR_MALFORMED);
}

static void test_a_name_that_goes_to_logs_is_printable_and_ends(void)
{
	uint8_t bytes[LOCAL_ASK_BYTES];
	struct local_ask ask;

	memcpy(bytes, park, sizeof bytes);
	memset(bytes + LOCAL_ASK_BYTES - LOCAL_COMM_BYTES, 'A', LOCAL_COMM_BYTES);
	bytes[LOCAL_ASK_BYTES - LOCAL_COMM_BYTES + 1] = '\n';
	bytes[LOCAL_ASK_BYTES - LOCAL_COMM_BYTES + 2] = 0x9b;
	CU_ASSERT_EQUAL(local_ask_parse(&ask, bytes, sizeof bytes), ERR_OK);
	CU_ASSERT_STRING_EQUAL(ask.comm, "A??AAAAAAAAAAAA");
}

static void test_what_ipv4_does_not_use_is_zero_after_reading(void)
{
	uint8_t bytes[LOCAL_ASK_BYTES];
	struct local_ask ask;

	memcpy(bytes, park, sizeof bytes);
	bytes[19] = bytes[30] = 9; /* scope; a byte behind the address */
	CU_ASSERT_EQUAL(local_ask_parse(&ask, bytes, sizeof bytes), ERR_OK);
	CU_ASSERT_EQUAL(ask.dest.scope, 0);
	CU_ASSERT_EQUAL(ask.dest.ip[10], 0);
}

UNIT_MAIN("local_msg",
	T(test_a_question_is_read_and_written_the_same),
	T(test_an_answer_is_read_and_written_the_same),
	T(test_a_tale_of_the_tunnel_is_read_and_written_the_same),
	T(test_any_other_length_is_refused),
	T(test_a_question_that_is_none_is_refused),
	T(test_an_answer_that_is_none_is_refused),
	T(test_a_name_that_goes_to_logs_is_printable_and_ends),
	T(test_what_ipv4_does_not_use_is_zero_after_reading))
