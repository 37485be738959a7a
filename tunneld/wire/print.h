/* SPDX-License-Identifier: MIT */
/* One text line a segment, for traces and tests: "S 0:24(24) win 65535 <mss 1400,sackOK,wscale 8,mp_capable v1>". */
#ifndef PLAIT_WIRE_PRINT_H
#define PLAIT_WIRE_PRINT_H

#include "tunneld/wire/segment.h"

enum { SEGMENT_TEXT_MAX = 512 };

/* Writes into buf, cut short with "..." if it is too small, always terminated. No trailing newline. Returns buf. */
char *segment_print(const struct segment *s, char *buf, size_t size);

#endif
