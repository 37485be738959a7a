/* SPDX-License-Identifier: MIT */
#include "tunneld/config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>
#include <sys/stat.h>

#include "tunneld/config/config_value.h"
#include "tunneld/mptcp/backup.h"
#include "tunneld/mptcp/sched.h"
#include "tunneld/seal/seal.h"
#include "tunneld/tcp/cc.h"

_Static_assert((int)CONFIG_KEY_SIZE == (int)KEY_SIZE, "one size of key");

enum {
	CONNECTIONS_DEFAULT = 4096, CONNECTIONS_LIMIT = 1 << 20,
	MEMORY_DEFAULT = 256 << 20, KEEPALIVE_DEFAULT_MS = 2 * 3600 * 1000, MEMORY_LEAST = 4 << 20,
};

static void read_ms(struct place *p, void *to)
{
	uint64_t v;

	/* 24 bits of milliseconds travel, seeds/draft-bonaventure-mptcp-backup-00 */
	if (whole_number(p, 0xffffff, &v))
		*(uint32_t *)to = (uint32_t)v;
}

static void read_cost(struct place *p, void *to)
{
	uint64_t v;

	if (whole_number(p, CONFIG_COST_MAX, &v))
		*(uint32_t *)to = (uint32_t)v;
}

static void read_mark(struct place *p, void *to)
{
	uint64_t v;

	if (!whole_number(p, UINT32_MAX, &v))
		return;
	if (v)
		*(uint32_t *)to = (uint32_t)v;
	else
		complain(p, "must not be 0, the mark of every socket without one");
}

static void read_connections(struct place *p, void *to)
{
	uint64_t v;

	if (whole_number(p, CONNECTIONS_LIMIT, &v) && v)
		*(uint32_t *)to = (uint32_t)v;
}

static void read_memory(struct place *p, void *to)
{
	uint64_t v;

	if (!whole_number(p, UINT64_C(1) << 40, &v) || !v)
		return;
	if (v < MEMORY_LEAST)
		complain(p, "must be 0 (the default) or at least %d", MEMORY_LEAST);
	else
		*(uint64_t *)to = v;
}

/* --- gateway --- */

static void read_listen(struct place *p, void *to)
{
	struct config *c = to;

	if (!is_array(p, 1, CONFIG_ADDRESSES_MAX))
		return;
	for (size_t i = 0; i < json_array_size(p->json); i++) {
		struct place at = place_item(p, i);

		read_endpoint(&at, &c->listen[i]);
		for (size_t k = 0; k < i; k++)
			if (c->listen[i].family && addr_eq(&c->listen[i], &c->listen[k]))
				complain(&at, "is there already, as item %zu", k);
	}
	c->listen_count = (unsigned)json_array_size(p->json);
}

static void read_clients(struct place *p, void *to)
{
	static const struct key keys[] = {
		{ "name",       read_name, offsetof(struct config_client_key, name),       true },
		{ "public_key", read_key,  offsetof(struct config_client_key, public_key), true },
	};
	struct config *c = to;

	if (!is_array(p, 0, 1024))
		return;
	c->clients = calloc(json_array_size(p->json) + 1, sizeof *c->clients);
	if (!c->clients) {
		complain(p, "out of memory");
		return;
	}
	for (size_t i = 0; i < json_array_size(p->json); i++) {
		struct place at = place_item(p, i);
		unsigned before = p->r->complaints;

		OBJECT(&at, keys, &c->clients[i]);
		for (size_t k = 0; k < i && p->r->complaints == before; k++) {
			if (!memcmp(c->clients[i].public_key, c->clients[k].public_key, KEY_SIZE))
				complain(&at, "has the public key of item %zu", k);
			else if (!strcmp(c->clients[i].name, c->clients[k].name))
				complain(&at, "has the name of item %zu", k);
		}
	}
	c->client_count = json_array_size(p->json);
}

static void read_workers(struct place *p, void *to)
{
	uint64_t v;

	if (!whole_number(p, DATAGRAM_WORKERS_MAX, &v))
		return;
	if (!v)
		complain(p, "must be 1 at least");
	else if (v > *(uint32_t *)to) /* one number for the process: the larger of the roles' */
		*(uint32_t *)to = (uint32_t)v;
}

static void read_egress(struct place *p, void *to)
{
	static const struct key keys[] = {
		{ "allow", read_cidrs, offsetof(struct config, egress_allow), false },
		{ "deny",  read_cidrs, offsetof(struct config, egress_deny),  false },
	};

	OBJECT(p, keys, to);
}

static void read_gateway_role(struct place *p, void *to)
{
	static const struct key keys[] = {
		{ "listen",  read_listen,  0, true  },
		{ "clients", read_clients, 0, true  },
		{ "egress",  read_egress,  0, false },
		{ "workers", read_workers, offsetof(struct config, workers), false },
	};

	((struct config *)to)->gateway = true;
	OBJECT(p, keys, to);
}

/* --- client --- */

static void read_gateway_addresses(struct place *p, void *to)
{
	struct config_gateway *g = to;

	if (!is_array(p, 1, CONFIG_ADDRESSES_MAX))
		return;
	for (size_t i = 0; i < json_array_size(p->json); i++) {
		struct place at = place_item(p, i);

		read_endpoint(&at, &g->addresses[i]);
	}
	g->address_count = (unsigned)json_array_size(p->json);
}

static void read_gateways(struct place *p, void *to)
{
	static const struct key keys[] = {
		{ "name",       read_name,              offsetof(struct config_gateway, name),       true },
		{ "public_key", read_key,               offsetof(struct config_gateway, public_key), true },
		{ "addresses",  read_gateway_addresses, 0,                                           true },
	};
	struct config *c = to;

	if (!is_array(p, 1, 16))
		return;
	c->gateways = calloc(json_array_size(p->json), sizeof *c->gateways);
	if (!c->gateways) {
		complain(p, "out of memory");
		return;
	}
	for (size_t i = 0; i < json_array_size(p->json); i++) {
		struct place at = place_item(p, i);
		unsigned before = p->r->complaints;

		OBJECT(&at, keys, &c->gateways[i]);
		for (size_t k = 0; k < i && p->r->complaints == before; k++)
			if (!memcmp(c->gateways[i].public_key, c->gateways[k].public_key, KEY_SIZE))
				complain(&at, "has the public key of item %zu; one gateway may have many addresses", k);
	}
	c->gateway_count = json_array_size(p->json);
}

static void read_paths(struct place *p, void *to)
{
	static const struct key keys[] = {
		{ "name",      read_name,      offsetof(struct config_path, name),      true  },
		{ "interface", read_interface, offsetof(struct config_path, interface), false },
		{ "address",   read_ip,        offsetof(struct config_path, address),   false },
		{ "backup",    read_bool,      offsetof(struct config_path, backup),    false },
		{ "cost",      read_cost,      offsetof(struct config_path, cost),      false },
		{ "mark",      read_mark,      offsetof(struct config_path, mark),      false },
	};
	struct config *c = to;

	if (json_is_string(p->json) && !strcmp(json_string_value(p->json), "auto")) {
		c->paths_auto = true;
		return;
	}
	if (!json_is_array(p->json)) {
		complain(p, "must be \"auto\" or an array");
		return;
	}
	if (!is_array(p, 1, CONFIG_PATHS_MAX))
		return;
	for (size_t i = 0; i < json_array_size(p->json); i++) {
		struct place at = place_item(p, i);
		bool interface = json_object_get(at.json, "interface"), address = json_object_get(at.json, "address");

		OBJECT(&at, keys, &c->paths[i]);
		if (json_is_object(at.json) && interface == address)
			complain(&at, "must have either interface or address%s", interface ? ", not both" : "");
		for (size_t k = 0; k < i; k++) {
			if (c->paths[i].name[0] && !strcmp(c->paths[i].name, c->paths[k].name))
				complain(&at, "has the name of item %zu", k);
			if (c->paths[i].mark && c->paths[i].mark == c->paths[k].mark)
				complain(&at, "has the mark of item %zu", k);
		}
	}
	c->path_count = (unsigned)json_array_size(p->json);
}

static void read_client_role(struct place *p, void *to)
{
	static const struct key keys[] = {
		{ "socket",          read_socket_path, offsetof(struct config, client_socket),          false },
		{ "socket_any_user", read_bool,        offsetof(struct config, client_socket_any_user), false },
		{ "gateways",        read_gateways,    0,                                               false },
		{ "paths",           read_paths,       0,                                               false },
		{ "bypass",          read_cidrs,       offsetof(struct config, bypass),                 false },
		{ "workers",         read_workers,     offsetof(struct config, workers),                false },
	};
	struct config *c = to;

	c->client = true;
	c->paths_auto = !json_object_get(p->json, "paths");
	OBJECT(p, keys, to);
}

/* --- the rest --- */

static void read_fastclose(struct place *p, void *to)
{
	const char *text = text_of(p);

	if (text && strcmp(text, "rst") != 0 && strcmp(text, "ack") != 0)
		complain(p, "must be \"rst\" or \"ack\"");
	else if (text)
		*(bool *)to = !strcmp(text, "ack");
}

static void read_congestion(struct place *p, void *to)
{
	const char *text = text_of(p);

	if (text && !cc_by_name(text))
		complain(p, "must be one of: %s", cc_names());
	else if (text)
		*(char **)to = strdup(text);
}

static void read_scheduler(struct place *p, void *to)
{
	const char *text = text_of(p);

	if (text && !sched_by_name(text))
		complain(p, "must be one of: %s", sched_names());
	else if (text)
		*(char **)to = strdup(text);
}

static void read_transport(struct place *p, void *to)
{
	static const struct key keys[] = {
		{ "congestion",       read_congestion, offsetof(struct config, congestion),       false },
		{ "scheduler",        read_scheduler,  offsetof(struct config, scheduler),        false },
		{ "uperf_timeout_ms", read_ms,         offsetof(struct config, uperf_timeout_ms), false },
		{ "user_timeout_ms",  read_ms,         offsetof(struct config, user_timeout_ms),  false },
		{ "uperf_l_limit_ms", read_ms,         offsetof(struct config, uperf_l_limit_ms), false },
		{ "uperf_u_limit_ms", read_ms,         offsetof(struct config, uperf_u_limit_ms), false },
		{ "fastclose",        read_fastclose,  offsetof(struct config, fastclose_ack),    false },
		{ "checksum",         read_bool,       offsetof(struct config, checksum),         false },
	};
	const struct config *c = to;
	uint32_t uperf_ms;

	OBJECT(p, keys, to);
	/* seeds/draft-bonaventure-mptcp-backup-00: a USER_TIMEOUT, if set, must be larger */
	uperf_ms = backup_timeout_ms(c->uperf_u_limit_ms ? c->uperf_u_limit_ms : BACKUP_U_LIMIT_MS,
				     c->uperf_timeout_ms ? c->uperf_timeout_ms : BACKUP_ADV_DEFAULT_MS, 0,
				     c->uperf_l_limit_ms ? c->uperf_l_limit_ms : BACKUP_L_LIMIT_MS);
	if (c->user_timeout_ms && c->user_timeout_ms <= uperf_ms)
		complain(p, "user_timeout_ms must be larger than UPERF_TIMEOUT, which is %u ms here", uperf_ms);
	if (c->uperf_u_limit_ms && c->uperf_l_limit_ms > c->uperf_u_limit_ms)
		complain(p, "uperf_l_limit_ms must not be larger than uperf_u_limit_ms");
}

static void read_limits(struct place *p, void *to)
{
	static const struct key keys[] = {
		{ "connections",  read_connections, offsetof(struct config, connections_max), false },
		{ "memory_bytes", read_memory,      offsetof(struct config, memory_bytes),    false },
	};

	OBJECT(p, keys, to);
}

static void read_status(struct place *p, void *to)
{
	static const struct key keys[] = {
		{ "socket", read_socket_path,       offsetof(struct config, status_socket), false },
		{ "http",   read_loopback_endpoint, offsetof(struct config, status_http),   false },
	};

	OBJECT(p, keys, to);
}

/* --- plain --- */

static void read_cidr(struct place *p, void *to)
{
	const char *text = text_of(p);

	if (text && cidr_parse(to, text) != ERR_OK)
		complain(p, "must be an address block, as 10.0.0.0/8 or 2001:db8::/32");
}

static void read_plain_connect(struct place *p, void *to)
{
	static const struct key keys[] = {
		{ "to", read_cidr, 0, true },
	};
	struct config_cidrs *out = to;

	if (!is_array(p, 0, 1024))
		return;
	out->list = calloc(json_array_size(p->json) + 1, sizeof *out->list);
	if (!out->list) {
		complain(p, "out of memory");
		return;
	}
	for (size_t i = 0; i < json_array_size(p->json); i++) {
		struct place at = place_item(p, i);

		OBJECT(&at, keys, &out->list[i]);
	}
	out->count = json_array_size(p->json);
}

static void read_plain_listen(struct place *p, void *to)
{
	static const struct key keys[] = {
		{ "address",  read_endpoint, offsetof(struct config_plain_listen, address),  true },
		{ "forward",  read_endpoint, offsetof(struct config_plain_listen, forward),  true },
		{ "announce", read_bool,     offsetof(struct config_plain_listen, announce), false },
		{ "joins",    read_bool,     offsetof(struct config_plain_listen, joins),    false },
	};
	struct config *c = to;

	if (!is_array(p, 0, CONFIG_ADDRESSES_MAX))
		return;
	for (size_t i = 0; i < json_array_size(p->json); i++) {
		struct place at = place_item(p, i);

		c->plain_listen[i].joins = true;
		OBJECT(&at, keys, &c->plain_listen[i]);
		if (c->plain_listen[i].announce && !c->plain_listen[i].joins)
			complain(&at, "announces an address for joins, and wants none there");
		for (size_t k = 0; k < i; k++)
			if (c->plain_listen[i].address.family && addr_eq(&c->plain_listen[i].address, &c->plain_listen[k].address))
				complain(&at, "has the address of item %zu", k);
	}
	c->plain_listen_count = (unsigned)json_array_size(p->json);
}

static void read_extensions(struct place *p, void *to)
{
	static const struct { const char *name; size_t at; } all[] = {
		{ "uperf",           offsetof(struct config_extensions, uperf)           },
		{ "mp_prio_max_rto", offsetof(struct config_extensions, mp_prio_max_rto) },
		{ "fault_announce",  offsetof(struct config_extensions, fault_announce)  },
	};
	enum { COUNT = sizeof all / sizeof *all };

	if (!is_array(p, 0, COUNT))
		return;
	for (size_t i = 0; i < json_array_size(p->json); i++) {
		struct place at = place_item(p, i);
		const char *text = text_of(&at);
		size_t k = 0;

		while (text && k < COUNT && strcmp(all[k].name, text) != 0)
			k++;
		if (text && k == COUNT)
			complain(&at, "must be one of: uperf, mp_prio_max_rto, fault_announce");
		else if (text)
			*(bool *)((char *)to + all[k].at) = true;
	}
}

static void read_plain(struct place *p, void *to)
{
	static const struct key keys[] = {
		{ "connect",      read_plain_connect, offsetof(struct config, plain_connect),      false },
		{ "listen",       read_plain_listen,  0,                                           false },
		{ "keepalive_ms", read_ms,            offsetof(struct config, plain_keepalive_ms), false },
		{ "extensions",   read_extensions,    offsetof(struct config, plain_extensions),   false },
	};

	OBJECT(p, keys, to);
}

static void read_key_file(struct place *p, void *to)
{
	struct config *c = to;
	char text[128];
	size_t n;
	struct stat st;
	FILE *f;

	read_text(p, &c->private_key_file);
	if (!c->private_key_file)
		return;
	f = fopen(c->private_key_file, "re");
	if (!f) {
		complain(p, "%s: %s", c->private_key_file, strerror(errno));
		return;
	}
	n = fread(text, 1, sizeof text - 1, f);
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
		n--;
	text[n] = '\0';
	if (key_from_text(c->private_key, text) != ERR_OK)
		complain(p, "%s: holds no key: 32 bytes in base64, as plait genkey writes it", c->private_key_file);
	else if (!fstat(fileno(f), &st) && st.st_mode & 077) {
		complain(p, "warning: %s can be read by others (mode %03o): chmod 600 it", c->private_key_file, st.st_mode & 0777u);
		p->r->complaints--; /* a warning does not refuse */
	}
	fclose(f);
	sodium_memzero(text, sizeof text);
}

static void read_root(struct place *p, struct config *c)
{
	static const struct key keys[] = {
		{ "private_key_file", read_key_file,     0, false },
		{ "gateway",          read_gateway_role, 0, false },
		{ "client",           read_client_role,  0, false },
		{ "plain",            read_plain,        0, false },
		{ "transport",        read_transport,    0, false },
		{ "limits",           read_limits,       0, false },
		{ "status",           read_status,       0, false },
	};

	struct place key = place_member(p, "private_key_file", NULL), client, gateways;
	json_t *role;

	OBJECT(p, keys, c);
	if (!json_is_object(p->json))
		return;
	role = json_object_get(p->json, "client");
	if (!json_object_get(p->json, "gateway") && !role && !c->plain_listen_count)
		complain(p, "has neither gateway nor client, nor plain.listen: there is nothing to do");
	client = place_member(p, "client", role);
	gateways = place_member(&client, "gateways", NULL);
	if (json_is_object(role) && !json_object_get(role, "gateways") && !c->plain_connect.count)
		complain(&gateways, "is missing, and there is no plain.connect either");
	if (c->plain_connect.count && !role)
		complain(p, "has plain.connect but no client: there is nobody to connect");
	/* The plain form has no keys. */
	if (!json_object_get(p->json, "private_key_file") && (c->gateway || json_object_get(role, "gateways")))
		complain(&key, "is missing");
}

char *config_default_socket(const char *name)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	char *path = NULL;

	if (asprintf(&path, "%s/plait/%s", dir && *dir ? dir : "/run", name) < 0)
		return NULL;
	return path;
}

/* Beside the control socket, where `plait status` looks. */
static char *status_socket_beside(const char *socket)
{
	const char *slash = strrchr(socket, '/');
	char *path = NULL;

	if (asprintf(&path, "%.*sstatus.sock", slash ? (int)(slash - socket + 1) : 0, socket) < 0)
		return NULL;
	return path;
}

struct config *config_read(const char *file, FILE *complaints)
{
	struct reader r = { .file = file, .to = complaints };
	struct place root = { .r = &r };
	struct config *c;
	json_error_t error;

	root.json = json_load_file(file, JSON_REJECT_DUPLICATES, &error);
	if (!root.json) {
		if (error.line > 0)
			fprintf(complaints, "%s:%d:%d: %s\n", file, error.line, error.column, error.text);
		else
			fprintf(complaints, "%s: %s\n", file, error.text);
		return NULL;
	}
	c = calloc(1, sizeof *c);
	if (!c) {
		json_decref(root.json);
		return NULL;
	}
	c->connections_max = CONNECTIONS_DEFAULT;
	c->workers = 1;
	c->memory_bytes = MEMORY_DEFAULT;
	c->plain_keepalive_ms = KEEPALIVE_DEFAULT_MS;
	read_root(&root, c);
	json_decref(root.json);
	if (c->client && !c->client_socket)
		c->client_socket = config_default_socket("tunneld.sock");
	if (!c->status_socket)
		c->status_socket = c->client_socket ? status_socket_beside(c->client_socket) : config_default_socket("status.sock");
	if (!c->congestion)
		c->congestion = strdup("bbr");
	if (!c->scheduler)
		c->scheduler = strdup("ecf");
	if (r.complaints) {
		config_free(c);
		return NULL;
	}
	return c;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	sodium_memzero(c->private_key, sizeof c->private_key);
	free(c->private_key_file);
	free(c->clients);
	free(c->egress_allow.list);
	free(c->egress_deny.list);
	free(c->client_socket);
	free(c->gateways);
	free(c->bypass.list);
	free(c->plain_connect.list);
	free(c->congestion);
	free(c->scheduler);
	free(c->status_socket);
	free(c);
}
