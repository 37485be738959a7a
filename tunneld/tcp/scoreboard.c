/* SPDX-License-Identifier: MIT */
#include "tunneld/tcp/scoreboard.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_FIRST = 2 }; /* an idle subflow keeps no more */
#define POSITION_MAX UINT32_C(0xf0000000)

void board_init(struct scoreboard *b)
{
	*b = (struct scoreboard){ .oldest = BOARD_NONE, .newest = BOARD_NONE };
}

void board_free(struct scoreboard *b)
{
	free(b->ring);
	board_init(b);
}

/* --- order of transmission --- */

static void unlink_sent(struct scoreboard *b, uint32_t position)
{
	struct sent *s = board_at(b, position);

	if (s->older != BOARD_NONE)
		board_at(b, s->older)->newer = s->newer;
	else if (b->oldest == position)
		b->oldest = s->newer;
	else
		return; /* not in the list */
	if (s->newer != BOARD_NONE)
		board_at(b, s->newer)->older = s->older;
	else
		b->newest = s->older;
	s->older = s->newer = BOARD_NONE;
}

static void link_newest(struct scoreboard *b, uint32_t position)
{
	struct sent *s = board_at(b, position);

	s->older = b->newest;
	s->newer = BOARD_NONE;
	if (b->newest != BOARD_NONE)
		board_at(b, b->newest)->newer = position;
	else
		b->oldest = position;
	b->newest = position;
}

/* Back to its place: what was sent later is behind it. Looked for from the oldest end, where it nearly always is. */
static void link_in_order(struct scoreboard *b, uint32_t position)
{
	struct sent *s = board_at(b, position);
	uint32_t next = b->oldest;

	while (next != BOARD_NONE && board_at(b, next)->sent_us <= s->sent_us)
		next = board_at(b, next)->newer;
	if (next == BOARD_NONE) {
		link_newest(b, position);
		return;
	}
	s->newer = next;
	s->older = board_at(b, next)->older;
	board_at(b, next)->older = position;
	if (s->older != BOARD_NONE)
		board_at(b, s->older)->newer = position;
	else
		b->oldest = position;
}

/* --- life of a segment --- */

static bool grow(struct scoreboard *b)
{
	uint32_t room = b->room ? b->room * 2 : ROOM_FIRST;
	struct sent *ring = malloc(room * sizeof *ring);

	if (!ring)
		return false;
	for (uint32_t p = b->head; p != b->tail; p++)
		ring[p & (room - 1)] = *board_at(b, p);
	free(b->ring);
	b->ring = ring;
	b->room = room;
	return true;
}

static void move_down(uint32_t *position, uint32_t by)
{
	if (*position != BOARD_NONE)
		*position -= by;
}

/* After thousands of millions of segments: positions begin low again, before they reach the mark for none. */
static void rebase(struct scoreboard *b)
{
	uint32_t by = b->head & ~(b->room - 1); /* keeps every segment where it is in the ring */

	for (uint32_t p = b->head; p != b->tail; p++) {
		move_down(&board_at(b, p)->older, by);
		move_down(&board_at(b, p)->newer, by);
	}
	move_down(&b->oldest, by);
	move_down(&b->newest, by);
	b->lost_hint = b->lost_hint >= by ? b->lost_hint - by : 0;
	b->late_next = b->late_next >= by ? b->late_next - by : 0;
	b->head -= by;
	b->tail -= by;
}

struct sent *board_push(struct scoreboard *b, struct ssn seq, uint32_t len, uint64_t tag, usec_t now_us)
{
	struct sent *s;

	if (board_count(b) == b->room && !grow(b))
		return NULL;
	if (b->tail == POSITION_MAX)
		rebase(b);
	s = board_at(b, b->tail);
	*s = (struct sent){
		.seq = seq, .len = len, .tag = tag, .sent_us = now_us, .first_us = now_us,
		.older = BOARD_NONE, .newer = BOARD_NONE,
	};
	link_newest(b, b->tail);
	b->tail++;
	b->in_flight += len;
	return s;
}

uint32_t board_late_next(struct scoreboard *b)
{
	if ((int32_t)(b->late_next - b->head) < 0)
		b->late_next = b->head;
	while (b->late_next != b->tail && board_at(b, b->late_next)->flags & (SENT_SACKED | SENT_SYN))
		b->late_next++;
	return b->late_next == b->tail ? BOARD_NONE : b->late_next;
}

void board_sent_again(struct scoreboard *b, uint32_t position, usec_t now_us)
{
	struct sent *s = board_at(b, position);

	if (s->flags & SENT_LOST) {
		b->lost -= s->len;
		b->lost_segs--;
		b->in_flight += s->len;
		s->flags &= (uint8_t)~SENT_LOST;
	} else if (!(s->flags & SENT_SACKED)) {
		unlink_sent(b, position);
	}
	s->flags |= SENT_RETRANS;
	s->again = 0;
	s->sent_us = now_us;
	if (!(s->flags & SENT_SACKED))
		link_newest(b, position);
}

void board_mark_lost(struct scoreboard *b, uint32_t position)
{
	struct sent *s = board_at(b, position);

	if (s->flags & (SENT_LOST | SENT_SACKED))
		return;
	unlink_sent(b, position);
	s->flags |= SENT_LOST;
	s->again = 0;
	b->in_flight -= s->len;
	b->lost += s->len;
	b->lost_segs++;
	if ((int32_t)(position - b->lost_hint) < 0 || b->lost_segs == 1)
		b->lost_hint = position;
}

void board_unmark_lost(struct scoreboard *b)
{
	/* Last first: each then finds its place at once, in front of those that went after it. */
	for (uint32_t p = b->tail; p != b->head && b->lost_segs;) {
		struct sent *s = board_at(b, --p);

		if (!(s->flags & SENT_LOST))
			continue;
		s->flags &= (uint8_t)~SENT_LOST;
		s->again = 0;
		b->lost -= s->len;
		b->lost_segs--;
		b->in_flight += s->len;
		link_in_order(b, p);
	}
}

void board_mark_sacked(struct scoreboard *b, uint32_t position)
{
	struct sent *s = board_at(b, position);

	if (s->flags & SENT_SACKED)
		return;
	if (s->flags & SENT_LOST) {
		b->lost -= s->len;
		b->lost_segs--;
		s->flags &= (uint8_t)~SENT_LOST;
	} else {
		unlink_sent(b, position);
		b->in_flight -= s->len;
	}
	s->flags |= SENT_SACKED;
	b->sacked += s->len;
	b->sacked_segs++;
}

static void uncount(struct scoreboard *b, const struct sent *s, uint32_t n)
{
	if (s->flags & SENT_SACKED)
		b->sacked -= n;
	else if (s->flags & SENT_LOST)
		b->lost -= n;
	else
		b->in_flight -= n;
}

void board_pop(struct scoreboard *b)
{
	struct sent *s = board_at(b, b->head);

	uncount(b, s, s->len);
	if (s->flags & SENT_SACKED)
		b->sacked_segs--;
	else if (s->flags & SENT_LOST)
		b->lost_segs--;
	else
		unlink_sent(b, b->head);
	b->head++;
	if (b->head != b->tail)
		return;
	if (b->room > ROOM_FIRST) /* memory goes with what is in flight */
		board_free(b);
	else
		b->head = b->tail = b->late_next = 0;
	memset(b->seen, 0, sizeof b->seen);
}

void board_trim_head(struct scoreboard *b, uint32_t n)
{
	struct sent *s = board_at(b, b->head);

	assert(n < s->len);
	uncount(b, s, n);
	s->flags &= (uint8_t)~SENT_SYN;
	if (s->tag != BOARD_NO_TAG)
		s->tag += n;
	s->seq = ssn_add(s->seq, n);
	s->len -= n;
	s->again = s->again > n ? s->again - n : 0;
}

uint32_t board_find(const struct scoreboard *b, struct ssn seq)
{
	uint32_t low = 0, high = board_count(b);

	while (low < high) {
		uint32_t mid = (low + high) / 2;
		const struct sent *s = board_at(b, b->head + mid);

		if (ssn_leq(ssn_add(s->seq, s->len), seq))
			low = mid + 1;
		else
			high = mid;
	}
	return b->head + low;
}

uint32_t board_next_lost(struct scoreboard *b)
{
	if (!b->lost_segs)
		return BOARD_NONE;
	if ((int32_t)(b->lost_hint - b->head) < 0)
		b->lost_hint = b->head;
	while (!(board_at(b, b->lost_hint)->flags & SENT_LOST)) {
		b->lost_hint++;
		assert(b->lost_hint != b->tail);
	}
	return b->lost_hint;
}

void board_mark_all_lost(struct scoreboard *b)
{
	memset(b->seen, 0, sizeof b->seen);
	b->oldest = b->newest = BOARD_NONE;
	b->in_flight = b->sacked = b->lost = 0;
	b->sacked_segs = b->lost_segs = 0;
	for (uint32_t p = b->head; p != b->tail; p++) {
		struct sent *s = board_at(b, p);

		s->flags = (uint8_t)((s->flags & ~SENT_SACKED) | SENT_LOST);
		s->older = s->newer = BOARD_NONE;
		s->again = 0;
		b->lost += s->len;
		b->lost_segs++;
	}
	b->lost_hint = b->head;
}

void board_check(const struct scoreboard *b)
{
	uint32_t flight = 0, sacked = 0, lost = 0, listed = 0, in_list = 0;
	usec_t last = 0;

	for (uint32_t p = b->head; p != b->tail; p++) {
		const struct sent *s = board_at(b, p);

		assert(s->len > 0);
		assert(p == b->head || ssn_eq(ssn_add(board_at(b, p - 1)->seq, board_at(b, p - 1)->len), s->seq));
		assert((s->flags & (SENT_LOST | SENT_SACKED)) != (SENT_LOST | SENT_SACKED));
		*(s->flags & SENT_SACKED ? &sacked : s->flags & SENT_LOST ? &lost : &flight) += s->len;
		listed += !(s->flags & (SENT_LOST | SENT_SACKED));
	}
	assert(flight == b->in_flight && sacked == b->sacked && lost == b->lost);
	for (uint32_t p = b->oldest; p != BOARD_NONE; p = board_at(b, p)->newer, in_list++) {
		assert(board_at(b, p)->sent_us >= last);
		last = board_at(b, p)->sent_us;
	}
	assert(in_list == listed);
	(void)last;
}
