/* SPDX-License-Identifier: MIT */
#include "tunneld/io/park_slot.h"

#include "tunneld/io/park_socket.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STREAMS_DEFAULT = 16384 };

uint32_t park_chance(void)
{
	uint32_t v = 0;

	/* Four bytes never come short; without them holes merely lie at one place. */
	(void)!getrandom(&v, sizeof v, 0);
	return v;
}

static uint32_t *head_of(struct park *p, uint64_t cookie)
{
	return &p->heads[(cookie ^ cookie >> 16) & p->heads_mask];
}

struct slot *slot_of_cookie(struct park *p, uint64_t cookie)
{
	for (uint32_t i = *head_of(p, cookie); i; i = p->slots[i - 1].next_hash)
		if (p->slots[i - 1].cookie == cookie)
			return &p->slots[i - 1];
	return NULL;
}

struct slot *slot_of_id(struct park *p, park_id id)
{
	uint32_t i = (uint32_t)id;
	struct slot *s = i && i <= p->slot_count ? &p->slots[i - 1] : NULL;

	return s && s->state != FREE && s->id == id ? s : NULL;
}

bool slot_waits(const struct slot *s) { return s->state != FREE && s->state != LIVE; }

struct slot *slot_take(struct park *p, uint64_t cookie)
{
	uint32_t i = p->free_slot, *head = head_of(p, cookie);
	struct slot *s;

	if (!i)
		return NULL;
	s = &p->slots[i - 1];
	p->free_slot = s->next_free;
	*s = (struct slot){ .state = PENDING,
			    .park = p,
			    .cookie = cookie,
			    .copy = -1,
			    .end = -1,
			    .next_hash = *head };
	*head = i;
	if (!++p->generation)
		p->generation = 1;
	s->id = (park_id)p->generation << 32 | i;
	s->since = ev_now(p->loop);
	s->prev = p->newest;
	if (p->newest)
		p->slots[p->newest - 1].next = i;
	else
		p->oldest = i;
	p->newest = i;
	p->stats.pending++;
	ev_timer_start(p->loop, &p->look); /* no effect when it runs */
	return s;
}

/* Off the pending list: it lives or is over. */
static void slot_not_pending(struct park *p, struct slot *s)
{
	if (s->prev)
		p->slots[s->prev - 1].next = s->next;
	else
		p->oldest = s->next;
	if (s->next)
		p->slots[s->next - 1].prev = s->prev;
	else
		p->newest = s->prev;
	if (p->look_at == (uint32_t)(s - p->slots) + 1)
		p->look_at = s->next;
	s->prev = s->next = 0;
	if (s->state == DUE)
		p->due_count--;
	if (s->copy >= 0) {
		/* Not carried after all: as the application had it. */
		if (*s->device && socket_tcp_state(s->copy) == TCP_CLOSE)
			(void)setsockopt(s->copy, SOL_SOCKET, SO_BINDTODEVICE, s->device,
					 (socklen_t)strlen(s->device) + 1);
		close(s->copy);
	}
	s->copy = -1;
	ev_io_stop(p->loop, &s->io);
	p->stats.pending--;
}

void slot_release(struct park *p, struct slot *s)
{
	uint32_t self = (uint32_t)(s - p->slots) + 1, *link = head_of(p, s->cookie);

	if (slot_waits(s)) {
		slot_not_pending(p, s);
		if (s->end >= 0)
			close(s->end);
	} else {
		p->stats.live--;
	}
	if (s->hole)
		s->hole->used--;
	while (*link != self)
		link = &p->slots[*link - 1].next_hash;
	*link = s->next_hash;
	s->state = FREE;
	s->next_free = p->free_slot;
	p->free_slot = self;
}

void slot_cancel(struct park *p, struct slot *s)
{
	park_id id = s->id;
	bool over = s->state == DUE && !s->completes; /* it has failed it already */

	slot_release(p, s);
	p->stats.cancelled++;
	if (!over)
		p->callbacks.on_cancel(p->ctx, id);
}

int slot_live(struct park *p, struct slot *s)
{
	int fd = s->end;

	slot_not_pending(p, s);
	s->state = LIVE;
	s->end = -1;
	p->stats.live++;
	p->stats.completed++;
	return fd;
}

/* A port that the application bound may be in use towards a hole already, and the kernel has only
 * one connection of a 4-tuple. */
static bool hole_has_port(const struct park *p, const struct hole *h, uint16_t port)
{
	for (uint32_t i = 0; i < p->slot_count; i++)
		if (p->slots[i].state != FREE && p->slots[i].hole == h &&
		    p->slots[i].bound_port == port)
			return true;
	return false;
}

struct hole *slot_hole(struct park *p, int family, uint16_t port)
{
	int f = family == 4 ? 0 : 1;
	struct hole *best = NULL;

	for (size_t i = 0; i < p->hole_count[f]; i++)
		if ((!best || p->holes[f][i].used < best->used) &&
		    !(port && hole_has_port(p, &p->holes[f][i], port)))
			best = &p->holes[f][i];
	/* Not comfortable: dig one more. When that fails, the old ones still serve until the kernel
	 * finds no port. */
	if ((!best || best->used >= HOLE_COMFORT) && p->hole_count[f] < HOLES &&
	    hole_open(&p->holes[f][p->hole_count[f]], family, park_chance())) {
		best = &p->holes[f][p->hole_count[f]++];
		p->stats.holes++;
	}
	return best;
}

void slot_count_failed(struct park *p, int error)
{
	size_t known = sizeof p->stats.failed_by_errno / sizeof *p->stats.failed_by_errno;

	p->stats.failed++;
	p->stats.failed_by_errno[error > 0 && (size_t)error < known ? error : 0]++;
}

enum err slots_init(struct park *p, size_t count)
{
	uint32_t heads = 1024;

	p->slot_count = count ? (uint32_t)count : STREAMS_DEFAULT;
	while (heads < p->slot_count)
		heads *= 2;
	p->heads_mask = heads - 1;
	p->heads = calloc(heads, sizeof *p->heads);
	p->slots = calloc(p->slot_count, sizeof *p->slots);
	if (!p->heads || !p->slots)
		return ERR_FULL;
	for (uint32_t i = p->slot_count; i; i--) {
		p->slots[i - 1].next_free = p->free_slot;
		p->free_slot = i;
	}
	return ERR_OK;
}

void slots_close(struct park *p)
{
	for (uint32_t i = 0; p->slots && i < p->slot_count; i++) {
		struct slot *s = &p->slots[i];

		if (s->state == FREE)
			continue;
		/* Nobody is left to ask for a verdict: what can still be said is that there is no
		 * tunneld. */
		if (slot_waits(s) && s->copy >= 0 && socket_tcp_state(s->copy) == TCP_SYN_SENT)
			shutdown(s->copy, SHUT_RDWR);
		slot_release(p, s);
	}
	for (int f = 0; f < 2; f++)
		for (size_t i = 0; i < p->hole_count[f]; i++)
			hole_close(&p->holes[f][i]);
	free(p->heads);
	free(p->slots);
}
