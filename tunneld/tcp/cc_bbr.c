/* SPDX-License-Identifier: MIT */
/*
 * BBR: the window follows a model of the path (bandwidth, least round trip), not its losses. States, gains and bounds as in
 * draft-ietf-ccwg-bbr (BBRv3), with three differences, each said where it is made:
 *  - loss counts as congestion only above what the path loses anyway (`ambient`): a radio link that drops 5 % is not full;
 *  - no margin of 1 % below the bandwidth: PROBE_DOWN drains what the estimate is too high by;
 *  - a round trip within a few per cent of the least renews it, so that PROBE_RTT, which costs 2 % of the rate, is rare.
 * Read first: bbr_acked() at the end; each function above it is one step of it.
 */
#include "tunneld/tcp/cc.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum state { STARTUP, DRAIN, PROBE_DOWN, PROBE_CRUISE, PROBE_REFILL, PROBE_UP, PROBE_RTT };

enum {
	MIN_SEGS = 4,
	GAIN_ONE = 256,                      /* gains in 256ths */
	STARTUP_PACING = 710, STARTUP_CWND = 512, /* 2.77, 2 */
	DRAIN_PACING = 128,                  /* 0.5 */
	DOWN_PACING = 230, UP_PACING = 320,  /* 0.9, 1.25 */
	CWND_GAIN = 512, UP_CWND = 576, PROBE_RTT_CWND = 128, /* 2, 2.25, 0.5 */
	FULL_ROUNDS = 3,
	BETA_256 = 179,                      /* 0.7 */
	HEADROOM_256 = 38,                   /* 0.15 */
	LOSS_PPM = 20000,                    /* what may be lost beyond the ambient loss before it is congestion */
	QUEUE_SAMPLES = 8, QUEUE_LEAST_US = 4000, QUEUE_MOST_US = 16000,
	LOSS_SEGS_LEAST = 3, STARTUP_LOSS_SEGS = 6,
	AMBIENT_PPM_MOST = 300000,
	ROUNDS_MOST = 63,                    /* PROBE_CRUISE at most so long, as Reno would grow by as many segments */
	QUANTUM_US = 1000, QUANTUM_BYTES = 64 * 1024,
	EXTRA_ROUNDS = 5,
	TOLERANCE_LEAST_US = 200,
	MIN_RTT_WINDOW_US = 10 * 1000 * 1000, PROBE_RTT_EVERY_US = 5 * 1000 * 1000, PROBE_RTT_US = 200 * 1000,
	CYCLE_LEAST_US = 2 * 1000 * 1000, CYCLE_MORE_US = 1000 * 1000,
};

struct bbr {
	uint64_t bw[2];              /* largest sample of the last cycle and of this one, bytes a second */
	uint64_t bw_lo;              /* UINT64_MAX: no bound */
	uint64_t full_bw, last_bw;
	uint64_t round_end;          /* delivered total at which this round trip ends */
	uint64_t lost, delivered;    /* totals when this round began */
	usec_t min_rtt_us, min_rtt_at_us;      /* over MIN_RTT_WINDOW_US */
	usec_t probe_min_us, probe_min_at_us;  /* over PROBE_RTT_EVERY_US */
	usec_t probe_rtt_done_us;    /* 0: not low enough yet */
	usec_t cycle_us, wait_us;    /* when this phase of PROBE_BW began; how long until the next probe */
	usec_t ack_epoch_us;
	uint64_t chance;
	uint32_t inflight_hi, inflight_lo; /* UINT32_MAX: no bound */
	uint32_t bw_latest_kb, inflight_latest; /* of this round: KB a second, bytes */
	uint32_t ack_epoch_acked, extra_acked[2];
	uint32_t prior_cwnd;
	uint32_t ambient_ppm;        /* loss without a queue */
	uint32_t up_round_bytes, up_acked; /* PROBE_UP: inflight_hi grows by a segment for so many bytes acknowledged */
	uint32_t since_probe_rounds;
	uint32_t last_rtt_us;        /* STARTUP: of the round before */
	uint32_t high_rtt_us;        /* STARTUP: the longest of this round */
	uint32_t round_rtt_us;       /* least round trip of this round; UINT32_MAX: none yet */
	uint8_t round_samples;
	uint8_t state, full_rounds, extra_rounds, up_rounds;
	bool full, round_start, probe_rtt_round, too_high;
	bool jitter;                 /* STARTUP: round trips fell within a round, where our own queue only grows */
	bool careful;                /* STARTUP: round trips have grown; is it our queue? */
};

static_assert(sizeof(struct bbr) <= sizeof ((struct cc *)0)->priv, "bbr's state fits");

static struct bbr *bbr_of(struct cc *cc) { return (struct bbr *)(void *)cc->priv; }

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t most(uint64_t a, uint64_t b) { return a > b ? a : b; }
static uint32_t bytes_of(uint64_t v) { return v > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)v; }

static uint64_t max_bw(const struct bbr *b) { return most(b->bw[0], b->bw[1]); }
static uint64_t bw_of(const struct bbr *b) { return least(max_bw(b), b->bw_lo); }
static uint64_t bdp_of(const struct bbr *b, uint64_t bw) { return bw * b->min_rtt_us / USEC_PER_S; }
static uint64_t gained(uint64_t v, uint32_t gain) { return v * gain / GAIN_ONE; }
static bool probing_bw(const struct bbr *b) { return b->state >= PROBE_DOWN && b->state <= PROBE_UP; }

/* What goes at once when pacing, or arrives at once: the window must cover it besides what the path holds. */
static uint64_t quantum(const struct cc *cc)
{
	return most(2 * (uint64_t)cc->mss, least(cc->pacing_rate * QUANTUM_US / USEC_PER_S, QUANTUM_BYTES));
}

/* How far from the least a round trip may be that waited for its own batch only. */
static usec_t tolerance(const struct cc *cc, const struct bbr *b)
{
	usec_t batch = cc->pacing_rate ? quantum(cc) * USEC_PER_S / cc->pacing_rate : 0;

	return most(b->min_rtt_us / 32, TOLERANCE_LEAST_US) + batch;
}

static uint32_t inflight(const struct cc *cc, const struct bbr *b, uint64_t bw, uint32_t gain)
{
	if (!b->min_rtt_us || !bw)
		return cc_initial_window(cc->mss);
	return bytes_of(most(gained(bdp_of(b, bw), gain) + 3 * quantum(cc), MIN_SEGS * (uint64_t)cc->mss));
}

static uint32_t with_headroom(const struct cc *cc, const struct bbr *b)
{
	uint64_t room = most(gained(b->inflight_hi, HEADROOM_256), cc->mss);

	if (b->inflight_hi == UINT32_MAX)
		return UINT32_MAX;
	return bytes_of(most(b->inflight_hi - least(room, b->inflight_hi), MIN_SEGS * (uint64_t)cc->mss));
}

/* A few bits that differ from flow to flow, so that flows do not probe in step. */
static uint32_t chance(struct bbr *b)
{
	b->chance = b->chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(b->chance >> 40);
}

static void forget_bounds(struct bbr *b)
{
	b->bw_lo = UINT64_MAX;
	b->inflight_lo = UINT32_MAX;
}

static void init(struct cc *cc, usec_t now_us)
{
	struct bbr *b = bbr_of(cc);

	memset(cc->priv, 0, sizeof cc->priv);
	cc->cwnd = cc_initial_window(cc->mss);
	cc->ssthresh = UINT32_MAX;
	forget_bounds(b);
	b->inflight_hi = UINT32_MAX;
	b->state = STARTUP;
	b->chance = now_us;
	b->round_rtt_us = UINT32_MAX;
	b->ack_epoch_us = now_us;
}

/* --- the model --- */

/* Has this round lost more than the path loses without a queue, beyond what chance explains? */
static bool congested(const struct cc *cc, const struct bbr *b, const struct cc_ack *ack, uint32_t segs_least)
{
	double lost = (double)(ack->lost_total - b->lost) / cc->mss;
	double sent = lost + (double)(ack->delivered - b->delivered) / cc->mss;
	double usual = sent * b->ambient_ppm / 1e6;

	return lost >= segs_least && lost > sent * LOSS_PPM / 1e6 + usual + 2 * sqrt(usual);
}

/* A round at the path's own rate whose round trip shows no queue: what it lost, it lost by itself. */
static void learn_ambient(const struct cc *cc, struct bbr *b, const struct cc_ack *ack)
{
	uint64_t lost = ack->lost_total - b->lost, sent = lost + ack->delivered - b->delivered, ppm;

	if (!b->full || !sent || b->round_rtt_us > b->min_rtt_us + tolerance(cc, b))
		return;
	ppm = least(lost * 1000000 / sent, AMBIENT_PPM_MOST);
	b->ambient_ppm = (uint32_t)((7 * (uint64_t)b->ambient_ppm + ppm) / 8);
}

static void new_cycle(struct bbr *b)
{
	b->bw[0] = b->bw[1];
	b->bw[1] = 0;
}

/* Lower bounds: what this round delivered, but no less than 0.7 of what we thought, is what may be there. */
static void lower(struct cc *cc, struct bbr *b)
{
	uint64_t lo = b->bw_lo == UINT64_MAX ? max_bw(b) : b->bw_lo;
	uint64_t flight = b->inflight_lo == UINT32_MAX ? cc->cwnd : b->inflight_lo;

	b->bw_lo = most((uint64_t)b->bw_latest_kb * 1000, gained(lo, BETA_256));
	b->inflight_lo = bytes_of(most(b->inflight_latest, gained(flight, BETA_256)));
}

static void count_round(struct cc *cc, struct bbr *b, const struct cc_ack *ack)
{
	b->round_start = ack->prior_delivered >= b->round_end;
	if (!b->round_start)
		return;
	if (ack->rtt_us && b->since_probe_rounds < UINT32_MAX)
		b->since_probe_rounds++;
	if (congested(cc, b, ack, LOSS_SEGS_LEAST)) {
		b->too_high = true;
		/* While it probes, inflight_hi is what answers; STARTUP has its own way out. */
		if (b->state == PROBE_DOWN || b->state == PROBE_CRUISE || b->state == DRAIN)
			lower(cc, b);
	} else {
		b->too_high = false;
	}
	if (b->state == PROBE_CRUISE || b->state == PROBE_DOWN || b->state == PROBE_REFILL)
		learn_ambient(cc, b, ack);
}

static void next_round(struct bbr *b, const struct cc_ack *ack)
{
	b->round_end = ack->delivered;
	b->lost = ack->lost_total;
	b->delivered = ack->delivered;
	b->round_rtt_us = UINT32_MAX;
	b->high_rtt_us = 0;
	b->round_samples = 0;
	b->bw_latest_kb = b->inflight_latest = 0;
}

static void learn_bw(struct bbr *b, const struct cc_ack *ack)
{
	if (!ack->rate)
		return;
	b->bw_latest_kb = (uint32_t)most(b->bw_latest_kb, least(ack->rate / 1000, UINT32_MAX));
	b->inflight_latest = (uint32_t)most(b->inflight_latest, least(ack->delivered - ack->prior_delivered, UINT32_MAX));
	if (!ack->rate_app_limited || ack->rate >= max_bw(b))
		b->bw[1] = most(b->bw[1], ack->rate);
}

/* ACKs that come in lumps need a window that lasts until the next lump. */
static void learn_aggregation(struct cc *cc, struct bbr *b, const struct cc_ack *ack, usec_t now_us)
{
	uint64_t expected = bw_of(b) * usec_since(now_us, b->ack_epoch_us) / USEC_PER_S, extra;

	if (b->round_start && b->full && ++b->extra_rounds >= EXTRA_ROUNDS) {
		b->extra_rounds = 0;
		b->extra_acked[0] = b->extra_acked[1];
		b->extra_acked[1] = 0;
	}
	if (b->ack_epoch_acked <= expected || b->ack_epoch_acked > UINT32_MAX / 4) {
		b->ack_epoch_us = now_us;
		b->ack_epoch_acked = 0;
		expected = 0;
	}
	b->ack_epoch_acked += ack->acked;
	extra = least(b->ack_epoch_acked - least(expected, b->ack_epoch_acked), cc->cwnd);
	extra = least(extra, bw_of(b) / 10); /* 100 ms of it */
	if (b->full)
		b->extra_acked[1] = bytes_of(most(b->extra_acked[1], extra));
}

/* --- the states --- */

static void enter_down(struct bbr *b, usec_t now_us)
{
	b->state = PROBE_DOWN;
	b->cycle_us = now_us;
	b->since_probe_rounds = chance(b) & 1;
	b->wait_us = CYCLE_LEAST_US + chance(b) % CYCLE_MORE_US;
	b->up_round_bytes = UINT32_MAX;
	b->too_high = false;
}

/* By how much longer than the least round trip the first answers of a round have to be, for it to be a queue. */
static usec_t standing_queue(const struct cc *cc, const struct bbr *b)
{
	return least(most(b->min_rtt_us / 8, QUEUE_LEAST_US), QUEUE_MOST_US) + tolerance(cc, b);
}

static void check_full(struct cc *cc, struct bbr *b, const struct cc_ack *ack)
{
	usec_t more = standing_queue(cc, b);
	bool queue, ours;

	if (b->full)
		return;
	/*
	 * As HyStart++ (RFC 9406 4.2, 4.3): where the first eight of a round all waited in a queue, go on with care, and stop if it
	 * was ours: if the bandwidth has not grown with what was sent. The draft goes on until it has stood for three rounds, which
	 * floods every queue that is shorter than what the path holds. Jitter looks like a queue, but does not stand in the way: where
	 * there is some, the whole round has to show it.
	 */
	queue = b->round_samples >= QUEUE_SAMPLES && max_bw(b) && b->round_rtt_us > b->min_rtt_us + more;
	ours = queue && b->last_bw && !ack->rate_app_limited && max_bw(b) < b->last_bw + b->last_bw / 16;
	b->careful = b->careful || queue;
	if (ours && (b->round_start || !b->jitter)) {
		b->full = true;
		return;
	}
	if (!b->round_start)
		return;
	b->jitter = b->jitter || (b->last_rtt_us != UINT32_MAX && b->round_rtt_us + more < b->last_rtt_us);
	if (b->careful && b->round_rtt_us < b->last_rtt_us + more / 2)
		b->careful = false;
	b->last_bw = max_bw(b);
	b->last_rtt_us = b->round_rtt_us;
	/* A round in which the application was the limit says nothing of the path. */
	if (ack->rate_app_limited && !b->too_high)
		return;
	if (max_bw(b) >= b->full_bw + b->full_bw / 4) {
		b->full_bw = max_bw(b);
		b->full_rounds = 0;
		return;
	}
	/* Unlike the draft, loss ends STARTUP only when the bandwidth no longer grows: what the path loses anyway must not. */
	if (++b->full_rounds >= FULL_ROUNDS || congested(cc, b, ack, STARTUP_LOSS_SEGS)) {
		b->full = true;
		if (congested(cc, b, ack, STARTUP_LOSS_SEGS) && b->round_rtt_us > b->min_rtt_us + b->min_rtt_us / 4)
			b->inflight_hi = bytes_of(most(inflight(cc, b, max_bw(b), GAIN_ONE), b->inflight_latest));
	}
}

/* The phase of PROBE_UP: the ceiling rises by 1, 2, 4 ... segments a round trip while nothing speaks against it. */
static void raise_ceiling(struct cc *cc, struct bbr *b, const struct cc_ack *ack)
{
	if (b->inflight_hi == UINT32_MAX)
		return;
	if (b->round_start) {
		uint64_t segs = UINT64_C(1) << b->up_rounds;

		if (b->up_rounds < 30)
			b->up_rounds++;
		b->up_round_bytes = bytes_of(most(cc->cwnd / segs, cc->mss));
	}
	if (ack->in_flight_now < b->inflight_hi - least(b->inflight_hi, 2 * (uint64_t)cc->mss))
		return;
	b->up_acked += ack->acked;
	if (b->up_acked >= b->up_round_bytes) {
		uint64_t by = b->up_acked / b->up_round_bytes;

		b->up_acked -= (uint32_t)by * b->up_round_bytes;
		b->inflight_hi = bytes_of(b->inflight_hi + by * cc->mss);
	}
}

static void probe_bw(struct cc *cc, struct bbr *b, const struct cc_ack *ack, usec_t now_us)
{
	uint32_t target = inflight(cc, b, bw_of(b), GAIN_ONE);
	usec_t in_phase = usec_since(now_us, b->cycle_us);

	switch ((enum state)b->state) {
	case PROBE_DOWN:
	case PROBE_CRUISE: {
		uint64_t rounds = least(target / cc->mss, ROUNDS_MOST);

		if (in_phase > b->wait_us || b->since_probe_rounds >= most(rounds, 8)) {
			b->state = PROBE_REFILL;
			forget_bounds(b);
			b->cycle_us = now_us;
			b->up_rounds = 0;
			b->round_end = ack->delivered; /* a whole round from here */
			return;
		}
		if (b->state == PROBE_DOWN && in_phase > b->min_rtt_us &&
		    ack->in_flight_now <= least(with_headroom(cc, b), gained(bdp_of(b, max_bw(b)), GAIN_ONE) + quantum(cc)))
			b->state = PROBE_CRUISE;
		return;
	}
	case PROBE_REFILL:
		if (!b->round_start)
			return;
		b->state = PROBE_UP;
		b->cycle_us = now_us;
		b->up_acked = 0;
		b->up_rounds = 0;
		b->up_round_bytes = UINT32_MAX;
		b->full_bw = 0;
		b->full_rounds = 0;
		b->too_high = false;
		new_cycle(b);
		return;
	case PROBE_UP:
		if (b->too_high) {
			/* It was too much: the ceiling is what was in flight, and no less than 0.7 of what we wanted. */
			if (!ack->rate_app_limited)
				b->inflight_hi = bytes_of(most(ack->tx_in_flight, gained(inflight(cc, b, max_bw(b), GAIN_ONE), BETA_256)));
			enter_down(b, now_us);
			return;
		}
		raise_ceiling(cc, b, ack);
		if (in_phase > b->min_rtt_us && ack->in_flight_now > inflight(cc, b, max_bw(b), UP_PACING)) {
			enter_down(b, now_us);
			return;
		}
		if (b->round_start) { /* the bandwidth does not grow any more, and there never was a queue (another's limit) */
			if (max_bw(b) >= b->full_bw + b->full_bw / 4) {
				b->full_bw = max_bw(b);
				b->full_rounds = 0;
			} else if (++b->full_rounds >= FULL_ROUNDS) {
				enter_down(b, now_us);
			}
		}
		return;
	default:
		return;
	}
}

static void check_min_rtt(struct cc *cc, struct bbr *b, const struct cc_ack *ack, usec_t now_us)
{
	bool expired = usec_since(now_us, b->probe_min_at_us) > PROBE_RTT_EVERY_US && b->probe_min_at_us;
	usec_t near = b->min_rtt_us + tolerance(cc, b);

	if (ack->rtt_us) {
		b->round_rtt_us = (uint32_t)least(b->round_rtt_us, ack->rtt_us);
		b->round_samples = (uint8_t)(b->round_samples + (b->round_samples < UINT8_MAX));
		if (!b->full) {
			b->jitter = b->jitter || ack->rtt_us + standing_queue(cc, b) < b->high_rtt_us;
			b->high_rtt_us = (uint32_t)least(most(b->high_rtt_us, ack->rtt_us), UINT32_MAX);
		}
		if (!b->probe_min_us || ack->rtt_us < b->probe_min_us || expired) {
			b->probe_min_us = ack->rtt_us;
			b->probe_min_at_us = now_us;
		} else if (ack->rtt_us <= near) {
			b->probe_min_at_us = now_us;
		}
		if (!b->min_rtt_us || b->probe_min_us < b->min_rtt_us ||
		    usec_since(now_us, b->min_rtt_at_us) > MIN_RTT_WINDOW_US) {
			b->min_rtt_us = b->probe_min_us;
			b->min_rtt_at_us = b->probe_min_at_us;
		} else if (ack->rtt_us <= near) {
			b->min_rtt_at_us = now_us;
		}
	}
	if (b->state != PROBE_RTT && expired && b->full && !ack->rate_app_limited) {
		b->state = PROBE_RTT;
		b->prior_cwnd = (uint32_t)most(b->prior_cwnd, cc->cwnd);
		b->probe_rtt_done_us = 0;
	}
	if (b->state != PROBE_RTT)
		return;
	if (!b->probe_rtt_done_us) {
		if (ack->in_flight_now <= inflight(cc, b, bw_of(b), PROBE_RTT_CWND)) {
			b->probe_rtt_done_us = now_us + PROBE_RTT_US;
			b->probe_rtt_round = false;
			b->round_end = ack->delivered;
		}
	} else {
		b->probe_rtt_round |= b->round_start;
		if (b->probe_rtt_round && now_us > b->probe_rtt_done_us) {
			b->probe_min_at_us = now_us;
			cc->cwnd = (uint32_t)most(cc->cwnd, b->prior_cwnd);
			b->prior_cwnd = 0;
			forget_bounds(b);
			enter_down(b, now_us);
			b->state = PROBE_CRUISE;
		}
	}
}

/* --- what comes of it --- */

static uint32_t pacing_gain(const struct bbr *b)
{
	switch ((enum state)b->state) {
	case STARTUP:    return b->careful ? UP_PACING : STARTUP_PACING;
	case DRAIN:      return DRAIN_PACING;
	case PROBE_DOWN: return DOWN_PACING;
	case PROBE_UP:   return UP_PACING;
	default:         return GAIN_ONE;
	}
}

static void set_pacing(struct cc *cc, const struct bbr *b, const struct cc_ack *ack)
{
	uint64_t bw = bw_of(b), rate;

	cc->bandwidth = bw;
	if (!cc->pacing_rate && ack->srtt_us) /* the first round trip says at least how fast the first window may go */
		bw = most(bw, (uint64_t)cc->cwnd * USEC_PER_S / ack->srtt_us);
	rate = gained(bw, pacing_gain(b));
	/* An outage makes samples of next to nothing. Never slower than ACKs of half the least window would clock us. */
	if (ack->srtt_us)
		rate = most(rate, MIN_SEGS / 2 * (uint64_t)cc->mss * USEC_PER_S / ack->srtt_us);
	if (rate && (b->full || b->careful || rate > cc->pacing_rate))
		cc->pacing_rate = rate;
}

static void set_cwnd(struct cc *cc, struct bbr *b, const struct cc_ack *ack)
{
	uint32_t gain = b->state == PROBE_UP ? UP_CWND : b->state == PROBE_RTT ? PROBE_RTT_CWND : CWND_GAIN;
	uint64_t target = inflight(cc, b, bw_of(b), gain) + most(b->extra_acked[0], b->extra_acked[1]), cap = UINT32_MAX;

	/* Where every round trip is much longer than the least one, a window for the least would never fill the path. */
	if (!b->full && b->last_rtt_us > b->min_rtt_us && b->last_rtt_us != UINT32_MAX)
		target = target * b->last_rtt_us / b->min_rtt_us;
	if (b->full)
		cc->cwnd = (uint32_t)least((uint64_t)cc->cwnd + ack->acked, target);
	else if (cc->cwnd < target || ack->delivered < 2 * (uint64_t)cc_initial_window(cc->mss))
		cc->cwnd = bytes_of((uint64_t)cc->cwnd + ack->acked);
	if (probing_bw(b) && b->state != PROBE_CRUISE)
		cap = b->inflight_hi;
	else if (b->state == PROBE_CRUISE || b->state == PROBE_RTT)
		cap = with_headroom(cc, b);
	cap = most(least(cap, b->inflight_lo), MIN_SEGS * (uint64_t)cc->mss);
	cc->cwnd = (uint32_t)least(cc->cwnd, cap);
	if (b->state == PROBE_RTT)
		cc->cwnd = (uint32_t)least(cc->cwnd, inflight(cc, b, bw_of(b), PROBE_RTT_CWND));
}

static void bbr_acked(struct cc *cc, const struct cc_ack *ack, usec_t now_us)
{
	struct bbr *b = bbr_of(cc);

	learn_bw(b, ack);
	count_round(cc, b, ack);
	learn_aggregation(cc, b, ack, now_us);
	if (b->state == STARTUP) {
		check_full(cc, b, ack);
		if (b->full)
			b->state = DRAIN;
	}
	if (b->state == DRAIN && ack->in_flight_now <= gained(bdp_of(b, max_bw(b)), GAIN_ONE) + quantum(cc))
		enter_down(b, now_us);
	if (b->round_start)
		next_round(b, ack);
	if (probing_bw(b))
		probe_bw(cc, b, ack, now_us);
	check_min_rtt(cc, b, ack, now_us);
	set_pacing(cc, b, ack);
	set_cwnd(cc, b, ack);
}

/* Losses are counted in rounds, not answered one by one. */
static void bbr_loss(struct cc *cc, uint32_t in_flight, usec_t now_us)
{
	(void)in_flight;
	(void)now_us;
	bbr_of(cc)->prior_cwnd = cc->cwnd;
}

static void bbr_timeout(struct cc *cc, uint32_t in_flight, usec_t now_us)
{
	bbr_loss(cc, in_flight, now_us);
	cc->cwnd = cc->mss;
}

static void bbr_undo(struct cc *cc, usec_t now_us)
{
	struct bbr *b = bbr_of(cc);

	(void)now_us;
	cc->cwnd = (uint32_t)most(cc->cwnd, b->prior_cwnd);
	b->prior_cwnd = 0;
	forget_bounds(b);
	b->too_high = false;
}

/* The model stands, and pacing keeps the first window from being a burst. */
static void bbr_idle(struct cc *cc, usec_t idle_us, usec_t now_us)
{
	struct bbr *b = bbr_of(cc);

	(void)idle_us;
	if (probing_bw(b) && bw_of(b))
		cc->pacing_rate = bw_of(b);
	b->ack_epoch_us = now_us;
	b->ack_epoch_acked = 0;
}

const struct cc_ops cc_bbr = { "bbr", true, init, bbr_acked, bbr_loss, bbr_timeout, bbr_undo, bbr_idle };
