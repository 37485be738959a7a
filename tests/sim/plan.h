/* SPDX-License-Identifier: MIT */
/* All that a seed decides before time starts. A scenario is a plan written by hand. */
#ifndef PLAIT_SIM_PLAN_H
#define PLAIT_SIM_PLAN_H

#include "tests/sim/link.h"
#include "tests/sim/middlebox.h"
#include "tunneld/mptcp/engine.h"

enum { CLIENTS_MAX = 2, PATHS_MAX = 4, STREAMS_MAX = 40, RANDOM_STREAMS_MAX = 8, FAULTS_MAX = 256 };

/* How an application at one end behaves. */
struct end_plan {
	uint64_t total;          /* bytes it writes */
	uint32_t write_max;      /* largest write */
	uint32_t gap_ppm;        /* chance of a pause after a write */
	usec_t gap_us;
	uint32_t read_max;       /* largest read */
	uint32_t stall_ppm;      /* chance that it stops reading for a while after a read */
	usec_t stall_us;
	bool write_after_eof;    /* an answer: nothing is written before the peer's EOF */
	bool shut_after_eof;     /* holds its own end open until the peer has closed */
	enum end_finish { FINISH_SHUTDOWN, FINISH_ABORT /* SO_LINGER 0 */ } finish;
	usec_t abort_us;         /* crash so long after it was opened; USEC_NEVER */
};

struct stream_plan {
	uint8_t client;
	usec_t open_us;
	enum open_result dial;   /* the destination's answer; OPEN_TIMED_OUT with dial_us == USEC_NEVER: none at all */
	usec_t dial_us;          /* how long it takes; 0 = answered within the action */
	struct end_plan ends[2]; /* the client's application, the destination's */
};

enum fault_kind {
	FAULT_BLACKOUT,          /* both directions silently dead; path_up says which of them, bit 0 up, bit 1 down */
	FAULT_RESTORE,           /* both directions up again */
	FAULT_CARRIER_LOST,      /* the client sees its interface go down */
	FAULT_INTERFACE_GONE,    /* the client loses it altogether */
	FAULT_INTERFACE_BACK,
	FAULT_REBIND,            /* the client's address as the gateway sees it changes */
	FAULT_LOSE_RSTS,         /* RSTs are lost in these directions, until the restore */
	FAULT_LINK,              /* a link's properties change: up and down */
};

struct fault {
	usec_t at_us;
	enum fault_kind kind;
	uint8_t client, path;
	uint8_t directions;      /* bit 0 to the gateway, bit 1 to the client */
	struct link_config up, down;
};

struct path_plan {
	struct link_config up, down;
	bool backup, absent_at_start;
	struct middlebox_config box; /* plain form */
};

struct plan {
	unsigned clients, paths[CLIENTS_MAX], streams;
	struct path_plan path[CLIENTS_MAX][PATHS_MAX];
	struct stream_plan stream[STREAMS_MAX];
	unsigned faults;
	struct fault fault[FAULTS_MAX];
	struct engine_config client_engine, gateway_engine;
	bool small_memory;       /* memory_max or connections_max so small that a connect may be refused */
	bool hostile;            /* flipped bits are delivered: only safety is asked for, not content */
	bool lenient;            /* plain form: a stream may fall back to one path and end with it; its bytes must be right */
	unsigned server_addresses; /* plain form */
	bool announce, no_joins;   /* of the server: ADD_ADDR of all, but with flag C not of the first */
	usec_t batch_us;         /* the host handles what came in this time together */
	bool heard_is_up;        /* the host takes a path for well when it hears anything on it, not only an answer */
	bool event_time;         /* the host passes EV_TIME at a deadline, before asking for output */
	usec_t heal_us;          /* from here on every link is well */
	bool segments_only;      /* a trace without probes and what hosts think */
	bool bench;              /* a scenario: no end is asked for beyond stop_us */
	bool shared;             /* every packet of a direction goes through the links of client 0's path 0: a common bottleneck */
	usec_t stop_us;
	bool watch_buffers;      /* buffers.h */
	usec_t mark_us;
	bool watch_modes;        /* flap.h */
	bool must_complete;      /* every stream opens and ends clean */
	usec_t delay_most_us;    /* delay.h: of the first stream's messages; 0: not looked at */
	usec_t open_most_us;     /* delay.h: from connect() to its success, of every stream; 0: not looked at */
	usec_t outage_us, ends_us; /* what a client had open at the former has ended by the latter; 0: nothing of the kind */
	usec_t back_us;          /* return.h: when a path is back; 0: not looked at */
	unsigned back_path;
	enum { CALM_NOT, CALM_MESSAGES, CALM_BULK } calm; /* jitter.h: nothing goes wrong, so nothing may be doubted */
	bool back_messages;      /* no bulk: messages, and their subflow's mode is looked at */
	uint64_t back_rate;      /* of all links in one direction together */
	usec_t probe_most_us;    /* between probes of a path that does not answer; 0: 2 s */
	uint32_t check_every;    /* engine_check() after so many steps */
};

/* IP, UDP and the seal around a segment. */
enum { SEALED_OVERHEAD = 20 + 8 + 25, PLAIN_OVERHEAD = 20 + 8 };

void plan_of_seed(struct plan *p, uint64_t seed);
struct engine_config plan_engine(bool gateway);

#endif
