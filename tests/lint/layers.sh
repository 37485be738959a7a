#!/bin/sh
# SPDX-License-Identifier: MIT
# The include table of tunneld/README.md, enforced: which folder may use which other folder and which
# system headers, directly or through another header of ours. First it proves itself: every line of
# bad_examples() below must be refused, or the script fails whatever the tree looks like.
#
# shellcheck disable=SC2013,SC2086,SC2116 # words are split on purpose, no name here has a space
# usage: layers.sh [ROOT]      quiet when all is well; last line "layers: N passed, N failed"
set -u
CC=${CC:-gcc}
root=${1:-$(dirname "$0")/../..}

# What the sans-I/O folders may take from the system: no clock, no socket, no entropy, no stdio.
pure='assert.h|inttypes.h|limits.h|stdalign.h|stdbool.h|stddef.h|stdint.h|stdlib.h|string.h|math.h'
# Headers of common that stand for the operating system and so are shut to the same folders.
common_os='common/(sockaddr|local_msg|clock)\.h'

# folder | ours that it may include | system headers that it may include (ERE, whole name), or -PATTERN: all but these
table() {
	cat <<-TABLE
	common        | common/                            | -(ev|sodium.*|jansson|microhttpd|libmnl/.*)\.h
	tunneld/wire  | tunneld/wire/ common/              | $pure
	tunneld/tcp   | tunneld/tcp/ tunneld/wire/ common/ | $pure
	tunneld/mptcp | tunneld/mptcp/ tunneld/tcp/ tunneld/wire/ common/ | $pure|sodium.h|sodium/[a-z0-9_]*.h
	tunneld/seal  | tunneld/seal/ tunneld/wire/datagram.h common/ | -(ev|sys/socket|jansson|microhttpd|libmnl/.*)\.h
	tunneld/fault | tunneld/fault/ common/             | errno.h|$pure
	tunneld/io    | tunneld/io/ common/                | -(sodium.*|jansson)\.h
	tunneld/config | tunneld/config/ tunneld/mptcp/ tunneld/tcp/ tunneld/wire/ tunneld/seal/ common/ | -(ev|microhttpd|libmnl/.*)\.h
	tunneld/paths | tunneld/paths/ tunneld/config/config.h tunneld/io/ tunneld/wire/datagram.h common/ | -(sodium.*|jansson|microhttpd|libmnl/.*)\.h
	tunneld/status | tunneld/ common/                  | -(sodium.*|sys/socket|libmnl/.*)\.h
	tunneld/daemon | tunneld/ common/                  | -(microhttpd|libmnl/.*)\.h
	shim          | shim/ common/                      | -(ev|jansson|microhttpd|libmnl/.*)\.h
	shim/lib      | shim/lib/ common/                  | -(ev|sodium.*|jansson|microhttpd|libmnl/.*|stdio|stdlib|unistd)\.h
	TABLE
}

# Prints one line for each thing that FILE (relative to the current folder) includes and must not.
offences() {
	folder=$1 may=$2 system=$3 file=$4
	deps=$($CC -std=c11 -D_GNU_SOURCE -DPLAIT_VERSION='"0"' -I. -MM -MG -x c "$file" 2>/dev/null |
		sed 's/^[^:]*://; s/\\$//' | tr -s ' ' '\n' | grep -v '^$')
	for dep in $deps; do
		[ "$dep" = "$file" ] && continue
		ok=no
		for prefix in $may; do
			case $dep in
			"$prefix"*) ok=yes ;;
			esac
		done
		case $folder in
		tunneld/wire | tunneld/tcp | tunneld/mptcp)
			echo "$dep" | grep -Eqx "$common_os" && ok=no ;;
		esac
		# A file the compiler made up for -MG (not there) is the build's complaint, not ours.
		[ $ok = yes ] || echo "$file: must not include \"$dep\""
	done
	for dep in $deps; do
		[ -f "$dep" ] || continue
		for header in $(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*<\([^>]*\)>.*/\1/p' "$dep"); do
			case $system in
			-*) echo "$header" | grep -Eqx -e "${system#-}" || continue ;;
			*)  echo "$header" | grep -Eqx -e "$system" && continue ;;
			esac
			[ "$dep" = "$file" ] && via= || via=" (through $dep)"
			echo "$file: must not include <$header>$via"
		done
	done
}

# Folder by folder; sets $files to how many were looked at.
check_tree() {
	files=0
	while IFS='|' read -r folder may system; do
		folder=$(echo $folder) system=$(echo $system)
		for file in "$folder"/*.[ch] "$folder"/*/*.[ch]; do
			[ -f "$file" ] || continue
			files=$((files + 1))
			offences "$folder" "$may" "$system" "$file"
		done
	done <<-TABLE
	$(table)
	TABLE
	echo "files $files"
}

# file: the one line in it that must be refused
bad_examples() {
	cat <<-'BAD'
	common/a.c #include "tunneld/wire/segment.h"
	tunneld/wire/b.c #include "tunneld/tcp/subflow.h"
	tunneld/wire/b2.c #include "common/sockaddr.h"
	tunneld/tcp/c.c #include "tunneld/mptcp/engine.h"
	tunneld/tcp/c2.c #include <time.h>
	tunneld/tcp/c3.c #include <sys/socket.h>
	tunneld/tcp/c4.c #include "tunneld/tcp/hidden.h"
	tunneld/mptcp/d.c #include <ev.h>
	tunneld/mptcp/d2.c #include <stdio.h>
	tunneld/mptcp/d3.c #include "tunneld/seal/seal.h"
	tunneld/seal/e.c #include "tunneld/mptcp/engine.h"
	tunneld/seal/e2.c #include "tunneld/wire/segment.h"
	tunneld/fault/h.c #include "tunneld/mptcp/engine.h"
	tunneld/fault/h2.c #include <time.h>
	tunneld/io/f.c #include "tunneld/seal/seal.h"
	tunneld/io/f2.c #include "tunneld/wire/segment.h"
	tunneld/config/i.c #include "tunneld/io/loop.h"
	tunneld/paths/j.c #include "tunneld/mptcp/engine.h"
	tunneld/paths/j2.c #include "tunneld/daemon/state.h"
	tunneld/status/k.c #include "shim/cmd/run.h"
	tunneld/daemon/l.c #include <microhttpd.h>
	shim/g.c #include "tunneld/io/park.h"
	BAD
}

self_test() {
	dir=$(mktemp -d) || exit 2
	trap 'rm -rf "$dir"' EXIT
	bad_examples | while read -r file line; do
		mkdir -p "$dir/$(dirname "$file")"
		echo "$line" >"$dir/$file"
	done
	echo '#include <stdio.h>' >"$dir/tunneld/tcp/hidden.h" # reached only through another header
	for good in common/ok.c tunneld/wire/ok.c tunneld/tcp/ok.c tunneld/mptcp/ok.c; do
		printf '#include "common/err.h"\n#include <stdint.h>\n' >"$dir/$good"
	done
	: >"$dir/common/err.h"
	(cd "$dir" && check_tree) >"$dir/out"
	missed=$(bad_examples | while read -r file line; do
		grep -q "^$file: must not include" "$dir/out" || echo "layers.sh does not catch: $file: $line"
	done)
	missed=$missed$(sed -n 's/^\(.*ok\.c\): must not.*/layers.sh refuses what is allowed: \1/p' "$dir/out")
	[ -z "$missed" ] || { echo "$missed" >&2; echo "layers: 0 passed, 1 failed"; exit 1; }
}

self_test
cd "$root" || exit 2
out=$(check_tree)
total=$(echo "$out" | sed -n 's/^files //p')
bad=$(echo "$out" | grep ': must not include' | sort -u)
[ -z "$bad" ] || echo "$bad" >&2
failed=$(echo "$bad" | sed -n 's/:.*//p' | sort -u | grep -c .)
echo "layers: $((total - failed + 1)) passed, $failed failed"
[ "$failed" -eq 0 ]
