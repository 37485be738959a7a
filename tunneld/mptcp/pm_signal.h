/* SPDX-License-Identifier: MIT */
/*
 * Options that are not delivered reliably, and wait for a pure ACK to carry them: ADD_ADDR and its echo, REMOVE_ADDR, MP_PRIO
 * and their like. RFC 8684 3.4.1 and appendix A: repeated as wire/option_rules says (on another subflow where there is one),
 * a round trip apart, until an answer comes; no more than two such ACKs in a row.
 */
#ifndef PLAIT_MPTCP_PM_SIGNAL_H
#define PLAIT_MPTCP_PM_SIGNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/usec.h"
#include "tunneld/wire/mptcp_option.h"

enum { SIGNALS_MAX = 16, SIGNAL_ROW = 2, ADD_ADDR_TRIES = 4 /* as Linux: one and three more */ };

struct conn;
struct sub;

struct signal {
	struct mptcp_option opt;
	bool bound;           /* only on the subflow `sub` means something: MP_PRIO */
	uint32_t sub;         /* bound: to this one; else the one that carried it last */
	uint8_t left, sent;
	usec_t due_us;        /* not before */
	usec_t look_us;       /* when a subflow is asked for an ACK */
};

/* Taken with the first signal of a connection: most have none. */
struct signals {
	uint8_t count;
	struct signal row[SIGNALS_MAX];
};

/* only: the subflow it is about, or NULL: any may carry it. The same about the same replaces what waits. False: no room. */
bool pm_signal(struct conn *c, const struct sub *only, const struct mptcp_option *opt, usec_t now_us);
/*
 * The next that s may carry now on a pure ACK, with room bytes for it beside the DSS (what travels alone needs none); it is
 * counted as sent. NULL: none. The pointer holds until the next call.
 */
const struct mptcp_option *pm_signal_take(struct sub *s, size_t room, usec_t now_us);
/* RFC 8684 3.4.1: at most two ACKs in a row for signals. May s send one now? It did. */
bool pm_signal_may(const struct sub *s, usec_t now_us);
void pm_signal_went(struct sub *s, usec_t now_us);
/* The peer echoed an ADD_ADDR. False: none such was waiting. */
bool pm_signal_echoed(struct conn *c, const struct mptcp_option *echo);
/* What waits to be said of an address of ours is not true any more. */
void pm_signal_forget(struct conn *c, uint8_t addr_id);
/* Asks a subflow for an ACK for each that is due. */
void pm_signals_due(struct conn *c, usec_t now_us);
usec_t pm_signals_deadline(const struct conn *c);
/* What was bound to s goes with it. */
void pm_signal_sub_gone(const struct sub *s);
void pm_signals_close(struct conn *c);

#endif
