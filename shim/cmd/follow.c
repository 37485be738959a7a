/* SPDX-License-Identifier: MIT */
#include "shim/cmd/follow.h"
#include "shim/cmd/plait.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int status_socket(const char *given, char out[108])
{
	const char *control = getenv("PLAIT_SOCKET"), *runtime = getenv("XDG_RUNTIME_DIR"), *slash;
	struct stat st;
	int n;

	if (given)
		return snprintf(out, 108, "%s", given) < 108;
	if (control && *control) {
		slash = strrchr(control, '/');
		n = snprintf(out, 108, "%.*sstatus.sock", slash ? (int)(slash - control + 1) : 0,
			     control);
		return n < 108;
	}
	if (runtime && *runtime && snprintf(out, 108, "%s/plait/status.sock", runtime) < 108 &&
	    !stat(out, &st))
		return 1;
	return snprintf(out, 108, "/run/plait/status.sock") < 108;
}

static volatile sig_atomic_t enough;

static void on_enough(int signal)
{
	(void)signal;
	enough = 1;
}

/* Without SA_RESTART: a read that waits is left. */
static void until_told(void)
{
	struct sigaction sa = { .sa_handler = on_enough };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int connected(const char *socket_path, const char *resource)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char request[160];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), n;

	memcpy(un.sun_path, socket_path, strlen(socket_path) + 1);
	n = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: tunneld\r\nConnection: close\r\n\r\n", resource);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&un, sizeof un) && send(fd, request, (size_t)n, MSG_NOSIGNAL) == n)
		return fd;
	complain(0, "%s: %s%s", socket_path, strerror(errno),
		 errno == ENOENT || errno == ECONNREFUSED ? " (does tunneld run? see --socket)" : "");
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The head of the answer is in bytes: how long it is, 0 while it is not complete, -1 after a complaint. */
static long head_length(const char *resource, char *bytes, size_t len)
{
	char *end;

	bytes[len] = '\0';
	end = strstr(bytes, "\r\n\r\n");
	if (!end)
		return 0;
	if (strncmp(bytes, "HTTP/1.", 7) != 0 || strncmp(bytes + 8, " 200", 4) != 0) {
		complain(0, "%s: %.*s %s", resource, (int)strcspn(bytes, "\r\n"), bytes, end + 4);
		return -1;
	}
	return end + 4 - bytes;
}

int follow(const char *socket_path, const char *resource, int (*take)(void *owner, const char *bytes, size_t len), void *owner)
{
	static char bytes[65536 + 1];
	size_t len = 0;
	long head = 0;
	int fd, status = 0;

	until_told();
	fd = connected(socket_path, resource);
	if (fd < 0)
		return 1;
	/* A signal between this look and recv() is noticed with the next piece, an empty line of events included. */
	while (!enough) {
		ssize_t n = recv(fd, bytes + len, sizeof bytes - 1 - len, 0);

		if (n < 0 && errno != EINTR) {
			status = complain(1, "%s: %s", socket_path, strerror(errno));
			break;
		}
		if (n <= 0)
			break;
		len += (size_t)n;
		if (!head) {
			head = head_length(resource, bytes, len);
			if (head < 0) {
				status = 1;
				break;
			}
			if (!head)
				continue;
			if (take(owner, bytes + head, len - (size_t)head))
				break;
		} else if (take(owner, bytes, len)) {
			break;
		}
		len = 0;
	}
	close(fd);
	return status;
}
