/* SPDX-License-Identifier: MIT */
/*
 * Plain form in the simulator: a path is a local address, nobody probes, and the gateway is the destination itself: a
 * server with one or two addresses, who sees a client's address as its NAT shows it. A segment crosses the middlebox of
 * its path before the link does. Everything else is as in sealed form; host.c calls here.
 */
#include <string.h>

#include "tests/sim/sim.h"

static struct addr server_address(unsigned nth)
{
	struct addr a = { .family = 4, .ip = { 203, 0, 113, (uint8_t)(1 + nth) } };

	return a;
}

static struct addr client_address(unsigned client, unsigned path)
{
	struct addr a = { .family = 4, .ip = { 10, (uint8_t)client, (uint8_t)path, 2 } };

	return a;
}

/* What the server sees: a new mapping is a new address, and the old one leads nowhere. */
static struct addr nat_address(const struct packet *p)
{
	struct addr a = { .family = 4, .ip = { 192, 0, (uint8_t)p->nat_epoch, (uint8_t)(1 + p->client * PATHS_MAX + p->path) } };

	a.port = p->client_port;
	return a;
}

struct addr plain_destination(unsigned number)
{
	struct addr a = server_address(0);

	a.port = (uint16_t)(1000 + number);
	return a;
}

void plain_tell_path(struct host *h, path_id id, bool gone)
{
	struct world *w = h->world;
	struct view *v = &h->views[id];
	bool server = h->number == HOST_GATEWAY;
	struct event ev = { .kind = EV_PATH };
	char name[16];
	enum err err;

	snprintf(name, sizeof name, "%s.%u", world_host_name(h->number), id);
	ev.path.path = id;
	ev.path.state = v->state;
	ev.path.gone = gone;
	ev.path.backup = !server && w->plan->path[h->number - 1][id].backup;
	ev.path.may_initiate = !server;
	ev.path.addr_id = (uint8_t)(1 + id);
	ev.path.mtu_payload = (uint16_t)(v->mtu - PLAIN_OVERHEAD);
	ev.path.local = server ? server_address(id) : client_address(h->number - 1, id);
	ev.path.announce = server && w->plan->announce && !(w->plan->no_joins && id == 0);
	ev.path.no_joins = server && w->plan->no_joins && id == 0;
	ev.path.name = name;
	TRACE(w, "%s path %s is %s%s, mtu %u", world_host_name(h->number), name, v->state == PATH_UP ? "up" : "down",
	      gone ? " and gone" : "", v->mtu);
	err = host_event(h, &ev);
	if (err != ERR_OK)
		world_fail(w, "%s: EV_PATH %s gives \"%s\"", world_host_name(h->number), name, err_text(err));
	host_settle(h);
}

void plain_path_up(struct host *h, path_id id)
{
	struct view *v = &h->views[id];

	v->wanted = v->known = true;
	v->state = PATH_UP;
	v->mtu = 1500;
	if (h->number != HOST_GATEWAY) {
		const struct path *p = &h->world->paths[h->number - 1][id];

		v->mtu = p->up.config.mtu < p->down.config.mtu ? p->up.config.mtu : p->down.config.mtu;
		world_path_changed(h->world, h->number - 1, id);
	} else {
		/* The smallest there is: a server does not know whose way is how wide. */
		for (unsigned c = 0; c < h->world->plan->clients; c++)
			for (unsigned i = 0; i < h->world->plan->paths[c]; i++)
				v->mtu = v->mtu < h->world->plan->path[c][i].up.mtu ? v->mtu : h->world->plan->path[c][i].up.mtu;
	}
	plain_tell_path(h, id, false);
}

/* Whose packet is it, from a server's ACT_SEND? False: an address that nobody has. */
static bool find_client(const struct world *w, const struct addr *remote, struct packet *p)
{
	unsigned id = (unsigned)remote->ip[3] - 1;

	if (remote->family != 4 || remote->ip[0] != 192 || id >= w->plan->clients * PATHS_MAX)
		return false;
	p->client = (uint8_t)(id / PATHS_MAX);
	p->path = (uint8_t)(id % PATHS_MAX);
	/* The mapping's number is known by its low byte. */
	p->nat_epoch = (w->paths[p->client][p->path].nat_epoch & ~0xffu) | remote->ip[2];
	return true;
}

void plain_send(struct host *h, const struct action *act)
{
	struct world *w = h->world;
	const struct addr *remote = act->send.remote;
	bool server = h->number == HOST_GATEWAY;
	const struct middlebox_out *out;
	struct packet head = { .kind = PACKET_SEGMENT, .to_gateway = !server };
	struct middlebox *box;
	unsigned n;

	if (!remote || act->send.path >= VIEWS_MAX || !h->views[act->send.path].known) {
		world_fail(w, "%s sends on path %u, to %s", world_host_name(h->number), act->send.path, remote ? "somebody" : "nobody");
		return;
	}
	if (server) {
		head.server_address = (uint8_t)act->send.path;
		head.gateway_port = act->send.local_port;
		head.client_port = remote->port;
		/* A client's own address, announced from behind its NAT, leads nowhere. */
		if (!find_client(w, remote, &head))
			return;
	} else {
		head.client = (uint8_t)(h->number - 1);
		head.path = (uint8_t)act->send.path;
		head.nat_epoch = w->paths[head.client][head.path].nat_epoch;
		head.client_port = act->send.local_port;
		head.gateway_port = remote->port;
		head.server_address = (uint8_t)(remote->ip[3] - 1);
		if (remote->ip[0] != 203 || head.server_address >= w->plan->server_addresses) {
			world_fail(w, "%s sends to an address that no server has", world_host_name(h->number));
			return;
		}
	}
	box = &w->paths[head.client][head.path].box;
	n = middlebox_pass(box, head.to_gateway, head.client_port, head.gateway_port, act->send.bytes, act->send.len, w->now_us, &out);
	for (unsigned i = 0; i < n; i++) {
		struct packet *p = packet_new(PACKET_SEGMENT, head.client, head.path, head.to_gateway, out[i].len);

		head.len = out[i].len;
		*p = head;
		memcpy(p->bytes, out[i].bytes, out[i].len);
		world_send(w, p);
	}
}

void plain_receive(struct host *h, struct packet *p)
{
	bool server = h->number == HOST_GATEWAY;
	struct event ev = { .kind = EV_SEGMENT };
	path_id id = server ? p->server_address : p->path;

	if (!h->views[id].known || !h->views[id].wanted)
		return;
	ev.segment.path = id;
	ev.segment.bytes = p->bytes;
	ev.segment.len = p->len;
	ev.segment.local_port = server ? p->gateway_port : p->client_port;
	ev.segment.listening = server;
	if (server) {
		ev.segment.remote = nat_address(p);
	} else {
		ev.segment.remote = server_address(p->server_address);
		ev.segment.remote.port = p->gateway_port;
	}
	/* The peer's mistakes are counted inside and nothing to us. */
	(void)!host_event(h, &ev);
	host_settle(h);
}
