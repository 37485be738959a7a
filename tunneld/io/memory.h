/* SPDX-License-Identifier: MIT */
/*
 * The process's heap as the C library sees it. What is freed stays there for the next malloc(): a peak of short connections
 * leaves holes between what still lives, and the resident size says nothing of what is in use.
 */
#ifndef PLAIT_IO_MEMORY_H
#define PLAIT_IO_MEMORY_H

#include <stdint.h>

/* Bytes that are malloc()ed and not freed, of all threads. 0: this C library does not say. It walks the heap: not per event. */
uint64_t memory_heap_bytes(void);
/* Whole pages of the heap that nobody uses go back to the system. Some milliseconds after a large peak. */
void memory_give_back(void);

#endif
