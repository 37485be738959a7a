/* SPDX-License-Identifier: MIT */
/*
 * Inside the trap: trap_filter.c (what is stopped), trap_calls.c (what is done about it), trap.c (who
 * does it). Nobody else includes it.
 */
#ifndef PLAIT_CMD_TRAP_STATE_H
#define PLAIT_CMD_TRAP_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Blocking connects waited for at once; further ones wait in the kernel from the start. */
enum { TRAP_WAITS = 512 };

struct wait {
	uint64_t id;
	int fd;
	double until;
	bool times_out; /* at until SO_SNDTIMEO is over, not only our patience */
	int then;       /* the errno of that: EINPROGRESS, or EALREADY for a repeated connect */
};

struct trap {
	int listener;
	struct wait waits[TRAP_WAITS];
	size_t wait_count;
};

/* The listener of the filter that from now on holds for this process and its children, or -1:
 * EBUSY, there is a listener already. */
int trap_filter_install(void);

/* The descriptor fd of thread tid as one of ours, or -errno. */
int trap_borrow(pid_t tid, int fd);
/* Waits for something to do, and for other (a descriptor, or -1) to become readable; does it. True:
 * no process is left under the filter. */
bool trap_serve_once(struct trap *t, int other);

#endif
