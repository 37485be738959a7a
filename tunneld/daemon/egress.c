/* SPDX-License-Identifier: MIT */
#include "tunneld/daemon/egress.h"

#include <assert.h>
#include <stdbool.h>

static bool any_has(const struct cidr *list, size_t n, const struct addr *a)
{
	for (size_t i = 0; i < n; i++)
		if (cidr_has(&list[i], a))
			return true;
	return false;
}

/*
 * Cloud metadata services outside the link-local block: Alibaba's IPv4, AWS's and GCP's IPv6. The
 * well-known 169.254.169.254 is link-local already and named only for its counter.
 */
static const char *const metadata[] = { "169.254.169.254", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254" };

static bool is_metadata(const struct addr *a)
{
	for (size_t i = 0; i < sizeof metadata / sizeof *metadata; i++) {
		struct addr m;

		if (addr_parse(&m, metadata[i]) == ERR_OK && addr_same_ip(&m, a))
			return true;
	}
	return false;
}

/* Blocks that name nothing one can connect to, or that mean "this machine" in disguise. */
static const char *const unusable[] = { "0.0.0.0/8", "240.0.0.0/4", "64:ff9b:1::/48", "::/96" };

static bool is_unusable(const struct addr *a)
{
	for (size_t i = 0; i < sizeof unusable / sizeof *unusable; i++) {
		struct cidr c;

		if (cidr_parse(&c, unusable[i]) == ERR_OK && cidr_has(&c, a))
			return true;
	}
	return false;
}

static bool is_own(const struct egress *e, const struct addr *a)
{
	for (size_t i = 0; i < e->own_count; i++)
		if (addr_same_ip(&e->own[i], a))
			return true;
	return false;
}

const char *egress_refuses(const struct egress *e, const struct addr *destination)
{
	/* ::ffff:127.0.0.1 is 127.0.0.1, whoever asks. */
	struct addr a = addr_unmap(destination);
	enum counter which;
	const char *why;

	if (any_has(e->deny, e->deny_count, &a))
		which = CNT_EgressDenied, why = "denied by egress.deny";
	else if (!a.port || addr_is_multicast(&a))
		which = CNT_EgressMulticast, why = "multicast, broadcast or port 0"; /* never, for TCP */
	else if (any_has(e->allow, e->allow_count, &a))
		return NULL;
	else if (addr_is_loopback(&a))
		which = CNT_EgressLoopback, why = "a loopback address";
	else if (addr_is_unspecified(&a) || is_unusable(&a))
		which = CNT_EgressUnusable, why = "an unspecified or reserved address";
	else if (is_metadata(&a))
		which = CNT_EgressMetadata, why = "a metadata service";
	else if (addr_is_link_local(&a))
		which = CNT_EgressLinkLocal, why = "a link-local address";
	else if (is_own(e, &a))
		which = CNT_EgressOwn, why = "an address of the gateway itself";
	else
		return NULL;
	count(e->counters, which);
	return why;
}
