#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # expressions of Python, and what eval expands
# `plait capture` sees what both tunnelds count: handshakes, joins, closes, each subflow as ordinary TCP with right checksums
# and HMACs, paths as interfaces. capture.py reads it, and tshark where it is installed.
#
#	B=build tests/system/capture.sh
# Last line "capture: N passed, N failed".
set -u
# shellcheck source=tests/system/lab.sh
. "$(dirname "$0")/lab.sh"
here=$LAB_ROOT/tests/system

lab_up 'rate 40M; delay 5' 'rate 40M; delay 5' && lab_tunnelds || exit 1
head -c 3000000 /dev/urandom >"$LAB/file"
truncate -s 1G "$LAB/endless"
lab_spawn http s python3 -m http.server --bind $SERVER --directory "$LAB" 8000
lab_until 10 "the server" lab_listens s 8000 || exit 1

count_of() { lab_value "$1" /v1/status "j['counters'].get('$2', 0)"; }
begin() { # SIDE ARGUMENTS...: capture into SIDE.pcapng
	local side=$1
	shift
	lab_spawn "capture-$side" "$side" "$B/plait" capture -w "$LAB/$side.pcapng" --socket "$LAB/$side.status" "$@"
	printf -v "capture_$side" %s "$lab_pid"
	lab_until 5 "the capture at $side" [ -s "$LAB/$side.pcapng" ]
}
finish() { # SIDE
	local pid=capture_$1
	kill -INT "${!pid}" && wait "${!pid}"
}
# shellcheck disable=SC2034 # begin() sets them by name
capture_c='' capture_g=''
fetch() { lab_shim curl -sf --max-time 30 -o "$LAB/got" http://$SERVER:8000/file && cmp -s "$LAB/got" "$LAB/file"; }
# A Python expression over what capture.py found in SIDE's, bound to j; C: its counts, nothing seen is 0.
found() { # SIDE EXPRESSION
	python3 -c '
import collections, json, sys
j = json.load(open(sys.argv[1]))
C = collections.Counter(j["counts"])
sys.exit(not eval(sys.argv[2]))' "$LAB/$1.found" "$2"
}

begin c
begin g -s 65535
lab_ok "only one at a time" eval '! lab_in c "$B/plait" capture -w /dev/null --socket "$LAB/c.status" 2>"$LAB/second"'
lab_ok "and it says so" grep -q "there is one already" "$LAB/second"
lab_ok "a fetch" fetch
lab_ok "another" fetch
# What is asked for below is to be seen of the next connection, not of these.
lab_ok "both are over" lab_until 10 "no connection at c" lab_quiet c
# One that is killed: fast close.
PLAIT_SOCKET=$LAB/c.sock lab_spawn killed c "$B/plait" run -- curl -s --max-time 30 -o /dev/null http://$SERVER:8000/endless
killed=$lab_pid
lab_ok "an endless one runs on two subflows" lab_until 10 "its join" eval \
	'[ "$(lab_value c /v1/connections "max([len(c[\"subflows\"]) for c in j[\"connections\"] if c[\"bytes_received\"] > 100000] or [0])")" -ge 2 ]'
[ ! -s "$LAB/killed.log" ] || cat "$LAB/killed.log" >&2
kill -9 $killed
wait $killed 2>/dev/null
lab_ok "all ended" lab_until 10 "no connection left" lab_quiet c
lab_ok "there, too" lab_until 10 "no connection left" lab_quiet g
for side in c g; do
	finish $side
	lab_ok "the capture of $side ends well" [ $? -eq 0 ]
	python3 "$here/capture.py" "$LAB/$side.pcapng" >"$LAB/$side.found"
	lab_ok "nothing in the capture of $side is wrong" [ $? -eq 0 ]
	lab_ok "nothing was dropped" found $side 'j["dropped"] == 0'
done
lab_ok "the client's interfaces are its paths" found c 'j["paths"] == ["p1", "p2"]'
lab_ok "the gateway's are named after its client" found g 'j["paths"] == ["lab.0", "lab.1"]'
for side in c g; do
	lab_ok "three connections at $side" found $side 'C["connections"] == 3'
	lab_ok "their SYNs" found $side 'C["MP_CAPABLE SYN"] >= 3 and C["MP_CAPABLE SYN/ACK"] >= 3'
	lab_ok "as many joins as were counted" found $side "C['MP_JOIN ACK'] >= $(count_of $side MPJoinEstab) >= 1"
	lab_ok "as many join SYNs" found $side "C['MP_JOIN SYN'] >= $(count_of $side MPJoinEstab) and C['MP_JOIN SYN/ACK'] >= 1"
	lab_ok "closes: DATA_FINs of two connections" found $side 'C["DATA_FIN"] >= 4 and C["FIN"] >= 4'
	lab_ok "and a fast close" found $side "C['MP_FASTCLOSE'] >= 1 and C['RST'] >= 1"
	lab_ok "data with mappings" found $side 'C["mappings"] > 100'
done
lab_ok "the TCP status address gives none" eval \
	'! lab_in c curl -sf --max-time 2 http://127.0.0.1:9777/v1/capture -o /dev/null'

if command -v tshark >/dev/null; then
	for side in c g; do
		tshark -r "$LAB/$side.pcapng" -o tcp.check_checksum:TRUE -o mptcp.analyze_mappings:TRUE -T fields \
			-e frame.interface_name -e tcp.options.mptcp.subtype -e tcp.checksum.status -e _ws.malformed \
			>"$LAB/$side.shark" 2>"$LAB/shark.log"
		lab_ok "tshark reads the capture of $side" [ $? -eq 0 -a "$(wc -l <"$LAB/$side.shark")" -eq "$(found $side 'print(C["segments"])')" ]
		# A port of ours may be some protocol's, which its payload then is not: what counts is TCP and its options.
		lab_ok "and finds nothing malformed" [ "$(tshark -r "$LAB/$side.pcapng" -Y _ws.malformed -T fields -e _ws.malformed \
			-e frame.protocols 2>/dev/null | grep -Ec 'raw:ip(v6)?:tcp$')" -eq 0 ]
		lab_ok "it groups the subflows into three connections" [ "$(tshark -r "$LAB/$side.pcapng" -Y mptcp -T fields -e mptcp.stream \
			2>/dev/null | sort -u | grep -c .)" -eq 3 ]
		lab_ok "it sees the joins" [ "$(tshark -r "$LAB/$side.pcapng" -Y 'tcp.options.mptcp.subtype == 1 && tcp.flags.syn == 1 && tcp.flags.ack == 0' \
			2>/dev/null | wc -l)" -eq "$(found $side 'print(C["MP_JOIN SYN"])')" ]
		lab_ok "and the fast close" [ "$(tshark -r "$LAB/$side.pcapng" -Y 'tcp.options.mptcp.subtype == 7' 2>/dev/null | wc -l)" -ge 1 ]
	done
	lab_ok "every checksum is right where the packet is there whole" [ "$(cut -f3 "$LAB/g.shark" | grep -vc 1)" -eq 0 ]
else
	echo "capture: tshark is not installed; capture.py alone has looked"
fi
lab_end
