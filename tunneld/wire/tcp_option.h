/* SPDX-License-Identifier: MIT */
/* TCP's own options <-> struct tcp_options (segment.h), in Linux's order and padding. */
#ifndef PLAIT_WIRE_TCP_OPTION_H
#define PLAIT_WIRE_TCP_OPTION_H

#include "tunneld/wire/segment.h"

enum {
	TCP_KIND_EOL = 0, TCP_KIND_NOP = 1, TCP_KIND_MSS = 2, TCP_KIND_WSCALE = 3, TCP_KIND_SACK_OK = 4,
	TCP_KIND_SACK = 5, TCP_KIND_TIMESTAMP = 8, TCP_KIND_USER_TIMEOUT = 28,
};

/*
 * Reads one option of a kind above NOP; bytes[0 .. length) is the whole option, length >= 2.
 * ERR_UNKNOWN (kind), ERR_MALFORMED (length not the kind's); then *out is as it was.
 */
MUST_CHECK enum err tcp_option_parse(struct tcp_options *out, const uint8_t *bytes, size_t length);

/* Writes all that o->has names, each padded in front so that the sum is whole 32-bit words. Marks w bad if it does not fit. */
void tcp_options_emit(struct wr *w, const struct tcp_options *o);
/* Bytes tcp_options_emit() will write. */
size_t tcp_options_size(const struct tcp_options *o);

#endif
