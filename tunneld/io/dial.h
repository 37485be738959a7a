/* SPDX-License-Identifier: MIT */
/*
 * The gateway's way out: one non-blocking connect(), which ends by itself as the kernel's own does
 * (tcp_syn_retries, about two minutes), told by an errno.
 */
#ifndef PLAIT_IO_DIAL_H
#define PLAIT_IO_DIAL_H

#include "common/addr.h"
#include "tunneld/io/loop.h"

/* Embedded in its owner. fd -1: not dialling. */
struct dial {
	int fd;
	struct loop_fd watch;
	/* error 0: fd is connected and the owner's now. Else an errno, fd -1. */
	void (*done)(void *owner, int fd, int error);
	void *owner;
};

/* 0: done() will be called, once: later, or before this returns where the connection stands already. Else the errno of a failure at once, and done() is not called. */
int dial_start(struct dial *d, struct loop *l, const struct addr *to,
	       void (*done)(void *owner, int fd, int error), void *owner);
void dial_cancel(struct dial *d);
/*
 * What the application wants of the connection to its destination, whose family is 4 or 6: keep-alives after idle_s seconds,
 * every interval_s, so many; idle_s 0: those that every such connection has. What the kernel does not take stays as it was.
 */
void dial_options(int fd, int family, uint16_t idle_s, uint16_t interval_s, uint8_t count, uint8_t tos);

#endif
