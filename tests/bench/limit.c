/* SPDX-License-Identifier: MIT */
/*
 * limit: what a sealed (or plain) UDP tunnel costs when the transport itself costs nothing.
 *
 *   source --TCP loopback--> encoder --UDP GSO over a veth--> decoder --TCP loopback--> sink
 *
 * The encoder cuts the stream into SEG-byte segments, seals each with AES-256-GCM (libsodium) and sends
 * them 44 to a sendmsg(UDP_SEGMENT); the decoder receives with UDP_GRO, opens each and writes them out.
 * No sequence numbers, no acknowledgements, no congestion control: flow control is a counter in shared
 * memory. A real tunnel does this work and more, so its CPU seconds per GB over this figure is how far it
 * stands from the limit of this design on this machine, measured in the same run.
 *
 * usage: limit NS_A NS_B ADDR_B sealed|plain MEGABYTES [chacha]
 *   NS_A, NS_B: names under /run/netns joined by a veth; ADDR_B: NS_B's IPv4 address.
 * prints one JSON line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { SEG = 1372, TAG = 16, BURST = 44, WINDOW = 4 << 20 };

struct shared {
	volatile uint64_t sent, received;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
static double machine_cpu(void)
{
	FILE *f = fopen("/proc/stat", "r");
	long u, n, s, id, io, irq, sirq;
	if (!f || fscanf(f, "cpu %ld %ld %ld %ld %ld %ld %ld", &u, &n, &s, &id, &io, &irq, &sirq) != 7)
		exit(1);
	fclose(f);
	return (double)(u + n + s + irq + sirq) / (double)sysconf(_SC_CLK_TCK);
}
static void enter(const char *name)
{
	char p[128];
	snprintf(p, sizeof p, "/run/netns/%s", name);
	int fd = open(p, O_RDONLY);
	if (fd < 0 || setns(fd, CLONE_NEWNET)) {
		perror(p);
		exit(1);
	}
	close(fd);
}
static void tcp_pair(int out[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(l, (void *)&a, n) || listen(l, 1) || getsockname(l, (void *)&a, &n)) {
		perror("tcp_pair");
		exit(1);
	}
	out[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(out[0], (void *)&a, n)) {
		perror("connect");
		exit(1);
	}
	out[1] = accept(l, 0, 0);
	close(l);
}
int main(int c, char **v)
{
	if (c < 6 || sodium_init() < 0) {
		fprintf(stderr, "usage: limit NS_A NS_B ADDR_B sealed|plain MEGABYTES [chacha]\n");
		return 2;
	}
	int sealed = !strcmp(v[4], "sealed"), chacha = c > 6;
	uint64_t total = (uint64_t)atoll(v[5]) << 20;
	struct shared *sh = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	static unsigned char key[32];
	crypto_aead_aes256gcm_state aes;
	crypto_aead_aes256gcm_beforenm(&aes, key);
	int in[2], out[2], big = 16 << 20, one = 1;
	enter(v[2]);
	system("ip link set lo up");
	int ur = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7779)};
	if (bind(ur, (void *)&a, sizeof a)) {
		perror("bind");
		return 1;
	}
	setsockopt(ur, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big);
	setsockopt(ur, IPPROTO_UDP, UDP_GRO, &one, sizeof one);
	struct timeval tv = {1, 0};
	setsockopt(ur, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	tcp_pair(out);
	enter(v[1]);
	system("ip link set lo up");
	int us = socket(AF_INET, SOCK_DGRAM, 0);
	inet_pton(AF_INET, v[3], &a.sin_addr);
	if (connect(us, (void *)&a, sizeof a)) {
		perror("udp connect");
		return 1;
	}
	setsockopt(us, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof big);
	tcp_pair(in);
	double c0 = machine_cpu(), t0 = now();
	if (!fork()) { /* source */
		static char b[1 << 18];
		uint64_t n = 0;
		close(in[1]);
		while (n < total) {
			uint64_t w = total - n < sizeof b ? total - n : sizeof b;
			ssize_t k = write(in[0], b, w);
			if (k <= 0)
				_exit(1);
			n += (uint64_t)k;
		}
		_exit(0);
	}
	if (!fork()) { /* encoder */
		static unsigned char b[SEG * BURST], d[(SEG + TAG) * BURST];
		unsigned char n12[12] = {0};
		uint64_t ctr = 0;
		ssize_t k;
		close(in[0]);
		while ((k = recv(in[1], b, sizeof b, 0)) > 0) {
			size_t used = 0, seg = SEG + (sealed ? TAG : 0);
			for (size_t o = 0; o < (size_t)k; o += SEG) {
				size_t m = (size_t)k - o < SEG ? (size_t)k - o : SEG;
				unsigned long long cl = m;
				if (!sealed)
					memcpy(d + used, b + o, m);
				else {
					memcpy(n12, &ctr, 8);
					ctr++;
					if (chacha)
						crypto_aead_chacha20poly1305_ietf_encrypt(d + used, &cl, b + o, m, 0, 0,
											  0, n12, key);
					else
						crypto_aead_aes256gcm_encrypt_afternm(d + used, &cl, b + o, m, 0, 0, 0,
										      n12, &aes);
				}
				used += cl;
			}
			while (sh->sent - sh->received > WINDOW)
				usleep(20);
			struct iovec io = {d, used};
			char cm[CMSG_SPACE(sizeof(uint16_t))] = {0};
			struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
			if (used > seg) {
				m.msg_control = cm;
				m.msg_controllen = sizeof cm;
				struct cmsghdr *h = CMSG_FIRSTHDR(&m);
				h->cmsg_level = IPPROTO_UDP;
				h->cmsg_type = UDP_SEGMENT;
				h->cmsg_len = CMSG_LEN(2);
				uint16_t s = (uint16_t)seg;
				memcpy(CMSG_DATA(h), &s, 2);
			}
			while (sendmsg(us, &m, 0) < 0) {
				if (errno != ENOBUFS && errno != EAGAIN) {
					perror("sendmsg");
					_exit(1);
				}
				usleep(20);
			}
			sh->sent += (uint64_t)k;
		}
		_exit(0);
	}
	if (!fork()) { /* decoder: datagrams arrive in order here, so the nonce is a counter on both sides */
		static unsigned char b[1 << 16], p[1 << 16];
		unsigned char n12[12] = {0};
		uint64_t ctr = 0, got = 0;
		close(out[1]);
		while (got < total) {
			struct iovec io = {b, sizeof b};
			char cm[64];
			struct msghdr m = {
			    .msg_iov = &io, .msg_iovlen = 1, .msg_control = cm, .msg_controllen = sizeof cm};
			ssize_t k = recvmsg(ur, &m, 0);
			if (k <= 0) {
				perror("recv");
				_exit(1);
			}
			int gs = (int)k;
			for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
				if (h->cmsg_level == IPPROTO_UDP && h->cmsg_type == UDP_GRO)
					memcpy(&gs, CMSG_DATA(h), sizeof gs);
			size_t used = 0;
			for (ssize_t o = 0; o < k; o += gs) {
				size_t l = (size_t)(k - o < gs ? k - o : gs);
				unsigned long long ml = l;
				if (!sealed)
					memcpy(p + used, b + o, l);
				else {
					memcpy(n12, &ctr, 8);
					ctr++;
					int bad = chacha ? crypto_aead_chacha20poly1305_ietf_decrypt(
							       p + used, &ml, 0, b + o, l, 0, 0, n12, key)
							 : crypto_aead_aes256gcm_decrypt_afternm(
							       p + used, &ml, 0, b + o, l, 0, 0, n12, &aes);
					if (bad) {
						fprintf(stderr, "open failed at %llu: datagram lost\n",
							(unsigned long long)ctr);
						_exit(1);
					}
				}
				used += ml;
			}
			for (size_t w = 0; w < used;) {
				ssize_t r = write(out[0], p + w, used - w);
				if (r <= 0)
					_exit(1);
				w += (size_t)r;
			}
			got += used;
			sh->received = got;
		}
		_exit(0);
	}
	close(in[0]);
	close(in[1]);
	close(out[0]);
	static char b[1 << 18];
	uint64_t n = 0;
	ssize_t k;
	while (n < total && (k = read(out[1], b, sizeof b)) > 0)
		n += (uint64_t)k;
	double dt = now() - t0;
	int st, bad = 0;
	while (wait(&st) > 0)
		bad |= st;
	double cpu = machine_cpu() - c0, gb = (double)n / 1e9;
	printf("{\"mode\":\"%s%s\",\"bytes\":%llu,\"gbit_s\":%.3f,\"machine_cpu_s_per_gb\":%.3f,\"ok\":%s}\n", v[4],
	       chacha ? "-chacha" : "", (unsigned long long)n, gb * 8 / dt, cpu / gb,
	       bad || n < total ? "false" : "true");
	return bad || n < total;
}
