/* SPDX-License-Identifier: MIT */
/*
 * Reading tunneld's own JSON for `plait status`: a value is a slice of the text, found by walking.
 * No tree, no allocation, and a malformed text gives empty values, never a read past its end.
 */
#ifndef PLAIT_CMD_JSON_H
#define PLAIT_CMD_JSON_H

#include <stdbool.h>
#include <stddef.h>

struct json {
	const char *at, *end; /* the value with its quotes or brackets; at == end: there is none */
};

struct json json_of(const char *text, size_t len);
struct json json_member(struct json object, const char *name);
/* The elements of an array: start with *next = array's, false after the last. */
struct json json_first(struct json array);
bool json_next(struct json *next, struct json *element);
/* A string without its quotes (escapes become '?', control characters too: it goes to a terminal),
 * or the text of any other value. */
const char *json_text(struct json value, char *out, size_t size);
double json_number(struct json value, double otherwise);

#endif
