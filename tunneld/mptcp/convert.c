/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/convert.h"

#include "tunneld/wire/tcp_option.h"

/* ICMPv4 destination unreachable, RFC 792 and RFC 1812 5.2.7.1. */
enum { ICMP_NET = 0, ICMP_HOST = 1, ICMP_PORT = 3, ICMP_PROHIBITED = 13, ICMP_ANY = 0xff };

/*
 * The first row of a result is what is sent; the first row that fits a code and value is what it means.
 * RFC 8803 6.2.8: 97 carries the ICMP code; 64 and 65 carry a delay in seconds, 0 = at least 30.
 */
static const struct { enum open_result result; uint8_t code, value; } rows[] = {
	{ OPEN_REFUSED,          CONVERT_ERR_RESET,          0               },
	{ OPEN_TIMED_OUT,        CONVERT_ERR_NETWORK,        0               },
	{ OPEN_NET_UNREACHABLE,  CONVERT_ERR_UNREACHABLE,    ICMP_NET        },
	{ OPEN_HOST_UNREACHABLE, CONVERT_ERR_UNREACHABLE,    ICMP_HOST       },
	{ OPEN_PORT_UNREACHABLE, CONVERT_ERR_UNREACHABLE,    ICMP_PORT       },
	{ OPEN_PROHIBITED,       CONVERT_ERR_NOT_AUTHORIZED, 0               },
	{ OPEN_PROHIBITED,       CONVERT_ERR_UNREACHABLE,    ICMP_PROHIBITED },
	{ OPEN_PROHIBITED,       CONVERT_ERR_UNREACHABLE,    9               },
	{ OPEN_PROHIBITED,       CONVERT_ERR_UNREACHABLE,    10              },
	{ OPEN_NET_UNREACHABLE,  CONVERT_ERR_UNREACHABLE,    6               },
	{ OPEN_NET_UNREACHABLE,  CONVERT_ERR_UNREACHABLE,    11              },
	{ OPEN_HOST_UNREACHABLE, CONVERT_ERR_UNREACHABLE,    ICMP_ANY        },
	{ OPEN_NO_RESOURCES,     CONVERT_ERR_RESOURCES,      0               },
	{ OPEN_NO_PATH,          CONVERT_ERR_NETWORK,        0               },
	{ OPEN_RESET,            CONVERT_ERR_RESET,          0               },
	{ OPEN_PROTOCOL_ERROR,   CONVERT_ERR_MALFORMED,      0               },
};
enum { ROWS = sizeof rows / sizeof *rows };

enum open_result convert_result(uint8_t error_code, uint8_t value, uint8_t *icmp_code)
{
	*icmp_code = error_code == CONVERT_ERR_UNREACHABLE ? value : 0;
	for (unsigned i = 0; i < ROWS; i++) {
		if (rows[i].code != error_code)
			continue;
		if (error_code != CONVERT_ERR_UNREACHABLE || rows[i].value == value || rows[i].value == ICMP_ANY)
			return rows[i].result;
	}
	return OPEN_PROTOCOL_ERROR;
}

void convert_error_of(enum open_result result, uint8_t icmp_code, uint8_t *error_code, uint8_t *value)
{
	*error_code = CONVERT_ERR_MALFORMED;
	*value = 0;
	for (unsigned i = 0; i < ROWS; i++)
		if (rows[i].result == result) {
			*error_code = rows[i].code;
			*value = rows[i].value;
			break;
		}
	/* The code the network gave is passed on, where it means the same result to the reader. */
	if (icmp_code) {
		uint8_t ignored;

		if (convert_result(CONVERT_ERR_UNREACHABLE, icmp_code, &ignored) == result) {
			*error_code = CONVERT_ERR_UNREACHABLE;
			*value = icmp_code;
		}
	}
}

/*
 * RFC 8803 6.2.5: kind, length and value each; EOL and NOP, which have no length, do not stand here, zeros fill the last word.
 */
static enum err connect_options_parse(struct rd *r, struct convert_message *out)
{
	while (rd_left(r)) {
		uint8_t kind = rd_u8(r), len;

		if (kind == TCP_KIND_EOL) {
			while (rd_left(r))
				if (rd_u8(r))
					return ERR_MALFORMED;
			break;
		}
		len = rd_u8(r);
		if (r->bad || kind == TCP_KIND_NOP || len < 2)
			return ERR_MALFORMED;
		rd_sub(r, len - 2u);
		if (r->bad)
			return ERR_MALFORMED;
		if (out->option_count < CONVERT_OPTIONS_MAX)
			out->options[out->option_count++] = kind;
	}
	return ERR_OK;
}

/*
 * RFC 8803 6.2.5, Connect: type 10 | length 5 words or more | remote peer port 16 | remote peer IPv6 address 128 |
 * TCP options (extended form)
 */
static enum err connect_parse(struct rd *r, struct convert_message *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	uint8_t ip[16];
	struct addr *d = &out->destination;

	*d = (struct addr){ 0 };
	d->port = rd_u16(r);
	rd_copy(r, ip, sizeof ip);
	if (r->bad)
		return ERR_MALFORMED;
	if (!memcmp(ip, mapped, sizeof mapped)) {
		d->family = 4;
		memcpy(d->ip, ip + 12, 4);
	} else {
		d->family = 6;
		memcpy(d->ip, ip, 16);
	}
	return connect_options_parse(r, out);
}

static enum err supported_parse(struct rd *r, struct convert_message *out)
{
	rd_u16(r);
	while (rd_left(r))
		if (rd_u8(r) == TCP_KIND_MPTCP)
			out->supports_mptcp = true;
	return r->bad ? ERR_MALFORMED : ERR_OK;
}

static enum err error_parse(struct rd *r, struct convert_message *out)
{
	out->error_code = rd_u8(r);
	out->error_value = rd_u8(r);
	return r->bad ? ERR_MALFORMED : ERR_OK;
}

static enum err tlv_parse(uint8_t type, struct rd *body, struct convert_message *out)
{
	switch (type) {
	case CONVERT_CONNECT:
		out->connect = true;
		return connect_parse(body, out);
	case CONVERT_ERROR:
		out->error = true;
		return error_parse(body, out);
	case CONVERT_SUPPORTED:
		return supported_parse(body, out);
	case CONVERT_INFO:
		out->info = true;
		return ERR_OK;
	case CONVERT_EXTENDED_HEADER:
	case CONVERT_COOKIE:
		return ERR_OK;
	default:
		return ERR_UNKNOWN;
	}
}

enum err convert_parse(struct rd *r, struct convert_message *out)
{
	uint8_t version, words, seen[256 / 8] = { 0 };
	uint16_t magic;
	struct rd tlvs;

	*out = (struct convert_message){ 0 };
	version = rd_u8(r);
	words = rd_u8(r);
	magic = rd_u16(r);
	if (r->bad)
		return ERR_TRUNCATED;
	/* RFC 8803 6.1: a total length of zero or a magic number that is wrong ends the connection. */
	if (words == 0 || magic != CONVERT_MAGIC)
		return ERR_MALFORMED;
	out->header = true;
	out->version = version;
	out->total_bytes = (uint16_t)(words * 4);
	if (version != CONVERT_VERSION)
		return ERR_MALFORMED;
	tlvs = rd_sub(r, (size_t)words * 4 - 4);
	if (tlvs.bad)
		return ERR_TRUNCATED;
	while (rd_left(&tlvs)) {
		uint8_t type = rd_u8(&tlvs), len = rd_u8(&tlvs);
		struct rd body;
		enum err e;

		if (tlvs.bad || len == 0)
			return ERR_MALFORMED;
		body = rd_sub(&tlvs, (size_t)len * 4 - 2);
		if (body.bad)
			return ERR_MALFORMED;
		/* RFC 8803 6.2.1: each TLV appears at most once. */
		if (seen[type / 8] & 1u << type % 8)
			return ERR_MALFORMED;
		seen[type / 8] |= (uint8_t)(1u << type % 8);
		out->tlvs++;
		e = tlv_parse(type, &body, out);
		if (e != ERR_OK)
			return e;
	}
	return ERR_OK;
}

static void header_emit(struct wr *w, uint8_t words)
{
	wr_u8(w, CONVERT_VERSION);
	wr_u8(w, words);
	wr_u16(w, CONVERT_MAGIC);
}

void convert_emit_connect(struct wr *w, const struct addr *destination)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	header_emit(w, 6);
	wr_u8(w, CONVERT_CONNECT);
	wr_u8(w, 5);
	wr_u16(w, destination->port);
	if (destination->family == 6) {
		wr_bytes(w, destination->ip, 16);
	} else {
		wr_bytes(w, mapped, sizeof mapped);
		wr_bytes(w, destination->ip, 4);
	}
}

void convert_emit_error(struct wr *w, uint8_t code, uint8_t value)
{
	header_emit(w, 2);
	wr_u8(w, CONVERT_ERROR);
	wr_u8(w, 1);
	wr_u8(w, code);
	wr_u8(w, value);
}

void convert_emit_answer(struct wr *w, enum open_result result, uint8_t icmp_code)
{
	uint8_t code, value;

	if (result == OPEN_OK) {
		header_emit(w, 1);
		return;
	}
	convert_error_of(result, icmp_code, &code, &value);
	convert_emit_error(w, code, value);
}

void convert_emit_supported(struct wr *w)
{
	header_emit(w, 3);
	wr_u8(w, CONVERT_SUPPORTED);
	wr_u8(w, 2);
	wr_u16(w, 0);
	wr_u8(w, TCP_KIND_MPTCP);
	wr_u24(w, 0);
}

/* RFC 8803 6.2.8, figure 23: type 30 | length | code | 0 | the message that triggered the error, as far as there is room. */
static void echo_emit(struct wr *w, uint8_t code, const uint8_t *bytes, size_t len)
{
	size_t room = wr_left(w) < CONVERT_MAX ? wr_left(w) : CONVERT_MAX, padded;

	room = room < 8 ? 0 : (room - 8) & ~(size_t)3;
	if (len > room)
		len = room;
	padded = (len + 3) & ~(size_t)3;
	header_emit(w, (uint8_t)(2 + padded / 4));
	wr_u8(w, CONVERT_ERROR);
	wr_u8(w, (uint8_t)(1 + padded / 4));
	wr_u8(w, code);
	wr_u8(w, 0);
	wr_bytes(w, bytes, len);
	for (; len < padded; len++)
		wr_u8(w, 0);
}

/* RFC 8803 6.2.8: the first kind stands in the Value field, the others behind it, zeros fill the last word. */
static void options_emit(struct wr *w, const struct convert_message *m)
{
	unsigned words = (m->option_count + 2u) / 4;

	header_emit(w, (uint8_t)(2 + words));
	wr_u8(w, CONVERT_ERROR);
	wr_u8(w, (uint8_t)(1 + words));
	wr_u8(w, CONVERT_ERR_OPTION);
	for (unsigned i = 0; i < 1 + 4 * words; i++)
		wr_u8(w, i < m->option_count ? m->options[i] : 0);
}

bool convert_emit_refusal(struct wr *w, const struct convert_message *m, enum err parsed, const uint8_t *bytes, size_t len)
{
	if (len > m->total_bytes)
		len = m->total_bytes;
	/* RFC 8803 6: a header alone asks for nothing; it is as no Convert message. */
	if (!m->header || (parsed == ERR_OK && !m->tlvs))
		return false;
	if (m->version != CONVERT_VERSION)
		convert_emit_error(w, CONVERT_ERR_VERSION, CONVERT_VERSION);
	else if (parsed == ERR_UNKNOWN)
		echo_emit(w, CONVERT_ERR_UNSUPPORTED, bytes, len);
	else if (parsed != ERR_OK)
		echo_emit(w, CONVERT_ERR_MALFORMED, bytes, len);
	else if (m->connect && m->option_count)
		options_emit(w, m);
	else if (m->connect)
		convert_emit_error(w, CONVERT_ERR_RESOURCES, 0);
	else if (m->info)
		convert_emit_supported(w);
	else /* what only a converter says */
		echo_emit(w, CONVERT_ERR_UNSUPPORTED, bytes, len);
	return true;
}
