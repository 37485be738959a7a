/* SPDX-License-Identifier: MIT */
/*
 * getsockopt(SO_ERROR): a connect that tunneld failed reads ECONNRESET; the true reason is asked.
 * Every other value and every other option is the kernel's, at the cost of two comparisons.
 */
#include "shim/lib/shim.h"

#include <string.h>

long getsockopt_hook(int fd, int level, int option, void *value, socklen_t *len)
{
	long r = sys_getsockopt(fd, level, option, value, len);
	int error;

	if (r || level != SOL_SOCKET || option != SO_ERROR || !value || !len || *len < sizeof error)
		return r;
	memcpy(&error, value, sizeof error);
	if (error == ECONNRESET) {
		error = park_reason(fd, LOCAL_READ_VERDICT);
		memcpy(value, &error, sizeof error);
	}
	return r;
}

#ifndef PLAIT_CMD /* plait run's trap uses the hooks, and keeps libc's own calls */
EXPORT int getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	return (int)hook_return(getsockopt_hook(fd, level, option, value, len));
}
#endif
