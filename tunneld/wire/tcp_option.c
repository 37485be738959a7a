/* SPDX-License-Identifier: MIT */
#include "tunneld/wire/tcp_option.h"

#include <assert.h>

enum err tcp_option_parse(struct tcp_options *out, const uint8_t *bytes, size_t length)
{
	size_t blocks;

	assert(length >= 2);
	switch (bytes[0]) {
	case TCP_KIND_TIMESTAMP: /* RFC 7323 3.2 */
		if (length != 10)
			return ERR_MALFORMED;
		out->ts_val = be_get32(bytes + 2);
		out->ts_ecr = be_get32(bytes + 6);
		out->has |= OPT_TIMESTAMP;
		return ERR_OK;
	case TCP_KIND_SACK: /* RFC 2018 3 */
		blocks = (length - 2) / 8;
		if (length != 2 + 8 * blocks || blocks < 1 || blocks > SACK_BLOCKS_MAX)
			return ERR_MALFORMED;
		for (size_t i = 0; i < blocks; i++) {
			out->sack[i].start = ssn_of(be_get32(bytes + 2 + 8 * i));
			out->sack[i].end = ssn_of(be_get32(bytes + 6 + 8 * i));
		}
		out->sack_count = (uint8_t)blocks;
		out->has |= OPT_SACK;
		return ERR_OK;
	case TCP_KIND_MSS: /* RFC 9293 3.7.1 */
		if (length != 4)
			return ERR_MALFORMED;
		out->mss = be_get16(bytes + 2);
		out->has |= OPT_MSS;
		return ERR_OK;
	case TCP_KIND_WSCALE: /* RFC 7323 2.2 */
		if (length != 3)
			return ERR_MALFORMED;
		out->wscale = bytes[2];
		out->has |= OPT_WSCALE;
		return ERR_OK;
	case TCP_KIND_SACK_OK: /* RFC 2018 2 */
		if (length != 2)
			return ERR_MALFORMED;
		out->has |= OPT_SACK_OK;
		return ERR_OK;
	case TCP_KIND_USER_TIMEOUT: /* RFC 5482 3.3 */
		if (length != 4)
			return ERR_MALFORMED;
		out->user_timeout = be_get16(bytes + 2);
		out->has |= OPT_USER_TIMEOUT;
		return ERR_OK;
	default:
		return ERR_UNKNOWN;
	}
}

size_t tcp_options_size(const struct tcp_options *o)
{
	size_t size = 0;

	if (o->has & OPT_MSS)
		size += 4;
	if (o->has & OPT_TIMESTAMP)
		size += 12; /* SACK-permitted, if any, stands in its padding */
	else if (o->has & OPT_SACK_OK)
		size += 4;
	if (o->has & OPT_WSCALE)
		size += 4;
	if (o->has & OPT_SACK && o->sack_count)
		size += 4 + 8u * o->sack_count;
	if (o->has & OPT_USER_TIMEOUT)
		size += 4;
	return size;
}

static uint8_t *put4(uint8_t *p, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	p[0] = a;
	p[1] = b;
	p[2] = c;
	p[3] = d;
	return p + 4;
}

void tcp_options_emit(struct wr *w, const struct tcp_options *o)
{
	uint8_t *p;

	if (!o->has)
		return;
	assert(o->sack_count <= SACK_BLOCKS_MAX);
	p = wr_room(w, tcp_options_size(o));
	if (!p)
		return;
	if (o->has & OPT_MSS) {
		p = put4(p, TCP_KIND_MSS, 4, (uint8_t)(o->mss >> 8), (uint8_t)o->mss);
	}
	if (o->has & OPT_TIMESTAMP) {
		if (o->has & OPT_SACK_OK)
			p = put4(p, TCP_KIND_SACK_OK, 2, TCP_KIND_TIMESTAMP, 10);
		else
			p = put4(p, TCP_KIND_NOP, TCP_KIND_NOP, TCP_KIND_TIMESTAMP, 10);
		be_put32(p, o->ts_val);
		be_put32(p + 4, o->ts_ecr);
		p += 8;
	} else if (o->has & OPT_SACK_OK) {
		p = put4(p, TCP_KIND_NOP, TCP_KIND_NOP, TCP_KIND_SACK_OK, 2);
	}
	if (o->has & OPT_WSCALE)
		p = put4(p, TCP_KIND_NOP, TCP_KIND_WSCALE, 3, o->wscale);
	if (o->has & OPT_SACK && o->sack_count) {
		p = put4(p, TCP_KIND_NOP, TCP_KIND_NOP, TCP_KIND_SACK, (uint8_t)(2 + 8 * o->sack_count));
		for (unsigned i = 0; i < o->sack_count; i++, p += 8) {
			be_put32(p, o->sack[i].start.v);
			be_put32(p + 4, o->sack[i].end.v);
		}
	}
	if (o->has & OPT_USER_TIMEOUT)
		p = put4(p, TCP_KIND_USER_TIMEOUT, 4, (uint8_t)(o->user_timeout >> 8), (uint8_t)o->user_timeout);
	assert(p == w->at);
}
