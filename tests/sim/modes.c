/* SPDX-License-Identifier: MIT */
#include "tests/sim/flap.h"

#include <stdio.h>
#include <string.h>

static struct watched *watched(struct mode_watch *w, conn_id conn, const struct subflow_info *s)
{
	struct watched *one;

	for (unsigned i = 0; i < WATCHED_MAX; i++)
		if (w->of[i].conn == conn && w->of[i].sub == s->id)
			return &w->of[i];
	one = &w->of[w->next++ % WATCHED_MAX];
	*one = (struct watched){ .conn = conn, .sub = s->id, .bytes_sent = s->bytes_sent };
	return one;
}

static bool in_mode(const struct subflow_info *s) { return strcmp(s->mode, "underperforming") == 0; }

/* The eldest of so many leaves must be a minute old by now. */
static bool oscillates(struct watched *one, usec_t now_us)
{
	usec_t *at = &one->left_us[one->leaves++ % BACKUP_LEAVES_MAX];
	bool too_many = one->leaves > BACKUP_LEAVES_MAX && usec_since(now_us, *at) < BACKUP_MEMORY_US;

	*at = now_us;
	return too_many;
}

bool modes_look(struct mode_watch *w, const struct engine *e, usec_t now_us, char *why, size_t why_len)
{
	struct subflow_info s, other;

	for (conn_id conn = engine_next_conn(e, 0); conn; conn = engine_next_conn(e, conn)) {
		const struct subflow_info *better = NULL;

		for (uint32_t i = 0; engine_subflow_info(e, conn, i, &s) == ERR_OK; i++)
			if (s.usable && !in_mode(&s)) {
				other = s;
				better = &other;
			}
		for (uint32_t i = 0; engine_subflow_info(e, conn, i, &s) == ERR_OK; i++) {
			struct watched *one = watched(w, conn, &s);
			bool underperforms = strcmp(s.uperf_cause, "none") != 0;

			if (one->underperforms && !underperforms && oscillates(one, now_us)) {
				snprintf(why, why_len, "conn %u subflow %u left the underperforming mode %u times within 60 s",
					 conn, s.id, (unsigned)BACKUP_LEAVES_MAX + 1);
				return false;
			}
			one->underperforms = underperforms;
			if (better && in_mode(&s) && s.bytes_sent > one->bytes_sent + one->map_left) {
				snprintf(why, why_len, "conn %u sends on subflow %u, which is %s (%s), and subflow %u is %s", conn, s.id, s.mode,
					 s.uperf_cause, better->id, better->mode);
				return false;
			}
			one->bytes_sent = s.bytes_sent;
			one->map_left = s.map_left;
		}
	}
	return true;
}
