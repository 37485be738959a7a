/* SPDX-License-Identifier: MIT */
/*
 * Bounded reader and writer. A short read yields 0 and marks the reader bad; a short write writes
 * nothing and marks the writer bad: so a format reads like its figure and is checked once, at the end.
 * All numbers are in network order. Nothing here owns memory.
 */
#ifndef PLAIT_BYTES_H
#define PLAIT_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Unchecked loads and stores, for code that has proved its bounds; compilers make each one instruction. */
static inline uint16_t be_get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t be_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t be_get64(const uint8_t *p) { return (uint64_t)be_get32(p) << 32 | be_get32(p + 4); }
static inline void be_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline void be_put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}
static inline void be_put64(uint8_t *p, uint64_t v)
{
	be_put32(p, (uint32_t)(v >> 32));
	be_put32(p + 4, (uint32_t)v);
}

struct rd {
	const uint8_t *at, *end;
	bool bad;
};

static inline struct rd rd_of(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	return (struct rd){ .at = p, .end = len ? p + len : p }; /* C forbids NULL + 0 */
}
static inline size_t rd_left(const struct rd *r) { return (size_t)(r->end - r->at); }

/* The next n bytes where they stand, or NULL (and bad). */
static inline const uint8_t *rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *p = r->at;

	if (r->bad || rd_left(r) < n) {
		r->bad = true;
		return NULL;
	}
	if (n)
		r->at += n;
	return p;
}
static inline void rd_copy(struct rd *r, void *to, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);

	if (p)
		memcpy(to, p, n);
	else
		memset(to, 0, n);
}
static inline uint8_t rd_u8(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 1);
	return p ? p[0] : 0;
}
static inline uint16_t rd_u16(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 2);
	return p ? be_get16(p) : 0;
}
static inline uint32_t rd_u24(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 3);
	return p ? (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2] : 0;
}
static inline uint32_t rd_u32(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 4);
	return p ? be_get32(p) : 0;
}
static inline uint64_t rd_u64(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 8);
	return p ? be_get64(p) : 0;
}
/* A reader of the next n bytes alone: a nested length cannot run past its parent. */
static inline struct rd rd_sub(struct rd *r, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);
	struct rd sub = r->bad ? rd_of(r->end, 0) : rd_of(p, n);

	sub.bad = r->bad;
	return sub;
}

struct wr {
	uint8_t *start, *at, *end;
	bool bad;
};

static inline struct wr wr_of(void *bytes, size_t size)
{
	uint8_t *p = bytes;
	return (struct wr){ .start = p, .at = p, .end = size ? p + size : p };
}
static inline size_t wr_len(const struct wr *w) { return (size_t)(w->at - w->start); }
static inline size_t wr_left(const struct wr *w) { return (size_t)(w->end - w->at); }

/* Room for n bytes to be filled by the caller, or NULL (and bad). */
static inline uint8_t *wr_room(struct wr *w, size_t n)
{
	uint8_t *p = w->at;

	if (w->bad || wr_left(w) < n) {
		w->bad = true;
		return NULL;
	}
	if (n)
		w->at += n;
	return p;
}
static inline void wr_bytes(struct wr *w, const void *from, size_t n)
{
	uint8_t *p = wr_room(w, n);

	if (p && n)
		memcpy(p, from, n);
}
static inline void wr_u8(struct wr *w, uint8_t v)
{
	uint8_t *p = wr_room(w, 1);

	if (p)
		p[0] = v;
}
static inline void wr_u16(struct wr *w, uint16_t v)
{
	uint8_t *p = wr_room(w, 2);

	if (p)
		be_put16(p, v);
}
static inline void wr_u24(struct wr *w, uint32_t v)
{
	uint8_t *p = wr_room(w, 3);

	if (p) {
		p[0] = (uint8_t)(v >> 16);
		be_put16(p + 1, (uint16_t)v);
	}
}
static inline void wr_u32(struct wr *w, uint32_t v)
{
	uint8_t *p = wr_room(w, 4);

	if (p)
		be_put32(p, v);
}
static inline void wr_u64(struct wr *w, uint64_t v)
{
	uint8_t *p = wr_room(w, 8);

	if (p)
		be_put64(p, v);
}

#endif
