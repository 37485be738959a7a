/* SPDX-License-Identifier: MIT */
#include "tunneld/status/capture.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tunneld/wire/tcp_frame.h"

/* pcapng: blocks of type, length, body, length again; numbers in our own byte order, which the first block shows. */
enum {
	BLOCK_SECTION = 0x0A0D0D0A, BLOCK_INTERFACE = 1, BLOCK_PACKET = 6,
	ORDER_MAGIC = 0x1A2B3C4D, LINKTYPE_RAW = 101,
	OPT_END = 0, IF_NAME = 2, IF_TSRESOL = 9, EPB_FLAGS = 2, EPB_DROPCOUNT = 4, SHB_USERAPPL = 4,
	FLAG_INBOUND = 1, FLAG_OUTBOUND = 2,
	RING = 8 << 20, INTERFACES_MAX = 4096, NAME_KEPT = 63,
};

struct interface { uint32_t path; char name[NAME_KEPT + 1]; };

struct capture {
	pthread_mutex_t lock;     /* each worker brings segments, the first reads */
	uint32_t snap;
	uint64_t wall_us;         /* at born_us */
	usec_t born_us;
	struct interface *interfaces;
	uint32_t interface_count;
	uint64_t dropped, dropped_told;
	bool news;
	uint8_t *block;           /* one is made here, then put into the ring whole */
	size_t block_len;
	size_t head, count;
	uint8_t ring[RING];
};

/* --- one block --- */

static void put(struct capture *c, const void *bytes, size_t len)
{
	memcpy(c->block + c->block_len, bytes, len);
	c->block_len += len;
	while (len++ % 4)
		c->block[c->block_len++] = 0;
}

static void put32(struct capture *c, uint32_t v) { put(c, &v, sizeof v); }

static void option(struct capture *c, uint16_t code, const void *value, uint16_t len)
{
	uint16_t head[2] = { code, len };

	put(c, head, sizeof head);
	put(c, value, len);
}

static void begin(struct capture *c, uint32_t type)
{
	c->block_len = 0;
	put32(c, type);
	put32(c, 0); /* its length: end() */
}

static bool end(struct capture *c)
{
	uint32_t len = (uint32_t)c->block_len + 4;
	size_t tail, first;

	memcpy(c->block + 4, &len, sizeof len);
	put32(c, len);
	if (RING - c->count < c->block_len)
		return false;
	tail = (c->head + c->count) % RING;
	first = c->block_len < RING - tail ? c->block_len : RING - tail;
	memcpy(c->ring + tail, c->block, first);
	memcpy(c->ring, c->block + first, c->block_len - first);
	c->count += c->block_len;
	c->news = true;
	return true;
}

static void section(struct capture *c)
{
	static const uint16_t version[2] = { 1, 0 };
	static const uint64_t unknown = UINT64_MAX;
	static const char application[] = "plait " PLAIT_VERSION;

	begin(c, BLOCK_SECTION);
	put32(c, ORDER_MAGIC);
	put(c, version, sizeof version);
	put(c, &unknown, sizeof unknown);
	option(c, SHB_USERAPPL, application, sizeof application - 1);
	option(c, OPT_END, "", 0);
	(void)end(c);
}

/* The interface of that path; its block is written when it is seen first, or under another name. -1: no room for it. */
static int64_t interface_of(struct capture *c, uint32_t path, const char *name)
{
	static const uint16_t link[2] = { LINKTYPE_RAW, 0 };
	static const uint8_t microseconds = 6;
	struct interface *i;

	for (uint32_t k = c->interface_count; k-- > 0;)
		if (c->interfaces[k].path == path && !strncmp(c->interfaces[k].name, name, NAME_KEPT))
			return k;
	if (c->interface_count == INTERFACES_MAX)
		return -1;
	i = realloc(c->interfaces, (c->interface_count + 1) * sizeof *i);
	if (!i)
		return -1;
	c->interfaces = i;
	i += c->interface_count;
	*i = (struct interface){ .path = path };
	strncpy(i->name, name, NAME_KEPT);
	begin(c, BLOCK_INTERFACE);
	put(c, link, sizeof link);
	put32(c, c->snap);
	option(c, IF_NAME, i->name, (uint16_t)strlen(i->name));
	option(c, IF_TSRESOL, &microseconds, 1);
	option(c, OPT_END, "", 0);
	if (!end(c))
		return -1;
	return c->interface_count++;
}

static void add(struct capture *c, uint32_t path, const char *path_name, bool outbound, const struct addr *from,
		const struct addr *to, const uint8_t *segment, size_t len, enum segment_form form, usec_t now_us)
{
	static _Thread_local uint8_t frame[CAPTURE_SNAP_MOST];
	uint32_t flags = outbound ? FLAG_OUTBOUND : FLAG_INBOUND;
	uint64_t at = c->wall_us + usec_since(now_us, c->born_us), lost = c->dropped - c->dropped_told;
	size_t whole = 0, got = tcp_frame_write(frame, c->snap, from, to, segment, len, form, &whole);
	int64_t interface = got ? interface_of(c, path, path_name) : -1;

	if (interface < 0) {
		c->dropped++;
		return;
	}
	begin(c, BLOCK_PACKET);
	put32(c, (uint32_t)interface);
	put32(c, (uint32_t)(at >> 32));
	put32(c, (uint32_t)at);
	put32(c, (uint32_t)got);
	put32(c, (uint32_t)whole);
	put(c, frame, got);
	option(c, EPB_FLAGS, &flags, sizeof flags);
	if (lost)
		option(c, EPB_DROPCOUNT, &lost, sizeof lost);
	option(c, OPT_END, "", 0);
	if (end(c))
		c->dropped_told += lost;
	else
		c->dropped++;
}

void capture_segment(struct capture *c, uint32_t path, const char *path_name, bool outbound, const struct addr *from,
		     const struct addr *to, const uint8_t *segment, size_t len, enum segment_form form, usec_t now_us)
{
	pthread_mutex_lock(&c->lock);
	add(c, path, path_name, outbound, from, to, segment, len, form, now_us);
	pthread_mutex_unlock(&c->lock);
}

struct capture *capture_new(uint32_t snap, uint64_t wall_us, usec_t now_us)
{
	struct capture *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->block = malloc(CAPTURE_SNAP_MOST + 256);
	if (!c->block) {
		free(c);
		return NULL;
	}
	c->snap = snap < CAPTURE_SNAP_LEAST ? CAPTURE_SNAP_LEAST : snap > CAPTURE_SNAP_MOST ? CAPTURE_SNAP_MOST : snap;
	c->wall_us = wall_us;
	c->born_us = now_us;
	pthread_mutex_init(&c->lock, NULL); /* with no attributes it does not fail */
	section(c);
	return c;
}

void capture_free(struct capture *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c->interfaces);
	free(c->block);
	free(c);
}

size_t capture_read(struct capture *c, uint8_t *out, size_t room)
{
	size_t n, first;

	pthread_mutex_lock(&c->lock);
	n = c->count < room ? c->count : room;
	first = n < RING - c->head ? n : RING - c->head;
	memcpy(out, c->ring + c->head, first);
	memcpy(out + first, c->ring, n - first);
	c->head = (c->head + n) % RING;
	c->count -= n;
	pthread_mutex_unlock(&c->lock);
	return n;
}

bool capture_news(struct capture *c)
{
	bool news;

	pthread_mutex_lock(&c->lock);
	news = c->news;
	c->news = false;
	pthread_mutex_unlock(&c->lock);
	return news;
}
