/* SPDX-License-Identifier: MIT */
/* plait status: GETs from tunneld's status socket, as a table for people or as JSON as it came. */
#include "shim/cmd/follow.h"
#include "shim/cmd/json.h"
#include "shim/cmd/plait.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 << 20 };

/* The body of a 200 answer, malloc'ed and NUL-terminated; NULL after a complaint. */
static char *get(const char *socket_path, const char *resource, size_t *len)
{
	static const struct timeval patience = { .tv_sec = 5 };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char request[160], *answer = NULL, *body = NULL;
	size_t got = 0, room = 0;
	ssize_t n;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path, socket_path, strlen(socket_path) + 1);
	n = snprintf(request, sizeof request,
		     "GET %s HTTP/1.0\r\nHost: tunneld\r\nConnection: close\r\n\r\n", resource);
	if (fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof un)) {
		complain(0, "%s: %s%s", socket_path, strerror(errno),
			 errno == ENOENT || errno == ECONNREFUSED
				 ? " (does tunneld run? see --socket)"
				 : "");
		goto out;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (send(fd, request, (size_t)n, MSG_NOSIGNAL) != n) {
		complain(0, "%s: %s", socket_path, strerror(errno));
		goto out;
	}
	for (;;) {
		if (room - got < 2) {
			char *more = room < ANSWER_MAX
					     ? realloc(answer, room = room ? room * 2 : 65536)
					     : NULL;

			if (!more) {
				complain(0, "%s: the answer is too long", resource);
				goto out;
			}
			answer = more;
		}
		n = recv(fd, answer + got, room - got - 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			complain(0, "%s: %s", socket_path,
				 errno == EAGAIN ? "tunneld does not answer" : strerror(errno));
			goto out;
		}
		if (n == 0)
			break;
		got += (size_t)n;
	}
	answer[got] = 0;
	body = strstr(answer, "\r\n\r\n");
	if (!body || strncmp(answer, "HTTP/1.", 7) != 0 || strncmp(answer + 8, " 200", 4) != 0) {
		complain(0, "%s: %.*s", resource, (int)strcspn(answer, "\r\n"), answer);
		body = NULL;
		goto out;
	}
	body += 4;
	*len = got - (size_t)(body - answer);
	body = memmove(answer, body, *len + 1);
	answer = NULL;
out:
	free(answer);
	if (fd >= 0)
		close(fd);
	return body;
}

/* 1234567 -> "1.2 MB" */
static const char *bytes_text(double v, char out[16])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	size_t u = 0;

	while (v >= 999.5 && u + 1 < sizeof units / sizeof *units) {
		v /= 1000;
		u++;
	}
	snprintf(out, 16, u && v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[u]);
	return out;
}

/* The first of the names that the object has: a table survives a field's better name. */
static struct json member_of(struct json o, const char *const *names)
{
	struct json v = { 0 };

	for (; *names && v.at == v.end; names++)
		v = json_member(o, *names);
	return v;
}
#define MEMBER(o, ...) member_of(o, (const char *const[]){ __VA_ARGS__, NULL })

static const char *word(struct json v, char *out, size_t size)
{
	json_text(v, out, size);
	if (!*out)
		snprintf(out, size, "-");
	return out;
}

static const char *ms_text(struct json v, char out[16])
{
	double ms = json_number(v, -1);

	snprintf(out, 16, ms < 0 ? "-" : ms < 10 ? "%.1f ms" : "%.0f ms", ms);
	return out;
}

static void print_path_rows(struct json list, const char *far_end)
{
	struct json next = json_first(list), p;
	char a[64], b[64], c[64], d[16], e[16], f[16], g[16];

	while (json_next(&next, &p))
		printf("%-12s %-8s %-24s %-24s %9s %9s %9s\n",
		       word(MEMBER(p, "name", "path", "id"), a, sizeof a),
		       word(json_member(p, "state"), f, sizeof f),
		       word(MEMBER(p, "local", "interface", "address"), b, sizeof b),
		       far_end ? far_end : word(MEMBER(p, "remote", "peer"), c, sizeof c),
		       ms_text(json_member(p, "srtt_ms"), g),
		       bytes_text(json_number(json_member(p, "bytes_sent"), 0), d),
		       bytes_text(json_number(json_member(p, "bytes_received"), 0), e));
}

static void print_paths(struct json all)
{
	printf("%-12s %-8s %-24s %-24s %9s %9s %9s\n", "PATH", "STATE", "LOCAL", "REMOTE", "RTT",
	       "SENT", "RECEIVED");
	print_path_rows(json_member(all, "paths"), NULL);
	print_path_rows(json_member(all, "plain"), "(plain)");
}

static void print_connections(struct json all)
{
	struct json next = json_first(json_member(all, "connections")), c;
	char a[64], b[64], d[32], e[16], f[16], g[64], h[32];

	printf("%-10s %-14s %-16s %-26s %9s %9s  %s\n", "TOKEN", "STATE", "COMMAND", "DESTINATION",
	       "SENT", "RECEIVED", "SUBFLOWS");
	while (json_next(&next, &c)) {
		struct json more = json_first(json_member(c, "subflows")), s;

		printf("%-10s %-14s %-16s %-26s %9s %9s ",
		       word(json_member(c, "token"), a, sizeof a),
		       word(json_member(c, "state"), d, sizeof d),
		       word(MEMBER(c, "command", "client"), h, sizeof h),
		       word(json_member(c, "destination"), b, sizeof b),
		       bytes_text(json_number(json_member(c, "bytes_sent"), 0), e),
		       bytes_text(json_number(json_member(c, "bytes_received"), 0), f));
		while (json_next(&more, &s)) {
			char mode[32];

			word(json_member(s, "mode"), mode, sizeof mode);
			printf(" %s%s%s", word(json_member(s, "path"), g, sizeof g),
			       strcmp(mode, "primary") != 0 ? ":" : "",
			       strcmp(mode, "primary") != 0 ? mode : "");
		}
		putchar('\n');
	}
}

static void print_status(struct json s)
{
	struct json next = json_first(json_member(s, "roles")), role;
	char text[64];
	double up = json_number(json_member(s, "uptime_s"), 0);
	const char *between = "";

	printf("tunneld %s, ", word(json_member(s, "version"), text, sizeof text));
	while (json_next(&next, &role)) {
		printf("%s%s", between, json_text(role, text, sizeof text));
		between = " and ";
	}
	if (up < 120)
		printf(", up %.0f s", up);
	else
		printf(up < 7200 ? ", up %.0f min" : ", up %.0f h", up / (up < 7200 ? 60 : 3600));
	if (!strcmp(json_text(json_member(s, "ending"), text, sizeof text), "true"))
		printf(", ending");
	else if (!strcmp(json_text(json_member(s, "ready"), text, sizeof text), "false"))
		printf(", not ready");
	printf("\n%.0f connections, %.0f connecting, %.0f refused or failed\n",
	       json_number(json_member(s, "connections"), 0),
	       json_number(json_member(json_member(s, "shim"), "pending"), 0),
	       json_number(json_member(json_member(s, "shim"), "failed"), 0));
}

/* What lasts, in words: "router 203.0.113.9 reports host unreachable for 14 of 20 clients since ..." */
static void print_faults(struct json all)
{
	struct json next = json_first(json_member(all, "groups")), g;
	char who[80], what[64], since[40], path[80], current[8], source[32], type[16];
	unsigned n = 0;

	while (json_next(&next, &g)) {
		double clients = json_number(json_member(g, "clients"), 0);
		struct json s = json_first(json_member(g, "sources")), first;

		if (strcmp(json_text(json_member(g, "current"), current, sizeof current), "true") != 0)
			continue;
		if (!n++)
			printf("FAULTS\n");
		json_text(json_member(g, "router"), who, sizeof who);
		json_text(json_member(g, "cause_text"), what, sizeof what);
		json_text(json_member(g, "since"), since, sizeof since);
		json_text(json_member(g, "path"), path, sizeof path);
		json_text(json_member(g, "type"), type, sizeof type);
		source[0] = '\0';
		if (json_next(&s, &first))
			json_text(first, source, sizeof source);
		if (*who && strcmp(who, "null") != 0) {
			printf("router %s reports %s", who, what);
		} else {
			json_text(json_member(g, "prefix"), who, sizeof who);
			printf("%s (%s)", what, source);
			if (*who && strcmp(who, "null") != 0)
				printf(" towards %s", who);
		}
		if (clients > 0)
			printf(" for %.0f of %.0f clients", clients,
			       json_number(json_member(g, "clients_connected"), 0));
		else if (*path && strcmp(path, "null") != 0)
			printf(" on path %s", path);
		printf(" since %s, %s\n", since, type);
	}
	if (!n)
		printf("no fault lasts\n");
}

int cmd_status(int argc, char **argv)
{
	static const char *const resources[] = { "/v1/status", "/v1/paths", "/v1/connections", "/v1/faults" };
	static const char *const names[] = { "status", "paths", "connections", "faults" };
	static void (*const print[])(struct json) = { print_status, print_paths,
						      print_connections, print_faults };
	const char *given = NULL;
	char path[108], *body[4] = { NULL };
	size_t len[4] = { 0 };
	int as_json = 0, status = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			as_json = 1;
		else if (!strcmp(argv[i], "--socket") && i + 1 < argc)
			given = argv[++i];
		else
			return complain(2, "usage: plait status [--json] [--socket PATH]");
	}
	if (!status_socket(given, path))
		return complain(1, "the path of the status socket is too long");
	/* All or nothing: half an object would be no JSON. */
	for (int i = 0; i < 4 && !status; i++)
		status = !(body[i] = get(path, resources[i], &len[i]));
	for (int i = 0; i < 4 && !status; i++) {
		if (as_json) {
			while (len[i] &&
			       (body[i][len[i] - 1] == '\n' || body[i][len[i] - 1] == ' '))
				len[i]--;
			printf("%s\"%s\": %.*s%s", i ? " " : "{", names[i], (int)len[i], body[i],
			       i < 3 ? ",\n" : "}\n");
		} else {
			if (i)
				putchar('\n');
			print[i](json_of(body[i], len[i]));
		}
	}
	for (int i = 0; i < 4; i++)
		free(body[i]);
	return status;
}
