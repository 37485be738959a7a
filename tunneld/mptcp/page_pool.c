/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/page_pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void page_bank_init(struct bank *b, uint64_t max_bytes, unsigned pools)
{
	bank_init(b, max_bytes, PAGE_SIZE_BYTES, pools);
}

void page_pool_share(struct page_pool *p, struct bank *b)
{
	*p = (struct page_pool){ .bank = b, .free_keep = 256 };
}

void page_pool_init(struct page_pool *p, uint64_t max_bytes)
{
	page_pool_share(p, &p->own);
	page_bank_init(&p->own, max_bytes, 1);
}

static bool draw(struct page_pool *p)
{
	uint64_t bytes = bank_draw(p->bank);

	p->drawn_bytes += bytes;
	return bytes;
}

static void bring_back(struct page_pool *p, uint64_t bytes)
{
	p->drawn_bytes -= bytes;
	bank_bring(p->bank, bytes);
}

void page_pool_close(struct page_pool *p)
{
	assert(p->used_bytes == 0);
	if (p->bank)
		bring_back(p, p->drawn_bytes);
	page_pool_trim(p);
}

void page_pool_trim(struct page_pool *p)
{
	while (p->free_list) {
		uint8_t *page = p->free_list;

		memcpy(&p->free_list, page, sizeof p->free_list);
		free(page);
	}
	p->free_count = 0;
}

uint8_t *page_pool_get(struct page_pool *p, uint64_t reserve_bytes)
{
	uint8_t *page = p->free_list;

	if (page_pool_free(p) < PAGE_SIZE_BYTES + reserve_bytes || (p->used_bytes == p->drawn_bytes && !draw(p)))
		return NULL;
	if (page) {
		memcpy(&p->free_list, page, sizeof p->free_list);
		p->free_count--;
	} else if (!(page = malloc(PAGE_SIZE_BYTES))) {
		return NULL;
	}
	p->used_bytes += PAGE_SIZE_BYTES;
	return page;
}

void page_pool_put(struct page_pool *p, uint8_t *page)
{
	assert(p->used_bytes >= PAGE_SIZE_BYTES);
	p->used_bytes -= PAGE_SIZE_BYTES;
	/* One chunk is kept, so that who takes and gives at its border does not meet the others each time; nothing used, nothing kept. */
	if (!p->used_bytes)
		bring_back(p, p->drawn_bytes);
	else if (p->drawn_bytes - p->used_bytes >= 2 * p->bank->chunk_bytes)
		bring_back(p, p->bank->chunk_bytes);
	if (p->free_count >= p->free_keep) {
		free(page);
		return;
	}
	memcpy(page, &p->free_list, sizeof p->free_list);
	p->free_list = page;
	p->free_count++;
}

void page_table_close(struct page_table *t, struct page_pool *p)
{
	for (uint32_t i = 0; i < t->slots && t->pages; i++)
		if (t->slot[i])
			page_table_drop(t, p, i);
	assert(t->pages == 0);
	free(t->slot);
	*t = (struct page_table){ 0 };
}

bool page_table_span(struct page_table *t, uint64_t first, uint64_t pages)
{
	uint32_t slots = t->slots ? t->slots : 2;
	uint8_t **wider;

	if (pages <= t->slots)
		return true;
	while (slots < pages)
		slots *= 2;
	wider = calloc(slots, sizeof *wider);
	if (!wider)
		return false;
	for (uint64_t n = first; t->pages && n < first + t->slots; n++)
		wider[n & (slots - 1)] = t->slot[n & (t->slots - 1)];
	free(t->slot);
	t->slot = wider;
	t->slots = slots;
	return true;
}

uint8_t *page_table_need(struct page_table *t, struct page_pool *p, uint64_t page, uint64_t reserve_bytes)
{
	uint8_t **slot = &t->slot[page & (t->slots - 1)];

	if (*slot)
		return *slot;
	*slot = page_pool_get(p, reserve_bytes);
	if (*slot)
		t->pages++;
	return *slot;
}

void page_table_drop(struct page_table *t, struct page_pool *p, uint64_t page)
{
	uint8_t **slot;

	if (!t->slots || !*(slot = &t->slot[page & (t->slots - 1)]))
		return;
	page_pool_put(p, *slot);
	*slot = NULL;
	t->pages--;
}
