/* SPDX-License-Identifier: MIT */
#include "shim/cmd/json.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static const char text[] =
	"{ \"a\": 1.5, \"b\" : \"x\\\"y\\u0007\", \"list\":[ {\"n\":1}, {\"n\":[2,{\"z\":\"]\"}]},3 ],\n"
	"  \"o\":{\"a\":\"inner\"}, \"empty\":[], \"t\":true }";

static struct json root(void) { return json_of(text, sizeof text - 1); }

static void test_members_are_found_at_their_own_depth(void)
{
	char out[32];

	CU_ASSERT_DOUBLE_EQUAL(json_number(json_member(root(), "a"), -1), 1.5, 1e-9);
	CU_ASSERT_STRING_EQUAL(json_text(json_member(json_member(root(), "o"), "a"), out, sizeof out), "inner");
	CU_ASSERT_STRING_EQUAL(json_text(json_member(root(), "t"), out, sizeof out), "true");
	CU_ASSERT_DOUBLE_EQUAL(json_number(json_member(root(), "absent"), -1), -1, 1e-9);
	CU_ASSERT_STRING_EQUAL(json_text(json_member(root(), "n"), out, sizeof out), "");
}

static void test_what_goes_to_the_terminal_cannot_command_it(void)
{
	char out[32];

	CU_ASSERT_STRING_EQUAL(json_text(json_member(root(), "b"), out, sizeof out), "x?y?0007");
	CU_ASSERT_STRING_EQUAL(json_text(json_of("\"\x1b[2J\"", 6), out, sizeof out), "?[2J");
}

static void test_an_array_is_walked_over_nested_values(void)
{
	struct json next = json_first(json_member(root(), "list")), e;
	char out[64];

	CU_ASSERT_TRUE(json_next(&next, &e));
	CU_ASSERT_DOUBLE_EQUAL(json_number(json_member(e, "n"), -1), 1, 1e-9);
	CU_ASSERT_TRUE(json_next(&next, &e));
	CU_ASSERT_STRING_EQUAL(json_text(json_member(e, "n"), out, sizeof out), "[2,{\"z\":\"]\"}]");
	CU_ASSERT_TRUE(json_next(&next, &e));
	CU_ASSERT_DOUBLE_EQUAL(json_number(e, -1), 3, 1e-9);
	CU_ASSERT_FALSE(json_next(&next, &e));
	next = json_first(json_member(root(), "empty"));
	CU_ASSERT_FALSE(json_next(&next, &e));
}

static void test_text_is_cut_to_the_room(void)
{
	char out[4];

	CU_ASSERT_STRING_EQUAL(json_text(json_member(json_member(root(), "o"), "a"), out, sizeof out), "inn");
}

/* Under ASan a read past the end of the copy is caught. */
static void test_every_prefix_ends(void)
{
	char out[64];

	for (size_t n = 0; n < sizeof text; n++) {
		char *copy = malloc(n ? n : 1);
		struct json j, next, e;
		int count = 0;

		memcpy(copy, text, n);
		j = json_of(copy, n);
		json_text(json_member(j, "t"), out, sizeof out);
		next = json_first(json_member(j, "list"));
		while (json_next(&next, &e) && count++ < 100)
			json_number(json_member(e, "n"), 0);
		CU_ASSERT_TRUE(count < 10);
		free(copy);
	}
}

UNIT_MAIN("json",
	T(test_members_are_found_at_their_own_depth),
	T(test_what_goes_to_the_terminal_cannot_command_it),
	T(test_an_array_is_walked_over_nested_values),
	T(test_text_is_cut_to_the_room),
	T(test_every_prefix_ends))
