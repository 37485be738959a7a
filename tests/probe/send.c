/* SPDX-License-Identifier: MIT */
/* Sends that connect, and the other names by which calls are made. */
#include "tests/probe/probe.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static void fastopen_sendto(void)
{
	struct sockaddr_in a = to4(ECHO), r = to4(REFUSED), s = to4(SILENT);
	int fd = tcp(0);
	char c;

	say("%s", got(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof a)));
	say("recv %s", got(recv(fd, &c, 1, 0)));
	say("again %s",
	    got(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&a, sizeof a)));
	say_peer(fd);
	close(fd);
	fd = tcp(0);
	say("refused %s",
	    got(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&r, sizeof r)));
	say("%s", got(conn4(fd, ECHO)));
	close(fd);
	fd = tcp(SOCK_NONBLOCK);
	say("%s", got(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof a)));
	say("poll %x", wait_for(fd, POLLOUT, 2000));
	say("SO_ERROR %s", err_name(so_error(fd)));
	say("%s", echo(fd));
	close(fd);
	fd = tcp(0);
	say("dontwait %s",
	    got(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_DONTWAIT, (struct sockaddr *)&s, sizeof s)));
	say("again %s",
	    got(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_DONTWAIT, (struct sockaddr *)&s, sizeof s)));
	close(fd);
}

static void fastopen_sendmsg(void)
{
	struct sockaddr_in a = to4(ECHO);
	struct iovec iov = { "xy", 2 };
	struct msghdr m = {
		.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &iov, .msg_iovlen = 1
	};
	struct mmsghdr mm[2] = { { .msg_hdr = m }, { .msg_hdr = m } };
	int fd = tcp(0);
	char c[8];

	say("%s", got(sendmsg(fd, &m, MSG_FASTOPEN)));
	say("recv %s", got(recv(fd, c, 2, MSG_WAITALL)));
	say_peer(fd);
	close(fd);
	fd = tcp(0);
	mm[1].msg_hdr.msg_name = NULL;
	mm[1].msg_hdr.msg_namelen = 0;
	say("mmsg %s", got(sendmmsg(fd, mm, 1, MSG_FASTOPEN)));
	say("%u", mm[0].msg_len);
	say("recv %s", got(recv(fd, c, 2, MSG_WAITALL)));
	close(fd);
}

static void fastopen_connect(void)
{
	int fd = tcp(0), one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof one);
	say("%s", got(conn4(fd, ECHO)));
	say("%s", echo(fd));
	say_peer(fd);
	close(fd);
}

static void by_syscall(void)
{
	struct sockaddr_in a = to4(ECHO), sa = { 0 };
	socklen_t len = sizeof sa;
	int fd = tcp(0), e = -1;

	say("%s", got(syscall(SYS_connect, fd, &a, sizeof a)));
	say("%s", echo(fd));
	say("%s", got(syscall(SYS_getpeername, fd, &sa, &len)));
	say("port %d", ntohs(sa.sin_port));
	len = sizeof e;
	say("%s", got(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, &e, &len)));
	say("%d", e);
	say("sendto %s", got(syscall(SYS_sendto, fd, "x", 1UL, MSG_NOSIGNAL, NULL, 0)));
	close(fd);
	fd = tcp(0);
	say("fastopen %s", got(syscall(SYS_sendto, fd, "x", 1UL, MSG_FASTOPEN, &a, sizeof a)));
	say_peer(fd);
	close(fd);
	say("bad %s", got(syscall(SYS_connect, -1, &a, sizeof a)));
	say("unknown %s", got(syscall(100000)));
	say("pid %s", syscall(SYS_getpid) == getpid() ? "same" : "other");
	say("mmap %s",
	    syscall(SYS_mmap, NULL, 4096UL, 3, 0x22, -1, 0) > 0 ? "six arguments" : got(-1));
}

static void by_other_name(void)
{
	int (*other)(int, const struct sockaddr *, socklen_t) = NULL;
	struct sockaddr_in a = to4(ECHO);
	int fd = tcp(0);

#ifndef PROBE_STATIC /* built so, there is no other name to look for */
	other = (int (*)(int, const struct sockaddr *, socklen_t))(uintptr_t)dlsym(RTLD_DEFAULT,
										   "__connect");
#endif
	say("%s", other ? got(other(fd, (struct sockaddr *)&a, sizeof a)) : "none");
	say_peer(fd);
	close(fd);
}

static void fastopen_six_and_mapped(void)
{
	struct sockaddr_in6 a = to6(ECHO), m = mapped(ECHO);
	int fd = tcp6(0);
	char c[4];

	say("%s", got(sendto(fd, "ab", 2, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof a)));
	say("recv %s", got(recv(fd, c, 2, MSG_WAITALL)));
	say_peer(fd);
	close(fd);
	fd = tcp6(0);
	say("%s", got(sendto(fd, "ab", 2, MSG_FASTOPEN, (struct sockaddr *)&m, sizeof m)));
	say("recv %s", got(recv(fd, c, 2, MSG_WAITALL)));
	say_peer(fd);
	close(fd);
}

static void fastopen_refused(void)
{
	struct sockaddr_in r = to4(REFUSED), prohibited = at4("10.97.1.1", 80);
	struct iovec iov = { (char[]){ "x" }, 1 };
	struct msghdr m = {
		.msg_name = &r, .msg_namelen = sizeof r, .msg_iov = &iov, .msg_iovlen = 1
	};
	int fd = tcp(0);

	say("sendmsg %s", got(sendmsg(fd, &m, MSG_FASTOPEN | MSG_NOSIGNAL)));
	m.msg_name = &prohibited;
	say("prohibited %s", got(sendmsg(fd, &m, MSG_FASTOPEN | MSG_NOSIGNAL)));
	close(fd);
	fd = tcp(SOCK_NONBLOCK);
	m.msg_name = &r;
	say("%s", sendmsg(fd, &m, MSG_FASTOPEN | MSG_NOSIGNAL) < 0 && errno == EINPROGRESS
			  ? "started"
			  : got(-1));
	wait_for(fd, POLLOUT, 2000);
	say("SO_ERROR %s", err_name(so_error(fd)));
	close(fd);
}

static void fastopen_with_more(void)
{
	struct sockaddr_in a = to4(ECHO);
	char c[8] = "";
	int fd = tcp(0);

	say("%s",
	    got(sendto(fd, "ab", 2, MSG_FASTOPEN | MSG_MORE, (struct sockaddr *)&a, sizeof a)));
	say("%s", got(send(fd, "cd", 2, 0)));
	say("recv %s", got(recv(fd, c, 4, MSG_WAITALL)));
	say("%.4s", c);
	close(fd);
	fd = tcp(0);
	say("no bytes %s", got(sendto(fd, NULL, 0, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof a)));
	say("%s", echo(fd));
	close(fd);
}

static void fastopen_wrong(void)
{
	struct sockaddr_in a = to4(ECHO);
	struct sockaddr_in6 six = to6(ECHO);
	int fd = tcp(0), udp = socket(AF_INET, SOCK_DGRAM, 0);

	say("short %s", got(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, 4)));
	say("nowhere %s", got(sendto(fd, "x", 1, MSG_FASTOPEN, (void *)(uintptr_t)16, sizeof a)));
	say("no address %s", got(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, NULL, 0)));
	say("six on four %s",
	    got(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&six, sizeof six)));
	say("sendmsg nowhere %s", got(sendmsg(fd, (void *)(uintptr_t)16, MSG_FASTOPEN)));
	say("still %s", got(conn4(fd, ECHO)));
	say("connected %s", got(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof a)));
	say("udp %s", got(sendto(udp, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof a)));
	close(fd);
	close(udp);
}

static void fastopen_many_messages(void)
{
	struct sockaddr_in a = to4(ECHO);
	struct iovec iov[3] = { { (char[]){ "ab" }, 2 },
				{ (char[]){ "cd" }, 2 },
				{ (char[]){ "e" }, 1 } };
	struct mmsghdr m[3] = { { .msg_hdr = { .msg_iov = &iov[0], .msg_iovlen = 1 } },
				{ .msg_hdr = { .msg_iov = &iov[1], .msg_iovlen = 1 } },
				{ .msg_hdr = { .msg_iov = &iov[2], .msg_iovlen = 1 } } };
	char c[8] = "";
	int fd = tcp(0), done;

	m[0].msg_hdr.msg_name = &a;
	m[0].msg_hdr.msg_namelen = sizeof a;
	done = sendmmsg(fd, m, 3, MSG_FASTOPEN | MSG_NOSIGNAL);
	say("%s", got(done));
	/* A caller that was told fewer sends the others itself. */
	while (done > 0 && done < 3 && sendmmsg(fd, m + done, 1, MSG_NOSIGNAL) == 1)
		done++;
	say("recv %s", got(recv(fd, c, 5, MSG_WAITALL)));
	say("%.5s", c);
	say("lengths %u %u", m[0].msg_len, done > 1 ? m[1].msg_len + 2 : 0);
	close(fd);
}

static void sends_that_do_not_connect(void)
{
	struct sockaddr_in a = to4(ECHO);
	struct iovec iov = { (char[]){ "xy" }, 2 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr mm = { .msg_hdr = m };
	int fd = tcp(0), kept = fd;
	char c[16];

	say("fresh %s", got(send(fd, "x", 1, MSG_NOSIGNAL)));
	say("fresh %s", got(sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&a, sizeof a)));
	say("fresh %s", got(sendmsg(fd, &m, MSG_NOSIGNAL)));
	say("fresh %s", got(sendmmsg(fd, &mm, 1, MSG_NOSIGNAL)));
	fd = opened(ECHO);
	close(kept);
	say("address ignored %s", got(sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof a)));
	m.msg_name = &a;
	m.msg_namelen = sizeof a;
	say("%s", got(sendmsg(fd, &m, 0)));
	say("%s", got(sendmmsg(fd, &mm, 1, 0)));
	say("%u", mm.msg_len);
	say("recv %s", got(recv(fd, c, 5, MSG_WAITALL)));
	close(fd);
}

static void bytes_by_every_call(void)
{
	struct iovec iov[2] = { { (char[]){ "ab" }, 2 }, { (char[]){ "cd" }, 2 } };
	struct timeval patience = { .tv_sec = 2 };
	char text[] = "/tmp/probe.XXXXXX", c[64] = "";
	int fd = opened(ECHO), file = mkstemp(text), p[2];
	off_t at = 0;

	unlink(text);
	say("write %s", got(write(fd, "wr", 2)));
	say("writev %s", got(writev(fd, iov, 2)));
	if (pwrite(file, "file", 4, 0) == 4)
		say("sendfile %s", got(sendfile(fd, file, &at, 4)));
	if (!pipe(p)) {
		if (write(p[1], "pipe", 4) == 4)
			say("splice %s", got(splice(p[0], NULL, fd, NULL, 4, 0)));
		close(p[0]);
		close(p[1]);
	}
	on(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	say("zerocopy %s", got(send(fd, "zc", 2, MSG_ZEROCOPY)));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	for (size_t have = 0; have < 16;) {
		ssize_t n = recv(fd, c + have, 16 - have, 0);

		if (n <= 0)
			break;
		have += (size_t)n;
	}
	say("%s", c);
	close(fd);
	close(file);
}

static void syscall_with_six_arguments(void)
{
	struct timespec t = { .tv_nsec = 1000 };
	void *m = (void *)syscall(SYS_mmap, NULL, 8192UL, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file = open(self, O_RDONLY), p[2];
	loff_t at = 1;

	say("mmap %d", m != MAP_FAILED);
	say("pselect6 %s", got(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &t, NULL)));
	/* The sixth argument is the offset: "ELF" stands at 1. */
	m = (void *)syscall(SYS_mmap, NULL, 4096UL, PROT_READ, MAP_PRIVATE, file, 4096L);
	say("file %d", m != MAP_FAILED);
	if (!pipe(p)) {
		char c[4] = "";

		say("splice %s", got(syscall(SYS_splice, file, &at, p[1], NULL, 3UL, 0)));
		if (read(p[0], c, 3) == 3)
			say("%s", c);
		close(p[0]);
		close(p[1]);
	}
	say("futex %s", got(syscall(SYS_futex, &at, 0 /* WAIT */, 99, NULL, NULL, 0)));
	close(file);
}

static void syscall_names(void)
{
	struct sockaddr_in peer = { 0 }, local = { 0 };
	socklen_t len = sizeof peer;
	struct sockaddr_in a = to4(ECHO);
	struct iovec iov = { (char[]){ "x" }, 1 };
	struct msghdr m = {
		.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &iov, .msg_iovlen = 1
	};
	struct mmsghdr mm = { .msg_hdr = m };
	int fd = tcp(0);

	say("sendmsg %s", got(syscall(SYS_sendmsg, fd, &m, MSG_FASTOPEN)));
	say("%s", got(syscall(SYS_getpeername, fd, &peer, &len)));
	say("%s:%d", inet_ntoa(peer.sin_addr), ntohs(peer.sin_port));
	say("%s", got(syscall(SYS_getsockname, fd, &local, &len)));
	say("%s", inet_ntoa(local.sin_addr));
	close(fd);
	fd = tcp(0);
	say("sendmmsg %s", got(syscall(SYS_sendmmsg, fd, &mm, 1, MSG_FASTOPEN)));
	say_peer(fd);
	close(fd);
}

const struct check send_checks[] = {
	CHECK(fastopen_sendto),
	CHECK(fastopen_sendmsg),
	CHECK(fastopen_connect),
	CHECK(by_syscall),
	CHECK(by_other_name),
	CHECK(fastopen_six_and_mapped),
	CHECK(fastopen_refused),
	CHECK(fastopen_with_more),
	CHECK(fastopen_wrong),
	CHECK(fastopen_many_messages),
	CHECK(sends_that_do_not_connect),
	CHECK(bytes_by_every_call),
	CHECK(syscall_with_six_arguments),
	CHECK(syscall_names),
	CHECKS_END,
};
