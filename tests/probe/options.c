/* SPDX-License-Identifier: MIT */
/* Socket options and ioctls: set before, asked after, and those with a meaning of their own. */
#include "tests/probe/probe.h"

#include <sys/ioctl.h>
#include <sys/un.h>
#include <linux/sockios.h>

static char scratch[512];

static void options_survive(void)
{
	static const struct {
		int level, name;
		const char *text;
		int value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, "nodelay", 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, "keepalive", 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, "keepidle", 77 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, "user", 9000 },
		{ SOL_SOCKET, SO_RCVBUF, "rcvbuf", 50000 },
		{ SOL_SOCKET, SO_REUSEADDR, "reuse", 1 },
		{ IPPROTO_IP, IP_TOS, "tos", 0x10 },
		{ SOL_SOCKET, SO_PRIORITY, "priority", 3 },
	};
	int fd = tcp(0);

	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
	say("%s", got(conn4(fd, ECHO)));
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		int v = -1;
		socklen_t len = sizeof v;

		getsockopt(fd, options[i].level, options[i].name, &v, &len);
		say("%s %d", options[i].text, v);
	}
	close(fd);
}

static void others_unharmed(void)
{
	int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0), l = tcp(0),
	    c = tcp(0), s, pair[2];
	struct sockaddr_in sa = at4("127.0.0.1", 0), peer = { 0 }, d = to4(9);
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/nonexistent/socket" };
	socklen_t len = sizeof sa;
	char x;

	bind(a, (struct sockaddr *)&sa, sizeof sa);
	getsockname(a, (struct sockaddr *)&sa, &len);
	say("udp %s", got(connect(b, (struct sockaddr *)&sa, sizeof sa)));
	say("send %s", got(send(b, "x", 1, 0)));
	say("recv %s", got(recv(a, &x, 1, 0)));
	len = sizeof peer;
	say("peer %s", got(getpeername(b, (struct sockaddr *)&peer, &len)));
	say("same port %d", peer.sin_port == sa.sin_port);
	say("sendto %s", got(sendto(b, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&sa, sizeof sa)));
	say("unspec %s", got(connect(b, &none, sizeof none)));
	say("udp far %s", got(connect(b, (struct sockaddr *)&d, sizeof d)));
	say_peer(b);
	sa.sin_port = 0;
	bind(l, (struct sockaddr *)&sa, sizeof sa);
	listen(l, 5);
	len = sizeof sa;
	getsockname(l, (struct sockaddr *)&sa, &len);
	say("local %s", inet_ntoa(sa.sin_addr));
	say("loopback %s", got(connect(c, (struct sockaddr *)&sa, sizeof sa)));
	len = sizeof peer;
	s = accept(l, (struct sockaddr *)&peer, &len);
	say("accept %s %s", inet_ntoa(peer.sin_addr), s >= 0 ? "ok" : "no");
	getpeername(c, (struct sockaddr *)&peer, &len);
	say("peer %s %d", inet_ntoa(peer.sin_addr), peer.sin_port == sa.sin_port);
	say("on a listener %s", got(conn4(l, ECHO)));
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	say("unix %s", got(connect(pair[0], (struct sockaddr *)&un, sizeof un)));
	len = sizeof un;
	say("unix peer %s", got(getpeername(pair[0], (struct sockaddr *)&un, &len)));
	for (int fd = a; fd <= pair[1]; fd++)
		close(fd);
}

static void few_syn_retries(void)
{
	int fd = tcp(0);
	double t = now();

	setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &(int){ 1 }, sizeof(int));
	say("%s", got(conn4(fd, SILENT)));
	t = now() - t;
	say("%s", t > 0.9 && t < 5 ? "in time" : "at the wrong time");
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", got(conn4(fd, ECHO)));
	close(fd);
}

static void what_kind_of_socket(void)
{
	int fd = opened(ECHO);

	say("type %d domain %d protocol %d listening %d", value_of(fd, SOL_SOCKET, SO_TYPE),
	    value_of(fd, SOL_SOCKET, SO_DOMAIN), value_of(fd, SOL_SOCKET, SO_PROTOCOL),
	    value_of(fd, SOL_SOCKET, SO_ACCEPTCONN));
	close(fd);
}

static void state_by_tcp_info(void)
{
	int fd = tcp(SOCK_NONBLOCK);
	struct tcp_info info = { 0 };
	socklen_t len = 1;

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	say("fresh %d len %u", info.tcpi_state, len);
	conn4(fd, SILENT);
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	say("pending %d", info.tcpi_state);
	close(fd);
	fd = opened(SOURCE);
	recv(fd, scratch, 6, MSG_WAITALL);
	len = sizeof info;
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	say("half closed %d", info.tcpi_state);
	close(fd);
}

static void error_in_few_bytes(void)
{
	for (socklen_t room = 0; room <= 5; room++) {
		unsigned char text[8] = { 0 };
		socklen_t len = room;
		int fd = tcp(SOCK_NONBLOCK);

		conn4(fd, REFUSED);
		wait_for(fd, POLLOUT, 2000);
		say("%s", got(getsockopt(fd, SOL_SOCKET, SO_ERROR, text, &len)));
		say("len %u %u %u", len, text[0], text[1]);
		close(fd);
	}
}

static void error_to_nowhere(void)
{
	void *nowhere = (void *)(uintptr_t)16;
	socklen_t len = 4;
	int fd = tcp(0), v;

	say("%s", got(getsockopt(fd, SOL_SOCKET, SO_ERROR, nowhere, &len)));
	say("%s", got(getsockopt(fd, SOL_SOCKET, SO_ERROR, &v, nowhere)));
	say("%s", got(getsockopt(fd, SOL_SOCKET, SO_ERROR, NULL, NULL)));
	say("%s", got(getsockopt(-1, SOL_SOCKET, SO_ERROR, &v, &len)));
	say("%s", got(getsockopt(0, SOL_SOCKET, SO_ERROR, &v, &len)));
	close(fd);
}

static void set_and_asked_when_connected(void)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ IPPROTO_TCP, TCP_CORK, 1 },
		{ IPPROTO_TCP, TCP_CORK, 0 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 44 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 5 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, 7000 },
		{ IPPROTO_TCP, TCP_LINGER2, 9 },
		{ IPPROTO_TCP, TCP_QUICKACK, 1 },
		{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384 },
		{ IPPROTO_IP, IP_TOS, 0x10 },
		{ IPPROTO_IP, IP_TTL, 33 },
		{ SOL_SOCKET, SO_OOBINLINE, 1 },
		{ SOL_SOCKET, SO_RCVLOWAT, 2 },
		{ SOL_SOCKET, SO_PRIORITY, 4 },
		{ SOL_SOCKET, SO_TIMESTAMP, 1 },
		{ SOL_SOCKET, SO_SNDBUF, 65536 },
	};
	int fd = opened(ECHO);

	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		int r = on(fd, options[i].level, options[i].name, options[i].value);

		say("%d/%d %s", options[i].level, options[i].name, got(r));
		say("%d", value_of(fd, options[i].level, options[i].name));
	}
	close(fd);
}

static void options_of_six(void)
{
	int fd = tcp6(0);

	say("%s", got(on(fd, IPPROTO_IPV6, IPV6_TCLASS, 0x20)));
	say("%s", got(on(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 55)));
	say("%s", got(conn6(fd, ECHO)));
	say("class %d hops %d only %d", value_of(fd, IPPROTO_IPV6, IPV6_TCLASS),
	    value_of(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS), value_of(fd, IPPROTO_IPV6, IPV6_V6ONLY));
	say("%s", echo(fd));
	close(fd);
}

static void congestion_control_is_named(void)
{
	char name[16] = "";
	socklen_t len = sizeof name;
	int fd = tcp(0);

	say("%s", got(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4)));
	say("none %s", got(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nonesuch", 8)));
	say("%s", got(conn4(fd, ECHO)));
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len);
	say("%s", name);
	close(fd);
}

static void cork_holds_back(void)
{
	char c[8];
	int fd = opened(ECHO);

	on(fd, IPPROTO_TCP, TCP_CORK, 1);
	say("%s", got(send(fd, "abc", 3, 0)));
	say("held %x", wait_for(fd, POLLIN, 60));
	on(fd, IPPROTO_TCP, TCP_CORK, 0);
	say("%x", wait_for(fd, POLLIN, 2000));
	say("%s", got(recv(fd, c, 3, MSG_WAITALL)));
	say("more %s", got(send(fd, "abc", 3, MSG_MORE)));
	say("held %x", wait_for(fd, POLLIN, 60));
	say("%s", got(send(fd, "d", 1, 0)));
	say("%s", got(recv(fd, c, 4, MSG_WAITALL)));
	close(fd);
}

/* Without Nagle's wait for an acknowledgement, each goes at once. */
static void nodelay_goes_at_once(void)
{
	char c[64];
	int fd = opened(ECHO), late = 0;

	on(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	for (int i = 0; i < 20; i++) {
		double begin = now();

		send(fd, "a", 1, 0);
		send(fd, "b", 1, 0);
		if (recv(fd, c, 2, MSG_WAITALL) != 2 || now() - begin > 0.035)
			late++;
	}
	say("%s", late < 12 ? "at once" : "late");
	close(fd);
}

static void receive_time_out(void)
{
	struct timeval t = { .tv_usec = 200000 };
	int fd = opened(ECHO);
	double begin = now();
	char c;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
	say("%s", got(recv(fd, &c, 1, 0)));
	say("%s", timely(begin, 0.15, 0.8));
	say("%s", echo(fd));
	close(fd);
}

static void on_the_loopback_device(void)
{
	char name[32] = "";
	socklen_t len = sizeof name;
	int fd = tcp(0);

	say("%s", got(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3)));
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	say("%s", got(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len)));
	say("%s", name);
	close(fd);
	fd = tcp(0);
	say("none %s", got(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nonesuch", 9)));
	say("%s", got(conn4(fd, ECHO)));
	close(fd);
}

static void marked(void)
{
	int fd = tcp(0);

	say("%s", got(on(fd, SOL_SOCKET, SO_MARK, 5)));
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	say("mark %d", value_of(fd, SOL_SOCKET, SO_MARK));
	close(fd);
}

static const struct { int level, name, value; } on_the_way[] = {
	{ IPPROTO_TCP, TCP_KEEPIDLE, 71 },   { IPPROTO_TCP, TCP_KEEPINTVL, 7 }, { IPPROTO_TCP, TCP_KEEPCNT, 4 },
	{ SOL_SOCKET, SO_KEEPALIVE, 1 },     { IPPROTO_TCP, TCP_NODELAY, 1 },   { IPPROTO_TCP, TCP_USER_TIMEOUT, 8000 },
	{ IPPROTO_IP, IP_TOS, 0x10 },        { SOL_SOCKET, SO_OOBINLINE, 1 },   { IPPROTO_TCP, TCP_SYNCNT, 3 },
	{ SOL_SOCKET, SO_RCVLOWAT, 2 },      { SOL_SOCKET, SO_PRIORITY, 2 },    { IPPROTO_TCP, TCP_LINGER2, 9 },
};

static void say_values(int fd)
{
	for (size_t i = 0; i < sizeof on_the_way / sizeof *on_the_way; i++)
		say("%d", value_of(fd, on_the_way[i].level, on_the_way[i].name));
}

/* Set while the connect is on its way, to a host that does not answer; and what a timed out one leaves. */
static void set_while_pending(void)
{
	struct timeval wait = { .tv_usec = 200000 };
	int fd = tcp(0);

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
	say("%s", got(conn4(fd, SILENT)));
	for (size_t i = 0; i < sizeof on_the_way / sizeof *on_the_way; i++)
		say("%s", got(on(fd, on_the_way[i].level, on_the_way[i].name, on_the_way[i].value)));
	say_values(fd);
	say("%s", got(unspec(fd)));
	say_values(fd);
	say("%s", got(conn4(fd, ECHO)));
	say_values(fd);
	close(fd);
}

static void options_outlive_a_failure(void)
{
	int fd = tcp(0);

	for (size_t i = 0; i < sizeof on_the_way / sizeof *on_the_way; i++)
		(void)on(fd, on_the_way[i].level, on_the_way[i].name, on_the_way[i].value);
	say("%s", got(conn4(fd, REFUSED)));
	say_values(fd);
	say("%s", got(conn4(fd, ECHO)));
	say_values(fd);
	close(fd);
}

static void by_ioctl(void)
{
	int fd = opened(ECHO), n = -1;

	say("%s", got(send(fd, "abcd", 4, 0)));
	wait_for(fd, POLLIN, 2000);
	say("%s", got(ioctl(fd, FIONREAD, &n)));
	say("%d", n);
	say("unsent %s", got(ioctl(fd, SIOCOUTQ, &n)));
	say("%d", n);
	say("mark %s", got(ioctl(fd, SIOCATMARK, &n)));
	say("%d", n);
	n = 1;
	say("%s", got(ioctl(fd, FIONBIO, &n)));
	recv(fd, scratch, 10, 0);
	say("%s", got(recv(fd, scratch, 10, 0)));
	close(fd);
}

static void cookie_is_the_sockets(void)
{
	uint64_t a = 0, b = 1;
	socklen_t len = sizeof a;
	int fd = tcp(0);

	getsockopt(fd, SOL_SOCKET, SO_COOKIE, &a, &len);
	say("%s", got(conn4(fd, ECHO)));
	getsockopt(fd, SOL_SOCKET, SO_COOKIE, &b, &len);
	say("%s", a && a == b ? "same" : "another");
	close(fd);
}

const struct check option_checks[] = {
	CHECK(options_survive),
	CHECK(others_unharmed),
	CHECK(few_syn_retries),
	CHECK(what_kind_of_socket),
	CHECK(state_by_tcp_info),
	CHECK(error_in_few_bytes),
	CHECK(error_to_nowhere),
	CHECK(set_and_asked_when_connected),
	CHECK(options_of_six),
	CHECK(congestion_control_is_named),
	CHECK(cork_holds_back),
	CHECK(nodelay_goes_at_once),
	CHECK(receive_time_out),
	CHECK(on_the_loopback_device),
	CHECK(marked),
	CHECK(set_while_pending),
	CHECK(options_outlive_a_failure),
	CHECK(by_ioctl),
	CHECK(cookie_is_the_sockets),
	CHECKS_END,
};
