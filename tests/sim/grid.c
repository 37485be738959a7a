/* SPDX-License-Identifier: MIT */
/* Controllers and schedulers over a grid of links: what part of the links each makes use of. */
#include "tests/sim/grid.h"

#include <string.h>

#include "tests/sim/sim.h"

enum { RUN_S = 8, SHORT_BYTES = 2000000, LONG_BYTES = 120000000, LONG_S = 60, SIDES = 4 };

struct links { const char *name; struct { unsigned mbit, rtt_ms; } side[SIDES]; };
static const struct links links[] = {
	{ "100M 10ms",            { { 100, 10 } } },
	{ "100M 10 + 50M 40",     { { 100, 10 }, { 50, 40 } } },
	{ "80M 20 + 20M 200",     { { 80, 20 }, { 20, 200 } } },
	{ "30M 40 + 30M 40",      { { 30, 40 }, { 30, 40 } } },
	{ "4 x 25M 10..120",      { { 25, 10 }, { 25, 30 }, { 25, 60 }, { 25, 120 } } },
	{ "300M 5 + 10M 60",      { { 300, 5 }, { 10, 60 } } },
};
static const unsigned queue_ms[] = { 10, 50, 200 }, loss_ppm[] = { 0, 1000, 10000 };
static const char *const controllers[] = { "cubic", "bbr", "lia", "olia", "reno" };
/* What two subflows of one connection may take beside one of another, at a shared bottleneck; coupled ones, RFC 6356 1: about a half. */
static const struct { double least, most; } beside_one[] = { { 0.60, 0.75 }, { 0.60, 0.75 }, { 0.35, 0.53 }, { 0.40, 0.62 }, { 0.60, 0.75 } };
static const char *const schedulers[] = { "ecf", "blest", "minrtt", "redundant" };
enum {
	LINKS = sizeof links / sizeof *links, QUEUES = sizeof queue_ms / sizeof *queue_ms, LOSSES = sizeof loss_ppm / sizeof *loss_ppm,
	CONTROLLERS = sizeof controllers / sizeof *controllers, SCHEDULERS = sizeof schedulers / sizeof *schedulers,
};

static void plan_common(struct plan *p, const char *congestion, const char *scheduler, uint64_t total)
{
	*p = (struct plan){ .clients = 1, .streams = 1, .bench = true, .heard_is_up = true, .check_every = 100000 };
	p->client_engine = plan_engine(false);
	p->gateway_engine = plan_engine(true);
	p->client_engine.scheduler = p->gateway_engine.scheduler = scheduler;
	p->client_engine.congestion = p->gateway_engine.congestion = congestion;
	p->stop_us = (total == LONG_BYTES ? 1u + LONG_S : 1u + RUN_S) * USEC_PER_S;
	for (unsigned s = 0; s < CLIENTS_MAX; s++) {
		p->stream[s] = (struct stream_plan){ .open_us = USEC_PER_S, .dial = OPEN_OK, .client = (uint8_t)s };
		for (unsigned i = 0; i < 2; i++)
			p->stream[s].ends[i] = (struct end_plan){ .write_max = 65536, .read_max = 1 << 30, .abort_us = USEC_NEVER, .shut_after_eof = true };
		p->stream[s].ends[1].total = total;
	}
}

static struct link_config link_of(unsigned mbit, unsigned rtt_ms, unsigned queue, unsigned loss)
{
	struct link_config c = { .rate = mbit * UINT64_C(125000), .delay_us = rtt_ms * USEC_PER_MS / 2, .loss_ppm = loss, .mtu = 1500 };

	c.queue_bytes = (uint32_t)(c.rate * queue / 1000);
	return c;
}

/* Share of the sum of the rates, from open to the last byte; negative: the run failed. */
static double share(const struct links *l, unsigned queue, unsigned loss, const char *congestion, const char *scheduler, uint64_t total)
{
	uint64_t rate = 0;
	struct result r;
	struct plan p;

	plan_common(&p, congestion, scheduler, total);
	for (unsigned i = 0; i < SIDES && l->side[i].mbit; i++) {
		struct link_config c = link_of(l->side[i].mbit, l->side[i].rtt_ms, queue, loss);

		p.path[0][i] = (struct path_plan){ .up = c, .down = c };
		p.paths[0]++;
		rate += c.rate;
	}
	world_run(&p, 1, NULL, &r);
	if (r.failed) {
		printf("%s: %s\n", l->name, r.failure);
		return -1;
	}
	return (double)r.delivered_bytes / ((double)(r.last_us - USEC_PER_S) / 1e6) / (double)rate;
}

static unsigned table(const char *head, const char *const *rows, unsigned count, const char *congestion, const char *scheduler, uint64_t total)
{
	unsigned failed = 0;

	printf("%s\n%-22s %5s %5s", head, "links, Mbit/s and RTT", "queue", "loss");
	for (unsigned n = 0; n < count; n++)
		printf(" %9s", rows[n]);
	printf("\n");
	for (unsigned l = 0; l < LINKS; l++)
		for (unsigned q = 0; q < QUEUES; q++)
			for (unsigned k = 0; k < LOSSES; k++) {
				printf("%-22s %3ums %4.1f%%", links[l].name, queue_ms[q], loss_ppm[k] / 1e4);
				for (unsigned n = 0; n < count; n++) {
					double s = share(&links[l], queue_ms[q], loss_ppm[k], congestion ? congestion : rows[n],
							 scheduler ? scheduler : rows[n], total);

					printf(" %9.3f", s);
					failed += s < 0;
				}
				printf("\n");
				fflush(stdout);
			}
	return failed;
}

/*
 * Two subflows of one connection and one of another meet in one bottleneck of 40 Mbit/s: what each takes. Coupled controllers
 * aim at a half each, RFC 6356 1.
 */
unsigned fairness_run(void)
{
	unsigned failed = 0;

	_Static_assert(sizeof beside_one / sizeof *beside_one == CONTROLLERS, "a row for each");

	printf("A shared bottleneck, 40 Mbit/s, 40 ms, queue 50 ms: share of a connection of two subflows beside one of one\n");
	for (unsigned n = 0; n < CONTROLLERS; n++) {
		struct link_config c = link_of(40, 40, 50, 0);
		struct result r;
		struct plan p;
		double share, used;
		bool bad;

		plan_common(&p, controllers[n], "minrtt", UINT64_C(1) << 40);
		p.clients = p.streams = 2;
		p.paths[0] = 2;
		p.paths[1] = 1;
		p.shared = true;
		p.path[0][0] = p.path[0][1] = p.path[1][0] = (struct path_plan){ .up = c, .down = c };
		p.stop_us = 61 * USEC_PER_S;
		world_run(&p, 1, NULL, &r);
		share = (double)r.delivered_of[0] / (double)(r.delivered_bytes + !r.delivered_bytes);
		used = (double)r.delivered_bytes / 60 / (double)c.rate;
		bad = r.failed || share < beside_one[n].least || share > beside_one[n].most || used < 0.90;
		printf("%-10s %.3f beside %.3f; the link is used to %.3f%s%s\n", controllers[n], share, 1 - share, used,
		       bad ? "  FAILED " : "", r.failure);
		failed += bad;
	}
	printf("fairness: %u passed, %u failed\n", CONTROLLERS - failed, failed);
	return failed;
}

/* The links that `make bench` plays, a transfer to its end. */
static unsigned long_transfers(void)
{
	static const struct links bench[] = {
		{ "100M 10",              { { 100, 10 } } },
		{ "100M 10 + 50M 40",     { { 100, 10 }, { 50, 40 } } },
		{ "80M 20 + 20M 200",     { { 80, 20 }, { 20, 200 } } },
		{ "4 x 25M 10..120",      { { 25, 10 }, { 25, 30 }, { 25, 60 }, { 25, 120 } } },
	};
	unsigned failed = 0;

	printf("A file of %d MB, defaults, queue 60 ms: without loss, with 1 %% each way\n", LONG_BYTES / 1000000);
	for (unsigned i = 0; i < sizeof bench / sizeof *bench; i++) {
		double clean = share(&bench[i], 60, 0, "default", "default", LONG_BYTES);
		double lossy = share(&bench[i], 60, 10000, "default", "default", LONG_BYTES);

		printf("%-22s %.3f %.3f\n", bench[i].name, clean, lossy);
		failed += clean < 0 || lossy < 0;
	}
	printf("\n");
	return failed;
}

unsigned grid_run(void)
{
	unsigned failed = long_transfers();

	printf("Goodput as a share of the sum of the link rates, %d s of virtual time, connecting included.\n\n", RUN_S);
	failed += table("Controllers, with the default scheduler, bulk:", controllers, CONTROLLERS, NULL, "default", UINT64_C(1) << 40);
	failed += table("\nSchedulers, with the default controller, bulk:", schedulers, SCHEDULERS, "default", NULL, UINT64_C(1) << 40);
	failed += table("\nSchedulers, with the default controller, a file of 2 MB:", schedulers, SCHEDULERS, "default", NULL, SHORT_BYTES);
	printf("\n");
	return failed + fairness_run();
}
