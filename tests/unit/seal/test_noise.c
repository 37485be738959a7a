/* SPDX-License-Identifier: MIT */
#include "tunneld/seal/noise.h"

#include "tests/unit/seal/vectors.h"
#include "tests/unit/unit.h"

enum { MESSAGES = 6 };
struct bytes { uint8_t at[512]; size_t len; };
struct vector {
	struct bytes prologue, init_static, init_ephemeral, init_remote_static, resp_static, resp_ephemeral, handshake_hash;
	struct bytes payload[MESSAGES], ciphertext[MESSAGES];
	unsigned payloads, ciphertexts;
};

static void take(struct vector *v, const struct vectors *line)
{
	struct bytes *to = NULL;

	if (!strcmp(line->name, "prologue"))
		to = &v->prologue;
	if (!strcmp(line->name, "init_static"))
		to = &v->init_static;
	if (!strcmp(line->name, "init_ephemeral"))
		to = &v->init_ephemeral;
	if (!strcmp(line->name, "init_remote_static"))
		to = &v->init_remote_static;
	if (!strcmp(line->name, "resp_static"))
		to = &v->resp_static;
	if (!strcmp(line->name, "resp_ephemeral"))
		to = &v->resp_ephemeral;
	if (!strcmp(line->name, "handshake_hash"))
		to = &v->handshake_hash;
	if (!strcmp(line->name, "payload") && v->payloads < MESSAGES)
		to = &v->payload[v->payloads++];
	if (!strcmp(line->name, "ciphertext") && v->ciphertexts < MESSAGES)
		to = &v->ciphertext[v->ciphertexts++];
	CU_ASSERT_PTR_NOT_NULL(to);
	if (!to)
		return;
	memcpy(to->at, line->bytes, line->len);
	to->len = line->len;
}

static bool same(const struct bytes *want, const uint8_t *got, size_t len)
{
	return want->len == len && memcmp(want->at, got, len) == 0;
}

/* Noise's transport nonce for ChaChaPoly; each direction counts for itself. */
static void transport(const uint8_t key[32], uint64_t n, const struct bytes *payload, const struct bytes *ciphertext)
{
	uint8_t nonce[12] = { 0 }, out[512];
	unsigned long long len;

	nonce[4] = (uint8_t)n;
	crypto_aead_chacha20poly1305_ietf_encrypt(out, &len, payload->at, payload->len, NULL, 0, NULL, nonce, key);
	CU_ASSERT(same(ciphertext, out, (size_t)len));
}

static void converse(const struct vector *v)
{
	struct noise i, r;
	uint8_t is[32], rs[32], out[512], in[512], ik1[32], ik2[32], rk1[32], rk2[32];

	CU_ASSERT_EQUAL_FATAL(v->payloads, MESSAGES);
	CU_ASSERT_EQUAL_FATAL(v->ciphertexts, MESSAGES);
	crypto_scalarmult_base(is, v->init_static.at);
	crypto_scalarmult_base(rs, v->resp_static.at);
	CU_ASSERT(same(&v->init_remote_static, rs, 32));
	noise_init(&i, true, v->init_static.at, is, rs, v->prologue.at, v->prologue.len);
	noise_init(&r, false, v->resp_static.at, rs, NULL, v->prologue.at, v->prologue.len);

	CU_ASSERT_EQUAL(noise_write_1(&i, v->init_ephemeral.at, v->payload[0].at, v->payload[0].len, out), ERR_OK);
	CU_ASSERT(same(&v->ciphertext[0], out, NOISE_MESSAGE_1 + v->payload[0].len));
	CU_ASSERT_EQUAL(noise_read_1_static(&r, v->ciphertext[0].at), ERR_OK);
	CU_ASSERT(memcmp(r.rs, is, 32) == 0);
	CU_ASSERT_EQUAL(noise_read_1_payload(&r, v->ciphertext[0].at, v->ciphertext[0].len, in), ERR_OK);
	CU_ASSERT(same(&v->payload[0], in, v->ciphertext[0].len - NOISE_MESSAGE_1));

	CU_ASSERT_EQUAL(noise_write_2(&r, v->resp_ephemeral.at, v->payload[1].at, v->payload[1].len, out), ERR_OK);
	CU_ASSERT(same(&v->ciphertext[1], out, NOISE_MESSAGE_2 + v->payload[1].len));
	CU_ASSERT_EQUAL(noise_read_2(&i, v->ciphertext[1].at, v->ciphertext[1].len, in), ERR_OK);
	CU_ASSERT(same(&v->payload[1], in, v->ciphertext[1].len - NOISE_MESSAGE_2));

	CU_ASSERT(memcmp(i.h, r.h, NOISE_HASH) == 0);
	if (v->handshake_hash.len)
		CU_ASSERT(same(&v->handshake_hash, i.h, NOISE_HASH));
	noise_split(&i, ik1, ik2);
	noise_split(&r, rk1, rk2);
	CU_ASSERT(memcmp(ik1, rk2, 32) == 0 && memcmp(ik2, rk1, 32) == 0);
	for (unsigned m = 2; m < MESSAGES; m++)
		transport(m % 2 ? rk1 : ik1, (m - 2) / 2, &v->payload[m], &v->ciphertext[m]);
}

static void test_noise_agrees_with_the_published_vectors(void)
{
	static struct vector v;
	struct vectors line;
	unsigned seen = 0;

	CU_ASSERT_FATAL(vectors_open(&line, __FILE__, "noise_ik.txt"));
	while (vectors_next(&line)) {
		if (strcmp(line.name, "vector") != 0) {
			take(&v, &line);
			continue;
		}
		if (seen++)
			converse(&v);
		v = (struct vector){ 0 };
	}
	converse(&v);
	CU_ASSERT_EQUAL(seen, 2);
	CU_ASSERT_EQUAL(line.malformed, 0);
}

static void test_hmac_and_ciphers_agree_with_the_published_vectors(void)
{
	struct vectors line;
	struct bytes key = { 0 }, nonce = { 0 }, aad = { 0 }, plain = { 0 };
	uint8_t out[512];
	unsigned long long len;
	char what[32] = "";
	unsigned checked = 0;

	CU_ASSERT_FATAL(vectors_open(&line, __FILE__, "primitives.txt"));
	while (vectors_next(&line)) {
		struct bytes *to = !strcmp(line.name, "key") ? &key : !strcmp(line.name, "nonce") ? &nonce :
			!strcmp(line.name, "aad") ? &aad : !strcmp(line.name, "plain") ? &plain : NULL;

		if (to) {
			memcpy(to->at, line.bytes, line.len);
			to->len = line.len;
			continue;
		}
		if (strcmp(line.name, "sealed") != 0) {
			memcpy(what, line.name, sizeof what);
			continue;
		}
		if (!strcmp(what, "hmac_blake2b")) {
			noise_hmac(out, key.at, key.len, plain.at, plain.len);
			len = NOISE_HASH;
		} else if (!strcmp(what, "chacha20poly1305")) {
			crypto_aead_chacha20poly1305_ietf_encrypt(out, &len, plain.at, plain.len, aad.at, aad.len, NULL, nonce.at,
								  key.at);
		} else if (crypto_aead_aes256gcm_is_available()) {
			crypto_aead_aes256gcm_encrypt(out, &len, plain.at, plain.len, aad.at, aad.len, NULL, nonce.at, key.at);
		} else {
			checked++;
			continue;
		}
		checked++;
		CU_ASSERT_EQUAL(len, line.len);
		CU_ASSERT(memcmp(out, line.bytes, line.len) == 0);
	}
	CU_ASSERT_EQUAL(checked, 5);
	CU_ASSERT_EQUAL(line.malformed, 0);
}

struct two { struct noise i, r; uint8_t m1[NOISE_MESSAGE_1 + 4], m2[NOISE_MESSAGE_2 + 4]; };

static void two_init(struct two *t, const char *prologue_i, const char *prologue_r)
{
	static const uint8_t s[2][32] = { { 1 }, { 2 } };
	uint8_t p[2][32];

	for (int k = 0; k < 2; k++)
		crypto_scalarmult_base(p[k], s[k]);
	noise_init(&t->i, true, s[0], p[0], p[1], prologue_i, strlen(prologue_i));
	noise_init(&t->r, false, s[1], p[1], NULL, prologue_r, strlen(prologue_r));
	CU_ASSERT_EQUAL(noise_write_1(&t->i, (const uint8_t[32]){ 3 }, (const uint8_t *)"ping", 4, t->m1), ERR_OK);
}

static enum err read_1(struct noise *r, const uint8_t *m, uint8_t payload[4])
{
	enum err e = noise_read_1_static(r, m);

	return e ? e : noise_read_1_payload(r, m, NOISE_MESSAGE_1 + 4, payload);
}

static void test_another_prologue_is_another_protocol(void)
{
	struct two t;
	uint8_t payload[4];

	two_init(&t, "one", "one");
	CU_ASSERT_EQUAL(read_1(&t.r, t.m1, payload), ERR_OK);
	two_init(&t, "one", "two");
	CU_ASSERT_EQUAL(read_1(&t.r, t.m1, payload), ERR_FORGED);
}

static void test_every_flipped_bit_of_a_message_is_noticed(void)
{
	struct two t;
	uint8_t payload[4], m[sizeof t.m1 + sizeof t.m2];

	two_init(&t, "", "");
	for (size_t bit = 0; bit < sizeof t.m1 * 8; bit++) {
		struct noise r = t.r;

		memcpy(m, t.m1, sizeof t.m1);
		m[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CU_ASSERT_EQUAL(read_1(&r, m, payload), ERR_FORGED);
	}
	CU_ASSERT_EQUAL(read_1(&t.r, t.m1, payload), ERR_OK);
	CU_ASSERT_EQUAL(noise_write_2(&t.r, (const uint8_t[32]){ 4 }, (const uint8_t *)"pong", 4, t.m2), ERR_OK);
	for (size_t bit = 0; bit < sizeof t.m2 * 8; bit++) {
		struct noise i = t.i;

		memcpy(m, t.m2, sizeof t.m2);
		m[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CU_ASSERT_EQUAL(noise_read_2(&i, m, sizeof t.m2, payload), ERR_FORGED);
	}
	CU_ASSERT_EQUAL(noise_read_2(&t.i, t.m2, sizeof t.m2, payload), ERR_OK);
	CU_ASSERT(memcmp(payload, "pong", 4) == 0);
}

/* The points of RFC 7748 6.1 with which a Diffie-Hellman gives all zeros. */
static void test_low_order_ephemerals_are_refused(void)
{
	static const uint8_t low[][32] = {
		{ 0 }, { 1 },
		{ 0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
		  0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00 },
		{ 0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
		  0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57 },
	};
	struct two t;
	uint8_t payload[4];

	for (size_t k = 0; k < sizeof low / sizeof *low; k++) {
		two_init(&t, "", "");
		memcpy(t.m1, low[k], 32);
		CU_ASSERT_EQUAL(noise_read_1_static(&t.r, t.m1), ERR_FORGED);
		memcpy(t.m2, low[k], 32);
		CU_ASSERT_EQUAL(noise_read_2(&t.i, t.m2, sizeof t.m2, payload), ERR_FORGED);
	}
}

UNIT_MAIN("noise",
	T(test_noise_agrees_with_the_published_vectors),
	T(test_hmac_and_ciphers_agree_with_the_published_vectors),
	T(test_another_prologue_is_another_protocol),
	T(test_every_flipped_bit_of_a_message_is_noticed),
	T(test_low_order_ephemerals_are_refused))
