/* SPDX-License-Identifier: MIT */
/*
 * A capture of segments, tapped inside the seal: pcapng (draft-ietf-opsawg-pcapng), each segment as the TCP packet that it
 * would be without us, each path an interface with its name. Blocks wait in a ring; what does not fit is counted in the next
 * packet's epb_dropcount. It sees what applications send: only the owner of the daemon may have one.
 */
#ifndef PLAIT_CAPTURE_H
#define PLAIT_CAPTURE_H

#include "common/addr.h"
#include "common/usec.h"
#include "tunneld/wire/segment.h"

enum { CAPTURE_SNAP_LEAST = 120 /* all headers and options */, CAPTURE_SNAP_MOST = 65535 };

struct capture;
struct http_answer;

/* snap: bytes of a packet that are kept. wall_us: the real time at now_us. NULL: memory. */
struct capture *capture_new(uint32_t snap, uint64_t wall_us, usec_t now_us);
void capture_free(struct capture *c);
/* On the path of that number and name; from and to as for tcp_frame_write(). */
void capture_segment(struct capture *c, uint32_t path, const char *path_name, bool outbound, const struct addr *from,
		     const struct addr *to, const uint8_t *segment, size_t len, enum segment_form form, usec_t now_us);
/* What is ready, at most room bytes. 0: nothing now. */
size_t capture_read(struct capture *c, uint8_t *out, size_t room);
/* Is there something to read that nobody was told of? Once. */
bool capture_news(struct capture *c);

#endif
