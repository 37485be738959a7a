/* SPDX-License-Identifier: MIT */
/*
 * TCP_INFO and MPTCP_INFO with PLAIT_INFO=tunnel: the kernel's own answer is about the hop to tunneld; what the tunnel
 * knows better is put over it. For a socket that is not in the tunnel both are the kernel's.
 */
#include "shim/lib/shim.h"

#include <linux/tcp.h>
#include <string.h>

/* As Linux 6.10 has it; older headers have less. The kernel gives as much of it as there is room for. */
struct mptcp_info_6_10 {
	uint8_t subflows, add_addr_signal, add_addr_accepted, subflows_max, add_addr_signal_max, add_addr_accepted_max;
	uint32_t flags, token;
	uint64_t write_seq, snd_una, rcv_nxt;
	uint8_t local_addr_used, local_addr_max, csum_enabled;
	uint32_t retransmits;
	uint64_t bytes_retrans, bytes_sent, bytes_received, bytes_acked;
	uint8_t subflows_total, reserved[3];
	uint32_t last_data_sent, last_data_recv, last_ack_recv;
};
enum { MPTCP_INFO_FLAG_FALLBACK_ = 1, MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED_ = 2 };

static uint32_t low32(uint64_t v) { return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v; }
static uint8_t low8(uint64_t v) { return v > UINT8_MAX ? UINT8_MAX : (uint8_t)v; }

static bool tunnel_info(int fd, struct local_info *out)
{
	struct local_answer answer;

	if (!name_may_be_ours(fd) || park_ask(fd, LOCAL_INFO, NULL, &answer) || answer.kind != LOCAL_TOLD)
		return false;
	*out = answer.info;
	return true;
}

/* The kernel has filled *len bytes of it, and so may we. */
static void tcp_info_over(void *value, socklen_t len, const struct local_info *t)
{
	struct tcp_info i;
	socklen_t n = len < sizeof i ? len : (socklen_t)sizeof i;

	memset(&i, 0, sizeof i);
	memcpy(&i, value, n);
	i.tcpi_rto = low32(t->rto_us);
	i.tcpi_snd_mss = low32(t->mss);
	i.tcpi_unacked = low32(t->unacked);
	i.tcpi_rtt = low32(t->srtt_us);
	i.tcpi_rttvar = low32(t->rttvar_us);
	i.tcpi_min_rtt = low32(t->min_rtt_us);
	i.tcpi_snd_cwnd = low32(t->cwnd);
	i.tcpi_total_retrans = low32(t->segs_retrans);
	i.tcpi_bytes_acked = t->bytes_acked;
	i.tcpi_bytes_received = t->bytes_received;
	/* RFC 4898: octets sent, those sent again included. */
	i.tcpi_bytes_sent = t->bytes_sent + t->bytes_reinjected + t->bytes_retrans;
	i.tcpi_bytes_retrans = t->bytes_reinjected + t->bytes_retrans;
	/* What the first hop holds is not sent either. */
	i.tcpi_notsent_bytes = low32(i.tcpi_notsent_bytes + t->notsent);
	i.tcpi_snd_wnd = low32(t->snd_wnd);
	memcpy(value, &i, n);
}

/* The kernel has no such option for a TCP socket, and for an MPTCP one it would tell of the first hop. */
static long mptcp_info(void *value, socklen_t *len, const struct local_info *t)
{
	struct mptcp_info_6_10 i;
	socklen_t room;
	long r;

	if (!copy_in(&room, len, sizeof room))
		return -EFAULT;
	if ((int)room < 0)
		return -EINVAL;
	memset(&i, 0, sizeof i);
	i.subflows_total = low8(t->subflows);
	/* Linux counts those beside the first here. */
	i.subflows = low8(t->subflows ? t->subflows - 1 : 0);
	i.flags = (t->fallback ? MPTCP_INFO_FLAG_FALLBACK_ : 0) | (t->subflows ? MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED_ : 0);
	i.token = low32(t->token);
	i.write_seq = t->write_seq;
	i.snd_una = t->snd_una;
	i.rcv_nxt = t->rcv_nxt;
	i.csum_enabled = low8(t->checksum);
	i.bytes_retrans = t->bytes_reinjected;
	i.bytes_sent = t->bytes_sent;
	i.bytes_received = t->bytes_received;
	i.bytes_acked = t->bytes_acked;
	if (room > sizeof i)
		room = sizeof i;
	r = copy_out(value, &i, room);
	return r ? r : copy_out(len, &room, sizeof room);
}

long info_hook(int fd, int level, int option, void *value, socklen_t *len)
{
	struct local_info t;
	socklen_t filled;
	long r;

	if (level == SOL_MPTCP_)
		return tunnel_info(fd, &t) ? mptcp_info(value, len, &t)
					   : sys_getsockopt(fd, level, option, value, len);
	r = sys_getsockopt(fd, level, option, value, len);
	if (!r && copy_in(&filled, len, sizeof filled) && tunnel_info(fd, &t))
		tcp_info_over(value, filled, &t);
	return r;
}
