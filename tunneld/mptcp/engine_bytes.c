/* SPDX-License-Identifier: MIT */
/* A connection's bytes between the host and its two queues: copied, or written and read where they lie. */
#include "tunneld/mptcp/engine.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"

#include <assert.h>

/* A quarter of the pool is kept for what arrives: a sender can wait, a receiver has promised its window. */
static uint64_t write_reserve(const struct engine *e) { return e->pool.bank->max_bytes / 4; }

static bool may_write(const struct conn *c)
{
	return !c->shutdown && (c->state == M_ESTAB || c->state == M_CLOSE_WAIT);
}

static void wrote(struct conn *c, size_t len)
{
	c->bytes_sent += len;
	if (conn_room(c) == 0)
		c->short_write = true;
	engine_ready(c);
}

enum err engine_write(struct engine *e, struct event *ev, usec_t now_us)
{
	struct conn *c = engine_conn_of_host(e, ev->write.conn);
	size_t room, n, want;

	ev->write.taken = 0;
	if (!c)
		return ERR_UNKNOWN;
	if (dsn_eq(c->snd_una, c->queue.end))
		c->una_us = now_us;
	if (c->queue.offered) {
		assert(!ev->write.bytes);
		send_queue_placed(&c->queue, &e->pool, ev->write.len);
		ev->write.taken = ev->write.len;
		if (ev->write.len)
			wrote(c, ev->write.len);
		return ERR_OK;
	}
	if (!may_write(c))
		return ERR_UNEXPECTED;
	room = conn_room(c);
	n = want = ev->write.len < room ? ev->write.len : room;
	n = send_queue_append(&c->queue, &e->pool, ev->write.bytes, n, write_reserve(e));
	ev->write.taken = n;
	if (n < ev->write.len)
		c->short_write = true;
	if (n < want)
		conn_room_wait(c);
	wrote(c, n);
	return ERR_OK;
}

unsigned engine_write_space(struct engine *e, conn_id id, struct stretch *out, unsigned max, size_t most)
{
	struct conn *c = engine_conn_of_host(e, id);
	size_t room = engine_room(e, id);
	unsigned n = 0;

	if (!room || !may_write(c))
		return 0;
	if (most > room)
		most = room;
	while (n < max && most) {
		out[n].bytes = send_queue_place(&c->queue, &e->pool, most, &out[n].len, write_reserve(e));
		if (!out[n].bytes)
			break;
		most -= out[n++].len;
	}
	if (!n) {
		conn_room_wait(c);
		conn_writer_note(c);
	}
	return n;
}

size_t engine_room(const struct engine *e, conn_id id)
{
	struct conn *c = engine_conn_of_host(e, id);
	size_t room;

	if (!c || c->shutdown || (c->state != M_OPENING && c->state != M_ESTAB && c->state != M_CLOSE_WAIT))
		return 0;
	room = c->state == M_OPENING ? 0 : conn_room(c);
	if (!room)
		c->short_write = true;
	return room;
}

size_t engine_readable(const struct engine *e, conn_id id, const uint8_t **bytes)
{
	struct conn *c = engine_conn_of_host(e, id);

	*bytes = NULL;
	return c ? reorder_readable(&c->reorder, bytes) : 0;
}

unsigned engine_readable_stretches(const struct engine *e, conn_id id, struct stretch *out, unsigned max)
{
	struct conn *c = engine_conn_of_host(e, id);
	size_t total = 0, len;
	const uint8_t *bytes;
	unsigned n = 0;

	for (; c && n < max && (len = reorder_readable_from(&c->reorder, total, &bytes)); n++, total += len)
		out[n] = (struct stretch){ .bytes = (uint8_t *)(uintptr_t)bytes, .len = len };
	return n;
}
