/* SPDX-License-Identifier: MIT */
/* The mode of a subflow: what it may be used for (seeds: backup draft, section 3). */
#ifndef PLAIT_MPTCP_BACKUP_H
#define PLAIT_MPTCP_BACKUP_H

#include <stdbool.h>

enum backup_mode { MODE_PRIMARY, MODE_BACKUP, MODE_UNDERPERFORMING };

const char *backup_mode_name(enum backup_mode m); /* "primary", "backup", "underperforming" */
/*
 * local: our path is a backup. remote: the peer asked so (B of MP_JOIN or MP_PRIO binds our sending, RFC 8684 3.3.8).
 * stale: it has not answered when it should have.
 */
enum backup_mode backup_mode_of(bool local, bool remote, bool stale);

#endif
