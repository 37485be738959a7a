/* SPDX-License-Identifier: MIT */
/*
 * Coupled congestion control: the subflows of one connection together take no more of a shared bottleneck than one TCP would.
 * LIA is RFC 6356, OLIA draft-khalili-mptcp-congestion-control-05; both are Reno but for the growth in congestion avoidance,
 * so Reno does the rest. Without a group (no MPTCP above) each is Reno.
 */
#include "tunneld/tcp/cc.h"

#include <assert.h>

struct coupled {
	double credit;               /* part of a byte not yet added to cwnd */
	uint64_t since_loss, before; /* OLIA's l2 and l1: bytes acknowledged since the last loss, and between the last two */
};

static_assert((CC_RENO_WORDS * sizeof(uint64_t)) + sizeof(struct coupled) <= sizeof ((struct cc *)0)->priv, "it fits behind Reno's");

static struct coupled *coupled_of(struct cc *cc) { return (struct coupled *)(void *)(cc->priv + CC_RENO_WORDS); }

static bool counts(const struct cc *cc) { return cc->srtt_us && cc->cwnd; }

static void init(struct cc *cc, usec_t now_us)
{
	cc_reno.init(cc, now_us);
}

static void grow(struct cc *cc, double by)
{
	struct coupled *p = coupled_of(cc);

	p->credit += by;
	if (p->credit < 1 && p->credit > -1)
		return;
	/* OLIA may shrink a window: never below what Reno keeps. */
	if (p->credit < 0 && cc->cwnd < 2 * cc->mss - p->credit)
		p->credit = 0;
	cc->cwnd = (uint32_t)((int64_t)cc->cwnd + (int64_t)p->credit);
	p->credit -= (double)(int64_t)p->credit;
}

/* Sum of cwnd / rtt over the group, in bytes a microsecond. */
static double sum_of_rates(const struct cc_group *g)
{
	double sum = 0;

	for (unsigned i = 0; i < g->count; i++)
		if (counts(g->member[i]))
			sum += (double)g->member[i]->cwnd / (double)g->member[i]->srtt_us;
	return sum;
}

/* --- LIA --- */

static void lia_acked(struct cc *cc, const struct cc_ack *ack, usec_t now_us)
{
	const struct cc_group *g = cc->group;
	double most = 0, sum, alpha_share, own;

	cc->srtt_us = ack->srtt_us;
	if (ack->no_growth || ack->app_limited)
		return;
	if (cc->cwnd < cc->ssthresh || !g || !counts(cc)) {
		cc_reno.acked(cc, ack, now_us);
		return;
	}
	for (unsigned i = 0; i < g->count; i++) {
		const struct cc *m = g->member[i];
		double rtt = (double)m->srtt_us, a;

		if (!counts(m))
			continue;
		a = m->cwnd / rtt / rtt;
		if (a > most)
			most = a;
	}
	sum = sum_of_rates(g);
	/* RFC 6356 3: min(alpha * acked * MSS / cwnd_total, acked * MSS / cwnd); alpha holds a factor cwnd_total, (2), which cancels. */
	alpha_share = most / (sum * sum);
	own = 1.0 / cc->cwnd;
	grow(cc, (alpha_share < own ? alpha_share : own) * ack->acked * cc->mss);
}

/* --- OLIA --- */

static uint64_t between_losses(struct cc *cc)
{
	const struct coupled *p = coupled_of(cc);

	return p->since_loss > p->before ? p->since_loss : p->before;
}

/* The draft's measure of a path: l^2 / rtt. */
static double quality(struct cc *cc)
{
	double l = (double)between_losses(cc);

	return l * l / (double)cc->srtt_us;
}

/* Section 3: traffic moves from the paths with the largest windows to the best ones whose windows are still small. */
static double alpha(const struct cc_group *g, const struct cc *cc)
{
	double best = 0;
	uint32_t widest = 0;
	unsigned n = 0, collected = 0, wide = 0;
	bool is_collected = false, is_wide = false;

	for (unsigned i = 0; i < g->count; i++) {
		struct cc *m = g->member[i];

		if (!counts(m))
			continue;
		n++;
		if (quality(m) > best)
			best = quality(m);
		if (m->cwnd > widest)
			widest = m->cwnd;
	}
	for (unsigned i = 0; i < g->count; i++) {
		struct cc *m = g->member[i];

		if (!counts(m))
			continue;
		if (m->cwnd == widest) {
			wide++;
			is_wide |= m == cc;
		} else if (quality(m) >= best) {
			collected++;
			is_collected |= m == cc;
		}
	}
	if (!collected)
		return 0;
	return is_collected ? 1.0 / (n * collected) : is_wide ? -1.0 / (n * wide) : 0;
}

static void olia_acked(struct cc *cc, const struct cc_ack *ack, usec_t now_us)
{
	const struct cc_group *g = cc->group;
	double rtt = (double)ack->srtt_us, sum;

	cc->srtt_us = ack->srtt_us;
	coupled_of(cc)->since_loss += ack->acked;
	if (ack->no_growth || ack->app_limited)
		return;
	if (cc->cwnd < cc->ssthresh || !g || !counts(cc)) {
		cc_reno.acked(cc, ack, now_us);
		return;
	}
	sum = sum_of_rates(g);
	grow(cc, (cc->cwnd / rtt / rtt / (sum * sum) + alpha(g, cc) / cc->cwnd) * cc->mss * ack->acked);
}

static void lost(struct cc *cc)
{
	coupled_of(cc)->before = coupled_of(cc)->since_loss;
	coupled_of(cc)->since_loss = 0;
}

static void olia_loss(struct cc *cc, uint32_t in_flight, usec_t now_us)
{
	lost(cc);
	cc_reno.loss(cc, in_flight, now_us);
}

static void olia_timeout(struct cc *cc, uint32_t in_flight, usec_t now_us)
{
	lost(cc);
	cc_reno.timeout(cc, in_flight, now_us);
}

static void lia_loss(struct cc *cc, uint32_t in_flight, usec_t now_us) { cc_reno.loss(cc, in_flight, now_us); }
static void lia_timeout(struct cc *cc, uint32_t in_flight, usec_t now_us) { cc_reno.timeout(cc, in_flight, now_us); }
static void undo(struct cc *cc, usec_t now_us) { cc_reno.undo(cc, now_us); }
static void idle(struct cc *cc, usec_t idle_us, usec_t now_us) { cc_reno.idle(cc, idle_us, now_us); }

const struct cc_ops cc_lia = { "lia", false, init, lia_acked, lia_loss, lia_timeout, undo, idle };
const struct cc_ops cc_olia = { "olia", false, init, olia_acked, olia_loss, olia_timeout, undo, idle };
