/* SPDX-License-Identifier: MIT */
#include "tunneld/io/park_memo.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum err memos_init(struct memos *m, uint32_t room)
{
	assert(room && !(room & (room - 1)));
	*m = (struct memos){ .room = room };
	m->ring = calloc(room, sizeof *m->ring);
	m->heads = calloc(room, sizeof *m->heads);
	if (m->ring && m->heads)
		return ERR_OK;
	memos_close(m);
	return ERR_FULL;
}

void memos_close(struct memos *m)
{
	free(m->ring);
	free(m->heads);
	*m = (struct memos){ 0 };
}

/* The kernel counts cookies up in per-CPU batches, so their low bits spread well by themselves. */
static uint32_t *head_of(struct memos *m, uint64_t cookie)
{
	return &m->heads[(cookie ^ cookie >> 16) & (m->room - 1)];
}

static void unlink_memo(struct memos *m, struct memo *rec)
{
	uint32_t self = (uint32_t)(rec - m->ring) + 1, *link = head_of(m, rec->cookie);

	while (*link != self)
		link = &m->ring[*link - 1].next;
	*link = rec->next;
	*rec = (struct memo){ 0 };
}

struct memo *memos_find(struct memos *m, uint64_t cookie)
{
	for (uint32_t i = *head_of(m, cookie); i; i = m->ring[i - 1].next)
		if (m->ring[i - 1].cookie == cookie)
			return &m->ring[i - 1];
	return NULL;
}

void memos_drop(struct memos *m, uint64_t cookie)
{
	struct memo *rec = memos_find(m, cookie);

	if (rec)
		unlink_memo(m, rec);
}

struct memo *memos_add(struct memos *m, uint64_t cookie)
{
	struct memo *rec = &m->ring[m->at];
	uint32_t *head;

	assert(cookie);
	memos_drop(m, cookie);
	if (rec->cookie)
		unlink_memo(m, rec);
	head = head_of(m, cookie);
	rec->cookie = cookie;
	rec->next = *head;
	*head = m->at + 1;
	m->at = (m->at + 1) & (m->room - 1);
	return rec;
}
