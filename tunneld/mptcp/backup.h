/* SPDX-License-Identifier: MIT */
/*
 * What a subflow may be used for, and which of several is the better one (seeds: backup draft, section 3). Plain numbers in and
 * out, so that a decision is tested without a connection; conn_mode.c brings the numbers.
 *
 * A subflow is in primary or backup mode, or underperforming: as soon as its RTO, backed off or not, reaches UPERF_TIMEOUT, or
 * a byte on it has waited for its acknowledgement as long, or its path does not answer, or it fell silent too often in a row.
 * Silence by itself is only a doubt: it moves what is under way, and ends with the next acknowledgement.
 *
 * Hysteresis: it leaves the mode when all its data has been acknowledged and has stayed so for `hold`. That is
 * BACKUP_HOLD_FIRST_US, twice as long at each entry within BACKUP_MEMORY_US of the last leaving, BACKUP_HOLD_MOST_US at most. So a
 * link that flaps is left at most BACKUP_LEAVES_MAX times in any BACKUP_MEMORY_US, however it flaps.
 *
 * The score is in milliseconds, less is better: about what the next 64 KiB would take, and what is held against it.
 *	rtt     smoothed round trip
 *	rto     what the timer is backed off: RTO less the RTO of no timeout
 *	loss    1000 * share of bytes sent again
 *	rate    64 KiB at the delivery rate, once one was measured
 *	fault   1000 when it entered the mode or its path failed, halved every 10 s since
 *	cost    as configured for the path
 * Who was chosen stays chosen until another is better by a quarter and 5 ms.
 */
#ifndef PLAIT_MPTCP_BACKUP_H
#define PLAIT_MPTCP_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/usec.h"

enum backup_mode { MODE_PRIMARY, MODE_BACKUP, MODE_UNDERPERFORMING };
enum backup_cause {
	CAUSE_NONE,    /* not underperforming */
	CAUSE_RTO,     /* its RTO reached UPERF_TIMEOUT */
	CAUSE_UNACKED, /* a byte of it has been unacknowledged for UPERF_TIMEOUT */
	CAUSE_SILENT,  /* fell silent time and again */
	CAUSE_PATH,    /* its path does not answer probes */
};

enum {
	BACKUP_ADV_DEFAULT_MS = 400, BACKUP_L_LIMIT_MS = 100, BACKUP_U_LIMIT_MS = 60 * 1000,
	USER_TIMEOUT_U_LIMIT_MS = 24 * 3600 * 1000,
	BACKUP_LEAVES_MAX = 9,
	BACKUP_DOUBTS_MAX = 4, /* silences within BACKUP_DOUBTS_US that make it underperforming */
};
#define BACKUP_HOLD_FIRST_US (250 * USEC_PER_MS)
#define BACKUP_HOLD_MOST_US  (16 * USEC_PER_S)
#define BACKUP_MEMORY_US     (60 * USEC_PER_S)
#define BACKUP_DOUBTS_US     (10 * USEC_PER_S)

/* A subflow's. All zero but clean_us and left_us, which are USEC_NEVER, is one that never underperformed. */
struct backup {
	enum backup_cause cause;
	uint8_t entries;           /* in a row, each within BACKUP_MEMORY_US of leaving */
	usec_t since_us;           /* of the mode */
	usec_t clean_us;           /* underperforming: since when all its data is acknowledged; USEC_NEVER: it is not */
	usec_t left_us;            /* when it last left the mode; USEC_NEVER */
	uint8_t doubts;
	usec_t doubt_us;           /* the first of them */
	uint32_t remote_ms;        /* UPERF_REMOTE_TO: what the peer told on this subflow; 0: nothing */
};

void backup_init(struct backup *b);
/* True: it was not underperforming before. */
bool backup_enter(struct backup *b, enum backup_cause cause, usec_t now_us);
/* It fell silent. True: too often; backup_enter() is for the caller. */
bool backup_doubt(struct backup *b, usec_t now_us);
/* Whether all its data is acknowledged, and its path answers. True: it has left the mode by this. */
bool backup_settle(struct backup *b, bool clean, usec_t now_us);
/* When backup_settle() should be asked again if nothing happens. */
usec_t backup_deadline(const struct backup *b);

/*
 * UPERF_TIMEOUT = min(U_LIMIT, max(UPERF_ADV_TO, UPERF_REMOTE_TO, L_LIMIT)), USER_TIMEOUT likewise (RFC 5482 3.1). 0 is a value
 * that was not given.
 */
uint32_t backup_timeout_ms(uint32_t u_limit_ms, uint32_t adv_ms, uint32_t remote_ms, uint32_t l_limit_ms);
/*
 * UPERF_ADV_TO when none is configured: BACKUP_ADV_DEFAULT_MS, or twice the RTO without backoff if that is more: no subflow
 * underperforms for being long.
 */
uint32_t backup_adv_default_ms(usec_t base_rto_us);

const char *backup_mode_name(enum backup_mode m);   /* "primary", "backup", "underperforming" */
const char *backup_cause_name(enum backup_cause c); /* "none", "rto", "unacknowledged", "silent", "path" */
/*
 * local: our path is a backup. remote: the peer asked so (B of MP_JOIN or MP_PRIO binds our sending, RFC 8684 3.3.8).
 * avoid: it underperforms, or is in doubt.
 */
enum backup_mode backup_mode_of(bool local, bool remote, bool avoid);

struct score { double rtt, rto, loss, rate, fault, cost, total; };
struct score_facts {
	usec_t srtt_us, rto_us, base_rto_us;
	double loss;               /* share of bytes, 0..1 */
	uint64_t rate;             /* bytes a second; 0: not measured */
	usec_t fault_ago_us;       /* USEC_NEVER: none */
	uint32_t cost;
};
struct score score_of(const struct score_facts *f);
/* Is `now` so much better than `chosen` that it takes its place? */
bool score_displaces(double now, double chosen);

#endif
