/* SPDX-License-Identifier: MIT */
/* Two sockets on loopback: what is batched out comes in whole, in order, and by few system calls. */
#include "tunneld/io/udp.h"

#include <errno.h>
#include <string.h>

#include "common/sockaddr.h"
#include "tests/unit/unit.h"
#include "tunneld/io/clock.h"

enum { GOT_MAX = 512 };

/* One end, and what it was told. */
struct end {
	struct udp udp;
	struct got { size_t len; uint8_t first, last; struct addr from, to; } got[GOT_MAX];
	unsigned count, drained;
	size_t too_big;
	unsigned until; /* ends the loop at that count */
	struct udp_error error;
	uint8_t quoted[8];
	unsigned errors;
};

static struct loop *loop;
static struct udp_pool pool;
static struct counters counters;
static struct end a, b;

static void on_datagram(void *owner, struct udp *u, const struct udp_datagram *d)
{
	struct end *e = owner;

	CU_ASSERT_PTR_EQUAL(u, &e->udp);
	if (e->count < GOT_MAX)
		e->got[e->count++] = (struct got){ d->len, d->bytes[0], d->bytes[d->len - 1], d->from, d->to };
	if (e->count == e->until)
		loop_end(loop);
}

static void on_too_big(void *owner, struct udp *u, const struct addr *to, size_t len)
{
	(void)u, (void)to;
	((struct end *)owner)->too_big = len;
}

static void on_drained(void *owner, struct udp *u)
{
	(void)u;
	((struct end *)owner)->drained++;
}

static void on_error(void *owner, struct udp *u, const struct udp_error *error)
{
	struct end *e = owner;

	(void)u;
	if (error->origin == UDP_ERROR_SEND)
		return;
	e->error = *error;
	memcpy(e->quoted, error->quoted, error->quoted_len < sizeof e->quoted ? error->quoted_len : sizeof e->quoted);
	e->errors++;
	loop_end(loop);
}

static const struct udp_events events = { on_datagram, on_too_big, on_drained, on_error };

static void on_time(void *owner)
{
	(void)owner;
	CU_FAIL("nothing came for 5 s");
	loop_end(loop);
}

static void up(const char *address)
{
	struct addr at;

	memset(&counters, 0, sizeof counters);
	memset(&a, 0, sizeof a);
	memset(&b, 0, sizeof b);
	loop = loop_new();
	CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
	CU_ASSERT_EQUAL_FATAL(udp_pool_open(&pool, &counters), 0);
	CU_ASSERT_EQUAL_FATAL(addr_parse(&at, address), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(udp_open(&a.udp, loop, &pool, &at, NULL, &events, &a), 0);
	CU_ASSERT_EQUAL_FATAL(udp_open(&b.udp, loop, &pool, &at, NULL, &events, &b), 0);
	loop_on_time(loop, on_time, NULL);
	loop_time_set(loop, clock_now() + 5 * USEC_PER_S);
}

static void down(void)
{
	udp_close(&a.udp);
	udp_close(&b.udp);
	udp_pool_close(&pool);
	loop_free(loop);
}

static void put(struct udp_batch *batch, struct udp *from, const struct addr *to, size_t len, uint8_t tag)
{
	uint8_t *room = udp_batch_room(batch, from, to, NULL, 2000);

	CU_ASSERT_PTR_NOT_NULL_FATAL(room);
	memset(room, tag, len);
	udp_batch_add(batch, from, len);
}

static void wait_for(struct end *e, unsigned n)
{
	e->until = n;
	if (e->count < n)
		loop_run(loop);
	CU_ASSERT_EQUAL(e->count, n);
}

static void an_icmp_error_is_told_with_its_reporter(const char *address, unsigned origin, uint8_t type, uint8_t code)
{
	struct udp_batch batch = { 0 };
	struct addr nobody;

	up(address);
	nobody = b.udp.local;
	udp_close(&b.udp); /* nobody listens there any more */
	put(&batch, &a.udp, &nobody, 100, 0x5a);
	udp_batch_flush(&batch, &a.udp);
	loop_run(loop);
	CU_ASSERT_EQUAL(a.errors, 1);
	CU_ASSERT_EQUAL(a.error.origin, origin);
	CU_ASSERT_EQUAL(a.error.type, type);
	CU_ASSERT_EQUAL(a.error.code, code);
	CU_ASSERT_TRUE(addr_eq(&a.error.to, &nobody));
	CU_ASSERT_TRUE(addr_same_ip(&a.error.reporter, &nobody));
	CU_ASSERT_EQUAL(a.error.quoted_len, 100);
	CU_ASSERT_EQUAL(a.quoted[0], 0x5a);
	CU_ASSERT_EQUAL(counters.v[CNT_IcmpReceived], 1);
	down();
}

static void test_an_icmp_error_is_told_with_its_reporter(void)
{
	an_icmp_error_is_told_with_its_reporter("127.0.0.1", UDP_ERROR_ICMP, 3, 3);
}

static void test_an_icmp6_error_is_told_with_its_reporter(void)
{
	an_icmp_error_is_told_with_its_reporter("::1", UDP_ERROR_ICMP6, 1, 4);
}

/* The error of an earlier datagram is the next one's errno, and yet that one must go. */
static void test_an_icmp_error_does_not_cost_the_next_datagram(void)
{
	struct udp_batch batch = { 0 };
	struct udp third;
	struct addr nobody;

	up("127.0.0.1");
	CU_ASSERT_EQUAL_FATAL(udp_open(&third, loop, &pool, &(struct addr){ .family = 4, .ip = { 127, 0, 0, 1 } }, NULL, &events, &a), 0);
	nobody = third.local;
	udp_close(&third);
	put(&batch, &a.udp, &nobody, 100, 1);
	udp_batch_flush(&batch, &a.udp);
	put(&batch, &a.udp, &b.udp.local, 100, 2);
	udp_batch_flush(&batch, &a.udp);
	wait_for(&b, 1);
	CU_ASSERT_EQUAL(counters.v[CNT_UdpSendFailed], 0);
	down();
}

static void equal_sizes_leave_in_one_call(const char *address)
{
	struct udp_batch batch = { 0 };

	up(address);
	for (int i = 0; i < 40; i++)
		put(&batch, &a.udp, &b.udp.local, 1400, (uint8_t)i);
	CU_ASSERT_EQUAL(a.udp.calls_out, 0);
	udp_batch_flush(&batch, &a.udp);
	if (a.udp.gso) /* not where a kernel or a seccomp filter refuses it */
		CU_ASSERT_EQUAL(a.udp.calls_out, 1);
	wait_for(&b, 40);
	for (int i = 0; i < 40; i++) {
		CU_ASSERT_EQUAL(b.got[i].len, 1400);
		CU_ASSERT_EQUAL(b.got[i].first, i);
		CU_ASSERT_EQUAL(b.got[i].last, i);
		CU_ASSERT_TRUE(addr_eq(&b.got[i].from, &a.udp.local));
		CU_ASSERT_TRUE(addr_same_ip(&b.got[i].to, &b.udp.local));
	}
	CU_ASSERT_EQUAL(a.udp.datagrams_out, 40);
	CU_ASSERT_EQUAL(b.udp.bytes_in, 40 * 1400);
	down();
}

static void test_equal_sizes_leave_in_one_call_v4(void) { equal_sizes_leave_in_one_call("127.0.0.1"); }
static void test_equal_sizes_leave_in_one_call_v6(void) { equal_sizes_leave_in_one_call("::1"); }

static void test_sizes_may_change_and_order_is_kept(void)
{
	static const size_t sizes[] = { 100, 1400, 1400, 60, 60, 61, 1399, 1400, 1 };
	struct udp_batch batch = { 0 };

	up("127.0.0.1");
	for (unsigned i = 0; i < 9; i++)
		put(&batch, &a.udp, &b.udp.local, sizes[i], (uint8_t)i);
	udp_batch_flush(&batch, &a.udp);
	wait_for(&b, 9);
	for (unsigned i = 0; i < 9; i++) {
		CU_ASSERT_EQUAL(b.got[i].len, sizes[i]);
		CU_ASSERT_EQUAL(b.got[i].first, i);
	}
	CU_ASSERT_TRUE(b.drained > 0);
	down();
}

static void test_a_batch_has_one_destination(void)
{
	struct udp_batch batch = { 0 };

	up("127.0.0.1");
	put(&batch, &a.udp, &b.udp.local, 500, 1);
	put(&batch, &a.udp, &a.udp.local, 500, 2);
	udp_batch_flush(&batch, &a.udp);
	wait_for(&b, 1);
	wait_for(&a, 1);
	CU_ASSERT_EQUAL(b.got[0].first, 1);
	CU_ASSERT_EQUAL(a.got[0].first, 2);
	down();
}

static void test_a_full_batch_flushes_itself(void)
{
	struct udp_batch batch = { 0 };

	up("127.0.0.1");
	for (int i = 0; i < 200; i++)
		put(&batch, &a.udp, &b.udp.local, 1200, (uint8_t)i);
	CU_ASSERT_TRUE(a.udp.calls_out > 0);
	udp_batch_flush(&batch, &a.udp);
	wait_for(&b, 200);
	for (int i = 0; i < 200; i++)
		CU_ASSERT_EQUAL(b.got[i].first, (uint8_t)i);
	down();
}

static void test_room_not_used_sends_nothing(void)
{
	struct udp_batch batch = { 0 };

	up("127.0.0.1");
	CU_ASSERT_PTR_NOT_NULL(udp_batch_room(&batch, &a.udp, &b.udp.local, NULL, 100));
	udp_batch_add(&batch, &a.udp, 0);
	CU_ASSERT_PTR_NULL(batch.buffer);
	udp_batch_flush(&batch, &a.udp);
	CU_ASSERT_EQUAL(a.udp.calls_out, 0);
	down();
}

static void test_the_source_address_is_the_one_asked_for(void)
{
	struct udp_batch batch = { 0 };
	struct addr any, from;
	struct udp wide;
	uint8_t *room;

	up("127.0.0.1");
	CU_ASSERT_EQUAL_FATAL(addr_parse(&any, "0.0.0.0"), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(addr_parse(&from, "127.0.0.77"), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(udp_open(&wide, loop, &pool, &any, NULL, &events, &a), 0);
	room = udp_batch_room(&batch, &wide, &b.udp.local, &from, 10);
	CU_ASSERT_PTR_NOT_NULL_FATAL(room);
	memset(room, 3, 10);
	udp_batch_add(&batch, &wide, 10);
	udp_batch_flush(&batch, &wide);
	wait_for(&b, 1);
	CU_ASSERT_TRUE(addr_same_ip(&b.got[0].from, &from));
	udp_close(&wide);
	down();
}

static void test_what_no_link_carries_is_told_as_too_big(void)
{
	struct udp_batch batch = { 0 };
	uint8_t *room;

	up("127.0.0.1");
	room = udp_batch_room(&batch, &a.udp, &b.udp.local, NULL, UDP_BATCH_BYTES);
	CU_ASSERT_PTR_NOT_NULL_FATAL(room);
	memset(room, 1, UDP_BATCH_BYTES);
	/* Loopback's MTU is 65536 less headers: one byte beyond what UDP can say at all. */
	batch.buffer->len = 65508;
	batch.buffer->segment_len = 65508;
	batch.buffer->count = 1;
	udp_batch_flush(&batch, &a.udp);
	CU_ASSERT_EQUAL(a.too_big, 65508);
	CU_ASSERT_EQUAL(counters.v[CNT_UdpTooBig], 1);
	down();
}

static void test_an_unreachable_destination_is_loss_and_not_a_fault(void)
{
	struct udp_batch batch = { 0 };
	struct addr nowhere;

	up("127.0.0.1"); /* bound to loopback: no other network can be reached from there */
	CU_ASSERT_EQUAL_FATAL(addr_parse(&nowhere, "192.0.2.1:9"), ERR_OK);
	put(&batch, &a.udp, &nowhere, 100, 1);
	udp_batch_flush(&batch, &a.udp);
	CU_ASSERT_EQUAL(counters.v[CNT_UdpSendFailed], 1);
	CU_ASSERT_EQUAL(counters.v[CNT_UdpQueued], 0);
	put(&batch, &a.udp, &b.udp.local, 100, 2);
	udp_batch_flush(&batch, &a.udp);
	wait_for(&b, 1);
	down();
}

/* A second socket at a's address: a datagram of type 2 goes by the high four bits of byte 3, any other to the first. */
static void test_datagrams_are_steered_by_their_bytes(void)
{
	static const uint8_t byte[] = { 0, 0, 3 };
	static const struct udp_steer steer = { .type_max = 2, .byte = byte, .shift = 4, .sockets = 2 };
	static const struct { uint8_t bytes[5]; size_t len; } to_first[] = {
		{ { 2, 0, 0, 0x0f }, 5 }, { { 2, 0, 0, 0x2f }, 5 }, { { 1, 0, 0, 0x1f }, 5 }, { { 3, 0, 0, 0x1f }, 5 }, { { 2, 0, 0x1f }, 3 },
	}, to_second[] = { { { 2, 0, 0, 0x10 }, 5 }, { { 2, 0xff, 0xff, 0x3f }, 4 }, { { 2, 0, 0, 0xff }, 5 } };
	enum { FIRST = sizeof to_first / sizeof *to_first, SECOND = sizeof to_second / sizeof *to_second };
	static struct end beside;
	struct udp stranger;

	up("127.0.0.1:0");
	memset(&beside, 0, sizeof beside);
	CU_ASSERT_EQUAL_FATAL(udp_open_beside(&beside.udp, loop, &pool, &a.udp, &events, &beside), 0);
	CU_ASSERT_EQUAL_FATAL(udp_steer(&a.udp, &steer), 0);
	CU_ASSERT_EQUAL(udp_open(&stranger, loop, &pool, &a.udp.local, NULL, &events, &stranger), EADDRINUSE);
	CU_ASSERT_TRUE(addr_eq(&beside.udp.local, &a.udp.local));
	for (unsigned i = 0; i < FIRST + SECOND; i++) {
		struct udp_batch batch = { 0 };
		size_t len = i < FIRST ? to_first[i].len : to_second[i - FIRST].len;
		uint8_t *room = udp_batch_room(&batch, &b.udp, &a.udp.local, NULL, 16);

		CU_ASSERT_PTR_NOT_NULL_FATAL(room);
		memcpy(room, i < FIRST ? to_first[i].bytes : to_second[i - FIRST].bytes, len);
		udp_batch_add(&batch, &b.udp, len);
		udp_batch_flush(&batch, &b.udp);
	}
	wait_for(&a, FIRST);
	wait_for(&beside, SECOND);
	udp_close(&beside.udp);
	down();
}

UNIT_MAIN("udp",
	T(test_datagrams_are_steered_by_their_bytes),
	T(test_equal_sizes_leave_in_one_call_v4),
	T(test_equal_sizes_leave_in_one_call_v6),
	T(test_sizes_may_change_and_order_is_kept),
	T(test_a_batch_has_one_destination),
	T(test_a_full_batch_flushes_itself),
	T(test_room_not_used_sends_nothing),
	T(test_the_source_address_is_the_one_asked_for),
	T(test_what_no_link_carries_is_told_as_too_big),
	T(test_an_unreachable_destination_is_loss_and_not_a_fault),
	T(test_an_icmp_error_is_told_with_its_reporter),
	T(test_an_icmp6_error_is_told_with_its_reporter),
	T(test_an_icmp_error_does_not_cost_the_next_datagram))
