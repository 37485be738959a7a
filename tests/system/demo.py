#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The receiver's end of `make demo`: takes what curl writes, checks it, and shows the paths at work.

curl ... | demo.py --bytes N --sha256 HEX --status SOCKET --cut CMD --restore CMD [--cut-at F] [--cut-for S] --result FILE

Reads standard input to its end. When F of the bytes are there it runs CMD to cut the first link, S seconds later
the other to restore it. Shows a progress line and a line per path: redrawn in place on a terminal, once a second
otherwise. Leaves a JSON with what it measured in FILE.
"""
import argparse
import hashlib
import http.client
import json
import os
import selectors
import shlex
import socket
import subprocess
import sys
import threading
import time


class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("tunneld", timeout=2)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Watcher(threading.Thread):
    """Polls the status socket beside the transfer, so that a slow answer does not look like a gap."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.paths, self.connection, self.error = path, {}, None, None
        self.stop = threading.Event()
        self.last = {}

    def get(self, what):
        c = UnixHTTP(self.path)
        try:
            c.request("GET", what)
            return json.loads(c.getresponse().read())
        finally:
            c.close()

    def poll(self):
        now = time.monotonic()
        states = {p["name"]: p for p in self.get("/v1/paths").get("paths", [])}
        connections = self.get("/v1/connections").get("connections", [])
        if connections:
            self.connection = max(connections, key=lambda c: c.get("bytes_received", 0))
            for s in self.connection.get("subflows", []):
                name = str(s.get("path"))
                then, before = self.last.get(name, (now, 0))
                if now - then >= 0.3 or name not in self.last:
                    rate = (s["bytes_received"] - before) * 8e-6 / (now - then) if now > then else 0.0
                    self.last[name] = (now, s["bytes_received"])
                    states.setdefault(name, {"name": name})["rate"] = max(rate, 0.0)
                else:
                    states.setdefault(name, {"name": name})["rate"] = self.paths.get(name, {}).get("rate", 0.0)
                states[name]["subflow"] = s
        self.paths = states

    def run(self):
        while not self.stop.wait(0.1):
            try:
                self.poll()
                self.error = None
            except (OSError, ValueError, KeyError, http.client.HTTPException) as e:
                self.error = f"{type(e).__name__}: {e}"


class Screen:
    def __init__(self):
        self.live = sys.stdout.isatty()
        self.drawn = 0
        self.last = 0.0

    def draw(self, lines, force=False):
        now = time.monotonic()
        if not force and now - self.last < (0.1 if self.live else 1.0):
            return
        self.last = now
        if self.live:
            if self.drawn:
                sys.stdout.write(f"\x1b[{self.drawn}A")
            for line in lines:
                sys.stdout.write("\x1b[2K" + line + "\n")
            self.drawn = len(lines)
        else:
            sys.stdout.write(" | ".join(line.strip() for line in lines) + "\n")
        sys.stdout.flush()


def colour(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if sys.stdout.isatty() else text


def path_line(p, cut):
    s = p.get("subflow", {})
    state = "CUT (silently)" if cut else s.get("mode", p.get("state", "?"))
    rate = p.get("rate", 0.0)
    bar = "#" * min(round(rate / 2), 24)
    srtt = s.get("srtt_ms", p.get("srtt_ms"))
    text = (f"  {p['name']:<4} {rate:5.1f} Mbit/s {bar:<24} srtt {srtt if srtt is None else round(srtt):>4} ms  "
            f"{s.get('bytes_received', 0) / 1e6:5.1f} MB in  {state}")
    return colour("31" if cut else "32", text)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--bytes", type=int, required=True)
    a.add_argument("--sha256", required=True)
    a.add_argument("--status", required=True)
    a.add_argument("--cut", required=True)
    a.add_argument("--restore", required=True)
    a.add_argument("--cut-at", type=float, default=0.35)
    a.add_argument("--cut-for", type=float, default=3.0)
    a.add_argument("--cut-path", default="p1")
    a.add_argument("--result", required=True)
    o = a.parse_args()

    watcher, screen, digest = Watcher(o.status), Screen(), hashlib.sha256()
    watcher.start()
    os.set_blocking(0, False)
    sel = selectors.DefaultSelector()
    sel.register(0, selectors.EVENT_READ)
    start = last = time.monotonic()
    got = 0
    gaps = []  # (length, at byte, start time), after the first byte
    cut_at = restored_at = None
    cut_got = restored_got = 0
    marks = [(start, 0)]
    first_byte = None
    eof = False
    while not eof:
        ready = sel.select(0.02)
        now = time.monotonic()
        if ready:
            data = os.read(0, 1 << 20)
            if data:
                if first_byte is None:
                    first_byte = now
                elif now - last > 0.02:
                    gaps.append((now - last, got, last))
                last = now
                got += len(data)
                digest.update(data)
            else:
                eof = True
        if cut_at is None and got >= o.bytes * o.cut_at:
            subprocess.run(shlex.split(o.cut), check=True, stdout=subprocess.DEVNULL)
            cut_at, cut_got = time.monotonic(), got
        if cut_at is not None and restored_at is None and (now - cut_at >= o.cut_for or eof):
            subprocess.run(shlex.split(o.restore), check=True, stdout=subprocess.DEVNULL)
            restored_at, restored_got = time.monotonic(), got
        while marks and now - marks[0][0] > 0.5:
            marks.pop(0)
        marks.append((now, got))
        span = now - marks[0][0]
        rate = (got - marks[0][1]) * 8e-6 / span if span > 0.05 else 0.0
        done = got / o.bytes
        lines = [f"  curl {done * 100:5.1f} %  {got / 1e6:5.1f} of {o.bytes / 1e6:.0f} MB  {rate:5.1f} Mbit/s  "
                 f"[{'=' * round(done * 30):<30}] {now - start:5.1f} s"]
        cut = cut_at is not None and restored_at is None
        for name in sorted(watcher.paths):
            lines.append(path_line(watcher.paths[name], cut and name == o.cut_path))
        if watcher.error:
            lines.append("  status: " + watcher.error)
        screen.draw(lines, force=eof)
    watcher.stop.set()
    watcher.join()
    took = last - start
    around_cut = [g for g in gaps if cut_at and g[2] + g[0] > cut_at]
    longest = max(around_cut, default=(0.0, got, last))
    with open(o.result, "w", encoding="utf-8") as f:
        json.dump({
            "bytes": got, "seconds": round(took, 3), "intact": digest.hexdigest() == o.sha256 and got == o.bytes,
            "sha256": digest.hexdigest(),
            "first_byte_ms": round(((first_byte or last) - start) * 1e3),
            "cut_at_byte": cut_got,
            "cut_seconds": round(restored_at - cut_at, 3) if cut_at and restored_at else None,
            "bytes_during_cut": restored_got - cut_got,
            "longest_gap_ms": round(longest[0] * 1e3), "longest_gap_at_byte": longest[1],
            "connection": watcher.connection,
        }, f)
    return 0


if __name__ == "__main__":
    sys.exit(main())
