/* SPDX-License-Identifier: MIT */
/*
 * UDP in batches (DESIGN D12). Outwards, datagrams of one size to one destination are gathered and
 * leave by one sendmsg() with UDP_SEGMENT; inwards, UDP_GRO gives many of one sender in one recvmsg().
 * A batch is built in place: ask for room, write the datagram there, say how long it became.
 *
 * When the kernel takes no more, a bounded number of batches waits and the rest is dropped and
 * counted: the tunnelled TCP slows down by that, as it would for a full queue on the way.
 * Nothing sent here is ever fragmented (DF is set, and the path MTU cache is not believed).
 */
#ifndef PLAIT_IO_UDP_H
#define PLAIT_IO_UDP_H

#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/counters.h"
#include "tunneld/io/loop.h"

enum {
	UDP_BUFFER = 65536,       /* one batch, in or out */
	UDP_BATCH_BYTES = 65000,  /* payload of one sendmsg(), below 65535 less headers */
	UDP_BATCH_DATAGRAMS = 64, /* UDP_MAX_SEGMENTS of Linux 4.18 and later */
	UDP_QUEUE_MAX = 16,       /* batches waiting for one socket */
	UDP_POOL = 256,           /* buffers of one pool */
};

struct udp;

/* One datagram; bytes may be changed in place during the call. */
struct udp_datagram {
	uint8_t *bytes;
	size_t len;
	struct addr from, to;     /* to: which of our addresses it was sent to, port left 0 */
	uint32_t ifindex;         /* it came in by */
	bool first;               /* of those that one call gave: the others came at the same time */
};

/*
 * Something went wrong with a datagram to `to`: the system refused it, or somebody on the way said so by ICMP. Anybody can
 * say so: quoted is as much of the lost datagram as the message repeats, for the owner to judge whether it ever was.
 */
struct udp_error {
	enum { UDP_ERROR_SEND, UDP_ERROR_ICMP, UDP_ERROR_ICMP6 } origin;
	int error;                /* errno */
	uint8_t type, code;       /* ICMP */
	uint32_t mtu;             /* of the next hop, where the message is about that */
	struct addr to;           /* family 0: not known */
	struct addr reporter;     /* who sent the ICMP message; family 0: not known */
	const uint8_t *quoted;
	size_t quoted_len;
};

struct udp_events {
	void (*datagram)(void *owner, struct udp *u, const struct udp_datagram *d);
	/* A datagram of len bytes does not fit the way to `to`; it is lost. */
	void (*too_big)(void *owner, struct udp *u, const struct addr *to, size_t len);
	/* Everything that was read in this turn has been told. */
	void (*drained)(void *owner, struct udp *u);
	/* Optional. May come once for each datagram: the owner limits what it does about it. */
	void (*error)(void *owner, struct udp *u, const struct udp_error *e);
};

struct udp_buffer {
	struct udp_buffer *next;
	struct addr to, from;     /* from: source address to use, family 0 = the kernel's choice */
	size_t len, segment_len;  /* all datagrams but the last are segment_len long */
	size_t sent;              /* bytes of it the kernel has, where it took only some of the datagrams */
	unsigned count;
	uint8_t bytes[UDP_BUFFER];
};

/* Buffers shared by all sockets of a loop, taken from the system as needed, UDP_POOL at most. */
struct udp_pool {
	struct udp_buffer *free;
	unsigned made;
	struct counters *counters;
	uint8_t *input;           /* UDP_BUFFER bytes, received into */
};
int udp_pool_open(struct udp_pool *p, struct counters *counters); /* 0 or errno */
void udp_pool_close(struct udp_pool *p);

struct udp {
	int fd;
	struct loop_fd watch;
	struct udp_pool *pool;
	const struct udp_events *events;
	void *owner;
	struct addr local;        /* as bound; port filled in */
	bool gso;                 /* off for good once the kernel refused it here */
	struct udp_buffer *queue, **queue_end; /* waiting for the socket to take more */
	unsigned queued;
	usec_t ready_us;          /* when it was readable last */
	int rcvbuf, sndbuf;       /* bytes, as the kernel granted them */
	uint64_t bytes_out, bytes_in, datagrams_out, datagrams_in, calls_out, calls_in;
};

/*
 * Binds to local (its port 0: any) and, where interface is not NULL, to that interface: by
 * SO_BINDTODEVICE, which an ordinary user may since Linux 5.7. 0 or errno.
 */
int udp_open(struct udp *u, struct loop *l, struct udp_pool *p, const struct addr *local, const char *interface,
	     const struct udp_events *events, void *owner);
/*
 * Several sockets at one address, each for a worker. The first is opened as any other, so that an address in use is told, the
 * others beside it, and then it is told of which datagrams go to which: to the socket of the number (in the order in which they
 * were opened, the first is 0) that the datagram's bytes name. 0 or errno.
 */
struct udp_steer {
	uint8_t type_max;         /* of a datagram's first byte; above: to the first socket */
	const uint8_t *byte;      /* by type: where the byte is that names the socket; 0: to the first socket */
	uint8_t shift;            /* of that byte, then modulo sockets */
	uint8_t sockets;
};
int udp_open_beside(struct udp *u, struct loop *l, struct udp_pool *p, const struct udp *first, const struct udp_events *events,
		    void *owner);
int udp_steer(struct udp *first, const struct udp_steer *steer);
void udp_close(struct udp *u);

/* What one path has gathered and not yet sent. Zeroed = empty. */
struct udp_batch {
	struct udp_buffer *buffer;
};
/*
 * Room for one datagram of at most len bytes to `to`, sent from our address `from` (NULL: the
 * kernel's choice). NULL: no buffer; the datagram is to be dropped, counted here.
 */
uint8_t *udp_batch_room(struct udp_batch *b, struct udp *u, const struct addr *to, const struct addr *from, size_t len);
/* The datagram written to the room is len bytes long (0: there is none after all). */
void udp_batch_add(struct udp_batch *b, struct udp *u, size_t len);
void udp_batch_flush(struct udp_batch *b, struct udp *u);

#endif
