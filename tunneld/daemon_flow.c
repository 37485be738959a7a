/* SPDX-License-Identifier: MIT */
/*
 * Local streams: parked connects and dialled destinations on one side, the engine's connections on
 * the other. Bytes wait in the kernel or in the engine, never here: reads go straight
 * into the engine's pages, writes straight out of them.
 */
#include "tunneld/daemon_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tunneld/io/clock.h"
#include "tunneld/log.h"
#include "tunneld/verdict.h"

#define TEXT(a) addr_print((a), (char[ADDR_TEXT_MAX]){ 0 })

/* As the kernel's own: tcp_syn_retries 6 make 127 s. */
#define CONNECT_TIMEOUT_US (127 * USEC_PER_S)
enum {
	READ_LEAST = 16 << 10, READ_MOST = 256 << 10,
	STRETCHES = 17, /* READ_MOST in the engine's pages, the first begun already */
};

/* --- the table --- */

static void state(struct daemon *d, struct flow *f, enum flow_state now)
{
	d->flow_states[f->state]--;
	d->flow_states[now]++;
	f->state = now;
}

static struct flow *flow_new(struct daemon *d, struct engine *engine, enum flow_state as, const struct addr *destination)
{
	struct flow *f = d->free_flow;
	uint32_t index, generation;

	if (!f) {
		count(&d->counters, CNT_FlowsFull);
		return NULL;
	}
	d->free_flow = f->next;
	index = f->index;
	generation = f->generation + 1;
	*f = (struct flow){ .daemon = d, .engine = engine, .index = index, .generation = generation ? generation : 1, .destination = *destination };
	f->stream.fd = f->dial.fd = -1;
	f->since_us = d->now_us;
	f->give_up_us = USEC_NEVER;
	state(d, f, as);
	d->flow_count++;
	return f;
}

static uint64_t host_of(const struct flow *f) { return (uint64_t)f->generation << 32 | f->index; }

static struct flow *flow_of_host(struct daemon *d, uint64_t host)
{
	uint32_t index = (uint32_t)host;
	struct flow *f = index < d->config->connections_max ? &d->flows[index] : NULL;

	return f && f->state != FLOW_FREE && host_of(f) == host ? f : NULL;
}

static struct flow **park_bucket(struct daemon *d, park_id park)
{
	return &d->by_park[(park * UINT64_C(0x9e3779b97f4a7c15) >> 32) & d->by_park_mask];
}

static struct flow *flow_of_park(struct daemon *d, park_id park)
{
	struct flow *f = *park_bucket(d, park);

	while (f && f->park != park)
		f = f->next;
	return f;
}

static void park_known(struct daemon *d, struct flow *f, park_id park)
{
	struct flow **b = park_bucket(d, park);

	f->park = park;
	f->next = *b;
	*b = f;
}

/* What it holds outside has been dealt with. */
static void flow_free(struct daemon *d, struct flow *f)
{
	assert(f->state != FLOW_FREE && f->stream.fd < 0 && f->dial.fd < 0);
	if (f->park) {
		struct flow **at = park_bucket(d, f->park);

		while (*at != f)
			at = &(*at)->next;
		*at = f->next;
	}
	state(d, f, FLOW_FREE);
	f->next = d->free_flow;
	d->free_flow = f;
	d->flow_count--;
}

static enum err flow_event(struct flow *f, struct event *ev) { return engine_input(f->engine, ev, f->daemon->now_us); }

/* Who is at the other end, for a log line. */
static const char *peer_text(const struct flow *f)
{
	return f->engine == f->daemon->engine ? f->daemon->peers[f->peer].name : "plain";
}

/* --- ends --- */

static void engine_abort(struct flow *f)
{
	struct event ev = { .kind = EV_ABORT, .conn = f->conn };

	if (f->conn)
		(void)flow_event(f, &ev);
	f->conn = 0;
}

/* The local side goes by RST, or fails its connect; the engine's side is dead already. */
static void local_reset(struct daemon *d, struct flow *f, enum open_result why)
{
	if (f->dial.fd >= 0)
		dial_cancel(&f->dial);
	if (f->stream.fd >= 0) {
		stream_reset(&f->stream);
		if (f->park)
			park_closed(d->park, f->park);
	} else if (f->park) {
		count(&d->counters, CNT_ConnectsFailed);
		park_fail(d->park, f->park, verdict_errno(why));
	}
	flow_free(d, f);
}

/* The local side is dead already, by RST. */
static void stream_died(struct daemon *d, struct flow *f)
{
	count(&d->counters, CNT_StreamsReset);
	stream_close(&f->stream);
	if (f->park)
		park_closed(d->park, f->park);
	engine_abort(f);
	flow_free(d, f);
}

/* --- bytes --- */

static size_t iovecs(struct iovec *iov, const struct stretch *from, unsigned count)
{
	size_t total = 0;

	for (unsigned i = 0; i < count; i++) {
		iov[i] = (struct iovec){ from[i].bytes, from[i].len };
		total += from[i].len;
	}
	return total;
}

/* Engine to application, as far as it takes them. False: f is no more. */
static bool deliver(struct daemon *d, struct flow *f)
{
	struct stretch waiting[STRETCHES];
	struct iovec iov[STRETCHES];
	unsigned count;

	while ((count = engine_readable_stretches(f->engine, f->conn, waiting, STRETCHES))) {
		struct event ev = { .kind = EV_CONSUMED, .consumed = { .conn = f->conn } };
		size_t total = iovecs(iov, waiting, count), n;
		enum stream_result r = stream_writev(&f->stream, iov, count, &n);

		if (r == STREAM_RESET) {
			stream_died(d, f);
			return false;
		}
		if (n) {
			f->bytes_out += n;
			ev.consumed.len = n;
			(void)flow_event(f, &ev);
		}
		if (n < total) {
			f->full = true;
			stream_want_write(&f->stream, true);
			return true;
		}
	}
	f->full = false;
	stream_want_write(&f->stream, false);
	return true;
}

/* One read, of at most share bytes, into the engine's own pages. False: no more to read now, or f is no more. */
static bool read_once(struct daemon *d, struct flow *f, size_t share)
{
	struct event ev = { .kind = EV_WRITE, .write = { .conn = f->conn } };
	struct stretch space[STRETCHES];
	struct iovec iov[STRETCHES];
	uint32_t most = f->read_bytes ? f->read_bytes : READ_LEAST, want = most < share ? most : (uint32_t)share;
	unsigned count = engine_write_space(f->engine, f->conn, space, STRETCHES, want, d->now_us);
	enum stream_result r;
	size_t total;

	/* ACT_ROOM comes when there is some again. */
	if (!count) {
		stream_want_read(&f->stream, false);
		return false;
	}
	total = iovecs(iov, space, count);
	r = stream_readv(&f->stream, iov, count, &ev.write.len);
	(void)flow_event(f, &ev); /* also where there was nothing: the pages go back */
	switch (r) {
	case STREAM_AGAIN:
		return false;
	case STREAM_RESET:
		stream_died(d, f);
		return false;
	case STREAM_EOF:
		f->read_ended = true;
		stream_want_read(&f->stream, false);
		ev = (struct event){ .kind = EV_SHUTDOWN, .conn = f->conn };
		(void)flow_event(f, &ev);
		return false;
	case STREAM_OK:
		break;
	}
	f->bytes_in += ev.write.len;
	if (ev.write.len == total) {
		f->read_bytes = want * 2 < READ_MOST ? want * 2 : READ_MOST;
		return true;
	}
	/* Less than there was room for: the socket is empty. If it is not by now, the loop says so. */
	if (ev.write.len < want / 4)
		f->read_bytes = want / 2 > READ_LEAST ? want / 2 : READ_LEAST;
	return false;
}

/* Application to engine, while there is room and it is its turn. */
static void on_readable(void *owner, size_t share)
{
	struct flow *f = owner;
	struct daemon *d = f->daemon;
	uint64_t before = f->bytes_in;

	d->now_us = clock_now();
	while (f->bytes_in - before < share && read_once(d, f, share))
		;
}

static void on_writable(void *owner)
{
	struct flow *f = owner;

	f->daemon->now_us = clock_now();
	(void)deliver(f->daemon, f);
}

static void on_reset(void *owner)
{
	struct flow *f = owner;

	f->daemon->now_us = clock_now();
	stream_died(f->daemon, f);
}

const struct stream_events flow_stream_events = { .readable = on_readable, .writable = on_writable, .reset = on_reset };

/* The local side is connected by fd. */
static void opened(struct daemon *d, struct flow *f, int fd)
{
	int error = stream_open(&f->stream, &d->streams, fd, f);

	if (error) {
		log_line(LOG_WARN, "%s: %s", TEXT(&f->destination), strerror(error));
		engine_abort(f);
		if (f->park)
			park_closed(d->park, f->park);
		flow_free(d, f);
		return;
	}
	state(d, f, FLOW_OPEN);
	f->give_up_us = USEC_NEVER;
	if (deliver(d, f) && f->eof_waits) {
		f->write_ended = true;
		stream_end_writing(&f->stream);
	}
}

/* --- client: parked connects --- */

static void connect_flow(struct daemon *d, struct flow *f, peer_id gateway)
{
	struct event ev = {
		.kind = EV_CONNECT,
		.connect = { .peer = gateway, .host = host_of(f), .destination = f->destination,
			     .user_timeout_ms = f->user_timeout_ms },
	};
	const struct path_wish wish = { .interface = f->device, .mark = f->mark, .source = f->source };
	const struct path_end *wished = f->engine == d->plain_engine ? NULL : paths_wished(d->paths, gateway, &wish);
	enum err err;

	if (wished)
		ev.connect.wish = wished->id + 1;
	else if (*f->device)
		log_line(LOG_INFO, "%s: %s[%ld] asks for interface %s, and no path is there: any is taken",
			 TEXT(&f->destination), f->comm, (long)f->pid, f->device);
	else if (f->mark)
		log_line(LOG_INFO, "%s: %s[%ld] has SO_MARK %#x, and no path has that mark: any is taken",
			 TEXT(&f->destination), f->comm, (long)f->pid, f->mark);

	state(d, f, FLOW_OPENING);
	f->peer = gateway;
	err = flow_event(f, &ev);
	if (err != ERR_OK) {
		log_line(LOG_WARN, "%s: the engine refuses: %s", TEXT(&f->destination), err_text(err));
		local_reset(d, f, err == ERR_FULL ? OPEN_NO_RESOURCES : OPEN_NO_PATH);
		return;
	}
	f->conn = ev.connect.conn;
}

static void wait_for_gateway(struct daemon *d, struct flow *f)
{
	state(d, f, FLOW_WAITING);
	f->give_up_us = f->since_us + CONNECT_TIMEOUT_US;
	d->waiting_deadline_us = usec_min(d->waiting_deadline_us, f->give_up_us);
}

static void on_park_connect(void *ctx, park_id id, const struct addr *dest, const struct park_caller *who)
{
	struct daemon *d = ctx;
	struct addr to = addr_unmap(dest);
	bool is_plain;
	struct flow *f;
	peer_id gateway = 0;

	d->now_us = clock_now();
	count(&d->counters, CNT_ConnectsAsked);
	is_plain = plain_connects(d, &to);
	if (d->ending || (!is_plain && !net_any_path(d))) {
		count(&d->counters, CNT_ConnectsFailed);
		park_unable(d->park, id, d->ending ? ECONNREFUSED : ENETUNREACH, LOCAL_NO_TUNNEL);
		return;
	}
	f = flow_new(d, is_plain ? d->plain_engine : d->engine, FLOW_WAITING, &to);
	if (!f) {
		count(&d->counters, CNT_ConnectsFailed);
		park_fail(d->park, id, ENOBUFS);
		return;
	}
	park_known(d, f, id);
	f->pid = who->pid;
	f->user_timeout_ms = who->user_timeout_ms;
	f->source = who->local;
	f->mark = who->mark;
	memcpy(f->device, who->device, sizeof f->device);
	memcpy(f->comm, who->comm, sizeof f->comm);
	if (is_plain || net_gateway(d, &gateway)) {
		connect_flow(d, f, gateway);
		/* The first of a turn goes before anything else is done; those that come with it share a batch. */
		if (!d->connects_this_turn++)
			daemon_send(d);
		return;
	}
	/* Not for the first handshake, which is a matter of a round trip. */
	if (usec_since(d->now_us, d->started_us) > 3 * USEC_PER_S)
		park_slow(d->park, id, LOCAL_NO_GATEWAY);
	wait_for_gateway(d, f);
}

static void on_park_stream(void *ctx, park_id id, int fd)
{
	struct daemon *d = ctx;
	struct flow *f = flow_of_park(d, id);

	d->now_us = clock_now();
	assert(f && f->state == FLOW_COMPLETING);
	opened(d, f, fd);
}

static void on_park_cancel(void *ctx, park_id id)
{
	struct daemon *d = ctx;
	struct flow *f = flow_of_park(d, id);

	if (!f)
		return;
	d->now_us = clock_now();
	engine_abort(f);
	flow_free(d, f);
}

/* Never without a word: whatever does not go through the tunnel has a line and a number. */
static void on_park_direct(void *ctx, const struct addr *dest, const struct park_caller *who,
			   enum local_reason why)
{
	struct daemon *d = ctx;

	count(&d->counters, why == LOCAL_LISTED     ? CNT_ConnectsDirectListed
			    : why == LOCAL_FALLBACK ? CNT_ConnectsDirectFallback
						    : CNT_ConnectsDirectBypass);
	log_line(LOG_INFO, "%s: not carried: %s[%ld] connects directly, %s", TEXT(dest), who->comm,
		 (long)who->pid, local_reason_text(why));
}

static const struct park_callbacks park_callbacks = {
	.on_connect = on_park_connect,
	.on_stream = on_park_stream,
	.on_cancel = on_park_cancel,
	.on_direct = on_park_direct,
};

void flow_gateway_ready(struct daemon *d)
{
	peer_id gateway;

	if (!d->flow_states[FLOW_WAITING] || !net_gateway(d, &gateway))
		return;
	for (uint32_t i = 0; i < d->config->connections_max && d->flow_states[FLOW_WAITING]; i++)
		if (d->flows[i].state == FLOW_WAITING)
			connect_flow(d, &d->flows[i], gateway);
	d->waiting_deadline_us = USEC_NEVER;
}

static void client_opened(struct daemon *d, struct flow *f, const struct action *act)
{
	int fd;

	if (act->opened.result != OPEN_OK) {
		f->conn = 0;
		log_line(LOG_DEBUG, "%s: %s", TEXT(&f->destination), open_result_text(act->opened.result));
		local_reset(d, f, act->opened.result);
		return;
	}
	count(&d->counters, CNT_ConnectsOpened);
	state(d, f, FLOW_COMPLETING);
	if (park_complete(d->park, f->park, &fd))
		opened(d, f, fd);
	/* Else on_park_stream() or on_park_cancel() comes. */
}

/* --- gateway: dialling --- */

static void dialled_event(struct daemon *d, struct flow *f, enum open_result result, int icmp_code)
{
	struct event ev = {
		.kind = EV_DIALLED,
		.dialled = { .conn = f->conn, .host = host_of(f), .result = result, .icmp_code = (uint8_t)icmp_code },
	};

	if (result != OPEN_OK)
		count(&d->counters, CNT_DialsFailed);
	if (flow_event(f, &ev) == ERR_OK && result == OPEN_OK)
		return;
	f->conn = 0;
	local_reset(d, f, result);
}

static void on_dialled(void *owner, int fd, int error)
{
	struct flow *f = owner;
	struct daemon *d = f->daemon;

	d->now_us = clock_now();
	if (error) {
		log_line(LOG_DEBUG, "%s for %s: %s", TEXT(&f->destination), peer_text(f), strerror(error));
		dialled_event(d, f, verdict_of_errno(error), verdict_icmp_code(error));
		return;
	}
	error = stream_open(&f->stream, &d->streams, fd, f);
	if (error) {
		dialled_event(d, f, verdict_of_errno(error), verdict_icmp_code(error));
		return;
	}
	state(d, f, FLOW_OPEN);
	dialled_event(d, f, OPEN_OK, 0);
}

static void dial(struct daemon *d, struct engine *from, const struct action *act)
{
	bool is_plain = from == d->plain_engine;
	const struct addr *to = is_plain ? plain_forward(d, &act->dial.destination) : &act->dial.destination;
	struct flow *f = to ? flow_new(d, from, FLOW_DIALLING, to) : NULL;
	struct event refused = { .kind = EV_DIALLED, .dialled = { .conn = act->conn, .result = OPEN_NO_RESOURCES, .icmp_code = 1 } };
	const char *why;
	int error;

	if (!f || d->ending) {
		(void)!engine_input(from, &refused, d->now_us);
		if (f)
			flow_free(d, f);
		return;
	}
	f->conn = act->conn;
	f->peer = act->dial.peer;
	/* What plain.listen forwards to is of the config, not of the peer's choice. */
	why = is_plain ? NULL : egress_refuses(&d->egress, &f->destination);
	if (why) {
		log_line(LOG_INFO, "refused %s for %s: %s", TEXT(&f->destination), d->peers[f->peer].name, why);
		dialled_event(d, f, OPEN_PROHIBITED, 13);
		return;
	}
	count(&d->counters, CNT_DialsStarted);
	error = dial_start(&f->dial, d->loop, &f->destination, on_dialled, f);
	if (error) {
		f->dial.fd = -1;
		dialled_event(d, f, verdict_of_errno(error), verdict_icmp_code(error));
	}
}

/* --- from the engine --- */

/* While it dials the engine does not know our name for it. */
static struct flow *flow_of_action(struct daemon *d, const struct engine *from, const struct action *act)
{
	struct flow *f = flow_of_host(d, act->host);

	if (f && f->conn == act->conn && f->engine == from)
		return f;
	for (uint32_t i = 0; d->flow_states[FLOW_DIALLING] && i < d->config->connections_max; i++)
		if (d->flows[i].state == FLOW_DIALLING && d->flows[i].conn == act->conn && d->flows[i].engine == from)
			return &d->flows[i];
	return NULL;
}

void flow_action(struct daemon *d, struct engine *from, const struct action *act)
{
	struct flow *f;

	if (act->kind == ACT_DIAL) {
		dial(d, from, act);
		return;
	}
	f = flow_of_action(d, from, act);
	if (!f)
		return; /* ended here while the engine was telling */
	switch (act->kind) {
	case ACT_OPENED:
		client_opened(d, f, act);
		break;
	case ACT_DATA:
		/* Without a reader the offer stays unanswered; deliver() finds the bytes when there is one. */
		if (f->state == FLOW_OPEN && !f->full)
			(void)deliver(d, f);
		break;
	case ACT_EOF:
		if (f->state == FLOW_OPEN) {
			f->write_ended = true;
			stream_end_writing(&f->stream);
		} else {
			f->eof_waits = true;
		}
		break;
	case ACT_ROOM:
		if (f->state == FLOW_OPEN && !f->read_ended)
			stream_want_read(&f->stream, true);
		break;
	case ACT_RESET:
		f->conn = 0;
		local_reset(d, f, act->reset.why == OPEN_OK ? OPEN_RESET : act->reset.why);
		break;
	case ACT_CLOSED:
		f->conn = 0;
		if (f->state != FLOW_OPEN) {
			local_reset(d, f, OPEN_RESET);
			break;
		}
		stream_close(&f->stream);
		if (f->park)
			park_closed(d->park, f->park);
		flow_free(d, f);
		break;
	case ACT_SEND:
	case ACT_DIAL:
	case ACT_PORT_FREE:
	case ACT_PROBE:
		break; /* not about a stream */
	}
}

/* --- time, ends --- */

void flow_time(struct daemon *d)
{
	usec_t next = USEC_NEVER;

	if (d->now_us < d->waiting_deadline_us)
		return;
	for (uint32_t i = 0; i < d->config->connections_max && d->flow_states[FLOW_WAITING]; i++) {
		struct flow *f = &d->flows[i];

		if (f->state != FLOW_WAITING)
			continue;
		if (d->now_us >= f->give_up_us)
			local_reset(d, f, OPEN_TIMED_OUT);
		else
			next = usec_min(next, f->give_up_us);
	}
	d->waiting_deadline_us = next;
}

void flow_abort_peer(struct daemon *d, peer_id peer)
{
	for (uint32_t i = 0; i < d->config->connections_max; i++) {
		struct flow *f = &d->flows[i];

		if (f->state == FLOW_FREE || f->state == FLOW_WAITING || f->peer != peer || f->engine != d->engine)
			continue;
		engine_abort(f);
		/* Not yet answered: a kernel would have gone on sending its SYN. */
		if (f->state == FLOW_OPENING)
			wait_for_gateway(d, f);
		else
			local_reset(d, f, OPEN_RESET);
	}
}

void flow_abort_every(struct daemon *d)
{
	for (uint32_t i = 0; i < d->config->connections_max; i++) {
		if (d->flows[i].state == FLOW_FREE)
			continue;
		engine_abort(&d->flows[i]);
		local_reset(d, &d->flows[i], OPEN_REFUSED);
	}
}

void flow_stop_accepting(struct daemon *d)
{
	for (uint32_t i = 0; i < d->config->connections_max; i++) {
		struct flow *f = &d->flows[i];

		/* Not yet opened: refused, as by a machine that shuts down. */
		if (f->state == FLOW_WAITING || f->state == FLOW_OPENING || f->state == FLOW_DIALLING) {
			engine_abort(f);
			local_reset(d, f, OPEN_REFUSED);
		}
	}
}

int flow_open_all(struct daemon *d)
{
	struct park_config pc = {
		.socket = d->config->client_socket, .any_user = d->config->client_socket_any_user,
		.bypass = d->config->bypass.list, .bypass_count = d->config->bypass.count,
		.streams_max = d->config->connections_max,
	};
	uint32_t n = d->config->connections_max, buckets = 64;
	const char *why;
	int error;

	while (buckets < n)
		buckets *= 2;
	d->flows = calloc(n, sizeof *d->flows);
	d->by_park = calloc(buckets, sizeof *d->by_park);
	if (!d->flows || !d->by_park) {
		log_line(LOG_ERROR, "out of memory for %u connections", n);
		return 1;
	}
	d->by_park_mask = buckets - 1;
	for (uint32_t i = n; i--;) {
		d->flows[i].index = i;
		d->flows[i].daemon = d;
		d->flows[i].stream.fd = d->flows[i].dial.fd = -1;
		d->flows[i].next = d->free_flow;
		d->free_flow = &d->flows[i];
	}
	d->flow_states[FLOW_FREE] = n;
	d->waiting_deadline_us = USEC_NEVER;
	error = stream_set_open(&d->streams, d->loop, &flow_stream_events);
	if (error) {
		log_line(LOG_ERROR, "epoll: %s", strerror(error));
		return 1;
	}
	if (!d->config->client)
		return 0;
	d->park = park_new(loop_ev(d->loop), &pc, &park_callbacks, d, &why);
	if (!d->park) {
		log_line(LOG_ERROR, "%s: %s: %s", d->config->client_socket, why, strerror(errno));
		return 1;
	}
	log_line(LOG_INFO, "applications are served at %s", d->config->client_socket);
	return 0;
}

void flow_close_all(struct daemon *d)
{
	if (d->park)
		park_free(d->park);
	if (d->streams.watch.loop)
		stream_set_close(&d->streams);
	free(d->flows);
	free(d->by_park);
}
