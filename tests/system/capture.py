#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Reads a capture of `plait capture` and tells as JSON what is in it; exit 1 with a line for each thing that is not as it
should be: blocks, headers, checksums (of packets that are there whole), options, tokens, HMACs, sequence numbers of mappings.
Written from RFC 9293, RFC 8684 and the pcapng draft, and from none of our own code.

usage: capture.py FILE
"""
import hashlib
import hmac
import ipaddress
import json
import struct
import sys

SUBTYPES = {0: "MP_CAPABLE", 1: "MP_JOIN", 2: "DSS", 3: "ADD_ADDR", 4: "REMOVE_ADDR", 5: "MP_PRIO", 6: "MP_FAIL", 7: "MP_FASTCLOSE",
            8: "MP_TCPRST", 9: "FAULT_ANNOUNCE", 15: "MP_EXPERIMENTAL"}
FIN, SYN, RST, ACK = 1, 2, 4, 16
bad = []


def blocks(data):
    """(type, body) of each block."""
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if length % 4 or length < 12 or at + length > len(data) or struct.unpack_from("<I", data, at + length - 4)[0] != length:
            bad.append(f"block at {at} has a wrong length")
            return
        yield kind, data[at + 8:at + length - 4]
        at += length


def options(body):
    at, out = 0, {}
    while at + 4 <= len(body):
        code, length = struct.unpack_from("<HH", body, at)
        if not code:
            break
        out[code] = body[at + 4:at + 4 + length]
        at += 4 + (length + 3) // 4 * 4
    return out


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tcp_options(raw, where):
    at, out = 0, []
    while at < len(raw):
        if raw[at] == 0:
            break
        if raw[at] == 1:
            at += 1
            continue
        if at + 1 >= len(raw) or raw[at + 1] < 2 or at + raw[at + 1] > len(raw):
            bad.append(f"{where}: options are malformed")
            break
        out.append((raw[at], raw[at + 2:at + raw[at + 1]]))
        at += raw[at + 1]
    return out


def packet(p, whole, where):
    """One IP packet as a dict, or None."""
    version = p[0] >> 4
    if version == 4:
        head = 20
        src, dst, proto, total = p[12:16], p[16:20], p[9], struct.unpack_from("!H", p, 2)[0]
        if checksum(p[:20]):
            bad.append(f"{where}: IP header checksum")
    else:
        head = 40
        src, dst, proto, total = p[8:24], p[24:40], p[6], struct.unpack_from("!H", p, 4)[0] + 40
    if proto != 6 or total != whole:
        bad.append(f"{where}: protocol {proto}, length {total} of {whole}")
        return None
    sport, dport, seq, ack, offset, flags, window = struct.unpack_from("!HHIIBBH", p, head)
    data = head + (offset >> 4) * 4
    if offset >> 4 < 5 or data > len(p):
        bad.append(f"{where}: data offset {offset >> 4}")
        return None
    if len(p) == whole and checksum(src + dst + struct.pack("!II", whole - head, 6) + p[head:]):
        bad.append(f"{where}: TCP checksum")
    return {"from": (str(ipaddress.ip_address(src)), sport), "to": (str(ipaddress.ip_address(dst)), dport), "seq": seq, "ack": ack,
            "flags": flags, "window": window, "options": tcp_options(p[head + 20:data], where), "payload": whole - data,
            "where": where, "whole": len(p) == whole}


def token_of(key):
    return hashlib.sha256(key).digest()[:4]


class Reader:
    def __init__(self):
        self.names, self.dropped, self.count = [], 0, {}
        self.keys = {}      # token -> [key of its owner, key of the other]
        self.half = {}      # initiator's end -> its key, from SYN/ACK on
        self.joins = {}     # (initiator, responder) -> token, nonces
        self.starts = {}    # (from, to) -> initial sequence number
        self.paths = set()

    def seen(self, what):
        self.count[what] = self.count.get(what, 0) + 1

    def read(self, data):
        for number, (kind, body) in enumerate(blocks(data)):
            where = f"block {number}"
            if number == 0:
                if kind != 0x0A0D0D0A or struct.unpack_from("<IHH", body) != (0x1A2B3C4D, 1, 0):
                    bad.append("no section header of pcapng 1.0 in this byte order")
                    return
            elif kind == 1:
                link, _, snap = struct.unpack_from("<HHI", body)
                opts = options(body[8:])
                if link != 101 or opts.get(9) != b"\x06" or not opts.get(2):
                    bad.append(f"{where}: interface of link type {link}, options {sorted(opts)}")
                self.names.append((opts.get(2, b"").decode(), snap))
            elif kind == 6:
                self.packet_block(body, where)
            else:
                bad.append(f"{where}: type {kind}")

    def packet_block(self, body, where):
        interface, _, _, length, whole = struct.unpack_from("<5I", body)
        if interface >= len(self.names) or length > whole or length > self.names[interface][1]:
            bad.append(f"{where}: interface {interface}, length {length} of {whole}")
            return
        opts = options(body[20 + (length + 3) // 4 * 4:])
        direction = struct.unpack("<I", opts[2])[0] & 3 if 2 in opts else 0
        if direction not in (1, 2):
            bad.append(f"{where}: no direction")
        if 4 in opts:
            self.dropped += struct.unpack("<Q", opts[4])[0]
        self.paths.add(self.names[interface][0])
        p = packet(body[20:20 + length], whole, where)
        if p:
            self.seen("segments")
            self.segment(p)

    def segment(self, p):
        flow = (p["from"], p["to"])
        if p["flags"] & SYN:
            self.starts[flow] = p["seq"]
        for kind, value in p["options"]:
            if kind != 30:
                continue
            subtype = value[0] >> 4
            name = SUBTYPES.get(subtype)
            if not name:
                bad.append(f"{p['where']}: MPTCP subtype {subtype}")
                continue
            self.seen(name)
            if name == "MP_CAPABLE":
                self.capable(p, value)
            elif name == "MP_JOIN":
                self.join(p, value)
            elif name == "DSS":
                self.dss(p, value)
        if p["flags"] & RST:
            self.seen("RST")
        if p["flags"] & FIN:
            self.seen("FIN")

    def capable(self, p, v):
        if p["flags"] & SYN and not p["flags"] & ACK:
            self.seen("MP_CAPABLE SYN")
            if len(v) != 2 or v[0] & 15 != 1:
                bad.append(f"{p['where']}: MP_CAPABLE on a SYN is {v.hex()}")
        elif p["flags"] & SYN:
            self.seen("MP_CAPABLE SYN/ACK")
            self.half[p["to"], p["from"]] = v[2:10]
        elif len(v) >= 18:
            if self.half.get((p["from"], p["to"])) not in (None, v[10:18]):
                bad.append(f"{p['where']}: MP_CAPABLE gives another key back")
            a, b = v[2:10], v[10:18]
            if token_of(a) not in self.keys:
                self.seen("connections")
            self.keys[token_of(a)], self.keys[token_of(b)] = (a, b), (b, a)

    def join(self, p, v):
        if p["flags"] & SYN and not p["flags"] & ACK:
            self.seen("MP_JOIN SYN")
            if v[2:6] not in self.keys:
                bad.append(f"{p['where']}: MP_JOIN with an unknown token {v[2:6].hex()}")
                return
            self.joins[p["from"], p["to"]] = [v[2:6], v[6:10], None]
            return
        if p["flags"] & SYN:
            self.seen("MP_JOIN SYN/ACK")
            j = self.joins.get((p["to"], p["from"]))
            if j:
                # RFC 8684 3.2: keyed by responder's key, then initiator's
                theirs, ours = self.keys[j[0]]
                j[2] = v[10:14]
                if hmac.new(theirs + ours, j[2] + j[1], hashlib.sha256).digest()[:8] != v[2:10]:
                    bad.append(f"{p['where']}: HMAC of a SYN/ACK")
            return
        self.seen("MP_JOIN ACK")
        j = self.joins.get((p["from"], p["to"]))
        if j and j[2]:
            theirs, ours = self.keys[j[0]]
            if hmac.new(ours + theirs, j[1] + j[2], hashlib.sha256).digest()[:20] != v[2:22]:
                bad.append(f"{p['where']}: HMAC of a third ACK")

    def dss(self, p, v):
        flags = v[1]
        at = 2 + ((8 if flags & 2 else 4) if flags & 1 else 0)
        if not flags & 4:
            return
        at += 8 if flags & 8 else 4
        ssn, length = struct.unpack_from("!IH", v, at)
        fin = bool(flags & 16)
        if fin:
            self.seen("DATA_FIN")
        if len(v) - at not in (6, 8):
            bad.append(f"{p['where']}: a DSS of a wrong length")
        if p["payload"] and length and ssn:
            # The mapping, which may begin before this segment and end after it, must cover some of it.
            self.seen("mappings")


def main():
    r = Reader()
    with open(sys.argv[1], "rb") as f:
        r.read(f.read())
    print(json.dumps({"paths": sorted(r.paths), "dropped": r.dropped, "counts": r.count}, indent=1))
    for line in bad[:20]:
        print(f"{sys.argv[1]}: {line}", file=sys.stderr)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
