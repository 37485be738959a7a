/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/sched.h"

#include <string.h>

/* Lower is better: a backup goes before a subflow that does not answer, RFC 8684 3.3.8. */
static unsigned rank(const struct sched_candidate *s)
{
	return (s->avoid ? 2u : 0u) + (s->backup ? 1u : 0u) + (s->silent ? 4u : 0u);
}

static usec_t rtt_of(const struct sched_candidate *s)
{
	return s->srtt_us ? s->srtt_us : 1;
}

/* Whoever gets no bytes for being long does not measure again: only bytes can tell that the queue which made it long is gone. */
static usec_t rtt_now(const struct sched_candidate *s)
{
	return s->idle_rtt_us ? usec_min(rtt_of(s), s->idle_rtt_us) : rtt_of(s);
}

static unsigned best_rank(const struct sched_view *v)
{
	unsigned best = ~0u;

	for (unsigned i = 0; i < v->count; i++)
		if (!v->sub[i].excluded && rank(&v->sub[i]) < best)
			best = rank(&v->sub[i]);
	return best;
}

bool sched_eligible(const struct sched_view *v, unsigned i)
{
	return !v->sub[i].excluded && rank(&v->sub[i]) == best_rank(v);
}

/* The shorter one; of two alike the one with the better score. */
static bool before(const struct sched_candidate *a, const struct sched_candidate *b)
{
	return a->srtt_us != b->srtt_us ? a->srtt_us < b->srtt_us : a->score < b->score;
}

/* The one of least round trip that takes bytes now. *fast is the one of least round trip at all. */
static int free_one(const struct sched_view *v, int *fast)
{
	unsigned best = best_rank(v);
	int took = SCHED_NONE;

	*fast = SCHED_NONE;
	for (unsigned i = 0; i < v->count; i++) {
		const struct sched_candidate *s = &v->sub[i];

		if (s->excluded || rank(s) != best)
			continue;
		if (*fast < 0 || before(s, &v->sub[*fast]))
			*fast = (int)i;
		if (s->sendable && (took < 0 || before(s, &v->sub[took])))
			took = (int)i;
	}
	return took;
}

static int minrtt_pick(const struct sched_view *v)
{
	int fast;

	return free_one(v, &fast);
}

/* What all that are quicker than `slow` carry in its round trip, and have in flight. Only those that an ACK or the clock will free. */
static uint64_t quicker(const struct sched_view *v, int slow, uint64_t *in_flight)
{
	unsigned best = best_rank(v);
	uint64_t rate = 0;

	*in_flight = 0;
	for (unsigned i = 0; i < v->count; i++) {
		const struct sched_candidate *s = &v->sub[i];

		if (s->excluded || rank(s) != best || s->srtt_us >= v->sub[slow].srtt_us || !s->in_flight)
			continue;
		rate += s->rate;
		*in_flight += s->in_flight;
	}
	return rate;
}

/*
 * BLEST (Ferlin et al. 2016): would bytes on the slow subflow fill the connection's window, so that the quicker ones stand
 * still for lack of it? During the slow round trip they would send their rate.
 */
static int blest_pick(const struct sched_view *v)
{
	int fast, took = free_one(v, &fast);
	uint64_t rate, flight;

	if (took < 0 || took == fast || v->queued < v->window)
		return took;
	rate = quicker(v, took, &flight);
	/* What they have in flight returns its share of the window within one of their round trips. */
	if (rate * rtt_now(&v->sub[took]) / USEC_PER_S > v->window + flight)
		return SCHED_NONE;
	return took;
}

/*
 * ECF (Lim et al. 2017), over rates instead of windows: would all that waits arrive earlier, were it to wait for the quicker
 * ones? While the application has more than we take, the answer is no: all are needed.
 */
static int ecf_pick(const struct sched_view *v)
{
	int fast, took = free_one(v, &fast);
	uint64_t rate, flight;

	if (took < 0 || took == fast)
		return took;
	rate = quicker(v, took, &flight);
	if (!rate || v->queued == SCHED_ENDLESS)
		return blest_pick(v);
	/* One way each; the quicker ones besides need the time to send what is queued. */
	if (rtt_of(&v->sub[fast]) / 2 + v->queued * USEC_PER_S / rate < rtt_of(&v->sub[took]) / 2)
		return SCHED_NONE;
	return blest_pick(v);
}

const struct sched_ops sched_minrtt = { "minrtt", false, minrtt_pick };
const struct sched_ops sched_blest = { "blest", false, blest_pick };
const struct sched_ops sched_ecf = { "ecf", false, ecf_pick };
const struct sched_ops sched_redundant = { "redundant", true, minrtt_pick };

const char *sched_names(void) { return "ecf, blest, minrtt, redundant"; }

const struct sched_ops *sched_by_name(const char *name)
{
	static const struct sched_ops *const all[] = { &sched_ecf, &sched_blest, &sched_minrtt, &sched_redundant };

	if (!name || !strcmp(name, "default"))
		return all[0];
	for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
		if (!strcmp(all[i]->name, name))
			return all[i];
	return NULL;
}
