/* SPDX-License-Identifier: MIT */
/*
 * linkem: a point-to-point link between two network namespaces, played in user space because not every
 * kernel has netem. Per direction: rate, one-way delay, jitter, random loss (seeded; Bernoulli or
 * two-state Gilbert), a drop-tail queue in bytes, black-outs (at once, timed, or planned).
 *
 *	read -> [black-out?] -> [drop-tail queue] -> serializer at `rate` -> [loss] -> delay line -> [black-out?] -> write
 *
 * A packet that loss hits still takes its time on the serializer: a frame that is corrupted on the air has
 * used the air. A black-out kills what arrives and what is in flight, silently: the devices stay up, there
 * is no ICMP and no RST. Packets do not overtake each other unless `reorder 1` was given.
 *
 * Each end is a TUN device. Where /dev/net/tun cannot be opened (an ordinary user on some machines) it is a
 * veth pair with a packet socket on the far end instead, in a namespace of linkem's own; needs `ip`.
 *
 * An idle link is event driven and exact. A busy one polls every TICK microseconds (-q), as a NIC mitigates
 * interrupts: that keeps its share of a small machine low, at the price of half a TICK of timing noise.
 *
 * usage: linkem -A NS:DEV:ADDR/PLEN -B NS:DEV:ADDR/PLEN [-m MTU] [-u CTL.sock] [-q TICK_US] [-v] [-x CMD]...
 *        linkem -c CTL.sock CMD      tell a running linkem; prints its answer
 *
 *	NS is a name under /run/netns, "-" the current namespace. -v: veth even where TUN is there.
 *	Ready when it has printed "READY". Ends at SIGTERM; its devices go with it.
 *
 * CMD: [at SECONDS | at +SECONDS] [ab | ba | both] VERB ARGS     (ab: packets that A sends)
 *	rate R           bit/s of IP bytes, suffix k, M, G; 0 = unlimited
 *	delay MS         one way
 *	jitter MS        uniform 0..MS on top of the delay
 *	reorder 0|1      whether jitter may reorder packets
 *	loss P           probability of losing a packet
 *	burst P R        Gilbert: P enters the lossy state (which drops all), R leaves it; burst 0 1 = off
 *	queue BYTES      drop-tail limit, suffix k, M; "queue 40ms" = that much of the current rate
 *	overhead BYTES   added to each packet for the rate
 *	seed N           reseeds the chance of this direction
 *	down | up        black-out on, off
 *	blackout T1 T2   down at T1, up at T2: seconds after start, or +T from now
 *	stat | reset     prints the counters | zeroes them
 *	quit
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

enum {
	READ_BURST = 256, /* packets taken from one device before looking at the clock again */
	IDLE_TICKS = 10,  /* polls that found nothing before going back to events */
	PLAN_MAX = 256,
	WORDS_MAX = 8,
	ANSWER_MAX = 2048,
};
#define NS_PER_S UINT64_C(1000000000)

struct packet {
	struct packet *next;
	uint64_t arrived_ns; /* when it entered the queue */
	uint32_t len;
	uint8_t data[];
};

/* A place on the delay line, ordered by (due_ns, order). */
struct slot {
	uint64_t due_ns, order;
	struct packet *packet;
};

struct direction {
	const char *name;
	int fd_out;             /* the device that gets the packets */

	double rate_bps;        /* 0 = unlimited */
	uint64_t delay_ns, jitter_ns;
	bool reorder, down;
	double loss, burst_enter, burst_leave;
	bool in_burst;
	uint64_t queue_max;     /* bytes */
	uint32_t overhead;
	uint64_t chance;        /* splitmix64 state */

	struct packet *head, *tail; /* wait for the serializer; head is in service */
	uint64_t queue_bytes;
	uint64_t head_done_ns;  /* when head will have been serialized */
	uint64_t free_ns;       /* when the serializer last became free */

	struct slot *heap;      /* the delay line, a min-heap */
	size_t heap_len, heap_size;
	uint64_t next_order, last_due_ns;

	uint64_t in, in_bytes, out, out_bytes, drop_queue, drop_loss, drop_down, drop_write;
	uint64_t queue_peak, late_sum_ns, late_max_ns;
};

static struct direction dirs[2]; /* ab, ba */
static int device[2];
static bool veth;                /* frames with an Ethernet header, not bare IP packets */
static uint64_t start_ns;
static size_t packet_size;
static struct packet *spare;
static volatile sig_atomic_t quitting;
static uint64_t tick_ns = 200000;
static uint64_t slack_ns = 40000; /* what is due this soon leaves with this wake-up */

static struct {
	uint64_t when_ns;
	char cmd[128];
	bool used;
} plan[PLAN_MAX];

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static _Noreturn void __attribute__((format(printf, 1, 2))) die(const char *format, ...)
{
	int error = errno;
	va_list ap;

	va_start(ap, format);
	fputs("linkem: ", stderr);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "%s%s\n", error ? ": " : "", error ? strerror(error) : "");
	exit(1);
}

static struct packet *packet_get(void)
{
	struct packet *p = spare;

	if (p)
		spare = p->next;
	else if (!(p = malloc(sizeof *p + packet_size)))
		die("packets");
	return p;
}

static void packet_put(struct packet *p)
{
	p->next = spare;
	spare = p;
}

/* Uniform in [0, 1): splitmix64, one stream a direction, so that a seed gives the same losses again. */
static double chance(struct direction *d)
{
	uint64_t z = (d->chance += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	z ^= z >> 31;
	return (double)(z >> 11) * (1.0 / 9007199254740992.0);
}

static bool is_lost(struct direction *d)
{
	bool hit = false;

	if (d->burst_enter > 0) {
		d->in_burst = d->in_burst ? chance(d) >= d->burst_leave : chance(d) < d->burst_enter;
		hit = d->in_burst;
	}
	if (d->loss > 0 && chance(d) < d->loss)
		hit = true;
	return hit;
}

static bool slot_before(const struct slot *a, const struct slot *b)
{
	return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order);
}

static void heap_push(struct direction *d, uint64_t due_ns, struct packet *p)
{
	struct slot s = { .due_ns = due_ns, .order = d->next_order++, .packet = p };
	size_t i;

	if (d->heap_len == d->heap_size) {
		d->heap_size = d->heap_size ? d->heap_size * 2 : 1024;
		d->heap = realloc(d->heap, d->heap_size * sizeof *d->heap);
		if (!d->heap)
			die("delay line");
	}
	for (i = d->heap_len++; i && slot_before(&s, &d->heap[(i - 1) / 2]); i = (i - 1) / 2)
		d->heap[i] = d->heap[(i - 1) / 2];
	d->heap[i] = s;
}

static struct packet *heap_pop(struct direction *d)
{
	struct packet *p = d->heap[0].packet;
	struct slot s = d->heap[--d->heap_len];
	size_t i = 0, kid;

	while ((kid = 2 * i + 1) < d->heap_len) {
		if (kid + 1 < d->heap_len && slot_before(&d->heap[kid + 1], &d->heap[kid]))
			kid++;
		if (!slot_before(&d->heap[kid], &s))
			break;
		d->heap[i] = d->heap[kid];
		i = kid;
	}
	if (d->heap_len)
		d->heap[i] = s;
	return p;
}

/* IP bytes: the rate is that of the link's payload in both kinds of device. */
static uint32_t ip_len(uint32_t len)
{
	return veth && len > ETH_HLEN ? len - ETH_HLEN : len;
}

static void deliver(struct direction *d, struct packet *p, uint64_t due_ns, uint64_t now)
{
	if (d->down) {
		d->drop_down++;
	} else if (write(d->fd_out, p->data, p->len) == (ssize_t)p->len) {
		uint64_t late_ns = now > due_ns ? now - due_ns : 0;

		d->out++;
		d->out_bytes += ip_len(p->len);
		d->late_sum_ns += late_ns;
		if (late_ns > d->late_max_ns)
			d->late_max_ns = late_ns;
	} else {
		d->drop_write++;
	}
	packet_put(p);
}

static uint64_t serial_ns(const struct direction *d, uint32_t len)
{
	return d->rate_bps > 0 ? (uint64_t)((double)(ip_len(len) + d->overhead) * 8e9 / d->rate_bps) : 0;
}

/* The packet has left the serializer at `at`: loss, then the delay line. */
static void onto_wire(struct direction *d, struct packet *p, uint64_t at, uint64_t now)
{
	uint64_t due_ns = at + d->delay_ns;

	if (is_lost(d)) {
		d->drop_loss++;
		packet_put(p);
		return;
	}
	if (d->jitter_ns)
		due_ns += (uint64_t)(chance(d) * (double)d->jitter_ns);
	if (!d->reorder && due_ns < d->last_due_ns)
		due_ns = d->last_due_ns;
	d->last_due_ns = due_ns;
	if (due_ns <= now && !d->heap_len)
		deliver(d, p, now, now);
	else
		heap_push(d, due_ns, p);
}

static void arrive(struct direction *d, struct packet *p, uint64_t now)
{
	d->in++;
	d->in_bytes += ip_len(p->len);
	if (d->down) {
		d->drop_down++;
		packet_put(p);
		return;
	}
	if (d->rate_bps <= 0 && !d->head) {
		onto_wire(d, p, now, now);
		return;
	}
	if (d->queue_bytes + p->len > d->queue_max) {
		d->drop_queue++;
		packet_put(p);
		return;
	}
	p->arrived_ns = now;
	p->next = NULL;
	d->queue_bytes += p->len;
	if (d->queue_bytes > d->queue_peak)
		d->queue_peak = d->queue_bytes;
	if (d->head) {
		d->tail->next = p;
	} else {
		d->head = p;
		d->head_done_ns = (d->free_ns > now ? d->free_ns : now) + serial_ns(d, p->len);
	}
	d->tail = p;
}

/* Moves all that is due by now; the slack lets packets that are close share a wake-up. */
static void advance(struct direction *d, uint64_t now)
{
	uint64_t limit = now + slack_ns;

	while (d->head && d->head_done_ns <= limit) {
		struct packet *p = d->head;
		uint64_t done = d->head_done_ns;

		d->head = p->next;
		if (!d->head)
			d->tail = NULL;
		d->queue_bytes -= p->len;
		d->free_ns = done;
		if (d->head) {
			uint64_t from = d->head->arrived_ns > done ? d->head->arrived_ns : done;
			d->head_done_ns = from + serial_ns(d, d->head->len);
		}
		onto_wire(d, p, done, limit);
	}
	while (d->heap_len && d->heap[0].due_ns <= limit) {
		uint64_t due_ns = d->heap[0].due_ns;
		deliver(d, heap_pop(d), due_ns, now);
	}
}

/* Takes what one device has; returns how many packets. */
static int drain(uint32_t id, uint64_t now)
{
	int n = 0;

	for (; n < READ_BURST; n++) {
		struct packet *p = packet_get();
		ssize_t len = read(device[id], p->data, packet_size);

		if (len <= 0) {
			packet_put(p);
			break;
		}
		p->len = (uint32_t)len;
		arrive(&dirs[id], p, now);
	}
	return n;
}

static uint64_t next_event_ns(void)
{
	uint64_t t = UINT64_MAX;

	for (int i = 0; i < 2; i++) {
		if (dirs[i].head && dirs[i].head_done_ns < t)
			t = dirs[i].head_done_ns;
		if (dirs[i].heap_len && dirs[i].heap[0].due_ns < t)
			t = dirs[i].heap[0].due_ns;
	}
	for (int i = 0; i < PLAN_MAX; i++)
		if (plan[i].used && plan[i].when_ns < t)
			t = plan[i].when_ns;
	return t;
}

static double scaled(const char *text)
{
	char *end;
	double v = strtod(text, &end);

	switch (tolower((unsigned char)*end)) {
	case 'k': return v * 1e3;
	case 'm': return v * 1e6;
	case 'g': return v * 1e9;
	default:  return v;
	}
}

static uint64_t queue_arg(const struct direction *d, const char *text)
{
	size_t n = strlen(text);
	double bytes = n > 2 && !strcmp(text + n - 2, "ms") ? strtod(text, NULL) * 1e-3 * d->rate_bps / 8 : scaled(text);

	return bytes < 3028 ? 3028 : (uint64_t)bytes; /* two full packets, or nothing would ever pass */
}

/* SECONDS after the start, or +SECONDS from now. */
static uint64_t time_arg(const char *text)
{
	double s = strtod(text + (*text == '+'), NULL);
	return (*text == '+' ? now_ns() : start_ns) + (uint64_t)(s * 1e9);
}

static void stat_print(char *out, size_t size)
{
	unsigned planned = 0;
	size_t n;

	for (int i = 0; i < PLAN_MAX; i++)
		planned += plan[i].used;
	n = (size_t)snprintf(out, size, "t=%.3f planned=%u\n", (double)(now_ns() - start_ns) / 1e9, planned);
	for (int i = 0; i < 2 && n < size; i++) {
		const struct direction *d = &dirs[i];

		n += (size_t)snprintf(out + n, size - n,
			"%s in=%" PRIu64 " in_bytes=%" PRIu64 " out=%" PRIu64 " out_bytes=%" PRIu64 " drop_queue=%" PRIu64
			" drop_loss=%" PRIu64 " drop_down=%" PRIu64 " drop_write=%" PRIu64 " queue_peak=%" PRIu64
			" late_avg_us=%.1f late_max_us=%.1f\n",
			d->name, d->in, d->in_bytes, d->out, d->out_bytes, d->drop_queue, d->drop_loss, d->drop_down,
			d->drop_write, d->queue_peak, d->out ? (double)d->late_sum_ns / (double)d->out / 1e3 : 0.0,
			(double)d->late_max_ns / 1e3);
	}
}

static void plan_add(uint64_t when_ns, const char *cmd)
{
	for (int i = 0; i < PLAN_MAX; i++)
		if (!plan[i].used) {
			plan[i].used = true;
			plan[i].when_ns = when_ns;
			snprintf(plan[i].cmd, sizeof plan[i].cmd, "%s", cmd);
			return;
		}
	errno = 0;
	die("more than %d commands planned", PLAN_MAX);
}

/* One verb on one direction. False: no such verb. */
static bool apply(struct direction *d, const char *verb, const char *x, const char *y)
{
	if (!strcmp(verb, "rate")) {
		d->rate_bps = scaled(x);
		d->free_ns = 0;
		if (d->head) /* the packet in service starts again at the new rate */
			d->head_done_ns = now_ns() + serial_ns(d, d->head->len);
	} else if (!strcmp(verb, "delay")) {
		d->delay_ns = (uint64_t)(strtod(x, NULL) * 1e6);
	} else if (!strcmp(verb, "jitter")) {
		d->jitter_ns = (uint64_t)(strtod(x, NULL) * 1e6);
	} else if (!strcmp(verb, "reorder")) {
		d->reorder = *x == '1';
	} else if (!strcmp(verb, "loss")) {
		d->loss = strtod(x, NULL);
	} else if (!strcmp(verb, "burst")) {
		d->burst_enter = strtod(x, NULL);
		d->burst_leave = strtod(y, NULL);
		d->in_burst = false;
	} else if (!strcmp(verb, "queue")) {
		d->queue_max = queue_arg(d, x);
	} else if (!strcmp(verb, "overhead")) {
		d->overhead = (uint32_t)strtoul(x, NULL, 10);
	} else if (!strcmp(verb, "seed")) {
		d->chance = strtoull(x, NULL, 0) * 2 + (uint64_t)(d - dirs);
	} else if (!strcmp(verb, "down") || !strcmp(verb, "up")) {
		d->down = *verb == 'd';
	} else if (!strcmp(verb, "reset")) {
		d->in = d->in_bytes = d->out = d->out_bytes = 0;
		d->drop_queue = d->drop_loss = d->drop_down = d->drop_write = 0;
		d->queue_peak = d->late_sum_ns = d->late_max_ns = 0;
	} else {
		return false;
	}
	return true;
}

/* One line of the grammar at the head of this file. Its answer goes to out, "" if there is none. */
static bool command(const char *line, char out[ANSWER_MAX])
{
	char text[256], *word[WORDS_MAX + 1] = { 0 }, *save, timed[64];
	int n = 0, a = 1, first = 0, last = 1;
	const char *x, *y;

	out[0] = 0;
	snprintf(text, sizeof text, "%s", line);
	for (char *w = strtok_r(text, " \t\r\n", &save); w && n < WORDS_MAX; w = strtok_r(NULL, " \t\r\n", &save))
		word[n++] = w;
	if (!n)
		return true;
	if (!strcmp(word[0], "at") && n >= 3) {
		plan_add(time_arg(word[1]), line + (word[2] - text));
		return true;
	}
	if (!strcmp(word[0], "ab"))
		last = 0;
	else if (!strcmp(word[0], "ba"))
		first = 1;
	else if (strcmp(word[0], "both") != 0)
		a = 0;
	if (a >= n)
		return false;
	x = word[a + 1] ? word[a + 1] : "";
	y = word[a + 1] && word[a + 2] ? word[a + 2] : "";
	if (!strcmp(word[a], "stat")) {
		stat_print(out, ANSWER_MAX);
		return true;
	}
	if (!strcmp(word[a], "quit")) {
		quitting = 1;
		return true;
	}
	if (!strcmp(word[a], "blackout")) {
		const char *which = first == last ? dirs[first].name : "both";

		snprintf(timed, sizeof timed, "%s down", which);
		plan_add(time_arg(x), timed);
		snprintf(timed, sizeof timed, "%s up", which);
		plan_add(time_arg(y), timed);
		return true;
	}
	for (int i = first; i <= last; i++)
		if (!apply(&dirs[i], word[a], x, y)) {
			snprintf(out, ANSWER_MAX, "not understood: %.200s\n", line);
			return false;
		}
	/* With the absolute monotonic time, so that a receiver's log can be lined up with it. */
	printf("EVENT mono=%.6f t=%.3f %s %s %s %s\n", (double)now_ns() / 1e9, (double)(now_ns() - start_ns) / 1e9,
	       first == last ? dirs[first].name : "both", word[a], x, y);
	fflush(stdout);
	return true;
}

/* The plan is short: a scan for the earliest is enough. */
static void run_plan(uint64_t now)
{
	char out[ANSWER_MAX];
	int best;

	do {
		best = -1;
		for (int i = 0; i < PLAN_MAX; i++)
			if (plan[i].used && plan[i].when_ns <= now && (best < 0 || plan[i].when_ns < plan[best].when_ns))
				best = i;
		if (best >= 0) {
			plan[best].used = false;
			command(plan[best].cmd, out);
			fputs(out, stdout);
		}
	} while (best >= 0);
}

static int namespace_open(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof path, strcmp(name, "-") ? "/run/netns/%s" : "/proc/self/ns/net", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("namespace %s", name);
	return fd;
}

static void namespace_enter(int fd)
{
	if (setns(fd, CLONE_NEWNET) < 0)
		die("setns");
}

static int tun_open(const char *dev)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		die("/dev/net/tun");
	snprintf(r.ifr_name, IFNAMSIZ, "%s", dev);
	if (ioctl(fd, TUNSETIFF, &r) < 0)
		die("TUNSETIFF %s", dev);
	return fd;
}

static void ethtool_off(int s, struct ifreq *r, uint32_t cmd)
{
	struct ethtool_value v = { .cmd = cmd, .data = 0 };

	r->ifr_data = (char *)&v;
	if (ioctl(s, (unsigned long)SIOCETHTOOL, r) < 0 && errno != EOPNOTSUPP)
		die("offload of %s", r->ifr_name);
	r->ifr_data = NULL;
}

/*
 * In the middle namespace: a veth named side whose other end, dev, is in the namespace ns; returns the packet
 * socket on side. Offloads of dev are switched off, or packets of 64 KB with no checksum would arrive here.
 */
static int veth_open(const char *side, const char *dev, int ns, int middle, int mtu)
{
	char cmd[256];
	struct ifreq r = { 0 };
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int one = 1, big = 8 << 20, s, fd;

	snprintf(cmd, sizeof cmd, "exec ip link add name %s mtu %d type veth peer name %s mtu %d netns /proc/%d/fd/%d",
		 side, mtu, dev, mtu, (int)getpid(), ns);
	errno = 0;
	if (system(cmd) != 0) /* NOLINT(cert-env33-c): a test tool, words from its own command line */
		die("%s", cmd);
	snprintf(cmd, sizeof cmd, "exec sysctl -qw net.ipv6.conf.%s.disable_ipv6=1", side);
	if (system(cmd) != 0) /* NOLINT(cert-env33-c): or the middle would send packets of its own */
		errno = 0;
	namespace_enter(ns);
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(r.ifr_name, IFNAMSIZ, "%s", dev);
	ethtool_off(s, &r, ETHTOOL_STSO);
	ethtool_off(s, &r, ETHTOOL_SGSO);
	ethtool_off(s, &r, ETHTOOL_STXCSUM);
	ethtool_off(s, &r, ETHTOOL_SSG);
	close(s);
	namespace_enter(middle);

	fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("packet socket");
	snprintf(r.ifr_name, IFNAMSIZ, "%s", side);
	r.ifr_flags = IFF_UP | IFF_RUNNING | IFF_PROMISC;
	if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		die("up %s", side);
	at.sll_ifindex = (int)if_nametoindex(side);
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
	if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
		die("bind %s", side);
	return fd;
}

/* In the current namespace: dev gets its MTU, its address, and goes up. */
static void device_up(const char *dev, const char *addr, const char *bits, int mtu)
{
	struct ifreq r = { 0 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	unsigned plen = bits ? (unsigned)strtoul(bits, NULL, 10) : 32;
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(r.ifr_name, IFNAMSIZ, "%s", dev);
	r.ifr_mtu = mtu;
	if (ioctl(s, SIOCSIFMTU, &r) < 0)
		die("mtu %d", mtu);
	r.ifr_qlen = 8192; /* the device's own ring must never be the queue that drops */
	if (ioctl(s, SIOCSIFTXQLEN, &r) < 0 && errno != EPERM) /* user namespaces may not: 500 must do */
		die("txqlen");
	if (inet_pton(AF_INET, addr, &in.sin_addr) != 1)
		die("address %s", addr);
	memcpy(&r.ifr_addr, &in, sizeof in);
	if (ioctl(s, SIOCSIFADDR, &r) < 0)
		die("address %s", addr);
	in.sin_addr.s_addr = plen ? htonl(UINT32_MAX << (32 - plen)) : 0;
	memcpy(&r.ifr_netmask, &in, sizeof in);
	if (ioctl(s, SIOCSIFNETMASK, &r) < 0)
		die("netmask /%u", plen);
	r.ifr_flags = (short)(IFF_UP | IFF_RUNNING | (veth ? 0 : IFF_POINTOPOINT | IFF_NOARP));
	if (ioctl(s, SIOCSIFFLAGS, &r) < 0)
		die("up %s", dev);
	close(s);
}

/* spec: NS:DEV:ADDR/PLEN, cut up in place. */
static int end_open(const char *side, char *spec, int home, int mtu)
{
	char *save, *ns = strtok_r(spec, ":", &save), *dev = strtok_r(NULL, ":", &save);
	char *addr = strtok_r(NULL, "/", &save), *bits = strtok_r(NULL, "/", &save);
	int there, fd;

	errno = 0;
	if (!ns || !dev || !addr)
		die("an end is NS:DEV:ADDR/PLEN");
	if (veth && !strcmp(ns, "-"))
		die("a veth end needs a namespace with a name");
	there = namespace_open(ns);
	if (veth) {
		fd = veth_open(side, dev, there, home, mtu);
		namespace_enter(there);
	} else {
		namespace_enter(there);
		fd = tun_open(dev);
	}
	device_up(dev, addr, bits, mtu);
	namespace_enter(home);
	close(there);
	return fd;
}

static struct sockaddr_un unix_addr(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	errno = ENAMETOOLONG;
	if (strlen(path) >= sizeof un.sun_path)
		die("%s", path);
	memcpy(un.sun_path, path, strlen(path));
	return un;
}

/* linkem -c: one datagram there, one back. Exit status 0 when the command was understood. */
static int tell(const char *path, const char *cmd)
{
	struct sockaddr_un to = unix_addr(path), own;
	struct timeval wait = { .tv_sec = 5 };
	char answer[ANSWER_MAX], back[sizeof own.sun_path + 16];
	ssize_t n;
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	/* A name for the answer: a file, for linkem may be in another namespace, where abstract names do not reach. */
	snprintf(back, sizeof back, "%s.%d", path, (int)getpid());
	own = unix_addr(back);
	if (bind(s, (struct sockaddr *)&own, sizeof own) < 0 ||
	    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0 ||
	    connect(s, (struct sockaddr *)&to, sizeof to) < 0 || send(s, cmd, strlen(cmd), 0) < 0)
		die("%s", path);
	n = recv(s, answer, sizeof answer - 1, 0);
	unlink(back);
	if (n < 0)
		die("%s does not answer", path);
	answer[n] = 0;
	if (!strcmp(answer, "ok\n"))
		return 0;
	fputs(answer, stdout);
	return strncmp(answer, "t=", 2) != 0;
}

static void control_input(int fd)
{
	char line[256], out[ANSWER_MAX];
	struct sockaddr_un peer;
	socklen_t peer_len = sizeof peer;
	ssize_t n = recvfrom(fd, line, sizeof line - 1, 0, (struct sockaddr *)&peer, &peer_len);
	bool good = true;
	char *save;

	if (n <= 0)
		return;
	line[n] = 0;
	out[0] = 0;
	for (char *cmd = strtok_r(line, "\n;", &save); cmd && good; cmd = strtok_r(NULL, "\n;", &save))
		good = command(cmd, out);
	if (!out[0])
		snprintf(out, sizeof out, "%s\n", good ? "ok" : "not understood");
	if (peer_len > sizeof peer.sun_family &&
	    sendto(fd, out, strlen(out), MSG_DONTWAIT, (struct sockaddr *)&peer, peer_len) < 0)
		perror("linkem: answer");
}

static void on_signal(int sig)
{
	(void)sig;
	quitting = 1;
}

enum { WATCH_A, WATCH_B, WATCH_TIMER, WATCH_CONTROL, WATCH_MAX };

/* Returns when told to quit. */
static void loop(const int fds[WATCH_MAX])
{
	struct epoll_event ev[WATCH_MAX];
	uint64_t armed_ns = 0;
	bool polling = false;
	int idle = 0, ep = epoll_create1(EPOLL_CLOEXEC);

	for (uint32_t i = 0; i < WATCH_MAX; i++) {
		struct epoll_event add = { .events = EPOLLIN, .data.u32 = i };

		if (fds[i] >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &add) < 0)
			die("epoll_ctl");
	}
	while (!quitting) {
		uint64_t t = polling ? now_ns() + tick_ns : next_event_ns(), now;
		int got = 0, n;
		bool busy;

		if (t != armed_ns) {
			struct itimerspec it = { 0 };

			if (t != UINT64_MAX) {
				it.it_value.tv_sec = (time_t)(t / NS_PER_S);
				it.it_value.tv_nsec = (long)(t % NS_PER_S);
			}
			timerfd_settime(fds[WATCH_TIMER], TFD_TIMER_ABSTIME, &it, NULL);
			armed_ns = t;
		}
		n = epoll_wait(ep, ev, WATCH_MAX, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		now = now_ns();
		for (int i = 0; i < n; i++) {
			uint64_t expirations;

			if (ev[i].data.u32 <= WATCH_B) {
				got += drain(ev[i].data.u32, now);
			} else if (ev[i].data.u32 == WATCH_CONTROL) {
				control_input(fds[WATCH_CONTROL]);
			} else {
				if (read(fds[WATCH_TIMER], &expirations, sizeof expirations) > 0)
					armed_ns = 0;
				if (polling)
					got += drain(WATCH_A, now) + drain(WATCH_B, now);
			}
		}
		now = now_ns();
		run_plan(now);
		advance(&dirs[0], now);
		advance(&dirs[1], now);
		/* Two packets in one wake-up, or a queue behind the first: this link is busy. */
		busy = got > 1 || dirs[0].queue_bytes || dirs[1].queue_bytes;
		idle = got || busy ? 0 : idle + 1;
		if (tick_ns && polling != (polling ? idle < IDLE_TICKS : busy)) {
			polling = !polling;
			for (uint32_t i = WATCH_A; i <= WATCH_B; i++) {
				struct epoll_event mod = { .events = polling ? 0 : EPOLLIN, .data.u32 = i };
				epoll_ctl(ep, EPOLL_CTL_MOD, fds[i], &mod);
			}
		}
	}
	close(ep);
}

int main(int argc, char **argv)
{
	char *end[2] = { NULL, NULL }, *control = NULL, *start[64], out[ANSWER_MAX];
	struct sigaction sa = { .sa_handler = on_signal };
	int fds[WATCH_MAX] = { -1, -1, -1, -1 }, mtu = 1500, starts = 0, home, c;

	while ((c = getopt(argc, argv, "A:B:m:u:q:x:vc:")) != -1)
		switch (c) {
		case 'A': end[0] = optarg; break;
		case 'B': end[1] = optarg; break;
		case 'm': mtu = (int)strtol(optarg, NULL, 10); break;
		case 'u': control = optarg; break;
		case 'q': tick_ns = (uint64_t)(strtod(optarg, NULL) * 1e3); break;
		case 'v': veth = true; break;
		case 'c': return optind < argc ? tell(optarg, argv[optind]) : 2;
		case 'x':
			if (starts < (int)(sizeof start / sizeof *start))
				start[starts++] = optarg;
			break;
		default: fputs("usage: see the head of linkem.c\n", stderr); return 2;
		}
	errno = 0;
	if (!end[0] || !end[1])
		die("needs -A and -B");
	packet_size = (size_t)(mtu < 2048 ? 2048 : mtu + ETH_HLEN);

	if (!veth && access("/dev/net/tun", R_OK | W_OK) < 0)
		veth = true;
	home = namespace_open("-");
	if (veth) {
		/* The namespace files are opened by name, so a namespace of our own changes nothing else. */
		close(home);
		if (unshare(CLONE_NEWNET) < 0)
			die("unshare");
		home = namespace_open("-");
	}
	for (int i = 0; i < 2; i++)
		fds[i] = device[i] = end_open(i ? "b" : "a", end[i], home, mtu);
	close(home);

	for (int i = 0; i < 2; i++)
		dirs[i] = (struct direction){ .name = i ? "ba" : "ab", .fd_out = device[!i], .queue_max = 1000000,
		                              .burst_leave = 1, .chance = 12345 * 2 + (uint64_t)i };
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	fds[WATCH_TIMER] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (control) {
		struct sockaddr_un un = unix_addr(control);

		unlink(control);
		fds[WATCH_CONTROL] = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (bind(fds[WATCH_CONTROL], (struct sockaddr *)&un, sizeof un) < 0)
			die("%s", control);
	}
	if (tick_ns)
		slack_ns = tick_ns / 2;
	start_ns = now_ns();
	errno = 0;
	for (int i = 0; i < starts; i++)
		if (!command(start[i], out))
			die("%s", out[0] ? out : start[i]);
	printf("READY mono=%.6f\n", (double)start_ns / 1e9);
	fflush(stdout);
	loop(fds);
	stat_print(out, sizeof out);
	fputs(out, stdout);
	if (control)
		unlink(control);
	return 0;
}
