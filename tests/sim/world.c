/* SPDX-License-Identifier: MIT */
/* Time jumps from one event to the next; after each, what must always hold is checked. */
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"
#include "tunneld/wire/print.h"

enum {
	STALL_S = 20,            /* with a healthy path for so long, something must have moved */
	HEALTHY_LOSS_PPM = 30000,
	END_S = 900,             /* after healing, every end has come to its end by then */
	FORGET_S = 400,          /* and every engine has forgotten it */
};

void world_trace(const struct world *w, const char *format, ...)
{
	va_list ap;

	fprintf(w->trace, "%4llu.%06llu ", (unsigned long long)(w->now_us / USEC_PER_S), (unsigned long long)(w->now_us % USEC_PER_S));
	va_start(ap, format);
	vfprintf(w->trace, format, ap);
	va_end(ap);
	fputc('\n', w->trace);
}

void world_fail(struct world *w, const char *format, ...)
{
	va_list ap;
	int n;

	if (w->failed)
		return;
	w->failed = true;
	n = snprintf(w->failure, sizeof w->failure, "at %llu.%06llu s: ", (unsigned long long)(w->now_us / USEC_PER_S),
		     (unsigned long long)(w->now_us % USEC_PER_S));
	va_start(ap, format);
	vsnprintf(w->failure + n, sizeof w->failure - (size_t)n, format, ap);
	va_end(ap);
	TRACE(w, "FAILED: %s", w->failure);
}

struct packet *packet_new(enum packet_kind kind, unsigned client, unsigned path, bool to_gateway, size_t len)
{
	struct packet *p = calloc(1, sizeof *p + len);

	assert(p);
	p->kind = kind;
	p->client = (uint8_t)client;
	p->path = (uint8_t)path;
	p->to_gateway = to_gateway;
	p->len = len;
	return p;
}

struct end *world_next_end(struct world *w, struct end *after)
{
	struct stream *s;
	unsigned n, i = 0;

	if (!after)
		return w->plan->streams ? &w->streams[0].client : NULL;
	s = after->stream;
	if (!s)
		return NULL;
	if (!after->client)
		i = after->nth + 1u;
	if (i < s->dials)
		return &s->gateway[i];
	n = s->number + 1;
	return n < w->plan->streams ? &w->streams[n].client : NULL;
}

static void trace_packet(const struct world *w, const struct packet *p, const struct link_verdict *v)
{
	char text[SEGMENT_TEXT_MAX] = "probe", fate[64];
	struct segment s = { 0 };

	if (w->plan->segments_only && p->kind != PACKET_SEGMENT)
		return;

	if (p->kind == PACKET_PROBE_REPLY)
		snprintf(text, sizeof text, "probe reply");
	else if (p->kind == PACKET_SEGMENT && segment_parse(&s, p->bytes, p->len, w->plan->client_engine.form) == ERR_OK)
		segment_print(&s, text, sizeof text);
	if (v->fate == LINK_DELIVERED)
		snprintf(fate, sizeof fate, "arrives %llu.%06llu%s%s", (unsigned long long)(v->arrival_us[0] / USEC_PER_S),
			 (unsigned long long)(v->arrival_us[0] % USEC_PER_S), v->copies > 1 ? ", twice" : "",
			 v->corrupted ? ", corrupted" : "");
	else
		snprintf(fate, sizeof fate, "%s", link_fate_text(v->fate));
	world_trace(w, "c%u.%u %s %u>%u %s [%s]", p->client, p->path, p->to_gateway ? "-->" : "<--", s.src_port, s.dst_port, text, fate);
}

static bool is_rst(const struct world *w, const struct packet *p)
{
	struct segment s = { 0 };

	return p->kind == PACKET_SEGMENT && segment_parse(&s, p->bytes, p->len, w->plan->client_engine.form) == ERR_OK &&
	       s.flags & TCP_RST;
}

void world_send(struct world *w, struct packet *p)
{
	struct path *path = &w->paths[p->client][p->path];
	size_t overhead = w->plan->client_engine.form == SEGMENT_SEALED ? SEALED_OVERHEAD : PLAIN_OVERHEAD;
	struct path *bottleneck = w->plan->shared ? &w->paths[0][0] : path;
	struct link *link = p->to_gateway ? &bottleneck->up : &bottleneck->down;
	struct link_verdict v = { .fate = LINK_DOWN };

	if (path->exists && path->carrier)
		v = link_send(link, p->len + overhead, w->now_us);
	if (p->kind == PACKET_SEGMENT)
		w->last_segment_us = w->now_us;
	if (path->lose_rsts & (p->to_gateway ? 1 : 2) && is_rst(w, p))
		v = (struct link_verdict){ .fate = LINK_LOST };
	if (w->trace)
		trace_packet(w, p, &v);
	/* The router says what its limit is; the same number comes to either host by the same way. */
	if (v.fate == LINK_TOO_BIG && !link->config.mute)
		queue_put(&w->queue, (struct occasion){ .at_us = w->now_us + 2 * link->config.delay_us, .what = HAP_TOO_BIG,
			.a = p->to_gateway ? 1u + p->client : HOST_GATEWAY, .b = link->config.mtu,
			.path = p->to_gateway ? p->path : p->client * (unsigned)PATHS_MAX + p->path });
	if (v.corrupted && w->plan->hostile && p->kind == PACKET_SEGMENT) {
		for (uint64_t flips = rnd_log(&link->chance, 1, 8); flips; flips--)
			p->bytes[rnd_below(&link->chance, p->len)] ^= (uint8_t)(1 << rnd_below(&link->chance, 8));
	} else if (v.corrupted) {
		/* The seal does not open. */
		v.copies = 0;
	}
	for (unsigned i = 0; i < v.copies; i++) {
		struct packet *copy = p;

		if (i) {
			copy = malloc(sizeof *p + p->len);
			assert(copy);
			memcpy(copy, p, sizeof *p + p->len);
		}
		queue_put(&w->queue, (struct occasion){ .at_us = v.arrival_us[i], .what = HAP_ARRIVAL, .p = copy });
	}
	if (!v.copies)
		free(p);
}

static void arrive(struct world *w, struct packet *p)
{
	struct path *path = &w->paths[p->client][p->path];
	struct link *link = p->to_gateway ? &path->up : &path->down;

	/* A link that died takes with it what was under way; a NAT keeps only its newest mapping. */
	if (path->exists && path->carrier && link->up && (p->to_gateway || p->nat_epoch == path->nat_epoch)) {
		if (w->plan->back_us)
			returns_arrived(w, p);
		host_receive(&w->hosts[p->to_gateway ? HOST_GATEWAY : 1 + p->client], p);
	}
	free(p);
}

/* Is the path fit to carry data both ways, and has its client found that out? */
static bool fit(const struct world *w, unsigned client, unsigned path)
{
	const struct path *p = &w->paths[client][path];

	return w->hosts[1 + client].views[path].known && p->exists && p->carrier && p->up.up && p->down.up && link_mean_loss_ppm(&p->up.config) <= HEALTHY_LOSS_PPM &&
	       link_mean_loss_ppm(&p->down.config) <= HEALTHY_LOSS_PPM &&
	       p->up.config.corrupt_ppm <= HEALTHY_LOSS_PPM / 3 && p->down.config.corrupt_ppm <= HEALTHY_LOSS_PPM / 3;
}

/* Whatever changed, health is counted anew: hosts need a moment to see it. */
void world_path_changed(struct world *w, unsigned client, unsigned path)
{
	struct path *p = &w->paths[client][path];
	unsigned *n = &w->outage_count[client];
	struct outage *last = *n ? &w->outages[client][*n - 1] : NULL;
	bool healthy = false;

	p->healthy_us = fit(w, client, path) ? w->now_us : USEC_NEVER;
	for (unsigned i = 0; i < w->plan->paths[client]; i++)
		healthy = healthy || w->paths[client][i].healthy_us != USEC_NEVER;
	if (healthy && last && last->until_us == USEC_NEVER)
		last->until_us = w->now_us;
	else if (!healthy && (!last || last->until_us != USEC_NEVER) && *n < OUTAGES_MAX)
		w->outages[client][(*n)++] = (struct outage){ w->now_us, USEC_NEVER };
}

static usec_t longest_outage(const struct world *w, unsigned client, usec_t from_us, usec_t until_us)
{
	usec_t longest = 0;

	for (unsigned i = 0; i < w->outage_count[client]; i++) {
		const struct outage *o = &w->outages[client][i];

		longest = usec_max(longest, usec_since(usec_min(o->until_us, until_us), usec_max(o->from_us, from_us)));
	}
	return longest;
}

static void mtu_learned_later(struct world *w, unsigned client, unsigned path)
{
	const struct path *p = &w->paths[client][path];
	struct occasion o = { .at_us = w->now_us + 2 * USEC_PER_S, .what = HAP_TOO_BIG, .a = 1 + client, .path = path,
		.b = p->up.config.mtu < p->down.config.mtu ? p->up.config.mtu : p->down.config.mtu };

	queue_put(&w->queue, o);
	o.a = HOST_GATEWAY;
	o.path = client * PATHS_MAX + path;
	queue_put(&w->queue, o);
}

static void fault(struct world *w, const struct fault *f)
{
	static const char *const text[] = { "blackout", "restore", "carrier lost", "interface gone", "interface back", "rebind", "RSTs are lost", "link changes" };
	struct path *p = &w->paths[f->client][f->path];
	struct host *h = &w->hosts[1 + f->client];

	TRACE(w, "c%u.%u: %s, directions %u", f->client, f->path, text[f->kind], f->directions);
	switch (f->kind) {
	case FAULT_BLACKOUT:
		p->up.up = p->up.up && !(f->directions & 1);
		p->down.up = p->down.up && !(f->directions & 2);
		break;
	case FAULT_RESTORE:
		p->up.up = p->down.up = true;
		p->lose_rsts = 0;
		break;
	case FAULT_CARRIER_LOST:
		p->carrier = false;
		break;
	case FAULT_INTERFACE_GONE:
		p->exists = false;
		break;
	case FAULT_INTERFACE_BACK:
		if (p->exists && p->carrier)
			return;
		/* A new address: the gateway's NAT mapping is another. */
		p->nat_epoch += !p->exists;
		p->exists = p->carrier = true;
		break;
	case FAULT_REBIND:
		p->nat_epoch++;
		break;
	case FAULT_LOSE_RSTS:
		p->lose_rsts = f->directions;
		break;
	case FAULT_LINK:
		p->up.config = f->up;
		p->down.config = f->down;
		/* A sealed path's host asks for itself (tunneld/paths/paths_size.c), in plain form the subflow does. */
		if (!f->up.mute || !host_plain(h))
			mtu_learned_later(w, f->client, f->path);
		break;
	}
	world_path_changed(w, f->client, f->path);
	if (f->kind == FAULT_CARRIER_LOST || f->kind == FAULT_INTERFACE_GONE)
		host_path_down(h, f->path, f->kind == FAULT_INTERFACE_GONE);
	else if (f->kind == FAULT_INTERFACE_BACK)
		host_path_up(h, f->path);
}

/* From now on nothing stands in the way of a proper end. */
static void heal(struct world *w)
{
	w->healed = true;
	for (unsigned c = 0; c < w->plan->clients; c++)
		for (unsigned i = 0; i < w->plan->paths[c]; i++) {
			struct path *p = &w->paths[c][i];
			struct link_config *both[] = { &p->up.config, &p->down.config };

			fault(w, &(struct fault){ .kind = FAULT_RESTORE, .client = (uint8_t)c, .path = (uint8_t)i });
			fault(w, &(struct fault){ .kind = FAULT_INTERFACE_BACK, .client = (uint8_t)c, .path = (uint8_t)i });
			for (unsigned d = 0; d < 2; d++) {
				both[d]->rate = both[d]->rate < 125000 ? 125000 : both[d]->rate;
				both[d]->loss_ppm = both[d]->loss_ppm < 5000 ? both[d]->loss_ppm : 5000;
				both[d]->bad_enter_ppm = both[d]->corrupt_ppm = 0;
			}
			p->up.bad = p->down.bad = false;
			world_path_changed(w, c, i);
		}
}

/* In plain form the server's path is not one client's: it learns the smallest width. */
static void path_mtu(struct world *w, const struct occasion *o)
{
	struct host *h = &w->hosts[o->a];

	if (!host_plain(h) || o->a != HOST_GATEWAY) {
		host_path_mtu(h, o->path, (uint16_t)o->b);
		return;
	}
	for (path_id id = 0; id < w->plan->server_addresses; id++)
		if (h->views[id].mtu > o->b)
			host_path_mtu(h, id, (uint16_t)o->b);
}

static void happen(struct world *w, const struct occasion *o)
{
	struct host *h = &w->hosts[o->a];

	switch (o->what) {
	case HAP_ARRIVAL:     arrive(w, o->p);                          break;
	case HAP_PUMP:        host_pump(h);                             break;
	case HAP_OPEN:        app_open(o->p);                           break;
	case HAP_DIAL_ANSWER: app_dial_answer(o->p);                    break;
	case HAP_READ:        app_read_again(o->p);                     break;
	case HAP_ABORT:       app_abort(o->p);                          break;
	case HAP_FAULT:       fault(w, &w->plan->fault[o->b]);          break;
	case HAP_PROBE_TIMER: host_probe_timer(h, o->path, o->b);       break;
	case HAP_KEEPALIVE:   host_keepalive(h, o->path);               break;
	case HAP_TOO_BIG:     path_mtu(w, o);                           break;
	case HAP_WRITE:
		((struct end *)o->p)->write_timer = false;
		app_write(o->p);
		break;
	}
}

/* What is awaited of e's stream in e's direction of writing, or NULL; then time alone must not pass. */
static const char *awaited(struct end *e)
{
	struct end *peer = end_peer(e);

	if (e->state == END_OPENING)
		return "its open to end";
	if (e->state != END_OPEN)
		return NULL;
	if (!peer || !peer->conn)
		return NULL;
	if (peer->state == END_DEAD) {
		if (peer->death == DEATH_CLOSED)
			return e->eof && e->shut ? "to be closed, as its peer is" : NULL;
		return e->blocked || e->written > peer->offered || (e->shut && !peer->eof) ? "to hear that its peer is gone" : NULL;
	}
	if (peer->state != END_OPEN || peer->stalling)
		return NULL;
	if (peer->offered < e->written)
		return "its bytes to be delivered";
	if (peer->consumed < peer->offered)
		return "its bytes to be offered again";
	/* With hardly any memory, another may hold it for as long as its reader likes. */
	if (e->blocked && !e->host->world->plan->small_memory)
		return "room to write";
	if (e->shut && !peer->eof)
		return "its EOF to be delivered";
	if (e->shut && e->eof && peer->eof && peer->shut)
		return "to be closed";
	return NULL;
}

/* With fewer subflows allowed than there are paths, a connection may sit on a bad one and cannot leave it. */
static bool crowded(const struct world *w, unsigned client)
{
	return w->plan->client_engine.subflows_max < w->plan->paths[client] || w->plan->gateway_engine.subflows_max < w->plan->paths[client];
}

static bool all_healthy_since(const struct world *w, unsigned client, usec_t since_us)
{
	for (unsigned i = 0; i < w->plan->paths[client]; i++)
		if (w->paths[client][i].healthy_us == USEC_NEVER || w->paths[client][i].healthy_us > since_us)
			return false;
	return true;
}

static void check_stalls(struct world *w)
{
	if (w->now_us - w->checked_us < USEC_PER_S / 2)
		return;
	w->checked_us = w->now_us;
	for (struct end *e = world_next_end(w, NULL); e; e = world_next_end(w, e)) {
		unsigned client = e->stream->plan->client;
		usec_t limit_us = STALL_S * USEC_PER_S;
		const char *what;
		char name[32];

		if (!end_alive(e) || e->progress_us + limit_us > w->now_us || !(what = awaited(e)))
			continue;
		if (e->state == END_OPENING) {
			/* Its own timeout ends it. */
			limit_us = w->plan->client_engine.connect_timeout_us + 2 * USEC_PER_S;
			if (e->born_us + limit_us < w->now_us)
				world_fail(w, "%s is still opening after its connect timeout", end_name(e, name));
			continue;
		}
		/* A gateway that lost its last subflow to a stray RST cannot ask: it waits for break-before-make. */
		if (end_peer(e)->state == END_DEAD)
			limit_us += w->plan->gateway_engine.dead_timeout_us;
		for (unsigned i = 0; i < w->plan->paths[client]; i++) {
			const struct path *p = &w->paths[client][i];

			if (crowded(w, client) && !all_healthy_since(w, client, w->now_us - limit_us))
				break;
			if (p->healthy_us != USEC_NEVER && usec_max(p->healthy_us, e->progress_us) + limit_us <= w->now_us) {
				world_fail(w, "%s has waited %llu ms for %s, with path %u healthy", end_name(e, name),
					   (unsigned long long)((w->now_us - usec_max(p->healthy_us, e->progress_us)) / 1000), what, i);
				return;
			}
		}
	}
}

/* Four losses of one segment in a row (a bad spell is as long as its packets are rare), or two of its timeouts, outlast a short patience. */
static bool laborious_link(const struct link_config *c)
{
	return link_mean_loss_ppm(c) > 100000 || (c->bad_enter_ppm && c->bad_loss_ppm > 100000) || c->queue_bytes > c->rate;
}

static bool laborious(const struct world *w, unsigned client)
{
	const struct plan *p = w->plan;

	for (unsigned i = 0; i < p->paths[client]; i++)
		if (laborious_link(&p->path[client][i].up) || laborious_link(&p->path[client][i].down))
			return true;
	for (unsigned i = 0; i < p->faults; i++)
		if (p->fault[i].client == client && p->fault[i].kind == FAULT_LINK &&
		    (laborious_link(&p->fault[i].up) || laborious_link(&p->fault[i].down)))
			return true;
	return false;
}

/* Was there nothing in anybody's plan that keeps this stream from ending in order with every byte? */
static bool must_be_clean(struct world *w, struct stream *s)
{
	const struct stream_plan *plan = s->plan;
	usec_t patience_us = usec_min(usec_min(w->plan->client_engine.dead_timeout_us, w->plan->gateway_engine.dead_timeout_us),
				      usec_min(w->plan->client_engine.close_timeout_us, w->plan->gateway_engine.close_timeout_us));

	if (w->plan->must_complete)
		return true;
	if (plan->dial != OPEN_OK || w->plan->hostile || w->plan->lenient || w->plan->small_memory || s->client.death == DEATH_FAILED || s->half_open)
		return false;
	for (unsigned i = 0; i < 2; i++)
		if (plan->ends[i].abort_us != USEC_NEVER || plan->ends[i].finish == FINISH_ABORT)
			return false;
	if (crowded(w, plan->client) || (patience_us < 30 * USEC_PER_S && laborious(w, plan->client)))
		return false;
	return longest_outage(w, plan->client, s->client.born_us, s->client.dead_us) < patience_us / 2;
}

static void check_stream_at_end(struct world *w, struct stream *s, struct result *out)
{
	struct end *ends[] = { &s->client, end_peer(&s->client) };

	out->opened += s->client.token != 0;
	if (s->client.death == DEATH_CLOSED && ends[1] && ends[1]->death == DEATH_CLOSED)
		out->clean++;
	if (s->client.born_us < w->plan->outage_us && s->client.dead_us > w->plan->ends_us)
		world_fail(w, "stream %u lived on without a path until %llu ms", s->number, (unsigned long long)(s->client.dead_us / 1000));
	for (unsigned i = 0; i < 2; i++)
		if (w->delays[i].worst_us > w->plan->delay_most_us)
			world_fail(w, "a message %s the client took %llu ms, until %llu ms; %llu ms is the most it may", i ? "to" : "from",
				   (unsigned long long)w->delays[i].worst_us / 1000, (unsigned long long)w->delays[i].worst_at_us / 1000,
				   (unsigned long long)w->plan->delay_most_us / 1000);
	if (w->failed || !must_be_clean(w, s))
		return;
	if (s->client.death == DEATH_FAILED) {
		world_fail(w, "stream %u did not open (%s) and nothing was in its way", s->number, open_result_text(s->client.why));
		return;
	}
	if (!ends[1]) {
		world_fail(w, "stream %u was open, but no end at the gateway has its token", s->number);
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		char name[32];

		/* All went both ways, one end knows it, and the other's last DATA_ACK fell into an outage. */
		if (ends[i]->death == DEATH_RESET && ends[!i]->death == DEATH_CLOSED && ends[0]->eof && ends[1]->eof &&
		    longest_outage(w, s->plan->client, s->client.born_us, ends[i]->dead_us) > USEC_PER_S / 10)
			continue;
		if (ends[i]->death != DEATH_CLOSED)
			world_fail(w, "%s ended by death %d (%s) and nothing was in its way", end_name(ends[i], name), ends[i]->death,
				   open_result_text(ends[i]->why));
		if (ends[i]->consumed != ends[!i]->total || ends[!i]->written != ends[!i]->total)
			world_fail(w, "%s was closed after reading %llu of %llu bytes", end_name(ends[i], name),
				   (unsigned long long)ends[i]->consumed, (unsigned long long)ends[!i]->total);
	}
}

/* Until the next event or deadline; false: there is none. */
static bool step(struct world *w)
{
	struct host *due = NULL;
	usec_t at_us = queue_next_us(&w->queue);

	for (unsigned i = 0; i <= w->plan->clients; i++)
		if (w->hosts[i].deadline_us < at_us) {
			due = &w->hosts[i];
			at_us = due->deadline_us;
		}
	if (at_us == USEC_NEVER)
		return false;
	w->now_us = usec_max(w->now_us, at_us);
	if (due) {
		host_deadline(due);
	} else {
		struct occasion o = queue_take(&w->queue);

		happen(w, &o);
	}
	if (!w->plan->bench && !w->plan->hostile && !w->plan->lenient)
		check_stalls(w);
	return true;
}

static bool all_dead(struct world *w)
{
	for (struct end *e = world_next_end(w, NULL); e; e = world_next_end(w, e))
		if (e->state != END_DEAD)
			return false;
	return true;
}

static uint32_t connections(const struct world *w)
{
	struct engine_stats stats;
	uint32_t sum = 0;

	for (unsigned i = 0; i <= w->plan->clients; i++) {
		engine_stats(w->hosts[i].engine, &stats);
		sum += stats.connections;
	}
	return sum;
}

static void run_to_the_end(struct world *w)
{
	usec_t poke_us = w->plan->heal_us + 30 * USEC_PER_S;

	while (!w->failed && !all_dead(w)) {
		if (!step(w)) {
			/* Without probes an end whose peer went unheard sleeps until its application writes. */
			if (!host_plain(&w->hosts[HOST_GATEWAY]) || w->now_us > w->plan->heal_us + END_S * USEC_PER_S) {
				world_fail(w, "nothing will ever happen again, and there are open streams");
				return;
			}
			w->now_us = poke_us;
		}
		if (!w->healed && w->now_us >= w->plan->heal_us)
			heal(w);
		if (w->healed && w->now_us >= poke_us) {
			/*
			 * Whose peer went unheard and who has nothing to say would wait for ever, as with TCP; as does who was
			 * answered by a SYN cookie, and whose third ACK was lost.
			 */
			for (struct end *e = world_next_end(w, NULL); e; e = world_next_end(w, e)) {
				struct end *peer = end_alive(e) ? end_peer(e) : NULL;

				if (peer ? peer->state == END_DEAD && peer->death != DEATH_CLOSED
				    : end_alive(e) && e->client && host_plain(e->host) && !e->stream->dials)
					app_poke(e);
				/* Flipped bits may have made a connection that no segment fits any more. */
				if (w->plan->hostile && w->now_us >= w->plan->heal_us + 200 * USEC_PER_S)
					app_abort(e);
			}
			poke_us = w->now_us + 30 * USEC_PER_S;
		}
		if (w->now_us > w->plan->heal_us + END_S * USEC_PER_S)
			for (struct end *e = world_next_end(w, NULL); e; e = world_next_end(w, e)) {
				char name[32];

				if (e->state != END_DEAD)
					world_fail(w, "%s has not come to an end (state %d)", end_name(e, name), e->state);
			}
	}
	for (usec_t until_us = w->now_us + FORGET_S * USEC_PER_S; !w->failed && connections(w);) {
		if (!step(w) || w->now_us > until_us)
			world_fail(w, "all streams have ended and an engine still holds connections");
		if (!w->healed && w->now_us >= w->plan->heal_us)
			heal(w);
	}
	for (unsigned i = 0; i <= w->plan->clients && !w->failed; i++) {
		struct engine_stats stats;

		engine_stats(w->hosts[i].engine, &stats);
		if (stats.memory_used || stats.subflows)
			world_fail(w, "%s: no connection is left, but %llu bytes and %u subflows are", world_host_name(i),
				   (unsigned long long)stats.memory_used, stats.subflows);
	}
}

/* Everything sent must stand in proportion to what was delivered; at first a window may go, and be lost, on each path. */
static void check_economy(struct world *w, const struct result *r)
{
	uint64_t limit = 8 * r->delivered_bytes + (w->plan->lenient ? 800000u : 400000u) * w->plan->streams;
	unsigned paths = 0;

	for (unsigned i = 0; i < w->plan->clients; i++)
		paths = paths < w->plan->paths[i] ? w->plan->paths[i] : paths;
	limit += 50000u * paths * w->plan->streams;

	/* A key that was damaged makes data that nobody ever acknowledges. */
	if (!w->failed && !w->plan->hostile && r->payload_bytes > limit)
		world_fail(w, "%llu bytes of payload were sent to deliver %llu", (unsigned long long)r->payload_bytes,
			   (unsigned long long)r->delivered_bytes);
}

static void start(struct world *w)
{
	const struct plan *plan = w->plan;

	for (unsigned i = 0; i <= plan->clients; i++)
		host_init(&w->hosts[i], w, i);
	for (unsigned i = 0; i < plan->streams && !w->failed; i++) {
		struct rnd r = rnd_fork(w->seed, "key", i);
		struct stream *s = &w->streams[i];

		s->number = i;
		s->plan = &plan->stream[i];
		s->key[0] = (uint32_t)rnd_below(&r, 60000);
		s->key[1] = (uint32_t)rnd_below(&r, 60000);
		s->client = (struct end){ .stream = s, .client = true, .host = &w->hosts[1 + s->plan->client], .plan = &s->plan->ends[0] };
		queue_put(&w->queue, (struct occasion){ .at_us = s->plan->open_us, .what = HAP_OPEN, .p = s });
	}
	for (unsigned i = 0; i < plan->faults; i++)
		queue_put(&w->queue, (struct occasion){ .at_us = plan->fault[i].at_us, .what = HAP_FAULT, .b = i });
	if (host_plain(&w->hosts[HOST_GATEWAY]))
		for (path_id id = 0; id < plan->server_addresses; id++)
			host_path_up(&w->hosts[HOST_GATEWAY], id);
	for (unsigned c = 0; c < plan->clients && !w->failed; c++)
		for (unsigned i = 0; i < plan->paths[c]; i++) {
			struct path *p = &w->paths[c][i];
			const struct path_plan *pp = &plan->path[c][i];

			link_init(&p->up, &pp->up, rnd_fork(w->seed, "up", c * PATHS_MAX + i));
			link_init(&p->down, &pp->down, rnd_fork(w->seed, "down", c * PATHS_MAX + i));
			middlebox_init(&p->box, &pp->box, rnd_fork(w->seed, "box", c * PATHS_MAX + i));
			p->exists = p->carrier = !pp->absent_at_start;
			p->healthy_us = USEC_NEVER;
			world_path_changed(w, c, i);
			queue_put(&w->queue, (struct occasion){ .at_us = USEC_PER_S, .what = HAP_KEEPALIVE, .a = 1 + c, .path = i });
			if (p->exists)
				host_path_up(&w->hosts[1 + c], i);
		}
}

/* For whoever reads the trace of a failure: what every engine held then. */
static void trace_engines(const struct world *w)
{
	for (unsigned i = 0; i <= w->plan->clients; i++) {
		const struct engine *e = w->hosts[i].engine;
		struct conn_info c;
		struct subflow_info s;

		for (conn_id id = engine_next_conn(e, 0); id; id = engine_next_conn(e, id)) {
			if (engine_conn_info(e, id, &c) != ERR_OK)
				continue;
			world_trace(w, "%s conn %u %s %s: snd_una %llu snd_nxt +%lld wnd %u, rcv_nxt %llu wnd %u, holds %llu to send %llu to read, "
				    "deadline %lld us", world_host_name(i), id, c.state, c.host ? "" : "(orphan)",
				    (unsigned long long)c.snd_una, (long long)(c.snd_nxt - c.snd_una), c.snd_wnd,
				    (unsigned long long)c.rcv_nxt, c.rcv_wnd, (unsigned long long)c.snd_buffer,
				    (unsigned long long)c.rcv_buffer, (long long)(w->hosts[i].deadline_us - w->now_us));
			for (uint32_t n = 0; engine_subflow_info(e, id, n, &s) == ERR_OK; n++)
				world_trace(w, "    subflow %u path %u %u>%u %s %s%s rto %u ms srtt %.1f cwnd %u in flight %u", s.id, s.path,
					    s.local_port, s.remote_port, s.state, s.mode, s.stale ? " stale" : "", s.rto_ms, s.srtt_ms,
					    s.cwnd, s.in_flight);
		}
	}
}

static void collect(struct world *w, struct result *out)
{
	const struct end *ends[] = { &w->streams[0].client, &w->streams[0].gateway[0] };

	for (unsigned i = 0; i < 2; i++) {
		out->ends[i].death = ends[i]->death;
		out->ends[i].why = ends[i]->why;
		out->ends[i].consumed = ends[i]->consumed;
	}
	out->connections = connections(w);
	out->last_segment_us = w->last_segment_us;
	out->virtual_us = w->now_us;
	out->steps = w->steps;
	out->delivered_bytes = w->delivered_bytes;
	out->first_us = w->first_data_us;
	out->last_us = w->last_data_us;
	out->gap_us = w->gap_us;
	memcpy(out->delivered_of, w->delivered_of, sizeof out->delivered_of);
	for (unsigned i = 0; i < w->plan->streams; i++)
		out->delivered_stream[i] = w->streams[i].client.offered + w->streams[i].gateway[0].offered;
	if (w->plan->watch_buffers)
		buffers_collect(w, out);
	for (unsigned i = 0; i <= w->plan->clients; i++) {
		out->segments += w->hosts[i].segments;
		out->payload_bytes += w->hosts[i].payload_bytes;
	}
}

void world_run(const struct plan *plan, uint64_t seed, FILE *trace, struct result *out)
{
	struct world *w = calloc(1, sizeof *w);

	assert(w);
	*out = (struct result){ 0 };
	w->seed = seed;
	w->plan = plan;
	w->trace = trace;
	start(w);
	if (plan->bench)
		while (!w->failed && w->now_us < plan->stop_us && step(w))
			;
	else
		run_to_the_end(w);
	if (plan->back_us && !w->failed)
		returns_judge(w);
	if (plan->calm && !w->failed)
		jitter_judge(w, out);
	collect(w, out);
	if (!plan->bench) {
		for (unsigned i = 0; i < plan->streams; i++)
			check_stream_at_end(w, &w->streams[i], out);
		check_economy(w, out);
	}
	if ((w->failed || plan->bench) && w->trace && !plan->segments_only)
		trace_engines(w);
	out->failed = w->failed;
	memcpy(out->failure, w->failure, sizeof out->failure);
	while (w->queue.count) {
		struct occasion o = queue_take(&w->queue);

		if (o.what == HAP_ARRIVAL)
			free(o.p);
	}
	queue_free(&w->queue);
	for (unsigned i = 0; i <= plan->clients; i++)
		host_close(&w->hosts[i]);
	free(w);
}
