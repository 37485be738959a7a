/* SPDX-License-Identifier: MIT */
#include "tunneld/daemon/verdict.c"

#include "tests/unit/unit.h"

/* What connect() says at the gateway is what connect() says at the client. */
static void test_the_usual_errnos_travel_unchanged(void)
{
	static const int errnos[] = { ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, EACCES, ECONNRESET };

	for (size_t i = 0; i < sizeof errnos / sizeof *errnos; i++)
		CU_ASSERT_EQUAL(verdict_errno(verdict_of_errno(errnos[i])), errnos[i]);
	CU_ASSERT_EQUAL(verdict_errno(OPEN_OK), 0);
	CU_ASSERT_EQUAL(verdict_of_errno(0), OPEN_OK);
}

static void test_every_result_but_ok_is_an_error(void)
{
	for (int r = OPEN_OK + 1; r <= OPEN_PORT_UNREACHABLE; r++) {
		CU_ASSERT_NOT_EQUAL(verdict_errno((enum open_result)r), 0);
		CU_ASSERT_TRUE(verdict_icmp_code(verdict_errno((enum open_result)r)) < 16);
	}
}

static void test_the_gateways_own_shortages_are_no_verdict_on_the_destination(void)
{
	static const int errnos[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL };

	for (size_t i = 0; i < sizeof errnos / sizeof *errnos; i++)
		CU_ASSERT_EQUAL(verdict_of_errno(errnos[i]), OPEN_NO_RESOURCES);
}

static void test_an_errno_never_seen_is_still_a_failure(void)
{
	CU_ASSERT_EQUAL(verdict_of_errno(EXDEV), OPEN_HOST_UNREACHABLE);
	CU_ASSERT_EQUAL(verdict_icmp_code(EXDEV), 1);
}

UNIT_MAIN("verdict",
	T(test_the_usual_errnos_travel_unchanged),
	T(test_every_result_but_ok_is_an_error),
	T(test_the_gateways_own_shortages_are_no_verdict_on_the_destination),
	T(test_an_errno_never_seen_is_still_a_failure))
