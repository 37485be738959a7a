/* SPDX-License-Identifier: MIT */
/*
 * plait run: looks at what CMD is, puts libplait.so in front of LD_PRELOAD, puts itself under the
 * trap and becomes CMD. The library serves a program that it is in; the trap serves the rest:
 * static programs, Go, children with an environment of their own. A program that neither reaches
 * (setuid, another architecture) is refused: a silent direct connection is the worst answer.
 */
#include "shim/cmd/plait.h"
#include "shim/cmd/trap.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LIBRARY "libplait.so"

/* Where the library is: beside us (a build folder), or where `make install` puts it. */
static bool library_path(char out[PATH_MAX])
{
	static const char *const places[] = { "/" LIBRARY, "/../lib/" LIBRARY,
					      "/../lib/plait/" LIBRARY };
	char self[PATH_MAX], tried[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash;

	if (n <= 0)
		return false;
	self[n] = 0;
	slash = strrchr(self, '/');
	if (!slash)
		return false;
	*slash = 0;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		snprintf(tried, sizeof tried, "%s%s", self, places[i]);
		if (!access(tried, R_OK) && realpath(tried, out))
			return true;
	}
	return false;
}

/* What execvp() would run. False: errno. */
static bool find_command(const char *name, char out[PATH_MAX])
{
	const char *path = getenv("PATH"), *end;
	int error = ENOENT;

	if (strchr(name, '/')) {
		if (snprintf(out, PATH_MAX, "%s", name) >= PATH_MAX) {
			errno = ENAMETOOLONG;
			return false;
		}
		return !access(out, X_OK);
	}
	for (path = path ? path : "/usr/local/bin:/usr/bin:/bin"; ; path = end + 1) {
		struct stat st;

		end = strchrnul(path, ':');
		if (snprintf(out, PATH_MAX, "%.*s%s%s", (int)(end - path), path,
			     end > path ? "/" : "", name) < PATH_MAX &&
		    !stat(out, &st) && S_ISREG(st.st_mode)) {
			if (!access(out, X_OK))
				return true;
			error = EACCES;
		}
		if (!*end)
			break;
	}
	errno = error;
	return false;
}

enum program {
	PROGRAM_DYNAMIC,
	PROGRAM_STATIC,
	PROGRAM_GO,         /* dynamic, but its runtime makes system calls by itself */
	PROGRAM_FOREIGN,    /* ELF of another class or machine */
	PROGRAM_PRIVILEGED, /* setuid, setgid or file capabilities: the loader drops LD_PRELOAD */
	PROGRAM_SCRIPT,
	PROGRAM_UNKNOWN,    /* unreadable, or no ELF: the kernel may still know it */
};

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#endif

/* Go's linker leaves a note by the name of "Go" (its build id). */
static bool has_go_note(int fd, const Elf64_Phdr *ph)
{
	char notes[4096];
	ssize_t n = pread(fd, notes, ph->p_filesz < sizeof notes ? ph->p_filesz : sizeof notes,
			  (off_t)ph->p_offset);
	size_t at = 0, size = n > 0 ? (size_t)n : 0;

	while (at + sizeof(Elf64_Nhdr) + 4 <= size) {
		Elf64_Nhdr note;

		memcpy(&note, notes + at, sizeof note);
		if (note.n_namesz == 4 && !memcmp(notes + at + sizeof note, "Go\0", 4))
			return true;
		at += sizeof note + (((size_t)note.n_namesz + 3) & ~(size_t)3) +
		      (((size_t)note.n_descsz + 3) & ~(size_t)3);
	}
	return false;
}

static enum program elf_kind(int fd, const Elf64_Ehdr *h)
{
	bool dynamic = false, go = false;

	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_machine != OUR_MACHINE)
		return PROGRAM_FOREIGN;
	for (unsigned i = 0; i < h->e_phnum; i++) {
		Elf64_Phdr ph;

		if (pread(fd, &ph, sizeof ph, (off_t)(h->e_phoff + (uint64_t)i * h->e_phentsize)) !=
		    (ssize_t)sizeof ph)
			return PROGRAM_UNKNOWN;
		if (ph.p_type == PT_INTERP)
			dynamic = true;
		if (ph.p_type == PT_NOTE && has_go_note(fd, &ph))
			go = true;
	}
	return !dynamic ? PROGRAM_STATIC : go ? PROGRAM_GO : PROGRAM_DYNAMIC;
}

/* script: the interpreter of a #! line. */
static enum program look_at(const char *path, char script[PATH_MAX])
{
	union {
		Elf64_Ehdr elf;
		char text[256];
	} head = { .text = "" };
	enum program kind = PROGRAM_UNKNOWN;
	struct stat st;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return PROGRAM_UNKNOWN;
	n = pread(fd, &head, sizeof head - 1, 0);
	if (!fstat(fd, &st) && geteuid() != 0 &&
	    ((st.st_mode & S_ISUID && st.st_uid != geteuid()) ||
	     (st.st_mode & S_ISGID && st.st_gid != getegid()) ||
	     fgetxattr(fd, "security.capability", NULL, 0) > 0)) {
		kind = PROGRAM_PRIVILEGED;
	} else if (n >= (ssize_t)sizeof head.elf && !memcmp(head.elf.e_ident, ELFMAG, SELFMAG)) {
		kind = elf_kind(fd, &head.elf);
	} else if (n > 2 && !memcmp(head.text, "#!", 2)) {
		kind = sscanf(head.text + 2, " %255s", script) == 1 ? PROGRAM_SCRIPT
								    : PROGRAM_UNKNOWN;
	}
	close(fd);
	return kind;
}

/* In front of what is there: another preload keeps working, and ours answers first. */
static bool preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	char *both;
	bool done;

	if (!old || !*old)
		return !setenv("LD_PRELOAD", library, 1);
	if (strstr(old, library))
		return true;
	if (asprintf(&both, "%s:%s", library, old) < 0)
		return false;
	done = !setenv("LD_PRELOAD", both, 1);
	free(both);
	return done;
}

enum way {
	WAY_BOTH,    /* the library, and the trap beside it for whatever the library is not in */
	WAY_PRELOAD, /* --preload: the library alone */
	WAY_ABOVE,   /* --trap: both, with us as the parent, which no ptrace_scope forbids */
};

/* Also before an outer plait run: then the filter is there, and holds for us and all below us. */
static bool is_trapped(void)
{
	const char *mark = getenv("PLAIT_RUN");

	return mark && *mark;
}

/* What is left to do for a program that may run. Returns only if it could not. */
static int become(const char *path, char **argv, enum program kind, enum way way)
{
	bool needs_trap = kind == PROGRAM_STATIC || kind == PROGRAM_GO;
	int error;

	if (way == WAY_PRELOAD && needs_trap)
		return complain(126, "%s is %s: the library cannot enter it (run it without --preload)",
				path, kind == PROGRAM_GO ? "a Go program" : "statically linked");
	if (way == WAY_ABOVE && !is_trapped()) {
		setenv("PLAIT_RUN", "1", 1);
		return trap_run(path, argv);
	}
	if (way == WAY_BOTH && !is_trapped()) {
		error = trap_beside();
		setenv("PLAIT_RUN", "1", 1);
		if (error == EPERM) /* a ptrace_scope above 0 */
			return trap_run(path, argv);
		if (error && needs_trap)
			return complain(126, "%s needs seccomp user notification, which this system "
					     "does not give us (%s)", path, strerror(error));
		if (error) {
			unsetenv("PLAIT_RUN");
			complain(0, "no seccomp user notification here (%s): static programs and those "
				    "with an environment of their own that %s starts connect directly",
				 strerror(error), path);
		}
	}
	execvp(argv[0], argv);
	return complain(126, "%s: %s", path, strerror(errno));
}

int cmd_run(int argc, char **argv)
{
	static const char usage[] = "usage: plait run [--preload | --trap] [--] CMD [ARG...]";
	char library[PATH_MAX], path[PATH_MAX], next[PATH_MAX] = "";
	enum way way = WAY_BOTH;
	enum program kind;
	int at = 1;

	for (; at < argc && argv[at][0] == '-'; at++) {
		if (!strcmp(argv[at], "--")) {
			at++;
			break;
		}
		if (!strcmp(argv[at], "--trap"))
			way = WAY_ABOVE;
		else if (!strcmp(argv[at], "--preload"))
			way = WAY_PRELOAD;
		else
			return complain(2, "run has no option %s; %s", argv[at], usage);
	}
	if (at == argc)
		return complain(2, "%s", usage);
	if (!find_command(argv[at], path))
		return complain(errno == ENOENT ? 127 : 126, "%s: %s", argv[at], strerror(errno));
	if (!library_path(library))
		return complain(125, LIBRARY " is neither beside plait nor in ../lib");
	/* The loader takes both as separators, and says nothing. */
	if (strpbrk(library, ": "))
		return complain(125, "%s: LD_PRELOAD cannot name a path with a blank or a colon",
				library);

	kind = look_at(path, next);
	for (int depth = 0; kind == PROGRAM_SCRIPT && depth < 4; depth++) {
		char interpreter[PATH_MAX];

		memcpy(interpreter, next, sizeof interpreter);
		kind = look_at(interpreter, next);
	}
	if (kind == PROGRAM_FOREIGN)
		return complain(126,
				"%s is of another architecture than " LIBRARY
				", and would connect directly",
				path);
	if (kind == PROGRAM_PRIVILEGED)
		return complain(126,
				"%s is setuid, setgid or has file capabilities: the loader would "
				"drop " LIBRARY,
				path);
	if (!preload(library))
		return complain(125, "LD_PRELOAD: %s", strerror(errno));
	return become(path, argv + at, kind, way);
}
