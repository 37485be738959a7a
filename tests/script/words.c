/* SPDX-License-Identifier: MIT */
/* What a line consists of: words, numbers, addresses, times. */
#include "tests/script/runner.h"

#include <stdlib.h>
#include <string.h>

char *word(char **at)
{
	char *p = *at + strspn(*at, " \t"), *end = p + strcspn(p, " \t");

	if (!*p)
		return NULL;
	*at = *end ? end + 1 : end;
	*end = 0;
	return p;
}

char *word_needed(char **at, const char *what)
{
	char *p = word(at);

	if (!p)
		bad_script("%s is missing", what);
	return p;
}

int64_t number(const char *text)
{
	char *end;
	long long v = strtoll(text, &end, 0);

	if (end == text || *end)
		bad_script("not a number: %s", text);
	return v;
}

int64_t number_needed(char **at, const char *what) { return number(word_needed(at, what)); }

struct addr address(const char *text)
{
	struct addr a;

	if (addr_parse(&a, text) != ERR_OK)
		bad_script("not an address: %s", text);
	return a;
}

bool on(const char *text)
{
	if (strcmp(text, "on") && strcmp(text, "off"))
		bad_script("on or off, not %s", text);
	return !strcmp(text, "on");
}

usec_t seconds(const char *text, char **end)
{
	double v = strtod(text, end);

	if (*end == text || v < 0)
		bad_script("not a time: %s", text);
	return (usec_t)(v * 1e6 + 0.5);
}

const char *const result_words[] = {
	[OPEN_OK] = "ok", [OPEN_REFUSED] = "refused", [OPEN_TIMED_OUT] = "timed_out", [OPEN_NET_UNREACHABLE] = "net_unreachable",
	[OPEN_HOST_UNREACHABLE] = "host_unreachable", [OPEN_PROHIBITED] = "prohibited", [OPEN_NO_RESOURCES] = "no_resources",
	[OPEN_NO_PATH] = "no_path", [OPEN_PROTOCOL_ERROR] = "protocol_error", [OPEN_RESET] = "connection_reset",
	[OPEN_PORT_UNREACHABLE] = "port_unreachable",
};

enum open_result result_of(const char *text)
{
	for (unsigned i = 0; i < sizeof result_words / sizeof *result_words; i++)
		if (!strcmp(result_words[i], text))
			return (enum open_result)i;
	bad_script("no result is named %s", text);
}
