#!/bin/bash
# SPDX-License-Identifier: MIT
# `make interop`: the kernel's own MPTCP opposite tunneld's plain mode, see README.md here.
#
# usage: interop.sh [--short | --write] [CASE...]     --short: what `make check` has time for; --write: the README's table
# shellcheck source=tests/system/lab.sh
. "$(dirname "$0")/../system/lab.sh"

[ -e /proc/sys/net/mptcp/enabled ] || lab_skip "this kernel has no MPTCP"
[ -x "$B"/tests/interop/tcpudp ] || lab_skip "no $B/tests/interop/tcpudp: run make lab"
[ -c /dev/net/tun ] || lab_skip "no /dev/net/tun"
ip mptcp limits show >/dev/null 2>&1 || lab_skip "this ip(8) has no mptcp, or the kernel refuses it here"
for ns in k p; do
	ip netns add $ns || lab_skip "ip netns add failed"
	ip -n $ns link set lo up
done
/usr/bin/python3 "$LAB_ROOT/tests/interop/interop.py" "$@" &
wait $!
exit $?
