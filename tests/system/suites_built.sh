#!/bin/bash
# SPDX-License-Identifier: MIT
# The own tests of libuv, libevent and curl, built by suites_build.sh, natively and under the shim with loopback included
# (PLAIT_BYPASS=none): every test must have the same result, or stand in the list of differences below with its reason.
# What becomes worse is run once more alone before it counts, both ways: some of these tests fail now and then by themselves.
# parkd dials, so that loopback is where the tests mean it to be.
#
# usage: suites_built.sh [--write] DIRECTORY [SUITE...]     --write: their rows in tests/system/README.md
. "$(dirname "$0")/lab.sh"

write=''
if [ "${1:-}" = --write ]; then
	write=1
	shift
fi
directory=${1:?a directory that suites_build.sh has filled}
shift
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(libuv libevent curl)
unset PLAIT_SOCKET PLAIT_BYPASS PLAIT_FALLBACK PLAIT_LOG LD_PRELOAD

# Known to differ, "SUITE TEST", and why.
known=(
	# A stream that is carried comes from the exit's port, and the test wants the client's own.
	'libuv getsockname_tcp'
	# Urgent data is data (docs/decisions.md).
	'libuv poll_oob'
	# One descriptor is free, the server listens in the same process, and the test wants connect() to need none.
	'libuv emfile'
	# It writes until a reset that on one hop is there before its next call; here the socket's buffer may be full first.
	'libuv tcp_try_write_error'
	# They send more than the server accepts, and want the write to fail before its answer is read. Here the answer is first.
	'libevent http/(data_length_constraints|non_lingering_close)'
)

ip netns add c || lab_skip "ip netns add failed"
ip -n c link set lo up
sock=$LAB/park.sock
chmod 711 "$LAB"
lab_spawn parkd c "$B"/tests/system/parkd "$sock" --any-user
lab_until 5 parkd grep -q ready "$LAB/parkd.log"
shimmed=(PLAIT_SOCKET="$sock" PLAIT_BYPASS=none LD_PRELOAD="$B"/libplait.so)

# Each suite has a place it runs in, and a command that runs all its tests, or those that are named, and prints
# "NAME ok|not|skipped" a test.
libuv() { # its tests refuse to be run by root
	local t run=(setpriv --reuid=65534 --regid=65534 --clear-groups b/uv_run_tests)
	cd "$directory"/libuv1/tree || return
	if [ $# -eq 0 ]; then
		timeout 300 "${run[@]}"
		return
	fi
	for t in "$@"; do
		timeout 60 "${run[@]}" "$t" && echo "ok 1 - $t" || echo "not ok 1 - $t"
	done
}
libuv_results() {
	awk '/^ok .* # SKIP/ { print $4, "skipped"; next } /^ok / { print $4, "ok" } /^not ok / { print $5, "not" }'
}
libevent() {
	cd "$directory"/libevent/tree/b || return
	timeout 500 bin/regress "$@"
}
libevent_results() {
	sed -nE 's/^([a-z_0-9]+\/[A-Za-z_0-9]+): .*OK$/\1 ok/p; s/^([a-z_0-9]+\/[A-Za-z_0-9]+): .*SKIPPED$/\1 skipped/p; s/^  \[([A-Za-z_0-9]+) FAILED\]$/\1 not/p'
}
curl() {
	cd "$directory"/curl/tree/tests || return
	USER=$(id -un) timeout 3000 ./runtests.pl -a -n -am "$@" # it ends in the middle where USER is not set
}
curl_results() {
	sed -nE 's/^PASS: ([0-9]+) - .*/\1 ok/p; s/^FAIL: ([0-9]+) - .*/\1 not/p; s/^SKIP: ([0-9]+) - .*/\1 skipped/p'
}
explained() { # SUITE TEST
	local k
	for k in "${known[@]}"; do
		[[ "$1 $2" =~ ^${k}$ ]] && return 0
	done
	return 1
}
# How a test does alone: "ok", "not" or "skipped".
alone() { # SUITE TEST [VARIABLE=VALUE...]
	local suite=$1 name=$2
	shift 2
	run "$suite" "$LAB/alone" "$name" -- "$@"
	awk -v n="$name" '$1 == n { r = $2 } END { print r }' "$LAB/alone"
}
# The functions run in a shell of their own in the client's namespace.
run() { # SUITE FILE [TEST...] -- [VARIABLE=VALUE...]
	local suite=$1 file=$2 tests=()
	shift 2
	while [ "$1" != -- ]; do
		tests+=("$1")
		shift
	done
	shift
	lab_in c env "$@" directory="$directory" "$BASH" -c "$(declare -f "$suite"); $suite \"\$@\"" "$suite" "${tests[@]}" </dev/null >"$file.log" 2>&1
	"${suite}_results" <"$file.log" | sort -u >"$file"
}
# Somewhere that never answers: libuv's tests of time-outs connect beyond it. curl's would wait for its name servers.
void() {
	ip -n c link add name void type veth peer name unheard && ip -n c addr add 192.0.2.1/24 dev void && ip -n c link set void up &&
		ip -n c link set unheard up && ip -n c neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev void &&
		ip -n c route add default via 192.0.2.2
}
table=()
for suite in "${suites[@]}"; do
	[ -d "$directory/$suite" ] || [ -d "$directory/${suite}1" ] || { echo "$suite is not in $directory" >&2; continue; }
	[ "$suite" != libuv ] || void
	run "$suite" "$LAB/$suite.native" --
	run "$suite" "$LAB/$suite.shim" -- "${shimmed[@]}"
	count=$(wc -l <"$LAB/$suite.native")
	differ=0 explained=0
	while read -r name; do
		if explained "$suite" "$name"; then
			explained=$((explained + 1))
		elif [ "$(alone "$suite" "$name" "${shimmed[@]}")" != ok ] && [ "$(alone "$suite" "$name")" = ok ]; then
			differ=$((differ + 1))
			echo "        $suite: $name" >&2
		fi
	done < <(join -j 1 <(grep ' ok$' "$LAB/$suite.native") "$LAB/$suite.shim" -a 1 | awk '$3 != "ok" { print $1 }')
	lab_ok "$suite: there are tests" [ "$count" -gt 100 ]
	lab_ok "$suite: $count tests, the same results" [ "$differ" -eq 0 ]
	[ "$suite" != libuv ] || ip -n c link del void
	table+=("| $suite | $count | $(grep -c ' ok$' "$LAB/$suite.native") | $(grep -c ' ok$' "$LAB/$suite.shim") | $differ | $explained |")
	[ -z "${KEEP:-}" ] || cp "$LAB/$suite".*.log "$LAB/$suite".native "$LAB/$suite".shim "$KEEP"/
done
kill -USR1 "$lab_pid"
lab_until 5 "parkd's statistics" grep -q asked "$LAB/parkd.log"
lab_ok "they did go through: $(grep -o '"asked":[0-9]*,"completed":[0-9]*' "$LAB/parkd.log" | tail -1)" \
	grep -qE '"completed":[0-9]{2,}' "$LAB/parkd.log"
if [ -n "$write" ]; then
	# Suites that did not run now keep the row they have.
	while IFS= read -r row; do
		name=$(cut -d' ' -f2 <<<"$row")
		[[ " ${suites[*]} " == *" $name "* ]] || table+=("$row")
	done < <(sed -n '/suites-built:begin/,/suites-built:end/p' "$LAB_ROOT/tests/system/README.md" | grep '^| [a-z]* | [0-9]')
	printf '%s\n' '| suite | tests | ok natively | ok under the shim | worse | explained |' '|---|---|---|---|---|---|' "${table[@]}" | lab_write suites-built
fi
lab_end
