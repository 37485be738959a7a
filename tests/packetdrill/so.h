/* SPDX-License-Identifier: MIT */
/* What the two files of the adapter share: packetdrill's callbacks, our sockets, the one engine behind them. */
#ifndef PLAIT_PACKETDRILL_SO_H
#define PLAIT_PACKETDRILL_SO_H

#include "tunneld/mptcp/engine.h"
#include "tunneld/wire/tcp_option.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SOCKETS = 64, CONNS = 64, PATHS = 8, PACKETS = 512, PACKET_MAX = 2048, WSCALE = 8, START_US = 1000000000, MPTCP = 262 };

/* The callbacks, in the order that the program which loads us expects. Unused ones stay NULL-safe: they answer ENOSYS. */
struct callbacks {
	void *userdata;
	void (*free)(void *);
	int (*socket)(void *, int, int, int);
	int (*bind)(void *, int, const struct sockaddr *, socklen_t);
	int (*listen)(void *, int, int);
	int (*accept)(void *, int, struct sockaddr *, socklen_t *);
	int (*connect)(void *, int, const struct sockaddr *, socklen_t);
	ssize_t (*read)(void *, int, void *, size_t);
	ssize_t (*readv)(void *, int, const struct iovec *, int);
	ssize_t (*recv)(void *, int, void *, size_t, int);
	ssize_t (*recvfrom)(void *, int, void *, size_t, int, struct sockaddr *, socklen_t *);
	ssize_t (*recvmsg)(void *, int, struct msghdr *, int);
	ssize_t (*write)(void *, int, const void *, size_t);
	ssize_t (*writev)(void *, int, const struct iovec *, int);
	ssize_t (*send)(void *, int, const void *, size_t, int);
	ssize_t (*sendto)(void *, int, const void *, size_t, int, const struct sockaddr *, socklen_t);
	ssize_t (*sendmsg)(void *, int, const struct msghdr *, int);
	int (*fcntl)(void *, int, int, ...);
	int (*ioctl)(void *, int, unsigned long, ...);
	int (*close)(void *, int);
	int (*shutdown)(void *, int, int);
	int (*getsockopt)(void *, int, int, int, void *, socklen_t *);
	int (*setsockopt)(void *, int, int, int, const void *, socklen_t);
	int (*poll)(void *, struct pollfd *, nfds_t, int);
	int (*netdev_send)(void *, const void *, size_t);
	int (*netdev_receive)(void *, void *, size_t *, long long *);
	int (*usleep)(void *, useconds_t);
	int (*gettimeofday)(void *, struct timeval *, struct timezone *);
	int (*epoll_create)(void *, int);
	int (*epoll_ctl)(void *, int, int, int, struct epoll_event *);
	int (*epoll_wait)(void *, int, struct epoll_event *, int, int);
	int (*pipe)(void *, int[2]);
	int (*splice)(void *, int, loff_t *, int, loff_t *, size_t, unsigned);
};

struct sock {
	int fd;                     /* 0: free */
	bool listening, nonblock, connecting, connected, eof, shut, linger0;
	int protocol, error;
	struct addr local;
	conn_id conn;
};
struct out_packet { long long at; size_t len; uint8_t bytes[PACKET_MAX]; };

struct so {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct engine *e;
	struct counters counters;
	usec_t now;
	struct addr paths[PATHS];
	unsigned path_count;
	struct sock socks[SOCKETS];
	struct { conn_id id; uint16_t port; } waiting[CONNS]; /* dialled, not yet accepted */
	unsigned waiting_count;
	struct out_packet *out[PACKETS];
	unsigned out_count;
};
extern struct so so;

/* --- packets.c --- */
int fails(int error);
struct sock *sock_of(int fd);
struct sock *sock_new(int protocol);
struct addr addr_of(const struct sockaddr *sa);
path_id path_of(const struct addr *ip);
void pump(void);
int so_netdev_send(void *u, const void *buf, size_t count);
int so_netdev_receive(void *u, void *buf, size_t *count, long long *time_usecs);
int so_usleep(void *u, useconds_t usec);
int so_gettimeofday(void *u, struct timeval *tv, struct timezone *tz);

#endif
