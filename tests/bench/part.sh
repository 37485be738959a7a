#!/bin/bash
# SPDX-License-Identifier: MIT
# One lab's worth of measurements for bench.sh: every system by turns, in each round. Prints one JSON object a line:
# {"section": ..., "part": ..., "system": ..., "what": ..., the figures of blast or crowd}.
#
# Section "offloads": the paths' devices segment nothing and put nothing together, as where packets are cut one by one.
#
# usage: part.sh SECTION PART ROUNDS "SYSTEM..." "WHAT:ARG[:ARG]..." LINK...     (links as for lab_up)
#   SYSTEM  tcp, mptcp (both CUBIC), tcp-bbr, mptcp-bbr, plait, limit
#   WHAT    down:BYTES up:BYTES both:BYTES connect:N echo:N loaded:N (echo while bulk data come down)
#           short:WORKERS:SECONDS idle:STREAMS:SECONDS busy:STREAMS:SECONDS
LAB_MUST=1
export LAB_MUST
. "$(dirname "$0")/../system/lab.sh"

section=$1 part=$2 rounds=$3 systems=$4 measures=$5
shift 5
blast=$B/tests/bench/blast crowd=$B/tests/bench/crowd
lab_up "$@" || exit 1
for n in $([ "$section" != offloads ] || seq "$LAB_PATHS"); do
	for ns in c g; do
		lab_in $ns ethtool -K p"$n" tso off gso off gro off tx-udp-segmentation off >/dev/null || exit 1
	done
done
lab_route 1
for ns in c s; do
	lab_in $ns sysctl -qw net.mptcp.enabled=1 2>/dev/null && ip -n $ns mptcp limits set subflow 8 add_addr_accepted 8 && mptcp=1
done
if [ -n "${mptcp:-}" ] && command -v mptcpize >/dev/null; then
	for n in $(seq 2 "$LAB_PATHS"); do
		ip -n c mptcp endpoint add 10.77."$n".1 dev p"$n" subflow
		ip -n c rule add from 10.77."$n".1 lookup "$n"
		ip -n c route add default via 10.77."$n".2 dev p"$n" table "$n"
	done
	lab_spawn blast-mptcp s mptcpize run "$blast" serve "$SERVER" 7201
	lab_until 10 "the MPTCP server" lab_listens s 7201 || exit 1
else
	echo "bench: no Linux MPTCP here (mptcpize, net.mptcp): its rows are left out" >&2
	systems=$(tr ' ' '\n' <<<"$systems" | grep -v mptcp | tr '\n' ' ')
fi
lab_spawn blast s "$blast" serve "$SERVER" 7200
lab_spawn crowd s "$crowd" serve "$SERVER" 7300
lab_until 10 "the servers" lab_listens s 7200 && lab_until 10 "crowd" lab_listens s 7300 || exit 1
lab_tunnelds || exit 1

# Runs a program of ours on the client over a system; {} in its arguments is that system's port of blast.
over() { # SYSTEM PROGRAM ARG...
	local system=$1 port=7200 cc=cubic ns
	shift
	[[ $system != *mptcp* ]] || port=7201
	[[ $system != *-bbr ]] || cc=bbr
	for ns in c s; do
		lab_in $ns sysctl -qw net.ipv4.tcp_congestion_control=$cc 2>/dev/null
	done
	set -- "${@//\{\}/$port}"
	case $system in
	plait)  lab_shim "$@" ;;
	mptcp*) lab_in c mptcpize run "$@" ;;
	*)      lab_in c "$@" ;;
	esac
}

say() { # SYSTEM WHAT JSON
	[ -n "$3" ] || { echo "bench: $part: $1 $2 failed" >&2; return 1; }
	echo "{\"section\":\"$section\",\"part\":\"$part\",\"system\":\"$1\",\"what\":\"$2\",${3#\{}"
}

# Some transfers at once, as one: the sum of their rates.
together() { # SYSTEM "DIRECTION BYTES"...
	local system=$1 out=$LAB/together pids=() one
	shift
	: >"$out"
	for one in "$@"; do
		# shellcheck disable=SC2086 # two words
		over "$system" timeout 300 "$blast" ${one% *} "$SERVER" {} ${one#* } >>"$out" &
		pids+=($!)
	done
	wait "${pids[@]}"
	python3 -c '
import json, sys
r = [json.loads(l) for l in open(sys.argv[1])]
t = max(x["seconds"] for x in r)
print(json.dumps({"gbit_s": sum(x["bytes"] for x in r) * 8e-9 / t})) if len(r) == int(sys.argv[2]) else None' "$out" $#
}

measure() { # SYSTEM WHAT:ARG...
	local system=$1 what a b n
	IFS=: read -r what a b <<<"$2"
	case $what in
	down | up | connect | echo)
		[ "$system" != limit ] || return 0
		say "$system" "$what" "$(over "$system" timeout 300 "$blast" "$what" "$SERVER" {} "$a")" ;;
	both)
		say "$system" both "$(together "$system" "down $a" "up $a")" ;;
	loaded)
		over "$system" timeout 300 "$blast" down "$SERVER" {} "$b" >/dev/null &
		n=$!
		sleep 2 # slow start is over
		say "$system" loaded "$(over "$system" timeout 300 "$blast" echo "$SERVER" {} "$a")"
		wait $n ;;
	short | idle | busy)
		say "$system" "$what-$a" "$(over "$system" timeout 300 "$crowd" "$what" "$SERVER" 7300 "$a" "$b" \
			${lab_pid_c:+"$lab_pid_c" "$lab_pid_g"})" ;;
	esac
}

limit() { # the same copies, cipher and calls with no transport at all
	local out
	out=$("$B"/tests/bench/limit c g 10.77.1.2 "$1" $(($2 >> 20)))
	say "limit-$1" down "${out/machine_cpu_s_per_gb/cpu_s_per_gb}"
}

say machine background "{\"cpus\":$("$LAB_ROOT/tests/bench/idle_cpu.py")}"
for _ in $(seq "$rounds"); do
	for one in $measures; do
		for system in $systems; do
			case $system in
			limit) [[ $one != down:* ]] || { limit sealed "${one#*:}"; limit plain "${one#*:}"; } ;;
			*)     measure "$system" "$one" ;;
			esac
		done
	done
done
