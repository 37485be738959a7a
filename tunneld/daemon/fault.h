/* SPDX-License-Identifier: MIT */
/* What fault.c and fault_plain.c share: a report's way into the table, the log and the events. */
#ifndef PLAIT_DAEMON_FAULT_H
#define PLAIT_DAEMON_FAULT_H

#include "tunneld/daemon/state.h"

void fault_report(struct daemon *d, struct fault *what);
/* More in this second than are looked at: a flood must not cost the loop. Counts the one that asks. */
bool fault_too_many(struct daemon *d);
/* What a path of that link and address lacks; NULL: they are as they should be. */
const char *fault_link_lacks(struct daemon *d, const char *interface, const struct addr *local, enum fault_source *source);

/* --- fault_plain.c --- */
/* A record of plain form: path as the plain engine numbers it, PATH_NONE for none; remote: the host at the other end, or NULL. */
struct fault fault_of_plain(struct daemon *d, enum fault_source source, path_id path, const struct addr *remote);
bool fault_is_plain(const struct fault *x); /* of a path of plain form */

#endif
