/* SPDX-License-Identifier: MIT */
#include "tunneld/tcp/cc.h"

#include <string.h>

const struct cc_ops *cc_by_name(const char *name)
{
	static const struct cc_ops *const all[] = { &cc_bbr, &cc_cubic, &cc_lia, &cc_olia, &cc_reno };

	if (!name || !strcmp(name, "default"))
		return all[0];
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (!strcmp(all[i]->name, name))
			return all[i];
	return NULL;
}

const char *cc_names(void) { return "bbr, cubic, lia, olia, reno"; }

void cc_join(struct cc *cc, struct cc_group *g)
{
	cc->group = NULL;
	if (!g || g->count == CC_GROUP_MAX)
		return;
	g->member[g->count++] = cc;
	cc->group = g;
}

void cc_leave(struct cc *cc)
{
	struct cc_group *g = cc->group;

	cc->group = NULL;
	for (unsigned i = 0; g && i < g->count; i++)
		if (g->member[i] == cc) {
			g->member[i] = g->member[--g->count];
			return;
		}
}
