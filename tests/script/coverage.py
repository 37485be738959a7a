#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Sums up gcov's figures for the engine's folders, and names the files with most that is not reached.

usage: coverage.py BUILD_DIR     where the *.gcda of a run lie; see `make coverage`
"""
import json
import os
import subprocess
import sys

FOLDERS = ("tunneld/wire", "tunneld/tcp", "tunneld/mptcp")


def gcov(directory):
    """(file, lines, lines reached, branches, branches taken) of each source file of one object folder."""
    data = [os.path.join(directory, f) for f in sorted(os.listdir(directory)) if f.endswith(".gcda")]
    if not data:
        return
    out = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", *data],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    for line in out.splitlines():
        for f in json.loads(line)["files"]:
            lines = f["lines"]
            branches = [b for one in lines for b in one["branches"] if not b["throw"]]
            yield (f["file"], len(lines), sum(one["count"] > 0 for one in lines),
                   len(branches), sum(b["count"] > 0 for b in branches))


def main(build):
    """Prints one line a file, and one a folder."""
    for folder in FOLDERS:
        total = [0, 0, 0, 0]
        files = {}
        for name, *figures in gcov(os.path.join(build, "o", folder)):
            if name.startswith(folder) and name.endswith(".c"):
                files[name] = figures
        for name, figures in sorted(files.items()):
            total = [a + b for a, b in zip(total, figures)]
            print(f"{name:40} lines {100 * figures[1] / figures[0]:5.1f} %  "
                  f"branches {100 * figures[3] / max(figures[2], 1):5.1f} %")
        if not total[0]:
            sys.exit(f"{folder}: nothing was measured")
        print(f"{folder + '/':40} lines {100 * total[1] / total[0]:5.1f} % of {total[0]}  "
              f"branches {100 * total[3] / total[2]:5.1f} % of {total[2]}")


main(sys.argv[1])
