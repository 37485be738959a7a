/* SPDX-License-Identifier: MIT */
/*
 * Which destinations are ours, and the other settings: PLAIT_SOCKET, PLAIT_BYPASS, PLAIT_FALLBACK,
 * PLAIT_INFO, PLAIT_LOG. They are copied once, by the library's only constructor: nginx, for one, clears its
 * environment before its first connect(). After that nothing here is written but the "said" flag.
 */
#include "shim/lib/shim.h"

#include <string.h>
#include <sys/stat.h>

enum { BYPASS_MAX = 64, PATH_BYTES = 108 /* sun_path */ };

struct block {
	uint8_t family, bits;
	uint8_t ip[16];
};

enum fallback { FALLBACK_REFUSE, FALLBACK_DIRECT };

static struct {
	bool ready, info_tunnel;
	enum fallback fallback;
	enum say_level level;
	unsigned bypass_count, sockets;
	struct block bypass[BYPASS_MAX];
	char socket[2][PATH_BYTES];
} set;

/* What goes direct unless PLAIT_BYPASS says "none": this host and this link. 0.0.0.0 and :: mean
 * this host. */
static const struct block usual[] = {
	{ 4, 8,   { 127 } },
	{ 4, 32,  { 0 } },
	{ 4, 16,  { 169, 254 } },
	{ 6, 128, { [15] = 1 } },
	{ 6, 128, { 0 } },
	{ 6, 10,  { 0xfe, 0x80 } },
};

extern char **environ __attribute__((weak));

static const char *env(const char *name)
{
	size_t n = 0;

	while (name[n])
		n++;
	for (char **e = &environ ? environ : NULL; e && *e; e++) {
		size_t i = 0;

		while (i < n && (*e)[i] == name[i])
			i++;
		if (i == n && (*e)[n] == '=')
			return *e + n + 1;
	}
	return NULL;
}

static bool text_is(const char *a, size_t len, const char *b)
{
	size_t i = 0;

	while (i < len && b[i] && a[i] == b[i])
		i++;
	return i == len && !b[i];
}

static size_t text_len(const char *a)
{
	size_t n = 0;

	while (a[n])
		n++;
	return n;
}

/* Appends, cutting at the end of the room. */
static char *put(char *at, char *end, const char *text)
{
	while (*text && at < end)
		*at++ = *text++;
	return at;
}

static char *put_number(char *at, char *end, unsigned v, unsigned base)
{
	char digits[12];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (n && at < end)
		*at++ = digits[--n];
	return at;
}

static char *put_addr(char *at, char *end, const struct addr *a)
{
	const uint8_t *ip = a->ip;
	int zeros_at = -1, zeros = 1;

	if (a->family == 4) {
		for (int i = 0; i < 4; i++) {
			at = put_number(at, end, ip[i], 10);
			at = put(at, end, i < 3 ? "." : ":");
		}
		return put_number(at, end, a->port, 10);
	}
	/* RFC 5952 4.2: the longest run of two or more zero groups is "::". */
	for (int i = 0; i < 8; i++) {
		int n = 0;

		while (i + n < 8 && !ip[2 * (i + n)] && !ip[2 * (i + n) + 1])
			n++;
		if (n > zeros) {
			zeros = n;
			zeros_at = i;
		}
	}
	at = put(at, end, "[");
	for (int i = 0; i < 8; i++) {
		if (i == zeros_at) {
			at = put(at, end, "::");
			i += zeros - 1;
			continue;
		}
		if (i && i != zeros_at + zeros)
			at = put(at, end, ":");
		else if (i && zeros_at < 0)
			at = put(at, end, ":");
		at = put_number(at, end, (unsigned)(ip[2 * i] << 8 | ip[2 * i + 1]), 16);
	}
	at = put(at, end, "]:");
	return put_number(at, end, a->port, 10);
}

/* stderr, unless descriptor 2 is a network connection of the application (inetd, ssh): bytes there
 * are data. */
static void say_line(const char *line, size_t len)
{
	union sockaddr_any sa;
	socklen_t sa_len = sizeof sa;

	if (!sys_getsockname(2, &sa, &sa_len) &&
	    (sa.sa.sa_family == AF_INET || sa.sa.sa_family == AF_INET6))
		return;
	sys_write(2, line, len);
}

static void settings_read(void);

static void say(enum say_level level, const struct addr *dest, const char *what, const char *tail)
{
	static bool said;
	char line[320], *at = line, *end = line + sizeof line - 1;

	if (!set.ready)
		settings_read();
	if (level > set.level)
		return;
	if (level <= SAY_WARN) {
		if (said)
			return;
		said = true;
	}
	at = put(at, end, "libplait: ");
	if (dest) {
		at = put(at, end, "connect to ");
		at = put_addr(at, end, dest);
		at = put(at, end, ": ");
	}
	at = put(at, end, what);
	at = put(at, end, tail);
	*at++ = '\n';
	say_line(line, (size_t)(at - line));
}

void route_say(enum say_level level, const struct addr *dest, const char *what)
{
	say(level, dest, what, "");
}

bool route_without_tunnel(const struct addr *dest, const char *why)
{
	bool direct = set.fallback == FALLBACK_DIRECT;

	if (direct)
		say(SAY_WARN, dest, why, ": connected directly (PLAIT_FALLBACK)");
	else
		say(SAY_ERROR, dest, why, ": refused");
	return direct;
}

/* --- PLAIT_BYPASS --- */

static int number(const char **at, const char *end, unsigned max)
{
	unsigned v = 0;
	const char *start = *at;

	while (*at < end && **at >= '0' && **at <= '9') {
		v = v * 10 + (unsigned)(*(*at)++ - '0');
		if (v > max || *at - start > 3)
			return -1;
	}
	return *at == start ? -1 : (int)v;
}

static bool ip4_parse(uint8_t ip[4], const char **at, const char *end)
{
	for (int i = 0; i < 4; i++) {
		int v = number(at, end, 255);

		if (v < 0)
			return false;
		ip[i] = (uint8_t)v;
		if (i < 3 && (*at == end || *(*at)++ != '.'))
			return false;
	}
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 4291 2.2, the forms with "::" and with a trailing IPv4 address included. */
static bool ip6_parse(uint8_t ip[16], const char **at, const char *end)
{
	int n = 0, gap = -1;

	if (end - *at >= 2 && (*at)[0] == ':' && (*at)[1] == ':') {
		gap = 0;
		*at += 2;
	}
	while (n < 16 && *at < end && hex_digit(**at) >= 0) {
		const char *group = *at, *v4 = *at;
		unsigned v = 0;

		while (*at < end && hex_digit(**at) >= 0 && *at - group < 5)
			v = v << 4 | (unsigned)hex_digit(*(*at)++);
		if (*at < end && **at == '.' && n <= 12) {
			if (!ip4_parse(ip + n, &v4, end))
				return false;
			*at = v4;
			n += 4;
			break;
		}
		if (*at - group > 4)
			return false;
		ip[n++] = (uint8_t)(v >> 8);
		ip[n++] = (uint8_t)v;
		if (*at == end || **at != ':')
			break;
		if (end - *at >= 2 && (*at)[1] == ':') {
			if (gap >= 0)
				return false;
			gap = n;
			*at += 2;
		} else if (n < 16) {
			(*at)++;
			if (*at == end || hex_digit(**at) < 0)
				return false;
		}
	}
	if (gap < 0)
		return n == 16;
	if (n == 16)
		return false;
	for (int i = n - 1; i >= gap; i--) {
		ip[16 - n + i] = ip[i];
		ip[i] = 0;
	}
	return true;
}

static bool block_parse(struct block *b, const char *at, const char *end)
{
	const char *p = at;
	int bits;

	memset(b, 0, sizeof *b);
	if (ip4_parse(b->ip, &p, end)) {
		b->family = 4;
	} else {
		p = at;
		memset(b->ip, 0, sizeof b->ip);
		if (!ip6_parse(b->ip, &p, end))
			return false;
		b->family = 6;
	}
	bits = b->family == 4 ? 32 : 128;
	if (p < end && *p == '/') {
		p++;
		bits = number(&p, end, (unsigned)bits);
	}
	b->bits = (uint8_t)bits;
	return bits >= 0 && p == end;
}

static void bypass_read(const char *list)
{
	for (unsigned i = 0; i < sizeof usual / sizeof *usual; i++)
		set.bypass[set.bypass_count++] = usual[i];
	while (list && *list) {
		const char *start, *end;

		while (*list == ',' || *list == ' ')
			list++;
		start = list;
		while (*list && *list != ',')
			list++;
		end = list;
		while (end > start && end[-1] == ' ')
			end--;
		if (end == start)
			continue;
		if (text_is(start, (size_t)(end - start), "none"))
			set.bypass_count = 0;
		else if (set.bypass_count == BYPASS_MAX)
			route_say(SAY_WARN, NULL,
				  "PLAIT_BYPASS: only 58 blocks are kept; the others go through "
				  "plait");
		else if (block_parse(&set.bypass[set.bypass_count], start, end))
			set.bypass_count++;
		else
			route_say(SAY_WARN, NULL,
				  "PLAIT_BYPASS: not a list of CIDR blocks; what is not one is "
				  "ignored");
	}
}

static bool block_has(const struct block *b, const struct addr *a)
{
	unsigned whole = b->bits / 8, rest = b->bits % 8;

	if (b->family != a->family)
		return false;
	for (unsigned i = 0; i < whole; i++)
		if (b->ip[i] != a->ip[i])
			return false;
	return !rest || !((b->ip[whole] ^ a->ip[whole]) & (0xff00 >> rest) & 0xff);
}

/* --- all of them --- */

static void socket_add(const char *path, const char *tail)
{
	char *at = set.socket[set.sockets], *end = at + PATH_BYTES - 1;

	if (text_len(path) + text_len(tail) >= PATH_BYTES) {
		route_say(SAY_WARN, NULL,
			  "the path of tunneld's socket is longer than a socket's can be");
		return;
	}
	at = put(at, end, path);
	at = put(at, end, tail);
	*at = 0;
	set.sockets++;
}

static void settings_read(void)
{
	const char *v = env("PLAIT_LOG");
	size_t n = v ? text_len(v) : 0;

	set.ready = true;
	set.bypass_count = set.sockets = 0;
	set.level = SAY_WARN;
	if (text_is(v, n, "error"))
		set.level = SAY_ERROR;
	else if (text_is(v, n, "info"))
		set.level = SAY_INFO;
	else if (text_is(v, n, "debug"))
		set.level = SAY_DEBUG;

	v = env("PLAIT_FALLBACK");
	set.fallback = FALLBACK_REFUSE;
	if (v && text_is(v, text_len(v), "direct"))
		set.fallback = FALLBACK_DIRECT;
	else if (v && *v && !text_is(v, text_len(v), "refuse"))
		route_say(SAY_WARN, NULL, "PLAIT_FALLBACK is neither refuse nor direct: refuse");

	v = env("PLAIT_INFO");
	set.info_tunnel = v && text_is(v, text_len(v), "tunnel");
	if (v && *v && !set.info_tunnel && !text_is(v, text_len(v), "hop"))
		route_say(SAY_WARN, NULL, "PLAIT_INFO is neither hop nor tunnel: hop");

	bypass_read(env("PLAIT_BYPASS"));

	v = env("PLAIT_SOCKET");
	if (v && *v) {
		socket_add(v, "");
		return;
	}
	v = env("XDG_RUNTIME_DIR");
	if (v && *v)
		socket_add(v, "/plait/tunneld.sock");
	socket_add("/run/plait/tunneld.sock", "");
}

__attribute__((constructor)) static void settings_copy(void)
{
	settings_read();
}

static bool is_usual(const struct addr *a)
{
	for (unsigned i = 0; i < sizeof usual / sizeof *usual; i++)
		if (block_has(&usual[i], a))
			return true;
	return false;
}

bool route_is_ours(const struct addr *dest, bool *listed)
{
	struct addr a = *dest;
	bool broadcast = true, mapped = a.family == 6 && a.ip[10] == 0xff && a.ip[11] == 0xff;

	*listed = false;
	if (!set.ready) /* another library's constructor connects before ours has run */
		settings_read();
	for (int i = 0; i < 10; i++)
		mapped = mapped && !a.ip[i];
	if (mapped) {
		a.family = 4;
		for (int i = 0; i < 4; i++)
			a.ip[i] = a.ip[12 + i];
	}
	/* No TCP goes there: the kernel's own answer is the right one. */
	for (int i = 0; i < 4; i++)
		broadcast = broadcast && a.ip[i] == 0xff;
	if (a.family == 4 ? (a.ip[0] & 0xf0) == 0xe0 || broadcast : a.ip[0] == 0xff)
		return false;
	for (unsigned i = 0; i < set.bypass_count; i++)
		if (block_has(&set.bypass[i], &a)) {
			*listed = !is_usual(&a);
			return false;
		}
	return true;
}

bool route_info_is_tunnels(void)
{
	if (!set.ready)
		settings_read();
	return set.info_tunnel;
}

const char *route_socket(unsigned nth) { return nth < set.sockets ? set.socket[nth] : NULL; }
