/* SPDX-License-Identifier: MIT */
/* The input decides what arrives at a subflow, what its owner does, and how the time goes. */
#include "tests/fuzz/fuzz_main.h"

#include <stdlib.h>

#include "tests/unit/tcp/hostile.h"

#ifndef PLAIT_LIBFUZZER
static size_t fuzz_generate(uint64_t seed, uint8_t *bytes)
{
	for (size_t i = 0; i < FUZZ_INPUT_MAX; i += 8) {
		uint64_t v = fuzz_random(&seed);

		memcpy(bytes + i, &v, 8);
	}
	return FUZZ_INPUT_MAX;
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct hostile h = { .bytes = rd_of(bytes, len), .from_bytes = true, .ok = true };

	hostile_life(&h);
	subflow_close_now(&h.sf);
	if (!h.ok)
		abort();
	return 0;
}
