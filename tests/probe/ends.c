/* SPDX-License-Identifier: MIT */
/* How a connection ends: shutdown in each order, resets, lingering, urgent data. */
#include "tests/probe/probe.h"

#include <sys/wait.h>

static char scratch[512];

static void remote_reset(void)
{
	int fd = tcp(0);
	char c;

	say("%s", got(conn4(fd, RESET)));
	say("send %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	say("poll %x", wait_for(fd, POLLIN, 2000) & (POLLERR | POLLHUP | POLLIN));
	say("recv %s", got(recv(fd, &c, 1, 0)));
	say("recv %s", got(recv(fd, &c, 1, 0)));
	say("send %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	say_peer(fd);
	close(fd);
	fd = tcp(0);
	conn4(fd, RESET);
	say("send %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	wait_for(fd, POLLIN, 2000);
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("again %s", got(conn4(fd, ECHO)));
	close(fd);
}

static void half_close(void)
{
	int fd = tcp(0);
	char c[4];

	say("%s", got(conn4(fd, ECHO)));
	say("send %s", got(send(fd, "abc", 3, 0)));
	say("%s", got(shutdown(fd, SHUT_WR)));
	say("recv %s", got(recv(fd, c, 3, MSG_WAITALL)));
	say("end %s", got(recv(fd, c, 1, 0)));
	say("peer %s", got(getpeername(fd, (struct sockaddr *)scratch, &(socklen_t){ 0 })));
	close(fd);
}

static void shut_reading(void)
{
	int fd = opened(ECHO);
	char c[4];

	say("%s", got(shutdown(fd, SHUT_RD)));
	say("recv %s", got(recv(fd, c, 1, 0)));
	say("poll %x", wait_for(fd, POLLIN | POLLRDHUP, 0));
	say("send %s", got(send(fd, "ab", 2, MSG_NOSIGNAL)));
	say("poll %x", wait_for(fd, POLLIN, 1000));
	wait_for(fd, 0, 50);
	say("recv %s", got(recv(fd, c, 4, MSG_DONTWAIT)));
	close(fd);
}

static void shut_writing_then_reading(void)
{
	int fd = opened(ECHO), r;
	char c;

	say("%s", got(send(fd, "x", 1, 0)));
	say("wr %s", got(shutdown(fd, SHUT_WR)));
	r = shutdown(fd, SHUT_WR);
	say("wr %s", r && errno == ENOTCONN ? "0" : got(r)); /* ENOTCONN once the server has closed too */
	say("send %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	say("recv %s", got(recv(fd, &c, 1, 0)));
	say("end %s", got(recv(fd, &c, 1, 0)));
	close(fd);
	fd = opened(WATCH);
	send(fd, "wrrd12", 6, 0);
	say("wr %s", got(shutdown(fd, SHUT_WR)));
	shutdown(fd, SHUT_RD); /* ENOTCONN once the server has closed too */
	say_watched("wrrd");
	close(fd);
}

static void shut_reading_then_writing(void)
{
	int fd = opened(WATCH);

	send(fd, "rdwr1", 5, 0);
	say("rd %s", got(shutdown(fd, SHUT_RD)));
	say("send %s", got(send(fd, "23", 2, MSG_NOSIGNAL)));
	say("wr %s", got(shutdown(fd, SHUT_WR)));
	say("send %s", got(send(fd, "4", 1, MSG_NOSIGNAL)));
	say_watched("rdwr");
	close(fd);
}

static void shut_both(void)
{
	int fd = opened(WATCH);
	char c;

	send(fd, "both1", 5, 0);
	say("%s", got(shutdown(fd, SHUT_RDWR)));
	say("recv %s", got(recv(fd, &c, 1, 0)));
	say("send %s", got(send(fd, "4", 1, MSG_NOSIGNAL)));
	say_watched("both");
	say("bad how %s", got(shutdown(fd, 7)));
	close(fd);
}

static void the_peer_ends_first(void)
{
	int fd = opened(SOURCE);
	char c[8] = "";

	say("%s", got(recv(fd, c, 5, MSG_WAITALL)));
	say("%s", c);
	say("end %s", got(recv(fd, c, 1, 0)));
	say("send %s", got(send(fd, "ab", 2, MSG_NOSIGNAL)));
	say("send %s", got(send(fd, "cd", 2, MSG_NOSIGNAL)));
	say("wr %s", got(shutdown(fd, SHUT_WR)));
	wait_for(fd, 0, 300);
	say("after all %s", got(recv(fd, c, 1, 0)));
	say("SO_ERROR %s", err_name(so_error(fd)));
	close(fd);
}

static void closed_in_order(void)
{
	int fd = opened(WATCH);
	char big[60000];

	memset(big, 'b', sizeof big);
	send(fd, "ordr", 4, 0);
	say("%s", got(send(fd, big, sizeof big, 0)));
	say("close %s", got(close(fd)));
	say_watched("ordr");
}

static void linger_zero(void)
{
	struct linger hard = { .l_onoff = 1 };
	int fd = opened(WATCH);

	send(fd, "hard", 4, 0);
	usleep(100000);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	say("close %s", got(close(fd)));
	say_watched("hard");
}

static void linger_some_time(void)
{
	struct linger some = { .l_onoff = 1, .l_linger = 2 };
	int fd = opened(WATCH);
	double begin;

	send(fd, "some123", 7, 0);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &some, sizeof some);
	begin = now();
	say("close %s", got(close(fd)));
	say("%s", timely(begin, 0, 1.5));
	say_watched("some");
}

static void closed_with_bytes_unread(void)
{
	int fd = opened(WATCH);

	send(fd, "?unr", 4, 0);
	say("poll %x", wait_for(fd, POLLIN, 2000));
	say("close %s", got(close(fd)));
	say_watched("?unr");
}

static void disconnected(void)
{
	int fd = opened(WATCH);

	send(fd, "disc", 4, 0);
	usleep(100000);
	say("%s", got(unspec(fd)));
	say_watched("disc");
	close(fd);
}

static void ended_by_exit(void)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		int fd = opened(WATCH);

		send(fd, "exit77", 6, 0);
		_exit(3);
	}
	waitpid(pid, &status, 0);
	say("%d", WEXITSTATUS(status));
	say_watched("exit");
}

static void ended_by_the_last_holder(void)
{
	int fd = opened(WATCH), other = dup(fd);

	send(fd, "last", 4, 0);
	say("close %s", got(close(fd)));
	usleep(50000);
	say("send %s", got(send(other, "abc", 3, MSG_NOSIGNAL)));
	say("close %s", got(close(other)));
	say_watched("last");
}

static void urgent_out(void)
{
	int fd = opened(WATCH);

	send(fd, "urge", 4, 0);
	say("%s", got(send(fd, "ab", 2, 0)));
	say("urgent %s", got(send(fd, "!", 1, MSG_OOB)));
	say("%s", got(send(fd, "cd", 2, 0)));
	close(fd);
	say_watched("urge");
}

static void urgent_in(void)
{
	char c[8] = "";
	int fd = opened(URGENT);

	send(fd, "x", 1, 0);
	usleep(200000);
	say("pri %x", wait_for(fd, POLLPRI, 0));
	say("oob %s", got(recv(fd, c, 1, MSG_OOB)));
	say("recv %s", got(recv(fd, c, 8, 0)));
	close(fd);
}

static void urgent_in_line(void)
{
	char c[8] = "";
	int fd = opened(URGENT);

	on(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	send(fd, "x", 1, 0);
	for (size_t have = 0; have < 5;) {
		ssize_t n = recv(fd, c + have, 5 - have, 0);

		if (n <= 0)
			break;
		have += (size_t)n;
	}
	say("%s", c);
	close(fd);
}

static void receive_flags(void)
{
	char c[16] = "";
	int fd = opened(ECHO);

	say("dontwait %s", got(recv(fd, c, 1, MSG_DONTWAIT)));
	send(fd, "abcdef", 6, 0);
	wait_for(fd, POLLIN, 2000);
	say("peek %s", got(recv(fd, c, 3, MSG_PEEK)));
	say("trunc %s", got(recv(fd, NULL, 2, MSG_TRUNC)));
	say("all %s", got(recv(fd, c, 4, MSG_WAITALL)));
	say("%.4s", c);
	say("errqueue %s", got(recv(fd, c, 4, MSG_ERRQUEUE)));
	close(fd);
}

/* Both ways at once, every byte looked at. */
static void *write_much(void *arg)
{
	static unsigned char out[4 << 20];
	size_t at = 0;

	for (size_t i = 0; i < sizeof out; i++)
		out[i] = (unsigned char)(i * 7 + i / 4093);
	while (at < sizeof out) {
		ssize_t n = send(*(int *)arg, out + at, sizeof out - at, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	shutdown(*(int *)arg, SHUT_WR);
	return NULL;
}

static void much_both_ways(void)
{
	unsigned char in[65536];
	size_t at = 0, bad = 0;
	pthread_t t;
	ssize_t n;
	int fd = opened(ECHO);

	pthread_create(&t, NULL, write_much, &fd);
	while ((n = recv(fd, in, sizeof in, 0)) > 0)
		for (ssize_t i = 0; i < n; i++, at++)
			bad += in[i] != (unsigned char)(at * 7 + at / 4093);
	pthread_join(t, NULL);
	say("%zu bytes bad %zu end %s", at, bad, got(n));
	close(fd);
}

const struct check end_checks[] = {
	CHECK(remote_reset),
	CHECK(half_close),
	CHECK(shut_reading),
	CHECK(shut_writing_then_reading),
	CHECK(shut_reading_then_writing),
	CHECK(shut_both),
	CHECK(the_peer_ends_first),
	CHECK(closed_in_order),
	CHECK(linger_zero),
	CHECK(linger_some_time),
	CHECK(closed_with_bytes_unread),
	CHECK(disconnected),
	CHECK(ended_by_exit),
	CHECK(ended_by_the_last_holder),
	CHECK(urgent_out),
	CHECK(urgent_in),
	CHECK(urgent_in_line),
	CHECK(receive_flags),
	CHECK(much_both_ways),
	CHECKS_END,
};
