#!/bin/bash
# SPDX-License-Identifier: MIT
# Real programs, unmodified, under `plait run`, over two paths, contents checked. The client has no route to the
# server but plait, so what works did go through it. A program that is not installed is said to be so, not failed.
#
# usage: programs.sh [--short] [--write]
#	--short   the quick ones that need no server of their own
#	--write   also writes the table between the markers in tests/system/README.md
# shellcheck disable=SC2086 # no address here has a space
. "$(dirname "$0")/lab.sh"

short='' write=''
for arg in "$@"; do
	case $arg in
	--short) short=1 ;;
	--write) write=1 ;;
	esac
done
work=$LAB/work
mkdir -p "$work"
chmod 777 "$work"
cd "$work" || exit 1
lab_up 'rate 200M; delay 5; queue 40ms' 'rate 100M; delay 15; queue 60ms' || exit 1
lab_spawn httpd s python3 "$LAB_ROOT/tests/system/httpd.py" "$SERVER" 8000
lab_spawn httpd6 s python3 "$LAB_ROOT/tests/system/httpd.py" "$SERVER6" 8000
lab_tunnelds && lab_until 10 "the HTTP servers" lab_listens s 8000 $SERVER && lab_until 10 "the HTTP servers" lab_listens s 8000 $SERVER6 || { lab_ok "the lab starts" false; lab_end; }

url=http://$SERVER:8000
declare -A sha
sum_of() { # sets $sum
	[ -n "${sha[$1]:-}" ] || sha[$1]=$(python3 "$LAB_ROOT/tests/system/httpd.py" --sha256 "$1")
	sum=${sha[$1]}
}
is() { # stdin has the SHA-256 of /bytes/$1
	sum_of "$1"
	[ "$(sha256sum | cut -d' ' -f1)" = "$sum" ]
}
table=()

# try PROGRAM WHAT FUNCTION: one row of the table. FUNCTION runs with its output in $LAB/try.log.
try() {
	local program=$1 what=$2 run=$3 start=${EPOCHREALTIME/./} ms verdict version
	if ! command -v "${program%% *}" >/dev/null; then
		table+=("| $program | $what | not installed | |")
		return
	fi
	if (set -o pipefail; $run) >"$LAB/try.log" 2>&1 </dev/null; then
		verdict=works
		lab_passed=$((lab_passed + 1))
	else
		verdict="**does not work**"
		lab_failed=$((lab_failed + 1))
		echo "FAILED  $program: $what" >&2
		tail -15 "$LAB/try.log" | sed 's/^/        /' >&2
	fi
	ms=$(((${EPOCHREALTIME/./} - start) / 1000))
	[ -z "${V:-}" ] || echo "$verdict  $program: $what ($ms ms)"
	version=$({ "${program%% *}" --version || "${program%% *}" -V; } 2>&1 | grep -Eom1 '[0-9]+(\.[0-9]+)+[a-z0-9]*' | head -1)
	table+=("| $program ${version:-} | $what | $verdict | $ms |")
}

run() { lab_shim timeout 60 "$@"; }

curl_one() { run curl -sS $url/bytes/20000000 | is 20000000; }
curl_six() { run curl -sS -g "http://[$SERVER6]:8000/bytes/3000000" | is 3000000; }
curl_put() {
	sum_of 5000000
	python3 "$LAB_ROOT/tests/system/httpd.py" --bytes 5000000 >up && run curl -sS -T up $url/up | grep -q "$sum"
}
curl_many() {
	rm -f many.*
	run curl -sS -Z --parallel-max 40 "$url/bytes/400000?n=[1-40]" -o 'many.#1' || return 1
	[ "$(cat many.* | wc -c)" = 16000000 ] || return 1
	for f in many.*; do is 400000 <"$f" || return 1; done
}
curl_refused() { ! run curl -sv http://$SERVER:9/ >out 2>&1 && grep -qi refused out; }
wget_one() { run wget -q -O - $url/bytes/5000000 | is 5000000; }
python_urllib() { run python3 -c "
import urllib.request, sys
sys.stdout.buffer.write(urllib.request.urlopen('$url/bytes/5000000').read())" | is 5000000; }
python_asyncio() { run python3 "$LAB_ROOT/tests/system/streams.py" load "$SERVER" 8100 40 3; }
node_fetch() { run node -e "
fetch('$url/bytes/5000000').then(r => r.arrayBuffer()).then(b => process.stdout.write(Buffer.from(b)))" | is 5000000; }

lab_spawn streams s python3 "$LAB_ROOT/tests/system/streams.py" server "$SERVER" 8100
lab_until 10 "the stream server" lab_listens s 8100
try curl "GET 20 MB" curl_one
try curl "GET over IPv6" curl_six
try curl "PUT 5 MB" curl_put
try curl "40 parallel transfers" curl_many
try curl "a refused port is said to be refused" curl_refused
try python3 "urllib" python_urllib
try python3 "asyncio, 40 streams both ways" python_asyncio
try wget "GET 5 MB" wget_one
try node "fetch" node_fetch

git_http() {
	rm -rf clone.http
	run git clone -q http://$SERVER:8001/repo.git clone.http && (cd clone.http && [ "$(git rev-parse HEAD)" = "$(cat ../head)" ] &&
		git fsck --full && [ "$(git rev-list --count HEAD)" = 20 ])
}
wrk_http() {
	run wrk -t 2 -c 30 -d 3s http://$SERVER:8001/small.txt | tee out
	grep -q 'Requests/sec: *[1-9]' out && ! grep -qE 'Socket errors|Non-2xx' out
}
ssh_options=(-F none -i "$work/id" -p 2222 -o UserKnownHostsFile="$work/known" -o StrictHostKeyChecking=yes -o BatchMode=yes)
scp_options=("${ssh_options[@]/-p/-P}")
ssh_command="ssh ${ssh_options[*]}"
ssh_run() { sum_of 3000000; run ssh "${ssh_options[@]}" root@$SERVER "sha256sum; echo done" <up3 | tr -d '\n' | grep -q "$sum.*done"; }
scp_both() {
	run scp -q "${scp_options[@]}" up3 root@$SERVER:"$work/there" && run scp -q "${scp_options[@]}" root@$SERVER:"$work/there" back &&
		is 3000000 <back
}
rsync_ssh() {
	rm -rf synced
	run rsync -a -e "$ssh_command" root@$SERVER:"$work/www/" synced/ && diff -r www synced
}
rsync_daemon() {
	rm -rf synced2
	run rsync -a rsync://$SERVER:8730/www/ synced2/ && diff -r www synced2
}
git_ssh() {
	rm -rf clone.ssh
	GIT_SSH_COMMAND="$ssh_command" run git clone -q ssh://root@$SERVER"$work"/www/repo.git clone.ssh &&
		[ "$(git -C clone.ssh rev-parse HEAD)" = "$(cat head)" ]
}
redis_bench() { run redis-benchmark -h $SERVER -p 6379 -c 50 -n 20000 -q -t set,get,lpush | tee out && [ "$(tr '\r' '\n' <out | grep -c 'requests per second')" -ge 3 ]; }
redis_value() {
	head -c 300000 up3 | base64 -w0 >value
	run redis-cli -h $SERVER -x set k <value && run redis-cli -h $SERVER --raw get k | head -c "$(stat -c %s value)" | cmp - value
}
psql_query() {
	want=$(seq 1 200000 | md5sum)
	[ "$(PGPASSWORD=x run psql -h $SERVER -U postgres -At -c 'select generate_series(1, 200000)' | md5sum)" = "$want" ] || return 1
	seq 1 200000 | PGPASSWORD=x run psql -h $SERVER -U postgres -q -c 'create table t (i int)' -c 'copy t from stdin' &&
		[ "$(PGPASSWORD=x run psql -h $SERVER -U postgres -At -c 'select sum(i) from t')" = 20000100000 ]
}
iperf() { run iperf3 -c $SERVER -t 3 "$@" --json | python3 -c '
import json, sys
j = json.load(sys.stdin)
sys.exit("error" in j or j["end"]["sum_received"]["bytes"] < 20e6)'; }
iperf_up() { iperf; }
iperf_down() { iperf -R; }
iperf_many() { iperf -P 8; }

servers() {
	python3 "$LAB_ROOT/tests/system/httpd.py" --bytes 3000000 >up3
	mkdir www && head -c 100 up3 | base64 >www/small.txt && for i in $(seq 30); do head -c $((i * 7000)) up3 >www/f$i; done
	git init -q -b main src && (
		cd src || exit 1
		git config user.name lab && git config user.email lab@localhost
		for i in $(seq 20); do
			head -c $((i * 10000)) ../up3 | base64 >file$((i % 7)) && git add . && git commit -q -m "commit $i"
		done
		git rev-parse HEAD >../head
	)
	git clone -q --bare src www/repo.git && git -C www/repo.git update-server-info
	git config --file "$work/gitconfig" safe.directory '*'
	export GIT_CONFIG_GLOBAL=$work/gitconfig
	if command -v nginx >/dev/null; then
		cat >nginx.conf <<-CONF
		daemon off; master_process off; pid $work/nginx.pid; error_log stderr;
		events { worker_connections 1024; }
		http { access_log off; client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
		       uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
		       server { listen $SERVER:8001; root $work/www; } }
		CONF
		lab_spawn nginx s nginx -p "$work" -c "$work/nginx.conf"
		lab_until 10 nginx lab_listens s 8001
	fi
	if [ -x /usr/sbin/sshd ] && [ "$(stat -c %u /)" = 0 ]; then
		mkdir -p /run/sshd
		ssh-keygen -q -t ed25519 -N '' -f id && ssh-keygen -q -t ed25519 -N '' -f host
		chmod 600 id host
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
		lab_spawn sshd s /usr/sbin/sshd -D -e -f "$work/sshd.conf"
		lab_until 10 sshd lab_listens s 2222
	fi
	if command -v rsync >/dev/null; then
		printf 'use chroot = no\nuid = 0\ngid = 0\n[www]\npath = %s\n' "$work/www" >rsyncd.conf
		lab_spawn rsyncd s rsync --daemon --no-detach --address=$SERVER --port=8730 --config="$work/rsyncd.conf"
		lab_until 10 rsyncd lab_listens s 8730
	fi
	if command -v redis-server >/dev/null; then
		lab_spawn redis s redis-server --bind $SERVER --port 6379 --protected-mode no --save '' --dir "$work"
		lab_until 10 redis lab_listens s 6379
	fi
	pg=$(echo /usr/lib/postgresql/*/bin)
	if [ -x "$pg/initdb" ] && id postgres >/dev/null 2>&1; then
		mkdir pg && chown postgres pg
		setpriv --reuid=postgres --regid=postgres --clear-groups "$pg/initdb" -D pg -A trust -U postgres >"$LAB/initdb.log" 2>&1
		echo 'host all all 0.0.0.0/0 trust' >>pg/pg_hba.conf
		lab_spawn postgres s setpriv --reuid=postgres --regid=postgres --clear-groups "$pg/postgres" -D "$work/pg" \
			-c listen_addresses=$SERVER -c unix_socket_directories='' -c fsync=off
		lab_until 20 postgres lab_listens s 5432
	fi
	if command -v iperf3 >/dev/null; then
		lab_spawn iperf s iperf3 -s -B $SERVER
		lab_until 10 iperf3 lab_listens s 5201
	fi
}

if [ -z "$short" ]; then
	servers
	try git "clone over HTTP" git_http
	try git "clone over ssh" git_ssh
	try ssh "3 MB through a remote command" ssh_run
	try scp "3 MB there and back" scp_both
	try rsync "over ssh" rsync_ssh
	try rsync "with an rsync daemon" rsync_daemon
	try redis-benchmark "50 clients, real redis-server" redis_bench
	try redis-cli "400 kB value set and got" redis_value
	try psql "200,000 rows out, COPY in, real PostgreSQL" psql_query
	try iperf3 "towards the server" iperf_up
	try iperf3 "from the server (-R)" iperf_down
	try iperf3 "8 streams" iperf_many
	try wrk "30 connections to nginx" wrk_http
fi

both_paths_carried() {
	local stat n
	for n in 1 2; do
		stat=$("$B"/tests/system/linkem -c "$LAB/link$n.ctl" stat | sed -n 's/^ba .* out_bytes=\([0-9]*\).*/\1/p')
		[ "$stat" -gt 1000000 ] || return 1
	done
}
[ -n "${LAB_NATIVE:-}" ] || lab_ok "both paths carried data" both_paths_carried
lab_ok "no connection left at the client" lab_until 15 "no connection at c" lab_quiet c
lab_ok "no connection left at the gateway" lab_until 15 "no connection at g" lab_quiet g
if [ -n "$write" ]; then
	printf '%s\n' '| program | what | result | ms |' '|---|---|---|---|' "${table[@]}" | lab_write programs
fi
lab_end
