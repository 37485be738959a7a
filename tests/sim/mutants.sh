#!/bin/bash
# SPDX-License-Identifier: MIT
# Does the simulator see what it is there to see? Each row of mutants.txt breaks one line of the engine on
# purpose, in a copy of the tree; the simulator must fail within SEEDS seeds. A row whose text begins with "flap:", "outage:", "delay:", "return:" or "jitter:" is run in that
# profile, those of "buffers:", "stories:" and "fairness:" with that option. A row that no longer changes anything is a failure too. The last line is "mutants: N passed, N failed".
#
# usage: mutants.sh [SEEDS [PATTERN]]     PATTERN: only rows whose text has it
#        mutants.sh --stale               no run: do all rows still change something? A step of make check
set -u
cd "$(dirname "$0")/../.." || exit 2
if [ "${1:-}" = --stale ]; then
	passed=0 failed=0
	while IFS='|' read -r files change text; do
		case $files in '' | '#'*) continue ;; esac
		# shellcheck disable=SC2086 # a pattern
		if cmp -s <(cat $files) <(sed -E "$change" $files); then
			echo "tests/sim/mutants.txt: \"$text\" changes nothing in $files any more"
			failed=$((failed + 1))
		else
			passed=$((passed + 1))
		fi
	done <tests/sim/mutants.txt
	echo "mutants: $passed passed, $failed failed"
	exit $((failed != 0))
fi
SEEDS=${1:-3000} ONLY=${2:-}
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/base"
git ls-files -z -- Makefile common tunneld/wire tunneld/tcp tunneld/mptcp tests/sim tests/rules.mk shim/rules.mk tests/script |
	xargs -0 cp --parents -pt "$tmp/base" || exit 2
build() {
	make -s -C "$1" -j2 B=build SAN=0 sim-build >"$1/build.log" 2>&1 && return 0
	tail -20 "$1/build.log"
	return 1
}
build "$tmp/base" || exit 2
if ! "$tmp/base/build/tests/sim/sim" --seeds "$SEEDS" --jobs 2 >"$tmp/base.log"; then
	echo "the unbroken engine does not pass $SEEDS seeds:"
	tail -5 "$tmp/base.log"
	exit 2
fi

passed=0 failed=0
while IFS='|' read -r files change text; do
	case $files in '' | '#'*) continue ;; esac
	case $text in *"$ONLY"*) ;; *) continue ;; esac
	rm -rf "$tmp/mutant"
	cp -a "$tmp/base" "$tmp/mutant"
	verdict=
	# shellcheck disable=SC2086 # a pattern
	(cd "$tmp/mutant" && sed -i -E "$change" $files)
	if diff -rq -x build "$tmp/base" "$tmp/mutant" >/dev/null; then
		verdict="NOT CAUGHT: the row changes nothing in $files"
	elif ! build "$tmp/mutant"; then
		verdict="NOT CAUGHT: it does not compile"
	else
		profile=
		case $text in flap:* | outage:* | delay:* | return:* | jitter:*) profile="--profile ${text%%:*}" ;; buffers:*) profile=--buffers ;; stories:* | fairness:*) profile=--${text%%:*} ;; esac
		# shellcheck disable=SC2086 # two words or none
		out=$("$tmp/mutant/build/tests/sim/sim" $profile --seeds "$SEEDS" --jobs 2 --stop-at-first 2>/dev/null)
		first=$(grep -m1 -E "^(seed|story) |  FAILED " <<<"$out")
		if [ -n "$first" ]; then
			verdict="caught by $first"
		else
			verdict="NOT CAUGHT by $SEEDS seeds"
		fi
	fi
	case $verdict in NOT*) failed=$((failed + 1)) ;; *) passed=$((passed + 1)) ;; esac
	printf '%-60s %s\n' "$text" "$verdict"
done <tests/sim/mutants.txt
echo "mutants: $passed passed, $failed failed"
[ $failed -eq 0 ]
