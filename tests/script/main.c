/* SPDX-License-Identifier: MIT */
#include "tests/script/script.h"

#include <libgen.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct place here;

enum { OK = 0, FAILED = 1, KNOWN_BUG = 3, WAIT_MAX_US = 60 * 1000 * 1000, SECONDS_MAX = 20 };

static bool bug_expected;     /* the line we are on, or the next one, is marked expect-bug */
static char bug_reason[128];
static unsigned rfc_lines, checks;
static usec_t base;           /* the script's time: that of the line before */
static char *line_text;       /* as it stands in the file */

/* --- verdicts --- */

static void say(const char *format, va_list args)
{
	fprintf(stderr, "%s:%u: ", here.file, here.line);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

void bad_script(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "in the script itself: ");
	say(format, args);
	va_end(args);
	_exit(FAILED);
}

static void also_sent(void)
{
	for (unsigned i = 0; i < w.pending_count; i++) {
		const struct pending *p = w.pending[i];
		struct seg_line l;
		unsigned sub = 0;

		while (sub < SUBS - 1 && (!w.subs[sub].bound || w.subs[sub].local_port != p->local_port ||
					  w.subs[sub].remote_port != p->remote_port || w.subs[sub].path != p->path))
			sub++;
		segment_seen(p, sub, &l);
		fprintf(stderr, "\talso sent:   at %.6f s%u > ", (double)p->at / 1e6, sub + 1);
		segment_print_line(&l, stderr);
		fputc('\n', stderr);
	}
	for (unsigned i = 0; i < w.told_count; i++)
		fprintf(stderr, "\talso told:   at %.6f c%u tells %s (%s)\n", (double)w.told[i].at / 1e6, w.told[i].conn + 1,
			told_name(w.told[i].kind), open_result_text(w.told[i].why));
}

void fail(const char *format, ...)
{
	static bool again;
	va_list args;

	if (bug_expected) {
		printf("known bug: %s:%u: %s\n", here.file, here.line, bug_reason);
		fflush(stdout);
		_exit(KNOWN_BUG);
	}
	va_start(args, format);
	say(format, args);
	va_end(args);
	if (line_text)
		fprintf(stderr, "\tthe line:    %s\n", line_text);
	if (!again) {
		again = true;
		also_sent();
	}
	_exit(FAILED);
}

/* --- words --- */

static char *word(char **at)
{
	char *p = *at + strspn(*at, " \t"), *end = p + strcspn(p, " \t");

	if (!*p)
		return NULL;
	*at = *end ? end + 1 : end;
	*end = 0;
	return p;
}

static char *word_needed(char **at, const char *what)
{
	char *p = word(at);

	if (!p)
		bad_script("%s is missing", what);
	return p;
}

static int64_t number(const char *text)
{
	char *end;
	long long v = strtoll(text, &end, 0);

	if (end == text || *end)
		bad_script("not a number: %s", text);
	return v;
}

static int64_t number_needed(char **at, const char *what) { return number(word_needed(at, what)); }

static struct addr address(const char *text)
{
	struct addr a;

	if (addr_parse(&a, text) != ERR_OK)
		bad_script("not an address: %s", text);
	return a;
}

static bool on(const char *text)
{
	if (strcmp(text, "on") && strcmp(text, "off"))
		bad_script("on or off, not %s", text);
	return !strcmp(text, "on");
}

static usec_t seconds(const char *text, char **end)
{
	double v = strtod(text, end);

	if (*end == text || v < 0)
		bad_script("not a time: %s", text);
	return (usec_t)(v * 1e6 + 0.5);
}

static const char *const result_words[] = {
	[OPEN_OK] = "ok", [OPEN_REFUSED] = "refused", [OPEN_TIMED_OUT] = "timed_out", [OPEN_NET_UNREACHABLE] = "net_unreachable",
	[OPEN_HOST_UNREACHABLE] = "host_unreachable", [OPEN_PROHIBITED] = "prohibited", [OPEN_NO_RESOURCES] = "no_resources",
	[OPEN_NO_PATH] = "no_path", [OPEN_PROTOCOL_ERROR] = "protocol_error", [OPEN_RESET] = "connection_reset",
	[OPEN_PORT_UNREACHABLE] = "port_unreachable",
};

static enum open_result result_of(const char *text)
{
	for (unsigned i = 0; i < sizeof result_words / sizeof *result_words; i++)
		if (!strcmp(result_words[i], text))
			return (enum open_result)i;
	bad_script("no result is named %s", text);
}

/* --- set --- */

static void set(char *rest)
{
	char *what = word_needed(&rest, "what to set"), *to = word_needed(&rest, "its value"), *end;

	if (w.e)
		bad_script("set after the start");
	if (!strcmp(what, "form"))
		w.config.form = !strcmp(to, "sealed") ? SEGMENT_SEALED : SEGMENT_PLAIN;
	else if (!strcmp(what, "role"))
		w.server = !strcmp(to, "server");
	else if (!strcmp(what, "checksum"))
		w.config.checksum = on(to);
	else if (!strcmp(what, "fastclose"))
		w.config.fastclose = !strcmp(to, "ack") ? FASTCLOSE_ACK : FASTCLOSE_RST;
	else if (!strcmp(what, "paths"))
		w.paths = (unsigned)number(to);
	else if (!strcmp(what, "mtu"))
		w.mtu = (uint16_t)number(to);
	else if (!strcmp(what, "tolerance"))
		w.tolerance = seconds(to, &end);
	else if (!strcmp(what, "subflows"))
		w.config.subflows_max = (uint32_t)number(to);
	else if (!strcmp(what, "connections"))
		w.config.connections_max = (uint32_t)number(to);
	else if (!strcmp(what, "iss"))
		w.peer_iss = (uint32_t)strtoul(to, NULL, 0);
	else if (!strcmp(what, "seed"))
		w.seed = strtoull(to, NULL, 0);
	else if (!strcmp(what, "key"))
		w.peer_key = strtoull(to, NULL, 0);
	else if (!strcmp(what, "read"))
		w.auto_read = !strcmp(to, "auto");
	else if (!strcmp(what, "announce"))
		w.announce = on(to);
	else if (!strcmp(what, "no_joins"))
		w.no_joins = on(to);
	else if (!strcmp(what, "family"))
		w.path_family = (uint8_t)number(to);
	else if (!strcmp(what, "memory"))
		w.config.memory_max = (uint64_t)number(to);
	else if (!strcmp(what, "congestion"))
		w.config.congestion = strdup(to);
	else if (!strcmp(what, "scheduler"))
		w.config.scheduler = strdup(to);
	else if (!strcmp(what, "facts"))
		w.config.facts = (uint32_t)number(to);
	else if (!strcmp(what, "uperf_timeout_ms"))
		w.config.uperf_timeout_ms = (uint32_t)number(to);
	else if (!strcmp(what, "uperf_l_limit_ms"))
		w.config.uperf_l_limit_ms = (uint32_t)number(to);
	else if (!strcmp(what, "uperf_u_limit_ms"))
		w.config.uperf_u_limit_ms = (uint32_t)number(to);
	else if (!strcmp(what, "user_timeout_ms"))
		w.config.user_timeout_ms = (uint32_t)number(to);
	else if (!strcmp(what, "connect_timeout"))
		w.config.connect_timeout_us = seconds(to, &end);
	else if (!strcmp(what, "dead_timeout"))
		w.config.dead_timeout_us = seconds(to, &end);
	else if (!strcmp(what, "keepalive"))
		w.config.keepalive_us = seconds(to, &end);
	else if (!strcmp(what, "close_timeout"))
		w.config.close_timeout_us = seconds(to, &end);
	else
		bad_script("nothing is named %s", what);
}

/* sN path P remote A local PORT conn N: how the subflow that the peer opens is addressed. */
static void declare_sub(unsigned sub, char *rest)
{
	struct script_sub *s = &w.subs[sub];
	char *what;

	s->declared = true;
	while ((what = word(&rest))) {
		if (!strcmp(what, "path"))
			s->path = (path_id)number_needed(&rest, "path");
		else if (!strcmp(what, "remote"))
			s->remote = address(word_needed(&rest, "remote"));
		else if (!strcmp(what, "local"))
			s->local_port = (uint16_t)number_needed(&rest, "local port");
		else if (!strcmp(what, "port"))
			s->remote_port = (uint16_t)number_needed(&rest, "port");
		else if (!strcmp(what, "conn"))
			s->conn = (unsigned)number_needed(&rest, "conn") - 1;
		else
			bad_script("a subflow has no \"%s\"", what);
	}
	if (s->conn >= CONNS)
		bad_script("connections are 1 to %d", CONNS);
}

/* A subflow the peer begins: whatever the script has not declared is as usual. */
static void sub_of_peer(unsigned sub)
{
	struct script_sub *s = &w.subs[sub];

	if (s->bound)
		return;
	if (!s->path)
		s->path = 1;
	if (!s->local_port)
		s->local_port = w.listen_port;
	if (!s->remote_port)
		s->remote_port = (uint16_t)(40001 + sub);
	if (!s->remote.family) {
		s->remote = path_address(s->path);
		s->remote.ip[s->remote.family == 6 ? 15 : 3] = 99;
	}
	if (!s->remote.port)
		s->remote.port = s->remote_port;
	s->remote_port = s->remote.port;
	s->bound = true;
}

/* --- segments --- */

static uint8_t flags_of(struct seg_line *l, const char *text)
{
	uint8_t flags = 0;

	for (; *text; text++)
		switch (*text) {
		case 'S': flags |= TCP_SYN; break;
		case 'F': flags |= TCP_FIN; break;
		case 'R': flags |= TCP_RST; break;
		case 'P': flags |= TCP_PSH; l->push_given = true; break;
		case 'E': flags |= TCP_ECE; break;
		case 'W': flags |= TCP_CWR; break;
		case 'U': flags |= TCP_URG; break;
		case '.': flags |= TCP_ACK; break;
		case '-': break;
		default: bad_script("no flag is %c", *text);
		}
	return flags;
}

static void convert_read(struct seg_line *l, char **rest)
{
	char *what = word_needed(rest, "ask, ok, fail or raw");

	if (!strcmp(what, "ask")) {
		l->convert = CONVERT_ASK;
		l->destination = address(word_needed(rest, "destination"));
	} else if (!strcmp(what, "ok")) {
		l->convert = CONVERT_OK;
	} else if (!strcmp(what, "fail")) {
		l->convert = CONVERT_FAIL;
		l->convert_code = (uint8_t)number_needed(rest, "code");
	} else {
		char *hex = word_needed(rest, "hex");

		l->convert = CONVERT_RAW;
		for (; hex[0] && hex[1] && l->raw_len < sizeof l->raw; hex += 2) {
			char two[3] = { hex[0], hex[1], 0 };

			l->raw[l->raw_len++] = (uint8_t)strtoul(two, NULL, 16);
		}
	}
}

static void segment_read(struct seg_line *l, char *rest)
{
	char *open = strchr(rest, '<'), *close = open ? strchr(open, '>') : NULL, *p, *what;
	long long seq, end;

	*l = (struct seg_line){ 0 };
	if (open) {
		if (!close)
			bad_script("< without >");
		*open = *close = 0;
		options_read(&l->options, open + 1);
		/* what stands behind the options is read as if it stood before them */
		*open = ' ';
		memmove(open + 1, close + 1, strlen(close + 1) + 1);
	}
	l->flags = flags_of(l, word_needed(&rest, "flags"));
	p = word_needed(&rest, "sequence numbers");
	seq = strtoll(p, &p, 10);
	if (*p != ':')
		bad_script("sequence numbers are START:END(LENGTH)");
	end = strtoll(p + 1, &p, 10);
	if (*p != '(')
		bad_script("sequence numbers are START:END(LENGTH)");
	l->len = (uint32_t)strtoul(p + 1, NULL, 10);
	l->seq = seq;
	if (end - seq != l->len)
		bad_script("%lld:%lld are not %u bytes", seq, end, l->len);
	if (l->len > PAYLOAD_MAX)
		bad_script("more than %d bytes", PAYLOAD_MAX);
	while ((what = word(&rest))) {
		if (!strcmp(what, "ack")) {
			l->has_ack = true;
			l->ack = number_needed(&rest, "ack");
		} else if (!strcmp(what, "win")) {
			l->has_win = true;
			l->win = (uint32_t)number_needed(&rest, "win");
		} else if (!strcmp(what, "path")) {
			l->has_path = true;
			l->path = (uint32_t)number_needed(&rest, "path");
		} else if (!strcmp(what, "fill")) {
			l->fill_bad = !strcmp(word_needed(&rest, "bad"), "bad");
		} else if (!strcmp(what, "convert")) {
			convert_read(l, &rest);
		} else {
			bad_script("a segment has no \"%s\"", what);
		}
	}
}

static const char *segment_differs(const struct seg_line *want, const struct seg_line *seen)
{
	uint8_t ignore = want->push_given ? 0 : TCP_PSH;

	if ((want->flags | ignore) != (seen->flags | ignore))
		return "flags";
	if (want->seq != seen->seq)
		return "sequence number";
	if (want->len != seen->len)
		return "length";
	if (want->has_ack && want->ack != seen->ack)
		return "ack";
	if (want->has_win && want->win != seen->win)
		return "win";
	if (want->has_path && want->path != seen->path)
		return "path";
	return want->options.given ? options_differ(&want->options, &seen->options) : NULL;
}

struct when { bool any; usec_t from, to; }; /* absolute */

static void expect_segment(unsigned sub, struct when when, char *rest)
{
	struct seg_line want, seen;
	struct pending *p;
	const char *why, *payload;
	usec_t late = usec_add(when.to, when.any ? WAIT_MAX_US : w.tolerance);

	checks++;
	segment_read(&want, rest);
	p = world_sent(sub, late);
	if (!p) {
		world_nothing_pending(USEC_NEVER);
		fail("s%u sends nothing until %.6f", sub + 1, (double)late / 1e6);
	}
	payload = segment_seen(p, sub, &seen);
	why = segment_differs(&want, &seen);
	if (!why)
		why = payload;
	if (!why && !when.any && p->at + w.tolerance < when.from)
		why = "time: too early";
	if (why) {
		char *text = NULL;
		size_t size;
		FILE *f = open_memstream(&text, &size);

		segment_print_line(&seen, f);
		fclose(f);
		fail("s%u sends another segment: %s\n\tseen:        at %.6f %s", sub + 1, why, (double)p->at / 1e6, text);
	}
	base = when.any || when.from != when.to ? p->at : when.to;
	free(p);
}

static void give_segment(unsigned sub, char *rest)
{
	struct seg_line l;

	segment_read(&l, rest);
	sub_of_peer(sub);
	world_segment(&l, sub);
}

/* --- the application --- */

static void call_connect(unsigned conn, char *rest)
{
	struct script_conn *c = &w.conns[conn];
	struct event ev = { .kind = EV_CONNECT, .connect = { .host = conn } };
	char *to = word(&rest);

	if (to && !strcmp(to, "fails")) {
		ev.connect.destination = address("198.51.100.1:80");
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

static void call_write(unsigned conn, char *rest)
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

static void call_read(unsigned conn, char *rest)
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

static void call_readable(unsigned conn, char *rest)
{
	const uint8_t *bytes;
	size_t n = engine_readable(w.e, w.conns[conn].id, &bytes);

	checks++;
	if (n != (size_t)number_needed(&rest, "how many bytes"))
		fail("%zu bytes are readable", n);
}

static void call_path(char *rest)
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

static void call_fault(char *rest)
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

static void expect_told(unsigned conn, struct when when, char *rest)
{
	char *what = word_needed(&rest, "what is told"), *more = word(&rest);
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

static void check_conn(unsigned conn, char *rest)
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

static void check_sub(unsigned sub, char *rest)
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

static void check_engine(char *rest)
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

static void check_counter(char *rest)
{
	char *what = word_needed(&rest, "a counter");

	for (unsigned i = 0; i < CNT_MAX; i++)
		if (!strcmp(counter_names[i], what)) {
			compare_number(what, w.counters.v[i], rest);
			return;
		}
	bad_script("no counter is named %s", what);
}

static void tell_engine(enum event_kind kind, unsigned conn, const char *what)
{
	struct event ev = { .kind = kind, .conn = w.conns[conn].id };

	world_event(&ev, what);
}

static void call_dialled(unsigned conn, char *rest)
{
	char *result = word(&rest);
	struct event ev = {
		.kind = EV_DIALLED,
		.dialled = { .conn = w.conns[conn].id, .host = conn, .result = result ? result_of(result) : OPEN_OK },
	};

	world_event(&ev, "dialled");
}

/* --- lines --- */

static void command(unsigned conn, unsigned sub, struct when when, char *what, char *rest)
{
	if (!strcmp(what, "connect"))
		call_connect(conn, rest);
	else if (!strcmp(what, "dialled"))
		call_dialled(conn, rest);
	else if (!strcmp(what, "write"))
		call_write(conn, rest);
	else if (!strcmp(what, "read"))
		call_read(conn, rest);
	else if (!strcmp(what, "readable"))
		call_readable(conn, rest);
	else if (!strcmp(what, "shutdown"))
		tell_engine(EV_SHUTDOWN, conn, what);
	else if (!strcmp(what, "abort"))
		tell_engine(EV_ABORT, conn, what);
	else if (!strcmp(what, "path"))
		call_path(rest);
	else if (!strcmp(what, "fault"))
		call_fault(rest);
	else if (!strcmp(what, "conn"))
		check_conn(conn, rest);
	else if (!strcmp(what, "sub"))
		check_sub(sub, rest);
	else if (!strcmp(what, "engine"))
		check_engine(rest);
	else if (!strcmp(what, "counter"))
		check_counter(rest);
	else if (!strcmp(what, "quiet"))
		checks++, world_nothing_pending(USEC_NEVER);
	else
		bad_script("nothing is named \"%s\"", what);
	(void)when;
}

/* "+0.2", "+0.2~0.3", "*": when, from the line before. */
static struct when time_read(char **rest)
{
	struct when t = { .from = base, .to = base };
	char *p = *rest, *end;

	if (*p == '*') {
		t.any = true;
		*rest = p + 1;
	} else if (*p == '+') {
		t.from = t.to = base + seconds(p + 1, &end);
		if (*end == '~')
			t.to = base + seconds(end + 1, &end);
		*rest = end;
	}
	*rest += strspn(*rest, " \t");
	return t;
}

static void run_file(const char *path, bool included);

static void timed_line(char *text)
{
	struct when when = time_read(&text);
	unsigned conn = 0, sub = 0;
	char *what = word_needed(&text, "what happens");

	while ((what[0] == 's' || what[0] == 'c') && what[1] >= '1' && what[1] <= '9') {
		unsigned n = (unsigned)number(what + 1) - 1;

		if (n >= (what[0] == 's' ? SUBS : CONNS))
			bad_script("no such: %s", what);
		*(what[0] == 's' ? &sub : &conn) = n;
		what = word_needed(&text, "what happens");
	}
	if (!strcmp(what, ">")) {
		expect_segment(sub, when, text);
		return;
	}
	if (!strcmp(what, "tells")) {
		expect_told(conn, when, text);
		return;
	}
	if (!strcmp(what, "is")) {
		declare_sub(sub, text);
		return;
	}
	if (when.any || when.from != when.to)
		bad_script("only what is expected can have a time that is not certain");
	world_run(when.to);
	base = when.to;
	world_nothing_pending(base > w.tolerance ? base - w.tolerance : 0);
	if (!strcmp(what, "<"))
		give_segment(sub, text);
	else
		command(conn, sub, when, what, text);
}

static void one_line(char *text)
{
	char original[LINE_LENGTH_MAX], *comment = strstr(text, "//");
	bool was_bug = bug_expected;

	if (comment)
		*comment = 0;
	for (size_t n = strlen(text); n && strchr(" \t\n", text[n - 1]); n--)
		text[n - 1] = 0;
	text += strspn(text, " \t");
	if (!*text)
		return;
	snprintf(original, sizeof original, "%s", text);
	line_text = original;
	if (!strncmp(text, "rfc ", 4)) {
		rfc_lines++;
		return;
	}
	if (!strncmp(text, "set ", 4)) {
		set(text + 4);
		return;
	}
	if (!strncmp(text, "include ", 8)) {
		char path[512], dir[256];

		snprintf(dir, sizeof dir, "%s", here.file);
		snprintf(path, sizeof path, "%s/%s", dirname(dir), text + 8);
		run_file(path, true);
		return;
	}
	if (!strncmp(text, "expect-bug", 10)) {
		bug_expected = true;
		snprintf(bug_reason, sizeof bug_reason, "%s", text + 10 + strspn(text + 10, " "));
		return;
	}
	if (!w.e)
		world_start();
	timed_line(text);
	if (was_bug) {
		bug_expected = false;
		fail("this was marked as a known bug, and it works now: take the expect-bug line out");
	}
}

static void run_file(const char *path, bool included)
{
	struct place before = here;
	char text[LINE_LENGTH_MAX];
	FILE *f = fopen(path, "r");

	if (!f) {
		if (included)
			bad_script("%s cannot be opened", path);
		perror(path);
		_exit(FAILED);
	}
	here = (struct place){ .file = path };
	while (fgets(text, sizeof text, f)) {
		here.line++;
		if (!strchr(text, '\n') && !feof(f))
			bad_script("the line is too long");
		one_line(text);
	}
	fclose(f);
	if (!included) {
		line_text = NULL;
		if (w.e) {
			world_run(w.now);
			world_nothing_pending(USEC_NEVER);
		}
		if (!checks)
			bad_script("it expects nothing");
		if (!rfc_lines)
			bad_script("it does not say which section it holds (\"rfc 8684 3.1\")");
		if (bug_expected)
			bad_script("expect-bug without a line after it");
		world_end();
	} else {
		here = before;
	}
}

static int run_script(const char *path)
{
	alarm(SECONDS_MAX);
	w = (struct world){
		.tolerance = 4000, .paths = 1, .mtu = 1472, .path_family = 4, .peer_iss = 0x11000000, .seed = 1, .listen_port = 80,
		.peer_key = UINT64_C(0x0102030405060708),
		.config = { .connections_max = 16, .paths_max = 16, .form = SEGMENT_PLAIN },
	};
	run_file(path, false);
	return OK;
}

/* A script of self/ begins with "// fails at LINE: TEXT": it must, with that text in the message. */
static bool fails_as_said(const char *path, const char *out)
{
	char first[256], wanted[512], *text;
	FILE *f = fopen(path, "r");
	unsigned line;
	int at = 0;

	if (!f || !fgets(first, sizeof first, f) || sscanf(first, "// fails at %u: %n", &line, &at) != 1 || !at) {
		fprintf(stderr, "%s: its first line does not say how it fails\n", path);
		return false;
	}
	fclose(f);
	text = first + at;
	text[strcspn(text, "\n")] = 0;
	snprintf(wanted, sizeof wanted, "%s:%u: ", path, line);
	if (strstr(out, wanted) && strstr(strstr(out, wanted), text))
		return true;
	fprintf(stderr, "%s: should fail at line %u with \"%s\", but says:\n%s\n", path, line, text, out);
	return false;
}

int main(int argc, char **argv)
{
	unsigned passed = 0, failed = 0, known = 0;
	bool self = false;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		int status, pipe_fd[2];
		char out[8192] = "";
		pid_t pid;

		if (!strcmp(argv[i], "--self")) {
			self = true;
			continue;
		}
		if (pipe(pipe_fd))
			return 2;
		pid = fork();
		if (pid < 0)
			return 2;
		if (!pid) {
			if (self)
				dup2(pipe_fd[1], 2);
			close(pipe_fd[0]);
			close(pipe_fd[1]);
			exit(run_script(argv[i]));
		}
		close(pipe_fd[1]);
		for (size_t at = 0; self && at < sizeof out - 1;) {
			ssize_t n = read(pipe_fd[0], out + at, sizeof out - 1 - at);

			if (n <= 0)
				break;
			at += (size_t)n;
		}
		close(pipe_fd[0]);
		waitpid(pid, &status, 0);
		if (WIFSIGNALED(status))
			fprintf(stderr, "%s: ended by signal %d\n", argv[i], WTERMSIG(status));
		if (self && WIFEXITED(status) && WEXITSTATUS(status) == FAILED && fails_as_said(argv[i], out))
			passed++;
		else if (!self && WIFEXITED(status) && WEXITSTATUS(status) == OK)
			passed++;
		else if (!self && WIFEXITED(status) && WEXITSTATUS(status) == KNOWN_BUG)
			known++;
		else
			failed++;
		if (self && WIFEXITED(status) && WEXITSTATUS(status) != FAILED)
			fprintf(stderr, "%s: did not fail\n", argv[i]);
	}
	if (known)
		printf("%u known bugs\n", known);
	printf("%s: %u passed, %u failed\n", self ? "script self-test" : "script", passed, failed);
	return failed != 0;
}
