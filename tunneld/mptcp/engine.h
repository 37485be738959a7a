/* SPDX-License-Identifier: MIT */
/*
 * tunneld/mptcp: the connection level, sans-I/O, behind one door. Events and the time go in, actions
 * and the next deadline come out. No clock, socket, libev, entropy or stdio inside: a run is its seed
 * plus its list of events. The daemon, the simulator, packet scripts and fuzzers all use this door.
 *
 * In SEGMENT_SEALED a path is an authenticated way to one peer, and a subflow is found by peer and two virtual ports. In
 * SEGMENT_PLAIN a path is one local address of this machine, whoever is at the other end; everybody is peer 0, and a subflow is
 * found by path, local port and the remote address with its port, as any TCP connection is.
 *
 * What is here: MPTCP v1 (RFC 8684), Convert (RFC 8803), the scheduler, path manager, closure FSM.
 * What is not: keys of the seal, sockets, one subflow's TCP (tunneld/tcp). Calls go down only:
 * engine -> conn -> subflow -> segment. Read next: conn.h, then conn_input.c and conn_output.c.
 */
#ifndef PLAIT_MPTCP_ENGINE_H
#define PLAIT_MPTCP_ENGINE_H

#include "common/addr.h"
#include "common/counters.h"
#include "common/err.h"
#include "common/usec.h"
#include "tunneld/mptcp/fact.h"
#include "tunneld/mptcp/backup.h"
#include "tunneld/tcp/cc.h"
#include "tunneld/wire/segment.h"

struct engine;
struct bank;

enum { ENGINE_PATHS_MAX = 4096, ENGINE_PEERS_MAX = 1024 };
typedef uint32_t conn_id;  /* names a connection to the host: index and generation, never reused at once; 0 = none */
typedef uint32_t path_id;  /* the host's number for a path, below paths_max of the config */
typedef uint32_t peer_id;  /* the host's number for an authenticated remote tunneld */

struct engine_config {
	uint32_t connections_max, paths_max;
	uint64_t memory_max;       /* bytes of payload buffers, all connections together */
	struct bank *memory;  /* in place of memory_max: several engines' (page_bank_init()); borrowed, lives longer */
	const char *congestion, *scheduler;
	bool checksum;             /* DSS checksums wanted, RFC 8684 3.3.0 */
	enum { FASTCLOSE_RST, FASTCLOSE_ACK } fastclose;
	enum segment_form form;
	bool gateway;              /* answers SYNs with a Convert Connect TLV */
	uint32_t subflows_max;     /* per connection */
	usec_t connect_timeout_us; /* a connect with no answer ends in OPEN_TIMED_OUT */
	usec_t dead_timeout_us;    /* break-before-make: no subflow for this long ends the connection; 60 s */
	usec_t keepalive_us;       /* a subflow idle for so long is asked, and reset if it does not answer; 0: never */
	usec_t close_timeout_us;   /* DATA_FIN unanswered for this long after close; 60 s */
	uint32_t uperf_timeout_ms, uperf_l_limit_ms, uperf_u_limit_ms, user_timeout_ms; /* 0 = default */
	uint32_t facts;            /* how many facts may wait for engine_next_fact(); 0: none are kept, and nothing is announced */
	struct counters *counters;
};

/* Why an open failed or a connection ended; the host turns it into an errno. One name for both ways of Convert errors. */
enum open_result {
	OPEN_OK, OPEN_REFUSED, OPEN_TIMED_OUT, OPEN_NET_UNREACHABLE, OPEN_HOST_UNREACHABLE, OPEN_PROHIBITED,
	OPEN_NO_RESOURCES, OPEN_NO_PATH, OPEN_PROTOCOL_ERROR, OPEN_RESET, OPEN_PORT_UNREACHABLE,
};
const char *open_result_text(enum open_result r);

enum path_state { PATH_DOWN, PATH_UP, PATH_SUSPECT /* does not answer; not used while another does */ };

enum event_kind {
	EV_PATH,      /* path: came into being, changed state or properties, or went (PATH_DOWN with gone) */
	EV_SEGMENT,   /* segment: bytes arrived on a path */
	EV_CONNECT,   /* connect: client opens a connection through peer to destination. The id comes back from engine_input in ev->connect.conn */
	EV_DIALLED,   /* dialled: gateway's answer to ACT_DIAL */
	EV_WRITE,     /* write: bytes from the application; at most engine_room() are taken, see .taken and engine_write_space() */
	EV_CONSUMED,  /* consumed: the application's side took n bytes (0 too) of what is readable; answers an ACT_DATA */
	EV_SHUTDOWN,  /* conn: the application will write no more: DATA_FIN after all data */
	EV_ABORT,     /* conn: abrupt close (RST, SO_LINGER 0, crash): fast close; the id is dead after this call */
	EV_ABORT_AFTER, /* conn: the same, but what was written before a RST is not lost to it: first that is DATA_ACKed, see conn_abort_after() */
	EV_HEARD,     /* heard: the peer answered a probe on a path: it lives, in both directions */
	EV_FAULT,     /* fault: a path has one; the peer is told by FAULT_ANNOUNCE on another. ERR_UNEXPECTED: nobody can tell it now. Or it is over */
	EV_PORT_TAKEN, /* port: plain form: the port that an ACT_SEND would have begun to use is not to be had; the subflow takes another */
	EV_OPTIONS,   /* options: the application has set one of those that are carried on its socket */
	EV_LOST,      /* lost: plain form: a segment could not be sent, or somebody on its way says that it was lost, and why. ERR_UNEXPECTED: it is not in flight */
	EV_TIME,      /* nothing but the time */
};

struct event {
	enum event_kind kind;
	union {
		struct {
			path_id path;
			peer_id peer;
			enum path_state state;
			bool gone;             /* with PATH_DOWN: forget it */
			bool backup;
			bool may_initiate;     /* we are the side that opens subflows on it (the client) */
			uint8_t addr_id;       /* MPTCP address id of our end for joins: 1.. */
			uint16_t mtu_payload;  /* largest segment (header included) the path carries */
			usec_t rtt_us;         /* from probes; 0 = unknown */
			uint32_t cost;         /* added to the score of its subflows, backup.h */
			/*
			 * Where peers come to us, RFC 8684. announce: its local address is told by ADD_ADDR (3.4.1) to whoever's
			 * connection began on a path of the same service. no_joins: one that begins on it is told not to add
			 * subflows there (3.1, flag C).
			 */
			uint8_t service;
			bool announce, no_joins;
			bool peer_uperf, peer_long_prio; /* the peer understands the UPERF option, MP_PRIO with a Maximum RTO */
			bool peer_carried;     /* and the one with carried_options */
			struct addr local, remote;
			const char *name;      /* borrowed; copied */
		} path;
		/*
		 * What follows len is for plain form. With remote.family 0 it is the path's own local.port and remote, and
		 * config.gateway says whether it listens.
		 */
		struct {
			path_id path;
			const uint8_t *bytes;
			size_t len;
			uint16_t local_port;
			bool listening;        /* that port takes new connections */
			struct addr remote;
		} segment;
		struct { path_id path; usec_t asked_us; } heard; /* asked_us: when that probe was sent */
		struct { path_id path; uint16_t local_port; } port;
		struct {
			path_id path;
			uint16_t local_port;
			bool has_seq;          /* seq: of the lost segment, as it was quoted */
			uint16_t mtu_payload;  /* it was too big, and this may be the largest (header included); 0: that was not it */
			uint32_t seq;
			struct addr remote;
			enum open_result why;  /* where it was not its size: ends what is being opened and has no other path */
		} lost;
		struct {
			peer_id peer;
			uint64_t host;
			struct addr destination;
			uint32_t user_timeout_ms; /* ADV_UTO of this connection; 0: the config's */
			struct carried_options carried; /* serial is the engine's */
			uint32_t wish; /* path_id + 1: begins there, and all others are backup for it; 0: none */
			conn_id conn; /* out */
		} connect;
		struct { conn_id conn; uint64_t host; enum open_result result; uint8_t icmp_code; } dialled;
		struct { conn_id conn; const uint8_t *bytes; size_t len; size_t taken; /* out */ } write;
		struct { conn_id conn; size_t len; } consumed;
		struct { conn_id conn; uint32_t user_timeout_ms; struct carried_options carried; } options; /* as in connect */
		/* id: the host's, for FACT_FAULT_TOLD; remote: plain form, to whom alone it matters; family 0: to all on that path. over: nobody repeats it any more */
		struct { path_id path; uint64_t id; uint8_t cause; bool transient, over; struct addr middlebox, remote; } fault;
		conn_id conn;
	};
};

enum action_kind {
	ACT_SEND,     /* send: one segment for a path */
	ACT_DIAL,     /* dial: gateway, connect to the destination, answer with EV_DIALLED */
	ACT_OPENED,   /* opened: EV_CONNECT succeeded, or failed with its reason (then conn is dead) */
	/*
	 * data: in-order bytes for the application, from the first not consumed, as far as they lie in one piece. It is an offer,
	 * and there is at most one at a time: until EV_CONSUMED answers it there is no other, however much arrives. After the
	 * answer what is readable is offered again. A host whose application is full answers with what it could write, leaves
	 * the next offer unanswered, and when the application is writable fetches the bytes with engine_readable().
	 */
	ACT_DATA,
	ACT_EOF,      /* conn: DATA_FIN reached and all data consumed: shut down writing towards the application */
	ACT_ROOM,     /* conn: the send queue has room again after a write was not taken whole */
	ACT_OPTIONS,  /* options: what the peer's application has set, for the socket to the destination */
	ACT_RESET,    /* reset: aborted by the peer or by faults: RST to the application; conn is dead */
	ACT_CLOSED,   /* conn: ended in order both ways and all of ours is acknowledged; conn is dead */
	ACT_PORT_FREE, /* port: plain form: nothing sends from that port of that path any more, which an ACT_SEND once began to use */
	ACT_PROBE,    /* probe: a path should be probed now by the host (liveness, D9); answered by EV_PATH */
};

struct action {
	enum action_kind kind;
	conn_id conn;
	uint64_t host;         /* the host's own value of that connection */
	union {
		/* local_port, remote: plain form; remote is ours like the bytes */
		struct { path_id path; const uint8_t *bytes; size_t len; uint16_t local_port; const struct addr *remote; } send;
		struct { path_id path; uint16_t local_port; } port;
		/* In plain form the destination is the address of ours that was connected to. */
		struct { peer_id peer; struct addr destination; } dial;
		struct { enum open_result result; uint8_t icmp_code; } opened;
		struct { const uint8_t *bytes; size_t len; } data;
		struct carried_options options;
		struct { enum open_result why; } reset;
		struct { path_id path; } probe;
	};
};

/* The engine takes all its memory but page pools here. seed: 32 bytes of entropy, all its chance. NULL: out of memory or bad config. */
struct engine *engine_new(const struct engine_config *config, const uint8_t seed[32], usec_t now_us);
void engine_free(struct engine *e);

/* ev->bytes is borrowed for this call. Errors are of the event (unknown conn, full), counted, never fatal. */
MUST_CHECK enum err engine_input(struct engine *e, struct event *ev, usec_t now_us);
/* False: nothing to do until the next event or engine_deadline(). act's bytes stay ours, valid until the next call into the engine. */
bool engine_output(struct engine *e, struct action *act, usec_t now_us);
/* When engine_output() should be called again though nothing happened. USEC_NEVER: not at all. */
usec_t engine_deadline(const struct engine *e);

/*
 * Without a copy. Memory for what the application writes next: at most `most` bytes in at most max stretches, in order, in
 * the send queue itself. The host fills them from the first on and answers at once with EV_WRITE, bytes NULL and len as
 * many as it filled (0: none), which takes them all. Returns how many stretches; 0: no room now, and nothing to answer.
 */
struct stretch { uint8_t *bytes; size_t len; };
unsigned engine_write_space(struct engine *e, conn_id id, struct stretch *out, unsigned max, size_t most);
/* What is readable, from the first byte not consumed, in at most max stretches. Valid until the next call into the engine. */
unsigned engine_readable_stretches(const struct engine *e, conn_id id, struct stretch *out, unsigned max);
/* Bytes EV_WRITE would take now. 0 while not open. */
size_t engine_room(const struct engine *e, conn_id conn);

/* What an ACT_DATA would offer now, whether or not one waits for its answer; answer it with EV_CONSUMED. 0: nothing. */
size_t engine_readable(const struct engine *e, conn_id conn, const uint8_t **bytes);

/* The oldest fact not yet taken, fact.h. False: none. */
bool engine_next_fact(struct engine *e, struct fact *out);

/* Facts for status, filled by copying; the names are those of seeds appendix B and DESIGN section 4. */
struct subflow_info {
	uint32_t id;
	path_id path;
	uint8_t local_addr_id, remote_addr_id;
	uint16_t local_port, remote_port;
	struct addr local, remote; /* plain form; family 0 in sealed: there they are the path's */
	const char *state, *mode;  /* "ESTABLISHED"; "primary", "backup", "underperforming" */
	bool backup, stale, usable; /* usable: it may carry data */
	const char *uperf_cause;   /* why it underperforms: "none", "rto", "unacknowledged", "silent", "path" */
	uint32_t rto_ms, cwnd, uperf_timeout_ms, uperf_remote_ms, in_flight;
	uint32_t map_left;         /* bytes declared by its newest mapping and not yet sent */
	double srtt_ms, rttvar_ms, min_rtt_ms; /* 0: no sample yet */
	uint16_t mss;              /* payload of a segment, before options of MPTCP */
	struct score score;
	uint64_t bytes_sent, bytes_received, retransmitted_segments, retransmitted_bytes;
	uint32_t snd_una, snd_nxt, rcv_nxt, rcv_wnd; /* seeds appendix B.2; rcv_wnd is what the peer told on it, B.2.2 */
};
struct conn_info {
	conn_id conn;
	uint64_t host;
	peer_id peer;
	uint32_t token, remote_token;
	const char *state;         /* "M_ESTAB", ... of appendix C */
	bool client, checksum, fallback; /* fallback: regular TCP, RFC 8684 3.7 */
	struct addr destination;
	uint64_t snd_una, snd_nxt, rcv_nxt;
	uint32_t snd_wnd, rcv_wnd;
	uint64_t bytes_sent, bytes_received, reinjected_bytes;
	uint64_t snd_buffer, rcv_buffer; /* bytes held now */
	uint32_t subflow_count;
	uint32_t user_timeout_ms;  /* 0: none */
};
/* Iterates: start with 0, stops at 0. */
conn_id engine_next_conn(const struct engine *e, conn_id after);
conn_id engine_conn_of_token(const struct engine *e, uint32_t token); /* our token of it; 0: none */
MUST_CHECK enum err engine_conn_info(const struct engine *e, conn_id conn, struct conn_info *out);
MUST_CHECK enum err engine_subflow_info(const struct engine *e, conn_id conn, uint32_t nth, struct subflow_info *out);
/* memory_kept: of free pages, for the next who wants one; not in memory_used */
struct engine_stats { uint64_t memory_used, memory_kept, memory_max; uint32_t connections, subflows, paths; };
void engine_stats(const struct engine *e, struct engine_stats *out);
uint64_t engine_memory_used(const struct engine *e); /* of engine_stats(), without its cost */
uint32_t engine_connections(const struct engine *e); /* the same */
void engine_trim(struct engine *e);                  /* memory_kept is freed */
/* Every invariant that can be checked from inside; asserts. For tests and the simulator. */
void engine_check(const struct engine *e);

/* The key the seal gives early (8 bytes): none needed; tokens and keys come from the seed. */

#endif
