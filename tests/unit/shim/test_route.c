/* SPDX-License-Identifier: MIT */
/* The file itself is included: its parsers are static, as everything in the library that need not be seen. */
#include "shim/lib/route.c"

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <stdlib.h>

static struct addr at(const char *ip)
{
	struct addr a = { .port = 80 };

	a.family = strchr(ip, ':') ? 6 : 4;
	CU_ASSERT_EQUAL(inet_pton(a.family == 4 ? AF_INET : AF_INET6, ip, a.ip), 1);
	return a;
}

static bool ours(const char *ip)
{
	struct addr a = at(ip);

	bool listed;

	return route_is_ours(&a, &listed);
}

static void bypass(const char *list)
{
	if (list)
		setenv("PLAIT_BYPASS", list, 1);
	else
		unsetenv("PLAIT_BYPASS");
	settings_read();
}

static void test_whose_facts_are_told_is_a_setting(void)
{
	unsetenv("PLAIT_INFO");
	settings_read();
	CU_ASSERT_FALSE(route_info_is_tunnels());
	setenv("PLAIT_INFO", "tunnel", 1);
	settings_read();
	CU_ASSERT_TRUE(route_info_is_tunnels());
	setenv("PLAIT_INFO", "hop", 1);
	settings_read();
	CU_ASSERT_FALSE(route_info_is_tunnels());
	unsetenv("PLAIT_INFO");
}

static void test_this_host_and_this_link_go_directly(void)
{
	static const char *const direct[] = {
		"127.0.0.1", "127.255.255.255", "0.0.0.0", "169.254.1.1", "::1", "::", "fe80::1", "febf::1", "::ffff:127.0.0.1",
		/* not TCP's at all: the kernel refuses them itself */
		"224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1",
	};
	static const char *const through[] = {
		"126.255.255.255", "128.0.0.1", "0.0.0.1", "169.253.1.1", "169.255.0.1", "10.0.0.1", "240.0.0.1", "::2",
		"fec0::1", "2001:db8::1", "::ffff:10.0.0.1", "fe7f::1",
	};

	bypass(NULL);
	for (size_t i = 0; i < sizeof direct / sizeof *direct; i++)
		CU_ASSERT_FALSE(ours(direct[i]));
	for (size_t i = 0; i < sizeof through / sizeof *through; i++)
		CU_ASSERT_TRUE(ours(through[i]));
}

static void test_what_the_user_listed_is_told_apart(void)
{
	struct addr far = at("10.1.1.1"), here = at("127.0.0.1"), mapped = at("::ffff:10.1.1.1"),
		    other = at("11.1.1.1");
	bool listed = false;

	bypass("10.0.0.0/8,127.0.0.0/8");
	CU_ASSERT_FALSE(route_is_ours(&far, &listed));
	CU_ASSERT_TRUE(listed);
	CU_ASSERT_FALSE(route_is_ours(&mapped, &listed));
	CU_ASSERT_TRUE(listed);
	CU_ASSERT_FALSE(route_is_ours(&here, &listed));
	CU_ASSERT_FALSE(listed);
	listed = true;
	CU_ASSERT_TRUE(route_is_ours(&other, &listed));
	CU_ASSERT_FALSE(listed);
}

static void test_a_list_is_added_to_the_usual(void)
{
	bypass("10.0.0.0/8, 2001:db8::/33,192.0.2.7");
	CU_ASSERT_FALSE(ours("10.255.0.1"));
	CU_ASSERT_FALSE(ours("::ffff:10.1.1.1"));
	CU_ASSERT_FALSE(ours("2001:db8:7fff::1"));
	CU_ASSERT_FALSE(ours("192.0.2.7"));
	CU_ASSERT_FALSE(ours("127.0.0.1"));
	CU_ASSERT_TRUE(ours("11.0.0.1"));
	CU_ASSERT_TRUE(ours("2001:db8:8000::1"));
	CU_ASSERT_TRUE(ours("192.0.2.8"));
}

static void test_none_clears_what_stood_before_it(void)
{
	bypass("none");
	CU_ASSERT_TRUE(ours("127.0.0.1"));
	CU_ASSERT_TRUE(ours("::1"));
	CU_ASSERT_FALSE(ours("224.0.0.1"));
	bypass("10.0.0.0/8,none,172.16.0.0/12");
	CU_ASSERT_TRUE(ours("10.0.0.1"));
	CU_ASSERT_FALSE(ours("172.31.0.1"));
	CU_ASSERT_TRUE(ours("127.0.0.1"));
}

static void test_every_destination_is_a_block_too(void)
{
	bypass("0.0.0.0/0,::/0");
	CU_ASSERT_FALSE(ours("10.0.0.1"));
	CU_ASSERT_FALSE(ours("2001:db8::1"));
}

static bool parses(const char *text)
{
	struct block b;

	return block_parse(&b, text, text + strlen(text));
}

static void test_what_is_no_block_is_told_from_one(void)
{
	static const char *const good[] = {
		"1.2.3.4", "0.0.0.0/0", "255.255.255.255/32", "::", "::/0", "1::", "::1/128", "a:b:c:d:e:f:1:2", "A::B/64", "1:2:3:4:5:6:7::",
		"::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4",
	};
	static const char *const bad[] = {
		"", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/-1", "1.2.3.4/8x", "1.2.3.0004", ":", ":::",
		"1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "::/129", "g::", "1:2:3:4:5:6:7:", "::1.2.3", "localhost",
		"1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:6:7:8::",
	};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (!parses(good[i]))
			CU_FAIL(good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (parses(bad[i])) {
			fprintf(stderr, "parses: \"%s\"\n", bad[i]);
			CU_FAIL("a bad block parses");
		}
}

static void test_an_ipv6_block_means_what_inet_pton_says(void)
{
	static const char *const texts[] = { "::", "1::", "::1", "1::8", "1:2::7:8", "a:b:c:d:e:f:1:2", "::ffff:1.2.3.4", "1:2:3:4:5:6:9.8.7.6", "fe80::1:0:0:1" };

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct addr want = at(texts[i]);
		struct block b;

		CU_ASSERT_TRUE(block_parse(&b, texts[i], texts[i] + strlen(texts[i])));
		CU_ASSERT_EQUAL(memcmp(b.ip, want.ip, 16), 0);
		CU_ASSERT_EQUAL(b.bits, 128);
	}
}

static void test_more_blocks_than_there_is_room_for_are_not_kept(void)
{
	static char list[4096];
	size_t n = 0;

	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(list + n, sizeof list - n, "10.%d.0.0/16,", i);
	setenv("PLAIT_LOG", "error", 1);
	bypass(list);
	CU_ASSERT_FALSE(ours("10.57.0.1"));
	CU_ASSERT_TRUE(ours("10.58.0.1"));
}

static const char *printed(const char *ip)
{
	static char text[80];
	struct addr a = at(ip);

	*put_addr(text, text + sizeof text - 1, &a) = 0;
	return text;
}

static void test_addresses_are_printed_as_people_write_them(void)
{
	CU_ASSERT_STRING_EQUAL(printed("10.0.0.1"), "10.0.0.1:80");
	CU_ASSERT_STRING_EQUAL(printed("2001:db8::1"), "[2001:db8::1]:80");
	CU_ASSERT_STRING_EQUAL(printed("::"), "[::]:80");
	CU_ASSERT_STRING_EQUAL(printed("1::"), "[1::]:80");
	CU_ASSERT_STRING_EQUAL(printed("::1"), "[::1]:80");
	CU_ASSERT_STRING_EQUAL(printed("1:0:0:2:0:0:0:3"), "[1:0:0:2::3]:80");
	CU_ASSERT_STRING_EQUAL(printed("1:2:3:4:5:6:7:8"), "[1:2:3:4:5:6:7:8]:80");
	CU_ASSERT_STRING_EQUAL(printed("1:0:3:4:5:6:7:8"), "[1:0:3:4:5:6:7:8]:80");
}

static void test_the_socket_is_looked_for_where_it_may_be(void)
{
	setenv("PLAIT_SOCKET", "/a/b.sock", 1);
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	settings_read();
	CU_ASSERT_STRING_EQUAL(route_socket(0), "/a/b.sock");
	CU_ASSERT_PTR_NULL(route_socket(1));
	unsetenv("PLAIT_SOCKET");
	settings_read();
	CU_ASSERT_STRING_EQUAL(route_socket(0), "/run/user/7/plait/tunneld.sock");
	CU_ASSERT_STRING_EQUAL(route_socket(1), "/run/plait/tunneld.sock");
	CU_ASSERT_PTR_NULL(route_socket(2));
	unsetenv("XDG_RUNTIME_DIR");
	settings_read();
	CU_ASSERT_STRING_EQUAL(route_socket(0), "/run/plait/tunneld.sock");
}

static void test_a_path_too_long_for_a_socket_is_none(void)
{
	char path[200] = { 0 };

	memset(path, 'x', sizeof path - 1);
	setenv("PLAIT_LOG", "error", 1);
	setenv("PLAIT_SOCKET", path, 1);
	settings_read();
	CU_ASSERT_PTR_NULL(route_socket(0));
	path[107] = 0;
	setenv("PLAIT_SOCKET", path, 1);
	settings_read();
	CU_ASSERT_STRING_EQUAL(route_socket(0), path);
}

static void test_fallback_is_refuse_unless_it_says_direct(void)
{
	setenv("PLAIT_FALLBACK", "direct", 1);
	settings_read();
	CU_ASSERT_EQUAL(set.fallback, FALLBACK_DIRECT);
	setenv("PLAIT_FALLBACK", "Direct", 1);
	settings_read();
	CU_ASSERT_EQUAL(set.fallback, FALLBACK_REFUSE);
	unsetenv("PLAIT_FALLBACK");
	settings_read();
	CU_ASSERT_EQUAL(set.fallback, FALLBACK_REFUSE);
}

UNIT_MAIN("route",
	T(test_whose_facts_are_told_is_a_setting),
	T(test_this_host_and_this_link_go_directly),
	T(test_what_the_user_listed_is_told_apart),
	T(test_a_list_is_added_to_the_usual),
	T(test_none_clears_what_stood_before_it),
	T(test_every_destination_is_a_block_too),
	T(test_what_is_no_block_is_told_from_one),
	T(test_an_ipv6_block_means_what_inet_pton_says),
	T(test_more_blocks_than_there_is_room_for_are_not_kept),
	T(test_addresses_are_printed_as_people_write_them),
	T(test_the_socket_is_looked_for_where_it_may_be),
	T(test_a_path_too_long_for_a_socket_is_none),
	T(test_fallback_is_refuse_unless_it_says_direct))
