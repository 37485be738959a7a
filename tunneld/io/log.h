/* SPDX-License-Identifier: MIT */
/* Lines on stderr, one an event an operator may act on. PLAIT_LOG sets the level: error, warn, info, debug. */
#ifndef PLAIT_LOG_H
#define PLAIT_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

bool log_level_set(const char *name); /* false: no such level */
bool log_wants(enum log_level level);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
