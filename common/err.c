/* SPDX-License-Identifier: MIT */
#include "common/err.h"

const char *err_text(enum err e)
{
	static const char *const text[] = {
#define X(name, text) text,
		ERR_LIST(X)
#undef X
	};

	if ((unsigned)e >= sizeof text / sizeof *text)
		return "not an error of ours";
	return text[e];
}
