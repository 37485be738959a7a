#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every JSON Schema in config/ is a schema; every example there obeys the configuration's schema; every key of the
configuration is in tunneld.json(5).

Convention: config/NAME.schema.json is a schema; any other config/*.json is a tunneld configuration and is
checked against config/tunneld.schema.json. With two arguments after --answer, a saved status answer is checked
against one schema (the system tests use that), or with SCHEMA#NAME against one definition of it; --lines: each line of the
file is such an answer. Last line "schemas: N passed, N failed".
"""
import glob
import json
import os
import sys

import jsonschema

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "config")


def load(path):
    def no_twins(pairs):
        keys = [k for k, _ in pairs]
        twins = {k for k in keys if keys.count(k) > 1}
        if twins:
            raise ValueError("twice in one object: " + ", ".join(sorted(twins)))
        return dict(pairs)

    with open(path, encoding="utf-8") as f:
        return json.load(f, object_pairs_hook=no_twins)


def complaints(path, schema_path, definition="", lines=False):
    """What is wrong with the document at path, one string each."""
    try:
        schema = load(schema_path)
        if lines:
            with open(path, encoding="utf-8") as f:
                documents = [json.loads(line) for line in f if line.strip()]
        else:
            documents = [load(path)]
    except (OSError, ValueError) as e:
        return [str(e)]
    if definition:
        if definition not in schema["$defs"]:
            return [f"{schema_path} does not define {definition}"]
        schema = {"$schema": schema["$schema"], "$defs": schema["$defs"], "$ref": "#/$defs/" + definition}
    checker = jsonschema.validators.validator_for(schema)
    base = "file://" + os.path.dirname(os.path.abspath(schema_path)) + "/"
    resolver = jsonschema.RefResolver(base, schema)
    return ["/".join(map(str, e.absolute_path)) + ": " + e.message
            for document in documents for e in checker(schema, resolver=resolver).iter_errors(document)]


def keys(schema):
    """The names of all properties, at any depth."""
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "properties":
                yield from value
            yield from keys(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from keys(value)


def undocumented(schema_path):
    with open(os.path.join(ROOT, "..", "man", "tunneld.json.5"), encoding="utf-8") as f:
        page = f.read()
    return [f"man/tunneld.json.5 does not say what {k} is" for k in sorted(set(keys(load(schema_path)))) if k not in page]


def main():
    if len(sys.argv) == 4 and sys.argv[1] in ("--answer", "--lines"):
        name, _, definition = sys.argv[3].partition("#")
        bad = complaints(sys.argv[2], os.path.join(ROOT, name + ".schema.json"), definition, sys.argv[1] == "--lines")
        for line in bad:
            print(f"{sys.argv[2]}: {line}", file=sys.stderr)
        return bool(bad)

    passed = failed = 0
    config_schema = os.path.join(ROOT, "tunneld.schema.json")
    for path in sorted(glob.glob(os.path.join(ROOT, "*.json"))):
        if path.endswith(".schema.json"):
            try:
                schema = load(path)
                jsonschema.validators.validator_for(schema).check_schema(schema)
                bad = undocumented(path) if path == config_schema else []
            except (OSError, ValueError, jsonschema.SchemaError) as e:
                bad = [str(e)]
        else:
            bad = complaints(path, config_schema)
        passed, failed = passed + (not bad), failed + bool(bad)
        for line in bad:
            print(f"{os.path.basename(path)}: {line}", file=sys.stderr)
    print(f"schemas: {passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
