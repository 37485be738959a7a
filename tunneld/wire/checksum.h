/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum (RFC 1071) and the DSS checksum made of it (RFC 8684 3.3.1). Additive: the
 * sums of the parts of a mapping can be taken once, when its bytes are copied anyway, and added later.
 */
#ifndef PLAIT_WIRE_CHECKSUM_H
#define PLAIT_WIRE_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One's complement sum of 16-bit words, folded, not inverted. The sum of nothing is 0. */
typedef uint16_t checksum_t;

/* Sum of len bytes; the last byte of an odd len is the high half of a word. */
checksum_t checksum_partial(const void *bytes, size_t len);

/* a followed by b, where a's bytes are a_len: if that is odd, b's bytes stand in the other halves. */
checksum_t checksum_add(checksum_t a, size_t a_len, checksum_t b);

/*
 * The checksum field of a mapping: payload is the sum of its bytes (0 for a bare DATA_FIN), dsn is the
 * whole 64 bits also when the option carries 32, len counts the DATA_FIN.
 */
uint16_t dss_checksum(uint64_t dsn, uint32_t ssn, uint16_t len, checksum_t payload);

/* Is `checksum`, as received, right? Knows that 0x0000 and 0xffff are the same number. */
bool dss_checksum_ok(uint64_t dsn, uint32_t ssn, uint16_t len, checksum_t payload, uint16_t checksum);

#endif
