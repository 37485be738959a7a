/* SPDX-License-Identifier: MIT */
#include "tests/sim/queue.h"

#include <assert.h>
#include <stdlib.h>

static bool earlier(const struct occasion *a, const struct occasion *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void queue_put(struct queue *q, struct occasion o)
{
	size_t i = q->count++;

	if (q->count > q->size) {
		q->size = q->size ? 2 * q->size : 1024;
		q->heap = realloc(q->heap, q->size * sizeof *q->heap);
		assert(q->heap);
	}
	o.order = q->order++;
	for (; i && earlier(&o, &q->heap[(i - 1) / 2]); i = (i - 1) / 2)
		q->heap[i] = q->heap[(i - 1) / 2];
	q->heap[i] = o;
}

usec_t queue_next_us(const struct queue *q) { return q->count ? q->heap[0].at_us : USEC_NEVER; }

struct occasion queue_take(struct queue *q)
{
	struct occasion first = q->heap[0], last = q->heap[--q->count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < q->count) {
		if (child + 1 < q->count && earlier(&q->heap[child + 1], &q->heap[child]))
			child++;
		if (!earlier(&q->heap[child], &last))
			break;
		q->heap[i] = q->heap[child];
		i = child;
	}
	if (q->count)
		q->heap[i] = last;
	return first;
}

void queue_free(struct queue *q)
{
	free(q->heap);
	*q = (struct queue){ 0 };
}
