/* SPDX-License-Identifier: MIT */
/*
 * Faults of the plain encapsulation. Its peers are hosts, not tunnelds that we know by name: their address is their name. Its
 * paths are not probed, so a record ends by not being repeated, or with the path.
 */
#include "tunneld/daemon/fault.h"

#include <string.h>

#include "tunneld/daemon/plain.h"
#include "tunneld/io/log.h"

/* Its paths' numbers in records stand behind the sealed ones. */
static uint32_t number_of(path_id path) { return path < PLAIN_PATHS_MAX ? PATHS_MAX + path : FAULT_NO_PATH; }

bool fault_is_plain(const struct fault *x) { return x->path != FAULT_NO_PATH && x->path >= PATHS_MAX; }

/* A number for a host that has none, beyond those of the table: equal for one address, and seldom for two. */
static uint32_t host_number(const struct addr *host)
{
	uint32_t h = 2166136261;

	for (unsigned i = 0; i < sizeof host->ip; i++)
		h = (h ^ host->ip[i]) * 16777619;
	h |= UINT32_C(1) << 31;
	return h == FAULT_NO_PEER ? h - 1 : h;
}

struct fault fault_of_plain(struct daemon *d, enum fault_source source, path_id path, const struct addr *remote)
{
	struct fault x = { .source = source, .peer = FAULT_NO_PEER, .path = number_of(path), .done = "noted" };

	if (path < PLAIN_PATHS_MAX && d->plain->paths[path].used) {
		const struct plain_path *p = &d->plain->paths[path];

		snprintf(x.path_name, sizeof x.path_name, "%s", p->name);
		snprintf(x.interface, sizeof x.interface, "%s", p->interface);
		x.local = p->local;
		x.local_addr_id = (uint8_t)(path + 1);
	}
	if (remote && remote->family) {
		struct addr host = *remote;
		char text[ADDR_TEXT_MAX];

		host.port = 0;
		snprintf(x.peer_name, sizeof x.peer_name, "%s", addr_print(&host, text));
		x.peer = host_number(&host);
		x.remote = *remote;
	}
	return x;
}

void fault_plain_error(struct daemon *d, path_id path, const struct udp_error *error)
{
	bool sent = error->origin == UDP_ERROR_SEND;
	uint8_t family = error->origin == UDP_ERROR_ICMP6 ? 6 : 4;
	struct fault_meaning m = sent ? fault_of_errno(error->error) : fault_of_icmp(family, error->type, error->code);
	struct fault x;

	if (!m.fault || fault_too_many(d))
		return;
	x = fault_of_plain(d, sent ? FAULT_SEND : FAULT_ICMP, path, &error->to);
	x.cause = m.cause;
	x.lasting = m.lasting;
	x.done = "what was being opened tries another way; what is open goes on by its timers";
	if (sent) {
		snprintf(x.evidence, sizeof x.evidence, "a datagram was refused: %s (%s)", strerror(error->error), m.text);
	} else {
		if (!addr_same_ip(&error->reporter, &error->to))
			x.middlebox = error->reporter;
		x.middlebox.port = 0;
		snprintf(x.evidence, sizeof x.evidence, "ICMP%s type %u code %u, %s, quotes a segment of ours that is in flight%s",
			 family == 6 ? "v6" : "", error->type, error->code, m.text,
			 x.middlebox.family ? "" : ", from the peer's own address");
	}
	fault_report(d, &x);
}

void fault_plain_path(struct daemon *d, path_id path, bool gone)
{
	const struct plain_path *p = &d->plain->paths[path];
	struct fault x;
	const char *lacks;

	if (!gone) {
		faults_link_well(d->faults, p->name, FAULT_NO_PEER, d->now_us);
		return;
	}
	x = fault_of_plain(d, FAULT_LINK, path, NULL);
	lacks = p->initiator && !d->ending ? fault_link_lacks(d, p->interface, &p->local, &x.source) : NULL;
	/* Else it is not wanted any more. */
	if (lacks) {
		x.cause = CAUSE_NET_UNREACHABLE;
		x.lasting = true;
		snprintf(x.evidence, sizeof x.evidence, "%s", lacks);
		x.done = "the path is closed; its data goes by others, or waits for one";
		fault_report(d, &x);
	}
	faults_path_gone(d->faults, number_of(path), d->now_us);
}
