/* SPDX-License-Identifier: MIT */
/* A path that eats what is too long for it, and says nothing. Sizes are payload; 20 bytes of options are added to each. */
#include "tests/unit/tcp/talk.h"

enum { OPTIONS = 20 };

static void open_wide(struct talk *t, bool probe_mtu)
{
	struct tcp_options o = { .has = OPT_MSS | OPT_SACK_OK | OPT_WSCALE, .mss = 1460, .wscale = 4 };
	struct subflow_config c = talk_config(t);

	c.mss = 1460;
	c.probe_mtu = probe_mtu;
	t->now = USEC_PER_S;
	CU_ASSERT_EQUAL_FATAL(subflow_connect(&t->sf, &c, ssn_of(OUR_ISS), t->now), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(talk_out(t), SF_WANT_CONTROL);
	t->now += 10 * USEC_PER_MS;
	talk_in_full(t, TCP_SYN | TCP_ACK, 0, 1, 0, 60000, &o);
	CU_ASSERT_EQUAL_FATAL(talk_out(t), SF_WANT_CONTROL);
	talk_in(t, TCP_ACK, 1, 1, 0);
}

/* Carries `total` bytes over a path that takes segments of at most `most`. The peer acknowledges all it gets, in order. */
static bool carry(struct talk *t, uint32_t total, uint32_t most)
{
	uint32_t left = total, arrived = (uint32_t)ssn_diff(t->sf.snd_una, ssn_of(OUR_ISS));
	const uint32_t end = arrived + total + subflow_in_flight_seq(&t->sf);

	for (int turn = 0; turn < 5000; turn++) {
		uint32_t before = arrived;

		for (;;) {
			uint32_t len = 0;

			if (talk_out(t) != SF_WANT_NOTHING)
				len = t->data.len;
			else if (left)
				left -= len = talk_send(t, left);
			if (!len && t->want == SF_WANT_NOTHING)
				break;
			/* A hole stays one until it is filled: what comes after it is not kept. */
			if (len && len + OPTIONS <= most && talk_seq(t) <= arrived && talk_seq(t) + len > arrived)
				arrived = talk_seq(t) + len;
			t->want = SF_WANT_NOTHING;
		}
		if (arrived == end && !left) {
			talk_in(t, TCP_ACK, 1, arrived, 0);
			return true;
		}
		if (arrived != before) {
			t->now += 10 * USEC_PER_MS;
			talk_in(t, TCP_ACK, 1, arrived, 0);
		} else {
			talk_wait(t);
		}
	}
	return false;
}

static void test_a_black_hole_is_left_and_its_size_found(void)
{
	TALK(t);

	open_wide(&t, true);
	CU_ASSERT_EQUAL(t.sf.snd_mss, 1460);
	CU_ASSERT_TRUE(carry(&t, 400000, 1390));
	CU_ASSERT_EQUAL(t.counters.v[CNT_PmtuBlackHole], 1);
	CU_ASSERT_TRUE(t.sf.snd_mss > 1390 - 32 && t.sf.snd_mss <= 1390);
	CU_ASSERT_TRUE(t.counters.v[CNT_MssRaised] >= 2);
}

static void test_a_very_small_path_gets_the_least_there_is(void)
{
	TALK(t);

	open_wide(&t, true);
	CU_ASSERT_TRUE(carry(&t, 20000, 548));
	CU_ASSERT_EQUAL(t.counters.v[CNT_PmtuBlackHole], 2);
	CU_ASSERT_TRUE(t.sf.snd_mss >= 516 && t.sf.snd_mss <= 548);
}

static void test_a_path_that_takes_all_is_never_probed(void)
{
	TALK(t);

	open_wide(&t, true);
	CU_ASSERT_TRUE(carry(&t, 400000, 1460));
	CU_ASSERT_EQUAL(t.counters.v[CNT_PmtuProbe], 0);
	CU_ASSERT_EQUAL(t.sf.snd_mss, 1460);
}

static void test_where_the_host_does_it_segments_stay_as_they_are(void)
{
	TALK(t);

	open_wide(&t, false);
	CU_ASSERT_EQUAL(talk_send(&t, 5000), 1440);
	for (int i = 0; i < 12; i++)
		talk_wait(&t);
	CU_ASSERT_EQUAL(t.sf.snd_mss, 1460);
	CU_ASSERT_EQUAL(t.counters.v[CNT_PmtuBlackHole], 0);
}

static void test_a_word_about_size_lowers_at_once_and_has_a_least(void)
{
	TALK(t);

	open_wide(&t, true);
	CU_ASSERT_EQUAL(talk_send(&t, 5000), 1440);
	subflow_too_big(&t.sf, 1300, t.now);
	CU_ASSERT_EQUAL(talk_out(&t), SF_WANT_RETRANSMIT);
	CU_ASSERT_EQUAL(t.data.len, 1280);
	subflow_too_big(&t.sf, 1400, t.now);
	CU_ASSERT_EQUAL(t.sf.snd_mss, 1300);
	subflow_too_big(&t.sf, 1, t.now);
	CU_ASSERT_EQUAL(t.sf.snd_mss, 516);
	/* It may have been a lie: the search goes up again. */
	CU_ASSERT_TRUE(carry(&t, 400000, 1460));
	CU_ASSERT_TRUE(t.sf.snd_mss > 1200);
}

static void test_the_same_limit_again_leaves_what_was_found(void)
{
	TALK(t);
	uint16_t found;

	open_wide(&t, true);
	CU_ASSERT_TRUE(carry(&t, 400000, 1390));
	found = t.sf.snd_mss;
	CU_ASSERT_TRUE(found <= 1390);
	subflow_path_mss(&t.sf, 1460, false);
	CU_ASSERT_EQUAL(t.sf.snd_mss, found);
	CU_ASSERT_TRUE(carry(&t, 100000, 1390));
	CU_ASSERT_EQUAL(t.counters.v[CNT_PmtuBlackHole], 1);
	/* Another limit is news, and so is another path of the same one: the search begins anew. */
	subflow_path_mss(&t.sf, 1450, false);
	CU_ASSERT_EQUAL(t.sf.snd_mss, 1450);
	CU_ASSERT_TRUE(carry(&t, 400000, 1390));
	CU_ASSERT_EQUAL(t.counters.v[CNT_PmtuBlackHole], 2);
	CU_ASSERT_TRUE(t.sf.snd_mss <= 1390);
	subflow_path_mss(&t.sf, 1450, true);
	CU_ASSERT_EQUAL(t.sf.snd_mss, 1450);
	CU_ASSERT_TRUE(carry(&t, 400000, 1450));
	CU_ASSERT_EQUAL(t.counters.v[CNT_PmtuBlackHole], 2);
}

UNIT_MAIN("subflow_pmtu", T(test_a_black_hole_is_left_and_its_size_found), T(test_a_very_small_path_gets_the_least_there_is),
	  T(test_a_path_that_takes_all_is_never_probed), T(test_where_the_host_does_it_segments_stay_as_they_are),
	  T(test_a_word_about_size_lowers_at_once_and_has_a_least), T(test_the_same_limit_again_leaves_what_was_found))
