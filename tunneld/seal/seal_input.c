/* SPDX-License-Identifier: MIT */
/*
 * What comes in. One rule for all of it: nothing is changed, and nothing is answered, before the
 * sender has shown a key; each datagram that is not taken is counted by its reason.
 */
#include "common/bytes.h"
#include "tunneld/seal/seal_state.h"

static void drop(struct seal *s, enum counter why)
{
	count(s->counters, why);
}

/* type 1 | reserved 3 | index 4 ...: reserved bits are not covered by a cookie's AEAD, so they are looked at here. */
static bool header_plain(const uint8_t *bytes)
{
	return (bytes[1] | bytes[2] | bytes[3]) == 0;
}

static struct peer *peer_by_key(struct seal *s, const uint8_t public_key[KEY_SIZE])
{
	for (seal_peer i = 0; i < s->peers_max; i++)
		if (s->peers[i].used && memcmp(s->peers[i].public_key, public_key, KEY_SIZE) == 0)
			return &s->peers[i];
	return NULL;
}

/* Under load only a sender that receives at its address gets at our Diffie-Hellman. True: go on. */
static bool admit(struct seal *s, const uint8_t *bytes, size_t len, const struct addr *from, usec_t now_us, struct seal_in *out)
{
	if (!cookie_loaded(&s->jar, now_us))
		return true;
	if (!mac2_valid(&s->jar, bytes, len, from, &s->chance, now_us)) {
		cookie_reply(&s->jar, out->reply, be_get32(bytes + 4), bytes, len, from, &s->chance, now_us);
		out->reply_len = COOKIE_MESSAGE;
		out->result = SEAL_REPLY;
		drop(s, CNT_HandshakeCookieTx);
		return false;
	}
	if (!cookie_source_allowed(&s->jar, from, now_us)) {
		drop(s, CNT_HandshakeRateLimited);
		return false;
	}
	return true;
}

/* The authentic initiation that x has read: a session in waiting, and the response. */
static void respond(struct seal *s, struct peer *p, struct noise *x, const struct hello *theirs, usec_t now_us,
		    struct seal_in *out)
{
	struct slot *slot = seal_slot_take(s, p);
	struct hello ours = { .epoch = s->epoch, .capabilities = s->capabilities, .index = slot->index };
	uint8_t e[NOISE_KEY];
	enum err err;

	chance_draw(&s->chance, e, sizeof e);
	err = response_write(x, out->reply, theirs->index, &ours, e);
	sodium_memzero(e, sizeof e);
	assert(err == ERR_OK); /* both keys went through a Diffie-Hellman already */
	(void)err;
	mac_add(out->reply, RESPONSE_SIZE, &p->keys, NULL);
	slot_session(s, slot, x, theirs, now_us);
	slot->state = SLOT_NEXT;
	slot_expires(s, p, slot, usec_add(now_us, SESSION_REJECT_AFTER));
	memcpy(p->last_time, theirs->time, HELLO_TIME);
	count(s->counters, CNT_HandshakeInitiationRx);
	out->peer = peer_number(s, p);
	out->peer_epoch = theirs->epoch;
	out->peer_capabilities = theirs->capabilities;
	out->reply_len = RESPONSE_SIZE;
	out->result = SEAL_REPLY;
}

static void initiation_input(struct seal *s, const uint8_t *bytes, size_t len, const struct addr *from, usec_t now_us,
			     struct seal_in *out)
{
	struct hello hello;
	struct noise x;
	struct peer *p;
	bool added;

	if (len < INITIATION_SIZE || len > INITIATION_MAX) {
		drop(s, CNT_SealRunt);
		return;
	}
	if (!header_plain(bytes)) {
		drop(s, CNT_SealUnknownType);
		return;
	}
	if (!mac1_valid(bytes, len, &s->jar.keys)) {
		drop(s, CNT_HandshakeBadMac1);
		return;
	}
	if (!s->responder) {
		drop(s, CNT_HandshakeUnexpected);
		return;
	}
	if (be_get32(bytes + 4) & (SESSION_PATHS - 1)) {
		drop(s, CNT_HandshakeMalformed);
		return;
	}
	/* Another worker knows the newest of its initiations, and we would take an old one. Noise covers the index: see below. */
	if ((be_get32(bytes + 4) >> DATAGRAM_STEER_SHIFT) % s->workers != s->worker) {
		drop(s, CNT_HandshakeMisdirected);
		return;
	}
	if (!admit(s, bytes, len, from, now_us, out))
		return;

	noise_init(&x, false, s->private_key, s->public_key, NULL, HANDSHAKE_PROLOGUE, sizeof HANDSHAKE_PROLOGUE - 1);
	if (initiation_read_static(&x, bytes)) {
		drop(s, CNT_HandshakeForged);
		goto done;
	}
	if (!(p = peer_by_key(s, x.rs))) {
		drop(s, CNT_HandshakeUnknownClient);
		goto done;
	}
	/* Two ends that both initiate would each await the other's first data: one role a pair of keys. */
	if (p->initiator) {
		drop(s, CNT_HandshakeUnexpected);
		goto done;
	}
	if (initiation_read(&x, bytes, len, &hello)) {
		drop(s, CNT_HandshakeForged);
		goto done;
	}
	if (!(p = peer_of_worker(s, p, hello.index, &added))) {
		drop(s, CNT_HandshakeWorkersFull);
		goto done;
	}
	out->peer_added = added;
	if (memcmp(hello.time, p->last_time, HELLO_TIME) <= 0) {
		drop(s, CNT_HandshakeReplayed);
		goto done;
	}
	respond(s, p, &x, &hello, now_us, out);
done:
	noise_wipe(&x);
}

/*
 * Unlike WireGuard 5.3, responses are never answered by a cookie: a response costs us a Diffie-Hellman only
 * if it names an initiation of ours that is in flight, by an index that a stranger has to guess.
 */
static void response_input(struct seal *s, const uint8_t *bytes, size_t len, usec_t now_us, struct seal_in *out)
{
	struct hello hello;
	struct noise x;
	struct slot *slot;
	struct peer *p;

	if (len < RESPONSE_SIZE || len > RESPONSE_MAX) {
		drop(s, CNT_SealRunt);
		return;
	}
	if (!header_plain(bytes)) {
		drop(s, CNT_SealUnknownType);
		return;
	}
	if (!mac1_valid(bytes, len, &s->jar.keys)) {
		drop(s, CNT_HandshakeBadMac1);
		return;
	}
	slot = slot_find(s, be_get32(bytes + 8), 1u << SLOT_SENT, &p);
	if (!slot || slot->index != be_get32(bytes + 8) || now_us >= slot->expires_us) {
		drop(s, CNT_HandshakeUnexpected);
		return;
	}
	if (be_get32(bytes + 4) & (SESSION_PATHS - 1)) {
		drop(s, CNT_HandshakeMalformed);
		return;
	}
	/* On a copy: a forged response must not spoil the handshake that the true one will complete. */
	x = slot->noise;
	if (response_read(&x, bytes, len, &hello)) {
		drop(s, CNT_HandshakeForged);
		noise_wipe(&x);
		return;
	}
	/* Born when we asked, which is before the responder's birth: so we stop using it before the responder refuses it. */
	slot_session(s, slot, &x, &hello, slot->sent_us);
	noise_wipe(&x);
	slot_promote(s, p, slot, now_us);
	slot_expires(s, p, slot, usec_add(slot->sent_us, SESSION_REJECT_AFTER));
	slot->announced = true;
	p->handshake_due_us = USEC_NEVER;
	count(s->counters, CNT_HandshakeResponseRx);

	/*
	 * Key confirmation: the responder may use the session only once it has heard us on it. Path 0 lends its
	 * counter; being empty, the datagram says nothing of where that path is.
	 */
	out->reply_len = session_seal(&slot->session, 0, DATAGRAM_DATA, NULL, 0, out->reply);
	out->result = SEAL_READY;
	out->peer = peer_number(s, p);
	out->new_session = true;
	out->peer_epoch = hello.epoch;
	out->peer_capabilities = hello.capabilities;
}

/*
 * We are asked to show that we receive where we send from. Unlike WireGuard 5.4.7 the same initiation goes back
 * at once, with its mac2: cookies belong to a source address, of which a host with several paths has several,
 * and only here it is known which. At most one answer a path.
 */
static void cookie_input(struct seal *s, const uint8_t *bytes, size_t len, usec_t now_us, struct seal_in *out)
{
	uint8_t cookie[COOKIE_MAC];
	struct slot *slot;
	struct peer *p;

	if (len != COOKIE_MESSAGE) {
		drop(s, CNT_SealRunt);
		return;
	}
	if (!header_plain(bytes)) {
		drop(s, CNT_SealUnknownType);
		return;
	}
	slot = slot_find(s, be_get32(bytes + 4), 1u << SLOT_SENT, &p);
	if (!slot || slot->index != be_get32(bytes + 4) || now_us >= slot->expires_us ||
	    slot->cookies_answered == SESSION_PATHS) {
		drop(s, CNT_HandshakeUnexpected);
		return;
	}
	if (cookie_open(cookie, bytes, &p->keys, slot->message, INITIATION_SIZE)) {
		drop(s, CNT_HandshakeCookieForged);
		return;
	}
	memcpy(p->cookie, cookie, COOKIE_MAC);
	p->has_cookie = true;
	p->cookie_born_us = now_us;
	slot->cookies_answered++;
	mac_add(slot->message, INITIATION_SIZE, &p->keys, cookie);
	sodium_memzero(cookie, sizeof cookie);
	memcpy(out->reply, slot->message, INITIATION_SIZE);
	out->reply_len = INITIATION_SIZE;
	out->result = SEAL_REPLY;
	out->peer = peer_number(s, p);
	count(s->counters, CNT_HandshakeCookieRx);
}

static void data_input(struct seal *s, uint8_t *bytes, size_t len, const struct addr *from, usec_t now_us, struct seal_in *out)
{
	struct slot *slot;
	struct peer *p;
	bool newest;

	if (len < DATAGRAM_DATA_OVERHEAD) {
		drop(s, CNT_SealRunt);
		return;
	}
	slot = slot_find(s, be_get32(bytes + 1), 1u << SLOT_CURRENT | 1u << SLOT_PREVIOUS | 1u << SLOT_NEXT, &p);
	if (!slot) {
		drop(s, CNT_SealUnknownIndex);
		return;
	}
	if (now_us >= slot->expires_us) {
		drop(s, CNT_SealExpired);
		return;
	}
	switch (session_open(&slot->session, bytes, len, &newest)) {
	case ERR_OK:
		break;
	case ERR_REPLAYED:
		drop(s, CNT_SealReplayed);
		return;
	case ERR_FULL:
		drop(s, CNT_SealTooOld);
		return;
	default:
		drop(s, CNT_SealForged);
		return;
	}

	p->strikes = 0;
	/* The initiator uses the keys, so it has them: key confirmation. */
	if (slot->state == SLOT_NEXT)
		slot_promote(s, p, slot, now_us);
	if (p->initiator && session_tired(&slot->session, now_us) && slot->state == SLOT_CURRENT)
		peer_want(s, p, now_us);
	out->peer = peer_number(s, p);
	out->path_no = bytes[4] & (SESSION_PATHS - 1);
	out->peer_epoch = slot->peer_epoch;
	out->peer_capabilities = slot->peer_capabilities;
	out->new_session = !slot->announced;
	slot->announced = true;
	out->bytes = bytes + DATAGRAM_DATA_HEADER;
	out->len = len - DATAGRAM_DATA_OVERHEAD;
	p->bytes_opened += out->len;

	if (bytes[0] == DATAGRAM_DATA && out->len == 0) {
		count(s->counters, CNT_SealConfirmRx);
		if (out->new_session)
			out->result = SEAL_READY;
		return;
	}
	out->result = bytes[0] == DATAGRAM_DATA ? SEAL_DATA : SEAL_PATH;
	/* Late datagrams, and those of the session before, tell where the path was; only the newest where it is. */
	if (newest && slot->state == SLOT_CURRENT && !addr_eq(&p->endpoint[out->path_no], from)) {
		p->endpoint[out->path_no] = *from;
		out->path_new_endpoint = true;
		count(s->counters, CNT_SealRoamed);
	}
}

void seal_input(struct seal *s, uint8_t *bytes, size_t len, const struct addr *from, usec_t now_us, struct seal_in *out)
{
	/* Field by field: the reply's room need not be cleared for every datagram. */
	out->result = SEAL_DROPPED;
	out->peer = 0;
	out->path_no = 0;
	out->path_new_endpoint = out->new_session = out->peer_added = false;
	out->peer_epoch = 0;
	out->peer_capabilities = 0;
	out->bytes = NULL;
	out->len = out->reply_len = 0;

	switch (len ? bytes[0] : 0) {
	case DATAGRAM_DATA:
	case DATAGRAM_PATH:
		data_input(s, bytes, len, from, now_us, out);
		break;
	case DATAGRAM_INITIATION:
		initiation_input(s, bytes, len, from, now_us, out);
		break;
	case DATAGRAM_RESPONSE:
		response_input(s, bytes, len, now_us, out);
		break;
	case DATAGRAM_COOKIE:
		cookie_input(s, bytes, len, now_us, out);
		break;
	default:
		drop(s, len ? CNT_SealUnknownType : CNT_SealRunt);
	}
}
