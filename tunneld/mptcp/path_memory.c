/* SPDX-License-Identifier: MIT */
/*
 * What a path has shown it carries, for the next subflow on it: RFC 9040, of those that are there (ensemble sharing) or of
 * the last one that was (temporal sharing). It starts with half of that, paced: a wrong memory costs half a window.
 */
#include "tunneld/mptcp/conn_internal.h"

#include "tunneld/mptcp/engine_state.h"

enum { SHARERS_LOOKED_AT = 16, LEAST_DELIVERED = 100 * 1000 };
#define MEMORY_US (UINT64_C(600) * USEC_PER_S)

/* Has it sent enough for its rate to mean the path's? */
static bool knows(const struct subflow *sf) { return sf->bytes_acked >= LEAST_DELIVERED && sf->rtt.min_rtt_us; }

void path_learn(const struct sub *s, usec_t now_us)
{
	struct path *p = engine_path(s->conn->engine, s->path);

	if (!p || !knows(&s->sf))
		return;
	p->learnt_rate = subflow_rate(&s->sf);
	p->learnt_rtt_us = s->sf.rtt.min_rtt_us;
	p->learnt_us = now_us;
}

uint64_t path_rate_hint(struct engine *e, path_id id, usec_t now_us, usec_t *rtt_us)
{
	const struct path *p = engine_path(e, id);
	uint64_t sum = 0;
	unsigned n = 0, looked = 0;

	*rtt_us = 0;
	if (!p)
		return 0;
	for (const struct sub *s = p->subs; s && looked < SHARERS_LOOKED_AT; s = s->path_next, looked++)
		if (knows(&s->sf)) {
			sum += subflow_rate(&s->sf);
			*rtt_us = s->sf.rtt.min_rtt_us;
			n++;
		}
	if (n)
		return sum / (n + 1); /* it takes its place among them */
	if (!p->learnt_us || usec_since(now_us, p->learnt_us) > MEMORY_US)
		return 0;
	*rtt_us = p->learnt_rtt_us;
	return p->learnt_rate;
}
