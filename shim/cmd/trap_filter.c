/* SPDX-License-Identifier: MIT */
#include "shim/cmd/trap_state.h"

#include "shim/lib/shim.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

/* The low half of an argument, on little-endian machines. */
#define ARG(n) ((uint32_t)offsetof(struct seccomp_data, args[n]))
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
/* Unless A is equal to v, skip so many. */
#define UNLESS(v, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (v), 0, (skip))
#define IF_SET(bits, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bits), (yes), (no))
#define DENY(e) RETURN(SECCOMP_RET_ERRNO | (e))

static const struct sock_filter filter[] = {
	LOAD(offsetof(struct seccomp_data, arch)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 4, 0),
	/* i386 on x86_64: socketcall and connect are shut, or it would go directly. */
	LOAD(offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 102, 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 362, 0, 5), /* to the ALLOW of a marked call */
	DENY(ENETUNREACH),

	LOAD(offsetof(struct seccomp_data, nr)),
	/* Marked by libplait.so: it has decided already. */
	UNLESS(SYS_connect, 4),
	LOAD(ARG(3)),
	UNLESS(SYS_MARK, 1),
	RETURN(SECCOMP_RET_ALLOW),
	RETURN(SECCOMP_RET_USER_NOTIF),

	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpeername, 1, 0),
	UNLESS(SYS_getsockname, 4),
	LOAD(ARG(3)),
	UNLESS(SYS_MARK, 1),
	RETURN(SECCOMP_RET_ALLOW),
	RETURN(SECCOMP_RET_USER_NOTIF),

	UNLESS(SYS_getsockopt, 9),
	LOAD(ARG(5)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_MARK, 6, 0),
	LOAD(ARG(1)),
	UNLESS(SOL_SOCKET, 4),
	LOAD(ARG(2)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_ERROR, 1, 0),
	UNLESS(SO_PEERNAME, 1),
	RETURN(SECCOMP_RET_USER_NOTIF),
	RETURN(SECCOMP_RET_ALLOW),

	/* option_is_carried() of shim/lib/options.c */
	UNLESS(SYS_setsockopt, 20),
	LOAD(ARG(5)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_MARK, 17, 0),
	LOAD(ARG(1)),
	UNLESS(SOL_SOCKET, 2),
	LOAD(ARG(2)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_KEEPALIVE, 12, 13),
	UNLESS(IPPROTO_TCP, 5),
	LOAD(ARG(2)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_USER_TIMEOUT, 9, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_KEEPIDLE, 8, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_KEEPINTVL, 7, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_KEEPCNT, 6, 7),
	UNLESS(IPPROTO_IP, 2),
	LOAD(ARG(2)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IP_TOS, 3, 4),
	UNLESS(IPPROTO_IPV6, 3),
	LOAD(ARG(2)),
	UNLESS(IPV6_TCLASS, 1),
	RETURN(SECCOMP_RET_USER_NOTIF),
	RETURN(SECCOMP_RET_ALLOW),

	/* Connecting sends: "no fast open here", and programs connect the ordinary way. */
	UNLESS(SYS_sendto, 4),
	LOAD(ARG(3)),
	IF_SET(MSG_FASTOPEN, 0, 1),
	DENY(EOPNOTSUPP),
	RETURN(SECCOMP_RET_ALLOW),
	UNLESS(SYS_sendmsg, 6),
	LOAD(ARG(3)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_MARK, 3, 0),
	LOAD(ARG(2)),
	IF_SET(MSG_FASTOPEN, 0, 1),
	DENY(EOPNOTSUPP),
	RETURN(SECCOMP_RET_ALLOW),
	UNLESS(SYS_sendmmsg, 6),
	LOAD(ARG(4)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_MARK, 3, 0),
	LOAD(ARG(3)),
	IF_SET(MSG_FASTOPEN, 0, 1),
	DENY(EOPNOTSUPP),
	RETURN(SECCOMP_RET_ALLOW),

	/* Operations of a ring are no system calls: without rings, programs use those. */
	UNLESS(SYS_io_uring_setup, 1),
	DENY(ENOSYS),
#if defined(__x86_64__)
	/* x32 numbers */
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
	DENY(ENOSYS),
#endif
	RETURN(SECCOMP_RET_ALLOW),
};

static int install(unsigned flags)
{
	struct sock_fprog program = {
		.len = (unsigned short)(sizeof filter / sizeof *filter),
		.filter = (struct sock_filter *)(uintptr_t)filter,
	};

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

int trap_filter_install(void)
{
	/* WAIT_KILLABLE_RECV: or an answer that consumed something (SO_ERROR) could be lost to a
	 * signal, and Go's preemption signals would restart a connect for ever. */
	unsigned flags =
		SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	int fd = install(flags);

	/* Only who is privileged may do it and keep the means to gain privilege. */
	if (fd < 0 && errno == EACCES && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fd = install(flags);
	if (fd < 0 && errno == EINVAL) { /* before Linux 5.19 */
		flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
		fd = install(flags);
		if (fd < 0 && errno == EACCES && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
			fd = install(flags);
	}
	return fd;
}
