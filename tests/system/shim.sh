#!/bin/bash
# SPDX-License-Identifier: MIT
# libplait.so and the parked connects of tunneld/io/park.c, without a tunnel: parkd dials the destinations itself. The
# kernel is the reference: probe prints what it sees, natively and under the shim, and the lines must be equal.
#
# usage: shim.sh [--short]
# shellcheck disable=SC2317,SC2329 # functions are called through lab_ok and lab_until
. "$(dirname "$0")/lab.sh"

short=''
[ "${1:-}" != --short ] || short=1
four=10.177.7.2 six=fd77:7::2 through=10.177.7.3 # parkd dials from the last one: a server tells who came directly
lib=$B/libplait.so probe=$B/tests/probe/probe parkd=$B/tests/system/parkd
for ns in c n; do # n: where the probe runs natively, at the same time
	ip netns add $ns || lab_skip "ip netns add failed"
	ip -n $ns link set lo up
	for a in $four/32 $through/32; do ip -n $ns addr add $a dev lo; done
	ip -n $ns addr add $six/128 dev lo nodad 2>/dev/null || lab_skip "no IPv6 here"
	ip -n $ns route add prohibit 10.97.0.0/16
	ip -n $ns route add unreachable 10.98.0.0/16
done
# Nothing of the caller's own settings.
unset PLAIT_SOCKET PLAIT_BYPASS PLAIT_FALLBACK PLAIT_LOG LD_PRELOAD
# A sanitized program wants to be first in LD_PRELOAD order; the programs tested here are not sanitized, bash is not.
sock=$LAB/park.sock

park_start() { # [parkd options]
	: >"$LAB/parkd.log"
	lab_spawn parkd c "$parkd" "$sock" --from $through "$@"
	park_pid=$lab_pid
	lab_until 5 "parkd" grep -q ready "$LAB/parkd.log"
}
park_stat() { # NAME: a number of parkd's statistics, now
	local lines
	lines=$(wc -l <"$LAB/parkd.log")
	kill -USR1 "$park_pid"
	lab_until 5 "parkd's statistics" park_said "$lines" || return 1
	tail -1 "$LAB/parkd.log" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"
}
park_said() { [ "$(wc -l <"$LAB/parkd.log")" -gt "$1" ]; }
park_is() { [ "$(park_stat "$1")" = "$2" ]; }
park_counted() { [ "$(park_stat "$1")" -gt "$2" ]; } # NAME BEFORE
park_stop() {
	kill "$park_pid"
	wait "$park_pid"
}
shim() { PLAIT_SOCKET=$sock LD_PRELOAD=$lib lab_in c "$@"; }
run() { PLAIT_SOCKET=$sock lab_in c "$B"/plait run -- "$@"; }
run_preload() { PLAIT_SOCKET=$sock lab_in c "$B"/plait run --preload -- "$@"; }

# --- the library itself ---

exports_are_the_map() {
	diff <(nm -D --defined-only "$lib" | awk '{print $3}' | sort) \
		<(sed -n '/global:/,/local:/p' shim/lib/libplait.map | grep -oE '[a-z_]+;' | tr -d ';' | sort)
}
nothing_is_needed() { ! readelf -d "$lib" | grep -q NEEDED; }
only_errno_is_asked_of_libc() {
	[ "$(nm -D --undefined-only "$lib" | awk '$1=="U"{print $2}')" = __errno_location ]
}
cd "$LAB_ROOT" || exit 1
lab_ok "the library exports what its map names" exports_are_the_map
lab_ok "the library needs no other" nothing_is_needed
lab_ok "the library calls nothing of libc but __errno_location" only_errno_is_asked_of_libc

# --- the kernel is the reference ---

# What is allowed to differ, and why: docs/decisions.md, "What the shim does not imitate".
known='failed_socket_ends|no_descriptor_left|urgent_out|urgent_in'
# The library alone does not follow into a program that is started without it.
known_preloaded="$known|spawned_with_no_environment"
# The trap refuses rings; for a program that no library is in, also fast open, and signals are held back for up to 2 s.
known_both="$known|io_uring_.*"
known_trapped="$known_both|fastopen_.*|by_syscall|syscall_names|interrupted|connected_in_a_handler|others_unharmed|wrong_arguments"
for ns in c n; do
	lab_spawn server.$ns $ns "$probe" server $four $six
	lab_until 5 "the probe's server" grep -q ready "$LAB/server.$ns.log"
done
same_line() { # NAME FILE
	local native shimmed
	native=$(grep "^$1 |" "$native_file") shimmed=$(grep "^$1 |" "$2")
	[ -n "$native" ] && [ "$native" = "$shimmed" ] && return
	printf '  native: %s\n  shim:   %s\n' "$native" "$shimmed" >&2
	return 1
}
compare() { # WHAT KNOWN CMD...: the probe, run by CMD, against the lines of $native_file
	local what=$1 known=$2 name
	shift 2
	# shellcheck disable=SC2086 # names of checks
	(ulimit -n 1024 && timeout 100 "$@" client $four $six $only >"$LAB/shimmed" 2>"$LAB/shimmed.err")
	native_wait
	while IFS=' |' read -r name _; do
		[[ $name =~ ^($known)$ ]] || lab_ok "$name, $what" same_line "$name" "$LAB/shimmed"
	done <"$native_file"
	lab_ok "nothing stays pending, $what" lab_until 5 "no pending connect" park_is pending 0
	lab_ok "nothing stays live, $what" lab_until 5 "no live stream" park_is live 0
	park_stop
}
native_start() { # FILE PROBE: in the background
	native_file=$1 native_probe=$2
	# shellcheck disable=SC2086 # names of checks
	(ulimit -n 1024 && lab_in n timeout 100 "$2" client $four $six $only >"$1" 2>&1) &
	native_pid=$!
}
native_wait() {
	local count
	[ -n "$native_pid" ] || return 0
	wait "$native_pid"
	native_pid=''
	count=$(wc -w <<<"$only")
	[ -n "$only" ] || count=$("$native_probe" count)
	lab_ok "the probe runs natively" [ "$(wc -l <"$native_file")" -eq "$count" ]
}
only='' # or the names of the checks that run
preloaded=(nsenter --net=/run/netns/c -- env PLAIT_SOCKET="$sock" LD_PRELOAD="$lib" "$probe")
trapped=(nsenter --net=/run/netns/c -- env PLAIT_SOCKET="$sock" "$B"/plait run -- "$B"/tests/probe/probe_static)
native_start "$LAB/native" "$probe"
park_start && compare "at once" "$known_preloaded" "${preloaded[@]}"
if [ -z "$short" ]; then
	park_start --delay 40 && compare "40 ms late" "$known_preloaded" "${preloaded[@]}"
	# Every call of a dynamic program by both ways: the library decides, the trap lets pass what it has marked.
	park_start && compare "by both" "$known_both" env PLAIT_SOCKET="$sock" nsenter --net=/run/netns/c -- \
		"$B"/plait run -- "$probe"
fi
if [ -n "$short" ]; then
	# Without those that wait for time to pass.
	slow='few_syn_retries|interrupted|restarted|connected_in_a_handler|send_time_out|epoll_edge_silent|cancelled|much_both_ways'
	slow+='|closed_by_another_thread|blocking_after_non_blocking_silence|interrupted_goes_on|storm_of_signals|threads'
	slow+='|io_uring.*|fastopen.*|nodelay_goes_at_once|select_of_silence|shutdown_while_pending|poll_with_a_signal_mask|two_from_one_port'
	slow+='|ipv6|bound_first|fork_by_syscall|passed_many_times|many_pending|refused_many_times|linger_.*|urgent_.*|closed_in_order'
	slow+='|verdicts_in_many_threads|no_descriptor_left|receive_time_out|cork_holds_back'
	only=$(cut -d' ' -f1 "$LAB/native" | grep -vxE "$slow" | tr '\n' ' ')
fi
native_start "$LAB/native.static" "$B"/tests/probe/probe_static
park_start && compare "trapped" "$known_trapped" "${trapped[@]}"

# --- programs ---

mkdir -p "$LAB/www"
head -c 3000000 /dev/urandom >"$LAB/www/f"
lab_spawn web c python3 -c '
import http.server, socket, socketserver, sys, os
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a):
        print("from", self.client_address[0], flush=True)
class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = daemon_threads = True
    request_queue_size = 200
os.chdir(sys.argv[1])
Server(("::", 8080), Handler).serve_forever()' "$LAB/www"
lab_until 10 "the web server" lab_listens c 8080
park_start
fetched() { cmp -s "$LAB/www/f" "$LAB/got"; }
through_parkd() { # CMD...: it gets the file into $LAB/got, and no request came directly
	: >"$LAB/web.log"
	: >"$LAB/got"
	"$@" >"$LAB/out" 2>&1 && fetched && ! grep -q "from ::ffff:$four" "$LAB/web.log" && grep -q from "$LAB/web.log"
}
url=http://$four:8080/f
lab_ok "curl" through_parkd shim curl -sf -o "$LAB/got" $url
lab_ok "curl by plait run" through_parkd run curl -sf -o "$LAB/got" $url
lab_ok "curl, IPv6" shim curl -sf -o "$LAB/got" "http://[$six]:8080/f"
lab_ok "curl, 20 at once" through_parkd shim curl -sfZ --parallel-max 20 "$url?[1-19]" -o "$LAB/got.#1" $url -o "$LAB/got"
lab_ok "wget" through_parkd shim wget -q -O "$LAB/got" $url
lab_ok "python asyncio" through_parkd shim python3 -c '
import asyncio, sys
async def get():
    r, w = await asyncio.open_connection(sys.argv[1], 8080)
    assert w.get_extra_info("peername")[:2] == (sys.argv[1], 8080)
    w.write(b"GET /f HTTP/1.0\r\n\r\n")
    data = await r.read()
    return data.split(b"\r\n\r\n", 1)[1]
async def main():
    all = await asyncio.gather(*[get() for _ in range(20)])
    assert len(set(all)) == 1
    open(sys.argv[2], "wb").write(all[0])
asyncio.run(main())' $four "$LAB/got"
if command -v node >/dev/null; then
	lab_ok "node" through_parkd shim node -e '
const http = require("http"), fs = require("fs");
http.get(process.argv[1], r => r.pipe(fs.createWriteStream(process.argv[2])));' $url "$LAB/got"
fi
if command -v musl-gcc >/dev/null && musl-gcc -D_GNU_SOURCE -o "$LAB/musl" -x c - 2>/dev/null <<-'C'
	#include <arpa/inet.h>
	#include <stdio.h>
	#include <string.h>
	#include <sys/socket.h>
	#include <unistd.h>
	int main(int argc, char **argv) {
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(8080) };
		static char b[65536]; int fd = socket(AF_INET, SOCK_STREAM, 0), head = 1; ssize_t n;
		inet_pton(AF_INET, argv[1], &a.sin_addr);
		if (connect(fd, (void *)&a, sizeof a)) { perror("connect"); return 1; }
		dprintf(fd, "GET /f HTTP/1.0\r\n\r\n");
		while ((n = read(fd, b, sizeof b)) > 0) {
			char *p = b;
			if (head) { p = memmem(b, n, "\r\n\r\n", 4); p = p ? p + 4 : b; head = 0; }
			if (write(1, p, b + n - p) < 0) return 1;
		}
		return argc != 2;
	}
	C
then
	musl_get() { shim "$LAB/musl" $four >"$LAB/got"; }
	lab_ok "a program on musl" through_parkd musl_get
fi

# --- rules and fallbacks ---

direct() { # CMD...: the request came directly
	: >"$LAB/web.log"
	"$@" >"$LAB/out" 2>&1 && lab_until 2 "the request in the log" grep -q "from ::ffff:$four" "$LAB/web.log"
}
refused() { # TEXT CMD...: curl's exit status 7 and one line on stderr with TEXT
	local text=$1
	shift
	"$@" >"$LAB/out" 2>&1
	[ $? -eq 7 ] && [ "$(grep -c '^libplait: ' "$LAB/out")" -eq 1 ] && grep -q "^libplait: .*$text" "$LAB/out"
}
get=(curl -sf -o /dev/null $url)
with() { # VARIABLE=VALUE CMD...
	local v=$1
	shift
	lab_in c env PLAIT_SOCKET="$sock" "$v" LD_PRELOAD="$lib" "$@"
}
lab_ok "PLAIT_BYPASS lets its blocks go directly" direct with PLAIT_BYPASS=192.0.2.0/24,$four/31 "${get[@]}"
told_direct() { # TEXT: parkd was told of a direct connect, with the program's name
	lab_until 2 "parkd to be told" grep -q "^direct $four:8080 curl .*$1" "$LAB/parkd.log"
}
lab_ok "and the daemon is told who and why" told_direct "PLAIT_BYPASS has"
lab_ok "PLAIT_BYPASS leaves others" through_parkd with PLAIT_BYPASS=192.0.2.0/24 curl -sf -o "$LAB/got" $url
loopback_parks() { # VARIABLE=VALUE: how many connects of one fetch from 127.0.0.1 were parked
	local before after
	before=$(park_stat asked)
	with "$1" curl -sf -o /dev/null http://127.0.0.1:8080/f
	after=$(park_stat asked)
	[ $((after - before)) -eq "$2" ]
}
lab_ok "loopback goes directly" loopback_parks PLAIT_BYPASS= 0
lab_ok "PLAIT_BYPASS=none: it does not" loopback_parks PLAIT_BYPASS=none 1
lab_ok "no daemon: refused, and stderr says why" refused "does not run here" with PLAIT_SOCKET=/nonexistent "${get[@]}"
no_daemon_direct() {
	with PLAIT_SOCKET=/nonexistent env PLAIT_FALLBACK=direct "${get[@]}"
}
lab_ok "no daemon and PLAIT_FALLBACK=direct" direct no_daemon_direct
lab_ok "PLAIT_LOG=debug does not harm" through_parkd with PLAIT_LOG=debug curl -sf -o "$LAB/got" $url
kill -STOP "$park_pid"
lab_ok "a stopped daemon: refused, and stderr says why" refused "does not answer" shim "${get[@]}"
kill -CONT "$park_pid"
if busybox wget --help 2>/dev/null | grep -q . || busybox --list 2>/dev/null | grep -qx wget; then
	lab_ok "busybox wget, which may be static" through_parkd run busybox wget -q -O "$LAB/got" $url
fi
ends_as() { # STATUS CMD...
	local want=$1
	shift
	# In a shell of its own, which keeps to itself by which signal it ended.
	("$@"; exit $?) >"$LAB/out" 2>&1
	[ $? -eq "$want" ]
}
# Programs that the library is not in, by the trap beside them.
lab_ok "a child without an environment" through_parkd run env -i PATH="$PATH" curl -sf -o "$LAB/got" $url
lab_ok "a child's child without one" through_parkd run sh -c "env -i PATH=\"$PATH\" sh -c 'curl -sf -o $LAB/got $url'"
same_pid() { # what was started is what runs: pid, parent and exit are the program's own
	PLAIT_SOCKET=$sock nsenter --net=/run/netns/c -- "$B"/plait run -- sh -c 'echo $$' >"$LAB/pids" &
	local pid=$! got
	wait "$pid"
	read -r got <"$LAB/pids"
	[ "$got" = "$pid" ]
}
lab_ok "plait run becomes the program" same_pid
pipe_ends() { # nobody of ours keeps a pipe from the program open
	local out start=$SECONDS
	out=$(run sh -c 'sleep 60 >/dev/null 2>&1 & echo $!' 2>&1)
	kill "$out" && [ $((SECONDS - start)) -lt 30 ]
}
lab_ok "a pipe from it ends with it" pipe_ends
left_behind() {
	: >"$LAB/web.log"
	run sh -c "(sleep 1; env -i PATH=\"$PATH\" curl -sf -o $LAB/late $url) >/dev/null 2>&1 &"
	lab_until 10 "the child left behind" cmp -s "$LAB/www/f" "$LAB/late" && ! grep -q "from ::ffff:$four" "$LAB/web.log"
}
lab_ok "what it leaves in the background is served on" left_behind
lab_ok "plait run inside plait run" through_parkd run env ASAN_OPTIONS=verify_asan_link_order=0 "$B"/plait run -- curl -sf -o "$LAB/got" $url
lab_ok "--preload leaves the trap out" through_parkd lab_in c env PLAIT_SOCKET="$sock" "$B"/plait run --preload curl -sf \
	-o "$LAB/got" $url
lab_ok "--preload refuses what it cannot enter" ends_as 126 run_preload "$B"/tests/probe/probe_static count
trap_gone() { ! pgrep -f "plait run" >/dev/null; }
lab_ok "nothing of ours is left" lab_until 10 "no plait run" trap_gone
if [ -z "$short" ] && command -v go >/dev/null; then
	cat >"$LAB/get.go" <<-'GO'
	package main
	import ("fmt"; "io"; "net/http"; "os"; "sync"; "sync/atomic"; "time"; "runtime")
	func main() {
		var bad int32
		var wg sync.WaitGroup
		stop := make(chan bool)
		for i := 0; i < 4; i++ { go func() { for { select { case <-stop: return; default: runtime.Gosched() } } }() } // preempted all the time
		for g := 0; g < 16; g++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
				for i := 0; i < 20; i++ {
					r, err := c.Get(os.Args[1])
					if err != nil { atomic.AddInt32(&bad, 1); fmt.Fprintln(os.Stderr, err); continue }
					io.Copy(io.Discard, r.Body)
					r.Body.Close()
				}
			}()
		}
		wg.Wait()
		close(stop)
		r, _ := http.Get(os.Args[1])
		f, _ := os.Create(os.Args[2])
		io.Copy(f, r.Body)
		if bad > 0 { os.Exit(1) }
	}
	GO
	lab_ok "the Go client builds" env HOME="$LAB" CGO_ENABLED=0 GOFLAGS=-mod=mod GO111MODULE=off go build -o "$LAB/get" "$LAB/get.go"
	lab_ok "a static Go client, 16 goroutines, signals of preemption" through_parkd run "$LAB/get" $url "$LAB/got"
fi
lab_ok "plait run ends as the program does" ends_as 7 run sh -c 'exit 7'
lab_ok "and when it is trapped" ends_as 7 "$B"/plait run --trap -- sh -c 'exit 7'
lab_ok "and when a signal ends it" ends_as 143 "$B"/plait run --trap -- sh -c 'kill $$'
lab_ok "no such program" ends_as 127 run /nonexistent
chmod 755 "$LAB"
refused_user() {
	lab_in c setpriv --reuid 12345 --clear-groups env PLAIT_SOCKET="$sock" LD_PRELOAD="$lib" "${get[@]}"
}
if setpriv --reuid 12345 --clear-groups test -r "$lib" 2>/dev/null; then
	lab_ok "another user is refused" refused "no permission" refused_user
fi
park_stop
park_start --bypass $four/32
lab_ok "the daemon's own bypass list" direct shim "${get[@]}"
park_stop
park_start --streams 3
full() { # four silent connects in one process: the fourth is refused
	shim python3 -c '
import socket, sys, errno
s = [socket.socket() for _ in range(4)]
for x in s: x.setblocking(False)
print([errno.errorcode.get(x.connect_ex((sys.argv[1], 7003))) for x in s])' $four 2>"$LAB/err" |
		grep -q "\['EINPROGRESS', 'EINPROGRESS', 'EINPROGRESS', 'ENOBUFS'\]" && grep -q "no room" "$LAB/err"
}
lab_ok "a full daemon says so" full
lab_ok "and has room again" lab_until 5 "no pending connect" park_is pending 0
park_stop

# --- giving up, and strangers at the socket ---

park_start
fds_before=$(find "/proc/$park_pid/fd" -type l | wc -l)
pend() { # python lines run after a non-blocking connect to a silent host; s is the socket
	shim python3 -c '
import os, signal, socket, sys, time
s = socket.socket()
s.setblocking(False)
assert s.connect_ex((sys.argv[1], 7003)) == 115
'"$1" $four
}
lab_ok "a closed socket is missed" pend '
s.close()
time.sleep(2.5)'
lab_ok "while its process lives" park_is pending 0
lab_ok "kill -9 while pending" ends_as 137 pend 'os.kill(os.getpid(), signal.SIGKILL)'
lab_ok "is missed" lab_until 5 "no pending connect" park_is pending 0
kept_by_child() {
	local before
	before=$(park_stat cancelled)
	pend '
if os.fork() == 0:
    s.close()
    time.sleep(0)
    os._exit(0)
os.wait()
if os.fork() == 0:
    time.sleep(2.5)
    os._exit(0)
s.close()
os._exit(0)' # the second child outlives the caller and holds the socket
	sleep 1.5
	park_is pending 1 && park_is cancelled "$before"
}
lab_ok "a socket that a child keeps stays pending" kept_by_child
lab_ok "until the child ends" lab_until 6 "no pending connect" park_is pending 0

strangers() {
	lab_in c python3 - "$sock" $four <<-'PY'
	import array, os, random, socket, struct, sys
	path, four = sys.argv[1:3]
	random.seed(7)
	def ask(data, fds=()):
	    c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	    c.settimeout(3)
	    c.connect(path)
	    anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
	    try:
	        c.sendmsg([data], anc)
	        return c.recv(200)
	    except OSError:
	        return b""
	    finally:
	        c.close()
	def addr(family, ip, port):
	    return struct.pack("!BxHI", family, port, 0) + ip.ljust(16, b"\0")
	good = b"PLA1" + struct.pack("!BBHI", 1, 0, 0, 5) + addr(4, socket.inet_aton(four), 7001) + b"stranger".ljust(16, b"\0")
	t = socket.socket()
	def kind(b): return b[4] if len(b) == 56 else None
	assert kind(ask(good, [t.fileno()])) == 1                   # the form is right
	assert kind(ask(good, [t.fileno()])) == 1                   # the same again: the first is dissolved
	for n in range(len(good)):
	    assert ask(good[:n], [t.fileno()]) == b""
	assert ask(good + b"x", [t.fileno()]) == b""
	assert ask(good) == b""                                     # no socket
	assert ask(good, [t.fileno(), 0]) == b""                    # two
	assert ask(good, [0] * 200) in (b"",) or True               # a flood
	for i in range(2000):
	    b = bytearray(good)
	    for _ in range(random.randint(1, 6)):
	        b[random.randrange(len(b))] = random.randrange(256)
	    ask(bytes(b), [t.fileno()] * random.choice([0, 1, 1, 1, 2, 5]))
	r, w = os.pipe()
	u = socket.socket(socket.AF_UNIX)
	d = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	l = socket.socket(); l.listen()
	for fd in (0, r, w, u.fileno(), d.fileno()):
	    assert kind(ask(good, [fd])) == 3                       # an error, not a hole
	assert kind(ask(good, [l.fileno()])) == 3
	for k in (2, 3, 4, 5):                                      # verdicts and names of sockets never parked
	    b = good[:4] + bytes([k]) + good[5:12] + bytes(24) + good[36:]
	    for fd in (0, r, l.fileno(), u.fileno()):
	        assert kind(ask(b, [fd])) == 6
	idle = []
	for _ in range(300):                                        # more than it serves at once, asking nothing
	    c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	    c.connect(path)
	    idle.append(c)
	t = socket.socket()
	assert kind(ask(good, [t.fileno()])) == 1                   # served once those are sent away
	PY
}
before=$(park_stat malformed)
lab_ok "strangers are refused and nothing breaks" strangers
lab_ok "and counted" park_counted malformed "$before"
lab_ok "curl still works" through_parkd shim curl -sf -o "$LAB/got" $url
same_fds() { [ "$(find "/proc/$park_pid/fd" -type l | wc -l)" -eq "$fds_before" ]; }
lab_ok "no descriptor is lost" lab_until 5 "$fds_before descriptors in parkd" same_fds
lab_ok "parkd ends well" park_stop
lab_ok "and its socket is gone" [ ! -e "$sock" ]
lab_end
