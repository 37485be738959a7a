/* SPDX-License-Identifier: MIT */
/*
 * The engine behind packetdrill's shared-object interface, for --so_filename: sockets, raw IP packets and a virtual clock.
 * A test tool only: never linked into anything of ours, never installed. README.md tells how to run it.
 *
 * packetdrill's two threads: the main one moves the time (usleep) and the packets; a second one blocks in system calls,
 * and must really sleep. One lock; whoever changes something wakes the others. Scripts expect Linux's window scale 8, the
 * engine has another: the SYN's option and the windows are translated here, and nothing else is.
 */
#include "tests/packetdrill/so.h"

static int so_socket(void *u, int domain, int type, int protocol)
{
	struct sock *s;

	(void)u;
	if ((domain != AF_INET && domain != AF_INET6) || (type & 0xf) != SOCK_STREAM)
		return fails(EAFNOSUPPORT);
	pthread_mutex_lock(&so.lock);
	s = sock_new(protocol);
	if (s)
		s->nonblock = type & SOCK_NONBLOCK;
	pthread_mutex_unlock(&so.lock);
	return s ? s->fd : fails(EMFILE);
}

static int so_bind(void *u, int fd, const struct sockaddr *sa, socklen_t len)
{
	struct sock *s = sock_of(fd);

	(void)u;
	(void)len;
	if (!s)
		return fails(EBADF);
	s->local = addr_of(sa);
	return 0;
}

static int so_listen(void *u, int fd, int backlog)
{
	struct sock *s = sock_of(fd);

	(void)u;
	(void)backlog;
	if (!s)
		return fails(EBADF);
	s->listening = true;
	return 0;
}

static conn_id ready_to_accept(const struct sock *s)
{
	struct conn_info info;

	for (unsigned i = 0; i < so.waiting_count; i++) {
		conn_id id = so.waiting[i].id;

		if (so.waiting[i].port != s->local.port || engine_conn_info(so.e, id, &info) != ERR_OK ||
		    !strcmp(info.state, "M_OPENING"))
			continue;
		memmove(&so.waiting[i], &so.waiting[i + 1], (--so.waiting_count - i) * sizeof so.waiting[0]);
		return id;
	}
	return 0;
}

static void peer_name(conn_id id, struct sockaddr *sa, socklen_t *len)
{
	struct sockaddr_storage ss = { 0 };
	struct subflow_info i = { 0 };
	struct sockaddr_in *in = (void *)&ss;
	struct sockaddr_in6 *in6 = (void *)&ss;
	socklen_t size;

	(void)!engine_subflow_info(so.e, id, 0, &i);
	if (i.remote.family == 6) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(i.remote.port);
		memcpy(&in6->sin6_addr, i.remote.ip, 16);
		size = sizeof *in6;
	} else {
		in->sin_family = AF_INET;
		in->sin_port = htons(i.remote.port);
		memcpy(&in->sin_addr, i.remote.ip, 4);
		size = sizeof *in;
	}
	memcpy(sa, &ss, size < *len ? size : *len);
	*len = size;
}

static int so_accept(void *u, int fd, struct sockaddr *sa, socklen_t *len)
{
	struct sock *s, *n;
	conn_id id;

	(void)u;
	pthread_mutex_lock(&so.lock);
	s = sock_of(fd);
	while (s && !(id = ready_to_accept(s)) && !s->nonblock)
		pthread_cond_wait(&so.changed, &so.lock);
	n = s && id ? sock_new(s->protocol) : NULL;
	if (n) {
		n->conn = id;
		n->connected = true;
	}
	pthread_mutex_unlock(&so.lock);
	if (sa && len && n)
		peer_name(id, sa, len);
	return !s ? fails(EBADF) : n ? n->fd : fails(EAGAIN);
}

static int so_connect(void *u, int fd, const struct sockaddr *sa, socklen_t len)
{
	struct event ev = { .kind = EV_CONNECT };
	struct sock *s;
	int rc = 0;

	(void)u;
	(void)len;
	pthread_mutex_lock(&so.lock);
	s = sock_of(fd);
	if (!s) {
		pthread_mutex_unlock(&so.lock);
		return fails(EBADF);
	}
	ev.connect.destination = addr_of(sa);
	if (!s->connecting && !s->connected) {
		if (engine_input(so.e, &ev, START_US + so.now) != ERR_OK) {
			pthread_mutex_unlock(&so.lock);
			return fails(ENETUNREACH);
		}
		s->conn = ev.connect.conn;
		s->connecting = true;
		pump();
		if (s->nonblock)
			rc = EINPROGRESS;
	} else if (s->connected) {
		rc = EISCONN;
	}
	while (!rc && s->connecting)
		pthread_cond_wait(&so.changed, &so.lock);
	if (!rc && !s->connected)
		rc = s->error;
	pthread_mutex_unlock(&so.lock);
	return rc ? fails(rc) : 0;
}

static ssize_t receive(int fd, void *buf, size_t count, int flags)
{
	struct event ev = { .kind = EV_CONSUMED };
	const uint8_t *bytes;
	struct sock *s;
	size_t got = 0, n;
	int error = 0;

	pthread_mutex_lock(&so.lock);
	s = sock_of(fd);
	if (s && !s->conn && !s->error)
		error = ENOTCONN;
	while (s && !error && count && !(n = engine_readable(so.e, s->conn, &bytes)) && !s->eof && !s->error && !s->nonblock && !(flags & MSG_DONTWAIT))
		pthread_cond_wait(&so.changed, &so.lock);
	while (s && got < count && (n = engine_readable(so.e, s->conn, &bytes))) {
		n = n < count - got ? n : count - got;
		memcpy((uint8_t *)buf + got, bytes, n);
		got += n;
		if (flags & MSG_PEEK)
			break;
		ev.consumed.conn = s->conn;
		ev.consumed.len = n;
		(void)!engine_input(so.e, &ev, START_US + so.now);
	}
	if (s)
		pump();
	if (!s)
		error = EBADF;
	else if (!got && s->error)
		error = s->error, s->error = 0, s->eof = true;
	else if (!got && !s->eof && !error && count)
		error = EAGAIN;
	pthread_mutex_unlock(&so.lock);
	return error ? fails(error) : (ssize_t)got;
}

static ssize_t transmit(int fd, const void *buf, size_t count)
{
	struct event ev = { .kind = EV_WRITE };
	struct sock *s;
	size_t sent = 0;
	int error = 0;

	pthread_mutex_lock(&so.lock);
	while ((s = sock_of(fd)) && s->connecting && !s->nonblock)
		pthread_cond_wait(&so.changed, &so.lock);
	if (s && s->connecting)
		error = EAGAIN;
	else if (s && s->error)
		error = s->error, s->error = 0;
	while ((s = sock_of(fd)) && sent < count && !error) {
		ev.write.conn = s->conn;
		ev.write.bytes = (const uint8_t *)buf + sent;
		ev.write.len = count - sent;
		ev.write.taken = 0;
		error = s->error ? s->error : s->shut ? EPIPE : engine_input(so.e, &ev, START_US + so.now) != ERR_OK ? EPIPE : 0;
		sent += ev.write.taken;
		pump();
		if (error || sent == count || s->nonblock)
			break;
		pthread_cond_wait(&so.changed, &so.lock);
	}
	if (!s)
		error = EBADF;
	pthread_mutex_unlock(&so.lock);
	return sent ? (ssize_t)sent : error ? fails(error) : count ? fails(EAGAIN) : 0;
}

static ssize_t so_read(void *u, int fd, void *buf, size_t n) { (void)u; return receive(fd, buf, n, 0); }
static ssize_t so_recv(void *u, int fd, void *buf, size_t n, int flags) { (void)u; return receive(fd, buf, n, flags); }
static ssize_t so_recvfrom(void *u, int fd, void *buf, size_t n, int flags, struct sockaddr *sa, socklen_t *len)
{
	(void)u;
	(void)sa;
	(void)len;
	return receive(fd, buf, n, flags);
}

static ssize_t receive_v(int fd, const struct iovec *iov, size_t count, int flags)
{
	ssize_t all = 0;

	for (size_t i = 0; i < count; i++) {
		ssize_t n = receive(fd, iov[i].iov_base, iov[i].iov_len, all ? flags | MSG_DONTWAIT : flags);

		if (n < 0)
			return all ? all : n;
		all += n;
		if ((size_t)n < iov[i].iov_len)
			break;
	}
	return all;
}

static ssize_t transmit_v(int fd, const struct iovec *iov, size_t count)
{
	ssize_t all = 0;

	for (size_t i = 0; i < count; i++) {
		ssize_t n = transmit(fd, iov[i].iov_base, iov[i].iov_len);

		if (n < 0)
			return all ? all : n;
		all += n;
	}
	return all;
}

static ssize_t so_readv(void *u, int fd, const struct iovec *v, int n) { (void)u; return receive_v(fd, v, (size_t)n, 0); }
static ssize_t so_recvmsg(void *u, int fd, struct msghdr *m, int flags)
{
	(void)u;
	return receive_v(fd, m->msg_iov, m->msg_iovlen, flags);
}
static ssize_t so_write(void *u, int fd, const void *buf, size_t n) { (void)u; return transmit(fd, buf, n); }
static ssize_t so_writev(void *u, int fd, const struct iovec *v, int n) { (void)u; return transmit_v(fd, v, (size_t)n); }
static ssize_t so_send(void *u, int fd, const void *buf, size_t n, int flags)
{
	(void)u;
	(void)flags;
	return transmit(fd, buf, n);
}
static ssize_t so_sendto(void *u, int fd, const void *buf, size_t n, int flags, const struct sockaddr *sa, socklen_t len)
{
	(void)u;
	(void)flags;
	(void)sa;
	(void)len;
	return transmit(fd, buf, n);
}
static ssize_t so_sendmsg(void *u, int fd, const struct msghdr *m, int flags)
{
	(void)u;
	(void)flags;
	return transmit_v(fd, m->msg_iov, m->msg_iovlen);
}

static int so_fcntl(void *u, int fd, int cmd, ...)
{
	struct sock *s = sock_of(fd);
	va_list args;
	int value;

	(void)u;
	va_start(args, cmd);
	value = cmd == F_SETFL ? va_arg(args, int) : 0;
	va_end(args);
	if (!s)
		return fails(EBADF);
	if (cmd == F_SETFL)
		s->nonblock = value & O_NONBLOCK;
	return cmd == F_GETFL ? O_RDWR | (s->nonblock ? O_NONBLOCK : 0) : 0;
}

static int so_ioctl(void *u, int fd, unsigned long request, ...)
{
	struct sock *s = sock_of(fd);
	const uint8_t *bytes;
	va_list args;
	int *out;

	(void)u;
	va_start(args, request);
	out = va_arg(args, int *);
	va_end(args);
	if (!s)
		return fails(EBADF);
	if (request != FIONREAD)
		return fails(ENOTTY);
	*out = (int)engine_readable(so.e, s->conn, &bytes);
	return 0;
}

static int so_shutdown(void *u, int fd, int how)
{
	struct event ev = { .kind = EV_SHUTDOWN };
	struct sock *s;

	(void)u;
	pthread_mutex_lock(&so.lock);
	s = sock_of(fd);
	if (s && how != SHUT_WR)
		s->eof = true; /* what came before may still be read */
	if (s && how != SHUT_RD) {
		s->shut = true;
		ev.conn = s->conn;
		(void)!engine_input(so.e, &ev, START_US + so.now);
		pump();
	}
	pthread_mutex_unlock(&so.lock);
	return s ? 0 : fails(EBADF);
}

static int so_close(void *u, int fd)
{
	const uint8_t *bytes;
	struct sock *s;

	(void)u;
	pthread_mutex_lock(&so.lock);
	s = sock_of(fd);
	if (s && s->conn) {
		/* As the kernel does: unread data, or SO_LINGER 0, is an abrupt end. */
		bool abrupt = s->linger0 || s->connecting || engine_readable(so.e, s->conn, &bytes);
		struct event ev = { .kind = abrupt ? EV_ABORT : EV_SHUTDOWN, .conn = s->conn };

		(void)!engine_input(so.e, &ev, START_US + so.now);
		pump();
	}
	if (s) {
		close(s->fd);
		*s = (struct sock){ 0 };
	}
	pthread_mutex_unlock(&so.lock);
	return s ? 0 : fails(EBADF);
}

static int so_getsockopt(void *u, int fd, int level, int name, void *value, socklen_t *len)
{
	struct sock *s = sock_of(fd);
	int v = 0;

	(void)u;
	if (!s)
		return fails(EBADF);
	if (level == SOL_SOCKET && name == SO_ERROR) {
		v = s->error;
		s->error = 0;
	}
	if (level == SOL_SOCKET && name == SO_PROTOCOL)
		v = s->protocol;
	if (*len > sizeof v)
		*len = sizeof v;
	memcpy(value, &v, *len);
	return 0;
}

static int so_setsockopt(void *u, int fd, int level, int name, const void *value, socklen_t len)
{
	struct sock *s = sock_of(fd);

	(void)u;
	if (!s)
		return fails(EBADF);
	if (level == SOL_SOCKET && name == SO_LINGER && len >= sizeof(struct linger)) {
		struct linger l;

		memcpy(&l, value, sizeof l);
		s->linger0 = l.l_onoff && !l.l_linger;
	}
	return 0;
}

static short events_of(struct sock *s)
{
	const uint8_t *bytes;
	short e = 0;

	if (engine_readable(so.e, s->conn, &bytes) || s->eof || s->error)
		e |= POLLIN | POLLRDNORM;
	if (s->connected && !s->shut && engine_room(so.e, s->conn))
		e |= POLLOUT | POLLWRNORM;
	if (s->eof)
		e |= POLLRDHUP;
	if (s->error)
		e |= POLLERR | POLLHUP | POLLOUT;
	return e;
}

static int so_poll(void *u, struct pollfd *fds, nfds_t n, int timeout)
{
	usec_t until;
	int ready = 0;

	(void)u;
	pthread_mutex_lock(&so.lock);
	until = timeout < 0 ? USEC_NEVER : so.now + (usec_t)timeout * 1000;
	for (;;) {
		for (nfds_t i = 0; i < n; i++) {
			struct sock *s = sock_of(fds[i].fd);

			fds[i].revents = s ? events_of(s) & (short)(fds[i].events | POLLERR | POLLHUP) : POLLNVAL;
			ready += fds[i].revents != 0;
		}
		if (ready || so.now >= until)
			break;
		pthread_cond_wait(&so.changed, &so.lock);
	}
	pthread_mutex_unlock(&so.lock);
	return ready;
}

static int so_epoll_create(void *u, int size) { (void)u; (void)size; return fails(ENOSYS); }
static int so_epoll_ctl(void *u, int ep, int op, int fd, struct epoll_event *ev)
{
	(void)u;
	(void)ep;
	(void)op;
	(void)fd;
	(void)ev;
	return fails(ENOSYS);
}
static int so_epoll_wait(void *u, int ep, struct epoll_event *ev, int max, int timeout)
{
	(void)u;
	(void)ep;
	(void)ev;
	(void)max;
	(void)timeout;
	return fails(ENOSYS);
}
static int so_pipe(void *u, int fds[2]) { (void)u; return pipe(fds); }
static ssize_t no_splice(void) { return fails(ENOSYS); }
static int so_splice(void *u, int in, loff_t *off_in, int out, loff_t *off_out, size_t len, unsigned flags)
{
	(void)u;
	(void)in;
	(void)off_in;
	(void)out;
	(void)off_out;
	(void)len;
	(void)flags;
	return (int)no_splice();
}

static void so_free(void *u)
{
	(void)u;
	engine_free(so.e);
	so.e = NULL;
	while (so.out_count)
		free(so.out[--so.out_count]);
}

void packetdrill_interface_init(const char *flags, struct callbacks *out);

/* flags: the local addresses, separated by commas, for sockets that connect; packetdrill's own default without it. */
__attribute__((visibility("default"))) void packetdrill_interface_init(const char *flags, struct callbacks *out)
{
	struct engine_config config = {
		.connections_max = CONNS, .paths_max = PATHS, .form = SEGMENT_PLAIN, .gateway = true, .counters = &so.counters,
	};
	static const uint8_t seed[32] = "plait behind packetdrill";
	char text[256], *save = NULL;

	pthread_mutex_init(&so.lock, NULL);
	pthread_cond_init(&so.changed, NULL);
	so.e = engine_new(&config, seed, START_US);
	if (!so.e)
		abort();
	strncpy(text, flags && *flags ? flags : "192.168.0.1", sizeof text - 1);
	text[sizeof text - 1] = 0;
	for (char *one = strtok_r(text, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		struct addr a;

		if (addr_parse(&a, one) == ERR_OK)
			path_of(&a);
	}
	*out = (struct callbacks){
		.free = so_free, .socket = so_socket, .bind = so_bind, .listen = so_listen, .accept = so_accept, .connect = so_connect,
		.read = so_read, .readv = so_readv, .recv = so_recv, .recvfrom = so_recvfrom, .recvmsg = so_recvmsg,
		.write = so_write, .writev = so_writev, .send = so_send, .sendto = so_sendto, .sendmsg = so_sendmsg,
		.fcntl = so_fcntl, .ioctl = so_ioctl, .close = so_close, .shutdown = so_shutdown,
		.getsockopt = so_getsockopt, .setsockopt = so_setsockopt, .poll = so_poll,
		.netdev_send = so_netdev_send, .netdev_receive = so_netdev_receive, .usleep = so_usleep,
		.gettimeofday = so_gettimeofday, .epoll_create = so_epoll_create, .epoll_ctl = so_epoll_ctl,
		.epoll_wait = so_epoll_wait, .pipe = so_pipe, .splice = so_splice,
	};
}
