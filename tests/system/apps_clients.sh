# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154,SC2034,SC2317,SC2329,SC2086 # variables and try() of apps.sh; no address has a space
# The rows of apps.sh. "lib": the library alone; "run": plait run, because the library is not in all of it.

url=http://$SERVER:8001
same() { cmp "${1:-got}" "${2:-www/f}"; }
text() { cmp - www/part1.txt; }

# --- what is everywhere ---
curl_one() { lib curl -sf -o got $url/f && same; }
curl_six() { lib curl -sfg -o got "http://[$SERVER6]:8001/f" && same; }
curl_many() { lib curl -sfZ --parallel-max 20 "$url/part[1-30].txt" -o 'got.#1' && cmp got.30 www/part30.txt; }
curl_fastopen() { lib curl -sf --tcp-fastopen -o got $url/f && same; }
curl_put() { lib curl -sf -T www/f $url/up | grep -qx 2000000; }
curl_refused() { ! lib curl -sv http://$SERVER:99/ >out 2>&1 && grep -q refused out; lib curl -sf -o got $url/part1.txt; }
curl_clean() { run env -i PATH="$PATH" curl -sf -o got $url/f && same; }
wget_one() { lib wget -q -O got $url/f && same; }
bash_tcp() { lib bash -c 'exec 3<>/dev/tcp/'$SERVER'/8001; printf "GET /part1.txt HTTP/1.0\r\n\r\n" >&3; sed "1,/^\r$/d" <&3' | text; }
git_http() { rm -rf clone && lib git clone -q $url/repo.git clone && git -C clone fsck && [ "$(git -C clone rev-list --count HEAD)" = 5 ]; }
git_submodules() { rm -rf clone2 && lib git clone -q --recurse-submodules -j 6 $url/super.git clone2 && [ -e clone2/sub12/file5 ]; }
python_urllib() { lib python3 -c "import urllib.request; open('got', 'wb').write(urllib.request.urlopen('$url/f').read())" && same; }
python_asyncio() {
	lib python3 -c "
import asyncio
async def get(i):
    r, w = await asyncio.open_connection('$SERVER', 8001)
    w.write(b'GET /part%d.txt HTTP/1.0\r\n\r\n' % i)
    data = await r.read()
    assert data.split(b'\r\n\r\n', 1)[1] == open('www/part%d.txt' % i, 'rb').read()
async def main():
    await asyncio.gather(*[get(i % 30 + 1) for i in range(60)])
asyncio.run(main())"
}
python_clean() { run python3 -c "import subprocess; subprocess.run(['$(command -v curl)', '-sf', '-o', 'got', '$url/f'], env={}, check=True)" && same; }
node_http() { lib node -e "require('http').get('$url/f', r => r.pipe(require('fs').createWriteStream('got')))" && same; }
node_fetch() { lib node -e "fetch('$url/f').then(r => r.arrayBuffer()).then(b => require('fs').writeFileSync('got', Buffer.from(b)))" && same; }

try curl lib "a file" curl_one
try curl lib "over IPv6" curl_six
try curl lib "30 at once" curl_many
try curl lib "--tcp-fastopen" curl_fastopen
try curl lib "PUT" curl_put
try curl lib "refused is refused" curl_refused
try curl run "with no environment" curl_clean
try wget lib "a file" wget_one
try bash lib "/dev/tcp" bash_tcp
try git lib "clone over http" git_http
try git lib "12 submodules, 6 at once" git_submodules
try python3 lib "urllib" python_urllib
try python3 lib "asyncio, 60 streams" python_asyncio
try python3 run "a child with env={}" python_clean
try node lib "http" node_http
try node lib "fetch" node_fetch

# --- other allocators and sanitizers, preloaded before ours and after ---
fetch_with_curl=(curl -sf -o got $url/f)
# curl under a preloaded ASan hangs by itself, without plait.
fetch_with_python=(python3 -c "import urllib.request; open('got', 'wb').write(urllib.request.urlopen('$url/f').read())")
preloaded() { # NAME PROGRAM LIBRARY
	[ -e "${3:-}" ] || { [ -n "$short" ] || table+=("| $1 | preloaded beside ours | LD_PRELOAD | not installed |"); return 0; }
	local other=$3
	declare -n fetch_with=fetch_with_${2%3}
	with_preload() { # LIBRARIES: in this order
		rm -f got
		lab_in c timeout 60 env PLAIT_SOCKET=$LAB/c.sock LD_PRELOAD="$*" ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0 \
			"${fetch_with[@]}" && same
	}
	before() { with_preload "$other" "$B"/libplait.so; }
	after() { with_preload "$B"/libplait.so "$other"; }
	try "$2" LD_PRELOAD "$1 preloaded before ours" before
	try "$2" LD_PRELOAD "$1 preloaded after ours" after
}
preloaded jemalloc curl "$(echo /usr/lib/*/libjemalloc.so.2)"
preloaded tcmalloc curl "$(echo /usr/lib/*/libtcmalloc.so.4)"
preloaded ASan python3 "$(gcc -print-file-name=libasan.so 2>/dev/null | xargs -r readlink -f)"

# --- programs that are built here: libc's without libraries, other libcs, other languages ---
cat >get.c <<'C'
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(8001) };
	static char b[65536];
	int fd = socket(AF_INET, SOCK_STREAM, 0), head = 1;
	ssize_t n;

	inet_pton(AF_INET, argv[1], &a.sin_addr);
	if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
		perror("connect");
		return 1;
	}
	dprintf(fd, "GET /f HTTP/1.0\r\n\r\n");
	while ((n = read(fd, b, sizeof b)) > 0) {
		char *p = b;
		if (head) {
			p = memmem(b, (size_t)n, "\r\n\r\n", 4);
			p = p ? p + 4 : b;
			head = 0;
		}
		if (write(1, p, (size_t)(b + n - p)) < 0)
			return 1;
	}
	return argc != 2;
}
C
static_c() { gcc -D_GNU_SOURCE -static -o get_static get.c && run ./get_static $SERVER >got && same; }
asan_c() { gcc -D_GNU_SOURCE -fsanitize=address -o get_asan get.c && PLAIT_SOCKET=$LAB/c.sock LD_PRELOAD=$B/libplait.so \
	ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0 lab_in c ./get_asan $SERVER >got && same; }
musl_c() { musl-gcc -D_GNU_SOURCE -o get_musl get.c && lib ./get_musl $SERVER >got && same; }
musl_static() { musl-gcc -static -D_GNU_SOURCE -o get_musl_static get.c && run ./get_musl_static $SERVER >got && same; }
try gcc run "a static program on glibc" static_c
try gcc LD_PRELOAD "a program built with ASan" asan_c
try musl-gcc lib "a program on musl" musl_c
try musl-gcc run "a static program on musl" musl_static
busybox_wget() { run busybox wget -q -O got $url/f && same; }
try busybox run "wget, static" busybox_wget

both_paths_carried() { [ "$(lab_value c /v1/paths 'sum(p["state"] == "up" for p in j["paths"])')" = 2 ]; }
lab_ok "both paths are up at the end" both_paths_carried
[ -z "$short" ] || return 0

cat >get.go <<'GO'
package main

import ("io"; "net/http"; "os"; "sync")

func main() {
	var wg sync.WaitGroup
	for g := 0; g < 16; g++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for i := 0; i < 10; i++ {
				r, err := c.Get(os.Args[1] + "/part1.txt")
				if err != nil { panic(err) }
				io.Copy(io.Discard, r.Body)
				r.Body.Close()
			}
		}()
	}
	wg.Wait()
	r, err := http.Get(os.Args[1] + "/f")
	if err != nil { panic(err) }
	io.Copy(os.Stdout, r.Body)
}
GO
cat >get.rs <<'RS'
use std::io::{Read, Write};
fn main() {
    let to = std::env::args().nth(1).unwrap();
    let mut s = std::net::TcpStream::connect((to.as_str(), 8001)).unwrap();
    s.write_all(b"GET /f HTTP/1.0\r\n\r\n").unwrap();
    let mut all = Vec::new();
    s.read_to_end(&mut all).unwrap();
    let at = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    std::io::stdout().write_all(&all[at..]).unwrap();
}
RS
go_static() { CGO_ENABLED=0 GO111MODULE=off go build -o get_go get.go && run ./get_go $url >got && same; }
go_cgo() { CGO_ENABLED=1 GO111MODULE=off go build -ldflags='-linkmode external' -o get_cgo get.go && run ./get_cgo $url >got && same; }
rust_dynamic() { HOME=$home rustc -o get_rs get.rs && lib ./get_rs $SERVER >got && same; }
rust_static() { HOME=$home rustc -C target-feature=+crt-static -o get_rs_static get.rs && run ./get_rs_static $SERVER >got && same; }
try go run "net/http, static, 16 goroutines" go_static
try go run "net/http, with cgo" go_cgo
try rustc lib "std::net" rust_dynamic
try rustc run "std::net, static" rust_static

# --- bytes by hand ---
nc_one() { printf 'GET /part1.txt HTTP/1.0\r\n\r\n' | lib nc -N $SERVER 8001 | sed '1,/^\r$/d' | text; }
ncat_one() { printf 'GET /part1.txt HTTP/1.0\r\n\r\n' | lib ncat $SERVER 8001 | sed '1,/^\r$/d' | text; }
socat_one() { printf 'GET /part1.txt HTTP/1.0\r\n\r\n' | lib socat -t5 - TCP:$SERVER:8001 | sed '1,/^\r$/d' | text; }
telnet_one() { (printf 'GET /part1.txt HTTP/1.0\n\n'; sleep 2) | lib telnet $SERVER 8001 >out; grep -qF "$(sed -n 2p www/part1.txt)" out; }
openssl_client() { printf 'GET /www/part1.txt HTTP/1.0\r\n\r\n' | lib openssl s_client -quiet -verify_return_error -CAfile tls.crt -ign_eof -connect $SERVER:8443 2>/dev/null | sed '1,/^\r$/d' | text; }
gnutls_client() { (printf 'GET /www/part1.txt HTTP/1.0\r\n\r\n'; sleep 1) | lib gnutls-cli --x509cafile=tls.crt -p 8443 $SERVER >out; grep -qF "$(sed -n 2p www/part1.txt)" out; }
try nc lib "a request by hand" nc_one
try ncat lib "a request by hand" ncat_one
try socat lib "a request by hand" socat_one
try telnet lib "a request by hand" telnet_one
try openssl lib "s_client" openssl_client
try gnutls-cli lib "a request by hand" gnutls_client

# --- fetching ---
aria_one() { rm -f got; lib aria2c -q -x 8 -s 8 -k 1M -o got $url/f && same; }
lftp_one() { rm -rf mirrored; lib lftp -c "open $url; get f -o mirrored" && same mirrored; }
w3m_one() { lib w3m -dump $url/part1.txt | text; }
lynx_one() { lib lynx -source $url/part1.txt | text; }
links_one() { lib links -source $url/part1.txt | text; }
httpie_one() { lib http --ignore-stdin --body $url/part1.txt | diff -B - www/part1.txt; }
apt_one() { rm -f got; lib /usr/lib/apt/apt-helper download-file $url/f got && same; }
ffmpeg_one() {
	ffmpeg -v error -y -f lavfi -i sine=duration=3 www/tone.wav && lib ffmpeg -v error -y -i $url/tone.wav -f md5 md5 &&
		ffmpeg -v error -y -i www/tone.wav -f md5 md5.want && cmp md5 md5.want
}
try aria2c lib "8 connections" aria_one
try lftp lib "http" lftp_one
try w3m lib "a page" w3m_one
try lynx lib "a page" lynx_one
try links lib "a page" links_one
try http lib "HTTPie" httpie_one
try apt lib "its http method" apt_one
try ffmpeg lib "a stream over http" ffmpeg_one

# --- languages ---
perl_lwp() { lib perl -MLWP::UserAgent -e 'print LWP::UserAgent->new->get($ARGV[0])->content' $url/f >got && same; }
perl_io() { lib perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new($ARGV[0]) or die; print $s "GET /f HTTP/1.0\r\n\r\n"; local $/; $_ = <$s>; s/.*?\r\n\r\n//s; print' $SERVER:8001 >got && same; }
ruby_http() { lib ruby -rnet/http -e 'STDOUT.binmode; print Net::HTTP.get(URI(ARGV[0]))' $url/f >got && same; }
# PHP loads its extensions with RTLD_DEEPBIND: they find libc's connect() before a preloaded one. The trap sees them.
php_curl() { run php -r '$c = curl_init($argv[1]); curl_setopt($c, CURLOPT_RETURNTRANSFER, 1); echo curl_exec($c);' $url/f >got && same; }
php_stream() { lib php -r 'echo file_get_contents($argv[1]);' $url/f >got && same; }
lua_socket() { lib lua5.4 -e "io.write((require('socket.http').request('$url/f')))" >got && same; }
r_download() { lib Rscript -e "download.file('$url/f', 'got', quiet=TRUE, mode='wb')" && same; }
cat >Get.java <<'JAVA'
import java.io.*; import java.net.*; import java.net.http.*; import java.nio.file.*; import java.util.*; import java.util.concurrent.*;
public class Get {
	public static void main(String[] a) throws Exception {
		if (a[1].equals("url")) {
			try (InputStream in = new URL(a[0] + "/f").openStream()) { Files.copy(in, Path.of("got"), StandardCopyOption.REPLACE_EXISTING); }
			return;
		}
		HttpClient c = HttpClient.newHttpClient();
		List<CompletableFuture<HttpResponse<byte[]>>> all = new ArrayList<>();
		for (int i = 1; i <= 20; i++)
			all.add(c.sendAsync(HttpRequest.newBuilder(URI.create(a[0] + "/part" + i + ".txt")).build(), HttpResponse.BodyHandlers.ofByteArray()));
		for (var f : all) if (f.get().statusCode() != 200) System.exit(1);
		Files.write(Path.of("got"), c.send(HttpRequest.newBuilder(URI.create(a[0] + "/f")).build(), HttpResponse.BodyHandlers.ofByteArray()).body());
	}
}
JAVA
java_url() { lib java Get.java $url url && same; }
java_nio() { lib java Get.java $url nio && same; }
try perl lib "LWP" perl_lwp
try perl lib "IO::Socket" perl_io
try ruby lib "net/http" ruby_http
try php run "curl" php_curl
try php lib "streams" php_stream
try lua5.4 lib "LuaSocket" lua_socket
try Rscript lib "download.file" r_download
try java lib "URLConnection" java_url
try java lib "HttpClient (NIO), 21 streams" java_nio

# --- ssh and what stands on it ---
ssh_options=(-F none -i "$work/id" -o UserKnownHostsFile="$work/known" -o StrictHostKeyChecking=yes -o BatchMode=yes)
sum_f() { sha256sum www/f | cut -d' ' -f1; }
ssh_one() { lib ssh "${ssh_options[@]}" -p 2222 root@$SERVER sha256sum <www/f | grep -q "$(sum_f)"; }
scp_one() { lib scp -q "${ssh_options[@]}" -P 2222 root@$SERVER:"$work/www/f" got && same; }
sftp_one() { echo "get $work/www/f got" | lib sftp -q "${ssh_options[@]}" -P 2222 -b - root@$SERVER && same; }
ssh_forward() {
	lib ssh "${ssh_options[@]}" -p 2222 -f -o ExitOnForwardFailure=yes -L 127.0.0.1:18001:$SERVER:8001 root@$SERVER sleep 3 &&
		lab_in c curl -sf -o got http://127.0.0.1:18001/f && same
}
git_ssh() { rm -rf clone3; GIT_SSH_COMMAND="ssh ${ssh_options[*]} -p 2222" lib git clone -q ssh://root@$SERVER"$work"/www/repo.git clone3 && [ -e clone3/file5 ]; }
rsync_ssh() { rm -rf synced; lib rsync -a -e "ssh ${ssh_options[*]} -p 2222" root@$SERVER:"$work/www/" synced/ && diff -r www synced; }
rsync_daemon() { rm -rf synced; lib rsync -a rsync://$SERVER:8730/www/ synced/ && diff -r www synced; }
tmux_ssh() {
	rm -f got
	lib tmux -L lab -f /dev/null new-session -d "ssh ${ssh_options[*]} -p 2222 root@$SERVER cat $work/www/f >$work/got.part; mv $work/got.part $work/got" &&
		lab_until 15 "tmux'd ssh" test -e got && same
}
sshfs_one() {
	mkdir -p mounted && lib sshfs root@$SERVER:"$work/www" "$work/mounted" -p 2222 -o IdentityFile="$work/id",UserKnownHostsFile="$work/known",StrictHostKeyChecking=yes,BatchMode=yes && same mounted/f
	local rc=$?
	fusermount -u mounted 2>/dev/null || umount mounted
	return $rc
}
try ssh lib "a remote command" ssh_one
try scp lib "a file" scp_one
try sftp lib "a file" sftp_one
try ssh lib "-L, in the background" ssh_forward
try git lib "clone over ssh" git_ssh
try rsync lib "over ssh" rsync_ssh
try rsync lib "with a daemon" rsync_daemon
try tmux lib "ssh in a session of it" tmux_ssh
if [ -c /dev/fuse ]; then try sshfs lib "a mounted directory" sshfs_one; else table+=("| sshfs | a mounted directory | lib | no /dev/fuse here |"); fi

# --- databases and messages ---
redis_one() { lib redis-cli -h $SERVER set k v | grep -q OK && lib redis-cli -h $SERVER get k | grep -q v; }
redis_bench() { lib redis-benchmark -h $SERVER -c 30 -n 3000 -q -t set,get | tr '\r' '\n' | grep -c 'requests per second' | grep -qx 2; }
psql_one() { [ "$(lib psql -h $SERVER -U postgres -Atc 'select sum(i) from generate_series(1, 1000) i')" = 500500 ]; }
psql_hosts() { [ "$(lib psql "host=$SERVER,$SERVER port=99,5432 user=postgres" -Atc 'select 7')" = 7 ]; }
mysql_one() { [ "$(lib mariadb --no-defaults -h $SERVER -u root -BNe 'select 6*7')" = 42 ]; }
memcached_one() { echo value >mkey && lib memccp --servers=$SERVER:11211 mkey && [ "$(lib memccat --servers=$SERVER:11211 mkey)" = value ]; }
mosquitto_one() {
	lib mosquitto_sub -h $SERVER -t lab -C 1 -W 20 >mqtt &
	local sub=$!
	lab_until 10 "a subscription" sh -c "[ \$(nsenter --net=/run/netns/s ss -Htn state established sport = :1883 | wc -l) -ge 1 ]"
	for _ in 1 2 3 4 5; do
		lib mosquitto_pub -h $SERVER -t lab -m hello || return 1
		kill -0 $sub 2>/dev/null || break
		sleep 0.3
	done
	wait $sub && grep -qx hello mqtt
}
nats_one() {
	lib python3 -c "
import socket
s = socket.create_connection(('$SERVER', 4222)); f = s.makefile('rw', newline='\r\n')
assert f.readline().startswith('INFO')
f.write('CONNECT {\"verbose\":false}\n'); f.write('SUB lab 1\n'); f.write('PUB lab 5\nhello\n'); f.flush()
while not (line := f.readline()).startswith('MSG lab 1 5'): assert line, line
assert f.readline().strip() == 'hello'"
}
svn_one() { rm -rf svnco; lib svn checkout -q svn://$SERVER/svn/trunk svnco && cmp svnco/src/file3 src/file3; }
hg_one() { rm -rf hgclone; lib hg clone -q http://$SERVER:8002 hgclone && cmp hgclone/a hgrepo/a; }
swaks_one() { lib swaks --server $SERVER --port 2525 --from a@lab --to b@lab --h-Subject lab >out && grep -q '250' out; }
mail_one() { echo body | lib s-nail -S mta=smtp://$SERVER:2525 -S smtp-auth=none -S v15-compat -S from=a@lab -s subject b@lab; }
try redis-cli lib "set and get" redis_one
try redis-benchmark lib "30 clients" redis_bench
try psql lib "a query" psql_one
try psql lib "two hosts, the first refused" psql_hosts
try mariadb lib "a query to a MariaDB server" mysql_one
try memccp lib "memcached" memcached_one
try mosquitto_pub lib "published and subscribed" mosquitto_one
try nats-server lib "its protocol by hand" nats_one
try svn lib "checkout by svn://" svn_one
try hg lib "clone over http" hg_one
try swaks lib "a mail" swaks_one
try s-nail lib "a mail" mail_one

# --- servers whose upstream is beyond the tunnel ---
proxied() { # PORT NAME CMD...: starts it at the client under the library, fetches through it
	local port=$1 name=$2 pid
	shift 2
	PLAIT_SOCKET=$LAB/c.sock nsenter --net=/run/netns/c -- "$B"/plait run --preload -- "$@" >"$LAB/$name.log" 2>&1 &
	pid=$!
	lab_until 15 "$name" lab_listens c "$port" && lab_in c curl -sf --max-time 30 ${proxy:+-x} ${proxy:-} -o got "$fetch" && same
	local rc=$?
	kill $pid 2>/dev/null
	wait $pid 2>/dev/null
	[ $rc -eq 0 ] || tail -5 "$LAB/$name.log"
	return $rc
}
haproxy_one() {
	printf 'defaults\n mode http\n timeout connect 9s\n timeout client 9s\n timeout server 9s\nlisten l\n bind 127.0.0.1:7080\n server s %s:8001\n' $SERVER >haproxy.cfg
	proxy='' fetch=http://127.0.0.1:7080/f proxied 7080 haproxy haproxy -db -f haproxy.cfg
}
nginx_one() {
	cat >nginx.conf <<-CONF
	daemon off; pid $work/nginx.pid; error_log stderr; worker_processes 2; user www-data;
	events { }
	http { access_log off; client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
	       uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
	       server { listen 127.0.0.1:7081; location / { proxy_pass $url; } } }
	CONF
	proxy='' fetch=http://127.0.0.1:7081/f proxied 7081 nginx nginx -p "$work" -c "$work/nginx.conf"
}
squid_one() {
	printf 'http_port 127.0.0.1:7082\nhttp_access allow all\ncache deny all\npid_filename none\ncache_log /dev/null\naccess_log none\ncache_effective_user proxy\nshutdown_lifetime 0\npinger_enable off\n' >squid.conf
	proxy=http://127.0.0.1:7082 fetch=$url/f proxied 7082 squid squid -N -f squid.conf
}
try haproxy lib "its server is beyond" haproxy_one
try nginx lib "proxy_pass is beyond" nginx_one
try squid lib "a forward proxy" squid_one

# --- load, and browsers ---
iperf_one() { lib iperf3 -c $SERVER -t 1 -P 4 >out && grep -q receiver out; }
wrk_one() { lib wrk -t 2 -c 16 -d 1s $url/part1.txt >out && grep -q 'Requests/sec: *[1-9]' out && ! grep -qE 'Socket errors|Non-2xx' out; }
ab_one() { lib ab -q -n 200 -c 10 $url/part1.txt >out && grep -q 'Failed requests: *0' out; }
chromium_one() {
	lib chromium --headless --no-sandbox --disable-gpu --no-first-run --user-data-dir="$work/chromium" --virtual-time-budget=15000 \
		--dump-dom $url/many.html | grep -q "loaded 30"
}
chromium_run() {
	run chromium --headless --no-sandbox --disable-gpu --no-first-run --user-data-dir="$work/chromium2" --virtual-time-budget=15000 \
		--dump-dom $url/many.html | grep -q "loaded 30"
}
firefox_one() {
	mkdir -p "$work/firefox" && lib firefox-esr --headless --no-remote --profile "$work/firefox" --screenshot "$work/shot.png" $url/many.html &&
		[ "$(stat -c %s "$work/shot.png")" -gt 2000 ]
}
try iperf3 lib "4 streams" iperf_one
try wrk lib "16 connections" wrk_one
try ab lib "10 at once" ab_one
try chromium lib "headless, a page of 32 objects" chromium_one
try chromium run "the same under the trap" chromium_run
try firefox-esr lib "headless, the same page" firefox_one
[ -d /run/systemd/system ] || table+=("| systemd | a service through a drop-in | lib | no systemd runs here |")
