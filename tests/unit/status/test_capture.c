/* SPDX-License-Identifier: MIT */
/* A pcapng stream that any reader takes for whole, in whatever helpings it is read. */
#include "tunneld/status/capture.c"

#include "tests/unit/unit.h"

static uint8_t file[RING + (1 << 20)];
static size_t file_len;

/* What the walk over the file has found. */
static struct {
	unsigned sections, interfaces, packets;
	uint32_t last_interface, last_captured, last_whole, last_flags;
	uint64_t last_at, drops;
	char names[8][NAME_KEPT + 1];
} found;

static uint32_t word(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static void options(const uint8_t *p, const uint8_t *stop, uint32_t type)
{
	while (p < stop) {
		uint16_t head[2];

		memcpy(head, p, sizeof head);
		if (head[0] == OPT_END) {
			CU_ASSERT_PTR_EQUAL(p + 4, stop);
			return;
		}
		CU_ASSERT_TRUE_FATAL(p + 4 + head[1] <= stop);
		if (type == BLOCK_INTERFACE && head[0] == IF_NAME && found.interfaces < 8)
			memcpy(found.names[found.interfaces], p + 4, head[1]);
		if (type == BLOCK_PACKET && head[0] == EPB_FLAGS)
			found.last_flags = word(p + 4);
		if (type == BLOCK_PACKET && head[0] == EPB_DROPCOUNT)
			found.drops += word(p + 4);
		p += 4 + (head[1] + 3u) / 4 * 4;
	}
	CU_FAIL("options without their end");
}

/* Block by block; each says its length at both ends. */
static void walk(void)
{
	memset(&found, 0, sizeof found);
	for (size_t at = 0; at < file_len;) {
		const uint8_t *b = file + at;
		uint32_t type = word(b), len = word(b + 4);

		CU_ASSERT_TRUE_FATAL(len % 4 == 0 && len >= 12 && at + len <= file_len);
		CU_ASSERT_EQUAL_FATAL(word(b + len - 4), len);
		switch (type) {
		case BLOCK_SECTION:
			CU_ASSERT_EQUAL(at, 0);
			CU_ASSERT_EQUAL(word(b + 8), ORDER_MAGIC);
			found.sections++;
			break;
		case BLOCK_INTERFACE:
			options(b + 16, b + len - 4, type);
			found.interfaces++;
			break;
		case BLOCK_PACKET:
			found.last_interface = word(b + 8);
			CU_ASSERT_TRUE(found.last_interface < found.interfaces);
			found.last_at = (uint64_t)word(b + 12) << 32 | word(b + 16);
			found.last_captured = word(b + 20);
			found.last_whole = word(b + 24);
			options(b + 28 + (found.last_captured + 3) / 4 * 4, b + len - 4, type);
			found.packets++;
			break;
		default:
			CU_FAIL_FATAL("a block of no known type");
		}
		at += len;
	}
}

static void read_all(struct capture *c, size_t helping)
{
	size_t n;

	while ((n = capture_read(c, file + file_len, helping)))
		file_len += n;
}

static void take(struct capture *c, uint32_t path, const char *name, bool outbound, size_t payload, usec_t now_us)
{
	static const struct addr from = { .family = 4, .ip = { 192, 0, 2, 1 }, .port = 5 }, to = { .family = 4, .ip = { 192, 0, 2, 2 }, .port = 6 };
	uint8_t bytes[2048] = { 0, 1, 0, 2 };

	bytes[12] = 5 << 4; /* data offset: no options */
	capture_segment(c, path, name, outbound, &from, &to, bytes, 16 + payload, SEGMENT_SEALED, now_us);
}

static void test_blocks_are_whole_and_paths_have_names(void)
{
	for (size_t helping = 1; helping < 4096; helping = helping * 3 + 1) {
		struct capture *c = capture_new(0, UINT64_C(1700000000000000), 1000);

		file_len = 0;
		CU_ASSERT_PTR_NOT_NULL_FATAL(c);
		CU_ASSERT_TRUE(capture_news(c));
		CU_ASSERT_FALSE(capture_news(c));
		take(c, 7, "wifi", true, 10, 1000);
		take(c, 9, "lte", false, 11, 2000);
		take(c, 7, "wifi", false, 1300, 4500);
		CU_ASSERT_TRUE(capture_news(c));
		read_all(c, helping);
		walk();
		CU_ASSERT_EQUAL(found.sections, 1);
		CU_ASSERT_EQUAL(found.interfaces, 2);
		CU_ASSERT_STRING_EQUAL(found.names[0], "wifi");
		CU_ASSERT_STRING_EQUAL(found.names[1], "lte");
		CU_ASSERT_EQUAL(found.packets, 3);
		CU_ASSERT_EQUAL(found.last_interface, 0);
		CU_ASSERT_EQUAL(found.last_flags, FLAG_INBOUND);
		CU_ASSERT_EQUAL(found.last_at, UINT64_C(1700000000003500));
		CU_ASSERT_EQUAL(found.last_captured, CAPTURE_SNAP_LEAST);
		CU_ASSERT_EQUAL(found.last_whole, 20 + 20 + 1300);
		capture_free(c);
	}
}

static void test_what_does_not_fit_is_counted(void)
{
	struct capture *c = capture_new(CAPTURE_SNAP_MOST, 0, 0);
	unsigned taken = 3 * (RING / 1400), first;

	file_len = 0;
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	for (unsigned i = 0; i < taken; i++)
		take(c, 1, "wifi", true, 1300, i);
	read_all(c, 10000);
	walk();
	first = found.packets;
	CU_ASSERT_TRUE(first > 0 && first < taken);
	CU_ASSERT_EQUAL(found.drops, 0);
	/* The next that fits says how many did not. */
	take(c, 1, "wifi", true, 1300, taken);
	take(c, 1, "wifi", true, 1300, taken + 1);
	read_all(c, 10000);
	walk();
	CU_ASSERT_EQUAL(found.packets, first + 2);
	CU_ASSERT_EQUAL(found.drops, taken - first);
	capture_free(c);
}

static void test_what_is_no_segment_is_counted(void)
{
	struct capture *c = capture_new(0, 0, 0);
	struct addr from = { .family = 4 }, to = { .family = 6 };

	file_len = 0;
	capture_segment(c, 1, "wifi", true, &from, &to, (const uint8_t[16]){ 0 }, 16, SEGMENT_SEALED, 1);
	take(c, 1, "wifi", true, 0, 2);
	read_all(c, 500);
	walk();
	CU_ASSERT_EQUAL(found.packets, 1);
	CU_ASSERT_EQUAL(found.drops, 1);
	CU_ASSERT_EQUAL(found.last_whole, 40);
	capture_free(c);
}

UNIT_MAIN("capture", T(test_blocks_are_whole_and_paths_have_names), T(test_what_does_not_fit_is_counted),
	  T(test_what_is_no_segment_is_counted))
