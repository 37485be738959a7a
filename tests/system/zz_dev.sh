#!/bin/bash
. "$(dirname "$0")/lab.sh"
four=10.177.7.2 six=fd77:7::2 through=10.177.7.3
lib=$B/libplait.so probe=$B/tests/probe/probe parkd=$B/tests/system/parkd
ip netns add c; ip -n c link set lo up
for a in $four/32 $through/32; do ip -n c addr add $a dev lo; done
ip -n c addr add $six/128 dev lo nodad
ip -n c route add prohibit 10.97.0.0/16
ip -n c route add unreachable 10.98.0.0/16
sock=$LAB/park.sock
lab_spawn server c "$probe" server $four $six
lab_until 5 "server" grep -q ready "$LAB/server.log"
lab_spawn parkd c "$parkd" "$sock" --from $through $DELAY
lab_until 5 "parkd" grep -q ready "$LAB/parkd.log"
ulimit -n 1024
t=$EPOCHREALTIME
lab_in c timeout 25 ${PROBE:-$probe} client $four $six "$@" >$LAB/n1 2>&1; t2=$EPOCHREALTIME
[ -z "$TWICE" ] || lab_in c timeout 25 ${PROBE:-$probe} client $four $six "$@" >$LAB/n2 2>&1; t3=$EPOCHREALTIME
if [ -n "$TRAP" ]; then PLAIT_SOCKET=$sock lab_in c timeout 25 "$B"/plait run $TRAPARG -- ${PROBE:-$probe} client $four $six "$@" >$LAB/s 2>$LAB/serr
else PLAIT_SOCKET=$sock LD_PRELOAD=$lib lab_in c timeout 25 $probe client $four $six "$@" >$LAB/s 2>$LAB/serr; fi
t4=$EPOCHREALTIME
[ -z "$TWICE" ] || { echo "native twice:"; diff $LAB/n1 $LAB/n2; }
echo "native vs shim:"; diff $LAB/n1 $LAB/s; cat $LAB/serr | head -5; [ -z "$SHOW" ] || cat $LAB/n1
wc -l <$LAB/n1; echo "$t $t2 $t3 $t4" | awk '{print $2-$1, $3-$2, $4-$3}'
