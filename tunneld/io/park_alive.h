/* SPDX-License-Identifier: MIT */
/*
 * Does anybody but us still hold a socket? Our own copy hides the application's close(), so /proc
 * is read: the caller's descriptor number first (one readlink), its other descriptors, and, for
 * those not found, every process we may look into, once for all of them.
 */
#ifndef PLAIT_IO_PARK_ALIVE_H
#define PLAIT_IO_PARK_ALIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum alive { ALIVE_YES, ALIVE_NOT_HERE, ALIVE_CANNOT_TELL };

/* ALIVE_NOT_HERE: the process is gone, or has no such descriptor. */
enum alive alive_in(pid_t pid, uint32_t fd, uint64_t inode);
/* Sets found[i] for each inode that some process other than this one holds. Unreadable processes
 * hold nothing. */
void alive_anywhere(const uint64_t *inodes, bool *found, size_t count);

#endif
