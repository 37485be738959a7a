/* SPDX-License-Identifier: MIT */
/* Lines that begin with < and >: a segment read, given to the engine, or compared with what it sent. */
#include "tests/script/runner.h"

#include <stdlib.h>
#include <string.h>

static uint8_t flags_of(struct seg_line *l, const char *text)
{
	uint8_t flags = 0;

	for (; *text; text++)
		switch (*text) {
		case 'S': flags |= TCP_SYN; break;
		case 'F': flags |= TCP_FIN; break;
		case 'R': flags |= TCP_RST; break;
		case 'P': flags |= TCP_PSH; l->push_given = true; break;
		case 'E': flags |= TCP_ECE; break;
		case 'W': flags |= TCP_CWR; break;
		case 'U': flags |= TCP_URG; break;
		case '.': flags |= TCP_ACK; break;
		case '-': break;
		default: bad_script("no flag is %c", *text);
		}
	return flags;
}

static void convert_read(struct seg_line *l, char **rest)
{
	char *what = word_needed(rest, "ask, ok, fail or raw");

	if (!strcmp(what, "ask")) {
		l->convert = CONVERT_ASK;
		l->destination = address(word_needed(rest, "destination"));
	} else if (!strcmp(what, "ok")) {
		l->convert = CONVERT_OK;
	} else if (!strcmp(what, "fail")) {
		l->convert = CONVERT_FAIL;
		l->convert_code = (uint8_t)number_needed(rest, "code");
	} else {
		char *hex = word_needed(rest, "hex");

		l->convert = CONVERT_RAW;
		for (; hex[0] && hex[1] && l->raw_len < sizeof l->raw; hex += 2) {
			char two[3] = { hex[0], hex[1], 0 };

			l->raw[l->raw_len++] = (uint8_t)strtoul(two, NULL, 16);
		}
	}
}

static void segment_read(struct seg_line *l, char *rest)
{
	char *open = strchr(rest, '<'), *close = open ? strchr(open, '>') : NULL, *p, *what;
	long long seq, end;

	*l = (struct seg_line){ 0 };
	if (open) {
		if (!close)
			bad_script("< without >");
		*open = *close = 0;
		options_read(&l->options, open + 1);
		/* what stands behind the options is read as if it stood before them */
		*open = ' ';
		memmove(open + 1, close + 1, strlen(close + 1) + 1);
	}
	if (w.translated)
		options_to_sealed(&l->options);
	l->flags = flags_of(l, word_needed(&rest, "flags"));
	p = word_needed(&rest, "sequence numbers");
	seq = strtoll(p, &p, 10);
	if (*p != ':')
		bad_script("sequence numbers are START:END(LENGTH)");
	end = strtoll(p + 1, &p, 10);
	if (*p != '(')
		bad_script("sequence numbers are START:END(LENGTH)");
	l->len = (uint32_t)strtoul(p + 1, NULL, 10);
	l->seq = seq;
	if (end - seq != l->len)
		bad_script("%lld:%lld are not %u bytes", seq, end, l->len);
	if (l->len > PAYLOAD_MAX)
		bad_script("more than %d bytes", PAYLOAD_MAX);
	while ((what = word(&rest))) {
		if (!strcmp(what, "ack")) {
			l->has_ack = true;
			l->ack = number_needed(&rest, "ack");
		} else if (!strcmp(what, "win")) {
			l->has_win = true;
			l->win = (uint32_t)number_needed(&rest, "win");
		} else if (!strcmp(what, "path")) {
			l->has_path = true;
			l->path = (uint32_t)number_needed(&rest, "path");
		} else if (!strcmp(what, "fill")) {
			l->fill_bad = !strcmp(word_needed(&rest, "bad"), "bad");
		} else if (!strcmp(what, "convert")) {
			convert_read(l, &rest);
		} else {
			bad_script("a segment has no \"%s\"", what);
		}
	}
}

/* In sealed form a first subflow's SYNs carry a Convert message, in which a script of plain form has no part. */
static void convert_add(struct seg_line *l)
{
	const struct option *o = NULL;

	for (unsigned i = 0; i < l->options.count; i++)
		if (l->options.o[i].name == NAME_mp_capable)
			o = &l->options.o[i];
	if (!(l->flags & TCP_SYN) || !o || l->convert)
		return;
	l->convert = l->flags & TCP_ACK ? CONVERT_OK : CONVERT_ASK;
	l->destination = address("198.51.100.1:80");
	l->len += l->flags & TCP_ACK ? 4 : 24;
}

static const char *segment_differs(const struct seg_line *want, const struct seg_line *seen)
{
	uint8_t ignore = want->push_given ? 0 : TCP_PSH;

	if ((want->flags | ignore) != (seen->flags | ignore))
		return "flags";
	if (want->seq != seen->seq)
		return "sequence number";
	if (want->len != seen->len)
		return "length";
	if (want->has_ack && want->ack != seen->ack)
		return "ack";
	if (want->has_win && want->win != seen->win)
		return "win";
	if (want->has_path && want->path != seen->path)
		return "path";
	if (want->convert) {
		uint8_t bytes[sizeof seen->raw];
		size_t n = convert_bytes(want, bytes, sizeof bytes);

		if (n != seen->raw_len || memcmp(bytes, seen->raw, n) != 0)
			return "Convert message";
	}
	return want->options.given ? options_differ(&want->options, &seen->options) : NULL;
}

void expect_segment(unsigned sub, struct when when, char *rest)
{
	struct seg_line want, seen;
	struct pending *p;
	const char *why, *payload;
	usec_t late = usec_add(when.to, when.any ? WAIT_MAX_US : w.tolerance);

	checks++;
	segment_read(&want, rest);
	p = world_sent(sub, late);
	if (!p) {
		world_nothing_pending(USEC_NEVER);
		fail("s%u sends nothing until %.6f", sub + 1, (double)late / 1e6);
	}
	payload = segment_seen(p, sub, &seen);
	why = segment_differs(&want, &seen);
	if (!why)
		why = payload;
	if (!why && !when.any && p->at + w.tolerance < when.from)
		why = "time: too early";
	if (why) {
		char *text = NULL;
		size_t size;
		FILE *f = open_memstream(&text, &size);

		segment_print_line(&seen, f);
		fclose(f);
		fail("s%u sends another segment: %s\n\tseen:        at %.6f %s", sub + 1, why, (double)p->at / 1e6, text);
	}
	base = when.any || when.from != when.to ? p->at : when.to;
	free(p);
}

void give_segment(unsigned sub, char *rest)
{
	struct seg_line l;

	segment_read(&l, rest);
	sub_of_peer(sub);
	if (w.translated)
		convert_add(&l);
	world_segment(&l, sub);
}
