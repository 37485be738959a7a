#!/bin/bash
# SPDX-License-Identifier: MIT
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
[ -z "$write" ] || sed 's/^/- /' "$LAB/memory" "$LAB/loads" | lab_write streams
lab_end
