/* SPDX-License-Identifier: MIT */
#include "common/ranges.h"

#include <stdlib.h>
#include <string.h>

void ranges_free(struct ranges *r)
{
	free(r->at);
	*r = (struct ranges){ 0 };
}

/* The first range that ends at or after offset: it holds offset, touches it, or lies beyond. */
static uint32_t first_reaching(const struct ranges *r, uint64_t offset)
{
	uint32_t low = 0, high = r->count;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (r->at[mid].end < offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool grow(struct ranges *r)
{
	uint32_t room = r->room ? r->room * 2 : 4;
	struct range *at;

	if (r->count >= RANGES_MAX)
		return false;
	at = realloc(r->at, room * sizeof *at);
	if (!at)
		return false;
	r->at = at;
	r->room = room;
	return true;
}

enum err ranges_add(struct ranges *r, uint64_t start, uint64_t end)
{
	uint32_t i, last;

	if (end <= start)
		return ERR_OK;
	i = first_reaching(r, start);
	if (i == r->count || r->at[i].start > end) {
		if (r->count == r->room && !grow(r))
			return ERR_FULL;
		if (i < r->count)
			memmove(&r->at[i + 1], &r->at[i], (r->count - i) * sizeof *r->at);
		r->at[i] = (struct range){ start, end };
		r->count++;
		return ERR_OK;
	}
	if (start < r->at[i].start)
		r->at[i].start = start;
	for (last = i; last + 1 < r->count && r->at[last + 1].start <= end; last++)
		;
	if (end < r->at[last].end)
		end = r->at[last].end;
	r->at[i].end = end;
	if (last > i) {
		memmove(&r->at[i + 1], &r->at[last + 1], (r->count - last - 1) * sizeof *r->at);
		r->count -= last - i;
	}
	return ERR_OK;
}

void ranges_drop_before(struct ranges *r, uint64_t offset)
{
	uint32_t i = 0;

	while (i < r->count && r->at[i].end <= offset)
		i++;
	if (i == r->count) {
		ranges_free(r);
		return;
	}
	if (i) {
		memmove(r->at, &r->at[i], (r->count - i) * sizeof *r->at);
		r->count -= i;
	}
	if (r->at[0].start < offset)
		r->at[0].start = offset;
}

int ranges_find(const struct ranges *r, uint64_t offset)
{
	uint32_t i = first_reaching(r, offset);

	if (i < r->count && r->at[i].end == offset)
		i++;
	return i < r->count && r->at[i].start <= offset ? (int)i : -1;
}

bool ranges_have(const struct ranges *r, uint64_t start, uint64_t end)
{
	int i;

	if (end <= start)
		return true;
	i = ranges_find(r, start);
	return i >= 0 && r->at[i].end >= end;
}
