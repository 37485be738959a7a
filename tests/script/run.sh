#!/bin/bash
# SPDX-License-Identifier: MIT
# All packet scripts, and that the runner finds what is wrong. Its last line sums up: "N passed, N failed".
# usage: run.sh RUNNER SCRIPT...
set -u
runner=$1
shift
self=$("$runner" --self tests/script/self/*.pkt | tail -1)
all=$("$runner" "$@")
grep -v 'passed,' <<<"$all"
p1=$(grep -Eo '[0-9]+ passed' <<<"$self") f1=$(grep -Eo '[0-9]+ failed' <<<"$self")
p2=$(grep -Eo '[0-9]+ passed' <<<"$all") f2=$(grep -Eo '[0-9]+ failed' <<<"$all")
failed=$((${f1% *} + ${f2% *}))
echo "script: $((${p1% *} + ${p2% *})) passed, $failed failed"
[ $failed -eq 0 ]
