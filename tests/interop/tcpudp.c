/* SPDX-License-Identifier: MIT */
/*
 * Translator between TCP and TCP-in-UDP (draft-cheshire-tcp-over-udp) on pairs of TUN devices: what a kernel sends as TCP on
 * one comes out as UDP on the other, and back. The header is only permuted, so every packet keeps its length. Being in the
 * middle it also plays the middlebox: it delays, loses, strips options, corrupts.
 *
 * usage: tcpudp [-u CONTROL] PAIR...            PAIR: TCP_NETNS:DEVICE,UDP_NETNS:DEVICE   (namespaces by name, see ip netns)
 *        tcpudp -c CONTROL COMMAND...           tells a running one; prints its answer
 *
 * Prints READY when the devices are there and up; addresses and routes are the caller's. Commands:
 *	[PAIR] [in|out] loss PERCENT     of packets; PAIR counts from 1 (default: all), out: from TCP to UDP (default: both)
 *	       ... delay MS              of every packet
 *	       ... down | up
 *	       ... strip none|syn|synack|ack|data|join|add_addr|all[,...]
 *	                                 MPTCP options overwritten with NOP: of SYNs, of SYN/ACKs, of the rest without, with
 *	                                 payload, of MP_JOIN or ADD_ADDR wherever they stand
 *	       ... after BYTES           strip begins after so much payload
 *	       ... corrupt N             one byte of payload in each of the next N segments with payload
 *	       ... mtu BYTES             longer packets are lost, without a word
 *	stat                             packets, stripped, corrupted, lost of each pair and direction
 */
#include "common/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS_MAX = 8, PACKET_MAX = 2048, QUEUE_MAX = 8192, OUT = 0, IN = 1, TCP = 6, UDP = 17, KIND_MPTCP = 30 };
enum { F_FIN = 1, F_SYN = 2, F_RST = 4, F_ACK = 0x10, F_URG = 0x20 };
enum { STRIP_SYN = 1, STRIP_SYNACK = 2, STRIP_ACK = 4, STRIP_DATA = 8, STRIP_JOIN = 16, STRIP_ADD_ADDR = 32, STRIP_ALL = 15 };

struct packet { uint64_t due_us; size_t len; uint8_t bytes[PACKET_MAX]; };

/* One direction of a pair: out is from TCP to UDP. */
struct way {
	double loss;
	uint64_t delay_us;
	bool down;
	unsigned strip, corrupt;
	uint64_t strip_after, payload_bytes;
	size_t mtu;
	uint64_t packets, lost, stripped, corrupted, odd;
	struct packet *queue[QUEUE_MAX];
	unsigned head, count;
};

struct pair { int fd[2]; struct way way[2]; }; /* fd[OUT]: the TCP side's device, fd[IN]: the UDP side's */

static struct pair pairs[PAIRS_MAX];
static unsigned pair_count;
static uint64_t chance = 88172645463325252u;

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static double roll(void) /* 0 .. 100 */
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return (double)(chance >> 11) * 100 / (double)(UINT64_C(1) << 53);
}

/* --- devices --- */

static int tun_open(char *where)
{
	char *device = strchr(where, ':'), path[128];
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int ns, tun, s;

	if (!device)
		die("%s: NETNS:DEVICE is wanted", where);
	*device++ = 0;
	snprintf(path, sizeof path, "/run/netns/%s", where);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET))
		die("%s: %s", path, strerror(errno));
	tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", device);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &r))
		die("%s: %s", device, strerror(errno));
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r.ifr_flags = IFF_UP;
	if (ioctl(s, SIOCSIFFLAGS, &r))
		die("%s: %s", device, strerror(errno));
	close(s);
	close(ns);
	return tun;
}

/* --- headers --- */

struct view {
	uint8_t *ip, *at;          /* of TCP or UDP */
	size_t len;                /* from at on */
	uint8_t protocol;
	bool v6;
};

static bool view_of(struct view *v, uint8_t *p, size_t n)
{
	*v = (struct view){ .ip = p };
	if (n >= 20 && p[0] >> 4 == 4) {
		size_t header = (size_t)(p[0] & 15) * 4, total = be_get16(p + 2);

		if (header < 20 || total > n || total < header || be_get16(p + 6) & 0x3fff)
			return false; /* fragments have no business here */
		v->protocol = p[9];
		v->at = p + header;
		v->len = total - header;
	} else if (n >= 40 && p[0] >> 4 == 6) {
		v->v6 = true;
		v->protocol = p[6];
		v->at = p + 40;
		v->len = be_get16(p + 4);
		if (v->len + 40 > n)
			return false;
	} else {
		return false;
	}
	return v->len >= 20;
}

static uint32_t sum(uint32_t s, const uint8_t *p, size_t n)
{
	for (; n > 1; p += 2, n -= 2)
		s += be_get16(p);
	return n ? s + ((uint32_t)*p << 8) : s;
}

static void checksums(struct view *v)
{
	uint8_t *at = v->at + (v->protocol == TCP ? 16 : 6);
	uint32_t s = v->protocol + (uint32_t)v->len;

	be_put16(at, 0);
	s = v->v6 ? sum(s, v->ip + 8, 32) : sum(s, v->ip + 12, 8);
	s = sum(s, v->at, v->len);
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	s = ~s & 0xffff;
	be_put16(at, (uint16_t)(v->protocol == UDP && !s ? 0xffff : s));
	if (!v->v6) {
		be_put16(v->ip + 10, 0);
		s = sum(0, v->ip, (size_t)(v->ip[0] & 15) * 4);
		while (s >> 16)
			s = (s & 0xffff) + (s >> 16);
		be_put16(v->ip + 10, (uint16_t)~s);
	}
}

static void set_protocol(struct view *v, uint8_t protocol)
{
	v->protocol = protocol;
	v->ip[v->v6 ? 6 : 9] = protocol;
}

/*
 *	TCP   ports 4 | seq 4 | ack 4 | offset, flags 2 | window 2 | checksum 2 | urgent 2
 *	UDP   ports 4 | length 2 | checksum 2 | offset, flags 2 | window 2 | seq 4 | ack 4
 */
static void to_udp(struct view *v)
{
	uint8_t *p = v->at, t[20];

	memcpy(t, p, 20);
	be_put16(p + 4, (uint16_t)v->len);
	memcpy(p + 8, t + 12, 4);
	p[9] &= (uint8_t)~F_URG;
	memcpy(p + 12, t + 4, 8);
	set_protocol(v, UDP);
}

static void to_tcp(struct view *v)
{
	uint8_t *p = v->at, u[20];

	memcpy(u, p, 20);
	memcpy(p + 4, u + 12, 8);
	memcpy(p + 12, u + 8, 4);
	p[13] &= (uint8_t)~F_URG;
	be_put16(p + 18, 0);
	set_protocol(v, TCP);
}

/* --- the middlebox, on the TCP form --- */

static bool strip_this(const struct way *w, const struct view *v, uint8_t subtype, size_t payload)
{
	uint8_t flags = v->at[13];
	unsigned what = flags & F_SYN ? (flags & F_ACK ? STRIP_SYNACK : STRIP_SYN) : payload ? STRIP_DATA : STRIP_ACK;

	if (w->payload_bytes < w->strip_after)
		return false;
	return w->strip & what || (w->strip & STRIP_JOIN && subtype == 1) || (w->strip & STRIP_ADD_ADDR && subtype == 3);
}

static void meddle(struct way *w, struct view *v)
{
	size_t header = (size_t)(v->at[12] >> 4) * 4, payload = v->len > header ? v->len - header : 0;
	bool stripped = false;

	if (header < 20 || header > v->len)
		return;
	for (size_t i = 20; i < header && v->at[i];) {
		size_t n = v->at[i] == 1 ? 1 : i + 1 < header ? v->at[i + 1] : 0;

		if (!n || i + n > header)
			break;
		if (v->at[i] == KIND_MPTCP && n > 2 && strip_this(w, v, v->at[i + 2] >> 4, payload)) {
			memset(v->at + i, 1, n);
			stripped = true;
		}
		i += n;
	}
	w->stripped += stripped;
	w->payload_bytes += payload;
	if (payload && w->corrupt) {
		w->corrupt--;
		w->corrupted++;
		v->at[header + payload / 2] ^= 0x55;
	}
}

/* --- packets --- */

static void enqueue(struct way *w, const uint8_t *bytes, size_t len)
{
	struct packet *p;

	w->packets++;
	if (w->down || (w->loss > 0 && roll() < w->loss) || (w->mtu && len > w->mtu) || w->count == QUEUE_MAX ||
	    !(p = malloc(sizeof *p))) {
		w->lost++;
		return;
	}
	p->due_us = now_us() + w->delay_us;
	p->len = len;
	memcpy(p->bytes, bytes, len);
	w->queue[(w->head + w->count++) % QUEUE_MAX] = p;
}

static void take(struct pair *p, int side)
{
	struct way *w = &p->way[side];
	uint8_t bytes[PACKET_MAX];
	ssize_t n;

	while ((n = read(p->fd[side], bytes, sizeof bytes)) > 0) {
		struct view v;
		bool whole = view_of(&v, bytes, (size_t)n);

		if (whole && v.protocol == (side == OUT ? TCP : UDP)) {
			if (side == IN)
				to_tcp(&v);
			meddle(w, &v);
			if (side == OUT)
				to_udp(&v);
			checksums(&v);
		} else if (whole && (v.protocol == TCP || v.protocol == UDP)) {
			w->odd++; /* the other form: there is nobody for it over there */
			continue;
		}
		enqueue(w, bytes, (size_t)n);
	}
}

/* Writes what is due; says when the next is. */
static uint64_t give(struct pair *p, int side, uint64_t now)
{
	struct way *w = &p->way[side];

	while (w->count) {
		struct packet *q = w->queue[w->head];

		if (q->due_us > now)
			return q->due_us;
		if (write(p->fd[!side], q->bytes, q->len) < 0)
			w->lost++;
		free(q);
		w->head = (w->head + 1) % QUEUE_MAX;
		w->count--;
	}
	return UINT64_MAX;
}

/* --- control --- */

static unsigned strip_of(char *list)
{
	static const struct { const char *name; unsigned what; } names[] = {
		{ "none", 0 }, { "syn", STRIP_SYN }, { "synack", STRIP_SYNACK }, { "ack", STRIP_ACK }, { "data", STRIP_DATA },
		{ "join", STRIP_JOIN }, { "add_addr", STRIP_ADD_ADDR }, { "all", STRIP_ALL },
	};
	unsigned what = 0;
	char *save;

	for (char *t = strtok_r(list, ",", &save); t; t = strtok_r(NULL, ",", &save)) {
		size_t i = 0;

		while (i < sizeof names / sizeof *names && strcmp(names[i].name, t) != 0)
			i++;
		if (i == sizeof names / sizeof *names)
			return UINT32_MAX;
		what |= names[i].what;
	}
	return what;
}

static bool set(struct way *w, const char *verb, const char *value)
{
	char copy[128];

	if (!strcmp(verb, "down") || !strcmp(verb, "up")) {
		w->down = !strcmp(verb, "down");
		return true;
	}
	if (!value)
		return false;
	if (!strcmp(verb, "loss")) {
		w->loss = atof(value);
	} else if (!strcmp(verb, "delay")) {
		w->delay_us = (uint64_t)(atof(value) * 1000);
	} else if (!strcmp(verb, "after")) {
		w->strip_after = w->payload_bytes + strtoull(value, NULL, 10);
	} else if (!strcmp(verb, "corrupt")) {
		w->corrupt = (unsigned)atoi(value);
	} else if (!strcmp(verb, "mtu")) {
		w->mtu = (size_t)atoi(value);
	} else if (!strcmp(verb, "strip")) {
		unsigned what;

		snprintf(copy, sizeof copy, "%s", value);
		what = strip_of(copy);
		if (what == UINT32_MAX)
			return false;
		w->strip = what;
	} else {
		return false;
	}
	return true;
}

static void stat_text(char *out, size_t size)
{
	size_t at = 0;

	for (unsigned i = 0; i < pair_count; i++)
		for (int side = OUT; side <= IN && at < size; side++) {
			const struct way *w = &pairs[i].way[side];

			at += (size_t)snprintf(out + at, size - at, "%u %s packets=%llu lost=%llu stripped=%llu corrupted=%llu odd=%llu\n",
					       i + 1, side == OUT ? "out" : "in", (unsigned long long)w->packets,
					       (unsigned long long)w->lost, (unsigned long long)w->stripped,
					       (unsigned long long)w->corrupted, (unsigned long long)w->odd);
		}
}

static void command(char *line, char *out, size_t size)
{
	char *save, *word = strtok_r(line, " ", &save), *value;
	unsigned from = 0, to = pair_count;
	int first = OUT, last = IN;
	bool ok = true;

	snprintf(out, size, "ok\n");
	if (word && !strcmp(word, "stat")) {
		stat_text(out, size);
		return;
	}
	if (word && *word >= '1' && *word <= '9') {
		from = (unsigned)atoi(word) - 1;
		to = from + 1;
		word = strtok_r(NULL, " ", &save);
	}
	if (word && (!strcmp(word, "in") || !strcmp(word, "out"))) {
		first = last = !strcmp(word, "in") ? IN : OUT;
		word = strtok_r(NULL, " ", &save);
	}
	value = strtok_r(NULL, " ", &save);
	if (!word || to > pair_count)
		ok = false;
	for (unsigned i = from; ok && i < to; i++)
		for (int side = first; side <= last; side++)
			ok = ok && set(&pairs[i].way[side], word, value);
	if (!ok)
		snprintf(out, size, "what?\n");
}

static int control_open(const char *path, bool server)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	if (s < 0 || (server ? bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 8) : connect(s, (struct sockaddr *)&a, sizeof a)))
		die("%s: %s", path, strerror(errno));
	return s;
}

static void control_answer(int control)
{
	char line[512], out[4096];
	int s = accept4(control, NULL, NULL, SOCK_CLOEXEC);
	ssize_t n = s < 0 ? -1 : read(s, line, sizeof line - 1);

	if (n > 0) {
		line[n] = 0;
		command(line, out, sizeof out);
		(void)!write(s, out, strlen(out));
	}
	if (s >= 0)
		close(s);
}

static int tell(const char *path, char **words)
{
	char line[512] = "", out[4096];
	size_t at = 0;
	ssize_t n;
	int s = control_open(path, false);

	for (; *words; words++)
		at += (size_t)snprintf(line + at, at < sizeof line ? sizeof line - at : 0, "%s%s", at ? " " : "", *words);
	(void)!write(s, line, strlen(line));
	n = read(s, out, sizeof out - 1);
	if (n <= 0)
		die("%s: no answer", path);
	out[n] = 0;
	if (strcmp(out, "ok\n") != 0)
		fputs(out, stdout);
	return strcmp(out, "what?\n") ? 0 : 1;
}

int main(int argc, char **argv)
{
	int control = -1, i = 1;

	if (argc > 3 && !strcmp(argv[1], "-c"))
		return tell(argv[2], argv + 3);
	if (argc > 2 && !strcmp(argv[1], "-u")) {
		control = control_open(argv[2], true);
		i = 3;
	}
	for (; i < argc; i++) {
		char *other = strchr(argv[i], ',');

		if (!other || pair_count == PAIRS_MAX)
			die("usage: tcpudp [-u CONTROL] TCP_NETNS:DEVICE,UDP_NETNS:DEVICE...");
		*other++ = 0;
		pairs[pair_count].fd[OUT] = tun_open(argv[i]);
		pairs[pair_count].fd[IN] = tun_open(other);
		pair_count++;
	}
	if (!pair_count)
		die("usage: tcpudp [-u CONTROL] TCP_NETNS:DEVICE,UDP_NETNS:DEVICE...");
	puts("READY");
	fflush(stdout);
	for (;;) {
		struct pollfd fds[2 * PAIRS_MAX + 1];
		uint64_t next = UINT64_MAX, now = now_us();
		unsigned n = 0;

		for (unsigned k = 0; k < pair_count; k++)
			for (int side = OUT; side <= IN; side++) {
				uint64_t due = give(&pairs[k], side, now);

				next = due < next ? due : next;
				fds[n++] = (struct pollfd){ .fd = pairs[k].fd[side], .events = POLLIN };
			}
		fds[n] = (struct pollfd){ .fd = control, .events = POLLIN };
		if (ppoll(fds, n + 1, next == UINT64_MAX ? NULL : &(struct timespec){
				.tv_sec = (time_t)((next - now) / 1000000), .tv_nsec = (long)((next - now) % 1000000) * 1000,
			}, NULL) < 0 && errno != EINTR)
			die("poll: %s", strerror(errno));
		for (unsigned k = 0; k < n; k++)
			if (fds[k].revents & POLLIN)
				take(&pairs[k / 2], (int)(k % 2));
		if (fds[n].revents & POLLIN)
			control_answer(control);
	}
}
