#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`data prepare` of whole texts gives the published ids; with --speed it is held
against the package `tokenizers` on the same cores.

    prepare_data.py SHARED_DATA WORK_DIR [--speed]
"""

import hashlib
import json
import os
import subprocess
import sys
import time


def main():
    shared, work = sys.argv[1:3]
    tokenizer = os.path.join(shared, "tokenizer", "qwen3")
    with open(os.path.join(shared, "tokenizer", "whole-file-qwen3.json"),
              encoding="utf-8") as file:
        listed = json.load(file)
    listed = listed if isinstance(listed, list) else listed.get("files", listed)
    if isinstance(listed, dict):
        listed = list(listed.values())
    known = {}
    for entry in listed:
        if isinstance(entry, dict):
            known[os.path.basename(entry["file"])] = next(
                v for k, v in entry.items() if "sha" in k)
    assert len(known) >= 6, known
    times = {}
    for name, wanted in known.items():
        begun = time.monotonic()
        subprocess.run(
            ["qwen-rt", "data", "prepare", os.path.join(shared, "text", name), "-o",
             os.path.join(work, name), "--tokenizer", tokenizer, "--val-fraction", "0"],
            check=True, stdin=subprocess.DEVNULL)
        times[name] = time.monotonic() - begun
        with open(os.path.join(work, name, "train.bin"), "rb") as file:
            found = hashlib.sha256(file.read()).hexdigest()
        assert found == wanted, (name, found, wanted)
    if "--speed" not in sys.argv:
        return
    try:
        from tokenizers import Tokenizer
    except ImportError:
        print("the package tokenizers is not installed: no comparison")
        return
    name = "novels-train.txt"
    begun = time.monotonic()
    theirs = Tokenizer.from_file(os.path.join(tokenizer, "tokenizer.json"))
    with open(os.path.join(shared, "text", name), encoding="utf-8") as file:
        text = file.read()
    # On all cores only what is cut into pieces runs in parallel.
    pieces = text.split("\n\n")
    pieces = [piece + "\n\n" for piece in pieces[:-1]] + pieces[-1:]
    groups = ["".join(pieces[at:at + 64]) for at in range(0, len(pieces), 64)]
    theirs.encode_batch_fast(groups, add_special_tokens=False)
    seconds = time.monotonic() - begun
    print(f"{name}: {times[name]:.2f} s, tokenizers {seconds:.2f} s, "
          f"{seconds / times[name]:.1f} times as fast")
    assert seconds >= 1.5 * times[name]


if __name__ == "__main__":
    main()
