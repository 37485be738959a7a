/* SPDX-License-Identifier: MIT */
#include "common/sockaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

enum err sockaddr_to_addr(struct addr *out, const void *sa, size_t len)
{
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	sa_family_t family;

	memset(out, 0, sizeof *out);
	if (len < sizeof family)
		return ERR_TRUNCATED;
	memcpy(&family, sa, sizeof family); /* the caller's bytes need not be aligned */
	if (family == AF_INET) {
		if (len < sizeof in4)
			return ERR_TRUNCATED;
		memcpy(&in4, sa, sizeof in4);
		out->family = 4;
		memcpy(out->ip, &in4.sin_addr, 4);
		out->port = ntohs(in4.sin_port);
		return ERR_OK;
	}
	if (family == AF_INET6) {
		/* The kernel takes one without sin6_scope_id too (RFC 2133); so do we. */
		if (len < offsetof(struct sockaddr_in6, sin6_scope_id))
			return ERR_TRUNCATED;
		memset(&in6, 0, sizeof in6);
		memcpy(&in6, sa, len < sizeof in6 ? len : sizeof in6);
		if (len < sizeof in6)
			in6.sin6_scope_id = 0;
		out->family = 6;
		memcpy(out->ip, &in6.sin6_addr, 16);
		out->port = ntohs(in6.sin6_port);
		if (addr_is_link_local(out))
			out->scope = in6.sin6_scope_id;
		return ERR_OK;
	}
	return ERR_UNKNOWN;
}

static socklen_t inet6(struct sockaddr_storage *out, const uint8_t ip[16], uint16_t port, uint32_t scope)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = scope };

	memcpy(&in6.sin6_addr, ip, 16);
	memcpy(out, &in6, sizeof in6);
	return sizeof in6;
}

socklen_t sockaddr_of(struct sockaddr_storage *out, const struct addr *a)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons(a->port) };

	memset(out, 0, sizeof *out);
	if (a->family == 6)
		return inet6(out, a->ip, a->port, a->scope);
	if (a->family != 4) {
		out->ss_family = AF_UNSPEC;
		return sizeof out->ss_family;
	}
	memcpy(&in4.sin_addr, a->ip, 4);
	memcpy(out, &in4, sizeof in4);
	return sizeof in4;
}

socklen_t sockaddr_of_mapped(struct sockaddr_storage *out, const struct addr *a)
{
	uint8_t ip[16] = { [10] = 0xff, [11] = 0xff };

	if (a->family != 4)
		return sockaddr_of(out, a);
	memset(out, 0, sizeof *out);
	memcpy(ip + 12, a->ip, 4);
	return inet6(out, ip, a->port, 0);
}
