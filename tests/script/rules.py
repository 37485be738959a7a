#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks tests/script/rules.txt: every rule of RFC 8684 names what holds it, and that exists.

usage: rules.py          its last line sums up: "N passed, N failed"
"""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def rules(path):
    """(line number, section, level, text, holders) of each rule."""
    rule = None
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if not line.strip() or line.startswith("#"):
                continue
            if line.startswith("  = "):
                if not rule:
                    sys.exit(f"{path}:{number}: holders without a rule")
                yield (*rule, line[4:])
                rule = None
                continue
            if rule:
                sys.exit(f"{path}:{rule[0]}: a rule without holders")
            m = re.match(r"^([0-9A-E.]+) (MUST|SHOULD) (.+)$", line)
            if not m:
                sys.exit(f"{path}:{number}: neither a rule nor what holds it")
            rule = (number, *m.groups())
    if rule:
        sys.exit(f"{path}:{rule[0]}: a rule without holders")


def missing(holder):
    """Why the holder does not count, or None."""
    if holder.startswith("unit:"):
        parts = holder.split(":")
        if len(parts) != 3:
            return "a unit test is unit:FOLDER/FILE:FUNCTION"
        path = os.path.join(ROOT, "tests/unit", parts[1] + ".c")
        if not os.path.exists(path):
            return "no such file"
        with open(path, encoding="utf-8") as f:
            text = f.read()
        if not re.search(r"T\(" + re.escape(parts[2]) + r"\)", text):
            return "no such test is run there"
        return None
    path = os.path.join(HERE, holder + ".pkt")
    if not os.path.exists(path):
        return "no such script"
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if re.search(r"^expect-bug", text, re.M):
        return "the script says itself that it fails"
    return None


def main():
    failed, held, count = 0, {}, {}
    path = os.path.join(HERE, "rules.txt")
    for number, section, level, _, holders in rules(path):
        count[level] = count.get(level, 0) + 1
        kind = next((k for k in ("n/a", "differs", "untested") if holders.startswith(k + ": ")), "held")
        held[level, kind] = held.get((level, kind), 0) + 1
        for holder in holders.split() if kind == "held" else []:
            why = missing(holder)
            if why:
                print(f"{path}:{number}: {section}: {holder}: {why}")
                failed += 1
    for level in sorted(count):
        held_here, total = held.get((level, "held"), 0), count[level]
        print(f"RFC 8684 {level}: {held_here} of {total} held by a test ({100 * held_here // total} %), "
              f"{held.get((level, 'n/a'), 0)} do not apply, {held.get((level, 'differs'), 0)} differ with a reason, "
              f"{held.get((level, 'untested'), 0)} untested")
    print(f"rules: {sum(count.values()) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
