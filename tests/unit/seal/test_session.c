/* SPDX-License-Identifier: MIT */
/* Data on a session: what its bytes are, and what each path's window takes. */
#include "tests/unit/seal/pair.h"

static const enum cipher ciphers[] = { CIPHER_CHACHA20_POLY1305, CIPHER_AES_256_GCM };

static void two_sessions(struct session *a, struct session *b, enum cipher cipher)
{
	static const uint8_t there[32] = { 1, 2, 3 }, back[32] = { 4, 5, 6 };

	memset(a, 0, sizeof *a);
	memset(b, 0, sizeof *b);
	session_init(a, cipher, there, back, true, 0xabcdef10, 0);
	session_init(b, cipher, back, there, false, 0x12345670, 0);
}

/* Against the library's one-shot calls with nonce and header written out here. */
static void test_a_datagram_is_what_its_figure_says(void)
{
	static const uint8_t key[32] = { 1, 2, 3 }, header[9] = { DATAGRAM_DATA, 0xab, 0xcd, 0xef, 0x15, 0, 0, 1, 2 };
	static const uint8_t nonce[12] = { 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1, 2 };
	static struct session a, b;
	uint8_t out[64], want[64];
	unsigned long long len;

	for (size_t k = 0; k < 2; k++) {
		if (!session_cipher_available(ciphers[k]))
			continue;
		two_sessions(&a, &b, ciphers[k]);
		a.send_counter[5] = 0x0102;
		CU_ASSERT_EQUAL(session_seal(&a, 5, DATAGRAM_DATA, (const uint8_t *)"abc", 3, out), 3 + DATAGRAM_DATA_OVERHEAD);
		CU_ASSERT(memcmp(out, header, sizeof header) == 0);
		if (ciphers[k] == CIPHER_AES_256_GCM)
			crypto_aead_aes256gcm_encrypt(want, &len, (const uint8_t *)"abc", 3, header, 9, NULL, nonce, key);
		else
			crypto_aead_chacha20poly1305_ietf_encrypt(want, &len, (const uint8_t *)"abc", 3, header, 9, NULL, nonce,
								  key);
		CU_ASSERT(memcmp(out + 9, want, (size_t)len) == 0);
	}
}

static void test_sealing_in_place_is_sealing(void)
{
	static struct session a, b;
	uint8_t apart[1500 + DATAGRAM_DATA_OVERHEAD], in_place[1500 + DATAGRAM_DATA_OVERHEAD], text[1500];
	bool newest;

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)(i * 7);
	for (size_t k = 0; k < 2; k++) {
		if (!session_cipher_available(ciphers[k]))
			continue;
		for (size_t len = 0; len <= sizeof text; len = len < 70 ? len + 1 : len + 143) {
			two_sessions(&a, &b, ciphers[k]);
			session_seal(&a, 0, DATAGRAM_DATA, text, len, apart);
			two_sessions(&a, &b, ciphers[k]);
			memcpy(in_place + DATAGRAM_DATA_HEADER, text, len);
			session_seal(&a, 0, DATAGRAM_DATA, in_place + DATAGRAM_DATA_HEADER, len, in_place);
			CU_ASSERT(memcmp(apart, in_place, len + DATAGRAM_DATA_OVERHEAD) == 0);
			CU_ASSERT_EQUAL(session_open(&b, in_place, len + DATAGRAM_DATA_OVERHEAD, &newest), ERR_OK);
			CU_ASSERT(memcmp(in_place + DATAGRAM_DATA_HEADER, text, len) == 0);
		}
	}
}

static void test_no_nonce_is_used_twice_on_any_path(void)
{
	struct pair p;
	struct packet d, e;

	pair_start(&p);
	shake_hands(&p);
	for (unsigned path = 0; path < SESSION_PATHS; path++) {
		d = say(&p, &p.client, (uint8_t)path, "same");
		e = say(&p, &p.client, (uint8_t)path, "same");
		CU_ASSERT(memcmp(d.bytes, e.bytes, DATAGRAM_DATA_HEADER) != 0);
		CU_ASSERT(memcmp(d.bytes + DATAGRAM_DATA_HEADER, e.bytes + DATAGRAM_DATA_HEADER, 4) != 0);
		CU_ASSERT_EQUAL(d.bytes[4] & 15, path);
	}
	pair_stop(&p);
}

static void test_replayed_data_is_dropped(void)
{
	struct pair p;
	struct packet d;
	struct memory m;

	pair_start(&p);
	shake_hands(&p);
	d = say(&p, &p.client, 2, "pay 1");
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DATA);
	m = remember(&p.gateway);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_SealReplayed), 1);
	CU_ASSERT_TRUE(unchanged(&p.gateway, &m));
	forget(&m);
	pair_stop(&p);
}

static void test_reordered_data_is_taken_within_the_window_and_not_beyond(void)
{
	static struct packet early[3];
	struct pair p;
	struct packet d;

	pair_start(&p);
	shake_hands(&p);
	for (int n = 0; n < 3; n++)
		early[n] = say(&p, &p.client, 1, n == 0 ? "zero" : n == 1 ? "one" : "two");
	/* The highest is now REPLAY_WINDOW + 1, so that 2 is the oldest that may still come. */
	for (int n = 3; n < REPLAY_WINDOW + 2; n++)
		d = say(&p, &p.client, 1, "run");
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DATA);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &early[2]), SEAL_DATA);
	CU_ASSERT_TRUE(heard(&p, "two"));
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &early[2]), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_SealReplayed), 1);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &early[1]), SEAL_DROPPED);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &early[0]), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_SealTooOld), 2);
	pair_stop(&p);
}

static void test_a_slow_path_does_not_fall_out_because_a_fast_one_runs_ahead(void)
{
	struct pair p;
	struct packet slow, fast;

	pair_start(&p);
	shake_hands(&p);
	slow = say(&p, &p.client, 7, "from far away");
	for (int n = 0; n < 4 * REPLAY_WINDOW; n++) {
		fast = say(&p, &p.client, 1, "fast");
		CU_ASSERT_EQUAL_FATAL(deliver(&p, &p.gateway, &fast), SEAL_DATA);
	}
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &slow), SEAL_DATA);
	CU_ASSERT_TRUE(heard(&p, "from far away"));
	CU_ASSERT_EQUAL(p.in.path_no, 7);
	pair_stop(&p);
}

static void test_the_counter_is_told_rightly_after_any_loss(void)
{
	static const uint64_t leaps[] = { 1, 8191, 8192, 1 << 20, 1 << 28, (UINT64_C(1) << 31) - 10 };

	for (size_t k = 0; k < sizeof leaps / sizeof *leaps; k++) {
		struct pair p;
		struct packet d;
		struct peer *c;

		pair_start(&p);
		shake_hands(&p);
		d = say(&p, &p.client, 0, "before");
		CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DATA);
		c = &p.client.s->peers[p.client.peer];
		c->slots[c->current].session.send_counter[0] += leaps[k];
		d = say(&p, &p.client, 0, "after");
		CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DATA);
		CU_ASSERT_TRUE(heard(&p, "after"));
		/* A path of which nothing was ever heard. */
		c->slots[c->current].session.send_counter[9] = leaps[k];
		d = say(&p, &p.client, 9, "first");
		CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DATA);
		pair_stop(&p);
	}
}

static void test_wiped_keys_are_gone(void)
{
	static struct session a, b;
	static const struct data_key zero;

	two_sessions(&a, &b, CIPHER_CHACHA20_POLY1305);
	CU_ASSERT_FALSE(same_bytes(&a.send, &zero, sizeof zero));
	session_wipe(&a);
	CU_ASSERT(same_bytes(&a.send, &zero, sizeof zero));
	CU_ASSERT(same_bytes(&a.receive, &zero, sizeof zero));
}

UNIT_MAIN("session",
	T(test_a_datagram_is_what_its_figure_says),
	T(test_sealing_in_place_is_sealing),
	T(test_no_nonce_is_used_twice_on_any_path),
	T(test_replayed_data_is_dropped),
	T(test_reordered_data_is_taken_within_the_window_and_not_beyond),
	T(test_a_slow_path_does_not_fall_out_because_a_fast_one_runs_ahead),
	T(test_the_counter_is_told_rightly_after_any_loss),
	T(test_wiped_keys_are_gone))
