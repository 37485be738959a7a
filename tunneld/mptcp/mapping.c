/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/mapping.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_KEPT = 4 }; /* a mapping that covers some segments comes and goes all the time */

void mappings_close(struct mappings *m)
{
	free(m->row);
	free(m->check);
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

/* --- checksums --- */

enum err mappings_check_add(struct mappings *m, const struct mapping *map, uint16_t total, uint16_t checksum, bool *news)
{
	uint16_t i = m->check_count;

	*news = false;
	for (uint16_t k = 0; k < m->check_count; k++) {
		const struct mapping *o = &m->check[k].map;

		/* RFC 8684 3.3.1: a mapping is immutable, and so is what its checksum covers: the first that was declared counts. */
		if (o->ssn <= map->ssn && map->ssn + map->len <= o->ssn + o->len && agree(o, map))
			/* Linux puts a DATA_FIN on what is left of a mapping that went out without: one more in total, same data. */
			return o->len != map->len || m->check[k].total != total || m->check[k].checksum == checksum ?
				       ERR_OK : ERR_MALFORMED;
		/* One that reaches beyond, as of what is sent again in other cuts, is verified beside it, by itself. */
		if (o->ssn < map->ssn + map->len && map->ssn < o->ssn + o->len && !agree(o, map))
			return ERR_MALFORMED;
	}
	if (i == m->check_room) {
		uint16_t room = m->check_room ? (uint16_t)(m->check_room * 2) : 4;
		struct map_check *more;

		if (room > MAP_CHECKS_MAX || !(more = realloc(m->check, room * sizeof *more)))
			return ERR_FULL;
		m->check = more;
		m->check_room = room;
	}
	*news = true;
	m->check[m->check_count++] = (struct map_check){ .map = *map, .total = total, .checksum = checksum,
		.open = dsn_add(map->dsn, map->len) };
	return ERR_OK;
}

void mappings_check_undo(struct mappings *m) { m->check_count--; }

void mappings_check_sum(struct mappings *m, uint64_t ssn, const uint8_t *bytes, uint32_t len)
{
	for (uint16_t k = 0; k < m->check_count; k++) {
		struct map_check *c = &m->check[k];
		uint64_t from = ssn > c->map.ssn ? ssn : c->map.ssn, end = c->map.ssn + c->map.len, to = ssn + len < end ? ssn + len : end;

		if (c->done || from >= to)
			continue;
		c->sum = checksum_add(c->sum, (size_t)(from - c->map.ssn), checksum_partial(bytes + (from - ssn), (size_t)(to - from)));
		c->got += (uint32_t)(to - from);
	}
}

const struct map_check *mappings_check_next(struct mappings *m)
{
	for (uint16_t k = 0; k < m->check_count; k++)
		if (!m->check[k].done && m->check[k].got == m->check[k].map.len) {
			m->check[k].done = true;
			return &m->check[k];
		}
	return NULL;
}

void mappings_check_brings(struct mappings *m, uint64_t ssn, struct dsn dsn)
{
	for (uint16_t k = 0; k < m->check_count; k++) {
		struct map_check *c = &m->check[k];

		if (!c->done && c->map.ssn <= ssn && ssn < c->map.ssn + c->map.len)
			c->open = dsn_min(c->open, dsn);
	}
}

bool mappings_check_supersede(struct mappings *m, uint64_t ssn, struct dsn from, struct dsn to, struct mapping *out)
{
	for (uint16_t k = 0; k < m->check_count; k++) {
		struct map_check *c = &m->check[k];
		struct dsn end = dsn_min(dsn_add(c->map.dsn, c->map.len), to);

		if (c->done || (c->map.ssn <= ssn && ssn < c->map.ssn + c->map.len) || dsn_lt(c->open, from) || dsn_leq(end, c->open))
			continue;
		*out = (struct mapping){ .dsn = c->open, .len = (uint32_t)dsn_diff(end, c->open) };
		c->open = end;
		return true;
	}
	return false;
}

bool mappings_check_lowest(const struct mappings *m, struct dsn *out)
{
	bool any = false;

	for (uint16_t k = 0; k < m->check_count; k++) {
		const struct map_check *c = &m->check[k];

		if (c->done || dsn_diff(c->open, c->map.dsn) >= c->map.len)
			continue;
		*out = any ? dsn_min(*out, c->open) : c->open;
		any = true;
	}
	return any;
}

static void checks_done(struct mappings *m, uint64_t ssn)
{
	uint16_t n = 0;

	for (uint16_t k = 0; k < m->check_count; k++)
		if (!m->check[k].done || m->check[k].map.ssn + m->check[k].map.len > ssn)
			m->check[n++] = m->check[k];
	m->check_count = n;
}

const struct mapping *mappings_find(const struct mappings *m, uint64_t ssn)
{
	uint16_t i = at(m, ssn);

	return i < m->count && m->row[i].ssn <= ssn ? &m->row[i] : NULL;
}

void mappings_done(struct mappings *m, uint64_t ssn)
{
	uint16_t n = at(m, ssn);

	if (m->check_count)
		checks_done(m, ssn);
	if (n == 0)
		return;
	memmove(m->row, m->row + n, (size_t)(m->count - n) * sizeof *m->row);
	m->count = (uint16_t)(m->count - n);
	if (m->count == 0 && m->room > ROOM_KEPT && !m->check_count)
		mappings_close(m);
}
