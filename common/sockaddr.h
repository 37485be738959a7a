/* SPDX-License-Identifier: MIT */
/*
 * struct addr <-> what the kernel takes. Not for the engine: this header brings the system's sockets.
 * IPv4-mapped IPv6 addresses are never turned by themselves: sockaddr_to_addr() reports what was
 * given, addr_unmap() looks through it, sockaddr_of_mapped() makes one for an AF_INET6 socket.
 */
#ifndef PLAIT_SOCKADDR_H
#define PLAIT_SOCKADDR_H

#include <sys/socket.h>

#include "common/addr.h"

/* ERR_TRUNCATED (len too short for its family), ERR_UNKNOWN (a family other than AF_INET, AF_INET6). */
MUST_CHECK enum err sockaddr_to_addr(struct addr *out, const void *sa, size_t len);

/* Fills *out and returns its length; family 0 gives AF_UNSPEC. */
socklen_t sockaddr_of(struct sockaddr_storage *out, const struct addr *a);

/* As sockaddr_of(), but always AF_INET6: IPv4 becomes ::ffff:a.b.c.d, as a dual-stack socket wants it. */
socklen_t sockaddr_of_mapped(struct sockaddr_storage *out, const struct addr *a);

#endif
