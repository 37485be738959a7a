/* SPDX-License-Identifier: MIT */
/* Any bytes as a Convert message (RFC 8803). What must hold: no byte beyond the end is read; what is accepted says so of itself. */
#include "tests/fuzz/fuzz_main.h"

#include <stdlib.h>
#include <string.h>

#include "tunneld/mptcp/convert.h"

#define HOLDS(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct convert_message m = { 0 }, back = { 0 };
	struct rd r = rd_of(bytes, len);
	uint8_t out[CONVERT_MAX], icmp;
	struct wr w = wr_of(out, len % 2 ? sizeof out : 16 + len % 64);
	enum err e = convert_parse(&r, &m);

	if (convert_emit_refusal(&w, &m, e, bytes, len)) {
		HOLDS(!w.bad && m.header);
		r = rd_of(out, wr_len(&w));
		HOLDS(convert_parse(&r, &back) == ERR_OK && back.total_bytes == wr_len(&w) && !rd_left(&r));
	} else {
		HOLDS(!wr_len(&w));
	}
	w = wr_of(out, sizeof out);
	if (e != ERR_OK)
		return 0;
	HOLDS(m.total_bytes >= 4 && m.total_bytes <= CONVERT_MAX && m.total_bytes <= len && m.total_bytes % 4 == 0);
	HOLDS(bytes[0] == CONVERT_VERSION && be_get16(bytes + 2) == CONVERT_MAGIC);
	if (m.error)
		HOLDS(convert_result(m.error_code, m.error_value, &icmp) != OPEN_OK);
	if (!m.connect)
		return 0;
	HOLDS(m.destination.family == 4 || m.destination.family == 6);
	convert_emit_connect(&w, &m.destination);
	HOLDS(!w.bad);
	r = rd_of(out, wr_len(&w));
	HOLDS(convert_parse(&r, &back) == ERR_OK && back.connect && addr_eq(&back.destination, &m.destination));
	return 0;
}

#ifndef PLAIT_LIBFUZZER
/* A header and TLVs of known types; lengths mostly right, now and then spoilt. */
static size_t fuzz_generate(uint64_t seed, uint8_t *bytes)
{
	static const uint8_t types[] = { 1, 10, 10, 20, 21, 22, 30, 0, 77 };
	size_t len = 4;

	while (len < 200 && fuzz_random(&seed) % 4) {
		uint8_t type = types[fuzz_random(&seed) % sizeof types], words = (uint8_t)(1 + fuzz_random(&seed) % 6);

		if (type == 10 && fuzz_random(&seed) % 4)
			words = 5;
		bytes[len] = type;
		bytes[len + 1] = words;
		for (unsigned i = 2; i < words * 4u; i++)
			bytes[len + i] = fuzz_random(&seed) & 1 ? 0 : (uint8_t)fuzz_random(&seed);
		if (type == 10 && fuzz_random(&seed) & 1) {
			memset(bytes + len + 4, 0, 10);
			bytes[len + 14] = bytes[len + 15] = 0xff;
		}
		len += words * 4u;
	}
	bytes[0] = CONVERT_VERSION;
	bytes[1] = (uint8_t)(len / 4);
	be_put16(bytes + 2, CONVERT_MAGIC);
	if (fuzz_random(&seed) % 4 == 0)
		bytes[fuzz_random(&seed) % len] = (uint8_t)fuzz_random(&seed);
	if (fuzz_random(&seed) % 8 == 0)
		len = fuzz_random(&seed) % (len + 1);
	return len;
}
#endif
