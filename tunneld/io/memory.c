/* SPDX-License-Identifier: MIT */
#include "tunneld/io/memory.h"

#include <features.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

uint64_t memory_heap_bytes(void)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
	struct mallinfo2 m = mallinfo2();

	return (uint64_t)m.uordblks + m.hblkhd;
#else
	return 0;
#endif
}

void memory_give_back(void)
{
#ifdef __GLIBC__
	(void)malloc_trim(0); /* 0 and 1 are both well: there was nothing, there was something */
#endif
}
