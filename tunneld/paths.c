/* SPDX-License-Identifier: MIT */
#include "tunneld/paths.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "tunneld/log.h"
#include "tunneld/wire/datagram.h"

enum { MSG_PROBE = 1, MSG_REPLY = 2, MSG_CLOSE = 3, MSG_SIZE = 9 };

enum {
	BURST = 3,                               /* probes at a start, for a first idea of the round trip */
	ROTATE_AFTER = 4,                        /* unanswered probes before the gateway's next address is tried */
	SILENT_AFTER = 3,                        /* unanswered probes on every path before the session is doubted */
	GATEWAYS_MAX = 16,
	MTU_ASSUMED = 1500, MTU_MOST = 9000, MTU_PAYLOAD_LEAST = 500,
	SIZE_TRIES = 3, SIZE_UP_TRIES = 2,
	SIZE_GRAIN = 8,                          /* nobody looks for less than this */
	RTT_FIRST = 8,
};
/* Where in size_sent what was tried is noted: the tries first. */
enum { SLOT_LONGEST = SIZE_TRIES, SLOT_UP, SLOT_LADDER };
#define BURST_GAP_US       (20 * USEC_PER_MS)
#define IDLE_LEAST_US      (15 * USEC_PER_S) /* below the shortest NAT time-outs seen, 30 s */
#define IDLE_SPREAD_US     (10 * USEC_PER_S)
#define FAST_LEAST_US      (50 * USEC_PER_MS)
#define FAST_MOST_US       (1 * USEC_PER_S)
#define DEAD_PROBE_US      (5 * USEC_PER_S)  /* for one long dead */
#define DEAD_AFTER_PROBES  60
#define IN_USE_US          (60 * USEC_PER_S) /* a peer that was sent data so lately: what is dead is asked each second */
#define UNREPLIED_MAX      4                 /* probes in a row without a reply, though something is heard */
#define SUSPECT_MARGIN_US  (100 * USEC_PER_MS)
#define SUSPECT_UNKNOWN_US (1 * USEC_PER_S)  /* while the round trip is not known */
#define SIZE_WAIT_US       (200 * USEC_PER_MS)
#define SIZE_AGAIN_US      (600 * USEC_PER_S) /* RFC 8899 5.1.1, PMTU_RAISE_TIMER */
#define TOKEN_SIZE         (UINT64_C(1) << 63) /* a size's token, so that no other probe's answer is taken for it */
#define TOKEN_SLOT         56                 /* and so that two of one moment differ */
#define FORGET_US          (90 * USEC_PER_S) /* gateway: silent for longer than three idle probes */

struct link {
	bool used;                 /* configured, or an interface that was seen */
	char name[CONFIG_NAME_MAX], interface[CONFIG_NAME_MAX];
	struct addr address;
	bool backup;
	uint32_t cost;
};

struct gateway { uint32_t peer; const struct config_gateway *config; };

struct paths {
	struct paths_config config;
	struct path_end *ends;     /* config.paths_max */
	uint32_t ends_used_below;  /* nothing is used from here on */
	bool session[PATHS_PEERS_MAX]; /* there has been one: probes can be sealed */
	uint16_t by_peer[PATHS_PEERS_MAX][PATHS_PER_PEER]; /* id + 1; 0 = none */
	usec_t data_us[PATHS_PEERS_MAX]; /* when it was last sent something that is not ours; 0: never */
	bool own_message;          /* what is being sent is ours */
	struct gateway gateways[GATEWAYS_MAX];
	unsigned gateway_count;
	bool automatic;
	struct link links[PATHS_PER_PEER];
	usec_t deadline_us;        /* no later than the earliest due_us; exact after paths_time() */
	uint64_t chance;
	struct ifaddrs there;      /* as of the last refresh, for rotate() */
};

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

/* xorshift64: only to spread things in time. */
static uint64_t chance(struct paths *p)
{
	p->chance ^= p->chance << 13;
	p->chance ^= p->chance >> 7;
	p->chance ^= p->chance << 17;
	return p->chance;
}

/* --- the table --- */

static struct path_end *end_new(struct paths *p, uint32_t peer, uint8_t no, usec_t now_us)
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

static void end_gone(struct paths *p, struct path_end *e)
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

struct path_end *paths_wished(struct paths *p, uint32_t peer, const char *interface, const struct addr *source)
{
	if (!*interface && !source->family)
		return NULL;
	for (struct path_end *e = paths_next(p, NULL); e; e = paths_next(p, e))
		if (e->initiator && e->peer == peer &&
		    (*interface ? !strcmp(interface, p->links[e->link].interface) : addr_same_ip(source, &e->local)))
			return e;
	return NULL;
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

/* --- time --- */

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

static void due(struct paths *p, struct path_end *e)
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

/* Its size is not known (any more): tried as soon as it lives. */
static void size_unknown(struct path_end *e, usec_t now_us)
{
	e->size_tries = 0;
	e->size_up = e->size_failed = e->size_answered = 0;
	e->size_next_us = now_us;
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
		size_unknown(e, now_us); /* what was lost meanwhile was not lost for its size */
	p->config.events->changed(p->config.owner, e, false);
}

static void send_own(struct paths *p, struct path_end *e, const uint8_t *bytes, size_t len)
{
	p->own_message = true;
	p->config.events->send(p->config.owner, e, bytes, len);
	p->own_message = false;
}

static void message(struct paths *p, struct path_end *e, uint8_t kind, uint64_t token)
{
	uint8_t bytes[MSG_SIZE];
	struct wr w = wr_of(bytes, sizeof bytes);

	wr_u8(&w, kind);
	wr_u64(&w, token);
	send_own(p, e, bytes, wr_len(&w));
}

static void probe(struct paths *p, struct path_end *e, usec_t now_us)
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
	message(p, e, MSG_PROBE, now_us);
	due(p, e);
}

bool paths_doubt(struct paths *p, struct path_end *e, usec_t now_us)
{
	if (e->life != LIFE_UP)
		return false;
	e->doubted_us = now_us;
	life(p, e, LIFE_SUSPECT, now_us);
	probe(p, e, now_us);
	return true;
}

void paths_probe(struct paths *p, struct path_end *e, usec_t now_us)
{
	/* One under way is answer enough. */
	if (e->probe_first_us && now_us < e->probe_last_us + usec_max(FAST_LEAST_US, 2 * e->srtt_us))
		return;
	probe(p, e, now_us);
}

/* --- sizes --- */

static unsigned headers_of(const struct path_end *e)
{
	return (e->remote.family == 4 ? 20 : 40) + 8 + DATAGRAM_DATA_OVERHEAD;
}

/* The next smaller MTU that links and tunnels are known to have; 0: none. */
static uint16_t smaller_mtu(unsigned mtu)
{
	static const uint16_t usual[] = { 4352, 1500, 1492, 1460, 1420, 1380, 1340, 1280, 1200, 1000, 576 };

	for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
		if (usual[i] < mtu)
			return usual[i];
	return 0;
}

static void size_probe(struct paths *p, struct path_end *e, uint16_t size, unsigned slot, usec_t now_us)
{
	static uint8_t bytes[MTU_MOST];
	struct wr w = wr_of(bytes, sizeof bytes);

	e->size_sent[slot].token = now_us | TOKEN_SIZE | (uint64_t)slot << TOKEN_SLOT;
	e->size_sent[slot].size = size;
	wr_u8(&w, MSG_PROBE);
	wr_u64(&w, e->size_sent[slot].token);
	send_own(p, e, bytes, size); /* the rest stays zero */
}

/* All usual sizes below the one that is not answered, at once: the largest answered one is where to go. */
static void size_ladder(struct paths *p, struct path_end *e, usec_t now_us)
{
	unsigned mtu = e->mtu_payload + headers_of(e), slot = SLOT_LADDER;

	while ((mtu = smaller_mtu(mtu)) >= headers_of(e) + MTU_PAYLOAD_LEAST && slot < sizeof e->size_sent / sizeof *e->size_sent)
		size_probe(p, e, (uint16_t)(mtu - headers_of(e)), slot++, now_us);
}

/* RFC 8899 5.3.2: between what is known to get through and what is known not to, by halves. Data go on meanwhile. */
static void size_search_up(struct path_end *e, usec_t now_us)
{
	e->size_up = 0;
	e->size_up_tries = 0;
	if (e->size_failed > e->mtu_payload + SIZE_GRAIN)
		e->size_up = (uint16_t)((e->size_failed + e->mtu_payload) / 2);
	e->size_next_us = e->size_up ? now_us : now_us + SIZE_AGAIN_US;
}

static void size_lower(struct paths *p, struct path_end *e, usec_t now_us)
{
	unsigned smaller = smaller_mtu(e->mtu_payload + headers_of(e));

	e->size_failed = e->mtu_payload;
	e->size_tries = 0;
	if (e->size_answered) {
		e->mtu_payload = e->size_answered;
	} else if (smaller < headers_of(e) + MTU_PAYLOAD_LEAST) {
		e->size_tries = SIZE_TRIES;
		e->size_next_us = now_us + SIZE_AGAIN_US;
		return;
	} else {
		e->mtu_payload = (uint16_t)(smaller - headers_of(e));
	}
	count(p->config.counters, CNT_PathMtuLowered);
	p->config.events->changed(p->config.owner, e, false);
}

static void size_time(struct paths *p, struct path_end *e, usec_t now_us)
{
	if (e->life != LIFE_UP || now_us < e->size_next_us)
		return;
	if (e->size_up && e->size_up_tries == SIZE_UP_TRIES) {
		e->size_failed = e->size_up;
		size_search_up(e, now_us);
		if (!e->size_up)
			return;
	}
	if (e->size_up) {
		size_probe(p, e, e->size_up, SLOT_UP, now_us);
		e->size_up_tries++;
		e->size_next_us = now_us + usec_max(SIZE_WAIT_US, 3 * e->srtt_us);
		return;
	}
	if (e->size_tries == SIZE_TRIES) {
		bool known = e->size_answered;

		size_lower(p, e, now_us);
		if (e->size_tries)
			return;
		if (known) {
			size_search_up(e, now_us);
			size_time(p, e, now_us);
			return;
		}
	}
	/* Whatever was found before, the longest may fit by now. */
	if (!e->size_tries) {
		e->size_answered = 0;
		if (e->mtu_payload < e->mtu_payload_most)
			size_probe(p, e, e->mtu_payload_most, SLOT_LONGEST, now_us);
	} else {
		size_ladder(p, e, now_us);
	}
	size_probe(p, e, e->mtu_payload, e->size_tries++, now_us);
	e->size_next_us = now_us + usec_max(SIZE_WAIT_US, 3 * e->srtt_us);
}

void paths_size_doubt(struct paths *p, struct path_end *e, usec_t now_us)
{
	/* One trial at a time, however many say so. */
	if (e->size_tries || e->life != LIFE_UP)
		return;
	e->size_up = 0;
	e->size_next_us = usec_min(e->size_next_us, now_us);
	due(p, e);
}

/* A probe of that token was answered: the size it had gets through. */
static void size_answered(struct paths *p, struct path_end *e, uint64_t token, usec_t now_us)
{
	unsigned slot = (unsigned)(token >> TOKEN_SLOT & 31);
	uint16_t size;

	if (slot >= sizeof e->size_sent / sizeof *e->size_sent || !e->size_sent[slot].size || e->size_sent[slot].token != token)
		return;
	size = e->size_sent[slot].size;
	if (size < e->mtu_payload) {
		if (size > e->size_answered && e->size_tries)
			e->size_answered = size;
		return;
	}
	if (size > e->mtu_payload_most)
		return;
	if (size >= e->size_failed)
		e->size_failed = 0; /* given up too early, or the way is wider by now */
	if (size > e->mtu_payload) {
		e->mtu_payload = size;
		p->config.events->changed(p->config.owner, e, false);
	}
	e->size_tries = 0;
	size_search_up(e, now_us);
}

static bool rotate(struct paths *p, struct path_end *e);

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
		end_gone(p, e);
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
			rotate(p, e);
		probe(p, e, now_us);
		if (e->initiator && e->life != LIFE_UP && e->probes_unanswered >= SILENT_AFTER)
			check_silence(p, e->peer);
	}
	size_time(p, e, now_us);
	due(p, e);
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

/* --- what happened on a path --- */

static void idle(struct paths *p, struct path_end *e, usec_t now_us)
{
	/* The client keeps NATs open and learns of trouble; a gateway's silence costs nothing. */
	if (e->burst_left)
		e->probe_next_us = usec_min(e->probe_next_us, now_us + BURST_GAP_US);
	else
		e->probe_next_us = e->initiator ? now_us + IDLE_LEAST_US + chance(p) % IDLE_SPREAD_US : USEC_NEVER;
}

static void answered(struct paths *p, struct path_end *e, usec_t now_us);

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
		due(p, e);
}

void paths_sent(struct paths *p, struct path_end *e, size_t bytes, usec_t now_us)
{
	e->bytes_sent += bytes;
	e->datagrams_sent++;
	if (!p->own_message)
		p->data_us[e->peer] = now_us;
	if (!e->unanswered_us) {
		e->unanswered_us = now_us;
		due(p, e);
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

void paths_message(struct paths *p, struct path_end *e, const uint8_t *bytes, size_t len, usec_t now_us)
{
	struct rd r = rd_of(bytes, len);
	uint8_t kind = rd_u8(&r);
	uint64_t token = rd_u64(&r);
	struct path_end *closed;

	if (r.bad || (rd_left(&r) && kind != MSG_PROBE)) {
		count(p->config.counters, CNT_PathMessageOdd);
		return;
	}
	switch (kind) {
	case MSG_PROBE:
		message(p, e, MSG_REPLY, token);
		break;
	case MSG_REPLY:
		count(p->config.counters, CNT_PathProbesAnswered);
		e->probes_answered++;
		if (e->unreplied && token >= e->unreplied_us && token <= now_us) {
			e->unreplied = 0;
			if (!e->probe_first_us)
				idle(p, e, now_us);
		}
		if (e->doubted_us && token >= e->doubted_us && token <= now_us)
			answered(p, e, now_us);
		size_answered(p, e, token, now_us);
		/* Ours, and not from before a suspend or a restart. */
		if (token <= now_us && now_us - token < 60 * USEC_PER_S)
			paths_rtt(p, e, now_us - token);
		break;
	case MSG_CLOSE:
		closed = token < PATHS_PER_PEER ? paths_find(p, e->peer, (uint8_t)token) : NULL;
		/* Only the client's paths come and go; a gateway that says so is merely about to be silent. */
		if (closed && !closed->initiator)
			end_gone(p, closed);
		break;
	default:
		count(p->config.counters, CNT_PathMessageOdd);
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
		probe(p, e, now_us);
	}
}

void paths_too_big(struct paths *p, struct path_end *e, size_t len)
{
	size_t fits = len > DATAGRAM_DATA_OVERHEAD ? (len - DATAGRAM_DATA_OVERHEAD) * 15 / 16 : 0;

	if (fits < MTU_PAYLOAD_LEAST)
		fits = MTU_PAYLOAD_LEAST;
	if (fits >= e->mtu_payload)
		return;
	e->mtu_payload = (uint16_t)fits;
	e->size_tries = 0;
	p->config.events->changed(p->config.owner, e, false);
}

void paths_forget_peer(struct paths *p, uint32_t peer, bool tell)
{
	struct path_end *e;

	for (unsigned no = 0; tell && no < PATHS_PER_PEER; no++)
		if ((e = paths_find(p, peer, (uint8_t)no)))
			message(p, e, MSG_CLOSE, e->no);
	for (unsigned no = 0; no < PATHS_PER_PEER; no++)
		if ((e = paths_find(p, peer, (uint8_t)no)))
			end_gone(p, e);
}

const char *path_life_text(enum path_life l)
{
	static const char *const texts[] = { [LIFE_NONE] = "unanswered", [LIFE_UP] = "up", [LIFE_SUSPECT] = "suspect" };

	return texts[l];
}

/* --- gateway --- */

static uint16_t mtu_payload_of(uint32_t mtu, uint8_t family)
{
	unsigned headers = (family == 4 ? 20 : 40) + 8 + DATAGRAM_DATA_OVERHEAD;

	if (!mtu)
		mtu = MTU_ASSUMED;
	if (mtu > MTU_MOST)
		mtu = MTU_MOST;
	return (uint16_t)(mtu > headers + MTU_PAYLOAD_LEAST ? mtu - headers : MTU_PAYLOAD_LEAST);
}

static void endpoint(struct path_end *e, struct udp *udp, const struct udp_datagram *d)
{
	if (e->udp)
		udp_batch_flush(&e->batch, e->udp);
	e->udp = udp;
	e->remote = d->from;
	e->source = d->to;
	e->source.scope = addr_is_link_local(&d->to) ? d->ifindex : 0;
	e->local = d->to;
	e->local.port = udp->local.port;
}

struct path_end *paths_learn(struct paths *p, uint32_t peer, const char *peer_name, uint8_t no, struct udp *udp,
			     const struct udp_datagram *d, const struct ifaddrs *interfaces, usec_t now_us)
{
	struct path_end *e = paths_find(p, peer, no);
	const struct ifaddrs_interface *i;

	if (e)
		return e;
	e = end_new(p, peer, no, now_us);
	if (!e)
		return NULL;
	endpoint(e, udp, d);
	snprintf(e->name, sizeof e->name, "%.*s.%u", CONFIG_NAME_MAX - 5, peer_name, no);
	i = ifaddrs_by_index(interfaces, d->ifindex);
	if (i)
		memcpy(e->interface, i->name, sizeof e->interface);
	e->mtu_payload = e->mtu_payload_most = mtu_payload_of(i ? i->mtu : 0, e->remote.family);
	e->heard_us = now_us;
	size_unknown(e, now_us);
	e->life = LIFE_UP; /* the datagram that made it is its first sign */
	p->config.events->changed(p->config.owner, e, false);
	/* Our own idea of its round trip, for choosing among paths when we are the first to send much. */
	e->burst_left = 1;
	probe(p, e, now_us);
	return e;
}

void paths_roam(struct paths *p, struct path_end *e, struct udp *udp, const struct udp_datagram *d, usec_t now_us)
{
	if (e->udp == udp && addr_eq(&e->remote, &d->from) && addr_same_ip(&e->source, &d->to))
		return;
	if (!addr_eq(&e->remote, &d->from))
		count(p->config.counters, CNT_PathRoamed);
	endpoint(e, udp, d);
	e->changed_us = now_us;
	size_unknown(e, now_us);
	p->config.events->changed(p->config.owner, e, false);
}

/* --- client: which links there are --- */

void paths_add_gateway(struct paths *p, uint32_t peer, const struct config_gateway *g)
{
	assert(p->gateway_count < GATEWAYS_MAX);
	p->gateways[p->gateway_count++] = (struct gateway){ .peer = peer, .config = g };
}

void paths_set_links(struct paths *p, bool automatic, const struct config_path *links, unsigned n)
{
	p->automatic = automatic;
	for (unsigned i = 0; i < n && !automatic; i++) {
		struct link *l = &p->links[i];

		*l = (struct link){ .used = true, .address = links[i].address, .backup = links[i].backup,
				    .cost = links[i].cost };
		strcpy(l->name, links[i].name);
		strcpy(l->interface, links[i].interface);
	}
}

static bool global(const struct addr *a)
{
	return !addr_is_link_local(a) && !addr_is_loopback(a) && !addr_is_multicast(a) && !addr_is_unspecified(a);
}

static const struct addr *address_of(const struct ifaddrs_interface *i, uint8_t family, bool any)
{
	for (unsigned k = 0; k < i->address_count; k++)
		if (i->addresses[k].family == family && (any || global(&i->addresses[k])))
			return &i->addresses[k];
	return NULL;
}

/* An interface keeps its number for as long as it comes and goes: the number is the path's name on the wire. */
static void find_links(struct paths *p, const struct ifaddrs *there)
{
	for (unsigned n = 0; n < there->interface_count; n++) {
		const struct ifaddrs_interface *i = &there->interfaces[n];
		struct link *free_link = NULL, *known = NULL;

		if (!i->up || i->loopback || !(address_of(i, 4, false) || address_of(i, 6, false)))
			continue;
		for (unsigned k = 0; k < PATHS_PER_PEER; k++) {
			if (p->links[k].used && !strcmp(p->links[k].interface, i->name))
				known = &p->links[k];
			else if (!free_link && (!p->links[k].used || !ifaddrs_by_name(there, p->links[k].interface)))
				free_link = &p->links[k];
		}
		if (known || !free_link)
			continue;
		*free_link = (struct link){ .used = true };
		strcpy(free_link->name, i->name);
		strcpy(free_link->interface, i->name);
	}
}

/* How a link can reach one gateway address now. */
struct way {
	bool usable, routed;
	struct addr local;                       /* to bind to, port 0 */
	struct addr shown;
	const struct ifaddrs_interface *interface; /* NULL: unknown */
};

static struct way way_of(const struct link *l, const struct ifaddrs *there, const struct addr *to)
{
	struct way w = { .local.family = to->family };
	const struct addr *a;

	if (l->address.family) {
		if (l->address.family != to->family)
			return w;
		w.local = w.shown = l->address;
		w.local.port = 0;
		w.interface = ifaddrs_by_address(there, &l->address);
		/* 127.0.0.2 is usable though no interface lists it; others have to be there. */
		w.usable = w.interface ? w.interface->up : addr_is_loopback(&l->address);
	} else {
		w.interface = ifaddrs_by_name(there, l->interface);
		a = w.interface ? address_of(w.interface, to->family, addr_is_link_local(to)) : NULL;
		if (!a && w.interface && w.interface->loopback)
			a = address_of(w.interface, to->family, true);
		w.usable = a && w.interface->up;
		if (a)
			w.shown = *a;
	}
	w.routed = w.interface && (w.interface->loopback || ifaddrs_routed(there, w.interface->index, to));
	return w;
}

static bool end_open(struct paths *p, struct path_end *e, const struct link *l, const struct way *w)
{
	const char *device = w->interface && w->routed && !w->interface->loopback ? w->interface->name : NULL;
	struct addr local = w->local;
	int error;

	if (e->udp)
		udp_batch_flush(&e->batch, e->udp);
	udp_close(&e->own_udp);
	e->udp = NULL;
	error = udp_open(&e->own_udp, p->config.loop, p->config.pool, &local, device, p->config.udp_events, e);
	if (error == EPERM && device) {
		/* Before Linux 5.7 only root binds to a device: the address has to do. */
		local = w->shown;
		local.port = 0;
		error = udp_open(&e->own_udp, p->config.loop, p->config.pool, &local, NULL, p->config.udp_events, e);
	}
	if (error) {
		log_line(LOG_WARN, "path %s: cannot open a socket: %s", l->name, strerror(error));
		return false;
	}
	e->udp = &e->own_udp;
	return true;
}

static bool usable(const struct paths *p, const struct way *w)
{
	return w->usable && (w->routed || !p->automatic);
}

/* The usable candidate at or after `first`, routed ones before others; -1: none. */
static int candidate(const struct paths *p, const struct config_gateway *g, const struct link *l,
		     const struct ifaddrs *there, unsigned first, struct way *out)
{
	for (int routed = 1; routed >= 0; routed--) {
		for (unsigned k = 0; k < g->address_count; k++) {
			unsigned i = (first + k) % g->address_count;

			*out = way_of(l, there, &g->addresses[i]);
			if (usable(p, out) && out->routed >= routed)
				return (int)i;
		}
	}
	return -1;
}

static void aim(struct path_end *e, unsigned which, const struct way *w)
{
	e->candidate = which;
	e->remote = e->gateway->addresses[which];
	e->local = w->shown;
	e->local.port = e->own_udp.local.port;
	e->interface[0] = '\0';
	if (w->interface)
		memcpy(e->interface, w->interface->name, sizeof e->interface);
	e->mtu_payload = e->mtu_payload_most =
		mtu_payload_of(w->interface && !w->interface->loopback ? w->interface->mtu : 0, e->remote.family);
	size_unknown(e, 0);
	e->srtt_us = e->rttvar_us = 0;
	e->rtt_samples = 0;
}

static void end_close(struct paths *p, struct path_end *e)
{
	uint32_t peer = e->peer;
	uint8_t no = e->no;

	end_gone(p, e);
	/* Said on another path, as this one cannot any more. */
	for (unsigned k = 0; k < PATHS_PER_PEER; k++) {
		struct path_end *other = paths_find(p, peer, (uint8_t)k);

		if (other && other->life == LIFE_UP) {
			message(p, other, MSG_CLOSE, no);
			return;
		}
	}
}

static void refresh_end(struct paths *p, const struct gateway *g, unsigned number, const struct ifaddrs *there,
			usec_t now_us)
{
	const struct link *l = &p->links[number];
	struct path_end *e = paths_find(p, g->peer, (uint8_t)number);
	struct way w = { 0 };
	uint16_t mtu_payload;
	int which = -1;

	if (e) {
		w = way_of(l, there, &g->config->addresses[e->candidate]);
		if (l->used && usable(p, &w)) {
			mtu_payload = mtu_payload_of(w.interface && !w.interface->loopback ? w.interface->mtu : 0,
						     e->remote.family);
			if (addr_same_ip(&w.shown, &e->local) && (!w.interface || !strcmp(w.interface->name, e->interface))) {
				if (mtu_payload != e->mtu_payload_most) {
					e->mtu_payload = e->mtu_payload_most = mtu_payload;
					size_unknown(e, now_us);
					p->config.events->changed(p->config.owner, e, false);
				}
				return; /* nothing that matters to it changed */
			}
			/* Another address on the same link: the gateway sees us roam at the next datagram. */
			which = (int)e->candidate;
		}
	}
	if (which < 0 && l->used)
		which = candidate(p, g->config, l, there, number, &w);
	if (which < 0) {
		if (e) {
			log_line(LOG_INFO, "path %s to %s: gone", l->name, g->config->name);
			end_close(p, e);
		}
		return;
	}
	if (!e) {
		e = end_new(p, g->peer, (uint8_t)number, now_us);
		if (!e)
			return;
		e->initiator = true;
		e->gateway = g->config;
		e->link = number;
		e->backup = l->backup;
		e->cost = l->cost;
		strcpy(e->name, l->name);
	}
	if (!end_open(p, e, l, &w)) {
		end_close(p, e);
		return;
	}
	aim(e, (unsigned)which, &w);
	e->life = LIFE_NONE;
	e->heard_us = e->unanswered_us = e->probe_first_us = e->doubted_us = 0;
	e->unreplied = 0;
	e->probes_unanswered = 0;
	e->burst_left = BURST - 1;
	e->changed_us = now_us;
	p->config.events->changed(p->config.owner, e, false);
	if (p->session[g->peer]) {
		e->probe_next_us = now_us; /* at the next paths_time() */
		due(p, e);
	}
	log_line(LOG_INFO, "path %s to %s: %s", l->name, g->config->name,
		 addr_print(&e->remote, (char[ADDR_TEXT_MAX]){ 0 }));
}

void paths_refresh(struct paths *p, const struct ifaddrs *there, usec_t now_us)
{
	p->there = *there;
	if (p->automatic)
		find_links(p, there);
	for (unsigned g = 0; g < p->gateway_count; g++)
		for (unsigned number = 0; number < PATHS_PER_PEER; number++)
			refresh_end(p, &p->gateways[g], number, there, now_us);
}

static bool rotate(struct paths *p, struct path_end *e)
{
	const struct link *l = &p->links[e->link];
	struct way w;
	int which = candidate(p, e->gateway, l, &p->there, e->candidate + 1, &w);

	if (which < 0 || which == (int)e->candidate)
		return false;
	if (w.local.family != e->own_udp.local.family && !end_open(p, e, l, &w))
		return false;
	udp_batch_flush(&e->batch, e->udp);
	aim(e, (unsigned)which, &w);
	count(p->config.counters, CNT_PathRotated);
	p->config.events->changed(p->config.owner, e, false);
	return true;
}

void paths_rotate(struct paths *p, uint32_t peer)
{
	for (unsigned no = 0; no < PATHS_PER_PEER; no++) {
		struct path_end *e = paths_find(p, peer, (uint8_t)no);

		if (e && e->initiator && !e->heard_us)
			rotate(p, e);
	}
}
