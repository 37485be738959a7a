#!/bin/bash
# SPDX-License-Identifier: MIT
# A program that binds its socket to an interface or to an address, or marks it, asks for a path: its stream is carried by that one while
# it works, by the others when it does not.
#
# usage: wishes.sh [--short]
. "$(dirname "$0")/lab.sh"

LAB_MARK='1 2'
lab_up 'rate 100M; delay 5' 'rate 100M; delay 5' || exit 1
lab_spawn httpd s python3 "$LAB_ROOT/tests/system/httpd.py" "$SERVER" 8000
lab_tunnelds && lab_until 10 "the HTTP server" lab_listens s 8000 || { lab_ok "the lab starts" false; lab_end; }
url=http://$SERVER:8000/bytes/3000000
bytes_of() { lab_value c /v1/paths "sum(p['bytes_received'] for p in j['paths'] if p['name'] == 'p$1')"; }
carried_by() { # PATH CMD...: nine tenths of what came, came over it
	local path=$1 other=$((3 - $1)) a b
	shift
	a=$(bytes_of "$path") b=$(bytes_of $other)
	"$@" || return 1
	a=$(($(bytes_of "$path") - a)) b=$(($(bytes_of $other) - b))
	[ -z "${V:-}" ] || echo "        $a bytes by the path wished for, $b by the other"
	[ $a -gt 2700000 ] && [ $b -lt 300000 ]
}
get() { [ "$(lab_shim timeout 30 curl -sS "$@" $url | wc -c)" = 3000000 ]; }
get_marked() { # MARK [ADDRESS]: SO_MARK, and bound to an address
	lab_shim timeout 30 python3 - "$SERVER" "$@" <<-'PYTHON'
	import socket, sys
	SO_MARK = 36
	s = socket.socket()
	s.setsockopt(socket.SOL_SOCKET, SO_MARK, int(sys.argv[2]))
	if len(sys.argv) > 3:
	    s.bind((sys.argv[3], 0))
	s.connect((sys.argv[1], 8000))
	assert s.getsockopt(socket.SOL_SOCKET, SO_MARK) == int(sys.argv[2])
	s.sendall(b"GET /bytes/3000000 HTTP/1.0\r\n\r\n")
	n = 0
	while part := s.recv(65536):
	    n += len(part)
	sys.exit(n < 3000000)
	PYTHON
}
for n in 1 2; do
	lab_ok "SO_MARK of p$n" carried_by $n get_marked $n
	lab_ok "SO_BINDTODEVICE p$n" carried_by $n get --interface if!p$n
	lab_ok "bound to p$n's address" carried_by $n get --interface host!10.77.$n.1
done
lab_ok "a mark goes before an address" carried_by 2 get_marked 2 10.77.1.1
lab_ok "a mark that is no path's: the address counts" carried_by 1 get_marked 7 10.77.1.1
lab_ok "a mark that is no path's: carried by any" get_marked 7
said() { grep -q "$1" "$LAB/tunneld-c.log"; }
lab_ok "and it is said" said 'has SO_MARK 0x7, and no path has that mark: any is taken'
lab_ok "loopback's interface is no wish" get --interface if!lo
ip -n c link add other type veth peer name other2 && ip -n c link set other up
lab_ok "an interface without a path: carried by any" get --interface if!other
lab_ok "and it is said" said 'asks for interface other, and no path is there: any is taken'
refused_with_device() { # a refused connect gives the socket back as it was
	lab_shim python3 -c "
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'p2')
assert s.connect_ex(('$SERVER', 9)) == 111
assert s.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).startswith(b'p2')
s.connect(('$SERVER', 8000))
s.sendall(b'GET /bytes/10 HTTP/1.0\r\n\r\n')
assert b'200' in s.recv(4096)"
}
lab_ok "a refused one keeps its interface" refused_with_device
# What a program asks of its socket, with PLAIT_INFO=tunnel, is what tunneld says of the connection.
info() { # [VARIABLE=VALUE]
	lab_in c env PLAIT_SOCKET="$LAB/c.sock" "$@" "$B"/plait run --preload -- timeout 30 python3 - "$SERVER" "$LAB/c.sock" <<-'PYTHON'
	import json, os, socket, struct, sys
	tunnel = os.environ.get("PLAIT_INFO") == "tunnel"
	s = socket.socket()
	s.connect((sys.argv[1], 8000))
	s.sendall(b"GET /bytes/3000000 HTTP/1.0\r\n\r\n")
	got = 0
	while got < 3000000:
	    got += len(s.recv(1 << 20))
	tcp = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
	rtt, sent, received = struct.unpack_from("=I", tcp, 68)[0], struct.unpack_from("=Q", tcp, 200)[0], struct.unpack_from("=Q", tcp, 128)[0]
	assert tcp[0] == 1 or tcp[0] == 8, tcp[0]
	if not tunnel:
	    assert rtt < 5000, rtt
	    try:
	        s.getsockopt(284, 1, 256)
	    except OSError as e:
	        assert e.errno in (92, 95), e
	        sys.exit(0)
	    sys.exit("MPTCP_INFO of a TCP socket")
	assert 10000 <= rtt < 2000000, rtt
	assert received >= got, received
	m = s.getsockopt(284, 1, 256)
	assert len(m) == 96, len(m)
	flags, token, write_seq, snd_una, rcv_nxt = struct.unpack_from("=IIQQQ", m, 8)
	retrans, m_sent, m_received, m_acked = struct.unpack_from("=QQQQ", m, 48)
	assert flags == 2 and m[0] == m[80] - 1 and m[80] >= 1, (flags, m[0], m[80])
	assert m_received == received and m_sent <= sent and m_acked <= m_sent, (m_received, received, m_sent, sent, m_acked)
	# As much as there is room for, and no more.
	assert s.getsockopt(284, 1, 12)[8:] == m[8:12]
	assert len(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 72)) == 72
	for other in (socket.socket(), socket.socket(socket.AF_UNIX)):
	    try:
	        other.getsockopt(284, 1, 96)
	        sys.exit("MPTCP_INFO of another socket")
	    except OSError:
	        pass
	PYTHON
}
lab_ok "TCP_INFO is the hop's, and MPTCP_INFO there is none" info
lab_ok "with PLAIT_INFO=tunnel both are the tunnel's" info PLAIT_INFO=tunnel
lab_link 2 both down
lab_ok "the path wished for is dead: the other carries it" get --interface if!p2
lab_link 2 both up
lab_end
