/* SPDX-License-Identifier: MIT */
/*
 * What libplait.so and tunneld say to each other over tunneld's UNIX socket (SOCK_SEQPACKET): one
 * question, one answer, then both close. Every question carries the socket it is about as its one
 * SCM_RIGHTS descriptor. Both ends are on one host, so errors are its errno numbers.
 *
 * question, LOCAL_ASK_BYTES                   answer, LOCAL_ANSWER_BYTES
 *    0  magic "PLA1"                             0  magic "PLA1"
 *    4  kind | reason | 0 (16 bits)              4  kind | reason | errno (16 bits)
 *    8  number of the descriptor there, 32 bits  8  address: hole, or the peer's name
 *   12  address: destination                    32  address: the local name
 *   36  comm, 16 bytes                         56  LOCAL_TOLD only: LOCAL_INFO_LIST, 64 bits each
 * address: family (0, 4, 6) | 0 | port (16) | scope (32) | IPv4 or IPv6, 16 bytes
 *
 * Compiled into the freestanding shim too: nothing here may call libc beyond memcpy and memset.
 */
#ifndef PLAIT_LOCAL_MSG_H
#define PLAIT_LOCAL_MSG_H

#include "common/addr.h"

enum { LOCAL_ASK_BYTES = 52, LOCAL_ANSWER_BYTES = 56, LOCAL_COMM_BYTES = 16 };

/* What LOCAL_TOLD says of a stream in the tunnel: bytes, microseconds, segments; sums of its subflows but where said. */
#define LOCAL_INFO_LIST(X)                                                             \
	X(subflows)        /* that may carry data; 0: it is being opened */            \
	X(fallback)        /* 0, 1: a regular TCP connection, RFC 8684 3.7 */          \
	X(checksum)        /* 0, 1 */                                                  \
	X(token)           /* ours, RFC 8684 3.1 */                                    \
	X(write_seq)       /* the DSN after the last byte taken from the program */    \
	X(snd_una)         /* DSN */                                                   \
	X(rcv_nxt)         /* DSN */                                                   \
	X(bytes_sent)      /* first sendings, of the connection */                     \
	X(bytes_received)  /* in order, of the connection */                           \
	X(bytes_acked)     /* by DATA_ACK */                                           \
	X(bytes_reinjected) /* sent again on another subflow */                        \
	X(bytes_retrans)   /* sent again on the same subflow */                        \
	X(segs_retrans)                                                                \
	X(rto_us)          /* this and those down to mss: of the subflow with the least srtt */ \
	X(srtt_us)                                                                     \
	X(rttvar_us)                                                                   \
	X(min_rtt_us)                                                                  \
	X(mss)             /* payload of a segment */                                  \
	X(cwnd)            /* segments of mss */                                       \
	X(unacked)         /* segments of mss */                                       \
	X(notsent)         /* bytes in tunneld, not sent once yet */                   \
	X(snd_wnd)         /* of the connection */                                     \
	X(rcv_wnd)         /* of the connection */

enum {
#define X(name) + 8
	LOCAL_INFO_BYTES = 0 LOCAL_INFO_LIST(X),
#undef X
	LOCAL_ANSWER_MOST = LOCAL_ANSWER_BYTES + LOCAL_INFO_BYTES
};

struct local_info {
#define X(name) uint64_t name;
	LOCAL_INFO_LIST(X)
#undef X
};


enum local_ask_kind {
	LOCAL_PARK = 1,     /* I want to connect this to address */
	LOCAL_READ_VERDICT, /* it says ECONNRESET: why? (SO_ERROR; connect() is told ECONNABORTED) */
	LOCAL_TAKE_VERDICT, /* the same for connect() itself: nothing is remembered */
	LOCAL_NAMES,        /* it is connected to something of yours: who is that? */
	LOCAL_FORGET,       /* AF_UNSPEC undid its pending connect */
	LOCAL_WENT_DIRECT,  /* not a question: it connects to address itself, and this is why */
	LOCAL_INFO,         /* how does its stream fare in the tunnel? */
	LOCAL_OPTIONS,      /* one of its options that are carried was set: read them from it */
	LOCAL_ASK_KINDS
};

enum local_answer_kind {
	LOCAL_HOLE = 1, /* connect it to address */
	LOCAL_DIRECT,   /* connect it yourself: tunneld's own bypass list */
	LOCAL_ERROR,    /* what the connect ends with; with a reason, address is where it went */
	LOCAL_UNABLE,   /* we cannot carry this socket: reason, and the errno to give */
	LOCAL_NAMED, /* address is the peer, local the local name (family 0: as the kernel says) */
	LOCAL_NONE,  /* nothing known about this socket; also the answer to LOCAL_FORGET and LOCAL_OPTIONS */
	LOCAL_TOLD,  /* info */
	LOCAL_ANSWER_KINDS
};

/*
 * Why tunneld is unable, why a connect failed where the destination is not to blame, or (with
 * LOCAL_HOLE) why it will take long. The text goes to the application's stderr.
 */
#define LOCAL_REASON_LIST(X)                                                     \
	X(NO_REASON,   "no reason given")                                        \
	X(USER,        "tunneld does not serve this user")                       \
	X(DEVICE,      "the socket is bound to a network interface, and tunneld may not take it off (CAP_NET_RAW)")             \
	X(FULL,        "tunneld has no room for another stream")                 \
	X(NO_LOOPBACK, "no loopback address of this family")                     \
	X(NETNS,       "tunneld is in another network namespace")              \
	X(NO_TUNNEL,   "tunneld has no network path to try a gateway on")        \
	X(NO_GATEWAY,  "tunneld waits for a gateway to answer (is it up, does it know our key?)") \
	X(LISTED,      "PLAIT_BYPASS has its destination")                       \
	X(FALLBACK,    "PLAIT_FALLBACK is direct, and tunneld could not carry it") \
	X(BYPASS,      "client.bypass has its destination") \
	X(ENDING,      "tunneld is ending, it takes no new connections")
enum local_reason {
#define X(name, text) LOCAL_##name,
	LOCAL_REASON_LIST(X)
#undef X
	LOCAL_REASONS
};

const char *local_reason_text(enum local_reason r);

struct local_ask {
	enum local_ask_kind kind;
	enum local_reason reason;     /* of LOCAL_WENT_DIRECT */
	uint32_t fd;                  /* its number in the caller: a hint where to look for it */
	struct addr dest;
	char comm[LOCAL_COMM_BYTES];  /* NUL-terminated after parse; the caller's word */
};

struct local_answer {
	enum local_answer_kind kind;
	enum local_reason reason;
	int error;                    /* errno, 0 to 4095 */
	struct addr addr, local;
	struct local_info info;       /* of LOCAL_TOLD */
};

/* The whole message must be there and no more. */
MUST_CHECK enum err local_ask_parse(struct local_ask *out, const void *bytes, size_t len);
void local_ask_emit(const struct local_ask *ask, uint8_t bytes[LOCAL_ASK_BYTES]);
MUST_CHECK enum err local_answer_parse(struct local_answer *out, const void *bytes, size_t len);
/* Returns its length: LOCAL_ANSWER_BYTES, and more for LOCAL_TOLD. */
size_t local_answer_emit(const struct local_answer *answer, uint8_t bytes[LOCAL_ANSWER_MOST]);

#endif
