#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2119 # lab_up with no link of its own
# Faults by what stands on an IPv6 path: a router that has no route, that prohibits, that finds datagrams too big, that
# swallows long ones without a word, and one that changes what it forwards. Each is seen at both ends' /v1/faults with cause,
# router and what was done, while a stream goes on.
#
#	client c  fd01::2 --- router r1 --- fd91::2
#	          fd02::2 --- router r2 --- fd92::2  gateway g --- server s		path two is the backup
#
#	B=build tests/system/routers.sh [--short]
# Last line "routers: N passed, N failed".
set -u
# shellcheck source=tests/system/lab.sh
. "$(dirname "$0")/lab.sh"
here=$LAB_ROOT/tests/system

lab_up || exit 1
for ns in r1 r2; do
	ip netns add $ns
	ip -n $ns link set lo up
	lab_in $ns sysctl -qw net.ipv6.conf.all.forwarding=1
	# A message a second is what routers send; here each of them counts.
	lab_in $ns sysctl -qw net.ipv6.icmp.ratelimit=0
done
wire() { # NS DEV ADDRESS NS DEV ADDRESS
	ip link add name "$2" netns "$1" type veth peer name "$5" netns "$4"
	ip -n "$1" addr add "$3/64" dev "$2" nodad
	ip -n "$4" addr add "$6/64" dev "$5" nodad
	ip -n "$1" link set "$2" up
	ip -n "$4" link set "$5" up
}
wire c c1 fd01::2 r1 c0 fd01::1
wire c c2 fd02::2 r2 c0 fd02::1
wire g g1 fd91::2 r1 g0 fd91::1
wire g g2 fd92::2 r2 g0 fd92::1
for n in 1 2; do
	ip -n c route add fd9$n::/64 via fd0$n::1
	ip -n g route add fd0$n::/64 via fd9$n::1
done

g_public=$(lab_key g)
c_public=$(lab_key c)
cat >"$LAB/g.json" <<-JSON
	{ "private_key_file": "$LAB/g.key",
	  "gateway": { "listen": ["[::]:4500"], "clients": [ {"name": "c", "public_key": "$c_public"} ] },
	  "status": { "socket": "$LAB/g.status" } }
JSON
cat >"$LAB/c.json" <<-JSON
	{ "private_key_file": "$LAB/c.key",
	  "client": { "socket": "$LAB/c.sock",
	              "paths": [ {"name": "one", "address": "fd01::2"}, {"name": "two", "address": "fd02::2", "backup": true} ],
	              "gateways": [ {"name": "gate", "public_key": "$g_public", "addresses": ["[fd91::2]:4500", "[fd92::2]:4500"]} ] },
	  "status": { "socket": "$LAB/c.status" } }
JSON
lab_tunneld g || exit 1
lab_tunneld c || exit 1
lab_spawn echo s "$here/faults.py" echo $SERVER 7000
lab_until 10 "the server" lab_listens s 7000 || exit 1

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
both_up() { soon 20 c /v1/paths 'sum(p["state"] == "up" for p in j["paths"]) == 2'; }
used_again() { # SIDE PATH
	soon 20 "$1" /v1/connections "any(s['path'] == '$2' and s['mode'] == 'primary' for c in j['connections'] for s in c['subflows'])"
}
over() { # that is behind us: nothing lasts at either end, and the first path carries the stream again
	both_up && used_again c one && used_again g c.0 && soon 20 c /v1/faults 'not any(f["current"] and f["source"] != "mtu" for f in F)' &&
		soon 20 g /v1/faults 'not any(f["current"] and f["source"] not in ("mtu", "announced") for f in F)'
}
# Both ends know it: the client by ICMP, the gateway by FAULT_ANNOUNCE. An earlier record of the same kind (a neighbour not yet
# found while the client started) is not the one meant: of that one nothing was set aside.
reported() { # WHAT CAUSE EVIDENCE
	lab_ok "$1: the client knows cause and router" soon 10 c /v1/faults \
		"any(f['source'] == 'icmp' and f['cause'] == $2 and f['middlebox'] == 'fd01::1' and f['path'] == 'one' and '$3' in f['evidence'] for f in F)"
	lab_ok "$1: it says what was done" soon 10 c /v1/faults \
		"any(f['source'] == 'icmp' and f['cause'] == $2 and 'set aside' in f['done'] and 'quotes a datagram of ours' in f['evidence'] for f in F)"
	lab_ok "$1: the gateway was told both" soon 10 g /v1/faults \
		"any(f['source'] == 'announced' and f['cause'] == $2 and f['middlebox'] == 'fd01::1' and f['path'] == 'c.0' and f['done'] for f in F)"
	lab_ok "$1: and the client knows that it was" soon 10 c /v1/faults \
		"any(f['source'] == 'icmp' and f['cause'] == $2 and f['announced'] == 'arrived' for f in F)"
	goes_on "$1: the stream goes on"
}
goes_on() { # WHAT
	local before
	before=$(cat "$LAB/talk")
	lab_ok "$1" lab_until 5 "five more answers" eval "[ \"\$(cat '$LAB/talk')\" -ge $((before + 5)) ]"
}

lab_ok "both paths are up, over IPv6" both_up
PLAIT_SOCKET=$LAB/c.sock lab_spawn talk c "$B/plait" run -- "$here/faults.py" talk $SERVER 7000 "$LAB/talk" 30000
lab_ok "a stream has a subflow on each" soon 10 c /v1/connections \
	'[sum(s["state"] == "ESTABLISHED" for s in c["subflows"]) for c in j["connections"]] == [2]'

# --- RFC 4443 3.1, code 0: no route ---
ip -n r1 route add unreachable fd91::2/128
reported "no route" 0x0a "ICMPv6 type 1 code 0"
ip -n r1 route del unreachable fd91::2/128
lab_ok "no route: it is over when the way is back" over

# --- code 1: administratively prohibited ---
ip -n r1 route add prohibit fd91::2/128
reported "prohibited" 0x03 "ICMPv6 type 1 code 1"
lab_ok "prohibited: somebody decided so" holds c /v1/faults 'any(f["cause"] == 3 and f["type"] == "lasting" for f in F)'
ip -n r1 route del prohibit fd91::2/128
lab_ok "prohibited: it is over when the way is back" over

# --- code 3: the router finds no neighbour of that address (it takes three seconds to say so) ---
ip -n r1 route add fd91::2/128 dev c0
reported "no neighbour" 0x0b "ICMPv6 type 1 code 3"
ip -n r1 route del fd91::2/128 dev c0
lab_ok "no neighbour: it is over when the way is back" over

# --- RFC 4443 3.2: packet too big ---
size_of() { lab_value c /v1/paths '[p["mtu_payload"] for p in j["paths"] if p["name"] == "one"][0]'; }
long=$(size_of)
ip -n r1 route add fd91::2/128 dev g0 mtu 1280
lab_ok "too big: segments are shorter" soon 10 c /v1/paths 'any(p["name"] == "one" and p["mtu_payload"] < 1280 for p in j["paths"])'
lab_ok "too big: the client knows the router" soon 5 c /v1/faults \
	'any(f["source"] == "mtu" and f["cause"] == 6 and f["middlebox"] == "fd01::1" and "ICMP" in f["evidence"] and "shorter" in f["done"] for f in F)'
lab_ok "too big: the gateway was told" soon 10 g /v1/faults \
	'any(f["source"] == "announced" and f["cause"] == 6 and f["middlebox"] == "fd01::1" and f["path"] == "c.0" for f in F)'
lab_ok "too big: the path was never set aside for it" holds c /v1/paths 'any(p["name"] == "one" and p["state"] == "up" for p in j["paths"])'
goes_on "too big: the stream goes on"

# --- the other direction: long datagrams vanish without a word (veth drops what is longer than its far end's MTU) ---
# What is still to be cut into segments passes there whatever its length.
ip -n g link set g1 gso_max_segs 1
lab_ok "black hole: the gateway's data go by that path" soon 15 g /v1/connections \
	'any(s["path"] == "c.0" and s["mode"] == "primary" and not s["stale"] for c in j["connections"] for s in c["subflows"])'
ip -n r1 link set g0 mtu 1280
lab_ok "black hole: the gateway finds it" soon 20 g /v1/faults \
	'any(f["source"] == "mtu" and f["cause"] == 6 and f["middlebox"] is None and "vanish" in f["evidence"] and "shorter" in f["done"] for f in F)'
lab_ok "black hole: and tells the client" soon 10 c /v1/faults \
	'any(f["source"] == "announced" and f["cause"] == 6 and f["middlebox"] is None and f["path"] == "one" for f in F)'
lab_ok "black hole: the path is up" both_up
goes_on "black hole: the stream goes on"

# --- what the gateway sent arrives with other content ---
lab_in r1 "$here/faults.py" mangle g0 fd91::2 4500 fd01::2 20
lab_ok "mangled: the client says that datagrams do not authenticate" soon 5 c /v1/faults \
	'any(f["source"] == "decrypt" and f["cause"] == 6 and f["path"] == "one" and "did not authenticate" in f["evidence"] and "dropped" in f["done"] for f in F)'
# On the backup, which has no data to ride on.
lab_ok "mangled: and tells the gateway" soon 10 c /v1/faults 'any(f["source"] == "decrypt" and f["announced"] in ("sent", "arrived") for f in F)'
lab_ok "mangled: which probes the path" soon 5 g /v1/faults \
	'any(f["source"] == "announced" and f["cause"] == 6 and f["middlebox"] is None and f["path"] == "c.0" and "probed" in f["done"] for f in F)'
lab_ok "mangled: the path is up" both_up
goes_on "mangled: the stream goes on"

lab_ok "the stream never broke" [ ! -s "$LAB/talk.log" ]
lab_ok "it is the same connection" holds c /v1/connections 'len(j["connections"]) == 1'
[ -n "$long" ] || lab_ok "a path has a size" false
if [ $lab_failed -ne 0 ]; then
	grep -v listening "$LAB"/tunneld-{g,c}.log | tail -30 >&2
fi
lab_end
