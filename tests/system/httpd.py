#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A plain HTTP/1.1 server for the lab, with content that can be checked without a file.

GET /bytes/N   N bytes: block i of 64 KiB is the same pseudo-random block with i in its first 8 bytes, so
               that lost, doubled and reordered data all change the SHA-256
GET /sha256/N  their SHA-256 as text
PUT /anything  answers with what it saw, as JSON: sha256, bytes, seconds, gaps (see receive() below)
GET /slow/N/MS N bytes, one every MS milliseconds

usage: httpd.py ADDRESS PORT
       httpd.py --sha256 N     httpd.py --bytes N (to stdout)     httpd.py --receive (stdin; the same JSON)
"""
import hashlib
import json
import os
import random
import socket
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 65536
BASE = random.Random(20260203).randbytes(BLOCK)


def blocks(n):
    i = 0
    while n > 0:
        block = i.to_bytes(8, "big") + BASE[8:]
        yield block[:n] if n < BLOCK else block
        n -= BLOCK
        i += 1


def sha256(n):
    h = hashlib.sha256()
    for b in blocks(n):
        h.update(b)
    return h.hexdigest()


def receive(read):
    """Reads to the end. gaps: [milliseconds without a byte, after how many bytes, monotonic time at its start]
    for each of more than 50 ms, once the first byte is there."""
    h, n, gaps = hashlib.sha256(), 0, []
    start = last = time.monotonic()
    while data := read():
        now = time.monotonic()
        if n and now - last > 0.05:
            gaps.append([round((now - last) * 1e3), n, round(last, 3)])
        last = now
        n += len(data)
        h.update(data)
    return {"sha256": h.hexdigest(), "bytes": n, "seconds": round(last - start, 3), "gaps": gaps}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def head(self, code, length):
        self.send_response(code)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def text(self, code, text):
        data = (text + "\n").encode()
        self.head(code, len(data))
        self.wfile.write(data)

    def do_GET(self):
        what = self.path.split("?")[0].split("/")[1:]
        if what[0] == "bytes":
            self.head(200, int(what[1]))
            for b in blocks(int(what[1])):
                self.wfile.write(b)
        elif what[0] == "sha256":
            self.text(200, sha256(int(what[1])))
        elif what[0] == "slow":
            self.head(200, int(what[1]))
            for _ in range(int(what[1])):
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(int(what[2]) / 1000)
        else:
            self.text(404, "no such thing")

    def do_PUT(self):
        left = int(self.headers.get("Content-Length", 0))

        def read():
            nonlocal left
            data = self.rfile.read1(min(left, 1 << 18)) if left else b""
            left -= len(data)
            return data

        seen = receive(read)
        if left:
            self.close_connection = True
        else:
            self.text(200, json.dumps(seen))

    do_POST = do_PUT


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # not HTTPServer's, which asks DNS for our name
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # a client that went away is no news
            super().handle_error(request, client_address)


def main():
    if sys.argv[1] == "--sha256":
        print(sha256(int(sys.argv[2])))
    elif sys.argv[1] == "--bytes":
        for b in blocks(int(sys.argv[2])):
            sys.stdout.buffer.write(b)
    elif sys.argv[1] == "--receive":
        print(json.dumps(receive(lambda: os.read(0, 1 << 18))))
    else:
        if ":" in sys.argv[1]:
            Server.address_family = socket.AF_INET6
        Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()


if __name__ == "__main__":
    main()
