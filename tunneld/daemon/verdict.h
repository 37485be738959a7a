/* SPDX-License-Identifier: MIT */
/* One table between the system's errno and what travels: enum open_result. */
#ifndef PLAIT_VERDICT_H
#define PLAIT_VERDICT_H

#include "tunneld/mptcp/engine.h"

int verdict_errno(enum open_result r);              /* for the application; 0 for OPEN_OK */
enum open_result verdict_of_errno(int error);       /* of the gateway's connect() */
int verdict_icmp_code(int error);                   /* RFC 792 destination unreachable code that means the same, RFC 8803 6.2.8 */

#endif
