/* SPDX-License-Identifier: MIT */
#include "tests/script/script.h"

#include <stdlib.h>
#include <string.h>

struct world w;

enum { START_US = 1000 * 1000 * 1000, SPIN_MAX = 100000 }; /* the engine's clock does not begin at 0 */

static usec_t engine_now(void) { return START_US + w.now; }

const char *told_name(enum action_kind k)
{
	return k == ACT_DIAL ? "dial" : k == ACT_OPENED ? "opened" : k == ACT_EOF ? "eof" : k == ACT_RESET ? "reset" : k == ACT_OPTIONS ? "options" : "closed";
}

struct addr path_address(unsigned path)
{
	if (w.path_family == 6)
		return (struct addr){ .family = 6, .ip = { 0x20, 1, 0xd, 0xb8, [7] = (uint8_t)path, [15] = 1 } };
	return (struct addr){ .family = 4, .ip = { 10, 0, (uint8_t)path, 1 } };
}

void world_start(void)
{
	uint8_t seed[32] = { 0 };

	memcpy(seed, &w.seed, sizeof w.seed);
	w.config.counters = &w.counters;
	w.config.gateway = w.server;
	w.e = engine_new(&w.config, seed, engine_now());
	if (!w.e)
		bad_script("the engine refuses this configuration");
	for (unsigned p = w.paths; p; p--) { /* the last told comes first */
		struct event ev = {
			.kind = EV_PATH,
			.path = {
				.path = p, .state = PATH_UP, .may_initiate = !w.server, .addr_id = (uint8_t)p, .mtu_payload = w.mtu,
				.local = path_address(p), .announce = w.announce, .no_joins = w.no_joins && p == 1, .name = "path",
			},
		};

		world_event(&ev, "path");
	}
	for (unsigned i = 0; i < SUBS; i++) {
		w.subs[i].peer_iss = w.peer_iss + i * 0x01000000;
		w.subs[i].peer_nonce = 0x5eed0000 + i;
	}
	for (unsigned i = 0; i < CONNS; i++) {
		w.conns[i].peer_key = w.peer_key + i;
		w.conns[i].write_at = w.conns[i].read_at = 1;
		conn_learn_keys(i);
	}
}

void world_end(void)
{
	if (w.e)
		engine_check(w.e);
	engine_free(w.e);
	for (unsigned i = 0; i < w.pending_count; i++)
		free(w.pending[i]);
}

static void sent(const struct action *a)
{
	struct pending *p;

	if (w.pending_count == PENDING_MAX || a->send.len > sizeof p->bytes)
		fail("more than %d segments were sent that nobody expected", PENDING_MAX);
	p = w.pending[w.pending_count++] = calloc(1, sizeof *p);
	if (!p)
		abort();
	p->at = w.now;
	p->path = a->send.path;
	p->len = a->send.len;
	memcpy(p->bytes, a->send.bytes, a->send.len);
	if (w.config.form == SEGMENT_SEALED) {
		p->local_port = be_get16(p->bytes);
		p->remote_port = be_get16(p->bytes + 2);
	} else {
		p->local_port = a->send.local_port;
		p->remote = *a->send.remote;
		p->remote_port = p->remote.port;
	}
}

static unsigned conn_of_id(conn_id id, uint64_t host)
{
	for (unsigned i = 0; i < CONNS; i++)
		if (w.conns[i].used && w.conns[i].id == id)
			return i;
	return (unsigned)(host < CONNS ? host : 0);
}

static void tell(unsigned conn, const struct action *a)
{
	struct told *t;

	if (w.told_count == sizeof w.told / sizeof *w.told)
		fail("too much was told that nobody expected");
	t = &w.told[w.told_count++];
	*t = (struct told){ .at = w.now, .conn = conn, .kind = a->kind };
	if (a->kind == ACT_OPENED)
		t->why = a->opened.result;
	if (a->kind == ACT_RESET)
		t->why = a->reset.why;
	if (a->kind == ACT_DIAL)
		t->destination = a->dial.destination;
	if (a->kind == ACT_OPTIONS)
		t->options = a->options;
}

static void dial(const struct action *a)
{
	unsigned i = 0;

	while (i < CONNS && w.conns[i].used)
		i++;
	if (i == CONNS)
		fail("more than %d connections", CONNS);
	w.conns[i].used = true;
	w.conns[i].id = a->conn;
	tell(i, a);
}

static void consume_all(unsigned conn)
{
	struct script_conn *c = &w.conns[conn];
	const uint8_t *bytes;
	size_t n = engine_readable(w.e, c->id, &bytes);
	struct event ev = { .kind = EV_CONSUMED, .consumed = { .conn = c->id, .len = n } };

	for (size_t i = 0; i < n; i++)
		if (bytes[i] != stream_byte(false, conn, c->read_at + i))
			fail("the application reads a byte at %llu that was not sent", (unsigned long long)(c->read_at + i));
	c->read_at += n;
	world_event(&ev, "read");
}

/* All that the engine has to say now. */
static void pump(void)
{
	struct action a;
	unsigned spin = 0;

	while (engine_output(w.e, &a, engine_now())) {
		if (++spin > SPIN_MAX)
			fail("the engine does not come to rest");
		switch (a.kind) {
		case ACT_SEND:
			sent(&a);
			break;
		case ACT_DIAL:
			dial(&a);
			break;
		case ACT_DATA:
			if (w.auto_read)
				consume_all(conn_of_id(a.conn, a.host));
			break;
		case ACT_OPENED:
		case ACT_EOF:
		case ACT_OPTIONS:
		case ACT_RESET:
		case ACT_CLOSED:
			tell(conn_of_id(a.conn, a.host), &a);
			break;
		case ACT_ROOM:
			w.room_told[conn_of_id(a.conn, a.host)] = true;
			break;
		case ACT_PORT_FREE:
		case ACT_PROBE:
			break;
		}
	}
	engine_check(w.e);
}

/* To the next deadline, or to `to`. */
static void advance(usec_t to)
{
	usec_t d = engine_deadline(w.e);

	if (d == USEC_NEVER || d > START_US + to)
		w.now = to;
	else if (d > engine_now())
		w.now = d - START_US;
	else
		w.now++; /* a deadline that has passed, with nothing to do */
	pump();
}

enum err world_event_may_fail(struct event *ev)
{
	enum err e = engine_input(w.e, ev, engine_now());

	engine_check(w.e);
	return e;
}

void world_event(struct event *ev, const char *what)
{
	enum err e = world_event_may_fail(ev);

	if (e != ERR_OK)
		fail("%s: the engine refuses it (error %d)", what, e);
}

static bool same_sub(const struct pending *p, const struct script_sub *s)
{
	if (w.config.form == SEGMENT_SEALED)
		return p->local_port == s->local_port && p->remote_port == s->remote_port;
	return p->path == s->path && p->local_port == s->local_port && addr_eq(&p->remote, &s->remote);
}

static int sub_of(const struct pending *p)
{
	for (int i = 0; i < SUBS; i++)
		if (w.subs[i].bound && same_sub(p, &w.subs[i]))
			return i;
	return -1;
}

/* A subflow's name is given to whoever sends the first SYN that has none. */
static bool may_bind(const struct pending *p, const struct script_sub *s)
{
	const uint8_t *b = p->bytes + (w.config.form == SEGMENT_SEALED ? 4 : 0);

	return sub_of(p) < 0 && (b[1] & (TCP_SYN | TCP_ACK)) == TCP_SYN && (!s->path || s->path == p->path);
}

static void bind_to(const struct pending *p, struct script_sub *s)
{
	s->bound = true;
	s->path = p->path;
	s->local_port = p->local_port;
	s->remote_port = p->remote_port;
	s->remote = p->remote;
}

static struct pending *take(unsigned sub)
{
	struct script_sub *s = &w.subs[sub];

	for (unsigned i = 0; i < w.pending_count; i++) {
		struct pending *p = w.pending[i];

		if (s->bound ? !same_sub(p, s) : !may_bind(p, s))
			continue;
		if (!s->bound)
			bind_to(p, s);
		memmove(&w.pending[i], &w.pending[i + 1], (w.pending_count - i - 1) * sizeof *w.pending);
		w.pending_count--;
		return p;
	}
	return NULL;
}

void world_nothing_pending(usec_t before)
{
	for (unsigned i = 0; i < w.pending_count; i++) {
		const struct pending *p = w.pending[i];
		struct seg_line l;
		char *text = NULL;
		size_t size;
		FILE *f;
		int sub;

		if (p->at >= before)
			continue;
		sub = sub_of(p);
		for (unsigned k = 0; sub < 0 && k < SUBS; k++)
			if (!w.subs[k].bound && !w.subs[k].declared)
				sub = (int)k;
		f = open_memstream(&text, &size);
		segment_seen(p, (unsigned)sub, &l);
		segment_print_line(&l, f);
		fclose(f);
		fail("nobody expected: at %.6f %s%u > %s", (double)p->at / 1e6, w.subs[sub].bound ? "s" : "new s", (unsigned)sub + 1, text);
	}
	for (unsigned i = 0; i < w.told_count; i++)
		if (w.told[i].at < before)
			fail("nobody expected: at %.6f tells %s %s", (double)w.told[i].at / 1e6, told_name(w.told[i].kind),
			     w.told[i].kind == ACT_OPENED || w.told[i].kind == ACT_RESET ? open_result_text(w.told[i].why) : "");
}

static usec_t less(usec_t t, usec_t d) { return t > d ? t - d : 0; }

void world_run(usec_t to)
{
	pump();
	while (w.now < to) {
		advance(to);
		world_nothing_pending(less(w.now, w.tolerance));
	}
}

struct pending *world_sent(unsigned sub, usec_t to)
{
	struct pending *p;

	pump();
	while (!(p = take(sub)) && w.now < to)
		advance(to);
	return p;
}

bool world_told(struct told *out, usec_t to)
{
	pump();
	while (!w.told_count && w.now < to)
		advance(to);
	if (!w.told_count)
		return false;
	*out = w.told[0];
	memmove(w.told, w.told + 1, --w.told_count * sizeof *w.told);
	return true;
}

void world_segment(const struct seg_line *l, unsigned sub)
{
	static uint8_t bytes[PAYLOAD_MAX + 80];
	struct script_sub *s = &w.subs[sub];
	struct event ev = { .kind = EV_SEGMENT };
	uint8_t *exact;

	ev.segment.len = segment_bytes(l, sub, bytes, sizeof bytes);
	/* On the heap at its very size, so that ASan sees one byte too far. */
	exact = malloc(ev.segment.len);
	if (!exact)
		abort();
	memcpy(exact, bytes, ev.segment.len);
	ev.segment.bytes = exact;
	ev.segment.path = l->has_path ? l->path : s->path;
	if (w.config.form == SEGMENT_PLAIN) {
		ev.segment.local_port = s->local_port;
		ev.segment.listening = w.server && s->local_port == w.listen_port;
		ev.segment.remote = s->remote;
	}
	(void)world_event_may_fail(&ev); /* what it does not like, it counts */
	free(exact);
	pump();
}
