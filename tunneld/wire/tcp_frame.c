/* SPDX-License-Identifier: MIT */
#include "tunneld/wire/tcp_frame.h"

#include "tunneld/wire/checksum.h"

#include <string.h>

enum { PORTS = 4, FIXED = 12, TCP_HEADER = 20, IPV4_HEADER = 20, IPV6_HEADER = 40, PROTOCOL_TCP = 6, HOPS = 64 };

/* Every part but the last is of even length. */
static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t len) { return sum + checksum_partial(p, len); }

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/*
 * RFC 9293 3.1, from the order of segment.h:
 *	ports | sequence | acknowledgement | data offset, flags, window | checksum | urgent pointer | options, data
 */
static void tcp_header(uint8_t *out, uint16_t src_port, uint16_t dst_port, const uint8_t *p)
{
	be_put16(out, src_port);
	be_put16(out + 2, dst_port);
	memcpy(out + 4, p + 4, 8);
	memcpy(out + 12, p, 4);
	memset(out + 16, 0, 4);
}

static void ip_header(uint8_t *out, const struct addr *from, const struct addr *to, size_t tcp_len)
{
	if (from->family == 4) {
		memset(out, 0, IPV4_HEADER);
		out[0] = 0x45;
		be_put16(out + 2, (uint16_t)(IPV4_HEADER + tcp_len));
		out[6] = 0x40; /* DF: nothing of ours is ever fragmented */
		out[8] = HOPS;
		out[9] = PROTOCOL_TCP;
		memcpy(out + 12, from->ip, 4);
		memcpy(out + 16, to->ip, 4);
		be_put16(out + 10, fold(sum16(0, out, IPV4_HEADER)));
		return;
	}
	memset(out, 0, IPV6_HEADER);
	out[0] = 0x60;
	be_put16(out + 4, (uint16_t)tcp_len);
	out[6] = PROTOCOL_TCP;
	out[7] = HOPS;
	memcpy(out + 8, from->ip, 16);
	memcpy(out + 24, to->ip, 16);
}

size_t tcp_frame_write(uint8_t *out, size_t room, const struct addr *from, const struct addr *to, const uint8_t *segment,
		       size_t len, enum segment_form form, size_t *whole)
{
	size_t ip_len = from->family == 4 ? IPV4_HEADER : IPV6_HEADER, ip_size = from->family == 4 ? 4 : 16, tcp_len, rest;
	uint16_t src_port = from->port, dst_port = to->port;
	uint32_t sum;

	if (form == SEGMENT_SEALED) {
		if (len < PORTS)
			return 0;
		src_port = be_get16(segment);
		dst_port = be_get16(segment + 2);
		segment += PORTS;
		len -= PORTS;
	}
	tcp_len = TCP_HEADER + len - FIXED;
	if (len < FIXED || (from->family != 4 && from->family != 6) || from->family != to->family ||
	    room < ip_len + TCP_HEADER || ip_len + tcp_len > UINT16_MAX)
		return 0;
	ip_header(out, from, to, tcp_len);
	tcp_header(out + ip_len, src_port, dst_port, segment);
	/* RFC 9293 3.1: pseudo-header, header, options and data. */
	sum = sum16(0, from->ip, ip_size) + sum16(0, to->ip, ip_size) + PROTOCOL_TCP + (uint32_t)tcp_len;
	sum = sum16(sum, out + ip_len, TCP_HEADER);
	be_put16(out + ip_len + 16, fold(sum16(sum, segment + FIXED, len - FIXED)));
	*whole = ip_len + tcp_len;
	rest = room - ip_len - TCP_HEADER < len - FIXED ? room - ip_len - TCP_HEADER : len - FIXED;
	memcpy(out + ip_len + TCP_HEADER, segment + FIXED, rest);
	return ip_len + TCP_HEADER + rest;
}
