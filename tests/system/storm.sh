#!/bin/bash
# SPDX-License-Identifier: MIT
# 16 threads that connect and change their mind at random moments (storm.c), through two tunnelds: nothing may be stuck,
# no descriptor lost, no connection left, no memory kept.
#
# usage: storm.sh [--short]       SECONDS_LONG=600 repeats the storm for that long
. "$(dirname "$0")/lab.sh"

rounds=3 connects=1000
if [ "${1:-}" = --short ]; then
	rounds=1 connects=40
fi
lab_up veth veth || exit 1
lab_spawn server s "$B"/tests/probe/probe server "$SERVER" "$SERVER6"
lab_until 10 "the probe's server" grep -q ready "$LAB/server.log"
lab_tunnelds || { lab_ok "the lab starts" false; lab_end; }

fds() { find "/proc/$1/fd" -type l | wc -l; }
kb() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status"; }
heap() { lab_value "$1" /v1/status 'j["heap_bytes"]'; }
storm() { # SEED [OPTION of plait run]
	PLAIT_SOCKET=$LAB/c.sock lab_in c timeout 550 "$B"/plait run ${2:+"$2"} -- "$B"/tests/system/storm "$SERVER" 16 $connects "$1" \
		>"$LAB/storm.out" 2>&1 || { tail -5 "$LAB/storm.out" >&2; return 1; }
	[ -z "${V:-}" ] || cat "$LAB/storm.out"
}
nothing_pending() { [ "$(lab_value c /v1/status 'j["shim"]["pending"] + j["shim"]["live"]')" = 0 ]; }
settled() { # after WHAT
	lab_ok "nothing stays pending or live after $1" lab_until 20 "no pending connect" nothing_pending
	lab_ok "no connection left at the client after $1" lab_until 70 "no connection at c" lab_quiet c
	lab_ok "no connection left at the gateway after $1" lab_until 70 "no connection at g" lab_quiet g
}
same_fds() { # BEFORE PID; a few: sessions and sockets of the daemon's own
	[ "$(fds "$2")" -le $(($1 + 4)) ]
}

# The first round takes the memory that is then used again.
lab_ok "a first storm" storm 1 --preload
settled "it"
at_rest() { [ "$(lab_value "$1" /v1/status 'j["memory_kept"]')" -lt 1048576 ]; } # no more than what never was a peak
for side in c g; do
	lab_ok "what a peak left is given back at $side" lab_until 10 "memory_kept" at_rest $side
done
# shellcheck disable=SC2034 # by the side's name
c_heap=$(heap c) g_heap=$(heap g)
# shellcheck disable=SC2034
c_fds=$(fds "$lab_pid_c") g_fds=$(fds "$lab_pid_g") c_kb=$(kb "$lab_pid_c") g_kb=$(kb "$lab_pid_g")
round=2 end=$((SECONDS + ${SECONDS_LONG:-0}))
while [ $round -le $((rounds + 1)) ] || [ $SECONDS -lt $end ]; do
	lab_ok "storm $round" storm $round --preload
	round=$((round + 1))
done
settled "$((round - 1)) storms"
lab_ok "a storm by both ways" storm 77
settled "all"
lab_ok "no descriptor lost at the client" lab_until 10 "$c_fds descriptors" same_fds "$c_fds" "$lab_pid_c"
lab_ok "no descriptor lost at the gateway" lab_until 10 "$g_fds descriptors" same_fds "$g_fds" "$lab_pid_g"
# What lives, by the daemons' own account; and what is resident, which may be more by what the C library cannot give back (pages
# with something that lives on them) and by tables that are touched slot by slot.
lives() { # SIDE BEFORE
	[ "$(heap "$1")" -le $(($2 + 262144)) ]
}
grown() { # SIDE BEFORE
	local pid=lab_pid_$1
	[ $(($(kb "${!pid}") - $2)) -lt $(($2 / 8 + 2048)) ]
}
# A sanitizer keeps what is freed, on purpose: its own leak check speaks for it.
if ! ldd "$B"/tunneld | grep -q libasan; then
	for side in c g; do
		bytes=${side}_heap before=${side}_kb pid=lab_pid_$side
		lab_ok "what was taken at $side is freed (${!bytes} bytes, then $(heap $side))" lab_until 10 "its heap" lives $side "${!bytes}"
		lab_ok "no memory kept at $side (${!before} kB, then $(kb "${!pid}"))" lab_until 10 "its size" grown $side "${!before}"
	done
fi
lab_end
