/* SPDX-License-Identifier: MIT */
#include "tunneld/fault/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MOMENT_US    (10 * USEC_PER_S)   /* what happens in a moment lasts as long as it is repeated that often */
#define WORD_US      (30 * USEC_PER_S)   /* somebody's word: while it is true, every probe brings it again */
#define ANNOUNCED_US (90 * USEC_PER_S)   /* peers repeat theirs every 30 s while it lasts */
#define LASTING_US   (10 * USEC_PER_S)   /* longer than this is no passing thing */

struct faults {
	struct fault *list;        /* ring by age: `count` from `head`; ids ascend */
	uint32_t max, head, count;
	uint64_t next_id;
	uint8_t worker;
	usec_t deadline_us;
	uint64_t reports[FAULT_SOURCES];
};

struct faults *faults_new(uint32_t max, uint8_t worker)
{
	struct faults *f = calloc(1, sizeof *f);

	if (!f)
		return NULL;
	f->list = calloc(max ? max : 1, sizeof *f->list);
	f->max = max ? max : 1;
	f->next_id = 1;
	f->worker = worker;
	f->deadline_us = USEC_NEVER;
	if (f->list)
		return f;
	free(f);
	return NULL;
}

void faults_free(struct faults *f)
{
	if (f)
		free(f->list);
	free(f);
}

static struct fault *at(const struct faults *f, uint32_t i) { return &f->list[(f->head + i) % f->max]; }

/* How long it lasts without being repeated; USEC_NEVER: until it is said to be over. */
static usec_t life_of(const struct fault *x)
{
	switch (x->source) {
	case FAULT_ICMP:
	case FAULT_SEND:
		return WORD_US;
	case FAULT_TIMEOUT:
	case FAULT_RESET:
	case FAULT_CORRUPT:
	case FAULT_DECRYPT:
		return MOMENT_US;
	case FAULT_ANNOUNCED:
		return ANNOUNCED_US;
	default:
		return USEC_NEVER;
	}
}

static void due(struct faults *f, const struct fault *x)
{
	usec_t life = life_of(x);

	if (x->over_us)
		return;
	if (life != USEC_NEVER)
		f->deadline_us = usec_min(f->deadline_us, x->last_us + life);
	if (!x->lasting && life > MOMENT_US && x->source != FAULT_ANNOUNCED)
		f->deadline_us = usec_min(f->deadline_us, x->first_us + LASTING_US);
}

static bool same(const struct fault *a, const struct fault *b)
{
	return a->source == b->source && a->cause == b->cause && a->peer == b->peer && a->path == b->path &&
	       (a->path != FAULT_NO_PATH || a->remote_addr_id == b->remote_addr_id) &&
	       a->middlebox.family == b->middlebox.family &&
	       (!a->middlebox.family || addr_same_ip(&a->middlebox, &b->middlebox));
}

/* Room at the end of the ring: the oldest goes, or one that is over in its place. */
static struct fault *room(struct faults *f)
{
	uint32_t gap = 0;

	assert(f->max);
	if (f->count == f->max) {
		while (gap < f->count && !at(f, gap)->over_us)
			gap++;
		if (gap == f->count)
			gap = 0;
		/* Those before it move up by one. */
		for (uint32_t i = gap; i > 0; i--)
			*at(f, i) = *at(f, i - 1);
		f->head = (f->head + 1) % f->max;
		f->count--;
	}
	return at(f, f->count++);
}

struct fault *faults_report(struct faults *f, const struct fault *what, usec_t now_us, bool *is_new)
{
	struct fault *x;

	f->reports[what->source]++;
	if (is_new)
		*is_new = false;
	for (uint32_t i = f->count; i-- > 0;) {
		x = at(f, i);
		if (x->over_us || !same(x, what))
			continue;
		x->times++;
		x->last_us = now_us;
		x->lasting |= what->lasting;
		x->token = what->token;
		memcpy(x->evidence, what->evidence, sizeof x->evidence);
		x->done = what->done;
		due(f, x);
		return x;
	}
	x = room(f);
	*x = *what;
	x->id = f->next_id++;
	x->worker = f->worker;
	x->first_us = x->last_us = now_us;
	x->over_us = 0;
	x->times = 1;
	due(f, x);
	if (is_new)
		*is_new = true;
	return x;
}

/* The first whose id is at least that. */
static uint32_t first_from(const struct faults *f, uint64_t id)
{
	uint32_t low = 0, high = f->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (at(f, middle)->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct fault *faults_find(struct faults *f, uint64_t id)
{
	uint32_t i = first_from(f, id);

	return i < f->count && at(f, i)->id == id ? at(f, i) : NULL;
}

uint64_t faults_next(const struct faults *f, uint64_t after)
{
	uint32_t i = first_from(f, after + 1);

	return i < f->count ? at(f, i)->id : 0;
}

uint32_t faults_copy(const struct faults *f, struct fault *out, uint32_t max)
{
	uint32_t n = f->count < max ? f->count : max;

	for (uint32_t i = 0; i < n; i++)
		out[i] = *at(f, i);
	return n;
}

unsigned faults_path_well(struct faults *f, uint32_t path, usec_t now_us)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < f->count; i++) {
		struct fault *x = at(f, i);

		if (x->over_us || x->path != path || x->source == FAULT_MTU)
			continue;
		x->over_us = now_us;
		n++;
	}
	return n;
}

/* The peer repeats what its own link or address lacks, and has no other word for it than that it lasts. */
static bool outlives_path(const struct fault *x)
{
	return x->source == FAULT_LINK || x->source == FAULT_ADDRESS || (x->source == FAULT_ANNOUNCED && x->lasting);
}

void faults_path_gone(struct faults *f, uint32_t path, usec_t now_us)
{
	for (uint32_t i = 0; i < f->count; i++) {
		struct fault *x = at(f, i);

		if (x->path != path)
			continue;
		if (!x->over_us && !outlives_path(x))
			x->over_us = now_us;
		x->path = FAULT_NO_PATH;
	}
}

unsigned faults_link_well(struct faults *f, const char *path_name, uint32_t peer, usec_t now_us)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < f->count; i++) {
		struct fault *x = at(f, i);

		if (x->over_us || (x->source != FAULT_LINK && x->source != FAULT_ADDRESS) || x->peer != peer ||
		    strcmp(x->path_name, path_name) != 0)
			continue;
		x->over_us = now_us;
		n++;
	}
	return n;
}

unsigned faults_peer_path_well(struct faults *f, uint32_t peer, uint8_t addr_id, usec_t now_us)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < f->count; i++) {
		struct fault *x = at(f, i);

		if (x->over_us || x->source != FAULT_ANNOUNCED || x->peer != peer || x->path != FAULT_NO_PATH ||
		    (x->remote_addr_id && x->remote_addr_id != addr_id))
			continue;
		x->over_us = now_us;
		n++;
	}
	return n;
}

void faults_time(struct faults *f, usec_t now_us)
{
	if (now_us < f->deadline_us)
		return;
	f->deadline_us = USEC_NEVER;
	for (uint32_t i = 0; i < f->count; i++) {
		struct fault *x = at(f, i);
		usec_t life = life_of(x);

		if (x->over_us)
			continue;
		if (life != USEC_NEVER && now_us >= x->last_us + life)
			x->over_us = x->last_us > x->first_us ? x->last_us : now_us;
		else if (life > MOMENT_US && x->source != FAULT_ANNOUNCED && now_us >= x->first_us + LASTING_US)
			x->lasting = true;
		due(f, x);
	}
}

usec_t faults_deadline(const struct faults *f) { return f->deadline_us; }

void faults_stats(const struct faults *f, struct faults_stats *out)
{
	*out = (struct faults_stats){ .records = f->count };
	memcpy(out->reports, f->reports, sizeof out->reports);
	for (uint32_t i = 0; i < f->count; i++)
		out->current += !at(f, i)->over_us;
}
