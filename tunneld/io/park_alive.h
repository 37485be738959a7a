/* SPDX-License-Identifier: MIT */
/*
 * Does anybody but us still hold a socket? Our own copy hides the application's close(), so /proc
 * is read: the caller's descriptor number first (one readlink), and for those not found there the callers' other
 * descriptors and then every process we may look into, once for all of them.
 */
#ifndef PLAIT_IO_PARK_ALIVE_H
#define PLAIT_IO_PARK_ALIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum alive { ALIVE_YES, ALIVE_NOT_HERE, ALIVE_CANNOT_TELL };

struct suspect {
	uint64_t inode, tag; /* tag: the caller's own */
	pid_t pid;           /* who asked for it */
	bool found;          /* out: some process other than this one holds it */
	bool asked;          /* inside: its pid's own descriptors were looked at */
};

/* ALIVE_NOT_HERE: the process is gone, or has something else under that number. */
enum alive alive_at(pid_t pid, uint32_t fd, uint64_t inode);
/* Sets found where it is so; sorts the list. Unreadable processes hold nothing. */
void alive_look(struct suspect *list, size_t count);

#endif
