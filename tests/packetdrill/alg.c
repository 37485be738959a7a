/* SPDX-License-Identifier: MIT */
/*
 * The kernel's hash sockets, AF_ALG, as far as packetdrill's MPTCP fork needs them: SHA-256 and its HMAC, for keys and tokens; SHA-1 for those of version 0. Many
 * kernels have none. For who preloads this object, too: LD_PRELOAD=packetdrill-plait.so; every other socket goes to the kernel as is.
 */
#include "common/bytes.h"

#include <errno.h>
#include <linux/if_alg.h>
#include <sodium/crypto_auth_hmacsha256.h>
#include <sodium/crypto_hash_sha256.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

enum { ALG_FDS = 16, KEY_MAX = 128 };

/* --- SHA-1, FIPS 180-4 6.1; of one message of at most 119 bytes: keys have 8 --- */

enum { SHA1_MAX = 119 };

static uint32_t rol(uint32_t v, unsigned n) { return v << n | v >> (32 - n); }

static void sha1_block(uint32_t h[5], const unsigned char *block)
{
	uint32_t w[80] = { 0 }, a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (unsigned i = 0; i < 80; i++) {
		uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
		uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6, t;

		w[i] = i < 16 ? be_get32(block + 4 * i) : rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
		t = rol(a, 5) + f + e + k + w[i];
		e = d, d = c, c = rol(b, 30), b = a, a = t;
	}
	h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

static void sha1(const unsigned char *in, size_t len, unsigned char out[20])
{
	uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
	unsigned char blocks[128] = { 0 };
	size_t padded = len < 56 ? 64 : 128;

	memcpy(blocks, in, len);
	blocks[len] = 0x80;
	be_put32(blocks + padded - 4, (uint32_t)len * 8);
	for (size_t at = 0; at < padded; at += 64)
		sha1_block(h, blocks + at);
	for (unsigned i = 0; i < 5; i++)
		be_put32(out + 4 * i, h[i]);
}

/* One such socket, or what was accepted of it. One thread uses them. */
static struct alg {
	int fd;                  /* 0: free */
	enum { SHA256, HMAC_SHA256, SHA1 } kind;
	unsigned char message[SHA1_MAX];
	size_t message_len;
	unsigned char key[KEY_MAX];
	size_t key_len;
	crypto_hash_sha256_state hash;
	crypto_auth_hmacsha256_state mac;
} algs[ALG_FDS];

static struct alg *alg_of(int fd)
{
	for (unsigned i = 0; fd > 0 && i < ALG_FDS; i++)
		if (algs[i].fd == fd)
			return &algs[i];
	return NULL;
}

static struct alg *alg_new(void)
{
	for (unsigned i = 0; i < ALG_FDS; i++)
		if (!algs[i].fd) {
			algs[i] = (struct alg){ .fd = eventfd(0, EFD_CLOEXEC) };
			return algs[i].fd > 0 ? &algs[i] : NULL;
		}
	errno = EMFILE;
	return NULL;
}

PUBLIC int socket(int domain, int type, int protocol)
{
	struct alg *a;

	if (domain != AF_ALG)
		return (int)syscall(SYS_socket, domain, type, protocol);
	a = alg_new();
	return a ? a->fd : -1;
}

PUBLIC int bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	static const char *const names[] = { [SHA256] = "sha256", [HMAC_SHA256] = "hmac(sha256)", [SHA1] = "sha1" };
	struct alg *a = alg_of(fd);
	struct sockaddr_alg name;

	if (!a)
		return (int)syscall(SYS_bind, fd, sa, len);
	if (len < sizeof name) {
		errno = EINVAL;
		return -1;
	}
	memcpy(&name, sa, sizeof name);
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (!strncmp((const char *)name.salg_name, names[i], sizeof name.salg_name)) {
			a->kind = i;
			return 0;
		}
	errno = ENOENT;
	return -1;
}

PUBLIC int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	struct alg *a = alg_of(fd);

	if (!a)
		return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
	if (name != ALG_SET_KEY || len > sizeof a->key) {
		errno = EINVAL;
		return -1;
	}
	memcpy(a->key, value, len);
	a->key_len = len;
	return 0;
}

PUBLIC int accept(int fd, struct sockaddr *sa, socklen_t *len)
{
	struct alg *of = alg_of(fd), *a;

	if (!of)
		return (int)syscall(SYS_accept, fd, sa, len);
	a = alg_new();
	if (!a)
		return -1;
	a->kind = of->kind;
	crypto_hash_sha256_init(&a->hash);
	crypto_auth_hmacsha256_init(&a->mac, of->key, of->key_len);
	return a->fd;
}

PUBLIC ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	struct alg *a = alg_of(fd);

	if (!a)
		return syscall(SYS_sendto, fd, buf, n, flags, NULL, 0);
	if (n > sizeof a->message - a->message_len && a->kind == SHA1) {
		errno = EMSGSIZE;
		return -1;
	}
	if (a->kind == SHA1) {
		memcpy(a->message + a->message_len, buf, n);
		a->message_len += n;
	}
	crypto_hash_sha256_update(&a->hash, buf, n);
	crypto_auth_hmacsha256_update(&a->mac, buf, n);
	return (ssize_t)n;
}

PUBLIC ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	struct alg *a = alg_of(fd);
	unsigned char out[32];
	size_t most;

	if (!a)
		return syscall(SYS_recvfrom, fd, buf, n, flags, NULL, NULL);
	if (a->kind == SHA1)
		sha1(a->message, a->message_len, out);
	else if (a->kind == HMAC_SHA256)
		crypto_auth_hmacsha256_final(&a->mac, out);
	else
		crypto_hash_sha256_final(&a->hash, out);
	most = a->kind == SHA1 ? 20 : sizeof out;
	n = n < most ? n : most;
	memcpy(buf, out, n);
	return (ssize_t)n;
}

PUBLIC int close(int fd)
{
	struct alg *a = alg_of(fd);

	if (a)
		a->fd = 0;
	return (int)syscall(SYS_close, fd);
}
