/* SPDX-License-Identifier: MIT */
/*
 * What a subflow has sent and is not yet cumulatively acknowledged, in order of sequence; and the same, less what was
 * delivered or given up as lost, in order of last transmission (RFC 8985 6.2: RACK looks at the oldest first). Each
 * segment is touched a bounded number of times in its life, whatever the window is.
 */
#ifndef PLAIT_TCP_SCOREBOARD_H
#define PLAIT_TCP_SCOREBOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/seq.h"
#include "common/usec.h"

enum {
	SENT_SACKED = 1,    /* delivered, beyond snd_una */
	SENT_LOST = 2,      /* thought lost, not yet (wholly) sent again */
	SENT_RETRANS = 4,   /* sent more than once: no RTT sample (Karn) */
	SENT_SYN = 8, SENT_FIN = 16,
	SENT_APP_LIMITED = 32,
};

struct sent {
	struct ssn seq;
	uint32_t len;            /* sequence space: payload, SYN and FIN */
	uint64_t tag;            /* the owner's, of the first payload byte */
	usec_t sent_us;          /* last transmission */
	usec_t first_us;         /* first transmission: ascends with the position */
	uint64_t delivered;      /* subflow's total at that moment, for the delivery rate */
	usec_t delivered_us;
	uint32_t send_elapsed_us; /* since the last delivered one was sent, at that moment */
	uint32_t tx_in_flight;   /* with this one */
	uint32_t again;          /* bytes of it already sent again in this round, when LOST */
	uint8_t flags;
	uint32_t older, newer;   /* neighbours in the order of transmission; BOARD_NONE */
};

#define BOARD_NONE UINT32_MAX
#define BOARD_NO_TAG UINT64_MAX

struct scoreboard {
	struct sent *ring;       /* power of two; NULL while nothing is outstanding */
	uint32_t room;
	uint32_t head, tail;     /* positions, counting up for ever; the ring index is position % room */
	uint32_t oldest, newest; /* order of transmission */
	uint32_t lost_hint;      /* no SENT_LOST before this position */
	uint32_t late_next;      /* what is before this position was found late already */
	uint32_t in_flight;      /* bytes sent, neither delivered nor thought lost: "pipe", RFC 6675 */
	uint32_t sacked, lost;   /* bytes */
	uint32_t sacked_segs, lost_segs;
	struct { struct ssn start, end; } seen[4]; /* last SACK blocks: what is known is not walked again */
	uint8_t seen_next;
};

void board_init(struct scoreboard *b);
void board_free(struct scoreboard *b);
static inline uint32_t board_count(const struct scoreboard *b) { return b->tail - b->head; }
static inline struct sent *board_at(const struct scoreboard *b, uint32_t position)
{
	return &b->ring[position & (b->room - 1)];
}
/* A new segment at the end. NULL: no memory. */
struct sent *board_push(struct scoreboard *b, struct ssn seq, uint32_t len, uint64_t tag, usec_t now_us);
/* It goes (wholly) again: newest now, in flight. */
void board_sent_again(struct scoreboard *b, uint32_t position, usec_t now_us);
void board_mark_lost(struct scoreboard *b, uint32_t position);
/* Every LOST that was not sent again is in flight after all (a spurious timeout). */
void board_unmark_lost(struct scoreboard *b);
void board_mark_sacked(struct scoreboard *b, uint32_t position);
/* The head is cumulatively acknowledged: wholly, or its first n bytes. */
void board_pop(struct scoreboard *b);
void board_trim_head(struct scoreboard *b, uint32_t n);
/* First position whose end lies beyond seq; tail if none. */
uint32_t board_find(const struct scoreboard *b, struct ssn seq);
/* First LOST one, or BOARD_NONE. */
uint32_t board_next_lost(struct scoreboard *b);
/* First one not delivered that was not yet taken for late: the one after late_next's last value. BOARD_NONE: none. */
uint32_t board_late_next(struct scoreboard *b);
/* Forgets SACKs (the receiver may have reneged, RFC 2018 8) and marks everything lost. */
void board_mark_all_lost(struct scoreboard *b);
void board_check(const struct scoreboard *b);

#endif
