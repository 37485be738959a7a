/* SPDX-License-Identifier: MIT */
#include "tunneld/seal/handshake.h"

#include "common/bytes.h"
#include "tunneld/wire/datagram.h"

void hello_time(uint8_t time[HELLO_TIME], uint64_t wall_us)
{
	struct wr w = wr_of(time, HELLO_TIME);

	/* TAI64N's epoch is 2^62; TAI was 10 s ahead of UTC in 1970, and leap seconds do not matter here. */
	wr_u64(&w, UINT64_C(0x400000000000000a) + wall_us / USEC_PER_S);
	wr_u32(&w, (uint32_t)(wall_us % USEC_PER_S * 1000));
}

/*
 * Initiation
 *    type 1 | reserved 3 | sender index 4
 *    | Noise message 1 (payload: time 12, epoch 8, capabilities 4, sender index 4) | mac1 | mac2
 */
enum err initiation_write(struct noise *x, uint8_t *out, const struct hello *hello, const uint8_t e[NOISE_KEY])
{
	struct wr p;
	uint8_t payload[HELLO_MAX];

	be_put32(out, (uint32_t)DATAGRAM_INITIATION << 24);
	be_put32(out + 4, hello->index);
	p = wr_of(payload, sizeof payload);
	wr_bytes(&p, hello->time, HELLO_TIME);
	wr_u64(&p, hello->epoch);
	wr_u32(&p, hello->capabilities);
	wr_u32(&p, hello->index);
	assert(wr_len(&p) == HELLO_1);
	return noise_write_1(x, e, payload, HELLO_1, out + INITIATION_HEADER);
}

enum err initiation_read_static(struct noise *x, const uint8_t *in)
{
	return noise_read_1_static(x, in + INITIATION_HEADER);
}

enum err initiation_read(struct noise *x, const uint8_t *in, size_t len, struct hello *hello)
{
	uint8_t payload[HELLO_MAX];
	size_t message = len - INITIATION_HEADER - HANDSHAKE_MACS;
	enum err err;
	struct rd r;

	assert(len >= INITIATION_SIZE && len <= INITIATION_MAX);
	if ((err = noise_read_1_payload(x, in + INITIATION_HEADER, message, payload)))
		return err;
	r = rd_of(payload, message - NOISE_MESSAGE_1);
	rd_copy(&r, hello->time, HELLO_TIME);
	hello->epoch = rd_u64(&r);
	hello->capabilities = rd_u32(&r);
	hello->index = rd_u32(&r);
	assert(!r.bad);
	return hello->index == be_get32(in + 4) ? ERR_OK : ERR_FORGED;
}

/*
 * Response
 *    type 1 | reserved 3 | sender index 4 | receiver index 4
 *    | Noise message 2 (payload: epoch 8, capabilities 4, sender index 4) | mac1 | mac2
 */
enum err response_write(struct noise *x, uint8_t *out, uint32_t receiver, const struct hello *hello,
			const uint8_t e[NOISE_KEY])
{
	struct wr p;
	uint8_t payload[HELLO_MAX];

	be_put32(out, (uint32_t)DATAGRAM_RESPONSE << 24);
	be_put32(out + 4, hello->index);
	be_put32(out + 8, receiver);
	p = wr_of(payload, sizeof payload);
	wr_u64(&p, hello->epoch);
	wr_u32(&p, hello->capabilities);
	wr_u32(&p, hello->index);
	assert(wr_len(&p) == HELLO_2);
	return noise_write_2(x, e, payload, HELLO_2, out + RESPONSE_HEADER);
}

enum err response_read(struct noise *x, const uint8_t *in, size_t len, struct hello *hello)
{
	uint8_t payload[HELLO_MAX];
	size_t message = len - RESPONSE_HEADER - HANDSHAKE_MACS;
	enum err err;
	struct rd r;

	assert(len >= RESPONSE_SIZE && len <= RESPONSE_MAX);
	if ((err = noise_read_2(x, in + RESPONSE_HEADER, message, payload)))
		return err;
	r = rd_of(payload, message - NOISE_MESSAGE_2);
	memset(hello->time, 0, HELLO_TIME);
	hello->epoch = rd_u64(&r);
	hello->capabilities = rd_u32(&r);
	hello->index = rd_u32(&r);
	assert(!r.bad);
	return hello->index == be_get32(in + 4) ? ERR_OK : ERR_FORGED;
}
