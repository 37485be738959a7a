#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Programs of faults.sh.

faults.py echo ADDRESS PORT           a TCP server that sends back what it gets
faults.py talk ADDRESS PORT FILE [BYTES]
    One connection: a message (of 1000 bytes) every 100 ms, each waited for; FILE has how many came back.
faults.py mangle DEV SRC PORT DST COUNT
    On a router that DEV belongs to: sends DST so many copies of datagrams that come in from SRC:PORT for it, IPv6, with other
    content, one every 20 ms.
faults.py alter DEV SRC PORT DST
    On the host of SRC: after a segment of plain form from SRC:PORT to DST, whose mapping is all its data, sends DST the one that
    would follow, with data that its checksum does not know.
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


def talk(address, port, path, size=1000):
    size = int(size)
    s = socket.create_connection((address, int(port)))
    count = 0
    while True:
        s.sendall(b"%*d" % (size, count))
        got = b""
        while len(got) < size:
            more = s.recv(size - len(got))
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


def mangle(dev, src, port, dst, count):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(0x86DD))
    s.bind((dev, 0))
    s.settimeout(10)
    out = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    from_to = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst)
    left = int(count)
    while left:
        p = s.recv(65536)
        if p[6] != 17 or p[8:40] != from_to or struct.unpack_from("!H", p, 40)[0] != int(port) or p[48] != 4:
            continue
        udp = bytearray(p[40:40 + 8 + 64])
        if len(udp) < 8 + 32:
            continue
        struct.pack_into("!I", udp, 13, struct.unpack_from("!I", udp, 13)[0] + 1000 & 0xFFFFFFFF)  # a counter that was not used yet
        struct.pack_into("!H", udp, 4, len(udp))
        udp[6:8] = bytes(2)
        struct.pack_into("!H", udp, 6, checksum(from_to + struct.pack("!II", len(udp), 17) + bytes(udp)) or 0xFFFF)
        out.sendto(struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + from_to + bytes(udp), (dst, 0, 0, 0))
        left -= 1
        time.sleep(0.02)


def followed(udp):
    """The datagram that would follow this one, with the same checksum of other data; None: it does not lend itself to that."""
    tcp = bytearray(udp[8:])
    start = 12 + 4 * ((tcp[0] >> 4) - 5)
    size, at = len(tcp) - start, 12
    while size > 0 and at + 1 < start and tcp[at]:
        if tcp[at] == 1:
            at += 1
            continue
        flags = tcp[at + 3]
        if tcp[at] == 30 and tcp[at + 2] >> 4 == 2 and flags & 4:
            dsn = at + 4 + (0 if not flags & 1 else 8 if flags & 2 else 4)
            wide = 8 if flags & 8 else 4
            if struct.unpack_from("!H", tcp, dsn + wide + 4)[0] != size:
                return None
            value = int.from_bytes(tcp[dsn:dsn + wide], "big") + size
            tcp[dsn:dsn + wide] = (value % (1 << 8 * wide)).to_bytes(wide, "big")
            for field in (4, dsn + wide):  # the segment's sequence number, and the mapping's
                struct.pack_into("!I", tcp, field, struct.unpack_from("!I", tcp, field)[0] + size & 0xFFFFFFFF)
            tcp[start] ^= 1
            return bytes(udp[:6]) + bytes(2) + bytes(tcp)
        at += tcp[at + 1]
    return None


def alter(dev, src, port, dst):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(0x0003))
    s.bind((dev, 0))
    s.settimeout(10)
    out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    src, to = socket.inet_aton(src), socket.inet_aton(dst)
    while True:
        p = s.recv(65536)
        if p[0] == 0x45 and p[9] == 17 and p[12:20] == src + to and struct.unpack_from("!H", p, 20)[0] == int(port):
            udp = followed(p[20:])
            if udp:
                out.sendto(p[:20] + udp, (dst, 0))
                return


if __name__ == "__main__":
    {"echo": echo, "talk": talk, "forge": forge, "mangle": mangle, "alter": alter}[sys.argv[1]](*sys.argv[2:])
