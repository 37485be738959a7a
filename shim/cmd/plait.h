/* SPDX-License-Identifier: MIT */
/*
 * The plait command: one file a verb, an ordinary program on libc. trap.c uses the hooks of
 * shim/lib, built a second time without their exported names. Exit status: 0 done, 1 could not, 2
 * wrong usage; run: 125 could not prepare, 126 cannot serve or execute CMD, 127 no such CMD, else
 * CMD's own (it replaces us).
 */
#ifndef PLAIT_CMD_H
#define PLAIT_CMD_H

int cmd_run(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_capture(int argc, char **argv);
int cmd_genkey(int argc, char **argv);
int cmd_pubkey(int argc, char **argv);

/* "plait: " and the text on stderr; returns status, for `return complain(...)`. */
int complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
