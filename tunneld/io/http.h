/* SPDX-License-Identifier: MIT */
/*
 * The status sockets: HTTP on a UNIX socket and, where asked for, on a loopback TCP address, served
 * from the loop itself, so that an answer is made between two events and needs no lock. GET only.
 */
#ifndef PLAIT_IO_HTTP_H
#define PLAIT_IO_HTTP_H

#include <stddef.h>

#include "common/addr.h"
#include "tunneld/io/loop.h"

struct http;

struct http_answer {
	unsigned status;          /* 200, 404, ... */
	const char *content_type; /* a text that stays */
	char *body;               /* malloc()ed; taken */
	size_t len;
};

typedef void (*http_fn)(void *owner, const char *path, struct http_answer *out);

/*
 * socket_path: made anew if nobody answers there, with mode 0600, and removed at the end. http: a
 * loopback address, or family 0. NULL: *why says what failed, errno why; stays valid.
 */
struct http *http_new(struct loop *l, const char *socket_path, const struct addr *http, http_fn answer, void *owner,
		      const char **why);
void http_free(struct http *h);

#endif
