/* SPDX-License-Identifier: MIT */
/* plait capture: tunneld's segments as pcapng, in whole blocks, however it ends. */
#include "shim/cmd/follow.h"
#include "shim/cmd/plait.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_MAX = 1 << 20, BLOCK_LEAST = 12, PACKET = 6 };

struct file {
	int fd, failed;
	unsigned long packets;
	size_t len;
	uint8_t block[BLOCK_MAX]; /* one that is not whole yet */
};

static int flush(struct file *f, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t done = write(f->fd, f->block + at, n - at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			f->failed = complain(1, "cannot write: %s", strerror(errno));
			return 1;
		}
		at += (size_t)done;
	}
	memmove(f->block, f->block + n, f->len - n);
	f->len -= n;
	return 0;
}

/* Whole blocks at the front of what is there. */
static int blocks(struct file *f)
{
	size_t at = 0;

	while (f->len - at >= BLOCK_LEAST) {
		uint32_t type, n;

		memcpy(&type, f->block + at, sizeof type);
		memcpy(&n, f->block + at + 4, sizeof n);
		if (n < BLOCK_LEAST || n % 4 || n > BLOCK_MAX) {
			f->failed = complain(1, "tunneld sent no pcapng");
			return 1;
		}
		if (n > f->len - at)
			break;
		f->packets += type == PACKET;
		at += n;
	}
	return at ? flush(f, at) : 0;
}

static int take(void *owner, const char *bytes, size_t len)
{
	struct file *f = owner;

	while (len) {
		size_t n = sizeof f->block - f->len < len ? sizeof f->block - f->len : len;

		memcpy(f->block + f->len, bytes, n);
		f->len += n;
		bytes += n;
		len -= n;
		if (blocks(f))
			return 1;
	}
	return 0;
}

int cmd_capture(int argc, char **argv)
{
	static struct file f;
	const char *given = NULL, *name = NULL, *snap = "0";
	char path[108], resource[64];
	int status;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--socket") && i + 1 < argc)
			given = argv[++i];
		else if (!strcmp(argv[i], "-w") && i + 1 < argc)
			name = argv[++i];
		else if (!strcmp(argv[i], "-s") && i + 1 < argc && strspn(argv[i + 1], "0123456789") == strlen(argv[i + 1]) &&
			 strlen(argv[i + 1]) < 6)
			snap = argv[++i];
		else
			name = NULL, i = argc;
	}
	if (!name)
		return complain(2, "usage: plait capture -w FILE [-s BYTES] [--socket PATH]");
	if (!status_socket(given, path))
		return complain(1, "the path of the status socket is too long");
	f.fd = !strcmp(name, "-") ? STDOUT_FILENO : open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (f.fd < 0)
		return complain(1, "%s: %s", name, strerror(errno));
	snprintf(resource, sizeof resource, "/v1/capture?snaplen=%s", snap);
	status = follow(path, resource, take, &f);
	if (f.fd != STDOUT_FILENO && close(f.fd))
		return complain(1, "%s: %s", name, strerror(errno));
	if (!status && !f.failed)
		fprintf(stderr, "plait: %lu segments\n", f.packets);
	return status || f.failed;
}
