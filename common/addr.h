/* SPDX-License-Identifier: MIT */
/*
 * An IP address with a port, and a CIDR block, free of the system's socket headers so that the
 * engine can use them. common/sockaddr.h turns them into what the kernel wants.
 */
#ifndef PLAIT_ADDR_H
#define PLAIT_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct addr {
	uint8_t family;   /* 4 or 6; 0 = none */
	uint8_t ip[16];   /* network order; IPv4 in the first four, the rest 0 */
	uint16_t port;    /* host order; 0 = none */
	uint32_t scope;   /* IPv6 link-local interface index, else 0 */
};

struct cidr {
	struct addr net;
	uint8_t bits;
};

#define ADDR_TEXT_MAX 64 /* longest text of addr_print() or cidr_print(), with its NUL */

/* "192.0.2.1:80", "[2001:db8::1]:80", or without a port. The whole text must be used. */
MUST_CHECK enum err addr_parse(struct addr *out, const char *text);
/* Writes the same form, canonical (RFC 5952), port only if not 0. Returns buf. */
char *addr_print(const struct addr *a, char buf[ADDR_TEXT_MAX]);
bool addr_eq(const struct addr *a, const struct addr *b);    /* address, port and scope */
bool addr_same_ip(const struct addr *a, const struct addr *b);
/* ::ffff:a.b.c.d becomes a.b.c.d; others are left alone. */
struct addr addr_unmap(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
bool addr_is_link_local(const struct addr *a);
bool addr_is_multicast(const struct addr *a);                /* IPv4 broadcast included */
bool addr_is_unspecified(const struct addr *a);

MUST_CHECK enum err cidr_parse(struct cidr *out, const char *text); /* "10.0.0.0/8", "::1" (= /128) */
char *cidr_print(const struct cidr *c, char buf[ADDR_TEXT_MAX]);
/* v4-mapped addresses are looked at as IPv4. */
bool cidr_has(const struct cidr *c, const struct addr *a);

#endif
