/* SPDX-License-Identifier: MIT */
/* What of an ICMP error's quotation is believed to be ours. */
#include "tests/unit/seal/pair.h"

static enum seal_quote quoted(struct pair *p, uint8_t path_no, const struct packet *d, size_t len)
{
	return seal_quoted(p->client.s, p->client.peer, path_no, d->bytes, len);
}

static void test_what_was_sent_is_ours_on_its_path_alone(void)
{
	struct packet d;
	struct pair p;

	pair_start(&p);
	shake_hands(&p);
	d = say(&p, &p.client, 3, "hello");
	/* RFC 792 promises 8 bytes behind the quoted IP header, which are UDP's; routers send more, and we need 9 of ours. */
	CU_ASSERT_EQUAL(quoted(&p, 3, &d, d.len), QUOTE_OURS);
	CU_ASSERT_EQUAL(quoted(&p, 3, &d, DATAGRAM_DATA_HEADER), QUOTE_OURS);
	for (size_t n = 0; n < DATAGRAM_DATA_HEADER; n++)
		CU_ASSERT_EQUAL(quoted(&p, 3, &d, n), QUOTE_SHORT);
	CU_ASSERT_EQUAL(quoted(&p, 4, &d, d.len), QUOTE_FOREIGN);
	pair_stop(&p);
}

static void test_a_guess_is_not(void)
{
	struct packet d, guess;
	struct pair p;

	pair_start(&p);
	shake_hands(&p);
	d = say(&p, &p.client, 0, "hello");
	for (size_t at = 1; at < DATAGRAM_DATA_HEADER; at++) {
		guess = d;
		guess.bytes[at] ^= 0x10;
		CU_ASSERT_EQUAL(quoted(&p, 0, &guess, guess.len), QUOTE_FOREIGN);
	}
	/* Nor is a counter that is yet to be used. */
	guess = d;
	be_put32(guess.bytes + 5, be_get32(d.bytes + 5) + 1);
	CU_ASSERT_EQUAL(quoted(&p, 0, &guess, guess.len), QUOTE_FOREIGN);
	guess.bytes[0] = 0x7f;
	CU_ASSERT_EQUAL(quoted(&p, 0, &guess, guess.len), QUOTE_FOREIGN);
	/* What the other end sent is not ours. */
	d = say(&p, &p.gateway, 0, "hello");
	CU_ASSERT_EQUAL(quoted(&p, 0, &d, d.len), QUOTE_FOREIGN);
	pair_stop(&p);
}

static void test_a_handshake_is_known_by_its_index(void)
{
	struct packet d;
	struct pair p;

	pair_start(&p);
	seal_connect(p.client.s, p.client.peer, p.now);
	d = wait_due(&p, &p.client);
	CU_ASSERT_EQUAL(quoted(&p, 0, &d, d.len), QUOTE_OURS);
	CU_ASSERT_EQUAL(quoted(&p, 9, &d, 8), QUOTE_OURS); /* the same goes on every path */
	CU_ASSERT_EQUAL(quoted(&p, 0, &d, 7), QUOTE_SHORT);
	d.bytes[4] ^= 1;
	CU_ASSERT_EQUAL(quoted(&p, 0, &d, d.len), QUOTE_FOREIGN);
	pair_stop(&p);
}

static void test_what_went_before_a_rekey_is_still_ours(void)
{
	struct packet d;
	struct pair p;

	pair_start(&p);
	shake_hands(&p);
	d = say(&p, &p.client, 0, "before");
	shake_hands(&p);
	CU_ASSERT_EQUAL(quoted(&p, 0, &d, d.len), QUOTE_OURS);
	pair_stop(&p);
}

UNIT_MAIN("seal_quote", T(test_what_was_sent_is_ours_on_its_path_alone), T(test_a_guess_is_not),
	  T(test_a_handshake_is_known_by_its_index), T(test_what_went_before_a_rekey_is_still_ours))
