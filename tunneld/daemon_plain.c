/* SPDX-License-Identifier: MIT */
/*
 * The plain encapsulation (draft-cheshire-tcp-over-udp): a second room beside daemon_net.c, with an engine, sockets and paths
 * of its own. Here a path is one local address; a subflow that we open has a socket of its own, bound to its port; those that
 * others open come to the sockets of plain.listen. Nothing is sealed, and the other end may be anybody's MPTCP.
 */
#include "tunneld/capture.h"
#include "tunneld/daemon_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "tunneld/io/clock.h"
#include "tunneld/log.h"

#define TEXT(a) addr_print((a), (char[ADDR_TEXT_MAX]){ 0 })

enum {
	IP4_UDP = 20 + 8, IP6_UDP = 40 + 8, MTU_LEAST = 576, MTU_UNKNOWN = 1500,
	SOCKET_BUCKETS = 1024,
	ICMP_PORT_UNREACHABLE = 3, ICMP_PROHIBITED = 13, /* codes of destination unreachable, RFC 792, RFC 1812 */
};

struct plain_path {
	bool used, wanted;        /* wanted: seen by this refresh */
	bool initiator, backup;
	bool announce, no_joins;  /* as in EV_PATH */
	uint8_t service;          /* as in EV_PATH; 0 also of all that concerns no listener */
	struct addr local;        /* port 0 where service is */
	char name[CONFIG_NAME_MAX];
	char interface[IF_NAMESIZE]; /* to bind to; "": none */
	uint32_t mtu;
};

struct plain_socket {
	struct daemon *daemon;
	struct udp udp;
	struct udp_batch batch;
	struct plain_socket *next;       /* in its bucket */
	struct plain_socket *dirty_next;
	bool dirty;
	bool listening;
	bool announce, no_joins;         /* these and service: of a listening one */
	uint8_t service;
	path_id path;                    /* not of a listening one */
	uint16_t port;
};

struct plain {
	struct plain_path paths[PLAIN_PATHS_MAX];
	struct plain_socket listen[CONFIG_ADDRESSES_MAX];
	struct plain_socket *sockets[SOCKET_BUCKETS];
	struct plain_socket *dirty;
};

static enum err tell(struct daemon *d, struct event *ev)
{
	return engine_input(d->plain_engine, ev, d->now_us);
}

/* --- paths --- */

static uint16_t payload_of(uint32_t mtu, const struct addr *local)
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
			.no_joins = p->no_joins, .mtu_payload = payload_of(p->mtu, &p->local),
			.local = p->local, .name = p->name,
		},
	};

	if (tell(d, &ev) != ERR_OK)
		log_line(LOG_WARN, "plain path %s: the engine has no room for it", p->name);
	log_line(LOG_DEBUG, "plain path %s (%s): %s", p->name, TEXT(&p->local), gone ? "gone" : "up");
}

static path_id path_find(const struct plain *pl, const struct addr *local, uint8_t service)
{
	for (path_id id = 0; id < PLAIN_PATHS_MAX; id++) {
		const struct plain_path *p = &pl->paths[id];

		if (p->used && p->service == service && addr_same_ip(&p->local, local) && (!service || p->local.port == local->port))
			return id;
	}
	return PLAIN_PATHS_MAX;
}

static void path_gone(struct daemon *d, path_id id);

/* Finds or makes the path of that address, and brings it up to date. PLAIN_PATHS_MAX: the table is full. */
static path_id path_put(struct daemon *d, const struct plain_path *want)
{
	struct plain *pl = d->plain;
	path_id id = path_find(pl, &want->local, want->service);
	struct plain_path *p;
	bool changed;

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
		  p->announce != want->announce || p->no_joins != want->no_joins || strcmp(p->name, want->name);
	*p = *want;
	p->used = p->wanted = true;
	if (changed)
		path_tell(d, id, false);
	return id;
}

static struct plain_socket **bucket(struct plain *pl, path_id path, uint16_t port)
{
	return &pl->sockets[(path * 31u + port) % SOCKET_BUCKETS];
}

static void undirty(struct plain *pl, struct plain_socket *s)
{
	struct plain_socket **at = &pl->dirty;

	if (!s->dirty)
		return;
	while (*at != s)
		at = &(*at)->dirty_next;
	*at = s->dirty_next;
	s->dirty = false;
}

static void socket_free(struct plain *pl, struct plain_socket **at)
{
	struct plain_socket *s = *at;

	*at = s->next;
	undirty(pl, s);
	udp_batch_flush(&s->batch, &s->udp);
	udp_close(&s->udp);
	free(s);
}

static void path_gone(struct daemon *d, path_id id)
{
	struct plain *pl = d->plain;

	path_tell(d, id, true);
	for (unsigned i = 0; i < SOCKET_BUCKETS; i++)
		for (struct plain_socket **at = &pl->sockets[i]; *at;)
			if ((*at)->path == id)
				socket_free(pl, at);
			else
				at = &(*at)->next;
	pl->paths[id] = (struct plain_path){ 0 };
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

static path_id listener_path(struct daemon *d, const struct plain_socket *s, const struct addr *local,
			     const struct ifaddrs_interface *i)
{
	struct plain_path want = { .local = *local, .service = s->service, .announce = s->announce, .no_joins = s->no_joins };

	want.mtu = i ? i->mtu : 0;
	want.local.port = s->service ? s->port : 0;
	strcpy(want.name, i ? i->name : "plain");
	return path_put(d, &want);
}

/* What is announced by ADD_ADDR must be there before somebody comes to it. */
static void listener_paths(struct daemon *d, const struct plain_socket *s)
{
	const struct ifaddrs *have = &d->interfaces;
	const struct addr *own = &s->udp.local;

	if (!addr_is_unspecified(own)) {
		const struct ifaddrs_interface *i = ifaddrs_by_address(have, own);

		if (i && i->up)
			listener_path(d, s, own, i);
		return;
	}
	for (unsigned k = 0; k < have->interface_count; k++) {
		const struct ifaddrs_interface *i = &have->interfaces[k];

		for (unsigned n = 0; i->up && !i->loopback && n < i->address_count; n++)
			if (i->addresses[n].family == own->family && !addr_is_link_local(&i->addresses[n]))
				listener_path(d, s, &i->addresses[n], i);
	}
}

void plain_refresh(struct daemon *d)
{
	struct plain *pl = d->plain;

	if (!pl)
		return;
	for (path_id id = 0; id < PLAIN_PATHS_MAX; id++)
		pl->paths[id].wanted = false;
	if (d->config->plain_connect.count)
		client_paths(d);
	for (unsigned i = 0; i < CONFIG_ADDRESSES_MAX; i++)
		if (pl->listen[i].udp.fd >= 0 && pl->listen[i].announce)
			listener_paths(d, &pl->listen[i]);
	/* What others opened towards an address of ours stays as long as the address. */
	for (path_id id = 0; id < PLAIN_PATHS_MAX; id++) {
		struct plain_path *p = &pl->paths[id];
		const struct ifaddrs_interface *i = p->used && !p->wanted ? ifaddrs_by_address(&d->interfaces, &p->local) : NULL;

		if (p->used && !p->wanted && (p->initiator || !i || !i->up))
			path_gone(d, id);
	}
}

/* A datagram came to a listener, at that address of ours. */
static path_id path_learn(struct daemon *d, const struct plain_socket *s, const struct addr *to, uint32_t ifindex)
{
	struct addr local = *to;
	path_id id;
	const struct ifaddrs_interface *i;

	local.port = s->service ? s->port : 0;
	id = path_find(d->plain, &local, s->service);
	if (id < PLAIN_PATHS_MAX)
		return id;
	i = ifaddrs_by_address(&d->interfaces, &local);
	if (!i)
		i = ifaddrs_by_index(&d->interfaces, ifindex);
	return listener_path(d, s, &local, i);
}

static void plain_capture(struct daemon *d, path_id path, bool outbound, uint16_t port, const struct addr *remote,
			  const uint8_t *bytes, size_t len)
{
	const struct plain_path *p = &d->plain->paths[path];
	struct addr local = p->local;

	local.port = port;
	capture_segment(d->capture, PATHS_MAX + path, p->name, outbound, outbound ? &local : remote, outbound ? remote : &local, bytes,
			len, SEGMENT_PLAIN, d->now_us);
}

/* --- in --- */

static void on_datagram(void *owner, struct udp *u, const struct udp_datagram *dg)
{
	struct plain_socket *s = owner;
	struct daemon *d = s->daemon;
	path_id path = s->path;
	struct event ev;

	(void)u;
	if (dg->first)
		d->now_us = clock_now();
	if (s->listening)
		path = path_learn(d, s, dg->to.family ? &dg->to : &s->udp.local, dg->ifindex);
	if (path >= PLAIN_PATHS_MAX)
		return;
	if (d->capture)
		plain_capture(d, path, false, s->port, &dg->from, dg->bytes, dg->len);
	ev = (struct event){
		.kind = EV_SEGMENT,
		.segment = {
			.path = path, .bytes = dg->bytes, .len = dg->len, .local_port = s->port, .listening = s->listening && !d->ending,
			.remote = dg->from,
		},
	};
	(void)tell(d, &ev); /* its refusals are counted by itself */
}

static enum open_result result_of(const struct udp_error *e)
{
	if (e->origin == UDP_ERROR_ICMP && e->code == ICMP_PORT_UNREACHABLE)
		return OPEN_REFUSED;
	switch (e->error) {
	case ECONNREFUSED:
		return OPEN_REFUSED;
	case EHOSTUNREACH:
		return OPEN_HOST_UNREACHABLE;
	case EACCES:
	case EPERM:
		return OPEN_PROHIBITED;
	default:
		return OPEN_NET_UNREACHABLE;
	}
}

/* The path is that of the socket; a listening one does not know which of our addresses the lost datagram was from. */
static void tell_of_loss(struct plain_socket *s, struct event *ev)
{
	if (!s->listening) {
		ev->lost.path = s->path;
		(void)tell(s->daemon, ev);
		return;
	}
	for (path_id id = 0; id < PLAIN_PATHS_MAX; id++) {
		ev->lost.path = id;
		if (s->daemon->plain->paths[id].used && tell(s->daemon, ev) == ERR_OK)
			return;
	}
}

static void on_error(void *owner, struct udp *u, const struct udp_error *e)
{
	struct plain_socket *s = owner;
	struct event ev = { .kind = EV_LOST, .lost = { .local_port = s->port, .remote = e->to, .why = result_of(e) } };

	(void)u;
	if (!e->to.family)
		return;
	s->daemon->now_us = clock_now();
	if (e->origin != UDP_ERROR_SEND) {
		/* RFC 5927 4: the sequence number shows that whoever says so has seen the datagram. */
		if (e->quoted_len < 8)
			return;
		ev.lost.has_seq = true;
		ev.lost.seq = be_get32(e->quoted + 4);
		if (e->mtu)
			ev.lost.mtu_payload = payload_of(e->mtu, &e->to);
	}
	tell_of_loss(s, &ev);
}

static void on_too_big(void *owner, struct udp *u, const struct addr *to, size_t len)
{
	struct plain_socket *s = owner;
	struct event ev = { .kind = EV_LOST, .lost = { .local_port = s->port, .remote = *to, .mtu_payload = (uint16_t)(len - 1) } };

	(void)u;
	tell_of_loss(s, &ev);
}

static const struct udp_events plain_udp_events = { .datagram = on_datagram, .too_big = on_too_big, .error = on_error };

/* --- out --- */

static struct plain_socket *listener_of(struct daemon *d, const struct addr *local, uint16_t port)
{
	for (unsigned i = 0; i < d->config->plain_listen_count; i++) {
		struct plain_socket *s = &d->plain->listen[i];

		if (s->udp.fd >= 0 && s->port == port && s->udp.local.family == local->family &&
		    (addr_is_unspecified(&s->udp.local) || addr_same_ip(&s->udp.local, local)))
			return s;
	}
	return NULL;
}

/* 0, or the errno with which the socket could not be had. */
static int socket_open(struct daemon *d, path_id path, uint16_t port, struct plain_socket **out)
{
	const struct plain_path *p = &d->plain->paths[path];
	struct plain_socket *s = calloc(1, sizeof *s), **at = bucket(d->plain, path, port);
	struct addr local = p->local;
	int error;

	if (!s)
		return ENOMEM;
	local.port = port;
	*s = (struct plain_socket){ .daemon = d, .path = path, .port = port };
	error = udp_open(&s->udp, d->loop, &d->pool, &local, p->interface[0] ? p->interface : NULL, &plain_udp_events, s);
	if (error) {
		free(s);
		return error;
	}
	s->next = *at;
	*at = s;
	*out = s;
	return 0;
}

/* The socket a segment leaves by. NULL: there is none to be had, and the engine knows. */
static struct plain_socket *socket_of(struct daemon *d, const struct action *act)
{
	path_id path = act->send.path;
	uint16_t port = act->send.local_port;
	struct plain_socket *s = *bucket(d->plain, path, port);
	struct event ev = { .kind = EV_PORT_TAKEN, .port = { .path = path, .local_port = port } };
	int error;

	while (s && (s->path != path || s->port != port))
		s = s->next;
	if (s || (s = listener_of(d, &d->plain->paths[path].local, port)))
		return s;
	error = socket_open(d, path, port, &s);
	if (!error)
		return s;
	if (error == EADDRNOTAVAIL || error == ENODEV)
		ev = (struct event){
			.kind = EV_LOST,
			.lost = { .path = path, .local_port = port, .remote = *act->send.remote, .why = OPEN_NET_UNREACHABLE },
		};
	else if (error != EADDRINUSE) /* its SYN will be sent again, and by then there may be one */
		log_line(LOG_WARN, "no socket for %s: %s", TEXT(act->send.remote), strerror(error));
	count(&d->counters, CNT_UdpSendFailed);
	if (error == EADDRINUSE || ev.kind == EV_LOST)
		(void)tell(d, &ev);
	return NULL;
}

void plain_segment(struct daemon *d, const struct action *act)
{
	struct plain_socket *s;
	uint8_t *room;

	if (act->send.path >= PLAIN_PATHS_MAX || !d->plain->paths[act->send.path].used || !(s = socket_of(d, act)))
		return;
	room = udp_batch_room(&s->batch, &s->udp, act->send.remote, s->listening ? &d->plain->paths[act->send.path].local : NULL,
			      act->send.len);
	if (!room)
		return;
	if (d->capture)
		plain_capture(d, act->send.path, true, s->port, act->send.remote, act->send.bytes, act->send.len);
	memcpy(room, act->send.bytes, act->send.len);
	udp_batch_add(&s->batch, &s->udp, act->send.len);
	if (s->dirty)
		return;
	s->dirty = true;
	s->dirty_next = d->plain->dirty;
	d->plain->dirty = s;
}

void plain_port_free(struct daemon *d, const struct action *act)
{
	struct plain_socket **at = bucket(d->plain, act->port.path, act->port.local_port);

	while (*at && ((*at)->path != act->port.path || (*at)->port != act->port.local_port))
		at = &(*at)->next;
	if (*at)
		socket_free(d->plain, at);
}

void plain_flush(struct daemon *d)
{
	struct plain_socket *s;

	while (d->plain && (s = d->plain->dirty)) {
		d->plain->dirty = s->dirty_next;
		s->dirty = false;
		udp_batch_flush(&s->batch, &s->udp);
	}
}

/* --- who goes this way --- */

bool plain_connects(const struct daemon *d, const struct addr *destination)
{
	for (size_t i = 0; i < d->config->plain_connect.count; i++)
		if (cidr_has(&d->config->plain_connect.list[i], destination))
			return true;
	return false;
}

const struct addr *plain_forward(const struct daemon *d, const struct addr *local)
{
	for (unsigned i = 0; i < d->config->plain_listen_count; i++) {
		const struct plain_socket *s = &d->plain->listen[i];

		if (s->port == local->port && s->udp.local.family == local->family &&
		    (addr_is_unspecified(&s->udp.local) || addr_same_ip(&s->udp.local, local)))
			return &d->config->plain_listen[i].forward;
	}
	return NULL;
}

/* --- life --- */

/*
 * Listeners that forward to the same service are one: their addresses lead to the same connection. 0: nobody is told anything of
 * them, and they share the paths of all such.
 */
static uint8_t service_of(const struct config *c, unsigned listener)
{
	unsigned first = CONFIG_ADDRESSES_MAX;
	bool tells = false;

	for (unsigned i = 0; i < c->plain_listen_count; i++) {
		const struct config_plain_listen *l = &c->plain_listen[i];

		if (!addr_eq(&l->forward, &c->plain_listen[listener].forward))
			continue;
		first = first < i ? first : i;
		tells |= l->announce || !l->joins;
	}
	return tells ? (uint8_t)(first + 1) : 0;
}

int plain_open(struct daemon *d)
{
	const struct config *c = d->config;

	if (!d->plain_engine)
		return 0;
	d->plain = calloc(1, sizeof *d->plain);
	if (!d->plain) {
		log_line(LOG_ERROR, "out of memory");
		return 1;
	}
	for (unsigned i = 0; i < CONFIG_ADDRESSES_MAX; i++)
		d->plain->listen[i].udp.fd = -1;
	for (unsigned i = 0; i < c->plain_listen_count; i++) {
		struct plain_socket *s = &d->plain->listen[i];
		int error;

		s->daemon = d;
		s->listening = true;
		s->port = c->plain_listen[i].address.port;
		s->service = service_of(c, i);
		s->announce = c->plain_listen[i].announce;
		s->no_joins = !c->plain_listen[i].joins;
		error = udp_open(&s->udp, d->loop, &d->pool, &c->plain_listen[i].address, NULL, &plain_udp_events, s);
		if (error) {
			log_line(LOG_ERROR, "cannot listen on %s: %s", TEXT(&c->plain_listen[i].address), strerror(error));
			return 1;
		}
		log_line(LOG_INFO, "listening on %s, plain, for %s", TEXT(&s->udp.local), TEXT(&c->plain_listen[i].forward));
	}
	plain_refresh(d);
	return 0;
}

void plain_close(struct daemon *d)
{
	struct plain *pl = d->plain;

	if (!pl)
		return;
	for (unsigned i = 0; i < SOCKET_BUCKETS; i++)
		while (pl->sockets[i])
			socket_free(pl, &pl->sockets[i]);
	for (unsigned i = 0; i < CONFIG_ADDRESSES_MAX; i++) {
		udp_batch_flush(&pl->listen[i].batch, &pl->listen[i].udp);
		udp_close(&pl->listen[i].udp);
	}
	free(pl);
	d->plain = NULL;
}
