/* SPDX-License-Identifier: MIT */
/* How two ends come to a session, whatever is lost, late or refused on the way. */
#include "tests/unit/seal/pair.h"

static void test_a_round_trip_and_a_confirmation_make_a_session(void)
{
	struct pair p;
	struct packet d;
	uint32_t attempt = 99;

	pair_start(&p);
	CU_ASSERT_EQUAL(seal_deadline(p.client.s), USEC_NEVER);
	seal_connect(p.client.s, p.client.peer, p.now);
	CU_ASSERT_EQUAL(seal_deadline(p.client.s), p.now);

	d = due(&p, &p.client, &attempt);
	CU_ASSERT_EQUAL(d.len, INITIATION_SIZE);
	CU_ASSERT_EQUAL(attempt, 0);
	CU_ASSERT_EQUAL(due(&p, &p.client, NULL).len, 0);
	CU_ASSERT_FALSE(seal_ready(p.client.s, p.client.peer, p.now));

	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_REPLY);
	CU_ASSERT_EQUAL(p.in.peer, p.gateway.peer);
	d = reply(&p);
	CU_ASSERT_EQUAL(d.len, RESPONSE_SIZE);
	CU_ASSERT_FALSE(seal_ready(p.gateway.s, p.gateway.peer, p.now));

	CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_READY);
	CU_ASSERT_TRUE(p.in.new_session);
	CU_ASSERT_EQUAL(p.in.peer, p.client.peer);
	CU_ASSERT_EQUAL(p.in.peer_epoch, p.gateway.s->epoch);
	CU_ASSERT_TRUE(seal_ready(p.client.s, p.client.peer, p.now));
	d = reply(&p);
	CU_ASSERT_EQUAL(d.len, DATAGRAM_DATA_OVERHEAD);

	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_READY);
	CU_ASSERT_TRUE(p.in.new_session);
	CU_ASSERT_FALSE(p.in.path_new_endpoint);
	CU_ASSERT_EQUAL(p.in.peer_epoch, p.client.s->epoch);
	CU_ASSERT_TRUE(seal_ready(p.gateway.s, p.gateway.peer, p.now));

	d = say(&p, &p.gateway, 3, "hello client");
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_DATA);
	CU_ASSERT_TRUE(heard(&p, "hello client"));
	CU_ASSERT_EQUAL(p.in.path_no, 3);
	CU_ASSERT_FALSE(p.in.new_session);
	d = say_as(&p, &p.client, 15, DATAGRAM_PATH, "probe");
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_PATH);
	CU_ASSERT_EQUAL(p.in.path_no, 15);
	CU_ASSERT_EQUAL(p.in.len, 5);
	CU_ASSERT_EQUAL(due(&p, &p.client, NULL).len, 0);
	pair_stop(&p);
}

static void test_the_cipher_is_what_both_ends_have(void)
{
	bool aes = crypto_aead_aes256gcm_is_available();
	const char *best = aes ? "AES-256-GCM" : "ChaCha20-Poly1305";
	struct { uint32_t client, gateway; const char *cipher; } cases[] = {
		{ CAP_AES_256_GCM, CAP_AES_256_GCM, best },
		{ CAP_AES_256_GCM | CAP_UPERF, CAP_UPERF, "ChaCha20-Poly1305" },
		{ 0, CAP_AES_256_GCM, "ChaCha20-Poly1305" },
		{ 0, 0, "ChaCha20-Poly1305" },
	};

	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		struct seal_peer_info info;
		struct pair p;
		struct packet d;

		pair_start_with(&p, cases[k].client, cases[k].gateway);
		shake_hands(&p);
		seal_peer_info(p.client.s, p.client.peer, &info);
		CU_ASSERT_STRING_EQUAL(info.cipher, cases[k].cipher);
		CU_ASSERT_EQUAL(info.peer_capabilities & ~(uint32_t)CAP_AES_256_GCM, cases[k].gateway & ~(uint32_t)CAP_AES_256_GCM);
		seal_peer_info(p.gateway.s, p.gateway.peer, &info);
		CU_ASSERT_STRING_EQUAL(info.cipher, cases[k].cipher);
		d = say(&p, &p.client, 0, "up");
		deliver(&p, &p.gateway, &d);
		CU_ASSERT_TRUE(heard(&p, "up"));
		d = say(&p, &p.gateway, 0, "down");
		deliver(&p, &p.client, &d);
		CU_ASSERT_TRUE(heard(&p, "down"));
		pair_stop(&p);
	}
}

static void test_the_responder_is_silent_until_the_initiator_used_the_keys(void)
{
	struct pair p;
	struct packet d;

	pair_start(&p);
	seal_connect(p.client.s, p.client.peer, p.now);
	d = due(&p, &p.client, NULL);
	deliver(&p, &p.gateway, &d);
	CU_ASSERT_EQUAL(say(&p, &p.gateway, 0, "too early").len, 0);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_SealNoSession), 1);
	/* It cannot ask for a handshake: that is the client's. */
	CU_ASSERT_EQUAL(due(&p, &p.gateway, NULL).len, 0);
	d = reply(&p);
	deliver(&p, &p.client, &d);
	/* The confirmation is lost; any data confirms. */
	d = say(&p, &p.client, 4, "first");
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DATA);
	CU_ASSERT_TRUE(p.in.new_session && p.in.path_new_endpoint);
	CU_ASSERT_NOT_EQUAL(say(&p, &p.gateway, 0, "now").len, 0);
	pair_stop(&p);
}

static void test_retries_are_jittered_back_off_and_never_end(void)
{
	struct pair p;
	usec_t last = 0;
	uint32_t attempt;

	pair_start(&p);
	seal_connect(p.client.s, p.client.peer, p.now);
	for (uint32_t n = 0; n < 2000; n++) {
		usec_t base = n == 0 ? 0 : n <= 4 ? RETRY_FIRST << (n - 1) : RETRY_LAST;

		CU_ASSERT_NOT_EQUAL_FATAL(seal_deadline(p.client.s), USEC_NEVER);
		/* Waking up for expiry work yields nothing. */
		while (p.now = seal_deadline(p.client.s), due(&p, &p.client, &attempt).len == 0)
			CU_ASSERT_NOT_EQUAL_FATAL(seal_deadline(p.client.s), p.now);
		CU_ASSERT_EQUAL(attempt, n);
		if (n)
			CU_ASSERT(p.now - last >= base * 3 / 4 && p.now - last <= base * 5 / 4);
		last = p.now;
		(void)due(&p, &p.client, NULL);
	}
	CU_ASSERT_EQUAL(counted(&p.client, CNT_HandshakeInitiationTx), 2000);
	pair_stop(&p);
}

/* 900 ms there and back, and the first retries after a third of that. */
static void test_a_path_slower_than_the_retries_still_completes(void)
{
	struct pair p;
	struct packet i[3], r[3], c, d;

	pair_start(&p);
	seal_connect(p.client.s, p.client.peer, p.now);
	for (int n = 0; n < 3; n++) {
		i[n] = wait_due(&p, &p.client);
	}
	for (int n = 0; n < 3; n++) {
		CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &i[n]), SEAL_REPLY);
		r[n] = reply(&p);
	}
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &r[0]), SEAL_READY);
	c = reply(&p);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &c), SEAL_READY);
	d = say(&p, &p.gateway, 0, "on the first");
	deliver(&p, &p.client, &d);
	CU_ASSERT_TRUE(heard(&p, "on the first"));

	/* The later ones complete as well, and nothing in flight is lost by it. */
	d = say(&p, &p.gateway, 0, "still on the first");
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &r[2]), SEAL_READY);
	deliver(&p, &p.client, &d);
	CU_ASSERT_TRUE(heard(&p, "still on the first"));
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &r[1]), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.client, CNT_HandshakeUnexpected), 1);
	d = say(&p, &p.client, 0, "on the third");
	deliver(&p, &p.gateway, &d);
	CU_ASSERT_TRUE(heard(&p, "on the third"));
	d = say(&p, &p.gateway, 0, "agreed");
	deliver(&p, &p.client, &d);
	CU_ASSERT_TRUE(heard(&p, "agreed"));
	pair_stop(&p);
}

static void test_a_replayed_initiation_is_refused(void)
{
	struct pair p;
	struct packet first, second;

	pair_start(&p);
	seal_connect(p.client.s, p.client.peer, p.now);
	first = due(&p, &p.client, NULL);
	p.now += SEC;
	second = due(&p, &p.client, NULL);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &second), SEAL_REPLY);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &second), SEAL_DROPPED);
	CU_ASSERT_EQUAL(p.in.reply_len, 0);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &first), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeReplayed), 2);
	pair_stop(&p);
}

static void test_replayed_initiations_cost_a_session_nothing(void)
{
	struct pair p;
	struct packet old, d;
	struct memory m;

	pair_start(&p);
	seal_connect(p.client.s, p.client.peer, p.now);
	old = due(&p, &p.client, NULL);
	deliver(&p, &p.gateway, &old);
	shake_hands(&p);
	m = remember(&p.gateway);
	for (int n = 0; n < 15; n++)
		CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &old), SEAL_DROPPED);
	CU_ASSERT_TRUE(unchanged(&p.gateway, &m));
	forget(&m);
	d = say(&p, &p.gateway, 0, "alive");
	deliver(&p, &p.client, &d);
	CU_ASSERT_TRUE(heard(&p, "alive"));
	pair_stop(&p);
}

static void test_initiations_made_at_one_instant_are_ordered(void)
{
	struct pair p;
	struct packet d;

	pair_start(&p);
	for (int n = 0; n < 3; n++) {
		shake_hands(&p); /* the clock stands still */
		d = say(&p, &p.gateway, 0, "x");
		deliver(&p, &p.client, &d);
		CU_ASSERT_TRUE(heard(&p, "x"));
	}
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeReplayed), 0);
	pair_stop(&p);
}

static void test_a_response_counts_once(void)
{
	struct pair p;
	struct packet d, response;
	struct memory m;

	pair_start(&p);
	seal_connect(p.client.s, p.client.peer, p.now);
	d = due(&p, &p.client, NULL);
	deliver(&p, &p.gateway, &d);
	response = reply(&p);
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &response), SEAL_READY);
	m = remember(&p.client);
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &response), SEAL_DROPPED);
	CU_ASSERT_TRUE(unchanged(&p.client, &m));
	CU_ASSERT_EQUAL(counted(&p.client, CNT_HandshakeUnexpected), 1);
	forget(&m);
	pair_stop(&p);
}

static void test_an_unknown_client_gets_no_answer(void)
{
	struct pair p;
	struct packet d;
	struct memory m;

	pair_start(&p);
	seal_peer_remove(p.gateway.s, p.gateway.peer);
	seal_connect(p.client.s, p.client.peer, p.now);
	d = due(&p, &p.client, NULL);
	m = remember(&p.gateway);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(p.in.reply_len, 0);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeUnknownClient), 1);
	CU_ASSERT_EQUAL(counted_all(&p.gateway), 1);
	CU_ASSERT_TRUE(unchanged(&p.gateway, &m));
	forget(&m);
	pair_stop(&p);
}

static void test_who_has_the_wrong_key_of_ours_gets_no_answer(void)
{
	static const uint8_t wrong[KEY_SIZE] = { 9 };
	struct pair p;
	struct packet d;
	seal_peer peer;

	pair_start(&p);
	seal_peer_remove(p.client.s, p.client.peer);
	CU_ASSERT_EQUAL(seal_peer_add(p.client.s, wrong, &peer), ERR_OK);
	seal_connect(p.client.s, peer, p.now);
	d = due(&p, &p.client, NULL);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(p.in.reply_len, 0);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeBadMac1), 1);
	/* Even if it gets mac1 right, and so knows our key, but used another in the handshake. */
	mac_add(d.bytes, d.len, &p.gateway.s->jar.keys, NULL);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeForged), 1);
	pair_stop(&p);
}

static void test_who_is_no_responder_does_not_respond(void)
{
	struct pair p;
	struct packet d;

	pair_start(&p);
	/* The gateway's own initiation, towards the client: roles are fixed. */
	seal_connect(p.gateway.s, p.gateway.peer, p.now);
	d = due(&p, &p.gateway, NULL);
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.client, CNT_HandshakeUnexpected), 1);
	/* And a responder does not answer one it connects to itself. */
	seal_connect(p.client.s, p.client.peer, p.now);
	d = due(&p, &p.client, NULL);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeUnexpected), 1);
	pair_stop(&p);
}

static void test_a_response_later_than_its_initiation_lives_is_dropped(void)
{
	struct pair p;
	struct packet d;

	pair_start(&p);
	seal_connect(p.client.s, p.client.peer, p.now);
	d = due(&p, &p.client, NULL);
	deliver(&p, &p.gateway, &d);
	d = reply(&p);
	p.now += SENT_LIFE;
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.client, CNT_HandshakeUnexpected), 1);
	pair_stop(&p);
}

/* What versions to come may append to the payload is read over. */
static void test_longer_hellos_are_understood(void)
{
	struct pair p;
	struct packet d = { .len = INITIATION_MAX };
	uint8_t payload[HELLO_MAX] = { 0 };
	struct noise x;

	pair_start(&p);
	hello_time(payload, WALL_START + p.now);
	payload[HELLO_1 - 1] = 0x10;
	noise_init(&x, true, p.client.private_key, p.client.public_key, p.gateway.public_key, HANDSHAKE_PROLOGUE,
		   sizeof HANDSHAKE_PROLOGUE - 1);
	d.bytes[0] = DATAGRAM_INITIATION;
	d.bytes[7] = 0x10;
	CU_ASSERT_EQUAL(noise_write_1(&x, (const uint8_t[32]){ 5 }, payload, sizeof payload, d.bytes + INITIATION_HEADER), ERR_OK);
	mac_add(d.bytes, d.len, &p.gateway.s->jar.keys, NULL);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_REPLY);
	d.len++;
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_SealRunt), 1);
	pair_stop(&p);
}

static void test_time_in_an_initiation_is_tai64n(void)
{
	uint8_t time[HELLO_TIME];
	/* 1970-01-01 00:00:01.5 UTC */
	static const uint8_t want[HELLO_TIME] = { 0x40, 0, 0, 0, 0, 0, 0, 0x0b, 0x1d, 0xcd, 0x65, 0x00 };

	hello_time(time, 1500000);
	CU_ASSERT(memcmp(time, want, sizeof want) == 0);
}

UNIT_MAIN("handshake",
	T(test_a_round_trip_and_a_confirmation_make_a_session),
	T(test_the_cipher_is_what_both_ends_have),
	T(test_the_responder_is_silent_until_the_initiator_used_the_keys),
	T(test_retries_are_jittered_back_off_and_never_end),
	T(test_a_path_slower_than_the_retries_still_completes),
	T(test_a_replayed_initiation_is_refused),
	T(test_replayed_initiations_cost_a_session_nothing),
	T(test_initiations_made_at_one_instant_are_ordered),
	T(test_a_response_counts_once),
	T(test_an_unknown_client_gets_no_answer),
	T(test_who_has_the_wrong_key_of_ours_gets_no_answer),
	T(test_who_is_no_responder_does_not_respond),
	T(test_a_response_later_than_its_initiation_lives_is_dropped),
	T(test_longer_hellos_are_understood),
	T(test_time_in_an_initiation_is_tai64n))
