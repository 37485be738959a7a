/* SPDX-License-Identifier: MIT */
/*
 * How many bytes a connection may hold: its send queue and its receive window follow what all its paths together carry in
 * the longest round trip. Pages are taken as bytes come and given back as they go, so an idle connection holds none whatever
 * its limits are.
 *
 * Nobody's limit is above a quarter of what is still free (the dynamic thresholds of Choudhury and Hahne, of shared-memory
 * switches): one alone may have a fifth of the pool. Limits that are each connection's own matter leave all of the pool to those who
 * came first. Where many write, a quarter of what is free is more than anybody's part, and pages are gone before those who
 * have none get one: there each may have an equal part of seven eighths, and less as the last eighth goes, down to a page. So
 * who has more than his part waits until he has not, and what he gives back goes to who has less. Where engines share a bank
 * (workers), all of this is reckoned from what is free in it and from the writers of all of them, as if they were one.
 */
#include "tunneld/mptcp/conn_internal.h"

#include "tunneld/mptcp/engine_state.h"

/* How often the row is told: those who were need a moment to take what they were told of. */
enum { ROOM_EVERY_US = 1000 };
/* How often those in the row look, where it may be another engine that gives pages back. */
enum { ROOM_LOOK_US = 5000 };
enum { ROUND_MIN_US = 5000, /* shortest round of autotuning: a timer's grain is not a measure */ SLACK = 64 * 1024 };

/* Of the first max bytes of the bank, whoever has the others. */
static uint64_t free_of(const struct engine *e, uint64_t max)
{
	uint64_t rest = e->pool.bank->max_bytes - max, free_bytes = page_pool_free(&e->pool);

	return free_bytes > rest ? free_bytes - rest : 0;
}

/* Of max bytes of the pool, where there are several writers: with what their last pages leave over. */
static uint64_t part(const struct engine *e, uint64_t max)
{
	uint32_t writers = e->pool.bank->writers;
	uint64_t part = max / 8 * 7 / (writers ? writers : 1), free_bytes = free_of(e, max);

	part = part > 3 * PAGE_SIZE_BYTES ? part - 2 * PAGE_SIZE_BYTES : PAGE_SIZE_BYTES;
	/* In kilobytes, so that it fits whatever limits.memory_bytes is. */
	return free_bytes >= max / 8 ? part : (part >> 10) * (free_bytes >> 10) / ((max >> 13) + 1) << 10;
}

/* Of max bytes of the pool; a page is the least, so that everybody moves. */
static uint64_t share(const struct engine *e, uint64_t max)
{
	uint64_t whole = e->pool.bank->max_bytes, free_bytes = free_of(e, max);
	uint64_t most = whole / 8 < CONN_WINDOW_MAX ? whole / 8 : CONN_WINDOW_MAX;

	if (free_bytes / 4 < most)
		most = free_bytes / 4;
	return most > PAGE_SIZE_BYTES ? most : PAGE_SIZE_BYTES;
}

/* Writers leave a quarter to what arrives. */
static uint64_t send_share(const struct engine *e)
{
	uint64_t max = e->pool.bank->max_bytes / 4 * 3, most = share(e, max), equal = part(e, max);

	if (equal >= most)
		return most;
	return equal > PAGE_SIZE_BYTES ? equal : PAGE_SIZE_BYTES;
}

static uint64_t receive_share(const struct engine *e) { return share(e, e->pool.bank->max_bytes); }

void conn_writer_note(struct conn *c)
{
	bool writes = c->queue.pages.pages || c->short_write;

	if (writes == c->writes)
		return;
	c->writes = writes;
	bank_writer(c->engine->pool.bank, writes);
}

/* --- the row of those for whom there was no page --- */

void conn_room_wait(struct conn *c)
{
	struct engine *e = c->engine;

	c->short_write = true;
	if (c->room_waits)
		return;
	c->room_waits = true;
	c->room_next = NULL;
	c->room_prev = e->room_last;
	*(e->room_last ? &e->room_last->room_next : &e->room_first) = c;
	e->room_last = c;
}

void conn_room_leave(struct conn *c)
{
	struct engine *e = c->engine;

	if (!c->room_waits)
		return;
	*(c->room_prev ? &c->room_prev->room_next : &e->room_first) = c->room_next;
	*(c->room_next ? &c->room_next->room_prev : &e->room_last) = c->room_prev;
	c->room_waits = false;
}

static uint32_t pages_free(const struct engine *e)
{
	return (uint32_t)(free_of(e, e->pool.bank->max_bytes / 4 * 3) / PAGE_SIZE_BYTES);
}

/* No event of theirs says when there are pages again: others give them back. As many are told as find one, and no more in a moment. */
void conn_room_serve(struct engine *e, usec_t now_us)
{
	uint32_t pages;

	if (!e->room_first)
		return;
	if (now_us >= e->room_us)
		e->room_told = 0;
	pages = pages_free(e);
	if (!pages && e->pool.bank->shared)
		e->room_us = usec_add(now_us, ROOM_LOOK_US);
	while (e->room_first && e->room_told < pages) {
		struct conn *c = e->room_first;

		conn_room_leave(c);
		/* Who has its part, and data under way, is told by its acknowledgement. */
		if (!c->short_write || c->orphan || c->shutdown || !conn_room(c))
			continue;
		if (!e->room_told++)
			e->room_us = usec_add(now_us, ROOM_EVERY_US);
		c->short_write = false;
		c->tell |= TELL_ROOM;
		engine_ready(c);
	}
}

usec_t conn_room_deadline(const struct engine *e)
{
	return e->room_first && (e->pool.bank->shared || pages_free(e)) ? e->room_us : USEC_NEVER;
}

static uint64_t clamped(uint64_t want, uint64_t least, uint64_t most)
{
	if (want < least)
		want = least;
	return want < most ? want : most;
}

/* What all are promised before any of it is read is a quarter of the pool or little more: who reads has more after a round trip. */
uint64_t conn_window_first(const struct engine *e)
{
	return clamped(e->pool.bank->max_bytes / 4 / (e->conn_count + 1), PAGE_SIZE_BYTES, CONN_WINDOW_FIRST);
}

uint64_t conn_send_limit(const struct conn *c)
{
	uint64_t most = send_share(c->engine);

	return c->snd_limit < most ? c->snd_limit : most;
}

void conn_tune_send(struct conn *c)
{
	uint64_t cwnd = 0, rate = 0, carried, want;
	usec_t longest = ROUND_MIN_US;
	bool loses = false;

	for (uint8_t i = 0; i < c->sub_count; i++) {
		const struct subflow *sf = &c->subs[i]->sf;

		/* Of a path that is shared out it gets its part, whatever its window would allow. */
		cwnd += sf->fair_cwnd && 4 * (uint64_t)sf->fair_cwnd < sf->cc.cwnd ? 4 * (uint64_t)sf->fair_cwnd : sf->cc.cwnd;
		rate += subflow_rate(sf);
		loses = loses || sf->in_recovery;
		if (conn_sub_usable(c->subs[i]) && !conn_sub_avoid(c->subs[i]))
			longest = usec_max(longest, sf->rtt.srtt_us);
	}
	/*
	 * What quick subflows send while the slowest has its round trip waits for it: RFC 6182 5.3, twice to let it grow. What is lost there
	 * takes another round trip or two, and all that comes behind it waits; where something is lost, more will be.
	 */
	carried = rate * longest / USEC_PER_S;
	want = 2 * (carried > cwnd ? carried : cwnd);
	if (loses && want < 4 * carried)
		want = 4 * carried;
	want = clamped(want + SLACK, CONN_WINDOW_FIRST, send_share(c->engine));
	/* It follows a slower path down only when that is worth while: the measure swings. */
	if (want > c->snd_limit || want < c->snd_limit / 4)
		c->snd_limit = want;
}

/* Of the subflows there are, and of those that will be joined: what the window must last for then. */
static usec_t longest_rtt(const struct conn *c)
{
	const struct engine *e = c->engine;
	usec_t rtt = ROUND_MIN_US;

	for (uint8_t i = 0; i < c->sub_count; i++)
		rtt = usec_max(rtt, c->subs[i]->sf.rtt.srtt_us);
	for (path_id id = e->peers[c->peer].paths; id != PATH_NONE && e->config.form == SEGMENT_SEALED; id = e->paths[id].peer_next)
		if (e->paths[id].state == PATH_UP && !e->paths[id].backup)
			rtt = usec_max(rtt, e->paths[id].rtt_us);
	return rtt;
}

void conn_tune_receive(struct conn *c, usec_t now_us)
{
	uint64_t copied = (uint64_t)dsn_diff(c->reorder.read, c->round_start), want, most;

	if (usec_since(now_us, c->round_us) < c->round_len_us)
		return;
	/* Dynamic right-sizing: twice of what was read in a round trip, so that the window is never the limit. */
	want = 2 * copied * c->round_len_us / (usec_since(now_us, c->round_us) + 1) + SLACK;
	most = receive_share(c->engine);
	want = clamped(want, conn_window_first(c->engine), most);
	/* Wanting less is not a reason to shrink, the pool's being short is: what was promised already stands (conn_rcv_wnd()). */
	if (c->rcv_limit > most)
		c->rcv_limit = most;
	else if (want > c->rcv_limit)
		c->rcv_limit = want;
	c->round_start = c->reorder.read;
	c->round_us = now_us;
	c->round_len_us = longest_rtt(c);
}
