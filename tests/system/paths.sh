#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Links that come, go, change address or family or swallow long datagrams; a gateway that restarts or reads its
# configuration again. Two namespaces of our own joined by veth pairs, paths "auto"; needs no root.
#	B=build tests/system/paths.sh [--short]      --short: links and addresses only
# Last line "paths: N passed, N failed". KEEP=1 keeps the directory with logs.
set -u

if [ "${1:-}" != inside ]; then
	if ! unshare --user --map-root-user --net --pid --fork --kill-child --mount-proc true 2>/dev/null; then
		echo "paths: cannot make namespaces here" >&2
		echo "paths: 0 passed, 0 failed, 1 skipped"
		exit 0
	fi
	exec unshare --user --map-root-user --net --pid --fork --kill-child --mount-proc "$0" inside "$@"
fi
short=${2:-}

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
		echo "paths: failed: $name" >&2
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

# A Python expression over a status answer, bound to j, is true. P is what is up, by name.
holds() { # SIDE RESOURCE EXPRESSION
	status "$1" "$2" | python3 -c '
import json, sys
j = json.load(sys.stdin)
paths = j.get("paths")
P = {p["name"]: p for p in paths if p["state"] == "up"} if isinstance(paths, list) else None
sys.exit(not eval(sys.argv[1]))' "$3" 2>/dev/null
}

shim() { PLAIT_SOCKET=$dir/c.sock "$B/plait" run -- "$@"; }
fetch() { shim curl -sf --max-time 30 -o "$dir/got" http://10.9.0.1:8000/file && cmp -s "$dir/got" "$dir/www/file"; }

# Like fetch(), but curl has to give up by itself with this exit status, and within two seconds.
fails_with() { # STATUS
	local begin=$SECONDS
	shim curl -s --max-time 20 -o /dev/null http://10.9.0.1:8000/file
	[ $? -eq "$1" ] && [ $((SECONDS - begin)) -le 2 ]
}

ip link set lo up
unshare --net sleep 1000 &
far=$!
apart() { [ "$(readlink "/proc/$far/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
until_true 5 apart || exit 2
g=(nsenter "--net=/proc/$far/ns/net" --)
"${g[@]}" ip link set lo up
link() { # N: c<N> here, 10.0.N.2, and g<N> at the gateway, 10.0.N.1 and fd00:N::1
	ip link add "c$1" type veth peer name "g$1" && ip link set "g$1" netns $far
	"${g[@]}" ip addr add "10.0.$1.1/24" dev "g$1"
	"${g[@]}" ip addr add "fd00:$1::1/64" dev "g$1" nodad
	"${g[@]}" ip link set "g$1" up
	ip addr add "10.0.$1.2/24" dev "c$1"
	ip link set "c$1" up
}
link 1
link 2
"${g[@]}" ip link add s0 type veth peer name s1
"${g[@]}" ip addr add 10.9.0.1/24 dev s0
"${g[@]}" ip link set s0 up
"${g[@]}" ip link set s1 up

for side in g c other; do
	(umask 077; "$B/plait" genkey >"$dir/$side.key" 2>/dev/null)
done
public() { "$B/plait" pubkey <"$dir/$1.key"; }
gateway_config() { # CLIENT...
	local list='' sep='' c
	for c; do
		list="$list$sep{\"name\": \"$c\", \"public_key\": \"$(public "$c")\"}"
		sep=', '
	done
	cat >"$dir/g.json" <<-JSON
		{ "private_key_file": "$dir/g.key",
		  "gateway": { "listen": ["0.0.0.0:4500", "[::]:4500"], "clients": [ $list ], "egress": { "allow": ["10.9.0.0/16"] } },
		  "status": { "socket": "$dir/g.status" } }
	JSON
}
gateway_config c
client_config() { # PATHS
	cat >"$dir/c.json" <<-JSON
		{ "private_key_file": "$dir/c.key",
		  "client": { "socket": "$dir/c.sock", "paths": $1,
		              "gateways": [ {"name": "g", "public_key": "$(public g)", "addresses": ["10.0.1.1:4500", "10.0.2.1:4500", "[fd00:1::1]:4500", "[fd00:2::1]:4500"]} ] },
		  "status": { "socket": "$dir/c.status" } }
	JSON
}
client_config '"auto"'
mkdir "$dir/www"
head -c 3000000 /dev/urandom >"$dir/www/file"
head -c 30000000 /dev/urandom >"$dir/www/long"
truncate -s 200M "$dir/www/endless" # more than all buffers on the way
"${g[@]}" python3 -m http.server --bind 10.9.0.1 --directory "$dir/www" 8000 >"$dir/http.log" 2>&1 &
"${g[@]}" "$B/tunneld" -c "$dir/g.json" 2>>"$dir/g.log" &
gateway=$!
"$B/tunneld" -c "$dir/c.json" 2>>"$dir/c.log" &
client=$!
until_true 10 "${g[@]}" curl -sfo /dev/null http://10.9.0.1:8000/file || exit 2

# Ends both and says how it went.
finish() {
	kill -TERM $client $gateway
	wait $client
	check "the client ends well" [ $? -eq 0 ]
	wait $gateway
	check "the gateway ends well" [ $? -eq 0 ]
	if [ $failed -ne 0 ]; then
		sed 's/^/client:  /' "$dir/c.log" >&2
		sed 's/^/gateway: /' "$dir/g.log" >&2
	fi
	echo "paths: $passed passed, $failed failed"
	[ $failed -eq 0 ]
	exit
}

# --- auto ---
check "both links become paths" until_true 10 holds c /v1/paths 'set(P) == {"c1", "c2"}'
check "each is answered by the gateway's address on its own link" holds c /v1/paths \
	'P["c1"]["remote"] == "10.0.1.1:4500" and P["c2"]["remote"] == "10.0.2.1:4500"'
check "a fetch" fetch

# --- a link goes and comes back ---
ip link set c1 down
check "a link that is down is no path" until_true 5 holds c /v1/paths 'set(P) == {"c2"}'
check "the gateway is told so" until_true 5 holds g /v1/paths 'set(P) == {"c.1"}'
check "a fetch over the other" fetch
ip link set c1 up
check "the link is a path again, with its old number" until_true 10 holds c /v1/paths 'P["c1"]["number"] == 0 and "c2" in P'

# --- another address on the same link ---
ip addr del 10.0.1.2/24 dev c1
ip addr add 10.0.1.77/24 dev c1
check "the path has the new address" until_true 10 holds c /v1/paths 'P["c1"]["local"].startswith("10.0.1.77:")'
check "and the gateway answers to it" until_true 10 holds g /v1/paths 'P["c.0"]["remote"].startswith("10.0.1.77:")'
check "a fetch" fetch

# --- from IPv4 to IPv6 alone and back, in the middle of a transfer ---
rm "$dir/got"
# So slowly that it is still under way when all has been looked at, and the rest at once.
shim python3 -c '
import os, sys, time, urllib.request
answer = urllib.request.urlopen("http://10.9.0.1:8000/long", timeout=30)
with open(sys.argv[1], "wb", buffering=0) as out:
    while piece := answer.read(32768):
        out.write(piece)
        if not os.path.exists(sys.argv[2]):
            time.sleep(0.02)' "$dir/got" "$dir/seen" &
slow=$!
size() { stat -c %s "$dir/got" 2>/dev/null || echo 0; }
has() { [ "$(size)" -ge "$1" ]; }
more() { until_true 5 has $(($(size) + $1)); } # BYTES more than there are
check "it begins" more 200000
token=$(status c /v1/connections | python3 -c 'import json, sys; print([c["token"] for c in json.load(sys.stdin)["connections"] if c["state"] == "M_ESTAB"][-1])')
ip addr del 10.0.1.77/24 dev c1
ip addr add fd00:1::2/64 dev c1 nodad
check "a path goes on over IPv6 alone" until_true 10 holds c /v1/paths 'P["c1"]["local"].startswith("[fd00:1::2]:") and P["c1"]["remote"] == "[fd00:1::1]:4500"'
check "with its old number" holds c /v1/paths '(P["c1"]["number"], P["c2"]["number"]) == (0, 1)'
check "and at the gateway" until_true 10 holds g /v1/paths 'P["c.0"]["remote"].startswith("[fd00:1::2]:")'
ip addr del 10.0.2.2/24 dev c2
check "no IPv4 is left, and one path of IPv6" until_true 10 holds c /v1/paths 'set(P) == {"c1"} and P["c1"]["local"].startswith("[fd00:1::2]:")'
check "which carries the transfer" more 1000000
ip addr add fd00:2::2/64 dev c2 nodad
check "the other comes back over IPv6" until_true 10 holds c /v1/paths 'P["c2"]["local"].startswith("[fd00:2::2]:")'
check "with a subflow" until_true 5 holds c /v1/connections \
	'any({s["path"] for s in c["subflows"] if s["state"] == "ESTABLISHED"} == {"c1", "c2"} for c in j["connections"])'
ip addr flush dev c1 scope global
check "and carries the transfer in its turn" more 1000000
ip addr flush dev c2 scope global
check "with no address at all no path is left" until_true 5 holds c /v1/paths 'not j["paths"]'
ip addr add 10.0.1.77/24 dev c1
ip addr add 10.0.2.2/24 dev c2
check "back on IPv4" until_true 10 holds c /v1/paths 'P["c1"]["local"].startswith("10.0.1.77:") and P["c2"]["local"].startswith("10.0.2.2:")'
check "and so at the gateway" until_true 10 holds g /v1/paths 'P["c.0"]["remote"].startswith("10.0.1.77:") and P["c.1"]["remote"].startswith("10.0.2.2:")'
check "it is the same connection" holds c /v1/connections "\"$token\" in [c[\"token\"] for c in j[\"connections\"]]"
touch "$dir/seen"
wait $slow
check "who reads it never noticed" [ $? -eq 0 ]
check "every byte is right (SHA-256)" [ "$(sha256sum <"$dir/got")" = "$(sha256sum <"$dir/www/long")" ]

# --- a new link ---
link 3
ip route add 10.0.1.0/24 via 10.0.3.1 dev c3 metric 100
check "a new link with a route to the gateway becomes a path" until_true 10 holds c /v1/paths 'P["c3"]["number"] == 2'
ip link del c3
check "and is none when it is gone" until_true 5 holds c /v1/paths '"c3" not in P'

[ "$short" != --short ] || finish

# --- a link that swallows long datagrams without a word: veth drops what is longer than the far end's MTU ---
ip link set c1 down
ip link set c2 down
"${g[@]}" ip link set g2 mtu 1400
ip link set c2 up
check "the path lives" until_true 10 holds c /v1/paths 'set(P) == {"c2"}'
check "it learns that 1400 bytes are its limit" until_true 10 holds c /v1/paths 'P["c2"]["mtu_payload"] + 53 <= 1400'
check "and that it need not be much less" holds c /v1/paths 'P["c2"]["mtu_payload"] + 53 >= 1380'
check "a fetch through it" fetch

# --- nothing left ---
ip link set c2 down
check "no path, and it says so" until_true 5 holds c /v1/paths 'not j["paths"]'
check "a connect is unreachable at once" fails_with 7
ip link set c1 up
ip link set c2 up
check "the links are back" until_true 10 holds c /v1/paths 'set(P) == {"c1", "c2"}'

# --- a configuration read again ---
shim curl -s --limit-rate 500k --max-time 60 -o "$dir/slow" http://10.9.0.1:8000/file &
slow=$!
check "it begins" until_true 5 holds g /v1/status 'j["connections"] >= 1'
gateway_config c other
kill -HUP $gateway
check "a client is added" until_true 5 holds g /v1/peers '{p["name"] for p in j["peers"]} == {"c", "other"}'
cp "$dir/g.json" "$dir/g.good"
echo '{ "gateway": 1 }' >"$dir/g.json"
kill -HUP $gateway
check "a bad file is refused and told about" until_true 5 grep -q '\$.gateway: must be an object' "$dir/g.log"
check "and the old one stays" holds g /v1/peers '{p["name"] for p in j["peers"]} == {"c", "other"}'
wait $slow
check "a running transfer did not notice" cmp -s "$dir/slow" "$dir/www/file"
gateway_config other
kill -HUP $gateway
check "a client is removed" until_true 5 holds g /v1/peers '{p["name"] for p in j["peers"]} == {"other"}'
check "with its paths" holds g /v1/paths 'not j["paths"]'
gateway_config c
kill -HUP $gateway
check "and may come back" until_true 20 fetch

# --- links that the configuration names, changed under way ---
shim curl -s --limit-rate 6M --max-time 60 -o "$dir/slow" http://10.9.0.1:8000/long &
slow=$!
check "it begins" until_true 5 holds g /v1/status 'j["connections"] >= 1'
client_config '[ {"name": "c1", "interface": "c1"}, {"name": "c2", "interface": "c2", "backup": true, "cost": 7} ]'
kill -HUP $client
check "a link becomes a backup, with a cost" until_true 5 holds c /v1/paths 'P["c2"]["backup"] and P["c2"]["cost"] == 7 and not P["c1"]["backup"]'
check "with its old number" holds c /v1/paths '(P["c1"]["number"], P["c2"]["number"]) == (0, 1)'
check "the gateway hears so of its subflow" until_true 5 holds g /v1/connections \
	'{"c.0": False, "c.1": True} in [{s["path"]: s["backup"] for s in c["subflows"]} for c in j["connections"]]'
client_config '[ {"name": "c2", "interface": "c2"} ]'
kill -HUP $client
check "a link that is named no more is no path" until_true 5 holds c /v1/paths 'set(P) == {"c2"} and not P["c2"]["backup"]'
check "nor one of the gateway" until_true 5 holds g /v1/paths 'set(P) == {"c.1"}'
client_config '[ {"name": "c2", "interface": "c2"}, {"name": "first", "interface": "c1"} ]'
kill -HUP $client
check "one that is named becomes a path" until_true 10 holds c /v1/paths 'set(P) == {"c2", "first"}'
wait $slow
check "a transfer did not notice" cmp -s "$dir/slow" "$dir/www/long"
sed -i 's/"client": {/"transport": { "congestion": "cubic" }, &/' "$dir/c.json"
kill -HUP $client
check "what waits for a restart is named" until_true 5 grep -q '\$.transport.congestion has changed: that needs a restart' "$dir/c.log"
client_config '"auto"'
kill -HUP $client
check "and auto again" until_true 10 holds c /v1/paths 'set(P) == {"c1", "c2"}'

# --- a gateway that is killed ---
shim curl -s --limit-rate 3M --max-time 60 -o /dev/null http://10.9.0.1:8000/endless &
slow=$!
check "it begins" until_true 5 holds g /v1/status 'j["connections"] >= 1'
{ kill -9 $gateway; wait $gateway; } 2>/dev/null
"${g[@]}" "$B/tunneld" -c "$dir/g.json" 2>>"$dir/g.log" &
gateway=$!
wait $slow
ended=$?
check "the connections of a killed gateway are reset (curl says 56, not $ended)" [ $ended -eq 56 ]
check "new ones work" fetch

finish
