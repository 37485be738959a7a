#!/bin/bash
# SPDX-License-Identifier: MIT
# A soak: for SECONDS (default 3600) an unmodified curl downloads, another uploads, and fifty streams of mixed size come
# and go, all at once over two links that go silently dark in turn at random moments. Everything must arrive intact and
# without a stall longer than GAP_MAX_MS (default 1500), and the daemons must not grow: the memory and descriptors of
# the second half of the time against those of the first (buffers come and go: 16 MB are allowed).
#
# usage: soak.sh [SECONDS [SEED]]      RATE1, RATE2: rates of the links (default 300M, 150M)
. "$(dirname "$0")/lab.sh"

seconds=${1:-3600}
RANDOM=${2:-$$}
size=200000000
ulimit -n "$(ulimit -Hn)"

lab_up "rate ${RATE1:-300M}; delay 10; queue 60ms" "rate ${RATE2:-150M}; delay 20; queue 60ms" || exit 1
lab_spawn httpd s python3 "$LAB_ROOT/tests/system/httpd.py" "$SERVER" 8000
lab_spawn server s python3 "$LAB_ROOT/tests/system/streams.py" server "$SERVER" 8100
lab_tunnelds && lab_until 10 "the servers" lab_listens s 8100 && lab_until 10 "the servers" lab_listens s 8000 ||
	{ lab_ok "the lab starts" false; lab_end; }
sha=$(python3 "$LAB_ROOT/tests/system/httpd.py" --sha256 $size)
python3 "$LAB_ROOT/tests/system/httpd.py" --bytes $size >"$LAB/file"
end=$((SECONDS + seconds))

# One link at a time is dark, for 0.2 to 2 seconds, every 1 to 9 seconds.
flap() {
	local link
	while [ $SECONDS -lt $end ]; do
		sleep $((RANDOM % 8 + 1))
		link=$((RANDOM % 2 + 1))
		lab_link $link both down >/dev/null
		sleep "$((RANDOM % 2)).$((RANDOM % 8 + 2))"
		lab_link $link both up >/dev/null
		echo $link >>"$LAB/flaps"
	done
}
downloads() {
	while [ $SECONDS -lt $end ]; do
		lab_shim curl -sS --max-time 600 "http://$SERVER:8000/bytes/$size" |
			python3 "$LAB_ROOT/tests/system/httpd.py" --receive >>"$LAB/down"
	done
}
uploads() {
	while [ $SECONDS -lt $end ]; do
		lab_shim curl -sS --max-time 600 -T "$LAB/file" "http://$SERVER:8000/up" >>"$LAB/up"
		echo >>"$LAB/up"
	done
}
small() {
	local n=0
	while [ $SECONDS -lt $end ]; do
		n=$((n + 1))
		lab_shim timeout 600 python3 "$LAB_ROOT/tests/system/streams.py" load "$SERVER" 8100 50 $n >>"$LAB/small" ||
			echo '{"errors": ["failed"]}' >>"$LAB/small"
	done
}
# Seconds, then resident kB and descriptors of both daemons.
sample() {
	local at=$SECONDS side pid
	for side in c g; do
		pid=lab_pid_$side
		echo "$at $side $(awk '/^VmRSS/ { print $2 }' /proc/"${!pid}"/status) $(find /proc/"${!pid}"/fd -type l | wc -l)"
	done >>"$LAB/samples"
}

jobs=()
for job in flap downloads uploads small; do
	$job 2>>"$LAB/$job.err" &
	jobs+=($!)
done
while [ $SECONDS -lt $end ]; do
	sleep 5
	sample
done
lab_ok "every program came to its end" wait "${jobs[@]}"

judge() {
	python3 - "$LAB" "$sha" $size "${GAP_MAX_MS:-1500}" <<-'PY'
	import json, sys
	lab, sha, size, gap_max = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
	bad, moved = [], 0
	def records(name):
	    return [json.loads(line) for line in open(f"{lab}/{name}") if line.strip()]
	for name in "down", "up":
	    rs = records(name)
	    worst = 0
	    for i, r in enumerate(rs):
	        moved += r["bytes"]
	        worst = max([worst] + [g[0] for g in r["gaps"]])
	        if r["sha256"] != sha or r["bytes"] != size:
	            bad.append(f"{name} {i}: {r['bytes']} bytes, not intact")
	    if not rs:
	        bad.append(f"{name}: nothing was transferred")
	    if worst > gap_max:
	        bad.append(f"{name}: nothing came for {worst} ms")
	    print(f"{name}: {len(rs)} transfers of {size} bytes, longest gap {worst} ms")
	rs = records("small")
	bad += [f"streams {i}: {r['errors']}" for i, r in enumerate(rs) if r["errors"]]
	moved += sum(r.get("bytes", 0) for r in rs)
	print(f"small: {sum(r.get('streams', 0) for r in rs)} streams; {sum(1 for _ in open(f'{lab}/flaps'))} flaps; {moved / 1e9:.1f} GB in all")
	rows = [line.split() for line in open(f"{lab}/samples")]
	for side in "cg":
	    mine = [(int(kb), int(fds)) for _, s, kb, fds in rows if s == side]
	    first, second = mine[len(mine) // 5:len(mine) // 2], mine[len(mine) // 2:]
	    for what, unit, slack in (0, "kB", 16384), (1, "descriptors", 60):
	        a, b = max(r[what] for r in first), max(r[what] for r in second)
	        print(f"{side}: at most {a} {unit} in the first half, {b} in the second")
	        if b > a * 1.15 + slack:
	            bad.append(f"{side}: {unit} grow: {a}, then {b}")
	print("\n".join(bad))
	sys.exit(bool(bad))
	PY
}
lab_ok "intact, no stall, no growth" judge
lab_ok "client: no connection left" lab_until 20 "no connection at c" lab_quiet c
lab_ok "gateway: no connection left" lab_until 20 "no connection at g" lab_quiet g
lab_ok "the daemons live" kill -0 "$lab_pid_c" "$lab_pid_g"
lab_end
