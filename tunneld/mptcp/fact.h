/* SPDX-License-Identifier: MIT */
/*
 * What the engine saw and its host may want to tell people: subflows that came, went or changed their mode, resets and
 * their reasons, faults that peers announced. Facts change nothing; they wait in a ring (engine_config.facts) until
 * engine_next_fact() takes them, and one that finds it full is counted and lost.
 */
#ifndef PLAIT_MPTCP_FACT_H
#define PLAIT_MPTCP_FACT_H

#include "common/addr.h"
#include "common/usec.h"

enum fact_kind {
	FACT_CONN_UP,        /* established */
	FACT_CONN_DOWN,      /* ended; `to` is why: "closed" or a text of open_result */
	FACT_SUBFLOW_UP,     /* may carry data */
	FACT_SUBFLOW_DOWN,   /* `to` is how it ended; cause and transient where that is known */
	FACT_SUBFLOW_MODE,   /* from one mode of backup.h to another, with the numbers of that moment */
	FACT_TIMEOUT,        /* the retransmission timer fired for the same data again: backoff says how often */
	FACT_RESET,          /* RST received; cause is MP_TCPRST's reason, if it had one */
	FACT_CORRUPT,        /* a mapping's checksum was wrong or its DSS options made no sense: we reset the subflow */
	FACT_FAULT_HEARD,    /* the peer's FAULT_ANNOUNCE: cause, transient, middlebox, and the ids as in the option */
	FACT_FAULT_TOLD,     /* what EV_FAULT asked for: `fault` is its id, arrived says whether it must have arrived */
	FACT_KINDS,
};
const char *fact_kind_name(enum fact_kind k); /* "subflow_up" */

#define FACT_NO_PATH UINT32_MAX

struct fact {
	enum fact_kind kind;
	uint32_t conn, token, peer;
	uint64_t host;
	uint32_t path;             /* FACT_NO_PATH: none, or not known here */
	uint32_t subflow;          /* its id in the connection */
	uint8_t local_addr_id, remote_addr_id;
	const char *from, *to;     /* texts that stay */
	bool has_cause, transient, arrived;
	uint8_t cause;             /* RFC 8684 3.6, or FAULT_ANNOUNCE's */
	struct addr middlebox;     /* family 0: not told */
	struct addr remote;        /* plain form: the peer's address and port; family 0 else */
	uint64_t fault;
	uint32_t rto_ms, limit_ms, in_flight, backoff, copies;
	double srtt_ms;
};

#endif
