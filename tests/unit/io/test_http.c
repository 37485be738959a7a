/* SPDX-License-Identifier: MIT */
/* The status socket and clients of it that do not behave: who says nothing, or reads nothing, is cut and keeps nobody else out. */
#define HTTP_IDLE_S 1
#include "tunneld/io/http.c"

#include <fcntl.h>
#include <stdio.h>

#include "tests/unit/unit.h"
#include "tunneld/io/clock.h"

static struct loop *loop;
static struct http *http;
static char path[64];
static unsigned answers, pieces, dones;
static bool silent; /* the stream has nothing to say */

static size_t more(void *stream, char *out, size_t room)
{
	(void)stream;
	if (silent)
		return 0;
	pieces++;
	memset(out, 'x', room);
	return room;
}

static void done(void *stream)
{
	(void)stream;
	dones++;
}

static void on_answer(void *owner, const struct http_request *r, struct http_answer *out)
{
	(void)owner;
	answers++;
	out->status = 200;
	if (strcmp(r->path, "/stream") == 0) {
		out->more = more;
		out->done = done;
		return;
	}
	out->body = strdup("{}\n");
	out->len = 3;
}

static void on_time(void *owner)
{
	(void)owner;
	loop_end(loop);
}

static void up(void)
{
	struct addr none = { .family = 0 };
	const char *why;

	answers = pieces = dones = 0;
	silent = false;
	snprintf(path, sizeof path, "/tmp/plait-test-http-%d", (int)getpid());
	loop = loop_new();
	CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
	loop_on_time(loop, on_time, NULL);
	http = http_new(loop, path, &none, on_answer, NULL, &why);
	CU_ASSERT_PTR_NOT_NULL_FATAL(http);
}

static void down(void)
{
	http_free(http);
	loop_free(loop);
}

static void turn(void)
{
	loop_time_set(loop, clock_now() + 5000);
	loop_run(loop);
}

static int ask(const char *what)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(sa.sun_path, path);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	CU_ASSERT_EQUAL((size_t)send(fd, what, strlen(what), MSG_NOSIGNAL), strlen(what));
	return fd;
}

/* Until the server has closed it, or nothing more comes for `most`; how many bytes came. */
static size_t rest(int fd, usec_t most, bool *closed)
{
	usec_t end = clock_now() + most;
	char buffer[4096];
	size_t sum = 0;

	*closed = false;
	while (!*closed && clock_now() < end) {
		ssize_t n = read(fd, buffer, sizeof buffer);

		if (n > 0)
			sum += (size_t)n;
		else if (n == 0 || errno != EAGAIN)
			*closed = true;
		else
			turn();
	}
	return sum;
}

#define GET(what) "GET " what " HTTP/1.0\r\n\r\n"

static void test_an_answer_comes_and_only_GET_is_served(void)
{
	bool closed;
	int fd;

	up();
	fd = ask(GET("/v1/status"));
	CU_ASSERT_TRUE(rest(fd, USEC_PER_S, &closed) > 3);
	CU_ASSERT_TRUE(closed);
	CU_ASSERT_EQUAL(answers, 1);
	close(fd);
	fd = ask("PUT /v1/status HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
	CU_ASSERT_TRUE(rest(fd, USEC_PER_S, &closed) > 3);
	CU_ASSERT_EQUAL(answers, 1);
	close(fd);
	down();
}

static void test_who_asks_nothing_is_cut(void)
{
	usec_t begin;
	bool closed;
	int fd;

	up();
	begin = clock_now();
	fd = ask("GET /v1/sta");
	CU_ASSERT_EQUAL(rest(fd, 5 * USEC_PER_S, &closed), 0);
	CU_ASSERT_TRUE(closed);
	CU_ASSERT_TRUE(clock_now() - begin >= USEC_PER_S);
	CU_ASSERT_EQUAL(answers, 0);
	close(fd);
	down();
}

static void test_who_reads_nothing_of_a_stream_is_cut(void)
{
	usec_t begin, end;
	int fd;

	up();
	begin = clock_now();
	end = begin + 5 * USEC_PER_S;
	fd = ask(GET("/stream"));
	while (!dones && clock_now() < end)
		turn();
	CU_ASSERT_EQUAL(dones, 1);
	CU_ASSERT_TRUE(clock_now() - begin >= USEC_PER_S);
	/* It was not made for somebody who does not take it. */
	CU_ASSERT_TRUE(pieces <= 4);
	close(fd);
	down();
}

static void test_a_stream_with_nothing_to_say_is_not_cut(void)
{
	bool closed;
	int fd;

	up();
	silent = true;
	fd = ask(GET("/stream"));
	CU_ASSERT_TRUE(rest(fd, 2500 * USEC_PER_MS, &closed) > 0); /* its head */
	CU_ASSERT_FALSE(closed);
	CU_ASSERT_EQUAL(dones, 0);
	silent = false;
	http_wake(http);
	CU_ASSERT_TRUE(rest(fd, 100 * USEC_PER_MS, &closed) > 0);
	close(fd);
	down();
	CU_ASSERT_EQUAL(dones, 1);
}

static void test_as_many_as_may_connect_keep_others_out_only_until_they_are_cut(void)
{
	int idle[CONNECTIONS_MAX], fd;
	bool closed;

	up();
	for (int i = 0; i < CONNECTIONS_MAX; i++) {
		idle[i] = ask("GET /");
		turn();
	}
	fd = ask(GET("/v1/status"));
	for (usec_t end = clock_now() + 5 * USEC_PER_S; !answers && clock_now() < end;) {
		size_t n = rest(fd, 50 * USEC_PER_MS, &closed);

		if (!closed || n)
			continue;
		close(fd); /* refused: again */
		turn();
		fd = ask(GET("/v1/status"));
	}
	CU_ASSERT_EQUAL(answers, 1);
	close(fd);
	for (int i = 0; i < CONNECTIONS_MAX; i++)
		close(idle[i]);
	down();
}

UNIT_MAIN("http", T(test_an_answer_comes_and_only_GET_is_served), T(test_who_asks_nothing_is_cut),
	  T(test_who_reads_nothing_of_a_stream_is_cut), T(test_a_stream_with_nothing_to_say_is_not_cut),
	  T(test_as_many_as_may_connect_keep_others_out_only_until_they_are_cut))
