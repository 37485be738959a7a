/* SPDX-License-Identifier: MIT */
#include "tunneld/io/http.h"

#include <errno.h>
#include <ev.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/sockaddr.h"

#ifndef HTTP_IDLE_S /* tests wait for it */
#define HTTP_IDLE_S 30
#endif
enum { CONNECTIONS_MAX = 32, IDLE_S = HTTP_IDLE_S, PIECE = 256 << 10 /* at most; a stream gives less where it takes time to make */ };

struct listener {
	struct http *http;
	struct MHD_Daemon *daemon;
	struct loop_fd watch;
	ev_timer timer;           /* for what MHD wants to do though no fd is ready */
};

/* An answer in pieces, on its connection. */
struct stream {
	struct listener *listener;
	struct MHD_Connection *connection;
	struct stream *next, **at;
	bool waits;               /* suspended: MHD forgets it until it is resumed */
	size_t (*more)(void *stream, char *out, size_t room);
	void (*done)(void *stream);
	void *stream;
};

struct http {
	struct loop *loop;
	struct stream *streams;
	bool ending;
	http_fn answer;
	void *owner;
	char *socket_path;
	struct listener listeners[2];
};

const char *http_argument(const struct http_request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
}

static ssize_t on_piece(void *owner, uint64_t pos, char *out, size_t room)
{
	struct stream *s = owner;
	size_t n;

	(void)pos;
	if (s->listener->http->ending)
		return MHD_CONTENT_READER_END_OF_STREAM;
	n = s->more(s->stream, out, room);
	if (n == HTTP_END)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (!n) {
		s->waits = true;
		MHD_suspend_connection(s->connection);
	}
	return (ssize_t)n;
}

static void on_stream_end(void *owner)
{
	struct stream *s = owner;

	s->done(s->stream);
	*s->at = s->next;
	if (s->next)
		s->next->at = s->at;
	free(s);
}

static struct MHD_Response *stream_response(struct listener *l, struct MHD_Connection *c, const struct http_answer *a)
{
	struct stream *s = calloc(1, sizeof *s);
	struct MHD_Response *response;

	if (!s) {
		a->done(a->stream);
		return NULL;
	}
	*s = (struct stream){ .listener = l, .connection = c, .more = a->more, .done = a->done, .stream = a->stream };
	s->next = l->http->streams;
	s->at = &l->http->streams;
	if (s->next)
		s->next->at = &s->next;
	l->http->streams = s;
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE, on_piece, s, on_stream_end);
	if (!response)
		on_stream_end(s);
	return response;
}

static enum MHD_Result on_request(void *owner, struct MHD_Connection *c, const char *path, const char *method,
				  const char *version, const char *upload, size_t *upload_size, void **state)
{
	static int seen;
	struct listener *l = owner;
	struct http *h = l->http;
	struct http_request r = { .path = path, .owner_only = l == &h->listeners[0], .connection = c };
	struct http_answer a = { .status = 500, .content_type = "application/json" };
	struct MHD_Response *response;
	enum MHD_Result result;

	(void)version, (void)upload;
	if (!*state) { /* first call: headers only */
		*state = &seen;
		return MHD_YES;
	}
	if (*upload_size) { /* a body nobody asked for is read over */
		*upload_size = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0) {
		a.status = MHD_HTTP_METHOD_NOT_ALLOWED;
		a.body = strdup("{\"error\": \"GET only\"}\n");
		a.len = a.body ? strlen(a.body) : 0;
	} else {
		h->answer(h->owner, &r, &a);
	}
	if (!a.body)
		a.len = 0;
	if (a.more)
		response = stream_response(l, c, &a);
	else
		response = MHD_create_response_from_buffer(a.len, a.body ? a.body : (void *)(uintptr_t)"",
							   a.body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	if (!response) {
		if (!a.more)
			free(a.body);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, a.content_type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	result = MHD_queue_response(c, a.status, response);
	MHD_destroy_response(response);
	return result;
}

static void run(struct listener *l)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;

	MHD_run(l->daemon);
	ev_timer_stop(loop_ev(l->http->loop), &l->timer);
	if (MHD_get_timeout(l->daemon, &wait_ms) == MHD_YES) {
		ev_timer_set(&l->timer, (double)wait_ms / 1e3, 0.);
		ev_timer_start(loop_ev(l->http->loop), &l->timer);
	}
}

static void on_ready(void *owner, int events)
{
	(void)events;
	run(owner);
}

static void on_timer(struct ev_loop *ev, ev_timer *t, int revents)
{
	(void)ev, (void)revents;
	run(t->data);
}

static bool listener_start(struct listener *l, struct http *h, int fd)
{
	const union MHD_DaemonInfo *info;

	l->http = h;
	l->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, l, MHD_OPTION_LISTEN_SOCKET, fd,
				     MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
				     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_END);
	if (!l->daemon) {
		close(fd);
		return false;
	}
	info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	ev_timer_init(&l->timer, on_timer, 0., 0.);
	l->timer.data = l;
	loop_fd_init(&l->watch, h->loop, info->epoll_fd, on_ready, l);
	loop_fd_want(&l->watch, LOOP_READ);
	return true;
}

/* A socket file that nobody listens on is left over from a killed process. */
static bool left_over(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool dead = fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof *sa) && errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return dead;
}

static int unix_listener(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, error;
	mode_t mask;
	char *dir, *slash;

	if (strlen(path) >= sizeof sa.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(sa.sun_path, path);
	dir = strdup(path);
	slash = dir ? strrchr(dir, '/') : NULL;
	if (slash && slash != dir) {
		*slash = '\0';
		mkdir(dir, 0755); /* its last part only; a failure shows in bind() */
	}
	free(dir);
	if (left_over(&sa))
		unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	mask = umask(0177);
	error = bind(fd, (struct sockaddr *)&sa, sizeof sa) || listen(fd, 16) ? errno : 0;
	umask(mask);
	if (error) {
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static int tcp_listener(const struct addr *at)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(&sa, at);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP), one = 1, error;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (!bind(fd, (struct sockaddr *)&sa, len) && !listen(fd, 16))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

struct http *http_new(struct loop *loop, const char *socket_path, const struct addr *tcp, http_fn answer, void *owner,
		      const char **why)
{
	struct http *h = calloc(1, sizeof *h);
	int fd;

	*why = "memory";
	if (!h)
		return NULL;
	h->loop = loop;
	h->answer = answer;
	h->owner = owner;
	*why = "the status socket";
	fd = unix_listener(socket_path);
	if (fd < 0)
		goto failed;
	h->socket_path = strdup(socket_path);
	if (!listener_start(&h->listeners[0], h, fd))
		goto failed;
	if (tcp->family) {
		*why = "the status address";
		fd = tcp_listener(tcp);
		if (fd < 0 || !listener_start(&h->listeners[1], h, fd))
			goto failed;
	}
	return h;
failed:
	http_free(h);
	return NULL;
}

void http_wake(struct http *h)
{
	bool any[2] = { false, false };

	for (struct stream *s = h->streams; s; s = s->next) {
		if (!s->waits)
			continue;
		s->waits = false;
		any[s->listener - h->listeners] = true;
		MHD_resume_connection(s->connection);
	}
	for (int i = 0; i < 2; i++)
		if (any[i])
			run(&h->listeners[i]);
}

void http_free(struct http *h)
{
	int error = errno;

	if (!h)
		return;
	h->ending = true;
	http_wake(h); /* MHD does not end with suspended connections */
	for (int i = 0; i < 2; i++) {
		struct listener *l = &h->listeners[i];

		if (!l->daemon)
			continue;
		ev_timer_stop(loop_ev(h->loop), &l->timer);
		loop_fd_want(&l->watch, 0);
		MHD_stop_daemon(l->daemon);
	}
	if (h->socket_path)
		unlink(h->socket_path);
	free(h->socket_path);
	free(h);
	errno = error;
}
