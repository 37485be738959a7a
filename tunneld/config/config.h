/* SPDX-License-Identifier: MIT */
/*
 * One JSON file to one struct, with exact complaints: all of them, one a line, each with the JSON
 * path of what is wrong ("FILE: $.client.paths[1].interface: must be a string"), or with line and
 * column where it is not JSON. Unknown keys are errors, so that a misspelt key is never silently a
 * default. config/tunneld.schema.json describes the same keys; nothing else reads the file.
 */
#ifndef PLAIT_CONFIG_H
#define PLAIT_CONFIG_H

#include <stdio.h>

#include "common/addr.h"

enum {
	CONFIG_NAME_MAX = 64, CONFIG_ADDRESSES_MAX = 8, CONFIG_PATHS_MAX = 16, CONFIG_COST_MAX = 100000,
	CONFIG_KEY_SIZE = 32,
};

struct config_client_key {        /* gateway.clients[] */
	char name[CONFIG_NAME_MAX];
	uint8_t public_key[CONFIG_KEY_SIZE];
};

struct config_gateway {           /* client.gateways[] */
	char name[CONFIG_NAME_MAX];
	uint8_t public_key[CONFIG_KEY_SIZE];
	struct addr addresses[CONFIG_ADDRESSES_MAX];
	unsigned address_count;
};

struct config_path {              /* client.paths[]; either interface or address */
	char name[CONFIG_NAME_MAX];
	char interface[CONFIG_NAME_MAX];
	struct addr address;
	bool backup;
	uint32_t cost;                /* milliseconds of score, mptcp/backup.h */
	uint32_t mark;                /* SO_MARK of sockets that ask for it; 0: none do */
};

struct config_cidrs { struct cidr *list; size_t count; };

struct config_plain_listen {      /* plain.listen[] */
	struct addr address, forward;
	bool announce;                /* its addresses are told by ADD_ADDR */
	bool joins;                   /* further subflows may come to it; else flag C says that they may not */
};

struct config {
	char *private_key_file;
	uint8_t private_key[CONFIG_KEY_SIZE];

	bool gateway;                 /* has the role */
	struct addr listen[CONFIG_ADDRESSES_MAX];
	unsigned listen_count;
	struct config_client_key *clients;
	size_t client_count;
	struct config_cidrs egress_allow, egress_deny;
	uint32_t workers;             /* of both roles; never 0 */

	bool client;
	char *client_socket;          /* never NULL with the client role */
	bool client_socket_any_user;
	struct config_gateway *gateways;
	size_t gateway_count;
	bool paths_auto;
	struct config_path paths[CONFIG_PATHS_MAX];
	unsigned path_count;
	struct config_cidrs bypass;

	struct config_cidrs plain_connect;
	struct config_plain_listen plain_listen[CONFIG_ADDRESSES_MAX];
	unsigned plain_listen_count;
	uint32_t plain_keepalive_ms;  /* 0: none */
	struct config_extensions { bool uperf, mp_prio_max_rto, fault_announce; } plain_extensions; /* said to hosts in plain form */

	char *congestion, *scheduler;
	uint32_t uperf_timeout_ms, user_timeout_ms, uperf_l_limit_ms, uperf_u_limit_ms; /* 0: the protocol's default */
	bool fastclose_ack, checksum;

	uint32_t connections_max;     /* never 0 */
	uint64_t memory_bytes;        /* never 0 */

	char *status_socket;          /* never NULL */
	struct addr status_http;      /* family 0: none */
};

/*
 * Reads file and the key file it names. NULL: refused, each complaint is one line on `complaints`.
 * Warnings (a key file that others can read) go there too and do not refuse.
 */
struct config *config_read(const char *file, FILE *complaints);
void config_free(struct config *c); /* wipes the key */

/* The default local socket: $XDG_RUNTIME_DIR/plait/tunneld.sock, else /run/plait/tunneld.sock. */
char *config_default_socket(const char *name);

#endif
