/* SPDX-License-Identifier: MIT */
#include "tunneld/status/status.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tunneld/status/capture.h"
#include "tunneld/daemon/plain.h"
#include "tunneld/status/events.h"
#include "tunneld/io/clock.h"
#include "tunneld/io/memory.h"
#include "tunneld/status/status_json.h"

static json_t *peer_name(const struct daemon *d, peer_id peer)
{
	return json_string(peer < d->peers_max && d->peers[peer].kind != PEER_NONE ? d->peers[peer].name : "");
}

/* --- connections --- */

/* As mptcp/backup.h adds them up. */
static json_t *score_parts(const struct score *s)
{
	json_t *o = json_object();

	json_set(o, "rtt", json_real(s->rtt));
	json_set(o, "rto", json_real(s->rto));
	json_set(o, "loss", json_real(s->loss));
	json_set(o, "rate", json_real(s->rate));
	json_set(o, "fault", json_real(s->fault));
	json_set(o, "cost", json_real(s->cost));
	return o;
}

static json_t *subflow(struct daemon *d, const struct engine *engine, const struct subflow_info *s)
{
	json_t *o = json_object();
	bool plain = engine == d->plain_engine;
	const struct path_end *e = plain ? NULL : paths_by_id(d->paths, s->path);
	/* The engine's ports are the virtual ones inside the sealed datagram, RFC 9293's; the addresses are the path's. */
	struct addr local = e ? e->local : s->local, remote = e ? e->remote : s->remote;
	const char *name = plain ? plain_path_name(d, s->path) : e ? e->name : NULL;

	json_set(o, "id", json_number_of(s->id));
	json_set(o, "path", name ? json_string(name) : json_null());
	json_set(o, "local", json_address(&local));
	json_set(o, "remote", json_address(&remote));
	json_set(o, "local_port", json_number_of(s->local_port));
	json_set(o, "remote_port", json_number_of(s->remote_port));
	json_set(o, "local_addr_id", json_number_of(s->local_addr_id));
	json_set(o, "remote_addr_id", json_number_of(s->remote_addr_id));
	json_set(o, "state", json_string(s->state));
	json_set(o, "mode", json_string(s->mode));
	json_set(o, "backup", json_boolean(s->backup));
	json_set(o, "stale", json_boolean(s->stale));
	json_set(o, "rto_ms", json_number_of(s->rto_ms));
	json_set(o, "srtt_ms", json_real(s->srtt_ms));
	json_set(o, "rttvar_ms", json_real(s->rttvar_ms));
	json_set(o, "cwnd", json_number_of(s->cwnd));
	json_set(o, "in_flight", json_number_of(s->in_flight));
	json_set(o, "uperf_timeout_ms", json_number_of(s->uperf_timeout_ms));
	json_set(o, "uperf_remote_ms", json_number_of(s->uperf_remote_ms));
	json_set(o, "uperf_cause", json_string(s->uperf_cause));
	json_set(o, "score", json_real(s->score.total));
	json_set(o, "score_parts", score_parts(&s->score));
	json_set(o, "snd_una", json_number_of(s->snd_una));
	json_set(o, "snd_nxt", json_number_of(s->snd_nxt));
	json_set(o, "rcv_nxt", json_number_of(s->rcv_nxt));
	json_set(o, "rcv_wnd", json_number_of(s->rcv_wnd));
	json_set(o, "bytes_sent", json_number_of(s->bytes_sent));
	json_set(o, "bytes_received", json_number_of(s->bytes_received));
	json_set(o, "retransmitted_segments", json_number_of(s->retransmitted_segments));
	return o;
}

static const struct flow *flow_of(const struct daemon *d, const struct engine *engine, const struct conn_info *c)
{
	uint32_t index = (uint32_t)c->host;
	const struct flow *f = index < d->connections_max ? &d->flows[index] : NULL;

	return f && f->state != FLOW_FREE && f->engine == engine && f->conn == c->conn ? f : NULL;
}

static json_t *connection(struct daemon *d, const struct engine *engine, const struct conn_info *c)
{
	json_t *o = json_object(), *subflows = json_array();
	const struct flow *f = flow_of(d, engine, c);
	bool plain = engine == d->plain_engine;
	struct subflow_info s;

	json_set(o, "token", json_token(c->token));
	json_set(o, "worker", json_number_of(d->worker));
	json_set(o, "remote_token", json_token(c->remote_token));
	json_set(o, "state", json_string(c->state));
	json_set(o, "role", json_string(c->client ? "client" : "gateway"));
	json_set(o, "encapsulation", json_string(plain ? "plain" : "sealed"));
	json_set(o, "peer", plain ? json_string("") : peer_name(d, c->peer)); /* anybody */
	json_set(o, "destination", json_address(&c->destination));
	if (f && f->pid) {
		json_set(o, "pid", json_number_of((uint64_t)f->pid));
		json_set(o, "command", json_string(f->comm));
	}
	json_set(o, "checksum", json_boolean(c->checksum));
	json_set(o, "fallback", json_boolean(c->fallback));
	json_set(o, "age_ms", f ? json_ms(usec_since(d->now_us, f->since_us)) : json_null());
	json_set(o, "snd_una", json_sequence(c->snd_una));
	json_set(o, "snd_nxt", json_sequence(c->snd_nxt));
	json_set(o, "snd_wnd", json_number_of(c->snd_wnd));
	json_set(o, "rcv_nxt", json_sequence(c->rcv_nxt));
	json_set(o, "rcv_wnd", json_number_of(c->rcv_wnd));
	json_set(o, "bytes_sent", json_number_of(c->bytes_sent));
	json_set(o, "bytes_received", json_number_of(c->bytes_received));
	json_set(o, "reinjected_bytes", json_number_of(c->reinjected_bytes));
	json_set(o, "user_timeout_ms", c->user_timeout_ms ? json_number_of(c->user_timeout_ms) : json_null());
	json_set(o, "snd_buffer", json_number_of(c->snd_buffer));
	json_set(o, "rcv_buffer", json_number_of(c->rcv_buffer));
	for (uint32_t i = 0; i < c->subflow_count; i++)
		if (engine_subflow_info(engine, c->conn, i, &s) == ERR_OK)
			json_array_append_new(subflows, subflow(d, engine, &s));
	json_set(o, "subflows", subflows);
	return o;
}

/* The cursor is a connection's id, those of the sealed engine first. */
static json_t *next_connection(struct pieces *p)
{
	const uint64_t plain = UINT64_C(1) << 32;
	struct daemon *d = p->daemon;
	struct conn_info c;
	conn_id id;

	while (!(p->cursor & plain)) {
		p->cursor = id = engine_next_conn(d->engine, (conn_id)p->cursor);
		if (!id)
			p->cursor = plain;
		else if (engine_conn_info(d->engine, id, &c) == ERR_OK)
			return connection(d, d->engine, &c);
	}
	while (d->plain_engine && (id = engine_next_conn(d->plain_engine, (conn_id)p->cursor))) {
		p->cursor = plain | id;
		if (engine_conn_info(d->plain_engine, id, &c) == ERR_OK)
			return connection(d, d->plain_engine, &c);
	}
	return NULL;
}

static const struct pieces_section connection_sections[] = { { "connections", next_connection }, { NULL, NULL } };

static json_t *connection_of_worker(struct daemon *d, uint32_t token)
{
	struct engine *const engines[] = { d->engine, d->plain_engine };
	struct conn_info c;

	for (unsigned i = 0; i < sizeof engines / sizeof *engines; i++)
		if (engines[i] && engine_conn_info(engines[i], engine_conn_of_token(engines[i], token), &c) == ERR_OK)
			return connection(d, engines[i], &c);
	return NULL;
}

static json_t *connection_by_token(struct daemon *d, const char *text)
{
	char *end;
	unsigned long token = strtoul(text, &end, 16);
	json_t *o = NULL;

	if (strlen(text) != 8 || *end)
		return NULL;
	for (struct daemon *w = d; w && !o; w = w->next) {
		worker_enter(w);
		o = connection_of_worker(w, (uint32_t)token);
		worker_leave(w);
	}
	return o;
}

/* --- paths, peers --- */

static json_t *path(struct daemon *d, const struct path_end *e)
{
	json_t *o = json_object();

	json_set(o, "id", json_number_of(e->id));
	json_set(o, "worker", json_number_of(d->worker));
	json_set(o, "name", json_string(e->name));
	json_set(o, "peer", peer_name(d, e->peer));
	json_set(o, "number", json_number_of(e->no));
	json_set(o, "role", json_string(e->initiator ? "client" : "gateway"));
	json_set(o, "state", json_string(path_life_text(e->life)));
	json_set(o, "since_ms", json_ms(usec_since(d->now_us, e->changed_us)));
	json_set(o, "backup", json_boolean(e->backup));
	json_set(o, "cost", json_number_of(e->cost));
	json_set(o, "interface", *e->interface ? json_string(e->interface) : json_null());
	json_set(o, "local", json_address(&e->local));
	json_set(o, "remote", json_address(&e->remote));
	json_set(o, "mtu_payload", json_number_of(e->mtu_payload));
	json_set(o, "srtt_ms", e->srtt_us ? json_ms(e->srtt_us) : json_null());
	json_set(o, "rttvar_ms", e->srtt_us ? json_ms(e->rttvar_us) : json_null());
	json_set(o, "heard_ms", e->heard_us ? json_ms(usec_since(d->now_us, e->heard_us)) : json_null());
	json_set(o, "bytes_sent", json_number_of(e->bytes_sent));
	json_set(o, "bytes_received", json_number_of(e->bytes_received));
	json_set(o, "datagrams_sent", json_number_of(e->datagrams_sent));
	json_set(o, "datagrams_received", json_number_of(e->datagrams_received));
	json_set(o, "probes_sent", json_number_of(e->probes_sent));
	json_set(o, "probes_answered", json_number_of(e->probes_answered));
	json_set(o, "times_suspect", json_number_of(e->times_suspect));
	return o;
}

/* The cursor is an id + 1: ends go and come meanwhile, ids stay. */
static json_t *next_path(struct pieces *p)
{
	struct path_end before = { .id = (uint32_t)p->cursor - 1 }, *e = paths_next(p->daemon->paths, p->cursor ? &before : NULL);

	if (!e)
		return NULL;
	p->cursor = e->id + 1u;
	return path(p->daemon, e);
}

static json_t *plain_path(const struct daemon *d, path_id id)
{
	const struct plain_path *p = &d->plain->paths[id];
	json_t *o = json_object();

	json_set(o, "id", json_number_of(id));
	json_set(o, "worker", json_number_of(d->worker));
	json_set(o, "name", json_string(p->name));
	json_set(o, "role", json_string(p->initiator ? "connect" : "listen"));
	json_set(o, "state", json_string("up"));
	json_set(o, "backup", json_boolean(p->backup));
	json_set(o, "announce", json_boolean(p->announce));
	json_set(o, "joins", json_boolean(!p->no_joins));
	json_set(o, "interface", json_text_or_null(p->interface));
	json_set(o, "local", json_address(&p->local));
	json_set(o, "mtu_payload", json_number_of(plain_payload(p->mtu, &p->local)));
	json_set(o, "bytes_sent", json_number_of(p->bytes_sent));
	json_set(o, "bytes_received", json_number_of(p->bytes_received));
	json_set(o, "datagrams_sent", json_number_of(p->datagrams_sent));
	json_set(o, "datagrams_received", json_number_of(p->datagrams_received));
	return o;
}

static json_t *next_plain_path(struct pieces *p)
{
	const struct daemon *d = p->daemon;

	while (d->plain && p->cursor < PLAIN_PATHS_MAX) {
		path_id id = (path_id)p->cursor++;

		if (d->plain->paths[id].used)
			return plain_path(d, id);
	}
	return NULL;
}

static const struct pieces_section path_sections[] = { { "paths", next_path }, { "plain", next_plain_path }, { NULL, NULL } };

static json_t *peer(struct daemon *d, peer_id i)
{
	const struct peer *p = &d->peers[i];
	json_t *o = json_object();
	struct seal_peer_info info;
	char text[KEY_TEXT];

	seal_peer_info(d->seal, i, &info);
	key_to_text(p->public_key, text);
	json_set(o, "name", json_string(p->name));
	json_set(o, "role", json_string(p->kind == PEER_GATEWAY ? "gateway" : "client"));
	json_set(o, "worker", json_number_of(d->worker));
	json_set(o, "peer_worker", json_number_of(info.peer_worker));
	json_set(o, "public_key", json_string(text));
	json_set(o, "ready", json_boolean(info.ready));
	json_set(o, "cipher", info.cipher ? json_string(info.cipher) : json_null());
	json_set(o, "last_handshake_ms", info.last_handshake_us ? json_ms(usec_since(d->now_us, info.last_handshake_us)) : json_null());
	json_set(o, "bytes_sealed", json_number_of(info.bytes_sealed));
	json_set(o, "bytes_opened", json_number_of(info.bytes_opened));
	json_set(o, "announces", json_boolean(info.peer_capabilities & CAP_FAULT_ANNOUNCE));
	return o;
}

static json_t *next_peer(struct pieces *p)
{
	struct daemon *d = p->daemon;

	while (p->cursor < d->peers_max) {
		peer_id i = (peer_id)p->cursor++;

		if (daemon_lists(d, i))
			return peer(d, i);
	}
	return NULL;
}

static const struct pieces_section peer_sections[] = { { "peers", next_peer }, { NULL, NULL } };

/* --- the process --- */

static json_t *counters(const struct counters *c)
{
	json_t *o = json_object();

	for (int i = 0; i < CNT_MAX; i++)
		if (c->v[i])
			json_set(o, counter_names[i], json_number_of(c->v[i]));
	return o;
}

static void sockets(struct daemon *d, json_t *all)
{
	for (unsigned i = 0; i < d->config->listen_count; i++) {
		json_t *o;

		if (d->listen[i].fd < 0)
			continue;
		o = json_object();
		json_set(o, "local", json_address(&d->listen[i].local));
		json_set(o, "worker", json_number_of(d->worker));
		json_set(o, "gso", json_boolean(d->listen[i].gso));
		json_set(o, "rcvbuf", json_number_of((uint64_t)d->listen[i].rcvbuf));
		json_set(o, "sndbuf", json_number_of((uint64_t)d->listen[i].sndbuf));
		json_set(o, "datagrams_sent", json_number_of(d->listen[i].datagrams_out));
		json_set(o, "datagrams_received", json_number_of(d->listen[i].datagrams_in));
		json_set(o, "sends", json_number_of(d->listen[i].calls_out));
		json_set(o, "receives", json_number_of(d->listen[i].calls_in));
		json_array_append_new(all, o);
	}
}

static json_t *shim(struct daemon *d)
{
	struct park_stats s;
	json_t *o;

	if (!d->park)
		return json_null();
	park_stats(d->park, &s);
	o = json_object();
	json_set(o, "socket", json_string(d->config->client_socket));
	json_set(o, "pending", json_number_of(s.pending));
	json_set(o, "live", json_number_of(s.live));
	json_set(o, "asked", json_number_of(s.asked));
	json_set(o, "completed", json_number_of(s.completed));
	json_set(o, "failed", json_number_of(s.failed));
	json_set(o, "cancelled", json_number_of(s.cancelled));
	json_set(o, "bypassed", json_number_of(s.bypassed));
	json_set(o, "early", json_number_of(s.early));
	json_set(o, "malformed", json_number_of(s.malformed));
	json_set(o, "refused_user", json_number_of(s.refused_user));
	json_set(o, "refused_full", json_number_of(s.refused_full));
	return o;
}

static json_t *status(struct daemon *d)
{
	struct engine_stats s;
	struct status_sum sum;
	json_t *o = json_object(), *roles = json_array(), *listen = json_array();
	peer_id gateway;

	status_engine_stats(d, &s);
	status_sum(d, &sum);
	for (struct daemon *w = d; w; w = w->next) {
		worker_enter(w);
		sockets(w, listen);
		worker_leave(w);
	}
	if (d->config->client)
		json_array_append_new(roles, json_string("client"));
	if (d->config->gateway)
		json_array_append_new(roles, json_string("gateway"));
	json_set(o, "version", json_string(PLAIT_VERSION));
	json_set(o, "pid", json_number_of((uint64_t)getpid()));
	json_set(o, "uptime_s", json_number_of(usec_since(d->now_us, d->started_us) / USEC_PER_S));
	json_set(o, "roles", roles);
	json_set(o, "workers", json_number_of(d->config->workers));
	json_set(o, "ending", json_boolean(d->ending));
	json_set(o, "ready", json_boolean(d->config->client ? net_gateway(d, &gateway) : !d->ending));
	json_set(o, "connections", json_number_of(s.connections));
	json_set(o, "plain_connections", json_number_of(status_plain_connections(d)));
	json_set(o, "connections_max", json_number_of(d->config->connections_max));
	json_set(o, "waiting", json_number_of(sum.flow_states[FLOW_WAITING]));
	json_set(o, "dialling", json_number_of(sum.flow_states[FLOW_DIALLING]));
	json_set(o, "streams", json_number_of(sum.flow_states[FLOW_OPEN]));
	json_set(o, "subflows", json_number_of(s.subflows));
	json_set(o, "paths", json_number_of(s.paths));
	json_set(o, "memory_used", json_number_of(s.memory_used));
	json_set(o, "memory_kept", json_number_of(s.memory_kept));
	json_set(o, "memory_max", json_number_of(s.memory_max));
	json_set(o, "heap_bytes", json_number_of(memory_heap_bytes()));
	json_set(o, "listen", listen);
	json_set(o, "shim", shim(d));
	json_set(o, "counters", counters(&sum.counters));
	return o;
}

/* 200 while it can do its work; 503 for a client without a live path, or one that ends. */
static json_t *health(struct daemon *d, unsigned *code)
{
	json_t *o = json_object();
	peer_id gateway;
	bool path_ok = !d->config->client || net_gateway(d, &gateway);

	json_set(o, "ok", json_boolean(path_ok && !d->ending));
	if (d->ending)
		json_set(o, "reason", json_string("ending"));
	else if (!path_ok)
		json_set(o, "reason", json_string("no gateway answers on any path"));
	if (!path_ok || d->ending)
		*code = 503;
	return o;
}

/* --- capture --- */

void status_capture(struct daemon *d, const struct path_end *e, bool outbound, const uint8_t *bytes, size_t len)
{
	capture_segment(d->capture, e->id, e->name, outbound, outbound ? &e->local : &e->remote, outbound ? &e->remote : &e->local,
			bytes, len, SEGMENT_SEALED, d->now_us);
}

static size_t capture_more(void *stream, char *out, size_t room)
{
	struct daemon *d = stream;

	return capture_read(d->capture, (uint8_t *)out, room);
}

static void capture_to(struct daemon *d, struct capture *c)
{
	for (struct daemon *w = d; w; w = w->next) {
		worker_enter(w);
		w->capture = c;
		worker_leave(w);
	}
}

static void capture_done(void *stream)
{
	struct daemon *d = stream;

	struct capture *c = d->capture;

	capture_to(d, NULL);
	capture_free(c);
}

/* What applications say is in it: for the owner's socket only, and one at a time. NULL: it is on its way. */
static const char *capture(struct daemon *d, const struct http_request *r, struct http_answer *out)
{
	const char *snap = http_argument(r, "snaplen");
	struct capture *c;

	if (!r->owner_only) {
		out->status = 403;
		return "on the UNIX socket only";
	}
	if (d->capture) {
		out->status = 409;
		return "there is one already";
	}
	c = capture_new(snap ? (uint32_t)strtoul(snap, NULL, 10) : 0, clock_wall(), d->now_us);
	if (!c) {
		out->status = 500;
		return "out of memory";
	}
	capture_to(d, c);
	out->content_type = "application/x-pcapng";
	out->more = capture_more;
	out->done = capture_done;
	out->stream = d;
	return NULL;
}

void status_answer(void *owner, const struct http_request *r, struct http_answer *out)
{
	static const char one[] = "/v1/connections/";
	static const struct { const char *path; const struct pieces_section *sections; } lists[] = {
		{ "/v1/connections", connection_sections }, { "/v1/paths", path_sections },
		{ "/v1/peers", peer_sections }, { "/v1/faults", status_fault_sections },
	};
	const char *url = r->path;
	struct daemon *d = owner;
	json_t *json = NULL;

	d->now_us = clock_now();
	out->status = 200;
	out->content_type = "application/json";
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		if (!strcmp(url, lists[i].path)) {
			if (!pieces_answer(d, lists[i].sections, out))
				out->status = 500;
			return;
		}
	if (!strcmp(url, "/metrics")) {
		if (!status_metrics(d, out))
			out->status = 500;
		return;
	}
	if (!strcmp(url, "/v1/events")) {
		if (events_answer(d->events, d->now_us, out))
			return;
		out->status = 503;
		json = json_object();
		json_set(json, "error", json_string("too many listeners"));
	} else if (!strcmp(url, "/v1/capture")) {
		const char *why = capture(d, r, out);

		if (!why)
			return;
		json = json_object();
		json_set(json, "error", json_string(why));
	} else if (!strcmp(url, "/v1/status"))
		json = status(d);
	else if (!strncmp(url, one, sizeof one - 1))
		json = connection_by_token(d, url + sizeof one - 1);
	else if (!strcmp(url, "/healthz"))
		json = health(d, &out->status);
	if (!json) {
		out->status = 404;
		json = json_object();
		json_set(json, "error", json_string("no such thing"));
	}
	out->body = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	out->len = out->body ? strlen(out->body) : 0;
	json_decref(json);
}
