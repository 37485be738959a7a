/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/sched.h"

#include <string.h>

/* Lower is better: a backup goes before a subflow that does not answer, RFC 8684 3.3.8. */
static unsigned rank(const struct sched_candidate *s)
{
	return (s->avoid ? 2u : 0u) + (s->backup ? 1u : 0u);
}

static usec_t rtt_of(const struct sched_candidate *s)
{
	return s->srtt_us ? s->srtt_us : 1;
}

/*
 * Would the slow subflow deliver later than the fast one, were the bytes to wait for it? ECF (Lim et al. 2017): the
 * fast one needs 1 + queued/cwnd round trips for all that waits. With a long queue the answer is no: both are used.
 */
static bool worth_waiting(const struct sched_view *v, const struct sched_candidate *fast, const struct sched_candidate *slow)
{
	uint64_t fast_done = rtt_of(fast) + rtt_of(fast) * v->queued / (fast->cwnd ? fast->cwnd : 1);
	uint64_t slow_done = rtt_of(slow) * (1 + v->queued / (slow->cwnd ? slow->cwnd : 1));

	return fast_done < rtt_of(slow) && slow_done >= 2 * rtt_of(fast);
}

/*
 * Would bytes on the slow subflow fill the connection's window, so that the fast one stands still for lack of it? BLEST
 * (Ferlin et al. 2016): during one slow round trip the fast one sends its cwnd this many times.
 */
static bool would_block(const struct sched_view *v, const struct sched_candidate *fast, const struct sched_candidate *slow)
{
	uint64_t fast_bytes = fast->cwnd * (rtt_of(slow) / rtt_of(fast));
	uint64_t left = v->window;

	if (rtt_of(slow) < 2 * rtt_of(fast) || v->queued < left)
		return false;
	/* What the fast one has in flight returns its share of the window within one of its round trips. */
	return fast_bytes > left + fast->in_flight;
}

static int minrtt_pick(const struct sched_view *v)
{
	unsigned best_rank = ~0u;
	int fast = SCHED_NONE, free = SCHED_NONE;

	for (unsigned i = 0; i < v->count; i++)
		if (!v->sub[i].excluded && rank(&v->sub[i]) < best_rank)
			best_rank = rank(&v->sub[i]);
	for (unsigned i = 0; i < v->count; i++) {
		const struct sched_candidate *s = &v->sub[i];

		if (s->excluded || rank(s) != best_rank)
			continue;
		if (fast < 0 || s->srtt_us < v->sub[fast].srtt_us)
			fast = (int)i;
		if (s->sendable && (free < 0 || s->srtt_us < v->sub[free].srtt_us))
			free = (int)i;
	}
	if (free < 0 || free == fast)
		return free;
	/* Waiting makes sense only for a subflow that an ACK will free. */
	if (v->sub[fast].in_flight == 0)
		return free;
	if (worth_waiting(v, &v->sub[fast], &v->sub[free]) || would_block(v, &v->sub[fast], &v->sub[free]))
		return SCHED_NONE;
	return free;
}

const struct sched_ops sched_minrtt = { "minrtt", minrtt_pick };

const struct sched_ops *sched_by_name(const char *name)
{
	static const struct sched_ops *const all[] = { &sched_minrtt };

	if (!name || !strcmp(name, "default"))
		return &sched_minrtt;
	for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
		if (!strcmp(all[i]->name, name))
			return all[i];
	return NULL;
}
