/* SPDX-License-Identifier: MIT */
#include "tunneld/tcp/cc.h"

#include <string.h>

const struct cc_ops *cc_by_name(const char *name)
{
	static const struct cc_ops *const all[] = { &cc_cubic, &cc_bbr, &cc_reno };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (!strcmp(all[i]->name, name))
			return all[i];
	return NULL;
}

const char *cc_names(void) { return "cubic, bbr, reno"; }
