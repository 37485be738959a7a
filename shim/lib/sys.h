/* SPDX-License-Identifier: MIT */
/*
 * Raw system calls, x86_64 and aarch64: the shim calls no libc, so that one file loads under glibc
 * and musl, before any malloc, and cannot meet its own hooks. Results are the kernel's: -errno on
 * failure.
 */
#ifndef PLAIT_SHIM_SYS_H
#define PLAIT_SHIM_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#if defined(__x86_64__)
static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	long r;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}
#elif defined(__aarch64__)
static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}
#else
#error "libplait.so knows the system calls of x86_64 and aarch64"
#endif

/*
 * In an argument that the kernel does not look at: this call was decided by the library, so the
 * trap of `plait run` (shim/cmd/trap.c) lets it pass.
 */
#define SYS_MARK 0x74696c70

static inline long sys_connect(int fd, const void *sa, socklen_t len)
{
	return sys6(SYS_connect, fd, (long)sa, (long)len, SYS_MARK, 0, 0);
}
static inline long sys_socket(int domain, int type, int protocol)
{
	return sys6(SYS_socket, domain, type, protocol, 0, 0, 0);
}
static inline long sys_fcntl(int fd, int what) { return sys6(SYS_fcntl, fd, what, 0, 0, 0, 0); }
static inline long sys_close(int fd) { return sys6(SYS_close, fd, 0, 0, 0, 0, 0); }
static inline long sys_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	return sys6(SYS_getsockopt, fd, level, option, (long)value, (long)len, SYS_MARK);
}
static inline long sys_setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	return sys6(SYS_setsockopt, fd, level, option, (long)value, (long)len, SYS_MARK);
}
static inline long sys_getpeername(int fd, void *sa, socklen_t *len)
{
	return sys6(SYS_getpeername, fd, (long)sa, (long)len, SYS_MARK, 0, 0);
}
static inline long sys_getsockname(int fd, void *sa, socklen_t *len)
{
	return sys6(SYS_getsockname, fd, (long)sa, (long)len, SYS_MARK, 0, 0);
}
static inline long sys_sendto(int fd, const void *buf, size_t len, int flags, const void *sa,
			      socklen_t sa_len)
{
	return sys6(SYS_sendto, fd, (long)buf, (long)len, flags, (long)sa, (long)sa_len);
}
static inline long sys_sendmsg(int fd, const struct msghdr *m, int flags)
{
	return sys6(SYS_sendmsg, fd, (long)m, flags, SYS_MARK, 0, 0);
}
static inline long sys_recvfrom(int fd, void *buf, size_t len, int flags)
{
	return sys6(SYS_recvfrom, fd, (long)buf, (long)len, flags, 0, 0);
}
/* Reads this process's own memory without trusting the address: n, fewer, or -EFAULT. */
static inline long sys_peek(void *to, const void *from, size_t n)
{
	struct iovec here = { to, n }, there = { (void *)(uintptr_t)from, n };

	return sys6(SYS_process_vm_readv, sys6(SYS_getpid, 0, 0, 0, 0, 0, 0), (long)&here, 1,
		    (long)&there, 1, 0);
}
/* And writes it: the same. */
static inline long sys_poke(void *to, const void *from, size_t n)
{
	struct iovec here = { (void *)(uintptr_t)from, n }, there = { to, n };

	return sys6(SYS_process_vm_writev, sys6(SYS_getpid, 0, 0, 0, 0, 0, 0), (long)&here, 1,
		    (long)&there, 1, 0);
}
static inline long sys_write(int fd, const void *buf, size_t len)
{
	return sys6(SYS_write, fd, (long)buf, (long)len, 0, 0, 0);
}

#endif
