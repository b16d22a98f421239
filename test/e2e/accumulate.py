#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Four micro steps of six sequences are one of 24, though the sequences have
very unequal numbers of targets, and when whole micro steps have none.

    accumulate.py MODULE_4x6 MODULE_1x24 DATA_DIR WORK_DIR
"""

import json
import os
import random
import subprocess
import sys

STEPS = 6


def run(module, accumulate, data, out):
    subprocess.run(
        ["qwen-rt", "train", module, "--data", data, "--data-type", "u32", "--out", out,
         "--steps", str(STEPS), "--set", f"train.accumulate={accumulate}",
         "--set", "log.every=1", "--set", "train.schedule.kind=constant",
         "--set", "train.schedule.warmup=0"],
        check=True, stdin=subprocess.DEVNULL)
    with open(os.path.join(out, "metrics.jsonl"), encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    return [e for e in events if e["type"] == "step"]


def masked_file(path, content, shares):
    """A token file of windows of 64 tokens, each with its share of targets."""
    with open(path + ".bin", "wb") as file:
        file.write(content[:4 * (64 * len(shares) + 1)])
    bits = [1]
    for share in shares:
        bits += [int(random.random() < share) for _ in range(64)]
    with open(path + ".mask", "wb") as file:
        file.write(bytes(sum(bit << i for i, bit in enumerate(bits[at:at + 8]))
                         for at in range(0, len(bits), 8)))
    return path + ".bin"


def compare(split, whole, tokens, work):
    ours = run(split, 4, tokens, work + "-split")
    theirs = run(whole, 1, tokens, work + "-whole")
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        assert a["tokens"] == b["tokens"] and a["lr"] == b["lr"]
        for key in ("loss", "grad_norm"):
            worst = max(worst, abs(a[key] - b[key]) / abs(b[key]))
        if a["step"] == 1 and worst > 1e-6:
            sys.exit(f"step 1 is off by {worst:.2e}")
    print(f"{STEPS} steps, worst relative difference {worst:.2e}")
    if worst > 1e-5:
        sys.exit("too much")


def main():
    split, whole, data, work = sys.argv[1:]
    with open(os.path.join(data, "train.bin"), "rb") as file:
        content = file.read(4 * 64 * 200 + 4)
    random.seed(5)
    # Windows with 0, 1, 64 or some targets.
    shares = [random.choice([0, 0, 1 / 64, 0.3, 1]) for _ in range(200)]
    compare(split, whole, masked_file(os.path.join(work, "masked"), content, shares),
            os.path.join(work, "masked"))
    # A step is the whole file, with targets in three windows: of four micro steps
    # one at least has none.
    shares = [1, 0.5, 0.1] + [0] * 21
    compare(split, whole, masked_file(os.path.join(work, "empty"), content, shares),
            os.path.join(work, "empty"))


if __name__ == "__main__":
    main()
