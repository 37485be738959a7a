/* SPDX-License-Identifier: MIT */
/*
 * Paths of the plain encapsulation: local addresses. With port 0 it is a link of client.paths, where we open subflows; with a
 * port it is a listener's, where others do.
 */
#include "tunneld/daemon/plain.h"

#include <string.h>

#include "tunneld/io/log.h"

#define TEXT(a) addr_print((a), (char[ADDR_TEXT_MAX]){ 0 })

enum { IP4_UDP = 20 + 8, IP6_UDP = 40 + 8, MTU_LEAST = 576, MTU_UNKNOWN = 1500 };

uint16_t plain_payload(uint32_t mtu, const struct addr *local)
{
	uint32_t header = local->family == 6 ? IP6_UDP : IP4_UDP;

	if (mtu < MTU_LEAST)
		mtu = mtu ? MTU_LEAST : MTU_UNKNOWN;
	return (uint16_t)(mtu - header > 65000 ? 65000 : mtu - header);
}

const char *plain_path_name(const struct daemon *d, path_id id)
{
	return id < PLAIN_PATHS_MAX && d->plain->paths[id].used ? d->plain->paths[id].name : NULL;
}

static void path_tell(struct daemon *d, path_id id, bool gone)
{
	const struct plain_path *p = &d->plain->paths[id];
	struct event ev = {
		.kind = EV_PATH,
		.path = {
			.path = id, .state = gone ? PATH_DOWN : PATH_UP, .gone = gone, .backup = p->backup,
			.may_initiate = p->initiator, .addr_id = (uint8_t)(id + 1), .service = p->service, .announce = p->announce,
			.no_joins = p->no_joins, .mtu_payload = plain_payload(p->mtu, &p->local),
			.local = p->local, .name = p->name, .peer_uperf = d->config->plain_extensions.uperf,
			.peer_long_prio = d->config->plain_extensions.mp_prio_max_rto,
		},
	};

	if (plain_tell(d, &ev) != ERR_OK)
		log_line(LOG_WARN, "plain path %s: the engine has no room for it", p->name);
	log_line(LOG_DEBUG, "plain path %s (%s): %s", p->name, TEXT(&p->local), gone ? "gone" : "up");
}

static path_id path_find(const struct plain *pl, const struct addr *local)
{
	for (path_id id = 0; id < PLAIN_PATHS_MAX; id++)
		if (pl->paths[id].used && addr_same_ip(&pl->paths[id].local, local) && pl->paths[id].local.port == local->port)
			return id;
	return PLAIN_PATHS_MAX;
}

static void path_gone(struct daemon *d, path_id id)
{
	struct plain *pl = d->plain;

	fault_plain_path(d, id, true);
	path_tell(d, id, true);
	plain_close_sockets_of(pl, id);
	pl->paths[id] = (struct plain_path){ 0 };
}

/* Finds or makes the path of that address, and brings it up to date. PLAIN_PATHS_MAX: the table is full. */
static path_id path_put(struct daemon *d, const struct plain_path *want)
{
	struct plain *pl = d->plain;
	path_id id = path_find(pl, &want->local);
	struct plain_path *p, before;
	bool changed, is_new;

	if (id < PLAIN_PATHS_MAX && pl->paths[id].interface[0] && strcmp(pl->paths[id].interface, want->interface)) {
		if (pl->paths[id].wanted)
			return id; /* the address is on two interfaces: the first has it */
		path_gone(d, id); /* its sockets are bound to where the address was */
	}
	for (path_id i = 0; id == PLAIN_PATHS_MAX && i < PLAIN_PATHS_MAX; i++)
		if (!pl->paths[i].used)
			id = i;
	if (id == PLAIN_PATHS_MAX) {
		count(&d->counters, CNT_PathsFull);
		return id;
	}
	p = &pl->paths[id];
	changed = !p->used || p->initiator != want->initiator || p->backup != want->backup || p->mtu != want->mtu ||
		  p->service != want->service || p->announce != want->announce || p->no_joins != want->no_joins || strcmp(p->name, want->name);
	is_new = !p->used;
	before = *p;
	*p = *want;
	p->used = p->wanted = true;
	if (!is_new) {
		p->bytes_sent = before.bytes_sent;
		p->bytes_received = before.bytes_received;
		p->datagrams_sent = before.datagrams_sent;
		p->datagrams_received = before.datagrams_received;
	}
	if (is_new)
		fault_plain_path(d, id, false);
	if (changed)
		path_tell(d, id, false);
	return id;
}

/* The first address of that family that is not link-local: what the kernel would most likely choose, too. */
static const struct addr *address_of(const struct ifaddrs_interface *i, uint8_t family)
{
	for (unsigned k = 0; k < i->address_count; k++)
		if (i->addresses[k].family == family && !addr_is_link_local(&i->addresses[k]))
			return &i->addresses[k];
	return NULL;
}

static void link_put(struct daemon *d, const struct config_path *link, const struct ifaddrs_interface *i, const struct addr *local)
{
	struct plain_path want = { .initiator = true, .backup = link && link->backup, .mtu = i->mtu };

	if (!local || !i->up)
		return;
	want.local = *local;
	want.local.port = 0;
	strcpy(want.interface, i->name);
	strcpy(want.name, link ? link->name : i->name);
	path_put(d, &want);
}

/* Plain form needs no gateway: the links of client.paths with their addresses are all there is to a path. */
static void client_paths(struct daemon *d)
{
	const struct config *c = d->config;
	const struct ifaddrs *have = &d->interfaces;

	for (unsigned k = 0; k < (c->paths_auto ? have->interface_count : c->path_count); k++) {
		const struct config_path *link = c->paths_auto ? NULL : &c->paths[k];
		const struct ifaddrs_interface *i =
			!link ? &have->interfaces[k] :
			link->interface[0] ? ifaddrs_by_name(have, link->interface) : ifaddrs_by_address(have, &link->address);

		if (!i || (!link && i->loopback))
			continue;
		if (link && link->address.family) {
			link_put(d, link, i, &link->address);
			continue;
		}
		link_put(d, link, i, address_of(i, 4));
		link_put(d, link, i, address_of(i, 6));
	}
}

/* --- those of listeners --- */

static path_id listener_path(struct daemon *d, const struct plain_socket *s, const struct addr *local,
			     const struct ifaddrs_interface *i)
{
	struct plain_path want = {
		.local = *local, .service = s->service, .announce = s->config.announce && !s->retired, .no_joins = !s->config.joins,
		.mtu = i ? i->mtu : 0,
	};

	want.local.port = s->port;
	strcpy(want.name, i ? i->name : "plain");
	return path_put(d, &want);
}

static void listener_refresh(struct daemon *d, const struct plain_socket *s)
{
	const struct ifaddrs *have = &d->interfaces;
	bool any = addr_is_unspecified(&s->udp.local);

	for (unsigned k = 0; k < have->interface_count; k++) {
		const struct ifaddrs_interface *i = &have->interfaces[k];

		for (unsigned n = 0; i->up && n < i->address_count; n++) {
			struct addr a = i->addresses[n];

			a.port = s->port;
			if (plain_listener_of(d->plain, &a, s->port) != s)
				continue;
			/* What is announced must be there before somebody comes to it; the others come by plain_path_learn(). */
			if ((s->config.announce && !s->retired && !(any && (i->loopback || addr_is_link_local(&a)))) ||
			    path_find(d->plain, &a) < PLAIN_PATHS_MAX)
				listener_path(d, s, &a, i);
		}
	}
}

path_id plain_path_learn(struct daemon *d, const struct plain_socket *s, const struct addr *to, uint32_t ifindex)
{
	struct addr local = *to;
	path_id id;
	const struct ifaddrs_interface *i;

	local.port = s->port;
	id = path_find(d->plain, &local);
	if (id < PLAIN_PATHS_MAX)
		return id;
	i = ifaddrs_by_address(&d->interfaces, &local);
	if (!i)
		i = ifaddrs_by_index(&d->interfaces, ifindex);
	return listener_path(d, s, &local, i);
}

void plain_paths_of_listener_gone(struct daemon *d, const struct plain_socket *s)
{
	for (path_id id = 0; id < PLAIN_PATHS_MAX; id++) {
		const struct plain_path *p = &d->plain->paths[id];

		if (p->used && p->local.port == s->port && plain_listener_of(d->plain, &p->local, s->port) == s)
			path_gone(d, id);
	}
}

/* --- all --- */

void plain_refresh(struct daemon *d)
{
	struct plain *pl = d->plain;

	if (!pl)
		return;
	for (path_id id = 0; id < PLAIN_PATHS_MAX; id++)
		pl->paths[id].wanted = false;
	/* Once there were some, they stay for the connections they have. */
	pl->connects |= d->config->plain_connect.count > 0;
	if (pl->connects)
		client_paths(d);
	for (unsigned i = 0; i < PLAIN_LISTENERS_MAX; i++)
		if (pl->listen[i].udp.fd >= 0)
			listener_refresh(d, &pl->listen[i]);
	/* What came to an address that no interface lists (127.0.0.2) stays as long as its listener. */
	for (path_id id = 0; id < PLAIN_PATHS_MAX; id++) {
		struct plain_path *p = &pl->paths[id];

		if (p->used && !p->wanted && (!p->local.port || !addr_is_loopback(&p->local)))
			path_gone(d, id);
	}
}
