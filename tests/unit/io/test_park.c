/* SPDX-License-Identifier: MIT */
/* The application's side is played here, with the same system calls in the same order as shim/lib makes them. */
#include "common/local_msg.h"
#include "common/sockaddr.h"
#include "tests/unit/unit.h"
#include "tunneld/io/park.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct ev_loop *loop;
static struct park *park;
static char dir[] = "/tmp/plait-park-XXXXXX", path[64];

/* What the callbacks were told, and what they shall do. */
static struct {
	int connects, streams, cancels, directs;
	enum local_reason why;
	park_id id;
	struct addr dest;
	struct park_caller who;
	int fd;
	enum { LATER, FAIL_AT_ONCE, COMPLETE_AT_ONCE, DIRECT, UNABLE, SLOW } then;
} heard;

static void on_connect(void *ctx, park_id id, const struct addr *dest, const struct park_caller *who)
{
	int fd;

	CU_ASSERT_PTR_EQUAL(ctx, &heard);
	heard.connects++;
	heard.id = id;
	heard.dest = *dest;
	heard.who = *who;
	switch (heard.then) {
	case LATER:
		break;
	case FAIL_AT_ONCE:
		park_fail(park, id, EHOSTUNREACH);
		break;
	case COMPLETE_AT_ONCE:
		CU_ASSERT_FALSE(park_complete(park, id, &fd));
		break;
	case DIRECT:
		park_direct(park, id);
		break;
	case UNABLE:
		park_unable(park, id, ENETUNREACH, LOCAL_NO_TUNNEL);
		break;
	case SLOW:
		park_slow(park, id, LOCAL_NO_GATEWAY);
		break;
	}
}
static void on_stream(void *ctx, park_id id, int fd)
{
	(void)ctx;
	CU_ASSERT_EQUAL(id, heard.id);
	heard.streams++;
	heard.fd = fd;
}
static void on_cancel(void *ctx, park_id id)
{
	(void)ctx, (void)id;
	heard.cancels++;
}

static void on_direct(void *ctx, const struct addr *dest, const struct park_caller *who, enum local_reason why)
{
	CU_ASSERT_PTR_EQUAL(ctx, &heard);
	heard.directs++;
	heard.dest = *dest;
	heard.who = *who;
	heard.why = why;
}

static bool on_info(void *ctx, park_id id, struct local_info *out)
{
	CU_ASSERT_PTR_EQUAL(ctx, &heard);
	CU_ASSERT_EQUAL(id, heard.id);
	*out = (struct local_info){ .subflows = 2, .snd_una = UINT64_MAX, .rcv_wnd = 7 };
	return true;
}

static struct { unsigned count; park_id id; struct park_options now; } set;

static void on_options(void *ctx, park_id id, const struct park_options *now)
{
	(void)ctx;
	set.count++;
	set.id = id;
	set.now = *now;
}

static const struct park_callbacks callbacks = { on_connect, on_stream, on_cancel, on_direct, on_info, on_options };

static void open_park(size_t streams)
{
	struct park_config config = { .socket = path, .streams_max = streams };
	const char *why = "";

	memset(&heard, 0, sizeof heard);
	heard.fd = -1;
	loop = ev_loop_new(0);
	park = park_new(loop, &config, &callbacks, &heard, &why);
	if (!park)
		fprintf(stderr, "park_new: %s: %s\n", why, strerror(errno));
	CU_ASSERT_PTR_NOT_NULL_FATAL(park);
}
static void shut_park(void)
{
	if (heard.fd >= 0)
		close(heard.fd);
	park_free(park);
	ev_loop_destroy(loop);
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
}
static struct park_stats stats(void)
{
	struct park_stats s;

	park_stats(park, &s);
	return s;
}

static void on_late(struct ev_loop *l, ev_timer *t, int events)
{
	(void)t, (void)events;
	ev_break(l, EVBREAK_ALL);
}
/* Turns the loop until *what is at least want; false: not within two seconds. */
static bool turn_until(const int *what, int want)
{
	ev_timer late;

	ev_timer_init(&late, on_late, 0.01, 0.01);
	ev_timer_start(loop, &late);
	for (int i = 0; i < 400 && *what < want; i++)
		ev_run(loop, EVRUN_ONCE);
	ev_timer_stop(loop, &late);
	return *what >= want;
}
/* For assertions of silence: what comes in this time would have come. */
static void turn_for(double seconds)
{
	ev_timer late;

	ev_timer_init(&late, on_late, seconds, 0);
	ev_timer_start(loop, &late);
	ev_run(loop, 0);
	ev_timer_stop(loop, &late);
}

static bool elsewhere; /* in a process whose loop is not the park's */

static struct local_answer ask(enum local_ask_kind kind, int fd, const struct addr *dest)
{
	struct local_ask q = { .kind = kind, .fd = (uint32_t)fd, .comm = "unit" };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct local_answer answer = { 0 };
	uint8_t bytes[LOCAL_ANSWER_MOST];
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = { { 0 } };
	struct iovec iov = { bytes, LOCAL_ASK_BYTES };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int ctl = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	ssize_t n = -1;

	if (dest)
		q.dest = *dest;
	local_ask_emit(&q, bytes);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	strcpy(un.sun_path, path);
	CU_ASSERT_EQUAL(connect(ctl, (struct sockaddr *)&un, sizeof un), 0);
	CU_ASSERT_EQUAL(sendmsg(ctl, &m, 0), LOCAL_ASK_BYTES);
	if (elsewhere)
		n = recv(ctl, bytes, sizeof bytes, 0);
	for (int i = 0; i < 100 && n < 0; i++) {
		ev_run(loop, EVRUN_NOWAIT);
		n = recv(ctl, bytes, sizeof bytes, MSG_DONTWAIT);
	}
	close(ctl);
	CU_ASSERT_EQUAL(local_answer_parse(&answer, bytes, n > 0 ? (size_t)n : 0), ERR_OK);
	return answer;
}

static struct addr four(void) { return (struct addr){ .family = 4, .ip = { 192, 0, 2, 9 }, .port = 80 }; }
static struct addr six(void) { return (struct addr){ .family = 6, .ip = { 0x20, 1, 0x0d, 0xb8, [15] = 9 }, .port = 80 }; }
static struct addr mapped(void)
{
	return (struct addr){ .family = 6, .ip = { [10] = 0xff, 0xff, 192, 0, 2, 9 }, .port = 80 };
}

static int state_of(int fd)
{
	struct tcp_info i = { 0 };
	socklen_t len = sizeof i;

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &len) ? -1 : i.tcpi_state;
}
static int error_of(int fd)
{
	int e = -1;
	socklen_t len = sizeof e;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
	return e;
}
static short ready(int fd, short events)
{
	struct pollfd p = { fd, events, 0 };

	return poll(&p, 1, 0) > 0 ? p.revents : 0;
}
static int go(int fd, int domain, const struct addr *hole)
{
	struct sockaddr_storage sa;
	socklen_t len = domain == AF_INET6 ? sockaddr_of_mapped(&sa, hole) : sockaddr_of(&sa, hole);

	return connect(fd, (struct sockaddr *)&sa, len) ? errno : 0;
}
/* Parked, and pending in its hole. */
static int pending(int domain, const struct addr *dest)
{
	int fd = socket(domain, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct local_answer a = ask(LOCAL_PARK, fd, dest);

	CU_ASSERT_EQUAL(a.kind, LOCAL_HOLE);
	CU_ASSERT_EQUAL(go(fd, domain, &a.addr), EINPROGRESS);
	CU_ASSERT_EQUAL(state_of(fd), TCP_SYN_SENT);
	return fd;
}
/* The daemon's end, given at once or by the callback. */
static int complete(void)
{
	int fd = -1;

	if (!park_complete(park, heard.id, &fd) && turn_until(&heard.streams, heard.streams + 1))
		fd = heard.fd;
	heard.fd = -1;
	CU_ASSERT_NOT_EQUAL_FATAL(fd, -1);
	return fd;
}
static void talk(int a, int b)
{
	char text[8] = { 0 };

	CU_ASSERT_EQUAL(send(a, "there", 5, 0), 5);
	CU_ASSERT_EQUAL(recv(b, text, sizeof text, 0), 5);
	CU_ASSERT_EQUAL(send(b, "back", 4, 0), 4);
	CU_ASSERT_EQUAL(recv(a, text, sizeof text, 0), 4);
}

static void completes(int domain, struct addr dest)
{
	int fd, end;

	open_park(0);
	fd = pending(domain, &dest);
	dest = addr_unmap(&dest);
	CU_ASSERT_TRUE(addr_eq(&heard.dest, &dest));
	turn_for(0.05);
	CU_ASSERT_EQUAL(ready(fd, POLLIN | POLLOUT), 0);
	end = complete();
	CU_ASSERT_EQUAL(ready(fd, POLLIN | POLLOUT), POLLOUT);
	CU_ASSERT_EQUAL(error_of(fd), 0);
	CU_ASSERT_EQUAL(fcntl(end, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CU_ASSERT_EQUAL(fcntl(end, F_GETFD), FD_CLOEXEC);
	talk(fd, end);
	/* No copy of ours is left: its close is the last one. */
	close(fd);
	CU_ASSERT_EQUAL(ready(end, POLLIN | POLLRDHUP), POLLIN | POLLRDHUP);
	close(end);
	CU_ASSERT_EQUAL(stats().pending, 0);
	CU_ASSERT_EQUAL(stats().live, 1);
	park_closed(park, heard.id);
	CU_ASSERT_EQUAL(stats().live, 0);
	CU_ASSERT_EQUAL(heard.cancels, 0);
	shut_park();
}
static void test_a_connect_is_silent_until_it_completes(void) { completes(AF_INET, four()); }
static void test_a_connect_over_ipv6_completes(void) { completes(AF_INET6, six()); }
static void test_a_connect_to_a_mapped_address_completes(void) { completes(AF_INET6, mapped()); }

static void test_the_caller_is_who_the_kernel_says(void)
{
	struct addr dest = four();
	int fd;

	open_park(0);
	fd = pending(AF_INET, &dest);
	CU_ASSERT_EQUAL(heard.who.pid, getpid());
	CU_ASSERT_EQUAL(heard.who.uid, geteuid());
	CU_ASSERT_STRING_EQUAL(heard.who.comm, "unit");
	CU_ASSERT_EQUAL(heard.who.local.family, 0);
	close(fd);
	shut_park();
}

static void test_a_failed_connect_is_one_error_with_its_reason_kept(void)
{
	struct addr dest = four();
	struct local_answer a;
	int fd;

	open_park(0);
	fd = pending(AF_INET, &dest);
	park_fail(park, heard.id, ECONNREFUSED);
	CU_ASSERT_EQUAL(ready(fd, POLLOUT), POLLOUT | POLLERR | POLLHUP);
	CU_ASSERT_EQUAL(error_of(fd), ECONNRESET);
	CU_ASSERT_EQUAL(error_of(fd), 0);
	a = ask(LOCAL_READ_VERDICT, fd, NULL);
	CU_ASSERT_EQUAL(a.kind, LOCAL_ERROR);
	CU_ASSERT_EQUAL(a.error, ECONNREFUSED);
	/* Told once: a later reset of the same socket has a reason of its own. */
	CU_ASSERT_EQUAL(ask(LOCAL_READ_VERDICT, fd, NULL).kind, LOCAL_NONE);
	CU_ASSERT_EQUAL(stats().failed, 1);
	CU_ASSERT_EQUAL(stats().failed_by_errno[ECONNREFUSED], 1);
	CU_ASSERT_EQUAL(heard.cancels, 0);
	close(fd);
	shut_park();
}

static void test_the_connect_after_a_failed_one_is_answered_as_the_kernel_does(void)
{
	struct addr dest = four();
	struct local_answer a;
	int fd;

	open_park(0);
	fd = pending(AF_INET, &dest);
	park_fail(park, heard.id, ETIMEDOUT);
	/* Nobody read the error: it is this connect's answer. */
	a = ask(LOCAL_PARK, fd, &dest);
	CU_ASSERT_EQUAL(a.kind, LOCAL_ERROR);
	CU_ASSERT_EQUAL(a.error, ETIMEDOUT);
	CU_ASSERT_EQUAL(error_of(fd), 0);
	a = ask(LOCAL_PARK, fd, &dest);
	CU_ASSERT_EQUAL(a.kind, LOCAL_HOLE);
	CU_ASSERT_EQUAL(go(fd, AF_INET, &a.addr), EINPROGRESS);
	park_fail(park, heard.id, ETIMEDOUT);
	error_of(fd);
	CU_ASSERT_EQUAL(ask(LOCAL_READ_VERDICT, fd, NULL).error, ETIMEDOUT);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &dest).error, ECONNABORTED);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &dest).kind, LOCAL_HOLE);
	close(fd);
	shut_park();
}

static void test_a_verdict_taken_by_connect_leaves_the_socket_fresh(void)
{
	struct addr dest = four();
	int fd;

	open_park(0);
	fd = pending(AF_INET, &dest);
	park_fail(park, heard.id, ECONNREFUSED);
	error_of(fd);
	CU_ASSERT_EQUAL(ask(LOCAL_TAKE_VERDICT, fd, NULL).error, ECONNREFUSED);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &dest).kind, LOCAL_HOLE);
	close(fd);
	shut_park();
}

static void test_a_verdict_that_comes_before_the_syn_waits_for_it(void)
{
	struct addr dest = four();
	struct local_answer a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), end = -1;

	open_park(0);
	a = ask(LOCAL_PARK, fd, &dest);
	CU_ASSERT_FALSE(park_complete(park, heard.id, &end));
	turn_for(0.02);
	CU_ASSERT_EQUAL(heard.streams, 0);
	CU_ASSERT_EQUAL(go(fd, AF_INET, &a.addr), EINPROGRESS);
	CU_ASSERT_TRUE(turn_until(&heard.streams, 1));
	talk(fd, heard.fd);
	close(fd);
	close(heard.fd);
	heard.fd = -1;
	park_closed(park, heard.id);

	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	a = ask(LOCAL_PARK, fd, &dest);
	park_fail(park, heard.id, ENETUNREACH);
	turn_for(0.02);
	CU_ASSERT_EQUAL(go(fd, AF_INET, &a.addr), EINPROGRESS);
	turn_for(0.1);
	CU_ASSERT_EQUAL(error_of(fd), ECONNRESET);
	CU_ASSERT_EQUAL(ask(LOCAL_READ_VERDICT, fd, NULL).error, ENETUNREACH);
	CU_ASSERT_EQUAL(heard.cancels, 0);
	CU_ASSERT_EQUAL(stats().pending, 0);
	close(fd);
	shut_park();
}

static void test_a_failure_after_a_completion_that_waits_is_the_verdict(void)
{
	struct addr dest = four();
	struct local_answer a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), end;

	open_park(0);
	a = ask(LOCAL_PARK, fd, &dest);
	CU_ASSERT_FALSE(park_complete(park, heard.id, &end));
	park_fail(park, heard.id, ECONNREFUSED);
	CU_ASSERT_EQUAL(go(fd, AF_INET, &a.addr), EINPROGRESS);
	turn_for(0.1);
	CU_ASSERT_EQUAL(heard.streams, 0);
	CU_ASSERT_EQUAL(error_of(fd), ECONNRESET);
	close(fd);
	shut_park();
}

static void test_answers_inside_the_callback_are_answers(void)
{
	struct addr dest = four();
	struct local_answer a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	open_park(0);
	heard.then = FAIL_AT_ONCE;
	a = ask(LOCAL_PARK, fd, &dest);
	CU_ASSERT_EQUAL(a.kind, LOCAL_ERROR);
	CU_ASSERT_EQUAL(a.error, EHOSTUNREACH);
	heard.then = DIRECT;
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &dest).kind, LOCAL_DIRECT);
	CU_ASSERT_EQUAL(stats().bypassed, 1);
	CU_ASSERT_EQUAL(stats().pending, 0);
	heard.then = COMPLETE_AT_ONCE;
	a = ask(LOCAL_PARK, fd, &dest);
	CU_ASSERT_EQUAL(go(fd, AF_INET, &a.addr), EINPROGRESS);
	CU_ASSERT_TRUE(turn_until(&heard.streams, 1));
	talk(fd, heard.fd);
	CU_ASSERT_EQUAL(heard.cancels, 0);
	close(fd);
	shut_park();
}

static void test_where_the_destination_is_not_to_blame_a_reason_is_told(void)
{
	struct addr dest = four();
	struct local_answer a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	open_park(0);
	heard.then = UNABLE;
	a = ask(LOCAL_PARK, fd, &dest);
	CU_ASSERT_EQUAL(a.kind, LOCAL_UNABLE);
	CU_ASSERT_EQUAL(a.reason, LOCAL_NO_TUNNEL);
	CU_ASSERT_EQUAL(a.error, ENETUNREACH);
	heard.then = SLOW;
	a = ask(LOCAL_PARK, fd, &dest);
	CU_ASSERT_EQUAL(a.kind, LOCAL_HOLE);
	CU_ASSERT_EQUAL(a.reason, LOCAL_NO_GATEWAY);
	CU_ASSERT_EQUAL(go(fd, AF_INET, &a.addr), EINPROGRESS);
	park_unable(park, heard.id, ETIMEDOUT, LOCAL_NO_GATEWAY);
	a = ask(LOCAL_READ_VERDICT, fd, NULL);
	CU_ASSERT_EQUAL(a.error, ETIMEDOUT);
	CU_ASSERT_EQUAL(a.reason, LOCAL_NO_GATEWAY);
	CU_ASSERT_TRUE(addr_eq(&a.addr, &dest));
	close(fd);
	shut_park();
}

static void test_disconnecting_is_giving_up(void)
{
	struct addr dest = four();
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd;

	open_park(0);
	fd = pending(AF_INET, &dest);
	CU_ASSERT_EQUAL(connect(fd, &none, sizeof none), 0);
	CU_ASSERT_EQUAL(ask(LOCAL_FORGET, fd, NULL).kind, LOCAL_NONE);
	CU_ASSERT_EQUAL(heard.cancels, 1);
	/* A program that got past the shim is missed by the look: the first one saw it in SYN_SENT. */
	close(fd);
	fd = pending(AF_INET, &dest);
	turn_for(0.6);
	CU_ASSERT_EQUAL(heard.cancels, 1);
	CU_ASSERT_EQUAL(connect(fd, &none, sizeof none), 0);
	CU_ASSERT_TRUE(turn_until(&heard.cancels, 2));
	/* Too late, and harmless. What the kernel itself says of a dissolved connect is read first. */
	CU_ASSERT_EQUAL(error_of(fd), ECONNRESET);
	park_fail(park, heard.id, ECONNREFUSED);
	CU_ASSERT_EQUAL(error_of(fd), 0);
	close(fd);
	shut_park();
}

static void test_the_same_socket_asking_again_dissolves_the_first(void)
{
	struct addr dest = four(), other = { .family = 4, .ip = { 192, 0, 2, 10 }, .port = 81 };
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct local_answer a;
	int fd, end;

	open_park(0);
	fd = pending(AF_INET, &dest);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &other).error, EALREADY);
	CU_ASSERT_EQUAL(connect(fd, &none, sizeof none), 0);
	a = ask(LOCAL_PARK, fd, &other);
	CU_ASSERT_EQUAL(heard.cancels, 1);
	CU_ASSERT_EQUAL(heard.dest.port, 81);
	CU_ASSERT_EQUAL(go(fd, AF_INET, &a.addr), EINPROGRESS);
	end = complete();
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &other).error, EISCONN);
	talk(fd, end);
	close(fd);
	close(end);
	shut_park();
}

static void names_of(int fd, const struct addr *dest)
{
	struct local_answer a = ask(LOCAL_NAMES, fd, NULL);

	if (dest) {
		CU_ASSERT_EQUAL(a.kind, LOCAL_NAMED);
		CU_ASSERT_TRUE(addr_eq(&a.addr, dest));
	} else {
		CU_ASSERT_EQUAL(a.kind, LOCAL_NONE);
	}
}

static void test_names_follow_the_socket_and_outlive_the_stream(void)
{
	struct addr dest = four(), other = { .family = 4, .ip = { 192, 0, 2, 10 }, .port = 81 };
	int fd, copy, end, stranger = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	open_park(0);
	fd = pending(AF_INET, &dest);
	names_of(fd, &dest);
	end = complete();
	copy = dup(fd);
	names_of(copy, &dest);
	names_of(stranger, NULL);
	close(end);
	park_closed(park, heard.id);
	/* Our end is closed, the application's is half open: the kernel still tells a peer. */
	names_of(fd, &dest);
	CU_ASSERT_EQUAL(connect(fd, &none, sizeof none), 0);
	names_of(fd, NULL);
	close(fd);
	close(copy);
	fd = pending(AF_INET, &other);
	names_of(fd, &other);
	close(fd);
	close(stranger);
	shut_park();
}

static void test_how_a_stream_fares_is_told_while_it_is_one(void)
{
	int fd, end, stranger = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct addr dest = four();
	struct local_answer a;

	open_park(0);
	fd = pending(AF_INET, &dest);
	CU_ASSERT_EQUAL(ask(LOCAL_INFO, fd, NULL).kind, LOCAL_TOLD);
	end = complete();
	a = ask(LOCAL_INFO, fd, NULL);
	CU_ASSERT_EQUAL(a.kind, LOCAL_TOLD);
	CU_ASSERT_EQUAL(a.info.subflows, 2);
	CU_ASSERT_EQUAL(a.info.snd_una, UINT64_MAX);
	CU_ASSERT_EQUAL(a.info.rcv_wnd, 7);
	CU_ASSERT_EQUAL(ask(LOCAL_INFO, stranger, NULL).kind, LOCAL_NONE);
	CU_ASSERT_EQUAL(stats().infos_asked, 3);
	/* Connected to something else now, perhaps: not ours any more. */
	CU_ASSERT_EQUAL(connect(fd, &none, sizeof none), 0);
	CU_ASSERT_EQUAL(ask(LOCAL_INFO, fd, NULL).kind, LOCAL_NONE);
	close(end);
	park_closed(park, heard.id);
	CU_ASSERT_EQUAL(ask(LOCAL_INFO, fd, NULL).kind, LOCAL_NONE);
	close(fd);
	close(stranger);
	shut_park();
}

static void set_int(int fd, int level, int option, int value)
{
	CU_ASSERT_EQUAL(setsockopt(fd, level, option, &value, sizeof value), 0);
}

/* What is carried is read from the socket itself, whoever asks and whatever he says. */
static void test_options_set_later_are_told(void)
{
	int fd, end, stranger = socket(AF_INET, SOCK_STREAM, 0);
	struct addr dest = four(), dest6 = six();

	set.count = 0;
	open_park(0);
	fd = pending(AF_INET, &dest);
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 4000);
	CU_ASSERT_EQUAL(ask(LOCAL_OPTIONS, fd, NULL).kind, LOCAL_NONE);
	CU_ASSERT_EQUAL(set.id, heard.id);
	CU_ASSERT_EQUAL(set.now.user_timeout_ms, 4000);
	CU_ASSERT_EQUAL(set.now.keep_idle_s, 0);
	end = complete();
	/* Timers without SO_KEEPALIVE are none. */
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	CU_ASSERT_EQUAL(ask(LOCAL_OPTIONS, fd, NULL).kind, LOCAL_NONE);
	CU_ASSERT_EQUAL(set.now.keep_idle_s, 0);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 11);
	set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
	set_int(fd, IPPROTO_IP, IP_TOS, 0xb8);
	CU_ASSERT_EQUAL(ask(LOCAL_OPTIONS, fd, NULL).kind, LOCAL_NONE);
	CU_ASSERT_EQUAL(set.now.keep_idle_s, 77);
	CU_ASSERT_EQUAL(set.now.keep_interval_s, 11);
	CU_ASSERT_EQUAL(set.now.keep_count, 3);
	CU_ASSERT_EQUAL(set.now.tos, 0xb8);
	CU_ASSERT_EQUAL(set.count, 3);
	CU_ASSERT_EQUAL(stats().options_told, 3);
	/* Not one of ours, and one that is over: nobody is told. */
	CU_ASSERT_EQUAL(ask(LOCAL_OPTIONS, stranger, NULL).kind, LOCAL_NONE);
	close(end);
	park_closed(park, heard.id);
	CU_ASSERT_EQUAL(ask(LOCAL_OPTIONS, fd, NULL).kind, LOCAL_NONE);
	CU_ASSERT_EQUAL(set.count, 3);
	close(fd);
	/* IPv6 has a type of service of its own. */
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, 0x28);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &dest6).kind, LOCAL_HOLE);
	CU_ASSERT_EQUAL(heard.who.options.tos, 0x28);
	close(fd);
	close(stranger);
	shut_park();
}

static void test_a_socket_that_we_cannot_carry_is_told_why(void)
{
	struct addr dest = four(), v6 = six();
	int fd = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0), s6 = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in lo = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct local_answer a;

	open_park(0);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, udp, &dest).error, EOPNOTSUPP);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, 0, &dest).error, EOPNOTSUPP);
	CU_ASSERT_EQUAL(stats().malformed, 2);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &v6).error, EAFNOSUPPORT);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, s6, &dest).error, EINVAL);
	setsockopt(s6, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 1 }, sizeof(int));
	dest = mapped();
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, s6, &dest).error, ENETUNREACH);
	dest = four();
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&lo, sizeof lo), 0);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &dest).error, EINVAL);
	CU_ASSERT_EQUAL(heard.connects, 0);
	CU_ASSERT_EQUAL(stats().pending, 0);
	close(fd);
	/* Taken off its interface where that is allowed, else told. */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (!setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5)) {
		a = ask(LOCAL_PARK, fd, &dest);
		if (a.kind == LOCAL_HOLE) {
			char name[16] = "x";
			socklen_t len = sizeof name;

			CU_ASSERT_EQUAL(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len), 0);
			CU_ASSERT_EQUAL(len, 0);
		} else {
			CU_ASSERT_EQUAL(a.kind, LOCAL_UNABLE);
			CU_ASSERT_EQUAL(a.reason, LOCAL_DEVICE);
		}
	}
	close(fd);
	close(udp);
	close(s6);
	shut_park();
}

static void test_the_bypass_list_goes_directly(void)
{
	struct cidr block;
	struct addr dest = four(), m = mapped();
	int fd = socket(AF_INET, SOCK_STREAM, 0), s6 = socket(AF_INET6, SOCK_STREAM, 0);

	open_park(0);
	CU_ASSERT_EQUAL(cidr_parse(&block, "192.0.2.0/28"), ERR_OK);
	park_set_bypass(park, &block, 1);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &dest).kind, LOCAL_DIRECT);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, s6, &m).kind, LOCAL_DIRECT);
	CU_ASSERT_EQUAL(heard.connects, 0);
	dest.ip[3] = 200;
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &dest).kind, LOCAL_HOLE);
	close(fd);
	close(s6);
	shut_park();
}

/* As the shim tells it: one message with the socket, and it does not stay for an answer. */
static void tell_direct(int fd, const struct addr *dest, enum local_reason why)
{
	struct local_ask q = { .kind = LOCAL_WENT_DIRECT, .reason = why, .fd = (uint32_t)fd, .dest = *dest, .comm = "unit\nx" };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	uint8_t bytes[LOCAL_ASK_BYTES];
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = { { 0 } };
	struct iovec iov = { bytes, sizeof bytes };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int ctl = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);

	local_ask_emit(&q, bytes);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	strcpy(un.sun_path, path);
	CU_ASSERT_EQUAL(connect(ctl, (struct sockaddr *)&un, sizeof un), 0);
	CU_ASSERT_EQUAL(sendmsg(ctl, &m, 0), LOCAL_ASK_BYTES);
	close(ctl);
}

static void test_what_goes_directly_is_told_with_who_and_why(void)
{
	static const enum local_reason whys[] = { LOCAL_LISTED, LOCAL_FALLBACK };
	struct addr dest = four(), m = mapped();
	struct cidr block;
	int fd = socket(AF_INET, SOCK_STREAM, 0), s6 = socket(AF_INET6, SOCK_STREAM, 0);

	open_park(0);
	/* By the program's own settings: it is gone before we look, and is told of all the same. */
	for (int i = 0; i < 2; i++) {
		tell_direct(i ? s6 : fd, i ? &m : &dest, whys[i]);
		CU_ASSERT_TRUE(turn_until(&heard.directs, i + 1));
		CU_ASSERT_EQUAL(heard.why, whys[i]);
		CU_ASSERT_TRUE(addr_eq(&heard.dest, &dest)); /* a mapped address is the one it maps */
		CU_ASSERT_EQUAL(heard.who.pid, getpid());
		CU_ASSERT_EQUAL(heard.who.uid, geteuid());
		CU_ASSERT_PTR_NULL(strchr(heard.who.comm, '\n')); /* nobody writes log lines by his name */
	}
	/* By tunneld's list, and by what its callback says. */
	CU_ASSERT_EQUAL(cidr_parse(&block, "192.0.2.0/28"), ERR_OK);
	park_set_bypass(park, &block, 1);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, s6, &m).kind, LOCAL_DIRECT);
	CU_ASSERT_EQUAL(heard.directs, 3);
	CU_ASSERT_EQUAL(heard.why, LOCAL_BYPASS);
	CU_ASSERT_TRUE(addr_eq(&heard.dest, &dest));
	CU_ASSERT_STRING_EQUAL(heard.who.comm, "unit");
	park_set_bypass(park, NULL, 0);
	heard.then = DIRECT;
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &dest).kind, LOCAL_DIRECT);
	CU_ASSERT_EQUAL(heard.directs, 4);
	CU_ASSERT_EQUAL(heard.why, LOCAL_BYPASS);
	CU_ASSERT_EQUAL(stats().bypassed, 4);
	/* Carried, or refused: nothing went directly. */
	heard.then = LATER;
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &dest).kind, LOCAL_HOLE);
	heard.then = FAIL_AT_ONCE;
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, s6, &m).kind, LOCAL_ERROR);
	CU_ASSERT_EQUAL(heard.directs, 4);
	CU_ASSERT_EQUAL(stats().bypassed, 4);
	close(fd);
	close(s6);
	shut_park();
}

/* A socket's own settings are the question's: read from our copy of it, whatever the caller says. */
static void test_the_settings_of_a_socket_are_told(void)
{
	struct addr dest = four();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ms = 30000, mark = 0x1234;
	bool marked = !setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark); /* takes CAP_NET_ADMIN */

	open_park(0);
	CU_ASSERT_EQUAL(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms), 0);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd, &dest).kind, LOCAL_HOLE);
	CU_ASSERT_EQUAL(heard.who.options.user_timeout_ms, 30000);
	CU_ASSERT_EQUAL(heard.who.mark, marked ? 0x1234 : 0);
	CU_ASSERT_EQUAL(heard.who.device[0], 0);
	CU_ASSERT_EQUAL(heard.who.local.family, 0);
	close(fd);
	shut_park();
}

static void test_a_full_park_refuses_and_recovers(void)
{
	struct addr dest = four();
	struct local_answer a;
	int fd[3];

	open_park(2);
	fd[0] = pending(AF_INET, &dest);
	fd[1] = pending(AF_INET, &dest);
	fd[2] = socket(AF_INET, SOCK_STREAM, 0);
	a = ask(LOCAL_PARK, fd[2], &dest);
	CU_ASSERT_EQUAL(a.kind, LOCAL_UNABLE);
	CU_ASSERT_EQUAL(a.reason, LOCAL_FULL);
	CU_ASSERT_EQUAL(stats().refused_full, 1);
	park_fail(park, heard.id, ECONNREFUSED);
	CU_ASSERT_EQUAL(ask(LOCAL_PARK, fd[2], &dest).kind, LOCAL_HOLE);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	shut_park();
}

/* Another process plays the application; it may close the socket, give it to a child, or die. */
static pid_t application(bool with_child, int *tell)
{
	struct addr dest = four();
	int p[2];
	pid_t pid;
	char c;

	CU_ASSERT_EQUAL(pipe(p), 0);
	pid = fork();
	if (!pid) {
		struct local_answer a;
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

		elsewhere = true;
		close(p[1]);
		a = ask(LOCAL_PARK, fd, &dest);
		if (go(fd, AF_INET, &a.addr) != EINPROGRESS)
			_exit(1);
		if (with_child && fork() != 0)
			_exit(0);
		if (!with_child)
			close(fd);
		(void)!read(p[0], &c, 1);
		_exit(0);
	}
	close(p[0]);
	*tell = p[1];
	return pid;
}

static void test_a_closed_socket_is_missed_while_its_process_lives(void)
{
	int tell;
	pid_t pid;

	open_park(0);
	pid = application(false, &tell);
	CU_ASSERT_TRUE(turn_until(&heard.connects, 1));
	CU_ASSERT_TRUE(turn_until(&heard.cancels, 1));
	CU_ASSERT_EQUAL(stats().pending, 0);
	CU_ASSERT_EQUAL(stats().cancelled, 1);
	close(tell);
	CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
	shut_park();
}

/* They were found 64 a second once, and a storm of them filled the table. */
static void test_many_that_are_closed_are_missed_at_once(void)
{
	enum { MANY = 600 };
	struct addr dest = four();
	int looks = 0;
	int p[2];
	pid_t pid;
	char c;

	open_park(0);
	CU_ASSERT_EQUAL(pipe(p), 0);
	pid = fork();
	if (!pid) {
		elsewhere = true;
		close(p[1]);
		for (int i = 0; i < MANY; i++) {
			int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
			struct local_answer a = ask(LOCAL_PARK, fd, &dest);

			(void)!go(fd, AF_INET, &a.addr);
			/* The last one is kept, under another number. */
			if (i == MANY - 1)
				(void)!dup2(fd, 700);
			close(fd);
		}
		(void)!read(p[0], &c, 1);
		_exit(0);
	}
	for (int n = 0; n <= MANY; n += 100)
		CU_ASSERT_TRUE(turn_until(&heard.connects, n < MANY ? n : MANY));
	/* In how many looks: time does not count here, a look may be late. */
	for (int before = heard.cancels; heard.cancels < MANY - 1 && looks < 20; before = heard.cancels) {
		if (!turn_until(&heard.cancels, before + 1))
			break;
		looks++;
	}
	CU_ASSERT_EQUAL(heard.cancels, MANY - 1);
	CU_ASSERT_TRUE(looks <= 3);
	CU_ASSERT_EQUAL(stats().pending, 1);
	close(p[1]);
	CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
	CU_ASSERT_TRUE(turn_until(&heard.cancels, MANY));
	close(p[0]);
	shut_park();
}

static void test_a_socket_that_a_child_holds_is_not_missed(void)
{
	int tell;
	pid_t pid;

	open_park(0);
	pid = application(true, &tell);
	CU_ASSERT_TRUE(turn_until(&heard.connects, 1));
	CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid); /* the child is left */
	turn_for(1.5);
	CU_ASSERT_EQUAL(heard.cancels, 0);
	close(tell);
	CU_ASSERT_TRUE(turn_until(&heard.cancels, 1));
	shut_park();
}

static void test_ending_leaves_nobody_waiting(void)
{
	struct addr dest = four();
	int fd;

	open_park(0);
	fd = pending(AF_INET, &dest);
	shut_park();
	CU_ASSERT_EQUAL(error_of(fd), ECONNRESET);
	close(fd);
}

static void test_a_socket_in_use_is_left_alone_and_a_dead_one_taken_over(void)
{
	struct park_config config = { .socket = path };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const char *why = "";
	int dead;

	open_park(0);
	errno = 0;
	CU_ASSERT_PTR_NULL(park_new(loop, &config, &callbacks, &heard, &why));
	CU_ASSERT_EQUAL(errno, EADDRINUSE);
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	shut_park();
	dead = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	strcpy(un.sun_path, path);
	CU_ASSERT_EQUAL(bind(dead, (struct sockaddr *)&un, sizeof un), 0);
	close(dead);
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	open_park(0);
	shut_park();
	/* An ordinary file is nobody's socket to remove. */
	dead = open(path, O_CREAT | O_WRONLY, 0600);
	close(dead);
	loop = ev_loop_new(0);
	CU_ASSERT_PTR_NULL(park_new(loop, &config, &callbacks, &heard, &why));
	ev_loop_destroy(loop);
	CU_ASSERT_EQUAL(unlink(path), 0);
}

static int mptcp_parked(struct addr *door)
{
	struct addr dest = four();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 262 /* IPPROTO_MPTCP */);
	struct local_answer a;

	if (fd < 0)
		return -1;
	a = ask(LOCAL_PARK, fd, &dest);
	CU_ASSERT_EQUAL(a.kind, LOCAL_HOLE);
	*door = a.addr;
	CU_ASSERT_EQUAL(stats().early, 1);
	return fd;
}

static void test_an_mptcp_socket_is_accepted_early(void)
{
	struct addr door, dest = four();
	int fd, end = -1, r;

	open_park(0);
	fd = mptcp_parked(&door);
	if (fd >= 0) {
		int stranger = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

		go(stranger, AF_INET, &door);
		r = go(fd, AF_INET, &door);
		CU_ASSERT_TRUE(r == 0 || r == EINPROGRESS);
		turn_for(0.1);
		CU_ASSERT_EQUAL(ready(fd, POLLOUT), POLLOUT);
		CU_ASSERT_EQUAL(ready(stranger, POLLIN), POLLIN);
		CU_ASSERT_TRUE(park_complete(park, heard.id, &end));
		talk(fd, end);
		names_of(fd, &dest);
		close(end);
		close(fd);
		close(stranger);
	}
	shut_park();
}

static void test_an_mptcp_socket_that_fails_is_reset(void)
{
	struct addr door;
	char c;
	int fd;

	open_park(0);
	fd = mptcp_parked(&door);
	if (fd >= 0) {
		go(fd, AF_INET, &door);
		turn_for(0.1);
		park_fail(park, heard.id, ECONNREFUSED);
		turn_for(0.05);
		CU_ASSERT_EQUAL(recv(fd, &c, 1, 0), -1);
		CU_ASSERT_EQUAL(errno, ECONNRESET);
		close(fd);
	}
	CU_ASSERT_EQUAL(stats().pending, 0);
	shut_park();
}

static void make_dir(void)
{
	if (!mkdtemp(dir))
		abort();
	/* park_new() makes the last part itself. */
	snprintf(path, sizeof path, "%s/plait/park.sock", dir);
	signal(SIGPIPE, SIG_IGN);
}

static void remove_dir(void)
{
	char made[80];

	snprintf(made, sizeof made, "%s/plait", dir);
	CU_ASSERT_EQUAL(rmdir(made), 0);
	CU_ASSERT_EQUAL(rmdir(dir), 0);
}

UNIT_MAIN("park",
	T(make_dir),
	T(test_a_connect_is_silent_until_it_completes),
	T(test_a_connect_over_ipv6_completes),
	T(test_a_connect_to_a_mapped_address_completes),
	T(test_the_caller_is_who_the_kernel_says),
	T(test_a_failed_connect_is_one_error_with_its_reason_kept),
	T(test_the_connect_after_a_failed_one_is_answered_as_the_kernel_does),
	T(test_a_verdict_taken_by_connect_leaves_the_socket_fresh),
	T(test_a_verdict_that_comes_before_the_syn_waits_for_it),
	T(test_a_failure_after_a_completion_that_waits_is_the_verdict),
	T(test_answers_inside_the_callback_are_answers),
	T(test_where_the_destination_is_not_to_blame_a_reason_is_told),
	T(test_disconnecting_is_giving_up),
	T(test_the_same_socket_asking_again_dissolves_the_first),
	T(test_names_follow_the_socket_and_outlive_the_stream),
	T(test_how_a_stream_fares_is_told_while_it_is_one),
	T(test_options_set_later_are_told),
	T(test_a_socket_that_we_cannot_carry_is_told_why),
	T(test_the_bypass_list_goes_directly),
	T(test_what_goes_directly_is_told_with_who_and_why),
	T(test_the_settings_of_a_socket_are_told),
	T(test_a_full_park_refuses_and_recovers),
	T(test_a_closed_socket_is_missed_while_its_process_lives),
	T(test_many_that_are_closed_are_missed_at_once),
	T(test_a_socket_that_a_child_holds_is_not_missed),
	T(test_ending_leaves_nobody_waiting),
	T(test_a_socket_in_use_is_left_alone_and_a_dead_one_taken_over),
	T(test_an_mptcp_socket_is_accepted_early),
	T(test_an_mptcp_socket_that_fails_is_reset),
	T(remove_dir))
