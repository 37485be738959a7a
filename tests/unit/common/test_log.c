/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* What has been logged since the last look. */
static int pipe_fds[2];
static char said[8192];

static const char *heard(void)
{
	ssize_t n = read(pipe_fds[0], said, sizeof said - 1);

	said[n > 0 ? n : 0] = 0;
	return said;
}

static uint64_t wall(void) { return UINT64_C(1709210096789); } /* a 29 February */
static uint64_t wall_new_year(void) { return UINT64_C(4102444799999); }
static uint64_t wall_zero(void) { return 0; }

static void start(void)
{
	if (!pipe_fds[0] && (pipe2(pipe_fds, 04000 /* O_NONBLOCK */) != 0))
		CU_FAIL_FATAL("pipe");
	log_fd_set(pipe_fds[1]);
	log_open("tunneld", LOG_LEVEL_INFO, NULL);
}

static void test_lines_name_program_and_level(void)
{
	start();
	log_error("no key: %s", "x");
	log_warn("w");
	log_info("i %d", 3);
	CU_ASSERT_STRING_EQUAL(heard(), "tunneld: error: no key: x\ntunneld: warn: w\ntunneld: info: i 3\n");
}

static void test_levels_above_the_limit_are_silent_and_cost_nothing(void)
{
	int evaluated = 0;

	start();
	log_debug("%d", ++evaluated);
	CU_ASSERT_STRING_EQUAL(heard(), "");
	CU_ASSERT_EQUAL(evaluated, 0);
	log_level_set(LOG_LEVEL_DEBUG);
	log_debug("%d", ++evaluated);
	CU_ASSERT_STRING_EQUAL(heard(), "tunneld: debug: 1\n");
	log_level_set(LOG_LEVEL_ERROR);
	log_warn("w");
	log_line(LOG_LEVEL_WARN, "w");
	CU_ASSERT_STRING_EQUAL(heard(), "");
}

static void test_time_is_utc_when_wanted(void)
{
	start();
	log_open("tunneld", LOG_LEVEL_INFO, wall);
	log_info("x");
	CU_ASSERT_STRING_EQUAL(heard(), "2024-02-29T12:34:56.789Z tunneld: info: x\n");
	log_open("tunneld", LOG_LEVEL_INFO, wall_new_year);
	log_info("x");
	CU_ASSERT_STRING_EQUAL(heard(), "2099-12-31T23:59:59.999Z tunneld: info: x\n");
	log_open("tunneld", LOG_LEVEL_INFO, wall_zero);
	log_info("x");
	CU_ASSERT_STRING_EQUAL(heard(), "1970-01-01T00:00:00.000Z tunneld: info: x\n");
}

static void test_nobody_forges_a_second_line(void)
{
	start();
	log_info("name %s", "a\ntunneld: error: b\r\x1b[2J\x7f");
	CU_ASSERT_STRING_EQUAL(heard(), "tunneld: info: name a?tunneld: error: b??[2J?\n");
}

static void test_long_lines_are_cut_and_end_in_one_newline(void)
{
	char text[2 * LOG_LINE_MAX];

	start();
	for (size_t n = LOG_LINE_MAX - 30; n < LOG_LINE_MAX + 10; n++) {
		size_t len;

		memset(text, 'y', n);
		text[n] = 0;
		log_info("%s", text);
		len = strlen(heard());
		CU_ASSERT(len < LOG_LINE_MAX);
		CU_ASSERT_EQUAL(strchr(said, '\n'), said + len - 1);
		if (len != n + strlen("tunneld: info: \n"))
			CU_ASSERT_STRING_EQUAL(said + len - 4, "...\n");
	}
}

static void test_errno_survives(void)
{
	start();
	errno = ECONNREFUSED;
	log_info("x");
	CU_ASSERT_EQUAL(errno, ECONNREFUSED);
	log_fd_set(-1);
	log_info("x");
	CU_ASSERT_EQUAL(errno, ECONNREFUSED);
	start();
	heard();
}

static void test_level_names(void)
{
	enum log_level level = LOG_LEVEL_ERROR;

	CU_ASSERT_EQUAL(log_level_parse(&level, "debug"), ERR_OK);
	CU_ASSERT_EQUAL(level, LOG_LEVEL_DEBUG);
	CU_ASSERT_EQUAL(log_level_parse(&level, "error"), ERR_OK);
	CU_ASSERT_EQUAL(level, LOG_LEVEL_ERROR);
	CU_ASSERT_EQUAL(log_level_parse(&level, "warning"), ERR_UNKNOWN);
	CU_ASSERT_EQUAL(log_level_parse(&level, ""), ERR_UNKNOWN);
	CU_ASSERT_EQUAL(level, LOG_LEVEL_ERROR);
}

static void test_a_flood_is_held_and_told(void)
{
	struct log_limit limit = { 0 };
	usec_t now = 1000;
	unsigned lines = 0;

	start();
	for (unsigned i = 0; i < 1000; i++) {
		log_limited(&limit, now + i, LOG_LEVEL_WARN, "flood %u", i);
		lines += heard()[0] != 0;
	}
	CU_ASSERT_EQUAL(lines, LOG_BURST);
	log_limited(&limit, now + LOG_INTERVAL_US, LOG_LEVEL_WARN, "flood %s", "again");
	CU_ASSERT_STRING_EQUAL(heard(), "tunneld: warn: flood again (995 alike not shown)\n");
	log_limited(&limit, now + LOG_INTERVAL_US + 1, LOG_LEVEL_WARN, "flood");
	CU_ASSERT_STRING_EQUAL(heard(), "tunneld: warn: flood\n");
}

static void test_a_day_of_flood_stays_small(void)
{
	struct log_limit limit = { 0 };
	uint64_t held, passed = 0, total_held = 0;

	for (usec_t now = 0; now < 86400 * USEC_PER_S; now += 100 * USEC_PER_MS) {
		if (log_limit_pass(&limit, now, &held)) {
			passed++;
			total_held += held;
		}
	}
	CU_ASSERT_EQUAL(passed, LOG_BURST * 8640);
	CU_ASSERT_EQUAL(passed + total_held + limit.held, 864000);
}

static void test_what_the_level_hides_is_not_counted(void)
{
	struct log_limit limit = { 0 };

	start();
	for (unsigned i = 0; i < 100; i++)
		log_limited(&limit, 5, LOG_LEVEL_DEBUG, "x");
	CU_ASSERT_EQUAL(limit.held, 0);
	CU_ASSERT_STRING_EQUAL(heard(), "");
}

UNIT_MAIN("log",
	T(test_lines_name_program_and_level),
	T(test_levels_above_the_limit_are_silent_and_cost_nothing),
	T(test_time_is_utc_when_wanted),
	T(test_nobody_forges_a_second_line),
	T(test_long_lines_are_cut_and_end_in_one_newline),
	T(test_errno_survives),
	T(test_level_names),
	T(test_a_flood_is_held_and_told),
	T(test_a_day_of_flood_stays_small),
	T(test_what_the_level_hides_is_not_counted))
