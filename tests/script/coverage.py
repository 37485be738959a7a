#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Sums up gcov's figures for the engine's folders. An assert()'s branches do not count: one of them must never be taken.

usage: coverage.py BUILD_DIR [--missed]     where the *.gcda of a run lie; see `make coverage`. --missed: lists the lines too
"""
import json
import os
import subprocess
import sys

FOLDERS = ("tunneld/wire", "tunneld/tcp", "tunneld/mptcp")


def gcov(directory):
    """(file, its lines as gcov tells them) of each source file of one object folder."""
    data = [os.path.join(directory, f) for f in sorted(os.listdir(directory)) if f.endswith(".gcda")]
    if not data:
        return
    out = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", *data],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    for line in out.splitlines():
        for f in json.loads(line)["files"]:
            yield f["file"], f["lines"]


def figures(lines, text):
    """[lines, lines reached, branches, branches taken]"""
    branches = [b for one in lines for b in one["branches"]
                if not b["throw"] and not text[one["line_number"] - 1].lstrip().startswith("assert(")]
    return [len(lines), sum(one["count"] > 0 for one in lines), len(branches), sum(b["count"] > 0 for b in branches)]


def main(build, missed=False):
    """Prints one line a file, and one a folder."""
    for folder in FOLDERS:
        total = [0, 0, 0, 0]
        for name, lines in sorted(gcov(os.path.join(build, "o", folder)), key=lambda f: f[0]):
            if not name.startswith(folder) or not name.endswith(".c"):
                continue
            with open(name, encoding="utf-8") as f:
                text = f.read().splitlines()
            its = figures(lines, text)
            total = [a + b for a, b in zip(total, its)]
            print(f"{name:40} lines {100 * its[1] / its[0]:5.1f} %  branches {100 * its[3] / max(its[2], 1):5.1f} %")
            for one in lines if missed else ():
                if not one["count"]:
                    print(f"    {one['line_number']:4} {text[one['line_number'] - 1]}")
        if not total[0]:
            sys.exit(f"{folder}: nothing was measured")
        print(f"{folder + '/':40} lines {100 * total[1] / total[0]:5.1f} % of {total[0]}  "
              f"branches {100 * total[3] / total[2]:5.1f} % of {total[2]}")


main(sys.argv[1], "--missed" in sys.argv[2:])
