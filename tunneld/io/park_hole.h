/* SPDX-License-Identifier: MIT */
/*
 * A black hole: a loopback listener with SO_REUSEPORT and a full accept queue, so that the kernel
 * drops every further SYN silently. A socket bound beside it answers one of those SYNs by
 * connecting to its sender: TCP simultaneous open, RFC 9293 3.5.
 */
#ifndef PLAIT_IO_PARK_HOLE_H
#define PLAIT_IO_PARK_HOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"

struct hole {
	int listener, filler;  /* filler: the one connection in the queue, never accepted */
	struct addr at; /* IPv4: in 127.64.0.0/10, which is how the shim tells that it may be ours;
			   IPv6: ::1 */
	uint32_t used;         /* connects pending or live on it */
};

/* About half the ephemeral ports: beyond it the kernel's search for a free one gets slow, so
 * another hole is dug. */
enum { HOLE_COMFORT = 14000 };

/* False: errno. A hole that does not swallow a SYN is not made (EPROTO). */
bool hole_open(struct hole *h, int family, uint32_t chance);
void hole_close(struct hole *h);
/*
 * Connects from the hole to the application's address. Returns the socket, non-blocking and
 * close-on-exec, connected or on its way
 * (*connected says), or -errno; ECONNREFUSED: nobody is in SYN_SENT to this hole there.
 */
int hole_answer(const struct hole *h, const struct addr *application, bool *connected);
/* A socket of hole_answer() that was on its way: is it connected now? */
bool hole_answered(int fd);
/* An ordinary listener in the same address range, for sockets that no hole can hold. The fd, or
 * -errno. */
int hole_door(struct addr *at, int family, uint32_t chance);

#endif
