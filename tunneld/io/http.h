/* SPDX-License-Identifier: MIT */
/*
 * The status sockets: HTTP on a UNIX socket and, where asked for, on a loopback TCP address, served
 * from the loop itself, so that an answer is made between two events and needs no lock. GET only.
 * An answer is a body in one piece, or a stream that is asked for its next piece when there is room for it.
 */
#ifndef PLAIT_IO_HTTP_H
#define PLAIT_IO_HTTP_H

#include <stddef.h>

#include "common/addr.h"
#include "tunneld/io/loop.h"

struct http;

struct http_request {
	const char *path;
	bool owner_only;          /* came by the UNIX socket, which nobody but its owner can open */
	void *connection;         /* for http_argument() */
};
/* The value of ?name=value, or NULL; valid during the call. */
const char *http_argument(const struct http_request *r, const char *name);

#define HTTP_END SIZE_MAX
struct http_answer {
	unsigned status;          /* 200, 404, ... */
	const char *content_type; /* a text that stays */
	char *body;               /* malloc()ed; taken */
	size_t len;
	/*
	 * In place of a body, where more is set: writes up to room bytes, at least one, to out and says how many; 0: nothing
	 * now, ask again after http_wake(); HTTP_END: that was all. done frees the stream, whenever the client goes.
	 */
	size_t (*more)(void *stream, char *out, size_t room);
	void (*done)(void *stream);
	void *stream;
};

typedef void (*http_fn)(void *owner, const struct http_request *r, struct http_answer *out);

/*
 * socket_path: made anew if nobody answers there, with mode 0600, and removed at the end. http: a
 * loopback address, or family 0. NULL: *why says what failed, errno why; stays valid.
 */
struct http *http_new(struct loop *l, const char *socket_path, const struct addr *http, http_fn answer, void *owner,
		      const char **why);
/* Streams that had nothing are asked again. Not from within an answer or a stream. */
void http_wake(struct http *h);
void http_free(struct http *h);

#endif
