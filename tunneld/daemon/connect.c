/* SPDX-License-Identifier: MIT */
/* A client's streams before they are open: connects parked for applications, the wait for a gateway, the wish for a path. */
#include "tunneld/daemon/flow.h"

#include <errno.h>
#include <string.h>

#include "tunneld/io/clock.h"
#include "tunneld/io/log.h"

#define TEXT(a) addr_print((a), (char[ADDR_TEXT_MAX]){ 0 })

/* As the kernel's own: tcp_syn_retries 6 make 127 s. */
#define CONNECT_TIMEOUT_US (127 * USEC_PER_S)

static struct carried_options carried_of(const struct park_options *o)
{
	return (struct carried_options){ .keep_idle_s = o->keep_idle_s, .keep_interval_s = o->keep_interval_s,
					 .keep_count = o->keep_count, .tos = o->tos };
}

static void connect_flow(struct daemon *d, struct flow *f, peer_id gateway)
{
	struct event ev = {
		.kind = EV_CONNECT,
		.connect = { .peer = gateway, .host = flow_host(f), .destination = f->destination,
			     .user_timeout_ms = f->options.user_timeout_ms, .carried = carried_of(&f->options) },
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

	flow_is(d, f, FLOW_OPENING);
	f->peer = gateway;
	err = flow_event(f, &ev);
	if (err != ERR_OK) {
		log_line(LOG_WARN, "%s: the engine refuses: %s", TEXT(&f->destination), err_text(err));
		flow_local_reset(d, f, err == ERR_FULL ? OPEN_NO_RESOURCES : OPEN_NO_PATH);
		return;
	}
	f->conn = ev.connect.conn;
}

void flow_wait(struct daemon *d, struct flow *f)
{
	flow_is(d, f, FLOW_WAITING);
	f->give_up_us = f->since_us + CONNECT_TIMEOUT_US;
	d->waiting_deadline_us = usec_min(d->waiting_deadline_us, f->give_up_us);
}

static void on_park_connect(void *ctx, park_id id, const struct addr *dest, const struct park_caller *who)
{
	struct daemon *d = ctx;
	struct addr to = addr_unmap(dest);
	bool is_plain;

	d->now_us = clock_now();
	count(&d->counters, CNT_ConnectsAsked);
	is_plain = plain_connects(d, &to);
	/* Neither is the destination's fault, which ECONNREFUSED would say. */
	if (d->ending || (!is_plain && !net_any_path(d))) {
		count(&d->counters, CNT_ConnectsFailed);
		park_unable(d->park, id, ENETUNREACH, d->ending ? LOCAL_ENDING : LOCAL_NO_TUNNEL);
		return;
	}
	if (!is_plain && place_elsewhere(d, id, &to, who))
		return;
	/* Not for the first handshake, which is a matter of a round trip. */
	if (!flow_connect(d, is_plain ? d->plain_engine : d->engine, id, &to, who) &&
	    usec_since(d->now_us, d->started_us) > 3 * USEC_PER_S)
		park_slow(d->park, id, LOCAL_NO_GATEWAY);
}

bool flow_connect(struct daemon *d, struct engine *engine, park_id id, const struct addr *to, const struct park_caller *who)
{
	struct flow *f = flow_new(d, engine, FLOW_WAITING, to);
	peer_id gateway = 0;

	if (!f) {
		count(&d->counters, CNT_ConnectsFailed);
		application_fail(d, id, ENOBUFS, LOCAL_NO_REASON);
		return true;
	}
	flow_park_known(d, f, id);
	f->pid = who->pid;
	f->options = who->options;
	f->source = who->local;
	f->mark = who->mark;
	memcpy(f->device, who->device, sizeof f->device);
	memcpy(f->comm, who->comm, sizeof f->comm);
	if (engine == d->plain_engine || net_gateway(d, &gateway)) {
		connect_flow(d, f, gateway);
		/* The first of a turn goes before anything else is done; those that come with it share a batch. */
		if (!d->connects_this_turn++)
			daemon_send(d);
		return true;
	}
	flow_wait(d, f);
	return false;
}

void flow_streams(struct daemon *d, park_id id, int fd)
{
	struct flow *f = flow_of_park(d, id);

	if (!f || f->state != FLOW_COMPLETING)
		place_stray(d, id, fd); /* it failed while its end was on the way */
	else
		flow_opened(d, f, fd);
}

static void on_park_stream(void *ctx, park_id id, int fd)
{
	struct daemon *d = ctx;

	d->now_us = clock_now();
	if (park_tag(d->park, id))
		place_stream(d, id, fd);
	else
		flow_streams(d, id, fd);
}

void flow_cancel(struct daemon *d, park_id id)
{
	struct flow *f = flow_of_park(d, id);

	if (!f)
		return;
	flow_engine_abort(f);
	flow_free(d, f);
}

static void on_park_cancel(void *ctx, park_id id)
{
	struct daemon *d = ctx;

	d->now_us = clock_now();
	if (flow_of_park(d, id))
		flow_cancel(d, id);
	else
		place_cancel(d, id);
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

static bool on_park_info(void *ctx, park_id id, struct local_info *out)
{
	const struct flow *f = flow_of_park(ctx, id);

	return f ? flow_info(f, out) : place_info(ctx, id, out);
}

void flow_options(struct daemon *d, park_id park, const struct park_options *now)
{
	struct flow *f = flow_of_park(d, park);
	struct event ev = { .kind = EV_OPTIONS };

	if (!f)
		return;
	f->options = *now;
	if (!f->conn) /* it waits for a gateway, and connects with them */
		return;
	ev.options.conn = f->conn;
	ev.options.user_timeout_ms = now->user_timeout_ms;
	ev.options.carried = carried_of(now);
	(void)flow_event(f, &ev); /* it has just ended, and that is told */
}

static void on_park_options(void *ctx, park_id id, const struct park_options *now)
{
	struct daemon *d = ctx;

	d->now_us = clock_now();
	if (park_tag(d->park, id))
		place_options(d, id, now);
	else
		flow_options(d, id, now);
}

static const struct park_callbacks park_callbacks = {
	.on_connect = on_park_connect,
	.on_stream = on_park_stream,
	.on_cancel = on_park_cancel,
	.on_direct = on_park_direct,
	.on_info = on_park_info,
	.on_options = on_park_options,
};

void flow_gateway_ready(struct daemon *d)
{
	peer_id gateway;

	if (!d->flow_states[FLOW_WAITING] || !net_gateway(d, &gateway))
		return;
	for (uint32_t i = 0; i < d->connections_max && d->flow_states[FLOW_WAITING]; i++)
		if (d->flows[i].state == FLOW_WAITING)
			connect_flow(d, &d->flows[i], gateway);
	d->waiting_deadline_us = USEC_NEVER;
}

void flow_connected(struct daemon *d, struct flow *f, const struct action *act)
{
	int fd;

	if (act->opened.result != OPEN_OK) {
		f->conn = 0;
		log_line(LOG_DEBUG, "%s: %s", TEXT(&f->destination), open_result_text(act->opened.result));
		flow_local_reset(d, f, act->opened.result);
		return;
	}
	count(&d->counters, CNT_ConnectsOpened);
	flow_is(d, f, FLOW_COMPLETING);
	if (application_complete(d, f->park, &fd))
		flow_opened(d, f, fd);
	/* Else on_park_stream() or on_park_cancel() comes. */
}

int flow_park_open(struct daemon *d)
{
	struct park_config pc = {
		.socket = d->config->client_socket, .any_user = d->config->client_socket_any_user,
		.bypass = d->config->bypass.list, .bypass_count = d->config->bypass.count,
		.streams_max = d->config->connections_max, /* of all workers */
	};
	const char *why;

	d->park = park_new(loop_ev(d->loop), &pc, &park_callbacks, d, &why);
	if (!d->park) {
		log_line(LOG_ERROR, "%s: %s: %s", d->config->client_socket, why, strerror(errno));
		return 1;
	}
	log_line(LOG_INFO, "applications are served at %s", d->config->client_socket);
	return 0;
}
