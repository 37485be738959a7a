#!/bin/bash
# SPDX-License-Identifier: MIT
# `make demo`: an unmodified curl fetches a file over two emulated links at once, through two tunnelds; part-way
# the first link goes silently dead for three seconds and comes back. Ends with the checks, the time against each
# link alone, the gap that the receiver saw and the connection's JSON. Leaves nothing behind (see lab.sh).
#
# usage: demo.sh [BYTES]      exit status 0: all of it came, intact
export LAB_MUST=1
. "$(dirname "$0")/lab.sh"

bytes=${1:-60000000}
alone1=12000000 alone2=8000000 # shorter fetches for "each link alone": the rate of a link does not change with the size

say() { printf '%s\n' "$*"; }

lab_up 'rate 40M; delay 10; queue 200k' 'rate 20M; delay 30; queue 150k' || exit 1
lab_spawn httpd s python3 "$LAB_ROOT/tests/system/httpd.py" "$SERVER" 8000
lab_tunnelds || { cat "$LAB"/tunneld-*.log >&2; exit 1; }
lab_until 10 "the HTTP server" lab_listens s 8000 || exit 1

say "client ==== p1: 40 Mbit/s, 20 ms round trip ==== gateway ---- HTTP server $SERVER"
say "       ==== p2: 20 Mbit/s, 60 ms round trip ===="
say
say "Each link alone, plain TCP without plait (both at the same time, they share nothing):"
lab_route 1 2
fetch_alone() {
	lab_in c curl -sS --interface "p$1" -o /dev/null -w '%{time_total} %{size_download}' \
		"http://$SERVER:8000/bytes/$2" >"$LAB/alone$1"
}
fetch_alone 1 $alone1 &
one=$!
fetch_alone 2 $alone2 || exit 1
wait $one || exit 1
lab_unroute # from here on only plait reaches the server
for n in 1 2; do
	read -r seconds size <"$LAB/alone$n"
	awk -v n=$n -v s="$seconds" -v b="$size" -v all="$bytes" -v to="$LAB/alone$n.all" 'BEGIN {
		printf "  p%d  %.0f MB in %.2f s = %.1f Mbit/s, so %.0f MB take %.1f s\n", n, b/1e6, s, b*8e-6/s, all/1e6, all*s/b
		printf "%.2f\n", all*s/b > to }'
done

say
say "curl under plait, both links; p1 goes dead without a word at 35 % and comes back three seconds later:"
sha=$(python3 "$LAB_ROOT/tests/system/httpd.py" --sha256 "$bytes")
linkem="$B/tests/system/linkem -c $LAB/link1.ctl"
lab_shim curl -sS --max-time 50 "http://$SERVER:8000/bytes/$bytes" 2>"$LAB/curl.log" |
	python3 "$LAB_ROOT/tests/system/demo.py" --bytes "$bytes" --sha256 "$sha" --status "$LAB/c.status" \
		--cut "$linkem 'both down'" --restore "$linkem 'both up'" --result "$LAB/result.json"
status=("${PIPESTATUS[@]}")
cat "$LAB/curl.log" >&2
if [ "${status[1]}" -ne 0 ]; then
	exit 1
fi

say
python3 - "$LAB/result.json" "$LAB/alone1.all" "$LAB/alone2.all" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
alone = [float(open(f).read()) for f in sys.argv[2:4]]
print(f"SHA-256   {r['sha256']}  {'as sent' if r['intact'] else 'NOT WHAT WAS SENT (%d bytes)' % r['bytes']}")
print(f"time      {r['seconds']:.1f} s with both links, p1 dead for {r['cut_seconds'] or 0:.1f} s of it; "
      f"alone: p1 {alone[0]:.1f} s, p2 {alone[1]:.1f} s")
print(f"gap       {r['longest_gap_ms']} ms without a byte at the receiver, after byte {r['longest_gap_at_byte']} "
      f"(p1 was cut at byte {r['cut_at_byte']}); {r['bytes_during_cut'] / 1e6:.1f} MB came over p2 while p1 was dead")
print("connection, as /v1/connections shows it:")
print(json.dumps(r["connection"], indent=2))
sys.exit(not r["intact"])
PY
intact=$?
if [ "${status[0]}" -ne 0 ] || [ $intact -ne 0 ]; then
	say "curl ended with status ${status[0]}. The client's tunneld said:" >&2
	tail -20 "$LAB/tunneld-c.log" >&2
	exit 1
fi
