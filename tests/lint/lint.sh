#!/bin/sh
# SPDX-License-Identifier: MIT
# `make lint`: the include table, clang-tidy (.clang-tidy), cppcheck, shellcheck. ANALYZER=1 adds gcc -fanalyzer
# (slow). Quiet when all is well; last line "lint: N passed, N failed".
set -u
cd "$(dirname "$0")/../.." || exit 2
flags='-std=c11 -D_GNU_SOURCE -I. -DPLAIT_VERSION=__FILE__ -Wall -Wextra'
passed=0 failed=0
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT

step() {
	name=$1
	shift
	if "$@" >"$log" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "lint: $name:" >&2
		grep -Ev '^[0-9]+ warnings? (generated|and [0-9]+ errors? generated)|^Suppressed |^Use -header-filter' "$log" >&2
	fi
}

sources=$(git ls-files '*.c' 2>/dev/null || find . -name '*.c' -not -path './build*')
# shellcheck disable=SC2046 # no script's name has a space
scripts=$(grep -lE '^#!/bin/(ba)?sh' install.sh .ci/run $(find tests shim -name '*.sh'))

step layers tests/lint/layers.sh
step schemas /usr/bin/python3 tests/lint/schemas.py
# shellcheck disable=SC2086 # lists of names and flags are split on purpose
{
	step shellcheck shellcheck -x $scripts
	step cppcheck cppcheck --quiet --error-exitcode=1 --std=c11 --language=c -D_GNU_SOURCE -DPLAIT_VERSION=__FILE__ -I. \
		--enable=warning,performance,portability --inline-suppr --suppress=missingIncludeSystem \
		--suppress=unusedStructMember -j 2 $sources
	for file in $sources; do
		step "clang-tidy $file" clang-tidy --quiet "$file" -- $flags
	done
	[ -z "${ANALYZER:-}" ] || for file in $sources; do
		step "gcc -fanalyzer $file" gcc $flags -O1 -fanalyzer -Werror -c -o /dev/null "$file"
	done
}
echo "lint: $passed passed, $failed failed"
[ $failed -eq 0 ]
