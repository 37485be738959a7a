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

const char *clock_wall_text(void)
{
	static char text[40];
	struct timespec t;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof text - n, ".%03dZ", (int)(t.tv_nsec / 1000000));
	return text;
}
