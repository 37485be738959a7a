#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The cases of `make interop`. Runs inside interop.sh: namespaces k (the kernel's MPTCP) and p (tunneld's plain mode).

    k  10.9.N.2  fd09:N::2  tN ---- translator tcpudp ---- uN  10.9.N.1  fd09:N::1  p          N = 1..4

Client role: an application under the shim in p, peer.py --mptcp in k. Server role: peer.py --mptcp in k connects to
plain.listen in p, which forwards to a plain peer.py there. Every case starts with a fresh tunneld, no endpoints, default
sysctls and a translator that meddles with nothing; it ends with the kernel's MPTcpExt counters compared with ours.
"""
import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

LAB, B, HERE = os.environ["LAB"], os.environ["B"], os.path.dirname(os.path.abspath(__file__))
PEER = ["/usr/bin/python3", os.path.join(HERE, "peer.py")]
PATHS, PORT, LISTEN = 4, 5001, 8080
CTL = f"{LAB}/x.ctl"
VERBOSE = bool(os.environ.get("V"))

# Kernel's name, ours: how often each side did what the other saw. "k": the kernel sent, "p": we sent.
# A sender may count more than the receiver saw only where a packet was lost or is repeated: then ">=" to the receiver's.
SAME = [
    ("MPCapableSYNTX", "MPCapableSYNRX", "k"), ("MPCapableSYNRX", "MPCapableSYNTX", "p"),
    ("MPJoinSynTx", "MPJoinSynRx", "k"), ("MPJoinSynRx", "MPJoinSynTx", "p"),
    ("AddAddrTx", "AddAddr", "k"), ("AddAddr", "AddAddrTx", "p"),
    ("EchoAddTx", "EchoAdd", "k"), ("EchoAdd", "EchoAddTx", "p"),
    ("RmAddrTx", "RmAddr", "k"), ("RmAddr", "RmAddrTx", "p"),
    ("MPPrioTx", "MPPrioRx", "k"), ("MPPrioRx", "MPPrioTx", "p"),
    ("MPFailTx", "MPFailRx", "k"), ("MPFailRx", "MPFailTx", "p"),
    ("MPFastcloseTx", "MPFastcloseRx", "k"), ("MPFastcloseRx", "MPFastcloseTx", "p"),
    ("InfiniteMapTx", "InfiniteMapRx", "k"), ("InfiniteMapRx", "InfiniteMapTx", "p"),
]
# What no case expects unless it says so.
NEVER_K = ["MPJoinAckHMacFailure", "MPJoinSynAckHMacFailure", "MPJoinNoTokenFound", "DSSNotMatching", "DataCsumErr",
           "DSSCorruptionFallback", "DSSCorruptionReset", "MPCapableFallbackACK", "MPCapableFallbackSYNACK", "MPFailTx",
           "MPFailRx", "InfiniteMapTx", "InfiniteMapRx", "MPCapableDataFallback", "DssFallback", "Blackhole", "DSSNoMatchTCP"]
NEVER_P = ["MPJoinAckHMacFailure", "MPJoinSynAckHMacFailure", "DssNotMatching", "DataCsumErr", "DSSCorruptionReset",
           "AddAddrBadHmac", "MPCapableBadKey", "DSSNoMatch", "SegmentMalformed", "SegmentTruncated", "PAWSRejected"]


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def check(what, ok):
    if not ok:
        raise Failed(what)


def inside(ns, *words):
    return ["nsenter", f"--net=/run/netns/{ns}", "--", *[str(w) for w in words]]


def run(ns, *words, must=True, timeout=150):
    r = subprocess.run(inside(ns, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout)
    if must and r.returncode:
        raise Failed(f"{' '.join(map(str, words))}: {r.stdout.strip()}")
    return r.stdout.strip()


def until(what, fn, seconds=10):
    end = time.monotonic() + seconds
    while not fn():
        if time.monotonic() > end:
            raise Failed(f"still waiting for {what}")
        time.sleep(0.02)


def addr(side, n, six=False):
    last = 2 if side == "k" else 1
    return f"fd09:{n}::{last}" if six else f"10.9.{n}.{last}"


class Lab:
    def __init__(self):
        self.daemons, self.tunneld = [], None
        pairs = [f"k:t{n},p:u{n}" for n in range(1, PATHS + 1)]
        self.spawn(None, "tcpudp", f"{B}/tests/interop/tcpudp", "-u", CTL, *pairs)
        until("the translator", lambda: "READY" in self.log("tcpudp"))
        for n in range(1, PATHS + 1):
            for ns, dev in (("k", "t"), ("p", "u")):
                other = "p" if ns == "k" else "k"
                run(ns, "ip", "addr", "add", addr(ns, n), "peer", addr(other, n), "dev", f"{dev}{n}")
                run(ns, "ip", "addr", "add", addr(ns, n, True) + "/64", "dev", f"{dev}{n}", "nodad")
                # By every device to everywhere: a subflow from one address to another's network leaves by its own.
                run(ns, "ip", "route", "add", "10.9.0.0/16", "dev", f"{dev}{n}", "metric", 100 + n)
                run(ns, "ip", "-6", "route", "add", "fd09::/16", "dev", f"{dev}{n}", "metric", 100 + n)
        for ns in ("k", "p"):
            run(ns, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
        run("k", "ip", "mptcp", "limits", "set", "subflow", 8, "add_addr_accepted", 8)
        for six in (False, True):
            self.spawn("k", "peer-k", *PEER, "--mptcp", "serve", "::" if six else "0.0.0.0", PORT)
            self.spawn("p", "peer-p", *PEER, "serve", "::1" if six else "127.0.0.1", PORT)
        until("the peers", lambda: self.log("peer-k").count("READY") == 2 and self.log("peer-p").count("READY") == 2)

    def log(self, name):
        try:
            with open(f"{LAB}/{name}.log", encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def spawn(self, ns, name, *words):
        with open(f"{LAB}/{name}.log", "a", encoding="utf-8") as out:
            words = inside(ns, *words) if ns else [str(w) for w in words]
            p = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        self.daemons.append(p)
        return p

    def x(self, *words):
        """Tells the translator."""
        return subprocess.run([f"{B}/tests/interop/tcpudp", "-c", CTL, *map(str, words)], stdout=subprocess.PIPE, text=True,
                              check=True).stdout

    def status(self, what):
        r = subprocess.run(["curl", "-sf", "--max-time", "5", "--unix-socket", f"{LAB}/p.status", f"http://tunneld{what}"],
                           stdout=subprocess.PIPE, text=True, check=False)
        return json.loads(r.stdout) if r.returncode == 0 else None

    def start(self, paths, transport, listen, forward=PORT):
        links = [{"name": f"u{n}", "interface": f"u{n}", **({"backup": True} if n in transport.get("backup", ()) else {})}
                 for n in range(1, paths + 1)]
        keep = {k: v for k, v in transport.items() if k == "keepalive_ms"} # of plain
        transport = {k: v for k, v in transport.items() if k not in ("backup", "keepalive_ms")}
        config = {
            "client": {"socket": f"{LAB}/p.sock", "paths": links},
            "plain": {"connect": [{"to": "10.9.0.0/16"}, {"to": "fd09::/16"}],
                      "listen": [{"forward": f"{'[::1]' if '[' in one['address'] else '127.0.0.1'}:{forward}", **one}
                                 for one in listen], **keep},
            "transport": transport, "status": {"socket": f"{LAB}/p.status"}}
        self.configure(config)
        self.tunneld = self.spawn("p", "tunneld", f"{B}/tunneld", "-c", f"{LAB}/p.json")
        until("tunneld", lambda: self.status("/v1/status"))

    def configure(self, config):
        self.config = config
        with open(f"{LAB}/p.json", "w", encoding="utf-8") as f:
            json.dump(config, f)

    def reload(self, config):
        """SIGHUP; returns when it has been served."""
        before = self.log("tunneld").count("reloaded: ")
        self.configure(config)
        self.tunneld.send_signal(signal.SIGHUP)
        until("the reload", lambda: self.log("tunneld").count("reloaded: ") > before)

    def stop(self):
        if not self.tunneld:
            return
        died = self.tunneld.poll()
        self.tunneld.kill()
        self.tunneld.wait()
        self.daemons.remove(self.tunneld)
        self.tunneld = None
        if died is not None:
            raise Failed(f"tunneld ended by itself, status {died}: {self.log('tunneld')[-1500:]}")

    def kernel(self):
        out = {}
        lines = run("k", "cat", "/proc/net/netstat").splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            if names.startswith("MPTcpExt:"):
                out = dict(zip(names.split()[1:], map(int, values.split()[1:])))
        return out

    def ours(self):
        j = self.status("/v1/status")
        return j["counters"] if j else {}

    def shim(self, *words, **kw):
        return run("p", "env", f"PLAIT_SOCKET={LAB}/p.sock", f"{B}/plait", "run", "--", *words, **kw)

    def end(self):
        for p in self.daemons:
            p.kill()
        for p in self.daemons:
            p.wait()


class Case:
    """What one case sees: its lab, counters since it began, and what it lets happen."""

    def __init__(self, lab, paths=1, six=False, server=False, checksum=False, transport=None, listen=None):
        self.lab, self.paths, self.six, self.server, self.checksum = lab, paths, six, server, checksum
        self.transport = dict(transport or {}, checksum=checksum)
        self.listen = listen or [{"address": f"0.0.0.0:{LISTEN}"}, {"address": f"[::]:{LISTEN}"}]
        self.allowed, self.unequal, self.notes = set(), set(), []
        self.k = self.p = None
        self.background = []

    def begin(self):
        lab = self.lab
        for verb in (("loss", 0), ("delay", 0), ("up",), ("strip", "none"), ("after", 0), ("corrupt", 0), ("mtu", 0)):
            lab.x(*verb)
        run("k", "ip", "mptcp", "endpoint", "flush")
        run("k", "sysctl", "-qw", f"net.mptcp.checksum_enabled={int(self.checksum)}", "net.mptcp.blackhole_timeout=0",
            "net.mptcp.allow_join_initial_addr_port=1")
        self.before = lab.kernel()
        lab.start(1 if self.server else self.paths, self.transport, self.listen)
        if self.server:
            for n in range(2, self.paths + 1):
                self.endpoint(n, "subflow")

    def endpoint(self, n, *flags):
        run("k", "ip", "mptcp", "endpoint", "add", addr("k", n, self.six), "dev", f"t{n}", *flags)

    def allow(self, *names):
        self.allowed.update(names)

    def differ(self, *kernel_names):
        """Counters that may disagree in this case (a loss, a repetition)."""
        self.unequal.update(kernel_names)

    def app(self, verb, n, must=True, mptcp=True, timeout=150):
        """The application at the side that connects."""
        if self.server:
            return run("k", *PEER, *(["--mptcp"] if mptcp else []), verb, addr("p", 1, self.six), LISTEN, n, must=must, timeout=timeout)
        return self.lab.shim(*PEER, verb, addr("k", 1, self.six), PORT, n, must=must, timeout=timeout)

    def hold(self, n=100000, to=None):
        """A connection that stays: gets n bytes; each more() n more."""
        words = ([*inside("k", *PEER, "--mptcp", "hold", to or addr("p", 1, self.six), LISTEN, n)] if self.server else
                 [*inside("p", "env", f"PLAIT_SOCKET={LAB}/p.sock", f"{B}/plait", "run", "--", *PEER, "hold",
                          addr("k", 1, self.six), PORT, n)])
        p = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.background.append(p)
        line = p.stdout.readline()
        check(f"the connection holds ({line.strip()})", line == "held\n")
        return p

    def more(self, p, n=100000):
        p.stdin.write("x\n")
        p.stdin.flush()
        line = p.stdout.readline().strip()
        check(f"{n} more bytes arrive whole ({line})", line == want(n))

    def let_go(self, p):
        p.stdin.write("\n")
        p.stdin.flush()
        p.wait(timeout=20)

    def count(self):
        now = self.lab.kernel()
        self.k = {name: now[name] - self.before.get(name, 0) for name in now if name != "MPCurrEstab"}
        self.p = self.lab.ours()

    def seen(self, kernel=None, ours=None, least=1, seconds=10):
        """Waits until a counter has moved by at least so much."""
        def moved():
            self.count()
            return (self.k if kernel else self.p).get(kernel or ours, 0) >= least
        until(f"{'kernel ' + kernel if kernel else 'our ' + ours} to be {least}", moved, seconds)

    def finish(self):
        for p in self.background:
            p.kill()
            p.wait()
        self.quiet()
        self.count()
        for name in NEVER_K:
            check(f"kernel {name} is {self.k.get(name)}", not self.k.get(name) or name in self.allowed)
        for name in NEVER_P:
            check(f"our {name} is {self.p.get(name)}", not self.p.get(name) or name in self.allowed)
        for kernel, ours, _ in SAME:
            if kernel not in self.unequal and ours in self.p:
                check(f"{kernel} of the kernel is {self.k.get(kernel)}, our {ours} is {self.p[ours]}",
                      self.k.get(kernel) == self.p[ours])

    def quiet(self):
        """Both sides have nothing under way: what they counted is all there will be."""
        before = None
        for _ in range(60):
            self.count()
            now = ({k: v for k, v in self.k.items() if v}, self.p.get("MPRstTx"), self.p.get("MPFastcloseTx"))
            if now == before:
                return
            before = now
            time.sleep(0.1)

    def excerpt(self):
        self.count()
        interesting = [n for n in self.k if self.k[n] and n not in ("MPTCPRetrans", "OFOQueueTail", "OFOQueue", "OFOMerge",
                       "DuplicateData", "SndWndShared", "RcvWndShared", "RcvWndConflictUpdate", "RcvWndConflict", "WinProbe")]
        return " ".join(f"{n}={self.k[n]}" for n in interesting)


SHA = {}
BLOCK = bytes((i * 7 + (i >> 8)) & 255 for i in range(65536))  # peer.py's


def blocks(count):
    while count > 0:
        yield BLOCK[:count]
        count -= len(BLOCK)


def want(n):
    if n not in SHA:
        SHA[n] = subprocess.run([*PEER, "sha", str(n)], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return SHA[n]


CASES = []


def case(name, short=False, **config):
    def add(fn):
        CASES.append((name, short, config, fn))
        return fn
    return add


# --- transfers: roles, families, paths, checksums ---

def transfer(c, size):
    c.app_delay = 5
    c.lab.x("delay", 5)
    for verb in ("get", "put"):
        said = c.app(verb, size)
        check(f"{verb} {size}: {said}", said == want(size))
    c.count()
    joins = c.k["MPJoinSynAckRx" if c.server else "MPJoinAckRx"]
    check(f"{c.paths} subflows each: {joins} joins in two connections", joins == 2 * (c.paths - 1))
    check("no fallback", c.k["MPCapableSYNACKRX" if c.server else "MPCapableACKRX"] == 2)


for server in (False, True):
    for six in (False, True):
        for n in (1, 2, 3, 4):
            for checksum in (False, True):
                case(f"{'server' if server else 'client'}, IPv{6 if six else 4}, {n} path{'s' if n > 1 else ''}, "
                     f"checksums {'on' if checksum else 'off'}", paths=n, six=six, server=server, checksum=checksum,
                     short=(n, six, checksum) in ((1, False, False), (2, True, True), (4, False, False)))(
                         lambda c: transfer(c, 2000000))


def lossy(c):
    """64 MiB each way with 1 % of all packets lost."""
    c.lab.x("delay", 2)
    c.lab.x("loss", 1)
    c.differ(*[s[0] for s in SAME])
    for verb in ("get", "put"):
        said = c.app(verb, 64 << 20, timeout=200)
        check(f"{verb}: {said}", said == want(64 << 20))
    c.lab.x("loss", 0)


for server in (False, True):
    case(f"{'server' if server else 'client'}: 64 MiB each way, 2 paths, 1 % loss", paths=2, server=server)(lossy)


@case("server: keep-alives, answered by the kernel on both subflows; then one way is cut", paths=2, server=True,
      transport={"keepalive_ms": 400}, short=True)
def keepalive(c):
    p = c.hold()
    c.seen(kernel="MPJoinSynAckRx")
    c.seen(ours="KeepAliveTx", least=6)
    c.more(p)
    check("none was lost", not c.p.get("KeepAliveLost"))
    c.lab.x(2, "down")
    c.seen(ours="KeepAliveLost")
    c.more(p)
    c.differ("MPRstRx", "MPRstTx")
    c.let_go(p)


# --- addresses ---

@case("client: the kernel announces an address, we echo and join it", paths=1, short=True)
def add_addr_client(c):
    c.endpoint(2, "signal")
    p = c.hold()
    c.seen(kernel="MPJoinAckRx")
    c.seen(kernel="EchoAdd")
    c.more(p)
    c.let_go(p)


@case("client: the same over IPv6", paths=1, six=True)
def add_addr_client6(c):
    add_addr_client(c)


@case("client: the kernel removes an announced address", paths=1)
def remove_addr_client(c):
    c.endpoint(2, "signal")
    p = c.hold()
    c.seen(kernel="MPJoinAckRx")
    c.more(p)
    run("k", "ip", "mptcp", "endpoint", "flush")
    c.seen(ours="RmAddr")
    c.more(p)
    c.let_go(p)


@case("server: the kernel's subflow endpoint goes, REMOVE_ADDR", paths=2, server=True)
def remove_addr_server(c):
    p = c.hold()
    c.seen(kernel="MPJoinSynAckRx")
    c.more(p)
    listed = run("k", "ip", "mptcp", "endpoint", "show")
    run("k", "ip", "mptcp", "endpoint", "delete", "id", re.search(r"id (\d+)", listed).group(1))
    c.seen(ours="RmAddr")
    c.more(p)
    c.let_go(p)


@case("client: the kernel says C (no joins to its first address) and announces another", paths=2)
def no_join_here(c):
    run("k", "sysctl", "-qw", "net.mptcp.allow_join_initial_addr_port=0")
    c.endpoint(2, "signal")
    p = c.hold()
    c.seen(kernel="MPJoinAckRx")
    c.more(p)
    subflows = c.lab.status("/v1/connections")["connections"][0]["subflows"]
    remotes = sorted(s["remote"].rpartition(":")[0] for s in subflows)
    check(f"joins go to the announced address alone: {remotes}", remotes == [addr("k", 1), addr("k", 2)])
    c.let_go(p)


@case("server: plain.listen announces its addresses, the kernel joins each; one that goes is withdrawn", server=True, short=True,
      listen=[{"address": f"0.0.0.0:{LISTEN}", "announce": True}])
def announce(c):
    p = c.hold()
    c.seen(kernel="EchoAddTx", least=PATHS - 1)
    c.seen(ours="MPJoinSynRx", least=PATHS - 1)
    c.more(p)
    gone = ("ip", "addr", "del", addr("p", 2), "peer", addr("k", 2), "dev", "u2")
    run("p", *gone)
    try:
        c.seen(kernel="RmAddr")
        c.more(p)
    finally:
        run("p", *("add" if w == "del" else w for w in gone))
        run("p", "ip", "route", "replace", "10.9.0.0/16", "dev", "u2", "metric", 102)
    # What comes back is told again, and joined again.
    c.seen(kernel="EchoAddTx", least=PATHS)
    c.seen(ours="MPJoinSynRx", least=PATHS)
    c.differ("RmAddr")  # sent three times, since nothing answers it
    c.more(p)
    c.let_go(p)


@case("server: IPv6 addresses are announced on an IPv4 connection, and joined", server=True,
      listen=[{"address": f"10.9.1.1:{LISTEN}", "forward": f"127.0.0.1:{PORT}"},
              {"address": f"[{addr('p', 2, True)}]:{LISTEN}", "forward": f"127.0.0.1:{PORT}", "announce": True}])
def announce_six(c):
    p = c.hold(to="::ffff:10.9.1.1")  # a socket of AF_INET the kernel would not add IPv6 to
    c.seen(ours="MPJoinSynRx")
    remotes = run("k", "ss", "-Htn", "dst", f"[{addr('p', 2, True)}]")
    check(f"the kernel's subflow goes to the IPv6 address: {remotes}", "ESTAB" in remotes)
    c.more(p)
    c.let_go(p)


@case("server: we say C (no joins to the first address) and announce another, with a port", paths=2, server=True,
      listen=[{"address": f"10.9.1.1:{LISTEN}", "joins": False}, {"address": f"10.9.2.1:{LISTEN + 1}", "announce": True}])
def our_no_joins(c):
    p = c.hold()
    c.seen(ours="MPJoinSynRx")
    c.more(p)
    subflows = c.lab.status("/v1/connections")["connections"][0]["subflows"]
    locals_ = sorted({s["local"] for s in subflows})
    check(f"joins come to the announced address alone: {locals_}", locals_ == [f"10.9.1.1:{LISTEN}", f"10.9.2.1:{LISTEN + 1}"])
    at_first = sum(s["local"] == f"10.9.1.1:{LISTEN}" for s in subflows)
    check(f"one subflow at the first address: {at_first}", at_first == 1)
    c.let_go(p)


@case("server: SIGHUP adds a listener, which is announced; one taken out keeps its connections and takes no more", server=True,
      short=True, listen=[{"address": f"10.9.1.1:{LISTEN}"}])
def reload_listeners(c):
    p = c.hold()
    config = copy.deepcopy(c.lab.config)
    first, = config["plain"]["listen"]
    second = {**first, "address": f"10.9.2.1:{LISTEN}", "announce": True}
    config["plain"]["listen"] = [first, second]
    c.lab.reload(config)
    c.seen(ours="MPJoinSynRx")
    c.more(p)
    config["plain"]["listen"] = [second]
    c.lab.reload(config)
    c.more(p)
    said = c.app("get", 1000, must=False)
    check(f"no new connection: {said}", "refused" in said.lower())
    c.more(p)
    c.let_go(p)
    until("the first listener to be closed", lambda: f"no longer listening on 10.9.1.1:{LISTEN}" in c.lab.log("tunneld"))


# --- priority ---

@case("client: SIGHUP makes a path a backup, the kernel hears MP_PRIO; and back", paths=2)
def reload_backup(c):
    p = c.hold()
    c.seen(kernel="MPJoinAckRx")
    c.more(p)
    config = copy.deepcopy(c.lab.config)
    config["client"]["paths"][1]["backup"] = True
    c.lab.reload(config)
    c.seen(kernel="MPPrioRx")
    flags = re.findall(r"flags:(\w+)", run("k", "ss", "-Htni"))  # B: the peer asked for backup
    check(f"the kernel says so of one subflow: {flags}", sorted("B" in f for f in flags) == [False, True])
    config["client"]["paths"][1]["backup"] = False
    c.lab.reload(config)
    c.seen(kernel="MPPrioRx", least=2)
    c.more(p)
    flags = re.findall(r"flags:(\w+)", run("k", "ss", "-Htni"))
    check(f"and no more: {flags}", not any("B" in f for f in flags))
    c.let_go(p)



@case("client: our backup path joins with B, the kernel leaves it alone", paths=2, transport={"backup": [2]}, short=True)
def backup_client(c):
    p = c.hold()
    c.seen(kernel="MPJoinAckRx")
    check(f"the kernel saw B: MPJoinSynBackupRx={c.k['MPJoinSynBackupRx']}", c.k["MPJoinSynBackupRx"] == 1)
    for _ in range(3):
        c.more(p)
    out = int(re.search(r"2 out packets=(\d+)", c.lab.x("stat")).group(1))
    for _ in range(3):
        c.more(p)
    now = int(re.search(r"2 out packets=(\d+)", c.lab.x("stat")).group(1))
    check(f"300 kB added {now - out} packets to the backup path", now - out < 10)
    c.let_go(p)


@case("server: the kernel's backup endpoint, then MP_PRIO takes it back", paths=1, server=True)
def prio_server(c):
    c.endpoint(2, "subflow", "backup")
    p = c.hold()
    c.seen(kernel="MPJoinSynAckRx")
    c.more(p)
    run("k", "ip", "mptcp", "endpoint", "change", addr("k", 2), "nobackup")
    c.seen(ours="MPPrioRx")
    c.more(p)
    c.let_go(p)


# --- what the status says of it ---

def shown(c):
    """A connection with two subflows: as /v1/connections, its own page and the metrics have it."""
    p = c.hold()
    c.seen(kernel="MPJoinSynAckRx" if c.server else "MPJoinAckRx")
    c.more(p)
    def both():
        j = c.lab.status("/v1/connections")
        return j and len(j["connections"]) == 1 and len(j["connections"][0]["subflows"]) == 2 and j
    until("a connection of two subflows in /v1/connections", both)
    j = both()
    with open(f"{LAB}/connections.json", "w", encoding="utf-8") as f:
        json.dump(j, f)
    run("p", sys.executable, "tests/lint/schemas.py", "--answer", f"{LAB}/connections.json", "status#connections")
    one = j["connections"][0]
    check(f"in plain encapsulation: {one['encapsulation']}", one["encapsulation"] == "plain" and one["peer"] == "")
    check(f"in the right role: {one['role']}", one["role"] == ("gateway" if c.server else "client"))
    check("with the application's bytes", one["bytes_sent"] > 0 and one["bytes_received"] > 0)
    ends = sorted((s["local"].rpartition(":")[0], s["remote"].rpartition(":")[0]) for s in one["subflows"])
    check(f"its subflows have the addresses that are on the wire: {ends}",
          ends == [(addr("p", 1), addr("k", n)) if c.server else (addr("p", n), addr("k", 1)) for n in (1, 2)])
    check("and paths with names", all(s["path"] for s in one["subflows"]))
    check("by its token, too", c.lab.status(f"/v1/connections/{one['token']}")["remote_token"] == one["remote_token"])
    s = c.lab.status("/v1/status")
    check(f"counted: {s['connections']}, {s['plain_connections']}", s["connections"] == s["plain_connections"] == 1)
    check(f"with its subflows: {s['subflows']}", s["subflows"] == 2)
    c.let_go(p)


for server in (False, True):
    case(f"{'server' if server else 'client'}: a connection in /v1/connections", paths=2, server=server, short=not server)(shown)


# --- orderly ends ---

@case("client: connects and closes without a word", short=True)
def nothing_client(c):
    check("the end came both ways, within the peer's patience", c.app("nothing", 0) == "EOF")
    until("the kernel's application to see the end", lambda: "served" in c.lab.log("peer-k"))


@case("server: the same from the kernel's side", server=True)
def nothing_server(c):
    check("the end came both ways, within the peer's patience", c.app("nothing", 0) == "EOF")


# --- abrupt ends ---

@case("client: our fast close (SO_LINGER 0), by RST", paths=2, short=True)
def fastclose_client(c):
    check("aborted", c.app("abort", 100000) == "aborted")
    c.seen(kernel="MPFastcloseRx")
    until("the kernel's application to hear ECONNRESET", lambda: "ECONNRESET" in c.lab.log("peer-k"))
    c.differ("MPFastcloseRx")  # on every subflow; the first ends it


@case("client: our fast close by ACK", paths=2, transport={"fastclose": "ack"})
def fastclose_ack_client(c):
    check("aborted", c.app("abort", 100000) == "aborted")
    c.seen(kernel="MPFastcloseRx")
    c.differ("MPFastcloseRx")


@case("client: the kernel's fast close reaches our application as ECONNRESET", paths=2, short=True)
def fastclose_kernel_server(c):
    said = c.app("reset", 100000, must=False)
    check(f"ECONNRESET after all bytes: {said}", said.splitlines() == [want(100000), "ECONNRESET"])
    c.seen(kernel="MPFastcloseTx")
    c.differ("MPFastcloseTx")


@case("server: the kernel's fast close resets the local service", paths=2, server=True)
def fastclose_kernel_client(c):
    before = c.lab.log("peer-p").count("ECONNRESET")
    check("aborted", c.app("abort", 100000) == "aborted")
    until("the local service to hear ECONNRESET", lambda: c.lab.log("peer-p").count("ECONNRESET") > before)
    c.differ("MPFastcloseTx")


@case("server: our fast close reaches the kernel's application", paths=2, server=True)
def fastclose_server(c):
    said = c.app("reset", 100000, must=False)
    check(f"ECONNRESET after all bytes: {said}", said.splitlines() == [want(100000), "ECONNRESET"])
    c.seen(kernel="MPFastcloseRx")
    c.differ("MPFastcloseRx")


@case("client: nobody listens there, ECONNREFUSED", short=True)
def refused(c):
    said = c.lab.shim(*PEER, "get", addr("k", 1), 9, 10, must=False)
    check(f"ECONNREFUSED: {said}", said == "ECONNREFUSED")
    c.differ("MPCapableSYNRX")


@case("client: the kernel refuses a join (limit), RST with a reason", paths=2)
def join_refused(c):
    run("k", "ip", "mptcp", "limits", "set", "subflow", 0, "add_addr_accepted", 0)
    try:
        p = c.hold()
        c.seen(ours="MPJoinRejected")
        c.more(p)
        c.let_go(p)
        c.differ("MPJoinSynRx")
    finally:
        run("k", "ip", "mptcp", "limits", "set", "subflow", 8, "add_addr_accepted", 8)


# --- middleboxes ---

@case("client: options stripped from SYNs, plain TCP", short=True)
def strip_syn(c):
    c.lab.x("out", "strip", "none")
    c.lab.x("in", "strip", "syn")
    said = c.app("get", 500000)
    check(f"get: {said}", said == want(500000))
    c.differ("MPCapableSYNRX")


@case("client: options stripped from SYN/ACKs, plain TCP")
def strip_synack(c):
    c.allow("MPCapableFallbackACK", "MPCapableFallbackSYNACK")
    c.lab.x("out", "strip", "synack")
    said = c.app("get", 500000)
    check(f"get: {said}", said == want(500000))


@case("client: options stripped from all but SYNs, plain TCP")
def strip_rest(c):
    c.allow("MPCapableFallbackACK", "MPCapableDataFallback", "DssFallback", "InfiniteMapTx", "DSSNoMatch")
    c.differ("InfiniteMapRx")  # stripped as well
    c.lab.x("strip", "ack,data")
    said = c.app("get", 500000)
    check(f"get: {said}", said == want(500000))


@case("server: options stripped from SYNs, plain TCP")
def strip_syn_server(c):
    c.allow("MPCapableFallbackSYNACK")
    c.differ("MPCapableSYNTX")
    c.lab.x("out", "strip", "syn")
    said = c.app("get", 500000)
    check(f"get: {said}", said == want(500000))


@case("server: options stripped from SYN/ACKs, plain TCP")
def strip_synack_server(c):
    c.allow("MPCapableFallbackSYNACK", "MPCapableFallbackACK")
    c.lab.x("in", "strip", "synack")
    said = c.app("get", 500000)
    check(f"get: {said}", said == want(500000))


@case("server: a plain TCP client", short=True, server=True)
def tcp_client(c):
    said = c.app("get", 500000, mptcp=False)
    check(f"get: {said}", said == want(500000))


@case("client: MP_JOIN stripped, one subflow is left", paths=2)
def strip_join(c):
    c.allow("MPJoinSynAckHMacFailure")
    c.differ("MPJoinSynRx")
    c.lab.x("strip", "join")
    p = c.hold()
    c.more(p)
    c.let_go(p)


def whole_or_error(c, verb, n):
    """A single subflow that loses its options in mid-flight may end or become TCP, but never lies."""
    said = c.app(verb, n, must=False)
    check(f"{verb}: {said}", said == want(n) or said.splitlines()[-1] in ("ECONNRESET", "ETIMEDOUT", "EPIPE", "timed out"))
    c.count()
    check(f"joins do not become a storm: {c.p['MPJoinSynTx']}", c.p["MPJoinSynTx"] < 30)


@case("client: options vanish in mid-flight on the only subflow, towards us")
def strip_later_in(c):
    c.allow(*NEVER_K, *NEVER_P)
    c.differ(*[s[0] for s in SAME])
    c.lab.x("out", "after", 300000)
    c.lab.x("out", "strip", "ack,data")
    whole_or_error(c, "get", 2000000)


@case("client: options vanish in mid-flight on the only subflow, towards the kernel")
def strip_later_out(c):
    c.allow(*NEVER_K, *NEVER_P)
    c.differ(*[s[0] for s in SAME])
    c.lab.x("in", "after", 300000)
    c.lab.x("in", "strip", "ack,data")
    whole_or_error(c, "put", 2000000)


@case("client: options vanish in mid-flight on one of two subflows, the other carries all", paths=2, short=True)
def strip_later_one(c):
    c.allow("DSSNoMatch", "DSSCorruptionReset")
    c.differ(*[s[0] for s in SAME])
    p = c.hold()
    c.seen(kernel="MPJoinAckRx")
    c.more(p)
    c.lab.x(2, "strip", "ack,data")
    for _ in range(30):
        c.more(p)
    c.let_go(p)
    c.count()
    gone = [c.p.get("MPRstTx", 0), c.k.get("MPRstTx", 0), c.p.get("DSSCorruptionReset", 0), c.k.get("DSSCorruptionReset", 0)]
    check(f"one end reset the subflow: {gone}", sum(gone) >= 1)


@case("client: ADD_ADDR stripped, the kernel says it again")
def strip_add_addr(c):
    c.endpoint(2, "signal")
    run("k", "sysctl", "-qw", "net.mptcp.add_addr_timeout=1")
    try:
        c.lab.x("out", "strip", "add_addr")
        p = c.hold()
        c.seen(kernel="AddAddrTx")
        c.lab.x("out", "strip", "none")
        c.seen(kernel="MPJoinAckRx")
        c.differ("AddAddrTx", "EchoAdd")
        c.more(p)
        c.let_go(p)
    finally:
        run("k", "sysctl", "-qw", "net.mptcp.add_addr_timeout=120")


@case("client: a middlebox of small MTU, nobody says so: segments become smaller")
def black_hole_mtu(c):
    c.lab.x("in", "mtu", 1400)
    said = c.app("put", 2000000)
    check(f"put: {said}", said == want(2000000))
    c.count()
    check(f"a black hole was found: {c.p['PmtuBlackHole']}, and its size: {c.p['MssRaised']}", c.p["PmtuBlackHole"] and c.p["MssRaised"])


@case("client: one path goes dark, the other carries all; it comes back and is used", paths=2)
def dark(c):
    p = c.hold()
    c.seen(kernel="MPJoinAckRx")
    for n in (1, 2):
        c.lab.x(n, "down")
        for _ in range(5):
            c.more(p)
        c.lab.x(n, "up")
        c.more(p)
    c.let_go(p)
    c.differ(*[s[0] for s in SAME])


# --- other people's programs ---

def have(*programs):
    missing = [p for p in programs if not shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
    if missing:
        raise Skipped(f"no {', '.join(missing)}")


def nginx(c, ns, listens, mptcp):
    root = f"{LAB}/nginx-{ns}"
    os.makedirs(f"{root}/html", exist_ok=True)
    for d in (LAB, root, f"{root}/html"):
        os.chmod(d, 0o755)
    with open(f"{root}/html/file", "wb") as f:
        for block in map(bytes, blocks(20000000)):
            f.write(block)
    with open(f"{root}/nginx.conf", "w", encoding="utf-8") as f:
        f.write(f"daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\n"
                "events {} http { access_log off; " + f"client_body_temp_path {root}/b; proxy_temp_path {root}/p;"
                f" fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;"
                " server { " + " ".join(f"listen {a};" for a in listens) + f" root {root}/html; }} }}\n")
    words = ["nginx", "-c", f"{root}/nginx.conf", "-p", root, "-e", f"{root}/error.log"]
    c.background.append(c.lab.spawn(ns, f"nginx-{ns}", *(["mptcpize", "run"] if mptcp else []), *words))
    until("nginx", lambda: run(ns, "ss", "-Hltn", "sport", f"= {listens[0].rpartition(':')[2]}"))


def sha_of(path):
    return subprocess.run(["sha256sum", path], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0]


@case("client: curl under the shim downloads from nginx (mptcpize) over two paths", paths=2)
def curl_nginx(c):
    have("nginx", "mptcpize", "curl")
    c.lab.x("delay", 5)
    nginx(c, "k", [f"{addr('k', 1)}:80"], True)
    c.lab.shim("curl", "-sS", "--max-time", "60", "-o", f"{LAB}/got", f"http://{addr('k', 1)}/file")
    check("the file is whole", sha_of(f"{LAB}/got") == want(20000000).split()[1])
    c.seen(kernel="MPJoinAckRx")
    used = [int(n) for n in re.findall(r"out packets=(\d+)", c.lab.x("stat"))[:2]]
    check(f"both paths carried data: {used}", min(used) > 500)


@case("server: mptcpize curl downloads from nginx behind plain.listen over two paths", paths=2, server=True)
def curl_listen(c):
    have("nginx", "mptcpize", "curl")
    c.lab.x("delay", 5)
    before = [int(n) for n in re.findall(r"in packets=(\d+)", c.lab.x("stat"))[:2]]
    nginx(c, "p", [f"127.0.0.1:{PORT + 1}"], False)
    c.lab.stop()
    c.lab.start(1, c.transport, c.listen, forward=PORT + 1)
    run("k", "mptcpize", "run", "curl", "-sS", "--max-time", "60", "-o", f"{LAB}/got", f"http://{addr('p', 1)}:{LISTEN}/file")
    check("the file is whole", sha_of(f"{LAB}/got") == want(20000000).split()[1])
    c.seen(kernel="MPJoinSynAckRx")
    c.differ("MPJoinSynRx", "MPJoinSynTx")  # it may have tried while tunneld was being started anew
    used = [int(n) - b for n, b in zip(re.findall(r"in packets=(\d+)", c.lab.x("stat"))[:2], before)]
    check(f"both paths carried data: {used}", min(used) > 500)


@case("client: payload corrupted, two subflows, checksums: the subflow is reset", paths=2, checksum=True)
def corrupt_two(c):
    c.allow("DataCsumErr", "MPFailTx", "MPFailRx", "DSSCorruptionReset")
    c.differ("MPFailTx", "MPFailRx")
    p = c.hold()
    c.seen(kernel="MPJoinAckRx")
    c.lab.x("2", "out", "corrupt", 1)
    for _ in range(20):
        c.more(p)
    c.let_go(p)
    c.count()
    check(f"ours says MP_FAIL on a RST: {c.p['DataCsumErr']}, {c.p['MPFailTx']}, {c.p['MPRstTx']}",
          [c.p[k] for k in ("DataCsumErr", "MPFailTx", "MPRstTx")] == [1, 1, 1])
    check(f"the kernel hears it: {c.k['MPFailRx']}, {c.k['MPRstRx']}", [c.k["MPFailRx"], c.k["MPRstRx"]] == [1, 1])


@case("client: payload of ours changed on the way, one subflow, checksums: both leave MPTCP and the kernel takes it", checksum=True)
def corrupt_out(c):
    # RFC 8684 3.7 on the only subflow: somebody on the way means to change the payload, and what comes is what counts.
    c.allow(*NEVER_K, *NEVER_P)
    c.differ(*[s[0] for s in SAME])
    c.lab.x("in", "after", 100000)
    c.lab.x("in", "corrupt", 1)
    said = c.app("put", 300000)
    c.count()
    check(f"put: {said}, one byte of which was changed", said.split()[0] == "300000" and said != want(300000))
    check(f"the kernel saw it: {c.k['DataCsumErr']}", c.k["DataCsumErr"] == 1)
    check(f"infinite mappings: {c.p['InfiniteMapTx']}", c.p["InfiniteMapTx"] >= 1)


# --- the run ---

def excerpts(lab):
    c = Case(lab, paths=2)
    c.begin()
    try:
        p = c.hold()
        c.seen(kernel="MPJoinAckRx")
        c.more(p)
        text = ["$ ss -Mnit        # on the kernel's side", run("k", "ss", "-Mni", "sport", f"= {PORT}"),
                run("k", "ss", "-tni", "sport", f"= {PORT}"),
                "$ nstat -az 'MPTcpExt*' | awk '$2'        # the same moment",
                "\n".join(line for line in run("k", "nstat", "-asz", "MPTcpExt*").splitlines()[1:] if line.split()[1] != "0")]
        c.let_go(p)
        return "\n".join(text)
    finally:
        lab.stop()


def write(rows, text):
    path = os.path.join(HERE, "README.md")
    with open(path, encoding="utf-8") as f:
        page = f.read()
    table = "| case | result | the kernel's MPTcpExt counters |\n|---|---|---|\n" + "".join(
        f"| {name} | {result} | {counters} |\n" for name, result, counters in rows)
    for mark, body in (("cases", table), ("excerpts", f"```\n{text}\n```\n")):
        head, rest = page.split(f"<!-- {mark}:begin -->\n")
        page = f"{head}<!-- {mark}:begin -->\n{body}<!-- {mark}:end -->{rest.split(f'<!-- {mark}:end -->')[1]}"
    with open(path, "w", encoding="utf-8") as f:
        f.write(page)


def main(args):
    short, update = "--short" in args, "--write" in args
    names = [a for a in args if not a.startswith("--")]
    lab = Lab()
    rows, failed, skipped = [], 0, 0
    try:
        for name, in_short, config, fn in CASES:
            if (short and not in_short) or (names and not any(n in name for n in names)):
                continue
            c = Case(lab, **config)
            began, why = time.monotonic(), ""
            try:
                c.begin()
                fn(c)
                c.finish()
            except Skipped as e:
                print(f"skipped {name}: {e}", flush=True)
                lab.stop()
                skipped += 1
                continue
            except (Failed, subprocess.SubprocessError, OSError) as e:
                why = str(e)
            try:
                counters = c.excerpt()
                if why and VERBOSE:
                    why += f"\n    kernel: {counters}\n    ours: { {k: v for k, v in (c.p or {}).items() if v} }"
                    why += "\n    " + "\n    ".join(lab.log("tunneld").splitlines()[-5:])
            except Failed:
                counters = ""
            for p in c.background:
                p.kill()
                p.wait()
            try:
                lab.stop()
            except Failed as e:
                why = why or str(e)
            rows.append((name, "FAILED" if why else "passed", counters))
            failed += bool(why)
            if why:
                print(f"FAILED  {name}: {why}", file=sys.stderr, flush=True)
            elif VERBOSE:
                print(f"ok      {name} ({time.monotonic() - began:.1f} s)", flush=True)
        if update:
            write(rows, excerpts(lab))
    finally:
        lab.end()
    print(f"interop: {len(rows) - failed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
