/* SPDX-License-Identifier: MIT */
/* What strangers, noise and the network can do: be counted, and nothing else. */
#include "tests/unit/seal/pair.h"

/* One datagram of each kind that `to` would take, in a conversation that stands where it would be taken. */
struct scene { struct pair p; struct end *to; struct packet good; };
enum kind { INITIATION, RESPONSE, DATA, PATH, CONFIRMATION, KINDS };

static void scene_set(struct scene *c, enum kind kind)
{
	struct pair *p = &c->p;

	pair_start(p);
	seal_connect(p->client.s, p->client.peer, p->now);
	c->good = due(p, &p->client, NULL);
	c->to = &p->gateway;
	if (kind == INITIATION)
		return;
	CU_ASSERT_EQUAL(deliver(p, &p->gateway, &c->good), SEAL_REPLY);
	c->good = reply(p);
	c->to = &p->client;
	if (kind == RESPONSE)
		return;
	CU_ASSERT_EQUAL(deliver(p, &p->client, &c->good), SEAL_READY);
	c->good = reply(p);
	c->to = &p->gateway;
	if (kind == CONFIRMATION)
		return;
	CU_ASSERT_EQUAL(deliver(p, &p->gateway, &c->good), SEAL_READY);
	c->good = say_as(p, &p->gateway, 5, kind == DATA ? DATAGRAM_DATA : DATAGRAM_PATH, "forty-two");
	c->to = &p->client;
}

/* d is dropped, counted once, answered by nothing, and leaves no trace. */
static void is_noise(struct scene *c, const struct packet *d, const struct memory *m)
{
	uint64_t before = counted_all(c->to);

	CU_ASSERT_EQUAL(deliver(&c->p, c->to, d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(c->p.in.reply_len, 0);
	CU_ASSERT_FALSE(c->p.in.new_session || c->p.in.path_new_endpoint);
	CU_ASSERT_EQUAL(counted_all(c->to), before + 1);
	CU_ASSERT_TRUE(unchanged(c->to, m));
}

static void still_good(struct scene *c)
{
	CU_ASSERT_NOT_EQUAL(deliver(&c->p, c->to, &c->good), SEAL_DROPPED);
	pair_stop(&c->p);
}

static void test_every_short_prefix_is_dropped(void)
{
	for (enum kind k = 0; k < KINDS; k++) {
		struct scene c;
		struct memory m;

		scene_set(&c, k);
		m = remember(c.to);
		for (size_t n = 0; n < c.good.len; n++) {
			struct packet d = c.good;

			d.len = n;
			is_noise(&c, &d, &m);
		}
		forget(&m);
		still_good(&c);
	}
}

static void test_every_longer_datagram_is_dropped(void)
{
	for (enum kind k = 0; k < KINDS; k++) {
		struct scene c;
		struct memory m;

		scene_set(&c, k);
		m = remember(c.to);
		for (size_t more = 1; more < 600; more += more < 20 ? 1 : 61) {
			struct packet d = c.good;

			d.len += more;
			is_noise(&c, &d, &m);
		}
		forget(&m);
		still_good(&c);
	}
}

static void test_every_flipped_bit_is_dropped(void)
{
	for (enum kind k = 0; k < KINDS; k++) {
		struct scene c;
		struct memory m;
		/* Without load nobody looks at mac2, WireGuard 5.4.4. */
		size_t looked_at;

		scene_set(&c, k);
		looked_at = c.good.len - (k == INITIATION || k == RESPONSE ? COOKIE_MAC : 0);
		m = remember(c.to);
		for (size_t bit = 0; bit < looked_at * 8; bit++) {
			struct packet d = c.good;

			d.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			is_noise(&c, &d, &m);
		}
		forget(&m);
		still_good(&c);
	}
}

/* By one who knows the public keys, and so passes mac1. */
static void test_every_flipped_bit_under_a_right_mac1_is_dropped(void)
{
	for (enum kind k = INITIATION; k <= RESPONSE; k++) {
		struct scene c;
		struct memory m;

		scene_set(&c, k);
		m = remember(c.to);
		for (size_t bit = 8; bit < (c.good.len - HANDSHAKE_MACS) * 8; bit++) {
			struct packet d = c.good;

			d.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			mac_add(d.bytes, d.len, &c.to->s->jar.keys, NULL);
			c.p.now += SEC; /* no load */
			is_noise(&c, &d, &m);
			if (k == RESPONSE)
				c.p.now -= SEC;
		}
		forget(&m);
		still_good(&c);
	}
}

static void test_indexes_with_path_bits_are_refused(void)
{
	for (enum kind k = INITIATION; k <= RESPONSE; k++) {
		struct scene c;
		struct memory m;

		scene_set(&c, k);
		m = remember(c.to);
		for (int bit = 0; bit < PATH_BITS; bit++) {
			struct packet d = c.good;

			d.bytes[7] ^= (uint8_t)(1 << bit);
			mac_add(d.bytes, d.len, &c.to->s->jar.keys, NULL);
			is_noise(&c, &d, &m);
		}
		CU_ASSERT_EQUAL(counted(c.to, CNT_HandshakeMalformed), PATH_BITS);
		forget(&m);
		still_good(&c);
	}
}

static void test_every_reason_has_its_counter(void)
{
	static const struct { enum kind kind; size_t byte; uint8_t flip; enum counter why; } cases[] = {
		{ INITIATION,   0, 0x80, CNT_SealUnknownType   },
		{ INITIATION,   1, 0x01, CNT_SealUnknownType   },
		{ INITIATION,  40, 0x01, CNT_HandshakeBadMac1  },
		{ RESPONSE,     3, 0x10, CNT_SealUnknownType   },
		{ RESPONSE,    20, 0x10, CNT_HandshakeBadMac1  },
		{ DATA,         0, 0x01, CNT_SealForged        }, /* PATH: the type is authenticated */
		{ DATA,         1, 0x10, CNT_SealUnknownIndex  },
		{ DATA,         4, 0x01, CNT_SealForged        }, /* another path: so is its number */
		{ DATA,         8, 0x01, CNT_SealForged        }, /* another counter */
		{ DATA,         9, 0x01, CNT_SealForged        },
		{ CONFIRMATION, 9, 0x01, CNT_SealForged        },
	};

	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		struct scene c;

		scene_set(&c, cases[k].kind);
		c.good.bytes[cases[k].byte] ^= cases[k].flip;
		CU_ASSERT_EQUAL(deliver(&c.p, c.to, &c.good), SEAL_DROPPED);
		CU_ASSERT_EQUAL(counted(c.to, cases[k].why), 1);
		pair_stop(&c.p);
	}
}

static void test_a_datagram_does_not_open_where_it_came_from(void)
{
	struct pair p;
	struct packet d;
	uint8_t k;

	pair_start(&p);
	shake_hands(&p);
	/* Reflected, and with its index made ours: keys differ by direction. */
	d = say(&p, &p.client, 0, "mirror");
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_DROPPED);
	k = (uint8_t)p.client.s->peers[p.client.peer].current;
	be_put32(d.bytes + 1, p.client.s->peers[p.client.peer].slots[k].index);
	CU_ASSERT_EQUAL(deliver(&p, &p.client, &d), SEAL_DROPPED);
	CU_ASSERT_EQUAL(counted(&p.client, CNT_SealForged), 1);
	pair_stop(&p);
}

static void test_random_datagrams_are_dropped(void)
{
	struct pair p;

	pair_start(&p);
	shake_hands(&p);
	for (unsigned seed = 1; seed <= 200; seed++) {
		struct memory m = remember(&p.gateway);

		srandom(seed);
		for (int n = 0; n < 50; n++) {
			struct packet d = { .len = (size_t)random() % 1500 };
			uint64_t before = counted_all(&p.gateway);

			for (size_t i = 0; i < d.len; i++)
				d.bytes[i] = (uint8_t)random();
			if (d.len && n % 2)
				d.bytes[0] = (uint8_t)(random() % 7);
			/* Half of those with a type name a session that lives. */
			if (d.len > 9 && n % 4 == 1)
				be_put32(d.bytes + 1, p.gateway.s->peers[0].slots[p.gateway.s->peers[0].current].index |
					 (uint32_t)random() % SESSION_PATHS);
			CU_ASSERT_EQUAL(deliver(&p, &p.gateway, &d), SEAL_DROPPED);
			CU_ASSERT_EQUAL(counted_all(&p.gateway), before + 1);
		}
		CU_ASSERT_TRUE(unchanged(&p.gateway, &m));
		forget(&m);
	}
	pair_stop(&p);
}

/*
 * A network that loses, doubles, delays, cuts and corrupts, over half an hour with rekeys: whatever is taken was
 * sealed by the other end, on that path, and is taken once; and when the weather clears, all comes through.
 */
enum { FLYING = 64, SAID = 40000 };

struct storm {
	struct pair p;
	struct { struct packet d; struct end *to; usec_t at; } air[FLYING];
	uint8_t taken[2][SAID];
	uint32_t said[2];
	bool calm;
	unsigned delivered;
};

static void throw(struct storm *w, struct end *to, const struct packet *d)
{
	int copies = w->calm ? 1 : random() % 100 < 25 ? 0 : random() % 100 < 10 ? 2 : 1;

	if (d->len == 0)
		return;
	while (copies--) {
		int k = 0;

		while (k < FLYING && w->air[k].to)
			k++;
		if (k == FLYING)
			return;
		w->air[k].d = *d;
		w->air[k].to = to;
		w->air[k].at = w->p.now + 20 * USEC_PER_MS +
			(w->calm ? 0 : (usec_t)random() % (random() % 20 ? 100 : 2500) * USEC_PER_MS);
		if (!w->calm && random() % 100 < 5)
			w->air[k].d.bytes[(size_t)random() % d->len] ^= (uint8_t)(1 + random() % 255);
		if (!w->calm && random() % 100 < 3)
			w->air[k].d.len = (size_t)random() % d->len;
	}
}

static void land(struct storm *w, struct end *to, const struct packet *d)
{
	struct pair *p = &w->p;
	struct packet back;

	deliver(p, to, d);
	if (p->in.result == SEAL_DATA) {
		uint32_t n;
		int from = to == &p->client;

		CU_ASSERT_EQUAL_FATAL(p->in.len, 12);
		n = be_get32(p->in.bytes + 4);
		CU_ASSERT_EQUAL_FATAL(be_get32(p->in.bytes), (uint32_t)from);
		CU_ASSERT_FATAL(n < w->said[from]);
		CU_ASSERT_EQUAL(be_get32(p->in.bytes + 8), p->in.path_no);
		CU_ASSERT_EQUAL(w->taken[from][n], 0);
		w->taken[from][n] = 1;
		w->delivered++;
	}
	back = reply(p);
	throw(w, other(p, to), &back);
}

static void speak(struct storm *w, struct end *e)
{
	struct packet d;
	uint8_t text[12], path_no = (uint8_t)(random() % 4);
	int from = e == &w->p.gateway;

	be_put32(text, (uint32_t)from);
	be_put32(text + 4, w->said[from]);
	be_put32(text + 8, path_no);
	d.len = seal_output(e->s, e->peer, path_no, DATAGRAM_DATA, text, sizeof text, d.bytes, w->p.now);
	if (d.len && w->said[from] < SAID - 1) {
		w->said[from]++;
		throw(w, other(&w->p, e), &d);
	}
}

static void step(struct storm *w, usec_t by)
{
	struct packet d;

	w->p.now += by;
	for (int k = 0; k < FLYING; k++)
		if (w->air[k].to && w->air[k].at <= w->p.now) {
			struct end *to = w->air[k].to;

			w->air[k].to = NULL;
			land(w, to, &w->air[k].d);
		}
	while ((d = due(&w->p, &w->p.client, NULL)).len)
		throw(w, &w->p.gateway, &d);
	CU_ASSERT_EQUAL(due(&w->p, &w->p.gateway, NULL).len, 0);
}

static void test_in_any_weather_what_is_taken_was_said_and_once(void)
{
	static struct storm w;

	for (unsigned seed = 1; seed <= 12; seed++) {
		unsigned before;

		memset(&w, 0, sizeof w);
		srandom(seed);
		pair_start(&w.p);
		seal_connect(w.p.client.s, w.p.client.peer, w.p.now);
		for (usec_t end = w.p.now + 1800 * SEC; w.p.now < end;) {
			step(&w, (usec_t)random() % 200 * USEC_PER_MS);
			speak(&w, random() % 2 ? &w.p.client : &w.p.gateway);
		}
		CU_ASSERT(counted(&w.p.client, CNT_SealSession) >= 15);
		CU_ASSERT(w.delivered > (w.said[0] + w.said[1]) / 2);

		w.calm = true;
		for (int n = 0; n < 200; n++) {
			step(&w, 100 * USEC_PER_MS);
			speak(&w, n % 2 ? &w.p.client : &w.p.gateway);
		}
		for (int n = 0; n < 10; n++)
			step(&w, SEC);
		before = w.delivered;
		for (int n = 0; n < 20; n++) {
			speak(&w, n % 2 ? &w.p.client : &w.p.gateway);
			step(&w, 100 * USEC_PER_MS);
		}
		CU_ASSERT_EQUAL(w.delivered, before + 20);
		pair_stop(&w.p);
	}
}

UNIT_MAIN("seal_input",
	T(test_every_short_prefix_is_dropped),
	T(test_every_longer_datagram_is_dropped),
	T(test_every_flipped_bit_is_dropped),
	T(test_every_flipped_bit_under_a_right_mac1_is_dropped),
	T(test_indexes_with_path_bits_are_refused),
	T(test_every_reason_has_its_counter),
	T(test_a_datagram_does_not_open_where_it_came_from),
	T(test_random_datagrams_are_dropped),
	T(test_in_any_weather_what_is_taken_was_said_and_once))
