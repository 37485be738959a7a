/* SPDX-License-Identifier: MIT */
#include "tests/unit/tcp/hostile.h"

#include "tests/unit/unit.h"

static void test_nothing_breaks_it(void)
{
	uint32_t predicted = 0;

	for (uint64_t seed = 1; seed <= 3000; seed++) {
		struct hostile h = { .chance = seed * UINT64_C(0x9e3779b97f4a7c15), .ok = true };

		hostile_life(&h);
		CU_ASSERT_TRUE(h.ok);
		predicted += h.predicted;
		if (h.ok)
			continue;
		fprintf(stderr, "seed %llu: hostile.h line %d, %s\n", (unsigned long long)seed, h.line, subflow_state_name(h.sf.state));
		return;
	}
	CU_ASSERT_TRUE(predicted > 1000);
}

UNIT_MAIN("subflow_hostile",
	T(test_nothing_breaks_it))
