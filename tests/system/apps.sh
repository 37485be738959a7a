#!/bin/bash
# SPDX-License-Identifier: MIT
# Real programs under the shim, each with proof by source address that none of its connections went directly: the client
# has a route of its own to the server, so a bypass would work, and a sniffer beside the server names the source of every
# SYN. A program that is not installed is said to be so, not failed.
#
# usage: apps.sh [--short] [--write] [--only PATTERN]
#	--short   what make check has packages for
#	--write   also writes the table between the markers in tests/system/README.md
#	--only    rows whose program or description matches the extended regular expression
. "$(dirname "$0")/lab.sh"

short='' write='' pattern=.
while [ $# -gt 0 ]; do
	case $1 in
	--short) short=1 ;;
	--write) write=1 ;;
	--only)  pattern=$2; shift ;;
	esac
	shift
done
unset PLAIT_SOCKET PLAIT_BYPASS PLAIT_FALLBACK PLAIT_LOG LD_PRELOAD
work=$LAB/work
mkdir -p "$work/home" "$work/www"
chmod 777 "$work"
home=$HOME
export HOME=$work/home LC_ALL=C.UTF-8
cd "$work" || exit 1
mount -t tmpfs -o mode=1777 tmpfs /dev/shm # squid and browsers leave things there
lab_up veth veth || exit 1
# Programs that change their user (apt, squid, nginx) are served too.
configure() {
	lab_configs && sed -i 's/"client": {/"client": { "socket_any_user": true,/' "$LAB/c.json" && chmod 711 "$LAB"
}
configure && lab_tunneld g && lab_tunneld c && lab_until 10 "2 paths up" lab_paths_up 2 ||
	{ lab_ok "the lab starts" false; lab_end; }
lab_route 1 # the way around plait is open
cat >"$LAB/sniff.py" <<'PY'
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((sys.argv[1], 0))
print("ready", flush=True)
while True:
    p, where = s.recvfrom(65536)
    if where[2] == socket.PACKET_OUTGOING:
        continue
    kind, p = struct.unpack("!H", p[12:14])[0], p[14:]
    if kind == 0x800 and p[9] == 6:
        source, t = socket.inet_ntop(socket.AF_INET, p[12:16]), p[(p[0] & 15) * 4:]
    elif kind == 0x86dd and p[6] == 6:
        source, t = socket.inet_ntop(socket.AF_INET6, p[8:24]), p[40:]
    else:
        continue
    if t[13] & 0x12 == 2:
        print("SYN from", source, "to", struct.unpack("!H", t[2:4])[0], flush=True)
PY
lab_spawn sniff s python3 "$LAB/sniff.py" gw
lab_until 5 "the sniffer" grep -q ready "$LAB/sniff.log"

# The client under the library alone, and under all that plait run has.
lib() { PLAIT_SOCKET=$LAB/c.sock lab_in c timeout 60 "$B"/plait run --preload -- "$@"; }
run() { PLAIT_SOCKET=$LAB/c.sock lab_in c timeout 60 "$B"/plait run -- "$@"; }
export -f lib run lab_in

table=() passed_programs=' '
sources() { tail -n +"$1" "$LAB/sniff.log" | sed -n 's/SYN from \([^ ]*\) .*/\1/p' | sort -u | tr '\n' ' '; }

# try PROGRAM WAY WHAT FUNCTION: one row. Every SYN that the server saw meanwhile must come from the gateway, and one did.
try() {
	local program=$1 way=$2 what=$3 call=$4 verdict seen from version bad=''
	grep -qE "$pattern" <<<"$program $what" || return 0
	if ! command -v "$program" >/dev/null; then
		[ -n "$short" ] || table+=("| $program | $what | $way | not installed |")
		return 0
	fi
	seen=$(($(wc -l <"$LAB/sniff.log") + 1))
	(set -o pipefail; "$call") >"$LAB/try.log" 2>&1 </dev/null || bad="**does not work**"
	lab_until 2 "a SYN of $program" grep_from "$seen" || bad=${bad:-"**no connection was seen**"}
	from=$(sources "$seen")
	# shellcheck disable=SC2086 # addresses
	for a in $from; do
		[ "$a" = $GATEWAY ] || [ "$a" = fd88::1 ] || bad="**bypassed** (from $a)"
	done
	if [ -z "$bad" ]; then
		verdict=works
		lab_passed=$((lab_passed + 1))
		[[ $passed_programs == *" $program "* ]] || passed_programs+="$program "
	else
		verdict=$bad
		lab_failed=$((lab_failed + 1))
		echo "FAILED  $program: $what: $bad" >&2
		tail -12 "$LAB/try.log" | sed 's/^/        /' >&2
	fi
	[ -z "${V:-}" ] || echo "$verdict  $program: $what"
	version=$(version_of "$program")
	table+=("| $program ${version:-} | $what | $way | $verdict |")
}
grep_from() { tail -n +"$1" "$LAB/sniff.log" | grep -q "SYN from"; }
version_of() {
	local package
	package=$(dpkg -S "$(readlink -f "$(command -v "$1")")" 2>/dev/null | head -1 | cut -d: -f1)
	if [ -n "$package" ] && [[ $package != *-common ]]; then
		dpkg-query -W -f '${Version}' "$package" 2>/dev/null | sed 's/^[0-9]*://; s/[-+].*//'
	else
		"$1" --version 2>&1 </dev/null | grep -Eom1 '[0-9]+(\.[0-9]+)+[a-z0-9]*' | head -1
	fi
}

. "$LAB_ROOT/tests/system/apps_servers.sh"
. "$LAB_ROOT/tests/system/apps_clients.sh"

lab_ok "no connection left at the client" lab_until 25 "no connection at c" lab_quiet c
lab_ok "no connection left at the gateway" lab_until 25 "no connection at g" lab_quiet g
if [ -n "$write" ]; then
	{
		echo "$(wc -w <<<"$passed_programs") programs, ${#table[@]} rows."
		printf '\n%s\n' '| program | what | by | result |' '|---|---|---|---|' | sed '/^$/{2,$d}'
		printf '%s\n' "${table[@]}"
	} | lab_write apps
fi
lab_end
