#!/bin/bash
# SPDX-License-Identifier: MIT
# The test suites of others, natively and under the shim with loopback included (PLAIT_BYPASS=none): every test must have
# the same result, or stand in the list of differences below with its reason. CPython's, where libpythonX.Y-testsuite (or
# another build with its tests) is installed. parkd dials, so that loopback is where the tests mean it to be.
#
# usage: suites.sh [--write] [MODULE...]     --write: the rows of these modules in tests/system/README.md
. "$(dirname "$0")/lab.sh"

write=''
if [ "${1:-}" = --write ]; then
	write=1
	shift
fi
modules=("$@")
[ ${#modules[@]} -gt 0 ] || modules=(test_socket test_asyncio test_urllib2_localnet test_ftplib test_smtplib test_ssl test_httplib
	test_httpservers test_socketserver test_xmlrpc test_poplib test_imaplib test_telnetlib test_urllib2net test_wsgiref
	test_selectors test_select test_poll test_epoll)
python=''
for p in /usr/bin/python3 python3; do
	"$p" -c 'import test.test_socket' 2>/dev/null && { python=$p; break; }
done
[ -n "$python" ] || lab_skip "no Python with its tests here: apt-get install libpython3-testsuite or libpython3.X-testsuite"
unset PLAIT_SOCKET PLAIT_BYPASS PLAIT_FALLBACK PLAIT_LOG LD_PRELOAD

# Known to differ, "MODULE TEST", and why. A server of these tests sees whoever dials for plait, not the client's own port.
known=(
	# Urgent data is data (docs/decisions.md).
	'test_ftplib .*oob.*' 'test_asyncio .*[uU]rg.*'
	# They want the peer's address to be the client's own: of a stream that is carried it is the exit's.
	'test_asyncio test_sock_accept .*' 'test_ssl test_server_accept .*'
	# A peer that closes after so many bytes: more of them are on their way than over a single loopback hop.
	'test_asyncio test_sendfile_close_peer_in_the_middle_of_receiving .*'
	# What was sent before the peer's RST is read, where on one hop the RST has taken it away.
	'test_ssl test_preauth_data_to_tls_server .*'
	# It takes the far end's accept() for the near end's connect() being done; here the far one is first.
	'test_socket testClose .*'
	# They count on a non-blocking connect to loopback being done when it returns, or on 10 ms.
	'test_epoll test_(control_and_wait|fromfd|unregister_closed) .*'
)

ip netns add c || lab_skip "ip netns add failed"
ip -n c link set lo up
sock=$LAB/park.sock
lab_spawn parkd c "$B"/tests/system/parkd "$sock"
lab_until 5 parkd grep -q ready "$LAB/parkd.log"
mkdir "$LAB/tmp"
chmod 1777 "$LAB/tmp"
cd "$LAB/tmp" || exit 1
# Results as "NAME ... ok": the verbose form of unittest, whatever stands between. Failed tests are run again: the last
# result counts.
results() {
	grep -aoE '^[a-zA-Z_0-9]+ \([a-zA-Z_0-9.]+\)|\.\.\. (ok|ERROR|FAIL|skipped|expected failure|unexpected success)' |
		awk '/^\.\.\. /{ if (name != "") last[name] = $2; name = ""; next } { name = $1 " " $2 }
		     END { for (n in last) print n, last[n] }' | sort
}
suite() { # FILE MODULE [VARIABLE=VALUE...]
	local file=$1 module=$2
	shift 2
	lab_in c env "$@" TMPDIR="$LAB/tmp" timeout 280 "$python" -m test -v -u network,-urlfetch --timeout 120 "$module" 2>&1 |
		tee "$file.log" | results >"$file"
}
explained() { # MODULE TEST
	local k
	for k in "${known[@]}"; do
		[[ "$1 $2" =~ ^${k}$ ]] && return 0
	done
	return 1
}
table=()
for module in "${modules[@]}"; do
	suite "$LAB/$module.native" "$module"
	suite "$LAB/$module.shim" "$module" PLAIT_SOCKET="$sock" PLAIT_BYPASS=none LD_PRELOAD="$B"/libplait.so
	count=$(wc -l <"$LAB/$module.native")
	[ "$count" -gt 0 ] || { table+=("| $module | not here | | |"); continue; }
	differ=0 explained=0
	while read -r name class rest; do
		# A test that fails natively too, or the other way round at random, is not ours to explain: only what became worse.
		if explained "$module" "$name $class"; then
			explained=$((explained + 1))
		else
			differ=$((differ + 1))
			echo "        $module: $name $class: $rest" >&2
		fi
	done < <(diff "$LAB/$module.native" "$LAB/$module.shim" | sed -n 's/^> //p' | grep -E ' (FAIL|ERROR|unexpected)')
	lab_ok "$module: $count tests, the same results" [ "$differ" -eq 0 ]
	table+=("| $module | $count | $(grep -c ' ok$' "$LAB/$module.native") | $(grep -c ' ok$' "$LAB/$module.shim") | $differ | $explained |")
	[ -z "${KEEP:-}" ] || cp "$LAB/$module".*.log "$LAB/$module".native "$LAB/$module".shim "$KEEP"/
done
kill -USR1 "$lab_pid"
lab_until 5 "parkd's statistics" grep -q asked "$LAB/parkd.log"
lab_ok "they did go through: $(grep -o '"asked":[0-9]*,"completed":[0-9]*' "$LAB/parkd.log" | tail -1)" \
	grep -qE '"completed":[0-9]{2,}' "$LAB/parkd.log"
if [ -n "$write" ]; then
	# Suites that did not run now keep the row they have.
	while IFS= read -r row; do
		name=$(cut -d' ' -f2 <<<"$row")
		[[ " ${modules[*]} " == *" $name "* ]] || table+=("$row")
	done < <(sed -n '/suites:begin/,/suites:end/p' "$LAB_ROOT/tests/system/README.md" | grep '^| test_')
	printf '%s\n' '| suite | tests | ok natively | ok under the shim | worse | explained |' '|---|---|---|---|---|---|' "${table[@]}" | lab_write suites
fi
lab_end
