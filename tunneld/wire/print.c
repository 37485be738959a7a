/* SPDX-License-Identifier: MIT */
#include "tunneld/wire/print.h"

/* Text of bounded size. No stdio: the engine prints its traces with this. */
struct text {
	char *at, *end; /* one byte beyond end is kept for the NUL */
	bool cut;
};

static void put(struct text *t, const char *s)
{
	while (*s && t->at < t->end)
		*t->at++ = *s++;
	t->cut |= *s != 0;
}

static void put_number(struct text *t, uint64_t v)
{
	char digits[21], *p = digits + sizeof digits - 1;

	*p = 0;
	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	put(t, p);
}

static void put_hex(struct text *t, uint32_t v)
{
	char digits[11], *p = digits + sizeof digits - 1;

	*p = 0;
	do
		*--p = "0123456789abcdef"[v & 0xf];
	while (v >>= 4);
	*--p = 'x';
	*--p = '0';
	put(t, p);
}

static void put_named(struct text *t, const char *name, uint64_t v)
{
	put(t, name);
	put_number(t, v);
}

static void put_addr(struct text *t, const struct addr *a)
{
	char buf[ADDR_TEXT_MAX];

	put(t, " ");
	put(t, addr_print(a, buf));
}

/* Keys and HMACs are not printed: who has read a trace must not be able to join the connection. */
static void put_mptcp(struct text *t, const struct mptcp_option *opt)
{
	switch (opt->subtype) {
	case MP_CAPABLE:
		put_named(t, "mp_capable v", opt->capable.version);
		if (opt->capable.flags != MPC_HMAC_SHA256) {
			put(t, " flags ");
			put_hex(t, opt->capable.flags);
		}
		if (opt->capable.keys)
			put_named(t, " keys ", opt->capable.keys);
		if (opt->capable.has_length)
			put_named(t, " len ", opt->capable.data_len);
		if (opt->capable.has_checksum) {
			put(t, " checksum ");
			put_hex(t, opt->capable.checksum);
		}
		break;
	case MP_JOIN:
		put(t, opt->join.form == JOIN_SYN ? "mp_join syn" : opt->join.form == JOIN_SYNACK ? "mp_join synack" : "mp_join ack");
		if (opt->join.form == JOIN_ACK)
			break;
		put_named(t, " id ", opt->join.addr_id);
		put(t, opt->join.backup ? " backup" : "");
		if (opt->join.form == JOIN_SYN) {
			put(t, " token ");
			put_hex(t, opt->join.token);
		}
		break;
	case DSS:
		put(t, "dss");
		if (opt->dss.has_ack)
			put_named(t, opt->dss.ack_is_64 ? " ack8 " : " ack4 ", opt->dss.data_ack);
		if (opt->dss.has_map) {
			put_named(t, opt->dss.dsn_is_64 ? " dsn8 " : " dsn4 ", opt->dss.dsn);
			put_named(t, " ssn ", opt->dss.ssn);
			put_named(t, " len ", opt->dss.len);
			if (opt->dss.has_checksum) {
				put(t, " checksum ");
				put_hex(t, opt->dss.checksum);
			}
			put(t, opt->dss.data_fin ? " fin" : "");
		}
		break;
	case ADD_ADDR:
		put_named(t, opt->add_addr.echo ? "add_addr echo id " : "add_addr id ", opt->add_addr.addr_id);
		put_addr(t, &opt->add_addr.addr);
		break;
	case REMOVE_ADDR:
		put(t, "remove_addr");
		for (unsigned i = 0; i < opt->remove_addr.count; i++)
			put_named(t, " ", opt->remove_addr.ids[i]);
		break;
	case MP_PRIO:
		put(t, opt->prio.backup ? "mp_prio backup" : "mp_prio");
		if (opt->prio.has_max_rto)
			put_named(t, " max_rto_ms ", opt->prio.max_rto_ms);
		break;
	case MP_FAIL:
		put_named(t, "mp_fail dsn ", opt->fail.dsn.v);
		break;
	case MP_FASTCLOSE:
		put(t, "mp_fastclose");
		break;
	case MP_TCPRST:
		put_named(t, "mp_tcprst reason ", opt->tcprst.reason);
		put(t, opt->tcprst.transient ? " transient" : "");
		break;
	case FAULT_ANNOUNCE:
		put(t, "fault_announce cause ");
		put_hex(t, opt->fault.cause);
		put_named(t, " dst ", opt->fault.dst_addr_id);
		put_named(t, " src ", opt->fault.src_addr_id);
		put(t, opt->fault.transient ? " transient" : "");
		if (opt->fault.middlebox.family)
			put_addr(t, &opt->fault.middlebox);
		break;
	case MP_EXPERIMENTAL:
		if (opt->experiment == EXPERIMENT_UPERF) {
			put_named(t, "uperf max_rto_ms ", opt->uperf.max_rto_ms);
			break;
		}
		put_named(t, "carried serial ", opt->carried.serial);
		put_named(t, " keep_idle ", opt->carried.keep_idle_s);
		put_named(t, " keep_interval ", opt->carried.keep_interval_s);
		put_named(t, " keep_count ", opt->carried.keep_count);
		put_named(t, " tos ", opt->carried.tos);
		break;
	case MPTCP_SUBTYPES:
		break;
	}
}

static void put_tcp(struct text *t, const struct tcp_options *o, const char **sep)
{
	if (o->has & OPT_MSS) {
		put(t, *sep);
		put_named(t, "mss ", o->mss);
		*sep = ",";
	}
	if (o->has & OPT_SACK_OK) {
		put(t, *sep);
		put(t, "sackOK");
		*sep = ",";
	}
	if (o->has & OPT_TIMESTAMP) {
		put(t, *sep);
		put_named(t, "ts ", o->ts_val);
		put_named(t, " ", o->ts_ecr);
		*sep = ",";
	}
	if (o->has & OPT_WSCALE) {
		put(t, *sep);
		put_named(t, "wscale ", o->wscale);
		*sep = ",";
	}
	if (o->has & OPT_SACK) {
		put(t, *sep);
		put(t, "sack");
		for (unsigned i = 0; i < o->sack_count; i++) {
			put_named(t, " ", o->sack[i].start.v);
			put_named(t, ":", o->sack[i].end.v);
		}
		*sep = ",";
	}
	if (o->has & OPT_USER_TIMEOUT) {
		put(t, *sep);
		put_named(t, "user_timeout ", o->user_timeout & 0x7fffu);
		put(t, o->user_timeout & 0x8000 ? "min" : "s");
		*sep = ",";
	}
}

char *segment_print(const struct segment *s, char *buf, size_t size)
{
	static const struct { uint8_t bit; const char *letter; } flags[] = {
		{ TCP_SYN, "S" }, { TCP_FIN, "F" }, { TCP_RST, "R" }, { TCP_PSH, "P" },
		{ TCP_ACK, "." }, { TCP_ECE, "E" }, { TCP_CWR, "W" },
	};
	struct text t = { .at = buf, .end = buf + (size ? size - 1 : 0) };
	const char *sep = " <";

	if (!size)
		return buf;
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (s->flags & flags[i].bit)
			put(&t, flags[i].letter);
	put(&t, s->flags ? " " : "- ");
	put_number(&t, s->seq.v);
	put_named(&t, ":", s->seq.v + s->payload_len);
	put_named(&t, "(", s->payload_len);
	put(&t, ")");
	if (s->flags & TCP_ACK)
		put_named(&t, " ack ", s->ack.v);
	put_named(&t, " win ", s->window);
	put_tcp(&t, &s->tcp, &sep);
	for (unsigned i = 0; i < s->mptcp_count; i++) {
		put(&t, sep);
		put_mptcp(&t, &s->mptcp[i]);
		sep = ",";
	}
	if (*sep == ',')
		put(&t, ">");
	if (s->ignored)
		put_named(&t, " ignored ", s->ignored);
	if (t.cut)
		memset(t.at - (size < 4 ? size - 1 : 3), '.', size < 4 ? size - 1 : 3);
	*t.at = 0;
	return buf;
}
