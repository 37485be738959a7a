/* SPDX-License-Identifier: MIT */
/*
 * /metrics in the OpenMetrics text format 1.0. Counters keep the names of common/counters.def, which are those of Linux's
 * MPTcpExt where they mean the same, behind "plait_". Made a family at a time, a few paths at a time.
 */
#include "tunneld/status/status_json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tunneld/io/clock.h"
#include "tunneld/io/http.h"
#include "tunneld/io/memory.h"

enum { AT_A_TIME = 8192 }; /* bytes made in one turn of the loop, about */

enum kind { GAUGE, COUNTER_KIND };

static double bytes_sent(const struct path_end *e) { return (double)e->bytes_sent; }
static double bytes_received(const struct path_end *e) { return (double)e->bytes_received; }
static double datagrams_sent(const struct path_end *e) { return (double)e->datagrams_sent; }
static double datagrams_received(const struct path_end *e) { return (double)e->datagrams_received; }
static double probes_sent(const struct path_end *e) { return (double)e->probes_sent; }
static double probes_answered(const struct path_end *e) { return (double)e->probes_answered; }
static double suspected(const struct path_end *e) { return (double)e->times_suspect; }
static double up(const struct path_end *e) { return e->life == LIFE_UP; }
static double srtt(const struct path_end *e) { return (double)e->srtt_us / 1e6; }
static double mtu(const struct path_end *e) { return e->mtu_payload; }

/* One family a row; a sample of it for each path. */
static const struct path_family {
	const char *name, *help, *unit; /* unit: "" or the last word of the name */
	enum kind kind;
	double (*value)(const struct path_end *e);
} path_families[] = {
	{ "plait_path_up",                  "1 while the path answers",                      "",        GAUGE,        up },
	{ "plait_path_srtt_seconds",        "smoothed round trip time; 0: not measured",     "seconds", GAUGE,        srtt },
	{ "plait_path_segment_limit_bytes", "longest segment that fits one datagram",        "bytes",   GAUGE,        mtu },
	{ "plait_path_sent_bytes",          "sealed bytes sent",                             "bytes",   COUNTER_KIND, bytes_sent },
	{ "plait_path_received_bytes",      "sealed bytes received",                         "bytes",   COUNTER_KIND, bytes_received },
	{ "plait_path_sent_datagrams",      "datagrams sent",                                "",        COUNTER_KIND, datagrams_sent },
	{ "plait_path_received_datagrams",  "authentic datagrams received",                  "",        COUNTER_KIND, datagrams_received },
	{ "plait_path_probes_sent",         "liveness probes sent",                          "",        COUNTER_KIND, probes_sent },
	{ "plait_path_probes_answered",     "liveness probes answered",                      "",        COUNTER_KIND, probes_answered },
	{ "plait_path_suspected",           "times the path stopped answering",              "",        COUNTER_KIND, suspected },
};
enum { PATH_FAMILIES = sizeof path_families / sizeof *path_families };

/* What is made next. */
enum phase { PROCESS, COUNTERS, FAULTS, PATHS, END };

struct metrics {
	struct daemon *first;
	struct daemon *daemon;    /* the worker whose paths come now */
	struct counters counters; /* of all workers, as they were at the start */
	enum phase phase;
	uint32_t index;           /* counter, or family of paths */
	uint32_t next_path;       /* id + 1 of the last one told; 0: its head comes first */
	char text[AT_A_TIME + 4096];
	size_t at, len;
};

__attribute__((format(printf, 2, 3))) static void put(struct metrics *m, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(m->text + m->len, sizeof m->text - m->len, format, args);
	va_end(args);
	/* Room was looked for before; what is longer than any line should be is left out whole. */
	if (n > 0 && (size_t)n < sizeof m->text - m->len)
		m->len += (size_t)n;
}

static void head(struct metrics *m, const char *name, enum kind kind, const char *unit, const char *help)
{
	put(m, "# TYPE %s %s\n", name, kind == GAUGE ? "gauge" : "counter");
	if (*unit)
		put(m, "# UNIT %s %s\n", name, unit);
	put(m, "# HELP %s %s\n", name, help);
}

static void gauge(struct metrics *m, const char *name, const char *unit, const char *help, double v)
{
	head(m, name, GAUGE, unit, help);
	put(m, "%s %.17g\n", name, v);
}

/* A label's value: backslash, quote and newline are escaped. */
static const char *label(const char *from, char to[2 * CONFIG_NAME_MAX + 1])
{
	char *at = to;

	for (; *from && at < to + 2 * CONFIG_NAME_MAX - 1; from++) {
		if (*from == '\\' || *from == '"' || *from == '\n')
			*at++ = '\\';
		*at++ = *from == '\n' ? 'n' : *from;
	}
	*at = '\0';
	return to;
}

static void process(struct metrics *m)
{
	struct daemon *d = m->first;
	struct engine_stats s;
	struct status_sum sum;

	status_engine_stats(d, &s);
	status_sum(d, &sum);
	m->counters = sum.counters;
	head(m, "plait_build", GAUGE, "", "the version, as a label");
	put(m, "plait_build{version=\"%s\"} 1\n", PLAIT_VERSION);
	gauge(m, "plait_uptime_seconds", "seconds", "since the start", (double)usec_since(d->now_us, d->started_us) / 1e6);
	gauge(m, "plait_connections", "", "MPTCP connections now", s.connections);
	gauge(m, "plait_plain_connections", "", "those of them in plain encapsulation", status_plain_connections(d));
	gauge(m, "plait_workers", "", "threads that carry connections", d->config->workers);
	gauge(m, "plait_connections_limit", "", "limits.connections", d->config->connections_max);
	gauge(m, "plait_subflows", "", "subflows now", s.subflows);
	gauge(m, "plait_streams", "", "local streams now", sum.flow_states[FLOW_OPEN]);
	gauge(m, "plait_paths", "", "paths now", s.paths);
	gauge(m, "plait_peers", "", "peers in the configuration", sum.peers);
	gauge(m, "plait_peers_ready", "", "peers with a session", sum.peers_ready);
	gauge(m, "plait_memory_bytes", "bytes", "payload held", (double)s.memory_used);
	gauge(m, "plait_memory_kept_bytes", "bytes", "free pages kept for the next payload", (double)s.memory_kept);
	gauge(m, "plait_heap_bytes", "bytes", "allocated and not freed", (double)memory_heap_bytes());
	gauge(m, "plait_memory_limit_bytes", "bytes", "limits.memory_bytes", (double)s.memory_max);
}

static void counters_next(struct metrics *m)
{
	char name[96];

	snprintf(name, sizeof name, "plait_%s", counter_names[m->index]);
	head(m, name, COUNTER_KIND, "", counter_helps[m->index]);
	put(m, "%s_total %" PRIu64 "\n", name, m->counters.v[m->index]);
	if (++m->index == CNT_MAX) {
		m->index = 0;
		m->phase = FAULTS;
	}
}

static void faults_all(struct metrics *m)
{
	struct faults_stats s = { 0 }, one;

	for (struct daemon *w = m->first; w; w = w->next) {
		worker_enter(w);
		faults_stats(w->faults, &one);
		worker_leave(w);
		s.current += one.current;
		for (int i = 0; i < FAULT_SOURCES; i++)
			s.reports[i] += one.reports[i];
	}
	gauge(m, "plait_faults_current", "", "faults that last", s.current);
	head(m, "plait_fault_reports", COUNTER_KIND, "", "fault reports, by how they are known");
	for (int i = 0; i < FAULT_SOURCES; i++)
		put(m, "plait_fault_reports_total{source=\"%s\"} %" PRIu64 "\n", fault_source_name((enum fault_source)i), s.reports[i]);
	m->phase = PATHS;
}

/* The next sample of the family from this worker, or the next worker, or the head of the next family. */
static void paths_step(struct metrics *m)
{
	const struct path_family *f = &path_families[m->index];
	struct path_end before = { .id = m->next_path - 1 }, *e;
	char path[2 * CONFIG_NAME_MAX + 1], peer[2 * CONFIG_NAME_MAX + 1];
	struct seal_peer_info info;

	if (!m->next_path && m->daemon == m->first)
		head(m, f->name, f->kind, f->unit, f->help);
	worker_enter(m->daemon);
	e = paths_next(m->daemon->paths, m->next_path ? &before : NULL);
	if (!e) {
		worker_leave(m->daemon);
		m->next_path = 0;
		m->daemon = m->daemon->next ? m->daemon->next : m->first;
		if (m->daemon == m->first && ++m->index == PATH_FAMILIES)
			m->phase = END;
		return;
	}
	m->next_path = e->id + 1;
	seal_peer_info(m->daemon->seal, e->peer, &info);
	put(m, "%s%s{path=\"%s\",peer=\"%s\"", f->name, f->kind == COUNTER_KIND ? "_total" : "", label(e->name, path),
	    label(m->daemon->peers[e->peer].name, peer));
	/* Where there are several by that name. */
	if (m->daemon->config->workers > 1)
		put(m, ",worker=\"%u\"", m->daemon->worker);
	if (info.peer_worker)
		put(m, ",peer_worker=\"%u\"", info.peer_worker);
	put(m, "} %.17g\n", f->value(e));
	worker_leave(m->daemon);
}

static void make(struct metrics *m)
{
	while (m->phase != END && m->len < AT_A_TIME) {
		switch (m->phase) {
		case PROCESS:
			process(m);
			m->phase = COUNTERS;
			break;
		case COUNTERS:
			counters_next(m);
			break;
		case FAULTS:
			faults_all(m);
			break;
		case PATHS:
			paths_step(m);
			break;
		case END:
			break;
		}
		if (m->phase == END)
			put(m, "# EOF\n");
	}
}

static size_t more(void *stream, char *out, size_t room)
{
	struct metrics *m = stream;
	size_t n;

	if (m->at == m->len) {
		m->at = m->len = 0;
		make(m);
	}
	n = m->len - m->at < room ? m->len - m->at : room;
	memcpy(out, m->text + m->at, n);
	m->at += n;
	return n ? n : HTTP_END;
}

bool status_metrics(struct daemon *d, struct http_answer *out)
{
	struct metrics *m = calloc(1, sizeof *m);

	if (!m)
		return false;
	m->first = m->daemon = d;
	out->content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
	out->more = more;
	out->done = free;
	out->stream = m;
	return true;
}
