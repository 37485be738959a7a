/* SPDX-License-Identifier: MIT */
#include "tunneld/tcp/scoreboard.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

static void push(struct scoreboard *b, uint32_t seq, uint32_t len, usec_t at)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(board_push(b, ssn_of(seq), len, seq, at));
}

static void test_lost_then_sent_again_is_newest(void)
{
	struct scoreboard b;

	board_init(&b);
	for (uint32_t i = 0; i < 4; i++)
		push(&b, 100 * i, 100, i);
	board_mark_lost(&b, 1);
	CU_ASSERT_EQUAL(b.in_flight, 300);
	CU_ASSERT_EQUAL(board_next_lost(&b), 1);
	board_sent_again(&b, 1, 9);
	CU_ASSERT_EQUAL(b.newest, 1);
	CU_ASSERT_EQUAL(b.in_flight, 400);
	CU_ASSERT_EQUAL(board_next_lost(&b), BOARD_NONE);
	board_check(&b);
	board_free(&b);
}

static void test_sequence_numbers_wrap(void)
{
	struct scoreboard b;

	board_init(&b);
	push(&b, UINT32_MAX - 49, 100, 0);
	push(&b, 50, 100, 1);
	CU_ASSERT_EQUAL(board_find(&b, ssn_of(UINT32_MAX)), 0);
	CU_ASSERT_EQUAL(board_find(&b, ssn_of(49)), 0);
	CU_ASSERT_EQUAL(board_find(&b, ssn_of(50)), 1);
	CU_ASSERT_EQUAL(board_find(&b, ssn_of(150)), b.tail);
	board_pop(&b);
	board_check(&b);
	board_free(&b);
}

static void test_a_trimmed_head_keeps_its_tag_true(void)
{
	struct scoreboard b;

	board_init(&b);
	push(&b, 1000, 100, 0);
	board_trim_head(&b, 30);
	CU_ASSERT_EQUAL(board_at(&b, b.head)->tag, 1030);
	CU_ASSERT_EQUAL(b.in_flight, 70);
	board_check(&b);
	board_free(&b);
}

static void test_a_large_empty_board_gives_its_memory_back(void)
{
	struct scoreboard b;

	board_init(&b);
	for (uint32_t i = 0; i < 1000; i++)
		push(&b, i, 1, i);
	for (uint32_t i = 0; i < 1000; i++)
		board_pop(&b);
	CU_ASSERT_PTR_NULL(b.ring);
	board_free(&b);
}

/* Any history leaves the sums and the order true; positions near their end begin anew. */
static void test_any_history_keeps_the_invariants(void)
{
	for (unsigned seed = 1; seed <= 100; seed++) {
		struct scoreboard b;
		uint32_t next = seed * 12345u;

		srand(seed);
		board_init(&b);
		if (seed % 2)
			b.head = b.tail = 0xefffffc0u; /* rebased on the way */
		for (usec_t now = 1; now < 400; now++) {
			uint32_t n = board_count(&b), p = n ? b.head + (uint32_t)rand() % n : 0;

			switch (n ? rand() % 8 : 0) {
			case 0: case 1: case 2:
				push(&b, next, 1 + (uint32_t)rand() % 1400, now);
				next = board_at(&b, b.tail - 1)->seq.v + board_at(&b, b.tail - 1)->len;
				break;
			case 3: board_mark_lost(&b, p); break;
			case 4: board_mark_sacked(&b, p); break;
			case 5:
				if (board_next_lost(&b) != BOARD_NONE)
					board_sent_again(&b, board_next_lost(&b), now);
				break;
			case 6: board_pop(&b); break;
			default:
				if (rand() % 20 == 0)
					board_mark_all_lost(&b);
				break;
			}
			board_check(&b);
		}
		board_free(&b);
	}
}

UNIT_MAIN("scoreboard",
	T(test_lost_then_sent_again_is_newest),
	T(test_sequence_numbers_wrap),
	T(test_a_trimmed_head_keeps_its_tag_true),
	T(test_a_large_empty_board_gives_its_memory_back),
	T(test_any_history_keeps_the_invariants))
