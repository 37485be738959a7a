/* SPDX-License-Identifier: MIT */
/* Data acknowledgements, mappings and payload, DATA_FIN; what the application read. RFC 8684 3.3. */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"
#include "tunneld/mptcp/token.h"
#include "tunneld/wire/checksum.h"

enum {
	
	UNMAPPED_MAX = 64,               /* segments in a row at the front without a mapping: RST, RFC 8684 3.3.1 */
	UNMAPPED_PLAIN_MAX = 6,          /* there every segment of a new peer's has its mapping */
};

/* --- data acknowledgements --- */

void conn_free_acked(struct conn *c)
{
	struct dsn low = c->snd_una;

	/* RFC 8684 3.3.1: kept until it is acknowledged as data and on every subflow it was sent on. */
	for (uint8_t i = 0; i < c->sub_count; i++) {
		low = dsn_min(low, sent_map_lowest(&c->subs[i]->sent, low));
		if (conn_map_left(c->subs[i]))
			low = dsn_min(low, conn_map_next(c->subs[i]));
	}
	send_queue_free_to(&c->queue, &c->engine->pool, low);
}

/*
 * RFC 8684 3.3.4: one window for all, so another subflow need not wait until its own peer tells it, or its persist timer asks.
 * RFC 8684 3.3.5: but where a middlebox may hold less, only what stands still altogether is told.
 */
static void share_window(struct conn *c, const struct sub *told)
{
	bool sealed = c->engine->config.form == SEGMENT_SEALED;

	for (uint8_t i = 0; i < c->sub_count; i++) {
		struct subflow *sf = &c->subs[i]->sf;
		uint32_t in_flight = subflow_in_flight_seq(sf);

		if (c->subs[i] == told || in_flight < sf->snd_wnd || (in_flight && !sealed) || sf->snd_wnd >= c->snd_wnd)
			continue;
		count(c->engine->counters, CNT_SndWndShared);
		subflow_window_told(sf, c->snd_wnd);
	}
}

void conn_send_progress(struct conn *c, const struct sub *told, struct dsn una, usec_t now_us)
{
	struct dsn edge = dsn_add(una, c->snd_wnd);

	if (dsn_lt(c->snd_edge, edge)) {
		c->snd_edge = edge;
		c->zero_window_us = USEC_NEVER;
		c->zero_window_tries = 0;
		share_window(c, told);
	}
	if (!dsn_lt(c->snd_una, dsn_min(una, c->queue.end)))
		return;
	c->snd_una = dsn_min(una, c->queue.end);
	c->una_us = now_us;
	if (c->abort_us != USEC_NEVER && !dsn_lt(c->snd_una, c->abort_at))
		c->abort_us = now_us;
	c->stuck_us = USEC_NEVER;
	c->stuck_tries = 0;
	c->fin_tries = 0;
	if (c->close_us != USEC_NEVER && c->state != M_TIME_WAIT)
		c->close_us = usec_add(now_us, c->engine->config.close_timeout_us);
	conn_tune_send(c);
	if (c->short_write && conn_room(c) >= conn_send_limit(c) / 4) {
		c->short_write = false;
		if (!c->orphan && !c->shutdown)
			c->tell |= TELL_ROOM;
	}
}

void conn_data_acked(struct conn *c, const struct sub *s, const struct segment *seg, uint64_t value, bool is_64, usec_t now_us)
{
	struct dsn ack = is_64 ? dsn_of(value) : dsn_promote((uint32_t)value, c->snd_una);
	struct dsn most = dsn_add(c->snd_nxt, c->fin_sent ? 1 : 0);

	/* RFC 8684 3.3.1: a sanity test, because a wrong promotion must not free what was not received. */
	if (dsn_lt(most, ack)) {
		count(c->engine->counters, CNT_DataAckBeyondSent);
		return;
	}
	c->snd_wnd = (uint32_t)seg->window << s->sf.snd_wscale;
	conn_send_progress(c, s, ack, now_us);
	if (c->fin_sent && !c->fin_acked && dsn_lt(c->queue.end, ack)) {
		c->fin_acked = true;
		/* In M_FASTCLOSE_WAIT it is MP_FASTCLOSE's clock. */
		if (c->state != M_FASTCLOSE_WAIT)
			c->fin_resend_us = USEC_NEVER;
		conn_input_close(c, IN_DATA_FIN_ACKED, now_us);
	}
}

/* --- received data --- */

void conn_check_data_fin(struct conn *c, usec_t now_us)
{
	if (!c->peer_fin || c->peer_fin_in_order || !dsn_eq(c->reorder.ready, c->peer_fin_dsn))
		return;
	c->peer_fin_in_order = true;
	conn_input_close(c, IN_DATA_FIN, now_us);
}

void conn_data_progress(struct conn *c, usec_t now_us)
{
	(void)now_us;
	/* After a SYN cookie: the host does not know the connection before its EV_DIALLED. */
	if (c->orphan || c->dialling)
		return;
	if (reorder_waiting(&c->reorder)) {
		if (!c->offered)
			c->tell |= TELL_DATA;
	} else if (c->peer_fin_in_order && !c->eof_told) {
		c->tell |= TELL_EOF;
	}
	if (c->host_done && (c->eof_told || c->tell & TELL_EOF))
		c->tell |= TELL_CLOSED;
}

static void data_fin(struct sub *s, struct dsn at, usec_t now_us)
{
	struct conn *c = s->conn;

	/*
	 * Each is answered, a repeated one too: our DATA_ACK may have been lost. But not each of one that waits for its data: where the
	 * answer has a DATA_FIN that waits as well, the ends would answer one another without end.
	 */
	if (!c->peer_fin || c->peer_fin_in_order || !dsn_eq(c->peer_fin_dsn, at))
		subflow_ack_now(&s->sf);
	if (c->peer_fin) {
		if (!dsn_eq(c->peer_fin_dsn, at))
			count(c->engine->counters, CNT_DssNotMatching);
		return;
	}
	/* RFC 8684 3.3: what is outside of the window means nothing. */
	if (dsn_lt(at, c->reorder.ready) || dsn_lt(c->rcv_edge, at)) {
		count(c->engine->counters, CNT_NoDSSInWindow);
		return;
	}
	c->peer_fin = true;
	c->peer_fin_dsn = at;
	conn_check_data_fin(c, now_us);
}

/* Unwrapped relative ssn of a sequence number near rcv_nxt: the SYN is 0, its payload does not count (RFC 8684 B). */
uint64_t conn_relative_in(const struct sub *s, struct ssn seq)
{
	return s->sf.rcv_off + (uint64_t)(int64_t)ssn_diff(seq, s->sf.rcv_nxt) - s->syn_data_in;
}

/* Until a checksum is verified, nothing that it covers is ready. */
static void hold(struct conn *c)
{
	struct dsn lowest = { 0 }, at;
	bool any = false;

	for (uint8_t i = 0; i < c->sub_count; i++)
		if (mappings_check_lowest(&c->subs[i]->mappings, &at)) {
			lowest = any ? dsn_min(lowest, at) : at;
			any = true;
		}
	if (c->failing)
		lowest = any ? dsn_min(lowest, c->fail_dsn) : c->fail_dsn;
	reorder_hold(&c->reorder, any || c->failing, lowest);
}

void conn_unverified_gone(struct sub *s)
{
	struct conn *c = s->conn;
	const struct mappings *m = &s->mappings;

	for (uint16_t k = 0; k < m->check_count; k++)
		if (!m->check[k].done)
			reorder_discard(&c->reorder, m->check[k].open, dsn_add(m->check[k].map.dsn, m->check[k].map.len));
	if (m->check_count) {
		mappings_close(&s->mappings);
		hold(c);
	}
}

/* Reduces n to the stretch from seq on that has come before as a whole, or not at all. True: it has. */
static bool had(const struct sub *s, struct ssn seq, uint32_t *n)
{
	uint64_t at = s->sf.rcv_off + (uint64_t)(int64_t)ssn_diff(seq, s->sf.rcv_nxt);

	if (at < s->sf.rcv_off) {
		if (s->sf.rcv_off - at < *n)
			*n = (uint32_t)(s->sf.rcv_off - at);
		return true;
	}
	for (uint32_t i = 0; i < s->sf.ooo.count; i++) {
		const struct range *r = &s->sf.ooo.at[i];

		if (r->end <= at)
			continue;
		if (r->start > at) {
			if (r->start - at < *n)
				*n = (uint32_t)(r->start - at);
			return false;
		}
		if (r->end - at < *n)
			*n = (uint32_t)(r->end - at);
		return true;
	}
	return false;
}

/* What of a new mapping has come already, under others. False: that cannot be known any more. */
static bool sum_what_came(struct sub *s, const struct mapping *map)
{
	uint64_t rcv = conn_relative_in(s, s->sf.rcv_nxt);

	for (uint32_t off = 0, n; off < map->len; off += n) {
		struct ssn seq = ssn_add(s->sf.rcv_nxt, (uint32_t)(map->ssn + off - rcv));

		n = map->len - off;
		if (!had(s, seq, &n))
			continue;
		for (uint32_t done = 0; done < n;) {
			size_t len;
			const uint8_t *bytes = reorder_peek(&s->conn->reorder, dsn_add(map->dsn, off + done), &len);

			if (!bytes)
				return false;
			if (len > n - done)
				len = n - done;
			mappings_check_sum(&s->mappings, map->ssn + off + done, bytes, (uint32_t)len);
			done += (uint32_t)len;
		}
	}
	return true;
}

/* RFC 8684 3.3.1: a checksum covers the whole mapping. Here, where this segment has all of it; else when all has come. */
static enum map_verdict verify(struct sub *s, const struct segment *seg, const struct mapping *map, uint16_t len, uint16_t checksum)
{
	uint64_t here = conn_relative_in(s, seg->seq);
	bool news;

	if (!map->len)
		return dss_checksum_ok(map->dsn.v, 0, len, 0, checksum) ? MAP_OK : MAP_CORRUPT; /* a DATA_FIN alone */
	if (map->ssn >= here && map->ssn + map->len <= here + seg->payload_len)
		return dss_checksum_ok(map->dsn.v, (uint32_t)map->ssn, len,
				       checksum_partial(seg->payload + (map->ssn - here), map->len), checksum) ? MAP_OK : MAP_CORRUPT;
	if (map->ssn + map->len <= conn_relative_in(s, s->sf.rcv_nxt))
		return MAP_OK; /* a copy of what has come */
	/* All of it came by another way, which answered for it; and the application has it: there is nothing to sum any more. */
	if (dsn_leq(dsn_add(map->dsn, map->len), s->conn->reorder.ready))
		return MAP_OK;
	if (mappings_check_add(&s->mappings, map, len, checksum, &news) != ERR_OK) {
		count(s->conn->engine->counters, CNT_DssNotMatching);
		return MAP_UNUSABLE;
	}
	if (news && !sum_what_came(s, map)) {
		mappings_check_undo(&s->mappings);
		count(s->conn->engine->counters, CNT_DssNotMatching);
		return MAP_UNUSABLE;
	}
	return MAP_OK;
}

/* What has come of mappings that are longer than a segment. */
static enum pay_verdict verify_rest(struct sub *s, usec_t now_us)
{
	struct conn *c = s->conn;
	const struct map_check *k;

	while ((k = mappings_check_next(&s->mappings))) {
		struct map_check was = *k;

		if (dss_checksum_ok(was.map.dsn.v, (uint32_t)was.map.ssn, was.total, was.sum, was.checksum))
			continue;
		/* It stays where it is if TCP goes on from here, else it is forgotten. */
		if (!conn_may_fall_back(s))
			reorder_discard(&c->reorder, was.open, dsn_add(was.map.dsn, was.map.len));
		if (conn_corrupt(s, was.map.dsn, now_us))
			return PAY_GONE;
		break;
	}
	hold(c);
	return PAY_OK;
}

/*
 * Bytes that come again by another way count in place of those that still wait for their checksum: a subflow that died
 * in the middle of a mapping, or is slow, would else hold up what was reinjected because of that.
 */
static void supersede(struct sub *s, uint64_t ssn, struct dsn from, uint32_t len)
{
	struct conn *c = s->conn;
	struct dsn first;
	struct mapping old;

	for (uint8_t i = 0; i < c->sub_count; i++)
		while (mappings_check_supersede(&c->subs[i]->mappings, c->subs[i] == s ? ssn : UINT64_MAX, from, dsn_add(from, len), &old))
			reorder_discard(&c->reorder, old.dsn, dsn_add(old.dsn, old.len));
	/* What is there already was brought by another, who answers for it. */
	first = dsn_max(from, c->reorder.next);
	if (dsn_lt(first, dsn_add(from, len)))
		mappings_check_brings(&s->mappings, ssn, first);
	hold(c);
}

/* The mapping a segment declares; len 0: none. */
enum map_verdict conn_mapping_declared(struct sub *s, const struct segment *seg, struct mapping *out, usec_t now_us)
{
	const struct mptcp_option *dss = segment_mptcp(seg, DSS), *mpc = segment_mptcp(seg, MP_CAPABLE);
	struct conn *c = s->conn;
	enum map_verdict verdict = MAP_OK;
	bool has_checksum;
	uint16_t value, len;
	uint32_t fin = 0;

	*out = (struct mapping){ 0 };
	if (dss && dss->dss.has_map) {
		struct dsn dsn = dss->dss.dsn_is_64 ? dsn_of(dss->dss.dsn) :
						      dsn_promote((uint32_t)dss->dss.dsn, c->reorder.next);

		fin = dss->dss.data_fin;
		c->peer_dsn64 = dss->dss.dsn_is_64;
		if (dss->dss.len == 0) {
			count(c->engine->counters, CNT_InfiniteMapRx);
			return MAP_INFINITE;
		}
		has_checksum = dss->dss.has_checksum;
		value = dss->dss.checksum;
		len = dss->dss.len;
		out->dsn = dsn;
		out->len = len - fin;
		/* Nearest unwrapped number to where this segment stands. */
		if (out->len) {
			uint64_t here = conn_relative_in(s, seg->seq);

			out->ssn = here + (uint64_t)(int64_t)(int32_t)(dss->dss.ssn - (uint32_t)here);
		}
	} else if (mpc && mpc->capable.has_length) {
		struct dsn first;
		uint32_t token;

		/* RFC 8684 3.1: MP_CAPABLE with a length stands for the mapping of the first data. */
		c->peer_dsn64 = c->engine->config.form == SEGMENT_PLAIN; /* it names no width; Linux takes it for the long one */
		token_of_key(c->remote_key, &token, &first);
		has_checksum = mpc->capable.has_checksum;
		value = mpc->capable.checksum;
		len = mpc->capable.data_len;
		out->dsn = dsn_add(first, 1);
		out->ssn = 1;
		out->len = len;
	} else {
		return MAP_OK;
	}
	s->mapped = true;
	if (has_checksum != c->checksum) {
		/* RFC 8684 3.3: a checksum that was not agreed on, or one that is missing */
		count(c->engine->counters, CNT_DSSCorruptionReset);
		return MAP_BAD;
	}
	if (c->checksum)
		verdict = verify(s, seg, out, len, value);
	if (fin && verdict == MAP_OK)
		data_fin(s, dsn_add(out->dsn, out->len), now_us);
	return verdict;
}

/* A segment that covers less than its mapping: the rest of the mapping is for later ones. */
void conn_mapping_remember(struct sub *s, const struct segment *seg, struct mapping *map)
{
	uint64_t here = conn_relative_in(s, seg->seq);

	if (!map->len || (map->ssn >= here && map->ssn + map->len <= here + seg->payload_len))
		return;
	if (mappings_add(&s->mappings, map) != ERR_OK) {
		count(s->conn->engine->counters, CNT_DssNotMatching);
		map->len = 0;
	}
}

static uint64_t ooo_reserve(const struct conn *c) { return c->engine->pool.bank->max_bytes / 8; }

/*
 * The last eighth is for those whose application reads: else streams that nobody reads fill the pool with what they were promised
 * when there was plenty, and all others stand still with them. What is refused comes again.
 */
static bool unread(const struct conn *c)
{
	return page_pool_free(&c->engine->pool) < ooo_reserve(c) && reorder_waiting(&c->reorder) >= PAGE_SIZE_BYTES;
}

/* Takes one mapped stretch of payload. Returns how many bytes were kept (and may be acknowledged). */
static uint32_t take(struct sub *s, struct dsn dsn, const uint8_t *bytes, uint32_t len)
{
	struct conn *c = s->conn;
	struct counters *k = c->engine->counters;
	struct dsn end = dsn_add(dsn, len), limit = c->rcv_edge;
	size_t fresh;

	if (c->peer_fin && dsn_lt(c->peer_fin_dsn, limit))
		limit = c->peer_fin_dsn;
	if (dsn_lt(limit, end)) {
		count(k, CNT_NoDSSInWindow);
		if (dsn_leq(limit, dsn))
			return 0;
		end = limit;
		len = (uint32_t)dsn_diff(end, dsn);
	}
	if (unread(c)) {
		count(k, CNT_ReorderUnread);
		return 0;
	}
	if (reorder_insert(&c->reorder, &c->engine->pool, dsn, bytes, len, ooo_reserve(c), &fresh) != ERR_OK) {
		count(k, CNT_ReorderFull);
		return 0;
	}
	if (fresh < len)
		count(k, CNT_DuplicateData);
	return len;
}

enum pay_verdict conn_payload(struct sub *s, const struct subflow_facts *f, const struct mapping *now_declared, usec_t now_us, bool *fin)
{
	struct conn *c = s->conn;
	struct ssn seq = f->payload_seq;
	const uint8_t *at = f->payload_at;
	uint32_t left = f->payload_len;
	struct dsn before = c->reorder.ready;
	bool checked = c->reorder.held || s->mappings.check_count;

	while (left) {
		uint64_t ssn = conn_relative_in(s, seq);
		/* RFC 8684 3.3.1: what was declared once stays, whatever a later segment says of the same bytes. */
		const struct mapping *m = mappings_find(&s->mappings, ssn);
		struct mapping linear;
		uint32_t n, kept;
		bool fresh;

		if (c->failing)
			break; /* RFC 8684 3.7: discarded, until the peer answers our MP_FAIL */
		if (c->fallen) {
			linear = conn_fallen_mapping(s, ssn, left);
			m = &linear;
		} else if (!m && now_declared->len && ssn >= now_declared->ssn && ssn < now_declared->ssn + now_declared->len) {
			m = now_declared;
		}
		if (!m) {
			/*
			 * Unlike RFC 8684 3.3.1 unmapped data is not acknowledged: it comes again with its mapping, and until then it
			 * takes no memory. At the front, where a mapping can no longer come, it counts towards a RST.
			 */
			count(c->engine->counters, CNT_DSSNoMatch);
			if (ssn_eq(seq, s->sf.rcv_nxt) &&
			    ++s->unmapped_segs > (c->engine->config.form == SEGMENT_SEALED ? UNMAPPED_MAX : UNMAPPED_PLAIN_MAX))
				return PAY_RESET;
			break;
		}
		n = (uint32_t)(m->ssn + m->len - ssn);
		if (n > left)
			n = left;
		fresh = s->mappings.check_count && !had(s, seq, &n);
		if (checked)
			supersede(s, ssn, dsn_add(m->dsn, ssn - m->ssn), n);
		kept = take(s, dsn_add(m->dsn, ssn - m->ssn), at, n);
		if (kept) {
			bool f_in = false;

			s->unmapped_segs = 0;
			pm_join_useful(s);
			if (fresh)
				mappings_check_sum(&s->mappings, ssn, at, kept);
			if (subflow_received(&s->sf, seq, kept, now_us, &f_in) && f_in)
				*fin = true;
		}
		if (kept < n)
			break;
		seq = ssn_add(seq, n);
		at += n;
		left -= n;
	}
	if (left)
		subflow_ack_now(&s->sf);
	if (s->mappings.check_count && verify_rest(s, now_us) == PAY_GONE)
		return PAY_GONE;
	if (s->mappings.count || s->mappings.check_count)
		mappings_done(&s->mappings, conn_relative_in(s, s->sf.rcv_nxt));
	if (!dsn_eq(before, c->reorder.ready)) {
		c->bytes_received += (uint64_t)dsn_diff(c->reorder.ready, before);
		conn_check_data_fin(c, now_us);
		conn_data_progress(c, now_us);
	}
	return PAY_OK;
}

/* --- the application read --- */

void conn_consumed(struct conn *c, size_t len, usec_t now_us)
{
	int64_t opened_by, left;

	reorder_consumed(&c->reorder, &c->engine->pool, len);
	c->offered = false;
	conn_tune_receive(c, now_us);
	conn_update_rcv_edge(c);
	conn_data_progress(c, now_us);
	/* RFC 9293 3.8.6.2.2: tell the peer when it is worth while, at once when it may be standing still. */
	opened_by = dsn_diff(c->rcv_edge, c->rcv_told);
	left = dsn_diff(c->rcv_told, c->reorder.ready);
	if (opened_by > 0 && ((uint64_t)opened_by >= c->rcv_limit / 4 || (left < 4096 && opened_by >= 4096))) {
		struct sub *s = c->last_rcv;

		for (uint8_t i = 0; (!s || conn_sub_avoid(s)) && i < c->sub_count; i++)
			if (conn_sub_usable(c->subs[i]) && (!s || !conn_sub_avoid(c->subs[i])))
				s = c->subs[i];
		if (s) {
			subflow_ack_now(&s->sf);
			s->want_out = true;
		}
	}
}
