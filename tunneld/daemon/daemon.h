/* SPDX-License-Identifier: MIT */
/*
 * One running tunneld: joins io, engine and seal, which do not know of each other. What happens on a
 * socket becomes an event of the engine, what the engine wants becomes a datagram, a write, a dial.
 * Read next: state.h, then net.c (datagrams) and flow.c (streams).
 */
#ifndef PLAIT_DAEMON_H
#define PLAIT_DAEMON_H

#include "tunneld/config/config.h"

/*
 * Runs until told to end (SIGTERM, SIGINT). config is taken; file is where SIGHUP reads it again.
 * The exit status; why not 0 stands on stderr.
 */
int daemon_run(struct config *config, const char *file);

#endif
