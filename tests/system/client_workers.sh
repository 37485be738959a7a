#!/bin/bash
# SPDX-License-Identifier: MIT
# A client with two workers at a gateway with two, then with one: streams spread over both by load and intact while both ends'
# status is read, an address comes and goes, SIGHUP changes a path, applications that give up, the gateway killed and started again,
# an orderly end of both.
# LAB_TUNNELD=build-tsan/tunneld (make SAN=thread) runs it under ThreadSanitizer; what that says is a failure here.
#
# usage: client_workers.sh [--short] [COUNT]      streams at once; default 500, --short: 100
. "$(dirname "$0")/lab.sh"

count=500
if [ "${1:-}" = --short ]; then
	count=100
	shift
fi
count=${1:-$count}
ulimit -n "$(ulimit -Hn)"
export LAB_WORKERS=2 LAB_CLIENT_WORKERS=2

load() { lab_shim python3 "$LAB_ROOT/tests/system/streams.py" load "$SERVER" 8100 "$1" "$2" >>"$LAB/loads" 2>&1; }
watched() { # a load, and the status of both ends read all the while
	local pid ok=0 side what
	load "$count" "$1" &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		for side in c g; do
			for what in status connections paths peers faults; do
				lab_value $side /v1/$what 'len(j)' >/dev/null || ok=1
			done
			lab_status $side /metrics | tail -1 | grep -qx '# EOF' || ok=1
		done
	done
	wait $pid || ok=1
	return $ok
}
is() { [ "$(lab_value "$1" "$2" "$3")" = "$4" ]; } # SIDE WHAT EXPRESSION VALUE
both_ready() { is c /v1/peers 'sorted(x["worker"] for x in j["peers"] if x["ready"])' '[0, 1]'; }
told() { grep -q "$2" "$LAB/$1"; }
hold() { # COUNT: idle streams, until file descriptor 8 is closed
	[ -p "$LAB/hold" ] || mkfifo "$LAB/hold"
	lab_shim python3 "$LAB_ROOT/tests/system/streams.py" idle "$SERVER" 8100 "$1" <"$LAB/hold" >"$LAB/idle" 2>&1 &
	exec 8>"$LAB/hold"
	lab_until 20 "idle streams" told idle READY
}
# Samples without a value are what no two may share.
no_sample_twice() { ! lab_status "$1" /metrics | grep -v '^#' | sed 's/ [^ ]*$//' | sort | uniq -d | grep .; }
fds() { find "/proc/$lab_pid_c/fd" | wc -l; }

lab_up 'rate 300M; delay 5; queue 60ms' 'rate 150M; delay 10; queue 60ms' || exit 1
lab_spawn server s python3 "$LAB_ROOT/tests/system/streams.py" server "$SERVER" 8100
lab_tunnelds && lab_until 10 "the server" lab_listens s 8100 || { lab_ok "the lab starts" false; lab_end; }
lab_ok "each worker has its session" lab_until 10 "two sessions" both_ready
lab_ok "at another worker of the gateway" is g /v1/peers 'sorted([x["worker"], x["peer_worker"]] for x in j["peers"] if x["ready"]) in ([[0, 0], [1, 1]], [[0, 1], [1, 0]])' true
lab_ok "paths of each" is c /v1/paths 'sorted(x["worker"] for x in j["paths"])' '[0, 0, 1, 1]'
hold 40
lab_ok "idle streams are spread evenly" is c /v1/connections '[[x["worker"] for x in j["connections"]].count(w) for w in (0, 1)]' '[20, 20]'
exec 8>&-
before=$(fds)
lab_ok "$count streams at once, all intact" watched 1
lab_ok "$count more" watched 2
lab_ok "no sample of the metrics is there twice, here" no_sample_twice c
lab_ok "nor there" no_sample_twice g
gone() { is c /v1/status 'j["shim"]["live"] + j["shim"]["pending"] + j["streams"]' 0; }
lab_ok "nothing of them is left" lab_until 20 "streams to end" gone
lab_ok "nor a file descriptor" [ "$(fds)" -le $((before + 4)) ]

ip -n s link set gw down
lab_shim timeout 0.5 "$LAB_ROOT/tests/system/streams.py" load "$SERVER" 8100 20 9 >/dev/null 2>&1
quitters=()
for _ in 1 2 3 4; do
	lab_shim timeout 0.5 bash -c "exec 3<>/dev/tcp/$SERVER/8100" 2>/dev/null &
	quitters+=($!)
done
wait "${quitters[@]}"
lab_ok "applications that give up leave nothing behind" lab_until 20 "their end" gone
ip -n s link set gw up

ip -n c link set p2 down
paths() { is c /v1/paths 'sorted(x["worker"] for x in j["paths"] if x["state"] == "up")' "$1"; }
lab_ok "an interface that goes is gone for both" lab_until 10 "one path each" paths '[0, 1]'
ip -n c link set p2 up
lab_ok "and comes back to both" lab_until 20 "two paths each" paths '[0, 0, 1, 1]'
sed -i 's|"interface":"p2"|"interface":"p2","backup":true|' "$LAB/c.json"
kill -HUP "$lab_pid_c"
backups() { is c /v1/paths 'sorted(x["worker"] for x in j["paths"] if x["backup"])' '[0, 1]'; }
lab_ok "SIGHUP changes the paths of both" lab_until 10 "backups" backups

kill -9 "$lab_pid_g"
lab_until 5 "its end" eval "! kill -0 $lab_pid_g" 2>/dev/null
sed -i 's|"workers": 2|"workers": 1|' "$LAB/g.json"
lab_tunneld g
lab_ok "the gateway killed, and started again with one worker, has both sessions" lab_until 30 "two sessions" \
	is g /v1/peers 'sorted(x["peer_worker"] for x in j["peers"] if x["ready"])' '[0, 1]'
lab_ok "then $count streams" watched 3
lab_ok "no sample twice at it" no_sample_twice g
kill -TERM "$lab_pid_c"
wait "$lab_pid_c"
lab_ok "SIGTERM ends the client with 0" [ $? = 0 ]
kill -TERM "$lab_pid_g"
wait "$lab_pid_g"
lab_ok "and the gateway" [ $? = 0 ]
lab_ok "nothing is said of races" eval "! grep -q 'WARNING: ThreadSanitizer' $LAB/tunneld-*.log"
[ $lab_failed -eq 0 ] || { tail -n 20 "$LAB/loads"; grep -h -A25 'WARNING: ThreadSanitizer' "$LAB"/tunneld-*.log | head -80; tail -n 5 "$LAB"/tunneld-?.log; } >&2
lab_end
