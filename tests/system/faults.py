#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Programs of faults.sh.

faults.py echo ADDRESS PORT           a TCP server that sends back what it gets
faults.py talk ADDRESS PORT FILE      one connection: a message every 100 ms, each waited for; FILE has how many came back
faults.py forge DEV SRC DST PORT FROM COUNT right|wrong
    On a router that DEV belongs to: waits for a UDP datagram from SRC to DST:PORT and sends SRC so many ICMP host unreachable
    for it as if they came from FROM, one every 20 ms; "wrong" ones quote bytes that SRC never sent.
"""
import os
import socket
import socketserver
import struct
import sys
import time


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


def echo(address, port):
    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
    Server((address, int(port)), Echo).serve_forever()


def talk(address, port, path):
    s = socket.create_connection((address, int(port)))
    count = 0
    while True:
        s.sendall(b"%1000d" % count)
        got = b""
        while len(got) < 1000:
            more = s.recv(1000 - len(got))
            if not more:
                sys.exit("the connection ended")
            got += more
        if int(got) != count:
            sys.exit("another answer than was asked for")
        count += 1
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(f"{count}\n")
        os.replace(path + ".new", path)
        time.sleep(0.1)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def quoted(dev, src, dst, port):
    """The IP packet of a datagram that went that way: header and 64 bytes."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(0x0800))
    s.bind((dev, 0))
    s.settimeout(10)
    src, dst = socket.inet_aton(src), socket.inet_aton(dst)
    while True:
        p = s.recv(65536)
        if p[9] == 17 and p[12:16] == src and p[16:20] == dst and struct.unpack_from("!H", p, 22)[0] == port:
            return p[:28 + 64]


def forge(dev, src, dst, port, sender, count, kind):
    out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for _ in range(int(count)):
        quote = bytearray(quoted(dev, src, dst, int(port)))
        if kind == "wrong":
            quote[28 + 5:28 + 9] = bytes(b ^ 0x5A for b in quote[28 + 5:28 + 9])  # the counter
        icmp = struct.pack("!BBHI", 3, 1, 0, 0) + bytes(quote)
        icmp = icmp[:2] + struct.pack("!H", checksum(icmp)) + icmp[4:]
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0, socket.inet_aton(sender),
                         socket.inet_aton(src))
        out.sendto(ip + icmp, (src, 0))
        time.sleep(0.02)


if __name__ == "__main__":
    {"echo": echo, "talk": talk, "forge": forge}[sys.argv[1]](*sys.argv[2:])
