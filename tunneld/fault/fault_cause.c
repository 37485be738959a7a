/* SPDX-License-Identifier: MIT */
/* Causes, and what ICMP types and errnos mean in them. Tables, one row a meaning. */
#include "tunneld/fault/fault.h"

#include <errno.h>
#include <stddef.h>

const char *fault_source_name(enum fault_source s)
{
	static const char *const names[FAULT_SOURCES] = {
		[FAULT_LINK] = "link", [FAULT_ADDRESS] = "address", [FAULT_SEND] = "send", [FAULT_ICMP] = "icmp",
		[FAULT_PROBE] = "probe", [FAULT_TIMEOUT] = "timeout", [FAULT_RESET] = "reset", [FAULT_CORRUPT] = "corrupt",
		[FAULT_DECRYPT] = "decrypt", [FAULT_MTU] = "mtu", [FAULT_ANNOUNCED] = "announced",
	};

	return (unsigned)s < FAULT_SOURCES ? names[s] : "?";
}

const char *fault_told_name(enum fault_told t)
{
	static const char *const names[] = {
		[TOLD_NOT] = "no", [TOLD_WAITING] = "waiting", [TOLD_SENT] = "sent", [TOLD_ARRIVED] = "arrived",
		[TOLD_NEVER] = "given up",
	};

	return (unsigned)t < sizeof names / sizeof *names ? names[t] : "?";
}

const char *fault_cause_text(uint8_t cause)
{
	static const char *const texts[] = {
		[CAUSE_UNSPECIFIED] = "unspecified", [CAUSE_MPTCP_ERROR] = "MPTCP-specific error",
		[CAUSE_NO_RESOURCES] = "lack of resources", [CAUSE_PROHIBITED] = "administratively prohibited",
		[CAUSE_OUTSTANDING_DATA] = "too much outstanding data", [CAUSE_PERFORMANCE] = "unacceptable performance",
		[CAUSE_MIDDLEBOX] = "middlebox interference", [CAUSE_NET_UNREACHABLE] = "network unreachable",
		[CAUSE_HOST_UNREACHABLE] = "host unreachable", [CAUSE_ROUTING_FAILED] = "routing failed",
		[CAUSE_SERVER_SUPPRESSION] = "server suppression", [CAUSE_TTL_ZERO] = "TTL is zero",
	};

	return cause < sizeof texts / sizeof *texts && texts[cause] ? texts[cause] : "unassigned";
}

enum { ANY = -1 };
static const struct icmp_row {
	uint8_t family, type;
	int code;
	struct fault_meaning means;
} icmp_rows[] = {
	/* RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1 */
	{ 4, 3, 0,   { CAUSE_NET_UNREACHABLE,    true,  false, "network unreachable" } },
	{ 4, 3, 1,   { CAUSE_HOST_UNREACHABLE,   true,  false, "host unreachable" } },
	{ 4, 3, 2,   { CAUSE_HOST_UNREACHABLE,   true,  true,  "protocol unreachable" } },
	{ 4, 3, 3,   { CAUSE_HOST_UNREACHABLE,   true,  false, "port unreachable" } },
	{ 4, 3, 4,   { CAUSE_UNSPECIFIED,        false, false, "fragmentation needed" } },
	{ 4, 3, 5,   { CAUSE_ROUTING_FAILED,     true,  false, "source route failed" } },
	{ 4, 3, 6,   { CAUSE_NET_UNREACHABLE,    true,  false, "destination network unknown" } },
	{ 4, 3, 7,   { CAUSE_HOST_UNREACHABLE,   true,  false, "destination host unknown" } },
	{ 4, 3, 8,   { CAUSE_ROUTING_FAILED,     true,  false, "source host isolated" } },
	{ 4, 3, 9,   { CAUSE_PROHIBITED,         true,  true,  "network administratively prohibited" } },
	{ 4, 3, 10,  { CAUSE_PROHIBITED,         true,  true,  "host administratively prohibited" } },
	{ 4, 3, 11,  { CAUSE_NET_UNREACHABLE,    true,  false, "network unreachable for this type of service" } },
	{ 4, 3, 12,  { CAUSE_HOST_UNREACHABLE,   true,  false, "host unreachable for this type of service" } },
	{ 4, 3, 13,  { CAUSE_PROHIBITED,         true,  true,  "communication administratively prohibited" } },
	{ 4, 3, ANY, { CAUSE_PROHIBITED,         true,  false, "destination unreachable" } },
	{ 4, 4, ANY, { CAUSE_SERVER_SUPPRESSION, true,  false, "source quench" } },
	{ 4, 11, 0,  { CAUSE_TTL_ZERO,           true,  false, "time to live exceeded in transit" } },
	{ 4, 11, ANY, { CAUSE_MIDDLEBOX,         true,  false, "fragment reassembly time exceeded" } },
	{ 4, 12, ANY, { CAUSE_MIDDLEBOX,         true,  false, "parameter problem" } },
	/* RFC 4443 3 */
	{ 6, 1, 0,   { CAUSE_NET_UNREACHABLE,    true,  false, "no route to destination" } },
	{ 6, 1, 1,   { CAUSE_PROHIBITED,         true,  true,  "communication administratively prohibited" } },
	{ 6, 1, 2,   { CAUSE_ROUTING_FAILED,     true,  false, "beyond scope of source address" } },
	{ 6, 1, 3,   { CAUSE_HOST_UNREACHABLE,   true,  false, "address unreachable" } },
	{ 6, 1, 4,   { CAUSE_HOST_UNREACHABLE,   true,  false, "port unreachable" } },
	{ 6, 1, 5,   { CAUSE_PROHIBITED,         true,  true,  "source address failed ingress or egress policy" } },
	{ 6, 1, 6,   { CAUSE_ROUTING_FAILED,     true,  false, "reject route to destination" } },
	{ 6, 1, ANY, { CAUSE_HOST_UNREACHABLE,   true,  false, "destination unreachable" } },
	{ 6, 2, ANY, { CAUSE_UNSPECIFIED,        false, false, "packet too big" } },
	{ 6, 3, 0,   { CAUSE_TTL_ZERO,           true,  false, "hop limit exceeded in transit" } },
	{ 6, 3, ANY, { CAUSE_MIDDLEBOX,          true,  false, "fragment reassembly time exceeded" } },
	{ 6, 4, ANY, { CAUSE_MIDDLEBOX,          true,  false, "parameter problem" } },
};

struct fault_meaning fault_of_icmp(uint8_t family, uint8_t type, uint8_t code)
{
	for (size_t i = 0; i < sizeof icmp_rows / sizeof *icmp_rows; i++) {
		const struct icmp_row *r = &icmp_rows[i];

		if (r->family == family && r->type == type && (r->code == ANY || r->code == code))
			return r->means;
	}
	return (struct fault_meaning){ CAUSE_UNSPECIFIED, false, false, "not an error" };
}

struct fault_meaning fault_of_errno(int error)
{
	switch (error) {
	case ENETUNREACH:
	case ENETDOWN:
	case ENODEV:
	case ENXIO:
		return (struct fault_meaning){ CAUSE_NET_UNREACHABLE, true, false, "no network" };
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ECONNREFUSED:
		return (struct fault_meaning){ CAUSE_HOST_UNREACHABLE, true, false, "no such host" };
	case EPERM:
	case EACCES:
		return (struct fault_meaning){ CAUSE_PROHIBITED, true, true, "a filter of this machine" };
	case EADDRNOTAVAIL:
	case EINVAL:
		return (struct fault_meaning){ CAUSE_ROUTING_FAILED, true, false, "no way from this address" };
	default:
		return (struct fault_meaning){ CAUSE_UNSPECIFIED, true, false, "the system" };
	}
}
