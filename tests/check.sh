#!/bin/bash
# SPDX-License-Identifier: MIT
# `make check`: everything that can be checked in minutes, on a build with ASan and UBSan. One line a step;
# a step's own output is shown only when it fails. The last line sums over all steps: "N passed, N failed".
#
# usage: check.sh BUILD_DIR SEEDS      BUILD_DIR holds the sanitized build that make has just made
set -u
cd "$(dirname "$0")/.." || exit 2
B=$1 SEEDS=$2
logs=$(mktemp -d) || exit 2
trap 'rm -rf "$logs"' EXIT
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0} UBSAN_OPTIONS=print_stacktrace=1
passed=0 failed=0

# The step's last line that says "N passed, N failed" counts; a step that ends badly without one is one failure.
report() {
	local name=$1 log=$2 rc=$3 line p f s
	line=$(grep -Eo '[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?' "$log" | tail -1)
	p=${line%% *}
	f=${line#*, }
	f=${f%% *}
	s=$(sed -n 's/.*, \([0-9]* skipped\).*/, \1/p' <<<"$line")
	[ -n "$line" ] || { p=0 f=0; }
	if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then
		f=1
	fi
	passed=$((passed + p)) failed=$((failed + f))
	printf '%-24s %s passed, %s failed%s\n' "$name" "$p" "$f" "$s"
	if [ "$f" -ne 0 ]; then
		tail -40 "$log" | sed 's/^/    /'
	fi
}

step() {
	local name=$1
	shift
	"$@" >"$logs/$name" 2>&1
	report "$name" "$logs/$name" $?
}

# Unit tests are quick and many: two at a time, one line for all of them.
units() {
	local list sum_p=0 sum_f=0 rc=0 bin line out
	list=$(find "$B/tests/unit" -type f -name 'test_*' -perm -u+x 2>/dev/null | sort)
	mkdir -p "$logs/unit.d"
	# shellcheck disable=SC2016 # expanded by the inner shell
	echo "$list" | xargs -r -P 2 -n 1 sh -c \
		'out=$1/$(echo "$2" | tr / _); timeout 120 "$2" >"$out" 2>&1; echo $? >"$out.rc"' sh "$logs/unit.d"
	for bin in $list; do
		out=$logs/unit.d/$(echo "$bin" | tr / _)
		rc=$(cat "$out.rc")
		line=$(grep -Eo '[0-9]+ passed, [0-9]+ failed' "$out" | tail -1)
		if [ -z "$line" ]; then
			line="0 passed, 1 failed"
		fi
		sum_p=$((sum_p + ${line%% *}))
		line=${line#*, }
		line=${line%% *}
		if [ "$rc" -ne 0 ] && [ "$line" -eq 0 ]; then
			line=1
		fi
		sum_f=$((sum_f + line))
		if [ "$line" -ne 0 ]; then
			echo "$bin (exit $rc):"
			tail -30 "$out"
		fi
	done
	echo "unit: $sum_p passed, $sum_f failed"
	[ $sum_f -eq 0 ]
}

step layers tests/lint/layers.sh
step install env SAN=1 tests/lint/install.sh "$B"
step schemas /usr/bin/python3 tests/lint/schemas.py "$B"
step unit units
step script make -s script SAN=1 B="$B"
step rules tests/rules/rules.py
step mutants tests/sim/mutants.sh --stale
step fuzz make -s fuzz SAN=1 B="$B" SECONDS=2
if [ -x "$B/tests/sim/sim" ]; then
	step stories make -s sim-stories SAN=1 B="$B"
	step traces make -s traces-check SAN=1 B="$B"
	step sim make -s sim SAN=1 B="$B" SEEDS="$SEEDS"
	step buffers make -s sim-buffers SAN=1 B="$B"
	step fairness make -s sim-fairness SAN=1 B="$B"
	step scenarios make -s sim-scenarios SAN=1 B="$B"
	step sim-flap make -s sim SAN=1 B="$B" PROFILE=flap SEEDS=40
	step sim-outage make -s sim SAN=1 B="$B" PROFILE=outage SEEDS=40
	step sim-delay make -s sim SAN=1 B="$B" PROFILE=delay SEEDS=200
	step sim-jitter make -s sim SAN=1 B="$B" PROFILE=jitter SEEDS=20
	step sim-return make -s sim SAN=1 B="$B" PROFILE=return FIRST=155 SEEDS=10 # 161: a starved subflow
fi
# Where no namespace can be made these say "0 passed, 0 failed, N skipped" and why.
for script in tests/system/{smoke,shim,apps,storm,wishes,options,paths,plain,programs,transfer,streams,crowded,workers,client_workers,semantics,hostile,faults,sources,routers,failover,mtu,capture}.sh; do
	[ -x "$script" ] || continue
	name=$(basename "$script" .sh)
	step "$name" env B="$B" timeout 300 "$script" --short
done
step interop env B="$B" timeout 300 tests/interop/interop.sh --short
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
