/* SPDX-License-Identifier: MIT */
/*
 * /v1/events: what happens, one JSON object a line, to whoever is listening. Lines wait in a ring, at most 4096 and 2 MiB for
 * all listeners together; one that reads too slowly is told how many it has missed, by a line. While nobody listens nothing is
 * made, and nothing is kept.
 */
#ifndef PLAIT_EVENTS_H
#define PLAIT_EVENTS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/counters.h"
#include "common/usec.h"

struct events;
struct http_answer;

struct events *events_new(struct counters *counters); /* NULL: memory; counters are borrowed */
void events_free(struct events *e);
bool events_wanted(const struct events *e); /* somebody listens: an event is worth making */
void events_add(struct events *e, json_t *event); /* takes it */
/* The answer is a stream of those that come from now on. False: there are 16 listeners already, or memory. */
bool events_answer(struct events *e, usec_t now_us, struct http_answer *out);
/* Is there something for http_wake() to bring to listeners? Once; also when a quiet time asks for a sign of life. */
bool events_wake(struct events *e, usec_t now_us);
/* Will events_wake() say so? The only one of these, with events_wanted() and events_add(), that any worker may call. */
bool events_waiting(const struct events *e);
usec_t events_deadline(const struct events *e);

#endif
