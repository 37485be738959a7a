/* SPDX-License-Identifier: MIT */
/* What /v1/events tells: sessions, paths, subflows, faults, addresses. */
#include "tunneld/daemon/fault.h"

#include "tunneld/daemon/plain.h"
#include "tunneld/status/events.h"
#include "tunneld/status/status_json.h"

json_t *fault_event(struct daemon *d, const char *name)
{
	json_t *o = json_object();

	json_set(o, "event", json_string(name));
	json_set(o, "time", json_time(d, d->now_us));
	return o;
}

json_t *fault_path_event(struct daemon *d, const char *name, const struct path_end *e)
{
	json_t *o = fault_event(d, name);

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
	o = fault_event(d, restarted ? "peer_restarted" : "handshake");
	seal_peer_info(d->seal, peer, &info);
	json_set(o, "peer", json_name_of_peer(d, peer));
	json_set(o, "role", json_string(d->peers[peer].kind == PEER_GATEWAY ? "gateway" : "client"));
	json_set(o, "cipher", json_text_or_null(info.cipher));
	events_add(d->events, o);
}

void fault_fact_event(struct daemon *d, const struct fact *f, bool sealed)
{
	json_t *o;

	if (!events_wanted(d->events))
		return;
	o = fault_event(d, fact_kind_name(f->kind));
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

void fault_interfaces(struct daemon *d)
{
	json_t *o, *all;

	if (!events_wanted(d->events))
		return;
	o = fault_event(d, "addresses");
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
