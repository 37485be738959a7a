/* SPDX-License-Identifier: MIT */
#include "shim/cmd/plait.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_BYTES = 32, KEY_TEXT_BYTES = 45 /* base64 and NUL */ };

static void print_key(FILE *to, const unsigned char key[KEY_BYTES])
{
	char text[KEY_TEXT_BYTES];

	sodium_bin2base64(text, sizeof text, key, KEY_BYTES, sodium_base64_VARIANT_ORIGINAL);
	fprintf(to, "%s\n", text);
	sodium_memzero(text, sizeof text);
}

static int print_end(void)
{
	return fflush(stdout) || ferror(stdout) ? complain(1, "the key could not be written") : 0;
}

/* The public key goes to stderr: `plait genkey >FILE` makes the file tunneld wants and still shows
 * what to tell the peer. */
int cmd_genkey(int argc, char **argv)
{
	unsigned char secret[KEY_BYTES], public_key[KEY_BYTES];
	struct stat st;
	int r;

	(void)argv;
	if (argc != 1)
		return complain(2, "usage: plait genkey >FILE");
	if (sodium_init() < 0)
		return complain(1, "libsodium does not start");
	if (!fstat(STDOUT_FILENO, &st) && S_ISREG(st.st_mode) && (st.st_mode & 077))
		complain(0, "warning: others may read the file the private key goes to (umask 077 "
			    "first)");
	randombytes_buf(secret, sizeof secret);
	/* Clamped as RFC 7748 5 says, so that the file holds what is computed with. */
	secret[0] &= 248;
	secret[31] = (unsigned char)((secret[31] & 127) | 64);
	if (crypto_scalarmult_base(public_key, secret))
		return complain(1, "no public key of it");
	print_key(stdout, secret);
	sodium_memzero(secret, sizeof secret);
	r = print_end();
	fputs("public_key: ", stderr);
	print_key(stderr, public_key);
	return r;
}

int cmd_pubkey(int argc, char **argv)
{
	unsigned char secret[KEY_BYTES], public_key[KEY_BYTES];
	char text[128];
	size_t n, got;

	(void)argv;
	if (argc != 1)
		return complain(2, "usage: plait pubkey <FILE");
	if (sodium_init() < 0)
		return complain(1, "libsodium does not start");
	n = fread(text, 1, sizeof text - 1, stdin);
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
		n--;
	if (sodium_base642bin(secret, sizeof secret, text, n, NULL, &got, NULL,
			      sodium_base64_VARIANT_ORIGINAL) ||
	    got != KEY_BYTES)
		return complain(1, "stdin is not a key: base64 of 32 bytes");
	sodium_memzero(text, sizeof text);
	got = (size_t)crypto_scalarmult_base(public_key, secret);
	sodium_memzero(secret, sizeof secret);
	if (got)
		return complain(1, "no public key of it");
	print_key(stdout, public_key);
	return print_end();
}
