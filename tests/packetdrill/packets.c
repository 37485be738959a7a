/* SPDX-License-Identifier: MIT */
/* Packets and the clock: IP and TCP on packetdrill's side, plain segments and events on the engine's. */
#include "tests/packetdrill/so.h"

struct so so;

int fails(int error)
{
	errno = error;
	return -1;
}

struct sock *sock_of(int fd)
{
	for (int i = 0; i < SOCKETS; i++)
		if (fd > 0 && so.socks[i].fd == fd)
			return &so.socks[i];
	return NULL;
}

static struct sock *sock_of_conn(conn_id id)
{
	for (int i = 0; i < SOCKETS; i++)
		if (so.socks[i].fd && so.socks[i].conn == id && id)
			return &so.socks[i];
	return NULL;
}

struct sock *sock_new(int protocol)
{
	for (int i = 0; i < SOCKETS; i++)
		if (!so.socks[i].fd) {
			so.socks[i] = (struct sock){ .fd = eventfd(0, 0), .protocol = protocol };
			return so.socks[i].fd > 0 ? &so.socks[i] : NULL;
		}
	return NULL;
}

struct addr addr_of(const struct sockaddr *sa)
{
	struct addr a = { 0 };

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		a.family = 4;
		memcpy(a.ip, &in->sin_addr, 4);
		a.port = ntohs(in->sin_port);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)sa;

		a.family = 6;
		memcpy(a.ip, &in->sin6_addr, 16);
		a.port = ntohs(in->sin6_port);
		a = addr_unmap(&a);
	}
	return a;
}

path_id path_of(const struct addr *ip)
{
	struct event ev = { .kind = EV_PATH };
	unsigned i = 0;

	while (i < so.path_count && !addr_same_ip(&so.paths[i], ip))
		i++;
	if (i < so.path_count || i == PATHS)
		return i % PATHS;
	so.paths[so.path_count++] = *ip;
	ev.path.path = i;
	ev.path.state = PATH_UP;
	ev.path.may_initiate = true;
	ev.path.addr_id = (uint8_t)i;
	ev.path.mtu_payload = 1472;
	ev.path.local = *ip;
	ev.path.local.port = 0;
	ev.path.name = "tun";
	(void)!engine_input(so.e, &ev, START_US + so.now);
	return i;
}

/* --- packets: IP and TCP there, our plain segment here --- */

static uint32_t sum_of(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += be_get16(p + i);
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The scale we offer becomes Linux's; what we announce afterwards is in its units. */
static void translate_window(uint8_t *tcp, size_t header, bool syn)
{
	static unsigned ours = WSCALE;
	unsigned win = be_get16(tcp + 14);

	for (size_t i = 20; syn && i < header && tcp[i] != TCP_KIND_EOL; i += tcp[i] == TCP_KIND_NOP ? 1u : tcp[i + 1]) {
		if (i + 1 < header && tcp[i] != TCP_KIND_NOP && tcp[i + 1] < 2)
			return;
		if (tcp[i] == TCP_KIND_WSCALE && i + 2 < header) {
			ours = tcp[i + 2];
			tcp[i + 2] = WSCALE;
			return;
		}
	}
	if (!syn && ours > WSCALE) {
		win <<= ours - WSCALE;
		be_put16(tcp + 14, (uint16_t)(win > 0xffff ? 0xffff : win));
	}
}

static size_t mptcp_at(const uint8_t *options, size_t len)
{
	size_t i = 0;

	while (i < len && options[i] != TCP_KIND_EOL && options[i] != TCP_KIND_MPTCP) {
		if (options[i] != TCP_KIND_NOP && (i + 1 >= len || options[i + 1] < 2))
			return len;
		i += options[i] == TCP_KIND_NOP ? 1 : options[i + 1];
	}
	return i < len && options[i] == TCP_KIND_MPTCP && i + 1 < len ? i : len;
}

/* A socket of IPPROTO_TCP offers no MPTCP; the engine always does. Its option stands last, and has whole words. */
static size_t without_mptcp(uint8_t *tcp, size_t len)
{
	size_t header = (size_t)(tcp[12] >> 4) * 4, at = 20 + mptcp_at(tcp + 20, header - 20);

	if (at == header)
		return len;
	memmove(tcp + at, tcp + header, len - header);
	tcp[12] = (uint8_t)(at / 4 << 4);
	return len - (header - at);
}

/*
 * The engine answers a third ACK with a DSS, so that the other side may join at once; Linux does not, and no script expects it.
 * True: this is that ACK.
 */
static bool fourth_packet(const uint8_t *tcp, size_t len, path_id path)
{
	static struct { bool owed; path_id path; uint16_t remote_port; uint32_t seq, ack; } last;
	size_t header = (size_t)(tcp[12] >> 4) * 4, at = 20 + mptcp_at(tcp + 20, header - 20);
	bool mptcp = at + 2 < header, ours = last.owed && last.path == path && last.remote_port == be_get16(tcp + 2);

	if (tcp[13] == (TCP_SYN | TCP_ACK)) {
		last.owed = mptcp && tcp[at + 2] >> 4 == MP_CAPABLE;
		last.path = path;
		last.remote_port = be_get16(tcp + 2);
		last.seq = be_get32(tcp + 4) + 1;
		last.ack = be_get32(tcp + 8);
		return false;
	}
	if (!ours)
		return false;
	last.owed = false;
	return len == header && tcp[13] == TCP_ACK && be_get32(tcp + 4) == last.seq && be_get32(tcp + 8) == last.ack && mptcp &&
	       tcp[at + 2] >> 4 == DSS;
}

static void packet_out(const struct action *a)
{
	const struct sock *s = sock_of_conn(a->conn);
	const struct addr *local = &so.paths[a->send.path], *remote = a->send.remote;
	size_t ip_len = local->family == 6 ? 40 : 20, options, len = a->send.len + 8;
	const uint8_t *seg = a->send.bytes;
	struct out_packet *p;
	uint8_t *ip, *tcp;
	uint32_t sum;

	if (so.out_count == PACKETS || ip_len + len > PACKET_MAX || !(p = calloc(1, sizeof *p)))
		return;
	p->at = (long long)(START_US + so.now);
	ip = p->bytes;
	tcp = ip + ip_len;
	be_put16(tcp, a->send.local_port);
	be_put16(tcp + 2, remote->port);
	memcpy(tcp + 4, seg + 4, 8);      /* sequence, acknowledgement */
	memcpy(tcp + 12, seg, 4);         /* data offset, flags, window */
	memcpy(tcp + 20, seg + 12, a->send.len - 12);
	options = (size_t)(tcp[12] >> 4) * 4;
	translate_window(tcp, options, tcp[13] & TCP_SYN);
	if (fourth_packet(tcp, len, a->send.path)) {
		free(p);
		return;
	}
	if (s && s->protocol != MPTCP && tcp[13] & TCP_SYN)
		len = without_mptcp(tcp, len);
	so.out[so.out_count++] = p;
	p->len = ip_len + len;
	if (ip_len == 20) {
		ip[0] = 0x45;
		be_put16(ip + 2, (uint16_t)p->len);
		ip[6] = 0x40;
		ip[8] = 64;
		ip[9] = IPPROTO_TCP;
		memcpy(ip + 12, local->ip, 4);
		memcpy(ip + 16, remote->ip, 4);
		be_put16(ip + 10, (uint16_t)~sum_of(ip, 20, 0));
		sum = sum_of(ip + 12, 8, 0);
	} else {
		ip[0] = 0x60;
		be_put16(ip + 4, (uint16_t)len);
		ip[6] = IPPROTO_TCP;
		ip[7] = 64;
		memcpy(ip + 8, local->ip, 16);
		memcpy(ip + 24, remote->ip, 16);
		sum = sum_of(ip + 8, 32, 0);
	}
	be_put16(tcp + 16, (uint16_t)~sum_of(tcp, len, sum + IPPROTO_TCP + (uint32_t)len));
}

static const struct sock *listening_on(uint16_t port)
{
	for (int i = 0; i < SOCKETS; i++)
		if (so.socks[i].fd && so.socks[i].listening && so.socks[i].local.port == port)
			return &so.socks[i];
	return NULL;
}

static void dialled(const struct action *a)
{
	struct event ev = { .kind = EV_DIALLED, .dialled = { .conn = a->conn } };

	if (so.waiting_count < CONNS) {
		so.waiting[so.waiting_count].id = a->conn;
		so.waiting[so.waiting_count++].port = a->dial.destination.port;
	}
	(void)!engine_input(so.e, &ev, START_US + so.now);
}

void pump(void)
{
	struct action a;
	struct sock *s;

	while (engine_output(so.e, &a, START_US + so.now)) {
		s = sock_of_conn(a.conn);
		switch (a.kind) {
		case ACT_SEND:
			packet_out(&a);
			break;
		case ACT_DIAL:
			dialled(&a);
			break;
		case ACT_OPENED:
			if (s) {
				s->connecting = false;
				s->connected = a.opened.result == OPEN_OK;
				s->error = s->connected ? 0 : a.opened.result == OPEN_TIMED_OUT ? ETIMEDOUT : ECONNREFUSED;
			}
			break;
		case ACT_EOF:
		case ACT_CLOSED:
			if (s)
				s->eof = true;
			break;
		case ACT_RESET:
			if (s)
				s->error = a.reset.why == OPEN_TIMED_OUT ? ETIMEDOUT : ECONNRESET;
			break;
		default:
			break;
		}
	}
	pthread_cond_broadcast(&so.changed);
}

/* To `to`, by way of every deadline; stops early at a packet. */
static void advance(usec_t to, bool to_a_packet)
{
	pump();
	while (so.now < to && !(to_a_packet && so.out_count)) {
		usec_t d = engine_deadline(so.e);

		if (d == USEC_NEVER || d > START_US + to)
			so.now = to;
		else
			so.now = d > START_US + so.now ? d - START_US : so.now + 1;
		pump();
	}
}

int so_netdev_send(void *u, const void *buf, size_t count)
{
	const uint8_t *ip = buf, *tcp;
	struct event ev = { .kind = EV_SEGMENT };
	struct addr local = { 0 }, remote = { 0 };
	size_t ip_len, len;
	const struct sock *listener;
	uint8_t seg[PACKET_MAX];

	(void)u;
	if (count < 40 || count > PACKET_MAX)
		return 0;
	remote.family = local.family = ip[0] >> 4 == 6 ? 6 : 4;
	ip_len = local.family == 6 ? 40 : (size_t)(ip[0] & 15) * 4;
	len = local.family == 6 ? be_get16(ip + 4) : be_get16(ip + 2) - ip_len;
	if (ip_len + len > count || len < 20 || ip[local.family == 6 ? 6 : 9] != IPPROTO_TCP)
		return 0;
	memcpy(remote.ip, ip + (local.family == 6 ? 8 : 12), local.family == 6 ? 16 : 4);
	memcpy(local.ip, ip + (local.family == 6 ? 24 : 16), local.family == 6 ? 16 : 4);
	tcp = ip + ip_len;
	remote.port = be_get16(tcp);
	memcpy(seg, tcp + 12, 4);
	memcpy(seg + 4, tcp + 4, 8);
	memcpy(seg + 12, tcp + 20, len - 20);
	pthread_mutex_lock(&so.lock);
	listener = listening_on(be_get16(tcp + 2));
	if (listener && listener->protocol != MPTCP && seg[1] & TCP_SYN) {
		size_t header = (size_t)(seg[0] >> 4) * 4 - 8, at = 12 + mptcp_at(seg + 12, header - 12);

		for (size_t end = at < header ? at + seg[at + 1] : at; at < end && at < header; at++)
			seg[at] = TCP_KIND_NOP;
	}
	ev.segment.path = path_of(&local);
	ev.segment.bytes = seg;
	ev.segment.len = len - 8;
	ev.segment.local_port = be_get16(tcp + 2);
	ev.segment.listening = listener;
	ev.segment.remote = remote;
	(void)!engine_input(so.e, &ev, START_US + so.now);
	pump();
	pthread_mutex_unlock(&so.lock);
	return 0;
}

int so_netdev_receive(void *u, void *buf, size_t *count, long long *time_usecs)
{
	struct out_packet *p;

	(void)u;
	pthread_mutex_lock(&so.lock);
	while (!so.out_count) {
		usec_t d = engine_deadline(so.e);

		if (d != USEC_NEVER) {
			advance(d > START_US + so.now ? d - START_US : so.now + 1, true);
		} else {
			/* Only a system call of the other thread can bring one: wait for it, a moment at a time. */
			struct timespec t;

			clock_gettime(CLOCK_REALTIME, &t);
			t.tv_nsec += 2000000;
			if (t.tv_nsec >= 1000000000)
				t.tv_sec++, t.tv_nsec -= 1000000000;
			pthread_cond_timedwait(&so.changed, &so.lock, &t);
			pump();
		}
	}
	p = so.out[0];
	memmove(so.out, so.out + 1, --so.out_count * sizeof *so.out);
	*count = p->len < *count ? p->len : *count;
	memcpy(buf, p->bytes, *count);
	*time_usecs = p->at;
	free(p);
	pthread_mutex_unlock(&so.lock);
	return 0;
}

int so_usleep(void *u, useconds_t usec)
{
	(void)u;
	pthread_mutex_lock(&so.lock);
	advance(so.now + usec, false);
	pthread_mutex_unlock(&so.lock);
	return 0;
}

int so_gettimeofday(void *u, struct timeval *tv, struct timezone *tz)
{
	(void)u;
	(void)tz;
	pthread_mutex_lock(&so.lock);
	/* packetdrill waits for the last microseconds by asking again and again. */
	advance(so.now + 10, false);
	tv->tv_sec = (time_t)((START_US + so.now) / USEC_PER_S);
	tv->tv_usec = (suseconds_t)((START_US + so.now) % USEC_PER_S);
	pthread_mutex_unlock(&so.lock);
	return 0;
}
