/* SPDX-License-Identifier: MIT */
#include "tunneld/daemon/egress.c"

#include <string.h>

#include "tests/unit/unit.h"

static struct counters counters;

/* The counter that refuses text, or CNT_MAX: it may be dialled. */
static enum counter refuses(struct egress e, const char *text)
{
	struct addr a;

	CU_ASSERT_EQUAL_FATAL(addr_parse(&a, text), ERR_OK);
	memset(&counters, 0, sizeof counters);
	e.counters = &counters;
	if (!egress_refuses(&e, &a)) {
		for (int i = 0; i < CNT_MAX; i++)
			CU_ASSERT_EQUAL(counters.v[i], 0);
		return CNT_MAX;
	}
	for (int i = 0; i < CNT_MAX; i++)
		if (counters.v[i])
			return (enum counter)i;
	CU_FAIL("refused, but not counted");
	return CNT_MAX;
}

static void test_a_gateway_without_rules_refuses_its_own_insides(void)
{
	static const struct { const char *to; enum counter why; } rows[] = {
		{ "93.184.216.34:80",         CNT_MAX             },
		{ "10.1.2.3:80",              CNT_MAX             },
		{ "[2001:db8::1]:80",         CNT_MAX             },
		{ "127.0.0.1:80",             CNT_EgressLoopback  },
		{ "127.255.0.9:80",           CNT_EgressLoopback  },
		{ "[::1]:80",                 CNT_EgressLoopback  },
		{ "[::ffff:127.0.0.1]:80",    CNT_EgressLoopback  },
		{ "169.254.1.1:80",           CNT_EgressLinkLocal },
		{ "[fe80::1]:80",             CNT_EgressLinkLocal },
		{ "169.254.169.254:80",       CNT_EgressMetadata  },
		{ "[::ffff:a9fe:a9fe]:80",    CNT_EgressMetadata  },
		{ "100.100.100.200:80",       CNT_EgressMetadata  },
		{ "[fd00:ec2::254]:80",       CNT_EgressMetadata  },
		{ "224.0.0.1:80",             CNT_EgressMulticast },
		{ "255.255.255.255:80",       CNT_EgressMulticast },
		{ "[ff02::1]:80",             CNT_EgressMulticast },
		{ "0.0.0.0:80",               CNT_EgressUnusable  },
		{ "0.1.2.3:80",               CNT_EgressUnusable  },
		{ "[::]:80",                  CNT_EgressUnusable  },
		{ "[::127.0.0.1]:80",         CNT_EgressUnusable  },
		{ "250.0.0.1:80",             CNT_EgressUnusable  },
		{ "93.184.216.34",            CNT_EgressMulticast }, /* port 0 */
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		enum counter got = refuses((struct egress){ 0 }, rows[i].to);

		CU_ASSERT_EQUAL(got, rows[i].why);
		if (got != rows[i].why)
			fprintf(stderr, "%s: %s\n", rows[i].to, got < CNT_MAX ? counter_names[got] : "allowed");
	}
}

static struct cidr block(const char *text)
{
	struct cidr c;

	CU_ASSERT_EQUAL_FATAL(cidr_parse(&c, text), ERR_OK);
	return c;
}

static void test_allow_opens_what_is_named_and_no_more(void)
{
	struct cidr allow[] = { block("127.0.0.0/8"), block("169.254.169.254") };
	struct egress e = { .allow = allow, .allow_count = 2 };

	CU_ASSERT_EQUAL(refuses(e, "127.0.0.1:80"), CNT_MAX);
	CU_ASSERT_EQUAL(refuses(e, "[::ffff:127.0.0.1]:80"), CNT_MAX);
	CU_ASSERT_EQUAL(refuses(e, "169.254.169.254:80"), CNT_MAX);
	CU_ASSERT_EQUAL(refuses(e, "[::1]:80"), CNT_EgressLoopback);
	CU_ASSERT_EQUAL(refuses(e, "169.254.169.253:80"), CNT_EgressLinkLocal);
}

static void test_deny_goes_before_allow(void)
{
	struct cidr allow[] = { block("10.0.0.0/8") }, deny[] = { block("10.1.0.0/16"), block("::/0") };
	struct egress e = { .allow = allow, .allow_count = 1, .deny = deny, .deny_count = 2 };

	CU_ASSERT_EQUAL(refuses(e, "10.1.9.9:22"), CNT_EgressDenied);
	CU_ASSERT_EQUAL(refuses(e, "[::ffff:10.1.9.9]:22"), CNT_EgressDenied);
	CU_ASSERT_EQUAL(refuses(e, "10.2.9.9:22"), CNT_MAX);
	CU_ASSERT_EQUAL(refuses(e, "[2001:db8::1]:22"), CNT_EgressDenied);
}

static void test_no_allow_makes_multicast_a_destination(void)
{
	struct cidr allow[] = { block("0.0.0.0/0") };
	struct egress e = { .allow = allow, .allow_count = 1 };

	CU_ASSERT_EQUAL(refuses(e, "224.0.0.1:80"), CNT_EgressMulticast);
	CU_ASSERT_EQUAL(refuses(e, "127.0.0.1:80"), CNT_MAX);
}

static void test_the_gateways_own_addresses_are_refused(void)
{
	struct addr own[2];
	struct egress e = { .own = own, .own_count = 2 };

	CU_ASSERT_EQUAL_FATAL(addr_parse(&own[0], "192.0.2.7"), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(addr_parse(&own[1], "2001:db8::7"), ERR_OK);
	CU_ASSERT_EQUAL(refuses(e, "192.0.2.7:22"), CNT_EgressOwn);
	CU_ASSERT_EQUAL(refuses(e, "[2001:db8::7]:22"), CNT_EgressOwn);
	CU_ASSERT_EQUAL(refuses(e, "192.0.2.8:22"), CNT_MAX);
}

UNIT_MAIN("egress",
	T(test_a_gateway_without_rules_refuses_its_own_insides),
	T(test_allow_opens_what_is_named_and_no_more),
	T(test_deny_goes_before_allow),
	T(test_no_allow_makes_multicast_a_destination),
	T(test_the_gateways_own_addresses_are_refused))
