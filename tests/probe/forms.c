/* SPDX-License-Identifier: MIT */
/* connect(): the forms of address and socket it is given. */
#include "tests/probe/probe.h"

#include <sys/mman.h>
#include <sys/un.h>

static void ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	say_local(fd);
	say("%s", got(conn6(fd, ECHO)));
	say("%s", echo(fd));
	say_peer(fd);
	say_local(fd);
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	say("refused %s", got(conn6(fd, REFUSED)));
	say("%s", got(conn6(fd, ECHO)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	say("%s", started(conn6(fd, REFUSED)));
	wait_for(fd, POLLOUT, 2000);
	say("SO_ERROR %s", err_name(so_error(fd)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 1 }, sizeof(int));
	say("only %s", got(conn6(fd, ECHO)));
	say("%s", echo(fd));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	say("silent %s", got(conn6(fd, SILENT)));
	say_local(fd);
	close(fd);
}

static void ipv4_mapped(void)
{
	struct sockaddr_in6 a = mapped(ECHO), r = mapped(REFUSED);
	struct sockaddr_in four = to4(ECHO);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	say("%s", got(connect(fd, (struct sockaddr *)&a, sizeof a)));
	say("%s", echo(fd));
	say_peer(fd);
	say_local(fd);
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	say("refused %s", got(connect(fd, (struct sockaddr *)&r, sizeof r)));
	say("%s", got(connect(fd, (struct sockaddr *)&a, sizeof a)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 1 }, sizeof(int));
	say("only %s", got(connect(fd, (struct sockaddr *)&a, sizeof a)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	say("AF_INET on it %s", got(connect(fd, (struct sockaddr *)&four, sizeof four)));
	close(fd);
	fd = tcp(0);
	say("AF_INET6 on AF_INET %s", got(connect(fd, (struct sockaddr *)&a, sizeof a)));
	close(fd);
}

static void bound_first(void)
{
	struct sockaddr_in a = server4, any = at4("0.0.0.0", 0), port = at4("0.0.0.0", 21567);
	struct sockaddr_in6 six = server6;
	int fd = tcp(0);

	a.sin_port = 0;
	six.sin6_port = 0;
	say("%s", got(bind(fd, (struct sockaddr *)&a, sizeof a)));
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	say_local(fd);
	close(fd);
	fd = tcp(0);
	say("any %s", got(bind(fd, (struct sockaddr *)&any, sizeof any)));
	say("%s", got(conn4(fd, ECHO)));
	say_local(fd);
	close(fd);
	fd = tcp(0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	say("port %s", got(bind(fd, (struct sockaddr *)&port, sizeof port)));
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	{
		struct sockaddr_in sa = { 0 };
		socklen_t len = sizeof sa;

		getsockname(fd, (struct sockaddr *)&sa, &len);
		/* Where the port was taken it is one of the kernel's choosing, and no two are
		 * alike. */
		say("%s:%s", inet_ntoa(sa.sin_addr),
		    sa.sin_port == port.sin_port ? "as bound" : "another");
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
		   sizeof(struct linger));
	close(fd);
	fd = tcp(0);
	bind(fd, (struct sockaddr *)&a, sizeof a);
	say("refused %s", got(conn4(fd, REFUSED)));
	say("%s", got(conn4(fd, ECHO)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	bind(fd, (struct sockaddr *)&six, sizeof six);
	say("IPv6 %s", got(conn6(fd, ECHO)));
	say("%s", echo(fd));
	say_local(fd);
	close(fd);
}

static void wrong_arguments(void)
{
	struct sockaddr_in a = to4(ECHO);
	struct sockaddr_in6 six = to6(ECHO);
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/x" };
	int fd = tcp(0);

	say("bad fd %s", got(connect(-1, (struct sockaddr *)&a, sizeof a)));
	say("no socket %s", got(connect(0, (struct sockaddr *)&a, sizeof a)));
	say("short %s", got(connect(fd, (struct sockaddr *)&a, 8)));
	say("one byte %s", got(connect(fd, (struct sockaddr *)&a, 1)));
	say("null %s", got(connect(fd, NULL, sizeof a)));
	say("long %s", got(connect(fd, (struct sockaddr *)&a, 1000)));
	say("nowhere %s", got(connect(fd, (struct sockaddr *)(uintptr_t)16, sizeof a)));
	say("unix %s", got(connect(fd, (struct sockaddr *)&un, sizeof un)));
	say("six on four %s", got(connect(fd, (struct sockaddr *)&six, sizeof six)));
	say("still %s", got(conn4(fd, ECHO)));
	say("short when connected %s", got(connect(fd, (struct sockaddr *)&a, 8)));
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	say("short six %s", got(connect(fd, (struct sockaddr *)&six, 20)));
	say("rfc2133 %s", got(connect(fd, (struct sockaddr *)&six, 24)));
	close(fd);
	say("names of nothing %s %s",
	    got(getpeername(-1, (struct sockaddr *)&a, &(socklen_t){ 16 })),
	    got(getsockname(0, (struct sockaddr *)&a, &(socklen_t){ 16 })));
	say("null names %s", got(getpeername(-1, NULL, NULL)));
	say("sendto bad %s",
	    got(sendto(-1, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof a)));
}

static void port_zero(void)
{
	int fd = tcp(0);

	say("%s", got(conn4(fd, 0)));
	say("%s", got(conn4(fd, ECHO)));
	close(fd);
}

static void this_host_by_any_address(void)
{
	struct sockaddr_in a = at4("0.0.0.0", 1);
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(1) };
	int fd = tcp(0), fd6 = tcp6(0);

	say("%s", got(connect(fd, (struct sockaddr *)&a, sizeof a)));
	say("%s", got(connect(fd6, (struct sockaddr *)&six, sizeof six)));
	close(fd);
	close(fd6);
}

static void longer_and_unaligned(void)
{
	struct sockaddr_storage big = { 0 };
	struct sockaddr_in a = to4(ECHO);
	char bytes[64];
	int fd = tcp(0);

	memcpy(&big, &a, sizeof a);
	say("storage %s", got(connect(fd, (struct sockaddr *)&big, sizeof big)));
	say("%s", echo(fd));
	close(fd);
	fd = tcp(0);
	memcpy(bytes + 3, &a, sizeof a);
	say("unaligned %s", got(connect(fd, (struct sockaddr *)(void *)(bytes + 3), sizeof a)));
	say("%s", echo(fd));
	close(fd);
}

/* Nothing past the length is looked at, and nothing is written. */
static void at_the_end_of_a_page(void)
{
	struct sockaddr_in a = to4(ECHO);
	struct sockaddr_in6 six = to6(ECHO);
	char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *end = two + 4096;
	int fd = tcp(0), fd6 = tcp6(0);

	mprotect(end, 4096, PROT_NONE);
	memcpy(end - sizeof a, &a, sizeof a);
	mprotect(two, 4096, PROT_READ);
	say("%s", got(connect(fd, (struct sockaddr *)(void *)(end - sizeof a), sizeof a)));
	say("%s", echo(fd));
	mprotect(two, 4096, PROT_READ | PROT_WRITE);
	memcpy(end - sizeof six, &six, sizeof six);
	mprotect(two, 4096, PROT_READ);
	say("%s", got(connect(fd6, (struct sockaddr *)(void *)(end - sizeof six), sizeof six)));
	say("%s", echo(fd6));
	say("past it %s", got(connect(fd6, (struct sockaddr *)(void *)(end - 8), sizeof six)));
	close(fd);
	fd = tcp(0);
	say("past it, fresh %s", got(connect(fd, (struct sockaddr *)(void *)(end - 8), sizeof a)));
	close(fd);
	close(fd6);
	munmap(two, 8192);
}

static void the_callers_address_is_untouched(void)
{
	struct sockaddr_in a = to4(ECHO), same = a;
	struct sockaddr_in6 m = mapped(REFUSED), same6 = m;
	int fd = tcp(0), fd6 = tcp6(0);

	connect(fd, (struct sockaddr *)&a, sizeof a);
	connect(fd6, (struct sockaddr *)&m, sizeof m);
	say("%d %d", memcmp(&a, &same, sizeof a), memcmp(&m, &same6, sizeof m));
	close(fd);
	close(fd6);
}

static void explicit_protocol(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	say("cloexec %d", fcntl(fd, F_GETFD));
	close(fd);
}

static void scope_and_flow(void)
{
	struct sockaddr_in6 a = to6(ECHO), peer = { 0 };
	socklen_t len = sizeof peer;
	int fd = tcp6(0);

	a.sin6_scope_id = 1;
	a.sin6_flowinfo = htonl(0x12345);
	say("%s", got(connect(fd, (struct sockaddr *)&a, sizeof a)));
	say("%s", echo(fd));
	getpeername(fd, (struct sockaddr *)&peer, &len);
	say("scope %u flow %x", peer.sin6_scope_id, ntohl(peer.sin6_flowinfo));
	close(fd);
}

static void link_local_and_multicast_six(void)
{
	static const char *const where[] = { "fe80::1", "ff02::1", "ff0e::1" };

	for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
		struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(80) };
		int fd = tcp6(SOCK_NONBLOCK);

		inet_pton(AF_INET6, where[i], &a.sin6_addr);
		say("%s %s", where[i], got(connect(fd, (struct sockaddr *)&a, sizeof a)));
		close(fd);
	}
}

static int bound_to_port(int option, struct sockaddr_in *a)
{
	int fd = tcp(0);

	on(fd, SOL_SOCKET, option, 1);
	if (bind(fd, (struct sockaddr *)a, sizeof *a))
		say("bind %s", got(-1));
	return fd;
}

/* What the kernel allows because the destinations differ. */
static void two_from_one_port(void)
{
	static const int options[] = { SO_REUSEADDR, SO_REUSEPORT };

	for (int i = 0; i < 2; i++) {
		struct sockaddr_in a = to4(22401 + i);
		int one = bound_to_port(options[i], &a), two = bound_to_port(options[i], &a),
		    three = bound_to_port(options[i], &a);

		say("%s", got(conn4(one, ECHO)));
		say("%s", got(conn4(two, SOURCE)));
		say("%s", got(conn4(three, WATCH)));
		say("%s", echo(one));
		say_peer(one);
		say_peer(two);
		close(one);
		close(two);
		close(three);
	}
}

static void bound_and_bound_again(void)
{
	struct sockaddr_in a = to4(0), used = to4(ECHO), nobody = at4("192.0.2.77", 0);
	int fd = tcp(0);

	say("in use %s", got(bind(fd, (struct sockaddr *)&used, sizeof used)));
	say("not ours %s", got(bind(fd, (struct sockaddr *)&nobody, sizeof nobody)));
	say("%s", got(bind(fd, (struct sockaddr *)&a, sizeof a)));
	say("twice %s", got(bind(fd, (struct sockaddr *)&a, sizeof a)));
	say("%s", got(conn4(fd, ECHO)));
	say("connected %s", got(bind(fd, (struct sockaddr *)&a, sizeof a)));
	close(fd);
	fd = tcp(0);
	say("%s", got(conn4(fd, REFUSED)));
	say("bind after %s", got(bind(fd, (struct sockaddr *)&a, sizeof a)));
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	close(fd);
}

static void bound_late(void)
{
	struct sockaddr_in a = to4(0);
	int fd = tcp(0);

	on(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, 1);
	say("%s", got(bind(fd, (struct sockaddr *)&a, sizeof a)));
	say_local(fd);
	say("%s", got(conn4(fd, ECHO)));
	say_local(fd);
	close(fd);
}

static void port_range(void)
{
	struct sockaddr_in sa = { 0 };
	socklen_t len = sizeof sa;
	int fd = tcp(0), port;

	say("%s", got(on(fd, IPPROTO_IP, 51 /* IP_LOCAL_PORT_RANGE */, (int)(41000u << 16 | 40900u))));
	say("%s", got(conn4(fd, ECHO)));
	getsockname(fd, (struct sockaddr *)&sa, &len);
	port = ntohs(sa.sin_port);
	say("%s", port >= 40900 && port <= 41000 ? "within" : "elsewhere");
	close(fd);
}

static void own_listener(void)
{
	struct sockaddr_in a = to4(0);
	socklen_t len = sizeof a;
	int l = tcp(0), c = tcp(SOCK_NONBLOCK), s;
	char x;

	bind(l, (struct sockaddr *)&a, sizeof a);
	listen(l, 1);
	getsockname(l, (struct sockaddr *)&a, &len);
	say("%s", started(connect(c, (struct sockaddr *)&a, sizeof a)));
	say("poll %x", wait_for(c, POLLOUT, 2000));
	s = accept(l, NULL, NULL);
	send(s, "x", 1, 0);
	say("poll %x", wait_for(c, POLLIN, 2000));
	say("recv %s", got(recv(c, &x, 1, 0)));
	close(s);
	close(c);
	close(l);
}

static void mptcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */);

	if (fd < 0) {
		say("none here");
		return;
	}
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	say_peer(fd);
	say_local(fd);
	say("again %s", got(conn4(fd, ECHO)));
	close(fd);
}

static void other_protocols(void)
{
	struct sockaddr_in a = to4(9);
	int lite = socket(AF_INET, SOCK_DGRAM, 136 /* IPPROTO_UDPLITE */),
	    raw = socket(AF_INET, SOCK_RAW, 253), seq = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	say("udplite %s", lite < 0 ? "none" : got(connect(lite, (struct sockaddr *)&a, sizeof a)));
	say("raw %s", raw < 0 ? "none" : got(connect(raw, (struct sockaddr *)&a, sizeof a)));
	say("unix %s", got(connect(seq, (struct sockaddr *)&a, sizeof a)));
	close(lite);
	close(raw);
	close(seq);
}

const struct check form_checks[] = {
	CHECK(ipv6),
	CHECK(ipv4_mapped),
	CHECK(bound_first),
	CHECK(wrong_arguments),
	CHECK(port_zero),
	CHECK(this_host_by_any_address),
	CHECK(longer_and_unaligned),
	CHECK(at_the_end_of_a_page),
	CHECK(the_callers_address_is_untouched),
	CHECK(explicit_protocol),
	CHECK(scope_and_flow),
	CHECK(link_local_and_multicast_six),
	CHECK(two_from_one_port),
	CHECK(bound_and_bound_again),
	CHECK(bound_late),
	CHECK(port_range),
	CHECK(own_listener),
	CHECK(mptcp_socket),
	CHECK(other_protocols),
	CHECKS_END,
};
