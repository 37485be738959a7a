/* SPDX-License-Identifier: MIT */
#include "tunneld/status/status_json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tunneld/io/clock.h"

json_t *json_address(const struct addr *a)
{
	char text[ADDR_TEXT_MAX];

	return a->family ? json_string(addr_print(a, text)) : json_null();
}

json_t *json_ip(const struct addr *a)
{
	struct addr ip = *a;

	ip.port = 0;
	return json_address(&ip);
}

json_t *json_sequence(uint64_t v)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, v);
	return json_string(text);
}

json_t *json_token(uint32_t token)
{
	char text[9];

	snprintf(text, sizeof text, "%08" PRIx32, token);
	return json_string(text);
}

json_t *json_text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

json_t *json_time(const struct daemon *d, usec_t at_us)
{
	char text[CLOCK_TEXT];

	return json_string(clock_wall_print(clock_wall() - usec_since(d->now_us, at_us), text));
}

json_t *json_name_of_peer(const struct daemon *d, peer_id peer)
{
	return peer < d->peers_max && d->peers[peer].kind != PEER_NONE ? json_string(d->peers[peer].name) : json_null();
}

json_t *json_name_of_path(const struct daemon *d, path_id path)
{
	const struct path_end *e = paths_by_id(d->paths, path);

	return e ? json_string(e->name) : json_null();
}

/* --- pieces --- */

enum { PIECES_AT_A_TIME = 8192 }; /* bytes of JSON made in one turn of the loop, about */

static void put(struct pieces *p, const char *text, size_t len)
{
	char *more = realloc(p->text, p->len + len);

	if (!more) {
		p->ended = true; /* cut short: no valid JSON, so nobody takes it for all */
		return;
	}
	memcpy(more + p->len, text, len);
	p->text = more;
	p->len += len;
}

static void put_text(struct pieces *p, const char *text) { put(p, text, strlen(text)); }

static void put_json(struct pieces *p, json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));

	json_decref(o);
	if (text)
		put_text(p, text);
	else
		p->ended = true;
	free(text);
}

static void section_begin(struct pieces *p)
{
	put_text(p, p->section ? "],\n\"" : "{\"");
	put_text(p, p->sections[p->section].name);
	put_text(p, "\": [");
	p->begun = true;
	p->any = false;
}

/* The worker's members of this section have been told. */
static void next_worker(struct pieces *p)
{
	struct daemon *done = p->daemon;

	free(p->memory);
	p->memory = NULL;
	p->cursor = 0;
	p->daemon = done->next ? done->next : p->first;
	if (p->daemon == p->first) {
		p->section++;
		p->begun = false;
	}
	if (p->daemon != done) {
		worker_leave(done);
		worker_enter(p->daemon);
	}
}

/* One member, or the end of a section. */
static void step(struct pieces *p)
{
	const struct pieces_section *s = &p->sections[p->section];
	json_t *o;

	if (!s->name) {
		put_text(p, "]}\n");
		p->ended = true;
		return;
	}
	if (!p->begun)
		section_begin(p);
	o = s->next(p);
	if (!o) {
		next_worker(p);
		return;
	}
	put_text(p, p->any ? ",\n" : "\n");
	p->any = true;
	put_json(p, o);
}

static size_t more(void *stream, char *out, size_t room)
{
	struct pieces *p = stream;
	size_t n;

	if (p->at == p->len) {
		p->at = p->len = 0;
		worker_enter(p->daemon);
		while (!p->ended && p->len < PIECES_AT_A_TIME)
			step(p);
		worker_leave(p->daemon);
	}
	if (p->at == p->len)
		return HTTP_END;
	n = p->len - p->at < room ? p->len - p->at : room;
	memcpy(out, p->text + p->at, n);
	p->at += n;
	return n;
}

static void done(void *stream)
{
	struct pieces *p = stream;

	free(p->memory);
	free(p->text);
	free(p);
}

/* A client with several workers has as many sessions, here or at other workers of ours: it is counted by its first's. */
static bool is_first_of_client(const struct daemon *w, peer_id i)
{
	struct seal_peer_info info;

	if (w->peers[i].kind != PEER_CLIENT || !seal_ready(w->seal, i, w->now_us))
		return false;
	seal_peer_info(w->seal, i, &info);
	return !info.peer_worker; /* its first worker is never without, but for moments */
}

bool pieces_answer(struct daemon *d, const struct pieces_section *sections, struct http_answer *out)
{
	struct pieces *p = calloc(1, sizeof *p);

	if (!p)
		return false;
	p->first = p->daemon = d;
	p->sections = sections;
	for (struct daemon *w = d; w; w = w->next) {
		worker_enter(w);
		for (peer_id i = 0; i < w->peers_max; i++)
			p->clients += is_first_of_client(w, i);
		worker_leave(w);
	}
	out->more = more;
	out->done = done;
	out->stream = p;
	return true;
}

/* --- both engines --- */

uint32_t status_plain_connections(const struct daemon *d)
{
	struct engine_stats s = { 0 };

	if (d->plain_engine)
		engine_stats(d->plain_engine, &s);
	return s.connections;
}

static void stats_add(const struct engine *e, struct engine_stats *to)
{
	struct engine_stats s;

	engine_stats(e, &s);
	to->connections += s.connections;
	to->subflows += s.subflows;
	to->paths += s.paths;
	to->memory_used += s.memory_used;
	to->memory_kept += s.memory_kept;
	to->memory_max = s.memory_max; /* one limit for all */
}

void status_engine_stats(struct daemon *d, struct engine_stats *out)
{
	*out = (struct engine_stats){ 0 };
	for (struct daemon *w = d; w; w = w->next) {
		worker_enter(w);
		stats_add(w->engine, out);
		if (w->plain_engine)
			stats_add(w->plain_engine, out);
		worker_leave(w);
	}
}

void status_sum(struct daemon *d, struct status_sum *out)
{
	*out = (struct status_sum){ 0 };
	for (struct daemon *w = d; w; w = w->next) {
		worker_enter(w);
		for (int i = 0; i < CNT_MAX; i++)
			out->counters.v[i] += w->counters.v[i];
		for (int i = 0; i < FLOW_STATES; i++)
			out->flow_states[i] += w->flow_states[i];
		for (peer_id i = 0; i < w->peers_max; i++) {
			out->peers += daemon_lists(w, i);
			out->peers_ready += w->peers[i].kind != PEER_NONE && seal_ready(w->seal, i, w->now_us);
		}
		worker_leave(w);
	}
}
