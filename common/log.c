/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARN] = "warn", [LOG_LEVEL_INFO] = "info", [LOG_LEVEL_DEBUG] = "debug",
};

/* Process-wide because stderr is; only the level changes after log_open(). */
static const char *log_program = "plait";
static uint64_t (*log_wall_ms)(void);
static int log_fd = 2;
static atomic_int log_max = LOG_LEVEL_WARN;

void log_open(const char *program, enum log_level level, uint64_t (*wall_ms)(void))
{
	log_program = program;
	log_wall_ms = wall_ms;
	log_level_set(level);
}

void log_level_set(enum log_level level) { atomic_store_explicit(&log_max, (int)level, memory_order_relaxed); }
void log_fd_set(int fd) { log_fd = fd; }

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&log_max, memory_order_relaxed);
}

enum err log_level_parse(enum log_level *out, const char *text)
{
	for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
		if (!strcmp(text, level_names[i])) {
			*out = (enum log_level)i;
			return ERR_OK;
		}
	}
	return ERR_UNKNOWN;
}

/* RFC 3339 in UTC. Days to a date by whole 400-year eras that begin on 1 March, so that leap days come last. */
static int time_print(char *to, size_t size, uint64_t ms)
{
	uint64_t days = ms / 86400000 + 719468; /* since 1 March of year 0 */
	uint64_t era = days / 146097, day_of_era = days % 146097;
	uint64_t year = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint64_t day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
	uint64_t month = (5 * day_of_year + 2) / 153; /* 0 = March */
	uint64_t day = day_of_year - (153 * month + 2) / 5 + 1;
	uint64_t second = ms / 1000 % 86400;

	month = month < 10 ? month + 3 : month - 9;
	year += era * 400 + (month <= 2);
	return snprintf(to, size, "%04" PRIu64 "-%02" PRIu64 "-%02" PRIu64 "T%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64
			".%03" PRIu64 "Z ", year, month, day, second / 3600, second / 60 % 60, second % 60, ms % 1000);
}

__attribute__((format(printf, 3, 0)))
static void line(enum log_level level, uint64_t held, const char *format, va_list args)
{
	char buf[LOG_LINE_MAX];
	const size_t room = sizeof buf - 1; /* the newline */
	size_t len = 0, text;
	int n, saved_errno = errno;

	if (log_wall_ms)
		len += (size_t)time_print(buf, room, log_wall_ms());
	n = snprintf(buf + len, room - len, "%s: %s: ", log_program, level_names[level]);
	len += n < 0 ? 0 : (size_t)n;
	text = len = len < room ? len : room - 1;

	n = vsnprintf(buf + len, room - len, format, args);
	len += n < 0 ? 0 : (size_t)n;
	if (held && len < room) {
		n = snprintf(buf + len, room - len, " (%" PRIu64 " alike not shown)", held);
		len += n < 0 ? 0 : (size_t)n;
	}
	if (len >= room) {
		len = room - 1;
		memcpy(buf + len - 3, "...", 3);
	}
	for (size_t i = text; i < len; i++)
		if ((unsigned char)buf[i] < ' ' || buf[i] == 0x7f)
			buf[i] = '?';
	buf[len++] = '\n';
	/* Nowhere to complain to if this fails. */
	while (write(log_fd, buf, len) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}

void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, format);
	line(level, 0, format, args);
	va_end(args);
}

bool log_limit_pass(struct log_limit *l, usec_t now_us, uint64_t *held)
{
	if (!l->passed || usec_since(now_us, l->window_start_us) >= LOG_INTERVAL_US) {
		l->window_start_us = now_us;
		l->passed = 0;
	}
	if (l->passed >= LOG_BURST) {
		l->held++;
		return false;
	}
	l->passed++;
	*held = l->held;
	l->held = 0;
	return true;
}

void log_limited(struct log_limit *l, usec_t now_us, enum log_level level, const char *format, ...)
{
	uint64_t held;
	va_list args;

	if (!log_enabled(level) || !log_limit_pass(l, now_us, &held))
		return;
	va_start(args, format);
	line(level, held, format, args);
	va_end(args);
}
