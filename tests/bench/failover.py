#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns the JSON lines of failover_part.sh into the tables of docs/failover.md, between their markers.

failover.py FILE [--print]
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
NAMES = {"mptcp": "Linux MPTCP", "plait": "plait"}
SUM_BYTES = 150e6 / 8 / 10      # of both links of `return`, in one slot of 100 ms
SECOND_BYTES = 50e6 / 8 / 10    # of the one that stays
DOWN_S, UP_S = 4, 8


def back_after(r):
    """Seconds from the link's return until more arrives than the other link carries; until 90 % of the link rates' sum,
    over half a second; and the same of what arrived before the fault."""
    slots = r["bytes"]
    lag = r["start"] - r["commanded"]
    up = int(round((UP_S - lag) * 10))
    before = statistics.mean(slots[int((DOWN_S - lag) * 10) - 15:int((DOWN_S - lag) * 10) - 1])
    after = range(up, len(slots) - 5)

    def first(level, width):
        return next(((i - up + width) / 10 for i in after if statistics.mean(slots[i:i + width]) > level), None)

    return {"used_s": first(1.15 * SECOND_BYTES, 1), "sum90_s": first(0.9 * SUM_BYTES, 5), "before90_s": first(0.9 * before, 5)}


def median(values):
    """Of numbers; None is one that never came: it is more than all."""
    values = sorted(float("inf") if v is None else v for v in values)
    return statistics.median(values) if values else None


def show(values, form):
    """Median (worst)."""
    m = median(values)
    if m is None:
        return "-"
    worst = max(float("inf") if v is None else v for v in values)
    return " ".join(f % v if v != float("inf") else f.replace(form, "never") for f, v in ((form, m), ("(" + form + ")", worst))
                    ).replace("never (never)", "never")


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] +
                     ["| " + " | ".join(map(str, r)) + " |" for r in rows]) + "\n\n"


def report(figures, runs):
    def of(part, rtt, system, what, key):
        return [r.get(key) for r in figures[part, rtt, system, what]]

    systems = [s for s in NAMES if any(k[2] == s for k in figures)]
    version = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                             check=False).stdout.strip()
    text = (f"Linux {platform.release()}, {os.cpu_count()} CPUs; {datetime.date.today()}, commit {version}; median of "
            f"{runs} runs, the worst of them in parentheses. All at defaults.\n\n")
    text += ("A message of 200 bytes every 20 ms; the worst delay of one at its receiver, in ms. The first of two links "
             "fails for good, the second is a backup:\n\n")
    rows = []
    for system in systems:
        row = [NAMES[system]]
        for rtt in (20, 100):
            row += [show(of("hole", rtt, system, way, "worst_ms"), "%.0f") for way in ("up", "down")]
        row += [show(of(f"loss{p}", 20, system, "up", "worst_ms"), "%.0f") for p in (10, 30, 50)]
        rows.append(row)
    text += table(["system", "silent, RTT 20: to the server", "from the server", "silent, RTT 100: to the server",
                   "from the server", "loses 10 %, RTT 20", "30 %", "50 %"], rows)
    text += ("A transfer from the server over 100 Mbit/s 10 ms and 50 Mbit/s 40 ms; the first link is silent for 4 s. "
             "Seconds after its return:\n\n")
    rows = []
    for system in systems:
        back = [back_after(r) if "bytes" in r else {} for r in figures["return", 10, system, "bulk"]]
        rows.append([NAMES[system]] + [show([b.get(k) for b in back], "%.1f") for k in ("used_s", "sum90_s", "before90_s")])
    text += table(["system", "it is used again", "90 % of the sum of the link rates", "90 % of the goodput before"], rows)
    text += "connect(), RTT 20 ms on both links, in ms (given up after 10 s):\n\n"
    rows = [[NAMES[s]] + [show(of("connect", 20, s, w, "connect_ms"), "%.0f") for w in ("just", "known", "back")]
            for s in systems]
    text += table(["system", "the first link fell silent just before", "it has been silent for long",
                   "both are silent, the second comes back after 2 s"], rows)
    files = figures["away", 20, "plait", "file"]
    if files:
        text += (f"All interfaces down for 30 s in a transfer of 60 MB, then one with a new address: "
                 f"{sum(r['whole'] for r in files)} of {len(files)} arrived whole (SHA-256) on the socket they began on; data flowed "
                 f"again after {show([r['resumed_s'] for r in files], '%.2f')} s.\n\n")
    return text


def main():
    figures = collections.defaultdict(list)
    with open(sys.argv[1], encoding="utf-8") as f:
        for line in f:
            r = json.loads(line)
            figures[r["part"], r["rtt1_ms"], r["system"], r["what"]].append(r)
    text = report(figures, max(map(len, figures.values()), default=0))
    if "--print" in sys.argv:
        print(text, end="")
        return
    path = os.path.join(ROOT, "docs", "failover.md")
    with open(path, encoding="utf-8") as f:
        old = f.read()
    head, rest = old.split("<!-- failover:begin -->")
    tail = rest.split("<!-- failover:end -->")[1]
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{head}<!-- failover:begin -->\n{text.rstrip()}\n<!-- failover:end -->{tail}")
    print(text, end="")


main()
