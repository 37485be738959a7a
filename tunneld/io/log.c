/* SPDX-License-Identifier: MIT */
#include "tunneld/io/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tunneld/io/clock.h"

static const char *const names[] = { "error", "warn", "info", "debug" };
static enum log_level level_now = LOG_INFO;

bool log_level_set(const char *name)
{
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		if (!strcmp(names[i], name)) {
			level_now = (enum log_level)i;
			return true;
		}
	}
	return false;
}

bool log_wants(enum log_level level) { return level <= level_now; }

void log_line(enum log_level level, const char *format, ...)
{
	char line[512];
	va_list args;
	int n;

	if (!log_wants(level))
		return;
	n = snprintf(line, sizeof line, "%s tunneld %s: ", clock_wall_text(), names[level]);
	va_start(args, format);
	vsnprintf(line + n, sizeof line - (size_t)n, format, args);
	va_end(args);
	fprintf(stderr, "%s\n", line); /* one write a line: several processes may share the stream */
}
