# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The lab: a client, a gateway and a server in network namespaces, two (or more) emulated links between the first
# two, tunnelds, and the means to wait for what happens. Source it first thing in a bash script:
#
#	. "$(dirname "$0")/lab.sh"
#	lab_up 'rate 40M; delay 20' 'rate 20M; delay 60'      # one argument a link
#	lab_tunnelds
#	lab_shim curl http://$SERVER:8000/
#
# Sourcing re-runs the script in mount, network and (where possible) PID namespaces of its own, in a user
# namespace too when not root: so two runs cannot collide, and when the script ends, however it ends, the kernel
# takes back processes, devices, sockets and files. All files are in $LAB, which is on a private tmpfs.
#
#	client c  10.77.N.1 --- link pN (linkem) --- 10.77.N.2  gateway g  10.88.0.1 --- veth --- 10.88.0.2  server s
#	          fd77:N::1                      fd77:N::2           fd88::1                fd88::2
#
# LAB_NATIVE=1 in the environment: no plait, plain TCP over the first link. That is how the scripts themselves are
# tested, and the native column of a comparison.
#
# A script that cannot have a lab ends with "NAME: 0 passed, 0 failed, 1 skipped" and the reason (exit 0), or, with
# LAB_MUST=1 set by the script before sourcing, with exit 1.

LAB_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB_NAME=$(basename "$0" .sh)
B=$(cd "$LAB_ROOT" && realpath -m "${B:-build}")
export B

lab_skip() {
	echo "$LAB_NAME: $*" >&2
	[ -n "${LAB_MUST:-}" ] && exit 1
	echo "$LAB_NAME: 0 passed, 0 failed, 1 skipped"
	exit 0
}

lab_enter() {
	local flags=(--mount --net)
	export PATH=$PATH:/usr/sbin:/sbin # ip, sysctl: an ordinary user may not have them in PATH
	if [ "$(id -u)" -ne 0 ]; then
		flags+=(--user --map-root-user)
	fi
	# Some containers allow namespaces but not a fresh /proc: then the trap below cleans up alone.
	if unshare "${flags[@]}" --pid --fork --mount-proc true 2>/dev/null; then
		flags+=(--pid --fork --kill-child --mount-proc)
	fi
	unshare "${flags[@]}" sh -c 'mount -t tmpfs tmpfs /run && ip link set lo up' 2>/dev/null ||
		lab_skip "cannot make network namespaces here: needs root, or user namespaces for ordinary users"
	LAB_INSIDE=1 exec unshare "${flags[@]}" "$BASH" "$0" "$@"
}

if [ -z "${LAB_INSIDE:-}" ]; then
	lab_enter "$@"
fi
unset LAB_INSIDE XDG_RUNTIME_DIR
mount -t tmpfs -o mode=755 tmpfs /run
LAB=/run/lab
mkdir -p $LAB /run/netns
chmod 755 $LAB
export LAB
lab_pids=()

lab_down() {
	local rc=$?
	trap - EXIT
	[ ${#lab_pids[@]} -eq 0 ] || kill "${lab_pids[@]}" 2>/dev/null
	# shellcheck disable=SC2046 # pids
	kill $(jobs -p) 2>/dev/null
	wait 2>/dev/null
	exit $rc
}
trap lab_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

GATEWAY=10.88.0.1 SERVER=10.88.0.2 SERVER6=fd88::2
export GATEWAY SERVER SERVER6

# Runs a command in a namespace: lab_in c ip addr
lab_in() {
	local ns=$1
	shift
	nsenter --net=/run/netns/"$ns" -- "$@"
}

# The same in the background: its output goes to $LAB/NAME.log, its pid to lab_pid.
lab_spawn() {
	local name=$1 ns=$2
	shift 2
	nsenter --net=/run/netns/"$ns" -- "$@" >>"$LAB/$name.log" 2>&1 </dev/null &
	lab_pid=$!
	lab_pids+=("$lab_pid")
}

# lab_until SECONDS WHAT CMD...: waits for CMD to succeed; else says what did not happen and returns 1.
lab_until() {
	local what=$2 end=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ "${EPOCHREALTIME/./}" -gt $end ]; then
			echo "$LAB_NAME: still waiting for: $what" >&2
			return 1
		fi
		sleep 0.05
	done
}

lab_listens() { # NS PORT [ADDRESS]
	lab_in "$1" ss -Htln "sport = :$2" | grep -qF "${3:-:}"
}

# Tells link N's emulator: lab_link 1 both down
lab_link() {
	local n=$1
	shift
	"$B"/tests/system/linkem -c "$LAB/link$n.ctl" "$*"
}

# The planned black-outs of link N are over: it has gone up as often as down.
lab_cuts_over() {
	local plan
	plan=$("$B"/tests/system/linkem -c "$LAB/link$1.ctl" stat | sed -n 's/.* planned=//p')
	[ "$plan" = 0 ]
}

# One argument a link: linkem commands separated by ";", or "veth": no emulator.
lab_up() {
	local n=0 ns spec
	[ -x "$B"/tests/system/linkem ] || lab_skip "no $B/tests/system/linkem: run make lab"
	for ns in c g s; do
		ip netns add $ns || lab_skip "ip netns add failed"
		ip -n $ns link set lo up
	done
	ip -n g link add sv type veth peer name gw netns s
	ip -n g addr add $GATEWAY/24 dev sv
	ip -n s addr add $SERVER/24 dev gw
	ip -n g addr add fd88::1/64 dev sv nodad
	ip -n s addr add $SERVER6/64 dev gw nodad
	ip -n g link set sv up
	ip -n s link set gw up
	ip -n s route add default via $GATEWAY
	ip -n s -6 route add default via fd88::1
	lab_in g sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	for spec in "$@"; do
		n=$((n + 1))
		if [ "$spec" = veth ]; then # no emulator: as fast as the kernel is
			ip link add name p$n netns c type veth peer name p$n netns g
			ip -n c addr add 10.77.$n.1/24 dev p$n
			ip -n g addr add 10.77.$n.2/24 dev p$n
			ip -n c link set p$n up
			ip -n g link set p$n up
			ip -n c addr add fd77:$n::1/64 dev p$n nodad
			ip -n g addr add fd77:$n::2/64 dev p$n nodad
			continue
		fi
		"$B"/tests/system/linkem -A c:p$n:10.77.$n.1/24 -B g:p$n:10.77.$n.2/24 -u "$LAB/link$n.ctl" ${LAB_VETH:+-v} \
			>"$LAB/link$n.log" 2>&1 </dev/null &
		lab_pids+=($!)
		lab_until 5 "link $n" grep -q READY "$LAB/link$n.log" || { cat "$LAB/link$n.log" >&2; return 1; }
		ip -n c addr add fd77:$n::1/64 dev p$n nodad
		ip -n g addr add fd77:$n::2/64 dev p$n nodad
		[ -z "$spec" ] || lab_link $n "$spec" || return 1
	done
	LAB_PATHS=$n
}

# Routes without plait, from the client to the server over each link, in order of preference. lab_unroute takes
# them away: then only plait reaches the server.
lab_route() {
	local n
	for n in "$@"; do
		ip -n c route add 10.88.0.0/24 via 10.77."$n".2 dev p"$n" metric $((100 + n))
		ip -n c route add fd88::/64 via fd77:"$n"::2 dev p"$n" metric $((100 + n))
	done
}
lab_unroute() {
	while ip -n c route del 10.88.0.0/24 2>/dev/null; do :; done
	while ip -n c route del fd88::/64 2>/dev/null; do :; done
}

# Puts $LAB/NAME.key (private) in place and prints the public key.
lab_key() {
	(umask 077 && "$B"/plait genkey >"$LAB/$1.key" 2>/dev/null) && "$B"/plait pubkey <"$LAB/$1.key"
}

# Comma-separated: the template in $1 for each of the other arguments, which replaces each @ in it.
lab_list() {
	local template=$1 out='' item
	shift
	for item in "$@"; do
		out+=${template//@/$item},
	done
	echo "${out%,}"
}

# Writes g.json and c.json. LAB_BACKUP: numbers of the links that are backups. LAB_COST: N:COST of some links. LAB_MARK: of those with
# their number as mark. LAB_TRANSPORT, LAB_LIMITS, LAB_EGRESS: JSON for these members, if set. LAB_WORKERS: the
# gateway's, LAB_CLIENT_WORKERS: the client's, from the environment too: LAB_WORKERS=2 tests/system/streams.sh
lab_configs() {
	local g_public c_public paths addresses n
	# shellcheck disable=SC2046 # numbers
	paths=$(lab_list '{"name":"p@","interface":"p@"}' $(seq "$LAB_PATHS"))
	for n in ${LAB_BACKUP:-}; do
		paths=${paths/"\"interface\":\"p$n\""/"\"interface\":\"p$n\",\"backup\":true"}
	done
	for n in ${LAB_COST:-}; do
		paths=${paths/"\"interface\":\"p${n%:*}\""/"\"interface\":\"p${n%:*}\",\"cost\":${n#*:}"}
	done
	for n in ${LAB_MARK:-}; do
		paths=${paths/"\"interface\":\"p$n\""/"\"interface\":\"p$n\",\"mark\":$n"}
	done
	# shellcheck disable=SC2046 # numbers
	addresses=$(lab_list '"10.77.@.2:4500"' $(seq "$LAB_PATHS"))
	g_public=$(lab_key g) && c_public=$(lab_key c) || return 1
	cat >"$LAB/g.json" <<-JSON
	{ "private_key_file": "$LAB/g.key",
	  "gateway": { "listen": ["0.0.0.0:4500"],
	               "clients": [ {"name": "lab", "public_key": "$c_public"} ],
	               "workers": ${LAB_WORKERS:-1},
	               "egress": ${LAB_EGRESS:-{\}} },
	  "transport": ${LAB_TRANSPORT:-{\}}, "limits": ${LAB_LIMITS:-{\}},
	  "status": { "socket": "$LAB/g.status" } }
	JSON
	cat >"$LAB/c.json" <<-JSON
	{ "private_key_file": "$LAB/c.key",
	  "client": { "socket": "$LAB/c.sock",
	              "gateways": [ {"name": "lab", "public_key": "$g_public", "addresses": [$addresses]} ],
	              "paths": [$paths], "workers": ${LAB_CLIENT_WORKERS:-1} },
	  "transport": ${LAB_TRANSPORT:-{\}}, "limits": ${LAB_LIMITS:-{\}},
	  "status": { "socket": "$LAB/c.status" } }
	JSON
}

# Starts the tunneld of a side, c or g; lab_pid_c, lab_pid_g are its pids. Another name: another configuration, NAME.json,
# and the namespace is the second argument.
# shellcheck disable=SC2034 # for the scripts
lab_pid_c='' lab_pid_g=''
lab_tunneld() {
	lab_spawn "tunneld-$1" "${2:-$1}" "${LAB_TUNNELD:-$B/tunneld}" -c "$LAB/$1.json"
	printf -v "lab_pid_$1" %s "$lab_pid"
	lab_until 10 "tunneld of $1 to answer" lab_status "$1" /v1/status || { cat "$LAB/tunneld-$1.log" >&2; return 1; }
}

lab_healthy() {
	lab_status "$1" /healthz
}

# GET on a side's status socket: lab_status c /v1/paths
lab_status() {
	curl -sf --max-time 5 --unix-socket "$LAB/$1.status" "http://tunneld$2"
}

# The value of a Python expression over a status answer, bound to j: lab_value c /v1/paths 'len(j["paths"])'
lab_value() {
	lab_status "$1" "$2" | python3 -c '
import json, sys
j = json.load(sys.stdin)
v = eval(sys.argv[1])
print(v if isinstance(v, str) else json.dumps(v))' "$3"
}

lab_paths_up() { # how many of the client's paths are up: at least $1
	[ "$(lab_value c /v1/paths 'sum(p["state"] == "up" for p in j["paths"])')" -ge "$1" ]
}

# Both tunnelds, all paths up.
lab_tunnelds() {
	if [ -n "${LAB_NATIVE:-}" ]; then
		lab_route 1
		return
	fi
	lab_configs && lab_tunneld g && lab_tunneld c &&
		lab_until 10 "$LAB_PATHS paths up" lab_paths_up "$LAB_PATHS"
}

# Runs a program on the client under the shim.
lab_shim() {
	if [ -n "${LAB_NATIVE:-}" ]; then
		lab_in c "$@"
		return
	fi
	# The program may be one of ours with a sanitizer, which wants to come first and can do without.
	ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0 PLAIT_SOCKET=$LAB/c.sock lab_in c "$B"/plait run -- "$@"
}

# No connection left on a side.
lab_quiet() {
	[ -z "${LAB_NATIVE:-}" ] || return 0
	[ "$(lab_value "$1" /v1/connections 'len(j["connections"])')" -eq 0 ]
}

# Results: each check is `lab_ok WHAT CMD...`; lab_end prints the sum and gives the exit status.
lab_passed=0 lab_failed=0
lab_ok() {
	local what=$1
	shift
	if "$@"; then
		lab_passed=$((lab_passed + 1))
		[ -z "${V:-}" ] || echo "ok      $what"
	else
		lab_failed=$((lab_failed + 1))
		echo "FAILED  $what" >&2
	fi
}
lab_end() {
	echo "$LAB_NAME: $lab_passed passed, $lab_failed failed"
	[ $lab_failed -eq 0 ]
	exit
}

# Puts standard input between the markers MARK:begin and MARK:end of tests/system/README.md.
lab_write() {
	python3 -c '
import sys
path, mark = sys.argv[1:]
text = open(path, encoding="utf-8").read()
head, rest = text.split(f"<!-- {mark}:begin -->")
tail = rest.split(f"<!-- {mark}:end -->")[1]
open(path, "w", encoding="utf-8").write(f"{head}<!-- {mark}:begin -->\n{sys.stdin.read()}<!-- {mark}:end -->{tail}")
' "$LAB_ROOT/tests/system/README.md" "$1"
}
