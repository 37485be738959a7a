#!/bin/bash
# SPDX-License-Identifier: MIT
# A gateway with two workers and two clients, one on each: streams of both at once intact while its status is read, a client
# taken out and put back by SIGHUP beside streams of the other, the gateway killed and started again, and its orderly end.
# LAB_TUNNELD=build-tsan/tunneld (make SAN=thread) runs it under ThreadSanitizer; what that says is a failure here.
#
# usage: workers.sh [--short] [COUNT]      streams of each client; default 500, --short: 100
. "$(dirname "$0")/lab.sh"

count=500
if [ "${1:-}" = --short ]; then
	count=100
	shift
fi
count=${1:-$count}
ulimit -n "$(ulimit -Hn)"
export LAB_WORKERS=2

# Which worker a client's key comes to, as seal/ says it.
worker_of() { # PUBLIC_KEY OF_GATEWAY
	python3 -c 'import base64, hashlib, sys
client, gateway = map(base64.b64decode, sys.argv[1:])
print(hashlib.blake2b(client, digest_size=16, key=gateway).digest()[0] % 64 % 2)' "$1" "$2"
}
# g.json with the other client, and without.
with_other() {
	sed 's|"clients": \[|&{"name": "other", "public_key": "'"$other"'"}, |' "$LAB/g.alone" >"$LAB/g.json"
}
client() { # SIDE CMD...
	local side=$1
	shift
	PLAIT_SOCKET=$LAB/$side.sock lab_in c "$B"/plait run -- "$@"
}
load() { client "$1" python3 "$LAB_ROOT/tests/system/streams.py" load "$SERVER" 8100 "$2" "$3" >>"$LAB/loads" 2>&1; }
both() { # both clients at once, and the status read all the while
	local a b ok=0 what
	load c "$count" "$1" &
	a=$!
	load d "$count" "$1" &
	b=$!
	while kill -0 $a 2>/dev/null || kill -0 $b 2>/dev/null; do
		for what in status connections paths peers faults; do
			lab_value g /v1/$what 'len(j)' >/dev/null || ok=1
		done
		lab_status g /metrics | tail -1 | grep -qx '# EOF' || ok=1
	done
	wait $a || ok=1
	wait $b || ok=1
	return $ok
}
workers_of() { # the workers that /v1/WHAT names, in order
	[ "$(lab_value g "/v1/$1" "sorted({x['worker'] for x in j['$1']})")" = "$2" ]
}
told() { grep -q "$2" "$LAB/$1"; }
hold() { # SIDE [COUNT [stall]]: idle streams, or stalled ones, until what writes to its fifo is closed
	rm -f "$LAB/idle.$1"
	client "$1" python3 "$LAB_ROOT/tests/system/streams.py" "${3:-idle}" "$SERVER" 8100 "${2:-20}" <"$LAB/hold.$1" >"$LAB/idle.$1" 2>&1 &
}

lab_up 'rate 300M; delay 5; queue 60ms' 'rate 150M; delay 10; queue 60ms' || exit 1
lab_configs || exit 1
gateway=$("$B"/plait pubkey <"$LAB/g.key")
first=$(worker_of "$("$B"/plait pubkey <"$LAB/c.key")" "$gateway")
until other=$(lab_key d) && [ "$(worker_of "$other" "$gateway")" != "$first" ]; do rm -f "$LAB/d.key"; done
cp "$LAB/g.json" "$LAB/g.alone"
with_other
sed "s|$LAB/c\.|$LAB/d.|g" "$LAB/c.json" >"$LAB/d.json"
lab_spawn server s python3 "$LAB_ROOT/tests/system/streams.py" server "$SERVER" 8100
lab_tunneld g && lab_tunneld c && lab_tunneld d c && lab_until 10 "the server" lab_listens s 8100 &&
	lab_until 10 "health" lab_healthy c && lab_until 10 "health" lab_healthy d || { lab_ok "the lab starts" false; lab_end; }

lab_ok "each client is at the worker of its key" workers_of peers '[0, 1]'
lab_status g /v1/events >/dev/null & # a listener, for events of both
events=$!
lab_ok "$count streams of each client at once, all intact" both 1
lab_ok "$count more" both 2
kill $events 2>/dev/null
lab_ok "each peer is listed once" [ "$(lab_value g /v1/peers 'len(j["peers"])')" = 2 ]
lab_ok "paths of both" workers_of paths '[0, 1]'
lab_ok "no datagram came to the wrong worker" \
	[ "$(lab_value g /v1/status '[j["counters"].get(n, 0) for n in ("SealUnknownIndex", "HandshakeMisdirected")]')" = '[0, 0]' ]

mkfifo "$LAB/hold.c" "$LAB/hold.d"
hold c
exec 8>"$LAB/hold.c"
hold d
exec 9>"$LAB/hold.d"
lab_ok "idle streams of both" lab_until 20 "idle streams" eval "told idle.c READY && told idle.d READY"
lab_ok "connections of both are listed" workers_of connections '[0, 1]'
cp "$LAB/g.alone" "$LAB/g.json"
kill -HUP "$lab_pid_g"
only_first() { workers_of connections "[$first]" && workers_of peers "[$first]"; }
lab_ok "SIGHUP takes one client out, and the other's streams stay" lab_until 10 "one worker's connections" only_first
# None of the idle ones is gone; those of the load before may take a moment more to end.
twenty() { [ "$(lab_value g /v1/connections 'len(j["connections"])')" = 20 ]; }
lab_ok "all of them" lab_until 10 "twenty connections" twenty
with_other
kill -HUP "$lab_pid_g"
lab_ok "and puts it back" lab_until 20 "its session" eval "workers_of peers '[0, 1]' && load d 1 1"
exec 8>&- 9>&-
lab_ok "then $count of each" both 3

kill -9 "$lab_pid_g"
lab_until 5 "its end" eval "! kill -0 $lab_pid_g" 2>/dev/null
lab_tunneld g
lab_ok "killed and started again, it has both clients back" lab_until 30 "streams" eval "load c 1 1 && load d 1 1"
lab_ok "then $count of each" both 4
kill -TERM "$lab_pid_g"
wait "$lab_pid_g"
lab_ok "SIGTERM ends it with 0" [ $? = 0 ]

# A limit for both workers together: what one leaves the other may have.
sed -i 's|"limits": {}|"limits": {"connections": 40}|' "$LAB/g.json"
lab_tunneld g
lab_until 30 "streams" eval "load c 1 1 && load d 1 1"
none() { [ "$(lab_value g /v1/connections 'len(j["connections"])')" = 0 ]; }
lab_until 10 "their end" none
hold c 30
exec 8>"$LAB/hold.c"
lab_ok "one client's worker has 30 of 40 connections" lab_until 20 "idle streams" told idle.c READY
lab_ok "and the other has no more than what is left" eval "! load d 15 5"
exec 8>&-
lab_until 10 "their end" none
lab_ok "but all that it needs when that has gone" load d 30 6
kill -TERM "$lab_pid_g"
wait "$lab_pid_g"

# So is that of memory: streams that nobody reads fill it, up to the quarter that is kept for what arrives.
sed -i 's|"limits": {"connections": 40}|"limits": {"memory_bytes": 4194304}|' "$LAB/g.json"
lab_tunneld g
lab_until 30 "streams" eval "load c 1 1 && load d 1 1"
held() { lab_value g /v1/status 'j["memory_used"]'; }
holds() { [ "$(held)" -gt "$1" ]; }
hold c 12 stall
exec 8>"$LAB/hold.c"
lab_ok "one client's worker has more than half of the memory" lab_until 20 "full buffers" holds $((4194304 / 2))
lab_ok "beside that the other's streams are intact" load d 50 7
lab_ok "nobody is beyond the limit" [ "$(held)" -le 4194304 ]
exec 8>&-
nothing() { [ "$(held)" = 0 ]; }
lab_ok "and all of it is given back" lab_until 20 "empty buffers" nothing
kill -TERM "$lab_pid_g"
wait "$lab_pid_g"
lab_ok "nothing is said of races" eval "! grep -q 'WARNING: ThreadSanitizer' $LAB/tunneld-*.log"
[ $lab_failed -eq 0 ] || { tail -n 20 "$LAB/loads"; grep -h -A25 'WARNING: ThreadSanitizer' "$LAB"/tunneld-*.log | head -80; tail -n 5 "$LAB"/tunneld-?.log; } >&2
lab_end
