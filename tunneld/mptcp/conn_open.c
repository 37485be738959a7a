/* SPDX-License-Identifier: MIT */
/* How a connection begins: MP_CAPABLE, the Convert exchange, and segments that belong to no subflow. RFC 8684 3.1. */
#include "tunneld/mptcp/conn.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"
#include "tunneld/mptcp/convert.h"
#include "tunneld/mptcp/syn_cookie.h"
#include "tunneld/mptcp/token.h"

#include <assert.h>

enum {
	REFUSED_LINGER_US = 10 * 1000 * 1000,
	HALF_OPEN_MAX = 256,             /* or a quarter of what may be open: beyond it SYNs are answered with cookies */
};

void conn_half_open_over(struct sub *s)
{
	if (s->half_open)
		s->conn->engine->half_open--;
	s->half_open = false;
}

static bool flooded(const struct engine *e)
{
	uint32_t most = e->config.connections_max / 4;

	return e->config.form == SEGMENT_PLAIN && e->half_open >= (most < HALF_OPEN_MAX ? most : HALF_OPEN_MAX);
}

static void opened(struct conn *c, struct sub *s, usec_t now_us)
{
	unsigned what;
	bool ok = conn_step(&c->state, IN_OPENED, &what);

	assert(ok);
	(void)ok;
	s->stage = SUB_LIVE;
	conn_half_open_over(s);
	conn_mode_live(s, now_us);
	conn_keepalive_begin(s, now_us);
	c->opened_us = now_us;
	c->open_deadline_us = USEC_NEVER;
	c->round_us = now_us;
	c->snd_edge = dsn_add(c->snd_una, s->sf.snd_wnd);
	c->snd_wnd = s->sf.snd_wnd;
	count(c->engine->counters, CNT_MPCurrEstab);
	/* A destination that speaks first was told "no room" before the third ACK came. */
	if (c->short_write && !c->shutdown) {
		c->short_write = false;
		c->tell |= TELL_ROOM;
	}
	if (c->shutdown)
		conn_input_close(c, IN_CLOSE, now_us);
}

/*
 * RFC 8684 3.1: what must be said for us to go on with MPTCP. On the SYN: a version that is ours or higher, the lowest of the
 * crypto bits, perhaps among others; later our version and that bit alone. Nowhere B.
 */
static bool capable_syn_ok(const struct mptcp_option *mpc)
{
	return mpc && mpc->capable.keys == 0 && mpc->capable.version >= 1 && mpc->capable.flags & MPC_HMAC_SHA256 &&
	       !(mpc->capable.flags & MPC_EXTENSIBILITY);
}

static bool capable_ok(const struct mptcp_option *mpc, uint8_t keys)
{
	return mpc && mpc->capable.keys == keys && mpc->capable.version == 1 &&
	       (mpc->capable.flags & MPC_CRYPTO) == MPC_HMAC_SHA256 && !(mpc->capable.flags & MPC_EXTENSIBILITY);
}

static void client_opened(struct conn *c, struct sub *s, usec_t now_us)
{
	opened(c, s, now_us);
	c->answered = true;
	c->result = OPEN_OK;
	c->tell |= TELL_OPENED;
	subflow_ack_now(&s->sf);
}

bool conn_sub_connect(struct sub *s, usec_t now_us)
{
	struct conn *c = s->conn;
	struct subflow_config sc;

	conn_subflow_config(s, &sc, now_us);
	if (subflow_connect(&s->sf, &sc, conn_iss(s, now_us), now_us) != ERR_OK)
		return false;
	if (c->syn_data_len)
		subflow_syn_payload(&s->sf, c->syn_data_len);
	s->syn_data_out = c->syn_data_len;
	s->want_out = true;
	return true;
}

/* Client: the SYN/ACK of the first subflow. False: the connection has ended. */
bool conn_synack(struct sub *s, const struct segment *seg, usec_t now_us)
{
	struct conn *c = s->conn;
	const struct mptcp_option *mpc = segment_mptcp(seg, MP_CAPABLE);
	struct convert_message m;
	struct rd r = rd_of(seg->payload, seg->payload_len);
	bool fin;

	/* The first that is answered is the connection's; what was tried beside it is given up. */
	for (uint8_t i = c->sub_count; i-- > 0;)
		if (c->subs[i] != s)
			conn_sub_free(c->subs[i]);
	if (!capable_ok(mpc, 1)) {
		count(c->engine->counters, CNT_MPCapableFallbackSYNACK);
		if (!c->blackhole && conn_syn_is_plain(s))
			pm_mptcp_failed(c->engine, s->path, &s->remote, now_us);
		if (!conn_fall_back(s, false, now_us)) {
			conn_fail(c, OPEN_PROTOCOL_ERROR, 0, true, now_us);
			return false;
		}
		client_opened(c, s, now_us);
		return true;
	}
	if (c->syn_data_len) {
		if (convert_parse(&r, &m) != ERR_OK) {
			count(c->engine->counters, CNT_ConvertMalformed);
			conn_fail(c, OPEN_PROTOCOL_ERROR, 0, true, now_us);
			return false;
		}
		if (m.error) {
			enum open_result why = convert_result(m.error_code, m.error_value, &c->icmp_code);

			conn_fail(c, why, c->icmp_code, true, now_us);
			return false;
		}
		s->syn_data_in = m.total_bytes;
		subflow_received(&s->sf, ssn_add(seg->seq, 1), m.total_bytes, now_us, &fin);
	}
	if (s->remote.family)
		pm_mptcp_works(c->engine, s->path, &s->remote);
	c->checksum |= (mpc->capable.flags & MPC_CHECKSUM) != 0;
	/* RFC 8684 3.1, C: no further subflow to that address and port. In sealed form there is no other. */
	if (mpc->capable.flags & MPC_NO_JOIN_HERE) {
		c->no_joins = !s->remote.family;
		c->remotes[0].used = false;
	}
	conn_remote_key(c, mpc->capable.sender_key);
	client_opened(c, s, now_us);
	return true;
}

/* Gateway: the first segment that brings the client's key. */
bool conn_third_ack(struct sub *s, const struct segment *seg, usec_t now_us)
{
	struct conn *c = s->conn;
	const struct mptcp_option *mpc = segment_mptcp(seg, MP_CAPABLE);
	bool good = capable_ok(mpc, 2) && mpc->capable.receiver_key == c->local_key;

	if (!c->fallen && !good) {
		/* RFC 8684 3.7: without any option, and nothing missing before it, they were taken away. */
		bool taken = c->engine->config.form == SEGMENT_PLAIN && !seg->mptcp_count && ssn_leq(seg->seq, s->sf.rcv_nxt);

		if ((!mpc || mpc->capable.keys != 2) && !taken)
			return true; /* lost or late: the client repeats its key until it hears a DSS, RFC 8684 3.1 */
		/* RFC 8684 3.1: something in between has changed the handshake: no more of MPTCP. */
		count(c->engine->counters, mpc ? CNT_MPCapableBadKey : CNT_MPCapableFallbackACK);
		if (!conn_fall_back(s, true, now_us)) {
			conn_fail(c, OPEN_PROTOCOL_ERROR, 0, true, now_us);
			return false;
		}
	}
	if (c->fallen) {
		opened(c, s, now_us);
		return true;
	}
	if (c->orphan) { /* it was told that the dial failed */
		conn_fail(c, OPEN_REFUSED, 0, true, now_us);
		return false;
	}
	conn_remote_key(c, mpc->capable.sender_key);
	c->fully = true;
	opened(c, s, now_us);
	pm_announce(c, now_us);
	subflow_ack_now(&s->sf); /* carries a DSS: the client knows that its key has come */
	return true;
}

/* In plain form the destination is the address it came to. */
static void began_on(struct conn *c, path_id path, const struct segment *syn)
{
	const struct path *p = &c->engine->paths[path];

	c->service = p->service;
	c->no_joins_here = p->no_joins;
	c->destination = p->local;
	c->destination.port = syn->dst_port;
}

/* A SYN with that number from that port has made a connection, which is no more. */
static bool been_here(const struct engine *e, path_id path, uint16_t port, struct ssn iss)
{
	for (uint32_t i = 0; i < OLD_SYNS && i < e->old_syn_next; i++)
		if (e->old_syns[i].peer == e->paths[path].peer && e->old_syns[i].port == port && ssn_eq(e->old_syns[i].iss, iss))
			return true;
	return false;
}

/* A SYN with MP_CAPABLE: a connection begins when its destination could be dialled. */
static void accept_syn(struct engine *e, path_id path, const struct segment *seg, const struct mptcp_option *mpc, bool listening,
		       usec_t now_us)
{
	struct rd r = rd_of(seg->payload, seg->payload_len);
	bool convert = e->config.form == SEGMENT_SEALED;
	struct convert_message m = { 0 };
	enum err parsed = ERR_OK;
	struct subflow_config sc;
	struct conn *c;
	struct sub *s;
	bool fin;

	count(e->counters, mpc ? CNT_MPCapableSYNRX : CNT_SynPlain);
	/* D9 races SYNs over all paths: one may arrive after its connection has come and gone. */
	if (been_here(e, path, seg->src_port, seg->seq)) {
		count(e->counters, CNT_SynOld);
		conn_refuse_why(e, path, seg, REASON_UNSPECIFIED, false);
		return;
	}
	/* In plain form a SYN that does not ask for our MPTCP asks for TCP. RFC 8684 3.1 */
	if (!listening || (convert && !capable_syn_ok(mpc))) {
		count(e->counters, CNT_SynRefused);
		conn_refuse_why(e, path, seg, REASON_PROHIBITED, false);
		return;
	}
	if (convert)
		parsed = convert_parse(&r, &m);
	if (convert && (parsed != ERR_OK || !m.connect || m.option_count)) {
		count(e->counters, parsed == ERR_OK && m.info ? CNT_ConvertInfo : CNT_ConvertMalformed);
		if (!conn_refuse_convert(e, path, seg, &m, parsed))
			conn_refuse_why(e, path, seg, REASON_MPTCP_ERROR, false);
		return;
	}
	if (flooded(e)) {
		syn_cookie_answer(e, path, seg, capable_syn_ok(mpc),
				  e->config.checksum || (mpc && mpc->capable.flags & MPC_CHECKSUM), now_us);
		return;
	}
	c = conn_new(e, e->paths[path].peer, false, 0, now_us);
	if (!c || !(s = conn_sub_new(c, path, seg->dst_port, seg->remote, seg->src_port))) {
		if (c)
			conn_free(c);
		if (!convert || !conn_refuse_convert(e, path, seg, &m, parsed))
			conn_refuse_why(e, path, seg, REASON_NO_RESOURCES, false);
		return;
	}
	began_on(c, path, seg);
	if (convert)
		c->destination = m.destination;
	c->checksum |= capable_syn_ok(mpc) && mpc->capable.flags & MPC_CHECKSUM;
	c->open_deadline_us = usec_add(now_us, e->config.connect_timeout_us);
	conn_subflow_config(s, &sc, now_us);
	if (subflow_listen(&s->sf, &sc, conn_iss(s, now_us), seg, now_us) != ERR_OK) {
		conn_free(c);
		return;
	}
	if (!capable_syn_ok(mpc) && !conn_fall_back(s, false, now_us)) {
		conn_free(c);
		return;
	}
	if (convert) {
		s->syn_data_in = m.total_bytes;
		subflow_received(&s->sf, ssn_add(seg->seq, 1), m.total_bytes, now_us, &fin);
	} else {
		s->half_open = true;
		e->half_open++;
	}
	c->dialling = true;
	c->tell = TELL_DIAL;
	engine_ready(c);
}

/*
 * An ACK for no subflow may be the third one of a handshake with a cookie. True: it was, and now there is a connection, whose
 * destination is dialled while it is open already.
 */
static bool accept_cookie(struct engine *e, path_id path, const struct segment *seg, usec_t now_us)
{
	const struct mptcp_option *mpc = segment_mptcp(seg, MP_CAPABLE);
	struct subflow_config sc;
	struct segment syn;
	struct ssn iss;
	struct conn *c;
	struct sub *s;
	uint64_t key;

	if (!syn_cookie_check(e, path, seg, &syn, &iss, &key, now_us))
		return false;
	if (been_here(e, path, seg->src_port, syn.seq)) {
		count(e->counters, CNT_SynOld);
		return false;
	}
	if (!(c = conn_new(e, e->paths[path].peer, false, key, now_us)))
		return false;
	s = conn_sub_new(c, path, seg->dst_port, seg->remote, seg->src_port);
	if (s)
		conn_subflow_config(s, &sc, now_us);
	if (!s || subflow_listen(&s->sf, &sc, iss, &syn, now_us) != ERR_OK || !subflow_syn_was_sent(&s->sf, now_us)) {
		conn_free(c);
		return false;
	}
	began_on(c, path, seg);
	c->checksum |= mpc && mpc->capable.flags & MPC_CHECKSUM;
	c->dialling = true;
	c->tell = TELL_DIAL;
	engine_ready(c);
	conn_segment(s, path, seg, now_us);
	return true;
}

/*
 * RFC 6191 2, RFC 9293 3.6.1 (SHLD-4): a SYN with a timestamp newer than the last in TIME-WAIT is a new connection's; what is left of
 * the old one will be told by its older timestamps, or, where that had none, by having none.
 */
bool conn_time_wait_over(const struct sub *s, const struct segment *seg)
{
	if (s->conn->engine->config.form != SEGMENT_PLAIN || s->sf.state != SF_TIME_WAIT ||
	    (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN || !(seg->tcp.has & OPT_TIMESTAMP))
		return false;
	return !s->sf.ts_ok || (int32_t)(seg->tcp.ts_val - s->sf.ts_recent) > 0;
}

void conn_stranger(struct engine *e, path_id path, const struct segment *seg, bool listening, usec_t now_us)
{
	const struct mptcp_option *opt;

	if (seg->flags & TCP_RST && (opt = segment_mptcp(seg, MP_FASTCLOSE))) {
		conn_late_fastclose(e, path, opt, now_us);
		return;
	}

	if ((seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN) {
		opt = segment_mptcp(seg, MP_JOIN);
		if (opt && opt->join.form == JOIN_SYN) {
			pm_join_syn(e, path, seg, opt, now_us);
			return;
		}
		opt = segment_mptcp(seg, MP_CAPABLE);
		if (opt || (e->config.form == SEGMENT_PLAIN && listening)) {
			accept_syn(e, path, seg, opt, listening, now_us);
			return;
		}
	}
	/* Cookies are looked for only while there may be some: else every stray ACK would have its chance. */
	if (listening && e->config.form == SEGMENT_PLAIN && e->cookies_until_us > now_us &&
	    (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_ACK && accept_cookie(e, path, seg, now_us))
		return;
	count(e->counters, CNT_SegmentNoSubflow);
	conn_refuse(e, path, seg, NULL);
}

void conn_dialled(struct conn *c, enum open_result result, uint8_t icmp_code, usec_t now_us)
{
	struct wr w = wr_of(c->syn_data, sizeof c->syn_data);
	struct sub *s = c->sub_count ? c->subs[0] : NULL;

	c->dialling = false;
	c->result = result;
	engine_ready(c);
	if (result != OPEN_OK) {
		/* For the host it is over; the client is told in the SYN/ACK's payload. */
		c->orphan = true;
		c->tell = 0;
		c->open_deadline_us = usec_add(now_us, REFUSED_LINGER_US);
	} else {
		/* It may have come late; the client has its own limit. */
		c->open_deadline_us = usec_add(now_us, c->engine->config.connect_timeout_us);
	}
	if (!s) {
		if (result == OPEN_OK && c->state != M_OPENING)
			conn_data_progress(c, now_us);
		return;
	}
	if (c->engine->config.form == SEGMENT_SEALED) {
		convert_emit_answer(&w, result, icmp_code);
		c->syn_data_len = s->syn_data_out = (uint8_t)wr_len(&w);
		subflow_syn_payload(&s->sf, c->syn_data_len);
	} else if (result != OPEN_OK) {
		conn_fail(c, result, icmp_code, true, now_us);
		return;
	}
	subflow_accept(&s->sf, now_us);
	s->want_out = true;
	if (c->state != M_OPENING)
		conn_data_progress(c, now_us);
}
