/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/conn_state.h"

const char *conn_state_name(enum conn_state s)
{
	static const char *const names[M_STATES] = {
		[M_OPENING] = "M_OPENING", [M_ESTAB] = "M_ESTAB", [M_FINWAIT_1] = "M_FINWAIT-1",
		[M_FINWAIT_2] = "M_FINWAIT-2", [M_CLOSE_WAIT] = "M_CLOSE-WAIT", [M_CLOSING] = "M_CLOSING",
		[M_LAST_ACK] = "M_LAST-ACK", [M_TIME_WAIT] = "M_TIME-WAIT", [M_FASTCLOSE_WAIT] = "M_FASTCLOSE-WAIT",
		[M_CLOSED] = "M_CLOSED",
	};

	return (unsigned)s < M_STATES ? names[s] : "?";
}

/*
 * Unlike seeds appendix C: in M_FINWAIT-1 the subflows are closed not on the DATA_ACK of our DATA_FIN but with the end of
 * both directions, because a subflow that sent its FIN can signal nothing new (no window, no MP_FASTCLOSE after it) while
 * the peer may send for hours yet. And M_LAST-ACK deletes the block only when its subflows are gone: they are ours to close.
 */
static const struct step { enum conn_state from; enum conn_step_input in; enum conn_state to; unsigned what; } steps[] = {
	{ M_OPENING,        IN_OPENED,          M_ESTAB,          0                           },
	{ M_OPENING,        IN_ABORTED,         M_CLOSED,         DO_FORGET                   },
	{ M_ESTAB,          IN_CLOSE,           M_FINWAIT_1,      DO_SEND_DATA_FIN            },
	{ M_ESTAB,          IN_DATA_FIN,        M_CLOSE_WAIT,     DO_ACK_DATA_FIN             },
	{ M_ESTAB,          IN_FASTCLOSE_SENT,  M_FASTCLOSE_WAIT, 0                           },
	{ M_ESTAB,          IN_ABORTED,         M_CLOSED,         DO_FORGET                   },
	{ M_FINWAIT_1,      IN_DATA_FIN_ACKED,  M_FINWAIT_2,      0                           },
	{ M_FINWAIT_1,      IN_DATA_FIN,        M_CLOSING,        DO_ACK_DATA_FIN             },
	{ M_FINWAIT_1,      IN_FASTCLOSE_SENT,  M_FASTCLOSE_WAIT, 0                           },
	{ M_FINWAIT_1,      IN_ABORTED,         M_CLOSED,         DO_FORGET                   },
	{ M_FINWAIT_2,      IN_DATA_FIN,        M_TIME_WAIT,      DO_ACK_DATA_FIN | DO_CLOSE_SUBFLOWS | DO_END },
	{ M_FINWAIT_2,      IN_FASTCLOSE_SENT,  M_FASTCLOSE_WAIT, 0                           },
	{ M_FINWAIT_2,      IN_ABORTED,         M_CLOSED,         DO_FORGET                   },
	{ M_CLOSE_WAIT,     IN_CLOSE,           M_LAST_ACK,       DO_SEND_DATA_FIN            },
	{ M_CLOSE_WAIT,     IN_FASTCLOSE_SENT,  M_FASTCLOSE_WAIT, 0                           },
	{ M_CLOSE_WAIT,     IN_ABORTED,         M_CLOSED,         DO_FORGET                   },
	{ M_CLOSING,        IN_DATA_FIN_ACKED,  M_TIME_WAIT,      DO_CLOSE_SUBFLOWS | DO_END  },
	{ M_CLOSING,        IN_FASTCLOSE_SENT,  M_FASTCLOSE_WAIT, 0                           },
	{ M_CLOSING,        IN_ABORTED,         M_CLOSED,         DO_FORGET                   },
	{ M_LAST_ACK,       IN_DATA_FIN_ACKED,  M_TIME_WAIT,      DO_CLOSE_SUBFLOWS | DO_END  },
	{ M_LAST_ACK,       IN_FASTCLOSE_SENT,  M_FASTCLOSE_WAIT, 0                           },
	{ M_LAST_ACK,       IN_ABORTED,         M_CLOSED,         DO_FORGET                   },
	{ M_TIME_WAIT,      IN_SUBFLOWS_CLOSED, M_CLOSED,         DO_FORGET                   },
	{ M_TIME_WAIT,      IN_ABORTED,         M_CLOSED,         DO_FORGET                   },
	{ M_FASTCLOSE_WAIT, IN_SUBFLOWS_CLOSED, M_CLOSED,         DO_FORGET                   },
	{ M_FASTCLOSE_WAIT, IN_ABORTED,         M_CLOSED,         DO_FORGET                   },
};

bool conn_step(enum conn_state *state, enum conn_step_input in, unsigned *what)
{
	for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++)
		if (steps[i].from == *state && steps[i].in == in) {
			*state = steps[i].to;
			*what = steps[i].what;
			return true;
		}
	*what = 0;
	return false;
}
