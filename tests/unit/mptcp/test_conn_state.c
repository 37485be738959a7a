/* SPDX-License-Identifier: MIT */
/* Every cell of the closure FSM against figure 17 of seeds appendix C, written down a second time by hand. */
#include "tests/unit/unit.h"
#include "tunneld/mptcp/conn_state.h"

#include <string.h>

#define __ M_STATES /* the input means nothing */

static const enum conn_state expected[M_STATES][CONN_INPUTS] = {
	/*                      OPENED   CLOSE        DATA_FIN      FIN_ACKED    SUBS_CLOSED FASTCLOSE_SENT    ABORTED */
	[M_OPENING]        = { M_ESTAB, __,          __,           __,          __,         __,               M_CLOSED },
	[M_ESTAB]          = { __,      M_FINWAIT_1, M_CLOSE_WAIT, __,          __,         M_FASTCLOSE_WAIT, M_CLOSED },
	[M_FINWAIT_1]      = { __,      __,          M_CLOSING,    M_FINWAIT_2, __,         M_FASTCLOSE_WAIT, M_CLOSED },
	[M_FINWAIT_2]      = { __,      __,          M_TIME_WAIT,  __,          __,         M_FASTCLOSE_WAIT, M_CLOSED },
	[M_CLOSE_WAIT]     = { __,      M_LAST_ACK,  __,           __,          __,         M_FASTCLOSE_WAIT, M_CLOSED },
	[M_CLOSING]        = { __,      __,          __,           M_TIME_WAIT, __,         M_FASTCLOSE_WAIT, M_CLOSED },
	[M_LAST_ACK]       = { __,      __,          __,           M_TIME_WAIT, __,         M_FASTCLOSE_WAIT, M_CLOSED },
	[M_TIME_WAIT]      = { __,      __,          __,           __,          M_CLOSED,   __,               M_CLOSED },
	[M_FASTCLOSE_WAIT] = { __,      __,          __,           __,          M_CLOSED,   __,               M_CLOSED },
	[M_CLOSED]         = { __,      __,          __,           __,          __,         __,               __       },
};

static void test_every_cell(void)
{
	for (unsigned s = 0; s < M_STATES; s++)
		for (unsigned in = 0; in < CONN_INPUTS; in++) {
			enum conn_state state = (enum conn_state)s;
			unsigned what = 99;
			bool moved = conn_step(&state, (enum conn_step_input)in, &what);

			CU_ASSERT_EQUAL(moved, expected[s][in] != __);
			CU_ASSERT_EQUAL(state, moved ? expected[s][in] : (enum conn_state)s);
			if (!moved)
				CU_ASSERT_EQUAL(what, 0);
		}
}

static unsigned what_of(enum conn_state state, enum conn_step_input in)
{
	unsigned what;

	CU_ASSERT_TRUE(conn_step(&state, in, &what));
	return what;
}

static void test_what_the_steps_ask_for(void)
{
	CU_ASSERT_EQUAL(what_of(M_ESTAB, IN_CLOSE), DO_SEND_DATA_FIN);
	CU_ASSERT_EQUAL(what_of(M_CLOSE_WAIT, IN_CLOSE), DO_SEND_DATA_FIN);
	CU_ASSERT_EQUAL(what_of(M_ESTAB, IN_DATA_FIN), DO_ACK_DATA_FIN);
	CU_ASSERT_EQUAL(what_of(M_FINWAIT_2, IN_DATA_FIN), DO_ACK_DATA_FIN | DO_CLOSE_SUBFLOWS | DO_END);
	CU_ASSERT_EQUAL(what_of(M_CLOSING, IN_DATA_FIN_ACKED), DO_CLOSE_SUBFLOWS | DO_END);
	CU_ASSERT_EQUAL(what_of(M_LAST_ACK, IN_DATA_FIN_ACKED), DO_CLOSE_SUBFLOWS | DO_END);
	for (unsigned s = 0; s < M_CLOSED; s++)
		CU_ASSERT_EQUAL(what_of((enum conn_state)s, IN_ABORTED), DO_FORGET);
}

static void test_names_are_those_of_appendix_c(void)
{
	CU_ASSERT_STRING_EQUAL(conn_state_name(M_ESTAB), "M_ESTAB");
	CU_ASSERT_STRING_EQUAL(conn_state_name(M_FINWAIT_2), "M_FINWAIT-2");
	CU_ASSERT_STRING_EQUAL(conn_state_name(M_LAST_ACK), "M_LAST-ACK");
	CU_ASSERT_STRING_EQUAL(conn_state_name((enum conn_state)77), "?");
}

UNIT_MAIN("conn_state", T(test_every_cell), T(test_what_the_steps_ask_for), T(test_names_are_those_of_appendix_c))
