/* SPDX-License-Identifier: MIT */
/*
 * One line a message on stderr, in one write(): "tunneld: warn: text". Control characters in the text
 * become '?', so a peer's words cannot forge a line. Safe from several threads; log_open() before they start.
 * What a peer or a program can cause at will goes through a struct log_limit, or it fills the disk.
 */
#ifndef PLAIT_LOG_H
#define PLAIT_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/usec.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum { LOG_LINE_MAX = 512 }; /* longer lines end in "..." */

/*
 * Until called: program "plait", level warn, no time. wall_ms, if not NULL, gives milliseconds since 1970
 * and puts "2026-01-31T12:00:00.123Z " in front of each line. program is borrowed for ever.
 */
void log_open(const char *program, enum log_level level, uint64_t (*wall_ms)(void));
void log_level_set(enum log_level level);
/* "error", "warn", "info", "debug" */
MUST_CHECK enum err log_level_parse(enum log_level *out, const char *text);
bool log_enabled(enum log_level level);
/* For tests: another descriptor than 2. */
void log_fd_set(int fd);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

/* Arguments are evaluated only if the level is on. */
#define LOG_AT(level, ...) (log_enabled(level) ? log_line(level, __VA_ARGS__) : (void)0)
#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* One a message and thread; all zero is a fresh one. At most LOG_BURST lines pass in LOG_INTERVAL_US. */
enum { LOG_BURST = 5 };
#define LOG_INTERVAL_US (10 * USEC_PER_S)
struct log_limit {
	usec_t window_start_us;
	uint32_t passed; /* in this window */
	uint64_t held;   /* not shown since the last line that was */
};

/* May a line pass now? If so *held says how many were not shown before it. */
bool log_limit_pass(struct log_limit *l, usec_t now_us, uint64_t *held);

/* log_line() through a limit; says " (17 alike not shown)" when lines were held. */
__attribute__((format(printf, 4, 5)))
void log_limited(struct log_limit *l, usec_t now_us, enum log_level level, const char *format, ...);

#endif
