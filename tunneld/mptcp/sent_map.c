/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/sent_map.h"

#include <assert.h>
#include <stdlib.h>

enum { RANGE_LEN_MAX = 64 * 1024 }; /* coalesced ranges stay small enough to reinject a part of what is in flight */

void sent_map_close(struct sent_map *m)
{
	free(m->ring);
	*m = (struct sent_map){ 0 };
}

enum err sent_map_reserve(struct sent_map *m)
{
	uint32_t room = m->room ? m->room * 2 : 4;
	struct sent_range *more;

	if (m->count < m->room)
		return ERR_OK;
	more = malloc(room * sizeof *more);
	if (!more)
		return ERR_FULL;
	for (uint32_t i = 0; i < m->count; i++)
		more[i] = *sent_map_at(m, i);
	free(m->ring);
	m->ring = more;
	m->room = room;
	m->head = 0;
	return ERR_OK;
}

void sent_map_add(struct sent_map *m, struct ssn seq, uint32_t len, struct dsn dsn, bool reinjection)
{
	struct sent_range *last = m->count ? sent_map_at(m, m->count - 1) : NULL;

	assert(m->count < m->room);
	assert(!last || ssn_eq(ssn_add(last->seq, last->len), seq));
	if (last && dsn_eq(dsn_add(last->dsn, last->len), dsn) && last->len + len <= RANGE_LEN_MAX &&
	    last->reinjected == reinjection) {
		last->len += len;
		return;
	}
	if (last && dsn_lt(dsn, last->dsn))
		m->disordered++;
	m->count++;
	*sent_map_at(m, m->count - 1) = (struct sent_range){ seq, len, dsn, reinjection };
}

static void pop(struct sent_map *m)
{
	if (m->count > 1 && dsn_lt(sent_map_at(m, 1)->dsn, sent_map_at(m, 0)->dsn))
		m->disordered--;
	m->head = (m->head + 1) & (m->room - 1);
	m->count--;
}

void sent_map_acked(struct sent_map *m, struct ssn upto)
{
	while (m->count) {
		struct sent_range *first = sent_map_at(m, 0);
		int32_t gone = ssn_diff(upto, first->seq);

		if (gone <= 0)
			return;
		if ((uint32_t)gone < first->len) {
			bool below = m->count > 1 && dsn_lt(sent_map_at(m, 1)->dsn, first->dsn);

			first->seq = upto;
			first->dsn = dsn_add(first->dsn, (uint32_t)gone);
			first->len -= (uint32_t)gone;
			if (m->count > 1 && !below && dsn_lt(sent_map_at(m, 1)->dsn, first->dsn))
				m->disordered++;
			return;
		}
		pop(m);
	}
}

struct dsn sent_map_lowest(const struct sent_map *m, struct dsn none)
{
	struct dsn low;

	if (!m->count)
		return none;
	low = sent_map_at(m, 0)->dsn;
	for (uint32_t i = 1; m->disordered && i < m->count; i++)
		low = dsn_min(low, sent_map_at(m, i)->dsn);
	return low;
}
