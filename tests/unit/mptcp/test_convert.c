/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"
#include "tunneld/mptcp/convert.h"

#include <string.h>

/* RFC 8803 6: version 1, six words, magic; Connect to 192.0.2.1 port 443 */
static const uint8_t connect4[] = {
	1, 6, 0x22, 0x63, 10, 5, 0x01, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1,
};

static enum err parse(const uint8_t *bytes, size_t len, struct convert_message *m)
{
	struct rd r = rd_of(bytes, len);

	return convert_parse(&r, m);
}

static void test_connect_goes_out_as_in_the_figure_and_comes_back(void)
{
	struct addr to = { .family = 4, .ip = { 192, 0, 2, 1 }, .port = 443 };
	uint8_t out[64];
	struct wr w = wr_of(out, sizeof out);
	struct convert_message m;

	convert_emit_connect(&w, &to);
	CU_ASSERT_EQUAL(wr_len(&w), sizeof connect4);
	CU_ASSERT_EQUAL(memcmp(out, connect4, sizeof connect4), 0);
	CU_ASSERT_EQUAL(parse(out, wr_len(&w), &m), ERR_OK);
	CU_ASSERT_TRUE(m.connect);
	CU_ASSERT_TRUE(addr_eq(&m.destination, &to));
	CU_ASSERT_EQUAL(m.total_bytes, sizeof connect4);

	to = (struct addr){ .family = 6, .ip = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 }, .port = 22 };
	w = wr_of(out, sizeof out);
	convert_emit_connect(&w, &to);
	CU_ASSERT_EQUAL(parse(out, wr_len(&w), &m), ERR_OK);
	CU_ASSERT_TRUE(addr_eq(&m.destination, &to));
}

static void test_every_short_prefix_needs_more(void)
{
	struct convert_message m;

	for (size_t n = 0; n < sizeof connect4; n++)
		CU_ASSERT_EQUAL(parse(connect4, n, &m), ERR_TRUNCATED);
}

static void test_what_follows_the_message_is_left_alone(void)
{
	uint8_t more[sizeof connect4 + 3] = { 0 };
	struct rd r = rd_of(more, sizeof more);
	struct convert_message m;

	memcpy(more, connect4, sizeof connect4);
	CU_ASSERT_EQUAL(convert_parse(&r, &m), ERR_OK);
	CU_ASSERT_EQUAL(rd_left(&r), 3);
}

static void test_lies_are_refused(void)
{
	static const struct { size_t at; uint8_t value; enum err result; } rows[] = {
		{ 0, 0, ERR_MALFORMED }, { 0, 2, ERR_MALFORMED },   /* version */
		{ 1, 0, ERR_MALFORMED },                            /* total length 0 */
		{ 1, 5, ERR_MALFORMED },                            /* the TLV runs beyond the message */
		{ 1, 255, ERR_TRUNCATED },
		{ 2, 0x23, ERR_MALFORMED }, { 3, 0, ERR_MALFORMED },
		{ 5, 0, ERR_MALFORMED }, { 5, 4, ERR_MALFORMED }, { 5, 6, ERR_MALFORMED }, { 5, 255, ERR_MALFORMED },
		{ 4, 0, ERR_UNKNOWN }, { 4, 99, ERR_UNKNOWN },
	};

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint8_t bad[sizeof connect4];
		struct convert_message m;

		memcpy(bad, connect4, sizeof bad);
		bad[rows[i].at] = rows[i].value;
		CU_ASSERT_EQUAL(parse(bad, sizeof bad, &m), rows[i].result);
	}
}

static void test_options_of_a_connect_are_known_by_kind(void)
{
	static const struct { uint8_t options[8]; enum err result; uint8_t count, first; } rows[] = {
		{ { 34, 2, 0, 0, 0, 0, 0, 0 }, ERR_OK, 1, 34 },
		{ { 34, 6, 1, 2, 3, 4, 5, 2 }, ERR_OK, 2, 34 },
		{ { 0 }, ERR_OK, 0, 0 },
		{ { 0, 0, 0, 1 }, ERR_MALFORMED, 0, 0 },             /* EOL and something behind it */
		{ { 1, 1, 34, 2 }, ERR_MALFORMED, 0, 0 },            /* NOP */
		{ { 34, 1 }, ERR_MALFORMED, 0, 0 }, { { 34, 0 }, ERR_MALFORMED, 0, 0 },
		{ { 34, 9 }, ERR_MALFORMED, 1, 34 },                 /* beyond the TLV */
		{ { 5, 2, 5, 2, 5, 2, 5, 3 }, ERR_MALFORMED, 3, 5 },
	};

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint8_t bytes[sizeof connect4 + 8];
		struct convert_message m;

		memcpy(bytes, connect4, sizeof connect4);
		memcpy(bytes + sizeof connect4, rows[i].options, 8);
		bytes[1] = 8;
		bytes[5] = 7;
		CU_ASSERT_EQUAL(parse(bytes, sizeof bytes, &m), rows[i].result);
		if (rows[i].result == ERR_OK) {
			CU_ASSERT_EQUAL(m.option_count, rows[i].count);
			CU_ASSERT_EQUAL(m.options[0], rows[i].first);
		}
	}
}

/* Whatever comes, the answer is a Convert message, or there is none and nothing is written. */
static void test_every_refusal_parses(void)
{
	uint8_t bytes[sizeof connect4 + 8] = { 0 }, out[CONVERT_MAX];

	memcpy(bytes, connect4, sizeof connect4);
	for (unsigned at = 0; at < sizeof bytes; at++)
		for (unsigned value = 0; value < 256; value++) {
			uint8_t was = bytes[at];
			struct convert_message m, answer;
			enum err e;

			bytes[at] = (uint8_t)value;
			e = parse(bytes, sizeof bytes, &m);
			for (size_t room = 16; room <= sizeof out; room += sizeof out - 16) {
				struct wr w = wr_of(out, room);
				bool any = convert_emit_refusal(&w, &m, e, bytes, sizeof bytes);

				CU_ASSERT_FALSE(w.bad);
				CU_ASSERT_EQUAL(any, wr_len(&w) > 0);
				if (any)
					CU_ASSERT_EQUAL(parse(out, wr_len(&w), &answer), ERR_OK);
			}
			bytes[at] = was;
		}
}

static void test_a_tlv_stands_once(void)
{
	static const uint8_t twice[] = { 1, 3, 0x22, 0x63, 30, 1, 96, 0, 30, 1, 96, 0 };
	static const uint8_t two[] = { 1, 3, 0x22, 0x63, 30, 1, 97, 3, 21, 1, 0, 0 };
	struct convert_message m;

	CU_ASSERT_EQUAL(parse(twice, sizeof twice, &m), ERR_MALFORMED);
	CU_ASSERT_EQUAL(parse(two, sizeof two, &m), ERR_OK);
	CU_ASSERT_TRUE(m.error);
	CU_ASSERT_EQUAL(m.error_code, CONVERT_ERR_UNREACHABLE);
	CU_ASSERT_EQUAL(m.error_value, 3);
}

static void test_results_survive_the_way_there_and_back(void)
{
	static const enum open_result same[] = {
		OPEN_REFUSED, OPEN_TIMED_OUT, OPEN_NET_UNREACHABLE, OPEN_HOST_UNREACHABLE, OPEN_PORT_UNREACHABLE,
		OPEN_PROHIBITED, OPEN_NO_RESOURCES, OPEN_PROTOCOL_ERROR,
	};

	for (unsigned i = 0; i < sizeof same / sizeof *same; i++) {
		uint8_t out[32], icmp;
		struct wr w = wr_of(out, sizeof out);
		struct convert_message m;

		convert_emit_answer(&w, same[i], 0);
		CU_ASSERT_EQUAL(parse(out, wr_len(&w), &m), ERR_OK);
		CU_ASSERT_TRUE(m.error);
		CU_ASSERT_EQUAL(convert_result(m.error_code, m.error_value, &icmp), same[i]);
	}
}

static void test_the_icmp_code_is_passed_on(void)
{
	uint8_t code, value, icmp;

	convert_error_of(OPEN_PROHIBITED, 10, &code, &value);
	CU_ASSERT_EQUAL(code, CONVERT_ERR_UNREACHABLE);
	CU_ASSERT_EQUAL(value, 10);
	CU_ASSERT_EQUAL(convert_result(code, value, &icmp), OPEN_PROHIBITED);
	CU_ASSERT_EQUAL(icmp, 10);
	CU_ASSERT_EQUAL(convert_result(CONVERT_ERR_UNREACHABLE, 200, &icmp), OPEN_HOST_UNREACHABLE);
	CU_ASSERT_EQUAL(convert_result(77, 0, &icmp), OPEN_PROTOCOL_ERROR);
}

static void test_ok_is_the_bare_header(void)
{
	uint8_t out[8];
	struct wr w = wr_of(out, sizeof out);
	struct convert_message m;

	convert_emit_answer(&w, OPEN_OK, 0);
	CU_ASSERT_EQUAL(wr_len(&w), 4);
	CU_ASSERT_EQUAL(parse(out, 4, &m), ERR_OK);
	CU_ASSERT_FALSE(m.error);
}

UNIT_MAIN("convert", T(test_connect_goes_out_as_in_the_figure_and_comes_back), T(test_every_short_prefix_needs_more),
	  T(test_what_follows_the_message_is_left_alone), T(test_lies_are_refused), T(test_a_tlv_stands_once),
	  T(test_options_of_a_connect_are_known_by_kind), T(test_every_refusal_parses),
	  T(test_results_survive_the_way_there_and_back), T(test_the_icmp_code_is_passed_on), T(test_ok_is_the_bare_header))
