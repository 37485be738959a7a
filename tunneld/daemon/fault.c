/* SPDX-License-Identifier: MIT */
/*
 * Faults as facts (DESIGN D10): what sockets, paths, interfaces and the engine report becomes a record (fault/), an event for
 * those who listen, a hint to the path's liveness, and an announcement to the peer. Nobody's word alone ends anything: a
 * report sets a path aside at most until a probe is answered, and a reporter that was wrong is not believed for a while.
 */
#include "tunneld/daemon/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tunneld/daemon/plain.h"
#include "tunneld/status/events.h"
#include "tunneld/io/clock.h"
#include "tunneld/io/log.h"
#include "tunneld/status/status_json.h"

enum {
	FAULTS_KEPT = 2048,
	HOLD_DOUBLINGS = 6,       /* a minute at most */
	FORGED_SEGMENTS = 4,      /* from a path's own address, in FORGED_US: more than a stray one */
	TCP_OPTIONS_LEFT = 100,   /* a full segment carries so much less than the path, at most */
	HEARD_A_SECOND = 20,      /* announcements of a path: the peer that lies shall not fill table and log */
	REPORTS_A_SECOND = 200,   /* ICMP messages looked at: a flood of them must not cost the loop */
};
#define HOLD_US        (1 * USEC_PER_S)
#define REFUTED_US     (500 * USEC_PER_MS) /* answered as soon as this, and four round trips: it was never dead */
#define FORGED_US      (10 * USEC_PER_S)
#define TELL_AGAIN_US  (30 * USEC_PER_S)   /* while it lasts: the peer forgets after three of these */
#define TELL_RETRY_US  (1 * USEC_PER_S)    /* while no subflow can carry it */
#define TELL_VERIFY_US (250 * USEC_PER_MS) /* somebody's word is passed on if the path has not answered meanwhile */
#define TELL_FOR_US    (60 * USEC_PER_S)   /* and so long */
#define TOO_BIG_US     (5 * USEC_PER_S)    /* a router's word about lengths explains what probes find out within that */

/* What is remembered of a path beside paths.h. */
struct path_watch {
	enum path_life life;
	uint16_t mtu_payload, mtu_payload_most;
	struct addr local, remote;
	usec_t doubted_us;        /* on somebody's word; 0: not */
	usec_t hold_us;           /* words are noted only, until then */
	uint8_t refuted;          /* in a row */
	int send_error;           /* errno of a refused send that is yet to be looked at */
	uint32_t forged;
	usec_t forged_us;
	uint32_t heard;           /* announcements of it since heard_us */
	usec_t heard_us;
	struct addr too_big_by;   /* who said so, at too_big_us */
	usec_t too_big_us;        /* 0: nobody */
};

struct fault_watch {
	struct faults *faults;
	struct path_watch *paths;
	uint32_t paths_max;
	usec_t second_us;         /* of `reports` */
	uint32_t reports;
	bool subflow_came;        /* since the last look */
	usec_t tell_us;           /* when to look at what is to be told again */
	bool send_errors;         /* some path has a send_error */
	uint64_t forged_before;   /* CNT_SealForged */
};

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

static struct path_watch *watch_of(struct daemon *d, const struct path_end *e)
{
	return &d->fault_watch->paths[e->id % d->fault_watch->paths_max];
}

/* --- events --- */

static json_t *event(struct daemon *d, const char *name)
{
	json_t *o = json_object();

	json_set(o, "event", json_string(name));
	json_set(o, "time", json_time(d, d->now_us));
	return o;
}

static json_t *path_event(struct daemon *d, const char *name, const struct path_end *e)
{
	json_t *o = event(d, name);

	json_set(o, "path", json_string(e->name));
	json_set(o, "peer", json_name_of_peer(d, e->peer));
	json_set(o, "local", json_address(&e->local));
	json_set(o, "remote", json_address(&e->remote));
	json_set(o, "srtt_ms", e->srtt_us ? json_ms(e->srtt_us) : json_null());
	return o;
}

void fault_session(struct daemon *d, peer_id peer, bool restarted)
{
	struct seal_peer_info info;
	json_t *o;

	if (!events_wanted(d->events))
		return;
	o = event(d, restarted ? "peer_restarted" : "handshake");
	seal_peer_info(d->seal, peer, &info);
	json_set(o, "peer", json_name_of_peer(d, peer));
	json_set(o, "role", json_string(d->peers[peer].kind == PEER_GATEWAY ? "gateway" : "client"));
	json_set(o, "cipher", json_text_or_null(info.cipher));
	events_add(d->events, o);
}

static void engine_event(struct daemon *d, const struct fact *f, bool sealed)
{
	json_t *o;

	if (!events_wanted(d->events))
		return;
	o = event(d, fact_kind_name(f->kind));
	json_set(o, "token", json_token(f->token));
	json_set(o, "peer", sealed ? json_name_of_peer(d, f->peer) : json_ip(&f->remote));
	if (f->kind != FACT_CONN_UP && f->kind != FACT_CONN_DOWN) {
		json_set(o, "path", sealed ? json_name_of_path(d, f->path) : json_text_or_null(plain_path_name(d, f->path)));
		json_set(o, "subflow", json_number_of(f->subflow));
		json_set(o, "local_addr_id", json_number_of(f->local_addr_id));
		json_set(o, "remote_addr_id", json_number_of(f->remote_addr_id));
	}
	if (f->from)
		json_set(o, "from", json_string(f->from));
	if (f->to)
		json_set(o, f->kind == FACT_SUBFLOW_MODE || f->kind == FACT_SUBFLOW_UP ? "mode" : "reason", json_string(f->to));
	if (f->has_cause) {
		json_set(o, "cause", json_number_of(f->cause));
		json_set(o, "cause_text", json_string(fault_cause_text(f->cause)));
		json_set(o, "transient", json_boolean(f->transient));
	}
	if (f->kind == FACT_SUBFLOW_UP || f->kind == FACT_SUBFLOW_DOWN || f->kind == FACT_SUBFLOW_MODE || f->kind == FACT_TIMEOUT) {
		json_set(o, "rto_ms", json_number_of(f->rto_ms));
		json_set(o, "srtt_ms", json_real(f->srtt_ms));
		json_set(o, "in_flight", json_number_of(f->in_flight));
		json_set(o, "backoff", json_number_of(f->backoff));
		json_set(o, "limit_ms", json_number_of(f->limit_ms));
	}
	if (f->middlebox.family)
		json_set(o, "middlebox", json_ip(&f->middlebox));
	if (f->kind == FACT_FAULT_TOLD) {
		json_set(o, "fault", json_number_of(f->fault));
		json_set(o, "arrived", json_boolean(f->arrived));
		json_set(o, "copies", json_number_of(f->copies));
	}
	events_add(d->events, o);
}

/* --- records --- */

static struct fault of_peer(struct daemon *d, enum fault_source source, peer_id peer)
{
	struct fault x = { .source = source, .peer = peer, .path = FAULT_NO_PATH, .done = "noted" };

	if (peer < d->peers_max && d->peers[peer].kind != PEER_NONE) {
		snprintf(x.peer_name, sizeof x.peer_name, "%s", d->peers[peer].name);
		x.client = d->peers[peer].kind == PEER_CLIENT;
	}
	return x;
}

static struct fault of_path(struct daemon *d, enum fault_source source, const struct path_end *e)
{
	struct fault x = of_peer(d, source, e->peer);

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
		/* Plain form: a refused send may be in the midst of the engine's output. */
		if (x->source == FAULT_ICMP || (x->source == FAULT_SEND && fault_is_plain(x))) {
			x->told = TOLD_WAITING;
			x->tell_us = d->now_us + TELL_VERIFY_US;
			d->fault_watch->tell_us = usec_min(d->fault_watch->tell_us, x->tell_us);
		} else {
			tell_peer(d, x);
		}
	}
	if (events_wanted(d->events)) {
		json_t *o = event(d, "fault");

		json_set(o, "fault", status_fault(d, x));
		events_add(d->events, o);
	}
}

/* --- ICMP and refused sends --- */

bool fault_too_many(struct daemon *d)
{
	struct fault_watch *w = d->fault_watch;

	if (d->now_us - w->second_us >= USEC_PER_S) {
		w->second_us = d->now_us;
		w->reports = 0;
	}
	return ++w->reports > REPORTS_A_SECOND;
}

/* By path, so that one peer that lies does not silence the others. */
static bool heard_too_often(struct daemon *d, const struct fact *f)
{
	struct path_end *e = f->path == FACT_NO_PATH ? NULL : paths_by_id(d->paths, f->path);
	struct path_watch *w;

	if (!e)
		return fault_too_many(d);
	w = watch_of(d, e);
	if (d->now_us - w->heard_us >= USEC_PER_S) {
		w->heard_us = d->now_us;
		w->heard = 0;
	}
	return ++w->heard > HEARD_A_SECOND;
}

/* Puts the path aside until it answers. What was done, in words. */
static const char *set_aside(struct daemon *d, struct path_end *e)
{
	struct path_watch *w = watch_of(d, e);

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
		watch_of(d, e)->too_big_by = error->reporter;
		watch_of(d, e)->too_big_us = d->now_us;
		paths_size_doubt(d->paths, e, d->now_us);
		return;
	}
	if (!m.fault)
		return;
	x = of_path(d, FAULT_ICMP, e);
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
	watch_of(d, e)->send_error = error->error;
	d->fault_watch->send_errors = true;
}

static void send_refused(struct daemon *d, struct path_end *e, int error)
{
	struct fault_meaning m = fault_of_errno(error);
	struct fault x = of_path(d, FAULT_SEND, e);

	x.cause = m.cause;
	x.lasting = m.lasting;
	snprintf(x.evidence, sizeof x.evidence, "a datagram was refused: %s (%s)", strerror(error), m.text);
	x.done = set_aside(d, e);
	fault_report(d, &x);
}

static void sends_refused(struct daemon *d)
{
	d->fault_watch->send_errors = false;
	for (struct path_end *e = paths_next(d->paths, NULL); e; e = paths_next(d->paths, e)) {
		struct path_watch *w = watch_of(d, e);
		int error = w->send_error;

		w->send_error = 0;
		if (error)
			send_refused(d, e, error);
	}
}

/* --- paths --- */

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
		x = of_path(d, source, e);
		x.cause = lacks ? CAUSE_NET_UNREACHABLE : CAUSE_ROUTING_FAILED;
		x.lasting = true;
		snprintf(x.evidence, sizeof x.evidence, "%s", lacks ? lacks : "there is no route to the gateway any more");
		x.done = "the path is closed; its data goes by others, or waits for one";
		fault_report(d, &x);
	}
	if (events_wanted(d->events))
		events_add(d->events, path_event(d, "path_gone", e));
	faults_path_gone(d->faults, e->id, d->now_us);
	*watch_of(d, e) = (struct path_watch){ .life = LIFE_NONE };
}

static void silent(struct daemon *d, struct path_end *e)
{
	struct fault x = of_path(d, FAULT_PROBE, e);

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

	faults_path_well(d->faults, e->id, d->now_us);
	faults_link_well(d->faults, e->name, e->peer, d->now_us);
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
	struct fault x = of_path(d, FAULT_MTU, e);

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
	struct path_watch *w = watch_of(d, e);
	enum path_life before = w->life;

	if (is_gone) {
		gone(d, e);
		return;
	}
	if (w->local.family && (!addr_same_ip(&w->local, &e->local) || !addr_eq(&w->remote, &e->remote)) && events_wanted(d->events)) {
		json_t *o = path_event(d, "path_address", e);

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
	else if (e->life == LIFE_SUSPECT && !e->doubted_us)
		silent(d, e);
	if (events_wanted(d->events)) {
		json_t *o = path_event(d, e->life == LIFE_UP ? "path_up" : e->life == LIFE_SUSPECT ? "path_suspect" : "path_new", e);

		json_set(o, "probes_unanswered", json_number_of(e->probes_unanswered));
		json_set(o, "heard_ms", e->heard_us ? json_ms(usec_since(d->now_us, e->heard_us)) : json_null());
		events_add(d->events, o);
	}
}

void fault_interfaces(struct daemon *d)
{
	json_t *o, *all;

	if (!events_wanted(d->events))
		return;
	o = event(d, "addresses");
	all = json_array();
	for (unsigned i = 0; i < d->interfaces.interface_count; i++) {
		const struct ifaddrs_interface *n = &d->interfaces.interfaces[i];
		json_t *one = json_object(), *addresses = json_array();

		json_set(one, "interface", json_string(n->name));
		json_set(one, "up", json_boolean(n->up));
		for (unsigned k = 0; k < n->address_count; k++)
			json_array_append_new(addresses, json_ip(&n->addresses[k]));
		json_set(one, "addresses", addresses);
		json_array_append_new(all, one);
	}
	json_set(o, "interfaces", all);
	events_add(d->events, o);
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
	w = watch_of(d, e);
	if (d->now_us - w->forged_us >= FORGED_US) {
		w->forged_us = d->now_us;
		w->forged = 0;
	}
	if (++w->forged < FORGED_SEGMENTS)
		return;
	x = of_path(d, FAULT_DECRYPT, e);
	x.cause = CAUSE_MIDDLEBOX;
	snprintf(x.evidence, sizeof x.evidence, "%u datagrams from the peer's address did not authenticate within %u s", w->forged,
		 (unsigned)(FORGED_US / USEC_PER_S));
	x.done = "they are dropped";
	fault_report(d, &x);
}

/* --- the engine --- */

static struct fault of_fact(struct daemon *d, enum fault_source source, const struct fact *f, bool sealed)
{
	const struct path_end *e = sealed && f->path != FACT_NO_PATH ? paths_by_id(d->paths, f->path) : NULL;
	struct fault x = !sealed ? fault_of_plain(d, source, f->path, &f->remote) : e ? of_path(d, source, e) : of_peer(d, source, f->peer);

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
	struct fault x, *known;

	engine_event(d, f, sealed);
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
		known = faults_find(d->faults, f->fault);
		if (known && known->told == TOLD_SENT && f->arrived)
			known->told = TOLD_ARRIVED;
		if (known && known->told == TOLD_SENT && !f->arrived && !f->copies) {
			/* A weightier one took its place, or its connection ended before it went. */
			known->told = TOLD_WAITING;
			known->tell_us = d->now_us + TELL_RETRY_US;
			d->fault_watch->tell_us = usec_min(d->fault_watch->tell_us, known->tell_us);
		}
		return;
	case FACT_SUBFLOW_UP:
		/* Perhaps there is a way to tell now what waits. */
		if (d->fault_watch->tell_us != USEC_NEVER) {
			d->fault_watch->subflow_came = true;
			d->fault_watch->tell_us = d->now_us;
		}
		return;
	default:
		return;
	}
	fault_report(d, &x);
}

/* --- time --- */

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
		sends_refused(d);
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
