/* SPDX-License-Identifier: MIT */
/* The runner: verdicts, lines, files. The kinds of lines are in words.c, settings.c, segments.c, application.c, looks.c. */
#include "tests/script/runner.h"

#include <libgen.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct place here;

enum { OK = 0, FAILED = 1, KNOWN_BUG = 3, SECONDS_MAX = 20 };

static bool bug_expected;     /* the line we are on, or the next one, is marked expect-bug */
static char bug_reason[128];
static unsigned rfc_lines;
unsigned checks;
usec_t base;
static char *line_text;       /* as it stands in the file */

/* --- verdicts --- */

static void say(const char *format, va_list args)
{
	fprintf(stderr, "%s:%u: ", here.file, here.line);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

void bad_script(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "in the script itself: ");
	say(format, args);
	va_end(args);
	_exit(FAILED);
}

static void also_sent(void)
{
	for (unsigned i = 0; i < w.pending_count; i++) {
		const struct pending *p = w.pending[i];
		struct seg_line l;
		unsigned sub = 0;

		while (sub < SUBS - 1 && (!w.subs[sub].bound || w.subs[sub].local_port != p->local_port ||
					  w.subs[sub].remote_port != p->remote_port || w.subs[sub].path != p->path))
			sub++;
		segment_seen(p, sub, &l);
		fprintf(stderr, "\talso sent:   at %.6f s%u > ", (double)p->at / 1e6, sub + 1);
		segment_print_line(&l, stderr);
		fputc('\n', stderr);
	}
	for (unsigned i = 0; i < w.told_count; i++)
		fprintf(stderr, "\talso told:   at %.6f c%u tells %s (%s)\n", (double)w.told[i].at / 1e6, w.told[i].conn + 1,
			told_name(w.told[i].kind), open_result_text(w.told[i].why));
}

void fail(const char *format, ...)
{
	static bool again;
	va_list args;

	if (bug_expected) {
		printf("known bug: %s:%u: %s\n", here.file, here.line, bug_reason);
		fflush(stdout);
		_exit(KNOWN_BUG);
	}
	va_start(args, format);
	say(format, args);
	va_end(args);
	if (line_text)
		fprintf(stderr, "\tthe line:    %s\n", line_text);
	if (!again) {
		again = true;
		also_sent();
	}
	_exit(FAILED);
}

/* --- lines --- */

static void command(unsigned conn, unsigned sub, struct when when, char *what, char *rest)
{
	if (!strcmp(what, "options"))
		call_options(conn, rest);
	else if (!strcmp(what, "connect"))
		call_connect(conn, rest);
	else if (!strcmp(what, "dialled"))
		call_dialled(conn, rest);
	else if (!strcmp(what, "write"))
		call_write(conn, rest);
	else if (!strcmp(what, "read"))
		call_read(conn, rest);
	else if (!strcmp(what, "readable"))
		call_readable(conn, rest);
	else if (!strcmp(what, "shutdown"))
		tell_engine(EV_SHUTDOWN, conn, what);
	else if (!strcmp(what, "abort"))
		tell_engine(EV_ABORT, conn, what);
	else if (!strcmp(what, "path"))
		call_path(rest);
	else if (!strcmp(what, "fault"))
		call_fault(rest);
	else if (!strcmp(what, "conn"))
		check_conn(conn, rest);
	else if (!strcmp(what, "sub"))
		check_sub(sub, rest);
	else if (!strcmp(what, "engine"))
		check_engine(rest);
	else if (!strcmp(what, "counter"))
		check_counter(rest);
	else if (!strcmp(what, "quiet"))
		checks++, world_nothing_pending(USEC_NEVER);
	else
		bad_script("nothing is named \"%s\"", what);
	(void)when;
}

/* "+0.2", "+0.2~0.3", "*": when, from the line before. */
static struct when time_read(char **rest)
{
	struct when t = { .from = base, .to = base };
	char *p = *rest, *end;

	if (*p == '*') {
		t.any = true;
		*rest = p + 1;
	} else if (*p == '+') {
		t.from = t.to = base + seconds(p + 1, &end);
		if (*end == '~')
			t.to = base + seconds(end + 1, &end);
		*rest = end;
	}
	*rest += strspn(*rest, " \t");
	return t;
}

static void run_file(const char *path, bool included);

static void timed_line(char *text)
{
	struct when when = time_read(&text);
	unsigned conn = 0, sub = 0;
	char *what = word_needed(&text, "what happens");

	while ((what[0] == 's' || what[0] == 'c') && what[1] >= '1' && what[1] <= '9') {
		unsigned n = (unsigned)number(what + 1) - 1;

		if (n >= (what[0] == 's' ? SUBS : CONNS))
			bad_script("no such: %s", what);
		*(what[0] == 's' ? &sub : &conn) = n;
		what = word_needed(&text, "what happens");
	}
	if (!strcmp(what, ">")) {
		expect_segment(sub, when, text);
		return;
	}
	if (!strcmp(what, "tells")) {
		expect_told(conn, when, text);
		return;
	}
	if (!strcmp(what, "is")) {
		declare_sub(sub, text);
		return;
	}
	if (when.any || when.from != when.to)
		bad_script("only what is expected can have a time that is not certain");
	world_run(when.to);
	base = when.to;
	world_nothing_pending(base > w.tolerance ? base - w.tolerance : 0);
	if (!strcmp(what, "<"))
		give_segment(sub, text);
	else
		command(conn, sub, when, what, text);
}

static void one_line(char *text)
{
	char original[LINE_LENGTH_MAX], *comment = strstr(text, "//");
	bool was_bug = bug_expected;

	if (comment)
		*comment = 0;
	for (size_t n = strlen(text); n && strchr(" \t\n", text[n - 1]); n--)
		text[n - 1] = 0;
	text += strspn(text, " \t");
	if (!*text)
		return;
	snprintf(original, sizeof original, "%s", text);
	line_text = original;
	if (!strncmp(text, "rfc ", 4)) {
		rfc_lines++;
		return;
	}
	if (!strncmp(text, "set ", 4)) {
		set(text + 4);
		return;
	}
	if (!strncmp(text, "include ", 8)) {
		char path[512], dir[256];

		snprintf(dir, sizeof dir, "%s", here.file);
		snprintf(path, sizeof path, "%s/%s", dirname(dir), text + 8);
		run_file(path, true);
		return;
	}
	if (!strncmp(text, "expect-bug", 10)) {
		bug_expected = true;
		snprintf(bug_reason, sizeof bug_reason, "%s", text + 10 + strspn(text + 10, " "));
		return;
	}
	if (!w.e)
		world_start();
	timed_line(text);
	if (was_bug) {
		bug_expected = false;
		fail("this was marked as a known bug, and it works now: take the expect-bug line out");
	}
}

static void run_file(const char *path, bool included)
{
	struct place before = here;
	char text[LINE_LENGTH_MAX];
	FILE *f = fopen(path, "r");

	if (!f) {
		if (included)
			bad_script("%s cannot be opened", path);
		perror(path);
		_exit(FAILED);
	}
	here = (struct place){ .file = path };
	while (fgets(text, sizeof text, f)) {
		here.line++;
		if (!strchr(text, '\n') && !feof(f))
			bad_script("the line is too long");
		one_line(text);
	}
	fclose(f);
	if (!included) {
		line_text = NULL;
		if (w.e) {
			world_run(w.now);
			world_nothing_pending(USEC_NEVER);
		}
		if (!checks)
			bad_script("it expects nothing");
		if (!rfc_lines)
			bad_script("it does not say which section it holds (\"rfc 8684 3.1\")");
		if (bug_expected)
			bad_script("expect-bug without a line after it");
		world_end();
	} else {
		here = before;
	}
}

static int run_script(const char *path, bool sealed)
{
	alarm(SECONDS_MAX);
	w = (struct world){
		.tolerance = 4000, .paths = 1, .mtu = 1472, .path_family = 4, .peer_iss = 0x11000000, .seed = 1, .listen_port = 80,
		.peer_key = UINT64_C(0x0102030405060708),
		.config = { .connections_max = 16, .paths_max = 16, .form = sealed ? SEGMENT_SEALED : SEGMENT_PLAIN },
		.translated = sealed,
	};
	run_file(path, false);
	return OK;
}

/* A script of self/ begins with "// fails at LINE: TEXT": it must, with that text in the message. */
static bool fails_as_said(const char *path, const char *out)
{
	char first[256], wanted[512], *text;
	FILE *f = fopen(path, "r");
	unsigned line;
	int at = 0;

	if (!f || !fgets(first, sizeof first, f) || sscanf(first, "// fails at %u: %n", &line, &at) != 1 || !at) {
		fprintf(stderr, "%s: its first line does not say how it fails\n", path);
		return false;
	}
	fclose(f);
	text = first + at;
	text[strcspn(text, "\n")] = 0;
	snprintf(wanted, sizeof wanted, "%s:%u: ", path, line);
	if (strstr(out, wanted) && strstr(strstr(out, wanted), text))
		return true;
	fprintf(stderr, "%s: should fail at line %u with \"%s\", but says:\n%s\n", path, line, text, out);
	return false;
}

int main(int argc, char **argv)
{
	unsigned passed = 0, failed = 0, known = 0;
	bool self = false, sealed = false;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		int status, pipe_fd[2];
		char out[8192] = "";
		pid_t pid;

		if (!strcmp(argv[i], "--self")) {
			self = true;
			continue;
		}
		if (!strcmp(argv[i], "--sealed")) {
			sealed = true;
			continue;
		}
		if (pipe(pipe_fd))
			return 2;
		pid = fork();
		if (pid < 0)
			return 2;
		if (!pid) {
			if (self)
				dup2(pipe_fd[1], 2);
			close(pipe_fd[0]);
			close(pipe_fd[1]);
			exit(run_script(argv[i], sealed));
		}
		close(pipe_fd[1]);
		for (size_t at = 0; self && at < sizeof out - 1;) {
			ssize_t n = read(pipe_fd[0], out + at, sizeof out - 1 - at);

			if (n <= 0)
				break;
			at += (size_t)n;
		}
		close(pipe_fd[0]);
		waitpid(pid, &status, 0);
		if (WIFSIGNALED(status))
			fprintf(stderr, "%s: ended by signal %d\n", argv[i], WTERMSIG(status));
		if (self && WIFEXITED(status) && WEXITSTATUS(status) == FAILED && fails_as_said(argv[i], out))
			passed++;
		else if (!self && WIFEXITED(status) && WEXITSTATUS(status) == OK)
			passed++;
		else if (!self && WIFEXITED(status) && WEXITSTATUS(status) == KNOWN_BUG)
			known++;
		else
			failed++;
		if (self && WIFEXITED(status) && WEXITSTATUS(status) != FAILED)
			fprintf(stderr, "%s: did not fail\n", argv[i]);
	}
	if (known)
		printf("%u known bugs\n", known);
	printf("%s: %u passed, %u failed\n", self ? "script self-test" : sealed ? "script, sealed" : "script", passed, failed);
	return failed != 0;
}
