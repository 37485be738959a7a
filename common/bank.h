/* SPDX-License-Identifier: MIT */
/*
 * A number of bytes that several threads may hold together, and who has how many is their own affair: each draws a chunk at a
 * time and brings back what it does not use. Only numbers change hands here, so nothing has to be seen in an order.
 */
#ifndef PLAIT_COMMON_BANK_H
#define PLAIT_COMMON_BANK_H

#include <stdbool.h>
#include <stdint.h>

struct bank {
	uint64_t max_bytes;            /* what all hold together is never more */
	uint64_t chunk_bytes, unit_bytes; /* a chunk is a number of units */
	bool shared;                   /* by several: what one waits for another may bring back */
	_Atomic uint64_t left_bytes;   /* nobody's */
	_Atomic uint32_t writers;      /* those who want a part, of all who share it */
};

/* A chunk is so small that what all of them have drawn and do not use is a thirty-second part at most. */
void bank_init(struct bank *b, uint64_t max_bytes, uint64_t unit_bytes, unsigned holders);
/* A chunk, or as many units as there are; 0: not one. */
uint64_t bank_draw(struct bank *b);
void bank_bring(struct bank *b, uint64_t bytes);
void bank_writer(struct bank *b, bool writes); /* one more, or one less */

#endif
