/* SPDX-License-Identifier: MIT */
#include "tunneld/io/udp.h"

#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/filter.h>

#include <linux/errqueue.h> /* wants struct timespec, and does not bring it */

#include "common/sockaddr.h"
#include "tunneld/io/clock.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	RECEIVES_A_TURN = 16,          /* recvmsg() calls before others get their turn: at most 1 MiB */
	BUSY_US = 50,                  /* readable again so soon: there may be more than one call gives. Else it is not tried. */
	ERRORS_A_TURN = 64,            /* more is a flood, and will be told of again */
	SOCKET_BUFFER = 8 << 20,       /* asked for; net.core.[rw]mem_max usually grants less */
};

int udp_pool_open(struct udp_pool *p, struct counters *counters)
{
	*p = (struct udp_pool){ .counters = counters, .input = malloc(UDP_BUFFER) };
	return p->input ? 0 : ENOMEM;
}

void udp_pool_close(struct udp_pool *p)
{
	struct udp_buffer *b;

	while ((b = p->free)) {
		p->free = b->next;
		free(b);
	}
	free(p->input);
	p->input = NULL;
}

static struct udp_buffer *buffer_take(struct udp_pool *p)
{
	struct udp_buffer *b = p->free;

	if (b)
		p->free = b->next;
	else if (p->made < UDP_POOL && (b = malloc(sizeof *b)))
		p->made++;
	if (!b)
		return NULL;
	b->next = NULL;
	b->len = b->segment_len = b->sent = 0;
	b->count = 0;
	return b;
}

static void buffer_give(struct udp_pool *p, struct udp_buffer *b)
{
	b->next = p->free;
	p->free = b;
}

/* --- out --- */

union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static void control_add(struct msghdr *msg, int level, int type, const void *value, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)msg->msg_control + msg->msg_controllen);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), value, len);
	msg->msg_controllen += CMSG_SPACE(len);
}

static int send_some(struct udp *u, const struct udp_buffer *b, const uint8_t *bytes, size_t len, uint16_t segment_len)
{
	struct sockaddr_storage to;
	union control control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr msg = {
		.msg_name = &to, .msg_namelen = sockaddr_of(&to, &b->to),
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
	};

	if (segment_len)
		control_add(&msg, SOL_UDP, UDP_SEGMENT, &segment_len, sizeof segment_len);
	if (b->from.family == 4) {
		struct in_pktinfo info = { 0 };

		memcpy(&info.ipi_spec_dst, b->from.ip, 4);
		control_add(&msg, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
	} else if (b->from.family == 6) {
		struct in6_pktinfo info = { .ipi6_ifindex = b->from.scope };

		memcpy(&info.ipi6_addr, b->from.ip, 16);
		control_add(&msg, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
	}
	if (!msg.msg_controllen)
		msg.msg_control = NULL;
	u->calls_out++;
	for (int tries = 0;;) {
		if (sendmsg(u->fd, &msg, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		/* With IP_RECVERR an ICMP error for an earlier datagram is told once, in place of sending this one. */
		if (errno == EAGAIN || errno == ENOBUFS || errno == EIO || tries++)
			return errno;
	}
}

static void send_failed(struct udp *u, const struct udp_buffer *b, int error)
{
	struct udp_error e = { .origin = UDP_ERROR_SEND, .error = error, .to = b->to };

	count(u->pool->counters, CNT_UdpSendFailed);
	if (u->events->error)
		u->events->error(u->owner, u, &e);
}

/* True: done with it, sent or lost. False: the socket takes no more now. */
static bool buffer_send(struct udp *u, struct udp_buffer *b)
{
	int error;

	if (b->count > 1 && u->gso && !b->sent) {
		error = send_some(u, b, b->bytes, b->len, (uint16_t)b->segment_len);
		if (!error) {
			u->bytes_out += b->len;
			u->datagrams_out += b->count;
			return true;
		}
		if (error == EAGAIN)
			return false;
		if (error == ENOBUFS) {
			/* With IP_RECVERR the device's own queue says that it dropped something: loss, which no waiting mends. */
			count(u->pool->counters, CNT_UdpDeviceDropped);
			return true;
		}
		/* EIO: the device cannot (no checksum offload); the others: too large for one, seen below. */
		if (error == EIO)
			u->gso = false;
	}
	while (b->sent < b->len) {
		size_t left = b->len - b->sent;
		size_t n = left < b->segment_len ? left : b->segment_len;

		error = send_some(u, b, b->bytes + b->sent, n, 0);
		if (error == EAGAIN)
			return false;
		b->sent += n;
		if (error == ENOBUFS) {
			count(u->pool->counters, CNT_UdpDeviceDropped);
		} else if (!error) {
			u->bytes_out += n;
			u->datagrams_out++;
		} else if (error == EMSGSIZE) {
			count(u->pool->counters, CNT_UdpTooBig);
			u->events->too_big(u->owner, u, &b->to, n);
		} else {
			/* No route, link down, a filter: for the tunnel that is loss, and liveness sees it. */
			send_failed(u, b, error);
		}
	}
	return true;
}

static void want(struct udp *u)
{
	loop_fd_want(&u->watch, LOOP_READ | (u->queue ? LOOP_WRITE : 0));
}

static void queue_run(struct udp *u)
{
	struct udp_buffer *b;

	while ((b = u->queue) && buffer_send(u, b)) {
		u->queue = b->next;
		if (!u->queue)
			u->queue_end = &u->queue;
		u->queued--;
		buffer_give(u->pool, b);
	}
	want(u);
}

static void buffer_out(struct udp *u, struct udp_buffer *b)
{
	if (!u->queue && buffer_send(u, b)) {
		buffer_give(u->pool, b);
		return;
	}
	if (u->queued >= UDP_QUEUE_MAX) {
		count_n(u->pool->counters, CNT_UdpQueueDropped, b->count);
		buffer_give(u->pool, b);
		return;
	}
	count_n(u->pool->counters, CNT_UdpQueued, b->count);
	*u->queue_end = b;
	u->queue_end = &b->next;
	u->queued++;
	want(u);
}

uint8_t *udp_batch_room(struct udp_batch *batch, struct udp *u, const struct addr *to, const struct addr *from, size_t len)
{
	static const struct addr any;
	struct udp_buffer *b = batch->buffer;

	assert(len <= UDP_BATCH_BYTES);
	if (!from)
		from = &any;
	if (b && (b->count >= UDP_BATCH_DATAGRAMS || b->len + len > UDP_BATCH_BYTES ||
		  !addr_eq(&b->to, to) || !addr_eq(&b->from, from))) {
		udp_batch_flush(batch, u);
		b = NULL;
	}
	if (!b) {
		b = batch->buffer = buffer_take(u->pool);
		if (!b) {
			count(u->pool->counters, CNT_UdpNoBuffer);
			return NULL;
		}
		b->to = *to;
		b->from = *from;
	}
	return b->bytes + b->len;
}

void udp_batch_add(struct udp_batch *batch, struct udp *u, size_t len)
{
	struct udp_buffer *b = batch->buffer;

	if (!len) {
		if (!b->count)
			udp_batch_flush(batch, u);
		return;
	}
	if (b->count && len > b->segment_len) {
		/* A longer one cannot follow: the shorter ones leave, and it opens the next batch. */
		struct udp_buffer *next = buffer_take(u->pool);

		if (!next) {
			count(u->pool->counters, CNT_UdpNoBuffer);
			return;
		}
		next->to = b->to;
		next->from = b->from;
		memcpy(next->bytes, b->bytes + b->len, len);
		udp_batch_flush(batch, u);
		b = batch->buffer = next;
	}
	if (!b->count)
		b->segment_len = len;
	b->len += len;
	b->count++;
	if (len < b->segment_len)
		udp_batch_flush(batch, u); /* only the last of a batch may be shorter */
}

void udp_batch_flush(struct udp_batch *batch, struct udp *u)
{
	struct udp_buffer *b = batch->buffer;

	batch->buffer = NULL;
	if (!b)
		return;
	if (b->count)
		buffer_out(u, b);
	else
		buffer_give(u->pool, b);
}

/* --- in --- */

static void control_read(struct msghdr *msg, struct udp_datagram *d, size_t *segment_len)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			int size;

			memcpy(&size, CMSG_DATA(c), sizeof size);
			if (size > 0)
				*segment_len = (size_t)size;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof info);
			d->to.family = 4;
			memcpy(d->to.ip, &info.ipi_addr, 4);
			d->ifindex = (uint32_t)info.ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof info);
			d->to.family = 6;
			memcpy(d->to.ip, &info.ipi6_addr, 16);
			d->ifindex = info.ipi6_ifindex;
			if (addr_is_link_local(&d->to))
				d->to.scope = d->ifindex;
		}
	}
}

/* --- errors --- */

static void error_read(struct udp *u, struct msghdr *msg, const uint8_t *quoted, size_t quoted_len)
{
	struct udp_error e = { .quoted = quoted, .quoted_len = quoted_len };

	if (sockaddr_to_addr(&e.to, msg->msg_name, msg->msg_namelen))
		e.to.family = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct sock_extended_err ee;
		const struct sockaddr *from;

		if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
		    !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
			continue;
		memcpy(&ee, CMSG_DATA(c), sizeof ee);
		/* What the system itself refused it has told by errno. */
		if (ee.ee_origin != SO_EE_ORIGIN_ICMP && ee.ee_origin != SO_EE_ORIGIN_ICMP6)
			continue;
		from = SO_EE_OFFENDER((struct sock_extended_err *)CMSG_DATA(c));
		e.origin = ee.ee_origin == SO_EE_ORIGIN_ICMP ? UDP_ERROR_ICMP : UDP_ERROR_ICMP6;
		e.error = (int)ee.ee_errno;
		e.type = ee.ee_type;
		e.code = ee.ee_code;
		e.mtu = ee.ee_errno == EMSGSIZE ? ee.ee_info : 0;
		if (sockaddr_to_addr(&e.reporter, (const struct sockaddr_storage *)from,
				     from->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)))
			e.reporter.family = 0;
		count(u->pool->counters, CNT_IcmpReceived);
		if (u->events->error)
			u->events->error(u->owner, u, &e);
		return;
	}
}

static void errors_read(struct udp *u)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct sock_extended_err) + sizeof(struct sockaddr_in6)) +
			      CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control;
	uint8_t quoted[128];

	for (int i = 0; i < ERRORS_A_TURN && u->fd >= 0; i++) {
		struct sockaddr_storage to;
		struct iovec iov = { .iov_base = quoted, .iov_len = sizeof quoted };
		struct msghdr msg = {
			.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = &control, .msg_controllen = sizeof control,
		};
		ssize_t got = recvmsg(u->fd, &msg, MSG_ERRQUEUE);

		if (got < 0)
			return;
		error_read(u, &msg, quoted, (size_t)got);
	}
}

/* False: nothing more to read. */
static bool receive(struct udp *u, bool first)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control;
	struct sockaddr_storage from;
	struct iovec iov = { .iov_base = u->pool->input, .iov_len = UDP_BUFFER };
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof control,
	};
	struct udp_datagram d = { 0 };
	size_t segment_len, at = 0;
	ssize_t got = recvmsg(u->fd, &msg, 0);

	if (got < 0) {
		bool again = errno != EAGAIN;

		/* The socket is also "readable" when nothing but an error waits. */
		if (first || (again && errno != EINTR))
			errors_read(u);
		return again && u->fd >= 0;
	}
	u->calls_in++;
	if (msg.msg_flags & MSG_TRUNC || sockaddr_to_addr(&d.from, &from, msg.msg_namelen)) {
		count(u->pool->counters, CNT_UdpOdd);
		return true;
	}
	segment_len = (size_t)got;
	control_read(&msg, &d, &segment_len);
	u->bytes_in += (size_t)got;
	/* An owner may close this socket from its callback. */
	while (at < (size_t)got && u->fd >= 0) {
		d.bytes = u->pool->input + at;
		d.len = (size_t)got - at < segment_len ? (size_t)got - at : segment_len;
		d.first = !at;
		at += d.len;
		u->datagrams_in++;
		u->events->datagram(u->owner, u, &d);
	}
	return u->fd >= 0;
}

static void on_ready(void *owner, int events)
{
	struct udp *u = owner;
	usec_t now_us;
	int turns;

	if (events & LOOP_WRITE)
		queue_run(u);
	if (!(events & LOOP_READ))
		return;
	now_us = clock_now();
	turns = usec_since(now_us, u->ready_us) < BUSY_US ? RECEIVES_A_TURN : 1;
	u->ready_us = now_us;
	for (int turn = 0; turn < turns && receive(u, !turn); turn++)
		;
	if (u->fd >= 0 && u->events->drained)
		u->events->drained(u->owner, u);
}

static int grow(int fd, int option, int force)
{
	int want_bytes = SOCKET_BUFFER, got = 0;
	socklen_t len = sizeof got;

	if (setsockopt(fd, SOL_SOCKET, force, &want_bytes, sizeof want_bytes)) /* CAP_NET_ADMIN only */
		setsockopt(fd, SOL_SOCKET, option, &want_bytes, sizeof want_bytes);
	getsockopt(fd, SOL_SOCKET, option, &got, &len);
	return got;
}

static int open_at(struct udp *u, struct loop *l, struct udp_pool *p, const struct addr *local, const char *interface,
		   bool beside, const struct udp_events *events, void *owner)
{
	static const int on = 1, probe4 = IP_PMTUDISC_PROBE, probe6 = IPV6_PMTUDISC_PROBE;
	struct sockaddr_storage sa;
	socklen_t sa_len = sockaddr_of(&sa, local);
	int error;

	*u = (struct udp){ .pool = p, .events = events, .owner = owner, .gso = true };
	u->queue_end = &u->queue;
	u->fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
	if (u->fd < 0)
		return errno;
	if (local->family == 6) {
		setsockopt(u->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
		setsockopt(u->fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);
		setsockopt(u->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
		setsockopt(u->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe6, sizeof probe6);
	} else {
		setsockopt(u->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
		setsockopt(u->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
		setsockopt(u->fd, IPPROTO_IP, IP_MTU_DISCOVER, &probe4, sizeof probe4);
	}
	setsockopt(u->fd, SOL_UDP, UDP_GRO, &on, sizeof on); /* without it, one datagram a call */
	u->rcvbuf = grow(u->fd, SO_RCVBUF, SO_RCVBUFFORCE);
	u->sndbuf = grow(u->fd, SO_SNDBUF, SO_SNDBUFFORCE);
	if ((interface && setsockopt(u->fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface))) ||
	    (beside && setsockopt(u->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on)) ||
	    bind(u->fd, (struct sockaddr *)&sa, sa_len))
		goto failed;
	sa_len = sizeof sa;
	if (getsockname(u->fd, (struct sockaddr *)&sa, &sa_len) || sockaddr_to_addr(&u->local, &sa, sa_len))
		goto failed;
	loop_fd_init(&u->watch, l, u->fd, on_ready, u);
	want(u);
	return 0;
failed:
	error = errno;
	close(u->fd);
	u->fd = -1;
	return error;
}

int udp_open(struct udp *u, struct loop *l, struct udp_pool *p, const struct addr *local, const char *interface,
	     const struct udp_events *events, void *owner)
{
	return open_at(u, l, p, local, interface, false, events, owner);
}

int udp_open_beside(struct udp *u, struct loop *l, struct udp_pool *p, const struct udp *first, const struct udp_events *events,
		    void *owner)
{
	static const int on = 1;

	/* Of the first only now: had it been so when it was bound, it could have stolen an address from another process. */
	if (setsockopt(first->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on))
		return errno;
	return open_at(u, l, p, &first->local, NULL, true, events, owner);
}

/*
 * Classic BPF, which any user may bring. It sees the datagram from its first byte on; a load beyond the end ends it with 0.
 *	A = type; for each type: if (A == type) return (byte[at] >> shift) % sockets; return 0
 */
int udp_steer(struct udp *first, const struct udp_steer *steer)
{
	enum { TYPES_MAX = 16 };
	struct sock_filter code[5 * TYPES_MAX + 2];
	struct sock_fprog program = { .filter = code };
	uint16_t n = 0;

	assert(steer->type_max <= TYPES_MAX && steer->sockets);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0);
	for (uint8_t type = 1; type <= steer->type_max; type++) {
		if (!steer->byte[type])
			continue;
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, type, 0, 4);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, steer->byte[type]);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, steer->shift);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, steer->sockets);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	program.len = n;
	return setsockopt(first->fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) ? errno : 0;
}

void udp_close(struct udp *u)
{
	struct udp_buffer *b;

	if (u->fd < 0)
		return;
	loop_fd_want(&u->watch, 0);
	close(u->fd);
	u->fd = -1;
	while ((b = u->queue)) {
		u->queue = b->next;
		buffer_give(u->pool, b);
	}
	u->queue_end = &u->queue;
	u->queued = 0;
}
