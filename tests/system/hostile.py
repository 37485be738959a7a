#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Datagrams and control messages that no friend sends. All of it is seeded and goes only into the lab's namespaces.

hostile.py capture INTERFACE ADDRESS FILE N   keeps N datagrams that go to ADDRESS:4500 through INTERFACE
hostile.py replay FILE ADDRESS                sends each again, from another port
hostile.py damaged FILE ADDRESS               every short prefix of some, and bits flipped in all
hostile.py random ADDRESS N                   N datagrams of random length and bytes, half with a true type
hostile.py control SOCKET                     wrong messages on tunneld's local socket
hostile.py status SOCKET                      wrong requests on the status socket
"""
import array
import os
import random
import socket
import struct
import sys
import time

PORT = 4500


def capture(interface, address, path, count):
    """The UDP payloads, one a line in hex. Says READY when it listens."""
    want = socket.inet_aton(address)
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    s.bind((interface, 3))
    s.settimeout(30)
    found = []
    print("READY", flush=True)
    while len(found) < int(count):
        p = s.recv(65535)
        if len(p) < 28 or p[0] >> 4 != 4 or p[9] != 17 or p[16:20] != want:
            continue
        head = (p[0] & 15) * 4
        if struct.unpack("!H", p[head + 2:head + 4])[0] == PORT:
            found.append(p[head + 8:])
    with open(path, "w", encoding="ascii") as f:
        f.writelines(d.hex() + "\n" for d in found)


def load(path):
    with open(path, encoding="ascii") as f:
        return [bytes.fromhex(line) for line in f]


class Sender:
    """UDP, a few datagrams at a time, so that what is not counted was not lost in a socket buffer."""

    def __init__(self, address):
        self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.s.connect((address, PORT))
        self.n = 0

    def send(self, d):
        try:
            self.s.send(d)
        except ConnectionRefusedError:
            pass
        self.n += 1
        if self.n % 64 == 0:
            time.sleep(0.005)  # pacing


def replay(path, address):
    out = Sender(address)
    for d in load(path):
        out.send(d)
    print(out.n)


def damaged(path, address):
    out, chance = Sender(address), random.Random(11)
    datagrams = load(path)
    by_form = {}
    for d in datagrams:
        by_form.setdefault((d[0], len(d)), d)
    for d in list(by_form.values())[:12]:
        for n in range(0, len(d), 1 if len(d) < 300 else 37):
            out.send(d[:n])
        out.send(d + b"\0")
    for d in datagrams:
        at = chance.randrange(len(d))
        out.send(d[:at] + bytes([d[at] ^ 1 << chance.randrange(8)]) + d[at + 1:])
    print(out.n)


def noise(address, count):
    out, chance = Sender(address), random.Random(12)
    for i in range(int(count)):
        d = chance.randbytes(chance.choice((0, 1, 4, 9, 25, 26, 92, 148, chance.randrange(1472))))
        if i % 2 and d:
            d = bytes([chance.randrange(1, 6)]) + (b"\0\0\0" if i % 4 == 1 else b"") + d[1:]
        out.send(d)
    print(out.n)


def control(path):
    chance = random.Random(13)

    def talk(message, fds=(), leave_open=False):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(5)
        try:
            s.connect(path)
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            s.sendmsg([message], ancillary)
            if not leave_open:
                s.recv(4096)  # an answer, or the end: either is one
        except ConnectionError:
            pass
        except socket.timeout:
            print(f"no answer and no end to a message of {len(message)} bytes with {len(fds)} descriptors")
            sys.exit(1)
        if leave_open:
            return s
        s.close()
        return None

    tcp = socket.socket()
    listener = socket.create_server(("127.0.0.1", 0))
    connected = socket.create_connection(listener.getsockname())
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    unix = socket.socket(socket.AF_UNIX)
    devnull, directory = os.open("/dev/null", os.O_RDWR), os.open("/", os.O_RDONLY)

    def ask(kind, family=4, port=80, size=52, fd=3):
        return (b"PLA1" + bytes([kind, 0, 0, 0]) + struct.pack("!I", fd) +
                bytes([family, 0]) + struct.pack("!HI", port, 0) + chance.randbytes(16) + b"\xff" * 16)[:size]

    for n in range(0, 200):
        talk(chance.randbytes(n) or b"\0")
        talk(ask(1)[:n] or b"\0", [tcp.fileno()])
    talk(b"\0" * 60000)
    for kind in list(range(0, 9)) + [255]:
        talk(ask(kind))                                   # without a descriptor
        for family in (0, 4, 6, 5, 255):
            for f in (tcp.fileno(), listener.fileno(), connected.fileno(), udp.fileno(), unix.fileno(), devnull,
                      directory):
                talk(ask(kind, family, chance.choice((0, 80))), [f])
        talk(ask(kind), [tcp.fileno()] * 2)
        talk(ask(kind), [tcp.fileno()] * 200)
    held = [talk(ask(1)[:10], leave_open=True) for _ in range(50)]  # never finishes its question
    silent = []
    for _ in range(50):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.connect(path)
        silent.append(s)                                  # never asks
    del held, silent
    print("done")


def status(path):
    for request in (b"", b"\0\0\0\0", b"GET\r\n\r\n", b"GET /v1/connections/zzz HTTP/1.1\r\nHost: x\r\n\r\n",
                    b"GET /v1/connections/" + b"9" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                    b"POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
                    b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
                    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20000 + b"\r\n", random.Random(14).randbytes(5000)):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(3)
        try:
            s.connect(path)
            s.sendall(request)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except OSError:
            pass
        s.close()
    print("done")


if __name__ == "__main__":
    {"capture": capture, "replay": replay, "damaged": damaged, "random": noise, "control": control,
     "status": status}[sys.argv[1]](*sys.argv[2:])
