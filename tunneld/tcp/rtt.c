/* SPDX-License-Identifier: MIT */
#include "tunneld/tcp/rtt.h"

#define GRANULARITY_US USEC_PER_MS
enum { RTO_SLACK = 4 };

static usec_t clamp(const struct rtt *r, usec_t rto)
{
	if (rto < r->rto_min_us)
		rto = r->rto_min_us;
	return usec_min(rto, r->rto_max_us);
}

usec_t rtt_base_rto(const struct rtt *r)
{
	/* The first timeout is the owner's to choose, below the minimum even: a SYN may be raced early. */
	if (!r->srtt_us)
		return usec_min(r->rto_initial_us, r->rto_max_us);
	/*
	 * RFC 6298 2.3. Its G is also a part of the least timeout here: on a long even path 4 * rttvar shrinks to less than a
	 * delayed ACK.
	 */
	return clamp(r, r->srtt_us + usec_max(usec_max(GRANULARITY_US, r->rto_min_us / RTO_SLACK), 4 * r->rttvar_us));
}

static void set_rto(struct rtt *r)
{
	usec_t rto = rtt_base_rto(r);
	uint8_t shift = r->backoff < 32 ? r->backoff : 32;

	r->rto_us = rto > r->rto_max_us >> shift ? r->rto_max_us : usec_min(rto << shift, r->rto_max_us);
}

void rtt_init(struct rtt *r, usec_t min_us, usec_t max_us, usec_t initial_us, usec_t hint_us)
{
	*r = (struct rtt){ .rto_min_us = min_us, .rto_max_us = max_us, .rto_initial_us = initial_us };
	r->hint_us = hint_us;
	set_rto(r);
}

/*
 * RFC 6298's factors are for one sample a round trip; with one an ACK, rttvar would only know the last few. It rises at
 * once and falls by the RFC's quarter once a round trip, towards the most that was seen in it.
 */
static void variation(struct rtt *r, usec_t now_us)
{
	r->mdev_max_us = usec_max(r->mdev_max_us, r->mdev_us);
	if (r->mdev_max_us > r->rttvar_us)
		r->rttvar_us = r->mdev_max_us;
	if (usec_since(now_us, r->round_us) < r->srtt_us)
		return;
	r->rttvar_us -= (r->rttvar_us - r->mdev_max_us) / 4;
	r->mdev_max_us = 0;
	r->round_us = now_us;
}

void rtt_sample(struct rtt *r, usec_t sample_us, usec_t now_us)
{
	usec_t delta;

	if (!sample_us)
		sample_us = 1;
	r->latest_us = sample_us;
	if (!r->srtt_us) {
		/* RFC 6298 2.2 */
		r->srtt_us = sample_us;
		r->rttvar_us = r->mdev_us = sample_us / 2;
		r->round_us = now_us;
		r->min_rtt_us = r->min_next_us = sample_us;
		r->min_since_us = now_us;
	} else {
		/* RFC 6298 2.3: rttvar first, with the old srtt */
		delta = sample_us > r->srtt_us ? sample_us - r->srtt_us : r->srtt_us - sample_us;
		r->mdev_us = (3 * r->mdev_us + delta) / 4;
		variation(r, now_us);
		r->srtt_us = (7 * r->srtt_us + sample_us) / 8;
		if (!r->srtt_us)
			r->srtt_us = 1;
	}
	if (usec_since(now_us, r->min_since_us) > RTT_MIN_WINDOW_US) {
		r->min_rtt_us = usec_min(r->min_next_us, sample_us);
		r->min_next_us = sample_us;
		r->min_since_us = now_us;
	}
	r->min_rtt_us = usec_min(r->min_rtt_us, sample_us);
	r->min_next_us = usec_min(r->min_next_us, sample_us);
	r->backoff = r->timeouts = 0;
	set_rto(r);
}

void rtt_no_sample(struct rtt *r, usec_t most_us)
{
	/*
	 * RFC 6298 5.7: the SYN's timer was too short, the data's starts from three seconds; or what the path's own round trip, known
	 * from others' traffic, would give as a first sample (RFC 9040). But longer than from the first SYN to the answer it is not.
	 */
	usec_t guess_us = usec_min(r->hint_us ? r->hint_us : USEC_PER_S, most_us ? most_us : USEC_NEVER);

	if (r->srtt_us)
		return;
	r->rto_initial_us = usec_max(r->rto_min_us, 3 * guess_us);
	r->backoff = r->timeouts = 0;
	set_rto(r);
}

void rtt_back_off(struct rtt *r)
{
	if (r->backoff < UINT8_MAX)
		r->backoff++;
	if (r->timeouts < UINT8_MAX)
		r->timeouts++;
	set_rto(r);
}

void rtt_progress(struct rtt *r) { r->timeouts = 0; }

void rtt_restart(struct rtt *r)
{
	r->backoff = r->timeouts = 0;
	set_rto(r);
}
