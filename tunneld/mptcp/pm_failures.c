/* SPDX-License-Identifier: MIT */
/*
 * RFC 8684 3.9.3: where MPTCP has failed lately, so that nobody waits for it again: destinations first, and a path of ours as a
 * whole once enough of them failed there. What is meant is a SYN with MP_CAPABLE that stays unanswered where one without is.
 */
#include "tunneld/mptcp/engine_state.h"

enum { PATH_FAILURES = 4 /* destinations, then the path is at fault */ };
#define FAILURE_LASTS_US (3600 * (usec_t)USEC_PER_S) /* as Linux: blackhole_timeout */

static bool lives(const struct mptcp_failure *f, usec_t now_us) { return f->until_us > now_us; }

bool pm_mptcp_fails(const struct engine *e, path_id path, const struct addr *remote, usec_t now_us)
{
	unsigned on_path = 0;

	for (unsigned i = 0; i < MPTCP_FAILURES; i++) {
		const struct mptcp_failure *f = &e->failures[i];

		if (!lives(f, now_us) || f->path != path)
			continue;
		if (addr_same_ip(&f->ip, remote))
			return true;
		on_path++;
	}
	return on_path >= PATH_FAILURES;
}

void pm_mptcp_failed(struct engine *e, path_id path, const struct addr *remote, usec_t now_us)
{
	struct mptcp_failure *at = &e->failures[0];

	count(e->counters, CNT_Blackhole);
	for (unsigned i = 0; i < MPTCP_FAILURES; i++) {
		struct mptcp_failure *f = &e->failures[i];

		if (f->path == path && addr_same_ip(&f->ip, remote)) {
			at = f;
			break;
		}
		if (f->until_us < at->until_us)
			at = f;
	}
	*at = (struct mptcp_failure){ .path = path, .ip = *remote, .until_us = usec_add(now_us, FAILURE_LASTS_US) };
}

void pm_mptcp_works(struct engine *e, path_id path, const struct addr *remote)
{
	for (unsigned i = 0; i < MPTCP_FAILURES; i++)
		if (e->failures[i].path == path && addr_same_ip(&e->failures[i].ip, remote))
			e->failures[i].until_us = 0;
}

void pm_mptcp_forget(struct engine *e, path_id path)
{
	for (unsigned i = 0; i < MPTCP_FAILURES; i++)
		if (e->failures[i].path == path)
			e->failures[i].until_us = 0;
}
