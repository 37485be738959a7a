/* SPDX-License-Identifier: MIT */
/* What will happen, by time; at the same time, in the order it was put in. A binary heap. */
#ifndef PLAIT_SIM_QUEUE_H
#define PLAIT_SIM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/usec.h"

enum happening {
	HAP_ARRIVAL,     /* p: a packet */
	HAP_PUMP,        /* a: host */
	HAP_OPEN,        /* p: a stream */
	HAP_DIAL_ANSWER, /* p: an end */
	HAP_WRITE,       /* p: an end */
	HAP_READ,        /* p: an end */
	HAP_ABORT,       /* p: an end */
	HAP_FAULT,       /* b: its index in the plan */
	HAP_PROBE_TIMER, /* a: host, path: path_id, b: probe */
	HAP_KEEPALIVE,   /* a: host, path */
	HAP_TOO_BIG,     /* a: host, path, b: the MTU that the ICMP error says */
};

struct occasion {
	usec_t at_us;
	uint64_t order;
	enum happening what;
	uint32_t a, path;
	uint64_t b;
	void *p;
};

struct queue {
	struct occasion *heap;
	size_t count, size;
	uint64_t order;
};

void queue_put(struct queue *q, struct occasion o);
/* USEC_NEVER: empty. */
usec_t queue_next_us(const struct queue *q);
struct occasion queue_take(struct queue *q);
void queue_free(struct queue *q);

#endif
