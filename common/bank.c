/* SPDX-License-Identifier: MIT */
#include "common/bank.h"

#include <stdatomic.h>

enum { CHUNKS = 64, CHUNK_MAX = 1 << 20 };

void bank_init(struct bank *b, uint64_t max_bytes, uint64_t unit_bytes, unsigned holders)
{
	uint64_t chunk = max_bytes / CHUNKS / holders;

	chunk = (chunk < CHUNK_MAX ? chunk : CHUNK_MAX) / unit_bytes * unit_bytes;
	b->max_bytes = max_bytes;
	b->unit_bytes = unit_bytes;
	b->chunk_bytes = chunk ? chunk : unit_bytes;
	b->shared = holders > 1;
	atomic_init(&b->left_bytes, max_bytes);
	atomic_init(&b->writers, 0);
}

uint64_t bank_draw(struct bank *b)
{
	uint64_t left = atomic_load_explicit(&b->left_bytes, memory_order_relaxed), take;

	do {
		take = left < b->chunk_bytes ? left / b->unit_bytes * b->unit_bytes : b->chunk_bytes;
	} while (take && !atomic_compare_exchange_weak_explicit(&b->left_bytes, &left, left - take, memory_order_relaxed,
								 memory_order_relaxed));
	return take;
}

void bank_bring(struct bank *b, uint64_t bytes)
{
	if (bytes)
		atomic_fetch_add_explicit(&b->left_bytes, bytes, memory_order_relaxed);
}

void bank_writer(struct bank *b, bool writes)
{
	atomic_fetch_add_explicit(&b->writers, writes ? 1 : UINT32_MAX, memory_order_relaxed);
}
