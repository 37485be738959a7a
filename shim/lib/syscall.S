/* SPDX-License-Identifier: MIT */
/*
 * syscall(2): the numbers that connect or name go to the hooks, all others straight through with six
 * arguments. There is no frame, so a number that returns twice or on another stack (vfork, clone)
 * finds the stack as libc's own syscall() leaves it.
 */
#include <sys/syscall.h>

	.text
	.globl	syscall
	.type	syscall, @function
#if defined(__x86_64__)
syscall:
	.cfi_startproc
	endbr64
	cmpq	$SYS_connect, %rdi
	je	1f
	cmpq	$SYS_sendto, %rdi
	je	1f
	cmpq	$SYS_sendmsg, %rdi
	je	1f
	cmpq	$SYS_sendmmsg, %rdi
	je	1f
	cmpq	$SYS_getpeername, %rdi
	je	1f
	cmpq	$SYS_getsockname, %rdi
	je	1f
	cmpq	$SYS_getsockopt, %rdi
	je	1f
	cmpq	$SYS_setsockopt, %rdi
	je	1f
	movq	%rdi, %rax
	movq	%rsi, %rdi
	movq	%rdx, %rsi
	movq	%rcx, %rdx
	movq	%r8, %r10
	movq	%r9, %r8
	movq	8(%rsp), %r9
	syscall
	cmpq	$-4095, %rax
	jae	2f
	ret
1:	jmp	syscall_hooked
2:	movq	%rax, %rdi
	jmp	syscall_failed
	.cfi_endproc
#elif defined(__aarch64__)
syscall:
	.cfi_startproc
	hint	#34
	cmp	x0, #SYS_connect
	b.eq	1f
	cmp	x0, #SYS_sendto
	b.eq	1f
	cmp	x0, #SYS_sendmsg
	b.eq	1f
	cmp	x0, #SYS_sendmmsg
	b.eq	1f
	cmp	x0, #SYS_getpeername
	b.eq	1f
	cmp	x0, #SYS_getsockname
	b.eq	1f
	cmp	x0, #SYS_getsockopt
	b.eq	1f
	cmp	x0, #SYS_setsockopt
	b.eq	1f
	mov	x8, x0
	mov	x0, x1
	mov	x1, x2
	mov	x2, x3
	mov	x3, x4
	mov	x4, x5
	mov	x5, x6
	svc	#0
	cmn	x0, #4095
	b.cs	syscall_failed
	ret
1:	b	syscall_hooked
	.cfi_endproc
#endif
	.size	syscall, .-syscall
	.section .note.GNU-stack, "", @progbits
