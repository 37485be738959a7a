/* SPDX-License-Identifier: MIT */
#include "shim/cmd/json.h"

#include <stdlib.h>
#include <string.h>

static const char *blank(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
		at++;
	return at;
}

static const char *string_end(const char *at, const char *end)
{
	for (at++; at < end; at++) {
		if (*at == '\\')
			at++;
		else if (*at == '"')
			return at + 1;
	}
	return end;
}

/* One past the value that begins at at. */
static const char *value_end(const char *at, const char *end)
{
	int depth = 0;

	while (at < end) {
		if (*at == '"') {
			at = string_end(at, end);
		} else if (*at == '{' || *at == '[') {
			depth++;
			at++;
		} else if (*at == '}' || *at == ']') {
			if (!depth)
				return at;
			depth--;
			at++;
		} else if (!depth && (*at == ',' || *at == ':')) {
			return at;
		} else {
			at++;
			if (depth || (at < end && !strchr(",:]} \t\r\n", *at)))
				continue;
		}
		if (!depth)
			return at < end ? at : end;
	}
	return end;
}

struct json json_of(const char *text, size_t len)
{
	return (struct json){ blank(text, text + len), text + len };
}

/* After value: past blanks and one separator. */
static const char *past(const char *at, const char *end, char separator)
{
	at = blank(at, end);
	if (at < end && *at == separator)
		at = blank(at + 1, end);
	return at;
}

struct json json_member(struct json o, const char *name)
{
	const char *at = o.at;
	size_t n = strlen(name);

	if (at >= o.end || *at != '{')
		return (struct json){ 0 };
	at = blank(at + 1, o.end);
	while (at < o.end && *at == '"') {
		const char *key = at, *key_end = string_end(at, o.end), *value, *value_stop;

		value = past(key_end, o.end, ':');
		value_stop = value_end(value, o.end);
		if ((size_t)(key_end - key) == n + 2 && !memcmp(key + 1, name, n))
			return (struct json){ value, value_stop };
		at = past(value_stop, o.end, ',');
	}
	return (struct json){ 0 };
}

struct json json_first(struct json a)
{
	if (a.at >= a.end || *a.at != '[')
		return (struct json){ 0 };
	return (struct json){ blank(a.at + 1, a.end), a.end };
}

bool json_next(struct json *next, struct json *element)
{
	const char *stop;

	if (next->at >= next->end || *next->at == ']')
		return false;
	stop = value_end(next->at, next->end);
	*element = (struct json){ next->at, stop };
	next->at = stop > next->at ? past(stop, next->end, ',') : next->end;
	return element->end > element->at;
}

const char *json_text(struct json v, char *out, size_t size)
{
	size_t n = 0;

	if (v.at < v.end && *v.at == '"') {
		v.at++;
		if (v.end > v.at && v.end[-1] == '"')
			v.end--;
	}
	for (; v.at < v.end && n + 1 < size; v.at++) {
		char c = *v.at;

		if (c == '\\') {
			v.at++;
			c = '?';
		}
		out[n++] = (unsigned char)c < ' ' || c == 127 ? '?' : c;
	}
	out[n] = 0;
	return out;
}

double json_number(struct json v, double otherwise)
{
	char text[40], *end;
	double d = strtod(json_text(v, text, sizeof text), &end);

	return end == text ? otherwise : d;
}
