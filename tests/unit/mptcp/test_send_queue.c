/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"
#include "tunneld/mptcp/send_queue.h"

#include <string.h>

static uint8_t pattern(uint64_t i) { return (uint8_t)(i * 7 + (i >> 9)); }

static void test_bytes_are_found_again_by_dsn_until_they_are_freed(void)
{
	static uint8_t in[3 * PAGE_SIZE_BYTES], out[3 * PAGE_SIZE_BYTES];
	struct page_pool p;
	struct send_queue q;
	struct dsn first = { 0xffffffffffffc123 };

	for (size_t i = 0; i < sizeof in; i++)
		in[i] = pattern(i);
	page_pool_init(&p, 1 << 20);
	send_queue_init(&q, first);
	for (size_t done = 0; done < sizeof in; done += 777)
		send_queue_append(&q, &p, in + done, sizeof in - done < 777 ? sizeof in - done : 777, 0);
	CU_ASSERT_EQUAL(send_queue_held(&q), sizeof in);
	for (size_t from = 0; from < sizeof in; from += 1409) {
		size_t n = sizeof in - from < 20000 ? sizeof in - from : 20000;

		send_queue_copy(&q, dsn_add(first, from), n, out);
		CU_ASSERT_EQUAL(memcmp(out, in + from, n), 0);
		CU_ASSERT_EQUAL(send_queue_sum(&q, dsn_add(first, from), n), checksum_partial(in + from, n));
	}
	send_queue_free_to(&q, &p, dsn_add(first, 40000));
	send_queue_copy(&q, dsn_add(first, 40000), sizeof in - 40000, out);
	CU_ASSERT_EQUAL(memcmp(out, in + 40000, sizeof in - 40000), 0);
	send_queue_free_to(&q, &p, dsn_add(first, 10)); /* old news */
	CU_ASSERT_EQUAL(send_queue_held(&q), sizeof in - 40000);
	send_queue_free_to(&q, &p, q.end);
	CU_ASSERT_EQUAL(p.used_bytes, 0);
	send_queue_close(&q, &p);
	page_pool_close(&p);
}

static void test_a_full_pool_takes_a_prefix(void)
{
	static uint8_t in[4 * PAGE_SIZE_BYTES];
	struct page_pool p;
	struct send_queue q;

	page_pool_init(&p, 3 * PAGE_SIZE_BYTES);
	send_queue_init(&q, dsn_of(100));
	CU_ASSERT_EQUAL(send_queue_append(&q, &p, in, sizeof in, PAGE_SIZE_BYTES), 2 * PAGE_SIZE_BYTES - 100);
	CU_ASSERT_EQUAL(send_queue_append(&q, &p, in, sizeof in, 0), PAGE_SIZE_BYTES);
	CU_ASSERT_EQUAL(send_queue_append(&q, &p, in, 1, 0), 0);
	send_queue_free_to(&q, &p, dsn_of(PAGE_SIZE_BYTES));
	CU_ASSERT_EQUAL(send_queue_append(&q, &p, in, 1, 0), 1);
	send_queue_close(&q, &p);
	page_pool_close(&p);
}

/* Bytes may be written where they will lie; what was offered for more goes back, at every length around a page. */
static void test_bytes_written_in_place_are_the_queue(void)
{
	static const size_t lens[] = { 0, 1, 83, 84, 85, PAGE_SIZE_BYTES + 84, PAGE_SIZE_BYTES + 85, 40000 };
	static uint8_t out[40000];
	struct page_pool p;
	struct send_queue q;

	for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
		size_t written = 0, left = 40000, n;

		page_pool_init(&p, 1 << 20);
		send_queue_init(&q, dsn_of(PAGE_SIZE_BYTES - 84));
		while (left) {
			uint8_t *at = send_queue_place(&q, &p, left, &n, 0);

			CU_ASSERT_PTR_NOT_NULL_FATAL(at);
			for (size_t k = 0; k < n && written < lens[i]; k++, written++)
				at[k] = pattern(written);
			left -= n;
		}
		send_queue_free_to(&q, &p, q.end); /* what is being written to stays, though nothing is held */
		send_queue_placed(&q, &p, lens[i]);
		CU_ASSERT_EQUAL(send_queue_held(&q), lens[i]);
		CU_ASSERT_EQUAL(p.used_bytes, (lens[i] + PAGE_SIZE_BYTES - 84 + PAGE_SIZE_BYTES - 1) / PAGE_SIZE_BYTES *
				PAGE_SIZE_BYTES - (lens[i] ? 0 : PAGE_SIZE_BYTES));
		send_queue_copy(&q, q.start, lens[i], out);
		for (size_t k = 0; k < lens[i]; k++)
			CU_ASSERT_EQUAL_FATAL(out[k], pattern(k));
		send_queue_free_to(&q, &p, q.end);
		CU_ASSERT_EQUAL(p.used_bytes, 0);
		send_queue_close(&q, &p);
		page_pool_close(&p);
	}
}

UNIT_MAIN("send_queue",
	T(test_bytes_are_found_again_by_dsn_until_they_are_freed),
	T(test_a_full_pool_takes_a_prefix),
	T(test_bytes_written_in_place_are_the_queue))
