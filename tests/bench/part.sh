#!/bin/bash
# SPDX-License-Identifier: MIT
# One lab's worth of measurements for bench.sh: plain TCP over the better path, Linux MPTCP over both, plait over
# both, by turns. Prints one JSON object a line: {"part": ..., "system": ..., "what": ..., the figures of blast}.
#
# usage: part.sh PART ROUNDS BYTES CONNECTS ECHOES LINK1 LINK2     (links as for lab_up)
LAB_MUST=1
export LAB_MUST
. "$(dirname "$0")/../system/lab.sh"

part=$1 rounds=$2 bytes=$3 connects=$4 echoes=$5
shift 5
blast=$B/tests/bench/blast
lab_up "$@" || exit 1
lab_route 1
for ns in c s; do
	lab_in $ns sysctl -qw net.mptcp.enabled=1 2>/dev/null && ip -n $ns mptcp limits set subflow 2 add_addr_accepted 2 && mptcp=1
done
if [ -n "${mptcp:-}" ] && command -v mptcpize >/dev/null; then
	ip -n c mptcp endpoint add 10.77.2.1 dev p2 subflow
	ip -n c rule add from 10.77.2.1 lookup 2
	ip -n c route add default via 10.77.2.2 dev p2 table 2
	lab_spawn blast-mptcp s mptcpize run "$blast" serve "$SERVER" 7201
	lab_until 10 "the MPTCP server" lab_listens s 7201 || exit 1
else
	mptcp=
fi
lab_spawn blast s "$blast" serve "$SERVER" 7200
lab_until 10 "the server" lab_listens s 7200 || exit 1
systems="tcp ${mptcp:+mptcp}"
if lab_tunnelds; then
	systems+=" plait"
fi

measure() { # SYSTEM WHAT COUNT
	local out
	case $1 in
	tcp)   out=$(lab_in c timeout 300 "$blast" "$2" "$SERVER" 7200 "$3") ;;
	mptcp) out=$(lab_in c timeout 300 mptcpize run "$blast" "$2" "$SERVER" 7201 "$3") ;;
	plait) out=$(lab_shim timeout 300 "$blast" "$2" "$SERVER" 7200 "$3") ;;
	esac
	[ -n "$out" ] || { echo "bench: $part: $1 $2 failed" >&2; return 1; }
	echo "{\"part\":\"$part\",\"system\":\"$1\",\"what\":\"$2\",${out#\{}"
}

# What the rest of the machine does meanwhile, in CPUs.
idle_cpu() {
	python3 -c '
import time
def busy():
    f = open("/proc/stat").readline().split()[1:8]
    return sum(map(int, f[:3] + f[5:7])) / 100
a = busy(); time.sleep(1); print(round(busy() - a, 2))'
}
echo "{\"part\":\"$part\",\"system\":\"machine\",\"what\":\"background\",\"cpus\":$(idle_cpu)}"
for _ in $(seq "$rounds"); do
	for what in down up; do
		for system in $systems; do
			measure "$system" $what "$bytes"
		done
	done
done
for what in connect echo; do
	count=$echoes
	[ $what = echo ] || count=$connects
	for system in $systems; do
		measure "$system" $what "$count"
	done
done
