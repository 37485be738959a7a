/* SPDX-License-Identifier: MIT */
/*
 * What flow.c, connect.c, dial.c and place.c share: the table of streams, and how one begins and ends. A stream's
 * life is FLOW_WAITING, FLOW_OPENING, FLOW_COMPLETING (client) or FLOW_DIALLING (gateway), FLOW_OPEN, FLOW_FREE.
 */
#ifndef PLAIT_DAEMON_FLOW_H
#define PLAIT_DAEMON_FLOW_H

#include "tunneld/daemon/state.h"

/* --- flow.c --- */

/* NULL: the table is full, and that is counted. */
struct flow *flow_new(struct daemon *d, struct engine *engine, enum flow_state as, const struct addr *destination);
/* What it holds outside has been dealt with. */
void flow_free(struct daemon *d, struct flow *f);
void flow_is(struct daemon *d, struct flow *f, enum flow_state now);
uint64_t flow_host(const struct flow *f);      /* the engine's name for it */
struct flow *flow_of_park(struct daemon *d, park_id park);
void flow_park_known(struct daemon *d, struct flow *f, park_id park);
const char *flow_peer_text(const struct flow *f);
enum err flow_event(struct flow *f, struct event *ev);

/* The local side is connected by fd. */
void flow_opened(struct daemon *d, struct flow *f, int fd);
void flow_engine_abort(struct flow *f);
/* The local side goes by RST, or fails its connect; the engine's side is dead already. f is no more. */
void flow_local_reset(struct daemon *d, struct flow *f, enum open_result why);

/* --- connect.c --- */
int flow_park_open(struct daemon *d); /* 0, or 1 with the reason on stderr */
void flow_wait(struct daemon *d, struct flow *f);
/* An application's connect becomes a stream of this worker; false: it waits for a gateway. */
bool flow_connect(struct daemon *d, struct engine *engine, park_id park, const struct addr *to, const struct park_caller *who);
void flow_streams(struct daemon *d, park_id park, int fd); /* the application's end, as from park's on_stream() */
void flow_cancel(struct daemon *d, park_id park);
void flow_options(struct daemon *d, park_id park, const struct park_options *now); /* the application has set one */
void flow_connected(struct daemon *d, struct flow *f, const struct action *act); /* ACT_OPENED */

/* --- place.c: a client's workers --- */
int post_open(struct post *p); /* 0 or errno */
void post_close(struct post *p);
void place_turn(struct daemon *d);      /* reads its letters */
void place_tell_load(struct daemon *d); /* at the end of a turn */
/* From the first: */
/* True: another worker has that connect now. */
bool place_elsewhere(struct daemon *d, park_id park, const struct addr *to, const struct park_caller *who);
void place_stream(struct daemon *d, park_id park, int fd);
void place_cancel(struct daemon *d, park_id park);
void place_options(struct daemon *d, park_id park, const struct park_options *now);
bool place_info(struct daemon *d, park_id park, struct local_info *out);
void place_gateway(struct daemon *d, peer_id gateway); /* the others may have sessions with it, too */
/* As park_complete(), park_unable() and park_closed(), from any worker. */
bool application_complete(struct daemon *d, park_id park, int *fd);
/* LOCAL_NO_REASON: the destination is to blame, and stderr is told nothing. */
void application_fail(struct daemon *d, park_id park, int error, enum local_reason reason);
void application_closed(struct daemon *d, park_id park);
void place_stray(struct daemon *d, park_id park, int fd); /* its stream is gone */

/* --- dial.c --- */
void flow_dial(struct daemon *d, struct engine *from, const struct action *act); /* ACT_DIAL */
void flow_dial_options(struct flow *f, const struct carried_options *o);         /* ACT_OPTIONS */

#endif
