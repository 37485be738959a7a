/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include "tests/unit/wire/vectors.h"
#include "tunneld/wire/segment.h"
#include "tunneld/wire/tcp_option.h"

static size_t emit(const struct segment *s, enum segment_form form, uint8_t *bytes, size_t size)
{
	struct wr w = wr_of(bytes, size);

	return segment_emit(&w, s, form) == ERR_OK ? wr_len(&w) : 0;
}

/* Does s, in plain form, come out as these bytes, and do they come back to the same bytes? */
static bool is_wire(const struct segment *s, const char *hex)
{
	uint8_t want[256], got[256], again[256];
	size_t n = hex_bytes(hex, want, sizeof want);
	struct segment parsed = { 0 };

	return segment_header_size(s, SEGMENT_PLAIN) + (s->payload ? s->payload_len : 0) == n &&
	       emit(s, SEGMENT_PLAIN, got, sizeof got) == n && !memcmp(got, want, n) &&
	       segment_parse(&parsed, got, n, SEGMENT_PLAIN) == ERR_OK && !parsed.ignored &&
	       emit(&parsed, SEGMENT_PLAIN, again, sizeof again) == n && !memcmp(again, want, n);
}

static struct segment full(void)
{
	return (struct segment){
		.src_port = 0x1234, .dst_port = 0x5678, .seq = { 0x01020304 }, .ack = { 0x11121314 }, .window = 0xfeed,
		.flags = TCP_ACK | TCP_PSH,
		.tcp = { .has = OPT_TIMESTAMP, .ts_val = 7, .ts_ecr = 8 },
		.mptcp_count = 1,
		.mptcp = { { .subtype = DSS, .dss = { .has_ack = true, .has_map = true, .data_ack = 9, .dsn = 10, .ssn = 1, .len = 5 } } },
		.payload = (const uint8_t *)"hello", .payload_len = 5,
	};
}

static void test_plain_and_sealed_forms_are_the_figures(void)
{
	static const char plain[] = "d0 18 feed 01020304 11121314 0101080a 00000007 00000008 "
		"1e122005 00000009 0000000a 00000001 0005 0101 68656c6c6f";
	struct segment s = full(), back = { .src_port = 1, .dst_port = 2 };
	uint8_t want[128], got[128];
	size_t n = hex_bytes(plain, want + 4, sizeof want - 4);

	CU_ASSERT(is_wire(&s, plain));

	memcpy(want, "\x12\x34\x56\x78", 4);
	CU_ASSERT_EQUAL(emit(&s, SEGMENT_SEALED, got, sizeof got), n + 4);
	CU_ASSERT_EQUAL(memcmp(got, want, n + 4), 0);
	CU_ASSERT_EQUAL(segment_header_size(&s, SEGMENT_SEALED), n + 4 - 5);

	CU_ASSERT_EQUAL(segment_parse(&back, got + 4, n, SEGMENT_PLAIN), ERR_OK);
	CU_ASSERT_EQUAL(back.src_port, 1);
	CU_ASSERT_EQUAL(back.dst_port, 2);
	CU_ASSERT_EQUAL(segment_parse(&back, got, n + 4, SEGMENT_SEALED), ERR_OK);
	CU_ASSERT_EQUAL(back.src_port, 0x1234);
	CU_ASSERT_EQUAL(back.dst_port, 0x5678);
	CU_ASSERT_EQUAL(back.seq.v, 0x01020304);
	CU_ASSERT_EQUAL(back.ack.v, 0x11121314);
	CU_ASSERT_EQUAL(back.window, 0xfeed);
	CU_ASSERT_EQUAL(back.flags, TCP_ACK | TCP_PSH);
	CU_ASSERT_EQUAL(back.tcp.has, OPT_TIMESTAMP);
	CU_ASSERT_EQUAL(back.tcp.ts_val, 7);
	CU_ASSERT_EQUAL(back.tcp.ts_ecr, 8);
	CU_ASSERT_EQUAL(back.mptcp_count, 1);
	CU_ASSERT_PTR_NOT_NULL(segment_mptcp(&back, DSS));
	CU_ASSERT_PTR_NULL(segment_mptcp(&back, MP_JOIN));
	CU_ASSERT_EQUAL(segment_mptcp(&back, DSS)->dss.dsn, 10);
	CU_ASSERT_EQUAL(back.payload_len, 5);
	CU_ASSERT_PTR_EQUAL(back.payload, got + n + 4 - 5);
}

static void test_options_stand_in_linux_order(void)
{
	struct segment s = { .flags = TCP_SYN, .mptcp_count = 1,
		.mptcp = { { .subtype = MP_CAPABLE, .capable = { .version = 1, .flags = MPC_HMAC_SHA256 } } } };

	s.tcp = (struct tcp_options){ .has = OPT_MSS | OPT_WSCALE | OPT_SACK_OK | OPT_TIMESTAMP, .mss = 1460, .wscale = 7, .ts_val = 1 };
	CU_ASSERT(is_wire(&s, "b0 02 0000 00000000 00000000 020405b4 0402080a 00000001 00000000 01030307 1e040101"));
	s.tcp.has = OPT_MSS | OPT_WSCALE | OPT_SACK_OK;
	CU_ASSERT(is_wire(&s, "90 02 0000 00000000 00000000 020405b4 01010402 01030307 1e040101"));
	s.tcp.has = OPT_MSS;
	CU_ASSERT(is_wire(&s, "70 02 0000 00000000 00000000 020405b4 1e040101"));
	s.tcp.has = OPT_MSS | OPT_USER_TIMEOUT;
	s.tcp.user_timeout = 0x8005;
	CU_ASSERT(is_wire(&s, "80 02 0000 00000000 00000000 020405b4 1c048005 1e040101"));

	s = (struct segment){ .flags = TCP_ACK, .ack = { 1 },
		.tcp = { .has = OPT_TIMESTAMP | OPT_SACK, .sack_count = 2, .sack = { { { 1 }, { 2 } }, { { 3 }, { 4 } } } } };
	CU_ASSERT(is_wire(&s, "d0 10 0000 00000000 00000001 0101080a 00000000 00000000 01010512 00000001 00000002 00000003 00000004"));
	s.tcp.has = OPT_SACK;
	s.tcp.sack_count = 4;
	CU_ASSERT(is_wire(&s, "e0 10 0000 00000000 00000001 01010522 00000001 00000002 00000003 00000004 00000000 00000000 00000000 00000000"));
}

static void test_bare_segment_is_twelve_bytes(void)
{
	struct segment s = { .flags = TCP_ACK, .seq = { 0xffffffff }, .ack = { 1 }, .window = 2 };

	CU_ASSERT(is_wire(&s, "50 10 0002 ffffffff 00000001"));
	CU_ASSERT_EQUAL(segment_header_size(&s, SEGMENT_PLAIN), 12);
	CU_ASSERT_EQUAL(segment_header_size(&s, SEGMENT_SEALED), 16);
}

static void test_odd_options_are_padded_each_to_a_word(void)
{
	struct segment s = { .flags = TCP_RST | TCP_ACK, .mptcp_count = 2, .mptcp = {
		{ .subtype = MP_PRIO, .prio = { .backup = true } },
		{ .subtype = REMOVE_ADDR, .remove_addr = { .count = 2, .ids = { 5, 6 } } } } };

	CU_ASSERT(is_wire(&s, "80 14 0000 00000000 00000000 1e035101 1e0540 05 06 010101"));
	CU_ASSERT_EQUAL(segment_options_size(&s), 12);
}

static void test_every_prefix_of_the_header_is_refused(void)
{
	struct segment s = full(), out;
	uint8_t b[128];

	for (int form = SEGMENT_SEALED; form <= SEGMENT_PLAIN; form++) {
		size_t n = emit(&s, (enum segment_form)form, b, sizeof b);

		for (size_t len = 0; len < n - 5; len++)
			CU_ASSERT_EQUAL(segment_parse(&out, b, len, (enum segment_form)form), ERR_TRUNCATED);
		for (size_t len = n - 5; len <= n; len++) {
			CU_ASSERT_EQUAL(segment_parse(&out, b, len, (enum segment_form)form), ERR_OK);
			CU_ASSERT_EQUAL(out.payload_len, len - (n - 5));
		}
	}
}

static enum err parse_hex(const char *hex, struct segment *out)
{
	static uint8_t b[128];

	return segment_parse(out, b, hex_bytes(hex, b, sizeof b), SEGMENT_PLAIN);
}

static void test_data_offset_that_lies_is_refused(void)
{
	struct segment out;

	CU_ASSERT_EQUAL(parse_hex("40 10 0000 00000000 00000000", &out), ERR_MALFORMED);
	CU_ASSERT_EQUAL(parse_hex("00 10 0000 00000000 00000000", &out), ERR_MALFORMED);
	CU_ASSERT_EQUAL(parse_hex("60 10 0000 00000000 00000000", &out), ERR_TRUNCATED);
	CU_ASSERT_EQUAL(parse_hex("f0 10 0000 00000000 00000000 01010101", &out), ERR_TRUNCATED);
}

static void test_option_length_that_lies_is_refused(void)
{
	struct segment out;

	CU_ASSERT_EQUAL(parse_hex("60 10 0000 00000000 00000000 02000000", &out), ERR_MALFORMED);
	CU_ASSERT_EQUAL(parse_hex("60 10 0000 00000000 00000000 02010000", &out), ERR_MALFORMED);
	CU_ASSERT_EQUAL(parse_hex("60 10 0000 00000000 00000000 1e010000", &out), ERR_MALFORMED);
	CU_ASSERT_EQUAL(parse_hex("60 10 0000 00000000 00000000 02050000", &out), ERR_TRUNCATED);
	CU_ASSERT_EQUAL(parse_hex("60 10 0000 00000000 00000000 1eff0101", &out), ERR_TRUNCATED);
	CU_ASSERT_EQUAL(parse_hex("60 10 0000 00000000 00000000 01010102", &out), ERR_TRUNCATED);
	/* the payload's bytes are no part of an option, though they are there */
	CU_ASSERT_EQUAL(parse_hex("60 10 0000 00000000 00000000 1e0c2003 0000000000000001", &out), ERR_TRUNCATED);
}

static void test_flags_that_contradict_are_refused(void)
{
	struct segment out;

	CU_ASSERT_EQUAL(parse_hex("50 03 0000 00000000 00000000", &out), ERR_MALFORMED);
	CU_ASSERT_EQUAL(parse_hex("50 06 0000 00000000 00000000", &out), ERR_MALFORMED);
	CU_ASSERT_EQUAL(parse_hex("50 12 0000 00000000 00000000", &out), ERR_OK);
}

static void test_reserved_bits_and_urg_are_read_over(void)
{
	struct segment out;
	uint8_t b[32];

	CU_ASSERT_EQUAL(parse_hex("5f f0 0000 00000000 00000000", &out), ERR_OK);
	CU_ASSERT_EQUAL(out.flags, TCP_ACK | TCP_ECE | TCP_CWR);
	out.flags |= TCP_URG;
	CU_ASSERT_EQUAL(emit(&out, SEGMENT_PLAIN, b, sizeof b), 12);
	CU_ASSERT_EQUAL(b[0], 0x50);
	CU_ASSERT_EQUAL(b[1], TCP_ACK | TCP_ECE | TCP_CWR);
}

static void test_unknown_and_odd_options_are_skipped_and_counted(void)
{
	struct segment out;

	/* kind 254 unknown, MSS of 3, wscale of 4, SACK of 9 and of 2; then a good MSS and SACK-permitted */
	CU_ASSERT_EQUAL(parse_hex("d0 10 0000 00000000 00000000 fe0400ff 020300 03040000 0509 00000000000000 0502 02040400 "
				  "0402 00 00 00 00 00 00", &out), ERR_OK);
	CU_ASSERT_EQUAL(out.ignored, 5);
	CU_ASSERT_EQUAL(out.tcp.has, OPT_MSS | OPT_SACK_OK);
	CU_ASSERT_EQUAL(out.tcp.mss, 0x0400);

	/* an unknown subtype, an MP_PRIO of 4, and a good MP_PRIO behind them */
	CU_ASSERT_EQUAL(parse_hex("80 10 0000 00000000 00000000 1e04a000 1e045001 1e035101", &out), ERR_OK);
	CU_ASSERT_EQUAL(out.ignored, 2);
	CU_ASSERT_EQUAL(out.mptcp_count, 1);
	CU_ASSERT(out.mptcp[0].subtype == MP_PRIO && out.mptcp[0].prio.backup);

	/* a timestamp of 8, a SACK-permitted of 3, a SACK that ends amid a block */
	CU_ASSERT_EQUAL(parse_hex("b0 10 0000 00000000 00000000 0808000000000000 040300 050c 00000000000000000000 010101", &out), ERR_OK);
	CU_ASSERT_EQUAL(out.ignored, 3);
	CU_ASSERT_EQUAL(out.tcp.has, 0);

	/* an MPTCP option too short to have a subtype */
	CU_ASSERT_EQUAL(parse_hex("60 10 0000 00000000 00000000 1e020101", &out), ERR_OK);
	CU_ASSERT_EQUAL(out.ignored, 1);
}

/* Every kind in every length a header has room for: never fatal, counted unless it is a form we know. */
static void test_no_kind_or_length_is_fatal(void)
{
	for (unsigned kind = 2; kind < 256; kind++) {
		for (uint8_t length = 2; length <= 40; length++) {
			uint8_t b[52] = { 0xf0, TCP_ACK };
			struct segment out;
			bool tcp = (kind == 2 && length == 4) || (kind == 3 && length == 3) || (kind == 4 && length == 2) ||
				   (kind == 5 && (length == 10 || length == 18 || length == 26 || length == 34)) ||
				   (kind == 8 && length == 10) || (kind == 28 && length == 4);

			b[12] = (uint8_t)kind;
			b[13] = length;
			CU_ASSERT_EQUAL(segment_parse(&out, b, sizeof b, SEGMENT_PLAIN), ERR_OK);
			CU_ASSERT_EQUAL(out.ignored + out.mptcp_count + !!out.tcp.has, 1);
			CU_ASSERT_EQUAL(!!out.tcp.has, tcp);
		}
	}
}

static void test_nothing_is_read_after_the_end_of_options(void)
{
	struct segment out;

	CU_ASSERT_EQUAL(parse_hex("70 10 0000 00000000 00000000 00020405 b4ffffff", &out), ERR_OK);
	CU_ASSERT_EQUAL(out.tcp.has, 0);
	CU_ASSERT_EQUAL(out.ignored, 0);
}

static void test_more_mptcp_options_than_places_are_counted(void)
{
	struct segment out;

	CU_ASSERT_EQUAL(parse_hex("b0 10 0000 00000000 00000000 1e035101 1e035001 1e035101 1e035001 1e035101 1e035001", &out), ERR_OK);
	CU_ASSERT_EQUAL(out.mptcp_count, SEGMENT_MPTCP_MAX);
	CU_ASSERT_EQUAL(out.ignored, 2);
}

static void test_a_second_parse_forgets_the_first(void)
{
	struct segment out;

	CU_ASSERT_EQUAL(parse_hex("80 10 0000 00000000 00000000 1e04a000 1e035101 01010402", &out), ERR_OK);
	CU_ASSERT_EQUAL(parse_hex("50 10 0000 00000000 00000000", &out), ERR_OK);
	CU_ASSERT_EQUAL(out.mptcp_count, 0);
	CU_ASSERT_EQUAL(out.ignored, 0);
	CU_ASSERT_EQUAL(out.tcp.has, 0);
	CU_ASSERT_EQUAL(out.payload_len, 0);
}

static void test_emit_that_does_not_fit_leaves_the_writer_alone(void)
{
	struct segment s = full();
	uint8_t b[128] = { 0xaa };
	size_t need = segment_header_size(&s, SEGMENT_SEALED) + s.payload_len;

	for (size_t size = 0; size <= sizeof b; size++) {
		struct wr w = wr_of(b, size);
		enum err e = segment_emit(&w, &s, SEGMENT_SEALED);

		CU_ASSERT_EQUAL(e, size < need ? ERR_FULL : ERR_OK);
		CU_ASSERT_EQUAL(wr_len(&w), size < need ? 0 : need);
		CU_ASSERT_FALSE(w.bad);
	}
}

static void test_forty_bytes_of_options_fit_and_more_do_not(void)
{
	struct segment s = full();
	uint8_t b[128];

	/* PROTOCOL: timestamps and the longest DSS are 40 bytes exactly */
	s.mptcp[0].dss.ack_is_64 = s.mptcp[0].dss.dsn_is_64 = s.mptcp[0].dss.has_checksum = true;
	CU_ASSERT_EQUAL(segment_options_size(&s), 40);
	CU_ASSERT_EQUAL(emit(&s, SEGMENT_PLAIN, b, sizeof b), 12 + 40 + 5);
	CU_ASSERT_EQUAL(b[0], 0xf0);

	s.mptcp_count = 2;
	s.mptcp[1] = (struct mptcp_option){ .subtype = MP_PRIO };
	CU_ASSERT_EQUAL(segment_options_size(&s), 44);
	CU_ASSERT_EQUAL(emit(&s, SEGMENT_PLAIN, b, sizeof b), 0);
}

static void test_header_alone_leaves_the_payload_to_the_caller(void)
{
	struct segment s = full();
	uint8_t whole[128], header[128];
	size_t n = emit(&s, SEGMENT_SEALED, whole, sizeof whole);

	s.payload = NULL;
	CU_ASSERT_EQUAL(emit(&s, SEGMENT_SEALED, header, n - 5), n - 5);
	CU_ASSERT_EQUAL(memcmp(header, whole, n - 5), 0);
}

static void test_sequence_length_counts_syn_and_fin(void)
{
	struct segment s = { .payload_len = 10, .flags = TCP_ACK };

	CU_ASSERT_EQUAL(segment_seq_len(&s), 10);
	s.flags = TCP_SYN;
	CU_ASSERT_EQUAL(segment_seq_len(&s), 11);
	s.flags = TCP_FIN | TCP_ACK;
	CU_ASSERT_EQUAL(segment_seq_len(&s), 11);
	s.flags = TCP_RST;
	s.payload_len = 0;
	CU_ASSERT_EQUAL(segment_seq_len(&s), 0);
}

/* Random headers: whatever is accepted goes out and comes back the same. */
static void test_random_segments_round_trip_on_the_wire(void)
{
	static const uint8_t kinds[] = { 1, 1, 2, 3, 4, 5, 8, 28, 30, 30, 30, 99 };
	static const uint8_t lengths[] = { 2, 3, 4, 6, 8, 10, 12, 14, 16, 18, 20, 24 };
	uint64_t seed = 0x5e6;
	unsigned good = 0;

	for (unsigned i = 0; i < 100000; i++) {
		uint8_t b[100], first[128], second[128];
		struct segment one, two;
		size_t n;

		for (size_t k = 0; k < sizeof b; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			b[k] = (uint8_t)(seed >> 56);
		}
		b[0] = (uint8_t)(0x50 + (seed >> 40) % 11 * 16);
		for (size_t k = 12; k + 2 < sizeof b; ) {
			b[k] = kinds[b[k] % sizeof kinds];
			if (b[k] == 1) {
				k++;
				continue;
			}
			b[k + 1] = lengths[b[k + 1] % sizeof lengths];
			if (b[k] == 30)
				b[k + 2] &= 0x9f;
			k += b[k + 1];
		}
		if (segment_parse(&one, b, sizeof b, SEGMENT_PLAIN) != ERR_OK)
			continue;
		n = emit(&one, SEGMENT_PLAIN, first, sizeof first);
		if (segment_options_size(&one) > TCP_OPTIONS_MAX) {
			CU_ASSERT_EQUAL(n, 0);
			continue;
		}
		good++;
		CU_ASSERT_EQUAL(n, segment_header_size(&one, SEGMENT_PLAIN) + one.payload_len);
		CU_ASSERT_EQUAL(segment_parse(&two, first, n, SEGMENT_PLAIN), ERR_OK);
		CU_ASSERT_EQUAL(two.ignored, 0);
		CU_ASSERT_EQUAL(emit(&two, SEGMENT_PLAIN, second, sizeof second), n);
		CU_ASSERT_EQUAL(memcmp(first, second, n), 0);
	}
	CU_ASSERT(good > 10000);
}

UNIT_MAIN("segment",
	T(test_plain_and_sealed_forms_are_the_figures),
	T(test_options_stand_in_linux_order),
	T(test_bare_segment_is_twelve_bytes),
	T(test_odd_options_are_padded_each_to_a_word),
	T(test_every_prefix_of_the_header_is_refused),
	T(test_data_offset_that_lies_is_refused),
	T(test_option_length_that_lies_is_refused),
	T(test_flags_that_contradict_are_refused),
	T(test_reserved_bits_and_urg_are_read_over),
	T(test_unknown_and_odd_options_are_skipped_and_counted),
	T(test_no_kind_or_length_is_fatal),
	T(test_nothing_is_read_after_the_end_of_options),
	T(test_more_mptcp_options_than_places_are_counted),
	T(test_a_second_parse_forgets_the_first),
	T(test_emit_that_does_not_fit_leaves_the_writer_alone),
	T(test_forty_bytes_of_options_fit_and_more_do_not),
	T(test_header_alone_leaves_the_payload_to_the_caller),
	T(test_sequence_length_counts_syn_and_fin),
	T(test_random_segments_round_trip_on_the_wire))
