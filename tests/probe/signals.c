/* SPDX-License-Identifier: MIT */
/* Signals, threads, cancellation and time. */
#include "tests/probe/probe.h"

static void send_time_out(void)
{
	struct timeval t = { .tv_usec = 400000 };
	int fd = tcp(0);
	double begin = now();

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
	say("%s", got(conn4(fd, SILENT)));
	begin = now() - begin;
	say("%s", begin > 0.35 && begin < 0.8 ? "in time" : "at the wrong time");
	say("again %s", got(conn4(fd, SILENT)));
	close(fd);
	fd = tcp(0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	close(fd);
}

static void interrupted(void)
{
	struct sigaction sa = { .sa_handler = ring };
	struct itimerval in200 = { .it_value = { .tv_usec = 200000 } };
	struct timeval t = { .tv_usec = 600000 };
	int fd = tcp(0);
	double begin;

	rang = 0;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &in200, NULL);
	say("%s", got(conn4(fd, SILENT)));
	say("rang %d", (int)rang);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	say("again %s", got(conn4(fd, SILENT)));
	close(fd);
	fd = tcp(0);
	rang = 0;
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
	setitimer(ITIMER_REAL, &in200, NULL);
	begin = now();
	say("with a time-out %s", got(conn4(fd, SILENT)));
	say("rang %d %s", (int)rang, now() - begin < 0.4 ? "early" : "late");
	close(fd);
	signal(SIGALRM, SIG_DFL);
}

/* A restartable connect goes on after the handler and ends with the alarm that closes the door for
 * good. */
static pthread_t main_thread;

static void *ring_and_shut(void *arg)
{
	usleep(150000);
	pthread_kill(main_thread, SIGUSR1);
	usleep(150000);
	shutdown(*(int *)arg, SHUT_RDWR);
	return NULL;
}

static void restarted(void)
{
	struct sigaction sa = { .sa_handler = ring, .sa_flags = SA_RESTART };
	pthread_t t;
	int fd = tcp(0);

	rang = 0;
	main_thread = pthread_self();
	sigaction(SIGUSR1, &sa, NULL);
	pthread_create(&t, NULL, ring_and_shut, &fd);
	say("%s", got(conn4(fd, SILENT)));
	say("rang %d", (int)rang);
	pthread_join(t, NULL);
	close(fd);
}

static void *connect_silent(void *arg)
{
	conn4(*(int *)arg, SILENT);
	return NULL;
}

static void cancelled(void)
{
	pthread_t t;
	void *result = NULL;
	int fd = tcp(0);

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){ .tv_sec = 3 },
		   sizeof(struct timeval));
	pthread_create(&t, NULL, connect_silent, &fd);
	usleep(200000);
	pthread_cancel(t);
	pthread_join(t, &result);
	say("%s", result == PTHREAD_CANCELED ? "cancelled" : "ran on");
	close(fd);
}

static void *twenty(void *arg)
{
	int *bad = arg;

	for (int i = 0; i < 20; i++) {
		int fd = tcp(0);

		*bad += conn4(fd, ECHO) != 0 || strcmp(echo(fd), "echo") != 0;
		close(fd);
	}
	return NULL;
}

static void threads(void)
{
	pthread_t t[8];
	int bad[8] = { 0 }, sum = 0;

	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, twenty, &bad[i]);
	for (int i = 0; i < 8; i++) {
		pthread_join(t[i], NULL);
		sum += bad[i];
	}
	say("bad %d", sum);
}

static void storm_of_signals(void)
{
	struct sigaction sa = { .sa_handler = ring, .sa_flags = SA_RESTART };
	struct itimerval fast = { .it_value = { .tv_usec = 500 },
				  .it_interval = { .tv_usec = 500 } },
			 off = { 0 };
	int bad = 0, wrong = 0;

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &fast, NULL);
	for (int i = 0; i < 60; i++) {
		int fd = tcp(0);

		bad += conn4(fd, i % 3 ? ECHO : REFUSED) != (i % 3 ? 0 : -1);
		wrong += i % 3 == 0 && so_error(fd) != 0;
		close(fd);
	}
	setitimer(ITIMER_REAL, &off, NULL);
	signal(SIGALRM, SIG_DFL);
	say("bad %d wrong %d", bad, wrong);
}

static void mask_and_handlers_are_kept(void)
{
	struct sigaction before = { .sa_handler = ring }, after = { 0 };
	sigset_t mask, same;
	int fd = tcp(0);

	sigaction(SIGPIPE, &before, NULL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	say("%s", got(conn4(fd, ECHO)));
	sigprocmask(SIG_SETMASK, NULL, &same);
	sigaction(SIGPIPE, NULL, &after);
	say("mask %d handler %d", memcmp(&mask, &same, 8), after.sa_handler == ring);
	sigemptyset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	close(fd);
}

static int handler_fd;
static char handler_said[128];
static void connect_in_handler(int sig)
{
	int fd = tcp(0);

	(void)sig;
	snprintf(handler_said, sizeof handler_said, "%s", got(conn4(fd, ECHO)));
	handler_fd = fd;
}

static void connected_in_a_handler(void)
{
	struct sigaction sa = { .sa_handler = connect_in_handler };
	struct timeval t = { .tv_usec = 500000 };
	struct itimerval soon = { .it_value = { .tv_usec = 100000 } };
	int fd = tcp(0);

	sigaction(SIGALRM, &sa, NULL);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
	setitimer(ITIMER_REAL, &soon, NULL);
	say("%s", got(conn4(fd, SILENT)));
	say("in it %s", handler_said);
	say("%s", echo(handler_fd));
	close(handler_fd);
	close(fd);
	signal(SIGALRM, SIG_DFL);
}

static void interrupted_goes_on(void)
{
	struct sigaction sa = { .sa_handler = ring };
	struct itimerval soon = { .it_value = { .tv_usec = 100000 } };
	int fd = tcp(0);

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	say("%s", got(conn4(fd, SILENT)));
	say("poll %x", wait_for(fd, POLLOUT, 50));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("unspec %s", got(unspec(fd)));
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	close(fd);
	signal(SIGALRM, SIG_DFL);
}

static void *cancel_and_connect(void *arg)
{
	int fd = *(int *)arg;

	pthread_cancel(pthread_self());
	conn4(fd, ECHO); /* a cancellation point */
	return NULL;
}

static void cancelled_before(void)
{
	pthread_t t;
	void *result = NULL;
	int fd = tcp(0);

	pthread_create(&t, NULL, cancel_and_connect, &fd);
	pthread_join(t, &result);
	say("%s", result == PTHREAD_CANCELED ? "cancelled" : "ran on");
	close(fd);
}

static void *disabled_cancel(void *arg)
{
	int old;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	pthread_cancel(pthread_self());
	*(int *)arg = conn4(*(int *)arg, ECHO) == 0;
	return NULL;
}

static void cancellation_put_off(void)
{
	pthread_t t;
	void *result = NULL;
	int fd = tcp(0), arg = fd;

	pthread_create(&t, NULL, disabled_cancel, &arg);
	pthread_join(t, &result);
	say("%s connected %d", result == PTHREAD_CANCELED ? "cancelled" : "ran on", arg);
	close(fd);
}

static void *connect_and_time(void *arg)
{
	double begin = now();
	int r = conn4(*(int *)arg, SILENT);

	say("%s %s", got(r), timely(begin, 0.4, 1.2));
	return NULL;
}

static void closed_by_another_thread(void)
{
	struct timeval t = { .tv_usec = 500000 };
	pthread_t other;
	int fd = tcp(0);

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
	pthread_create(&other, NULL, connect_and_time, &fd);
	usleep(100000);
	close(fd);
	pthread_join(other, NULL);
}

static void *poll_it(void *arg)
{
	return (void *)(intptr_t)wait_for(*(int *)arg, POLLOUT, 2000);
}

static void polled_by_another_thread(void)
{
	pthread_t other;
	void *r;
	int fd = tcp(SOCK_NONBLOCK);

	conn4(fd, SILENT);
	pthread_create(&other, NULL, poll_it, &fd);
	usleep(50000);
	say("%s", got(shutdown(fd, SHUT_RDWR)));
	pthread_join(other, &r);
	say("poll %x", (unsigned)(uintptr_t)r);
	close(fd);
}

static void *one_of_each(void *arg)
{
	long bad = 0;

	for (int i = 0; i < 10; i++) {
		int a = tcp(0), b = tcp(SOCK_NONBLOCK), c = tcp6(0);

		bad += conn4(a, REFUSED) == 0 || errno != ECONNREFUSED;
		conn4(b, REFUSED);
		wait_for(b, POLLOUT, 2000);
		bad += so_error(b) != ECONNREFUSED;
		bad += conn6(c, ECHO) != 0 || strcmp(echo(c), "echo") != 0;
		close(a);
		close(b);
		close(c);
	}
	return (char *)arg + bad;
}

static void verdicts_in_many_threads(void)
{
	pthread_t t[8];
	long bad = 0;

	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, one_of_each, NULL);
	for (int i = 0; i < 8; i++) {
		void *r;

		pthread_join(t[i], &r);
		bad += (long)(intptr_t)r;
	}
	say("bad %ld", bad);
}

static void broken_pipe_signal(void)
{
	struct sigaction sa = { .sa_handler = ring };
	int fd = opened(RESET);

	rang = 0;
	sigaction(SIGPIPE, &sa, NULL);
	send(fd, "x", 1, 0);
	wait_for(fd, POLLIN, 2000);
	say("error %s", err_name(so_error(fd)));
	say("%s", got(send(fd, "x", 1, 0)));
	say("rang %d", (int)rang);
	say("%s", got(write(fd, "x", 1)));
	say("rang %d", (int)rang);
	say("%s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	say("rang %d", (int)rang);
	close(fd);
	signal(SIGPIPE, SIG_IGN);
}

const struct check signal_checks[] = {
	CHECK(send_time_out),
	CHECK(interrupted),
	CHECK(restarted),
	CHECK(cancelled),
	CHECK(threads),
	CHECK(storm_of_signals),
	CHECK(mask_and_handlers_are_kept),
	CHECK(connected_in_a_handler),
	CHECK(interrupted_goes_on),
	CHECK(cancelled_before),
	CHECK(cancellation_put_off),
	CHECK(closed_by_another_thread),
	CHECK(polled_by_another_thread),
	CHECK(verdicts_in_many_threads),
	CHECK(broken_pipe_signal),
	CHECKS_END,
};
