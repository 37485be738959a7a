/* SPDX-License-Identifier: MIT */
/* The engine's tables, for the files of this folder only. */
#ifndef PLAIT_MPTCP_ENGINE_STATE_H
#define PLAIT_MPTCP_ENGINE_STATE_H

#include "tunneld/mptcp/conn.h"
#include "tunneld/mptcp/sched.h"

enum { PATH_NAME_MAX = 24, RAW_BYTES_MAX = 64, RAW_REPLY_MAX = 1020, RAW_REPLIES = 8, ENGINE_OUT_MAX = 65535, OLD_SYNS = 512, ENGINE_ANNOUNCES = 64 };
#define PATH_NONE UINT32_MAX

/* path_share.c: what all subflows of a path together may have out there. */
struct path_share {
	bool one_way;
	uint64_t in_flight, delivered; /* bytes: sums over its subflows */
	uint32_t busy;            /* subflows with something out */
	uint64_t granted;         /* bytes that those who had their turn may yet send */
	struct { struct sub *first, *last; } row[2]; /* those who wait: ROW_FAIR, ROW_OVER */
	bool limited;             /* somebody waited since the last look */
	uint64_t rate, rate_before; /* most bytes a second of this, of the last stretch of time */
	usec_t min_rtt_us, min_rtt_before_us;
	struct rtt rtt;           /* of all of them, RFC 9040 */
	uint64_t sample_delivered;
	usec_t sample_us, remember_us;
};

struct path {
	bool used, backup, may_initiate, probe_wanted;
	enum path_state state;
	peer_id peer;
	uint8_t addr_id, service;
	bool announce, no_joins;
	uint16_t mtu_payload;
	usec_t rtt_us;
	bool peer_uperf, peer_long_prio, peer_carried; /* what the peer understands */
	uint32_t cost;
	usec_t heard_us;          /* the last probe that was answered was sent then; in plain form: when anything came; 0: never */
	usec_t fault_us;          /* when it last stopped answering; 0: never */
	struct addr local, remote;
	char name[PATH_NAME_MAX];
	struct sub *subs;
	path_id peer_next;        /* next path of the same peer; PATH_NONE */
	path_id probe_next;
	usec_t probed_us;
	bool news_wanted;         /* some subflow of it may be waiting for news: without any, a probe's answer walks over none */
	uint64_t learnt_rate;     /* path_memory.c: bytes a second that the last subflow had, its round trip, and when */
	usec_t learnt_rtt_us, learnt_us;
	struct path_share share;
	struct path_ports *ports; /* plain form; NULL until the first is used */
};

/* One bit a port. A freed one is the host's to hear of, and until then not used again. */
struct path_ports { uint64_t used[1024], freed[1024]; uint32_t freed_count; };

struct peer {
	path_id paths;            /* PATH_NONE */
	struct conn *conns;
	uint16_t next_port;
};

/* MPTCP does not get through from a path of ours to an address, RFC 8684 3.9.3. */
enum { MPTCP_FAILURES = 64 };
struct mptcp_failure { path_id path; struct addr ip; usec_t until_us; };

/* A segment of no subflow (a RST), to be sent as it is. */
struct raw_segment {
	path_id path;
	uint16_t local_port;      /* it and remote: plain form */
	struct addr remote;
	uint8_t reply;            /* its payload is in that one of the replies, less 1; 0: it has none */
	uint8_t len;
	uint8_t bytes[RAW_BYTES_MAX];
};
struct raw_reply { uint16_t len; bool used; uint8_t bytes[RAW_REPLY_MAX]; };

/* The SYN of a first subflow that has been here: a late copy of it, or of the third ACK of a cookie, must not dial its destination again. */
struct old_syn { peer_id peer; uint16_t port; struct ssn iss; };

/* One FAULT_ANNOUNCE under way. Those of a connection are a list, by weight: its `announce` is the first's number + 1. */
struct announce {
	uint8_t weight;
	uint8_t next;             /* number + 1; 0: the last */
	bool used, due;           /* due: it goes with the next segment of subflow `by` that has data */
	bool on_ack;              /* or with its next ACK */
	bool with_data;           /* the last copy rode on data up to `end` */
	uint64_t fault;           /* the host's id of it */
	path_id path;
	uint32_t by, copies;
	struct ssn end;
	uint64_t retransmitted;   /* by's count at that time */
	usec_t next_us;
	struct mptcp_option option;
};

struct conn_slot { struct conn *conn; uint32_t generation; uint32_t next_free; };

struct engine {
	struct engine_config config;
	const struct cc_ops *cc;
	const struct sched_ops *sched;
	struct counters *counters, own_counters;
	struct page_pool pool;
	struct conn *room_first, *room_last; /* those that want one, in the order in which they asked */
	usec_t room_us;           /* when the next of them may be told, */
	uint32_t room_told;       /*   after so many since ROOM_EVERY_US before that */

	uint8_t seed[32];
	uint64_t chance_counter;
	uint64_t port_secret;
	uint8_t hash_secret[16]; /* of SYN cookies and timestamps; what they hash differs in length */
	usec_t cookies_until_us;  /* an ACK may still answer one */
	uint32_t half_open;       /* plain form: passive connections without a third ACK */
	usec_t now_us;            /* of the newest call: what status asks about has no other */

	struct path *paths;       /* paths_max */
	struct peer *peers;       /* ENGINE_PEERS_MAX */
	path_id probes;           /* list of paths whose probe is to be asked for */

	struct conn_slot *slots;  /* connections_max */
	uint32_t index_bits;      /* of a conn_id; the rest is the generation */
	uint32_t free_slot, conn_count, sub_count;

	struct sub **by_port;
	uint32_t by_port_mask;
	struct conn **by_token;
	uint32_t by_token_mask;

	struct conn **heap;       /* by deadline_us, 1-based */
	uint32_t heap_count;
	struct conn *ready_first, *ready_last;
	uint32_t ready_burst;     /* actions the first has had in a row */

	struct mptcp_failure failures[MPTCP_FAILURES];
	struct raw_segment *raw;  /* ring */
	uint32_t raw_head, raw_count, raw_room;
	struct raw_reply replies[RAW_REPLIES];

	struct fact *facts;       /* ring, config.facts; NULL: none are kept */
	uint32_t fact_head, fact_count;
	struct announce *announces; /* ENGINE_ANNOUNCES */
	uint32_t freed_ports;     /* of all paths */

	struct old_syn old_syns[OLD_SYNS]; /* ring */
	uint32_t old_syn_next;

	struct mptcp_option signal_out; /* what pm_signal_take() gave last */
	uint8_t out[ENGINE_OUT_MAX];
};

enum { CONN_NOT_IN_HEAP = 0 };

uint64_t engine_chance(struct engine *e);                 /* 64 random bits from the seed */
struct path *engine_path(struct engine *e, path_id id);   /* NULL: none such */
void engine_ready(struct conn *c);                        /* its output will be asked for */
void engine_ready_pop(struct engine *e);                  /* the first has none any more */
void engine_deadline_at(struct conn *c, usec_t at_us);    /* it wants the clock no later than at_us */
void engine_no_deadline(struct conn *c);
void engine_run_timers(struct engine *e, usec_t now_us);
struct conn *engine_conn(const struct engine *e, conn_id id);         /* NULL: none such */
/* engine_bytes.c: EV_WRITE */
enum err engine_write(struct engine *e, struct event *ev, usec_t now_us);
struct conn *engine_conn_of_host(const struct engine *e, conn_id id); /* as the host sees it: what it was told is over is unknown */
bool engine_conn_add(struct engine *e, struct conn *c);   /* gives the id; false: full */
void engine_conn_remove(struct conn *c);
void engine_token_add(struct conn *c);
void engine_token_remove(struct conn *c);
struct conn *engine_token_find(const struct engine *e, uint32_t token);
void engine_sub_add(struct sub *s);
void engine_sub_remove(struct sub *s);
/* What a subflow's ports are unique in: its peer, in plain form its path. */
uint32_t engine_space(const struct engine *e, path_id path);
/* remote: plain form, else NULL. */
struct sub *engine_sub_find(const struct engine *e, uint32_t space, uint16_t local_port, const struct addr *remote,
			    uint16_t remote_port);
/*
 * A segment of no subflow: emitted now, sent with the next output. Dropped and counted when the ring is full, or too many with
 * payload (at most RAW_REPLY_MAX bytes) wait. In plain form seg->remote is its destination.
 */
void engine_raw(struct engine *e, path_id path, struct segment *seg, const uint8_t *payload, size_t len);
void engine_news_wanted(struct engine *e, path_id path); /* the next event of the path is to be looked at by all its subflows */
void engine_probe(struct engine *e, path_id path, usec_t now_us);

/* --- conn_facts.c: what happened; FAULT_ANNOUNCE --- */
bool engine_facts_open(struct engine *e);
void engine_facts_close(struct engine *e);
enum err engine_fault_event(struct engine *e, const struct event *ev, usec_t now_us);

/* --- pm.c: paths and addresses --- */
/* Best path to open on: up, then suspect; not backup before backup; lowest RTT. PATH_NONE: none. remote: NULL in sealed form. */
path_id pm_best_path(struct engine *e, peer_id peer, const struct addr *remote);
/* Round robin over the usable paths to s's remote end after its own; that one if there is no other. */
path_id pm_next_path(const struct sub *s);
path_id pm_path_after(const struct sub *s, path_id after); /* as if it were on that one */
path_id pm_path_beside(const struct sub *s);               /* plain form: the next that no other subflow is trying; PATH_NONE */
/*
 * The subflow takes another path, if it may and there is one: where no join can save the connection, because it is not allowed
 * yet (before the peer's first DSS), is not ours to make, or comes too late (M_TIME-WAIT).
 */
bool pm_move(struct sub *s);
void pm_path_event(struct engine *e, path_id id, enum path_state before, bool gone, usec_t now_us);
/* ADD_ADDR, REMOVE_ADDR, MP_PRIO received on s. */
void pm_option(struct sub *s, const struct mptcp_option *opt, usec_t now_us);
/* Announces our addresses that the peer does not know of, if the config says so. */
void pm_announce(struct conn *c, usec_t now_us);
/* REMOVE_ADDR came for it and its time has come: a keepalive, or its end. True: s is gone. */
bool pm_remove_due(struct sub *s, usec_t now_us);
/* A subflow that we will open: on that path with a port of its own. remote: plain form, else NULL. NULL: full. */
struct sub *pm_sub_new(struct conn *c, path_id path, const struct addr *remote);
/* What is being opened tries the next path. False: there is none. */
bool pm_race(struct sub *s);
/*
 * Plain form, where another path is another port, and an answer to what was sent before would find nobody: the next path that has
 * none gets a SYN of its own, with a subflow of its own, until one of them is answered (RFC 8305 5). No path is left: nothing.
 */
void pm_race_beside(struct sub *s, usec_t now_us);

/* --- pm_plain.c: local ports and remote addresses of plain form --- */
/* A path of one address family cannot lead to the other. remote: NULL in sealed form, where all lead to the peer. */
bool pm_leads_to(const struct path *p, const struct addr *remote);
/* 0: none is free. */
uint16_t pm_plain_port(struct engine *e, path_id path);
/* Where the timestamps between these two ends begin. */
uint32_t pm_ts_offset(const struct engine *e, path_id path, uint16_t local_port, const struct addr *remote);
void pm_port_unused(struct engine *e, path_id path, uint16_t port);
/* The host gets the subflow's local port back, unless another subflow uses it. */
void pm_port_release(struct sub *s);
bool pm_port_output(struct engine *e, struct action *act);
/* A subflow that has not been answered yet goes by another path. False: it cannot. */
bool pm_move_opening(struct sub *s, path_id path);
/* It begins anew, from another port of its path. */
void pm_new_port(struct sub *s, usec_t now_us);
/* EV_LOST */
enum err pm_lost(struct sub *s, const struct event *ev, usec_t now_us);
/* The peer announced an address, its port included. False: not to be used, or no room for it. */
bool pm_remote_add(struct conn *c, uint8_t id, const struct addr *addr, usec_t now_us);
void pm_remote_remove(struct conn *c, uint8_t id);
void pm_plain_joins(struct conn *c, usec_t now_us);

/* --- pm_failures.c, plain form --- */
bool pm_mptcp_fails(const struct engine *e, path_id path, const struct addr *remote, usec_t now_us);
void pm_mptcp_failed(struct engine *e, path_id path, const struct addr *remote, usec_t now_us);
void pm_mptcp_works(struct engine *e, path_id path, const struct addr *remote);
void pm_mptcp_forget(struct engine *e, path_id path); /* the path leads elsewhere now */

/* --- pm_join.c --- */
/* Opens the joins that are due and says in c->join_us when to look again. */
void pm_joins(struct conn *c, usec_t now_us);
/* A join on that path failed; refused: not to be tried again until the path changes. */
void pm_join_failed(struct conn *c, path_id path, uint8_t remote_id, bool refused, usec_t now_us);
/* The peer reset a subflow of ours, or refused a join, and said why (MP_TCPRST; NULL: it did not). RFC 8684 3.6 */
void pm_join_reset(struct conn *c, path_id path, uint8_t remote_id, const struct mptcp_option *why, usec_t now_us);
/* Nothing is held against joins to that address of the peer any more. */
void pm_join_forgive(struct conn *c, uint8_t remote_id);
void pm_join_done(struct sub *s);
/* It carried something: what was held against its path is forgotten. */
void pm_join_useful(struct sub *s);
/* How many subflows, but for closing ones, there are on a path. */
unsigned pm_subs_on(const struct conn *c, path_id path);
/* May a join be tried now from there? If only later, *again is brought forward. remote_id: 0 in sealed form. */
bool pm_may_try(struct conn *c, path_id id, uint8_t remote_id, bool living, usec_t now_us, usec_t *again);
void pm_join(struct conn *c, path_id path, const struct remote_addr *to, usec_t now_us); /* to: NULL in sealed form */
/* MP_JOIN SYN from a peer. */
void pm_join_syn(struct engine *e, path_id path, const struct segment *seg, const struct mptcp_option *join, usec_t now_us);
/* SYN/ACK and third ACK of a join. False: the subflow is gone. */
bool pm_join_synack(struct sub *s, const struct segment *seg);
bool pm_join_third_ack(struct sub *s, const struct segment *seg);

#endif
