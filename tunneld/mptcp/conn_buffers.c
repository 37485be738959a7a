/* SPDX-License-Identifier: MIT */
/*
 * How many bytes a connection may hold: its send queue and its receive window follow what all its paths together carry in
 * the longest round trip. Pages are taken as bytes come and given back as they go, so an idle connection holds none whatever
 * its limits are. While the pool is more than half full nobody grows and the large halve, which makes them alike.
 */
#include "tunneld/mptcp/conn_internal.h"

#include "tunneld/mptcp/engine_state.h"

enum { ROUND_MIN_US = 5000, /* shortest round of autotuning: a timer's grain is not a measure */ SLACK = 64 * 1024 };

static bool pressed(const struct engine *e) { return e->pool.used_bytes > e->pool.max_bytes / 2; }

static uint64_t most_of(const struct engine *e)
{
	return e->pool.max_bytes / 8 < CONN_WINDOW_MAX ? e->pool.max_bytes / 8 : CONN_WINDOW_MAX;
}

static uint64_t least_of(const struct engine *e)
{
	return most_of(e) < CONN_WINDOW_FIRST ? most_of(e) : CONN_WINDOW_FIRST;
}

static uint64_t clamped(const struct engine *e, uint64_t want)
{
	if (want < least_of(e))
		return least_of(e);
	return want < most_of(e) ? want : most_of(e);
}

/* A round trip in which the pool is short. */
static uint64_t halved(const struct engine *e, uint64_t limit) { return clamped(e, limit / 2); }

void conn_tune_send(struct conn *c, usec_t now_us)
{
	uint64_t cwnd = 0, rate = 0, want;
	usec_t longest = ROUND_MIN_US;

	for (uint8_t i = 0; i < c->sub_count; i++) {
		const struct subflow *sf = &c->subs[i]->sf;

		cwnd += sf->cc.cwnd;
		rate += subflow_rate(sf);
		if (conn_sub_usable(c->subs[i]) && !conn_sub_avoid(c->subs[i]))
			longest = usec_max(longest, sf->rtt.srtt_us);
	}
	if (pressed(c->engine)) {
		if (usec_since(now_us, c->snd_tuned_us) < longest)
			return;
		c->snd_tuned_us = now_us;
		c->snd_limit = halved(c->engine, c->snd_limit);
		return;
	}
	/* What quick subflows send while the slowest has its round trip waits for it: RFC 6182 5.3, twice to let it grow. */
	want = clamped(c->engine, 2 * (rate * longest / USEC_PER_S > cwnd ? rate * longest / USEC_PER_S : cwnd) + SLACK);
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
	uint64_t copied = (uint64_t)dsn_diff(c->reorder.read, c->round_start), want;

	if (usec_since(now_us, c->round_us) < c->round_len_us)
		return;
	/* Dynamic right-sizing: twice of what was read in a round trip, so that the window is never the limit. */
	want = 2 * copied * c->round_len_us / (usec_since(now_us, c->round_us) + 1) + SLACK;
	if (pressed(c->engine))
		c->rcv_limit = halved(c->engine, c->rcv_limit);
	else if (clamped(c->engine, want) > c->rcv_limit)
		c->rcv_limit = clamped(c->engine, want);
	c->round_start = c->reorder.read;
	c->round_us = now_us;
	c->round_len_us = longest_rtt(c);
}
