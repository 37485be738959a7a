/* SPDX-License-Identifier: MIT */
/*
 * Faults as facts (DESIGN D10): what sockets, paths, interfaces and the engine report becomes a record (fault/), an event for
 * those who listen, a hint to the path's liveness, and an announcement to the peer. Nobody's word alone ends anything: a
 * report sets a path aside at most until a probe is answered, and a reporter that was wrong is not believed for a while.
 */
#include "tunneld/daemon/fault.h"

#include <stdlib.h>
#include <string.h>

#include "tunneld/daemon/plain.h"
#include "tunneld/status/events.h"
#include "tunneld/io/log.h"
#include "tunneld/status/status_json.h"

enum {
	FAULTS_KEPT = 2048,
	REPORTS_A_SECOND = 200,   /* ICMP messages looked at: a flood of them must not cost the loop */
};
#define TELL_AGAIN_US  (30 * USEC_PER_S)   /* while it lasts: the peer forgets after three of these */
#define TELL_RETRY_US  (1 * USEC_PER_S)    /* while no subflow can carry it */
#define TELL_VERIFY_US (250 * USEC_PER_MS) /* somebody's word, or silence, is passed on if the path has not answered meanwhile */
#define TELL_FOR_US    (60 * USEC_PER_S)   /* and so long */

bool fault_open(struct daemon *d, uint32_t paths_max)
{
	struct fault_watch *w = d->fault_watch = calloc(1, sizeof *w);

	if (!w)
		return false;
	w->faults = d->faults = faults_new(FAULTS_KEPT, (uint8_t)d->worker);
	w->paths = calloc(paths_max, sizeof *w->paths);
	w->paths_max = paths_max;
	w->tell_us = USEC_NEVER;
	return w->faults && w->paths;
}

void fault_close(struct daemon *d)
{
	if (!d->fault_watch)
		return;
	faults_free(d->fault_watch->faults);
	free(d->fault_watch->paths);
	free(d->fault_watch);
}

struct path_watch *fault_watch_of(struct daemon *d, const struct path_end *e)
{
	return &d->fault_watch->paths[e->id % d->fault_watch->paths_max];
}

/* --- records --- */

struct fault fault_of_peer(struct daemon *d, enum fault_source source, peer_id peer)
{
	struct fault x = { .source = source, .peer = peer, .path = FAULT_NO_PATH, .done = "noted" };

	if (peer < d->peers_max && d->peers[peer].kind != PEER_NONE) {
		snprintf(x.peer_name, sizeof x.peer_name, "%s", d->peers[peer].name);
		x.client = d->peers[peer].kind == PEER_CLIENT;
	}
	return x;
}

struct fault fault_of_path(struct daemon *d, enum fault_source source, const struct path_end *e)
{
	struct fault x = fault_of_peer(d, source, e->peer);

	x.path = e->id;
	snprintf(x.path_name, sizeof x.path_name, "%s", e->name);
	snprintf(x.interface, sizeof x.interface, "%s", e->interface);
	x.local = e->local;
	x.remote = e->remote;
	x.local_addr_id = x.remote_addr_id = (uint8_t)(e->no + 1);
	return x;
}

static bool understands(struct daemon *d, const struct fault *x)
{
	struct seal_peer_info info;

	if (fault_is_plain(x))
		return d->config->plain_extensions.fault_announce;
	if (x->peer >= d->peers_max)
		return false;
	seal_peer_info(d->seal, x->peer, &info);
	return info.peer_capabilities & CAP_FAULT_ANNOUNCE;
}

static void tell_peer(struct daemon *d, struct fault *x)
{
	struct event ev = {
		.kind = EV_FAULT,
		.fault = { .path = x->path, .id = x->id, .cause = x->cause, .transient = !x->lasting, .middlebox = x->middlebox },
	};
	bool is_plain = fault_is_plain(x);

	if (is_plain) {
		ev.fault.path -= PATHS_MAX;
		ev.fault.remote = x->remote;
	}
	switch (is_plain ? plain_tell(d, &ev) : daemon_event(d, &ev)) {
	case ERR_OK:
		x->told = TOLD_SENT;
		x->tell_us = d->now_us + TELL_AGAIN_US;
		break;
	case ERR_UNEXPECTED:
		x->told = d->now_us - x->first_us < TELL_FOR_US ? TOLD_WAITING : TOLD_NEVER;
		x->tell_us = d->now_us + TELL_RETRY_US;
		break;
	default:
		x->told = TOLD_NEVER; /* its path is gone: no connection can name it any more */
		return;
	}
	d->fault_watch->tell_us = usec_min(d->fault_watch->tell_us, x->tell_us);
}

static bool for_the_peer(const struct fault *x)
{
	/* A host knows what it says itself, as that nobody listens on a port of its. */
	if (fault_is_plain(x) && x->source == FAULT_ICMP && !x->middlebox.family)
		return false;
	return x->path != FAULT_NO_PATH && (x->source == FAULT_LINK || x->source == FAULT_ADDRESS || x->source == FAULT_SEND ||
					    x->source == FAULT_ICMP || x->source == FAULT_PROBE || x->source == FAULT_MTU ||
					    x->source == FAULT_DECRYPT);
}

void fault_report(struct daemon *d, struct fault *what)
{
	char by[ADDR_TEXT_MAX];
	struct addr ip = what->middlebox;
	struct fault *x;
	bool is_new;

	x = faults_report(d->faults, what, d->now_us, &is_new);
	if (!is_new)
		return;
	ip.port = 0;
	log_line(x->token ? LOG_DEBUG : LOG_INFO, "fault: %s%s%s: %s (%s%s%s): %s; %s", x->peer_name, *x->path_name ? " path " : "", x->path_name,
		 fault_cause_text(x->cause), fault_source_name(x->source), ip.family ? " by " : "",
		 ip.family ? addr_print(&ip, by) : "", x->evidence, x->done);
	if (for_the_peer(x) && understands(d, x)) {
		/*
		 * Somebody's word, and silence that may be mere lateness, are not passed on if the path answers at once. Plain form: a
		 * refused send may be in the midst of the engine's output.
		 */
		if (x->source == FAULT_ICMP || x->source == FAULT_PROBE || (x->source == FAULT_SEND && fault_is_plain(x))) {
			x->told = TOLD_WAITING;
			x->tell_us = d->now_us + TELL_VERIFY_US;
			d->fault_watch->tell_us = usec_min(d->fault_watch->tell_us, x->tell_us);
		} else {
			tell_peer(d, x);
		}
	}
	if (events_wanted(d->events)) {
		json_t *o = fault_event(d, "fault");

		json_set(o, "fault", status_fault(d, x));
		events_add(d->events, o);
	}
}

bool fault_too_many(struct daemon *d)
{
	struct fault_watch *w = d->fault_watch;

	if (d->now_us - w->second_us >= USEC_PER_S) {
		w->second_us = d->now_us;
		w->reports = 0;
	}
	return ++w->reports > REPORTS_A_SECOND;
}

/* --- announcements --- */

void fault_told(struct daemon *d, const struct fact *f)
{
	struct fault *known = faults_find(d->faults, f->fault);

	if (known && known->told == TOLD_SENT && f->arrived)
		known->told = TOLD_ARRIVED;
	if (known && known->told == TOLD_SENT && !f->arrived && !f->copies) {
		/* A weightier one took its place, or its connection ended before it went. */
		known->told = TOLD_WAITING;
		known->tell_us = d->now_us + TELL_RETRY_US;
		d->fault_watch->tell_us = usec_min(d->fault_watch->tell_us, known->tell_us);
	}
}

void fault_untell(struct daemon *d, const struct path_end *e)
{
	for (uint64_t id = faults_next(d->faults, 0); id; id = faults_next(d->faults, id)) {
		const struct fault *x = faults_find(d->faults, id);
		struct event ev = { .kind = EV_FAULT, .fault = { .path = e->id, .id = id, .over = true } };

		/* Arrived by one connection, it may be under way by another. */
		if (!x->over_us && x->path == e->id && (x->told == TOLD_SENT || x->told == TOLD_ARRIVED) && x->source != FAULT_MTU)
			(void)!daemon_event(d, &ev); /* of a path that the engine does not know nothing was said */
	}
}

void fault_tell_now(struct daemon *d)
{
	if (d->fault_watch->tell_us == USEC_NEVER)
		return;
	d->fault_watch->subflow_came = true;
	d->fault_watch->tell_us = d->now_us;
}


static void tell_again(struct daemon *d)
{
	struct fault_watch *w = d->fault_watch;
	struct fault *x;

	w->tell_us = USEC_NEVER;
	for (uint64_t id = faults_next(d->faults, 0); id; id = faults_next(d->faults, id)) {
		const struct path_end *e;

		x = faults_find(d->faults, id);
		if (x->over_us || x->told == TOLD_NOT || x->told == TOLD_NEVER)
			continue;
		if (x->path == FAULT_NO_PATH) {
			if (x->told == TOLD_WAITING)
				x->told = TOLD_NEVER;
			continue;
		}
		e = paths_by_id(d->paths, x->path);
		if (x->source == FAULT_ICMP && e && e->life == LIFE_UP)
			continue; /* it answers: nothing to tell, unless it stops */
		if (d->now_us >= x->tell_us || (w->subflow_came && x->told == TOLD_WAITING))
			tell_peer(d, x);
		else
			w->tell_us = usec_min(w->tell_us, x->tell_us);
	}
	w->subflow_came = false;
}

void fault_time(struct daemon *d)
{
	if (d->fault_watch->send_errors)
		fault_sends_refused(d);
	faults_time(d->faults, d->now_us);
	if (d->now_us >= d->fault_watch->tell_us)
		tell_again(d);
}

usec_t fault_deadline(const struct daemon *d)
{
	if (d->fault_watch->send_errors)
		return d->now_us;
	return usec_min(faults_deadline(d->faults), d->fault_watch->tell_us);
}
