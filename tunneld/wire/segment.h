/* SPDX-License-Identifier: MIT */
/*
 * tunneld/wire: bytes <-> structs, pure. What is here: one TCP segment, its options, the MPTCP
 * options, the outer datagram header, and a one-line printer. What is not: any state, any rule about
 * what to send when. Read first: this file, then mptcp_option.h; PROTOCOL section 1 gives the figures.
 *
 * One segment format, two encapsulations (draft-cheshire-tcp-over-udp order after the ports):
 *    [source port 2 | destination port 2]   in sealed form only; in plain form they are UDP's own
 *    data offset 4 bits | 0 | flags 8 | window 16
 *    sequence 32, acknowledgement 32, options, data
 */
#ifndef PLAIT_WIRE_SEGMENT_H
#define PLAIT_WIRE_SEGMENT_H

#include "common/addr.h"
#include "common/bytes.h"
#include "common/err.h"
#include "common/seq.h"
#include "tunneld/wire/mptcp_option.h"

enum {
	TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_PSH = 0x08,
	TCP_ACK = 0x10, TCP_URG = 0x20, TCP_ECE = 0x40, TCP_CWR = 0x80,
};

enum { TCP_OPTIONS_MAX = 40, SACK_BLOCKS_MAX = 4, SEGMENT_MPTCP_MAX = 4 };

struct sack_block { struct ssn start, end; }; /* [start, end), RFC 2018 3 */

/* TCP's own options. A field counts only where its bit stands in `has`. */
enum { OPT_MSS = 1, OPT_WSCALE = 2, OPT_SACK_OK = 4, OPT_TIMESTAMP = 8, OPT_SACK = 16, OPT_USER_TIMEOUT = 32 };
struct tcp_options {
	uint8_t has;
	uint8_t wscale;              /* as sent; a receiver clamps to 14, RFC 7323 2.3 */
	uint16_t mss;
	uint32_t ts_val, ts_ecr;
	uint16_t user_timeout;       /* as in RFC 5482 3: granularity bit and 15 bits */
	uint8_t sack_count;
	struct sack_block sack[SACK_BLOCKS_MAX];
};

struct segment {
	const struct addr *remote;   /* plain form: whom it is from or for, NULL in sealed; neither parsed nor emitted; borrowed */
	uint16_t src_port, dst_port;
	struct ssn seq;
	struct ssn ack;              /* meaningful with TCP_ACK */
	uint16_t window;             /* as on the wire, not yet scaled */
	uint8_t flags;
	uint8_t mptcp_count;
	struct tcp_options tcp;
	struct mptcp_option mptcp[SEGMENT_MPTCP_MAX]; /* in wire order; more than this are counted and ignored */
	const uint8_t *payload;      /* borrowed: on parse it points into the given bytes */
	uint16_t payload_len;
	uint8_t ignored;             /* on parse: how many options were unknown or odd, and skipped */
};

/* Sequence space a segment takes: payload plus one each for SYN and FIN. RFC 9293 3.4 */
static inline uint32_t segment_seq_len(const struct segment *s)
{
	return s->payload_len + (uint32_t)!!(s->flags & TCP_SYN) + (uint32_t)!!(s->flags & TCP_FIN);
}

enum segment_form { SEGMENT_SEALED, SEGMENT_PLAIN }; /* with, without the four bytes of ports */

/*
 * Parse fills *out and does nothing else. `remote`, and in SEGMENT_PLAIN the ports, are left as the caller set them.
 * ERR_TRUNCATED (header or an option's length beyond the end), ERR_MALFORMED (data offset below 5, option
 * length below 2, SYN with FIN or RST). Unknown or odd options are skipped and counted in out->ignored,
 * never fatal. Options are reported wherever they stand: which count only on a SYN is the subflow's rule.
 */
MUST_CHECK enum err segment_parse(struct segment *out, const uint8_t *bytes, size_t len, enum segment_form form);

/*
 * Emit writes header, TCP options in Linux's order (MSS, SACK-OK, TS, NOP, WSCALE / NOP NOP TS ... ),
 * MPTCP options, padding and payload. ERR_FULL if the options need more than 40 bytes or w is too small:
 * ask option_rules_fit() first; w is then as it was. If s->payload is NULL and payload_len > 0, only the header is written:
 * the caller appends the payload.
 */
MUST_CHECK enum err segment_emit(struct wr *w, const struct segment *s, enum segment_form form);

/* Bytes the options would take, padded to 32-bit words; may exceed 40. */
size_t segment_options_size(const struct segment *s);

/* Header size for the form, options included and padded. */
size_t segment_header_size(const struct segment *s, enum segment_form form);

/* The header without any option. */
size_t segment_header_fixed(enum segment_form form);

/* The first option of that subtype, or NULL. */
const struct mptcp_option *segment_mptcp(const struct segment *s, enum mptcp_subtype subtype);

#endif
