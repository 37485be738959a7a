# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # variables of apps.sh
# The far side of apps.sh: what the clients talk to, each on the server's address. A server that is not installed is not
# started, and its clients' rows fail or are skipped with their program.

here() { # COMMAND: is it installed, and wanted?
	[ -z "$short" ] && command -v "$1" >/dev/null
}
serve() { # NAME PORT CMD...: in the background, waits until it listens
	local name=$1 port=$2
	shift 2
	lab_spawn "$name" s "$@"
	lab_until 20 "$name" lab_listens s "$port" || tail -5 "$LAB/$name.log" >&2
}

head -c 2000000 /dev/urandom >www/f
for i in $(seq 30); do head -c $((i * 900)) www/f | base64 >"www/part$i.txt"; done
{
	echo '<html><head><title>many objects</title></head><body><h1>hello</h1>'
	for i in $(seq 30); do echo "<script src=part$i.js></script>"; echo "window.n=(window.n||0)+1" >"www/part$i.js"; done
	echo '<script>document.title="loaded "+window.n;document.body.innerHTML+="<p>loaded "+window.n+"</p>";' >www/many.js
	echo 'document.title="loaded "+window.n;var p=document.createElement("p");p.textContent="loaded "+window.n;' >www/many.js
	echo 'document.body.appendChild(p);' >>www/many.js
	echo '<script src=many.js></script></body></html>'
} >www/many.html
cat >"$LAB/web.py" <<'PY'
import http.server, os, socket, socketserver, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a):
        pass
    def do_PUT(self):
        n = int(self.headers["content-length"])
        data = self.rfile.read(n)
        self.send_response(200)
        self.send_header("content-length", str(len(str(n))))
        self.end_headers()
        self.wfile.write(str(len(data)).encode())
class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = daemon_threads = True
    request_queue_size = 200
os.chdir(sys.argv[1])
Server(("::", 8001), Handler).serve_forever()
PY
git_repositories() {
	git init -q -b main src
	(
		cd src || exit 1
		git config user.name lab && git config user.email lab@localhost
		for i in $(seq 5); do echo "$i" >"file$i" && git add . && git commit -q -m "commit $i"; done
	)
	git clone -q --bare src www/repo.git && git -C www/repo.git update-server-info
	git init -q -b main super
	(
		cd super || exit 1
		git config user.name lab && git config user.email lab@localhost
		for i in $(seq 12); do
			git clone -q --bare ../src "../www/sub$i.git" && git -C "../www/sub$i.git" update-server-info
			git submodule --quiet add "$work/www/sub$i.git" "sub$i"
		done
		sed -i "s#$work/www#http://$SERVER:8001#" .gitmodules
		git add . && git commit -q -m super
	)
	git clone -q --bare super www/super.git && git -C www/super.git update-server-info
}
export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' GIT_CONFIG_KEY_1=protocol.file.allow \
	GIT_CONFIG_VALUE_1=always
git_repositories >"$LAB/git.log" 2>&1
serve web 8001 python3 "$LAB/web.py" "$work/www"
if command -v openssl >/dev/null; then
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out tls.crt -days 2 -subj /CN=$SERVER \
		-addext "subjectAltName=IP:$SERVER" 2>/dev/null
	serve tls 8443 openssl s_server -quiet -key tls.key -cert tls.crt -accept $SERVER:8443 -WWW
fi
if here sshd || { [ -z "$short" ] && [ -x /usr/sbin/sshd ]; }; then
	mkdir -p /run/sshd
	ssh-keygen -q -t ed25519 -N '' -f id && ssh-keygen -q -t ed25519 -N '' -f host
	cat >sshd.conf <<-CONF
	Port 2222
	ListenAddress $SERVER
	HostKey $work/host
	AuthorizedKeysFile $work/id.pub
	StrictModes no
	UsePAM no
	PermitRootLogin prohibit-password
	PidFile none
	Subsystem sftp internal-sftp
	CONF
	echo "[$SERVER]:2222 $(cat host.pub)" >known
	serve sshd 2222 /usr/sbin/sshd -D -e -f "$work/sshd.conf"
fi
if here rsync; then
	printf 'use chroot = no\nuid = 0\ngid = 0\n[www]\npath = %s\n' "$work/www" >rsyncd.conf
	serve rsyncd 8730 rsync --daemon --no-detach --address=$SERVER --port=8730 --config="$work/rsyncd.conf"
fi
if here redis-server; then
	serve redis 6379 redis-server --bind $SERVER --port 6379 --protected-mode no --save '' --dir "$work"
fi
pg=$(echo /usr/lib/postgresql/*/bin)
if [ -z "$short" ] && [ -x "$pg/initdb" ]; then
	mkdir pg && chown postgres pg
	setpriv --reuid=postgres --regid=postgres --clear-groups "$pg/initdb" -D pg -A trust -U postgres >"$LAB/initdb.log" 2>&1
	echo 'host all all 0.0.0.0/0 trust' >>pg/pg_hba.conf
	serve postgres 5432 setpriv --reuid=postgres --regid=postgres --clear-groups "$pg/postgres" -D "$work/pg" \
		-c listen_addresses=$SERVER -c unix_socket_directories='' -c fsync=off
fi
if here mariadbd; then
	mkdir my && chown mysql my
	mariadb-install-db --no-defaults --user=mysql --datadir="$work/my" --auth-root-authentication-method=normal >"$LAB/my.log" 2>&1
	# MariaDB asks names of addresses; there is no resolver here.
	serve mariadb 3306 mariadbd --no-defaults --user=mysql --datadir="$work/my" --bind-address=$SERVER --socket="$work/my.sock" \
		--skip-name-resolve --skip-grant-tables --skip-networking=0
fi
if here memcached; then serve memcached 11211 memcached -u nobody -l $SERVER; fi
if here mosquitto; then
	printf 'listener 1883 %s\nallow_anonymous true\nuser root\n' "$SERVER" >mosquitto.conf
	serve mosquitto 1883 mosquitto -c mosquitto.conf
fi
if here nats-server; then serve nats 4222 nats-server -a $SERVER -p 4222; fi
if here svnserve; then
	svnadmin create svn && svn mkdir -q -m x "file://$work/svn/trunk" && svn import -q -m x src "file://$work/svn/trunk/src"
	serve svnserve 3690 svnserve -d --foreground --listen-host $SERVER -r "$work"
fi
if here hg; then
	hg init hgrepo && (cd hgrepo && echo a >a && hg add -q a && hg commit -q -u lab -m one)
	serve hg 8002 hg -R "$work/hgrepo" serve -a $SERVER -p 8002
fi
if here iperf3; then serve iperf3 5201 iperf3 -s -B $SERVER; fi
if [ -z "$short" ]; then
	serve smtpd 2525 /usr/bin/python3 -W ignore -m smtpd -n -c DebuggingServer $SERVER:2525
	serve echo 7 python3 -c "
import socketserver
class H(socketserver.BaseRequestHandler):
    def handle(self):
        while d := self.request.recv(65536):
            self.request.sendall(d)
class S(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
S(('$SERVER', 7), H).serve_forever()"
fi
mkdir -p www/apt && cp www/part1.txt www/apt/
