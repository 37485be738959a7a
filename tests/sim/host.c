/* SPDX-License-Identifier: MIT */
/* What the daemon does for an engine: timers, paths and their probes, and the way to the applications. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"
#include "tunneld/wire/print.h"

enum { PROBE_BYTES = 60, ACTIONS_AT_ONCE_MAX = 20000, WAKES_AT_ONCE_MAX = 8, PROBES_UNANSWERED_MAX = 30 };

static void locate(const struct host *h, path_id id, unsigned *client, unsigned *path)
{
	*client = h->number == HOST_GATEWAY ? id / PATHS_MAX : h->number - 1;
	*path = h->number == HOST_GATEWAY ? id % PATHS_MAX : id;
}

static struct path *path_of(const struct host *h, path_id id)
{
	unsigned client, path;

	locate(h, id, &client, &path);
	return &h->world->paths[client][path];
}

static uint16_t overhead(const struct host *h)
{
	return h->world->plan->client_engine.form == SEGMENT_SEALED ? SEALED_OVERHEAD : PLAIN_OVERHEAD;
}

void host_init(struct host *h, struct world *w, unsigned number)
{
	struct engine_config config = number == HOST_GATEWAY ? w->plan->gateway_engine : w->plan->client_engine;
	struct rnd r = rnd_fork(w->seed, "engine seed", number);
	uint8_t seed[32];

	*h = (struct host){ .world = w, .number = number, .deadline_us = USEC_NEVER };
	for (unsigned i = 0; i < sizeof seed; i += 8)
		memcpy(seed + i, &(uint64_t){ rnd_next(&r) }, 8);
	config.counters = &h->counters;
	h->engine = engine_new(&config, seed, w->now_us);
	if (!h->engine)
		world_fail(w, "engine_new gives NULL");
}

void host_close(struct host *h)
{
	if (h->engine)
		engine_free(h->engine);
	h->engine = NULL;
}

enum err host_event(struct host *h, struct event *ev)
{
	return engine_input(h->engine, ev, h->world->now_us);
}

/* What must hold whenever an engine has said all it has to say. */
static void check(struct host *h)
{
	struct world *w = h->world;
	struct engine_stats stats;
	struct conn_info info;

	if (w->steps++ % w->plan->check_every == 0)
		engine_check(h->engine);
	if (w->plan->watch_buffers)
		buffers_watch(h);
	engine_stats(h->engine, &stats);
	if (stats.memory_used > stats.memory_max)
		world_fail(w, "%s: memory_used %llu exceeds memory_max %llu", world_host_name(h->number),
			   (unsigned long long)stats.memory_used, (unsigned long long)stats.memory_max);
	if (h->deadline_us != USEC_NEVER)
		return;
	for (conn_id c = engine_next_conn(h->engine, 0); c; c = engine_next_conn(h->engine, c)) {
		if (engine_conn_info(h->engine, c, &info) != ERR_OK)
			world_fail(w, "%s: engine_next_conn gives conn %u which engine_conn_info does not know",
				   world_host_name(h->number), c);
		else if (info.snd_buffer)
			world_fail(w, "%s: conn %u (%s) holds %llu unacknowledged bytes and there is no deadline",
				   world_host_name(h->number), c, info.state, (unsigned long long)info.snd_buffer);
		else if (info.client && !strcmp(info.state, "M_OPENING"))
			world_fail(w, "%s: conn %u is opening and there is no deadline", world_host_name(h->number), c);
	}
}

static void count_segment(struct host *h, const struct action *act)
{
	struct segment s = { 0 };

	h->segments++;
	h->segment_bytes += act->send.len;
	if (segment_parse(&s, act->send.bytes, act->send.len, h->world->plan->client_engine.form) != ERR_OK)
		world_fail(h->world, "%s sends a segment that does not parse", world_host_name(h->number));
	h->payload_bytes += s.payload_len;
}

static void send_segment(struct host *h, const struct action *act)
{
	struct world *w = h->world;
	struct packet *p;
	struct view *v;
	unsigned client, path;

	if (host_plain(h)) {
		count_segment(h, act);
		plain_send(h, act);
		return;
	}
	if (act->send.path >= VIEWS_MAX || !h->views[act->send.path].known) {
		world_fail(w, "%s sends on path %u, which it was not told of", world_host_name(h->number), act->send.path);
		return;
	}
	v = &h->views[act->send.path];
	if (act->send.len + overhead(h) > v->mtu) {
		char text[SEGMENT_TEXT_MAX] = "?";
		struct segment seg = { 0 };

		if (segment_parse(&seg, act->send.bytes, act->send.len, w->plan->client_engine.form) == ERR_OK)
			segment_print(&seg, text, sizeof text);
		world_fail(w, "%s sends %zu bytes on path %u, which takes %u: %s", world_host_name(h->number), act->send.len,
			   act->send.path, v->mtu - overhead(h), text);
	}
	count_segment(h, act);
	locate(h, act->send.path, &client, &path);
	p = packet_new(PACKET_SEGMENT, client, path, h->number != HOST_GATEWAY, act->send.len);
	memcpy(p->bytes, act->send.bytes, act->send.len);
	p->nat_epoch = h->number == HOST_GATEWAY ? v->nat_epoch : w->paths[client][path].nat_epoch;
	world_send(w, p);
}

static void send_probe(struct host *h, path_id id, enum packet_kind kind, uint64_t probe, usec_t sent_us)
{
	unsigned client, path;
	struct packet *p;

	locate(h, id, &client, &path);
	p = packet_new(kind, client, path, h->number != HOST_GATEWAY, PROBE_BYTES);
	p->nat_epoch = h->number == HOST_GATEWAY ? h->views[id].nat_epoch : path_of(h, id)->nat_epoch;
	p->probe = probe;
	p->probe_sent_us = sent_us;
	world_send(h->world, p);
}

static void probe(struct host *h, path_id id)
{
	struct view *v = &h->views[id];
	usec_t wait_us = v->rtt_us ? usec_max(200000, usec_min(4 * v->rtt_us, USEC_PER_S)) : USEC_PER_S;

	if (v->probe)
		return;
	v->probe = ++h->next_probe;
	wait_us = usec_min(wait_us << (v->unanswered < 4 ? v->unanswered : 4), h->world->plan->probe_most_us ? h->world->plan->probe_most_us : 2 * USEC_PER_S);
	queue_put(&h->world->queue, (struct occasion){ .at_us = h->world->now_us + wait_us, .what = HAP_PROBE_TIMER,
		.a = h->number, .path = id, .b = v->probe });
	send_probe(h, id, PACKET_PROBE, v->probe, h->world->now_us);
}

static void act_on(struct host *h, const struct action *act)
{
	switch (act->kind) {
	case ACT_SEND:
		send_segment(h, act);
		if (h->world->plan->watch_modes) {
			char why[200];

			if (!modes_look(&h->modes, h->engine, h->world->now_us, why, sizeof why))
				world_fail(h->world, "%s: %s", world_host_name(h->number), why);
		}
		break;
	case ACT_PROBE:
		if (host_plain(h))
			break; /* there is nobody to answer */
		TRACE(h->world, "%s wants path %u probed", world_host_name(h->number), act->probe.path);
		if (act->probe.path >= VIEWS_MAX)
			world_fail(h->world, "%s wants path %u probed", world_host_name(h->number), act->probe.path);
		else if (h->views[act->probe.path].known && h->views[act->probe.path].state != PATH_DOWN)
			probe(h, act->probe.path);
		break;
	case ACT_PORT_FREE:
		break;
	case ACT_DIAL:
		app_dial(h, act);
		break;
	default:
		app_action(h, act);
		break;
	}
}

void host_pump(struct host *h)
{
	struct world *w = h->world;
	struct action act;

	h->pump_pending = false;
	h->pumping = true;
	if (h->busy_at_us != w->now_us) {
		h->busy_at_us = w->now_us;
		h->busy_actions = h->busy_wakes = 0;
	}
	while (!w->failed && engine_output(h->engine, &act, w->now_us)) {
		act_on(h, &act);
		if (++h->busy_actions > ACTIONS_AT_ONCE_MAX)
			world_fail(w, "%s: more than %u actions and no time passes; the last is kind %d of conn %u",
				   world_host_name(h->number), ACTIONS_AT_ONCE_MAX, act.kind, act.conn);
	}
	h->pumping = false;
	h->deadline_us = engine_deadline(h->engine);
	if (!w->failed)
		check(h);
}

void host_settle(struct host *h)
{
	struct world *w = h->world;

	if (h->pumping || h->pump_pending)
		return;
	if (!w->plan->batch_us) {
		host_pump(h);
		return;
	}
	h->pump_pending = true;
	queue_put(&w->queue, (struct occasion){ .at_us = w->now_us + w->plan->batch_us, .what = HAP_PUMP, .a = h->number });
}

void host_deadline(struct host *h)
{
	struct world *w = h->world;
	enum err err;

	if (h->busy_at_us == w->now_us && ++h->busy_wakes > WAKES_AT_ONCE_MAX) {
		world_fail(w, "%s: engine_deadline() stays at %llu, and calling engine_output() then does not change it",
			   world_host_name(h->number), (unsigned long long)h->deadline_us);
		return;
	}
	if (w->plan->event_time) {
		err = host_event(h, &(struct event){ .kind = EV_TIME });
		if (err != ERR_OK)
			world_fail(w, "EV_TIME gives %s", err_text(err));
	}
	host_pump(h);
}

static void tell_path(struct host *h, path_id id, bool gone)
{
	static const uint8_t gateway_ip[2][4] = { { 203, 0, 113, 1 }, { 198, 51, 100, 1 } };
	struct world *w = h->world;
	struct view *v = &h->views[id];
	struct event ev = { .kind = EV_PATH };
	struct addr near, far;
	char name[16];
	unsigned client, path;
	enum err err;

	locate(h, id, &client, &path);
	far = (struct addr){ .family = 4, .port = 4500 };
	memcpy(far.ip, gateway_ip[path & 1], 4);
	if (h->number == HOST_GATEWAY)
		near = (struct addr){ .family = 4, .ip = { 192, 0, 2, (uint8_t)(1 + id) }, .port = (uint16_t)(10000 + v->nat_epoch) };
	else
		near = (struct addr){ .family = 4, .ip = { 10, (uint8_t)client, (uint8_t)path, 2 }, .port = 4500 };
	snprintf(name, sizeof name, "%s.%u", world_host_name(1 + client), path);
	ev.path.path = id;
	ev.path.peer = h->number == HOST_GATEWAY ? 1 + client : 1;
	ev.path.state = v->state;
	ev.path.gone = gone;
	ev.path.backup = w->plan->path[client][path].backup;
	ev.path.may_initiate = h->number != HOST_GATEWAY;
	ev.path.peer_carried = true;
	ev.path.addr_id = (uint8_t)(h->number == HOST_GATEWAY ? 1 + (path & 1) : 1 + path);
	ev.path.mtu_payload = (uint16_t)(v->mtu - overhead(h));
	ev.path.rtt_us = v->rtt_us;
	ev.path.local = h->number == HOST_GATEWAY ? far : near;
	ev.path.remote = h->number == HOST_GATEWAY ? near : far;
	ev.path.name = name;
	TRACE(w, "%s path %s is %s%s, rtt %llu us, mtu %u, remote port %u", world_host_name(h->number), name,
	      (const char *const[]){ "down", "up", "suspect" }[v->state], gone ? " and gone" : "",
	      (unsigned long long)v->rtt_us, v->mtu, ev.path.remote.port);
	err = host_event(h, &ev);
	if (err != ERR_OK)
		world_fail(w, "%s: EV_PATH %s gives \"%s\"", world_host_name(h->number), name, err_text(err));
	host_settle(h);
}

static void learn(struct host *h, path_id id)
{
	struct path *p = path_of(h, id);
	struct view *v = &h->views[id];
	unsigned client, path;

	if (v->known)
		return;
	v->mtu = p->up.config.mtu < p->down.config.mtu ? p->up.config.mtu : p->down.config.mtu;
	v->known = true;
	locate(h, id, &client, &path);
	world_path_changed(h->world, client, path);
}

void host_receive(struct host *h, struct packet *p)
{
	path_id id = h->number == HOST_GATEWAY ? p->client * (unsigned)PATHS_MAX + p->path : p->path;
	struct view *v = &h->views[id];
	struct event ev = { .kind = EV_SEGMENT };

	if (host_plain(h)) {
		plain_receive(h, p);
		return;
	}
	v->heard_us = h->world->now_us;
	if (h->number == HOST_GATEWAY) {
		/* Anything authentic from the client brings the path into being, and tells its address. */
		if (!v->known || p->nat_epoch > v->nat_epoch) {
			learn(h, id);
			v->nat_epoch = p->nat_epoch;
			if (v->state == PATH_DOWN)
				v->state = PATH_UP;
			v->unanswered = 0;
			tell_path(h, id, false);
		} else if (v->state == PATH_SUSPECT && !h->world->plan->heard_is_up) {
			v->unanswered = 1;
			probe(h, id);
		}
	} else if (!v->wanted) {
		return;
	}
	if (h->world->plan->heard_is_up) {
		v->unanswered = 0;
		if (v->known && v->state == PATH_SUSPECT) {
			v->state = PATH_UP;
			tell_path(h, id, false);
		}
	}
	if (p->kind == PACKET_PROBE_REPLY && v->known) {
		struct event heard = { .kind = EV_HEARD, .heard = { .path = id, .asked_us = p->probe_sent_us } };

		(void)!host_event(h, &heard);
	}
	switch (p->kind) {
	case PACKET_PROBE:
		send_probe(h, id, PACKET_PROBE_REPLY, p->probe, p->probe_sent_us);
		break;
	case PACKET_PROBE_REPLY:
		if (p->probe == v->probe)
			v->probe = 0;
		v->unanswered = 0;
		v->rtt_us = usec_since(h->world->now_us, p->probe_sent_us);
		learn(h, id);
		v->state = PATH_UP;
		tell_path(h, id, false);
		break;
	case PACKET_SEGMENT:
		if (!v->known)
			return;
		ev.segment.path = id;
		ev.segment.bytes = p->bytes;
		ev.segment.len = p->len;
		/* The peer's mistakes are counted inside and nothing to us. */
		(void)!host_event(h, &ev);
		host_settle(h);
		break;
	}
}

void host_probe_timer(struct host *h, path_id id, uint64_t number)
{
	struct view *v = &h->views[id];
	bool gateway = h->number == HOST_GATEWAY;

	if (v->probe != number)
		return;
	v->probe = 0;
	if (!gateway && !v->wanted)
		return;
	v->unanswered++;
	if (v->known && v->state == PATH_UP && v->unanswered >= 2) {
		v->state = PATH_SUSPECT;
		tell_path(h, id, false);
	}
	if (gateway && v->unanswered > PROBES_UNANSWERED_MAX) {
		if (v->known && usec_since(h->world->now_us, v->heard_us) > 60 * USEC_PER_S) {
			v->state = PATH_DOWN;
			tell_path(h, id, true);
			v->known = false;
		}
		return;
	}
	probe(h, id);
}

void host_keepalive(struct host *h, path_id id)
{
	struct view *v = &h->views[id];
	struct engine_stats stats;

	if (host_plain(h))
		return;
	engine_stats(h->engine, &stats);
	if (v->wanted && usec_since(h->world->now_us, v->heard_us) >= (stats.connections ? 1 : 10) * USEC_PER_S)
		probe(h, id);
	queue_put(&h->world->queue, (struct occasion){ .at_us = h->world->now_us + USEC_PER_S, .what = HAP_KEEPALIVE,
		.a = h->number, .path = id });
}

void host_path_up(struct host *h, path_id id)
{
	struct view *v = &h->views[id];

	if (host_plain(h)) {
		plain_path_up(h, id);
		return;
	}
	v->wanted = true;
	v->probe = 0;
	v->unanswered = 0;
	v->rtt_us = 0;
	probe(h, id);
}

void host_path_down(struct host *h, path_id id, bool gone)
{
	struct view *v = &h->views[id];

	v->wanted = false;
	v->probe = 0;
	v->state = PATH_DOWN;
	if (v->known && host_plain(h))
		plain_tell_path(h, id, gone);
	else if (v->known)
		tell_path(h, id, gone);
	if (gone)
		v->known = false;
}

void host_path_mtu(struct host *h, path_id id, uint16_t mtu)
{
	struct view *v = &h->views[id];

	if (!v->known || v->mtu == mtu)
		return;
	v->mtu = mtu;
	if (host_plain(h))
		plain_tell_path(h, id, false);
	else
		tell_path(h, id, false);
}
