/* SPDX-License-Identifier: MIT */
/*
 * Connection states and the closure FSM, seeds appendix C (figure 17) with the opening before it and fast close
 * (RFC 8684 3.5) beside it. Guards are decided before the input is named; the table only steps.
 */
#ifndef PLAIT_MPTCP_CONN_STATE_H
#define PLAIT_MPTCP_CONN_STATE_H

#include <stdbool.h>

enum conn_state {
	M_OPENING,        /* SYN sent, or dialling: no key of the peer yet */
	M_ESTAB, M_FINWAIT_1, M_FINWAIT_2, M_CLOSE_WAIT, M_CLOSING, M_LAST_ACK, M_TIME_WAIT,
	M_FASTCLOSE_WAIT, /* RFC 8684 3.5: MP_FASTCLOSE went out on an ACK, its RST is awaited */
	M_CLOSED,
	M_STATES,
};

enum conn_step_input {
	IN_OPENED,          /* both keys are known */
	IN_CLOSE,           /* the application will write no more (M_CLOSE) */
	IN_DATA_FIN,        /* the peer's DATA_FIN is in order */
	IN_DATA_FIN_ACKED,  /* rcv DATA_ACK[DFIN] */
	IN_SUBFLOWS_CLOSED, /* the last subflow is gone after closing */
	IN_FASTCLOSE_SENT,  /* abrupt close, ACK form */
	IN_ABORTED,         /* abrupt close by either side, or the connection is given up */
	CONN_INPUTS,
};

/* What a step asks for; more than one may be set. */
enum {
	DO_SEND_DATA_FIN = 1,  /* after all data, and until it is acknowledged */
	DO_ACK_DATA_FIN = 2,
	DO_CLOSE_SUBFLOWS = 4, /* FIN on all of them */
	DO_END = 8,            /* both directions are done: the application is told so once it has read all */
	DO_FORGET = 16,        /* nothing is left to wait for */
};

const char *conn_state_name(enum conn_state s); /* as appendix C spells it: "M_FINWAIT-1" */
/* True and the new state, and what to do, if the table has a row; false: the input means nothing in this state. */
bool conn_step(enum conn_state *state, enum conn_step_input in, unsigned *what);

#endif
