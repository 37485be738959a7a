/* SPDX-License-Identifier: MIT */
/*
 * CUBIC (RFC 9438) with HyStart++ (RFC 9406), and Reno (RFC 5681) which it falls back on where Reno would be faster.
 * Windows are in bytes outside; the cubic function counts in segments, as the RFC does.
 */
#include "tunneld/tcp/cc.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define CUBIC_C    0.4   /* RFC 9438 5 */
#define CUBIC_BETA 0.7   /* RFC 9438 4.6 */

enum {
	MIN_SEGS = 2,
	HYSTART_SAMPLES = 8,          /* RFC 9406 4.3 */
	HYSTART_GROWTH_DIVISOR = 4,
	HYSTART_CSS_ROUNDS = 5,
	HYSTART_MIN_US = 4000, HYSTART_MAX_US = 16000,
};

struct hystart {
	uint32_t round_left;          /* bytes to be delivered until this round trip ends */
	uint32_t samples;             /* in this round */
	uint32_t css_rounds;          /* 0: in slow start proper */
	uint32_t last_min_us, min_us, css_base_us;
};

struct cubic {
	double w_max, k, w_est;       /* segments, seconds */
	usec_t epoch_us;              /* 0: no epoch, set at the next ACK */
	double credit;                /* part of a byte not yet added to cwnd */
	uint32_t prior_cwnd, prior_ssthresh; /* for undo */
	double prior_w_max;
	usec_t last_ack_us;           /* time without data is no time of the epoch, RFC 9438 5.8 */
	struct hystart hs;
};

static_assert(sizeof(struct cubic) <= CC_RENO_WORDS * sizeof(uint64_t), "cubic's state fits");

static struct cubic *cubic_of(struct cc *cc) { return (struct cubic *)(void *)cc->priv; }

static uint32_t at_least(uint32_t v, uint32_t least) { return v < least ? least : v; }

static void init(struct cc *cc, usec_t now_us)
{
	(void)now_us;
	memset(cc->priv, 0, sizeof cc->priv);
	cc->cwnd = cc_initial_window(cc->mss);
	cc->ssthresh = UINT32_MAX;
	cubic_of(cc)->hs.last_min_us = cubic_of(cc)->hs.min_us = UINT32_MAX;
}

/* RFC 9406 4.3: a round trip that grew slower than the one before tells that a queue has begun to build. */
static void hystart(struct cc *cc, const struct cc_ack *ack)
{
	struct hystart *hs = &cubic_of(cc)->hs;

	if (ack->rtt_us && ack->rtt_us < UINT32_MAX) {
		if (ack->rtt_us < hs->min_us)
			hs->min_us = (uint32_t)ack->rtt_us;
		hs->samples++;
	}
	if (hs->css_rounds == 0 && hs->samples >= HYSTART_SAMPLES && hs->last_min_us != UINT32_MAX) {
		uint32_t thresh = hs->last_min_us / 8;

		thresh = at_least(thresh, HYSTART_MIN_US);
		if (thresh > HYSTART_MAX_US)
			thresh = HYSTART_MAX_US;
		if (hs->min_us >= hs->last_min_us + thresh) {
			hs->css_base_us = hs->min_us;
			hs->css_rounds = 1;
		}
	} else if (hs->css_rounds && hs->samples >= HYSTART_SAMPLES && hs->min_us < hs->css_base_us) {
		hs->css_rounds = 0; /* it was jitter: back to slow start */
	}
	if (ack->acked < hs->round_left) {
		hs->round_left -= ack->acked;
		return;
	}
	hs->round_left = ack->in_flight;
	hs->last_min_us = hs->min_us;
	hs->min_us = UINT32_MAX;
	hs->samples = 0;
	if (hs->css_rounds && hs->css_rounds++ > HYSTART_CSS_ROUNDS)
		cc->ssthresh = cc->cwnd;
}

static void slow_start(struct cc *cc, const struct cc_ack *ack)
{
	uint32_t by = ack->acked;

	if (cubic_of(cc)->hs.css_rounds)
		by /= HYSTART_GROWTH_DIVISOR;
	cc->cwnd += by;
	if (cc->ssthresh == UINT32_MAX)
		hystart(cc, ack);
}

static void grow_to(struct cc *cc, double target_segs, const struct cc_ack *ack)
{
	struct cubic *q = cubic_of(cc);
	double cwnd = (double)cc->cwnd / cc->mss;

	if (target_segs <= cwnd)
		return;
	q->credit += (target_segs - cwnd) / cwnd * ack->acked;
	/* never faster than slow start's half, RFC 9438 4.4 */
	if (q->credit > ack->acked / 2.0)
		q->credit = ack->acked / 2.0;
	cc->cwnd += (uint32_t)q->credit;
	q->credit -= (uint32_t)q->credit;
}

static void cubic_acked(struct cc *cc, const struct cc_ack *ack, usec_t now_us)
{
	struct cubic *q = cubic_of(cc);
	double cwnd = (double)cc->cwnd / cc->mss, t, target;

	if (ack->no_growth)
		return;
	/* The window grows only while it is the limit: RFC 9438 5.8, RFC 7661. */
	if (ack->app_limited) {
		if (q->epoch_us)
			q->epoch_us += usec_since(now_us, q->last_ack_us);
		q->last_ack_us = now_us;
		return;
	}
	q->last_ack_us = now_us;
	if (cc->cwnd < cc->ssthresh) {
		slow_start(cc, ack);
		return;
	}
	if (!q->epoch_us) {
		q->epoch_us = now_us;
		q->credit = 0;
		q->w_est = cwnd;
		if (q->w_max < cwnd)
			q->w_max = cwnd;
		q->k = cbrt((q->w_max - cwnd) / CUBIC_C); /* RFC 9438 4.2 */
	}
	/* Where Reno is faster, RFC 9438 4.3 */
	q->w_est += (q->w_est >= q->w_max ? 1.0 : 3 * (1 - CUBIC_BETA) / (1 + CUBIC_BETA)) * ack->acked / cc->cwnd;
	t = (double)usec_since(now_us + ack->min_rtt_us, q->epoch_us) / (double)USEC_PER_S;
	target = CUBIC_C * (t - q->k) * (t - q->k) * (t - q->k) + q->w_max;
	if (target > 1.5 * cwnd)
		target = 1.5 * cwnd;
	if (q->w_est > target) {
		if (q->w_est > cwnd)
			cc->cwnd = (uint32_t)(q->w_est * cc->mss);
		return;
	}
	grow_to(cc, target, ack);
}

static void remember(struct cc *cc)
{
	struct cubic *q = cubic_of(cc);

	q->prior_cwnd = cc->cwnd;
	q->prior_ssthresh = cc->ssthresh;
	q->prior_w_max = q->w_max;
}

static void cubic_loss(struct cc *cc, uint32_t in_flight, usec_t now_us)
{
	struct cubic *q = cubic_of(cc);
	double cwnd = (double)cc->cwnd / cc->mss;

	(void)in_flight;
	(void)now_us;
	remember(cc);
	/* Fast convergence, RFC 9438 4.7: a flow that lost before it got back to its old window leaves room for new ones. */
	q->w_max = cwnd < q->w_max ? cwnd * (1 + CUBIC_BETA) / 2 : cwnd;
	q->epoch_us = 0;
	cc->ssthresh = at_least((uint32_t)(cc->cwnd * CUBIC_BETA), MIN_SEGS * cc->mss);
	cc->cwnd = cc->ssthresh;
}

static void cubic_timeout(struct cc *cc, uint32_t in_flight, usec_t now_us)
{
	cubic_loss(cc, in_flight, now_us);
	cc->cwnd = cc->mss;
}

static void undo(struct cc *cc, usec_t now_us)
{
	struct cubic *q = cubic_of(cc);

	(void)now_us;
	if (!q->prior_cwnd)
		return;
	cc->cwnd = at_least(cc->cwnd, q->prior_cwnd);
	cc->ssthresh = q->prior_ssthresh;
	q->w_max = q->prior_w_max;
	q->epoch_us = 0;
	q->prior_cwnd = 0;
}

/* RFC 5681 4.1: after an idle time the path may have changed; slow start leads back to where we were. */
static void idle(struct cc *cc, usec_t idle_us, usec_t now_us)
{
	(void)idle_us;
	(void)now_us;
	if (cc->cwnd <= cc_initial_window(cc->mss))
		return;
	if (cc->ssthresh < cc->cwnd / 4 * 3 || cc->ssthresh == UINT32_MAX)
		cc->ssthresh = cc->cwnd / 4 * 3;
	cc->cwnd = cc_initial_window(cc->mss);
	cubic_of(cc)->epoch_us = 0;
}

static void reno_acked(struct cc *cc, const struct cc_ack *ack, usec_t now_us)
{
	struct cubic *q = cubic_of(cc);

	(void)now_us;
	if (ack->no_growth || ack->app_limited)
		return;
	if (cc->cwnd < cc->ssthresh) {
		slow_start(cc, ack);
		return;
	}
	q->credit += (double)cc->mss * ack->acked / cc->cwnd; /* RFC 5681 3.1 (3) */
	cc->cwnd += (uint32_t)q->credit;
	q->credit -= (uint32_t)q->credit;
}

static void reno_loss(struct cc *cc, uint32_t in_flight, usec_t now_us)
{
	(void)now_us;
	remember(cc);
	cc->ssthresh = at_least(in_flight / 2, MIN_SEGS * cc->mss); /* RFC 5681 (4) */
	cc->cwnd = cc->ssthresh;
}

static void reno_timeout(struct cc *cc, uint32_t in_flight, usec_t now_us)
{
	reno_loss(cc, in_flight, now_us);
	cc->cwnd = cc->mss;
}

const struct cc_ops cc_cubic = { "cubic", false, init, cubic_acked, cubic_loss, cubic_timeout, undo, idle };
const struct cc_ops cc_reno = { "reno", false, init, reno_acked, reno_loss, reno_timeout, undo, idle };
