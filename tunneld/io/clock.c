/* SPDX-License-Identifier: MIT */
#include "tunneld/io/clock.h"

#include <stdio.h>
#include <time.h>

usec_t clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (usec_t)t.tv_sec * USEC_PER_S + (usec_t)t.tv_nsec / 1000;
}

uint64_t clock_wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * USEC_PER_S + (uint64_t)t.tv_nsec / 1000;
}

char *clock_wall_print(uint64_t wall_us, char buf[CLOCK_TEXT])
{
	time_t s = (time_t)(wall_us / USEC_PER_S);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(buf, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, CLOCK_TEXT - n, ".%03uZ", (unsigned)(wall_us % USEC_PER_S / USEC_PER_MS) % 1000);
	return buf;
}

const char *clock_wall_text(void)
{
	static _Thread_local char text[CLOCK_TEXT];

	return clock_wall_print(clock_wall(), text);
}
