/* SPDX-License-Identifier: MIT */
#include "tunneld/wire/segment.h"

#include <assert.h>

#include "tunneld/wire/tcp_option.h"

enum { PORTS = 4, FIXED = 12 /* data offset .. acknowledgement */, OFFSET_MIN = 5 };

static size_t align4(size_t n) { return (n + 3) & ~(size_t)3; }
static size_t fixed_size(enum segment_form form) { return form == SEGMENT_SEALED ? PORTS + FIXED : FIXED; }
size_t segment_header_fixed(enum segment_form form) { return fixed_size(form); }

static enum err options_parse(struct segment *out, const uint8_t *p, const uint8_t *end)
{
	while (p < end) {
		size_t length;
		enum err e;

		if (*p == TCP_KIND_NOP) {
			p++;
			continue;
		}
		if (*p == TCP_KIND_EOL)
			return ERR_OK;
		if (end - p < 2)
			return ERR_TRUNCATED;
		length = p[1];
		/*
		 * Unlike RFC 9293 3.1 (which suggests a reset): the segment is dropped, because a header
		 * that lies about itself need not come from the peer.
		 */
		if (length < 2)
			return ERR_MALFORMED;
		if (length > (size_t)(end - p))
			return ERR_TRUNCATED;
		if (*p != TCP_KIND_MPTCP) {
			e = tcp_option_parse(&out->tcp, p, length);
		} else if (out->mptcp_count == SEGMENT_MPTCP_MAX) {
			e = ERR_FULL;
		} else {
			struct rd r = rd_of(p, length);

			e = mptcp_option_parse(&r, &out->mptcp[out->mptcp_count]);
			if (e == ERR_OK)
				out->mptcp_count++;
		}
		if (e != ERR_OK)
			out->ignored++;
		p += length;
	}
	return ERR_OK;
}

enum err segment_parse(struct segment *out, const uint8_t *bytes, size_t len, enum segment_form form)
{
	const uint8_t *p = bytes;
	size_t header, offset;

	if (len < fixed_size(form))
		return ERR_TRUNCATED;
	if (form == SEGMENT_SEALED) {
		out->src_port = be_get16(p);
		out->dst_port = be_get16(p + 2);
		p += PORTS;
		len -= PORTS;
	}
	offset = p[0] >> 4; /* in words, as if all of TCP's 20 bytes were here */
	/* RFC 9293 3.1: reserved bits are ignored. URG goes with the urgent pointer, which is not here. */
	out->flags = p[1] & (uint8_t)~TCP_URG;
	out->window = be_get16(p + 2);
	out->seq = ssn_of(be_get32(p + 4));
	out->ack = ssn_of(be_get32(p + 8));
	out->mptcp_count = 0;
	out->tcp.has = 0;
	out->tcp.sack_count = 0;
	out->ignored = 0;
	if (offset < OFFSET_MIN)
		return ERR_MALFORMED;
	if ((out->flags & TCP_SYN) && (out->flags & (TCP_FIN | TCP_RST)))
		return ERR_MALFORMED;
	header = FIXED + 4 * (offset - OFFSET_MIN);
	if (header > len)
		return ERR_TRUNCATED;
	if (len - header > UINT16_MAX)
		return ERR_MALFORMED;
	out->payload = p + header;
	out->payload_len = (uint16_t)(len - header);
	return options_parse(out, p + FIXED, p + header);
}

static void mptcp_emit_padded(struct wr *w, const struct mptcp_option *opt)
{
	size_t pad;
	uint8_t *p;

	mptcp_option_emit(w, opt);
	pad = -wr_len(w) & 3;
	if (pad && (p = wr_room(w, pad)) != NULL)
		for (size_t i = 0; i < pad; i++)
			p[i] = TCP_KIND_NOP;
}

enum err segment_emit(struct wr *w, const struct segment *s, enum segment_form form)
{
	size_t fixed = fixed_size(form);
	size_t payload_len = s->payload ? s->payload_len : 0;
	struct wr options;
	uint8_t *p = w->at;
	size_t room;

	if (w->bad || wr_left(w) < fixed)
		return ERR_FULL;
	assert(s->mptcp_count <= SEGMENT_MPTCP_MAX);
	room = wr_left(w) - fixed;
	options = wr_of(p + fixed, room < TCP_OPTIONS_MAX ? room : TCP_OPTIONS_MAX);
	tcp_options_emit(&options, &s->tcp);
	for (unsigned i = 0; i < s->mptcp_count; i++)
		mptcp_emit_padded(&options, &s->mptcp[i]);
	if (options.bad || room - wr_len(&options) < payload_len)
		return ERR_FULL;
	w->at = options.at;

	if (form == SEGMENT_SEALED) {
		be_put16(p, s->src_port);
		be_put16(p + 2, s->dst_port);
		p += PORTS;
	}
	p[0] = (uint8_t)((OFFSET_MIN + wr_len(&options) / 4) << 4);
	p[1] = s->flags & (uint8_t)~TCP_URG;
	be_put16(p + 2, s->window);
	be_put32(p + 4, s->seq.v);
	be_put32(p + 8, s->ack.v);
	wr_bytes(w, s->payload, payload_len);
	return ERR_OK;
}

size_t segment_options_size(const struct segment *s)
{
	size_t size = tcp_options_size(&s->tcp);

	for (unsigned i = 0; i < s->mptcp_count; i++)
		size += align4(mptcp_option_size(&s->mptcp[i]));
	return size;
}

size_t segment_header_size(const struct segment *s, enum segment_form form)
{
	return fixed_size(form) + segment_options_size(s);
}

const struct mptcp_option *segment_mptcp(const struct segment *s, enum mptcp_subtype subtype)
{
	for (unsigned i = 0; i < s->mptcp_count; i++)
		if (s->mptcp[i].subtype == subtype)
			return &s->mptcp[i];
	return NULL;
}
