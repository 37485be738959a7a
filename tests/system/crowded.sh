#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # what eval expands
# Status of many connections, and what a stream notices of it: 10,000 that are idle, one with a message of 200 bytes every
# 20 ms, and readers who ask both tunnelds for all there is, one of whom takes it slowly.
#
#	B=build tests/system/crowded.sh [--short] [COUNT]      --short: 1000
# Last line "crowded: N passed, N failed".
. "$(dirname "$0")/lab.sh"

count=10000 seconds=10
if [ "${1:-}" = --short ]; then
	count=1000 seconds=3
	shift
fi
count=${1:-$count}
most_ms=100 # a message may be so much later than on a quiet machine: 10 ms of way, and what others on this machine take
ulimit -n "$(ulimit -Hn)"
trickle=$B/tests/bench/trickle crowd=$B/tests/bench/crowd

# shellcheck disable=SC2034 # lab.sh's
LAB_LIMITS="{\"connections\": $((count + 100)), \"memory_bytes\": $(((count + 1000) * 65536))}"
lab_up '' '' || exit 1 # crowd opens one stream after the other
lab_spawn trickle s "$trickle" serve "$SERVER" 7200
lab_spawn crowd s "$crowd" serve "$SERVER" 7300
lab_tunnelds && lab_until 10 "the servers" eval 'lab_listens s 7200 && lab_listens s 7300' || { lab_ok "the lab starts" false; lab_end; }
of() { python3 -c 'import json, sys; print(int(json.loads(sys.argv[1])[sys.argv[2]]))' "$1" "$2"; }

lab_shim timeout 300 "$crowd" idle "$SERVER" 7300 "$count" 120 >"$LAB/idle" 2>&1 &
lab_pids+=($!)
there() { [ "$(lab_value "$1" /v1/status 'j["connections"]')" -ge "$count" ]; }
lab_ok "$count connections" lab_until 90 "them at both" eval 'there c && there g' || lab_end

for n in 1 2; do
	lab_link $n "both rate 300M"
	lab_link $n "both delay 5"
done
quiet=$(lab_shim timeout 60 "$trickle" up "$SERVER" 7200 "$seconds")
lab_shim timeout 60 "$trickle" up "$SERVER" 7200 "$seconds" >"$LAB/asked" &
stream=$!
# How long each answer takes, how long it is, and what of it is not as it should be.
python3 - "$count" "$LAB/c.status" "$LAB/g.status" >"$LAB/answers" <<-'PYTHON'
	import json, socket, sys, time
	count, ends = int(sys.argv[1]), sys.argv[2:]

	def ask(path, what, slowly=False):
	    begin = time.monotonic()
	    s = socket.socket(socket.AF_UNIX)
	    if slowly:
	        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
	    s.connect(path)
	    s.sendall(b"GET " + what.encode() + b" HTTP/1.0\r\n\r\n")
	    if slowly:
	        return s
	    got = []
	    while piece := s.recv(1 << 20):
	        got.append(piece)
	    return b"".join(got).split(b"\r\n\r\n", 1)[1], (time.monotonic() - begin) * 1000

	slow = [ask(path, "/v1/connections", True) for path in ends]
	worst = {}
	for _ in range(4):
	    for path in ends:
	        for what in "/v1/status", "/v1/connections", "/v1/paths", "/v1/faults", "/v1/peers", "/metrics":
	            body, ms = ask(path, what)
	            if what == "/v1/connections" and len(json.loads(body)["connections"]) < count:
	                sys.exit("an answer has not all connections")
	            worst[what] = max(worst.get(what, (0, 0)), (round(ms, 1), len(body)))
	        for s in slow:
	            s.recv(4096)
	print(json.dumps(worst))
PYTHON
lab_ok "all answers are whole" [ $? -eq 0 ]
wait $stream
asked=$(cat "$LAB/asked")
echo "worst answers, ms and bytes: $(cat "$LAB/answers")"
echo "worst message: $(of "$quiet" worst_ms) ms unasked, $(of "$asked" worst_ms) ms under these questions, beside $count connections"
lab_ok "every message arrived" [ "$(of "$asked" messages)" -eq $((50 * seconds)) ]
lab_ok "and none was $most_ms ms later for it" [ "$(of "$asked" worst_ms)" -le $(($(of "$quiet" worst_ms) + most_ms)) ]

# --- an interface goes and comes back: each connection loses a subflow, and makes another ---
curl -sN --unix-socket "$LAB/c.status" http://tunneld/v1/events >"$LAB/events" 2>/dev/null &
lab_pids+=($!)
lab_until 5 "the events" grep -q listening "$LAB/events"
lab_shim timeout 60 "$trickle" up "$SERVER" 7200 $((2 * seconds)) >"$LAB/moved" &
stream=$!
subflows() { # SIDE: of a connection, rounded
	lab_value "$1" /v1/status 'round(j["subflows"] / j["connections"])'
}
have() { [ "$(subflows c)" = "$1" ] && [ "$(subflows g)" = "$1" ]; } # at both ends
lab_ok "each has two subflows" lab_until 60 "them" have 2
ip -n c link set p2 down
lab_ok "each has one" lab_until 20 "that" have 1
ip -n c link set p2 up
wait $stream
lab_ok "each has two again" lab_until 60 "them" have 2
moved=$(cat "$LAB/moved")
echo "worst message: $(of "$moved" worst_ms) ms when an interface goes and comes back, beside $count connections"
lab_ok "every message arrived" [ "$(of "$moved" messages)" -eq $((100 * seconds)) ]
lab_ok "within two seconds" [ "$(of "$moved" worst_ms)" -lt 2000 ]
lab_end
