#!/bin/bash
# SPDX-License-Identifier: MIT
# Fetches the Debian source packages whose own tests suites_built.sh runs, and builds them, all below one directory outside
# the project. What is there already is left as it is.
#
# usage: suites_build.sh DIRECTORY
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $(basename "$0") DIRECTORY" >&2; exit 2; }
mkdir -p "$1"
cd "$1"

# Lists of source packages in a place of their own: the system's apt is not asked to have any.
lists() {
	[ ! -d apt ] || return 0
	mkdir -p apt.new/lists/partial
	{
		sed -n 's/^deb /deb-src /p' /etc/apt/sources.list 2>/dev/null || true
	} >apt.new/src.list
	sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >apt.new/src.sources 2>/dev/null || true
	cat >apt.new/apt.conf <<-EOF
		Dir::Etc::sourcelist "/dev/null";
		Dir::Etc::sourceparts "$PWD/apt";
		Dir::State::lists "$PWD/apt/lists";
		Dir::Cache::srcpkgcache "";
		Dir::Cache::pkgcache "";
	EOF
	mv apt.new apt
	APT_CONFIG=$PWD/apt/apt.conf apt-get update -qq
}

# Unpacked as the authors left it: Debian's patches are for its packages, and ask for another configure. One directory each.
source_of() { # PACKAGE
	lists
	rm -rf "$1.new"
	mkdir "$1.new"
	(cd "$1.new" && APT_CONFIG=$PWD/../apt/apt.conf apt-get source -qq --download-only "$1" &&
		dpkg-source --skip-patches -x ./*.dsc tree >/dev/null)
}

built() { # PACKAGE COMMAND...: in its tree
	local package=$1 log=$PWD/$1.log
	shift
	[ ! -d "$package" ] || return 0
	echo "suites_build: $package" >&2
	source_of "$package" >"$log" 2>&1 && (cd "$package.new/tree" && "$@") >>"$log" 2>&1 ||
		{ tail -5 "$log" >&2; echo "suites_build: $package does not build, see $log" >&2; return 1; }
	mv "$package.new" "$package"
}

libuv() {
	cmake -S . -B b -DBUILD_TESTING=ON && make -C b -j2 uv_run_tests
}
libevent() {
	cmake -S . -B b -DEVENT__DISABLE_OPENSSL=ON -DEVENT__DISABLE_MBEDTLS=ON -DEVENT__LIBRARY_TYPE=STATIC && make -C b -j2 regress
}
curl() {
	./configure --with-openssl --disable-shared --disable-ldap --without-libpsl --without-zstd --without-brotli \
		--without-nghttp2 --without-libidn2 --disable-manual && make -j2 && make -C tests -j2
}

built libuv1 libuv
built libevent libevent
built curl curl
