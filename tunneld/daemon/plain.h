/* SPDX-License-Identifier: MIT */
/* The plain encapsulation's sockets and paths, for plain.c and plain_paths.c. */
#ifndef PLAIT_DAEMON_PLAIN_H
#define PLAIT_DAEMON_PLAIN_H

#include "tunneld/daemon/state.h"

struct plain_path {
	bool used, wanted;        /* wanted: seen by this refresh */
	bool initiator, backup;
	bool announce, no_joins;  /* as in EV_PATH */
	uint8_t service;          /* as in EV_PATH */
	struct addr local;        /* with the port of its listener; 0: we open subflows from it */
	char name[CONFIG_NAME_MAX];
	char interface[IF_NAMESIZE]; /* to bind to; "": none */
	uint32_t mtu;
	uint64_t bytes_sent, bytes_received, datagrams_sent, datagrams_received; /* of segments, UDP and IP not counted */
};

struct plain_socket {
	struct daemon *daemon;
	struct udp udp;
	struct udp_batch batch;
	struct plain_socket *next;       /* in its bucket */
	struct plain_socket *dirty_next;
	bool dirty;
	bool listening;                  /* a listener; retired: it is in the config no more, and takes no new connections */
	bool retired;
	uint8_t service;                 /* this and config: of a listener; a number for each `forward` */
	struct config_plain_listen config;
	path_id path;                    /* not of a listening one */
	uint16_t port;
};

enum { PLAIN_SOCKET_BUCKETS = 1024, PLAIN_LISTENERS_MAX = 2 * CONFIG_ADDRESSES_MAX };

struct plain {
	struct plain_path paths[PLAIN_PATHS_MAX];
	struct plain_socket listen[PLAIN_LISTENERS_MAX];
	struct plain_socket *sockets[PLAIN_SOCKET_BUCKETS];
	struct plain_socket *dirty;
	bool connects;                   /* plain.connect named something, now or before */
	usec_t look_us;                  /* plain_listen_time(); USEC_NEVER */
};

/* Into the plain engine; its refusals are counted by itself. */
enum err plain_tell(struct daemon *d, struct event *ev);

/* --- plain.c --- */
extern const struct udp_events plain_udp_events;
void plain_undirty(struct plain *pl, struct plain_socket *s); /* it will be closed: its batch goes now or never */
void plain_close_sockets_of(struct plain *pl, path_id path);

/* --- plain_paths.c --- */
uint16_t plain_payload(uint32_t mtu, const struct addr *local); /* of one segment, in bytes; mtu 0: unknown */
/* A datagram came to a listener, at that address of ours. PLAIN_PATHS_MAX: the table is full. */
path_id plain_path_learn(struct daemon *d, const struct plain_socket *s, const struct addr *to, uint32_t ifindex);
void plain_paths_of_listener_gone(struct daemon *d, const struct plain_socket *s); /* it will be closed */

/* --- plain_listen.c --- */
int plain_listen_open(struct daemon *d); /* 0, or 1 with the reason on stderr */
void plain_listen_close(struct plain *pl);
/* The listener that has that address of ours; NULL: none. */
struct plain_socket *plain_listener_of(struct plain *pl, const struct addr *local, uint16_t port);

#endif
