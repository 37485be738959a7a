/* SPDX-License-Identifier: MIT */
/* What is looked at from outside: fields of a connection, a subflow, the engine; counters. */
#include "tests/script/runner.h"

#include <stdlib.h>
#include <string.h>

static void compare_number(const char *what, uint64_t seen, char *rest)
{
	char *text = word_needed(&rest, "a value"), *end;
	char op = '=';

	checks++;
	if (*text == '<' || *text == '>')
		op = *text++;
	uint64_t want = (uint64_t)strtoll(text, &end, 0);

	if (*end)
		bad_script("not a number: %s", text);
	if (op == '=' ? seen != want : op == '<' ? seen >= want : seen <= want)
		fail("%s is %lld", what, (long long)seen);
}

static void compare_text(const char *what, const char *seen, char *rest)
{
	char *text = word_needed(&rest, "a value");

	checks++;
	if (strcmp(text, seen) != 0)
		fail("%s is %s", what, seen);
}

void check_conn(unsigned conn, char *rest)
{
	char *what = word_needed(&rest, "a field of the connection");
	struct conn_info i;
	const struct script_conn *c = &w.conns[conn];
	enum err e = engine_conn_info(w.e, c->id, &i);

	if (!strcmp(what, "gone")) {
		checks++;
		if (e == ERR_OK)
			fail("the connection is in %s", i.state);
		return;
	}
	if (e != ERR_OK)
		fail("there is no such connection any more");
	if (!strcmp(what, "state"))
		compare_text(what, i.state, rest);
	else if (!strcmp(what, "subflows"))
		compare_number(what, i.subflow_count, rest);
	else if (!strcmp(what, "snd_una"))
		compare_number(what, i.snd_una - c->our_idsn.v, rest);
	else if (!strcmp(what, "snd_nxt"))
		compare_number(what, i.snd_nxt - c->our_idsn.v, rest);
	else if (!strcmp(what, "rcv_nxt"))
		compare_number(what, i.rcv_nxt - c->peer_idsn.v, rest);
	else if (!strcmp(what, "snd_wnd"))
		compare_number(what, i.snd_wnd, rest);
	else if (!strcmp(what, "rcv_wnd"))
		compare_number(what, i.rcv_wnd, rest);
	else if (!strcmp(what, "checksum"))
		compare_number(what, i.checksum, rest);
	else if (!strcmp(what, "reinjected_bytes"))
		compare_number(what, i.reinjected_bytes, rest);
	else if (!strcmp(what, "snd_buffer"))
		compare_number(what, i.snd_buffer, rest);
	else if (!strcmp(what, "fallback"))
		compare_number(what, i.fallback, rest);
	else if (!strcmp(what, "user_timeout_ms"))
		compare_number(what, i.user_timeout_ms, rest);
	else if (!strcmp(what, "token"))
		compare_number(what, i.token == c->our_token, rest);
	else
		bad_script("a connection has no \"%s\"", what);
}

static bool sub_info(unsigned sub, struct subflow_info *out)
{
	const struct script_sub *s = &w.subs[sub];

	for (uint32_t n = 0; engine_subflow_info(w.e, w.conns[s->conn].id, n, out) == ERR_OK; n++)
		if (s->bound && out->local_port == s->local_port && out->remote_port == s->remote_port &&
		    (w.config.form == SEGMENT_SEALED || (out->path == s->path && addr_same_ip(&out->remote, &s->remote))))
			return true;
	return false;
}

void check_sub(unsigned sub, char *rest)
{
	char *what = word_needed(&rest, "a field of the subflow");
	struct subflow_info i;
	bool there = sub_info(sub, &i);
	char text[ADDR_TEXT_MAX];

	if (!strcmp(what, "gone")) {
		checks++;
		if (there)
			fail("s%u is in %s", sub + 1, i.state);
		return;
	}
	if (!there)
		fail("there is no s%u", sub + 1);
	if (!strcmp(what, "state"))
		compare_text(what, i.state, rest);
	else if (!strcmp(what, "mode"))
		compare_text(what, i.mode, rest);
	else if (!strcmp(what, "backup"))
		compare_number(what, i.backup, rest);
	else if (!strcmp(what, "stale"))
		compare_number(what, i.stale, rest);
	else if (!strcmp(what, "uperf_timeout_ms"))
		compare_number(what, i.uperf_timeout_ms, rest);
	else if (!strcmp(what, "uperf_cause"))
		compare_text(what, i.uperf_cause, rest);
	else if (!strcmp(what, "rto_ms"))
		compare_number(what, i.rto_ms, rest);
	else if (!strcmp(what, "srtt_ms"))
		compare_number(what, (uint64_t)i.srtt_ms, rest);
	else if (!strcmp(what, "cwnd"))
		compare_number(what, i.cwnd, rest);
	else if (!strcmp(what, "in_flight"))
		compare_number(what, i.in_flight, rest);
	else if (!strcmp(what, "local_id"))
		compare_number(what, i.local_addr_id, rest);
	else if (!strcmp(what, "remote_id"))
		compare_number(what, i.remote_addr_id, rest);
	else if (!strcmp(what, "retransmitted"))
		compare_number(what, i.retransmitted_segments, rest);
	else if (!strcmp(what, "path"))
		compare_number(what, i.path, rest);
	else if (!strcmp(what, "remote"))
		compare_text(what, addr_print(&i.remote, text), rest);
	else if (!strcmp(what, "local"))
		compare_text(what, addr_print(&i.local, text), rest);
	else
		bad_script("a subflow has no \"%s\"", what);
}

void check_engine(char *rest)
{
	char *what = word_needed(&rest, "connections, subflows or memory");
	struct engine_stats s;

	engine_stats(w.e, &s);
	if (!strcmp(what, "connections"))
		compare_number(what, s.connections, rest);
	else if (!strcmp(what, "subflows"))
		compare_number(what, s.subflows, rest);
	else if (!strcmp(what, "memory"))
		compare_number(what, s.memory_used, rest);
	else
		bad_script("the engine has no \"%s\"", what);
}

void check_counter(char *rest)
{
	char *what = word_needed(&rest, "a counter");

	for (unsigned i = 0; i < CNT_MAX; i++)
		if (!strcmp(counter_names[i], what)) {
			compare_number(what, w.counters.v[i], rest);
			return;
		}
	bad_script("no counter is named %s", what);
}
