#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a socket does when things go wrong, as text that can be compared: natively against plait.

semantics.py server ADDRESS LOG       listens on the ports below; appends "CASE what it saw" to LOG
semantics.py lone ADDRESS PORT FILE   one listener in a process of its own, to be killed; touches FILE when it holds
                                      a connection from which it has read 5 bytes and to which it has sent 5
semantics.py client CASE ADDRESS      runs one case and prints what the application saw; cases that are to be
                                      killed from outside print READY and their pid
"""
import errno
import os
import select
import socket
import struct
import sys
import threading
import time

HARD = struct.pack("ii", 1, 0)
PORTS = {"remote-reset": 7001, "half-close": 7002, "server-half-close": 7003, "watch": 7004, "linger0": 7005,
         "kill-app": 7006, "kill-app-unread": 7007, "reset-idle": 7008, "linger0-unsent": 7009, "shut-rd": 7010,
         "kill-client-tunneld": 7011, "kill-gateway-tunneld": 7012, "plain": 7013, "oob": 7014, "early-answer": 7015}
BIG = 300000


def name(e):
    return errno.errorcode.get(e, str(e)) if e else "0"


def said(call, *args):
    """The call's errno as a name, or "ok"."""
    try:
        call(*args)
        return "ok"
    except OSError as e:  # Python's own time-out is an OSError without an errno
        return name(e.errno) if e.errno else "no answer"


def read_all(s):
    """"N bytes, EOF" or "N bytes, ECONNRESET": how the stream ended and what came before."""
    n = 0
    try:
        while data := s.recv(65536):
            n += len(data)
        return f"{n} bytes, EOF"
    except OSError as e:
        return f"{n} bytes, {name(e.errno) if e.errno else 'then nothing'}"


def read_some(s, n):
    got = b""
    while len(got) < n:
        data = s.recv(n - len(got))
        if not data:
            break
        got += data
    return got


# The server's side of each case; returns what it saw.

def serve(case, s):
    if case in ("remote-reset", "reset-idle"):
        if case == "remote-reset":
            read_some(s, 5)
        else:
            s.sendall(b"hello")
            read_some(s, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD)
        return "reset it"
    if case == "half-close":
        saw = read_all(s)
        s.sendall(b"x" * BIG)
        return saw
    if case == "server-half-close":
        s.sendall(b"x" * 1000)
        s.shutdown(socket.SHUT_WR)
        return read_all(s)
    if case == "kill-app-unread":
        read_some(s, 5)
        s.sendall(b"y" * 1000)
        return read_all(s)
    if case == "shut-rd":
        read_some(s, 5)
        s.sendall(b"z" * 10)
        return read_all(s)
    if case == "early-answer":  # as HTTP's 413: an answer, and an end with more unread
        read_some(s, 5)
        time.sleep(0.5)
        s.sendall(b"no" * 2000)
        return "answered"
    if case in ("kill-client-tunneld", "kill-gateway-tunneld"):
        read_some(s, 5)
        s.sendall(b"hello")
        return read_all(s)
    return read_all(s)


def server(address, log):
    def handle(case, s):
        s.settimeout(60)
        try:
            saw = serve(case, s)
        except OSError as e:
            saw = name(e.errno)
        s.close()
        with open(log, "a", encoding="utf-8") as f:
            f.write(f"{case} {saw}\n")

    def listen(case, port):
        with socket.create_server((address, port), backlog=64) as listener:
            while True:
                s, _ = listener.accept()
                threading.Thread(target=handle, args=(case, s), daemon=True).start()

    for case, port in PORTS.items():
        threading.Thread(target=listen, args=(case, port)).start()


def lone(address, port, path):
    with socket.create_server((address, int(port))) as listener:
        s, _ = listener.accept()
        read_some(s, 5)
        s.sendall(b"hello")
        with open(path, "w", encoding="utf-8"):
            pass
        time.sleep(600)


# The application's side.

def connect_fails(address, port):
    """A connect that does not succeed, both ways."""
    s = socket.socket()
    blocking = said(s.connect, (address, port))
    again = said(s.connect, (address, port)) if blocking == "ECONNREFUSED" else "-"
    s.close()
    s = socket.socket()
    s.setblocking(False)
    first = name(s.connect_ex((address, port)))
    poll = select.poll()
    poll.register(s, select.POLLOUT)
    events = poll.poll(30000)
    flags = events[0][1] if events else 0
    names = "+".join(n for n in ("POLLOUT", "POLLERR", "POLLHUP") if flags & getattr(select, n))
    error = name(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    then = name(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    peer = said(s.getpeername)
    return (f"blocking {blocking}, again {again}; non-blocking {first}, {names}, SO_ERROR {error} then {then}, "
            f"getpeername {peer}")


def opened(address, port):
    s = socket.create_connection((address, port), timeout=40)
    return s


def ready():
    print("READY", os.getpid(), flush=True)


def client(case, address):
    if case == "refused":
        return connect_fails(address, 9)
    if case in ("net-unreachable", "host-unreachable", "time-out"):
        return connect_fails(address, 80)
    if case == "send-timeout":
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 300000))
        start = time.monotonic()
        error = said(s.connect, (address, 80))
        return f"{error} after {round((time.monotonic() - start) * 10) / 10} s"
    port = PORTS.get(case)
    if case.startswith("kill-server"):
        port = 7100 + (case == "kill-server-unread")
    s = opened(address, port)
    if case == "plain":
        same = s.getpeername() == (address, port)
        s.sendall(b"hello")
        s.close()
        return f"getpeername {'is the server' if same else s.getpeername()}"
    if case == "remote-reset":
        s.sendall(b"hello")
        return f"recv {read_all(s)}; send {said(s.send, b'x')}"
    if case == "reset-idle":
        read_some(s, 5)
        poll = select.poll()
        poll.register(s, select.POLLIN)
        s.send(b"x")
        flags = poll.poll(20000)[0][1]
        names = "+".join(n for n in ("POLLIN", "POLLERR", "POLLHUP") if flags & getattr(select, n))
        return f"{names}, SO_ERROR {name(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))}, recv {read_all(s)}"
    if case == "half-close":
        s.sendall(b"hello")
        s.shutdown(socket.SHUT_WR)
        return f"{read_all(s)}; send {said(s.send, b'x')}"
    if case == "server-half-close":
        first = read_all(s)
        s.sendall(b"x" * BIG)
        s.close()
        return first
    if case == "linger0":
        s.sendall(b"hello")
        time.sleep(0.5)  # so that the five bytes are over there when the reset comes, natively too
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD)
        return f"close {said(s.close)}"
    if case == "linger0-unsent":
        s.setblocking(False)
        while said(s.send, b"x" * 65536) == "ok":
            pass
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD)
        return f"close {said(s.close)}"
    if case == "shut-rd":
        s.shutdown(socket.SHUT_RD)
        s.sendall(b"hello")
        time.sleep(0.3)
        s.shutdown(socket.SHUT_WR)
        return f"recv {read_all(s)}"
    if case == "early-answer":
        while (error := said(s.sendall, b"x" * BIG)) == "ok":
            pass
        # Each time the same number of bytes: they came before the reset.
        return f"send {'fails' if error in ('ECONNRESET', 'EPIPE') else error}, recv {read_all(s)}"
    if case == "oob":
        s.sendall(b"hello")
        sent = said(lambda: s.send(b"!", socket.MSG_OOB))
        s.close()
        return f"send urgent {sent}"
    if case in ("kill-app", "kill-app-unread"):
        s.sendall(b"hello")
        if case == "kill-app-unread":
            select.select([s], [], [], 20)
        ready()
        time.sleep(600)
    if case.startswith("kill-"):
        s.sendall(b"hello")
        if case != "kill-server-unread":
            read_some(s, 5)
        ready()
        if case == "kill-server-unread":
            time.sleep(1)
        end, first = read_all(s), said(s.send, b"x")
        poll = select.poll()
        poll.register(s, 0)  # errors only: the answer to what was just sent
        poll.poll(2000)
        return f"{end}; send {first}, then {said(s.send, b'x')}"
    raise SystemExit(f"no such case: {case}")


def main():
    what, *rest = sys.argv[1:]
    if what == "server":
        server(*rest)
    elif what == "lone":
        lone(*rest)
    else:
        try:
            print(client(*rest))
        except OSError as e:
            print(f"failed: {name(e.errno)}")


if __name__ == "__main__":
    main()
