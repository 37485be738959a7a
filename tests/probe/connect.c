/* SPDX-License-Identifier: MIT */
/* connect(): what it answers, blocking and not, and what the socket is good for afterwards. */
#include "tests/probe/probe.h"

static char scratch[512];

static void blocking(void)
{
	int fd = tcp(0);

	say("%s", got(conn4(fd, ECHO)));
	say("%s flags %x", echo(fd), (unsigned)fcntl(fd, F_GETFL));
	close(fd);
}

static void blocking_refused_then_reused(void)
{
	int fd = tcp(0);

	say("%s", got(conn4(fd, REFUSED)));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", got(conn4(fd, REFUSED)));
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	close(fd);
}

static void no_way_there(void)
{
	static const char *const where[] = { "10.97.1.1", "10.98.1.1",	     "10.99.1.1",
					     "224.0.0.1", "255.255.255.255", "240.0.0.1" };

	for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
		struct sockaddr_in a = at4(where[i], 80);
		int fd = tcp(0);

		say("%s %s", where[i], got(connect(fd, (struct sockaddr *)&a, sizeof a)));
		close(fd);
	}
}

static void non_blocking(void)
{
	int fd = tcp(SOCK_NONBLOCK | SOCK_CLOEXEC);

	say("%s", started(conn4(fd, ECHO)));
	say("poll %x", wait_for(fd, POLLOUT | POLLIN, 2000));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("flags %x %x", (unsigned)fcntl(fd, F_GETFL), (unsigned)fcntl(fd, F_GETFD));
	say("again %s", got(conn4(fd, ECHO)));
	say("again %s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	close(fd);
}

static void non_blocking_set_by_fcntl(void)
{
	int fd = tcp(0);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	say("%s", started(conn4(fd, ECHO)));
	say("poll %x", wait_for(fd, POLLOUT, 2000));
	fcntl(fd, F_SETFL, 0);
	say("%s", got(conn4(fd, ECHO)));
	say("%s", got(conn4(fd, ECHO)));
	close(fd);
}

static void silent_returns_at_once(void)
{
	int fd = tcp(SOCK_NONBLOCK);
	double t = now();

	say("%s", got(conn4(fd, SILENT)));
	say("%s", now() - t < 0.3 ? "at once" : "late");
	say("again %s", got(conn4(fd, SILENT)));
	say("elsewhere %s", got(conn4(fd, ECHO)));
	say("poll %x", wait_for(fd, POLLOUT | POLLIN, 300));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say_peer(fd);
	say_local(fd);
	say("send %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	say("recv %s", got(recv(fd, scratch, 0, 0)));
	close(fd);
}

static void non_blocking_refused(void)
{
	int fd = tcp(SOCK_NONBLOCK);

	say("%s", started(conn4(fd, REFUSED)));
	/* POLLIN and POLLRDHUP are left out: see "failed_socket_ends". */
	say("poll %x", wait_for(fd, POLLOUT, 2000));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("peer %s", got(getpeername(fd, (struct sockaddr *)scratch, &(socklen_t){ 0 })));
	close(fd);
}

static void refused_and_connected_again(void)
{
	int fd = tcp(SOCK_NONBLOCK);

	say("%s", started(conn4(fd, REFUSED)));
	wait_for(fd, POLLOUT, 2000);
	say("unread: %s", got(conn4(fd, ECHO)));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", started(conn4(fd, REFUSED)));
	wait_for(fd, POLLOUT, 2000);
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("read: %s", got(conn4(fd, ECHO)));
	say("%s", started(conn4(fd, ECHO)));
	wait_for(fd, POLLOUT, 2000);
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", echo(fd));
	close(fd);
}

static void refused_while_waited_for(void)
{
	int fd = tcp(SOCK_NONBLOCK);

	say("%s", started(conn4(fd, REFUSED)));
	fcntl(fd, F_SETFL, 0);
	say("%s", got(conn4(fd, REFUSED)));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", got(conn4(fd, ECHO)));
	close(fd);
}

static void failed_socket_ends(void)
{
	int fd = tcp(SOCK_NONBLOCK);

	conn4(fd, REFUSED);
	wait_for(fd, POLLOUT, 2000);
	say("poll in %x", wait_for(fd, POLLIN | POLLRDHUP, 0));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("send %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	say("recv %s", got(recv(fd, scratch, 1, 0)));
	close(fd);
	fd = tcp(SOCK_NONBLOCK);
	conn4(fd, REFUSED);
	wait_for(fd, POLLOUT, 2000);
	say("unread: send %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	close(fd);
}

static void disconnect_and_reconnect(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = tcp(0);

	say("%s", got(conn4(fd, ECHO)));
	say("%s", got(connect(fd, &none, sizeof none)));
	say_peer(fd);
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	say_peer(fd);
	close(fd);
}

static void disconnect_while_pending(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = tcp(SOCK_NONBLOCK);

	say("%s", got(conn4(fd, SILENT)));
	say("%s", got(connect(fd, &none, sizeof none)));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", started(conn4(fd, ECHO)));
	say("poll %x", wait_for(fd, POLLOUT, 2000));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", echo(fd));
	say_peer(fd);
	close(fd);
}

static void shutdown_while_pending(void)
{
	int fd = tcp(SOCK_NONBLOCK);

	say("%s", got(conn4(fd, SILENT)));
	say("%s", got(shutdown(fd, SHUT_RDWR)));
	say("poll %x", wait_for(fd, POLLOUT, 0));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", started(conn4(fd, ECHO)));
	wait_for(fd, POLLOUT, 2000);
	say("%s", echo(fd));
	close(fd);
}

static void refused_many_times(void)
{
	int fd = tcp(0), bad = 0;

	for (int i = 0; i < 60; i++)
		bad += conn4(fd, REFUSED) == 0 || errno != ECONNREFUSED || so_error(fd) != 0;
	say("bad %d", bad);
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	close(fd);
}

static void many_pending(void)
{
	int fds[150], bad = 0;

	for (int i = 0; i < 150; i++) {
		fds[i] = tcp(SOCK_NONBLOCK);
		bad += conn4(fds[i], SILENT) == 0 || errno != EINPROGRESS;
	}
	say("bad %d", bad);
	for (int i = 0; i < 150; i++)
		bad += wait_for(fds[i], POLLOUT | POLLIN, 0) != 0;
	say("ready %d", bad);
	for (int i = 0; i < 150; i++)
		close(fds[i]);
}

static void another_destination_after_a_refusal(void)
{
	struct sockaddr_in a = at4("10.97.1.1", 80);
	int fd = tcp(SOCK_NONBLOCK);

	say("%s", started(conn4(fd, REFUSED)));
	wait_for(fd, POLLOUT, 2000);
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("aborted %s", got(conn4(fd, ECHO)));
	say("prohibited %s", got(connect(fd, (struct sockaddr *)&a, sizeof a)));
	say("%s", started(conn4(fd, ECHO)));
	say("poll %x", wait_for(fd, POLLOUT, 2000));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say_peer(fd);
	close(fd);
}

static void unspec_at_any_time(void)
{
	int fd = tcp(0);

	say("fresh %s", got(unspec(fd)));
	say("%s", got(conn4(fd, REFUSED)));
	say("refused %s", got(unspec(fd)));
	say("%s", got(conn4(fd, ECHO)));
	shutdown(fd, SHUT_WR);
	wait_for(fd, POLLRDHUP, 2000);
	say("ended %s", got(unspec(fd)));
	say_local(fd);
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	close(fd);
}

static void shut_before_connect(void)
{
	int fd = tcp(0), r;

	say("%s", got(shutdown(fd, SHUT_RDWR)));
	r = conn4(fd, ECHO);
	/* docs/decisions.md: where both ends are closed before the caller wakes, the kernel says so. */
	say("%s", r && errno == ECONNABORTED ? "0" : got(r));
	say("%s", echo(fd));
	close(fd);
}

static void listen_after_a_refusal(void)
{
	int fd = tcp(0);

	say("%s", got(conn4(fd, REFUSED)));
	say("listen %s", got(listen(fd, 1)));
	say("connect %s", got(conn4(fd, ECHO)));
	say("listening %d", value_of(fd, SOL_SOCKET, SO_ACCEPTCONN));
	close(fd);
}

static void accepted_sockets_stay(void)
{
	struct sockaddr_in a = to4(0), peer = { 0 };
	socklen_t len = sizeof a;
	int l = tcp(0), c = tcp(0), s;

	bind(l, (struct sockaddr *)&a, sizeof a);
	listen(l, 1);
	getsockname(l, (struct sockaddr *)&a, &len);
	say("%s", got(connect(c, (struct sockaddr *)&a, sizeof a)));
	s = accept(l, (struct sockaddr *)&peer, &len);
	say("accepted %d", s >= 0);
	say("connect %s", got(conn4(s, ECHO)));
	say("send %s", got(send(s, "x", 1, 0)));
	say("recv %s", got(recv(c, scratch, 1, 0)));
	say("same port %d", value_of(s, SOL_SOCKET, SO_TYPE));
	close(s);
	close(c);
	close(l);
}

static void errno_is_kept(void)
{
	int fd = tcp(0), e;
	struct sockaddr_in sa;
	socklen_t len = sizeof sa;

	errno = 77;
	e = conn4(fd, ECHO);
	say("%d %d", e, errno);
	e = getpeername(fd, (struct sockaddr *)&sa, &len);
	say("%d %d", e, errno);
	e = so_error(fd);
	say("%d %d", e, errno);
	close(fd);
}

static void unread_error_goes_with_the_socket(void)
{
	int fd = tcp(SOCK_NONBLOCK);

	for (int i = 0; i < 3; i++) {
		conn4(fd, REFUSED);
		wait_for(fd, POLLOUT, 2000);
		close(fd);
		fd = tcp(SOCK_NONBLOCK);
		say("new SO_ERROR %s", err_name(so_error(fd)));
	}
	say("%s", started(conn4(fd, ECHO)));
	wait_for(fd, POLLOUT, 2000);
	say("%s", echo(fd));
	close(fd);
}

static void blocking_after_non_blocking_silence(void)
{
	struct timeval t = { .tv_usec = 300000 };
	int fd = tcp(SOCK_NONBLOCK);
	double begin;

	say("%s", got(conn4(fd, SILENT)));
	fcntl(fd, F_SETFL, 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
	begin = now();
	say("%s", got(conn4(fd, SILENT)));
	say("%s", timely(begin, 0.25, 1.0));
	close(fd);
}

const struct check connect_checks[] = {
	CHECK(blocking),
	CHECK(blocking_refused_then_reused),
	CHECK(no_way_there),
	CHECK(non_blocking),
	CHECK(non_blocking_set_by_fcntl),
	CHECK(silent_returns_at_once),
	CHECK(non_blocking_refused),
	CHECK(refused_and_connected_again),
	CHECK(refused_while_waited_for),
	CHECK(failed_socket_ends),
	CHECK(disconnect_and_reconnect),
	CHECK(disconnect_while_pending),
	CHECK(shutdown_while_pending),
	CHECK(refused_many_times),
	CHECK(many_pending),
	CHECK(another_destination_after_a_refusal),
	CHECK(unspec_at_any_time),
	CHECK(shut_before_connect),
	CHECK(listen_after_a_refusal),
	CHECK(accepted_sockets_stay),
	CHECK(errno_is_kept),
	CHECK(unread_error_goes_with_the_socket),
	CHECK(blocking_after_non_blocking_silence),
	CHECKS_END,
};
