/* SPDX-License-Identifier: MIT */
/*
 * The applications at both ends of a stream. Every byte depends on its stream, its direction and its
 * place, so whatever is delivered can be judged alone.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

enum { PERIOD = 65521, WRITE_MAX = 65536 };
static uint8_t pattern[2 * PERIOD + WRITE_MAX];

static const uint8_t *pattern_at(uint32_t key, uint64_t offset)
{
	if (!pattern[0] && !pattern[1]) {
		struct rnd r = rnd_fork(1, "pattern", 0);

		for (size_t i = 0; i < PERIOD; i++)
			pattern[i] = (uint8_t)(rnd_next(&r) | 1u << (i & 1));
		for (size_t i = PERIOD; i < sizeof pattern; i++)
			pattern[i] = pattern[i - PERIOD];
	}
	return pattern + (key + offset) % PERIOD;
}

/* Bytes that do agree, from the first. */
static size_t pattern_match(uint32_t key, uint64_t offset, const uint8_t *bytes, size_t len)
{
	for (size_t done = 0, n; done < len; done += n) {
		const uint8_t *want = pattern_at(key, offset + done);

		n = len - done < PERIOD ? len - done : PERIOD;
		if (memcmp(want, bytes + done, n)) {
			while (*want == bytes[done])
				want++, done++;
			return done;
		}
	}
	return len;
}

const char *end_name(const struct end *e, char buf[32])
{
	if (e->client)
		snprintf(buf, 32, "%s stream %u", world_host_name(e->host->number), e->stream->number);
	else
		snprintf(buf, 32, "gw stream %u.%u", e->stream->number, e->nth);
	return buf;
}

bool end_alive(const struct end *e) { return e->conn && e->state != END_DEAD; }

struct end *end_peer(struct end *e)
{
	struct stream *s = e->stream;

	if (!e->client)
		return !s->client.token || s->client.token == e->token ? &s->client : NULL;
	if (s->dials == 1)
		return &s->gateway[0];
	/* In plain form a SYN sent again, after what it had opened was aborted, opens another of the same name. */
	for (unsigned i = s->dials; i--;)
		if (e->token && s->gateway[i].token == e->token)
			return &s->gateway[i];
	return NULL;
}

/* The most that can have been written to e. */
static uint64_t written_to(const struct end *e)
{
	uint64_t most = 0;

	if (!e->client)
		return e->stream->client.written;
	for (unsigned i = 0; i < e->stream->dials; i++)
		if (e->stream->gateway[i].written > most)
			most = e->stream->gateway[i].written;
	return most;
}

static void progress(struct end *e)
{
	struct end *peer = end_peer(e);

	e->progress_us = e->host->world->now_us;
	if (peer)
		peer->progress_us = e->progress_us;
}

/*
 * The gateway has not got the client's key yet (the third ACK is lost, and its path with it): there is no other way to it,
 * as MP_CAPABLE has it, and the connection may well end by RST.
 */
static bool half_open(struct end *e)
{
	struct end *gateway = e->client ? end_peer(e) : NULL;
	struct conn_info info;

	if (!gateway || !gateway->conn || gateway->state == END_DEAD)
		return gateway && !gateway->remote_key;
	return engine_conn_info(gateway->host->engine, gateway->conn, &info) == ERR_OK && !info.remote_token;
}

static void end_dies(struct end *e, enum end_death death, enum open_result why)
{
	static const char *const text[] = { "", "could not be opened", "is closed", "is reset", "aborts" };
	char name[32];

	TRACE(e->host->world, "%s %s: %s; wrote %llu, read %llu", end_name(e, name), text[death], open_result_text(why),
	      (unsigned long long)e->written, (unsigned long long)e->consumed);
	progress(e);
	e->stream->half_open |= death == DEATH_RESET && half_open(e);
	/* Or it gave up waiting for the third ACK. */
	e->stream->half_open |= !e->client && death == DEATH_RESET && why == OPEN_TIMED_OUT && !e->offered && !e->eof && !e->remote_key;
	e->state = END_DEAD;
	e->death = death;
	e->why = why;
	e->dead_us = e->host->world->now_us;
}

static uint32_t plain_name(const struct world *w, const struct end *e, const struct subflow_info *first)
{
	unsigned client = e->stream->plan->client;

	if (!e->client)
		return (uint32_t)first->remote.ip[3] << 24 | (uint32_t)first->remote.ip[2] << 16 | first->remote_port;
	return (uint32_t)(client * PATHS_MAX + first->path + 1) << 24 |
	       (w->paths[client][first->path].nat_epoch & 0xff) << 16 | first->local_port;
}

static void token_learned(struct end *e)
{
	struct subflow_info first;
	struct conn_info info;

	/* In plain form it may have fallen back to TCP and have no token: then its first subflow names it, which may be gone later. */
	if (host_plain(e->host) && e->token)
		return;
	if (host_plain(e->host) && engine_subflow_info(e->host->engine, e->conn, 0, &first) == ERR_OK)
		e->token = plain_name(e->host->world, e, &first);
	else if (engine_conn_info(e->host->engine, e->conn, &info) == ERR_OK)
		e->token = e->client ? info.remote_token : info.token;
}

static void app_start(struct end *e)
{
	struct world *w = e->host->world;
	char name[32];

	TRACE(w, "%s is open", end_name(e, name));
	e->state = END_OPEN;
	token_learned(e);
	progress(e);
	if (e->plan->abort_us != USEC_NEVER)
		queue_put(&w->queue, (struct occasion){ .at_us = w->now_us + e->plan->abort_us, .what = HAP_ABORT, .p = e });
	app_write(e);
}

static void end_init(struct end *e, struct stream *s, struct host *h, bool client, unsigned nth)
{
	*e = (struct end){
		.stream = s, .host = h, .client = client, .nth = (uint8_t)nth, .plan = &s->plan->ends[!client],
		.total = s->plan->ends[!client].total, .born_us = h->world->now_us, .progress_us = h->world->now_us,
		.chance = rnd_fork(h->world->seed, client ? "client app" : "gateway app", s->number),
	};
}

/* Every fourth application sets something on its socket, half of them before connect(). */
static bool sets_options(const struct stream *s) { return s->number % 4 == 3; }

static struct carried_options options_set(const struct stream *s)
{
	return (struct carried_options){ .keep_idle_s = (uint16_t)(1 + s->number), .keep_interval_s = 7, .keep_count = 3,
					 .tos = (uint8_t)(4 * s->number) };
}

static void set_options(struct end *e)
{
	struct event ev = { .kind = EV_OPTIONS, .options = { .conn = e->conn, .carried = options_set(e->stream) } };

	if (host_event(e->host, &ev) != ERR_OK)
		world_fail(e->host->world, "EV_OPTIONS is not taken");
}

/* At the gateway: what is told is what was set, once. */
static void check_options(struct end *e, const struct carried_options *o)
{
	struct carried_options want = options_set(e->stream);
	char name[32];

	if (e->host->world->plan->hostile)
		return;
	if (e->client || !sets_options(e->stream) || o->serial != 1 || !carried_options_same(&want, o))
		world_fail(e->host->world, "%s: options that nobody set: idle %u tos %u serial %u", end_name(e, name), o->keep_idle_s,
			   o->tos, o->serial);
}

void app_open(struct stream *s)
{
	struct end *e = &s->client;
	struct host *h = &s->client.host->world->hosts[1 + s->plan->client];
	struct event ev = { .kind = EV_CONNECT };
	char name[32];
	enum err err;

	end_init(e, s, h, true, 0);
	ev.connect.peer = 1;
	ev.connect.host = (uintptr_t)e;
	/* The stream's number is in the destination, so that the gateway's end finds it. */
	if (s->number & 1)
		ev.connect.destination = (struct addr){ .family = 6, .ip = { 0x20, 1, 0xd, 0xb8, [15] = 1 } };
	else
		ev.connect.destination = (struct addr){ .family = 4, .ip = { 198, 18, 0, 1 } };
	ev.connect.destination.port = (uint16_t)(1000 + s->number);
	if (sets_options(s) && s->number & 4)
		ev.connect.carried = options_set(s);
	if (host_plain(h)) {
		ev.connect.peer = 0;
		ev.connect.destination = plain_destination(s->number);
	}
	err = host_event(h, &ev);
	TRACE(h->world, "%s connects: conn %u, %s", end_name(e, name), ev.connect.conn, err_text(err));
	if (err != ERR_OK) {
		bool path = false;

		for (unsigned i = 0; i < PATHS_MAX; i++)
			path = path || (h->views[i].known && h->views[i].state != PATH_DOWN);
		if (err == ERR_FULL ? !h->world->plan->small_memory : err != ERR_UNKNOWN || path)
			world_fail(h->world, "EV_CONNECT gives \"%s\"", err_text(err));
		end_dies(e, DEATH_FAILED, err == ERR_FULL ? OPEN_NO_RESOURCES : OPEN_NO_PATH);
		return;
	}
	if (!ev.connect.conn)
		world_fail(h->world, "EV_CONNECT gives no conn");
	e->conn = ev.connect.conn;
	e->state = END_OPENING;
	/* It may crash while its connect is pending. */
	if (e->plan->abort_us != USEC_NEVER && rnd_percent(&e->chance, 20))
		queue_put(&h->world->queue, (struct occasion){ .at_us = h->world->now_us + e->plan->abort_us / 16,
			.what = HAP_ABORT, .p = e });
	host_settle(h);
}

void app_dial(struct host *gateway, const struct action *act)
{
	struct world *w = gateway->world;
	unsigned number = (unsigned)act->dial.destination.port - 1000;
	struct stream *s = &w->streams[number];
	struct end *e;
	usec_t answer_us;
	char name[32];

	if (gateway->number != HOST_GATEWAY || number >= w->plan->streams || !s->client.conn) {
		struct event no = { .kind = EV_DIALLED, .dialled = { .conn = act->conn, .result = OPEN_REFUSED } };

		if (!w->plan->hostile || host_event(gateway, &no) != ERR_OK)
			world_fail(w, "a dial to a destination that nobody asked for, port %u", act->dial.destination.port);
		return;
	}
	if (act->dial.peer != (host_plain(gateway) ? 0u : 1u + s->plan->client))
		world_fail(w, "a dial for peer %u, which belongs to %u", act->dial.peer, 1u + s->plan->client);
	if (act->dial.destination.family != (number & 1 && !host_plain(gateway) ? 6 : 4) && !w->plan->hostile)
		world_fail(w, "a dial to an address of family %u", act->dial.destination.family);
	if (s->dials == DIALS_MAX) {
		world_fail(w, "stream %u is dialled more than %u times", number, DIALS_MAX);
		return;
	}
	for (unsigned i = 0; i < s->dials; i++)
		/* A late copy of a SYN whose connection is over makes a ghost, as with TCP; in plain form a raced SYN is another. */
		if (s->gateway[i].state != END_DEAD && s->client.state != END_DEAD && !w->plan->hostile && !host_plain(gateway))
			world_fail(w, "%s is dialled a second time", end_name(&s->gateway[i], name));
	e = &s->gateway[s->dials];
	end_init(e, s, gateway, false, s->dials++);
	e->conn = act->conn;
	if (host_plain(gateway))
		token_learned(e);
	TRACE(w, "%s is dialled: conn %u", end_name(e, name), e->conn);
	/* A daemon gives up on a destination that never answers. */
	answer_us = s->plan->dial_us == USEC_NEVER ? 40 * USEC_PER_S : s->plan->dial_us;
	if (answer_us)
		queue_put(&w->queue, (struct occasion){ .at_us = w->now_us + answer_us, .what = HAP_DIAL_ANSWER, .p = e });
	else
		app_dial_answer(e);
}

void app_dial_answer(struct end *e)
{
	struct event ev = { .kind = EV_DIALLED };
	struct host *h = e->host;
	char name[32];
	enum err err;

	if (e->state != END_WAITING)
		return;
	ev.dialled.conn = e->conn;
	ev.dialled.host = (uintptr_t)e;
	ev.dialled.result = e->stream->plan->dial;
	TRACE(h->world, "%s: the destination answers: %s", end_name(e, name), open_result_text(ev.dialled.result));
	err = host_event(h, &ev);
	/* It may just have been given up; then ACT_RESET follows. */
	if (err == ERR_UNEXPECTED) {
		host_settle(h);
		return;
	}
	if (err != ERR_OK)
		world_fail(h->world, "EV_DIALLED gives \"%s\", and conn %u was not said to be dead", err_text(err), e->conn);
	if (ev.dialled.result == OPEN_OK)
		app_start(e);
	else
		end_dies(e, DEATH_FAILED, ev.dialled.result);
	host_settle(h);
}

void app_abort(struct end *e)
{
	struct event ev = { .kind = EV_ABORT, .conn = e->conn };
	enum err err;

	if (!end_alive(e))
		return;
	err = host_event(e->host, &ev);
	if (err != ERR_OK)
		world_fail(e->host->world, "EV_ABORT gives \"%s\"", err_text(err));
	end_dies(e, DEATH_ABORTED, OPEN_OK);
	host_settle(e->host);
}

static void app_shutdown(struct end *e)
{
	struct event ev = { .kind = EV_SHUTDOWN, .conn = e->conn };
	char name[32];
	enum err err = host_event(e->host, &ev);

	TRACE(e->host->world, "%s shuts down after %llu bytes", end_name(e, name), (unsigned long long)e->written);
	if (err != ERR_OK)
		world_fail(e->host->world, "EV_SHUTDOWN gives \"%s\"", err_text(err));
	e->shut = true;
	progress(e);
	host_settle(e->host);
}

/* As a host does that reads straight into the engine's pages. */
static void fill_space(struct end *e, struct event *ev)
{
	struct stretch space[8];
	unsigned n = engine_write_space(e->host->engine, e->conn, space, sizeof space / sizeof *space, ev->write.len);
	size_t filled = 0;

	for (unsigned i = 0; i < n; i++) {
		memcpy(space[i].bytes, ev->write.bytes + filled, space[i].len);
		filled += space[i].len;
	}
	ev->write.bytes = NULL;
	ev->write.len = filled;
}

void app_write(struct end *e)
{
	const struct end_plan *plan = e->plan;
	struct world *w = e->host->world;

	if (e->state != END_OPEN || e->blocked || e->write_timer || e->shut)
		return;
	if (plan->write_after_eof && !e->eof && !e->poked)
		return;
	while (e->written < e->total) {
		struct event ev = { .kind = EV_WRITE };
		uint64_t left = e->total - e->written;
		size_t room = engine_room(e->host->engine, e->conn);
		enum err err;
		bool due;

		/* A gateway's end has none before the client's third ACK. Whoever asked in vain is told by ACT_ROOM. */
		if (!room) {
			e->blocked = true;
			break;
		}
		ev.write.conn = e->conn;
		ev.write.bytes = pattern_at(e->stream->key[!e->client], e->written);
		ev.write.len = rnd_range(&e->chance, 1, plan->write_max < WRITE_MAX ? plan->write_max : WRITE_MAX);
		if (ev.write.len > left)
			ev.write.len = left;
		if (e->written >> 12 & 1) {
			fill_space(e, &ev);
			if (!ev.write.len) { /* no page in the pool: ACT_ROOM comes */
				e->blocked = true;
				break;
			}
		}
		due = e->host->deadline_us <= w->now_us;
		err = host_event(e->host, &ev);
		if (err == ERR_UNEXPECTED && due)
			return; /* a timer of this very instant came first, and the connection ended: an action says so */
		if (err != ERR_OK)
			world_fail(w, "EV_WRITE gives \"%s\"", err_text(err));
		/* Pages may run out below the room that a connection alone would have. */
		if (w->plan->small_memory ? ev.write.taken > room : ev.write.taken != (ev.write.len < room ? ev.write.len : room))
			world_fail(w, "EV_WRITE of %zu takes %zu though engine_room() was %zu", ev.write.len, ev.write.taken, room);
		if (w->failed)
			return;
		e->written += ev.write.taken;
		if (w->plan->delay_most_us && ev.write.taken && !e->stream->number)
			delays_written(&w->delays[!e->client], e->written, w->now_us);
		if (ev.write.taken)
			progress(e);
		if (ev.write.taken < ev.write.len) {
			e->blocked = true;
			break;
		}
		if (rnd_chance(&e->chance, plan->gap_ppm)) {
			e->write_timer = true;
			queue_put(&w->queue, (struct occasion){ .at_us = w->now_us + plan->gap_us, .what = HAP_WRITE, .p = e });
			break;
		}
	}
	host_settle(e->host);
	if (e->state != END_OPEN || e->written < e->total || e->write_timer || e->shut)
		return;
	if (plan->shut_after_eof && !e->eof)
		return;
	if (plan->finish == FINISH_ABORT)
		app_abort(e);
	else
		app_shutdown(e);
}

void app_poke(struct end *e)
{
	if (e->poked || !end_alive(e))
		return;
	if (e->state == END_WAITING)
		return;
	if (e->shut || e->state != END_OPEN) {
		/* It has nothing left to write and hears nothing: as with TCP, only giving up helps. */
		app_abort(e);
		return;
	}
	e->poked = true;
	e->total = e->written + 1;
	e->write_timer = false;
	app_write(e);
}

/* What is readable now must be what comes next in the stream. */
static void check_bytes(struct end *e, const uint8_t *bytes, size_t len)
{
	struct world *w = e->host->world;
	uint64_t end = e->consumed + len;
	size_t good = pattern_match(e->stream->key[e->client], e->consumed, bytes, len);
	char name[32];

	if (end < e->offered)
		world_fail(w, "%s is given bytes up to %llu after bytes up to %llu", end_name(e, name), (unsigned long long)end,
			   (unsigned long long)e->offered);
	if (good < len && !w->plan->hostile)
		world_fail(w, "%s is given a wrong byte at %llu of its stream", end_name(e, name),
			   (unsigned long long)(e->consumed + good));
	if (end > written_to(e) && !w->plan->hostile)
		world_fail(w, "%s is given bytes up to %llu of which only %llu were written", end_name(e, name),
			   (unsigned long long)end, (unsigned long long)written_to(e));
	if (end <= e->offered)
		return;
	if (!w->first_data_us)
		w->first_data_us = w->now_us;
	else if (w->now_us - w->last_data_us > w->gap_us)
		w->gap_us = w->now_us - w->last_data_us;
	w->last_data_us = w->now_us;
	if (w->plan->back_us)
		returns_delivered(w);
	w->delivered_bytes += end - e->offered;
	w->delivered_of[e->stream->plan->client] += end - e->offered;
	e->offered = end;
	if (w->plan->delay_most_us && !e->stream->number)
		delays_readable(&w->delays[e->client], end, w->now_us);
	progress(e);
}

static void consume(struct end *e, size_t len)
{
	struct world *w = e->host->world;
	struct event ev = { .kind = EV_CONSUMED };
	char name[32];
	enum err err;

	if (rnd_chance(&e->chance, e->plan->stall_ppm)) {
		e->stalling = true;
		queue_put(&w->queue, (struct occasion){ .at_us = w->now_us + e->plan->stall_us, .what = HAP_READ, .p = e });
	}
	ev.consumed.conn = e->conn;
	ev.consumed.len = rnd_range(&e->chance, 1, e->plan->read_max);
	if (ev.consumed.len > len)
		ev.consumed.len = len;
	e->consumed += ev.consumed.len;
	TRACE(w, "%s reads %zu of %zu bytes%s", end_name(e, name), ev.consumed.len, len, e->stalling ? " and stops reading" : "");
	progress(e);
	err = host_event(e->host, &ev);
	if (err != ERR_OK)
		world_fail(w, "EV_CONSUMED gives \"%s\"", err_text(err));
	host_settle(e->host);
}

static void app_data(struct end *e, const struct action *act)
{
	char name[32];

	if (e->state != END_OPEN || e->eof || !act->data.len) {
		world_fail(e->host->world, "%s is given data while not open, or after its EOF, or no byte of it", end_name(e, name));
		return;
	}
	check_bytes(e, act->data.bytes, act->data.len);
	/* An application that does not read leaves the offer unanswered. */
	if (!e->stalling)
		consume(e, act->data.len);
}

void app_read_again(struct end *e)
{
	const uint8_t *bytes;
	size_t len;

	e->stalling = false;
	if (!end_alive(e))
		return;
	progress(e);
	len = engine_readable(e->host->engine, e->conn, &bytes);
	if (!len)
		return;
	/* Both ways a host has: to fetch what is there, or to take nothing and be offered it again. */
	if (rnd_percent(&e->chance, 50)) {
		check_bytes(e, bytes, len);
		consume(e, len);
	} else {
		struct event ev = { .kind = EV_CONSUMED, .consumed = { .conn = e->conn } };
		enum err err = host_event(e->host, &ev);

		if (err != ERR_OK)
			world_fail(e->host->world, "EV_CONSUMED of nothing gives \"%s\"", err_text(err));
		host_settle(e->host);
	}
}

static void app_eof(struct end *e)
{
	struct end *peer = end_peer(e);
	struct world *w = e->host->world;
	char name[32];

	TRACE(w, "%s: EOF after %llu bytes", end_name(e, name), (unsigned long long)e->consumed);
	if (e->eof || e->state != END_OPEN)
		world_fail(w, "%s is given EOF twice, or while not open", end_name(e, name));
	if (e->offered != e->consumed)
		world_fail(w, "%s is given EOF while it has bytes to read", end_name(e, name));
	if (!w->plan->hostile && (!peer || !peer->shut || e->consumed != peer->written))
		world_fail(w, "%s is given EOF after %llu bytes; its peer wrote %llu and has %sshut down", end_name(e, name),
			   (unsigned long long)e->consumed, (unsigned long long)(peer ? peer->written : 0),
			   peer && peer->shut ? "" : "not ");
	e->eof = true;
	progress(e);
	app_write(e);
}

static struct end *end_of_conn(struct host *h, conn_id conn)
{
	struct world *w = h->world;

	for (struct end *e = world_next_end(w, NULL); e; e = world_next_end(w, e))
		if (e->host == h && e->conn == conn && e->state != END_DEAD)
			return e;
	return NULL;
}

/* An open may fail otherwise than the destination answered only while the way there is not well. */
static void check_open_result(struct end *e, enum open_result result)
{
	struct world *w = e->host->world;
	const struct stream_plan *plan = e->stream->plan;
	unsigned client = plan->client;
	usec_t patience_us = usec_min(w->plan->client_engine.connect_timeout_us, w->plan->gateway_engine.connect_timeout_us);
	bool slow = plan->dial_us == USEC_NEVER || plan->dial_us > patience_us / 2;
	char name[32];

	if (result == plan->dial || w->plan->hostile || w->plan->small_memory)
		return;
	/* Plain form has a RST to say it with; and a server without room says the same. */
	if (host_plain(e->host) && (w->plan->lenient || (plan->dial != OPEN_OK && result != OPEN_OK)))
		return;
	/* The destination connected, and crashed before we knew. */
	if ((result == OPEN_RESET || host_plain(e->host)) && e->stream->dials && e->stream->gateway[0].death == DEATH_ABORTED)
		return;
	/* OPEN_RESET: it was the gateway that lost patience; in plain form the RST for it means "refused". */
	if ((result == OPEN_TIMED_OUT || result == OPEN_RESET || (host_plain(e->host) && result == OPEN_REFUSED)) && (slow || patience_us < 15 * USEC_PER_S))
		return;
	if (w->outage_count[client] && w->outages[client][w->outage_count[client] - 1].until_us > e->born_us)
		return;
	world_fail(w, "%s: open ends with \"%s\", the destination answered \"%s\" and the path was well", end_name(e, name),
		   open_result_text(result), open_result_text(plan->dial));
}

void app_action(struct host *h, const struct action *act)
{
	struct end *e = end_of_conn(h, act->conn);
	struct conn_info info;
	struct world *w = h->world;
	char name[32];

	if (!e) {
		world_fail(w, "%s: action %d for conn %u, which is dead or never was", world_host_name(h->number), act->kind, act->conn);
		return;
	}
	if (engine_conn_info(h->engine, e->conn, &info) == ERR_OK)
		e->remote_key |= info.remote_token != 0;
	if ((e->client || e->state == END_OPEN) && act->host != (uintptr_t)e) {
		world_fail(w, "%s: action %d comes with another connection's host value", end_name(e, name), act->kind);
		return;
	}
	switch (act->kind) {
	case ACT_OPENED:
		if (!e->client || e->state != END_OPENING)
			world_fail(w, "%s: ACT_OPENED while not opening", end_name(e, name));
		check_open_result(e, act->opened.result);
		if (w->plan->open_most_us && w->now_us - e->born_us > w->plan->open_most_us)
			world_fail(w, "%s: its open took %llu ms, and %llu ms is the most it may", end_name(e, name),
				   (unsigned long long)(w->now_us - e->born_us) / 1000, (unsigned long long)w->plan->open_most_us / 1000);
		if (act->opened.result == OPEN_OK && sets_options(e->stream) && !(e->stream->number & 4))
			set_options(e);
		if (act->opened.result == OPEN_OK)
			app_start(e);
		else
			end_dies(e, DEATH_FAILED, act->opened.result);
		break;
	case ACT_DATA:
		app_data(e, act);
		break;
	case ACT_OPTIONS:
		check_options(e, &act->options);
		break;
	case ACT_EOF:
		app_eof(e);
		break;
	case ACT_ROOM:
		e->blocked = false;
		progress(e);
		if (e->state == END_OPEN && !w->plan->small_memory && !engine_room(h->engine, e->conn))
			world_fail(w, "%s: ACT_ROOM, but there is none", end_name(e, name));
		app_write(e);
		break;
	case ACT_RESET:
		end_dies(e, DEATH_RESET, act->reset.why);
		break;
	case ACT_CLOSED:
		if (!e->eof || !e->shut)
			world_fail(w, "%s: ACT_CLOSED while %s", end_name(e, name), e->eof ? "it may still write" : "no EOF was given");
		end_dies(e, DEATH_CLOSED, OPEN_OK);
		break;
	default:
		world_fail(w, "%s: action of unknown kind %d", end_name(e, name), act->kind);
		break;
	}
}
