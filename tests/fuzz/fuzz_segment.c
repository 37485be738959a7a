/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a segment. The first byte picks the form; the rest is the datagram. What must hold: nothing is read
 * or written out of bounds (sanitizers), what is accepted can be printed, and what is accepted goes out and comes
 * back as the same bytes, at once or after option_rules_fit().
 */
#include "tests/fuzz/fuzz_main.h"

#include <stdlib.h>
#include <string.h>

#include "tunneld/wire/option_rules.h"
#include "tunneld/wire/print.h"
#include "tunneld/wire/segment.h"

/* Not assert(): must hold in a build with NDEBUG too. */
#define HOLDS(what) do { if (!(what)) abort(); } while (0)

static uint8_t out[1 << 17];

static size_t emit(const struct segment *s, enum segment_form form, uint8_t *to, size_t size)
{
	struct wr w = wr_of(to, size);

	if (segment_emit(&w, s, form) != ERR_OK) {
		HOLDS(wr_len(&w) == 0);
		return 0;
	}
	return wr_len(&w);
}

static void round_trip(const struct segment *s, enum segment_form form)
{
	static uint8_t again[1 << 17];
	struct segment back = { 0 };
	size_t len = emit(s, form, out, sizeof out);

	HOLDS(len == segment_header_size(s, form) + s->payload_len);
	HOLDS(emit(s, form, again, len - 1) == 0);
	HOLDS(segment_parse(&back, out, len, form) == ERR_OK);
	HOLDS(back.ignored == 0 && back.mptcp_count == s->mptcp_count && back.payload_len == s->payload_len);
	HOLDS(segment_seq_len(&back) == segment_seq_len(s));
	HOLDS(emit(&back, form, again, sizeof again) == len);
	HOLDS(!memcmp(out, again, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct segment s = { 0 };
	char text[SEGMENT_TEXT_MAX];
	enum segment_form form;
	unsigned count;
	size_t text_size;

	if (!len)
		return 0;
	form = bytes[0] & 1 ? SEGMENT_PLAIN : SEGMENT_SEALED;
	text_size = 1 + bytes[0] % (sizeof text - 1);
	bytes++;
	len--;
	if (segment_parse(&s, bytes, len, form) != ERR_OK)
		return 0;
	HOLDS(s.mptcp_count <= SEGMENT_MPTCP_MAX && s.tcp.sack_count <= SACK_BLOCKS_MAX);
	HOLDS(s.payload >= bytes && s.payload + s.payload_len == bytes + len);

	segment_print(&s, text, sizeof text);
	HOLDS(strlen(text) < sizeof text);
	segment_print(&s, text, text_size);
	HOLDS(strlen(text) < text_size);

	/* Padding may make more of the options than they were. */
	if (segment_options_size(&s) <= TCP_OPTIONS_MAX)
		round_trip(&s, form);
	else
		HOLDS(emit(&s, form, out, sizeof out) == 0);

	count = s.mptcp_count;
	HOLDS(option_rules_fit(&s) + s.mptcp_count == count);
	HOLDS(segment_options_size(&s) <= TCP_OPTIONS_MAX);
	round_trip(&s, form);
	HOLDS(option_rules_fit(&s) == 0);
	return 0;
}

#ifndef PLAIT_LIBFUZZER
/* A header that is nearly right: kinds and lengths that exist, in random order, now and then spoilt. */
static size_t fuzz_generate(uint64_t seed, uint8_t *bytes)
{
	static const struct { uint8_t kind, length, subtype; } shapes[] = {
		{ 2, 4, 0 }, { 3, 3, 0 }, { 4, 2, 0 }, { 5, 10, 0 }, { 5, 18, 0 }, { 5, 26, 0 }, { 5, 34, 0 }, { 8, 10, 0 }, { 28, 4, 0 },
		{ 30, 4, 0 }, { 30, 12, 0 }, { 30, 20, 0 }, { 30, 22, 0 }, { 30, 24, 0 }, { 30, 12, 1 }, { 30, 16, 1 }, { 30, 24, 1 },
		{ 30, 8, 2 }, { 30, 12, 2 }, { 30, 14, 2 }, { 30, 16, 2 }, { 30, 18, 2 }, { 30, 20, 2 }, { 30, 22, 2 }, { 30, 24, 2 },
		{ 30, 26, 2 }, { 30, 28, 2 }, { 30, 8, 3 }, { 30, 10, 3 }, { 30, 16, 3 }, { 30, 18, 3 }, { 30, 20, 3 }, { 30, 22, 3 },
		{ 30, 28, 3 }, { 30, 30, 3 }, { 30, 4, 4 }, { 30, 11, 4 }, { 30, 3, 5 }, { 30, 6, 5 }, { 30, 12, 6 }, { 30, 12, 7 },
		{ 30, 4, 8 }, { 30, 6, 9 }, { 30, 8, 9 }, { 30, 10, 9 }, { 30, 22, 9 }, { 30, 8, 15 }, { 30, 12, 15 }, { 30, 4, 10 }, { 99, 6, 0 },
	};
	uint64_t state = seed;
	size_t len = fuzz_random(&state) % 120, header;
	uint8_t *p;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)fuzz_random(&state);
	if (len < 30 || !(fuzz_random(&state) & 15))
		return len;
	p = bytes + (bytes[0] & 1 ? 1 : 5);
	header = fuzz_random(&state) % 11 * 4;
	p[0] = (uint8_t)(0x50 + header * 4);
	p[1] &= fuzz_random(&state) & 1 ? 0xf8 : 0xfa;
	p += 12;
	for (size_t i = 0; i < header && p + i + 9 < bytes + len; ) {
		size_t k = fuzz_random(&state) % (sizeof shapes / sizeof *shapes);

		p[i] = shapes[k].kind;
		p[i + 1] = shapes[k].length;
		if (shapes[k].kind == 30)
			p[i + 2] = (uint8_t)(shapes[k].subtype << 4 | (p[i + 2] & 0xf));
		if (shapes[k].kind == 30 && shapes[k].subtype == 15 && p + i + 5 < bytes + len) {
			unsigned id = shapes[k].length == CARRIED_SIZE ? EXPERIMENT_CARRIED : EXPERIMENT_UPERF;

			p[i + 3] = (uint8_t)(id >> 8);
			p[i + 4] = (uint8_t)id;
		}
		i += shapes[k].length;
		while (i < header && p + i < bytes + len && fuzz_random(&state) & 1)
			p[i++] = 1;
	}
	if (!(fuzz_random(&state) & 7))
		bytes[fuzz_random(&state) % len] ^= (uint8_t)(1 << fuzz_random(&state) % 8);
	return len;
}
#endif
