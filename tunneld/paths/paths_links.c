/* SPDX-License-Identifier: MIT */
/*
 * Where paths come from: at a client its links and the gateway's addresses, at a gateway authentic datagrams.
 */
#include "tunneld/paths/paths_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "tunneld/io/log.h"

/* --- gateway: learnt --- */

static void endpoint(struct path_end *e, struct udp *udp, const struct udp_datagram *d)
{
	if (e->udp)
		udp_batch_flush(&e->batch, e->udp);
	e->udp = udp;
	e->remote = d->from;
	e->source = d->to;
	e->source.scope = addr_is_link_local(&d->to) ? d->ifindex : 0;
	e->local = d->to;
	e->local.port = udp->local.port;
}

struct path_end *paths_learn(struct paths *p, uint32_t peer, const char *peer_name, uint8_t no, struct udp *udp,
			     const struct udp_datagram *d, const struct ifaddrs *interfaces, usec_t now_us)
{
	struct path_end *e = paths_find(p, peer, no);
	const struct ifaddrs_interface *i;

	if (e)
		return e;
	e = path_end_new(p, peer, no, now_us);
	if (!e)
		return NULL;
	endpoint(e, udp, d);
	snprintf(e->name, sizeof e->name, "%.*s.%u", CONFIG_NAME_MAX - 5, peer_name, no);
	i = ifaddrs_by_index(interfaces, d->ifindex);
	if (i)
		memcpy(e->interface, i->name, sizeof e->interface);
	e->mtu_payload = e->mtu_payload_most = path_mtu_payload(i ? i->mtu : 0, e->remote.family);
	e->heard_us = now_us;
	path_size_unknown(e, now_us);
	e->life = LIFE_UP; /* the datagram that made it is its first sign */
	p->config.events->changed(p->config.owner, e, false);
	/* Our own idea of its round trip, for choosing among paths when we are the first to send much. */
	e->burst_left = 1;
	path_probe_now(p, e, now_us);
	return e;
}

void paths_roam(struct paths *p, struct path_end *e, struct udp *udp, const struct udp_datagram *d, usec_t now_us)
{
	if (e->udp == udp && addr_eq(&e->remote, &d->from) && addr_same_ip(&e->source, &d->to))
		return;
	if (!addr_eq(&e->remote, &d->from))
		count(p->config.counters, CNT_PathRoamed);
	endpoint(e, udp, d);
	e->changed_us = now_us;
	path_size_unknown(e, now_us);
	p->config.events->changed(p->config.owner, e, false);
}

/* --- client: links --- */

void paths_add_gateway(struct paths *p, uint32_t peer, const struct config_gateway *g)
{
	assert(p->gateway_count < GATEWAYS_MAX);
	p->gateways[p->gateway_count++] = (struct gateway){ .peer = peer, .config = g };
}

static struct link *link_named(struct paths *p, const char *name)
{
	struct link *unused = NULL;

	for (unsigned k = 0; k < PATHS_PER_PEER; k++) {
		if (p->links[k].used && !strcmp(p->links[k].name, name))
			return &p->links[k];
		if (!p->links[k].used && !unused)
			unused = &p->links[k];
	}
	return unused;
}

void paths_set_links(struct paths *p, bool automatic, const struct config_path *links, unsigned n)
{
	p->automatic = automatic;
	for (unsigned k = 0; k < PATHS_PER_PEER; k++) {
		struct link *l = &p->links[k];
		bool stays = automatic && l->interface[0];

		if (stays) {
			strcpy(l->name, l->interface);
			l->backup = false;
			l->cost = l->mark = 0;
		}
		for (unsigned i = 0; i < n && !automatic; i++)
			stays |= !strcmp(links[i].name, l->name);
		l->used = l->used && stays;
	}
	/* Who keeps his name keeps his number, which is the path's name on the wire. */
	for (unsigned i = 0; i < n && !automatic; i++) {
		struct link *l = link_named(p, links[i].name);

		*l = (struct link){ .used = true, .address = links[i].address, .backup = links[i].backup,
				    .cost = links[i].cost, .mark = links[i].mark };
		strcpy(l->name, links[i].name);
		strcpy(l->interface, links[i].interface);
	}
}

bool paths_is_configured(const struct paths *p, const struct path_end *e) { return p->links[e->link].used; }

static bool global(const struct addr *a)
{
	return !addr_is_link_local(a) && !addr_is_loopback(a) && !addr_is_multicast(a) && !addr_is_unspecified(a);
}

static const struct addr *address_of(const struct ifaddrs_interface *i, uint8_t family, bool any)
{
	for (unsigned k = 0; k < i->address_count; k++)
		if (i->addresses[k].family == family && (any || global(&i->addresses[k])))
			return &i->addresses[k];
	return NULL;
}

/* An interface keeps its number for as long as it comes and goes: the number is the path's name on the wire. */
static void find_links(struct paths *p, const struct ifaddrs *there)
{
	for (unsigned n = 0; n < there->interface_count; n++) {
		const struct ifaddrs_interface *i = &there->interfaces[n];
		struct link *free_link = NULL, *known = NULL;

		if (!i->up || i->loopback || !(address_of(i, 4, false) || address_of(i, 6, false)))
			continue;
		for (unsigned k = 0; k < PATHS_PER_PEER; k++) {
			if (p->links[k].used && !strcmp(p->links[k].interface, i->name))
				known = &p->links[k];
			else if (!free_link && (!p->links[k].used || !ifaddrs_by_name(there, p->links[k].interface)))
				free_link = &p->links[k];
		}
		if (known || !free_link)
			continue;
		*free_link = (struct link){ .used = true };
		strcpy(free_link->name, i->name);
		strcpy(free_link->interface, i->name);
	}
}

/* How a link can reach one gateway address now. */
struct way {
	bool usable, routed;
	struct addr local;                       /* to bind to, port 0 */
	struct addr shown;
	const struct ifaddrs_interface *interface; /* NULL: unknown */
};

static struct way way_of(const struct link *l, const struct ifaddrs *there, const struct addr *to)
{
	struct way w = { .local.family = to->family };
	const struct addr *a;

	if (l->address.family) {
		if (l->address.family != to->family)
			return w;
		w.local = w.shown = l->address;
		w.local.port = 0;
		w.interface = ifaddrs_by_address(there, &l->address);
		/* 127.0.0.2 is usable though no interface lists it; others have to be there. */
		w.usable = w.interface ? w.interface->up : addr_is_loopback(&l->address);
	} else {
		w.interface = ifaddrs_by_name(there, l->interface);
		a = w.interface ? address_of(w.interface, to->family, addr_is_link_local(to)) : NULL;
		if (!a && w.interface && w.interface->loopback)
			a = address_of(w.interface, to->family, true);
		w.usable = a && w.interface->up;
		if (a)
			w.shown = *a;
	}
	w.routed = w.interface && (w.interface->loopback || ifaddrs_routed(there, w.interface->index, to));
	return w;
}

static bool end_open(struct paths *p, struct path_end *e, const struct link *l, const struct way *w)
{
	const char *device = w->interface && w->routed && !w->interface->loopback ? w->interface->name : NULL;
	struct addr local = w->local;
	int error;

	if (e->udp)
		udp_batch_flush(&e->batch, e->udp);
	udp_close(&e->own_udp);
	e->udp = NULL;
	error = udp_open(&e->own_udp, p->config.loop, p->config.pool, &local, device, p->config.udp_events, e);
	if (error == EPERM && device) {
		/* Before Linux 5.7 only root binds to a device: the address has to do. */
		local = w->shown;
		local.port = 0;
		error = udp_open(&e->own_udp, p->config.loop, p->config.pool, &local, NULL, p->config.udp_events, e);
	}
	if (error) {
		log_line(LOG_WARN, "path %s: cannot open a socket: %s", l->name, strerror(error));
		return false;
	}
	e->udp = &e->own_udp;
	return true;
}

static bool usable(const struct paths *p, const struct way *w)
{
	return w->usable && (w->routed || !p->automatic);
}

/* The usable candidate at or after `first`, routed ones before others; -1: none. */
static int candidate(const struct paths *p, const struct config_gateway *g, const struct link *l,
		     const struct ifaddrs *there, unsigned first, struct way *out)
{
	for (int routed = 1; routed >= 0; routed--) {
		for (unsigned k = 0; k < g->address_count; k++) {
			unsigned i = (first + k) % g->address_count;

			*out = way_of(l, there, &g->addresses[i]);
			if (usable(p, out) && out->routed >= routed)
				return (int)i;
		}
	}
	return -1;
}

static void aim(struct path_end *e, unsigned which, const struct way *w)
{
	e->candidate = which;
	e->remote = e->gateway->addresses[which];
	e->local = w->shown;
	e->local.port = e->own_udp.local.port;
	e->interface[0] = '\0';
	if (w->interface)
		memcpy(e->interface, w->interface->name, sizeof e->interface);
	e->mtu_payload = e->mtu_payload_most =
		path_mtu_payload(w->interface && !w->interface->loopback ? w->interface->mtu : 0, e->remote.family);
	path_size_unknown(e, 0);
	e->srtt_us = e->rttvar_us = 0;
	e->rtt_samples = 0;
}

static void end_close(struct paths *p, struct path_end *e)
{
	uint32_t peer = e->peer;
	uint8_t no = e->no;

	path_end_gone(p, e);
	/* Said on another path, as this one cannot any more. */
	for (unsigned k = 0; k < PATHS_PER_PEER; k++) {
		struct path_end *other = paths_find(p, peer, (uint8_t)k);

		if (other && other->life == LIFE_UP) {
			path_send_message(p, other, MSG_CLOSE, no);
			return;
		}
	}
}

/* What the config says of its link. True: it said something else before. */
static bool end_as_configured(struct path_end *e, const struct link *l)
{
	bool news = e->backup != l->backup || e->cost != l->cost || strcmp(e->name, l->name);

	e->backup = l->backup;
	e->cost = l->cost;
	strcpy(e->name, l->name);
	return news;
}

static void refresh_end(struct paths *p, const struct gateway *g, unsigned number, const struct ifaddrs *there,
			usec_t now_us)
{
	const struct link *l = &p->links[number];
	struct path_end *e = paths_find(p, g->peer, (uint8_t)number);
	struct way w = { 0 };
	uint16_t mtu_payload;
	int which = -1;
	bool news;

	if (e) {
		news = l->used && end_as_configured(e, l);
		w = way_of(l, there, &g->config->addresses[e->candidate]);
		if (l->used && usable(p, &w)) {
			mtu_payload = path_mtu_payload(w.interface && !w.interface->loopback ? w.interface->mtu : 0,
						     e->remote.family);
			if (addr_same_ip(&w.shown, &e->local) && (!w.interface || !strcmp(w.interface->name, e->interface))) {
				if (mtu_payload != e->mtu_payload_most) {
					e->mtu_payload = e->mtu_payload_most = mtu_payload;
					path_size_unknown(e, now_us);
					news = true;
				}
				if (news)
					p->config.events->changed(p->config.owner, e, false);
				return; /* nothing else that matters to it changed */
			}
			/* Another address on the same link: the gateway sees us roam at the next datagram. */
			which = (int)e->candidate;
		}
	}
	if (which < 0 && l->used)
		which = candidate(p, g->config, l, there, number, &w);
	if (which < 0) {
		if (e) {
			log_line(LOG_INFO, "path %s to %s: gone", l->name, g->config->name);
			end_close(p, e);
		}
		return;
	}
	if (!e) {
		e = path_end_new(p, g->peer, (uint8_t)number, now_us);
		if (!e)
			return;
		e->initiator = true;
		e->gateway = g->config;
		e->link = number;
		(void)end_as_configured(e, l);
	}
	if (!end_open(p, e, l, &w)) {
		end_close(p, e);
		return;
	}
	aim(e, (unsigned)which, &w);
	e->life = LIFE_NONE;
	e->heard_us = e->unanswered_us = e->probe_first_us = e->doubted_us = 0;
	e->unreplied = 0;
	e->probes_unanswered = 0;
	e->burst_left = BURST - 1;
	e->changed_us = now_us;
	p->config.events->changed(p->config.owner, e, false);
	if (p->session[g->peer]) {
		e->probe_next_us = now_us; /* at the next paths_time() */
		path_due(p, e);
	}
	log_line(LOG_INFO, "path %s to %s: %s", l->name, g->config->name,
		 addr_print(&e->remote, (char[ADDR_TEXT_MAX]){ 0 }));
}

void paths_refresh(struct paths *p, const struct ifaddrs *there, usec_t now_us)
{
	p->there = *there;
	if (p->automatic)
		find_links(p, there);
	for (unsigned g = 0; g < p->gateway_count; g++)
		for (unsigned number = 0; number < PATHS_PER_PEER; number++)
			refresh_end(p, &p->gateways[g], number, there, now_us);
}

void path_rotate(struct paths *p, struct path_end *e)
{
	const struct link *l = &p->links[e->link];
	struct way w;
	int which = candidate(p, e->gateway, l, &p->there, e->candidate + 1, &w);

	if (which < 0 || which == (int)e->candidate)
		return;
	if (w.local.family != e->own_udp.local.family && !end_open(p, e, l, &w))
		return;
	udp_batch_flush(&e->batch, e->udp);
	aim(e, (unsigned)which, &w);
	count(p->config.counters, CNT_PathRotated);
	p->config.events->changed(p->config.owner, e, false);
}

void paths_rotate(struct paths *p, uint32_t peer)
{
	for (unsigned no = 0; no < PATHS_PER_PEER; no++) {
		struct path_end *e = paths_find(p, peer, (uint8_t)no);

		if (e && e->initiator && !e->heard_us)
			path_rotate(p, e);
	}
}
