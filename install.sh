#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2086 # lists of package names are split on purpose
# Installs what plait needs by package name (Debian, Ubuntu), builds it and installs it.
#
# usage: install.sh [--prefix DIR]     dependencies, build, install (default prefix /usr/local)
#        install.sh --uninstall [--prefix DIR]
#        install.sh --deps SET...      only dependencies: build check demo lint bench system apps suites
#
# `make deps`, `make check`, `make demo` call the last form, so that every package is named here and nowhere else.
# Configuration in /etc/plait is made by hand (see README.md) and is never touched.
set -eu

packages() {
	for set in "$@"; do
		case $set in
		build)  echo gcc make libc6-dev libev-dev libsodium-dev libjansson-dev libmicrohttpd-dev libmnl-dev ;;
		check)  packages build lab; echo libcunit1-dev python3-jsonschema git wget ;;
		lab)    echo iproute2 procps util-linux python3 curl ethtool ;;
		demo)   packages build lab ;;
		lint)   packages build; echo clang clang-tidy cppcheck shellcheck libcunit1-dev ;;
		bench)  packages build lab; echo iperf3 mptcpize valgrind ;;
		system) packages check; echo tshark openssh-client openssh-server rsync nodejs redis-server \
				redis-tools postgresql postgresql-client iperf3 wrk nginx-light ;;
		apps)   packages system; echo musl-tools busybox-static golang-go rustc libjemalloc2 libgoogle-perftools4 \
				aria2 lftp telnet ncat socat netcat-openbsd gnutls-bin openssl mosquitto mosquitto-clients \
				mariadb-client mariadb-server memcached libmemcached-tools nats-server haproxy squid subversion \
				mercurial ffmpeg libwww-perl ruby php-cli php-curl lua5.4 lua-socket r-base-core \
				default-jdk-headless w3m lynx links httpie swaks s-nail apache2-utils tmux sshfs chromium \
				firefox-esr ;;
		suites) packages build lab; echo libpython3.11-testsuite cmake dpkg-dev perl libssl-dev zlib1g-dev ;;
		*)      echo "install.sh: no such set of dependencies: $set" >&2; exit 2 ;;
		esac
	done
}

# Used where the system has them, done without where not: faster ciphers (x86-64 only, see tunneld/seal/aead.h).
optional() {
	for set in "$@"; do
		case $set in
		build | check | demo | lint | bench | system) [ "$(uname -m)" != x86_64 ] || echo libipsec-mb-dev ;;
		esac
	done
}

have() {
	dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q ' installed$'
}

deps() {
	wanted=$(packages "$@")
	wanted=$(echo "$wanted" | tr ' ' '\n' | sort -u)
	if ! command -v dpkg-query >/dev/null; then
		command -v cc >/dev/null && printf '#include <%s>\n' ev.h sodium.h jansson.h microhttpd.h libmnl/libmnl.h |
			cc -fsyntax-only -x c - 2>/dev/null && return 0
		echo "install.sh: this is no Debian or Ubuntu; please install what they call:" $wanted >&2
		exit 1
	fi
	missing=
	for package in $wanted; do
		have "$package" || missing="$missing $package"
	done
	extra=
	for package in $(optional "$@" | sort -u); do
		have "$package" || { [ -z "$missing" ] && ! apt-cache show "$package" >/dev/null 2>&1; } || extra="$extra $package"
	done
	[ -n "$missing$extra" ] || return 0
	root=
	if [ "$(id -u)" -ne 0 ]; then
		if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
			root=sudo
		elif [ -z "$missing" ]; then
			return 0
		else
			echo "install.sh: packages are missing and only root can add them. As root:" >&2
			echo "    apt-get install --no-install-recommends$missing" >&2
			exit 1
		fi
	fi
	echo "install.sh: installing$missing$extra" >&2
	log=$(mktemp)
	if [ -n "$missing" ] && ! { $root apt-get update -qq && $root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		echo "install.sh: apt-get failed, see above" >&2
		exit 1
	fi
	for package in $extra; do
		$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" \
			>"$log" 2>&1 || echo "install.sh: no $package here; plait works without it" >&2
	done
	rm -f "$log"
}

prefix=/usr/local
what=install
while [ $# -gt 0 ]; do
	case $1 in
	--deps)      shift; deps "$@"; exit 0 ;;
	--prefix)    prefix=${2:?--prefix needs a directory}; shift ;;
	--prefix=*)  prefix=${1#--prefix=} ;;
	--uninstall) what=uninstall ;;
	-h | --help) sed -n '4,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*)           echo "install.sh: unknown argument $1 (try --help)" >&2; exit 2 ;;
	esac
	shift
done
cd "$(dirname "$0")"
# Only the copying may need root; what is built belongs to the caller.
root=
nearest=$prefix
while [ ! -e "$nearest" ]; do nearest=$(dirname "$nearest"); done
[ -w "$nearest" ] || root=sudo
if [ $what = uninstall ]; then
	$root make -s uninstall PREFIX="$prefix"
	echo "plait is gone from $prefix; /etc/plait, if there is one, is left to you"
	exit 0
fi
deps build
make -s -j"$(nproc)"
$root make -s install PREFIX="$prefix"
echo "plait is installed in $prefix. Next: README.md, \"A first real set-up\""
