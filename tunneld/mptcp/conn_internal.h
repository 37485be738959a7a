/* SPDX-License-Identifier: MIT */
/* What the files conn_*.c tell each other; nobody else includes it. */
#ifndef PLAIT_MPTCP_CONN_INTERNAL_H
#define PLAIT_MPTCP_CONN_INTERNAL_H

#include "tunneld/mptcp/conn.h"

/* --- conn_input.c --- */
/* What a subflow told. True: s is gone. */
bool conn_subflow_facts(struct sub *s, const struct subflow_facts *f, usec_t now_us);

/* --- conn_open.c --- */
/* Client: the SYN/ACK of the first subflow. False: the connection has ended. */
bool conn_synack(struct sub *s, const struct segment *seg, usec_t now_us);
/* Gateway: the first segment that brings the client's key. False: the connection has ended. */
bool conn_third_ack(struct sub *s, const struct segment *seg, usec_t now_us);

/* --- conn_refuse.c --- */
struct convert_message;
/*
 * Sealed form: the SYN's Convert message m, read as `parsed`, is not dialled for: a SYN/ACK that says why, and of which nothing is
 * kept. False: there is no such answer to it.
 */
bool conn_refuse_convert(struct engine *e, path_id path, const struct segment *syn, const struct convert_message *m, enum err parsed);

/* --- conn_data.c --- */
void conn_data_acked(struct conn *c, const struct sub *s, const struct segment *seg, uint64_t value, bool is_64, usec_t now_us);
/* una is acknowledged as data, and snd_wnd is the window of now. told: the subflow that said so. */
void conn_send_progress(struct conn *c, const struct sub *told, struct dsn una, usec_t now_us);
/* The mapping a segment declares, len 0: none. */
enum map_verdict { MAP_OK, MAP_BAD /* reset it */, MAP_CORRUPT /* checksum */, MAP_INFINITE, MAP_UNUSABLE /* not now */ };
enum map_verdict conn_mapping_declared(struct sub *s, const struct segment *seg, struct mapping *out, usec_t now_us);
/* s is to be freed: what it brought and nobody verified goes with it. */
void conn_unverified_gone(struct sub *s);
/* Unwrapped relative ssn of a sequence number near rcv_nxt: the SYN is 0. */
uint64_t conn_relative_in(const struct sub *s, struct ssn seq);
void conn_check_data_fin(struct conn *c, usec_t now_us);
/* A segment that covers less than its mapping: the rest of the mapping is for later ones. */
void conn_mapping_remember(struct sub *s, const struct segment *seg, struct mapping *map);
enum pay_verdict { PAY_OK, PAY_RESET /* it must be */, PAY_GONE /* the subflow has been */ };
enum pay_verdict conn_payload(struct sub *s, const struct subflow_facts *f, const struct mapping *now_declared, usec_t now_us, bool *fin);

/* --- conn_close.c --- */
void conn_reset_received(struct sub *s, const struct segment *seg, usec_t now_us);
/* MP_FASTCLOSE, on a RST or an ACK. True: the connection has ended. */
bool conn_fastclose_received(struct sub *s, const struct segment *seg, usec_t now_us);
/* MP_FASTCLOSE on a RST of no subflow. */
void conn_late_fastclose(struct engine *e, path_id path, const struct mptcp_option *fc, usec_t now_us);

/* --- conn_fallback.c --- */
bool conn_may_fall_back(const struct sub *s);
/* To regular TCP; say: the peer is told by an infinite mapping. False: it cannot, and the subflow must be reset. */
bool conn_fall_back(struct sub *s, bool say, usec_t now_us);
struct mapping conn_fallen_mapping(const struct sub *s, uint64_t ssn, uint32_t len);
void conn_fallen_acked(struct sub *s, usec_t now_us);
void conn_fallen_facts(struct sub *s, const struct subflow_facts *f, usec_t now_us);
bool conn_option_infinite(const struct sub *s, struct segment *seg, bool data);
/* A checksum failed: the mapping began at `from`. True: s is gone; false: MP_FAIL goes out, nothing of it is to be taken. */
bool conn_corrupt(struct sub *s, struct dsn from, usec_t now_us);
/* MP_FAIL. True: s is gone. */
bool conn_fail_received(struct sub *s, usec_t now_us);
/* MP_FAIL again, or the end of its subflow. True: that. */
bool conn_fail_due(struct conn *c, usec_t now_us);
bool conn_option_fail(struct conn *c, struct segment *seg);

/* --- conn_options.c --- */
void conn_options_handshake(const struct sub *s, struct segment *seg);
bool conn_syn_is_plain(const struct sub *s); /* its SYN goes without MP_CAPABLE */
void conn_option_third_ack(const struct sub *s, struct segment *seg);
/* Both keys go on our segments until the peer shows that it has them. */
bool conn_keys_owed(const struct sub *s);
/* Most that the options of a segment with payload will take. */
uint32_t conn_options_room(const struct sub *s);
/* Relative ssn of a sequence number of ours. */
uint32_t conn_relative_out(const struct sub *s, struct ssn seq);
void conn_option_mapping(const struct sub *s, struct segment *seg, const struct subflow_data *d, bool fin);
bool conn_fin_ready(const struct conn *c);
/* Has the DATA_ACK or the window moved since the peer was last told? */
bool conn_ack_news(const struct conn *c);
uint32_t conn_ack_room(const struct conn *c); /* bytes of options of a DATA_ACK alone */
void conn_option_data_ack(const struct sub *s, struct segment *seg);

/* --- conn_buffers.c --- */
void conn_tune_send(struct conn *c);                  /* the peer acknowledged data */
uint64_t conn_window_first(const struct engine *e);
void conn_room_wait(struct conn *c);                   /* the pool has no page for it: it is told when it has */
void conn_room_leave(struct conn *c);
void conn_room_serve(struct engine *e, usec_t now_us); /* tells those in the row, as far as there are pages */
usec_t conn_room_deadline(const struct engine *e);
void conn_writer_note(struct conn *c);                /* whether it is one of those who share the pool */
uint64_t conn_send_limit(const struct conn *c);       /* bytes its send queue may hold now, by its paths and by the pool */
void conn_tune_receive(struct conn *c, usec_t now_us); /* the application took some */

/* --- path_memory.c --- */
/* The subflow ends: what it knows of its path. */
void path_learn(const struct sub *s, usec_t now_us);
/* Bytes a second that a new subflow there may expect, and the round trip that goes with it; 0: nothing is known. */
uint64_t path_rate_hint(struct engine *e, path_id path, usec_t now_us, usec_t *rtt_us);

/* --- path_share.c --- */
struct path_share;
void path_share_open(struct path_share *p, bool one_way); /* one_way: it leads to one peer alone */
/* May new data go on it? If not it stands in the row, and its connection is asked for output when its turn comes. */
bool path_share_may_send(struct sub *s);
void path_share_sent(struct sub *s, uint32_t bytes);   /* that many of new data just went */
void path_share_note(struct sub *s, usec_t now_us);    /* what it has out may have changed */
void path_share_done(struct sub *s);                   /* its connection has no more to send now: what is left of its turn passes on */
void path_share_company(struct sub *s);                /* tells it how long answers take on its path: before its timers are looked at */
usec_t path_share_deadline(const struct sub *s);       /* who waits looks again, whatever happens to others */
void path_share_leave(struct path_share *p, struct sub *s); /* it is no longer on that path */

/* --- conn_map.c --- */
/* Bytes that the subflow's next sequence numbers are promised to by a mapping already told, and from where on. */
uint32_t conn_map_left(const struct sub *s);
/* A segment may go without its mapping when there is no room for it. */
bool conn_map_may_miss(const struct sub *s);
struct dsn conn_map_next(const struct sub *s);
/*
 * *len bytes from `from` are to go on s: declares a mapping if none is open, cuts *len to what it covers, and says how many
 * bytes of options the next segment will have.
 */
uint32_t conn_map_begin(struct sub *s, struct dsn from, uint32_t *len, usec_t now_us);
/* The options of a segment with payload. */
void conn_map_put(struct sub *s, struct segment *seg, const struct subflow_data *d, bool fin);
void conn_options_ack(struct sub *s, struct segment *seg, usec_t now_us);

#endif
