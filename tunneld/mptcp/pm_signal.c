/* SPDX-License-Identifier: MIT */
#include "tunneld/mptcp/pm_signal.h"

#include "tunneld/mptcp/conn_internal.h"
#include "tunneld/mptcp/engine_state.h"
#include "tunneld/wire/option_rules.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SPACING_MIN_US = 50 * 1000, LOOK_US = 1000 * 1000, ADD_ADDR_AGAIN_MAX_US = 120 * 1000 * 1000 /* Linux: add_addr_timeout */ };

/* Is b what a says anew? Then only the newer is worth sending. */
static bool same_subject(const struct signal *a, const struct signal *b)
{
	if (a->opt.subtype != b->opt.subtype || a->opt.experiment != b->opt.experiment || a->bound != b->bound || (a->bound && a->sub != b->sub))
		return false;
	switch (a->opt.subtype) {
	case ADD_ADDR:
		return a->opt.add_addr.echo == b->opt.add_addr.echo && a->opt.add_addr.addr_id == b->opt.add_addr.addr_id &&
		       addr_eq(&a->opt.add_addr.addr, &b->opt.add_addr.addr);
	case REMOVE_ADDR:
		return a->opt.remove_addr.count == b->opt.remove_addr.count &&
		       !memcmp(a->opt.remove_addr.ids, b->opt.remove_addr.ids, a->opt.remove_addr.count);
	case MP_PRIO:
	case MP_EXPERIMENTAL:
		return true;
	default:
		return a->bound;
	}
}

static uint8_t times(const struct mptcp_option *opt)
{
	if (opt->subtype != ADD_ADDR)
		return (uint8_t)option_rules_repeats(opt->subtype);
	/* An echo is sent again when the announcement comes again. */
	return opt->add_addr.echo ? 1 : ADD_ADDR_TRIES;
}

static void drop(struct signals *g, unsigned i)
{
	g->count--;
	memmove(&g->row[i], &g->row[i + 1], (g->count - i) * sizeof g->row[0]);
}

bool pm_signal(struct conn *c, const struct sub *only, const struct mptcp_option *opt, usec_t now_us)
{
	struct signal one = {
		.opt = *opt, .bound = only != NULL, .sub = only ? only->id : UINT32_MAX, .left = times(opt), .due_us = now_us, .look_us = now_us,
	};

	if (c->fallen)
		return false;
	if (!c->signals && !(c->signals = calloc(1, sizeof *c->signals)))
		return false;
	for (unsigned i = 0; i < c->signals->count; i++)
		if (same_subject(&c->signals->row[i], &one)) {
			drop(c->signals, i);
			break;
		}
	if (c->signals->count == SIGNALS_MAX) {
		count(c->engine->counters, CNT_SignalsFull);
		return false;
	}
	c->signals->row[c->signals->count++] = one;
	engine_ready(c);
	return true;
}

static usec_t spacing(const struct signal *g, const struct sub *s)
{
	usec_t rto = usec_max(s->sf.rtt.rto_us, SPACING_MIN_US);

	if (g->opt.subtype != ADD_ADDR)
		return rto;
	/* It has an answer, so it is a matter of time-outs: each is twice the last. */
	return usec_min(rto << (g->sent < 8 ? g->sent : 8), ADD_ADDR_AGAIN_MAX_US);
}

static bool may_carry(const struct signal *g, const struct sub *s)
{
	return g->bound ? g->sub == s->id : true;
}

static void count_sent(struct conn *c, const struct mptcp_option *opt)
{
	switch (opt->subtype) {
	case ADD_ADDR:
		count(c->engine->counters, opt->add_addr.echo ? CNT_EchoAddTx : CNT_AddAddrTx);
		break;
	case REMOVE_ADDR:
		count(c->engine->counters, CNT_RmAddrTx);
		break;
	case MP_PRIO:
		count(c->engine->counters, CNT_MPPrioTx);
		if (opt->prio.has_max_rto)
			count(c->engine->counters, CNT_UperfTx);
		break;
	case MP_EXPERIMENTAL:
		count(c->engine->counters, opt->experiment == EXPERIMENT_UPERF ? CNT_UperfTx : CNT_CarriedTx);
		break;
	default:
		break;
	}
}

bool pm_signal_may(const struct sub *s, usec_t now_us)
{
	/* Time ends a row as data does: nobody takes them for a sign of loss then. */
	return s->signal_row < SIGNAL_ROW || now_us >= s->signal_again_us;
}

void pm_signal_went(struct sub *s, usec_t now_us)
{
	if (now_us >= s->signal_again_us)
		s->signal_row = 0;
	s->signal_row++;
	s->signal_again_us = usec_add(now_us, usec_max(s->sf.rtt.rto_us, SPACING_MIN_US));
}

const struct mptcp_option *pm_signal_take(struct sub *s, size_t room, usec_t now_us)
{
	struct signals *g = s->conn->signals;
	struct engine *e = s->conn->engine;

	if (!g || !g->count || !pm_signal_may(s, now_us))
		return NULL;
	for (unsigned i = 0; i < g->count; i++) {
		struct signal *one = &g->row[i];

		if (!may_carry(one, s) || one->due_us > now_us ||
		    (!option_rules_alone(one->opt.subtype) && ((mptcp_option_size(&one->opt) + 3) & ~(size_t)3) > room))
			continue;
		pm_signal_went(s, now_us);
		one->due_us = one->look_us = usec_add(now_us, spacing(one, s));
		one->sent++;
		one->left--;
		if (!one->bound)
			one->sub = s->id;
		e->signal_out = one->opt;
		count_sent(s->conn, &one->opt);
		/* An announcement waits for its echo once more; the rest is done. */
		if (!one->left && (one->opt.subtype != ADD_ADDR || one->opt.add_addr.echo))
			drop(g, i);
		return &e->signal_out;
	}
	return NULL;
}

bool pm_signal_echoed(struct conn *c, const struct mptcp_option *echo)
{
	struct signals *g = c->signals;

	for (unsigned i = 0; g && i < g->count; i++) {
		const struct mptcp_option *o = &g->row[i].opt;

		if (o->subtype == ADD_ADDR && !o->add_addr.echo && o->add_addr.addr_id == echo->add_addr.addr_id &&
		    o->add_addr.has_port == echo->add_addr.has_port && addr_eq(&o->add_addr.addr, &echo->add_addr.addr)) {
			drop(g, i);
			return true;
		}
	}
	return false;
}

void pm_signal_forget(struct conn *c, uint8_t addr_id)
{
	struct signals *g = c->signals;

	for (unsigned i = 0; g && i < g->count;) {
		const struct mptcp_option *o = &g->row[i].opt;
		bool it = o->subtype == ADD_ADDR && !o->add_addr.echo && o->add_addr.addr_id == addr_id;

		for (uint8_t n = 0; o->subtype == REMOVE_ADDR && n < o->remove_addr.count; n++)
			it |= o->remove_addr.ids[n] == addr_id;
		if (it)
			drop(g, i);
		else
			i++;
	}
}

/*
 * While the keys are owed an ACK has no room for more. An echo asks for one all the same: the ADD_ADDR it answers stood in the place
 * of the DSS that would have said that the keys have come, and the keys said again bring another.
 */
static bool keys_first(const struct signal *g, const struct sub *s)
{
	return conn_keys_owed(s) && !(g->opt.subtype == ADD_ADDR && g->opt.add_addr.echo);
}

/* A subflow that answers, and has not carried it last, before one that has. */
static struct sub *carrier(struct conn *c, const struct signal *g)
{
	struct sub *best = NULL;

	for (uint8_t i = 0; i < c->sub_count; i++) {
		struct sub *s = c->subs[i];

		if (!conn_sub_usable(s) || !may_carry(g, s) || keys_first(g, s))
			continue;
		if (!best || (conn_sub_avoid(best) && !conn_sub_avoid(s)) ||
		    (conn_sub_avoid(best) == conn_sub_avoid(s) && best->id == g->sub))
			best = s;
	}
	return best;
}

void pm_signals_due(struct conn *c, usec_t now_us)
{
	struct signals *g = c->signals;

	if (!g)
		return;
	for (unsigned i = 0; i < g->count;) {
		struct signal *one = &g->row[i];
		struct sub *s;

		if (one->look_us > now_us) {
			i++;
			continue;
		}
		if (!one->left) {
			/* An announcement that nobody echoed. The peer may want none; it is told again when the address changes. */
			count(c->engine->counters, CNT_AddAddrUnanswered);
			drop(g, i);
			continue;
		}
		s = carrier(c, one);
		if (!s) {
			one->look_us = usec_add(now_us, c->fully ? LOOK_US : SPACING_MIN_US);
		} else if (!pm_signal_may(s, now_us)) {
			one->look_us = s->signal_again_us;
		} else {
			/* If this ACK has no room for it, or is lost on its way out, another is asked for later. */
			one->look_us = usec_add(now_us, SPACING_MIN_US);
			subflow_ack_now(&s->sf);
			s->want_out = true;
		}
		i++;
	}
}

usec_t pm_signals_deadline(const struct conn *c)
{
	usec_t at = USEC_NEVER;

	for (unsigned i = 0; c->signals && i < c->signals->count; i++)
		at = usec_min(at, c->signals->row[i].look_us);
	return at;
}

void pm_signal_sub_gone(const struct sub *s)
{
	struct signals *g = s->conn->signals;

	for (unsigned i = 0; g && i < g->count;)
		if (g->row[i].bound && g->row[i].sub == s->id)
			drop(g, i);
		else
			i++;
}

void pm_signals_close(struct conn *c)
{
	free(c->signals);
	c->signals = NULL;
}
