/* SPDX-License-Identifier: MIT */
/* Between the status*.c and events.c: small makers of JSON, and answers that are made a piece at a time. */
#ifndef PLAIT_STATUS_JSON_H
#define PLAIT_STATUS_JSON_H

#include <jansson.h>

#include "tunneld/daemon/state.h"

struct http_answer;

static inline void json_set(json_t *o, const char *key, json_t *value) { json_object_set_new(o, key, value); }
static inline json_t *json_number_of(uint64_t v) { return json_integer((json_int_t)v); }
static inline json_t *json_ms(usec_t us) { return json_real((double)us / 1e3); }
json_t *json_address(const struct addr *a);        /* null where there is none */
json_t *json_ip(const struct addr *a);             /* the same, without its port */
json_t *json_sequence(uint64_t v);                 /* digits: 64 bits without a sign do not fit JSON's integers */
json_t *json_token(uint32_t token);                /* eight hexadecimal digits */
json_t *json_text_or_null(const char *text);       /* null for NULL and "" */
json_t *json_time(const struct daemon *d, usec_t at_us); /* when that was, as "2026-11-23T04:25:50.123Z" */
json_t *json_name_of_peer(const struct daemon *d, peer_id peer);
json_t *json_name_of_path(const struct daemon *d, path_id path); /* null where there is none any more */

/*
 * An object of arrays whose members are made while the answer is being sent, a few at a time: ten thousand connections must
 * not hold up the loop. Each member is true to its own moment. next() gives the next member, and NULL once for the end.
 */
struct pieces;
struct pieces_section {
	const char *name;
	json_t *(*next)(struct pieces *p);
};
struct pieces {
	struct daemon *first;
	struct daemon *daemon;     /* the worker whose members come now; it is entered when next() is called */
	uint32_t clients;          /* with a session, of all workers, when the answer began */
	uint64_t cursor;           /* next()'s own; 0 when its section, or the next worker's members of it, begin */
	void *memory;              /* next()'s own, freed then too */
	const struct pieces_section *sections; /* ends with a name of NULL */
	unsigned section;
	bool begun, any, ended;
	char *text;                /* made but not yet taken */
	size_t at, len;
};
/* False: no memory. */
bool pieces_answer(struct daemon *d, const struct pieces_section *sections, struct http_answer *out);

/* status_faults.c */
json_t *status_fault(const struct daemon *d, const struct fault *f);
extern const struct pieces_section status_fault_sections[];
/* status_metrics.c */
bool status_metrics(struct daemon *d, struct http_answer *out);

/* Of both engines together, and all workers; d is the first. */
void status_engine_stats(struct daemon *d, struct engine_stats *out);
struct status_sum {
	struct counters counters;
	uint32_t flow_states[FLOW_STATES], peers, peers_ready;
};
void status_sum(struct daemon *d, struct status_sum *out);
uint32_t status_plain_connections(const struct daemon *d);

#endif
