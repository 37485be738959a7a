#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # what eval expands
# What an application sets on its socket and means the whole way: TCP_USER_TIMEOUT, SO_KEEPALIVE with its timers and the type of service,
# before connect() and after it, by a program that is preloaded and by one that is trapped. Seen at the gateway, on its socket to the destination.
#
# usage: options.sh
. "$(dirname "$0")/lab.sh"

lab_up 'rate 100M; delay 5' 'rate 100M; delay 5' || exit 1
lab_spawn echo s python3 -c '
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while part := self.request.recv(4096):
            self.request.sendall(part)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("'"$SERVER"'", 7300), Echo).serve_forever()'
lab_tunnelds && lab_until 10 "the echo server" lab_listens s 7300 || { lab_ok "the lab starts" false; lab_end; }

# Reads lines "LEVEL OPTION VALUE" or "connect" or "shut" on stdin, and says each when it is done: the options' numbers are Linux's.
program='
import socket, sys
s = socket.socket()
for line in sys.stdin:
    words = line.split()
    if words[0] == "connect":
        s.connect((sys.argv[1], 7300))
        s.sendall(b"hello")
        assert s.recv(5) == b"hello"
    elif words[0] == "shut":
        break
    else:
        level, option, value = map(int, words)
        s.setsockopt(level, option, value)
        assert s.getsockopt(level, option) == value, line
    print(line.strip(), flush=True)
'
SOL_SOCKET=1 IPPROTO_IP=0 IPPROTO_TCP=6 SO_KEEPALIVE=9 IP_TOS=1 TCP_KEEPIDLE=4 TCP_KEEPINTVL=5 TCP_KEEPCNT=6 TCP_USER_TIMEOUT=18
start() { # NAME HOW...: of plait run, and before the program
	local name=$1
	shift
	mkfifo "$LAB/say-$name"
	lab_in c env PLAIT_SOCKET="$LAB/c.sock" "$B"/plait run "$@" timeout 120 python3 -c "$program" "$SERVER" <"$LAB/say-$name" >"$LAB/said-$name" 2>"$LAB/errors-$name" &
	exec {say}>"$LAB/say-$name"
	said=$LAB/said-$name
}
say() { # LINE: and it was done
	echo "$1" >&$say
	lab_until 10 "\"$1\"" grep -qx "$1" "$said"
}
# The gateway's socket to the destination, as ss shows it.
socket_has() { lab_in g ss -Htnoi --tos dst "$SERVER:7300" | grep -qE "$1"; }
keeps() { # FROM TO: seconds until its next keep-alive
	lab_in g ss -Htno dst "$SERVER:7300" | sed -nE 's/.*timer:\(keepalive,([^,]*),.*/\1/p' |
		awk -v from="$1" -v to="$2" '{ s = /min/ ? $0 * 60 : 0; sub(/.*min/, ""); s += $0; ok = s >= from && s <= to } END { exit !ok }'
}
timeout_is() { [ "$(lab_value c /v1/connections "max([c['user_timeout_ms'] or 0 for c in j['connections']], default=0)")" = "$1" ]; }

for mode in preload trap; do
	case $mode in
	preload) start preload --preload -- ;;
	trap)    start trap --trap -- env -u LD_PRELOAD ;;
	esac
	lab_ok "$mode: keep-alives are switched on before connect()" say "$SOL_SOCKET $SO_KEEPALIVE 1"
	lab_ok "$mode: after 50 s" say "$IPPROTO_TCP $TCP_KEEPIDLE 50"
	lab_ok "$mode: every 7 s" say "$IPPROTO_TCP $TCP_KEEPINTVL 7"
	lab_ok "$mode: three times" say "$IPPROTO_TCP $TCP_KEEPCNT 3"
	lab_ok "$mode: and a type of service" say "$IPPROTO_IP $IP_TOS 184"
	lab_ok "$mode: it connects" say connect
	lab_ok "$mode: the gateway has its keep-alives" lab_until 5 "them" keeps 30 50
	lab_ok "$mode: and its type of service" lab_until 5 "it" socket_has 'tos:0xb8'
	lab_ok "$mode: another time is set" say "$IPPROTO_TCP $TCP_KEEPIDLE 20"
	lab_ok "$mode: the gateway has it" lab_until 5 "it" keeps 5 20
	lab_ok "$mode: another type of service" say "$IPPROTO_IP $IP_TOS 40"
	lab_ok "$mode: the gateway has it" lab_until 5 "it" socket_has 'tos:0x28'
	lab_ok "$mode: keep-alives are switched off" say "$SOL_SOCKET $SO_KEEPALIVE 0"
	lab_ok "$mode: the gateway has its own again" lab_until 5 "them" keeps 200 300
	lab_ok "$mode: a user timeout" say "$IPPROTO_TCP $TCP_USER_TIMEOUT 2500"
	lab_ok "$mode: is the connection's" lab_until 5 "it" timeout_is 2500
	lab_ok "$mode: taken back" say "$IPPROTO_TCP $TCP_USER_TIMEOUT 0"
	lab_ok "$mode: it is none" lab_until 5 "it" timeout_is 0
	lab_ok "$mode: others are the kernel's alone" say "$IPPROTO_TCP 1 1"
	echo shut >&$say
	exec {say}>&-
	lab_ok "$mode: its program says nothing else ($(cat "$LAB/errors-$mode"))" [ ! -s "$LAB/errors-$mode" ]
	lab_ok "$mode: and its connection ends" lab_until 5 "it" eval '[ "$(lab_value c /v1/connections "len(j[\"connections\"])")" = 0 ]'
done
lab_end
