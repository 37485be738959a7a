/* SPDX-License-Identifier: MIT */
#include "tunneld/seal/replay.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

static enum err offer(struct replay *r, uint64_t counter)
{
	enum err e = replay_check(r, counter);

	if (!e)
		replay_take(r, counter);
	return e;
}

static void test_a_counter_is_taken_once(void)
{
	struct replay r = { 0 };

	for (uint64_t c = 0; c < 300; c++)
		CU_ASSERT_EQUAL(offer(&r, c), ERR_OK);
	for (uint64_t c = 0; c < 300; c++)
		CU_ASSERT_EQUAL(offer(&r, c), ERR_REPLAYED);
}

static void test_the_window_is_full_width_at_every_offset_in_a_word(void)
{
	for (uint64_t top = 20000; top < 20000 + 64; top++) {
		struct replay r = { 0 };

		CU_ASSERT_EQUAL(offer(&r, top), ERR_OK);
		CU_ASSERT_EQUAL(offer(&r, top - REPLAY_WINDOW), ERR_FULL);
		for (uint64_t back = REPLAY_WINDOW - 1; back > 0; back--)
			CU_ASSERT_EQUAL(offer(&r, top - back), ERR_OK);
		CU_ASSERT_EQUAL(offer(&r, top - REPLAY_WINDOW + 1), ERR_REPLAYED);
		CU_ASSERT_EQUAL(offer(&r, top + 1), ERR_OK);
		CU_ASSERT_EQUAL(offer(&r, top - REPLAY_WINDOW + 1), ERR_FULL);
	}
}

static void test_only_the_highest_yet_is_newest(void)
{
	struct replay r = { 0 };

	CU_ASSERT_TRUE(replay_take(&r, 0));
	CU_ASSERT_TRUE(replay_take(&r, 7));
	CU_ASSERT_FALSE(replay_take(&r, 6));
	CU_ASSERT_TRUE(replay_take(&r, 1000000));
	CU_ASSERT_FALSE(replay_take(&r, 999999));
}

/* Against a window that remembers everything. */
static void test_a_random_walk_agrees_with_a_plain_set(void)
{
	enum { SPACE = 200000 };
	static uint8_t seen[SPACE];

	for (unsigned seed = 1; seed <= 20; seed++) {
		struct replay r = { 0 };
		uint64_t top = 0;

		srandom(seed);
		memset(seen, 0, sizeof seen);
		for (int n = 0; n < 20000; n++) {
			uint64_t spread = random() % 50 ? 200 : 12000, c = top + (uint64_t)random() % spread;
			enum err want;

			c = c > spread / 2 ? c - spread / 2 : 0;
			if (c >= SPACE)
				break;
			want = r.next && c + REPLAY_WINDOW <= top ? ERR_FULL : seen[c] ? ERR_REPLAYED : ERR_OK;
			CU_ASSERT_EQUAL(offer(&r, c), want);
			if (want == ERR_OK) {
				seen[c] = 1;
				top = c > top ? c : top;
			}
		}
	}
}

static void test_the_high_half_is_found_from_the_windows_top(void)
{
	static const uint64_t tops[] = { 0, 1, 8191, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x1800000000,
					 0x123456789abcdef };

	for (size_t k = 0; k < sizeof tops / sizeof *tops; k++) {
		struct replay r = { .next = tops[k] };

		for (int64_t off = -0x7fffffff; off <= 0x7fffffff; off += 0x1234567) {
			if (off < 0 && (uint64_t)-off > tops[k])
				continue;
			CU_ASSERT_EQUAL(replay_expand(&r, (uint32_t)(tops[k] + (uint64_t)off)), tops[k] + (uint64_t)off);
		}
	}
}

/* Early in a session a low half beyond 2^31 is nearest to a number below zero, which is none. */
static void test_no_counter_is_below_zero(void)
{
	struct replay r = { .next = 5 };

	CU_ASSERT_EQUAL(replay_expand(&r, 0xfffffff0), 0xfffffff0);
}

UNIT_MAIN("replay",
	T(test_a_counter_is_taken_once),
	T(test_the_window_is_full_width_at_every_offset_in_a_word),
	T(test_only_the_highest_yet_is_newest),
	T(test_a_random_walk_agrees_with_a_plain_set),
	T(test_the_high_half_is_found_from_the_windows_top),
	T(test_no_counter_is_below_zero))
