/* SPDX-License-Identifier: MIT */
#include "tunneld/io/park_alive.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The inode of "socket:[123]", else 0. */
static uint64_t socket_inode(const char *dir, const char *name)
{
	static const char head[] = "socket:[";
	char path[300], target[64];
	ssize_t n;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	n = readlink(path, target, sizeof target - 1);
	if (n < (ssize_t)sizeof head || memcmp(target, head, sizeof head - 1) != 0)
		return 0;
	target[n] = 0;
	return strtoull(target + sizeof head - 1, NULL, 10);
}

/* -1: the directory cannot be read (errno); else how many of the inodes were newly found. */
static int look_into(const char *dir, const uint64_t *inodes, bool *found, size_t count)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int hits = 0;

	if (!d)
		return -1;
	while ((e = readdir(d))) {
		uint64_t inode = e->d_name[0] == '.' ? 0 : socket_inode(dir, e->d_name);

		for (size_t i = 0; inode && i < count; i++)
			if (inodes[i] == inode && !found[i]) {
				found[i] = true;
				hits++;
			}
	}
	closedir(d);
	return hits;
}

enum alive alive_in(pid_t pid, uint32_t fd, uint64_t inode)
{
	char dir[40], name[16];
	bool found = false;
	int hits;

	snprintf(dir, sizeof dir, "/proc/%ld/fd", (long)pid);
	snprintf(name, sizeof name, "%u", fd);
	if (socket_inode(dir, name) == inode)
		return ALIVE_YES;
	hits = look_into(dir, &inode, &found, 1);
	if (hits > 0)
		return ALIVE_YES;
	return hits == 0 || errno == ENOENT || errno == ESRCH ? ALIVE_NOT_HERE : ALIVE_CANNOT_TELL;
}

void alive_anywhere(const uint64_t *inodes, bool *found, size_t count)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	pid_t self = getpid();
	char dir[300];

	memset(found, 0, count * sizeof *found);
	if (!proc) {
		/* Without /proc nothing can be said to be gone. */
		memset(found, 1, count * sizeof *found);
		return;
	}
	while ((e = readdir(proc))) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || strtol(e->d_name, NULL, 10) == self)
			continue;
		snprintf(dir, sizeof dir, "/proc/%s/fd", e->d_name);
		(void)look_into(dir, inodes, found, count);
	}
	closedir(proc);
}
