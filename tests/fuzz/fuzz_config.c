/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as tunneld's file. What must hold: it is read or refused, a refusal says why on lines of its own, and nothing
 * leaks. "@" in the text stands for a key file that can be read.
 */
#include "tests/fuzz/fuzz_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tunneld/config/config.h"

#define HOLDS(what) do { if (!(what)) abort(); } while (0)

static int file_of(const char *name, const void *bytes, size_t len)
{
	int fd = memfd_create(name, 0);

	HOLDS(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const char key[] = "Y5jJd+uOScWIkGZ1o5NoAWS31z8ZYWsh0UxR6VxbjjY=\n";
	char path[64], key_path[64], *said = NULL, *text = malloc(len * sizeof key_path + 1);
	size_t said_len = 0, n = 0;
	FILE *complaints = open_memstream(&said, &said_len);
	int key_fd = file_of("key", key, sizeof key - 1), fd;
	struct config *c;

	HOLDS(text && complaints);
	snprintf(key_path, sizeof key_path, "/proc/self/fd/%d", key_fd);
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '@') {
			memcpy(text + n, key_path, strlen(key_path));
			n += strlen(key_path);
		} else {
			text[n++] = (char)bytes[i];
		}
	}
	fd = file_of("config", text, n);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	c = config_read(path, complaints);
	fclose(complaints);
	HOLDS(c || (said_len && said[said_len - 1] == '\n'));
	if (c) {
		HOLDS(c->gateway || c->client || c->plain_listen_count);
		HOLDS(c->connections_max && c->memory_bytes && c->status_socket);
		config_free(c);
	}
	free(said);
	free(text);
	close(fd);
	close(key_fd);
	return 0;
}

#ifndef PLAIT_LIBFUZZER
/* A file that is right, with a piece taken out, doubled, or put in place of another. */
static size_t fuzz_generate(uint64_t seed, uint8_t *bytes)
{
	static const char good[] =
		"{ \"private_key_file\": \"@\", \"gateway\": { \"listen\": [\"127.0.0.1:4500\", \"[::1]:4500\"], \"clients\": [ {"
		" \"name\": \"laptop\", \"public_key\": \"gGTzBZL1zLoZQ0PMFVPuYvMdAQnhPeuJ0lxJgwRMGFM=\" } ], \"egress\": { \"allow\": ["
		"\"10.0.0.0/8\"], \"deny\": [] } }, \"client\": { \"socket\": \"/tmp/s\", \"gateways\": [ { \"name\": \"vps\", \"public_key\": "
		"\"gGTzBZL1zLoZQ0PMFVPuYvMdAQnhPeuJ0lxJgwRMGFM=\", \"addresses\": [\"192.0.2.1:4500\"] } ], \"paths\": [ { \"name\": \"a\","
		" \"interface\": \"lo\", \"backup\": true } ], \"bypass\": [\"127.0.0.0/8\"] }, \"plain\": { \"connect\": [ { \"to\": "
		"\"10.1.0.0/16\" } ], \"listen\": [ { \"address\": \"10.0.0.1:8080\", \"forward\": \"127.0.0.1:80\" } ] }, \"transport\": { "
		"\"congestion\": \"cubic\", \"fastclose\": \"rst\", \"checksum\": false, \"uperf_timeout_ms\": 0 }, \"limits\": { "
		"\"connections\": 100, \"memory_bytes\": 100000000 }, \"status\": { \"http\": \"127.0.0.1:9777\" } }";
	static const char *const bits[] = { "{", "}", "[", "]", ",", ":", "\"", "null", "true", "-1", "1e99", "\"\"", "\\u0000", "4294967296", "0" };
	size_t len = sizeof good - 1, changes = fuzz_random(&seed) % 4;

	memcpy(bytes, good, len);
	while (changes--) {
		size_t at = fuzz_random(&seed) % len, gone = fuzz_random(&seed) % 12;
		const char *bit = bits[fuzz_random(&seed) % (sizeof bits / sizeof *bits)];
		size_t put = fuzz_random(&seed) & 1 ? strlen(bit) : 0;

		if (gone > len - at)
			gone = len - at;
		memmove(bytes + at + put, bytes + at + gone, len - at - gone);
		memcpy(bytes + at, bit, put);
		len = len - gone + put;
	}
	return len;
}
#endif
