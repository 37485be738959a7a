/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/syn_cookie.h"

#include <sodium/crypto_shorthash.h>
#include <string.h>

/*
 * Sequence number: time 5 bits | MSS 3 | hash 24. The time counts in steps of TICK_US; two are accepted.
 * Timestamp, low 6 bits: SACK 1 | window scale 4, 15 = none | 0; as Linux keeps them there, too.
 */
enum { TIME_BITS = 5, MSS_BITS = 3, HASH_BITS = 24, TS_BITS = 6, NO_WSCALE = 15 };
#define TICK_US (64 * USEC_PER_S)

static const uint16_t mss_table[1 << MSS_BITS] = { 536, 1220, 1300, 1360, 1400, 1440, 1460, 8960 };

_Static_assert(crypto_shorthash_KEYBYTES <= 32, "the engine's seed is key enough");

/* what: 0 for the sequence number's, 1 for the key's hash, so that one says nothing of the other. */
static uint64_t hash(const struct engine *e, path_id path, const struct addr *remote, uint16_t local_port, struct ssn client_isn,
		     uint32_t tick, uint8_t what)
{
	uint8_t in[16 + 16 + 2 + 2 + 4 + 4 + 1], out[crypto_shorthash_BYTES];
	struct wr w = wr_of(in, sizeof in);
	struct rd r;

	wr_bytes(&w, e->paths[path].local.ip, 16);
	wr_bytes(&w, remote->ip, 16);
	wr_u16(&w, local_port);
	wr_u16(&w, remote->port);
	wr_u32(&w, client_isn.v);
	wr_u32(&w, tick);
	wr_u8(&w, what);
	crypto_shorthash(out, in, sizeof in, e->hash_secret);
	r = rd_of(out, sizeof out);
	return rd_u64(&r);
}

static uint64_t key_of(const struct engine *e, path_id path, const struct segment *seg, struct ssn client_isn, uint32_t tick)
{
	uint64_t key = hash(e, path, seg->remote, seg->dst_port, client_isn, tick, 1);

	return key ? key : 1; /* RFC 8684 3.1 allows 0, Linux does not */
}

static uint32_t tick_of(usec_t now_us) { return (uint32_t)(now_us / TICK_US); }

static struct ssn number(const struct engine *e, path_id path, const struct segment *seg, struct ssn client_isn, uint32_t tick, unsigned mss)
{
	uint64_t h = hash(e, path, seg->remote, seg->dst_port, client_isn, tick, 0) + mss;

	return ssn_of((tick & ((1u << TIME_BITS) - 1)) << (MSS_BITS + HASH_BITS) | mss << HASH_BITS |
		      (uint32_t)(h & ((1u << HASH_BITS) - 1)));
}

/* What the connection's timestamps will show (pm_ts_offset()), its low bits changed, and never from the future: RFC 7323 5.4. */
static uint32_t ts_keeping(const struct engine *e, path_id path, const struct segment *syn, uint32_t kept, usec_t now_us)
{
	uint32_t now_ms = (uint32_t)(now_us / USEC_PER_MS), ts = (now_ms & ~((1u << TS_BITS) - 1)) | kept;

	if ((int32_t)(ts - now_ms) > 0)
		ts -= 1u << TS_BITS;
	return ts + pm_ts_offset(e, path, syn->dst_port, syn->remote);
}

static uint32_t ts_kept(const struct engine *e, path_id path, const struct segment *ack)
{
	return (ack->tcp.ts_ecr - pm_ts_offset(e, path, ack->dst_port, ack->remote)) & ((1u << TS_BITS) - 1);
}

void syn_cookie_answer(struct engine *e, path_id path, const struct segment *syn, bool mptcp, bool checksum, usec_t now_us)
{
	const struct tcp_options *o = &syn->tcp;
	uint16_t mss = o->has & OPT_MSS ? o->mss : syn->remote->family == 6 ? SUBFLOW_SILENT_MSS6 : SUBFLOW_SILENT_MSS4;
	uint32_t window = CONN_WINDOW_FIRST;
	unsigned i = (1 << MSS_BITS) - 1;
	struct segment a = {
		.remote = syn->remote, .src_port = syn->dst_port, .dst_port = syn->src_port, .flags = TCP_SYN | TCP_ACK,
		.ack = ssn_add(syn->seq, segment_seq_len(syn) - syn->payload_len), .tcp = { .has = OPT_MSS },
		.window = window > UINT16_MAX ? UINT16_MAX : (uint16_t)window,
	};

	while (i && mss_table[i] > mss)
		i--;
	a.seq = number(e, path, syn, syn->seq, tick_of(now_us), i);
	a.tcp.mss = conn_path_mss(e, path);
	/* Without an echoed timestamp there is nowhere to keep the rest. */
	if (o->has & OPT_TIMESTAMP) {
		uint32_t kept = (o->has & OPT_SACK_OK ? 1u : 0) |
				(uint32_t)(o->has & OPT_WSCALE ? (o->wscale > 14 ? 14 : o->wscale) : NO_WSCALE) << 1;

		a.tcp.has |= OPT_TIMESTAMP | (o->has & (OPT_SACK_OK | OPT_WSCALE));
		a.tcp.wscale = CONN_RCV_WSCALE;
		a.tcp.ts_ecr = o->ts_val;
		a.tcp.ts_val = ts_keeping(e, path, syn, kept, now_us);
	}
	if (mptcp) {
		a.mptcp_count = 1;
		a.mptcp[0] = (struct mptcp_option){
			.subtype = MP_CAPABLE,
			.capable = {
				.version = 1, .keys = 1, .sender_key = key_of(e, path, syn, syn->seq, tick_of(now_us)),
				.flags = (uint8_t)(MPC_HMAC_SHA256 | (checksum ? MPC_CHECKSUM : 0) |
						   (e->paths[path].no_joins ? MPC_NO_JOIN_HERE : 0)),
			},
		};
	}
	e->cookies_until_us = usec_add(now_us, 2 * TICK_US);
	count(e->counters, CNT_SynCookieTx);
	engine_raw(e, path, &a, NULL, 0);
}

bool syn_cookie_check(struct engine *e, path_id path, const struct segment *ack, struct segment *syn, struct ssn *iss, uint64_t *key,
		      usec_t now_us)
{
	struct ssn client_isn = ssn_add(ack->seq, UINT32_MAX), cookie = ssn_add(ack->ack, UINT32_MAX);
	unsigned mss = cookie.v >> HASH_BITS & ((1 << MSS_BITS) - 1);
	uint32_t tick = tick_of(now_us), kept = ts_kept(e, path, ack);

	if (!ssn_eq(number(e, path, ack, client_isn, tick, mss), cookie) &&
	    !ssn_eq(number(e, path, ack, client_isn, --tick, mss), cookie)) {
		count(e->counters, CNT_SynCookieBad);
		return false;
	}
	*syn = (struct segment){
		.remote = ack->remote, .src_port = ack->src_port, .dst_port = ack->dst_port, .flags = TCP_SYN, .seq = client_isn,
		.window = UINT16_MAX, .tcp = { .has = OPT_MSS, .mss = mss_table[mss] },
	};
	if (ack->tcp.has & OPT_TIMESTAMP) {
		syn->tcp.has |= OPT_TIMESTAMP | (kept & 1 ? OPT_SACK_OK : 0) | (kept >> 1 < NO_WSCALE ? OPT_WSCALE : 0);
		syn->tcp.wscale = (uint8_t)(kept >> 1 & 15);
		syn->tcp.ts_val = ack->tcp.ts_val;
	}
	*iss = cookie;
	*key = key_of(e, path, ack, client_isn, tick);
	count(e->counters, CNT_SynCookieRx);
	return true;
}
