/* SPDX-License-Identifier: MIT */
/*
 * What connect() and its relatives do, one line a check: run natively and under libplait.so, the
 * lines must be the same (tests/system/shim.sh). A line says what was seen, not whether it is
 * right: the kernel is the reference.
 *
 *	probe server ADDRESS4 ADDRESS6             serves the ports below until killed
 *	probe client ADDRESS4 ADDRESS6 [NAME...]   all checks, or those named
 *	probe count                                how many checks there are
 *	probe peer FD                              used by the client itself, across exec
 *
 * Routes expected by the caller: 10.97.0.0/16 prohibit, 10.98.0.0/16 unreachable, 10.99.0.0/16
 * none. One file a family of checks; tools.c has what they share, server.c the other end.
 */
#ifndef PLAIT_PROBE_H
#define PLAIT_PROBE_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

enum {
	ECHO = 7001,
	REFUSED = 7002, /* nobody listens */
	SILENT = 7003,  /* a full accept queue: SYNs are dropped */
	RESET = 7004,   /* reads a byte, then RST */
	WATCH = 7005,   /* reads a 4-byte name, then all; how it ended is kept under the name */
	REPORT = 7006,  /* reads a name, answers what WATCH kept under it */
	SOURCE = 7007,  /* sends "hello" and FIN, then reads to the end */
	URGENT = 7008,  /* on a byte: sends "ab", an urgent "!", "cd"; then reads to the end */
};

struct check {
	const char *name;
	void (*run)(void);
};
#define CHECK(f) { #f, f }
#define CHECKS_END { NULL, NULL }

extern const struct check connect_checks[], form_checks[], name_checks[], option_checks[],
	event_checks[], send_checks[], process_checks[], signal_checks[], end_checks[];

int server(void);

/* --- what was seen: appended to the line of the running check, with ", " between --- */

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *said(void); /* the line so far */
void say_nothing(void); /* forget it */
void say_name(const char *what, int r, const struct sockaddr_storage *sa, socklen_t len,
	      bool with_port);
void say_peer(int fd);
void say_local(int fd); /* the port only as "is there one" */
/* Runs body in a forked child; its line is said as "child: ..." */
void say_child(void (*body)(void *), void *arg);

/* A result as text: the number, or the errno's name. */
const char *got(long r);
const char *err_name(int e);
/* 0 and EINPROGRESS are one answer of a non-blocking connect: who is quicker is chance. */
const char *started(int r);

/* --- the scene --- */

extern struct sockaddr_in server4;
extern struct sockaddr_in6 server6;
extern const char *const self;

double now(void); /* seconds */
/* Whether the time since begin is within [low, high): "in time", or how long it was. */
const char *timely(double begin, double low, double high);
struct sockaddr_in at4(const char *ip, int port);
struct sockaddr_in to4(int port);
struct sockaddr_in6 to6(int port);
struct sockaddr_in6 mapped(int port);
int tcp(int flags);
int tcp6(int flags);
int conn4(int fd, int port);
int conn6(int fd, int port);
int unspec(int fd);
int opened(int port); /* a connected socket, blocking */
int so_error(int fd);
int wait_for(int fd, short events, int ms); /* revents, 0: none in time */
/* One byte there and back, or the errno. */
const char *echo(int fd);
/* How the stream that began with this name ended for the server. */
void say_watched(const char name[5]);
int on(int fd, int level, int option, int value); /* setsockopt() of an int */
int value_of(int fd, int level, int option);      /* and back; -1: errno */
extern volatile sig_atomic_t rang; /* counted by ring() */
void ring(int sig);

#endif
