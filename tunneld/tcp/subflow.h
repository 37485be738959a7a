/* SPDX-License-Identifier: MIT */
/*
 * tunneld/tcp: one subflow is one TCP connection (RFC 9293), sans-I/O. What is here: states,
 * sequence numbers, SACK scoreboard with RACK-TLP, RTO, PRR, congestion control, pacing, blind-attack
 * checks. What is not: MPTCP's meaning, payload bytes (it counts them, it never holds them), ports'
 * meaning, clocks, sockets. A subflow returns facts and never calls its owner.
 *
 * The owner (mptcp/) feeds segments to subflow_input() and reads the facts; says with
 * subflow_received() which payload it kept; asks subflow_output() for what must go now
 * (handshake, retransmission, ACK, FIN) and offers new data with subflow_send(), which cuts a segment.
 * Each sent range carries a tag of the owner's (its dsn), so the owner finds the bytes again.
 * Read first: this file, then subflow_input.c, subflow_output.c, scoreboard.h, rtt.h, cc.h.
 */
#ifndef PLAIT_TCP_SUBFLOW_H
#define PLAIT_TCP_SUBFLOW_H

#include "common/counters.h"
#include "common/ranges.h"
#include "common/usec.h"
#include "tunneld/tcp/cc.h"
#include "tunneld/tcp/rtt.h"
#include "tunneld/tcp/scoreboard.h"
#include "tunneld/wire/segment.h"

/* RFC 9293 3.3.2 */
enum subflow_state {
	SF_CLOSED, SF_SYN_SENT, SF_SYN_RECEIVED, SF_ESTABLISHED, SF_FIN_WAIT_1, SF_FIN_WAIT_2,
	SF_CLOSE_WAIT, SF_CLOSING, SF_LAST_ACK, SF_TIME_WAIT,
};
const char *subflow_state_name(enum subflow_state s); /* "FIN-WAIT-1", as the RFC spells it */

enum { SUBFLOW_SILENT_MSS4 = 536, SUBFLOW_SILENT_MSS6 = 1220 }; /* RFC 9293 3.7.1, over IPv4 and over IPv6 */

struct subflow_config {
	const struct cc_ops *cc;
	struct cc_group *cc_group; /* of the connection, for coupled control; NULL: none */
	uint16_t mss;              /* largest payload + options we may put in a segment on this path */
	uint16_t silent_mss;       /* taken for the peer's where it offers none; 0: SUBFLOW_SILENT_MSS4 */
	uint8_t rcv_wscale;        /* what we offer, 0..14 */
	bool authentic;            /* the seal vouches for every segment: RFC 5961's guard against guessed RSTs is not needed */
	bool probe_mtu;            /* RFC 8899: plain form; the host does it for sealed paths */
	bool timestamps;           /* offer RFC 7323 timestamps (plain form; the seal replaces PAWS) */
	uint32_t ts_offset;        /* added to the clock in them, ms: nobody learns from them how long this host is up */
	usec_t rto_min_us, rto_max_us, rto_initial_us;
	usec_t delayed_ack_us;     /* at most 500 ms, RFC 9293 3.8.6.3 */
	uint8_t syn_retries;       /* SYN or SYN/ACK resends before giving up */
	usec_t rtt_hint_us;        /* what the path already knows (RFC 9040); 0 = nothing */
	uint16_t first_segs;       /* initial window, paced beyond RFC 6928's; 0: RFC 6928's */
	uint64_t rate_hint;        /* likewise, bytes a second, and the round trip they were measured with */
	usec_t rate_rtt_us;
	usec_t time_wait_us;       /* 2 MSL */
	struct counters *counters;
};

/* What one segment, or the clock, told us. All zero means: nothing. */
struct subflow_facts {
	bool established;          /* entered SF_ESTABLISHED by this */
	bool acked;                /* snd_una advanced (acked_to), SYN and FIN count */
	struct ssn acked_from, acked_to;
	bool payload;              /* acceptable new payload, trimmed to the receive window: */
	struct ssn payload_seq;    /*   keep it, then subflow_received(); what is not kept is not acknowledged */
	const uint8_t *payload_at; /*   borrowed from the segment */
	uint32_t payload_len;
	bool fin;                  /* the peer's FIN is now in order (all before it received) */
	bool fin_acked;            /* our FIN is acknowledged */
	bool reset;                /* acceptable RST: the subflow is CLOSED, RFC 9293 3.10.7.4, RFC 5961 3.2 */
	bool rejected;             /* the segment was not acceptable (outside window, old ack...): ignore its options */
	bool retransmit_timeout;   /* the RTO fired: how often in a row is in sf->rtt.timeouts */
	bool loss_detected;        /* RACK or SACK marked segments lost: recovery began */
	bool tail_probe;           /* a TLP is to be sent: the tail has been unanswered for a PTO */
	bool silent;               /* the oldest unanswered segment should have been answered, and nothing has */
	bool gave_up;              /* SYN retries or user timeout exhausted: CLOSED */
	bool closed;               /* became SF_CLOSED (any reason) or TIME_WAIT ended */
	bool dup_ack;              /* counted as duplicate ACK, RFC 5681 2 */
};

struct subflow {
	struct subflow_config config;
	enum subflow_state state;

	/* send side, RFC 9293 3.3.1; wnd is kept by the owner for MPTCP, by us for its own limit */
	struct ssn iss, snd_una, snd_nxt; /* snd_nxt never moves back: what is lost is sent again from the scoreboard */
	uint32_t snd_wnd;          /* peer's last window, scaled, in bytes beyond snd_una */
	uint8_t snd_wscale;
	bool fin_queued, fin_sent;
	struct ssn fin_seq;

	/* receive side */
	struct ssn irs, rcv_nxt;
	struct ssn rcv_adv;        /* right edge we announced: never shrinks */
	struct ranges ooo;         /* received beyond rcv_nxt, as offsets from irs (64-bit, unwrapped) */
	uint64_t rcv_off;          /* rcv_nxt as unwrapped offset from irs */
	bool fin_received;
	struct ssn fin_rcv_seq;

	bool sack_ok, ts_ok;
	uint32_t ts_recent;
	uint16_t peer_mss;         /* what the peer offered to take */
	uint16_t snd_mss;          /* payload room in one segment before MPTCP options */

	/* what is owed */
	bool ack_now;
	uint32_t ack_pending_bytes;
	usec_t ack_deadline_us;
	usec_t rto_deadline_us, tlp_deadline_us, rack_deadline_us, persist_deadline_us, time_wait_deadline_us;
	usec_t silence_deadline_us;    /* unlike the tail loss probe's, not put off by what is sent later */
	usec_t pace_next_us;           /* nothing paced goes before this; a batch of some segments then may */
	uint8_t syn_sent_count;

	struct rtt rtt;
	struct scoreboard board;
	struct cc cc;
	uint64_t bytes_sent, bytes_received, bytes_acked;
	uint64_t retransmitted_segments, retransmitted_bytes;
	usec_t last_rcv_us, last_snd_us, last_progress_us;

	bool options_may_miss;     /* the owner's: it leaves its options off a segment that has no room for them, if that is sent again once */

	/* the rest is this folder's own */
	struct ssn snd_wl1, snd_wl2;   /* which segment the window came from, RFC 9293 3.3.1 */
	struct ssn last_ack;           /* Last.ACK.sent, RFC 7323 4.3 */
	usec_t ts_recent_us;           /* when ts_recent came: it is worth nothing after 24 days, RFC 7323 5.5 */
	uint32_t max_wnd;              /* largest window the peer ever offered, RFC 5961 5 */
	uint8_t syn_payload;           /* bytes that ride in our SYN or SYN/ACK */
	bool accepted;                 /* passive: the SYN/ACK may go */
	usec_t syn_us;                 /* when our SYN or SYN/ACK went first; 0: not known */
	bool syn_due;                  /* SYN or SYN/ACK is to be sent (again) */
	bool rst_due;                  /* an ACK of the handshake was of another connection, RFC 9293 3.10.7.3 */
	struct ssn rst_seq;
	bool probe_due;                /* a tail loss probe is to be sent */
	bool window_probe_due;         /* an ACK that asks for the window is to be sent */
	bool window_probe_byte;        /* one byte may be sent beyond the closed window, RFC 9293 3.8.6.1 */
	uint8_t persist_backoff;
	usec_t pace_clock_us;          /* when the last byte had gone at the pacing rate exactly */
	uint8_t quick_acks;            /* this many more are not delayed: the peer is in slow start */
	uint8_t dup_acks;              /* in a row, for a peer without SACK */
	uint64_t ooo_recent[4];        /* offsets in the ranges that grew last, newest first: the order of SACK blocks, RFC 2018 4 */
	struct ssn dsack_start, dsack_end; /* newest duplicate, to be reported once, RFC 2883 */
	bool dsack_pending;
	uint8_t challenge_acks;        /* sent in this second, RFC 5961 7 */
	usec_t challenge_second_us;
	/* Path MTU, RFC 8899; sizes are payload and options, as config.mss. The one in use is snd_mss and its timestamps. */
	struct {
		uint16_t path;         /* what the path was last said to carry */
		uint16_t most;         /* both ends would take it */
		uint16_t known_bad;    /* too big; 0: nothing is known to be, there is no search */
		uint16_t probe;        /* being tried; 0: none */
		uint8_t tries;
		struct ssn probe_seq, probe_end;
		usec_t search_us;      /* not before */
	} pmtu;
	/* tail loss probe, RFC 8985 7.4 */
	bool tlp_out;
	struct ssn tlp_end;
	/* RACK, RFC 8985 5.2 */
	usec_t rack_sent_us, rack_rtt_us;
	struct ssn rack_end, rack_fack;
	bool reordering_seen;
	uint8_t reo_wnd_mult, reo_wnd_persist; /* RFC 8985 6.2 step 4: how DSACKs widen the window, and for how many recoveries */
	struct ssn dsack_round;                /* one DSACK in a round trip counts */
	/* recovery, RFC 6937; undo by DSACK and F-RTO, RFC 5682 */
	bool in_recovery, in_rto_recovery, frto;
	struct ssn recover;
	uint32_t prr_delivered, prr_out, prr_flight_size;
	uint32_t undo_retransmits;     /* of this recovery, or the last, not yet known to have been needless */
	uint64_t delivered;            /* bytes the peer has in all, SACKed ones included */
	usec_t company_us;             /* see subflow_company() */
	usec_t tlp_from_us;            /* since when the tail loss probe's time is counted */
	uint32_t fair_cwnd;            /* see subflow_fair_share() */
	uint64_t fair_rate;
	uint32_t turn;                 /* see subflow_turn() */
	usec_t delivered_us, first_sent_us; /* when the newest delivered one arrived, and when it was sent */
	uint64_t app_limited_until;    /* `delivered` of the last segment that went while there was too little to send; 0: none */
	uint64_t lost_total;           /* bytes that RACK or SACK thought lost */
	/* The congestion window was the limit when up to here was sent: only then may it grow, RFC 7661, RFC 9438 5.8. */
	bool cwnd_limited;
	struct ssn cwnd_limited_seq;
};

/* Active open: SYN will be the first output. iss comes from the caller (RFC 9293 3.4.1). */
MUST_CHECK enum err subflow_connect(struct subflow *sf, const struct subflow_config *config, struct ssn iss, usec_t now_us);
/* Passive open from a SYN already parsed: SYN/ACK is sent once subflow_accept() allows it. */
MUST_CHECK enum err subflow_listen(struct subflow *sf, const struct subflow_config *config, struct ssn iss,
				   const struct segment *syn, usec_t now_us);
/* The owner has decided to answer the SYN (the gateway has dialled): SYN/ACK goes out. */
void subflow_accept(struct subflow *sf, usec_t now_us);
/* Passive: the SYN/ACK has been sent already, by somebody who kept no state (a SYN cookie). False: no memory. */
bool subflow_syn_was_sent(struct subflow *sf, usec_t now_us);
/*
 * len bytes (at most 255) ride in our SYN or SYN/ACK and are sent again with it. subflow_output() then gives data->len
 * > 0 with tag SUBFLOW_SYN_TAG, and the owner puts them in. They take sequence space: the first byte after them has
 * sequence number iss + 1 + len. Call before the SYN goes out (before subflow_accept() on the passive side).
 * A peer that acknowledges the SYN but not all of them gets the rest as a retransmission with the same tag; its first byte
 * is number data->seq - iss - 1 of them.
 */
#define SUBFLOW_SYN_TAG BOARD_NO_TAG
void subflow_syn_payload(struct subflow *sf, uint8_t len);
/* Frees the scoreboard and ranges; sends nothing. The subflow is SF_CLOSED. */
void subflow_close_now(struct subflow *sf);

/*
 * One segment came in. rcv_wnd is the room the connection offers now, in bytes from rcv_nxt.
 * Facts say what it meant. May set ack_now. Never holds on to seg.
 * Options of MPTCP are the owner's business; a segment with seg->mptcp_count > 0 carrying anything but DSS is
 * never counted as a duplicate ACK (RFC 8684 3.4.1, seeds appendix A).
 * Payload in a SYN or SYN/ACK is not reported: the owner reads it from seg, and accepts it by calling
 * subflow_received() with sequence number irs + 1; what it does not accept is not acknowledged.
 */
void subflow_input(struct subflow *sf, const struct segment *seg, uint32_t rcv_wnd, usec_t now_us, struct subflow_facts *facts);

/*
 * Whether this segment only brings the bytes that come next: no hole anywhere, no option, nothing new about what we sent, the
 * window as it was. So are most of a batch. True: subflow_input() would have said no more than `payload`, all of it, and need
 * not be called; what is kept goes to subflow_received() as ever. RFC 7323 5.6 calls that header prediction; after a
 * segment that is not so predicted everything is looked at again.
 */
bool subflow_predicted(struct subflow *sf, const struct segment *seg, uint32_t rcv_wnd, usec_t now_us);

/*
 * The owner kept [seq, seq+len): advances rcv_nxt or records it for SACK; schedules the ACK (at once
 * if out of order or every second full segment, RFC 5681 4.2; else delayed). Returns true if rcv_nxt
 * moved; then *fin tells whether the peer's FIN has come in order by this.
 */
bool subflow_received(struct subflow *sf, struct ssn seq, uint32_t len, usec_t now_us, bool *fin);
/* An ACK that anyone who lives must answer, RFC 9293 3.8.4. */
void subflow_keepalive(struct subflow *sf);
/* Ask for an ACK now (a window update, an option to carry). */
void subflow_ack_now(struct subflow *sf);

/* Timers due at now. Call when subflow_deadline() has come. */
void subflow_timeout(struct subflow *sf, usec_t now_us, struct subflow_facts *facts);
/* Smallest of all its deadlines, pacing included only when it holds something back. */
usec_t subflow_deadline(const struct subflow *sf);

/* When the oldest data that is not acknowledged was first sent; USEC_NEVER: there is none. */
usec_t subflow_oldest_us(const struct subflow *sf);
/* How long data may be on its way before it is late: one loss is repaired by then, a second is not. */
usec_t subflow_lateness_us(const struct subflow *sf);
/* When the first of what is on its way may be late; USEC_NEVER: none. */
usec_t subflow_late_at(const struct subflow *sf);
/* Late data not yet delivered, each stretch once. False: none now; *next_us is when there may be, or USEC_NEVER. */
bool subflow_late(struct subflow *sf, usec_t now_us, uint64_t *tag, uint32_t *len, usec_t *next_us);

/* What must be sent now, without regard to new data. */
enum subflow_want { SF_WANT_NOTHING, SF_WANT_CONTROL, SF_WANT_RETRANSMIT };
struct subflow_data { /* the range of payload to put in, when len > 0 */
	struct ssn seq;
	uint32_t len;
	uint64_t tag;          /* of its first byte */
	bool retransmission;
};
/*
 * Next thing owed: SYN, SYN/ACK, ACK, retransmission, tail probe, persist probe, FIN. Fills seg (header
 * and TCP options, window from rcv_wnd; src_port/dst_port and MPTCP options are the caller's) and
 * data. options_room is how many bytes of MPTCP options the owner will add at most: payload is cut so that all fits mss.
 * A segment that is sent again for the first time goes whole, though it was cut with less room for options: the owner sees
 * by data->len what room is left (snd_mss - len - TCP options).
 * Call until it returns SF_WANT_NOTHING. A segment is counted as sent when this returns.
 */
enum subflow_want subflow_output(struct subflow *sf, uint32_t rcv_wnd, uint32_t options_room, usec_t now_us,
				 struct segment *seg, struct subflow_data *data);

/*
 * Payload bytes of new data that congestion window, pacing, peer's window (measured from snd_una,
 * RFC 8684 3.3.5: per-subflow windows must still be obeyed), recovery and state allow now. 0: not now.
 */
uint32_t subflow_sendable(const struct subflow *sf, usec_t now_us);
/* Sends up to len new bytes tagged tag.. as one segment, as subflow_output does. Returns the bytes it took
 * (at most one mss less options_room). push sets PSH. Carries the pending ACK. */
uint32_t subflow_send(struct subflow *sf, uint32_t len, uint64_t tag, bool push, uint32_t rcv_wnd, uint32_t options_room,
		      usec_t now_us, struct segment *seg, struct subflow_data *data);

/* How many of them can go at once, pacing allowing, with no other event between. */
uint32_t subflow_burst(const struct subflow *sf, usec_t now_us);
/*
 * Its part of what all on its path share, bytes and bytes a second: new data may go up to that, whatever its controller has
 * found out for itself by now, unless it has lost something. 0: it shares with nobody. The owner sees to it that all together
 * do not have out more than the path carries.
 */
void subflow_fair_share(struct subflow *sf, uint32_t cwnd, uint64_t rate);
/*
 * How long an answer on its path takes now, as all that are on it see it; 0: nobody else is. Where many wait in one queue each has an
 * answer so seldom that its own round trip is of long ago, while the queue grows: an answer is not overdue before others' are
 * (RFC 9040: the round trip is the path's). Tail loss probe, silence and lateness wait at least so long. The timeout has a floor
 * of its own. To be told before subflow_timeout(), too, so that what grew since the timer was set counts.
 */
void subflow_company(struct subflow *sf, usec_t answer_us);
/*
 * So many bytes may go at once, whatever the pace: others of the path waited meanwhile, so it is no burst for the path. They count for
 * what goes after them.
 */
void subflow_turn(struct subflow *sf, uint32_t bytes);
/* The owner has no more for it now, though it would take some: rate samples until then do not show the path's limit. */
void subflow_app_limited(struct subflow *sf, usec_t now_us);
/* Bytes a second that it carries, as far as known; 0: not known. */
uint64_t subflow_rate(const struct subflow *sf);

/* FIN after all queued data; further subflow_send() is refused. */
void subflow_close(struct subflow *sf, usec_t now_us);
/* A RST segment for this subflow (RFC 9293 3.10.5); the subflow becomes CLOSED. */
void subflow_reset(struct subflow *sf, struct segment *seg, usec_t now_us);
/* A RST that answers a segment which belongs to no subflow, RFC 9293 3.10.7.1. False if seg itself is a RST. */
bool subflow_refuse(const struct segment *seg, struct segment *rst);

/* The path is known to work again: forget the RTO backoff and retransmit at once. */
void subflow_path_alive(struct subflow *sf, usec_t now_us);
/* What a probe of the path took: a sample where the subflow's own segments give none, since all of them went twice. */
void subflow_path_rtt(struct subflow *sf, usec_t rtt_us, usec_t now_us);
/* What is cut from now on, retransmissions too, obeys it. */
void subflow_set_mss(struct subflow *sf, uint16_t mss);
/* What the host says its path carries. The same again is no news: what a search found holds, unless it is another path. */
void subflow_path_mss(struct subflow *sf, uint16_t mss, bool other_path);

/*
 * A segment larger than this many bytes (payload and options) does not fit the path (RFC 8201, RFC 1191): what is cut from now
 * on is smaller, and what was sent larger goes again at once. There is a least, whoever says less.
 */
void subflow_too_big(struct subflow *sf, uint16_t mss, usec_t now_us);

/* The peer told its window elsewhere, to be as many bytes by now: MPTCP's subflows share one, RFC 8684 3.3.1. Only ever opens. */
void subflow_window_told(struct subflow *sf, uint32_t wnd);

/* Invariants; asserts. */
void subflow_check(const struct subflow *sf);

/* What subflow_output() gives next is a SYN, the first one or one more. */
static inline bool subflow_syn_due(const struct subflow *sf) { return sf->state == SF_SYN_SENT && sf->syn_due && !sf->rst_due; }
static inline uint32_t subflow_in_flight_seq(const struct subflow *sf) { return (uint32_t)ssn_diff(sf->snd_nxt, sf->snd_una); }

#endif
