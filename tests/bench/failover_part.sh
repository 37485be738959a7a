#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # expressions of Python, and what eval expands
# One lab's worth of measurements for failover.sh: a path fails and comes back, for Linux MPTCP and plait by turns. One
# JSON object a line: {"part": ..., "system": ..., the figures of trickle}.
#
# usage: failover_part.sh PART RUNS DELAY1_MS DELAY2_MS
#	hole     messages each way; the first link goes silent, the second is a backup
#	lossN    messages; the first link begins to lose N %, the second is a backup
#	return   bulk; the first of two links is silent for 4 s
#	connect  connects: the first link just went silent; it has been silent for long; both are, and the second comes back
#	away     bulk; all interfaces are down for 30 s, and one comes back with another address
LAB_MUST=1
export LAB_MUST
. "$(dirname "$0")/../system/lab.sh"

part=$1 runs=$2
trickle=$B/tests/bench/trickle
mode=backup
# shellcheck disable=SC2034 # lab.sh's
LAB_BACKUP=2
case $part in
return | away) mode='' LAB_BACKUP='' ;;
esac
lab_up "rate 100M; delay $3; queue 60ms" "rate 50M; delay $4; queue 60ms" || exit 1
lab_route 1
systems=plait
for ns in c s; do
	lab_in $ns sysctl -qw net.mptcp.enabled=1 2>/dev/null && ip -n $ns mptcp limits set subflow 2 add_addr_accepted 2 && mptcp=1
done
if [ -n "${mptcp:-}" ] && command -v mptcpize >/dev/null; then
	# shellcheck disable=SC2086 # a word or none
	ip -n c mptcp endpoint add 10.77.2.1 dev p2 subflow $mode
	ip -n c rule add from 10.77.2.1 lookup 2
	ip -n c route add default via 10.77.2.2 dev p2 table 2
	lab_spawn trickle-mptcp s mptcpize run "$trickle" serve "$SERVER" 7201
	lab_until 10 "the MPTCP server" lab_listens s 7201 || exit 1
	systems=${SYSTEMS:-mptcp plait}
fi
lab_spawn trickle s "$trickle" serve "$SERVER" 7200
lab_until 10 "the server" lab_listens s 7200 || exit 1
lab_tunnelds || exit 1

run() { # SYSTEM TRICKLE_ARGS...: what, and after the address the rest
	local system=$1 what=$2
	shift 2
	case $system in
	mptcp) lab_in c timeout ${patience:-60} mptcpize run "$trickle" "$what" "$SERVER" 7201 "$@" ;;
	plait) lab_shim timeout ${patience:-60} "$trickle" "$what" "$SERVER" 7200 "$@" ;;
	esac
}

# Nothing said is a failure: it gave up, or took longer than `patience` seconds.
say() { # SYSTEM WHAT JSON
	[ -n "$3" ] || set -- "$1" "$2" '{"failed":true}'
	echo "{\"part\":\"$part\",\"system\":\"$1\",\"what\":\"$2\",${3#\{}"
}

# The links are as they were, and whoever watches them knows it.
well() {
	for n in 1 2; do
		lab_link $n both up
		lab_link $n both loss 0
	done
	lab_until 20 "all paths up" lab_paths_up "$LAB_PATHS"
}

# Seconds since the machine started, by the clock that trickle uses.
clock() { python3 -c 'import time; print(f"{time.monotonic():.3f}")'; }

for _ in $(seq "$runs"); do
	for system in $systems; do
		case $part in
		hole)
			for way in up down; do
				well
				lab_link 1 at +1.5 both down
				say "$system" $way "$(run "$system" $way 3.5)"
			done
			;;
		loss*)
			well
			lab_link 1 at +1.5 both loss "0.${part#loss}"
			say "$system" up "$(run "$system" up 7)"
			;;
		return)
			well
			at=$(clock)
			lab_link 1 at +4 both down
			lab_link 1 at +8 both up
			out=$(run "$system" bulk 15)
			say "$system" bulk "${out:+{\"commanded\":$at,${out#\{}}"
			;;
		connect)
			patience=10
			well
			lab_link 1 both down
			say "$system" just "$(run "$system" connect)"
			[ "$system" = mptcp ] || lab_until 10 "the silence to be noticed" eval '! lab_paths_up 2'
			say "$system" known "$(run "$system" connect)"
			lab_link 2 both down
			[ "$system" = mptcp ] || lab_until 10 "the silence to be noticed" eval '! lab_paths_up 1'
			lab_link 2 at +2 both up
			say "$system" back "$(run "$system" connect)"
			;;
		esac
	done
done

# Somebody else's words, whole, through 30 s without any interface.
if [ "$part" = away ]; then
	mkdir "$LAB/www"
	head -c 60000000 /dev/urandom >"$LAB/www/file"
	sum=$(sha256sum <"$LAB/www/file")
	lab_spawn httpd s python3 -m http.server --bind "$SERVER" --directory "$LAB/www" 8000
	lab_until 10 "the web server" lab_listens s 8000 || exit 1
	for run in $(seq "$runs"); do
		well
		rm -f "$LAB/got" # of the run before: "some of it" is this one's
		lab_shim curl -sf --limit-rate 4M --max-time 120 "http://$SERVER:8000/file" >"$LAB/got" &
		curl=$!
		lab_until 10 "some of it" test -s "$LAB/got"
		ip -n c link set p1 down
		ip -n c link set p2 down
		sleep 30
		ip -n c addr flush dev p1
		ip -n c addr add "10.77.1.$((100 + run))/24" dev p1
		ip -n c link set p1 up
		at=$(clock)
		size=$(stat -c %s "$LAB/got")
		lab_until 20 "more of it" eval '[ "$(stat -c %s "$LAB/got")" -gt '"$size"' ]'
		resumed=$(clock)
		wait $curl
		rc=$?
		[ $rc -eq 0 ] && [ "$(sha256sum <"$LAB/got")" = "$sum" ] && whole=true || whole=false
		say plait file "{\"whole\":$whole,\"curl\":$rc,\"resumed_s\":$(python3 -c "print(round($resumed - $at, 2))")}"
		ip -n c link set p2 up
	done
fi
