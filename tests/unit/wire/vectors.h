/* SPDX-License-Identifier: MIT */
/* Reads tests/unit/wire/vectors: "hex bytes | text" a line, # comments. Tests run from the project's root. */
#ifndef PLAIT_TESTS_VECTORS_H
#define PLAIT_TESTS_VECTORS_H

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define VECTORS "tests/unit/wire/vectors/"

struct vector {
	FILE *file;
	unsigned line;
	uint8_t bytes[256];
	size_t len;
	char text[256];
};

static inline size_t hex_bytes(const char *hex, uint8_t *out, size_t size)
{
	size_t n = 0;
	unsigned v;

	for (;;) {
		while (isspace((unsigned char)*hex))
			hex++;
		if (n == size || sscanf(hex, "%2x", &v) != 1)
			return n;
		out[n++] = (uint8_t)v;
		hex += 2;
	}
}

/* The next vector of the file; false at its end. v is zero before the first call. */
static inline bool vector_next(struct vector *v, const char *path)
{
	char line[1024], *bar;

	if (!v->file && !(v->file = fopen(path, "r")))
		return false;
	while (fgets(line, sizeof line, v->file)) {
		v->line++;
		if (line[0] == '#' || !(bar = strchr(line, '|')))
			continue;
		*bar++ = 0;
		while (*bar == ' ')
			bar++;
		bar[strcspn(bar, "\n")] = 0;
		snprintf(v->text, sizeof v->text, "%s", bar);
		v->len = hex_bytes(line, v->bytes, sizeof v->bytes);
		return true;
	}
	fclose(v->file);
	v->file = NULL;
	return false;
}

#endif
