/* SPDX-License-Identifier: MIT */
/* Readiness, by every way a program can ask for it. */
#include "tests/probe/probe.h"

#include <linux/io_uring.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>

static const char *events_of(int ep, int ms)
{
	static char text[32];
	struct epoll_event e = { 0 };
	int n = epoll_wait(ep, &e, 1, ms);

	snprintf(text, sizeof text, n == 1 ? "%x" : "none", e.events);
	return text;
}

static void epoll_after(void)
{
	int fd = tcp(SOCK_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP };

	say("%s", started(conn4(fd, ECHO)));
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	say("%s", events_of(ep, 2000));
	say("SO_ERROR %s", err_name(so_error(fd)));
	close(fd);
	close(ep);
}

static void epoll_edge_before(void)
{
	int fd = tcp(SOCK_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	say("fresh %s", events_of(ep, 0));
	say("%s", started(conn4(fd, ECHO)));
	say("%s", events_of(ep, 2000));
	say("%s", events_of(ep, 50));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", echo(fd));
	close(fd);
	close(ep);
}

static void epoll_edge_silent(void)
{
	int fd = tcp(SOCK_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };

	say("%s", got(conn4(fd, SILENT)));
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	say("%s", events_of(ep, 700));
	close(fd);
	say("%s", events_of(ep, 0));
	close(ep);
}

static void with_select(void)
{
	int fd = tcp(SOCK_NONBLOCK), n;
	struct timeval t = { .tv_sec = 2 };
	fd_set w;

	FD_ZERO(&w);
	FD_SET(fd, &w);
	say("%s", started(conn4(fd, ECHO)));
	n = select(fd + 1, NULL, &w, NULL, &t);
	say("select %d %d SO_ERROR %s", n, FD_ISSET(fd, &w) != 0, err_name(so_error(fd)));
	close(fd);
}

static void poll_at_each_stage(void)
{
	int fd = tcp(SOCK_NONBLOCK);
	char c[8];

	say("fresh %x", wait_for(fd, POLLIN | POLLOUT | POLLRDHUP, 0));
	conn4(fd, SILENT);
	say("pending %x", wait_for(fd, POLLIN | POLLOUT | POLLRDHUP, 0));
	close(fd);
	fd = opened(SOURCE);
	wait_for(fd, POLLRDHUP, 2000);
	say("ended there %x", wait_for(fd, POLLIN | POLLOUT | POLLRDHUP, 0));
	recv(fd, c, 6, MSG_WAITALL);
	say("read out %x", wait_for(fd, POLLIN | POLLOUT | POLLRDHUP, 0));
	shutdown(fd, SHUT_WR);
	wait_for(fd, 0, 500);
	say("ended here %x", wait_for(fd, POLLIN | POLLOUT | POLLRDHUP, 0));
	close(fd);
}

static void select_of_a_refusal(void)
{
	struct timeval t = { .tv_sec = 2 };
	fd_set r, w, x;
	int fd = tcp(SOCK_NONBLOCK), n;

	conn4(fd, REFUSED);
	wait_for(fd, POLLOUT, 2000);
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&x);
	FD_SET(fd, &r);
	FD_SET(fd, &w);
	FD_SET(fd, &x);
	n = select(fd + 1, &r, &w, &x, &t);
	say("%d: %d %d %d", n, FD_ISSET(fd, &r) != 0, FD_ISSET(fd, &w) != 0, FD_ISSET(fd, &x) != 0);
	close(fd);
}

static void select_of_silence(void)
{
	struct timeval t = { .tv_usec = 100000 };
	fd_set r, w;
	int fd = tcp(SOCK_NONBLOCK);

	conn4(fd, SILENT);
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_SET(fd, &r);
	FD_SET(fd, &w);
	say("%s", got(select(fd + 1, &r, &w, NULL, &t)));
	close(fd);
}

static void poll_with_a_signal_mask(void)
{
	struct timespec t = { .tv_sec = 2 };
	struct pollfd p = { .events = POLLOUT };
	struct itimerval soon = { .it_value = { .tv_usec = 100000 } };
	struct sigaction sa = { .sa_handler = ring };
	sigset_t blocked, none;
	fd_set w;

	rang = 0;
	sigaction(SIGALRM, &sa, NULL);
	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	p.fd = tcp(SOCK_NONBLOCK);
	conn4(p.fd, SILENT);
	setitimer(ITIMER_REAL, &soon, NULL);
	say("ppoll %s", got(ppoll(&p, 1, &t, &none)));
	say("rang %d", (int)rang);
	FD_ZERO(&w);
	FD_SET(p.fd, &w);
	setitimer(ITIMER_REAL, &soon, NULL);
	say("pselect %s", got(pselect(p.fd + 1, NULL, &w, NULL, &t, &none)));
	say("rang %d", (int)rang);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	signal(SIGALRM, SIG_DFL);
	close(p.fd);
}

static void epoll_of_a_refusal(void)
{
	int fd = tcp(SOCK_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLOUT | EPOLLET }, seen = { 0 };

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	epoll_wait(ep, &seen, 1, 0);
	conn4(fd, REFUSED);
	/* Edge-triggered: HUP may stand alone from before the connect, the error is what counts. */
	for (int i = 0; i < 5 && !(seen.events & EPOLLERR); i++)
		epoll_wait(ep, &seen, 1, 500);
	say("%x", seen.events);
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", events_of(ep, 30));
	close(fd);
	close(ep);
}

static void epoll_one_shot_and_again(void)
{
	int fd = tcp(SOCK_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLOUT | EPOLLONESHOT };

	conn4(fd, ECHO);
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	say("%s", events_of(ep, 2000));
	say("%s", events_of(ep, 30));
	epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
	say("%s", events_of(ep, 2000));
	e.events = EPOLLIN;
	epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
	send(fd, "x", 1, 0);
	say("%s", events_of(ep, 2000));
	close(fd);
	close(ep);
}

static void epoll_in_epoll(void)
{
	int fd = tcp(SOCK_NONBLOCK), inner = epoll_create1(0), outer = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLOUT | EPOLLET }, in = { .events = EPOLLIN };

	conn4(fd, ECHO);
	epoll_ctl(inner, EPOLL_CTL_ADD, fd, &e);
	epoll_ctl(outer, EPOLL_CTL_ADD, inner, &in);
	say("%s", events_of(outer, 2000));
	say("%s", events_of(inner, 2000));
	say("%s", events_of(outer, 30));
	close(fd);
	close(inner);
	close(outer);
}

static void *wait_on(void *arg)
{
	struct epoll_event e = { 0 };
	int n = epoll_wait(*(int *)arg, &e, 1, 3000);

	return (void *)(intptr_t)(n == 1 ? (int)e.events : -1);
}

static void epoll_waited_on_elsewhere(void)
{
	int fd = tcp(SOCK_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLOUT };
	pthread_t t;
	void *r;

	conn4(fd, SILENT);
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	pthread_create(&t, NULL, wait_on, &ep);
	usleep(50000);
	say("%s", got(unspec(fd)));
	say("%s", started(conn4(fd, ECHO)));
	pthread_join(t, &r);
	say("woke %d", (int)(intptr_t)r > 0);
	close(fd);
	close(ep);
}

static void many_become_ready(void)
{
	enum { MANY = 64 };
	int fds[MANY], ep = epoll_create1(0), ready = 0;

	for (int i = 0; i < MANY; i++) {
		struct epoll_event e = { .events = EPOLLOUT | EPOLLONESHOT };

		fds[i] = tcp(SOCK_NONBLOCK);
		conn4(fds[i], ECHO);
		epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &e);
	}
	for (int i = 0; i < MANY && ready < MANY; i++) {
		struct epoll_event e[MANY];
		int n = epoll_wait(ep, e, MANY, 2000);

		ready += n > 0 ? n : 0;
	}
	say("ready %d", ready);
	ready = 0;
	for (int i = 0; i < MANY; i++) {
		ready += so_error(fds[i]) == 0 && !strcmp(echo(fds[i]), "echo");
		close(fds[i]);
	}
	say("echo %d", ready);
	close(ep);
}

static void signal_driven(void)
{
	struct sigaction sa = { .sa_handler = ring };
	int fd = tcp(SOCK_NONBLOCK);

	rang = 0;
	sigaction(SIGIO, &sa, NULL);
	fcntl(fd, F_SETOWN, getpid());
	fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK);
	say("%s", started(conn4(fd, ECHO)));
	for (int i = 0; i < 100 && !rang; i++)
		usleep(10000);
	say("rang %d", rang > 0);
	say("poll %x", wait_for(fd, POLLOUT, 2000));
	rang = 0;
	send(fd, "x", 1, 0);
	for (int i = 0; i < 100 && !rang; i++)
		usleep(10000);
	say("rang %d", rang > 0);
	close(fd);
	signal(SIGIO, SIG_DFL);
}

/* --- io_uring, by hand: one entry at a time --- */

struct ring {
	int fd;
	struct io_uring_params p;
	char *sq, *cq;
	struct io_uring_sqe *sqes;
};

static bool ring_open(struct ring *r)
{
	memset(r, 0, sizeof *r);
	r->fd = (int)syscall(SYS_io_uring_setup, 4, &r->p);
	if (r->fd < 0)
		return false;
	r->sq = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
	r->cq = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_CQ_RING);
	r->sqes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQES);
	return r->sq != MAP_FAILED && r->cq != MAP_FAILED && r->sqes != MAP_FAILED;
}

static int ring_do(struct ring *r, const struct io_uring_sqe *sqe)
{
	unsigned *tail = (unsigned *)(void *)(r->sq + r->p.sq_off.tail),
		 mask = *(unsigned *)(void *)(r->sq + r->p.sq_off.ring_mask), at = *tail & mask,
		 *head = (unsigned *)(void *)(r->cq + r->p.cq_off.head),
		 cq_mask = *(unsigned *)(void *)(r->cq + r->p.cq_off.ring_mask);
	struct io_uring_cqe *cqe;

	r->sqes[at] = *sqe;
	((unsigned *)(void *)(r->sq + r->p.sq_off.array))[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return -errno;
	cqe = (struct io_uring_cqe *)(void *)(r->cq + r->p.cq_off.cqes) + (*head & cq_mask);
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return cqe->res;
}

static void ring_close(struct ring *r)
{
	munmap(r->sq, 4096);
	munmap(r->cq, 4096);
	munmap(r->sqes, 4096);
	close(r->fd);
}

static void io_uring_polls_and_moves_bytes(void)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_POLL_ADD };
	struct ring r;
	int fd = tcp(SOCK_NONBLOCK);
	char c[4] = "abc";

	if (!ring_open(&r)) {
		say("no ring: %s", got(-1));
		close(fd);
		return;
	}
	say("%s", started(conn4(fd, ECHO)));
	sqe.fd = fd;
	sqe.poll32_events = POLLOUT;
	say("poll %x", (unsigned)ring_do(&r, &sqe));
	sqe = (struct io_uring_sqe){ .opcode = IORING_OP_SEND, .fd = fd, .len = 3 };
	sqe.addr = (uint64_t)(uintptr_t)c;
	say("send %d", ring_do(&r, &sqe));
	fcntl(fd, F_SETFL, 0);
	sqe.opcode = IORING_OP_RECV;
	say("recv %d", ring_do(&r, &sqe));
	ring_close(&r);
	close(fd);
}

static void io_uring_connects(void)
{
	struct sockaddr_in a = to4(ECHO);
	struct io_uring_sqe sqe = { .opcode = IORING_OP_CONNECT };
	struct ring r;
	int fd = tcp(0);

	if (!ring_open(&r)) {
		say("no ring: %s", got(-1));
		close(fd);
		return;
	}
	sqe.fd = fd;
	sqe.addr = (uint64_t)(uintptr_t)&a;
	sqe.off = sizeof a;
	say("%d", ring_do(&r, &sqe));
	say("%s", echo(fd));
	ring_close(&r);
	close(fd);
}

const struct check event_checks[] = {
	CHECK(epoll_after),
	CHECK(epoll_edge_before),
	CHECK(epoll_edge_silent),
	CHECK(with_select),
	CHECK(poll_at_each_stage),
	CHECK(select_of_a_refusal),
	CHECK(select_of_silence),
	CHECK(poll_with_a_signal_mask),
	CHECK(epoll_of_a_refusal),
	CHECK(epoll_one_shot_and_again),
	CHECK(epoll_in_epoll),
	CHECK(epoll_waited_on_elsewhere),
	CHECK(many_become_ready),
	CHECK(signal_driven),
	CHECK(io_uring_polls_and_moves_bytes),
	CHECK(io_uring_connects),
	CHECKS_END,
};
