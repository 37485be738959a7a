#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Is this file an OpenMetrics 1.0 text exposition? The rules that a scraper refuses an answer for: every sample belongs to the
family announced last, families are announced once and are not mixed, counters end in _total and are not negative, units end
names, labels are quoted and escaped, no sample comes twice, and the last line is # EOF.

usage: openmetrics.py FILE [FAMILY...]     each FAMILY must be there, too; exit 1 with a line on stderr for each complaint
"""
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(?:\{{(.*)\}})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def labels(text):
    at, out = 0, {}
    while at < len(text):
        m = LABEL.match(text, at)
        if not m or m[1] in out:
            return None
        out[m[1]] = m[2]
        at = m.end()
    return out


def complaints(text):
    families, family, seen = {}, None, set()
    if not text.endswith("# EOF\n"):
        yield "the last line is not # EOF"
    for number, line in enumerate(text.split("\n")[:-2], 1):
        words = line.split(" ", 3)
        if words[0] == "#":
            if len(words) < 4 or words[1] not in ("TYPE", "UNIT", "HELP"):
                yield f"line {number}: neither TYPE nor UNIT nor HELP: {line}"
            elif words[2] != family:
                if words[1] != "TYPE" or words[2] in families:
                    yield f"line {number}: {words[2]} begins twice, or not with its TYPE"
                family = words[2]
                families[family] = words[3]
                if words[3] not in ("counter", "gauge"):
                    yield f"line {number}: type {words[3]}"
            elif words[1] == "UNIT" and not family.endswith("_" + words[3]):
                yield f"line {number}: {family} does not end with its unit"
            continue
        m = SAMPLE.match(line)
        if not m or labels(m[2] or "") is None:
            yield f"line {number}: no sample: {line}"
            continue
        expected = (family or "") + ("_total" if families.get(family) == "counter" else "")
        if m[1] != expected:
            yield f"line {number}: {m[1]} stands in the family {family}"
        try:
            if float(m[3]) < 0 and families.get(family) == "counter":
                yield f"line {number}: a negative counter"
        except ValueError:
            yield f"line {number}: {m[3]} is no number"
        key = (m[1], tuple(sorted(labels(m[2] or "").items())))
        if key in seen:
            yield f"line {number}: twice: {line}"
        seen.add(key)
    for wanted in sys.argv[2:]:
        if wanted not in families:
            yield f"no family {wanted}"


def main():
    with open(sys.argv[1], encoding="utf-8", newline="") as f:
        bad = list(complaints(f.read()))
    for line in bad:
        print(f"{sys.argv[1]}: {line}", file=sys.stderr)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
