/* SPDX-License-Identifier: MIT */
/* Each test is a sentence of RFC 8684 appendix A (seeds/rfc6824-appendices), with v1's sizes. */
#include "tests/unit/unit.h"

#include <string.h>

#include "tunneld/wire/option_rules.h"

static const struct tcp_options syn_options = {
	.has = OPT_MSS | OPT_WSCALE | OPT_SACK_OK | OPT_TIMESTAMP, .mss = 1460, .wscale = 7,
};
static const struct tcp_options ts = { .has = OPT_TIMESTAMP };
static const uint8_t byte[1];

static struct mptcp_option capable(uint8_t keys)
{
	return (struct mptcp_option){ .subtype = MP_CAPABLE, .capable = { .version = 1, .keys = keys } };
}
static struct mptcp_option join(enum join_form form)
{
	return (struct mptcp_option){ .subtype = MP_JOIN, .join = { .form = form } };
}
static struct mptcp_option dss_ack(bool is_64)
{
	return (struct mptcp_option){ .subtype = DSS, .dss = { .has_ack = true, .ack_is_64 = is_64 } };
}
static struct mptcp_option dss_full(void)
{
	return (struct mptcp_option){ .subtype = DSS, .dss = { .has_ack = true, .ack_is_64 = true, .has_map = true,
							       .dsn_is_64 = true, .has_checksum = true } };
}
static struct mptcp_option add_addr(uint8_t family, bool has_port, bool echo)
{
	return (struct mptcp_option){ .subtype = ADD_ADDR, .add_addr = { .echo = echo, .has_port = has_port, .addr = { .family = family } } };
}
static struct mptcp_option remove_addr(uint8_t count)
{
	return (struct mptcp_option){ .subtype = REMOVE_ADDR, .remove_addr = { .count = count } };
}
static struct mptcp_option of(enum mptcp_subtype subtype)
{
	return (struct mptcp_option){ .subtype = subtype };
}

static struct segment with(uint8_t flags, struct tcp_options tcp, struct mptcp_option a)
{
	struct segment s = { .flags = flags, .tcp = tcp, .mptcp_count = 1 };

	s.mptcp[0] = a;
	return s;
}
static void also(struct segment *s, struct mptcp_option opt) { s->mptcp[s->mptcp_count++] = opt; }

static struct segment data(struct tcp_options tcp, struct mptcp_option a)
{
	struct segment s = with(TCP_ACK, tcp, a);

	s.payload = byte;
	s.payload_len = sizeof byte;
	return s;
}

static struct tcp_options ts_and_sack(uint8_t blocks)
{
	struct tcp_options o = { .has = OPT_TIMESTAMP | OPT_SACK, .sack_count = blocks };

	for (uint32_t i = 0; i < blocks; i++)
		o.sack[i] = (struct sack_block){ { 10 * i + 1 }, { 10 * i + 5 } };
	return o;
}

/* "SYN packets typically include MSS, window scale, SACK permitted and timestamp ... Capable and Join will fit" */
static void test_capable_and_join_fit_into_a_syn(void)
{
	const struct mptcp_option opts[] = { capable(0), capable(1), join(JOIN_SYN), join(JOIN_SYNACK) };
	const size_t sizes[] = { 24, 32, 32, 36 };

	for (size_t i = 0; i < 4; i++) {
		struct segment s = with(TCP_SYN, syn_options, opts[i]);

		CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
		CU_ASSERT_EQUAL(segment_options_size(&s), sizes[i]);
		CU_ASSERT_EQUAL(s.tcp.has, syn_options.has);
	}
}

/* "The maximum size of the DSS option is 28 bytes, so even that will fit" beside timestamps */
static void test_longest_dss_fits_beside_timestamps(void)
{
	struct segment s = data(ts, dss_full());

	CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
	CU_ASSERT_EQUAL(segment_options_size(&s), 40);
	CU_ASSERT_EQUAL(s.tcp.has, OPT_TIMESTAMP);
}

/* "20 bytes (for Multipath Capable) and 24 bytes (for Join), both of which will fit" */
static void test_third_packet_fits(void)
{
	struct segment s = with(TCP_ACK, ts, capable(2));

	CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
	CU_ASSERT_EQUAL(segment_options_size(&s), 32);
	s = with(TCP_ACK, ts, join(JOIN_ACK));
	CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
	CU_ASSERT_EQUAL(segment_options_size(&s), 36);
	s = data(ts, capable(2));
	s.mptcp[0].capable.has_length = s.mptcp[0].capable.has_checksum = true;
	CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
	CU_ASSERT_EQUAL(segment_options_size(&s), 36);
}

/* "Pure ACKs ... typically needs to encode only the DATA_ACK (maximum of 12 bytes)" */
static void test_data_ack_fits_on_a_pure_ack(void)
{
	struct segment s = with(TCP_ACK, ts, dss_ack(true));

	CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
	CU_ASSERT_EQUAL(segment_options_size(&s), 24);
}

/* "it is probably necessary to reduce the number of SACK blocks to accommodate the DATA_ACK" */
static void test_sack_blocks_give_way_to_the_data_ack(void)
{
	struct segment s = with(TCP_ACK, ts_and_sack(3), dss_ack(true));

	CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
	CU_ASSERT_EQUAL(s.tcp.sack_count, 1);
	CU_ASSERT_EQUAL(s.tcp.sack[0].start.v, 1); /* the newest, RFC 2018 4 */
	CU_ASSERT_EQUAL(segment_options_size(&s), 36);

	s = with(TCP_ACK, ts_and_sack(3), dss_ack(false));
	CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
	CU_ASSERT_EQUAL(s.tcp.sack_count, 2);
	CU_ASSERT_EQUAL(segment_options_size(&s), 40);

	s = data(ts_and_sack(3), dss_full());
	CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
	CU_ASSERT_FALSE(s.tcp.has & OPT_SACK);
	CU_ASSERT_EQUAL(segment_options_size(&s), 40);

	/* four blocks and timestamps are too much even without us (RFC 2018 3) */
	s = with(TCP_ACK, ts_and_sack(4), dss_ack(false));
	s.mptcp_count = 0;
	CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
	CU_ASSERT_EQUAL(s.tcp.sack_count, 3);
	CU_ASSERT_EQUAL(segment_options_size(&s), 40);
}

static void test_sack_blocks_stay_when_there_is_room(void)
{
	struct segment s = with(TCP_ACK, ts_and_sack(2), dss_ack(false));

	s.tcp.has = OPT_SACK;
	CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
	CU_ASSERT_EQUAL(s.tcp.sack_count, 2);
}

/* "The ADD_ADDR option can be between 8 and 22 bytes ... unlikely that such signaling would fit in a data packet" */
static void test_add_addr_gives_way_to_data(void)
{
	struct segment s = data(ts, add_addr(4, false, false));

	also(&s, dss_full());
	CU_ASSERT_EQUAL(option_rules_fit(&s), 1);
	CU_ASSERT_EQUAL(s.mptcp_count, 1);
	CU_ASSERT_EQUAL(s.mptcp[0].subtype, DSS);
	CU_ASSERT_EQUAL(s.mptcp[1].subtype, ADD_ADDR);
	CU_ASSERT_EQUAL(segment_options_size(&s), 40);
}

/* "(although if there is space, it is fine to include it)" */
static void test_add_addr_stays_on_data_if_there_is_space(void)
{
	struct segment s = data(ts, dss_ack(false));

	also(&s, add_addr(4, false, false));
	CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
	CU_ASSERT_EQUAL(s.mptcp_count, 2);
	CU_ASSERT_EQUAL(segment_options_size(&s), 36);
}

/* "use duplicate ACKs with no other payload or options in order to transmit these rare signals" */
static void test_add_addr_fits_alone_in_every_form(void)
{
	CU_ASSERT_TRUE(option_rules_alone(ADD_ADDR));
	CU_ASSERT_FALSE(option_rules_alone(DSS));
	CU_ASSERT_FALSE(option_rules_alone(MP_JOIN));
	for (unsigned form = 0; form < 8; form++) {
		struct segment s = with(TCP_ACK, ts, add_addr(form & 1 ? 6 : 4, form & 2, form & 4));

		CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
		CU_ASSERT_EQUAL(s.mptcp_count, 1);
		CU_ASSERT(segment_options_size(&s) <= TCP_OPTIONS_MAX);
		/* 44 bytes: an IPv6 address with a port takes the timestamps' place */
		CU_ASSERT_EQUAL(s.tcp.has, form == 3 ? 0 : OPT_TIMESTAMP);
	}
}

/* "it is recommended to send these options redundantly" */
static void test_unreliable_options_are_repeated(void)
{
	CU_ASSERT_EQUAL(option_rules_repeats(REMOVE_ADDR), 3);
	CU_ASSERT_EQUAL(option_rules_repeats(MP_PRIO), 3);
	CU_ASSERT_EQUAL(option_rules_repeats(FAULT_ANNOUNCE), 3);
	CU_ASSERT_EQUAL(option_rules_repeats(MP_EXPERIMENTAL), 3);
	CU_ASSERT_EQUAL(option_rules_repeats(ADD_ADDR), 1); /* v1 echoes it */
}

/* "This is not an issue for DATA_ACK due to their cumulative nature" */
static void test_acknowledged_options_are_not_repeated(void)
{
	CU_ASSERT_EQUAL(option_rules_repeats(DSS), 1);
	CU_ASSERT_EQUAL(option_rules_repeats(MP_CAPABLE), 1);
	CU_ASSERT_EQUAL(option_rules_repeats(MP_JOIN), 1);
	CU_ASSERT_EQUAL(option_rules_repeats(MP_TCPRST), 1);
}

static void test_reset_carries_fast_close_and_its_reason(void)
{
	struct segment s = with(TCP_RST | TCP_ACK, (struct tcp_options){ 0 }, of(MP_FASTCLOSE));

	also(&s, of(MP_TCPRST));
	CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
	CU_ASSERT_EQUAL(segment_options_size(&s), 16);
}

/* What may not stand on a segment is left off it, however much room there is. */
static void test_options_out_of_place_are_left_off(void)
{
	static const struct { enum mptcp_subtype subtype; bool syn, ack, data, rst; } on[] = {
		{ MP_FAIL,        false, true,  true,  true  },
		{ MP_FASTCLOSE,   false, true,  false, true  },
		{ MP_TCPRST,      false, false, false, true  },
		{ MP_PRIO,        false, true,  true,  false },
		{ FAULT_ANNOUNCE, true,  true,  true,  false },
		{ MP_EXPERIMENTAL, false, true, true,  false },
		{ MP_CAPABLE,     true,  true,  true,  false },
		{ MP_JOIN,        true,  true,  false, false },
		{ DSS,            false, true,  true,  false },
	};

	for (size_t i = 0; i < sizeof on / sizeof *on; i++) {
		struct segment s = with(TCP_SYN, (struct tcp_options){ 0 }, of(on[i].subtype));

		CU_ASSERT_EQUAL(option_rules_fit(&s), !on[i].syn);
		CU_ASSERT_EQUAL(s.mptcp[0].subtype, on[i].subtype);
		s = with(TCP_ACK, ts, of(on[i].subtype));
		CU_ASSERT_EQUAL(option_rules_fit(&s), !on[i].ack);
		s = data(ts, of(on[i].subtype));
		CU_ASSERT_EQUAL(option_rules_fit(&s), !on[i].data);
		s = with(TCP_RST | TCP_ACK, (struct tcp_options){ 0 }, of(on[i].subtype));
		CU_ASSERT_EQUAL(option_rules_fit(&s), !on[i].rst);
	}
}

static void test_lowest_rank_goes_first_and_order_is_kept(void)
{
	struct segment s = with(TCP_ACK, ts, remove_addr(8));

	also(&s, of(MP_EXPERIMENTAL));
	also(&s, of(MP_PRIO));
	also(&s, dss_ack(true));
	CU_ASSERT_EQUAL(option_rules_fit(&s), 1); /* 12 + 12 + 8 + 4 + 12 = 48: UPERF goes */
	CU_ASSERT_EQUAL(s.mptcp_count, 3);
	CU_ASSERT_EQUAL(s.mptcp[0].subtype, REMOVE_ADDR);
	CU_ASSERT_EQUAL(s.mptcp[1].subtype, MP_PRIO);
	CU_ASSERT_EQUAL(s.mptcp[2].subtype, DSS);
	CU_ASSERT_EQUAL(s.mptcp[3].subtype, MP_EXPERIMENTAL);

	s = with(TCP_ACK, ts, of(MP_EXPERIMENTAL));
	also(&s, dss_full());
	also(&s, of(FAULT_ANNOUNCE));
	also(&s, of(MP_PRIO));
	CU_ASSERT_EQUAL(option_rules_fit(&s), 3);
	CU_ASSERT_EQUAL(s.mptcp_count, 1);
	CU_ASSERT_EQUAL(s.mptcp[0].subtype, DSS);
	CU_ASSERT_EQUAL(s.mptcp[1].subtype, MP_EXPERIMENTAL);
	CU_ASSERT_EQUAL(s.mptcp[2].subtype, FAULT_ANNOUNCE);
	CU_ASSERT_EQUAL(s.mptcp[3].subtype, MP_PRIO);
}

static void test_join_outranks_a_fault_on_the_same_syn(void)
{
	struct segment s = with(TCP_SYN, syn_options, of(FAULT_ANNOUNCE));

	s.mptcp[0].fault.middlebox.family = 6;
	also(&s, join(JOIN_SYN));
	CU_ASSERT_EQUAL(option_rules_fit(&s), 1);
	CU_ASSERT_EQUAL(s.mptcp[0].subtype, MP_JOIN);
	CU_ASSERT_EQUAL(s.tcp.has, syn_options.has);
}

static void test_what_fits_is_left_alone(void)
{
	struct segment s = data(ts, dss_ack(false));
	uint8_t before[64], after[64];
	struct wr b = wr_of(before, sizeof before), a = wr_of(after, sizeof after);

	also(&s, of(MP_PRIO));
	CU_ASSERT_EQUAL(segment_emit(&b, &s, SEGMENT_SEALED), ERR_OK);
	CU_ASSERT_EQUAL(option_rules_fit(&s), 0);
	CU_ASSERT_EQUAL(segment_emit(&a, &s, SEGMENT_SEALED), ERR_OK);
	CU_ASSERT_EQUAL(wr_len(&a), wr_len(&b));
	CU_ASSERT_EQUAL(memcmp(before, after, wr_len(&b)), 0);
}

/* Any pair of options with any TCP options: it fits afterwards, and nothing is lost. */
static void test_every_pair_fits_afterwards(void)
{
	const struct mptcp_option all[] = {
		capable(2), join(JOIN_ACK), dss_full(), dss_ack(true), add_addr(6, true, false), add_addr(4, false, true),
		remove_addr(8), of(MP_PRIO), of(MP_FAIL), of(MP_FASTCLOSE), of(FAULT_ANNOUNCE), of(MP_EXPERIMENTAL),
	};
	enum { COUNT = sizeof all / sizeof *all };

	for (unsigned i = 0; i < COUNT; i++) {
		for (unsigned k = 0; k < COUNT; k++) {
			for (uint8_t blocks = 0; blocks <= 4; blocks++) {
				struct segment s = with(TCP_ACK, ts_and_sack(blocks), all[i]);
				uint8_t bytes[128];
				struct wr w = wr_of(bytes, sizeof bytes);

				also(&s, all[k]);
				CU_ASSERT_EQUAL(option_rules_fit(&s) + s.mptcp_count, 2);
				CU_ASSERT(s.mptcp_count >= 1);
				CU_ASSERT_EQUAL(segment_emit(&w, &s, SEGMENT_SEALED), ERR_OK);
			}
		}
	}
}

UNIT_MAIN("option_rules",
	T(test_capable_and_join_fit_into_a_syn),
	T(test_longest_dss_fits_beside_timestamps),
	T(test_third_packet_fits),
	T(test_data_ack_fits_on_a_pure_ack),
	T(test_sack_blocks_give_way_to_the_data_ack),
	T(test_sack_blocks_stay_when_there_is_room),
	T(test_add_addr_gives_way_to_data),
	T(test_add_addr_stays_on_data_if_there_is_space),
	T(test_add_addr_fits_alone_in_every_form),
	T(test_unreliable_options_are_repeated),
	T(test_acknowledged_options_are_not_repeated),
	T(test_reset_carries_fast_close_and_its_reason),
	T(test_options_out_of_place_are_left_off),
	T(test_lowest_rank_goes_first_and_order_is_kept),
	T(test_join_outranks_a_fault_on_the_same_syn),
	T(test_what_fits_is_left_alone),
	T(test_every_pair_fits_afterwards))
