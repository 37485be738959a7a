#!/bin/bash
# SPDX-License-Identifier: MIT
# `make bench`: plait against plain TCP and Linux MPTCP, in the same run, on this machine; writes the tables and plots of
# docs/performance.md between their markers. All sections take about 40 minutes. SECTION="raw latency": only those.
# ROUNDS=5. QUICK=1: one short round, for looking (writes nothing). RESULTS=FILE: what was measured, for tests/bench/report.py.
set -u
cd "$(dirname "$0")/../.." || exit 2
out=$(mktemp) || exit 2
trap 'rm -f "$out"' EXIT
[ -z "${RESULTS:-}" ] || trap 'mv "$out" "$RESULTS"' EXIT
rounds=${ROUNDS:-5} sections=${SECTION:-raw offloads aggregation loss latency connections scale workers instructions}
raw=1000000000 sum=120000000 connects=1000 seconds=5 idle=10000 loaded=400
if [ -n "${QUICK:-}" ]; then
	rounds=1 raw=200000000 sum=30000000 connects=200 seconds=2 idle=1000 loaded=100
fi
# Linux by default has room for some 4 MB of window: enough for every link here but the kernel's own default send buffer.
part() {
	tests/bench/part.sh "$@" >>"$out" || echo "bench: $1 $2 did not come to its end" >&2
}
instructions() { # PART SCENARIO
	local counts
	counts=$(mktemp) || return
	if valgrind -q --tool=callgrind --compress-strings=no --compress-pos=no --callgrind-out-file="$counts" \
		"${B:-build}/tests/sim/sim" --scenarios --only "$2" >/dev/null && tests/bench/instructions.py "$counts" "$1" >>"$out"; then :
	else
		echo "bench: instructions $1 did not come to its end" >&2
	fi
	rm -f "$counts"
}
link() { # MBIT RTT_MS [QUEUE_MS [LOSS]]: of linkem, both directions alike
	echo "rate $1M; delay $(($2 / 2)); queue ${3:-60}ms${4:+; loss $4}"
}
both="down:$sum up:$sum" three="tcp mptcp plait"

# The scale section opens more streams than limits.connections allows by default.
export LAB_LIMITS=${LAB_LIMITS:-'{"connections": 16384}'}

for section in $sections; do
	case $section in
	raw)
		part raw veth "$rounds" "$three limit" "down:$raw up:$raw both:$((raw / 2))" veth veth ;;
	offloads)
		part offloads veth "$rounds" "$three limit" "down:$((raw / 2)) up:$((raw / 2)) both:$((raw / 4))" veth veth ;;
	aggregation)
		part aggregation near  "$rounds" "$three" "$both" "$(link 100 10)" "$(link 50 40)"
		part aggregation far   "$rounds" "$three" "$both" "$(link 80 20)" "$(link 20 200 100)"
		part aggregation four  "$rounds" "$three" "$both" "$(link 25 10)" "$(link 25 30)" "$(link 25 60)" "$(link 25 120)"
		part aggregation one   "$rounds" "tcp plait" "$both" "$(link 100 10)"
		# The kernel's own bar, tools/testing/selftests/net/mptcp/simult_flows.sh
		part aggregation even  "$rounds" "$three" "down:16777216" "$(link 10 0)" "$(link 10 0)"
		part aggregation uneven "$rounds" "$three" "down:16777216" "$(link 10 0)" "$(link 3 0)" ;;
	loss)
		# CUBIC needs minutes for a whole transfer at 1 % loss: it gets a tenth of it.
		part loss near-0.1 "$rounds" "tcp mptcp mptcp-bbr plait" "down:$((sum / 4))" "$(link 100 10 60 0.001)" "$(link 50 40 60 0.001)"
		part loss near-1   "$rounds" "tcp mptcp" "down:$((sum / 10))" "$(link 100 10 60 0.01)" "$(link 50 40 60 0.01)"
		part loss near-1   "$rounds" "tcp-bbr mptcp-bbr plait" "$both" "$(link 100 10 60 0.01)" "$(link 50 40 60 0.01)"
		part loss near-5   "$rounds" "mptcp-bbr plait" "down:$((sum / 2))" "$(link 100 10 60 0.05)" "$(link 50 40 60 0.05)" ;;
	latency)
		part latency veth   "$rounds" "$three" "connect:$connects echo:$connects" veth veth
		part latency near   "$rounds" "$three" "connect:$((connects / 10)) echo:$((connects / 5))" "$(link 100 10)" "$(link 50 40)"
		part latency loaded "$rounds" "$three" "loaded:$loaded:$((sum / 2))" "$(link 50 20)" "$(link 50 20)" ;;
	connections)
		part connections veth "$rounds" "tcp plait" "short:8:$seconds" veth veth ;;
	scale)
		part scale idle 1 "plait" "idle:$idle:$seconds" veth veth
		part scale busy "$(((rounds + 1) / 2))" "tcp plait" \
			"busy:10:$seconds busy:100:$seconds busy:1000:$seconds $([ -n "${QUICK:-}" ] || echo "busy:10000:$((2 * seconds))")" veth veth ;;
	workers)
		tests/bench/workers_part.sh "$rounds" 40 "$seconds" >>"$out" || echo "bench: workers did not come to its end" >&2 ;;
	instructions)
		# Of the first 2 s of one stream on two paths, and of 40 streams that share one: the simulator's time is virtual, so the counts
		# are the same in every run and on a busy machine.
		instructions two "40M 20ms + 20M 60ms, first 2 s"
		instructions forty "40 streams, one 20M 20ms" ;;
	*)
		echo "bench: no section $section" >&2
		exit 2 ;;
	esac
done
python3 tests/bench/report.py "$out" ${QUICK:+--print}
