# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""manifest.py FILE: the parts of a manifest that tests look at, as lines."""

import json
import sys

with open(sys.argv[1], "rb") as file:
    text = file.read()
document = json.loads(text)
print(f"format {document['format']} abi {document['abi']} name {document['name']}")
for target in document["targets"]:
    print(f"target {target['target']}")
    for variant in target["variants"]:
        if variant["features"] != sorted(variant["features"]):
            sys.exit("features are not sorted")
        print(f"{variant['level']}: {' '.join(variant['features'])}")
for entry in document["entries"]:
    extents = ", ".join(extent["name"] for extent in entry["extents"])
    args = ", ".join(f"{a['name']} {a['dtype']} {a['shape']}"
                     + (" optional" if a.get("optional") else "") for a in entry["args"]
                     if a["role"] in ("input", "output"))
    print(f"entry {entry['name']}({extents}): {args}")
    # Every slot belongs to one argument.
    slots = sorted(s for a in entry["args"]
                   for s in range(a["slot"], a["slot"] + a["count"]))
    if slots != list(range(entry["slots"])):
        sys.exit(f"slots of {entry['name']}: {slots}")
    for arg in entry["args"]:
        if arg["role"] in ("gradient", "moment1", "moment2", "cache") and \
                not arg.get("donated"):
            sys.exit(f"{arg['name']} of {entry['name']} is state but not donated")
# Keys are sorted, in one canonical spelling.
if json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False) != \
        json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False):
    sys.exit("keys are not sorted")
