/* SPDX-License-Identifier: MIT */
/*
 * One test program a source file, over CUnit: quiet when all is well, its last line is
 * "NAME: N passed, N failed", and its exit status says the same.
 *
 *	UNIT_MAIN("reorder",
 *		T(test_reorder_keeps_first_copy_of_overlap),
 *		T(test_reorder_refuses_what_is_beyond_the_window))
 */
#ifndef PLAIT_UNIT_H
#define PLAIT_UNIT_H

#include <CUnit/CUnit.h>
#include <CUnit/Basic.h>
#include <stdio.h>

struct unit_test { const char *name; CU_TestFunc run; };
#define T(f) { #f, f }

static int unit_run(const char *suite_name, const struct unit_test *tests, size_t count)
{
	CU_pSuite suite;
	CU_pFailureRecord f;
	unsigned failed;

	if (CU_initialize_registry() != CUE_SUCCESS || !(suite = CU_add_suite(suite_name, NULL, NULL)))
		return 2;
	for (size_t i = 0; i < count; i++)
		if (!CU_add_test(suite, tests[i].name, tests[i].run))
			return 2;
	CU_run_all_tests();
	failed = CU_get_number_of_tests_failed();
	for (f = CU_get_failure_list(); f; f = f->pNext)
		fprintf(stderr, "%s:%u: %s: %s\n", f->strFileName, f->uiLineNumber, f->pTest->pName, f->strCondition);
	printf("%s: %u passed, %u failed\n", suite_name, CU_get_number_of_tests_run() - failed, failed);
	CU_cleanup_registry();
	return failed != 0;
}

#define UNIT_MAIN(name, ...)                                                          \
	int main(void)                                                                \
	{                                                                             \
		static const struct unit_test tests[] = { __VA_ARGS__ };              \
		return unit_run(name, tests, sizeof tests / sizeof *tests);           \
	}

#endif
