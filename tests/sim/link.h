/* SPDX-License-Identifier: MIT */
/*
 * One direction of a path: a queue in front of a wire. It keeps no packets; it says what becomes of
 * each one, so a packet costs one call and the caller's event queue is the only clock.
 */
#ifndef PLAIT_SIM_LINK_H
#define PLAIT_SIM_LINK_H

#include <stddef.h>

#include "common/usec.h"
#include "tests/sim/random.h"

struct link_config {
	uint64_t rate;           /* bytes a second */
	usec_t delay_us, jitter_us; /* jitter delays but never reorders */
	uint32_t queue_bytes;
	uint32_t loss_ppm;       /* Bernoulli */
	uint32_t bad_enter_ppm, bad_leave_ppm, bad_loss_ppm; /* Gilbert: chances a packet */
	uint32_t dup_ppm, corrupt_ppm, reorder_ppm;
	usec_t reorder_us;       /* a reordered packet comes up to this much later than its place */
	uint16_t mtu;            /* bytes of IP datagram */
	bool mute;               /* longer ones vanish: no router says what its limit is */
};

struct link {
	struct link_config config;
	bool up;
	bool bad;                /* Gilbert's state */
	usec_t free_at;          /* when the last byte accepted so far has left the queue */
	usec_t last_arrival;     /* of packets kept in order */
	struct rnd chance;
	uint64_t packets, bytes, lost_packets;
};

enum link_fate { LINK_DELIVERED, LINK_DOWN, LINK_TOO_BIG, LINK_QUEUE_FULL, LINK_LOST };
const char *link_fate_text(enum link_fate f);

struct link_verdict {
	enum link_fate fate;
	bool corrupted;          /* arrives with flipped bits */
	unsigned copies;         /* 0 unless LINK_DELIVERED, else 1 or 2 */
	usec_t arrival_us[2];
};

void link_init(struct link *l, const struct link_config *config, struct rnd chance);
/* bytes: the whole IP datagram. */
struct link_verdict link_send(struct link *l, size_t bytes, usec_t now_us);
/* Packets lost on the wire, in the long run, per million; queue drops apart. */
uint32_t link_mean_loss_ppm(const struct link_config *c);

#endif
