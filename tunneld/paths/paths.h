/* SPDX-License-Identifier: MIT */
/*
 * Paths and whether they live (DESIGN D9). A client makes one path end for each of its links
 * (interface or address) and each gateway; a gateway learns path ends from authenticated datagrams
 * and lets them roam. What is here: which sockets, which addresses, probes, round trip, suspicion.
 * What is not: keys and segments. The daemon seals what this asks it to send.
 *
 * Path messages, sealed as DATAGRAM_PATH:  kind 1 | token 8
 *	probe   the sender's clock       the peer answers at once; zeros may follow, to try a size
 *	reply   the probe's token        tells the round trip
 *	close   a path number            the sender will not use that path again
 *	cost    the path's cost          as the client has configured it, with its probes unless it always was 0: the gateway
 *	                                 chooses by it, too. Who does not know the kind counts it and goes on.
 *
 * Any authenticated datagram is life, until a path is suspected: then only the answer to a probe of ours is, because what
 * arrives says nothing of our direction; and several probes in a row without an answer make it suspect whatever arrives. A path that was sent to and stays silent for max(50 ms, 2 srtt)
 * is probed; a probe unanswered for max(3 srtt, srtt + 4 rttvar + 100 ms) makes it suspect.
 *
 * Cost: an idle path carries a probe and its answer every 20 s on average, 62 bytes each with IPv4 and UDP: 11 kB an hour each
 * way, and 9 kB more for sizes, below. A path that does not answer is asked each second while its peer is in use, 223 kB an
 * hour; every 5 s otherwise.
 *
 * Datagrams are never fragmented and nobody's word about sizes is taken: a path that lives is sent
 * one probe as long as the longest segment, again every ten minutes. Three without an answer while
 * the path lives, and the next smaller usual size is tried (RFC 8899, packetization layer path MTU discovery).
 */
#ifndef PLAIT_PATHS_H
#define PLAIT_PATHS_H

#include "common/counters.h"
#include "common/usec.h"
#include "tunneld/config/config.h"
#include "tunneld/io/ifaddrs.h"
#include "tunneld/io/udp.h"

enum { PATHS_PER_PEER = 16, PATHS_PEERS_MAX = 1024, PATHS_MAX = 4096 };

enum path_life { LIFE_NONE /* never answered */, LIFE_UP, LIFE_SUSPECT };

struct paths;

/* Our end of one path. */
struct path_end {
	void *host;               /* config.owner */
	bool used;
	bool initiator;           /* we are the client on it */
	uint32_t id;              /* index in the table, the engine's path_id */
	uint32_t peer;
	uint8_t no;               /* in the session, 0..15 */
	enum path_life life;
	bool backup;
	uint32_t cost;            /* as the client has configured it; a part of the score */
	char name[CONFIG_NAME_MAX];
	char interface[IF_NAMESIZE]; /* "" unknown */

	struct udp *udp;          /* own_udp, or the gateway's listening socket */
	struct udp own_udp;
	struct udp_batch batch;
	struct path_end *dirty_next; /* the daemon's list of ends with something in batch */
	bool dirty;
	struct addr local;        /* as the kernel would choose or chose it; for status */
	struct addr source;       /* to send from; family 0: the socket's own */
	struct addr remote;
	uint16_t mtu_payload;     /* largest segment that fits one datagram */

	/* client: which of the gateway's addresses; set by paths_refresh() */
	const struct config_gateway *gateway;
	unsigned link;            /* of the configured paths, or the slot of an automatic one */
	unsigned candidate;

	usec_t srtt_us, rttvar_us; /* 0: not measured */
	unsigned rtt_samples;     /* up to RTT_FIRST */
	usec_t heard_us;          /* last authenticated datagram; 0: never */
	usec_t unanswered_us;     /* first datagram sent since; 0: none */
	usec_t probe_first_us;    /* first of the probes since; 0: none */
	usec_t probe_last_us;
	usec_t probe_next_us;     /* USEC_NEVER: when there is a reason */
	unsigned probes_unanswered, burst_left;
	unsigned unreplied;       /* probes sent since a reply came, whatever else was heard */
	usec_t unreplied_us, unreplied_full_us; /* the first of them; the one with which they are too many */
	usec_t doubted_us;        /* paths_doubt(): only the answer to a probe sent since counts as life; 0: no doubt */
	usec_t due_us;

	struct {
		uint64_t token;
		uint16_t size;
		uint8_t sent, answered; /* in this trial; of the smaller sizes */
	} size_sent[16];          /* by slot, see paths_size.c; a late answer counts */
	uint16_t size_answered;   /* largest below mtu_payload that was answered in this trial; 0: none */
	uint16_t size_failed;     /* least that was not; 0: none is known */
	uint16_t size_up, size_up_tries; /* what is tried between the two; 0: nothing */
	unsigned size_tries;      /* of mtu_payload, without an answer */
	usec_t size_next_us;      /* when to try, or to give that size up */
	usec_t size_hold_us;      /* until then no doubt begins another trial */
	uint16_t mtu_payload_most; /* by the interface */

	uint64_t bytes_sent, bytes_received, datagrams_sent, datagrams_received;
	uint64_t probes_sent, probes_answered, times_suspect;
	usec_t changed_us;        /* when life last changed */
};

struct paths_events {
	/* Seal these bytes as a path message and send them on e. */
	void (*send)(void *owner, struct path_end *e, const uint8_t *bytes, size_t len);
	/* Came into being, or its life, round trip, addresses or MTU changed. gone: will be forgotten after the call. */
	void (*changed)(void *owner, struct path_end *e, bool gone);
	/* No path to that gateway answers: perhaps it lost our session. */
	void (*silent)(void *owner, uint32_t peer);
};

struct paths_config {
	struct loop *loop;
	struct udp_pool *pool;
	const struct udp_events *udp_events; /* for the sockets of client paths; their owner is the path_end */
	const struct paths_events *events;
	void *owner;
	struct counters *counters;
	uint32_t paths_max;
	uint64_t chance;          /* spreads idle probes */
};

struct paths *paths_new(const struct paths_config *config); /* NULL: memory */
void paths_free(struct paths *p);

/* A gateway this client uses; g is borrowed until paths_free(). */
void paths_add_gateway(struct paths *p, uint32_t peer, const struct config_gateway *g);
/* The links to make paths of, as configured, at the start and later; copied. paths_refresh() makes it so. */
void paths_set_links(struct paths *p, bool automatic, const struct config_path *links, unsigned count);
bool paths_is_configured(const struct paths *p, const struct path_end *e); /* is its link still among them? */
/* Interfaces, addresses or routes may have changed: paths come, go and are opened anew. */
void paths_refresh(struct paths *p, const struct ifaddrs *now_there, usec_t now_us);

struct path_end *paths_find(struct paths *p, uint32_t peer, uint8_t no);
struct path_end *paths_by_id(struct paths *p, uint32_t id);
/* What an application's socket was given before connect(), which asks for a path. An interface goes before a mark before an address. */
struct path_wish {
	const char *interface;    /* SO_BINDTODEVICE; "": none */
	uint32_t mark;            /* SO_MARK; 0: none */
	struct addr source;       /* bound to; family 0: none */
};

/* Client: the path to peer that is wished for; NULL: nothing is, or there is none such. */
struct path_end *paths_wished(struct paths *p, uint32_t peer, const struct path_wish *w);
/* Iterates over the ends in use: NULL starts, NULL ends. */
struct path_end *paths_next(struct paths *p, const struct path_end *after);

/* Gateway: an authenticated datagram of peer's path `no` came by udp. Finds or makes the end; NULL: full. */
struct path_end *paths_learn(struct paths *p, uint32_t peer, const char *peer_name, uint8_t no, struct udp *udp,
			     const struct udp_datagram *d, const struct ifaddrs *interfaces, usec_t now_us);
/* It is authentic and newer than all before, and came from elsewhere. */
void paths_roam(struct paths *p, struct path_end *e, struct udp *udp, const struct udp_datagram *d, usec_t now_us);

void paths_heard(struct paths *p, struct path_end *e, size_t bytes, usec_t now_us);
void paths_sent(struct paths *p, struct path_end *e, size_t bytes, usec_t now_us);
void paths_rtt(struct paths *p, struct path_end *e, usec_t rtt_us); /* a sample from elsewhere */
/* When the probe was sent that this answers; 0: it answers none. */
usec_t paths_message(struct paths *p, struct path_end *e, const uint8_t *bytes, size_t len, usec_t now_us);
/*
 * Somebody says that it does not work, and anybody can say so: it is not used while another path answers, until the answer
 * to a probe that leaves now has come (RFC 5927 5, RFC 5461 2.2). False: it is not up anyway.
 */
bool paths_doubt(struct paths *p, struct path_end *e, usec_t now_us);
/* Somebody says that datagrams are too long for it: its size is tried again, nobody's word is taken. */
void paths_size_doubt(struct paths *p, struct path_end *e, usec_t now_us);
/* Somebody wants to know whether it lives. */
void paths_probe(struct paths *p, struct path_end *e, usec_t now_us);
/* A session with that gateway is ready: every path says hello. */
void paths_session(struct paths *p, uint32_t peer, usec_t now_us);
/* A handshake has got no answer: those that never heard anything try the gateway's next address. */
void paths_rotate(struct paths *p, uint32_t peer);
/* A datagram of len bytes was too big for it. */
void paths_too_big(struct paths *p, struct path_end *e, size_t len);
/* Every path end of that peer is gone, with changed(gone) for each. tell: with a close message each. */
void paths_forget_peer(struct paths *p, uint32_t peer, bool tell);

void paths_time(struct paths *p, usec_t now_us);
usec_t paths_deadline(const struct paths *p);
const char *path_life_text(enum path_life l);

#endif
