#!/bin/bash
# SPDX-License-Identifier: MIT
# `make system`: every system test, whole. Ends with the sum; --write also brings tests/system/README.md up to date.
cd "$(dirname "$0")" || exit 2
export V=${V:-}
passed=0 failed=0
for script in shim apps storm wishes options smoke paths plain programs transfer streams crowded workers client_workers semantics hostile faults sources routers failover mtu; do
	[ -x $script.sh ] || continue
	args=()
	case $script in
	apps | programs | semantics | transfer | streams) args=("$@") ;;
	esac
	out=$(./$script.sh "${args[@]}")
	rc=$?
	echo "$out"
	line=$(grep -Eo '[0-9]+ passed, [0-9]+ failed' <<<"$out" | tail -1)
	[ -n "$line" ] || line="0 passed, 1 failed"
	passed=$((passed + ${line%% *}))
	line=${line#*, }
	f=${line%% *}
	[ $rc -eq 0 ] || [ "$f" -gt 0 ] || f=1
	failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
