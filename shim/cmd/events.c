/* SPDX-License-Identifier: MIT */
/* plait events: what happens in tunneld, one JSON object a line, as it comes. */
#include "shim/cmd/follow.h"
#include "shim/cmd/plait.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* The empty lines are tunneld's signs of life. */
struct lines { int begun; };

static int take(void *owner, const char *bytes, size_t len)
{
	struct lines *l = owner;

	while (len) {
		const char *end = memchr(bytes, '\n', len);
		size_t n = end ? (size_t)(end - bytes) + 1 : len;

		if ((n > 1 || *bytes != '\n' || l->begun) && write(STDOUT_FILENO, bytes, n) != (ssize_t)n)
			return errno == EPIPE ? 1 : complain(1, "stdout: %s", strerror(errno));
		l->begun = !end;
		bytes += n;
		len -= n;
	}
	return 0;
}

int cmd_events(int argc, char **argv)
{
	struct lines l = { 0 };
	const char *given = NULL;
	char path[108];

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--socket") && i + 1 < argc)
			given = argv[++i];
		else
			return complain(2, "usage: plait events [--socket PATH]");
	}
	if (!status_socket(given, path))
		return complain(1, "the path of the status socket is too long");
	return follow(path, "/v1/events", take, &l);
}
