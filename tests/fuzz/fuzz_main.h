/* SPDX-License-Identifier: MIT */
/*
 * A main() for LLVMFuzzerTestOneInput() where libFuzzer is not linked (gcc), so that the same file is a fuzzer,
 * a replayer and a short random test:
 *
 *	fuzz_x FILE...                 replays files, as libFuzzer does
 *	fuzz_x [-seed=N] [-runs=N | -max_total_time=SECONDS]
 *	                               runs random inputs; each is its seed, and a death names the one that did it
 *	fuzz_x -seed=N -write=FILE     writes that input, for the corpus
 *
 * `make fuzz-libfuzzer` builds the real thing (clang, -DPLAIT_LIBFUZZER -fsanitize=fuzzer). The includer also gives fuzz_generate(), which
 * makes an input worth trying from a seed.
 */
#ifndef PLAIT_FUZZ_MAIN_H
#define PLAIT_FUZZ_MAIN_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* splitmix64: every seed, also a small one, starts a stream of its own. */
static inline uint64_t fuzz_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

#ifndef PLAIT_LIBFUZZER
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FUZZ_INPUT_MAX = 2048 };

/* Fills at most FUZZ_INPUT_MAX bytes and says how many. */
static size_t fuzz_generate(uint64_t seed, uint8_t *bytes);

static const char *fuzz_name;
static char fuzz_now[64];
static volatile sig_atomic_t fuzz_time_is_up;

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__asan_default_options(void) { return "abort_on_error=1"; }
const char *__ubsan_default_options(void) { return "halt_on_error=1:abort_on_error=1:print_stacktrace=1"; }

static void fuzz_say(const char *s)
{
	if (write(2, s, strlen(s)) < 0)
		_exit(2);
}

static void fuzz_died(int sig)
{
	fuzz_say("\nreplay: ");
	fuzz_say(fuzz_name);
	fuzz_say(" ");
	fuzz_say(fuzz_now);
	fuzz_say("\n");
	signal(sig, SIG_DFL);
	raise(sig);
}

static void fuzz_rang(int sig)
{
	(void)sig;
	fuzz_time_is_up = 1;
}

/* The input on the heap at its very size, so that ASan sees one byte too far. */
static void fuzz_one(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);

	if (!exact)
		exit(2);
	if (len)
		memcpy(exact, bytes, len);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
}

static int fuzz_replay(const char *path)
{
	static uint8_t bytes[1 << 20];
	FILE *f = fopen(path, "rb");
	size_t len;

	if (!f) {
		perror(path);
		return 1;
	}
	len = fread(bytes, 1, sizeof bytes, f);
	fclose(f);
	snprintf(fuzz_now, sizeof fuzz_now, "%s", path);
	fuzz_one(bytes, len);
	return 0;
}

static int fuzz_write(uint64_t seed, const char *path)
{
	uint8_t bytes[FUZZ_INPUT_MAX];
	size_t len = fuzz_generate(seed, bytes);
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(bytes, 1, len, f) != len || fclose(f)) {
		perror(path);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, runs = 100000, ran;
	int files = 0, failed = 0;

	fuzz_name = argv[0];
	signal(SIGABRT, fuzz_died);
	signal(SIGSEGV, fuzz_died);
	for (int i = 1; i < argc; i++) {
		if (!strncmp(argv[i], "-seed=", 6)) {
			seed = strtoull(argv[i] + 6, NULL, 10);
		} else if (!strncmp(argv[i], "-runs=", 6)) {
			runs = strtoull(argv[i] + 6, NULL, 10);
		} else if (!strncmp(argv[i], "-write=", 7)) {
			return fuzz_write(seed, argv[i] + 7);
		} else if (!strncmp(argv[i], "-max_total_time=", 16)) {
			runs = UINT64_MAX;
			signal(SIGALRM, fuzz_rang);
			alarm((unsigned)strtoul(argv[i] + 16, NULL, 10));
		} else if (argv[i][0] == '-') {
			fprintf(stderr, "usage: %s [-seed=N] [-runs=N | -max_total_time=SECONDS | -write=FILE] [FILE...]\n", argv[0]);
			return 2;
		} else {
			files++;
			failed |= fuzz_replay(argv[i]);
		}
	}
	if (files) {
		printf("%s: %d files replayed\n", argv[0], files);
		return failed;
	}
	for (ran = 0; ran < runs && !fuzz_time_is_up; ran++) {
		uint8_t bytes[FUZZ_INPUT_MAX];

		snprintf(fuzz_now, sizeof fuzz_now, "-seed=%" PRIu64 " -runs=1", seed + ran);
		fuzz_one(bytes, fuzz_generate(seed + ran, bytes));
	}
	printf("%s: %" PRIu64 " runs from seed %" PRIu64 "\n", argv[0], ran, seed);
	return 0;
}
#endif

#endif
