/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include "tests/unit/wire/vectors.h"
#include "tunneld/wire/mptcp_option.h"
#include "tunneld/wire/print.h"

enum { VECTORS_OPTIONS = 53, VECTORS_REFUSED = 47 };

static enum err parse(const uint8_t *bytes, size_t len, struct mptcp_option *out)
{
	struct rd r = rd_of(bytes, len);

	return mptcp_option_parse(&r, out);
}

static size_t emit(const struct mptcp_option *opt, uint8_t *bytes, size_t size)
{
	struct wr w = wr_of(bytes, size);

	mptcp_option_emit(&w, opt);
	return w.bad ? 0 : wr_len(&w);
}

static void test_vectors_are_read_as_they_should_and_come_back(void)
{
	struct vector v = { 0 };
	unsigned count = 0;

	while (vector_next(&v, VECTORS "options.txt")) {
		struct segment s = { .mptcp_count = 1 };
		char text[SEGMENT_TEXT_MAX], want[SEGMENT_TEXT_MAX];
		uint8_t again[64];

		CU_ASSERT_EQUAL(parse(v.bytes, v.len, &s.mptcp[0]), ERR_OK);
		CU_ASSERT_EQUAL(mptcp_option_size(&s.mptcp[0]), v.len);
		CU_ASSERT_EQUAL(emit(&s.mptcp[0], again, sizeof again), v.len);
		CU_ASSERT_EQUAL(memcmp(again, v.bytes, v.len), 0);
		snprintf(want, sizeof want, "- 0:0(0) win 0 <%s>", v.text);
		segment_print(&s, text, sizeof text);
		CU_ASSERT_STRING_EQUAL(text, want);
		if (strcmp(text, want))
			fprintf(stderr, "options.txt:%u: %s, not %s\n", v.line, text, want);
		count++;
	}
	CU_ASSERT_EQUAL(count, VECTORS_OPTIONS);
}

static void test_values_stand_in_their_fields(void)
{
	struct mptcp_option o;
	uint8_t b[64];
	size_t n;

	n = hex_bytes("1e180181 f7dc5d3aedc6e2b6 b9b0402ea0ab764d 0064 457c", b, sizeof b);
	CU_ASSERT_EQUAL(parse(b, n, &o), ERR_OK);
	CU_ASSERT_EQUAL(o.subtype, MP_CAPABLE);
	CU_ASSERT_EQUAL(o.capable.flags, MPC_CHECKSUM | MPC_HMAC_SHA256);
	CU_ASSERT_EQUAL(o.capable.sender_key, 0xf7dc5d3aedc6e2b6);
	CU_ASSERT_EQUAL(o.capable.receiver_key, 0xb9b0402ea0ab764d);

	n = hex_bytes("1e101000 93463088571743c2 d2b77965", b, sizeof b);
	CU_ASSERT_EQUAL(parse(b, n, &o), ERR_OK);
	CU_ASSERT_EQUAL(o.join.form, JOIN_SYNACK);
	CU_ASSERT_EQUAL(o.join.nonce, 0xd2b77965);
	CU_ASSERT_EQUAL(memcmp(o.join.hmac, b + 4, 8), 0);

	n = hex_bytes("1e181000 d425b4ae99c307d9f897d1cc6d2918bef745433c", b, sizeof b);
	CU_ASSERT_EQUAL(parse(b, n, &o), ERR_OK);
	CU_ASSERT_EQUAL(o.join.form, JOIN_ACK);
	CU_ASSERT_EQUAL(memcmp(o.join.hmac, b + 4, 20), 0);

	n = hex_bytes("1e103001 0a4d0202 664b226bd8581449", b, sizeof b);
	CU_ASSERT_EQUAL(parse(b, n, &o), ERR_OK);
	CU_ASSERT_EQUAL(o.add_addr.hmac, 0x664b226bd8581449);
	CU_ASSERT_FALSE(o.add_addr.has_port);

	n = hex_bytes("1e0c7000 6cd4e282b4bcaf77", b, sizeof b);
	CU_ASSERT_EQUAL(parse(b, n, &o), ERR_OK);
	CU_ASSERT_EQUAL(o.fastclose.receiver_key, 0x6cd4e282b4bcaf77);
}

static void test_every_short_prefix_is_refused(void)
{
	struct vector v = { 0 };
	struct mptcp_option out;
	unsigned tried = 0;

	while (vector_next(&v, VECTORS "options.txt")) {
		for (size_t n = 0; n < v.len; n++, tried++)
			CU_ASSERT_EQUAL(parse(v.bytes, n, &out), ERR_TRUNCATED);
	}
	CU_ASSERT(tried > 500);
}

/* The length byte says less than there is, or the bytes end before it: never believed, never read past. */
static void test_lying_lengths_are_refused(void)
{
	struct vector v = { 0 };
	struct mptcp_option out;

	while (vector_next(&v, VECTORS "options.txt")) {
		uint8_t length = v.bytes[1];

		for (unsigned lie = 0; lie < 256; lie++) {
			if (lie == length)
				continue;
			v.bytes[1] = (uint8_t)lie;
			CU_ASSERT_EQUAL(parse(v.bytes, v.len, &out), lie > length ? ERR_TRUNCATED : ERR_MALFORMED);
		}
	}
}

static void test_refused_options_say_why(void)
{
	struct vector v = { 0 };
	unsigned count = 0;

	while (vector_next(&v, VECTORS "refused.txt")) {
		struct mptcp_option out;
		enum err want = !strcmp(v.text, "UNKNOWN") ? ERR_UNKNOWN : ERR_MALFORMED;
		enum err e = parse(v.bytes, v.len, &out);

		CU_ASSERT_EQUAL(v.bytes[1], v.len);
		CU_ASSERT_EQUAL(e, want);
		if (e != want)
			fprintf(stderr, "refused.txt:%u: %s\n", v.line, err_text(e));
		count++;
	}
	CU_ASSERT_EQUAL(count, VECTORS_REFUSED);
}

/* Each subtype in each length a byte can say: parse agrees with the table in the RFC's text. */
static void test_lengths_are_those_of_the_rfc(void)
{
	static const struct { unsigned subtype, low, length[9]; } good[] = {
		{ MP_CAPABLE, 1, { 4, 12, 20, 22, 24 } },
		{ MP_JOIN, 0, { 12, 16, 24 } },
		{ ADD_ADDR, 0, { 16, 18, 28, 30 } },
		{ ADD_ADDR, 1, { 8, 10, 20, 22 } },
		{ REMOVE_ADDR, 0, { 4, 5, 6, 7, 8, 9, 10, 11 } },
		{ MP_PRIO, 1, { 3, 6 } },
		{ MP_FAIL, 0, { 12 } },
		{ MP_FASTCLOSE, 0, { 12 } },
		{ MP_TCPRST, 0, { 4 } },
		{ FAULT_ANNOUNCE, 0, { 6, 8 } },
		{ FAULT_ANNOUNCE, 8, { 10 } },
		{ FAULT_ANNOUNCE, 12, { 22 } },
	};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		for (unsigned length = 3; length < 64; length++) {
			uint8_t b[64] = { TCP_KIND_MPTCP, (uint8_t)length, (uint8_t)(good[i].subtype << 4 | good[i].low) };
			struct mptcp_option out;
			bool known = false;

			for (size_t k = 0; k < 9; k++)
				known |= good[i].length[k] == length;
			CU_ASSERT_EQUAL(parse(b, length, &out), known ? ERR_OK : ERR_MALFORMED);
		}
	}
}

/* RFC 8684 3.3: lengths by flags; the three reserved bits and m, a, F without M, A change nothing. */
static void test_dss_length_follows_from_its_flags(void)
{
	for (unsigned flags = 0; flags < 256; flags++) {
		unsigned size = 4;

		if (flags & 1)
			size += flags & 2 ? 8 : 4;
		if (flags & 4)
			size += flags & 8 ? 14 : 10;
		for (unsigned length = 4; length < 40; length++) {
			uint8_t b[64] = { TCP_KIND_MPTCP, (uint8_t)length, DSS << 4, (uint8_t)flags };
			bool ok = length == size || (flags & 4 && length == size + 2);
			struct mptcp_option out;

			CU_ASSERT_EQUAL(parse(b, length, &out), ok ? ERR_OK : ERR_MALFORMED);
			if (!ok)
				continue;
			CU_ASSERT_EQUAL(mptcp_option_size(&out), length);
			CU_ASSERT_EQUAL(out.dss.has_checksum, length != size);
			CU_ASSERT_EQUAL(out.dss.data_fin, (flags & 0x14) == 0x14);
		}
	}
}

/* What a newer peer puts into reserved bits is read over, and not sent back. */
static void test_reserved_bits_are_ignored(void)
{
	static const struct { const char *set, *clear; } pairs[] = {
		{ "1e0c1f01 288920a7 c05a60cb", "1e0c1101 288920a7 c05a60cb" },
		{ "1e101e00 93463088571743c2 d2b77965", "1e101000 93463088571743c2 d2b77965" },
		{ "1e181fff d425b4ae99c307d9f897d1cc6d2918bef745433c", "1e181000 d425b4ae99c307d9f897d1cc6d2918bef745433c" },
		{ "1e0c2fe3 f41af92499da74a9", "1e0c2003 f41af92499da74a9" },
		{ "1e0820f9 00000007", "1e082001 00000007" },
		{ "1e0820f1 00000007", "1e082001 00000007" },
		{ "1e083f01 0a4d0202", "1e083101 0a4d0202" },
		{ "1e044f07", "1e044007" },
		{ "1e035f", "1e0351" },
		{ "1e065e 000190", "1e0650 000190" },
		{ "1e0c6fff 0102030405060708", "1e0c6000 0102030405060708" },
		{ "1e0c7fff 6cd4e282b4bcaf77", "1e0c7000 6cd4e282b4bcaf77" },
		{ "1e048f03", "1e048103" },
		{ "1e06960b 0102", "1e06900b 0102" },
		{ "1e08900b 0102 ffff", "1e06900b 0102" },
		{ "1e08ff5046000320", "1e08f05046000320" },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		uint8_t set[64], clear[64], again[64];
		size_t n = hex_bytes(pairs[i].set, set, sizeof set), m;
		struct mptcp_option out;

		CU_ASSERT_EQUAL(parse(set, n, &out), ERR_OK);
		m = hex_bytes(pairs[i].clear, clear, sizeof clear);
		CU_ASSERT_EQUAL(emit(&out, again, sizeof again), m);
		CU_ASSERT_EQUAL(memcmp(again, clear, m), 0);
	}
}

static void test_random_bytes_round_trip_on_the_wire(void)
{
	uint64_t seed = 0x77697265;
	unsigned good = 0;

	for (unsigned i = 0; i < 200000; i++) {
		uint8_t b[40], first[64], second[64];
		struct mptcp_option one, two;
		size_t n, m;

		for (size_t k = 0; k < sizeof b; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			b[k] = (uint8_t)(seed >> 56);
		}
		b[0] = TCP_KIND_MPTCP;
		b[1] = (uint8_t)(3 + b[1] % 29);
		if (parse(b, b[1], &one) != ERR_OK)
			continue;
		good++;
		n = emit(&one, first, sizeof first);
		CU_ASSERT_EQUAL(n, mptcp_option_size(&one));
		CU_ASSERT_EQUAL(parse(first, n, &two), ERR_OK);
		m = emit(&two, second, sizeof second);
		CU_ASSERT_EQUAL(n, m);
		CU_ASSERT_EQUAL(memcmp(first, second, n), 0);
	}
	CU_ASSERT(good > 5000);
}

static void test_emit_without_room_writes_nothing(void)
{
	struct vector v = { 0 };

	while (vector_next(&v, VECTORS "options.txt")) {
		struct mptcp_option opt;

		CU_ASSERT_EQUAL(parse(v.bytes, v.len, &opt), ERR_OK);
		for (size_t room = 0; room < v.len; room++) {
			uint8_t b[64] = { 0 };
			struct wr w = wr_of(b, room);

			mptcp_option_emit(&w, &opt);
			CU_ASSERT(w.bad);
			CU_ASSERT_EQUAL(wr_len(&w), 0);
			CU_ASSERT_EQUAL(b[0], 0);
		}
	}
}

static void test_subtypes_have_names_or_none(void)
{
	CU_ASSERT_STRING_EQUAL(mptcp_subtype_name(0), "MP_CAPABLE");
	CU_ASSERT_STRING_EQUAL(mptcp_subtype_name(MP_TCPRST), "MP_TCPRST");
	CU_ASSERT_STRING_EQUAL(mptcp_subtype_name(FAULT_ANNOUNCE), "FAULT_ANNOUNCE");
	CU_ASSERT_PTR_NULL(mptcp_subtype_name(0xa));
	CU_ASSERT_PTR_NULL(mptcp_subtype_name(16));
	CU_ASSERT_PTR_NULL(mptcp_subtype_name(4000));
}

UNIT_MAIN("mptcp_option",
	T(test_vectors_are_read_as_they_should_and_come_back),
	T(test_values_stand_in_their_fields),
	T(test_every_short_prefix_is_refused),
	T(test_lying_lengths_are_refused),
	T(test_refused_options_say_why),
	T(test_lengths_are_those_of_the_rfc),
	T(test_dss_length_follows_from_its_flags),
	T(test_reserved_bits_are_ignored),
	T(test_random_bytes_round_trip_on_the_wire),
	T(test_emit_without_room_writes_nothing),
	T(test_subtypes_have_names_or_none))
