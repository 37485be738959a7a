/* SPDX-License-Identifier: MIT */
/*
 * The machine's interfaces, addresses and routes, over netlink: a snapshot, and a call when any of
 * them changed. Nothing here decides what a path is.
 */
#ifndef PLAIT_IO_IFADDRS_H
#define PLAIT_IO_IFADDRS_H

#include <net/if.h>

#include "common/addr.h"
#include "tunneld/io/loop.h"

enum { IFADDRS_PER_INTERFACE = 16, IFADDRS_INTERFACES_MAX = 128, IFADDRS_ROUTES_MAX = 1024 };

struct ifaddrs_interface {
	char name[IF_NAMESIZE];
	uint32_t index, mtu;
	bool up, loopback;        /* up: IFF_UP and carrier */
	unsigned address_count;   /* tentative, deprecated and temporary-failed ones left out */
	struct addr addresses[IFADDRS_PER_INTERFACE];
};

struct ifaddrs_route { uint32_t ifindex; struct cidr to; }; /* unicast only */

struct ifaddrs {
	unsigned interface_count, route_count;
	struct ifaddrs_interface interfaces[IFADDRS_INTERFACES_MAX];
	struct ifaddrs_route routes[IFADDRS_ROUTES_MAX];
};

/* Replaces *out; what does not fit is left out. 0 or errno. */
int ifaddrs_read(struct ifaddrs *out);
const struct ifaddrs_interface *ifaddrs_by_name(const struct ifaddrs *a, const char *name);
const struct ifaddrs_interface *ifaddrs_by_index(const struct ifaddrs *a, uint32_t index);
/* The interface that has this address, whatever the port; NULL: none. */
const struct ifaddrs_interface *ifaddrs_by_address(const struct ifaddrs *a, const struct addr *address);
/* Is there a route to `to` by that interface? */
bool ifaddrs_routed(const struct ifaddrs *a, uint32_t ifindex, const struct addr *to);

/* Embedded in its owner. changed() comes once for any number of changes that are pending. */
struct ifaddrs_watch {
	int fd;
	struct loop_fd watch;
	void (*changed)(void *owner);
	void *owner;
};
int ifaddrs_watch_open(struct ifaddrs_watch *w, struct loop *l, void (*changed)(void *owner), void *owner); /* 0 or errno */
void ifaddrs_watch_close(struct ifaddrs_watch *w);

#endif
