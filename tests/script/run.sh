#!/bin/bash
# SPDX-License-Identifier: MIT
# All packet scripts; those of plain form in sealed form, too, but for plain_only.txt; and that the runner finds what is wrong. Its last
# line sums up: "N passed, N failed".
# usage: run.sh RUNNER SCRIPT...
set -u
runner=$1
shift
only=$(sed '/^#/d; /^$/d' tests/script/plain_only.txt)
both=() plain=() failed=0 passed=0
for s in "$@"; do
	if grep -qE '^set form|^include .*/sealed\.pkt' "$s"; then
		continue
	elif grep -qxF "${s#tests/script/}" <<<"$only"; then
		plain+=("$s")
	else
		both+=("$s")
	fi
done

# The last line of what is read counts; the rest is shown.
sum() {
	local all line
	all=$(cat)
	line=$(tail -1 <<<"$all")
	grep -v 'passed,' <<<"$all"
	passed=$((passed + $(grep -Eo '[0-9]+ passed' <<<"$line" | cut -d' ' -f1)))
	failed=$((failed + $(grep -Eo '[0-9]+ failed' <<<"$line" | cut -d' ' -f1)))
}

sum < <("$runner" --self tests/script/self/*.pkt | tail -1)
sum < <("$runner" "$@")
[ ${#both[@]} -eq 0 ] || sum < <("$runner" --sealed "${both[@]}")
for s in "${plain[@]}"; do
	if out=$("$runner" --sealed "$s" 2>&1); then
		echo "$s: holds in sealed form, too: take it out of plain_only.txt"
		failed=$((failed + 1))
	elif grep 'ended by signal' <<<"$out"; then
		failed=$((failed + 1))
	fi
done
for s in $only; do
	[ -f "tests/script/$s" ] || { echo "plain_only.txt: there is no $s"; failed=$((failed + 1)); }
done
echo "script: $passed passed, $failed failed (${#both[@]} scripts in both forms)"
[ $failed -eq 0 ]
