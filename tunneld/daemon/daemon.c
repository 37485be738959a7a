/* SPDX-License-Identifier: MIT */
#include "tunneld/daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "tunneld/status/capture.h"
#include "tunneld/daemon/flow.h"
#include "tunneld/status/events.h"
#include "tunneld/io/clock.h"
#include "tunneld/io/log.h"
#include "tunneld/io/memory.h"
#include "tunneld/status/status.h"

#define END_GRACE_US       (5 * USEC_PER_S)  /* for streams to end by themselves after SIGTERM */
#define DEAD_TIMEOUT_US    (60 * USEC_PER_S)
#define CLOSE_TIMEOUT_US   (60 * USEC_PER_S)
#define CONNECT_TIMEOUT_US (127 * USEC_PER_S)
enum {
	ACTIONS_A_TURN = 4096,    /* then the sockets get theirs */
	ACTIONS_A_FLUSH = 512,    /* datagrams do not wait for longer */
	PEERS_SPARE = 32,         /* clients that SIGHUP may add beyond twice what there was */
	SUBFLOWS_MAX = 8,
	CONNECTION_BYTES = 4096,  /* of a connection and its subflows, about; of its payload the engine says */
	FACTS = 4096,             /* taken after each drain */
};

enum err daemon_event(struct daemon *d, struct event *ev)
{
	return engine_input(d->engine, ev, d->now_us);
}

/* The same of the plain engine. */
static bool plain_drain(struct daemon *d)
{
	struct action act;
	int turn = 0;

	while (turn < ACTIONS_A_TURN && engine_output(d->plain_engine, &act, d->now_us)) {
		switch (act.kind) {
		case ACT_SEND:
			plain_segment(d, &act);
			break;
		case ACT_PORT_FREE:
			plain_port_free(d, &act);
			break;
		default:
			flow_action(d, d->plain_engine, &act);
		}
		if (++turn % ACTIONS_A_FLUSH == 0) {
			plain_flush(d);
			d->now_us = clock_now();
		}
	}
	plain_flush(d);
	return turn == ACTIONS_A_TURN;
}

/* Everything the engine wants now, then the datagrams leave. True: there is more, the sockets come first. */
static bool drain(struct daemon *d)
{
	struct action act;
	struct fact fact;
	int turn = 0;

	while (turn < ACTIONS_A_TURN && engine_output(d->engine, &act, d->now_us)) {
		switch (act.kind) {
		case ACT_SEND:
			net_segment(d, &act);
			break;
		case ACT_PROBE: {
			struct path_end *e = paths_by_id(d->paths, act.probe.path);

			if (e)
				paths_probe(d->paths, e, d->now_us);
			break;
		}
		default:
			flow_action(d, d->engine, &act);
		}
		if (++turn % ACTIONS_A_FLUSH == 0) {
			net_flush(d);
			d->now_us = clock_now();
		}
	}
	net_flush(d);
	while (engine_next_fact(d->engine, &fact))
		fault_fact(d, &fact, true);
	while (d->plain_engine && engine_next_fact(d->plain_engine, &fact))
		fault_fact(d, &fact, false);
	return (d->plain_engine && plain_drain(d)) || turn == ACTIONS_A_TURN;
}

void daemon_send(struct daemon *d) { (void)drain(d); }

/* Is there something for listeners? The first's listeners they are. */
static void tell(struct daemon *d)
{
	bool news;

	if (d->worker) {
		if (events_waiting(d->events) || d->capture)
			loop_wake(d->first->loop);
		return;
	}
	news = events_wake(d->events, d->now_us);
	news = (d->capture && capture_news(d->capture)) || news; /* both are asked */
	if (news)
		http_wake(d->http);
}

/* Is it over? Who has not ended by itself in time is reset. The first goes last. */
static bool ended(struct daemon *d)
{
	if (d->flow_count && d->now_us < d->end_us)
		return false;
	if (d->flow_count) {
		log_line(LOG_WARN, "%u connections did not end by themselves and are reset", d->flow_count);
		flow_abort_every(d);
		(void)drain(d);
	}
	if (d->worker || worker_all_ended(d))
		loop_end(d->loop);
	if (d->worker)
		worker_ended(d);
	return true;
}

static uint64_t held_bytes(const struct engine *e)
{
	return e ? engine_memory_used(e) + engine_connections(e) * (uint64_t)CONNECTION_BYTES : 0;
}

static void rest_time(struct daemon *d)
{
	if (!rest_now(&d->rest, held_bytes(d->engine) + held_bytes(d->plain_engine), d->now_us))
		return;
	engine_trim(d->engine);
	if (d->plain_engine)
		engine_trim(d->plain_engine);
	memory_give_back();
}

static void on_idle(void *owner)
{
	struct daemon *d = owner;
	usec_t next;
	bool more;

	d->now_us = clock_now();
	place_turn(d);
	net_time(d);
	flow_time(d);
	fault_time(d);
	plain_listen_time(d);
	more = drain(d);
	rest_time(d);
	d->connects_this_turn = 0;
	place_tell_load(d);
	tell(d);
	next = usec_min(engine_deadline(d->engine), usec_min(net_deadline(d), d->waiting_deadline_us));
	if (d->plain_engine)
		next = usec_min(next, engine_deadline(d->plain_engine));
	next = usec_min(next, usec_min(fault_deadline(d), plain_deadline(d)));
	next = usec_min(next, d->rest.due_us);
	if (!d->worker)
		next = usec_min(next, events_deadline(d->events));
	if (d->ending && !ended(d))
		next = usec_min(next, d->end_us);
	loop_time_set(d->loop, more ? d->now_us : next);
}

static void on_time(void *owner)
{
	(void)owner; /* on_idle() comes next, and does it all */
}

/* --- peers --- */

bool daemon_peer_add(struct daemon *d, enum peer_kind kind, const char *name, const uint8_t key[KEY_SIZE])
{
	seal_peer peer;
	enum err err = seal_peer_add(d->seal, key, &peer);
	struct peer *p;

	if (err == ERR_OK && peer >= d->peers_max)
		err = ERR_FULL;
	if (err != ERR_OK) {
		log_line(LOG_ERROR, "peer %s: %s", name, err == ERR_MALFORMED ? "its public key is not usable" : err_text(err));
		return false;
	}
	p = &d->peers[peer];
	*p = (struct peer){ .kind = kind };
	strcpy(p->name, name);
	memcpy(p->public_key, key, KEY_SIZE);
	return true;
}

void daemon_peer_again(struct daemon *d, peer_id peer)
{
	struct seal_peer_info info;

	seal_peer_info(d->seal, peer, &info);
	for (peer_id i = 0; i < d->peers_max; i++)
		if (d->peers[i].kind == PEER_CLIENT && !memcmp(d->peers[i].public_key, info.public_key, KEY_SIZE)) {
			d->peers[peer] = (struct peer){ .kind = PEER_CLIENT };
			strcpy(d->peers[peer].name, d->peers[i].name);
			memcpy(d->peers[peer].public_key, info.public_key, KEY_SIZE);
			return;
		}
}

bool daemon_lists(const struct daemon *d, peer_id peer)
{
	const struct peer *p = &d->peers[peer];

	if (p->kind != PEER_CLIENT)
		return p->kind == PEER_GATEWAY && (p->joined || !d->worker);
	return p->ready_told || seal_worker_of(d->seal, p->public_key) == d->worker;
}

/* --- signals --- */

static void end(struct daemon *w)
{
	if (w->ending) {
		flow_abort_every(w);
		w->end_us = w->now_us;
		return;
	}
	w->ending = true;
	w->end_us = w->now_us + END_GRACE_US;
	flow_stop_accepting(w);
}

void daemon_end(struct daemon *d)
{
	bool again = d->ending;
	unsigned flows = 0;

	if (again)
		log_line(LOG_INFO, "told again: ending at once");
	for (struct daemon *w = d; w; w = w->next) {
		worker_enter(w);
		flows += w->flow_count;
		end(w);
		worker_leave(w);
	}
	if (!again)
		log_line(LOG_INFO, "ending: %u connections have %d s to end", flows, (int)(END_GRACE_US / USEC_PER_S));
}

static void on_end_signal(void *owner, int signal)
{
	(void)signal;
	daemon_end(owner);
}

void daemon_use_egress(struct daemon *d)
{
	d->egress.allow = d->config->egress_allow.list;
	d->egress.allow_count = d->config->egress_allow.count;
	d->egress.deny = d->config->egress_deny.list;
	d->egress.deny_count = d->config->egress_deny.count;
}

/* --- life --- */

static struct engine *engine_open(struct daemon *d, enum segment_form form, uint32_t paths_max, bool listens)
{
	const struct config *c = d->config;
	struct engine_config ec = {
		.connections_max = d->connections_max, .paths_max = paths_max,
		.memory = &d->first->memory,
		.congestion = c->congestion, .scheduler = c->scheduler, .checksum = c->checksum,
		.fastclose = c->fastclose_ack ? FASTCLOSE_ACK : FASTCLOSE_RST, .form = form,
		.gateway = listens, .subflows_max = SUBFLOWS_MAX, .connect_timeout_us = CONNECT_TIMEOUT_US,
		.dead_timeout_us = DEAD_TIMEOUT_US, .close_timeout_us = CLOSE_TIMEOUT_US,
		.uperf_timeout_ms = c->uperf_timeout_ms, .uperf_l_limit_ms = c->uperf_l_limit_ms,
		.uperf_u_limit_ms = c->uperf_u_limit_ms, .user_timeout_ms = c->user_timeout_ms,
		.facts = FACTS, .counters = &d->counters,
	};
	struct engine *e;
	uint8_t seed[32];

	if (form == SEGMENT_PLAIN)
		ec.keepalive_us = c->plain_keepalive_ms * USEC_PER_MS;
	if (getrandom(seed, sizeof seed, 0) != sizeof seed)
		return NULL;
	e = engine_new(&ec, seed, d->now_us);
	memset(seed, 0, sizeof seed);
	return e;
}

static bool seal_open(struct daemon *d)
{
	struct seal_config sc = {
		.private_key = d->config->private_key,
		.capabilities = CAP_AES_256_GCM | CAP_LONG_MP_PRIO | CAP_UPERF | CAP_FAULT_ANNOUNCE | CAP_CARRIED |
				(d->config->gateway ? CAP_WORKERS : 0),
		.peers_max = d->peers_max, .responder = d->config->gateway, .counters = &d->counters,
		.wall_us = clock_wall(), .worker = (uint8_t)d->worker, .workers = (uint8_t)d->config->workers,
	};
	uint8_t seed[32];

	if (getrandom(seed, sizeof seed, 0) != sizeof seed)
		return false;
	/* Plain form has no peers with keys: none is asked for, and what seal/ gets has never been told to anybody. */
	if (!d->config->private_key_file && getrandom(d->config->private_key, KEY_SIZE, 0) != KEY_SIZE)
		return false;
	d->seal = seal_new(&sc, seed, d->now_us);
	memset(seed, 0, sizeof seed);
	return d->seal != NULL;
}

static void raise_fd_limit(uint32_t connections)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	/* A parked connect holds two for a moment, everything else is a handful. */
	if (r.rlim_max != RLIM_INFINITY && r.rlim_max < (rlim_t)connections + 64)
		log_line(LOG_WARN, "limits.connections is %u, but only %llu descriptors may be open (ulimit -Hn)", connections,
			 (unsigned long long)r.rlim_max);
}

static bool uses_plain(const struct config *c) { return c->plain_connect.count || c->plain_listen_count; }

/* What every worker has. */
static int open_one(struct daemon *d)
{
	const struct config *c = d->config;
	size_t peers = c->client_count + c->gateway_count;

	d->peers_max = (uint32_t)(2 * peers + PEERS_SPARE < ENGINE_PEERS_MAX ? 2 * peers + PEERS_SPARE : ENGINE_PEERS_MAX);
	rest_init(&d->rest);
	d->peers = calloc(d->peers_max, sizeof *d->peers);
	d->loop = loop_new();
	if (!d->peers || !d->loop || udp_pool_open(&d->pool, &d->counters) || !seal_open(d)) {
		log_line(LOG_ERROR, "cannot start: %s", strerror(errno));
		return 1;
	}
	/* The same numbers in every worker: gateways are named by them from one to another. */
	for (size_t i = 0; i < c->gateway_count; i++)
		if (!daemon_peer_add(d, PEER_GATEWAY, c->gateways[i].name, c->gateways[i].public_key))
			return 1;
	for (size_t i = 0; i < c->client_count; i++)
		if (!daemon_peer_add(d, PEER_CLIENT, c->clients[i].name, c->clients[i].public_key))
			return 1;
	d->engine = engine_open(d, SEGMENT_SEALED,
				d->peers_max * PATHS_PER_PEER < PATHS_MAX ? d->peers_max * PATHS_PER_PEER : PATHS_MAX, c->gateway);
	if (!d->worker && uses_plain(c))
		d->plain_engine = engine_open(d, SEGMENT_PLAIN, PLAIN_PATHS_MAX, c->plain_listen_count);
	if (!d->engine || (!d->plain_engine && !d->worker && uses_plain(c))) {
		log_line(LOG_ERROR, "the engine cannot start: out of memory for %u connections?", c->connections_max);
		return 1;
	}
	if (!d->worker)
		d->events = events_new(&d->counters);
	if (!d->events || !fault_open(d, PATHS_MAX)) {
		log_line(LOG_ERROR, "cannot start: out of memory");
		return 1;
	}
	d->egress.counters = &d->counters;
	daemon_use_egress(d);
	if (flow_open_all(d) || net_open(d) || (!d->worker && plain_open(d)))
		return 1;
	loop_on_idle(d->loop, on_idle, d);
	loop_on_time(d->loop, on_time, d);
	return 0;
}

static int open_all(struct daemon *d)
{
	const struct config *c = d->config;
	const char *why;

	if (open_one(d) || worker_open_all(d, open_one))
		return 1;
	d->http = http_new(d->loop, c->status_socket, &c->status_http, status_answer, d, &why);
	if (!d->http) {
		log_line(LOG_ERROR, "%s (%s): %s", why, c->status_socket, strerror(errno));
		return 1;
	}
	loop_on_signal(d->loop, SIGTERM, on_end_signal, d);
	loop_on_signal(d->loop, SIGINT, on_end_signal, d);
	loop_on_signal(d->loop, SIGHUP, daemon_reload, d);
	return worker_run_all(d);
}

static void close_one(struct daemon *d)
{
	if (d->flows)
		flow_close_all(d);
	if (d->paths)
		net_close(d);
	plain_close(d);
	if (d->plain_engine)
		engine_free(d->plain_engine);
	fault_close(d);
	if (d->events && !d->worker)
		events_free(d->events);
	if (d->engine)
		engine_free(d->engine);
	if (d->seal)
		seal_free(d->seal);
	udp_pool_close(&d->pool);
	if (d->loop)
		loop_free(d->loop);
	post_close(&d->post);
	free(d->own);
	free(d->peers);
	free(d);
}

static void close_all(struct daemon *d)
{
	struct config *config = d->config;

	if (d->http)
		http_free(d->http);
	worker_close_all(d, close_one);
	close_one(d);
	config_free(config);
}

int daemon_run(struct config *config, const char *file)
{
	struct daemon *d = calloc(1, sizeof *d);
	int status;

	if (!d) {
		config_free(config);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	if (post_open(&d->post)) {
		free(d);
		config_free(config);
		return 1;
	}
	d->first = d;
	d->config = config;
	d->connections_max = worker_connections(config);
	page_bank_init(&d->memory, config->memory_bytes, config->workers + (uses_plain(config) ? 1 : 0));
	d->file = file;
	d->started_us = d->now_us = clock_now();
	raise_fd_limit(config->connections_max);
	status = open_all(d);
	if (!status) {
		loop_run(d->loop);
		log_line(LOG_INFO, "ended");
	}
	close_all(d);
	return status;
}
