/* SPDX-License-Identifier: MIT */
/* Options and segments <-> bytes. What the script leaves out (keys, HMACs, checksums, timestamps) is put in here. */
#include "tests/script/script.h"

#include <string.h>

#include "tunneld/mptcp/convert.h"
#include "tunneld/mptcp/token.h"
#include "tunneld/wire/checksum.h"
#include "tunneld/wire/tcp_option.h"

uint8_t stream_byte(bool ours, unsigned conn, uint64_t dsn)
{
	return (uint8_t)(dsn * 31 + (dsn >> 8) * 7 + (ours ? 0x40 : 0xa0) + conn);
}

static checksum_t stream_sum(bool ours, unsigned conn, uint64_t dsn, size_t len)
{
	static uint8_t bytes[UINT16_MAX];

	for (size_t i = 0; i < len; i++)
		bytes[i] = stream_byte(ours, conn, dsn + i);
	return checksum_partial(bytes, len);
}

void conn_learn_keys(unsigned conn)
{
	struct script_conn *c = &w.conns[conn];

	if (c->our_key_known)
		token_of_key(c->our_key, &c->our_token, &c->our_idsn);
	token_of_key(c->peer_key, &c->peer_token, &c->peer_idsn);
}

static const struct script_conn *conn_of(unsigned sub) { return &w.conns[w.subs[sub].conn]; }

static uint64_t number_of(const struct option *o, enum option_word word, uint64_t otherwise)
{
	const struct field *f = option_field(o, word);

	return f && f->kind == VALUE_NUMBER ? f->v : otherwise;
}

static uint64_t key_of(const struct script_conn *c, const struct field *f)
{
	switch (f->kind) {
	case VALUE_US:
		if (!c->our_key_known)
			bad_script("our key is not known yet");
		return c->our_key;
	case VALUE_PEER:
		return c->peer_key;
	case VALUE_BAD:
		return c->our_key ^ 0xbad;
	default:
		return f->v;
	}
}

/* --- writing --- */

static void capable_write(const struct option *o, unsigned sub, struct mptcp_option *out)
{
	const struct script_conn *c = conn_of(sub);
	const struct field *f;

	out->subtype = MP_CAPABLE;
	out->capable.version = (uint8_t)number_of(o, WORD_v, 1);
	out->capable.flags = (uint8_t)number_of(o, WORD_flags, MPC_HMAC_SHA256);
	for (unsigned i = 0; i < o->field_count; i++)
		if (o->fields[i].word == WORD_key) {
			uint64_t key = key_of(c, &o->fields[i]);

			if (out->capable.keys++)
				out->capable.receiver_key = key;
			else
				out->capable.sender_key = key;
		}
	f = option_field(o, WORD_len);
	out->capable.has_length = f;
	out->capable.data_len = f ? (uint16_t)f->v : 0;
	if ((f = option_field(o, WORD_csum))) {
		out->capable.has_checksum = true;
		out->capable.checksum = f->kind == VALUE_NUMBER ? (uint16_t)f->v :
			dss_checksum(dsn_add(c->peer_idsn, 1).v, 1, out->capable.data_len,
				     stream_sum(false, w.subs[sub].conn, 1, out->capable.data_len));
		if (f->kind == VALUE_BAD)
			out->capable.checksum ^= 0x0bad;
	}
	if (out->capable.has_length)
		w.subs[sub].map_in = 0;
}

static void join_write(const struct option *o, unsigned sub, struct mptcp_option *out)
{
	struct script_sub *s = &w.subs[sub];
	const struct script_conn *c = conn_of(sub);
	const struct field *f;
	uint8_t hmac[32];

	out->subtype = MP_JOIN;
	out->join.form = option_field(o, WORD_ack) ? JOIN_ACK : option_field(o, WORD_synack) ? JOIN_SYNACK : JOIN_SYN;
	out->join.backup = option_field(o, WORD_backup);
	out->join.addr_id = (uint8_t)number_of(o, WORD_id, 0);
	f = option_field(o, WORD_token);
	out->join.token = !f ? c->our_token : f->kind == VALUE_PEER ? c->peer_token : f->kind == VALUE_BAD ? c->our_token ^ 0xbad :
			  f->kind == VALUE_NUMBER ? (uint32_t)f->v : c->our_token;
	s->peer_nonce = (uint32_t)number_of(o, WORD_nonce, s->peer_nonce);
	out->join.nonce = s->peer_nonce;
	token_join_hmac(c->peer_key, c->our_key, s->peer_nonce, s->our_nonce, hmac);
	memcpy(out->join.hmac, hmac, sizeof out->join.hmac);
	f = option_field(o, WORD_hmac);
	if (f && f->kind == VALUE_BAD)
		out->join.hmac[3] ^= 0x40;
}

static void dss_write(const struct option *o, unsigned sub, struct mptcp_option *out)
{
	const struct script_conn *c = conn_of(sub);
	const struct field *f;
	uint64_t dsn = 0;

	out->subtype = DSS;
	for (unsigned i = 0; i < o->field_count; i++) {
		f = &o->fields[i];
		switch (f->word) {
		case WORD_dack:
		case WORD_dack4:
		case WORD_dack8:
			out->dss.has_ack = true;
			out->dss.ack_is_64 = f->word != WORD_dack4;
			out->dss.data_ack = dsn_add(c->our_idsn, f->v).v;
			if (!out->dss.ack_is_64)
				out->dss.data_ack = (uint32_t)out->dss.data_ack;
			break;
		case WORD_dsn:
		case WORD_dsn4:
		case WORD_dsn8:
			dsn = f->v;
			out->dss.has_map = true;
			out->dss.dsn_is_64 = f->word != WORD_dsn4;
			out->dss.dsn = dsn_add(c->peer_idsn, dsn).v;
			if (!out->dss.dsn_is_64)
				out->dss.dsn = (uint32_t)out->dss.dsn;
			break;
		case WORD_ssn:
			out->dss.ssn = (uint32_t)f->v;
			break;
		case WORD_len:
			out->dss.len = (uint16_t)f->v;
			break;
		case WORD_fin:
			out->dss.data_fin = true;
			break;
		default:
			break;
		}
	}
	if (out->dss.has_map && out->dss.ssn)
		w.subs[sub].map_in = dsn - out->dss.ssn;
	if ((f = option_field(o, WORD_csum))) {
		size_t bytes = (size_t)(out->dss.len - (out->dss.data_fin && out->dss.len));

		out->dss.has_checksum = true;
		out->dss.checksum = f->kind == VALUE_NUMBER ? (uint16_t)f->v :
			dss_checksum(dsn_add(c->peer_idsn, dsn).v, out->dss.ssn, out->dss.len,
				     stream_sum(false, w.subs[sub].conn, dsn, bytes));
		if (f->kind == VALUE_BAD)
			out->dss.checksum ^= 0x0bad;
	}
}

static void add_addr_write(const struct option *o, unsigned sub, struct mptcp_option *out)
{
	const struct script_conn *c = conn_of(sub);
	const struct field *f = option_field(o, WORD_addr);

	if (!f)
		bad_script("add_addr needs an address");
	out->subtype = ADD_ADDR;
	out->add_addr.echo = option_field(o, WORD_echo);
	out->add_addr.addr_id = (uint8_t)number_of(o, WORD_id, 0);
	out->add_addr.addr = f->addr;
	out->add_addr.has_port = f->addr.port;
	f = option_field(o, WORD_hmac);
	out->add_addr.hmac = token_add_addr_hmac(c->peer_key, c->our_key, out->add_addr.addr_id, &out->add_addr.addr,
						 out->add_addr.has_port);
	if (f && f->kind == VALUE_NUMBER)
		out->add_addr.hmac = f->v;
	if (f && f->kind == VALUE_BAD)
		out->add_addr.hmac ^= 0xbad;
}

static void mptcp_write(const struct option *o, unsigned sub, struct mptcp_option *out)
{
	const struct script_conn *c = conn_of(sub);
	const struct field *f;

	*out = (struct mptcp_option){ 0 };
	switch ((enum option_name)o->name) {
	case NAME_mp_capable:
		capable_write(o, sub, out);
		return;
	case NAME_mp_join:
		join_write(o, sub, out);
		return;
	case NAME_dss:
		dss_write(o, sub, out);
		return;
	case NAME_add_addr:
		add_addr_write(o, sub, out);
		return;
	case NAME_remove_addr:
		out->subtype = REMOVE_ADDR;
		for (unsigned i = 0; i < o->field_count && i < ADDR_ID_MAX; i++)
			out->remove_addr.ids[out->remove_addr.count++] = (uint8_t)o->fields[i].v;
		return;
	case NAME_mp_prio:
		out->subtype = MP_PRIO;
		out->prio.backup = option_field(o, WORD_backup);
		out->prio.has_max_rto = option_field(o, WORD_rto);
		out->prio.max_rto_ms = (uint32_t)number_of(o, WORD_rto, 0);
		return;
	case NAME_mp_fail:
		out->subtype = MP_FAIL;
		out->fail.dsn = dsn_add(c->our_idsn, number_of(o, WORD_dsn, 0));
		return;
	case NAME_mp_fastclose:
		out->subtype = MP_FASTCLOSE;
		f = option_field(o, WORD_key);
		out->fastclose.receiver_key = f ? key_of(c, f) : c->our_key;
		return;
	case NAME_mp_tcprst:
		out->subtype = MP_TCPRST;
		out->tcprst.reason = (uint8_t)number_of(o, WORD_reason, 0);
		out->tcprst.transient = option_field(o, WORD_transient);
		return;
	case NAME_fault:
		out->subtype = FAULT_ANNOUNCE;
		out->fault.cause = (uint8_t)number_of(o, WORD_cause, 0);
		out->fault.src_addr_id = (uint8_t)number_of(o, WORD_src, 0);
		out->fault.dst_addr_id = (uint8_t)number_of(o, WORD_dst, 0);
		out->fault.transient = option_field(o, WORD_transient);
		if ((f = option_field(o, WORD_middlebox)))
			out->fault.middlebox = f->addr;
		return;
	case NAME_uperf:
		out->subtype = MP_EXPERIMENTAL;
		out->experiment = EXPERIMENT_UPERF;
		out->uperf.max_rto_ms = (uint32_t)number_of(o, WORD_n, 0);
		return;
	case NAME_carried:
		out->subtype = MP_EXPERIMENTAL;
		out->experiment = EXPERIMENT_CARRIED;
		out->carried.serial = (uint8_t)number_of(o, WORD_serial, 0);
		out->carried.keep_idle_s = (uint16_t)number_of(o, WORD_idle, 0);
		out->carried.keep_interval_s = (uint16_t)number_of(o, WORD_interval, 0);
		out->carried.keep_count = (uint8_t)number_of(o, WORD_count, 0);
		out->carried.tos = (uint8_t)number_of(o, WORD_tos, 0);
		return;
	default:
		bad_script("this option cannot be sent");
	}
}

/* What a translated script does not see of the SYNs: its numbers are as if they carried nothing. */
static uint32_t hidden(uint32_t bytes) { return w.translated ? bytes : 0; }

void options_to_sealed(struct option_list *l)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < l->count; i++) {
		struct option *o = &l->o[i];

		if (o->name == NAME_TS)
			continue; /* the seal replaces them */
		for (unsigned k = 0; k < o->field_count; k++)
			if (o->fields[k].word == WORD_dack4 || o->fields[k].word == WORD_dack8)
				o->fields[k].word = WORD_dack;
			else if (o->fields[k].word == WORD_dsn4 || o->fields[k].word == WORD_dsn8)
				o->fields[k].word = WORD_dsn;
		l->o[kept++] = *o;
	}
	l->count = (uint8_t)kept;
}

static void option_write(struct wr *to, const struct option *o, unsigned sub)
{
	struct script_sub *s = &w.subs[sub];
	struct mptcp_option m;

	switch ((enum option_name)o->name) {
	case NAME_mss:
		wr_u8(to, TCP_KIND_MSS);
		wr_u8(to, 4);
		wr_u16(to, (uint16_t)number_of(o, WORD_n, 0));
		return;
	case NAME_sackOK:
		wr_u8(to, TCP_KIND_SACK_OK);
		wr_u8(to, 2);
		return;
	case NAME_wscale:
		wr_u8(to, TCP_KIND_WSCALE);
		wr_u8(to, 3);
		wr_u8(to, (uint8_t)number_of(o, WORD_n, 0));
		return;
	case NAME_TS:
		wr_u8(to, TCP_KIND_TIMESTAMP);
		wr_u8(to, 10);
		wr_u32(to, (uint32_t)number_of(o, WORD_val, 1000 + w.now / USEC_PER_MS));
		wr_u32(to, (uint32_t)number_of(o, WORD_ecr, s->ts_last));
		return;
	case NAME_sack:
		wr_u8(to, TCP_KIND_SACK);
		wr_u8(to, (uint8_t)(2 + 8 * o->field_count));
		for (unsigned i = 0; i < o->field_count; i++) {
			wr_u32(to, s->our_iss + (uint32_t)o->fields[i].v + hidden(s->syn_out));
			wr_u32(to, s->our_iss + (uint32_t)o->fields[i].end + hidden(s->syn_out));
		}
		return;
	case NAME_uto:
		wr_u8(to, TCP_KIND_USER_TIMEOUT);
		wr_u8(to, 4);
		wr_u16(to, (uint16_t)number_of(o, WORD_n, 0));
		return;
	case NAME_nop:
		wr_u8(to, TCP_KIND_NOP);
		return;
	case NAME_eol:
		wr_u8(to, TCP_KIND_EOL);
		return;
	case NAME_raw:
		for (unsigned i = 0; i < o->field_count; i++)
			wr_bytes(to, o->fields[i].hex, o->fields[i].hex_len);
		return;
	default:
		mptcp_write(o, sub, &m);
		mptcp_option_emit(to, &m);
	}
}

static void convert_write(struct wr *to, const struct seg_line *l)
{
	switch (l->convert) {
	case CONVERT_ASK:
		convert_emit_connect(to, &l->destination);
		break;
	case CONVERT_OK:
		convert_emit_answer(to, OPEN_OK, 0);
		break;
	case CONVERT_FAIL:
		convert_emit_error(to, l->convert_code, 0);
		break;
	case CONVERT_RAW:
		wr_bytes(to, l->raw, l->raw_len);
		break;
	case CONVERT_NONE:
		break;
	}
}

size_t convert_bytes(const struct seg_line *l, uint8_t *out, size_t size)
{
	struct wr to = wr_of(out, size);

	convert_write(&to, l);
	return wr_len(&to);
}

size_t segment_bytes(const struct seg_line *l, unsigned sub, uint8_t *out, size_t size)
{
	struct script_sub *s = &w.subs[sub];
	struct wr to = wr_of(out, size), options;
	uint8_t *head, option_bytes[64], *payload;
	size_t before;

	if (w.config.form == SEGMENT_SEALED) {
		wr_u16(&to, s->remote_port);
		wr_u16(&to, s->local_port);
	}
	options = wr_of(option_bytes, sizeof option_bytes);
	for (unsigned i = 0; i < l->options.count; i++)
		option_write(&options, &l->options.o[i], sub);
	while (wr_len(&options) & 3)
		wr_u8(&options, TCP_KIND_NOP);
	if (options.bad || wr_len(&options) > TCP_OPTIONS_MAX)
		bad_script("options need %zu bytes, and there are 40", wr_len(&options));
	head = wr_room(&to, 2);
	if (!head)
		bad_script("no room for a header");
	head[0] = (uint8_t)((5 + wr_len(&options) / 4) << 4);
	head[1] = l->flags;
	wr_u16(&to, (uint16_t)(l->has_win ? l->win : 65535));
	wr_u32(&to, s->peer_iss + (uint32_t)l->seq + (l->flags & TCP_SYN ? 0 : hidden(s->syn_in)));
	wr_u32(&to, l->has_ack ? s->our_iss + (uint32_t)l->ack + (l->ack > 0 ? hidden(s->syn_out) : 0) : 0);
	wr_bytes(&to, option_bytes, wr_len(&options));
	before = wr_len(&to);
	convert_write(&to, l);
	if (l->convert && l->flags & TCP_SYN)
		s->syn_in = (uint32_t)(wr_len(&to) - before);
	if (wr_len(&to) - before > l->len)
		bad_script("the Convert message has %zu bytes", wr_len(&to) - before);
	payload = wr_room(&to, l->len - (wr_len(&to) - before));
	for (uint32_t i = (uint32_t)(l->len - (size_t)(to.at - payload)), at = i; payload && i < l->len; i++) {
		uint64_t ssn = (uint64_t)(l->seq + i) - (w.translated ? 0 : s->syn_in);

		payload[i - at] = stream_byte(false, s->conn, ssn + s->map_in);
		if (l->fill_bad)
			payload[i - at] ^= 0xff;
	}
	if (to.bad)
		bad_script("a segment of more than %zu bytes", size);
	return wr_len(&to);
}

/* --- reading --- */

static int64_t relative32(uint32_t v, uint32_t base) { return (int32_t)(v - base); }

static uint64_t relative_dsn(uint64_t v, bool is_64, struct dsn base)
{
	return (is_64 ? v : dsn_promote((uint32_t)v, base).v) - base.v;
}

static void key_seen(struct option *o, const struct script_conn *c, uint64_t key)
{
	if (c->our_key_known && key == c->our_key)
		option_add(o, WORD_key, VALUE_US, 0);
	else if (key == c->peer_key)
		option_add(o, WORD_key, VALUE_PEER, 0);
	else
		option_add(o, WORD_key, VALUE_NUMBER, key);
}

static void csum_seen(struct option *o, unsigned sub, uint64_t dsn, uint32_t ssn, uint16_t len, bool fin, uint16_t value)
{
	const struct script_conn *c = conn_of(sub);
	size_t bytes = (size_t)(len - (fin && len));

	if (!len)
		option_add(o, WORD_csum, VALUE_NUMBER, value);
	else
		option_add(o, WORD_csum, dss_checksum_ok(dsn_add(c->our_idsn, dsn).v, ssn, len,
							 stream_sum(true, w.subs[sub].conn, dsn, bytes), value) ?
			   VALUE_GOOD : VALUE_BAD, 0);
}

static void capable_seen(struct option *o, unsigned sub, const struct mptcp_option *m)
{
	struct script_conn *c = &w.conns[w.subs[sub].conn];

	if (m->capable.keys && !c->our_key_known) {
		c->our_key = m->capable.sender_key;
		c->our_key_known = true;
		conn_learn_keys(w.subs[sub].conn);
	}
	if (m->capable.version != 1)
		option_add(o, WORD_v, VALUE_NUMBER, m->capable.version);
	if (m->capable.flags != MPC_HMAC_SHA256)
		option_add(o, WORD_flags, VALUE_NUMBER, m->capable.flags);
	if (m->capable.keys)
		key_seen(o, c, m->capable.sender_key);
	if (m->capable.keys > 1)
		key_seen(o, c, m->capable.receiver_key);
	if (m->capable.has_length) {
		option_add(o, WORD_len, VALUE_NUMBER, m->capable.data_len);
		w.subs[sub].map_out = 0;
	}
	if (m->capable.has_checksum)
		csum_seen(o, sub, 1, 1, m->capable.data_len, false, m->capable.checksum);
}

static void join_seen(struct option *o, unsigned sub, const struct mptcp_option *m)
{
	struct script_sub *s = &w.subs[sub];
	const struct script_conn *c = conn_of(sub);
	size_t hmac_len = m->join.form == JOIN_ACK ? 20 : 8;
	uint8_t hmac[32];

	if (m->join.form != JOIN_ACK)
		s->our_nonce = m->join.nonce;
	option_add(o, m->join.form == JOIN_SYN ? WORD_syn : m->join.form == JOIN_ACK ? WORD_ack : WORD_synack, VALUE_NONE, 0);
	if (m->join.backup)
		option_add(o, WORD_backup, VALUE_NONE, 0);
	if (m->join.form != JOIN_ACK)
		option_add(o, WORD_id, VALUE_NUMBER, m->join.addr_id);
	if (m->join.form == JOIN_SYN) {
		bool right = m->join.token == c->peer_token;

		option_add(o, WORD_token, right ? VALUE_PEER : VALUE_NUMBER, right ? 0 : m->join.token);
	} else {
		token_join_hmac(c->our_key, c->peer_key, s->our_nonce, s->peer_nonce, hmac);
		option_add(o, WORD_hmac, memcmp(hmac, m->join.hmac, hmac_len) ? VALUE_BAD : VALUE_GOOD, 0);
	}
	if (m->join.form != JOIN_ACK)
		option_add(o, WORD_nonce, VALUE_NUMBER, m->join.nonce);
}

static void dss_seen(struct option *o, unsigned sub, const struct mptcp_option *m)
{
	const struct script_conn *c = conn_of(sub);
	uint64_t dsn;

	if (m->dss.has_ack)
		option_add(o, m->dss.ack_is_64 ? WORD_dack8 : WORD_dack4, VALUE_NUMBER,
			   relative_dsn(m->dss.data_ack, m->dss.ack_is_64, c->peer_idsn));
	if (m->dss.has_map) {
		dsn = relative_dsn(m->dss.dsn, m->dss.dsn_is_64, c->our_idsn);
		option_add(o, m->dss.dsn_is_64 ? WORD_dsn8 : WORD_dsn4, VALUE_NUMBER, dsn);
		option_add(o, WORD_ssn, VALUE_NUMBER, m->dss.ssn);
		option_add(o, WORD_len, VALUE_NUMBER, m->dss.len);
		if (m->dss.has_checksum)
			csum_seen(o, sub, dsn, m->dss.ssn, m->dss.len, m->dss.data_fin, m->dss.checksum);
		if (m->dss.ssn)
			w.subs[sub].map_out = dsn - m->dss.ssn;
	}
	if (m->dss.data_fin)
		option_add(o, WORD_fin, VALUE_NONE, 0);
}

static void add_addr_seen(struct option *o, unsigned sub, const struct mptcp_option *m)
{
	const struct script_conn *c = conn_of(sub);
	struct field *f;
	uint64_t hmac = token_add_addr_hmac(c->our_key, c->peer_key, m->add_addr.addr_id, &m->add_addr.addr, m->add_addr.has_port);

	if (m->add_addr.echo)
		option_add(o, WORD_echo, VALUE_NONE, 0);
	option_add(o, WORD_id, VALUE_NUMBER, m->add_addr.addr_id);
	option_add(o, WORD_addr, VALUE_ADDR, 0);
	f = &o->fields[o->field_count - 1];
	f->addr = m->add_addr.addr;
	if (!m->add_addr.has_port)
		f->addr.port = 0;
	if (!m->add_addr.echo)
		option_add(o, WORD_hmac, hmac == m->add_addr.hmac ? VALUE_GOOD : VALUE_BAD, 0);
}

static void mptcp_seen(struct option *o, unsigned sub, const struct mptcp_option *m)
{
	const struct script_conn *c = conn_of(sub);

	switch (m->subtype) {
	case MP_CAPABLE:
		o->name = NAME_mp_capable;
		capable_seen(o, sub, m);
		break;
	case MP_JOIN:
		o->name = NAME_mp_join;
		join_seen(o, sub, m);
		break;
	case DSS:
		o->name = NAME_dss;
		dss_seen(o, sub, m);
		break;
	case ADD_ADDR:
		o->name = NAME_add_addr;
		add_addr_seen(o, sub, m);
		break;
	case REMOVE_ADDR:
		o->name = NAME_remove_addr;
		for (unsigned i = 0; i < m->remove_addr.count; i++)
			option_add(o, WORD_id, VALUE_NUMBER, m->remove_addr.ids[i]);
		break;
	case MP_PRIO:
		o->name = NAME_mp_prio;
		if (m->prio.backup)
			option_add(o, WORD_backup, VALUE_NONE, 0);
		if (m->prio.has_max_rto)
			option_add(o, WORD_rto, VALUE_NUMBER, m->prio.max_rto_ms);
		break;
	case MP_FAIL:
		o->name = NAME_mp_fail;
		option_add(o, WORD_dsn, VALUE_NUMBER, m->fail.dsn.v - c->peer_idsn.v);
		break;
	case MP_FASTCLOSE:
		o->name = NAME_mp_fastclose;
		key_seen(o, c, m->fastclose.receiver_key);
		break;
	case MP_TCPRST:
		o->name = NAME_mp_tcprst;
		option_add(o, WORD_reason, VALUE_NUMBER, m->tcprst.reason);
		if (m->tcprst.transient)
			option_add(o, WORD_transient, VALUE_NONE, 0);
		break;
	case FAULT_ANNOUNCE:
		o->name = NAME_fault;
		option_add(o, WORD_cause, VALUE_NUMBER, m->fault.cause);
		option_add(o, WORD_src, VALUE_NUMBER, m->fault.src_addr_id);
		option_add(o, WORD_dst, VALUE_NUMBER, m->fault.dst_addr_id);
		if (m->fault.transient)
			option_add(o, WORD_transient, VALUE_NONE, 0);
		if (m->fault.middlebox.family) {
			option_add(o, WORD_middlebox, VALUE_ADDR, 0);
			o->fields[o->field_count - 1].addr = m->fault.middlebox;
		}
		break;
	default:
		if (m->experiment == EXPERIMENT_CARRIED) {
			o->name = NAME_carried;
			option_add(o, WORD_serial, VALUE_NUMBER, m->carried.serial);
			option_add(o, WORD_idle, VALUE_NUMBER, m->carried.keep_idle_s);
			option_add(o, WORD_interval, VALUE_NUMBER, m->carried.keep_interval_s);
			option_add(o, WORD_count, VALUE_NUMBER, m->carried.keep_count);
			option_add(o, WORD_tos, VALUE_NUMBER, m->carried.tos);
			break;
		}
		o->name = NAME_uperf;
		option_add(o, WORD_n, VALUE_NUMBER, m->uperf.max_rto_ms);
		break;
	}
}

static void raw_seen(struct option *o, const uint8_t *p, size_t length)
{
	struct field *f;

	o->name = NAME_raw;
	option_add(o, WORD_hex, VALUE_HEX, 0);
	f = &o->fields[0];
	f->hex_len = (uint8_t)(length < sizeof f->hex ? length : sizeof f->hex);
	memcpy(f->hex, p, f->hex_len);
}

static void option_seen(struct option *o, unsigned sub, const uint8_t *p, size_t length)
{
	struct script_sub *s = &w.subs[sub];
	struct rd r = rd_of(p, length);
	struct mptcp_option m;

	if (p[0] == TCP_KIND_MPTCP && mptcp_option_parse(&r, &m) == ERR_OK) {
		mptcp_seen(o, sub, &m);
	} else if (p[0] == TCP_KIND_MSS && length == 4) {
		o->name = NAME_mss;
		option_add(o, WORD_n, VALUE_NUMBER, be_get16(p + 2) + hidden(4)); /* ports are inside */
	} else if (p[0] == TCP_KIND_SACK_OK && length == 2) {
		o->name = NAME_sackOK;
	} else if (p[0] == TCP_KIND_WSCALE && length == 3) {
		o->name = NAME_wscale;
		option_add(o, WORD_n, VALUE_NUMBER, p[2]);
	} else if (p[0] == TCP_KIND_USER_TIMEOUT && length == 4) {
		o->name = NAME_uto;
		option_add(o, WORD_n, VALUE_NUMBER, be_get16(p + 2));
	} else if (p[0] == TCP_KIND_TIMESTAMP && length == 10) {
		o->name = NAME_TS;
		s->ts_last = be_get32(p + 2);
		option_add(o, WORD_val, VALUE_NUMBER, s->ts_last);
		option_add(o, WORD_ecr, VALUE_NUMBER, be_get32(p + 6));
	} else if (p[0] == TCP_KIND_SACK && length >= 10 && length % 8 == 2) {
		o->name = NAME_sack;
		for (size_t i = 2; i < length; i += 8) {
			option_add(o, WORD_block, VALUE_BLOCK, (uint64_t)relative32(be_get32(p + i), s->peer_iss + hidden(s->syn_in)));
			o->fields[o->field_count - 1].end = (uint64_t)relative32(be_get32(p + i + 4), s->peer_iss + hidden(s->syn_in));
		}
	} else {
		raw_seen(o, p, length);
	}
}

static void options_seen(struct option_list *l, unsigned sub, const uint8_t *p, const uint8_t *end)
{
	l->given = true;
	while (p < end && l->count < OPTIONS_MAX) {
		struct option *o = &l->o[l->count++];
		size_t length = p[0] <= TCP_KIND_NOP ? 1 : end - p < 2 ? 1 : p[1];

		if (p[0] == TCP_KIND_NOP)
			o->name = NAME_nop;
		else if (p[0] == TCP_KIND_EOL)
			o->name = NAME_eol;
		else if (length < 2 || length > (size_t)(end - p))
			fail("a segment of ours has an option that does not end");
		else
			option_seen(o, sub, p, length);
		p += length;
	}
}

const char *segment_seen(const struct pending *p, unsigned sub, struct seg_line *out)
{
	struct script_sub *s = &w.subs[sub];
	const uint8_t *b = p->bytes + (w.config.form == SEGMENT_SEALED ? 4 : 0), *end = p->bytes + p->len, *payload;
	uint32_t seq = be_get32(b + 4);

	*out = (struct seg_line){ .flags = b[1], .win = be_get16(b + 2), .has_win = true, .path = p->path, .has_path = true };
	payload = b + 12 + 4 * ((b[0] >> 4) - 5);
	out->len = (uint32_t)(end - payload);
	if (out->flags & TCP_SYN && !s->our_iss_known) {
		s->our_iss = seq;
		s->our_iss_known = true;
	}
	out->seq = relative32(seq, s->our_iss);
	out->has_ack = out->flags & TCP_ACK;
	out->ack = relative32(be_get32(b + 8), s->peer_iss);
	options_seen(&out->options, sub, b + 12, payload);
	if (out->flags & TCP_SYN) {
		s->syn_out = out->len;
		out->raw_len = (uint16_t)(out->len < sizeof out->raw ? out->len : sizeof out->raw);
		memcpy(out->raw, payload, out->raw_len);
		if (w.translated)
			out->len = 0;
		out->ack -= out->ack > 0 ? hidden(s->syn_in) : 0;
		return NULL;
	}
	for (uint32_t i = 0; i < out->len; i++) {
		uint64_t ssn = (uint64_t)(out->seq + i) - s->syn_out;

		if (out->seq + i > s->syn_out && payload[i] != stream_byte(true, s->conn, ssn + s->map_out))
			return "payload: not the bytes that the application wrote at that data sequence number";
	}
	out->seq -= out->seq > 0 ? hidden(s->syn_out) : 0;
	out->ack -= out->ack > 0 ? hidden(s->syn_in) : 0;
	return NULL;
}

void segment_print_line(const struct seg_line *l, FILE *to)
{
	static const struct { uint8_t flag; char letter; } letters[] = {
		{ TCP_SYN, 'S' }, { TCP_FIN, 'F' }, { TCP_RST, 'R' }, { TCP_PSH, 'P' }, { TCP_ECE, 'E' }, { TCP_CWR, 'W' },
		{ TCP_ACK, '.' },
	};

	for (unsigned i = 0; i < sizeof letters / sizeof *letters; i++)
		if (l->flags & letters[i].flag)
			fputc(letters[i].letter, to);
	fprintf(to, " %lld:%lld(%u)", (long long)l->seq, (long long)(l->seq + l->len), l->len);
	if (l->has_ack)
		fprintf(to, " ack %lld", (long long)l->ack);
	fprintf(to, " win %u ", l->win);
	options_print(&l->options, to);
	if (l->raw_len)
		fprintf(to, " convert raw ");
	for (unsigned i = 0; i < l->raw_len; i++)
		fprintf(to, "%02x", l->raw[i]);
}
