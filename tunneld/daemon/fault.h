/* SPDX-License-Identifier: MIT */
/* What the fault*.c share: what is watched, and a report's way into the table, the log, the events and to the peer. */
#ifndef PLAIT_DAEMON_FAULT_H
#define PLAIT_DAEMON_FAULT_H

#include <jansson.h>

#include "tunneld/daemon/state.h"

/* What is remembered of a path beside paths.h. */
struct path_watch {
	enum path_life life;
	uint16_t mtu_payload, mtu_payload_most;
	struct addr local, remote;
	usec_t doubted_us;        /* on somebody's word; 0: not */
	usec_t hold_us;           /* words are noted only, until then */
	uint8_t refuted;          /* in a row */
	int send_error;           /* errno of a refused send that is yet to be looked at */
	uint32_t forged;
	usec_t forged_us;
	uint32_t heard;           /* announcements of it since heard_us */
	usec_t heard_us;
	struct addr too_big_by;   /* who said so, at too_big_us */
	usec_t too_big_us;        /* 0: nobody */
};

struct fault_watch {
	struct faults *faults;
	struct path_watch *paths;
	uint32_t paths_max;
	usec_t second_us;         /* of `reports` */
	uint32_t reports;
	bool subflow_came;        /* since the last look */
	usec_t tell_us;           /* when to look at what is to be told again */
	bool send_errors;         /* some path has a send_error */
	uint64_t forged_before;   /* CNT_SealForged */
};

/* --- fault.c --- */
struct path_watch *fault_watch_of(struct daemon *d, const struct path_end *e);
struct fault fault_of_peer(struct daemon *d, enum fault_source source, peer_id peer);
struct fault fault_of_path(struct daemon *d, enum fault_source source, const struct path_end *e);
void fault_report(struct daemon *d, struct fault *what);
void fault_told(struct daemon *d, const struct fact *f); /* FACT_FAULT_TOLD */
void fault_tell_now(struct daemon *d); /* perhaps there is a way to tell now what waits */
void fault_untell(struct daemon *d, const struct path_end *e); /* it works again: of what was told of it no more is said */
/* More in this second than are looked at: a flood must not cost the loop. Counts the one that asks. */
bool fault_too_many(struct daemon *d);

/* --- fault_path.c --- */
void fault_sends_refused(struct daemon *d); /* looks at every path's send_error */
/* What a path of that link and address lacks; NULL: they are as they should be. */
const char *fault_link_lacks(struct daemon *d, const char *interface, const struct addr *local, enum fault_source *source);

/* --- fault_event.c --- */
/* A line begun; whoever takes it adds what it has to say, and hands it to events_add(). */
json_t *fault_event(struct daemon *d, const char *name);
json_t *fault_path_event(struct daemon *d, const char *name, const struct path_end *e);
void fault_fact_event(struct daemon *d, const struct fact *f, bool sealed);

/* --- fault_plain.c --- */
/* A record of plain form: path as the plain engine numbers it, PATH_NONE for none; remote: the host at the other end, or NULL. */
struct fault fault_of_plain(struct daemon *d, enum fault_source source, path_id path, const struct addr *remote);
bool fault_is_plain(const struct fault *x); /* of a path of plain form */

#endif
