/* SPDX-License-Identifier: MIT */
#include "tunneld/io/loop.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "tunneld/io/clock.h"

static struct loop *loop;
static unsigned expiries, idles, readies;
static int pipe_fds[2];

static void on_time(void *owner)
{
	(void)owner;
	expiries++;
	loop_end(loop);
}

static void on_idle(void *owner)
{
	(void)owner;
	idles++;
}

static void on_ready(void *owner, int events)
{
	char c;

	(void)owner;
	CU_ASSERT_EQUAL(events, LOOP_READ);
	CU_ASSERT_EQUAL(read(pipe_fds[0], &c, 1), 1);
	readies++;
	loop_end(loop);
}

static void up(void)
{
	expiries = idles = readies = 0;
	loop = loop_new();
	CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
	loop_on_time(loop, on_time, NULL);
	loop_on_idle(loop, on_idle, NULL);
}

static void test_the_timer_comes_once_and_not_early(void)
{
	usec_t at;

	up();
	at = clock_now() + 2500;
	loop_time_set(loop, at);
	loop_run(loop);
	CU_ASSERT_TRUE(clock_now() >= at);
	CU_ASSERT_EQUAL(expiries, 1);
	loop_time_set(loop, clock_now() + 1000);
	loop_run(loop);
	CU_ASSERT_EQUAL(expiries, 2);
	loop_free(loop);
}

static void test_a_deadline_in_the_past_comes_at_once(void)
{
	up();
	loop_time_set(loop, 0);
	loop_run(loop);
	loop_time_set(loop, clock_now() - 1);
	loop_run(loop);
	CU_ASSERT_EQUAL(expiries, 2);
	loop_free(loop);
}

static void test_the_later_of_two_settings_counts(void)
{
	usec_t at;

	up();
	loop_time_set(loop, clock_now() + 500);
	at = clock_now() + 5000;
	loop_time_set(loop, at);
	loop_run(loop);
	CU_ASSERT_TRUE(clock_now() >= at);
	CU_ASSERT_EQUAL(expiries, 1);
	loop_free(loop);
}

static void test_the_hook_runs_before_each_sleep(void)
{
	struct loop_fd w;

	up();
	CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
	loop_fd_init(&w, loop, pipe_fds[0], on_ready, NULL);
	loop_fd_want(&w, LOOP_READ);
	CU_ASSERT_EQUAL(write(pipe_fds[1], "x", 1), 1);
	loop_run(loop);
	CU_ASSERT_EQUAL(readies, 1);
	CU_ASSERT_EQUAL(idles, 1);
	loop_fd_want(&w, 0);
	CU_ASSERT_EQUAL(write(pipe_fds[1], "x", 1), 1);
	loop_time_set(loop, clock_now() + 5000);
	loop_run(loop); /* not wanted: the timer ends it */
	CU_ASSERT_EQUAL(readies, 1);
	CU_ASSERT_EQUAL(expiries, 1);
	loop_fd_want(&w, LOOP_READ); /* wanted again: it is still there to be read */
	loop_run(loop);
	CU_ASSERT_EQUAL(readies, 2);
	loop_fd_want(&w, 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	loop_free(loop);
}

static int caught_signal;

static void on_signal(void *owner, int signal)
{
	(void)owner;
	caught_signal = signal;
	loop_end(loop);
}

static void test_a_signal_is_an_event_like_others(void)
{
	up();
	loop_on_signal(loop, SIGUSR1, on_signal, NULL);
	raise(SIGUSR1);
	loop_run(loop);
	CU_ASSERT_EQUAL(caught_signal, SIGUSR1);
	loop_free(loop);
}

/* Enters while the loop turns without a pause, changes what is its own, and ends it. */
static struct { unsigned inside, turns; bool met, last; } shared;

static void on_busy(void *owner)
{
	(void)owner;
	shared.met |= shared.inside != 0;
	shared.turns++;
	if (shared.last)
		loop_end(loop);
	else
		loop_time_set(loop, 0);
}

static void *visitor(void *owner)
{
	(void)owner;
	for (int i = 0; i < 100; i++) {
		loop_enter(loop);
		shared.inside++;
		sched_yield();
		shared.inside--;
		shared.last = i == 99;
		loop_leave(loop);
	}
	return NULL;
}

static void test_another_thread_comes_in_between_turns(void)
{
	pthread_t thread;

	up();
	CU_ASSERT_EQUAL_FATAL(loop_share(loop), 0);
	memset(&shared, 0, sizeof shared);
	loop_on_time(loop, NULL, NULL);
	loop_on_idle(loop, on_busy, NULL);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, visitor, NULL), 0);
	loop_run(loop);
	pthread_join(thread, NULL);
	CU_ASSERT_FALSE(shared.met);
	CU_ASSERT_TRUE(shared.last);
	loop_free(loop);
}

UNIT_MAIN("loop",
	T(test_another_thread_comes_in_between_turns),
	T(test_the_timer_comes_once_and_not_early),
	T(test_a_deadline_in_the_past_comes_at_once),
	T(test_the_later_of_two_settings_counts),
	T(test_the_hook_runs_before_each_sleep),
	T(test_a_signal_is_an_event_like_others))
