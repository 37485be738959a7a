/* SPDX-License-Identifier: MIT */
/* The question to tunneld: one short connection, closed before the hook goes on. */
#include "shim/lib/shim.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/un.h>

/* tunneld answers in microseconds; this bounds what a stopped one does to a non-blocking caller. */
#define ANSWER_SECONDS 2

static int ask_open(int flags)
{
	static const struct timeval patience = { .tv_sec = ANSWER_SECONDS };
	struct sockaddr_un un;
	const char *path;
	long fd = sys_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0), r = -ENOENT;

	if (fd < 0)
		return (int)fd;
	/* connect() too: it waits where the backlog is full. */
	sys_setsockopt((int)fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	sys_setsockopt((int)fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	for (unsigned i = 0; (path = route_socket(i)); i++) {
		memset(&un, 0, sizeof un);
		un.sun_family = AF_UNIX;
		for (size_t k = 0; path[k]; k++)
			un.sun_path[k] = path[k];
		do
			r = sys_connect((int)fd, &un, sizeof un);
		while (r == -EINTR);
		if (!r)
			return (int)fd;
	}
	sys_close((int)fd);
	return (int)r;
}

/* The question's bytes and the socket it is about. */
static long ask_send(int ctl, const void *bytes, size_t len, int fd)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr m;
	struct cmsghdr *c;
	long r;

	memset(&m, 0, sizeof m);
	memset(&control, 0, sizeof control);
	m.msg_iov = &iov;
	m.msg_iovlen = 1;
	m.msg_control = &control;
	m.msg_controllen = sizeof control;
	c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	do
		r = sys_sendmsg(ctl, &m, MSG_NOSIGNAL);
	while (r == -EINTR);
	return r;
}

/* A literal for each way not to be answered; what the person reading stderr can do about it. */
static const char *silence(long r)
{
	switch (-r) {
	case ENOENT:
	case ECONNREFUSED:
		return "tunneld does not run here (see PLAIT_SOCKET)";
	case EACCES:
	case EPERM:
		return "no permission to use tunneld's socket";
	case EMFILE:
	case ENFILE:
		return "no file descriptor is free to ask tunneld";
	case EAGAIN:
		return "tunneld does not answer";
	default:
		return "tunneld cannot be asked";
	}
}

long park_ask(int fd, enum local_ask_kind kind, const struct addr *dest,
	      struct local_answer *answer)
{
	uint8_t bytes[LOCAL_ANSWER_MOST];
	struct local_ask ask;
	long r;
	int ctl;

	memset(&ask, 0, sizeof ask);
	ask.kind = kind;
	ask.fd = (uint32_t)fd;
	if (dest) {
		ask.dest = *dest;
		sys6(SYS_prctl, PR_GET_NAME, (long)ask.comm, 0, 0, 0, 0);
	}
	local_ask_emit(&ask, bytes);

	ctl = ask_open(0);
	if (ctl < 0)
		return ctl;
	r = ask_send(ctl, bytes, LOCAL_ASK_BYTES, fd);
	if (r >= 0)
		do
			r = sys_recvfrom(ctl, bytes, sizeof bytes, 0);
		while (r == -EINTR);
	sys_close(ctl);
	if (r < 0)
		return r;
	return local_answer_parse(answer, bytes, (size_t)r) ? -EPROTO : 0;
}

void park_tell_direct(int fd, const struct addr *dest, enum local_reason why)
{
	uint8_t bytes[LOCAL_ASK_BYTES];
	struct local_ask ask;
	int ctl;

	memset(&ask, 0, sizeof ask);
	ask.kind = LOCAL_WENT_DIRECT;
	ask.reason = why;
	ask.fd = (uint32_t)fd;
	ask.dest = *dest;
	sys6(SYS_prctl, PR_GET_NAME, (long)ask.comm, 0, 0, 0, 0);
	local_ask_emit(&ask, bytes);
	ctl = ask_open(SOCK_NONBLOCK);
	if (ctl < 0)
		return;
	(void)ask_send(ctl, bytes, sizeof bytes, fd);
	sys_close(ctl);
}

long park_route(int fd, const struct addr *dest, int domain, union sockaddr_any *to,
		socklen_t *to_len, bool *direct)
{
	struct local_answer answer;
	long r;

	*direct = false;
	r = park_ask(fd, LOCAL_PARK, dest, &answer);
	if (r) {
		*direct = route_without_tunnel(dest, silence(r));
		/* The errno of a host without a route: programs try their next address or give up;
		 * ECONNREFUSED would blame the destination. */
		return *direct ? 0 : -ENETUNREACH;
	}
	switch (answer.kind) {
	case LOCAL_HOLE:
		if (answer.reason)
			route_say(SAY_WARN, dest, local_reason_text(answer.reason));
		*to_len = addr_to_sockaddr(to, &answer.addr, domain);
		return 0;
	case LOCAL_DIRECT:
		*direct = true;
		return 0;
	case LOCAL_UNABLE:
		*direct = route_without_tunnel(dest, local_reason_text(answer.reason));
		if (*direct)
			park_tell_direct(fd, dest, LOCAL_FALLBACK);
		return *direct ? 0 : -answer.error;
	case LOCAL_ERROR:
		return -answer.error;
	default:
		return -ENETUNREACH;
	}
}

int park_reason(int fd, enum local_ask_kind kind)
{
	struct local_answer answer;

	/* tunneld ended meanwhile: what a retransmitted SYN would have met. */
	if (park_ask(fd, kind, NULL, &answer))
		return kind == LOCAL_TAKE_VERDICT ? ECONNREFUSED : ECONNRESET;
	if (answer.kind != LOCAL_ERROR)
		return ECONNRESET;
	if (answer.reason)
		route_say(SAY_ERROR, answer.addr.family ? &answer.addr : NULL,
			  local_reason_text(answer.reason));
	return answer.error;
}

long park_verdict(int fd, long r)
{
	return r == -ECONNRESET ? -park_reason(fd, LOCAL_TAKE_VERDICT) : r;
}
