/* SPDX-License-Identifier: MIT */
/* tunneld's arguments. */
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "tunneld/config/config.h"
#include "tunneld/daemon/daemon.h"
#include "tunneld/io/log.h"

static const char usage[] =
	"usage: tunneld -c FILE          run in the foreground, log on stderr\n"
	"       tunneld --check -c FILE  say what is wrong with FILE; exit 0 or 1\n"
	"       tunneld --version | --help\n"
	"\n"
	"SIGTERM, SIGINT  end: streams have 5 s; a second signal ends at once\n"
	"SIGHUP           read FILE again: clients, egress, bypass, paths and plain form change under way\n"
	"PLAIT_LOG        error, warn, info (default), debug\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config",  required_argument, NULL, 'c' },
		{ "check",   no_argument,       NULL, 'k' },
		{ "version", no_argument,       NULL, 'V' },
		{ "help",    no_argument,       NULL, 'h' },
		{ 0 },
	};
	const char *file = NULL, *level = getenv("PLAIT_LOG");
	struct config *config;
	bool check = false;
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			file = optarg;
			break;
		case 'k':
			check = true;
			break;
		case 'V':
			puts("tunneld (plait) " PLAIT_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (!file || optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	if (level && !log_level_set(level))
		fprintf(stderr, "tunneld: PLAIT_LOG=%s is no level; info it is\n", level);
	if (sodium_init() < 0) {
		fputs("tunneld: libsodium does not start\n", stderr);
		return 1;
	}
	config = config_read(file, stderr);
	if (!config)
		return 1;
	if (check) {
		config_free(config);
		return 0;
	}
	return daemon_run(config, file);
}
