/* SPDX-License-Identifier: MIT */
/* The only file that asks the time. Everybody else is given it. */
#ifndef PLAIT_IO_CLOCK_H
#define PLAIT_IO_CLOCK_H

#include "common/usec.h"

usec_t clock_now(void);    /* CLOCK_MONOTONIC */
uint64_t clock_wall(void); /* microseconds since 1970 */
/* "2026-11-23T04:25:50.123Z", for log lines; valid until the next call. */
const char *clock_wall_text(void);
/* The same form for any microseconds since 1970. Returns buf. */
enum { CLOCK_TEXT = 32 };
char *clock_wall_print(uint64_t wall_us, char buf[CLOCK_TEXT]);

#endif
