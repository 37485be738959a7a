#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns the JSON lines of part.sh into the tables and plots of docs/performance.md. Each section stands between markers of
its own, so a run of some sections leaves the others as they are.

report.py FILE [--print]
"""
import collections
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DOCS = os.path.join(ROOT, "docs")
NAMES = {
    "limit-sealed": "the limit, sealed: same copies, cipher and calls, no transport", "limit-plain": "the limit, plain",
    "tcp": "TCP, the better path alone", "tcp-bbr": "TCP, the better path alone, BBR",
    "mptcp": "Linux MPTCP, CUBIC", "mptcp-bbr": "Linux MPTCP, BBR", "plait": "plait, sealed",
}
COLOURS = {"tcp": "#9aa5b1", "tcp-bbr": "#c3cad2", "mptcp": "#e0a458", "mptcp-bbr": "#c97b2b", "plait": "#2f6f9f"}
# part: what it is, sum of the rates in bit/s, what plait must reach
LINKS = {
    "near": ("100 Mbit/s 10 ms + 50 Mbit/s 40 ms", 150e6, 0.93),
    "far": ("80 Mbit/s 20 ms + 20 Mbit/s 200 ms", 100e6, 0.91),
    "four": ("4 x 25 Mbit/s, 10, 30, 60, 120 ms", 100e6, 0.90),
    "one": ("100 Mbit/s 10 ms alone", 100e6, 0.93),
    "near-0.1": ("near, 0.1 % random loss each way", 150e6, None),
    "near-1": ("near, 1 % random loss each way", 150e6, 0.85),
    "near-5": ("near, 5 % random loss each way", 150e6, None),
}


class Figures:
    """All results of a run, by (section, part, system, what)."""

    def __init__(self, path):
        self.all = collections.defaultdict(list)
        self.background = collections.defaultdict(list)
        with open(path, encoding="utf-8") as f:
            for line in f:
                r = json.loads(line)
                if r["what"] == "background":
                    self.background[r["section"]].append(r["cpus"])
                else:
                    self.all[r["section"], r["part"], r["system"], r["what"]].append(r)

    def sections(self):
        return list(dict.fromkeys(k[0] for k in self.all))

    def systems(self, section, part=None):
        have = {k[2] for k in self.all if k[0] == section and part in (None, k[1])}
        return [s for s in NAMES if s in have]

    def median(self, section, part, system, what, key):
        values = [r[key] for r in self.all.get((section, part, system, what), [])]
        return statistics.median(values) if values else None

    def runs(self, section):
        return max((len(v) for k, v in self.all.items() if k[0] == section), default=0)


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def show(value, form=".2f"):
    return "-" if value is None else format(value, form)


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] +
                     ["| " + " | ".join(map(str, r)) + " |" for r in rows]) + "\n\n"


# --- plots: SVG by hand, nothing to install ---

def text_at(x, y, text, anchor="middle", size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{text}</text>'


def svg(name, title, width, height, body):
    os.makedirs(os.path.join(DOCS, "plots"), exist_ok=True)
    with open(os.path.join(DOCS, "plots", name), "w", encoding="utf-8") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">\n'
                f'<rect width="100%" height="100%" fill="white"/>\n{text_at(width / 2, 20, title, size=14)}\n'
                + "\n".join(body) + "\n</svg>\n")
    return f"![{title}](plots/{name})\n\n"


def bars(name, title, groups, top=1.0):
    """groups: [(label, [(system, value)], target or None)]"""
    left, base, high, bar, gap = 40, 250, 200, 22, 26
    body, x = [], left + gap
    for tick in range(0, 11, 2):
        y = base - high * tick / 10
        body.append(f'<line x1="{left}" y1="{y}" x2="100%" y2="{y}" stroke="#e5e7eb"/>' + text_at(left - 4, y + 4, f"{top * tick / 10:.1f}", "end", 10))
    for label, values, target in groups:
        start = x
        for system, value in values:
            h = high * min(value / top, 1)
            body.append(f'<rect x="{x}" y="{base - h:.1f}" width="{bar - 3}" height="{h:.1f}" fill="{COLOURS[system]}"/>')
            body.append(text_at(x + bar / 2 - 1, base - h - 3, f"{value:.2f}".lstrip("0"), size=9))
            x += bar
        if target:
            y = base - high * target / top
            body.append(f'<line x1="{start - 4}" y1="{y:.1f}" x2="{x + 2}" y2="{y:.1f}" stroke="#b91c1c" stroke-dasharray="4 2"/>')
        for row, words in enumerate(re.split(r" \+ |, ", label)):
            body.append(text_at((start + x) / 2, base + 16 + 13 * row, words, size=10))
        x += max(gap, 105 - (x - start))
    used = list(dict.fromkeys(s for _, values, _ in groups for s, _ in values))
    for i, system in enumerate(used):
        y = base + 66 + 16 * i
        body.append(f'<rect x="{left}" y="{y - 10}" width="12" height="12" fill="{COLOURS[system]}"/>' + text_at(left + 18, y, NAMES[system], "start", 11))
    return svg(name, title, max(int(x), 420), base + 70 + 16 * len(used), body)


def lines(name, title, series, unit):
    """series: {system: [(x, y)]}, x on a logarithmic scale by tens."""
    left, base, high, wide = 60, 250, 200, 420
    top = 1.1 * max(y for points in series.values() for _, y in points)
    body = []
    for tick in range(5):
        y = base - high * tick / 4
        body.append(f'<line x1="{left}" y1="{y}" x2="{left + wide}" y2="{y}" stroke="#e5e7eb"/>' + text_at(left - 4, y + 4, f"{top * tick / 4:.1f}", "end", 10))

    def place(n):
        return left + wide * (len(str(int(n))) - 1) / 4

    for i, (system, points) in enumerate(series.items()):
        path = " ".join(f"{place(x):.1f},{base - high * y / top:.1f}" for x, y in points)
        body.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[system]}" stroke-width="2"/>')
        body += [f'<circle cx="{place(x):.1f}" cy="{base - high * y / top:.1f}" r="3" fill="{COLOURS[system]}"/>' for x, y in points]
        body.append(text_at(left, base + 40 + 16 * i, f"{NAMES[system]} ({unit})", "start", 11))
    for x in sorted({x for points in series.values() for x, _ in points}):
        body.append(text_at(place(x), base + 16, f"{x:,}", size=10))
    return svg(name, title, left + wide + 40, base + 50 + 16 * len(series), body)


# --- sections ---

def raw(f, section="raw"):
    sealed, text = {}, "Two unshaped veth paths, MTU 1500, one stream; CPU seconds of the whole machine for each 10^9 bytes.\n\n"
    for key in ("gbit_s", "cpu_s_per_gb"):
        sealed[key] = f.median(section, "veth", "limit-sealed", "down", key)
    rows = []
    for s in f.systems(section):
        down, cost = (f.median(section, "veth", s, "down", k) for k in ("gbit_s", "cpu_s_per_gb"))
        part = "-" if not sealed["gbit_s"] or s != "plait" else f"{down / sealed['gbit_s']:.2f} / {cost / sealed['cpu_s_per_gb']:.2f}"
        rows.append((NAMES[s], show(down), show(cost)) + tuple(show(f.median(section, "veth", s, "up", k)) for k in ("gbit_s", "cpu_s_per_gb"))
                    + (show(f.median(section, "veth", s, "both", "gbit_s")), part))
    return text + table(("system", "from the server: Gbit/s", "CPU s/GB", "to the server: Gbit/s", "CPU s/GB",
                         "both ways at once, sum", "of the sealed limit: rate / cost"), rows)


def offloads(f):
    return "The same where the paths' devices segment nothing and put nothing together (`ethtool -K`), as packets are cut one by one. " + raw(f, "offloads")


def share(f, section, part, system, what):
    rate = f.median(section, part, system, what, "gbit_s")
    return None if rate is None else rate * 1e9 / LINKS[part][1]


def shares(f, section, parts, plot, title):
    systems, rows, groups = f.systems(section), [], []
    parts = [p for p in parts if f.systems(section, p)]
    for s in systems:
        row = [NAMES[s]]
        for p in parts:
            for what in ("down", "up"):
                value, gap = share(f, section, p, s, what), f.median(section, p, s, what, "longest_gap_ms")
                row.append("-" if value is None else f"{value:.3f} ({gap:.0f})")
        rows.append(row)
    head = ["system"] + [f"{LINKS[p][0]}: {w}" for p in parts for w in ("from the server", "to it")]
    for p in parts:
        values = [(s, share(f, section, p, s, "down")) for s in systems]
        groups.append((LINKS[p][0], [(s, v) for s, v in values if v is not None], LINKS[p][2]))
    rows.append(["aim for plait"] + [show(LINKS[p][2]) for p in parts for _ in range(2)])
    return ("Goodput as a share of the sum of the link rates, IP headers and all that is ours counted against us (longest gap in "
            "delivery, ms).\n\n" + table(head, rows) + bars(plot, title, groups))


def aggregation(f):
    text = shares(f, "aggregation", ("near", "far", "four", "one"), "aggregation.svg", "Share of the sum of the links")
    rows = []
    for p, name, rate in (("even", "10 + 10 Mbit/s", 20e6), ("uneven", "10 + 3 Mbit/s", 13e6)):
        bar = 16777216 * 8 / rate * 1.1 + 0.45
        for s in f.systems("aggregation", p):
            took = f.median("aggregation", p, s, "down", "seconds")
            rows.append((NAMES[s], name, show(took), show(bar), "yes" if took and took <= bar else "no"))
    if rows:
        text += ("The kernel's own bar for MPTCP (simult_flows.sh): 16 MiB in bytes / sum of the rates + 10 % + 450 ms.\n\n" +
                 table(("system", "links", "seconds", "bar", "within"), rows))
    return text


def loss(f):
    return shares(f, "loss", ("near-0.1", "near-1", "near-5"), "loss.svg", "Share of the sum of the links, random loss")


def latency(f):
    def pair(part, s, what, key):
        a, b = (f.median("latency", part, s, what, f"{key}_{q}_us") for q in ("p50", "p99"))
        return "-" if a is None else f"{a:,.0f} / {b:,.0f}"

    columns = [(p, w, k) for p in ("veth", "near") for w, k in (("connect", "connect"), ("connect", "first_answer"), ("echo", "echo"))]
    text = ("Microseconds, p50 / p99: connect(), connect and the first answer, a 64-byte echo on an open stream. Over veth, and over "
            "100 Mbit/s 10 ms + 50 Mbit/s 40 ms.\n\n")
    text += table(("system", "veth: connect", "first answer", "echo", "near: connect", "first answer", "echo"),
                  [(NAMES[s],) + tuple(pair(p, s, w, k) for p, w, k in columns) for s in f.systems("latency")])
    text += ("An echo beside a bulk transfer, two links of 50 Mbit/s and 20 ms round trip, queue 60 ms. The aim is a p99 of at most the "
             "round trip + 30 ms.\n\n")
    rows = []
    for s in f.systems("latency", "loaded"):
        p50, p99 = (f.median("latency", "loaded", s, "loaded", f"echo_{q}_us") for q in ("p50", "p99"))
        if p50 is not None:
            rows.append((NAMES[s], f"{p50 / 1000:.1f}", f"{p99 / 1000:.1f}"))
    return text + table(("system", "p50, ms", "p99, ms"), rows)


def connections(f):
    rows = []
    for s in f.systems("connections"):
        results = f.all.get(("connections", "veth", s, "short-8"), [])
        cost = [" + ".join(f"{p['cpu_us_per_connection']:.0f}" for p in r["processes"]) for r in results] if s == "plait" else []
        rows.append((NAMES[s], show(f.median("connections", "veth", s, "short-8", "per_s"), ",.0f"), cost[len(cost) // 2] if cost else "-"))
    return ("Connections one after another in each of eight workers: connect, 1 KiB, close.\n\n" +
            table(("system", "a second", "CPU us each in the client's + the gateway's tunneld"), rows))


def scale(f):
    text, rows = "Idle streams, 64 bytes echoed on each before; resident memory and CPU of the client's and of the gateway's tunneld.\n\n", []
    for (section, part, system, what), results in f.all.items():
        if section == "scale" and what.startswith("idle-"):
            r = results[0]
            rows.append((f"{r['streams']:,}",) + tuple(f"{p['rss_bytes_per_stream']:,.0f} bytes a stream, {p['idle_cpu_share'] * 100:.1f} % of a core"
                                                       for p in r["processes"]))
    text += table(("streams", "client", "gateway"), rows)
    text += "Busy streams, all receiving at once: sum of their rates, Jain's index of fairness, the 5 % least and most served.\n\n"
    rows, series = [], collections.defaultdict(list)
    for s in f.systems("scale", "busy"):
        for n in (10, 100, 1000, 10000):
            results = f.all.get(("scale", "busy", s, f"busy-{n}"))
            if not results:
                continue
            rate, jain, low, high = (f.median("scale", "busy", s, f"busy-{n}", k) for k in ("gbit_s", "jain", "p5_of_mean", "p95_of_mean"))
            cost = statistics.median(sum(p["cpu_s_per_gb"] for p in r["processes"]) for r in results) if s == "plait" else None
            rows.append((NAMES[s], f"{n:,}", show(rate), show(jain, ".3f"), f"{low:.2f} to {high:.2f} of the mean", show(cost)))
            if cost is not None:
                series[s].append((n, cost))
    text += table(("system", "streams", "Gbit/s", "Jain", "5 % to 95 %", "CPU s/GB, both tunnelds"), rows)
    if any(series.values()):
        text += lines("cost.svg", "Cost of a byte by streams at once", series, "CPU s/GB of both tunnelds")
    return text


def workers(f):
    names = {"one-core": "one worker each, all on one core", "one": "one worker each, a core each",
             "two": "two workers each, the first of both ends on one core, the second on the other"}
    rates, rows = {}, []
    for (section, part, s, what), results in f.all.items():
        if section != "workers":
            continue
        rates[s] = f.median("workers", part, s, what, "gbit_s")
        streams = what.split("-")[1]
        cost = [statistics.median(r["processes"][i]["cpu_s_per_gb"] for r in results) for i in (0, 1)]
        # Of the time that it took: cores in use by the two tunnelds.
        cores = sum(cost) * rates[s] / 8
        rows.append((names[s], show(rates[s]), f"{cost[0]:.2f} + {cost[1]:.2f}", f"{cores:.2f}"))
    text = (f"{streams} streams received at once over two unshaped veth paths; client, server and both tunnelds on two cores, pinned.\n\n" +
            table(("", "Gbit/s", "CPU s/GB, client + gateway", "cores that the tunnelds keep busy"), rows))
    if len(rates) == len(names):
        text += (f"From one core with one worker to two cores with two: {rates['two'] / rates['one-core']:.2f} times. Two workers against "
                 f"one of each end on the same two cores: {rates['two'] / rates['one']:.2f} times. ")
    return text + "What is left of the two cores goes to the applications at both ends and to the kernel's work for them.\n\n"


def instructions(f):
    names = {"two": "one stream, 40 + 20 Mbit/s, its first 2 s", "forty": "40 streams on 20 Mbit/s, 20 s"}
    parts = [p for p in names if ("instructions", p, "plait", "segments") in f.all]
    of = {p: f.all["instructions", p, "plait", "segments"][0] for p in parts}
    text = ("Instructions of each hot function with all that it calls, for each segment that an engine was given (and for each call), both "
            "ends together, counted by callgrind in a scenario of the simulator. They are the same in every run of the same program, whatever "
            "else the machine does. The simulator neither seals nor makes system calls.\n\n")
    rows = []
    for name in dict.fromkeys(n for p in parts for n in of[p]["functions"]):
        each = [of[p]["functions"].get(name) for p in parts]
        rows.append([f"`{name}`"] + [f"{r['per_segment']:,.0f} ({r['each']:,.0f})" if r else "-" for r in each])
    rows.append(["segments"] + [f"{of[p]['segments']:,}" for p in parts])
    return text + table(["function"] + [names[p] for p in parts], rows)


SECTIONS = {
    "raw": ("Raw cost", raw), "offloads": ("Raw cost without segmentation offload", offloads),
    "aggregation": ("Aggregation", aggregation), "loss": ("Random loss", loss),
    "latency": ("Latency", latency), "connections": ("Connection rate", connections), "scale": ("Scale and memory", scale),
    "workers": ("Workers", workers), "instructions": ("Instructions a segment", instructions),
}


def put(page, section, title, text):
    begin, end = f"<!-- bench:{section}:begin -->", f"<!-- bench:{section}:end -->"
    block = f"{begin}\n## {title}\n\n{text}{end}"
    if begin in page:
        return page[:page.index(begin)] + block + page[page.index(end) + len(end):]
    return page.rstrip("\n") + "\n\n" + block + "\n"


def main():
    f = Figures(sys.argv[1])
    only_print = "--print" in sys.argv
    if only_print:
        global DOCS
        DOCS = os.environ.get("TMPDIR", "/tmp")
    version = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                             check=False).stdout.strip()
    path = os.path.join(ROOT, "docs", "performance.md")
    with open(path, encoding="utf-8") as g:
        page = g.read()
    for section in f.sections():
        title, make = SECTIONS[section]
        if section == "instructions": # counted, not measured: neither the machine nor what else it does matters
            text = make(f) + f"*commit {version}*\n"
        else:
            text = make(f) + (f"*{cpu_name()}, {os.cpu_count()} CPUs, Linux {platform.release()}; {datetime.date.today()}, commit {version}; "
                              f"median of {f.runs(section)}; while nothing was measured the rest of the machine used "
                              f"{max(f.background[section], default=0):.2f} CPUs, which CPU figures include.*\n")
        if only_print:
            print(f"## {title}\n\n{text}")
        page = put(page, section, title, text)
    if not only_print:
        with open(path, "w", encoding="utf-8") as g:
            g.write(page)


if __name__ == "__main__":
    main()
