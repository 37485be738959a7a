#!/bin/bash
# SPDX-License-Identifier: MIT
# That docs/traces tell what the program does today: the same lines in the same order. Numbers may differ (they are one seed's: ports,
# sequence numbers, and times that follow from them), as another draw of chance is no other story.
# usage: traces.sh SIM NAME...
set -u
sim=$1
shift
passed=0 failed=0
told() { sed -E 's/[0-9]+(\.[0-9]+)?/N/g'; }
for name in "$@"; do
	now=$("$sim" --stories --only "$name" --trace | told)
	then=$(told <"docs/traces/$name.txt")
	if [ -n "$now" ] && [ "$now" = "$then" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "docs/traces/$name.txt is not what happens now; if it should, 'make traces' writes it anew:"
		diff <(echo "$then") <(echo "$now") | head -10
	fi
done
for file in docs/traces/*.txt; do
	name=$(basename "$file" .txt)
	[[ " $* " == *" $name "* ]] || { failed=$((failed + 1)); echo "$file: nobody plays it"; }
done
echo "traces: $passed passed, $failed failed"
[ $failed -eq 0 ]
