/* SPDX-License-Identifier: MIT */
/* Reads vectors/FILE line by line: `name hex`, or a name alone. Lines that are empty or begin with # are passed over. */
#ifndef PLAIT_TEST_VECTORS_H
#define PLAIT_TEST_VECTORS_H

#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct vectors {
	FILE *file;
	char name[32];
	uint8_t bytes[512];
	size_t len;
	unsigned malformed;
};

/* Beside the test's source, as the compiler was told of it: tests run from the top of the tree, as they are built. */
static bool vectors_open(struct vectors *v, const char *source, const char *file)
{
	char path[256];
	const char *slash = strrchr(source, '/');

	*v = (struct vectors){ 0 };
	snprintf(path, sizeof path, "%.*svectors/%s", slash ? (int)(slash + 1 - source) : 0, source, file);
	v->file = fopen(path, "r");
	return v->file != NULL;
}

static bool vectors_next(struct vectors *v)
{
	char line[1200], hex[1100];

	while (fgets(line, sizeof line, v->file)) {
		int n;

		if (line[0] == '#')
			continue;
		hex[0] = 0;
		n = sscanf(line, "%31s %1099s", v->name, hex);
		if (n < 1)
			continue;
		if (sodium_hex2bin(v->bytes, sizeof v->bytes, hex, strlen(hex), NULL, &v->len, NULL))
			v->malformed++;
		return true;
	}
	fclose(v->file);
	return false;
}

#endif
