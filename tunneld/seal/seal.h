/* SPDX-License-Identifier: MIT */
/*
 * tunneld/seal: keys and AEAD. What is here: Noise_IK_25519_*_BLAKE2b handshake in WireGuard's framing,
 * sessions with several paths, rekeying, replay windows, cookies, key files; sans-I/O like the engine.
 * What is not: sockets, TCP, MPTCP. A sealed session carries opaque datagrams between two static keys,
 * over up to SESSION_PATHS paths with a counter and window each. Read next: handshake.h, session.h, replay.h, cookie.h.
 *
 * A struct seal serves one socket set: any number of peers, as initiator (client) and responder (gateway).
 */
#ifndef PLAIT_SEAL_H
#define PLAIT_SEAL_H

#include "common/addr.h"
#include "common/counters.h"
#include "common/err.h"
#include "common/usec.h"
#include "tunneld/wire/datagram.h"

enum { KEY_SIZE = 32, KEY_TEXT = 45 /* base64 with NUL */ };

/* What each side understands, told in the handshake's payload (PROTOCOL "decided"). */
enum { CAP_AES_256_GCM = 1, CAP_LONG_MP_PRIO = 2, CAP_UPERF = 4, CAP_FAULT_ANNOUNCE = 8,
       CAP_WORKERS = 16, /* responder: each worker of a client may have sessions of its own beside the others' */
       CAP_CARRIED = 32 /* the option with what applications set on their sockets */ };

typedef uint32_t seal_peer; /* index into the configured peers */

struct seal;

struct seal_config {
	const uint8_t *private_key;   /* KEY_SIZE; copied */
	uint32_t capabilities;        /* CAP_AES_256_GCM is cleared by us where the CPU lacks it */
	uint32_t peers_max;
	bool responder;               /* answers initiations of configured peers */
	uint32_t handshakes_per_s;    /* above this, a responder demands a cookie (under load); 0 = 200 */
	/*
	 * The real clock, microseconds since 1970, at seal_new()'s now_us. Initiations carry it, and a
	 * responder takes only newer ones: it must not go back over a restart, or the peer will not hear us.
	 */
	uint64_t wall_us;
	/*
	 * The worker that this seal is one of, of the responder's and of the initiator's (wire/datagram.h). Both 0 is the same as
	 * the only one. An initiator's second and later may connect to responders with CAP_WORKERS only: to another it is a restart.
	 */
	uint8_t worker, workers;
	struct counters *counters;
};

struct seal *seal_new(const struct seal_config *config, const uint8_t seed[32], usec_t now_us);
void seal_free(struct seal *s); /* wipes every secret */

/* Responder: the worker that the initiations of this client's first (or only) worker come to; those of its next come to the next. */
uint8_t seal_worker_of(const struct seal *s, const uint8_t client_key[KEY_SIZE]);

/* Peers may come and go at any time (SIGHUP). ERR_FULL, ERR_MALFORMED (low-order key). */
MUST_CHECK enum err seal_peer_add(struct seal *s, const uint8_t public_key[KEY_SIZE], seal_peer *out);
void seal_peer_remove(struct seal *s, seal_peer peer);
/*
 * Responder: a client with several workers is as many peers, of one key. Beyond the one that was added, seal_input() adds them
 * itself as they come, SEAL_CLIENT_WORKERS at most here, and says peer_added; each is removed as any other.
 */
enum { SEAL_CLIENT_WORKERS = 16 };

/* What came of seal_input(). */
enum seal_result {
	SEAL_DROPPED,       /* counted; nothing to do */
	SEAL_REPLY,         /* send out->reply back where the datagram came from */
	SEAL_READY,         /* a session with peer can carry data now (initiator: also seal_output what waits); reply may be set */
	SEAL_DATA,          /* out->bytes is a segment of peer on path_no */
	SEAL_PATH,          /* out->bytes is a path message of peer on path_no */
};
struct seal_in {
	enum seal_result result;
	seal_peer peer;
	uint8_t path_no;            /* 0..SESSION_PATHS-1, authenticated */
	bool path_new_endpoint;     /* authenticated, newest, and from differs from last time: roam (the host keeps endpoints) */
	bool peer_added;            /* peer is new: a further worker of the client that has its key; result is SEAL_REPLY */
	bool new_session;           /* first authenticated datagram of a fresh session (peer restarted?) : peer_epoch changed */
	uint64_t peer_epoch;        /* random per process start of the peer, told in the handshake */
	uint32_t peer_capabilities;
	uint8_t *bytes;             /* opened in place inside the given datagram */
	size_t len;
	uint8_t reply[512];
	size_t reply_len;
};
/*
 * A datagram from address `from`. bytes are opened in place. Everything that is not authentic is SEAL_DROPPED and
 * counted by reason. path_new_endpoint is only ever set for authenticated datagrams that pass the replay window.
 */
void seal_input(struct seal *s, uint8_t *bytes, size_t len, const struct addr *from, usec_t now_us, struct seal_in *out);

/*
 * Seals len bytes (DATAGRAM_DATA or DATAGRAM_PATH) for peer on path_no into out (room for len + DATAGRAM_DATA_OVERHEAD).
 * out and bytes must not overlap partly; in place is bytes == out + DATAGRAM_DATA_HEADER.
 * Returns the datagram's length; 0 when there is no session (a handshake is then wanted: see seal_deadline).
 */
size_t seal_output(struct seal *s, seal_peer peer, uint8_t path_no, enum datagram_type type, const uint8_t *bytes, size_t len,
		   uint8_t *out, usec_t now_us);

/* Initiator: we want to talk to peer. The next seal_handshake() yields an initiation. Idempotent. */
void seal_connect(struct seal *s, seal_peer peer, usec_t now_us);
/*
 * Initiator: the host doubts the session (every path silent); a handshake is made beside it. Does nothing
 * before seal_connect(). The seal does so itself when much was sealed and nothing heard for about two seconds.
 */
void seal_rekey(struct seal *s, seal_peer peer, usec_t now_us);
/*
 * Handshake datagram due now (initiation, retried with jitter, rekey), for the host to send on the path or paths it
 * thinks best. False: none. attempt counts from 0, so the host can race the next path. out has room for 512 bytes.
 * Call it until it is false whenever seal_deadline() has come, also where nobody connects: expired keys are wiped here.
 * The same initiation may go out on several paths at once: the responder takes the first copy.
 */
bool seal_handshake(struct seal *s, seal_peer *peer, uint32_t *attempt, uint8_t *out, size_t *len, usec_t now_us);
/* When seal_handshake() or expiry work is due next. */
usec_t seal_deadline(const struct seal *s);
/* Is there a session that can carry data to peer? */
bool seal_ready(const struct seal *s, seal_peer peer, usec_t now_us);

/*
 * What an ICMP error quotes of a datagram that went on that path: ours, as far as it can be told; too little to tell; or none
 * that we sent lately. No secret is needed to quote one that was seen on the way.
 */
enum seal_quote { QUOTE_OURS, QUOTE_SHORT, QUOTE_FOREIGN };
enum seal_quote seal_quoted(const struct seal *s, seal_peer peer, uint8_t path_no, const uint8_t *bytes, size_t len);

struct seal_peer_info {
	uint8_t public_key[KEY_SIZE];
	bool ready;
	usec_t last_handshake_us;
	const char *cipher;
	uint32_t peer_capabilities;
	uint64_t bytes_sealed, bytes_opened, peer_epoch;
	uint8_t peer_worker;        /* responder: which of the client's it is */
};
void seal_peer_info(const struct seal *s, seal_peer peer, struct seal_peer_info *out);

/* keyfile.c: base64 text <-> key. */
MUST_CHECK enum err key_from_text(uint8_t key[KEY_SIZE], const char *text); /* exactly one key; ERR_MALFORMED */
void key_to_text(const uint8_t key[KEY_SIZE], char text[KEY_TEXT]);
void key_public(const uint8_t private_key[KEY_SIZE], uint8_t public_key[KEY_SIZE]);
/* A fresh clamped private key from the system's entropy. */
void key_generate(uint8_t private_key[KEY_SIZE]);

#endif
