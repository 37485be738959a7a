/* SPDX-License-Identifier: MIT */
/*
 * Connections that share a path share its fate: one UDP flow, one bottleneck. Each has a congestion window of its own, but
 * a thousand of them, none below its few segments, would stand in the queue together, and who came first would keep what it
 * has for as long as nobody's window says otherwise. So where two or more have data out on a path, what the path carries in a
 * round trip, and in the hosts' own pauses, is shared out, as the congestion manager of RFC 3124 does it: an equal part is
 * everybody's from the start; who has more than that waits while that much is out in all, and everybody waits while twice
 * that much is. Those who wait are served in turn.
 *
 * One alone is not held at all, nor are retransmissions, reinjections, and what carries no data. In plain form a path is an
 * address of ours, whoever is at the other end: nothing is shared there.
 *
 * Cost: some additions for each event of a subflow, nothing for each other subflow.
 */
#include "tunneld/mptcp/conn_internal.h"

#include "tunneld/mptcp/engine_state.h"

enum { ROW_FAIR, ROW_OVER /* who has out more than his part of what is enough */ };
enum {
	TURN_LEAST = 16 * 1024, TURN_MOST = 128 * 1024,
	TURNS = 32,                    /* parts of what is enough, within these */
	LIMIT_LEAST = 32 * 1024,
};
#define PAUSE_US    (20 * USEC_PER_MS)  /* of a host: its scheduler's slices, batches of datagrams */
#define LOST_TURN_US (200 * USEC_PER_MS) /* longer than a turn ever takes to come */
#define SAMPLE_US   (10 * USEC_PER_MS)
#define REMEMBER_US (2 * USEC_PER_S)

static uint64_t rate_of(const struct path_share *p) { return p->rate > p->rate_before ? p->rate : p->rate_before; }

static usec_t min_rtt_of(const struct path_share *p) { return usec_min(p->min_rtt_us, p->min_rtt_before_us); }

/* There are several, and enough is known. */
static bool shared(const struct path_share *p) { return p->one_way && p->busy >= 2 && rate_of(p) && min_rtt_of(p) != USEC_NEVER; }

/* What keeps the path busy: with that out, who has more than his part gives way. */
static uint64_t enough_of(const struct path_share *p) { return rate_of(p) * (min_rtt_of(p) + PAUSE_US / 2) / USEC_PER_S; }

/* Bytes that those of a row may bring the path up to. */
static uint64_t limit_of(const struct path_share *p, unsigned row)
{
	uint64_t limit;

	if (!shared(p))
		return UINT64_MAX;
	limit = row == ROW_OVER ? enough_of(p) : 2 * enough_of(p);
	return limit > LIMIT_LEAST ? limit : LIMIT_LEAST;
}

/*
 * What the next in the row may send before the others have theirs: a long one makes long batches of datagrams. Not all that it holds, or
 * it would have nothing for its turn on another path, and those who happen to have theirs well apart would get twice as much.
 */
static uint32_t turn_of(const struct path_share *p, const struct sub *s)
{
	uint64_t turn = enough_of(p) / TURNS, limit = conn_send_limit(s->conn), held = send_queue_held(&s->conn->queue);

	if (turn > limit / 4)
		turn = limit / 4;
	/* It holds what it took when there were few, and others have no page: the sooner it is gone the better for all. */
	if (held > 2 * limit && turn < held / 8)
		turn = held / 8;
	return turn < TURN_LEAST ? TURN_LEAST : turn > TURN_MOST ? TURN_MOST : (uint32_t)turn;
}

static bool full(const struct path_share *p, unsigned row) { return p->in_flight + p->granted >= limit_of(p, row); }

/* --- the rows --- */

static void row_leave(struct path_share *p, struct sub *s)
{
	if (s->share.waiting) {
		*(s->share.prev ? &s->share.prev->share.next : &p->row[s->share.row].first) = s->share.next;
		*(s->share.next ? &s->share.next->share.prev : &p->row[s->share.row].last) = s->share.prev;
		s->share.next = s->share.prev = NULL;
		s->share.waiting = false;
	}
	p->granted -= s->share.grant;
	s->share.grant = 0;
	subflow_turn(&s->sf, 0);
}

static void row_join(struct path_share *p, struct sub *s, unsigned row)
{
	s->share.waiting = true;
	s->share.since_us = s->conn->engine->now_us;
	s->share.row = (uint8_t)row;
	s->share.prev = p->row[row].last;
	s->share.next = NULL;
	*(p->row[row].last ? &p->row[row].last->share.next : &p->row[row].first) = s;
	p->row[row].last = s;
}

static void rows_serve(struct path_share *p)
{
	for (unsigned row = ROW_FAIR; row <= ROW_OVER; row++)
		while (p->row[row].first && !full(p, row)) {
			struct sub *s = p->row[row].first;

			/* It had its turn a moment ago and did not want it: the clock will ask it again. */
			if (s->share.passed_us == s->conn->engine->now_us)
				break;
			row_leave(p, s);
			s->share.grant = s->share.turn = shared(p) ? turn_of(p, s) : TURN_LEAST;
			p->granted += s->share.grant;
			subflow_turn(&s->sf, s->share.grant);
			engine_ready(s->conn);
		}
}

static unsigned row_of(const struct path_share *p, const struct sub *s)
{
	return s->share.out > enough_of(p) / p->busy ? ROW_OVER : ROW_FAIR;
}

bool path_share_may_send(struct sub *s)
{
	struct path *path = engine_path(s->conn->engine, s->path);
	struct path_share *p = path ? &path->share : NULL;
	unsigned row;

	if (!p || s->share.grant || !shared(p))
		return true;
	if (s->share.waiting) {
		rows_serve(p);
		return s->share.grant;
	}
	row = row_of(p, s);
	if (!full(p, row) && !p->row[row].first)
		return true;
	count(s->conn->engine->counters, CNT_PathShareWaits);
	row_join(p, s, row);
	p->limited = true;
	return false;
}

/* --- what is out, and what arrives --- */

static void learn(struct path_share *p, const struct sub *s, usec_t now_us)
{
	usec_t took = usec_since(now_us, p->sample_us);

	if (s->sf.rtt.latest_us)
		rtt_sample(&p->rtt, s->sf.rtt.latest_us, now_us);
	if (s->sf.rtt.min_rtt_us)
		p->min_rtt_us = usec_min(p->min_rtt_us, s->sf.rtt.min_rtt_us);
	if (took < usec_max(SAMPLE_US, s->sf.rtt.min_rtt_us))
		return;
	if ((p->delivered - p->sample_delivered) * USEC_PER_S / took > p->rate)
		p->rate = (p->delivered - p->sample_delivered) * USEC_PER_S / took;
	p->sample_us = now_us;
	p->sample_delivered = p->delivered;
	if (usec_since(now_us, p->remember_us) < REMEMBER_US)
		return;
	/* What it carried while nobody wanted more says nothing of what it could. */
	p->rate_before = p->limited ? p->rate : rate_of(p);
	p->min_rtt_before_us = p->min_rtt_us;
	p->rate = 0;
	p->min_rtt_us = USEC_NEVER;
	p->limited = false;
	p->remember_us = now_us;
}

void path_share_company(struct sub *s)
{
	struct path *path = engine_path(s->conn->engine, s->path);
	const struct path_share *p = path ? &path->share : NULL;
	usec_t srtt_us = p ? p->rtt.srtt_us : 0;

	subflow_company(&s->sf, p && p->one_way && p->busy >= 2 && srtt_us ? srtt_us + usec_max(srtt_us, 4 * p->rtt.rttvar_us) : 0);
}

void path_share_sent(struct sub *s, uint32_t bytes)
{
	struct path *path = engine_path(s->conn->engine, s->path);
	uint32_t used = bytes < s->share.grant ? bytes : s->share.grant;

	if (!path)
		return;
	s->share.grant -= used;
	path->share.granted -= used;
	subflow_turn(&s->sf, s->share.grant);
	path_share_note(s, s->conn->engine->now_us);
}

void path_share_note(struct sub *s, usec_t now_us)
{
	struct path *path = engine_path(s->conn->engine, s->path);
	struct path_share *p = path ? &path->share : NULL;
	uint32_t out = s->sf.board.in_flight;
	bool less = out < s->share.out;

	if (!p)
		return;
	p->in_flight += out;
	p->in_flight -= s->share.out;
	p->busy += out && !s->share.out;
	p->busy -= !out && s->share.out;
	s->share.out = out;
	if (s->sf.delivered != s->share.delivered) {
		p->delivered += s->sf.delivered - s->share.delivered;
		s->share.delivered = s->sf.delivered;
		learn(p, s, now_us);
	}
	path_share_company(s);
	if (shared(p)) {
		uint64_t part = enough_of(p) / p->busy, turn = turn_of(p, s);

		/* Its window does not cut its turn short: what is out in all is bounded by the path's limit. */
		subflow_fair_share(&s->sf, (uint32_t)(part > turn ? part : turn), rate_of(p) / p->busy);
	} else {
		subflow_fair_share(&s->sf, 0, 0);
	}
	if (!less)
		return;
	/* What it had too much of has arrived. */
	if (s->share.waiting && s->share.row == ROW_OVER && shared(p) && row_of(p, s) == ROW_FAIR) {
		row_leave(p, s);
		row_join(p, s, ROW_FAIR);
	}
	rows_serve(p);
}

usec_t path_share_deadline(const struct sub *s)
{
	usec_t now_us = s->conn->engine->now_us, wait = s->share.passed_us == s->share.since_us ? PAUSE_US : LOST_TURN_US;

	if (!s->share.waiting)
		return USEC_NEVER;
	return s->share.since_us + wait > now_us ? s->share.since_us + wait : now_us + wait;
}

void path_share_done(struct sub *s)
{
	struct path *path = engine_path(s->conn->engine, s->path);

	if (!path || !s->share.grant)
		return;
	if (s->share.grant == s->share.turn)
		s->share.passed_us = s->conn->engine->now_us;
	path->share.granted -= s->share.grant;
	s->share.grant = 0;
	subflow_turn(&s->sf, 0);
	rows_serve(&path->share);
}

void path_share_open(struct path_share *p, bool one_way)
{
	*p = (struct path_share){ .one_way = one_way, .min_rtt_us = USEC_NEVER, .min_rtt_before_us = USEC_NEVER };
}

void path_share_leave(struct path_share *p, struct sub *s)
{
	row_leave(p, s);
	p->in_flight -= s->share.out;
	p->busy -= s->share.out != 0;
	s->share.out = 0;
	rows_serve(p);
}
