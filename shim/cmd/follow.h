/* SPDX-License-Identifier: MIT */
/* An answer of tunneld's status socket that goes on until one of us has enough. */
#ifndef PLAIT_FOLLOW_H
#define PLAIT_FOLLOW_H

#include <stddef.h>

/* status.sock beside the control socket, where tunneld puts it unless its configuration says otherwise. 0: too long. */
int status_socket(const char *given, char out[108]);

/*
 * GETs resource and gives each piece to take(), until the end, a take() that is not 0, or SIGINT or SIGTERM. Returns 0, or 1
 * after a complaint.
 */
int follow(const char *socket_path, const char *resource, int (*take)(void *owner, const char *bytes, size_t len), void *owner);

#endif
