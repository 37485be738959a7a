/* SPDX-License-Identifier: MIT */
/*
 * SIGHUP: the config's file is read again. What can change under way does, without disturbing what stays; of the rest each change
 * is named in the log, and waits for a restart. A file with mistakes changes nothing.
 */
#include "tunneld/daemon/state.h"

#include <string.h>

#include "tunneld/io/log.h"

#define SWAP(type, a, b) do { type swap_ = (a); (a) = (b); (b) = swap_; } while (0)

/* --- what waits --- */

static bool same_text(const char *a, const char *b) { return !a || !b ? a == b : !strcmp(a, b); }

static bool same_addrs(const struct addr *a, unsigned a_count, const struct addr *b, unsigned b_count)
{
	for (unsigned i = 0; a_count == b_count && i < a_count; i++)
		if (!addr_eq(&a[i], &b[i]))
			return false;
	return a_count == b_count;
}

static bool same_gateways(const struct config *a, const struct config *b)
{
	for (size_t i = 0; a->gateway_count == b->gateway_count && i < a->gateway_count; i++) {
		const struct config_gateway *x = &a->gateways[i], *y = &b->gateways[i];

		if (strcmp(x->name, y->name) || memcmp(x->public_key, y->public_key, CONFIG_KEY_SIZE) ||
		    !same_addrs(x->addresses, x->address_count, y->addresses, y->address_count))
			return false;
	}
	return a->gateway_count == b->gateway_count;
}

static bool same_key(const struct config *a, const struct config *b)
{
	/* Without a file there is none that the config says. */
	return !a->private_key_file || !b->private_key_file ? a->private_key_file == b->private_key_file :
							      !memcmp(a->private_key, b->private_key, CONFIG_KEY_SIZE);
}

/* How many keys differ that are read at the start alone. */
static unsigned tell_of_restart(const struct daemon *d, const struct config *old, const struct config *new)
{
	const struct { const char *key; bool same; } all[] = {
		{ "private_key_file", same_key(old, new) },
		{ "gateway.listen", same_addrs(old->listen, old->listen_count, new->listen, new->listen_count) },
		{ old->gateway ? "gateway.workers" : "client.workers", old->workers == new->workers },
		{ "client.socket", same_text(old->client_socket, new->client_socket) },
		{ "client.socket_any_user", old->client_socket_any_user == new->client_socket_any_user },
		{ "client.gateways", same_gateways(old, new) },
		{ "plain", d->plain_engine || !(new->plain_connect.count + new->plain_listen_count) },
		{ "plain.keepalive_ms", old->plain_keepalive_ms == new->plain_keepalive_ms },
		{ "plain.extensions", !memcmp(&old->plain_extensions, &new->plain_extensions, sizeof old->plain_extensions) },
		{ "transport.congestion", same_text(old->congestion, new->congestion) },
		{ "transport.scheduler", same_text(old->scheduler, new->scheduler) },
		{ "transport.uperf_timeout_ms", old->uperf_timeout_ms == new->uperf_timeout_ms },
		{ "transport.uperf_l_limit_ms", old->uperf_l_limit_ms == new->uperf_l_limit_ms },
		{ "transport.uperf_u_limit_ms", old->uperf_u_limit_ms == new->uperf_u_limit_ms },
		{ "transport.user_timeout_ms", old->user_timeout_ms == new->user_timeout_ms },
		{ "transport.fastclose", old->fastclose_ack == new->fastclose_ack },
		{ "transport.checksum", old->checksum == new->checksum },
		{ "limits.connections", old->connections_max == new->connections_max },
		{ "limits.memory_bytes", old->memory_bytes == new->memory_bytes },
		{ "status.socket", same_text(old->status_socket, new->status_socket) },
		{ "status.http", addr_eq(&old->status_http, &new->status_http) },
	};
	unsigned waiting = 0;

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (!all[i].same) {
			log_line(LOG_WARN, "$.%s has changed: that needs a restart", all[i].key);
			waiting++;
		}
	return waiting;
}

/* --- what does not --- */

static bool has_client(const struct config *c, const uint8_t key[KEY_SIZE])
{
	for (size_t i = 0; i < c->client_count; i++)
		if (!memcmp(c->clients[i].public_key, key, KEY_SIZE))
			return true;
	return false;
}

static void reload_clients(struct daemon *d, const struct config *new, unsigned *added, unsigned *removed)
{
	for (peer_id peer = 0; peer < d->peers_max; peer++) {
		struct peer *p = &d->peers[peer];

		if (p->kind != PEER_CLIENT || has_client(new, p->public_key))
			continue;
		if (daemon_lists(d, peer))
			log_line(LOG_INFO, "client %s removed", p->name);
		flow_abort_peer(d, peer);
		daemon_send(d); /* their last words, while there is a key for them */
		net_peer_gone(d, peer, false);
		seal_peer_remove(d->seal, peer);
		p->kind = PEER_NONE;
	}
	for (size_t i = 0; i < d->config->client_count && !d->worker; i++)
		*removed += !has_client(new, d->config->clients[i].public_key);
	for (size_t i = 0; i < new->client_count; i++) {
		bool known = false;

		/* A client with several workers is several peers. */
		for (peer_id peer = 0; peer < d->peers_max; peer++)
			if (d->peers[peer].kind == PEER_CLIENT &&
			    !memcmp(d->peers[peer].public_key, new->clients[i].public_key, KEY_SIZE)) {
				strcpy(d->peers[peer].name, new->clients[i].name);
				known = true;
			}
		if (!known && daemon_peer_add(d, PEER_CLIENT, new->clients[i].name, new->clients[i].public_key) && !d->worker)
			++*added;
	}
}

static void reload_links(struct daemon *d, const struct config *new)
{
	struct config *c = d->config;

	if (!c->client)
		return;
	c->paths_auto = new->paths_auto;
	c->path_count = new->path_count;
	memcpy(c->paths, new->paths, sizeof c->paths);
	for (struct daemon *w = d; w; w = w->next)
		net_reload(w);
}

static void reload_plain(struct daemon *d, struct config *new)
{
	struct config *c = d->config;

	if (!d->plain_engine)
		return;
	SWAP(struct config_cidrs, c->plain_connect, new->plain_connect);
	c->plain_listen_count = new->plain_listen_count;
	memcpy(c->plain_listen, new->plain_listen, sizeof c->plain_listen);
	plain_reload(d);
}

void daemon_reload(void *owner, int signal)
{
	struct daemon *d = owner, *w;
	struct config *old = d->config, *new = config_read(d->file, stderr);
	unsigned added = 0, removed = 0, waiting;

	(void)signal;
	if (!new) {
		log_line(LOG_ERROR, "the new config is refused (see above); the old one stays");
		return;
	}
	if (new->gateway != old->gateway || new->client != old->client) {
		log_line(LOG_ERROR, "a role comes or goes by a restart only; the old config stays");
		config_free(new);
		return;
	}
	waiting = tell_of_restart(d, old, new);
	for (w = d; w; w = w->next)
		worker_enter(w);
	for (w = d; w; w = w->next)
		reload_clients(w, new, &added, &removed);
	SWAP(struct config_client_key *, old->clients, new->clients);
	SWAP(size_t, old->client_count, new->client_count);
	SWAP(struct config_cidrs, old->egress_allow, new->egress_allow);
	SWAP(struct config_cidrs, old->egress_deny, new->egress_deny);
	SWAP(struct config_cidrs, old->bypass, new->bypass);
	reload_links(d, new);
	reload_plain(d, new);
	for (w = d; w; w = w->next) {
		daemon_use_egress(w);
		worker_leave(w);
	}
	if (d->park)
		park_set_bypass(d->park, old->bypass.list, old->bypass.count);
	config_free(new);
	log_line(LOG_INFO, "reloaded: %u clients added, %u removed; %u changes wait for a restart", added, removed, waiting);
}
