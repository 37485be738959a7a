#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads what callgrind counted of one scenario of the simulator and prints a JSON line for report.py: instructions a segment
of each hot function, with all that it calls. A segment is one that an engine was given: each is sent once and received once.

instructions.py FILE PART   (a file of callgrind --compress-strings=no --compress-pos=no)
"""
import collections
import json
import re
import sys

# Top down: what a host calls, then where an engine spends it. One that the compiler put into its caller has no row.
HOT = ("engine_input", "conn_segment", "segment_parse", "subflow_input", "subflow_acknowledged", "conn_payload",
       "engine_output", "conn_output", "send_on", "segment_emit", "engine_write", "engine_read", "conn_deadline")
SEGMENT = "segment_event"


def read(path):
    """Calls and inclusive instructions by name. Calls from itself are not added: they are in the outer call's already."""
    calls, cost = collections.Counter(), collections.Counter()
    caller = callee = place = ""
    called = 0
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            if line.startswith("fl="):
                place = line[3:].strip()
            elif line.startswith("fn="):
                caller = line[3:].strip()
            elif line.startswith("cfn="):
                callee = line[4:].strip()
            elif line.startswith("calls="):
                called = int(line[6:].split()[0])
            elif called:
                # "LINE COST": what these calls cost in all
                name = re.sub(r"'\d+$|\.(constprop|part|isra|cold).*", "", callee)
                # The simulator looks into segments, too; through the door it goes as the daemon does.
                if callee != caller and ("tests/sim/" not in place or name.startswith("engine_")):
                    calls[name] += called
                    cost[name] += int(line.split()[1])
                called = 0
    return calls, cost


def main():
    calls, cost = read(sys.argv[1])
    segments = calls[SEGMENT]
    if not segments:
        sys.exit(f"instructions: no call of {SEGMENT} in {sys.argv[1]}")
    print(json.dumps({"section": "instructions", "part": sys.argv[2], "system": "plait", "what": "segments", "segments": segments,
                      "functions": {n: {"calls": calls[n], "each": round(cost[n] / calls[n], 1),
                                        "per_segment": round(cost[n] / segments, 1)} for n in HOT if calls[n]}}))


if __name__ == "__main__":
    main()
