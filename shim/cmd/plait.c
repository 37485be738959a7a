/* SPDX-License-Identifier: MIT */
#include "shim/cmd/plait.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
	"usage: plait run [--preload | --trap] [--] CMD [ARG...]\n"
	"                                              run CMD with its TCP connections carried by "
	"tunneld\n"
	"       plait status [--json]                  what tunneld does: paths, connections, faults\n"
	"       plait events                           what happens, one JSON object a line\n"
	"       plait capture -w FILE [-s BYTES]       segments as pcapng, until interrupted\n"
	"       plait genkey                           a new private key on stdout (its public key "
	"on stderr)\n"
	"       plait pubkey                           the public key of the private key on stdin\n"
	"       plait --version | --help               see plait(1)\n";

static const struct verb {
	const char *name;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{ "run",    cmd_run    },
	{ "status", cmd_status },
	{ "events", cmd_events },
	{ "capture", cmd_capture },
	{ "genkey", cmd_genkey },
	{ "pubkey", cmd_pubkey },
};

int complain(int status, const char *format, ...)
{
	va_list args;

	fputs("plait: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	if (!strcmp(word, "--version")) {
		puts("plait " PLAIT_VERSION);
		return 0;
	}
	if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
		fputs(usage, stdout);
		return 0;
	}
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (!strcmp(word, verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	if (*word)
		complain(2, "there is no \"%s\"", word);
	fputs(usage, stderr);
	return 2;
}
