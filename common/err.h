/* SPDX-License-Identifier: MIT */
/*
 * One list of errors for all of plait. 0 is OK. These are the peer's and the operator's mistakes,
 * which are values; our own mistakes are assert(), the system's are errno (tunneld/io and shim only).
 */
#ifndef PLAIT_ERR_H
#define PLAIT_ERR_H

#define ERR_LIST(X)                                              \
	X(OK,         "ok")                                      \
	X(TRUNCATED,  "bytes end before the field does")         \
	X(MALFORMED,  "no conforming peer sends this")           \
	X(UNEXPECTED, "valid, but not in this state")            \
	X(UNKNOWN,    "names nothing that exists here")          \
	X(FORGED,     "authentication failed")                   \
	X(REPLAYED,   "seen before, or too old to tell")         \
	X(FULL,       "a configured limit is reached")
enum err {
#define X(name, text) ERR_##name,
	ERR_LIST(X)
#undef X
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* The list's text; never NULL. */
const char *err_text(enum err e);

#endif
