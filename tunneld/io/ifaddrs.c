/* SPDX-License-Identifier: MIT */
#include "tunneld/io/ifaddrs.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel's and libmnl's own iteration macros mix signs. */
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"

#define UP_AND_RUNNING (IFF_UP | IFF_LOWER_UP)

static struct ifaddrs_interface *find(struct ifaddrs *a, uint32_t index)
{
	for (unsigned i = 0; i < a->interface_count; i++)
		if (a->interfaces[i].index == index)
			return &a->interfaces[i];
	return NULL;
}

static int on_link(const struct nlmsghdr *h, void *data)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(h);
	struct ifaddrs *a = data;
	struct ifaddrs_interface *i;
	const struct nlattr *attr;

	if (a->interface_count == IFADDRS_INTERFACES_MAX)
		return MNL_CB_OK;
	i = &a->interfaces[a->interface_count++];
	*i = (struct ifaddrs_interface){ .index = (uint32_t)info->ifi_index };
	i->loopback = info->ifi_flags & IFF_LOOPBACK;
	i->up = (info->ifi_flags & UP_AND_RUNNING) == UP_AND_RUNNING;
	mnl_attr_for_each(attr, h, sizeof *info) {
		if (mnl_attr_get_type(attr) == IFLA_MTU && !mnl_attr_validate(attr, MNL_TYPE_U32))
			i->mtu = mnl_attr_get_u32(attr);
		else if (mnl_attr_get_type(attr) == IFLA_IFNAME && !mnl_attr_validate(attr, MNL_TYPE_NUL_STRING))
			strncpy(i->name, mnl_attr_get_str(attr), sizeof i->name - 1);
	}
	return MNL_CB_OK;
}

static bool addr_of_attr(struct addr *out, uint8_t family, const struct nlattr *attr)
{
	size_t len = family == AF_INET ? 4 : 16;

	if ((family != AF_INET && family != AF_INET6) || mnl_attr_get_payload_len(attr) != len)
		return false;
	*out = (struct addr){ .family = family == AF_INET ? 4 : 6 };
	memcpy(out->ip, mnl_attr_get_payload(attr), len);
	return true;
}

static int on_address(const struct nlmsghdr *h, void *data)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(h);
	struct ifaddrs_interface *i = find(data, info->ifa_index);
	struct addr address = { 0 }, local = { 0 };
	uint32_t flags = info->ifa_flags;
	const struct nlattr *attr;

	if (!i || i->address_count == IFADDRS_PER_INTERFACE)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, h, sizeof *info) {
		switch (mnl_attr_get_type(attr)) {
		case IFA_ADDRESS: (void)addr_of_attr(&address, info->ifa_family, attr); break;
		case IFA_LOCAL:   (void)addr_of_attr(&local, info->ifa_family, attr); break;
		case IFA_FLAGS:
			if (!mnl_attr_validate(attr, MNL_TYPE_U32))
				flags = mnl_attr_get_u32(attr);
			break;
		}
	}
	if (local.family) /* on a point-to-point link IFA_ADDRESS is the other end's */
		address = local;
	if (!address.family || flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED))
		return MNL_CB_OK;
	if (addr_is_link_local(&address))
		address.scope = i->index;
	i->addresses[i->address_count++] = address;
	return MNL_CB_OK;
}

static int on_route(const struct nlmsghdr *h, void *data)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(h);
	struct ifaddrs *a = data;
	struct ifaddrs_route r = { .to.bits = info->rtm_dst_len };
	const struct nlattr *attr;

	if (info->rtm_type != RTN_UNICAST || info->rtm_flags & RTM_F_CLONED ||
	    (info->rtm_family != AF_INET && info->rtm_family != AF_INET6))
		return MNL_CB_OK;
	r.to.net.family = info->rtm_family == AF_INET ? 4 : 6;
	mnl_attr_for_each(attr, h, sizeof *info) {
		switch (mnl_attr_get_type(attr)) {
		case RTA_DST: (void)addr_of_attr(&r.to.net, info->rtm_family, attr); break;
		case RTA_OIF:
			if (!mnl_attr_validate(attr, MNL_TYPE_U32))
				r.ifindex = mnl_attr_get_u32(attr);
			break;
		case RTA_MULTIPATH: {
			const struct rtnexthop *hop = mnl_attr_get_payload(attr);
			int left = mnl_attr_get_payload_len(attr);

			/* Each next hop is a way out by its own interface. */
			for (; RTNH_OK(hop, left); left -= NLMSG_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop)) {
				r.ifindex = (uint32_t)hop->rtnh_ifindex;
				if (a->route_count < IFADDRS_ROUTES_MAX)
					a->routes[a->route_count++] = r;
			}
			return MNL_CB_OK;
		}
		}
	}
	if (r.ifindex && a->route_count < IFADDRS_ROUTES_MAX)
		a->routes[a->route_count++] = r;
	return MNL_CB_OK;
}

static int dump(struct mnl_socket *s, uint16_t type, size_t header_len, uint32_t seq, mnl_cb_t each, void *data)
{
	uint8_t buf[16384] __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	ssize_t got;
	int more;

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = seq;
	mnl_nlmsg_put_extra_header(h, header_len); /* zeroed: every family */
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return errno;
	do {
		got = mnl_socket_recvfrom(s, buf, sizeof buf);
		if (got < 0)
			return errno;
		more = mnl_cb_run(buf, (size_t)got, seq, mnl_socket_get_portid(s), each, data);
		if (more < 0 && errno != EINTR) /* EINTR: changed meanwhile, and the watch will tell of it */
			return errno;
	} while (more > 0);
	return 0;
}

int ifaddrs_read(struct ifaddrs *out)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int error;

	out->interface_count = out->route_count = 0;
	if (!s)
		return errno;
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
		error = errno;
	else if (!(error = dump(s, RTM_GETLINK, sizeof(struct ifinfomsg), 1, on_link, out)) &&
		 !(error = dump(s, RTM_GETADDR, sizeof(struct ifaddrmsg), 2, on_address, out)))
		error = dump(s, RTM_GETROUTE, sizeof(struct rtmsg), 3, on_route, out);
	mnl_socket_close(s);
	return error;
}

const struct ifaddrs_interface *ifaddrs_by_name(const struct ifaddrs *a, const char *name)
{
	for (unsigned i = 0; i < a->interface_count; i++)
		if (!strcmp(a->interfaces[i].name, name))
			return &a->interfaces[i];
	return NULL;
}

const struct ifaddrs_interface *ifaddrs_by_index(const struct ifaddrs *a, uint32_t index)
{
	for (unsigned i = 0; i < a->interface_count; i++)
		if (a->interfaces[i].index == index)
			return &a->interfaces[i];
	return NULL;
}

const struct ifaddrs_interface *ifaddrs_by_address(const struct ifaddrs *a, const struct addr *address)
{
	for (unsigned i = 0; i < a->interface_count; i++)
		for (unsigned k = 0; k < a->interfaces[i].address_count; k++)
			if (addr_same_ip(&a->interfaces[i].addresses[k], address))
				return &a->interfaces[i];
	return NULL;
}

bool ifaddrs_routed(const struct ifaddrs *a, uint32_t ifindex, const struct addr *to)
{
	for (unsigned i = 0; i < a->route_count; i++)
		if (a->routes[i].ifindex == ifindex && cidr_has(&a->routes[i].to, to))
			return true;
	return false;
}

static void on_netlink(void *owner, int events)
{
	struct ifaddrs_watch *w = owner;
	uint8_t buf[8192];
	bool any = false;

	(void)events;
	/* What changed does not matter, the owner reads everything again; ENOBUFS says that as well. */
	while (recv(w->fd, buf, sizeof buf, MSG_DONTWAIT) > 0 || errno == ENOBUFS || errno == EINTR)
		any = true;
	if (any)
		w->changed(w->owner);
}

int ifaddrs_watch_open(struct ifaddrs_watch *w, struct loop *l, void (*changed)(void *owner), void *owner)
{
	struct sockaddr_nl sa = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
	};
	int error;

	*w = (struct ifaddrs_watch){ .changed = changed, .owner = owner };
	w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (w->fd < 0)
		return errno;
	if (bind(w->fd, (struct sockaddr *)&sa, sizeof sa)) {
		error = errno;
		close(w->fd);
		w->fd = -1;
		return error;
	}
	loop_fd_init(&w->watch, l, w->fd, on_netlink, w);
	loop_fd_want(&w->watch, LOOP_READ);
	return 0;
}

void ifaddrs_watch_close(struct ifaddrs_watch *w)
{
	if (w->fd < 0)
		return;
	loop_fd_want(&w->watch, 0);
	close(w->fd);
	w->fd = -1;
}
