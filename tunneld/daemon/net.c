/* SPDX-License-Identifier: MIT */
/* Datagrams: sealed and opened between the sockets and the engine; sessions and paths. */
#include "tunneld/daemon/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "tunneld/io/clock.h"
#include "tunneld/io/log.h"

#define TEXT(a) addr_print((a), (char[ADDR_TEXT_MAX]){ 0 })

/* --- out --- */

static void dirty(struct daemon *d, struct path_end *e)
{
	if (e->dirty)
		return;
	e->dirty = true;
	e->dirty_next = d->dirty;
	d->dirty = e;
}

void net_flush(struct daemon *d)
{
	struct path_end *e;

	while ((e = d->dirty)) {
		d->dirty = e->dirty_next;
		e->dirty = false;
		if (e->udp)
			udp_batch_flush(&e->batch, e->udp);
	}
}

/* Seals straight into the path's batch. */
static void seal_to(struct daemon *d, struct path_end *e, enum datagram_type type, const uint8_t *bytes, size_t len)
{
	uint8_t *room;
	size_t n;

	if (!e->udp)
		return;
	room = udp_batch_room(&e->batch, e->udp, &e->remote, e->source.family ? &e->source : NULL,
			      len + DATAGRAM_DATA_OVERHEAD);
	if (!room)
		return;
	n = seal_output(d->seal, e->peer, e->no, type, bytes, len, room, d->now_us);
	udp_batch_add(&e->batch, e->udp, n);
	if (!n) {
		count(&d->counters, CNT_SendNoSession);
		if (d->peers[e->peer].kind == PEER_GATEWAY)
			seal_connect(d->seal, e->peer, d->now_us);
		return;
	}
	dirty(d, e);
	/* A close is the last thing said: no answer comes. */
	if (!d->ending || type == DATAGRAM_DATA)
		paths_sent(d->paths, e, n, d->now_us);
}

void net_segment(struct daemon *d, const struct action *act)
{
	struct path_end *e = paths_by_id(d->paths, act->send.path);

	if (!e)
		return;
	if (d->capture)
		status_capture(d, e, true, act->send.bytes, act->send.len);
	seal_to(d, e, DATAGRAM_DATA, act->send.bytes, act->send.len);
}

static void send_raw(struct daemon *d, struct udp *u, const struct addr *to, const struct addr *from,
		     const uint8_t *bytes, size_t len)
{
	uint8_t *room = len ? udp_batch_room(&d->reply, u, to, from, len) : NULL;

	if (!room)
		return;
	memcpy(room, bytes, len);
	udp_batch_add(&d->reply, u, len);
	udp_batch_flush(&d->reply, u);
}

/* On every path of that gateway: the first copy to arrive is answered, the others are replays to it. */
static void handshakes(struct daemon *d)
{
	uint8_t bytes[512];
	size_t len;
	seal_peer peer;
	uint32_t attempt;

	while (seal_handshake(d->seal, &peer, &attempt, bytes, &len, d->now_us)) {
		struct peer *p = &d->peers[peer];
		unsigned sent = 0;

		if (attempt > 1)
			paths_rotate(d->paths, peer);
		for (uint8_t no = 0; no < PATHS_PER_PEER; no++) {
			struct path_end *e = paths_find(d->paths, peer, no);

			if (!e || !e->udp)
				continue;
			send_raw(d, e->udp, &e->remote, e->source.family ? &e->source : NULL, bytes, len);
			sent++;
		}
		memcpy(p->initiation, bytes, len);
		p->initiation_len = len;
		p->handshake_sent_us = d->now_us;
		p->handshake_attempt = attempt;
		if (attempt == 3)
			log_line(LOG_WARN, "gateway %s does not answer (%u path%s tried)", p->name, sent, sent == 1 ? "" : "s");
	}
}

/* --- sessions --- */

static void session_ready(struct daemon *d, struct peer *p, peer_id peer, const struct udp_datagram *dg, struct udp *u)
{
	struct path_end *e;

	if (!p->ready_told && d->worker)
		log_line(LOG_INFO, "%s %s: session of worker %u", p->kind == PEER_GATEWAY ? "gateway" : "client", p->name, d->worker);
	else if (!p->ready_told)
		log_line(LOG_INFO, "%s %s: session", p->kind == PEER_GATEWAY ? "gateway" : "client", p->name);
	p->ready_told = true;
	fault_session(d, peer, false);
	if (p->kind != PEER_GATEWAY)
		return;
	if (!d->worker && d->next) {
		struct seal_peer_info info;

		seal_peer_info(d->seal, peer, &info);
		if (info.peer_capabilities & CAP_WORKERS)
			place_gateway(d, peer);
	}
	/* The answer came on this path: it lives, and how long the answer took is its first round trip. */
	for (e = paths_next(d->paths, NULL); e; e = paths_next(d->paths, e)) {
		if (e->peer != peer || e->udp != u)
			continue;
		paths_heard(d->paths, e, dg->len, d->now_us);
		if (!e->srtt_us && !p->handshake_attempt)
			paths_rtt(d->paths, e, d->now_us - p->handshake_sent_us);
	}
	paths_session(d->paths, peer, d->now_us);
	flow_gateway_ready(d);
}

/* Its process is another one than before: it knows nothing of our connections, nor of our paths. */
static void check_epoch(struct daemon *d, struct peer *p, peer_id peer, uint64_t epoch)
{
	bool restarted = p->epoch && epoch && p->epoch != epoch;

	if (epoch)
		p->epoch = epoch;
	if (!restarted)
		return;
	count(&d->counters, CNT_PeerRestarted);
	fault_session(d, peer, true);
	log_line(LOG_WARN, "%s %s restarted: its connections are reset",
		 p->kind == PEER_GATEWAY ? "gateway" : "client", p->name);
	if (p->kind == PEER_CLIENT)
		paths_forget_peer(d->paths, peer, false);
	flow_abort_peer(d, peer);
}

/* --- in --- */

static struct path_end *path_of(struct daemon *d, const struct seal_in *in, struct udp *u, const struct udp_datagram *dg)
{
	struct peer *p = &d->peers[in->peer];
	struct path_end *e = paths_find(d->paths, in->peer, in->path_no);

	if (p->kind == PEER_CLIENT) {
		if (!e)
			e = paths_learn(d->paths, in->peer, p->name, in->path_no, u, dg, &d->interfaces, d->now_us);
		else if (in->path_new_endpoint)
			paths_roam(d->paths, e, u, dg, d->now_us);
	}
	if (e)
		paths_heard(d->paths, e, dg->len, d->now_us);
	return e;
}

static void on_datagram(struct daemon *d, struct udp *u, const struct udp_datagram *dg)
{
	struct seal_in in;
	struct path_end *e;
	struct event ev;

	if (dg->first)
		d->now_us = clock_now();
	seal_input(d->seal, dg->bytes, dg->len, &dg->from, d->now_us, &in);
	if (in.result == SEAL_DROPPED) {
		fault_dropped(d, u, dg);
		return;
	}
	if (in.reply_len)
		send_raw(d, u, &dg->from, &dg->to, in.reply, in.reply_len);
	if (in.result == SEAL_REPLY) {
		if (in.peer_added)
			daemon_peer_again(d, in.peer);
		return;
	}
	if (in.new_session || in.result == SEAL_READY)
		check_epoch(d, &d->peers[in.peer], in.peer, in.peer_epoch);
	switch (in.result) {
	case SEAL_READY:
		session_ready(d, &d->peers[in.peer], in.peer, dg, u);
		break;
	case SEAL_DATA:
		e = path_of(d, &in, u, dg);
		if (!e)
			break;
		if (d->capture)
			status_capture(d, e, false, in.bytes, in.len);
		ev = (struct event){ .kind = EV_SEGMENT, .segment = { .path = e->id, .bytes = in.bytes, .len = in.len } };
		(void)daemon_event(d, &ev);
		break;
	case SEAL_PATH:
		if (in.new_session && d->peers[in.peer].kind == PEER_CLIENT)
			session_ready(d, &d->peers[in.peer], in.peer, dg, u);
		e = path_of(d, &in, u, dg);
		if (e) {
			ev = (struct event){ .kind = EV_HEARD, .heard = { .path = e->id } };
			ev.heard.asked_us = paths_message(d->paths, e, in.bytes, in.len, d->now_us);
			if (ev.heard.asked_us)
				(void)daemon_event(d, &ev);
		}
		break;
	case SEAL_DROPPED:
	case SEAL_REPLY:
		break;
	}
}

static void on_listen_datagram(void *owner, struct udp *u, const struct udp_datagram *dg)
{
	on_datagram(owner, u, dg);
}

static void on_path_datagram(void *owner, struct udp *u, const struct udp_datagram *dg)
{
	on_datagram(((struct path_end *)owner)->host, u, dg);
}

static void on_listen_too_big(void *owner, struct udp *u, const struct addr *to, size_t len)
{
	struct daemon *d = owner;

	(void)u;
	for (struct path_end *e = paths_next(d->paths, NULL); e; e = paths_next(d->paths, e))
		if (addr_eq(&e->remote, to))
			paths_too_big(d->paths, e, len);
}

static void on_path_too_big(void *owner, struct udp *u, const struct addr *to, size_t len)
{
	struct path_end *e = owner;
	struct daemon *d = e->host;

	(void)u, (void)to;
	paths_too_big(d->paths, e, len);
}

static void on_listen_error(void *owner, struct udp *u, const struct udp_error *error)
{
	struct daemon *d = owner;

	d->now_us = clock_now();
	for (struct path_end *e = paths_next(d->paths, NULL); e; e = paths_next(d->paths, e))
		if (e->udp == u && addr_eq(&e->remote, &error->to)) {
			fault_udp_error(d, e, error);
			break;
		}
}

static void on_path_error(void *owner, struct udp *u, const struct udp_error *error)
{
	struct path_end *e = owner;
	struct daemon *d = e->host;

	(void)u;
	d->now_us = clock_now();
	/* One for a gateway address it has since left says nothing of the one in use. */
	if (!error->to.family || addr_eq(&error->to, &e->remote))
		fault_udp_error(d, e, error);
}

static const struct udp_events listen_events = {
	.datagram = on_listen_datagram, .too_big = on_listen_too_big, .error = on_listen_error,
};
static const struct udp_events path_events = {
	.datagram = on_path_datagram, .too_big = on_path_too_big, .error = on_path_error,
};

/* --- paths --- */

static void on_path_send(void *owner, struct path_end *e, const uint8_t *bytes, size_t len)
{
	/* Alone: where a virtual link does not look into a batch, a length must be tried outside of one. */
	if (e->udp)
		udp_batch_flush(&e->batch, e->udp);
	seal_to(owner, e, DATAGRAM_PATH, bytes, len);
	if (e->udp)
		udp_batch_flush(&e->batch, e->udp);
}

static void on_path_changed(void *owner, struct path_end *e, bool gone)
{
	static const enum path_state states[] = { [LIFE_NONE] = PATH_DOWN, [LIFE_UP] = PATH_UP, [LIFE_SUSPECT] = PATH_SUSPECT };
	struct daemon *d = owner;
	struct seal_peer_info peer;
	struct event ev = {
		.kind = EV_PATH,
		.path = {
			.path = e->id, .peer = e->peer, .state = gone ? PATH_DOWN : states[e->life], .gone = gone,
			.backup = e->backup, .may_initiate = e->initiator, .addr_id = (uint8_t)(e->no + 1),
			.mtu_payload = e->mtu_payload, .rtt_us = e->srtt_us, .cost = e->cost, .local = e->local, .remote = e->remote,
			.name = e->name,
		},
	};

	seal_peer_info(d->seal, e->peer, &peer);
	ev.path.peer_uperf = peer.peer_capabilities & CAP_UPERF;
	ev.path.peer_long_prio = peer.peer_capabilities & CAP_LONG_MP_PRIO;
	ev.path.peer_carried = peer.peer_capabilities & CAP_CARRIED;
	fault_path_changed(d, e, gone);
	if (daemon_event(d, &ev) != ERR_OK)
		log_line(LOG_WARN, "path %s: the engine has no room for it", e->name);
	if (gone && e->dirty) {
		struct path_end **at = &d->dirty;

		while (*at != e)
			at = &(*at)->dirty_next;
		*at = e->dirty_next;
		e->dirty = false;
	}
	log_line(LOG_DEBUG, "path %s (%s): %s, srtt %.1f ms", e->name, TEXT(&e->remote),
		 gone ? "gone" : path_life_text(e->life), (double)e->srtt_us / 1e3);
	if (gone || !e->initiator)
		return;
	if (e->life == LIFE_UP)
		flow_gateway_ready(d);
	else if (e->udp && !seal_ready(d->seal, e->peer, d->now_us))
		send_raw(d, e->udp, &e->remote, NULL, d->peers[e->peer].initiation, d->peers[e->peer].initiation_len);
}

static void on_peer_silent(void *owner, uint32_t peer)
{
	struct daemon *d = owner;

	if (d->peers[peer].kind == PEER_GATEWAY && !d->ending)
		seal_rekey(d->seal, peer, d->now_us);
}

static const struct paths_events paths_events = {
	.send = on_path_send, .changed = on_path_changed, .silent = on_peer_silent,
};

bool net_gateway(struct daemon *d, peer_id *out)
{
	for (peer_id peer = 0; peer < d->peers_max; peer++) {
		if (d->peers[peer].kind != PEER_GATEWAY || !seal_ready(d->seal, peer, d->now_us))
			continue;
		for (uint8_t no = 0; no < PATHS_PER_PEER; no++) {
			struct path_end *e = paths_find(d->paths, peer, no);

			if (e && e->life == LIFE_UP) {
				*out = peer;
				return true;
			}
		}
	}
	return false;
}

bool net_any_path(struct daemon *d)
{
	for (struct path_end *e = paths_next(d->paths, NULL); e; e = paths_next(d->paths, e))
		if (e->initiator)
			return true;
	return false;
}

void net_peer_gone(struct daemon *d, peer_id peer, bool tell)
{
	paths_forget_peer(d->paths, peer, tell);
	net_flush(d);
}

/* --- interfaces --- */

static void read_interfaces(struct daemon *d)
{
	size_t n = 0;
	struct addr *own;

	if (ifaddrs_read(&d->interfaces)) {
		log_line(LOG_WARN, "cannot read the interfaces");
		return;
	}
	for (unsigned i = 0; i < d->interfaces.interface_count; i++)
		n += d->interfaces.interfaces[i].address_count;
	own = calloc(n + 1, sizeof *own);
	if (own) {
		free(d->own);
		d->own = own;
		d->own_count = 0;
		for (unsigned i = 0; i < d->interfaces.interface_count; i++)
			for (unsigned k = 0; k < d->interfaces.interfaces[i].address_count; k++)
				own[d->own_count++] = d->interfaces.interfaces[i].addresses[k];
		d->egress.own = d->own;
		d->egress.own_count = d->own_count;
	}
	fault_interfaces(d);
	if (d->config->client)
		paths_refresh(d->paths, &d->interfaces, d->now_us);
	plain_refresh(d);
}

static void on_interfaces(void *owner)
{
	((struct daemon *)owner)->interfaces_changed = true; /* read once, before the loop sleeps */
}

/* --- life --- */

void net_time(struct daemon *d)
{
	if (d->interfaces_changed) {
		d->interfaces_changed = false;
		read_interfaces(d);
	}
	paths_time(d->paths, d->now_us);
	handshakes(d);
}

usec_t net_deadline(const struct daemon *d)
{
	return usec_min(paths_deadline(d->paths), seal_deadline(d->seal));
}

/* The receiver index's high bits, and the sender's of an initiation (wire/datagram.h). None answers what we listen with. */
static int steer(struct daemon *d, struct udp *first)
{
	static const uint8_t byte[] = { [DATAGRAM_INITIATION] = 4, [DATAGRAM_DATA] = 1, [DATAGRAM_PATH] = 1 };
	struct udp_steer steer = {
		.type_max = DATAGRAM_PATH, .byte = byte, .shift = 8 - DATAGRAM_STEER_BITS, .sockets = (uint8_t)d->config->workers,
	};

	return udp_steer(first, &steer);
}

static int listen_open(struct daemon *d, unsigned i)
{
	struct udp *first = &d->first->listen[i];
	int error;

	if (!d->worker)
		return udp_open(&d->listen[i], d->loop, &d->pool, &d->config->listen[i], NULL, &listen_events, d);
	error = udp_open_beside(&d->listen[i], d->loop, &d->pool, first, &listen_events, d);
	/* Sockets have become several with the first that came beside. */
	return !error && d->worker == 1 ? steer(d, first) : error;
}

void net_join_gateway(struct daemon *d, peer_id gateway)
{
	struct peer *p = &d->peers[gateway];

	if (p->joined || p->kind != PEER_GATEWAY || d->ending)
		return;
	p->joined = true;
	for (size_t i = 0; i < d->config->gateway_count; i++)
		if (!memcmp(d->config->gateways[i].public_key, p->public_key, KEY_SIZE))
			paths_add_gateway(d->paths, gateway, &d->config->gateways[i]);
	seal_connect(d->seal, gateway, d->now_us);
	if (d->worker)
		d->interfaces_changed = true; /* its paths come with them */
}

int net_open(struct daemon *d)
{
	struct paths_config pc = {
		.loop = d->loop, .pool = &d->pool, .udp_events = &path_events, .events = &paths_events, .owner = d,
		.counters = &d->counters, .paths_max = PATHS_PER_PEER * d->peers_max,
	};
	unsigned listening = 0;
	int error;

	d->ifaddrs_watch.fd = -1;
	for (unsigned i = 0; i < CONFIG_ADDRESSES_MAX; i++)
		d->listen[i].fd = -1;
	if (getrandom(&pc.chance, sizeof pc.chance, 0) != sizeof pc.chance || !(d->paths = paths_new(&pc))) {
		log_line(LOG_ERROR, "out of memory");
		return 1;
	}
	for (unsigned i = 0; i < d->config->listen_count; i++) {
		if (d->worker && d->first->listen[i].fd < 0)
			continue;
		error = listen_open(d, i);
		if (error == EAFNOSUPPORT && i + 1 < d->config->listen_count + listening) {
			/* "[::]" in the usual pair, on a machine without IPv6. */
			log_line(LOG_WARN, "not listening on %s: %s", TEXT(&d->config->listen[i]), strerror(error));
			continue;
		}
		if (error) {
			log_line(LOG_ERROR, "cannot listen on %s: %s", TEXT(&d->config->listen[i]), strerror(error));
			return 1;
		}
		listening++;
		if (!d->worker)
			log_line(LOG_INFO, "listening on %s", TEXT(&d->listen[i].local));
	}
	if (d->config->client)
		paths_set_links(d->paths, d->config->paths_auto, d->config->paths, d->config->path_count);
	/* Peers were added in the config's order. The other workers follow when the gateway says that it takes several. */
	for (peer_id peer = 0; peer < d->peers_max && !d->worker; peer++)
		if (d->peers[peer].kind == PEER_GATEWAY)
			net_join_gateway(d, peer);
	error = ifaddrs_watch_open(&d->ifaddrs_watch, d->loop, on_interfaces, d);
	if (error)
		log_line(LOG_WARN, "no news of interfaces: %s", strerror(error));
	read_interfaces(d);
	if (d->config->gateway_count && !d->worker && !net_any_path(d))
		log_line(LOG_WARN, "no path to any gateway yet: no interface is up with an address and a route");
	return 0;
}

void net_reload(struct daemon *d)
{
	paths_set_links(d->paths, d->config->paths_auto, d->config->paths, d->config->path_count);
	d->interfaces_changed = true;
}

void net_close(struct daemon *d)
{
	ifaddrs_watch_close(&d->ifaddrs_watch);
	for (peer_id peer = 0; d->paths && peer < d->peers_max; peer++)
		if (d->peers[peer].kind != PEER_NONE)
			net_peer_gone(d, peer, true);
	for (unsigned i = 0; i < d->config->listen_count; i++)
		udp_close(&d->listen[i]);
	paths_free(d->paths);
}
