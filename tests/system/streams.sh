#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # what eval expands
# Many concurrent streams of mixed sizes through one pair of tunnelds: all intact. Then the memory that an idle
# stream costs in each tunneld (resident bytes, before and after opening them).
#
# usage: streams.sh [--short | --write] [COUNT]      default 1000; --short: 200; --write: tests/system/README.md
. "$(dirname "$0")/lab.sh"

count=1000 write=''
if [ "${1:-}" = --write ]; then
	write=1
	shift
fi
if [ "${1:-}" = --short ]; then
	count=200
	shift
fi
count=${1:-$count}
ulimit -n "$(ulimit -Hn)"

lab_up 'rate 300M; delay 10; queue 60ms' 'rate 150M; delay 20; queue 60ms' || exit 1
lab_spawn server s python3 "$LAB_ROOT/tests/system/streams.py" server "$SERVER" 8100
lab_tunnelds && lab_until 10 "the server" lab_listens s 8100 || { lab_ok "the lab starts" false; lab_end; }

load() {
	lab_shim python3 "$LAB_ROOT/tests/system/streams.py" load "$SERVER" 8100 "$1" "$2" | tee -a "$LAB/loads"
	return "${PIPESTATUS[0]}"
}
rss() { # resident bytes of the tunneld of a side
	local pid=lab_pid_$1
	awk '/^VmRSS/ { print $2 * 1024 }' /proc/"${!pid}"/status
}
nothing_left() {
	lab_until 20 "no connection at $1" lab_quiet "$1"
}

lab_ok "one stream, so that all code and tables are in memory" load 1 0
before_c=$(rss c) before_g=$(rss g)
mkfifo "$LAB/hold"
lab_shim python3 "$LAB_ROOT/tests/system/streams.py" idle "$SERVER" 8100 "$count" <"$LAB/hold" >"$LAB/idle.out" 2>&1 &
exec 9>"$LAB/hold"
lab_ok "$count idle streams open" lab_until 60 "idle streams" grep -q READY "$LAB/idle.out"
echo "memory per idle stream: client $((($(rss c) - before_c) / count)) bytes," \
	"gateway $((($(rss g) - before_g) / count)) bytes (resident, $count streams, in tunnelds that are new)" | tee "$LAB/memory"
exec 9>&-
wait $! 2>/dev/null
server_heard() { [ "$(grep -c '^server: ' "$LAB/server.log")" -ge "$count" ]; }
# It says of each that it ended early, which is so; only what comes after that is news.
lab_ok "the server heard the end of each" lab_until 20 "the server" server_heard
: >"$LAB/server.log"
lab_ok "no connection left at the client" nothing_left c
lab_ok "no connection left at the gateway" nothing_left g

lab_ok "$count streams at once, all intact" load "$count" 1
lab_ok "no connection left at the client" nothing_left c
lab_ok "no connection left at the gateway" nothing_left g
lab_ok "$count more over the same tunnelds" load "$count" 2
lab_ok "the server saw nothing wrong" test ! -s "$LAB/server.log"
lab_ok "no connection left at the client" nothing_left c
lab_ok "no connection left at the gateway" nothing_left g

# --- listeners of /v1/events: one reads, one stalls, some vanish; many more events than may wait for them ---
listener=$LAB_ROOT/tests/system/listeners.py
counted() { lab_value c /v1/status "j[\"counters\"].get(\"$1\", 0)"; }
curl -sN --unix-socket "$LAB/c.status" http://tunneld/v1/events >"$LAB/events" 2>/dev/null &
reads=$!
mkfifo "$LAB/wake"
"$listener" stall "$LAB/c.status" <"$LAB/wake" >"$LAB/stall" 2>&1 &
stalls=$!
exec 9>"$LAB/wake"
"$listener" vanish "$LAB/c.status" 8
lab_until 10 "the listeners" eval 'grep -q listening "$LAB/events" && grep -q listening "$LAB/stall"'
before=$(rss c)
for seed in 3 4 5; do
	load 1000 $seed >"$LAB/under" || cat "$LAB/under"
	lab_ok "1000 streams beside a listener that stalls" grep -q '"intact": 1000' "$LAB/under"
	lab_ok "an answer comes as ever" curl -sf --max-time 1 -o /dev/null --unix-socket "$LAB/c.status" http://tunneld/v1/status
done
up=$(grep -c '"connection_up"' "$LAB/events")
lab_ok "who reads has heard of each ($up)" [ "$up" -eq 3000 ]
lab_ok "and has missed nothing" eval '! grep -q "\"missed\"" "$LAB/events"'
echo go >&9
exec 9>&-
wait $stalls
echo "a listener that stalled: $(tail -1 "$LAB/stall") of $(wc -l <"$LAB/events") events, tunneld grew by $(($(rss c) - before)) bytes"
missed=$(tail -1 "$LAB/stall" | python3 -c 'import json, sys; print(json.load(sys.stdin)["missed"])')
lab_ok "who stalled is told how many it missed ($missed)" [ "${missed:-0}" -gt 0 ]
lab_ok "and the counter has them ($(counted EventsMissed))" [ "$(counted EventsMissed)" -ge "${missed:-0}" ]
kill $reads
# The last to go, these two among them, are let go of when tunneld reads that they went: soon, not at once.
sixteen() { "$listener" fill "$LAB/c.status" >"$LAB/fill" && grep -qx '16 503' "$LAB/fill"; }
lab_ok "those that vanished are gone, sixteen may listen, then 503" lab_until 10 "sixteen listeners" sixteen
lab_ok "others are answered all the same" curl -sf --max-time 1 -o /dev/null --unix-socket "$LAB/c.status" http://tunneld/v1/status
[ -z "$write" ] || sed 's/^/- /' "$LAB/memory" "$LAB/loads" | lab_write streams
lab_end
