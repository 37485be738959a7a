/* SPDX-License-Identifier: MIT */
/* What a responder asks of strangers when too many knock. */
#include "tests/unit/seal/pair.h"

/* Initiations that get past mac1 and no further, until the gateway is under load: handshakes_per_s is 20. */
static void knock(struct pair *p, int times)
{
	struct packet d = { .len = INITIATION_SIZE, .bytes = { DATAGRAM_INITIATION } };

	d.bytes[INITIATION_HEADER] = 9; /* an ephemeral that is no point of low order */
	mac_add(d.bytes, d.len, &p->gateway.s->jar.keys, NULL);
	for (int n = 0; n < times; n++)
		(void)deliver(p, &p->gateway, &d);
}

static void test_without_load_nobody_is_asked(void)
{
	struct pair p;

	pair_start(&p);
	for (int n = 0; n < 200; n++) {
		p.now += SEC / 20;
		knock(&p, 1);
		CU_ASSERT_EQUAL(p.in.reply_len, 0);
	}
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeForged), 200);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeCookieTx), 0);
	pair_stop(&p);
}

static void test_under_load_a_client_shows_that_it_receives_and_is_let_in(void)
{
	struct pair p;
	struct packet first, cookie, second, d;
	struct memory m;

	pair_start(&p);
	knock(&p, 25);
	CU_ASSERT_EQUAL(p.in.result, SEAL_REPLY);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeForged), 20);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeCookieTx), 5);

	seal_connect(p.client.s, p.client.peer, p.now);
	first = due(&p, &p.client, NULL);
	m = remember(&p.gateway);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &first), SEAL_REPLY);
	CU_ASSERT_TRUE(unchanged(&p.gateway, &m));
	forget(&m);
	cookie = reply(&p);
	CU_ASSERT_EQUAL(cookie.len, COOKIE_MESSAGE);

	/* The client answers at once, on the path that was asked. */
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &cookie), SEAL_REPLY);
	second = reply(&p);
	CU_ASSERT_EQUAL(second.len, INITIATION_SIZE);
	CU_ASSERT(memcmp(first.bytes, second.bytes, INITIATION_SIZE - COOKIE_MAC) == 0);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &second), SEAL_REPLY);
	d = reply(&p);
	CU_ASSERT_EQUAL(d.len, RESPONSE_SIZE);
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_READY);
	pair_stop(&p);
}

static void test_a_cookie_is_good_for_its_address_only(void)
{
	struct pair p;
	struct packet d, good;

	pair_start(&p);
	knock(&p, 25);
	seal_connect(p.client.s, p.client.peer, p.now);
	d = due(&p, &p.client, NULL);
	(void)deliver(&p, &p.gateway, &d);
	d = reply(&p);
	(void)deliver(&p, &p.client, &d);
	good = reply(&p);
	for (int k = 0; k < 3; k++) {
		struct addr from = p.client.at[0];

		if (k == 0)
			from.port++;
		if (k == 1)
			from.ip[3]++;
		if (k == 2)
			from.family = 6;
		CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &good, &from), SEAL_REPLY);
		CU_ASSERT_EQUAL(p.in.reply_len, COOKIE_MESSAGE);
	}
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &good), SEAL_REPLY);
	CU_ASSERT_EQUAL(p.in.reply_len, RESPONSE_SIZE);
	pair_stop(&p);
}

/* One initiation raced over two paths, both asked: each answer goes back on its own path. */
static void test_each_path_is_asked_and_answers_for_itself(void)
{
	struct pair p;
	struct packet i, asked[2], answer[2];

	pair_start(&p);
	knock(&p, 25);
	seal_connect(p.client.s, p.client.peer, p.now);
	i = due(&p, &p.client, NULL);
	for (int k = 0; k < 2; k++) {
		CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &i, &p.client.at[k]), SEAL_REPLY);
		asked[k] = reply(&p);
	}
	for (int k = 0; k < 2; k++) {
		CU_ASSERT_EQUAL(deliver(&p, &p.client, &asked[k]), SEAL_REPLY);
		answer[k] = reply(&p);
	}
	CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &answer[1], &p.client.at[1]), SEAL_REPLY);
	CU_ASSERT_EQUAL(p.in.reply_len, RESPONSE_SIZE);
	/* The other is the same initiation, and comes too late. */
	CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &answer[0], &p.client.at[0]), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeReplayed), 1);
	pair_stop(&p);
}

static void test_a_retry_carries_the_cookie_until_it_is_old(void)
{
	static const uint8_t none[COOKIE_MAC];
	struct pair p;
	struct packet d;

	pair_start(&p);
	knock(&p, 25);
	seal_connect(p.client.s, p.client.peer, p.now);
	d = due(&p, &p.client, NULL);
	CU_ASSERT(memcmp(d.bytes + INITIATION_SIZE - COOKIE_MAC, none, COOKIE_MAC) == 0);
	(void)deliver(&p, &p.gateway, &d);
	d = reply(&p);
	(void)deliver(&p, &p.client, &d);
	d = wait_due(&p, &p.client);
	knock(&p, 25);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_REPLY);
	CU_ASSERT_EQUAL(p.in.reply_len, RESPONSE_SIZE);

	p.now += COOKIE_MAX_AGE;
	d = due(&p, &p.client, NULL);
	CU_ASSERT_EQUAL_FATAL(d.len, INITIATION_SIZE);
	CU_ASSERT(memcmp(d.bytes + INITIATION_SIZE - COOKIE_MAC, none, COOKIE_MAC) == 0);
	pair_stop(&p);
}

static void test_the_gateways_secret_grows_old(void)
{
	struct pair p;
	struct packet d, good;

	pair_start(&p);
	knock(&p, 25);
	seal_connect(p.client.s, p.client.peer, p.now);
	d = due(&p, &p.client, NULL);
	(void)deliver(&p, &p.gateway, &d);
	d = reply(&p);
	(void)deliver(&p, &p.client, &d);
	good = reply(&p);
	p.now += COOKIE_SECRET_MAX_AGE;
	knock(&p, 25);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &good), SEAL_REPLY);
	CU_ASSERT_EQUAL(p.in.reply_len, COOKIE_MESSAGE);
	pair_stop(&p);
}

static void test_one_source_has_its_share_and_no_more(void)
{
	struct pair p;
	struct packet d = { .len = INITIATION_SIZE, .bytes = { DATAGRAM_INITIATION } }, c;
	struct mac_keys keys;
	uint8_t cookie[COOKIE_MAC];
	uint64_t before;

	pair_start(&p);
	knock(&p, 25);
	d.bytes[INITIATION_HEADER] = 9;
	mac_keys_of(&keys, p.gateway.public_key);
	mac_add(d.bytes, d.len, &keys, NULL);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_REPLY);
	c = reply(&p);
	CU_ASSERT_EQUAL(cookie_open(cookie, c.bytes, &keys, d.bytes, d.len), ERR_OK);
	mac_add(d.bytes, d.len, &keys, cookie);
	before = counted(&p.gateway, CNT_HandshakeForged);
	for (int n = 0; n < 100; n++)
		CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeForged) - before, COOKIE_SOURCE_BURST);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeRateLimited), 100 - COOKIE_SOURCE_BURST);
	/* Meanwhile another source has its own. */
	CU_ASSERT_TRUE(cookie_source_allowed(&p.gateway.s->jar, &p.client.at[3], p.now));
	pair_stop(&p);
}

static void test_a_host_of_ipv6_has_one_share_for_its_64(void)
{
	struct cookie_jar *j;
	struct pair p;
	struct addr a = { .family = 6, .ip = { 0x20, 1, 0xd, 0xb8 }, .port = 1 };
	int allowed = 0;

	pair_start(&p);
	j = &p.gateway.s->jar;
	for (uint8_t n = 0; n < 50; n++) {
		a.ip[8] = a.ip[15] = n;
		a.port++;
		allowed += cookie_source_allowed(j, &a, p.now);
	}
	CU_ASSERT_EQUAL(allowed, COOKIE_SOURCE_BURST);
	p.now += SEC;
	CU_ASSERT_TRUE(cookie_source_allowed(j, &a, p.now));
	pair_stop(&p);
}

static void test_load_ends(void)
{
	struct pair p;
	struct packet d;

	pair_start(&p);
	knock(&p, 25);
	p.now += 2 * SEC;
	seal_connect(p.client.s, p.client.peer, p.now);
	d = due(&p, &p.client, NULL);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_REPLY);
	CU_ASSERT_EQUAL(p.in.reply_len, RESPONSE_SIZE);
	pair_stop(&p);
}

static void test_every_flipped_bit_and_short_prefix_of_a_cookie_is_dropped(void)
{
	struct pair p;
	struct packet d, cookie;
	struct memory m;
	uint64_t drops;

	pair_start(&p);
	knock(&p, 25);
	seal_connect(p.client.s, p.client.peer, p.now);
	d = due(&p, &p.client, NULL);
	(void)deliver(&p, &p.gateway, &d);
	cookie = reply(&p);
	m = remember(&p.client);
	drops = counted_all(&p.client);
	for (size_t bit = 0; bit < cookie.len * 8; bit++) {
		d = cookie;
		d.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_DROPPED);
		CU_ASSERT_EQUAL(counted_all(&p.client), ++drops);
	}
	for (size_t n = 0; n < cookie.len; n++) {
		d = cookie;
		d.len = n;
		CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_DROPPED);
		CU_ASSERT_EQUAL(counted_all(&p.client), ++drops);
	}
	CU_ASSERT_TRUE(unchanged(&p.client, &m));
	forget(&m);
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &cookie), SEAL_REPLY);
	pair_stop(&p);
}

/* Else a cookie reply, replayed, would make us send initiations for ever. */
static void test_a_replayed_cookie_is_answered_so_many_times_only(void)
{
	struct pair p;
	struct packet d, cookie;
	int answers = 0;

	pair_start(&p);
	knock(&p, 25);
	seal_connect(p.client.s, p.client.peer, p.now);
	d = due(&p, &p.client, NULL);
	(void)deliver(&p, &p.gateway, &d);
	cookie = reply(&p);
	for (int n = 0; n < 100; n++)
		answers += deliver(&p, &p.client, &cookie) == SEAL_REPLY;
	CU_ASSERT_EQUAL(answers, SESSION_PATHS);
	CU_ASSERT_EQUAL(counted(&p.client, CNT_HandshakeUnexpected), 100 - SESSION_PATHS);
	pair_stop(&p);
}

UNIT_MAIN("cookie",
	T(test_without_load_nobody_is_asked),
	T(test_under_load_a_client_shows_that_it_receives_and_is_let_in),
	T(test_a_cookie_is_good_for_its_address_only),
	T(test_each_path_is_asked_and_answers_for_itself),
	T(test_a_retry_carries_the_cookie_until_it_is_old),
	T(test_the_gateways_secret_grows_old),
	T(test_one_source_has_its_share_and_no_more),
	T(test_a_host_of_ipv6_has_one_share_for_its_64),
	T(test_load_ends),
	T(test_every_flipped_bit_and_short_prefix_of_a_cookie_is_dropped),
	T(test_a_replayed_cookie_is_answered_so_many_times_only))
