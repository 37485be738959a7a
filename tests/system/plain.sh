#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Plain form as its users meet it: two tunnelds, one with plain.connect and one with plain.listen, over two links. What goes
# wrong is told with its path and its host, a host that vanished while idle is found, and SIGHUP changes both sides. Two
# namespaces of our own joined by veth pairs; needs no root.
#	B=build tests/system/plain.sh
# Last line "plain: N passed, N failed". KEEP=1 keeps the directory with logs.
set -u

if [ "${1:-}" != inside ]; then
	if ! unshare --user --map-root-user --net --pid --fork --kill-child --mount-proc true 2>/dev/null; then
		echo "plain: cannot make namespaces here" >&2
		echo "plain: 0 passed, 0 failed, 1 skipped"
		exit 0
	fi
	exec unshare --user --map-root-user --net --pid --fork --kill-child --mount-proc "$0" inside
fi

cd "$(dirname "$0")/../.." || exit 2
B=$(realpath "${B:-build}")
dir=$(mktemp -d) || exit 2
trap '[ -n "${KEEP:-}" ] && echo "kept: $dir" || rm -rf "$dir"' EXIT # the processes end with the namespace
passed=0 failed=0

check() { # NAME COMMAND...
	local name=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		[ -z "${V:-}" ] || echo "$SECONDS s: $name"
	else
		failed=$((failed + 1))
		echo "plain: failed: $name" >&2
	fi
}

until_true() { # SECONDS COMMAND...
	local end=$((SECONDS + $1 + 1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

status() { curl -sf --max-time 2 --unix-socket "$dir/$1.status" "http://tunneld$2"; }

# A Python expression over a status answer, bound to j, is true. F is its faults that last.
holds() { # SIDE RESOURCE EXPRESSION
	status "$1" "$2" | python3 -c '
import json, sys
j = json.load(sys.stdin)
F = [f for f in j.get("faults", []) if f["current"]]
sys.exit(not eval(sys.argv[1]))' "$3" 2>/dev/null
}

shim() { PLAIT_SOCKET=$dir/c.sock "$B/plait" run -- "$@"; }
# In the background, as $!: the process itself and no shell around it.
behind() { (exec env PLAIT_SOCKET="$dir/c.sock" "$B/plait" run -- "$@") & }
fetch() { shim curl -sf --max-time 20 -o "$dir/got" "http://10.9.0.1:$1/file" && cmp -s "$dir/got" "$dir/www/file"; }
fails() { ! shim curl -sf --max-time "$1" -o /dev/null "$2"; }

ip link set lo up
unshare --net sleep 1000 &
far=$!
apart() { [ "$(readlink "/proc/$far/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
until_true 5 apart || exit 2
s=(nsenter "--net=/proc/$far/ns/net" --)
"${s[@]}" ip link set lo up
for n in 1 2; do
	ip link add "c$n" type veth peer name "s$n" && ip link set "s$n" netns $far
	"${s[@]}" ip addr add "10.0.$n.1/24" dev "s$n"
	"${s[@]}" ip link set "s$n" up
	ip addr add "10.0.$n.2/24" dev "c$n"
	ip link set "c$n" up
	ip route add 10.9.0.0/16 via "10.0.$n.1" dev "c$n" metric "$n"
done
"${s[@]}" ip addr add 10.9.0.1/32 dev lo
# A router that knows no way to one host, as routers say it.
"${s[@]}" sysctl -qw net.ipv4.ip_forward=1 2>/dev/null
"${s[@]}" ip route add unreachable 10.9.0.9

client_config() { # NETWORK [PATHS]
	cat >"$dir/c.json" <<-JSON
		{ "client": { "socket": "$dir/c.sock", "paths": ${2:-\"auto\"} }, "plain": { "connect": [ { "to": "$1" } ], "extensions": [ "fault_announce" ] },
		  "status": { "socket": "$dir/c.status" } }
	JSON
}
server_config() { # PORT...
	local list='' sep='' port
	for port; do
		list="$list$sep{ \"address\": \"10.9.0.1:$port\", \"forward\": \"127.0.0.1:8000\" }"
		sep=', '
	done
	cat >"$dir/s.json" <<-JSON
		{ "plain": { "listen": [ $list ], "keepalive_ms": 1000 }, "status": { "socket": "$dir/s.status" } }
	JSON
}
client_config 10.9.0.0/16
server_config 8080
mkdir "$dir/www"
head -c 3000000 /dev/urandom >"$dir/www/file"
head -c 30000000 /dev/urandom >"$dir/www/long"
"${s[@]}" python3 -m http.server --bind 127.0.0.1 --directory "$dir/www" 8000 >"$dir/http.log" 2>&1 &
"${s[@]}" "$B/tunneld" -c "$dir/s.json" 2>>"$dir/s.log" &
server=$!
"$B/tunneld" -c "$dir/c.json" 2>>"$dir/c.log" &
client=$!
until_true 10 "${s[@]}" curl -sfo /dev/null http://127.0.0.1:8000/file || exit 2
until_true 5 holds c /v1/status 'True' && until_true 5 holds s /v1/status 'True' || exit 2

# --- a connection, and what is told of it ---
curl -sN --max-time 60 --unix-socket "$dir/c.status" http://tunneld/v1/events >"$dir/events" &
check "a fetch" until_true 5 fetch 8080
event() { # EXPRESSION over e
	python3 -c '
import json, sys
sys.exit(not any(eval(sys.argv[2]) for e in map(json.loads, open(sys.argv[1]).read().splitlines()[:-1])))' "$dir/events" "$1" 2>/dev/null
}
both_seen() { # a fetch may be over before the second path has joined
	fetch 8080 && for n in 1 2; do
		event "e['event'] == 'subflow_up' and e['path'] == 'c$n' and e['peer'] == '10.9.0.1'" || return 1
	done
}
check "both ways carry a subflow, each told with its path and its host" until_true 10 both_seen
check "each link is a path of plain form, with what it carried" until_true 3 holds c /v1/paths \
	'not j["paths"] and {p["name"] for p in j["plain"] if p["role"] == "connect" and p["bytes_received"] > 0} == {"c1", "c2"}'
check "plait status shows them" grep -q '^c2 .* 10.0.2.2 .*(plain)' <("$B/plait" status --socket "$dir/c.status")
status s /v1/paths >"$dir/paths.json"
check "as the schema says" python3 -W ignore tests/lint/schemas.py --answer "$dir/paths.json" status#paths
check "a fetch leaves no fault" holds c /v1/faults 'not F'

# --- somebody on the way says no ---
check "what a router knows no way to fails" fails 10 http://10.9.0.9:80/
check "the record names path, host, router and cause" holds c /v1/faults \
	'{(f["source"], f["path"], f["peer"], f["middlebox"], f["cause_text"]) for f in F if f["path"] == "c1"} == {("icmp", "c1", "10.9.0.9", "10.0.1.1", "host unreachable")}'
check "and so for the other path" holds c /v1/faults '"10.0.2.1" in [f["middlebox"] for f in F if f["path"] == "c2"]'
check "the groups are the routers'" holds c /v1/faults '{(g["router"], g["peers"]) for g in j["groups"] if g["current"]} == {("10.0.1.1", 1), ("10.0.2.1", 1)}'
check "both were asked before the answer" holds c /v1/faults 'len(F) == 2 and all(f["times"] == 1 for f in F)'
check "a port where nobody listens refuses" fails 10 http://10.9.0.1:81/

# --- a link goes and comes back ---
behind curl -s --limit-rate 5M --max-time 30 -o "$dir/slow" http://10.9.0.1:8080/long
slow=$!
check "a transfer has both paths" until_true 5 holds c /v1/connections \
	'any(c["state"] == "M_ESTAB" and [s["state"] for s in c["subflows"]] == 2 * ["ESTABLISHED"] for c in j["connections"])'
ip link set c1 down
check "a link that is down is a fault of its path" until_true 5 holds c /v1/faults \
	'[(f["path"], f["type"]) for f in F if f["source"] == "link"] == [("c1", "lasting")]'
check "the other end is told on the other path, as the config says" until_true 3 holds s /v1/faults \
	'[(f["source"], f["path"]) for f in F if f["peer"] == "10.0.1.2"] == [("announced", "lo")]'
check "a fetch over the other" fetch 8080
ip link set c1 up
ip route add 10.9.0.0/16 via 10.0.1.1 dev c1 metric 1
check "it is over when the link is back" until_true 5 holds c /v1/faults '"link" not in [f["source"] for f in F]'

wait $slow
check "the transfer lost nothing" cmp -s "$dir/slow" "$dir/www/long"

# --- SIGHUP ---
behind curl -s --limit-rate 1M --max-time 30 -o "$dir/slow" http://10.9.0.1:8080/long
slow=$!
check "a transfer has both paths again" until_true 5 holds c /v1/connections \
	'any(c["state"] == "M_ESTAB" and [s["state"] for s in c["subflows"]] == 2 * ["ESTABLISHED"] for c in j["connections"])'
client_config 10.9.0.0/16 '[ {"name": "c1", "interface": "c1"}, {"name": "c2", "interface": "c2", "backup": true} ]'
kill -HUP $client
check "a link that becomes a backup is one for the other end (MP_PRIO)" until_true 5 holds s /v1/connections \
	'any({s["remote"].split(":")[0]: s["mode"] for s in c["subflows"]} == {"10.0.1.2": "primary", "10.0.2.2": "backup"} for c in j["connections"])'
client_config 10.9.0.0/16
kill -HUP $client
check "and back" until_true 5 holds s /v1/connections \
	'any([s["mode"] for s in c["subflows"]] == ["primary", "primary"] for c in j["connections"])'
{ kill $slow; wait $slow; } 2>/dev/null
server_config 8081
kill -HUP $server
check "a listener is opened" until_true 5 fetch 8081
check "and the other is closed" until_true 5 fails 3 http://10.9.0.1:8080/file
client_config 10.200.0.0/16
kill -HUP $client
check "a network that is named no more goes another way: there is none" until_true 5 fails 3 http://10.9.0.1:8081/file
client_config 10.9.0.0/16
kill -HUP $client
check "and named again" until_true 5 fetch 8081

# --- a host that vanishes while nothing is in flight ---
behind python3 -c '
import socket, time
s = socket.create_connection(("10.9.0.1", 8081))
print("open", flush=True)
time.sleep(60)' >"$dir/idle" 2>&1
idle=$!
check "a connection is open and idle" until_true 5 grep -q open "$dir/idle"
check "the server has it" until_true 5 holds s /v1/status 'j["connections"] >= 1'
"${s[@]}" ip link set s1 down
"${s[@]}" ip link set s2 down
check "keep-alives find out that the host has vanished" until_true 12 holds s /v1/connections \
	'not any(c["subflows"] for c in j["connections"])'
check "and are counted" holds s /v1/status 'j["counters"]["KeepAliveLost"] >= 1'
"${s[@]}" ip link set s1 up
"${s[@]}" ip link set s2 up
kill $idle 2>/dev/null

kill -TERM $client $server
wait $client
check "the client ends well" [ $? -eq 0 ]
wait $server
check "the server ends well" [ $? -eq 0 ]
if [ $failed -ne 0 ]; then
	sed 's/^/client: /' "$dir/c.log" >&2
	sed 's/^/server: /' "$dir/s.log" >&2
fi
echo "plain: $passed passed, $failed failed"
[ $failed -eq 0 ]
