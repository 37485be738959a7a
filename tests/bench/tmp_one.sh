#!/bin/bash
LAB_MUST=1; export LAB_MUST
. "$(dirname "$0")/../system/lab.sh"
rounds=$1 bytes=$2 what=$3; shift 3
blast=$B/tests/bench/blast
lab_up "$@" || exit 1
lab_route 1
lab_spawn blast s "$blast" serve "$SERVER" 7200
lab_until 10 "the server" lab_listens s 7200 || exit 1
lab_tunnelds
for i in $(seq $rounds); do lab_shim timeout 100 "$blast" $what "$SERVER" 7200 "$bytes"; done
