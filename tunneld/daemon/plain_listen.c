/* SPDX-License-Identifier: MIT */
/*
 * The listeners of plain.listen: opened at the start, changed by SIGHUP. One that the config names no more is retired: it takes
 * no new connections, and stays for those it has.
 */
#include "tunneld/daemon/plain.h"

#include <errno.h>
#include <string.h>

#include "tunneld/io/log.h"

#define TEXT(a) addr_print((a), (char[ADDR_TEXT_MAX]){ 0 })
#define RETIRED_LOOK_US USEC_PER_S

struct plain_socket *plain_listener_of(struct plain *pl, const struct addr *local, uint16_t port)
{
	struct plain_socket *any = NULL;

	for (unsigned i = 0; i < PLAIN_LISTENERS_MAX; i++) {
		struct plain_socket *s = &pl->listen[i];

		if (s->udp.fd < 0 || s->port != port || s->udp.local.family != local->family)
			continue;
		/* As the kernel chooses: the listener of that address before that of every address. */
		if (addr_same_ip(&s->udp.local, local))
			return s;
		if (addr_is_unspecified(&s->udp.local))
			any = s;
	}
	return any;
}

const struct addr *plain_forward(const struct daemon *d, const struct addr *local)
{
	const struct plain_socket *s = plain_listener_of(d->plain, local, local->port);

	return s && !s->retired ? &s->config.forward : NULL;
}

/* Listeners that forward to the same place are one service: their addresses lead to the same connections. Never 0. */
static uint8_t service_of(const struct plain *pl, const struct plain_socket *of)
{
	for (uint8_t number = 1;; number++) {
		bool taken = false;

		for (unsigned i = 0; i < PLAIN_LISTENERS_MAX; i++) {
			const struct plain_socket *s = &pl->listen[i];

			if (s == of || s->udp.fd < 0)
				continue;
			if (addr_eq(&s->config.forward, &of->config.forward))
				return s->service;
			taken |= s->service == number;
		}
		if (!taken)
			return number;
	}
}

/* 0, or the errno. */
static int listener_open(struct daemon *d, struct plain_socket *s, const struct config_plain_listen *config)
{
	int error = udp_open(&s->udp, d->loop, &d->pool, &config->address, NULL, &plain_udp_events, s);

	if (error) {
		log_line(LOG_ERROR, "cannot listen on %s: %s", TEXT(&config->address), strerror(error));
		s->udp.fd = -1;
		return error;
	}
	s->daemon = d;
	s->listening = true;
	s->retired = false;
	s->port = config->address.port;
	s->config = *config;
	s->service = service_of(d->plain, s);
	log_line(LOG_INFO, "listening on %s, plain, for %s", TEXT(&s->udp.local), TEXT(&config->forward));
	return 0;
}

static void listener_close(struct plain_socket *s)
{
	if (s->udp.fd < 0)
		return;
	udp_batch_flush(&s->batch, &s->udp);
	udp_close(&s->udp);
	s->udp.fd = -1;
}

int plain_listen_open(struct daemon *d)
{
	const struct config *c = d->config;

	for (unsigned i = 0; i < PLAIN_LISTENERS_MAX; i++)
		d->plain->listen[i].udp.fd = -1;
	for (unsigned i = 0; i < c->plain_listen_count; i++)
		if (listener_open(d, &d->plain->listen[i], &c->plain_listen[i]))
			return 1;
	return 0;
}

static void listener_keep(struct plain *pl, struct plain_socket *s, const struct config_plain_listen *config)
{
	if (s->retired)
		log_line(LOG_INFO, "listening on %s again, plain, for %s", TEXT(&s->udp.local), TEXT(&config->forward));
	s->retired = false;
	s->config = *config;
	s->service = service_of(pl, s);
}

void plain_reload(struct daemon *d)
{
	const struct config *c = d->config;
	struct plain *pl = d->plain;

	if (!pl)
		return;
	for (unsigned k = 0; k < PLAIN_LISTENERS_MAX; k++) {
		struct plain_socket *s = &pl->listen[k];
		bool named = false;

		for (unsigned i = 0; i < c->plain_listen_count; i++)
			named |= addr_eq(&s->config.address, &c->plain_listen[i].address);
		if (s->udp.fd < 0 || named || s->retired)
			continue;
		s->retired = true;
		pl->look_us = d->now_us;
		log_line(LOG_INFO, "no new connections on %s, plain", TEXT(&s->udp.local));
	}
	plain_listen_time(d); /* an unused one gives its port to another at once */
	for (unsigned i = 0; i < c->plain_listen_count; i++) {
		struct plain_socket *known = NULL, *unused = NULL;

		for (unsigned k = 0; k < PLAIN_LISTENERS_MAX && !known; k++) {
			struct plain_socket *s = &pl->listen[k];

			if (s->udp.fd < 0)
				unused = s;
			else if (addr_eq(&s->config.address, &c->plain_listen[i].address))
				known = s;
		}
		if (known)
			listener_keep(pl, known, &c->plain_listen[i]);
		else if (unused)
			(void)listener_open(d, unused, &c->plain_listen[i]);
		else
			log_line(LOG_ERROR, "not listening on %s: as many as can be are kept for the connections they have",
				 TEXT(&c->plain_listen[i].address));
	}
	plain_refresh(d);
}

static bool in_use(const struct daemon *d, const struct plain_socket *s)
{
	conn_id id = 0;

	while ((id = engine_next_conn(d->plain_engine, id))) {
		struct subflow_info sub;

		for (unsigned n = 0; engine_subflow_info(d->plain_engine, id, n, &sub) == ERR_OK; n++)
			if (plain_listener_of(d->plain, &sub.local, sub.local.port) == s)
				return true;
	}
	return false;
}

void plain_listen_time(struct daemon *d)
{
	struct plain *pl = d->plain;
	bool more = false;

	if (!pl || d->now_us < pl->look_us)
		return;
	for (unsigned i = 0; i < PLAIN_LISTENERS_MAX; i++) {
		struct plain_socket *s = &pl->listen[i];

		if (s->udp.fd < 0 || !s->retired)
			continue;
		if (in_use(d, s)) {
			more = true;
			continue;
		}
		log_line(LOG_INFO, "no longer listening on %s, plain", TEXT(&s->udp.local));
		plain_paths_of_listener_gone(d, s);
		plain_undirty(pl, s);
		listener_close(s);
	}
	pl->look_us = more ? usec_add(d->now_us, RETIRED_LOOK_US) : USEC_NEVER;
}

usec_t plain_deadline(const struct daemon *d) { return d->plain ? d->plain->look_us : USEC_NEVER; }

void plain_listen_close(struct plain *pl)
{
	for (unsigned i = 0; i < PLAIN_LISTENERS_MAX; i++)
		listener_close(&pl->listen[i]);
}
