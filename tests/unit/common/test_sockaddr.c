/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "common/sockaddr.h"

static struct addr of(const char *text)
{
	struct addr a;

	if (addr_parse(&a, text) != ERR_OK)
		a = (struct addr){ 0 };
	return a;
}

static void test_addresses_come_back_from_the_kernels_form(void)
{
	static const struct { const char *text; sa_family_t family; socklen_t len; } known[] = {
		{ "192.0.2.1:80", AF_INET, sizeof(struct sockaddr_in) },
		{ "0.0.0.0", AF_INET, sizeof(struct sockaddr_in) },
		{ "[2001:db8::1]:443", AF_INET6, sizeof(struct sockaddr_in6) },
		{ "[fe80::1%7]:443", AF_INET6, sizeof(struct sockaddr_in6) },
		{ "[::ffff:192.0.2.1]:80", AF_INET6, sizeof(struct sockaddr_in6) },
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		struct addr a = of(known[i].text), back;
		struct sockaddr_storage ss;

		CU_ASSERT_EQUAL(sockaddr_of(&ss, &a), known[i].len);
		CU_ASSERT_EQUAL(ss.ss_family, known[i].family);
		CU_ASSERT_EQUAL(sockaddr_to_addr(&back, &ss, known[i].len), ERR_OK);
		CU_ASSERT_TRUE(addr_eq(&a, &back));
	}
}

static void test_ports_are_in_network_order(void)
{
	struct sockaddr_storage ss;
	struct sockaddr_in in4;
	struct addr a = of("192.0.2.1:258");

	sockaddr_of(&ss, &a);
	memcpy(&in4, &ss, sizeof in4);
	CU_ASSERT_EQUAL(memcmp(&in4.sin_port, "\1\2", 2), 0);
	CU_ASSERT_EQUAL(memcmp(&in4.sin_addr, "\300\0\2\1", 4), 0);
}

static void test_mapped_form_is_for_ipv6_sockets(void)
{
	struct addr v4 = of("192.0.2.1:80"), v6 = of("[2001:db8::1]:80"), back, un;
	struct sockaddr_storage ss;

	CU_ASSERT_EQUAL(sockaddr_of_mapped(&ss, &v4), sizeof(struct sockaddr_in6));
	CU_ASSERT_EQUAL(ss.ss_family, AF_INET6);
	CU_ASSERT_EQUAL(sockaddr_to_addr(&back, &ss, sizeof ss), ERR_OK);
	CU_ASSERT_EQUAL(back.family, 6); /* not unmapped by itself */
	un = addr_unmap(&back);
	CU_ASSERT_TRUE(addr_eq(&un, &v4));

	CU_ASSERT_EQUAL(sockaddr_of_mapped(&ss, &v6), sizeof(struct sockaddr_in6));
	CU_ASSERT_EQUAL(sockaddr_to_addr(&back, &ss, sizeof ss), ERR_OK);
	CU_ASSERT_TRUE(addr_eq(&back, &v6));
}

static void test_short_lengths_are_refused_where_the_kernel_refuses(void)
{
	struct addr v4 = of("192.0.2.1:80"), v6 = of("[fe80::1%7]:80"), out;
	struct sockaddr_storage ss;
	size_t len;

	len = sockaddr_of(&ss, &v4);
	for (size_t n = 0; n < len; n++)
		CU_ASSERT_EQUAL(sockaddr_to_addr(&out, &ss, n), ERR_TRUNCATED);
	sockaddr_of(&ss, &v6);
	for (size_t n = 0; n < offsetof(struct sockaddr_in6, sin6_scope_id); n++)
		CU_ASSERT_EQUAL(sockaddr_to_addr(&out, &ss, n), ERR_TRUNCATED);
	CU_ASSERT_EQUAL(sockaddr_to_addr(&out, &ss, offsetof(struct sockaddr_in6, sin6_scope_id) + 1), ERR_OK);
	CU_ASSERT_EQUAL(out.scope, 0);
	CU_ASSERT_EQUAL(sockaddr_to_addr(&out, &ss, sizeof(struct sockaddr_in6)), ERR_OK);
	CU_ASSERT_EQUAL(out.scope, 7);
}

static void test_other_families_are_unknown(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/x" };
	struct sockaddr_storage ss;
	struct addr out, none = { 0 };

	CU_ASSERT_EQUAL(sockaddr_to_addr(&out, &un, sizeof un), ERR_UNKNOWN);
	CU_ASSERT_EQUAL(out.family, 0);
	sockaddr_of(&ss, &none);
	CU_ASSERT_EQUAL(ss.ss_family, AF_UNSPEC);
	CU_ASSERT_EQUAL(sockaddr_to_addr(&out, &ss, sizeof ss), ERR_UNKNOWN);
}

static void test_bytes_need_not_be_aligned(void)
{
	struct addr a = of("[2001:db8::1]:80"), back;
	struct sockaddr_storage ss;
	uint8_t bytes[64];
	size_t len = sockaddr_of(&ss, &a);

	memcpy(bytes + 1, &ss, len);
	CU_ASSERT_EQUAL(sockaddr_to_addr(&back, bytes + 1, len), ERR_OK);
	CU_ASSERT_TRUE(addr_eq(&a, &back));
}

UNIT_MAIN("sockaddr",
	T(test_addresses_come_back_from_the_kernels_form),
	T(test_ports_are_in_network_order),
	T(test_mapped_form_is_for_ipv6_sockets),
	T(test_short_lengths_are_refused_where_the_kernel_refuses),
	T(test_other_families_are_unknown),
	T(test_bytes_need_not_be_aligned))
