/* SPDX-License-Identifier: MIT */
/* Two engines over two paths: what they tell of, and how FAULT_ANNOUNCE gets across. */
#include "tests/unit/unit.h"
#include "tunneld/mptcp/engine.h"

#include <stdlib.h>
#include <string.h>

#define MS USEC_PER_MS

enum { PATHS = 2, FLIGHT = 512, MTU = 1400, FACTS = 64 };

struct packet { usec_t at; int to; path_id path; size_t len; uint8_t bytes[MTU + 64]; };

struct net {
	usec_t now;
	struct engine *e[2];
	struct counters counters[2];
	conn_id conn[2];
	struct fact facts[2][FACTS];
	unsigned fact_count[2];
	struct packet flight[FLIGHT];
	unsigned count;
	bool cut[PATHS];
	int drop_announces;          /* so many FAULT_ANNOUNCEs more are lost */
	int drop_payloads;           /* so many segments of the second side with payload are */
	int mangle_payloads;         /* so many of the first side's are changed on the second path */
};

static void path_event(struct net *n, int side, path_id path, enum path_state state, bool gone)
{
	struct event ev = {
		.kind = EV_PATH,
		.path = { .path = path, .state = state, .gone = gone, .may_initiate = side == 0, .addr_id = (uint8_t)(path + 1),
			  .mtu_payload = MTU, .rtt_us = path ? 50 * MS : 20 * MS, .name = path ? "two" : "one" },
	};

	CU_ASSERT_EQUAL(engine_input(n->e[side], &ev, n->now), ERR_OK);
}

static void start(struct net *n, bool checksum)
{
	*n = (struct net){ .now = 1000000 };
	for (int i = 0; i < 2; i++) {
		struct engine_config c = { .connections_max = 8, .paths_max = 4, .gateway = i == 1, .facts = 16, .checksum = checksum,
			.counters = &n->counters[i] };
		uint8_t seed[32] = { (uint8_t)(i + 1) };

		n->e[i] = engine_new(&c, seed, n->now);
		CU_ASSERT_PTR_NOT_NULL_FATAL(n->e[i]);
		for (path_id p = 0; p < PATHS; p++)
			path_event(n, i, p, PATH_UP, false);
	}
}

static void stop(struct net *n)
{
	for (int i = 0; i < 2; i++) {
		engine_check(n->e[i]);
		engine_free(n->e[i]);
	}
}

static void act(struct net *n, int side, const struct action *a)
{
	struct event ev = { 0 };
	struct segment seg;

	switch (a->kind) {
	case ACT_SEND:
		CU_ASSERT_EQUAL(segment_parse(&seg, a->send.bytes, a->send.len, SEGMENT_SEALED), ERR_OK);
		if (n->cut[a->send.path] || n->count == FLIGHT || (segment_mptcp(&seg, FAULT_ANNOUNCE) && n->drop_announces-- > 0) ||
		    (side && seg.payload_len && n->drop_payloads-- > 0))
			return;
		n->flight[n->count] = (struct packet){ .at = n->now + 10 * MS, .to = !side, .path = a->send.path, .len = a->send.len };
		memcpy(n->flight[n->count].bytes, a->send.bytes, a->send.len);
		if (!side && a->send.path == 1 && seg.payload_len && n->mangle_payloads-- > 0)
			n->flight[n->count].bytes[a->send.len - 1] ^= 1;
		n->count++;
		return;
	case ACT_DIAL:
		n->conn[side] = a->conn;
		ev = (struct event){ .kind = EV_DIALLED, .dialled = { .conn = a->conn } };
		break;
	case ACT_DATA:
		ev = (struct event){ .kind = EV_CONSUMED, .consumed = { .conn = a->conn, .len = a->data.len } };
		break;
	default:
		return;
	}
	CU_ASSERT_EQUAL(engine_input(n->e[side], &ev, n->now), ERR_OK);
}

static void run(struct net *n, usec_t how_long)
{
	usec_t until = n->now + how_long;

	for (;;) {
		usec_t next = USEC_NEVER;
		unsigned first = FLIGHT;

		for (int i = 0; i < 2; i++) {
			struct action a;

			while (engine_output(n->e[i], &a, n->now))
				act(n, i, &a);
			while (n->fact_count[i] < FACTS && engine_next_fact(n->e[i], &n->facts[i][n->fact_count[i]]))
				n->fact_count[i]++;
			next = usec_min(next, engine_deadline(n->e[i]));
		}
		for (unsigned k = 0; k < n->count; k++)
			if (n->flight[k].at <= next && (first == FLIGHT || n->flight[k].at < n->flight[first].at)) {
				next = n->flight[k].at;
				first = k;
			}
		if (next > until)
			break;
		n->now = usec_max(n->now, next);
		if (first < FLIGHT) {
			struct packet p = n->flight[first];
			struct event ev = { .kind = EV_SEGMENT, .segment = { .path = p.path, .bytes = p.bytes, .len = p.len } };

			memmove(&n->flight[first], &n->flight[first + 1], (--n->count - first) * sizeof *n->flight);
			(void)!engine_input(n->e[p.to], &ev, n->now);
		}
	}
	n->now = until;
}

static const struct fact *find(const struct net *n, int side, enum fact_kind kind)
{
	for (unsigned i = n->fact_count[side]; i-- > 0;)
		if (n->facts[side][i].kind == kind)
			return &n->facts[side][i];
	return NULL;
}

static unsigned number_of(const struct net *n, int side, enum fact_kind kind)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < n->fact_count[side]; i++)
		sum += n->facts[side][i].kind == kind;
	return sum;
}

static void write_bytes(struct net *n, int side, size_t len)
{
	static uint8_t bytes[20000];
	struct event ev = { .kind = EV_WRITE, .write = { .conn = n->conn[side], .bytes = bytes, .len = len } };

	CU_ASSERT_EQUAL(engine_input(n->e[side], &ev, n->now), ERR_OK);
	CU_ASSERT_EQUAL(ev.write.taken, len);
}

/* A connection with a subflow on each path. */
static void connected_with(struct net *n, bool checksum)
{
	struct event ev = { .kind = EV_CONNECT, .connect = { .destination = { .family = 4, .ip = { 10, 0, 0, 1 }, .port = 80 } } };

	start(n, checksum);
	CU_ASSERT_EQUAL(engine_input(n->e[0], &ev, n->now), ERR_OK);
	n->conn[0] = ev.connect.conn;
	run(n, 100 * MS);
	write_bytes(n, 0, 100);
	run(n, 1000 * MS);
}

static void connected(struct net *n) { connected_with(n, false); }

static enum err fault(struct net *n, int side, path_id path, bool v6)
{
	struct event ev = { .kind = EV_FAULT, .fault = { .path = path, .id = 77, .cause = 0x0b, .transient = true } };

	ev.fault.middlebox = (struct addr){ .family = v6 ? 6 : 4, .ip = { 203, 0, 113, 9 } };
	return engine_input(n->e[side], &ev, n->now);
}

/* A fault of path 1 at the first side; its cause is its id, by which the tests know it again. */
static enum err fault_of(struct net *n, uint8_t id, bool lasting, bool router)
{
	struct event ev = { .kind = EV_FAULT, .fault = { .path = 1, .id = id, .cause = id, .transient = !lasting } };

	if (router)
		ev.fault.middlebox = (struct addr){ .family = 4, .ip = { 203, 0, 113, 9 } };
	return engine_input(n->e[0], &ev, n->now);
}

/* The causes the second side heard of, each once, in the order of their first coming. */
static unsigned causes_heard(const struct net *n, uint8_t *out, unsigned most)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n->fact_count[1]; i++) {
		const struct fact *f = &n->facts[1][i];

		if (f->kind == FACT_FAULT_HEARD && count < most && !memchr(out, f->cause, count))
			out[count++] = f->cause;
	}
	return count;
}

static void test_each_end_tells_of_subflows_that_came_up(void)
{
	struct net n;

	connected(&n);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(number_of(&n, i, FACT_CONN_UP), 1);
		CU_ASSERT_EQUAL(number_of(&n, i, FACT_SUBFLOW_UP), 2);
		CU_ASSERT_EQUAL(number_of(&n, i, FACT_SUBFLOW_DOWN), 0);
		CU_ASSERT_STRING_EQUAL(find(&n, i, FACT_SUBFLOW_UP)->to, "primary");
		CU_ASSERT_EQUAL(find(&n, i, FACT_SUBFLOW_UP)->path, 1);
	}
	stop(&n);
}

static void test_a_path_in_doubt_is_a_change_of_mode_with_its_numbers(void)
{
	struct net n;
	const struct fact *f;

	connected(&n);
	path_event(&n, 0, 0, PATH_SUSPECT, false);
	run(&n, 1 * MS);
	f = find(&n, 0, FACT_SUBFLOW_MODE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_STRING_EQUAL(f->from, "primary");
	CU_ASSERT_STRING_EQUAL(f->to, "underperforming");
	CU_ASSERT_EQUAL(f->path, 0);
	CU_ASSERT_TRUE(f->rto_ms > 0 && f->srtt_ms >= 20);
	path_event(&n, 0, 0, PATH_UP, false);
	run(&n, BACKUP_HOLD_FIRST_US + 1 * MS);
	CU_ASSERT_EQUAL(number_of(&n, 0, FACT_SUBFLOW_MODE), 2);
	CU_ASSERT_STRING_EQUAL(find(&n, 0, FACT_SUBFLOW_MODE)->to, "primary");
	stop(&n);
}

static void test_a_path_that_goes_is_told_with_its_reason(void)
{
	struct net n;

	connected(&n);
	path_event(&n, 0, 1, PATH_DOWN, true);
	run(&n, 1 * MS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(find(&n, 0, FACT_SUBFLOW_DOWN));
	CU_ASSERT_STRING_EQUAL(find(&n, 0, FACT_SUBFLOW_DOWN)->to, "its path is gone");
	stop(&n);
}

static void test_timeouts_in_a_row_are_told_with_their_numbers(void)
{
	struct net n;
	const struct fact *f;

	connected(&n);
	path_event(&n, 0, 0, PATH_SUSPECT, false); /* so that the second carries it, */
	run(&n, 1 * MS);
	n.cut[1] = true;
	write_bytes(&n, 0, 3000);
	run(&n, 1 * MS);
	path_event(&n, 0, 0, PATH_UP, false);      /* and the first goes on */
	run(&n, 250 * MS);
	/* One timeout is everyday loss. */
	CU_ASSERT_EQUAL(number_of(&n, 0, FACT_TIMEOUT), 0);
	run(&n, 2000 * MS);
	f = find(&n, 0, FACT_TIMEOUT);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(f->path, 1);
	CU_ASSERT_TRUE(f->backoff >= 2);
	CU_ASSERT_TRUE(f->rto_ms >= 400);
	CU_ASSERT_TRUE(f->in_flight > 0 && f->in_flight <= 3000);
	CU_ASSERT_TRUE(f->srtt_ms >= 20 && f->srtt_ms < 100);
	CU_ASSERT_EQUAL(number_of(&n, 1, FACT_TIMEOUT), 0);
	stop(&n);
}

/* RFC 8684 3.7: with another subflow, RST and MP_FAIL; 3.6: and the reason. */
static void test_a_wrong_checksum_is_told_at_both_ends(void)
{
	struct net n;
	const struct fact *f;

	connected_with(&n, true);
	path_event(&n, 0, 0, PATH_SUSPECT, false); /* so that the second carries them */
	n.mangle_payloads = 1;
	write_bytes(&n, 0, 500);
	run(&n, 100 * MS);
	f = find(&n, 1, FACT_CORRUPT);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(f->path, 1);
	CU_ASSERT_EQUAL(f->cause, REASON_MIDDLEBOX);
	CU_ASSERT_STRING_EQUAL(f->to, "its data has a wrong checksum");
	f = find(&n, 0, FACT_RESET);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(f->path, 1);
	CU_ASSERT_TRUE(f->has_cause);
	CU_ASSERT_EQUAL(f->cause, REASON_MIDDLEBOX);
	CU_ASSERT_PTR_NOT_NULL_FATAL(find(&n, 0, FACT_SUBFLOW_DOWN));
	CU_ASSERT_STRING_EQUAL(find(&n, 0, FACT_SUBFLOW_DOWN)->to, "reset by the peer");
	CU_ASSERT_EQUAL(number_of(&n, 0, FACT_CONN_DOWN), 0);
	stop(&n);
}

static void heard(const struct net *n, path_id path, bool v6)
{
	const struct fact *f = find(n, 1, FACT_FAULT_HEARD);

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(f->cause, 0x0b);
	CU_ASSERT_TRUE(f->transient);
	CU_ASSERT_EQUAL(f->path, path);
	CU_ASSERT_EQUAL(f->middlebox.family, v6 ? 6 : 4);
	CU_ASSERT_EQUAL(f->middlebox.ip[0], 203);
	CU_ASSERT_EQUAL(f->middlebox.ip[3], 9);
}

static void test_an_idle_connection_announces_several_times(void)
{
	struct net n;

	for (int v6 = 0; v6 < 2; v6++) {
		connected(&n);
		CU_ASSERT_EQUAL(fault(&n, 0, 1, v6), ERR_OK);
		n.cut[1] = true;
		run(&n, 5000 * MS);
		heard(&n, 1, v6);
		CU_ASSERT_EQUAL(n.counters[0].v[CNT_FaultAnnounceTx], 5);
		CU_ASSERT_PTR_NOT_NULL_FATAL(find(&n, 0, FACT_FAULT_TOLD));
		CU_ASSERT_EQUAL(find(&n, 0, FACT_FAULT_TOLD)->fault, 77);
		CU_ASSERT_EQUAL(find(&n, 0, FACT_FAULT_TOLD)->copies, 5);
		CU_ASSERT_EQUAL(number_of(&n, 0, FACT_FAULT_TOLD), 1);
		stop(&n);
	}
}

static void test_one_that_rode_on_acknowledged_data_has_arrived(void)
{
	struct net n;
	struct fact told;

	for (int v6 = 0; v6 < 2; v6++) {
		connected(&n);
		CU_ASSERT_EQUAL(fault(&n, 0, 1, v6), ERR_OK);
		n.cut[1] = true;
		for (int i = 0; i < 20 && !find(&n, 0, FACT_FAULT_TOLD); i++) {
			write_bytes(&n, 0, 5000);
			run(&n, 50 * MS);
		}
		heard(&n, 1, v6);
		CU_ASSERT_PTR_NOT_NULL_FATAL(find(&n, 0, FACT_FAULT_TOLD));
		told = *find(&n, 0, FACT_FAULT_TOLD);
		CU_ASSERT_TRUE(told.arrived);
		CU_ASSERT_TRUE(told.copies < 5);
		stop(&n);
	}
}

static void test_what_is_over_is_not_said_any_more(void)
{
	struct event over = { .kind = EV_FAULT, .fault = { .path = 1, .id = 77, .over = true } };
	struct net n;

	connected(&n);
	CU_ASSERT_EQUAL(fault(&n, 0, 1, false), ERR_OK);
	run(&n, 10 * MS);
	CU_ASSERT_EQUAL(n.counters[0].v[CNT_FaultAnnounceTx], 1);
	CU_ASSERT_EQUAL(fault_of(&n, 5, false, false), ERR_OK);
	CU_ASSERT_EQUAL(engine_input(n.e[0], &over, n.now), ERR_OK);
	run(&n, 5000 * MS);
	/* The other, which is not, is. */
	CU_ASSERT_EQUAL(number_of(&n, 1, FACT_FAULT_HEARD), 1 + 5);
	CU_ASSERT_EQUAL(number_of(&n, 0, FACT_FAULT_TOLD), 2);
	CU_ASSERT_EQUAL(engine_input(n.e[0], &over, n.now), ERR_OK);
	stop(&n);
}

static void test_lost_announcements_are_repeated(void)
{
	struct net n;

	connected(&n);
	n.drop_announces = 4;
	CU_ASSERT_EQUAL(fault(&n, 0, 1, false), ERR_OK);
	n.cut[1] = true;
	run(&n, 5000 * MS);
	heard(&n, 1, false);
	CU_ASSERT_EQUAL(n.counters[1].v[CNT_FaultAnnounceRx], 1);
	stop(&n);
}

static void test_a_second_fault_does_not_wait_for_the_first(void)
{
	uint8_t heard_of[8] = { 0 };
	struct net n;

	connected(&n);
	n.cut[1] = true;
	CU_ASSERT_EQUAL(fault_of(&n, 0x0a, false, false), ERR_OK);
	run(&n, 1 * MS);
	CU_ASSERT_EQUAL(fault_of(&n, 0x0b, false, true), ERR_OK);
	run(&n, 200 * MS);
	CU_ASSERT_EQUAL(causes_heard(&n, heard_of, 8), 2);
	CU_ASSERT_EQUAL(number_of(&n, 0, FACT_FAULT_TOLD), 0);
	run(&n, 10000 * MS);
	CU_ASSERT_EQUAL(number_of(&n, 0, FACT_FAULT_TOLD), 2);
	CU_ASSERT_EQUAL(n.counters[0].v[CNT_FaultAnnounceTx], 10);
	stop(&n);
}

static void test_what_weighs_more_is_said_first(void)
{
	static const uint8_t order[] = { 4, 3, 2, 1 };
	uint8_t heard_of[8] = { 0 };
	struct net n;

	connected(&n);
	n.cut[1] = true;
	CU_ASSERT_EQUAL(fault_of(&n, 1, false, false), ERR_OK);
	CU_ASSERT_EQUAL(fault_of(&n, 2, false, true), ERR_OK);
	CU_ASSERT_EQUAL(fault_of(&n, 3, true, false), ERR_OK);
	CU_ASSERT_EQUAL(fault_of(&n, 4, true, true), ERR_OK);
	run(&n, 10000 * MS);
	CU_ASSERT_EQUAL(causes_heard(&n, heard_of, 8), sizeof order);
	CU_ASSERT_EQUAL(memcmp(heard_of, order, sizeof order), 0);
	stop(&n);
}

static void test_a_full_queue_gives_way_to_weight_alone(void)
{
	struct net n;

	connected(&n);
	n.cut[1] = true;
	for (uint8_t id = 1; id <= 4; id++)
		CU_ASSERT_EQUAL(fault_of(&n, id, false, false), ERR_OK);
	CU_ASSERT_EQUAL(fault_of(&n, 5, false, false), ERR_UNEXPECTED);
	CU_ASSERT_EQUAL(fault_of(&n, 6, true, false), ERR_OK);
	run(&n, 1 * MS);
	CU_ASSERT_EQUAL(number_of(&n, 0, FACT_FAULT_TOLD), 1);
	CU_ASSERT_EQUAL(find(&n, 0, FACT_FAULT_TOLD)->fault, 4);
	CU_ASSERT_EQUAL(find(&n, 0, FACT_FAULT_TOLD)->copies, 0);
	CU_ASSERT_FALSE(find(&n, 0, FACT_FAULT_TOLD)->arrived);
	run(&n, 20000 * MS);
	CU_ASSERT_EQUAL(number_of(&n, 0, FACT_FAULT_TOLD), 5);
	CU_ASSERT_EQUAL(n.counters[0].v[CNT_FaultAnnounceTx], 20);
	stop(&n);
}

static void test_a_fault_under_way_is_not_queued_twice(void)
{
	struct net n;

	connected(&n);
	n.cut[1] = true;
	CU_ASSERT_EQUAL(fault_of(&n, 1, false, false), ERR_OK);
	CU_ASSERT_EQUAL(fault_of(&n, 1, false, false), ERR_OK);
	run(&n, 10000 * MS);
	CU_ASSERT_EQUAL(n.counters[0].v[CNT_FaultAnnounceTx], 5);
	CU_ASSERT_EQUAL(number_of(&n, 0, FACT_FAULT_TOLD), 1);
	stop(&n);
}

static void test_each_of_two_knows_that_it_arrived(void)
{
	struct net n;

	connected(&n);
	n.cut[1] = true;
	CU_ASSERT_EQUAL(fault_of(&n, 1, false, false), ERR_OK);
	CU_ASSERT_EQUAL(fault_of(&n, 2, false, true), ERR_OK);
	for (int i = 0; i < 40 && number_of(&n, 0, FACT_FAULT_TOLD) < 2; i++) {
		write_bytes(&n, 0, 5000);
		run(&n, 50 * MS);
	}
	CU_ASSERT_EQUAL(number_of(&n, 0, FACT_FAULT_TOLD), 2);
	for (unsigned i = 0; i < n.fact_count[0]; i++)
		CU_ASSERT_TRUE(n.facts[0][i].kind != FACT_FAULT_TOLD || n.facts[0][i].arrived);
	stop(&n);
}

/* Whatever the peer says of paths that work, it is heard, and nothing else. */
static void test_a_peer_that_lies_changes_no_subflow(void)
{
	struct net n;

	connected(&n);
	for (uint8_t id = 1; id <= 20; id++) {
		n.fact_count[0] = n.fact_count[1] = 0;
		CU_ASSERT_EQUAL(fault_of(&n, id, true, true), ERR_OK);
		write_bytes(&n, 0, 2000);
		write_bytes(&n, 1, 2000);
		run(&n, 5000 * MS);
		CU_ASSERT_TRUE(number_of(&n, 1, FACT_FAULT_HEARD) >= 1);
		CU_ASSERT_EQUAL(find(&n, 1, FACT_FAULT_HEARD)->cause, id);
		for (int side = 0; side < 2; side++) {
			CU_ASSERT_EQUAL(number_of(&n, side, FACT_SUBFLOW_MODE), 0);
			CU_ASSERT_EQUAL(number_of(&n, side, FACT_SUBFLOW_DOWN), 0);
			CU_ASSERT_EQUAL(number_of(&n, side, FACT_CONN_DOWN), 0);
		}
	}
	stop(&n);
}

static void test_an_ack_without_room_leaves_out_the_address_for_itself_alone(void)
{
	struct net n;

	connected(&n);
	n.cut[1] = true;
	/* A hole: our ACKs carry SACK blocks, and beside one there is no room for an IPv6 address. */
	n.drop_payloads = 1;
	write_bytes(&n, 1, 20000);
	run(&n, 9 * MS);
	CU_ASSERT_EQUAL(fault(&n, 0, 1, true), ERR_OK);
	run(&n, 5000 * MS);
	CU_ASSERT_EQUAL(n.counters[0].v[CNT_FaultAnnounceTx], 5);
	heard(&n, 1, true);
	stop(&n);
}

static void test_the_first_subflow_is_named_by_0_and_0(void)
{
	struct net n;

	connected(&n);
	CU_ASSERT_EQUAL(fault(&n, 0, 0, false), ERR_OK);
	run(&n, 1000 * MS);
	heard(&n, 0, false);
	CU_ASSERT_EQUAL(find(&n, 1, FACT_FAULT_HEARD)->remote_addr_id, 0);
	CU_ASSERT_EQUAL(find(&n, 1, FACT_FAULT_HEARD)->local_addr_id, 0);
	stop(&n);
}

static void test_without_another_subflow_there_is_nobody_to_tell(void)
{
	struct net n;

	connected(&n);
	path_event(&n, 0, 0, PATH_SUSPECT, false);
	CU_ASSERT_EQUAL(fault(&n, 0, 1, false), ERR_UNEXPECTED);
	CU_ASSERT_EQUAL(fault(&n, 0, 3, false), ERR_UNKNOWN);
	run(&n, 1000 * MS);
	CU_ASSERT_EQUAL(n.counters[0].v[CNT_FaultAnnounceTx], 0);
	stop(&n);
}

static void test_a_full_ring_loses_the_newest_and_counts(void)
{
	struct net n;

	connected(&n);
	for (int i = 0; i < 40; i++) {
		path_event(&n, 0, 0, i % 2 ? PATH_UP : PATH_SUSPECT, false);
		n.now += BACKUP_HOLD_MOST_US + 1 * MS; /* a path that was away is believed after that */
		for (struct action a; engine_output(n.e[0], &a, n.now);)
			;
	}
	CU_ASSERT_EQUAL(n.counters[0].v[CNT_FactsDropped], 40 - 16);
	stop(&n);
}

UNIT_MAIN("conn_facts", T(test_each_end_tells_of_subflows_that_came_up),
	  T(test_a_path_in_doubt_is_a_change_of_mode_with_its_numbers),
	  T(test_a_path_that_goes_is_told_with_its_reason), T(test_timeouts_in_a_row_are_told_with_their_numbers),
	  T(test_a_wrong_checksum_is_told_at_both_ends),
	  T(test_an_idle_connection_announces_several_times),
	  T(test_one_that_rode_on_acknowledged_data_has_arrived),
	  T(test_what_is_over_is_not_said_any_more), T(test_lost_announcements_are_repeated), T(test_a_second_fault_does_not_wait_for_the_first),
	  T(test_what_weighs_more_is_said_first), T(test_a_full_queue_gives_way_to_weight_alone),
	  T(test_a_fault_under_way_is_not_queued_twice), T(test_each_of_two_knows_that_it_arrived),
	  T(test_a_peer_that_lies_changes_no_subflow),
	  T(test_an_ack_without_room_leaves_out_the_address_for_itself_alone),
	  T(test_the_first_subflow_is_named_by_0_and_0),
	  T(test_without_another_subflow_there_is_nobody_to_tell),
	  T(test_a_full_ring_loses_the_newest_and_counts))
