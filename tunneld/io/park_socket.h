/* SPDX-License-Identifier: MIT */
/* What the kernel says of a socket, each time: the park keeps nothing that can be asked. */
#ifndef PLAIT_IO_PARK_SOCKET_H
#define PLAIT_IO_PARK_SOCKET_H

#include <stdint.h>

#include "common/addr.h"

int socket_int(int fd, int level, int option, int otherwise);
uint64_t socket_u64(int fd, int option); /* SOL_SOCKET; 0: it has none */
uint64_t socket_cookie(int fd);
int socket_tcp_state(int fd);            /* TCP_... of <netinet/tcp.h>, -1: not TCP */
/* v4-mapped addresses are given as IPv4; family 0: none. */
struct addr socket_local(int fd);
struct addr socket_peer(int fd);
/* The source address a direct connection would have had: a route lookup, by a UDP socket that sends
 * nothing. */
struct addr socket_source_towards(const struct addr *dest);

#endif
