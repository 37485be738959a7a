/* SPDX-License-Identifier: MIT */
/* Any bytes as a message between libplait.so and tunneld. What is accepted goes out again as the same question or answer. */
#include "tests/fuzz/fuzz_main.h"

#include <stdlib.h>
#include <string.h>

#include "common/local_msg.h"

#define HOLDS(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct local_ask ask, ask2;
	struct local_answer answer, answer2;
	uint8_t out[LOCAL_ANSWER_MOST];

	if (local_ask_parse(&ask, bytes, len) == ERR_OK) {
		HOLDS(len == LOCAL_ASK_BYTES && ask.kind > 0 && ask.kind < LOCAL_ASK_KINDS && ask.reason < LOCAL_REASONS);
		HOLDS(memchr(ask.comm, 0, sizeof ask.comm));
		local_ask_emit(&ask, out);
		HOLDS(local_ask_parse(&ask2, out, LOCAL_ASK_BYTES) == ERR_OK);
		HOLDS(ask2.kind == ask.kind && ask2.fd == ask.fd && addr_eq(&ask2.dest, &ask.dest) && !strcmp(ask2.comm, ask.comm));
	}
	if (local_answer_parse(&answer, bytes, len) == ERR_OK) {
		HOLDS(len == (answer.kind == LOCAL_TOLD ? LOCAL_ANSWER_MOST : LOCAL_ANSWER_BYTES) && answer.kind > 0 && answer.kind < LOCAL_ANSWER_KINDS);
		HOLDS(answer.reason < LOCAL_REASONS && answer.error >= 0 && answer.error <= 4095);
		HOLDS(local_reason_text(answer.reason));
		HOLDS(local_answer_emit(&answer, out) == len && local_answer_parse(&answer2, out, len) == ERR_OK);
		HOLDS(!memcmp(&answer2.info, &answer.info, sizeof answer.info));
		HOLDS(answer2.kind == answer.kind && answer2.error == answer.error && addr_eq(&answer2.addr, &answer.addr));
	}
	return 0;
}

#ifndef PLAIT_LIBFUZZER
static size_t fuzz_generate(uint64_t seed, uint8_t *bytes)
{
	static const size_t lengths[] = { LOCAL_ASK_BYTES, LOCAL_ANSWER_BYTES, LOCAL_ANSWER_MOST };
	size_t len = lengths[fuzz_random(&seed) % 3];

	for (size_t i = 0; i < len; i++)
		bytes[i] = fuzz_random(&seed) & 3 ? 0 : (uint8_t)fuzz_random(&seed);
	memcpy(bytes, "PLA1", 4);
	bytes[4] = len == LOCAL_ANSWER_MOST ? LOCAL_TOLD : (uint8_t)(fuzz_random(&seed) % 9);
	bytes[5] = (uint8_t)(fuzz_random(&seed) % 13);
	for (size_t at = 8; at < len; at += 4)
		if (fuzz_random(&seed) % 4 == 0)
			bytes[at] = fuzz_random(&seed) & 1 ? 4 : 6;
	if (fuzz_random(&seed) % 8 == 0)
		len = fuzz_random(&seed) % 80;
	return len;
}
#endif
