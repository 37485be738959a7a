/* SPDX-License-Identifier: MIT */
#include "tunneld/wire/option_rules.h"

#include "tunneld/wire/tcp_option.h"

#include <assert.h>

/* Where an option may stand. A segment is exactly one of these. */
enum { ON_SYN = 1, ON_ACK = 2, ON_DATA = 4, ON_RST = 8 };

struct option_rule {
	uint8_t rank;    /* the lowest is left off first */
	uint8_t on;
	uint8_t repeats; /* RFC 8684 A: ACKs are not delivered reliably, so send redundantly what nobody acknowledges */
	bool alone;      /* RFC 8684 A: a duplicate ACK with no payload or other options */
};

/*
 * Ranks: what opens a subflow, then what ends or condemns one, then what data cannot be read without,
 * then signals that may come a segment later.
 * Repeats of 1: MP_CAPABLE, MP_JOIN and MP_FASTCLOSE have timers of their own, DSS is cumulative,
 * ADD_ADDR is echoed, MP_FAIL is answered, MP_TCPRST goes where nothing follows.
 */
static const struct option_rule rules[MPTCP_SUBTYPES] = {
	/*                    rank on                         repeats alone */
	[MP_CAPABLE]      = { 11,  ON_SYN | ON_ACK | ON_DATA, 1,      false },
	[MP_JOIN]         = { 10,  ON_SYN | ON_ACK,           1,      false },
	[MP_FASTCLOSE]    = {  9,  ON_ACK | ON_RST,           1,      false },
	[MP_FAIL]         = {  8,  ON_ACK | ON_DATA | ON_RST, 1,      false },
	[DSS]             = {  7,  ON_ACK | ON_DATA,          1,      false },
	[MP_TCPRST]       = {  6,  ON_RST,                    1,      false },
	[MP_PRIO]         = {  5,  ON_ACK | ON_DATA,          3,      false },
	[REMOVE_ADDR]     = {  4,  ON_ACK | ON_DATA,          3,      false },
	[ADD_ADDR]        = {  3,  ON_ACK | ON_DATA,          1,      true  },
	[FAULT_ANNOUNCE]  = {  2,  ON_SYN | ON_ACK | ON_DATA, 3,      false },
	[MP_EXPERIMENTAL] = {  1,  ON_ACK | ON_DATA,          3,      false },
};

static unsigned place_of(const struct segment *s)
{
	if (s->flags & TCP_SYN)
		return ON_SYN;
	if (s->flags & TCP_RST)
		return ON_RST;
	return s->payload_len ? ON_DATA : ON_ACK;
}

static const struct option_rule *rule_of(const struct mptcp_option *opt)
{
	assert(opt->subtype < MPTCP_SUBTYPES && rules[opt->subtype].on);
	return &rules[opt->subtype];
}

/* Padded bytes of the options that stay. */
static size_t mptcp_size(const struct segment *s, const bool *stays)
{
	size_t size = 0;

	for (unsigned i = 0; i < s->mptcp_count; i++)
		if (stays[i])
			size += (mptcp_option_size(&s->mptcp[i]) + 3) & ~(size_t)3;
	return size;
}

/* The lowest rank that stays; of two alike the later one. */
static unsigned lowest(const struct segment *s, const bool *stays)
{
	unsigned low = SEGMENT_MPTCP_MAX;

	for (unsigned i = 0; i < s->mptcp_count; i++)
		if (stays[i] && (low == SEGMENT_MPTCP_MAX || rule_of(&s->mptcp[i])->rank <= rule_of(&s->mptcp[low])->rank))
			low = i;
	return low;
}

/* Those that stay first, then those that do not, each in their order. */
static unsigned partition(struct segment *s, const bool *stays)
{
	struct mptcp_option off[SEGMENT_MPTCP_MAX];
	unsigned kept = 0, left = 0;

	for (unsigned i = 0; i < s->mptcp_count; i++) {
		if (!stays[i])
			off[left++] = s->mptcp[i];
		else if (kept++ != i)
			s->mptcp[kept - 1] = s->mptcp[i];
	}
	memcpy(&s->mptcp[kept], off, left * sizeof off[0]);
	s->mptcp_count = (uint8_t)kept;
	return left;
}

unsigned option_rules_fit(struct segment *s)
{
	unsigned place = place_of(s), staying = 0;
	bool stays[SEGMENT_MPTCP_MAX];
	struct tcp_options bare;

	assert(s->mptcp_count <= SEGMENT_MPTCP_MAX);
	for (unsigned i = 0; i < s->mptcp_count; i++)
		staying += stays[i] = rule_of(&s->mptcp[i])->on & place;

	/* RFC 8684 A: reduce the number of SACK blocks; the first are the newest (RFC 2018 4) and stay longest. */
	while ((s->tcp.has & OPT_SACK) && tcp_options_size(&s->tcp) + mptcp_size(s, stays) > TCP_OPTIONS_MAX) {
		if (s->tcp.sack_count)
			s->tcp.sack_count--;
		if (!s->tcp.sack_count)
			s->tcp.has &= (uint8_t)~OPT_SACK;
	}
	while (staying > 1 && tcp_options_size(&s->tcp) + mptcp_size(s, stays) > TCP_OPTIONS_MAX) {
		stays[lowest(s, stays)] = false;
		staying--;
	}
	bare = s->tcp;
	/*
	 * Only ADD_ADDR for IPv6 with a port comes here: 32 bytes, and timestamps take 12. Unlike RFC 7323 3.2
	 * that one ACK goes without them, as from newer Linux: the address would never be announced otherwise.
	 */
	if (tcp_options_size(&s->tcp) + mptcp_size(s, stays) > TCP_OPTIONS_MAX) {
		bare.has &= (uint8_t)~OPT_TIMESTAMP;
		/* Beside options that belong on a SYN not even that makes room: we send no such segment, but a caller may ask. */
		if (tcp_options_size(&bare) + mptcp_size(s, stays) <= TCP_OPTIONS_MAX) {
			s->tcp.has = bare.has;
		} else {
			stays[lowest(s, stays)] = false;
			staying--;
		}
	}
	assert(tcp_options_size(&s->tcp) + mptcp_size(s, stays) <= TCP_OPTIONS_MAX);
	return staying == s->mptcp_count ? 0 : partition(s, stays);
}

bool option_rules_alone(enum mptcp_subtype subtype)
{
	return subtype < MPTCP_SUBTYPES && rules[subtype].alone;
}

unsigned option_rules_repeats(enum mptcp_subtype subtype)
{
	assert(subtype < MPTCP_SUBTYPES && rules[subtype].on);
	return rules[subtype].repeats;
}
