#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2119,SC2016 # expressions of Python, and what eval expands
# Faults by how they are known, at both ends' /v1/faults: an address that goes, datagrams that the system refuses, probes and
# segments that nobody answers, a subflow that the peer resets, one whose data was changed on its way. Others have the rest: link,
# icmp, announced (faults.sh), mtu, decrypt (routers.sh).
#	B=build tests/system/sources.sh [--short]
# Last line "sources: N passed, N failed".
set -u
# shellcheck source=tests/system/lab.sh
. "$(dirname "$0")/lab.sh"
here=$LAB_ROOT/tests/system

lab_up 'rate 50M; delay 5' 'rate 50M; delay 20' || exit 1
lab_tunnelds || exit 1
lab_spawn echo s "$here/faults.py" echo $SERVER 7000
truncate -s 300M "$LAB/long"
lab_spawn http s python3 -m http.server --bind $SERVER --directory "$LAB" 8000
lab_until 10 "the servers" eval 'lab_listens s 7000 && lab_listens s 8000' || exit 1

# A Python expression over a status answer, bound to j, is true; F: its faults.
holds() { # SIDE RESOURCE EXPRESSION
	lab_status "$1" "$2" | python3 -c '
import json, sys
j = json.load(sys.stdin)
F = j.get("faults", [])
sys.exit(not eval("(" + sys.argv[1] + ")"))' "$3" 2>/dev/null
}
soon() { # SECONDS SIDE RESOURCE EXPRESSION
	lab_until "$1" "$2 $3: $4" holds "$2" "$3" "$4" || { [ -z "${V:-}" ] || lab_status "$2" "$3" | tail -c 3000 >&2; false; }
}
goes_on() { # WHAT
	local before
	before=$(cat "$LAB/talk")
	lab_ok "$1: the stream goes on" lab_until 5 "five more answers" eval "[ \"\$(cat '$LAB/talk')\" -ge $((before + 5)) ]"
}
over() { # WHAT SOURCE: the path is well, and at neither end is anything left of it
	lab_ok "$1: the path is up again" lab_until 15 "both" lab_paths_up 2
	lab_ok "$1: then it is over at the client" soon 35 c /v1/faults "not any(f['source'] == '$2' and f['current'] for f in F)"
	lab_ok "$1: and at the gateway" soon 35 g /v1/faults "not any(f['source'] in ('$2', 'announced') and f['current'] for f in F)"
}

PLAIT_SOCKET=$LAB/c.sock lab_spawn talk c "$B/plait" run -- "$here/faults.py" talk $SERVER 7000 "$LAB/talk"
lab_ok "a stream has a subflow on each path" soon 10 c /v1/connections \
	'[sum(s["state"] == "ESTABLISHED" for s in c["subflows"]) for c in j["connections"]] == [2]'
lab_ok "nothing is wrong" eval 'holds c /v1/faults "not F" && holds g /v1/faults "not F"'

# --- address: netlink says that it is gone ---
ip -n c addr del 10.77.2.1/24 dev p2
lab_ok "address: the client knows" soon 5 c /v1/faults \
	'any(f["source"] == "address" and f["cause"] == 0x0a and f["path"] == "p2" and f["type"] == "lasting" and "address is gone" in f["evidence"] for f in F)'
lab_ok "address: the gateway was told" soon 5 g /v1/faults \
	'any(f["source"] == "announced" and f["cause"] == 0x0a and f["path"] == "lab.1" for f in F)'
goes_on address
ip -n c addr add 10.77.2.1/24 dev p2
over address address

# --- send: the gateway's system has no way to the client any more; probe: so the client's probes have no answer ---
ip -n g route del 10.77.2.0/24 dev p2
lab_ok "send: the gateway knows" soon 25 g /v1/faults \
	'any(f["source"] == "send" and f["cause"] == 0x0a and f["path"] == "lab.1" and "refused" in f["evidence"] and "set aside" in f["done"] for f in F)'
lab_ok "send: the client was told" soon 5 c /v1/faults \
	'any(f["source"] == "announced" and f["cause"] == 0x0a and f["path"] == "p2" for f in F)'
lab_ok "probe: which asks, and has no answer" soon 10 c /v1/faults \
	'any(f["source"] == "probe" and f["cause"] == 0x0b and f["path"] == "p2" and "no answer to" in f["evidence"] for f in F)'
goes_on send
ip -n g route add 10.77.2.0/24 dev p2 src 10.77.2.2
over send send
lab_ok "probe: over with it" soon 5 c /v1/faults 'not any(f["source"] == "probe" and f["current"] for f in F)'

# --- timeout: what is under way on the shorter path vanishes ---
lab_ok "timeout: the shorter path carries the stream" lab_until 10 "it" holds c /v1/connections \
	'any(s["path"] == "p1" and s["mode"] == "primary" for c in j["connections"] for s in c["subflows"])'
lab_link 1 both down
lab_ok "timeout: the client knows" soon 10 c /v1/faults \
	'any(f["source"] == "timeout" and f["cause"] == 5 and f["path"] == "p1" and "timeouts in a row" in f["evidence"] for f in F)'
lab_ok "probe: nor does anybody answer" soon 10 c /v1/faults 'any(f["source"] == "probe" and f["path"] == "p1" for f in F)'
lab_ok "probe: the gateway was told" soon 5 g /v1/faults \
	'any(f["source"] == "announced" and f["cause"] == 0x0b and f["path"] == "lab.0" for f in F)'
goes_on timeout
lab_link 1 both up
over timeout timeout

# --- reset: bulk that fills the window gives up a subflow that is silent, and says so by a RST on the other path ---
lab_shim curl -s --max-time 60 -o /dev/null http://$SERVER:8000/long &
curl=$!
lab_ok "reset: a transfer takes both paths" soon 10 c /v1/connections \
	'any(len(c["subflows"]) == 2 and all(s["bytes_received"] > 1000000 for s in c["subflows"]) for c in j["connections"])'
lab_link 1 both down
lab_ok "reset: the client has the gateway's reason" soon 20 c /v1/faults \
	'any(f["source"] == "reset" and f["cause"] in (4, 5) and "RST with reason" in f["evidence"] and f["path"] == "p1" for f in F)'
lab_link 1 both up
over reset reset
{ kill $curl; wait $curl; } 2>/dev/null

# --- corrupt: in plain form anybody on the way can change data; the checksum tells ---
cat >"$LAB/pg.json" <<-JSON
	{ "plain": { "listen": [ { "address": "10.77.1.2:9000", "forward": "$SERVER:7000" } ] }, "transport": { "checksum": true },
	  "status": { "socket": "$LAB/pg.status" } }
JSON
cat >"$LAB/pc.json" <<-JSON
	{ "client": { "socket": "$LAB/pc.sock", "paths": [ {"name": "p1", "interface": "p1"}, {"name": "p2", "interface": "p2"} ] },
	  "plain": { "connect": [ { "to": "10.77.1.2/32" } ] }, "transport": { "checksum": true }, "status": { "socket": "$LAB/pc.status" } }
JSON
ip -n c route add 10.77.1.2/32 via 10.77.2.2 dev p2 metric 200
lab_tunneld pg g || exit 1
lab_tunneld pc c || exit 1
PLAIT_SOCKET=$LAB/pc.sock lab_spawn plaintalk c "$B/plait" run -- "$here/faults.py" talk 10.77.1.2 9000 "$LAB/plaintalk"
lab_ok "corrupt: a stream of plain form has a subflow on each path, with checksums" soon 10 pc /v1/connections \
	'[c["checksum"] and [s["state"] for s in c["subflows"]] == 2 * ["ESTABLISHED"] for c in j["connections"]] == [True]'
lab_in g "$here/faults.py" alter p1 10.77.1.2 9000 10.77.1.1
lab_ok "corrupt: the client knows" soon 5 pc /v1/faults \
	'any(f["source"] == "corrupt" and f["cause"] == 6 and f["path"] == "p1" and "checksum" in f["evidence"] and "reset" in f["done"] for f in F)'
lab_ok "reset: the server has the client's reason" soon 5 pg /v1/faults \
	'any(f["source"] == "reset" and f["cause"] == 6 and "RST with reason" in f["evidence"] for f in F)'
before=$(cat "$LAB/plaintalk")
lab_ok "corrupt: the stream goes on, with what was sent" lab_until 5 "five more answers" eval "[ \"\$(cat '$LAB/plaintalk')\" -ge $((before + 5)) ]"
lab_ok "corrupt: and never broke" [ ! -s "$LAB/plaintalk.log" ]

lab_ok "the stream never broke" [ ! -s "$LAB/talk.log" ]
if [ $lab_failed -ne 0 ]; then
	grep -v listening "$LAB"/tunneld-{g,c}.log | tail -30 >&2
fi
lab_end
