#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""An application for both ends of the interop tests; with --mptcp it asks the kernel for MPTCP itself.

peer.py [--mptcp] serve ADDR PORT
    each connection says one line: "get N", "put N", "echo", "abort N" (N bytes, then SO_LINGER 0), "hold N" (N bytes, then idle)
peer.py [--mptcp] [--bind ADDR] get ADDR PORT N      "BYTES SHA256"
peer.py [--mptcp] [--bind ADDR] put ADDR PORT N      "BYTES SHA256", as the server says
peer.py [--mptcp] [--bind ADDR] nothing ADDR PORT 0  connects, writes nothing, shuts down and says "EOF" when the server has, too
peer.py [--mptcp] [--bind ADDR] abort ADDR PORT N    sends N bytes, waits for their echo, SO_LINGER 0 and close
peer.py [--mptcp] [--bind ADDR] hold ADDR PORT N     gets N bytes, then says "held", waits for a line on stdin, gets N more
peer.py sha N                                        what get and put should say for N bytes
Errors of the connection are told by name, e.g. "ECONNRESET", exit 1.
"""
import errno
import hashlib
import socket
import struct
import sys
import threading

IPPROTO_MPTCP = 262
BLOCK = bytes((i * 7 + (i >> 8)) & 255 for i in range(65536))


def pattern(count):
    while count > 0:
        yield BLOCK[:count]
        count -= len(BLOCK)


def digest(count):
    h = hashlib.sha256()
    for block in pattern(count):
        h.update(block)
    return h.hexdigest()


def receive(s, count):
    h, got = hashlib.sha256(), 0
    while got < count:
        block = s.recv(min(1 << 18, count - got))
        if not block:
            break
        h.update(block)
        got += len(block)
    return got, h.hexdigest()


def linger0(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def line_of(s):
    line = b""
    while not line.endswith(b"\n"):
        c = s.recv(1)
        if not c:
            break
        line += c
    return line.decode().split()


def serve_one(s):
    words = line_of(s)
    if not words:
        return
    verb, count = words[0], int(words[1]) if len(words) > 1 else 0
    if verb in ("get", "abort", "hold"):
        for block in pattern(count):
            s.sendall(block)
        if verb == "abort":
            s.recv(1)  # the client has it all
            linger0(s)
        elif verb == "hold":
            while s.recv(1):
                for block in pattern(count):
                    s.sendall(block)
        else:
            s.shutdown(socket.SHUT_WR)
            s.recv(1)
    elif verb == "put":
        got, sha = receive(s, count)
        s.sendall(f"{got} {sha}\n".encode())
    elif verb == "echo":
        while True:
            data = s.recv(1 << 16)
            if not data:
                break
            s.sendall(data)


def served(s):
    try:
        serve_one(s)
        print("served", flush=True)
    except OSError as e:
        print(errno.errorcode.get(e.errno, str(e)), flush=True)
    finally:
        s.close()


def make(args, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM, IPPROTO_MPTCP if "--mptcp" in args else 0)


def main(args):
    words, bind = [], None
    it = iter(args)
    for a in it:
        if a == "--bind":
            bind = next(it)
        elif a != "--mptcp":
            words.append(a)
    verb = words[0]
    if verb == "sha":
        print(words[1], digest(int(words[1])))
        return 0
    address, port = words[1], int(words[2])
    s = make(args, address)
    if verb == "serve":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in address:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((address, port))
        s.listen(64)
        print("READY", flush=True)
        while True:
            c, _ = s.accept()
            threading.Thread(target=served, args=(c,), daemon=True).start()
    count = int(words[3])
    s.settimeout(20)
    try:
        if bind:
            s.bind((bind, 0))
        s.connect((address, port))
        if verb == "get":
            s.sendall(f"get {count}\n".encode())
            print(*receive(s, count))
            if s.recv(1):
                print("more than there should be")
        elif verb == "put":
            s.sendall(f"put {count}\n".encode())
            for block in pattern(count):
                s.sendall(block)
            print(" ".join(line_of(s)))
        elif verb == "nothing":
            s.shutdown(socket.SHUT_WR)
            print("EOF" if not s.recv(1) else "data")
        elif verb == "abort":
            s.sendall(b"echo\n" + b"x" * count)
            receive(s, count)
            linger0(s)
            s.close()
            print("aborted")
        elif verb == "reset":
            s.sendall(f"abort {count}\n".encode())
            print(*receive(s, count))
            s.sendall(b"x")
            print("EOF" if not s.recv(1) else "data")
        elif verb == "hold":
            s.sendall(f"hold {count}\n".encode())
            receive(s, count)
            print("held", flush=True)
            for line in sys.stdin:
                if not line.strip():
                    break
                s.sendall(b"x")
                print(*receive(s, count), flush=True)
        s.close()
    except OSError as e:
        print(errno.errorcode.get(e.errno, str(e)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
