/* SPDX-License-Identifier: MIT */
#include "tests/probe/probe.h"

static const struct check *const families[] = {
	connect_checks, form_checks,	name_checks,   option_checks, event_checks,
	send_checks,	process_checks, signal_checks, end_checks,
};

static bool wanted(const char *name, int argc, char **argv)
{
	if (!argc)
		return true;
	for (int i = 0; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return false;
}

static int client(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t f = 0; f < sizeof families / sizeof *families; f++)
		for (const struct check *c = families[f]; c->name; c++) {
			if (!wanted(c->name, argc, argv))
				continue;
			say_nothing();
			c->run();
			printf("%s | %s\n", c->name, said());
		}
	return 0;
}

static int count(void)
{
	int n = 0;

	for (size_t f = 0; f < sizeof families / sizeof *families; f++)
		for (const struct check *c = families[f]; c->name; c++)
			n++;
	printf("%d\n", n);
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && !strcmp(argv[1], "peer")) {
		say("%s", echo(atoi(argv[2])));
		say_peer(atoi(argv[2]));
		fputs(said(), stdout);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "count"))
		return count();
	if (argc < 4 || inet_pton(AF_INET, argv[2], &server4.sin_addr) != 1 ||
	    inet_pton(AF_INET6, argv[3], &server6.sin6_addr) != 1) {
		fprintf(stderr, "usage: probe server|client ADDRESS4 ADDRESS6 [NAME...]\n");
		return 2;
	}
	if (!strcmp(argv[1], "server"))
		return server();
	return client(argc - 4, argv + 4);
}
