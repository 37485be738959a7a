/* SPDX-License-Identifier: MIT */
/*
 * tests/sim: engines behind their one door (tunneld/mptcp/engine.h), simulated links, virtual time.
 * A run is its seed: plan.c makes from it a world (clients, one gateway, paths of two links each), the
 * applications' behaviour and a list of faults; world.c lets time jump from event to event and checks
 * after each what must always hold; host.c does for an engine what the daemon does; app.c is the
 * application at one client and its destination beyond the gateway.
 * Read next: plan.h, world.c, host.c, app.c. main.c is the command line.
 */
#ifndef PLAIT_SIM_H
#define PLAIT_SIM_H

#include <stdio.h>

#include "tests/sim/buffers.h"
#include "tests/sim/delay.h"
#include "tests/sim/flap.h"
#include "tests/sim/jitter.h"
#include "tests/sim/outage.h"
#include "tests/sim/link.h"
#include "tests/sim/middlebox.h"
#include "tests/sim/plan.h"
#include "tests/sim/queue.h"
#include "tests/sim/return.h"
#include "tunneld/mptcp/engine.h"

struct world;

/* What travels: a segment, or the host's own probe and its answer. */
enum packet_kind { PACKET_SEGMENT, PACKET_PROBE, PACKET_PROBE_REPLY };
struct packet {
	enum packet_kind kind;
	uint8_t client, path;    /* which path, by its number at the client */
	bool to_gateway;
	uint32_t nat_epoch;      /* to the gateway: the mapping it left with; to the client: the one it is addressed to */
	uint64_t probe;
	usec_t probe_sent_us;    /* echoed by the answer */
	uint16_t client_port, gateway_port; /* plain form */
	uint8_t server_address;
	size_t len;
	uint8_t bytes[];         /* exactly len, so that a sanitizer sees a read beyond it */
};

/* What one host believes of one path. */
struct view {
	bool known;              /* the engine has been told of it */
	bool wanted;             /* client: the interface is there */
	enum path_state state;
	usec_t rtt_us;
	uint32_t nat_epoch;      /* gateway: the client's address as last heard */
	uint16_t mtu;
	/* one probe at a time; unanswered ones make the path suspect */
	uint64_t probe;          /* its number; 0 = none is out */
	unsigned unanswered;
	usec_t heard_us;
};

enum { HOST_GATEWAY = 0, HOSTS_MAX = 1 + CLIENTS_MAX, VIEWS_MAX = CLIENTS_MAX * PATHS_MAX };

struct host {
	struct world *world;
	unsigned number;         /* HOST_GATEWAY, or 1 + client */
	struct engine *engine;
	struct counters counters;
	struct view views[VIEWS_MAX]; /* by path_id: the client's own number, at the gateway client * PATHS_MAX + number */
	usec_t deadline_us;      /* engine_deadline() after the last pump */
	bool pumping;
	bool pump_pending;       /* inputs wait to be followed by output, as in a batch */
	usec_t busy_at_us;       /* to see a loop that does not let time pass */
	uint32_t busy_actions, busy_wakes;
	uint64_t next_probe;
	struct mode_watch modes;
	uint64_t segments, segment_bytes, payload_bytes;
};

/* One end of a stream, as its host and its application see it. */
enum end_state { END_WAITING /* for its time, or for a dial */, END_OPENING, END_OPEN, END_DEAD };
enum end_death { DEATH_NONE, DEATH_FAILED /* open failed */, DEATH_CLOSED, DEATH_RESET, DEATH_ABORTED /* by its own application */ };
struct end {
	struct stream *stream;
	struct host *host;
	const struct end_plan *plan;
	bool client;
	uint8_t nth;             /* gateway: which dial for this stream */
	enum end_state state;
	enum end_death death;
	enum open_result why;    /* of FAILED or RESET */
	conn_id conn;
	uint32_t token;          /* ours at the gateway, the peer's at the client: tells which dial lives */
	usec_t born_us, dead_us;
	/* writing */
	uint64_t written, total; /* taken by the engine; to be written */
	bool blocked;            /* a write was not taken whole */
	bool shut;               /* EV_SHUTDOWN done */
	bool write_timer;
	bool poked;
	bool remote_key;         /* its engine had the peer's key when it last said anything about it */
	/* reading: offered >= consumed; both are offsets in the peer's stream */
	uint64_t offered, consumed;
	bool eof, stalling;
	usec_t progress_us;      /* when anything above last changed */
	struct rnd chance;
};

enum { DIALS_MAX = 64, OUTAGES_MAX = 4 * FAULTS_MAX };
struct stream {
	unsigned number;
	const struct stream_plan *plan;
	struct end client;
	struct end gateway[DIALS_MAX]; /* one a dial; another only after the one before is dead, as with TCP */
	unsigned dials;
	bool half_open;          /* was reset before the gateway had the client's key */
	uint32_t key[2];         /* where the pattern starts: [0] from the client, [1] to it */
};

struct path {
	bool exists;             /* the client's interface is there */
	bool carrier;            /* and up */
	uint32_t nat_epoch;
	struct link up, down;    /* to the gateway, to the client */
	struct middlebox box;    /* plain form */
	uint8_t lose_rsts;       /* directions, as in struct fault */
	usec_t healthy_us;       /* since when it has been fit to carry data; USEC_NEVER: it is not */
};

struct world {
	uint64_t seed;
	usec_t now_us;
	const struct plan *plan;
	struct queue queue;
	struct host hosts[HOSTS_MAX];
	struct path paths[CLIENTS_MAX][PATHS_MAX];
	struct stream streams[STREAMS_MAX];
	FILE *trace;             /* NULL: quiet */
	bool failed;
	char failure[512];
	/* times at which a client had no healthy path; the last one is still open if until is USEC_NEVER */
	struct outage { usec_t from_us, until_us; } outages[CLIENTS_MAX][OUTAGES_MAX];
	unsigned outage_count[CLIENTS_MAX];
	usec_t last_segment_us;
	bool healed;
	struct delays delays[2]; /* of the first stream: from the client, to it */
	usec_t checked_us;       /* when stalls were last looked for */
	uint64_t steps;
	uint64_t delivered_bytes, delivered_of[CLIENTS_MAX];
	usec_t first_data_us, last_data_us, gap_us; /* scenarios: at any reader */
	struct buffers buffers;
	struct returns returns;
};

/* What became of one run. */
struct result {
	bool failed;
	char failure[512];
	usec_t virtual_us;
	uint64_t steps, delivered_bytes, payload_bytes, segments;
	unsigned opened, clean;  /* streams that opened; that ended in order with every byte */
	/* scenarios */
	usec_t first_us, last_us, gap_us;
	uint64_t delivered_of[CLIENTS_MAX], delivered_stream[STREAMS_MAX];
	uint64_t retransmitted, reinjected;
	/* stories: the client's and the server's end of the first stream; what is left of connections */
	struct { enum end_death death; enum open_result why; uint64_t consumed; } ends[2];
	uint32_t connections;
	usec_t last_segment_us;
	struct buffers buffers;
	uint64_t doubts, avoided, in_vain; /* jitter.h: of subflows; those that underperformed; bytes reinjected */
	uint64_t held_most;      /* of a stream: written by the server, not yet read by the client; at the end */
};

/* world.c */
void world_run(const struct plan *plan, uint64_t seed, FILE *trace, struct result *out);
void world_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_trace(const struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define TRACE(w, ...) do { if ((w)->trace) world_trace(w, __VA_ARGS__); } while (0)
/* Sends on a path; bytes are the packet's own, the headers around them are added here. Takes p. */
void world_send(struct world *w, struct packet *p);
void world_path_changed(struct world *w, unsigned client, unsigned path);
static inline const char *world_host_name(unsigned number) { return (const char *const[]){ "gw", "c0", "c1" }[number]; }
struct packet *packet_new(enum packet_kind kind, unsigned client, unsigned path, bool to_gateway, size_t len);

/* host.c */
void host_init(struct host *h, struct world *w, unsigned number);
void host_close(struct host *h);
/* An event for the engine; host_settle() must follow: output, at once or with the rest of a batch. */
enum err host_event(struct host *h, struct event *ev);
void host_settle(struct host *h);
void host_pump(struct host *h);
void host_deadline(struct host *h);      /* engine_deadline() has come */
void host_receive(struct host *h, struct packet *p);
void host_probe_timer(struct host *h, path_id id, uint64_t probe);
void host_keepalive(struct host *h, path_id id);
void host_path_up(struct host *h, path_id id);    /* client: the interface is there */
void host_path_down(struct host *h, path_id id, bool gone);
void host_path_mtu(struct host *h, path_id id, uint16_t mtu);

/* plain.c */
static inline bool host_plain(const struct host *h) { return h->world->plan->client_engine.form == SEGMENT_PLAIN; }
void plain_tell_path(struct host *h, path_id id, bool gone);
void plain_path_up(struct host *h, path_id id);
void plain_send(struct host *h, const struct action *act);
void plain_receive(struct host *h, struct packet *p);
/* Where stream number's destination is. */
struct addr plain_destination(unsigned number);

/* app.c */
void app_open(struct stream *s);
void app_dial(struct host *gateway, const struct action *act);
void app_dial_answer(struct end *e);
void app_action(struct host *h, const struct action *act);
void app_write(struct end *e);           /* as much as its plan and the engine allow now */
void app_read_again(struct end *e);
void app_abort(struct end *e);
void app_poke(struct end *e);            /* the peer may be gone unheard: write a byte to find out */
bool end_alive(const struct end *e);
const char *end_name(const struct end *e, char buf[32]);
/* The end at the other side that this one's bytes come from; NULL while unknown. */
struct end *end_peer(struct end *e);
/* Visits every end that ever was; start with NULL. */
struct end *world_next_end(struct world *w, struct end *after);

#endif
