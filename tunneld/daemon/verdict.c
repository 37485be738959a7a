/* SPDX-License-Identifier: MIT */
#include "tunneld/daemon/verdict.h"

#include <errno.h>
#include <stddef.h>

/* The first row of a result gives its errno; every row gives an errno its result. */
static const struct row { enum open_result result; int error; int icmp_code; } rows[] = {
	{ OPEN_OK,               0,             0 },
	{ OPEN_REFUSED,          ECONNREFUSED,  3 },
	{ OPEN_TIMED_OUT,        ETIMEDOUT,     1 },
	{ OPEN_NET_UNREACHABLE,  ENETUNREACH,   0 },
	{ OPEN_NET_UNREACHABLE,  EAFNOSUPPORT,  0 },
	{ OPEN_NET_UNREACHABLE,  ENETDOWN,      0 },
	{ OPEN_HOST_UNREACHABLE, EHOSTUNREACH,  1 },
	{ OPEN_HOST_UNREACHABLE, EHOSTDOWN,     7 },
	{ OPEN_HOST_UNREACHABLE, ENONET,        8 },
	{ OPEN_PROHIBITED,       EACCES,       13 },
	{ OPEN_PROHIBITED,       EPERM,        13 },
	{ OPEN_NO_RESOURCES,     ENOBUFS,       1 },
	{ OPEN_NO_RESOURCES,     ENOMEM,        1 },
	{ OPEN_NO_RESOURCES,     EMFILE,        1 },
	{ OPEN_NO_RESOURCES,     ENFILE,        1 },
	{ OPEN_NO_RESOURCES,     EADDRNOTAVAIL, 1 }, /* no local port is left */
	{ OPEN_NO_RESOURCES,     EAGAIN,        1 },
	{ OPEN_NO_PATH,          ENETUNREACH,   0 },
	{ OPEN_PROTOCOL_ERROR,   EPROTO,        2 },
	{ OPEN_PROTOCOL_ERROR,   ENOPROTOOPT,   2 },
	{ OPEN_RESET,            ECONNRESET,    1 },
	{ OPEN_PORT_UNREACHABLE, ECONNREFUSED,  3 },
};

enum { ROWS = sizeof rows / sizeof *rows };

int verdict_errno(enum open_result r)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].result == r)
			return rows[i].error;
	return EPROTO;
}

static const struct row *row_of_errno(int error)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].error == error)
			return &rows[i];
	return NULL;
}

enum open_result verdict_of_errno(int error)
{
	const struct row *row = row_of_errno(error);

	/* What connect() was never seen to say is still that the destination was not reached. */
	return row ? row->result : OPEN_HOST_UNREACHABLE;
}

int verdict_icmp_code(int error)
{
	const struct row *row = row_of_errno(error);

	return row ? row->icmp_code : 1;
}
