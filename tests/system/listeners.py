#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Listeners of /v1/events that do not behave.

usage: listeners.py stall SOCKET       listens, reads nothing until a line comes on stdin, then all there is for 2 s; prints as
                                       JSON how many lines came, and how many it was told to have missed
       listeners.py vanish SOCKET N    N listeners that read nothing and end at once, without a word
       listeners.py fill SOCKET        listeners until one is refused; prints how many were not, and the refusal's status
"""
import json
import os
import socket
import sys
import time


def listen(path):
    s = socket.socket(socket.AF_UNIX)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(path)
    s.sendall(b"GET /v1/events HTTP/1.0\r\n\r\n")
    return s


def status_of(s):
    got = b""
    while b"\r\n" not in got:
        got += s.recv(1)
    return int(got.split()[1])


def stall(path):
    s = listen(path)
    status_of(s)
    print("listening", flush=True)
    sys.stdin.readline()
    got, end = [], time.monotonic() + 2
    s.settimeout(0.2)
    while time.monotonic() < end:
        try:
            piece = s.recv(1 << 20)
        except TimeoutError:
            continue
        if not piece:
            break
        got.append(piece)
    lines = b"".join(got).split(b"\r\n\r\n", 1)[1].split(b"\n")
    events = [json.loads(line) for line in lines[:-1] if line]
    print(json.dumps({"lines": len(events), "missed": sum(e["count"] for e in events if e["event"] == "missed")}))


def main():
    what, path, *rest = sys.argv[1:]
    if what == "stall":
        stall(path)
    elif what == "vanish":
        all_of_them = [listen(path) for _ in range(int(rest[0]))]
        for s in all_of_them:
            status_of(s)
        os._exit(0)
    else:
        taken = []
        while True:
            s = listen(path)
            status = status_of(s)
            if status != 200:
                break
            taken.append(s)
        print(len(taken), status)


main()
