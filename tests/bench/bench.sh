#!/bin/bash
# SPDX-License-Identifier: MIT
# `make bench`: plait against plain TCP and Linux MPTCP, in the same run, on this machine; writes the tables of
# docs/performance.md between their markers. About four minutes. QUICK=1: one, for looking (writes nothing).
set -u
cd "$(dirname "$0")/../.." || exit 2
out=$(mktemp) || exit 2
trap 'rm -f "$out"' EXIT
part=tests/bench/part.sh
rounds=3 raw=1000000000 sum=120000000 connects=1000
if [ -n "${QUICK:-}" ]; then
	rounds=1 raw=200000000 sum=30000000 connects=200
fi
{
	$part raw $rounds $raw $connects $connects veth veth
	$part near $rounds $sum 100 200 'rate 100M; delay 5; queue 60ms' 'rate 50M; delay 20; queue 60ms'
	$part far $rounds $sum 30 60 'rate 80M; delay 10; queue 60ms' 'rate 20M; delay 100; queue 100ms'
} >"$out" || exit 1
python3 tests/bench/report.py "$out" ${QUICK:+--print}
