/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"
#include "tunneld/mptcp/backup.h"

#define MS USEC_PER_MS
#define S  USEC_PER_S

/* seeds: backup draft, section 3: UPERF_TIMEOUT = min(U_LIMIT, max(UPERF_ADV_TO, UPERF_REMOTE_TO, L_LIMIT)) */
static void test_the_limit_is_the_drafts_formula(void)
{
	/*                               U_LIMIT  ADV  REMOTE  L_LIMIT */
	CU_ASSERT_EQUAL(backup_timeout_ms(60000, 400,      0,     100), 400);
	CU_ASSERT_EQUAL(backup_timeout_ms(60000, 400,    700,     100), 700);
	CU_ASSERT_EQUAL(backup_timeout_ms(60000, 400,    300,     100), 400);
	CU_ASSERT_EQUAL(backup_timeout_ms(60000,  50,      0,     100), 100);
	CU_ASSERT_EQUAL(backup_timeout_ms(  500, 400,    700,     100), 500);
	CU_ASSERT_EQUAL(backup_timeout_ms(   80,  50,      0,     100), 80);
}

static void test_no_subflow_underperforms_for_being_long(void)
{
	CU_ASSERT_EQUAL(backup_adv_default_ms(200 * MS), BACKUP_ADV_DEFAULT_MS);
	CU_ASSERT_EQUAL(backup_adv_default_ms(750 * MS), 1500);
	CU_ASSERT_EQUAL(backup_adv_default_ms(3600 * S), BACKUP_U_LIMIT_MS);
}

static void test_it_is_left_when_all_is_acknowledged_and_stays_so(void)
{
	struct backup b;

	backup_init(&b);
	CU_ASSERT_TRUE(backup_enter(&b, CAUSE_RTO, 10 * S));
	CU_ASSERT_FALSE(backup_enter(&b, CAUSE_PATH, 10 * S));
	CU_ASSERT_EQUAL(b.cause, CAUSE_RTO);
	CU_ASSERT_FALSE(backup_settle(&b, false, 11 * S));
	CU_ASSERT_EQUAL(backup_deadline(&b), USEC_NEVER);
	CU_ASSERT_FALSE(backup_settle(&b, true, 12 * S));
	CU_ASSERT_EQUAL(backup_deadline(&b), 12 * S + BACKUP_HOLD_FIRST_US);
	CU_ASSERT_FALSE(backup_settle(&b, true, 12 * S + BACKUP_HOLD_FIRST_US - 1));
	/* Something is unacknowledged again: it begins anew. */
	CU_ASSERT_FALSE(backup_settle(&b, false, 12 * S + BACKUP_HOLD_FIRST_US));
	CU_ASSERT_FALSE(backup_settle(&b, true, 13 * S));
	CU_ASSERT_TRUE(backup_settle(&b, true, 13 * S + BACKUP_HOLD_FIRST_US));
	CU_ASSERT_EQUAL(b.cause, CAUSE_NONE);
}

static void test_a_flapping_link_is_believed_ever_later(void)
{
	struct backup b;
	usec_t now = 100 * S, left[64] = { 0 };
	unsigned n = 0, most = 0;

	backup_init(&b);
	/* As bad as can be: it fails again the moment it was believed. */
	while (n < 64) {
		CU_ASSERT_TRUE(backup_enter(&b, CAUSE_SILENT, now));
		backup_settle(&b, true, now);
		now = backup_deadline(&b);
		CU_ASSERT_TRUE_FATAL(backup_settle(&b, true, now));
		left[n++] = now;
	}
	for (unsigned i = 0; i < n; i++) {
		unsigned k = i;

		while (k < n && left[k] < left[i] + BACKUP_MEMORY_US)
			k++;
		most = k - i > most ? k - i : most;
	}
	CU_ASSERT_TRUE(most > 3 && most <= BACKUP_LEAVES_MAX);
	CU_ASSERT_EQUAL(left[63] - left[62], BACKUP_HOLD_MOST_US);
	/* After a good minute it is believed at once again. */
	backup_enter(&b, CAUSE_SILENT, now + BACKUP_MEMORY_US);
	backup_settle(&b, true, now + BACKUP_MEMORY_US);
	CU_ASSERT_EQUAL(backup_deadline(&b), now + BACKUP_MEMORY_US + BACKUP_HOLD_FIRST_US);
}

static void test_only_doubts_close_together_count(void)
{
	struct backup b;

	backup_init(&b);
	for (usec_t i = 1; i < 20; i++)
		CU_ASSERT_FALSE(backup_doubt(&b, i * BACKUP_DOUBTS_US));
	for (unsigned i = 1; i < BACKUP_DOUBTS_MAX; i++)
		CU_ASSERT_FALSE(backup_doubt(&b, 1000 * S + i));
	CU_ASSERT_TRUE(backup_doubt(&b, 1001 * S));
}

static void test_the_score_is_the_sum_of_its_parts(void)
{
	struct score_facts f = {
		.srtt_us = 20 * MS, .rto_us = 400 * MS, .base_rto_us = 200 * MS, .loss = 0.05, .rate = 655360, .fault_ago_us = 25 * S,
		.cost = 7,
	};
	struct score s = score_of(&f);

	CU_ASSERT_DOUBLE_EQUAL(s.rtt, 20, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(s.rto, 200, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(s.loss, 50, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(s.rate, 100, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(s.fault, 250, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(s.cost, 7, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(s.total, 627, 1e-9);
	f.fault_ago_us = USEC_NEVER;
	f.rate = 0;
	CU_ASSERT_DOUBLE_EQUAL(score_of(&f).total, 277, 1e-9);
}

static void test_who_was_chosen_stays_unless_another_is_much_better(void)
{
	CU_ASSERT_FALSE(score_displaces(90, 100));
	CU_ASSERT_FALSE(score_displaces(100, 90));
	CU_ASSERT_TRUE(score_displaces(70, 100));
	CU_ASSERT_FALSE(score_displaces(1, 5));
}

UNIT_MAIN("backup", T(test_the_limit_is_the_drafts_formula), T(test_no_subflow_underperforms_for_being_long),
	  T(test_it_is_left_when_all_is_acknowledged_and_stays_so), T(test_a_flapping_link_is_believed_ever_later),
	  T(test_only_doubts_close_together_count), T(test_the_score_is_the_sum_of_its_parts),
	  T(test_who_was_chosen_stays_unless_another_is_much_better))
