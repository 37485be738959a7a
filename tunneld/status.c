/* SPDX-License-Identifier: MIT */
#include "tunneld/status.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tunneld/daemon_state.h"
#include "tunneld/io/clock.h"

/* NULL for none, so that a missing address is null and not "". */
static json_t *address(const struct addr *a)
{
	char text[ADDR_TEXT_MAX];

	return a->family ? json_string(addr_print(a, text)) : json_null();
}

static json_t *number(uint64_t v) { return json_integer((json_int_t)v); }
static json_t *ms(usec_t us) { return json_real((double)us / 1e3); }

static void set(json_t *o, const char *key, json_t *value)
{
	json_object_set_new(o, key, value);
}

/* A sequence number is 64 bits without a sign, and JSON's integers are not: so a string of digits. */
static json_t *sequence(uint64_t v)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, v);
	return json_string(text);
}

static json_t *token_text(uint32_t token)
{
	char text[9];

	snprintf(text, sizeof text, "%08" PRIx32, token);
	return json_string(text);
}

static const char *peer_name(const struct daemon *d, peer_id peer)
{
	return peer < d->peers_max && d->peers[peer].kind != PEER_NONE ? d->peers[peer].name : "";
}

/* --- connections --- */

/* As mptcp/backup.h adds them up. */
static json_t *score_parts(const struct score *s)
{
	json_t *o = json_object();

	set(o, "rtt", json_real(s->rtt));
	set(o, "rto", json_real(s->rto));
	set(o, "loss", json_real(s->loss));
	set(o, "rate", json_real(s->rate));
	set(o, "fault", json_real(s->fault));
	set(o, "cost", json_real(s->cost));
	return o;
}

static json_t *subflow(struct daemon *d, const struct subflow_info *s)
{
	json_t *o = json_object();
	const struct path_end *e = paths_by_id(d->paths, s->path);
	/* The engine's ports are the virtual ones inside the sealed datagram, RFC 9293's; the addresses are the path's. */
	struct addr local = e ? e->local : (struct addr){ 0 }, remote = e ? e->remote : (struct addr){ 0 };

	set(o, "id", number(s->id));
	set(o, "path", e ? json_string(e->name) : json_null());
	set(o, "local", address(&local));
	set(o, "remote", address(&remote));
	set(o, "local_port", number(s->local_port));
	set(o, "remote_port", number(s->remote_port));
	set(o, "local_addr_id", number(s->local_addr_id));
	set(o, "remote_addr_id", number(s->remote_addr_id));
	set(o, "state", json_string(s->state));
	set(o, "mode", json_string(s->mode));
	set(o, "backup", json_boolean(s->backup));
	set(o, "stale", json_boolean(s->stale));
	set(o, "rto_ms", number(s->rto_ms));
	set(o, "srtt_ms", json_real(s->srtt_ms));
	set(o, "rttvar_ms", json_real(s->rttvar_ms));
	set(o, "cwnd", number(s->cwnd));
	set(o, "in_flight", number(s->in_flight));
	set(o, "uperf_timeout_ms", number(s->uperf_timeout_ms));
	set(o, "uperf_remote_ms", number(s->uperf_remote_ms));
	set(o, "uperf_cause", json_string(s->uperf_cause));
	set(o, "score", json_real(s->score.total));
	set(o, "score_parts", score_parts(&s->score));
	set(o, "bytes_sent", number(s->bytes_sent));
	set(o, "bytes_received", number(s->bytes_received));
	set(o, "retransmitted_segments", number(s->retransmitted_segments));
	return o;
}

static const struct flow *flow_of(const struct daemon *d, const struct conn_info *c)
{
	uint32_t index = (uint32_t)c->host;
	const struct flow *f = index < d->config->connections_max ? &d->flows[index] : NULL;

	return f && f->state != FLOW_FREE && f->conn == c->conn ? f : NULL;
}

static json_t *connection(struct daemon *d, const struct conn_info *c)
{
	json_t *o = json_object(), *subflows = json_array();
	const struct flow *f = flow_of(d, c);
	struct subflow_info s;

	set(o, "token", token_text(c->token));
	set(o, "remote_token", token_text(c->remote_token));
	set(o, "state", json_string(c->state));
	set(o, "role", json_string(c->client ? "client" : "gateway"));
	set(o, "peer", json_string(peer_name(d, c->peer)));
	set(o, "destination", address(&c->destination));
	if (f && f->pid) {
		set(o, "pid", number((uint64_t)f->pid));
		set(o, "command", json_string(f->comm));
	}
	set(o, "checksum", json_boolean(c->checksum));
	set(o, "age_ms", f ? ms(usec_since(d->now_us, f->since_us)) : json_null());
	set(o, "snd_una", sequence(c->snd_una));
	set(o, "snd_nxt", sequence(c->snd_nxt));
	set(o, "snd_wnd", number(c->snd_wnd));
	set(o, "rcv_nxt", sequence(c->rcv_nxt));
	set(o, "rcv_wnd", number(c->rcv_wnd));
	set(o, "bytes_sent", number(c->bytes_sent));
	set(o, "bytes_received", number(c->bytes_received));
	set(o, "reinjected_bytes", number(c->reinjected_bytes));
	set(o, "user_timeout_ms", c->user_timeout_ms ? number(c->user_timeout_ms) : json_null());
	set(o, "snd_buffer", number(c->snd_buffer));
	set(o, "rcv_buffer", number(c->rcv_buffer));
	for (uint32_t i = 0; i < c->subflow_count; i++)
		if (engine_subflow_info(d->engine, c->conn, i, &s) == ERR_OK)
			json_array_append_new(subflows, subflow(d, &s));
	set(o, "subflows", subflows);
	return o;
}

static json_t *connections(struct daemon *d)
{
	json_t *all = json_array(), *o = json_object();
	struct conn_info c;

	for (conn_id id = engine_next_conn(d->engine, 0); id; id = engine_next_conn(d->engine, id))
		if (engine_conn_info(d->engine, id, &c) == ERR_OK)
			json_array_append_new(all, connection(d, &c));
	set(o, "connections", all);
	return o;
}

static json_t *connection_by_token(struct daemon *d, const char *text)
{
	char *end;
	unsigned long token = strtoul(text, &end, 16);
	struct conn_info c;

	if (strlen(text) != 8 || *end)
		return NULL;
	for (conn_id id = engine_next_conn(d->engine, 0); id; id = engine_next_conn(d->engine, id))
		if (engine_conn_info(d->engine, id, &c) == ERR_OK && c.token == token)
			return connection(d, &c);
	return NULL;
}

/* --- paths, peers --- */

static json_t *path(struct daemon *d, const struct path_end *e)
{
	json_t *o = json_object();

	set(o, "id", number(e->id));
	set(o, "name", json_string(e->name));
	set(o, "peer", json_string(peer_name(d, e->peer)));
	set(o, "number", number(e->no));
	set(o, "role", json_string(e->initiator ? "client" : "gateway"));
	set(o, "state", json_string(path_life_text(e->life)));
	set(o, "since_ms", ms(usec_since(d->now_us, e->changed_us)));
	set(o, "backup", json_boolean(e->backup));
	set(o, "interface", *e->interface ? json_string(e->interface) : json_null());
	set(o, "local", address(&e->local));
	set(o, "remote", address(&e->remote));
	set(o, "mtu_payload", number(e->mtu_payload));
	set(o, "srtt_ms", e->srtt_us ? ms(e->srtt_us) : json_null());
	set(o, "rttvar_ms", e->srtt_us ? ms(e->rttvar_us) : json_null());
	set(o, "heard_ms", e->heard_us ? ms(usec_since(d->now_us, e->heard_us)) : json_null());
	set(o, "bytes_sent", number(e->bytes_sent));
	set(o, "bytes_received", number(e->bytes_received));
	set(o, "datagrams_sent", number(e->datagrams_sent));
	set(o, "datagrams_received", number(e->datagrams_received));
	set(o, "probes_sent", number(e->probes_sent));
	set(o, "probes_answered", number(e->probes_answered));
	set(o, "times_suspect", number(e->times_suspect));
	return o;
}

static json_t *paths(struct daemon *d)
{
	json_t *all = json_array(), *o = json_object();

	for (struct path_end *e = paths_next(d->paths, NULL); e; e = paths_next(d->paths, e))
		json_array_append_new(all, path(d, e));
	set(o, "paths", all);
	return o;
}

static json_t *peers(struct daemon *d)
{
	json_t *all = json_array(), *o = json_object();

	for (peer_id i = 0; i < d->peers_max; i++) {
		const struct peer *p = &d->peers[i];
		struct seal_peer_info info;
		json_t *one;
		char text[KEY_TEXT];

		if (p->kind == PEER_NONE)
			continue;
		seal_peer_info(d->seal, i, &info);
		key_to_text(p->public_key, text);
		one = json_object();
		set(one, "name", json_string(p->name));
		set(one, "role", json_string(p->kind == PEER_GATEWAY ? "gateway" : "client"));
		set(one, "public_key", json_string(text));
		set(one, "ready", json_boolean(info.ready));
		set(one, "cipher", info.cipher ? json_string(info.cipher) : json_null());
		set(one, "last_handshake_ms", info.last_handshake_us ? ms(usec_since(d->now_us, info.last_handshake_us)) : json_null());
		set(one, "bytes_sealed", number(info.bytes_sealed));
		set(one, "bytes_opened", number(info.bytes_opened));
		json_array_append_new(all, one);
	}
	set(o, "peers", all);
	return o;
}

/* --- the process --- */

static json_t *counters(const struct daemon *d)
{
	json_t *o = json_object();

	for (int i = 0; i < CNT_MAX; i++)
		if (d->counters.v[i])
			set(o, counter_names[i], number(d->counters.v[i]));
	return o;
}

static json_t *sockets(struct daemon *d)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < d->config->listen_count; i++) {
		json_t *o;

		if (d->listen[i].fd < 0)
			continue;
		o = json_object();
		set(o, "local", address(&d->listen[i].local));
		set(o, "gso", json_boolean(d->listen[i].gso));
		set(o, "rcvbuf", number((uint64_t)d->listen[i].rcvbuf));
		set(o, "sndbuf", number((uint64_t)d->listen[i].sndbuf));
		set(o, "datagrams_sent", number(d->listen[i].datagrams_out));
		set(o, "datagrams_received", number(d->listen[i].datagrams_in));
		set(o, "sends", number(d->listen[i].calls_out));
		set(o, "receives", number(d->listen[i].calls_in));
		json_array_append_new(all, o);
	}
	return all;
}

static json_t *shim(struct daemon *d)
{
	struct park_stats s;
	json_t *o;

	if (!d->park)
		return json_null();
	park_stats(d->park, &s);
	o = json_object();
	set(o, "socket", json_string(d->config->client_socket));
	set(o, "pending", number(s.pending));
	set(o, "live", number(s.live));
	set(o, "asked", number(s.asked));
	set(o, "completed", number(s.completed));
	set(o, "failed", number(s.failed));
	set(o, "cancelled", number(s.cancelled));
	set(o, "bypassed", number(s.bypassed));
	set(o, "early", number(s.early));
	set(o, "malformed", number(s.malformed));
	set(o, "refused_user", number(s.refused_user));
	set(o, "refused_full", number(s.refused_full));
	return o;
}

static json_t *status(struct daemon *d)
{
	struct engine_stats s;
	json_t *o = json_object(), *roles = json_array();
	peer_id gateway;

	engine_stats(d->engine, &s);
	if (d->config->client)
		json_array_append_new(roles, json_string("client"));
	if (d->config->gateway)
		json_array_append_new(roles, json_string("gateway"));
	set(o, "version", json_string(PLAIT_VERSION));
	set(o, "pid", number((uint64_t)getpid()));
	set(o, "uptime_s", number(usec_since(d->now_us, d->started_us) / USEC_PER_S));
	set(o, "roles", roles);
	set(o, "ending", json_boolean(d->ending));
	set(o, "ready", json_boolean(d->config->client ? net_gateway(d, &gateway) : !d->ending));
	set(o, "connections", number(s.connections));
	set(o, "connections_max", number(d->config->connections_max));
	set(o, "waiting", number(d->flow_states[FLOW_WAITING]));
	set(o, "dialling", number(d->flow_states[FLOW_DIALLING]));
	set(o, "streams", number(d->flow_states[FLOW_OPEN]));
	set(o, "subflows", number(s.subflows));
	set(o, "paths", number(s.paths));
	set(o, "memory_used", number(s.memory_used));
	set(o, "memory_max", number(s.memory_max));
	set(o, "listen", sockets(d));
	set(o, "shim", shim(d));
	set(o, "counters", counters(d));
	return o;
}

/* 200 while it can do its work; 503 for a client without a live path, or one that ends. */
static json_t *health(struct daemon *d, unsigned *code)
{
	json_t *o = json_object();
	peer_id gateway;
	bool path_ok = !d->config->client || net_gateway(d, &gateway);

	set(o, "ok", json_boolean(path_ok && !d->ending));
	if (d->ending)
		set(o, "reason", json_string("ending"));
	else if (!path_ok)
		set(o, "reason", json_string("no gateway answers on any path"));
	if (!path_ok || d->ending)
		*code = 503;
	return o;
}

void status_answer(void *owner, const char *url, struct http_answer *out)
{
	static const char one[] = "/v1/connections/";
	struct daemon *d = owner;
	json_t *json = NULL;

	d->now_us = clock_now();
	out->status = 200;
	out->content_type = "application/json";
	if (!strcmp(url, "/v1/status"))
		json = status(d);
	else if (!strcmp(url, "/v1/connections"))
		json = connections(d);
	else if (!strncmp(url, one, sizeof one - 1))
		json = connection_by_token(d, url + sizeof one - 1);
	else if (!strcmp(url, "/v1/paths"))
		json = paths(d);
	else if (!strcmp(url, "/v1/peers"))
		json = peers(d);
	else if (!strcmp(url, "/healthz"))
		json = health(d, &out->status);
	if (!json) {
		out->status = 404;
		json = json_object();
		set(json, "error", json_string("no such thing"));
	}
	out->body = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	out->len = out->body ? strlen(out->body) : 0;
	json_decref(json);
}
