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

static int by_inode(const void *a, const void *b)
{
	uint64_t x = ((const struct suspect *)a)->inode, y = ((const struct suspect *)b)->inode;

	return (x > y) - (x < y);
}

/* Sets found for those that a descriptor in this directory of /proc is; returns how many newly are. */
static size_t look_into(const char *dir, struct suspect *list, size_t count)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	size_t hits = 0;

	if (!d)
		return 0;
	while ((e = readdir(d))) {
		struct suspect key = { .inode = e->d_name[0] == '.' ? 0 : socket_inode(dir, e->d_name) }, *s;

		s = key.inode ? bsearch(&key, list, count, sizeof *list, by_inode) : NULL;
		hits += s && !s->found;
		if (s)
			s->found = true;
	}
	closedir(d);
	return hits;
}

enum alive alive_at(pid_t pid, uint32_t fd, uint64_t inode)
{
	char dir[40], name[16];

	snprintf(dir, sizeof dir, "/proc/%ld/fd", (long)pid);
	snprintf(name, sizeof name, "%u", fd);
	errno = 0;
	if (socket_inode(dir, name) == inode)
		return ALIVE_YES;
	return errno == EACCES || errno == EPERM ? ALIVE_CANNOT_TELL : ALIVE_NOT_HERE;
}

void alive_look(struct suspect *list, size_t count)
{
	size_t missing = count;
	pid_t self = getpid();
	struct dirent *e;
	char dir[300];
	DIR *proc;

	qsort(list, count, sizeof *list, by_inode);
	/* The callers themselves: usually it is one, and under another number there. */
	for (size_t i = 0; i < count; i++) {
		if (list[i].found || list[i].asked)
			continue;
		for (size_t k = i; k < count; k++)
			list[k].asked |= list[k].pid == list[i].pid;
		snprintf(dir, sizeof dir, "/proc/%ld/fd", (long)list[i].pid);
		missing -= look_into(dir, list, count);
	}
	proc = missing ? opendir("/proc") : NULL;
	if (missing && !proc)
		/* Without /proc nothing can be said to be gone. */
		for (size_t i = 0; i < count; i++)
			list[i].found = true;
	while (proc && missing && (e = readdir(proc))) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || strtol(e->d_name, NULL, 10) == self)
			continue;
		snprintf(dir, sizeof dir, "/proc/%s/fd", e->d_name);
		missing -= look_into(dir, list, count);
	}
	if (proc)
		closedir(proc);
}
