/* SPDX-License-Identifier: MIT */
/* What the engines report: timeouts, resets, segments that contradict themselves, the peer's FAULT_ANNOUNCE, and what became of ours. */
#include "tunneld/daemon/fault.h"

enum {
	TCP_OPTIONS_LEFT = 100,   /* a full segment carries so much less than the path, at most */
	HEARD_A_SECOND = 20,      /* announcements of a path: the peer that lies shall not fill table and log */
};

/* By path, so that one peer that lies does not silence the others. */
static bool heard_too_often(struct daemon *d, const struct fact *f)
{
	struct path_end *e = f->path == FACT_NO_PATH ? NULL : paths_by_id(d->paths, f->path);
	struct path_watch *w;

	if (!e)
		return fault_too_many(d);
	w = fault_watch_of(d, e);
	if (d->now_us - w->heard_us >= USEC_PER_S) {
		w->heard_us = d->now_us;
		w->heard = 0;
	}
	return ++w->heard > HEARD_A_SECOND;
}

static struct fault of_fact(struct daemon *d, enum fault_source source, const struct fact *f, bool sealed)
{
	const struct path_end *e = sealed && f->path != FACT_NO_PATH ? paths_by_id(d->paths, f->path) : NULL;
	struct fault x = !sealed ? fault_of_plain(d, source, f->path, &f->remote) : e ? fault_of_path(d, source, e) : fault_of_peer(d, source, f->peer);

	/* It may be told of a path that is gone here: paths_learn() would give it that name. */
	if (sealed && !e && x.client && f->remote_addr_id)
		snprintf(x.path_name, sizeof x.path_name, "%.*s.%u", CONFIG_NAME_MAX - 5, x.peer_name, f->remote_addr_id - 1u);
	x.local_addr_id = f->local_addr_id;
	x.remote_addr_id = f->remote_addr_id;
	x.cause = f->cause;
	return x;
}

/* RFC 8899 4.3: segments of full length get no answer where the path answers probes. Is it their length? */
static void timed_out(struct daemon *d, const struct fact *f)
{
	struct path_end *e = f->path == FACT_NO_PATH ? NULL : paths_by_id(d->paths, f->path);

	if (e && e->life == LIFE_UP && f->in_flight + TCP_OPTIONS_LEFT >= e->mtu_payload)
		paths_size_doubt(d->paths, e, d->now_us);
}

void fault_fact(struct daemon *d, const struct fact *f, bool sealed)
{
	struct fault x;

	fault_fact_event(d, f, sealed);
	switch (f->kind) {
	case FACT_TIMEOUT:
		x = of_fact(d, FAULT_TIMEOUT, f, sealed);
		x.cause = CAUSE_PERFORMANCE;
		snprintf(x.evidence, sizeof x.evidence, "%u timeouts in a row, the last after %u ms, %u bytes unanswered, the round trip was %.1f ms",
			 f->backoff, f->rto_ms, f->in_flight, f->srtt_ms);
		x.done = "its data goes by other subflows too";
		if (sealed)
			timed_out(d, f);
		break;
	case FACT_RESET:
		if (fault_too_many(d))
			return;
		x = of_fact(d, FAULT_RESET, f, sealed);
		x.token = f->token;
		x.lasting = f->has_cause && !f->transient;
		snprintf(x.evidence, sizeof x.evidence, "RST %s%s", f->has_cause ? "with reason " : "without a reason",
			 f->has_cause ? fault_cause_text(f->cause) : "");
		x.done = "the subflow ended";
		break;
	case FACT_CORRUPT:
		if (fault_too_many(d))
			return;
		x = of_fact(d, FAULT_CORRUPT, f, sealed);
		x.token = f->token;
		snprintf(x.evidence, sizeof x.evidence, "%s", f->to);
		x.done = "the subflow was reset";
		break;
	case FACT_FAULT_HEARD:
		if (sealed ? heard_too_often(d, f) : fault_too_many(d)) {
			count(&d->counters, CNT_FaultHeardTooOften);
			return;
		}
		x = of_fact(d, FAULT_ANNOUNCED, f, sealed);
		x.lasting = !f->transient;
		x.middlebox = f->middlebox;
		snprintf(x.evidence, sizeof x.evidence, "FAULT_ANNOUNCE for address ids %u (its) and %u (ours)", f->remote_addr_id,
			 f->local_addr_id);
		if (sealed)
			x.done = "the path is probed";
		break;
	case FACT_FAULT_TOLD:
		fault_told(d, f);
		return;
	case FACT_SUBFLOW_UP:
		fault_tell_now(d);
		return;
	default:
		return;
	}
	fault_report(d, &x);
}
