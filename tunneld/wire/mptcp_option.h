/* SPDX-License-Identifier: MIT */
/*
 * MPTCP's TCP options (kind 30), RFC 8684, and those of ours: UPERF (seeds: backup, figure 2),
 * FAULT_ANNOUNCE (seeds: fault management, figure 2) and what is carried of an application's socket. One struct, one row a subtype in mptcp_option.c.
 */
#ifndef PLAIT_WIRE_MPTCP_OPTION_H
#define PLAIT_WIRE_MPTCP_OPTION_H

#include "common/addr.h"
#include "common/bytes.h"
#include "common/err.h"
#include "common/seq.h"

enum { TCP_KIND_MPTCP = 30, ADDR_ID_MAX = 8 /* ids in one REMOVE_ADDR, as Linux */, CARRIED_SIZE = 12 };

/* Experiments of ours, RFC 8684 3 and seeds backup, figure 2. */
enum mptcp_experiment { EXPERIMENT_UPERF = 0x5046, EXPERIMENT_CARRIED = 0x504f };

/*
 * What an application has set on its socket and means as far as the destination. serial: one higher with each change, so that a
 * late copy is known.
 */
struct carried_options {
	uint16_t keep_idle_s, keep_interval_s; /* keep-alives, RFC 9293 3.8.4; idle 0: none wanted */
	uint8_t keep_count, tos, serial;
};
/* But for serial. */
static inline bool carried_options_same(const struct carried_options *a, const struct carried_options *b)
{
	return a->keep_idle_s == b->keep_idle_s && a->keep_interval_s == b->keep_interval_s && a->keep_count == b->keep_count &&
	       a->tos == b->tos;
}

enum mptcp_subtype {
	MP_CAPABLE = 0x0, MP_JOIN = 0x1, DSS = 0x2, ADD_ADDR = 0x3, REMOVE_ADDR = 0x4, MP_PRIO = 0x5,
	MP_FAIL = 0x6, MP_FASTCLOSE = 0x7, MP_TCPRST = 0x8, FAULT_ANNOUNCE = 0x9, MP_EXPERIMENTAL = 0xf,
	MPTCP_SUBTYPES = 16,
};

/* MP_CAPABLE flags, RFC 8684 3.1 */
enum { MPC_CHECKSUM = 0x80, MPC_EXTENSIBILITY = 0x40, MPC_NO_JOIN_HERE = 0x20, MPC_HMAC_SHA256 = 0x01, MPC_CRYPTO = 0x1f };

/* MP_TCPRST reasons, RFC 8684 3.6; FAULT_ANNOUNCE causes 0x00-0x09 are the same */
enum mptcp_reason {
	REASON_UNSPECIFIED = 0, REASON_MPTCP_ERROR = 1, REASON_NO_RESOURCES = 2, REASON_PROHIBITED = 3,
	REASON_OUTSTANDING_DATA = 4, REASON_PERFORMANCE = 5, REASON_MIDDLEBOX = 6,
};

struct mptcp_option {
	enum mptcp_subtype subtype;
	enum mptcp_experiment experiment; /* of MP_EXPERIMENTAL */
	union {
		struct { /* the form follows from how many keys and whether a length is there */
			uint8_t version, flags;
			uint8_t keys;                /* 0 (SYN), 1 (SYN/ACK), 2 */
			uint64_t sender_key, receiver_key;
			bool has_length, has_checksum; /* on first data */
			uint16_t data_len, checksum;
		} capable;
		struct {
			enum join_form { JOIN_SYN, JOIN_SYNACK, JOIN_ACK } form; /* told by length 12, 16, 24 */
			bool backup;
			uint8_t addr_id;
			uint32_t token, nonce;       /* SYN: both; SYN/ACK: nonce */
			uint8_t hmac[20];            /* SYN/ACK: first 8 bytes; ACK: 20 */
		} join;
		struct {
			bool has_ack, ack_is_64, has_map, dsn_is_64, data_fin, has_checksum;
			uint64_t data_ack;           /* low 32 bits only unless ack_is_64 */
			uint64_t dsn;                /* low 32 bits only unless dsn_is_64 */
			uint32_t ssn;                /* relative: SYN is 0 */
			uint16_t len;                /* data-level length, DATA_FIN included; 0 = infinite mapping */
			uint16_t checksum;
		} dss;
		struct { bool echo; bool has_port; uint8_t addr_id; struct addr addr; uint64_t hmac; } add_addr;
		struct { uint8_t count; uint8_t ids[ADDR_ID_MAX]; } remove_addr;
		struct { bool backup; bool has_max_rto; uint32_t max_rto_ms; /* 24 bits */ } prio;
		struct { struct dsn dsn; } fail;
		struct { uint64_t receiver_key; } fastclose;
		struct { bool transient; uint8_t reason; } tcprst;
		struct { uint8_t cause, dst_addr_id, src_addr_id; bool transient; struct addr middlebox; /* family 0: none */ } fault;
		struct { uint32_t max_rto_ms; } uperf;
		struct carried_options carried;
	};
};

/*
 * Reads one option body; r stands on the kind byte and covers exactly the option (its length byte's
 * worth). ERR_TRUNCATED, ERR_MALFORMED (length not one of the row's), ERR_UNKNOWN (subtype, experiment id).
 */
MUST_CHECK enum err mptcp_option_parse(struct rd *r, struct mptcp_option *out);
/* Writes kind, length and body, unpadded. Marks w bad if it does not fit. */
void mptcp_option_emit(struct wr *w, const struct mptcp_option *opt);
/* Bytes mptcp_option_emit() will write. */
size_t mptcp_option_size(const struct mptcp_option *opt);
/* "MP_CAPABLE"...; "subtype 0xa" has no name and gives NULL. */
const char *mptcp_subtype_name(unsigned subtype);

#endif
