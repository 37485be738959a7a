#!/bin/bash
# SPDX-License-Identifier: MIT
# Strangers, liars and broken things: each is refused with a counter or a clear message, nothing crashes, nothing of
# an honest stream is lost. Worth most on the sanitized build, which is what `make check` gives it.
#
# usage: hostile.sh [--short]
. "$(dirname "$0")/lab.sh"

noise=30000
[ "${1:-}" != --short ] || noise=4000
hostile=$LAB_ROOT/tests/system/hostile.py
lab_up 'rate 100M; delay 3; queue 60ms' 'rate 50M; delay 8; queue 60ms' || exit 1
lab_spawn httpd s python3 "$LAB_ROOT/tests/system/httpd.py" "$SERVER" 8000
lab_tunnelds && lab_until 10 "the HTTP server" lab_listens s 8000 || { lab_ok "the lab starts" false; lab_end; }

counter() { lab_value "$1" /v1/status "j['counters'].get('$2', 0)"; } # what is 0 is not shown
counted() { # SIDE NAME...: the sum of these has grown by at least $grown since mark
	local side=$1 sum=0 c
	shift
	for c in "$@"; do sum=$((sum + $(counter "$side" "$c") - $(mark_of "$side" "$c"))); done
	[ "$sum" -ge "$grown" ] || { echo "        $* grew by $sum, not $grown" >&2; false; }
}
mark() { # remembers all counters of a side
	lab_status "$1" /v1/status >"$LAB/mark.$1"
}
mark_of() {
	python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["counters"].get(sys.argv[2], 0))' "$LAB/mark.$1" "$2"
}
sha=$(python3 "$LAB_ROOT/tests/system/httpd.py" --sha256 4000000)
fetch() {
	[ "$(lab_shim curl -sS --max-time 40 "http://$SERVER:8000/bytes/4000000" | sha256sum | cut -d' ' -f1)" = "$sha" ]
}
alive() { kill -0 "$lab_pid_c" "$lab_pid_g" && lab_healthy c && lab_healthy g; } >/dev/null
no_complaint() { ! grep -hE 'AddressSanitizer|LeakSanitizer|runtime error|Assertion' "$LAB"/tunneld-*.log >&2; }
attack() { # WHAT ARGS: runs hostile.py in the client's namespace; sets $sent
	sent=$(lab_in c python3 "$hostile" "$@" 2>"$LAB/attack.err") || { cat "$LAB/attack.err" >&2; echo "$sent" >&2; return 1; }
}

lab_spawn capture c python3 "$hostile" capture p1 10.77.1.2 "$LAB/captured" 400
lab_until 10 "the capture" grep -q READY "$LAB/capture.log"
lab_ok "an honest stream" fetch
lab_until 30 "captured datagrams" test -s "$LAB/captured"

mark g
lab_ok "replayed datagrams are sent" attack replay "$LAB/captured" 10.77.1.2
grown=$((sent * 9 / 10))
lab_ok "replayed datagrams are counted" lab_until 10 "replays counted" counted g SealReplayed SealTooOld HandshakeReplayed
mark g
lab_ok "damaged datagrams are sent" attack damaged "$LAB/captured" 10.77.1.2
grown=$((sent * 8 / 10)) # a flipped index or counter bit can name another counter
lab_ok "damaged datagrams are counted" lab_until 10 "damage counted" counted g SealRunt SealForged SealUnknownIndex \
	SealUnknownType SealReplayed SealTooOld HandshakeBadMac1 HandshakeMalformed HandshakeUnexpected HandshakeForged
mark g
lab_ok "random datagrams are sent" attack random 10.77.1.2 $noise
grown=$((sent / 2)) # a full socket buffer loses some
lab_ok "random datagrams are counted" lab_until 10 "noise counted" counted g SealRunt SealForged SealUnknownIndex \
	SealUnknownType HandshakeBadMac1 HandshakeMalformed HandshakeUnexpected HandshakeForged
lab_ok "an honest stream is still whole" fetch
lab_ok "malformed control messages get an answer or an end" attack control "$LAB/c.sock"
lab_ok "malformed status requests" attack status "$LAB/c.status"
lab_ok "both are alive" alive
lab_ok "an honest stream is still whole" fetch

# What the gateway must not be used for (D15), as the application hears it.
for target in 127.0.0.1 $GATEWAY 169.254.169.254 224.0.0.1; do
	lab_ok "the gateway does not connect to $target" eval \
		"! PLAIT_BYPASS=none lab_shim timeout 20 curl -s --max-time 15 http://$target:8000/ >/dev/null"
done
mark_zero() { [ "$(counter g EgressLoopback)" -ge 1 ] && [ "$(counter g EgressOwn)" -ge 1 ] && [ "$(counter g EgressMetadata)" -ge 1 ]; }
lab_ok "and counts why" mark_zero

# A client the gateway does not know, and a client that believes in another gateway. Paths must stay down, and an
# application must hear of it.
stranger() { # NAME PYTHON-EDIT: a third tunneld with the client's configuration, edited
	python3 - "$LAB/c.json" "$LAB/$1.json" "$LAB/$1" "$2" <<-'PY'
	import json, sys
	source, to, base, edit = sys.argv[1:]
	j = json.load(open(source))
	j["client"]["socket"] = base + ".sock"
	j["status"]["socket"] = base + ".status"
	exec(edit)
	json.dump(j, open(to, "w"))
	PY
	mark g
	lab_tunneld "$1" c
}
refused_for() { # NAME: connect fails with an errno; as long as a native one takes to give up, so not in the short form
	[ $noise -gt 10000 ] || return 0
	! PLAIT_SOCKET=$LAB/$1.sock lab_in c timeout 150 "$B"/plait run -- \
		python3 -c "import socket; socket.create_connection(('$SERVER', 8000))" 2>"$LAB/$1.err" &&
		grep -q Errno "$LAB/$1.err" || { cat "$LAB/$1.err" >&2; false; }
}
lab_key unknown >/dev/null
lab_key other >"$LAB/other.public"
lab_ok "a client with an unknown key starts" stranger unknown "j['private_key_file'] = base + '.key'"
grown=1
lab_ok "and is counted as unknown" lab_until 15 "HandshakeUnknownClient" counted g HandshakeUnknownClient
lab_ok "a client with a wrong gateway key starts" stranger misled \
	"j['client']['gateways'][0]['public_key'] = open('$LAB/other.public').read().strip()"
lab_ok "and is counted" lab_until 15 "HandshakeBadMac1" counted g HandshakeBadMac1
refused_for unknown &
unknown=$!
lab_ok "an application of the misled one gets an errno" refused_for misled
lab_ok "an application of the unknown one gets an errno" wait $unknown

# Configurations: exit status 1, and the JSON path of what is wrong in the complaint.
complains() { # PATTERN PYTHON-EDIT
	python3 - "$LAB/c.json" "$LAB/bad.json" "$2" <<-'PY'
	import json, sys
	source, to, edit = sys.argv[1:]
	j, text = json.load(open(source)), None
	exec(edit)
	open(to, "w").write(json.dumps(j) if text is None else text)
	PY
	"$B"/tunneld --check -c "$LAB/bad.json" >"$LAB/complaint" 2>&1
	[ $? -eq 1 ] && grep -qF "$1" "$LAB/complaint" || { echo "        for $2:" >&2; cat "$LAB/complaint" >&2; false; }
}
lab_ok "a good configuration is good" "$B"/tunneld --check -c "$LAB/c.json"
while IFS='|' read -r pattern edit; do
	lab_ok "a bad configuration is refused: $edit" complains "$pattern" "$edit"
done <<-'BAD'
	:1:|text = ""
	:1:|text = "{"
	$|text = "[]"
	privat_key_file|j["privat_key_file"] = 1
	private_key_file|del j["private_key_file"]
	private_key_file|j["private_key_file"] = 7
	private_key_file|j["private_key_file"] = "/nonexistent/key"
	gateways[0].public_key|j["client"]["gateways"][0]["public_key"] = "short"
	gateways[0].addresses[1]|j["client"]["gateways"][0]["addresses"][1] = "10.77.1.2:99999"
	gateways|j["client"]["gateways"] = []
	paths[0]|j["client"]["paths"][0]["colour"] = "blue"
	paths[1]|j["client"]["paths"][1] = 3
	paths|j["client"]["paths"] = "manual"
	bypass|j["client"]["bypass"] = ["10.0.0.0/33"]
	uperf_timeout_ms|j["transport"] = {"uperf_timeout_ms": -1}
	fastclose|j["transport"] = {"fastclose": "maybe"}
	congestion|j["transport"] = {"congestion": "warp"}
	connections|j["limits"] = {"connections": "many"}
	status|j["status"] = []
	$|del j["client"]
BAD

lab_ok "an honest stream is still whole" fetch
ends_well() { # SIDE: SIGTERM, exit status 0 (with ASan: no leak)
	local pid=lab_pid_$1
	kill -TERM "${!pid}" && wait "${!pid}"
}
lab_ok "the client's tunneld ends well" ends_well c
lab_ok "the gateway's tunneld ends well" ends_well g
lab_ok "no sanitizer had anything to say" no_complaint
lab_end
