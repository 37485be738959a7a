/* SPDX-License-Identifier: MIT */
/*
 * What paths report: ICMP, refused sends, probes without an answer, interfaces and addresses that went, lengths that vanish, datagrams that
 * do not authenticate. A report sets a path aside at most until a probe is answered, and a reporter that was wrong is not believed for a while.
 */
#include "tunneld/daemon/fault.h"

#include <errno.h>
#include <string.h>

#include "tunneld/status/events.h"
#include "tunneld/status/status_json.h"

enum {
	HOLD_DOUBLINGS = 6,       /* a minute at most */
	FORGED_SEGMENTS = 4,      /* from a path's own address, in FORGED_US: more than a stray one */
};
#define HOLD_US        (1 * USEC_PER_S)
#define REFUTED_US     (500 * USEC_PER_MS) /* answered as soon as this, and four round trips: it was never dead */
#define FORGED_US      (10 * USEC_PER_S)
#define TOO_BIG_US     (5 * USEC_PER_S)    /* a router's word about lengths explains what probes find out within that */

/* Puts the path aside until it answers. What was done, in words. */
static const char *set_aside(struct daemon *d, struct path_end *e)
{
	struct path_watch *w = fault_watch_of(d, e);

	if (e->life == LIFE_NONE)
		return "the path has not answered yet";
	if (e->life == LIFE_SUSPECT)
		return "the path is set aside already";
	if (d->now_us < w->hold_us) {
		count(&d->counters, CNT_IcmpHeldDown);
		return "noted only: the path answered in spite of the last such report";
	}
	w->doubted_us = d->now_us;
	if (paths_doubt(d->paths, e, d->now_us))
		return "the path is set aside until it answers a probe";
	return "noted";
}

static void icmp(struct daemon *d, struct path_end *e, const struct udp_error *error)
{
	uint8_t family = error->origin == UDP_ERROR_ICMP ? 4 : 6;
	struct fault_meaning m = fault_of_icmp(family, error->type, error->code);
	enum seal_quote quote = seal_quoted(d->seal, e->peer, e->no, error->quoted, error->quoted_len);
	struct fault x;

	/* RFC 5927 4: what quotes nothing we sent lately is not about us. */
	if (quote == QUOTE_FOREIGN) {
		count(&d->counters, CNT_IcmpForged);
		return;
	}
	if (error->error == EMSGSIZE && !m.fault) {
		fault_watch_of(d, e)->too_big_by = error->reporter;
		fault_watch_of(d, e)->too_big_us = d->now_us;
		paths_size_doubt(d->paths, e, d->now_us);
		return;
	}
	if (!m.fault)
		return;
	x = fault_of_path(d, FAULT_ICMP, e);
	x.cause = m.cause;
	x.lasting = m.lasting;
	if (!addr_same_ip(&error->reporter, &e->remote))
		x.middlebox = error->reporter;
	x.middlebox.port = 0;
	snprintf(x.evidence, sizeof x.evidence, "ICMP%s type %u code %u, %s%s%s", family == 6 ? "v6" : "", error->type, error->code,
		 m.text, quote == QUOTE_OURS ? ", quotes a datagram of ours" : ", quotes too little to check",
		 x.middlebox.family ? "" : ", from the peer's own address");
	x.done = set_aside(d, e);
	fault_report(d, &x);
	if (d->config->client && d->first->next) {
		struct fault_word word = { .gateway = e->peer, .cause = x.cause, .lasting = x.lasting, .middlebox = x.middlebox };

		memcpy(word.path_name, x.path_name, sizeof word.path_name);
		memcpy(word.evidence, x.evidence, sizeof word.evidence);
		place_fault_word(d, &word);
	}
}

void fault_word(struct daemon *d, const struct fault_word *word)
{
	struct path_end *e = paths_next(d->paths, NULL);
	struct fault x;

	while (e && (e->peer != word->gateway || strcmp(e->name, word->path_name) != 0))
		e = paths_next(d->paths, e);
	if (!e || fault_too_many(d))
		return;
	x = fault_of_path(d, FAULT_ICMP, e);
	x.cause = word->cause;
	x.lasting = word->lasting;
	x.middlebox = word->middlebox;
	memcpy(x.evidence, word->evidence, sizeof x.evidence);
	x.done = set_aside(d, e);
	fault_report(d, &x);
}

void fault_udp_error(struct daemon *d, struct path_end *e, const struct udp_error *error)
{
	if (fault_too_many(d))
		return;
	if (error->origin != UDP_ERROR_SEND) {
		icmp(d, e, error);
		return;
	}
	/* This may be in the midst of the engine's output: looked at when that is done. */
	fault_watch_of(d, e)->send_error = error->error;
	d->fault_watch->send_errors = true;
}

static void send_refused(struct daemon *d, struct path_end *e, int error)
{
	struct fault_meaning m = fault_of_errno(error);
	struct fault x = fault_of_path(d, FAULT_SEND, e);

	x.cause = m.cause;
	x.lasting = m.lasting;
	snprintf(x.evidence, sizeof x.evidence, "a datagram was refused: %s (%s)", strerror(error), m.text);
	x.done = set_aside(d, e);
	fault_report(d, &x);
}

void fault_sends_refused(struct daemon *d)
{
	d->fault_watch->send_errors = false;
	for (struct path_end *e = paths_next(d->paths, NULL); e; e = paths_next(d->paths, e)) {
		struct path_watch *w = fault_watch_of(d, e);
		int error = w->send_error;

		w->send_error = 0;
		if (error)
			send_refused(d, e, error);
	}
}

const char *fault_link_lacks(struct daemon *d, const char *interface, const struct addr *local, enum fault_source *source)
{
	const struct ifaddrs_interface *i = *interface ? ifaddrs_by_name(&d->interfaces, interface) : NULL;

	*source = FAULT_LINK;
	if (!i && *interface)
		return "the interface is gone";
	if (i && !i->up)
		return "the interface is down";
	*source = FAULT_ADDRESS;
	if (i && !i->address_count)
		return "the interface has no address any more";
	if (!ifaddrs_by_address(&d->interfaces, local))
		return "its address is gone";
	return NULL;
}

static void gone(struct daemon *d, struct path_end *e)
{
	enum fault_source source;
	struct fault x;
	const char *lacks;

	/*
	 * A client's path at its gateway goes because the client says so or is silent for long: no fault of ours to tell. Nor is
	 * one that is not wanted any more.
	 */
	if (e->initiator && !d->ending && paths_is_configured(d->paths, e)) {
		lacks = fault_link_lacks(d, e->interface, &e->local, &source);
		x = fault_of_path(d, source, e);
		x.cause = lacks ? CAUSE_NET_UNREACHABLE : CAUSE_ROUTING_FAILED;
		x.lasting = true;
		snprintf(x.evidence, sizeof x.evidence, "%s", lacks ? lacks : "there is no route to the gateway any more");
		x.done = "the path is closed; its data goes by others, or waits for one";
		fault_report(d, &x);
	}
	if (events_wanted(d->events))
		events_add(d->events, fault_path_event(d, "path_gone", e));
	faults_path_gone(d->faults, e->id, d->now_us);
	*fault_watch_of(d, e) = (struct path_watch){ .life = LIFE_NONE };
}

static void silent(struct daemon *d, struct path_end *e)
{
	struct fault x = fault_of_path(d, FAULT_PROBE, e);

	x.cause = CAUSE_HOST_UNREACHABLE;
	snprintf(x.evidence, sizeof x.evidence, "no answer to %u probe%s; the last sign of life is %.0f ms old, the round trip was %.1f ms",
		 e->probes_unanswered, e->probes_unanswered == 1 ? "" : "s",
		 e->heard_us ? (double)usec_since(d->now_us, e->heard_us) / 1e3 : 0., (double)e->srtt_us / 1e3);
	x.done = "the path is not used while another answers, and is probed";
	fault_report(d, &x);
}

static void well(struct daemon *d, struct path_end *e, struct path_watch *w)
{
	usec_t after = usec_since(d->now_us, w->doubted_us);

	fault_untell(d, e);
	faults_path_well(d->faults, e->id, d->now_us);
	faults_link_well(d->faults, e->name, e->peer, d->now_us);
	faults_peer_path_well(d->faults, e->peer, (uint8_t)(e->no + 1), d->now_us);
	if (!w->doubted_us)
		return;
	if (after <= usec_max(REFUTED_US, 4 * e->srtt_us)) {
		/* It was never dead: whoever said so is not believed for a while. */
		w->hold_us = d->now_us + (HOLD_US << (w->refuted < HOLD_DOUBLINGS ? w->refuted : HOLD_DOUBLINGS));
		if (w->refuted < HOLD_DOUBLINGS)
			w->refuted++;
	} else {
		w->refuted = 0;
	}
	w->doubted_us = 0;
}

static void narrower(struct daemon *d, struct path_end *e, const struct path_watch *w)
{
	struct fault x = fault_of_path(d, FAULT_MTU, e);

	bool said = w->too_big_us && d->now_us - w->too_big_us <= TOO_BIG_US;

	x.cause = CAUSE_MIDDLEBOX;
	x.lasting = true;
	if (said && !addr_same_ip(&w->too_big_by, &e->remote))
		x.middlebox = w->too_big_by;
	x.middlebox.port = 0;
	snprintf(x.evidence, sizeof x.evidence, "segments of %u bytes vanish, while the path answers shorter probes; %s", w->mtu_payload,
		 said ? "ICMP says that they are too long" : "nobody says why");
	x.done = "segments are shorter on it";
	fault_report(d, &x);
}

void fault_path_changed(struct daemon *d, struct path_end *e, bool is_gone)
{
	struct path_watch *w = fault_watch_of(d, e);
	enum path_life before = w->life;

	if (is_gone) {
		gone(d, e);
		return;
	}
	if (w->local.family && (!addr_same_ip(&w->local, &e->local) || !addr_eq(&w->remote, &e->remote)) && events_wanted(d->events)) {
		json_t *o = fault_path_event(d, "path_address", e);

		json_set(o, "local_before", json_address(&w->local));
		json_set(o, "remote_before", json_address(&w->remote));
		events_add(d->events, o);
	}
	if (w->mtu_payload && e->mtu_payload < w->mtu_payload && e->mtu_payload_most == w->mtu_payload_most && e->life == LIFE_UP)
		narrower(d, e, w);
	w->local = e->local;
	w->remote = e->remote;
	w->mtu_payload = e->mtu_payload;
	w->mtu_payload_most = e->mtu_payload_most;
	w->life = e->life;
	if (before == e->life)
		return;
	if (e->life == LIFE_UP)
		well(d, e, w);
	else if (e->life == LIFE_SUSPECT && !w->doubted_us) /* else somebody's word was reported */
		silent(d, e);
	if (events_wanted(d->events)) {
		json_t *o = fault_path_event(d, e->life == LIFE_UP ? "path_up" : e->life == LIFE_SUSPECT ? "path_suspect" : "path_new", e);

		json_set(o, "probes_unanswered", json_number_of(e->probes_unanswered));
		json_set(o, "heard_ms", e->heard_us ? json_ms(usec_since(d->now_us, e->heard_us)) : json_null());
		events_add(d->events, o);
	}
}

void fault_dropped(struct daemon *d, const struct udp *u, const struct udp_datagram *dg)
{
	struct fault_watch *fw = d->fault_watch;
	struct path_watch *w;
	struct path_end *e;
	struct fault x;

	if (d->counters.v[CNT_SealForged] == fw->forged_before)
		return;
	fw->forged_before = d->counters.v[CNT_SealForged];
	for (e = paths_next(d->paths, NULL); e; e = paths_next(d->paths, e))
		if (e->udp == u && addr_eq(&e->remote, &dg->from))
			break;
	if (!e)
		return;
	w = fault_watch_of(d, e);
	if (d->now_us - w->forged_us >= FORGED_US) {
		w->forged_us = d->now_us;
		w->forged = 0;
	}
	if (++w->forged < FORGED_SEGMENTS)
		return;
	x = fault_of_path(d, FAULT_DECRYPT, e);
	x.cause = CAUSE_MIDDLEBOX;
	snprintf(x.evidence, sizeof x.evidence, "%u datagrams from the peer's address did not authenticate within %u s", w->forged,
		 (unsigned)(FORGED_US / USEC_PER_S));
	x.done = "they are dropped";
	fault_report(d, &x);
}
