/* SPDX-License-Identifier: MIT */
/*
 * tunneld/fault: what went wrong, where, and who says so (DESIGN D10), as records: sans-I/O, a table and what follows from it.
 * What is here: records with repeats merged, their end, groups of those that have one origin (fault_group.c), the causes of
 * FAULT_ANNOUNCE and what ICMP and errno mean in them (fault_cause.c). What is not: where reports come from and what is done
 * about them (daemon/fault.c), how they travel (mptcp/conn_facts.c), how they are shown (status_faults.c).
 */
#ifndef PLAIT_FAULT_H
#define PLAIT_FAULT_H

#include "common/addr.h"
#include "common/err.h"
#include "common/usec.h"

enum { FAULT_NAME_MAX = 64, FAULT_EVIDENCE_MAX = 128, FAULT_PREFIX4 = 24, FAULT_PREFIX6 = 48 };
#define FAULT_NO_PATH UINT32_MAX
#define FAULT_NO_PEER UINT32_MAX

/* How we know. */
enum fault_source {
	FAULT_LINK,       /* netlink: the interface is gone or down */
	FAULT_ADDRESS,    /* netlink: its address is gone, or the way to the peer from it */
	FAULT_SEND,       /* the system refused a datagram */
	FAULT_ICMP,       /* somebody on the way says so: a hint */
	FAULT_PROBE,      /* probes are not answered */
	FAULT_TIMEOUT,    /* a subflow's retransmission timer fired again and again */
	FAULT_RESET,      /* a subflow was reset by the peer */
	FAULT_CORRUPT,    /* what arrived on a subflow contradicts itself */
	FAULT_DECRYPT,    /* datagrams from the peer's address do not authenticate */
	FAULT_MTU,        /* long datagrams vanish, shorter ones do not */
	FAULT_ANNOUNCED,  /* the peer's FAULT_ANNOUNCE: a hint */
	FAULT_SOURCES,
};
const char *fault_source_name(enum fault_source s); /* "icmp" */

/* FAULT_ANNOUNCE's own causes (seeds: fault management, 3.1); 0x00 to 0x09 are the reasons of RFC 8684 3.6. */
enum fault_cause {
	CAUSE_UNSPECIFIED = 0x00, CAUSE_MPTCP_ERROR = 0x01, CAUSE_NO_RESOURCES = 0x02, CAUSE_PROHIBITED = 0x03,
	CAUSE_OUTSTANDING_DATA = 0x04, CAUSE_PERFORMANCE = 0x05, CAUSE_MIDDLEBOX = 0x06,
	CAUSE_NET_UNREACHABLE = 0x0a, CAUSE_HOST_UNREACHABLE = 0x0b, CAUSE_ROUTING_FAILED = 0x0c,
	CAUSE_SERVER_SUPPRESSION = 0x0d, CAUSE_TTL_ZERO = 0x0e,
};
const char *fault_cause_text(uint8_t cause); /* "host unreachable"; "unassigned" for those nobody defined */

struct fault_meaning {
	uint8_t cause;
	bool fault;       /* false: says something else, as that a datagram is too long */
	bool lasting;     /* somebody decided so; it will not pass by itself */
	const char *text; /* of type and code, or of errno */
};
/* family 4: RFC 792, 1122, 1812; 6: RFC 4443. */
struct fault_meaning fault_of_icmp(uint8_t family, uint8_t type, uint8_t code);
struct fault_meaning fault_of_errno(int error);

enum fault_told { TOLD_NOT /* not for the peer */, TOLD_WAITING /* no subflow can carry it yet */, TOLD_SENT, TOLD_ARRIVED, TOLD_NEVER };
const char *fault_told_name(enum fault_told t); /* "no", "waiting", "sent", "arrived", "given up" */

struct fault {
	uint64_t id;              /* counts up from 1; given by the table, as is */
	uint8_t worker;           /* whose table it is: ids of two are each their own */
	enum fault_source source;
	uint8_t cause;
	bool lasting;             /* else transient */
	usec_t first_us, last_us; /* given by the table */
	usec_t over_us;           /* 0: it lasts */
	uint64_t times;           /* reports merged into it */
	uint32_t peer, path;      /* the host's numbers; FAULT_NO_PEER, FAULT_NO_PATH */
	char peer_name[FAULT_NAME_MAX], path_name[FAULT_NAME_MAX], interface[16];
	bool client;              /* the peer is a client of our gateway */
	uint8_t local_addr_id, remote_addr_id;
	struct addr local, remote;
	struct addr middlebox;    /* who reported it on the way; family 0: not known */
	uint32_t token;           /* of the connection it was last seen on; 0: it is the path's, not one connection's */
	char evidence[FAULT_EVIDENCE_MAX];
	const char *done;         /* what was done about it; a text that stays */
	enum fault_told told;
	usec_t tell_us;           /* when the host will tell the peer (again) */
};

struct faults;
/* The newest max are kept; those over go first. worker: the host's number of the table. NULL: memory. */
struct faults *faults_new(uint32_t max, uint8_t worker);
void faults_free(struct faults *f);
/*
 * A report: source, cause, peer, path and middlebox say which fault it is. One that lasts is told again (times,
 * last_us, evidence, done), else a new record is made. Valid until the next report; *is_new may be NULL.
 */
struct fault *faults_report(struct faults *f, const struct fault *what, usec_t now_us, bool *is_new);
struct fault *faults_find(struct faults *f, uint64_t id); /* NULL: no longer known */
/* Oldest first: 0 starts, 0 ends. Ids may vanish meanwhile. */
uint64_t faults_next(const struct faults *f, uint64_t after);
/* The path works: whatever was reported of its reachability is over. Returns how many. */
unsigned faults_path_well(struct faults *f, uint32_t path, usec_t now_us);
/* The path is gone; its number may be another's soon. What it had is over, unless its link or address is what it lacks, here or at the peer. */
void faults_path_gone(struct faults *f, uint32_t path, usec_t now_us);
/* A link or address is there again: faults of paths that went with it are over. */
unsigned faults_link_well(struct faults *f, const char *path_name, uint32_t peer, usec_t now_us);
/*
 * A path of the peer's works, by its id in FAULT_ANNOUNCE: what the peer announced of a path that was not there any more is over. Id 0,
 * a first subflow's (RFC 8684 3.1), may have been any; who still lacks its path says so again. Returns how many.
 */
unsigned faults_peer_path_well(struct faults *f, uint32_t peer, uint8_t addr_id, usec_t now_us);
/* What nobody repeats is over after a while, and what goes on for long is lasting. */
void faults_time(struct faults *f, usec_t now_us);
usec_t faults_deadline(const struct faults *f);
/* Since the start: reports by source, and how many last now. */
struct faults_stats { uint64_t reports[FAULT_SOURCES]; uint32_t records, current; };
void faults_stats(const struct faults *f, struct faults_stats *out);

/* Faults with one origin: one router that reports, or one network behind which the peers are. */
struct fault_group {
	enum fault_group_by { BY_ROUTER, BY_PREFIX, BY_NOTHING } by;
	uint8_t cause;
	struct addr router;       /* BY_ROUTER */
	struct cidr prefix;       /* of the peers' addresses, where it is one; family 0 else */
	char path_name[FAULT_NAME_MAX]; /* where it is one; "" else */
	struct addr local;        /* our address, where it is one; family 0 else */
	unsigned sources;         /* bits 1 << enum fault_source */
	bool lasting;
	usec_t first_us, last_us, over_us; /* first_us: of those that last, if any does; over_us 0: one of them lasts */
	uint32_t peers, peers_now; /* different ones: all, and those for which it lasts */
	uint32_t clients_now;      /* of peers_now, those that are clients of our gateway */
	uint32_t records;
	uint64_t times;
	const struct fault *newest; /* in the list */
};
enum { FAULT_GROUPS_MAX = 256 };
/* Every record, oldest first, at most max; returns how many. Those of several tables, one behind the other, are a list for fault_groups(). */
uint32_t faults_copy(const struct faults *f, struct fault *out, uint32_t max);
/*
 * Largest first by peers_now, then by last_us. Returns how many, at most max. A peer goes by its name, which is the same in every
 * worker and for every session; one without a name by its number.
 */
uint32_t fault_groups(const struct fault *list, uint32_t count, struct fault_group *out, uint32_t max);
bool fault_same_peer(const struct fault *a, const struct fault *b);
/* The group a record belongs to has this key: equal for both. */
bool fault_same_group(const struct fault *a, const struct fault *b);

#endif
