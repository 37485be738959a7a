/* SPDX-License-Identifier: MIT */
#include "tunneld/daemon/rest.c"

#include "tests/unit/unit.h"

enum { MB = 1 << 20 };

static void test_a_peak_that_is_over_is_given_back_once(void)
{
	struct rest r;

	rest_init(&r);
	CU_ASSERT_FALSE(rest_now(&r, 8 * MB, 1000));
	CU_ASSERT_EQUAL(r.due_us, USEC_NEVER);
	CU_ASSERT_FALSE(rest_now(&r, 2 * MB, 2000));
	CU_ASSERT_EQUAL(r.due_us, 2000 + REST_US);
	CU_ASSERT_FALSE(rest_now(&r, 2 * MB, 1999 + REST_US));
	CU_ASSERT_EQUAL(r.due_us, 2000 + REST_US);
	CU_ASSERT_TRUE(rest_now(&r, 2 * MB, 2000 + REST_US));
	CU_ASSERT_EQUAL(r.due_us, USEC_NEVER);
	CU_ASSERT_FALSE(rest_now(&r, 2 * MB, 3000 + REST_US));
	CU_ASSERT_EQUAL(r.due_us, USEC_NEVER);
}

static void test_what_rises_again_in_time_is_kept(void)
{
	struct rest r;

	rest_init(&r);
	CU_ASSERT_FALSE(rest_now(&r, 8 * MB, 0));
	CU_ASSERT_FALSE(rest_now(&r, 0, 1000));
	CU_ASSERT_NOT_EQUAL(r.due_us, USEC_NEVER);
	CU_ASSERT_FALSE(rest_now(&r, 2 * MB + 1, 2000));
	CU_ASSERT_EQUAL(r.due_us, USEC_NEVER);
	CU_ASSERT_FALSE(rest_now(&r, 0, 1000 + REST_US));
	CU_ASSERT_EQUAL(r.due_us, 1000 + 2 * REST_US);
}

static void test_each_further_quarter_is_a_peak_of_its_own(void)
{
	struct rest r;

	rest_init(&r);
	CU_ASSERT_FALSE(rest_now(&r, 64 * MB, 0));
	CU_ASSERT_FALSE(rest_now(&r, 16 * MB, 0));
	CU_ASSERT_TRUE(rest_now(&r, 16 * MB, REST_US));
	CU_ASSERT_EQUAL(r.peak_bytes, 16 * MB);
	CU_ASSERT_FALSE(rest_now(&r, 0, REST_US));
	CU_ASSERT_TRUE(rest_now(&r, 0, 2 * REST_US));
	CU_ASSERT_EQUAL(r.peak_bytes, 0);
}

static void test_little_is_not_worth_it(void)
{
	struct rest r;

	rest_init(&r);
	CU_ASSERT_FALSE(rest_now(&r, REST_LEAST_BYTES - 1, 0));
	CU_ASSERT_FALSE(rest_now(&r, 0, 0));
	CU_ASSERT_EQUAL(r.due_us, USEC_NEVER);
	CU_ASSERT_FALSE(rest_now(&r, 0, 10 * REST_US));
}

UNIT_MAIN("rest",
	T(test_a_peak_that_is_over_is_given_back_once),
	T(test_what_rises_again_in_time_is_kept),
	T(test_each_further_quarter_is_a_peak_of_its_own),
	T(test_little_is_not_worth_it))
