/* SPDX-License-Identifier: MIT */
/* A captured packet is one that anybody's tool takes for whole: lengths, ports and both checksums. */
#include "tunneld/wire/tcp_frame.h"

#include <string.h>

#include "common/bytes.h"
#include "tests/unit/unit.h"
#include "tunneld/wire/checksum.h"

enum { IP4 = 20, IP6 = 40, TCP = 20 };

static const char payload[] = "odd bytes";

/* A segment as it is inside a datagram, of nine bytes. */
static size_t segment(uint8_t *out, size_t room, enum segment_form form)
{
	struct segment s = {
		.src_port = 1000, .dst_port = 2000, .seq = { 0x01020304 }, .ack = { 0x05060708 }, .flags = TCP_ACK | TCP_PSH,
		.window = 0x1234, .payload = (const uint8_t *)payload, .payload_len = sizeof payload - 1,
	};
	struct wr w = wr_of(out, room);

	CU_ASSERT_EQUAL_FATAL(segment_emit(&w, &s, form), ERR_OK);
	return wr_len(&w);
}

static struct addr address(uint8_t family, uint8_t host, uint16_t port)
{
	struct addr a = { .family = family, .ip = { 192, 0, 2, 1 }, .port = port };

	a.ip[family == 4 ? 3 : 15] = host;
	return a;
}

/* RFC 1071: the sum over a whole that holds its own checksum is all ones. */
static uint16_t tcp_sum(const uint8_t *packet, size_t len, uint8_t family)
{
	size_t ip = family == 4 ? IP4 : IP6, addresses = family == 4 ? 8 : 32;
	uint8_t pseudo[2048] = { 0 };

	memcpy(pseudo, packet + (family == 4 ? 12 : 8), addresses);
	be_put16(pseudo + addresses, 6);
	be_put16(pseudo + addresses + 2, (uint16_t)(len - ip));
	memcpy(pseudo + addresses + 4, packet + ip, len - ip);
	return checksum_partial(pseudo, addresses + 4 + len - ip);
}

static void whole(uint8_t family, enum segment_form form)
{
	struct addr from = address(family, 7, 77), to = address(family, 8, 88);
	uint8_t bytes[256], packet[512];
	size_t ip = family == 4 ? IP4 : IP6, len = segment(bytes, sizeof bytes, form), n, said = 0;

	n = tcp_frame_write(packet, sizeof packet, &from, &to, bytes, len, form, &said);
	CU_ASSERT_EQUAL_FATAL(n, ip + TCP + sizeof payload - 1);
	CU_ASSERT_EQUAL(said, n);
	CU_ASSERT_EQUAL(packet[0] >> 4, family);
	if (family == 4) {
		CU_ASSERT_EQUAL(be_get16(packet + 2), n);
		CU_ASSERT_EQUAL(packet[9], 6);
		CU_ASSERT_EQUAL(checksum_partial(packet, IP4), 0xffff);
	} else {
		CU_ASSERT_EQUAL(be_get16(packet + 4), n - IP6);
		CU_ASSERT_EQUAL(packet[6], 6);
	}
	CU_ASSERT_EQUAL(tcp_sum(packet, n, family), 0xffff);
	/* Sealed segments have ports of their own; others have those of the datagram. */
	CU_ASSERT_EQUAL(be_get16(packet + ip), form == SEGMENT_SEALED ? 1000 : 77);
	CU_ASSERT_EQUAL(be_get16(packet + ip + 2), form == SEGMENT_SEALED ? 2000 : 88);
	CU_ASSERT_EQUAL(be_get32(packet + ip + 4), 0x01020304);
	CU_ASSERT_EQUAL(be_get32(packet + ip + 8), 0x05060708);
	CU_ASSERT_EQUAL(packet[ip + 12], 5 << 4);
	CU_ASSERT_EQUAL(packet[ip + 13], TCP_ACK | TCP_PSH);
	CU_ASSERT_EQUAL(be_get16(packet + ip + 14), 0x1234);
	CU_ASSERT_EQUAL(memcmp(packet + ip + TCP, payload, sizeof payload - 1), 0);
}

static void test_it_is_a_whole_packet(void)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		whole(family, SEGMENT_SEALED);
		whole(family, SEGMENT_PLAIN);
	}
}

static void test_little_room_cuts_it_and_says_how_long_it_was(void)
{
	struct addr from = address(4, 7, 77), to = address(4, 8, 88);
	uint8_t bytes[256], packet[512], cut[512];
	size_t len = segment(bytes, sizeof bytes, SEGMENT_SEALED), n, said, full;

	n = tcp_frame_write(packet, sizeof packet, &from, &to, bytes, len, SEGMENT_SEALED, &full);
	for (size_t room = 0; room < n; room++) {
		size_t got = tcp_frame_write(cut, room, &from, &to, bytes, len, SEGMENT_SEALED, &said);

		CU_ASSERT_EQUAL(got, room < IP4 + TCP ? 0 : room);
		CU_ASSERT_TRUE(!got || (said == full && !memcmp(cut, packet, got)));
	}
}

static void test_what_is_no_segment_is_no_packet(void)
{
	struct addr from = address(4, 7, 77), to = address(4, 8, 88), six = address(6, 8, 88), none = { 0 };
	uint8_t bytes[256], packet[512];
	size_t len = segment(bytes, sizeof bytes, SEGMENT_SEALED), said;

	for (size_t n = 0; n < 16; n++)
		CU_ASSERT_EQUAL(tcp_frame_write(packet, sizeof packet, &from, &to, bytes, n, SEGMENT_SEALED, &said), 0);
	for (size_t n = 0; n < 12; n++)
		CU_ASSERT_EQUAL(tcp_frame_write(packet, sizeof packet, &from, &to, bytes, n, SEGMENT_PLAIN, &said), 0);
	CU_ASSERT_EQUAL(tcp_frame_write(packet, sizeof packet, &from, &six, bytes, len, SEGMENT_SEALED, &said), 0);
	CU_ASSERT_EQUAL(tcp_frame_write(packet, sizeof packet, &none, &none, bytes, len, SEGMENT_SEALED, &said), 0);
}

UNIT_MAIN("tcp_frame", T(test_it_is_a_whole_packet), T(test_little_room_cuts_it_and_says_how_long_it_was),
	  T(test_what_is_no_segment_is_no_packet))
