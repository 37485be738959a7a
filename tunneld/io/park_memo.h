/* SPDX-License-Identifier: MIT */
/*
 * A bounded memory by socket cookie: the newest record of a cookie is found until as many newer
 * ones as there is room for were kept. Used for verdicts and for the names of streams that ended.
 */
#ifndef PLAIT_IO_PARK_MEMO_H
#define PLAIT_IO_PARK_MEMO_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/local_msg.h"

struct memo {
	uint64_t cookie;                /* 0: empty */
	struct addr dest, local, hole;  /* a name; dest of a verdict too */
	int error;                      /* a verdict */
	enum local_reason reason;       /* a verdict's, if the destination is not to blame */
	bool read;                      /* a verdict that SO_ERROR was told of */
	uint32_t next;                  /* in its hash chain, index + 1 */
};

struct memos {
	struct memo *ring;
	uint32_t *heads;                /* index + 1; as many as ring entries, a power of two */
	uint32_t room, at;
};

MUST_CHECK enum err memos_init(struct memos *m, uint32_t room_power_of_two);
void memos_close(struct memos *m);
/* A zeroed record for this cookie, which is set; an older one of the same cookie is dropped. */
struct memo *memos_add(struct memos *m, uint64_t cookie);
struct memo *memos_find(struct memos *m, uint64_t cookie); /* or NULL */
void memos_drop(struct memos *m, uint64_t cookie);

#endif
