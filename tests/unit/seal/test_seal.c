/* SPDX-License-Identifier: MIT */
/* A session's life: renewal, roaming, restarts, peers that come and go. */
#include "tests/unit/seal/pair.h"

static struct slot *current(struct end *e)
{
	struct peer *p = &e->s->peers[e->peer];

	CU_ASSERT_NOT_EQUAL_FATAL(p->current, NO_SLOT);
	return &p->slots[p->current];
}

static bool passes(struct pair *p, struct end *from, const char *text)
{
	struct packet d = say(p, from, 0, text);

	(void)deliver(p, other(p, from), &d);
	return heard(p, text);
}

static unsigned slots_in_use(const struct end *e)
{
	unsigned n = 0;

	for (int k = 0; k < SLOTS; k++)
		n += e->s->peers[e->peer].slots[k].state != SLOT_FREE;
	return n;
}

/* The host's loop at the end of its patience: whatever is due, as if sent and lost. */
static void let_time_pass(struct pair *p, usec_t until)
{
	p->now = until;
	while (due(p, &p->client, NULL).len)
		;
	while (due(p, &p->gateway, NULL).len)
		;
}

static void test_the_initiator_renews_a_session_in_use_after_two_minutes(void)
{
	struct pair p;

	pair_start(&p);
	shake_hands(&p);
	p.now += SESSION_REKEY_AFTER - 1;
	CU_ASSERT_TRUE(passes(&p, &p.client, "a") && passes(&p, &p.gateway, "b"));
	CU_ASSERT_EQUAL(due(&p, &p.client, NULL).len, 0);
	p.now += 1;
	/* Receiving is use as well. */
	CU_ASSERT_TRUE(passes(&p, &p.gateway, "c"));
	CU_ASSERT_EQUAL(seal_deadline(p.client.s), p.now);
	CU_ASSERT_EQUAL(due(&p, &p.client, NULL).len, INITIATION_SIZE);
	CU_ASSERT_EQUAL(due(&p, &p.gateway, NULL).len, 0);
	pair_stop(&p);
}

static void test_rekey_while_data_flows_both_ways_loses_nothing(void)
{
	struct pair p;
	struct packet d, up, down, confirm;
	struct slot *first;

	pair_start(&p);
	shake_hands(&p);
	first = current(&p.client);
	p.now += SESSION_REKEY_AFTER;
	CU_ASSERT_TRUE(passes(&p, &p.client, "tired"));

	/* The first try is lost, then the first response. */
	(void)wait_due(&p, &p.client);
	CU_ASSERT_TRUE(passes(&p, &p.client, "a") && passes(&p, &p.gateway, "b"));
	d = wait_due(&p, &p.client);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_REPLY);
	CU_ASSERT_TRUE(passes(&p, &p.client, "c") && passes(&p, &p.gateway, "d"));
	d = wait_due(&p, &p.client);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_REPLY);
	d = reply(&p);

	/* In flight both ways while the third completes, and the confirmation is lost. */
	up = say(&p, &p.client, 0, "up on the old");
	down = say(&p, &p.gateway, 0, "down on the old");
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_READY);
	CU_ASSERT_PTR_NOT_EQUAL(current(&p.client), first);
	CU_ASSERT_EQUAL(first->state, SLOT_PREVIOUS);
	deliver(&p, &p.client, &down);
	CU_ASSERT_TRUE(heard(&p, "down on the old"));
	deliver(&p, &p.gateway, &up);
	CU_ASSERT_TRUE(heard(&p, "up on the old"));
	CU_ASSERT_FALSE(p.in.new_session);
	CU_ASSERT_TRUE(passes(&p, &p.gateway, "still on the old"));
	down = say(&p, &p.gateway, 0, "last of the old");
	confirm = say(&p, &p.client, 0, "first of the new");
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &confirm), SEAL_DATA);
	CU_ASSERT_TRUE(p.in.new_session);
	CU_ASSERT_EQUAL(p.in.peer_epoch, p.client.s->epoch);
	deliver(&p, &p.client, &down);
	CU_ASSERT_TRUE(heard(&p, "last of the old"));
	CU_ASSERT_TRUE(passes(&p, &p.gateway, "e") && passes(&p, &p.client, "f"));
	/* Nothing more is due: the handshake is done with. */
	CU_ASSERT_EQUAL(due(&p, &p.client, NULL).len, 0);
	CU_ASSERT(slots_in_use(&p.client) <= 2 && slots_in_use(&p.gateway) <= 2);
	pair_stop(&p);
}

static void test_an_hour_of_traffic_renews_every_two_minutes(void)
{
	struct pair p;

	pair_start(&p);
	shake_hands(&p);
	for (usec_t end = p.now + 3600 * SEC; p.now < end; p.now += SEC / 2) {
		struct packet d = due(&p, &p.client, NULL);

		if (d.len) {
			CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_REPLY);
			d = reply(&p);
			CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_READY);
			CU_ASSERT_EQUAL(due(&p, &p.client, NULL).len, 0);
		}
		(void)due(&p, &p.gateway, NULL);
		CU_ASSERT_TRUE_FATAL(passes(&p, &p.client, "up") && passes(&p, &p.gateway, "down"));
		CU_ASSERT(slots_in_use(&p.client) <= 2 && slots_in_use(&p.gateway) <= 2);
	}
	CU_ASSERT_EQUAL(counted(&p.client, CNT_SealSession), 30);
	CU_ASSERT_EQUAL(counted(&p.client, CNT_HandshakeInitiationTx), 30);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_SealSession), 30);
	pair_stop(&p);
}

static void test_an_idle_session_is_not_renewed_and_dies_at_three_minutes(void)
{
	static const struct data_key zero;
	struct pair p;
	struct slot *slot;
	usec_t start;

	pair_start(&p);
	shake_hands(&p);
	slot = current(&p.client);
	start = p.now;
	/* The deadline may come early, as when the initiation would have expired, but it does not stay behind. */
	let_time_pass(&p, start + SENT_LIFE);
	CU_ASSERT_EQUAL(seal_deadline(p.client.s), start + SESSION_REJECT_AFTER);
	let_time_pass(&p, start + SESSION_REJECT_AFTER - 1);
	CU_ASSERT_TRUE(seal_ready(p.client.s, p.client.peer, p.now));
	let_time_pass(&p, p.now + 1);
	CU_ASSERT_FALSE(seal_ready(p.client.s, p.client.peer, p.now));
	CU_ASSERT_EQUAL(slots_in_use(&p.client), 0);
	CU_ASSERT_EQUAL(slots_in_use(&p.gateway), 0);
	CU_ASSERT(same_bytes(&slot->session.send, &zero, sizeof zero));
	CU_ASSERT(same_bytes(&slot->session.receive, &zero, sizeof zero));
	CU_ASSERT_EQUAL(seal_deadline(p.client.s), USEC_NEVER);
	CU_ASSERT_EQUAL(counted(&p.client, CNT_HandshakeInitiationTx), 1);

	/* Wanting to send is enough to have a handshake again. */
	CU_ASSERT_EQUAL(say(&p, &p.client, 0, "hello?").len, 0);
	CU_ASSERT_EQUAL(seal_deadline(p.client.s), p.now);
	shake_hands(&p);
	CU_ASSERT_TRUE(passes(&p, &p.client, "hello again"));
	pair_stop(&p);
}

/* Even where the host has not yet called seal_handshake(), which wipes them. */
static void test_an_expired_session_neither_seals_nor_opens(void)
{
	struct pair p;
	struct packet d;

	pair_start(&p);
	shake_hands(&p);
	d = say(&p, &p.client, 0, "late");
	p.now += SESSION_REJECT_AFTER;
	CU_ASSERT_EQUAL(say(&p, &p.client, 0, "x").len, 0);
	CU_ASSERT_EQUAL(say(&p, &p.gateway, 0, "x").len, 0);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_SealExpired), 1);
	pair_stop(&p);
}

/* However long the response takes: else the last round trip's data would be sealed for nobody. */
static void test_the_initiator_stops_using_a_session_before_the_responder_does(void)
{
	struct pair p;
	struct packet d;
	usec_t asked;

	pair_start(&p);
	seal_connect(p.client.s, p.client.peer, p.now);
	asked = p.now;
	d = wait_due(&p, &p.client);
	p.now += SEC;
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_REPLY);
	d = reply(&p);
	p.now += SEC;
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_READY);
	p.now = asked + SESSION_REJECT_AFTER - 1;
	d = say(&p, &p.client, 0, "the last");
	p.now += 1;
	CU_ASSERT_EQUAL(say(&p, &p.client, 0, "x").len, 0);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DATA);
	pair_stop(&p);
}

static void test_a_session_is_renewed_and_refused_by_count(void)
{
	struct pair p;

	pair_start(&p);
	shake_hands(&p);
	current(&p.client)->session.sealed = SESSION_REKEY_MESSAGES - 1;
	CU_ASSERT_TRUE(passes(&p, &p.client, "not yet"));
	CU_ASSERT_EQUAL(due(&p, &p.client, NULL).len, 0);
	CU_ASSERT_TRUE(passes(&p, &p.client, "now"));
	CU_ASSERT_EQUAL(due(&p, &p.client, NULL).len, INITIATION_SIZE);

	current(&p.client)->session.sealed = SESSION_REJECT_MESSAGES - 1;
	CU_ASSERT_TRUE(passes(&p, &p.client, "the last"));
	CU_ASSERT_EQUAL(say(&p, &p.client, 0, "too many").len, 0);
	CU_ASSERT_FALSE(seal_ready(p.client.s, p.client.peer, p.now));
	pair_stop(&p);

	/* The gateway cannot renew: the client counts what it opens, too. */
	pair_start(&p);
	shake_hands(&p);
	current(&p.client)->session.opened = SESSION_REKEY_MESSAGES - 1;
	CU_ASSERT_TRUE(passes(&p, &p.gateway, "much"));
	CU_ASSERT_EQUAL(due(&p, &p.client, NULL).len, INITIATION_SIZE);
	pair_stop(&p);
}

static void test_a_silent_peer_is_asked_for_a_new_session(void)
{
	struct pair p;
	usec_t start;
	int n = 0;

	pair_start(&p);
	shake_hands(&p);
	start = p.now;
	while (due(&p, &p.client, NULL).len == 0) {
		p.now += 100 * USEC_PER_MS;
		(void)say(&p, &p.client, 0, "anybody there?");
		CU_ASSERT_FATAL(++n < 100);
	}
	CU_ASSERT(p.now - start >= 2 * SEC && p.now - start <= 3 * SEC);
	pair_stop(&p);
}

static void test_unanswered_ends_of_exchanges_are_no_silence(void)
{
	struct pair p;

	pair_start(&p);
	shake_hands(&p);
	/* Every ten seconds the gateway asks, we answer twice, and there it ends. */
	for (int n = 0; n < 10; n++) {
		p.now += 10 * SEC;
		CU_ASSERT_TRUE(passes(&p, &p.gateway, "probe"));
		(void)say(&p, &p.client, 0, "reply");
		(void)say(&p, &p.client, 1, "reply");
		CU_ASSERT_EQUAL(due(&p, &p.client, NULL).len, 0);
	}
	pair_stop(&p);
}

static void test_a_path_roams_with_its_newest_datagram_only(void)
{
	struct pair p;
	struct packet d, late, forged;
	struct addr home, away = address(200, 9999), nowhere = address(201, 1);

	pair_start(&p);
	home = p.client.at[2];
	shake_hands(&p);
	d = say(&p, &p.client, 2, "first");
	CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &d, &home), SEAL_DATA);
	CU_ASSERT_TRUE(p.in.path_new_endpoint);
	late = say(&p, &p.client, 2, "late");
	d = say(&p, &p.client, 2, "same place");
	CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &d, &home), SEAL_DATA);
	CU_ASSERT_FALSE(p.in.path_new_endpoint);
	/* Older than what came already: it was held back, and says nothing of where the path is now. */
	CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &late, &nowhere), SEAL_DATA);
	CU_ASSERT_FALSE(p.in.path_new_endpoint);

	d = forged = say(&p, &p.client, 2, "moved");
	forged.bytes[forged.len - 1] ^= 1;
	CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &forged, &nowhere), SEAL_DROPPED);
	CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &d, &away), SEAL_DATA);
	CU_ASSERT_TRUE(p.in.path_new_endpoint);
	CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &d, &nowhere), SEAL_DROPPED);
	d = say(&p, &p.client, 2, "stayed");
	CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &d, &away), SEAL_DATA);
	CU_ASSERT_FALSE(p.in.path_new_endpoint);
	/* A port alone is a move: a NAT forgot. */
	away.port++;
	d = say(&p, &p.client, 2, "rebound");
	CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &d, &away), SEAL_DATA);
	CU_ASSERT_TRUE(p.in.path_new_endpoint);
	/* Each path for itself. */
	d = say(&p, &p.client, 3, "other path");
	CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &d, &away), SEAL_DATA);
	CU_ASSERT_TRUE(p.in.path_new_endpoint && p.in.path_no == 3);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_SealRoamed), 4);
	pair_stop(&p);
}

static void test_a_session_that_was_replaced_moves_no_path(void)
{
	struct pair p;
	struct packet old, d;
	struct addr nowhere = address(201, 1);

	pair_start(&p);
	shake_hands(&p);
	CU_ASSERT_TRUE(passes(&p, &p.client, "here"));
	old = say(&p, &p.client, 0, "held back");
	shake_hands(&p);
	d = say(&p, &p.client, 0, "new");
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DATA);
	CU_ASSERT_FALSE(p.in.path_new_endpoint); /* a new session, the old place */
	CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &old, &nowhere), SEAL_DATA);
	CU_ASSERT_FALSE(p.in.path_new_endpoint);
	pair_stop(&p);
}

/* The client sends its confirmation wherever the response came from, in path 0's name. */
static void test_a_confirmation_moves_no_path(void)
{
	struct pair p;
	struct packet d;

	pair_start(&p);
	shake_hands(&p);
	CU_ASSERT_TRUE(passes(&p, &p.client, "here"));
	d = say(&p, &p.client, 0, "");
	CU_ASSERT_EQUAL(deliver_from(&p, &p.gateway, &d, &p.client.at[5]), SEAL_DROPPED);
	CU_ASSERT_FALSE(p.in.path_new_endpoint);
	d = say(&p, &p.client, 0, "still here");
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DATA);
	CU_ASSERT_FALSE(p.in.path_new_endpoint);
	pair_stop(&p);
}

static void test_a_client_that_restarted_is_known_by_its_epoch(void)
{
	struct pair p;
	struct packet ghost;
	uint64_t epoch;

	pair_start(&p);
	shake_hands(&p);
	CU_ASSERT_TRUE(passes(&p, &p.client, "before"));
	epoch = p.in.peer_epoch;
	ghost = say(&p, &p.client, 0, "of the past");

	seal_free(p.client.s);
	p.now += SEC;
	end_start(&p.client, 20, false, CAP_AES_256_GCM, 2, p.now);
	CU_ASSERT_EQUAL(seal_peer_add(p.client.s, p.gateway.public_key, &p.client.peer), ERR_OK);
	shake_hands(&p);
	CU_ASSERT_TRUE(p.in.new_session);
	CU_ASSERT_NOT_EQUAL(p.in.peer_epoch, epoch);
	CU_ASSERT_TRUE(passes(&p, &p.client, "after"));
	CU_ASSERT_NOT_EQUAL(p.in.peer_epoch, epoch);
	/* Sessions of the past are gone with it. */
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &ghost), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_SealUnknownIndex), 1);
	pair_stop(&p);
}

static void test_a_gateway_that_restarted_is_found_out_and_joined_again(void)
{
	struct pair p;
	struct packet d = { .len = 0 };
	uint64_t epoch;
	usec_t start;

	pair_start(&p);
	shake_hands(&p);
	epoch = p.gateway.s->epoch;
	seal_free(p.gateway.s);
	end_start(&p.gateway, 90, true, CAP_AES_256_GCM, 2, p.now);
	CU_ASSERT_EQUAL(seal_peer_add(p.gateway.s, p.client.public_key, &p.gateway.peer), ERR_OK);

	for (start = p.now; d.len == 0 && p.now < start + 10 * SEC; p.now += 250 * USEC_PER_MS) {
		d = say(&p, &p.client, 0, "are you there?");
		CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
		CU_ASSERT_EQUAL(p.in.reply_len, 0);
		d = due(&p, &p.client, NULL);
	}
	CU_ASSERT(p.now - start <= 3 * SEC);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_REPLY);
	d = reply(&p);
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_READY);
	CU_ASSERT_NOT_EQUAL(p.in.peer_epoch, epoch);
	CU_ASSERT_TRUE(passes(&p, &p.client, "welcome back"));
	pair_stop(&p);
}

/* The price of not keeping the last time on disk; seal_config.wall_us says so. */
static void test_a_clock_that_went_back_over_a_restart_is_refused(void)
{
	struct pair p;
	struct packet d;

	pair_start(&p);
	shake_hands(&p);
	seal_free(p.client.s);
	p.now += 2 * SEC;
	end_start(&p.client, 20, false, CAP_AES_256_GCM, 2, p.now);
	p.client.s->wall_us -= 60 * SEC;
	CU_ASSERT_EQUAL(seal_peer_add(p.client.s, p.gateway.public_key, &p.client.peer), ERR_OK);
	seal_connect(p.client.s, p.client.peer, p.now);
	d = due(&p, &p.client, NULL);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeReplayed), 1);
	pair_stop(&p);
}

static void test_a_peer_removed_in_session_is_a_stranger_at_once(void)
{
	static const uint8_t zero[KEY_SIZE];
	struct pair p;
	struct packet d, back;

	pair_start(&p);
	shake_hands(&p);
	d = say(&p, &p.client, 0, "hello");
	back = say(&p, &p.gateway, 0, "hello");
	seal_peer_remove(p.gateway.s, p.gateway.peer);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_SealUnknownIndex), 1);
	CU_ASSERT_FALSE(seal_ready(p.gateway.s, p.gateway.peer, p.now));
	CU_ASSERT_EQUAL(say(&p, &p.gateway, 0, "x").len, 0);
	CU_ASSERT(memcmp(p.gateway.s->peers[p.gateway.peer].public_key, zero, KEY_SIZE) == 0);
	/* What it had sealed before still opens over there. */
	deliver(&p, &p.client, &back);
	CU_ASSERT_TRUE(heard(&p, "hello"));

	/* Another peer in the same place does not inherit the session. */
	CU_ASSERT_EQUAL(seal_peer_add(p.gateway.s, (const uint8_t[KEY_SIZE]){ 9 }, &p.gateway.peer), ERR_OK);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_SealUnknownIndex), 2);
	pair_stop(&p);
}

static void test_a_peer_removed_while_connecting_is_asked_no_more(void)
{
	struct pair p;
	struct packet d;

	pair_start(&p);
	seal_connect(p.client.s, p.client.peer, p.now);
	d = due(&p, &p.client, NULL);
	(void)deliver(&p, &p.gateway, &d);
	d = reply(&p);
	seal_peer_remove(p.client.s, p.client.peer);
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_DROPPED);
	let_time_pass(&p, p.now + 60 * SEC);
	CU_ASSERT_EQUAL(counted(&p.client, CNT_HandshakeInitiationTx), 1);
	CU_ASSERT_EQUAL(seal_deadline(p.client.s), USEC_NEVER);
	pair_stop(&p);
}

static void test_peers_are_limited_distinct_and_of_full_order(void)
{
	static const uint8_t low[KEY_SIZE] = { 1 }, a[KEY_SIZE] = { 9 }, b[KEY_SIZE] = { 10 };
	struct pair p;
	seal_peer one, two;

	pair_start(&p); /* peers_max is 2, and one is taken */
	CU_ASSERT_EQUAL(seal_peer_add(p.client.s, low, &one), ERR_MALFORMED);
	CU_ASSERT_EQUAL(seal_peer_add(p.client.s, a, &one), ERR_OK);
	CU_ASSERT_EQUAL(seal_peer_add(p.client.s, a, &two), ERR_UNEXPECTED);
	CU_ASSERT_EQUAL(two, one);
	CU_ASSERT_EQUAL(seal_peer_add(p.client.s, b, &two), ERR_FULL);
	seal_peer_remove(p.client.s, one);
	CU_ASSERT_EQUAL(seal_peer_add(p.client.s, b, &two), ERR_OK);
	pair_stop(&p);
}

static void test_connecting_twice_is_connecting_once(void)
{
	struct pair p;

	pair_start(&p);
	seal_connect(p.client.s, p.client.peer, p.now);
	seal_connect(p.client.s, p.client.peer, p.now);
	CU_ASSERT_EQUAL(due(&p, &p.client, NULL).len, INITIATION_SIZE);
	seal_connect(p.client.s, p.client.peer, p.now);
	CU_ASSERT_EQUAL(due(&p, &p.client, NULL).len, 0);
	shake_hands(&p);
	seal_connect(p.client.s, p.client.peer, p.now);
	CU_ASSERT_EQUAL(due(&p, &p.client, NULL).len, 0);
	pair_stop(&p);
}

static void test_what_a_peer_is_can_be_asked(void)
{
	struct seal_peer_info info;
	struct pair p;

	pair_start(&p);
	seal_peer_info(p.client.s, p.client.peer, &info);
	CU_ASSERT_FALSE(info.ready);
	CU_ASSERT_PTR_NULL(info.cipher);
	shake_hands(&p);
	CU_ASSERT_TRUE(passes(&p, &p.client, "12345") && passes(&p, &p.gateway, "123"));
	seal_peer_info(p.client.s, p.client.peer, &info);
	CU_ASSERT_TRUE(info.ready);
	CU_ASSERT_EQUAL(info.bytes_sealed, 5);
	CU_ASSERT_EQUAL(info.bytes_opened, 3);
	CU_ASSERT_EQUAL(info.last_handshake_us, p.now);
	CU_ASSERT_EQUAL(info.peer_epoch, p.gateway.s->epoch);
	CU_ASSERT(memcmp(info.public_key, p.gateway.public_key, KEY_SIZE) == 0);
	pair_stop(&p);
}

/* Which worker an index leads to, as the kernel's program sees it. */
static unsigned steers_to(const uint8_t *index, unsigned workers) { return (be_get32(index) >> DATAGRAM_STEER_SHIFT) % workers; }

static void test_every_session_of_a_client_is_one_workers(void)
{
	enum { WORKERS = 3 };
	struct packet first, again, d;
	struct pair p;
	uint8_t worker;

	pair_start(&p);
	seal_connect(p.client.s, p.client.peer, p.now);
	first = wait_due(&p, &p.client);
	worker = (uint8_t)steers_to(first.bytes + 4, WORKERS);
	p.gateway.s->workers = WORKERS;
	CU_ASSERT_EQUAL(seal_worker_of(p.gateway.s, p.client.public_key), worker);

	/* The others do not take it, even where it was led to them. */
	p.gateway.s->worker = (uint8_t)((worker + 1) % WORKERS);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &first), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeMisdirected), 1);
	/* Nor under an index that somebody changed on the way: it is inside the seal too. */
	d = first;
	be_put32(d.bytes + 4, be_get32(d.bytes + 4) ^ (uint32_t)(worker ^ p.gateway.s->worker) << DATAGRAM_STEER_SHIFT);
	mac_add(d.bytes, d.len, &p.gateway.s->jar.keys, NULL);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);

	p.gateway.s->worker = worker;
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &first), SEAL_REPLY);
	d = reply(&p);
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_READY);
	for (uint8_t path = 0; path < SESSION_PATHS; path++) {
		d = say(&p, &p.client, path, "to the worker");
		CU_ASSERT_EQUAL(steers_to(d.bytes + 1, WORKERS), worker);
		CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DATA);
	}
	/* A new session, and one after a restart, come to the same. */
	p.now += SEC;
	seal_rekey(p.client.s, p.client.peer, p.now);
	again = wait_due(&p, &p.client);
	CU_ASSERT_NOT_EQUAL(be_get32(again.bytes + 4), be_get32(first.bytes + 4));
	CU_ASSERT_EQUAL(steers_to(again.bytes + 4, WORKERS), worker);
	seal_free(p.client.s);
	end_start(&p.client, 20, false, CAP_AES_256_GCM, 2, p.now);
	CU_ASSERT_EQUAL_FATAL(seal_peer_add(p.client.s, p.gateway.public_key, &p.client.peer), ERR_OK);
	seal_connect(p.client.s, p.client.peer, p.now);
	again = wait_due(&p, &p.client);
	CU_ASSERT_EQUAL(steers_to(again.bytes + 4, WORKERS), worker);
	pair_stop(&p);
}

/* A client's second worker: the same keys, and sessions of its own. */
static void test_each_worker_of_a_client_has_its_own_sessions(void)
{
	static struct pair p;
	struct end first;
	struct packet d, old;
	seal_peer peer;

	pair_start(&p);
	shake_hands(&p);
	peer = p.gateway.peer;
	first = p.client;
	end_start(&p.client, 20, false, CAP_AES_256_GCM, 3, p.now);
	p.client.s->worker = 1;
	CU_ASSERT_EQUAL_FATAL(seal_peer_add(p.client.s, p.gateway.public_key, &p.client.peer), ERR_OK);
	seal_connect(p.client.s, p.client.peer, p.now);
	old = wait_due(&p, &p.client);
	CU_ASSERT_EQUAL(steers_to(old.bytes + 4, DATAGRAM_WORKERS_MAX),
			(p.gateway.s->peers[peer].home + 1u) % DATAGRAM_WORKERS_MAX);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &old), SEAL_REPLY);
	CU_ASSERT_TRUE(p.in.peer_added);
	CU_ASSERT_NOT_EQUAL(p.in.peer, peer);
	d = reply(&p);
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_READY);
	d = say(&p, &p.client, 0, "second");
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DATA);
	CU_ASSERT_NOT_EQUAL(p.in.peer, peer);
	/* The first's goes on, and what was sent once opens nothing again. */
	d = say(&p, &first, 0, "first");
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DATA);
	CU_ASSERT_EQUAL(p.in.peer, peer);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &old), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeReplayed), 1);
	/* Of the two that this gateway has room for both are taken. */
	seal_free(p.client.s);
	end_start(&p.client, 20, false, CAP_AES_256_GCM, 4, p.now);
	p.client.s->worker = 2;
	CU_ASSERT_EQUAL_FATAL(seal_peer_add(p.client.s, p.gateway.public_key, &p.client.peer), ERR_OK);
	seal_connect(p.client.s, p.client.peer, p.now);
	d = wait_due(&p, &p.client);
	CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.gateway, CNT_HandshakeWorkersFull), 1);
	seal_free(first.s);
	pair_stop(&p);
}

UNIT_MAIN("seal",
	T(test_each_worker_of_a_client_has_its_own_sessions),
	T(test_every_session_of_a_client_is_one_workers),
	T(test_the_initiator_renews_a_session_in_use_after_two_minutes),
	T(test_rekey_while_data_flows_both_ways_loses_nothing),
	T(test_an_hour_of_traffic_renews_every_two_minutes),
	T(test_an_idle_session_is_not_renewed_and_dies_at_three_minutes),
	T(test_an_expired_session_neither_seals_nor_opens),
	T(test_the_initiator_stops_using_a_session_before_the_responder_does),
	T(test_a_session_is_renewed_and_refused_by_count),
	T(test_a_silent_peer_is_asked_for_a_new_session),
	T(test_unanswered_ends_of_exchanges_are_no_silence),
	T(test_a_path_roams_with_its_newest_datagram_only),
	T(test_a_session_that_was_replaced_moves_no_path),
	T(test_a_confirmation_moves_no_path),
	T(test_a_client_that_restarted_is_known_by_its_epoch),
	T(test_a_gateway_that_restarted_is_found_out_and_joined_again),
	T(test_a_clock_that_went_back_over_a_restart_is_refused),
	T(test_a_peer_removed_in_session_is_a_stranger_at_once),
	T(test_a_peer_removed_while_connecting_is_asked_no_more),
	T(test_peers_are_limited_distinct_and_of_full_order),
	T(test_connecting_twice_is_connecting_once),
	T(test_what_a_peer_is_can_be_asked))
