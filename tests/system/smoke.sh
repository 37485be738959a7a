#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The shortest proof that everything joins: both tunnelds on the loopback of a namespace of our own, two
# paths (127.0.0.2, 127.0.0.3), an HTTP server, curl under the shim. Needs no root. A few seconds.
#	B=build tests/system/smoke.sh
# Last line "smoke: N passed, N failed". KEEP=1 keeps the directory with logs.
set -u

if [ "${1:-}" != inside ]; then
	if ! unshare --user --map-root-user --net --pid --fork --kill-child --mount-proc true 2>/dev/null; then
		echo "smoke: 0 passed, 0 failed, 1 skipped (no user namespaces here)"
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
	else
		failed=$((failed + 1))
		echo "smoke: failed: $name" >&2
	fi
}

until_true() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

status() { curl -sf --max-time 2 --unix-socket "$dir/$1.status" "http://tunneld$2"; }

# A Python expression over a status answer, bound to j, is true.
holds() { # SIDE RESOURCE EXPRESSION
	status "$1" "$2" | python3 -c 'import json, sys; j = json.load(sys.stdin); sys.exit(not eval(sys.argv[1]))' "$3"
}

shim() { PLAIT_BYPASS=none PLAIT_SOCKET=$dir/c.sock "$B/plait" run -- "$@"; }

fetch() { # NAME
	shim curl -sf --max-time 60 -o "$dir/got" "http://127.0.0.1:8000/$1" && cmp -s "$dir/got" "$dir/www/$1"
}

refused() {
	shim curl -s --max-time 20 -o /dev/null http://127.0.0.1:9/
	[ $? -eq 7 ] # "failed to connect"
}

ip link set lo up
for side in g c; do
	(umask 077; "$B/plait" genkey >"$dir/$side.key" 2>/dev/null)
done
g_public=$("$B/plait" pubkey <"$dir/g.key")
c_public=$("$B/plait" pubkey <"$dir/c.key")
cat >"$dir/g.json" <<-JSON
	{ "private_key_file": "$dir/g.key",
	  "gateway": { "listen": ["127.0.0.1:4500"], "clients": [ {"name": "smoke", "public_key": "$c_public"} ],
	               "egress": { "allow": ["127.0.0.0/8"] } },
	  "status": { "socket": "$dir/g.status" } }
JSON
cat >"$dir/c.json" <<-JSON
	{ "private_key_file": "$dir/c.key",
	  "client": { "socket": "$dir/c.sock",
	              "gateways": [ {"name": "smoke", "public_key": "$g_public", "addresses": ["127.0.0.1:4500"]} ],
	              "paths": [ {"name": "one", "address": "127.0.0.2"}, {"name": "two", "address": "127.0.0.3"} ] },
	  "status": { "socket": "$dir/c.status" } }
JSON
check "configs are accepted" "$B/tunneld" --check -c "$dir/g.json"
check "configs are accepted" "$B/tunneld" --check -c "$dir/c.json"

mkdir "$dir/www"
head -c 100000 /dev/urandom >"$dir/www/small"
head -c 30000000 /dev/urandom >"$dir/www/large"
python3 -m http.server --bind 127.0.0.1 --directory "$dir/www" 8000 >"$dir/http.log" 2>&1 &
"$B/tunneld" -c "$dir/g.json" 2>"$dir/g.log" &
gateway=$!
"$B/tunneld" -c "$dir/c.json" 2>"$dir/c.log" &
client=$!

check "the server answers directly" until_true 10 curl -sfo /dev/null http://127.0.0.1:8000/small
check "two paths are up" until_true 10 holds c /v1/paths 'sum(p["state"] == "up" for p in j["paths"]) == 2'
check "the client is healthy" status c /healthz >/dev/null
check "a small file" fetch small
check "a large file" fetch large
check "a refused connect is refused" refused
check "the gateway dialled" holds g /v1/status 'j["counters"].get("DialsStarted", 0) >= 3'
check "no connection is left at the client" until_true 10 holds c /v1/connections 'not j["connections"]'
check "no connection is left at the gateway" until_true 10 holds g /v1/connections 'not j["connections"]'
for side in c g; do
	for resource in status paths connections peers faults; do
		status $side /v1/$resource >"$dir/$side-$resource.json"
		check "/v1/$resource obeys its schema" \
			python3 -W ignore tests/lint/schemas.py --answer "$dir/$side-$resource.json" "status#$resource"
	done
	status $side /metrics >"$dir/$side-metrics"
	check "/metrics is OpenMetrics" tests/lint/openmetrics.py "$dir/$side-metrics" plait_connections plait_MPJoinEstab plait_path_up
done

ended() { ! kill -0 "$1" 2>/dev/null; }
kill -TERM $client $gateway
check "the client ends when told" until_true 10 ended $client
check "the gateway ends when told" until_true 10 ended $gateway
wait $client
check "the client's exit status is 0" [ $? -eq 0 ]
wait $gateway
check "the gateway's exit status is 0" [ $? -eq 0 ]
check "no socket is left" [ ! -e "$dir/c.sock" -a ! -e "$dir/c.status" ]

if [ $failed -ne 0 ]; then
	sed 's/^/client:  /' "$dir/c.log" >&2
	sed 's/^/gateway: /' "$dir/g.log" >&2
fi
echo "smoke: $passed passed, $failed failed"
[ $failed -eq 0 ]
