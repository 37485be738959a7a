/* SPDX-License-Identifier: MIT */
/* Reports become records, records end, and what one router says of many clients is one group. */
#include "tests/unit/unit.h"
#include "tunneld/fault/fault.h"

#include <errno.h>
#include <string.h>

#define S USEC_PER_S

static struct faults *f;
static usec_t now;

static void start(uint32_t max)
{
	now = 1000 * S;
	f = faults_new(max, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
}

static struct addr ip(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct addr){ .family = 4, .ip = { a, b, c, d } };
}

/* A router's word about the path of that peer. */
static struct fault by_router(uint32_t peer, uint32_t path, struct addr router)
{
	struct fault x = {
		.source = FAULT_ANNOUNCED, .cause = CAUSE_HOST_UNREACHABLE, .peer = peer, .path = path, .client = true,
		.middlebox = router, .remote = ip(198, 51, 100, (uint8_t)peer), .done = "",
	};

	return x;
}

static struct fault silent(uint32_t peer, uint32_t path)
{
	struct fault x = {
		.source = FAULT_PROBE, .cause = CAUSE_HOST_UNREACHABLE, .peer = peer, .path = path, .client = true,
		.remote = ip(198, 51, 100, (uint8_t)peer), .done = "",
	};

	return x;
}

static struct fault *report(struct fault x, bool want_new)
{
	bool is_new;
	struct fault *got = faults_report(f, &x, now, &is_new);

	CU_ASSERT_EQUAL(is_new, want_new);
	return got;
}

static void test_repeats_of_one_fault_are_one_record(void)
{
	struct fault *x;
	uint64_t id;

	start(8);
	id = report(by_router(1, 1, ip(203, 0, 113, 9)), true)->id;
	now += 3 * S;
	x = report(by_router(1, 1, ip(203, 0, 113, 9)), false);
	CU_ASSERT_EQUAL(x->id, id);
	CU_ASSERT_EQUAL(x->times, 2);
	CU_ASSERT_EQUAL(x->first_us, now - 3 * S);
	CU_ASSERT_EQUAL(x->last_us, now);
	/* Another router, peer or path is another fault. */
	CU_ASSERT_NOT_EQUAL(report(by_router(1, 1, ip(203, 0, 113, 10)), true)->id, id);
	CU_ASSERT_NOT_EQUAL(report(by_router(2, 1, ip(203, 0, 113, 9)), true)->id, id);
	CU_ASSERT_NOT_EQUAL(report(by_router(1, 2, ip(203, 0, 113, 9)), true)->id, id);
	faults_free(f);
}

static void test_a_path_that_works_ends_its_faults_and_the_next_is_a_new_one(void)
{
	struct fault *x;
	uint64_t id;

	start(8);
	id = report(silent(1, 1), true)->id;
	(void)report(silent(2, 2), true);
	now += S;
	CU_ASSERT_EQUAL(faults_path_well(f, 1, now), 1);
	CU_ASSERT_EQUAL(faults_find(f, id)->over_us, now);
	x = report(silent(1, 1), true);
	CU_ASSERT_EQUAL(x->over_us, 0);
	faults_free(f);
}

static void test_what_goes_on_is_lasting_and_what_nobody_repeats_is_over(void)
{
	uint64_t probe, announced;

	start(8);
	probe = report(silent(1, 1), true)->id;
	announced = report(by_router(2, 2, ip(203, 0, 113, 9)), true)->id;
	CU_ASSERT_EQUAL(faults_deadline(f), now + 10 * S);
	now += 10 * S;
	faults_time(f, now);
	CU_ASSERT_TRUE(faults_find(f, probe)->lasting);
	CU_ASSERT_FALSE(faults_find(f, announced)->lasting);
	now += 80 * S;
	faults_time(f, now);
	CU_ASSERT_EQUAL(faults_find(f, probe)->over_us, 0);
	CU_ASSERT_NOT_EQUAL(faults_find(f, announced)->over_us, 0);
	CU_ASSERT_EQUAL(faults_deadline(f), USEC_NEVER);
	faults_free(f);
}

static void test_a_link_ends_only_with_its_name(void)
{
	struct fault link = { .source = FAULT_LINK, .cause = CAUSE_NET_UNREACHABLE, .peer = 1, .path = 3, .path_name = "wifi", .done = "" };
	uint64_t id;

	start(8);
	id = report(link, true)->id;
	faults_path_gone(f, 3, now);
	CU_ASSERT_EQUAL(faults_find(f, id)->path, FAULT_NO_PATH);
	CU_ASSERT_EQUAL(faults_find(f, id)->over_us, 0);
	CU_ASSERT_EQUAL(faults_link_well(f, "lte", 1, now), 0);
	CU_ASSERT_EQUAL(faults_link_well(f, "wifi", 1, now), 1);
	CU_ASSERT_NOT_EQUAL(faults_find(f, id)->over_us, 0);
	faults_free(f);
}

static void test_what_a_peer_says_of_its_own_link_ends_when_its_path_is_back(void)
{
	struct fault x = by_router(1, 3, (struct addr){ .family = 0 });
	uint64_t link, passing, two, other;

	start(8);
	x.lasting = true;
	x.remote_addr_id = 1;
	link = report(x, true)->id;
	x.cause = CAUSE_NET_UNREACHABLE;
	x.lasting = false;
	passing = report(x, true)->id;
	faults_path_gone(f, 3, now);
	CU_ASSERT_EQUAL(faults_find(f, link)->over_us, 0);
	CU_ASSERT_EQUAL(faults_find(f, passing)->over_us, now);
	/* Said again, when there is no such path here; of another path it is another fault. */
	x = by_router(1, FAULT_NO_PATH, (struct addr){ .family = 0 });
	x.remote_addr_id = 1;
	CU_ASSERT_EQUAL(report(x, false)->id, link);
	x.remote_addr_id = 2;
	two = report(x, true)->id;
	x.peer = 2;
	other = report(x, true)->id;
	now += S;
	CU_ASSERT_EQUAL(faults_peer_path_well(f, 1, 1, now), 1);
	CU_ASSERT_EQUAL(faults_find(f, link)->over_us, now);
	CU_ASSERT_EQUAL(faults_find(f, two)->over_us, 0);
	CU_ASSERT_EQUAL(faults_peer_path_well(f, 1, 2, now), 1);
	CU_ASSERT_EQUAL(faults_find(f, other)->over_us, 0);
	/* RFC 8684 3.1: id 0 is that of a first subflow, whichever path that was on. */
	x.peer = 1;
	x.remote_addr_id = 0;
	(void)report(x, true);
	CU_ASSERT_EQUAL(faults_peer_path_well(f, 1, 4, now), 1);
	faults_free(f);
}

static void test_a_full_table_drops_what_is_over_first_then_the_oldest(void)
{
	uint64_t id[5];

	start(3);
	for (uint32_t i = 0; i < 3; i++)
		id[i] = report(silent(i, i), true)->id;
	faults_path_well(f, 1, now);
	id[3] = report(silent(3, 3), true)->id;
	CU_ASSERT_PTR_NOT_NULL(faults_find(f, id[0]));
	CU_ASSERT_PTR_NULL(faults_find(f, id[1]));
	CU_ASSERT_PTR_NOT_NULL(faults_find(f, id[2]));
	id[4] = report(silent(4, 4), true)->id;
	CU_ASSERT_PTR_NULL(faults_find(f, id[0]));
	CU_ASSERT_EQUAL(faults_next(f, 0), id[2]);
	CU_ASSERT_EQUAL(faults_next(f, id[2]), id[3]);
	CU_ASSERT_EQUAL(faults_next(f, id[3]), id[4]);
	CU_ASSERT_EQUAL(faults_next(f, id[4]), 0);
	faults_free(f);
}

/* Valid until the next. */
static struct fault list[128];
static uint32_t groups(struct fault_group *out, uint32_t max)
{
	return fault_groups(list, faults_copy(f, list, 128), out, max);
}

static void test_one_router_and_many_clients_are_one_group(void)
{
	struct fault_group g[4];

	start(64);
	for (uint32_t peer = 0; peer < 14; peer++) {
		now += S;
		(void)report(by_router(peer, 2 * peer, ip(203, 0, 113, 9)), true);
		/* Twice the same client, by another of its paths. */
		(void)report(by_router(peer, 2 * peer + 1, ip(203, 0, 113, 9)), true);
	}
	(void)report(by_router(3, 99, ip(203, 0, 113, 77)), true);
	CU_ASSERT_EQUAL(groups(g, 4), 2);
	CU_ASSERT_EQUAL(g[0].by, BY_ROUTER);
	CU_ASSERT_EQUAL(g[0].cause, CAUSE_HOST_UNREACHABLE);
	CU_ASSERT_EQUAL(g[0].router.ip[3], 9);
	CU_ASSERT_EQUAL(g[0].peers, 14);
	CU_ASSERT_EQUAL(g[0].peers_now, 14);
	CU_ASSERT_EQUAL(g[0].clients_now, 14);
	CU_ASSERT_EQUAL(g[0].records, 28);
	CU_ASSERT_EQUAL(g[0].first_us, 1001 * S);
	CU_ASSERT_EQUAL(g[0].last_us, now);
	CU_ASSERT_EQUAL(g[0].over_us, 0);
	CU_ASSERT_EQUAL(g[0].prefix.bits, 24);
	CU_ASSERT_EQUAL(g[0].prefix.net.ip[2], 100);
	CU_ASSERT_EQUAL(g[1].peers, 1);
	/* Five of them are well again. */
	for (uint32_t peer = 0; peer < 5; peer++) {
		faults_path_well(f, 2 * peer, now);
		faults_path_well(f, 2 * peer + 1, now);
	}
	CU_ASSERT_EQUAL(groups(g, 4), 2);
	CU_ASSERT_EQUAL(g[0].peers, 14);
	CU_ASSERT_EQUAL(g[0].peers_now, 9);
	CU_ASSERT_EQUAL(g[0].first_us, 1006 * S);
	faults_free(f);
}

/* Two tables, as two workers have, in which numbers of peers and ids mean different things, and one peer has two numbers. */
static void test_workers_have_groups_in_common(void)
{
	struct fault_group g[4];
	struct fault x;
	uint32_t n = 0;

	for (uint8_t worker = 0; worker < 2; worker++) {
		start(8);
		faults_free(f);
		f = faults_new(8, worker);
		for (uint32_t peer = 0; peer < 3; peer++) {
			x = by_router(peer, peer, ip(203, 0, 113, 9));
			/* laptop-1 is at both; at each there is one more with two sessions. */
			snprintf(x.peer_name, sizeof x.peer_name, "laptop-%u", worker + (peer ? 1u : 0u));
			now += S;
			(void)report(x, true);
		}
		n += faults_copy(f, list + n, 8);
		faults_free(f);
	}
	CU_ASSERT_EQUAL(n, 6);
	CU_ASSERT_EQUAL(fault_groups(list, n, g, 4), 1);
	CU_ASSERT_EQUAL(g[0].records, 6);
	CU_ASSERT_EQUAL(g[0].peers, 3);
	CU_ASSERT_EQUAL(g[0].clients_now, 3);
	CU_ASSERT_EQUAL(g[0].newest->worker, 1);
	CU_ASSERT_EQUAL(g[0].newest->id, 3);
}

static void test_without_a_router_one_network_is_a_group(void)
{
	struct fault_group g[4];
	struct fault elsewhere = silent(5, 5);

	start(64);
	elsewhere.remote = ip(192, 0, 2, 1);
	for (uint32_t peer = 0; peer < 3; peer++)
		(void)report(silent(peer, peer), true);
	(void)report(elsewhere, true);
	CU_ASSERT_EQUAL(groups(g, 4), 2);
	CU_ASSERT_EQUAL(g[0].by, BY_PREFIX);
	CU_ASSERT_EQUAL(g[0].peers_now, 3);
	CU_ASSERT_EQUAL(g[0].prefix.net.ip[0], 198);
	CU_ASSERT_EQUAL(g[1].prefix.net.ip[0], 192);
	/* More groups than there is room for: those that fit. */
	CU_ASSERT_EQUAL(groups(g, 1), 1);
	faults_free(f);
}

static void test_icmp_is_read_as_the_drafts_causes(void)
{
	static const struct { uint8_t family, type, code, cause; bool fault, lasting; } rows[] = {
		{ 4, 3, 0,  CAUSE_NET_UNREACHABLE,    true,  false },
		{ 4, 3, 1,  CAUSE_HOST_UNREACHABLE,   true,  false },
		{ 4, 3, 5,  CAUSE_ROUTING_FAILED,     true,  false },
		{ 4, 3, 13, CAUSE_PROHIBITED,         true,  true  },
		{ 4, 3, 4,  CAUSE_UNSPECIFIED,        false, false },
		{ 4, 4, 0,  CAUSE_SERVER_SUPPRESSION, true,  false },
		{ 4, 11, 0, CAUSE_TTL_ZERO,           true,  false },
		{ 4, 8, 0,  CAUSE_UNSPECIFIED,        false, false },
		{ 6, 1, 0,  CAUSE_NET_UNREACHABLE,    true,  false },
		{ 6, 1, 3,  CAUSE_HOST_UNREACHABLE,   true,  false },
		{ 6, 3, 0,  CAUSE_TTL_ZERO,           true,  false },
		{ 6, 2, 0,  CAUSE_UNSPECIFIED,        false, false },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fault_meaning m = fault_of_icmp(rows[i].family, rows[i].type, rows[i].code);

		CU_ASSERT_EQUAL(m.cause, rows[i].cause);
		CU_ASSERT_EQUAL(m.fault, rows[i].fault);
		CU_ASSERT_EQUAL(m.lasting, rows[i].lasting);
	}
	/* Every type and code has a meaning that can be printed. */
	for (unsigned type = 0; type < 256; type++)
		for (unsigned code = 0; code < 256; code++)
			CU_ASSERT_PTR_NOT_NULL(fault_of_icmp(type & 1 ? 4 : 6, (uint8_t)type, (uint8_t)code).text);
	for (unsigned cause = 0; cause < 256; cause++)
		CU_ASSERT_PTR_NOT_NULL(fault_cause_text((uint8_t)cause));
	CU_ASSERT_STRING_EQUAL(fault_cause_text(0x0b), "host unreachable");
	CU_ASSERT_STRING_EQUAL(fault_cause_text(0x07), "unassigned");
	CU_ASSERT_EQUAL(fault_of_errno(EPERM).cause, CAUSE_PROHIBITED);
}

UNIT_MAIN("fault", T(test_repeats_of_one_fault_are_one_record), T(test_a_path_that_works_ends_its_faults_and_the_next_is_a_new_one),
	  T(test_what_goes_on_is_lasting_and_what_nobody_repeats_is_over), T(test_a_link_ends_only_with_its_name),
	  T(test_what_a_peer_says_of_its_own_link_ends_when_its_path_is_back),
	  T(test_a_full_table_drops_what_is_over_first_then_the_oldest), T(test_one_router_and_many_clients_are_one_group),
	  T(test_workers_have_groups_in_common),
	  T(test_without_a_router_one_network_is_a_group), T(test_icmp_is_read_as_the_drafts_causes))
