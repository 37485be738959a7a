#!/bin/sh
# SPDX-License-Identifier: MIT
# `make lint`: the include table, schemas, shellcheck, cppcheck, clang-tidy (.clang-tidy). ANALYZER=1 adds
# gcc -fanalyzer (slow). Quiet when all is well; last line "lint: N passed, N failed".
set -u
cd "$(dirname "$0")/../.." || exit 2
flags='-std=c11 -D_GNU_SOURCE -I. -DPLAIT_VERSION=__FILE__ -Wall -Wextra'
passed=0 failed=0
log=$(mktemp) || exit 2
results=$(mktemp -d) || exit 2
trap 'rm -rf "$log" "$results"' EXIT

noise='^[0-9]+ warnings? (generated|and [0-9]+ errors? generated)|^Suppressed |^Use -header-filter'

step() {
	name=$1
	shift
	if "$@" >"$log" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "lint: $name:" >&2
		grep -Ev "$noise" "$log" >&2
	fi
}

# A command with FILE and $flags_after at its end, for each source, two at a time.
over_sources() {
	name=$1
	shift
	export flags_after
	# shellcheck disable=SC2016 # expanded by the inner shell
	echo "$sources" | xargs -P 2 -I{} sh -c 'out=$1/$(echo "$2" | tr / _); file=$2; shift 2
		"$@" "$file" $flags_after >"$out" 2>&1 && rm -f "$out"' sh "$results" {} "$@"
	bad=$(find "$results" -type f | wc -l)
	passed=$((passed + $(echo "$sources" | wc -l) - bad)) failed=$((failed + bad))
	for file in "$results"/*; do
		[ -f "$file" ] || continue
		echo "lint: $name: $(basename "$file"):" >&2
		grep -Ev "$noise" "$file" >&2
		rm -f "$file"
	done
}

sources=$(git ls-files '*.c' 2>/dev/null || find . -name '*.c' -not -path './build*')
# shellcheck disable=SC2046 # no script's name has a space
scripts=$(grep -lE '^#!/bin/(ba)?sh' install.sh .ci/run $(find tests shim -name '*.sh'))

step layers tests/lint/layers.sh
step schemas /usr/bin/python3 tests/lint/schemas.py
# nullPointerArithmetic is NULL + 0 of an empty span, which C2y allows and everybody did; the four after it are wrong.
# shellcheck disable=SC2086 # lists of names and flags are split on purpose
{
	step shellcheck shellcheck -x $scripts
	step cppcheck cppcheck --quiet --error-exitcode=1 --std=c11 --language=c -D__x86_64__ -D_GNU_SOURCE \
		-DPLAIT_VERSION=__FILE__ -I. --enable=warning,performance,portability --inline-suppr \
		--suppress=missingIncludeSystem --suppress=nullPointerArithmetic --suppress=identicalInnerCondition \
		--suppress=compareBoolExpressionWithInt --suppress=uninitvar:tunneld/mptcp/conn_output.c \
		--suppress=arrayIndexOutOfBounds:shim/lib/route.c -j 2 $sources
	flags_after="-- $flags"
	over_sources clang-tidy clang-tidy --quiet
	flags_after=''
	[ -z "${ANALYZER:-}" ] || over_sources 'gcc -fanalyzer' gcc $flags -O1 -fanalyzer -Werror -c -o /dev/null
}
echo "lint: $passed passed, $failed failed"
[ $failed -eq 0 ]
