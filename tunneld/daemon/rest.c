/* SPDX-License-Identifier: MIT */
#include "tunneld/daemon/rest.h"

bool rest_now(struct rest *r, uint64_t held_bytes, usec_t now_us)
{
	if (held_bytes > r->peak_bytes)
		r->peak_bytes = held_bytes;
	if (r->peak_bytes < REST_LEAST_BYTES || held_bytes > r->peak_bytes / 4) {
		r->due_us = USEC_NEVER;
		return false;
	}
	if (r->due_us == USEC_NEVER)
		r->due_us = now_us + REST_US;
	if (now_us < r->due_us)
		return false;
	*r = (struct rest){ .peak_bytes = held_bytes, .due_us = USEC_NEVER };
	return true;
}
