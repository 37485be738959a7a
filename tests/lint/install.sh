#!/bin/bash
# SPDX-License-Identifier: MIT
# `make install` and `make uninstall`, into a directory of this run's own: what is there, whether it runs, what stays behind.
#
# usage: install.sh [BUILD]      quiet when all is well; last line "install: N passed, N failed"
set -u
cd "$(dirname "$0")/../.." || exit 2
B=${1:-build}
to=$(mktemp -d) || exit 2
trap 'rm -rf "$to"' EXIT
at=$to/opt/plait
passed=0 failed=0
ok() { # TEXT COMMAND...
	local text=$1
	shift
	if "$@" >"$to/out" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED  $text"
		head -5 "$to/out"
	fi
}
move() { make -s B="$B" SAN="${SAN:-0}" DESTDIR="$to" PREFIX=/opt/plait "$1"; }
in_order() { ! find "$at" -type f -printf '%m %p\n' | grep -vE '^(755 .*/(bin|sbin)/|755 .*\.so$|644 )'; }
every_page() { for page in man/*.[1-8]; do [ -f "$at/share/man/man${page##*.}/${page##*/}" ] || return 1; done; }
every_example() { for file in config/*.json; do [ -f "$at/share/doc/plait/examples/${file##*/}" ] || return 1; done; }
unit_runs_what_is_there() {
	local program
	program=$(sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p' "$at/lib/systemd/system/tunneld.service")
	[ -x "$to$program" ] && ! grep -q @PREFIX@ "$at/lib/systemd/system/tunneld.service"
}
unit_is_understood() {
	# It wants the programs in place: a copy that starts what every system has.
	sed 's,=/opt/plait[^ ]*,=/bin/true,' "$at/lib/systemd/system/tunneld.service" >"$to/tunneld.service"
	systemd-analyze verify --man=no "$to/tunneld.service" 2>&1 | grep tunneld.service >"$to/said"
	! grep . "$to/said"
}
none_left() { ! find "$at" -type f | grep .; }

ok "make install" move install
ok "tunneld runs" "$at/sbin/tunneld" --version
ok "plait runs" "$at/bin/plait" --version
ok "the library is there" test -f "$at/lib/libplait.so"
ok "every manual page" every_page
ok "every example" every_example
ok "modes" in_order
ok "the service starts what was installed" unit_runs_what_is_there
if command -v systemd-analyze >/dev/null; then
	ok "the service is understood" unit_is_understood
fi
ok "make uninstall" move uninstall
ok "nothing stays behind" none_left
echo "install: $passed passed, $failed failed"
[ $failed -eq 0 ]
