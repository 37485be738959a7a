/* SPDX-License-Identifier: MIT */
/* Is what an ICMP error quotes a datagram that we sent? A stranger who did not see one has to guess its index and counter. */
#include "tunneld/seal/seal_state.h"

#include "common/bytes.h"

enum { QUOTED_LATELY = 1 << 20 }; /* datagrams back: more than are on any way at once */

/* RFC 5927 4.1: as TCP looks whether the quoted sequence number is in flight. */
static bool sent_by(const struct session *x, uint8_t path_no, uint32_t index, uint32_t counter)
{
	uint32_t back = (uint32_t)x->send_counter[path_no] - counter;

	return index == (x->remote_index | path_no) && back && back <= QUOTED_LATELY && back <= x->send_counter[path_no];
}

enum seal_quote seal_quoted(const struct seal *s, seal_peer peer, uint8_t path_no, const uint8_t *bytes, size_t len)
{
	const struct peer *p = &s->peers[peer];
	uint8_t type = len ? bytes[0] : 0;

	assert(peer < s->peers_max && path_no < SESSION_PATHS);
	if (!len)
		return QUOTE_SHORT;
	if (type == DATAGRAM_INITIATION || type == DATAGRAM_RESPONSE) {
		if (len < 8)
			return QUOTE_SHORT;
		for (int k = 0; k < SLOTS; k++)
			if (p->slots[k].state != SLOT_FREE && p->slots[k].index == be_get32(bytes + 4))
				return QUOTE_OURS;
		return QUOTE_FOREIGN;
	}
	if (type != DATAGRAM_DATA && type != DATAGRAM_PATH)
		return QUOTE_FOREIGN;
	if (len < DATAGRAM_DATA_HEADER)
		return QUOTE_SHORT;
	for (int k = 0; k < SLOTS; k++) {
		const struct slot *slot = &p->slots[k];

		if ((slot->state == SLOT_CURRENT || slot->state == SLOT_PREVIOUS || slot->state == SLOT_NEXT) &&
		    sent_by(&slot->session, path_no, be_get32(bytes + 1), be_get32(bytes + 5)))
			return QUOTE_OURS;
	}
	return QUOTE_FOREIGN;
}
