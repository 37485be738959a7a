/* SPDX-License-Identifier: MIT */
/* Congestion control as a table of functions, chosen by name. All sizes in bytes. */
#ifndef PLAIT_TCP_CC_H
#define PLAIT_TCP_CC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/usec.h"

struct rtt; /* tcp/rtt.h */

enum {
	CC_GROUP_MAX = 8,
	CC_RENO_WORDS = 20,          /* of priv: Reno's and CUBIC's own; a controller built on Reno has the rest */
};

/* The subflows of one connection, for coupled controllers. Its owner is the connection's; a subflow leaves when it closes. */
struct cc_group {
	struct cc *member[CC_GROUP_MAX];
	uint8_t count;
};

/* The controller's view of a subflow; the subflow owns it, the ops change cwnd and ssthresh. */
struct cc {
	const struct cc_ops *ops;
	uint32_t mss;
	uint32_t cwnd, ssthresh;     /* RFC 5681 3.1; ssthresh starts at UINT32_MAX */
	uint64_t pacing_rate;        /* bytes a second; 0 = not paced */
	uint64_t bandwidth;          /* bytes a second, where the controller knows; 0 = cwnd a round trip it is */
	struct cc_group *group;      /* NULL: alone */
	usec_t srtt_us;              /* for the others of the group; coupled controllers keep it */
	uint64_t priv[36];           /* the controller's own state */
};

struct cc_ack {
	uint32_t acked;              /* newly delivered, cumulative and SACKed */
	uint32_t lost;               /* newly marked lost */
	uint32_t in_flight;          /* before this ACK */
	uint32_t in_flight_now;      /* after it */
	usec_t rtt_us;               /* sample of this ACK; 0 if none */
	usec_t srtt_us, min_rtt_us;
	/* draft-ietf-ccwg-bbr 4.1 (delivery rate): of the newest segment that this ACK delivers, sent again or not */
	uint64_t rate;               /* bytes a second; 0 if none */
	bool rate_app_limited;       /* there was not enough to send: the path may take more */
	uint64_t prior_delivered;    /* `delivered` when it was sent */
	uint32_t tx_in_flight;       /* in flight when it had been sent */
	uint64_t delivered;          /* in all, with this ACK */
	uint64_t lost_total;         /* marked lost in all, with this ACK */
	bool app_limited;            /* cwnd was not the limit when this was sent: no reason to grow it */
	bool no_growth;              /* recovery, or a duplicate ACK: RFC 3042 2 */
};

struct cc_ops {
	const char *name;
	bool by_rate;                /* sets cwnd and pacing_rate itself on every ACK: no PRR, no pace derived from cwnd */
	void (*init)(struct cc *cc, usec_t now_us);
	void (*acked)(struct cc *cc, const struct cc_ack *ack, usec_t now_us);
	void (*loss)(struct cc *cc, uint32_t in_flight, usec_t now_us);    /* recovery begins: sets ssthresh */
	void (*timeout)(struct cc *cc, uint32_t in_flight, usec_t now_us); /* RTO, RFC 5681 3.1 (4) */
	void (*undo)(struct cc *cc, usec_t now_us);                        /* the loss was spurious (DSACK, F-RTO) */
	void (*idle)(struct cc *cc, usec_t idle_us, usec_t now_us);        /* sending restarts after idleness */
};

extern const struct cc_ops cc_bbr, cc_cubic, cc_lia, cc_olia, cc_reno;
/* NULL if there is none of that name. NULL or "default" as name: the default. */
const struct cc_ops *cc_by_name(const char *name);
/* All of them, for people: "cubic, ...". */
const char *cc_names(void);
/*
 * RFC 6928 2, for so many segments instead of ten: the bytes that may go before the first ACK. Where segments are larger than
 * Ethernet's, they are as many bytes as of Ethernet's, or two: ten of a jumbo frame fill the queue of a slow path.
 */
static inline uint32_t cc_first_window(uint32_t segs, uint32_t mss)
{
	uint32_t bytes = segs * 1460 > 2 * mss ? segs * 1460 : 2 * mss;

	return segs * mss < bytes ? segs * mss : bytes;
}

static inline uint32_t cc_initial_window(uint32_t mss) { return cc_first_window(10, mss); }

/* A full group is left as it is: the subflow is alone then. */
void cc_join(struct cc *cc, struct cc_group *g);
void cc_leave(struct cc *cc);

#endif
