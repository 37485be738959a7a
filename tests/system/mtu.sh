#!/bin/bash
# SPDX-License-Identifier: MIT
# Jumbo frames are found and made use of (9,000 bytes), and left again when the paths swallow long packets without a word
# (RFC 8899: no ICMP comes) in the middle of a transfer; nothing is fragmented, nor may be. Sealed form, then plain.
#
# usage: mtu.sh [--short]      the same
. "$(dirname "$0")/lab.sh"

JUMBO=9000 SMALL=1400 SEAL=53 # IPv4, UDP and the seal around a segment
bytes=40000000
lab_up veth veth || exit 1
command -v ethtool >/dev/null || lab_skip "no ethtool"
# A veth pair drops what is longer than its far end's MTU, and tells nobody. But for what is to be segmented later: so it is not.
for n in 1 2; do
	for ns in c g; do
		ip -n $ns link set p$n mtu $JUMBO
		lab_in $ns ethtool -K p$n tso off gso off gro off tx-udp-segmentation off >/dev/null 2>&1 || lab_skip "ethtool cannot switch offloads off"
	done
done
limit_to() { # MTU: of both paths towards the gateway
	local n
	for n in 1 2; do ip -n g link set p$n mtu "$1"; done
}

watch() { # the client's frames
	rm -f "$LAB/ready" "$LAB/frames"
	nsenter --net=/run/netns/c -- python3 "$LAB_ROOT/tests/system/frames.py" p1 p2 >"$LAB/frames" 2>"$LAB/ready" &
	watcher=$!
	lab_until 5 "the watcher" grep -q ready "$LAB/ready"
}
frames() { # a Python expression over what went since the last time, f; all that went are in the message
	local lines
	lines=$(wc -l <"$LAB/frames")
	kill -USR1 $watcher
	more() { [ "$(wc -l <"$LAB/frames")" -gt "$lines" ]; }
	lab_until 5 "its line" more
	tail -1 "$LAB/frames" | python3 -c '
import json, sys
f = json.load(sys.stdin)
if not eval(sys.argv[1]):
    sys.exit(f"{sys.argv[1]} is not true of {f}")' "$1"
}
put() { # URL [CURL OPTIONS]: the body arrives as it was sent
	local url=$1
	shift
	lab_shim curl -sS --max-time 20 "$@" -T "$LAB/body" -o "$LAB/answer" "$url" && grep -q "$sha" "$LAB/answer"
}
to_server() { lab_in g cat /proc/net/dev | sed -n 's/^ *sv: *//p' | tr -s ' ' | cut -d' ' -f9; } # bytes that the gateway has sent to it
under_way() { [ "$(to_server)" -gt "$1" ]; }
# What both forms have to show. URL; the largest packet less than this is too few
both_ends() { # FORM URL
	local form=$1 url=$2 before put
	lab_ok "$form: a transfer in jumbo frames" put "$url"
	lab_ok "$form: they are used, and nothing is fragmented or may be" \
		frames "f['longest'] > $JUMBO - 200 and f['may_be_fragmented'] == f['fragments'] == 0 and f['bytes'] / f['packets'] > 4000"
	before=$(to_server)
	put "$url" --limit-rate 10M &
	put=$!
	lab_ok "$form: another is under way" lab_until 10 "its bytes" under_way $((before + bytes / 8))
	limit_to $SMALL
	lab_ok "$form: long packets vanish in the middle of a transfer, and it comes to its end" wait $put
	frames True
	lab_ok "$form: the next goes through" put "$url"
	lab_ok "$form: in packets that fit, but for probes; none of them may be fragmented" \
		frames "f['may_be_fragmented'] == f['fragments'] == 0 and 900 < f['bytes'] / f['packets'] <= $SMALL + 100"
	limit_to $JUMBO
}

python3 "$LAB_ROOT/tests/system/httpd.py" --bytes $bytes >"$LAB/body"
sha=$(python3 "$LAB_ROOT/tests/system/httpd.py" --sha256 $bytes)
lab_spawn httpd s python3 "$LAB_ROOT/tests/system/httpd.py" "$SERVER" 8000
lab_tunnelds && lab_until 10 "the HTTP server" lab_listens s 8000 && watch || { lab_ok "the lab starts" false; lab_end; }

sizes() { # SIDE EXPRESSION over the packet sizes s of its paths
	lab_value "$1" /v1/paths '(lambda s: bool(s) and ('"$2"'))([p["mtu_payload"] + '$SEAL' for p in j["paths"]])' | grep -q true
}
lab_ok "both ends find out that $JUMBO bytes get through" \
	lab_until 5 "sizes" eval "sizes c 'set(s) == {$JUMBO}' && sizes g 'set(s) == {$JUMBO}'"
both_ends sealed "http://$SERVER:8000/x"
lab_ok "the client knows what gets through, to within some bytes" lab_until 5 "sizes" sizes c "all($SMALL - 24 <= n <= $SMALL for n in s)"

lab_ok "and its faults say why" [ "$(lab_value c /v1/faults 'any(f["source"] == "mtu" and "vanish" in f["evidence"] for f in j["faults"])')" = true ]

kill "$lab_pid_c" "$lab_pid_g"
wait "$lab_pid_c" "$lab_pid_g"
cat >"$LAB/g.json" <<-JSON
	{ "plain": { "listen": [ { "address": "10.77.1.2:8080", "forward": "$SERVER:8000" }, { "address": "10.77.2.2:8080", "forward": "$SERVER:8000" } ] },
	  "status": { "socket": "$LAB/g.status" } }
JSON
cat >"$LAB/c.json" <<-JSON
	{ "client": { "socket": "$LAB/c.sock", "paths": [ {"name": "p1", "interface": "p1"}, {"name": "p2", "interface": "p2"} ] },
	  "plain": { "connect": [ { "to": "10.77.0.0/16" } ] }, "status": { "socket": "$LAB/c.status" } }
JSON
lab_tunneld g && lab_tunneld c || { lab_ok "plain form starts" false; lab_end; }
both_ends plain "http://10.77.1.2:8080/x"
lab_ok "the client counts black holes" [ "$(lab_value c /v1/status 'j["counters"].get("PmtuBlackHole", 0)')" -gt 0 ]
kill $watcher
[ $lab_failed -eq 0 ] || tail -n 5 "$LAB"/tunneld-?.log >&2
lab_end
