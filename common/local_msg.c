/* SPDX-License-Identifier: MIT */
#include "common/local_msg.h"
#include "common/bytes.h"

#define MAGIC 0x504c4131u /* "PLA1" */

const char *local_reason_text(enum local_reason r)
{
	static const char *const texts[LOCAL_REASONS] = {
#define X(name, text) [LOCAL_##name] = text,
		LOCAL_REASON_LIST(X)
#undef X
	};

	return texts[r < LOCAL_REASONS ? r : LOCAL_NO_REASON];
}

static void addr_emit(struct wr *w, const struct addr *a)
{
	wr_u8(w, a->family);
	wr_u8(w, 0);
	wr_u16(w, a->port);
	wr_u32(w, a->scope);
	wr_bytes(w, a->ip, sizeof a->ip);
}

static enum err addr_take(struct rd *r, struct addr *a)
{
	a->family = rd_u8(r);
	(void)rd_u8(r);
	a->port = rd_u16(r);
	a->scope = rd_u32(r);
	rd_copy(r, a->ip, sizeof a->ip);
	if (a->family != 0 && a->family != 4 && a->family != 6)
		return ERR_MALFORMED;
	/* struct addr keeps what IPv4 does not use zero, or two equal addresses would differ. */
	if (a->family == 4) {
		a->scope = 0;
		memset(a->ip + 4, 0, sizeof a->ip - 4);
	}
	return ERR_OK;
}

enum err local_ask_parse(struct local_ask *out, const void *bytes, size_t len)
{
	struct rd r = rd_of(bytes, len);
	uint32_t magic = rd_u32(&r);
	uint8_t kind = rd_u8(&r), reason = rd_u8(&r);
	enum err e;

	(void)rd_u16(&r);
	out->fd = rd_u32(&r);
	e = addr_take(&r, &out->dest);
	rd_copy(&r, out->comm, sizeof out->comm);
	if (r.bad)
		return ERR_TRUNCATED;
	if (magic != MAGIC || kind == 0 || kind >= LOCAL_ASK_KINDS || e || rd_left(&r))
		return ERR_MALFORMED;
	if ((kind == LOCAL_PARK || kind == LOCAL_WENT_DIRECT) != (out->dest.family != 0) ||
	    reason >= LOCAL_REASONS)
		return ERR_MALFORMED;
	out->reason = (enum local_reason)reason;
	out->kind = (enum local_ask_kind)kind;
	/* It is printed in logs: no control characters, always ended. */
	out->comm[LOCAL_COMM_BYTES - 1] = 0;
	for (size_t i = 0; i < LOCAL_COMM_BYTES; i++)
		if (out->comm[i] && (out->comm[i] < ' ' || out->comm[i] > '~'))
			out->comm[i] = '?';
	return ERR_OK;
}

void local_ask_emit(const struct local_ask *ask, uint8_t bytes[LOCAL_ASK_BYTES])
{
	struct wr w = wr_of(bytes, LOCAL_ASK_BYTES);

	wr_u32(&w, MAGIC);
	wr_u8(&w, (uint8_t)ask->kind);
	wr_u8(&w, (uint8_t)ask->reason);
	wr_u16(&w, 0);
	wr_u32(&w, ask->fd);
	addr_emit(&w, &ask->dest);
	wr_bytes(&w, ask->comm, sizeof ask->comm);
}

enum err local_answer_parse(struct local_answer *out, const void *bytes, size_t len)
{
	struct rd r = rd_of(bytes, len);
	uint32_t magic = rd_u32(&r);
	uint8_t kind = rd_u8(&r), reason = rd_u8(&r);
	enum err e;

	out->error = rd_u16(&r);
	e = addr_take(&r, &out->addr);
	if (!e)
		e = addr_take(&r, &out->local);
	memset(&out->info, 0, sizeof out->info);
	if (!e && kind == LOCAL_TOLD) {
#define X(name) out->info.name = rd_u64(&r);
		LOCAL_INFO_LIST(X)
#undef X
	}
	if (r.bad)
		return ERR_TRUNCATED;
	if (magic != MAGIC || kind == 0 || kind >= LOCAL_ANSWER_KINDS || e || rd_left(&r))
		return ERR_MALFORMED;
	if (reason >= LOCAL_REASONS || out->error > 4095)
		return ERR_MALFORMED;
	if ((kind == LOCAL_ERROR || kind == LOCAL_UNABLE) && out->error == 0)
		return ERR_MALFORMED;
	if ((kind == LOCAL_HOLE || kind == LOCAL_NAMED) && out->addr.family == 0)
		return ERR_MALFORMED;
	out->kind = (enum local_answer_kind)kind;
	out->reason = (enum local_reason)reason;
	return ERR_OK;
}

size_t local_answer_emit(const struct local_answer *answer, uint8_t bytes[LOCAL_ANSWER_MOST])
{
	struct wr w = wr_of(bytes, LOCAL_ANSWER_MOST);

	wr_u32(&w, MAGIC);
	wr_u8(&w, (uint8_t)answer->kind);
	wr_u8(&w, (uint8_t)answer->reason);
	wr_u16(&w, (uint16_t)answer->error);
	addr_emit(&w, &answer->addr);
	addr_emit(&w, &answer->local);
	if (answer->kind != LOCAL_TOLD)
		return LOCAL_ANSWER_BYTES;
#define X(name) wr_u64(&w, answer->info.name);
	LOCAL_INFO_LIST(X)
#undef X
	return LOCAL_ANSWER_MOST;
}
