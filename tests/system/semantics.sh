#!/bin/bash
# SPDX-License-Identifier: MIT
# Connection refused, unreachable, time-out, resets, half-close, SO_LINGER 0, kill -9 of everything: what the
# application and the server see, natively and through plait, must be the same; and no state stays behind.
#
# usage: semantics.sh [--short] [--write]     --write: the table in tests/system/README.md; --short: not the slow cases
. "$(dirname "$0")/lab.sh"

short='' write=''
for arg in "$@"; do
	case $arg in
	--short) short=1 ;;
	--write) write=1 ;;
	esac
done
probe=$LAB_ROOT/tests/system/semantics.py
lab_up 'rate 100M; delay 5' 'rate 50M; delay 15' || exit 1
# A time-out in 7 s instead of two minutes, a host that does not answer ARP known in a second; both sides alike.
for ns in c g; do
	lab_in $ns sysctl -qw net.ipv4.tcp_syn_retries=2
done
lab_in g sysctl -qw net.ipv4.neigh.sv.mcast_solicit=2 net.ipv4.neigh.sv.retrans_time_ms=300
silent=10.88.0.200 absent=10.88.0.77 nowhere=203.0.113.1
ip -n g neigh add $silent lladdr 02:00:00:00:00:99 dev sv nud permanent # packets go there and are never heard of again
lab_spawn server s python3 "$probe" server "$SERVER" "$LAB/seen"
lab_tunnelds && lab_until 10 "the server" lab_listens s 7014 || { lab_ok "the lab starts" false; lab_end; }

declare -A app saw
how='' # native or plait

start() { # CASE [ADDRESS]: the application, in the background
	local under=("$B"/plait run --)
	[ $how = plait ] || under=()
	: >"$LAB/out"
	PLAIT_SOCKET=$LAB/c.sock nsenter --net=/run/netns/c -- "${under[@]}" python3 "$probe" client "$1" "${2:-$SERVER}" \
		>"$LAB/out" 2>&1 &
	app_pid=$!
	disown # or bash would tell of each kill -9
}
server_saw() {
	grep -q "^$1 " "$LAB/seen"
}
finish() { # CASE [server]: keeps what both saw
	lab_until 60 "the application of $1 ($how)" app_ended || kill -9 "$app_pid"
	app[$1,$how]=$(grep -v '^READY' "$LAB/out" | tail -1)
	saw[$1,$how]=-
	if [ -n "${2:-}" ]; then
		lab_until 60 "the server of $1 ($how)" server_saw "$1"
		saw[$1,$how]=$(sed -n "s/^$1 //p" "$LAB/seen" | tail -1)
	fi
}
app_ended() { ! kill -0 "$app_pid" 2>/dev/null; }
ready() { lab_until 40 "READY of $1 ($how)" grep -q READY "$LAB/out"; }

run_all() {
	local case
	: >"$LAB/seen"
	for case in plain remote-reset reset-idle half-close server-half-close linger0 linger0-unsent shut-rd early-answer; do
		start $case
		finish $case server
	done
	start refused
	finish refused
	start net-unreachable $nowhere
	finish net-unreachable
	start send-timeout $silent
	finish send-timeout
	start host-unreachable $absent
	finish host-unreachable
	if [ -z "$short" ]; then
		start time-out $silent
		finish time-out
	fi
	for case in kill-app kill-app-unread; do
		start $case
		ready $case
		kill -9 "$(sed -n 's/^READY //p' "$LAB/out")" # the program, whatever started it
		finish $case server
		app[$case,$how]=killed
	done
	for case in kill-server kill-server-unread; do
		local port=7100
		[ $case = kill-server ] || port=7101
		rm -f "$LAB/held"
		lab_spawn lone s python3 "$probe" lone "$SERVER" $port "$LAB/held"
		lab_until 10 "the lone server" lab_listens s $port
		start $case
		ready $case
		lab_until 10 "the lone server to hold it" test -e "$LAB/held"
		kill -9 "$lab_pid"
		wait "$lab_pid" 2>/dev/null
		finish $case
		saw[$case,$how]=killed
	done
}

how=native
[ -n "${LAB_NATIVE:-}" ] || lab_route 1
ip -n c route add 203.0.113.0/24 via 10.77.1.2
run_all
ip -n c route del 203.0.113.0/24
lab_unroute
if [ -z "${LAB_NATIVE:-}" ]; then
	how=plait
	run_all
	lab_ok "no connection left at the client" lab_until 20 "no connection at c" lab_quiet c
	lab_ok "no connection left at the gateway" lab_until 20 "no connection at g" lab_quiet g

	# kill -9 of a tunneld has no native counterpart. What must not be: an end that looks like a proper one.
	for side in client gateway; do
		case=kill-$side-tunneld
		start $case
		ready $case
		if [ $side = client ]; then victim=c; else victim=g; fi
		pid=lab_pid_$victim
		kill -9 "${!pid}"
		wait "${!pid}" 2>/dev/null
		lab_tunneld $victim
		finish $case server
		app[$case,native]="(a reset)" saw[$case,native]="(a reset)"
		lab_ok "$case: the application sees a reset, not an end (${app[$case,plait]})" \
			grep -q "ECONNRESET\|ETIMEDOUT" <<<"${app[$case,plait]}"
		lab_ok "$case: the server sees a reset, not an end (${saw[$case,plait]})" \
			grep -q "ECONNRESET\|ETIMEDOUT" <<<"${saw[$case,plait]}"
		start plain
		finish plain server
		lab_ok "$case: new connections work" grep -q 'is the server' <<<"${app[plain,plait]}"
		lab_ok "$case: no connection left at the client" lab_until 70 "no connection at c" lab_quiet c
		lab_ok "$case: no connection left at the gateway" lab_until 70 "no connection at g" lab_quiet g
	done
fi

table='| case | application, native | application, plait | server, native | server, plait |
|---|---|---|---|---|
'
cases='plain refused net-unreachable host-unreachable send-timeout time-out remote-reset reset-idle half-close
	server-half-close shut-rd early-answer linger0 linger0-unsent kill-app kill-app-unread kill-server kill-server-unread'
same() {
	local n=${1//[0-9]* bytes, /} p=${2//[0-9]* bytes, /}
	# How many bytes came before a reset is chance; before an end it is not.
	[[ $1 == *ECONNRESET* ]] || n=$1 p=$2
	[ "$n" = "$p" ] || { echo "        native: $1" >&2; echo "        plait:  $2" >&2; false; }
}
for case in $cases kill-client-tunneld kill-gateway-tunneld; do
	[ -n "${app[$case,native]:-}" ] || continue
	table+="| $case | ${app[$case,native]} | ${app[$case,plait]:-} | ${saw[$case,native]} | ${saw[$case,plait]:-} |
"
	[[ $case == *tunneld || -n "${LAB_NATIVE:-}" ]] && continue
	lab_ok "$case: the application sees what it would natively" same "${app[$case,native]}" "${app[$case,plait]}"
	lab_ok "$case: the server sees what it would natively" same "${saw[$case,native]}" "${saw[$case,plait]}"
done
[ -z "${V:-}" ] || echo "$table"
if [ -n "$write" ]; then
	echo -n "$table" | lab_write semantics
fi
lab_end
