/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/mapping.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_KEPT = 4 }; /* a mapping that covers some segments comes and goes all the time */

void mappings_close(struct mappings *m)
{
	free(m->row);
	*m = (struct mappings){ 0 };
}

/* Index of the first mapping that ends beyond ssn. */
static uint16_t at(const struct mappings *m, uint64_t ssn)
{
	uint16_t low = 0, high = m->count;

	while (low < high) {
		uint16_t mid = (uint16_t)((low + high) / 2);

		if (m->row[mid].ssn + m->row[mid].len <= ssn)
			low = (uint16_t)(mid + 1);
		else
			high = mid;
	}
	return low;
}

static bool agree(const struct mapping *a, const struct mapping *b)
{
	return a->ssn - b->ssn == a->dsn.v - b->dsn.v;
}

enum err mappings_add(struct mappings *m, const struct mapping *one)
{
	struct mapping add = *one;
	uint16_t i = at(m, add.ssn);

	/* RFC 8684 3.3.1: immutable once declared; parts already known must say the same and are cut off. */
	while (i < m->count && m->row[i].ssn < add.ssn + add.len) {
		const struct mapping *old = &m->row[i];

		if (!agree(old, &add))
			return ERR_MALFORMED;
		if (old->ssn <= add.ssn) {
			uint64_t cut = old->ssn + old->len - add.ssn;

			if (cut >= add.len)
				return ERR_OK;
			add.ssn += cut;
			add.dsn = dsn_add(add.dsn, cut);
			add.len -= (uint32_t)cut;
			i++;
		} else {
			/* The new one begins before an old one: take the part in front, then what is behind. */
			struct mapping front = add;
			uint64_t off = old->ssn - add.ssn;
			enum err e;

			front.len = (uint32_t)off;
			e = mappings_add(m, &front);
			if (e != ERR_OK)
				return e;
			add.ssn += off;
			add.dsn = dsn_add(add.dsn, off);
			add.len -= (uint32_t)off;
			i++;
		}
	}
	if (add.len == 0)
		return ERR_OK;
	if (m->count == m->room) {
		uint16_t room = m->room ? (uint16_t)(m->room * 2) : 4;
		struct mapping *more;

		if (room > MAPPINGS_MAX || !(more = realloc(m->row, room * sizeof *more)))
			return ERR_FULL;
		m->row = more;
		m->room = room;
	}
	memmove(m->row + i + 1, m->row + i, (size_t)(m->count - i) * sizeof *m->row);
	m->row[i] = add;
	m->count++;
	return ERR_OK;
}

const struct mapping *mappings_find(const struct mappings *m, uint64_t ssn)
{
	uint16_t i = at(m, ssn);

	return i < m->count && m->row[i].ssn <= ssn ? &m->row[i] : NULL;
}

void mappings_done(struct mappings *m, uint64_t ssn)
{
	uint16_t n = at(m, ssn);

	if (n == 0)
		return;
	memmove(m->row, m->row + n, (size_t)(m->count - n) * sizeof *m->row);
	m->count = (uint16_t)(m->count - n);
	if (m->count == 0 && m->room > ROOM_KEPT)
		mappings_close(m);
}
