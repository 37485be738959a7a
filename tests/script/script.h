/* SPDX-License-Identifier: MIT */
/*
 * tests/script: conversations as text, run through the engine's one door in virtual time. README.md has the language.
 * What is here: the runner. What is not: the scripts, which stand in folders named as packetdrill names them.
 *
 * main.c     files, lines, verdicts; one process a script, so that a failed assert is that script's failure
 * option.c   options as text: a name and fields, read, written and compared
 * codec.c    options and segments <-> bytes, with keys, HMACs, checksums and relative numbers put in
 * world.c    the engine, the time, what was sent and told and has not been expected yet
 * Read first: README.md, then option.c's table.
 */
#ifndef PLAIT_SCRIPT_H
#define PLAIT_SCRIPT_H

#include "common/seq.h"
#include "tunneld/mptcp/engine.h"

#include <stdio.h>

enum {
	CONNS = 4, SUBS = 16, PATHS = 8, OPTIONS_MAX = 20, FIELDS_MAX = 12, PENDING_MAX = 256, PAYLOAD_MAX = 9000,
	LINE_LENGTH_MAX = 1024,
};

/* --- where we are --- */
struct place { const char *file; unsigned line; };
extern struct place here;
/* Says where and why, and ends this script's process as failed; or as a known bug, if the line was marked so. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);
/* The script itself is wrong: never a known bug. */
__attribute__((noreturn, format(printf, 1, 2))) void bad_script(const char *format, ...);

/* --- options as text --- */
enum value_kind { VALUE_NONE, VALUE_NUMBER, VALUE_US, VALUE_PEER, VALUE_GOOD, VALUE_BAD, VALUE_ADDR, VALUE_BLOCK, VALUE_HEX };
struct field {
	uint8_t word;               /* index into the table of words */
	enum value_kind kind;
	uint64_t v, end;            /* end: of a block */
	struct addr addr;
	uint8_t hex[40], hex_len;
};
struct option {
	uint8_t name;
	uint8_t field_count;
	struct field fields[FIELDS_MAX];
};
struct option_list {
	bool given;                 /* there was a <...> at all */
	bool more;                  /* it ends with "..." */
	uint8_t count;
	struct option o[OPTIONS_MAX];
};
#define NAMES(X) \
	X(mss) X(sackOK) X(TS) X(wscale) X(sack) X(uto) X(nop) X(eol) X(raw) X(mp_capable) X(mp_join) X(dss) X(add_addr) \
	X(remove_addr) X(mp_prio) X(mp_fail) X(mp_fastclose) X(mp_tcprst) X(fault) X(uperf) X(carried)
enum option_name {
#define X(n) NAME_##n,
	NAMES(X)
#undef X
	NAME_COUNT
};
/* word, takes: - nothing, # number, k key, c check (good, bad or a number), a address, o optional number; ~: not compared unless given */
#define WORDS(X) \
	X(n, "#") X(val, "#~") X(ecr, "#~") X(block, "b") X(hex, "h") X(v, "#") X(flags, "#") X(key, "k") X(len, "#") X(csum, "c") \
	X(syn, "-") X(synack, "-") X(ack, "-") X(backup, "-") X(id, "#") X(token, "k~") X(nonce, "#~") X(hmac, "c") \
	X(dack4, "#") X(dack8, "#") X(dsn4, "#") X(dsn8, "#") X(ssn, "#") X(fin, "-") X(echo, "-") X(addr, "a") \
	X(rto, "#") X(dsn, "#") X(reason, "#") X(transient, "-") X(cause, "#") X(src, "#") X(dst, "#") X(middlebox, "a") X(dack, "#") \
	X(serial, "#") X(idle, "#") X(interval, "#") X(count, "#") X(tos, "#")
enum option_word {
#define X(w, takes) WORD_##w,
	WORDS(X)
#undef X
	WORD_COUNT
};
/* text: what stands between < and >. */
void options_read(struct option_list *out, char *text);
void options_print(const struct option_list *l, FILE *to);
/* What differs, or NULL. */
const char *options_differ(const struct option_list *want, const struct option_list *seen);
const struct field *option_field(const struct option *o, enum option_word w);
void option_add(struct option *o, enum option_word w, enum value_kind kind, uint64_t v);

/* --- segments as text --- */
struct seg_line {
	uint8_t flags;
	bool push_given;            /* P is compared only where it is written */
	int64_t seq;                /* relative: SYN is 0 */
	uint32_t len;
	bool has_ack, has_win, has_path;
	int64_t ack;
	uint32_t win, path;
	bool fill_bad;              /* other bytes than those of the stream */
	bool silent_syn;            /* the payload is none of the data sequence space's */
	enum { CONVERT_NONE, CONVERT_ASK, CONVERT_OK, CONVERT_FAIL, CONVERT_RAW } convert;
	struct addr destination;
	uint8_t convert_code;
	uint8_t raw[512];
	uint16_t raw_len;
	struct option_list options;
};

/* --- the world --- */
struct script_conn {
	bool used, client;
	conn_id id;
	uint64_t our_key, peer_key;
	bool our_key_known;
	struct dsn our_idsn, peer_idsn;
	uint32_t our_token, peer_token;
	uint64_t write_at, read_at; /* the next byte's relative dsn: the first is 1 */
};
struct script_sub {
	bool declared, bound;
	unsigned conn;
	path_id path;
	uint16_t local_port, remote_port;
	struct addr remote;
	uint32_t our_iss, peer_iss, our_nonce, peer_nonce;
	bool our_iss_known;
	uint32_t ts_last;           /* last TSval of ours */
	uint32_t syn_out, syn_in;   /* bytes of payload in the SYNs: outside the data sequence space */
	uint64_t map_out, map_in;   /* relative dsn minus relative ssn */
};
struct pending {
	usec_t at;
	path_id path;
	uint16_t local_port, remote_port;
	struct addr remote;
	size_t len;
	uint8_t bytes[PAYLOAD_MAX + 80];
};
struct told { usec_t at; unsigned conn; enum action_kind kind; enum open_result why; struct addr destination; struct carried_options options; };

struct world {
	struct engine *e;
	struct engine_config config;
	struct counters counters;
	bool server, auto_read, trace;
	bool translated;            /* a script of plain form is run in sealed form, codec.c */
	bool announce, no_joins; /* of the paths; the latter of path 1 */
	usec_t now, tolerance;      /* now: since the start, 0 */
	unsigned paths;
	bool path_was_up[PATHS];
	uint16_t mtu;
	uint8_t path_family;
	uint32_t peer_iss;
	uint64_t seed, peer_key;
	uint16_t listen_port;
	struct script_conn conns[CONNS];
	struct script_sub subs[SUBS];
	struct pending *pending[PENDING_MAX];
	unsigned pending_count;
	struct told told[64];
	unsigned told_count;
	bool room_told[CONNS];
};
extern struct world w;

/* The byte of a data stream that stands at that relative dsn. */
uint8_t stream_byte(bool ours, unsigned conn, uint64_t dsn);

/* --- codec.c --- */
size_t segment_bytes(const struct seg_line *l, unsigned sub, uint8_t *out, size_t size);
size_t convert_bytes(const struct seg_line *l, uint8_t *out, size_t size); /* the message behind `convert` */
void options_to_sealed(struct option_list *l);
/* Learns keys, nonces and sequence numbers where they are first seen. NULL or what is wrong with its payload. */
const char *segment_seen(const struct pending *p, unsigned sub, struct seg_line *out);
void segment_print_line(const struct seg_line *l, FILE *to);
void conn_learn_keys(unsigned conn);

/* --- world.c --- */
void world_start(void);
struct addr path_address(unsigned path);
/* Runs the time to `to`, and fails on anything sent or told earlier than `to` less the tolerance that nobody expected. */
void world_run(usec_t to);
/* The first thing sent on sub, waiting until `to`; NULL: none. It is taken out of the list. */
struct pending *world_sent(unsigned sub, usec_t to);
/* The first thing told, waiting until `to`; false: none. */
bool world_told(struct told *out, usec_t to);
void world_event(struct event *ev, const char *what);
enum err world_event_may_fail(struct event *ev);
void world_nothing_pending(usec_t before);
void world_segment(const struct seg_line *l, unsigned sub);
void world_end(void);
const char *told_name(enum action_kind k);

#endif
