/* SPDX-License-Identifier: MIT */
/*
 * The table of path ends, and the messages of a path.
 */
#include "tunneld/paths/paths_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "tunneld/wire/datagram.h"

/* --- the table --- */

struct paths *paths_new(const struct paths_config *config)
{
	struct paths *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->config = *config;
	if (p->config.paths_max > PATHS_MAX)
		p->config.paths_max = PATHS_MAX;
	p->ends = calloc(p->config.paths_max, sizeof *p->ends);
	if (!p->ends) {
		free(p);
		return NULL;
	}
	p->deadline_us = USEC_NEVER;
	p->chance = config->chance | 1;
	return p;
}

struct path_end *path_end_new(struct paths *p, uint32_t peer, uint8_t no, usec_t now_us)
{
	struct path_end *e;
	uint32_t id = 0;

	assert(peer < PATHS_PEERS_MAX && no < PATHS_PER_PEER && !p->by_peer[peer][no]);
	while (id < p->config.paths_max && p->ends[id].used)
		id++;
	if (id == p->config.paths_max) {
		count(p->config.counters, CNT_PathsFull);
		return NULL;
	}
	e = &p->ends[id];
	*e = (struct path_end){ .host = p->config.owner, .used = true, .id = id, .peer = peer, .no = no, .changed_us = now_us };
	e->own_udp.fd = -1;
	e->probe_next_us = e->due_us = e->size_next_us = USEC_NEVER;
	e->mtu_payload = MTU_ASSUMED - 40 - 8 - DATAGRAM_DATA_OVERHEAD;
	p->by_peer[peer][no] = (uint16_t)(id + 1);
	if (id >= p->ends_used_below)
		p->ends_used_below = id + 1;
	return e;
}

void path_end_gone(struct paths *p, struct path_end *e)
{
	p->config.events->changed(p->config.owner, e, true);
	if (e->udp)
		udp_batch_flush(&e->batch, e->udp);
	udp_close(&e->own_udp);
	p->by_peer[e->peer][e->no] = 0;
	e->used = false;
	e->udp = NULL;
	while (p->ends_used_below && !p->ends[p->ends_used_below - 1].used)
		p->ends_used_below--;
}

struct path_end *paths_find(struct paths *p, uint32_t peer, uint8_t no)
{
	uint16_t at = peer < PATHS_PEERS_MAX && no < PATHS_PER_PEER ? p->by_peer[peer][no] : 0;

	return at ? &p->ends[at - 1] : NULL;
}

struct path_end *paths_by_id(struct paths *p, uint32_t id)
{
	return id < p->config.paths_max && p->ends[id].used ? &p->ends[id] : NULL;
}

static struct path_end *wished_by(struct paths *p, uint32_t peer, const struct path_wish *w,
				  bool (*fits)(const struct path_wish *w, const struct link *l, const struct path_end *e))
{
	for (struct path_end *e = paths_next(p, NULL); e; e = paths_next(p, e))
		if (e->initiator && e->peer == peer && fits(w, &p->links[e->link], e))
			return e;
	return NULL;
}

static bool by_interface(const struct path_wish *w, const struct link *l, const struct path_end *e)
{
	(void)e;
	return !strcmp(w->interface, l->interface);
}

static bool by_mark(const struct path_wish *w, const struct link *l, const struct path_end *e)
{
	(void)e;
	return w->mark == l->mark;
}

static bool by_source(const struct path_wish *w, const struct link *l, const struct path_end *e)
{
	(void)l;
	return addr_same_ip(&w->source, &e->local);
}

struct path_end *paths_wished(struct paths *p, uint32_t peer, const struct path_wish *w)
{
	struct path_end *e = NULL;

	/* In the kernel's order: an interface cannot be left, a mark chooses the routes, an address only among them. */
	if (*w->interface)
		return wished_by(p, peer, w, by_interface);
	if (w->mark)
		e = wished_by(p, peer, w, by_mark);
	if (!e && w->source.family)
		e = wished_by(p, peer, w, by_source);
	return e;
}

struct path_end *paths_next(struct paths *p, const struct path_end *after)
{
	for (uint32_t i = after ? after->id + 1 : 0; i < p->ends_used_below; i++)
		if (p->ends[i].used)
			return &p->ends[i];
	return NULL;
}

void paths_free(struct paths *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->ends_used_below; i++)
		if (p->ends[i].used) {
			if (p->ends[i].udp)
				udp_batch_flush(&p->ends[i].batch, p->ends[i].udp);
			udp_close(&p->ends[i].own_udp);
		}
	free(p->ends);
	free(p);
}

void path_send_own(struct paths *p, struct path_end *e, const uint8_t *bytes, size_t len)
{
	p->own_message = true;
	p->config.events->send(p->config.owner, e, bytes, len);
	p->own_message = false;
}

void path_send_message(struct paths *p, struct path_end *e, uint8_t kind, uint64_t token)
{
	uint8_t bytes[MSG_SIZE];
	struct wr w = wr_of(bytes, sizeof bytes);

	wr_u8(&w, kind);
	wr_u64(&w, token);
	path_send_own(p, e, bytes, wr_len(&w));
}

void paths_forget_peer(struct paths *p, uint32_t peer, bool tell)
{
	struct path_end *e;

	for (unsigned no = 0; tell && no < PATHS_PER_PEER; no++)
		if ((e = paths_find(p, peer, (uint8_t)no)))
			path_send_message(p, e, MSG_CLOSE, e->no);
	for (unsigned no = 0; no < PATHS_PER_PEER; no++)
		if ((e = paths_find(p, peer, (uint8_t)no)))
			path_end_gone(p, e);
}

/* --- messages --- */

const char *path_life_text(enum path_life l)
{
	static const char *const texts[] = { [LIFE_NONE] = "unanswered", [LIFE_UP] = "up", [LIFE_SUSPECT] = "suspect" };

	return texts[l];
}

usec_t paths_message(struct paths *p, struct path_end *e, const uint8_t *bytes, size_t len, usec_t now_us)
{
	struct rd r = rd_of(bytes, len);
	uint8_t kind = rd_u8(&r);
	uint64_t token = rd_u64(&r);
	struct path_end *closed;

	if (r.bad || (rd_left(&r) && kind != MSG_PROBE)) {
		count(p->config.counters, CNT_PathMessageOdd);
		return 0;
	}
	switch (kind) {
	case MSG_PROBE:
		path_send_message(p, e, MSG_REPLY, token);
		break;
	case MSG_REPLY:
		path_replied(p, e, token, now_us);
		break;
	case MSG_CLOSE:
		closed = token < PATHS_PER_PEER ? paths_find(p, e->peer, (uint8_t)token) : NULL;
		/* Only the client's paths come and go; a gateway that says so is merely about to be silent. */
		if (closed && !closed->initiator)
			path_end_gone(p, closed);
		break;
	case MSG_COST:
		if (e->initiator || token > CONFIG_COST_MAX) {
			count(p->config.counters, CNT_PathMessageOdd);
		} else if (e->cost != token) {
			e->cost = (uint32_t)token;
			p->config.events->changed(p->config.owner, e, false);
		}
		break;
	default:
		count(p->config.counters, CNT_PathMessageOdd);
	}
	return kind == MSG_REPLY && token <= now_us ? token : 0;
}
