/* SPDX-License-Identifier: MIT */
/*
 * What may share the 40 bytes of options: seeds/rfc6824-appendices A and RFC 8684 A as data.
 * A table gives each option its rank (what is dropped first), where it may stand (SYN, ACK, data, RST)
 * and how often it is repeated, since options on pure ACKs are not delivered reliably.
 */
#ifndef PLAIT_WIRE_OPTION_RULES_H
#define PLAIT_WIRE_OPTION_RULES_H

#include "tunneld/wire/segment.h"

/*
 * Makes s's options fit into 40 bytes by the table: first fewer SACK blocks, then whole options of
 * the lowest rank. Returns how many MPTCP options were left off (they keep their order at
 * s->mptcp[s->mptcp_count...]), so that the caller sends them on a segment of their own.
 */
unsigned option_rules_fit(struct segment *s);

/* Must this option travel on a pure ACK of its own (ADD_ADDR and its like)? */
bool option_rules_alone(enum mptcp_subtype subtype);

/* How many times an unreliable option is sent before it is believed to have arrived; 1 if it is acknowledged. */
unsigned option_rules_repeats(enum mptcp_subtype subtype);

#endif
