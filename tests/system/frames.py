#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What packets an interface sends: none in fragments, none that may be fragmented, and how long they are.

usage: frames.py INTERFACE... >JSON LINES     until SIGTERM; "ready" on stderr, a line for each SIGUSR1 and at the end:
       {"packets": N, "bytes": N, "longest": N, "may_be_fragmented": N, "fragments": N}     since the line before

IPv4 and IPv6 UDP only; IPv6 has no permission to fragment, so only its fragments are counted. Segmentation offload must be off
on the interface, or what is seen is what goes to it and not what it sends.
"""
import json
import select
import signal
import socket
import sys

ETH_P_ALL, OUTGOING, HEAD = 3, 4, 48


class Frames:
    def __init__(self):
        self.seen = dict.fromkeys(("packets", "bytes", "longest", "may_be_fragmented", "fragments"), 0)

    def packet(self, ip, length):
        s = self.seen
        if ip[0] >> 4 == 4:
            if ip[9] != socket.IPPROTO_UDP:
                return
            flags = int.from_bytes(ip[6:8], "big")
            s["may_be_fragmented"] += not flags & 0x4000
            s["fragments"] += bool(flags & 0x3FFF)
        else:
            if ip[6] not in (socket.IPPROTO_UDP, 44):
                return
            s["fragments"] += ip[6] == 44
        s["packets"] += 1
        s["bytes"] += length
        s["longest"] = max(s["longest"], length)

    def say(self):
        print(json.dumps(self.seen), flush=True)
        self.__init__()


def main():
    frames, sockets, ends, wake = Frames(), [], [], socket.socketpair()
    head = bytearray(HEAD)
    for name in sys.argv[1:]:
        s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        s.bind((name, ETH_P_ALL))
        s.setblocking(False)
        sockets.append(s)
    wake[1].setblocking(False)
    signal.set_wakeup_fd(wake[1].fileno())
    signal.signal(signal.SIGTERM, lambda *_: ends.append(True))
    signal.signal(signal.SIGUSR1, lambda *_: None)
    print("ready", file=sys.stderr, flush=True)
    while not ends:
        for s in select.select([*sockets, wake[0]], [], [])[0]:
            if s is wake[0]:
                s.recv(64)
                frames.say()
                continue
            try:
                while True:
                    length, where = s.recvfrom_into(head, HEAD, socket.MSG_TRUNC)
                    if where[1] in (0x0800, 0x86DD) and where[2] == OUTGOING:
                        frames.packet(head, length)
            except BlockingIOError:
                pass


if __name__ == "__main__":
    sys.exit(main())
