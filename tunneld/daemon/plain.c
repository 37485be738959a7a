/* SPDX-License-Identifier: MIT */
/*
 * The plain encapsulation (draft-cheshire-tcp-over-udp): a second room beside net.c, with an engine, sockets and paths
 * of its own. Here a path is one local address; a subflow that we open has a socket of its own, bound to its port; those that
 * others open come to the sockets of plain.listen. Nothing is sealed, and the other end may be anybody's MPTCP.
 */
#include "tunneld/daemon/plain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "tunneld/status/capture.h"
#include "tunneld/io/clock.h"
#include "tunneld/io/log.h"

#define TEXT(a) addr_print((a), (char[ADDR_TEXT_MAX]){ 0 })

/* Codes of ICMP's destination unreachable, RFC 792, RFC 1812. */
enum { ICMP_PORT_UNREACHABLE = 3, ICMP_PROHIBITED = 13 };

enum err plain_tell(struct daemon *d, struct event *ev)
{
	return engine_input(d->plain_engine, ev, d->now_us);
}

/* --- sockets --- */

static struct plain_socket **bucket(struct plain *pl, path_id path, uint16_t port)
{
	return &pl->sockets[(path * 31u + port) % PLAIN_SOCKET_BUCKETS];
}

void plain_undirty(struct plain *pl, struct plain_socket *s)
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
	plain_undirty(pl, s);
	udp_batch_flush(&s->batch, &s->udp);
	udp_close(&s->udp);
	free(s);
}

void plain_close_sockets_of(struct plain *pl, path_id path)
{
	for (unsigned i = 0; i < PLAIN_SOCKET_BUCKETS; i++)
		for (struct plain_socket **at = &pl->sockets[i]; *at;)
			if ((*at)->path == path)
				socket_free(pl, at);
			else
				at = &(*at)->next;
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
		path = plain_path_learn(d, s, dg->to.family ? &dg->to : &s->udp.local, dg->ifindex);
	if (path >= PLAIN_PATHS_MAX)
		return;
	if (d->capture)
		plain_capture(d, path, false, s->port, &dg->from, dg->bytes, dg->len);
	d->plain->paths[path].bytes_received += dg->len;
	d->plain->paths[path].datagrams_received++;
	ev = (struct event){
		.kind = EV_SEGMENT,
		.segment = {
			.path = path, .bytes = dg->bytes, .len = dg->len, .local_port = s->port, .listening = s->listening && !s->retired && !d->ending,
			.remote = dg->from,
		},
	};
	(void)plain_tell(d, &ev); /* its refusals are counted by itself */
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

/*
 * The path is that of the socket; a listening one does not know which of our addresses the lost datagram was from. True: it was
 * one of a subflow's, by ev->lost.path.
 */
static bool tell_of_loss(struct plain_socket *s, struct event *ev)
{
	ev->lost.path = s->path;
	if (!s->listening)
		return plain_tell(s->daemon, ev) == ERR_OK;
	for (path_id id = 0; id < PLAIN_PATHS_MAX; id++) {
		ev->lost.path = id;
		if (s->daemon->plain->paths[id].used && plain_tell(s->daemon, ev) == ERR_OK)
			return true;
	}
	return false;
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
			ev.lost.mtu_payload = plain_payload(e->mtu, &e->to);
	}
	if (tell_of_loss(s, &ev) && !ev.lost.mtu_payload)
		fault_plain_error(s->daemon, ev.lost.path, e);
}

static void on_too_big(void *owner, struct udp *u, const struct addr *to, size_t len)
{
	struct plain_socket *s = owner;
	struct event ev = { .kind = EV_LOST, .lost = { .local_port = s->port, .remote = *to, .mtu_payload = (uint16_t)(len - 1) } };

	(void)u;
	(void)tell_of_loss(s, &ev);
}

const struct udp_events plain_udp_events = { .datagram = on_datagram, .too_big = on_too_big, .error = on_error };

/* --- out --- */

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
	if (s || (s = plain_listener_of(d->plain, &d->plain->paths[path].local, port)))
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
		(void)plain_tell(d, &ev);
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
	d->plain->paths[act->send.path].bytes_sent += act->send.len;
	d->plain->paths[act->send.path].datagrams_sent++;
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

/* --- life --- */

int plain_open(struct daemon *d)
{
	if (!d->plain_engine)
		return 0;
	d->plain = calloc(1, sizeof *d->plain);
	if (!d->plain) {
		log_line(LOG_ERROR, "out of memory");
		return 1;
	}
	if (plain_listen_open(d))
		return 1;
	plain_refresh(d);
	return 0;
}

void plain_close(struct daemon *d)
{
	struct plain *pl = d->plain;

	if (!pl)
		return;
	for (unsigned i = 0; i < PLAIN_SOCKET_BUCKETS; i++)
		while (pl->sockets[i])
			socket_free(pl, &pl->sockets[i]);
	plain_listen_close(pl);
	free(pl);
	d->plain = NULL;
}
