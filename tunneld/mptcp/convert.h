/* SPDX-License-Identifier: MIT */
/*
 * The 0-RTT TCP Convert protocol, RFC 8803, as far as a client and its gateway need it: Connect, Info, Error,
 * Supported TCP Extensions. One table maps Error codes to enum open_result and back.
 */
#ifndef PLAIT_MPTCP_CONVERT_H
#define PLAIT_MPTCP_CONVERT_H

#include "common/bytes.h"
#include "tunneld/mptcp/engine.h"

enum { CONVERT_VERSION = 1, CONVERT_MAGIC = 0x2263, CONVERT_MAX = 1020, CONVERT_CONNECT_SIZE = 24 };
enum convert_tlv {
	CONVERT_INFO = 1, CONVERT_CONNECT = 10, CONVERT_EXTENDED_HEADER = 20, CONVERT_SUPPORTED = 21, CONVERT_COOKIE = 22,
	CONVERT_ERROR = 30,
};
enum { CONVERT_OPTIONS_MAX = 8, CONVERT_ANSWER_LEAST = 536 /* room for one where nothing is known */ };
/* RFC 8803 6.2.8 */
enum convert_error {
	CONVERT_ERR_VERSION = 0, CONVERT_ERR_MALFORMED = 1, CONVERT_ERR_UNSUPPORTED = 2, CONVERT_ERR_COOKIE = 3,
	CONVERT_ERR_NOT_AUTHORIZED = 32, CONVERT_ERR_OPTION = 33, CONVERT_ERR_RESOURCES = 64, CONVERT_ERR_NETWORK = 65,
	CONVERT_ERR_RESET = 96, CONVERT_ERR_UNREACHABLE = 97,
};

/* What one Convert message said. */
struct convert_message {
	bool header;              /* magic number and length are Convert's, whatever the rest is */
	bool connect, error, info, supports_mptcp;
	uint8_t version, tlvs;    /* tlvs: how many */
	struct addr destination;  /* of Connect; v4-mapped addresses are unmapped */
	uint8_t error_code, error_value;
	uint16_t total_bytes;     /* of the whole message, header included */
	uint8_t option_count, options[CONVERT_OPTIONS_MAX]; /* kinds that an extended Connect asks for; more are left out */
};

/*
 * Reads one message at the front of r, which may hold more bytes behind it. ERR_TRUNCATED: more bytes are needed.
 * ERR_MALFORMED: version, magic, a length that lies, a TLV twice. ERR_UNKNOWN: a type that is not one of RFC 8803.
 */
MUST_CHECK enum err convert_parse(struct rd *r, struct convert_message *out);
/* A whole message with one Connect TLV. */
void convert_emit_connect(struct wr *w, const struct addr *destination);
/* The gateway's answer: the bare header for OPEN_OK, else with an Error TLV. */
void convert_emit_answer(struct wr *w, enum open_result result, uint8_t icmp_code);
/* The answer to an Info TLV: the header with a Supported TCP Extensions TLV. */
void convert_emit_supported(struct wr *w);
/*
 * The gateway's answer to a message that it does not dial for, as convert_parse() read it from bytes. False: those are no
 * Convert message, or one that is to be reset: there is none, and w is as it was.
 */
bool convert_emit_refusal(struct wr *w, const struct convert_message *m, enum err parsed, const uint8_t *bytes, size_t len);
/* The header with an Error TLV of exactly this code. */
void convert_emit_error(struct wr *w, uint8_t code, uint8_t value);

/* Both ways of the one table. The ICMP code is that of ICMPv4 destination unreachable. */
enum open_result convert_result(uint8_t error_code, uint8_t value, uint8_t *icmp_code);
void convert_error_of(enum open_result result, uint8_t icmp_code, uint8_t *error_code, uint8_t *value);

#endif
