/* SPDX-License-Identifier: MIT */
/*
 * What a gateway dials for its clients (DESIGN D15): not itself, not its own network's insides.
 * Order: egress.deny, then egress.allow, then the built-in refusals, then yes.
 */
#ifndef PLAIT_EGRESS_H
#define PLAIT_EGRESS_H

#include "common/addr.h"
#include "common/counters.h"

struct egress {
	const struct cidr *allow, *deny;      /* borrowed */
	size_t allow_count, deny_count;
	const struct addr *own;               /* addresses of this machine; borrowed */
	size_t own_count;
	struct counters *counters;
};

/* A short reason, after counting it; NULL: may be dialled. */
const char *egress_refuses(const struct egress *e, const struct addr *destination);

#endif
