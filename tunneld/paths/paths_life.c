/* SPDX-License-Identifier: MIT */
/*
 * Whether a path lives: what is heard and sent, probes, round trip, suspicion.
 */
#include "tunneld/paths/paths_internal.h"

enum {
	ROTATE_AFTER = 4,                        /* unanswered probes before the gateway's next address is tried */
	SILENT_AFTER = 3,                        /* unanswered probes on every path before the session is doubted */
	DEAD_AFTER_PROBES = 60,
	UNREPLIED_MAX = 4,                       /* probes in a row without a reply, though something is heard */
	RTT_FIRST = 8,
};
#define BURST_GAP_US       (20 * USEC_PER_MS)
#define IDLE_LEAST_US      (15 * USEC_PER_S) /* below the shortest NAT time-outs seen, 30 s */
#define IDLE_SPREAD_US     (10 * USEC_PER_S)
#define FAST_LEAST_US      (50 * USEC_PER_MS)
#define FAST_MOST_US       (1 * USEC_PER_S)
#define DEAD_PROBE_US      (5 * USEC_PER_S)  /* for one long dead */
#define IN_USE_US          (60 * USEC_PER_S) /* a peer that was sent data so lately: what is dead is asked each second */
#define SUSPECT_MARGIN_US  (100 * USEC_PER_MS)
#define SUSPECT_UNKNOWN_US (1 * USEC_PER_S)  /* while the round trip is not known */
#define FORGET_US          (90 * USEC_PER_S) /* gateway: silent for longer than three idle probes */

/* xorshift64: only to spread things in time. */
static uint64_t chance(struct paths *p)
{
	p->chance ^= p->chance << 13;
	p->chance ^= p->chance >> 7;
	p->chance ^= p->chance << 17;
	return p->chance;
}

static usec_t fast_us(const struct paths *p, const struct path_end *e, usec_t now_us)
{
	bool in_use = p->data_us[e->peer] && usec_since(now_us, p->data_us[e->peer]) < IN_USE_US;
	usec_t t = usec_max(FAST_LEAST_US, 2 * e->srtt_us);
	unsigned doublings = e->probes_unanswered < 10 ? e->probes_unanswered : 10;

	if (e->probes_unanswered > DEAD_AFTER_PROBES && !in_use)
		return DEAD_PROBE_US;
	return usec_min(t << doublings, usec_max(FAST_MOST_US, t));
}

static usec_t suspect_us(const struct path_end *e)
{
	if (!e->srtt_us)
		return SUSPECT_UNKNOWN_US;
	return usec_max(3 * e->srtt_us, e->srtt_us + 4 * e->rttvar_us + SUSPECT_MARGIN_US);
}

/* When it is suspected, if nothing happens: nothing was heard since a probe, or several in a row had no reply. */
static usec_t suspicion_us(const struct path_end *e)
{
	usec_t at = e->probe_first_us ? e->probe_first_us + suspect_us(e) : USEC_NEVER;

	if (e->unreplied < UNREPLIED_MAX)
		return at;
	return usec_min(at, usec_max(e->unreplied_us + suspect_us(e), e->unreplied_full_us + 2 * e->srtt_us));
}

void path_due(struct paths *p, struct path_end *e)
{
	usec_t at = e->probe_next_us;

	if (e->unanswered_us && !e->probe_first_us)
		at = usec_min(at, e->unanswered_us + fast_us(p, e, e->unanswered_us));
	if (e->life == LIFE_UP)
		at = usec_min(at, suspicion_us(e));
	if (!e->initiator && e->heard_us)
		at = usec_min(at, e->heard_us + FORGET_US);
	if (e->life == LIFE_UP)
		at = usec_min(at, e->size_next_us);
	e->due_us = at;
	p->deadline_us = usec_min(p->deadline_us, at);
}

static void life(struct paths *p, struct path_end *e, enum path_life now, usec_t now_us)
{
	if (e->life == now)
		return;
	if (now == LIFE_SUSPECT) {
		count(p->config.counters, CNT_PathSuspected);
		e->times_suspect++;
	} else if (e->life == LIFE_SUSPECT) {
		count(p->config.counters, CNT_PathRecovered);
	}
	e->life = now;
	e->changed_us = now_us;
	if (now == LIFE_UP)
		path_size_unknown(e, now_us); /* what was lost meanwhile was not lost for its size */
	p->config.events->changed(p->config.owner, e, false);
}

void path_probe_now(struct paths *p, struct path_end *e, usec_t now_us)
{
	count(p->config.counters, CNT_PathProbesSent);
	e->probes_sent++;
	e->probes_unanswered++;
	e->probe_last_us = now_us;
	if (!e->probe_first_us)
		e->probe_first_us = now_us;
	if (!e->unreplied++)
		e->unreplied_us = now_us;
	if (e->unreplied == UNREPLIED_MAX)
		e->unreplied_full_us = now_us;
	if (e->burst_left) {
		e->burst_left--;
		e->probe_next_us = now_us + BURST_GAP_US;
	} else {
		e->probe_next_us = now_us + fast_us(p, e, now_us);
	}
	path_send_message(p, e, MSG_PROBE, now_us);
	/* With every probe: one may be lost, and a gateway that started anew knows nothing. */
	if (e->initiator && e->cost)
		path_send_message(p, e, MSG_COST, e->cost);
	path_due(p, e);
}

bool paths_doubt(struct paths *p, struct path_end *e, usec_t now_us)
{
	if (e->life != LIFE_UP)
		return false;
	e->doubted_us = now_us;
	life(p, e, LIFE_SUSPECT, now_us);
	path_probe_now(p, e, now_us);
	return true;
}

void paths_probe(struct paths *p, struct path_end *e, usec_t now_us)
{
	/* One under way is answer enough. */
	if (e->probe_first_us && now_us < e->probe_last_us + usec_max(FAST_LEAST_US, 2 * e->srtt_us))
		return;
	path_probe_now(p, e, now_us);
}

static void check_silence(struct paths *p, uint32_t peer)
{
	for (unsigned no = 0; no < PATHS_PER_PEER; no++) {
		const struct path_end *e = paths_find(p, peer, (uint8_t)no);

		if (e && (e->life == LIFE_UP || e->probes_unanswered < SILENT_AFTER))
			return;
	}
	p->config.events->silent(p->config.owner, peer);
}

static void end_time(struct paths *p, struct path_end *e, usec_t now_us)
{
	if (!e->initiator && e->heard_us && now_us >= e->heard_us + FORGET_US) {
		path_end_gone(p, e);
		return;
	}
	if (e->life == LIFE_UP && now_us >= suspicion_us(e)) {
		/* What is heard does not say that we are: only an answer does from here on, late ones too. */
		e->doubted_us = e->unreplied_us;
		life(p, e, LIFE_SUSPECT, now_us);
	}
	if (now_us >= e->probe_next_us ||
	    (e->unanswered_us && !e->probe_first_us && now_us >= e->unanswered_us + fast_us(p, e, e->unanswered_us))) {
		if (e->initiator && e->life != LIFE_UP && e->probes_unanswered &&
		    e->probes_unanswered % ROTATE_AFTER == 0)
			path_rotate(p, e);
		path_probe_now(p, e, now_us);
		if (e->initiator && e->life != LIFE_UP && e->probes_unanswered >= SILENT_AFTER)
			check_silence(p, e->peer);
	}
	path_size_time(p, e, now_us);
	path_due(p, e);
}

void paths_time(struct paths *p, usec_t now_us)
{
	usec_t next = USEC_NEVER;

	if (now_us < p->deadline_us)
		return;
	for (uint32_t i = 0; i < p->ends_used_below; i++)
		if (p->ends[i].used && now_us >= p->ends[i].due_us)
			end_time(p, &p->ends[i], now_us);
	for (uint32_t i = 0; i < p->ends_used_below; i++)
		if (p->ends[i].used)
			next = usec_min(next, p->ends[i].due_us);
	p->deadline_us = next;
}

usec_t paths_deadline(const struct paths *p) { return p->deadline_us; }

static void idle(struct paths *p, struct path_end *e, usec_t now_us)
{
	/* The client keeps NATs open and learns of trouble; a gateway's silence costs nothing. */
	if (e->burst_left)
		e->probe_next_us = usec_min(e->probe_next_us, now_us + BURST_GAP_US);
	else
		e->probe_next_us = e->initiator ? now_us + IDLE_LEAST_US + chance(p) % IDLE_SPREAD_US : USEC_NEVER;
}

static void answered(struct paths *p, struct path_end *e, usec_t now_us)
{
	e->doubted_us = 0;
	e->unanswered_us = 0;
	if (e->probe_first_us) {
		e->probe_first_us = 0;
		e->probes_unanswered = 0;
		/* While replies are missing it goes on asking: one direction may be dead. */
		if (!e->unreplied || e->unreplied >= UNREPLIED_MAX)
			idle(p, e, now_us);
	}
	if (e->life != LIFE_UP)
		life(p, e, LIFE_UP, now_us);
	/* due_us may only have become later: it is looked at when it comes. */
	if (e->due_us == USEC_NEVER)
		path_due(p, e);
}

void paths_heard(struct paths *p, struct path_end *e, size_t bytes, usec_t now_us)
{
	e->bytes_received += bytes;
	e->datagrams_received++;
	e->heard_us = now_us;
	/* What arrives may have left before, and says nothing of our direction. */
	if (!e->doubted_us)
		answered(p, e, now_us);
	else
		paths_probe(p, e, now_us);
}

void paths_sent(struct paths *p, struct path_end *e, size_t bytes, usec_t now_us)
{
	e->bytes_sent += bytes;
	e->datagrams_sent++;
	if (!p->own_message)
		p->data_us[e->peer] = now_us;
	if (!e->unanswered_us) {
		e->unanswered_us = now_us;
		path_due(p, e);
	}
}

void paths_session(struct paths *p, uint32_t peer, usec_t now_us)
{
	p->session[peer] = true;
	for (unsigned no = 0; no < PATHS_PER_PEER; no++) {
		struct path_end *e = paths_find(p, peer, (uint8_t)no);

		if (!e)
			continue;
		e->burst_left = BURST - 1;
		e->probes_unanswered = 0;
		e->probe_first_us = 0;
		path_probe_now(p, e, now_us);
	}
}

void paths_rtt(struct paths *p, struct path_end *e, usec_t rtt_us)
{
	usec_t before = e->srtt_us, off;

	if (!rtt_us)
		rtt_us = 1;
	if (!e->srtt_us) {
		e->srtt_us = rtt_us;
		e->rttvar_us = rtt_us / 2;
	} else {
		/*
		 * RFC 6298 2.3, with its weights; but an idle path is measured so rarely that a late first sample, of a start when
		 * much else happens, would stand for minutes: of the first ones the least counts.
		 */
		off = e->srtt_us > rtt_us ? e->srtt_us - rtt_us : rtt_us - e->srtt_us;
		e->rttvar_us = (3 * e->rttvar_us + off) / 4;
		e->srtt_us = e->rtt_samples < RTT_FIRST && rtt_us < e->srtt_us ? rtt_us : (7 * e->srtt_us + rtt_us) / 8;
	}
	if (e->rtt_samples < RTT_FIRST)
		e->rtt_samples++;
	/* The engine chooses by it: worth telling when it is new or an eighth off. */
	off = before > e->srtt_us ? before - e->srtt_us : e->srtt_us - before;
	if (off * 8 > before)
		p->config.events->changed(p->config.owner, e, false);
}

/* The peer answered a probe that carried this token. */
void path_replied(struct paths *p, struct path_end *e, uint64_t token, usec_t now_us)
{
	count(p->config.counters, CNT_PathProbesAnswered);
	e->probes_answered++;
	if (e->unreplied && token >= e->unreplied_us && token <= now_us) {
		e->unreplied = 0;
		if (!e->probe_first_us)
			idle(p, e, now_us);
	}
	if (e->doubted_us && token >= e->doubted_us && token <= now_us)
		answered(p, e, now_us);
	path_size_answered(p, e, token, now_us);
	/* Ours, and not from before a suspend or a restart. */
	if (token <= now_us && now_us - token < 60 * USEC_PER_S)
		paths_rtt(p, e, now_us - token);
}
