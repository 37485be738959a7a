/* SPDX-License-Identifier: MIT */
/* Lines to listeners that read at their own pace. */
#include "tunneld/status/events.c"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "tunneld/io/http.h"

static struct events *e;
static char text[1 << 20];

static struct counters counters;

static struct events *open_events(void)
{
	counters = (struct counters){ 0 };
	return events_new(&counters);
}

static void say(int n) { events_add(e, json_pack("{s:i}", "n", n)); }

static struct http_answer listen_now(void)
{
	struct http_answer a = { 0 };

	CU_ASSERT_TRUE_FATAL(events_answer(e, 1, &a));
	return a;
}

/* All there is, in helpings of room bytes. */
static const char *heard(const struct http_answer *a, size_t room)
{
	size_t len = 0, n;

	while ((n = a->more(a->stream, text + len, room)))
		len += n;
	text[len] = '\0';
	return text;
}

static void test_nobody_listens_nothing_is_kept(void)
{
	struct http_answer a;

	e = open_events();
	CU_ASSERT_FALSE(events_wanted(e));
	say(1);
	CU_ASSERT_FALSE(events_wake(e, 1));
	CU_ASSERT_EQUAL(events_deadline(e), USEC_NEVER);
	a = listen_now();
	CU_ASSERT_TRUE(events_wanted(e));
	CU_ASSERT_STRING_EQUAL(heard(&a, sizeof text), "{\"event\":\"listening\"}\n");
	a.done(a.stream);
	CU_ASSERT_FALSE(events_wanted(e));
	events_free(e);
}

static void test_each_hears_what_comes_from_then_on(void)
{
	struct http_answer early, late;

	e = open_events();
	early = listen_now();
	say(1);
	CU_ASSERT_TRUE(events_wake(e, 1));
	CU_ASSERT_FALSE(events_wake(e, 1));
	late = listen_now();
	say(2);
	CU_ASSERT_STRING_EQUAL(heard(&early, sizeof text), "{\"event\":\"listening\"}\n{\"n\":1}\n{\"n\":2}\n");
	/* In helpings of any size the text is the same; the greeting is not cut. */
	CU_ASSERT_EQUAL(late.more(late.stream, text, 5), 0);
	CU_ASSERT_EQUAL(late.more(late.stream, text, 23), 23);
	CU_ASSERT_STRING_EQUAL(heard(&late, 1), "\"n\":2}\n");
	late.done(late.stream);
	early.done(early.stream);
	events_free(e);
}

static void test_who_is_slow_hears_how_many_he_missed(void)
{
	enum { MANY = KEPT + 904 };
	struct http_answer a;
	char expected[64];
	const char *lines;

	e = open_events();
	a = listen_now();
	(void)heard(&a, sizeof text);
	for (int n = 0; n < MANY; n++)
		say(n);
	lines = heard(&a, 100);
	snprintf(expected, sizeof expected, "{\"event\":\"missed\",\"count\":%d}\n{\"n\":%d}\n", MANY - KEPT, MANY - KEPT);
	CU_ASSERT_EQUAL(strncmp(lines, expected, strlen(expected)), 0);
	snprintf(expected, sizeof expected, "{\"n\":%d}\n", MANY - 1);
	CU_ASSERT_TRUE_FATAL(strlen(lines) > strlen(expected));
	CU_ASSERT_STRING_EQUAL(lines + strlen(lines) - strlen(expected), expected);
	CU_ASSERT_EQUAL(counters.v[CNT_EventsMissed], MANY - KEPT);
	a.done(a.stream);
	events_free(e);
}

/* Half a line was taken when it went: what follows begins on a line of its own. */
static void test_a_line_that_goes_while_it_is_read_ends_there(void)
{
	struct http_answer a;
	char first[64] = { 0 };

	e = open_events();
	a = listen_now();
	(void)heard(&a, sizeof text);
	say(1);
	CU_ASSERT_EQUAL(a.more(a.stream, first, 3), 3);
	for (int n = 2; n < 5000; n++)
		say(n);
	CU_ASSERT_EQUAL(strncmp(heard(&a, sizeof text - 1), "\n{\"event\":\"missed\",\"count\":", 26), 0);
	a.done(a.stream);
	events_free(e);
}

/* One stalls, one vanishes: who reads hears all, and what is kept for them stays within its bounds. */
static void test_who_stalls_costs_nobody_else(void)
{
	enum { MANY = 3 * KEPT, LINE = 4000 };
	struct http_answer stalls, vanishes, reads;
	static char long_one[LINE];
	uint64_t heard_lines = 0;

	memset(long_one, 'x', sizeof long_one - 1);
	e = open_events();
	stalls = listen_now();
	vanishes = listen_now();
	reads = listen_now();
	(void)heard(&reads, sizeof text);
	for (int n = 0; n < MANY; n++) {
		events_add(e, json_pack("{s:s}", "n", long_one));
		CU_ASSERT_TRUE_FATAL(e->bytes <= KEPT_BYTES && e->next - e->first <= KEPT);
		heard_lines += strncmp(heard(&reads, sizeof text), "{\"n\":", 5) == 0;
	}
	CU_ASSERT_EQUAL(heard_lines, MANY);
	CU_ASSERT_EQUAL(counters.v[CNT_EventsMissed], 0);
	vanishes.done(vanishes.stream);
	CU_ASSERT_EQUAL(counters.v[CNT_EventsMissed], e->first);
	CU_ASSERT_EQUAL(stalls.more(stalls.stream, text, 100), 100);
	CU_ASSERT_EQUAL(strncmp(text, "{\"event\":\"listening\"}\n{\"event\":\"missed\",\"count\":", 48), 0);
	CU_ASSERT_EQUAL(counters.v[CNT_EventsMissed], 2 * e->first);
	reads.done(reads.stream);
	stalls.done(stalls.stream);
	/* Nobody listens: nothing is kept. */
	CU_ASSERT_EQUAL(e->bytes, 0);
	CU_ASSERT_EQUAL(e->first, e->next);
	events_free(e);
}

/* A connection is left for whoever asks anything else. */
static void test_there_is_a_most_of_listeners(void)
{
	struct http_answer a[LISTENERS_MAX], more_of_them = { 0 };

	e = open_events();
	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		a[i] = listen_now();
	CU_ASSERT_FALSE(events_answer(e, 1, &more_of_them));
	CU_ASSERT_EQUAL(counters.v[CNT_EventsRefused], 1);
	a[0].done(a[0].stream);
	a[0] = listen_now();
	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		a[i].done(a[i].stream);
	events_free(e);
}

static void test_a_quiet_time_asks_for_a_sign_of_life(void)
{
	struct http_answer a;

	e = open_events();
	a = listen_now();
	(void)heard(&a, sizeof text);
	CU_ASSERT_NOT_EQUAL(events_deadline(e), USEC_NEVER);
	CU_ASSERT_FALSE(events_wake(e, events_deadline(e) - 1));
	CU_ASSERT_TRUE(events_wake(e, events_deadline(e)));
	CU_ASSERT_STRING_EQUAL(heard(&a, sizeof text), "\n");
	CU_ASSERT_STRING_EQUAL(heard(&a, sizeof text), "");
	a.done(a.stream);
	/* Nobody is left to be asked. */
	(void)events_wake(e, events_deadline(e));
	CU_ASSERT_EQUAL(events_deadline(e), USEC_NEVER);
	events_free(e);
}

UNIT_MAIN("events", T(test_nobody_listens_nothing_is_kept), T(test_each_hears_what_comes_from_then_on),
	  T(test_who_is_slow_hears_how_many_he_missed), T(test_a_line_that_goes_while_it_is_read_ends_there),
	  T(test_who_stalls_costs_nobody_else), T(test_there_is_a_most_of_listeners), T(test_a_quiet_time_asks_for_a_sign_of_life))
