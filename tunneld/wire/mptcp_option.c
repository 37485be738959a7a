/* SPDX-License-Identifier: MIT */
#include "tunneld/wire/mptcp_option.h"

#include <assert.h>

/*
 * Each parse stands on byte 2 (subtype and its low nibble) and sees the option's bytes only; the row
 * has already bounded the length. Each emit writes from byte 2 on; kind and length come before it.
 */
struct option_row {
	const char *name;
	uint8_t min, max; /* option length, kind and length bytes included */
	enum err (*parse)(struct rd *r, struct mptcp_option *out);
	void (*emit)(struct wr *w, const struct mptcp_option *opt);
	size_t (*size)(const struct mptcp_option *opt);
};

static size_t length_of(const struct rd *r) { return rd_left(r) + 2; }

/*
 * MP_CAPABLE, RFC 8684 3.1
 *    kind 30 | length | subtype 0 (4 bits) | version (4) | A B C D E F G H
 *    sender's key 64      (SYN/ACK, ACK, first data)
 *    receiver's key 64    (ACK, first data)
 *    data-level length 16 (first data) | checksum 16 (first data, if negotiated)
 */
static enum err capable_parse(struct rd *r, struct mptcp_option *out)
{
	size_t length = length_of(r);

	if (length != 4 && length != 12 && length != 20 && length != 22 && length != 24)
		return ERR_MALFORMED;
	out->capable.version = rd_u8(r) & 0xf;
	out->capable.flags = rd_u8(r);
	out->capable.keys = length == 4 ? 0 : length == 12 ? 1 : 2;
	if (out->capable.keys > 0)
		out->capable.sender_key = rd_u64(r);
	if (out->capable.keys > 1)
		out->capable.receiver_key = rd_u64(r);
	out->capable.has_length = length >= 22;
	if (out->capable.has_length)
		out->capable.data_len = rd_u16(r);
	out->capable.has_checksum = length == 24;
	if (out->capable.has_checksum)
		out->capable.checksum = rd_u16(r);
	return ERR_OK;
}

static void capable_emit(struct wr *w, const struct mptcp_option *opt)
{
	wr_u8(w, (uint8_t)(MP_CAPABLE << 4 | (opt->capable.version & 0xf)));
	wr_u8(w, opt->capable.flags);
	if (opt->capable.keys > 0)
		wr_u64(w, opt->capable.sender_key);
	if (opt->capable.keys > 1)
		wr_u64(w, opt->capable.receiver_key);
	if (opt->capable.keys > 1 && opt->capable.has_length) {
		wr_u16(w, opt->capable.data_len);
		if (opt->capable.has_checksum)
			wr_u16(w, opt->capable.checksum);
	}
}

static size_t capable_size(const struct mptcp_option *opt)
{
	assert(opt->capable.keys <= 2);
	assert(!opt->capable.has_length || opt->capable.keys == 2);
	assert(!opt->capable.has_checksum || opt->capable.has_length);
	return 4 + 8u * opt->capable.keys + 2u * opt->capable.has_length + 2u * opt->capable.has_checksum;
}

/*
 * MP_JOIN, RFC 8684 3.2
 *    SYN      kind 30 | length 12 | subtype 1 | reserved (3) | B | address id | receiver's token 32 | nonce 32
 *    SYN/ACK  kind 30 | length 16 | subtype 1 | reserved (3) | B | address id | HMAC, left 64 bits | nonce 32
 *    ACK      kind 30 | length 24 | subtype 1 | reserved (12)                 | HMAC, left 160 bits
 */
static enum err join_parse(struct rd *r, struct mptcp_option *out)
{
	size_t length = length_of(r);
	uint8_t low = rd_u8(r) & 0xf, addr_id = rd_u8(r);

	if (length == 24) {
		out->join.form = JOIN_ACK;
		rd_copy(r, out->join.hmac, 20);
		return ERR_OK;
	}
	out->join.backup = low & 1;
	out->join.addr_id = addr_id;
	if (length == 12) {
		out->join.form = JOIN_SYN;
		out->join.token = rd_u32(r);
	} else if (length == 16) {
		out->join.form = JOIN_SYNACK;
		rd_copy(r, out->join.hmac, 8);
	} else {
		return ERR_MALFORMED;
	}
	out->join.nonce = rd_u32(r);
	return ERR_OK;
}

static void join_emit(struct wr *w, const struct mptcp_option *opt)
{
	bool ack = opt->join.form == JOIN_ACK;

	wr_u8(w, (uint8_t)(MP_JOIN << 4 | (!ack && opt->join.backup)));
	wr_u8(w, ack ? 0 : opt->join.addr_id);
	if (ack) {
		wr_bytes(w, opt->join.hmac, 20);
		return;
	}
	if (opt->join.form == JOIN_SYN)
		wr_u32(w, opt->join.token);
	else
		wr_bytes(w, opt->join.hmac, 8);
	wr_u32(w, opt->join.nonce);
}

static size_t join_size(const struct mptcp_option *opt)
{
	return opt->join.form == JOIN_SYN ? 12 : opt->join.form == JOIN_SYNACK ? 16 : 24;
}

/*
 * DSS, RFC 8684 3.3
 *    kind 30 | length | subtype 2 | reserved (7) | F m M a A
 *    DATA_ACK 32, or 64 with a          (with A)
 *    data sequence number 32, or 64 with m, subflow sequence number 32, data-level length 16 (with M)
 *    checksum 16                        (with M, if negotiated: told by the length)
 * On every data segment and most ACKs, so both directions check their bounds once, for the whole.
 */
enum { DSS_F = 0x10, DSS_M64 = 0x08, DSS_M = 0x04, DSS_A64 = 0x02, DSS_A = 0x01 };

static inline size_t dss_size_of(unsigned flags, bool has_checksum)
{
	size_t size = 4;

	if (flags & DSS_A)
		size += flags & DSS_A64 ? 8 : 4;
	if (flags & DSS_M)
		size += (flags & DSS_M64 ? 14u : 10u) + (has_checksum ? 2u : 0u);
	return size;
}

static inline unsigned dss_flags(const struct mptcp_option *opt)
{
	unsigned flags = 0;

	if (opt->dss.has_ack)
		flags |= DSS_A | (opt->dss.ack_is_64 ? DSS_A64 : 0u);
	if (opt->dss.has_map)
		flags |= DSS_M | (opt->dss.dsn_is_64 ? DSS_M64 : 0u) | (opt->dss.data_fin ? DSS_F : 0u);
	return flags;
}

static enum err dss_parse(struct rd *r, struct mptcp_option *out)
{
	size_t length = length_of(r);
	const uint8_t *p = rd_bytes(r, length - 2);
	unsigned flags = p[1];
	size_t size = dss_size_of(flags, false);

	/* RFC 8684 3.3.1: whether there is a checksum is inferred from the length. */
	out->dss.has_checksum = (flags & DSS_M) && length == size + 2;
	if (length != size && !out->dss.has_checksum)
		return ERR_MALFORMED;
	p += 2;
	out->dss.has_ack = flags & DSS_A;
	/* RFC 8684 3.3: m and a mean nothing without M and A; nor does F, which a mapping must cover (3.3.3). */
	if (flags & DSS_A) {
		out->dss.ack_is_64 = flags & DSS_A64;
		out->dss.data_ack = flags & DSS_A64 ? be_get64(p) : be_get32(p);
		p += flags & DSS_A64 ? 8 : 4;
	}
	out->dss.has_map = flags & DSS_M;
	if (flags & DSS_M) {
		out->dss.dsn_is_64 = flags & DSS_M64;
		out->dss.data_fin = flags & DSS_F;
		out->dss.dsn = flags & DSS_M64 ? be_get64(p) : be_get32(p);
		p += flags & DSS_M64 ? 8 : 4;
		out->dss.ssn = be_get32(p);
		out->dss.len = be_get16(p + 4);
		if (out->dss.has_checksum)
			out->dss.checksum = be_get16(p + 6);
	}
	return ERR_OK;
}

/* Unlike its neighbours it writes kind and length too, and has no place in the rows: the data path. */
static void dss_emit(struct wr *w, const struct mptcp_option *opt)
{
	unsigned flags = dss_flags(opt);
	size_t size = dss_size_of(flags, opt->dss.has_checksum);
	uint8_t *p = wr_room(w, size);

	if (!p)
		return;
	p[0] = TCP_KIND_MPTCP;
	p[1] = (uint8_t)size;
	p[2] = DSS << 4;
	p[3] = (uint8_t)flags;
	p += 4;
	if (flags & DSS_A64) {
		be_put64(p, opt->dss.data_ack);
		p += 8;
	} else if (flags & DSS_A) {
		be_put32(p, (uint32_t)opt->dss.data_ack);
		p += 4;
	}
	if (!(flags & DSS_M))
		return;
	if (flags & DSS_M64) {
		be_put64(p, opt->dss.dsn);
		p += 8;
	} else {
		be_put32(p, (uint32_t)opt->dss.dsn);
		p += 4;
	}
	be_put32(p, opt->dss.ssn);
	be_put16(p + 4, opt->dss.len);
	if (opt->dss.has_checksum)
		be_put16(p + 6, opt->dss.checksum);
}

static size_t dss_size(const struct mptcp_option *opt)
{
	return dss_size_of(dss_flags(opt), opt->dss.has_checksum);
}

static size_t ip_size(const struct addr *a) { return a->family == 6 ? 16 : 4; }

/*
 * ADD_ADDR, RFC 8684 3.4.1
 *    kind 30 | length | subtype 3 | reserved (3) | E | address id | address 32 or 128
 *    port 16 (optional) | HMAC, right 64 bits (unless E)
 */
static enum err add_addr_parse(struct rd *r, struct mptcp_option *out)
{
	size_t length = length_of(r);
	size_t body;
	bool echo = rd_u8(r) & 1;

	body = length - (echo ? 4 : 12);
	if (length < (echo ? 8 : 16) || (body != 4 && body != 6 && body != 16 && body != 18))
		return ERR_MALFORMED;
	out->add_addr.echo = echo;
	out->add_addr.addr_id = rd_u8(r);
	out->add_addr.addr.family = body >= 16 ? 6 : 4;
	rd_copy(r, out->add_addr.addr.ip, ip_size(&out->add_addr.addr));
	out->add_addr.has_port = body == 6 || body == 18;
	if (out->add_addr.has_port)
		out->add_addr.addr.port = rd_u16(r);
	if (!echo)
		out->add_addr.hmac = rd_u64(r);
	return ERR_OK;
}

static void add_addr_emit(struct wr *w, const struct mptcp_option *opt)
{
	wr_u8(w, (uint8_t)(ADD_ADDR << 4 | opt->add_addr.echo));
	wr_u8(w, opt->add_addr.addr_id);
	wr_bytes(w, opt->add_addr.addr.ip, ip_size(&opt->add_addr.addr));
	if (opt->add_addr.has_port)
		wr_u16(w, opt->add_addr.addr.port);
	if (!opt->add_addr.echo)
		wr_u64(w, opt->add_addr.hmac);
}

static size_t add_addr_size(const struct mptcp_option *opt)
{
	assert(opt->add_addr.addr.family == 4 || opt->add_addr.addr.family == 6);
	return 4 + ip_size(&opt->add_addr.addr) + (opt->add_addr.has_port ? 2 : 0) + (opt->add_addr.echo ? 0 : 8);
}

/*
 * REMOVE_ADDR, RFC 8684 3.4.2
 *    kind 30 | length 3 + n | subtype 4 | reserved (4) | n address ids
 */
static enum err remove_addr_parse(struct rd *r, struct mptcp_option *out)
{
	rd_u8(r);
	out->remove_addr.count = (uint8_t)rd_left(r); /* the row's max bounds it by ADDR_ID_MAX */
	rd_copy(r, out->remove_addr.ids, out->remove_addr.count);
	return ERR_OK;
}

static void remove_addr_emit(struct wr *w, const struct mptcp_option *opt)
{
	wr_u8(w, REMOVE_ADDR << 4);
	wr_bytes(w, opt->remove_addr.ids, opt->remove_addr.count);
}

static size_t remove_addr_size(const struct mptcp_option *opt)
{
	assert(opt->remove_addr.count >= 1 && opt->remove_addr.count <= ADDR_ID_MAX);
	return 3u + opt->remove_addr.count;
}

/*
 * MP_PRIO, RFC 8684 3.3.8; with Maximum RTO: seeds backup, figure 3
 *    kind 30 | length 3 or 6 | subtype 5 | reserved (3) | B | Maximum RTO in ms, 24 (optional)
 * Unlike the figure: no AddrID, because MPTCP v1 took it out of MP_PRIO.
 */
static enum err prio_parse(struct rd *r, struct mptcp_option *out)
{
	size_t length = length_of(r);

	if (length != 3 && length != 6)
		return ERR_MALFORMED;
	out->prio.backup = rd_u8(r) & 1;
	out->prio.has_max_rto = length == 6;
	if (out->prio.has_max_rto)
		out->prio.max_rto_ms = rd_u24(r);
	return ERR_OK;
}

static void prio_emit(struct wr *w, const struct mptcp_option *opt)
{
	wr_u8(w, (uint8_t)(MP_PRIO << 4 | opt->prio.backup));
	if (opt->prio.has_max_rto)
		wr_u24(w, opt->prio.max_rto_ms);
}

static size_t prio_size(const struct mptcp_option *opt) { return opt->prio.has_max_rto ? 6 : 3; }

/*
 * MP_FAIL, RFC 8684 3.7
 *    kind 30 | length 12 | subtype 6 | reserved (12) | data sequence number 64
 */
static enum err fail_parse(struct rd *r, struct mptcp_option *out)
{
	rd_u16(r);
	out->fail.dsn = dsn_of(rd_u64(r));
	return ERR_OK;
}

static void fail_emit(struct wr *w, const struct mptcp_option *opt)
{
	wr_u16(w, MP_FAIL << 12);
	wr_u64(w, opt->fail.dsn.v);
}

static size_t fail_size(const struct mptcp_option *opt) { (void)opt; return 12; }

/*
 * MP_FASTCLOSE, RFC 8684 3.5
 *    kind 30 | length 12 | subtype 7 | reserved (12) | receiver's key 64
 */
static enum err fastclose_parse(struct rd *r, struct mptcp_option *out)
{
	rd_u16(r);
	out->fastclose.receiver_key = rd_u64(r);
	return ERR_OK;
}

static void fastclose_emit(struct wr *w, const struct mptcp_option *opt)
{
	wr_u16(w, MP_FASTCLOSE << 12);
	wr_u64(w, opt->fastclose.receiver_key);
}

static size_t fastclose_size(const struct mptcp_option *opt) { (void)opt; return 12; }

/*
 * MP_TCPRST, RFC 8684 3.6
 *    kind 30 | length 4 | subtype 8 | U V W T | reason
 */
static enum err tcprst_parse(struct rd *r, struct mptcp_option *out)
{
	out->tcprst.transient = rd_u8(r) & 1;
	out->tcprst.reason = rd_u8(r);
	return ERR_OK;
}

static void tcprst_emit(struct wr *w, const struct mptcp_option *opt)
{
	wr_u8(w, (uint8_t)(MP_TCPRST << 4 | opt->tcprst.transient));
	wr_u8(w, opt->tcprst.reason);
}

static size_t tcprst_size(const struct mptcp_option *opt) { (void)opt; return 4; }

/*
 * FAULT_ANNOUNCE, seeds fault management, figure 2, 3.2.1 and 3.2.2 (which give no layout: bits are ours)
 *    kind 30 | length 6, 10 or 22 | subtype 9 | A 6 0 T | cause
 *    destination address id | source address id | middlebox address 32 or 128 (with A)
 * A: a middlebox address follows; 6: it is IPv6; T: transient. Length 8 is the figure with its
 * unlabelled 16 bits counted in: accepted, never sent.
 */
enum { FAULT_A = 8, FAULT_V6 = 4, FAULT_T = 1 };

static enum err fault_parse(struct rd *r, struct mptcp_option *out)
{
	size_t length = length_of(r);
	uint8_t flags = rd_u8(r) & 0xf;

	if (flags & FAULT_A ? length != (flags & FAULT_V6 ? 22 : 10) : length != 6 && length != 8)
		return ERR_MALFORMED;
	out->fault.transient = flags & FAULT_T;
	out->fault.cause = rd_u8(r);
	out->fault.dst_addr_id = rd_u8(r);
	out->fault.src_addr_id = rd_u8(r);
	if (flags & FAULT_A) {
		out->fault.middlebox.family = flags & FAULT_V6 ? 6 : 4;
		rd_copy(r, out->fault.middlebox.ip, ip_size(&out->fault.middlebox));
	} else {
		rd_bytes(r, rd_left(r));
	}
	return ERR_OK;
}

static void fault_emit(struct wr *w, const struct mptcp_option *opt)
{
	const struct addr *middlebox = &opt->fault.middlebox;
	unsigned flags = opt->fault.transient ? FAULT_T : 0;

	if (middlebox->family)
		flags |= FAULT_A | (middlebox->family == 6 ? FAULT_V6 : 0u);
	wr_u8(w, (uint8_t)(FAULT_ANNOUNCE << 4 | flags));
	wr_u8(w, opt->fault.cause);
	wr_u8(w, opt->fault.dst_addr_id);
	wr_u8(w, opt->fault.src_addr_id);
	if (middlebox->family)
		wr_bytes(w, middlebox->ip, ip_size(middlebox));
}

static size_t fault_size(const struct mptcp_option *opt)
{
	return 6 + (opt->fault.middlebox.family ? ip_size(&opt->fault.middlebox) : 0);
}

/*
 * MP_EXPERIMENTAL, seeds backup, figure 2
 *    kind 30 | length | subtype 15 | flags (4) | experiment id 16 | ...
 *    UPERF, length 8:    Maximum RTO in ms, 24
 *    carried, length 12: serial 8 | keep-alives: after idle s 16, every s 16, so many 8 | type of service 8
 */
static enum err experimental_parse(struct rd *r, struct mptcp_option *out)
{
	rd_u8(r);
	out->experiment = rd_u16(r);
	switch (out->experiment) {
	case EXPERIMENT_UPERF:
		if (rd_left(r) != 3)
			return ERR_MALFORMED;
		out->uperf.max_rto_ms = rd_u24(r);
		return ERR_OK;
	case EXPERIMENT_CARRIED:
		if (rd_left(r) != CARRIED_SIZE - 5)
			return ERR_MALFORMED;
		out->carried.serial = rd_u8(r);
		out->carried.keep_idle_s = rd_u16(r);
		out->carried.keep_interval_s = rd_u16(r);
		out->carried.keep_count = rd_u8(r);
		out->carried.tos = rd_u8(r);
		return ERR_OK;
	}
	return ERR_UNKNOWN;
}

static void experimental_emit(struct wr *w, const struct mptcp_option *opt)
{
	wr_u8(w, MP_EXPERIMENTAL << 4);
	wr_u16(w, (uint16_t)opt->experiment);
	if (opt->experiment == EXPERIMENT_UPERF) {
		wr_u24(w, opt->uperf.max_rto_ms);
		return;
	}
	wr_u8(w, opt->carried.serial);
	wr_u16(w, opt->carried.keep_idle_s);
	wr_u16(w, opt->carried.keep_interval_s);
	wr_u8(w, opt->carried.keep_count);
	wr_u8(w, opt->carried.tos);
}

static size_t experimental_size(const struct mptcp_option *opt) { return opt->experiment == EXPERIMENT_UPERF ? 8 : CARRIED_SIZE; }

static const struct option_row rows[MPTCP_SUBTYPES] = {
	/*                    name              min max              parse              emit              size */
	[MP_CAPABLE]      = { "MP_CAPABLE",      4, 24,              capable_parse,     capable_emit,     capable_size     },
	[MP_JOIN]         = { "MP_JOIN",        12, 24,              join_parse,        join_emit,        join_size        },
	[DSS]             = { "DSS",             4, 28,              dss_parse,         NULL,             dss_size         },
	[ADD_ADDR]        = { "ADD_ADDR",        8, 30,              add_addr_parse,    add_addr_emit,    add_addr_size    },
	[REMOVE_ADDR]     = { "REMOVE_ADDR",     4, 3 + ADDR_ID_MAX, remove_addr_parse, remove_addr_emit, remove_addr_size },
	[MP_PRIO]         = { "MP_PRIO",         3, 6,               prio_parse,        prio_emit,        prio_size        },
	[MP_FAIL]         = { "MP_FAIL",        12, 12,              fail_parse,        fail_emit,        fail_size        },
	[MP_FASTCLOSE]    = { "MP_FASTCLOSE",   12, 12,              fastclose_parse,   fastclose_emit,   fastclose_size   },
	[MP_TCPRST]       = { "MP_TCPRST",       4, 4,               tcprst_parse,      tcprst_emit,      tcprst_size      },
	[FAULT_ANNOUNCE]  = { "FAULT_ANNOUNCE",  6, 22,              fault_parse,       fault_emit,       fault_size       },
	[MP_EXPERIMENTAL] = { "MP_EXPERIMENTAL", 5, UINT8_MAX,       experimental_parse, experimental_emit, experimental_size },
};

enum err mptcp_option_parse(struct rd *r, struct mptcp_option *out)
{
	const struct option_row *row;
	uint8_t kind, length, subtype;
	size_t given = rd_left(r);
	enum err e;

	kind = rd_u8(r);
	length = rd_u8(r);
	if (r->bad || given < 3)
		return ERR_TRUNCATED;
	if (kind != TCP_KIND_MPTCP || length < 3)
		return ERR_MALFORMED;
	if (length != given)
		return given < length ? ERR_TRUNCATED : ERR_MALFORMED;
	subtype = *r->at >> 4; /* four bits: always within rows */
	row = &rows[subtype];
	if (!row->parse)
		return ERR_UNKNOWN;
	if (length < row->min || length > row->max)
		return ERR_MALFORMED;
	memset(out, 0, sizeof *out);
	out->subtype = subtype;
	e = row->parse(r, out);
	if (e != ERR_OK)
		return e;
	return r->bad ? ERR_TRUNCATED : rd_left(r) ? ERR_MALFORMED : ERR_OK;
}

void mptcp_option_emit(struct wr *w, const struct mptcp_option *opt)
{
	size_t size;
	uint8_t *start = w->at;

	if (opt->subtype == DSS) {
		dss_emit(w, opt);
		return;
	}
	size = mptcp_option_size(opt);
	if (w->bad || wr_left(w) < size) {
		w->bad = true;
		return;
	}
	wr_u8(w, TCP_KIND_MPTCP);
	wr_u8(w, (uint8_t)size);
	rows[opt->subtype].emit(w, opt);
	assert((size_t)(w->at - start) == size);
	(void)start;
}

size_t mptcp_option_size(const struct mptcp_option *opt)
{
	assert(opt->subtype < MPTCP_SUBTYPES && rows[opt->subtype].size);
	return opt->subtype == DSS ? dss_size(opt) : rows[opt->subtype].size(opt);
}

const char *mptcp_subtype_name(unsigned subtype)
{
	return subtype < MPTCP_SUBTYPES ? rows[subtype].name : NULL;
}
