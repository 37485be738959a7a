/* SPDX-License-Identifier: MIT */
/*
 * Our side of RFC 8684 3.3.1: which mapping stands on which segment. A mapping may cover many segments, so the 20 bytes that
 * it and a DATA_ACK take are not paid on each. What goes out together on one subflow gets one mapping; the first two
 * segments of it carry it (the second in case the first is lost), and every eighth, the others nothing. Between two of us
 * only: without checksums, which cover a whole mapping, and in sealed form.
 */
#include "tunneld/mptcp/conn_internal.h"

#include "tunneld/mptcp/engine_state.h"

enum { MAP_SEGS_MAX = 40, MAP_BYTES_MAX = 60000, COPIES_FIRST = 2, COPY_EVERY = 8 };

uint32_t conn_map_left(const struct sub *s)
{
	int32_t left = ssn_diff(ssn_add(s->map.seq, s->map.len), s->sf.snd_nxt);

	return s->map.len && left > 0 ? (uint32_t)left : 0;
}

struct dsn conn_map_next(const struct sub *s)
{
	return dsn_add(s->map.dsn, (uint32_t)ssn_diff(s->sf.snd_nxt, s->map.seq));
}

static bool may_be_long(const struct sub *s)
{
	const struct conn *c = s->conn;

	return c->engine->config.form == SEGMENT_SEALED && !c->checksum && !conn_keys_owed(s) && c->fully && s->stage == SUB_LIVE;
}

static bool carries_map(const struct sub *s)
{
	return s->map.segs < COPIES_FIRST || s->map.segs % COPY_EVERY == 0;
}

/* How much goes out in one piece now, in whole segments: what is declared is to be sent at once, not to wait for an ACK. */
static uint32_t piece(const struct sub *s, uint32_t len, uint32_t with_map, usec_t now_us)
{
	uint32_t most = subflow_burst(&s->sf, now_us), at = 0, segs = 0;

	if (most > MAP_BYTES_MAX)
		most = MAP_BYTES_MAX;
	while (at < len && segs < MAP_SEGS_MAX) {
		uint32_t one = s->sf.snd_mss - (segs < COPIES_FIRST || segs % COPY_EVERY == 0 ? with_map : 0);

		if (segs && at + one > most)
			break;
		at += one;
		segs++;
	}
	return at < len ? at : len;
}

uint32_t conn_map_begin(struct sub *s, struct dsn from, uint32_t *len, usec_t now_us)
{
	const struct conn *c = s->conn;
	uint32_t room = conn_options_room(s), left = conn_map_left(s);

	if (!left) {
		s->map.seq = s->sf.snd_nxt;
		s->map.dsn = from;
		s->map.len = s->map.segs = 0;
		if (!may_be_long(s) || *len <= s->sf.snd_mss - room)
			return room;
		left = s->map.len = piece(s, *len, room, now_us);
	}
	if (!dsn_eq(conn_map_next(s), from)) { /* its rest must go first, and cannot now */
		*len = 0;
		return room;
	}
	if (*len > left)
		*len = left;
	/* The last segment says DATA_FIN with a mapping of its own. */
	if (carries_map(s) || (c->shutdown && *len <= s->sf.snd_mss) || conn_announce_room(s))
		return room;
	return conn_ack_news(c) ? conn_ack_room(c) : 0;
}

bool conn_map_may_miss(const struct sub *s)
{
	return s->conn->engine->config.form == SEGMENT_SEALED && !s->conn->checksum;
}

void conn_map_put(struct sub *s, struct segment *seg, const struct subflow_data *d, bool fin)
{
	struct conn *c = s->conn;
	uint32_t room = s->sf.snd_mss - d->len;
	struct subflow_data whole = *d;
	bool covered = !d->retransmission && s->map.len && ssn_lt(d->seq, ssn_add(s->map.seq, s->map.len));

	if (conn_map_may_miss(s) && segment_options_size(seg) + conn_options_room(s) > room) {
		/* Its mapping went before, and went twice. */
		if (!d->retransmission && conn_ack_news(c))
			conn_option_data_ack(s, seg);
		s->map.segs = (uint16_t)(s->map.segs + covered);
		return;
	}
	if (covered && !carries_map(s) && !fin && conn_announce_room(s)) {
		/* Its mapping went twice: what is told of a fault takes its place, for beside it there is no room for an IPv6 address. */
		if (conn_ack_news(c))
			conn_option_data_ack(s, seg);
		s->map.segs++;
		conn_announce_put(s, seg, d);
		return;
	}
	if (covered && carries_map(s) && !fin) {
		whole.seq = s->map.seq;
		whole.tag = s->map.dsn.v;
		whole.len = s->map.len;
	}
	s->map.segs = (uint16_t)(s->map.segs + covered);
	conn_option_mapping(s, seg, &whole, fin);
	conn_announce_put(s, seg, d);
}
