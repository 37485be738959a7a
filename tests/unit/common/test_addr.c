/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/addr.h"

static struct addr of(const char *text)
{
	struct addr a;

	if (addr_parse(&a, text) != ERR_OK)
		a = (struct addr){ 0 };
	return a;
}

static bool has(const char *cidr, const char *text)
{
	struct cidr c;
	struct addr a = of(text);

	CU_ASSERT_EQUAL(cidr_parse(&c, cidr), ERR_OK);
	CU_ASSERT_NOT_EQUAL(a.family, 0);
	return cidr_has(&c, &a);
}

static void test_addresses_are_printed_canonically(void)
{
	static const struct { const char *given, *printed; } pairs[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "192.0.2.1:80", "192.0.2.1:80" },
		{ "0.0.0.0:65535", "0.0.0.0:65535" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "192.0.2.1:0", "192.0.2.1" },
		{ "::", "::" },
		{ "::1", "::1" },
		{ "1::", "1::" },
		{ "[::1]", "::1" },
		{ "[::]:4500", "[::]:4500" },
		{ "[2001:db8::1]:80", "[2001:db8::1]:80" },
		{ "2001:DB8:0:0:0:0:0:1", "2001:db8::1" },
		{ "2001:db8::0:1", "2001:db8::1" },                      /* RFC 5952 4.2.1 */
		{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" },      /* 4.2.2 */
		{ "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" },               /* 4.2.3 */
		{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },         /* 4.2.3 */
		{ "0:0:0:0:0:0:0:1", "::1" },
		{ "1:0:0:0:0:0:0:0", "1::" },
		{ "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
		{ "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8" },
		{ "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8" },
		{ "::ffff:192.0.2.1", "::ffff:192.0.2.1" },
		{ "::ffff:c000:201", "::ffff:192.0.2.1" },               /* 5 */
		{ "64:ff9b::192.0.2.33", "64:ff9b::c000:221" },
		{ "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304" },
		{ "fe80::1%3", "fe80::1%3" },
		{ "[fe80::1%3]:80", "[fe80::1%3]:80" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		char buf[ADDR_TEXT_MAX];
		struct addr a, again;

		CU_ASSERT_EQUAL(addr_parse(&a, pairs[i].given), ERR_OK);
		CU_ASSERT_STRING_EQUAL(addr_print(&a, buf), pairs[i].printed);
		CU_ASSERT_EQUAL(addr_parse(&again, buf), ERR_OK);
		CU_ASSERT_TRUE(addr_eq(&a, &again));
	}
}

static void test_longest_text_fits(void)
{
	char buf[ADDR_TEXT_MAX];
	struct addr a = of("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");

	CU_ASSERT_STRING_EQUAL(addr_print(&a, buf), "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}

static void test_no_address_prints_as_none(void)
{
	char buf[ADDR_TEXT_MAX];
	struct addr a = { 0 };

	CU_ASSERT_STRING_EQUAL(addr_print(&a, buf), "none");
}

static void test_what_is_no_address_is_refused(void)
{
	static const char *const bad[] = {
		"", " ", "x", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.4 ", " 1.2.3.4", "01.2.3.4", "1.2.3.04", "1..2.3",
		"1.2.3.", ".1.2.3", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:+1", "1.2.3.4:080", "1.2.3.4:80x",
		"1.2.3.4:80:80", "1.2.3.4%1", "0x1.2.3.4", "1.2.3.1000", "[1.2.3.4]", "[1.2.3.4]:80", "localhost", "1.2.3.4/8",
		":", ":::", ":1", "1:", "1:2", "::1::", "1::2::3", "12345::", "g::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3", "::1.2.3.4.5", "::1.2.3.4:1", "[", "[]",
		"[::1", "::1]", "[::1]x", "[::1]:", "[::1]:x", "[::1]80", "[[::1]]", "fe80::1%", "fe80::1%eth0", "fe80::1%4294967296",
		"::/0", "1:2:3:4:5:6:7:", "1::2:", "::ffff:1.2.3.4:80", "99999999999999999999.1.1.1",
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct addr a = { .family = 9, .port = 9 };

		CU_ASSERT_EQUAL(addr_parse(&a, bad[i]), ERR_MALFORMED);
		if (a.family != 9 || a.port != 9)
			fprintf(stderr, "\"%s\" was taken\n", bad[i]);
		CU_ASSERT_EQUAL(a.family, 9); /* left alone */
	}
}

/* Each text cut anywhere is an address of its own or refused, and never read past its end (ASan). */
static void test_short_prefixes_end_well(void)
{
	static const char *const good[] = { "192.0.2.1:8080", "[2001:db8::1:2]:443", "1:2:3:4:5:6:1.2.3.4", "[fe80::1%3]:1" };

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		for (size_t n = 0; n < strlen(good[i]); n++) {
			char *cut = strndup(good[i], n), buf[ADDR_TEXT_MAX];
			struct addr a, again;

			if (addr_parse(&a, cut) == ERR_OK) {
				CU_ASSERT_EQUAL(addr_parse(&again, addr_print(&a, buf)), ERR_OK);
				CU_ASSERT_TRUE(addr_eq(&a, &again));
			}
			free(cut);
		}
	}
}

static void test_equality_knows_ip_port_and_scope(void)
{
	struct addr a = of("192.0.2.1:80"), b = of("192.0.2.1:81"), six = of("::1"), link = of("fe80::1%2"), other = of("fe80::1%3");

	CU_ASSERT_TRUE(addr_eq(&a, &a));
	CU_ASSERT_FALSE(addr_eq(&a, &b));
	CU_ASSERT_TRUE(addr_same_ip(&a, &b));
	CU_ASSERT_FALSE(addr_same_ip(&a, &six));
	CU_ASSERT_TRUE(addr_same_ip(&link, &other));
	CU_ASSERT_FALSE(addr_eq(&link, &other));
}

static void test_mapped_addresses_are_unmapped_only_on_demand(void)
{
	struct addr mapped = of("[::ffff:192.0.2.1]:80"), v4 = of("192.0.2.1:80"), v6 = of("[2001:db8::1]:80"), compat = of("::192.0.2.1");
	struct addr un = addr_unmap(&mapped);

	CU_ASSERT_FALSE(addr_eq(&mapped, &v4));
	CU_ASSERT_TRUE(addr_eq(&un, &v4));
	un = addr_unmap(&v6);
	CU_ASSERT_TRUE(addr_eq(&un, &v6));
	un = addr_unmap(&v4);
	CU_ASSERT_TRUE(addr_eq(&un, &v4));
	un = addr_unmap(&compat);
	CU_ASSERT_TRUE(addr_eq(&un, &compat));
}

static void test_kinds_of_addresses(void)
{
	enum { LOOP = 1, LINK = 2, MULTI = 4, UNSPEC = 8 };
	static const struct { const char *text; int kinds; } known[] = {
		{ "127.0.0.1", LOOP }, { "127.255.255.254", LOOP }, { "128.0.0.1", 0 }, { "126.0.0.1", 0 },
		{ "::1", LOOP }, { "::2", 0 }, { "::ffff:127.0.0.1", LOOP },
		{ "169.254.0.1", LINK }, { "169.253.0.1", 0 }, { "fe80::1", LINK }, { "febf::1", LINK }, { "fec0::1", 0 },
		{ "::ffff:169.254.169.254", LINK },
		{ "224.0.0.1", MULTI }, { "239.255.255.255", MULTI }, { "240.0.0.1", 0 }, { "255.255.255.255", MULTI },
		{ "ff02::1", MULTI }, { "::ffff:224.0.0.1", MULTI },
		{ "0.0.0.0", UNSPEC }, { "::", UNSPEC }, { "::ffff:0.0.0.0", UNSPEC }, { "0.0.0.1", 0 }, { "10.0.0.1", 0 },
	};
	struct addr none = { 0 };

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		struct addr a = of(known[i].text);
		int kinds = (addr_is_loopback(&a) ? LOOP : 0) | (addr_is_link_local(&a) ? LINK : 0) |
			    (addr_is_multicast(&a) ? MULTI : 0) | (addr_is_unspecified(&a) ? UNSPEC : 0);

		CU_ASSERT_NOT_EQUAL(a.family, 0);
		CU_ASSERT_EQUAL(kinds, known[i].kinds);
		if (kinds != known[i].kinds)
			fprintf(stderr, "%s\n", known[i].text);
	}
	CU_ASSERT_TRUE(addr_is_unspecified(&none));
	CU_ASSERT_FALSE(addr_is_loopback(&none));
}

static void test_blocks_have_what_is_in_them(void)
{
	CU_ASSERT_TRUE(has("10.0.0.0/8", "10.255.255.255"));
	CU_ASSERT_FALSE(has("10.0.0.0/8", "11.0.0.0"));
	CU_ASSERT_TRUE(has("10.1.2.3/8", "10.0.0.1")); /* host bits in the text do not matter */
	CU_ASSERT_TRUE(has("172.16.0.0/12", "172.31.255.255"));
	CU_ASSERT_FALSE(has("172.16.0.0/12", "172.32.0.0"));
	CU_ASSERT_TRUE(has("0.0.0.0/0", "203.0.113.9"));
	CU_ASSERT_FALSE(has("0.0.0.0/0", "2001:db8::1"));
	CU_ASSERT_TRUE(has("192.0.2.1", "192.0.2.1:80"));
	CU_ASSERT_FALSE(has("192.0.2.1", "192.0.2.2"));
	CU_ASSERT_TRUE(has("192.0.2.128/25", "192.0.2.129"));
	CU_ASSERT_FALSE(has("192.0.2.128/25", "192.0.2.127"));
	CU_ASSERT_TRUE(has("::1", "::1"));
	CU_ASSERT_FALSE(has("::1", "::2"));
	CU_ASSERT_TRUE(has("fe80::/10", "febf::1"));
	CU_ASSERT_FALSE(has("fe80::/10", "fec0::1"));
	CU_ASSERT_TRUE(has("::/0", "2001:db8::1"));
	CU_ASSERT_FALSE(has("::/0", "192.0.2.1"));
	CU_ASSERT_TRUE(has("2001:db8::/127", "2001:db8::1"));
	CU_ASSERT_FALSE(has("2001:db8::/127", "2001:db8::2"));
}

/* A rule about 127.0.0.0/8 cannot be walked around through ::ffff:127.0.0.1. */
static void test_mapped_addresses_are_looked_at_as_ipv4(void)
{
	CU_ASSERT_TRUE(has("127.0.0.0/8", "::ffff:127.0.0.1"));
	CU_ASSERT_TRUE(has("::ffff:10.0.0.0/104", "10.1.1.1"));
	CU_ASSERT_TRUE(has("::ffff:10.0.0.0/104", "::ffff:10.1.1.1"));
	CU_ASSERT_FALSE(has("::ffff:10.0.0.0/104", "11.0.0.1"));
	CU_ASSERT_TRUE(has("::ffff:0:0/96", "192.0.2.1"));
	CU_ASSERT_FALSE(has("::/0", "::ffff:192.0.2.1"));
}

static void test_no_address_is_in_no_block(void)
{
	struct addr none = { 0 };
	struct cidr c;

	CU_ASSERT_EQUAL(cidr_parse(&c, "0.0.0.0/0"), ERR_OK);
	CU_ASSERT_FALSE(cidr_has(&c, &none));
}

static void test_blocks_print_with_their_length(void)
{
	static const struct { const char *given, *printed; } pairs[] = {
		{ "10.0.0.0/8", "10.0.0.0/8" }, { "::1", "::1/128" }, { "192.0.2.1", "192.0.2.1/32" }, { "::/0", "::/0" },
		{ "::ffff:10.0.0.0/104", "10.0.0.0/8" },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		char buf[ADDR_TEXT_MAX];
		struct cidr c;

		CU_ASSERT_EQUAL(cidr_parse(&c, pairs[i].given), ERR_OK);
		CU_ASSERT_STRING_EQUAL(cidr_print(&c, buf), pairs[i].printed);
	}
}

static void test_what_is_no_block_is_refused(void)
{
	static const char *const bad[] = {
		"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0.0/08", "10.0.0.0/8/8", "10/8", "::/129",
		"[::]/0", "10.0.0.1:80", "10.0.0.1:80/32", "fe80::%1/64", "10.0.0.0 /8", "10.0.0.0/4294967304",
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct cidr c = { .bits = 77 };

		CU_ASSERT_EQUAL(cidr_parse(&c, bad[i]), ERR_MALFORMED);
		CU_ASSERT_EQUAL(c.bits, 77);
	}
}

UNIT_MAIN("addr",
	T(test_addresses_are_printed_canonically),
	T(test_longest_text_fits),
	T(test_no_address_prints_as_none),
	T(test_what_is_no_address_is_refused),
	T(test_short_prefixes_end_well),
	T(test_equality_knows_ip_port_and_scope),
	T(test_mapped_addresses_are_unmapped_only_on_demand),
	T(test_kinds_of_addresses),
	T(test_blocks_have_what_is_in_them),
	T(test_mapped_addresses_are_looked_at_as_ipv4),
	T(test_no_address_is_in_no_block),
	T(test_blocks_print_with_their_length),
	T(test_what_is_no_block_is_refused))
