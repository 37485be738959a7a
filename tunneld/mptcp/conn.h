/* SPDX-License-Identifier: MIT */
/*
 * One MPTCP connection and its subflows. What is here: keys, data sequence space, windows, what the host is still to
 * be told. What is not: the host's door and the tables that find a connection (engine.c), one subflow's TCP (tcp/).
 * conn.c: birth, death, subflows. conn_open.c: MP_CAPABLE, conn_refuse.c: and what does not come to be. conn_input.c: what a segment means, conn_data.c: its data,
 * conn_timer.c: what the clock means. conn_output.c: what goes next, conn_options.c: with which options, conn_map.c: under
 * which mapping, conn_reinject.c: and again on which other subflow, conn_mode.c: because of which limits. conn_close.c: the
 * closure FSM, fast close. conn_fallback.c: back to TCP. pm.c, pm_join.c, pm_plain.c: addresses and joins; pm_signal.c:
 * options that wait for an ACK; pm_failures.c: where MPTCP does not pass. Read first: this file.
 */
#ifndef PLAIT_MPTCP_CONN_H
#define PLAIT_MPTCP_CONN_H

#include "tunneld/mptcp/backup.h"
#include "tunneld/mptcp/conn_state.h"
#include "tunneld/mptcp/engine.h"
#include "tunneld/mptcp/mapping.h"
#include "tunneld/mptcp/pm_signal.h"
#include "tunneld/mptcp/reorder.h"
#include "tunneld/mptcp/send_queue.h"
#include "tunneld/mptcp/sent_map.h"
#include "tunneld/tcp/subflow.h"

enum {
	CONN_SUBFLOWS_MAX = 8,
	CONN_RCV_WSCALE = 10,         /* windows to 64 MiB, in steps of 1 KiB */
	CONN_WINDOW_FIRST = 256 * 1024,
	CONN_WINDOW_MAX = 32 * 1024 * 1024,
	CONN_RETRY_PATHS = 8,
	CONN_REMOTES_MAX = 8,
	SYN_DATA_MAX = 40,            /* a Convert header with Connect (24) or Error (8) */
};

enum sub_stage {
	SUB_OPENING,          /* until the keys or HMACs are checked */
	SUB_PRE_ESTABLISHED,  /* joiner: third ACK out, fourth packet awaited; sends no data. RFC 8684 3.2 */
	SUB_LIVE,
	SUB_CLOSING,          /* our FIN is queued or out */
};

struct sub {
	struct subflow sf;
	struct conn *conn;
	struct sub *port_next;              /* chain of the engine's port table */
	struct sub *path_next, *path_prev;  /* all subflows of a path */
	path_id path;
	uint32_t id;                        /* counts up in its connection */
	uint32_t space;                     /* engine_space(): local_port and remote are unique in it */
	uint16_t local_port, remote_port;
	struct addr remote;                 /* plain form: with its port; family 0 in sealed */
	bool useful;                        /* data was taken or acknowledged on it */
	bool half_open;                     /* plain form: counted in the engine's, until the third ACK */
	bool port_held;                     /* plain form: local_port is marked as used on its path */
	uint8_t local_addr_id, remote_addr_id;
	uint8_t join_to;                    /* plain form, our join: id of the remote address it was made to */
	uint64_t no_routes;                 /* plain form: bits of paths (their ids' low six bits) whose way its SYN did not get */
	enum sub_stage stage;
	bool initiator;                     /* we sent its SYN */
	bool join;                          /* not the connection's first */
	bool backup_local, backup_remote;
	bool stale;                         /* in doubt: it did not answer in time; until it does, no new data while another lives */
	struct backup backup;               /* whether it underperforms */
	bool want_out;                      /* subflow_output() may have something */
	uint8_t syn_data_out;               /* bytes of payload in our SYN: outside the data sequence space */
	uint16_t syn_data_in;               /* and in the peer's */
	uint8_t syn_sent;
	usec_t syn_us;                      /* when its SYN first went on the path where it is */
	bool proven;                        /* a DATA_ACK of our data came on it: options pass both ways */
	bool heard_dss;                     /* a DSS came on it: options pass this way */
	usec_t acked_us, data_ack_us;       /* when it acknowledged data, when it brought a DATA_ACK last */
	bool mapped;                        /* a mapping came on it */
	uint32_t local_nonce, remote_nonce;
	uint32_t unmapped_segs;             /* in a row, at the front, without a mapping */
	usec_t third_ack_us;                /* when to repeat the third ACK; USEC_NEVER */
	uint8_t third_acks;                 /* how often it was */
	usec_t dead_since_us;               /* since when its path is not up; USEC_NEVER */
	struct {                            /* path_share.c */
		uint32_t out;               /* of the path's in_flight */
		uint32_t grant, turn;       /* bytes it may send now, though the path is full; and when its turn began */
		uint64_t delivered;
		struct sub *next, *prev;    /* in a row of those who wait */
		bool waiting;
		uint8_t row;
		usec_t since_us;            /* waits */
		usec_t passed_us;           /* when it made no use of its turn; 0: never */
	} share;
	struct sent_map sent;
	struct mappings mappings;
	struct { struct ssn seq; struct dsn dsn; uint32_t len; uint16_t segs; } map; /* conn_map.c: what the newest mapping covers */
	struct dsn copied;                  /* redundant scheduler: it has carried all below */
	uint64_t other_path_segs;           /* arrived on another path than ours */
	const struct mptcp_option *end_why; /* MP_TCPRST of the RST that ends it; only while that is handled */
	const char *end;                    /* why it ends, for those who ask; NULL: nothing special */
	bool end_has_cause, end_transient;
	uint8_t end_cause;
	bool up_told;                       /* conn_facts.c */
	uint8_t mode_told;
	uint8_t send_uto;                   /* how often the user timeout option is yet to be sent, */
	usec_t tell_us;                     /*   and when next */
	usec_t late_us;                     /* when data may be late, as far as it was looked at; USEC_NEVER: ask the subflow */
	struct { uint64_t sent, again; usec_t at_us; double loss; } quality; /* share of bytes sent again, smoothed */
	uint8_t signal_row;                 /* ACKs in a row that carried a signal, and when such a row may begin anew */
	usec_t signal_again_us;
	usec_t remove_us;                   /* REMOVE_ADDR came: without a sign of life until then it is reset; USEC_NEVER */
	uint8_t remove_probes, keep_probes;
	usec_t keep_us;                     /* when to see whether it was idle for long, and what then; USEC_NEVER */
	usec_t keep_sent_us;                /* when the newest of keep_probes went */
};

/* A stretch of data to be sent again on another subflow than `from`. */
struct reinject { struct dsn start, end; uint32_t from; };

/* When a path may be tried again for a join, in plain form to that remote address. */
struct join_retry { path_id path; uint8_t remote_id; uint8_t failures; bool refused; usec_t at_us; };

/* Plain form: an address of the peer that subflows may be joined to. */
struct remote_addr { bool used; uint8_t id; struct addr addr; };

/* What the host is still to be told, in this order. */
enum {
	TELL_DIAL = 1, TELL_OPENED = 2, TELL_DATA = 4, TELL_EOF = 8, TELL_ROOM = 16, TELL_OPTIONS = 32, TELL_RESET = 64,
	TELL_CLOSED = 128,
};

struct conn {
	struct engine *engine;
	conn_id id;
	uint64_t host;
	peer_id peer;
	bool client;
	bool orphan;               /* the host has forgotten it, or never knew it: nothing is told any more */
	bool host_done;            /* M_TIME-WAIT: the host gets ACT_CLOSED once it has read all */
	bool shutdown;             /* EV_SHUTDOWN came: DATA_FIN stands at queue.end */
	enum conn_state state;
	unsigned tell;
	enum open_result result;   /* for TELL_OPENED, TELL_RESET */
	uint8_t icmp_code;
	struct addr destination;

	/* keys, seeds appendix B.1.1 */
	uint64_t local_key, remote_key;
	uint32_t local_token, remote_token;
	bool remote_key_known;
	bool checksum;             /* MPTCP.Checksum */
	bool fully;                /* a DSS of the peer has come: it has our key; joins are allowed */

	/* RFC 8684 3.7, conn_fallback.c */
	bool blackhole;            /* it was known that MPTCP does not get through there */
	bool ever_joined;          /* a second subflow was established once: no way back to TCP */
	bool no_joins, no_joins_here; /* the peer said C, we say it: RFC 8684 3.1 */
	bool fallen;               /* regular TCP now, for good */
	bool failing;              /* a checksum failed and MP_FAIL went out: data from fail_dsn on is not taken */
	bool fail_owed;            /* the next ACK carries MP_FAIL */
	bool infinite_owed;        /* segments carry an infinite mapping until what ends beyond infinite_end is acknowledged */
	uint8_t fail_tries, infinite_acks;
	usec_t fail_us;
	struct dsn fail_dsn, infinite_dsn, fall_dsn;
	uint32_t infinite_ssn;
	struct ssn infinite_end;
	uint64_t fall_ssn;         /* fall_dsn is there on the subflow, and all that follows after it */

	/* opening */
	bool dialling, answered;   /* gateway: ACT_DIAL out; client: the Convert answer came */
	uint8_t syn_data[SYN_DATA_MAX], syn_data_len;
	usec_t open_deadline_us;

	/* sending side, B.1.2: queue.start <= snd_una <= snd_nxt <= queue.end */
	struct send_queue queue;
	struct dsn snd_first, snd_una, snd_nxt; /* snd_first: of all */
	struct dsn snd_edge;       /* right edge of the peer's window: never moves left */
	uint32_t snd_wnd;          /* last one announced */
	uint64_t snd_limit;        /* how much the queue may hold beyond snd_una */
	bool fin_sent, fin_acked;  /* our DATA_FIN, at queue.end */
	uint8_t fin_tries;
	usec_t fin_resend_us;      /* DATA_FIN is repeated then */
	usec_t zero_window_us;     /* the window is probed then */
	uint8_t zero_window_tries;
	uint8_t stuck_tries;
	usec_t stuck_us;           /* all is acknowledged by subflows, but not as data: reinject then */
	struct reinject *reinjects;
	uint32_t reinject_count, reinject_room;
	struct dsn opportunistic;  /* snd_una for which the window-limited reinjection was done */
	bool writes;               /* counted among the writers of the bank: holds pages to be sent, or wants one */
	bool short_write;          /* the host was told less room than it wanted: TELL_ROOM when there is some */

	/* receiving side, B.1.3 */
	struct reorder reorder;
	struct dsn rcv_edge;       /* right edge we may accept and announce: never moves left */
	struct dsn rcv_told;       /* right edge last announced */
	struct dsn ack_told;       /* DATA_ACK last sent */
	uint64_t rcv_limit;
	bool peer_fin;             /* DATA_FIN seen, at peer_fin_dsn */
	struct dsn peer_fin_dsn;
	bool peer_fin_in_order, eof_told;
	bool peer_dsn64;           /* RFC 8684 3.3.1: then DATA_ACK must be 64 bits, too */
	bool offered;              /* an ACT_DATA waits for its EV_CONSUMED */
	struct dsn round_start;    /* autotuning: `read` when this round trip began */
	usec_t round_us, round_len_us;

	/* subflows */
	struct sub *subs[CONN_SUBFLOWS_MAX];
	uint8_t sub_count;
	uint8_t turn;              /* whose control output is looked at first */
	int8_t burst_sub;          /* index of the subflow that gets the next segments too; -1 none */
	uint8_t burst_left;
	uint32_t next_sub_id;
	struct sub *last_rcv;      /* newest input came on it: window updates go there */
	uint8_t service;           /* of the path it began on: whose addresses the peer is told */
	uint64_t announced;        /* bit n: the path of address id n + 1 has been announced (pm.c) */
	usec_t join_us;            /* pm looks for paths to join then */
	struct join_retry retry[CONN_RETRY_PATHS];
	struct remote_addr remotes[CONN_REMOTES_MAX]; /* plain form; [0] is where the first subflow goes, address id 0 */
	usec_t dead_us;            /* no subflow that carries anything: given up then; joins that come and go do not move it */
	usec_t close_us;           /* after closing: given up then */
	usec_t abort_us;           /* aborted then, or when snd_una reaches abort_at; USEC_NEVER: not at all */
	struct dsn abort_at;
	usec_t opened_us;
	/* USER_TIMEOUT, RFC 5482 3.1: what we and the peer advertise; 0: nothing. una_us: since when snd_una is where it is. */
	uint32_t wish;             /* path_id + 1 of the path that the application asked for; 0: none */
	uint32_t adv_uto_ms, remote_uto_ms;
	usec_t una_us;
	struct {                   /* conn_carried.c: what the applications' sockets say, ours and the peer's */
		struct carried_options ours, peers;
		uint8_t serial, peer_serial; /* 0: we never said anything */
		bool heard;
	} carried;
	uint32_t chosen_sub;       /* id of the backup, or of the underperforming subflow, that is in use */
	struct signals *signals;   /* options that wait for an ACK to carry them; NULL: never had any */

	struct cc_group cc_group;

	/* totals */
	uint64_t bytes_sent, bytes_received, reinjected_bytes;

	/* tables of the engine */
	struct conn *token_next, *ready_next, *peer_next, *peer_prev, *room_next, *room_prev;
	bool room_waits;           /* in the row of those for whom the pool had no page */
	uint8_t announce;          /* FAULT_ANNOUNCEs under way: the first's number in the engine's table + 1; 0: none */
	bool up_told;              /* conn_facts.c */
	bool keys_before_fin;      /* both keys have just gone, for the DATA_FIN that goes next */
	bool ready;
	bool token_listed;
	usec_t deadline_us;        /* heap key: never later than the true deadline */
	uint32_t heap_index;
};

/* --- conn.c --- */
/* Fresh connection in M_OPENING with keys from the engine's chance. NULL: full. */
/* key: ours, from a SYN cookie; 0: by chance. */
struct conn *conn_new(struct engine *e, peer_id peer, bool client, uint64_t key, usec_t now_us);
/* Frees at once: subflows, pages, its place in every table. */
void conn_free(struct conn *c);
/* The peer's key is known: token, sequence numbers of the receive side. */
void conn_remote_key(struct conn *c, uint64_t key);
/* remote: plain form, else NULL. NULL: full, or there is such a subflow. */
struct sub *conn_sub_new(struct conn *c, path_id path, uint16_t local_port, const struct addr *remote, uint16_t remote_port);
struct ssn conn_iss(struct sub *s, usec_t now_us); /* where its sequence numbers begin */
bool conn_sub_connect(struct sub *s, usec_t now_us); /* its SYN is to go. False: no memory */
/* A RST for s with MP_TCPRST, by that path. The subflow is closed by it, but still there. RFC 8684 3.6 */
void conn_sub_rst(struct sub *s, path_id path, enum mptcp_reason reason, bool transient);
void conn_sub_rst_with(struct sub *s, path_id path, enum mptcp_reason reason, bool transient, const struct mptcp_option *first);
void conn_sub_free(struct sub *s);
void conn_subflow_config(const struct sub *s, struct subflow_config *out, usec_t now_us);
/* Largest payload and options of one segment on that path. */
uint16_t conn_path_mss(struct engine *e, path_id path);
bool conn_path_backup(const struct conn *c, path_id path); /* by configuration, or another one is wished for */
void conn_sub_path(struct sub *s, path_id path); /* binds it to a path */
bool conn_sub_usable(const struct sub *s);       /* may carry new data at all */
enum backup_mode conn_sub_mode(const struct sub *s);
bool conn_sub_avoid(const struct sub *s);        /* but not while another may */
bool conn_sub_silent(const struct sub *s);       /* it does not answer at all, of those one avoids */
bool conn_has_living_sub(const struct conn *c);
bool conn_has_answering_sub(const struct conn *c); /* and one that is not in doubt */
void conn_check(const struct conn *c);
/* Room for writes; see engine_room(). */
size_t conn_room(const struct conn *c);
uint32_t conn_rcv_window(const struct conn *c);
/* Moves the right edge with what was read and the limit. */
void conn_update_rcv_edge(struct conn *c);

/* --- conn_open.c --- */
void conn_half_open_over(struct sub *s);
/* Plain form: is seg, which came for s, the SYN of a new connection after it? Then s may go. */
bool conn_time_wait_over(const struct sub *s, const struct segment *seg);
/* A SYN for no subflow, or a stray segment. */
void conn_stranger(struct engine *e, path_id path, const struct segment *seg, bool listening, usec_t now_us);
void conn_dialled(struct conn *c, enum open_result result, uint8_t icmp_code, usec_t now_us);

/* --- conn_refuse.c --- */
/* RST to what belongs to no subflow. why: an MP_TCPRST, or NULL. */
void conn_refuse(struct engine *e, path_id path, const struct segment *seg, const struct mptcp_option *why);
void conn_refuse_why(struct engine *e, path_id path, const struct segment *seg, enum mptcp_reason reason, bool transient);

/* --- conn_input.c --- */
void conn_segment(struct sub *s, path_id path, const struct segment *seg, usec_t now_us);

/* --- conn_data.c --- */
void conn_consumed(struct conn *c, size_t len, usec_t now_us);
/* Lets go what is acknowledged as data and by every subflow that sent it. */
void conn_free_acked(struct conn *c);
void conn_data_progress(struct conn *c, usec_t now_us);

/* The subflow is gone (reset, given up, path gone): its data goes elsewhere, it is freed. */
void conn_sub_lost(struct sub *s, usec_t now_us);

/* --- conn_timer.c --- */
void conn_timeout(struct conn *c, usec_t now_us);

/* --- conn_carried.c --- */
/* What the application's socket says now; told to the peer if it is news. user_timeout_ms: 0 is the config's. */
void conn_carried_set(struct conn *c, uint32_t user_timeout_ms, const struct carried_options *o, usec_t now_us);
void conn_carried_live(struct sub *s, usec_t now_us); /* it became SUB_LIVE */
void conn_carried_received(struct sub *s, const struct carried_options *o);

/* --- conn_keepalive.c --- */
void conn_keepalive_begin(struct sub *s, usec_t now_us); /* it became SUB_LIVE */
/* It was idle for long: a keep-alive, or its end. True: s is gone. */
bool conn_keepalive_due(struct sub *s, usec_t now_us);

/* --- conn_reinject.c --- */
/* Data to be sent again on another subflow than the one with that id. */
void conn_reinject_add(struct conn *c, struct dsn start, struct dsn end, uint32_t from);
void conn_reinject_all(struct sub *s);           /* all it has in flight, whoever will carry it */
void conn_reinject_stale(struct conn *c, usec_t now_us); /* a new way is open: what hangs on the silent goes there */
bool conn_another_usable(const struct sub *s);
/* What it has in flight is queued for the others. */
void conn_sub_reinject(struct sub *s, usec_t now_us);
void conn_sub_suspect(struct sub *s, usec_t now_us);
void conn_sub_alive(struct sub *s, usec_t now_us);
void conn_drop_dead_subs(struct conn *c, usec_t now_us);

/* --- conn_mode.c --- */
uint32_t conn_uperf_timeout_ms(const struct sub *s);
uint32_t conn_user_timeout_ms(const struct conn *c); /* 0: none */
void conn_mode_live(struct sub *s, usec_t now_us); /* it became SUB_LIVE: the peer is to be told our limits */
void conn_mode_enter(struct sub *s, enum backup_cause cause, usec_t now_us);
/* Leaves the underperforming mode if it may. */
void conn_mode_settle(struct sub *s, usec_t now_us);
void conn_mode_facts(struct sub *s, const struct subflow_facts *f, usec_t now_us);
void conn_mode_measure(struct sub *s, usec_t now_us);
/* False: USER_TIMEOUT ended the connection. */
bool conn_mode_time(struct conn *c, usec_t now_us);
usec_t conn_mode_deadline(const struct conn *c);
/* MP_PRIO, with our Maximum RTO for a peer that understands it. */
struct mptcp_option conn_mode_prio(const struct sub *s, bool backup);
void conn_mode_user_timeout_put(struct sub *s, struct segment *seg, usec_t now_us);
void conn_mode_uperf_received(struct sub *s, uint32_t max_rto_ms);
void conn_mode_user_timeout_received(struct conn *c, uint16_t uto);
struct score conn_sub_score(const struct sub *s, usec_t now_us);
/* RST by way of another path, where the form allows it. */
void conn_sub_tell_dropped(struct sub *s, enum mptcp_reason reason);
void conn_sub_tell_given_up(struct sub *s); /* RST after the last retransmission of s */

/* --- conn_facts.c --- */
/* Subflows that came or changed their mode since it was last asked. */
void conn_facts_look(struct conn *c);
void conn_facts_sub_down(const struct sub *s); /* about to be freed */
void conn_facts_down(const struct conn *c);    /* about to be freed */
void conn_facts_timeout(const struct sub *s);
void conn_facts_reset(struct sub *s, const struct mptcp_option *why); /* why: MP_TCPRST or NULL */
void conn_facts_corrupt(struct sub *s, const char *what, enum mptcp_reason reason);
void conn_fault_heard(struct sub *by, const struct mptcp_option *opt, usec_t now_us);
void conn_announce_time(struct conn *c, usec_t now_us);
usec_t conn_announce_deadline(const struct conn *c);
uint32_t conn_announce_room(const struct sub *s);  /* bytes of options its next segment needs for it */
void conn_announce_put(struct sub *s, struct segment *seg, const struct subflow_data *d);
void conn_announce_acked(const struct sub *s, struct ssn to);
void conn_announce_gone(struct conn *c);

/* --- conn_output.c --- */
/* One action, if there is one. */
bool conn_output(struct conn *c, struct action *act, usec_t now_us);
usec_t conn_deadline(const struct conn *c, usec_t now_us);

/* --- conn_close.c --- */
void conn_input_close(struct conn *c, enum conn_step_input in, usec_t now_us);
/* Abrupt close by our side, RFC 8684 3.5: by config R or A form. The host has forgotten c when this returns; c may be freed. */
void conn_abort(struct conn *c, usec_t now_us);
/*
 * The same as soon as the peer has what is on its way and a little of what waits, or after ABORT_LINGER_US: a RST overtakes
 * nothing on a native connection, and the last bytes before it are often the reason for it (an HTTP 413). The host has
 * forgotten the connection from now on.
 */
enum { ABORT_LINGER_US = 2 * USEC_PER_S, ABORT_LINGER_BYTES = 65536 };
void conn_abort_after(struct conn *c, usec_t now_us);
/* The peer, or a fault, ended it: the host is told why, subflows are gone at once. */
void conn_fail(struct conn *c, enum open_result why, uint8_t icmp_code, bool send_reset, usec_t now_us);
void conn_close_subflows(struct conn *c, usec_t now_us);
/* After a subflow went: is the connection at its end? May set it to M_CLOSED; it is freed by the engine's output. */
void conn_sub_gone(struct conn *c, usec_t now_us);

#endif
