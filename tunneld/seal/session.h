/* SPDX-License-Identifier: MIT */
/*
 * One pair of keys and what protects their use: a cipher, a send counter and a replay window for each
 * path. Sealing and opening data happens here and nowhere else; no allocation, no lock, no lookup.
 */
#ifndef PLAIT_SEAL_SESSION_H
#define PLAIT_SEAL_SESSION_H

#include "common/err.h"
#include "common/usec.h"
#include "tunneld/seal/aead.h"
#include "tunneld/seal/replay.h"
#include "tunneld/wire/datagram.h"

#define SESSION_REKEY_AFTER  (120 * USEC_PER_S)
#define SESSION_REJECT_AFTER (180 * USEC_PER_S)
/*
 * By count, all paths of one direction together.
 *
 * Rekey at 2^28: with 1400-byte datagrams (88 blocks and the tag's) that is 2^34.5 blocks, where AES-GCM's
 * distinguishing advantage is about 2^-60, the mark that TLS 1.3 (RFC 8446 5.5) sets. At 1.4 GB/s it
 * takes 268 s, so that time comes first except on the fastest machines.
 *
 * Reject at 2^31: no path's counter ever leaves half of the 32 bits that are on the wire, so that even a
 * receiver that heard nothing of a path for the session's whole life tells the counter's high half
 * rightly; and the advantage is still below 2^-53.
 */
#define SESSION_REKEY_MESSAGES  (UINT64_C(1) << 28)
#define SESSION_REJECT_MESSAGES (UINT64_C(1) << 31)

struct session {
	struct data_key send, receive;
	const struct aead *aead;
	enum cipher cipher;
	bool initiator;                       /* we began its handshake, so we renew it */
	uint32_t remote_index;                /* theirs, its low four bits 0: they carry the path's number */
	usec_t born_us;
	uint64_t sealed, opened;              /* datagrams, all paths */
	uint64_t send_counter[SESSION_PATHS]; /* the next to use; never used twice */
	struct replay replay[SESSION_PATHS];
};

/* Keys are copied; the caller wipes its own. CIPHER_AES_256_GCM only where session_cipher_available(). */
void session_init(struct session *x, enum cipher cipher, const uint8_t send[32], const uint8_t receive[32], bool initiator,
		  uint32_t remote_index, usec_t born_us);
void session_wipe(struct session *x);
bool session_cipher_available(enum cipher cipher);
const char *session_cipher_name(enum cipher cipher);

static inline bool session_spent(const struct session *x) { return x->sealed >= SESSION_REJECT_MESSAGES; }

/* The session's age or use asks for a new one. */
static inline bool session_tired(const struct session *x, usec_t now_us)
{
	return usec_since(now_us, x->born_us) >= SESSION_REKEY_AFTER || x->sealed >= SESSION_REKEY_MESSAGES ||
	       x->opened >= SESSION_REKEY_MESSAGES;
}

/* Writes DATAGRAM_DATA_OVERHEAD + len bytes. bytes may be out + DATAGRAM_DATA_HEADER. Not on a spent session. */
size_t session_seal(struct session *x, uint8_t path_no, enum datagram_type type, const uint8_t *bytes, size_t len, uint8_t *out);

/*
 * Opens a datagram of this session in place: the plain text is len - DATAGRAM_DATA_OVERHEAD bytes at
 * bytes + DATAGRAM_DATA_HEADER; len is at least the overhead. ERR_REPLAYED, ERR_FULL (left of the window), ERR_FORGED;
 * then nothing but the bytes is changed. *newest: no datagram of a higher counter came on its path before.
 */
MUST_CHECK enum err session_open(struct session *x, uint8_t *bytes, size_t len, bool *newest);

#endif
