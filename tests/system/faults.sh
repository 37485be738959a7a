#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2119 # expressions of Python, and what eval expands
# Faults as facts, in namespaces: a router that reports what it cannot reach to 14 of 20 clients, somebody who lies about a
# path that works, and interfaces whose addresses change under a transfer.
#
#	clients c 10.1.0.x --- router r1 --- 10.91.0.2 \		(the last ones have two of 10.5.0.x)
#	          10.2.0.x and 10.5.0.x --- router r2 --- 10.92.0.2  gateway g --- server s
#	client  m 10.3.0.2 --- router r1, 10.4.0.2 --- router r2: its addresses change
#
#	B=build tests/system/faults.sh [--short]      --short: 10 clients, 7 of them concerned; all interfaces are away for 3 s, else 30
# Last line "faults: N passed, N failed".
set -u
# shellcheck source=tests/system/lab.sh
. "$(dirname "$0")/lab.sh"

away=30 clients=20 concerned=14
[ "${1:-}" != --short ] || away=3 clients=10 concerned=7
here=$LAB_ROOT/tests/system
SCHEMAS=("$LAB_ROOT/tests/lint/schemas.py")

lab_up || exit 1
for ns in r1 r2 m; do
	ip netns add $ns
	ip -n $ns link set lo up
	lab_in $ns sysctl -qw net.ipv4.ip_forward=1
done
wire() { # NS DEV ADDRESS/LEN NS DEV ADDRESS/LEN
	ip link add name "$2" netns "$1" type veth peer name "$5" netns "$4"
	ip -n "$1" addr add "$3" dev "$2"
	ip -n "$4" addr add "$6" dev "$5"
	ip -n "$1" link set "$2" up
	ip -n "$4" link set "$5" up
}
wire c ca 10.1.0.2/24 r1 c0 10.1.0.1/24
wire c cb 10.2.0.2/24 r2 c0 10.2.0.1/24
wire c cc 10.5.0.2/24 r2 c1 10.5.0.1/24
wire m x 10.3.0.2/24 r1 m0 10.3.0.1/24
wire m y 10.4.0.2/24 r2 m0 10.4.0.1/24
wire g g1 10.91.0.2/24 r1 g0 10.91.0.1/24
wire g g2 10.92.0.2/24 r2 g0 10.92.0.1/24
ip -n c route add 10.91.0.0/24 via 10.1.0.1
ip -n c route add 10.92.0.0/24 via 10.2.0.1
ip -n c route add 10.92.0.0/24 via 10.5.0.1 metric 200
ip -n m route add 10.91.0.0/24 via 10.3.0.1
ip -n m route add 10.92.0.0/24 via 10.4.0.1
for net in 1 3; do ip -n g route add 10.$net.0.0/24 via 10.91.0.1; done
for net in 2 4 5; do ip -n g route add 10.$net.0.0/24 via 10.92.0.1; done

# --- daemons: clients in c by address, one in m by interface; a gateway of two workers, and one of the clients, too ---
g_public=$(lab_key g)
list=''
client_config() { # NAME PATHS [WORKERS]
	local public
	public=$(lab_key "$1")
	list+="{\"name\": \"$1\", \"public_key\": \"$public\"}, "
	cat >"$LAB/$1.json" <<-JSON
		{ "private_key_file": "$LAB/$1.key",
		  "client": { "socket": "$LAB/$1.sock", "workers": ${3:-1}, "paths": [ $2 ],
		              "gateways": [ {"name": "gate", "public_key": "$g_public",
		                             "addresses": ["10.91.0.2:4500", "10.92.0.2:4500"]} ] },
		  "status": { "socket": "$LAB/$1.status" } }
	JSON
}
for ((i = 0; i < clients; i++)); do
	one=10.1.0.$((11 + i)) two=10.2.0.$((11 + i))
	if [ $i -lt $concerned ]; then
		ip -n c addr add $one/24 dev ca
		ip -n c addr add $two/24 dev cb
	else
		one=10.5.0.$((11 + i)) two=10.5.0.$((51 + i))
		ip -n c addr add $one/24 dev cc
		ip -n c addr add $two/24 dev cc
	fi
	client_config c$i "{\"name\": \"one\", \"address\": \"$one\"}, {\"name\": \"two\", \"address\": \"$two\"}" $((1 + (i == 1)))
done
client_config m '{"name": "x", "interface": "x"}, {"name": "y", "interface": "y"}'
cat >"$LAB/g.json" <<-JSON
	{ "private_key_file": "$LAB/g.key",
	  "gateway": { "listen": ["0.0.0.0:4500"], "workers": 2, "clients": [ ${list%, } ] },
	  "status": { "socket": "$LAB/g.status" } }
JSON
lab_tunneld g || exit 1
lab_tunneld m || exit 1
for ((i = 0; i < clients; i++)); do
	lab_spawn tunneld-c$i c "$B/tunneld" -c "$LAB/c$i.json"
done
lab_spawn echo s "$here/faults.py" echo $SERVER 7000
head -c 12000000 /dev/urandom >"$LAB/file"
lab_spawn http s python3 -m http.server --bind $SERVER --directory "$LAB" 8000
lab_until 10 "the servers" eval 'lab_listens s 7000 && lab_listens s 8000' || exit 1

# A Python expression over a status answer, bound to j, is true; F, G: its faults, its groups.
holds() { # SIDE RESOURCE EXPRESSION
	lab_status "$1" "$2" | python3 -c '
import json, sys
j = json.load(sys.stdin)
F, G = j.get("faults", []), j.get("groups", [])
sys.exit(not eval("(" + sys.argv[1] + ")"))' "$3" 2>/dev/null
}
soon() { # SECONDS SIDE RESOURCE EXPRESSION
	lab_until "$1" "$2 $3: $4" holds "$2" "$3" "$4"
}
events() { # SIDE: what it tells from now on, in $LAB/SIDE.events
	curl -sN --unix-socket "$LAB/$1.status" http://tunneld/v1/events >"$LAB/$1.events" 2>/dev/null &
	lab_pids+=($!)
	lab_until 5 "events of $1" grep -q listening "$LAB/$1.events"
}
# How many events are such: a Python expression over one event, e.
told() { # SIDE EXPRESSION
	python3 -c '
import json, sys
class Event(dict):
	__missing__ = lambda self, key: None
all = (Event(json.loads(line)) for line in open(sys.argv[1]) if line.strip())
print(sum(bool(eval(sys.argv[2], {"e": e})) for e in all))' "$LAB/$1.events" "$2"
}
obeys() { # SIDE RESOURCE DEFINITION
	lab_status "$1" "$2" >"$LAB/answer.json" && python3 -W ignore "${SCHEMAS[@]}" --answer "$LAB/answer.json" "status#$3"
}
events_obey() { # SIDE
	# The last line may be half a line.
	sed -n '$!p' "$LAB/$1.events" >"$LAB/lines.json"
	python3 -W ignore "${SCHEMAS[@]}" --lines "$LAB/lines.json" status#event
}
count_of() { lab_value "$1" /v1/status "j[\"counters\"].get(\"$2\", 0)"; }

# --- a connection of each, with two subflows ---
lab_until 20 "the paths" holds g /v1/paths "sum(p['state'] == 'up' for p in j['paths']) == $((2 * clients + 4))" || exit 1
events c0
events g
for ((i = 0; i < clients; i++)); do
	PLAIT_SOCKET=$LAB/c$i.sock lab_spawn talk$i c "$B/plait" run -- "$here/faults.py" talk $SERVER 7000 "$LAB/talk$i"
done
all_joined() {
	holds g /v1/connections "len(j['connections']) == $clients and
		all(sum(s['state'] == 'ESTABLISHED' for s in c['subflows']) == 2 for c in j['connections'])"
}
lab_ok "every connection has two subflows" lab_until 10 "joins" all_joined
token=$(lab_value c0 /v1/connections 'j["connections"][0]["token"]')
lab_ok "/v1/connections/TOKEN is that connection" holds c0 "/v1/connections/$token" "j['token'] == '$token' and len(j['subflows']) == 2"
lab_ok "and obeys its schema" obeys c0 "/v1/connections/$token" connection
lab_ok "the events told of both subflows" lab_until 5 "subflow_up twice" \
	eval '[ "$(told c0 "e[\"event\"] == \"subflow_up\" and e[\"token\"] == \"$token\"")" -eq 2 ]'
lab_ok "no router has reported anything yet" holds g /v1/faults 'not any(g["router"] for g in G)'

# --- a router that lost its way to the gateway says so ---
ip -n r1 route add unreachable 10.91.0.2/32
lab_ok "a client knows cause and router" soon 10 c0 /v1/faults \
	'any(f["source"] == "icmp" and f["cause"] == 0x0b and f["middlebox"] == "10.1.0.1" and f["path"] == "one" for f in F)'
lab_ok "it checked that the router quotes its own datagram" holds c0 /v1/faults \
	'any("quotes a datagram of ours" in f["evidence"] for f in F)'
lab_ok "it announced it" soon 10 c0 /v1/faults 'any(f["source"] == "icmp" and f["announced"] in ("sent", "arrived") for f in F)'
lab_ok "with data to ride on, it knows that it arrived" soon 10 c0 /v1/faults \
	'any(f["source"] == "icmp" and f["announced"] == "arrived" for f in F)'
lab_ok "the gateway heard it, with the router" soon 10 g /v1/faults \
	'any(f["source"] == "announced" and f["cause"] == 0x0b and f["middlebox"] == "10.1.0.1" and f["peer"] == "c0" for f in F)'
lab_ok "and knows which path it is about" holds g /v1/faults \
	'any(f["source"] == "announced" and f["peer"] == "c0" and f["path"] == "c0.0" and f["remote"].startswith("10.1.0.11:") for f in F)'
# m, the last of those connected, stands behind the same router, and has no connection to announce anything by.
# What a busy machine lost is announced again after 30 s.
lab_ok "the gateway sees one fault for $concerned of $((clients + 1)) clients" soon 35 g /v1/faults \
	"[(g['by'], g['cause_text'], g['clients'], g['clients_connected']) for g in G if g['router'] == '10.1.0.1' and g['current']]
	 == [('router', 'host unreachable', $concerned, $((clients + 1)))]"
lab_ok "and names them" soon 2 g /v1/faults \
	"[set(g['names']) for g in G if g['router'] == '10.1.0.1'] == [{'c%d' % i for i in range($concerned)}]"
lab_ok "/v1/faults of the gateway obeys its schema" obeys g /v1/faults faults
lab_ok "/v1/faults of a client obeys its schema" obeys c0 /v1/faults faults
before=$(cat "$LAB"/talk*[0-9] | paste -sd+ | bc 2>/dev/null || cat "$LAB"/talk*[0-9] | awk '{s += $1} END {print s}')
more_talk() { [ "$(cat "$LAB"/talk*[0-9] | awk '{s += $1} END {print s}')" -ge $((before + 5 * clients)) ]; }
lab_ok "the streams go on" lab_until 5 "more answers" more_talk
lab_ok "plait status names the router" eval 'lab_in c "$B/plait" status --socket "$LAB/g.status" | grep -q "10.1.0.1.*host unreachable"'

ip -n r1 route del unreachable 10.91.0.2/32
lab_ok "it is over when the way is back: the client" soon 15 c0 /v1/faults 'F and not any(f["current"] for f in F)'
lab_ok "and the gateway" soon 15 g /v1/faults 'G and not any(g["current"] for g in G)'
lab_ok "events: path, mode, fault, and back" eval '[ "$(told c0 "e[\"event\"] == \"path_suspect\" and e[\"path\"] == \"one\"")" -ge 1 ] &&
	[ "$(told c0 "e[\"event\"] == \"subflow_mode\" and e[\"mode\"] == \"underperforming\"")" -ge 1 ] &&
	[ "$(told c0 "e[\"event\"] == \"fault\" and e[\"fault\"][\"middlebox\"] == \"10.1.0.1\"")" -ge 1 ] &&
	[ "$(told c0 "e[\"event\"] == \"path_up\" and e[\"path\"] == \"one\"")" -ge 1 ]'

# --- somebody lies about a path that works ---
lab_ok "both paths are up again" soon 10 c0 /v1/paths 'all(p["state"] == "up" for p in j["paths"])'
suspected() { told c0 'e["event"] == "path_suspect" and e["path"] == "two"'; }
before=$(suspected)
lab_in r2 "$here/faults.py" forge c0 10.2.0.11 10.92.0.2 4500 10.2.0.1 20 wrong
lab_ok "what quotes nothing of ours is not believed" [ "$(count_of c0 IcmpForged)" -ge 10 ]
lab_ok "and changes nothing" [ "$(suspected)" -eq "$before" ]
lab_in r2 "$here/faults.py" forge c0 10.2.0.11 10.92.0.2 4500 10.2.0.1 60 right
lab_ok "what quotes a true datagram is checked by a probe" [ "$(suspected)" -gt "$before" ]
lab_ok "and then not believed for a while" [ "$(count_of c0 IcmpHeldDown)" -ge 20 -a "$(suspected)" -le $((before + 3)) ]
lab_ok "the path is up" soon 2 c0 /v1/paths 'all(p["state"] == "up" for p in j["paths"])'
doubt_is_short() { # each path_suspect of the lie was over within 150 ms (an answer on this path takes about one)
	python3 - "$LAB/c0.events" "$1" <<-'PYTHON'
		import json, sys
		from datetime import datetime
		when = lambda e: datetime.fromisoformat(e["time"].replace("Z", "+00:00")).timestamp()
		events = [json.loads(line) for line in open(sys.argv[1]) if line.strip()]
		mine = [e for e in events if e["event"] in ("path_suspect", "path_up") and e["path"] == "two"]
		lies = [i for i, e in enumerate(mine) if e["event"] == "path_suspect"][int(sys.argv[2]):]
		took = [when(mine[i + 1]) - when(mine[i]) for i in lies]
		sys.exit(not took or max(took) > 0.15)
	PYTHON
}
lab_ok "never in doubt for longer than a probe takes" doubt_is_short "$before"
lab_ok "no subflow was lost by it" [ "$(told c0 'e["event"] == "subflow_down"')" -eq 0 ]
lab_ok "no stream ever broke" eval '[ -z "$(cat "$LAB"/talk*.log)" ]'
lab_ok "events of a client obey their schema" events_obey c0
lab_ok "events of the gateway obey their schema" events_obey g
for ((i = 0; i < clients; i++)); do kill "$(lab_in c pgrep -f "talk $SERVER 7000 $LAB/talk$i\$" | head -1)" 2>/dev/null; done

# --- addresses change under a transfer ---
lab_ok "the moving client has two paths" soon 10 m /v1/paths 'sum(p["state"] == "up" for p in j["paths"]) == 2'
events m
PLAIT_SOCKET=$LAB/m.sock lab_in m "$B/plait" run -- curl -s --limit-rate 2500k --max-time 120 -o "$LAB/got" \
	http://$SERVER:8000/file &
curl=$!
got() { [ "$(stat -c %s "$LAB/got" 2>/dev/null || echo 0)" -ge "$1" ]; }
lab_ok "a transfer runs" lab_until 10 "the first bytes" got 1000000
ip -n m addr del 10.3.0.2/24 dev x
ip -n m addr add 10.3.0.77/24 dev x
ip -n m route add 10.91.0.0/24 via 10.3.0.1
lab_ok "the path has the new address" soon 10 m /v1/paths \
	'any(p["name"] == "x" and p["state"] == "up" and p["local"].startswith("10.3.0.77:") for p in j["paths"])'
lab_ok "and so has it at the gateway" soon 10 g /v1/paths 'any(p["remote"].startswith("10.3.0.77:") for p in j["paths"])'
ip -n m link set x down
ip -n m link set y down
lab_ok "all interfaces are down: no path is left" soon 5 m /v1/paths 'not j["paths"]'
lab_ok "the faults say link" holds m /v1/faults 'sum(f["source"] == "link" and f["current"] for f in F) == 2'
lab_ok "the connection waits" holds m /v1/connections 'len(j["connections"]) == 1'
sleep $away
ip -n m addr flush dev y
ip -n m addr add 10.4.0.99/24 dev y
ip -n m link set y up
ip -n m route add 10.92.0.0/24 via 10.4.0.1
lab_ok "one comes back with another address" soon 10 m /v1/paths \
	'any(p["name"] == "y" and p["state"] == "up" and p["local"].startswith("10.4.0.99:") for p in j["paths"])'
wait $curl
lab_ok "the transfer never noticed" [ $? -eq 0 ]
lab_ok "and every byte is right" [ "$(sha256sum <"$LAB/got")" = "$(sha256sum <"$LAB/file")" ]
lab_ok "the link's fault is over" soon 5 m /v1/faults 'any(f["source"] == "link" and f["path"] == "y" and not f["current"] for f in F)'
lab_ok "events told of the addresses" [ "$(told m 'e["event"] == "addresses"')" -ge 2 ]
lab_ok "and of the paths that went" [ "$(told m 'e["event"] == "path_gone"')" -ge 2 ]
lab_ok "they obey their schema" events_obey m

if [ $lab_failed -ne 0 ]; then
	grep -v listening "$LAB"/tunneld-{g,c0,m}.log | tail -40 >&2
fi
lab_end
