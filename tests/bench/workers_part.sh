#!/bin/bash
# SPDX-License-Identifier: MIT
# One worker against two, for bench.sh: streams that all receive as fast as they can over two unshaped paths, by turns in each round.
#   one-core   a worker each for client and gateway, and both ends' applications, all on the first core
#   one        a worker each: the client's on the first core, the gateway's on the second, applications on both
#   two        two workers each: the first of both ends on the first core, the second of both on the second, applications on both
# Prints one JSON object a line, as part.sh does.
#
# usage: workers_part.sh ROUNDS STREAMS SECONDS
LAB_MUST=1
export LAB_MUST
. "$(dirname "$0")/../system/lab.sh"

rounds=$1 streams=$2 seconds=$3
crowd=$B/tests/bench/crowd
read -r first second _ <<<"$(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)))')"
[ -n "${second:-}" ] || { echo "bench: workers: there is one CPU only" >&2; exit 1; }

lab_up veth veth || exit 1
lab_spawn crowd s "$crowd" serve "$SERVER" 7300
server=$lab_pid
lab_until 10 "crowd" lab_listens s 7300 || exit 1

ready() { [ "$(lab_value c /v1/peers 'sum(x["ready"] for x in j["peers"])')" = "$1" ]; }
start() { # WORKERS
	export LAB_WORKERS=$1 LAB_CLIENT_WORKERS=$1
	lab_tunnelds && lab_until 10 "$1 sessions" ready "$1"
}
stop() {
	kill "$lab_pid_c" "$lab_pid_g"
	wait "$lab_pid_c" "$lab_pid_g"
}
pin() { taskset -acp "$2" "$1" >/dev/null; } # PID CPUS: all its threads
pin_workers() { # PID: each thread to its own core, in the order of their birth, which is that of the workers
	local cpus=("$first" "$second") k=0 tid
	for tid in $(find "/proc/$1/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n); do
		taskset -cp "${cpus[k]}" "$tid" >/dev/null
		k=$((k + 1))
	done
	[ "$k" = 2 ]
}
measure() { # SYSTEM CPUS_OF_APPLICATIONS
	local out
	pin "$server" "$2"
	out=$(lab_shim timeout 300 taskset -c "$2" "$crowd" busy "$SERVER" 7300 "$streams" "$seconds" "$lab_pid_c" "$lab_pid_g")
	[ -n "$out" ] || { echo "bench: workers: $1 failed" >&2; return 1; }
	echo "{\"section\":\"workers\",\"part\":\"veth\",\"system\":\"$1\",\"what\":\"busy-$streams\",${out#\{}"
}

echo "{\"section\":\"workers\",\"part\":\"veth\",\"system\":\"machine\",\"what\":\"background\",\"cpus\":$("$LAB_ROOT/tests/bench/idle_cpu.py")}"
for _ in $(seq "$rounds"); do
	start 1 || exit 1
	pin "$lab_pid_c" "$first" && pin "$lab_pid_g" "$first" && measure one-core "$first"
	pin "$lab_pid_c" "$first" && pin "$lab_pid_g" "$second" && measure one "$first,$second"
	stop
	start 2 || exit 1
	pin_workers "$lab_pid_c" && pin_workers "$lab_pid_g" && measure two "$first,$second"
	stop
done
