#!/bin/bash
# SPDX-License-Identifier: MIT
# A long transfer each way by an unmodified curl, with one path cut and restored five times: the same SHA-256, and
# how long the receiver saw nothing. Prints one line a direction.
#
# usage: transfer.sh [--short | --write] [BYTES]      default 1 GiB each way; --short: 48 MB, two cuts
#	--write: the lines in tests/system/README.md
# RATE1, RATE2: rates of the links (default 300M, 150M; short 80M, 40M). GAP_MAX_MS: longest gap allowed, default 1000
. "$(dirname "$0")/lab.sh"

write=''
if [ "${1:-}" = --write ]; then
	write=1
	shift
fi
bytes=1073741824 cuts=5 every=3 dark=1 gap_max=${GAP_MAX_MS:-1000}
rate1=${RATE1:-300M} rate2=${RATE2:-150M}
if [ "${1:-}" = --short ]; then
	bytes=48000000 cuts=2 every=2
	rate1=${RATE1:-80M} rate2=${RATE2:-40M}
	shift
fi
bytes=${1:-$bytes}

lab_up "rate $rate1; delay 10; queue 60ms" "rate $rate2; delay 20; queue 60ms" || exit 1
lab_spawn httpd s python3 "$LAB_ROOT/tests/system/httpd.py" "$SERVER" 8000
lab_tunnelds && lab_until 10 "the HTTP server" lab_listens s 8000 || { lab_ok "the lab starts" false; lab_end; }
sha=$(python3 "$LAB_ROOT/tests/system/httpd.py" --sha256 "$bytes")

plan_cuts() { # of path $1
	local i
	for i in $(seq $cuts); do
		lab_link "$1" both blackout +$((i * every - 1)) +$((i * every - 1 + dark))
	done
}

# Judges the JSON of httpd.py's receive() in file $1; $2 names the direction.
verdict() {
	judge "$@" | tee -a "$LAB/verdicts"
	return "${PIPESTATUS[0]}"
}
judge() {
	python3 - "$1" "$2" "$sha" "$bytes" "$gap_max" "$cuts" <<-'PY'
	import json, sys
	path, name, sha, want, gap_max, cuts = sys.argv[1:]
	try:
	    r = json.load(open(path))
	except ValueError:
	    print(f"{name}: no result: {open(path).read()[:200]!r}")
	    sys.exit(1)
	worst = max(r["gaps"], default=[0, 0, 0])
	intact = r["sha256"] == sha and r["bytes"] == int(want)
	print(f"{name}: {r['bytes']} bytes in {r['seconds']} s, {r['bytes'] * 8e-6 / max(r['seconds'], 1e-9):.1f} Mbit/s, "
	      f"{'intact' if intact else 'NOT INTACT'}; {cuts} cuts, gaps over 50 ms: "
	      f"{sorted((g[0] for g in r['gaps']), reverse=True)[:8]} ms")
	sys.exit(not intact or worst[0] > int(gap_max))
	PY
}

download() { # with path $1 cut
	plan_cuts "$1"
	lab_shim curl -sS --max-time 280 "http://$SERVER:8000/bytes/$bytes" 2>"$LAB/curl.err" |
		python3 "$LAB_ROOT/tests/system/httpd.py" --receive >"$LAB/down.json"
	cat "$LAB/curl.err" >&2
	lab_ok "download with p$1 cut: intact, no gap over $gap_max ms" verdict "$LAB/down.json" "download, p$1 cut"
	lab_until 30 "the cuts to be over" lab_cuts_over "$1"
}

upload() { # with path $1 cut
	plan_cuts "$1"
	python3 "$LAB_ROOT/tests/system/httpd.py" --bytes "$bytes" >"$LAB/upload" # a file, so that it has a length
	lab_shim curl -sS --max-time 280 -T "$LAB/upload" "http://$SERVER:8000/up" >"$LAB/up.json"
	rm "$LAB/upload"
	lab_ok "upload with p$1 cut: intact, no gap over $gap_max ms" verdict "$LAB/up.json" "upload, p$1 cut"
	lab_until 30 "the cuts to be over" lab_cuts_over "$1"
}

download 1
upload 1
if [ $cuts -gt 2 ]; then
	download 2
	upload 2
fi
lab_ok "client: no connection left" lab_until 10 "no connection at c" lab_quiet c
lab_ok "gateway: no connection left" lab_until 10 "no connection at g" lab_quiet g
[ -z "$write" ] || sed 's/^/- /' "$LAB/verdicts" | lab_write transfer
lab_end
