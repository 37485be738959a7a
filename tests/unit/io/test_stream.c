/* SPDX-License-Identifier: MIT */
/* An application's socket on one side, the daemon's stream on the other: what each end is told. */
#include "tunneld/io/stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/sockaddr.h"
#include "tests/unit/unit.h"
#include "tunneld/io/clock.h"
#include "tunneld/io/dial.h"

static struct loop *loop;
static struct stream_set set;
static struct stream s;
static int app;
static unsigned readable, writable, resets;

/* A real owner reads, and closes what is reset, in the callback. */
static bool read_at_once;
static enum stream_result first_read;

static void on_readable(void *owner, size_t share)
{
	char byte;
	size_t n;

	CU_ASSERT_PTR_EQUAL(owner, &s);
	CU_ASSERT_TRUE(share > 0);
	readable++;
	if (read_at_once) {
		first_read = stream_read(&s, &byte, 1, &n);
		if (first_read == STREAM_RESET)
			stream_close(&s);
	}
	loop_end(loop);
}

static void on_writable(void *owner)
{
	(void)owner;
	writable++;
	loop_end(loop);
}

static void on_reset(void *owner)
{
	(void)owner;
	resets++;
	stream_close(&s); /* as every owner does */
	loop_end(loop);
}

static const struct stream_events events = { on_readable, on_writable, on_reset };

static bool timed_out;

static void on_time(void *owner)
{
	(void)owner;
	timed_out = true;
	loop_end(loop);
}

/* Runs until something is told; false: nothing was, for that long. */
static bool told(usec_t within_us)
{
	timed_out = false;
	loop_time_set(loop, clock_now() + within_us);
	loop_run(loop);
	loop_time_set(loop, USEC_NEVER);
	return !timed_out;
}

static int dialled_fd, dialled_error;
static bool dialled;

static void on_dialled(void *owner, int fd, int error)
{
	(void)owner;
	dialled_fd = fd;
	dialled_error = error;
	dialled = true;
	loop_end(loop);
}

static int listener(struct addr *at)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_EQUAL_FATAL(addr_parse(at, "127.0.0.1"), ERR_OK);
	len = sockaddr_of(&sa, at);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&sa, len), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 4), 0);
	len = sizeof sa;
	CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	CU_ASSERT_EQUAL_FATAL(sockaddr_to_addr(at, &sa, len), ERR_OK);
	return fd;
}

static void up(void)
{
	struct addr at;
	struct dial d;
	int listening;

	readable = writable = resets = 0;
	loop = loop_new();
	CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
	loop_on_time(loop, on_time, NULL);
	CU_ASSERT_EQUAL_FATAL(stream_set_open(&set, loop, &events), 0);
	listening = listener(&at);
	dialled = false;
	CU_ASSERT_EQUAL_FATAL(dial_start(&d, loop, &at, on_dialled, NULL), 0);
	CU_ASSERT_TRUE_FATAL(dialled || told(USEC_PER_S)); /* on this machine it may be told at once */
	CU_ASSERT_EQUAL_FATAL(dialled_error, 0);
	app = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	CU_ASSERT_TRUE_FATAL(app >= 0);
	close(listening);
	CU_ASSERT_EQUAL_FATAL(stream_open(&s, &set, dialled_fd, &s), 0);
	stream_want_read(&s, false);
}

static void down(void)
{
	stream_close(&s);
	stream_set_close(&set);
	if (app >= 0)
		close(app);
	loop_free(loop);
}

static void reset_app(void)
{
	struct linger hard = { 1, 0 };

	setsockopt(app, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(app);
	app = -1;
}

static enum stream_result read_some(void)
{
	char buf[64];
	size_t n;

	return stream_read(&s, buf, sizeof buf, &n);
}

static void test_bytes_go_both_ways(void)
{
	char buf[16] = { 0 };
	size_t n;

	up();
	CU_ASSERT_EQUAL(read_some(), STREAM_AGAIN);
	CU_ASSERT_EQUAL(send(app, "ping", 4, 0), 4);
	stream_want_read(&s, true);
	CU_ASSERT_TRUE(told(USEC_PER_S));
	CU_ASSERT_EQUAL(readable, 1);
	CU_ASSERT_EQUAL(stream_read(&s, buf, sizeof buf, &n), STREAM_OK);
	CU_ASSERT_EQUAL(n, 4);
	CU_ASSERT_EQUAL(stream_write(&s, "pong!", 5, &n), STREAM_OK);
	CU_ASSERT_EQUAL(recv(app, buf, sizeof buf, 0), 5);
	CU_ASSERT_STRING_EQUAL(buf, "pong!");
	down();
}

static void test_an_urgent_byte_is_a_byte(void)
{
	char buf[8] = "";
	size_t n, total = 0;

	up();
	CU_ASSERT_EQUAL(send(app, "a", 1, 0), 1);
	CU_ASSERT_EQUAL(send(app, "b", 1, MSG_OOB), 1);
	CU_ASSERT_EQUAL(send(app, "c", 1, 0), 1);
	stream_want_read(&s, true);
	while (total < 3 && told(USEC_PER_S))
		if (stream_read(&s, buf + total, sizeof buf - total, &n) == STREAM_OK)
			total += n;
	CU_ASSERT_EQUAL(total, 3);
	CU_ASSERT_EQUAL(memcmp(buf, "abc", 3), 0);
	down();
}

static void test_no_reading_wanted_no_reading_told(void)
{
	up();
	CU_ASSERT_EQUAL(send(app, "ping", 4, 0), 4);
	CU_ASSERT_FALSE(told(30 * USEC_PER_MS));
	CU_ASSERT_EQUAL(readable, 0);
	down();
}

static void test_a_half_close_leaves_the_other_half(void)
{
	char buf[8];
	size_t n;

	up();
	shutdown(app, SHUT_WR);
	stream_want_read(&s, true);
	CU_ASSERT_TRUE(told(USEC_PER_S));
	CU_ASSERT_EQUAL(read_some(), STREAM_EOF);
	stream_want_read(&s, false);
	CU_ASSERT_EQUAL(stream_write(&s, "late", 4, &n), STREAM_OK);
	CU_ASSERT_EQUAL(recv(app, buf, sizeof buf, 0), 4);
	stream_end_writing(&s);
	CU_ASSERT_EQUAL(recv(app, buf, sizeof buf, 0), 0);
	CU_ASSERT_FALSE(told(20 * USEC_PER_MS)); /* FIN both ways is no reset */
	CU_ASSERT_EQUAL(resets, 0);
	down();
}

static void test_a_rst_is_told_though_nobody_reads(void)
{
	up();
	reset_app();
	CU_ASSERT_TRUE(told(USEC_PER_S));
	CU_ASSERT_EQUAL(resets, 1);
	down();
}

static void test_a_rst_after_fin_is_told(void)
{
	up();
	shutdown(app, SHUT_WR);
	stream_want_read(&s, true);
	CU_ASSERT_TRUE(told(USEC_PER_S));
	CU_ASSERT_EQUAL(read_some(), STREAM_EOF);
	stream_want_read(&s, false);
	reset_app();
	CU_ASSERT_TRUE(told(USEC_PER_S));
	CU_ASSERT_EQUAL(resets, 1);
	down();
}

static void test_a_rst_is_told_once_by_whoever_sees_it_first(void)
{
	up();
	stream_want_read(&s, true);
	read_at_once = true;
	reset_app();
	CU_ASSERT_TRUE(told(USEC_PER_S));
	/* Either read() says so or the error set did: never both. */
	if (readable)
		CU_ASSERT_EQUAL(first_read, STREAM_RESET);
	CU_ASSERT_FALSE(told(20 * USEC_PER_MS));
	read_at_once = false;
	CU_ASSERT_EQUAL(readable + resets, 1);
	down();
}

static void test_fin_both_ways_is_told_no_more(void)
{
	up();
	stream_want_read(&s, true);
	shutdown(app, SHUT_WR);
	CU_ASSERT_TRUE(told(USEC_PER_S));
	CU_ASSERT_EQUAL(read_some(), STREAM_EOF);
	stream_want_read(&s, false);
	stream_end_writing(&s);
	readable = 0;
	CU_ASSERT_FALSE(told(20 * USEC_PER_MS));
	/* Nor does it keep the loop busy: the set has nothing to tell. */
	CU_ASSERT_EQUAL(poll(&(struct pollfd){ .fd = set.epoll, .events = POLLIN }, 1, 0), 0);
	CU_ASSERT_EQUAL(readable + resets, 0);
	/* Who asks again is told again. */
	stream_want_read(&s, true);
	CU_ASSERT_TRUE(told(USEC_PER_S));
	CU_ASSERT_EQUAL(readable, 1);
	down();
}

/* --- many --- */

enum { MANY = 5 * STREAMS_A_TURN };

static struct stream many[MANY];
static unsigned turns[MANY], turns_in_all;

static void on_many_readable(void *owner, size_t share)
{
	turns[(struct stream *)owner - many]++;
	CU_ASSERT_TRUE(share * STREAMS_A_TURN <= 1 << 20);
	if (++turns_in_all == 3 * MANY)
		loop_end(loop);
}

static void test_each_has_its_turn(void)
{
	static const struct stream_events many_events = { on_many_readable, on_writable, on_reset };
	int pair[MANY][2];

	loop = loop_new();
	CU_ASSERT_EQUAL_FATAL(stream_set_open(&set, loop, &many_events), 0);
	for (unsigned i = 0; i < MANY; i++) {
		CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair[i]), 0);
		CU_ASSERT_EQUAL_FATAL(stream_open(&many[i], &set, pair[i][1], &many[i]), 0);
		CU_ASSERT_EQUAL(write(pair[i][0], "x", 1), 1); /* never read: ready for ever */
	}
	loop_run(loop);
	for (unsigned i = 0; i < MANY; i++) {
		CU_ASSERT_EQUAL(turns[i], 3);
		stream_reset(&many[i]);
		close(pair[i][0]);
	}
	stream_set_close(&set);
	loop_free(loop);
}

/* What the application reads in the end: 0, or an errno. */
static int apps_end(void)
{
	char buf[4096];
	ssize_t n;

	while ((n = recv(app, buf, sizeof buf, 0)) > 0)
		;
	return n ? errno : 0;
}

static void test_close_is_a_fin_and_reset_a_rst(void)
{
	up();
	stream_close(&s);
	CU_ASSERT_EQUAL(s.fd, -1);
	CU_ASSERT_EQUAL(apps_end(), 0);
	down();
	up();
	stream_reset(&s);
	CU_ASSERT_EQUAL(apps_end(), ECONNRESET);
	down();
}

static void test_a_killed_daemon_is_a_rst(void)
{
	up();
	close(s.fd); /* as the kernel does at the end of a process */
	CU_ASSERT_EQUAL(apps_end(), ECONNRESET);
	s.fd = -1;
	down();
}

static void test_a_full_socket_is_told_when_it_has_room(void)
{
	static char block[65536];
	enum stream_result r;
	size_t n, total = 0, got = 0;

	up();
	while ((r = stream_write(&s, block, sizeof block, &n)) == STREAM_OK)
		total += n;
	CU_ASSERT_EQUAL(r, STREAM_AGAIN);
	stream_want_write(&s, true);
	CU_ASSERT_FALSE(told(20 * USEC_PER_MS));
	while (got < total) {
		ssize_t some = recv(app, block, sizeof block, 0);

		CU_ASSERT_TRUE_FATAL(some > 0);
		got += (size_t)some;
	}
	CU_ASSERT_TRUE(told(USEC_PER_S));
	CU_ASSERT_EQUAL(writable, 1);
	down();
}

static void test_a_refused_dial_says_so(void)
{
	struct addr at;
	struct dial d;
	int fd, error;

	loop = loop_new();
	loop_on_time(loop, on_time, NULL);
	fd = listener(&at);
	close(fd); /* nobody there any more */
	dialled_fd = 0;
	dialled_error = 0;
	error = dial_start(&d, loop, &at, on_dialled, NULL);
	if (!error) {
		CU_ASSERT_TRUE(told(USEC_PER_S));
		error = dialled_error;
		CU_ASSERT_EQUAL(dialled_fd, -1);
	}
	CU_ASSERT_EQUAL(error, ECONNREFUSED);
	CU_ASSERT_EQUAL(d.fd, -1);
	loop_free(loop);
}

static void test_a_cancelled_dial_is_silent(void)
{
	struct addr at;
	struct dial d;
	int fd;

	loop = loop_new();
	loop_on_time(loop, on_time, NULL);
	fd = listener(&at);
	CU_ASSERT_EQUAL_FATAL(dial_start(&d, loop, &at, on_dialled, NULL), 0);
	dial_cancel(&d);
	CU_ASSERT_FALSE(told(30 * USEC_PER_MS));
	dial_cancel(&d); /* twice is once */
	close(fd);
	loop_free(loop);
}

static void test_a_dial_to_nowhere_fails_at_once(void)
{
	struct addr at;
	struct dial d;

	loop = loop_new();
	CU_ASSERT_EQUAL_FATAL(addr_parse(&at, "255.255.255.255:1"), ERR_OK);
	CU_ASSERT_NOT_EQUAL(dial_start(&d, loop, &at, on_dialled, NULL), 0);
	CU_ASSERT_EQUAL(d.fd, -1);
	loop_free(loop);
}

UNIT_MAIN("stream",
	T(test_bytes_go_both_ways),
	T(test_an_urgent_byte_is_a_byte),
	T(test_no_reading_wanted_no_reading_told),
	T(test_a_half_close_leaves_the_other_half),
	T(test_a_rst_is_told_though_nobody_reads),
	T(test_a_rst_after_fin_is_told),
	T(test_a_rst_is_told_once_by_whoever_sees_it_first),
	T(test_fin_both_ways_is_told_no_more),
	T(test_each_has_its_turn),
	T(test_close_is_a_fin_and_reset_a_rst),
	T(test_a_killed_daemon_is_a_rst),
	T(test_a_full_socket_is_told_when_it_has_room),
	T(test_a_refused_dial_says_so),
	T(test_a_cancelled_dial_is_silent),
	T(test_a_dial_to_nowhere_fails_at_once))
