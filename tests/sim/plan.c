/* SPDX-License-Identifier: MIT */
#include "tests/sim/plan.h"

enum { BYTES_MAX = 24000000 };

struct engine_config plan_engine(bool gateway)
{
	return (struct engine_config){
		.connections_max = 64, .paths_max = CLIENTS_MAX * PATHS_MAX, .memory_max = 64 << 20,
		.fastclose = FASTCLOSE_RST, .form = SEGMENT_SEALED, .gateway = gateway,
		.subflows_max = 8,
		.connect_timeout_us = 30 * USEC_PER_S, .dead_timeout_us = 60 * USEC_PER_S,
		.close_timeout_us = 60 * USEC_PER_S,
	};
}

static void loss_of(struct link_config *c, struct rnd *r)
{
	c->loss_ppm = c->bad_enter_ppm = c->bad_leave_ppm = c->bad_loss_ppm = 0;
	switch (rnd_below(r, 8)) {
	case 0: case 1:
		c->loss_ppm = (uint32_t)rnd_log(r, 10, 20000);
		break;
	case 2:
		c->loss_ppm = (uint32_t)rnd_log(r, 20000, 150000);
		break;
	case 3:
		c->bad_enter_ppm = (uint32_t)rnd_log(r, 100, 20000);
		c->bad_leave_ppm = (uint32_t)rnd_log(r, 20000, 400000);
		c->bad_loss_ppm = (uint32_t)rnd_range(r, 300000, 1000000);
		break;
	default:
		break;
	}
}

/* A queue that has no room for two packets is no link that anybody has. */
static void queue_takes_some(struct link_config *c)
{
	if (c->queue_bytes < 8u * c->mtu)
		c->queue_bytes = 8u * c->mtu;
}

static struct link_config link_of(struct rnd *r)
{
	struct link_config c = {
		.rate = rnd_log(r, 40000, 12500000), .delay_us = rnd_log(r, 100, 150000),
		.mtu = rnd_percent(r, 70) ? 1500 : rnd_percent(r, 20) ? 9000 : (uint16_t)rnd_range(r, 700, 1500),
	};

	if (rnd_percent(r, 30))
		c.jitter_us = rnd_log(r, 10, c.delay_us + 10);
	c.queue_bytes = (uint32_t)(c.rate * rnd_range(r, 5, 250) / 1000);
	queue_takes_some(&c);
	loss_of(&c, r);
	if (rnd_percent(r, 25))
		c.dup_ppm = (uint32_t)rnd_log(r, 100, 100000);
	if (rnd_percent(r, 25)) {
		c.reorder_ppm = (uint32_t)rnd_log(r, 100, 200000);
		c.reorder_us = rnd_log(r, 100, 2 * c.delay_us + 200);
	}
	if (rnd_percent(r, 15))
		c.corrupt_ppm = (uint32_t)rnd_log(r, 10, 20000);
	return c;
}

/* The two directions of a path are mostly alike. */
static struct path_plan path_of(struct rnd *r)
{
	struct path_plan p = { .up = link_of(r) };

	p.down = rnd_percent(r, 25) ? link_of(r) : p.up;
	p.down.mtu = p.up.mtu;
	queue_takes_some(&p.down);
	if (rnd_percent(r, 30))
		loss_of(&p.down, r);
	p.backup = rnd_percent(r, 15);
	p.absent_at_start = rnd_percent(r, 10);
	return p;
}

static struct end_plan end_of(struct rnd *r)
{
	struct end_plan e = {
		.total = rnd_percent(r, 15) ? 0 : rnd_percent(r, 10) ? rnd_log(r, 200000, 20000000) : rnd_log(r, 1, 1000000),
		.write_max = (uint32_t)(rnd_percent(r, 50) ? 65536 : rnd_log(r, 1, 65536)),
		.read_max = (uint32_t)(rnd_percent(r, 60) ? 1 << 20 : rnd_log(r, 100, 65536)),
		.finish = rnd_percent(r, 8) ? FINISH_ABORT : FINISH_SHUTDOWN,
		.abort_us = rnd_percent(r, 12) ? rnd_log(r, 1, 10 * USEC_PER_S) : USEC_NEVER,
	};

	/* many tiny writes cost time and teach nothing new */
	if (e.total / e.write_max > 300)
		e.write_max = (uint32_t)(e.total / 300);
	if (rnd_percent(r, 30)) {
		e.gap_ppm = (uint32_t)rnd_log(r, 1000, 1000000);
		e.gap_us = rnd_log(r, 100, usec_min(3 * USEC_PER_S, 3 * USEC_PER_S * 1000000 / e.gap_ppm / (1 + e.total / e.write_max) + 100));
	}
	if (rnd_percent(r, 25)) {
		e.stall_ppm = (uint32_t)rnd_log(r, 1000, 500000);
		e.stall_us = rnd_percent(r, 70) ? rnd_log(r, 1000, 3 * USEC_PER_S) : rnd_log(r, USEC_PER_S, 30 * USEC_PER_S);
	}
	return e;
}

static struct stream_plan stream_of(struct rnd *r, unsigned clients)
{
	struct stream_plan s = {
		.client = (uint8_t)rnd_below(r, clients), .dial = OPEN_OK,
		/* Mostly when the paths have had time to come up. */
		.open_us = rnd_percent(r, 5) ? 0 : USEC_PER_S + (rnd_percent(r, 40) ? 0 : rnd_log(r, 1, 12 * USEC_PER_S)),
		.dial_us = rnd_percent(r, 50) ? 0 : rnd_log(r, 10, 500000),
	};
	static const enum open_result failures[] = {
		OPEN_REFUSED, OPEN_TIMED_OUT, OPEN_NET_UNREACHABLE, OPEN_HOST_UNREACHABLE, OPEN_PROHIBITED, OPEN_NO_RESOURCES,
	};

	for (unsigned i = 0; i < 2; i++)
		s.ends[i] = end_of(r);
	for (unsigned i = 0; i < 2; i++)
		if (s.ends[!i].total / s.ends[i].read_max > 1000)
			s.ends[i].read_max = (uint32_t)(s.ends[!i].total / 1000);
	/* A slow reader is one thing, one who takes hours another: a minute in all, about. */
	for (unsigned i = 0; i < 2; i++) {
		uint64_t reads = 2 * s.ends[!i].total / s.ends[i].read_max + s.ends[!i].total / 1000 + 1;

		s.ends[i].stall_us = usec_min(s.ends[i].stall_us, 60 * USEC_PER_S / (1 + reads * s.ends[i].stall_ppm / 1000000));
	}
	switch (rnd_below(r, 12)) {
	case 0:
		s.dial = failures[rnd_below(r, sizeof failures / sizeof *failures)];
		break;
	case 1:
		if (rnd_percent(r, 30)) {
			s.dial = OPEN_TIMED_OUT;
			s.dial_us = USEC_NEVER;
		} else {
			s.dial_us = rnd_log(r, 500000, 10 * USEC_PER_S);
		}
		break;
	default:
		break;
	}
	/* Request and answer, whichever side asks; an end waiting for an end that waits would be our own fault. */
	if (rnd_percent(r, 40)) {
		struct end_plan *answerer = &s.ends[rnd_below(r, 2)];

		answerer->shut_after_eof = true;
		answerer->write_after_eof = rnd_percent(r, 50);
	}
	return s;
}

static void fault_add(struct plan *p, struct fault f)
{
	unsigned i;

	if (p->faults == FAULTS_MAX)
		return;
	for (i = p->faults++; i && p->fault[i - 1].at_us > f.at_us; i--)
		p->fault[i] = p->fault[i - 1];
	p->fault[i] = f;
}

static void fault_of(struct plan *p, struct rnd *r, usec_t horizon)
{
	uint8_t client = (uint8_t)rnd_below(r, p->clients), path = (uint8_t)rnd_below(r, p->paths[client]);
	struct fault f = {
		.at_us = rnd_percent(r, 30) ? rnd_log(r, 1, horizon) : rnd_range(r, 1, horizon),
		.client = client, .path = path, .directions = 3,
		.up = p->path[client][path].up, .down = p->path[client][path].down,
	};
	/* Mostly short: what is to be seen is what happens at both edges. */
	usec_t lasts = rnd_percent(r, 85) ? rnd_log(r, 1000, 10 * USEC_PER_S) : rnd_log(r, USEC_PER_S, 90 * USEC_PER_S);

	switch (rnd_below(r, 10)) {
	case 0: case 1: case 2:
		f.kind = FAULT_BLACKOUT;
		f.directions = rnd_percent(r, 60) ? 3 : (uint8_t)rnd_range(r, 1, 2);
		fault_add(p, f);
		/* sometimes the whole client goes silent */
		if (rnd_percent(r, 20))
			for (f.path = 0; f.path < p->paths[client]; f.path++)
				fault_add(p, f);
		f.at_us += lasts;
		f.kind = FAULT_RESTORE;
		for (f.path = 0; f.path < p->paths[client]; f.path++)
			fault_add(p, f);
		break;
	case 3: case 4:
		f.kind = rnd_percent(r, 50) ? FAULT_CARRIER_LOST : FAULT_INTERFACE_GONE;
		fault_add(p, f);
		f.kind = FAULT_INTERFACE_BACK;
		f.at_us += lasts;
		fault_add(p, f);
		break;
	case 5: case 6:
		f.kind = FAULT_REBIND;
		fault_add(p, f);
		break;
	default: {
		struct path_plan other = path_of(r);

		f.kind = FAULT_LINK;
		f.up = other.up;
		f.down = other.down;
		if (rnd_percent(r, 70)) {
			f.up.mtu = f.down.mtu = p->path[client][path].up.mtu;
			queue_takes_some(&f.up);
			queue_takes_some(&f.down);
		}
		fault_add(p, f);
		break;
	}
	}
}

static struct middlebox_config box_of(struct rnd *r)
{
	struct middlebox_config c = { .strip_from_us = USEC_NEVER };

	if (rnd_percent(r, 50))
		return c;
	c.sequence = rnd_percent(r, 50);
	if (rnd_percent(r, 30))
		c.split = (uint16_t)rnd_log(r, 100, 1400);
	c.strip_syn = rnd_percent(r, 10);
	if (rnd_percent(r, 10))
		c.strip_from_us = USEC_PER_S + rnd_log(r, 1, 20 * USEC_PER_S);
	/* Of DATA_ACKs alone: whoever hears none goes on at the pace of his window, and that is no way to end a test. */
	c.strip_one_way = c.strip_from_us == USEC_NEVER && rnd_percent(r, 20);
	if (rnd_percent(r, 5))
		c.rewrite_ppm = (uint32_t)rnd_log(r, 100, 100000);
	return c;
}

/* The same world in plain form, without seals, probes or Convert, and with middleboxes. */
static void make_plain(struct plan *p, struct rnd *r)
{
	p->client_engine.form = p->gateway_engine.form = SEGMENT_PLAIN;
	/* Who has nothing to say, and whose peer a NAT has cut off, learns of it by nothing else. */
	p->client_engine.keepalive_us = p->gateway_engine.keepalive_us = 200 * USEC_PER_S;
	p->server_addresses = (unsigned)rnd_range(r, 1, 2);
	p->announce = rnd_percent(r, 50);
	p->no_joins = rnd_percent(r, 30) && p->announce && p->server_addresses > 1;
	/* Nobody probes: whether a connection lives through a fault is a matter of its retransmission timers. */
	p->lenient = p->faults > 0;
	for (unsigned c = 0; c < p->clients; c++)
		for (unsigned i = 0; i < p->paths[c]; i++) {
			struct middlebox_config *box = &p->path[c][i].box;

			*box = box_of(r);
			p->lenient |= box->strip_syn || box->strip_from_us != USEC_NEVER;
			p->hostile |= box->rewrite_ppm > 0;
		}
}

void plan_of_seed(struct plan *p, uint64_t seed)
{
	static const char *const controllers[] = { "default", "default", "cubic", "lia", "olia", "reno" };
	static const char *const schedulers[] = { "default", "default", "blest", "minrtt", "redundant" };
	struct rnd r = rnd_fork(seed, "shape", 0), of_control;
	usec_t horizon = 0;
	unsigned faults;

	*p = (struct plan){ .check_every = 1 };
	p->clients = rnd_percent(&r, 15) ? 2 : 1;
	for (unsigned c = 0; c < p->clients; c++)
		p->paths[c] = rnd_percent(&r, 55) ? 2 : (unsigned)rnd_range(&r, 1, PATHS_MAX);
	p->streams = rnd_percent(&r, 40) ? 1 : (unsigned)rnd_range(&r, 1, RANDOM_STREAMS_MAX);
	if (rnd_percent(&r, 70))
		horizon = rnd_log(&r, USEC_PER_S / 10, 40 * USEC_PER_S);
	faults = horizon ? (unsigned)rnd_log(&r, 1, 15) : 0;
	p->hostile = rnd_percent(&r, 3);
	p->small_memory = rnd_percent(&r, 8);
	p->batch_us = rnd_percent(&r, 70) ? 0 : rnd_log(&r, 10, 2000);
	p->event_time = rnd_percent(&r, 30);
	p->heard_is_up = rnd_percent(&r, 70);

	for (unsigned c = 0; c < p->clients; c++)
		for (unsigned i = 0; i < p->paths[c]; i++) {
			struct rnd of_path = rnd_fork(seed, "path", c * PATHS_MAX + i);

			p->path[c][i] = path_of(&of_path);
			if (i == 0)
				p->path[c][i].absent_at_start = p->path[c][i].backup = false;
		}
	for (unsigned i = 0; i < p->streams; i++) {
		struct rnd of_stream = rnd_fork(seed, "stream", i);

		p->stream[i] = stream_of(&of_stream, p->clients);
	}
	for (unsigned i = 0; i < faults; i++) {
		struct rnd of_fault = rnd_fork(seed, "fault", i);

		fault_of(p, &of_fault, horizon);
	}
	/* All of it must get through the slowest link that there is once all are well. */
	for (unsigned i = 0; i < p->streams; i++)
		for (unsigned k = 0; k < 2; k++)
			if (p->stream[i].ends[k].total > BYTES_MAX / p->streams)
				p->stream[i].ends[k].total = BYTES_MAX / p->streams;
	p->heal_us = 15 * USEC_PER_S;
	if (p->faults && p->fault[p->faults - 1].at_us >= p->heal_us)
		p->heal_us = p->fault[p->faults - 1].at_us + 1;

	of_control = rnd_fork(seed, "control", 0);
	r = rnd_fork(seed, "engine", 0);
	for (unsigned gateway = 0; gateway < 2; gateway++) {
		struct engine_config *e = gateway ? &p->gateway_engine : &p->client_engine;

		*e = plan_engine(gateway);
		(void)rnd_percent(&r, 20);
		e->congestion = controllers[rnd_below(&of_control, sizeof controllers / sizeof *controllers)];
		e->scheduler = schedulers[rnd_below(&of_control, sizeof schedulers / sizeof *schedulers)];
		e->checksum = rnd_percent(&r, 25);
		e->fastclose = rnd_percent(&r, 25) ? FASTCLOSE_ACK : FASTCLOSE_RST;
		e->subflows_max = (uint32_t)(rnd_percent(&r, 70) ? 8 : rnd_range(&r, 1, 4));
		e->connect_timeout_us = rnd_range(&r, 5, 30) * USEC_PER_S;
		e->dead_timeout_us = rnd_range(&r, 10, 60) * USEC_PER_S;
		e->close_timeout_us = rnd_range(&r, 10, 60) * USEC_PER_S;
		if (p->small_memory) {
			e->memory_max = rnd_log(&r, 1 << 18, 1 << 21);
			e->connections_max = (uint32_t)rnd_range(&r, 2, 8);
		}
	}
	r = rnd_fork(seed, "plain", 0);
	if (rnd_percent(&r, 25))
		make_plain(p, &r);
}
