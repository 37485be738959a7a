/* SPDX-License-Identifier: MIT */
/*
 * Correlation: the gateway hears from many clients, and one failing router is one fault. Records with one cause belong
 * together when one router reports them, or, where nobody does, when the far ends lie in one network.
 */
#include "tunneld/fault/fault.h"

#include <stdlib.h>
#include <string.h>

static struct cidr network_of(const struct addr *a)
{
	struct cidr c = { .net = *a, .bits = a->family == 4 ? FAULT_PREFIX4 : FAULT_PREFIX6 };
	unsigned bytes = c.bits / 8u;

	c.net.port = 0;
	c.net.scope = 0;
	memset(c.net.ip + bytes, 0, sizeof c.net.ip - bytes);
	return c;
}

static bool same_network(const struct addr *a, const struct addr *b)
{
	struct cidr x = network_of(a), y = network_of(b);

	return a->family && a->family == b->family && addr_same_ip(&x.net, &y.net);
}

bool fault_same_group(const struct fault *a, const struct fault *b)
{
	if (a->cause != b->cause || a->middlebox.family != b->middlebox.family)
		return false;
	if (a->middlebox.family)
		return addr_same_ip(&a->middlebox, &b->middlebox);
	if (!a->remote.family && !b->remote.family)
		return true;
	return same_network(&a->remote, &b->remote);
}

bool fault_same_peer(const struct fault *a, const struct fault *b)
{
	return *a->peer_name || *b->peer_name ? !strcmp(a->peer_name, b->peer_name) : a->peer == b->peer;
}

/* Where not all say the same, none is said. */
static void narrow(struct fault_group *g, const struct fault *x, bool first)
{
	if (first) {
		if (x->remote.family)
			g->prefix = network_of(&x->remote);
		strcpy(g->path_name, x->path_name);
		g->local = x->local;
		return;
	}
	if (!g->prefix.net.family || !x->remote.family || !cidr_has(&g->prefix, &x->remote))
		g->prefix.net.family = 0;
	if (strcmp(g->path_name, x->path_name) != 0)
		g->path_name[0] = '\0';
	if (!g->local.family || !addr_same_ip(&g->local, &x->local))
		g->local.family = 0;
}

static int by_size(const void *va, const void *vb)
{
	const struct fault_group *a = va, *b = vb;

	if (a->peers_now != b->peers_now)
		return a->peers_now < b->peers_now ? 1 : -1;
	if (a->last_us != b->last_us)
		return a->last_us < b->last_us ? 1 : -1;
	return a->newest->first_us < b->newest->first_us ? 1 : -1;
}

/* Members of one group in a row, each peer's in a row within it: so that different peers are counted by one look back. */
static int by_group(const void *va, const void *vb)
{
	const struct fault *a = *(const struct fault *const *)va, *b = *(const struct fault *const *)vb;
	struct cidr x, y;
	int c;

	if (a->cause != b->cause)
		return a->cause < b->cause ? -1 : 1;
	if (a->middlebox.family != b->middlebox.family)
		return a->middlebox.family < b->middlebox.family ? -1 : 1;
	c = memcmp(a->middlebox.ip, b->middlebox.ip, sizeof a->middlebox.ip);
	if (a->middlebox.family && c)
		return c;
	if (!a->middlebox.family) {
		if (a->remote.family != b->remote.family)
			return a->remote.family < b->remote.family ? -1 : 1;
		x = network_of(&a->remote);
		y = network_of(&b->remote);
		c = memcmp(x.net.ip, y.net.ip, sizeof x.net.ip);
		if (c)
			return c;
	}
	if (!fault_same_peer(a, b)) {
		c = strcmp(a->peer_name, b->peer_name);
		return c ? c : a->peer < b->peer ? -1 : 1;
	}
	/* Those that last first. */
	if (!a->over_us != !b->over_us)
		return a->over_us ? 1 : -1;
	return a < b ? -1 : 1;
}

static void member(struct fault_group *g, const struct fault *x, bool new_peer)
{
	bool first = !g->records;

	narrow(g, x, first);
	g->records++;
	g->times += x->times;
	g->sources |= 1u << x->source;
	g->peers += new_peer;
	if (first || x->first_us >= g->newest->first_us)
		g->newest = x;
	if (x->last_us > g->last_us)
		g->last_us = x->last_us;
	if (x->over_us) {
		if (!g->peers_now && (first || x->first_us < g->first_us))
			g->first_us = x->first_us;
		if ((first || g->over_us) && x->over_us > g->over_us)
			g->over_us = x->over_us;
		return;
	}
	/* Sorted so that a peer's lasting ones come first: the first of them tells. */
	if (new_peer) {
		g->peers_now++;
		g->clients_now += x->client;
	}
	if (first || g->over_us || x->first_us < g->first_us)
		g->first_us = x->first_us;
	g->over_us = 0;
	g->lasting |= x->lasting;
}

uint32_t fault_groups(const struct fault *list, uint32_t count, struct fault_group *out, uint32_t max)
{
	const struct fault **row = calloc(count ? count : 1, sizeof *row);
	uint32_t groups = 0;

	if (!row)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		row[i] = &list[i];
	qsort(row, count, sizeof *row, by_group);
	for (uint32_t i = 0; i < count; i++) {
		const struct fault *x = row[i];
		bool new_group = !i || !fault_same_group(row[i - 1], x);

		if (new_group && groups == max)
			break;
		if (new_group) {
			out[groups++] = (struct fault_group){
				.by = x->middlebox.family ? BY_ROUTER : x->remote.family ? BY_PREFIX : BY_NOTHING,
				.cause = x->cause, .router = x->middlebox,
			};
		}
		member(&out[groups - 1], x, new_group || !fault_same_peer(row[i - 1], x));
	}
	free(row);
	qsort(out, groups, sizeof *out, by_size);
	return groups;
}
