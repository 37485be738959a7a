/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/backup.h"

#include <assert.h>

enum { RATE_BYTES = 64 * 1024, LOSS_WEIGHT_MS = 1000, FAULT_MS = 1000, FAULT_HALVINGS_MAX = 20, STICKY_MS = 5 };
#define FAULT_HALF_US (10 * USEC_PER_S)

/* --- the mode --- */

void backup_init(struct backup *b)
{
	*b = (struct backup){ .clean_us = USEC_NEVER, .left_us = USEC_NEVER };
}

bool backup_enter(struct backup *b, enum backup_cause cause, usec_t now_us)
{
	assert(cause != CAUSE_NONE);
	b->clean_us = USEC_NEVER;
	b->doubts = 0;
	if (b->cause != CAUSE_NONE)
		return false;
	if (b->left_us == USEC_NEVER || usec_since(now_us, b->left_us) >= BACKUP_MEMORY_US)
		b->entries = 0;
	if (b->entries < UINT8_MAX)
		b->entries++;
	b->cause = cause;
	b->since_us = now_us;
	return true;
}

bool backup_doubt(struct backup *b, usec_t now_us)
{
	if (!b->doubts || usec_since(now_us, b->doubt_us) > BACKUP_DOUBTS_US) {
		b->doubts = 0;
		b->doubt_us = now_us;
	}
	return ++b->doubts >= BACKUP_DOUBTS_MAX;
}

static usec_t hold_us(const struct backup *b)
{
	unsigned doublings = b->entries < 1 ? 0 : b->entries - 1u;

	return doublings > 16 ? BACKUP_HOLD_MOST_US : usec_min(BACKUP_HOLD_FIRST_US << doublings, BACKUP_HOLD_MOST_US);
}

usec_t backup_deadline(const struct backup *b)
{
	return b->cause == CAUSE_NONE ? USEC_NEVER : usec_add(b->clean_us, hold_us(b));
}

bool backup_settle(struct backup *b, bool clean, usec_t now_us)
{
	if (b->cause == CAUSE_NONE)
		return false;
	if (!clean) {
		b->clean_us = USEC_NEVER;
		return false;
	}
	if (b->clean_us == USEC_NEVER)
		b->clean_us = now_us;
	if (backup_deadline(b) > now_us)
		return false;
	b->cause = CAUSE_NONE;
	b->left_us = now_us;
	return true;
}

/* --- formulas --- */

uint32_t backup_timeout_ms(uint32_t u_limit_ms, uint32_t adv_ms, uint32_t remote_ms, uint32_t l_limit_ms)
{
	uint32_t most = adv_ms > remote_ms ? adv_ms : remote_ms;

	most = most > l_limit_ms ? most : l_limit_ms;
	return u_limit_ms && most > u_limit_ms ? u_limit_ms : most;
}

uint32_t backup_adv_default_ms(usec_t base_rto_us)
{
	uint64_t twice = 2 * base_rto_us / USEC_PER_MS;

	if (twice < BACKUP_ADV_DEFAULT_MS)
		return BACKUP_ADV_DEFAULT_MS;
	return twice > BACKUP_U_LIMIT_MS ? BACKUP_U_LIMIT_MS : (uint32_t)twice;
}

const char *backup_mode_name(enum backup_mode m)
{
	static const char *const names[] = { "primary", "backup", "underperforming" };

	return (unsigned)m < sizeof names / sizeof *names ? names[m] : "?";
}

const char *backup_cause_name(enum backup_cause c)
{
	static const char *const names[] = { "none", "rto", "unacknowledged", "silent", "path" };

	return (unsigned)c < sizeof names / sizeof *names ? names[c] : "?";
}

enum backup_mode backup_mode_of(bool local, bool remote, bool avoid)
{
	if (avoid)
		return MODE_UNDERPERFORMING;
	return local || remote ? MODE_BACKUP : MODE_PRIMARY;
}

/* --- the score --- */

struct score score_of(const struct score_facts *f)
{
	struct score s = { 0 };

	s.rtt = (double)f->srtt_us / 1000;
	s.rto = f->rto_us > f->base_rto_us ? (double)(f->rto_us - f->base_rto_us) / 1000 : 0;
	s.loss = LOSS_WEIGHT_MS * f->loss;
	if (f->rate)
		s.rate = RATE_BYTES * 1000.0 / (double)f->rate;
	if (f->fault_ago_us != USEC_NEVER) {
		usec_t halvings = f->fault_ago_us / FAULT_HALF_US;

		if (halvings < FAULT_HALVINGS_MAX)
			s.fault = (double)FAULT_MS / (double)(1u << halvings);
	}
	s.cost = f->cost;
	s.total = s.rtt + s.rto + s.loss + s.rate + s.fault + s.cost;
	return s;
}

bool score_displaces(double now, double chosen)
{
	return now + now / 4 + STICKY_MS < chosen;
}
