#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns the JSON lines of part.sh into the tables of docs/performance.md, between their markers.

report.py FILE [--print]
"""
import collections
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NAMES = {"tcp": "TCP, the better path alone", "mptcp": "Linux MPTCP, no encryption", "plait": "plait"}
CAPACITY = {"near": 150e6, "far": 100e6}


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] +
                     ["| " + " | ".join(map(str, r)) + " |" for r in rows]) + "\n"


def main():
    figures, background = collections.defaultdict(list), []
    with open(sys.argv[1], encoding="utf-8") as f:
        for line in f:
            r = json.loads(line)
            if r["what"] == "background":
                background.append(r["cpus"])
            else:
                figures[r["part"], r["system"], r["what"]].append(r)

    def median(part, system, what, key):
        values = [r[key] for r in figures[part, system, what]]
        return statistics.median(values) if values else None

    def show(value, form):
        return "-" if value is None else format(value, form)

    systems = [s for s in NAMES if any(k[1] == s for k in figures)]
    version = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                             check=False).stdout.strip()
    text = (f"Machine: {cpu_name()}, {os.cpu_count()} CPUs, Linux {platform.release()}; {datetime.date.today()}, "
            f"commit {version}; median of {max(map(len, figures.values()), default=0)} runs; while nothing was measured "
            f"the rest of the machine used {max(background, default=0):.2f} CPUs, which the CPU figures include.\n\n")

    text += "Two unshaped veth paths, MTU 1500, one stream; CPU seconds of the whole machine for each 10^9 bytes:\n\n"
    text += table(("system", "from the server: Gbit/s", "CPU s/GB", "to the server: Gbit/s", "CPU s/GB"),
                  [(NAMES[s],) + tuple(show(median("raw", s, w, k), ".2f") for w in ("down", "up")
                                       for k in ("gbit_s", "cpu_s_per_gb")) for s in systems])

    text += ("\nTwo emulated links, goodput as a share of the sum of the link rates (longest gap in delivery). "
             "Near: 100 Mbit/s 10 ms and 50 Mbit/s 40 ms; far: 80 Mbit/s 20 ms and 20 Mbit/s 200 ms (round trips):\n\n")

    def share(s, part, what):
        rate, gap = median(part, s, what, "gbit_s"), median(part, s, what, "longest_gap_ms")
        return "-" if rate is None else f"{rate * 1e9 / CAPACITY[part]:.3f} ({gap:.0f} ms)"

    text += table(("system", "near, from the server", "near, to the server", "far, from the server", "far, to the server"),
                  [(NAMES[s],) + tuple(share(s, p, w) for p in ("near", "far") for w in ("down", "up")) for s in systems])

    text += ("\nLatency in microseconds, p50 / p99: connect(), connect and the first answer, a 64-byte echo on an open "
             "stream. Over veth, and over the near links:\n\n")

    def pair(part, s, what, key):
        a, b = (median(part, s, what, f"{key}_{q}_us") for q in ("p50", "p99"))
        return "-" if a is None else f"{a:,.0f} / {b:,.0f}"

    text += table(("system", "veth: connect", "first answer", "echo", "near: connect", "first answer", "echo"),
                  [(NAMES[s],) + tuple(pair(p, s, w, k) for p in ("raw", "near")
                                       for w, k in (("connect", "connect"), ("connect", "first_answer"), ("echo", "echo")))
                   for s in systems])
    print(text)
    if "--print" in sys.argv:
        return
    path = os.path.join(ROOT, "docs", "performance.md")
    with open(path, encoding="utf-8") as f:
        page = f.read()
    head, rest = page.split("<!-- bench:begin -->")
    tail = rest.split("<!-- bench:end -->")[1]
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{head}<!-- bench:begin -->\n{text}<!-- bench:end -->{tail}")


if __name__ == "__main__":
    main()
