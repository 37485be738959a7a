#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks the lists of rules beside it: every rule of a document names what holds it, and that exists.

A list begins with "document NAME". A rule is two lines, SECTION LEVEL TEXT and "  = " what holds it, which is any of
	FOLDER/NAME                 a packet script of tests/script
	unit:FOLDER/FILE:FUNCTION   a unit test
	system:SCRIPT:"TEXT"        a check of tests/system/SCRIPT.sh, by its text
	sim:"TEXT"                  what the simulator says where it is broken
	interop:"TEXT"              a case of tests/interop
	trace:NAME                  docs/traces/NAME.txt, made and compared by `make traces-check`
or, where nothing does, why: "n/a: ...", "differs: ...", "untested: ...". LEVEL is MUST or SHOULD where the document says so, else
SAYS.

usage: rules.py          its last line sums up: "N passed, N failed"
"""
import glob
import os
import re
import shlex
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def read(*parts):
    """The text of a file of the project, None if there is none."""
    try:
        with open(os.path.join(ROOT, *parts), encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError:
        return None


def rules(path):
    """(line number, section, level, holders) of each rule; the document's name comes first, as a text."""
    rule = None
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if not line.strip() or line.startswith("#"):
                continue
            if line.startswith("document "):
                yield line[9:]
                continue
            if line.startswith("  = "):
                if not rule:
                    sys.exit(f"{path}:{number}: holders without a rule")
                yield (*rule, line[4:])
                rule = None
                continue
            if rule:
                sys.exit(f"{path}:{rule[0]}: a rule without holders")
            m = re.match(r"^([0-9A-E.]+) (MUST|SHOULD|SAYS) .+$", line)
            if not m:
                sys.exit(f"{path}:{number}: neither a rule nor what holds it")
            rule = (number, *m.groups())
    if rule:
        sys.exit(f"{path}:{rule[0]}: a rule without holders")


def missing_unit(name):
    """Why a unit test does not count, or None."""
    where, _, function = name.partition(":")
    text = read("tests/unit", where + ".c")
    if text is None:
        return "no such file"
    return None if re.search(r"T\(" + re.escape(function) + r"\)", text) else "no such test is run there"


def missing_system(name):
    """Why a check of a system script does not count, or None."""
    script, _, what = name.partition(":")
    text = read("tests/system", script + ".sh")
    if text is None:
        return "no such script"
    return None if f'lab_ok "{what}' in text else "no such check there"


def missing(holder):
    """Why the holder does not count, or None."""
    kind, colon, name = holder.partition(":")
    if not colon:
        text = read("tests/script", holder + ".pkt")
        if text is None:
            return "no such script"
        return "the script says itself that it fails" if re.search(r"^expect-bug", text, re.M) else None
    if kind == "unit":
        return missing_unit(name)
    if kind == "system":
        return missing_system(name)
    if kind == "sim":
        found = any(f'"{name}' in read(path) for path in glob.glob(os.path.join(ROOT, "tests/sim/*.c")))
        return None if found else "the simulator says no such thing"
    if kind == "interop":
        return None if name in read("tests/interop/interop.py") else "no such case"
    if kind == "trace":
        return None if read("docs/traces", name + ".txt") else "no such trace"
    return "nothing is named so"


def check(path):
    """(rules, failures) of one list; prints its share."""
    failed, held, count, document = 0, {}, {}, os.path.basename(path)
    for rule in rules(path):
        if isinstance(rule, str):
            document = rule
            continue
        number, section, level, holders = rule
        count[level] = count.get(level, 0) + 1
        kind = next((k for k in ("n/a", "differs", "untested") if holders.startswith(k + ": ")), "held")
        held[level, kind] = held.get((level, kind), 0) + 1
        for holder in shlex.split(holders) if kind == "held" else []:
            why = missing(holder)
            if why:
                print(f"{path}:{number}: {section}: {holder}: {why}")
                failed += 1
    for level in sorted(count):
        held_here, total = held.get((level, "held"), 0), count[level]
        print(f"{document}, {level}: {held_here} of {total} held by a test ({100 * held_here // total} %), "
              f"{held.get((level, 'n/a'), 0)} do not apply, {held.get((level, 'differs'), 0)} differ with a reason, "
              f"{held.get((level, 'untested'), 0)} untested")
    return sum(count.values()), failed


def main():
    total = failed = 0
    for path in sorted(glob.glob(os.path.join(HERE, "*.txt"))):
        here, bad = check(path)
        total += here
        failed += bad
    print(f"rules: {total - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
