/* SPDX-License-Identifier: MIT */
#include "common/addr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Four bytes. inet_pton() without its header's sockets; strict: four decimal numbers, no leading zeros. */
static bool ipv4_parse(const char **at, uint8_t *ip)
{
	const char *p = *at;

	for (int i = 0; i < 4; i++) {
		unsigned v = 0, digits = 0;

		if (i && *p++ != '.')
			return false;
		for (; *p >= '0' && *p <= '9'; p++) {
			if (digits && v == 0)
				return false;
			v = v * 10 + (unsigned)(*p - '0');
			if (++digits > 3 || v > 255)
				return false;
		}
		if (!digits)
			return false;
		ip[i] = (uint8_t)v;
	}
	*at = p;
	return true;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Sixteen bytes. RFC 4291 2.2, all three forms. */
static bool ipv6_parse(const char **at, uint8_t *ip)
{
	const char *p = *at;
	size_t n = 0;      /* bytes written */
	size_t gap = 17;   /* where "::" stood; 17 = nowhere */
	uint8_t out[16] = { 0 };

	if (p[0] == ':') {
		if (p[1] != ':')
			return false;
		p += 2;
		gap = 0;
	}
	while (n < 16 && hex_value(*p) >= 0) {
		const char *group = p;
		unsigned v = 0, digits = 0;

		for (; hex_value(*p) >= 0; p++) {
			if (++digits > 4)
				return false;
			v = v << 4 | (unsigned)hex_value(*p);
		}
		if (*p == '.') {
			p = group;
			if (n > 12 || !ipv4_parse(&p, out + n))
				return false;
			n += 4;
			break;
		}
		out[n++] = (uint8_t)(v >> 8);
		out[n++] = (uint8_t)v;
		if (p[0] != ':')
			break;
		if (p[1] == ':') {
			if (gap != 17)
				return false;
			gap = n;
			p += 2;
		} else if (hex_value(p[1]) >= 0 && n < 16) {
			p++;
		} else {
			return false;
		}
	}
	if (gap == 17 ? n != 16 : n > 14)
		return false;
	memset(ip, 0, 16);
	if (gap == 17) {
		memcpy(ip, out, 16);
	} else {
		memcpy(ip, out, gap);
		memcpy(ip + 16 - (n - gap), out + gap, n - gap);
	}
	*at = p;
	return true;
}

/* A decimal number of at most max, without sign, blanks or leading zeros. */
static bool number_parse(const char **at, uint32_t max, uint32_t *out)
{
	const char *p = *at;
	uint64_t v = 0;

	if (*p < '0' || *p > '9' || (p[0] == '0' && p[1] >= '0' && p[1] <= '9'))
		return false;
	for (; *p >= '0' && *p <= '9'; p++) {
		v = v * 10 + (uint64_t)(*p - '0');
		if (v > max)
			return false;
	}
	*out = (uint32_t)v;
	*at = p;
	return true;
}

/* An address without port; "%3" after an IPv6 one is its scope. */
static bool ip_parse(const char **at, struct addr *a)
{
	const char *p = *at;

	memset(a, 0, sizeof *a);
	if (ipv4_parse(&p, a->ip)) {
		a->family = 4;
	} else {
		p = *at;
		memset(a, 0, sizeof *a);
		if (!ipv6_parse(&p, a->ip))
			return false;
		a->family = 6;
		/* RFC 4007 11.2; only the numeric form: names are the system's, and this is not. */
		if (*p == '%') {
			p++;
			if (!number_parse(&p, UINT32_MAX, &a->scope))
				return false;
		}
	}
	*at = p;
	return true;
}

enum err addr_parse(struct addr *out, const char *text)
{
	const char *p = text;
	struct addr a;
	uint32_t port = 0;
	bool bracket = *p == '[';

	p += bracket;
	if (!ip_parse(&p, &a))
		return ERR_MALFORMED;
	if (bracket && (a.family != 6 || *p++ != ']'))
		return ERR_MALFORMED;
	if (*p == ':' && (bracket || a.family == 4)) {
		p++;
		if (!number_parse(&p, UINT16_MAX, &port))
			return ERR_MALFORMED;
	}
	if (*p)
		return ERR_MALFORMED;
	a.port = (uint16_t)port;
	*out = a;
	return ERR_OK;
}

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool is_mapped(const struct addr *a)
{
	return a->family == 6 && !memcmp(a->ip, mapped_prefix, sizeof mapped_prefix);
}

static char *ipv6_print(const uint8_t *ip, char *to, char *end)
{
	int best = -1, best_len = 1; /* RFC 5952 4.2.2: a single zero group is not shortened */

	for (int i = 0; i < 8; ) {
		int n = 0;

		while (i + n < 8 && !ip[2 * (i + n)] && !ip[2 * (i + n) + 1])
			n++;
		if (n > best_len) { /* 4.2.3: the longest, the first of equals */
			best = i;
			best_len = n;
		}
		i += n ? n : 1;
	}
	for (int i = 0; i < 8; i++) {
		if (i == best) {
			to += snprintf(to, (size_t)(end - to), "::");
			i += best_len - 1;
			continue;
		}
		to += snprintf(to, (size_t)(end - to), "%s%x", i && i != best + best_len ? ":" : "",
			       (unsigned)(ip[2 * i] << 8 | ip[2 * i + 1]));
	}
	return to;
}

static char *ip_print(const struct addr *a, char *to, char *end)
{
	if (a->family == 4)
		return to + snprintf(to, (size_t)(end - to), "%u.%u.%u.%u", a->ip[0], a->ip[1], a->ip[2], a->ip[3]);
	if (is_mapped(a)) /* RFC 5952 5 */
		to += snprintf(to, (size_t)(end - to), "::ffff:%u.%u.%u.%u", a->ip[12], a->ip[13], a->ip[14], a->ip[15]);
	else
		to = ipv6_print(a->ip, to, end);
	if (a->scope)
		to += snprintf(to, (size_t)(end - to), "%%%u", (unsigned)a->scope);
	return to;
}

char *addr_print(const struct addr *a, char buf[ADDR_TEXT_MAX])
{
	char *p = buf, *end = buf + ADDR_TEXT_MAX;
	bool bracket = a->family == 6 && a->port;

	if (a->family != 4 && a->family != 6) {
		snprintf(buf, ADDR_TEXT_MAX, "none");
		return buf;
	}
	if (bracket)
		*p++ = '[';
	p = ip_print(a, p, end);
	if (bracket)
		*p++ = ']';
	if (a->port)
		snprintf(p, (size_t)(end - p), ":%u", a->port);
	return buf;
}

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && !memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16);
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	return addr_same_ip(a, b) && a->port == b->port && a->scope == b->scope;
}

struct addr addr_unmap(const struct addr *a)
{
	struct addr v4;

	if (!is_mapped(a))
		return *a;
	v4 = (struct addr){ .family = 4, .port = a->port };
	memcpy(v4.ip, a->ip + 12, 4);
	return v4;
}

bool addr_is_loopback(const struct addr *addr)
{
	static const uint8_t one[16] = { [15] = 1 };
	struct addr a = addr_unmap(addr);

	return a.family == 4 ? a.ip[0] == 127 : a.family == 6 && !memcmp(a.ip, one, 16);
}

bool addr_is_link_local(const struct addr *addr)
{
	struct addr a = addr_unmap(addr);

	if (a.family == 4)
		return a.ip[0] == 169 && a.ip[1] == 254; /* RFC 3927 */
	return a.family == 6 && a.ip[0] == 0xfe && (a.ip[1] & 0xc0) == 0x80;
}

bool addr_is_multicast(const struct addr *addr)
{
	static const uint8_t broadcast[4] = { 255, 255, 255, 255 };
	struct addr a = addr_unmap(addr);

	if (a.family == 4)
		return (a.ip[0] & 0xf0) == 0xe0 || !memcmp(a.ip, broadcast, 4);
	return a.family == 6 && a.ip[0] == 0xff;
}

bool addr_is_unspecified(const struct addr *addr)
{
	static const uint8_t zero[16];
	struct addr a = addr_unmap(addr);

	return !a.family || !memcmp(a.ip, zero, a.family == 4 ? 4 : 16);
}

enum err cidr_parse(struct cidr *out, const char *text)
{
	const char *p = text;
	struct cidr c = { 0 };
	uint32_t bits;

	if (!ip_parse(&p, &c.net) || c.net.scope)
		return ERR_MALFORMED;
	bits = c.net.family == 4 ? 32 : 128;
	if (*p == '/') {
		p++;
		if (!number_parse(&p, bits, &bits))
			return ERR_MALFORMED;
	}
	if (*p)
		return ERR_MALFORMED;
	/* A block inside ::ffff:0:0/96 is an IPv4 block, or nothing that is looked at as IPv4 could be in it. */
	if (is_mapped(&c.net) && bits >= 96) {
		c.net = addr_unmap(&c.net);
		bits -= 96;
	}
	c.bits = (uint8_t)bits;
	*out = c;
	return ERR_OK;
}

char *cidr_print(const struct cidr *c, char buf[ADDR_TEXT_MAX])
{
	struct addr net = c->net;
	char *p;

	net.port = 0;
	net.scope = 0;
	p = ip_print(&net, buf, buf + ADDR_TEXT_MAX);
	snprintf(p, (size_t)(buf + ADDR_TEXT_MAX - p), "/%u", c->bits);
	return buf;
}

bool cidr_has(const struct cidr *c, const struct addr *addr)
{
	struct addr a = addr_unmap(addr);
	unsigned whole = c->bits / 8u, rest = c->bits % 8u;

	if (a.family != c->net.family)
		return false;
	if (memcmp(a.ip, c->net.ip, whole))
		return false;
	return !rest || !((a.ip[whole] ^ c->net.ip[whole]) >> (8 - rest));
}
