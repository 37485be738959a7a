/* SPDX-License-Identifier: MIT */
/* False alarms: an hour of virtual time on a path with nothing wrong but that answers are late, or one in so many is lost. */
#include "tunneld/io/log.c"
#include "tunneld/paths/paths.c"
#include "tunneld/paths/paths_life.c"
#include "tunneld/paths/paths_links.c"
#include "tunneld/paths/paths_size.c"

#include <stdlib.h>

#include "tests/unit/unit.h"

enum { PENDING = 256, HOUR_S = 3600 };

static struct paths *p;
static struct path_end *path;
static struct counters counters;
static usec_t now, last_at;
static struct answer { usec_t at; uint64_t token; bool probe; } pending[PENDING];
static unsigned pending_count;
static uint64_t seed;

static const struct weather {
	const char *name;
	unsigned rtt_ms, jitter_ms, gap_ms, loss_ppm; /* jitter: up to so much more, evenly; gap: between messages that are answered */
	unsigned spike_ppm, spike_ms;                 /* so often all that is under way is held up by so much */
	unsigned most;                                /* suspicions in the hour */
} weathers[] = {
	/* name                        rtt  jitter  gap   loss    spikes      most */
	{ "calm",                       20,      2,   20,      0,     0,   0,    0 },
	{ "Wi-Fi, busy",                20,     40,   20,      0,     0,   0,    0 },
	{ "Wi-Fi, seldom used",         20,     40, 3000,      0,     0,   0,    0 },
	{ "LTE, busy",                  50,    100,   20,      0,     0,   0,    0 },
	{ "LTE, seldom used",           50,    100, 3000,      0,     0,   0,    0 },
	{ "satellite",                 600,    200,   20,      0,     0,   0,    0 },
	{ "held up 80 ms at times",     20,     10,   20,      0, 10000,  80,    2 },
	{ "held up 300 ms at times",    20,     10,   20,      0,  1000, 300,    3 },
	{ "loses 1 %, busy",            20,     20,   20,  10000,     0,   0,    0 },
	{ "loses 10 %, busy",           20,     20,   20, 100000,     0,   0,    2 },
	{ "loses 10 %, seldom used",    20,     20, 3000, 100000,     0,   0,   10 },
};
static const struct weather *weather;

static uint64_t dice(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return below ? seed % below : 0;
}

/* An answer to what is sent now, in its order. */
static void answer(bool probe, uint64_t token)
{
	usec_t at = now + weather->rtt_ms * USEC_PER_MS + dice(weather->jitter_ms * USEC_PER_MS + 1);

	if (dice(1000000) < weather->loss_ppm)
		return;
	if (dice(1000000) < weather->spike_ppm)
		at += weather->spike_ms * USEC_PER_MS;
	last_at = at = usec_max(at, last_at);
	CU_ASSERT_TRUE_FATAL(pending_count < PENDING);
	pending[pending_count++] = (struct answer){ .at = at, .token = token, .probe = probe };
}

static void on_send(void *owner, struct path_end *e, const uint8_t *bytes, size_t len)
{
	struct rd r = rd_of(bytes, len);

	(void)owner, (void)e;
	if (rd_u8(&r) == MSG_PROBE)
		answer(true, rd_u64(&r));
}

static void on_changed(void *owner, struct path_end *e, bool gone)
{
	(void)owner, (void)e;
	CU_ASSERT_FALSE(gone);
}

static void on_silent(void *owner, uint32_t peer)
{
	(void)owner, (void)peer;
	CU_FAIL("its peer is never silent");
}

static void arrive(void)
{
	struct answer a = pending[0];
	uint8_t bytes[MSG_SIZE];
	struct wr w = wr_of(bytes, sizeof bytes);

	memmove(pending, pending + 1, --pending_count * sizeof *pending);
	now = a.at;
	paths_heard(p, path, 60, now);
	if (!a.probe)
		return;
	wr_u8(&w, MSG_REPLY);
	wr_u64(&w, a.token);
	paths_message(p, path, bytes, sizeof bytes, now);
}

static unsigned hour(const struct weather *now_is)
{
	static const struct paths_events events = { on_send, on_changed, on_silent };
	static struct udp gateway_udp = { .fd = -1 };
	static struct ifaddrs there;
	struct paths_config pc = { .events = &events, .counters = &counters, .paths_max = 4, .chance = 7 };
	struct udp_datagram d = { .from = { .family = 4, .ip = { 203, 0, 113, 9 }, .port = 1024 }, .to = { .family = 4, .ip = { 192, 0, 2, 1 } } };
	usec_t end, next;

	weather = now_is;
	memset(&counters, 0, sizeof counters);
	pending_count = 0;
	seed = 77;
	now = 1000 * USEC_PER_S;
	last_at = 0;
	p = paths_new(&pc);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	path = paths_learn(p, 3, "laptop", 0, &gateway_udp, &d, &there, now);
	CU_ASSERT_PTR_NOT_NULL_FATAL(path);
	next = now;
	for (end = now + HOUR_S * USEC_PER_S; now < end;) {
		usec_t due = paths_deadline(p), at = usec_min(usec_min(due, next), pending_count ? pending[0].at : USEC_NEVER);

		now = usec_max(now, at);
		if (pending_count && at == pending[0].at) {
			arrive();
		} else if (at == next) {
			paths_sent(p, path, 200, now);
			answer(false, 0);
			next = now + weather->gap_ms * USEC_PER_MS;
		} else {
			paths_time(p, now);
		}
	}
	paths_free(p);
	return (unsigned)counters.v[CNT_PathSuspected];
}

static void test_no_more_suspicions_than_there_is_reason_for(void)
{
	for (size_t i = 0; i < sizeof weathers / sizeof *weathers; i++) {
		unsigned got = hour(&weathers[i]);

		if (getenv("V"))
			printf("%-28s %u suspicions an hour, %llu probes\n", weathers[i].name, got, (unsigned long long)counters.v[CNT_PathProbesSent]);
		if (got > weathers[i].most)
			fprintf(stderr, "%s: %u suspicions an hour\n", weathers[i].name, got);
		CU_ASSERT_TRUE(got <= weathers[i].most);
	}
}

UNIT_MAIN("late", T(test_no_more_suspicions_than_there_is_reason_for))
