/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/backup.h"

const char *backup_mode_name(enum backup_mode m)
{
	static const char *const names[] = { "primary", "backup", "underperforming" };

	return (unsigned)m < sizeof names / sizeof *names ? names[m] : "?";
}

enum backup_mode backup_mode_of(bool local, bool remote, bool stale)
{
	if (stale)
		return MODE_UNDERPERFORMING;
	return local || remote ? MODE_BACKUP : MODE_PRIMARY;
}
