#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`data prepare` of whole texts gives the published ids; with --speed it is held
against the package `tokenizers` on the same cores, in time and, with eight times
the text, in memory.

    prepare_data.py SHARED_DATA WORK_DIR [--speed]
"""

import hashlib
import json
import os
import statistics
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
    def prepare(text, folder):
        """Seconds, processor seconds and peak memory (KiB) of one run."""
        begun = time.monotonic()
        process = subprocess.Popen(
            ["qwen-rt", "data", "prepare", text, "-o", os.path.join(work, folder),
             "--tokenizer", tokenizer, "--val-fraction", "0"], stdin=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        assert status == 0, status
        return time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss

    for name, wanted in known.items():
        prepare(os.path.join(shared, "text", name), name)
        with open(os.path.join(work, name, "train.bin"), "rb") as file:
            found = hashlib.sha256(file.read()).hexdigest()
        assert found == wanted, (name, found, wanted)
    if "--speed" not in sys.argv:
        return

    name = "novels-train.txt"
    path = os.path.join(shared, "text", name)
    # Eight times the text: the same memory. First, as a child's peak begins with what
    # its parent had when it forked.
    large = os.path.join(work, "large.txt")
    with open(path, "rb") as file, open(large, "wb") as copies:
        text = file.read()
        for _ in range(8):
            copies.write(text)
    del text
    memory = [prepare(path, "again")[2], prepare(large, "large")[2]]
    print(f"peak memory: {memory[0]} KiB, with 8 times the text {memory[1]} KiB", flush=True)
    assert memory[1] < memory[0] + 8192

    # In turns, so that what else runs disturbs both alike.
    ours, theirs = [], []
    for _ in range(3):
        ours.append(prepare(path, "again"))
        theirs.append(encode_by_tokenizers(path, os.path.join(tokenizer, "tokenizer.json")))
    wall, processor = (statistics.median(t[i] for t in theirs) /
                       statistics.median(t[i] for t in ours) for i in (0, 1))
    for who, times in (("data prepare", ours), ("tokenizers", theirs)):
        print(f"{who}: " + ", ".join(f"{t[0]:.2f} s ({t[1]:.2f} s of processors)" for t in times))
    print(f"{wall:.2f} times as fast; {processor:.2f} times less processor time", flush=True)
    assert wall >= 1.5


def encode_by_tokenizers(path, tokenizer):
    """Seconds and processor seconds of the package, from loading to the ids."""
    from tokenizers import Tokenizer

    begun, used = time.monotonic(), time.process_time()
    encoder = Tokenizer.from_file(tokenizer)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    # On all cores only what is cut into pieces runs in parallel.
    pieces = text.split("\n\n")
    pieces = [piece + "\n\n" for piece in pieces[:-1]] + pieces[-1:]
    groups = ["".join(pieces[at:at + 64]) for at in range(0, len(pieces), 64)]
    encoder.encode_batch_fast(groups, add_special_tokens=False)
    return time.monotonic() - begun, time.process_time() - used


if __name__ == "__main__":
    main()
