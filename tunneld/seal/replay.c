/* SPDX-License-Identifier: MIT */
#include "tunneld/seal/replay.h"

#include <assert.h>
#include <string.h>

bool replay_take(struct replay *r, uint64_t counter)
{
	uint64_t word = counter / 64;
	bool newest = counter >= r->next;

	assert(replay_check(r, counter) == ERR_OK);
	if (newest) {
		if (r->next == 0 || word - (r->next - 1) / 64 >= REPLAY_WORDS)
			memset(r->words, 0, sizeof r->words);
		else
			for (uint64_t w = (r->next - 1) / 64 + 1; w <= word; w++)
				r->words[w % REPLAY_WORDS] = 0;
		r->next = counter + 1;
	}
	r->words[word % REPLAY_WORDS] |= UINT64_C(1) << (counter % 64);
	return newest;
}
