/* SPDX-License-Identifier: MIT */
/* /v1/faults: groups of faults with one origin, of all workers together, then every record. */
#include "tunneld/status/status_json.h"

#include <stdlib.h>
#include <string.h>

/* Records of all workers and what they have in common, made once an answer. */
struct groups {
	uint32_t count, records;
	struct fault_group list[FAULT_GROUPS_MAX];
	struct fault copies[];
};

static json_t *sources(unsigned bits)
{
	json_t *all = json_array();

	for (int i = 0; i < FAULT_SOURCES; i++)
		if (bits >> i & 1)
			json_array_append_new(all, json_string(fault_source_name((enum fault_source)i)));
	return all;
}

static json_t *cidr(const struct cidr *c)
{
	char text[ADDR_TEXT_MAX];

	return c->net.family ? json_string(cidr_print(c, text)) : json_null();
}

static const char *by_text(enum fault_group_by by)
{
	return by == BY_ROUTER ? "router" : by == BY_PREFIX ? "prefix" : "none";
}

/* The names of those for whom it lasts; all of them could be a thousand. */
static json_t *peers_of(const struct groups *all, const struct fault_group *g)
{
	enum { NAMES = 32 };
	json_t *names = json_array();
	const struct fault *told[NAMES];
	unsigned n = 0;

	for (const struct fault *x = all->copies; x < all->copies + all->records && n < NAMES; x++) {
		unsigned i = 0;

		if ((x->over_us && !g->over_us) || !*x->peer_name || !fault_same_group(x, g->newest))
			continue;
		while (i < n && !fault_same_peer(told[i], x))
			i++;
		if (i < n)
			continue;
		told[n++] = x;
		json_array_append_new(names, json_string(x->peer_name));
	}
	return names;
}

static json_t *group(const struct daemon *d, const struct groups *all, const struct fault_group *g, uint32_t clients)
{
	json_t *o = json_object();

	json_set(o, "by", json_string(by_text(g->by)));
	json_set(o, "router", json_ip(&g->router));
	json_set(o, "prefix", cidr(&g->prefix));
	json_set(o, "path", json_text_or_null(g->path_name));
	json_set(o, "local", json_address(&g->local));
	json_set(o, "cause", json_number_of(g->cause));
	json_set(o, "cause_text", json_string(fault_cause_text(g->cause)));
	json_set(o, "sources", sources(g->sources));
	json_set(o, "type", json_string(g->lasting ? "lasting" : "transient"));
	json_set(o, "current", json_boolean(!g->over_us));
	json_set(o, "since", json_time(d, g->first_us));
	json_set(o, "last", json_time(d, g->last_us));
	json_set(o, "over", g->over_us ? json_time(d, g->over_us) : json_null());
	json_set(o, "peers", json_number_of(g->peers_now));
	json_set(o, "peers_ever", json_number_of(g->peers));
	json_set(o, "clients", json_number_of(g->clients_now));
	json_set(o, "clients_connected", json_number_of(clients));
	json_set(o, "names", peers_of(all, g));
	json_set(o, "records", json_number_of(g->records));
	json_set(o, "times", json_number_of(g->times));
	json_set(o, "newest", json_number_of(g->newest->id));
	json_set(o, "worker", json_number_of(g->newest->worker));
	return o;
}

json_t *status_fault(const struct daemon *d, const struct fault *f)
{
	json_t *o = json_object();

	json_set(o, "id", json_number_of(f->id));
	json_set(o, "worker", json_number_of(f->worker));
	json_set(o, "source", json_string(fault_source_name(f->source)));
	json_set(o, "cause", json_number_of(f->cause));
	json_set(o, "cause_text", json_string(fault_cause_text(f->cause)));
	json_set(o, "type", json_string(f->lasting ? "lasting" : "transient"));
	json_set(o, "current", json_boolean(!f->over_us));
	json_set(o, "since", json_time(d, f->first_us));
	json_set(o, "last", json_time(d, f->last_us));
	json_set(o, "over", f->over_us ? json_time(d, f->over_us) : json_null());
	json_set(o, "times", json_number_of(f->times));
	json_set(o, "peer", json_text_or_null(f->peer_name));
	json_set(o, "path", json_text_or_null(f->path_name));
	json_set(o, "interface", json_text_or_null(f->interface));
	json_set(o, "local_addr_id", json_number_of(f->local_addr_id));
	json_set(o, "remote_addr_id", json_number_of(f->remote_addr_id));
	json_set(o, "local", json_address(&f->local));
	json_set(o, "remote", json_address(&f->remote));
	json_set(o, "middlebox", json_ip(&f->middlebox));
	json_set(o, "token", f->token ? json_token(f->token) : json_null());
	json_set(o, "evidence", json_string(f->evidence));
	json_set(o, "done", json_string(f->done));
	json_set(o, "announced", json_string(fault_told_name(f->told)));
	return o;
}

/* first has been entered; NULL: no memory. */
static struct groups *groups_of_all(struct daemon *first)
{
	struct groups *g = calloc(1, sizeof *g), *more;

	for (struct daemon *w = first; g && w; w = w->next) {
		struct faults_stats s;

		if (w != first)
			worker_enter(w);
		faults_stats(w->faults, &s);
		more = realloc(g, sizeof *g + (g->records + s.records) * sizeof g->copies[0]);
		if (more) {
			g = more;
			g->records += faults_copy(w->faults, g->copies + g->records, s.records);
		}
		if (w != first)
			worker_leave(w);
		if (!more) {
			free(g);
			g = NULL;
		}
	}
	if (g)
		g->count = fault_groups(g->copies, g->records, g->list, FAULT_GROUPS_MAX);
	return g;
}

/* One failing router is one fault, whichever workers its clients are at: all groups come with the first's members. */
static json_t *next_group(struct pieces *p)
{
	struct groups *g = p->memory;

	if (p->daemon != p->first)
		return NULL;
	if (!g)
		g = p->memory = groups_of_all(p->first);
	return g && p->cursor < g->count ? group(p->daemon, g, &g->list[p->cursor++], p->clients) : NULL;
}

static json_t *next_fault(struct pieces *p)
{
	p->cursor = faults_next(p->daemon->faults, p->cursor);
	return p->cursor ? status_fault(p->daemon, faults_find(p->daemon->faults, p->cursor)) : NULL;
}

const struct pieces_section status_fault_sections[] = { { "groups", next_group }, { "faults", next_fault }, { NULL, NULL } };
