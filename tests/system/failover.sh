#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2094,SC2016 # expressions of Python, and what eval expands
# Failover as users meet it, in namespaces: a path that falls silent under a stream and comes back, a connect meanwhile, the
# limits that peers tell each other, a user timeout. What it looks like in figures: make bench-failover.
#	B=build tests/system/failover.sh
# Last line "failover: N passed, N failed".
set -u
# shellcheck source=tests/system/lab.sh
. "$(dirname "$0")/lab.sh"

trickle=$B/tests/bench/trickle
# shellcheck disable=SC2034 # lab.sh's
LAB_BACKUP=2 LAB_COST=2:7 LAB_TRANSPORT='{"uperf_timeout_ms": 300}'
lab_up 'rate 50M; delay 10' 'rate 50M; delay 10' || exit 1
lab_spawn trickle s "$trickle" serve "$SERVER" 7200
lab_until 10 "the server" lab_listens s 7200 || exit 1
lab_tunnelds || exit 1

# One subflow of the only connection, by the number of its link, as s; true if EXPRESSION is.
subflow() { # SIDE LINK EXPRESSION
	lab_status "$1" /v1/connections | python3 -c '
import json, sys
c = json.load(sys.stdin)["connections"]
s = [s for s in c[0]["subflows"] if (s["path"] or "").endswith(sys.argv[1])] if c else []
sys.exit(not (s and (lambda s: eval(sys.argv[2]))(s[0])))' "$2" "$3"
}
of() { python3 -c 'import json, sys; print(int(json.loads(sys.argv[1])[sys.argv[2]]))' "$1" "$2"; }

# --- a stream ---
lab_shim "$trickle" up "$SERVER" 7200 12 >"$LAB/up" &
stream=$!
lab_ok "the backup is joined" lab_until 5 "the backup" subflow c p2 's["mode"] == "backup" and s["state"] == "ESTABLISHED"'
lab_ok "the first link is the primary" subflow c p1 's["mode"] == "primary" and s["uperf_cause"] == "none"'
lab_ok "the limit is the configured one" subflow c p1 's["uperf_timeout_ms"] == 300'
lab_ok "and the gateway was told it" lab_until 5 "the gateway to hear of it" subflow g .0 's["uperf_remote_ms"] == 300'
lab_ok "the score is the sum of its parts" subflow c p1 'abs(s["score"] - sum(s["score_parts"].values())) < 0.1'
lab_ok "the client counts what the backup costs" subflow c p2 's["score_parts"]["cost"] == 7'
lab_ok "and so does the gateway, which was told" lab_until 5 "the gateway to hear of it" subflow g .1 's["score_parts"]["cost"] == 7'
lab_ok "the gateway takes the backup for one" subflow g .1 's["mode"] == "backup"'
valid() { # RESOURCE DEFINITION
	lab_status c "$1" >"$LAB/answer.json" && python3 -W ignore "$LAB_ROOT/tests/lint/schemas.py" --answer "$LAB/answer.json" "status#$2"
}
lab_ok "its answer is as the schema says" valid /v1/connections connections
lab_link 1 both down
lab_ok "a silent link underperforms" lab_until 3 "the mode" subflow c p1 's["mode"] == "underperforming"'
before=$(lab_value c /v1/connections '[s["bytes_sent"] for s in j["connections"][0]["subflows"] if s["path"] == "p2"][0]')
lab_ok "its stream goes on, on the backup" lab_until 3 "bytes on the backup" subflow c p2 "s[\"bytes_sent\"] > $before"

# --- a connect while the first choice is dead, known to be so or not ---
known=$(lab_shim timeout 20 "$trickle" connect "$SERVER" 7200)
lab_ok "a connect passes by a dead path ($known)" [ "$(of "$known" connect_ms)" -lt 2000 ]

# --- it comes back ---
lab_link 1 both up
lab_ok "a link that came back is the primary again" lab_until 8 "the mode" subflow c p1 's["mode"] == "primary"'
before=$(lab_value c /v1/connections '[s["bytes_sent"] for s in j["connections"][0]["subflows"] if s["path"] == "p1"][0]')
lab_ok "and is used" lab_until 5 "bytes on it" subflow c p1 "s[\"bytes_sent\"] > $before"
wait $stream
lab_ok "the stream ended well" [ $? -eq 0 ]
lab_ok "with all its messages" [ "$(of "$(cat "$LAB/up")" messages)" -eq 600 ]
lab_ok "none was a second late ($(cat "$LAB/up"))" [ "$(of "$(cat "$LAB/up")" worst_ms)" -lt 1000 ]

lab_link 1 both down
just=$(lab_shim timeout 20 "$trickle" connect "$SERVER" 7200)
lab_ok "a connect passes by a path that just died ($just)" [ "$(of "$just" connect_ms)" -lt 2000 ]

# --- the application's own patience ---
lab_shim python3 -c '
import socket, sys, time
s = socket.socket()
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1500)
s.connect((sys.argv[1], 7200))
s.sendall(b"u" + bytes(8) + b"x" * 200)
print("ready", flush=True)
sys.stdin.readline()
s.sendall(b"y" * 200)
begin = time.monotonic()
try:
    s.recv(1)
    print("answered")
except OSError as e:
    took = time.monotonic() - begin
    print("ended", e.errno, "early" if took < 1.2 else "late" if took > 8 else "in time")
' "$SERVER" >"$LAB/patience" < <(lab_until 10 "it to be ready" grep -q ready "$LAB/patience"; lab_link 2 both down; echo; sleep 20) &
patience=$!
lab_ok "USER_TIMEOUT is the application's" lab_until 10 "it in the status" eval '[ "$(lab_value c /v1/connections "max([c[\"user_timeout_ms\"] or 0 for c in j[\"connections\"]], default=0)")" = 1500 ]'
lab_ok "USER_TIMEOUT ends its connection, when it is time" lab_until 20 "its end" grep -q 'ended .* in time' "$LAB/patience"
kill $patience 2>/dev/null

# --- connects while tunneld is ending, which a stream that is open puts off ---
lab_link 1 both up
lab_link 2 both up
lab_ok "the links are back" lab_until 10 "both" lab_paths_up 2
lab_shim "$trickle" up "$SERVER" 7200 30 >/dev/null 2>&1 &
lab_ok "a stream is open" lab_until 5 "it" eval '[ "$(lab_value c /v1/status "j[\"shim\"][\"live\"]")" -ge 1 ]'
ip -n g neigh add 10.88.0.77 lladdr 02:00:00:00:00:77 dev sv # nobody, and no answer at all
connect_to() { # HOST NAME: how it ends, in $LAB/NAME, and what is told, in $LAB/NAME.err
	lab_shim timeout 30 python3 -c '
import errno, socket, sys
try:
    socket.create_connection((sys.argv[1], 7200))
    print("connected")
except OSError as e:
    print(errno.errorcode.get(e.errno, e.errno))' "$1" >"$LAB/$2" 2>"$LAB/$2.err"
}
connect_to 10.88.0.77 pending &
pending=$!
lab_ok "a connect is pending" lab_until 5 "it" eval '[ "$(lab_value c /v1/status "j[\"shim\"][\"pending\"]")" = 1 ]'
kill -TERM "$lab_pid_c"
lab_until 5 "it to be told" grep -q ' ending: ' "$LAB/tunneld-c.log"
connect_to "$SERVER" late
lab_ok "a connect then is unreachable, not refused ($(cat "$LAB/late"))" grep -qx ENETUNREACH "$LAB/late"
lab_ok "and stderr says that tunneld is ending ($(cat "$LAB/late.err"))" grep -q 'tunneld is ending' "$LAB/late.err"
wait $pending
lab_ok "the one that was pending likewise ($(cat "$LAB/pending"))" grep -qx ENETUNREACH "$LAB/pending"
lab_ok "and its stderr ($(cat "$LAB/pending.err"))" grep -q 'tunneld is ending' "$LAB/pending.err"
lab_end
