/* SPDX-License-Identifier: MIT */
#include "tunneld/io/park_socket.h"

#include "common/sockaddr.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

int socket_int(int fd, int level, int option, int otherwise)
{
	int v = otherwise;
	socklen_t len = sizeof v;

	return getsockopt(fd, level, option, &v, &len) ? otherwise : v;
}

uint64_t socket_u64(int fd, int option)
{
	uint64_t v = 0;
	socklen_t len = sizeof v;

	return getsockopt(fd, SOL_SOCKET, option, &v, &len) ? 0 : v;
}

uint64_t socket_cookie(int fd) { return socket_u64(fd, SO_COOKIE); }

int socket_tcp_state(int fd)
{
	uint8_t v = 0; /* tcpi_state is the first byte; the kernel fills what there is room for */
	socklen_t len = sizeof v;

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &v, &len) ? -1 : v;
}

struct addr socket_local(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	struct addr a = { 0 };

	if (getsockname(fd, (struct sockaddr *)&sa, &len) || sockaddr_to_addr(&a, &sa, len))
		return (struct addr){ 0 };
	return addr_unmap(&a);
}

struct addr socket_peer(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	struct addr a = { 0 };

	if (getpeername(fd, (struct sockaddr *)&sa, &len) || sockaddr_to_addr(&a, &sa, len))
		return (struct addr){ 0 };
	return addr_unmap(&a);
}

struct addr socket_source_towards(const struct addr *dest)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(&sa, dest);
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct addr a = { 0 };

	if (fd < 0)
		return a;
	if (!connect(fd, (struct sockaddr *)&sa, len))
		a = socket_local(fd);
	close(fd);
	return a;
}
