/* SPDX-License-Identifier: MIT */
/* getpeername(), getsockname() and their relatives. */
#include "tests/probe/probe.h"

static char scratch[512];

static void names(void)
{
	int fd = tcp(0);
	char small[8];
	socklen_t len;

	say_local(fd);
	say("%s", got(conn4(fd, ECHO)));
	say_peer(fd);
	say_local(fd);
	memset(small, 'z', sizeof small);
	len = 4;
	say("short %s", got(getpeername(fd, (struct sockaddr *)small, &len)));
	say("len %u bytes %02x%02x%02x%02x%02x", len, small[0], small[1], small[2], small[3],
	    small[4]);
	len = 0;
	say("none %s", got(getsockname(fd, (struct sockaddr *)small, &len)));
	say("len %u", len);
	len = (socklen_t)-1;
	say("negative %s", got(getpeername(fd, (struct sockaddr *)scratch, &len)));
	close(fd);
	fd = tcp(SOCK_NONBLOCK);
	conn4(fd, SILENT);
	say_local(fd);
	close(fd);
}

static void every_length(void)
{
	struct sockaddr_in6 full = { 0 };
	socklen_t len = sizeof full;
	int four = opened(ECHO), six = tcp6(0), bad = 0;

	conn6(six, ECHO);
	getpeername(six, (struct sockaddr *)&full, &len);
	say("len %u", len);
	for (socklen_t room = 0; room <= sizeof full + 4; room++) {
		char part[64];

		memset(part, 'z', sizeof part);
		len = room;
		bad += getpeername(six, (struct sockaddr *)part, &len) != 0 || len != sizeof full;
		bad += memcmp(part, &full, room < sizeof full ? room : sizeof full) != 0;
		bad += part[room < sizeof full ? room : sizeof full] != 'z';
		len = room;
		memset(part, 'z', sizeof part);
		bad += getsockname(four, (struct sockaddr *)part, &len) != 0 || len != 16;
		bad += part[room < 16 ? room : 16] != 'z';
	}
	say("bad %d", bad);
	close(four);
	close(six);
}

static void names_to_nowhere(void)
{
	struct sockaddr *nowhere = (struct sockaddr *)(uintptr_t)16;
	socklen_t len = 16;
	int fd = opened(ECHO);

	say("peer %s", got(getpeername(fd, nowhere, &len)));
	say("local %s", got(getsockname(fd, nowhere, &len)));
	say("peer len %s", got(getpeername(fd, (struct sockaddr *)scratch, (socklen_t *)nowhere)));
	say("local len %s", got(getsockname(fd, (struct sockaddr *)scratch, (socklen_t *)nowhere)));
	len = 0;
	say("no room %s", got(getpeername(fd, nowhere, &len)));
	close(fd);
}

static void peer_as_an_option(void)
{
	struct sockaddr_in peer = { 0 };
	socklen_t len = sizeof peer;
	int fd = opened(ECHO);

	say("%s", got(getsockopt(fd, SOL_SOCKET, 28 /* SO_PEERNAME */, &peer, &len)));
	say("%s:%d len %u", inet_ntoa(peer.sin_addr), ntohs(peer.sin_port), len);
	len = 4;
	say("short %s", got(getsockopt(fd, SOL_SOCKET, 28, scratch, &len)));
	say("len %u", len);
	len = 200;
	say("long %s", got(getsockopt(fd, SOL_SOCKET, 28, scratch, &len)));
	close(fd);
	fd = tcp(0);
	len = sizeof peer;
	say("fresh %s", got(getsockopt(fd, SOL_SOCKET, 28, &peer, &len)));
	close(fd);
}

static void names_as_it_ends(void)
{
	char c;
	int fd = opened(ECHO);

	shutdown(fd, SHUT_WR);
	say("end %s", got(recv(fd, &c, 1, 0)));
	say_local(fd);
	close(fd);
	fd = opened(SOURCE);
	say("recv %s", got(recv(fd, scratch, 5, MSG_WAITALL)));
	say("end %s", got(recv(fd, &c, 1, 0)));
	say_peer(fd);
	say_local(fd);
	close(fd);
	fd = opened(RESET);
	send(fd, "x", 1, MSG_NOSIGNAL);
	wait_for(fd, POLLIN, 2000);
	say_peer(fd);
	say_local(fd);
	close(fd);
}

static void names_of_the_refused(void)
{
	int fd = tcp(0);

	say("%s", got(conn4(fd, REFUSED)));
	say_peer(fd);
	close(fd);
	fd = tcp6(SOCK_NONBLOCK);
	conn6(fd, REFUSED);
	wait_for(fd, POLLOUT, 2000);
	say_peer(fd);
	close(fd);
}

static void names_of_a_loopback_pair(void)
{
	static const char *const where[] = { "127.0.0.1", "127.64.1.1", "127.127.255.254" };

	for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
		struct sockaddr_in a = at4(where[i], 0);
		socklen_t len = sizeof a;
		int l = tcp(0), c = tcp(0), s;

		bind(l, (struct sockaddr *)&a, sizeof a);
		listen(l, 1);
		getsockname(l, (struct sockaddr *)&a, &len);
		connect(c, (struct sockaddr *)&a, sizeof a);
		s = accept(l, NULL, NULL);
		getpeername(c, (struct sockaddr *)&a, &len);
		say("peer %s", inet_ntoa(a.sin_addr));
		getsockname(s, (struct sockaddr *)&a, &len);
		say("local %s", inet_ntoa(a.sin_addr));
		close(l);
		close(s);
		close(c);
	}
}

static void *ask_names(void *arg)
{
	struct sockaddr_in want = to4(ECHO), sa;
	long bad = 0;

	for (int i = 0; i < 50; i++) {
		socklen_t len = sizeof sa;

		bad += getpeername(*(int *)arg, (struct sockaddr *)&sa, &len) != 0 ||
		       memcmp(&sa.sin_addr, &want.sin_addr, 4) != 0 || sa.sin_port != want.sin_port;
	}
	return (void *)bad;
}

static void names_by_many_threads(void)
{
	pthread_t t[8];
	long bad = 0;
	int fd = opened(ECHO);

	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, ask_names, &fd);
	for (int i = 0; i < 8; i++) {
		void *r;

		pthread_join(t[i], &r);
		bad += (long)r;
	}
	say("bad %ld", bad);
	close(fd);
}

/* Local addresses of connections are each one's own. */
static void local_ports_differ(void)
{
	struct sockaddr_in a = { 0 }, b = { 0 };
	socklen_t len = sizeof a;
	int one = opened(ECHO), two = opened(ECHO);

	getsockname(one, (struct sockaddr *)&a, &len);
	getsockname(two, (struct sockaddr *)&b, &len);
	say("same address %d same port %d", a.sin_addr.s_addr == b.sin_addr.s_addr,
	    a.sin_port == b.sin_port);
	close(one);
	close(two);
}

const struct check name_checks[] = {
	CHECK(names),
	CHECK(every_length),
	CHECK(names_to_nowhere),
	CHECK(peer_as_an_option),
	CHECK(names_as_it_ends),
	CHECK(names_of_the_refused),
	CHECK(names_of_a_loopback_pair),
	CHECK(names_by_many_threads),
	CHECK(local_ports_differ),
	CHECKS_END,
};
