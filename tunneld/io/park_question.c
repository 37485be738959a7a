/* SPDX-License-Identifier: MIT */
/* The control socket: one question a connection, answered at once. What is not a question of our
 * shim is counted and closed. */
#include "tunneld/io/park_slot.h"

#include "common/local_msg.h"
#include "common/sockaddr.h"
#include "tunneld/io/park_socket.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUESTION_SECONDS 1.0 /* a connection that asks nothing is closed */
#define EMFILE_SECONDS   0.1 /* accept() has no descriptor: wait, do not spin */

enum {
	IPPROTO_MPTCP_ = 262,
	SO_NETNS_COOKIE_ = 71, /* Linux 5.14 */
};

static struct local_answer unable(enum local_reason reason, int error)
{
	return (struct local_answer){ .kind = LOCAL_UNABLE, .reason = reason, .error = error };
}

static struct local_answer ends_with(int error)
{
	return (struct local_answer){ .kind = LOCAL_ERROR, .error = error };
}

static void on_door(struct ev_loop *loop, ev_io *w, int events)
{
	struct slot *s = w->data;
	struct park *p = s->park;
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	struct addr peer;
	int fd = accept4(s->end, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	/* Somebody else who found the door is not let in: the application's own socket says where
	 * it connects from. */
	s->local = socket_local(s->copy);
	if (sockaddr_to_addr(&peer, &sa, len) || !addr_eq(&peer, &s->local)) {
		close(fd);
		return;
	}
	ev_io_stop(loop, w);
	close(s->end);
	s->end = fd;
	s->door = false;
	close(s->copy);
	s->copy = -1;
	if (s->completes)
		p->callbacks.on_stream(p->ctx, s->id, slot_live(p, s));
}

/* MPTCP sockets cannot be opened simultaneously: they are accepted now, and reset if it comes to
 * nothing. */
static bool early(struct park *p, struct slot *s, int family)
{
	int fd = hole_door(&s->hole_at, family, park_chance());

	if (fd < 0)
		return false;
	s->state = EARLY;
	s->end = fd;
	s->door = true;
	p->stats.early++;
	ev_io_init(&s->io, on_door, fd, EV_READ);
	s->io.data = s;
	ev_io_start(p->loop, &s->io);
	return true;
}

static bool bypassed(const struct park *p, const struct addr *dest)
{
	for (size_t i = 0; i < p->bypass_count; i++)
		if (cidr_has(&p->bypass[i], dest))
			return true;
	return false;
}

/* What the kernel would have refused before any packet; 0: nothing. */
static int refuses(int fd, const struct addr *dest, int domain, const struct addr *bound)
{
	struct addr to = addr_unmap(dest);

	if (domain == AF_INET && dest->family != 4)
		return EAFNOSUPPORT;
	if (domain == AF_INET6 && dest->family == 4)
		return EINVAL; /* too short an address for it */
	if (domain == AF_INET6 && to.family == 4 && socket_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0))
		return ENETUNREACH;
	/* An IPv4 packet from 127/8 never leaves the host: the kernel's answer is EINVAL. */
	if (bound->family == 4 && addr_is_loopback(bound) && !addr_is_loopback(&to))
		return EINVAL;
	return 0;
}

static uint16_t to_u16(int v) { return v < 0 ? 0 : v > UINT16_MAX ? UINT16_MAX : (uint16_t)v; }

/* to: whom it is connected to. */
static struct park_options options_of(int fd, const struct addr *to)
{
	int count = socket_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 0);
	struct park_options o = {
		.user_timeout_ms = (uint32_t)socket_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 0),
		.tos = (uint8_t)(to->family == 4 ? socket_int(fd, IPPROTO_IP, IP_TOS, 0) : socket_int(fd, IPPROTO_IPV6, IPV6_TCLASS, 0)),
	};

	if (socket_int(fd, SOL_SOCKET, SO_KEEPALIVE, 0)) {
		o.keep_idle_s = to_u16(socket_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 0));
		o.keep_interval_s = to_u16(socket_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 0));
		o.keep_count = (uint8_t)(count < 0 ? 0 : count > UINT8_MAX ? UINT8_MAX : count);
	}
	return o;
}

/* The interface the socket is bound to, "": none, or loopback's own. */
static void device_of(int fd, char name[16])
{
	socklen_t len = 16;

	if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len) || len < 1 || !strcmp(name, "lo"))
		name[0] = 0;
}

/*
 * Bound to another interface it can reach no hole. What the application means is a path, and that is
 * told to the daemon; the binding itself comes off, which takes CAP_NET_RAW (binding does not).
 */
static bool device_off(int fd) { return !setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0); }

static void went_direct(struct park *p, const struct addr *dest, struct park_caller *caller,
			const struct local_ask *ask, enum local_reason why)
{
	struct addr to = addr_unmap(dest);

	p->stats.bypassed++;
	memcpy(caller->comm, ask->comm, sizeof caller->comm);
	if (p->callbacks.on_direct)
		p->callbacks.on_direct(p->ctx, &to, caller, why);
}

/* The socket is consumed: kept in a slot or left to the caller to close (*kept). */
static struct local_answer answer_park(struct park *p, const struct local_ask *ask, int fd,
				       const struct ucred *who, bool *kept)
{
	struct park_caller caller = {
		.pid = who->pid, .uid = who->uid,
		.mark = (uint32_t)socket_int(fd, SOL_SOCKET, SO_MARK, 0),
	};
	struct addr to = addr_unmap(&ask->dest), bound = socket_local(fd);
	int domain = socket_int(fd, SOL_SOCKET, SO_DOMAIN, 0),
	    protocol = socket_int(fd, SOL_SOCKET, SO_PROTOCOL, 0);
	uint64_t cookie = socket_cookie(fd);
	struct local_answer answer;
	struct memo *verdict;
	struct stat st;
	struct slot *s;
	park_id id;
	int error;

	if ((domain != AF_INET && domain != AF_INET6) ||
	    (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP_) || !cookie || fstat(fd, &st)) {
		p->stats.malformed++;
		return ends_with(EOPNOTSUPP);
	}
	p->stats.asked++;
	switch (socket_tcp_state(fd)) {
	case TCP_CLOSE:
		break;
	case TCP_SYN_SENT:
		return ends_with(EALREADY);
	default:
		return ends_with(EISCONN);
	}
	s = slot_of_cookie(p, cookie);
	if (s) {
		/* The same socket again: its pending attempt was dissolved, or its stream ended and
		 * it was disconnected. */
		if (slot_waits(s))
			slot_cancel(p, s);
		else
			park_closed(p, s->id);
	}
	/* A connect that failed unnoticed is answered by the next connect(), as the kernel does:
	 * with its error, or, when the error was read already, with ECONNABORTED. Then the socket
	 * is fresh. */
	verdict = memos_find(&p->verdicts, cookie);
	if (verdict) {
		error = socket_int(fd, SOL_SOCKET, SO_ERROR, 0) ? verdict->error : ECONNABORTED;
		memos_drop(&p->verdicts, cookie);
		return ends_with(error);
	}
	error = refuses(fd, &ask->dest, domain, &bound);
	if (error)
		return ends_with(error);
	if (bypassed(p, &to)) {
		went_direct(p, &to, &caller, ask, LOCAL_BYPASS);
		return (struct local_answer){ .kind = LOCAL_DIRECT };
	}
	/* Its loopback is another one: it would meet no hole there. */
	if (p->netns && socket_u64(fd, SO_NETNS_COOKIE_) != p->netns)
		return unable(LOCAL_NETNS, ENETUNREACH);
	caller.options = options_of(fd, &to);
	device_of(fd, caller.device);
	if (*caller.device && !device_off(fd))
		return unable(LOCAL_DEVICE, ENETUNREACH);
	s = slot_take(p, cookie);
	if (!s) {
		p->stats.refused_full++;
		return unable(LOCAL_FULL, ENOBUFS);
	}
	s->dest = to;
	s->pid = who->pid;
	s->their_fd = ask->fd;
	s->inode = st.st_ino;
	s->copy = fd;
	memcpy(s->device, caller.device, sizeof s->device);
	*kept = true;
	if (protocol == IPPROTO_MPTCP_) {
		if (!early(p, s, to.family)) {
			slot_release(p, s);
			return unable(LOCAL_NO_LOOPBACK, ENETUNREACH);
		}
	} else {
		s->hole = slot_hole(p, to.family, bound.port);
		s->bound_port = bound.port;
		if (!s->hole) {
			slot_release(p, s);
			return unable(LOCAL_NO_LOOPBACK, ENETUNREACH);
		}
		s->hole->used++;
		s->hole_at = s->hole->at;
	}
	memcpy(caller.comm, ask->comm, sizeof caller.comm);
	if (!addr_is_unspecified(&bound) || bound.port)
		caller.local = bound;

	id = s->id;
	s->in_callback = true;
	answer = (struct local_answer){ .kind = LOCAL_HOLE, .addr = s->hole_at };
	p->callbacks.on_connect(p->ctx, id, &s->dest, &caller);
	assert(slot_of_id(p, id) == s);
	s->in_callback = false;
	if (s->direct) {
		went_direct(p, &to, &caller, ask, LOCAL_BYPASS);
		answer = (struct local_answer){ .kind = LOCAL_DIRECT };
		slot_release(p, s);
	} else if (s->error) {
		slot_count_failed(p, s->error);
		answer = s->reason ? unable(s->reason, s->error) : ends_with(s->error);
		slot_release(p, s);
	} else if (s->completes && s->state == PENDING) {
		slot_due(p, s);
		answer.reason = s->reason;
	} else {
		answer.reason = s->reason;
	}
	return answer;
}

static struct local_answer answer_verdict(struct park *p, const struct local_ask *ask, int fd)
{
	struct memo *verdict = memos_find(&p->verdicts, socket_cookie(fd));
	struct local_answer answer;

	p->stats.verdicts_asked++;
	if (!verdict || verdict->read)
		return (struct local_answer){ .kind = LOCAL_NONE };
	answer = ends_with(verdict->error);
	answer.reason = verdict->reason;
	answer.addr = verdict->dest;
	verdict->read = true;
	if (ask->kind == LOCAL_TAKE_VERDICT)
		memos_drop(&p->verdicts, verdict->cookie);
	return answer;
}

/* A stream goes with a 4-tuple: the same socket, disconnected and connected elsewhere, is not ours any more. */
static bool still_ours(const struct slot *s, int fd, const struct addr *peer, const struct addr *local)
{
	/* Without a peer it is pending, or it has ended and keeps its local address. */
	return peer->family ? addr_eq(peer, &s->hole_at)
			    : socket_tcp_state(fd) == TCP_SYN_SENT || addr_eq(local, &s->local);
}

static struct local_answer answer_names(struct park *p, int fd)
{
	uint64_t cookie = socket_cookie(fd);
	struct addr peer = socket_peer(fd), local = socket_local(fd), source, named;
	const struct addr *dest = NULL;
	struct slot *s = slot_of_cookie(p, cookie);
	struct memo *old;

	p->stats.names_asked++;
	if (s && still_ours(s, fd, &peer, &local)) {
		dest = &s->dest;
	} else if ((old = memos_find(&p->old_names, cookie))) {
		if ((!peer.family || addr_eq(&peer, &old->hole)) && addr_eq(&local, &old->local))
			dest = &old->dest;
	}
	if (!dest)
		return (struct local_answer){ .kind = LOCAL_NONE };
	source = socket_source_towards(dest);
	source.port = source.family ? local.port : 0;
	named = *dest;
	/* The kernel keeps a scope with addresses of a link only. */
	if (!addr_is_link_local(&named))
		named.scope = 0;
	return (struct local_answer){ .kind = LOCAL_NAMED, .addr = named, .local = source };
}

static struct local_answer answer_info(struct park *p, int fd)
{
	struct local_answer answer = { .kind = LOCAL_TOLD };
	struct addr peer = socket_peer(fd), local = socket_local(fd);
	struct slot *s = slot_of_cookie(p, socket_cookie(fd));

	p->stats.infos_asked++;
	if (!s || !still_ours(s, fd, &peer, &local) || !p->callbacks.on_info ||
	    !p->callbacks.on_info(p->ctx, s->id, &answer.info))
		answer.kind = LOCAL_NONE;
	return answer;
}

static void answer_options(struct park *p, int fd)
{
	struct addr peer = socket_peer(fd), local = socket_local(fd);
	struct slot *s = slot_of_cookie(p, socket_cookie(fd));
	struct park_options now;

	if (!s || !p->callbacks.on_options || !still_ours(s, fd, &peer, &local))
		return;
	p->stats.options_told++;
	now = options_of(fd, &s->dest);
	p->callbacks.on_options(p->ctx, s->id, &now);
}

static void answer_forget(struct park *p, int fd)
{
	struct slot *s = slot_of_cookie(p, socket_cookie(fd));

	if (s && slot_waits(s) && socket_tcp_state(fd) == TCP_CLOSE)
		slot_cancel(p, s);
}

static void question_close(struct question *q)
{
	struct park *p = q->park;

	ev_io_stop(p->loop, &q->io);
	ev_timer_stop(p->loop, &q->timer);
	close(q->fd);
	q->fd = -1;
	if (p->questions_open-- == QUESTIONS && !ev_is_active(&p->accept_later))
		ev_io_start(p->loop, &p->accept_io);
}

/* The one descriptor of a message, or -1: none, or not exactly one. Never leaks a further one. */
static int one_descriptor(struct msghdr *m)
{
	int fd = -1, count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
				   ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int)
				   : 0;

		for (size_t i = 0; i < n; i++) {
			int got;

			memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
			if (count++)
				close(got);
			else
				fd = got;
		}
	}
	if (count > 1 && fd >= 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* False: nothing there yet. */
static bool question_read(struct question *q)
{
	struct park *p = q->park;
	uint8_t bytes[LOCAL_ANSWER_MOST];
	union {
		char room[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { bytes, sizeof bytes };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof control };
	ssize_t n = recvmsg(q->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct local_answer answer = { .kind = LOCAL_NONE };
	struct local_ask ask;
	struct ucred who = { 0 };
	socklen_t len = sizeof who;
	bool kept = false;
	int fd;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	fd = n >= 0 ? one_descriptor(&m) : -1;
	if (n <= 0) {
		/* Closed without a question: probing whether we live is no offence. */
	} else if (m.msg_flags & MSG_CTRUNC) {
		/* The descriptor did not fit our table: out of descriptors. */
		p->stats.refused_full++;
		answer = unable(LOCAL_FULL, ENOBUFS);
	} else if (fd < 0 || local_ask_parse(&ask, bytes, (size_t)n)) {
		p->stats.malformed++;
		answer.kind = 0;
	} else if (getsockopt(q->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) ||
		   (!p->any_user && who.uid != 0 && who.uid != geteuid())) {
		p->stats.refused_user++;
		answer = unable(LOCAL_USER, EACCES);
	} else {
		switch (ask.kind) {
		case LOCAL_PARK:
			answer = answer_park(p, &ask, fd, &who, &kept);
			break;
		case LOCAL_READ_VERDICT:
		case LOCAL_TAKE_VERDICT:
			answer = answer_verdict(p, &ask, fd);
			break;
		case LOCAL_NAMES:
			answer = answer_names(p, fd);
			break;
		case LOCAL_FORGET:
			answer_forget(p, fd);
			break;
		case LOCAL_INFO:
			answer = answer_info(p, fd);
			break;
		case LOCAL_OPTIONS:
			answer_options(p, fd);
			break;
		case LOCAL_WENT_DIRECT:
			went_direct(p, &ask.dest,
				    &(struct park_caller){ .pid = who.pid, .uid = who.uid }, &ask,
				    ask.reason);
			break;
		case LOCAL_ASK_KINDS:
			break;
		}
	}
	/* Our copy goes before the answer: the caller's next close() must be the last one. */
	if (fd >= 0 && !kept)
		close(fd);
	if (n > 0 && answer.kind) {
		size_t len_out = local_answer_emit(&answer, bytes);

		/* A caller that died in between hears nothing; its slot is found by the look. */
		(void)!send(q->fd, bytes, len_out, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	return true;
}

static void on_question(struct ev_loop *loop, ev_io *w, int events)
{
	struct question *q = w->data;

	(void)loop, (void)events;
	if (question_read(q))
		question_close(q);
}

static void on_question_late(struct ev_loop *loop, ev_timer *w, int events)
{
	struct question *q = w->data;

	(void)loop, (void)events;
	q->park->stats.malformed++;
	question_close(q);
}

static void on_accept(struct ev_loop *loop, ev_io *w, int events)
{
	struct park *p = w->data;
	struct question *q = p->questions;
	int fd;

	(void)events;
	/* A few at a time, so that streams are served in between. */
	for (int n = 0; n < 16 && p->questions_open < QUESTIONS; n++) {
		fd = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			    errno == ENOBUFS) {
				ev_io_stop(loop, w);
				ev_timer_set(&p->accept_later, EMFILE_SECONDS, 0);
				ev_timer_start(loop, &p->accept_later);
			}
			return;
		}
		while (q->fd >= 0)
			q++;
		q->fd = fd;
		p->questions_open++;
		/* It has usually been asked by now. */
		if (question_read(q)) {
			close(fd);
			q->fd = -1;
			p->questions_open--;
			q = p->questions;
			continue;
		}
		ev_io_set(&q->io, fd, EV_READ);
		ev_io_start(loop, &q->io);
		ev_timer_set(&q->timer, QUESTION_SECONDS, 0);
		ev_timer_start(loop, &q->timer);
	}
	if (p->questions_open == QUESTIONS)
		ev_io_stop(loop, w);
}

static void on_accept_later(struct ev_loop *loop, ev_timer *w, int events)
{
	struct park *p = w->data;

	(void)events;
	ev_timer_stop(loop, w);
	if (p->questions_open < QUESTIONS)
		ev_io_start(loop, &p->accept_io);
}

void questions_init(struct park *p)
{
	for (size_t i = 0; i < QUESTIONS; i++) {
		struct question *q = &p->questions[i];

		q->fd = -1;
		q->park = p;
		ev_init(&q->io, on_question);
		ev_init(&q->timer, on_question_late);
		q->io.data = q->timer.data = q;
	}
	ev_init(&p->accept_later, on_accept_later);
	ev_io_init(&p->accept_io, on_accept, p->listener, EV_READ);
	p->accept_later.data = p->accept_io.data = p;
	ev_io_start(p->loop, &p->accept_io);
}

void questions_close(struct park *p)
{
	for (size_t i = 0; i < QUESTIONS; i++)
		if (p->questions[i].fd >= 0 && p->questions[i].park)
			question_close(&p->questions[i]);
	ev_io_stop(p->loop, &p->accept_io);
	ev_timer_stop(p->loop, &p->accept_later);
}
