/* SPDX-License-Identifier: MIT */
/*
 * What the files of paths.h share, and nobody else sees: the table, and what they ask of each other.
 */
#ifndef PLAIT_PATHS_INTERNAL_H
#define PLAIT_PATHS_INTERNAL_H

#include "tunneld/paths/paths.h"

/* Kinds of path message (paths.h), and how long one is. */
enum { MSG_PROBE = 1, MSG_REPLY = 2, MSG_CLOSE = 3, MSG_COST = 4, MSG_SIZE = 9 };

enum {
	BURST = 3,                               /* probes at a start, for a first idea of the round trip */
	GATEWAYS_MAX = 16,
	MTU_ASSUMED = 1500, MTU_MOST = 9000, MTU_PAYLOAD_LEAST = 500,
};

struct link {
	bool used;                 /* configured, or an interface that was seen */
	char name[CONFIG_NAME_MAX], interface[CONFIG_NAME_MAX];
	struct addr address;
	bool backup;
	uint32_t cost, mark;
};

struct gateway { uint32_t peer; const struct config_gateway *config; };

struct paths {
	struct paths_config config;
	struct path_end *ends;     /* config.paths_max */
	uint32_t ends_used_below;  /* nothing is used from here on */
	bool session[PATHS_PEERS_MAX]; /* there has been one: probes can be sealed */
	uint16_t by_peer[PATHS_PEERS_MAX][PATHS_PER_PEER]; /* id + 1; 0 = none */
	usec_t data_us[PATHS_PEERS_MAX]; /* when it was last sent something that is not ours; 0: never */
	bool own_message;          /* what is being sent is ours */
	struct gateway gateways[GATEWAYS_MAX];
	unsigned gateway_count;
	bool automatic;
	struct link links[PATHS_PER_PEER];
	usec_t deadline_us;        /* no later than the earliest due_us; exact after paths_time() */
	uint64_t chance;
	struct ifaddrs there;      /* as of the last refresh, for rotate() */
};

/* paths.c: the table. NULL: full, counted. Gone: changed(gone) is called, its socket is closed. */
struct path_end *path_end_new(struct paths *p, uint32_t peer, uint8_t no, usec_t now_us);
void path_end_gone(struct paths *p, struct path_end *e);
/* paths.c: what goes through these is ours, and does not make the peer one that is in use. */
void path_send_own(struct paths *p, struct path_end *e, const uint8_t *bytes, size_t len);
void path_send_message(struct paths *p, struct path_end *e, uint8_t kind, uint64_t token);

/* paths_life.c */
void path_due(struct paths *p, struct path_end *e); /* something that due_us depends on has changed */
void path_probe_now(struct paths *p, struct path_end *e, usec_t now_us);
void path_replied(struct paths *p, struct path_end *e, uint64_t token, usec_t now_us);

/* paths_size.c. mtu: of the interface, 0 unknown; family: 4 or 6. */
uint16_t path_mtu_payload(uint32_t mtu, uint8_t family);
void path_size_unknown(struct path_end *e, usec_t now_us); /* (any more): tried as soon as it lives */
void path_size_time(struct paths *p, struct path_end *e, usec_t now_us);
void path_size_answered(struct paths *p, struct path_end *e, uint64_t token, usec_t now_us);

/* paths_links.c: on to the next of the gateway's addresses that this link can reach. */
void path_rotate(struct paths *p, struct path_end *e);

#endif
