/* SPDX-License-Identifier: MIT */
/* What a connection does next: news for its host, what its subflows owe, reinjections, new data. One action a call. */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"
#include "tunneld/wire/option_rules.h"

#include <assert.h>
#include <string.h>

enum {
	SYNS_WHERE_HEARD = 3,            /* on a path that lives, before the next is tried nevertheless */
	BURST_SEGMENTS = 16,             /* in a row on one subflow, so that the host can batch them */
	FASTCLOSE_TRIES = 1 + 3,         /* RFC 8684 3.5: retransmissions SHOULD be limited, 3 is RECOMMENDED */
	FIN_RESEND_MAX_US = 10 * 1000 * 1000,
	STUCK_US = 1000 * 1000,
	DROP_LOOK_US = 31 * 1000 * 1000, /* just after PATH_AWAY_US of conn_reinject.c */
	LATE_US = 1000,                  /* a timer that is due but moves nothing is looked at again then */
};

/* --- news --- */

static bool tell_output(struct conn *c, struct action *act)
{
	unsigned one = c->tell & -c->tell;

	if (!one)
		return false;
	c->tell &= ~one;
	*act = (struct action){ 0 };
	switch (one) {
	case TELL_DIAL:
		act->kind = ACT_DIAL;
		act->dial.peer = c->peer;
		act->dial.destination = c->destination;
		return true;
	case TELL_OPENED:
		act->kind = ACT_OPENED;
		act->opened.result = c->result;
		act->opened.icmp_code = c->icmp_code;
		return true;
	case TELL_DATA:
		act->kind = ACT_DATA;
		act->data.len = reorder_readable(&c->reorder, &act->data.bytes);
		if (!act->data.len || c->offered)
			return tell_output(c, act);
		c->offered = true;
		return true;
	case TELL_EOF:
		if (c->eof_told)
			return tell_output(c, act);
		c->eof_told = true;
		act->kind = ACT_EOF;
		return true;
	case TELL_ROOM:
		act->kind = ACT_ROOM;
		return true;
	case TELL_OPTIONS:
		act->kind = ACT_OPTIONS;
		act->options = c->carried.peers;
		return true;
	case TELL_RESET:
		act->kind = ACT_RESET;
		act->reset.why = c->result;
		c->orphan = true;
		return true;
	default:
		act->kind = ACT_CLOSED;
		c->orphan = true;
		return true;
	}
}

/* --- segments --- */

static void emit(struct sub *s, struct segment *seg, const struct subflow_data *d, bool fin, struct action *act,
		 usec_t now_us)
{
	struct conn *c = s->conn;
	struct engine *e = c->engine;
	struct wr w = wr_of(e->out, sizeof e->out);
	const uint8_t *payload = NULL;
	uint8_t *to;
	enum err err;

	seg->src_port = s->local_port;
	seg->dst_port = s->remote_port;
	seg->mptcp_count = 0;
	seg->payload = NULL;
	seg->payload_len = (uint16_t)d->len;
	/* RFC 8684 3.3.1: the window is the connection's, relative to the DATA_ACK; a subflow's own edge does not count. */
	if (!(seg->flags & TCP_SYN)) {
		uint32_t wnd = conn_rcv_window(c) >> s->sf.config.rcv_wscale;

		seg->window = wnd > UINT16_MAX ? UINT16_MAX : (uint16_t)wnd;
	}
	if (seg->flags & TCP_SYN) {
		conn_options_handshake(s, seg);
		assert(d->len <= c->syn_data_len);
		payload = c->syn_data;
	} else if (seg->flags & TCP_RST) {
		;
	} else if (d->len && d->tag == SUBFLOW_SYN_TAG) {
		/* The peer took our SYN but not all of its payload: the rest, which has no place in the data sequence space. */
		size_t off = (size_t)ssn_diff(d->seq, s->sf.iss) - 1;

		assert(off + d->len <= c->syn_data_len);
		payload = c->syn_data + off;
	} else if (c->fallen) {
		conn_option_infinite(s, seg, d->len != 0);
		conn_option_fail(c, seg);
	} else if (s->stage == SUB_PRE_ESTABLISHED) {
		conn_option_third_ack(s, seg);
	} else if (d->len) {
		s->signal_row = 0;
		conn_map_put(s, seg, d, fin);
	} else if (s->stage != SUB_OPENING) {
		conn_options_ack(s, seg, now_us);
		conn_announce_put(s, seg, d);
	}
	if (segment_options_size(seg) > TCP_OPTIONS_MAX)
		option_rules_fit(seg);
	err = segment_emit(&w, seg, e->config.form);
	assert(err == ERR_OK);
	(void)err;
	to = d->len ? wr_room(&w, d->len) : NULL;
	if (to && payload)
		memcpy(to, payload, d->len);
	else if (to)
		send_queue_copy(&c->queue, dsn_of(d->tag), d->len, to);
	/* As TCP every segment tells the window. */
	if (c->fallen || (segment_mptcp(seg, DSS) && segment_mptcp(seg, DSS)->dss.has_ack)) {
		c->rcv_told = dsn_max(c->rcv_told, c->rcv_edge);
		c->ack_told = dsn_max(c->ack_told, dsn_add(c->reorder.ready, c->peer_fin_in_order));
	}
	*act = (struct action){
		.kind = ACT_SEND,
		.send = {
			.path = s->path, .bytes = e->out, .len = wr_len(&w), .local_port = s->local_port,
			.remote = s->remote.family ? &s->remote : NULL,
		},
	};
}

/*
 * A SYN that goes again tries the next path (D9): the first one may be the one that is dead. Asked before the SYN is made, whose
 * MSS and timestamp are those of the path that it takes.
 */
static void race(struct sub *s, usec_t now_us)
{
	const struct path *p = engine_path(s->conn->engine, s->path);

	if (!subflow_syn_due(&s->sf) || s->join)
		return;
	if (!s->syn_sent++) {
		s->syn_us = now_us;
		if (s->conn->engine->config.form == SEGMENT_SEALED)
			engine_probe(s->conn->engine, s->path, now_us);
		return;
	}
	/* A probe was answered there since: it is the destination that takes its time, or this one SYN that was lost. */
	if (p && s->syn_sent <= SYNS_WHERE_HEARD && p->heard_us >= s->syn_us)
		return;
	if (s->remote.family)
		pm_race_beside(s, now_us);
	else if (pm_race(s))
		s->syn_us = now_us;
}

static bool owed_output(struct conn *c, struct action *act, usec_t now_us)
{
	for (uint8_t n = 0; n < c->sub_count; n++) {
		uint8_t i = (uint8_t)((c->turn + n) % c->sub_count);
		struct sub *s = c->subs[i];
		struct segment seg;
		struct subflow_data d;

		if (!s->want_out)
			continue;
		race(s, now_us);
		d = (struct subflow_data){ 0 };
		memset(&seg.tcp, 0, sizeof seg.tcp);
		s->sf.options_may_miss = conn_map_may_miss(s);
		if (subflow_output(&s->sf, conn_rcv_window(c), conn_options_room(s), now_us, &seg, &d) == SF_WANT_NOTHING) {
			s->want_out = false;
			continue;
		}
		c->turn = i;
		if (!engine_path(c->engine, s->path)) {
			n--; /* its path went: the segment is lost, as it would be there */
			continue;
		}
		emit(s, &seg, &d, false, act, now_us);
		return true;
	}
	return false;
}

/* --- data --- */

#define NEW_DATA UINT32_MAX /* in place of the subflow that a reinjection must not go on */

/* What the scheduler sees: of[i] is who v->sub[i] is. */
struct choice { struct sched_candidate cand[CONN_SUBFLOWS_MAX]; struct sub *of[CONN_SUBFLOWS_MAX]; struct sched_view v; };

enum { MODE_SILENT = MODE_UNDERPERFORMING + 1 };

/* Lower is better: a backup goes before a subflow that underperforms, and that before one that does not answer at all. */
static unsigned mode_of(const struct sched_candidate *s)
{
	if (s->silent)
		return MODE_SILENT;
	return s->avoid ? MODE_UNDERPERFORMING : s->backup ? MODE_BACKUP : MODE_PRIMARY;
}

/*
 * Where there is no primary subflow, one of the backups is used, or else one of those that underperform: the one with the
 * best score, and the one that is used already until another is much better.
 */
static void only_one(struct conn *c, struct choice *ch)
{
	struct sched_candidate *cand = ch->cand;
	struct sub *const *of = ch->of;
	unsigned count = ch->v.count, best_mode = ~0u, chosen = count, others = 0;
	bool better_lives = false;

	for (unsigned i = 0; i < count; i++) {
		better_lives |= cand[i].excluded && !cand[i].avoid;
		if (!cand[i].excluded && mode_of(&cand[i]) < best_mode)
			best_mode = mode_of(&cand[i]);
	}
	/* A copy of what hangs on a good one does not go on a bad one. */
	for (unsigned i = 0; best_mode >= MODE_UNDERPERFORMING && better_lives && i < count; i++)
		cand[i].excluded = true;
	if (best_mode >= MODE_UNDERPERFORMING && better_lives)
		return;
	if (best_mode == MODE_PRIMARY || best_mode == ~0u)
		return;
	for (unsigned i = 0; i < count; i++) {
		if (cand[i].excluded || mode_of(&cand[i]) != best_mode)
			continue;
		others++;
		if (of[i]->id == c->chosen_sub)
			chosen = i;
	}
	for (unsigned i = 0; others > 1 && i < count; i++) {
		if (cand[i].excluded || mode_of(&cand[i]) != best_mode || i == chosen)
			continue;
		if (chosen == count || (of[chosen]->id == c->chosen_sub ? score_displaces(cand[i].score, cand[chosen].score)
									   : cand[i].score < cand[chosen].score))
			chosen = i;
	}
	for (unsigned i = 0; others > 1 && i < count; i++)
		cand[i].excluded |= i != chosen;
	if (others > 1)
		c->chosen_sub = of[chosen]->id;
}


/* Others' subflows on its path would have their bytes in that queue. */
static bool drained(const struct sub *s, usec_t now_us)
{
	const struct path *p = engine_path(s->conn->engine, s->path);

	return p && p->subs == s && !s->path_next && usec_since(now_us, s->sf.last_snd_us) >= SCHED_IDLE_US;
}

static void choices(struct conn *c, uint32_t not_on, uint64_t queued, uint64_t window, usec_t now_us, struct choice *out)
{
	struct sched_view *v = &out->v;

	*v = (struct sched_view){ .sub = out->cand, .queued = queued, .window = window };
	for (uint8_t i = 0; i < c->sub_count; i++) {
		struct sub *s = c->subs[i];
		uint32_t sendable, in_flight;

		if (!conn_sub_usable(s))
			continue;
		in_flight = subflow_in_flight_seq(&s->sf);
		sendable = subflow_sendable(&s->sf, now_us);
		/* RFC 9293 3.8.6.2.1: no silly small segment because the window is nearly full. */
		if (sendable < s->sf.snd_mss / 2u && sendable < queued && in_flight)
			sendable = 0;
		if (sendable && not_on == NEW_DATA && !path_share_may_send(s))
			sendable = 0;
		out->of[v->count] = s;
		out->cand[v->count++] = (struct sched_candidate){
			.srtt_us = s->sf.rtt.srtt_us, .rate = subflow_rate(&s->sf), .in_flight = in_flight, .sendable = sendable,
			.backup = s->backup_local || s->backup_remote, .avoid = conn_sub_avoid(s), .silent = conn_sub_silent(s),
			.idle_rtt_us = !in_flight && drained(s, now_us) ? s->sf.rtt.min_rtt_us : 0,
			.score = c->sub_count > 1 ? conn_sub_score(s, now_us).total : 0,
			.excluded = s->id == not_on || sent_map_reserve(&s->sent) != ERR_OK,
		};
	}
	only_one(c, out);
}

static struct sub *pick(struct conn *c, uint32_t not_on, uint64_t queued, uint64_t window, usec_t now_us)
{
	struct choice ch;
	int got;

	choices(c, not_on, queued, window, now_us, &ch);
	got = c->engine->sched->pick(&ch.v);
	return got < 0 ? NULL : ch.of[got];
}

static bool send_on(struct sub *s, struct dsn from, uint64_t len, bool again, struct action *act, usec_t now_us)
{
	struct conn *c = s->conn;
	struct segment seg;
	struct subflow_data d = { 0 };
	uint32_t want = len > 65000 ? 65000 : (uint32_t)len, took, options;
	bool last, fin = false;

	memset(&seg.tcp, 0, sizeof seg.tcp);
	options = conn_map_begin(s, from, &want, now_us);
	last = dsn_eq(dsn_add(from, want), c->queue.end);
	took = subflow_send(&s->sf, want, from.v, last, conn_rcv_window(c), options, now_us, &seg, &d);
	if (!took)
		return false;
	/* A second copy may be lost like the first: it can be reinjected, too. */
	sent_map_add(&s->sent, d.seq, took, from, false);
	path_share_sent(s, again ? 0 : took);
	if (again) {
		c->reinjected_bytes += took;
	} else {
		c->snd_nxt = dsn_add(from, took);
		if (conn_fin_ready(c) && !c->fallen && !c->fin_sent && took + conn_options_room(s) <= s->sf.snd_mss &&
		    !(conn_keys_owed(s) && conn_relative_out(s, d.seq) == 1)) {
			/* RFC 8684 3.3.3: DATA_FIN on the last data */
			fin = c->fin_sent = true;
			c->fin_resend_us = usec_add(now_us, s->sf.rtt.rto_us);
		}
	}
	emit(s, &seg, &d, fin, act, now_us);
	return true;
}

/* Where what went last on it ends. */
static struct dsn sent_to(const struct sub *s)
{
	const struct sent_range *last = sent_map_at(&s->sent, s->sent.count - 1);

	return dsn_add(last->dsn, last->len);
}

/* What its mapping has promised to its next sequence numbers goes first, though another subflow has sent it meanwhile. */
static bool rest_output(struct sub *s, struct action *act, usec_t now_us)
{
	struct conn *c = s->conn;
	uint32_t left = conn_map_left(s);
	struct dsn from = conn_map_next(s);

	if (!left || !dsn_lt(from, c->snd_nxt) || sent_map_reserve(&s->sent) != ERR_OK)
		return false;
	if (dsn_lt(c->snd_nxt, dsn_add(from, left)))
		left = (uint32_t)dsn_diff(c->snd_nxt, from);
	return send_on(s, from, left, true, act, now_us);
}

static bool rests_output(struct conn *c, struct action *act, usec_t now_us)
{
	for (uint8_t i = 0; i < c->sub_count; i++)
		if (conn_sub_usable(c->subs[i]) && conn_map_left(c->subs[i]) && rest_output(c->subs[i], act, now_us))
			return true;
	return false;
}

static struct sub *sub_of_id(const struct conn *c, uint32_t id)
{
	for (uint8_t i = 0; i < c->sub_count; i++)
		if (c->subs[i]->id == id)
			return c->subs[i];
	return NULL;
}

static void reinject_pop(struct conn *c)
{
	c->reinject_count--;
	memmove(c->reinjects, c->reinjects + 1, c->reinject_count * sizeof *c->reinjects);
}

static bool reinject_output(struct conn *c, struct action *act, usec_t now_us)
{
	while (c->reinject_count) {
		struct reinject *r = &c->reinjects[0];
		struct sub *s;
		uint64_t len;

		r->start = dsn_max(r->start, c->snd_una);
		if (dsn_leq(r->end, r->start)) {
			reinject_pop(c);
			continue;
		}
		len = (uint64_t)dsn_diff(r->end, r->start);
		s = pick(c, r->from, len, UINT64_MAX, now_us);
		if (!s) {
			/* The only subflow left is the one it hangs on, and that one retransmits by itself. */
			const struct sub *from = sub_of_id(c, r->from);

			if (from && c->sub_count == 1)
				reinject_pop(c);
			return false;
		}
		if (rest_output(s, act, now_us))
			return true;
		if (!send_on(s, r->start, len, true, act, now_us))
			return false;
		/* What the mapping has promised besides goes by rest_output(), and need not be asked for again. */
		r->start = dsn_add(sent_to(s), conn_map_left(s));
		return true;
	}
	return false;
}

/*
 * Opportunistic reinjection (Raiciu et al., NSDI 2012): the window is the limit, the subflow that holds its left edge is slow,
 * and a faster one has nothing to do: it carries the first segment again.
 */
static void window_limited(struct conn *c)
{
	struct sub *holder = NULL;
	uint32_t len = 0;

	if (c->reinject_count || c->sub_count < 2 || dsn_eq(c->opportunistic, c->snd_una))
		return;
	for (uint8_t i = 0; i < c->sub_count; i++) {
		struct sub *s = c->subs[i];

		if (s->sent.count && dsn_leq(sent_map_at(&s->sent, 0)->dsn, c->snd_una) &&
		    dsn_lt(c->snd_una, dsn_add(sent_map_at(&s->sent, 0)->dsn, sent_map_at(&s->sent, 0)->len))) {
			holder = s;
			len = (uint32_t)dsn_diff(dsn_add(sent_map_at(&s->sent, 0)->dsn, sent_map_at(&s->sent, 0)->len), c->snd_una);
		}
	}
	if (!holder || sent_map_at(&holder->sent, 0)->reinjected)
		return;
	for (uint8_t i = 0; i < c->sub_count; i++) {
		struct sub *s = c->subs[i];

		if (s == holder || !conn_sub_usable(s) || conn_sub_avoid(s) || s->sf.rtt.srtt_us * 2 > holder->sf.rtt.srtt_us)
			continue;
		c->opportunistic = c->snd_una;
		if (c->reinject_room == 0)
			return;
		c->reinjects[0] = (struct reinject){ c->snd_una, dsn_add(c->snd_una, len), holder->id };
		c->reinject_count = 1;
		count(c->engine->counters, CNT_Opportunistic);
		return;
	}
}

/* A redundant scheduler: each subflow carries all, new or not, from where it is or from what the peer still lacks. */
static bool copies_output(struct conn *c, struct action *act, usec_t now_us)
{
	struct dsn limit = dsn_min(c->queue.end, c->snd_edge);
	struct choice ch;

	choices(c, NEW_DATA, (uint64_t)dsn_diff(c->queue.end, c->snd_una), (uint64_t)dsn_diff(c->snd_edge, c->snd_una), now_us, &ch);
	for (unsigned i = 0; i < ch.v.count; i++) {
		struct sub *s = ch.of[i];
		struct dsn from = dsn_max(s->copied, c->snd_una), end;
		bool again = dsn_lt(from, c->snd_nxt);

		end = again ? dsn_min(c->snd_nxt, limit) : limit;
		if (!ch.cand[i].sendable || dsn_leq(end, from) || !sched_eligible(&ch.v, i))
			continue;
		if (!send_on(s, from, (uint64_t)dsn_diff(end, from), again, act, now_us))
			continue;
		s->copied = dsn_max(s->copied, sent_to(s));
		return true;
	}
	return false;
}

/* Bytes that wait, as a scheduler should see them: an application that is held back by us has more than it could write. */
static uint64_t backlog(const struct conn *c, uint64_t queued)
{
	uint64_t unacked = (uint64_t)dsn_diff(c->queue.end, c->snd_una);

	return c->short_write || unacked > conn_send_limit(c) / 8 * 5 ? SCHED_ENDLESS : queued;
}

static bool data_output(struct conn *c, struct action *act, usec_t now_us)
{
	uint64_t queued = (uint64_t)dsn_diff(c->queue.end, c->snd_nxt);
	int64_t window = dsn_diff(c->snd_edge, c->snd_nxt);
	struct sub *s;

	if (rests_output(c, act, now_us))
		return true;
	if (c->engine->sched->copies && copies_output(c, act, now_us))
		return true;
	if (!queued)
		return false;
	if (window <= 0) {
		if (c->zero_window_us == USEC_NEVER && dsn_eq(c->snd_una, c->snd_nxt))
			c->zero_window_us = usec_add(now_us, 200 * USEC_PER_MS);
		window_limited(c);
		return c->reinject_count && reinject_output(c, act, now_us);
	}
	if (c->engine->sched->copies)
		return false;
	if ((uint64_t)window > queued)
		window = (int64_t)queued;
	s = c->burst_sub >= 0 && (c->burst_left || conn_map_left(c->subs[c->burst_sub])) ? c->subs[c->burst_sub] : NULL;
	if (!s || subflow_sendable(&s->sf, now_us) < s->sf.snd_mss || sent_map_reserve(&s->sent) != ERR_OK) {
		s = pick(c, NEW_DATA, backlog(c, queued), (uint64_t)dsn_diff(c->snd_edge, c->snd_nxt), now_us);
		c->burst_sub = -1;
		for (uint8_t i = 0; s && i < c->sub_count; i++)
			if (c->subs[i] == s)
				c->burst_sub = (int8_t)i;
		c->burst_left = BURST_SEGMENTS;
	}
	if (!s)
		return false;
	if (c->burst_left)
		c->burst_left--;
	return send_on(s, c->snd_nxt, (uint64_t)window, false, act, now_us);
}

/* DATA_FIN by itself, or again; MP_FASTCLOSE again. They ride on pure ACKs. */
static void signal_due(struct conn *c, usec_t now_us)
{
	bool fast = c->state == M_FASTCLOSE_WAIT, first = false;
	usec_t rto = USEC_NEVER;

	if (!fast && !conn_fin_ready(c))
		return;
	if (c->fallen && fast) {
		/* The peer has left MPTCP while we waited for its RST: ours says the same in TCP. */
		conn_fail(c, OPEN_RESET, 0, true, now_us);
		return;
	}
	if (c->fallen) {
		/* The subflow's own FIN says it, and is retransmitted there. */
		if (!c->fin_sent && c->sub_count) {
			c->fin_sent = true;
			subflow_close(&c->subs[0]->sf, now_us);
			c->subs[0]->want_out = true;
		}
		return;
	}
	if (!fast && !c->fin_sent)
		first = c->fin_sent = true;
	else if (c->fin_resend_us > now_us || (c->fin_acked && !fast))
		return;
	if (fast && c->fin_tries >= FASTCLOSE_TRIES) {
		c->fin_resend_us = USEC_NEVER;
		conn_fail(c, OPEN_RESET, 0, true, now_us);
		return;
	}
	for (uint8_t i = 0; i < c->sub_count; i++) {
		struct sub *s = c->subs[i];

		if (!conn_sub_usable(s))
			continue;
		rto = usec_min(rto, s->sf.rtt.rto_us);
		/* The first goes on one subflow that answers, the others on all. */
		if (first && conn_sub_avoid(s) && i + 1 < c->sub_count)
			continue;
		subflow_ack_now(&s->sf);
		s->want_out = true;
		if (first)
			break;
	}
	if (rto == USEC_NEVER)
		rto = USEC_PER_S;
	rto <<= c->fin_tries < 6 ? c->fin_tries : 6;
	c->fin_resend_us = usec_add(now_us, usec_min(rto, FIN_RESEND_MAX_US));
	c->fin_tries++;
}

/* All that was sent has arrived at the peer's subflows, and still the data is not acknowledged. */
static void watch_stuck(struct conn *c, usec_t now_us)
{
	bool outstanding = dsn_lt(c->snd_una, c->snd_nxt) && !c->reinject_count && !c->fallen;

	for (uint8_t i = 0; outstanding && i < c->sub_count; i++)
		outstanding = c->subs[i]->sent.count == 0;
	if (!outstanding || !conn_has_living_sub(c))
		c->stuck_us = USEC_NEVER;
	else if (c->stuck_us == USEC_NEVER)
		c->stuck_us = usec_add(now_us, STUCK_US);
}

bool conn_output(struct conn *c, struct action *act, usec_t now_us)
{
	if (c->tell && tell_output(c, act))
		return true;
	if (c->state == M_CLOSED)
		return false;
	signal_due(c, now_us);
	pm_signals_due(c, now_us);
	if (c->tell && tell_output(c, act))
		return true;
	if (owed_output(c, act, now_us))
		return true;
	if (c->state == M_OPENING || c->state == M_TIME_WAIT || c->state == M_FASTCLOSE_WAIT)
		return false;
	if (c->reinject_count && reinject_output(c, act, now_us))
		return true;
	if (data_output(c, act, now_us))
		return true;
	/* Who would take more now is not at its path's limit. */
	for (uint8_t i = 0; i < c->sub_count; i++)
		if (conn_sub_usable(c->subs[i]) && !c->subs[i]->share.waiting)
			subflow_app_limited(&c->subs[i]->sf, now_us);
	/* The last data may have gone just now. */
	if (conn_fin_ready(c) && !c->fin_sent) {
		signal_due(c, now_us);
		return owed_output(c, act, now_us);
	}
	watch_stuck(c, now_us);
	return false;
}

usec_t conn_deadline(const struct conn *c, usec_t now_us)
{
	usec_t at = usec_min(usec_min(c->open_deadline_us, c->dead_us), usec_min(c->close_us, c->join_us));
	bool data = dsn_lt(c->snd_nxt, c->queue.end) || c->reinject_count, timeout = false;

	at = usec_min(at, usec_min(pm_signals_deadline(c), usec_min(c->fail_us, c->abort_us)));
	for (uint8_t i = 0; i < c->sub_count; i++)
		data |= conn_map_left(c->subs[i]) != 0;
	at = usec_min(at, usec_min(c->fin_resend_us, usec_min(c->zero_window_us, c->stuck_us)));
	at = usec_min(at, usec_min(conn_announce_deadline(c), conn_mode_deadline(c)));
	for (uint8_t i = 0; i < c->sub_count; i++) {
		const struct sub *s = c->subs[i];

		timeout |= s->sf.rto_deadline_us <= now_us;
		at = usec_min(at, usec_min(usec_min(s->third_ack_us, s->remove_us), usec_min(s->keep_us, subflow_deadline(&s->sf))));
		/* One whose path went is looked at again when it has been away for long. */
		if (s->dead_since_us != USEC_NEVER && c->sub_count > 1 && s->dead_since_us + DROP_LOOK_US > now_us)
			at = usec_min(at, s->dead_since_us + DROP_LOOK_US);
		at = usec_min(at, path_share_deadline(s));
		if (data && conn_sub_usable(s) && s->sf.pace_next_us > now_us)
			at = usec_min(at, s->sf.pace_next_us);
	}
	if (at <= now_us) {
		/* A timeout is not put off again by whatever comes before: on a connection where something always does, none would be. */
		bool waiting = timeout && c->deadline_us > now_us && c->deadline_us < now_us + LATE_US;

		count(c->engine->counters, CNT_EngineLateTimer);
		at = waiting ? c->deadline_us : now_us + LATE_US;
	}
	return at;
}
