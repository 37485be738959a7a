/* SPDX-License-Identifier: MIT */
/* Paths in virtual time: what is asked to be sent, and what is told about their lives. */
#include "tunneld/io/log.c"
#include "tunneld/paths/paths.c"
#include "tunneld/paths/paths_life.c"
#include "tunneld/paths/paths_links.c"
#include "tunneld/paths/paths_size.c"

#include "tests/unit/unit.h"

static struct counters counters;
static struct loop *loop;
static struct udp_pool pool;
static struct paths *p;
static usec_t now;

static struct sent { uint8_t no, kind; uint64_t token; } sent[64];
static struct { size_t size; uint64_t token; } sizes[64];
static unsigned size_count, sents, changes, gones, silences;
static enum path_life last_life;

static void on_send(void *owner, struct path_end *e, const uint8_t *bytes, size_t len)
{
	struct rd r = rd_of(bytes, len);

	(void)owner;
	if (len > MSG_SIZE) {
		CU_ASSERT_EQUAL(rd_u8(&r), MSG_PROBE);
		sizes[size_count % 64].size = len;
		sizes[size_count++ % 64].token = rd_u64(&r);
		return;
	}
	CU_ASSERT_EQUAL(len, MSG_SIZE);
	CU_ASSERT_TRUE_FATAL(sents < 64);
	sent[sents].no = e->no;
	sent[sents].kind = rd_u8(&r);
	sent[sents++].token = rd_u64(&r);
}

static void on_changed(void *owner, struct path_end *e, bool gone)
{
	(void)owner;
	changes++;
	gones += gone;
	last_life = e->life;
}

static void on_silent(void *owner, uint32_t peer)
{
	(void)owner, (void)peer;
	silences++;
}

static void on_datagram(void *owner, struct udp *u, const struct udp_datagram *d)
{
	(void)owner, (void)u, (void)d;
}

static void on_too_big(void *owner, struct udp *u, const struct addr *to, size_t len)
{
	(void)owner, (void)u, (void)to, (void)len;
}

static const struct udp_events udp_events = { .datagram = on_datagram, .too_big = on_too_big };
static const struct paths_events paths_test_events = { on_send, on_changed, on_silent };

static void up(void)
{
	struct paths_config pc = { .udp_events = &udp_events, .events = &paths_test_events, .counters = &counters,
				   .paths_max = 64, .chance = 7 };

	log_level_set("error");
	memset(&counters, 0, sizeof counters);
	size_count = sents = changes = gones = silences = 0;
	now = 1000 * USEC_PER_S;
	loop = pc.loop = loop_new();
	CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
	CU_ASSERT_EQUAL_FATAL(udp_pool_open(&pool, &counters), 0);
	pc.pool = &pool;
	p = paths_new(&pc);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
}

static void down(void)
{
	paths_free(p);
	udp_pool_close(&pool);
	loop_free(loop);
}

/* Time passes, each deadline being served. */
static void pass(usec_t us)
{
	usec_t end = now + us;

	while (paths_deadline(p) <= end) {
		now = usec_max(now, paths_deadline(p));
		paths_time(p, now);
	}
	now = end;
}

static struct addr address(const char *text)
{
	struct addr a;

	CU_ASSERT_EQUAL_FATAL(addr_parse(&a, text), ERR_OK);
	return a;
}

static struct udp gateway_udp = { .fd = -1 };
static struct ifaddrs there;

static struct path_end *learn(uint8_t no, const char *from)
{
	struct udp_datagram d = { .from = address(from), .to = address("192.0.2.1") };

	return paths_learn(p, 3, "laptop", no, &gateway_udp, &d, &there, now);
}

/* Nothing about sizes, please. */
static void size_known(struct path_end *e) { e->size_next_us = USEC_NEVER; }

static void reply(struct path_end *e, uint64_t token)
{
	uint8_t bytes[MSG_SIZE];
	struct wr w = wr_of(bytes, sizeof bytes);

	wr_u8(&w, MSG_REPLY);
	wr_u64(&w, token);
	paths_heard(p, e, 50, now);
	paths_message(p, e, bytes, sizeof bytes, now);
}

static void test_a_gateway_learns_a_path_and_asks_its_round_trip(void)
{
	struct path_end *e;

	up();
	e = learn(5, "203.0.113.9:1024");
	CU_ASSERT_PTR_NOT_NULL_FATAL(e);
	size_known(e);
	CU_ASSERT_PTR_EQUAL(learn(5, "203.0.113.9:1024"), e);
	CU_ASSERT_PTR_EQUAL(paths_find(p, 3, 5), e);
	CU_ASSERT_STRING_EQUAL(e->name, "laptop.5");
	CU_ASSERT_EQUAL(e->life, LIFE_UP);
	CU_ASSERT_FALSE(e->initiator);
	CU_ASSERT_EQUAL(e->mtu_payload, 1500 - 20 - 8 - DATAGRAM_DATA_OVERHEAD);
	CU_ASSERT_EQUAL(sents, 1);
	CU_ASSERT_EQUAL(sent[0].kind, MSG_PROBE);
	pass(30 * USEC_PER_MS);
	reply(e, sent[0].token);
	CU_ASSERT_EQUAL(e->srtt_us, 30 * USEC_PER_MS);
	/* Then it is quiet: keeping the path open is the client's work. */
	sents = 0;
	pass(60 * USEC_PER_S);
	CU_ASSERT_EQUAL(sents, 0);
	down();
}

static void told_cost(struct path_end *e, uint64_t cost)
{
	uint8_t bytes[MSG_SIZE];
	struct wr w = wr_of(bytes, sizeof bytes);

	wr_u8(&w, MSG_COST);
	wr_u64(&w, cost);
	paths_message(p, e, bytes, sizeof bytes, now);
}

static void test_a_gateway_learns_what_a_path_costs(void)
{
	struct path_end *e;
	unsigned before;

	up();
	e = learn(5, "203.0.113.9:1024");
	before = changes;
	told_cost(e, 300);
	CU_ASSERT_EQUAL(e->cost, 300);
	CU_ASSERT_EQUAL(changes, before + 1);
	told_cost(e, 300);
	CU_ASSERT_EQUAL(changes, before + 1);
	told_cost(e, 0);
	CU_ASSERT_EQUAL(e->cost, 0);
	told_cost(e, CONFIG_COST_MAX + 1);
	CU_ASSERT_EQUAL(e->cost, 0);
	CU_ASSERT_EQUAL(counters.v[CNT_PathMessageOdd], 1);
	/* It is the client's to say. */
	e->initiator = true;
	told_cost(e, 7);
	CU_ASSERT_EQUAL(e->cost, 0);
	/* And the client says it with its probes. */
	sents = 0;
	paths_probe(p, e, now + USEC_PER_S);
	CU_ASSERT_EQUAL(sents, 1);
	e->cost = 7;
	paths_probe(p, e, now + 5 * USEC_PER_S);
	CU_ASSERT_EQUAL(sents, 3);
	CU_ASSERT_TRUE(sent[2].kind == MSG_COST && sent[2].token == 7);
	down();
}

static void test_a_probe_is_answered_with_its_token(void)
{
	static const uint8_t probe_bytes[MSG_SIZE] = { MSG_PROBE, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct path_end *e;

	up();
	e = learn(0, "203.0.113.9:1");
	sents = 0;
	paths_message(p, e, probe_bytes, MSG_SIZE, now);
	CU_ASSERT_EQUAL(sents, 1);
	CU_ASSERT_EQUAL(sent[0].kind, MSG_REPLY);
	CU_ASSERT_EQUAL(sent[0].token, 0x0102030405060708);
	for (size_t n = 0; n < MSG_SIZE; n++)
		paths_message(p, e, probe_bytes, n, now);
	paths_message(p, e, (uint8_t[MSG_SIZE]){ 9 }, MSG_SIZE, now);
	paths_message(p, e, (uint8_t[MSG_SIZE + 1]){ MSG_REPLY }, MSG_SIZE + 1, now);
	CU_ASSERT_EQUAL(counters.v[CNT_PathMessageOdd], MSG_SIZE + 2);
	CU_ASSERT_EQUAL(sents, 1);
	down();
}

/* A path with a 20 ms round trip that nothing is the matter with. */
static struct path_end *healthy(void)
{
	struct path_end *e = learn(0, "203.0.113.9:1");

	size_known(e);
	now += 20 * USEC_PER_MS;
	reply(e, sent[sents - 1].token);
	now += USEC_PER_S;
	paths_time(p, now);
	sents = changes = 0;
	return e;
}

static void test_unanswered_traffic_is_probed_and_then_suspected(void)
{
	struct path_end *e;

	up();
	e = healthy();
	paths_sent(p, e, 1400, now);
	pass(49 * USEC_PER_MS);
	CU_ASSERT_EQUAL(sents, 0);
	pass(2 * USEC_PER_MS);
	CU_ASSERT_EQUAL(sents, 1);
	CU_ASSERT_EQUAL(e->life, LIFE_UP);
	pass(200 * USEC_PER_MS);
	CU_ASSERT_EQUAL(e->life, LIFE_SUSPECT);
	CU_ASSERT_EQUAL(counters.v[CNT_PathSuspected], 1);
	CU_ASSERT_EQUAL(changes, 1);
	CU_ASSERT_TRUE(sents > 1); /* it goes on asking */
	down();
}

static void test_traffic_that_is_answered_is_not_probed(void)
{
	struct path_end *e;

	up();
	e = healthy();
	for (int i = 0; i < 1000; i++) {
		paths_sent(p, e, 1400, now);
		pass(20 * USEC_PER_MS);
		paths_heard(p, e, 60, now);
		pass(USEC_PER_MS);
	}
	CU_ASSERT_EQUAL(sents, 0);
	CU_ASSERT_EQUAL(e->life, LIFE_UP);
	down();
}

static void test_only_an_answer_revives_a_suspected_path(void)
{
	struct path_end *e;

	up();
	e = healthy();
	paths_sent(p, e, 1400, now);
	pass(USEC_PER_S);
	CU_ASSERT_EQUAL(e->life, LIFE_SUSPECT);
	sents = 0;
	/* Its other direction lives: that is reason to ask, no more. */
	pass(100 * USEC_PER_MS);
	sents = 0;
	paths_heard(p, e, 60, now);
	CU_ASSERT_EQUAL(e->life, LIFE_SUSPECT);
	CU_ASSERT_EQUAL_FATAL(sents, 1);
	pass(20 * USEC_PER_MS);
	reply(e, sent[0].token);
	CU_ASSERT_EQUAL(e->life, LIFE_UP);
	CU_ASSERT_EQUAL(last_life, LIFE_UP);
	CU_ASSERT_EQUAL(counters.v[CNT_PathRecovered], 1);
	down();
}

/* We are not heard, but hear: acknowledgements of the past, data of the peer's. */
static void test_a_path_dead_in_our_direction_alone_is_suspected(void)
{
	struct path_end *e;

	up();
	e = healthy();
	paths_probe(p, e, now);
	for (int i = 0; i < 100 && e->life == LIFE_UP; i++) {
		paths_sent(p, e, 1400, now);
		paths_heard(p, e, 1400, now);
		pass(10 * USEC_PER_MS);
	}
	CU_ASSERT_EQUAL(e->life, LIFE_SUSPECT);
	CU_ASSERT_EQUAL(sents, 4);
	paths_heard(p, e, 1400, now);
	CU_ASSERT_EQUAL(e->life, LIFE_SUSPECT);
	down();
}

static void test_a_lost_answer_or_two_make_no_suspicion(void)
{
	struct path_end *e;

	up();
	e = healthy();
	paths_probe(p, e, now);
	for (int i = 0; i < 100; i++) {
		pass(10 * USEC_PER_MS);
		paths_heard(p, e, 1400, now);
		if (sents == 3)
			reply(e, sent[2].token);
	}
	CU_ASSERT_EQUAL(e->life, LIFE_UP);
	CU_ASSERT_EQUAL(sents, 3);
	down();
}

static void test_a_dead_path_is_asked_each_second_while_its_peer_is_in_use(void)
{
	struct path_end *e;

	up();
	e = healthy();
	e->initiator = true;
	e->gateway = &(struct config_gateway){ .address_count = 0 };
	paths_sent(p, e, 1400, now);
	for (int s = 0; s < 200; s++) {
		sents = 0;
		pass(USEC_PER_S);
		if (s > 10)
			CU_ASSERT_TRUE(sents >= 1 && sents <= 2);
		paths_sent(p, e, 1400, now); /* it stands for another path of that peer */
	}
	/* And more rarely a minute after the last of it. */
	pass(70 * USEC_PER_S);
	sents = 0;
	pass(50 * USEC_PER_S);
	CU_ASSERT_TRUE(sents >= 8 && sents <= 12);
	down();
}

static void test_the_engines_question_is_asked_once_while_it_is_open(void)
{
	struct path_end *e;

	up();
	e = healthy();
	for (int i = 0; i < 10; i++)
		paths_probe(p, e, now);
	CU_ASSERT_EQUAL(sents, 1);
	reply(e, now);
	paths_probe(p, e, now);
	CU_ASSERT_EQUAL(sents, 2);
	down();
}

static void test_probes_of_a_dead_path_become_rare(void)
{
	struct path_end *e;

	up();
	e = healthy();
	e->initiator = true; /* so that it is not forgotten meanwhile */
	e->gateway = &(struct config_gateway){ .address_count = 0 };
	paths_sent(p, e, 1400, now);
	for (int s = 0; s < 100; s++) {
		sents = 0;
		pass(USEC_PER_S);
		if (s > 5)
			CU_ASSERT_TRUE(sents <= 2);
	}
	CU_ASSERT_TRUE(silences > 0);
	down();
}

static void test_a_long_silent_path_is_forgotten_by_the_gateway(void)
{
	up();
	(void)healthy();
	pass(FORGET_US + USEC_PER_S);
	CU_ASSERT_EQUAL(gones, 1);
	CU_ASSERT_PTR_NULL(paths_find(p, 3, 0));
	CU_ASSERT_PTR_NULL(paths_next(p, NULL));
	CU_ASSERT_EQUAL(paths_deadline(p), USEC_NEVER);
	down();
}

static void test_a_client_closes_a_path_by_another(void)
{
	struct path_end *one;
	uint8_t close_two[MSG_SIZE] = { MSG_CLOSE, [MSG_SIZE - 1] = 2 }, close_far[MSG_SIZE] = { MSG_CLOSE, 1 };

	up();
	one = learn(1, "203.0.113.9:1");
	(void)learn(2, "198.51.100.9:1");
	paths_message(p, one, close_far, MSG_SIZE, now);
	CU_ASSERT_EQUAL(gones, 0);
	paths_message(p, one, close_two, MSG_SIZE, now);
	CU_ASSERT_EQUAL(gones, 1);
	CU_ASSERT_PTR_NULL(paths_find(p, 3, 2));
	CU_ASSERT_PTR_EQUAL(paths_find(p, 3, 1), one);
	down();
}

static void test_a_path_roams_and_keeps_its_measurements(void)
{
	struct udp_datagram d = { .from = address("198.51.100.77:9"), .to = address("192.0.2.1") };
	struct path_end *e;

	up();
	e = healthy();
	paths_roam(p, e, &gateway_udp, &d, now);
	CU_ASSERT_TRUE(addr_eq(&e->remote, &d.from));
	CU_ASSERT_EQUAL(e->srtt_us, 20 * USEC_PER_MS);
	CU_ASSERT_EQUAL(counters.v[CNT_PathRoamed], 1);
	CU_ASSERT_EQUAL(changes, 1);
	paths_roam(p, e, &gateway_udp, &d, now);
	CU_ASSERT_EQUAL(changes, 1);
	down();
}

static void test_a_reply_to_a_probe_of_another_age_is_no_measurement(void)
{
	struct path_end *e;

	up();
	e = healthy();
	reply(e, now + 1);
	reply(e, now - 61 * USEC_PER_S);
	CU_ASSERT_EQUAL(e->srtt_us, 20 * USEC_PER_MS);
	down();
}

/* --- sizes --- */

static void answer_size(struct path_end *e)
{
	reply(e, sizes[(size_count - 1) % 64].token);
}

static void test_a_path_that_carries_its_longest_segment_keeps_it(void)
{
	struct path_end *e;

	up();
	e = learn(0, "203.0.113.9:1");
	reply(e, sent[0].token);
	pass(50 * USEC_PER_MS);
	CU_ASSERT_EQUAL(size_count, 1);
	CU_ASSERT_EQUAL(sizes[0].size, e->mtu_payload);
	answer_size(e);
	paths_heard(p, e, 9, now);
	pass(80 * USEC_PER_S);
	CU_ASSERT_EQUAL(size_count, 1);
	CU_ASSERT_EQUAL(counters.v[CNT_PathMtuLowered], 0);
	down();
}

static void test_a_path_that_swallows_long_segments_gets_shorter_ones(void)
{
	struct path_end *e;
	uint16_t longest;
	unsigned answered = 0;

	up();
	e = learn(0, "203.0.113.9:1");
	longest = e->mtu_payload;
	/* Carries 1433 and no more: everything short is answered. */
	for (int i = 0; i < 500; i++) {
		sents = 0;
		paths_probe(p, e, now);
		pass(20 * USEC_PER_MS);
		reply(e, sent[0].token);
		for (; answered < size_count; answered++)
			if (sizes[answered % 64].size + headers_of(e) <= 1433)
				reply(e, sizes[answered % 64].token);
	}
	/* Once: the largest usual size that was answered, 1420; then by halves. */
	CU_ASSERT_TRUE(e->mtu_payload + headers_of(e) > 1433 - 8 && e->mtu_payload + headers_of(e) <= 1433);
	CU_ASSERT_EQUAL(counters.v[CNT_PathMtuLowered], 1);
	CU_ASSERT_EQUAL(e->life, LIFE_UP);
	/* Ten minutes later the way is wider. */
	size_count = 0;
	for (int i = 0; i < 700 * 50 && !size_count; i++) {
		sents = 0;
		pass(20 * USEC_PER_MS);
		paths_heard(p, e, 60, now);
		for (unsigned k = 0, asked = sents; k < asked; k++)
			reply(e, sent[k].token);
	}
	CU_ASSERT_EQUAL(size_count, 2);
	CU_ASSERT_EQUAL(sizes[0].size, longest);
	reply(e, sizes[0].token);
	CU_ASSERT_EQUAL(e->mtu_payload, longest);
	down();
}

/* One in `of` is answered: as luck has it, from this test's own seed. */
static bool lucky(uint64_t *seed, unsigned of)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (*seed >> 33) % of == 0;
}

/* A path that carries `most` and answers one probe of length in `of`, for a trial's time; what it then takes for its length. */
static unsigned size_after_a_trial(uint64_t seed, unsigned most, unsigned of)
{
	struct path_end *e;
	unsigned answered = 0, size;

	up();
	e = learn(0, "203.0.113.9:1");
	for (int i = 0; i < 250; i++) {
		sents = 0;
		paths_probe(p, e, now);
		pass(20 * USEC_PER_MS);
		reply(e, sent[0].token);
		for (; answered < size_count; answered++)
			if (sizes[answered % 64].size + headers_of(e) <= most && lucky(&seed, of))
				reply(e, sizes[answered % 64].token);
	}
	size = e->mtu_payload + headers_of(e);
	down();
	return size;
}

static void test_what_is_lost_like_any_other_is_no_question_of_length(void)
{
	unsigned shortened = 0;

	/* Half is lost each way. */
	for (uint64_t seed = 1; seed <= 200; seed++)
		shortened += size_after_a_trial(seed, 1500, 4) < 1500;
	CU_ASSERT_TRUE(shortened <= 1);
}

static void test_a_limit_is_found_on_a_path_that_loses_much(void)
{
	unsigned found = 0;

	for (uint64_t seed = 1; seed <= 50; seed++)
		found += size_after_a_trial(seed, 1400, 2) <= 1400;
	CU_ASSERT_TRUE(found >= 45);
}

static void test_silence_says_nothing_about_sizes(void)
{
	struct path_end *e;

	up();
	e = healthy();
	path_size_unknown(e, now);
	paths_sent(p, e, 1400, now);
	pass(30 * USEC_PER_S);
	CU_ASSERT_EQUAL(e->life, LIFE_SUSPECT);
	CU_ASSERT_EQUAL(counters.v[CNT_PathMtuLowered], 0);
	down();
}

/* --- client --- */

static struct config_gateway gateway = { .name = "g", .address_count = 2 };

static void client(void)
{
	static struct config_path links[] = { { .name = "one" }, { .name = "two", .backup = true, .mark = 7 } };

	gateway.addresses[0] = address("127.0.0.1:4500");
	gateway.addresses[1] = address("127.0.0.9:4500");
	links[0].address = address("127.0.0.2");
	links[1].address = address("127.0.0.3");
	paths_add_gateway(p, 0, &gateway);
	paths_set_links(p, false, links, 2);
	paths_refresh(p, &there, now);
	size_known(paths_find(p, 0, 0));
	size_known(paths_find(p, 0, 1));
}

static void test_each_path_begins_with_its_own_gateway_address(void)
{
	struct path_end *one, *two;

	up();
	client();
	one = paths_find(p, 0, 0);
	two = paths_find(p, 0, 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(one);
	CU_ASSERT_PTR_NOT_NULL_FATAL(two);
	CU_ASSERT_TRUE(addr_eq(&one->remote, &gateway.addresses[0]));
	CU_ASSERT_TRUE(addr_eq(&two->remote, &gateway.addresses[1]));
	CU_ASSERT_TRUE(two->backup);
	CU_ASSERT_EQUAL(one->life, LIFE_NONE);
	pass(USEC_PER_S);
	CU_ASSERT_EQUAL(sents, 0); /* nothing can be sealed yet */
	paths_session(p, 0, now);
	CU_ASSERT_EQUAL(sents, 2);
	down();
}

static void test_a_wish_is_for_an_interface_then_a_mark_then_an_address(void)
{
	const struct addr first = address("127.0.0.2:40000");
	struct path_end *one, *two;

	up();
	client();
	strcpy(p->links[0].interface, "eth0");
	one = paths_find(p, 0, 0);
	two = paths_find(p, 0, 1);
	CU_ASSERT_PTR_NULL(paths_wished(p, 0, &(struct path_wish){ .interface = "" }));
	CU_ASSERT_PTR_EQUAL(paths_wished(p, 0, &(struct path_wish){ .interface = "", .source = first }), one);
	CU_ASSERT_PTR_EQUAL(paths_wished(p, 0, &(struct path_wish){ .interface = "", .mark = 7, .source = first }), two);
	CU_ASSERT_PTR_EQUAL(paths_wished(p, 0, &(struct path_wish){ .interface = "", .mark = 8, .source = first }), one);
	CU_ASSERT_PTR_NULL(paths_wished(p, 0, &(struct path_wish){ .interface = "", .mark = 8 }));
	CU_ASSERT_PTR_EQUAL(paths_wished(p, 0, &(struct path_wish){ .interface = "eth0", .mark = 7 }), one);
	CU_ASSERT_PTR_NULL(paths_wished(p, 0, &(struct path_wish){ .interface = "eth9", .mark = 7, .source = first }));
	CU_ASSERT_PTR_NULL(paths_wished(p, 1, &(struct path_wish){ .interface = "", .mark = 7 })); /* not that peer's */
	down();
}

static void test_a_path_without_an_answer_tries_the_other_address(void)
{
	struct path_end *one;

	up();
	client();
	one = paths_find(p, 0, 0);
	paths_session(p, 0, now);
	pass(3 * USEC_PER_S);
	CU_ASSERT_TRUE(counters.v[CNT_PathRotated] > 0);
	CU_ASSERT_TRUE(silences > 0);
	/* Whichever it is now, an answer keeps it there. */
	reply(one, sent[sents - 1].token);
	counters.v[CNT_PathRotated] = 0;
	for (int i = 0; i < 60; i++) {
		struct path_end *two = paths_find(p, 0, 1);

		sents = 0;
		pass(USEC_PER_S);
		for (unsigned k = 0, asked = sents; k < asked; k++) {
			reply(one, sent[k].token);
			reply(two, sent[k].token);
		}
	}
	CU_ASSERT_EQUAL(counters.v[CNT_PathRotated], 0);
	CU_ASSERT_EQUAL(one->life, LIFE_UP);
	down();
}

static void test_an_idle_client_path_is_probed_every_15_to_25_seconds(void)
{
	struct path_end *one, *two;
	usec_t before;

	up();
	client();
	one = paths_find(p, 0, 0);
	two = paths_find(p, 0, 1);
	paths_session(p, 0, now);
	pass(300 * USEC_PER_MS);
	reply(one, sent[sents - 1].token);
	reply(two, sent[sents - 1].token);
	pass(USEC_PER_S);
	reply(one, sent[sents - 1].token);
	reply(two, sent[sents - 1].token);
	paths_time(p, now);
	for (int i = 0; i < 20; i++) {
		before = now;
		sents = 0;
		while (!sents) {
			now = usec_max(now, paths_deadline(p));
			CU_ASSERT_TRUE_FATAL(now < before + 30 * USEC_PER_S);
			paths_time(p, now);
		}
		reply(paths_find(p, 0, sent[0].no), sent[0].token);
		CU_ASSERT_TRUE(one->probe_next_us >= now - 10 * USEC_PER_S && one->probe_next_us <= now + 25 * USEC_PER_S);
		CU_ASSERT_TRUE(now - before <= 25 * USEC_PER_S);
	}
	CU_ASSERT_EQUAL(one->life, LIFE_UP);
	CU_ASSERT_EQUAL(counters.v[CNT_PathSuspected], 0);
	down();
}

static void test_a_doubted_path_waits_for_the_answer_to_a_new_probe(void)
{
	struct path_end *e;
	uint64_t before;

	up();
	e = learn(5, "203.0.113.9:1024");
	CU_ASSERT_PTR_NOT_NULL_FATAL(e);
	size_known(e);
	before = sent[sents - 1].token;
	now += 20 * USEC_PER_MS;
	sents = 0;
	CU_ASSERT_TRUE(paths_doubt(p, e, now));
	CU_ASSERT_EQUAL(e->life, LIFE_SUSPECT);
	CU_ASSERT_EQUAL(sents, 1);
	CU_ASSERT_EQUAL(sent[0].kind, MSG_PROBE);
	/* Doubting it again neither probes nor changes anything. */
	CU_ASSERT_FALSE(paths_doubt(p, e, now));
	CU_ASSERT_EQUAL(sents, 1);
	/* What was on its way to us all the time is no proof, nor is the answer to an older probe. */
	now += 5 * USEC_PER_MS;
	paths_heard(p, e, 100, now);
	reply(e, before);
	CU_ASSERT_EQUAL(e->life, LIFE_SUSPECT);
	now += 5 * USEC_PER_MS;
	reply(e, sent[0].token);
	CU_ASSERT_EQUAL(e->life, LIFE_UP);
	/* And then any sign of life is one again. */
	CU_ASSERT_EQUAL(e->doubted_us, 0);
	down();
}

static void test_a_doubted_path_is_probed_until_it_answers(void)
{
	struct path_end *e;

	up();
	e = learn(5, "203.0.113.9:1024");
	CU_ASSERT_PTR_NOT_NULL_FATAL(e);
	size_known(e);
	reply(e, sent[sents - 1].token);
	sents = 0;
	CU_ASSERT_TRUE(paths_doubt(p, e, now));
	for (int i = 0; i < 20; i++) {
		pass(100 * USEC_PER_MS);
		paths_heard(p, e, 100, now); /* the other direction works */
	}
	CU_ASSERT_EQUAL(e->life, LIFE_SUSPECT);
	CU_ASSERT_TRUE(sents >= 3);
	reply(e, sent[sents - 1].token);
	CU_ASSERT_EQUAL(e->life, LIFE_UP);
	down();
}

UNIT_MAIN("paths",
	T(test_a_gateway_learns_a_path_and_asks_its_round_trip),
	T(test_a_gateway_learns_what_a_path_costs),
	T(test_a_probe_is_answered_with_its_token),
	T(test_unanswered_traffic_is_probed_and_then_suspected),
	T(test_traffic_that_is_answered_is_not_probed),
	T(test_only_an_answer_revives_a_suspected_path), T(test_a_path_dead_in_our_direction_alone_is_suspected),
	T(test_a_lost_answer_or_two_make_no_suspicion), T(test_a_dead_path_is_asked_each_second_while_its_peer_is_in_use),
	T(test_the_engines_question_is_asked_once_while_it_is_open),
	T(test_probes_of_a_dead_path_become_rare),
	T(test_a_long_silent_path_is_forgotten_by_the_gateway),
	T(test_a_client_closes_a_path_by_another),
	T(test_a_path_roams_and_keeps_its_measurements),
	T(test_a_reply_to_a_probe_of_another_age_is_no_measurement),
	T(test_a_path_that_carries_its_longest_segment_keeps_it),
	T(test_a_path_that_swallows_long_segments_gets_shorter_ones),
	T(test_what_is_lost_like_any_other_is_no_question_of_length),
	T(test_a_limit_is_found_on_a_path_that_loses_much),
	T(test_silence_says_nothing_about_sizes),
	T(test_each_path_begins_with_its_own_gateway_address),
	T(test_a_wish_is_for_an_interface_then_a_mark_then_an_address),
	T(test_a_path_without_an_answer_tries_the_other_address),
	T(test_an_idle_client_path_is_probed_every_15_to_25_seconds),
	  T(test_a_doubted_path_waits_for_the_answer_to_a_new_probe), T(test_a_doubted_path_is_probed_until_it_answers))
