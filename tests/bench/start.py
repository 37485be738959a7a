#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the library costs a process that starts: programs run natively, with libplait.so preloaded, and natively once more
(how far two equal series are apart), by turns. Prints the medians in microseconds and their ratios.

usage: start.py [--rounds N] [--empty LIBRARY] LIBPLAIT [PROGRAM [ARGUMENT...]]
    --empty   a library with nothing in it, as a fourth series: what ld.so takes for any file more
"""
import argparse
import os
import statistics
import time

parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int, default=2000)
parser.add_argument("--empty")
parser.add_argument("library")
parser.add_argument("command", nargs=argparse.REMAINDER)
args = parser.parse_args()
command = args.command or ["/bin/true"]
clean = {"PATH": os.environ.get("PATH", "/bin"), "LC_ALL": "C"}
series = {"native": clean, "plait": clean | {"LD_PRELOAD": os.path.realpath(args.library)}, "native again": clean}
if args.empty:
    series["an empty library"] = clean | {"LD_PRELOAD": os.path.realpath(args.empty)}
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
took = {name: [] for name in series}
for _ in range(args.rounds):
    for name, environment in series.items():
        began = time.perf_counter_ns()
        pid = os.posix_spawnp(command[0], command, environment, file_actions=quiet)
        _, status = os.waitpid(pid, 0)
        took[name].append((time.perf_counter_ns() - began) / 1000)
        if status:
            raise SystemExit(f"{' '.join(command)}: status {status}, {name}")
base = statistics.median(took["native"])
for name, values in took.items():
    median = statistics.median(values)
    print(f"{name}: {median:.0f} us, {median / base:.3f} of native")
