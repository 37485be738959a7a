/* SPDX-License-Identifier: MIT */
/* A segment as the IP packet that it would be without us: for captures, which others' tools read. */
#ifndef PLAIT_WIRE_TCP_FRAME_H
#define PLAIT_WIRE_TCP_FRAME_H

#include "tunneld/wire/segment.h"

enum { TCP_FRAME_HEADERS = 40 + 20 }; /* IPv6 and TCP without options: no frame adds more to a segment's options and payload */

/*
 * Writes at most room bytes of it, headers first, and says in *whole how long it is. from and to are of one family; their
 * ports count in SEGMENT_PLAIN only, in SEGMENT_SEALED the segment brings its own. Both checksums are right for the whole
 * packet. 0: the bytes are no segment, or room is too small for its headers.
 */
size_t tcp_frame_write(uint8_t *out, size_t room, const struct addr *from, const struct addr *to, const uint8_t *segment,
		       size_t len, enum segment_form form, size_t *whole);

#endif
