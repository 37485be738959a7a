/* SPDX-License-Identifier: MIT */
/* The daemon's tables, for daemon*.c and (to read) status.c. */
#ifndef PLAIT_DAEMON_STATE_H
#define PLAIT_DAEMON_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "tunneld/config/config.h"
#include "tunneld/daemon/egress.h"
#include "tunneld/daemon/rest.h"
#include "tunneld/fault/fault.h"
#include "tunneld/io/dial.h"
#include "tunneld/io/http.h"
#include "tunneld/io/ifaddrs.h"
#include "tunneld/io/loop.h"
#include "tunneld/io/park.h"
#include "tunneld/io/stream.h"
#include "tunneld/io/udp.h"
#include "tunneld/mptcp/engine.h"
#include "tunneld/mptcp/page_pool.h"
#include "tunneld/paths/paths.h"
#include "tunneld/seal/seal.h"

enum flow_state {
	FLOW_FREE,
	FLOW_WAITING,     /* client: parked, no path to a gateway answers yet */
	FLOW_OPENING,     /* client: EV_CONNECT is with the engine */
	FLOW_COMPLETING,  /* client: opened; the application's end is being joined */
	FLOW_DIALLING,    /* gateway */
	FLOW_OPEN,        /* stream is connected */
	FLOW_STATES,
};

/* One application stream: a local connection tied to a connection of the engine. */
struct flow {
	struct daemon *daemon;
	struct engine *engine;      /* which of the two carries it */
	enum flow_state state;
	uint32_t index, generation; /* together the engine's `host` value of it */
	struct flow *next;          /* among the free; or in its park bucket */
	conn_id conn;               /* 0: none (any more) */
	peer_id peer;
	park_id park;               /* client */
	pid_t pid;
	char comm[16];
	struct addr destination;
	char device[16];            /* client: the interface, the mark and the address of the application's socket, */
	uint32_t mark;              /* wishes for a path */
	struct addr source;
	struct park_options options; /* client: of the application's socket */
	struct dial dial;
	struct stream stream;
	bool read_ended, write_ended;
	bool eof_waits;             /* ACT_EOF came before the application's end was joined */
	bool full;                  /* the application takes no more; an offer of the engine waits */
	uint32_t read_bytes;        /* asked for at once: more where reads fill what is asked for */
	usec_t since_us, give_up_us; /* WAITING: when it times out */
	uint64_t bytes_in, bytes_out; /* from, to the application */
};

/* What a client's stream is placed by: told by each worker at the end of its turns, read by the first. */
struct load {
	atomic_uint streams;        /* of applications; the first adds what it places */
	atomic_uint_fast64_t queued_bytes;
	atomic_bool ready;          /* has a live path to a gateway */
};

/* Letters for one worker, place.c. */
struct letter;
struct post {
	pthread_mutex_t lock;       /* of all but taken, which is the reader's */
	atomic_bool waits;
	struct letter *letters, *taken;
	size_t count, room, taken_room;
};

enum peer_kind { PEER_NONE, PEER_CLIENT /* of our gateway */, PEER_GATEWAY /* we are its client */ };

struct peer {
	enum peer_kind kind;
	char name[CONFIG_NAME_MAX];
	uint8_t public_key[KEY_SIZE];
	uint64_t epoch;             /* of the process at the other end; 0: not heard of */
	bool ready_told;
	bool joined;                /* gateway: it is to be connected to */
	usec_t handshake_sent_us;
	uint32_t handshake_attempt;
	uint8_t initiation[512];    /* the last one sent: a path that comes now need not wait for the next */
	size_t initiation_len;
};

/*
 * One worker: a loop, its engine, its keys' sessions and its sockets, which no other touches but between worker_enter() and
 * worker_leave(). The first is run by the main thread, and has besides what the process has once: signals, status, the park of
 * applications' connects, plain form.
 */
struct daemon {
	unsigned worker;            /* its number; 0: the first */
	struct daemon *first, *next; /* all of them, the first first */
	pthread_t thread;           /* not of the first */
	bool runs;
	atomic_bool ended;
	struct load load;
	struct post post;

	struct config *config;      /* the first's; changed only while every worker is entered */
	uint32_t connections_max;   /* room in its tables: worker_connections() */
	struct bank memory;    /* the first's: limits.memory_bytes, of all engines of all workers */
	atomic_uint connections;    /* the first's, with several workers: of all of them, config->connections_max at most */
	const char *file;
	struct loop *loop;
	usec_t now_us;              /* of the event being handled */
	usec_t started_us;
	struct counters counters;

	struct udp_pool pool;
	struct udp listen[CONFIG_ADDRESSES_MAX];
	struct udp_batch reply;
	struct path_end *dirty;     /* ends with a batch to flush */

	struct seal *seal;
	struct engine *engine;
	struct engine *plain_engine; /* NULL: plain form is not used */
	struct plain *plain;        /* plain.c's own */
	struct paths *paths;
	struct peer *peers;         /* by seal_peer, which is the engine's peer_id too */
	uint32_t peers_max;

	struct ifaddrs interfaces;
	struct ifaddrs_watch ifaddrs_watch;
	bool interfaces_changed;
	struct addr *own;           /* every address of this machine */
	size_t own_count;
	struct egress egress;

	struct stream_set streams;
	struct park *park;          /* the first's */
	struct flow *flows;         /* config->connections_max */
	struct flow *free_flow;
	uint32_t flow_count, flow_states[FLOW_STATES];
	struct flow **by_park;      /* buckets */
	uint32_t by_park_mask;
	usec_t waiting_deadline_us;
	uint32_t connects_this_turn;

	struct http *http;
	struct events *events;      /* the first's */
	struct capture *capture;    /* the first's; NULL: nobody wants one */
	struct faults *faults;      /* fault_watch's, for status */
	struct fault_watch *fault_watch;

	struct rest rest;

	bool ending;
	usec_t end_us;
};

/* --- daemon.c --- */
void daemon_end(struct daemon *d);
bool daemon_peer_add(struct daemon *d, enum peer_kind kind, const char *name, const uint8_t key[KEY_SIZE]); /* false: it says why */
/* Is it for status? A client is known to all workers, and is listed where it is at home or has been. */
bool daemon_lists(const struct daemon *d, peer_id peer);
void daemon_peer_again(struct daemon *d, peer_id peer); /* the seal added it: one more worker of a client that we have */
void daemon_use_egress(struct daemon *d); /* that of d->config */
/* What the engine wants now, without waiting for the end of the loop's turn. Not from inside flow_action(). */
void daemon_send(struct daemon *d);

/* --- reload.c --- */
void daemon_reload(void *owner, int signal); /* SIGHUP; owner is the first worker */

/* --- worker.c --- */
/* Twice its share of limits.connections: what others leave it may borrow, while all together keep to the limit. */
uint32_t worker_connections(const struct config *c);
int worker_open_all(struct daemon *d, int (*open)(struct daemon *w)); /* d is the first. 0, or 1 with the reason on stderr */
int worker_run_all(struct daemon *d);    /* their threads begin; the first's loop is the caller's to run. 0 or 1 */
bool worker_all_ended(struct daemon *d); /* but for the first */
void worker_close_all(struct daemon *d, void (*close)(struct daemon *w)); /* waits for their threads */
/*
 * From the first's thread: w's tables may be read and changed until worker_leave(), and w->now_us is true. A worker waits as
 * long, so it is for a few lines. Several at once are entered in their order.
 */
void worker_enter(struct daemon *w);
void worker_leave(struct daemon *w);
/* Its last turn is done; from its own thread. */
void worker_ended(struct daemon *w);

/* --- net.c: datagrams, sessions, paths --- */
int net_open(struct daemon *d); /* 0, or 1 with the reason on stderr */
void net_close(struct daemon *d);
void net_join_gateway(struct daemon *d, peer_id gateway); /* paths to it, and a session */
void net_reload(struct daemon *d); /* client.paths of d->config have changed */
/* Handshakes, probes and what they led to. */
void net_time(struct daemon *d);
usec_t net_deadline(const struct daemon *d);
void net_segment(struct daemon *d, const struct action *act);
void net_flush(struct daemon *d);
/* A gateway to open connections through: the first, in the config's order, that has a session and a path. */
bool net_gateway(struct daemon *d, peer_id *out);
/* Is there any way out at all? If not, waiting is pointless. */
bool net_any_path(struct daemon *d);
void net_peer_gone(struct daemon *d, peer_id peer, bool tell);

/* --- daemon_plain*.c: the plain encapsulation --- */
enum { PLAIN_PATHS_MAX = 64 };
int plain_open(struct daemon *d); /* 0, or 1 with the reason on stderr */
void plain_close(struct daemon *d);
void plain_refresh(struct daemon *d); /* interfaces, addresses or client.paths have changed */
void plain_reload(struct daemon *d);  /* d->config has changed: its listeners */
/* Closes listeners that the config names no more, once they carry no subflow. */
void plain_listen_time(struct daemon *d);
usec_t plain_deadline(const struct daemon *d);
void plain_segment(struct daemon *d, const struct action *act);
void plain_port_free(struct daemon *d, const struct action *act);
void plain_flush(struct daemon *d);
const char *plain_path_name(const struct daemon *d, path_id id); /* NULL: none such */
/* Do connects to that destination go out in plain form? */
bool plain_connects(const struct daemon *d, const struct addr *destination);
/* Where what was opened towards that address of ours is forwarded to; NULL: nowhere. */
const struct addr *plain_forward(const struct daemon *d, const struct addr *local);

/* --- flow.c: local streams --- */
int flow_open_all(struct daemon *d);
void flow_close_all(struct daemon *d);
void flow_action(struct daemon *d, struct engine *from, const struct action *act);
void flow_time(struct daemon *d);
bool flow_info(const struct flow *f, struct local_info *out); /* info.c. False: nothing is known */
void flow_gateway_ready(struct daemon *d); /* those that wait may go */
void flow_abort_peer(struct daemon *d, peer_id peer);
void flow_abort_every(struct daemon *d);
void flow_stop_accepting(struct daemon *d);
extern const struct stream_events flow_stream_events;

/* --- status.c, for the daemon_*.c that send and receive segments, while d->capture --- */
void status_capture(struct daemon *d, const struct path_end *e, bool outbound, const uint8_t *bytes, size_t len);

/* --- fault.c: faults and events --- */
bool fault_open(struct daemon *d, uint32_t paths_max);
void fault_close(struct daemon *d);
void fault_time(struct daemon *d);
usec_t fault_deadline(const struct daemon *d);
/* sealed: its path and peer are ours; the plain engine numbers its own. */
void fault_fact(struct daemon *d, const struct fact *f, bool sealed);
/* A path came, changed or goes; before the engine is told. */
void fault_path_changed(struct daemon *d, struct path_end *e, bool is_gone);
void fault_udp_error(struct daemon *d, struct path_end *e, const struct udp_error *error);
void fault_dropped(struct daemon *d, const struct udp *u, const struct udp_datagram *dg); /* by the seal */
void fault_session(struct daemon *d, peer_id peer, bool restarted);
void fault_interfaces(struct daemon *d); /* they were read again */
/* Plain form: a path came, or goes; and what its sockets are told of a datagram. */
void fault_plain_path(struct daemon *d, path_id path, bool gone);
void fault_plain_error(struct daemon *d, path_id path, const struct udp_error *error);

/* What a router told one of a client's workers is so for the others' paths over the same link, too: they may be who can tell the peer. */
struct fault_word {
	peer_id gateway;
	uint8_t cause;
	bool lasting;
	struct addr middlebox;
	char path_name[FAULT_NAME_MAX], evidence[FAULT_EVIDENCE_MAX];
};
void place_fault_word(struct daemon *d, const struct fault_word *word); /* place.c: to all others */
void fault_word(struct daemon *d, const struct fault_word *word);       /* from another */

/* Into the sealed engine; its refusals are counted by itself. */
enum err daemon_event(struct daemon *d, struct event *ev);

#endif
