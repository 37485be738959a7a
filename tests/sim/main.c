/* SPDX-License-Identifier: MIT */
/*
 * usage: sim [--seeds N] [--first N] [--jobs N] [--list FILE]   seeds first.., after those of the file
 *            [--stop-at-first] [--profile flap|outage|delay|return|jitter]  flap.h, outage.h, ...
 *        sim --seed N [--trace]                                 one seed, told as text
 *        sim --buffers [--only NAME]                            buffers.h
 *        sim --fairness                                         controllers at a shared bottleneck
 *        sim --scenarios [--only NAME] [--scheduler S] [--congestion C] [--trace]
 * The last line is "sim: N passed, N failed"; each failing seed has a line with the command that replays it.
 */
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/grid.h"
#include "tests/sim/scenario.h"
#include "tests/sim/story.h"
#include "tests/sim/sim.h"

enum { JOBS_MAX = 64, CPU_S_MAX = 60, LISTED_MAX = 4096 };

/* Seen by all workers and their parent, so that a crash is known by its seed. */
struct shared {
	uint64_t next, end;          /* seeds still to be given out */
	uint64_t passed, failed;
	uint64_t listed_next, listed;
	uint64_t running[JOBS_MAX];  /* 0 = none */
	uint64_t steps, virtual_us, delivered, payload, segments, opened, clean;
	struct alarms { uint64_t virtual_us, doubts, avoided, in_vain, payload; } alarms[2]; /* profile jitter: messages, bulk */
	uint64_t list[LISTED_MAX];
};

static struct shared *shared;
static uint64_t failures_max = 20;

/* A loop inside one call into the engine uses CPU time and lets none of ours pass. */
static void limit_cpu(unsigned seconds)
{
	struct itimerval t = { .it_value.tv_sec = seconds };

	setitimer(ITIMER_VIRTUAL, &t, NULL);
}

static const struct profile { const char *name; void (*of_seed)(struct plan *p, uint64_t seed); } profiles[] = {
	{ "flap", flap_of_seed }, { "outage", outage_of_seed }, { "delay", delay_of_seed }, { "return", return_of_seed },
	{ "jitter", jitter_of_seed },
};
static const struct profile *profile; /* NULL: all kinds of things at once */

static bool choose_profile(const char *name)
{
	for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
		if (!strcmp(profiles[i].name, name))
			profile = &profiles[i];
	return profile;
}

static void say_failed(uint64_t seed, const char *why)
{
	printf("seed %llu: %s\n    replay: make sim SEED=%llu TRACE=1%s%s\n", (unsigned long long)seed, why, (unsigned long long)seed,
	       profile ? " PROFILE=" : "", profile ? profile->name : "");
	fflush(stdout);
}

static void add_alarms(struct alarms *a, const struct result *r)
{
	__atomic_add_fetch(&a->virtual_us, r->virtual_us, __ATOMIC_RELAXED);
	__atomic_add_fetch(&a->doubts, r->doubts, __ATOMIC_RELAXED);
	__atomic_add_fetch(&a->avoided, r->avoided, __ATOMIC_RELAXED);
	__atomic_add_fetch(&a->in_vain, r->in_vain, __ATOMIC_RELAXED);
	__atomic_add_fetch(&a->payload, r->payload_bytes, __ATOMIC_RELAXED);
}

static void say_alarms(const struct alarms *a, const char *of)
{
	if (a->virtual_us)
		printf("false alarms in %.1f h of %s: %llu subflows doubted, %llu underperformed, %llu of %llu bytes sent again in vain\n",
		       (double)a->virtual_us / 3.6e9, of, (unsigned long long)a->doubts, (unsigned long long)a->avoided,
		       (unsigned long long)a->in_vain, (unsigned long long)a->payload);
}

static bool run_seed(uint64_t seed, FILE *trace, bool quiet)
{
	static struct plan plan;
	struct result r;

	(profile ? profile->of_seed : plan_of_seed)(&plan, seed);
	world_run(&plan, seed, trace, &r);
	if (r.failed)
		say_failed(seed, r.failure);
	else if (!quiet)
		printf("seed %llu: %llu ms, %llu bytes delivered, %llu sent, %llu segments, %u opened, %u clean of %u\n",
		       (unsigned long long)seed, (unsigned long long)(r.virtual_us / 1000), (unsigned long long)r.delivered_bytes,
		       (unsigned long long)r.payload_bytes, (unsigned long long)r.segments, r.opened, r.clean, plan.streams);
	if (shared) {
		__atomic_add_fetch(&shared->steps, r.steps, __ATOMIC_RELAXED);
		__atomic_add_fetch(&shared->virtual_us, r.virtual_us, __ATOMIC_RELAXED);
		__atomic_add_fetch(&shared->delivered, r.delivered_bytes, __ATOMIC_RELAXED);
		__atomic_add_fetch(&shared->payload, r.payload_bytes, __ATOMIC_RELAXED);
		__atomic_add_fetch(&shared->segments, r.segments, __ATOMIC_RELAXED);
		__atomic_add_fetch(&shared->opened, r.opened, __ATOMIC_RELAXED);
		if (plan.calm)
			add_alarms(&shared->alarms[plan.calm == CALM_BULK], &r);
		__atomic_add_fetch(&shared->clean, r.clean, __ATOMIC_RELAXED);
	}
	return !r.failed;
}

/* False: none is left. */
static bool take_seed(uint64_t *seed)
{
	uint64_t n = __atomic_fetch_add(&shared->listed_next, 1, __ATOMIC_RELAXED);

	if (n < shared->listed) {
		*seed = shared->list[n];
		return true;
	}
	*seed = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED);
	return *seed < shared->end && __atomic_load_n(&shared->failed, __ATOMIC_RELAXED) < failures_max;
}

static void work(unsigned job)
{
	uint64_t seed;

	while (take_seed(&seed)) {
		shared->running[job] = seed;
		limit_cpu(CPU_S_MAX);
		__atomic_add_fetch(run_seed(seed, NULL, true) ? &shared->passed : &shared->failed, 1, __ATOMIC_RELAXED);
		shared->running[job] = 0;
	}
	fflush(stdout);
	exit(0); /* not _exit(): what the sanitizers and gcov know comes out */
}

static pid_t start_worker(unsigned job)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		work(job);
	return pid;
}

static int run_many(unsigned jobs)
{
	pid_t pids[JOBS_MAX];
	unsigned running = jobs;
	struct timespec from, to;
	double seconds;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (unsigned j = 0; j < jobs; j++)
		pids[j] = start_worker(j);
	while (running) {
		int status;
		pid_t pid = wait(&status);

		for (unsigned j = 0; j < jobs; j++) {
			char why[80];

			if (pids[j] != pid)
				continue;
			running--;
			if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
				break;
			snprintf(why, sizeof why, WIFSIGNALED(status) && WTERMSIG(status) == SIGVTALRM ? "runs and runs inside one call (%s %d)"
				 : WIFSIGNALED(status) ? "died by %s %d" : "died with %s %d", WIFSIGNALED(status) ? "signal" : "status",
				 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
			say_failed(shared->running[j], why);
			shared->running[j] = 0;
			shared->failed++;
			pids[j] = start_worker(j);
			running++;
			break;
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	if (shared->failed >= failures_max)
		printf("stopped after %llu failures\n", (unsigned long long)failures_max);
	printf("%.1f s, %.0f seeds/s, %.1f h of virtual time, %llu steps; %llu streams opened, %llu ended clean; %.1f MB delivered, "
	       "%.1f MB sent in %llu segments\n", seconds, (double)(shared->passed + shared->failed) / seconds,
	       (double)shared->virtual_us / 3.6e9, (unsigned long long)shared->steps, (unsigned long long)shared->opened,
	       (unsigned long long)shared->clean, (double)shared->delivered / 1e6, (double)shared->payload / 1e6,
	       (unsigned long long)shared->segments);
	say_alarms(&shared->alarms[0], "messages");
	say_alarms(&shared->alarms[1], "bulk");
	printf("sim: %llu passed, %llu failed\n", (unsigned long long)shared->passed, (unsigned long long)shared->failed);
	return shared->failed != 0;
}

/* A line of the file: a seed, and what it caught. '#' begins a comment. */
static bool read_list(const char *file)
{
	FILE *f = fopen(file, "r");
	char line[512];

	if (!f) {
		perror(file);
		return false;
	}
	while (fgets(line, sizeof line, f)) {
		char *end;
		unsigned long long seed = strtoull(line, &end, 10);

		if (end != line && shared->listed < LISTED_MAX)
			shared->list[shared->listed++] = seed;
	}
	fclose(f);
	return true;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seeds", 1, 0, 'n' }, { "first", 1, 0, 'f' }, { "seed", 1, 0, 's' }, { "jobs", 1, 0, 'j' }, { "list", 1, 0, 'l' },
		{ "trace", 0, 0, 't' }, { "scenarios", 0, 0, 'c' }, { "only", 1, 0, 'o' }, { "scheduler", 1, 0, 'S' },
		{ "congestion", 1, 0, 'C' }, { "stop-at-first", 0, 0, '1' }, { "grid", 0, 0, 'g' }, { "stories", 0, 0, 'y' },
		{ "profile", 1, 0, 'p' }, { "buffers", 0, 0, 'b' }, { "fairness", 0, 0, 'F' }, { 0 },
	};
	unsigned long long seeds = 300, first = 1, seed = 0, jobs = 1;
	const char *list = NULL, *only = NULL, *scheduler = NULL, *congestion = NULL;
	bool trace = false, scenarios = false, grid = false, stories = false, buffers = false;

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (o) {
		case 'n': seeds = strtoull(optarg, NULL, 10); break;
		case 'f': first = strtoull(optarg, NULL, 10); break;
		case 's': seed = strtoull(optarg, NULL, 10);  break;
		case 'j': jobs = strtoull(optarg, NULL, 10);  break;
		case 'l': list = optarg;       break;
		case 't': trace = true;        break;
		case '1': failures_max = 1;    break;
		case 'c': scenarios = true;    break;
		case 'g': grid = true;         break;
		case 'y': stories = true;      break;
		case 'b': buffers = true;      break;
		case 'F': return fairness_run() != 0;
		case 'p':
			if (!choose_profile(optarg)) {
				fprintf(stderr, "sim: no profile %s: there are flap, outage, delay, return and jitter\n", optarg);
				return 2;
			}
			break;
		case 'o': only = optarg;       break;
		case 'S': scheduler = optarg;  break;
		case 'C': congestion = optarg; break;
		default:  return 2;
		}
	if (stories)
		return stories_run(only, trace) != 0;
	if (buffers)
		return buffers_run(only) != 0;
	if (grid)
		return grid_run() != 0;
	if (scenarios)
		return scenarios_run(only, scheduler, congestion, trace) != 0;
	if (seed) {
		bool good;

		setvbuf(stdout, NULL, trace ? _IOLBF : _IOFBF, 0);
		good = run_seed(seed, trace ? stdout : NULL, false);
		printf("sim: %d passed, %d failed\n", good, !good);
		return !good;
	}
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 2;
	if (list && !read_list(list))
		return 2;
	shared->next = first;
	shared->end = first + seeds;
	return run_many(jobs < 1 ? 1 : jobs > JOBS_MAX ? JOBS_MAX : (unsigned)jobs);
}
