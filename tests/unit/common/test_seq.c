/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include "common/counters.h"
#include "common/err.h"
#include "common/seq.h"
#include "common/usec.h"

static void test_order_goes_over_the_wrap(void)
{
	CU_ASSERT_TRUE(ssn_lt(ssn_of(0xffffffff), ssn_of(0)));
	CU_ASSERT_FALSE(ssn_lt(ssn_of(0), ssn_of(0xffffffff)));
	CU_ASSERT_TRUE(ssn_leq(ssn_of(5), ssn_of(5)));
	CU_ASSERT_FALSE(ssn_lt(ssn_of(5), ssn_of(5)));
	CU_ASSERT_EQUAL(ssn_diff(ssn_of(2), ssn_of(0xfffffffe)), 4);
	CU_ASSERT_EQUAL(ssn_add(ssn_of(0xfffffffe), 4).v, 2);
	CU_ASSERT_EQUAL(ssn_max(ssn_of(0xffffffff), ssn_of(3)).v, 3);
	CU_ASSERT_EQUAL(ssn_min(ssn_of(0xffffffff), ssn_of(3)).v, 0xffffffff);

	CU_ASSERT_TRUE(dsn_lt(dsn_of(UINT64_MAX), dsn_of(0)));
	CU_ASSERT_EQUAL(dsn_diff(dsn_of(2), dsn_of(UINT64_MAX)), 3);
	CU_ASSERT_EQUAL(dsn_max(dsn_of(UINT64_MAX), dsn_of(3)).v, 3);
	CU_ASSERT_EQUAL(dsn_min(dsn_of(UINT64_MAX), dsn_of(3)).v, UINT64_MAX);
}

/* RFC 8684 3.3.1: 32 bits on the wire mean the nearest 64-bit number, across the wrap in either direction. */
static void test_short_numbers_are_promoted_to_the_nearest(void)
{
	CU_ASSERT_EQUAL(dsn_promote(0x10, dsn_of(0x1fffffff0)).v, 0x200000010);
	CU_ASSERT_EQUAL(dsn_promote(0xfffffff0, dsn_of(0x200000010)).v, 0x1fffffff0);
	CU_ASSERT_EQUAL(dsn_promote(0x20, dsn_of(0x200000010)).v, 0x200000020);
	CU_ASSERT_EQUAL(dsn_promote(0x10, dsn_of(0x200000010)).v, 0x200000010);
	CU_ASSERT_EQUAL(dsn_promote(0x7fffffff, dsn_of(0x200000000)).v, 0x27fffffff);
	CU_ASSERT_EQUAL(dsn_promote(0x80000001, dsn_of(0x200000000)).v, 0x180000001);
	CU_ASSERT_EQUAL(dsn_promote(0xffffffff, dsn_of(0)).v, UINT64_MAX);
	CU_ASSERT_EQUAL(dsn_promote(0, dsn_of(UINT64_MAX)).v, 0);
}

static void test_time_saturates(void)
{
	CU_ASSERT_EQUAL(usec_add(USEC_NEVER, 1), USEC_NEVER);
	CU_ASSERT_EQUAL(usec_add(1, USEC_NEVER), USEC_NEVER);
	CU_ASSERT_EQUAL(usec_add(1, 2), 3);
	CU_ASSERT_EQUAL(usec_since(5, 3), 2);
	CU_ASSERT_EQUAL(usec_since(3, 5), 0);
	CU_ASSERT_EQUAL(usec_min(1, USEC_NEVER), 1);
}

static void test_every_error_and_counter_has_a_text(void)
{
	CU_ASSERT_STRING_EQUAL(err_text(ERR_OK), "ok");
	CU_ASSERT_PTR_NOT_NULL(err_text((enum err)9999));
	for (int c = 0; c < CNT_MAX; c++) {
		CU_ASSERT(counter_names[c] && counter_names[c][0]);
		CU_ASSERT(counter_helps[c] && counter_helps[c][0]);
		for (int k = 0; k < c; k++)
			CU_ASSERT_STRING_NOT_EQUAL(counter_names[c], counter_names[k]);
	}
}

UNIT_MAIN("seq",
	T(test_order_goes_over_the_wrap),
	T(test_short_numbers_are_promoted_to_the_nearest),
	T(test_time_saturates),
	T(test_every_error_and_counter_has_a_text))
