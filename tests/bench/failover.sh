#!/bin/bash
# SPDX-License-Identifier: MIT
# `make bench-failover`: what a stream notices of a path that goes silent, loses packets, comes back, or of a machine that
# loses all its interfaces; Linux MPTCP through the same links in the same run beside it. Writes the tables of
# docs/failover.md between their markers. RUNS=10 take about 25 minutes. QUICK=1: two runs, for looking (writes nothing).
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 2
out=$(mktemp) || exit 2
trap 'rm -f "$out"' EXIT
part=tests/bench/failover_part.sh
runs=${RUNS:-10}
[ -z "${QUICK:-}" ] || runs=2
# Round trips: twice what is said here.
while read -r name delay1 delay2 times; do
	$part "$name" "$times" "$delay1" "$delay2" | sed "s/^{/{\"rtt1_ms\":$((2 * delay1)),\"rtt2_ms\":$((2 * delay2)),/" >>"$out" || exit 1
done <<-END
	hole    10 10 $runs
	hole    50 50 $runs
	loss10  10 10 $runs
	loss30  10 10 $runs
	loss50  10 10 $runs
	return   5 20 $runs
	connect 10 10 $runs
	away    10 10 $(((runs + 4) / 5))
END
python3 tests/bench/failover.py "$out" ${QUICK:+--print}
