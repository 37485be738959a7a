/* SPDX-License-Identifier: MIT */
/* What the application and the host do, and what they are told. */
#include "tests/script/runner.h"

#include <stdlib.h>
#include <string.h>

void call_connect(unsigned conn, char *rest)
{
	struct script_conn *c = &w.conns[conn];
	struct event ev = { .kind = EV_CONNECT, .connect = { .host = conn } };
	char *to = word(&rest);

	if (to && !strcmp(to, "fails")) {
		to = word(&rest);
		ev.connect.destination = address(to ? to : "198.51.100.1:80");
		if (world_event_may_fail(&ev) == ERR_OK)
			fail("connect did not fail");
		checks++;
		return;
	}
	ev.connect.destination = to ? address(to) : address(w.path_family == 6 ? "[2001:db8:9::1]:80" : "198.51.100.1:80");
	world_event(&ev, "connect");
	c->used = c->client = true;
	c->id = ev.connect.conn;
}

static void carried_read(struct carried_options *o, uint32_t *uto, char *rest)
{
	char *what;

	while ((what = word(&rest))) {
		int64_t n = number_needed(&rest, what);

		if (!strcmp(what, "idle"))
			o->keep_idle_s = (uint16_t)n;
		else if (!strcmp(what, "interval"))
			o->keep_interval_s = (uint16_t)n;
		else if (!strcmp(what, "count"))
			o->keep_count = (uint8_t)n;
		else if (!strcmp(what, "tos"))
			o->tos = (uint8_t)n;
		else if (uto && !strcmp(what, "user_timeout"))
			*uto = (uint32_t)n;
		else
			bad_script("a socket has no option \"%s\"", what);
	}
}

void call_options(unsigned conn, char *rest)
{
	struct event ev = { .kind = EV_OPTIONS, .options = { .conn = w.conns[conn].id } };

	carried_read(&ev.options.carried, &ev.options.user_timeout_ms, rest);
	world_event(&ev, "options");
}

void call_write(unsigned conn, char *rest)
{
	struct script_conn *c = &w.conns[conn];
	size_t len = (size_t)number_needed(&rest, "how many bytes");
	char *takes = word(&rest);
	uint8_t *bytes = malloc(len ? len : 1);
	struct event ev = { .kind = EV_WRITE, .write = { .conn = c->id, .bytes = bytes, .len = len } };
	enum err e;

	if (!bytes)
		abort();
	for (size_t i = 0; i < len; i++)
		bytes[i] = stream_byte(true, conn, c->write_at + i);
	e = world_event_may_fail(&ev);
	free(bytes);
	if (takes && !strcmp(takes, "fails")) {
		checks++;
		if (e == ERR_OK)
			fail("the write did not fail");
		return;
	}
	if (takes && !strcmp(takes, "takes")) {
		checks++;
		len = (size_t)number_needed(&rest, "how many it takes");
	}
	if (e != ERR_OK || ev.write.taken != len)
		fail("the write takes %zu bytes (error %d)", ev.write.taken, e);
	c->write_at += len;
}

void call_read(unsigned conn, char *rest)
{
	struct script_conn *c = &w.conns[conn];
	size_t want = (size_t)number_needed(&rest, "how many bytes"), got = 0, n;
	const uint8_t *bytes;

	checks++;
	do {
		struct event ev = { .kind = EV_CONSUMED, .consumed = { .conn = c->id } };

		n = engine_readable(w.e, c->id, &bytes);
		if (n > want - got)
			n = want - got;
		for (size_t i = 0; i < n; i++)
			if (bytes[i] != stream_byte(false, conn, c->read_at + i))
				fail("the byte at %llu is not the one that was sent", (unsigned long long)(c->read_at + i));
		got += n;
		c->read_at += n;
		ev.consumed.len = n;
		world_event(&ev, "read");
	} while (n && got < want);
	if (got < want)
		fail("only %zu bytes are there to be read", got);
}

void call_readable(unsigned conn, char *rest)
{
	const uint8_t *bytes;
	size_t n = engine_readable(w.e, w.conns[conn].id, &bytes);

	checks++;
	if (n != (size_t)number_needed(&rest, "how many bytes"))
		fail("%zu bytes are readable", n);
}

void call_path(char *rest)
{
	unsigned p = (unsigned)number_needed(&rest, "which path");
	struct event ev = {
		.kind = EV_PATH,
		.path = {
			.path = p, .state = PATH_UP, .may_initiate = !w.server, .addr_id = (uint8_t)p, .mtu_payload = w.mtu,
			.local = path_address(p), .announce = w.announce, .no_joins = w.no_joins && p == 1, .name = "path",
		},
	};
	char *what;

	while ((what = word(&rest))) {
		if (!strcmp(what, "down"))
			ev.path.state = PATH_DOWN;
		else if (!strcmp(what, "suspect"))
			ev.path.state = PATH_SUSPECT;
		else if (!strcmp(what, "up"))
			ev.path.state = PATH_UP;
		else if (!strcmp(what, "gone"))
			ev.path.gone = true, ev.path.state = PATH_DOWN;
		else if (!strcmp(what, "backup"))
			ev.path.backup = true;
		else if (!strcmp(what, "uperf")) /* the peer understands it */
			ev.path.peer_uperf = true;
		else if (!strcmp(what, "carried"))
			ev.path.peer_carried = true;
		else if (!strcmp(what, "long_prio"))
			ev.path.peer_long_prio = true;
		else if (!strcmp(what, "passive"))
			ev.path.may_initiate = false;
		else if (!strcmp(what, "service"))
			ev.path.service = (uint8_t)number_needed(&rest, "service");
		else if (!strcmp(what, "id"))
			ev.path.addr_id = (uint8_t)number_needed(&rest, "id");
		else if (!strcmp(what, "mtu"))
			ev.path.mtu_payload = (uint16_t)number_needed(&rest, "mtu");
		else if (!strcmp(what, "rtt"))
			ev.path.rtt_us = (usec_t)number_needed(&rest, "microseconds");
		else
			bad_script("a path has no \"%s\"", what);
	}
	world_event(&ev, "path");
}

void call_fault(char *rest)
{
	static uint64_t faults; /* each a fault of its own */
	struct event ev = { .kind = EV_FAULT, .fault = { .id = ++faults } };
	char *what;

	while ((what = word(&rest))) {
		if (!strcmp(what, "path"))
			ev.fault.path = (path_id)number_needed(&rest, "path");
		else if (!strcmp(what, "cause"))
			ev.fault.cause = (uint8_t)number_needed(&rest, "cause");
		else if (!strcmp(what, "transient"))
			ev.fault.transient = true;
		else if (!strcmp(what, "middlebox"))
			ev.fault.middlebox = address(word_needed(&rest, "middlebox"));
		else if (!strcmp(what, "remote"))
			ev.fault.remote = address(word_needed(&rest, "remote"));
		else
			bad_script("a fault has no \"%s\"", what);
	}
	world_event(&ev, "fault");
}

void expect_told(unsigned conn, struct when when, char *rest)
{
	char *what = word_needed(&rest, "what is told"), *more = !strcmp(what, "options") ? NULL : word(&rest);
	struct told t;
	usec_t late = usec_add(when.to, when.any ? WAIT_MAX_US : w.tolerance);

	checks++;
	if (!strcmp(what, "room")) {
		world_run(when.to);
		if (!w.room_told[conn])
			fail("room is not told");
		w.room_told[conn] = false;
		return;
	}
	if (!world_told(&t, late))
		fail("nothing is told until %.6f", (double)late / 1e6);
	if (t.conn != conn || strcmp(told_name(t.kind), what) != 0)
		fail("c%u tells %s (%s)", t.conn + 1, told_name(t.kind), open_result_text(t.why));
	if ((t.kind == ACT_OPENED || t.kind == ACT_RESET) && t.why != result_of(more ? more : t.kind == ACT_OPENED ? "ok" : "connection_reset"))
		fail("c%u tells %s with the result %s", conn + 1, what, result_words[t.why]);
	if (t.kind == ACT_OPTIONS) {
		struct carried_options want = { 0 };

		carried_read(&want, NULL, rest);
		if (!carried_options_same(&want, &t.options))
			fail("they are: idle %u interval %u count %u tos %u", t.options.keep_idle_s, t.options.keep_interval_s,
			     t.options.keep_count, t.options.tos);
	}
	if (t.kind == ACT_DIAL && more) {
		struct addr to = address(more);
		char text[ADDR_TEXT_MAX];

		if (!addr_eq(&to, &t.destination))
			fail("it dials %s", addr_print(&t.destination, text));
	}
	if (!when.any && t.at + w.tolerance < when.from)
		fail("it was told at %.6f already", (double)t.at / 1e6);
	base = when.any || when.from != when.to ? t.at : when.to;
}

void tell_engine(enum event_kind kind, unsigned conn, const char *what)
{
	struct event ev = { .kind = kind, .conn = w.conns[conn].id };

	world_event(&ev, what);
}

void call_dialled(unsigned conn, char *rest)
{
	char *result = word(&rest);
	struct event ev = {
		.kind = EV_DIALLED,
		.dialled = { .conn = w.conns[conn].id, .host = conn, .result = result ? result_of(result) : OPEN_OK },
	};

	world_event(&ev, "dialled");
}
