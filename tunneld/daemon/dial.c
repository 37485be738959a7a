/* SPDX-License-Identifier: MIT */
/* A gateway's streams before they are open: destinations dialled, or forwarded to by plain.listen, or refused. */
#include "tunneld/daemon/flow.h"

#include <errno.h>
#include <string.h>

#include "tunneld/io/clock.h"
#include "tunneld/io/log.h"
#include "tunneld/daemon/verdict.h"

#define TEXT(a) addr_print((a), (char[ADDR_TEXT_MAX]){ 0 })

static void dialled_event(struct daemon *d, struct flow *f, enum open_result result, int icmp_code)
{
	struct event ev = {
		.kind = EV_DIALLED,
		.dialled = { .conn = f->conn, .host = flow_host(f), .result = result, .icmp_code = (uint8_t)icmp_code },
	};

	if (result != OPEN_OK)
		count(&d->counters, CNT_DialsFailed);
	if (flow_event(f, &ev) == ERR_OK && result == OPEN_OK)
		return;
	f->conn = 0;
	flow_local_reset(d, f, result);
}

void flow_dial_options(struct flow *f, const struct carried_options *o)
{
	if (f->state == FLOW_OPEN)
		dial_options(f->stream.fd, f->destination.family, o->keep_idle_s, o->keep_interval_s, o->keep_count, o->tos);
}

static void on_dialled(void *owner, int fd, int error)
{
	struct flow *f = owner;
	struct daemon *d = f->daemon;

	d->now_us = clock_now();
	if (error) {
		log_line(LOG_DEBUG, "%s for %s: %s", TEXT(&f->destination), flow_peer_text(f), strerror(error));
		dialled_event(d, f, verdict_of_errno(error), verdict_icmp_code(error));
		return;
	}
	error = stream_open(&f->stream, &d->streams, fd, f);
	if (error) {
		dialled_event(d, f, verdict_of_errno(error), verdict_icmp_code(error));
		return;
	}
	flow_is(d, f, FLOW_OPEN);
	dialled_event(d, f, OPEN_OK, 0);
}

void flow_dial(struct daemon *d, struct engine *from, const struct action *act)
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
