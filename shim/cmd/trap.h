/* SPDX-License-Identifier: MIT */
/*
 * Programs that no library can enter (static, Go): the same steps done from outside. The program
 * runs under a seccomp filter that hands its connects, names and SO_ERROR to us
 * (SECCOMP_RET_USER_NOTIF, no privilege but no_new_privs); we borrow the socket with pidfd_getfd()
 * and call shim/lib's own hooks on it. Everything else the program does is not slowed but by the
 * filter itself. It is a steering device, not a sandbox.
 */
#ifndef PLAIT_CMD_TRAP_H
#define PLAIT_CMD_TRAP_H

/*
 * Puts this process, which is about to become the program, under the trap, served by a process
 * beside it: pid, signals and exit status are the program's own. 0, or why it could not be done:
 * EPERM, only an ancestor could serve it (Yama); EBUSY, it is under such a filter already; another,
 * there is no such thing here.
 */
int trap_beside(void);
/*
 * Runs argv (found as file) under the trap and serves it. Returns its exit status in the shell's
 * manner; ends by the same signal as it does.
 */
int trap_run(const char *file, char **argv);

#endif
